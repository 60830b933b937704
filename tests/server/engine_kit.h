/* engine_kit.h - an engine without its workers, for tests of what runs do: a real store, a scripted
 * Defender (and Entra) on loopback, a clock whose hands the test turns.
 *
 *     struct rig r;
 *     rig_open(&r, NULL);
 *     rig_push(&r, ALERT, MACHINE);
 *     rig_says(&r, "GET", "/api/alerts/", 1, 200, ALERT_DOC) …
 *     rig_work(&r);            claims what is due and runs it, in this thread
 *     rig_close(&r);
 *
 * Included by one file of a program only.
 */
#ifndef ENGINE_KIT_H
#define ENGINE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "action.h"
#include "engine.h"
#include "expand.h"
#include "id.h"
#include "isolation.h"
#include "kit/hands.h"
#include "kit/peer.h"
#include "ledger.h"
#include "mime_read.h"
#include "mute.h"
#include "question.h"
#include "rest.h"
#include "store_accept.h"
#include "store_cases.h"
#include "store_isolations.h"
#include "store_notices.h"
#include "work.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define ACTION  "b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f"

#define GET_ALERT   "/api/alerts/"
#define GET_MACHINE "/api/machines/" MACHINE
#define LIST        "/api/machineactions?"
#define GET_ACTION  "/api/machineactions/"
#define ISOLATE     "/api/machines/" MACHINE "/isolate"
#define UNISOLATE   "/api/machines/" MACHINE "/unisolate"

#define ALERT_DOC                                                                                  \
    "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"title\":\"Credential memory read\","            \
    "\"machineId\":\"" MACHINE "\"}"
#define MACHINE_DOC "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"}"
/* An action made when the hands start, in a second of the test's choice. */
#define ACTION_DOC(id, type, status, external, second)                                             \
    "{\"id\":\"" id "\",\"type\":\"" type "\",\"status\":\"" status "\",\"machineId\":\"" MACHINE  \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:" second                                           \
    "Z\",\"lastUpdateDateTimeUtc\":\"2025-01-07T10:" second "Z\",\"externalId\":" external         \
    ",\"requestor\":\"somebody\"}"
/* One that succeeded, made and done in seconds of the test's choice. */
#define DONE_DOC(id, type, created, updated)                                                       \
    "{\"id\":\"" id "\",\"type\":\"" type "\",\"status\":\"Succeeded\",\"machineId\":\"" MACHINE   \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:" created                                          \
    "Z\",\"lastUpdateDateTimeUtc\":\"2025-01-07T10:" updated "Z\",\"requestor\":\"somebody\"}"
#define NOTHING "{\"value\":[]}"

#define RULES_ISOLATE_AND_MAIL                                                                     \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"    \
    "  - {name: tell, do: [email: {}]}\n"
#define RULES_MAIL_ONLY "rules:\n  - {name: tell, do: [email: {}]}\n"

struct rig {
    char dir[64], config_file[100], store_url[300];
    const char *tenant;  /* its name; NULL: contoso */
    const char *client;  /* its application; NULL: one for all */
    const char *tenants; /* more of them; or NULL */
    const char *sources; /* likewise */
    struct hands hands;
    struct peer *peer;
    struct rest *rest;
    struct store *store;
    struct engine *g;
    struct arena *arena;
};

