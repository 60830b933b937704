/* polling.h - asks Defender for alerts, so that one which no sender pushed becomes a case all the same.
 *
 * `polling.every` per tenant: the alerts that changed since the watermark, and a little before it, are
 * listed by lastUpdateTime; those that have no case get one, marked as of the source "polling". The
 * watermark moves when all pages were read and their cases are on disk.
 */
#ifndef CORDON_POLLING_H
#define CORDON_POLLING_H

#include "engine.h"

/* People who look at /readyz hear of it when polling has failed for so long. */
#define POLLING_SICK_MS (5 * MINUTE_MS)

/** Sees to it that every tenant of the configuration in force is polled, if it says so; at start and after a
 *  reload. */
enum err_code polling_start(struct engine *g, struct err *e);
/** Polls a tenant: a claimed row of work. Ends the claim. Threads: workers. */
void polling_run(struct engine *g, struct work *w);

#endif
