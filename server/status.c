/* status.c - see status.h.
 *
 * The HTTP thread judges the capability, so that what is forged never comes to the disk; then the request is
 * suspended and stands in line (line.h) for the one thread that reads. Reading in the HTTP threads, as the admin
 * side does, would let a slow disk hold up pushes; reading in the store's writer would hold up commits.
 */
#include "status.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "capability.h"
#include "ending.h"
#include "json.h"
#include "line.h"
#include "log.h"
#include "store_cases.h"
#include "store_deliveries.h"
#include "store_isolations.h"
#include "store_keys.h"

/* Polls that wait to be read; beyond this they are told to come again. */
#define POLLS_MAX 256

#define SOON_FOR_MS MINUTE_MS
#define RETRY_LATER "20"

/* A person may have a week to answer. What there is to say is said before the link ends: by a 404 the flow's action would
 * fail, and flows that fail are switched off. Those that poll come every 20 s. */
#define LAST_WORD_MS HOUR_MS

#define ANSWER_MAX (1024 * 1024)

struct poll {
    struct http_request *http;
    int64_t delivery, made_ms;
};

struct status {
    struct status_options o;
    struct capabilities *capabilities;
    pthread_mutex_t lock; /* of what follows */
    struct config *config;
    struct line *line; /* of polls to be read */
};

/* ---- the outcome ---------------------------------------------------------------------------------- */

struct reading {
    int64_t delivery, now;
    struct arena *arena;
    struct buf *out;
    enum ending worst; /* of the cases that have ended */
    bool at_work;
};

static enum err_code read_case(struct db_tx *tx, struct reading *r, struct json_out *o, int64_t id,
                               struct err *e)
{
    struct isolation_record isolation;
    struct step_record *steps = NULL;
    struct case_record c;
    size_t n_steps = 0;
    const char *why;
    enum ending ending;
    enum err_code code = case_load_row(tx, r->arena, id, &c, e);

    if (!code && c.isolation)
        code = isolation_load(tx, r->arena, c.isolation, &isolation, e);
    if (!code && !c.isolation)
        code = case_steps(tx, r->arena, id, &steps, &n_steps, e);
    if (code)
        return code;
    ending = ending_of(&c, c.isolation ? &isolation : NULL, steps, n_steps, r->now, &why);
    r->at_work = r->at_work || ending == ENDING_NONE_YET;
    if (ending > r->worst)
        r->worst = ending;
    json_out_object(o, NULL);
    json_out_id(o, "id", c.id);
    json_out_string(o, "alert_id", c.alert_id);
    json_out_string(o, "machine_id", c.machine_id);
    json_out_string(o, "rule", c.rule);
    json_out_string(o, "outcome", ending_name(ending));
    json_out_string(o, "why", why);
    json_out_object_end(o);
    return ERR_OK;
}

static enum err_code read_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;
    AUTO(buf_clear) struct buf cases = BUF_INIT(ANSWER_MAX);
    struct json_out list = JSON_OUT(&cases), o = JSON_OUT(r->out);
    int64_t ids[INTAKE_BATCH_MAX];
    size_t n = 0;
    enum err_code code = delivery_cases(tx, r->delivery, ids, &n, e);

    json_out_array(&list, NULL);
    for (size_t i = 0; i < n && !code; i++)
        code = read_case(tx, r, &list, ids[i], e);
    json_out_array_end(&list);
    if (code)
        return code;
    if (buf_failed(&cases))
        return err_set(e, buf_failed(&cases), "outcome");
    json_out_object(&o, NULL);
    json_out_string(&o, "status", r->at_work ? "working" : "finished");
    json_out_id(&o, "delivery", r->delivery);
    json_out_string(&o, "outcome", r->at_work ? NULL : ending_name(r->worst));
    json_out_raw(&o, "cases", buf_text(&cases));
    json_out_object_end(&o);
    return buf_failed(r->out) ? err_set(e, buf_failed(r->out), "outcome") : ERR_OK;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static void count(struct status *s, const char *outcome)
{
    metrics_add(s->o.metrics, METRIC_STATUS_POLLS, 1, outcome, NULL);
}

static void not_found(struct status *s, struct http_request *http)
{
    count(s, "unknown");
    http_reply_problem(http, 404, "There is nothing to be known under this link.", NULL);
}

static void unavailable(struct status *s, struct http_request *http)
{
    static const char *const later[][2] = {{"Retry-After", RETRY_LATER}, {NULL, NULL}};

    count(s, "unavailable");
    http_reply_problem(http, 503, "The outcome cannot be read now; ask again.", later);
}

static struct config *take_config(struct status *s)
{
    struct config *c;

