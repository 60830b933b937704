/* store_isolations.h - the ledger: one row per episode of one machine being isolated. */
#ifndef CORDON_STORE_ISOLATIONS_H
#define CORDON_STORE_ISOLATIONS_H

#include "store.h"

/*  REQUESTED --Defender took it, or had one--> PENDING --Succeeded--> ISOLATED --> RELEASING --> RELEASED
 *      |  \----------- it had one that succeeded --------------------->  |
 *      +--> FAILED  <------- Failed, TimeOut, Cancelled -----+           +--------> RELEASED
 *  Open (at most one per machine, by a unique index): REQUESTED, PENDING, ISOLATED, RELEASING.
 *  ISOLATED is said only when Defender says Succeeded.                                            */
enum isolation_state {
    ISOLATION_REQUESTED,
    ISOLATION_PENDING,
    ISOLATION_ISOLATED,
    ISOLATION_RELEASING,
    ISOLATION_RELEASED,
    ISOLATION_FAILED,
    ISOLATION_STATES
};

/** "requested" …; static storage. */
const char *isolation_state_name(enum isolation_state state);
bool isolation_is_open(enum isolation_state state);
/** It is known how the request ended: isolated, released or failed. */
bool isolation_is_settled(enum isolation_state state);

struct isolation_record {
    int64_t id, case_id; /* case_id: the case that asked first; 0: none, it is somebody else's */
    const char *tenant, *machine_id, *machine_name, *type, *comment, *why, *rule;
    const char *requestor; /* who asked Defender, when it was not us */
    const char *action_id; /* Defender's; NULL: not known yet */
    enum isolation_state state;
    bool adopted; /* somebody else's isolation: never repeated, never released by us */
    /* a POST left or was about to; 0: none is unanswered. FAILED: nobody knows what came of it (isolation_is_unknown) */
    int64_t posted;
    int64_t sent; /* when a request last left (brakes_sent writes it); 0: none has */
    int64_t requested, confirmed, released, updated; /* wall ms, 0: not yet */
    int64_t
        ask_from; /* REQUESTED: since when Defender is asked for it; 0: not yet, this host's clock was off */
    /* PENDING, RELEASING: looks in vain at a machine of which Defender says that the request has ended. REQUESTED: how often
     * Defender said that such a request is under way already, which it has not listed since */
    int64_t unseen;
    int64_t took_effect; /* when it did, by Defender's clock; 0: not yet, or it did not say */
    int64_t review;      /* ISOLATED: when people are to look at it; wall ms */
    int64_t reminded;    /* how often they were told so since the time was set */
    /* The rule does not release it before, wall ms: somebody said so, or something spoke against it. INT64_MAX: the
     * rule has ordered its release, which it does once. */
    int64_t keep_until;
    int64_t lapsed;         /* FAILED: when Defender gave up on the absent machine; 0: it did not */
    const char *release_id; /* Defender's action of our release; NULL: none, or not known yet */
    const char *release_why; /* who ordered the release, and why; NULL: nobody did */
    bool by_rule;            /* a rule did, and no person */
};

/** It was given up to find out how it ended: the machine may be isolated. Never of one that was given up so by a cordon of
 *  before, when Defender had taken the request. */
bool isolation_is_unknown(const struct isolation_record *r);

struct isolation_filter {
    bool open_only;
    const char *machine; /* id or name, in either case; NULL: any */
    int64_t before_id;
    size_t limit;
};

/** ERR_NOT_FOUND. */
enum err_code store_isolation_load(struct store *s, struct arena *a, int64_t id,
                                   struct isolation_record *ret, struct err *e);
/** Newest first. */
enum err_code store_isolation_list(struct store *s, struct arena *a,
                                   const struct isolation_filter *f, struct isolation_record **ret,
                                   size_t *ret_count, struct err *e);
/** Isolations by state (for the metrics). */
enum err_code store_isolation_count(struct store *s, int64_t ret[ISOLATION_STATES], struct err *e);
/** Machines of a tenant that are to be asked for until then (wall), and for which no request is on its way. */
enum err_code store_isolation_count_asked(struct store *s, const char *tenant, int64_t until,
                                          int64_t *ret, struct err *e);
/** The machines of the first n of them, in the order in which they were asked for. */
enum err_code store_isolation_list_asked(struct store *s, struct arena *a, const char *tenant,
                                         size_t n, const char *ret[], size_t *ret_count,
                                         struct err *e);
