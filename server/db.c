/* db.c - see db.h: what every engine has in common. The url picks the driver (db_list.h); writes go
 * to the group (db_group.c); reads borrow a connection from the pool here, in the caller's thread.
 *
 * The pool is a stack: under light load the same connection is used again and again, so that one set
 * of prepared statements and one page cache is warm and the others cost nothing.
 */
#include "db.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "db_driver.h"
#include "db_group.h"

/* Readers at the same time; the next waits for one of them. Reads are short (a page of a list, a row
 * by its key), and each connection costs about 150 KiB. */
#define READERS_MAX 4

/* A page is many reads, and who asks for one waits until the one before has its answer. Where a new connection is waited for so
 * long in vain, the reads of the next moment are told the same at once. */
#define AWAY_MS     SECOND_MS
#define AWAY_FOR_MS (2 * SECOND_MS)

/* Between two tries to listen, when the connection was lost. */
#define LISTEN_AGAIN_MS 1000

struct db {
    const struct db_driver *driver;
    struct db_store *store;
    struct db_group *group; /* NULL when read-only */

    pthread_t listener;
    bool listens;
    int wake_fd; /* ends the listener */
    void (*hinted)(void *ctx);
    void *hinted_ctx;

    pthread_mutex_t lock; /* of the pool: all below */
    pthread_cond_t change;
    struct db_conn *idle[READERS_MAX];
    int n_idle;
    int n_lent;         /* connections that a reader has, or is opening */
    bool quiet;         /* the group reopens everything: nobody may read meanwhile */
    int64_t away_until; /* mono ms */
    struct err away;    /* why, until then */
};

#define DB_DRIVER(x) extern const struct db_driver db_driver_##x;
#include "db_list.h"
#undef DB_DRIVER
static const struct db_driver *const drivers[] = {
#define DB_DRIVER(x) &db_driver_##x,
#include "db_list.h"
#undef DB_DRIVER
};

/* ---- statements, inside a closure ------------------------------------------------------------- */

/* Reads the arguments as types says; refuses what no driver could take. */
static enum err_code read_values(struct db_value *values, size_t *ret_n, const char *sql,
                                 const char *types, va_list ap, struct err *e)
{
    size_t n;

    for (n = 0; types[n]; n++) {
        struct db_value *v = &values[n];

        if (n == DB_PARAMS_MAX)
            return err_set(e, ERR_INVALID, "more than %d parameters: %s", DB_PARAMS_MAX, sql);
        switch (types[n]) {
        case 'i':
            *v = (struct db_value){.type = DB_INT, .number = va_arg(ap, int64_t)};
            break;
        case 't':
            *v = (struct db_value){.text = va_arg(ap, const char *)};
            v->type = v->text ? DB_TEXT : DB_NULL;
            break;
        default:
            return err_set(e, ERR_INVALID, "'%c' is no type of a parameter: %s", types[n], sql);
        }
    }
    *ret_n = n;
    return ERR_OK;
}

enum err_code db_run(struct db_tx *tx, struct err *e, int64_t *ret_changed, const char *sql,
                     const char *types, ...)
{
    struct db_value values[DB_PARAMS_MAX];
    size_t n = 0;
    va_list ap;
    enum err_code code;

    va_start(ap, types);
    code = read_values(values, &n, sql, types, ap, e);
    va_end(ap);
    return code ? code : tx->conn->driver->run(tx->conn, sql, values, n, ret_changed, e);
}

enum err_code db_query(struct db_tx *tx, struct err *e, struct db_rows **ret, const char *sql,
                       const char *types, ...)
{
    va_list ap;
    enum err_code code;

    va_start(ap, types);
    code = db_query_v(tx, e, ret, sql, types, ap);
    va_end(ap);
    return code;
}

enum err_code db_query_v(struct db_tx *tx, struct err *e, struct db_rows **ret, const char *sql,
                         const char *types, va_list ap)
{
    struct db_value values[DB_PARAMS_MAX];
    size_t n = 0;
    enum err_code code = read_values(values, &n, sql, types, ap, e);

    if (code || (code = tx->conn->driver->query(tx->conn, sql, values, n, ret, e)))
        return code;
    (*ret)->tx = tx;
    tx->rows_open++;
    return ERR_OK;
}

