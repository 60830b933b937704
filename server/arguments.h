/* arguments.h - what a request of the API may say: parameters and members that are known, each of them once.
 *
 * Anything else is refused, and named: who misspells `open` would read everything for what is open, and who
 * gives a reason as `reason` would find none on record.
 */
#ifndef CORDON_ARGUMENTS_H
#define CORDON_ARGUMENTS_H

#include <stdbool.h>

#include "err.h"
#include "http.h"
#include "json.h"

/** Checks the parameters of the query. known: NULL-terminated, or NULL for none. ERR_INVALID with a sentence for
 *  one that is not known, is given twice or is badly encoded. Threads: as http_query_param. */
enum err_code arguments_query(struct http_request *r, const char *const *known, struct err *e);
/** A parameter that is 0 or 1; absent: 0. ERR_INVALID for anything else. */
enum err_code arguments_flag(struct http_request *r, const char *name, bool *ret, struct err *e);

/** The body as a JSON object (json_free it) whose members are all known; *ret is NULL for an empty body, which is
 *  an object without any. ERR_INVALID else. In http_handler.body. */
enum err_code arguments_body(struct http_request *r, const char *const *known, struct json **ret,
                             struct err *e);
/** A text of such an object, at most max bytes; borrowed from doc; *ret is NULL when it is absent or null. */
enum err_code arguments_text(const struct json *doc, const char *name, size_t max, const char **ret,
                             struct err *e);

#endif
