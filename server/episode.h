/* episode.h - one isolation at work: what its transactions share, and what is done about it alone.
 *
 * For isolation_request.c, which begins it for a case, and isolation.c, which sees to many at once. episode.c has what
 * an answer of Defender's means and how it is written down, with the POST; episode_run.c an isolation's own runs.
 * Threads: workers; an episode is one worker's.
 */
#ifndef CORDON_EPISODE_H
#define CORDON_EPISODE_H

#include "defender.h"
#include "engine.h"
#include "grounds.h"
#include "log.h"
#include "notice.h"
#include "store_isolations.h"
#include "work.h"

/* When there are many, they are seen to together, at the same moments: whole multiples of this. */
#define EPISODE_GRID_MS (SECOND_MS / 2)
/* An older look is no ground for a POST (episode_look_is_young). */
#define EPISODE_LOOK_FRESH_MS MINUTE_MS
/* Those of cases that are judged one after the other wait for the last of them, but not longer than that. */
#define EPISODE_TOGETHER_MS (10 * SECOND_MS)
/* So long before people are told that it takes long, an isolation waits by itself. */
#define EPISODE_EARLY_MS (2 * MINUTE_MS)
/* Calls are scarce: quota_pressure, per mille. */
#define EPISODE_BUSY 300

enum finding {
    FOUND_NONE,      /* not isolated, nothing under way: a POST is right */
    FOUND_ISOLATE,   /* an isolation is open or in force: adopt it */
    FOUND_RELEASING, /* somebody is releasing the machine: never against a person */
    FOUND_LAGGING /* the ledger knows more than the list, or than so old a look, can show: look again */
};

/* One isolation at work: what the transactions below share. */
struct episode {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant;
    struct arena *arena;
    struct work w; /* the isolation's claim */
    struct isolation_record row;
    struct isolation_record after; /* what a transaction makes of it, once it went through (save) */
    int64_t now, due;
    int64_t leave_by_ms; /* for the POST that the next transaction allows: clock_boot_ms */
    /* an answer of Defender's */
    enum finding finding;
    const struct defender_action *action;
    const struct defender_action *own; /* of an unanswered request of ours, if it is listed */
    struct grounds *grounds;           /* for a POST */
    const char
        *named; /* the machine that a sender had named when they were looked at; NULL: none */
    const struct defender_reads *look; /* when it is followed, if it needed one; may have failed */
    enum err_code code;
    struct err why;
    bool post;     /* a look found nothing: post now */
    bool released; /* the action that is followed succeeded, and a release after it did, too */
    bool crowded;  /* one of many */
};

/* ---- what a look says (section 4.5) ------------------------------------------------------------ */

/** May a look that was read then be a ground for a POST now (both wall ms)? 0: there was none. */
bool episode_look_is_young(int64_t read_ms, int64_t now);
/** What the newest actions say; *ret: the one that does, NULL for none. An open action decides before any that ended; a
 *  status nobody knows counts as open: in doubt nothing is posted. */
enum finding episode_find(const struct defender_reads *look, const struct defender_action **ret);
/** Does the look know more than the row? Not if it was taken before the row was written; and if it does not list the
 *  row's own action, or still calls it open, only when it is too late for a lag. */
bool episode_is_newer(const struct defender_reads *look, const struct isolation_record *r);
/** What became of a request whose answer was lost: the action with our id or, where ids do not come back (section 4.1:
 *  undocumented), an isolation made since we first asked. NULL: none is listed. */
const struct defender_action *episode_find_own(const struct defender_reads *look,
                                               const struct isolation_record *r);
/** Fills r with Defender's action: ours, or adopted from somebody else. Returns the state that it has. */
enum isolation_state episode_adopt(struct isolation_record *r, const struct defender_action *a);

/* ---- when it is its turn ----------------------------------------------------------------------- */

/** The next of the moments (wall ms) at which those that wait are seen to together. */
int64_t episode_next_moment(const struct runtime_tenant *tenant, int64_t due);
/** When to look at it again after wait_ms: together with the others, when there are many. */
int64_t episode_follow_due(const struct episode *x, int64_t wait_ms);
/** Has it been under way for so long that it may be given up, and does what x->why says count for that? That other calls of ours have
 *  used up the tenant's is no word of Defender's. */
