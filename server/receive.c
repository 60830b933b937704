/* receive.c - see receive.h.
 *
 * The way of one request, and the threads it is in:
 *
 *   HTTP thread   head(): route, method, type, then what the head can prove
 *                 body(): the rest of the proof, the alert ids, hand over to the store, suspend
 *   slow lane     only where a proof needs keys that must be fetched first: the same again, blocking.
 *                 One for each authority: one that hangs holds up nobody whose keys are had elsewhere
 *   teller        people are told of floods from here
 *   store         after the commit: answer, resume
 *
 * All that belongs to a request lives in its arena. What is answered never says which part of a proof
 * failed; the log does.
 */
#include "receive.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client.h"
#include "handshake.h"
#include "heard.h"
#include "id.h"
#include "intake.h"
#include "intake_envelope.h"
#include "jwks.h"
#include "line.h"
#include "log.h"
#include "status.h"
#include "store_deliveries.h"

#define HOOKS "/hooks/"

/* What a sender is told to wait when it is our fault: Logic Apps and Event Grid come back by themselves
 * (webhook-sources.md section 8.2). */
#define RETRY_AFTER "10"

/* Requests that wait for keys of one authority. Keys are fetched once for all of them; beyond this they are told to
 * come again. */
#define SLOW_LANE_MAX 256

/* Lines a second about requests that were refused; what is beyond is counted and told with the next. */
#define REFUSALS_PER_SECOND 20

struct request {
    struct receiver *receiver;
    struct http_request *http;
    /* A reference, held while head() or body() runs and until the answer; not between the two, because
     * a peer may leave there. Whoever ends the request lets it go. */
    struct config *config;
    uint64_t generation;               /* of the configuration that source and who belong to */
    const unsigned char *certificates; /* of the connection: the slow lane may not ask for them */
    size_t certificates_len;
    const struct config_source *source;
    struct client client;
    bool proven; /* somebody has shown a good proof: what goes wrong from here on is no attack */
    struct verify_result who;
    enum handshake handshake;
    const char *said;     /* by the sender, for its handshake */
    const char *left_out; /* of its body, and why; NULL: nothing */
    struct notification n;
    struct acceptance acceptance;
};

/* A slow lane. It stays: there are few authorities, of which only the configuration makes more. */
struct lane {
    struct lane *next;
    struct line *line;
    char login_url[];
};

struct receiver {
    struct receiver_options o;
    struct verify_env env;
    struct gate *gate;
    struct heard *heard;
    EVP_MD *sha256; /* fetched once: EVP_sha256() would be looked up for each body */
    atomic_bool stopping;
    atomic_uint storing;  /* deliveries that the store has, and one for the receiver itself */
    sem_t stored;         /* posted when the last one is told of and the receiver is being freed */
    pthread_mutex_t lock; /* of what follows */
    struct config *config;
    uint64_t generation; /* of config: counts receiver_use */
    struct lane *lanes;
    pthread_cond_t teller_cond;
    bool closing, teller_started;
    bool flooded; /* flood is to be told: by the teller, who may wait */
    struct gate_flood flood;
    pthread_t teller;
    int64_t refusals_second; /* wall second that `refusals` counts in */
    int64_t refusals, suppressed;
};

/* ---- what became of it ------------------------------------------------------------------------- */

static void count(const struct request *q, const char *outcome)
{
    metrics_add(q->receiver->o.metrics, METRIC_DELIVERIES, 1, q->source ? q->source->name : "-",
                outcome);
}

/* A line about a refusal, but no more than REFUSALS_PER_SECOND: nobody fills the disk from outside. Of the second it is
 * now, not of that in which a request began: those whose heads came at different times would each begin another. */
static void log_refusal(struct receiver *r, const char *source, unsigned status, const char *peer,
                        const char *why)
{
    int64_t second, suppressed = 0;
    bool say;

    pthread_mutex_lock(&r->lock);
    second = clock_wall_ms(r->o.clock) / SECOND_MS;
    if (second != r->refusals_second) {
        r->refusals_second = second;
        r->refusals = 0;
        suppressed = r->suppressed;
        r->suppressed = 0;
    }
    say = r->refusals++ < REFUSALS_PER_SECOND;
    if (!say)
        r->suppressed++;
    pthread_mutex_unlock(&r->lock);
    if (suppressed)
        log_event(LOG_WARN, "refusals_not_shown", LOG_INT("count", suppressed));
    if (say)
        log_event(LOG_WARN, "refused", LOG_STR("source", source), LOG_INT("status", status),
                  LOG_STR("peer", peer), LOG_STR("why", why));
}

