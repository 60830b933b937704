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
 *     themselves and synced (rewrite_log), so that what is read is what is on disk.
 */
#include "db_driver.h"
#include "db_sqlite.h"
#include "db_sqlite_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Statements kept per connection; the program has about a hundred. A power of two. */
#define KEPT_MAX  256
#define KEPT_STEP 8 /* places where a statement may stand */

struct db_store {
    char *path; /* absolute */
    char *log_path;
    bool read_only;
    int lock_fd; /* -1: none */
    sqlite3 *anchor;
};

struct statement {
    struct db_rows rows; /* first: db.c knows it by this */
    struct sqlite_conn *conn;
    sqlite3_stmt *st;
    const char *sql; /* the literal's address is the key */
    int n_params;
    bool reads_only;
    bool
        changes_rows; /* INSERT, UPDATE, DELETE: sqlite3_changes counts; else CREATE and the like */
    bool busy;        /* between db_query and db_rows_end */
    bool kept;        /* belongs to the table of its connection */
    bool stepped;     /* the first row is there before db_next asked for it */
    bool ended;       /* the last row was read, or one could not be: */
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
    struct statement *kept[KEPT_MAX];
};

static struct sqlite_conn *sqlite_conn(struct db_conn *c)
{
    return (struct sqlite_conn *)c;
}

static struct statement *statement(struct db_rows *rows)
{
    return (struct statement *)rows;
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

/* explain(), and the connection remembers what of it goes beyond one statement. */
static enum err_code fail(struct sqlite_conn *c, int rc, struct err *e)
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

/* ---- the files -------------------------------------------------------------------------------- */

/* What errno says of the file called name. */
static enum err_code os_error(const char *name, struct err *e)
{
    enum err_code code = errno == ENOMEM ? ERR_NOMEM : errno == ENOSPC ? ERR_AGAIN : ERR_IO;

    return err_set(e, code, "%s: %s", name, strerror(errno));
}

static char *join(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    char *s = malloc(na + nb + 1);

    if (s) {
        memcpy(s, a, na);
        memcpy(s + na, b, nb + 1);
    }
    return s;
}

/* The absolute name of the database file, links resolved, so that one file has one lock file. */
static enum err_code find_path(const char *name, bool read_only, char **ret, struct err *e)
{
    AUTO(auto_free) char *whole = realpath(name, NULL);
    AUTO(auto_free) char *folder = NULL;
    AUTO(auto_free) char *parent = NULL;
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    struct stat st;

    if (whole) {
        if (stat(whole, &st) == 0 && !S_ISREG(st.st_mode))
            return err_set(e, ERR_INVALID, "%s is not a file", name);
        *ret = whole;
        whole = NULL;
        return ERR_OK;
    }
    if (errno != ENOENT && errno != ENOTDIR)
        return os_error(name, e);
    if (lstat(name, &st) == 0)
        return err_set(e, ERR_IO, "%s is a link to a file that does not exist", name);
    folder = slash ? strndup(name, slash == name ? 1 : (size_t)(slash - name)) : strdup(".");
    if (!folder)
        return err_set(e, ERR_NOMEM, "out of memory");
    parent = realpath(folder, NULL);
    if (!parent)
        return os_error(folder, e);
    if (read_only)
        return err_set(e, ERR_NOT_FOUND, "%s does not exist", name);
    if (asprintf(ret, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, base) < 0) {
        *ret = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

/* Open file description locks: unlike those of lockf(3) they do not vanish when somebody in this
 * process opens and closes the file, and they also keep this process from serving a file twice. */
static enum err_code take_lock(struct db_store *s, struct err *e)
{
    AUTO(auto_free) char *name = join(s->path, ".lock");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char pid[24] = "";
    ssize_t n;
    int len;

    if (!name)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return os_error(name, e);
    if (fcntl(s->lock_fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES)
            return os_error(name, e);
        n = pread(s->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';
        return err_set(e, ERR_CONFLICT, "process %s serves it already (it holds %s)",
                       pid[0] ? pid : "(unknown)", name);
    }
    len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)len, 0) != len) {
        /* The number is for people; the lock holds without it, also on a full disk. */
    }
    return ERR_OK;
}

/* SQLite would create it for everybody to read; its log and -shm file take its mode over. Only a file
 * that nobody has open yet is opened and closed here: closing drops a process's locks on a file. */
static enum err_code create_private(struct db_store *s, struct err *e)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0)
        (void)close(fd); /* nothing was written */
    else if (errno != EEXIST)
        return os_error(s->path, e);
    return ERR_OK;
}

