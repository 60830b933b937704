/* test_receive.c - the senders' side as senders see it: the real HTTP server on a port, the real store on a
 * disk, a scripted Entra. What counts is the answer, and what another program finds in the database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "kit/disk.h"
#include "kit/fetch.h"
#include "kit/house.h"
#include "kit/peer.h"
#include "kit/raw.h"
#include "log.h"
#include "receive.h"
#include "rest.h"
#include "sim/keys.h"

#define TENANT  "11111111-2222-3333-4444-555555555555"
#define OTHER   "99999999-2222-3333-4444-555555555555"
#define KEY     "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY2    "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
#define TOKEN   "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define CLIENT  "99999999-8888-7777-6666-555555555555"
#define ISSUER  "https://login.microsoftonline.com/" TENANT "/v2.0"
#define ALERT   "da637472900382838869_1364969609"
#define MACHINE "0123456789abcdef0123456789abcdef01234567"
#define BODY    "{\"alertId\":\"" ALERT "\",\"machineId\":\"" MACHINE "\"}"
#define WAIT_MS 20000

struct stage {
    char folder[64], database[120], url[80];
    struct store *store;
    struct rest *rest;
    struct peer *entra;
    struct buf key_document;
    char discovery[300];
    struct metrics *metrics;
    struct config *config;
    struct receiver *receiver;
    struct http_server *http;
    atomic_int kicks, stores; /* stores: requests that are about to be handed to the store */
    pthread_mutex_t log_lock;
    struct buf log;     /* lines of info and above */
    const char *listen; /* more settings of listen, with a comma before them; NULL: none */
    const char *relay;  /* likewise of the source relay */
    atomic_bool clock_is_off;
    const char *branch; /* the authority of a tenant `branch` and its source; NULL: there is none */
};

static struct keys *signing_keys; /* making them takes long: once for all tests */

/* ---- the stage ------------------------------------------------------------------------------------ */

static void hear(enum log_level level, const char *line, void *ctx)
{
    struct stage *t = ctx;

    (void)level;
    pthread_mutex_lock(&t->log_lock);
    buf_addf(&t->log, "%s\n", line);
    pthread_mutex_unlock(&t->log_lock);
}

static bool log_holds(struct stage *t, const char *part)
{
    bool holds;

    pthread_mutex_lock(&t->log_lock);
    holds = strstr(buf_text(&t->log), part) != NULL;
    pthread_mutex_unlock(&t->log_lock);
    return holds;
}

static int log_lines(struct stage *t, const char *part)
{
    int n = 0;

    pthread_mutex_lock(&t->log_lock);
    for (const char *at = buf_text(&t->log); (at = strstr(at, part)); at++)
        n++;
    pthread_mutex_unlock(&t->log_lock);
    return n;
}

static void put(struct stage *t, const char *name, const char *text)
{
    char path[160];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", t->folder, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    assert_int_equal(fclose(f), 0);
}

static struct config *load(struct stage *t, const char *keys)
{
    AUTO(buf_clear) struct buf yaml = BUF_INIT(10000), faults_text = BUF_INIT(10000);
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct yaml_faults faults;
    struct config *config = NULL;
    char path[160];
    struct err e = {0};

    buf_addf(&yaml,
             "listen: {address: \"127.0.0.1:0\", max_body: 64KiB%s}\n"
             "store: {url: \"sqlite:%s\"}\n"
             "tenants:\n"
             "  contoso:\n"
             "    {tenant_id: " TENANT ", client_id: " CLIENT ", client_secret_file: secret,\n"
             "     login_url: \"%s\"}\n",
             t->listen ? t->listen : "", t->database, peer_url(t->entra));
    if (t->branch)
        buf_addf(&yaml,
                 "  branch:\n"
                 "    {tenant_id: " OTHER ", client_id: " CLIENT ", client_secret_file: secret,\n"
                 "     login_url: \"%s\"}\n",
                 t->branch);
    buf_addf(&yaml,
             "sources:\n"
             "  relay: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [%s]}}]%s}\n"
             "  other: {tenant: contoso, verify: [{standard_webhooks: {secret_files: [k1]}}]}\n"
             "  token: {tenant: contoso, verify: [{token: {secret_files: [token]}}]}\n"
             "  query: {tenant: contoso, verify: [{token: {query: key, secret_files: [token]}}]}\n"
             "  flow:\n"
             "    tenant: contoso\n"
             "    verify: [{entra: {audience: [\"api://cordon\"], clients: [" CLIENT "]}}]\n"
             "  both:\n"
             "    tenant: contoso\n"
             "    verify:\n"
             "      - entra: {audience: [\"api://cordon\"], clients: [" CLIENT "]}\n"
             "        standard_webhooks: {secret_files: [k1]}\n"
             "  either:\n"
             "    tenant: contoso\n"
             "    verify:\n"
             "      - entra: {audience: [\"api://cordon\"], clients: [" CLIENT "]}\n"
             "      - standard_webhooks: {secret_files: [k1]}\n"
             "%s"
             "mail: {server: \"smtp://127.0.0.1:25\", from: a@b.example, to: [c@b.example]}\n"
             "rules: [{name: tell, do: [email: {}]}]\n",
             keys, t->relay ? t->relay : "",
             t->branch ? "  branch:\n"
                         "    tenant: branch\n"
                         "    verify: [{entra: {audience: [\"api://cordon\"], clients: [" CLIENT
                         "]}}]\n"
                       : "");
    put(t, "cordon.yaml", buf_text(&yaml));
    (void)snprintf(path, sizeof path, "%s/cordon.yaml", t->folder);
    if (config_load(path, NULL, a, &config, &faults, &e)) {
        for (const struct yaml_fault *f = faults.first; f; f = f->next)
            yaml_fault_write(&faults_text, f);
        fail_msg("%s %s", e.text, buf_text(&faults_text));
    }
    return config;
}

static void kick(void *engine)
{
    atomic_fetch_add(&((struct stage *)engine)->kicks, 1);
}

static bool reserve(void *engine)
{
    atomic_fetch_add(&((struct stage *)engine)->stores, 1);
    return false;
}

static bool clock_is_off(void *engine)
{
    return atomic_load(&((struct stage *)engine)->clock_is_off);
}

static void hand_over(void *engine, const struct work *w)
{
    (void)engine;
    (void)w;
    abort(); /* nobody was reserved */
}

static void publish(struct stage *t)
{
    peer_forget(t->entra);
    buf_reset(&t->key_document);
    keys_jwks(signing_keys, ISSUER, &t->key_document);
    peer_script(t->entra, &(struct peer_answer){.target = "/" TENANT "/v2.0/.well-known",
                                                .status = 200,
                                                .body = t->discovery});
    peer_script(t->entra, &(struct peer_answer){.target = "/keys",
                                                .status = 200,
                                                .body = buf_text(&t->key_document)});
}

static void open_house(struct stage *t)
{
    const struct receiver_options ro = {.store = t->store,
                                        .rest = t->rest,
                                        .clock = clock_system(),
                                        .metrics = t->metrics,
                                        .config = t->config,
                                        .kick = kick,
                                        .reserve = reserve,
                                        .hand_over = hand_over,
                                        .clock_is_off = clock_is_off,
                                        .engine = t};
    struct http_options ho = {.address = "127.0.0.1:0",
                              .max_body = 64 * 1024,
                              .max_head = 32 * 1024,
                              .head_deadline_ms = 10000,
                              .body_deadline_ms = 10000,
                              .idle_ms = 10000,
                              .threads = 2,
                              .max_connections = 200,
                              .handler = receiver_handler(),
                              .clock = clock_system()};
    struct err e = {0};

    assert_int_equal(receiver_new(&ro, &t->receiver, &e), ERR_OK);
    ho.ctx = t->receiver;
    if (http_server_open(&ho, &t->http, &e))
        fail_msg("%s", e.text);
    (void)snprintf(t->url, sizeof t->url, "http://%s", http_server_address(t->http));
}

static void close_house(struct stage *t)
{
    http_server_free(t->http, 5000);
    t->http = NULL;
    receiver_free(t->receiver);
    t->receiver = NULL;
}

static int setup(void **state)
{
    struct stage *t = calloc(1, sizeof *t);
    const char *tmp = getenv("TMPDIR");
    char url[140];
    struct err e = {0};

    assert_non_null(t);
    disk_install();
    (void)pthread_mutex_init(&t->log_lock, NULL);
    buf_init(&t->log, 1 << 24);
    buf_init(&t->key_document, 1 << 20);
    log_divert(hear, t);
    (void)snprintf(t->folder, sizeof t->folder, "%s/receive-XXXXXX",
                   tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(t->folder));
    (void)snprintf(t->database, sizeof t->database, "%s/cordon.db", t->folder);
    (void)snprintf(url, sizeof url, "sqlite:%s", t->database);
    put(t, "k1", KEY "\n");
    put(t, "k2", KEY2 "\n");
    put(t, "token", TOKEN "\n");
    put(t, "secret", "s3cr3t\n");
    t->entra = peer_new(NULL);
    (void)snprintf(t->discovery, sizeof t->discovery,
                   "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"%s/keys\"}", peer_url(t->entra));
    publish(t);
    assert_int_equal(rest_new(&(struct rest_options){0}, &t->rest, &e), ERR_OK);
    assert_int_equal(metrics_new(&t->metrics, &e), ERR_OK);
    if (store_open(url, false, clock_system(), &t->store, &e))
        fail_msg("%s", e.text);
    t->config = load(t, "k1");
    open_house(t);
    *state = t;
    return 0;
}

static int group_setup(void **state)
{
    (void)state;
    return keys_new(&signing_keys, NULL) ? -1 : 0;
}

