/* engine.h - what everything right of the durable line shares, and how a run of work ends.
 *
 * A worker thread gets one claimed row of work and runs it: expand_run for a case, isolation_run for an
 * isolation, notice_run for a notice, silence_run for a heartbeat. A run does one outside effect at a time, writes its
 * outcome and the next due time in one transaction (which fails with ERR_STALE when the lease was lost), and
 * goes on or returns; waiting for a time or for Defender holds no thread.
 */
#ifndef CORDON_ENGINE_H
#define CORDON_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "health.h"
#include "metrics.h"
#include "runtime.h"
#include "store.h"
#include "store_work.h"

struct workers;
struct capabilities;

struct engine;
/* Runs a claimed row as far as it goes now, and ends the claim. */
typedef void (*engine_run)(struct engine *g, struct work *w);

/* More than there are workers, and than requests whose answer or record is lost within WORK_SETTLE_MS. */
#define ENGINE_POSTS_MAX 512

/* For so long what is about something that the configuration does not have waits for one that has it, and so often it is
 * looked whether that has come. */
#define ENGINE_NEWER_CONFIG_MS      (5 * MINUTE_MS)
#define ENGINE_NEWER_CONFIG_LOOK_MS (2 * SECOND_MS)

/* Cases whose time of judging is remembered, a power of two; one that is forgotten is read anew, which costs
 * calls in a storm of isolations: 256 KiB for thousands of them. */
#define ENGINE_JUDGED_BITS 14
#define ENGINE_JUDGED_PROBES                                                                       \
    8 /* places that a case may stand at: thousands of them get in nobody's way */

struct engine {
    engine_run runs[WORK_KINDS];
    struct store *store;
    struct rest *rest;
    const struct clock *clock;
    const char *mail_helper;           /* program for mail_server.helper; NULL: this one */
    struct metrics *metrics;           /* NULL: nobody counts */
    struct health *health;             /* NULL: nobody asks */
    struct capabilities *capabilities; /* for links in mails; NULL: they hold none */
    struct workers *workers;
    int64_t began_ms;              /* mono: when this process did */
    int64_t began_boot_ms;         /* the same; clock_boot_ms */
    int64_t began_wall_ms;         /* the same, as the wall clock stood then */
    _Atomic int64_t here_since_ms; /* mono: due work was looked for since then, without a pause */
    atomic_bool crowd[WORK_KINDS]; /* more of it was due than could be claimed */
    atomic_bool asks_owed;         /* engine_ask_owed */
    /* the notice that waits for its answer for long, one at a time (ways.c); 0: none does */
    _Atomic int64_t patient;
    pthread_mutex_t lock; /* of what follows */
    struct runtime *runtime;
    struct {
        int64_t id;       /* the row; 0: free */
        int64_t until_ms; /* mono: until then it rests, though its POST has ended; 0: it has not */
        bool rests;       /* it is to, once it has ended */
        struct work next; /* a claim of the row that came meanwhile; id 0: none */
    } posts[ENGINE_POSTS_MAX];
    struct {
        int64_t id, mono_ms;
    } judged[1 << ENGINE_JUDGED_BITS]; /* a case's places follow from its id */
};

/** Borrows store, rest and clock; takes over the reference to runtime. */
enum err_code engine_new(struct store *store, struct rest *rest, const struct clock *clock,
                         struct runtime *runtime, struct engine **ret, struct err *e);
/** Frees the leases of an earlier run where that is safe, and starts the workers. runs: who does each kind
 *  of work; they stand on this room, so it is told of them. */
enum err_code engine_start(struct engine *g, const engine_run runs[WORK_KINDS], struct err *e);
/** Begins nothing more; what runs goes on. */
void engine_quiesce(struct engine *g);
/** After engine_quiesce: waits until nothing runs, at most so long. True: nothing does. */
bool engine_wait(struct engine *g, int64_t wait_ms);
/** Is the server at work, and not told to stop? Whoever has much to do, one by one, asks in between. Threads: any. */
bool engine_goes_on(struct engine *g);
/** Lets the runs under way finish (each at most a minute or three), gives back what was claimed. */
void engine_stop(struct engine *g);
void engine_free(struct engine *g);
/** The configuration in force; runtime_unref it. */
struct runtime *engine_runtime(struct engine *g);
/** Is rt still in force? For the transaction that says when a row is due by rt's terms: whoever puts another into force wakes
 *  the row after that, which does nothing while it is claimed. */
bool engine_is_in_force(struct engine *g, const struct runtime *rt);
/** Was the row made so lately that what it is about may be of a configuration which this replica was not told yet? They are
 *  told one after the other. now: wall ms. */
bool engine_may_be_newer(const struct work *w, int64_t now);
/** The same of a policy that something was asked or answered by, since wall ms, and that is not in force here. */
bool engine_may_wait_for(const struct engine *g, int64_t since, int64_t now);
/** For the transaction of a run that finds nothing in rt of what its row is about, a hunt, say. *ret_over: it was taken out of
 *  the configuration, and the caller ends the row. Else the claim has ended, to come again: a younger configuration may have
 *  it, which came into force meanwhile or of which only other replicas were told. */
enum err_code engine_unknown(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                             const struct work *w, bool *ret_over, struct err *e);
/** Puts another into force, taking over the reference; budgets go on as they stand. Cases that were tried in
 *  vain are tried again at once: the new one may be the cure. */
void engine_use(struct engine *g, struct runtime *r);
/** Whom a question is to be asked may have changed with that, or while cordon was away: each open one has a look. Tries again
 *  what the store did not take then; ERR_OK where there is nothing of the kind. */
