/* rest.h - outgoing HTTP (and SMTP submission over TLS); the only room that knows libcurl.
 *
 * One thread drives one curl multi handle, so all callers share one pool of connections (mails have
 * threads to themselves: a slow mail server holds nobody else up). Callers start
 * any number of calls and wait for each (so an alert, a machine and its actions are read side
 * by side); waiting holds the caller's thread, never a lock. Redirects are never followed; only https,
 * and http to loopback (127.0.0.0/8, ::1, localhost); certificates are always verified; an answer
 * meets its size limit while it arrives. The environment is not read: no http_proxy, no netrc.
 *
 * Mail: a request whose url is `smtps://host[:465]` (implicit TLS) or `smtp://host[:587]` (STARTTLS
 * demanded; on loopback used where offered) submits body as one message to one recipient. Its answer
 * carries the SMTP reply that settled the recipient's fate: see rest_answer.
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
    const char *user_agent; /* NULL: "cordon" */
    const char *ca_file;    /* extra PEM roots for every call, beside the system's; NULL: none.
                                 Read once, by rest_new */
    int64_t connect_ms;     /* 0: 10 s, defender-api.md section 7.6 */
    size_t max_answer;      /* bytes of a body; larger is ERR_TOO_BIG. 0: 8 MiB */
    /* "http://proxy:3128" for https calls that leave this host; NULL: none. Plain http (loopback, instance metadata)
     * and mail never use it */
    const char *https_proxy;
    const char *no_proxy; /* hosts reached directly, comma-separated, as curl reads it; or NULL */
};

/** Fills in the proxy that the environment names for https calls: https_proxy or all_proxy, also in capitals, and no_proxy; an
 *  empty one is none. The texts are the environment's. */
void rest_proxy_of_environment(struct rest_options *o);

#define REST_HEADERS_MAX 12

struct rest_request {
    const char *method;                    /* "GET", "POST" …; ignored for mail */
    const char *url;                       /* absolute; ids in it already encoded (rest_encode) */
    const char *headers[REST_HEADERS_MAX]; /* "Name: value"; NULL ends the list early */
    const char *body;                      /* NULL: none. Mail: the message, CRLF line ends only */
    size_t body_len;
    int64_t timeout_ms; /* whole call; 0: 60 s, defender-api.md section 7.6 */
    /* clock_boot_ms(): what has not left by then (the process was stopped, or the connection took its time) never
     * does: ERR_AGAIN. 0: no such time */
    int64_t leave_by_ms;
    int64_t connect_ms; /* 0: rest_options.connect_ms */
    size_t max_answer;  /* 0: rest_options.max_answer */
    /* Of a longer body the beginning will do, for the status says all: no ERR_TOO_BIG; nor ERR_UNKNOWN where the rest does not come
     * in time, or not at all. Not for mail */
    bool cut_answer;
    const char *ca_file;     /* PEM roots for this call beside the others; or NULL */
    const char *unix_socket; /* path of a socket to connect to; url then names localhost; or NULL */
    /* A kept connection may turn out closed only when the request is written to it. GET and HEAD are
     * then sent again on a fresh one; anything else ends with ERR_UNKNOWN, unless this is set. */
    bool may_repeat;
    bool
        with_others; /* it leaves with the next call that is none of these, or at rest_go. Not for mail */
    bool metadata;  /* the url may be of the platform's own service of tokens, in plain http */
    bool show_peer; /* fill tls_* of the answer; on a connection of its own */

    /* Mail only. One recipient per call, so that each has its own fate. */
    /* Bare addresses, without controls or angle brackets; blanks stand in quotes alone. */
    const char *mail_from, *mail_to;
    /* Beyond timeout_ms, for the answer to the message once that has left; 0: none. It takes one of a few threads for so
     * long, so let there be one at a time. */
    int64_t answer_ms;
    bool mail_probe;      /* connect, start TLS, log in and end there: no mail_to, no body */
    const char *username; /* NULL: no AUTH */
    const char *password; /* NULL with bearer */
    const char *bearer;   /* access token for AUTH XOAUTH2 or OAUTHBEARER; NULL with password */
};

