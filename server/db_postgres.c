/* db_postgres.c - PostgreSQL behind db_driver.h, for any number of processes that share the work.
 *
 * A transaction that writes is SERIALIZABLE: its closures were written for an engine with one writer, and
 * what they count or look for before they write (room under a limit, the notice before, the open
 * isolation) must still be so when they commit. Two that cannot have run one after the other are a clash
 * (DB_TX_CLASH): db_group.c runs the batch again. A loose one (db_write_loose) is READ COMMITTED: claiming work
 * reads what all workers change, and as the slowest it lost to them for minutes. Readers get one snapshot
 * (REPEATABLE READ).
 *
 * Everything goes through libpq's pipeline (library-traps.md, PostgreSQL): what yields nothing that the
 * caller asked for (BEGIN, SAVEPOINT, a statement whose number of rows nobody wants) waits for the next one
 * that does, and shares its round trip. So a statement's error may come with a later call of its closure,
 * or with settle, which db_group.c calls before it lets a closure go.
 *
 * Three things stop a start, and a reconnection: synchronous_commit that is not on, an encoding that is not
 * UTF8, a database of another program. Two stop each transaction that writes: a clock that differs from
 * the database's, for replicas measure each other's leases with their own clocks; and a schema that a newer
 * program has made since, which counts on what it writes itself, or that is the one of before this one migrated.
 *
 * A peer that is silent is noticed: by TCP (keepalives, unacknowledged data) and, whatever it is that
 * sleeps, by a deadline for every answer. The server for its part ends statements, waits for locks and
 * transactions of a client that is silent, so that a replica that is stopped holds nothing up for long.
 */
#include "db_postgres_own.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* Migrations rewrite tables. */
#define SCRIPT_MS (10 * MINUTE_MS)
/* All senders wait meanwhile, and theirs is a patience of some seconds; idle_in_transaction is about a
 * client that is stopped. */
#define LOCK_TIMEOUT "'5s'"
#define LIMITS                                                                                     \
    "SET statement_timeout = '10s'; SET lock_timeout = " LOCK_TIMEOUT ";"                          \
    "SET idle_in_transaction_session_timeout = '10s';"

/* off alone does not wait for the disk; a stricter one than on is left as it is. Until the transaction's end: the server's
 * own setting may be another one by the next. */
#define SYNCHRONOUS                                                                                \
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off'"       \
    " THEN 'on' ELSE current_setting('synchronous_commit') END, true)"

/* What each transaction that writes asks first. */
#define TERMS "SELECT (extract(epoch FROM now()) * 1000)::bigint, " SYNCHRONOUS

/* How often the size of the database is asked for, which store.max_size is held against: when a writer idles, and else all
 * the same, for in a storm none ever does. */
#define SIZE_EVERY_MS MINUTE_MS
#define SIZE_BUSY_MS  (2 * SIZE_EVERY_MS)

#define MIGRATION_LOCK "7165001187266430022" /* one number for all cordons; pg_advisory_xact_lock */
#define CHANNEL        "cordon_work"

static struct pg_conn *pg_conn(struct db_conn *c)
{
    return (struct pg_conn *)c;
}

/* ---- a store ---------------------------------------------------------------------------------- */

static void driver_close(struct db_store *s)
{
    for (PQconninfoOption *o = s->parsed; o && o->keyword; o++)
        if (o->val)
            explicit_bzero(o->val, strlen(o->val));
    PQconninfoFree(s->parsed);
    free(s->name);
    free(s);
}

static void store_freep(struct db_store **s)
{
    if (*s)
        driver_close(*s);
}

static const char *word_of(const struct db_store *s, const char *word)
{
    for (size_t i = 0; s->words[i]; i++)
        if (strcmp(s->words[i], word) == 0)
            return s->values[i];
    return NULL;
}

/* What the url leaves open. Names: postgresql.org/docs/15/libpq-connect.html. */
static const struct {
    const char *word, *value;
} defaults[] = {
    {"application_name", "cordon"},
    {"connect_timeout", "5"},
    /* a network that is cut is noticed after about ten seconds, as an answer that does not come is */
    {"tcp_user_timeout", "10000"},
    {"keepalives_idle", "5"},
    {"keepalives_interval", "2"},
    {"keepalives_count", "3"},
    {"target_session_attrs", "read-write"}, /* of several hosts the one that can be written to */
    /* libpq's own default takes plain text from anybody who asks for it; see docs/operating.md */
    {"client_encoding", "UTF8"},
};

