/* store_isolations.c - see store_isolations.h. */
#include "store_isolations.h"

#include <assert.h>
#include <string.h>

#include "store_audit.h"
#include "store_rows.h"
#include "store_work.h"

static const char *const names[ISOLATION_STATES] = {
    [ISOLATION_REQUESTED] = "requested", [ISOLATION_PENDING] = "pending",
    [ISOLATION_ISOLATED] = "isolated",   [ISOLATION_RELEASING] = "releasing",
    [ISOLATION_RELEASED] = "released",   [ISOLATION_FAILED] = "failed",
};

#define SELF(s) (1u << (s))
static const unsigned may_become[ISOLATION_STATES] = {
    [ISOLATION_REQUESTED] = SELF(ISOLATION_REQUESTED) | 1u << ISOLATION_PENDING |
                            1u << ISOLATION_ISOLATED | 1u << ISOLATION_RELEASED |
                            1u << ISOLATION_FAILED,
    [ISOLATION_PENDING] = SELF(ISOLATION_PENDING) | 1u << ISOLATION_ISOLATED |
                          1u << ISOLATION_RELEASED | 1u << ISOLATION_FAILED,
    [ISOLATION_ISOLATED] =
        SELF(ISOLATION_ISOLATED) | 1u << ISOLATION_RELEASING | 1u << ISOLATION_RELEASED,
    [ISOLATION_RELEASING] =
        SELF(ISOLATION_RELEASING) | 1u << ISOLATION_ISOLATED | 1u << ISOLATION_RELEASED,
    [ISOLATION_RELEASED] = 0,
    [ISOLATION_FAILED] = 0,
};

const char *isolation_state_name(enum isolation_state state)
{
    return names[state];
}

bool isolation_is_open(enum isolation_state state)
{
    return state != ISOLATION_RELEASED && state != ISOLATION_FAILED;
}

bool isolation_is_settled(enum isolation_state state)
{
    return state != ISOLATION_REQUESTED && state != ISOLATION_PENDING;
}

bool isolation_is_unknown(const struct isolation_record *r)
{
    return r->state == ISOLATION_FAILED && r->posted;
}

#define OPEN_STATES "('requested', 'pending', 'isolated', 'releasing')" /* isolation_is_open */
#define COLUMNS                                                                                      \
    "id, case_id, tenant, machine_id, machine_name, type, comment, why, rule, requestor, action_id," \
    " state, adopted, posted, requested, confirmed, released, updated, review, reminded, lapsed,"    \
    " release_id, release_why, keep_until, took_effect, ask_from, unseen, by_rule"
#define ALL_COLUMNS COLUMNS ", sent" /* what is only read here */

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct isolation_record *r = item;
    bool nomem = false;

    *r = (struct isolation_record){
        .id = db_int(rows, 0),
        .case_id = db_int(rows, 1),
        .tenant = store_text(a, rows, 2, &nomem),
        .machine_id = store_text(a, rows, 3, &nomem),
        .machine_name = store_text(a, rows, 4, &nomem),
        .type = store_text(a, rows, 5, &nomem),
        .comment = store_text(a, rows, 6, &nomem),
        .why = store_text(a, rows, 7, &nomem),
        .rule = store_text(a, rows, 8, &nomem),
        .requestor = store_text(a, rows, 9, &nomem),
        .action_id = store_text(a, rows, 10, &nomem),
        .state = (enum isolation_state)store_find_word(names, ISOLATION_STATES, db_text(rows, 11)),
        .adopted = db_int(rows, 12) != 0,
        .posted = db_int(rows, 13),
        .requested = db_int(rows, 14),
        .confirmed = db_int(rows, 15),
        .released = db_int(rows, 16),
        .updated = db_int(rows, 17),
        .review = db_int(rows, 18),
        .reminded = db_int(rows, 19),
        .lapsed = db_int(rows, 20),
        .release_id = store_text(a, rows, 21, &nomem),
        .release_why = store_text(a, rows, 22, &nomem),
        .keep_until = db_int(rows, 23),
        .took_effect = db_int(rows, 24),
        .ask_from = db_int(rows, 25),
        .unseen = db_int(rows, 26),
        .by_rule = db_int(rows, 27) != 0,
        .sent = db_int(rows, 28),
    };
    if (nomem)
        return err_set(e, ERR_NOMEM, "isolation");
    if (r->state == ISOLATION_STATES)
        return err_set(e, ERR_REFUSED, "the store holds an isolation in state '%.40s'",
                       db_text(rows, 11));
    return ERR_OK;
}

