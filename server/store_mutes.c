/* store_mutes.c - see store_mutes.h. */
#include "store_mutes.h"

#include <assert.h>
#include <string.h>

#include "id.h"
#include "store_rows.h"
#include "store_work.h"

static const char *const states[MUTE_STATES] = {
    [MUTE_PROPOSED] = "proposed", [MUTE_ACTIVE] = "active", [MUTE_ENDED] = "ended"};

static const unsigned may_become[MUTE_STATES] = {
    [MUTE_PROPOSED] = 1u << MUTE_ACTIVE | 1u << MUTE_ENDED,
    [MUTE_ACTIVE] = 1u << MUTE_ENDED,
    [MUTE_ENDED] = 0,
};

const char *mute_state_name(enum mute_state state)
{
    return states[state];
}

static enum mute_state parse_state(const char *name)
{
    int i = 0;

    while (i < MUTE_STATES && strcmp(states[i], name ? name : "") != 0)
        i++;
    return (enum mute_state)i;
}

/* ---- rows ------------------------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
    "id, state, matcher, author, why, broad, second, ended_by, ended_why, created, began, ends,"   \
    " ended, (SELECT count(*) FROM muted_cases WHERE muted_cases.mute_id = mutes.id) AS withheld"

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct mute_record *m = item;
    bool nomem = false;

    *m = (struct mute_record){.id = db_int(rows, 0),
                              .state = parse_state(db_text(rows, 1)),
                              .matcher = store_text(a, rows, 2, &nomem),
                              .author = store_text(a, rows, 3, &nomem),
                              .why = store_text(a, rows, 4, &nomem),
                              .broad = store_text(a, rows, 5, &nomem),
                              .second = store_text(a, rows, 6, &nomem),
                              .ended_by = store_text(a, rows, 7, &nomem),
                              .ended_why = store_text(a, rows, 8, &nomem),
                              .created = db_int(rows, 9),
                              .began = db_int(rows, 10),
                              .ends = db_int(rows, 11),
                              .ended = db_int(rows, 12),
                              .withheld = db_int(rows, 13)};
    if (nomem)
        return err_set(e, ERR_NOMEM, "silence");
    if (m->state == MUTE_STATES)
        return err_set(e, ERR_REFUSED, "the store holds a silence that is none");
    return ERR_OK;
}

enum err_code mute_load(struct db_tx *tx, struct arena *a, int64_t id, struct mute_record *ret,
                        struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM mutes WHERE id = $1", "i", id);

    return code ? code
                : store_take_one(rows, a, read_row, ret, "there is no silence with this id", e);
}

enum err_code mute_insert(struct db_tx *tx, const struct mute_record *m, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "INSERT INTO mutes (id, state, matcher, author, why, broad, created, began, ends,"
               " ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)",
               "itttttiii", m->id, states[m->state], m->matcher, m->author, m->why, m->broad,
               m->created, m->began, m->ends);

    return code ? code : work_put(tx, m->id, WORK_MUTE, WORK_NORMAL, m->ends, m->created, NULL, e);
}

enum err_code mute_move(struct db_tx *tx, struct mute_record *m, enum mute_state to, struct err *e)
{
    int64_t changed = 0;
    enum err_code code;

    assert(may_become[m->state] & 1u << to);
    code = db_run(tx, e, &changed,
                  "UPDATE mutes SET state = $1, second = $2, began = $3, ended = $4, ended_by = $5,"
                  " ended_why = $6 WHERE id = $7 AND state = $8",
                  "ttiittit", states[to], m->second, m->began, m->ended, m->ended_by, m->ended_why,
                  m->id, states[m->state]);
    if (!code && changed != 1)
        code = err_set(e, ERR_STALE, "the silence is not %s any more", states[m->state]);
    if (!code)
        m->state = to;
    return code;
}

enum err_code mute_date(struct db_tx *tx, const struct mute_record *m, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE mutes SET created = $1, began = $2, ends = $3 WHERE id = $4",
                  "iiii", m->created, m->began, m->ends, m->id);
}

enum err_code mute_count_open(struct db_tx *tx, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT count(*) FROM mutes WHERE state <> 'ended'", "");

    return code ? code : store_take_int(rows, ret, e);
}

/* ---- what they withheld ----------------------------------------------------------------------- */

enum err_code mute_note(struct db_tx *tx, int64_t id, const struct muted_case *c, bool *ret_active,
                        struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT id FROM mutes WHERE id = $1 AND state = 'active'"
                                  " AND ends > $2",
                                  "ii", id, c->at);

    if (!code)
        code = store_take_any(rows, ret_active, e);
    if (code || !*ret_active)
        return code;
    return db_run(tx, e, NULL,
                  "INSERT INTO muted_cases (mute_id, case_id, at, what) VALUES ($1, $2, $3, $4)"
                  " ON CONFLICT (mute_id, case_id) DO NOTHING",
                  "iiit", id, c->case_id, c->at, c->what);
}

static enum err_code read_case(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct muted_case *)item = (struct muted_case){
        .case_id = db_int(rows, 0), .at = db_int(rows, 1), .what = store_text(a, rows, 2, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "what a silence withheld") : ERR_OK;
}

enum err_code mute_cases(struct db_tx *tx, struct arena *a, int64_t id, int64_t before_id,
                         size_t limit, struct muted_case **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT case_id, at, what FROM muted_cases WHERE mute_id = $1"
                                  " AND case_id < $2 ORDER BY case_id DESC LIMIT $3",
                                  "iii", id, before_id ? before_id : INT64_MAX, (int64_t)limit);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_case, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

