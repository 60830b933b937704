/* zone.h - the wall clock of a place: how far it is from UTC, and until when.
 *
 * Read from the system's tzdata (TZif, RFC 8536), once, into memory. tzset() and TZ are not used: they belong to
 * the whole process, and two hunts may live in two places.
 */
#ifndef CORDON_ZONE_H
#define CORDON_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "err.h"

struct zone; /* immutable; any thread */

/* While the wall clock goes on without a jump: UTC seconds from <= t < until; wall clock = t + offset. */
struct zone_span {
    int64_t from, until; /* INT64_MIN, INT64_MAX: without end on that side */
    int32_t offset;      /* seconds east of UTC */
};

/**
 * name      "Europe/Stockholm", "UTC"; the latter needs no tzdata.
 * a         the zone lives there.
 * Returns   ERR_INVALID for what cannot be a zone's name, or a file that is none; ERR_NOT_FOUND when the system knows no
 *           such zone (the sentence says so too when it knows none at all); ERR_IO; ERR_NOMEM.
 */
enum err_code zone_load(const char *name, struct arena *a, const struct zone **ret, struct err *e);
/** The same from the bytes of such a file. */
enum err_code zone_parse(const unsigned char *bytes, size_t len, struct arena *a,
                         const struct zone **ret, struct err *e);
/** The span that holds the moment utc_s, seconds since 1970. */
struct zone_span zone_span_at(const struct zone *z, int64_t utc_s);

/** The date of a day counted from 1970-01-01; month and day from 1. The inverse of clock_day_of. */
void zone_date_of(int64_t day, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
