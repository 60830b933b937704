/* db_driver.h - what a database engine provides: connections, and how many of them may write.
 *
 * Everything that is the same for all engines lives above this seam: db.c has the calls of db.h, the
 * pool of read connections and the migrations; db_group.c has the queue of closures and the threads
 * that run them in batches. A driver knows one connection at a time and keeps no threads of its own.
 *
 * A connection is used by one thread at a time. An error that touches more than the statement that
 * met it (the transaction is gone, the connection is lost, the files are in doubt) is left in
 * conn->damage with its reason, because a closure is free to swallow what a statement returned: the
 * group never commits on a damaged connection.
 *
 * SQL goes to the driver as db.h describes it. PostgreSQL's writes INTEGER as BIGINT and the comment
 * "claim" (slash, star, claim, star, slash) as FOR UPDATE SKIP LOCKED when it prepares; SQLite, where
 * INTEGER has 64 bits and one connection writes, takes both as they stand.
 */
#ifndef CORDON_DB_DRIVER_H
#define CORDON_DB_DRIVER_H

#include "db.h"

#define DB_PARAMS_MAX  32 /* parameters of one statement; the widest table has about 20 columns */
#define DB_WRITERS_MAX 16 /* threads with a connection that writes, at most */
#define DB_BATCH_MAX                                                                               \
    256 /* closures in one transaction, at most: beyond it tests/bench/db.c gains nothing */

enum db_role {
    DB_READER, /* refuses to write */
    DB_WRITER,
};

/* What an error left behind, in rising order; a worse one replaces a lesser one. */
enum db_damage {
    DB_SOUND,
    DB_TX_CLASH,   /* two transactions clashed, this one gives way: it may be run again at once */
    DB_TX_LOCKED,  /* it waited in vain for a lock, which takes its time: likewise */
    DB_TX_LOST,    /* nothing of this transaction may be committed; the next one may work */
    DB_CONN_LOST,  /* disconnect before the next transaction */
    DB_STORE_LOST, /* disconnect every connection before the next one; only where one writes */
};

struct db_value {
    enum { DB_NULL, DB_INT, DB_TEXT } type;
    int64_t number;
    const char *text; /* borrowed for the call */
};

struct db_store; /* an opened url: paths, locks, settings; the driver's own */

/* The drivers put these first in structs of their own. */
struct db_conn {
    const struct db_driver *driver;
    enum db_damage damage;
    struct err why; /* while damage is not DB_SOUND: the error that did it */
};

struct db_rows {
    const struct db_driver *driver;
    struct db_tx *tx;
};

struct db_tx {
    struct db_conn *conn;
    int rows_open;
};

struct db_driver {
    const char *scheme;
    int writers;      /* connections that write at the same time; 1 for SQLite */
    size_t batch_max; /* closures per transaction, up to DB_BATCH_MAX; 1: every closure its own */

    /** rest: the url after "scheme:". password: NULL, or what the url leaves out. Takes what keeps a
     *  second server away, where there may be only one. */
    enum err_code (*open)(const char *rest, const char *password, bool read_only,
                          struct db_store **ret, struct err *e);
    /** As db_check_url; NULL: opening says it. */
    enum err_code (*check_url)(const char *rest, const char *password, struct err *e);
    /** As db_url_is_exposed; NULL: no url of it leads to another host. */
    bool (*is_exposed)(const char *rest);
    /** As db_locks; NULL: the engine keeps its own. */
    enum err_code (*locks)(const char *rest, struct db_locks *ret, struct err *e);
    /** After the last disconnect. */
    void (*close)(struct db_store *s);
    /** What people may see of the url: no password. Borrowed from s. */
    const char *(*name)(struct db_store *s);
    /** Bytes on disk, 0 when that is not known. Any thread. */
    int64_t (*size)(struct db_store *s);

    /** A writer also makes sure that the database is ours and sound enough to be served. */
    enum err_code (*connect)(struct db_store *s, enum db_role role, struct db_conn **ret,
                             struct err *e);
    void (*disconnect)(struct db_conn *c);

