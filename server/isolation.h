/* isolation.h - one episode of one machine being isolated: asked for at most once, followed to its end.
 *
 * The ledger row is the intent: it is durable, and marked as posted, before a POST leaves. An effect
 * looks before it acts: the machine's Isolate and Unisolate actions are read from Defender, and an
 * open or finished isolation is adopted. After a POST whose answer is unknown nothing is sent before a
 * look that comes late enough to see it (defender-api.md sections 4.5 and 7.1, trap 26).
 */
#ifndef CORDON_ISOLATION_H
#define CORDON_ISOLATION_H

#include "act.h"
#include "engine.h"
#include "store_isolations.h"

/** What a step `isolate` with these arguments asks for: "Full" or "Selective"; its comment, which is args's. */
const char *isolation_type(const struct json *args);
const char *isolation_comment(const struct json *args);

/**
 * Asks for the isolation of s's machine, or joins the one that is open. For the handler `isolate`.
 *
 * type      "Full" or "Selective"; comment: plain text for the portal.
 * Returns   OUTCOME_DONE: the case has an isolation (requested at least); the step is written.
 *           OUTCOME_RETRY: Defender could not be looked at; nothing was asked for.
 *           OUTCOME_REFUSED: not to be isolated; e says why in words for people.
 *           OUTCOME_WITHHELD: the same: cordon is paused, or the policy asks for it no more.
 *           OUTCOME_WAITS: safety holds it back until a person says yes (brakes.h).
 */
enum outcome isolation_request(struct step *s, const char *type, const char *comment,
                               struct err *e);

/** Would a case that is acted on together with others join an isolation that was confirmed so long ago that Defender is
 *  to be asked first whether it is in force still? Then the look can be taken for many. */
bool isolation_needs_look(struct engine *g, const char *tenant, const char *machine_id,
                          struct arena *a);

/** The last of a tenant's cases that were acted on together is judged: what was begun for them is due, with whatever
 *  else is at that moment. */
void isolation_begun_together(struct engine *g, const struct runtime_tenant *tenant,
                              const struct together *t);

/** How many machines of a tenant are to be asked for in a moment? They have the calls before more cases are read: those are
 *  of machines that come after them. None, as far as anybody knows. */
int64_t isolation_count_next(struct engine *g, const struct runtime_tenant *tenant);

/** Follows a claimed isolation: looks, posts, confirms. Ends the claim. Threads: workers. */
void isolation_run(struct engine *g, struct work *w);

#endif
