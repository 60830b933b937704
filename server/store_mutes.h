/* store_mutes.h - silences: what is told to nobody for a while, who ordered it, and what it withheld.
 *
 *     PROPOSED --a second person's yes--> ACTIVE --its end, or an order--> ENDED
 *         \----------its end, or an order--------------------------------->  ^
 *
 * (silence.h is about sources that went quiet; here the word is mute.) A silence that is not ended has a row of
 * work by its own id, due at its end. What it withheld is kept as a line of its own, so that its end can be told
 * when the cases are forgotten already.
 */
#ifndef CORDON_STORE_MUTES_H
#define CORDON_STORE_MUTES_H

#include "store.h"

enum mute_state { MUTE_PROPOSED, MUTE_ACTIVE, MUTE_ENDED, MUTE_STATES };

/** "proposed", "active", "ended"; static storage. */
const char *mute_state_name(enum mute_state state);

/* A row; texts live in the arena it was loaded into. Times are wall ms; 0: not yet, or never. */
struct mute_record {
    int64_t id;
    enum mute_state state;
    const char *matcher; /* YAML, as it was given */
    const char *author, *why;
    const char *broad;    /* why it needs a second person; NULL: it does not */
    const char *second;   /* who said yes; NULL: nobody, yet */
    const char *ended_by; /* NULL: it ran out, or has not ended */
    const char *ended_why;
    int64_t created, began, ends, ended;
    int64_t withheld; /* cases */
};

struct muted_case {
    int64_t case_id, at;
    const char *what; /* a line for people, in which an attacker may have chosen words */
};

/* A case as silences judge it. */
struct mute_past {
    int64_t case_id;
    const char *tenant, *alert_id, *machine_id, *rule, *facts, *verdict;
};

/** Newest first. open_only: without those that ended; before_id: cursor, 0: from the newest. */
enum err_code store_mute_list(struct store *s, struct arena *a, bool open_only, int64_t before_id,
                              size_t limit, struct mute_record **ret, size_t *ret_count,
                              struct err *e);
/** ERR_NOT_FOUND. */
enum err_code store_mute_load(struct store *s, struct arena *a, int64_t id, struct mute_record *ret,
                              struct err *e);
/** What it withheld, the newest case first; before_id: cursor, the id of a case, 0: from the newest. */
enum err_code store_mute_cases(struct store *s, struct arena *a, int64_t id, int64_t before_id,
                               size_t limit, struct muted_case **ret, size_t *ret_count,
                               struct err *e);
/** The last silence that withheld the mails of a case. ERR_NOT_FOUND: none did. */
enum err_code store_mute_of_case(struct store *s, struct arena *a, int64_t case_id,
                                 struct mute_record *ret, struct err *e);
/** Silences by state (for the metrics). */
enum err_code store_mute_count(struct store *s, int64_t ret[MUTE_STATES], struct err *e);
/** Cases that were judged, newest first, of ids below before_id and not older than since (wall ms). */
enum err_code store_mute_past(struct store *s, struct arena *a, int64_t since, int64_t before_id,
                              size_t limit, struct mute_past **ret, size_t *ret_count,
                              struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** As store_mute_load, and store_mute_cases. */
enum err_code mute_load(struct db_tx *tx, struct arena *a, int64_t id, struct mute_record *ret,
                        struct err *e);
enum err_code mute_cases(struct db_tx *tx, struct arena *a, int64_t id, int64_t before_id,
                         size_t limit, struct muted_case **ret, size_t *ret_count, struct err *e);
/** How many are proposed or active. */
enum err_code mute_count_open(struct db_tx *tx, int64_t *ret, struct err *e);
/** A new one, with its work. */
enum err_code mute_insert(struct db_tx *tx, const struct mute_record *m, struct err *e);
/** Every move goes through here, checked against the diagram; writes second, began, ended, ended_by and
 *  ended_why. ERR_STALE: it is not in m's state any more. */
enum err_code mute_move(struct db_tx *tx, struct mute_record *m, enum mute_state to, struct err *e);
/** Writes m's created, began and ends. */
enum err_code mute_date(struct db_tx *tx, const struct mute_record *m, struct err *e);
/** Notes that it withheld a case's notice; *ret_active: false, and nothing is noted, when it is not active (any
 *  more). */
enum err_code mute_note(struct db_tx *tx, int64_t id, const struct muted_case *c, bool *ret_active,
                        struct err *e);

#endif
