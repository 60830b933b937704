/* id.h - ids of deliveries, cases, isolations and notices.
 *
 * 63 bits: milliseconds since 2020 (41 bits), then 22 bits that start at random in every process and
 * count up. So ids sort by time, fit the database's integer key (an append, not a random insert) and
 * are made without asking it; two replicas that meet in one millisecond and one count collide in a
 * primary key, which refuses the second. People see them as 13 characters of Crockford's base 32.
 */
#ifndef CORDON_ID_H
#define CORDON_ID_H

#include <stdint.h>

#include "clock.h"
#include "err.h"

#define ID_TEXT_SIZE 14 /* 13 characters and the NUL */

/** A new id, greater than every id this process made before. Any thread. */
int64_t id_new(const struct clock *clock);
/** The same, and greater than `earlier`, which another process may have made by a clock that was ahead of ours: one before a
 * restart, another replica. For what is told in the order of its ids. earlier: an id, or 0. Any thread. */
int64_t id_new_after(const struct clock *clock, int64_t earlier);
/** Lower than every id of that moment or later, higher than every older one; 0 before 2020, INT64_MAX after 2089. */
int64_t id_of_time(int64_t wall_ms);
/** Writes id as 13 lower-case characters; returns out. */
char *id_format(int64_t id, char out[ID_TEXT_SIZE]);
/** Reads what id_format wrote (either case); ERR_INVALID for anything else. */
enum err_code id_parse(const char *text, int64_t *ret_id, struct err *e);

#endif