bool db_next(struct db_rows *rows)
{
    return rows->driver->next(rows);
}

int64_t db_int(struct db_rows *rows, int column)
{
    return rows->driver->column_int(rows, column);
}

const char *db_text(struct db_rows *rows, int column)
{
    return rows->driver->column_text(rows, column);
}

bool db_is_null(struct db_rows *rows, int column)
{
    return rows->driver->column_is_null(rows, column);
}

enum err_code db_rows_end(struct db_rows *rows, struct err *e)
{
    rows->tx->rows_open--;
    return rows->driver->rows_end(rows, e);
}

/* ---- the schema ------------------------------------------------------------------------------- */

/* One row per step that was taken; `applied` is wall clock milliseconds, for people. */
#define SCHEMA_TABLE                                                                               \
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied INTEGER NOT NULL)"
#define SCHEMA_PROBE "UPDATE schema_version SET applied = applied WHERE version = 0"

/* The highest step taken; the table has to be there. */
static enum err_code schema_version(struct db_tx *tx, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT coalesce(max(version), 0) FROM schema_version", "");
    int64_t version = 0;

    if (code)
        return code;
    if (db_next(rows))
        version = db_int(rows, 0);
    code = db_rows_end(rows, e);
    if (!code)
        *ret = version;
    return code;
}

static enum err_code newer_schema(int64_t has, int known, struct err *e)
{
    return err_set(e, ERR_REFUSED, "it has schema %lld, this program knows %d: run a newer cordon",
                   (long long)has, known);
}

/* Number of steps; they count up from 1. */
static int count_steps(const struct db_migration *steps)
{
    int n = 0;

    while (steps && steps[n].sql) {
        assert(steps[n].version == n + 1);
        n++;
    }
    return n;
}

/* Inside a transaction: takes the steps that were not taken yet. */
static enum err_code take_steps(struct db_tx *tx, const struct db_migration *steps, int n,
                                struct err *e)
{
    const struct db_driver *d = tx->conn->driver;
    int64_t has = 0, now = clock_wall_ms(clock_system());
    enum err_code code = d->lock_schema ? d->lock_schema(tx->conn, e) : ERR_OK;

    if (!code)
        code = d->script(tx->conn, SCHEMA_TABLE, e);
    /* Row 0 says that the table is there; it is what the probe of db_group.c writes. */
    if (!code)
        code = db_run(tx, e, NULL,
                      "INSERT INTO schema_version (version, applied) VALUES (0, $1)"
                      " ON CONFLICT (version) DO NOTHING",
                      "i", now);
    if (!code)
        code = schema_version(tx, &has, e);
    if (!code && has > n)
        return newer_schema(has, n, e);
    if (!code && has < n && d->shut_writers_out)
        code = d->shut_writers_out(tx->conn, e);
    for (; !code && has < n; has++) {
        if ((code = d->script(tx->conn, steps[has].sql, e)))
            return err_in(e, "migration to schema %d", steps[has].version);
        code = db_run(tx, e, NULL, "INSERT INTO schema_version (version, applied) VALUES ($1, $2)",
                      "ii", (int64_t)steps[has].version, now);
    }
    return code;
}

/* All steps in one transaction: a start either brings the schema up to date or leaves it as the older program
 * knows it; and a new database waits for the disk once, not once per step. */
static enum err_code migrate(struct db_conn *c, const struct db_migration *steps, struct err *e)
{
    struct db_tx tx = {.conn = c};
    enum err_code code = c->driver->begin(c, false, e);

    if (code)
        return code;
    code = take_steps(&tx, steps, count_steps(steps), e);
    if (code) {
        c->driver->rollback(c);
        return code;
    }
    return c->driver->commit(c, e);
}

struct schema_check {
    int known, needed;
};

static enum err_code check_schema(struct db_tx *tx, void *arg, struct err *e)
{
    const struct schema_check *check = arg;
    int64_t has = 0;
    enum err_code code = schema_version(tx, &has, e);

