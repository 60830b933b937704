/* store_actions.h - what a machine was asked for besides isolation: one row per action of Defender's. */
#ifndef CORDON_STORE_ACTIONS_H
#define CORDON_STORE_ACTIONS_H

#include "store.h"

/*  REQUESTED --Defender took it, or had one under way--> PENDING --Succeeded--> DONE
 *      +--> FAILED <-------- Failed, TimeOut, Cancelled ----+
 *  Open (one per machine and handler, by a unique index): REQUESTED, PENDING.                       */
enum action_state { ACTION_REQUESTED, ACTION_PENDING, ACTION_DONE, ACTION_FAILED, ACTION_STATES };

/** "requested" …; static storage. */
const char *action_state_name(enum action_state state);

struct action_record {
    int64_t id, case_id;
    const char *tenant, *machine_id;
    const char *handler;       /* "scan" */
    const char *detail;        /* "Quick", a SHA-1; NULL: it has none */
    const char *comment, *why; /* why: may be NULL */
    const char *action_id;     /* Defender's; NULL: not known yet */
    const char *requestor;     /* when it was not us */
    enum action_state state;
    bool adopted;
    int64_t posted;                    /* a POST left or was about to; 0: none is unanswered */
    int64_t requested, ended, updated; /* wall ms, 0: not yet */
};

/** ERR_NOT_FOUND. */
enum err_code store_action_load(struct store *s, struct arena *a, int64_t id,
                                struct action_record *ret, struct err *e);
/** Those of a case, oldest first, at most `limit`. */
enum err_code store_action_list(struct store *s, struct arena *a, int64_t case_id, size_t limit,
                                struct action_record **ret, size_t *ret_count, struct err *e);

/** The cases that rely on r and that nobody has dropped: its own first, then those that found it asked for already, the newest
 *  first, at most `limit`. */
enum err_code store_action_cases(struct store *s, const struct action_record *r, size_t limit,
                                 int64_t *ids, size_t *ret_count, struct err *e);

/* Why a step is done that found its action asked for by another case. */
#define ACTION_JOINED "cordon has asked for the same already"

/* ---- inside a transaction -------------------------------------------------------------------- */

/** Into ret: at most max ids of cases, the oldest first, that found r asked for already. Of a file none, for which one it was the
 *  steps do not say. */
enum err_code action_joined(struct db_tx *tx, const struct action_record *r, int64_t *ret,
                            size_t max, size_t *ret_count, struct err *e);

/** Does a case that nobody has dropped rely on r: its own, or one that found it asked for already? */
enum err_code action_is_wanted(struct db_tx *tx, const struct action_record *r, bool *ret,
                               struct err *e);
/** Is one of r's handler open on its machine? Of stop_file: one of the same file, which is its detail. *ret_lesser: it is a
 *  quick scan, and r a full one. */
enum err_code action_find_open(struct db_tx *tx, const struct action_record *r, bool *ret_found,
                               bool *ret_lesser, struct err *e);
/** ERR_CONFLICT when one is open. */
enum err_code action_insert(struct db_tx *tx, const struct action_record *r, struct err *e);
/** Writes action_id, requestor, adopted and posted of r, and moves it; ERR_STALE when it is not in r's
 *  state any more. */
enum err_code action_move(struct db_tx *tx, struct action_record *r, enum action_state to,
                          const char *why, int64_t now, struct err *e);

#endif
