/* db_sqlite_own.h - what the rooms of the SQLite driver share. Nobody else includes it.
 *
 * db_sqlite.c has connections, transactions and checkpoints; db_sqlite_store.c the files of a store and who holds them;
 * db_sqlite_statement.c statements and rows; db_sqlite_log.c the log's writes; db_sqlite_copy.c copies;
 * db_sqlite_locks.c what a stranger can find out about locks.
 */
#ifndef CORDON_DB_SQLITE_OWN_H
#define CORDON_DB_SQLITE_OWN_H

#include <sqlite3.h>
#include <sys/types.h>

#include "db_driver.h"
#include "db_sqlite.h"

/* Statements kept per connection; the program has about a hundred. A power of two. */
#define KEPT_MAX 256

struct db_store {
    char *path; /* absolute */
    char *log_path;
    bool read_only;
    int lock_fd;       /* -1: none */
    int file_fd;       /* the database, locked; -1: read-only */
    ino_t file;        /* which it is */
    _Atomic ino_t log; /* the same; 0: not known yet. Any thread that connects or writes */
    sqlite3 *anchor;
};

struct sqlite_statement {
    struct db_rows rows; /* first: db.c knows it by this */
    struct sqlite_conn *conn;
    sqlite3_stmt *st;
    const char *sql; /* the literal's address is the key */
    int n_params;
    bool reads_only;
    /* INSERT, UPDATE, DELETE: sqlite3_changes counts; else CREATE and the like */
    bool changes_rows;
    bool busy;    /* between db_query and db_rows_end */
    bool kept;    /* belongs to the table of its connection */
    bool stepped; /* the first row is there before db_next asked for it */
    bool ended;   /* the last row was read, or one could not be: */
    enum err_code failed;
    struct err why;
};

struct sqlite_conn {
    struct db_conn base; /* first */
    struct db_store *store;
    sqlite3 *db;
    enum db_role role;
    int log_pages;         /* in the log after the last commit */
    int log_tried;         /* and when the last checkpoint was made */
    int64_t other_changes; /* statements that changed something other than rows */
    bool scripted;         /* by the transaction under way */
    struct sqlite_statement *kept[KEPT_MAX];
};

extern const struct db_driver db_driver_sqlite;

/* ---- db_sqlite.c -------------------------------------------------------------------------------- */

/** db_sqlite_explain, and the connection remembers what of it goes beyond one statement. */
enum err_code db_sqlite_fail(struct sqlite_conn *c, int rc, struct err *e);

/* ---- db_sqlite_store.c: of db_driver.h ----------------------------------------------------------- */

enum err_code db_sqlite_open(const char *rest, const char *password, bool read_only,
                             struct db_store **ret, struct err *e);
void db_sqlite_close(struct db_store *s);
const char *db_sqlite_name(struct db_store *s);
int64_t db_sqlite_size(struct db_store *s);
/** Do the files that are open still have their names, and is the database what it was? What is written to others is gone when
 *  the server ends. Of a store that is served, else nothing is asked. *ret_overwritten: the log must not be applied to what
 *  stands there now. ERR_IO. */
enum err_code db_sqlite_check_place(struct db_store *s, bool *ret_overwritten, struct err *e);
/** Is the log beside it its own? SQLite applies whatever stands there. One that is not in WAL mode, such as a backup that
 *  somebody copied over the database of a server that was killed, has none. ERR_REFUSED. */
enum err_code db_sqlite_check_log(struct db_store *s, struct err *e);
/** What a failed sync asks for, before the log is read (see db_sqlite.c): its bytes are written over with themselves and
 *  synced. A log has at most some tens of MiB. */
enum err_code db_sqlite_rewrite_log(struct db_store *s, struct err *e);

/* ---- db_sqlite_statement.c: of db_driver.h -------------------------------------------------------- */

enum err_code db_sqlite_run(struct db_conn *c, const char *sql, const struct db_value *values,
                            size_t n, int64_t *ret_changed, struct err *e);
enum err_code db_sqlite_query(struct db_conn *c, const char *sql, const struct db_value *values,
                              size_t n, struct db_rows **ret, struct err *e);
bool db_sqlite_next(struct db_rows *rows);
int64_t db_sqlite_column_int(struct db_rows *rows, int column);
bool db_sqlite_column_is_null(struct db_rows *rows, int column);
const char *db_sqlite_column_text(struct db_rows *rows, int column);
enum err_code db_sqlite_rows_end(struct db_rows *rows, struct err *e);
enum err_code db_sqlite_script(struct db_conn *c, const char *sql, struct err *e);
/** Finalizes all that the connection keeps; none is in use. */
void db_sqlite_drop_statements(struct sqlite_conn *c);

#endif
