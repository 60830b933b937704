/* adopt.h - isolations that Defender has and the ledger has not: somebody else's, or of cordon's own that were given up. */
#ifndef CORDON_ADOPT_H
#define CORDON_ADOPT_H

#include "ledger.h"

/** An isolation of a tenant that no row of the ledger's has, and that bears the id of one that was given up: its answer was lost,
 *  and nothing came to light for as long as it was looked for; or another one was in force and took its place, and is
 *  over (section 4.5: ours may run then). The latter is known by Defender's id, too, where ours do not come back. */
enum err_code adopt_find_lost(struct db_tx *tx, struct arena *arena, const char *tenant,
                              const struct defender_action *a, struct isolation_record *ret,
                              bool *ret_found, struct err *e);
/** The same of somebody else's isolation: is it the one that Defender called under way, and did not list, until a request of ours for
 *  that machine was given up (isolation_is_unknown)? */
enum err_code adopt_find_unlisted(struct db_tx *tx, struct arena *arena, const char *tenant,
                                  const char *machine_id, const struct defender_action *a,
                                  struct isolation_record *ret, bool *ret_found, struct err *e);
/** r is what that row (its id: given_up) was about, and Defender has confirmed it: its cases are r's from now on, and whoever was
 *  told that it is not known, or that the machine is not isolated, hears that it is. */
enum err_code adopt_tell_after_all(struct db_tx *tx, const struct ledger_turn *t, int64_t given_up,
                                   const struct isolation_record *r, struct err *e);
/** Does the ledger know that a is over? A list that lags must not bring it back. What cordon gave up on may have come about
 *  after all, and is not: *ret_given_up is that row then, else it stays as it is. */
enum err_code adopt_is_over(struct db_tx *tx, struct arena *arena, const char *tenant,
                            const char *machine_id, const struct defender_action *a, bool *ret,
                            struct isolation_record *ret_given_up, struct err *e);
/**
 * The ledger takes a, which is under way or in force, over, with the work that it makes. ERR_CONFLICT when the machine has an
 * open one.
 *
 * t        g, rt, arena and now.
 * known    a row that cordon gave up on, and a is what it was about: whoever waited for that hears of it; id 0: none.
 * ret      the new row; its texts are a's and known's.
 */
enum err_code adopt_take(struct db_tx *tx, const struct ledger_turn *t, const char *tenant,
                         const char *machine_id, const struct defender_action *a,
                         const struct isolation_record *known, struct isolation_record *ret,
                         struct err *e);
/** Somebody is releasing a machine, and an isolation of it is in force still: until the release is done the ledger has that, so that
 *  nobody is told that the machine is free. Nothing happens where the ledger has an open one. look: its actions; t as above.
 *  but: a row that has just been given up for that release, and which is not what it is about; 0: none. */
enum err_code adopt_in_force(struct db_tx *tx, const struct ledger_turn *t, const char *tenant,
                             const char *machine_id, const struct defender_reads *look, int64_t but,
                             struct err *e);

#endif
