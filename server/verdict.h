/* verdict.h - what decide() comes to, as it is stored with its case and read back: by explain, by backtest, by whoever acts on it
 * later.
 */
#ifndef CORDON_VERDICT_H
#define CORDON_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "err.h"
#include "json.h"

#define VERDICT_MAX (16 * 1024 * 1024) /* bytes; thousands of rules, each predicate explained */

/* What kind of reason withholds a step. */
enum hold {
    HOLD_NONE,
    HOLD_DOUBT,     /* something could not be judged, or the facts are too old */
    HOLD_MACHINE,   /* there is no machine, or it is not certain which */
    HOLD_PROTECTED, /* the machine is protected, or perhaps */
    HOLD_SOURCE,    /* the source may only notify */
    HOLD_SHADOW,    /* it would be done but for shadow mode */
    HOLDS
};

struct verdict_step {
    const char *handler; /* name */
    bool acts;           /* as in struct handler */
    const char *args;    /* JSON object, templates expanded ("{}" when none) */
    /* NULL: do it; else why not, for people ("protected: machine.tags is tier-0") */
    const char *withheld;
    /* the kind of withheld; HOLD_NONE when NULL, or when an old verdict did not say */
    enum hold hold;
    /* Of an acting step. NULL: it needs nobody's word; else why an `ask` before it has to come to a yes */
    const char *asks;
};

struct verdict {
    const char *rule;   /* the rule's name; NULL: no rule matched (then an email is all) */
    const char *policy; /* policy_hash */
    const char *doubt;  /* NULL, or what could not be judged, for people */
    struct verdict_step *steps;
    size_t n_steps;
    /* The whole verdict with its explanation, as stored: {"rule","policy","doubt","at",
     * "steps":[{"handler","acts","args","withheld","by","asks"}],
     * "why":[{"rule","result","predicates":[{"field","operator","within","wanted","seen","result"}]}],
     * "protected":[{"result","predicates":[…]}]}. by: hold_name, only where a step is withheld; asks, only
     * where it is set. why: every rule in order; protected: every protection, when the rule acts. within is
     * there only where a predicate stands inside any, all or not; wanted and seen are JSON as text, cut. */
    const char *json;
};

/** "doubt", "machine", "protected", "source", "shadow"; "" for HOLD_NONE; static storage. */
const char *hold_name(enum hold hold);
/** Reads steps, rule, doubt and policy back from verdict.json (doc must outlive *ret). */
enum err_code verdict_read(const struct json *doc, struct arena *a, struct verdict *ret,
                           struct err *e);

#endif
