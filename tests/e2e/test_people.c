/* test_people.c - people decide, whole: a storm that safety holds back costs them one decision; a pause stops what
 * is under way; a mail scanner that opens every link decides nothing, and one click decides once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "auto.h"
#include "buf.h"
#include "kit/certs.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/mail_reader.h"
#include "kit/raw.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define PUBLIC  "https://cordon.contoso.example"
#define SOON    60000 /* ms; a deadline, not a wait */

#define STORM   300 /* alerts, each on a machine of its own */
#define ALLOWED 10
#define IN_HAND 15 /* requests on their way at a time: engine.c, THREADS */
/* Lists of alerts, machines, actions before and after the POSTs, a hundred or two in each, and what a few workers took
 * alone; one by one it would be three for each. */
#ifdef __SANITIZE_THREAD__ /* the POSTs take minutes then, and meanwhile the first are asked after */
#define READS_MAX STORM
#else
#define READS_MAX 60
#endif

/* ---- what was mailed ------------------------------------------------------------------------------ */

struct mailed {
    char to[100], subject[400], link[300]; /* link: its path below PUBLIC, "" when there is none */
};

static size_t read_mails(struct house *h, struct arena *a, struct mailed **ret)
{
    AUTO(json_freep) struct json *doc = sim_get(h->sim, "/mails");
    const struct json *list = json_get(doc, "mails");
    struct mailed *out = arena_array(a, json_count(list) + 1, sizeof *out);
    size_t n = 0;

    JSON_EACH (mail, list) {
        const char *raw = json_get_string(mail, "raw"), *at;
        struct mailed *m = &out[n++];
        struct mail_read r;

        mail_read(&r, raw, strlen(raw));
        assert_string_equal(r.fault, "");
        *m = (struct mailed){0};
        (void)snprintf(m->to, sizeof m->to, "%s", json_string(json_first(json_get(mail, "rcpt"))));
        (void)snprintf(m->subject, sizeof m->subject, "%s", mail_header(&r, "Subject"));
        at = strstr(r.parts[0].body, PUBLIC "/");
        if (at)
            (void)snprintf(m->link, sizeof m->link, "%.*s",
                           (int)strcspn(at + strlen(PUBLIC), " \r\n"), at + strlen(PUBLIC));
        mail_read_clear(&r);
    }
    *ret = out;
    return n;
}

static size_t count_subjects(const struct mailed *list, size_t n, const char *tag)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++)
        found += strncmp(list[i].subject, tag, strlen(tag)) == 0;
    return found;
}

static void wait_mails(struct house *h, int64_t count)
{
    AUTO(json_freep) struct json *doc = sim_wait_mails(h->sim, count, SOON);

    assert_non_null(doc);
}

static void push_storm(struct house *h)
{
    AUTO(json_freep)
    struct json *made =
        sim_postf(h->sim, "/generate", "{\"count\":%d,\"machines\":%d}", STORM, STORM);

    JSON_EACH (id, json_get(made, "alert_ids")) {
        AUTO(json_freep) struct json *answer = house_push(h, json_string(id), NULL, 202);

        assert_non_null(answer);
    }
}

/* Calls that read from Defender. */
static int64_t count_reads(struct house *h)
{
    return sim_count_calls(h->sim, "GET", "/api/*");
}

/* ---- a storm -------------------------------------------------------------------------------------- */

static void test_people__a_storm_is_one_decision(void **state)
{
    const struct house_options o = {.safety = "  limits: [{isolations: 10, per: 1h}]\n",
                                    .more = "public_url: " PUBLIC "\n"};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct house *h = house_start(&o);
    char id[20], path[100];
    struct mailed *mails;
    int64_t before;
    size_t n;

    (void)state;
    push_storm(h);
    house_wait_question(h, STORM - ALLOWED, id);
    /* those within the limit may be on their way still; no other leaves before a person says so */
    AUTO(json_freep)
    struct json *first = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, ALLOWED, SOON);
    /* two for each that was isolated, and one about all the others */
    wait_mails(h, 2 * ALLOWED + 1);
    n = read_mails(h, a, &mails);
    assert_true(n <= 2 * ALLOWED + 1);
    assert_int_equal(count_subjects(mails, n, "[QUESTION]"), 1);
    assert_int_equal(count_subjects(mails, n, "[ISOLATED]"), ALLOWED);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), ALLOWED);

    before = count_reads(h);
    (void)snprintf(path, sizeof path, "/api/questions/%s/approve", id);
    assert_int_equal(house_order(h, path, "{\"by\":\"maria\",\"why\":\"it is real\"}"), 200);
    assert_int_equal(house_order(h, path, "{\"by\":\"joe\"}"), 409);
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, STORM, 2 * SOON);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, STORM, SOON);
    assert_int_equal(sim_state(h->sim, "max_active_isolates"), 1);
    /* all of them are read and judged again, together */
    assert_in_range(count_reads(h) - before, 2, READS_MAX);
    house_stop(h);
}

