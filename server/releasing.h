/* releasing.h - the end of an isolation that cordon asks for: ordered, asked for at most once, followed.
 *
 *     ISOLATED --release_order--> RELEASING --Defender says Succeeded--> RELEASED
 *         ^                          |
 *         +--------------------------+ Defender refused, or it failed: people are told, it is isolated as before
 *
 * The same discipline as in isolation.h: look, intent on disk (`posted`), POST, record. A release that somebody
 * began at Defender is followed and none is asked for beside it. The order may come from a person (desk.h), from
 * a rule (the handler `release`) or from the time a rule set (ledger.c); somebody else's isolation is ended by a
 * person's order alone, and whoever gives it has checked that. What comes until the request of a
 * rule leaves, and would have kept it from ordering that, is seen here: somebody isolates the machine beside ours, or another
 * alert of it comes. One whose case asks for the isolation meanwhile takes the order back, and so does whoever extends it; after the
 * request has left it waits until the release is over, and asks anew.
 */
#ifndef CORDON_RELEASING_H
#define CORDON_RELEASING_H

#include "ledger.h"

/** Inside a transaction: an isolation that is ISOLATED, or whose release waits (release_is_waiting), is to be released. why: who says
 *  so and for what reason; shown in the portal too. by_rule: no person does, and what comes beside it before Defender is asked (ledger_beside) is not to
 *  be ended with it. Kick the engine after the commit. */
enum err_code release_order(struct db_tx *tx, struct arena *a, struct isolation_record *r,
                            const char *why, bool by_rule, int64_t now, struct err *e);
/** A rule ordered the release of r, and Defender was not asked for it, or did not take it: then a person may order it in its place, and it
 *  may be taken back. */
bool release_is_waiting(const struct isolation_record *r);
/** Inside a transaction: where that is so r is ISOLATED as before, and people hear so. Else nothing happens: what a person ordered,
 *  or what may be under way, goes on. why: for people. Whoever holds the row's claim writes nothing more. Kick the engine after
 *  the commit. */
enum err_code release_take_back(struct db_tx *tx, const struct ledger_turn *t,
                                struct isolation_record *r, const char *why, struct err *e);
/** A run over a row that is RELEASING. Ends the claim. */
void release_run(struct ledger_turn *t);

#endif
