/* store_upkeep.h - what need not be remembered for ever. Cases are; deliveries are not. */
#ifndef CORDON_STORE_UPKEEP_H
#define CORDON_STORE_UPKEEP_H

#include "store.h"

/* How long a sender may come again with the same delivery id: its retries go on for days
 * (webhook-sources.md section 6, rule 2). After that the alert's case still says that it was here. */
#define DELIVERY_MEMORY_MS (72 * HOUR_MS)

/**
 * Forgets at most max of the oldest deliveries, those that were received longer than DELIVERY_MEMORY_MS ago
 * by the store's clock, in one transaction. *ret_count: how many; max: there may be more.
 */
enum err_code store_forget_deliveries(struct store *s, int64_t max, int64_t *ret_count,
                                      struct err *e);

#endif
