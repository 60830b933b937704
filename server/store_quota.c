/* store_quota.c - see store_quota.h.
 *
 * Two processes must not read the same sum before either has written its slice: each begins by changing
 * the budget's own row, which the other then has to wait for.
 */
#include "store_quota.h"

#include <stdlib.h>
#include <string.h>

#include "id.h"
#include "log.h"
#include "store_rows.h"

/* How far the clocks of those who share a budget may differ. */
#define SKEW_MS MINUTE_MS

/* ---- slices ------------------------------------------------------------------------------------ */

static enum err_code forget_old(struct db_tx *tx, const char *app, const char *class, int64_t now,
                                struct err *e)
{
    return db_run(tx, e, NULL,
                  "DELETE FROM quota_slices WHERE app = $1 AND class = $2 AND at <= $3", "tti", app,
                  class, now - HOUR_MS);
}

static enum err_code put(struct db_tx *tx, int64_t id, const char *app, const char *class,
                         int64_t at, int64_t calls, struct err *e)
{
    return db_run(tx, e, NULL,
                  "INSERT INTO quota_slices (id, app, class, at, calls)"
                  " VALUES ($1, $2, $3, $4, $5)",
                  "ittii", id, app, class, at, calls);
}

/* The clock was set back: what was taken by the time before counts as if it were taken now, and not until that time has
 * come again. And nobody knows any more when a block was to end: one that is over would begin anew. Whoever was told of it keeps to
 * it by another clock (quota.c). */
static enum err_code mind_the_clock(struct db_tx *tx, const struct quota_slice *s, int64_t now,
                                    struct err *e)
{
    int64_t of_before = 0;
    enum err_code code =
        db_run(tx, e, &of_before,
               "UPDATE quota_slices SET at = $1 WHERE app = $2 AND class = $3 AND at > $4", "itti",
               now + s->hold_ms, s->app, s->class, now + s->hold_ms + SKEW_MS);

    return code || !of_before
               ? code
               : db_run(tx, e, NULL,
                        "UPDATE quota_budgets SET blocked_until = 0 WHERE app = $1 AND class = $2",
                        "tt", s->app, s->class);
}

/* How many calls count since a time, and when the first of them stops counting (INT64_MAX: none). */
static enum err_code used_since(struct db_tx *tx, const struct quota_slice *s, int64_t since,
                                int64_t *ret_calls, int64_t *ret_first, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT CAST(coalesce(sum(calls), 0) AS BIGINT), min(at) FROM quota_slices"
                 " WHERE app = $1 AND class = $2 AND at > $3 AND calls > 0",
                 "tti", s->app, s->class, since);

    if (code)
        return code;
    *ret_calls = 0;
    *ret_first = INT64_MAX;
    if (db_next(rows)) {
        *ret_calls = db_int(rows, 0);
        if (!db_is_null(rows, 1))
            *ret_first = db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

static enum err_code blocked_until(struct db_tx *tx, const char *app, const char *class,
                                   int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT blocked_until FROM quota_budgets WHERE app = $1 AND class = $2", "tt",
        app, class);

    return code ? code : store_take_int(rows, ret, e);
}

struct taking {
    struct quota_slice *s;
    int64_t now;
};

static void longer(int64_t *wait, int64_t ms)
{
    if (ms > *wait)
        *wait = ms;
}

static enum err_code take_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct taking *t = arg;
    struct quota_slice *s = t->s;
    int64_t minute, hour, first_minute, first_hour, until;
    enum err_code code;

    s->calls = s->wait_ms = 0;
    code = db_run(tx, e, NULL,
                  "INSERT INTO quota_budgets (app, class, slices, blocked_until)"
                  " VALUES ($1, $2, 1, 0) ON CONFLICT (app, class)"
                  " DO UPDATE SET slices = quota_budgets.slices + 1",
                  "tt", s->app, s->class);
    if (!code)
        code = forget_old(tx, s->app, s->class, t->now, e);
    if (!code)
        code = mind_the_clock(tx, s, t->now, e);
    if (!code && s->last_id)
        code = db_run(tx, e, NULL, "UPDATE quota_slices SET calls = calls - $1 WHERE id = $2", "ii",
                      s->last_left, s->last_id);
    if (!code)
        code = used_since(tx, s, t->now - MINUTE_MS, &minute, &first_minute, e);
    if (!code)
        code = used_since(tx, s, t->now - HOUR_MS, &hour, &first_hour, e);
    if (!code)
        code = blocked_until(tx, s->app, s->class, &until, e);
    if (code)
        return code;
    if (until > t->now && until - t->now <= DAY_MS) /* more, and the clock was set back */
        longer(&s->wait_ms, until - t->now);
    if (minute >= s->per_minute)
        longer(&s->wait_ms, first_minute + MINUTE_MS - t->now);
    if (hour >= s->per_hour)
        longer(&s->wait_ms, first_hour + HOUR_MS - t->now);
    if (s->wait_ms)
        return ERR_OK;
    s->calls = s->want;
    if (s->calls > s->per_minute - minute)
        s->calls = s->per_minute - minute;
    if (s->calls > s->per_hour - hour)
        s->calls = s->per_hour - hour;
    return put(tx, s->id, s->app, s->class, t->now + s->hold_ms, s->calls, e);
}

