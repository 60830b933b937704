/* receive_end.c - how a request ends. See receive_own.h.
 *
 * What is answered never says which part of a proof failed; the log does.
 */
#include "receive_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "id.h"
#include "intake.h"
#include "log.h"
#include "status.h"

/* ---- without a delivery ------------------------------------------------------------------------- */

static void count(const struct request *q, const char *outcome)
{
    metrics_add(q->receiver->o.metrics, METRIC_DELIVERIES, 1, q->source ? q->source->name : "-",
                outcome);
}

void receive_refuse(struct request *q, unsigned status, const char *outcome, const char *why,
                    const char *detail)
{
    static const char *const allow[][2] = {{"Allow", "POST"}, {NULL, NULL}};
    static const char *const later[][2] = {{"Retry-After", RECEIVE_RETRY_AFTER}, {NULL, NULL}};
    const char *challenge[][2] = {
        {"WWW-Authenticate", q->source ? verifier_challenge(q->source->verifier) : "Bearer"},
        {NULL, NULL}};
    const char *const(*extra)[2] = status == 401   ? (const char *const(*)[2])challenge
                                   : status == 405 ? allow
                                   : status == 503 ? later
                                                   : NULL;
    struct config *config = q->config;

    count(q, outcome);
    if (status < 500 && !q->proven)
        gate_blame(q->receiver->gate, q->client.address, &config->listen.rate);
    refusals_note(q->receiver->refusals, q->source ? q->source->name : NULL, status, q->client.text,
                  why);
    http_reply_problem(q->http, status, detail, extra);
    config_unref(config); /* q itself is gone with the reply */
}

void receive_throttle(struct request *q, int64_t wait_ms, bool by_source)
{
    char seconds[24];
    const char *const later[][2] = {{"Retry-After", seconds}, {NULL, NULL}};
    const char *why = "the source pushes more than its rate; the peer is the latest of many";
    struct config *config = q->config;

    if (!by_source)
        why =
            http_header(q->http, "X-Forwarded-For", NULL) &&
                    strcmp(q->client.text, http_peer(q->http)) == 0
                ? "the client knocks more often than listen.rate allows; it sends "
                  "X-Forwarded-For: if it is a proxy of yours, name it in listen.trusted_proxies"
                : "the client knocks more often than listen.rate allows; it is the latest of many";
    (void)snprintf(seconds, sizeof seconds, "%" PRId64, (wait_ms + SECOND_MS - 1) / SECOND_MS);
    count(q, "throttled");
    metrics_add(q->receiver->o.metrics, METRIC_THROTTLED, 1, by_source ? "source" : "client", NULL);
    refusals_flood(q->receiver->refusals, q->client.text, by_source ? q->source->name : NULL, why);
    http_reply_problem(q->http, 429,
                       by_source ? "This source has pushed too much; send it again later."
                                 : "Too many requests from this address; send it again later.",
                       later);
    config_unref(config);
}

/* ---- storing ----------------------------------------------------------------------------------- */

static void log_acceptance(const struct request *q)
{
    const struct acceptance *a = &q->acceptance;
    char ids[8 * (ID_TEXT_SIZE + 1)] = "";
    size_t shown = a->count < 8 ? a->count : 8;
    char *end = ids;

    for (size_t i = 0; i < shown; i++) {
        if (i)
            *end++ = ' ';
        id_format(a->cases[i], end);
        end += ID_TEXT_SIZE - 1;
    }
    log_event(LOG_INFO, a->duplicate ? "duplicate" : "accepted", LOG_STR("source", q->source->name),
              LOG_ID("delivery", a->delivery), LOG_STR("case", ids),
              LOG_INT("alerts", (int64_t)a->count), LOG_STR("key", q->who.key));
    if (q->left_out)
        log_event(LOG_INFO, "left_out", LOG_STR("source", q->source->name),
                  LOG_ID("delivery", a->delivery), LOG_STR("why", q->left_out));
    if (a->reopened)
        log_event(LOG_INFO, "judged_again", LOG_STR("source", q->source->name),
                  LOG_ID("delivery", a->delivery), LOG_INT("count", (int64_t)a->reopened),
                  LOG_STR("why", "pushed before by a source that may only notify; this one may "
                                 "isolate"));
    if (a->other_body)
        log_event(LOG_WARN, "other_body", LOG_STR("source", q->source->name),
                  LOG_ID("delivery", a->delivery), LOG_STR("body_sha256", q->n.body_sha256),
                  LOG_STR("first_sha256", a->first_sha256),
                  LOG_STR("why",
                          "the sender used a delivery id again with another body; only the first "
                          "one counts"));
}

