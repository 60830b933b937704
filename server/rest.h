/* rest.h - outgoing HTTP (and SMTP over implicit TLS); the only room that knows libcurl.
 *
 * One thread drives one curl multi handle, so all callers share one pool of connections. Callers start
 * any number of calls and wait for each (so an alert, a machine and its actions are read side by
 * side); waiting holds the caller's thread, never a lock. Redirects are never followed; only https,
 * and http to loopback; an answer meets its size limit while it arrives.
 */
#ifndef CORDON_REST_H
#define CORDON_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "err.h"

struct rest;      /* the thread and its connections */
struct rest_call; /* one request under way */

struct rest_options {
    const char *user_agent;   /* NULL: "cordon" */
    const char *ca_file;      /* extra PEM roots for every call; NULL: the system's */
    int64_t connect_ms;       /* 10 s: defender-api.md section 7.6 */
    size_t max_answer;        /* bytes of a body; larger is ERR_TOO_BIG */
};

struct rest_request {
    const char *method;            /* "GET", "POST" … */
    const char *url;               /* absolute; ids in it already encoded (rest_encode) */
    const char *headers[12];       /* "Name: value"; NULL ends the list early */
    const char *body;              /* NULL: none */
    size_t body_len;
    int64_t timeout_ms;            /* whole call; 60 s where nobody says otherwise */
};

struct rest_answer {
    long status;           /* HTTP status; 0 when no answer came */
    char *body;            /* NUL-terminated, owned by the answer */
    size_t body_len;
    char *content_type;    /* may be NULL */
    int64_t retry_ms;      /* Retry-After in ms (seconds or a date); 0: absent */
};

enum err_code rest_new(const struct rest_options *o, struct rest **ret, struct err *e);
/** Ends calls under way with ERR_STOPPING, joins the thread. NULL is fine. */
void rest_free(struct rest *r);
AUTO_FREEP(struct rest, rest)

/** Starts a call; everything in q is copied. *ret_call must be given to rest_wait exactly once. */
enum err_code rest_start(struct rest *r, const struct rest_request *q, struct rest_call **ret_call,
                         struct err *e);
/**
 * Waits for a call and frees it. ERR_OK means that an HTTP answer came, of whatever status; *ret is
 * then to be given to rest_answer_clear.
 * Otherwise: ERR_AGAIN  no connection, name not found, TLS failed: the request never left;
 *            ERR_UNKNOWN the request may have arrived (timeout, reset, cut answer), for every method;
 *            ERR_TOO_BIG, ERR_INVALID (url), ERR_STOPPING, ERR_NOMEM.
 */
enum err_code rest_wait(struct rest_call *call, struct rest_answer *ret, struct err *e);
/** rest_start and rest_wait in one. */
enum err_code rest_do(struct rest *r, const struct rest_request *q, struct rest_answer *ret,
                      struct err *e);
void rest_answer_clear(struct rest_answer *a);

/** Percent-encodes all but RFC 3986 unreserved characters; heap, NULL when out of memory. */
char *rest_encode(const char *text);
/** true for http(s) URLs that rest_start would take (https anywhere, http on loopback only). */
bool rest_url_ok(const char *url);

#endif
