/* template.h - {{field}}: the same fields as in conditions, in comments, subjects and bodies. No logic.
 *
 * Lists are joined with ", ", what is missing reads "unknown". Values come from alerts, which attackers
 * may word: line ends and other controls in them become blanks, and each is cut at
 * TEMPLATE_VALUE_MAX. Escaping for mail or HTML is done where the text lands.
 */
#ifndef CORDON_TEMPLATE_H
#define CORDON_TEMPLATE_H

#include <stddef.h>

#include "arena.h"
#include "facts.h"

#define TEMPLATE_SOURCE_MAX 8192  /* bytes of a template */
#define TEMPLATE_VALUE_MAX  2000  /* bytes of one value: a description of usual length fits */
#define TEMPLATE_TEXT_MAX   32768 /* bytes of what comes out; the rest is cut, with an ellipsis */

struct template; /* opaque, immutable; lives in the arena it was compiled into */

/**
 * Compiles text (copied). ERR_INVALID with "character N: what is wrong" ("line L, character N" behind its first line)
 * for unknown fields, `{{{`, `{{` without `}}`; ERR_TOO_BIG; ERR_NOMEM.
 */
enum err_code template_compile(struct arena *a, const char *text, const struct template **ret,
                               struct err *e);
/** The same of a file; faults say "PATH:LINE:COLUMN: what is wrong". ERR_IO: it cannot be read. */
enum err_code template_load(struct arena *a, const char *path, const struct template **ret,
                            struct err *e);
/** The text with its fields filled in; lives in a. ERR_NOMEM or ERR_OK. */
enum err_code template_expand(const struct template *t, const struct facts *f, struct arena *a,
                              const char **ret);

#endif
