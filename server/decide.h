/* decide.h - facts + policy + now -> verdict. A pure function: no network, disk, clock or state.
 *
 * The first rule that matches gives the verdict. Unknown is not false: a rule that needs a field which
 * is missing, or an enumeration value that cordon does not know, cannot be passed over; it gives the
 * verdict with `doubt` set, and its acting steps are withheld. A step is withheld, too, when the
 * machine is protected, the source may only notify, the pushed machine contradicts the alert's own, the
 * alert names no machine, the machine was merged into another, Defender answered with something else
 * than was asked for, the facts are older than ten minutes, or the policy, the rule or the source is in
 * shadow mode (the order of the checks is in decide.c). Doubt, protection and a pushed machine that
 * contradicts the alert's are put to a person instead where the rule holds an `ask`, or the policy says safety.ask
 * (where both do, and the latter wants more persons or others, to those of both, one after the other):
 * then the acting steps say what a yes must be to. Withheld steps stay in the verdict with the reason, so that people
 * are told: where no rule matched, in doubt, and where a step is withheld, an `email` with nothing set is added
 * unless the rule holds one.
 *
 * Every rule is judged, those behind the one that gave the verdict, too: whoever asks years later why it
 * was not another one finds the answer in the verdict itself.
 */
#ifndef CORDON_DECIDE_H
#define CORDON_DECIDE_H

#include <stdint.h>

#include "arena.h"
#include "facts.h"
#include "policy.h"
#include "verdict.h"

/** Decides. Everything in *ret lives in a. ERR_NOMEM, or ERR_INVALID when facts hold no alert. */
enum err_code decide(const struct policy *p, const struct facts *f, int64_t now_ms, struct arena *a,
                     struct verdict *ret, struct err *e);

#endif