    if (code || (has >= check->needed && has <= check->known))
        return code;
    if (has > check->known)
        return newer_schema(has, check->known, e);
    return err_set(e, ERR_REFUSED,
                   "it has schema %lld, this program needs %d: start the server once to migrate it",
                   (long long)has, check->needed);
}

/* ---- the pool of readers ---------------------------------------------------------------------- */

/* For a place that is taken already. */
static enum err_code connect_reader(struct db *db, struct db_conn **ret, struct err *e)
{
    int64_t began = clock_mono_ms(clock_system()), now;
    enum err_code code = ERR_OK;

    (void)pthread_mutex_lock(&db->lock);
    if (began < db->away_until) {
        *e = db->away;
        code = e->code;
    }
    (void)pthread_mutex_unlock(&db->lock);
    if (code || !(code = db->driver->connect(db->store, DB_READER, ret, e)))
        return code;
    now = clock_mono_ms(clock_system());
    if (now - began >= AWAY_MS) {
        (void)pthread_mutex_lock(&db->lock);
        db->away_until = now + AWAY_FOR_MS;
        db->away = *e;
        (void)pthread_mutex_unlock(&db->lock);
    }
    return code;
}

static enum err_code borrow(struct db *db, struct db_conn **ret, struct err *e)
{
    struct db_conn *c = NULL;
    enum err_code code;

    (void)pthread_mutex_lock(&db->lock);
    while (db->quiet || db->n_lent == READERS_MAX)
        (void)pthread_cond_wait(&db->change, &db->lock);
    db->n_lent++;
    if (db->n_idle > 0)
        c = db->idle[--db->n_idle];
    (void)pthread_mutex_unlock(&db->lock);
    if (!c && (code = connect_reader(db, &c, e))) {
        (void)pthread_mutex_lock(&db->lock);
        db->n_lent--;
        (void)pthread_cond_broadcast(&db->change);
        (void)pthread_mutex_unlock(&db->lock);
        return code;
    }
    *ret = c;
    return ERR_OK;
}

static void give_back(struct db *db, struct db_conn *c)
{
    if (c->damage >= DB_CONN_LOST) {
        db->driver->disconnect(c);
        c = NULL;
    } else {
        c->damage = DB_SOUND;
    }
    (void)pthread_mutex_lock(&db->lock);
    db->n_lent--;
    if (c)
        db->idle[db->n_idle++] = c;
    (void)pthread_cond_broadcast(&db->change);
    (void)pthread_mutex_unlock(&db->lock);
}

static void drop_idle_locked(struct db *db)
{
    while (db->n_idle > 0)
        db->driver->disconnect(db->idle[--db->n_idle]);
}

/* For the group: ends all reading, and all connections that read, until resume. */
static void quiesce(void *ctx)
{
    struct db *db = ctx;

    (void)pthread_mutex_lock(&db->lock);
    db->quiet = true;
    while (db->n_lent > 0)
        (void)pthread_cond_wait(&db->change, &db->lock);
    drop_idle_locked(db);
    (void)pthread_mutex_unlock(&db->lock);
}

static void resume(void *ctx)
{
    struct db *db = ctx;

    (void)pthread_mutex_lock(&db->lock);
    db->quiet = false;
    (void)pthread_cond_broadcast(&db->change);
    (void)pthread_mutex_unlock(&db->lock);
}

static bool is_lost(const struct db_conn *c)
{
    return c->damage >= DB_CONN_LOST;
}

/* One run of fn on a connection of the pool. *ret_stale: it turned out to be lost, as may others. */
static enum err_code read_once(struct db *db, db_fn fn, void *arg, bool *ret_stale, struct err *e)
{
    struct db_conn *c = NULL;
    struct db_tx tx = {0};
    enum err_code code = borrow(db, &c, e);

    if (code)
        return code;
    tx.conn = c;
    code = db->driver->begin(c, false, e);
    if (!code) {
        e->code = ERR_OK;
        code = fn(&tx, arg, e);
        assert(tx.rows_open == 0); /* every db_query has its db_rows_end */
        if (code && e->code != code)
            err_set(e, code, "%s", err_name(code)); /* it gave a code without a sentence */
        db->driver->rollback(c);
    }
    *ret_stale = code && is_lost(c);
    give_back(db, c);
    return code;
}

