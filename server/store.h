/* store.h - the durable line: what is put here survives a crash.
 *
 * Order of use: store_open, then any of the store_* functions of store_deliveries.h, store_cases.h …,
 * store_free. `store.url` picks the engine (db.h). The schema is in store.c.
 */
#ifndef CORDON_STORE_H
#define CORDON_STORE_H

#include "arena.h"
#include "auto.h"
#include "clock.h"
#include "db.h"

struct store {
    struct db *db;
    const struct clock *clock;
};

enum err_code store_open(const char *url, bool read_only, const struct clock *clock,
                         struct store **ret, struct err *e);
void store_free(struct store *s);
AUTO_FREEP(struct store, store)

/** Writes what is committed now to a new file; a server may go on writing. As db_backup. */
enum err_code store_backup(struct store *s, const char *file, struct err *e);
/** Puts the backup `file` in the place of the store; no server may hold it. As db_restore. */
enum err_code store_restore(const char *url, const char *file, char **ret_aside, struct err *e);

/** A column's text copied into a; NULL for SQL NULL. *nomem becomes true when memory ran out. For the
 *  store_*.c modules. */
const char *store_text(struct arena *a, struct db_rows *rows, int column, bool *nomem);

#endif
