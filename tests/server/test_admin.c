/* test_admin.c - the people's side as people see it: the real HTTP server on a port, the real store on a disk. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "api.h"
#include "desk.h"
#include "id.h"
#include "json.h"
#include "kit/disk.h"
#include "kit/fetch.h"
#include "kit/hands.h"
#include "kit/raw.h"
#include "log.h"
#include "readiness.h"
#include "rest.h"
#include "store_accept.h"
#include "store_notices.h"

#define TOKEN   "Zc0dB2EwS4yYJgS3K0rnQbqHyOWrKxV1"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
/* The alert named another machine when it was read again. */
#define FACTS                                                                                          \
    "{\"alert\":{\"id\":\"da1_-1\"},\"machine\":{\"id\":\"0123456789abcdef0123456789abcdef01234567\"," \
    "\"computerDnsName\":\"other.corp.example\"}}"
#define WAIT_MS  20000
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- a people's side of the test's own ---------------------------------------------------------------- */

struct desk {
    char dir[64], base[80];
    struct hands hands;
    struct store *store;
    struct rest *rest;
    struct metrics *metrics;
    struct health *health;
    struct engine *g;
    struct admin *admin;
    struct http_server *http;
    struct arena *a;
};

static void put_file(const struct desk *d, const char *name, const char *text)
{
    char path[120];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", d->dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* source: settings of the source more; rest: tenants more, and then sections. */
static struct runtime *load_more(struct desk *d, bool token, const char *source, const char *rest)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct yaml_faults faults;
    struct config *config = NULL;
    struct runtime *rt = NULL;
    struct err e = {0};
    char text[2000], path[120];

    put_file(d, "secret", "s");
    put_file(d, "whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=");
    put_file(d, "token", TOKEN "\n");
    (void)snprintf(text, sizeof text,
                   "admin: {address: '127.0.0.1:0'%s}\nstore: {url: 'sqlite:unused.db'}\n"
                   "sources:\n  relay:\n    tenant: contoso\n%s    verify:\n"
                   "      - standard_webhooks: {secret_files: [whsec]}\n"
                   "rules: [{name: tell, do: [email: {}]}]\n"
                   "mail: {server: 'smtp://127.0.0.1:9', from: a@b.example, to: [c@b.example]}\n"
                   "tenants:\n  contoso:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                   "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                   "    client_secret_file: secret\n%s",
                   token ? ", token_file: token" : "", source, rest);
    put_file(d, "cordon.yaml", text);
    (void)snprintf(path, sizeof path, "%s/cordon.yaml", d->dir);
    yaml_faults_init(&faults, a);
    if (config_load(path, NULL, a, &config, &faults, &e))
        fail_msg("%s: %s", e.text, faults.count ? faults.first->text : "");
    assert_int_equal(runtime_new(config, d->rest, &d->hands.clock, &rt, &e), ERR_OK);
    return rt;
}

static struct runtime *load(struct desk *d, bool token)
{
    return load_more(d, token, "", "");
}

/* Whoever claims holds on to it: nothing is done here but looked at. */
static void leave_it(struct engine *g, struct work *w)
{
    (void)g;
    (void)w;
}

/* On the heap: a test that fails leaves it to the threads that still look at it. */
static struct desk *open_desk(bool token)
{
    struct desk *d = calloc(1, sizeof *d);
    engine_run runs[WORK_KINDS];
    struct hands hands = HANDS_INIT;
    struct admin_options admin = {.version = "1.2.3", .started_ms = 1736244672000};
    struct http_options http = {.address = "127.0.0.1:0",
                                .max_body = 65536,
                                .max_head = 32768,
                                .head_deadline_ms = 10000,
                                .body_deadline_ms = 10000,
                                .idle_ms = 10000,
                                .threads = 1,
                                .max_connections = 16,
                                .handler = admin_handler(),
                                .clock = clock_system()};
    const char *tmp = getenv("TMPDIR");
    char url[120];
    struct err e = {0};

    assert_non_null(d);
    for (size_t i = 0; i < COUNT(runs); i++)
        runs[i] = leave_it;
    disk_install();
    d->a = arena_new(0);
    d->hands.clock = hands.clock;
    d->hands.wall = hands.wall;
    d->hands.mono = hands.mono;
    (void)snprintf(d->dir, sizeof d->dir, "%.40s/admin-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(d->dir));
    (void)snprintf(url, sizeof url, "sqlite:%s/cordon.db", d->dir);
    assert_int_equal(store_open(url, false, &d->hands.clock, &d->store, &e), ERR_OK);
    assert_int_equal(rest_new(&(struct rest_options){0}, &d->rest, &e), ERR_OK);
    assert_int_equal(metrics_new(&d->metrics, &e), ERR_OK);
    assert_int_equal(health_new(&d->hands.clock, &d->health, &e), ERR_OK);
    assert_int_equal(engine_new(d->store, d->rest, &d->hands.clock, load(d, token), &d->g, &e),
                     ERR_OK);
    d->g->metrics = d->metrics;
    d->g->health = d->health;
    assert_int_equal(engine_start(d->g, runs, &e), ERR_OK);
    admin.engine = d->g;
    assert_int_equal(admin_new(&admin, &d->admin, &e), ERR_OK);
    http.ctx = d->admin;
    assert_int_equal(http_server_open(&http, &d->http, &e), ERR_OK);
    (void)snprintf(d->base, sizeof d->base, "http://%s", http_server_address(d->http));
    return d;
}

static void close_desk(struct desk *d)
{
    DIR *dir;

    disk_mend();
    http_server_free(d->http, 5000);
    admin_free(d->admin);
    engine_stop(d->g);
    engine_free(d->g);
    health_free(d->health);
    metrics_free(d->metrics);
    rest_free(d->rest);
    store_free(d->store);
    arena_free(d->a);
    dir = opendir(d->dir);
    for (struct dirent *f; dir && (f = readdir(dir));)
        if (f->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), f->d_name, 0);
    if (dir)
        (void)closedir(dir);
    (void)rmdir(d->dir);
    free(d);
}

/* ---- asking --------------------------------------------------------------------------------------------- */

static int ask(struct desk *d, const char *method, const char *path, const char *const *headers,
               struct fetched *f)
{
    char url[3000];

    (void)snprintf(url, sizeof url, "%s%s", d->base, path);
    if (!fetch(f, method, url, headers, NULL, 0, WAIT_MS))
        fail_msg("%s %s: %s", method, path, f->why);
    return f->status;
}

/* An order. */
static int give(struct desk *d, const char *path, const char *body, struct fetched *f)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    char url[3000];

    (void)snprintf(url, sizeof url, "%s%s", d->base, path);
    if (!fetch(f, "POST", url, headers, body, strlen(body), WAIT_MS))
        fail_msg("POST %s: %s", path, f->why);
    return f->status;
}

/* A document in the test's arena is not needed: the caller frees it. */
static struct json *get(struct desk *d, const char *path, int status)
{
    struct json *doc = NULL;
    struct fetched f;
    struct err e = {0};

    if (ask(d, "GET", path, NULL, &f) != status)
        fail_msg("GET %s: %d instead of %d: %s", path, f.status, status, f.body);
    if (json_parse(f.body, f.body_len, &doc, &e))
        fail_msg("GET %s: %s: %s", path, e.text, f.body);
    fetched_clear(&f);
    return doc;
}

static void assert_header(const struct fetched *f, const char *name, const char *want)
{
    char value[200];
    const char *is = fetched_header(f, name, value, sizeof value);

    if (!want)
        assert_null(is);
    else
        assert_string_equal(is ? is : "(absent)", want);
}

/* RFC 9457, and no word on libraries. */
static void assert_problem(const struct fetched *f, int status)
{
    AUTO(json_freep) struct json *doc = NULL;
    int64_t n = 0;

    assert_int_equal(f->status, status);
    assert_header(f, "Content-Type", "application/problem+json");
    assert_header(f, "Cache-Control", "no-store");
    assert_header(f, "Server", NULL);
    assert_int_equal(json_parse(f->body, f->body_len, &doc, NULL), ERR_OK);
    assert_true(json_int64(json_get(doc, "status"), &n));
    assert_int_equal(n, status);
    assert_string_equal(json_get_string(doc, "title"), http_status_phrase((unsigned)status));
    assert_non_null(json_get_string(doc, "type"));
    assert_non_null(json_get_string(doc, "detail"));
}

/* ---- filling the store ----------------------------------------------------------------------------------- */

static void stored(void *arg, enum err_code code, const struct err *e)
{
    struct acceptance *a = arg;

    (void)e;
    a->count = code ? 0 : a->count;
    (void)sem_post(a->ctx);
}

static int64_t push_by(struct desk *d, const char *source, bool may_isolate, const char *tenant,
                       const char *alert_id)
{
    const struct alert_ref ref = {.alert_id = alert_id, .machine_id = MACHINE};
    const struct notification n = {.tenant = tenant,
                                   .source = source,
                                   .may_isolate = may_isolate,
                                   .received_ms = clock_wall_ms(&d->hands.clock),
                                   .alerts = &ref,
                                   .count = 1};
    sem_t done;
    struct acceptance a = {.n = &n, .ctx = &done};

    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(d->store, &a, stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    assert_int_equal(a.count, 1);
    return a.cases[0];
}

static int64_t push(struct desk *d, const char *tenant, const char *alert_id)
{
    return push_by(d, "relay", false, tenant, alert_id);
}

/* A case that went all the way: judged, its isolation confirmed, two notices. */
struct story {
    struct desk *d;
    struct case_record c;
    int64_t now;
};

static enum err_code story_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct story *s = arg;
    struct verdict_step steps[] = {
        {.handler = "isolate", .acts = true, .args = "{\"type\":\"Full\"}"},
        {.handler = "email", .args = "{}", .withheld = "because"}};
    const struct verdict v = {.rule = "contain",
                              .steps = steps,
                              .n_steps = 2,
                              .json = "{\"rule\":\"contain\",\"why\":[{\"field\":\"x\"}]}"};
    struct isolation_record i = {.id = 4711,
                                 .case_id = s->c.id,
                                 .tenant = "contoso",
                                 .machine_id = MACHINE,
                                 .machine_name = "ws-114 <b>\"\xc3\xa5\"</b>",
                                 .type = "Full",
                                 .comment = "line 1\nline 2",
                                 .rule = "contain",
                                 .state = ISOLATION_REQUESTED,
                                 .requested = s->now,
                                 .updated = s->now};
    struct recipient_record to = {.address = "soc@contoso.example"};
    struct notice_record n = {.id = 5001,
                              .case_id = s->c.id,
                              .kind = "requested",
                              .subject = "[REQUESTED] High: x",
                              .sender = "a@b.example",
                              .message = "secret body of the mail",
                              .recipients = &to,
                              .n_recipients = 1};
    enum err_code code = case_judged(tx, &s->c, MACHINE, FACTS, &v, s->now, e);

    if (!code)
        code = isolation_insert(tx, &i, e);
    if (!code)
        code = isolation_move(tx, &i, ISOLATION_ISOLATED, NULL, s->now + 5, e);
    if (!code)
        code = case_join(tx, &s->c, i.id, e);
    if (!code)
        code = notice_insert(tx, &n, s->now, e);
    if (!code)
        code = recipient_move(tx, 5001, 0, RECIPIENT_SENT, 250, "2.0.0 taken", s->now, e);
    return code ? code : case_move(tx, &s->c, CASE_DONE, NULL, s->now + 9, e);
}

static int64_t tell_story(struct desk *d)
{
    struct story s = {.d = d, .now = clock_wall_ms(&d->hands.clock)};
    struct err e = {0};
    int64_t id = push(d, "contoso", "da1_-1");

    assert_int_equal(store_case_load(d->store, d->a, id, &s.c, &e), ERR_OK);
    if (db_write(d->store->db, story_fn, &s, &e))
        fail_msg("%s", e.text);
    return id;
}

