/* test_console.c - the console as a browser has it: what it shows is what is, nothing of an attacker's is markup in it, opening
 * it does nothing, and its forms do what they say, for whoever was shown them and for nobody else.
 *
 * With CORDON_LOOK=DIR the pages are left there, for tests/look/run to make pictures of. */
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
#include "clock.h"
#include "kit/house.h"

#define ALERT    "da638712345678901234_-1027384756"
#define MACHINE  "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define TOKEN    "Zc0dB2EwS4yYJgS3K0rnQbqHyOWrKxV1"
#define SOON     60000 /* ms; a deadline, not a wait */
#define COUNT(a) (sizeof(a) / sizeof *(a))

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded"
#define TITLE     "<script>alert(1)</script><img src=x onerror=alert(2)> \\\" ' & read by mimikatz.exe"
#define TITLE_SHOWN                                                                                \
    "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)&gt; &quot; &#39; &amp; read by mimikatz.exe"

/* ---- a browser -------------------------------------------------------------------------------- */

struct browser {
    struct house *h;
    struct arena *a;
    const char *cookie; /* "Cookie: …"; NULL: none */
};

struct asked {
    const char *method, *path;
    const char *body;   /* of a form; NULL: none */
    const char *origin; /* NULL: this house's; "": none is sent */
    const char *site;   /* Sec-Fetch-Site; NULL: none */
    const char *type;   /* NULL: a form's, with a body */
    const char *host;   /* NULL: as it is */
};

/* The answer; f->body is the page. */
static int ask(const struct browser *b, const struct asked *q, struct fetched *f)
{
    const char *headers[8];
    size_t n = 0;
    char url[500];

    if (b->cookie)
        headers[n++] = b->cookie;
    if (q->body)
        headers[n++] = q->type ? q->type : FORM_TYPE;
    if (strcmp(q->method, "POST") == 0 && (!q->origin || *q->origin))
        headers[n++] = arena_fmt(b->a, "Origin: %s", q->origin ? q->origin : b->h->admin);
    if (q->site)
        headers[n++] = arena_fmt(b->a, "Sec-Fetch-Site: %s", q->site);
    headers[n] = NULL;
    (void)snprintf(url, sizeof url, "%s%s", b->h->admin, q->path);
    if (!fetch(f, q->method, url, headers, q->body, q->body ? strlen(q->body) : 0, 30000))
        fail_msg("%s %s: %s", q->method, q->path, f->why);
    return f->status;
}

static void leave(const char *name, const char *page)
{
    const char *dir = getenv("CORDON_LOOK");
    char path[400];
    FILE *f;

    if (!dir)
        return;
    (void)snprintf(path, sizeof path, "%s/console-%s.html", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(page, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A page, which must be there; name: as which it is left for people to look at, or NULL. */
static const char *page(const struct browser *b, const char *path, const char *name)
{
    const char *text;
    struct fetched f;
    int status = ask(b, &(struct asked){.method = "GET", .path = path}, &f);

    if (status != 200)
        fail_msg("GET %s: %d: %s", path, status, f.body);
    text = arena_str(b->a, f.body);
    fetched_clear(&f);
    if (name)
        leave(name, text);
    return text;
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("'%s' is missing in:\n%s", what, strstr(text, "<body>"));
}

static void lacks(const char *text, const char *what)
{
    if (strstr(text, what))
        fail_msg("'%s' is there: %.300s", what, strstr(text, what));
}

/* The value of the hidden field of a page's forms. */
static const char *form_token(const struct browser *b, const char *text)
{
    static const char before[] = "name=\"form_token\" value=\"";
    const char *at = strstr(text, before);

    assert_non_null(at);
    at += sizeof before - 1;
    return arena_strn(b->a, at, strcspn(at, "\""));
}

/* Sends a form that stands on the page `on`; its fields come after the token. Must be answered with 303 to a page, which
 * is returned. */
static const char *send_form(const struct browser *b, const char *on, const char *action,
                             const char *fields)
{
    const char *body =
        arena_fmt(b->a, "form_token=%s&%s", form_token(b, page(b, on, NULL)), fields);
    char to[300];
    struct fetched f;
    int status = ask(b, &(struct asked){.method = "POST", .path = action, .body = body}, &f);

    if (status != 303)
        fail_msg("POST %s: %d: %s", action, status, strstr(f.body, "<body>"));
    assert_non_null(fetched_header(&f, "Location", to, sizeof to));
    fetched_clear(&f);
    return page(b, arena_str(b->a, to), NULL);
}

static void tell_alert(struct house *h, const char *id, const char *machine, const char *severity)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\",\"computerDnsName\":\"ws-%.4s.corp.example\"}",
              machine, machine);
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\",\"title\":\"" TITLE "\"}",
              id, severity, machine);
}