enum err_code isolation_load(struct db_tx *tx, struct arena *a, int64_t id,
                             struct isolation_record *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " ALL_COLUMNS " FROM isolations WHERE id = $1", "i", id);

    return code ? code
                : store_take_one(rows, a, read_row, ret, "there is no isolation with this id", e);
}

/* The first row of a query that has $1, the tenant, and $2, one of its ids. */
static enum err_code find_one(struct db_tx *tx, struct arena *a, const char *sql,
                              const char *tenant, const char *id, struct isolation_record *ret,
                              bool *ret_found, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, sql, "tt", tenant, id);

    return code ? code : store_take_first(rows, a, read_row, ret, ret_found, e);
}

enum err_code isolation_find_open(struct db_tx *tx, struct arena *a, const char *tenant,
                                  const char *machine_id, struct isolation_record *ret,
                                  bool *ret_found, struct err *e)
{
    return find_one(tx, a,
                    "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant = $1 AND machine_id = $2"
                    " AND state IN " OPEN_STATES,
                    tenant, machine_id, ret, ret_found, e);
}

enum err_code isolation_find_renamed(struct db_tx *tx, struct arena *a, const char *tenant,
                                     const char *tenant_id, const char *machine_id,
                                     struct isolation_record *ret, bool *ret_found, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant IN (SELECT tenant FROM polls"
        " WHERE lower(tenant_id) = lower($1) AND tenant <> $2) AND machine_id = $3"
        " AND state IN " OPEN_STATES /* for the index */
        " AND (state IN ('pending', 'isolated') OR (state = 'requested' AND posted <> 0))"
        " ORDER BY CASE WHEN posted <> 0 THEN posted + $4 ELSE updated + $5 END DESC LIMIT 1",
        "tttii", tenant_id, tenant, machine_id, (int64_t)WORK_POST_LEASE_MS,
        (int64_t)WORK_SETTLE_MS);

    return code ? code : store_take_first(rows, a, read_row, ret, ret_found, e);
}

enum err_code isolation_find_action(struct db_tx *tx, struct arena *a, const char *tenant,
                                    const char *action_id, struct isolation_record *ret,
                                    bool *ret_found, struct err *e)
{
    return find_one(tx, a,
                    "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant = $1 AND action_id = $2"
                    " ORDER BY id DESC LIMIT 1",
                    tenant, action_id, ret, ret_found, e);
}

enum err_code isolation_find_release(struct db_tx *tx, struct arena *a, const char *tenant,
                                     const char *action_id, struct isolation_record *ret,
                                     bool *ret_found, struct err *e)
{
    return find_one(tx, a,
                    "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant = $1 AND release_id = $2"
                    " ORDER BY id DESC LIMIT 1",
                    tenant, action_id, ret, ret_found, e);
}

enum err_code isolation_find_failed(struct db_tx *tx, struct arena *a, const char *tenant,
                                    const char *action_id, struct isolation_record *ret,
                                    bool *ret_found, struct err *e)
{
    return find_one(tx, a,
                    "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant = $1 AND action_id = $2"
                    " AND state = 'failed' ORDER BY id DESC LIMIT 1",
                    tenant, action_id, ret, ret_found, e);
}

enum err_code isolation_displace(struct db_tx *tx, int64_t id, const char *action_id, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE isolations SET displaced_id = $1 WHERE id = $2", "ti",
                  action_id, id);
}

