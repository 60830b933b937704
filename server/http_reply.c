/* http_reply.c - answers: copied into the request, woken, queued, or sent past the library. See http_own.h.
 *
 * Wake-ups. MHD_resume_connection costs a write(2) to the pool thread's eventfd. A thread that answers
 * many requests in a row (a group commit) would pay one per request, so http_reply puts the request
 * on its pool thread's ring list, and only who finds the list empty resumes; the pool thread, once
 * awake, resumes the others itself. Measured with tests/bench/deferring at 64 connections and 300 us per
 * commit: 0.3 us per answer for the replying thread instead of 1.5 to 4 us, same throughput.
 *
 * Dropped: an answer straight from the replying thread (the library would not know that the request is over);
 * waking the pool threads only when a group commit has answered everybody (half the wake-ups, but senders then go
 * in step with the commits, nothing overlaps any more, and 64 of them got half as much through).
 */
#include "http_own.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"

#define HEAD_MAX    (64 * 1024) /* of an answer of ours */
#define WAIT_ONE_IN 10          /* part of a thread's time that goes to peers which read slowly */
#define RETRY_AFTER "Retry-After"
#define RETRY_LATER "5" /* of a 503 that nobody gave another */

/* ---- buffers --------------------------------------------------------------------------------- */

bool http_grow(char **bytes, size_t *room, size_t want, size_t first)
{
    size_t size = *room ? *room : first;
    char *p;

    if (want <= *room)
        return true;
    while (size < want)
        size *= 2; /* want is bounded by a limit of ours */
    p = realloc(*bytes, size);
    if (!p)
        return false;
    *bytes = p;
    *room = size;
    return true;
}

void http_shrink(char **bytes, size_t *room)
{
    if (*room <= HTTP_KEEP_MAX)
        return;
    free(*bytes);
    *bytes = NULL;
    *room = 0;
}

/* ---- replies --------------------------------------------------------------------------------- */

static const char out_of_memory[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
                                    "\"status\":503,\"detail\":\"out of memory\"}";
static const char bad_answer[] = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                                 "\"status\":500}";

static void reply_static(struct http_request *r, unsigned status, const char *json)
{
    r->reply = (struct http_answer){
        .status = status,
        .content_type = HTTP_PROBLEM_TYPE,
        .body = json,
        .body_len = strlen(json),
        .headers = {{"Cache-Control", "no-store"},
                    {status == 503 ? RETRY_AFTER : NULL, RETRY_LATER}},
        .close = true,
    };
    r->reply_head_len = 0;
    r->answered = true;
}

static const char *put(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);

    *at += size;
    return copy;
}

/* Copies the answer into the request. */
static void reply_copy(struct http_request *r, const struct http_answer *a)
{
    const size_t count = sizeof a->headers / sizeof *a->headers;
    size_t need = a->body_len + (a->content_type ? strlen(a->content_type) + 1 : 0), n;
    bool retry = a->status != 503;
    char *at;

    for (n = 0; n < count && a->headers[n].name; n++) {
        if (!http_answer_header_is_safe(a->headers[n].name, a->headers[n].value)) {
            /* Our own fault, and perhaps a peer's attempt: no such header may leave. */
            log_event(LOG_ERROR, "http_bad_answer", LOG_STR("header", a->headers[n].name));
            reply_static(r, 500, bad_answer);
            return;
        }
        need += strlen(a->headers[n].name) + strlen(a->headers[n].value) + 2;
        retry = retry || strcmp(a->headers[n].name, RETRY_AFTER) == 0;
    }
    if (!http_grow(&r->reply_bytes, &r->reply_room, need + 1, 512)) {
        reply_static(r, 503, out_of_memory);
        return;
    }
    at = r->reply_bytes;
    r->reply =
        (struct http_answer){.status = a->status, .close = a->close, .body_len = a->body_len};
    if (a->body_len) {
        r->reply.body = memcpy(at, a->body, a->body_len);
        at += a->body_len;
    } else {
        r->reply.body = "";
    }
    if (a->content_type)
        r->reply.content_type = put(&at, a->content_type);
    for (size_t i = 0; i < n; i++) {
        r->reply.headers[i].name = put(&at, a->headers[i].name);
        r->reply.headers[i].value = put(&at, a->headers[i].value);
    }
    r->reply_head_len = retry ? (size_t)(at - r->reply_bytes) - a->body_len : 0;
    if (!retry && n < count) {
        r->reply.headers[n].name = RETRY_AFTER;
        r->reply.headers[n].value = RETRY_LATER;
    }
    r->answered = true;
}