static void set_word(struct db_store *s, size_t *n, const char *word, const char *value)
{
    assert(*n + 1 < CONNECTION_WORDS);
    s->words[*n] = word;
    s->values[(*n)++] = value;
}

static enum err_code name_store(struct db_store *s, struct err *e)
{
    const char *user = word_of(s, "user"), *host = word_of(s, "host"), *port = word_of(s, "port");
    const char *base = word_of(s, "dbname");

    if (asprintf(&s->name, "postgresql://%s%s%s%s%s/%s", user ? user : "", user ? "@" : "",
                 host ? host : "", port ? ":" : "", port ? port : "", base ? base : "") < 0) {
        s->name = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

static enum err_code driver_open(const char *rest, const char *password, bool read_only,
                                 struct db_store **ret, struct err *e)
{
    AUTO(store_freep) struct db_store *s = calloc(1, sizeof *s);
    AUTO(auto_free) char *url = NULL;
    char *why = NULL;
    size_t n = 0;
    enum err_code code;

    if (strncmp(rest, "//", 2) != 0)
        return err_set(e, ERR_INVALID, "expected postgresql://user@host/database");
    if (!s || asprintf(&url, "postgresql:%s", rest) < 0) {
        url = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    s->parsed = PQconninfoParse(url, &why);
    PQfreemem(why); /* it quotes the url, and so perhaps the password */
    explicit_bzero(url, strlen(url));
    if (!s->parsed)
        return err_set(
            e, ERR_INVALID,
            "it cannot be read: expected postgresql://user@host:port/database?name=value, with %%XX for what is special; the names are libpq's");
    for (PQconninfoOption *o = s->parsed; o->keyword; o++)
        if (o->val)
            set_word(s, &n, o->keyword, o->val);
    if (password) {
        if (word_of(s, "password"))
            return err_set(e, ERR_INVALID, "a password in the url and one in a file");
        for (PQconninfoOption *o = s->parsed; o->keyword; o++) {
            if (strcmp(o->keyword, "password") == 0 && (o->val = strdup(password)))
                set_word(s, &n, o->keyword, o->val);
        }
        if (!word_of(s, "password"))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (!word_of(s, defaults[i].word) &&
            !(read_only && strcmp(defaults[i].word, "target_session_attrs") == 0))
            set_word(s, &n, defaults[i].word, defaults[i].value);
    s->read_only = read_only;
    atomic_store(&s->size_asked, pg_mono_ms() - SIZE_BUSY_MS);
    if ((code = name_store(s, e)))
        return code;
    *ret = s;
    s = NULL;
    return ERR_OK;
}

/* For a url that stands in a file which people read. Opening reads it and connects to nothing. */
static enum err_code driver_check_url(const char *rest, const char *password, struct err *e)
{
    AUTO(store_freep) struct db_store *s = NULL;
    enum err_code code = driver_open(rest, NULL, false, &s, e);

    (void)password;
    if (!code && word_of(s, "password"))
        return err_set(
            e, ERR_INVALID,
            "passwords do not stand in this file; put it into a file of its own and name that "
            "with store.password_file");
    return code;
}

/* A list's part: a folder of Unix sockets (or nothing: the usual one), or this host by one of its names. */
static bool is_this_host(const char *host, size_t len)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "::1"};
    bool local = !len || *host == '/' || *host == '@';

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        local = local || (strlen(names[i]) == len && strncmp(host, names[i], len) == 0);
    return local;
}

/* libpq's own default, prefer, takes plain text and any certificate; require takes any certificate. */
static bool driver_is_exposed(const char *rest)
{
    AUTO(store_freep) struct db_store *s = NULL;
    const char *mode, *host;
    bool local = true;

    if (driver_open(rest, NULL, true, &s, NULL))
        return false;
    mode = word_of(s, "sslmode");
    host = word_of(s, "hostaddr") ? word_of(s, "hostaddr") : word_of(s, "host");
    while (host && local) {
        size_t len = strcspn(host, ",");

        local = is_this_host(host, len);
        host = host[len] ? host + len + 1 : NULL;
    }
    return !local && !(mode && strncmp(mode, "verify-", 7) == 0);
}

static const char *driver_name(struct db_store *s)
{
    return s->name;
}

static int64_t driver_size(struct db_store *s)
{
    return atomic_load(&s->size);
}

/* ---- a connection ----------------------------------------------------------------------------- */

static void driver_disconnect(struct db_conn *base)
{
    struct pg_conn *c = pg_conn(base);

    for (size_t i = 0; i < PG_KEPT_MAX; i++) {
        if (c->kept[i])
            free(c->kept[i]->text);
        free(c->kept[i]);
    }
    PQfinish(c->pg);
    free(c);
}

static void conn_freep(struct pg_conn **c)
{
    if (*c)
        driver_disconnect(&(*c)->base);
}

/* The answer of a statement outside the pipeline, with a deadline; NULL and the failure when there is none. */
static PGresult *ask_plainly(struct pg_conn *c, const char *sql, int64_t wait_ms)
{
    int64_t deadline = pg_mono_ms() + wait_ms;
    PGresult *r = NULL, *next;

    if (!PQsendQuery(c->pg, sql)) {
        pg_lose(c, NULL);
        return NULL;
    }
    while (pg_wait_for_answer(c, deadline) && (next = PQgetResult(c->pg))) {
        if (PQresultStatus(next) == PGRES_FATAL_ERROR)
            pg_fail_with(c, next);
        PQclear(r);
        r = next;
    }
    if (c->failed) {
        PQclear(r);
        return NULL;
    }
    return r;
}

/* One value; ERR_OK with *ret NULL for an SQL NULL. */
static enum err_code ask(struct pg_conn *c, const char *sql, char *ret, size_t size, struct err *e)
{
    PGresult *r = ask_plainly(c, sql, PG_ANSWER_MS);

    if (!r)
        return pg_failure(c, e);
    (void)snprintf(ret, size, "%s", PQntuples(r) && PQnfields(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return ERR_OK;
}

/* Is the database ours, or empty, and does it keep what it says it has kept? */
static enum err_code check_server(struct pg_conn *c, struct err *e)
{
    char value[64];
    enum err_code code = ask(c, "SHOW server_encoding", value, sizeof value, e);

    if (!code && strcmp(value, "UTF8") != 0)
        return err_set(e, ERR_REFUSED,
                       "its encoding is %.20s: create it with ENCODING 'UTF8' TEMPLATE template0",
                       value);
    if (!code)
        code = ask(c, "SELECT " SYNCHRONOUS, value, sizeof value, e);
    if (!code && strcmp(value, "off") == 0)
        return err_set(e, ERR_REFUSED, "PostgreSQL does not take synchronous_commit=on");
    if (!code && c->role == DB_WRITER)
        code = ask(c, "SELECT current_schema()", value, sizeof value, e);
    if (!code && c->role == DB_WRITER && !value[0])
        return err_set(e, ERR_REFUSED,
                       "its user may use no schema of it: CREATE DATABASE … OWNER user");
    if (!code && c->role == DB_WRITER)
        code = ask(c,
                   "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
                   " AND to_regclass(quote_ident(current_schema()) || '.schema_version') IS NULL",
                   value, sizeof value, e);
    if (!code && c->role == DB_WRITER && strcmp(value, "0") != 0)
        return err_set(e, ERR_REFUSED, "it is the database of another program");
    return code;
}

static enum err_code explain_connect(struct pg_conn *c, struct err *e)
{
    char says[400];
    const char *why = pg_plain(c->store, PQerrorMessage(c->pg), says);

    return err_set(e, ERR_AGAIN, "cannot connect: %s", *why ? why : "no reason given");
}

/* libpq's own way with them is stderr. */
static void ignore_notice(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static enum err_code driver_connect(struct db_store *s, enum db_role role, struct db_conn **ret,
                                    struct err *e)
{
    AUTO(conn_freep) struct pg_conn *c = calloc(1, sizeof *c);
    PGresult *r;
    enum err_code code;

    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->base.driver = &db_driver_postgresql;
    c->store = s;
    c->role = role;
    c->pg = PQconnectdbParams(s->words, s->values, 0);
    if (!c->pg)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (PQstatus(c->pg) != CONNECTION_OK)
        return explain_connect(c, e);
    (void)PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
    if (PQsetnonblocking(c->pg, 1))
        return err_set(e, ERR_NOMEM, "out of memory");
    r = ask_plainly(c,
                    role == DB_WRITER ? LIMITS "SET default_transaction_isolation = 'serializable'"
                                      : LIMITS
                        "SET default_transaction_isolation = 'repeatable read';"
                        "SET default_transaction_read_only = on",
                    PG_ANSWER_MS);
    if (!r)
        return pg_failure(c, e);
    PQclear(r);
    if ((code = check_server(c, e)))
        return code;
    if (!PQenterPipelineMode(c->pg))
        return err_set(e, ERR_IO, "libpq takes no pipeline");
    *ret = &c->base;
    c = NULL;
    return ERR_OK;
}

/* ---- transactions ----------------------------------------------------------------------------- */

static void driver_rollback(struct db_conn *base)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;

    c->in_tx = false;
    if (base->damage >= DB_CONN_LOST)
        return;
    pg_collect(c, &r, PG_ANSWER_MS); /* their answers do not matter any more */
    PQclear(r);
    c->failed = false;
    if (base->damage >= DB_CONN_LOST)
        return;
    pg_queue_text(c, OP_STATEMENT, "ROLLBACK");
    pg_collect(c, NULL, PG_ANSWER_MS);
    if (c->failed)
        pg_note_damage(c, DB_CONN_LOST); /* closing rolls back */
}

static enum err_code driver_begin(struct db_conn *base, bool loose, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    struct err why = {0};

    assert(!c->in_tx && c->n_ops == 0);
    if (base->damage < DB_CONN_LOST)
        c->failed = false;
    c->in_tx = true;
    c->begun_ms = clock_wall_ms(clock_system());
    pg_queue_text(c, OP_STATEMENT, loose ? "BEGIN ISOLATION LEVEL READ COMMITTED" : "BEGIN");
    /* Held to its end (driver_shut_writers_out), and taken before its snapshot, which the first query takes: one that waited for
     * a migration sees that. */
    if (c->role == DB_WRITER && c->store->schema)
        pg_queue_text(c, OP_STATEMENT, "LOCK TABLE schema_version IN ROW SHARE MODE");
    if (c->role == DB_WRITER) {
        pg_queue_kept(c, OP_TERMS,
                      c->store->schema ? TERMS ", (SELECT max(version) FROM schema_version)"
                                       : TERMS);
        /* A round trip of its own: a connection that was lost since is noticed before any closure ran, so
         * that db_group.c can take another. */
        pg_collect(c, NULL, PG_ANSWER_MS);
    }
    if (c->failed) {
        (void)err_in(&c->failure, "begin");
        (void)pg_failure(c, &why);
        driver_rollback(base);
        return *e = why, why.code;
    }
    return ERR_OK;
}

static enum err_code driver_settle(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    pg_collect(c, NULL, PG_ANSWER_MS);
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

static enum err_code driver_commit(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;
    struct err why = {0};

    if (!c->failed)
        pg_queue_text(c, OP_STATEMENT, "COMMIT");
    pg_collect(c, &r, PG_ANSWER_MS);
    /* A transaction in which something failed "commits" by rolling back. */
    if (!c->failed && strcmp(PQcmdStatus(r), "COMMIT") != 0)
        pg_fail(c, ERR_INVALID, DB_TX_LOST, "a statement of it had failed");
    PQclear(r);
    if (c->failed) {
        (void)err_in(&c->failure, "commit");
        if (base->damage)
            base->why = c->failure;
        (void)pg_failure(c, &why);
        driver_rollback(base);
        return *e = why, why.code;
    }
    c->in_tx = false;
    return ERR_OK;
}

static enum err_code driver_savepoint(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    pg_queue_text(c, OP_STATEMENT, "SAVEPOINT closure");
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

static enum err_code driver_savepoint_forget(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    pg_queue_text(c, OP_STATEMENT, "RELEASE closure");
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

static enum err_code driver_savepoint_back(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;

    pg_collect(c, &r, PG_ANSWER_MS); /* what the closure left */
    PQclear(r);
    if (base->damage)
        return pg_failure(c, e);
    c->failed = false;
    pg_queue_text(c, OP_STATEMENT, "ROLLBACK TO closure");
    pg_queue_text(c, OP_STATEMENT, "RELEASE closure");
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

static int64_t driver_changes(struct db_conn *base)
{
    return pg_conn(base)->changes;
}

/* ---- migrations ------------------------------------------------------------------------------- */

static enum err_code driver_script(struct db_conn *base, const char *sql, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    AUTO(auto_free) char *text = pg_translate(sql);
    PGresult *r;

    if (!text)
        return err_set(e, ERR_NOMEM, "out of memory");
    pg_collect(c, NULL, PG_ANSWER_MS);
    if (c->failed)
        return pg_failure(c, e);
    if (!PQexitPipelineMode(c->pg)) {
        pg_lose(c, NULL);
        return pg_failure(c, e);
    }
    r = ask_plainly(c, text, SCRIPT_MS);
    PQclear(r);
    c->changes++;
    if (!PQenterPipelineMode(c->pg))
        pg_lose(c, NULL);
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

static void driver_know_schema(struct db_store *s, int version)
{
    s->schema = version;
}

/* Not serializable: its snapshot would be older than the wait for the lock, and see the schema as it was. */
static enum err_code driver_lock_schema(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    pg_queue_text(c, OP_STATEMENT, "ROLLBACK");
    pg_queue_text(c, OP_STATEMENT, "BEGIN ISOLATION LEVEL READ COMMITTED");
    pg_queue_text(c, OP_STATEMENT, "SET LOCAL statement_timeout = 0");
    pg_queue_text(c, OP_STATEMENT, "SET LOCAL lock_timeout = 0");
    pg_queue_text(c, OP_STATEMENT, "SELECT pg_advisory_xact_lock(" MIGRATION_LOCK ")");
    /* From here on not for long: behind who waits for a table, as until a dump of the database is done, all stand in line. */
    pg_queue_text(c, OP_STATEMENT, "SET LOCAL lock_timeout = " LOCK_TIMEOUT);
    pg_collect(c, NULL, SCRIPT_MS);
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

/* Dumps and other readers go on. */
static enum err_code driver_shut_writers_out(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    pg_queue_text(c, OP_STATEMENT, "LOCK TABLE schema_version IN EXCLUSIVE MODE");
    pg_collect(c, NULL, PG_ANSWER_MS);
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

/* ---- between transactions --------------------------------------------------------------------- */

/* The database's size, and how much of it new rows will take before it grows. What is deleted stays in the files, and of
 * plain SQL only the statistics tell how much that is: for each table of ours the part of its pages that live rows fill, by
 * their number (the larger one of the two that the server keeps: until autovacuum has seen to a table, dead rows hold their
 * place) and their mean width; a sixth more, for the pages' heads and what does not fit their ends. Its indexes and long
 * values are taken to be as full as it is. Without statistics all is in use. */
static const char sizes[] =
    "SELECT pg_database_size(current_database()), coalesce(sum(CASE WHEN main > 0 AND live < main"
    " THEN total * (1 - live / main) ELSE 0 END), 0)::bigint FROM (SELECT"
    " pg_relation_size(c.oid)::float8 AS main, pg_total_relation_size(c.oid)::float8 AS total,"
    " greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)) * 7 / 6"
    " * (28 + (SELECT sum(avg_width * (1 - null_frac)) FROM pg_stats"
    " WHERE schemaname = current_schema() AND tablename = c.relname)) AS live FROM pg_class c"
    " WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace) tables";

static void driver_upkeep(struct db_conn *base, bool idle)
{
    struct pg_conn *c = pg_conn(base);
    int64_t now = pg_mono_ms(), asked = atomic_load(&c->store->size_asked);
    PGresult *r = NULL;

    if (now - asked < (idle ? SIZE_EVERY_MS : SIZE_BUSY_MS) ||
        !atomic_compare_exchange_strong(&c->store->size_asked, &asked, now))
        return;
    c->failed = false;
    pg_queue_text(c, OP_STATEMENT, sizes);
    pg_collect(c, &r, PG_ANSWER_MS);
    if (!c->failed && PQntuples(r) == 1) {
        atomic_store(&c->store->spare, strtoll(PQgetvalue(r, 0, 1), NULL, 10));
        atomic_store(&c->store->size, strtoll(PQgetvalue(r, 0, 0), NULL, 10));
    }
    PQclear(r);
}

static enum err_code driver_room(struct db_conn *base, int64_t *ret_used, int64_t *ret_free,
                                 struct err *e)
{
    struct db_store *s = pg_conn(base)->store;
    int64_t size = atomic_load(&s->size), spare = atomic_load(&s->spare);

    if (!size) /* no database is that small */
        return err_set(e, ERR_AGAIN, "nobody has asked yet how large it is");
    *ret_used = size > spare ? size - spare : 0;
    *ret_free = spare;
    return ERR_OK;
}

/* synchronous_commit is a session's own to turn on; this is not. */
static enum err_code driver_doubt(struct db_conn *base, const char **ret, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;

    *ret = NULL;
    c->failed = false;
    pg_queue_text(c, OP_STATEMENT, "SHOW fsync");
    pg_collect(c, &r, PG_ANSWER_MS);
    if (!c->failed && PQntuples(r) == 1 && strcmp(PQgetvalue(r, 0, 0), "off") == 0)
        *ret =
            "PostgreSQL runs with fsync=off: what was accepted is lost when its host loses power";
    PQclear(r);
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

/* Not part of a transaction that writes: NOTIFY holds one lock for all of the database's until its
 * transaction is on disk, and commits would stand in line. */
static void driver_hint(struct db_conn *base)
{
    struct pg_conn *c = pg_conn(base);

    c->failed = false;
    pg_queue_text(c, OP_STATEMENT, "NOTIFY " CHANNEL);
    pg_collect(c, NULL, PG_ANSWER_MS);
}

static enum err_code driver_listen(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    pg_queue_text(c, OP_STATEMENT, "LISTEN " CHANNEL);
    pg_collect(c, NULL, PG_ANSWER_MS);
    return c->failed ? pg_failure(c, e) : ERR_OK;
}

static enum err_code driver_await_hint(struct db_conn *base, int wake_fd, bool *ret_hint,
                                       struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    struct pollfd p[2] = {{.fd = PQsocket(c->pg), .events = POLLIN},
                          {.fd = wake_fd, .events = POLLIN}};
    PGnotify *n;

    *ret_hint = false;
    if (poll(p, 2, -1) < 0 && errno != EINTR)
        pg_lose(c, strerror(errno));
    else if (p[0].revents && !PQconsumeInput(c->pg))
        pg_lose(c, NULL);
    if (c->failed)
        return pg_failure(c, e);
    while ((n = PQnotifies(c->pg))) {
        *ret_hint = true;
        PQfreemem(n);
    }
    return ERR_OK;
}

const struct db_driver db_driver_postgresql = {
    .scheme = "postgresql",
    .writers = 4,
    .batch_max = 32,
    .open = driver_open,
    .check_url = driver_check_url,
    .is_exposed = driver_is_exposed,
    .close = driver_close,
    .name = driver_name,
    .size = driver_size,
    .connect = driver_connect,
    .disconnect = driver_disconnect,
    .begin = driver_begin,
    .commit = driver_commit,
    .rollback = driver_rollback,
    .settle = driver_settle,
    .savepoint = driver_savepoint,
    .savepoint_forget = driver_savepoint_forget,
    .savepoint_back = driver_savepoint_back,
    .changes = driver_changes,
    .script = driver_script,
    .lock_schema = driver_lock_schema,
    .shut_writers_out = driver_shut_writers_out,
    .know_schema = driver_know_schema,
    .run = pg_run,
    .query = pg_query,
    .next = pg_next,
    .column_int = pg_column_int,
    .column_text = pg_column_text,
    .column_is_null = pg_column_is_null,
    .rows_end = pg_rows_end,
    .upkeep = driver_upkeep,
    .room = driver_room,
    .doubt = driver_doubt,
    .hint = driver_hint,
    .listen = driver_listen,
    .await_hint = driver_await_hint,
};