enum err_code isolation_find_displaced(struct db_tx *tx, struct arena *a, const char *tenant,
                                       const char *action_id, struct isolation_record *ret,
                                       bool *ret_found, struct err *e)
{
    return find_one(tx, a,
                    "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant = $1"
                    " AND displaced_id = $2 ORDER BY id DESC LIMIT 1",
                    tenant, action_id, ret, ret_found, e);
}

enum err_code isolation_find_unlisted(struct db_tx *tx, struct arena *a, const char *tenant,
                                      const char *machine_id, struct isolation_record *ret,
                                      bool *ret_found, struct err *e)
{
    return find_one(tx, a,
                    "SELECT " ALL_COLUMNS " FROM isolations WHERE tenant = $1 AND machine_id = $2"
                    " AND state = 'failed' AND posted <> 0 AND unseen <> 0 AND action_id IS NULL"
                    " ORDER BY id DESC LIMIT 1",
                    tenant, machine_id, ret, ret_found, e);
}

enum err_code isolation_give(struct db_tx *tx, const struct isolation_record *r, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE isolations SET case_id = $1, rule = $2, comment = $3 WHERE id = $4",
                  "itti", r->case_id, r->rule, r->comment, r->id);
}

static enum err_code audit_isolation(struct db_tx *tx, const struct isolation_record *r,
                                     const char *before, struct err *e)
{
    return audit_put(tx, e, AUDIT_ISOLATION, r->case_id, r->updated, LOG_ID("isolation", r->id),
                     LOG_STR("tenant", r->tenant), LOG_STR("machine", r->machine_id),
                     LOG_STR("type", r->type), LOG_STR("rule", r->rule), LOG_STR("before", before),
                     LOG_STR("state", names[r->state]), LOG_INT("posted_ms", r->posted),
                     LOG_STR("action", r->action_id), LOG_STR("requestor", r->requestor),
                     LOG_BOOL("adopted", r->adopted), LOG_STR("why", r->why));
}

/* Does the row say something else than r of what was asked for and what came of it? */
static enum err_code is_news(struct db_tx *tx, const struct isolation_record *r, bool *ret,
                             struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT posted, action_id FROM isolations WHERE id = $1", "i", r->id);

    if (code)
        return code;
    if (db_next(rows)) {
        const char *action = db_text(rows, 1);

        *ret = db_int(rows, 0) != r->posted ||
               strcmp(action ? action : "", r->action_id ? r->action_id : "") != 0;
    }
    return db_rows_end(rows, e);
}

enum err_code isolation_insert(struct db_tx *tx, const struct isolation_record *r, struct err *e)
{
    enum err_code code = db_run(
        tx, e, NULL,
        "INSERT INTO isolations (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
        " $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27,"
        " $28)",
        "iittttttttttiiiiiiiiittiiiii", r->id, r->case_id, r->tenant, r->machine_id,
        r->machine_name, r->type, r->comment, r->why, r->rule, r->requestor, r->action_id,
        names[r->state], (int64_t)r->adopted, r->posted, r->requested, r->confirmed, r->released,
        r->updated, r->review, r->reminded, r->lapsed, r->release_id, r->release_why, r->keep_until,
        r->took_effect, r->ask_from, r->unseen, (int64_t)r->by_rule);

    return code ? code : audit_isolation(tx, r, NULL, e);
}

