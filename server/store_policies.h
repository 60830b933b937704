/* store_policies.h - every policy that ever came into force, by its hash: a verdict can be given again years later.
 *
 * Written before the policy is used, never changed, never forgotten. The text is policy_text's.
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

#endif
