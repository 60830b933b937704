/* db.h - the durable line's floor: transactions over one SQL, whatever the engine.
 *
 * A piece of work on the database is a closure: a function that gets a transaction. db_write runs it
 * and returns when it is durable; db_submit does not wait (HTTP threads) and calls back when it is.
 * With SQLite one writer thread owns the only connection that writes or checkpoints, runs as many
 * closures as are waiting inside one transaction (each in a savepoint), commits once, syncs once and
 * then lets all of them go (library-traps.md, SQLite and Disk). With PostgreSQL several threads do the
 * same side by side, and so do other processes; a transaction is one of a sequence all the same
 * (serializable), so that a closure may count on what it has read. db_read runs closures on read-only connections, in
 * the caller's thread.
 *
 * SQL: what both engines understand; parameters $1, $2 … whose first uses stand in order; integers and
 * text only; a parameter has one type. INTEGER has 64 bits, `INTEGER PRIMARY KEY` is what ids are (a
 * driver that needs another word writes that). A SELECT that picks rows which
 * another replica may be picking ends with the comment "claim" (slash, star, claim, star, slash): an
 * engine with several writers skips the rows that another one holds.
 *
 * A closure may run twice (a batch in which a neighbour failed, or that clashed with another process's
 * transaction, is rolled back and run again): it must not keep state between runs but in its argument,
 * which it fills anew each time. It does nothing that db.h cannot undo. A closure that met an error returns
 * it: after one nothing of what it did can be kept.
 */
#ifndef CORDON_DB_H
#define CORDON_DB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "err.h"

struct db;      /* an open database */
struct db_tx;   /* one transaction, inside a closure */
struct db_rows; /* the rows of one statement, inside a closure */

/* e is never NULL. */
typedef enum err_code (*db_fn)(struct db_tx *tx, void *arg, struct err *e);
/* Called once in a thread of the database's, when the commit is on disk; those of one batch are called
 * one right after the other. Must be quick and must not call db_*. e is never NULL. */
typedef void (*db_done_fn)(void *arg, enum err_code code, const struct err *e);

/** One step of the schema; the table of them ends with sql NULL. Numbers count up from 1. */
struct db_migration {
    int version;
    const char *sql; /* statements separated by ';' */
};

struct db_options {
    const char *url;                       /* "sqlite:cordon.db", "postgresql://user@host/base" */
    const char *password;                  /* NULL, or what a postgresql: url leaves out */
    const struct db_migration *migrations; /* run at open, each in a transaction */
    size_t queue_max;                      /* waiting closures; more: ERR_AGAIN */
    bool read_only;                        /* no lock file, no writer, no migrations */
    int oldest;                            /* read-only: the schema that will do; 0: the last */
};

/**
 * Opens (and creates) the database, takes its lock file, migrates it.
 * ERR_INVALID for a url nobody drives; ERR_CONFLICT when another process serves it; ERR_REFUSED when
 * its schema is newer than the program's (read-only: or older than `oldest`), or the file is not ours or corrupt;
 * ERR_NOT_FOUND when it is to be read and is not there; ERR_AGAIN; ERR_IO.
 * A child that is forked without exec has to close its inherited files (close_range), or the lock
 * outlives the server with it; it must not call db_*.
 */
enum err_code db_open(const struct db_options *o, struct db **ret, struct err *e);

/* Who has hold of an embedded database's files. Numbers of processes: 0: nobody, -1: somebody whose number is not
 * known here (of another container). */
struct db_locks {
    bool embedded;     /* false: the engine keeps its own locks, and nothing else is said */
    bool tried, works; /* could it be tried whether the filesystem keeps locks, and does it? */
    char why[120];     /* why it does not work */
    /* "NFS": other hosts or kernels see the files, too; NULL: they do not; static storage */
    const char *network;
    int64_t server; /* serves it */
    int64_t writer; /* another one that is writing */
    int64_t other;  /* another one that has it open; with a server that is not always seen */
};
/**
 * Looks without opening it. This process must have nothing of it open: looking would let its locks go (POSIX locks end with
 * any close of the file). ERR_INVALID for a url that no driver reads; ERR_NOMEM.
 */
enum err_code db_locks(const char *url, struct db_locks *ret, struct err *e);
/** Can the url be read, as far as that is known without opening it? ERR_INVALID says what is wrong, without
 *  repeating it. */
enum err_code db_check_url(const char *url, const char *password, struct err *e);
/** Does the url lead to another host without having it prove who it is? False for one that cannot be read. */
bool db_url_is_exposed(const char *url);
/** Finishes the closures that wait, then closes. No other call may be under way. NULL is fine. */
void db_free(struct db *db);
AUTO_FREEP(struct db, db)

/**
 * Runs fn in a transaction and returns when it is on disk. What fn returns other than ERR_OK undoes
 * what it did and is returned. ERR_AGAIN: queue full, or the database locked or out of space;
 * ERR_IO: it failed to write, sync or read, or is corrupt. After these two nothing was acknowledged,
 * but a crash may still bring it to light: a repeat has to expect its own row.
 * ERR_STOPPING; ERR_REFUSED when opened read-only. Never from within a closure. Any thread.
 */
enum err_code db_write(struct db *db, db_fn fn, void *arg, struct err *e);
/**
 * The same for a closure that counts on nothing it has read but what its own statements say in their WHERE: each of them
 * sees what was committed when it began, so it does not clash with what others do meanwhile, and is not batched with
 * any that may. Claiming work is such a thing: it reads what everybody changes.
 */