/* Resumes r's connection, now or through another that is on its way; r may be gone afterwards. */
static void wake(struct http_request *r)
{
    struct lane *lane = r->peer->lane;
    struct MHD_Connection *conn = r->peer->conn;
    struct http_request *old = atomic_load_explicit(&lane->rung, memory_order_relaxed);

    do {
        r->next_ring = old;
        r->rings = !old;
    } while (!atomic_compare_exchange_weak_explicit(&lane->rung, &old, r, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (!old)
        MHD_resume_connection(conn); /* its final call takes the list and resumes the others */
}

void http_resume_rung(struct lane *lane)
{
    struct http_request *r = atomic_exchange_explicit(&lane->rung, NULL, memory_order_acq_rel);

    while (r) {
        struct http_request *next = r->next_ring;

        if (!r->rings)
            MHD_resume_connection(r->peer->conn);
        r = next;
    }
}

void http_reply(struct http_request *r, const struct http_answer *a)
{
    int expected = DEFERRED;
    struct peer *p = r->peer;
    sem_t *replied = &p->server->replied;

    if (atomic_load_explicit(&r->deferral, memory_order_acquire) == NOT_DEFERRED) {
        assert((r->in_head || r->in_body) && !r->answered); /* exactly one answer */
        reply_copy(r, a);
        return;
    }
    if (atomic_load_explicit(&r->deferral, memory_order_acquire) == DEFERRED)
        reply_copy(r, a);
    if (atomic_compare_exchange_strong(&r->deferral, &expected, REPLIED)) {
        wake(r);
        http_hold_end(p, HOLD_REPLIER, replied);
    } else {
        assert(expected == ABANDONED);
        http_hold_end(p, HOLD_REPLIER, NULL); /* nobody waits for us; the server may be gone */
    }
}

void http_reply_problem(struct http_request *r, unsigned status, const char *detail,
                        const char *const extra[][2])
{
    AUTO(buf_clear) struct buf body = BUF_INIT(16 * 1024);
    struct http_answer a = {.status = status,
                            .content_type = HTTP_PROBLEM_TYPE,
                            .headers = {{"Cache-Control", "no-store"}}};

    http_problem_write(&body, status, detail);
    if (buf_failed(&body)) { /* a detail too long, or no memory: the status is what matters */
        buf_clear(&body);
        http_problem_write(&body, status, NULL);
    }
    a.body = buf_text(&body);
    a.body_len = body.len;
    for (size_t i = 0; extra && extra[i][0]; i++) {
        assert(i + 2 < sizeof a.headers / sizeof *a.headers);
        a.headers[i + 1].name = extra[i][0];
        a.headers[i + 1].value = extra[i][1];
    }
    http_reply(r, &a);
}

void http_defer(struct http_request *r)
{
    struct peer *p = r->peer;
    int expected = DEFERRED;

    assert(r->in_body && !r->answered && !r->suspended);
    MHD_suspend_connection(p->conn);
    r->suspended = true;
    r->stage = STAGE_PARKED;
    atomic_store(&r->deferral, DEFERRED);
    /* A server that gives up looks at every request once, after it set the flag: it saw this one, or
     * we see the flag. */
    if (atomic_load(&p->server->abandoning) &&
        atomic_compare_exchange_strong(&r->deferral, &expected, ABANDONED)) {
        MHD_resume_connection(p->conn);
        sem_post(&p->server->replied); /* for the replier, who will find that nobody waits */
    }
}

/* ---- past the library ------------------------------------------------------------------------ */

/* Writes what the connection takes within wait_ms, less what its thread has waited for others lately: the thread's other
 * connections stand still meanwhile, however many peers read slowly. tls: NULL: plain. */
static void write_past(const struct peer *p, gnutls_session_t tls, const struct buf *text,
                       int64_t wait_ms)
{
    struct lane *lane = p->lane;
    const int64_t began = clock_mono_ms(clock_system());
    const int64_t paid = lane->waited_ms - (began - lane->waited_at) / WAIT_ONE_IN;
    const int64_t owed = paid > 0 ? paid : 0, until = began + wait_ms - owed;

    lane->waited_at = began;
    lane->waited_ms = owed;
    for (size_t at = 0; at < text->len;) {
        const char *from = text->data + at;
        ssize_t n = tls ? gnutls_record_send(tls, from, text->len - at)
                        : send(p->fd, from, text->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        bool full = tls ? n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED
                        : n < 0 && (errno == EAGAIN || errno == EINTR);
        int64_t left = until - clock_mono_ms(clock_system());
        struct pollfd room = {.fd = p->fd, .events = POLLOUT};

        if (n > 0)
            at += (size_t)n;
        else if (!full || left <= 0 || poll(&room, 1, (int)left) <= 0)
            break;
    }
    lane->waited_ms += clock_mono_ms(clock_system()) - began;
}

/* Writes text past the library, which has sent nothing of an answer yet, and ends our direction. The
 * library closes the connection, at the latest when the watchdog ends it. */
static void send_past(struct peer *p, const struct buf *text, int64_t wait_ms)
{
    gnutls_session_t tls = p->server->tls ? http_tls_session(p->conn) : NULL;

    if (http_watch_until(p, http_now_ms(p->server) + HTTP_LINGER_MS, PHASE_QUIET) &&
        !buf_failed(text)) {
        write_past(p, tls, text, wait_ms);
        if (tls)
            (void)gnutls_bye(tls, GNUTLS_SHUT_WR);
    }
    http_linger(p);
}

void http_answer_past(struct http_request *r, int64_t wait_ms)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(r->reply.body_len + HEAD_MAX);

    http_answer_write(&text, &r->reply, !r->method || strcmp(r->method, "HEAD") != 0);
    send_past(r->peer, &text, wait_ms);
}

void http_problem_past(struct peer *p, unsigned status, const char *detail)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(4096);
    AUTO(buf_clear) struct buf text = BUF_INIT(8192);
    struct http_answer a = {.status = status,
                            .content_type = HTTP_PROBLEM_TYPE,
                            .headers = {{"Cache-Control", "no-store"},
                                        {status == 415   ? "Accept-Encoding"
                                         : status == 503 ? RETRY_AFTER
                                                         : NULL,
                                         status == 415 ? "identity" : RETRY_LATER}}};

    http_tell_refusal(p, status, detail);
    http_problem_write(&body, status, detail);
    a.body = buf_text(&body);
    a.body_len = body.len;
    http_answer_write(&text, &a, !p->request.method || strcmp(p->request.method, "HEAD") != 0);
    send_past(p, &text, 0);
}

/* What the library itself refuses. 500: it could not read a chunk's size line within its memory. */
static const struct {
    unsigned library, status;
    const char *detail;
} library_errors[] = {
    {400, 400, "the request is malformed"},
    {413, 413, "the announced body is too large"},
    {414, 414, "the request target is too long"},
    {431, 431, "the request's head is too large"},
    {500, 400, "the chunked body is malformed"},
    {505, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"},
};

/* The library's own queueing function. */
static enum MHD_Result (*queue_response)(struct MHD_Connection *, unsigned, struct MHD_Response *);

static void find_queue_response(void)
{
    void *found = dlsym(RTLD_NEXT, "MHD_queue_response");

    memcpy(&queue_response, &found,
           sizeof found); /* C has no cast from object to function pointer */
}

bool http_find_queue(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, find_queue_response);
    return queue_response != NULL;
}

enum MHD_Result http_queue(struct MHD_Connection *conn, unsigned status,
                           struct MHD_Response *response)
{
    return queue_response(conn, status, response);
}

/*
 * The library answers some malformed requests by itself, with HTML pages of its own, one of which
 * names it and some of which it sends with two heads. There is no option against that; but it queues
 * them through this public function, by way of the dynamic linker, and so a definition in the program
 * is the one it finds. Ours sends the problem document past it and ends our direction of the
 * socket: what the library then does, in states it knows, reaches nobody. Our own answers go to
 * the library's function directly (http_queue). Should a build not let the call through, the
 * pages show again, and test_http__library_pages_never_show_through fails.
 */
enum MHD_Result MHD_queue_response(struct MHD_Connection *conn, unsigned status,
                                   struct MHD_Response *response)
{
    struct peer *p = conn ? http_peer_of(conn) : NULL;

    if (p) {
        size_t i = 0, last = sizeof library_errors / sizeof *library_errors - 1;

        while (i < last && library_errors[i].library != status)
            i++;
        http_problem_past(p, library_errors[i].status, library_errors[i].detail);
    }
    return queue_response(conn, status, response);
}
