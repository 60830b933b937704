/* deed.h - a request that Defender is to carry out once: what isolating, releasing and the other actions have in
 * common.
 *
 * The order that makes a second one impossible:
 *   1. look     read the machine's actions; one that is open or in force is adopted
 *   2. intent   one transaction: the row (a unique index lets one in), `posted` set, the lease taken
 *   3. POST     by the process that holds the lease, soon after 2 or not at all
 *   4. record   one transaction: the action's id, or what went wrong
 * A crash after 2 leaves a row with `posted` and no action: whoever runs it waits until WORK_SETTLE_MS
 * after `posted` and after the crash, when a request that had left must be visible or lost, and begins
 * again with 1. `posted` moves to the moment of giving up when an answer was waited for in vain. When 4 fails, it stands
 * at the time before 3, which says nothing of that moment: so the claim goes back for WORK_SETTLE_MS. In both cases
 * nobody in this process goes on with the row until then, whoever wakes it and whatever the wall clock says
 * (deed_is_open); nor does one that starts meanwhile (deed_rest_ms).
 *
 * Among replicas nobody knows that the other one crashed: it may be stopped, or cut off from the database and
 * not from Defender. So the lease that 2 takes lasts as long as a request of it could be under way (store_work.h,
 * WORK_POST_LEASE_MS), and a process that was stopped between 2 and 3 finds out by a clock that went on
 * meanwhile, at the last moment that libcurl shows us: when connected, right before the request is written. What
 * is left is being stopped for a minute and a half within that write.
 *
 * The rows differ, and so do their transactions: episode.c, releasing.c, action.c. Threads: workers.
 */
#ifndef CORDON_DEED_H
#define CORDON_DEED_H

#include "defender.h"
#include "engine.h"
#include "id.h"
#include "work.h"

/* Defender took no request for so long: people are told, and no more is asked for. The verdict stands on facts read
 * live; later it is no ground to act on any more. */
#define DEED_ASK_FOR_MS HOUR_MS
/* Defender gives up on an absent machine after about 3 days (section 4.5); then it says TimeOut itself. */
#define DEED_FOLLOW_FOR_MS (4 * DAY_MS)
/* A pending action is looked at so long after the request, at the earliest. */
#define DEED_FOLLOW_MIN_MS SECOND_MS

/* ---- whose action is it ------------------------------------------------------------------------ */

/* Our id, as Defender keeps it with the action (ExternalId, section 4.1). */
#define DEED_ID_SIZE (ID_TEXT_SIZE + 40)
/** "cordon-" and the row's id. Returns out. */
const char *deed_id(int64_t row_id, char out[DEED_ID_SIZE]);
/** The row whose id deed_id wrote; false: a is another's, or its id did not come back. */
bool deed_row(const struct defender_action *a, int64_t *ret_row_id);
/** Of a release: "cordon-release-", the isolation's id, and when this release of it was ordered (wall ms), because one
 *  that failed may be followed by another order. Returns out. */
const char *deed_release_id(int64_t row_id, int64_t ordered_ms, char out[DEED_ID_SIZE]);
/** Does it bear such an id of that row, whenever it was ordered? */
bool deed_is_release_of(const struct defender_action *a, int64_t row_id);
/** Is it ours? By own_id (of deed_id); where ids do not come back (section 4.1: undocumented), by its time: made since
 *  we first asked (wall ms; 0: nothing of ours has left), as far as two clocks agree, and through the API, as far as
 *  Defender says. Its type is the caller's to know. */
bool deed_is_own(const struct defender_action *a, const char *own_id, int64_t asked_ms);
/** Why one that ended, and did not succeed, did not, in words for people. Static storage. */
const char *deed_failure(const struct defender_action *a);

/** The comment of a request: text, or a word of ours where it shows nothing (or is NULL), for Defender takes no action
 *  without one (section 4.1), and a template comes to what an alert says. */
const char *deed_comment(const char *text);

/* ---- what a list of actions says (section 4.5) -------------------------------------------------- */

/** The isolation or release that is in force: of those that succeeded the one that took effect last. Lists are ordered
 *  by creation, and what waits for an absent machine may run after what was made later. NULL: none succeeded. */
const struct defender_action *deed_in_force(const struct defender_action *actions, size_t n);
/** When one that succeeded did, by Defender's clock (wall ms); 0: it did not, or Defender gave no time of update. */
int64_t deed_took_effect(const struct defender_action *a);
/** Did a release of the list take effect after the isolation own_id (NULL: not known)? For certain: where the list does
 *  not show that one, or not yet as one that succeeded, only a release after by_ms counts (Defender's clock; own_id had
 *  taken effect by then: ledger_in_force_by), because a list may lag, or begin later. */