enum err_code isolation_move(struct db_tx *tx, struct isolation_record *r, enum isolation_state to,
                             const char *why, int64_t now, struct err *e)
{
    struct isolation_record next = *r;
    int64_t changed = 0;
    bool news = to != r->state; /* a look that found nothing new is none */
    enum err_code code = ERR_OK;

    assert(may_become[r->state] & 1u << to);
    if (!news)
        code = is_news(tx, r, &news, e);
    if (code)
        return code;
    next.state = to;
    next.why = why;
    next.updated = now;
    if (to == ISOLATION_ISOLATED && !next.confirmed)
        next.confirmed = now;
    if (to == ISOLATION_RELEASED)
        next.released = now;
    code =
        db_run(tx, e, &changed,
               "UPDATE isolations SET state = $1, why = $2, requestor = $3, action_id = $4,"
               " adopted = $5, posted = $6, confirmed = $7, released = $8, updated = $9,"
               " review = $10, reminded = $11, lapsed = $12, release_id = $13, release_why = $14,"
               " keep_until = $15, type = $16, took_effect = $17, ask_from = $18, unseen = $19,"
               " by_rule = $20 WHERE id = $21 AND state = $22",
               "ttttiiiiiiiittitiiiiit", names[to], why, next.requestor, next.action_id,
               (int64_t)next.adopted, next.posted, next.confirmed, next.released, now, next.review,
               next.reminded, next.lapsed, next.release_id, next.release_why, next.keep_until,
               next.type, next.took_effect, next.ask_from, next.unseen, (int64_t)next.by_rule,
               r->id, names[r->state]);
    if (code)
        return code;
    if (changed != 1)
        return err_set(e, ERR_STALE, "the isolation is not %s any more", names[r->state]);
    code = news ? audit_isolation(tx, &next, names[r->state], e) : ERR_OK;
    if (!code)
        *r = next;
    return code;
}

enum err_code isolation_count_since(struct db_tx *tx, int64_t since, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code;

    code = db_query(tx, e, &rows,
                    "SELECT count(*) FROM isolations WHERE adopted = 0"
                    " AND (sent >= $1 OR (sent = 0 AND requested >= $2))",
                    "ii", since, since);
    return code ? code : store_take_int(rows, ret, e);
}

enum err_code isolation_count_unsent_since(struct db_tx *tx, int64_t since, int64_t *ret,
                                           struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT count(*) FROM isolations WHERE requested >= $1"
                                  " AND adopted = 0 AND sent = 0"
                                  " AND state IN ('requested', 'failed')",
                                  "i", since);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code isolation_was_released_since(struct db_tx *tx, const struct isolation_record *r,
                                           bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT 1 FROM isolations WHERE tenant = $1 AND machine_id = $2"
                                  " AND id > $3 AND state = 'released' LIMIT 1",
                                  "tti", r->tenant, r->machine_id, r->id);

    return code ? code : store_take_any(rows, ret, e);
}

enum err_code isolation_unwatched(struct db_tx *tx, struct arena *a, size_t limit,
                                  struct isolation_record **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT " ALL_COLUMNS " FROM isolations WHERE state IN ('isolated', 'releasing')"
                 " AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = isolations.id)"
                 " ORDER BY id LIMIT $1",
                 "i", (int64_t)limit);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_row, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

/* ---- outside a transaction -------------------------------------------------------------------- */

struct read {
    struct arena *arena;
    int64_t id;
    struct isolation_record *one;
    int64_t *counts;
};

static enum err_code read_isolation(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;

    return isolation_load(tx, r->arena, r->id, r->one, e);
}

