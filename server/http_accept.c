/* http_accept.c - takes connections and deals them out to the pool threads. See http_own.h.
 *
 * Left to the library, each pool thread takes what it finds when it looks, and who looks more often has three times the
 * other's connections, until it is what everybody waits for. The library deals those that it is given by the number of
 * their descriptor, which is about by turns. 256 senders on two cores: 5 % more through, p99 11.3 ms instead of
 * 12.5; 64 senders: 5 % (medians of 12 and 10 pairs). And it is known here, and nowhere else, when the last one
 * has been taken.
 */
#include "http_own.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"

/* In one turn: others wait for the watchdog, too. */
#define ACCEPT_MAX 64

/* Pool threads open at once what they are given. Where some are out for so long, some never will be: there was no
 * memory for them, and the library does not say so. */
#define OPEN_WITHIN_MS (10 * SECOND_MS)

/* Who was silent for so long between two requests gives way where all places are taken, so many in one turn. */
#define GIVE_WAY_MS  SECOND_MS
#define GIVE_WAY_MAX 64

/* A line about connections that were not kept, once in so long. */
#define REFUSALS_EVERY_MS (60 * SECOND_MS)

static bool is_full(const struct http_server *s)
{
    return s->peer_count + s->dealt >= (int64_t)s->o.max_connections;
}

bool http_accepts_locked(struct http_server *s, int64_t now)
{
    if (s->dealt && now >= s->dealt_ms + OPEN_WITHIN_MS)
        s->dealt = 0;
    return s->accepting && !is_full(s) && now >= s->accept_again_ms;
}

void http_opened_locked(struct http_server *s)
{
    if (s->dealt)
        s->dealt--;
}

void http_closed_locked(struct http_server *s)
{
    bool was_full = is_full(s);

    s->peer_count--;
    if (was_full)
        http_ring_bell(s);
    if (atomic_load_explicit(&s->closing, memory_order_relaxed))
        pthread_cond_signal(&s->gone);
}

/* ---- room ------------------------------------------------------------------------------------ */

/* For how long p has been silent since its last answer; -1: something is under way on it, or was never. */
static int64_t silent_ms(const struct peer *p, int64_t watch, int64_t now)
{
    const struct http_options *o = &p->server->o;
    int64_t silent;

    if (watch == WATCH_NONE || watch == WATCH_KILLED || watch % 4 != PHASE_QUIET ||
        !atomic_load_explicit(&p->requests, memory_order_relaxed))
        return -1;
    silent = now - (watch / 4 - o->idle_ms - o->head_deadline_ms);
    return silent > o->idle_ms ? -1
                               : silent; /* longer: its answer is out, and it is being drained */
}

/* Has p's next request arrived, or the beginning of it, and its pool thread is too busy to have read it? */
static bool has_unread(const struct peer *p)
{
    char first;

    return recv(p->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool somebody_knocks(const struct http_server *s)
{
    struct pollfd knock = {.fd = s->socket.fd, .events = POLLIN};

    return poll(&knock, 1, 0) == 1 && (knock.revents & POLLIN);
}

void http_make_room_locked(struct http_server *s, int64_t now)
{
    int64_t longest = 0;
    int n = 0;

    if (!s->accepting || !is_full(s) || !somebody_knocks(s))
        return;
    for (const struct peer *p = s->peers; p; p = p->next) {
        int64_t silent = silent_ms(p, atomic_load_explicit(&p->watch, memory_order_acquire), now);

        if (silent > longest && !has_unread(p)) /* nobody waits for one that does not give way */
            longest = silent;
    }
    if (longest < GIVE_WAY_MS)
        return;
    for (struct peer *p = s->peers; p && n < GIVE_WAY_MAX; p = p->next) {
        int64_t watch = atomic_load_explicit(&p->watch, memory_order_acquire);

        if (silent_ms(p, watch, now) >= (longest + GIVE_WAY_MS) / 2 && !has_unread(p) &&
            atomic_compare_exchange_strong(&p->watch, &watch, WATCH_KILLED)) {
            (void)shutdown(p->fd, SHUT_RDWR); /* its pool thread sees the end and closes */
            n++;
        }
    }
}

/* ---- taking them ----------------------------------------------------------------------------- */

/* Counts a connection that was not kept, and says so now and then: who floods us does not fill the disk. peer NULL: it
 * could not even be seen whose it is. */
static void refused_locked(struct http_server *s, const struct sockaddr_storage *peer,
                           const char *why, int64_t now)
{
    char text[HTTP_PEER_TEXT_SIZE];

    s->refused++;
    if (s->refused_said_ms && now < s->refused_said_ms + REFUSALS_EVERY_MS)
        return;
    s->refused_said_ms = now;
    log_event(LOG_WARN, "connections_refused", LOG_STR("listen", s->socket.address),
              LOG_INT("count", s->refused),
              LOG_STR("peer", peer ? http_peer_text((const struct sockaddr *)peer, text) : NULL),
              LOG_STR("why", why));
    s->refused = 0;
}

bool http_accept_locked(struct http_server *s, int64_t now)
{
    for (int i = 0; i < ACCEPT_MAX && http_accepts_locked(s, now); i++) {
        struct sockaddr_storage peer = {0}, counted;
        socklen_t len = sizeof peer;
        int fd =
            accept4(s->socket.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN) {
                refused_locked(s, NULL, strerror(errno), now);
                s->accept_again_ms = now + HTTP_TICK_MS; /* it stays readable meanwhile */
            }
            return false;
        }
        if (!s->dealt++)
            s->dealt_ms = now;
        counted = peer; /* by what the library is told it counts those of an address */
        http_peer_network(&counted);
        if (MHD_add_connection(s->daemon, fd, (struct sockaddr *)&counted, len) != MHD_YES) {
            s->dealt--; /* it has closed fd */
            refused_locked(s, &peer,
                           errno == ENFILE ? "this address has as many connections as it may"
                                           : strerror(errno),
                           now);
        }
    }
    return http_accepts_locked(s, now);
}