/* ---- paths --------------------------------------------------------------------------------------------------- */

static void test_admin__serves_what_the_contract_lists_and_nothing_else(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
        const char *type; /* NULL: a problem */
    } rows[] = {
        {"GET", "/", 200, "text/html; charset=utf-8"},
        {"HEAD", "/", 200, "text/html; charset=utf-8"},
        {"GET", "/cases", 200, "text/html; charset=utf-8"},
        {"GET", "/api/sources", 200, "application/json"},
        {"GET", "/api/questions/0000000000000", 404, NULL},
        {"GET", "/healthz", 200, "application/json"},
        {"HEAD", "/healthz", 200, "application/json"},
        {"GET", "/healthz?x=1", 200, "application/json"},
        {"GET", "/readyz", 200, "application/json"},
        {"GET", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"},
        {"GET", "/api/cases", 200, "application/json"},
        {"HEAD", "/api/cases", 200, "application/json"},
        {"GET", "/api/isolations", 200, "application/json"},
        {"GET", "/api/isolations?open=1", 200, "application/json"},
        {"GET", "/api/isolations?machine=ws-114", 200, "application/json"},
        {"GET", "/api/isolations/0000000000000", 404, NULL},
        {"GET", "/api/isolations/1", 404, NULL},
        {"GET", "/api/cases/0000000000000", 404, NULL},
        {"GET", "/api/cases/zzzzzzzzzzzzz", 404, NULL},
        {"GET", "/api/cases/1", 404, NULL},
        {"GET", "/api/cases/", 404, NULL},
        {"GET", "/api/cases/../isolations", 400, NULL},
        {"GET", "/api/cases/%2e%2e", 400, NULL},
        {"GET", "/api", 404, NULL},
        {"GET", "/API/cases", 404, NULL},
        {"GET", "/healthz/", 404, NULL},
        {"GET", "//healthz", 404, NULL},
        {"GET", "/hooks/relay", 404, NULL},
        {"POST", "/hooks/relay", 404, NULL},
        {"POST", "/healthz", 405, NULL},
        {"PUT", "/api/cases", 405, NULL},
        {"DELETE", "/api/cases/0000000000000", 405, NULL},
        {"OPTIONS", "/metrics", 405, NULL},
    };
    static const char *const empty[] = {"Content-Length: 0", NULL};
    struct desk *d;

    (void)state;
    d = open_desk(false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;

        print_message("  %s %s\n", rows[i].method, rows[i].path);
        assert_int_equal(ask(d, rows[i].method, rows[i].path, empty, &f), rows[i].status);
        if (rows[i].type)
            assert_header(&f, "Content-Type", rows[i].type);
        else
            assert_problem(&f, rows[i].status);
        assert_header(&f, "Allow", rows[i].status == 405 ? "GET, HEAD" : NULL);
        assert_header(&f, "Cache-Control", "no-store");
        if (strcmp(rows[i].method, "HEAD") == 0)
            assert_int_equal(f.body_len, 0);
        fetched_clear(&f);
    }
    close_desk(d);
}

/* ---- the token --------------------------------------------------------------------------------------------------- */

static void test_admin__asks_for_the_token_where_one_is_set(void **state)
{
    static const struct {
        const char *label, *headers[3];
        bool good;
    } rows[] = {
        {"none", {NULL}, false},
        {"the token", {"Authorization: Bearer " TOKEN}, true},
        {"in lower case", {"authorization: bearer " TOKEN}, true},
        {"nothing behind Bearer", {"Authorization: Bearer "}, false},
        {"its beginning", {"Authorization: Bearer Zc0dB2EwS4yYJgS3"}, false},
        {"longer", {"Authorization: Bearer " TOKEN "x"}, false},
        {"with the line end of the file", {"Authorization: Bearer " TOKEN "\\n"}, false},
        {"another case", {"Authorization: Bearer zC0dB2EwS4yYJgS3K0rnQbqHyOWrKxV1"}, false},
        {"another scheme", {"Authorization: Basic " TOKEN}, false},
        {"bare", {"Authorization: " TOKEN}, false},
        {"twice", {"Authorization: Bearer " TOKEN, "Authorization: Bearer " TOKEN}, false},
        {"a good one behind a bad one",
         {"Authorization: Bearer x", "Authorization: Bearer " TOKEN},
         false},
        {"as a cookie", {"Cookie: token=" TOKEN}, false},
    };
    static const char *const closed[] = {"/metrics", "/api/cases", "/api/cases/0000000000000",
                                         "/api/isolations"};
    static const char *const open[] = {"/healthz", "/readyz"};
    struct desk *d;

    (void)state;
    d = open_desk(true);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;

        print_message("  %s\n", rows[i].label);
        for (size_t p = 0; p < COUNT(closed); p++) {
            int status = ask(d, "GET", closed[p], rows[i].headers, &f);

            if (rows[i].good) {
                assert_true(status == 200 || status == 404);
            } else {
                assert_problem(&f, 401);
                assert_header(&f, "WWW-Authenticate", "Bearer");
                assert_null(strstr(f.body, TOKEN));
            }
            fetched_clear(&f);
        }
        for (size_t p = 0; p < COUNT(open); p++) { /* probes have no token */
            assert_int_equal(ask(d, "GET", open[p], rows[i].headers, &f), 200);
            fetched_clear(&f);
        }
    }
    close_desk(d);
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static void test_admin__orders_are_json_from_this_host_alone(void **state)
{
#define JSON   "Content-Type: application/json"
#define WHY    "{\"why\":\"a drill\",\"by\":\"maria\"}"
#define NOBODY "0000000000000"
    static const struct {
        const char *label, *method, *id, *verb, *headers[3], *body;
        int status;
    } rows[] = {
        {"read", "GET", NULL, "retry", {JSON}, NULL, 405},
        {"no type", "POST", NULL, "drop", {NULL}, WHY, 415},
        {"a form's type", "POST", NULL, "drop", {"Content-Type: text/plain"}, WHY, 415},
        {"from a page of the web",
         "POST",
         NULL,
         "drop",
         {JSON, "Origin: https://x.example"},
         WHY,
         403},
        {"from a page without origin", "POST", NULL, "drop", {JSON, "Origin: null"}, WHY, 403},
        {"no JSON", "POST", NULL, "drop", {JSON}, "why=x", 400},
        {"no object", "POST", NULL, "drop", {JSON}, "[]", 400},
        {"a reason by another name", "POST", NULL, "drop", {JSON}, "{\"reason\":\"x\"}", 400},
        {"a member of another order", "POST", NULL, "retry", {JSON}, "{\"for\":\"4h\"}", 400},
        {"a parameter", "POST", NULL, "drop?force=1", {JSON}, WHY, 400},
        {"a number for a text", "POST", NULL, "drop", {JSON}, "{\"why\":1}", 400},
        {"no reason to drop", "POST", NULL, "drop", {JSON}, "{}", 400},
        {"blanks for a reason", "POST", NULL, "drop", {JSON}, "{\"why\":\"  \"}", 400},
        {"a case that is not there", "POST", NOBODY, "retry", {JSON}, WHY, 404},
        {"no id", "POST", "x.y", "retry", {JSON}, WHY, 404},
        {"no such order", "POST", NULL, "isolate", {JSON}, WHY, 404},
        {"retry of what is under way", "POST", NULL, "retry", {JSON}, WHY, 409},
        {"drop", "POST", NULL, "drop", {JSON}, WHY, 200},
        {"drop once more", "POST", NULL, "drop", {JSON}, WHY, 409},
        {"retry of what was dropped", "POST", NULL, "retry", {JSON}, WHY, 409},
    };
    struct desk *d;
    struct case_record c;
    char id[ID_TEXT_SIZE];
    int64_t number;

    (void)state;
    d = open_desk(false);
    number = push(d, "contoso", "da1_-1");
    for (size_t i = 0; i < COUNT(rows); i++) {
        char url[200];
        struct fetched f;

        (void)snprintf(url, sizeof url, "%s/api/cases/%s/%s", d->base,
                       rows[i].id ? rows[i].id : id_format(number, id), rows[i].verb);
        if (!fetch(&f, rows[i].method, url, rows[i].headers, rows[i].body,
                   rows[i].body ? strlen(rows[i].body) : 0, WAIT_MS))
            fail_msg("%s: %s", rows[i].label, f.why);
        if (f.status != rows[i].status)
            fail_msg("%s: %d instead of %d: %s", rows[i].label, f.status, rows[i].status, f.body);
        if (f.status != 200)
            assert_problem(&f, rows[i].status);
        if (f.status == 405)
            assert_header(&f, "Allow", "POST");
        fetched_clear(&f);
    }
    assert_int_equal(store_case_load(d->store, d->a, number, &c, NULL), ERR_OK);
    assert_int_equal(c.state, CASE_DROPPED);
    assert_string_equal(c.why, "dropped by maria: a drill");
    close_desk(d);
}

/* A page of the web whose name was made to mean 127.0.0.1 reads nothing, nor does whoever a proxy on this host lets
 * through, which may write its own Host; where a token is asked for, either is as good as this host. */
static void test_admin__names_of_other_hosts_are_refused_without_a_token(void **state)
{
    static const struct {
        const char *host;
        int status;
    } rows[] = {
        {"127.0.0.1", 200},
        {"127.0.0.1:9180", 200},
        {"localhost:9180", 200},
        {"[::1]:9180", 200},
        {"127.64.1.2:9180", 200},
        {"127.rebound.example", 403},
        {"rebound.example", 403},
        {"localhost.rebound.example", 403},
        {"127.0.0.1.x:1", 403},
        {"cordon.rebound.example:9180", 403},
        {"127.0.0.1:9180\r\nX-Forwarded-For: 203.0.113.7", 403},
        {"127.0.0.1:9180\r\nX-Forwarded-Host: cordon.contoso.example", 403},
        {"127.0.0.1:9180\r\nForwarded: for=203.0.113.7;proto=https", 403},
        {"localhost:9180\r\nvia: 1.1 proxy", 403},
        {"localhost:9180\r\nX-Real-IP: 203.0.113.7", 403},
    };
    static const char *const paths[] = {"/", "/api/cases", "/metrics", "/api/isolations"};

    (void)state;
    for (int token = 0; token < 2; token++) {
        struct desk *d = open_desk(token);

        for (size_t i = 0; i < COUNT(rows); i++)
            for (size_t k = 0; k < COUNT(paths); k++) {
                struct raw *raw = raw_open(d->base + strlen("http://"));
                struct raw_answer answer;
                char request[400];

                (void)snprintf(request, sizeof request,
                               "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer " TOKEN
                               "\r\nConnection: close\r\n\r\n",
                               paths[k], rows[i].host);
                assert_non_null(raw);
                raw_text(raw, request);
                raw_answer(raw, &answer, false);
                if ((int)answer.status != (token ? 200 : rows[i].status))
                    fail_msg("%s with Host %s: %u", paths[k], rows[i].host, answer.status);
                raw_free(raw);
            }
        close_desk(d);
    }
}