static enum err_code read_counts(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;
    struct db_rows *rows;
    enum err_code code;

    memset(r->counts, 0, ISOLATION_STATES * sizeof *r->counts);
    code = db_query(tx, e, &rows, "SELECT state, count(*) FROM isolations GROUP BY state", "");
    if (code)
        return code;
    while (db_next(rows)) {
        enum isolation_state state =
            (enum isolation_state)store_find_word(names, ISOLATION_STATES, db_text(rows, 0));

        if (state < ISOLATION_STATES)
            r->counts[state] = db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

enum err_code store_isolation_load(struct store *s, struct arena *a, int64_t id,
                                   struct isolation_record *ret, struct err *e)
{
    struct read r = {.arena = a, .id = id, .one = ret};

    return db_read(s->db, read_isolation, &r, e);
}

enum err_code store_isolation_list(struct store *s, struct arena *a,
                                   const struct isolation_filter *f, struct isolation_record **ret,
                                   size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code =
        store_read_list(s, a, sizeof **ret, read_row, &list, e,
                        "SELECT " ALL_COLUMNS " FROM isolations WHERE id < $1"
                        " AND ($2 = 0 OR state IN " OPEN_STATES ")"
                        " AND ($3 = 1 OR lower(machine_id) = lower($4)"
                        " OR lower(machine_name) = lower($5)) ORDER BY id DESC LIMIT $6",
                        "iiitti", f->before_id ? f->before_id : INT64_MAX, (int64_t)f->open_only,
                        (int64_t)!f->machine, f->machine ? f->machine : "",
                        f->machine ? f->machine : "", (int64_t)f->limit);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code store_isolation_count(struct store *s, int64_t ret[ISOLATION_STATES], struct err *e)
{
    struct read r = {.counts = ret};

    return db_read(s->db, read_counts, &r, e);
}

struct asked {
    const char *tenant;
    int64_t count, due, since;
};

static enum err_code count_asked(struct db_tx *tx, void *arg, struct err *e)
{
    struct asked *a = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT count(*) FROM work w JOIN isolations i ON i.id = w.id"
                                  " WHERE w.kind = $1 AND i.tenant = $2 AND i.state = 'requested'"
                                  " AND i.posted = 0 AND (w.due <= $3 OR w.owner IS NOT NULL)",
                                  "iti", (int64_t)WORK_ISOLATION, a->tenant, a->due);

    return code ? code : store_take_int(rows, &a->count, e);
}

enum err_code store_isolation_count_asked(struct store *s, const char *tenant, int64_t until,
                                          int64_t *ret, struct err *e)
{
    struct asked a = {.tenant = tenant, .due = until};
    enum err_code code = db_read(s->db, count_asked, &a, e);

    if (!code)
        *ret = a.count;
    return code;
}

struct listing {
    struct arena *arena;
    const char *tenant, **ret;
    size_t max, n;
};

static enum err_code list_asked(struct db_tx *tx, void *arg, struct err *e)
{
    struct listing *l = arg;
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT i.machine_id FROM work w JOIN isolations i ON i.id = w.id"
                                  " WHERE w.kind = $1 AND i.tenant = $2 AND i.state = 'requested'"
                                  " AND i.posted = 0 ORDER BY i.id LIMIT $3",
                                  "iti", (int64_t)WORK_ISOLATION, l->tenant, (int64_t)l->max);

    if (code)
        return code;
    for (l->n = 0; l->n < l->max && db_next(rows); l->n++)
        l->ret[l->n] = store_text(l->arena, rows, 0, &nomem);
    code = db_rows_end(rows, e);
    return code || !nomem ? code : err_set(e, ERR_NOMEM, "machines");
}

enum err_code store_isolation_list_asked(struct store *s, struct arena *a, const char *tenant,
                                         size_t n, const char *ret[], size_t *ret_count,
                                         struct err *e)
{
    struct listing l = {.arena = a, .tenant = tenant, .ret = ret, .max = n};
    enum err_code code = db_read(s->db, list_asked, &l, e);

    *ret_count = code ? 0 : l.n;
    return code;
}

static enum err_code wait_asked(struct db_tx *tx, void *arg, struct err *e)
{
    const struct asked *a = arg;

    return db_run(
        tx, e, NULL,
        "UPDATE work SET due = $1 WHERE kind = $2 AND owner IS NULL AND due < $3 AND EXISTS"
        " (SELECT 1 FROM isolations i WHERE i.id = work.id AND i.tenant = $4"
        " AND i.state = 'requested' AND i.posted = 0 AND i.requested >= $5)",
        "iiiti", a->due, (int64_t)WORK_ISOLATION, a->due, a->tenant, a->since);
}

enum err_code store_isolation_wait(struct store *s, const char *tenant, int64_t due, int64_t since,
                                   struct err *e)
{
    struct asked a = {.tenant = tenant, .due = due, .since = since};

    return db_write(s->db, wait_asked, &a, e);
}
