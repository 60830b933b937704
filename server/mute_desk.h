/* mute_desk.h - what people order of silences, and what they are shown: JSON in and out, no HTTP.
 *
 * Before a silence is put up it is held against the cases of the last MUTE_LOOK_BACK_MS, as `preview` shows them. It is
 * broad when it names no field; when it would have matched more than MUTE_BROAD_PERCENT of those cases; or when this
 * cannot be said (fewer than MUTE_HISTORY_MIN cases, or looking took too long) and it does not demand a certain title,
 * detector, alert or machine. A broad one begins when a second person says yes, who is not its author.
 */
#ifndef CORDON_MUTE_DESK_H
#define CORDON_MUTE_DESK_H

#include "buf.h"
#include "desk.h"
#include "mute.h"

#define MUTE_LOOK_BACK_MS  (7 * DAY_MS)
#define MUTE_BROAD_PERCENT 20
#define MUTE_HISTORY_MIN   20
#define MUTE_SHOWN         50 /* cases of a preview, by name */

struct mute_order {
    const char *when;         /* the condition, as YAML or JSON */
    const char *who, *why;    /* both are demanded; at most DESK_WHO_MAX and DESK_WHY_MAX bytes */
    int64_t for_ms, until_ms; /* how long, or wall ms of the end: one of them; the other 0 */
};

/**
 * Puts one up, and tells people. out: {"silence","state","until","broad","preview"}; broad is null or says why it
 * waits for a second person. ERR_INVALID for an order with a fault, ERR_CONFLICT when there are too many, or nobody whom
 * its end could be told. Threads: any that may wait for a commit, and for the look at the past (10 s).
 */
enum err_code mute_desk_add(struct engine *g, const struct mute_order *o, struct buf *out,
                            struct err *e);
/** What it would have matched: {"days","cases_seen","matched","percent","withheld","complete","broad","cases":[…]}.
 *  withheld: matched, less those that are told as ever. Changes nothing. */
enum err_code mute_desk_preview(struct engine *g, const char *when, struct buf *out, struct err *e);
/** A second person's yes to o->id. ERR_CONFLICT: he is the author, or it is not proposed (any more). */
enum err_code mute_desk_approve(struct engine *g, const struct desk_order *o, struct err *e);
/** Ends o->id before its time, or says no to a proposed one; o->why is demanded. */
enum err_code mute_desk_end(struct engine *g, const struct desk_order *o, struct err *e);

/** {"silences":[…],"next":…} */
enum err_code mute_desk_list(struct store *s, bool open_only, int64_t before_id, size_t limit,
                             struct buf *out, struct err *e);
/** One, with a page of what it withheld so far: {…,"cases":[…],"next":…}, the newest case first. before_id: cursor, 0: from
 *  the newest. ERR_NOT_FOUND. */
enum err_code mute_desk_show(struct store *s, int64_t id, int64_t before_id, size_t limit,
                             struct buf *out, struct err *e);

#endif
