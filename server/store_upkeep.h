/* store_upkeep.h - what need not be remembered for ever: deliveries, and cases that were over long ago. */
#ifndef CORDON_STORE_UPKEEP_H
#define CORDON_STORE_UPKEEP_H

#include "store.h"

/* How long a sender may come again with the same delivery id: its retries go on for days
 * (webhook-sources.md section 6, rule 2). After that the alert's case still says that it was here. */
#define DELIVERY_MEMORY_MS (72 * HOUR_MS)

/* What brakes.c counts: detectors for as long as safety.storm may look back, machines of a device group. */
#define SEEN_DETECTOR_MS (30 * DAY_MS)
#define SEEN_MACHINE_MS  (90 * DAY_MS)

/**
 * Forgets at most max of the oldest deliveries, those that were received longer than DELIVERY_MEMORY_MS ago
 * by the store's clock, in one transaction; not those of a case that nobody has judged yet. *ret_count: how many; max: there
 * may be more.
 */
enum err_code store_forget_deliveries(struct store *s, int64_t max, int64_t *ret_count,
                                      struct err *e);

struct forgotten {
    int64_t cases, isolations, notices, questions;
};

/**
 * Forgets cases that were over `keep_ms` before now (wall ms of a clock that is to be believed), and so was all that came of
 * them (their isolation, what else was asked for, notices, a silence that withheld these), with their steps and
 * notices; isolations that were over then and that no case names any more; notices about no case; questions that were
 * over then and of which no case is left; policies whose last verdict is that old and older than any case; silences
 * that were over then; and what the brakes have seen and count no more. At most max of each, the oldest, in one
 * transaction. Kept however old: a case that is open, whose isolation is open or still has work (a machine that was
 * absent is looked out for), about which something is still to be sent; an isolation that is open; whatever has work.
 * *ret: how many; max of one kind: there may be more of it.
 */
enum err_code store_forget_cases(struct store *s, int64_t now, int64_t keep_ms, int64_t max,
                                 struct forgotten *ret, struct err *e);
/** When the oldest case was made, wall ms; 0: there is none. */
enum err_code store_oldest_case(struct store *s, int64_t *ret_created, struct err *e);

#endif
