/* store_heartbeats.h - when each source was last heard, and whether people know that it went quiet.
 *
 * One row per source. That a source was heard is not written with each of its deliveries but once in a while
 * (heard.c), so `heard` is up to HEARTBEAT_LAG_MS too old.
 */
#ifndef CORDON_STORE_HEARTBEATS_H
#define CORDON_STORE_HEARTBEATS_H

#include "store.h"

/* Of a source with this heartbeat; 0: it has none. A twentieth of it, a minute at most. */
#define HEARTBEAT_LAG_MS(heartbeat_ms)                                                             \
    ((heartbeat_ms) && (heartbeat_ms) < 20 * MINUTE_MS ? (heartbeat_ms) / 20 : MINUTE_MS)

struct heartbeat { /* times are wall ms */
    int64_t id;    /* of the row, and of its work */
    const char *source;
    int64_t heard; /* 0: never */
    int64_t since; /* silence counts from here: its watch, or the server, began then */
    /* when people were told that it is quiet; 0: they were not, or that it is back */
    int64_t quiet;
};

/** Notes without waiting that a source was heard, and wakes its watch when it was quiet. done(arg, now, …) is called
 *  once in a thread of the store's, with ERR_OK when it is on disk, unless this returns an error at once (ERR_AGAIN:
 *  the queue is full); may be NULL. Any thread. */
typedef void (*store_heard_done)(void *arg, int64_t now, enum err_code code, const struct err *e);
enum err_code store_heard(struct store *s, const char *source, int64_t now, store_heard_done done,
                          void *arg, struct err *e);
/** All rows, by name. */
enum err_code store_heartbeat_list(struct store *s, struct arena *a, struct heartbeat **ret,
                                   size_t *ret_count, struct err *e);
/** For so many ms until now nobody could be heard, by the wall clock: silence of that time does not count. Where the store
 *  is shared others may have been there: when one of them sees to the reading of lists, nothing is moved. owner: names this
 *  process, which may have claimed that since. */
enum err_code store_heartbeats_away(struct store *s, const char *owner, int64_t ms, struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** Begins to watch a source, or looks at it now when it is watched. there: the last time at which the server is known to have
 *  been there, when it was not until now; silence of the time between does not count. Else now. */
enum err_code heartbeat_watch(struct db_tx *tx, const char *source, int64_t there, int64_t now,
                              struct err *e);
/** Looks now at all that are watched: some may not have to be any more. */
enum err_code heartbeat_wake_all(struct db_tx *tx, int64_t now, struct err *e);
/** ERR_NOT_FOUND. */
enum err_code heartbeat_load(struct db_tx *tx, struct arena *a, int64_t id, struct heartbeat *ret,
                             struct err *e);
/** Writes heard, since and quiet of `to`; ERR_STALE when the source was heard since `from` was read. */
enum err_code heartbeat_move(struct db_tx *tx, const struct heartbeat *from,
                             const struct heartbeat *to, struct err *e);

#endif