static void answer(struct request *q)
{
    const struct receiver_options *o = &q->receiver->o;
    const struct acceptance *a = &q->acceptance;
    char text[128 + INTAKE_BATCH_MAX * (ID_TEXT_SIZE + 3)];
    struct http_answer reply = {.status = a->duplicate ? 200 : 202,
                                .content_type = "application/json",
                                .body = text,
                                .headers = {{"Cache-Control", "no-store"}}};
    struct config *config = q->config;
    const char *link = NULL;
    char *end = text;

    /* Ids and fixed words only: nothing here needs escaping. */
    end = stpcpy(end, a->duplicate ? "{\"status\":\"duplicate\",\"delivery\":\""
                                   : "{\"status\":\"accepted\",\"delivery\":\"");
    id_format(a->delivery, end);
    end = stpcpy(end + ID_TEXT_SIZE - 1, "\",\"cases\":[");
    for (size_t i = 0; i < a->count; i++) {
        end = stpcpy(end, i ? ",\"" : "\"");
        id_format(a->cases[i], end);
        end = stpcpy(end + ID_TEXT_SIZE - 1, "\"");
    }
    end = stpcpy(end, "]}");
    reply.body_len = (size_t)(end - text);
    if (q->source->reply_status && o->status)
        link = status_link(o->status, http_arena(q->http), config->public_url, a->delivery,
                           http_received_ms(q->http));
    if (link) { /* with a 200, too: a flow whose first answer was lost may still want to know */
        reply.headers[1].name = "Location";
        reply.headers[1].value = link;
    }
    if (link && !a->duplicate) {
        reply.headers[2].name = "Retry-After";
        reply.headers[2].value = STATUS_RETRY_SOON;
    }
    http_reply(q->http, &reply);
    config_unref(config);
}

/* A reserved worker gets the claim, or goes free. */
static void give(const struct receiver_options *o, const struct acceptance *a, const struct work *w)
{
    if (a->claim && o->hand_over)
        o->hand_over(o->engine, w);
}

/* Answers what the store has done with. */
static void tell(struct request *q, enum err_code code, const struct err *e)
{
    const struct acceptance *a = &q->acceptance;
    const struct receiver_options *o = &q->receiver->o;
    int64_t fresh = 0;

    give(o, a, !code && a->claimed ? &a->work : NULL);
    if (code) {
        receive_refuse(q, 503, "unavailable", e->text,
                       "The notification could not be stored; send it again.");
        return;
    }
    /* again: if the write of its coming failed, and this did not, that is known by now */
    heard_note(q->receiver->heard, q->source, q->n.received_ms);
    for (size_t i = 0; i < a->count; i++)
        fresh += a->fresh[i];
    if (fresh)
        metrics_add(o->metrics, METRIC_CASES_MADE, fresh, q->n.tenant, NULL);
    if (fresh + (int64_t)a->reopened > (a->claimed ? 1 : 0) && o->kick)
        o->kick(o->engine);
    count(q, a->other_body ? "other_body" : a->duplicate ? "duplicate" : "accepted");
    log_acceptance(q);
    answer(q);
}

void receive_end_storing(struct receiver *r)
{
    if (atomic_fetch_sub(&r->storing, 1) == 1)
        (void)sem_post(&r->stored);
}

/* In a thread of the store's, after the commit; perhaps long after the server has given the request up. */
static void stored(void *arg, enum err_code code, const struct err *e)
{
    const struct acceptance *a = arg;
    struct request *q = a->ctx;
    struct receiver *r = q->receiver;

    tell(q, code, e);
    receive_end_storing(r);
}