    /* One transaction at a time. A failed commit has rolled back; rollback always works. loose: of a writer, as
     * db_write_loose has it; where one connection writes it is the same. */
    enum err_code (*begin)(struct db_conn *c, bool loose, struct err *e);
    enum err_code (*commit)(struct db_conn *c, struct err *e);
    void (*rollback)(struct db_conn *c);
    /** Waits for the outcome of statements that db_run did not wait for. NULL: there are none such. What
     *  fails then has moved `changes`. */
    enum err_code (*settle)(struct db_conn *c, struct err *e);
    /* One savepoint at a time: set it, then forget it or go back to it (which forgets it too). */
    enum err_code (*savepoint)(struct db_conn *c, struct err *e);
    enum err_code (*savepoint_forget)(struct db_conn *c, struct err *e);
    enum err_code (*savepoint_back)(struct db_conn *c, struct err *e);
    /** A number that moves whenever the transaction changed something; it may move more often. */
    int64_t (*changes)(struct db_conn *c);

    /** Several statements separated by ';', no parameters, no rows: migrations. */
    enum err_code (*script)(struct db_conn *c, const char *sql, struct err *e);
    /** Inside a transaction: keeps other processes from migrating. NULL: begin does that. */
    enum err_code (*lock_schema)(struct db_conn *c, struct err *e);
    /** The same, before the first step: ends when the transactions that write which others have begun on the schema of before
     *  have ended; none begins before this one has. What a step changes it would not have seen of them, nor they of it.
     *  NULL: begin does that. */
    enum err_code (*shut_writers_out)(struct db_conn *c, struct err *e);
    /** Before the other writers connect: from now on no transaction that writes begins on another schema: a newer one, to
     *  which another process has migrated, or the older one of a standby that took over. NULL: no other process can. */
    void (*know_schema)(struct db_store *s, int version);

    enum err_code (*run)(struct db_conn *c, const char *sql, const struct db_value *values,
                         size_t n, int64_t *ret_changed, struct err *e);
    enum err_code (*query)(struct db_conn *c, const char *sql, const struct db_value *values,
                           size_t n, struct db_rows **ret, struct err *e);
    bool (*next)(struct db_rows *rows);
    int64_t (*column_int)(struct db_rows *rows, int column);
    const char *(*column_text)(struct db_rows *rows, int column);
    bool (*column_is_null)(struct db_rows *rows, int column);
    enum err_code (*rows_end)(struct db_rows *rows, struct err *e);

    /**
     * Housekeeping between transactions of a writer, after everybody who waited was answered. idle:
     * nobody waits. May leave damage and its reason. NULL: nothing to do.
     */
    void (*upkeep)(struct db_conn *c, bool idle);

    /* As db_check, db_backup, db_restore; NULL: the engine's own tools do that. replace: s is open for
     * writing, and nothing is connected to it. */
    enum err_code (*check)(struct db_store *s, db_found_fn found, void *ctx, struct err *e);
    enum err_code (*backup)(struct db_store *s, const char *file, struct err *e);
    enum err_code (*replace)(struct db_store *s, struct db_store *from, db_fit_fn fit, void *ctx,
                             char **ret_aside, struct err *e);

    /** As db_room; NULL: not told apart. Outside of transactions. */
    enum err_code (*room)(struct db_conn *c, int64_t *ret_used, int64_t *ret_free, struct err *e);

    /** As db_doubt; NULL: there is none. Outside of transactions. */
    enum err_code (*doubt)(struct db_conn *c, const char **ret, struct err *e);

    /* Hints between processes, as db_hint and db_listen have them. NULL where one process is alone. */
    void (*hint)(struct db_conn *c);
    enum err_code (*listen)(struct db_conn *c, struct err *e);
    /** Waits until a hint comes, or wake_fd can be read. */
    enum err_code (*await_hint)(struct db_conn *c, int wake_fd, bool *ret_hint, struct err *e);
};

#endif
