/* store_work.h - what is to be done next: claimed under a lease, finished with a fence.
 *
 *     claim: due moves to the end of the lease, a new fence, attempts + 1 unless the last holder is gone: a
 *            run that a kill cut short failed at nothing, and the next failure must not wait as if it had
 *     due <= now --claim--> leased --work_done--> (row gone)
 *          ^                  | \---work_again--> due later, not leased
 *          +-- lease ran out -+
 *
 * Every transaction that writes an outcome ends with work_done, work_again or work_keep of its claim;
 * they fail with ERR_STALE, and so undo it all, when the lease was lost and another worker claimed the
 * row; also when that one is done with it and the row is there anew. A row's id is the id of the case, isolation,
 * notice, heartbeat, question or silence it is about; the daily digest's is DIGEST_ID.
 */
#ifndef CORDON_STORE_WORK_H
#define CORDON_STORE_WORK_H

#include "store.h"

enum work_kind {
    WORK_CASE,
    WORK_ISOLATION, /* until it is known how the request ended */
    WORK_NOTICE,
    WORK_HEARTBEAT,
    WORK_POLL,
    WORK_DIGEST,
    WORK_LEDGER, /* and from then on: reviews, the release, an absent machine that comes back */
    WORK_ACTION, /* what a machine was asked for besides, until it is known how that ended */
    WORK_QUESTION,
    WORK_WAY, /* a way out that fails, until it works again */
    WORK_HUNT,
    WORK_RECONCILE, /* what others did about isolation at Defender, into the ledger */
    WORK_BURST,     /* notices that are held are told together */
    WORK_MUTE,      /* a silence, until its end is told */
    WORK_KINDS
};

enum work_priority { WORK_URGENT, WORK_NORMAL, WORK_PRIORITIES };

/* How long nobody takes over from a process that is gone. Renewed by every write of a run and, while the run
 * is at work, every WORK_KEEP_MS (work.c). */
#define WORK_LEASE_MS (30 * SECOND_MS)
#define WORK_KEEP_MS  (10 * SECOND_MS)

/* Replicas measure leases with clocks of their own, which may differ so much (db_postgres.c). */
#define WORK_SKEW_MS (5 * SECOND_MS)

/* A request whose sender died or gave up is visible at the far end after this, or never will be. */
#define WORK_SETTLE_MS (10 * SECOND_MS)

/* A request that acts leaves within WORK_LEAVE_MS of the transaction that allowed it, or never; and it ended, one
 * way or the other, WORK_ANSWER_MS later (defender-api.md section 7.6). Whoever takes over may look, and then
 * act, when it has settled after that: the lease of such a row is as long, and needs no renewal, for the process
 * may be stopped while its request is on its way. */
#define WORK_LEAVE_MS      (15 * SECOND_MS)
#define WORK_ANSWER_MS     (60 * SECOND_MS)
#define WORK_POST_LEASE_MS (WORK_LEAVE_MS + WORK_ANSWER_MS + WORK_SETTLE_MS + WORK_SKEW_MS)

/* So often a machine that is isolated is looked at (ledger.c): one call a machine, of the 1,500 an hour that a tenant has
 * (defender-api.md section 7.4). */
#define WORK_LEDGER_EVERY_MS (4 * HOUR_MS)

/* A due time that never comes: the row waits for work_wake. */
#define WORK_PARKED INT64_MAX

struct work {
    int64_t id;
    enum work_kind kind;
    int64_t attempts; /* runs with this one, less those cut short; work_again may reset it */
    int64_t fence;
    int64_t created; /* wall ms */
    int64_t lease_end;
};

/**
 * Claims rows that are due, the urgent ones first: at most room[kind] of each kind and max in all.
 * owner: names this process. ret: room for max. *ret_next: the earliest due time left among the kinds
 * that have room (WORK_PARKED: none).
 */
enum err_code store_work_claim(struct store *s, const char *owner, const size_t room[WORK_KINDS],
                               size_t max, struct work *ret, size_t *ret_count, int64_t *ret_next,
                               struct err *e);
/** The same, but nothing if the wall clock is by more than ahead_ms ahead of the one that never jumps: then *ret_next says what is
 *  due, and the leases that this process holds are to be renewed first. */
enum err_code store_work_claim_by(struct store *s, const char *owner, int64_t ahead_ms,
                                  const size_t room[WORK_KINDS], size_t max, struct work *ret,
                                  size_t *ret_count, int64_t *ret_next, struct err *e);