/* What is not served is said to everybody, before the token is asked for; and the token in the query is none. */
static void test_admin__an_unknown_path_tells_nothing_about_the_token(void **state)
{
    struct desk *d;
    struct fetched f;

    (void)state;
    d = open_desk(true);
    assert_int_equal(ask(d, "GET", "/api/nothing", NULL, &f), 404);
    fetched_clear(&f);
    assert_int_equal(ask(d, "GET", "/api/cases?token=" TOKEN, NULL, &f), 401);
    fetched_clear(&f);
    close_desk(d);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------ */

static void test_admin__pages_show_every_case_once(void **state)
{
    struct desk *d;
    int64_t ids[73];
    static const size_t limits[] = {1, 7, 50, 72, 73, 74, 500};

    (void)state;
    d = open_desk(false);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = push(d, "contoso", arena_fmt(d->a, "da%zu_-1", i));
    for (size_t l = 0; l < COUNT(limits); l++) {
        char path[100];
        size_t seen = 0, pages = 0;

        (void)snprintf(path, sizeof path, "/api/cases?limit=%zu", limits[l]);
        while (path[0]) {
            AUTO(json_freep) struct json *page = get(d, path, 200);
            const char *next = json_get_string(page, "next");

            assert_true(json_count(json_get(page, "cases")) <= limits[l]);
            JSON_EACH (c, json_get(page, "cases")) {
                char text[ID_TEXT_SIZE];

                assert_true(seen < COUNT(ids));
                assert_string_equal(json_get_string(c, "id"),
                                    id_format(ids[COUNT(ids) - 1 - seen++], text));
            }
            pages++;
            path[0] = '\0';
            if (next)
                (void)snprintf(path, sizeof path, "/api/cases?limit=%zu&cursor=%s", limits[l],
                               next);
        }
        assert_int_equal(seen, COUNT(ids));
        assert_int_equal(pages, (COUNT(ids) + limits[l] - 1) / limits[l]); /* none of them empty */
    }
    AUTO(json_freep) struct json *usual = get(d, "/api/cases", 200);
    assert_int_equal(json_count(json_get(usual, "cases")), API_LIMIT_DEFAULT);
    close_desk(d);
}

static void test_admin__refuses_parameters_it_cannot_read(void **state)
{
    static const struct {
        const char *query, *names; /* what the detail names */
    } rows[] = {
        {"limit=0", "limit"},
        {"limit=501", "limit"},
        {"limit=-1", "limit"},
        {"limit=", "limit"},
        {"limit=1e2", "limit"},
        {"limit=+5", "limit"},
        {"limit=99999999999999999999", "limit"},
        {"limit=%20"
         "5",
         "limit"},
        {"cursor=x", "id"},
        {"cursor=", "id"},
        {"cursor=00000000000000", "id"},
        {"cursor=000000000000'", "id"},
        {"state=isolated", "state"},
        {"state=Done", "state"},
        {"state=", "state"},
        {"state=done'--", "state"},
        {"tenant=nobody", "tenant: there is no 'nobody', nor a case of one; there are: contoso"},
        {"tenant=contoso'%20OR%201=1--", "tenant: there is no 'contoso' OR 1=1--'"},
        {"tenant=", "tenant: there is no ''"},
        {"since=yesterday", "since"},
        {"since=2026-13-01T00:00:00Z", "since"},
        {"since=-5m", "since"},
        {"since=", "since"},
    };
    struct desk *d;

    (void)state;
    d = open_desk(false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;
        char path[200];

        print_message("  %s\n", rows[i].query);
        (void)snprintf(path, sizeof path, "/api/cases?%s", rows[i].query);
        (void)ask(d, "GET", path, NULL, &f);
        assert_problem(&f, 400);
        assert_non_null(strstr(f.body, rows[i].names));
        fetched_clear(&f);
    }
    close_desk(d);
}

/* What is misspelt is not passed over: without it the answer is to another question. */
static void test_admin__refuses_parameters_that_it_does_not_know(void **state)
{
    static const struct {
        const char *path, *says;
    } rows[] = {
        {"/api/isolations?open=true", "open: expected 0 or 1"},
        {"/api/isolations?open=yes", "open: expected 0 or 1"},
        {"/api/isolations?open=2", "open: expected 0 or 1"},
        {"/api/isolations?open=", "open: expected 0 or 1"},
        {"/api/isolations?open", "open: expected 0 or 1"},
        {"/api/silences?open=true", "open: expected 0 or 1"},
        {"/api/isolations?opne=1", "did you mean open? (known: open, machine, limit, cursor)"},
        {"/api/isolations?open=1&foo=1", "'foo': there is no such parameter here (known: open"},
        {"/api/isolations?=1", "'': there is no such parameter"},
        {"/api/isolations?open=1&open=0", "open: given twice"},
        {"/api/isolations?open=%zz", "open: given twice, or not encoded"},
        {"/api/isolations?machine=%ff", "machine: given twice, or not encoded"},
        {"/api/cases?tenant=%ed%a0%80", "tenant: given twice, or not encoded"},
        {"/api/cases?state=done&state=failed", "state: given twice"},
        {"/api/cases?open=1", "known: state, tenant, since, limit, cursor"},
        {"/api/questions?state=open&x", "'x': there is no such parameter"},
        {"/api/sources?limit=1", "known: none"},
        {"/api/cases/0000000000000?x=1", "known: none"},
        {"/api/silences/0000000000000?open=1", "known: limit, cursor"},
    };
    static const char *const good[] = {"/api/isolations?open=0",
                                       "/api/isolations?open=1",
                                       "/api/isolations?",
                                       "/api/isolations?&open=1&",
                                       "/api/silences?open=1&limit=5",
                                       "/metrics?collect=x",
                                       "/healthz?x=1"};
    struct desk *d = open_desk(false);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;

        print_message("  %s\n", rows[i].path);
        (void)ask(d, "GET", rows[i].path, NULL, &f);
        assert_problem(&f, 400);
        if (!strstr(f.body, rows[i].says))
            fail_msg("%s", f.body);
        fetched_clear(&f);
    }
    for (size_t i = 0; i < COUNT(good); i++) {
        struct fetched f;

        (void)ask(d, "GET", good[i], NULL, &f);
        assert_int_equal(f.status, 200);
        fetched_clear(&f);
    }
    close_desk(d);
}

static void test_admin__orders_with_an_unknown_member_do_nothing(void **state)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    static const struct {
        const char *path, *body, *says;
    } rows[] = {
        {"/api/pause", "{\"reason\":\"x\"}",
         "'reason': there is no such member here (known: why, by)"},
        {"/api/pause", "{\"why\":\"x\",\"bye\":\"m\"}", "did you mean by?"},
        {"/api/resume", "{\"machine\":\"m\"}", "known: why, by"},
        {"/api/hunts/x/run", "{\"why\":\"x\"}", "known: by"},
        {"/api/silences/preview", "{\"wen\":\"x\"}", "did you mean when?"},
        {"/api/silences/add",
         "{\"when\":\"alert.title: x\",\"why\":\"w\",\"by\":\"m\",\"for\":\"0s\"}",
         "for: a silence lasts 1m to 30d"},
        {"/api/silences/add", "{\"durating\":\"x\"}", "known: when, for, until, why, by"},
    };
    struct desk *d = open_desk(false);
    struct pause pause;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;
        char url[200];

        (void)snprintf(url, sizeof url, "%s%s", d->base, rows[i].path);
        assert_true(fetch(&f, "POST", url, headers, rows[i].body, strlen(rows[i].body), WAIT_MS));
        assert_problem(&f, 400);
        if (!strstr(f.body, rows[i].says))
            fail_msg("%s: %s", rows[i].path, f.body);
        fetched_clear(&f);
    }
    assert_true(readiness_pause(d->g, d->a, &pause));
    assert_false(pause.on);
    close_desk(d);
}

/* Programs that write ASCII alone (Python's json, for one) make six bytes of a letter. */
static void test_admin__an_order_may_be_written_in_escapes(void **state)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    AUTO(buf_clear) struct buf body = BUF_INIT(1 << 16);
    struct desk *d = open_desk(false);
    struct fetched f;
    char url[200];

    (void)state;
    buf_adds(&body, "{\"when\":\"alert.title: ");
    for (int i = 0; i < 900; i++)
        buf_adds(&body, "\\u00e4"); /* two bytes of UTF-8 */
    buf_adds(&body, "\"}");
    (void)snprintf(url, sizeof url, "%s/api/silences/preview", d->base);
    assert_true(fetch(&f, "POST", url, headers, buf_text(&body), body.len, WAIT_MS));
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
    close_desk(d);
}

static void test_admin__filters_are_obeyed_together(void **state)
{
    static const struct {
        const char *query;
        size_t count;
    } rows[] = {
        {"", 8},
        {"tenant=contoso", 5},
        {"tenant=fabrikam", 3},
        {"state=received", 7},
        {"state=done", 1},
        {"state=received&tenant=contoso", 4},
        {"since=1h", 3},
        {"since=3d", 8},
        {"since=2025-01-07T10:11:12Z", 8},
        {"since=2025-01-08T00:00:00Z", 3},
        {"since=2100-01-01T00:00:00Z", 0},
        {"since=9999-12-31T23:59:59Z", 0},
        {"since=1970-01-01T00:00:00Z", 8},
        {"since=1969-01-01T00:00:00Z", 8},
        {"since=2025-01-08T01:00:00%2B01:00", 3},
        {"since=2025-01-07T23:00:00-01:00", 3},
        {"since=1h&tenant=fabrikam", 3},
        {"since=1h&tenant=contoso", 0},
    };
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    for (int i = 0; i < 4; i++)
        (void)push(d, "contoso", arena_fmt(d->a, "dac%d_-1", i));
    hands_turn(&d->hands, DAY_MS);
    for (int i = 0; i < 3; i++)
        (void)push(d, "fabrikam", arena_fmt(d->a, "daf%d_-1", i));
    hands_turn(&d->hands, MINUTE_MS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[200];

        (void)snprintf(path, sizeof path, "/api/cases?%s", rows[i].query);
        AUTO(json_freep) struct json *page = get(d, path, 200);
        print_message("  %s\n", rows[i].query);
        assert_int_equal(json_count(json_get(page, "cases")), rows[i].count);
        assert_int_equal(json_type(json_get(page, "next")), JSON_NULL);
    }
    close_desk(d);
}

/* ---- documents ------------------------------------------------------------------------------------------------------------ */

static const char *at(const struct json *doc, const char *a, const char *b)
{
    const char *text = json_string(json_path(doc, a, b, NULL));

    return text ? text : "(none)";
}

static void test_admin__a_case_is_told_whole(void **state)
{
    struct desk *d;
    int64_t id;
    char text[ID_TEXT_SIZE], path[60];
    const struct json *step, *notice, *to;

    (void)state;
    d = open_desk(false);
    id = tell_story(d);
    (void)snprintf(path, sizeof path, "/api/cases/%s", id_format(id, text));
    AUTO(json_freep) struct json *c = get(d, path, 200);
    assert_string_equal(json_get_string(c, "id"), text);
    assert_string_equal(json_get_string(c, "tenant"), "contoso");
    assert_string_equal(json_get_string(c, "alert_id"), "da1_-1");
    assert_string_equal(json_get_string(c, "machine_id"), MACHINE);
    assert_null(json_get_string(c, "machine_name")); /* that is another's */
    assert_string_equal(json_get_string(c, "state"), "done");
    assert_string_equal(json_get_string(c, "rule"), "contain");
    assert_string_equal(json_get_string(c, "created"), "2025-01-07T10:11:12.000Z");
    assert_string_equal(json_get_string(c, "updated"), "2025-01-07T10:11:12.009Z");
    assert_string_equal(at(c, "verdict", "rule"), "contain");
    assert_string_equal(at(json_get(c, "facts"), "alert", "id"), "da1_-1");
    assert_int_equal(json_count(json_get(c, "steps")), 2);
    step = json_first(json_get(c, "steps"));
    assert_string_equal(json_get_string(step, "handler"), "isolate");
    assert_string_equal(json_get_string(step, "state"), "waiting");
    assert_string_equal(at(step, "args", "type"), "Full");
    step = json_next(step);
    assert_string_equal(json_get_string(step, "state"), "withheld");
    assert_string_equal(json_get_string(step, "why"), "because");
    assert_string_equal(at(c, "isolation", "state"), "isolated");
    assert_string_equal(at(c, "isolation", "machine_name"), "ws-114 <b>\"\xc3\xa5\"</b>");
    assert_string_equal(at(c, "isolation", "comment"), "line 1\nline 2");
    assert_string_equal(at(c, "isolation", "case"), text);
    assert_int_equal(json_count(json_get(c, "notices")), 1);
    notice = json_first(json_get(c, "notices"));
    assert_string_equal(json_get_string(notice, "kind"), "requested");
    to = json_first(json_get(notice, "recipients"));
    assert_string_equal(json_get_string(to, "address"), "soc@contoso.example");
    assert_string_equal(json_get_string(to, "state"), "sent");
    assert_string_equal(json_get_string(to, "reply"), "2.0.0 taken");

    AUTO(json_freep) struct json *list = get(d, "/api/cases", 200);
    const struct json *one = json_first(json_get(list, "cases"));
    assert_string_equal(json_get_string(one, "id"), text);
    assert_string_equal(at(one, "verdict", "rule"), "contain");
    assert_int_equal(json_count(json_get(one, "steps")), 2);
    close_desk(d);
}