/* Pushes an alert and waits until its case is where it should be; its id, in the arena. */
static const char *push(const struct browser *b, const char *id, const char *state)
{
    AUTO(json_freep) struct json *answer = house_push(b->h, id, NULL, 202);
    AUTO(json_freep) struct json *c = house_wait_case(b->h, answer, state, SOON);

    return arena_str(b->a, json_get_string(c, "id"));
}

static bool is_paused(struct house *h)
{
    AUTO(json_freep) struct json *ready = house_get(h, "/readyz");

    return !json_is_true(json_get(json_path(ready, "parts", "pause", NULL), "ok"));
}

/* ---- what it shows ---------------------------------------------------------------------------- */

#define RULES                                                                                      \
    "  - name: lab\n    when: {machine.tags: [lab]}\n    do: [email: {}]\n"                        \
    "  - name: contain-high\n    when: {alert.severity: High}\n    do:\n"                          \
    "      - isolate: {}\n      - email: {}\n"                                                     \
    "  - name: review-medium\n    when: {alert.severity: Medium}\n    do:\n"                       \
    "      - ask: {approvers: [ann@x.example]}\n      - isolate: {}\n      - email: {}\n"          \
    "  - name: tell\n    do: [email: {}]\n"
#define MORE                                                                                       \
    "public_url: https://cordon.contoso.example\n"                                                 \
    "hunts:\n  - name: shadow-copies\n    tenant: contoso\n    schedule: \"0 3 * * *\"\n"          \
    "    timezone: Europe/Stockholm\n    query: \"DeviceEvents | take 10\"\n    do: [email: {}]\n"

#define WAITING_MACHINE "1111111111111111111111111111111111111111"
#define OFFLINE_MACHINE "2222222222222222222222222222222222222222"

static void test_console__shows_what_is_and_escapes_what_attackers_chose(void **state)
{
    static const struct house_options o = {.rules = RULES, .more = MORE};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a};
    const char *contained, *waiting, *text;
    char question[20];

    (void)state;
    has(page(&b, "/", NULL), "No machine is isolated");
    tell_alert(b.h, ALERT, MACHINE, "High");
    tell_alert(b.h, "da2_-2", WAITING_MACHINE, "Medium");
    tell_alert(b.h, "da3_-3", OFFLINE_MACHINE, "High");
    sim_tell(b.h->sim, "/machines", "{\"id\":\"" OFFLINE_MACHINE "\",\"sim\":{\"offline\":true}}");
    contained = push(&b, ALERT, "done");
    waiting = push(&b, "da2_-2", "waiting");
    (void)push(&b, "da3_-3", "waiting");
    house_wait_question(b.h, 1, question);
    AUTO(json_freep) struct json *mails = sim_wait_mails(b.h->sim, 2, SOON);

    text = page(&b, "/", "overview");
    lacks(text, "<script");
    lacks(text, "<img");
    has(text, TITLE_SHOWN);
    has(text, "Isolated: confirmed by Defender");
    has(text, "ws-9c1f.corp.example");
    has(text, "Pending: Defender has taken it, and has not confirmed it");
    has(text, "ws-2222.corp.example");
    has(text, "contain-high");
    has(text, question);
    has(text, "/hooks/relay");
    has(text, "shadow-copies");
    has(text, "0 3 * * * (Europe/Stockholm)");

    AUTO(json_freep) struct json *sources = house_get(b.h, "/api/sources");
    assert_int_equal(json_get_int64(json_first(json_get(sources, "sources")), "accepted", -1), 3);
    assert_int_equal(json_get_int64(json_first(json_get(sources, "sources")), "refused", -1), 0);

    /* what Defender has isolated, and nothing else, is said to be so */
    assert_int_equal(sim_state(b.h->sim, "isolate_posts"), 2);
    text = page(&b, "/isolations?open=1", "isolations");
    has(text, "2, newest first");
    assert_null(strstr(strstr(text, "Isolated: confirmed") + 1, "Isolated: confirmed"));

    text = page(&b, "/cases", "cases");
    has(text, arena_fmt(a, "/cases/%s", contained));
    has(text, arena_fmt(a, "/cases/%s", waiting));
    lacks(page(&b, "/cases?state=done", NULL), waiting);
    has(page(&b, "/cases?state=waiting&tenant=contoso", NULL), waiting);

    text = page(&b, arena_fmt(a, "/cases/%s", contained), "case");
    lacks(text, "<script");
    has(text, TITLE_SHOWN);
    has(text, "It matches, and gives the verdict");
    has(text, "alert.severity");
    has(text, "It does not match");
    has(text, "machine.tags");
    has(text, "the same"); /* judged again */
    has(text, "Isolated: confirmed by Defender");
    has(text, "soc@contoso.example: ");
    has(text, "Judged again now");

    text = page(&b, arena_fmt(a, "/questions/%s", question), "question");
    has(text, "ws-1111.corp.example");
    has(text, arena_fmt(a, "formaction=\"/questions/%s/approve\"", question));
    house_stop(b.h);
}

