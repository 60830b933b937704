/* store_actions.c - see store_actions.h. */
#include "store_actions.h"

#include <assert.h>

#include "store_rows.h"

static const char *const names[ACTION_STATES] = {
    [ACTION_REQUESTED] = "requested",
    [ACTION_PENDING] = "pending",
    [ACTION_DONE] = "done",
    [ACTION_FAILED] = "failed",
};

const char *action_state_name(enum action_state state)
{
    return names[state];
}

#define COLUMNS                                                                                    \
    "id, case_id, tenant, machine_id, handler, detail, comment, state, why, action_id, requestor," \
    " adopted, posted, requested, ended, updated"

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct action_record *r = item;
    bool nomem = false;
    int state;

    *r = (struct action_record){
        .id = db_int(rows, 0),
        .case_id = db_int(rows, 1),
        .tenant = store_text(a, rows, 2, &nomem),
        .machine_id = store_text(a, rows, 3, &nomem),
        .handler = store_text(a, rows, 4, &nomem),
        .detail = store_text(a, rows, 5, &nomem),
        .comment = store_text(a, rows, 6, &nomem),
        .why = store_text(a, rows, 8, &nomem),
        .action_id = store_text(a, rows, 9, &nomem),
        .requestor = store_text(a, rows, 10, &nomem),
        .adopted = db_int(rows, 11) != 0,
        .posted = db_int(rows, 12),
        .requested = db_int(rows, 13),
        .ended = db_int(rows, 14),
        .updated = db_int(rows, 15),
    };
    if (nomem)
        return err_set(e, ERR_NOMEM, "action");
    state = store_find_word(names, ACTION_STATES, db_text(rows, 7));
    if (state == ACTION_STATES)
        return err_set(e, ERR_REFUSED, "the store holds an action in state '%.40s'",
                       db_text(rows, 7));
    r->state = (enum action_state)state;
    return ERR_OK;
}

struct read {
    struct arena *arena;
    int64_t id;
    struct action_record *one;
};

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM actions WHERE id = $1", "i", r->id);

    return code ? code
                : store_take_one(rows, r->arena, read_row, r->one,
                                 "there is no action with this id", e);
}

enum err_code store_action_load(struct store *s, struct arena *a, int64_t id,
                                struct action_record *ret, struct err *e)
{
    struct read r = {.arena = a, .id = id, .one = ret};

    return db_read(s->db, load_fn, &r, e);
}

enum err_code store_action_list(struct store *s, struct arena *a, int64_t case_id, size_t limit,
                                struct action_record **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code =
        store_read_list(s, a, sizeof **ret, read_row, &list, e,
                        "SELECT " COLUMNS " FROM actions WHERE case_id = $1 ORDER BY id LIMIT $2",
                        "ii", case_id, (int64_t)limit);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

static enum err_code find_cases(struct db_tx *tx, const struct action_record *r, size_t limit,
                                struct db_rows **ret, struct err *e)
{
    return db_query(
        tx, e, ret,
        "SELECT id, 0 AS joined FROM cases WHERE id = $1 AND state <> 'dropped' UNION ALL"
        " SELECT c.id, 1 FROM cases c JOIN steps s ON s.case_id = c.id WHERE c.machine_id = $2"
        " AND c.tenant = $3 AND c.state <> 'dropped' AND s.handler = $4 AND s.state = 'done'"
        " AND s.updated >= $5 AND c.id <> $6 ORDER BY joined, id DESC LIMIT $7",
        "itttiii", r->case_id, r->machine_id, r->tenant, r->handler, r->requested, r->case_id,
        (int64_t)limit);
}

enum err_code action_is_wanted(struct db_tx *tx, const struct action_record *r, bool *ret,
                               struct err *e)
{
    struct db_rows *rows;
    enum err_code code = find_cases(tx, r, 1, &rows, e);

    return code ? code : store_take_any(rows, ret, e);
}

enum err_code action_joined(struct db_tx *tx, const struct action_record *r, int64_t *ret,
                            size_t max, size_t *ret_count, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT DISTINCT c.id FROM cases c JOIN steps s ON s.case_id = c.id"
                 " WHERE c.machine_id = $1 AND c.tenant = $2 AND c.state <> 'dropped'"
                 " AND s.handler = $3 AND s.handler <> 'stop_file' AND s.state = 'done'"
                 " AND s.why = $4 AND s.updated >= $5 AND c.id <> $6 ORDER BY c.id LIMIT $7",
                 "ttttiii", r->machine_id, r->tenant, r->handler, ACTION_JOINED, r->requested,
                 r->case_id, (int64_t)max);

    *ret_count = 0;
    if (code)
        return code;
    while (*ret_count < max && db_next(rows))
        ret[(*ret_count)++] = db_int(rows, 0);
    return db_rows_end(rows, e);
}

