/* store_digests.c - see store_digests.h.
 *
 * A step's row says why it is withheld in decide.c's words, and those of shadow mode begin alike. Steps are found
 * by the ids of their cases, which sort by time, so that a day's digest does not read years; a case that was
 * tried again long after it came is found as far back as CASE_AGE_MS. To ask a person is nothing that is done at Defender, and
 * what stands behind it would not have been done unasked.
 */
#include "store_digests.h"

#include "id.h"
#include "store_rows.h"

#define CASE_AGE_MS (30 * DAY_MS)
#define COUNTS_MAX  50
#define HELD_BACK                                                                                  \
    " FROM steps JOIN cases ON cases.id = steps.case_id WHERE steps.case_id >= $1"                 \
    " AND steps.state = 'withheld' AND steps.why LIKE 'shadow mode%' AND steps.handler <> 'ask'"   \
    " AND steps.updated > $2 AND steps.updated <= $3"
#define ASKED                                                                                      \
    "CASE WHEN EXISTS (SELECT 1 FROM steps q WHERE q.case_id = steps.case_id"                      \
    " AND q.n < steps.n AND q.handler = 'ask') THEN 1 ELSE 0 END AS asked"

enum err_code digest_begin(struct db_tx *tx, int64_t now, int64_t due, struct err *e)
{
    int64_t made = 0;
    enum err_code code = db_run(
        tx, e, &made, "INSERT INTO digests (id, told) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        "ii", (int64_t)DIGEST_ID, now);

    if (code || !made)
        return code;
    return work_put(tx, DIGEST_ID, WORK_DIGEST, WORK_NORMAL, due, now, NULL, e);
}

enum err_code digest_told(struct db_tx *tx, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    bool found;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT told FROM digests WHERE id = $1", "i", (int64_t)DIGEST_ID);

    if (code)
        return code;
    found = db_next(rows);
    if (found)
        *ret = db_int(rows, 0);
    code = db_rows_end(rows, e);
    return !code && !found ? err_set(e, ERR_NOT_FOUND, "no digest was begun") : code;
}

enum err_code digest_set_told(struct db_tx *tx, int64_t told, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE digests SET told = $1 WHERE id = $2", "ii", told,
                  (int64_t)DIGEST_ID);
}

/* By their ids, which sort by time: an hour more is read than is counted, for a clock that was set back. */
enum err_code digest_cases(struct db_tx *tx, int64_t from, int64_t to, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT count(*) FROM cases WHERE id >= $1 AND created > $2 AND created <= $3",
                 "iii", id_of_time(from - HOUR_MS), from, to);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code digest_held_back(struct db_tx *tx, int64_t from, int64_t to, int64_t *ret,
                               struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT count(*)" HELD_BACK, "iii",
                                  id_of_time(from - CASE_AGE_MS), from, to);

    return code ? code : store_take_int(rows, ret, e);
}

static enum err_code read_count(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct digest_count *)item = (struct digest_count){.tenant = store_text(a, rows, 0, &nomem),
                                                         .rule = store_text(a, rows, 1, &nomem),
                                                         .handler = store_text(a, rows, 2, &nomem),
                                                         .steps = db_int(rows, 3),
                                                         .machines = db_int(rows, 4),
                                                         .asked = db_int(rows, 5) != 0};
    return nomem ? err_set(e, ERR_NOMEM, "digest") : ERR_OK;
}

enum err_code digest_counts(struct db_tx *tx, struct arena *a, int64_t from, int64_t to,
                            struct digest_count **ret, size_t *ret_n, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT tenant, rule, handler, count(*), count(DISTINCT machine_id), asked FROM"
        " (SELECT cases.tenant, cases.rule, steps.handler, cases.machine_id, " ASKED HELD_BACK
        ") held GROUP BY tenant, rule, handler, asked"
        " ORDER BY count(*) DESC, tenant, rule LIMIT $4",
        "iiii", id_of_time(from - CASE_AGE_MS), from, to, (int64_t)COUNTS_MAX);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_count, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_n = list.count;
    return ERR_OK;
}

static enum err_code read_step(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct digest_step *)item = (struct digest_step){.case_id = db_int(rows, 0),
                                                       .tenant = store_text(a, rows, 1, &nomem),
                                                       .rule = store_text(a, rows, 2, &nomem),
                                                       .handler = store_text(a, rows, 3, &nomem),
                                                       .alert_id = store_text(a, rows, 4, &nomem),
                                                       .machine_id = store_text(a, rows, 5, &nomem),
                                                       .facts = store_text(a, rows, 6, &nomem),
                                                       .asked = db_int(rows, 7) != 0};
    return nomem ? err_set(e, ERR_NOMEM, "digest") : ERR_OK;
}

enum err_code digest_steps(struct db_tx *tx, struct arena *a, int64_t from, int64_t to, size_t max,
                           struct digest_step **ret, size_t *ret_n, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT cases.id, cases.tenant, cases.rule, steps.handler, cases.alert_id,"
                 " cases.machine_id, cases.facts, " ASKED HELD_BACK
                 " ORDER BY cases.id DESC, steps.n LIMIT $4",
                 "iiii", id_of_time(from - CASE_AGE_MS), from, to, (int64_t)max);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_step, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_n = list.count;
    return ERR_OK;
}