/* People have the alert's id, from the portal: "there is no case" would be read as "it never came". */
static void test_admin__a_case_is_found_by_the_id_of_its_alert(void **state)
{
    char longest[129];
    struct desk *d = open_desk(false);
    struct fetched f;
    char id[ID_TEXT_SIZE], other[ID_TEXT_SIZE];

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    (void)push(d, "contoso", "da1_-1");
    (void)id_format(push(d, "contoso", longest), id);
    (void)ask(d, "GET", arena_fmt(d->a, "/api/cases/%s", longest), NULL, &f);
    assert_int_equal(f.status, 200);
    assert_non_null(strstr(f.body, id));
    fetched_clear(&f);
    (void)ask(d, "GET", "/api/cases/da1_-2", NULL, &f);
    assert_problem(&f, 404);
    fetched_clear(&f);

    /* of two tenants it is nobody's to choose */
    (void)id_format(push(d, "fabrikam", "da2_-2"), id);
    (void)id_format(push(d, "contoso", "da2_-2"), other);
    (void)ask(d, "GET", "/api/cases/da2_-2", NULL, &f);
    assert_problem(&f, 409);
    assert_non_null(strstr(f.body, arena_fmt(d->a, "%s of contoso or %s of fabrikam", other, id)));
    fetched_clear(&f);
    close_desk(d);
}

static void test_admin__a_case_that_has_just_come_is_told_with_nulls(void **state)
{
    static const char *const nulls[] = {"rule",    "why",   "told",      "machine_id",
                                        "verdict", "facts", "isolation", "machine_name"};
    struct fetched page;
    struct desk *d;
    char text[ID_TEXT_SIZE], path[60];

    (void)state;
    d = open_desk(false);
    (void)snprintf(path, sizeof path, "/api/cases/%s",
                   id_format(push(d, "contoso", "da1_-1"), text));
    AUTO(json_freep) struct json *c = get(d, path, 200);
    assert_string_equal(json_get_string(c, "state"), "received");
    assert_string_equal(json_get_string(c, "pushed_machine_id"), MACHINE); /* as the sender said */
    for (size_t i = 0; i < COUNT(nulls); i++)
        assert_int_equal(json_type(json_get(c, nulls[i])), JSON_NULL);
    assert_int_equal(json_type(json_get(c, "steps")), JSON_ARRAY);
    assert_int_equal(json_count(json_get(c, "steps")), 0);
    assert_int_equal(json_count(json_get(c, "notices")), 0);
    for (int detail = 0; detail < 2;
         detail++) { /* nobody takes what the sender says for Defender's word */
        assert_int_equal(ask(d, "GET", detail ? path + strlen("/api") : "/cases", NULL, &page),
                         200);
        assert_non_null(strstr(page.body, detail ? "<dt>Machine id, as a sender says</dt>"
                                                 : MACHINE ", says the sender"));
        assert_null(strstr(page.body, "<dt>Machine id</dt>"));
        fetched_clear(&page);
    }
    close_desk(d);
}

static void test_admin__isolations_are_listed_with_their_times(void **state)
{
    static const char *const members[] = {"id",        "tenant",   "machine_id", "machine_name",
                                          "state",     "why",      "case",       "requested",
                                          "confirmed", "released", "since",      "review",
                                          "reminded",  "lapsed",   "release_why"};
    struct desk *d;
    const struct json *one;

    (void)state;
    d = open_desk(false);
    AUTO(json_freep) struct json *none = get(d, "/api/isolations", 200);
    assert_int_equal(json_count(json_get(none, "isolations")), 0);
    (void)tell_story(d);
    AUTO(json_freep) struct json *list = get(d, "/api/isolations?open=1&limit=1", 200);
    AUTO(json_freep) struct json *other = get(d, "/api/isolations?machine=ws-1", 200);
    AUTO(json_freep) struct json *empty = get(d, "/api/isolations?machine=", 400);
    assert_int_equal(json_count(json_get(other, "isolations")), 0);
    assert_non_null(strstr(json_get_string(empty, "detail"), "machine: "));
    one = json_first(json_get(list, "isolations"));
    for (size_t i = 0; i < COUNT(members); i++)
        assert_int_not_equal(json_type(json_get(one, members[i])), JSON_ABSENT);
    assert_string_equal(json_get_string(one, "state"), "isolated");
    assert_string_equal(json_get_string(one, "requested"), "2025-01-07T10:11:12.000Z");
    assert_string_equal(json_get_string(one, "confirmed"), "2025-01-07T10:11:12.005Z");
    assert_string_equal(json_get_string(one, "since"), json_get_string(one, "confirmed"));
    assert_int_equal(json_type(json_get(one, "released")), JSON_NULL);
    assert_int_equal(json_type(json_get(list, "next")), JSON_NULL); /* full, and the last one */
    close_desk(d);
}

/* ---- health and metrics ----------------------------------------------------------------------------------------------------- */

static void test_admin__ready_means_that_a_push_can_be_accepted(void **state)
{
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)health_note(d->health, "defender", "contoso", true, NULL);
    AUTO(json_freep) struct json *well = get(d, "/readyz", 200);
    assert_true(json_is_true(json_get(well, "ready")));
    assert_false(json_is_true(json_get(well, "degraded")));
    assert_true(json_is_true(json_path(well, "parts", "store", "ok", NULL)));
    assert_true(json_is_true(json_path(well, "parts", "defender:contoso", "ok", NULL)));

    (void)health_note(d->health, "defender", "contoso", false, "GET /alerts: HTTP 503 \"quoted\"");
    AUTO(json_freep) struct json *worse = get(d, "/readyz", 200); /* pushes are still taken */
    assert_true(json_is_true(json_get(worse, "degraded")));
    assert_string_equal(json_string(json_path(worse, "parts", "defender:contoso", "why", NULL)),
                        "GET /alerts: HTTP 503 \"quoted\"");

    admin_stopping(d->admin);
    AUTO(json_freep) struct json *ending = get(d, "/readyz", 503);
    assert_false(json_is_true(json_get(ending, "ready")));
    assert_false(json_is_true(json_path(ending, "parts", "senders", "ok", NULL)));
    AUTO(json_freep) struct json *alive = get(d, "/healthz", 200);
    assert_string_equal(json_get_string(alive, "status"), "alive");
    close_desk(d);
}

/* After a reload without them nobody uses them again: their last word would be told for ever. */
static void test_admin__what_is_not_configured_any_more_is_not_sick(void **state)
{
    static const struct {
        const char *kind, *name;
        bool configured;
    } rows[] = {
        {"defender", "contoso", true},   {"ledger", "contoso", true},
        {"defender", "fabrikam", false}, {"ledger", "fabrikam", false},
        {"polling", "contoso", false},                               /* polling is off */
        {"hunt", "lsass", false},        {"source", "relay", false}, /* it has no heartbeat */
        {"source", "gone", false},       {"mail", NULL, true},
        {"mail:2", NULL, false},         {"webhook:teams", NULL, false},
    };
    struct desk *d;
    struct fetched f;

    (void)state;
    d = open_desk(false);
    for (size_t i = 0; i < COUNT(rows); i++)
        (void)health_note(d->health, rows[i].kind, rows[i].name, false, "HTTP 503");
    AUTO(json_freep) struct json *ready = get(d, "/readyz", 200);
    assert_int_equal(ask(d, "GET", "/metrics", NULL, &f), 200);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char name[80], line[120];

        (void)snprintf(name, sizeof name, "%s%s%s", rows[i].kind, rows[i].name ? ":" : "",
                       rows[i].name ? rows[i].name : "");
        (void)snprintf(line, sizeof line, "\ncordon_healthy{part=\"%s\"} 0\n", name);
        print_message("  %s\n", name);
        assert_int_equal(json_path(ready, "parts", name, NULL) != NULL, rows[i].configured);
        assert_int_equal(strstr(f.body, line) != NULL, rows[i].configured);
    }
    fetched_clear(&f);
    close_desk(d);
}

static enum err_code run_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const char *const *sql = arg;

    return db_run(tx, e, NULL, *sql, "");
}

static void run(struct desk *d, const char *sql)
{
    struct err e;

    if (db_write(d->store->db, run_fn, &sql, &e))
        fail_msg("%s: %s", sql, e.text);
}

/* What is looked at once in a while was perhaps last looked at by another replica, or before a restart: what the store
 * knows of it is told, not what this process happens to have seen. */
static void test_admin__what_another_replica_saw_is_told(void **state)
{
    static const struct {
        const char *kind, *name, *why;
    } rows[] = {
        {"source", "relay", "quiet: last heard 1970-01-01T00:00:07.000Z"},
        {"hunt", "lsass", "HTTP 403"},
        {"mail", NULL, "421 later"},
        {"polling", "contoso", "the log of the replica that does it says why"},
        {"ledger", "contoso", "the log of the replica that does it says why"},
    };
    struct desk *d;
    struct fetched f;

    (void)state;
    d = open_desk(false);
    engine_use(d->g, load_more(d, false, "    heartbeat: 1h\n",
                               "polling: {every: 1m}\n"
                               "hunts: [{name: lsass, tenant: contoso, schedule: '0 3 * * *', "
                               "query: 'DeviceEvents | take 1', do: [email: {}]}]\n"));
    run(d,
        "INSERT INTO heartbeats (id, source, heard, since, quiet) VALUES (1, 'relay', 7000, 0, 9000),"
        " (2, 'gone', 7000, 0, 9000)");
    run(d,
        "INSERT INTO hunts (id, name, query, plan, due, covered, ran, failing, why, found, fresh,"
        " ordered, ordered_dry, result) VALUES (3, 'lsass', '', '', 0, 0, 0, 9000, 'HTTP 403', 0, 0,"
        " 0, 0, '')");
    run(d,
        "INSERT INTO ways (id, name, failing, told, why) VALUES (4, 'mail', 9000, 0, '421 later')");
    run(d, "INSERT INTO polls (id, tenant, list, since, watermark, polled, failing) VALUES"
           " (5, 'contoso', 'alerts', 0, 0, 0, 9000), (6, 'contoso', 'actions', 0, 0, 0, 9000)");
    for (int well = 0; well < 2; well++) {
        AUTO(json_freep) struct json *ready = get(d, "/readyz", 200);

        assert_int_equal(json_is_true(json_get(ready, "degraded")), !well);
        assert_null(json_path(ready, "parts", "source:gone", NULL));
        assert_int_equal(ask(d, "GET", "/metrics", NULL, &f), 200);
        for (size_t i = 0; i < COUNT(rows); i++) {
            const struct json *part;
            const char *why;
            char name[80], line[120];

            (void)snprintf(name, sizeof name, "%s%s%s", rows[i].kind, rows[i].name ? ":" : "",
                           rows[i].name ? rows[i].name : "");
            (void)snprintf(line, sizeof line, "\ncordon_healthy{part=\"%s\"} %d\n", name, well);
            print_message("  %s\n", name);
            part = json_path(ready, "parts", name, NULL);
            why = json_get_string(part, "why");
            assert_int_equal(json_is_true(json_get(part, "ok")), well);
            assert_int_equal(why && strstr(why, rows[i].why), !well);
            assert_non_null(strstr(f.body, line));
            if (!well)
                assert_string_equal(json_get_string(part, "since"), "1970-01-01T00:00:09.000Z");
            (void)health_note(d->health, rows[i].kind, rows[i].name, false, "seen here");
        }
        fetched_clear(&f);
        run(d, "UPDATE heartbeats SET quiet = 0");
        run(d, "UPDATE hunts SET failing = 0");
        run(d, "UPDATE ways SET failing = 0");
        run(d, "UPDATE polls SET failing = 0");
    }
    close_desk(d);
}

