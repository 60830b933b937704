/* lookout.h - a machine that was to be isolated and stayed absent until Defender gave up.
 *
 * Its last report is read now and then, for a month. When there is a newer one than the giving-up, its cases begin
 * anew, as if they had just come: Defender is read and the policy in force judges. A machine whose record was
 * merged into another's is a person's business: people are told of both names, and nothing is done. So is one that came
 * back, and was isolated for something else and released before it was looked at.
 */
#ifndef CORDON_LOOKOUT_H
#define CORDON_LOOKOUT_H

#include "ledger.h"

/* A machine reports about once a day (defender-api.md section 3.2, lastSeen), but at once when it comes back. */
#define LOOKOUT_EVERY_MS HOUR_MS
#define LOOKOUT_FOR_MS   (30 * DAY_MS)

/** A run over a row that FAILED with `lapsed`. Ends the claim. */
void lookout_run(struct ledger_turn *t);

#endif
