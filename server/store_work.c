/* store_work.c - see store_work.h. */
#include "store_work.h"

#include <string.h>

#include "id.h"
#include "store_rows.h"

/* Due times beyond this are not believed after the clock was set back. */
#define FAR_MS (5 * MINUTE_MS)
/* But it may never have been: a machine that is isolated is looked at in so long in any case, and each look is a call. */
#define LEDGER_FAR_MS (WORK_LEDGER_EVERY_MS + FAR_MS)

struct claim {
    const struct clock *clock;
    const char *owner;
    const size_t *room; /* by kind */
    size_t max;
    int64_t ahead_ms; /* store_work_claim_by */
    /* out */
    int64_t now;
    struct work *out;
    size_t count, taken[WORK_KINDS];
    int64_t due[WORK_PRIORITIES][WORK_KINDS]; /* the earliest; WORK_PARKED: none */
};

/* Takes the rows one by one: RETURNING gives no order, and a claim takes few rows. The fence is one that no claim had before,
 * not the next number: a standby that lagged and took over has lost the last claims, and would give their numbers to others,
 * while those who hold them are at work still. */
static enum err_code claim_level(struct db_tx *tx, struct claim *c, int kind, int priority,
                                 struct err *e)
{
    while (c->count < c->max && c->taken[kind] < c->room[kind]) {
        struct work *w = &c->out[c->count];
        struct db_rows *rows;
        bool found;
        enum err_code code;

        code = db_query(tx, e, &rows,
                        "UPDATE work SET due = $1, owner = $2, fence = $3,"
                        " attempts = attempts + CASE WHEN owner IS NULL THEN 1 ELSE 0 END"
                        " WHERE id = (SELECT id FROM work WHERE kind = $4"
                        " AND priority = $5 AND due <= $6 ORDER BY due LIMIT 1 /*claim*/)"
                        " RETURNING id, attempts, fence, created",
                        "itiiii", c->now + WORK_LEASE_MS, c->owner, id_new(clock_system()),
                        (int64_t)kind, (int64_t)priority, c->now);
        if (code)
            return code;
        found = db_next(rows);
        if (found)
            *w = (struct work){.id = db_int(rows, 0),
                               .kind = (enum work_kind)kind,
                               .attempts = db_int(rows, 1),
                               .fence = db_int(rows, 2),
                               .created = db_int(rows, 3),
                               .lease_end = c->now + WORK_LEASE_MS};
        code = db_rows_end(rows, e);
        if (code)
            return code;
        if (!found)
            return ERR_OK;
        c->count++;
        c->taken[kind]++;
    }
    return ERR_OK;
}

/* The earliest due times of all kinds and priorities. One statement: most have nothing due, and a look is made
 * often, in the thread that everybody who writes waits for. */
static enum err_code look(struct db_tx *tx, struct claim *c, struct err *e)
{
    struct db_rows *rows;
    enum err_code code;