static int group_teardown(void **state)
{
    (void)state;
    keys_free(signing_keys);
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"k1",
                                        "k2",
                                        "token",
                                        "secret",
                                        "cordon.db",
                                        "cordon.db-wal",
                                        "cordon.db-shm",
                                        "cordon.yaml",
                                        "cordon.db.lock",
                                        "cordon.db-lock"};
    struct stage *t = *state;

    disk_mend();
    close_house(t);
    config_unref(t->config);
    store_free(t->store);
    rest_free(t->rest);
    peer_free(t->entra);
    metrics_free(t->metrics);
    log_divert(NULL, NULL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[160];

        (void)snprintf(path, sizeof path, "%s/%s", t->folder, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(t->folder), 0);
    buf_clear(&t->log);
    buf_clear(&t->key_document);
    (void)pthread_mutex_destroy(&t->log_lock);
    free(t);
    return 0;
}

/* ---- senders --------------------------------------------------------------------------------------- */

/* Posts to /hooks/<source>; headers beside Content-Type, NULL-terminated. */
static void post(struct stage *t, const char *source, const char *const *headers, const char *body,
                 struct fetched *f)
{
    const char *all[12] = {"Content-Type: application/json"};
    char url[160];

    for (size_t i = 0; headers && headers[i]; i++)
        all[i + 1] = headers[i];
    (void)snprintf(url, sizeof url, "%s/hooks/%s", t->url, source);
    memset(f, 0, sizeof *f);
    (void)fetch(f, "POST", url, all, body, strlen(body), WAIT_MS);
}

/* Posts signed with a key; id NULL: a new one. */
static void push_with(struct stage *t, const char *source, const char *key, const char *id,
                      const char *body, struct fetched *f)
{
    static atomic_int serial;
    char headers[3][200], fresh[40];
    const char *list[] = {headers[0], headers[1], headers[2], NULL};

    (void)snprintf(fresh, sizeof fresh, "delivery-%d", atomic_fetch_add(&serial, 1));
    house_sign(key, id ? id : fresh, time(NULL), body, strlen(body), headers);
    post(t, source, list, body, f);
}

static void push(struct stage *t, const char *id, const char *body, struct fetched *f)
{
    push_with(t, "relay", KEY, id, body, f);
}

/* The answer's status; the rest is dropped. */
static int push_status(struct stage *t, const char *id, const char *body)
{
    struct fetched f;
    int status;

    push(t, id, body, &f);
    status = f.status;
    fetched_clear(&f);
    return status;
}

/* A v2 token for api://cordon; arena-less: heap. */
static char *mint_of(const char *tenant, enum key_slot slot, const char *client, long long now)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 16);
    char kid[64], header[120], payload[800];

    keys_kid(signing_keys, slot, true, kid);
    (void)snprintf(header, sizeof header, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"%s\"}",
                   kid);
    (void)snprintf(payload, sizeof payload,
                   "{\"aud\":\"api://cordon\",\"iss\":\"" ISSUER
                   "\",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld,\"azp\":\"%s\",\"oid\":\"o\","
                   "\"sub\":\"o\",\"tid\":\"%s\",\"ver\":\"2.0\"}",
                   now, now, now + 3600, client, tenant);
    assert_int_equal(keys_sign(signing_keys, slot, "RS256", header, payload, &out, NULL), ERR_OK);
    return buf_take(&out);
}

static char *mint_for(const char *tenant, enum key_slot slot, const char *client)
{
    return mint_of(tenant, slot, client, time(NULL));
}

static char *mint_at(time_t now)
{
    return mint_of(TENANT, KEY_CURRENT, CLIENT, now);
}

static char *mint(enum key_slot slot, const char *client)
{
    return mint_for(TENANT, slot, client);
}

static void push_token(struct stage *t, const char *source, const char *token, const char *body,
                       struct fetched *f)
{
    AUTO(auto_free) char *header = NULL;
    const char *list[2] = {NULL, NULL};

    assert_true(asprintf(&header, "Authorization: Bearer %s", token) > 0);
    list[0] = header;
    post(t, source, list, body, f);
}

/* What another program finds in the database. */
static int64_t rows(struct stage *t, const char *sql)
{
    char out[40] = "";
    const char *error = disk_sql(t->database, sql, out, sizeof out);

    assert_string_equal(error, "");
    return strtoll(out, NULL, 10);
}

static int64_t deliveries(struct stage *t)
{
    return rows(t, "SELECT count(*) FROM deliveries");
}

static int64_t cases(struct stage *t)
{
    return rows(t, "SELECT count(*) FROM cases");
}

static struct json *parsed(const struct fetched *f)
{
    struct json *doc = NULL;

    if (json_parse(f->body, f->body_len, &doc, NULL))
        fail_msg("%d %s", f->status, f->body);
    return doc;
}

static void assert_header(const struct fetched *f, const char *name, const char *value)
{
    char out[200];

    if (!fetched_header(f, name, out, sizeof out) || strcmp(out, value) != 0)
        fail_msg("%s is not %s:\n%s", name, value, f->head);
}

/* A problem of RFC 9457 with this status, and nothing of ours or theirs in it. */
static void assert_problem(const struct fetched *f, int status)
{
    AUTO(json_freep) struct json *doc = NULL;
    int64_t in_body = 0;
    char out[200];

    if (f->status != status)
        fail_msg("%d, expected %d: %s %s", f->status, status, f->body, f->why);
    assert_header(f, "Content-Type", "application/problem+json");
    assert_header(f, "Cache-Control", "no-store");
    doc = parsed(f);
    assert_true(json_int64(json_get(doc, "status"), &in_body));
    assert_int_equal(in_body, status);
    assert_non_null(json_get_string(doc, "title"));
    assert_non_null(json_get_string(doc, "detail"));
    assert_null(strcasestr(f->body, "microhttpd"));
    assert_null(strcasestr(f->body, "signature"));
    assert_null(strstr(f->body, "da6374"));
    assert_null(strstr(f->body, "evil"));
    assert_int_equal(fetched_header(f, "Retry-After", out, sizeof out) != NULL,
                     status == 503 || status == 429);
    assert_int_equal(fetched_header(f, "WWW-Authenticate", out, sizeof out) != NULL, status == 401);
    assert_int_equal(fetched_header(f, "Allow", out, sizeof out) != NULL, status == 405);
}

/* ---- what is accepted ------------------------------------------------------------------------------ */

static void test_receive__says_202_when_it_is_on_disk(void **state)
{
    struct stage *t = *state;
    AUTO(json_freep) struct json *doc = NULL;
    struct fetched f;
    char sql[300], out[100];

    push(t, "m1", BODY, &f);
    assert_false(disk_log_is_dirty());
    assert_int_equal(f.status, 202);
    assert_true(f.complete);
    assert_header(&f, "Content-Type", "application/json");
    assert_header(&f, "Cache-Control", "no-store");
    assert_null(strcasestr(f.head, "\nLocation:")); /* a flow would poll it */
    doc = parsed(&f);
    assert_string_equal(json_get_string(doc, "status"), "accepted");
    assert_int_equal(strlen(json_get_string(doc, "delivery")), 13);
    assert_int_equal(json_count(json_get(doc, "cases")), 1);
    assert_int_equal(strlen(json_string(json_first(json_get(doc, "cases")))), 13);
    assert_int_equal(json_count(doc), 3);

    assert_int_equal(deliveries(t), 1);
    assert_int_equal(cases(t), 1);
    assert_int_equal(rows(t, "SELECT count(*) FROM work"), 1);
    (void)snprintf(sql, sizeof sql,
                   "SELECT source || '|' || delivery_id || '|' || body_sha256 FROM deliveries");
    assert_string_equal(disk_sql(t->database, sql, out, sizeof out), "");
    /* sha256sum of BODY */
    assert_string_equal(
        out, "relay|m1|68d91aa2c879f4644e5d5e6ae340aed19fe71d0fdeb7eb0593eb6bac34fd09b8");
    assert_string_equal(
        disk_sql(
            t->database,
            "SELECT tenant || '|' || alert_id || '|' || pushed_machine_id || '|' || state FROM cases",
            out, sizeof out),
        "");
    assert_string_equal(out, "contoso|" ALERT "|" MACHINE "|received");
    assert_int_equal(atomic_load(&t->kicks), 1);
    assert_true(log_holds(t, "\"event\":\"accepted\""));
    assert_true(log_holds(t, json_get_string(doc, "delivery")));
    fetched_clear(&f);
}

/* Found from the answer: which delivery a sender asks about is all that he knows. */
static void test_receive__what_was_left_out_is_logged_with_its_delivery(void **state)
{
    struct stage *t = *state;
    AUTO(json_freep) struct json *doc = NULL;
    struct fetched f;
    char line[200];

    push(
        t, "m1",
        "[" BODY
        ",{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{\"hello\":1}}]",
        &f);
    assert_int_equal(f.status, 202);
    doc = parsed(&f);
    (void)snprintf(line, sizeof line,
                   "\"event\":\"left_out\",\"source\":\"relay\",\"delivery\":\"%s\"",
                   json_get_string(doc, "delivery"));
    assert_true(log_holds(t, line));
    fetched_clear(&f);
}

static void test_receive__a_batch_is_one_delivery_of_many_cases(void **state)
{
    struct stage *t = *state;
    AUTO(json_freep) struct json *doc = NULL;
    AUTO(buf_clear) struct buf body = BUF_INIT(1 << 20);
    struct fetched f;

    buf_adds(&body, "[");
    for (int i = 0; i < 100; i++)
        buf_addf(&body, "%s{\"id\":\"da%d_1\"}", i ? "," : "", i);
    buf_adds(&body, "]");
    push(t, NULL, buf_text(&body), &f);
    assert_int_equal(f.status, 202);
    doc = parsed(&f);
    assert_int_equal(json_count(json_get(doc, "cases")), 100);
    assert_int_equal(deliveries(t), 1);
    assert_int_equal(cases(t), 100);
    fetched_clear(&f);
}

