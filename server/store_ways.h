/* store_ways.h - which ways out fail, since when, and whether people know.
 *
 * A row per way that ever failed, by its name ("mail", "mail:fallback-1", "webhook:soc"). It is in the store
 * because a restart must neither begin the time anew nor tell people twice, and because replicas share it.
 */
#ifndef CORDON_STORE_WAYS_H
#define CORDON_STORE_WAYS_H

#include "store.h"

struct way_record { /* times are wall ms */
    int64_t id;     /* of the row, and of its work */
    const char *name;
    int64_t failing; /* since when; 0: it works */
    int64_t told;    /* when people were told of that; 0: they were not */
    const char *why; /* of the last failure */
    /* The server, as people know it, that let us in by then and took nothing: to ask it tells no more than that. NULL: none */
    const char *let_in;
};

/** All rows, by name. */
enum err_code store_way_list(struct store *s, struct arena *a, struct way_record **ret,
                             size_t *ret_count, struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** ERR_NOT_FOUND. */
enum err_code way_load(struct db_tx *tx, struct arena *a, int64_t id, struct way_record *ret,
                       struct err *e);
/** It failed. The first time since it worked begins its failing, and its work is due look_ms later. let_in: or NULL. */
enum err_code way_failed(struct db_tx *tx, const char *name, const char *why, const char *let_in,
                         int64_t look_ms, int64_t now, struct err *e);
/** It worked. *ret_before: what was known of it; failing 0: nothing changed. Its work ends by itself. */
enum err_code way_worked(struct db_tx *tx, struct arena *a, const char *name,
                         struct way_record *ret_before, struct err *e);
/** Does it fail, as far as is known? */
enum err_code way_fails(struct db_tx *tx, const char *name, bool *ret, struct err *e);
/** People know since now. */
enum err_code way_told(struct db_tx *tx, int64_t id, int64_t now, struct err *e);

#endif