/* Approved, and on second thoughts: what is not on its way already does not leave, however long it works; nor after a restart. */
static void test_people__a_pause_in_the_middle_stops_what_has_not_left(void **state)
{
    static const char done[] = "cordon_cases{state=\"done\"}";
    const struct house_options o = {.sim.config = "{\"delay_ms\":150}",
                                    .safety = "  limits: [{isolations: 10, per: 1h}]\n"};
    struct house *h = house_start(&o);
    double done_before;
    int64_t before;
    char id[20], path[100];

    (void)state;
    push_storm(h);
    house_wait_question(h, STORM - ALLOWED, id);
    (void)snprintf(path, sizeof path, "/api/questions/%s/approve", id);
    assert_int_equal(house_order(h, path, "{\"by\":\"maria\"}"), 200);
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, ALLOWED + 20, SOON);
    assert_int_equal(house_order(h, "/api/pause", "{\"by\":\"joe\",\"why\":\"a mistake\"}"), 200);
    before = sim_count_calls(h->sim, "POST", SIM_ISOLATE);
    AUTO(json_freep) struct json *ready = house_get(h, "/readyz"); /* ready all the same */
    const struct json *part = json_get(json_get(ready, "parts"), "pause");
    assert_true(json_is_true(json_get(ready, "ready")));
    assert_string_equal(json_get_string(part, "why"), "paused by joe: a mistake");
    done_before = house_metric(h, done);
    LOOK_FOR(house_metric(h, done) >= (done_before + 50 < STORM ? done_before + 50 : STORM), SOON,
             "it does not go on with the cases");

    /* restarted it is paused still */
    house_cordon_kill(h);
    house_cordon_start(h);
    house_wait_quiet(h, 2 * SOON);
    assert_in_range(sim_count_calls(h->sim, "POST", SIM_ISOLATE), before, before + IN_HAND);
    assert_true(sim_count_calls(h->sim, "POST", SIM_ISOLATE) < STORM);
    house_stop(h);
}

/* ---- links ---------------------------------------------------------------------------------------- */

#define RULES                                                                                      \
    "  - name: contain\n    when: {alert.severity: High}\n    do:\n"                               \
    "      - ask: {approvers: [ann@x.example, bob@x.example]}\n      - isolate: {}\n"              \
    "      - email: {}\n"

static struct house *open_question_of(struct arena *a, const char *rules, const char *more,
                                      struct mailed **mails)
{
    const struct house_options o = {.rules = rules,
                                    .more = arena_fmt(a, "public_url: " PUBLIC "\n%s", more)};
    struct house *h = house_start(&o);
    char id[20];

    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"<b>ws-114</b>.corp.example\"}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    house_wait_question(h, 1, id);
    wait_mails(h, 2);
    assert_int_equal(read_mails(h, a, mails), 2);
    return h;
}

static struct house *open_question_with(struct arena *a, const char *more, struct mailed **mails)
{
    return open_question_of(a, RULES, more, mails);
}

static struct house *open_question(struct arena *a, struct mailed **mails)
{
    return open_question_with(a, "", mails);
}

static int visit(struct house *h, const char *method, const char *path, const char *type,
                 const char *body, struct fetched *f)
{
    const char *headers[] = {type, NULL};
    char url[500];

    (void)snprintf(url, sizeof url, "%s%s", h->hooks, path);
    if (!fetch(f, method, url, type ? headers : NULL, body, body ? strlen(body) : 0, 10000))
        fail_msg("%s: %s", method, f->why);
    return f->status;
}

#define FORM "Content-Type: application/x-www-form-urlencoded"

static const struct mailed *mail_to(const struct mailed *mails, const char *address)
{
    return strcmp(mails[0].to, address) == 0 ? &mails[0] : &mails[1];
}

static void test_people__a_scanner_that_opens_every_link_decides_nothing(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question(a, &mails);
    char value[300], id[20];

    (void)state;
    assert_string_not_equal(mails[0].link, mails[1].link);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2; i++) {
            struct fetched f;

            assert_int_equal(visit(h, "HEAD", mails[i].link, NULL, NULL, &f), 200);
            assert_int_equal(f.body_len, 0);
            fetched_clear(&f);
            assert_int_equal(visit(h, "GET", mails[i].link, NULL, NULL, &f), 200);
            assert_string_equal(fetched_header(&f, "Cache-Control", value, sizeof value),
                                "no-store");
            assert_non_null(fetched_header(&f, "Content-Security-Policy", value, sizeof value));
            assert_non_null(strstr(value, "default-src 'none'"));
            assert_null(strstr(f.body, "<script"));
            assert_null(strstr(f.body, "<b>ws-114")); /* what an attacker named is text */
            assert_non_null(strstr(f.body, "&lt;b&gt;ws-114"));
            assert_non_null(strstr(f.body, MACHINE));
            assert_non_null(strstr(f.body, mails[i].to));
            fetched_clear(&f);
        }
    house_wait_question(h, 1, id);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