static inline void rig_write(const struct rig *r, const char *name, const char *text)
{
    char path[200];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* rules: the top-level parts `rules` and `safety`. */
static inline struct runtime *rig_runtime_by(struct rig *r, const struct clock *clock,
                                             const char *rules)
{
    struct arena *faults_arena = arena_new(0);
    const char *tenant = r->tenant ? r->tenant : "contoso";
    /* where there is one, rig_push_to is to find its source */
    const char *fabrikams = arena_fmt(r->arena,
                                      "  relay-fabrikam:\n    tenant: fabrikam\n    verify:\n"
                                      "      - standard_webhooks: {secret_files: [%s/whsec]}\n",
                                      r->dir);
    struct yaml_faults faults;
    struct config *config = NULL;
    struct runtime *rt = NULL;
    struct err e = {0};
    char text[6000];

    (void)snprintf(text, sizeof text,
                   "listen: {address: '127.0.0.1:0'}\nadmin: {address: '127.0.0.1:0'}\n"
                   "store: {url: 'sqlite:unused.db'}\n"
                   "tenants:\n  %s:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                   "    client_id: %s\n"
                   "    client_secret_file: %s/secret\n    api_url: %s\n    login_url: %s\n"
                   "    api_scope: https://api.example/.default\n%s"
                   "sources:\n  relay:\n    tenant: %s\n    verify:\n"
                   "      - standard_webhooks: {secret_files: [%s/whsec]}\n%s%s"
                   "mail: {server: 'smtp://127.0.0.1:9', from: cordon@contoso.example,"
                   " to: [soc@contoso.example], group: {interval: 0}}\n%s",
                   tenant, r->client ? r->client : "5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50", r->dir,
                   peer_url(r->peer), peer_url(r->peer), r->tenants ? r->tenants : "", tenant,
                   r->dir, r->sources ? r->sources : "",
                   r->tenants && strstr(r->tenants, "  fabrikam:\n") ? fabrikams : "", rules);
    rig_write(r, "cordon.yaml", text);
    yaml_faults_init(&faults, faults_arena);
    if (config_load(r->config_file, NULL, faults_arena, &config, &faults, &e))
        fail_msg("%s: %s", e.text, faults.count ? faults.first->text : "");
    arena_free(faults_arena);
    assert_int_equal(runtime_new(config, r->rest, clock, &rt, &e), ERR_OK);
    return rt;
}

static inline struct runtime *rig_runtime(struct rig *r, const char *rules)
{
    return rig_runtime_by(r, &r->hands.clock, rules);
}

/* The configuration that was written last, with one line more in its source. */
static inline struct runtime *rig_source_with(struct rig *r, const char *line)
{
    struct arena *a = arena_new(0);
    struct yaml_faults faults;
    struct config *config = NULL;
    struct runtime *rt = NULL;
    struct err e = {0};
    char text[4000] = "", more[5000], *at;
    FILE *f = fopen(r->config_file, "r");

    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    (void)fclose(f);
    at = strstr(text, "    verify:\n");
    assert_non_null(at);
    (void)snprintf(more, sizeof more, "%.*s    %s\n%s", (int)(at - text), text, line, at);
    rig_write(r, "cordon.yaml", more);
    yaml_faults_init(&faults, a);
    if (config_load(r->config_file, NULL, a, &config, &faults, &e))
        fail_msg("%s: %s", e.text, faults.count ? faults.first->text : "");
    assert_int_equal(runtime_new(config, r->rest, &r->hands.clock, &rt, &e), ERR_OK);
    rig_write(r, "cordon.yaml", text);
    arena_free(a);
    return rt;
}

/* store_url: NULL for a SQLite of its own. */
static inline void rig_open_on(struct rig *r, const char *rules, const char *store_url)
{
    struct hands hands = HANDS_INIT;
    struct err e = {0};

    memset(r, 0, sizeof *r);
    r->hands.clock = hands.clock;
    r->hands.wall = hands.wall;
    r->hands.mono = hands.mono;
    (void)snprintf(r->dir, sizeof r->dir, "/tmp/cordon-engine-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->config_file, sizeof r->config_file, "%s/cordon.yaml", r->dir);
    (void)snprintf(r->store_url, sizeof r->store_url, store_url ? "%s" : "sqlite:%s/cordon.db",
                   store_url ? store_url : r->dir);
    rig_write(r, "secret", "s");
    rig_write(r, "whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=");
    r->arena = arena_new(0);
    r->peer = peer_new(NULL);
    assert_int_equal(rest_new(&(struct rest_options){.max_answer = 1 << 20}, &r->rest, &e), ERR_OK);
    if (store_open(r->store_url, false, &r->hands.clock, &r->store, &e))
        fail_msg("%s", e.text);
    assert_int_equal(engine_new(r->store, r->rest, &r->hands.clock,
                                rig_runtime(r, rules ? rules : RULES_ISOLATE_AND_MAIL), &r->g, &e),
                     ERR_OK);
}

static inline void rig_open(struct rig *r, const char *rules)
{
    rig_open_on(r, rules, NULL);
}

static inline void rig_close(struct rig *r)
{
    DIR *dir;

    engine_free(r->g);
    store_free(r->store);
    rest_free(r->rest);
    peer_free(r->peer);
    arena_free(r->arena);
    dir = opendir(r->dir);
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));)
        if (d->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(dir), d->d_name, 0), 0);
    (void)closedir(dir);
    (void)rmdir(r->dir);
}

