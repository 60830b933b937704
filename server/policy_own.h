/* policy_own.h - what the rooms that compile a policy share, and nobody else sees.
 *
 *     policy.c         the rules, and the whole
 *     policy_steps.c   a rule's steps: their arguments, when they are done, what follows when they fail
 *     policy_safety.c  safety: what is protected, limits, whom to ask
 *     policy_name.c    the policy's normal form, and the hash that names it
 */
#ifndef CORDON_POLICY_OWN_H
#define CORDON_POLICY_OWN_H

#include "policy_rules.h"
#include "settings.h"

/* The handlers that safety and notices speak of. */
#define POLICY_TELL "email"
#define POLICY_ASK  "ask"

/* `mode`, of a rule and of safety: these words in this order. */
enum { POLICY_LIVE, POLICY_SHADOW };
extern const char *const policy_modes[];

struct policy_compiler {
    const struct settings_reader *reader;
    struct policy *policy;
    size_t tries; /* left to tell which rules are reached: condition_implies */
};

/** Notes that there was none; returns NULL. */
void *policy_no_memory(const struct policy_compiler *c, const struct yaml_node *at);

/* ---- policy_steps.c ---------------------------------------------------------------------------- */

/** Reads the arguments of one step into *step; at_step, args: NULL for a step that nobody wrote. */
void policy_compile_step(struct policy_compiler *c, const struct yaml_node *at_step,
                         const struct yaml_node *args, const struct handler *h,
                         struct policy_step *step);
/** Reads a rule's `do` into rule. */
void policy_compile_steps(struct policy_compiler *c, const struct yaml_node *list,
                          struct policy_rule *rule);

/* ---- policy_safety.c --------------------------------------------------------------------------- */

/** Reads `safety`; NULL: it was left out, all is as it stands by default. */
void policy_compile_safety(struct policy_compiler *c, const struct yaml_node *safety);

/* ---- policy_name.c ----------------------------------------------------------------------------- */

/** Writes the policy's normal form and its hash. */
void policy_name(struct policy_compiler *c, const struct yaml_node *rules,
                 const struct yaml_node *safety);

#endif
