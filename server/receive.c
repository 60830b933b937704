/* receive.c - see receive.h.
 *
 * The way of one request, and the threads it is in:
 *
 *   HTTP thread   head(): route, method, type, then what the head can prove
 *                 body(): the rest of the proof, the alert ids, hand over to the store, suspend
 *   slow lane     only where a proof needs keys that must be fetched first: the same again, blocking.
 *                 One for each authority: one that hangs holds up nobody whose keys are had elsewhere
 *   store         after the commit: answer, resume (receive_end.c)
 *
 * All that belongs to a request lives in its arena.
 */
#include "receive_own.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "intake_envelope.h"
#include "jwks.h"
#include "line.h"

#define HOOKS "/hooks/"

/* Requests that wait for keys of one authority. Keys are fetched once for all of them; beyond this they are told to
 * come again. */
#define SLOW_LANE_MAX 256

/* ---- verifying ---------------------------------------------------------------------------------- */

static const char *header_of(void *ctx, const char *name, unsigned *ret_count)
{
    return http_header(ctx, name, ret_count);
}

static void check(struct request *q, bool with_body, bool may_block)
{
    const struct receiver_options *o = &q->receiver->o;
    size_t len = 0;
    const char *body = with_body ? http_body(q->http, &len) : NULL;
    struct verify_request v = {.method = http_method(q->http),
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
    /* No sender repeats what was answered with 401 or 403, so neither is said for a fault of ours. */
    if ((q->who.verdict == VERIFY_DENIED || q->who.verdict == VERIFY_FORBIDDEN) &&
        o->clock_is_off && o->clock_is_off(o->engine)) {
        v.clock_is_off = true;
        memset(&q->who, 0, sizeof q->who);
        verifier_check(q->source->verifier, &q->receiver->env, &v, &q->who);
    }
}

/* Answers what is not good; true when it was. */
static bool turned_away(struct request *q)
{
    switch (q->who.verdict) {
    case VERIFY_DENIED:
        receive_refuse(q, 401, "denied", q->who.why, "The request could not be authenticated.");
        return true;
    case VERIFY_FORBIDDEN:
        receive_refuse(q, 403, "forbidden", q->who.why,
                       "The sender is not allowed to push to this source.");
        return true;
    case VERIFY_UNAVAILABLE:
        receive_refuse(q, 503, "unavailable", q->who.why,
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
        receive_throttle(q, wait_ms, true);
    else if (q->proven && q->handshake && q->said)
        receive_greet(q);
    else if (q->proven && q->handshake)
        receive_refuse(q, 400, "bad", "handshake", "The handshake's origin or token is malformed.");
    else if (q->proven)
        receive_take(q, deferred);
    else
        receive_refuse(q, 503, "unavailable", "the proof came to no end",
                       "The request cannot be verified now; send it again.");
}

/* ---- slow lanes --------------------------------------------------------------------------------- */

/* A slow lane. It stays: there are few authorities, of which only the configuration makes more. */
struct lane {
    struct lane *next;
    struct line *line;
    char login_url[];
};

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

/* ---- HTTP --------------------------------------------------------------------------------------- */

static bool is_blank_or_end(char c)
{
    return c == '\0' || c == ';' || c == ' ' || c == '\t';
}

/* UTF-8 by any of the names that senders give it, or a part of it; the bytes are looked at anyway. */
static bool is_utf8(const char *charset)
{
    static const char *const names[] = {"utf-8", "utf8", "us-ascii"};
    size_t len;

    charset += *charset == '"';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        len = strlen(names[i]);
        if (strncasecmp(charset, names[i], len) == 0 &&
            (is_blank_or_end(charset[len]) || charset[len] == '"'))
            return true;
    }
    return false;
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
    return !charset || is_utf8(charset + strlen("charset="));
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
        receive_refuse(q, 403, "forbidden",
                       q->client.known
                           ? "the client is in none of the source's networks"
                           : "networks: X-Forwarded-For of a trusted proxy names no address",
                       "This source may not be pushed to from there.");
        return true;
    }
    wait_ms = gate_source_wait(q->receiver->gate, source->name, &source->rate);
    if (wait_ms > 0)
        receive_throttle(q, wait_ms, true);
    return wait_ms > 0;
}

static void refuse_stopping(struct request *q)
{
    receive_refuse(q, 503, "unavailable", "stopping", "The server is stopping; send it again.");
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
        static const char *const later[][2] = {{"Retry-After", RECEIVE_RETRY_AFTER}, {NULL, NULL}};

        http_reply_problem(http, 503, "Out of memory; send it again.", later);
        return HTTP_ANSWERED;
    }
    q->receiver = r;
    q->http = http;
    (void)take_config(q);
    find_source(q);
    find_client(q);
    refusals_flood(r->refusals, NULL, NULL, "it goes on, or ended in the last minute");
    *ret_body_max = (size_t)q->config->listen.max_body;
    shown = http_client_certificates(http, &q->certificates, &q->certificates_len);
    http_set_data(http, q);
    type = http_header(http, "Content-Type", &types);
    q->handshake = handshake_of(http, &q->said);
    if (atomic_load_explicit(&r->stopping, memory_order_relaxed))
        refuse_stopping(q);
    else if (!shown)
        receive_refuse(q, 503, "unavailable", "out of memory", "Out of memory; send it again.");
    else if ((wait_ms = gate_enter(r->gate, q->client.address, &q->config->listen.rate)) > 0)
        receive_throttle(q, wait_ms, false);
    else if (!q->source)
        receive_refuse(q, 404, "not_found", "no such source",
                       "There is no source under this path.");
    else if (!q->handshake && strcmp(http_method(http), "POST") != 0)
        receive_refuse(q, 405, "bad", "method", "Notifications are sent with POST.");
    else if (!q->handshake && (types != 1 || !type_is_json(type)))
        receive_refuse(q, 415, "bad", "content type", "Send JSON in UTF-8 as application/json.");
    else if ((fault = envelope_binary(header_of, http)) != NULL)
        receive_refuse(q, 400, "bad", fault, fault);
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
        receive_refuse(q, 404, "not_found", "no such source",
                       "There is no source under this path.");
        return;
    }
    if (judged_again && stopped_at_the_door(q))
        return;
    if (q->who.verdict !=
        VERIFY_GOOD) /* a proof that was whole in the head is not asked for again */
        check(q, true, false);
    if (q->who.verdict == VERIFY_MUST_WAIT) {
        if (!enter_lane(q))
            receive_refuse(q, 503, "unavailable", "too many requests wait for keys",
                           "The request cannot be verified now; send it again.");
    } else {
        conclude(q, false);
    }
}

/* What the HTTP server has refused by itself: nobody knows whose it was. */
static void refused(void *ctx, unsigned status, const char *peer, const char *why)
{
    struct receiver *r = ctx;

    metrics_add(r->o.metrics, METRIC_DELIVERIES, 1, "-", status == 503 ? "unavailable" : "bad");
    refusals_note(r->refusals, NULL, status, peer, why);
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
    code = gate_new(o->clock, &r->gate, e);
    if (code) {
        receiver_free(r);
        return code;
    }
    code = refusals_new(
        &(struct refusals_options){
            .clock = o->clock, .gate = r->gate, .flooded = o->flooded, .engine = o->engine},
        &r->refusals, e);
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
    receive_end_storing(r);
    while (sem_wait(&r->stored) != 0)
        ; /* a signal */
    jwks_free(r->env.keys);
    refusals_free(r->refusals);
    gate_free(r->gate);
    heard_free(r->heard);
    EVP_MD_free(r->sha256);
    config_unref(r->config);
    (void)sem_destroy(&r->stored);
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
