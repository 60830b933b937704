/* json.h - JSON in and out; the only room that knows cJSON.
 *
 * Reading: the bytes are checked first (UTF-8, the grammar of RFC 8259, depth, no NUL, no duplicate
 * member names after unescaping), because cJSON takes much that is not JSON. What gets past
 * json_parse is therefore plain: names are unique and compared with case, strings hold no NUL.
 * Numbers that a double cannot hold exactly keep their digits (json_int64).
 *
 * Writing: a struct json_out writes into a buf, puts commas and escapes, and carries the buf's
 * failure; check buf_failed() once at the end.
 */
#ifndef CORDON_JSON_H
#define CORDON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "buf.h"
#include "err.h"

/* A value of a parsed document; opaque, borrowed from its document. NULL stands for "absent" and is
 * accepted by every reader below. */
struct json;

enum json_type {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

#define JSON_DEPTH_MAX 32 /* deepest nesting that any peer's document may have */
#define JSON_OWN_DEPTH_MAX                                                                         \
    72 /* of our own: what a file of YAML may have (yaml.h), and something around it */

/**
 * Parses a whole document. bytes: any, borrowed for the call, at most a few MiB (the caller's limit).
 * Returns ERR_OK and *ret_doc (json_free it), or ERR_INVALID with "offset N: what is wrong" (a double
 * member name is named instead), ERR_NOMEM. A number has 63 characters at most.
 * Threads: any; one document belongs to one thread at a time.
 */
enum err_code json_parse(const char *bytes, size_t len, struct json **ret_doc, struct err *e);
/** The same for what cordon itself has written: out of its configuration, or around a document of a peer's. */
enum err_code json_parse_own(const char *bytes, size_t len, struct json **ret_doc, struct err *e);
/** Mends a document before it is parsed, in place: Microsoft's hold NULs (of registry values) and halves of surrogate
 *  pairs (of file names), which json_parse does not take; an attacker who chose such a name would have made the
 *  alert about it unreadable. Both are read as U+FFFD, the mark of what cannot be shown. */
void json_mend(char *body);
/** Frees a document (the root only). NULL is fine. */
void json_free(struct json *doc);
AUTO_FREEP(struct json, json)

enum json_type json_type(const struct json *v);
/** The type as people call it ("a string"); static storage. */
const char *json_type_name(enum json_type type);
/** A value as a document of its own, to json_free; NULL when out of memory. */
struct json *json_copy(const struct json *v);
/** Member of an object by exact name; NULL when absent or v is no object. */
const struct json *json_get(const struct json *v, const char *name);
/** Member along names, NULL-terminated: json_path(v, "body", "value", NULL). */
const struct json *json_path(const struct json *v, ...) __attribute__((sentinel));
/** Element count of an array or object, else 0. */
size_t json_count(const struct json *v);
/** First and next child of an array or object, in document order; NULL at the end. */
const struct json *json_first(const struct json *v);
const struct json *json_next(const struct json *child);
/** A child's member name; NULL in an array. */
const char *json_name(const struct json *child);
#define JSON_EACH(child, parent)                                                                   \
    for (const struct json *child = json_first(parent); child; child = json_next(child))

/** The string, or NULL when v is no string. Borrowed from the document. */
const char *json_string(const struct json *v);
/** The same for a member; NULL when absent, null or no string. */
const char *json_get_string(const struct json *v, const char *name);
bool json_is_true(const struct json *v);
/** false unless v is a number that is an integer of 64 bits, exactly as its digits say. */
bool json_int64(const struct json *v, int64_t *ret);
/** The same for a member; otherwise when it is absent or no such number. */
int64_t json_get_int64(const struct json *v, const char *name, int64_t otherwise);
/** The same, but takes a string of digits too (Entra writes both; defender-api.md section 1.2). */
bool json_int64_lax(const struct json *v, int64_t *ret);
bool json_double(const struct json *v, double *ret);

/** Writes v compactly, exactly once parsed again to the same tree. */
void json_write(struct buf *out, const struct json *v);

/* ---- writing -------------------------------------------------------------------------------- */

struct json_out {
    struct buf *buf; /* borrowed */
    bool comma;      /* the next value needs one before it */
};

#define JSON_OUT(b)                                                                                \
    {                                                                                              \
        .buf = (b)                                                                                 \
    }

/* name: the member's name inside an object; NULL inside an array and at the top. */
void json_out_object(struct json_out *o, const char *name);
void json_out_object_end(struct json_out *o);
void json_out_array(struct json_out *o, const char *name);
void json_out_array_end(struct json_out *o);
/** text NULL writes null. Invalid UTF-8 and NUL become U+FFFD; controls are escaped. */
void json_out_string(struct json_out *o, const char *name, const char *text);
void json_out_stringn(struct json_out *o, const char *name, const char *text, size_t len);
void json_out_int(struct json_out *o, const char *name, int64_t value);
void json_out_bool(struct json_out *o, const char *name, bool value);
void json_out_null(struct json_out *o, const char *name);
/** A time in ms as RFC 3339; 0 writes null. */
void json_out_time(struct json_out *o, const char *name, int64_t wall_ms);
/** An id as its 13 characters; 0 writes null. */
void json_out_id(struct json_out *o, const char *name, int64_t id);
/** A parsed value, or JSON text known to be well formed (from our own store). NULL writes null. */
void json_out_value(struct json_out *o, const char *name, const struct json *v);
void json_out_raw(struct json_out *o, const char *name, const char *json_text);

#endif
