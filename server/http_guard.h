/* http_guard.h - which request heads are sane, and how a refusal reads. Pure: no sockets, no library.
 *
 * A proxy in front and the library behind must not read one request in two ways, so a head that leaves
 * room for two readings is refused (library-traps.md, libmicrohttpd; RFC 9112 sections 2.2, 3.2, 5.1, 6).
 * Order of use: http_guard_line, http_guard_header for each header in the order received,
 * http_guard_end. The first fault stays; later calls then do nothing.
 */
#ifndef CORDON_HTTP_GUARD_H
#define CORDON_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "http.h"

/* Longest request target in bytes: RFC 9110 section 4.1 asks for 8000 at least; the longest that
 * cordon hands out itself (a capability link) has about 120. */
#define HTTP_TARGET_MAX 8000
/* Most headers of one request; what common proxies add stays below 40. */
#define HTTP_HEADERS_MAX 100

struct http_guard {
    unsigned status; /* 0: no fault so far; else the answer's */
    const char *why; /* static text */
    uint64_t content_length;
    bool has_length;       /* Content-Length was given */
    bool chunked;          /* Transfer-Encoding: chunked was given */
    bool expects_continue; /* Expect: 100-continue was given, and the version knows it */
    bool is_1_0, is_post;
    const char *authority; /* of a target in absolute form; what the caller gave, and keeps */
    unsigned hosts, lengths, encodings, headers;
};

/** Bytes of "http://authority" in front of the path of a target in absolute form, which a server has to take (RFC 9112
 *  section 3.2.2); 0 for any other. */
size_t http_guard_authority(const char *target, size_t target_len);
/** Forgets everything and looks at the request line. target: as sent, with the query, but without what
 *  http_guard_authority found: authority, NULL for nothing. It has to be what Host says. */
void http_guard_line(struct http_guard *g, const char *method, const char *authority,
                     const char *target, size_t target_len, const char *version);
/** Looks at one header. value: without the blanks around it. */
void http_guard_header(struct http_guard *g, const char *name, size_t name_len, const char *value,
                       size_t value_len);
/** Looks at the head as a whole. */
void http_guard_end(struct http_guard *g);
/** Reports a fault found by the caller, unless there is one already. why: static text. */
void http_guard_refuse(struct http_guard *g, unsigned status, const char *why);

/** The problem document of RFC 9457 for status and detail, appended to out. */
void http_problem_write(struct buf *out, unsigned status, const char *detail);
/**
 * A whole answer as it goes over the wire, with Date, Content-Length and Connection: close, appended
 * to out. with_body: false for the answer to a HEAD.
 */
void http_answer_write(struct buf *out, const struct http_answer *a, bool with_body);
/** Whether name and value may stand in an answer: a token, and no CR, LF or other control. */
bool http_answer_header_is_safe(const char *name, const char *value);

#endif