enum err_code store_quota_take(struct store *s, struct quota_slice *slice, struct err *e)
{
    struct taking t = {.s = slice, .now = clock_wall_ms(s->clock)};
    enum err_code code;

    slice->id = id_new(s->clock);
    code = db_write(s->db, take_fn, &t, e);
    return code ? err_in(e, "calls of %s", slice->class) : ERR_OK;
}

/* ---- notes ------------------------------------------------------------------------------------- */

struct note {
    int64_t id, now, calls, until; /* until: a block, and no calls */
    char *app, *class;
};

static void note_free(struct note *n)
{
    if (!n)
        return;
    free(n->app);
    free(n->class);
    free(n);
}

static void noted(void *arg, enum err_code code, const struct err *e)
{
    if (code)
        log_event(LOG_WARN, "calls_not_noted", LOG_ERR(e));
    note_free(arg);
}

static enum err_code note_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct note *n = arg;
    enum err_code code;

    if (n->until)
        return db_run(tx, e, NULL,
                      "INSERT INTO quota_budgets (app, class, slices, blocked_until)"
                      " VALUES ($1, $2, 0, $3) ON CONFLICT (app, class)"
                      " DO UPDATE SET blocked_until = $4 WHERE quota_budgets.blocked_until < $5"
                      " OR quota_budgets.blocked_until > $6", /* the clock was set back */
                      "ttiiii", n->app, n->class, n->until, n->until, n->until, n->now + DAY_MS);
    code = forget_old(tx, n->app, n->class, n->now, e);
    return code ? code : put(tx, n->id, n->app, n->class, n->now, n->calls, e);
}

static void submit(struct store *s, const char *app, const char *class, int64_t calls,
                   int64_t until)
{
    struct note *n = calloc(1, sizeof *n);
    struct err e;

    if (n) {
        *n = (struct note){.id = id_new(s->clock),
                           .now = clock_wall_ms(s->clock),
                           .calls = calls,
                           .until = until,
                           .app = strdup(app),
                           .class = strdup(class)};
        if (n->app && n->class && !db_submit(s->db, note_fn, n, noted, &e))
            return;
    }
    note_free(n); /* out of memory, or too much waits for the disk: see the header */
}

void store_quota_note(struct store *s, const char *app, const char *class, int64_t calls)
{
    submit(s, app, class, calls, 0);
}

void store_quota_note_block(struct store *s, const char *app, const char *class, int64_t until)
{
    submit(s, app, class, 0, until);
}

/* ---- loading ----------------------------------------------------------------------------------- */

struct load {
    const char *app, *class;
    int64_t since, until;
    void (*fn)(void *ctx, int64_t at, int64_t calls);
    void *ctx;
};

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct load *l = arg;
    struct db_rows *rows;
    enum err_code code = blocked_until(tx, l->app, l->class, &l->until, e);

    if (!code)
        code = db_query(tx, e, &rows,
                        "SELECT at, calls FROM quota_slices WHERE app = $1 AND class = $2"
                        " AND at > $3 AND calls > 0 ORDER BY at",
                        "tti", l->app, l->class, l->since);
    if (code)
        return code;
    while (db_next(rows)) {
        if (db_int(rows, 0) > l->since + HOUR_MS + SKEW_MS) /* as in mind_the_clock */
            l->until = 0;
        l->fn(l->ctx, db_int(rows, 0), db_int(rows, 1));
    }
    return db_rows_end(rows, e);
}

enum err_code store_quota_load(struct store *s, const char *app, const char *class,
                               void (*fn)(void *ctx, int64_t at, int64_t calls), void *ctx,
                               int64_t *ret_blocked_until, struct err *e)
{
    struct load l = {.app = app,
                     .class = class,
                     .since = clock_wall_ms(s->clock) - HOUR_MS,
                     .fn = fn,
                     .ctx = ctx};
    enum err_code code = db_read(s->db, load_fn, &l, e);

    if (code)
        return err_in(e, "calls of the last hour"), code;
    *ret_blocked_until = l.until;
    return ERR_OK;
}