/* All of it, oldest first, and never ahead of what Defender has said. */
static void test_admin__a_case_has_a_timeline(void **state)
{
    static const char *const told[] = {"came from source relay",
                                       "judged: rule contain",
                                       "isolation asked for",
                                       "mail made: [REQUESTED] High: x",
                                       "isolated: confirmed by Defender",
                                       "case done"};
    const char *last = "";
    char text[ID_TEXT_SIZE], path[60];
    struct desk *d;
    int64_t id;
    size_t n = 0;

    (void)state;
    d = open_desk(false);
    id = tell_story(d);
    run(d,
        "UPDATE cases SET verdict = '{\"rule\":\"contain\",\"at\":\"2025-01-07T10:11:12.000Z\"}'");
    (void)snprintf(path, sizeof path, "/api/cases/%s", id_format(id, text));
    AUTO(json_freep) struct json *c = get(d, path, 200);
    JSON_EACH (x, json_get(c, "timeline")) {
        const char *time = json_get_string(x, "at"), *what = json_get_string(x, "what");

        assert_true(strcmp(last, time) <= 0);
        last = time;
        if (n < COUNT(told) && strcmp(what, told[n]) == 0)
            n++;
    }
    if (n < COUNT(told))
        fail_msg("not there, or in another order: %s", told[n]);
    close_desk(d);
}

/* The reason of an order that came to nothing is no reason of a release that somebody else made, or that is only thought to
 * be: "Defender lists no isolation any more" is no word of Defender's. */
static void test_admin__a_timeline_knows_whose_release_it_was(void **state)
{
    static const struct {
        const char *why, *ordered, *told;
    } rows[] = {
        {"released at Defender, and isolated there again since by ann@x.example",
         "release ordered by jan: false alarm",
         "released: released at Defender, and isolated there again since by ann@x.example"},
        {"Defender lists no isolation any more", NULL,
         "released: Defender lists no isolation any more"},
        {"release ordered by jan: false alarm", "release ordered by jan: false alarm",
         "released: release ordered by jan: false alarm"},
    };
    char text[ID_TEXT_SIZE], path[60];
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)snprintf(path, sizeof path, "/api/cases/%s", id_format(tell_story(d), text));
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *last = "";

        run(d, arena_fmt(d->a,
                         "UPDATE isolations SET state = 'released', released = confirmed + 60000,"
                         " why = '%s', release_why = %s%s%s",
                         rows[i].why, rows[i].ordered ? "'" : "",
                         rows[i].ordered ? rows[i].ordered : "NULL", rows[i].ordered ? "'" : ""));
        AUTO(json_freep) struct json *c = get(d, path, 200);
        JSON_EACH (x, json_get(c, "timeline"))
            last = json_get_string(x, "what");
        assert_string_equal(last, rows[i].told);
    }
    close_desk(d);
}

static enum err_code poll_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return acceptance_of_poll(tx, arg, e);
}

/* Another source may take the first one's place, and has not pushed when the case came. Nor has polling, of which there is no
 * delivery. */
/* What cordon tries on with is no standstill: people see when it does. */
static void test_admin__a_case_says_when_it_is_gone_on_with(void **state)
{
    struct desk *d = open_desk(false);
    int64_t id = push(d, "contoso", "da1_-1");
    char text[ID_TEXT_SIZE];
    const char *path = arena_fmt(d->a, "/api/cases/%s", id_format(id, text));
    struct fetched f;

    (void)state;
    /* nobody's, also where a worker that was slow to begin has claimed it since it was pushed */
    run(d, "UPDATE work SET due = 1736245000000, owner = NULL");
    AUTO(json_freep) struct json *waits = get(d, path, 200);
    assert_string_equal(json_get_string(waits, "due"), "2025-01-07T10:16:40.000Z");
    assert_int_equal(ask(d, "GET", path + strlen("/api"), NULL, &f), 200);
    assert_non_null(strstr(f.body, "<dt>Gone on with</dt>"));
    fetched_clear(&f);
    run(d, "UPDATE work SET owner = 'somebody'"); /* who is at work on it now */
    AUTO(json_freep) struct json *at_work = get(d, path, 200);
    assert_int_equal(json_type(json_get(at_work, "due")), JSON_NULL);
    run(d, "DELETE FROM work");
    AUTO(json_freep) struct json *done = get(d, path, 200);
    assert_int_equal(json_type(json_get(done, "due")), JSON_NULL);
    close_desk(d);
}

static bool happened(struct desk *d, int64_t id, const char *what)
{
    char text[ID_TEXT_SIZE];
    AUTO(json_freep)
    struct json *c = get(d, arena_fmt(d->a, "/api/cases/%s", id_format(id, text)), 200);

    JSON_EACH (x, json_get(c, "timeline"))
        if (strcmp(json_get_string(x, "what"), what) == 0)
            return true;
    return false;
}

/* Who came back to a case could not see that somebody had tried it again, nor what was judged before. */
static void test_admin__a_timeline_has_the_orders_of_people(void **state)
{
    static const char again[] = "tried again by joe: it may isolate now";
    static const char longer[] = "isolation extended by maria: still at it";
    struct desk *d = open_desk(false);
    int64_t id = tell_story(d), other = push(d, "contoso", "da1_-2");
    char text[ID_TEXT_SIZE];
    struct fetched f;

    (void)state;
    (void)give(d, arena_fmt(d->a, "/api/isolations/%s/extend", id_format(4711, text)),
               "{\"for\":\"4h\",\"by\":\"maria\",\"why\":\"still at it\"}", &f);
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
    assert_true(happened(d, id, longer));
    run(d, arena_fmt(d->a, "UPDATE cases SET isolation = 4711 WHERE id = %" PRId64, other));
    assert_true(happened(d, other, longer)); /* it is of this one, too */
    run(d, "UPDATE isolations SET state = 'released', released = 1");
    run(d, "DELETE FROM work"); /* it was done with */
    run(d, "UPDATE cases SET state = 'failed', verdict = "
           "'{\"rule\":\"contain\",\"at\":\"2025-01-07T10:11:12.000Z\"}'");
    (void)give(d, arena_fmt(d->a, "/api/cases/%s/retry", id_format(id, text)),
               "{\"by\":\"joe\",\"why\":\"it may isolate now\"}", &f);
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
    assert_true(happened(d, id, again));
    assert_true(happened(d, id, "judged for the time before: rule contain"));
    assert_true(happened(d, id, longer));
    assert_false(happened(d, other, again));
    close_desk(d);
}

static void test_admin__a_timeline_names_no_source_that_came_later(void **state)
{
    static const char *const sources[] = {"relay", "soar", "polling"};
    static const char *const told[] = {"came from source relay", "came", "came"};
    char text[ID_TEXT_SIZE], path[60];
    struct desk *d;

    (void)state;
    for (size_t i = 0; i < COUNT(told); i++) {
        const struct alert_ref ref = {.alert_id = "da1_-1"};
        struct notification polled = {.tenant = "contoso",
                                      .source = "polling",
                                      .may_isolate = true,
                                      .alerts = &ref,
                                      .count = 1};
        struct acceptance a = {.n = &polled};

        d = open_desk(false);
        id_format(push_by(d, "relay", false, "contoso", "da1_-1"), text);
        hands_turn(&d->hands, MINUTE_MS);
        polled.received_ms = clock_wall_ms(&d->hands.clock);
        if (i == 1)
            (void)push_by(d, "soar", true, "contoso", "da1_-1");
        else if (i == 2)
            assert_int_equal(db_write(d->store->db, poll_fn, &a, NULL), ERR_OK);
        (void)snprintf(path, sizeof path, "/api/cases/%s", text);
        AUTO(json_freep) struct json *c = get(d, path, 200);
        assert_string_equal(json_get_string(c, "source"), sources[i]);
        assert_string_equal(json_get_string(json_first(json_get(c, "timeline")), "what"), told[i]);
        close_desk(d);
    }
}

static void test_admin__the_console_finds_a_case_by_its_alert(void **state)
{
    char id[ID_TEXT_SIZE];
    struct fetched f;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)push(d, "contoso", "da2_-2");
    (void)id_format(tell_story(d), id);
    assert_int_equal(ask(d, "GET", "/cases/da1_-1", NULL, &f), 200);
    assert_non_null(strstr(f.body, arena_fmt(d->a, "<h1>Case %s</h1>", id)));
    assert_non_null(strstr(f.body, "What happened"));
    assert_non_null(strstr(f.body, "isolated: confirmed by Defender"));
    fetched_clear(&f);
    assert_int_equal(ask(d, "GET", "/cases?alert=%20da1_-1%0A", NULL, &f), 200);
    assert_non_null(strstr(f.body, id));
    assert_null(strstr(f.body, "da2_-2"));
    fetched_clear(&f);
    assert_int_equal(ask(d, "GET", "/cases/da3_-3", NULL, &f), 404);
    fetched_clear(&f);
    close_desk(d);
}

/* Who finds a question over many before its first mail is made may answer it, however late it is: the page says so, too. */
static void test_admin__the_console_takes_an_answer_before_the_first_mail(void **state)
{
    static const struct {
        const char *kind;
        int told;
        bool form;
    } rows[] = {{"storm", 0, true}, {"storm", 2, false}, {"step", 0, false}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk *d = open_desk(false);
        int64_t now = clock_wall_ms(&d->hands.clock);
        char id[ID_TEXT_SIZE];
        struct fetched f;

        (void)id_format(7, id);
        run(d,
            arena_fmt(d->a,
                      "INSERT INTO questions (id, kind, state, scope, what, policy, people, told,"
                      " created, expires, ended) VALUES (7, '%s', 'open', 'x', 'x', 'x', 1, %d,"
                      " %" PRId64 ", %" PRId64 ", 0)",
                      rows[i].kind, rows[i].told, now - 5 * HOUR_MS, now - HOUR_MS));
        assert_int_equal(ask(d, "GET", arena_fmt(d->a, "/questions/%s", id), NULL, &f), 200);
        assert_int_equal(strstr(f.body, "formaction") != NULL, rows[i].form);
        fetched_clear(&f);
        close_desk(d);
    }
}

/* Two tenants have a machine of one name each: a list that does not say whose it is has somebody release the wrong one. */
static void test_admin__the_console_says_whose_a_machine_is(void **state)
{
    static const char *const paths[] = {"/", "/cases", "/isolations", "/isolations?open=1"};
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    for (int several = 0; several < 2; several++) {
        for (size_t i = 0; i < COUNT(paths); i++) {
            struct fetched f;
            const char *told;

            assert_int_equal(ask(d, "GET", paths[i], NULL, &f), 200);
            told = strstr(f.body, "faint\">fabrikam</span>");
            if ((told != NULL) != several)
                fail_msg("%s: %s", paths[i], f.body);
            fetched_clear(&f);
        }
        run(d, "UPDATE isolations SET tenant = 'fabrikam'");
        run(d, "UPDATE cases SET tenant = 'fabrikam'");
    }
    close_desk(d);
}

