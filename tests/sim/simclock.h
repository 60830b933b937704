/* simclock.h - the simulator's own clock, whose hands a test can turn, and Defender's timestamps.
 *
 * A tick is 100 ns since 1970 UTC: .NET's unit, which is where the seven fractional digits come from.
 */
#ifndef SIM_SIMCLOCK_H
#define SIM_SIMCLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define TICKS_PER_S  INT64_C(10000000)
#define TICKS_PER_MS INT64_C(10000)

struct simclock {
    int64_t base_us;    /* host's monotonic clock at the last turn */
    int64_t base_ticks; /* what this clock showed then */
    double scale;       /* how many times as fast as the host's */
};

/** Shows the host's wall clock and runs with it. */
void simclock_init(struct simclock *h);
int64_t simclock_now(const struct simclock *h); /* ticks */
/** Keeps the time it shows and runs at another speed. */
void simclock_scale(struct simclock *h, double scale);
void simclock_set(struct simclock *h, int64_t ticks);

#define TICKS_TEXT_SIZE sizeof "2026-01-01T00:00:00.0000000Z"

/** The time with exactly `digits` (0 to 7) fractional digits, cut. */
char *ticks_format(int64_t ticks, int digits, char out[TICKS_TEXT_SIZE]);
/** Cuts to `digits` and makes the last digit one to nine: trailing zeros are never sent (trap 15). */
int64_t ticks_cut(int64_t ticks, int digits);
/** Reads Defender's form (0 to 7 digits, Z) and a bare date with or without Z (section 2.4). */
enum err_code ticks_parse(const char *text, int64_t *ret, struct err *e);

#endif