static void test_receive__every_way_of_naming_json_is_taken(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *type;
        int status;
    } rows_[] = {
        {"application/json", 202},
        {"application/json; charset=utf-8", 202},
        {"application/json;charset=UTF-8", 202},
        {"application/json; charset=utf8", 202},
        {"application/json; charset=\"UTF8\"", 202},
        {"application/json; charset=us-ascii", 202},
        {"Application/JSON; Charset=\"utf-8\"", 202},
        {"application/vnd.contoso.alert+json", 202},
        {"application/cloudevents+json; charset=utf-8", 202},
        {"application/cloudevents-batch+json", 202},
        {"text/plain", 415},
        {"text/json", 415},
        {"application/jsonp", 415},
        {"application/json-seq", 415},
        {"application/+json", 415},
        {"application/json; charset=utf-16", 415},
        {"application/json; charset=iso-8859-1", 415},
        {"application/json; charset=utf-80", 415},
        {"application/json; charset=utf80", 415},
        {"application/json; charset=", 415},
        {"application/x-www-form-urlencoded", 415},
        {"multipart/form-data; boundary=x", 415},
        {"application/xml", 415},
        {"", 415},
    };

    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        char type[100], url[120], headers[3][200];
        const char *list[] = {headers[0], headers[1], headers[2], type, NULL};
        char id[20];
        struct fetched f = {0};

        (void)snprintf(type, sizeof type, "Content-Type: %s", rows_[i].type);
        (void)snprintf(url, sizeof url, "%s/hooks/relay", t->url);
        (void)snprintf(id, sizeof id, "type-%zu", i);
        house_sign(KEY, id, time(NULL), BODY, sizeof BODY - 1, headers);
        (void)fetch(&f, "POST", url, list, BODY, sizeof BODY - 1, WAIT_MS);
        /* the same alert each time: 202 for the first, then 200 */
        if (f.status != rows_[i].status && !(f.status == 200 && rows_[i].status == 202))
            fail_msg("%s: %d", rows_[i].type, f.status);
        fetched_clear(&f);
    }
}

static void test_receive__a_repeated_delivery_is_answered_as_the_first(void **state)
{
    struct stage *t = *state;
    struct fetched first, again;
    AUTO(json_freep) struct json *a = NULL;
    AUTO(json_freep) struct json *b = NULL;

    push(t, "m1", BODY, &first);
    push(t, "m1", BODY, &again);
    assert_int_equal(first.status, 202);
    assert_int_equal(again.status, 200);
    a = parsed(&first);
    b = parsed(&again);
    assert_string_equal(json_get_string(b, "status"), "duplicate");
    assert_string_equal(json_get_string(a, "delivery"), json_get_string(b, "delivery"));
    assert_string_equal(json_string(json_first(json_get(a, "cases"))),
                        json_string(json_first(json_get(b, "cases"))));
    assert_header(&again, "Cache-Control", "no-store");
    assert_int_equal(deliveries(t), 1);
    assert_int_equal(cases(t), 1);
    assert_int_equal(atomic_load(&t->kicks), 1);
    assert_true(log_holds(t, "\"event\":\"duplicate\""));
    fetched_clear(&first);
    fetched_clear(&again);
}

static void test_receive__the_same_alert_again_makes_no_second_case(void **state)
{
    struct stage *t = *state;
    struct fetched first, again, more;
    AUTO(json_freep) struct json *a = NULL;
    AUTO(json_freep) struct json *b = NULL;
    AUTO(json_freep) struct json *c = NULL;

    push(t, "m1", BODY, &first);
    push_with(t, "other", KEY, "m2", BODY, &again); /* two flows on the same trigger */
    push(t, "m3", "[" BODY ",{\"id\":\"da1_1\"}]", &more);
    assert_int_equal(first.status, 202);
    assert_int_equal(again.status, 200);
    assert_int_equal(more.status, 202); /* one of its alerts is new */
    a = parsed(&first);
    b = parsed(&again);
    c = parsed(&more);
    assert_string_not_equal(json_get_string(a, "delivery"), json_get_string(b, "delivery"));
    assert_string_equal(json_string(json_first(json_get(a, "cases"))),
                        json_string(json_first(json_get(b, "cases"))));
    assert_int_equal(json_count(json_get(c, "cases")), 2);
    assert_string_equal(json_string(json_first(json_get(a, "cases"))),
                        json_string(json_first(json_get(c, "cases"))));
    assert_int_equal(cases(t), 2);
    assert_int_equal(deliveries(t), 3);
    fetched_clear(&first);
    fetched_clear(&again);
    fetched_clear(&more);
}

static void test_receive__a_delivery_id_used_twice_acts_on_the_first_body_only(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct stage *t = *state;

    assert_int_equal(push_status(t, "m1", BODY), 202);
    assert_int_equal(push_status(t, "m1", "{\"alertId\":\"da2_2\"}"), 200);
    assert_int_equal(cases(t), 1);
    assert_int_equal(deliveries(t), 1);
    assert_true(log_holds(t, "\"event\":\"other_body\""));
    /* webhook-sources.md section 6, rule 5: both hashes, and a metric */
    assert_true(log_holds(
        t, "\"body_sha256\":\"fed93cbd43b611d0cbbb6c2f68b1d6a5f7e4df328a1b2b01a64ff9a740ac8363\""));
    assert_true(log_holds(
        t,
        "\"first_sha256\":\"68d91aa2c879f4644e5d5e6ae340aed19fe71d0fdeb7eb0593eb6bac34fd09b8\""));
    metrics_write(t->metrics, &out);
    assert_non_null(strstr(buf_text(&out),
                           "cordon_deliveries_total{source=\"relay\",outcome=\"other_body\"} 1\n"));
    /* ids are the source's own */
    {
        struct fetched f;

        push_with(t, "other", KEY, "m1", "{\"alertId\":\"da2_2\"}", &f);
        assert_int_equal(f.status, 202);
        fetched_clear(&f);
    }
    assert_int_equal(cases(t), 2);
}

static void test_receive__a_test_is_verified_answered_and_not_stored(void **state)
{
    struct stage *t = *state;
    struct fetched f;

    push(t, NULL, "{\"test\":true,\"alertId\":\"" ALERT "\"}", &f);
    assert_int_equal(f.status, 200);
    assert_string_equal(f.body, "{\"status\":\"test\"}");
    assert_header(&f, "Cache-Control", "no-store");
    fetched_clear(&f);
    push_with(t, "relay", KEY2, NULL, "{\"test\":true}", &f);
    assert_problem(&f, 401);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 0);
    assert_int_equal(atomic_load(&t->kicks), 0);
}

/* ---- handshakes ------------------------------------------------------------------------------------- */

struct greeting {
    const char *what, *method, *target, *headers[6];
    int status;
    const char *body, *origin; /* of a 200 */
};

static void greet(struct stage *t, const struct greeting *g, const char *body)
{
    char url[3000], origin[300];
    struct fetched f = {0};

    (void)snprintf(url, sizeof url, "%s/hooks/%s", t->url, g->target);
    (void)fetch(&f, g->method, url, g->headers, body, body ? strlen(body) : 0, WAIT_MS);
    if (f.status != g->status)
        fail_msg("%s: %d instead of %d: %s %s", g->what, f.status, g->status, f.body, f.why);
    if (f.status != 200) {
        assert_problem(&f, g->status);
        assert_null(fetched_header(&f, "WebHook-Allowed-Origin", origin, sizeof origin));
    } else {
        if (strcmp(f.body, g->body ? g->body : "") != 0)
            fail_msg("%s: %s", g->what, f.body);
        assert_header(&f, "Cache-Control", "no-store");
    }
    if (f.status == 200 && g->origin) {
        assert_header(&f, "WebHook-Allowed-Origin", g->origin);
        assert_header(&f, "WebHook-Allowed-Rate", "*");
        assert_header(&f, "Allow", "POST");
    }
    if (f.status == 200 && g->body) {
        assert_header(&f, "Content-Type", "text/plain; charset=utf-8");
        assert_header(&f, "X-Content-Type-Options", "nosniff");
    }
    fetched_clear(&f);
}

static void greet_all(struct stage *t, const struct greeting *rows_, size_t n)
{
    for (size_t i = 0; i < n; i++)
        greet(t, &rows_[i], strcmp(rows_[i].method, "POST") == 0 ? "" : NULL);
    assert_int_equal(deliveries(t), 0);
    assert_int_equal(cases(t), 0);
    assert_int_equal(atomic_load(&t->kicks), 0);
    assert_false(log_holds(t, "evil"));
    assert_false(log_holds(t, TOKEN));
}

#define BEARER "Authorization: Bearer " TOKEN
#define ORIGIN "WebHook-Request-Origin: eventgrid.azure.net"

static void test_receive__consents_to_cloudevents_from_who_shows_the_credential(void **state)
{
    struct stage *t = *state;
    static const struct greeting rows_[] = {
        {"a header", "OPTIONS", "token", {ORIGIN, BEARER}, 200, NULL, "eventgrid.azure.net"},
        {"a query", "OPTIONS", "query?key=" TOKEN, {ORIGIN}, 200, NULL, "eventgrid.azure.net"},
        {"a rate and a callback",
         "OPTIONS",
         "token",
         {"webhook-request-origin: a.example:8443", "WebHook-Request-Rate: 120",
          "WebHook-Request-Callback: https://evil.example/", BEARER},
         200,
         NULL,
         "a.example:8443"},
        {"no credential", "OPTIONS", "token", {ORIGIN}, 401, NULL, NULL},
        {"a wrong one", "OPTIONS", "query?key=evil", {ORIGIN}, 401, NULL, NULL},
        {"no signature", "OPTIONS", "relay", {ORIGIN}, 401, NULL, NULL},
        {"no token of Entra", "OPTIONS", "flow", {ORIGIN}, 401, NULL, NULL},
        {"no origin", "OPTIONS", "token", {BEARER}, 405, NULL, NULL},
        {"no source", "OPTIONS", "nobody", {ORIGIN, BEARER}, 404, NULL, NULL},
        {"an empty origin",
         "OPTIONS",
         "token",
         {"WebHook-Request-Origin:", BEARER},
         400,
         NULL,
         NULL},
        {"two origins", "OPTIONS", "token", {ORIGIN, ORIGIN, BEARER}, 400, NULL, NULL},
        {"markup",
         "OPTIONS",
         "token",
         {"WebHook-Request-Origin: <b>evil", BEARER},
         400,
         NULL,
         NULL},
        {"a list", "OPTIONS", "token", {"WebHook-Request-Origin: a, *", BEARER}, 400, NULL, NULL},
        {"everybody", "OPTIONS", "token", {"WebHook-Request-Origin: *", BEARER}, 400, NULL, NULL},
        {"another method", "PUT", "token", {ORIGIN, BEARER}, 405, NULL, NULL},
    };

    greet_all(t, rows_, sizeof rows_ / sizeof *rows_);
    assert_true(log_holds(t, "\"event\":\"handshake\""));
}

