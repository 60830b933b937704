/* store_policies.h - every policy that came into force, by its hash: a verdict can be given again as long as its case is
 * kept, however long ago that was.
 *
 * Written before the policy is used, never changed, forgotten after the last case that it judged (store_upkeep.h). The
 * text is policy_text's.
 */
#ifndef CORDON_STORE_POLICIES_H
#define CORDON_STORE_POLICIES_H

#include "store.h"

/** Keeps a policy that is about to come into force; one that is kept already stays as it is. Blocks until it is
 *  on disk. */
enum err_code store_policy_keep(struct store *s, const char *hash, const char *text, int64_t now,
                                struct err *e);
/** Its text, and when it first came into force (wall ms). Lives in a. ERR_NOT_FOUND. */
enum err_code store_policy_load(struct store *s, struct arena *a, const char *hash,
                                const char **ret_text, int64_t *ret_since, struct err *e);

/* How much later than it is written down the last verdict of a policy may be. */
#define POLICY_USED_MS DAY_MS

/** Inside a transaction: the policy of this hash gives a verdict. NULL: none that is kept. */
enum err_code policy_used(struct db_tx *tx, const char *hash, int64_t now, struct err *e);

#endif
