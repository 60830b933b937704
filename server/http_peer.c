/* http_peer.c - who is connected, what keeps its memory, and the watchdog that lets in who knocks and ends who is
 * too slow. See http_own.h. */
#include "http_own.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- holds ----------------------------------------------------------------------------------- */

static void peer_destroy(struct peer *p)
{
    struct http_request *r = &p->request;

    arena_free(r->arena);
    free(r->target);
    free(r->body);
    http_forget_made(r);
    free(r->reply_bytes);
    free(p->certificates);
    http_tls_unref(p->shown);
    free(p);
}

bool http_hold_exchange(struct peer *p)
{
    unsigned old = atomic_load_explicit(&p->holds, memory_order_relaxed);

    do {
        if (old & HOLD_CLOSING)
            return false;
    } while (!atomic_compare_exchange_weak(&p->holds, &old, old + HOLD_EXCHANGE + HOLD_REPLIER));
    return true;
}

void http_hold_end(struct peer *p, unsigned hold, sem_t *done)
{
    unsigned old = atomic_fetch_sub(&p->holds, hold);

    if ((old & ~(unsigned)HOLD_CLOSING) == hold)
        peer_destroy(p);
    if ((old & HOLD_CLOSING) && done)
        sem_post(done); /* last: the server may be gone right after it */
}

/* ---- the watchdog's view --------------------------------------------------------------------- */

int64_t http_now_ms(const struct http_server *s)
{
    return clock_mono_ms(s->clock);
}