/* Over many: what is to be done, where it is not the same for all. */
static void test_people__a_page_over_many_says_what_is_done_to_each(void **state)
{
    const struct house_options o = {
        .rules =
            "  - name: contain\n    when: {alert.severity: High}\n    do: [isolate: {}, email: {}]\n"
            "  - name: restrict\n    do: [isolate: {type: selective}, email: {}]\n",
        .safety = "  canary: 1\n",
        .more = "public_url: " PUBLIC "\n"};
    static const char *const severities[] = {"High", "High", "Medium"};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct house *h = house_start(&o);
    struct mailed *mails;
    struct fetched f;
    char id[20];

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *machine = arena_fmt(a, "%040d", i + 1), *alert = arena_fmt(a, "da%d_-1", i);

        sim_tell(h->sim, "/machines", arena_fmt(a, "{\"id\":\"%s\"}", machine));
        sim_tell(h->sim, "/alerts",
                 arena_fmt(a, "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\"}", alert,
                           severities[i], machine));
        AUTO(json_freep) struct json *answer = house_push(h, alert, machine, 202);
        house_wait_question(h, i + 1, id);
    }
    wait_mails(h, 1);
    assert_int_equal(read_mails(h, a, &mails), 1);
    assert_int_equal(visit(h, "GET", mails[0].link, NULL, NULL, &f), 200);
    const char *full = strstr(f.body, "isolate full"),
               *selective = strstr(f.body, "isolate selective");
    assert_non_null(full);
    assert_non_null(selective);
    assert_true(full < selective);
    assert_null(strstr(full + 1, "isolate full")); /* once for all of whom it holds */
    fetched_clear(&f);
    house_stop(h);
}

/* A link says who answers: whoever may look at a case, on the console or by a command, is not shown it. */
static void test_people__a_link_is_shown_to_its_reader_alone(void **state)
{
    static const char *const paths[][2] = {
        {"/api/cases/", "/notice"}, {"/api/cases/", ""}, {"/cases/", ""}};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question(a, &mails);
    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");
    const char *id = json_get_string(json_first(json_get(cases, "cases")), "id");

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct fetched f;
        char url[500];

        (void)snprintf(url, sizeof url, "%s%s%s%s", h->admin, paths[i][0], id, paths[i][1]);
        assert_true(fetch(&f, "GET", url, NULL, NULL, 0, 10000));
        assert_int_equal(f.status, 200);
        for (int k = 0; k < 2; k++)
            if (strstr(f.body, mails[k].link))
                fail_msg("%s shows the link of %s", url, mails[k].to);
        assert_null(strstr(f.body, "\"message\"")); /* the mail's bytes, in which it is encoded */
        if (i != 1)
            assert_non_null(strstr(f.body, PUBLIC "/approve/***")); /* that there is one is said */
        fetched_clear(&f);
    }
    house_stop(h);
}

/* Whoever looks at the only case finds the question by which it waits, and who answered. */
static void assert_asked(struct house *h, const char *state, const char *who)
{
    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");
    const char *id = json_get_string(json_first(json_get(cases, "cases")), "id");
    AUTO(json_freep) struct json *doc = NULL;
    const struct json *q;
    struct fetched f;
    char url[300];
    const char *who_said;

    (void)snprintf(url, sizeof url, "/api/cases/%s", id);
    doc = house_get(h, url);
    q = json_first(json_get(doc, "questions"));
    assert_string_equal(json_get_string(q, "state"), state);
    who_said = json_get_string(json_first(json_get(q, "answers")), "person");
    assert_string_equal(who_said ? who_said : "nobody", who ? who : "nobody");
    assert_int_equal(json_count(json_get(q, "asked")), 2); /* for whom it waits */
    assert_string_equal(json_string(json_first(json_get(q, "asked"))), "ann@x.example");
    (void)snprintf(url, sizeof url, "%s/questions/%s", h->admin, json_get_string(q, "id"));
    assert_true(fetch(&f, "GET", url, NULL, NULL, 0, 10000));
    assert_non_null(strstr(f.body, "<dt>Who is asked</dt><dd>ann@x.example, bob@x.example</dd>"));
    fetched_clear(&f);
    (void)snprintf(url, sizeof url, "%s/cases/%s", h->admin, id);
    assert_true(fetch(&f, "GET", url, NULL, NULL, 0, 10000));
    (void)snprintf(url, sizeof url, "href=\"/questions/%s\"", json_get_string(q, "id"));
    assert_non_null(strstr(f.body, url));
    fetched_clear(&f);
}