    code = db_query(tx, e, &rows,
                    "WITH RECURSIVE levels (n) AS (SELECT CAST(0 AS BIGINT) UNION ALL"
                    " SELECT n + 1 FROM levels WHERE n + 1 < $1) SELECT n,"
                    " (SELECT min(due) FROM work WHERE priority = n / $2 AND kind = n % $2)"
                    " FROM levels",
                    "ii", (int64_t)WORK_PRIORITIES * WORK_KINDS, (int64_t)WORK_KINDS);
    if (code)
        return code;
    while (db_next(rows)) {
        int64_t n = db_int(rows, 0);

        c->due[n / WORK_KINDS][n % WORK_KINDS] =
            db_is_null(rows, 1) ? WORK_PARKED : db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

/* The time is read here, where the database has just found the clock right (db_postgres.c), and not before the wait for that:
 * by a clock that was minutes ahead until then every lease of other replicas has run out. */
static enum err_code claim(struct db_tx *tx, void *arg, struct err *e)
{
    struct claim *c = arg;
    bool some = false;
    enum err_code code = look(tx, c, e);

    c->now = clock_wall_ms(c->clock);
    c->count = 0;
    memset(c->taken, 0, sizeof c->taken);
    if (c->now - clock_mono_ms(c->clock) > c->ahead_ms)
        return code;
    for (int priority = 0; priority < WORK_PRIORITIES && !code; priority++)
        for (int kind = 0; kind < WORK_KINDS && !code; kind++) {
            if (!c->room[kind] || c->due[priority][kind] > c->now)
                continue;
            code = claim_level(tx, c, kind, priority, e);
            some = true;
        }
    return !code && some ? look(tx, c, e) : code;
}

enum err_code store_work_claim_by(struct store *s, const char *owner, int64_t ahead_ms,
                                  const size_t room[WORK_KINDS], size_t max, struct work *ret,
                                  size_t *ret_count, int64_t *ret_next, struct err *e)
{
    struct claim c = {.clock = s->clock,
                      .owner = owner,
                      .room = room,
                      .max = max,
                      .ahead_ms = ahead_ms,
                      .out = ret};
    enum err_code code = db_write_loose(s->db, claim, &c, e);

    if (code)
        return err_in(e, "claim work"), code;
    *ret_count = c.count;
    *ret_next = WORK_PARKED;
    for (int priority = 0; priority < WORK_PRIORITIES; priority++)
        for (int kind = 0; kind < WORK_KINDS; kind++)
            if (room[kind] && c.due[priority][kind] < *ret_next)
                *ret_next = c.due[priority][kind];
    return ERR_OK;
}

enum err_code store_work_claim(struct store *s, const char *owner, const size_t room[WORK_KINDS],
                               size_t max, struct work *ret, size_t *ret_count, int64_t *ret_next,
                               struct err *e)
{
    return store_work_claim_by(s, owner, INT64_MAX, room, max, ret, ret_count, ret_next, e);
}

struct keeping {
    const struct clock *clock;
    const struct work *rows;
    size_t n;
};

/* A row that was given back has no owner, and one that somebody else claimed another fence. One that somebody is just
 * writing is passed over: its worker renews it by that. */
static enum err_code keep(struct db_tx *tx, void *arg, struct err *e)
{
    const struct keeping *k = arg;
    int64_t end = clock_wall_ms(k->clock) + WORK_LEASE_MS; /* as in claim */
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < k->n && !code; i++)
        code = db_run(tx, e, NULL,
                      "UPDATE work SET due = $1 WHERE id = (SELECT id FROM work WHERE id = $2"
                      " AND fence = $3 AND owner IS NOT NULL AND due < $4 /*claim*/)",
                      "iiii", end, k->rows[i].id, k->rows[i].fence, end);
    return code;
}

enum err_code store_work_keep(struct store *s, const struct work *rows, size_t n, struct err *e)
{
    struct keeping k = {.clock = s->clock, .rows = rows, .n = n};
    enum err_code code = db_write_loose(s->db, keep, &k, e);

    return code ? err_in(e, "renew leases"), code : ERR_OK;
}

static enum err_code recover(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *now = arg;

    return db_run(
        tx, e, NULL,
        "UPDATE work SET due = CASE WHEN (kind IN ($1, $2) AND EXISTS (SELECT 1 FROM"
        " isolations WHERE id = work.id AND posted <> 0)) OR (kind = $3 AND EXISTS"
        " (SELECT 1 FROM actions WHERE id = work.id AND posted <> 0)) THEN $4 ELSE $5 END,"
        " owner = NULL, fence = fence + 1,"
        " attempts = attempts - CASE WHEN attempts > 0 THEN 1 ELSE 0 END WHERE owner IS NOT NULL",
        "iiiii", (int64_t)WORK_ISOLATION, (int64_t)WORK_LEDGER, (int64_t)WORK_ACTION,
        *now + WORK_SETTLE_MS, *now);
}

/* No lease is as long as that, either, and who had one may be gone: a new one begins, which he renews if he is not. */
#define HURRY                                                                                      \
    "UPDATE work SET due = CASE WHEN owner IS NULL THEN $1 ELSE $2 END WHERE due > $3 AND due < $4"

static enum err_code hurry(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *now = arg;

    return db_run(tx, e, NULL, HURRY, "iiii", *now, *now + WORK_POST_LEASE_MS, *now + FAR_MS,
                  WORK_PARKED);
}

static enum err_code hurry_in_doubt(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *now = arg;

    return db_run(tx, e, NULL,
                  HURRY " AND (kind <> $5 OR due > $6 OR NOT EXISTS (SELECT 1 FROM isolations i"
                        " WHERE i.id = work.id AND i.state IN ('isolated', 'failed')"
                        " AND i.updated <= $7))",
                  "iiiiiii", *now, *now + WORK_POST_LEASE_MS, *now + FAR_MS, WORK_PARKED,
                  (int64_t)WORK_LEDGER, *now + LEDGER_FAR_MS, *now);
}

enum err_code store_work_doubt(struct store *s, struct err *e)
{
    int64_t now = clock_wall_ms(s->clock);
    enum err_code code = db_write_loose(s->db, hurry_in_doubt, &now, e);

    return code ? err_in(e, "should the clock have been set back"), code : ERR_OK;
}

enum err_code store_work_recover(struct store *s, struct err *e)
{
    int64_t now = clock_wall_ms(s->clock);
    enum err_code code = db_write(s->db, recover, &now, e);

