/* work.h - the pool of workers: one dispatcher claims what is due, worker threads run it.
 *
 * Bounded: no more is claimed than there are idle workers, and of each kind no more than its share, so
 * that a mail server that hangs cannot hold up an isolation; and of the runs of a kind no more are at a far end that hangs
 * than leave a worker to the others (workers_enter), so that one tenant's Defender cannot hold up another's release.
 * Whoever makes work due calls workers_kick; the dispatcher looks by itself, too, when the next row is due and every
 * few seconds.
 */
#ifndef CORDON_WORK_H
#define CORDON_WORK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "store_work.h"

struct workers;
typedef void (*work_fn)(void *ctx, struct work *w);

struct workers_options {
    struct store *store;
    unsigned threads;
    unsigned share[WORK_KINDS]; /* at most so many runs of a kind at once */
    /* WORK_KINDS of them, or NULL: set when more of a kind is due than its workers can take; cleared by
     * whoever finds that this is over */
    atomic_bool *crowd;
    /* or NULL: mono ms since when due work was looked for without a pause; moved when this machine or process was
     * suspended, or the clock leapt */
    _Atomic int64_t *here_since;
    work_fn run; /* must end the claim, or leave it to its lease */
    void *ctx;
};

/** *ret is set before the first run begins, so that a run finds it. */
enum err_code workers_start(const struct workers_options *o, struct workers **ret, struct err *e);
/** For a run: sleeps so long; false at once when the workers are to stop. */
bool workers_pause(struct workers *p, int64_t pause_ms);
/** Claims nothing more from now on; what runs goes on. */
void workers_quiesce(struct workers *p);
/** After workers_quiesce: waits until nothing runs, at most so long. True: nothing does. */
bool workers_wait(struct workers *p, int64_t wait_ms);
/** Claims nothing more, waits for the runs under way, joins, frees. NULL is fine. */
void workers_stop(struct workers *p);
void workers_kick(struct workers *p);
/** The same when work of one kind alone became due: nothing to do, and cheap, while that kind has no room. */
void workers_kick_for(struct workers *p, enum work_kind kind);
/** Keeps an idle worker free for one row that its maker is about to store as claimed (work_put with
 *  ret_claim), which saves the claim's own commit. True: workers_hand_over or workers_let_go must follow,
 *  exactly once. */
bool workers_reserve(struct workers *p, enum work_kind kind);
void workers_hand_over(struct workers *p, const struct work *w);
void workers_let_go(struct workers *p, enum work_kind kind);
/** The run of w has claimed these rows as well: their leases are renewed until it returns, as far as they are still
 *  its own by then. */
void workers_keep_more(struct workers *p, const struct work *w, const struct work more[], size_t n);
/** The run of w is about to call this far end (a tenant's Defender, a mail server). Of one that hangs no more runs of a kind
 *  are let in than leave one of its workers to the others; false: it is not, and gives its claim back. far_end: a name,
 *  copied. */
bool workers_enter(struct workers *p, const struct work *w, const char *far_end);
/** Claims no work of this kind for a while: its far end asked for patience. */
void workers_hold(struct workers *p, enum work_kind kind, int64_t hold_ms);
/** store_work_claim for this pool, which holds leases: when the wall clock was set ahead, by which they may have run out, nothing
 *  is claimed before they are renewed. */
enum err_code workers_claim(struct workers *p, const size_t room[WORK_KINDS], size_t max,
                            struct work *ret, size_t *ret_count, int64_t *ret_next, struct err *e);
/** Runs under way. */
unsigned workers_busy(struct workers *p);

#endif
