/* policy.h - the written policy, compiled: rules, what is protected, limits, mode.
 *
 * Immutable once compiled; any number of threads may decide by it. Named by the hash of its text (the
 * `rules` and `safety` parts and the lists that their files hold, in a normal form, so that white space
 * and comments do not change it).
 */
#ifndef CORDON_POLICY_H
#define CORDON_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

struct policy; /* opaque; lives in the arena it was compiled into */

enum policy_scope { POLICY_ALL, POLICY_TENANT, POLICY_RULE, POLICY_GROUP };

struct policy_limit {
    int64_t isolations; /* at most so many, or 0: … */
    int64_t percent;    /* … of the machines of a device group */
    int64_t per_ms;     /* requested within this time */
    int of;             /* enum policy_scope: those that are counted together */
};

/* Whom to ask when the policy wants a person's word, and for how long. */
struct policy_terms {
    int64_t within_ms, people;
    struct text_list approvers; /* none: mail.to */
};

struct policy_storm {
    int64_t machines, within_ms; /* machines 0: no storm breaker */
};

/**
 * Compiles the two nodes (safety may be NULL; rules NULL or empty is a fault). Every fault goes to
 * reader->faults with its place; returns NULL when there was one here.
 */
const struct policy *policy_compile(const struct settings_reader *reader,
                                    const struct yaml_node *rules, const struct yaml_node *safety);
/** 64 hexadecimal digits. */
const char *policy_hash(const struct policy *p);
/** The normal form that the hash is of, one line of JSON with the lists that its files held: what
 *  policy_restore makes the same policy of, when nothing else is left of it. */
const char *policy_text(const struct policy *p);
/** The policy that policy_text was written of. ERR_INVALID: it is none, or today's program does not take it.
 *  Everything lives in a. */
enum err_code policy_restore(struct arena *a, const char *text, const struct policy **ret,
                             struct err *e);
/** The same policy with nothing in shadow mode; NULL: out of memory. Lives in a, and borrows from p. */
const struct policy *policy_live(const struct policy *p, struct arena *a);
/** safety.mode is shadow: everything but the acting. */
bool policy_is_shadow(const struct policy *p);
/** safety.pause_file: while it is there nothing is isolated; NULL: none is named. */
const char *policy_pause_file(const struct policy *p);
/** "all", "tenant", "rule", "group"; static storage. */
const char *policy_scope_name(int scope);
const struct policy_limit *policy_limits(const struct policy *p, size_t *ret_count);
/** What steps may be called, NULL-terminated; lives in a; NULL: out of memory. */
const char *const *policy_step_names(struct arena *a);
/** The rules' names in order, NULL-terminated; lives in a; NULL: out of memory. */
const char *const *policy_rule_names(const struct policy *p, struct arena *a);
/** The next rule from *at on that can only match alerts of this source, and acts: its name, NULL: none.
 *  *at begins as 0. */
const char *policy_rule_of_source(const struct policy *p, const char *source, size_t *at);
/** How long a machine is isolated until people are asked whether that is still right; ms. */
int64_t policy_review(const struct policy *p);
/** Terms for what the safety settings ask of people; safety.ask or its defaults. */
const struct policy_terms *policy_terms(const struct policy *p);
const struct policy_storm *policy_storm(const struct policy *p);
/** safety.canary: so many first isolations of a policy are asked for; 0: none. */
int64_t policy_canary(const struct policy *p);
/** Does any rule hold a step of this handler? (what permissions and settings are needed) */
bool policy_uses(const struct policy *p, const char *handler);
/** May a condition or a template of it read a field whose name begins so? */
bool policy_reads(const struct policy *p, const char *field);

#endif