/** Those of them that nobody has in hand, that were asked for since `since` and would be due before, are due at `due`. */
enum err_code store_isolation_wait(struct store *s, const char *tenant, int64_t due, int64_t since,
                                   struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** ERR_NOT_FOUND. */
enum err_code isolation_load(struct db_tx *tx, struct arena *a, int64_t id,
                             struct isolation_record *ret, struct err *e);
/** The machine's open isolation; *ret_found says whether there is one. */
enum err_code isolation_find_open(struct db_tx *tx, struct arena *a, const char *tenant,
                                  const char *machine_id, struct isolation_record *ret,
                                  bool *ret_found, struct err *e);
/** What was asked for of the machine under another name that a configuration of before had for this tenant (its tenant_id), and
 *  that has left: the one that a list may not show for longest. */
enum err_code isolation_find_renamed(struct db_tx *tx, struct arena *a, const char *tenant,
                                     const char *tenant_id, const char *machine_id,
                                     struct isolation_record *ret, bool *ret_found, struct err *e);
/** The newest with this action of Defender's, open or not. */
enum err_code isolation_find_action(struct db_tx *tx, struct arena *a, const char *tenant,
                                    const char *action_id, struct isolation_record *ret,
                                    bool *ret_found, struct err *e);
/** The newest whose release is this action of Defender's. */
enum err_code isolation_find_release(struct db_tx *tx, struct arena *a, const char *tenant,
                                     const char *action_id, struct isolation_record *ret,
                                     bool *ret_found, struct err *e);
/** The newest of those that failed. */
enum err_code isolation_find_failed(struct db_tx *tx, struct arena *a, const char *tenant,
                                    const char *action_id, struct isolation_record *ret,
                                    bool *ret_found, struct err *e);
/** The row is another action's from now on, and this one, which it was, is under way still as far as anybody knows. */
enum err_code isolation_displace(struct db_tx *tx, int64_t id, const char *action_id,
                                 struct err *e);
/** The newest that was this action's and is another one's. */
enum err_code isolation_find_displaced(struct db_tx *tx, struct arena *a, const char *tenant,
                                       const char *action_id, struct isolation_record *ret,
                                       bool *ret_found, struct err *e);
/** The newest of a machine that failed when Defender had said that such a request was under way, and had listed none. */
enum err_code isolation_find_unlisted(struct db_tx *tx, struct arena *a, const char *tenant,
                                      const char *machine_id, struct isolation_record *ret,
                                      bool *ret_found, struct err *e);
/** The isolation is the case's that r names from now on, with r's rule and comment: by its grounds it is asked for, and in
 *  its thread people hear of it. */
enum err_code isolation_give(struct db_tx *tx, const struct isolation_record *r, struct err *e);
/** ERR_CONFLICT when the machine has an open one. */
enum err_code isolation_insert(struct db_tx *tx, const struct isolation_record *r, struct err *e);
/** Writes action_id, requestor, posted, adopted, type, ask_from, unseen and what is said of review, lapse and release in
 *  r as they are now, and moves it to `to` (which may be its own state). Sets confirmed or released when it gets there. ERR_STALE
 *  when the row is not in r's state any more. */
enum err_code isolation_move(struct db_tx *tx, struct isolation_record *r, enum isolation_state to,
                             const char *why, int64_t now, struct err *e);
/** Was r's machine isolated by a later row, and released? */
enum err_code isolation_was_released_since(struct db_tx *tx, const struct isolation_record *r,
                                           bool *ret, struct err *e);
/** Machines that are isolated, or are being released, and of which no work is left: of an older version, or
 *  adopted by one. Oldest first. */
enum err_code isolation_unwatched(struct db_tx *tx, struct arena *a, size_t limit,
                                  struct isolation_record **ret, size_t *ret_count, struct err *e);
/** Isolations that cases of cordon's own have led to since a time, over all tenants: by when Defender was last asked for them, and
 *  those that it was not, or not yet, by when they were wanted. */
enum err_code isolation_count_since(struct db_tx *tx, int64_t since, int64_t *ret, struct err *e);
/** Those of them that it was not asked for, or not yet. */
enum err_code isolation_count_unsent_since(struct db_tx *tx, int64_t since, int64_t *ret,
                                           struct err *e);

#endif