/* An analyst has isolated the machine, and an alert whose rule asks for it, too, came after: that rule has isolated nothing. */
static void test_admin__the_console_calls_no_isolation_of_others_a_rule_s(void **state)
{
    static const char *const paths[] = {"/", "/isolations"};
    static const char others[] = "asked for by ann@contoso.example; rule contain asks for it, too<";
    struct desk *d = open_desk(false);

    (void)state;
    (void)tell_story(d);
    for (int adopted = 0; adopted < 2; adopted++) {
        for (size_t i = 0; i < COUNT(paths); i++) {
            struct fetched f;

            assert_int_equal(ask(d, "GET", paths[i], NULL, &f), 200);
            if ((strstr(f.body, others) != NULL) != adopted)
                fail_msg("%s: %s", paths[i], f.body);
            fetched_clear(&f);
        }
        run(d, "UPDATE isolations SET adopted = 1, requestor = 'ann@contoso.example'");
    }
    close_desk(d);
}

/* A case that is tried again, or whose absent machine was seen, leaves its isolation behind: nobody else has asked for that. */
static void test_admin__an_isolation_that_a_case_has_left_is_cordon_s_still(void **state)
{
    static const char others[] = "somebody else asked for it", anew[] = "has begun anew since";
    struct desk *d = open_desk(false);
    char id[ID_TEXT_SIZE];
    const char *path = arena_fmt(d->a, "/isolations/%s", id_format(4711, id));

    (void)state;
    (void)tell_story(d);
    run(d, "UPDATE isolations SET state = 'failed', lapsed = 1");
    run(d, "UPDATE cases SET isolation = NULL");
    for (int adopted = 0; adopted < 2; adopted++) {
        struct fetched f;

        assert_int_equal(ask(d, "GET", path, NULL, &f), 200);
        if ((strstr(f.body, others) != NULL) != adopted ||
            (strstr(f.body, anew) != NULL) == adopted)
            fail_msg("%s", f.body);
        fetched_clear(&f);
        run(d, "UPDATE isolations SET adopted = 1, case_id = 0");
    }
    close_desk(d);
}

/* It was given up to find out how it ended: that is not what is said of one that Defender calls failed. */
static void test_admin__the_console_calls_no_machine_free_of_which_nobody_knows(void **state)
{
    static const char *const paths[] = {"/isolations", "/isolations/", "/cases", "/cases/"};
    char id[ID_TEXT_SIZE], of[ID_TEXT_SIZE], path[80];
    struct fetched order;
    struct desk *d;
    int64_t c;

    (void)state;
    d = open_desk(false);
    c = tell_story(d);
    run(d, "UPDATE isolations SET state = 'failed', why = 'it is not known'");
    for (int unknown = 0; unknown < 2; unknown++) {
        for (size_t i = 0; i < COUNT(paths); i++) {
            struct fetched f;

            (void)snprintf(path, sizeof path, "%s%s", paths[i],
                           i == 1   ? id_format(4711, id)
                           : i == 3 ? id_format(c, of)
                                    : "");
            assert_int_equal(ask(d, "GET", path, NULL, &f), 200);
            if ((strstr(f.body, "was not cut off") || strstr(f.body, "; NOT isolated")) ==
                (unknown == 1))
                fail_msg("%s: %s", path, f.body);
            assert_non_null(strstr(f.body, "it is not known"));
            fetched_clear(&f);
        }
        run(d, "UPDATE isolations SET posted = 1");
    }
    assert_int_equal(ask(d, "GET", "/", NULL, &order), 200);
    assert_non_null(strstr(order.body, "or about to be, as far as cordon knows.<"));
    fetched_clear(&order);
    /* nor is it said to whoever wants it released */
    (void)snprintf(path, sizeof path, "/api/isolations/%s/release", id_format(4711, id));
    (void)give(d, path, "{\"why\":\"clean\"}", &order);
    assert_problem(&order, 409);
    assert_null(strstr(order.body, "is not isolated"));
    assert_non_null(strstr(order.body, "nobody knows whether the machine is isolated"));
    fetched_clear(&order);
    close_desk(d);
}

/* Whoever wants one stopped before Defender has confirmed it is told how, in each of its states. */
static void test_admin__how_an_isolation_is_stopped_is_said(void **state)
{
    static const struct {
        const char *made, *page, *order;
    } rows[] = {
        {"state = 'requested'", "letting its cases go stops it",
         "`cordon cases drop` of its cases"},
        {"state = 'pending'", "cancel the action in the Defender portal",
         "cancel the action in the Defender portal"},
        {"state = 'failed', posted = 1", "release it there if it is", "release it there if it is"},
        {"posted = 0, lapsed = 1736244672000", "letting them go stops that", "is not isolated"},
    };
    struct desk *d = open_desk(false);
    char id[ID_TEXT_SIZE], path[80];
    struct fetched gone;

    (void)state;
    (void)tell_story(d);
    run(d, "INSERT INTO work (id, kind, priority, due, attempts, fence, created)"
           " VALUES (4711, 6, 1, 4102444800000, 0, 0, 1)");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;

        run(d, arena_fmt(d->a, "UPDATE isolations SET %s", rows[i].made));
        (void)snprintf(path, sizeof path, "/isolations/%s", id_format(4711, id));
        assert_int_equal(ask(d, "GET", path, NULL, &f), 200);
        if (!strstr(f.body, rows[i].page))
            fail_msg("%s: %s", rows[i].made, f.body);
        fetched_clear(&f);
        (void)snprintf(path, sizeof path, "/api/isolations/%s/release", id);
        (void)give(d, path, "{\"why\":\"clean\"}", &f);
        assert_problem(&f, 409);
        if (!strstr(f.body, rows[i].order))
            fail_msg("%s: %s", rows[i].made, f.body);
        fetched_clear(&f);
    }
    /* nor when its lookout has come to an end before its time */
    run(d, "DELETE FROM work WHERE id = 4711");
    (void)snprintf(path, sizeof path, "/isolations/%s", id);
    assert_int_equal(ask(d, "GET", path, NULL, &gone), 200);
    assert_null(strstr(gone.body, "begin anew"));
    fetched_clear(&gone);
    run(d, "INSERT INTO work (id, kind, priority, due, attempts, fence, created)"
           " VALUES (4711, 6, 1, 4102444800000, 0, 0, 1)");
    /* but it has not while it looks */
    run(d, "UPDATE work SET owner = 'a replica' WHERE id = 4711");
    assert_int_equal(ask(d, "GET", path, NULL, &gone), 200);
    assert_non_null(strstr(gone.body, "begin anew"));
    fetched_clear(&gone);
    /* nobody looks out for a machine whose cases were let go */
    run(d, "UPDATE cases SET state = 'dropped'");
    (void)snprintf(path, sizeof path, "/isolations/%s", id);
    assert_int_equal(ask(d, "GET", path, NULL, &gone), 200);
    assert_null(strstr(gone.body, "begin anew"));
    fetched_clear(&gone);
    close_desk(d);
}

/* What a rule has ordered and Defender was not asked for yet a person may order, or take back: the forms are there as long as that
 * is so. */
static void test_admin__a_release_that_waits_can_be_ordered_and_stopped(void **state)
{
    static const struct {
        const char *made;
        bool waits;
    } rows[] = {
        {"state = 'releasing', by_rule = 1, posted = 0, release_id = NULL", true},
        {"by_rule = 0", false},
        {"by_rule = 1, posted = 1736244672000", false},
        {"posted = 0, release_id = 'c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f'", false},
    };
    struct desk *d = open_desk(false);
    char id[ID_TEXT_SIZE], path[80];

    (void)state;
    (void)tell_story(d);
    (void)id_format(4711, id);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched page, api;

        run(d, arena_fmt(d->a, "UPDATE isolations SET %s", rows[i].made));
        (void)snprintf(path, sizeof path, "/isolations/%s", id);
        assert_int_equal(ask(d, "GET", path, NULL, &page), 200);
        (void)snprintf(path, sizeof path, "/api/isolations/%s", id);
        assert_int_equal(ask(d, "GET", path, NULL, &api), 200);
        if ((strstr(page.body, "A rule has ordered the release") != NULL) != rows[i].waits ||
            (strstr(page.body, "/release\"") != NULL) != rows[i].waits ||
            (strstr(page.body, "/extend\"") != NULL) != rows[i].waits ||
            (strstr(api.body, "\"release_waits\":true") != NULL) != rows[i].waits)
            fail_msg("%s: %s %s", rows[i].made, api.body, page.body);
        fetched_clear(&page);
        fetched_clear(&api);
    }
    close_desk(d);
}

/* A part of the overview; in the desk's arena. */
static const char *part_of_overview(struct desk *d, const char *start)
{
    struct fetched f;
    const char *at;

    assert_int_equal(ask(d, "GET", "/", NULL, &f), 200);
    at = strstr(f.body, start);
    assert_non_null(at);
    at = arena_strn(d->a, at, (size_t)(strstr(at, "</section>") - at));
    fetched_clear(&f);
    return at;
}

/* Such a case is done: "no case has failed" was all that the overview said of it. And it is news when it comes to nothing,
 * however long ago it came. */
static void test_admin__the_overview_shows_what_was_not_isolated(void **state)
{
    static const char undone[] = "<section id=\"undone\"", none[] = "There is none.";
    struct desk *d = open_desk(false);
    char id[ID_TEXT_SIZE];

    (void)state;
    (void)id_format(tell_story(d), id);
    assert_non_null(strstr(part_of_overview(d, undone), none));
    run(d, "UPDATE cases SET told = 'not_isolated', state = 'done'");
    assert_null(strstr(part_of_overview(d, undone), none));
    assert_non_null(strstr(part_of_overview(d, undone), id));
    assert_non_null(strstr(part_of_overview(d, "<section id=\"failed\""), "No case has failed."));
    hands_turn(&d->hands, 8 * DAY_MS); /* so long a person had to answer, and did not */
    assert_non_null(strstr(part_of_overview(d, undone), none));
    run(d, arena_fmt(d->a, "UPDATE cases SET updated = %" PRId64, clock_wall_ms(&d->hands.clock)));
    assert_non_null(strstr(part_of_overview(d, undone), id));
    close_desk(d);
}

/* While the switch is off, a storm brings more of them than the page has room for. */
static void test_admin__the_overview_says_that_more_was_not_isolated(void **state)
{
    static const char undone[] = "<section id=\"undone\"", more[] = "There are more";
    struct desk *d = open_desk(false);

    (void)state;
    for (int i = 0; i < 50; i++)
        (void)push(d, "contoso", arena_fmt(d->a, "dau%d_-1", i));
    run(d, "UPDATE cases SET told = 'not_isolated', state = 'done'");
    assert_null(strstr(part_of_overview(d, undone), more));
    (void)push(d, "contoso", "dau50_-1");
    run(d, "UPDATE cases SET told = 'not_isolated', state = 'done'");
    assert_non_null(strstr(part_of_overview(d, undone), more));
    close_desk(d);
}

/* The list is of what people were told; who has set nobody to tell must not take it for all. */
static void test_admin__the_overview_says_that_nobody_may_have_been_told(void **state)
{
    static const char undone[] = "<section id=\"undone\"", nobody[] = "What nobody was told of";
    struct desk *d = open_desk(false);
    struct runtime *rt = load(d, false);

    (void)state;
    assert_null(strstr(part_of_overview(d, undone), nobody));
    rt->config->mail.to.count = 0;
    engine_use(d->g, rt);
    assert_non_null(strstr(part_of_overview(d, undone), nobody));
    close_desk(d);
}