static int64_t file_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* See the top of this file. A log has at most some tens of MiB. */
static enum err_code rewrite_log(struct db_store *s, struct err *e)
{
    enum { CHUNK = 64 * 1024 }; /* SQLite's own layer takes less than 128 KiB at once */
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    AUTO(auto_free) sqlite3_file *f = calloc(1, (size_t)vfs->szOsFile);
    AUTO(auto_free) char *bytes = malloc(CHUNK);
    int64_t at = 0, size = file_size(s->log_path);
    sqlite3_filename name;
    int rc;

    if (size == 0)
        return ERR_OK;
    name = sqlite3_create_filename(s->log_path, "", "", 0, NULL);
    if (!f || !bytes || !name) {
        sqlite3_free_filename(name);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    rc = vfs->xOpen(vfs, name, f, SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE, NULL);
    while (!rc && at < size) {
        int n = size - at < CHUNK ? (int)(size - at) : CHUNK;

        rc = f->pMethods->xRead(f, bytes, n, at);
        if (!rc)
            rc = f->pMethods->xWrite(f, bytes, n, at);
        at += n;
    }
    if (!rc)
        rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    if (f->pMethods)
        (void)f->pMethods->xClose(f); /* synced, or an error already */
    sqlite3_free_filename(name);
    if (!rc)
        return ERR_OK;
    (void)explain(NULL, rc, NULL, e);
    return err_in(e, "write its log again");
}

/* ---- a store ---------------------------------------------------------------------------------- */

static void driver_close(struct db_store *s)
{
    (void)sqlite3_close(s->anchor); /* NULL is fine; it reads nothing, so nothing can fail */
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd); /* lets the lock go; the file stays, for removing it would race */
    free(s->path);
    free(s->log_path);
    free(s);
}

static void store_freep(struct db_store **s)
{
    if (*s)
        driver_close(*s);
}

/* Its bookkeeping of memory takes one lock for all threads; and each connection would begin with room for twenty
 * pages, used or not. Too late is no fault: the process was then started by somebody who set SQLite up before. */
static void set_up_sqlite(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

static enum err_code driver_open(const char *rest, const char *password, bool read_only,
                                 struct db_store **ret, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    AUTO(store_freep) struct db_store *s = NULL;
    enum err_code code;

    if (password)
        return err_set(e, ERR_INVALID, "SQLite takes no password");
    if (!*rest || *rest == ':')
        return err_set(e, ERR_INVALID, "a file is named, as in sqlite:cordon.db");
    if (strncmp(rest, "//", 2) == 0)
        return err_set(e, ERR_INVALID, "no host is named: sqlite:cordon.db or sqlite:/a/path");
    (void)pthread_once(&once, set_up_sqlite);
    s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->lock_fd = -1;
    s->read_only = read_only;
    if ((code = find_path(rest, read_only, &s->path, e)))
        return code;
    s->log_path = join(s->path, "-wal");
    if (!s->log_path)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!read_only && ((code = take_lock(s, e)) || (code = create_private(s, e))))
        return code;
    *ret = s;
    s = NULL;
    return ERR_OK;
}

static const char *driver_name(struct db_store *s)
{
    return s->path;
}