static void test_people__one_click_acts_once_and_the_second_is_told_who_did(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question(a, &mails);
    const struct mailed *ann = mail_to(mails, "ann@x.example"),
                        *bob = mail_to(mails, "bob@x.example");
    struct fetched f;

    (void)state;
    assert_asked(h, "open", NULL);
    assert_int_equal(visit(h, "POST", ann->link, FORM, "answer=approve&why=saw+it+%26+mean+it", &f),
                     200);
    fetched_clear(&f);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    assert_int_equal(visit(h, "POST", bob->link, FORM, "answer=refuse&why=no", &f), 409);
    assert_non_null(strstr(f.body, "approved by ann@x.example: saw it &amp; mean it"));
    fetched_clear(&f);
    assert_int_equal(visit(h, "POST", ann->link, FORM, "answer=approve", &f), 409);
    fetched_clear(&f);
    assert_int_equal(visit(h, "GET", bob->link, NULL, NULL, &f), 200);
    assert_non_null(strstr(f.body, "ann@x.example"));
    assert_null(strstr(f.body, "<form"));
    fetched_clear(&f);
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);
    AUTO(json_freep) struct json *doc = house_get(h, "/api/questions");
    const struct json *said =
        json_first(json_get(json_first(json_get(doc, "questions")), "answers"));
    assert_string_equal(json_get_string(said, "person"), "ann@x.example");
    assert_string_equal(json_get_string(said, "why"), "saw it & mean it");
    assert_asked(h, "approved", "ann@x.example");
    house_log_lacks(h, ann->link + strlen("/approve/")); /* a link is a permission */
    house_stop(h);
}

/* Whoever says yes while cordon is paused is not to believe that the machine is cut off by that. */
static void test_people__a_page_says_that_cordon_is_paused(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question(a, &mails);
    const struct mailed *ann = mail_to(mails, "ann@x.example");
    struct fetched f;

    (void)state;
    assert_int_equal(visit(h, "GET", ann->link, NULL, NULL, &f), 200);
    assert_null(strstr(f.body, "paused"));
    fetched_clear(&f);
    assert_int_equal(house_order(h, "/api/pause", "{\"by\":\"joe\",\"why\":\"a <drill>\"}"), 200);
    assert_int_equal(visit(h, "GET", ann->link, NULL, NULL, &f), 200);
    assert_non_null(strstr(f.body, "cordon is paused by joe: a &lt;drill&gt;."));
    fetched_clear(&f);
    assert_int_equal(visit(h, "POST", ann->link, FORM, "answer=approve", &f), 200);
    assert_non_null(strstr(f.body, "cordon is paused by joe"));
    assert_null(strstr(f.body, "goes on"));
    fetched_clear(&f);
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

static void test_people__what_is_no_answer_is_none(void **state)
{
    static const struct {
        const char *method, *type, *body;
        int status;
    } rows[] = {
        {"POST", FORM, "answer=maybe", 400},
        {"POST", FORM, "", 400},
        {"POST", FORM, "answer=approve&answer=refuse", 400},
        {"POST", FORM, "answer=approve&why=%00", 400},
        {"POST", FORM, "answer=approve&why=it+is%00real", 400},
        {"POST", FORM, "answer=approve&why=a&why=b", 400},
        {"POST", FORM, "answer=%zz", 400},
        {"POST", FORM, "answer=refuse&why=%ff", 400},
        {"POST", "Content-Type: application/json", "{\"answer\":\"approve\"}", 415},
        {"POST", NULL, "answer=approve", 415},
        {"PUT", FORM, "answer=approve", 405},
        {"DELETE", NULL, NULL, 405},
    };
    static const struct {
        int bytes, status;
    } lengths[] = {{501, 400}, {5000, 413}};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question(a, &mails);
    struct fetched f;
    char id[20], forged[300];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (visit(h, rows[i].method, mails[0].link, rows[i].type, rows[i].body, &f) !=
            rows[i].status)
            fail_msg("row %zu: HTTP %d: %s", i, f.status, f.body);
        fetched_clear(&f);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) { /* a reason has an end */
        const char *body = arena_fmt(a, "answer=approve&why=%0*d", lengths[i].bytes, 0);

        assert_int_equal(visit(h, "POST", mails[0].link, FORM, body, &f), lengths[i].status);
        fetched_clear(&f);
    }
    (void)snprintf(forged, sizeof forged, "%s", mails[0].link);
    forged[strlen(forged) - 1] = forged[strlen(forged) - 1] == 'A' ? 'B' : 'A';
    assert_int_equal(visit(h, "POST", forged, FORM, "answer=approve", &f), 404);
    fetched_clear(&f);
    house_wait_question(h, 1, id);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    /* blanks are no reason */
    assert_int_equal(visit(h, "POST", mails[0].link, FORM, "answer=refuse&why=+%0d%0a+", &f), 200);
    fetched_clear(&f);
    AUTO(json_freep) struct json *doc = house_get(h, "/api/questions");
    assert_string_equal(json_get_string(json_first(json_get(doc, "questions")), "why"),
                        arena_fmt(a, "refused by %s", mails[0].to));
    house_stop(h);
}

/* ---- more than a link ------------------------------------------------------------------------------ */