/* What the HTTP server has refused by itself: nobody knows whose it was. */
static void refused(void *ctx, unsigned status, const char *peer, const char *why)
{
    struct receiver *r = ctx;

    metrics_add(r->o.metrics, METRIC_DELIVERIES, 1, "-", status == 503 ? "unavailable" : "bad");
    log_refusal(r, NULL, status, peer, why);
}

/* One line when somebody is first turned away for knocking too often, then one a minute: a flood is one
 * event. People hear of a heavy one. client NULL: only looks whether there is something to tell. */
static void log_flood(struct receiver *r, const char *client, const char *source, const char *why)
{
    struct gate_flood flood;
    enum gate_tell tell = gate_flood(r->gate, client, source, &flood);

    if (tell == GATE_PEOPLE && r->o.flooded) {
        pthread_mutex_lock(&r->lock);
        r->flooded = true;
        r->flood = flood;
        pthread_cond_signal(&r->teller_cond);
        pthread_mutex_unlock(&r->lock);
    }
    if (tell == GATE_LOG)
        log_event(LOG_WARN, "throttled", LOG_INT("count", flood.count),
                  LOG_STR("peer", flood.client),
                  LOG_STR("source", *flood.source ? flood.source : NULL), LOG_STR("why", why));
}

/* Ends a request with a problem. why: for the log alone; detail: for the sender. */
static void refuse(struct request *q, unsigned status, const char *outcome, const char *why,
                   const char *detail)
{
    static const char *const allow[][2] = {{"Allow", "POST"}, {NULL, NULL}};
    static const char *const later[][2] = {{"Retry-After", RETRY_AFTER}, {NULL, NULL}};
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
    log_refusal(q->receiver, q->source ? q->source->name : NULL, status, q->client.text, why);
    http_reply_problem(q->http, status, detail, extra);
    config_unref(config); /* q itself is gone with the reply */
}

/* Ends a request with 429: there will be a token in wait_ms. by_source: the rate is the source's. */
static void throttle(struct request *q, int64_t wait_ms, bool by_source)
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
    log_flood(q->receiver, q->client.text, by_source ? q->source->name : NULL, why);
    http_reply_problem(q->http, 429,
                       by_source ? "This source has pushed too much; send it again later."
                                 : "Too many requests from this address; send it again later.",
                       later);
    config_unref(config);
}

static void refuse_stopping(struct request *q)
{
    refuse(q, 503, "unavailable", "stopping", "The server is stopping; send it again.");
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
        refuse(q, 503, "unavailable", e->text,
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

/* The store has one delivery less. Nothing of the receiver may be touched afterwards. */
static void end_storing(struct receiver *r)
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
    end_storing(r);
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

/* A sender that proved who it is asked whether it may send. */
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

/* A verified body. deferred: http_defer was called already. */
static void take(struct request *q, bool deferred)
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
        refuse(q,
               code == ERR_INVALID   ? 400
               : code == ERR_TOO_BIG ? 413
                                     : 503,
               code == ERR_NOMEM ? "unavailable" : "bad", e.text, e.text);
    } else if (!tenant_fits(q, &in)) {
        refuse(q, 403, "forbidden", "alerts of another tenant",
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
            refuse(q, 503, "unavailable", e.text, "It cannot be stored now; send it again.");
            end_storing(r);
        }
    }
}

/* ---- verifying ---------------------------------------------------------------------------------- */

static const char *header_of(void *ctx, const char *name, unsigned *ret_count)
{
    return http_header(ctx, name, ret_count);
}

