/* brakes.h - what holds an isolation back that a verdict wants: safety.canary, safety.storm and safety.limits.
 *
 * Asked in the transaction that would write the isolation's intent, so that two of them cannot both find the last
 * place free. What is held back waits for a person's word together with all that the same brake holds back
 * (question.h); a yes releases it: of the canary that one alone, of the others all of them.
 *
 * A limit `of: group` counts the isolations of machines of the same device group (rbacGroupName) and tenant. Its
 * percentage is one of the machines of that group that cordon has seen in the last 90 days, this one
 * included: Defender's own count is not asked for at this moment, and what is not seen makes the limit
 * narrower, never wider. One isolation is always within it, as else a group newly seen would have none.
 */
#ifndef CORDON_BRAKES_H
#define CORDON_BRAKES_H

#include "facts.h"
#include "question.h"

struct braking {
    struct runtime *rt; /* whose policy is in force */
    const struct case_record *c;
    const struct facts *facts;
    const struct approval *approval; /* what people have said yes to */
    struct arena *arena;
    int64_t now;
    /* The isolation that it is about, when it is written and counts already: only what was asked for before it stands in its
     * way. 0: it is still to be written. */
    int64_t isolation;
    bool last; /* others may have taken its place meanwhile, and stand in its way as well */
    bool
        moved; /* it was asked for by another rule than c's, and has no place among those of c's yet */
};

/** What names the detector of an alert (as Defender sends it); lives in a. NULL: out of memory. */
const char *brakes_detector(const struct json *alert, struct arena *a);
/** Notes the machine of b->facts, which is b->c's, as one of its group, where a limit is a share of that. Of every case that
 *  is read, whatever its verdict. b: rt, c, facts, now. */
enum err_code brakes_see(struct db_tx *tx, const struct braking *b, struct err *e);
/** Does anything hold it back? *ret_held; then *ret says what, all but its action. Notes what it has seen. */
enum err_code brakes_check(struct db_tx *tx, const struct braking *b, bool *ret_held,
                           struct question_hold *ret, struct err *e);
/** Is one that is written already (b->isolation) within the limits and past the canary of the policy in force? It may be
 *  another one than it was asked for by, and so may the case. *ret_why: why not; NULL: it is. */
enum err_code brakes_recheck(struct db_tx *tx, const struct braking *b, const char **ret_why,
                             struct err *e);
/** The request of an isolation that is written leaves now: it counts from this time. */
enum err_code brakes_sent(struct db_tx *tx, int64_t isolation, int64_t now, struct err *e);
/** The isolation is written, and counts from now on. */
enum err_code brakes_count(struct db_tx *tx, const struct braking *b, int64_t isolation,
                           struct err *e);

#endif
