/* http.h - the HTTP server both sides stand on; the only room that knows libmicrohttpd.
 *
 * It closes the library's gaps (library-traps.md, libmicrohttpd): requests that a proxy in front might
 * read otherwise are refused with 400 and `Connection: close`, a connection ends with a chunked body, heads and
 * bodies have absolute deadlines, a body meets its limit before memory is taken, no answer names libraries.
 *
 * One request, two calls: http_handler.head when the head is complete (and is sane), so that a
 * credential in a header is checked before a body is read; then http_handler.body with the whole
 * body. Either may answer at once (http_reply). The second may instead http_defer, hand the request
 * over to another thread, and have that one call http_reply later: the connection is suspended and
 * no HTTP thread waits. Exactly one http_reply per request.
 */
#ifndef CORDON_HTTP_H
#define CORDON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "arena.h"
#include "clock.h"
#include "err.h"

struct http_server;  /* opaque */
struct http_request; /* opaque; lives from head() until its answer is sent or the peer is gone */

enum http_next {
    HTTP_GO_ON,   /* head(): read the body, then call body() */
    HTTP_ANSWERED /* http_reply was called; body() will not be */
};

struct http_handler {
    /* Threads: the server's pool. ctx: from http_options. May set *ret_body_max (bytes; starts at
     * options.max_body) for this request. Answers here should be those that need no body (401, 404,
     * 405, 415): a short body is then read past and the connection kept, else it is closed. */
    enum http_next (*head)(struct http_request *r, void *ctx, size_t *ret_body_max);
    void (*body)(struct http_request *r, void *ctx); /* must reply or defer before it returns */
    /* May be NULL. The server has refused a request by itself (malformed, too large, too late, stopping):
     * for a log line and a count. peer, why: borrowed. Any of the server's threads, maybe within a
     * lock of its own: must be quick and must not call http_*. */
    void (*refused)(void *ctx, unsigned status, const char *peer, const char *why);
};

struct http_options {
    const char *address; /* "127.0.0.1:8080", "[::]:8443", "unix:/path", port 0: any free one */
    int handed_over;     /* a socket that listens there already (handover.h), taken over; 0: none */
    const char *certificate_file, *key_file; /* both or neither; PEM; TLS 1.2 and newer */
    bool client_certificates; /* asks for them in the first handshake; demands none; needs TLS */
    size_t max_body;          /* bytes; larger: 413 */
    size_t max_head;          /* bytes of request line and headers; larger: 431 */
    /* Bytes that the bodies of all connections may take together; what would be more is answered 503 with
     * Retry-After, but for bodies so small that the connections bound them anyway (16 KiB). One address (IPv6: its /64) gets
     * half of it at most, a Unix socket all. 0: any number. */
    size_t max_bodies;
    /* Absolute, however busy the peer is: the head from the accept (or, on a kept connection, from
     * its request line, which must be there idle_ms + head_deadline_ms after the last answer), the
     * body from the end of the head, the answer from its beginning. Late: 408 or a close. */
    int64_t head_deadline_ms, body_deadline_ms;
    /* Silence after which a connection is closed, in whole seconds; a deferred request is not silent. */
    int64_t idle_ms;
    unsigned threads; /* pool size */
    /* More of them wait in the kernel's queue, for a moment where there are some to give way: those that have been silent
     * for a second or longer since their last answer, the longest first. */
    unsigned max_connections;
    unsigned max_connections_per_ip; /* IPv6: per /64; more are closed at once; 0: any number */
    bool begin_later; /* connections wait in the kernel's queue until http_server_begin */
    struct http_handler handler;
    void *ctx; /* passed to handler, borrowed */
    const struct clock *clock;
};

/**
 * Listens and serves (begin_later: listens). Every number of o but max_connections_per_ip must be above 0; o is copied, its
 * clock and ctx are borrowed until http_server_free.
 * Returns ERR_INVALID for a bad address or certificate, ERR_IO when the port is taken.
 */
enum err_code http_server_open(const struct http_options *o, struct http_server **ret,
                               struct err *e);
/** For a server that was opened with begin_later: serves from now on. ERR_IO when the library does not start,
 *  for want of memory or threads: what the address or the certificate may lack was found by http_server_open. */
enum err_code http_server_begin(struct http_server *s, struct err *e);
/** The bound address as "127.0.0.1:43121", "[::1]:8443" or "unix:/path"; borrowed. */
const char *http_server_address(const struct http_server *s);
/**
 * Reads a certificate and its key in place of those in use: whoever connects from now on is shown them,
 * connections that stand go on. When something is wrong with them nothing changes. The server must have been
 * opened with TLS. Any thread. Returns as http_server_open.
 */
enum err_code http_server_use_certificate(struct http_server *s, const char *certificate_file,
                                          const char *key_file, struct err *e);
/** When the certificate in use ends, wall ms; 0: no TLS. Any thread. */
int64_t http_server_certificate_end_ms(const struct http_server *s);
/** Connections open now, requests since start. Any thread. */
void http_server_counts(const struct http_server *s, int64_t *ret_connections,
                        int64_t *ret_requests);