    return code ? err_in(e, "free the leases of an earlier run"), code : store_work_doubt(s, e);
}

enum err_code store_work_hurry(struct store *s, struct err *e)
{
    int64_t now = clock_wall_ms(s->clock);
    enum err_code code = db_write_loose(s->db, hurry, &now, e);

    return code ? err_in(e, "after the clock was set back"), code : ERR_OK;
}

struct hastening {
    enum work_kind kind;
    int64_t now, tries; /* tried so often at the least */
};

static enum err_code hasten(struct db_tx *tx, void *arg, struct err *e)
{
    const struct hastening *h = arg;

    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE owner IS NULL AND kind = $2 AND attempts >= $3"
                  " AND due > $4 AND due < $5",
                  "iiiii", h->now, (int64_t)h->kind, h->tries, h->now, WORK_PARKED);
}

enum err_code store_work_try_now(struct store *s, struct err *e)
{
    struct hastening cases = {.kind = WORK_CASE, .now = clock_wall_ms(s->clock), .tries = 1};
    struct hastening notices = {.kind = WORK_NOTICE, .now = cases.now, .tries = 1};
    enum err_code code = db_write(s->db, hasten, &cases, e);

    if (!code)
        code = db_write(s->db, hasten, &notices, e);
    return code ? err_in(e, "make due what was tried in vain"), code : ERR_OK;
}

enum err_code store_work_ask_now(struct store *s, struct err *e)
{
    struct hastening h = {.kind = WORK_QUESTION, .now = clock_wall_ms(s->clock)};
    enum err_code code = db_write(s->db, hasten, &h, e);

    return code ? err_in(e, "make due what people are asked"), code : ERR_OK;
}

static enum err_code count(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t *out = arg;
    struct db_rows *rows;
    enum err_code code;

    memset(out, 0, WORK_KINDS * sizeof *out);
    code = db_query(tx, e, &rows, "SELECT kind, count(*) FROM work GROUP BY kind", "");
    if (code)
        return code;
    while (db_next(rows))
        if (db_int(rows, 0) >= 0 && db_int(rows, 0) < WORK_KINDS)
            out[db_int(rows, 0)] = db_int(rows, 1);
    return db_rows_end(rows, e);
}

enum err_code store_work_count(struct store *s, int64_t ret[WORK_KINDS], struct err *e)
{
    return db_read(s->db, count, ret, e);
}

struct waiting {
    enum work_kind kind;
    int64_t until, count;
};

static enum err_code count_waiting(struct db_tx *tx, void *arg, struct err *e)
{
    struct waiting *w = arg;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT count(*) FROM work WHERE kind = $1 AND due <= $2 AND owner IS NULL",
        "ii", (int64_t)w->kind, w->until);

    return code ? code : store_take_int(rows, &w->count, e);
}

enum err_code store_work_waiting(struct store *s, enum work_kind kind, int64_t until, int64_t *ret,
                                 struct err *e)
{
    struct waiting w = {.kind = kind, .until = until};
    enum err_code code = db_read(s->db, count_waiting, &w, e);

    if (!code)
        *ret = w.count;
    return code;
}

struct coming {
    int64_t id, due; /* or how many there are */
};

static enum err_code read_due(struct db_tx *tx, void *arg, struct err *e)
{
    struct coming *c = arg;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT coalesce(max(due), 0) FROM work WHERE id = $1 AND owner IS NULL AND due < $2", "ii",
        c->id, WORK_PARKED);

    return code ? code : store_take_int(rows, &c->due, e);
}

enum err_code store_work_due(struct store *s, int64_t id, int64_t *ret, struct err *e)
{
    struct coming c = {.id = id};
    enum err_code code = db_read(s->db, read_due, &c, e);

    if (!code)
        *ret = c.due;
    return code;
}

static enum err_code read_is_there(struct db_tx *tx, void *arg, struct err *e)
{
    struct coming *c = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT count(*) FROM work WHERE id = $1", "i", c->id);

    return code ? code : store_take_int(rows, &c->due, e);
}

enum err_code store_work_is_there(struct store *s, int64_t id, bool *ret, struct err *e)
{
    struct coming c = {.id = id};
    enum err_code code = db_read(s->db, read_is_there, &c, e);

    if (!code)
        *ret = c.due != 0;
    return code;
}

/* ---- inside a transaction -------------------------------------------------------------------- */