#define APP "6f1c0de0-1111-4222-8333-944444444444"
#define APPROVERS                                                                                  \
    "approvers:\n  tenant: contoso\n  verify:\n"                                                   \
    "    - entra: {audience: [\"api://" APP "\"], roles: [Cordon.Approver]}\n"
#define PERSON(name, roles)                                                                        \
    "{\"aud\":\"" APP "\",\"roles\":[" roles "],\"claims\":{\"sub\":\"s-" name                     \
    "\",\"scp\":\"answer\",\"preferred_username\":\"" name "\"}}"

/* Of an approver; the claims beside are what a token may have or not. */
#define TOKEN(oid, names)                                                                          \
    "{\"aud\":\"" APP "\",\"oid\":\"" oid "\",\"roles\":[\"Cordon.Approver\"],\"claims\":{"        \
    "\"sub\":\"s-" oid "\",\"scp\":\"answer\"" names "}}"
#define ANN "aaaaaaaa-0000-4000-8000-000000000001"
#define BOB "bbbbbbbb-0000-4000-8000-000000000002"

/* Sends the form with a token; the answer's status. */
static int answer_with(struct house *h, const char *token, const char *link, const char *form)
{
    char bearer[8192], url[500];
    const char *headers[] = {FORM, token ? bearer : NULL, NULL};
    struct fetched f;
    int status;

    (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", token ? token : "");
    (void)snprintf(url, sizeof url, "%s%s", h->hooks, link);
    if (!fetch(&f, "POST", url, headers, form, strlen(form), 10000))
        fail_msg("%s", f.why);
    status = f.status;
    fetched_clear(&f);
    return status;
}

static int answer_as(struct house *h, const char *spec, const char *link, const char *form)
{
    char *token = sim_mint(h->sim, spec);
    int status = answer_with(h, token, link, form);

    free(token);
    return status;
}

static void test_people__a_sign_in_proves_who_answers(void **state)
{
    /* each with ann's link: who answers is whom the token says */
    static const struct {
        const char *label, *spec;
        int status;
    } rows[] = {
        {"the link alone", NULL, 401},
        {"a person without the role", PERSON("carl@x.example", "\"Other\""), 403},
        {"an application with the role", "{\"aud\":\"" APP "\",\"roles\":[\"Cordon.Approver\"]}",
         401},
        {"one that says it is an application's",
         "{\"aud\":\"" APP "\",\"roles\":[\"Cordon.Approver\"],\"claims\":{\"sub\":\"s\",\"idtyp\":"
         "\"app\"}}",
         401},
        {"another audience",
         "{\"aud\":\"other\",\"roles\":[\"Cordon.Approver\"],\"claims\":{\"sub\":\"s\",\"scp\":\"x\"}}",
         401},
        {"another tenant",
         "{\"aud\":\"" APP "\",\"tenant\":\"0f0f0f0f-98ab-4f0a-9d5e-0b1c2d3e4f50\",\"roles\":"
         "[\"Cordon.Approver\"],\"claims\":{\"sub\":\"s\",\"scp\":\"x\"}}",
         401},
        {"no signature",
         "{\"aud\":\"" APP
         "\",\"roles\":[\"Cordon.Approver\"],\"claims\":{\"sub\":\"s\",\"scp\":\"x\"},"
         "\"breaks\":[\"no_signature\"]}",
         401},
        {"expired",
         "{\"aud\":\"" APP
         "\",\"roles\":[\"Cordon.Approver\"],\"exp_in\":-400,\"claims\":{\"sub\":\"s\","
         "\"scp\":\"x\"}}",
         401},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question_with(a, APPROVERS, &mails);
    const struct mailed *ann = mail_to(mails, "ann@x.example");
    char id[20];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status = rows[i].spec ? answer_as(h, rows[i].spec, ann->link, "answer=approve")
                                  : answer_with(h, NULL, ann->link, "answer=approve");

        if (status != rows[i].status)
            fail_msg("%s: HTTP %d, not %d", rows[i].label, status, rows[i].status);
    }
    house_wait_question(h, 1, id); /* open still */
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    assert_int_equal(answer_as(h, TOKEN(BOB, ",\"preferred_username\":\"bob@x.example\""),
                               ann->link, "answer=approve&why=real"),
                     200);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    AUTO(json_freep) struct json *doc = house_get(h, "/api/questions");
    const struct json *said =
        json_first(json_get(json_first(json_get(doc, "questions")), "answers"));
    assert_string_equal(json_get_string(said, "person"), "bob@x.example (" BOB ")");
    assert_string_equal(json_get_string(said, "way"), "entra");
    house_stop(h);
}

/* Nor is a sign-in refused for good that is of another time only by a clock which Defender has said to be an hour behind. */
static void test_people__by_a_clock_that_is_off_a_sign_in_may_be_good(void **state)
{
    static const char later[] =
        "{\"aud\":\"" APP "\",\"oid\":\"" BOB "\",\"roles\":[\"Cordon.Approver\"],\"iat_in\":3600,"
        "\"nbf_in\":3600,\"exp_in\":7200,\"claims\":{\"sub\":\"s\","
        "\"scp\":\"answer\"}}";
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question_with(a, APPROVERS, &mails);
    const struct mailed *ann = mail_to(mails, "ann@x.example");
    const time_t there = time(NULL) + 3600;
    char date[64], id[20];
    struct tm tm;

    (void)state;
    assert_int_equal(answer_as(h, later, ann->link, "answer=approve"), 401);
    assert_true(strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&there, &tm)) >
                0);
    sim_tell(h->sim, "/alerts", "{\"id\":\"da2_-1\",\"severity\":\"Low\"}");
    sim_tellf(h->sim, "/faults",
              "{\"path\":\"/api/alerts/da2_-1\",\"kind\":\"answer\",\"status\":503,\"count\":-1,"
              "\"headers\":{\"Date\":\"%s\"},\"json\":{}}",
              date);
    json_free(house_push(h, "da2_-1", NULL, 202));
    LOOK_FOR(answer_as(h, later, ann->link, "answer=approve") == 503, SOON,
             "it takes its own clock for right");
    assert_int_equal(answer_with(h, NULL, ann->link, "answer=approve"), 401);
    house_wait_question(h, 1, id); /* open still */
    sim_delete(h->sim, "/faults");
    json_free(sim_wait_mails(h->sim, 3, SOON)); /* of the other alert, which is read now */
    assert_int_equal(answer_as(h, later, ann->link, "answer=approve"), 401);
    assert_int_equal(answer_as(h, TOKEN(BOB, ""), ann->link, "answer=refuse"), 200);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

