/* db_group.h - group commit: threads that run waiting closures in batches, one commit per batch.
 *
 * Inner room of db.c. Submitting costs a lock and a list node; the thread that owns the writing
 * connection takes everything that waits, runs it in one transaction, commits once and then calls
 * all callbacks of the batch one after the other.
 */
#ifndef CORDON_DB_GROUP_H
#define CORDON_DB_GROUP_H

#include "db_driver.h"

struct db_group;

struct db_group_options {
    const struct db_driver *driver;
    struct db_store *store; /* borrowed until db_group_free returned */
    size_t queue_max;
    /* Must close every read connection, and keep new ones from being opened until resume. */
    void (*quiesce)(void *ctx);
    void (*resume)(void *ctx);
    void *ctx;
    /* a harmless write: tried while the last commit failed and nobody asks */
    const char *probe_sql;
};

/** first: an open writing connection, taken on success. Starts the threads. ERR_NOMEM, ERR_IO. */
enum err_code db_group_new(const struct db_group_options *o, struct db_conn *first,
                           struct db_group **ret, struct err *e);
/** Runs what waits, answers it, ends the threads, disconnects. NULL is fine. */
void db_group_free(struct db_group *g);

/** As db_submit, db_write and (loose) db_write_loose in db.h. */
enum err_code db_group_submit(struct db_group *g, bool loose, db_fn fn, void *arg, db_done_fn done,
                              struct err *e);
enum err_code db_group_write(struct db_group *g, bool loose, db_fn fn, void *arg, struct err *e);

/** As db_hint in db.h; for a driver that has hints. */
void db_group_hint(struct db_group *g);
/** As in db.h. db_group_counts leaves size_bytes alone. */
enum err_code db_group_health(struct db_group *g, struct err *e);
void db_group_counts(struct db_group *g, struct db_counts *ret);

#endif