/* A case is done when its steps are. Lists say what became of the isolation besides: the mail does. */
static void test_console__a_case_that_is_done_says_whether_its_machine_is_isolated(void **state)
{
    static const struct house_options o = {.rules = RULES, .more = MORE};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a};
    const char *failed, *text, *at;
    AUTO(auto_free) char *told = NULL, *config = NULL;

    (void)state;
    tell_alert(b.h, "da2_-2", OFFLINE_MACHINE, "High");
    sim_tell(b.h->sim, "/machines",
             "{\"id\":\"" OFFLINE_MACHINE "\",\"sim\":{\"outcome\":\"Failed\"}}");
    failed = push(&b, "da2_-2", "done");
    text = page(&b, "/cases", NULL);
    has(text, "isolate asked for; email done; NOT isolated: the machine could not do it (Failed)");
    has(page(&b, "/", NULL), "; NOT isolated: ");
    config =
        house_write_file(b.h, "people.yaml",
                         arena_fmt(a, "admin: {address: '%s'}\n", b.h->admin + strlen("http://")));
    if (house_run(b.h, &told,
                  (const char *const[]){"cases", "explain", failed, "-c", config, NULL}))
        fail_msg("%s", told);
    has(told, "\n    isolate: asked for\n    email: done\n");
    free(told);
    told = NULL;
    assert_int_equal(
        house_run(b.h, &told, (const char *const[]){"cases", "list", "-c", config, NULL}), 0);
    has(told, "done   not_isolated  contoso  da2_-2  ws-2222.corp.example  contain-high");

    /* one without a title is read all the same */
    tell_alert(b.h, ALERT, MACHINE, "High");
    sim_tell(b.h->sim, "/alerts", "{\"id\":\"" ALERT "\",\"title\":null}");
    (void)push(&b, ALERT, "done");
    text = page(&b, "/cases", NULL);
    has(text, "High: alert " ALERT ", which has no title");
    lacks(text, "not read yet");
    has(text, "isolate asked for; email done; isolated, says Defender");
    has(page(&b, arena_fmt(a, "/cases/%s", failed), NULL), ">All about this isolation</a>");

    /* since Defender says so, and not since it was asked */
    AUTO(json_freep) struct json *open = house_get(b.h, "/api/isolations?open=1");
    const struct json *isolation = json_first(json_get(open, "isolations"));
    text = page(&b, "/isolations?open=1", NULL);
    has(text, arena_fmt(a, "datetime=\"%s\"", json_get_string(isolation, "confirmed")));
    lacks(text, arena_fmt(a, "datetime=\"%s\"", json_get_string(isolation, "requested")));
    has(page(&b, arena_fmt(a, "/cases/%s", json_get_string(isolation, "case")), NULL),
        ">Release it, or extend it</a>");

    /* until Defender confirms the release the machine is isolated */
    sim_tell(b.h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"offline\":true}}");
    at = strstr(page(&b, "/isolations?open=1", NULL), "href=\"/isolations/");
    assert_non_null(at);
    at = arena_strn(a, at + 6, strcspn(at + 6, "\""));
    (void)send_form(&b, at, arena_fmt(a, "%s/release", at), "by=joe&why=it+is+clean");
    AUTO(json_freep) struct json *calls = sim_wait_calls(b.h->sim, "POST", SIM_UNISOLATE, 1, SOON);
    text = page(&b, "/", NULL);
    has(text, "Of these being released, not confirmed");
    text = strstr(text, "Machines isolated</a></dt><dd>");
    assert_non_null(text);
    assert_int_equal(strncmp(strchr(text + 30, '>'), ">1<", 3), 0);
    has(page(&b, "/cases", NULL), "isolated, and Defender has not confirmed the release");
    house_stop(b.h);
}

