/* action.h - what a machine is asked for besides isolation: asked for at most once, followed to its end.
 *
 * The handlers scan, collect, restrict, unrestrict and stop_file are rows of one table (action.c). The step of a
 * case writes the row, which is the intent; its own run looks whether such an action is under way already (then
 * it is adopted), posts, and follows until Defender says how it ended, which people are told in the thread of the
 * case. An answer that was lost is looked for and the request is not sent again while it may be there.
 */
#ifndef CORDON_ACTION_H
#define CORDON_ACTION_H

#include "act.h"
#include "engine.h"

/* Of what may have been done, and nobody knows: so begins why it failed. */
#define ACTION_UNKNOWN "it is not known whether it was carried out"

/**
 * Asks for what handler `name` stands for on the machine of s, or finds it asked for already.
 *
 * detail    as Defender wants it ("Quick", a SHA-1), or NULL.
 * Returns   OUTCOME_DONE: asked for; the step is written. OUTCOME_RETRY, OUTCOME_REFUSED with the reason in e.
 */
enum outcome action_request(struct step *s, const char *name, const char *detail,
                            const char *comment, struct err *e);

/** May a handler that acts at once do so now: are facts and verdict young, and the policy in force the one that
 *  judged? Else OUTCOME_REFUSED, with the reason in e. */
enum outcome action_may(const struct step *s, struct err *e);
/** What a failed call means for the step: for good, or to be tried again once it can be seen whether it was
 *  carried out. */
enum outcome action_outcome(enum err_code code, struct err *e);

/** Looks, posts, follows a claimed row. Ends the claim. Threads: workers. */
void action_run(struct engine *g, struct work *w);

#endif