static void check(struct request *q, bool with_body, bool may_block)
{
    size_t len = 0;
    const char *body = with_body ? http_body(q->http, &len) : NULL;
    const struct verify_request v = {.method = http_method(q->http),
                                     .path = http_path(q->http),
                                     .query = http_query(q->http),
                                     .header = header_of,
                                     .ctx = q->http,
                                     .body = with_body && !body ? "" : body,
                                     .body_len = len,
                                     .certificates = q->certificates,
                                     .certificates_len = q->certificates_len,
                                     .now_ms = http_received_ms(q->http),
                                     .may_block = may_block,
                                     .arena = http_arena(q->http)};

    memset(&q->who, 0, sizeof q->who);
    verifier_check(q->source->verifier, &q->receiver->env, &v, &q->who);
}

/* Answers what is not good; true when it was. */
static bool turned_away(struct request *q)
{
    switch (q->who.verdict) {
    case VERIFY_DENIED:
        refuse(q, 401, "denied", q->who.why, "The request could not be authenticated.");
        return true;
    case VERIFY_FORBIDDEN:
        refuse(q, 403, "forbidden", q->who.why,
               "The sender is not allowed to push to this source.");
        return true;
    case VERIFY_UNAVAILABLE:
        refuse(q, 503, "unavailable", q->who.why,
               "The request cannot be verified now; send it again.");
        return true;
    default:
        return false;
    }
}

/* The end of a proof that saw the whole request: only a good one is taken. */
static void conclude(struct request *q, bool deferred)
{
    const struct config_source *source = q->source;
    int64_t wait_ms;

    if (turned_away(q))
        return;
    q->proven = q->who.verdict == VERIFY_GOOD;
    if (q->proven &&
        (wait_ms = gate_source_take(q->receiver->gate, source->name, &source->rate)) > 0)
        throttle(q, wait_ms, true);
    else if (q->proven && q->handshake && q->said)
        greet(q, NULL);
    else if (q->proven && q->handshake)
        refuse(q, 400, "bad", "handshake", "The handshake's origin or token is malformed.");
    else if (q->proven)
        take(q, deferred);
    else
        refuse(q, 503, "unavailable", "the proof came to no end",
               "The request cannot be verified now; send it again.");
}

/* ---- slow lanes --------------------------------------------------------------------------------- */

static void go_slowly(struct http_request *http, void *ctx)
{
    struct request *q = http_data(http);

    (void)ctx;
    check(q, true, true);
    conclude(q, true);
}

/* The lane of an authority; NULL: no memory, or no thread for it. */
static struct line *lane_of(struct receiver *r, const char *login_url)
{
    const size_t size = strlen(login_url) + 1;
    struct line *line = NULL;
    struct lane *lane;
    struct err e;

    pthread_mutex_lock(&r->lock);
    for (lane = r->lanes; lane && strcmp(lane->login_url, login_url) != 0; lane = lane->next)
        ;
    if (!lane && (lane = calloc(1, sizeof *lane + size)) != NULL) {
        if (line_new(go_slowly, NULL, SLOW_LANE_MAX, &lane->line, &e)) {
            free(lane);
            lane = NULL;
        } else {
            memcpy(lane->login_url, login_url, size);
            lane->next = r->lanes;
            r->lanes = lane;
        }
    }
    line = lane ? lane->line : NULL;
    pthread_mutex_unlock(&r->lock);
    return line;
}

/* false: the lane is full, or there is no memory. The request's head is kept, because a server that gives up takes the
 * rest away. */
static bool enter_lane(struct request *q)
{
    struct line *line = lane_of(q->receiver, q->source->tenant->login_url);

    return line && http_keep_head(q->http) && line_put(line, q->http);
}

/* ---- the teller --------------------------------------------------------------------------------- */

