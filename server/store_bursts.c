/* store_bursts.c - see store_bursts.h. */
#include "store_bursts.h"

#include <string.h>

#include "store_rows.h"

#define COLUMNS "bursts.id, lead_case, first_mail, last_mail, mailed, held"

static enum err_code take(struct db_rows *rows, struct burst *ret, struct err *e)
{
    struct burst b = {0};

    if (db_next(rows))
        b = (struct burst){.id = db_int(rows, 0),
                           .lead = db_int(rows, 1),
                           .first = db_int(rows, 2),
                           .last = db_int(rows, 3),
                           .mailed = db_int(rows, 4),
                           .held = db_int(rows, 5)};
    *ret = b;
    return db_rows_end(rows, e);
}

enum err_code burst_find(struct db_tx *tx, const char *const *names, size_t n, const char *audience,
                         struct burst *ret, struct err *e)
{
    enum err_code code = ERR_OK;

    *ret = (struct burst){0};
    for (size_t i = 0; i < n && !code && !ret->id; i++) {
        struct db_rows *rows;

        code = db_query(tx, e, &rows,
                        "SELECT " COLUMNS " FROM burst_keys JOIN bursts ON bursts.id = burst"
                        " WHERE name = $1 AND audience = $2",
                        "tt", names[i], audience);
        if (!code)
            code = take(rows, ret, e);
    }
    return code;
}

enum err_code burst_load(struct db_tx *tx, int64_t id, struct burst *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM bursts WHERE id = $1", "i", id);

    if (!code)
        code = take(rows, ret, e);
    return !code && !ret->id ? err_set(e, ERR_NOT_FOUND, "there is no burst with this id") : code;
}

enum err_code burst_open(struct db_tx *tx, const struct burst *b, const char *const *names,
                         size_t n, const char *audience, int64_t due, int64_t now, struct err *e)
{
    enum err_code code = db_run(tx, e, NULL,
                                "INSERT INTO bursts (id, lead_case, first_mail, last_mail,"
                                " mailed, held) VALUES ($1, $2, $3, $4, $5, $6)",
                                "iiiiii", b->id, b->lead, b->first, b->last, b->mailed, b->held);

    for (size_t i = 0; i < n && !code; i++)
        code = db_run(tx, e, NULL,
                      "INSERT INTO burst_keys (name, audience, burst) VALUES ($1, $2, $3)", "tti",
                      names[i], audience, b->id);
    return code ? code : work_put(tx, b->id, WORK_BURST, WORK_NORMAL, due, now, NULL, e);
}

enum err_code burst_hold(struct db_tx *tx, const struct burst *b, int64_t due, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE bursts SET held = held + 1 WHERE id = $1", "i", b->id);

    return code || b->held ? code : work_wake(tx, b->id, due, e);
}

static enum err_code read_held(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct burst_notice *)item =
        (struct burst_notice){.id = db_int(rows, 0),
                              .case_id = db_int(rows, 1),
                              .after = db_int(rows, 2),
                              .kind = store_text(a, rows, 3, &nomem),
                              .said = store_text(a, rows, 4, &nomem),
                              .machine = store_text(a, rows, 5, &nomem),
                              .alert = store_text(a, rows, 6, &nomem),
                              .thread = store_text(a, rows, 7, &nomem),
                              .rule = store_text(a, rows, 8, &nomem),
                              .machine_id = store_text(a, rows, 9, &nomem),
                              .tenant = store_text(a, rows, 10, &nomem),
                              .stale = db_int(rows, 11) != 0};
    return nomem ? err_set(e, ERR_NOMEM, "burst") : ERR_OK;
}

enum err_code burst_held(struct db_tx *tx, struct arena *a, int64_t id, size_t max,
                         struct burst_notice **ret, size_t *ret_n, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    /* What a step of a machine came to says nothing of its isolation, and makes nothing stale; nor does a question of how the
     * isolation ended, nor what only others were told: each of its people has something newer, be it by a mail of his own. */
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT n.id, n.case_id, n.after, n.kind, n.said, n.machine, n.alert, n.thread, c.rule,"
        " c.machine_id, c.tenant, CASE WHEN n.kind NOT IN ('action_done', 'action_failed')"
        " AND NOT EXISTS (SELECT 1 FROM recipients r WHERE r.notice_id = n.id"
        " AND NOT EXISTS (SELECT 1 FROM notices m JOIN recipients o ON o.notice_id = m.id"
        " WHERE m.case_id = n.case_id AND m.id > n.id AND m.channel IS NULL"
        " AND m.kind NOT IN ('action_done', 'action_failed')"
        " AND (m.kind <> 'question' OR n.kind IN ('alert', 'requested', 'late'))"
        " AND o.address = r.address)) THEN 1 ELSE 0 END"
        " FROM notices n JOIN cases c ON c.id = n.case_id"
        " WHERE n.burst = $1 AND n.state = 'held' ORDER BY n.id LIMIT $2",
        "ii", id, (int64_t)max);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_held, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_n = list.count;
    return ERR_OK;
}

enum err_code burst_save(struct db_tx *tx, const struct burst *b, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE bursts SET first_mail = $1, last_mail = $2, mailed = $3, held = $4"
                  " WHERE id = $5",
                  "iiiii", b->first, b->last, b->mailed, b->held, b->id);
}

enum err_code burst_close(struct db_tx *tx, int64_t id, struct err *e)
{
    enum err_code code = db_run(tx, e, NULL, "DELETE FROM burst_keys WHERE burst = $1", "i", id);

    return code ? code : db_run(tx, e, NULL, "DELETE FROM bursts WHERE id = $1", "i", id);
}