static int64_t driver_size(struct db_store *s)
{
    return file_size(s->path) + file_size(s->log_path);
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

static void driver_disconnect(struct db_conn *base)
{
    struct sqlite_conn *c = sqlite_conn(base);
    int rc;

    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (c->kept[i]) {
            assert(!c->kept[i]->busy);
            (void)sqlite3_finalize(c->kept[i]->st); /* repeats what its last run returned */
            free(c->kept[i]);
        }
    }
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

extern const struct db_driver db_driver_sqlite;

static enum err_code driver_connect(struct db_store *s, enum db_role role, struct db_conn **ret,
                                    struct err *e)
{
    AUTO(conn_freep) struct sqlite_conn *c = NULL;
    bool new = false;
    enum err_code code;

    if (role == DB_WRITER && !s->anchor && (code = rewrite_log(s, e)))
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

/* ---- statements ------------------------------------------------------------------------------- */

/* Does it begin with a word for changing rows? (WITH stands before one of them.) */
static bool is_change_of_rows(const char *sql)
{
    static const char *const words[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"};

    sql += strspn(sql, " \t\r\n");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncasecmp(sql, words[i], strlen(words[i])) == 0)
            return true;
    }
    return false;
}

/* $1 is a name to SQLite, numbered by its first use: they have to stand in order. */
static enum err_code check_params(const struct statement *s, struct err *e)
{
    for (int i = 1; i <= s->n_params; i++) {
        const char *name = sqlite3_bind_parameter_name(s->st, i);
        char expected[16];

        (void)snprintf(expected, sizeof expected, "$%d", i);
        if (!name || strcmp(name, expected) != 0)
            return err_set(e, ERR_INVALID, "parameter %d is not %s: %s", i, expected, s->sql);
    }
    return ERR_OK;
}

static void drop_statement(struct statement *s)
{
    (void)sqlite3_finalize(s->st); /* repeats what its last run returned */
    free(s);
}

static enum err_code prepare(struct sqlite_conn *c, const char *sql, struct statement **ret,
                             struct err *e)
{
    struct statement *s = calloc(1, sizeof *s);
    const char *tail = "";
    enum err_code code;
    int rc;

    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, &tail);
    if (rc || !s->st) {
        free(s);
        if (!rc)
            return err_set(e, ERR_INVALID, "an empty statement");
        code = fail(c, rc, e);
        (void)err_in(e, "%s", sql);
        return code;
    }
    s->rows.driver = &db_driver_sqlite;
    s->conn = c;
    s->sql = sql;
    s->n_params = sqlite3_bind_parameter_count(s->st);
    s->reads_only = sqlite3_stmt_readonly(s->st);
    s->changes_rows = !s->reads_only && is_change_of_rows(sql);
    code = check_params(s, e);
    if (!code && tail[strspn(tail, " \t\r\n;")])
        code = err_set(e, ERR_INVALID, "more than one statement: %s", sql);
    if (!code && !s->reads_only && c->role == DB_READER)
        code = err_set(e, ERR_INVALID, "a change inside db_read: %s", sql);
    if (code) {
        drop_statement(s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

/* The kept statement of this literal, or a new one, which is kept unless its place is in use. */
static enum err_code find_statement(struct sqlite_conn *c, const char *sql, struct statement **ret,
                                    struct err *e)
{
    /* Literals lie side by side, so the low bits differ; the factor (2^64 / the golden ratio) mixes. */
    size_t home = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    struct statement **place = &c->kept[home % KEPT_MAX];
    enum err_code code;

    for (size_t i = 0; i < KEPT_STEP; i++) {
        struct statement **at = &c->kept[(home + i) % KEPT_MAX];

        if (!*at || ((*at)->sql == sql && !(*at)->busy)) {
            place = at;
            break;
        }
    }
    if (*place && (*place)->sql == sql && !(*place)->busy &&
        strcmp(sqlite3_sql((*place)->st), sql) == 0) { /* else no literal: the text has changed */
        *ret = *place;
        return ERR_OK;
    }
    if ((code = prepare(c, sql, ret, e)))
        return code;
    if (!*place || !(*place)->busy) {
        if (*place)
            drop_statement(*place);
        (*ret)->kept = true;
        *place = *ret;
    }
    return ERR_OK;
}

static enum err_code bind(struct statement *s, const struct db_value *values, size_t n,
                          sqlite3_destructor_type texts, struct err *e)
{
    int rc = SQLITE_OK;

    if (n != (size_t)s->n_params)
        return err_set(e, ERR_INVALID, "%zu values for %d parameters: %s", n, s->n_params, s->sql);
    for (int i = 0; i < s->n_params && !rc; i++) {
        switch (values[i].type) {
        case DB_INT:
            rc = sqlite3_bind_int64(s->st, i + 1, values[i].number);
            break;
        case DB_TEXT:
            rc = sqlite3_bind_text64(s->st, i + 1, values[i].text, strlen(values[i].text), texts,
                                     SQLITE_UTF8);
            break;
        default:
            rc = sqlite3_bind_null(s->st, i + 1);
        }
    }
    return rc ? fail(s->conn, rc, e) : ERR_OK;
}

static void finish(struct statement *s)
{
    (void)sqlite3_reset(s->st); /* repeats what the last step returned */
    s->busy = false;
    if (!s->kept)
        drop_statement(s);
}

static enum err_code driver_run(struct db_conn *base, const char *sql,
                                const struct db_value *values, size_t n, int64_t *ret_changed,
                                struct err *e)
{
    struct sqlite_conn *c = sqlite_conn(base);
    struct statement *s = NULL;
    int64_t before = sqlite3_total_changes64(c->db);
    enum err_code code = find_statement(c, sql, &s, e);
    int rc;

    if (code)
        return code;
    /* The texts need not be copied: they outlive the step, and a next one binds anew. */
    if ((code = bind(s, values, n, SQLITE_STATIC, e))) {
        finish(s);
        return code;
    }
    rc = sqlite3_step(s->st);
    if (!s->reads_only && !s->changes_rows)
        c->other_changes++;
    if (rc == SQLITE_ROW)
        code = err_set(e, ERR_INVALID, "it yields rows, so db_query is the call: %s", sql);
    else if (rc != SQLITE_DONE)
        code = fail(c, rc, e);
    else if (ret_changed) /* sqlite3_changes is about an earlier statement when this had none */
        *ret_changed = sqlite3_total_changes64(c->db) != before ? sqlite3_changes64(c->db) : 0;
    finish(s);
    return code;
}

static enum err_code driver_rows_end(struct db_rows *rows, struct err *e)
{
    struct statement *s = statement(rows);
    enum err_code code = s->failed;

    if (code && e)
        *e = s->why;
    (void)sqlite3_reset(s->st); /* before its texts go */
    (void)sqlite3_clear_bindings(
        s->st); /* cannot fail; a large text is not held until the next use */
    finish(s);
    return code;
}

/* Steps to the next row; keeps what went wrong for driver_rows_end. */
static bool step(struct statement *s)
{
    int rc = sqlite3_step(s->st);

    if (!s->reads_only && !s->changes_rows)
        s->conn->other_changes++;
    if (rc == SQLITE_ROW)
        return true;
    s->ended = true;
    if (rc != SQLITE_DONE)
        s->failed = fail(s->conn, rc, &s->why);
    return false;
}

static enum err_code driver_query(struct db_conn *base, const char *sql,
                                  const struct db_value *values, size_t n, struct db_rows **ret,
                                  struct err *e)
{
    struct statement *s = NULL;
    enum err_code code = find_statement(sqlite_conn(base), sql, &s, e);

    if (code)
        return code;
    if ((code = bind(s, values, n, SQLITE_TRANSIENT, e))) {
        finish(s);
        return code;
    }
    s->busy = true;
    s->ended = false;
    s->stepped = false;
    s->failed = ERR_OK;
    if (!s->reads_only) { /* RETURNING: all changes are made now, whether or not its rows are read */
        s->stepped = step(s);
        if (s->failed)
            return driver_rows_end(&s->rows, e);
    }
    *ret = &s->rows;
    return ERR_OK;
}

static bool driver_next(struct db_rows *rows)
{
    struct statement *s = statement(rows);

    if (s->stepped) {
        s->stepped = false;
        return true;
    }
    return !s->ended && step(s); /* SQLite would start an ended one again */
}

static int64_t driver_column_int(struct db_rows *rows, int column)
{
    return sqlite3_column_int64(statement(rows)->st, column);
}

static bool driver_column_is_null(struct db_rows *rows, int column)
{
    return sqlite3_column_type(statement(rows)->st, column) == SQLITE_NULL;
}

static const char *driver_column_text(struct db_rows *rows, int column)
{
    struct statement *s = statement(rows);
    const char *text;

    if (sqlite3_column_type(s->st, column) == SQLITE_NULL)
        return NULL;
    text = (const char *)sqlite3_column_text(s->st, column);
    if (!text && !s->failed) /* not taken for an SQL NULL: db_rows_end says so */
        s->failed = fail(s->conn, SQLITE_NOMEM, &s->why);
    return text;
}

static enum err_code driver_script(struct db_conn *base, const char *sql, struct err *e)
{
    struct sqlite_conn *c = sqlite_conn(base);
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

    c->other_changes++;
    return rc ? fail(c, rc, e) : ERR_OK;
}

/* ---- transactions ----------------------------------------------------------------------------- */

static enum err_code control(struct db_conn *base, const char *sql, const char *what, struct err *e)
{
    enum err_code code = driver_run(base, sql, NULL, 0, NULL, e);

    if (code) {
        if (base->damage)
            (void)err_in(&base->why, "%s", what);
        (void)err_in(e, "%s", what);
    }
    return code;
}

static enum err_code driver_begin(struct db_conn *base, bool loose, struct err *e)
{
    (void)loose; /* nobody else writes */
    if (sqlite_conn(base)->role == DB_READER)
        return control(base, "BEGIN", "begin", e);
    return control(base, "BEGIN IMMEDIATE", "begin", e);
}

static void driver_rollback(struct db_conn *base)
{
    struct sqlite_conn *c = sqlite_conn(base);
    struct err e;

    if (sqlite3_get_autocommit(c->db)) /* an error has rolled back already */
        return;
    if (driver_run(base, "ROLLBACK", NULL, 0, NULL, &e) && base->damage < DB_CONN_LOST) {
        base->damage = DB_CONN_LOST; /* closing rolls back */
        base->why = e;
    }
}

static enum err_code driver_commit(struct db_conn *base, struct err *e)
{
    enum err_code code = control(base, "COMMIT", "commit", e);

    if (code)
        driver_rollback(base);
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
    int rc;

    /* A reader may have kept the last one from going to the end: not again for the same pages. */
    if (c->log_pages < c->log_tried)
        c->log_tried = 0; /* the log has started over */
    if (c->log_pages - c->log_tried < (idle ? CHECKPOINT_IDLE : CHECKPOINT_ANYHOW))
        return;
    c->log_tried = c->log_pages;
    rc = sqlite3_wal_checkpoint_v2(
        c->db, NULL, wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY) /* readers: it went as far as it could */
        return;
    (void)fail(c, rc, NULL);
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

static enum err_code driver_replace(struct db_store *s, struct db_store *from, char **ret_aside,
                                    struct err *e)
{
    if (strcmp(s->path, from->path) == 0)
        return err_set(e, ERR_INVALID, "%s is the store itself", s->path);
    return db_sqlite_replace(s->path, from->path, ret_aside, e);
}

const struct db_driver db_driver_sqlite = {
    .scheme = "sqlite",
    .writers = 1,
    .batch_max = DB_BATCH_MAX,
    .open = driver_open,
    .close = driver_close,
    .name = driver_name,
    .size = driver_size,
    .connect = driver_connect,
    .disconnect = driver_disconnect,
    .begin = driver_begin,
    .commit = driver_commit,
    .rollback = driver_rollback,
    .savepoint = driver_savepoint,
    .savepoint_forget = driver_savepoint_forget,
    .savepoint_back = driver_savepoint_back,
    .changes = driver_changes,
    .script = driver_script,
    .run = driver_run,
    .query = driver_query,
    .next = driver_next,
    .column_int = driver_column_int,
    .column_text = driver_column_text,
    .column_is_null = driver_column_is_null,
    .rows_end = driver_rows_end,
    .upkeep = driver_upkeep,
    .check = driver_check,
    .locks = db_sqlite_locks,
    .backup = driver_backup,
    .replace = driver_replace,
    .room = driver_room,
};