/* Three alerts of one machine wait for one answer: what is decided is about one machine. */
static void test_console__a_question_counts_machines_not_cases(void **state)
{
    static const struct house_options o = {
        .rules = RULES, .safety = "  limits: [{isolations: 1, per: 1h}]\n", .more = MORE};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a};
    AUTO(auto_free) char *told = NULL, *config = NULL;
    const char *text;
    char question[20];

    (void)state;
    tell_alert(b.h, ALERT, MACHINE, "High");
    (void)push(&b, ALERT, "done");
    for (int i = 2; i <= 4; i++) {
        const char *id = arena_fmt(a, "da%d_-1", i);

        tell_alert(b.h, id, WAITING_MACHINE, "High");
        (void)push(&b, id, "waiting");
    }
    house_wait_question(b.h, 3, question);
    text = page(&b, "/questions", NULL);
    has(text, ">ws-1111.corp.example</td>");
    text = page(&b, arena_fmt(a, "/questions/%s", question), NULL);
    has(text, "<dt>Cases</dt><dd>3</dd>");
    has(text, "<dt>Machines</dt><dd>1</dd>");
    config =
        house_write_file(b.h, "people.yaml",
                         arena_fmt(a, "admin: {address: '%s'}\n", b.h->admin + strlen("http://")));
    assert_int_equal(
        house_run(b.h, &told, (const char *const[]){"questions", "list", "-c", config, NULL}), 0);
    /* whoever answers by the command sees whom it is about, too */
    has(told, arena_fmt(a, "\n%s  open   ws-1111.corp.example  ", question));
    house_stop(b.h);
}

static void test_console__its_pages_can_do_nothing_but_be_read(void **state)
{
    static const char *const paths[] = {"/", "/cases", "/isolations", "/questions"};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(NULL), .a = a};
    char value[400];
    struct fetched f;

    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++)
        for (int head = 0; head < 2; head++) {
            assert_int_equal(
                ask(&b, &(struct asked){.method = head ? "HEAD" : "GET", .path = paths[i]}, &f),
                200);
            if (head)
                assert_int_equal(f.body_len, 0);
            assert_non_null(fetched_header(&f, "Content-Security-Policy", value, sizeof value));
            has(value, "default-src 'none'");
            has(value, "form-action 'self'");
            has(value, "frame-ancestors 'none'");
            lacks(value, "script");
            lacks(value, "unsafe");
            assert_string_equal(fetched_header(&f, "Cache-Control", value, sizeof value),
                                "no-store");
            assert_string_equal(fetched_header(&f, "X-Content-Type-Options", value, sizeof value),
                                "nosniff");
            assert_non_null(fetched_header(&f, "Referrer-Policy", value, sizeof value));
            assert_string_equal(fetched_header(&f, "Content-Type", value, sizeof value),
                                "text/html; charset=utf-8");
            fetched_clear(&f);
        }
    house_stop(b.h);
}

static void test_console__what_is_not_there_is_a_page_that_says_so(void **state)
{
    static const struct {
        const char *path, *says;
        int status;
    } rows[] = {
        {"/cases/0000000000000", "no such", 404},
        {"/cases/nonsense", "there is no case with the id nonsense", 404},
        {"/isolations/0000000000000", "no", 404},
        {"/questions/0000000000000", "no", 404},
        {"/cases?state=asleep", "there is no state &#39;asleep&#39;", 400},
        {"/cases?tenant=fabrikam", "there is no tenant &#39;fabrikam&#39;", 400},
        {"/cases?cursor=x", "is no place in a list", 400},
        {"/cases?state=failed&state=done", "state: given twice", 400},
        {"/isolations?open=%ff", "open: given twice, or not encoded", 400},
        {"/questions?state=maybe", "there is no state &#39;maybe&#39;", 400},
        {"/pause", "Opening this does nothing", 405},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(NULL), .a = a};
    struct fetched f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (ask(&b, &(struct asked){.method = "GET", .path = rows[i].path}, &f) != rows[i].status)
            fail_msg("%s: %d", rows[i].path, f.status);
        has(f.body, rows[i].says);
        has(f.body, "Back to the overview");
        fetched_clear(&f);
    }
    house_stop(b.h);
}

