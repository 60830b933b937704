/* store_hunts.c - see store_hunts.h. */
#include "store_hunts.h"

#include "id.h"
#include "store_rows.h"

#define COLUMNS                                                                                    \
    "id, name, query, plan, due, covered, ran, failing, why, found, fresh, ordered, ordered_dry,"  \
    " result"
#define HUNTS_MAX 1000 /* those of earlier configurations included; more are not shown */

/* hunt_rows.untold */
enum { ROW_SETTLED, ROW_UNTOLD, ROW_FOUND };

static const char *text_or_empty(struct arena *a, struct db_rows *rows, int column, bool *nomem)
{
    const char *text = store_text(a, rows, column, nomem);

    return text ? text : "";
}

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct hunt_record *)item =
        (struct hunt_record){.id = db_int(rows, 0),
                             .name = text_or_empty(a, rows, 1, &nomem),
                             .query = text_or_empty(a, rows, 2, &nomem),
                             .plan = text_or_empty(a, rows, 3, &nomem),
                             .due = db_int(rows, 4),
                             .covered = db_int(rows, 5),
                             .ran = db_int(rows, 6),
                             .failing = db_int(rows, 7),
                             .why = text_or_empty(a, rows, 8, &nomem),
                             .rows = db_int(rows, 9),
                             .fresh = db_int(rows, 10),
                             .ordered = db_int(rows, 11),
                             .ordered_dry = db_int(rows, 12) != 0,
                             .result = text_or_empty(a, rows, 13, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "hunt") : ERR_OK;
}

static const char no_hunt[] = "there is no such hunt";

enum err_code hunt_load(struct db_tx *tx, struct arena *a, int64_t id, struct hunt_record *ret,
                        struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM hunts WHERE id = $1", "i", id);

    return code ? code : store_take_one(rows, a, read_row, ret, no_hunt, e);
}

enum err_code hunt_load_named(struct db_tx *tx, struct arena *a, const char *name,
                              struct hunt_record *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM hunts WHERE name = $1", "t", name);

    return code ? code : store_take_one(rows, a, read_row, ret, no_hunt, e);
}

enum err_code store_hunt_list(struct store *s, struct arena *a, struct hunt_record **ret,
                              size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code = store_read_list(s, a, sizeof **ret, read_row, &list, e,
                                         "SELECT " COLUMNS " FROM hunts ORDER BY name LIMIT $1",
                                         "i", (int64_t)HUNTS_MAX);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code hunt_watch(struct db_tx *tx, const struct clock *clock, const char *name, int64_t now,
                         struct err *e)
{
    struct db_rows *rows;
    int64_t id = 0;
    enum err_code code = db_run(
        tx, e, NULL,
        "INSERT INTO hunts (id, name, due, covered, ran, failing, found, fresh, ordered,"
        " ordered_dry) VALUES ($1, $2, 0, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT (name) DO NOTHING",
        "it", id_new(clock), name);

    if (!code)
        code = db_query(tx, e, &rows, "SELECT id FROM hunts WHERE name = $1", "t", name);
    if (!code)
        code = store_take_int(rows, &id, e);
    return code ? code : work_watch(tx, id, WORK_HUNT, now, e);
}

enum err_code hunt_move(struct db_tx *tx, const struct hunt_record *h, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE hunts SET query = $1, plan = $2, due = $3, covered = $4, ran = $5,"
                  " failing = $6, why = $7, found = $8, fresh = $9 WHERE id = $10",
                  "ttiiiitiii", h->query, h->plan, h->due, h->covered, h->ran, h->failing, h->why,
                  h->rows, h->fresh, h->id);
}

enum err_code hunt_order(struct db_tx *tx, int64_t id, int64_t order, bool dry, int64_t now,
                         struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE hunts SET ordered = $1, ordered_dry = $2 WHERE id = $3", "iii",
               order, (int64_t)dry, id);

    return code ? code : work_wake(tx, id, now, e);
}

