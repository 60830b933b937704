/* decide.h - facts + policy + now -> verdict. A pure function: no network, disk, clock or state.
 *
 * The first rule that matches gives the verdict. Unknown is not false: a rule that needs a field which
 * is missing, or an enumeration value that cordon does not know, cannot be passed over; it gives the
 * verdict with `doubt` set, and its acting steps are withheld. A step is withheld, too, when the
 * machine is protected, the source may only notify, the mode is shadow, the pushed machine contradicts
 * the alert's own, the alert names no machine, the machine was merged into another, Defender answered
 * with something else than was asked for, or the facts are older than ten minutes (the order of the
 * checks is in decide.c). Withheld steps stay in the verdict with the reason, so that people are told:
 * where no rule matched, in doubt, and where a step is withheld, an `email` with nothing set is added
 * unless the rule holds one.
 */
#ifndef CORDON_DECIDE_H
#define CORDON_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "facts.h"
#include "policy.h"

struct verdict_step {
    const char *handler; /* name */
    bool acts;           /* as in struct handler */
    const char *args;    /* JSON object, templates expanded ("{}" when none) */
    /* NULL: do it; else why not, for people ("protected: machine.tags is tier-0") */
    const char *withheld;
};

struct verdict {
    const char *rule;   /* the rule's name; NULL: no rule matched (then an email is all) */
    const char *policy; /* policy_hash */
    const char *doubt;  /* NULL, or what could not be judged, for people */
    struct verdict_step *steps;
    size_t n_steps;
    /* The whole verdict with its explanation, as stored: {"rule","policy","doubt","at",
     * "steps":[{"handler","acts","args","withheld"}],
     * "why":[{"rule","result","predicates":[{"field","operator","within","wanted","seen","result"}]}],
     * "protected":[{"result","predicates":[…]}]}. within is there only where a predicate stands inside
     * any, all or not; wanted and seen are JSON as text, cut. */
    const char *json;
};

/** Decides. Everything in *ret lives in a. ERR_NOMEM, or ERR_INVALID when facts hold no alert. */
enum err_code decide(const struct policy *p, const struct facts *f, int64_t now_ms, struct arena *a,
                     struct verdict *ret, struct err *e);
/** Reads steps, rule, doubt and policy back from verdict.json (doc must outlive *ret). */
enum err_code verdict_read(const struct json *doc, struct arena *a, struct verdict *ret,
                           struct err *e);

#endif
