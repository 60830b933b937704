/* policy.h - the written policy, compiled: rules, what is protected, limits, mode.
 *
 * Immutable once compiled; any number of threads may decide by it. Named by the hash of its text (the
 * `rules` and `safety` parts, in a normal form, so that white space and comments do not change it).
 */
#ifndef CORDON_POLICY_H
#define CORDON_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

struct policy; /* opaque; lives in the arena it was compiled into */

struct policy_limit {
    int64_t isolations; /* at most so many … */
    int64_t per_ms;     /* … requested within this time */
};

/**
 * Compiles the two nodes (safety may be NULL; rules NULL or empty is a fault). Every fault goes to
 * reader->faults with its place; returns NULL when there was one here.
 */
const struct policy *policy_compile(const struct settings_reader *reader,
                                    const struct yaml_node *rules, const struct yaml_node *safety);
/** 64 hexadecimal digits. */
const char *policy_hash(const struct policy *p);
/** safety.mode is shadow: everything but the acting. */
bool policy_is_shadow(const struct policy *p);
const struct policy_limit *policy_limits(const struct policy *p, size_t *ret_count);
/** Does any rule hold a step of this handler? (what permissions and settings are needed) */
bool policy_uses(const struct policy *p, const char *handler);

#endif