/* ---- what it does ----------------------------------------------------------------------------- */

static void test_console__a_pause_by_form_stops_isolations_until_it_is_resumed(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(NULL), .a = a};
    const char *held, *text;

    (void)state;
    tell_alert(b.h, ALERT, MACHINE, "High");
    text = send_form(&b, "/", "/pause", "by=maria+l%C3%B6f&why=a+%3Cdrill%3E");
    has(text, "Paused: no new isolation is asked for");
    has(text, "PAUSED");
    has(text, "paused by maria l\xc3\xb6"
              "f: a &lt;drill&gt;");
    leave("paused", text);
    assert_true(is_paused(b.h));
    held = push(&b, ALERT, "done");
    assert_int_equal(sim_count_calls(b.h->sim, "POST", SIM_ISOLATE), 0);
    text = page(&b, arena_fmt(a, "/cases/%s", held), "held");
    has(text, "paused by maria");

    text = send_form(&b, "/", "/resume", "by=joe&why=over");
    has(text, "Resumed");
    assert_false(is_paused(b.h));
    text = send_form(&b, arena_fmt(a, "/cases/%s", held), arena_fmt(a, "/cases/%s/retry", held),
                     "by=joe&why=");
    has(text, "The case begins anew");
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(b.h->sim, 1, SOON);
    assert_int_equal(sim_count_calls(b.h->sim, "POST", SIM_ISOLATE), 1);
    house_wait_log(b.h, "maria l", 1, SOON); /* who gave the order */
    house_stop(b.h);
}

/* An order is not given as if what cannot be read had been left out. */
static void test_console__a_field_that_cannot_be_read_gives_no_order(void **state)
{
    static const struct {
        const char *fields, *says;
    } rows[] = {
        {"by=maria&why=a&why=b", "The reason, which goes into the record, cannot be read."},
        {"by=maria&why=%00", "The reason, which goes into the record, cannot be read."},
        {"by=maria&why=x&why=%zz", "The reason, which goes into the record, cannot be read."},
        {"by=maria&why=%e2%82", "The reason, which goes into the record, cannot be read."},
        {"by=%ff%fe&why=x", "Your name, which goes into the record, cannot be read."},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(NULL), .a = a};
    const char *token = form_token(&b, page(&b, "/", NULL));
    static const char *const orders[] = {"/pause", "/cases/0000000000000/retry"};

    (void)state;
    for (size_t k = 0; k < COUNT(orders); k++)
        for (size_t i = 0; i < COUNT(rows); i++) {
            const struct asked order = {
                .method = "POST",
                .path = orders[k],
                .body = arena_fmt(a, "form_token=%s&%s", token, rows[i].fields)};
            struct fetched f;

            if (ask(&b, &order, &f) != 400)
                fail_msg("%s: %s: %d", orders[k], rows[i].fields, f.status);
            has(f.body, rows[i].says);
            fetched_clear(&f);
        }
    assert_false(is_paused(b.h));
    house_stop(b.h);
}

static void test_console__questions_and_isolations_are_dealt_with_by_form(void **state)
{
    static const struct house_options o = {.rules = RULES, .more = MORE};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a};
    const char *on, *text, *at;
    char question[20];
    struct fetched f;

    (void)state;
    tell_alert(b.h, ALERT, MACHINE, "Medium");
    AUTO(json_freep) struct json *answer = house_push(b.h, ALERT, NULL, 202);
    house_wait_question(b.h, 1, question);
    on = arena_fmt(a, "/questions/%s", question);
    text = send_form(&b, on, arena_fmt(a, "%s/approve", on), "by=maria&why=seen+it");
    has(text, "approved");
    has(text, "seen it");
    lacks(text, "formaction");
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(b.h->sim, 1, SOON);
    AUTO(json_freep) struct json *done = house_wait_case(b.h, answer, "done", SOON);

    /* twice is told of, and is nothing */
    text = arena_fmt(a, "form_token=%s&by=joe", form_token(&b, page(&b, "/", NULL)));
    assert_int_equal(
        ask(&b,
            &(struct asked){.method = "POST", .path = arena_fmt(a, "%s/refuse", on), .body = text},
            &f),
        409);
    has(f.body, "maria");
    fetched_clear(&f);

    at = strstr(page(&b, "/isolations?open=1", NULL), "href=\"/isolations/");
    assert_non_null(at);
    at = arena_strn(a, at + 6, strcspn(at + 6, "\""));
    has(page(&b, at, "isolation"), "Isolated: confirmed by Defender");
    /* without a reason it is not done, and the page says what is missing */
    text = arena_fmt(a, "form_token=%s&by=joe&why=+", form_token(&b, page(&b, at, NULL)));
    assert_int_equal(
        ask(&b,
            &(struct asked){.method = "POST", .path = arena_fmt(a, "%s/release", at), .body = text},
            &f),
        400);
    has(f.body, "The reason, which goes into the record, is missing");
    leave("missing", f.body);
    fetched_clear(&f);
    assert_int_equal(sim_count_calls(b.h->sim, "POST", SIM_UNISOLATE), 0);
    has(send_form(&b, at, arena_fmt(a, "%s/extend", at), "by=joe&for=3d"), "The isolation stays");
    has(send_form(&b, at, arena_fmt(a, "%s/release", at), "by=joe&why=it+is+clean"),
        "The release is ordered");
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(b.h->sim, "POST", SIM_UNISOLATE, 1, SOON);
    AUTO(json_freep) struct json *released = sim_wait_isolated(b.h->sim, 0, SOON);
    house_stop(b.h);
}

