/* db_sqlite.c - SQLite behind db_driver.h, for one process that serves.
 *
 * One connection writes and checkpoints, all others open the file read-only: releases up to 3.51.2
 * can corrupt a database when two connections write or checkpoint at once in WAL mode
 * (library-traps.md, SQLite 3.40.1). A lock file keeps a second server away.
 *
 * A commit appends to the write-ahead log, in one piece (db_sqlite_log.c), and syncs it
 * (synchronous=FULL). The pages go home to the database file in checkpoints, which run between
 * transactions, when nobody waits for an answer.
 *
 * What a failed sync means. The kernel reports it once and then takes the lost pages for clean, so
 * that the next sync succeeds without having written them (library-traps.md, Disk). Hence:
 *   - A commit failed: the end of the log as all connections know it (in the -shm file) did not move,
 *     so the next commit writes the same place again, whatever became of this one. The writer is
 *     closed and opened again without checkpoint. `anchor`, a read-only connection, stays open
 *     meanwhile: without any, that knowledge would be built again from the log, where the failed
 *     transaction stands complete, though perhaps in memory only.
 *   - A checkpoint failed: an earlier one may have written pages which this sync was to make durable,
 *     and they count as done. All connections are closed, so that opening again starts from the log,
 *     which holds all pages, and writes every one anew.
 *   - The process died after either: before the log is read, its bytes are written over with
 *     themselves and synced (db_sqlite_rewrite_log), so that what is read is what is on disk.
 */
#include "db_sqlite_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "db_sqlite_log.h"

/* "crdn": in the file's header, says whose database it is (sqlite.org/fileformat2.html, 1.3.10). */
#define APPLICATION_ID 0x6372646e

/* How long another program's lock on the file (a backup, a curious person's shell) is waited for. All
 * senders wait meanwhile, and theirs is a patience of some seconds. */
#define BUSY_MS 1000

/* Pages of 4 KiB in the log from which a checkpoint is made: when nobody has asked for a while; anyhow; and by
 * waiting for readers, so that the log starts over, for it never does while one reader always holds on to it.
 * Everybody waits for a checkpoint. From 8000 on, with 64 senders at work, fewer than one request in a hundred
 * meets one, and pages that changed often go home once: p99 was 5 ms where it was 9 with 4000 (tests/bench). */
#define CHECKPOINT_IDLE   1000
#define CHECKPOINT_ANYHOW 8000
#define CHECKPOINT_WAIT   16000

/* Bytes that the log keeps when it starts over after a storm: 8000 pages. */
#define LOG_KEEP "33554432"

/* KiB of page cache. Twice or four times as much made no closure faster (tests/bench/db.c) as long as
 * the kernel has the file in its own cache. */
#define WRITER_CACHE "-2048"
#define READER_CACHE "-512"

static struct sqlite_conn *sqlite_conn(struct db_conn *c)
{
    return (struct sqlite_conn *)c;
}

/* ---- errors ----------------------------------------------------------------------------------- */

#define CURE                                                                                       \
    ": `cordon store check` says where, `cordon store restore FILE` puts a backup in its place"

