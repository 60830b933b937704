/* test_people.c - people decide, whole: a storm that safety holds back costs them one decision; a pause stops what
 * is under way; a mail scanner that opens every link decides nothing, and one click decides once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "auto.h"
#include "buf.h"
#include "kit/house.h"
#include "kit/mail_reader.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define PUBLIC  "https://cordon.contoso.example"
#define SOON    60000 /* ms; a deadline, not a wait */

#define STORM   300 /* alerts, each on a machine of its own */
#define ALLOWED 10
/* Lists of alerts, machines, actions before and after the POSTs: tens, not four for each machine. */
#define READS_MAX 90

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

/* ---- orders --------------------------------------------------------------------------------------- */

static int order(struct house *h, const char *path, const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct fetched f;
    char url[400];
    int status;

    (void)snprintf(url, sizeof url, "%s%s", h->admin, path);
    if (!fetch(&f, "POST", url, headers, body, strlen(body), 30000))
        fail_msg("POST %s: %s", path, f.why);
    status = f.status;
    fetched_clear(&f);
    return status;
}

/* The one open question; waits until it stands over `count` cases. The id into out. */
static void wait_question(struct house *h, int64_t count, char out[20])
{
    int64_t deadline = house_now_ms() + SOON, now = -1;

    for (;;) {
        AUTO(json_freep) struct json *doc = house_get(h, "/api/questions?state=open");
        const struct json *list = json_get(doc, "questions");

        if (json_count(list) == 1 && json_int64(json_get(json_first(list), "count"), &now) &&
            now == count) {
            (void)snprintf(out, 20, "%s", json_get_string(json_first(list), "id"));
            return;
        }
        if (house_now_ms() > deadline)
            fail_msg("%zu questions, the first over %lld cases, not %lld", json_count(list),
                     (long long)now, (long long)count);
        (void)poll(NULL, 0, 20);
    }
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
    wait_question(h, STORM - ALLOWED, id);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), ALLOWED);
    /* two for each that was isolated, and one about all the others */
    wait_mails(h, 2 * ALLOWED + 1);
    n = read_mails(h, a, &mails);
    assert_true(n <= 2 * ALLOWED + 1);
    assert_int_equal(count_subjects(mails, n, "[QUESTION]"), 1);
    assert_int_equal(count_subjects(mails, n, "[ISOLATED]"), ALLOWED);

    before = count_reads(h);
    (void)snprintf(path, sizeof path, "/api/questions/%s/approve", id);
    assert_int_equal(order(h, path, "{\"by\":\"maria\",\"why\":\"it is real\"}"), 200);
    assert_int_equal(order(h, path, "{\"by\":\"joe\"}"), 409);
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, STORM, 2 * SOON);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, STORM, SOON);
    assert_int_equal(sim_state(h->sim, "max_active_isolates"), 1);
    /* all of them are read and judged again, together */
    assert_in_range(count_reads(h) - before, 2, READS_MAX);
    house_stop(h);
}

/* Approved, and on second thoughts: what has not left within a second does not leave. */
static void test_people__a_pause_in_the_middle_stops_within_a_second(void **state)
{
    const struct house_options o = {.sim.config = "{\"delay_ms\":150}",
                                    .safety = "  limits: [{isolations: 10, per: 1h}]\n"};
    struct house *h = house_start(&o);
    int64_t after_a_second, begin;
    char id[20], path[100];

    (void)state;
    push_storm(h);
    wait_question(h, STORM - ALLOWED, id);
    (void)snprintf(path, sizeof path, "/api/questions/%s/approve", id);
    assert_int_equal(order(h, path, "{\"by\":\"maria\"}"), 200);
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, ALLOWED + 20, SOON);
    begin = house_now_ms();
    assert_int_equal(order(h, "/api/pause", "{\"by\":\"joe\",\"why\":\"a mistake\"}"), 200);
    while (house_now_ms() < begin + 1000)
        (void)poll(NULL, 0, 10);
    after_a_second = sim_count_calls(h->sim, "POST", SIM_ISOLATE);
    assert_true(after_a_second < STORM);
    AUTO(json_freep) struct json *ready = house_get(h, "/readyz"); /* ready all the same */
    const struct json *part = json_get(json_get(ready, "parts"), "pause");
    assert_true(json_is_true(json_get(ready, "ready")));
    assert_string_equal(json_get_string(part, "why"), "paused by joe: a mistake");

    /* restarted it is paused still, and nothing more leaves however long it works */
    house_cordon_kill(h);
    house_cordon_start(h);
    house_wait_quiet(h, 2 * SOON);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), after_a_second);
    house_stop(h);
}

/* ---- links ---------------------------------------------------------------------------------------- */

#define RULES                                                                                      \
    "  - name: contain\n    when: {alert.severity: High}\n    do:\n"                               \
    "      - ask: {approvers: [ann@x.example, bob@x.example]}\n      - isolate: {}\n"              \
    "      - email: {}\n"

static struct house *open_question(struct arena *a, struct mailed **mails)
{
    const struct house_options o = {.rules = RULES, .more = "public_url: " PUBLIC "\n"};
    struct house *h = house_start(&o);
    char id[20];

    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"<b>ws-114</b>.corp.example\"}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    wait_question(h, 1, id);
    wait_mails(h, 2);
    assert_int_equal(read_mails(h, a, mails), 2);
    return h;
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
    wait_question(h, 1, id);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
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
    house_log_lacks(h, ann->link + strlen("/approve/")); /* a link is a permission */
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
        {"POST", FORM, "answer=%zz", 400},
        {"POST", "Content-Type: application/json", "{\"answer\":\"approve\"}", 415},
        {"POST", NULL, "answer=approve", 415},
        {"PUT", FORM, "answer=approve", 405},
        {"DELETE", NULL, NULL, 405},
    };
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
    (void)snprintf(forged, sizeof forged, "%s", mails[0].link);
    forged[strlen(forged) - 1] = forged[strlen(forged) - 1] == 'A' ? 'B' : 'A';
    assert_int_equal(visit(h, "POST", forged, FORM, "answer=approve", &f), 404);
    fetched_clear(&f);
    wait_question(h, 1, id);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_people__a_storm_is_one_decision),
        cmocka_unit_test(test_people__a_pause_in_the_middle_stops_within_a_second),
        cmocka_unit_test(test_people__a_scanner_that_opens_every_link_decides_nothing),
        cmocka_unit_test(test_people__one_click_acts_once_and_the_second_is_told_who_did),
        cmocka_unit_test(test_people__what_is_no_answer_is_none),
    };

    return cmocka_run_group_tests_name("people", tests, NULL, NULL);
}