static void test_receive__waits_for_keys_with_a_handshake_too(void **state)
{
    struct stage *t = *state;
    AUTO(auto_free) char *token = mint(KEY_CURRENT, CLIENT);
    AUTO(auto_free) char *header = NULL;

    assert_true(asprintf(&header, "Authorization: Bearer %s", token) > 0);
    for (int i = 0; i < 2; i++) { /* with keys to be fetched, and with keys at hand */
        const struct greeting g = {
            "Entra", "OPTIONS", "flow", {ORIGIN, header}, 200, NULL, "eventgrid.azure.net"};

        greet(t, &g, NULL);
    }
    assert_int_equal(deliveries(t), 0);
}

#define PLAIN "Content-Type: text/plain; charset=utf-8"
#define GRAPH "query?key=" TOKEN "&validationToken="
#define GRAPH_T                                                                                    \
    "Validation%3a+Testing+client+application+reachability+for+subscription%20Request-Id%3a+1"

static void test_receive__gives_graph_its_token_back_as_text(void **state)
{
    struct stage *t = *state;
    static char longest[2 * 1024 + 100], longer[2 * 1024 + 100], answer[1025];
    const struct greeting rows_[] = {
        {"Graph's own",
         "POST",
         GRAPH GRAPH_T,
         {PLAIN},
         200,
         "Validation: Testing client application reachability for subscription Request-Id: 1",
         NULL},
        {"in a header", "POST", "token?validationToken=a%26b", {PLAIN, BEARER}, 200, "a&b", NULL},
        {"the longest", "POST", longest, {PLAIN}, 200, answer, NULL},
        {"one longer", "POST", longer, {PLAIN}, 400, NULL, NULL},
        {"nothing", "POST", GRAPH, {PLAIN}, 400, NULL, NULL},
        {"markup", "POST", GRAPH "%3Cscript%3Eevil", {PLAIN}, 400, NULL, NULL},
        {"its beginning", "POST", GRAPH "%3Cevil", {PLAIN}, 400, NULL, NULL},
        {"its end", "POST", GRAPH "evil%3E", {PLAIN}, 400, NULL, NULL},
        {"a line break", "POST", GRAPH "a%0d%0aevil:+x", {PLAIN}, 400, NULL, NULL},
        {"a letter beyond ASCII", "POST", GRAPH "%c3%a4", {PLAIN}, 400, NULL, NULL},
        {"two tokens", "POST", GRAPH "a&validationToken=b", {PLAIN}, 400, NULL, NULL},
        {"half an escape", "POST", GRAPH "a%2", {PLAIN}, 400, NULL, NULL},
        {"no credential", "POST", "query?validationToken=a", {PLAIN}, 401, NULL, NULL},
        {"a wrong one", "POST", "query?key=evil&validationToken=a", {PLAIN}, 401, NULL, NULL},
        {"no signature", "POST", "relay?validationToken=a", {PLAIN}, 401, NULL, NULL},
        {"another parameter",
         "POST",
         "query?key=" TOKEN "&validationTokens=a",
         {PLAIN},
         415,
         NULL,
         NULL},
        {"as HTML", "POST", GRAPH "a", {"Content-Type: text/html"}, 415, NULL, NULL},
        {"without a type", "POST", GRAPH "a", {NULL}, 415, NULL, NULL},
        {"GET", "GET", GRAPH "a", {PLAIN}, 405, NULL, NULL},
    };

    memset(answer, 'a', sizeof answer - 1);
    (void)snprintf(longest, sizeof longest, "%s%s", GRAPH, answer);
    (void)snprintf(longer, sizeof longer, "%sb%s", GRAPH, answer);
    greet_all(t, rows_, sizeof rows_ / sizeof *rows_);
}

static void test_receive__a_delivery_is_no_handshake_whatever_its_url_says(void **state)
{
    struct stage *t = *state;
    static const char *const json[] = {"Content-Type: application/json", ORIGIN, NULL};
    char url[300];
    struct fetched f;

    (void)snprintf(url, sizeof url, "%s/hooks/" GRAPH "a", t->url);
    (void)fetch(&f, "POST", url, json, BODY, sizeof BODY - 1, WAIT_MS);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    assert_int_equal(cases(t), 1);
}

static void test_receive__tells_event_grid_its_code(void **state)
{
    struct stage *t = *state;
    static const char validation[] =
        "[{\"id\":\"1\",\"topic\":\"x\",\"subject\":\"\",\"data\":{\"validationCode\":\"512D38b6\","
        "\"validationUrl\":\"https://evil.example:553/\"},"
        "\"eventType\":\"Microsoft.EventGrid.SubscriptionValidationEvent\","
        "\"eventTime\":\"2026-01-01T00:00:00Z\",\"metadataVersion\":\"1\",\"dataVersion\":\"1\"}]";
    static const char *const headers[] = {"aeg-event-type: SubscriptionValidation", NULL};
    static const struct {
        const char *source;
        int status;
    } rows_[] = {
        {"query?key=" TOKEN, 200}, {"query", 401}, {"query?key=evil", 401}, {"relay", 401}};
    struct fetched f;

    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        post(t, rows_[i].source, headers, validation, &f);
        assert_int_equal(f.status, rows_[i].status);
        if (f.status == 200) {
            assert_string_equal(f.body, "{\"validationResponse\":\"512D38b6\"}");
            assert_header(&f, "Content-Type", "application/json");
            assert_header(&f, "Cache-Control", "no-store");
        }
        fetched_clear(&f);
    }
    push(t, NULL, validation, &f); /* signed will do, too */
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 0);
    assert_false(log_holds(t, "evil"));
}

static void test_receive__takes_cloudevents_in_binary_mode(void **state)
{
    struct stage *t = *state;
#define CE "ce-specversion: 1.0", "ce-id: e-1", "ce-source: /soc", BEARER
    static const struct {
        const char *what, *headers[8];
        int status;
    } rows_[] = {
        {"whole", {CE, "ce-type: mde.alert.created"}, 202},
        {"with more", {CE, "ce-type: x", "ce-time: y", "ce-subject: z"}, 200},
        {"the same event", {CE, "ce-type: x"}, 200},
        {"no type", {CE}, 400},
        {"two types", {CE, "ce-type: x", "ce-type: x"}, 400},
        {"an empty type", {CE, "ce-type:"}, 400},
        {"another version",
         {"ce-specversion: 0.3", "ce-id: 1", "ce-source: x", "ce-type: x", BEARER},
         400},
        {"an id alone", {"ce-id: 1", BEARER}, 400},
    };
    struct fetched f;

    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        post(t, "token", rows_[i].headers, BODY, &f);
        if (f.status != rows_[i].status)
            fail_msg("%s: %d %s", rows_[i].what, f.status, f.body);
        fetched_clear(&f);
    }
    /* the id is the event's and no delivery's: another alert under it is no duplicate */
    post(t, "token", rows_[0].headers, "{\"alertId\":\"da9_9\"}", &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    assert_int_equal(cases(t), 2);
}

/* ---- what is refused --------------------------------------------------------------------------------- */