enum err_code engine_ask_owed(struct engine *g, struct err *e);
/** Notes that a row's POST is under way in this process, until engine_post_ended. A lease is measured by the wall
 *  clock, which may jump: this is not. False: there is one already, or one that rests. Any thread. */
bool engine_post_begins(struct engine *g, int64_t row_id);
/** After the record. When there is none, because the claim was given back instead (engine_again) or lost, the row rests
 *  for WORK_SETTLE_MS from now: nothing in the store says when the request was given up. A claim that came before this and
 *  was told to wait (engine_post_wait) is given back. */
void engine_post_ended(struct engine *g, int64_t row_id);
/** Nobody knows what came of the row's POST, which is under way in this process: it rests as well, once that has ended. */
void engine_post_is_lost(struct engine *g, int64_t row_id);
/** How long until the last request of w's row is visible, or never will be, ms. 0: as far as is known here, it is;
 *  INT64_MAX: it is still under way, or its record is on disk and engine_post_ended only about to be called. Then the run
 *  leaves w as it is: engine_post_ended gives it back. */
int64_t engine_post_wait(struct engine *g, const struct work *w);
/** Notes that a case was judged, by facts read not long before. For those that are to be acted on. */
void engine_judged(struct engine *g, int64_t case_id);
/** Nothing will be asked for by this case's own verdict: the place is for others. */
void engine_forget_judged(struct engine *g, int64_t case_id);
/** How long ago that was, ms; INT64_MAX when that is not known, as for what an earlier process judged. The
 *  wall clock may be set back, and makes old facts young again: this does not. Any thread. */
int64_t engine_judged_ago(struct engine *g, int64_t case_id);
/** Has this process looked for due work for so long, without a pause? What was due since then waited for its turn. */
bool engine_was_here(struct engine *g, int64_t for_ms);
/** There may be new work: look at once. Any thread, cheap. */
void engine_kick(struct engine *g);
/** The same when all that is new are cases. */
void engine_kick_cases(struct engine *g);
/** For intake: keeps a worker free for a case that is about to be stored as claimed; true: give it the
 *  claim with engine_hand_over, NULL when there came none. Any thread, cheap. */
bool engine_reserve(struct engine *g);
void engine_hand_over(struct engine *g, const struct work *w);

/** Does more work of this kind wait than there are workers for it? Then a run may do several rows at once. */
bool engine_is_crowded(struct engine *g, enum work_kind kind);
/** For the run of w: claims up to max more rows of its kind that are due; *ret_count may be 0. Logs failures. The
 *  run ends each claim as if it had been given it; until it returns, their leases are renewed as w's own. */
void engine_claim_more(struct engine *g, const struct work *w, size_t max, struct work ret[],
                       size_t *ret_count);
/** The run of w is about to call one of `of` far ends: tenants by their name, ways of notices by theirs. False: it hangs,
 *  and has as many of the workers of this kind as may wait for it; the claim has been given back for a moment. */
bool engine_enter(struct engine *g, const struct work *w, const char *far_end, size_t of);
/** Claims nothing of a kind for a while, so that more of it gathers. */
void engine_hold(struct engine *g, enum work_kind kind, int64_t hold_ms);

/* ---- how a run of work ends ------------------------------------------------------------------- */

/** Wait before attempt number attempts + 1: 1 s, 2 s, 4 s … 15 min, give or take a fifth; but at least
 *  what the peer asked for (retry_ms). */
int64_t engine_backoff(int64_t attempts, int64_t retry_ms);
/** The same for a failure: after ERR_THROTTLED it is known when it is worth while, and it was no attempt. */
int64_t engine_wait_after(const struct work *w, const struct err *why);
/** Attempts to be counted from now on, after that failure. */
int64_t engine_attempts_after(const struct work *w, const struct err *why);
/** Has what failed so been tried for for_ms since its work began, and often enough? last: when it was tried before, wall ms, 0:
 *  never; then, and after a pause of days, w's attempts are counted anew. What wants of calls counts as well once for_ms are
 *  over, and waits longer from try to try: why->retry_ms grows then. */
bool engine_is_given_up(struct work *w, int64_t now, int64_t last, int64_t for_ms, struct err *why);
/** Gives a claim back, due again after delay_ms, when nothing else is to be written; it was an attempt. On a disk
 *  that takes nothing it tries on until the lease runs out (the claim then comes again by itself) or the
 *  workers are to stop. While the row's POST is under way here, what came of it could not be written: then it is
 *  due after WORK_SETTLE_MS at the earliest, for whoever claims it. Logs failures. */
void engine_again(struct engine *g, const struct work *w, int64_t delay_ms);
/** The same after engine_backoff: the attempt failed here, for want of the store or of memory. */
void engine_retry(struct engine *g, const struct work *w);
/** The same as engine_again, and it was no attempt: nothing failed, it waits for room, for calls or for others. */
void engine_give_back(struct engine *g, const struct work *w, int64_t delay_ms);
/** Likewise for n claims, due again at once, in one transaction; wakes who may take them. */
void engine_give_back_all(struct engine *g, const struct work *const claims[], size_t n);

/** A case met an empty budget. When no tenant of rt has one left, no case is claimed for a while, so that
 *  thousands that wait cost nothing. */
void engine_throttled(struct engine *g, struct runtime *rt);

/** due, or the moment when people must hear that what began at `since` is not done yet, if that comes
 *  first. */
int64_t engine_late_due(int64_t now, int64_t due, int64_t since);

/* After so long without success people are told that it is not done yet; it is tried on. */
#define ENGINE_LATE_MS (15 * MINUTE_MS)
/** Has what came at `since` waited so long? Also when that is as far ahead: the clock was set back, and nobody can say. */
bool engine_is_late(int64_t now, int64_t since);

#endif
