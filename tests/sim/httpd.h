/* httpd.h - the simulator's HTTP/1.1 server, down to the bytes.
 *
 * Its own and not server/http.h for two reasons: a far side that shares the server's code shares its
 * bugs, and the faults that matter most (a reset after the request took effect, a body shorter than its
 * Content-Length) cannot be had from a library that means well. It runs in the loop's thread; requests
 * of one connection are served one after the other.
 */
#ifndef SIM_HTTPD_H
#define SIM_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"

#define HTTPD_HEAD_MAX    (64 * 1024) /* bytes; longer: 431. Tokens of real size fit easily */
#define HTTPD_BODY_MAX    (16 * 1024 * 1024) /* bytes; longer: 413 */
#define HTTPD_HEADERS_MAX 64

struct httpd;      /* a listening server */
struct httpd_conn; /* a connection; httpd.c's own */

struct httpd_header {
    const char *name, *value;
};

/* One request. Lives until httpd_reply, httpd_drop or httpd_hang; outlives its connection. */
struct httpd_request {
    const char *method, *path, *query; /* raw; path starts with '/', query is "" when absent */
    struct httpd_header headers[HTTPD_HEADERS_MAX];
    size_t n_headers;
    char *body; /* NUL after its last byte; never NULL */
    size_t body_len;
    int64_t arrived_us; /* loop_now_us when its last byte was here */
    bool keep_alive;
    struct httpd_conn *conn; /* NULL: the peer is gone */
    char *head;              /* memory of the strings above */
};

enum httpd_end {
    HTTPD_KEEP,  /* keep-alive, as HTTP says */
    HTTPD_CLOSE, /* orderly */
    HTTPD_RESET  /* TCP reset */
};

struct httpd_answer {
    unsigned status;
    const char *type;                /* Content-Type; NULL: none */
    struct httpd_header headers[12]; /* name NULL ends */
    const char *body;
    size_t body_len;
    int64_t content_length; /* -1: body_len; else what the header is to claim */
    int64_t drip_us;        /* > 0: one byte at a time, this far apart */
    enum httpd_end end;
};

typedef void (*httpd_fn)(struct httpd_request *q, void *ctx);

/** Listens on "127.0.0.1:0", "[::1]:0" … and calls fn for each request, in the loop. */
enum err_code httpd_open(struct loop *l, const char *address, httpd_fn fn, void *ctx,
                         struct httpd **ret, struct err *e);
/** "127.0.0.1:43121"; borrowed. */
const char *httpd_address(const struct httpd *w);
/** Closes every connection. Requests not answered yet are freed. NULL is fine. */
void httpd_free(struct httpd *w);

/** First value of a header, name without case; NULL when absent. */
const char *httpd_header(const struct httpd_request *q, const char *name);
/** Answers and ends q; a peer that is gone is no error. a is copied. */
void httpd_reply(struct httpd_request *q, const struct httpd_answer *a);
/** Ends the connection without an answer (HTTPD_CLOSE or HTTPD_RESET), and q. */
void httpd_drop(struct httpd_request *q, enum httpd_end end);
/** Never answers: q ends when the peer gives up, or with the server. */
void httpd_hang(struct httpd_request *q);

/** Binds and listens, non-blocking; writes the bound address. Used by the SMTP sink too. */
enum err_code httpd_listen(const char *address, int *ret_fd, char *ret_address, size_t size,
                           struct err *e);

#endif
