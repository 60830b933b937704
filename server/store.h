/* store.h - the durable line: what is put here survives a crash.
 *
 * Order of use: store_open, then any of the store_* functions of store_accept.h, store_cases.h …,
 * store_free. `store.url` picks the engine (db.h). The schema is in store.c.
 */
#ifndef CORDON_STORE_H
#define CORDON_STORE_H

#include <stdbool.h>

#include "arena.h"
#include "auto.h"
#include "clock.h"
#include "db.h"

#define STORE_QUEUE_MAX 4096 /* closures waiting for the writer; the HTTP side answers 503 beyond */

struct store {
    struct db *db;
    const struct clock *clock;
    _Atomic bool full; /* upkeep.c: no new case is accepted, all else goes on */
};

/** password: what a postgresql: url leaves out; NULL: nothing. Errors as those of db_open; neither says more of
 *  the url than db_name does. */
enum err_code store_open_as(const char *url, const char *password, bool read_only,
                            const struct clock *clock, struct store **ret, struct err *e);
/* Steps of the schema since which something stands in the store as it does today. */
#define STORE_SINCE_EVER  1
#define STORE_SINCE_AUDIT 10 /* its two tables */

/** For whoever reads that alone: an older program's store will do, one since that step. A backup is no place to start
 *  a server on, and the one before an upgrade is made when the new program is there already. */
enum err_code store_open_since(const char *url, const char *password, int step,
                               const struct clock *clock, struct store **ret, struct err *e);
/** As store_open_as, with a url that says all. */
enum err_code store_open(const char *url, bool read_only, const struct clock *clock,
                         struct store **ret, struct err *e);
void store_free(struct store *s);
AUTO_FREEP(struct store, store)

/** ERR_OK while a push can be accepted: the last commit worked, and there is room. Else why not. Any thread. */
enum err_code store_health(struct store *s, struct err *e);
/** Writes what is committed now to a new file; a server may go on writing. As db_backup. */
enum err_code store_backup(struct store *s, const char *file, struct err *e);
/** Puts the backup `file` in the place of the store; no server may hold it. As db_restore. */
enum err_code store_restore(const char *url, const char *file, db_fit_fn fit, void *ctx,
                            char **ret_aside, struct err *e);

/** A column's text copied into a; NULL for SQL NULL. *nomem becomes true when memory ran out. For the
 *  store_*.c modules. */
const char *store_text(struct arena *a, struct db_rows *rows, int column, bool *nomem);

#endif
