/* clock.h - two clocks, two uses: mono_ms to wait, wall_ms to record.
 *
 * Code that compares times takes `now` or a `struct clock *`, so that a test can turn the hands.
 */
#ifndef CORDON_CLOCK_H
#define CORDON_CLOCK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "err.h"

struct clock {
    int64_t (*wall_ms)(const struct clock *c); /* ms since 1970 UTC; may jump */
    int64_t (*mono_ms)(const struct clock *c); /* ms since some start; never goes back */
};

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

/** Milliseconds since the host started, the time that it or this process slept included: for deadlines that
 *  others count on (leases). */
int64_t clock_boot_ms(void);
/** The host's clocks. Static storage, any thread. */
const struct clock *clock_system(void);
int64_t clock_wall_ms(const struct clock *c);
int64_t clock_mono_ms(const struct clock *c);

/** Makes a condition whose timed waits go by the host's monotonic clock; pthread_cond_destroy it. */
void clock_cond_init(pthread_cond_t *cond);
/** When that clock will have gone on by ms: for pthread_cond_timedwait. Any thread. */
struct timespec clock_cond_until(int64_t ms);

#define CLOCK_TEXT_SIZE sizeof "2026-01-01T00:00:00.000Z"

/** How far ours is off another clock, which showed date_ms to date_ms + 999 (a Date header) at some time between before and
 *  after (wall ms of ours): positive when ours is ahead, 0 when they agree as far as that tells. */
int64_t clock_off_ms(int64_t date_ms, int64_t before, int64_t after);

/** wall_ms as RFC 3339 in UTC with milliseconds ("2026-01-01T00:00:00.000Z"); returns out. */
char *clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]);

#define CLOCK_SPAN_SIZE sizeof "-9223372036854775808 minutes"

/** A time span for people, in whole minutes if it is some, else in seconds: "60 minutes", "1 minute", "90 seconds"; returns
 *  out. */
char *clock_span(int64_t ms, char out[CLOCK_SPAN_SIZE]);

/**
 * Reads a timestamp as Defender writes it: RFC 3339 in UTC, `Z` at the end, 0 to 7 (we take 9)
 * fractional digits (defender-api.md trap 15). Digits beyond milliseconds are cut.
 * Returns ERR_INVALID for anything else; *ret_ms is then untouched.
 */
enum err_code clock_parse(const char *text, int64_t *ret_ms, struct err *e);

/** Days from 1970-01-01 to a date of the Gregorian calendar; month and day from 1. */
int64_t clock_day_of(int64_t year, int month, int day);
/** 28 to 31. */
int clock_month_length(int64_t year, int month);

#endif