static void test_receive__answers_as_the_table_says(void **state)
{
    struct stage *t = *state;
    static const struct {
        const char *what, *method, *path, *type, *body;
        bool is_signed;
        int status;
    } rows_[] = {
        {"no such source", "POST", "/hooks/evil", "application/json", BODY, true, 404},
        {"no source", "POST", "/hooks/", "application/json", BODY, true, 404},
        {"no hook", "POST", "/", "application/json", BODY, true, 404},
        {"half a path", "POST", "/hooks", "application/json", BODY, true, 404},
        {"a slash more", "POST", "/hooks/relay/", "application/json", BODY, true, 404},
        {"another case", "POST", "/hooks/Relay", "application/json", BODY, true, 404},
        {"another case of hooks", "POST", "/Hooks/relay", "application/json", BODY, true, 404},
        {"dots", "POST", "/x/../hooks/relay", "application/json", BODY, true, 400},
        {"encoded", "POST", "/hooks/%72elay", "application/json", BODY, true, 404},
        {"two slashes", "POST", "//hooks/relay", "application/json", BODY, true, 404},
        {"encoded slash", "POST", "/hooks%2frelay", "application/json", BODY, true, 400},
        {"GET", "GET", "/hooks/relay", NULL, NULL, false, 405},
        {"HEAD is no POST", "DELETE", "/hooks/relay", NULL, NULL, false, 405},
        {"PUT", "PUT", "/hooks/relay", "application/json", BODY, true, 405},
        {"OPTIONS", "OPTIONS", "/hooks/relay", NULL, NULL, false, 405},
        {"no length", "POST", "/hooks/relay", "application/json", NULL, false, 411},
        {"no type", "POST", "/hooks/relay", NULL, BODY, true, 415},
        {"no proof", "POST", "/hooks/relay", "application/json", BODY, false, 401},
        {"no proof, no JSON", "POST", "/hooks/relay", "application/json", "{", false, 401},
        {"no token", "POST", "/hooks/token", "application/json", BODY, true, 401},
        {"no bearer", "POST", "/hooks/flow", "application/json", BODY, true, 401},
        {"one of two proofs", "POST", "/hooks/both", "application/json", BODY, true, 401},
        {"no JSON", "POST", "/hooks/relay", "application/json", "{\"evil\":", true, 400},
        {"empty", "POST", "/hooks/relay", "application/json", "", true, 400},
        {"no alert", "POST", "/hooks/relay", "application/json", "{\"evil\":1}", true, 400},
        {"a number", "POST", "/hooks/relay", "application/json", "{\"alertId\":5}", true, 400},
        {"double members", "POST", "/hooks/relay", "application/json",
         "{\"alertId\":\"" ALERT "\",\"alertId\":\"" ALERT "\"}", true, 400},
        {"double evil members", "POST", "/hooks/relay", "application/json",
         "{\"evil\":1,\"evil\":2}", true, 400},
        {"conflicting", "POST", "/hooks/relay", "application/json",
         "{\"alertId\":\"" ALERT "\",\"alert_id\":\"evil\"}", true, 400},
        {"foreign", "POST", "/hooks/relay", "application/json",
         "{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{}}", true, 400},
        {"another tenant's alert", "POST", "/hooks/relay", "application/json",
         "{\"alertId\":\"" ALERT "\",\"tenantId\":\"" OTHER "\"}", true, 403},
        {"another tenant's among ours", "POST", "/hooks/relay", "application/json",
         "[" BODY ",{\"id\":\"da1_1\",\"aadTenantId\":\"" OTHER "\"}]", true, 403},
    };

    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        char url[200], type[100], headers[3][200];
        const char *list[5] = {NULL};
        size_t n = 0;
        struct fetched f = {0};

        if (rows_[i].is_signed) {
            house_sign(KEY, "m", time(NULL), rows_[i].body, strlen(rows_[i].body), headers);
            for (; n < 3; n++)
                list[n] = headers[n];
        }
        if (rows_[i].type) {
            (void)snprintf(type, sizeof type, "Content-Type: %s", rows_[i].type);
            list[n++] = type;
        }
        (void)snprintf(url, sizeof url, "%s%s", t->url, rows_[i].path);
        (void)fetch(&f, rows_[i].method, url, list, rows_[i].body,
                    rows_[i].body ? strlen(rows_[i].body) : 0, WAIT_MS);
        if (f.status != rows_[i].status)
            fail_msg("%s: %d %s %s", rows_[i].what, f.status, f.body, f.why);
        assert_problem(&f, rows_[i].status);
        if (f.status == 405)
            assert_header(&f, "Allow", "POST");
        fetched_clear(&f);
    }
    assert_int_equal(deliveries(t), 0);
    assert_int_equal(cases(t), 0);
    assert_int_equal(atomic_load(&t->kicks), 0);
    assert_false(log_holds(t, "evil\""));
}

static void test_receive__never_says_which_part_of_a_proof_failed(void **state)
{
    struct stage *t = *state;
    char good[3][200], stale[3][200], other[3][200];
    struct fetched f;
    char first[400] = "";

    house_sign(KEY, "m", time(NULL), BODY, sizeof BODY - 1, good);
    house_sign(KEY, "m", time(NULL) - 400, BODY, sizeof BODY - 1, stale);
    house_sign(KEY2, "m", time(NULL), BODY, sizeof BODY - 1, other);
    {
        const char *const lists[][4] = {
            {stale[0], stale[1], stale[2], NULL},
            {other[0], other[1], other[2], NULL},
            {good[0], good[1], NULL, NULL},
            {good[0], good[2], NULL, NULL},
            {good[1], good[2], NULL, NULL},
            {good[0], good[1], "webhook-signature: v1,AAAA", NULL},
            {good[0], stale[1], good[2], NULL},
            {NULL},
        };

        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            post(t, "relay", lists[i], BODY, &f);
            assert_problem(&f, 401);
            if (!i)
                (void)snprintf(first, sizeof first, "%s", f.body);
            assert_string_equal(f.body, first);
            fetched_clear(&f);
        }
    }
    /* The log does say it, without the secrets. */
    assert_true(log_holds(t, "s old"));
    assert_true(log_holds(t, "fits no key"));
    assert_false(log_holds(t, strchr(good[2], ',') + 1));
    assert_int_equal(deliveries(t), 0);
}

/* What is not of this time by a clock that is known to be wrong may well be: no sender repeats what was answered 401. */
static void test_receive__a_wrong_clock_of_ours_refuses_nobody_for_good(void **state)
{
    struct stage *t = *state;
    char good[3][200], stale[3][200], other[3][200];
    AUTO(auto_free) char *late = mint_at(time(NULL) + 1000), *listed = mint_at(time(NULL));
    struct fetched f;

    house_sign(KEY, "m1", time(NULL), BODY, sizeof BODY - 1, good);
    house_sign(KEY, "m2", time(NULL) + 1000, BODY, sizeof BODY - 1, stale);
    house_sign(KEY2, "m3", time(NULL), BODY, sizeof BODY - 1, other);
    for (int off = 0; off < 2; off++) {
        atomic_store(&t->clock_is_off, off);
        post(t, "relay", (const char *const[]){stale[0], stale[1], stale[2], NULL}, BODY, &f);
        assert_problem(&f, off ? 503 : 401);
        fetched_clear(&f);
        push_token(t, "flow", late, BODY, &f);
        assert_problem(&f, off ? 503 : 401);
        fetched_clear(&f);
        /* what is wrong all the same */
        post(t, "relay", (const char *const[]){other[0], other[1], other[2], NULL}, BODY, &f);
        assert_problem(&f, 401);
        fetched_clear(&f);
    }
    assert_int_equal(deliveries(t), 0);
    post(t, "relay", (const char *const[]){good[0], good[1], good[2], NULL}, BODY, &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    push_token(t, "flow", listed, BODY, &f);
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
}

/* What a proxy shows of itself is no word against the signature of who sends through it. */
static void test_receive__a_wrong_clock_of_ours_counts_beside_a_proof_of_somebody_unlisted(
    void **state)
{
    struct stage *t = *state;
    char good[3][200], stale[3][200], bearer[2000];
    AUTO(auto_free) char *unlisted = mint(KEY_CURRENT, "00000000-8888-4777-8666-555555555555");
    struct fetched f;

    house_sign(KEY, "m1", time(NULL), BODY, sizeof BODY - 1, good);
    house_sign(KEY, "m2", time(NULL) + 1000, BODY, sizeof BODY - 1, stale);
    (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", unlisted);
    for (int off = 0; off < 2; off++) {
        atomic_store(&t->clock_is_off, off);
        post(t, "either", (const char *const[]){bearer, stale[0], stale[1], stale[2], NULL}, BODY,
             &f);
        assert_problem(&f, off ? 503 : 403);
        fetched_clear(&f);
        push_token(t, "either", unlisted, BODY, &f);
        assert_problem(&f, 403); /* whatever the time is */
        fetched_clear(&f);
    }
    assert_int_equal(deliveries(t), 0);
    post(t, "either", (const char *const[]){bearer, good[0], good[1], good[2], NULL}, BODY, &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
}

static void test_receive__a_token_in_the_head_is_judged_before_the_body(void **state)
{
    struct stage *t = *state;
    struct fetched f;
    static char huge[70000];

    push_token(t, "token", TOKEN, BODY, &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    push_token(t, "token", "wrong", BODY, &f);
    assert_problem(&f, 401);
    assert_header(&f, "WWW-Authenticate", "Bearer");
    fetched_clear(&f);
    memset(huge, ' ', sizeof huge - 1);
    push_token(t, "token", TOKEN, huge, &f); /* over listen.max_body */
    assert_int_equal(f.status, 413);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 1);
}

static void test_receive__a_batch_over_the_limit_is_413(void **state)
{
    struct stage *t = *state;
    AUTO(buf_clear) struct buf body = BUF_INIT(1 << 20);
    struct fetched f;

    buf_adds(&body, "[");
    for (int i = 0; i < 101; i++)
        buf_addf(&body, "%s{\"id\":\"da%d_1\"}", i ? "," : "", i);
    buf_adds(&body, "]");
    push(t, NULL, buf_text(&body), &f);
    assert_problem(&f, 413);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 0);
}

/* ---- what is our own fault ------------------------------------------------------------------------------ */

static void test_receive__says_503_while_the_disk_fails(void **state)
{
    struct stage *t = *state;
    static const struct {
        enum disk_call call;
        enum disk_fault fault;
    } rows_[] = {{DISK_SYNC, DISK_BROKEN}, {DISK_WRITE, DISK_BROKEN}, {DISK_WRITE, DISK_FULL}};

    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        char id[20], body[60];
        struct fetched f;

        (void)snprintf(id, sizeof id, "m%zu", i);
        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%zu_9\"}", i);
        disk_fail(rows_[i].call, DISK_LOG, rows_[i].fault, 0);
        push(t, id, body, &f);
        assert_problem(&f, 503);
        fetched_clear(&f);
        disk_mend();
        /* The sender comes again; the store may need a moment to trust its disk. */
        {
            const time_t deadline = time(NULL) + WAIT_MS / 1000;
            int status;

            do
                status = push_status(t, id, body);
            while (status == 503 && time(NULL) < deadline);
            /* 200: the failed one came to light after all, which is no loss */
            assert_true(status == 202 || status == 200);
        }
        assert_int_equal(cases(t), (int64_t)i + 1);
    }
}

static void test_receive__says_503_when_it_is_stopping(void **state)
{
    struct stage *t = *state;
    struct fetched f;

    assert_int_equal(push_status(t, NULL, BODY), 202);
    receiver_stopping(t->receiver);
    push(t, NULL, "{\"alertId\":\"da1_1\"}", &f);
    assert_problem(&f, 503);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 1);
}

/* ---- keys of Entra --------------------------------------------------------------------------------------- */

struct sender {
    struct stage *t;
    const char *source, *token; /* source NULL: flow */
    int number;
    atomic_int status; /* 0: no answer yet */
};

static void *send_one(void *arg)
{
    struct sender *s = arg;
    struct fetched f;
    char body[60];

    (void)snprintf(body, sizeof body, "{\"alertId\":\"da%d_5\"}", s->number);
    push_token(s->t, s->source ? s->source : "flow", s->token, body, &f);
    s->status = f.status;
    fetched_clear(&f);
    return NULL;
}