/* ---- the far side -------------------------------------------------------------------------------- */

static inline void rig_says(struct rig *r, const char *method, const char *target, unsigned times,
                            int status, const char *body)
{
    peer_script(
        r->peer,
        &(struct peer_answer){
            .method = method, .target = target, .times = times, .status = status, .body = body});
}

/* Defender takes a request for the isolation, which is under way then as ACTION. times: as rig_says has it. */
static inline void rig_takes_isolate(struct rig *r, unsigned times)
{
    rig_says(r, "POST", ISOLATE, times, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
}

/* A header by which our clock is so far ahead. */
static inline const char *rig_date(struct rig *r, int64_t ahead_ms)
{
    time_t at = (time_t)((hands_wall(&r->hands.clock) - ahead_ms) / SECOND_MS);
    char line[64];
    struct tm tm;

    (void)strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&at, &tm));
    return arena_str(r->arena, line);
}

/* rig_says of a GET for ever; by its Date our clock is so far ahead. */
static inline void rig_says_dated_status(struct rig *r, const char *target, int status,
                                         const char *body, int64_t ahead_ms)
{
    peer_script(r->peer, &(struct peer_answer){.method = "GET",
                                               .target = target,
                                               .status = status,
                                               .headers = rig_date(r, ahead_ms),
                                               .body = body});
}

static inline void rig_says_dated(struct rig *r, const char *target, const char *body,
                                  int64_t ahead_ms)
{
    rig_says_dated_status(r, target, 200, body, ahead_ms);
}

/* Forgets what was said and asked; tokens, the alert and the machine are there. */
static inline void rig_afresh(struct rig *r)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
}

/* How many requests the far side saw whose method and target begin so. */
static inline size_t rig_seen(struct rig *r, const char *method, const char *target)
{
    size_t n = 0, all = peer_count(r->peer);

    for (size_t i = 0; i < all; i++) {
        const struct peer_request *q = peer_request(r->peer, i);

        n += strcmp(q->method, method) == 0 && strncmp(q->target, target, strlen(target)) == 0;
    }
    return n;
}

/* ---- pushing and working -------------------------------------------------------------------------- */

static inline void rig_stored(void *arg, enum err_code code, const struct err *e)
{
    struct acceptance *a = arg;

    (void)e;
    a->count = code ? 0 : a->count;
    (void)sem_post(a->ctx);
}

/* Stores a notification as the senders' side does, of the tenant's own source; returns the case's id. */
static inline int64_t rig_push_to(struct rig *r, const char *tenant, const char *alert_id,
                                  const char *machine_id, bool likely_high)
{
    const struct alert_ref ref = {
        .alert_id = alert_id, .machine_id = machine_id, .likely_high = likely_high};
    const bool first = strcmp(tenant, r->tenant ? r->tenant : "contoso") == 0;
    const struct notification n = {.tenant = tenant,
                                   .source =
                                       first ? "relay" : arena_fmt(r->arena, "relay-%s", tenant),
                                   .received_ms = clock_wall_ms(&r->hands.clock),
                                   .alerts = &ref,
                                   .count = 1};
    sem_t done;
    struct acceptance a = {.n = &n, .ctx = &done};

    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(r->store, &a, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    assert_int_equal(a.count, 1);
    return a.cases[0];
}

static inline int64_t rig_push_hinted(struct rig *r, const char *alert_id, const char *machine_id,
                                      bool likely_high)
{
    return rig_push_to(r, "contoso", alert_id, machine_id, likely_high);
}

static inline int64_t rig_push(struct rig *r, const char *alert_id, const char *machine_id)
{
    return rig_push_hinted(r, alert_id, machine_id, false);
}

/* Claims one due row of a kind; false: there is none. */
static inline bool rig_claim(struct rig *r, enum work_kind kind, struct work *ret)
{
    size_t room[WORK_KINDS] = {0}, n = 0;
    int64_t next;

    room[kind] = 1;
    assert_int_equal(store_work_claim(r->store, "rig", room, 1, ret, &n, &next, NULL), ERR_OK);
    return n == 1;
}

/* Runs every case, isolation, action, question, silence and row of the ledger that is due now; notices stay. Returns how
 * many runs there were; fails the test when there is no end to them. */
static inline size_t rig_work(struct rig *r)
{
    static const struct {
        enum work_kind kind;
        void (*run)(struct engine *g, struct work *w);
    } kinds[] = {
        {WORK_CASE, expand_run},   {WORK_ISOLATION, isolation_run}, {WORK_LEDGER, ledger_run},
        {WORK_ACTION, action_run}, {WORK_QUESTION, question_run},   {WORK_MUTE, mute_run},
    };
    struct work w;
    size_t n = 0;

    for (bool any = true; any;) {
        any = false;
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            if (!rig_claim(r, kinds[i].kind, &w))
                continue;
            kinds[i].run(r->g, &w);
            any = true;
            if (++n > 1000)
                fail_msg("what was done is due again at once, without an end");
        }
    }
    return n;
}