/* Whoever has a link, and nothing else, fills no disk with lines about it. */
static void test_people__who_proves_nothing_cannot_flood_the_log(void **state)
{
    enum { TRIES = 400 };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question_with(a, APPROVERS, &mails);
    const struct mailed *ann = mail_to(mails, "ann@x.example");
    int64_t began = look_now_ms(), seconds;
    unsigned shown;

    (void)state;
    for (int i = 0; i < TRIES; i++)
        assert_int_equal(answer_with(h, NULL, ann->link, "answer=approve"), 401);
    seconds = (look_now_ms() - began) / 1000;
    shown = house_log_count(h, "\"event\":\"approver_refused\"");
    print_message("  %u lines in %lld s\n", shown, (long long)seconds);
    assert_in_range(shown, 1, 20 * (seconds + 2));
    assert_int_equal(answer_as(h, TOKEN(BOB, ""), ann->link, "answer=approve"), 200);
    house_stop(h);
}

/* Sends bytes over a connection that shows a certificate (NULL: none); the status of the answer. more: header lines, each
 * with its CR LF. */
static unsigned send_more(struct house *h, const struct cert *own, const char *path,
                          const char *type, const char *more, const char *body)
{
    char certificate[300], key[300];
    struct raw_answer answer;
    struct buf b = BUF_INIT(1 << 16);
    struct raw *r;

    (void)snprintf(certificate, sizeof certificate, "%s/own.pem", h->dir);
    (void)snprintf(key, sizeof key, "%s/own-key.pem", h->dir);
    if (own)
        cert_save(own, certificate, key);
    r = raw_open_tls(h->hooks + strlen("http://"), own ? certificate : NULL, key, false);
    assert_non_null(r);
    buf_addf(&b,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%sContent-Length: "
             "%zu\r\n\r\n%s",
             path, type, more, strlen(body), body);
    raw_text(r, buf_text(&b));
    buf_clear(&b);
    raw_answer(r, &answer, false);
    raw_free(r);
    return answer.status;
}

static unsigned send_with(struct house *h, const struct cert *own, const char *path,
                          const char *type, const char *body)
{
    return send_more(h, own, path, type, "", body);
}

/* One person's tokens name him in several ways, or not at all, as an application asks for them. */
static void test_people__one_person_is_one_whatever_his_tokens_call_him(void **state)
{
    static const char rules[] =
        "  - name: contain\n    when: {alert.severity: High}\n    do:\n"
        "      - ask: {people: 2, approvers: [ann@x.example, bob@x.example]}\n"
        "      - isolate: {}\n      - email: {}\n";
    static const char *const again[] = {
        TOKEN(ANN, ",\"preferred_username\":\"ann@x.example\""),
        TOKEN(ANN, ",\"unique_name\":\"live.com#ann@x.example\""),
        TOKEN(ANN, ",\"upn\":\"bob@x.example\""),
        TOKEN(ANN, ""),
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question_of(a, rules, APPROVERS, &mails);
    const struct mailed *ann = mail_to(mails, "ann@x.example");
    const struct mailed *bob = mail_to(mails, "bob@x.example");
    char id[20];

    (void)state;
    assert_int_equal(answer_as(h, again[0], ann->link, "answer=approve"), 200);
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        int status = answer_as(h, again[i], i % 2 ? ann->link : bob->link, "answer=approve");

        if (status != 409)
            fail_msg("%s: HTTP %d", again[i], status);
    }
    house_wait_question(h, 1, id); /* open still */
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    assert_int_equal(answer_as(h, TOKEN(BOB, ""), ann->link, "answer=approve"), 200);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    house_stop(h);
}

