/* http.c - see http.h. libmicrohttpd does the sockets, TLS and framing; everything about it that must not
 * show through (library-traps.md) is closed here.
 *
 * Threads. The library's pool calls us (on_*); any thread may call http_reply for a deferred request;
 * one watchdog thread of ours ends peers that are too slow. Per connection there is one struct peer,
 * and in it the one request that HTTP/1 can have under way; both are reused, so that a request on a
 * kept connection allocates next to nothing.
 *
 * The life of a request (struct http_request.stage; only the pool thread moves it):
 *
 *     IDLE --request line--> LINE --head is complete--> BODY --body is complete--> WORK --> SENDING --> IDLE
 *                                                                                 |  ^
 *                                                                      http_defer |  | resumed
 *                                                                                 v  |
 *                                                                               PARKED
 *
 * While PARKED the connection is suspended, and the request's `deferral` decides between the thread
 * that replies and http_server_free that gives up: DEFERRED -> REPLIED or ABANDONED, one
 * compare-and-swap. A replier fills r->reply first, then moves deferral, then resumes; the pool thread
 * looks at the reply after it was resumed. The library's own mutex orders the two.
 *
 * Who keeps the memory: peer->holds counts the connection, the exchange (from the final handler call
 * until the answer is sent) and the replier (until http_reply has returned). The last one frees. Once
 * http_server_free has set HOLD_CLOSING, no new exchange starts, and every hold that was there posts a
 * semaphore when it goes: so the server can wait for exactly those without a lock in anybody's way.
 *
 * Wake-ups. MHD_resume_connection costs a write(2) to the pool thread's eventfd. A thread that answers
 * many requests in a row (a group commit) would pay one per request, so http_reply puts the request
 * on its pool thread's ring list, and only who finds the list empty resumes; the pool thread, once
 * awake, resumes the others itself. Measured with tests/bench/deferring at 64 connections and 300 us per
 * commit: 0.3 us per answer for the replying thread instead of 1.5 to 4 us, same throughput.
 *
 * Dropped: epoll mode (stalls when 128 sockets are ready at once); returning from the last handler
 * call without suspending (the library then polls with timeout 0); an answer straight from the
 * replying thread (the library would not know that the request is over); waking the pool threads only when
 * a group commit has answered everybody (half the wake-ups, but senders then go in step with the commits,
 * nothing overlaps any more, and 64 of them got half as much through).
 */
#include "http.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "http_guard.h"
#include "http_socket.h"
#include "http_tls.h"
#include "log.h"

/* The library's memory per connection beyond the head: its records of 56 bytes per header and
 * query argument, and the head of our answer. */
#define POOL_EXTRA (8 * 1024)
/* Body bytes that are read past when the answer does not need them, so that the connection can be kept and
 * the peer reads the answer before it meets a reset. More: answered and closed at once. */
#define SWALLOW_MAX (64 * 1024)
/* Body and answer buffers up to this size stay with the connection for its next request. */
#define KEEP_MAX   (16 * 1024)
#define BODY_FIRST 1024 /* a notification's size; a body's buffer doubles from here */
/* After an early answer the peer may still be sending; closing at once would reset the connection, and
 * the reset can overtake the answer. So a few sockets are drained for a while first. */
#define LINGER_MAX    64
#define LINGER_MS     2000
#define TICK_MS       250             /* a deadline is enforced at most this late */
#define SEND_GRACE_MS (1 * SECOND_MS) /* for answers on their way when the server stops */
/* And for requests that are on their way then: a round trip, and a sender that is busy. */
#define LAST_WORDS_MS 500
/* The library may just be taking a connection from a socket that goes on listening. Nobody can see that;
 * within this time it has told us of it. */
#define SETTLE_MS 20

static const char problem_type[] = "application/problem+json";

/* ---- types ------------------------------------------------------------------------------------ */

enum stage { STAGE_IDLE, STAGE_LINE, STAGE_BODY, STAGE_WORK, STAGE_PARKED, STAGE_SENDING };
enum deferral { NOT_DEFERRED, DEFERRED, REPLIED, ABANDONED };

/* peer->holds: three counters in one word, so that one operation sees all of them. */
enum {
    HOLD_REPLIER = 1u,
    HOLD_EXCHANGE = 1u << 8,
    HOLD_CONNECTION = 1u << 16,
    HOLD_CLOSING = 1u << 30,
};

/* peer->watch: a deadline (mono ms) and what it is for, in one word: deadline * 4 + enum phase. */
enum phase {
    PHASE_QUIET,   /* no request line yet: late peers are closed without a word */
    PHASE_REQUEST, /* head or body: 408 */
    PHASE_ANSWER,  /* the peer reads too slowly */
};
#define WATCH_NONE   INT64_C(0)
#define WATCH_KILLED INT64_MAX /* the watchdog has shut the socket down; this never changes again */

struct header {
    const char *name, *value; /* in the library's memory, NUL-terminated */
    size_t name_len;
};

struct peer;

struct http_request {
    struct peer *peer;
    enum stage stage;
    _Atomic int deferral;
    bool suspended; /* by http_defer; pool thread only */
    bool answered;  /* reply is filled; pool thread, or the replier until it moves deferral */
    bool in_head, in_body;

    struct http_guard guard;
    const char *method;
    char *target; /* path NUL query NUL, as sent */
    size_t target_len, target_room;
    const char *query;
    const char *line_end; /* where the headers must begin; see exact_framing */
    int64_t received_ms;

    char *body;
    size_t body_len, body_room, body_max, swallowed;
    size_t body_counted; /* of body_room, in the server's `bodies` */

    struct arena *arena;
    void *data;

    struct http_answer reply; /* strings in reply_bytes, or static */
    char *reply_bytes;
    size_t reply_room;

    struct http_request *next_ring; /* on its lane's list */
    bool rings;                     /* the replier resumes this one itself */

    size_t header_count;
    struct header headers[HTTP_HEADERS_MAX]; /* last: what is touched per request stays together */
};

/* One thread of the pool. */
struct lane {
    _Atomic(struct http_request *) rung; /* replied requests that nobody resumed yet */
    char apart[64 - sizeof(void *)];     /* lanes do not share a cache line */
};

struct peer {
    struct http_server *server;
    struct MHD_Connection *conn;
    struct lane *lane;
    struct peer *prev, *next; /* server->peers, under its lock */
    _Atomic unsigned holds;
    _Atomic int64_t watch;
    _Atomic int64_t requests;
    int fd;
    struct sockaddr_storage address;
    char text[HTTP_PEER_TEXT_SIZE];
    struct http_tls_pair *shown; /* in the handshake; NULL: none so far */
    bool certificates_taken;
    unsigned char *certificates; /* DER, or NULL */
    size_t certificates_len;
    struct http_request request;
};