bool deed_was_released(const struct defender_action *actions, size_t n, const char *own_id,
                       int64_t by_ms);
/** The same, and no isolation after that release: the machine is free. */
bool deed_is_free(const struct defender_action *actions, size_t n, const char *own_id,
                  int64_t by_ms);

/* ---- the way there ----------------------------------------------------------------------------- */

/** How long a request that left at posted (wall ms, 0: none) rests before a look shows what came of it; 0: not at all.
 *  Whatever the wall clock says, one of a process before this one rests for WORK_SETTLE_MS from this one's start. A `posted`
 *  that is still to come was written before the clock was set back: it rests from now on, and now is to be written in its
 *  place, or it would rest until the clock has caught up. */
int64_t deed_rest_ms(const struct engine *g, int64_t posted, int64_t now);
/** When what was not asked for yet is tried again: at due, or when it is given up, for_ms after since, if that comes
 *  first. However long Defender wants to be left alone, people hear then that it came to nothing. */
int64_t deed_ask_due(int64_t now, int64_t due, int64_t since, int64_t for_ms);
/** Is this host's clock right (runtime_check_clock)? *ask_from is since when Defender has been asked for what is not asked
 *  for in vain for ever, and is 0 until that begins: it does now, and not before the clock is right. */
enum err_code deed_check_clock(const struct runtime_tenant *t, int64_t now, int64_t *ask_from,
                               struct err *e);
/** Nothing was asked for since `last` (wall ms), because nobody was there for most of that time: when Defender was not asked for
 *  DEED_ASK_FOR_MS since *ask_from for that, it is asked from now on. */
void deed_mind_the_pause(struct engine *g, int64_t last, int64_t now, int64_t *ask_from);
/** Is it given up to find out what came of a request that left age_ms ago? code: of the last look. w: its claim, whose
 *  attempts count the looks that failed; one that failed after a pause of days is no reason. */
bool deed_is_given_up(const struct work *w, int64_t age_ms, enum err_code code);
/** Is why no word of Defender's: have other calls of ours used up the tenant's (t; NULL: it is not configured)? */
bool deed_is_our_budget(const struct runtime_tenant *t, const struct err *why);
/** How long until a pending action is looked at again: half its age, within bounds. A negative age (the clock was set
 *  back): a minute. */
int64_t deed_follow_ms(int64_t age_ms);
/** Is it known only so long after it was asked for that an action succeeded that somebody may have undone it meanwhile? Then
 *  the machine is looked at before people are told what it is. age_ms: as above. */
bool deed_is_late(int64_t age_ms);
/* Such looks that fail, a few minutes in all: then what Defender says of the action counts. */
#define DEED_LOOKS_IN_VAIN 8
/** One more of them has failed, behind `before` others: how many that makes. One that Defender wants to wait for counts as those
 *  that there would be time for meanwhile, so that nobody waits for days. */
int64_t deed_looks_failed(int64_t before, const struct err *why);

/** Before step 1, of whoever holds a claim of this row: true when a request of it may still be under way, by what this
 *  process knows (engine_post_wait); it is not to be run then, and the claim has ended, or is given back when that has.
 *  what: as for deed_begin. */
bool deed_is_open(struct engine *g, const char *what, const struct work *w);
/** Before step 3: false, and a line in the log, when our own POST for this row is still under way. what: "isolation",
 *  "action". True: engine_post_ended follows, after step 4. */
bool deed_begin(struct engine *g, const char *what, int64_t row_id);
/**
 * Step 3. w: the row's claim, as step 2 left it: a process that slept through that lease sends nothing (ERR_AGAIN),
 * because somebody else may hold it now. Otherwise as defender_ask.
 */
enum err_code deed_send(struct engine *g, struct defender *d, const struct work *w,
                        const struct defender_request *q, struct defender_action *ret,
                        struct err *e);

/* What it came to, for step 4. */
enum deed_end {
    DEED_TAKEN,   /* there is an action */
    DEED_UNKNOWN, /* it may have been carried out: look, but not before it can be seen */
    DEED_LATER,   /* it was not; a repeat may help, after a look */
    DEED_REFUSED, /* it was not, and a repeat will not help */
};
enum deed_end deed_end_of(enum err_code code);

#endif
