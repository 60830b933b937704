/* db_sqlite.h - between the files of the SQLite driver: its copies (db_sqlite_copy.c) and its connections
 * (db_sqlite.c). Nobody else includes it. */
#ifndef CORDON_DB_SQLITE_H
#define CORDON_DB_SQLITE_H

#include <sqlite3.h>

#include "db.h"

/* Of the database file the server locks a byte that SQLite does not (its own begin at 0x40000000), by a lock of an open file.
 * The lock file is there before the database is and outlives its replacing; but its name can be removed, and then it keeps
 * nobody away. */
#define DB_SQLITE_SERVED_BYTE 0x40000400

/** A connection that only reads, to whatever file stands there; sqlite3_close it. */
enum err_code db_sqlite_open_reader(const char *path, sqlite3 **ret, struct err *e);
/** The error of the call on db that returned rc. */
enum err_code db_sqlite_explain(sqlite3 *db, int rc, struct err *e);

/** Every fault that SQLite finds in the file, FOUND_MAX of them at most. */
enum err_code db_sqlite_check(const char *path, db_found_fn found, void *ctx, struct err *e);
/** Writes a consistent, private and synced copy of the database at path as a new file. Others may write
 *  to it meanwhile: what they commit from now on is not in the copy. */
enum err_code db_sqlite_backup(const char *path, const char *file, struct err *e);
/**
 * Puts a copy of the database `from` in the place of the one at path, which nobody may have open. What stood
 * there is kept as *ret_aside (heap; NULL: nothing did), its log beside it. fit: as for db_restore.
 */
enum err_code db_sqlite_replace(const char *path, const char *from, db_fit_fn fit, void *ctx,
                                char **ret_aside, struct err *e);
/** Was one cut off that has to be finished before anybody opens the database? */
enum err_code db_sqlite_is_replaced(const char *path, bool *ret, struct err *e);
/** Finishes it; nobody else may have the database open. */
enum err_code db_sqlite_finish(const char *path, struct err *e);

/** Root cares for a store, and somebody else serves it: a file that root has made becomes that of whom `like` belongs
 *  to, an absolute path; if there is none, or it is the file itself, of whom its folder does. Anybody else: nothing. */
void db_sqlite_give_away(int fd, const char *like);

/** As db_locks; rest: the url after "sqlite:". */
enum err_code db_sqlite_locks(const char *rest, struct db_locks *ret, struct err *e);

#endif