static void *tell_floods(void *arg)
{
    struct receiver *r = arg;

    pthread_mutex_lock(&r->lock);
    for (;;) {
        struct gate_flood flood;

        while (!r->closing && !r->flooded)
            pthread_cond_wait(&r->teller_cond, &r->lock);
        if (!r->flooded)
            break;
        flood = r->flood;
        r->flooded = false;
        pthread_mutex_unlock(&r->lock);
        r->o.flooded(r->o.engine, &flood);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- HTTP --------------------------------------------------------------------------------------- */

static bool is_blank_or_end(char c)
{
    return c == '\0' || c == ';' || c == ' ' || c == '\t';
}

/* application/json or application/SOMETHING+json; a charset, if any, must be UTF-8. */
static bool type_is_json(const char *type)
{
    static const char app[] = "application/";
    const char *end, *charset;

    if (!type || strncasecmp(type, app, sizeof app - 1) != 0)
        return false;
    for (end = type; !is_blank_or_end(*end); end++)
        ;
    if (!(end - type == 16 && strncasecmp(type + sizeof app - 1, "json", 4) == 0) &&
        !(end - type > 17 && strncasecmp(end - 5, "+json", 5) == 0))
        return false;
    charset = strcasestr(end, "charset=");
    if (!charset)
        return true;
    charset += strlen("charset=");
    if (*charset == '"')
        charset++;
    return strncasecmp(charset, "utf-8", 5) == 0 &&
           (is_blank_or_end(charset[5]) || charset[5] == '"');
}

/* Takes a reference to the configuration in force; true when it is another than q knew. */
static bool take_config(struct request *q)
{
    struct receiver *r = q->receiver;
    bool other;

    pthread_mutex_lock(&r->lock);
    q->config = config_ref(r->config);
    other = q->generation != r->generation;
    q->generation = r->generation;
    pthread_mutex_unlock(&r->lock);
    return other;
}

static void find_source(struct request *q)
{
    const char *path = http_path(q->http);

    q->source = strncmp(path, HOOKS, sizeof HOOKS - 1) == 0
                    ? config_source(q->config, path + sizeof HOOKS - 1)
                    : NULL;
}

static const char *forwarded(void *ctx, unsigned n)
{
    return http_header_at(ctx, "X-Forwarded-For", n);
}

static void find_client(struct request *q)
{
    client_find(&q->config->listen.trusted_proxies, http_peer_sockaddr(q->http), http_peer(q->http),
                forwarded, q->http, &q->client);
}

/* Before any cryptography: answers clients that are not where the source's may be, and those that come while
 * its bucket is empty. Only what is proven takes from that one (see conclude): others must not empty it. */
static bool stopped_at_the_door(struct request *q)
{
    const struct config_source *source = q->source;
    int64_t wait_ms;

    if (source->networks.count && !client_is_in(&q->client, &source->networks)) {
        refuse(q, 403, "forbidden",
               q->client.known ? "the client is in none of the source's networks"
                               : "networks: X-Forwarded-For of a trusted proxy names no address",
               "This source may not be pushed to from there.");
        return true;
    }
    wait_ms = gate_source_wait(q->receiver->gate, source->name, &source->rate);
    if (wait_ms > 0)
        throttle(q, wait_ms, true);
    return wait_ms > 0;
}

static enum http_next head(struct http_request *http, void *ctx, size_t *ret_body_max)
{
    struct receiver *r = ctx;
    struct arena *arena = http_arena(http);
    struct request *q = arena ? arena_alloc(arena, sizeof *q) : NULL;
    bool shown; /* it is known what the peer showed */
    unsigned types = 0;
    const char *type, *fault;
    int64_t wait_ms;

    if (!q) {
        static const char *const later[][2] = {{"Retry-After", RETRY_AFTER}, {NULL, NULL}};

        http_reply_problem(http, 503, "Out of memory; send it again.", later);
        return HTTP_ANSWERED;
    }
    q->receiver = r;
    q->http = http;
    (void)take_config(q);
    find_source(q);
    find_client(q);
    log_flood(r, NULL, NULL, "it goes on, or ended in the last minute");
    *ret_body_max = (size_t)q->config->listen.max_body;
    shown = http_client_certificates(http, &q->certificates, &q->certificates_len);
    http_set_data(http, q);
    type = http_header(http, "Content-Type", &types);
    q->handshake = handshake_of(http, &q->said);
    if (atomic_load_explicit(&r->stopping, memory_order_relaxed))
        refuse_stopping(q);
    else if (!shown)
        refuse(q, 503, "unavailable", "out of memory", "Out of memory; send it again.");
    else if ((wait_ms = gate_enter(r->gate, q->client.address, &q->config->listen.rate)) > 0)
        throttle(q, wait_ms, false);
    else if (!q->source)
        refuse(q, 404, "not_found", "no such source", "There is no source under this path.");
    else if (!q->handshake && strcmp(http_method(http), "POST") != 0)
        refuse(q, 405, "bad", "method", "Notifications are sent with POST.");
    else if (!q->handshake && (types != 1 || !type_is_json(type)))
        refuse(q, 415, "bad", "content type", "Send JSON in UTF-8 as application/json.");
    else if ((fault = envelope_binary(header_of, http)) != NULL)
        refuse(q, 400, "bad", fault, fault);
    else if (!stopped_at_the_door(q)) {
        check(q, false, false);
        if (!turned_away(q)) {
            config_unref(q->config);
            return HTTP_GO_ON;
        }
    }
    return HTTP_ANSWERED;
}

static void body(struct http_request *http, void *ctx)
{
    struct request *q = http_data(http);

    bool judged_again = false;

    (void)ctx;
    if (take_config(q)) { /* reloaded since the head was judged: by the new one, from the start */
        find_source(q);
        find_client(q);
        q->who.verdict = VERIFY_NEEDS_BODY;
        judged_again = true;
    }
    if (atomic_load_explicit(&q->receiver->stopping, memory_order_relaxed)) {
        refuse_stopping(q);
        return;
    }
    if (!q->source) {
        refuse(q, 404, "not_found", "no such source", "There is no source under this path.");
        return;
    }
    if (judged_again && stopped_at_the_door(q))
        return;
    if (q->who.verdict !=
        VERIFY_GOOD) /* a proof that was whole in the head is not asked for again */
        check(q, true, false);
    if (q->who.verdict == VERIFY_MUST_WAIT) {
        if (!enter_lane(q))
            refuse(q, 503, "unavailable", "too many requests wait for keys",
                   "The request cannot be verified now; send it again.");
    } else {
        conclude(q, false);
    }
}

struct http_handler receiver_handler(void)
{
    return (struct http_handler){.head = head, .body = body, .refused = refused};
}

/* ---- life --------------------------------------------------------------------------------------- */

enum err_code receiver_new(const struct receiver_options *o, struct receiver **ret, struct err *e)
{
    struct receiver *r = calloc(1, sizeof *r);
    enum err_code code;

    if (!r)
        return err_set(e, ERR_NOMEM, "receiver");
    r->o = *o;
    r->o.config = NULL;
    r->config = config_ref(o->config);
    r->env.clock = o->clock;
    atomic_init(&r->storing, 1);
    (void)sem_init(&r->stored, 0, 0);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->teller_cond, NULL);
    code = gate_new(o->clock, &r->gate, e);
    if (code) {
        receiver_free(r);
        return code;
    }
    r->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (!r->sha256) {
        receiver_free(r);
        return err_set(e, ERR_NOMEM, "OpenSSL has no SHA-256");
    }
    if (heard_new(o->store, &r->heard, e)) {
        receiver_free(r);
        return ERR_NOMEM;
    }
    if (jwks_new(&(struct jwks_options){.rest = o->rest, .clock = o->clock}, &r->env.keys, e)) {
        receiver_free(r);
        return ERR_NOMEM;
    }
    r->teller_started = pthread_create(&r->teller, NULL, tell_floods, r) == 0;
    if (!r->teller_started) {
        receiver_free(r);
        return err_set(e, ERR_NOMEM, "cannot start a thread");
    }
    *ret = r;
    return ERR_OK;
}

void receiver_free(struct receiver *r)
{
    if (!r)
        return;
    for (struct lane *lane = r->lanes, *next; lane; lane = next) {
        next = lane->next;
        line_free(lane->line);
        free(lane);
    }
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->teller_cond);
    pthread_mutex_unlock(&r->lock);
    if (r->teller_started)
        (void)pthread_join(r->teller, NULL);
    end_storing(r);
    while (sem_wait(&r->stored) != 0)
        ; /* a signal */
    jwks_free(r->env.keys);
    gate_free(r->gate);
    heard_free(r->heard);
    EVP_MD_free(r->sha256);
    config_unref(r->config);
    (void)sem_destroy(&r->stored);
    pthread_cond_destroy(&r->teller_cond);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void receiver_use(struct receiver *r, struct config *config)
{
    struct config *old;

    pthread_mutex_lock(&r->lock);
    old = r->config;
    r->config = config_ref(config);
    r->generation++;
    pthread_mutex_unlock(&r->lock);
    config_unref(old);
}

void receiver_stopping(struct receiver *r)
{
    atomic_store(&r->stopping, true);
}
