/* cron.h - when a schedule of five fields comes round, in the time of a place.
 *
 * Fields, names, lists, ranges, steps and @hourly and its kind are those of crontab(5) as Debian has it, and so are
 * the two days of a year on which clocks change:
 *   - A schedule with * at the begin of its minute or hour (also @hourly) goes by the clock as it stands: what the
 *     clock leaves out is left out, what it repeats is repeated.
 *   - Any other names a time of day, which comes once: one that the clock leaves out comes at the moment of the
 *     change, and the second of a repeated one does not count.
 * Changes of three hours and more are corrections of a calendar, and all go by the clock as it stands.
 */
#ifndef CORDON_CRON_H
#define CORDON_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "zone.h"

struct cron { /* a bit for each value of a field */
    uint64_t minutes;
    uint32_t hours, days, months,
        weekdays;     /* days from bit 1, months from bit 1, Sunday is bit 0 */
    bool any_time;    /* the minute or hour begins with * */
    bool both_of_day; /* day or weekday begins with *: both must hold; else any of the two */
};

#define CRON_NEVER INT64_MAX

/** "0-30/10 6,18 * * mon-fri", "@daily". ERR_INVALID names the field, what it holds and what was expected, also
 *  for a schedule that never comes (30 February). */
enum err_code cron_parse(const char *text, struct cron *ret, struct err *e);
/** The first time after after_ms (wall ms), to the minute; CRON_NEVER when there is none in forty years. Pure. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms);

#endif
