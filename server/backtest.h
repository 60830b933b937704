/* backtest.h - what a policy would have done about alerts of the past: decide() over them in their order, and the
 * counting of it. Pure: nothing is read or written here.
 *
 *     backtest_new; backtest_add for each alert, oldest first; backtest_write; backtest_free
 *
 * Judged as if nothing were in shadow mode. An alert is judged as of its creation, but by what Defender says of it
 * and of its machine today. A machine that was isolated stays so: later alerts of it join that isolation, as
 * they would have until somebody released it. Limits and storms are kept as brakes.c keeps them; nobody answers a
 * question, and the canary is taken as answered with yes.
 */
#ifndef CORDON_BACKTEST_H
#define CORDON_BACKTEST_H

#include <stdint.h>

#include "auto.h"
#include "buf.h"
#include "facts.h"
#include "policy.h"

struct backtest;

/** p: borrowed until the end. from_ms, to_ms: the time that it is about. */
enum err_code backtest_new(const struct policy *p, int64_t from_ms, int64_t to_ms,
                           struct backtest **ret, struct err *e);
void backtest_free(struct backtest *b);
AUTO_FREEP(struct backtest, backtest)

/** Judges one. f->read_ms is when the alert was created. Nothing of f is kept. */
enum err_code backtest_add(struct backtest *b, const struct facts *f, struct err *e);
/** One that could not be read: it is counted as that. */
void backtest_skip(struct backtest *b);

/**
 * Writes {"policy","from","to","alerts","unreadable","machines","rules":[{"rule","alerts","doubt"}],
 * "steps":[{"rule","step","done","withheld","asked"}],"withheld":[{"by","why","alerts","machines"}],
 * "asked":[{"why","alerts","machines"}],"isolations":{"requested","joined","over_limit","asked","storm"},
 * "limits":[{"isolations" or "percent","of","per_ms","most","hits","first","last"}],
 * "days":[{"day","alerts","requested","joined","withheld","asked","over_limit"}],"isolated":[{"tenant","machine_id",
 * "machine_name","alert_id","rule","type","at"}]}. steps: done counts what was asked for or joined, not what
 * a limit or a storm held back, nor what acts behind that; asked, what waits for a person's yes. rule null: none matched.
 */
void backtest_write(const struct backtest *b, struct buf *out);

#endif