struct lingerer {
    int fd; /* a duplicate: the library closes its own */
    int64_t until_ms;
};

struct http_server {
    struct http_options o; /* its strings are not used after opening */
    const struct clock *clock;
    struct MHD_Daemon *daemon;
    struct http_socket socket;
    int library_fd; /* the library's duplicate of the listening socket */
    bool tls;
    struct http_tls_pair *pair; /* under lock: for handshakes from now on */
    bool quiesced;
    pthread_t opener; /* the thread that opened it: the library's messages in it are kept in why */
    char why[200];
    struct lane *lanes;
    atomic_uint lanes_used;

    pthread_mutex_t lock; /* peers, lingerers; never held while calling out */
    pthread_cond_t gone;  /* a connection was closed while the server stops; monotonic clock */
    struct peer *peers;
    int64_t peer_count, requests_before; /* requests of connections that are gone */
    struct lingerer lingerers[LINGER_MAX];
    size_t lingerer_count;

    _Atomic int64_t bodies; /* bytes, of requests under way */

    atomic_bool closing, abandoning;
    sem_t replied, sent; /* posted per hold that ends after HOLD_CLOSING */

    pthread_t watchdog;
    bool watchdog_runs;
    int bell; /* eventfd that wakes the watchdog */
    atomic_bool watchdog_stop;
};

/* The library's own queueing function; see MHD_queue_response below. */
static enum MHD_Result (*queue_response)(struct MHD_Connection *, unsigned, struct MHD_Response *);

/* ---- holds ------------------------------------------------------------------------------------ */

static void peer_destroy(struct peer *p)
{
    struct http_request *r = &p->request;

    arena_free(r->arena);
    free(r->target);
    free(r->body);
    free(r->reply_bytes);
    free(p->certificates);
    http_tls_unref(p->shown);
    free(p);
}

/* Starts an exchange and its replier's part, unless the server is closing. */
static bool hold_exchange(struct peer *p)
{
    unsigned old = atomic_load_explicit(&p->holds, memory_order_relaxed);

    do {
        if (old & HOLD_CLOSING)
            return false;
    } while (!atomic_compare_exchange_weak(&p->holds, &old, old + HOLD_EXCHANGE + HOLD_REPLIER));
    return true;
}

/* Ends one hold; p may be gone afterwards. done: posted when the server waits for this hold; NULL: it
 * does not. */
static void hold_end(struct peer *p, unsigned hold, sem_t *done)
{
    unsigned old = atomic_fetch_sub(&p->holds, hold);

    if ((old & ~(unsigned)HOLD_CLOSING) == hold)
        peer_destroy(p);
    if ((old & HOLD_CLOSING) && done)
        sem_post(done); /* last: the server may be gone right after it */
}

/* ---- the watchdog's view ----------------------------------------------------------------------- */

static int64_t now_ms(const struct http_server *s)
{
    return clock_mono_ms(s->clock);
}

/* Sets what the watchdog waits for; false when it has ended the connection already. */
static bool watch_set(struct peer *p, int64_t watch)
{
    int64_t old = atomic_exchange_explicit(&p->watch, watch, memory_order_acq_rel);

    if (old != WATCH_KILLED)
        return true;
    atomic_store(&p->watch, WATCH_KILLED);
    return false;
}

static bool watch_until(struct peer *p, int64_t deadline_ms, enum phase phase)
{
    return watch_set(p, deadline_ms * 4 + phase);
}

static void ring_bell(struct http_server *s)
{
    const uint64_t one = 1;

    (void)!write(s->bell, &one, sizeof one); /* full means rung already */
}