enum err_code hunt_answered(struct db_tx *tx, int64_t id, int64_t order, const char *result,
                            bool *ret_waiting, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = ERR_OK;

    *ret_waiting = false;
    if (order)
        code = db_run(tx, e, NULL,
                      "UPDATE hunts SET result = $1, ordered = CASE WHEN ordered = $2 THEN 0"
                      " ELSE ordered END WHERE id = $3",
                      "tii", result, order, id);
    if (!code)
        code =
            db_query(tx, e, &rows, "SELECT 1 FROM hunts WHERE id = $1 AND ordered <> 0", "i", id);
    return code ? code : store_take_any(rows, ret_waiting, e);
}

enum err_code hunt_rows_clear(struct db_tx *tx, int64_t id, int64_t max, bool *ret_more,
                              struct err *e)
{
    int64_t gone = 0;
    enum err_code code = db_run(tx, e, &gone,
                                "DELETE FROM hunt_rows WHERE hunt = $1 AND key IN"
                                " (SELECT key FROM hunt_rows WHERE hunt = $2 LIMIT $3)",
                                "iii", id, id, max);

    *ret_more = gone == max;
    return code;
}

enum err_code hunt_forget(struct db_tx *tx, int64_t id, struct err *e)
{
    return db_run(tx, e, NULL, "DELETE FROM hunts WHERE id = $1", "i", id);
}

enum err_code hunt_row_look(struct db_tx *tx, int64_t id, const char *key, int64_t fresh_since,
                            enum hunt_seen *ret, int64_t *ret_noted, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT seen, untold FROM hunt_rows WHERE hunt = $1 AND key = $2",
                 "it", id, key);

    if (code)
        return code;
    *ret = HUNT_NEW;
    if (db_next(rows)) {
        *ret_noted = db_int(rows, 0);
        *ret = db_int(rows, 1) == ROW_FOUND    ? HUNT_FOUND
               : db_int(rows, 1) == ROW_UNTOLD ? HUNT_UNTOLD
               : *ret_noted < fresh_since      ? HUNT_STALE
                                               : HUNT_KNOWN;
    }
    return db_rows_end(rows, e);
}

enum err_code hunt_row_put(struct db_tx *tx, int64_t id, const char *key, bool untold, int64_t now,
                           struct err *e)
{
    int64_t as = untold ? ROW_UNTOLD : ROW_SETTLED;

    return db_run(tx, e, NULL,
                  "INSERT INTO hunt_rows (hunt, key, seen, untold) VALUES ($1, $2, $3, $4)"
                  " ON CONFLICT (hunt, key) DO UPDATE SET seen = $5, untold ="
                  " CASE WHEN hunt_rows.untold = $6 THEN $7 ELSE hunt_rows.untold END",
                  "itiiiii", id, key, now, as, now, (int64_t)ROW_FOUND, as);
}

enum err_code hunt_row_found(struct db_tx *tx, int64_t id, const char *key, int64_t now,
                             struct err *e)
{
    return db_run(tx, e, NULL,
                  "INSERT INTO hunt_rows (hunt, key, seen, untold) VALUES ($1, $2, $3, $4)"
                  " ON CONFLICT (hunt, key) DO NOTHING",
                  "itii", id, key, now, (int64_t)ROW_FOUND);
}

enum err_code hunt_rows_told(struct db_tx *tx, int64_t id, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE hunt_rows SET untold = $1 WHERE hunt = $2 AND untold = $3",
                  "iii", (int64_t)ROW_SETTLED, id, (int64_t)ROW_UNTOLD);
}

enum err_code hunt_rows_forget(struct db_tx *tx, int64_t id, int64_t before, int64_t max,
                               struct err *e)
{
    return db_run(tx, e, NULL,
                  "DELETE FROM hunt_rows WHERE hunt = $1 AND key IN (SELECT key FROM hunt_rows"
                  " WHERE hunt = $2 AND untold <> $3 AND seen < $4 LIMIT $5)",
                  "iiiii", id, id, (int64_t)ROW_UNTOLD, before, max);
}

enum err_code hunt_rows_count(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT count(*) FROM hunt_rows WHERE hunt = $1", "i", id);

    return code ? code : store_take_int(rows, ret, e);
}
