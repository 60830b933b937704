/* store_polls.c - see store_polls.h. */
#include "store_polls.h"

#include <string.h>

#include "id.h"
#include "store_rows.h"

#define COLUMNS   "id, tenant, since, watermark, polled, failing, coalesce(tenant_id, '')"
#define POLLS_MAX 1000 /* tenants, those of earlier configurations included; more are not shown */
#define LATE_MS   MINUTE_MS
/* A tenant whose list was never read may have been a typing error. Before so long after it began nobody has heard that polling fails
 * (polling.c: a quarter of an hour after the first failure), and nobody has looked at what came meanwhile. */
#define UNTOLD_MS (20 * MINUTE_MS)

static const struct {
    const char *name; /* in the column `list` */
    enum work_kind work;
} lists[POLL_LISTS] = {
    [POLL_ALERTS] = {"alerts", WORK_POLL},
    [POLL_ACTIONS] = {"actions", WORK_RECONCILE},
};

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct poll_record *)item = (struct poll_record){.id = db_int(rows, 0),
                                                       .tenant = store_text(a, rows, 1, &nomem),
                                                       .tenant_id = store_text(a, rows, 6, &nomem),
                                                       .since = db_int(rows, 2),
                                                       .watermark = db_int(rows, 3),
                                                       .loaded = db_int(rows, 3),
                                                       .began = db_int(rows, 2),
                                                       .polled = db_int(rows, 4),
                                                       .failing = db_int(rows, 5)};
    return nomem ? err_set(e, ERR_NOMEM, "poll") : ERR_OK;
}

enum err_code poll_load(struct db_tx *tx, struct arena *a, int64_t id, struct poll_record *ret,
                        struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM polls WHERE id = $1", "i", id);

    return code ? code : store_take_one(rows, a, read_row, ret, "there is no such poll", e);
}

enum err_code store_poll_list(struct store *s, enum poll_list which, struct arena *a,
                              struct poll_record **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code =
        store_read_list(s, a, sizeof **ret, read_row, &list, e,
                        "SELECT " COLUMNS " FROM polls WHERE list = $1 ORDER BY id LIMIT $2", "ti",
                        lists[which].name, (int64_t)POLLS_MAX);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

/* The row becomes another tenant's of the same name, if it is not its own. Where each was left is kept: after one that was put
 * there by mistake the one of before goes on. That it fails stays then: nothing was read of it meanwhile. One that is new goes on
 * where a typing error of a moment ago began, however far that one's list had been read (and a beginning by which something was
 * read is no raw one: polling.c, mind_the_beginning). */
static enum err_code turn_over(struct db_tx *tx, const char *tenant, const char *tenant_id,
                               const char *list, int64_t since, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "INSERT INTO polls_before (tenant, list, tenant_id, since, watermark, polled)"
               " SELECT tenant, list, tenant_id, since, watermark, polled FROM polls"
               " WHERE tenant = $1 AND list = $2 AND tenant_id <> $3"
               " ON CONFLICT (tenant, list, tenant_id) DO UPDATE SET since = excluded.since,"
               " watermark = excluded.watermark, polled = excluded.polled",
               "ttt", tenant, list, tenant_id);

    if (!code)
        code = db_run(tx, e, NULL,
                      "UPDATE polls SET tenant_id = b.tenant_id, since = b.since,"
                      " watermark = b.watermark, polled = b.polled FROM polls_before b"
                      " WHERE polls.tenant = $1 AND polls.list = $2 AND polls.tenant_id <> $3"
                      " AND b.tenant = $4 AND b.list = $5 AND b.tenant_id = $6",
                      "tttttt", tenant, list, tenant_id, tenant, list, tenant_id);
    if (!code)
        code = db_run(tx, e, NULL,
                      "UPDATE polls SET"
                      " since = CASE WHEN polled = 0 AND since >= $1 THEN since ELSE $2 END,"
                      " watermark = CASE WHEN polled <> 0 OR since < $3 THEN $4"
                      " WHEN watermark > since THEN since - 1 ELSE watermark END,"
                      " polled = 0, failing = 0"
                      " WHERE tenant = $5 AND list = $6 AND tenant_id <> $7",
                      "iiiittt", since - UNTOLD_MS, since, since - UNTOLD_MS, since, tenant, list,
                      tenant_id);
    return code;
}

