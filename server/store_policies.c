/* store_policies.c - see store_policies.h. */
#include "store_policies.h"

struct keeping {
    const char *hash, *text;
    int64_t now;
};

/* Those whose last verdict nobody wrote down (a program before did not) may have given one just now. */
static enum err_code keep_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct keeping *k = arg;
    enum err_code code = db_run(tx, e, NULL,
                                "INSERT INTO policies (hash, text, since, used)"
                                " VALUES ($1, $2, $3, $4)"
                                " ON CONFLICT (hash) DO UPDATE SET used = excluded.used",
                                "ttii", k->hash, k->text, k->now, k->now);

    return code ? code
                : db_run(tx, e, NULL, "UPDATE policies SET used = $1 WHERE used = 0", "i", k->now);
}

enum err_code policy_used(struct db_tx *tx, const char *hash, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE policies SET used = $1 WHERE hash = $2 AND used < $3", "iti",
                  now, hash, now - POLICY_USED_MS);
}

enum err_code store_policy_keep(struct store *s, const char *hash, const char *text, int64_t now,
                                struct err *e)
{
    struct keeping k = {.hash = hash, .text = text, .now = now};

    return db_write(s->db, keep_fn, &k, e) ? err_in(e, "policy %.12s", hash) : ERR_OK;
}

struct loading {
    struct arena *arena;
    const char *hash, *text;
    int64_t since;
};

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct loading *l = arg;
    struct db_rows *rows;
    bool found, nomem = false;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT text, since FROM policies WHERE hash = $1", "t", l->hash);

    if (code)
        return code;
    found = db_next(rows);
    if (found) {
        l->text = store_text(l->arena, rows, 0, &nomem);
        l->since = db_int(rows, 1);
    }
    code = db_rows_end(rows, e);
    if (!code && !found)
        code = err_set(e, ERR_NOT_FOUND, "the store holds no policy %.64s", l->hash);
    return !code && nomem ? err_set(e, ERR_NOMEM, "policy") : code;
}

enum err_code store_policy_load(struct store *s, struct arena *a, const char *hash,
                                const char **ret_text, int64_t *ret_since, struct err *e)
{
    struct loading l = {.arena = a, .hash = hash};
    enum err_code code = db_read(s->db, load_fn, &l, e);

    if (code)
        return code;
    *ret_text = l.text;
    *ret_since = l.since;
    return ERR_OK;
}