static void test_receive__the_first_tokens_wait_for_the_keys_together(void **state)
{
    struct stage *t = *state;
    AUTO(auto_free) char *token = mint(KEY_CURRENT, CLIENT);
    struct sender senders[20];
    pthread_t threads[20];

    for (int i = 0; i < 20; i++) {
        senders[i] = (struct sender){.t = t, .token = token, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_one, &senders[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(senders[i].status, 202);
    }
    assert_int_equal(peer_count(t->entra), 2); /* discovery and keys, once */
    assert_int_equal(cases(t), 20);
    assert_int_equal(deliveries(t), 20);
    assert_false(log_holds(t, token));
    assert_true(log_holds(t, "\"key\":\"" CLIENT "\""));
}

static void test_receive__who_is_known_but_not_listed_is_403(void **state)
{
    struct stage *t = *state;
    AUTO(auto_free) char *token = mint(KEY_CURRENT, "00000000-0000-0000-0000-000000000001");
    AUTO(auto_free) char *unknown = mint(KEY_UNKNOWN, CLIENT);
    struct fetched f;

    push_token(t, "flow", token, BODY, &f);
    assert_problem(&f, 403);
    fetched_clear(&f);
    push_token(t, "flow", unknown, BODY, &f);
    assert_problem(&f, 401);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 0);
}

static void test_receive__keys_out_of_reach_are_503(void **state)
{
    struct stage *t = *state;
    AUTO(auto_free) char *token = mint(KEY_CURRENT, CLIENT);
    struct fetched f;

    peer_forget(t->entra);
    peer_script(t->entra, &(struct peer_answer){.status = 500});
    for (int i = 0; i < 3; i++) {
        push_token(t, "flow", token, BODY, &f);
        assert_problem(&f, 503);
        fetched_clear(&f);
    }
    assert_int_equal(peer_count(t->entra), 1);
    assert_int_equal(deliveries(t), 0);
    /* Others do not suffer. */
    assert_int_equal(push_status(t, NULL, BODY), 202);
}

/* Whoever knows a source's path can send something that looks like a token, and have its tenant's keys fetched. */
static void test_receive__an_authority_that_hangs_holds_up_its_own_tenants_alone(void **state)
{
    struct stage *t = *state;
    struct peer *branch = peer_new(NULL);
    AUTO(auto_free) char *token = mint(KEY_CURRENT, CLIENT);
    AUTO(auto_free) char *other = mint_for(OTHER, KEY_CURRENT, CLIENT);
    struct sender waiting = {.t = t, .source = "branch", .token = other};
    struct config *config;
    struct fetched f;
    pthread_t thread;

    t->branch = peer_url(branch);
    config = load(t, "k1");
    receiver_use(t->receiver, config);
    config_unref(config);
    peer_script(branch, &(struct peer_answer){.act = PEER_HANG});
    assert_int_equal(pthread_create(&thread, NULL, send_one, &waiting), 0);
    assert_non_null(peer_request(branch, 0));
    push_token(t, "flow", token, BODY, &f);
    assert_int_equal(f.status, 202);
    assert_int_equal(waiting.status, 0); /* it waits still */
    fetched_clear(&f);
    peer_free(branch);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiting.status, 503);
}

static void test_receive__all_schemes_of_an_entry_are_asked_for(void **state)
{
    struct stage *t = *state;
    AUTO(auto_free) char *token = mint(KEY_CURRENT, CLIENT);
    AUTO(auto_free) char *bearer = NULL;
    char headers[3][200];
    struct fetched f;

    assert_true(asprintf(&bearer, "Authorization: Bearer %s", token) > 0);
    house_sign(KEY, "m1", time(NULL), BODY, sizeof BODY - 1, headers);
    for (int i = 0; i < 2; i++) { /* by the slow lane, then with known keys */
        const char *const list[] = {bearer, headers[0], headers[1], headers[2], NULL};

        post(t, "both", list, BODY, &f);
        assert_int_equal(f.status, i ? 200 : 202);
        fetched_clear(&f);
    }
    {
        const char *const token_alone[] = {bearer, NULL};

        post(t, "both", token_alone, BODY, &f);
        assert_problem(&f, 401);
        fetched_clear(&f);
    }
    assert_int_equal(deliveries(t), 1);
}

/* A request that waits for keys while the server gives up: its head must not be looked at any more. */
static void test_receive__a_server_may_end_while_requests_wait_for_keys(void **state)
{
    struct stage *t = *state;
    AUTO(auto_free) char *token = mint(KEY_CURRENT, CLIENT);
    struct sender senders[4];
    pthread_t threads[4];

    peer_forget(t->entra);
    peer_script(t->entra, &(struct peer_answer){.act = PEER_HANG});
    for (int i = 0; i < 4; i++) {
        senders[i] = (struct sender){.t = t, .token = token, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_one, &senders[i]), 0);
    }
    assert_non_null(peer_request(t->entra, 0));
    for (int64_t connections, requests = 0; requests < 4; sched_yield())
        http_server_counts(t->http, &connections, &requests);
    http_server_free(t->http, 300);
    t->http = NULL;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    peer_free(t->entra); /* the fetch fails, and the lane goes on with the four */
    t->entra = peer_new(NULL);
    receiver_free(t->receiver);
    t->receiver = NULL;
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(senders[i].status, 202);
    assert_int_equal(deliveries(t), 0);
}

struct ending_receiver {
    struct stage *t;
    sem_t freed;
};

static void *push_one(void *arg)
{
    (void)push_status(arg, NULL, BODY); /* nobody answers it any more */
    return NULL;
}

static void *free_receiver(void *arg)
{
    struct ending_receiver *ending = arg;

    receiver_free(ending->t->receiver);
    (void)sem_post(&ending->freed);
    return NULL;
}

/* In the store's writer, which does nothing else meanwhile. */
static enum err_code stand_still(struct db_tx *tx, void *arg, struct err *e)
{
    (void)tx;
    (void)e;
    while (sem_wait(arg) != 0)
        ;
    return ERR_OK;
}

static void stood_still(void *arg, enum err_code code, const struct err *e)
{
    (void)arg;
    (void)code;
    (void)e;
}

/* A disk that takes longer than the server waits: the store has the request still, and tells the receiver
 * when it is done, so that must be there. */