bool episode_counts(const struct episode *x);
/** How long until it is tried again after x->why. */
int64_t episode_wait_after(const struct episode *x);
/** The moment at which all go on that wait for a call to come free, wait_ms from now. */
int64_t episode_budget_due(const struct engine *g, int64_t wait_ms);

/** due, or a moment that is early enough for those that wait together to wait by themselves from then on
 *  (EPISODE_EARLY_MS), if that comes first. */
int64_t episode_not_too_late(int64_t now, int64_t due);

/* ---- inside a transaction ---------------------------------------------------------------------- */

/** Has a reload put another configuration into force than rt, by which it was judged whether a POST may leave? Then none does:
 *  x->why says so, and it is judged anew. */
bool episode_is_outdated(struct episode *x, const struct runtime *rt);
/** What x->look has found (x->finding, x->action) against what the ledger knows, before x->row goes by it: what that look may be too
 *  old for is FOUND_LAGGING (x->why), also where it shows a release as under way that is done. An isolation that the ledger calls
 *  released is FOUND_NONE then. */
enum err_code episode_check_found(struct db_tx *tx, struct episode *x, struct err *e);
/** r, which Defender has confirmed by x->action, is no somebody else's if cordon asked for it before and gave up to find out what
 *  came of it: then r says so. *ret: the id of that row; 0: there is none. */
enum err_code episode_find_given_up(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                                    int64_t *ret, struct err *e);
/** Whoever waited for that row hears of it (adopt_tell_after_all). */
enum err_code episode_tell_after_all(struct db_tx *tx, struct episode *x, int64_t given_up,
                                     const struct isolation_record *r, struct err *e);
/** Moves the row; when it is settled by that, its cases go on and its work ends. One that fails, and of which Defender said that
 *  such a request is under way, is one of which nobody knows (isolation_is_unknown). */
enum err_code episode_move(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                           enum isolation_state to, const char *why, struct err *e);
/** Tells those who wait: that it takes long, once; that Defender is about to give up, once; or that it has taken the
 *  request, if they heard last that it has not. */
enum err_code episode_tell(struct db_tx *tx, struct episode *x, const struct isolation_record *r,
                           enum notice_kind kind, struct err *e);
/** Not yet: the same state, tried again at x->due; people who wait too long are told. */
enum err_code episode_postpone(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                               struct err *e);

/* ---- a step, with its record ------------------------------------------------------------------- */

/** A line about the isolation as it stands; that one failed is a warning. */
void episode_log(enum log_level level, const struct isolation_record *r, const char *event);
/** After a transaction: what changed is logged and counted, and whoever waits is woken. */
void episode_announce(struct episode *x, enum isolation_state before);
/** Runs one of the transactions that fill x->after. They may run twice, so they leave x->row as they found it. */
enum err_code episode_save(struct episode *x, db_fn fn, struct err *e);
/** The same, then announces it; one that failed is logged, and the claim comes again. */
void episode_write(struct episode *x, db_fn fn);
/** The POST whose intent is on disk (x->row.posted, x->leave_by_ms), and its record. */
void episode_post(struct episode *x);

/* ---- an isolation's own runs: episode_run.c ---------------------------------------------------- */

/** Loads a claimed row; false: nothing is to be done about it now. x->arena is to be freed in either case. */
bool episode_open(struct episode *x, struct engine *g, struct runtime *rt, const struct work *w);
/** Does what its state asks for: looks and posts, or follows. Ends the claim. */
void episode_run(struct episode *x);
/** A look was taken: what follows from it, the POST included. */
void episode_looked(struct episode *x, struct grounds *grounds);
/** The look failed: later again, or given up. */
void episode_not_looked(struct episode *x, const struct err *why);
/** One of many waits for calls until due: nothing is written about it but that, until it is time that people hear. */
void episode_wait(struct episode *x, int64_t due);
/** Is it so long ago that the machine was looked at that a person may have released it meanwhile? Nobody is told that
 *  it is isolated then without a look. And did the action come to nothing? Somebody else's may isolate the machine. */
bool episode_needs_look(const struct episode *x, const struct defender_action *action);
/** What came of asking how the action stands: x->code, and action if that is ERR_OK. look: for those that need one;
 *  for what could not be looked at a few more are tried, after which what is known counts. */
void episode_followed(struct episode *x, const struct defender_action *action,
                      const struct defender_reads *look);

#endif