/* The browser shows the page behind an order again, by its address, when somebody else has given another one since. */
static void test_admin__a_page_that_is_opened_again_says_nothing_old_of_the_switch(void **state)
{
    static const char *const pages[] = {"/?done=resumed", "/?done=paused"}; /* by whether it is */
    struct desk *d = open_desk(false);

    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        struct fetched f;

        for (int i = 0; i < 2; i++) {
            assert_int_equal(ask(d, "GET", pages[i], NULL, &f), 200);
            if ((strstr(f.body, "role=\"status\"") != NULL) != (i == paused))
                fail_msg("%s while it is%s paused: %s", pages[i], paused ? "" : " not", f.body);
            fetched_clear(&f);
        }
        (void)give(d, "/api/pause", "{\"why\":\"a drill\"}", &f);
        fetched_clear(&f);
    }
    close_desk(d);
}

/* While Defender is out of reach cases wait to be read, and are in no state of that name. */
static void test_admin__the_overview_does_not_say_that_none_waits_for_defender(void **state)
{
    static const char waiting[] = "<section id=\"waiting\"",
                      none[] = "for a person or for Defender.";
    struct desk *d = open_desk(false);

    (void)state;
    assert_non_null(strstr(part_of_overview(d, waiting), none));
    (void)push(d, "contoso", "da1_-1");
    (void)push(d, "contoso", "da1_-2");
    run(d, "UPDATE cases SET state = 'expanding', why = 'HTTP 503' WHERE alert_id = 'da1_-2'");
    assert_null(strstr(part_of_overview(d, waiting), none));
    assert_non_null(
        strstr(part_of_overview(d, waiting), "2 are under way, and may wait for Defender"));
    close_desk(d);
}

/* Defender said neither title nor severity: a case that was judged by that was read. */
static void test_admin__an_alert_without_a_title_was_read_all_the_same(void **state)
{
    struct fetched f;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    (void)push(d, "contoso", "da2_-2");
    assert_int_equal(ask(d, "GET", "/cases", NULL, &f), 200);
    assert_non_null(strstr(f.body, "alert da1_-1, which has no title<"));
    assert_non_null(strstr(f.body, "Alert da2_-2, not read yet<"));
    fetched_clear(&f);
    close_desk(d);
}

/* Facts may be as deep as any document of Defender's, and stand inside the case's own. */
static void test_admin__the_console_shows_a_case_whose_facts_are_deep(void **state)
{
    char open[JSON_DEPTH_MAX] = "", close[JSON_DEPTH_MAX] = "";
    struct fetched f;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    memset(open, '[', JSON_DEPTH_MAX - 2);
    memset(close, ']', JSON_DEPTH_MAX - 2);
    run(d, arena_fmt(d->a,
                     "UPDATE cases SET facts = '{\"alert\":{\"id\":\"da1_-1\",\"title\":\"Deep\","
                     "\"more\":%s%s}}' WHERE alert_id = 'da1_-1'",
                     open, close));
    if (ask(d, "GET", "/cases/da1_-1", NULL, &f) != 200)
        fail_msg("%d %.2000s", f.status, strstr(f.body, "<main"));
    assert_non_null(strstr(f.body, ">Deep<"));
    assert_null(strstr(f.body, "This cannot be read now"));
    fetched_clear(&f);
    close_desk(d);
}

/* What shadow mode holds back is told: its mails go out as ever. */
static void test_admin__a_source_in_shadow_mode_is_not_said_to_lead_to_nothing(void **state)
{
    struct desk *d = open_desk(false);
    const char *part;

    (void)state;
    engine_use(d->g, load_more(d, false, "    mode: shadow\n", ""));
    part = part_of_overview(d, "<section id=\"sources\"");
    if (!strstr(part, "\"May\">notify: shadow mode<"))
        fail_msg("%s", part);
    close_desk(d);
}

/* A tenant that was polled by one name got another, whose sources push: the row of the first stays, and nobody reads by it. */
static void test_admin__a_second_name_of_a_tenant_is_no_source_that_fell_silent(void **state)
{
    const struct json *sources, *last = NULL;
    struct fetched f;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    engine_use(d->g, load_more(d, false, "",
                               "  mailing:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                               "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f51\n"
                               "    client_secret_file: secret\npolling: {every: 1m}\n"));
    run(d, "INSERT INTO polls (id, tenant, list, since, watermark, polled, failing) VALUES"
           " (1, 'contoso', 'alerts', 1, 1, 9000, 0), (2, 'mailing', 'alerts', 1, 1, 9000, 0)");
    AUTO(json_freep) struct json *doc = get(d, "/api/sources", 200);
    sources = json_get(doc, "sources");
    assert_int_equal(json_count(sources), 2); /* relay, and polling of contoso */
    JSON_EACH (one, sources)
        last = one;
    assert_string_equal(json_get_string(last, "name"), "polling");
    assert_string_equal(json_get_string(last, "tenant"), "contoso");
    assert_int_equal(ask(d, "GET", "/metrics", NULL, &f), 200);
    assert_non_null(strstr(f.body, "\ncordon_polling_lag_seconds{tenant=\"contoso\"} "));
    assert_null(strstr(f.body, "cordon_polling_lag_seconds{tenant=\"mailing\"}"));
    fetched_clear(&f);
    close_desk(d);
}

/* Ten seconds of looking back are more than a stop may take. */
static void test_admin__nobody_looks_back_while_it_stops(void **state)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    static const char body[] = "{\"when\":\"alert.title: x\"}";
    char url[120];
    struct fetched f;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    (void)snprintf(url, sizeof url, "%s/api/silences/preview", d->base);
    assert_true(fetch(&f, "POST", url, json, body, sizeof body - 1, WAIT_MS));
    assert_int_equal(f.status, 200);
    assert_non_null(strstr(f.body, "\"cases_seen\":1"));
    fetched_clear(&f);
    engine_quiesce(d->g);
    assert_true(fetch(&f, "POST", url, json, body, sizeof body - 1, WAIT_MS));
    assert_int_equal(f.status, 503);
    assert_non_null(strstr(f.body, "cordon is stopping"));
    fetched_clear(&f);
    close_desk(d);
}

#define READERS 4 /* as many as db.c lends */

struct holding {
    struct db *db;
    pthread_t threads[READERS];
    sem_t held, go;
};

static enum err_code hold_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct holding *h = arg;

    (void)tx;
    (void)e;
    sem_post(&h->held);
    while (sem_wait(&h->go) != 0)
        ;
    return ERR_OK;
}

static void *hold(void *arg)
{
    struct holding *h = arg;

    (void)db_read(h->db, hold_fn, h, NULL);
    return NULL;
}

/* From here on nothing can be read from the store. */
static void hold_all(struct holding *h, const struct desk *d)
{
    h->db = d->store->db;
    (void)sem_init(&h->held, 0, 0);
    (void)sem_init(&h->go, 0, 0);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&h->threads[i], NULL, hold, h), 0);
    for (size_t i = 0; i < READERS; i++)
        while (sem_wait(&h->held) != 0)
            ;
}

/* n more may read. */
static void let_go(struct holding *h, unsigned n)
{
    while (n--)
        (void)sem_post(&h->go);
}

/* After all were let go. */
static void end_holding(struct holding *h)
{
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(h->threads[i], NULL), 0);
    (void)sem_destroy(&h->held);
    (void)sem_destroy(&h->go);
}

/* Whoever supervises the process would end it because the database does not answer, and every replica with it. */
static void test_admin__is_alive_while_the_store_does_not_answer(void **state)
{
    static const char *const paths[] = {"/readyz", "/metrics", "/api/cases", "/"};
    struct raw *waiting[COUNT(paths)];
    struct holding h;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    hold_all(&h, d);
    for (size_t i = 0; i < COUNT(paths); i++) {
        char text[100];

        waiting[i] = raw_open(http_server_address(d->http));
        assert_non_null(waiting[i]);
        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[i]);
        raw_text(waiting[i], text);
        AUTO(json_freep) struct json *alive = get(d, "/healthz", 200);
        assert_string_equal(json_get_string(alive, "status"), "alive");
        assert_false(raw_readable(waiting[i], 0));
    }
    let_go(&h, READERS);
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct raw_answer a;

        raw_answer(waiting[i], &a, false);
        assert_int_equal(a.status, 200);
        raw_free(waiting[i]);
    }
    end_holding(&h);
    close_desk(d);
}

/* Whoever looks at much, or at a store that is slow, does not keep others from pulling the kill switch. */
static void test_admin__an_order_waits_for_nobody_who_looks(void **state)
{
    static const char *const json[] = {"Content-Type: application/json", NULL};
    static const char form[] =
        "POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 0\r\n\r\n";
    struct raw *looking, *console;
    struct raw_answer a;
    struct holding h;
    struct fetched f;
    char url[120];
    struct desk *d;

    (void)state;
    d = open_desk(false);
    hold_all(&h, d);
    looking = raw_open(http_server_address(d->http));
    raw_text(looking, "GET /api/cases HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (void)snprintf(url, sizeof url, "%s/api/pause", d->base);
    assert_true(fetch(&f, "POST", url, json, "{}", 2, WAIT_MS));
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
    console = raw_open(http_server_address(d->http));
    raw_text(console, form);
    raw_answer(console, &a, false);
    assert_int_equal(a.status, 303);
    raw_free(console);
    let_go(&h, 1);
    raw_answer(looking, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(looking);
    let_go(&h, READERS - 1);
    end_holding(&h);
    close_desk(d);
}

/* The preview of a silence reads the cases of a week: as long as it takes, /metrics would be scraped in vain. */
static void test_admin__a_look_waits_for_no_preview(void **state)
{
    static const char preview[] =
        "POST /api/silences/preview HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: 25\r\n\r\n{\"when\":\"alert.title: x\"}";
    struct raw *previewing;
    struct raw_answer a;
    struct holding h;
    struct fetched f;
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    hold_all(&h, d);
    previewing = raw_open(http_server_address(d->http));
    raw_text(previewing, preview);
    /* a look that asks nothing of the store */
    assert_int_equal(ask(d, "GET", "/api/cases?no=such", NULL, &f), 400);
    fetched_clear(&f);
    assert_false(raw_readable(previewing, 0));
    let_go(&h, READERS);
    raw_answer(previewing, &a, false);
    assert_int_equal(a.status, 200);
    raw_free(previewing);
    end_holding(&h);
    close_desk(d);
}

static enum err_code touch_fn(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "UPDATE cases SET updated = updated + 1", "");
}

/* The last commit worked, and what is read now fails, as where a database does not answer any more. */
static void test_admin__a_store_that_cannot_be_read_is_not_ready(void **state)
{
    struct desk *d;

    (void)state;
    d = open_desk(false);
    run(d, "ALTER TABLE switches RENAME TO elsewhere");
    assert_int_equal(store_health(d->store, NULL), ERR_OK);
    AUTO(json_freep) struct json *sick = get(d, "/readyz", 503);
    assert_false(json_is_true(json_get(sick, "ready")));
    assert_false(json_is_true(json_path(sick, "parts", "store", "ok", NULL)));
    assert_non_null(
        strstr(json_string(json_path(sick, "parts", "store", "why", NULL)), "switches"));
    run(d, "ALTER TABLE elsewhere RENAME TO switches");
    AUTO(json_freep) struct json *well = get(d, "/readyz", 200);
    assert_true(json_is_true(json_path(well, "parts", "pause", "ok", NULL)));
    close_desk(d);
}

static void test_admin__a_sick_store_is_not_ready_until_it_is_well(void **state)
{
    static const struct {
        const char *label;
        enum disk_call call;
        enum disk_fault fault;
    } rows[] = {
        {"a full disk", DISK_WRITE, DISK_FULL},
        {"a disk that does not sync", DISK_SYNC, DISK_BROKEN},
    };
    struct desk *d;

    (void)state;
    d = open_desk(false);
    (void)push(d, "contoso", "da1_-1");
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *why;
        struct fetched f;

        print_message("  %s\n", rows[i].label);
        disk_fail(rows[i].call, DISK_LOG, rows[i].fault, 0);
        assert_int_not_equal(db_write(d->store->db, touch_fn, NULL, NULL), ERR_OK);
        AUTO(json_freep) struct json *sick = get(d, "/readyz", 503);
        assert_false(json_is_true(json_get(sick, "ready")));
        assert_false(json_is_true(json_path(sick, "parts", "store", "ok", NULL)));
        why = json_string(json_path(sick, "parts", "store", "why", NULL));
        assert_non_null(why);
        assert_true(strlen(why) > 5);
        AUTO(json_freep) struct json *list = get(d, "/api/cases", 200); /* reading goes on */
        assert_int_equal(json_count(json_get(list, "cases")), 1);
        assert_int_equal(ask(d, "GET", "/", NULL, &f), 200);
        assert_non_null(strstr(f.body, "NOT READY: nothing is accepted"));
        assert_non_null(strstr(f.body, "/cases/")); /* the one there is */
        fetched_clear(&f);
        disk_mend();
        assert_int_equal(db_write(d->store->db, touch_fn, NULL, NULL), ERR_OK);
        AUTO(json_freep) struct json *well = get(d, "/readyz", 200);
        assert_true(json_is_true(json_get(well, "ready")));
    }
    close_desk(d);
}