static void test_receive__lives_as_long_as_the_store_is_at_a_delivery(void **state)
{
    struct stage *t = *state;
    struct ending_receiver ending = {.t = t};
    pthread_t pusher, freer;
    struct timespec soon;
    sem_t go_on;

    assert_int_equal(sem_init(&ending.freed, 0, 0), 0);
    assert_int_equal(sem_init(&go_on, 0, 0), 0);
    assert_int_equal(db_submit(t->store->db, stand_still, &go_on, stood_still, NULL), ERR_OK);
    assert_int_equal(pthread_create(&pusher, NULL, push_one, t), 0);
    while (!atomic_load(&t->stores))
        sched_yield();
    http_server_free(t->http, 100);
    t->http = NULL;
    assert_int_equal(pthread_join(pusher, NULL), 0);
    assert_int_equal(pthread_create(&freer, NULL, free_receiver, &ending), 0);
    (void)clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 1;
    assert_int_not_equal(sem_timedwait(&ending.freed, &soon), 0);
    (void)sem_post(&go_on);
    assert_int_equal(pthread_join(freer, NULL), 0);
    t->receiver = NULL;
    assert_int_equal(deliveries(t), 1);
    assert_true(log_holds(t, "\"event\":\"accepted\""));
    (void)sem_destroy(&ending.freed);
    (void)sem_destroy(&go_on);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void test_receive__another_configuration_counts_from_the_next_request(void **state)
{
    struct stage *t = *state;
    struct config *next = load(t, "k2");
    struct fetched f;

    assert_int_equal(push_status(t, NULL, BODY), 202);
    receiver_use(t->receiver, next);
    config_unref(next);
    assert_int_equal(push_status(t, NULL, "{\"alertId\":\"da1_1\"}"), 401);
    push_with(t, "relay", KEY2, NULL, "{\"alertId\":\"da1_1\"}", &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
}

static void *reload_often(void *arg)
{
    struct stage *t = arg;

    for (int i = 0; i < 100; i++)
        receiver_use(t->receiver, t->config);
    return NULL;
}

static void *push_often(void *arg)
{
    struct sender *s = arg;

    for (int i = 0; i < 30; i++) {
        char body[60];
        int status;

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%d_%d\"}", s->number, i);
        status = push_status(s->t, NULL, body);
        if (status != 202)
            s->status = status;
    }
    return NULL;
}

static void test_receive__loses_nothing_while_it_is_reloaded(void **state)
{
    struct stage *t = *state;
    struct sender senders[4];
    pthread_t threads[5];

    assert_int_equal(pthread_create(&threads[4], NULL, reload_often, t), 0);
    for (int i = 0; i < 4; i++) {
        senders[i] = (struct sender){.t = t, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, push_often, &senders[i]), 0);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(senders[i].status, 0);
    assert_int_equal(cases(t), 120);
    assert_int_equal(deliveries(t), 120);
    assert_int_equal(rows(t, "SELECT count(*) FROM work"), 120);
}

static void test_receive__bad_requests_cannot_flood_the_log(void **state)
{
    struct stage *t = *state;
    struct fetched f;
    time_t began = time(NULL), took;

    for (int i = 0; i < 100; i++) {
        push_with(t, "relay", KEY2, NULL, BODY, &f);
        assert_int_equal(f.status, 401);
        fetched_clear(&f);
    }
    took = time(NULL) - began + 1;
    assert_true(log_lines(t, "\"event\":\"refused\"") <= 20 * (took + 1));
    assert_true(log_lines(t, "\"event\":\"refused\"") >= 20);
}

static void test_receive__counts_what_became_of_requests(void **state)
{
    struct stage *t = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct fetched f;
    static const char *const lines[] = {
        "cordon_deliveries_total{source=\"relay\",outcome=\"accepted\"} 1",
        "cordon_deliveries_total{source=\"relay\",outcome=\"duplicate\"} 1",
        "cordon_deliveries_total{source=\"relay\",outcome=\"test\"} 1",
        "cordon_deliveries_total{source=\"relay\",outcome=\"bad\"} 1",
        "cordon_deliveries_total{source=\"relay\",outcome=\"denied\"} 1",
        "cordon_deliveries_total{source=\"-\",outcome=\"not_found\"} 1",
        "cordon_cases_made_total{tenant=\"contoso\"} 1",
    };

    (void)push_status(t, "m1", BODY);
    (void)push_status(t, "m1", BODY);
    (void)push_status(t, NULL, "{\"test\":true}");
    (void)push_status(t, NULL, "{");
    push_with(t, "relay", KEY2, NULL, BODY, &f);
    fetched_clear(&f);
    push_with(t, "nobody", KEY, NULL, BODY, &f);
    fetched_clear(&f);
    metrics_write(t->metrics, &out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(buf_text(&out), lines[i]))
            fail_msg("%s is not in\n%s", lines[i], buf_text(&out));
}

/* ---- the door ---------------------------------------------------------------------------------------------- */

/* Another configuration from now on: more settings of listen and of relay. */
static void furnish(struct stage *t, const char *listen, const char *relay)
{
    struct config *next;

    t->listen = listen;
    t->relay = relay;
    next = load(t, "k1");
    receiver_use(t->receiver, next);
    config_unref(next);
}

/* Pushes an alert of its own as a client behind a proxy; forwarded: the header's lines, NULL-terminated. */
static void push_from(struct stage *t, const char *key, const char *const *forwarded,
                      struct fetched *f)
{
    static atomic_int serial;
    char headers[3][200], lines[3][120], id[40], body[60];
    const char *list[8] = {headers[0], headers[1], headers[2]};
    int n = atomic_fetch_add(&serial, 1);

    for (size_t i = 0; forwarded[i]; i++) {
        (void)snprintf(lines[i], sizeof lines[i], "X-Forwarded-For: %s", forwarded[i]);
        list[3 + i] = lines[i];
    }
    (void)snprintf(id, sizeof id, "from-%d", n);
    (void)snprintf(body, sizeof body, "{\"alertId\":\"da9_%d\"}", n);
    house_sign(key, id, time(NULL), body, strlen(body), headers);
    post(t, "relay", list, body, f);
}

static int status_from(struct stage *t, const char *key, const char *client)
{
    struct fetched f;
    int status;

    push_from(t, key, (const char *const[]){client, NULL}, &f);
    status = f.status;
    fetched_clear(&f);
    return status;
}

static int64_t retry_after(const struct fetched *f)
{
    char out[40];

    return fetched_header(f, "Retry-After", out, sizeof out) ? strtoll(out, NULL, 10) : -1;
}

static void test_receive__who_knocks_too_often_is_429_and_nobody_else(void **state)
{
    struct stage *t = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct fetched f;

    furnish(t, ", trusted_proxies: [127.0.0.1], rate: {requests: 10, per: 1h, burst: 3}", NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(status_from(t, KEY, "192.0.2.1"), 202);
    for (int i = 0; i < 50; i++) {
        push_from(t, KEY, (const char *const[]){"192.0.2.1", NULL}, &f);
        assert_problem(&f, 429);
        assert_in_range(retry_after(&f), 350, 360); /* a token comes back every six minutes */
        fetched_clear(&f);
    }
    assert_int_equal(status_from(t, KEY, "192.0.2.2"), 202);
    /* whatever it asks for */
    post(t, "nobody", (const char *const[]){"X-Forwarded-For: 192.0.2.1", NULL}, BODY, &f);
    assert_int_equal(f.status, 429);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 4);
    assert_int_equal(rows(t, "SELECT count(*) FROM deliveries WHERE peer = '192.0.2.1'"), 3);

    assert_int_equal(log_lines(t, "\"event\":\"throttled\""),
                     1); /* the next one is due in a minute */
    assert_true(log_holds(t, "\"peer\":\"192.0.2.1\""));
    assert_int_equal(log_lines(t, "\"event\":\"refused\""), 0);
    metrics_write(t->metrics, &out);
    assert_non_null(strstr(buf_text(&out), "cordon_throttled_total{rate=\"client\"} 51"));
    assert_non_null(strstr(buf_text(&out),
                           "cordon_deliveries_total{source=\"relay\",outcome=\"throttled\"} 50"));
}

/* 400 at once at the usual rate; nobody is asked for cryptography after that. */
static void test_receive__bad_signatures_use_up_the_rate_fifty_times_as_fast(void **state)
{
    struct stage *t = *state;
    int denied = 0, throttled = 0;

    furnish(t, ", trusted_proxies: [127.0.0.1], rate: {requests: 1, per: 1m, burst: 10000}", NULL);
    for (int i = 0; i < 260; i++) {
        int status = status_from(t, KEY2, "2001:db8::1");

        denied += status == 401;
        throttled += status == 429;
    }
    assert_int_equal(denied, 197); /* 10,000 / 51 */
    assert_int_equal(throttled, 63);
    assert_int_equal(status_from(t, KEY, "2001:db8::beef"), 429); /* the same /64 */
    assert_int_equal(status_from(t, KEY, "2001:db8:0:1::1"), 202);
    for (int i = 0; i < 250; i++) /* good ones cost one */
        assert_int_equal(status_from(t, KEY, "192.0.2.7"), 202);
}

/* Who has proven who he is, and sends what nobody can read, is no attacker. */
static void test_receive__a_bad_body_with_a_good_signature_costs_one(void **state)
{
    struct stage *t = *state;

    furnish(t, ", rate: {requests: 1, per: 1h, burst: 100}", NULL);
    for (int i = 0; i < 99; i++)
        assert_int_equal(push_status(t, NULL, "{"), 400);
    assert_int_equal(push_status(t, NULL, BODY), 202);
    assert_int_equal(push_status(t, NULL, BODY), 429);
}

static void test_receive__a_source_pays_for_what_it_has_proven(void **state)
{
    struct stage *t = *state;
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct fetched f;

    furnish(t, NULL, ", rate: {requests: 6, per: 1h, burst: 2}");
    for (int i = 0; i < 50; i++) { /* others cannot use it up */
        push_with(t, "relay", KEY2, NULL, BODY, &f);
        assert_int_equal(f.status, 401);
        fetched_clear(&f);
    }
    assert_int_equal(push_status(t, NULL, "{\"alertId\":\"da1_1\"}"), 202);
    assert_int_equal(push_status(t, NULL, "{\"alertId\":\"da1_2\"}"), 202);
    push(t, NULL, "{\"alertId\":\"da1_3\"}", &f);
    assert_problem(&f, 429);
    assert_in_range(retry_after(&f), 590, 600);
    fetched_clear(&f);
    /* before any cryptography: a wrong key is not even looked at */
    push_with(t, "relay", KEY2, NULL, BODY, &f);
    assert_problem(&f, 429);
    fetched_clear(&f);
    push_with(t, "other", KEY, NULL, "{\"alertId\":\"da1_3\"}", &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    assert_int_equal(deliveries(t), 3);
    assert_true(log_holds(t, "\"source\":\"relay\""));
    metrics_write(t->metrics, &out);
    assert_non_null(strstr(buf_text(&out), "cordon_throttled_total{rate=\"source\"} 2"));
    /* another configuration does not fill the bucket */
    furnish(t, NULL, ", rate: {requests: 6, per: 1h, burst: 2}");
    assert_int_equal(push_status(t, NULL, BODY), 429);
    furnish(t, NULL, ", rate: {requests: 1000, per: 1s}");
    assert_int_equal(push_status(t, NULL, BODY), 202);
}

static void test_receive__a_source_is_pushed_to_from_its_networks_alone(void **state)
{
    static const struct {
        const char *label;
        const char *forwarded[3];
        int status;
    } table[] = {
        {"from the network", {"10.1.2.3"}, 202},
        {"from the other one", {"2001:db8:77::1"}, 202},
        {"IPv4 in IPv6", {"::ffff:10.1.2.3"}, 202},
        {"from elsewhere", {"203.0.113.9"}, 403},
        {"IPv6 from elsewhere", {"2001:db9::1"}, 403},
        {"a forged one before the truth", {"10.1.2.3, 203.0.113.9"}, 403},
        {"a forged line before the truth", {"10.1.2.3", "203.0.113.9"}, 403},
        {"a forged one before a proxy that cannot tell", {"10.1.2.3, unknown"}, 403},
        {"a forged one before nothing", {"10.1.2.3,"}, 403},
        {"no header: the proxy itself, which lies in no network", {NULL}, 403},
    };
    struct stage *t = *state;
    struct fetched f;

    furnish(t, ", trusted_proxies: [127.0.0.1]", ", networks: [10.0.0.0/8, \"2001:db8::/32\"]");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        push_from(t, KEY, table[i].forwarded, &f);
        if (f.status != table[i].status)
            fail_msg("%s: %d %s", table[i].label, f.status, f.body);
        if (f.status == 403)
            assert_problem(&f, 403);
        fetched_clear(&f);
    }
    assert_true(log_holds(t, "\"peer\":\"203.0.113.9\""));
    /* whether or not it is signed well: nobody is told */
    assert_int_equal(status_from(t, KEY2, "203.0.113.9"), 403);
    assert_int_equal(status_from(t, KEY2, "10.1.2.3"), 401);
    push_with(t, "other", KEY, NULL, BODY, &f); /* the others may be anywhere */
    assert_int_equal(f.status, 202);
    fetched_clear(&f);

    furnish(t, NULL, ", networks: [10.0.0.0/8]"); /* the proxy is trusted no more */
    assert_int_equal(status_from(t, KEY, "10.1.2.3"), 403);
    assert_true(log_holds(t, "\"peer\":\"127.0.0.1\""));
    furnish(t, NULL, ", networks: [127.0.0.0/8]");
    assert_int_equal(status_from(t, KEY, "203.0.113.9"), 202);
}

/* A request whose head was judged before the reload is judged again by what holds now. */
/* Which of two is meant, nobody knows. */
static void test_receive__wants_one_content_type(void **state)
{
    struct stage *t = *state;
    char headers[3][200];
    const char *list[] = {headers[0], headers[1], headers[2], "Content-Type: text/plain", NULL};
    struct fetched f;

    house_sign(KEY, "two", time(NULL), BODY, strlen(BODY), headers);
    post(t, "relay", list, BODY, &f);
    assert_problem(&f, 415);
    fetched_clear(&f);
}

/* The head of a request to source, judged and found good; its body is still to come. */
static struct raw *begin_request(struct stage *t, const char *source, const char *const headers[])
{
    char line[200];
    struct raw *r = raw_open(http_server_address(t->http));

    assert_non_null(r);
    (void)snprintf(line, sizeof line, "POST /hooks/%s HTTP/1.1\r\n", source);
    raw_text(r, line);
    raw_text(r, "Host: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n");
    for (size_t i = 0; headers[i]; i++) {
        raw_text(r, headers[i]);
        raw_text(r, "\r\n");
    }
    (void)snprintf(line, sizeof line, "Content-Length: %zu\r\n\r\n", strlen(BODY));
    raw_text(r, line);
    assert_true(raw_readable(r, WAIT_MS)); /* 100 */
    return r;
}

/* Sends the body; the status. */
static int end_request(struct raw *r)
{
    struct raw_answer a;

    raw_text(r, BODY);
    raw_answer(r, &a, false);
    if (a.status == 100)
        raw_answer(r, &a, false);
    raw_free(r);
    return a.status;
}

static void test_receive__networks_count_for_a_body_that_comes_after_a_reload(void **state)
{
    struct stage *t = *state;
    struct raw *r;
    char headers[3][200];

    furnish(t, NULL, ", networks: [127.0.0.0/8]");
    house_sign(KEY, "late", time(NULL), BODY, strlen(BODY), headers);
    r = begin_request(t, "relay", (const char *const[]){headers[0], headers[1], headers[2], NULL});
    furnish(t, NULL, ", networks: [10.0.0.0/8]");
    assert_int_equal(end_request(r), 403);
    /* and a proxy that is trusted no more names nobody */
    furnish(t, ", trusted_proxies: [127.0.0.1]", ", networks: [10.0.0.0/8]");
    r = begin_request(t, "relay",
                      (const char *const[]){headers[0], headers[1], headers[2],
                                            "X-Forwarded-For: 10.0.0.7", NULL});
    furnish(t, NULL, ", networks: [10.0.0.0/8]");
    assert_int_equal(end_request(r), 403);
    assert_int_equal(deliveries(t), 0);
}

/* By the clock of the log: time() lags behind it, and may not be in a second yet that has begun there. */
static int64_t second_now(void)
{
    return clock_wall_ms(clock_system()) / SECOND_MS;
}

/* Requests whose heads came in another second than those between them: the log's second is that of its lines. */
static void test_receive__bad_requests_that_began_before_cannot_flood_the_log(void **state)
{
    enum { MANY = 60 };
    struct stage *t = *state;
    struct raw *old[MANY];
    struct fetched f;
    char headers[3][200];
    int64_t began;

    house_sign(KEY2, "old", time(NULL), BODY, strlen(BODY), headers);
    for (size_t i = 0; i < MANY; i++)
        old[i] = begin_request(t, "relay",
                               (const char *const[]){headers[0], headers[1], headers[2], NULL});
    for (began = second_now(); second_now() == began;)
        (void)poll(NULL, 0, 10);
    began = second_now();
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(end_request(old[i]), 401);
        push_with(t, "relay", KEY2, NULL, BODY, &f);
        assert_int_equal(f.status, 401);
        fetched_clear(&f);
    }
    assert_true(log_lines(t, "\"event\":\"refused\"") <= 20 * (second_now() - began + 1));
}

