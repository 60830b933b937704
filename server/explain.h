/* explain.h - why a case was judged as it was, from what is stored alone, and whether today's program would say the
 * same: the verdict is given again of the stored facts, at the stored time, by the policy that was kept.
 */
#ifndef CORDON_EXPLAIN_H
#define CORDON_EXPLAIN_H

#include "buf.h"
#include "policy.h"
#include "store.h"

/**
 * Writes {"case","tenant","alert_id","machine_id","state","verdict","steps":[{"handler","state","why","asks","updated"}],
 * "not_taken":[handler],"policy":{"hash","kept","since","in_force"},"again":{"same","why","verdict"},"facts"}. again.same is null,
 * with a reason, where it cannot be said; again.verdict is there where it is another. steps: the case's own, which it keeps
 * when it is judged again; asks is there where the verdict wants a yes before that step; not_taken: what it wants besides.
 *
 * in_force  the policy of now.
 * Returns   ERR_NOT_FOUND; ERR_CONFLICT when the case has no verdict yet; else as the store's.
 * Threads   any.
 */
enum err_code explain_case(struct store *s, int64_t id, const struct policy *in_force,
                           struct buf *out, struct err *e);

struct json;
/**
 * What came of a rule, one of a verdict's "why" in their order, in words.
 *
 * gave    the name of the rule that gave the verdict; NULL: none did.
 * *found  false before the first; whether it was met.
 * Returns static storage.
 */
const char *explain_rule_says(const struct json *rule, const char *gave, bool *found);
/** The same of one of "protected": "protects", … */
const char *explain_protection_says(const struct json *protection);
/** A step's state: "asked for" where `done` is no more than that Defender was asked. Returns static storage, or a
 *  text of step. */
const char *explain_step_says(const struct json *step);
/** The same of a step by its handler's name and its state's; NULL: unknown. */
const char *explain_step_word(const char *name, const char *state);

#endif
