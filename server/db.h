/* db.h - the durable line's floor: transactions over one SQL, whatever the engine.
 *
 * A piece of work on the database is a closure: a function that gets a transaction. db_write runs it
 * and returns when it is durable; db_submit does not wait (HTTP threads) and calls back when it is.
 * With SQLite one writer thread owns the only connection that writes or checkpoints, runs as many
 * closures as are waiting inside one transaction (each in a savepoint), commits once, syncs once and
 * then lets all of them go (library-traps.md, SQLite and Disk). With PostgreSQL a transaction is a
 * transaction. db_read runs closures on read-only connections, in the caller's thread.
 *
 * SQL: what both engines understand; parameters $1, $2 … whose first uses stand in order; integers and
 * text only. A closure may run twice (a failed commit is tried again after the engine recovered only
 * when nothing of it was acknowledged): it must not keep state between runs but in its argument,
 * which it fills anew each time.
 */
#ifndef CORDON_DB_H
#define CORDON_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "err.h"

struct db;      /* an open database */
struct db_tx;   /* one transaction, inside a closure */
struct db_rows; /* the rows of one statement, inside a closure */

typedef enum err_code (*db_fn)(struct db_tx *tx, void *arg, struct err *e);
/* Called once in a thread of the database's; must be quick and must not call db_*. */
typedef void (*db_done_fn)(void *arg, enum err_code code, const struct err *e);

/** One step of the schema; the table of them ends with sql NULL. Numbers count up from 1. */
struct db_migration {
    int version;
    const char *sql; /* statements separated by ';' */
};

struct db_options {
    const char *url;                        /* "sqlite:cordon.db" */
    const struct db_migration *migrations;  /* run at open, each in a transaction */
    size_t queue_max;                       /* waiting closures; more: ERR_AGAIN */
    bool read_only;                         /* no lock file, no writer, no migrations */
};

/**
 * Opens (and creates) the database, takes its lock file, migrates it.
 * ERR_INVALID for a url nobody drives; ERR_CONFLICT when another process serves it; ERR_REFUSED when
 * its schema is newer than the program's, or the file is not ours or corrupt; ERR_IO.
 */
enum err_code db_open(const struct db_options *o, struct db **ret, struct err *e);
/** Finishes the closures that wait, then closes. NULL is fine. */
void db_free(struct db *db);
AUTO_FREEP(struct db, db)

/**
 * Runs fn in a transaction and returns when it is on disk. What fn returns other than ERR_OK undoes
 * what it did and is returned. ERR_AGAIN: queue full, or the database locked or out of space;
 * ERR_IO: it failed to write, sync or read. Never from within a closure. Any thread.
 */
enum err_code db_write(struct db *db, db_fn fn, void *arg, struct err *e);
/** The same without waiting: done(arg, …) is called once, unless this returns an error at once. */
enum err_code db_submit(struct db *db, db_fn fn, void *arg, db_done_fn done, struct err *e);
/** Runs fn on a read-only connection: it sees everything committed before the call. Any thread. */
enum err_code db_read(struct db *db, db_fn fn, void *arg, struct err *e);

/** ERR_OK while the last commit worked; else why not (for /readyz). Any thread. */
enum err_code db_health(struct db *db, struct err *e);

struct db_counts {
    int64_t closures, commits, failures, queue_len, size_bytes, commit_us_total;
};
void db_counts(struct db *db, struct db_counts *ret);

/* ---- inside a closure ------------------------------------------------------------------------- */

/*
 * types: one letter per parameter, arguments in the same order:
 *   t  const char *, NULL for SQL NULL      i  int64_t (cast it!)
 * Statements are prepared once per connection and kept, keyed by the address of sql: pass literals.
 */

/** Runs a statement that yields no rows; *ret_changed (may be NULL): how many rows it touched.
 *  ERR_CONFLICT when a unique key is taken. */
enum err_code db_run(struct db_tx *tx, struct err *e, int64_t *ret_changed, const char *sql,
                     const char *types, ...);
/** Starts a statement that yields rows (also INSERT/UPDATE … RETURNING). Give *ret to db_rows_end. */
enum err_code db_query(struct db_tx *tx, struct err *e, struct db_rows **ret, const char *sql,
                       const char *types, ...);
/** Next row: true; false at the end or on failure (db_rows_end tells which). */
bool db_next(struct db_rows *rows);
int64_t db_int(struct db_rows *rows, int column);      /* from 0; NULL reads as 0 */
const char *db_text(struct db_rows *rows, int column); /* NULL for SQL NULL; until the next db_next */
bool db_is_null(struct db_rows *rows, int column);
/** Ends a query early or after its last row; returns what db_next met. Exactly once per db_query. */
enum err_code db_rows_end(struct db_rows *rows, struct err *e);

#endif
