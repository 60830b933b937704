/* decide.h - facts + policy + now -> verdict. A pure function: no network, disk, clock or state.
 *
 * The first rule that matches gives the verdict. Unknown is not false: a rule that needs a field which
 * is missing, or an enumeration value that cordon does not know, cannot be passed over; it gives the
 * verdict with `doubt` set, and its acting steps are withheld. A step is withheld, too, when the
 * machine is protected, the source may only notify, the pushed machine contradicts the alert's own, the
 * alert names no machine, the machine was merged into another, Defender answered with something else
 * than was asked for, the facts are older than ten minutes, or the policy, the rule or the source is in
 * shadow mode (the order of the checks is in decide.c). Doubt, protection and a pushed machine that
 * contradicts the alert's are put to a person instead where the rule holds an `ask`, or the policy says safety.ask:
 * then the acting steps say what a yes must be to. Withheld steps stay in the verdict with the reason, so that people
 * are told: where no rule matched, in doubt, and where a step is withheld, an `email` with nothing set is added
 * unless the rule holds one.
 *
 * Every rule is judged, those behind the one that gave the verdict, too: whoever asks years later why it
 * was not another one finds the answer in the verdict itself.
 */
#ifndef CORDON_DECIDE_H
#define CORDON_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "facts.h"
#include "policy.h"

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
/** Decides. Everything in *ret lives in a. ERR_NOMEM, or ERR_INVALID when facts hold no alert. */
enum err_code decide(const struct policy *p, const struct facts *f, int64_t now_ms, struct arena *a,
                     struct verdict *ret, struct err *e);
/** Reads steps, rule, doubt and policy back from verdict.json (doc must outlive *ret). */
enum err_code verdict_read(const struct json *doc, struct arena *a, struct verdict *ret,
                           struct err *e);

#endif