enum err_code db_read(struct db *db, db_fn fn, void *arg, struct err *e)
{
    struct err own; /* closures are promised one */
    bool stale = false;
    enum err_code code;

    e = e ? e : &own;
    code = read_once(db, fn, arg, &stale, e);
    /* Where connections are lost one by one: once more on a new one. It has only read. */
    if (code && stale && db->driver->writers > 1) {
        (void)pthread_mutex_lock(&db->lock);
        drop_idle_locked(db);
        (void)pthread_mutex_unlock(&db->lock);
        code = read_once(db, fn, arg, &stale, e);
    }
    return code;
}

/* ---- hints between processes ------------------------------------------------------------------ */

void db_hint(struct db *db)
{
    if (db->driver->hint && db->group)
        db_group_hint(db->group);
}

/* Waits for a while, or until the listener is to end. True: go on. */
static bool rest_a_while(const struct db *db)
{
    struct pollfd p = {.fd = db->wake_fd, .events = POLLIN};

    return poll(&p, 1, LISTEN_AGAIN_MS) <= 0;
}

static void *listen_main(void *arg)
{
    struct db *db = arg;
    const struct db_driver *d = db->driver;
    bool go_on = true;

    (void)pthread_setname_np(pthread_self(), "db-listener");
    while (go_on) {
        struct pollfd p = {.fd = db->wake_fd, .events = POLLIN};
        struct db_conn *c = NULL;
        struct err e;
        bool hint = true; /* one may have been missed */
        enum err_code code = d->connect(db->store, DB_READER, &c, &e);

        if (!code)
            code = d->listen(c, &e);
        while (!code && (go_on = poll(&p, 1, 0) <= 0)) {
            if (hint)
                db->hinted(db->hinted_ctx);
            code = d->await_hint(c, db->wake_fd, &hint, &e);
        }
        if (c)
            d->disconnect(c);
        if (code) /* nobody is told: hints may be lost, and what uses the database says what is wrong */
            go_on = rest_a_while(db);
    }
    return NULL;
}

enum err_code db_listen(struct db *db, void (*fn)(void *ctx), void *ctx, struct err *e)
{
    sigset_t all, before;
    int rc;

    if (!db->driver->listen)
        return ERR_OK;
    assert(!db->listens);
    db->hinted = fn;
    db->hinted_ctx = ctx;
    db->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (db->wake_fd < 0)
        return err_set(e, ERR_IO, "database: no eventfd: %s", strerror(errno));
    (void)sigfillset(&all); /* signals belong to the main thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&db->listener, NULL, listen_main, db);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        (void)close(db->wake_fd);
        return err_set(e, ERR_IO, "start a database thread: %s", strerror(rc));
    }
    db->listens = true;
    return ERR_OK;
}

void db_unlisten(struct db *db)
{
    uint64_t one = 1;

    if (!db->listens)
        return;
    (void)!write(db->wake_fd, &one, sizeof one); /* an eventfd takes it */
    (void)pthread_join(db->listener, NULL);
    (void)close(db->wake_fd);
    db->listens = false;
}

/* ---- open, close, the group's calls ----------------------------------------------------------- */

/* Finds the driver; *ret_rest is what stands behind the scheme. The url may hold a password: it is
 * not repeated in the error. */
static const struct db_driver *find_driver(const char *url, const char **ret_rest, struct err *e)
{
    size_t n = strcspn(url, ":");

    for (size_t i = 0; url[n] && i < sizeof drivers / sizeof *drivers; i++) {
        if (strlen(drivers[i]->scheme) == n && memcmp(drivers[i]->scheme, url, n) == 0) {
            *ret_rest = url + n + 1;
            return drivers[i];
        }
    }
    if (url[n])
        err_set(e, ERR_INVALID,
                "no database is driven by \"%.*s:\"; try sqlite:cordon.db or"
                " postgresql://user@host/database",
                n > 40 ? 40 : (int)n, url);
    else
        err_set(e, ERR_INVALID, "a database is named by a url such as sqlite:cordon.db");
    return NULL;
}