/* ---- reading from outside of a transaction ----------------------------------------------------- */

struct reading {
    struct arena *arena;
    bool open_only;
    int64_t id, since; /* id: of the one, of a case, or a cursor */
    int64_t before;    /* a cursor */
    size_t limit;
    struct mute_record one;
    struct store_list list;
    struct muted_case *cases;
    size_t n_cases;
    int64_t *by_state;
};

static enum err_code list_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;
    struct db_rows *rows;
    enum err_code code = r->open_only
                             ? db_query(tx, e, &rows,
                                        "SELECT " COLUMNS " FROM mutes WHERE state <> 'ended'"
                                        " AND id < $1 ORDER BY id DESC LIMIT $2",
                                        "ii", r->id, (int64_t)r->limit)
                             : db_query(tx, e, &rows,
                                        "SELECT " COLUMNS " FROM mutes WHERE id < $1"
                                        " ORDER BY id DESC LIMIT $2",
                                        "ii", r->id, (int64_t)r->limit);

    return code ? code
                : store_take(rows, r->arena, sizeof(struct mute_record), read_row, &r->list, e);
}

enum err_code store_mute_list(struct store *s, struct arena *a, bool open_only, int64_t before_id,
                              size_t limit, struct mute_record **ret, size_t *ret_count,
                              struct err *e)
{
    struct reading r = {.arena = a,
                        .open_only = open_only,
                        .id = before_id ? before_id : INT64_MAX,
                        .limit = limit};
    enum err_code code = db_read(s->db, list_fn, &r, e);

    if (code)
        return code;
    *ret = r.list.items;
    *ret_count = r.list.count;
    return ERR_OK;
}

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;

    return mute_load(tx, r->arena, r->id, &r->one, e);
}

static enum err_code of_case_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT " COLUMNS " FROM mutes WHERE id = (SELECT mute_id FROM"
                                  " muted_cases WHERE case_id = $1 ORDER BY at DESC, mute_id DESC"
                                  " LIMIT 1)",
                                  "i", r->id);

    return code ? code
                : store_take_one(rows, r->arena, read_row, &r->one, "no silence withheld it", e);
}

static enum err_code read_mute(struct store *s, struct arena *a, db_fn fn, int64_t id,
                               struct mute_record *ret, struct err *e)
{
    struct reading r = {.arena = a, .id = id};
    enum err_code code = db_read(s->db, fn, &r, e);

    if (!code)
        *ret = r.one;
    return code;
}

enum err_code store_mute_load(struct store *s, struct arena *a, int64_t id, struct mute_record *ret,
                              struct err *e)
{
    return read_mute(s, a, load_fn, id, ret, e);
}

enum err_code store_mute_of_case(struct store *s, struct arena *a, int64_t case_id,
                                 struct mute_record *ret, struct err *e)
{
    return read_mute(s, a, of_case_fn, case_id, ret, e);
}

static enum err_code cases_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;

    return mute_cases(tx, r->arena, r->id, r->before, r->limit, &r->cases, &r->n_cases, e);
}

enum err_code store_mute_cases(struct store *s, struct arena *a, int64_t id, int64_t before_id,
                               size_t limit, struct muted_case **ret, size_t *ret_count,
                               struct err *e)
{
    struct reading r = {.arena = a, .id = id, .before = before_id, .limit = limit};
    enum err_code code = db_read(s->db, cases_fn, &r, e);

    if (code)
        return code;
    *ret = r.cases;
    *ret_count = r.n_cases;
    return ERR_OK;
}

static enum err_code count_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT state, count(*) FROM mutes GROUP BY state", "");

    if (code)
        return code;
    memset(r->by_state, 0, MUTE_STATES * sizeof *r->by_state);
    while (db_next(rows)) {
        enum mute_state state = parse_state(db_text(rows, 0));

        if (state != MUTE_STATES)
            r->by_state[state] = db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

enum err_code store_mute_count(struct store *s, int64_t ret[MUTE_STATES], struct err *e)
{
    struct reading r = {.by_state = ret};

    return db_read(s->db, count_fn, &r, e);
}

static enum err_code read_past(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct mute_past *)item = (struct mute_past){.case_id = db_int(rows, 0),
                                                   .tenant = store_text(a, rows, 1, &nomem),
                                                   .alert_id = store_text(a, rows, 2, &nomem),
                                                   .machine_id = store_text(a, rows, 3, &nomem),
                                                   .rule = store_text(a, rows, 4, &nomem),
                                                   .facts = store_text(a, rows, 5, &nomem),
                                                   .verdict = store_text(a, rows, 6, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "past case") : ERR_OK;
}

static enum err_code past_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT id, tenant, alert_id, machine_id, rule, facts, verdict FROM cases"
                 " WHERE id > $1 AND id < $2 AND facts IS NOT NULL ORDER BY id DESC LIMIT $3",
                 "iii", id_of_time(r->since), r->id, (int64_t)r->limit);

    return code ? code
                : store_take(rows, r->arena, sizeof(struct mute_past), read_past, &r->list, e);
}

enum err_code store_mute_past(struct store *s, struct arena *a, int64_t since, int64_t before_id,
                              size_t limit, struct mute_past **ret, size_t *ret_count,
                              struct err *e)
{
    struct reading r = {.arena = a, .since = since, .id = before_id, .limit = limit};
    enum err_code code = db_read(s->db, past_fn, &r, e);

    if (code)
        return code;
    *ret = r.list.items;
    *ret_count = r.list.count;
    return ERR_OK;
}
