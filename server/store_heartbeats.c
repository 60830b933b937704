/* store_heartbeats.c - see store_heartbeats.h. */
#include "store_heartbeats.h"

#include <stdlib.h>
#include <string.h>

#include "id.h"
#include "store_polls.h"
#include "store_rows.h"
#include "store_work.h"

/* ---- heard ------------------------------------------------------------------------------------ */

struct hearing {
    int64_t id, now; /* id: of the row, should it be the first time */
    store_heard_done done;
    void *arg;
    char source[];
};

static enum err_code heard_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hearing *h = arg;
    enum err_code code;

    code = db_run(tx, e, NULL,
                  "INSERT INTO heartbeats (id, source, heard, since, quiet)"
                  " VALUES ($1, $2, $3, 0, 0) ON CONFLICT (source) DO UPDATE SET heard = $4",
                  "itii", h->id, h->source, h->now, h->now);
    if (code)
        return code;
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE owner IS NULL AND due > $2 AND id IN"
                  " (SELECT id FROM heartbeats WHERE source = $3 AND quiet <> 0)",
                  "iit", h->now, h->now, h->source);
}

static void heard_done(void *arg, enum err_code code, const struct err *e)
{
    const struct hearing *h = arg;

    if (h->done)
        h->done(h->arg, h->now, code, e);
    free(arg);
}

enum err_code store_heard(struct store *s, const char *source, int64_t now, store_heard_done done,
                          void *arg, struct err *e)
{
    size_t size = strlen(source) + 1;
    struct hearing *h = malloc(sizeof *h + size);
    enum err_code code;

    if (!h)
        return err_set(e, ERR_NOMEM, "heartbeat");
    h->id = id_new(s->clock);
    h->now = now;
    h->done = done;
    h->arg = arg;
    memcpy(h->source, source, size);
    code = db_submit(s->db, heard_fn, h, heard_done, e);
    if (code)
        free(h);
    return code;
}

/* ---- reading ---------------------------------------------------------------------------------- */

#define COLUMNS "id, source, heard, since, quiet"

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct heartbeat *)item = (struct heartbeat){.id = db_int(rows, 0),
                                                   .source = store_text(a, rows, 1, &nomem),
                                                   .heard = db_int(rows, 2),
                                                   .since = db_int(rows, 3),
                                                   .quiet = db_int(rows, 4)};
    return nomem ? err_set(e, ERR_NOMEM, "heartbeat") : ERR_OK;
}

enum err_code heartbeat_load(struct db_tx *tx, struct arena *a, int64_t id, struct heartbeat *ret,
                             struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM heartbeats WHERE id = $1", "i", id);

    return code ? code
                : store_take_one(rows, a, read_row, ret, "there is no heartbeat with this id", e);
}

enum err_code store_heartbeat_list(struct store *s, struct arena *a, struct heartbeat **ret,
                                   size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code = store_read_list(s, a, sizeof **ret, read_row, &list, e,
                                         "SELECT " COLUMNS " FROM heartbeats ORDER BY source", "");

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

/* ---- watching --------------------------------------------------------------------------------- */

/* The row's id, and whether it has its work already. */
static enum err_code find(struct db_tx *tx, const char *source, int64_t *ret_id, bool *ret_watched,
                          struct err *e)
{
    struct db_rows *rows;
    enum err_code code;

    code =
        db_query(tx, e, &rows,
                 "SELECT id, (SELECT count(*) FROM work WHERE work.id = heartbeats.id) AS watched"
                 " FROM heartbeats WHERE source = $1",
                 "t", source);
    if (code)
        return code;
    *ret_id = 0;
    *ret_watched = false;
    if (db_next(rows)) {
        *ret_id = db_int(rows, 0);
        *ret_watched = db_int(rows, 1) != 0;
    }
    return db_rows_end(rows, e);
}

/* What it was silent for until the server was gone goes on from now. */
#define SILENT_FROM "CASE WHEN heard > since THEN heard ELSE since END"
static const char go_on[] = "UPDATE heartbeats SET since = $1 - CASE WHEN $2 > " SILENT_FROM
                            " THEN $3 - " SILENT_FROM " ELSE 0 END WHERE id = $4";

enum err_code heartbeat_watch(struct db_tx *tx, const char *source, int64_t there, int64_t now,
                              struct err *e)
{
    int64_t id;
    bool watched;
    enum err_code code;

    code = db_run(tx, e, NULL,
                  "INSERT INTO heartbeats (id, source, heard, since, quiet)"
                  " VALUES ($1, $2, 0, $3, 0) ON CONFLICT (source) DO NOTHING",
                  "iti", id_new(clock_system()), source, now);
    if (!code)
        code = find(tx, source, &id, &watched, e);
    if (!code && !watched)
        code = db_run(tx, e, NULL, "UPDATE heartbeats SET since = $1 WHERE id = $2", "ii", now, id);
    else if (!code && there < now)
        code = db_run(tx, e, NULL, go_on, "iiii", now, there, there, id);
    if (code)
        return code;
    return work_watch(tx, id, WORK_HEARTBEAT, now, e);
}

struct away {
    const char *owner;
    int64_t now, ms;
    bool shared; /* another replica may have been there all the time */
};

static enum err_code away_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct away *l = arg;
    bool kept = false;
    enum err_code code = l->shared ? poll_is_kept(tx, l->owner, l->now, &kept, e) : ERR_OK;

    return code || kept ? code
                        : db_run(tx, e, NULL,
                                 "UPDATE heartbeats SET since = CASE WHEN " SILENT_FROM
                                 " > $1 THEN $2 ELSE $3 + " SILENT_FROM " END",
                                 "iii", l->now - l->ms, l->now, l->ms);
}

enum err_code store_heartbeats_away(struct store *s, const char *owner, int64_t ms, struct err *e)
{
    struct away l = {
        .owner = owner, .now = clock_wall_ms(s->clock), .ms = ms, .shared = db_is_shared(s->db)};

    return db_write(s->db, away_fn, &l, e);
}

enum err_code heartbeat_wake_all(struct db_tx *tx, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE kind = $2 AND owner IS NULL AND due > $3", "iii",
                  now, (int64_t)WORK_HEARTBEAT, now);
}

enum err_code heartbeat_move(struct db_tx *tx, const struct heartbeat *from,
                             const struct heartbeat *to, struct err *e)
{
    int64_t changed = 0;
    enum err_code code;

    code = db_run(tx, e, &changed,
                  "UPDATE heartbeats SET heard = $1, since = $2, quiet = $3"
                  " WHERE id = $4 AND heard = $5",
                  "iiiii", to->heard, to->since, to->quiet, from->id, from->heard);
    if (code)
        return code;
    return changed == 1 ? ERR_OK
                        : err_set(e, ERR_STALE, "source %s was heard just now", from->source);
}