/* Hands a socket whose answer is out to the watchdog, which drains it for a while. */
static void linger_locked(struct http_server *s, int fd)
{
    int copy;

    (void)shutdown(fd, SHUT_WR);
    if (s->lingerer_count == LINGER_MAX || (copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return; /* closed at once then: the answer may be lost to a reset, nothing else */
    s->lingerers[s->lingerer_count++] =
        (struct lingerer){.fd = copy, .until_ms = now_ms(s) + LINGER_MS};
    ring_bell(s);
}

static void linger(struct peer *p)
{
    struct http_server *s = p->server;

    pthread_mutex_lock(&s->lock);
    linger_locked(s, p->fd);
    pthread_mutex_unlock(&s->lock);
}

static void tell_refusal(const struct peer *p, unsigned status, const char *why)
{
    const struct http_options *o = &p->server->o;

    if (o->handler.refused)
        o->handler.refused(o->ctx, status, p->text, why);
}

/* Writes the answer in answer to a late request; the library has sent nothing of its own yet. */
static void send_late(const struct peer *p)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(1024);
    AUTO(buf_clear) struct buf out = BUF_INIT(4096);
    struct http_answer a = {
        .status = 408, .content_type = problem_type, .headers = {{"Cache-Control", "no-store"}}};
    static const char why[] = "the request did not arrive in time";

    tell_refusal(p, a.status, why);
    if (p->server->tls)
        return; /* the session belongs to the pool thread */
    http_problem_write(&body, a.status, why);
    a.body = buf_text(&body);
    a.body_len = body.len;
    http_answer_write(&out, &a, true);
    if (!buf_failed(&out))
        (void)!send(p->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Ends peers that are late; returns the earliest deadline that is left, or INT64_MAX. */
static int64_t end_late_locked(struct http_server *s, int64_t now)
{
    int64_t earliest = INT64_MAX;

    for (struct peer *p = s->peers; p; p = p->next) {
        int64_t watch = atomic_load_explicit(&p->watch, memory_order_acquire);

        if (watch == WATCH_NONE || watch == WATCH_KILLED)
            continue;
        if (watch / 4 > now) {
            earliest = watch / 4 < earliest ? watch / 4 : earliest;
            continue;
        }
        if (!atomic_compare_exchange_strong(&p->watch, &watch, WATCH_KILLED))
            continue; /* it moved on just now */
        if (watch % 4 == PHASE_REQUEST)
            send_late(p);
        (void)shutdown(p->fd, SHUT_RDWR); /* its pool thread sees the end and closes */
    }
    return earliest;
}

/* Reads past what a refused peer still sends; drops those that are done or late. */
static void drain_lingerers_locked(struct http_server *s, int64_t now)
{
    char sink[16 * 1024];

    for (size_t i = 0; i < s->lingerer_count;) {
        struct lingerer *l = &s->lingerers[i];
        ssize_t n = recv(l->fd, sink, sizeof sink, MSG_DONTWAIT);

        if ((n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) && now < l->until_ms) {
            i++; /* one piece per turn: others wait too */
            continue;
        }
        close(l->fd);
        *l = s->lingerers[--s->lingerer_count];
    }
}

static void *watchdog_main(void *arg)
{
    struct http_server *s = arg;
    int timeout = -1;

    while (!atomic_load(&s->watchdog_stop)) {
        struct pollfd fds[1 + LINGER_MAX] = {{.fd = s->bell, .events = POLLIN}};
        nfds_t n = 1;
        int64_t now, next;
        uint64_t count;

        pthread_mutex_lock(&s->lock);
        for (size_t i = 0; i < s->lingerer_count; i++)
            fds[n++] = (struct pollfd){.fd = s->lingerers[i].fd, .events = POLLIN};
        pthread_mutex_unlock(&s->lock);
        (void)poll(fds, n, timeout); /* an interruption is a look too many */
        if (fds[0].revents)
            (void)!read(s->bell, &count, sizeof count);

        now = now_ms(s);
        pthread_mutex_lock(&s->lock);
        next = end_late_locked(s, now);
        drain_lingerers_locked(s, now);
        /* A deadline set from now on may be nearer than any seen here: hence the tick. */
        timeout = !s->peers && !s->lingerer_count ? -1
                  : next - now < TICK_MS          ? (int)(next - now)
                                                  : TICK_MS;
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ---- connections ------------------------------------------------------------------------------- */

/* The lane of the calling pool thread, which serves this server only, from its first to its last day. */
static struct lane *lane_here(struct http_server *s)
{
    static _Thread_local struct lane *here;

    if (!here) {
        unsigned n = atomic_fetch_add(&s->lanes_used, 1);

        assert(n < s->o.threads);
        here = &s->lanes[n];
    }
    return here;
}

static struct peer *peer_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static gnutls_session_t tls_session(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info ? info->tls_session : NULL;
}

static void connection_opened(struct http_server *s, struct MHD_Connection *conn, void **context)
{
    const union MHD_ConnectionInfo *info;
    struct peer *p = calloc(1, sizeof *p);
    gnutls_session_t tls = tls_session(conn);

    if (tls)
        gnutls_session_set_ptr(tls, p); /* the library uses it for shared keys (PSK) alone */
    if (!p)
        return; /* on_request_line then refuses */
    p->server = s;
    p->conn = conn;
    p->lane = lane_here(s);
    p->request.peer = p;
    /* The library would ask only for certificates of CAs that it is told; clients choose by that list, and
     * one that its owner made himself is on none. The handshake begins after this. */
    if (s->o.client_certificates && tls)
        gnutls_certificate_server_set_request(tls, GNUTLS_CERT_REQUEST);
    info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    p->fd = info->connect_fd;
    info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    http_peer_normalise(s->socket.is_unix ? NULL : info->client_addr, &p->address);
    (void)http_peer_text((struct sockaddr *)&p->address, p->text);
    atomic_store(&p->watch, (now_ms(s) + s->o.head_deadline_ms) * 4 + PHASE_QUIET);
    *context = p;

    pthread_mutex_lock(&s->lock);
    atomic_store(&p->holds, HOLD_CONNECTION | (atomic_load(&s->closing) ? HOLD_CLOSING : 0u));
    p->next = s->peers;
    if (s->peers)
        s->peers->prev = p;
    else
        ring_bell(s);
    s->peers = p;
    s->peer_count++;
    pthread_mutex_unlock(&s->lock);
}

static void request_end(struct http_request *r);

static void connection_closed(struct http_server *s, struct peer *p)
{
    /* The library forgets to say that a request ended when it cannot even refuse it. */
    if (p->request.stage != STAGE_IDLE)
        request_end(&p->request);
    pthread_mutex_lock(&s->lock);
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    s->peer_count--;
    s->requests_before += atomic_load_explicit(&p->requests, memory_order_relaxed);
    if (atomic_load_explicit(&s->closing, memory_order_relaxed))
        pthread_cond_signal(&s->gone);
    pthread_mutex_unlock(&s->lock); /* the watchdog has lost sight of p->fd, which is closed next */
    hold_end(p, HOLD_CONNECTION, NULL);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        connection_opened(cls, conn, context);
    else if (*context)
        connection_closed(cls, *context);
}

/* ---- buffers ----------------------------------------------------------------------------------- */

/* Makes *room at least want by doubling; false without memory. */
static bool grow(char **bytes, size_t *room, size_t want, size_t first)
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

static void shrink(char **bytes, size_t *room)
{
    if (*room <= KEEP_MAX)
        return;
    free(*bytes);
    *bytes = NULL;
    *room = 0;
}

/* ---- replies ----------------------------------------------------------------------------------- */

static const char out_of_memory[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
                                    "\"status\":503,\"detail\":\"out of memory\"}";
static const char bad_answer[] = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                                 "\"status\":500}";

static void reply_static(struct http_request *r, unsigned status, const char *json)
{
    r->reply = (struct http_answer){
        .status = status,
        .content_type = problem_type,
        .body = json,
        .body_len = strlen(json),
        .headers = {{"Cache-Control", "no-store"}, {status == 503 ? "Retry-After" : NULL, "5"}},
        .close = true,
    };
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
    size_t need = a->body_len + (a->content_type ? strlen(a->content_type) + 1 : 0);
    char *at;

    for (size_t i = 0; i < count && a->headers[i].name; i++) {
        if (!http_answer_header_is_safe(a->headers[i].name, a->headers[i].value)) {
            /* Our own fault, and perhaps a peer's attempt: no such header may leave. */
            log_event(LOG_ERROR, "http_bad_answer", LOG_STR("header", a->headers[i].name));
            reply_static(r, 500, bad_answer);
            return;
        }
        need += strlen(a->headers[i].name) + strlen(a->headers[i].value) + 2;
    }
    if (!grow(&r->reply_bytes, &r->reply_room, need + 1, 512)) {
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
    for (size_t i = 0; i < count && a->headers[i].name; i++) {
        r->reply.headers[i].name = put(&at, a->headers[i].name);
        r->reply.headers[i].value = put(&at, a->headers[i].value);
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

/* Resumes what others left on the list of this pool thread. */
static void resume_rung(struct lane *lane)
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
        hold_end(p, HOLD_REPLIER, replied);
    } else {
        assert(expected == ABANDONED);
        hold_end(p, HOLD_REPLIER, NULL); /* nobody waits for us; the server may be gone */
    }
}

void http_reply_problem(struct http_request *r, unsigned status, const char *detail,
                        const char *const extra[][2])
{
    AUTO(buf_clear) struct buf body = BUF_INIT(16 * 1024);
    struct http_answer a = {
        .status = status, .content_type = problem_type, .headers = {{"Cache-Control", "no-store"}}};

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

/* ---- refusing at once -------------------------------------------------------------------------- */

/* Writes text past the library, which has sent nothing of an answer yet, and ends our direction. The
 * library closes the connection, at the latest when the watchdog ends it. */
static void send_past(struct peer *p, const struct buf *text)
{
    const union MHD_ConnectionInfo *info =
        p->server->tls ? MHD_get_connection_info(p->conn, MHD_CONNECTION_INFO_GNUTLS_SESSION)
                       : NULL;

    if (watch_until(p, now_ms(p->server) + LINGER_MS, PHASE_QUIET) && !buf_failed(text)) {
        if (info) {
            (void)gnutls_record_send(info->tls_session, text->data, text->len);
            (void)gnutls_bye(info->tls_session, GNUTLS_SHUT_WR);
        } else {
            (void)!send(p->fd, text->data, text->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
    linger(p);
}

/* Sends r's reply now, whatever of the body is still to come. The caller closes the connection. */
static void answer_past(struct http_request *r)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(1024 * 1024);

    http_answer_write(&text, &r->reply, !r->method || strcmp(r->method, "HEAD") != 0);
    send_past(r->peer, &text);
}

static void problem_past(struct peer *p, unsigned status, const char *detail)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(4096);
    AUTO(buf_clear) struct buf text = BUF_INIT(8192);
    struct http_answer a = {.status = status,
                            .content_type = problem_type,
                            .headers = {{"Cache-Control", "no-store"},
                                        {status == 415 ? "Accept-Encoding" : NULL, "identity"}}};

    tell_refusal(p, status, detail);
    http_problem_write(&body, status, detail);
    a.body = buf_text(&body);
    a.body_len = body.len;
    http_answer_write(&text, &a, !p->request.method || strcmp(p->request.method, "HEAD") != 0);
    send_past(p, &text);
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

/*
 * The library answers some malformed requests by itself, with HTML pages of its own, one of which
 * names it and some of which it sends with two heads. There is no option against that; but it queues
 * them through this public function, by way of the dynamic linker, and so a definition in the program
 * is the one it finds. Ours sends the problem document past it and ends our direction of the
 * socket: what the library then does, in states it knows, reaches nobody. Our own answers go to
 * the library's function directly (queue_response). Should a build not let the call through, the
 * pages show again, and test_http__library_pages_never_show_through fails.
 */
enum MHD_Result MHD_queue_response(struct MHD_Connection *conn, unsigned status,
                                   struct MHD_Response *response)
{
    struct peer *p = conn ? peer_of(conn) : NULL;

    if (p) {
        size_t i = 0, last = sizeof library_errors / sizeof *library_errors - 1;

        while (i < last && library_errors[i].library != status)
            i++;
        problem_past(p, library_errors[i].status, library_errors[i].detail);
    }
    return queue_response(conn, status, response);
}

/* ---- requests ---------------------------------------------------------------------------------- */

/* Makes the request ready for the next one on this connection. */
/* What r's body takes counts towards all bodies; false: they take too much. A small one is let through: a flood of
 * large ones keeps no notification out. */
static bool count_body(struct http_request *r, size_t room)
{
    struct http_server *s = r->peer->server;
    int64_t more = (int64_t)room - (int64_t)r->body_counted;
    int64_t all = atomic_fetch_add_explicit(&s->bodies, more, memory_order_relaxed) + more;

    r->body_counted = room;
    return more <= 0 || room <= KEEP_MAX || !s->o.max_bodies || all <= (int64_t)s->o.max_bodies;
}

static void request_end(struct http_request *r)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;
    bool held = r->stage == STAGE_SENDING || r->stage == STAGE_WORK || r->stage == STAGE_PARKED;

    if (r->stage == STAGE_PARKED) {
        /* Resumed, but the library closes it without the final call, because the peer has closed at
         * least its own direction. Others may count on this one to wake them; and a peer that only
         * said that it has nothing more to send still waits for its answer. */
        resume_rung(p->lane);
        if (atomic_load_explicit(&r->deferral, memory_order_acquire) == REPLIED)
            answer_past(r);
    }
    r->stage = STAGE_IDLE;
    if (atomic_load_explicit(&r->deferral, memory_order_acquire) != ABANDONED) {
        /* An abandoned one stays as it is for the replier that still holds it; its connection ends. */
        atomic_store_explicit(&r->deferral, NOT_DEFERRED, memory_order_relaxed);
        r->suspended = r->answered = false;
        if (r->arena)
            arena_reset(r->arena);
        (void)count_body(r, 0);
        shrink(&r->body, &r->body_room);
        shrink(&r->reply_bytes, &r->reply_room);
        shrink(&r->target, &r->target_room);
        r->body_len = r->swallowed = 0;
        r->header_count = 0;
        r->data = NULL;
        r->method = NULL;
    }
    (void)watch_until(p, now_ms(s) + s->o.idle_ms + s->o.head_deadline_ms, PHASE_QUIET);
    if (held)
        hold_end(p, HOLD_EXCHANGE, &s->sent);
}

/* MHD_OPTION_URI_LOG_CALLBACK: the request line is complete. What we return is the request's context. */
static void *on_request_line(void *cls, const char *target, struct MHD_Connection *conn)
{
    struct http_server *s = cls;
    struct peer *p = peer_of(conn);
    struct http_request *r = p ? &p->request : NULL;
    size_t len = target ? strlen(target) : 0;
    int64_t until = now_ms(s) + s->o.head_deadline_ms, watch;
    char *query;

    if (!r)
        return NULL;
    watch = atomic_load_explicit(&p->watch, memory_order_relaxed);
    if (watch != WATCH_NONE && watch / 4 < until)
        until = watch / 4; /* the first head of a connection counts from its beginning */
    (void)watch_until(p, until, PHASE_REQUEST);

    r->stage = STAGE_LINE;
    r->target_len = len;
    if (!grow(&r->target, &r->target_room, len + 2, 256))
        return NULL; /* on_request then closes */
    if (len)
        memcpy(r->target, target, len);
    r->target[len] = r->target[len + 1] = '\0';
    query = memchr(r->target, '?', len);
    r->query = query ? query + 1 : r->target + len; /* look_at_head cuts the path */
    return r;
}

/* The target is kept as sent (routing on a decoded path is how `..%2f` gets past a proxy). */
static size_t on_unescape(void *cls, struct MHD_Connection *conn, char *text)
{
    (void)cls;
    (void)conn;
    return strlen(text);
}

/* Takes one header in; see exact_framing for line_end. */
static enum MHD_Result on_header(void *cls, enum MHD_ValueKind value_kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
{
    struct http_request *r = cls;
    size_t trimmed = value_len;

    (void)value_kind;
    if (!value)
        value = "";
    if (MHD_VERSION < 0x01000000) {
        const char *p = name + name_len + 1;

        while (p < value && (*p == ' ' || *p == '\t'))
            p++;
        if (name != r->line_end || p != value)
            http_guard_refuse(&r->guard, 400, "a header line is malformed");
        r->line_end = value + value_len + 2;
    }
    while (trimmed && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t'))
        trimmed--;
    http_guard_header(&r->guard, name, name_len, value, trimmed);
    if (r->guard.status)
        return MHD_NO;
    if (trimmed != value_len) /* rare: the copy ends where the value does */
        value = http_arena(r) ? arena_strn(r->arena, value, trimmed) : NULL;
    if (!value) {
        http_guard_refuse(&r->guard, 503, "out of memory");
        return MHD_NO;
    }
    r->headers[r->header_count++] = (struct header){name, value, name_len};
    return MHD_YES;
}

/*
 * Looks at the whole head, once. Exact framing: the library takes lines that end in a bare LF, folded
 * lines and NUL bytes, and does not say so. But it parses in place, so in a head that was sent as
 * RFC 9112 has it every line begins right behind the CR LF (now two NULs) of the one before, and the
 * last one ends where the head does; anything else leaves a gap or an overlap. Releases from 1.0 on
 * move lines about, and refuse such heads themselves (see MHD_OPTION_CLIENT_DISCIPLINE_LVL below).
 */
static void look_at_head(struct http_request *r, const char *url, const char *method,
                         const char *version)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->peer->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t head_len = info ? info->header_size : 0;

    r->method = method;
    http_guard_line(&r->guard, method, r->target, r->target_len, version);
    if (MHD_VERSION < 0x01000000) {
        if (url != method + strlen(method) + 1 || version != url + r->target_len + 1)
            http_guard_refuse(&r->guard, 400, "the request line is malformed");
        r->line_end = version + strlen("HTTP/1.1") + 2;
    }
    if (head_len > r->peer->server->o.max_head)
        http_guard_refuse(&r->guard, 431, "the request's head is too large");
    if (r->query > r->target && r->query[-1] == '?')
        r->target[r->query - r->target - 1] = '\0'; /* the path ends where the query begins */
    if (!r->guard.status)
        (void)MHD_get_connection_values_n(r->peer->conn, MHD_HEADER_KIND, on_header, r);
    if (MHD_VERSION < 0x01000000 && r->line_end + 2 != method + head_len)
        http_guard_refuse(&r->guard, 400, "the head is malformed");
    http_guard_end(&r->guard);
}

static void problem(struct http_request *r, unsigned status, const char *detail)
{
    static const char *const later[][2] = {{"Retry-After", "5"}, {NULL, NULL}};

    tell_refusal(r->peer, status, detail);
    r->in_head = true; /* as if the handler had answered */
    http_reply_problem(r, status, detail, status == 503 ? later : NULL);
    r->in_head = false;
}

/* Queues r->reply; only from the library's final call. */
static enum MHD_Result send_reply(struct http_request *r)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;
    const struct http_answer *a = &r->reply;
    struct MHD_Response *response;
    enum MHD_Result ok = MHD_YES;

    /* The bytes stay where they are until on_completed. */
    response = MHD_create_response_from_buffer(a->body_len, (void *)(uintptr_t)a->body,
                                               MHD_RESPMEM_PERSISTENT);
    if (!response || !watch_until(p, now_ms(s) + s->o.body_deadline_ms, PHASE_ANSWER)) {
        if (response)
            MHD_destroy_response(response);
        return MHD_NO;
    }
    if (a->content_type)
        ok = MHD_add_response_header(response, "Content-Type", a->content_type);
    for (size_t i = 0; ok && i < sizeof a->headers / sizeof *a->headers && a->headers[i].name; i++)
        ok = MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
    if (ok && (a->close || atomic_load_explicit(&s->closing, memory_order_relaxed)))
        ok = MHD_add_response_header(response, "Connection", "close");
    if (ok)
        ok = queue_response(p->conn, a->status, response);
    MHD_destroy_response(response);
    return ok;
}

/* The head is complete. */
static enum MHD_Result begin(struct http_request *r, const char *url, const char *method,
                             const char *version)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;
    enum http_next next;
    bool more;

    r->stage = STAGE_BODY;
    if (!watch_until(p, now_ms(s) + s->o.body_deadline_ms, PHASE_REQUEST))
        return MHD_NO;
    atomic_fetch_add_explicit(&p->requests, 1, memory_order_relaxed);
    r->received_ms = clock_wall_ms(s->clock);
    look_at_head(r, url, method, version);
    if (r->guard.status) { /* nothing behind such a head can be trusted: close */
        problem_past(p, r->guard.status, r->guard.why);
        return MHD_NO;
    }

    r->body_max = s->o.max_body;
    if (atomic_load_explicit(&s->closing, memory_order_relaxed)) {
        problem(r, 503, "the server is stopping");
        r->reply.close = true;
    } else {
        r->in_head = true;
        next = s->o.handler.head(r, s->o.ctx, &r->body_max);
        r->in_head = false;
        assert((next == HTTP_ANSWERED) == r->answered);
    }
    if (!r->answered && r->guard.has_length && r->guard.content_length > r->body_max)
        problem(r, 413, "the body is too large");
    else if (!r->answered && s->o.max_bodies && r->guard.has_length &&
             r->guard.content_length > KEEP_MAX &&
             atomic_load_explicit(&s->bodies, memory_order_relaxed) +
                     (int64_t)r->guard.content_length >
                 (int64_t)s->o.max_bodies)
        problem(r, 503, "too many large bodies at once");

    /* A short body is read past, so that the connection can be kept. */
    more = r->guard.chunked || r->guard.content_length > 0;
    if (r->answered && more &&
        (r->guard.expects_continue || r->guard.content_length > SWALLOW_MAX)) {
        answer_past(r);
        return MHD_NO;
    }
    return MHD_YES;
}

static enum MHD_Result add_body(struct http_request *r, const char *bytes, size_t *len)
{
    size_t n = *len;

    *len = 0;
    if (!r->answered) {
        if (n > r->body_max - r->body_len)
            problem(r, 413, "the body is too large");
        else if (!grow(&r->body, &r->body_room, r->body_len + n + 1, BODY_FIRST))
            problem(r, 503, "out of memory");
        else if (!count_body(r, r->body_room))
            problem(r, 503, "too many large bodies at once");
    }
    if (r->answered) {
        (void)count_body(r, 0);
        r->body_len = 0;
        shrink(&r->body, &r->body_room);
        r->swallowed += n;
        if (r->swallowed <= SWALLOW_MAX)
            return MHD_YES;
        answer_past(r);
        return MHD_NO;
    }
    memcpy(r->body + r->body_len, bytes, n);
    r->body_len += n;
    return MHD_YES;
}

/* The body is complete. */
static enum MHD_Result work(struct http_request *r)
{
    struct peer *p = r->peer;
    struct http_server *s = p->server;

    if (!watch_set(p, WATCH_NONE))
        return MHD_NO; /* too late: the 408 is out */
    if (!hold_exchange(p)) {
        if (!r->answered)
            problem(r, 503, "the server is stopping");
        r->reply.close = true;
        return send_reply(r);
    }
    r->stage = STAGE_WORK;
    if (!r->answered) {
        if (r->body)
            r->body[r->body_len] = '\0';
        r->in_body = true;
        s->o.handler.body(r, s->o.ctx);
        r->in_body = false;
        if (r->suspended)
            return MHD_YES; /* the hold went to the replier */
        assert(r->answered);
    }
    hold_end(p, HOLD_REPLIER, &s->replied);
    r->stage = STAGE_SENDING;
    return send_reply(r);
}

/* The connection was resumed. */
static enum MHD_Result unpark(struct http_request *r)
{
    resume_rung(r->peer->lane);
    r->stage = STAGE_SENDING;
    if (atomic_load_explicit(&r->deferral, memory_order_acquire) != REPLIED)
        return MHD_NO; /* given up */
    return send_reply(r);
}

/* The access handler: called once with the head, for each piece of the body, and once at the end. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct http_request *r = *context;

    (void)cls;
    (void)conn;
    if (!r)
        return MHD_NO; /* no memory */
    if (r->stage == STAGE_LINE)
        return begin(r, url, method, version);
    if (*upload_len)
        return add_body(r, upload, upload_len);
    return r->stage == STAGE_PARKED ? unpark(r) : work(r);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct http_request *r = *context;

    (void)cls;
    (void)conn;
    (void)why;
    if (r)
        request_end(r);
    *context = NULL;
}

/* ---- what handlers see ------------------------------------------------------------------------- */

const char *http_method(const struct http_request *r)
{
    return r->method;
}

const char *http_path(const struct http_request *r)
{
    return r->target;
}

const char *http_query(const struct http_request *r)
{
    return r->query;
}

const char *http_header(const struct http_request *r, const char *name, unsigned *ret_count)
{
    const size_t len = strlen(name);
    const char *value = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < r->header_count; i++) {
        const struct header *h = &r->headers[i];

        if (h->name_len == len && strncasecmp(h->name, name, len) == 0 && !count++)
            value = h->value;
    }
    if (ret_count)
        *ret_count = count;
    return value;
}

const char *http_header_at(const struct http_request *r, const char *name, unsigned n)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < r->header_count; i++) {
        const struct header *h = &r->headers[i];

        if (h->name_len == len && strncasecmp(h->name, name, len) == 0 && !n--)
            return h->value;
    }
    return NULL;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes len bytes of application/x-www-form-urlencoded into out; false when they are malformed. */
static bool form_decode(const char *text, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (text[i] != '%') {
            *out++ = text[i] == '+' ? ' ' : text[i];
            continue;
        }
        if (i + 2 >= len || (high = hex_digit(text[i + 1])) < 0 ||
            (low = hex_digit(text[i + 2])) < 0 || !(high | low))
            return false;
        *out++ = (char)(high << 4 | low);
        i += 2;
    }
    *out = '\0';
    return true;
}

/* One of the parameters in text. */
static const char *find_param(struct http_request *r, const char *params, const char *name)
{
    const char *found = NULL, *p = params;

    while (*p) {
        size_t len = strcspn(p, "&"), key = strcspn(p, "=&");
        char *text = http_arena(r) ? arena_alloc(r->arena, len + 2) : NULL;
        bool last = !p[len];

        if (!text || !form_decode(p, key, text))
            return NULL;
        if (strcmp(text, name) == 0) {
            const char *value = p + key + (key < len);

            if (found || !form_decode(value, (size_t)(p + len - value), text))
                return NULL;
            found = text;
        }
        p += len + !last;
    }
    return found;
}

const char *http_query_param(struct http_request *r, const char *name)
{
    return find_param(r, r->query, name);
}

const char *http_form_param(struct http_request *r, const char *name)
{
    size_t len;
    const char *body = http_body(r, &len);
    const char *text = http_arena(r) ? arena_strn(http_arena(r), body, len) : NULL;

    return text && strlen(text) == len ? find_param(r, text, name) : NULL;
}

const char *http_body(const struct http_request *r, size_t *ret_len)
{
    *ret_len = r->body_len;
    return r->body_len ? r->body : "";
}

const char *http_peer(const struct http_request *r)
{
    return r->peer->text;
}

const struct sockaddr *http_peer_sockaddr(const struct http_request *r)
{
    return (const struct sockaddr *)&r->peer->address;
}

int64_t http_received_ms(const struct http_request *r)
{
    return r->received_ms;
}

bool http_is_tls(const struct http_request *r)
{
    return r->peer->server->tls;
}

struct arena *http_arena(struct http_request *r)
{
    if (!r->arena)
        r->arena = arena_new(0);
    return r->arena;
}

bool http_keep_head(struct http_request *r)
{
    struct arena *a = http_arena(r);
    const char *method = a ? arena_str(a, r->method) : NULL;

    if (!method)
        return false;
    r->method = method;
    for (size_t i = 0; i < r->header_count; i++) {
        struct header *h = &r->headers[i];

        h->name = arena_strn(a, h->name, h->name_len);
        h->value = arena_str(a, h->value);
        if (!h->name || !h->value) {
            r->header_count = i; /* what is not kept is not there */
            return false;
        }
    }
    return true;
}

void http_set_data(struct http_request *r, void *data)
{
    r->data = data;
}

void *http_data(const struct http_request *r)
{
    return r->data;
}

/* Keeps what the peer showed. False when out of memory. */
static bool take_certificates(struct peer *p)
{
    gnutls_session_t session = tls_session(p->conn);
    unsigned count = 0;
    const gnutls_datum_t *chain = session ? gnutls_certificate_get_peers(session, &count) : NULL;
    size_t len = 0;

    for (unsigned i = 0; chain && i < count; i++)
        len += chain[i].size; /* bounded by the largest handshake that the library takes */
    if (!len)
        return true;
    p->certificates = malloc(len);
    if (!p->certificates)
        return false;
    for (unsigned i = 0; i < count; i++) {
        memcpy(p->certificates + p->certificates_len, chain[i].data, chain[i].size);
        p->certificates_len += chain[i].size;
    }
    return true;
}

const unsigned char *http_client_certificates(struct http_request *r, size_t *ret_len)
{
    struct peer *p = r->peer;

    if (p->server->o.client_certificates && !p->certificates_taken)
        p->certificates_taken = take_certificates(p); /* renegotiation is not allowed: once */
    *ret_len = p->certificates_len;
    return p->certificates;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static void find_queue_response(void)
{
    void *found = dlsym(RTLD_NEXT, "MHD_queue_response");

    memcpy(&queue_response, &found,
           sizeof found); /* C has no cast from object to function pointer */
}

/* MHD_OPTION_EXTERNAL_LOGGER. Only the reasons of a failed start matter; later messages hold peers' text. */
static void __attribute__((format(printf, 2, 0)))
on_library_message(void *cls, const char *fmt, va_list ap)
{
    struct http_server *s = cls;

    if (!pthread_equal(pthread_self(), s->opener))
        return;
    (void)vsnprintf(s->why, sizeof s->why, fmt, ap);
    s->why[strcspn(s->why, "\n")] = '\0';
}

/* GnuTLS asks, in a handshake, what to show. The pair is held by the connection, because nobody tells when the
 * library has done with it. */
static int on_handshake(gnutls_session_t session, const gnutls_datum_t *cas, int n_cas,
                        const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                        gnutls_pcert_st **ret_chain, unsigned *ret_count, gnutls_privkey_t *ret_key)
{
    struct peer *p = gnutls_session_get_ptr(session);

    (void)cas;
    (void)n_cas;
    (void)algorithms;
    (void)n_algorithms;
    if (!p)
        return -1; /* there was no memory for it: the handshake fails */
    if (!p->shown) {
        pthread_mutex_lock(&p->server->lock);
        p->shown = http_tls_ref(p->server->pair);
        pthread_mutex_unlock(&p->server->lock);
    }
    http_tls_show(p->shown, ret_chain, ret_count, ret_key);
    return 0;
}

static void add_option(struct MHD_OptionItem *list, size_t *n, enum MHD_OPTION what, intptr_t value,
                       void *pointer)
{
    list[(*n)++] = (struct MHD_OptionItem){what, value, pointer};
}

/* A callback as the library's option list carries it. */
#define CALLBACK(fn) ((intptr_t)(fn))

static enum err_code start_daemon(struct http_server *s, struct err *e)
{
    const struct http_options *o = &s->o;
    unsigned flags =
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem list[24];
    size_t n = 0;
    int64_t idle_s = (o->idle_ms + 999) / 1000;
    enum err_code rc = ERR_OK;
    void *cert_callback;

    if (s->tls) {
        rc = http_tls_load(o->certificate_file, o->key_file, &s->pair, e);
        if (rc)
            return rc;
        flags |= MHD_USE_TLS;
        add_option(list, &n, MHD_OPTION_HTTPS_PRIORITIES, 0,
                   (void *)(uintptr_t)HTTP_TLS_PRIORITIES);
        /* not MEM_CERT and MEM_KEY, which are read while the library starts and not again */
        cert_callback = (void *)(uintptr_t)CALLBACK(on_handshake);
        add_option(list, &n, MHD_OPTION_HTTPS_CERT_CALLBACK, 0, cert_callback);
    }
    s->library_fd = fcntl(s->socket.fd, F_DUPFD_CLOEXEC, 0); /* it closes the one it is given */
    if (s->library_fd < 0)
        return err_set(e, ERR_IO, "%s: %s", s->socket.address, strerror(errno));
    add_option(list, &n, MHD_OPTION_LISTEN_SOCKET, s->library_fd, NULL);
    if (o->threads > 1)
        add_option(list, &n, MHD_OPTION_THREAD_POOL_SIZE, o->threads, NULL);
    add_option(list, &n, MHD_OPTION_CONNECTION_LIMIT,
               o->max_connections > o->threads ? o->max_connections : o->threads, NULL);
    add_option(list, &n, MHD_OPTION_PER_IP_CONNECTION_LIMIT, o->max_connections_per_ip, NULL);
    add_option(list, &n, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)(o->max_head + POOL_EXTRA),
               NULL);
    add_option(list, &n, MHD_OPTION_CONNECTION_TIMEOUT, idle_s > INT32_MAX ? INT32_MAX : idle_s,
               NULL);
    add_option(list, &n, MHD_OPTION_NOTIFY_CONNECTION, CALLBACK(on_connection), s);
    add_option(list, &n, MHD_OPTION_NOTIFY_COMPLETED, CALLBACK(on_completed), s);
    add_option(list, &n, MHD_OPTION_URI_LOG_CALLBACK, CALLBACK(on_request_line), s);
    add_option(list, &n, MHD_OPTION_UNESCAPE_CALLBACK, CALLBACK(on_unescape), NULL);
#if MHD_VERSION >= 0x01000000
    add_option(list, &n, MHD_OPTION_CLIENT_DISCIPLINE_LVL, 3, NULL); /* the strictest */
#endif
    add_option(list, &n, MHD_OPTION_END, 0, NULL);

    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER,
                                 on_library_message, s, MHD_OPTION_ARRAY, list, MHD_OPTION_END);
    if (!s->daemon)
        rc = err_set(e, ERR_IO, "%s: the HTTP server does not start: %s", s->socket.address,
                     s->why[0] ? s->why : strerror(errno));
    return rc;
}

enum err_code http_server_use_certificate(struct http_server *s, const char *certificate_file,
                                          const char *key_file, struct err *e)
{
    struct http_tls_pair *pair, *old;
    enum err_code code;

    assert(s->tls);
    code = http_tls_load(certificate_file, key_file, &pair, e);
    if (code)
        return code;
    pthread_mutex_lock(&s->lock);
    old = s->pair;
    s->pair = pair;
    pthread_mutex_unlock(&s->lock);
    http_tls_unref(old);
    return ERR_OK;
}

int64_t http_server_certificate_end_ms(const struct http_server *s)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&s->lock;
    int64_t end = 0;

    pthread_mutex_lock(lock);
    if (s->pair)
        end = http_tls_not_after_ms(s->pair);
    pthread_mutex_unlock(lock);
    return end;
}

enum err_code http_server_open(const struct http_options *o, struct http_server **ret,
                               struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_server *s;
    pthread_condattr_t monotonic;
    enum err_code rc;

    assert(o->max_body && o->max_head && o->head_deadline_ms > 0 && o->body_deadline_ms > 0 &&
           o->idle_ms > 0 && o->threads && o->max_connections && o->handler.head &&
           o->handler.body);
    if (!o->certificate_file != !o->key_file)
        return err_set(e, ERR_INVALID, "%s: a certificate and its key belong together", o->address);
    if (o->client_certificates && !o->certificate_file)
        return err_set(e, ERR_INVALID, "%s: client certificates need TLS", o->address);
    (void)pthread_once(&once, find_queue_response);
    if (!queue_response)
        return err_set(e, ERR_IO, "the HTTP library is not the one cordon was built with");
    s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "HTTP server");
    s->o = *o;
    s->opener = pthread_self();
    s->clock = o->clock ? o->clock : clock_system();
    s->tls = o->certificate_file != NULL;
    s->socket.fd = s->library_fd = -1;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->gone, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)sem_init(&s->replied, 0, 0);
    (void)sem_init(&s->sent, 0, 0);
    s->lanes = calloc(o->threads, sizeof *s->lanes);
    s->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (!s->lanes)
        rc = err_set(e, ERR_NOMEM, "HTTP server");
    else if (s->bell < 0)
        rc = err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    else if (o->handed_over)
        rc = http_socket_take(o->handed_over, o->address, &s->socket, e);
    else
        rc = http_socket_open(o->address, &s->socket, e);
    if (!rc && pthread_create(&s->watchdog, NULL, watchdog_main, s) != 0)
        rc = err_set(e, ERR_IO, "the HTTP server's watchdog thread does not start");
    else if (!rc)
        s->watchdog_runs = true;
    if (!rc)
        rc = start_daemon(s, e);
    if (rc) {
        http_server_free(s, 0);
        return rc;
    }
    *ret = s;
    return ERR_OK;
}