enum err_code work_put(struct db_tx *tx, int64_t id, enum work_kind kind,
                       enum work_priority priority, int64_t due, int64_t now,
                       struct work *ret_claim, struct err *e)
{
    int64_t end = now + (kind == WORK_ISOLATION ? WORK_POST_LEASE_MS : WORK_LEASE_MS);
    /* A case whose work was done has a row again when a person answers, say: one that was claimed before, by a process
     * that stood still since then, must not be taken for it. */
    int64_t fence = id_new(clock_system());

    if (ret_claim)
        *ret_claim = (struct work){.id = id,
                                   .kind = kind,
                                   .attempts = 1,
                                   .fence = fence,
                                   .created = now,
                                   .lease_end = end};
    return db_run(tx, e, NULL,
                  "INSERT INTO work (id, kind, priority, due, owner, attempts, fence, created)"
                  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                  "iiiitiii", id, (int64_t)kind, (int64_t)priority, ret_claim ? end : due,
                  ret_claim ? "put" : NULL, (int64_t)(ret_claim ? 1 : 0), fence, now);
}

/* One row touched means that the claim still holds. */
static enum err_code held(enum err_code code, int64_t changed, const struct work *w, struct err *e)
{
    if (code || changed == 1)
        return code;
    return err_set(e, ERR_STALE, "work %lld is no longer ours", (long long)w->id);
}

enum err_code work_done(struct db_tx *tx, const struct work *w, struct err *e)
{
    int64_t changed = 0;
    enum err_code code = db_run(tx, e, &changed, "DELETE FROM work WHERE id = $1 AND fence = $2",
                                "ii", w->id, w->fence);

    return held(code, changed, w, e);
}

enum err_code work_again(struct db_tx *tx, const struct work *w, int64_t due, int64_t attempts,
                         struct err *e)
{
    int64_t changed = 0;
    enum err_code code = db_run(tx, e, &changed,
                                "UPDATE work SET due = $1, owner = NULL, attempts = $2"
                                " WHERE id = $3 AND fence = $4",
                                "iiii", due, attempts, w->id, w->fence);

    return held(code, changed, w, e);
}

static enum err_code keep_until(struct db_tx *tx, struct work *w, int64_t end, struct err *e)
{
    int64_t changed = 0;
    enum err_code code =
        db_run(tx, e, &changed, "UPDATE work SET due = $1 WHERE id = $2 AND fence = $3", "iii", end,
               w->id, w->fence);

    code = held(code, changed, w, e);
    if (!code)
        w->lease_end = end;
    return code;
}

enum err_code work_keep(struct db_tx *tx, struct work *w, int64_t now, struct err *e)
{
    return keep_until(tx, w, now + WORK_LEASE_MS, e);
}

enum err_code work_keep_for_post(struct db_tx *tx, struct work *w, int64_t now, struct err *e)
{
    return keep_until(tx, w, now + WORK_POST_LEASE_MS, e);
}

enum err_code work_turn(struct db_tx *tx, int64_t id, enum work_kind kind,
                        enum work_priority priority, int64_t due, int64_t now, struct err *e)
{
    int64_t changed = 0;
    enum err_code code =
        db_run(tx, e, &changed,
               "UPDATE work SET kind = $1, priority = $2, due = $3, owner = NULL, attempts = 0,"
               " fence = fence + 1, created = $4 WHERE id = $5",
               "iiiii", (int64_t)kind, (int64_t)priority, due, now, id);

    return code || changed ? code : work_put(tx, id, kind, priority, due, now, NULL, e);
}

enum err_code work_cancel(struct db_tx *tx, int64_t id, struct err *e)
{
    return db_run(tx, e, NULL, "DELETE FROM work WHERE id = $1", "i", id);
}

enum err_code work_wake(struct db_tx *tx, int64_t id, int64_t due, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE id = $2 AND owner IS NULL AND due > $3", "iii",
                  due, id, due);
}

enum err_code work_begin_early(struct db_tx *tx, enum work_kind kind, enum work_priority priority,
                               int64_t at, int64_t now, struct err *e)
{
    if (at <= now) /* here: SQLite would take a bound in the statement for the one to search by */
        return ERR_OK;
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1, created = $2 WHERE kind = $3 AND priority = $4"
                  " AND due = $5 AND created = $6 AND owner IS NULL",
                  "iiiiii", now, now, (int64_t)kind, (int64_t)priority, at, at);
}

enum err_code work_watch(struct db_tx *tx, int64_t id, enum work_kind kind, int64_t now,
                         struct err *e)
{
    int64_t changed = 0;
    enum err_code code = db_run(tx, e, &changed,
                                "UPDATE work SET due = CASE WHEN owner IS NULL AND due > $1"
                                " THEN $2 ELSE due END WHERE id = $3",
                                "iii", now, now, id);

    return code || changed ? code : work_put(tx, id, kind, WORK_NORMAL, now, now, NULL, e);
}