/* sqlite.org/rescode.html. An extended code is looked for first, then its primary one. */
static const struct result {
    int rc;
    enum err_code code;
    enum db_damage damage;
    const char *say; /* instead of SQLite's own words */
} results[] = {
    {SQLITE_CONSTRAINT_UNIQUE, ERR_CONFLICT, DB_SOUND, NULL},
    {SQLITE_CONSTRAINT_PRIMARYKEY, ERR_CONFLICT, DB_SOUND, NULL},
    {SQLITE_CONSTRAINT_ROWID, ERR_CONFLICT, DB_SOUND, NULL},
    {SQLITE_CONSTRAINT, ERR_INVALID, DB_SOUND, NULL}, /* NOT NULL, CHECK, foreign keys: ours */
    {SQLITE_ERROR, ERR_INVALID, DB_SOUND, NULL},      /* the statement itself: ours */
    {SQLITE_RANGE, ERR_INVALID, DB_SOUND, NULL},
    {SQLITE_MISMATCH, ERR_INVALID, DB_SOUND, NULL},
    {SQLITE_MISUSE, ERR_INVALID, DB_SOUND, NULL},
    {SQLITE_TOOBIG, ERR_TOO_BIG, DB_SOUND, NULL},
    {SQLITE_BUSY, ERR_AGAIN, DB_TX_LOST, "another program holds a lock on it"},
    {SQLITE_LOCKED, ERR_AGAIN, DB_TX_LOST, NULL},
    {SQLITE_PROTOCOL, ERR_AGAIN, DB_TX_LOST, NULL},
    {SQLITE_INTERRUPT, ERR_AGAIN, DB_TX_LOST, NULL},
    {SQLITE_FULL, ERR_AGAIN, DB_TX_LOST, "the disk is full"},
    {SQLITE_NOMEM, ERR_NOMEM, DB_TX_LOST, NULL},
    {SQLITE_IOERR_NOMEM, ERR_NOMEM, DB_TX_LOST, NULL},
    {SQLITE_IOERR, ERR_IO, DB_CONN_LOST, NULL},
    {SQLITE_CANTOPEN, ERR_IO, DB_CONN_LOST, NULL},
    {SQLITE_READONLY, ERR_IO, DB_CONN_LOST, NULL},
    {SQLITE_READONLY_ROLLBACK, ERR_AGAIN, DB_CONN_LOST,
     "a write was cut off; the server takes it back as it starts"},
    {SQLITE_PERM, ERR_IO, DB_CONN_LOST, NULL},
    {SQLITE_AUTH, ERR_IO, DB_CONN_LOST, NULL},
    {SQLITE_CORRUPT, ERR_IO, DB_TX_LOST, "the database is corrupt" CURE},
    {SQLITE_NOTADB, ERR_IO, DB_TX_LOST, "this is not a database, or a corrupt one" CURE},
};

static const struct result *find_result(int rc)
{
    static const struct result unheard_of = {0, ERR_IO, DB_CONN_LOST, NULL};
    const struct result *found = &unheard_of;

    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i].rc == rc)
            return &results[i];
        if (results[i].rc == (rc & 0xff))
            found = &results[i];
    }
    return found;
}

/* The error of the call on db that returned rc; *ret_damage may be NULL. */
static enum err_code explain(sqlite3 *db, int rc, enum db_damage *ret_damage, struct err *e)
{
    const struct result *r = find_result(rc);
    const char *what = r->say ? r->say : db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    int os = db && r->code == ERR_IO ? sqlite3_system_errno(db) : 0;

    if (ret_damage)
        *ret_damage = r->damage;
    if (os)
        return err_set(e, r->code, "%s (SQLite %d; %s)", what, rc, strerror(os));
    return err_set(e, r->code, "%s (SQLite %d)", what, rc);
}

enum err_code db_sqlite_explain(sqlite3 *db, int rc, struct err *e)
{
    return explain(db, rc, NULL, e);
}

enum err_code db_sqlite_fail(struct sqlite_conn *c, int rc, struct err *e)
{
    enum db_damage damage = DB_SOUND;
    struct err why = {0};
    enum err_code code = explain(c->db, rc, &damage, &why);

    if (damage > c->base.damage) {
        c->base.damage = damage;
        c->base.why = why;
    }
    if (e)
        *e = why;
    return code;
}

/* ---- a connection ----------------------------------------------------------------------------- */

static int take_number(void *ret, int n, char **values, char **names)
{
    (void)names;
    if (n > 0 && values[0])
        *(int64_t *)ret = strtoll(values[0], NULL, 10); /* SQLite wrote it */
    return 0;
}

static int take_wal(void *ret, int n, char **values, char **names)
{
    (void)names;
    *(bool *)ret = n > 0 && values[0] && strcmp(values[0], "wal") == 0;
    return 0;
}

static enum err_code exec(sqlite3 *db, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc ? explain(db, rc, NULL, e) : ERR_OK;
}

static enum err_code ask(sqlite3 *db, const char *sql, int64_t *ret, struct err *e)
{
    int rc = sqlite3_exec(db, sql, take_number, ret, NULL);

    return rc ? explain(db, rc, NULL, e) : ERR_OK;
}

/* Is it a database, sound as far as its first pages tell, and ours? *ret_new: empty, to become ours.
 * Changes nothing. */
static enum err_code check_ours(sqlite3 *db, bool *ret_new, struct err *e)
{
    int64_t tables = 0, id = 0;
    enum err_code code = ask(db, "SELECT count(*) FROM sqlite_schema", &tables, e);
    int primary = sqlite3_errcode(db) & 0xff;

