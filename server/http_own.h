/* http_own.h - what the rooms of the HTTP server share, and nobody else sees: a connection, its request, the server.
 *
 *     http.c           opens and stops a server
 *     http_accept.c    takes connections, and deals them out to the pool threads
 *     http_peer.c      who is connected, and who is too slow
 *     http_exchange.c  what the library calls: a request from its first line to the end of its answer
 *     http_reply.c     answers: copied, queued, or sent past the library
 *     http_request.c   what handlers see of a request
 *
 * Threads. The library's pool calls us (http_on_*); any thread may call http_reply for a deferred request;
 * one watchdog thread of ours takes new ones and ends peers that are too slow. Per connection there is one struct peer,
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
 */
#ifndef CORDON_HTTP_OWN_H
#define CORDON_HTTP_OWN_H

#include "http.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "buf.h"
#include "http_guard.h"
#include "http_socket.h"
#include "http_tls.h"

/* Body and answer buffers up to this size stay with the connection for its next request. */
#define HTTP_KEEP_MAX (16 * 1024)
/* After an early answer the peer may still be sending; closing at once would reset the connection, and
 * the reset can overtake the answer. So a few sockets are drained for a while first. */
#define HTTP_LINGER_MAX 64
#define HTTP_LINGER_MS  2000

/* The library's memory per connection beyond the head: its records of 56 bytes per header and query argument, which lie 64
 * apart, and the head of our answer. */
#define HTTP_POOL_EXTRA  (8 * 1024)
#define HTTP_RECORD      64
#define HTTP_ANSWER_ROOM (3 * 1024 / 2)

/* The watchdog's turn: what it enforces happens at most this late. */
#define HTTP_TICK_MS 250

#define HTTP_PROBLEM_TYPE "application/problem+json"

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

/* What the library made of a connection's last answer, for the next one that differs from it in the bytes of its body
 * alone: a dozen allocations that are not made again. */
struct made {
    struct MHD_Response *response; /* NULL: none */
    const char *body;              /* where it takes the bytes from when it is sent */
    size_t body_len;
    bool close;
    char head[128]; /* type and headers, as they stand in reply_bytes */
    size_t head_len;
};

struct http_request {
    struct peer *peer;
    enum stage stage;
    _Atomic int deferral;
    bool suspended; /* by http_defer; pool thread only */
    bool answered;  /* reply is filled; pool thread, or the replier until it moves deferral */
    bool in_head, in_body;

    struct http_guard guard;
    const char *method;
    char *target;      /* path NUL query NUL, as sent; behind it: */
    char *authority;   /* "http://host" of a target in absolute form; else NULL */
    size_t target_len; /* of path and query */
    size_t target_room;
    const char *query;
    const char *line_end; /* where the headers must begin; see look_at_head */
    size_t kept;          /* bytes that the library keeps: head, trailers, and a record of each */
    int64_t received_ms;

    char *body;
    size_t body_len, body_room, body_max, swallowed;
    _Atomic int64_t body_counted; /* of body_room, in the server's `bodies` */

    struct arena *arena;
    void *data;

    struct http_answer reply;          /* strings in reply_bytes, or static */
    char *reply_bytes;                 /* the body, and behind it type and headers */
    size_t reply_room, reply_head_len; /* of type and headers; 0: they are static */
    struct made made;

    struct http_request *next_ring; /* on its lane's list */
    bool rings;                     /* the replier resumes this one itself */

    size_t header_count;
    struct header headers[HTTP_HEADERS_MAX]; /* last: what is touched per request stays together */
};

/* One thread of the pool. */
struct lane {
    _Atomic(struct http_request *) rung; /* replied requests that nobody resumed yet */
    int64_t waited_ms, waited_at; /* what it owes for its waits, and as of when (monotonic) */
    char apart[64 - sizeof(void *) - 2 * sizeof(int64_t)]; /* lanes do not share a cache line */
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
    bool tls;
    struct http_tls_pair *pair; /* under lock: for handshakes from now on */
    pthread_t opener; /* the thread that began it: the library's messages in it are kept in why */
    char why[200];
    struct lane *lanes;
    atomic_uint lanes_used;

    pthread_mutex_t
        lock; /* of what follows, up to lingerers; of the handler it sees refused() alone */
    pthread_cond_t gone; /* a connection was closed while the server stops; monotonic clock */
    struct peer *peers;
    int64_t peer_count, requests_before; /* requests of connections that are gone */
    bool accepting;
    int64_t dealt, dealt_ms; /* given to the library, not opened yet; since when there are any */
    int64_t accept_again_ms;
    int64_t refused, refused_said_ms; /* connections not kept that no line told of yet */
    struct lingerer lingerers[HTTP_LINGER_MAX];
    size_t lingerer_count;