struct rest_answer {
    long status; /* HTTP status. Mail: the reply code of the end of the message (250 is
                              accepted), or of the first command that was refused (4xx, 5xx) */
    char *body;  /* NUL-terminated, owned by the answer. Mail: that reply as the server wrote
                              it, "550 5.1.1 no such user" (lines of a long one joined by '\n') */
    size_t body_len;
    bool broken;   /* with cut_answer: the body breaks off before it was as long as it may be */
    int mail_step; /* Mail: what that reply answered: 0 the greeting, EHLO, STARTTLS or AUTH, 1 MAIL,
                      2 RCPT, 3 DATA, 4 the message. A 550 is about the login, the sender, the
                      recipient or the content by it */
    char *content_type; /* may be NULL */
    int64_t retry_ms;   /* Retry-After in ms (seconds or a date), 1 to one day; 0: absent */
    int64_t date_ms;    /* the peer's clock (Date), wall ms, to the second; 0: it said nothing */
    /* With show_peer. */
    char tls_subject[160],
        tls_issuer[160]; /* of its certificate, as OpenSSL writes them; "": no TLS */
    int64_t tls_end_ms;  /* when that ends, wall ms */
};

/** ERR_IO: ca_file cannot be read; ERR_INVALID: https_proxy is no URL; ERR_NOMEM. */
enum err_code rest_new(const struct rest_options *o, struct rest **ret, struct err *e);
/**
 * The process is about to end. No call is begun from now on, and those that only read (GET, HEAD, may_repeat)
 * end at once: all with ERR_STOPPING. With `all` every other one ends too, as rest_free would end it; a child
 * that hands over mail (smtp.h) learns of it from rest_stop_fd. Any thread; may be called again.
 */
void rest_wind_down(struct rest *r, bool all);
/** Host and port (if it names one) of the proxy, for people: no user, no password. Borrowed; NULL: none. */
const char *rest_proxy(const struct rest *r);
/** Readable from rest_wind_down(r, true) on; borrowed. r NULL: 0. */
int rest_stop_fd(const struct rest *r);
/**
 * Ends the calls under way, joins the thread. A call of which nothing has left ends with ERR_STOPPING,
 * any other with ERR_UNKNOWN. Their rest_wait stays valid afterwards. NULL is fine.
 */
void rest_free(struct rest *r);
AUTO_FREEP(struct rest, rest)

/**
 * Starts a call; everything in q is copied. *ret_call must be given to rest_wait or rest_abandon
 * exactly once. Returns ERR_OK; ERR_INVALID for a url, method, header or address that is not fit to be
 * sent; ERR_IO (ca_file), ERR_STOPPING, ERR_NOMEM. Threads: any.
 */
enum err_code rest_start(struct rest *r, const struct rest_request *q, struct rest_call **ret_call,
                         struct err *e);
/** Lets those leave that were started with_others. Whoever started one calls this. Any thread. */
void rest_go(struct rest *r);
/** true once rest_wait would not block. Any thread; the call stays yours. */
bool rest_is_done(const struct rest_call *call);
/** Gives up a call that nobody waits for any more. What has left has left. NULL is fine. */
void rest_abandon(struct rest_call *call);
/**
 * Waits for a call and frees it. ERR_OK means that an answer came, of whatever status; *ret is
 * then to be given to rest_answer_clear.
 * Otherwise: ERR_AGAIN  no connection, name not found, TLS failed, too slow to connect: the request
 *                       never left. Mail: the message was not handed over completely;
 *            ERR_DENIED  mail: the login was refused, and no 5xx said so;
 *            ERR_UNKNOWN the request may have arrived (timeout, reset, cut answer), for every method;
 *            ERR_TOO_BIG the answer is larger than it may be (the request was carried out, maybe);
 *            ERR_INVALID (url), ERR_STOPPING, ERR_NOMEM.
 */
enum err_code rest_wait(struct rest_call *call, struct rest_answer *ret, struct err *e);
/** rest_start and rest_wait in one. */
enum err_code rest_do(struct rest *r, const struct rest_request *q, struct rest_answer *ret,
                      struct err *e);
/** Wipes and frees what the answer owns (it may hold a token). A zeroed answer is fine. */
void rest_answer_clear(struct rest_answer *a);

/** Percent-encodes all but RFC 3986 unreserved characters; heap, NULL when out of memory. */
char *rest_encode(const char *text);
/** true for http(s) URLs that rest_start would take (https anywhere, http on loopback only). */
bool rest_url_ok(const char *url);
/** Does the file hold a certificate that rest_request.ca_file could be? ERR_INVALID says what is wrong. Any thread. */
enum err_code rest_check_roots(const char *file, struct err *e);

#endif