    if (code && (primary == SQLITE_NOTADB || primary == SQLITE_CORRUPT))
        return err_set(e, ERR_REFUSED, "%s", find_result(primary)->say);
    if (code || (code = ask(db, "PRAGMA application_id", &id, e)))
        return code;
    *ret_new = id == 0 && tables == 0;
    if (id != APPLICATION_ID && !*ret_new)
        return err_set(e, ERR_REFUSED, "it is the database of another program");
    return ERR_OK;
}

static int note_log_pages(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_conn *c = ctx;

    (void)db;
    (void)name;
    c->log_pages = pages;
    return SQLITE_OK;
}

static enum err_code open_handle(const char *path, enum db_role role, sqlite3 **ret, struct err *e)
{
    int mode = role == DB_WRITER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    const char *vfs = role == DB_WRITER ? db_sqlite_log_vfs() : NULL;
    sqlite3 *db = NULL;
    int rc;

    if (role == DB_WRITER && !vfs)
        return err_set(e, ERR_NOMEM, "SQLite takes no VFS");
    rc = sqlite3_open_v2(
        path, &db, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW, vfs);
    if (!rc)
        rc = sqlite3_busy_timeout(db, BUSY_MS);
    /* A file that somebody tampered with shall not run anything while it is read. */
    if (!rc)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    if (!rc)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
    if (rc) {
        enum err_code code = explain(db, rc, NULL, e);

        (void)sqlite3_close(db); /* ran nothing yet, so nothing can fail */
        return code;
    }
    *ret = db;
    return ERR_OK;
}

enum err_code db_sqlite_open_reader(const char *path, sqlite3 **ret, struct err *e)
{
    return open_handle(path, DB_READER, ret, e);
}

/* foreign_keys: PostgreSQL knows no other way. secure_delete: nothing secret is stored, and it would
 * write pages that are merely given up. */
static enum err_code set_up_writer(struct sqlite_conn *c, bool new, struct err *e)
{
    bool wal = false;
    int64_t synchronous = 0;
    enum err_code code;
    int rc;

    rc = sqlite3_exec(c->db, "PRAGMA journal_mode = WAL", take_wal, &wal, NULL);
    if (rc)
        return explain(c->db, rc, NULL, e);
    if (!wal)
        return err_set(e, ERR_IO, "its file system does not support a write-ahead log");
    code = exec(c->db,
                "PRAGMA synchronous = FULL;"
                "PRAGMA foreign_keys = ON;"
                "PRAGMA temp_store = MEMORY;"
                "PRAGMA secure_delete = OFF;"
                "PRAGMA cache_size = " WRITER_CACHE ";"
                "PRAGMA journal_size_limit = " LOG_KEEP,
                e);
    if (!code)
        code = ask(c->db, "PRAGMA synchronous", &synchronous, e);
    if (!code && synchronous != 2)
        return err_set(e, ERR_REFUSED, "SQLite does not take synchronous=FULL");
    (void)sqlite3_wal_hook(c->db, note_log_pages, c); /* also turns automatic checkpoints off */
    if (!code && new) {
        char *sql = sqlite3_mprintf("PRAGMA application_id = %d", APPLICATION_ID);

        code = sql ? exec(c->db, sql, e) : err_set(e, ERR_NOMEM, "out of memory");
        sqlite3_free(sql);
    }
    return code;
}

/* Keeps the -shm file's content alive while the writer reconnects. It asks for what is found without reading the
 * whole schema. */
static enum err_code drop_anchor(struct db_store *s, struct err *e)
{
    enum err_code code = open_handle(s->path, DB_READER, &s->anchor, e);

    if (!code && (code = exec(s->anchor, "PRAGMA schema_version", e))) {
        (void)sqlite3_close(s->anchor); /* it runs nothing, so nothing can fail */
        s->anchor = NULL;
    }
    return code;
}

/* db_sqlite_check_place of the writer's. Where it is not what it was the connection is damaged: no checkpoint, nor at the
 * end. */
static enum err_code check_place(struct db_conn *base, struct err *e)
{
    bool overwritten;
    enum err_code code = db_sqlite_check_place(sqlite_conn(base)->store, &overwritten, e);

    if (overwritten) {
        base->damage = DB_TX_LOST;
        base->why = *e;
    }
    return code;
}