const char *http_server_address(const struct http_server *s)
{
    return s->socket.address;
}

void http_server_counts(const struct http_server *s, int64_t *ret_connections,
                        int64_t *ret_requests)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&s->lock;
    int64_t requests;

    pthread_mutex_lock(lock);
    requests = s->requests_before;
    for (const struct peer *p = s->peers; p; p = p->next)
        requests += atomic_load_explicit(&p->requests, memory_order_relaxed);
    *ret_connections = s->peer_count;
    *ret_requests = requests;
    pthread_mutex_unlock(lock);
}

int64_t http_server_bodies(const struct http_server *s)
{
    return atomic_load_explicit(&s->bodies, memory_order_relaxed);
}

int64_t http_server_bodies_limit(const struct http_server *s)
{
    return (int64_t)s->o.max_bodies;
}

unsigned http_server_limit(const struct http_server *s)
{
    return s->o.max_connections;
}

/* ---- stopping ---------------------------------------------------------------------------------- */

void http_server_quiesce(struct http_server *s)
{
    if (s->quiesced || !s->daemon)
        return;
    (void)MHD_quiesce_daemon(s->daemon); /* library_fd is ours again */
    http_socket_quiesce(&s->socket);
    s->quiesced = true;
}

/* Lets no exchange begin from now on; says how many replies and answers are under way. */
static void close_doors(struct http_server *s, unsigned *ret_replies, unsigned *ret_answers)
{
    *ret_replies = *ret_answers = 0;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->closing, true);
    for (struct peer *p = s->peers; p; p = p->next) {
        unsigned holds = atomic_fetch_or(&p->holds, HOLD_CLOSING);

        *ret_replies += holds % HOLD_EXCHANGE;
        *ret_answers += holds % HOLD_CONNECTION / HOLD_EXCHANGE;
    }
    pthread_mutex_unlock(&s->lock);
}

