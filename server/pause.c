/* pause.c - see pause.h. */
#include "pause.h"

#include <errno.h>
#include <sys/stat.h>

#include "policy.h"
#include "store_audit.h"

#define NAME "pause"

/* In doubt it is there: a folder that cannot be looked into is no leave to isolate. */
static bool is_there(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static enum err_code read_order(struct db_tx *tx, struct arena *a, struct pause *ret, struct err *e)
{
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT who, why, since FROM switches WHERE name = '" NAME "'", "");

    if (code)
        return code;
    if (db_next(rows)) {
        ret->on = true;
        ret->who = store_text(a, rows, 0, &nomem);
        ret->why = store_text(a, rows, 1, &nomem);
        ret->since = db_int(rows, 2);
    }
    code = db_rows_end(rows, e);
    return !code && nomem ? err_set(e, ERR_NOMEM, "the switch") : code;
}

enum err_code pause_read(struct db_tx *tx, const struct runtime *rt, struct arena *a,
                         struct pause *ret, struct err *e)
{
    const char *file = rt->config->policy ? policy_pause_file(rt->config->policy) : NULL;
    struct pause p = {.file = file && is_there(file) ? file : NULL};
    enum err_code code;

    p.on = p.file != NULL;
    if ((code = read_order(tx, a, &p, e)))
        return code;
    *ret = p;
    return ERR_OK;
}

enum err_code pause_reason(struct db_tx *tx, const struct runtime *rt, struct arena *a,
                           const char **ret, struct err *e)
{
    struct pause p;
    enum err_code code = pause_read(tx, rt, a, &p, e);

    if (!code)
        *ret = p.on ? pause_words(&p, a) : NULL;
    return code;
}

enum err_code pause_set(struct db_tx *tx, const char *who, const char *why, int64_t now,
                        struct err *e)
{
    /* Who says nothing to it does not take back what was said: a reason stands with its author. */
    return db_run(tx, e, NULL,
                  "INSERT INTO switches (name, who, why, since) VALUES ('" NAME "', $1, $2, $3)"
                  " ON CONFLICT (name) DO UPDATE SET who = excluded.who, why = excluded.why"
                  " WHERE excluded.why IS NOT NULL OR switches.why IS NULL",
                  "tti", who, why, now);
}

enum err_code pause_clear(struct db_tx *tx, bool *ret_was, struct err *e)
{
    int64_t changed = 0;
    enum err_code code =
        db_run(tx, e, &changed, "DELETE FROM switches WHERE name = '" NAME "'", "");

    if (!code)
        *ret_was = changed > 0;
    return code;
}

struct reading {
    const struct runtime *rt;
    struct arena *arena;
    struct pause p;
};

static enum err_code read_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reading *r = arg;

    return pause_read(tx, r->rt, r->arena, &r->p, e);
}

enum err_code store_pause(struct store *s, const struct runtime *rt, struct arena *a,
                          struct pause *ret, struct err *e)
{
    struct reading r = {.rt = rt, .arena = a};
    enum err_code code = db_read(s->db, read_fn, &r, e);

    if (!code)
        *ret = r.p;
    return code;
}

const char *pause_words(const struct pause *p, struct arena *a)
{
    if (!p->since)
        return arena_fmt(a, "paused: %s is there", p->file);
    return arena_fmt(a, "paused%s%s%s%s", p->who ? " by " : "", p->who ? p->who : "",
                     p->why ? ": " : "", p->why ? p->why : "");
}

const char *pause_end(const struct pause *p)
{
    if (!p->since)
        return "this file is removed";
    return p->file ? "`cordon resume`, and until the file of safety.pause_file is removed, too"
                   : "`cordon resume`";
}

/* ---- over the replacing of a store ------------------------------------------------------------ */

struct carrying {
    struct arena *arena;
    struct pause p;
    int64_t now;
};

static enum err_code look_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct carrying *c = arg;

    c->p = (struct pause){0};
    return read_order(tx, c->arena, &c->p, e);
}

enum err_code pause_look(const char *url, struct arena *a, struct pause *ret, struct err *e)
{
    AUTO(db_freep) struct db *db = NULL;
    struct carrying c = {.arena = a};
    enum err_code code = db_open(&(struct db_options){.url = url, .read_only = true}, &db, e);

    if (!code)
        code = db_is_shared(db) ? err_set(e, ERR_REFUSED, "its files are not ours")
                                : db_read(db, look_fn, &c, e);
    if (!code)
        *ret = c.p;
    return code;
}

static enum err_code carry_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct carrying *c = arg;
    enum err_code code = pause_set(tx, c->p.who, c->p.why, c->p.since, e);

    return code ? code
                : audit_put(tx, e, AUDIT_ORDER, 0, c->now, LOG_STR("order", "pause"),
                            LOG_STR("who", c->p.who), LOG_STR("why", c->p.why));
}

enum err_code pause_carry(const char *url, const struct pause *p, struct err *e)
{
    AUTO(store_freep) struct store *s = NULL;
    struct carrying c = {.p = *p, .now = clock_wall_ms(clock_system())};
    enum err_code code = store_open(url, false, clock_system(), &s, e);

    return code ? code : db_write(s->db, carry_fn, &c, e);
}
