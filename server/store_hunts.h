/* store_hunts.h - how far each hunt has come, and which rows it has seen.
 *
 * A row that is seen is known by its key. It is put as `untold` where a mail is to tell of it, before that mail is made;
 * the mail's own transaction says that it was told. So a process that dies between the two tells of it after all. One that a
 * run did not come to, because it failed before, is noted as found: it is new still, and it is known since when it was there.
 */
#ifndef CORDON_STORE_HUNTS_H
#define CORDON_STORE_HUNTS_H

#include "hunt_rows.h"
#include "store.h"
#include "store_work.h"

/* A row of `hunts`; its id is that of its work. Texts live in the arena and are never NULL. */
struct hunt_record {
    int64_t id;
    const char *name;
    const char *query; /* hash of what it asks and of its key: another one begins with a baseline */
    const char *plan;  /* schedule and zone that `due` was reckoned by */
    int64_t due;       /* wall ms of the time that is next, jitter left aside */
    int64_t covered;   /* wall ms up to which all was read; 0: no baseline yet */
    int64_t ran, failing; /* wall ms of the last success, of the first failure since; 0: none */
    const char *why;      /* of that failure; "": none */
    int64_t rows, fresh;  /* of the last success */
    int64_t ordered;      /* id of a person's order that waits; 0: none */
    bool ordered_dry;
    const char *result; /* JSON: what came of the last order; "": none yet */
};

/** All of them, by name. */
enum err_code store_hunt_list(struct store *s, struct arena *a, struct hunt_record **ret,
                              size_t *ret_count, struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** Sees to it that there is a row and work for a hunt, due now: its run reckons when it is really due. */
enum err_code hunt_watch(struct db_tx *tx, const struct clock *clock, const char *name, int64_t now,
                         struct err *e);
/** ERR_NOT_FOUND. */
enum err_code hunt_load(struct db_tx *tx, struct arena *a, int64_t id, struct hunt_record *ret,
                        struct err *e);
enum err_code hunt_load_named(struct db_tx *tx, struct arena *a, const char *name,
                              struct hunt_record *ret, struct err *e);
/** Writes all but what an order is about. */
enum err_code hunt_move(struct db_tx *tx, const struct hunt_record *h, struct err *e);
/** A person wants it run now; its work is due. order: a new id. */
enum err_code hunt_order(struct db_tx *tx, int64_t id, int64_t order, bool dry, int64_t now,
                         struct err *e);
/** What came of an order; one that was given meanwhile still waits. *ret_waiting: there is such a one. */
enum err_code hunt_answered(struct db_tx *tx, int64_t id, int64_t order, const char *result,
                            bool *ret_waiting, struct err *e);
/** Forgets it, when its rows are forgotten. */
enum err_code hunt_forget(struct db_tx *tx, int64_t id, struct err *e);

enum hunt_seen {
    HUNT_NEW,
    HUNT_FOUND, /* new, too: a run found it, and failed before it came to it */
    HUNT_UNTOLD,
    HUNT_STALE, /* known, but note it again */
    HUNT_KNOWN
};

/** What is known of a row. One that was noted before `fresh_since` is STALE. *ret_noted: when it was, wall ms; untouched of a
 *  new one. */
enum err_code hunt_row_look(struct db_tx *tx, int64_t id, const char *key, int64_t fresh_since,
                            enum hunt_seen *ret, int64_t *ret_noted, struct err *e);
/** Notes it as seen now. untold: of a new or found one only. */
enum err_code hunt_row_put(struct db_tx *tx, int64_t id, const char *key, bool untold, int64_t now,
                           struct err *e);
/** Notes it as found now, unless it is noted already. */
enum err_code hunt_row_found(struct db_tx *tx, int64_t id, const char *key, int64_t now,
                             struct err *e);
enum err_code hunt_rows_told(struct db_tx *tx, int64_t id, struct err *e);
/** Forgets them, at most max; *ret_more: there may be others. */
enum err_code hunt_rows_clear(struct db_tx *tx, int64_t id, int64_t max, bool *ret_more,
                              struct err *e);
/** Forgets rows that were not seen since `before`, at most max. */
enum err_code hunt_rows_forget(struct db_tx *tx, int64_t id, int64_t before, int64_t max,
                               struct err *e);
/** How many are kept. */
enum err_code hunt_rows_count(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e);

#endif