static void driver_disconnect(struct db_conn *base)
{
    struct sqlite_conn *c = sqlite_conn(base);
    struct err unused;
    int rc;

    db_sqlite_drop_statements(c);
    if (c->role == DB_WRITER && base->damage == DB_SOUND) /* closing checkpoints */
        (void)check_place(base, &unused);
    /* The anchor goes before the writer, which tidies up as the last one; or, when the files are in
     * doubt, for all knowledge of them to be built anew. */
    if (c->role == DB_WRITER && (base->damage == DB_SOUND || base->damage == DB_STORE_LOST)) {
        (void)sqlite3_close(c->store->anchor); /* it runs nothing, so nothing can fail */
        c->store->anchor = NULL;
    }
    if (c->role == DB_WRITER && base->damage != DB_SOUND)
        (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    rc = sqlite3_close(c->db);
    assert(rc == SQLITE_OK); /* else a statement leaks */
    free(c);
}

static void conn_freep(struct sqlite_conn **c)
{
    if (*c)
        driver_disconnect(&(*c)->base);
}

static enum err_code driver_connect(struct db_store *s, enum db_role role, struct db_conn **ret,
                                    struct err *e)
{
    AUTO(conn_freep) struct sqlite_conn *c = NULL;
    bool new = false, overwritten;
    enum err_code code;

    if ((code = db_sqlite_check_place(s, &overwritten, e)))
        return code;
    if (!s->anchor && (role == DB_WRITER || s->read_only) && (code = db_sqlite_check_log(s, e)))
        return code;
    if (role == DB_WRITER && !s->anchor && (code = db_sqlite_rewrite_log(s, e)))
        return code;
    c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->base.driver = &db_driver_sqlite;
    c->store = s;
    c->role = role;
    if ((code = open_handle(s->path, role, &c->db, e)))
        return code;
    c->base.damage = DB_CONN_LOST; /* until it is complete: no checkpoint when it is closed */
    if ((code = check_ours(c->db, &new, e)))
        return code;
    if (role == DB_WRITER) {
        code = set_up_writer(c, new, e);
        if (!code && !s->anchor)
            code = drop_anchor(s, e);
    } else if (new) {
        code = err_set(e, ERR_REFUSED, "it is empty");
    } else {
        code = exec(c->db, "PRAGMA query_only = ON; PRAGMA cache_size = " READER_CACHE, e);
    }
    if (code)
        return code;
    c->base.damage = DB_SOUND;
    *ret = &c->base;
    c = NULL;
    return ERR_OK;
}

/* ---- transactions ----------------------------------------------------------------------------- */

static enum err_code control(struct db_conn *base, const char *sql, const char *what, struct err *e)
{
    enum err_code code = db_sqlite_run(base, sql, NULL, 0, NULL, e);

    if (code) {
        if (base->damage)
            (void)err_in(&base->why, "%s", what);
        (void)err_in(e, "%s", what);
    }
    return code;
}

static enum err_code driver_begin(struct db_conn *base, bool loose, struct err *e)
{
    enum err_code code;

    (void)loose; /* nobody else writes */
    if (sqlite_conn(base)->role == DB_READER)
        return control(base, "BEGIN", "begin", e);
    code = check_place(base, e);
    return code ? code : control(base, "BEGIN IMMEDIATE", "begin", e);
}

static void driver_rollback(struct db_conn *base)
{
    struct sqlite_conn *c = sqlite_conn(base);
    struct err e;

    if (sqlite3_get_autocommit(c->db)) /* an error has rolled back already */
        return;
    if (db_sqlite_run(base, "ROLLBACK", NULL, 0, NULL, &e) && base->damage < DB_CONN_LOST) {
        base->damage = DB_CONN_LOST; /* closing rolls back */
        base->why = e;
    }
}

static enum err_code driver_commit(struct db_conn *base, struct err *e)
{
    struct sqlite_conn *c = sqlite_conn(base);
    enum err_code code = control(base, "COMMIT", "commit", e);

    if (code)
        driver_rollback(base);
    else if (c->scripted) /* a page for each table and index, which nobody needs for now */
        (void)sqlite3_db_release_memory(c->db);
    c->scripted = false;
    return code;
}

static enum err_code driver_savepoint(struct db_conn *base, struct err *e)
{
    return control(base, "SAVEPOINT closure", "savepoint", e);
}

static enum err_code driver_savepoint_forget(struct db_conn *base, struct err *e)
{
    return control(base, "RELEASE closure", "release savepoint", e);
}

static enum err_code driver_savepoint_back(struct db_conn *base, struct err *e)
{
    enum err_code code = control(base, "ROLLBACK TO closure", "roll back to savepoint", e);

    return code ? code : driver_savepoint_forget(base, e);
}

static int64_t driver_changes(struct db_conn *base)
{
    struct sqlite_conn *c = sqlite_conn(base);

    return sqlite3_total_changes64(c->db) + c->other_changes;
}

/* ---- checkpoints ------------------------------------------------------------------------------ */

static void driver_upkeep(struct db_conn *base, bool idle)
{
    struct sqlite_conn *c = sqlite_conn(base);
    bool wait = c->log_pages >= CHECKPOINT_WAIT;
    struct err unused;
    int rc;

    /* A reader may have kept the last one from going to the end: not again for the same pages. */
    if (c->log_pages < c->log_tried)
        c->log_tried = 0; /* the log has started over */
    if (c->log_pages - c->log_tried < (idle ? CHECKPOINT_IDLE : CHECKPOINT_ANYHOW))
        return;
    if (check_place(base, &unused))
        return;
    c->log_tried = c->log_pages;
    rc = sqlite3_wal_checkpoint_v2(
        c->db, NULL, wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY) /* readers: it went as far as it could */
        return;
    (void)db_sqlite_fail(c, rc, NULL);
    (void)err_in(&base->why, "checkpoint");
    if (base->damage == DB_CONN_LOST)
        base->damage = DB_STORE_LOST; /* see the top of this file */
}

/* ---- care of the files ------------------------------------------------------------------------ */

static enum err_code driver_check(struct db_store *s, db_found_fn found, void *ctx, struct err *e)
{
    return db_sqlite_check(s->path, found, ctx, e);
}

static enum err_code driver_backup(struct db_store *s, const char *file, struct err *e)
{
    return db_sqlite_backup(s->path, file, e);
}

/* Pages that were given up stay in the file and are used first: it never shrinks, and need not. Freeing them
 * for others (auto_vacuum) would move pages about in every transaction that deletes. */
static enum err_code driver_room(struct db_conn *base, int64_t *ret_used, int64_t *ret_free,
                                 struct err *e)
{
    sqlite3 *db = sqlite_conn(base)->db;
    int64_t size = 0, pages = 0, spare = 0;
    enum err_code code = ask(db, "PRAGMA page_size", &size, e);

    if (!code)
        code = ask(db, "PRAGMA page_count", &pages, e);
    if (!code)
        code = ask(db, "PRAGMA freelist_count", &spare, e);
    if (code)
        return code;
    *ret_used = (pages > spare ? pages - spare : 0) * size;
    *ret_free = spare * size;
    return ERR_OK;
}

static enum err_code driver_replace(struct db_store *s, struct db_store *from, db_fit_fn fit,
                                    void *ctx, char **ret_aside, struct err *e)
{
    if (strcmp(s->path, from->path) == 0)
        return err_set(e, ERR_INVALID, "%s is the store itself", s->path);
    return db_sqlite_replace(s->path, from->path, fit, ctx, ret_aside, e);
}

const struct db_driver db_driver_sqlite = {
    .scheme = "sqlite",
    .writers = 1,
    .batch_max = DB_BATCH_MAX,
    .open = db_sqlite_open,
    .close = db_sqlite_close,
    .name = db_sqlite_name,
    .size = db_sqlite_size,
    .connect = driver_connect,
    .disconnect = driver_disconnect,
    .begin = driver_begin,
    .commit = driver_commit,
    .rollback = driver_rollback,
    .savepoint = driver_savepoint,
    .savepoint_forget = driver_savepoint_forget,
    .savepoint_back = driver_savepoint_back,
    .changes = driver_changes,
    .script = db_sqlite_script,
    .run = db_sqlite_run,
    .query = db_sqlite_query,
    .next = db_sqlite_next,
    .column_int = db_sqlite_column_int,
    .column_text = db_sqlite_column_text,
    .column_is_null = db_sqlite_column_is_null,
    .rows_end = db_sqlite_rows_end,
    .upkeep = driver_upkeep,
    .check = driver_check,
    .locks = db_sqlite_locks,
    .backup = driver_backup,
    .replace = driver_replace,
    .room = driver_room,
};