struct relying {
    const struct action_record *r;
    size_t limit, n;
    int64_t *ids;
};

static enum err_code cases_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct relying *q = arg;
    struct db_rows *rows;
    enum err_code code = find_cases(tx, q->r, q->limit, &rows, e);

    q->n = 0;
    if (code)
        return code;
    while (db_next(rows) && q->n < q->limit)
        q->ids[q->n++] = db_int(rows, 0);
    return db_rows_end(rows, e);
}

enum err_code store_action_cases(struct store *s, const struct action_record *r, size_t limit,
                                 int64_t *ids, size_t *ret_count, struct err *e)
{
    struct relying q = {.r = r, .limit = limit, .ids = ids};
    enum err_code code = db_read(s->db, cases_fn, &q, e);

    if (!code)
        *ret_count = q.n;
    return code;
}

enum err_code action_find_open(struct db_tx *tx, const struct action_record *r, bool *ret_found,
                               bool *ret_lesser, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT CASE WHEN handler = 'scan' AND $1 = 'Full' AND detail = 'Quick'"
                 " THEN 1 ELSE 0 END FROM actions"
                 " WHERE tenant = $2 AND machine_id = $3 AND handler = $4"
                 " AND state IN ('requested', 'pending')"
                 " AND (handler <> 'stop_file' OR lower(detail) = lower($1))",
                 "tttt", r->detail, r->tenant, r->machine_id, r->handler);

    *ret_found = *ret_lesser = false;
    if (code)
        return code;
    while (db_next(rows)) {
        *ret_found = true;
        *ret_lesser = *ret_lesser || db_int(rows, 0) != 0;
    }
    return db_rows_end(rows, e);
}

enum err_code action_insert(struct db_tx *tx, const struct action_record *r, struct err *e)
{
    return db_run(tx, e, NULL,
                  "INSERT INTO actions (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7,"
                  " $8, $9, $10, $11, $12, $13, $14, $15, $16)",
                  "iitttttttttiiiii", r->id, r->case_id, r->tenant, r->machine_id, r->handler,
                  r->detail, r->comment, names[r->state], r->why, r->action_id, r->requestor,
                  (int64_t)r->adopted, r->posted, r->requested, r->ended, r->updated);
}

enum err_code action_move(struct db_tx *tx, struct action_record *r, enum action_state to,
                          const char *why, int64_t now, struct err *e)
{
    struct action_record next = *r;
    int64_t changed = 0;
    enum err_code code;

    assert(r->state < ACTION_DONE); /* what is over stays so */
    next.state = to;
    next.why = why;
    next.updated = now;
    if (to == ACTION_DONE || to == ACTION_FAILED)
        next.ended = now;
    code = db_run(tx, e, &changed,
                  "UPDATE actions SET state = $1, why = $2, action_id = $3, requestor = $4,"
                  " adopted = $5, posted = $6, ended = $7, updated = $8"
                  " WHERE id = $9 AND state = $10",
                  "ttttiiiiit", names[to], why, next.action_id, next.requestor,
                  (int64_t)next.adopted, next.posted, next.ended, now, r->id, names[r->state]);
    if (code)
        return code;
    if (changed != 1)
        return err_set(e, ERR_STALE, "the action is not %s any more", names[r->state]);
    *r = next;
    return ERR_OK;
}