static void sha256_hex(const EVP_MD *sha256, const char *bytes, size_t len, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;

    if (EVP_Digest(bytes, len, hash, &n, sha256, NULL) != 1)
        n = 32; /* out of memory: zeros, which no body has */
    for (unsigned i = 0; i < 32; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[64] = '\0';
}

/* The credential and the body may each name a tenant: it must be the source's. */
static bool tenant_fits(const struct request *q, const struct intake *in)
{
    const char *own = q->source->tenant->tenant_id;

    if (q->who.tenant_id && strcasecmp(q->who.tenant_id, own) != 0)
        return false;
    for (size_t i = 0; i < in->count; i++)
        if (in->alerts[i].tenant_id && strcasecmp(in->alerts[i].tenant_id, own) != 0)
            return false;
    return true;
}

/* A sender that proved who it is asked whether it may send; code: Event Grid's, or NULL. */
static void greet(struct request *q, const char *grid_code)
{
    struct config *config = q->config;

    count(q, "handshake");
    log_event(LOG_INFO, "handshake", LOG_STR("source", q->source->name),
              LOG_STR("key", q->who.key));
    if (grid_code)
        handshake_answer_event_grid(q->http, grid_code);
    else
        handshake_answer(q->http, q->handshake, q->said);
    config_unref(config);
}

void receive_greet(struct request *q)
{
    greet(q, NULL);
}

void receive_take(struct request *q, bool deferred)
{
    static const char test[] = "{\"status\":\"test\"}";
    struct receiver *r = q->receiver;
    const struct receiver_options *o = &r->o;
    size_t len;
    const char *body = http_body(q->http, &len);
    struct intake in;
    struct err e;
    enum err_code code = intake_read(http_arena(q->http), body, len, &in, &e);

    if (code) {
        receive_refuse(q,
                       code == ERR_INVALID   ? 400
                       : code == ERR_TOO_BIG ? 413
                                             : 503,
                       code == ERR_NOMEM ? "unavailable" : "bad", e.text, e.text);
    } else if (!tenant_fits(q, &in)) {
        receive_refuse(q, 403, "forbidden", "alerts of another tenant",
                       "This source may not push alerts of that tenant.");
    } else if (in.validation_code) {
        greet(q, in.validation_code);
    } else if (in.test) {
        const struct http_answer reply = {.status = 200,
                                          .content_type = "application/json",
                                          .body = test,
                                          .body_len = sizeof test - 1,
                                          .headers = {{"Cache-Control", "no-store"}}};
        struct config *config = q->config;

        heard_note(q->receiver->heard, q->source, http_received_ms(q->http));
        count(q, "test");
        log_event(LOG_INFO, "test", LOG_STR("source", q->source->name), LOG_STR("key", q->who.key));
        http_reply(q->http, &reply);
        config_unref(config);
    } else {
        q->n = (struct notification){.tenant = q->source->tenant->name,
                                     .source = q->source->name,
                                     .may_isolate = q->source->may_isolate && !q->source->shadow,
                                     .delivery_id = q->who.delivery_id,
                                     .key = q->who.key,
                                     .peer = q->client.text,
                                     .received_ms = http_received_ms(q->http),
                                     .alerts = in.alerts,
                                     .count = in.count};
        sha256_hex(q->receiver->sha256, body, len, q->n.body_sha256);
        q->left_out = in.left_out;
        q->acceptance.n = &q->n;
        q->acceptance.ctx = q;
        heard_note(q->receiver->heard, q->source, q->n.received_ms);
        if (!deferred)
            http_defer(q->http);
        q->acceptance.claim = o->reserve && o->hand_over && o->reserve(o->engine);
        atomic_fetch_add(&r->storing, 1);
        if (store_accept(o->store, &q->acceptance, stored, &e)) {
            give(o, &q->acceptance, NULL);
            receive_refuse(q, 503, "unavailable", e.text,
                           "It cannot be stored now; send it again.");
            receive_end_storing(r);
        }
    }
}