static enum err_code open_writable(struct db *db, const struct db_options *o, struct err *e)
{
    struct db_group_options g = {
        .driver = db->driver,
        .store = db->store,
        .queue_max = o->queue_max,
        .quiesce = quiesce,
        .resume = resume,
        .ctx = db,
        .probe_sql = SCHEMA_PROBE,
    };
    struct db_conn *c = NULL;
    enum err_code code = db->driver->connect(db->store, DB_WRITER, &c, e);

    if (code)
        return code;
    code = migrate(c, o->migrations, e);
    if (!code && db->driver->know_schema)
        db->driver->know_schema(db->store, count_steps(o->migrations));
    if (!code)
        code = db_group_new(&g, c, &db->group, e);
    if (code)
        db->driver->disconnect(c);
    return code;
}

enum err_code db_open(const struct db_options *o, struct db **ret, struct err *e)
{
    AUTO(db_freep) struct db *db = NULL;
    const struct db_driver *driver;
    const char *rest = NULL;
    struct err own;
    enum err_code code;

    e = e ? e : &own;
    assert(o->queue_max > 0 || o->read_only);
    driver = find_driver(o->url, &rest, e);
    if (!driver)
        return ERR_INVALID;
    db = calloc(1, sizeof *db);
    if (!db)
        return err_set(e, ERR_NOMEM, "database: out of memory");
    db->driver = driver;
    (void)pthread_mutex_init(&db->lock, NULL);
    (void)pthread_cond_init(&db->change, NULL);

    code = driver->open(rest, o->password, o->read_only, &db->store, e);
    if (!code && o->read_only && o->migrations) {
        int known = count_steps(o->migrations);
        struct schema_check check = {.known = known, .needed = o->oldest ? o->oldest : known};

        code = db_read(db, check_schema, &check, e);
    } else if (!code && !o->read_only) {
        code = open_writable(db, o, e);
    }
    if (code) {
        (void)err_in(e, "database %s", db->store ? driver->name(db->store) : driver->scheme);
        return code;
    }
    *ret = db;
    db = NULL;
    return ERR_OK;
}

enum err_code db_locks(const char *url, struct db_locks *ret, struct err *e)
{
    const char *rest = NULL;
    const struct db_driver *driver = find_driver(url, &rest, e);

    if (!driver)
        return ERR_INVALID;
    *ret = (struct db_locks){0};
    return driver->locks ? driver->locks(rest, ret, e) : ERR_OK;
}

enum err_code db_check_url(const char *url, const char *password, struct err *e)
{
    const char *rest = NULL;
    const struct db_driver *driver = find_driver(url, &rest, e);

    if (!driver)
        return ERR_INVALID;
    return driver->check_url ? driver->check_url(rest, password, e) : ERR_OK;
}

bool db_url_is_exposed(const char *url)
{
    const char *rest = NULL;
    const struct db_driver *driver = find_driver(url, &rest, NULL);

    return driver && driver->is_exposed && driver->is_exposed(rest);
}

void db_free(struct db *db)
{
    if (!db)
        return;
    db_unlisten(db);
    quiesce(db); /* the readers first: SQLite's last connection tidies up, and only a writer can */
    db_group_free(db->group);
    if (db->store)
        db->driver->close(db->store);
    (void)pthread_cond_destroy(&db->change);
    (void)pthread_mutex_destroy(&db->lock);
    free(db);
}

static enum err_code refuse_write(struct err *e)
{
    return err_set(e, ERR_REFUSED, "the database was opened for reading only");
}

enum err_code db_write(struct db *db, db_fn fn, void *arg, struct err *e)
{
    return db->group ? db_group_write(db->group, false, fn, arg, e) : refuse_write(e);
}

enum err_code db_write_loose(struct db *db, db_fn fn, void *arg, struct err *e)
{
    return db->group ? db_group_write(db->group, true, fn, arg, e) : refuse_write(e);
}

enum err_code db_submit(struct db *db, db_fn fn, void *arg, db_done_fn done, struct err *e)
{
    return db->group ? db_group_submit(db->group, false, fn, arg, done, e) : refuse_write(e);
}

const char *db_name(const struct db *db)
{
    return db->driver->name(db->store);
}

