/* peer.h - a scripted HTTP server on loopback: says what the test wrote, records what it was asked.
 *
 * Answers are looked up by method and target, first written first used, because requests that leave
 * side by side arrive in any order. A request that nothing matches gets status 599. Nothing here
 * sleeps: waiting is for a request, for a number of requests, or for the far side's close.
 */
#ifndef CORDON_KIT_PEER_H
#define CORDON_KIT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum peer_act {
    PEER_ANSWER,
    PEER_CLOSE, /* closes without a word */
    PEER_RESET, /* the same with RST */
    PEER_HANG   /* says nothing, or with `cut` no more than that, until the far side gives up */
};

struct peer_answer {
    const char *method; /* NULL: any */
    const char *target; /* the request's path and query begin so; NULL: any */
    unsigned times;     /* how often it may be used; 0: for ever */
    enum peer_act act;
    int status;
    const char *headers; /* complete lines, each with CRLF; or NULL */
    const char *body;    /* with a Content-Length; NULL: none */
    const char *raw;     /* instead of the last three: these bytes, then close */
    size_t cut;          /* not 0: only so many bytes of the answer, then close */
    unsigned gather;     /* wait until so many requests have been recorded, then answer */
    bool close;          /* close after the answer */
};

struct peer_request {
    char *method, *target;
    char *head; /* request line and headers as received, CRLF and all, without the empty line */
    char *body;
    size_t body_len;
    unsigned connection; /* counts from 1 */
    int64_t seen_ns;     /* CLOCK_MONOTONIC when the head was complete */
};

struct peer;

/* tls: NULL for plain http; borrowed. */
struct peer *peer_new(struct wire_tls *tls);
void peer_free(struct peer *p);
/* "http://127.0.0.1:PORT" or https; borrowed. */
const char *peer_url(const struct peer *p);
unsigned peer_port(const struct peer *p);

/* Says what the answer to a request is, in the thread of its connection; several at once when requests leave side by
 * side. ret: {0}; its body, if any, is from malloc and the peer's then. */
typedef void (*peer_fn)(void *ctx, const struct peer_request *q, struct peer_answer *ret);
/* From now on every request is answered by fn, and none is recorded. Before the first one. */
void peer_answer_by(struct peer *p, peer_fn fn, void *ctx);

/* Adds an answer; texts are borrowed until peer_forget or peer_free. */
void peer_script(struct peer *p, const struct peer_answer *a);
/* Drops script and records; connections stay. */
void peer_forget(struct peer *p);

size_t peer_count(struct peer *p);
/* The i-th request since the last peer_forget; waits for it, at most 20 s (then NULL). */
const struct peer_request *peer_request(struct peer *p, size_t i);
/* The only request whose target begins so; NULL when there is none or more than one. */
const struct peer_request *peer_request_for(struct peer *p, const char *target);
/* Value of a header, name without case; NULL when absent. Static memory, one per thread. */
const char *peer_header(const struct peer_request *r, const char *name);

#endif