/* ---- who may ---------------------------------------------------------------------------------- */

static void test_console__nobody_but_its_own_page_gives_orders(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(NULL), .a = a};
    const char *form = form_token(&b, page(&b, "/", NULL));
    const char *good = arena_fmt(a, "form_token=%s&by=eve&why=x", form);
    const char *port = strrchr(b.h->admin, ':');
    const struct {
        struct asked q;
        int status;
        const char *what;
    } rows[] = {
        {{.method = "GET", .path = "/pause"}, 405, "GET"},
        {{.method = "HEAD", .path = "/pause"}, 405, "HEAD"},
        {{.method = "GET", .path = arena_fmt(a, "/pause?%s", good)}, 405, "GET with a query"},
        {{.method = "POST", .path = arena_fmt(a, "/pause?%s", good), .body = ""},
         403,
         "in the query"},
        {{.method = "POST", .path = "/pause", .body = "by=eve&why=x"}, 403, "no token"},
        {{.method = "POST", .path = "/pause", .body = "form_token=&by=eve&why=x"},
         403,
         "empty token"},
        {{.method = "POST",
          .path = "/pause",
          .body = arena_fmt(a, "form_token=%sA&by=eve&why=x", form)},
         403,
         "another token"},
        {{.method = "POST", .path = "/pause", .body = good, .origin = "https://evil.example"},
         403,
         "foreign origin"},
        {{.method = "POST", .path = "/pause", .body = good, .origin = "null"},
         403,
         "no origin of its own"},
        {{.method = "POST", .path = "/pause", .body = good, .origin = "http://127.0.0.1:1"},
         403,
         "another port"},
        {{.method = "POST",
          .path = "/pause",
          .body = good,
          .origin = arena_fmt(a, "http://evil.example%s", port)},
         403,
         "another name"},
        {{.method = "POST", .path = "/pause", .body = good, .site = "cross-site"},
         403,
         "cross-site"},
        {{.method = "POST", .path = "/pause", .body = good, .site = "same-site"}, 403, "same-site"},
        {{.method = "POST", .path = "/pause", .body = good, .site = "none"}, 403, "typed"},
        {{.method = "POST", .path = "/pause", .body = good, .origin = ""}, 403, "neither is said"},
        {{.method = "POST", .path = "/pause", .body = good, .type = "Content-Type: text/plain"},
         415,
         "no form's type"},
        {{.method = "PUT", .path = "/pause", .body = good}, 405, "PUT"},
        {{.method = "POST", .path = "/", .body = good}, 405, "a page"},
        {{.method = "POST", .path = "/pause", .body = arena_fmt(a, "form_token=%s&why=x", form)},
         400,
         "no name"},
        {{.method = "POST", .path = "/pause", .body = arena_fmt(a, "form_token=%s&by=eve", form)},
         400,
         "no reason"},
    };
    struct fetched f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (ask(&b, &rows[i].q, &f) != rows[i].status)
            fail_msg("%s: %d", rows[i].what, f.status);
        fetched_clear(&f);
        if (is_paused(b.h))
            fail_msg("%s: it paused", rows[i].what);
    }
    /* and what was refused is taken when it comes as it should */
    assert_int_equal(
        ask(&b,
            &(struct asked){
                .method = "POST", .path = "/pause", .body = good, .site = "same-origin"},
            &f),
        303);
    fetched_clear(&f);
    assert_true(is_paused(b.h));
    house_stop(b.h);
}