    pthread_mutex_lock(&s->lock);
    c = config_ref(s->config);
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void answer(struct status *s, const struct poll *p, const struct reading *r,
                   const struct buf *json)
{
    const bool waits = r->at_work && r->now - p->made_ms < STATUS_LIFETIME_MS - LAST_WORD_MS;
    struct http_answer reply = {.status = waits ? 202 : 200,
                                .content_type = "application/json",
                                .body = buf_text(json),
                                .body_len = json->len,
                                .headers = {{"Cache-Control", "no-store"}}};
    struct config *config = take_config(s);

    if (waits) { /* 202 without a Location would end the flow's action as done */
        reply.headers[1].name = "Retry-After";
        reply.headers[1].value =
            r->now - p->made_ms < SOON_FOR_MS ? STATUS_RETRY_SOON : RETRY_LATER;
        if (config->public_url)
            reply.headers[2].value =
                arena_fmt(r->arena, "%s%s", config->public_url, http_path(p->http));
        if (reply.headers[2].value)
            reply.headers[2].name = "Location";
    }
    count(s, r->at_work ? "working" : "finished");
    log_event(r->at_work ? LOG_DEBUG : LOG_INFO, "status_read", LOG_ID("delivery", r->delivery),
              LOG_STR("outcome", r->at_work ? NULL : ending_name(r->worst)));
    http_reply(p->http, &reply);
    config_unref(config);
}

static void read_one(struct status *s, const struct poll *p)
{
    AUTO(arena_freep) struct arena *arena = arena_new(4096);
    AUTO(buf_clear) struct buf json = BUF_INIT(ANSWER_MAX);
    struct reading r = {
        .delivery = p->delivery, .now = clock_wall_ms(s->o.clock), .arena = arena, .out = &json};
    struct err e;
    enum err_code code =
        arena ? db_read(s->o.store->db, read_fn, &r, &e) : err_set(&e, ERR_NOMEM, "outcome");

    if (!code) {
        answer(s, p, &r, &json);
    } else if (code == ERR_NOT_FOUND) {
        not_found(s, p->http);
    } else {
        log_event(LOG_ERROR, "status_unreadable", LOG_ID("delivery", p->delivery), LOG_ERR(&e));
        unavailable(s, p->http);
    }
}

/* ---- the line ------------------------------------------------------------------------------------- */

static void serve(struct http_request *http, void *ctx)
{
    read_one(ctx, http_data(http));
}

static enum http_next head(struct http_request *http, void *ctx, size_t *ret_body_max)
{
    static const char *const allow[][2] = {{"Allow", "GET, HEAD"}, {NULL, NULL}};
    struct status *s = ctx;
    struct arena *arena = http_arena(http);
    struct poll *p = arena ? arena_alloc(arena, sizeof *p) : NULL;
    int64_t expires;
    enum err_code code;

    *ret_body_max = 1024; /* nobody reads it */
    if (strcmp(http_method(http), "GET") != 0 && strcmp(http_method(http), "HEAD") != 0) {
        http_reply_problem(http, 405, "This path is only for reading.", allow);
        return HTTP_ANSWERED;
    }
    if (!p) {
        unavailable(s, http);
        return HTTP_ANSWERED;
    }
    p->http = http;
    code =
        capability_check(s->capabilities, CAPABILITY_STATUS, http_path(http) + strlen(STATUS_PATH),
                         clock_wall_ms(s->o.clock), &p->delivery, &expires, NULL);
    if (code == ERR_NOT_FOUND) {
        not_found(s, http);
    } else if (code) {
        unavailable(s, http);
    } else {
        p->made_ms = expires - STATUS_LIFETIME_MS;
        http_set_data(http, p);
        return HTTP_GO_ON;
    }
    return HTTP_ANSWERED;
}

static void body(struct http_request *http, void *ctx)
{
    struct status *s = ctx;

    if (!line_put(s->line, http))
        unavailable(s, http);
}

struct http_handler status_handler(void)
{
    return (struct http_handler){.head = head, .body = body};
}

/* ---- life ----------------------------------------------------------------------------------------- */

enum err_code status_new(const struct status_options *o, struct status **ret, struct err *e)
{
    struct status *s = calloc(1, sizeof *s);
    enum err_code code;

    if (!s)
        return err_set(e, ERR_NOMEM, "status");
    s->o = *o;
    s->o.config = NULL;
    s->config = config_ref(o->config);
    (void)pthread_mutex_init(&s->lock, NULL);
    code = capabilities_open(o->store, &s->capabilities, e);
    if (!code)
        code = line_new(serve, s, POLLS_MAX, &s->line, e);
    if (code) {
        status_free(s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

void status_free(struct status *s)
{
    if (!s)
        return;
    line_free(s->line);
    capabilities_free(s->capabilities);
    config_unref(s->config);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void status_use(struct status *s, struct config *config)
{
    struct config *old;

    pthread_mutex_lock(&s->lock);
    old = s->config;
    s->config = config_ref(config);
    pthread_mutex_unlock(&s->lock);
    config_unref(old);
}

const char *status_link(struct status *s, struct arena *a, const char *public_url, int64_t delivery,
                        int64_t now)
{
    char text[CAPABILITY_TEXT_SIZE];

    if (capability_make(s->capabilities, CAPABILITY_STATUS, delivery, now + STATUS_LIFETIME_MS,
                        text, NULL))
        return NULL;
    return arena_fmt(a, "%s" STATUS_PATH "%s", public_url, text);
}