enum err_code poll_watch(struct db_tx *tx, const struct clock *clock, const char *tenant,
                         const char *tenant_id, enum poll_list list, int64_t since, int64_t due,
                         struct err *e)
{
    struct db_rows *rows;
    int64_t id = 0;
    enum err_code code = db_run(
        tx, e, NULL,
        "INSERT INTO polls (id, tenant, tenant_id, list, since, watermark, polled,"
        " failing) VALUES ($1, $2, $3, $4, $5, $6, 0, 0) ON CONFLICT (tenant, list) DO NOTHING",
        "itttii", id_new(clock), tenant, tenant_id, lists[list].name, since, since);

    if (!code)
        code = turn_over(tx, tenant, tenant_id, lists[list].name, since, e);
    if (!code)
        code = db_run(tx, e, NULL,
                      "UPDATE polls SET tenant_id = $1 WHERE tenant = $2 AND list = $3"
                      " AND coalesce(tenant_id, '') <> $4",
                      "tttt", tenant_id, tenant, lists[list].name, tenant_id);
    if (!code)
        code = db_query(tx, e, &rows, "SELECT id FROM polls WHERE tenant = $1 AND list = $2", "tt",
                        tenant, lists[list].name);
    if (!code)
        code = store_take_int(rows, &id, e);
    return code ? code : work_watch(tx, id, lists[list].work, due, e);
}

bool poll_is_anothers(const struct poll_record *r, const char *tenant_id)
{
    return r->tenant_id[0] && strcmp(r->tenant_id, tenant_id) != 0;
}

enum err_code poll_move(struct db_tx *tx, const struct poll_record *r, struct err *e)
{
    return db_run(
        tx, e, NULL,
        "UPDATE polls SET watermark = CASE WHEN watermark < $1 THEN watermark ELSE $2 END,"
        " since = CASE WHEN since = $3 OR since < $4 THEN $5 ELSE since END,"
        " polled = $6, failing = $7 WHERE id = $8 AND coalesce(tenant_id, '') = $9",
        "iiiiiiiit", r->loaded, r->watermark, r->began, r->since, r->since, r->polled, r->failing,
        r->id, r->tenant_id);
}

/* No further than all was read: what came since then nobody may have heard of. */
#define FORGET                                                                                     \
    " SET since = CASE WHEN polled < $1 THEN polled ELSE $2 END"                                   \
    " WHERE list = $3 AND since < $4 AND since < polled"

enum err_code polls_forget(struct db_tx *tx, int64_t before, struct err *e)
{
    const char *list = lists[POLL_ALERTS].name;
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE polls" FORGET, "iiti", before, before, list, before);

    return code ? code
                : db_run(tx, e, NULL, "UPDATE polls_before" FORGET, "iiti", before, before, list,
                         before);
}

enum err_code poll_read_again(struct db_tx *tx, const char *tenant, enum poll_list list,
                              int64_t from, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE polls SET watermark = $1 WHERE tenant = $2 AND list = $3"
                  " AND watermark > $4",
                  "itti", from, tenant, lists[list].name, from);
}

enum err_code poll_last(struct db_tx *tx, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT coalesce(max(polled), 0) FROM polls", "");

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code poll_is_kept(struct db_tx *tx, const char *but, int64_t now, bool *ret, struct err *e)
{
    struct db_rows *rows;
    int64_t first = 0; /* 0: there is none */
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT coalesce(min(due), 0) FROM work WHERE kind IN ($1, $2)"
                                  " AND (owner IS NULL OR owner <> $3)",
                                  "iit", (int64_t)WORK_POLL, (int64_t)WORK_RECONCILE, but);

    if (!code)
        code = store_take_int(rows, &first, e);
    *ret = !code && first >= now - LATE_MS;
    return code;
}
