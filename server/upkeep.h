/* upkeep.h - keeps the store from growing for ever: a thread that forgets, a little at a time, what is old, and
 * that closes the door to new cases when the store has reached its limit. */
#ifndef CORDON_UPKEEP_H
#define CORDON_UPKEEP_H

#include "metrics.h"
#include "store.h"

struct upkeep;

struct upkeep_limits {
    int64_t keep_ms;   /* how long a case is kept after it was over; 0: for ever */
    int64_t max_bytes; /* of the store in use; 0: no limit but the disk's */
};

struct upkeep_options {
    struct store *store;     /* borrowed until upkeep_stop */
    struct metrics *metrics; /* likewise; NULL: nobody counts */
    struct upkeep_limits limits;
    /* So long it forgets no case, also after the clock has leapt ahead: one that was far ahead is right by then. */
    int64_t settle_ms;
    /* Tells people that the store is full, or has room again: at the first look and whenever that changes, again until
     * it says true. Knows by itself what they were told before. In the thread; may be NULL. */
    bool (*filled)(void *engine, bool full, int64_t used, int64_t max);
    /* Is it known that this host's clock is wrong, or not known that it is right? Then nothing is forgotten. In the thread; may be
     * NULL. */
    bool (*clock_is_doubtful)(void *engine);
    void *engine; /* for these two; outlives the upkeep */
};

/** Begins at once, then looks every minute for what is old and every few seconds at the size. */
enum err_code upkeep_start(const struct upkeep_options *o, struct upkeep **ret, struct err *e);
/** Other limits, in force at once. Any thread. */
void upkeep_use(struct upkeep *u, const struct upkeep_limits *limits);
/** Waits for the transaction under way, joins, frees. NULL is fine. */
void upkeep_stop(struct upkeep *u);

#endif