/* Whatever could not be read or written: whoever is answered 503 is told when to come again. */
static void test_admin__a_503_says_when_to_come_again(void **state)
{
    static const struct {
        const char *label, *method, *path, *body;
    } rows[] = {
        {"readiness", "GET", "/readyz", NULL},
        {"an order", "POST", "/api/pause", "{\"why\":\"x\"}"},
        {"a list", "GET", "/api/cases", NULL},
        {"a page", "GET", "/", NULL},
    };
    static const char *const json[] = {"Content-Type: application/json", NULL};
    struct desk *d = open_desk(false);

    (void)state;
    (void)tell_story(d);
    run(d, "UPDATE steps SET state = 'odd'");
    disk_fail(DISK_WRITE, DISK_LOG, DISK_FULL, 0);
    assert_int_not_equal(db_write(d->store->db, touch_fn, NULL, NULL), ERR_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *body = rows[i].body, *url = arena_fmt(d->a, "%s%s", d->base, rows[i].path);
        struct fetched f;

        print_message("  %s\n", rows[i].label);
        (void)fetch(&f, rows[i].method, url, body ? json : NULL, body, body ? strlen(body) : 0,
                    WAIT_MS);
        if (f.status != 503)
            fail_msg("%s: %d %s", url, f.status, f.body);
        assert_header(&f, "Retry-After", "5");
        fetched_clear(&f);
    }
    close_desk(d);
}

static int paused_lines;

static void count_paused(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)ctx;
    paused_lines += strstr(line, "\"event\":\"paused\"") != NULL;
}

static void test_admin__a_pause_that_is_not_on_disk_is_not_logged(void **state)
{
    const struct desk_order order = {.who = "maria", .why = "x"};
    struct desk *d = open_desk(false);

    (void)state;
    paused_lines = 0;
    log_divert(count_paused, NULL);
    disk_fail(DISK_WRITE, DISK_LOG, DISK_FULL, 0);
    assert_int_equal(desk_pause(d->g, &order, NULL), ERR_AGAIN);
    assert_int_equal(paused_lines, 0);
    disk_mend();
    assert_int_equal(desk_pause(d->g, &order, NULL), ERR_OK);
    assert_int_equal(paused_lines, 1);
    log_divert(NULL, NULL);
    close_desk(d);
}

static enum err_code break_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return db_run(tx, e, NULL, arg, "");
}

/* What can be read only in part is a problem, and not half a document of JSON. */
static void test_admin__half_an_answer_is_none(void **state)
{
    static const struct {
        const char *label, *sql, *path;
    } rows[] = {
        {"the steps of a case in a list", "UPDATE steps SET state = 'odd'", "/api/cases"},
        {"the body of a mail", "UPDATE notices SET message = 'odd'", "/api/cases/*/notice"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct desk *d = open_desk(false);
        const char *star = strchr(rows[i].path, '*');
        char path[200], id[ID_TEXT_SIZE];
        struct fetched f;

        print_message("  %s\n", rows[i].label);
        (void)id_format(tell_story(d), id);
        (void)snprintf(path, sizeof path, "%.*s%s%s",
                       star ? (int)(star - rows[i].path) : (int)strlen(rows[i].path), rows[i].path,
                       star ? id : "", star ? star + 1 : "");
        assert_int_equal(db_write(d->store->db, break_fn, (void *)rows[i].sql, NULL), ERR_OK);
        (void)ask(d, "GET", path, NULL, &f);
        if (f.status == 200 || !strstr(f.body, "\"detail\""))
            fail_msg("%s: %d %s", path, f.status, f.body);
        assert_problem(&f, f.status);
        fetched_clear(&f);
        close_desk(d);
    }
}

/* Every line is a comment or NAME{LABELS} NUMBER, every name has been announced. */
static void test_admin__metrics_are_text_that_prometheus_reads(void **state)
{
    static const char *const wanted[] = {
        "\ncordon_cases{state=\"received\"} 1\n",
        "\ncordon_cases{state=\"done\"} 1\n",
        "\ncordon_isolations{state=\"isolated\"} 1\n",
        "\ncordon_work{kind=\"case\"} 2\n",
        "\ncordon_work{kind=\"notice\"} 1\n",
        "\ncordon_verdicts_total{rule=\"contain\",doubt=\"no\"} 3\n",
        "\ncordon_quota_used{tenant=\"contoso\",window=\"minute\"} 0\n",
        "\ncordon_healthy{part=\"mail\"} 0\n",
        "\ncordon_build_info{version=\"1.2.3\"} 1\n",
        "\ncordon_start_time_seconds 1736244672\n",
    };
    struct desk *d;
    struct fetched f;
    const char *line, *end;

    (void)state;
    d = open_desk(false);
    (void)tell_story(d);
    (void)push(d, "contoso", "da2_-2");
    metrics_add(d->metrics, METRIC_VERDICTS, 3, "contain", "no");
    (void)health_note(d->health, "mail", NULL, false, "x");
    assert_int_equal(ask(d, "GET", "/metrics", NULL, &f), 200);
    for (size_t i = 0; i < COUNT(wanted); i++)
        if (!strstr(f.body, wanted[i]))
            fail_msg("no '%s' in\n%s", wanted[i], f.body);
    for (line = f.body; *line; line = end + 1) {
        char name[100], type[200];
        size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz_");

        end = strchr(line, '\n');
        assert_non_null(end);
        if (*line == '#')
            continue;
        assert_true(len > 7 && len < sizeof name);
        (void)snprintf(name, sizeof name, "%.*s", (int)len, line);
        (void)snprintf(type, sizeof type, "# TYPE %s ", name);
        assert_non_null(strstr(f.body, type));
        assert_true(strstr(f.body, type) < line);
        while (end[-1] >= '0' && end[-1] <= '9')
            end--;
        assert_int_equal(end[-1], ' ');
        end = strchr(end, '\n');
    }
    fetched_clear(&f);
    close_desk(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin__serves_what_the_contract_lists_and_nothing_else),
        cmocka_unit_test(test_admin__asks_for_the_token_where_one_is_set),
        cmocka_unit_test(test_admin__orders_are_json_from_this_host_alone),
        cmocka_unit_test(test_admin__names_of_other_hosts_are_refused_without_a_token),
        cmocka_unit_test(test_admin__an_unknown_path_tells_nothing_about_the_token),
        cmocka_unit_test(test_admin__pages_show_every_case_once),
        cmocka_unit_test(test_admin__refuses_parameters_it_cannot_read),
        cmocka_unit_test(test_admin__refuses_parameters_that_it_does_not_know),
        cmocka_unit_test(test_admin__orders_with_an_unknown_member_do_nothing),
        cmocka_unit_test(test_admin__an_order_may_be_written_in_escapes),
        cmocka_unit_test(test_admin__filters_are_obeyed_together),
        cmocka_unit_test(test_admin__a_case_is_told_whole),
        cmocka_unit_test(test_admin__a_case_has_a_timeline),
        cmocka_unit_test(test_admin__a_timeline_knows_whose_release_it_was),
        cmocka_unit_test(test_admin__a_case_says_when_it_is_gone_on_with),
        cmocka_unit_test(test_admin__a_timeline_has_the_orders_of_people),
        cmocka_unit_test(test_admin__a_timeline_names_no_source_that_came_later),
        cmocka_unit_test(test_admin__the_console_finds_a_case_by_its_alert),
        cmocka_unit_test(test_admin__a_case_that_has_just_come_is_told_with_nulls),
        cmocka_unit_test(test_admin__a_case_is_found_by_the_id_of_its_alert),
        cmocka_unit_test(test_admin__isolations_are_listed_with_their_times),
        cmocka_unit_test(test_admin__the_console_takes_an_answer_before_the_first_mail),
        cmocka_unit_test(test_admin__the_console_says_whose_a_machine_is),
        cmocka_unit_test(test_admin__the_console_calls_no_isolation_of_others_a_rule_s),
        cmocka_unit_test(test_admin__an_isolation_that_a_case_has_left_is_cordon_s_still),
        cmocka_unit_test(test_admin__the_console_calls_no_machine_free_of_which_nobody_knows),
        cmocka_unit_test(test_admin__how_an_isolation_is_stopped_is_said),
        cmocka_unit_test(test_admin__a_release_that_waits_can_be_ordered_and_stopped),
        cmocka_unit_test(test_admin__the_overview_shows_what_was_not_isolated),
        cmocka_unit_test(test_admin__the_overview_says_that_more_was_not_isolated),
        cmocka_unit_test(test_admin__the_overview_says_that_nobody_may_have_been_told),
        cmocka_unit_test(test_admin__a_page_that_is_opened_again_says_nothing_old_of_the_switch),
        cmocka_unit_test(test_admin__the_overview_does_not_say_that_none_waits_for_defender),
        cmocka_unit_test(test_admin__an_alert_without_a_title_was_read_all_the_same),
        cmocka_unit_test(test_admin__the_console_shows_a_case_whose_facts_are_deep),
        cmocka_unit_test(test_admin__a_source_in_shadow_mode_is_not_said_to_lead_to_nothing),
        cmocka_unit_test(test_admin__a_second_name_of_a_tenant_is_no_source_that_fell_silent),
        cmocka_unit_test(test_admin__ready_means_that_a_push_can_be_accepted),
        cmocka_unit_test(test_admin__what_is_not_configured_any_more_is_not_sick),
        cmocka_unit_test(test_admin__what_another_replica_saw_is_told),
        cmocka_unit_test(test_admin__is_alive_while_the_store_does_not_answer),
        cmocka_unit_test(test_admin__an_order_waits_for_nobody_who_looks),
        cmocka_unit_test(test_admin__a_look_waits_for_no_preview),
        cmocka_unit_test(test_admin__nobody_looks_back_while_it_stops),
        cmocka_unit_test(test_admin__a_store_that_cannot_be_read_is_not_ready),
        cmocka_unit_test(test_admin__a_sick_store_is_not_ready_until_it_is_well),
        cmocka_unit_test(test_admin__a_503_says_when_to_come_again),
        cmocka_unit_test(test_admin__a_pause_that_is_not_on_disk_is_not_logged),
        cmocka_unit_test(test_admin__half_an_answer_is_none),
        cmocka_unit_test(test_admin__metrics_are_text_that_prometheus_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
