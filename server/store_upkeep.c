/* store_upkeep.c - see store_upkeep.h. Ids sort by time, so the oldest deliveries stand at the front of their
 * table: no index on the time is needed, and none is paid for with every delivery. */
#include "store_upkeep.h"

struct forgetting {
    int64_t before, max, count;
};

static enum err_code forget(struct db_tx *tx, void *arg, struct err *e)
{
    struct forgetting *f = arg;

    return db_run(tx, e, &f->count,
                  "DELETE FROM deliveries WHERE id IN"
                  " (SELECT id FROM deliveries ORDER BY id LIMIT $1) AND received < $2",
                  "ii", f->max, f->before);
}

enum err_code store_forget_deliveries(struct store *s, int64_t max, int64_t *ret_count,
                                      struct err *e)
{
    struct forgetting f = {.before = clock_wall_ms(s->clock) - DELIVERY_MEMORY_MS, .max = max};
    enum err_code code = db_write(s->db, forget, &f, e);

    if (code)
        return err_in(e, "forget old deliveries"), code;
    *ret_count = f.count;
    return ERR_OK;
}