/* With each delivery it is tried anew to write that its source was heard: what fails is one event, however many come. */
static void test_receive__a_store_that_fails_cannot_flood_the_log(void **state)
{
    struct stage *t = *state;

    disk_fail(DISK_WRITE, DISK_LOG, DISK_FULL, 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(push_status(t, NULL, BODY), 503);
    assert_int_equal(log_lines(t, "\"event\":\"heard_not_written\""), 1);
}

/* A proof that was whole in the head is asked for again when its secret was changed meanwhile; and a source that is gone
 * takes nothing. */
static void test_receive__a_proof_of_the_head_does_not_outlive_a_reload(void **state)
{
    static const char *const token[] = {"Authorization: Bearer " TOKEN, NULL};
    struct stage *t = *state;
    struct config *next;
    struct raw *r = begin_request(t, "token", token);

    put(t, "token", "another-token-of-thirty-two-characters-or-more");
    furnish(t, NULL, NULL);
    assert_int_equal(end_request(r), 401);
    put(t, "token", TOKEN);
    furnish(t, NULL, NULL);
    r = begin_request(t, "token", token);
    next = load(t, "k1");
    for (size_t i = 0; i < next->n_sources; i++)
        if (strcmp(next->sources[i].name, "token") == 0)
            next->sources[i].name = "gone"; /* the names are borrowed texts */
    receiver_use(t->receiver, next);
    config_unref(next);
    assert_int_equal(end_request(r), 404);
    assert_int_equal(deliveries(t), 0);
}

/* Stopped between the head and the body: nothing is taken any more. */
static void test_receive__takes_no_body_once_it_is_stopping(void **state)
{
    static const char *const token[] = {"Authorization: Bearer " TOKEN, NULL};
    struct stage *t = *state;
    struct raw *r = begin_request(t, "token", token);

    receiver_stopping(t->receiver);
    assert_int_equal(end_request(r), 503);
    assert_int_equal(deliveries(t), 0);
}

/* A source that may isolate says again what was pushed by one that may not: that is news. */
static void test_receive__a_stronger_source_is_no_duplicate(void **state)
{
    static const char *const weak[] = {", may: [notify]", ", mode: shadow"};
    struct stage *t = *state;

    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++) {
        char body[60];
        struct fetched f;

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da7_%zu\"}", i);
        furnish(t, NULL, weak[i]);
        assert_int_equal(push_status(t, NULL, body), 202);
        assert_int_equal(push_status(t, NULL, body), 200);
        push_with(t, "other", KEY, NULL, body, &f);
        assert_int_equal(f.status, 202);
        fetched_clear(&f);
        push_with(t, "other", KEY, NULL, body, &f);
        assert_int_equal(f.status, 200);
        fetched_clear(&f);
    }
    assert_int_equal(cases(t), 2);
}

/* A proxy that is not named as one hides all who are behind it: the line says the cure. */
static void test_receive__a_proxy_that_is_not_trusted_is_pointed_at(void **state)
{
    struct stage *t = *state;

    furnish(t, ", rate: {requests: 1, per: 1h, burst: 1}", NULL);
    assert_int_equal(status_from(t, KEY, "192.0.2.1"), 202);
    assert_int_equal(status_from(t, KEY, "192.0.2.2"), 429);
    assert_true(log_holds(t, "name it in listen.trusted_proxies"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_receive__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(says_202_when_it_is_on_disk),
        TEST(what_was_left_out_is_logged_with_its_delivery),
        TEST(a_batch_is_one_delivery_of_many_cases),
        TEST(every_way_of_naming_json_is_taken),
        TEST(a_repeated_delivery_is_answered_as_the_first),
        TEST(the_same_alert_again_makes_no_second_case),
        TEST(a_delivery_id_used_twice_acts_on_the_first_body_only),
        TEST(a_test_is_verified_answered_and_not_stored),
        TEST(consents_to_cloudevents_from_who_shows_the_credential),
        TEST(waits_for_keys_with_a_handshake_too),
        TEST(gives_graph_its_token_back_as_text),
        TEST(a_delivery_is_no_handshake_whatever_its_url_says),
        TEST(tells_event_grid_its_code),
        TEST(takes_cloudevents_in_binary_mode),
        TEST(answers_as_the_table_says),
        TEST(never_says_which_part_of_a_proof_failed),
        TEST(a_wrong_clock_of_ours_refuses_nobody_for_good),
        TEST(a_wrong_clock_of_ours_counts_beside_a_proof_of_somebody_unlisted),
        TEST(a_token_in_the_head_is_judged_before_the_body),
        TEST(a_batch_over_the_limit_is_413),
        TEST(says_503_while_the_disk_fails),
        TEST(says_503_when_it_is_stopping),
        TEST(the_first_tokens_wait_for_the_keys_together),
        TEST(who_is_known_but_not_listed_is_403),
        TEST(keys_out_of_reach_are_503),
        TEST(an_authority_that_hangs_holds_up_its_own_tenants_alone),
        TEST(all_schemes_of_an_entry_are_asked_for),
        TEST(a_server_may_end_while_requests_wait_for_keys),
        TEST(lives_as_long_as_the_store_is_at_a_delivery),
        TEST(another_configuration_counts_from_the_next_request),
        TEST(loses_nothing_while_it_is_reloaded),
        TEST(bad_requests_cannot_flood_the_log),
        TEST(counts_what_became_of_requests),
        TEST(who_knocks_too_often_is_429_and_nobody_else),
        TEST(bad_signatures_use_up_the_rate_fifty_times_as_fast),
        TEST(a_bad_body_with_a_good_signature_costs_one),
        TEST(a_source_pays_for_what_it_has_proven),
        TEST(a_source_is_pushed_to_from_its_networks_alone),
        TEST(bad_requests_that_began_before_cannot_flood_the_log),
        TEST(a_store_that_fails_cannot_flood_the_log),
        TEST(networks_count_for_a_body_that_comes_after_a_reload),
        TEST(a_proof_of_the_head_does_not_outlive_a_reload),
        TEST(takes_no_body_once_it_is_stopping),
        TEST(wants_one_content_type),
        TEST(a_stronger_source_is_no_duplicate),
        TEST(a_proxy_that_is_not_trusted_is_pointed_at),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