static void test_console__with_an_admin_token_people_sign_in(void **state)
{
    static const struct house_options o = {.not_yet = true};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a}, other = b;
    const char *login = "by=maria&token=" TOKEN "&to=%2Fcases", *form, *text;
    AUTO(auto_free) char *file = house_write_file(b.h, "admin-token", TOKEN);
    char value[600];
    struct fetched f;

    (void)state;
    house_edit(b.h, "admin:\n", arena_fmt(a, "admin:\n  token_file: %s\n", file));
    house_cordon_start(b.h);
    assert_int_equal(ask(&b, &(struct asked){.method = "GET", .path = "/cases"}, &f), 401);
    has(f.body, "name=\"token\"");
    has(f.body, "name=\"to\" value=\"/cases\"");
    lacks(f.body, "contoso");
    leave("sign-in", f.body);
    fetched_clear(&f);
    assert_int_equal(
        ask(&b, &(struct asked){.method = "POST", .path = "/login", .body = "by=m&token=wrong"},
            &f),
        401);
    has(f.body, "This is not the admin token");
    assert_null(fetched_header(&f, "Set-Cookie", value, sizeof value));
    fetched_clear(&f);
    assert_int_equal(ask(&b,
                         &(struct asked){.method = "POST",
                                         .path = "/login",
                                         .body = login,
                                         .origin = "https://evil.example"},
                         &f),
                     403);
    fetched_clear(&f);
    assert_int_equal(
        ask(&b, &(struct asked){.method = "POST", .path = "/login", .body = login}, &f), 303);
    assert_string_equal(fetched_header(&f, "Location", value, sizeof value), "/cases");
    fetched_clear(&f);
    assert_int_equal(
        ask(&b,
            &(struct asked){.method = "POST",
                            .path = "/login",
                            .body = "by=maria&token=" TOKEN "&to=%2Fcases%2F1%0D%0AX-Odd%3A%201"},
            &f),
        303); /* what is no header of ours leads to the first page */
    assert_string_equal(fetched_header(&f, "Location", value, sizeof value), "/");
    assert_non_null(fetched_header(&f, "Set-Cookie", value, sizeof value));
    has(value, "; HttpOnly; SameSite=Strict");
    lacks(value, TOKEN);
    fetched_clear(&f);
    b.cookie = arena_fmt(a, "Cookie: theme=dark; %.*s", (int)strcspn(value, ";"), value);

    text = page(&b, "/", "signed-in");
    has(text, "Sign out");
    has(text, "value=\"maria\""); /* his name stands in the forms */
    form = form_token(&b, text);

    /* a form of one session is none of another's */
    assert_int_equal(
        ask(&other,
            &(struct asked){.method = "POST", .path = "/login", .body = "by=eve&token=" TOKEN}, &f),
        303);
    assert_non_null(fetched_header(&f, "Set-Cookie", value, sizeof value));
    fetched_clear(&f);
    other.cookie = arena_fmt(a, "Cookie: %.*s", (int)strcspn(value, ";"), value);
    text = arena_fmt(a, "form_token=%s&by=eve&why=x", form);
    assert_int_equal(
        ask(&other, &(struct asked){.method = "POST", .path = "/pause", .body = text}, &f), 403);
    fetched_clear(&f);
    other.cookie = NULL;
    assert_int_equal(
        ask(&other, &(struct asked){.method = "POST", .path = "/pause", .body = text}, &f), 401);
    fetched_clear(&f);
    /* nor is a session that was altered one */
    other.cookie = arena_fmt(a, "%s0", b.cookie);
    assert_int_equal(ask(&other, &(struct asked){.method = "GET", .path = "/"}, &f), 401);
    fetched_clear(&f);

    /* a restart ends no session; another token does */
    house_cordon_stop(b.h);
    house_cordon_start(b.h);
    assert_false(is_paused(b.h));
    has(send_form(&b, "/", "/pause", "by=maria&why=x"), "PAUSED");
    free(house_write_file(b.h, "admin-token", "another-token-of-another-time"));
    house_cordon_stop(b.h);
    house_cordon_start(b.h);
    assert_int_equal(ask(&b, &(struct asked){.method = "GET", .path = "/"}, &f), 401);
    fetched_clear(&f);
    house_log_lacks(b.h, TOKEN);
    house_stop(b.h);
}