/** Renews the leases of n rows that are still ours; of others nothing happens. */
enum err_code store_work_keep(struct store *s, const struct work *rows, size_t n, struct err *e);
/** Frees every lease: for a store that only one process can serve (SQLite), at its start. An isolation whose
 *  request may have left with the dead process rests for WORK_SETTLE_MS from now. And then as store_work_doubt. */
enum err_code store_work_recover(struct store *s, struct err *e);
/** For the start of any process: the wall clock may have been set back while nobody ran. As store_work_hurry, but for machines that
 *  are isolated, which nothing says that of. */
enum err_code store_work_doubt(struct store *s, struct err *e);
/** The wall clock was set back: what is due in more than five minutes is
 *  due now, and a lease that lasts so long ends in WORK_POST_LEASE_MS, unless it is renewed: whoever had it may be gone. Every run
 *  looks before it acts, so that it may come early. Among replicas, too: a host that has a wrong time of its own cannot write
 *  (db_postgres.c), but a database on this one shares the wrong time, and is set right with it. */
enum err_code store_work_hurry(struct store *s, struct err *e);
/** A new configuration is in force, and it may be the cure (a renewed secret, another mail server): cases and notices that were
 *  tried in vain and wait to be tried again are due now. */
enum err_code store_work_try_now(struct store *s, struct err *e);
/** And other people may be to be asked: questions that are open are due now, and see to that (question.c). */
enum err_code store_work_ask_now(struct store *s, struct err *e);
/** Rows of a kind that nobody holds and that are due until then, wall ms. */
enum err_code store_work_waiting(struct store *s, enum work_kind kind, int64_t until, int64_t *ret,
                                 struct err *e);
/** When the row about this comes next, wall ms; 0: it has none, it is parked, or somebody is at work on it. */
enum err_code store_work_due(struct store *s, int64_t id, int64_t *ret, struct err *e);
/** Is there work of this id, also such as somebody has at hand, or that waits for a person? */
enum err_code store_work_is_there(struct store *s, int64_t id, bool *ret, struct err *e);
/** Rows by kind, leased or not (for the metrics). */
enum err_code store_work_count(struct store *s, int64_t ret[WORK_KINDS], struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** A new row; leased to the caller at once when ret_claim is not NULL: an isolation for a POST, as with
 *  work_keep_for_post. */
enum err_code work_put(struct db_tx *tx, int64_t id, enum work_kind kind,
                       enum work_priority priority, int64_t due, int64_t now,
                       struct work *ret_claim, struct err *e);
/** Nothing more to do: removes the row. */
enum err_code work_done(struct db_tx *tx, const struct work *w, struct err *e);
/** Not leased any more, due again at `due`. attempts: as counted from now on. */
enum err_code work_again(struct db_tx *tx, const struct work *w, int64_t due, int64_t attempts,
                         struct err *e);
/** Still ours: renews the lease from now; w->lease_end moves. */
enum err_code work_keep(struct db_tx *tx, struct work *w, int64_t now, struct err *e);
/** The same, for WORK_POST_LEASE_MS: a request that acts is about to leave. */
enum err_code work_keep_for_post(struct db_tx *tx, struct work *w, int64_t now, struct err *e);
/** The row is about this from now on, under nobody's claim; whoever held it writes nothing more. Makes one when
 *  there is none. A holder that goes on to it calls work_again first, which checks its claim. */
enum err_code work_turn(struct db_tx *tx, int64_t id, enum work_kind kind,
                        enum work_priority priority, int64_t due, int64_t now, struct err *e);
/** Nobody is to do it any more: removes the row, whoever holds it; his writes then fail with ERR_STALE. */
enum err_code work_cancel(struct db_tx *tx, int64_t id, struct err *e);
/** A row that is to be there as long as what it is about is watched: makes it, due now, or one that is there due now unless
 *  it is leased. Whoever is just ending it clashes with this, and runs again after it. */
enum err_code work_watch(struct db_tx *tx, int64_t id, enum work_kind kind, int64_t now,
                         struct err *e);
/** Makes somebody's row due at `due` if it would be later and is not leased. No row is no error. */
enum err_code work_wake(struct db_tx *tx, int64_t id, int64_t due, struct err *e);
/** What of a kind and priority was put to begin at just that moment, and is not leased, begins now. */
enum err_code work_begin_early(struct db_tx *tx, enum work_kind kind, enum work_priority priority,
                               int64_t at, int64_t now, struct err *e);

#endif