/** Bytes that bodies take now, over all connections. Any thread. */
int64_t http_server_bodies(const struct http_server *s);
/** And so many may they take; 0: any number. */
int64_t http_server_bodies_limit(const struct http_server *s);
/** So many connections may be open; more wait in the kernel's queue. */
unsigned http_server_limit(const struct http_server *s);
/** Stops accepting new connections; requests under way go on, and each connection ends with its next answer. */
void http_server_quiesce(struct http_server *s);
/**
 * Stops accepting, answers new requests on open connections with 503, waits until the requests that
 * were taken are answered (at most deadline_ms), gives up those still deferred (their peers see a
 * close; a later http_reply for them is allowed and does nothing). A connection that waits for its first or
 * next request has half a second (at most deadline_ms) to send it and read the 503: what is on its way meets
 * an answer, not a reset. Then stops and frees. Waits longer only for a handler that does not return. NULL is
 * fine. Not from the server's own threads.
 */
void http_server_free(struct http_server *s, int64_t deadline_ms);

/* ---- a request ------------------------------------------------------------------------------- */
/* From http_defer on, the thread that will reply may use http_path, http_query, http_body, http_peer,
 * http_received_ms, http_arena, http_data and the reply functions, after http_keep_head also http_method
 * and http_header; all else belongs to head() and body(). */

const char *http_method(const struct http_request *r);
/** The raw path as sent, before '?', without any decoding; starts with '/'. */
const char *http_path(const struct http_request *r);
/** The raw query after '?', or "". */
const char *http_query(const struct http_request *r);
/** One decoded query parameter, which is UTF-8; NULL when absent, given twice or badly encoded. Arena memory. */
const char *http_query_param(struct http_request *r, const char *name);
/** Whether it is absent or can be read: false when it is given twice or is badly encoded (holds a NUL, is no UTF-8),
 *  for which http_query_param gives NULL as well. */
bool http_query_readable(struct http_request *r, const char *name);
/** The same of a body that is a form (application/x-www-form-urlencoded): in body() and until the reply. */
const char *http_form_param(struct http_request *r, const char *name);
/** The same of a field of such a body. */
bool http_form_readable(struct http_request *r, const char *name);
/** A header's first value (name without case), or NULL. *ret_count: how often it occurs; may be NULL. */
const char *http_header(const struct http_request *r, const char *name, unsigned *ret_count);
/** Its n-th value, from 0, in the order received; NULL when there are no more. */
const char *http_header_at(const struct http_request *r, const char *name, unsigned n);
/** The bytes of the body as received; valid in body() and until the reply. */
const char *http_body(const struct http_request *r, size_t *ret_len);
/** The peer's address as text without port ("203.0.113.7", "unix"). */
const char *http_peer(const struct http_request *r);
const struct sockaddr *http_peer_sockaddr(const struct http_request *r);
/** Wall clock ms when the head was complete: read once per request. */
int64_t http_received_ms(const struct http_request *r);
/**
 * The certificates that the peer showed, DER, one after the other, its own first; NULL without any. The
 * handshake proved that it holds its own certificate's key and nothing else: who issued it, for whom, for
 * what and until when is for the caller to judge. They live as long as the request; from head() and body() only.
 * False: out of memory, so that nobody knows what it showed; *ret is NULL then.
 */
bool http_client_certificates(struct http_request *r, const unsigned char **ret, size_t *ret_len);
/** Memory that lives as long as the request. NULL when out of memory. */
struct arena *http_arena(struct http_request *r);
/** One pointer for the handler's own use between head(), body() and the reply. */
void http_set_data(struct http_request *r, void *data);
void *http_data(const struct http_request *r);

/* ---- its answer ------------------------------------------------------------------------------- */

struct http_answer {
    unsigned status;
    const char *content_type; /* NULL: no body */
    const char *body;         /* copied */
    size_t body_len;
    struct {
        const char *name, *value; /* copied; NULL name ends the list */
    } headers[8];
    bool close; /* Connection: close */
};

/** Copies what http_method and http_header give into the arena, so that they too may be used by the thread
 *  that will reply: before http_defer, which may take the library's memory away. false: out of memory. */
bool http_keep_head(struct http_request *r);
/** Suspends the connection: from now on any thread may call http_reply. Only within body(), before the
 * request is handed over; the handler must not touch r after it handed it over. */
void http_defer(struct http_request *r);
/** Answers; all of *a is copied. Any thread after http_defer, else the handler's own. r is gone when this
 * returns. Never fails: without memory, or with a header that holds a line break, a 5xx goes out. A 503 without
 * a Retry-After gets one of a few seconds. */
void http_reply(struct http_request *r, const struct http_answer *a);
/**
 * Answers with an RFC 9457 problem (application/problem+json): type, title (the status's phrase),
 * status, detail. extra: headers, NULL name ends; may be NULL. Adds Cache-Control: no-store.
 */
void http_reply_problem(struct http_request *r, unsigned status, const char *detail,
                        const char *const extra[][2]);
/** "Not Found" for 404; static storage. */
const char *http_status_phrase(unsigned status);

#endif
