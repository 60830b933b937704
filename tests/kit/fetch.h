/* fetch.h - one plain HTTP/1.1 request over a socket of its own, for tests.
 *
 * Independent of rest.c and libcurl on purpose: a test of either must not see the far side through
 * itself. Speaks to "http://ADDRESS:PORT/path" and "unix:/run/socket:/path".
 */
#ifndef KIT_FETCH_H
#define KIT_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetched {
    int status; /* 0: no answer (see why) */
    char *head; /* status line and headers as received, NUL-terminated; may be NULL */
    char *body; /* NUL-terminated; never NULL after fetch */
    size_t body_len;
    bool complete;   /* as long as Content-Length said, and nothing after it */
    int64_t sent_us; /* CLOCK_MONOTONIC when it was written to the connected socket; 0: never */
    char why[120];   /* what went wrong at the socket; "" when nothing did */
};

/**
 * Sends and reads until the answer is complete, the peer closes, or timeout_ms have passed.
 * headers: "Name: value" strings, NULL-terminated, may be NULL; Host, Connection: close and (with a body)
 * Content-Length are added. body NULL: none. Any thread. Fills f; true when an answer with a status came.
 */
bool fetch(struct fetched *f, const char *method, const char *url, const char *const *headers,
           const char *body, size_t body_len, int64_t timeout_ms);
/** The first value of a header of f->head, without case; copied into out; NULL when absent. */
const char *fetched_header(const struct fetched *f, const char *name, char *out, size_t out_size);
void fetched_clear(struct fetched *f);

#endif
