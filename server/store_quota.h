/* store_quota.h - the calls to Defender that were made, or promised to a process, in the last hour.
 *
 * A row of `quota_slices` is some calls of one application and API class (quota.h) with the time that
 * they count from. Alone with its store, a process notes what it has called, so that the next one does not
 * begin the hour anew. Processes that share a tenant take slices instead: a few calls, promised in one
 * transaction that sees all others' slices, so that together they stay within the limits.
 */
#ifndef CORDON_STORE_QUOTA_H
#define CORDON_STORE_QUOTA_H

#include "store.h"

struct quota_slice {
    const char *app, *class;
    int64_t per_minute, per_hour; /* that all slices together may hold */
    int64_t want;                 /* calls, at least 1 */
    int64_t hold_ms; /* how long they may be used: they count as made at the end of that */
    int64_t last_id, last_left; /* of the slice before: what was not used goes back; 0: none */
    /* out */
    int64_t id, calls; /* calls 0: none to be had for wait_ms */
    int64_t wait_ms;
};

/** Takes a slice in one transaction. ERR_OK also when there was none. Blocks for the disk. */
enum err_code store_quota_take(struct store *s, struct quota_slice *slice, struct err *e);

/** Notes calls that were made now, without waiting and without saying how that went: what is lost is a
 *  record of past calls, and Defender's own count stands behind it. */
void store_quota_note(struct store *s, const char *app, const char *class, int64_t calls);
/** The same for a time before which Defender wants no call (wall ms). */
void store_quota_note_block(struct store *s, const char *app, const char *class, int64_t until);

/** fn(ctx, at, calls) for each row of the last hour, oldest first; *ret_blocked_until: wall ms, 0: not. */
enum err_code store_quota_load(struct store *s, const char *app, const char *class,
                               void (*fn)(void *ctx, int64_t at, int64_t calls), void *ctx,
                               int64_t *ret_blocked_until, struct err *e);

#endif