bool db_is_shared(const struct db *db)
{
    return db->driver->writers > 1;
}

enum err_code db_health(struct db *db, struct err *e)
{
    return db->group ? db_group_health(db->group, e) : ERR_OK;
}

void db_counts(struct db *db, struct db_counts *ret)
{
    *ret = (struct db_counts){0};
    if (db->group)
        db_group_counts(db->group, ret);
    ret->size_bytes = db->driver->size(db->store);
}

/* ---- care of the files ------------------------------------------------------------------------ */

static enum err_code not_ours_to_do(const struct db_driver *d, struct err *e)
{
    return err_set(e, ERR_REFUSED, "%s: the database has tools of its own for that", d->scheme);
}

enum err_code db_check(struct db *db, db_found_fn found, void *ctx, struct err *e)
{
    return db->driver->check ? db->driver->check(db->store, found, ctx, e)
                             : not_ours_to_do(db->driver, e);
}

enum err_code db_backup(struct db *db, const char *file, struct err *e)
{
    return db->driver->backup ? db->driver->backup(db->store, file, e)
                              : not_ours_to_do(db->driver, e);
}

enum err_code db_room(struct db *db, int64_t *ret_used, int64_t *ret_free, struct err *e)
{
    struct db_conn *c = NULL;
    struct err own;
    enum err_code code;

    e = e ? e : &own;
    if (!db->driver->room) {
        *ret_used = db->driver->size(db->store);
        *ret_free = 0;
        return ERR_OK;
    }
    if ((code = borrow(db, &c, e)))
        return code;
    code = db->driver->room(c, ret_used, ret_free, e);
    give_back(db, c);
    return code;
}

enum err_code db_doubt(struct db *db, const char **ret, struct err *e)
{
    struct db_conn *c = NULL;
    enum err_code code;

    *ret = NULL;
    if (!db->driver->doubt)
        return ERR_OK;
    if ((code = borrow(db, &c, e)))
        return code;
    code = db->driver->doubt(c, ret, e);
    give_back(db, c);
    return code;
}

static void first_finding(void *ctx, const char *text)
{
    char **first = ctx;

    if (!*first)
        *first = strdup(text); /* without memory: "damaged" alone */
    if (!*first)
        *first = strdup("");
}

static enum err_code read_version(struct db_tx *tx, void *arg, struct err *e)
{
    return schema_version(tx, arg, e);
}

/* Is it a database of ours, sound, and not too new? */
static enum err_code fit_to_restore(struct db *from, const struct db_migration *migrations,
                                    struct err *e)
{
    AUTO(auto_free) char *first = NULL;
    int64_t has = 0;
    int known = count_steps(migrations);
    enum err_code code = db_check(from, first_finding, &first, e);

    if (!code && first)
        code = err_set(e, ERR_REFUSED, "it is damaged: %.200s", first);
    if (!code)
        code = db_read(from, read_version, &has, e);
    if (!code && has > known)
        code = newer_schema(has, known, e);
    return code;
}

enum err_code db_restore(const char *url, const struct db_migration *migrations, const char *file,
                         db_fit_fn fit, void *ctx, char **ret_aside, struct err *e)
{
    AUTO(auto_free) char *from_url = NULL;
    AUTO(db_freep) struct db *from = NULL;
    const char *rest = NULL;
    const struct db_driver *driver = find_driver(url, &rest, e);
    struct db_store *to = NULL;
    enum err_code code;

    if (!driver)
        return ERR_INVALID;
    if (!driver->replace)
        return not_ours_to_do(driver, e);
    if (asprintf(&from_url, "%s:%s", driver->scheme, file) < 0)
        from_url = NULL;
    if (!from_url)
        return err_set(e, ERR_NOMEM, "database: out of memory");
    code = db_open(&(struct db_options){.url = from_url, .read_only = true}, &from, e);
    if (!code)
        code = fit_to_restore(from, migrations, e);
    if (code)
        return err_in(e, "restore from %s", file);
    if ((code = driver->open(rest, NULL, false, &to, e)))
        return code;
    code = driver->replace(to, from->store, fit, ctx, ret_aside, e);
    driver->close(to);
    return code;
}