/* A yes that begins nothing yet says so: who gave it might go to bed. */
static void test_people__the_first_of_two_hears_that_another_must_say_yes(void **state)
{
    static const char rules[] =
        "  - name: contain\n    when: {alert.severity: High}\n    do:\n"
        "      - ask: {people: 2, approvers: [ann@x.example, bob@x.example]}\n"
        "      - isolate: {}\n      - email: {}\n";
    static const struct {
        const char *who, *status;
    } rows[] = {{"ann", "answered: yes; another person must say yes, too"},
                {"bob", "answered: yes"}};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct mailed *mails;
    struct house *h = open_question_of(a, rules, "", &mails);
    AUTO(auto_free)
    char *config = house_write_file(
        h, "people.yaml", arena_fmt(a, "admin: {address: '%s'}\n", h->admin + strlen("http://")));
    char id[20];

    (void)state;
    house_wait_question(h, 1, id);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const args[] = {"approve", id, "-c", config, NULL};
        AUTO(auto_free) char *out = NULL;

        assert_int_equal(setenv("SUDO_USER", rows[i].who, 1), 0);
        assert_int_equal(house_run(h, &out, args), 0);
        assert_string_equal(out, arena_fmt(a, "question %s: %s\n", id, rows[i].status));
    }
    assert_int_equal(unsetenv("SUDO_USER"), 0);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    house_stop(h);
}

/* Nor does a yes that another question follows, of other people, say that it goes on. */
static void test_people__a_yes_that_another_question_follows_says_so(void **state)
{
    static const char safety[] = "safety:\n  protected: [{machine.name: {glob: '*ws-*'}}]\n"
                                 "  ask: {people: 2, approvers: [ann@x.example, bob@x.example]}\n";
    static const bool by_link[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof by_link / sizeof *by_link; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        struct mailed *mails;
        struct house *h = open_question_of(a, RULES, safety, &mails);
        AUTO(auto_free)
        char *config = house_write_file(
            h, "people.yaml",
            arena_fmt(a, "admin: {address: '%s'}\n", h->admin + strlen("http://")));
        char id[20], other[20];
        const char *const args[] = {"approve", id, "-c", config, NULL};

        house_wait_question(h, 1, id);
        if (by_link[i]) {
            struct fetched f;

            assert_int_equal(
                visit(h, "POST", mail_to(mails, "ann@x.example")->link, FORM, "answer=approve", &f),
                200);
            assert_non_null(strstr(f.body, "It takes a yes to another question, too."));
            assert_null(strstr(f.body, "goes on"));
            fetched_clear(&f);
        } else {
            AUTO(auto_free) char *out = NULL;

            assert_int_equal(house_run(h, &out, args), 0);
            assert_string_equal(
                out, arena_fmt(a,
                               "question %s: answered: yes; it takes a yes to another question, "
                               "too\n",
                               id));
        }
        house_wait_question(h, 1, other);
        assert_string_not_equal(other, id);
        assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
        house_stop(h);
    }
}

/* Who answers waits for Entra's keys when cordon is told to stop: his request's head, the token in it, must be there still
 * when the fetch is given up and the next proof is tried. */
