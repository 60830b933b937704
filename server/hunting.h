/* hunting.h - asks Defender by queries of people's own, on a schedule, and does with new rows what the hunt says.
 *
 * A hunt is a row of work that is due at its next time (cron.h), so that there is never a second run of it, in
 * whichever process. A run asks for what came since the one before it began, and `look_back` more; which of the rows
 * are new is told by their keys (store_hunts.h). The first run of a query finds nothing new: it is the baseline.
 *
 * A new row with an alert id becomes a case as if somebody had pushed it: read, judged and kept safe like any
 * other. For one that is an event of a machine an alert is made first, where the hunt says so. Rows are told of in one
 * mail a run.
 */
#ifndef CORDON_HUNTING_H
#define CORDON_HUNTING_H

#include "engine.h"

#define HUNTING_SICK_MS HOUR_MS /* people hear of a hunt that has failed for so long */

/** Sees to it that every hunt of the configuration in force has its work; at start and after a reload. */
enum err_code hunting_start(struct engine *g, struct err *e);
/** Runs a hunt that is due: a claimed row of work. Ends the claim. Threads: workers. */
void hunting_run(struct engine *g, struct work *w);

struct hunting_order {
    const char *name; /* of the hunt */
    const char *who;  /* gives the order, as far as is known; NULL: nobody says */
    bool dry;         /* nothing comes of it but the answer */
};

/** A person wants a hunt run now; what comes of it is read at GET /api/hunts/NAME. *ret_order: its id there, or that of a
 *  later order, whose run is this one's, too. ERR_NOT_FOUND: the configuration in force has no such hunt; ERR_CONFLICT: a
 *  run is ordered that is dry where this one is real, or the other way round. Waits for the disk. */
enum err_code hunting_order(struct engine *g, const struct hunting_order *o, int64_t *ret_order,
                            struct err *e);

#endif