enum err_code db_write_loose(struct db *db, db_fn fn, void *arg, struct err *e);
/** As db_write, without waiting: done(arg, …) is called once, unless this returns an error at once. */
enum err_code db_submit(struct db *db, db_fn fn, void *arg, db_done_fn done, struct err *e);
/** Runs fn on a read-only connection, in the caller's thread: it sees everything committed before the
 *  call, and one state from first to last. Waits while others read on all connections. Never from
 *  within a closure. Any thread. */
enum err_code db_read(struct db *db, db_fn fn, void *arg, struct err *e);

/** The url for people: no password. Borrowed from db. */
const char *db_name(const struct db *db);
/** Other processes may be at work on the same database. */
bool db_is_shared(const struct db *db);

/** What of the server's own settings lets go of what was committed, in words; *ret NULL: nothing, as with an engine that is
 *  part of this process. Any thread. */
enum err_code db_doubt(struct db *db, const char **ret, struct err *e);

/** A hint to other processes to look for work that this one cannot do itself. It may be lost: they look anyway,
 *  only later. Any thread, cheap. */
void db_hint(struct db *db);
/** Calls fn whenever another process gave a hint (this one's own may come back), from a thread of the
 *  database's, until db_unlisten. Where no other process can be, it never does. fn must be quick
 *  and must not call db_*. */
enum err_code db_listen(struct db *db, void (*fn)(void *ctx), void *ctx, struct err *e);
void db_unlisten(struct db *db);

/** ERR_OK while the last commit worked; else why not (for /readyz). While nobody writes, the database
 *  tries by itself once a second whether it can again. Any thread. */
enum err_code db_health(struct db *db, struct err *e);

struct db_counts {
    int64_t closures;        /* run; not counting repeats */
    int64_t commits;         /* that wrote something */
    int64_t failures;        /* of commits and checkpoints, for the engine's sake */
    int64_t queue_len;       /* closures waiting now */
    int64_t size_bytes;      /* on disk now */
    int64_t commit_us_total; /* spent in those commits */
};
void db_counts(struct db *db, struct db_counts *ret);

/* ---- care of the files; for an engine that has files of its own ------------------------------- */

typedef void (*db_found_fn)(void *ctx, const char *text);

/** Reads through all of the database and tells every fault of its structure. Any thread, and while another
 *  process writes. ERR_OK however many there are; ERR_REFUSED where the engine does that itself. */
enum err_code db_check(struct db *db, db_found_fn found, void *ctx, struct err *e);
/** Writes what is committed now to a new file, private and synced. Others may write meanwhile.
 *  ERR_CONFLICT when the file exists; ERR_REFUSED where the engine has a tool of its own for that. */
enum err_code db_backup(struct db *db, const char *file, struct err *e);
typedef enum err_code (*db_fit_fn)(void *ctx, const char *url, struct err *e);
/**
 * Puts a copy of `file`, which must be sound, in the place of the database of url.
 * migrations  as for db_open: a schema newer than the last of them is refused.
 * fit         NULL, or called with the url of the copy, which is whole, before it takes that place: what it writes there
 *             comes with the copy or not at all. The old database can be read meanwhile. Its error ends the restore.
 * ret_aside   where the old one is kept (heap; NULL: there was none).
 * Returns     ERR_CONFLICT while a server holds it; ERR_REFUSED for a file that is not ours, damaged or too new.
 */
enum err_code db_restore(const char *url, const struct db_migration *migrations, const char *file,
                         db_fit_fn fit, void *ctx, char **ret_aside, struct err *e);

/** What is in use, and what was given up and will be used again before the files grow, in bytes. Where the
 *  engine does not tell them apart all is in use. ERR_AGAIN: it is not known yet. Any thread. */
enum err_code db_room(struct db *db, int64_t *ret_used, int64_t *ret_free, struct err *e);

/* ---- inside a closure ------------------------------------------------------------------------- */

/*
 * types: one letter per parameter, arguments in the same order:
 *   t  const char *, NULL for SQL NULL      i  int64_t (cast it!)
 * Statements are prepared once per connection and kept, keyed by the address of sql: pass literals.
 * Errors of both calls: ERR_CONFLICT when a unique key is taken; ERR_INVALID for a statement or a value
 * that the schema does not take (a fault of ours); ERR_AGAIN, ERR_IO, ERR_NOMEM as db_write.
 */

/** Runs a statement that yields no rows; *ret_changed (may be NULL): how many rows it touched. With NULL
 *  its error may come later: from the next call of the closure, or as the closure's own. */
enum err_code db_run(struct db_tx *tx, struct err *e, int64_t *ret_changed, const char *sql,
                     const char *types, ...);
/** Starts a statement that yields rows (also INSERT/UPDATE … RETURNING). Give *ret to db_rows_end. */
enum err_code db_query(struct db_tx *tx, struct err *e, struct db_rows **ret, const char *sql,
                       const char *types, ...);
/** The same with the arguments in ap. */
enum err_code db_query_v(struct db_tx *tx, struct err *e, struct db_rows **ret, const char *sql,
                         const char *types, va_list ap);
/** Next row: true; false at the end or on failure (db_rows_end tells which). */
bool db_next(struct db_rows *rows);
/** Column from 0; NULL reads as 0. */
int64_t db_int(struct db_rows *rows, int column);
/** NULL for SQL NULL; valid until the next db_next. */
const char *db_text(struct db_rows *rows, int column);
bool db_is_null(struct db_rows *rows, int column);
/** Ends a query early or after its last row; returns what db_next met. Exactly once per db_query. */
enum err_code db_rows_end(struct db_rows *rows, struct err *e);

#endif