    _Atomic int64_t bodies; /* bytes, of requests under way */

    atomic_bool quiesced, closing, abandoning;
    sem_t replied, sent; /* posted per hold that ends after HOLD_CLOSING */

    pthread_t watchdog;
    bool watchdog_runs;
    int bell; /* eventfd that wakes the watchdog */
    atomic_bool watchdog_stop;
};

/* ---- http_accept.c ----------------------------------------------------------------------------- */
/* Within the server's lock. now: mono ms. */

/** Is there room for another connection? */
bool http_accepts_locked(struct http_server *s, int64_t now);
/** Where all places are taken and somebody knocks: ends those that have been silent longest since their last answer. Who
 *  keeps connections for later, many of them from two addresses, keeps nobody out. */
void http_make_room_locked(struct http_server *s, int64_t now);
/** Takes a turn's worth of the connections that wait, and deals them out; true: there may be more. */
bool http_accept_locked(struct http_server *s, int64_t now);
/** One that was dealt out is open. */
void http_opened_locked(struct http_server *s);
/** One of the peers is gone. */
void http_closed_locked(struct http_server *s);

/* ---- http_peer.c ------------------------------------------------------------------------------- */

/** Starts an exchange and its replier's part, unless the server is closing. */
bool http_hold_exchange(struct peer *p);
/** Ends one hold; p may be gone afterwards. done: posted when the server waits for this hold; NULL: it
 *  does not. */
void http_hold_end(struct peer *p, unsigned hold, sem_t *done);

int64_t http_now_ms(const struct http_server *s);
/** Bytes that the bodies of p's address take, of all its connections. 0: a Unix socket has no addresses. */
int64_t http_bodies_of(const struct peer *p);
/** Sets what the watchdog waits for; false when it has ended the connection already. */
bool http_watch_set(struct peer *p, int64_t watch);
bool http_watch_until(struct peer *p, int64_t deadline_ms, enum phase phase);
/** Hands the socket, whose answer is out, to the watchdog, which drains it for a while. */
void http_linger(struct peer *p);
/** Tells the server's user what was refused before a handler saw it. */
void http_tell_refusal(const struct peer *p, unsigned status, const char *why);
void http_ring_bell(struct http_server *s);
/** The watchdog's thread; arg: the server. */
void *http_watchdog(void *arg);

/** NULL: there was no memory for it. */
struct peer *http_peer_of(struct MHD_Connection *conn);
/** NULL: plain. */
gnutls_session_t http_tls_session(struct MHD_Connection *conn);
/** MHD_OPTION_NOTIFY_CONNECTION. */
void http_on_connection(void *cls, struct MHD_Connection *conn, void **context,
                        enum MHD_ConnectionNotificationCode what);

/* ---- http_exchange.c --------------------------------------------------------------------------- */

/** MHD_OPTION_URI_LOG_CALLBACK: the request line is complete. What it returns is the request's context. */
void *http_on_request_line(void *cls, const char *target, struct MHD_Connection *conn);
/** MHD_OPTION_UNESCAPE_CALLBACK. The target is kept as sent (routing on a decoded path is how `..%2f` gets past a
 *  proxy). */
size_t http_on_unescape(void *cls, struct MHD_Connection *conn, char *text);
/** The access handler: called once with the head, for each piece of the body, and once at the end. */
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_len, void **context);
/** MHD_OPTION_NOTIFY_COMPLETED. */
void http_on_completed(void *cls, struct MHD_Connection *conn, void **context,
                       enum MHD_RequestTerminationCode why);
/** Makes the request ready for the next one on this connection. */
void http_request_end(struct http_request *r);
/** Gives back what the library made of its last answer. */
void http_forget_made(struct http_request *r);

/* ---- http_reply.c ------------------------------------------------------------------------------ */

/** Makes *room at least want by doubling; false without memory. */
bool http_grow(char **bytes, size_t *room, size_t want, size_t first);
/** Gives back what is more than a connection keeps. */
void http_shrink(char **bytes, size_t *room);

/** Resumes what others left on the list of this pool thread. */
void http_resume_rung(struct lane *lane);
/** Sends r's reply now, whatever of the body is still to come: what the connection takes within wait_ms, for which the
 *  thread waits; of all that is asked for no more than a tenth of its time. The caller closes the connection. */
void http_answer_past(struct http_request *r, int64_t wait_ms);
/** The same with a problem document, for a request that no handler has seen. */
void http_problem_past(struct peer *p, unsigned status, const char *detail);
/** Finds the library's own queueing function, which ours hides (MHD_queue_response); false: there is none. */
bool http_find_queue(void);
/** Queues an answer of ours with it. */
enum MHD_Result http_queue(struct MHD_Connection *conn, unsigned status,
                           struct MHD_Response *response);

#endif
