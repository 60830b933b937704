/* store_deliveries.h - what is on record of a delivery: its cases, who sent it. store_accept.h makes the rows. */
#ifndef CORDON_STORE_DELIVERIES_H
#define CORDON_STORE_DELIVERIES_H

#include "intake.h"
#include "store.h"

/** Inside a transaction: the cases of a delivery, one per alert, whoever made them; ERR_NOT_FOUND. */
enum err_code delivery_cases(struct db_tx *tx, int64_t id, int64_t ret[INTAKE_BATCH_MAX],
                             size_t *ret_count, struct err *e);

/** The ids in a row's column `cases`, as delivery_cases gives them. Returns how many they are. */
size_t delivery_ids(const char *text, int64_t ret[INTAKE_BATCH_MAX]);

/** Addresses that a source's deliveries came from, the latest first, at most limit of them; in a. */
enum err_code store_delivery_peers(struct store *s, struct arena *a, const char *source,
                                   size_t limit, const char ***ret, size_t *ret_count,
                                   struct err *e);

/** Inside a transaction: records in the audit who pushed a case. id 0, or forgotten: nothing is recorded. */
enum err_code delivery_audit(struct db_tx *tx, int64_t id, int64_t case_id, int64_t now,
                             struct err *e);

#endif
