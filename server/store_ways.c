/* store_ways.c - see store_ways.h. */
#include "store_ways.h"

#include "id.h"
#include "store_rows.h"
#include "store_work.h"

#define COLUMNS "id, name, failing, told, why, let_in"

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct way_record *)item = (struct way_record){.id = db_int(rows, 0),
                                                     .name = store_text(a, rows, 1, &nomem),
                                                     .failing = db_int(rows, 2),
                                                     .told = db_int(rows, 3),
                                                     .why = store_text(a, rows, 4, &nomem),
                                                     .let_in = store_text(a, rows, 5, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "way") : ERR_OK;
}

enum err_code store_way_list(struct store *s, struct arena *a, struct way_record **ret,
                             size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code = store_read_list(s, a, sizeof **ret, read_row, &list, e,
                                         "SELECT " COLUMNS " FROM ways ORDER BY name", "");

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

/* By id, or by name where that is not NULL. *ret_found false: there is none. */
static enum err_code find(struct db_tx *tx, struct arena *a, int64_t id, const char *name,
                          struct way_record *ret, bool *ret_found, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        name ? db_query(tx, e, &rows, "SELECT " COLUMNS " FROM ways WHERE name = $1", "t", name)
             : db_query(tx, e, &rows, "SELECT " COLUMNS " FROM ways WHERE id = $1", "i", id);

    return code ? code : store_take_first(rows, a, read_row, ret, ret_found, e);
}

enum err_code way_load(struct db_tx *tx, struct arena *a, int64_t id, struct way_record *ret,
                       struct err *e)
{
    bool found;
    enum err_code code = find(tx, a, id, NULL, ret, &found, e);

    return code || found ? code : err_set(e, ERR_NOT_FOUND, "there is no way with this id");
}

static enum err_code id_of(struct db_tx *tx, const char *name, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT id FROM ways WHERE name = $1", "t", name);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code way_failed(struct db_tx *tx, const char *name, const char *why, const char *let_in,
                         int64_t look_ms, int64_t now, struct err *e)
{
    int64_t begun = 0, id = 0;
    enum err_code code;

    code = db_run(tx, e, NULL,
                  "INSERT INTO ways (id, name, failing, told) VALUES ($1, $2, 0, 0)"
                  " ON CONFLICT (name) DO NOTHING",
                  "it", id_new(clock_system()), name);
    if (!code)
        code = db_run(tx, e, &begun,
                      "UPDATE ways SET failing = $1, told = 0 WHERE name = $2 AND failing = 0",
                      "it", now, name);
    if (!code) /* since a time that is still to come: the clock was set back */
        code =
            db_run(tx, e, NULL,
                   "UPDATE ways SET why = $1, let_in = $2, failing = CASE WHEN failing > $3 THEN $4"
                   " ELSE failing END WHERE name = $5",
                   "ttiit", why, let_in, now, now, name);
    if (code || !begun)
        return code;
    code = id_of(tx, name, &id, e);
    return code ? code : work_turn(tx, id, WORK_WAY, WORK_NORMAL, now + look_ms, now, e);
}

enum err_code way_worked(struct db_tx *tx, struct arena *a, const char *name,
                         struct way_record *ret_before, struct err *e)
{
    bool found;
    enum err_code code;

    *ret_before = (struct way_record){0};
    code = find(tx, a, 0, name, ret_before, &found, e);
    if (code || !found || !ret_before->failing)
        return code;
    return db_run(tx, e, NULL,
                  "UPDATE ways SET failing = 0, told = 0, why = NULL, let_in = NULL WHERE id = $1",
                  "i", ret_before->id);
}

enum err_code way_fails(struct db_tx *tx, const char *name, bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT 1 FROM ways WHERE name = $1 AND failing > 0", "t", name);

    return code ? code : store_take_any(rows, ret, e);
}

enum err_code way_told(struct db_tx *tx, int64_t id, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE ways SET told = $1 WHERE id = $2", "ii", now, id);
}
