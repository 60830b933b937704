/* store_deliveries.c - see store_deliveries.h. */
#include "store_deliveries.h"

#include <string.h>

#include "id.h"
#include "store_audit.h"
#include "store_rows.h"

/* Ids of one length, a blank between them. */
size_t delivery_ids(const char *text, int64_t ret[INTAKE_BATCH_MAX])
{
    size_t n = 0;

    for (size_t left = strlen(text) + 1; left >= ID_TEXT_SIZE; left -= ID_TEXT_SIZE) {
        char one[ID_TEXT_SIZE] = "";

        memcpy(one, text, ID_TEXT_SIZE - 1);
        text += ID_TEXT_SIZE;
        if (n < INTAKE_BATCH_MAX && !id_parse(one, &ret[n], NULL))
            n++;
    }
    return n;
}

enum err_code delivery_cases(struct db_tx *tx, int64_t id, int64_t ret[INTAKE_BATCH_MAX],
                             size_t *ret_count, struct err *e)
{
    struct db_rows *rows;
    bool found;
    enum err_code code;

    code = db_query(tx, e, &rows, "SELECT cases FROM deliveries WHERE id = $1", "i", id);
    if (code)
        return code;
    found = db_next(rows);
    if (found)
        *ret_count = delivery_ids(db_text(rows, 0), ret);
    code = db_rows_end(rows, e);
    if (!code && !found)
        return err_set(e, ERR_NOT_FOUND, "there is no delivery with this id");
    return code;
}

enum err_code delivery_audit(struct db_tx *tx, int64_t id, int64_t case_id, int64_t now,
                             struct err *e)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const char *text[5] = {NULL};
    struct db_rows *rows;
    bool found, nomem = !a;
    int64_t received = 0;
    enum err_code code;

    if (nomem)
        return err_set(e, ERR_NOMEM, "a delivery");
    code = db_query(tx, e, &rows,
                    "SELECT source, delivery_id, body_sha256, credential, peer, received"
                    " FROM deliveries WHERE id = $1",
                    "i", id);
    if (code)
        return code;
    found = db_next(rows);
    for (int i = 0; found && i < 5; i++)
        text[i] = store_text(a, rows, i, &nomem);
    if (found)
        received = db_int(rows, 5);
    code = db_rows_end(rows, e);
    if (!code && nomem)
        code = err_set(e, ERR_NOMEM, "a delivery");
    if (code || !found)
        return code;
    return audit_put(tx, e, AUDIT_DELIVERY, case_id, now, LOG_ID("delivery", id),
                     LOG_STR("source", text[0]), LOG_STR("delivery_id", text[1]),
                     LOG_STR("body_sha256", text[2]), LOG_STR("key", text[3]),
                     LOG_STR("peer", text[4]), LOG_INT("received_ms", received));
}

enum err_code store_delivery_peers(struct store *s, struct arena *a, const char *source,
                                   size_t limit, const char ***ret, size_t *ret_count,
                                   struct err *e)
{
    struct store_list list;
    enum err_code code = store_read_list(
        s, a, sizeof **ret, store_text_row, &list, e,
        "SELECT peer FROM deliveries WHERE source = $1 AND peer IS NOT NULL GROUP BY peer ORDER BY max(received) DESC LIMIT $2",
        "ti", source, (int64_t)limit);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}
