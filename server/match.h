/* match.h - conditions: compiled once from YAML, judged many times; the only room that knows PCRE2.
 *
 * A condition is a map of which all must hold (contract.md section 4). The truth of it has three values
 * after Kleene: what is missing or not understood is unknown, and unknown is neither true nor false:
 * `not` keeps it, a false neighbour in an `all` and a true one in an `any` make it irrelevant.
 *
 * Text compares without regard to case, in regular expressions too ((?-i) makes one exact), and equality without regard
 * to blanks around it, so that a tag typed as `Tier-0 ` protects as well as `tier-0`. A predicate on a list holds when
 * any element satisfies it; `not` negates that as a whole. `exists` asks for at least one value and is never
 * unknown. `not`, `in`, `glob`, `regex` and `cidr` take one value or a list of which any may match;
 * `in_file` takes such a list from a file (lists.h), of addresses and networks where the field is one;
 * `not` takes a map of operators, too. older_than and newer_than compare a time's age; at exactly the given age neither holds.
 *
 * A compiled condition is immutable: any number of threads may judge by it.
 */
#ifndef CORDON_MATCH_H
#define CORDON_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "facts.h"
#include "settings.h"

enum truth { TRUTH_FALSE, TRUTH_UNKNOWN, TRUTH_TRUE };

#define CONDITION_DEPTH_MAX 16   /* any, all and not inside each other: nobody reads deeper ones */
#define REGEX_TEXT_MAX      1000 /* bytes of an expression or glob */
/* Bytes of the longest text that an expression or glob is tried on; a longer one is unknown. Descriptions
 * have some thousand, command lines seldom more than the 8,191 of Windows' command interpreter. */
#define REGEX_SUBJECT_MAX 16384
/* Steps of one try; a step may read the whole text, so that the worst try takes about half a second.
 * A glob needs two steps per character at most. */
#define REGEX_MATCH_LIMIT 50000
#define REGEX_DEPTH_LIMIT 10000
#define REGEX_HEAP_KIB    8192

struct condition; /* opaque; lives in the arena it was compiled into */

/* One predicate of a condition, judged. */
struct predicate {
    const char *field, *op;
    const char *within; /* where it stands when not at the top: "any[2].not"; "" at the top */
    const char *wanted; /* JSON text of the operand, cut at 200 characters */
    const char *seen;   /* JSON text of the value, cut at 200 characters; "null": missing */
    const char
        *hit; /* the elements that satisfied it, for people; NULL: none, or it is a negation */
    enum truth result;
    const char *doubt; /* result unknown: why, for people ("machine.value: Defender sent …") */
    bool decisive;     /* the condition came out as it did because of this one */
};

struct match {
    enum truth result;
    struct predicate *predicates; /* every one, in the order of the file */
    size_t count;
};

/**
 * Compiles a map. Every fault goes to reader->faults with its place; NULL when there was one.
 * what: names the condition in faults ("when").
 */
const struct condition *condition_compile(const struct settings_reader *reader,
                                          const struct yaml_node *map, const char *what);
/** Judges facts at now_ms. Everything in *ret lives in a (or in c, or f). ERR_NOMEM or ERR_OK. */
enum err_code condition_match(const struct condition *c, const struct facts *f, int64_t now_ms,
                              struct arena *a, struct match *ret);
/** What may be tried for all that condition_implies is asked together: half a second of a processor, or one. */
#define CONDITION_TRIES ((size_t)100000000)
/** Is it certain that wide holds, or is unknown, wherever narrow is not false? false: not that we could tell.
 *  Both of compilers of this file; nothing is judged. left: what may still be tried, CONDITION_TRIES at first; NULL: this
 *  is all that is asked. */
bool condition_implies(const struct condition *narrow, const struct condition *wide, size_t *left);
/** The same of a text field that must be this text: source, tenant. */
bool condition_demands(const struct condition *c, const char *field, const char *text);
/** What equality compares of a text: moves *text behind the blanks before it; returns its bytes without those behind it. 0:
 *  it shows nothing. */
size_t match_trim(const char **text);
/** Why a condition is unknown: the doubts of its decisive predicates, each field once; NULL: out of
 *  memory. Lives in a. */
const char *match_doubt(const struct match *m, struct arena *a);
/** What stands in a reason for all that it does not name, so that another of them makes another reason: of these texts so far,
 *  and one more. before: 0 at first. */
uint32_t match_digest(uint32_t before, const char *text);
/** Why a condition holds: "machine.tags is tier-0"; the same text as long as the same holds it. NULL: out of memory. Lives in a. */
const char *match_reason(const struct match *m, struct arena *a);
/** "true", "false", "unknown"; static storage. */
const char *truth_name(enum truth t);

#endif