int64_t http_bodies_of(const struct peer *p)
{
    struct http_server *s = p->server;
    int64_t sum = 0;

    if (s->socket.is_unix)
        return 0;
    pthread_mutex_lock(&s->lock);
    for (const struct peer *other = s->peers; other; other = other->next)
        if (http_peer_is_same(&p->address, &other->address))
            sum += atomic_load_explicit(&other->request.body_counted, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    return sum;
}

bool http_watch_set(struct peer *p, int64_t watch)
{
    int64_t old = atomic_exchange_explicit(&p->watch, watch, memory_order_acq_rel);

    if (old != WATCH_KILLED)
        return true;
    atomic_store(&p->watch, WATCH_KILLED);
    return false;
}

bool http_watch_until(struct peer *p, int64_t deadline_ms, enum phase phase)
{
    return http_watch_set(p, deadline_ms * 4 + phase);
}

void http_ring_bell(struct http_server *s)
{
    const uint64_t one = 1;

    (void)!write(s->bell, &one, sizeof one); /* full means rung already */
}

/* Hands a socket whose answer is out to the watchdog, which drains it for a while. */
static void linger_locked(struct http_server *s, int fd)
{
    int copy;

    (void)shutdown(fd, SHUT_WR);
    if (s->lingerer_count == HTTP_LINGER_MAX || (copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return; /* closed at once then: the answer may be lost to a reset, nothing else */
    s->lingerers[s->lingerer_count++] =
        (struct lingerer){.fd = copy, .until_ms = http_now_ms(s) + HTTP_LINGER_MS};
    http_ring_bell(s);
}

void http_linger(struct peer *p)
{
    struct http_server *s = p->server;

    pthread_mutex_lock(&s->lock);
    linger_locked(s, p->fd);
    pthread_mutex_unlock(&s->lock);
}

void http_tell_refusal(const struct peer *p, unsigned status, const char *why)
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
    struct http_answer a = {.status = 408,
                            .content_type = HTTP_PROBLEM_TYPE,
                            .headers = {{"Cache-Control", "no-store"}}};
    static const char why[] = "the request did not arrive in time";

    http_tell_refusal(p, a.status, why);
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

/* Ends and drops who is late; when to look again. */
static int64_t look_locked(struct http_server *s, int64_t now)
{
    int64_t next = end_late_locked(s, now);

    drain_lingerers_locked(s, now);
    http_make_room_locked(s, now);
    if (!s->peers && !s->lingerer_count && !s->dealt && now >= s->accept_again_ms)
        return INT64_MAX;
    /* A deadline set from now on may be nearer than any seen here: hence the tick. */
    return next - now < HTTP_TICK_MS ? next : now + HTTP_TICK_MS;
}

void *http_watchdog(void *arg)
{
    struct http_server *s = arg;
    int64_t now = http_now_ms(s), due = INT64_MAX; /* the next look at deadlines */

    while (!atomic_load(&s->watchdog_stop)) {
        struct pollfd fds[2 + HTTP_LINGER_MAX] = {{.fd = s->bell, .events = POLLIN},
                                                  {.fd = -1, .events = POLLIN}};
        int n = 2, ready;
        uint64_t count;

        pthread_mutex_lock(&s->lock);
        if (http_accepts_locked(s, now))
            fds[1].fd = s->socket.fd;
        for (size_t i = 0; i < s->lingerer_count; i++)
            fds[n++] = (struct pollfd){.fd = s->lingerers[i].fd, .events = POLLIN};
        pthread_mutex_unlock(&s->lock);
        ready = poll(fds, (nfds_t)n, due == INT64_MAX ? -1 : due > now ? (int)(due - now) : 0);
        if (fds[0].revents)
            (void)!read(s->bell, &count, sizeof count);

        now = http_now_ms(s);
        pthread_mutex_lock(&s->lock);
        if (fds[1].revents)
            (void)http_accept_locked(s, now); /* poll knows whether there are more */
        /* Not for new connections alone: a flood of them would have all others looked at each time. But from the
         * first one on somebody looks. */
        if (ready != 1 || !fds[1].revents || now >= due || due == INT64_MAX)
            due = look_locked(s, now);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ---- connections ----------------------------------------------------------------------------- */

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

struct peer *http_peer_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

gnutls_session_t http_tls_session(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info ? info->tls_session : NULL;
}

/* Whose connection it is. Of IPv6 the library knows the network alone: http_accept.c. */
static void read_address(struct peer *p)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(p->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *known = p->server->socket.is_unix ? NULL : info->client_addr;

    if (known && known->sa_family == AF_INET6 &&
        getpeername(p->fd, (struct sockaddr *)&own, &len) == 0)
        known = (struct sockaddr *)&own; /* else he is gone already */
    http_peer_normalise(known, &p->address);
    (void)http_peer_text((struct sockaddr *)&p->address, p->text);
}

static void connection_opened(struct http_server *s, struct MHD_Connection *conn, void **context)
{
    const union MHD_ConnectionInfo *info;
    struct peer *p = calloc(1, sizeof *p);
    gnutls_session_t tls = http_tls_session(conn);

    if (tls)
        gnutls_session_set_ptr(tls, p); /* the library uses it for shared keys (PSK) alone */
    if (!p)
        return; /* http_on_request_line then refuses */
    p->server = s;
    p->conn = conn;
    p->lane = lane_here(s);
    p->request.peer = p;
    /* The library would ask only for certificates of CAs that it is told; clients choose by that list, and
     * one that its owner made himself is on none. The handshake begins after this. */
    if (s->o.client_certificates && tls)
        http_tls_ask(tls);
    info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    p->fd = info->connect_fd;
    read_address(p);
    atomic_store(&p->watch, (http_now_ms(s) + s->o.head_deadline_ms) * 4 + PHASE_QUIET);
    *context = p;

    pthread_mutex_lock(&s->lock);
    atomic_store(&p->holds, HOLD_CONNECTION | (atomic_load(&s->closing) ? HOLD_CLOSING : 0u));
    p->next = s->peers;
    if (s->peers)
        s->peers->prev = p;
    s->peers = p;
    s->peer_count++;
    http_opened_locked(s);
    pthread_mutex_unlock(&s->lock);
}

static void connection_closed(struct http_server *s, struct peer *p)
{
    /* The library forgets to say that a request ended when it cannot even refuse it. */
    if (p->request.stage != STAGE_IDLE)
        http_request_end(&p->request);
    pthread_mutex_lock(&s->lock);
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    s->requests_before += atomic_load_explicit(&p->requests, memory_order_relaxed);
    http_closed_locked(s);
    pthread_mutex_unlock(&s->lock); /* the watchdog has lost sight of p->fd, which is closed next */
    http_hold_end(p, HOLD_CONNECTION, NULL);
}

void http_on_connection(void *cls, struct MHD_Connection *conn, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        connection_opened(cls, conn, context);
    else if (*context)
        connection_closed(cls, *context);
}
