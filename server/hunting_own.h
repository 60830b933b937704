/* hunting_own.h - what the two rooms of a hunt's run share: hunting.c says when it runs, asks, and ends it; hunt_found.c
 * sees to the rows that it found. Nobody else includes it. All in the worker that has claimed the hunt.
 */
#ifndef CORDON_HUNTING_OWN_H
#define CORDON_HUNTING_OWN_H

#include "engine.h"
#include "store_hunts.h"

/* A row that was not in an answer for so long is new when it comes back: no event is as old. */
#define HUNT_ROWS_KEEP_MS (HUNT_BACK_MAX_MS + 5 * DAY_MS)

struct hunting {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant;
    struct arena *arena;
    struct work *w;
    const struct config_hunt *hunt;
    struct hunt_record row;
    int64_t now, due, attempts;
    int64_t there; /* now, by Defender's clock if ours is ahead */
    bool baseline, dry;
    /* what the query found */
    struct hunt_answer answer;
    char (*keys)[HUNT_KEY_SIZE];
    enum hunt_seen *seen;
    int64_t *since;   /* wall ms: when a row that is new was in an answer first */
    bool *again;      /* the same row as an earlier one of this answer */
    const bool *torn; /* its alert stands in the answer with several machines */
    size_t *told;     /* rows to tell of, n_told of them */
    size_t n_told, n_fresh, n_cases;
    const char *refused; /* why a row can have no alert; NULL: each can */
    bool refused_before; /* an earlier run has noted such rows */
    bool more;           /* rows of another query, or of a hunt that is over, are left */
    const char *sick;    /* why people are to hear of it; NULL: nothing */
    bool well;
    struct buf result;
};

/* ---- hunt_found.c -------------------------------------------------------------------------------- */

/** What of x->answer is new, by the rows that are noted, and what of it is to be told. Writes nothing. ERR_REFUSED: the answer
 *  has no column that is a key. */
enum err_code hunt_found_tell_apart(struct hunting *x, struct err *e);
/** Was it told apart as new, or found by a run that died before it told of it? */
bool hunt_found_is_fresh(const struct hunting *x, size_t row);
/** Makes cases of what is new, where the hunt says so and it is no baseline, and notes all rows. ERR_STALE: the claim is lost; after
 *  any other failure the next run goes on with what is left. */
enum err_code hunt_found_see_to(struct hunting *x, struct err *e);

/** ERR_AGAIN: nothing new is accepted, from nobody, and no alert is made at Defender that could not be kept. */
enum err_code hunt_found_has_room(const struct hunting *x, struct err *e);
/** ERR_STOPPING: there may be hundreds of transactions to come, and whoever stops cordon waits for this run: the next one goes
 *  on. */
enum err_code hunt_found_goes_on(const struct hunting *x, struct err *e);

#endif