static void test_people__a_stop_while_keys_are_fetched_is_clean(void **state)
{
    static const char form[] = "answer=approve";
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(auto_free) char *token = NULL;
    struct mailed *mails;
    struct house *h = open_question_with(
        a,
        APPROVERS "    - entra: {audience: [\"api://" APP "\"], roles: [Another.Role]}\n"
                  "    - entra: {audience: [\"api://" APP "\"], objects: [\"" BOB "\"]}\n",
        &mails);
    struct raw *r = raw_open(h->hooks + strlen("http://"));

    (void)state;
    assert_non_null(r);
    token = sim_mint(h->sim, TOKEN(ANN, ""));
    sim_tell(h->sim, "/faults", "{\"path\":\"*/openid-configuration\",\"kind\":\"hang\"}");
    raw_text(r, arena_fmt(a,
                          "POST %s HTTP/1.1\r\nHost: a\r\n" FORM "\r\nAuthorization: Bearer %s\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          mails[0].link, token, strlen(form), form));
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "GET", "*/openid-configuration", 1, SOON);
    house_cordon_stop(h);
    raw_free(r);
    house_stop(h);
}

static void test_people__a_certificate_proves_who_answers(void **state)
{
    static const char form[] = "application/x-www-form-urlencoded";
    /* what a browser says of a form that another site's page has it send: it shows ann's certificate all the same */
    static const char *const foreign[] = {
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: https://evil.example/localhost\r\n",
        "Origin: https://localhost:8080\r\n",
        "Origin: https://localhost\r\nSec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
    };
    const struct house_options o = {
        .rules = RULES,
        .source = "    verify: [{client_certificate: {ca_file: staff-ca.pem, names: [relay]}}]\n",
        .more = "public_url: " PUBLIC
                "\napprovers: {verify: [{client_certificate: {ca_file: staff-ca.pem, "
                "names: [ann@x.example]}}]}\n",
        .not_yet = true};
    struct cert *server =
        cert_new(&(struct cert_wish){.name = "localhost", .purpose = "serverAuth", .days = 2});
    struct cert *ca = cert_new(&(struct cert_wish){.name = "A CA", .days = 2});
    struct cert *relay = cert_new(
        &(struct cert_wish){.name = "relay", .issuer = ca, .purpose = "clientAuth", .days = 2});
    struct cert *ann = cert_new(&(struct cert_wish){.name = "Ann",
                                                    .issuer = ca,
                                                    .purpose = "clientAuth",
                                                    .names = "email:ann@x.example",
                                                    .days = 2});
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct house *h = house_start(&o);
    char path[300], key[300], id[20];
    struct mailed *mails;
    const char *link;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/staff-ca.pem", h->dir);
    cert_save(ca, path, NULL);
    (void)snprintf(path, sizeof path, "%s/own-tls.pem", h->dir);
    (void)snprintf(key, sizeof key, "%s/own-tls-key.pem", h->dir);
    cert_save(server, path, key);
    house_edit(h, "listen:\n  address: 127.0.0.1:0\n",
               "listen:\n  address: 127.0.0.1:0\n"
               "  tls: {certificate_file: own-tls.pem, key_file: own-tls-key.pem}\n");
    house_cordon_start(h);
    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    assert_int_equal(
        send_with(h, relay, "/hooks/relay", "application/json", "{\"alertId\":\"" ALERT "\"}"),
        202);
    house_wait_question(h, 1, id);
    wait_mails(h, 2);
    assert_int_equal(read_mails(h, a, &mails), 2);
    link = mail_to(mails, "bob@x.example")->link;
    assert_int_equal(send_with(h, NULL, link, form, "answer=approve"), 401);
    assert_int_equal(send_with(h, relay, link, form, "answer=approve"), 403);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (send_more(h, ann, link, form, foreign[i], "answer=approve") != 403)
            fail_msg("taken: %s", foreign[i]);
    house_wait_question(h, 1, id); /* open still */
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    assert_int_equal(send_more(h, ann, link, form, "Origin: " PUBLIC "\r\n", "answer=maybe"), 400);
    assert_int_equal(send_more(h, ann, link, form,
                               "Origin: https://localhost\r\nSec-Fetch-Site: same-origin\r\n",
                               "answer=approve"),
                     200);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    AUTO(json_freep) struct json *doc = house_get(h, "/api/questions");
    const struct json *said =
        json_first(json_get(json_first(json_get(doc, "questions")), "answers"));
    assert_string_equal(json_get_string(said, "person"), "ann@x.example");
    assert_string_equal(json_get_string(said, "way"), "client_certificate");
    house_stop(h);
    cert_free(server);
    cert_free(ca);
    cert_free(relay);
    cert_free(ann);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_people__a_storm_is_one_decision),
        cmocka_unit_test(test_people__a_pause_in_the_middle_stops_what_has_not_left),
        cmocka_unit_test(test_people__a_scanner_that_opens_every_link_decides_nothing),
        cmocka_unit_test(test_people__a_page_over_many_says_what_is_done_to_each),
        cmocka_unit_test(test_people__a_link_is_shown_to_its_reader_alone),
        cmocka_unit_test(test_people__one_click_acts_once_and_the_second_is_told_who_did),
        cmocka_unit_test(test_people__a_page_says_that_cordon_is_paused),
        cmocka_unit_test(test_people__what_is_no_answer_is_none),
        cmocka_unit_test(test_people__a_sign_in_proves_who_answers),
        cmocka_unit_test(test_people__by_a_clock_that_is_off_a_sign_in_may_be_good),
        cmocka_unit_test(test_people__who_proves_nothing_cannot_flood_the_log),
        cmocka_unit_test(test_people__one_person_is_one_whatever_his_tokens_call_him),
        cmocka_unit_test(test_people__the_first_of_two_hears_that_another_must_say_yes),
        cmocka_unit_test(test_people__a_yes_that_another_question_follows_says_so),
        cmocka_unit_test(test_people__a_stop_while_keys_are_fetched_is_clean),
        cmocka_unit_test(test_people__a_certificate_proves_who_answers),
    };

    cmocka_set_test_filter(getenv("ONLY")); /* a pattern of names; NULL: all */
    return cmocka_run_group_tests_name("people", tests, NULL, NULL);
}