/* Time passes in steps, and what becomes due is done. */
static inline void rig_pass(struct rig *r, int64_t total_ms, int64_t step_ms)
{
    for (int64_t t = 0; t < total_ms; t += step_ms) {
        hands_turn(&r->hands, step_ms);
        (void)rig_work(r);
    }
}

static inline struct case_record rig_case(struct rig *r, int64_t id)
{
    struct case_record c;

    assert_int_equal(store_case_load(r->store, r->arena, id, &c, NULL), ERR_OK);
    return c;
}

/* The newest isolation of the ledger; its id is 0 when there is none. */
static inline struct isolation_record rig_isolation(struct rig *r)
{
    const struct isolation_filter all = {.limit = 1};
    struct isolation_record *list;
    size_t n = 0;

    assert_int_equal(store_isolation_list(r->store, r->arena, &all, &list, &n, NULL), ERR_OK);
    return n ? list[0] : (struct isolation_record){0};
}

/* The kinds of a case's notices, in order: "requested isolated". */
static inline const char *rig_told(struct rig *r, int64_t case_id)
{
    struct notice_record *list;
    size_t n = 0;
    const char *text = "";

    assert_int_equal(store_notice_list(r->store, r->arena, case_id, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        text = arena_fmt(r->arena, "%s%s%s", text, i ? " " : "", list[i].kind);
    return text;
}

/* The subject of the last notice. */
static inline const char *rig_subject(struct rig *r, int64_t case_id)
{
    struct notice_record *list;
    size_t n = 0;

    assert_int_equal(store_notice_list(r->store, r->arena, case_id, &list, &n, NULL), ERR_OK);
    return n ? list[n - 1].subject : "";
}

/* The text of a message, as people read it. */
static inline const char *rig_text(struct rig *r, const char *message)
{
    struct buf text = BUF_INIT(1 << 20);
    const char *words;

    assert_int_equal(mime_part(message, "text/plain", &text, NULL), ERR_OK);
    words = arena_str(r->arena, buf_text(&text));
    buf_clear(&text);
    return words;
}

/* What the last notice says. */
static inline const char *rig_words(struct rig *r, int64_t case_id)
{
    struct notice_record *list, whole;
    size_t n = 0;

    assert_int_equal(store_notice_list(r->store, r->arena, case_id, &list, &n, NULL), ERR_OK);
    assert_true(n > 0);
    assert_int_equal(store_notice_load(r->store, r->arena, list[n - 1].id, &whole, NULL), ERR_OK);
    return rig_text(r, whole.message);
}

/* ---- a record that fails once ---------------------------------------------------------------------- */

static inline enum err_code rig_sql_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return db_run(tx, e, NULL, *(const char *const *)arg, "");
}

static inline void rig_sql(struct rig *r, const char *sql)
{
    struct err e = {0};

    if (db_write(r->store->db, rig_sql_fn, &sql, &e))
        fail_msg("%s", e.text);
}

static struct {
    struct rig *r;
    const char *rules; /* NULL: they are in force */
    enum err_code (*watch)(struct engine *g, struct err *e);
} rig_reloading;

static inline int64_t rig_reloading_wall(const struct clock *c)
{
    const char *rules = rig_reloading.rules;

    rig_reloading.rules = NULL;
    if (rules) {
        engine_use(rig_reloading.r->g, rig_runtime(rig_reloading.r, rules));
        assert_int_equal(rig_reloading.watch(rig_reloading.r->g, NULL), ERR_OK);
    }
    return hands_wall(c);
}

/* The next run of w begins by the configuration of now, and before it goes on these rules are in force, and what they
 * name is watched. */
static inline void rig_reload_under_way(struct rig *r, const char *rules,
                                        enum err_code (*watch)(struct engine *g, struct err *e))
{
    rig_reloading.r = r;
    rig_reloading.rules = rules;
    rig_reloading.watch = watch;
    r->hands.clock.wall_ms = rig_reloading_wall;
}

static struct {
    struct rig *r;
    const char *post;
} rig_hung;

static inline int64_t rig_hung_wall(const struct clock *c)
{
    return hands_wall(c) + (rig_seen(rig_hung.r, "POST", rig_hung.post) ? MINUTE_MS : 0);
}

/* Runs what is due. The answer to this POST is waited for for a minute, and lost; and what came of it cannot be
 * written into the table, this once. */
static inline void rig_lose_unrecorded(struct rig *r, const char *table, const char *post)
{
    peer_script(r->peer, &(struct peer_answer){
                             .method = "POST", .target = post, .times = 1, .act = PEER_RESET});
    rig_sql(r, arena_fmt(r->arena,
                         "CREATE TRIGGER once BEFORE UPDATE ON %s WHEN OLD.posted > 0"
                         " AND NEW.why IS NOT NULL BEGIN SELECT RAISE(ABORT, 'once'); END",
                         table));
    rig_hung.r = r;
    rig_hung.post = post;
    r->hands.clock.wall_ms = rig_hung_wall;
    (void)rig_work(r);
    assert_int_equal(rig_seen(r, "POST", post), 1);
    r->hands.clock.wall_ms = hands_wall;
    atomic_fetch_add(&r->hands.wall, MINUTE_MS);
    rig_sql(r, "DROP TRIGGER once");
}

/* After `at` looks at the wall clock since this GET was seen more often than `before`, half an hour passes. */
static struct {
    struct rig *r;
    const char *get, *post;
    size_t before, at;
    size_t looks;
    size_t read; /* how often the GET had been seen by then, … */
    size_t sent; /* … and the POST */
} rig_still;

static inline int64_t rig_still_wall(const struct clock *c)
{
    size_t read = rig_seen(rig_still.r, "GET", rig_still.get);

    if (read > rig_still.before && rig_still.looks++ == rig_still.at) {
        rig_still.read = read;
        rig_still.sent = rig_seen(rig_still.r, "POST", rig_still.post);
        atomic_fetch_add(&rig_still.r->hands.wall, HOUR_MS / 2);
    }
    return hands_wall(c);
}

/* What is due is done, with half an hour in the midst of it, as of a process that stands still: nothing is asked for by what was
 * read before that. */
static inline void rig_stand_still(struct rig *r, const char *get, const char *post, size_t at)
{
    const size_t sent = rig_seen(r, "POST", post);

    memset(&rig_still, 0, sizeof rig_still);
    rig_still.r = r;
    rig_still.get = get;
    rig_still.post = post;
    rig_still.before = rig_seen(r, "GET", get);
    rig_still.at = at;
    r->hands.clock.wall_ms = rig_still_wall;
    (void)rig_work(r);
    r->hands.clock.wall_ms = hands_wall;
    assert_true(rig_still.looks > at);
    assert_int_equal(rig_still.sent, sent);
    if (rig_seen(r, "POST", post) > sent && rig_seen(r, "GET", get) <= rig_still.read)
        fail_msg("by what was read before look %zu at the clock", at);
}

#endif