/* Takes the deferred requests away from their repliers; says how many. */
static unsigned abandon(struct http_server *s)
{
    unsigned n = 0;

    atomic_store(&s->abandoning, true);
    pthread_mutex_lock(&s->lock);
    for (struct peer *p = s->peers; p; p = p->next) {
        int expected = DEFERRED;

        if (atomic_compare_exchange_strong(&p->request.deferral, &expected, ABANDONED)) {
            MHD_resume_connection(p->conn); /* suspended until now, so it cannot be gone */
            n++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Waits for *n posts until the deadline (host's monotonic clock); *n becomes what is missing. */
static void wait_for(sem_t *posts, unsigned *n, const struct timespec *deadline)
{
    while (*n > 0) {
        int rc = deadline ? sem_clockwait(posts, CLOCK_MONOTONIC, deadline) : sem_wait(posts);

        if (rc == 0)
            --*n;
        else if (errno != EINTR)
            return;
    }
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += ms / 1000;
    ts.tv_nsec += ms % 1000 * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_nsec -= 1000000000;
        ts.tv_sec++;
    }
    return ts;
}

/* Connections on which nothing is under way: what their peers are sending just now is answered with 503 and
 * a close by the pool threads; who is silent is closed by the library afterwards. */
static void hear_last_words(struct http_server *s, int64_t deadline_ms)
{
    struct timespec end = in_ms(deadline_ms < LAST_WORDS_MS ? deadline_ms : LAST_WORDS_MS);
    struct timespec settled = in_ms(deadline_ms < SETTLE_MS ? deadline_ms : SETTLE_MS);
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    while (s->socket.handed_over && rc == 0)
        rc = pthread_cond_timedwait(&s->gone, &s->lock, &settled);
    for (rc = 0; s->peers && rc == 0;)
        rc = pthread_cond_timedwait(&s->gone, &s->lock, &end);
    pthread_mutex_unlock(&s->lock);
}

static void stop_daemon(struct http_server *s, int64_t deadline_ms)
{
    struct timespec deadline = in_ms(deadline_ms), grace = in_ms(deadline_ms + SEND_GRACE_MS);
    unsigned replies, answers;

    http_server_quiesce(s);
    close_doors(s, &replies, &answers);
    wait_for(&s->replied, &replies, &deadline);
    if (replies) {
        replies -= abandon(s);
        wait_for(&s->replied, &replies, NULL); /* threads inside http_reply or body() */
    }
    wait_for(&s->sent, &answers, &grace);
    hear_last_words(s, deadline_ms);
    MHD_stop_daemon(s->daemon); /* aborts if a connection were suspended: none is */
    close(s->library_fd);
}

void http_server_free(struct http_server *s, int64_t deadline_ms)
{
    if (!s)
        return;
    if (s->daemon)
        stop_daemon(s, deadline_ms);
    if (s->watchdog_runs) {
        atomic_store(&s->watchdog_stop, true);
        ring_bell(s);
        (void)pthread_join(s->watchdog, NULL);
    }
    for (size_t i = 0; i < s->lingerer_count; i++)
        close(s->lingerers[i].fd);
    http_socket_close(&s->socket);
    if (s->bell >= 0)
        close(s->bell);
    http_tls_unref(s->pair);
    free(s->lanes);
    (void)sem_destroy(&s->sent);
    (void)sem_destroy(&s->replied);
    (void)pthread_cond_destroy(&s->gone);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}