/* By the clock of the log: time() lags behind it, and may not be in a second yet that has begun there. */
static int64_t second_now(void)
{
    return clock_wall_ms(clock_system()) / SECOND_MS;
}

/* Whoever reaches the address may guess, and fills no disk by it. */
static void test_console__guesses_cannot_flood_the_log(void **state)
{
    static const struct house_options o = {.not_yet = true};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a};
    AUTO(auto_free) char *file = house_write_file(b.h, "admin-token", TOKEN);
    struct fetched f;
    int64_t began;
    unsigned lines;

    (void)state;
    house_edit(b.h, "admin:\n", arena_fmt(a, "admin:\n  token_file: %s\n", file));
    house_cordon_start(b.h);
    began = second_now();
    for (int i = 0; i < 200; i++) {
        assert_int_equal(
            ask(&b, &(struct asked){.method = "POST", .path = "/login", .body = "by=m&token=wrong"},
                &f),
            401);
        fetched_clear(&f);
    }
    house_wait_log(b.h, "\"console_sign_in_refused\"", 20, SOON);
    lines = house_log_count(b.h, "\"console_sign_in_refused\"");
    assert_true(lines <= 20 * (unsigned)(second_now() - began + 1));
    house_stop(b.h);
}

/* ---- many ------------------------------------------------------------------------------------- */

#define MANY  10000
#define BATCH 100

static void test_console__ten_thousand_cases_are_pages_of_a_bounded_size(void **state)
{
    static const struct house_options o = {.quota = "{per_minute: 10, per_hour: 10}"};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct browser b = {.h = house_start(&o), .a = a};
    size_t seen = 0, pages = 0;
    const char *path = "/cases";

    (void)state;
    for (int i = 0; i < MANY; i += BATCH) {
        AUTO(buf_clear) struct buf body = BUF_INIT(64 * 1024);
        struct fetched f;

        buf_adds(&body, "[");
        for (int k = i; k < i + BATCH; k++)
            buf_addf(&body, "%s{\"alertId\":\"da%d_-1\"}", k > i ? "," : "", k);
        buf_adds(&body, "]");
        if (!house_post(b.h, NULL, buf_text(&body), &f) || f.status != 202)
            fail_msg("%d %s", f.status, f.body);
        fetched_clear(&f);
    }
    assert_true(strlen(page(&b, "/", "many")) < 256 * 1024);
    /* and page by page each of them is there, once */
    while (path) {
        const char *text = page(&b, path, NULL), *next = strstr(text, "rel=\"next\" href=\"");

        assert_true(strlen(text) < 256 * 1024);
        for (const char *at = text; (at = strstr(at, "href=\"/cases/")) != NULL; at++)
            seen++;
        next = next ? next + strlen("rel=\"next\" href=\"") : NULL;
        path = next ? arena_strn(a, next, strcspn(next, "\"")) : NULL;
        pages++;
        if (path) { /* as a browser reads it */
            AUTO(buf_clear) struct buf plain = BUF_INIT(1000);

            for (const char *c = path; *c; c++) {
                buf_addc(&plain, *c);
                if (strncmp(c, "&amp;", 5) == 0)
                    c += 4;
            }
            path = arena_str(a, buf_text(&plain));
        }
    }
    assert_int_equal(seen, MANY);
    assert_in_range(pages, MANY / 50, MANY / 50 + 1);
    house_stop(b.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_console__shows_what_is_and_escapes_what_attackers_chose),
        cmocka_unit_test(test_console__a_case_that_is_done_says_whether_its_machine_is_isolated),
        cmocka_unit_test(test_console__a_question_counts_machines_not_cases),
        cmocka_unit_test(test_console__its_pages_can_do_nothing_but_be_read),
        cmocka_unit_test(test_console__what_is_not_there_is_a_page_that_says_so),
        cmocka_unit_test(test_console__a_pause_by_form_stops_isolations_until_it_is_resumed),
        cmocka_unit_test(test_console__a_field_that_cannot_be_read_gives_no_order),
        cmocka_unit_test(test_console__questions_and_isolations_are_dealt_with_by_form),
        cmocka_unit_test(test_console__nobody_but_its_own_page_gives_orders),
        cmocka_unit_test(test_console__with_an_admin_token_people_sign_in),
        cmocka_unit_test(test_console__guesses_cannot_flood_the_log),
        cmocka_unit_test(test_console__ten_thousand_cases_are_pages_of_a_bounded_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
