/* PostgreSQL as an engine of db.h: on a real one of this program's own (kit/postgres.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "db.h"
#include "kit/cut.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/postgres.h"
#include "log.h"

static const struct db_migration steps[] = {
    {1, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER);"
        "CREATE UNIQUE INDEX t_name ON t (name)"},
    {2, "CREATE TABLE counters (id INTEGER PRIMARY KEY, n BIGINT NOT NULL);"
        "INSERT INTO counters (id, n) VALUES (1, 0)"},
    {0, NULL},
};

static void drop_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

static struct db *open_as(const char *url)
{
    const struct db_options o = {.url = url, .migrations = steps, .queue_max = 1000};
    struct db *db = NULL;
    struct err e = {0};

    if (db_open(&o, &db, &e))
        fail_msg("%s", e.text);
    return db;
}

static int set_up(void **state)
{
    static const struct postgres_options o = {.tcp = true};
    char url[POSTGRES_URL_MAX];

    *state = postgres_start(&o) ? open_as(postgres_url(url)) : NULL;
    return 0;
}

static int tear_down(void **state)
{
    db_free(*state);
    return 0;
}

/* The same schema by another url; more: "&word=value". */
static char *url_of_last(char out[POSTGRES_URL_MAX], int port, const char *more)
{
    AUTO(auto_free)
    char *schema = postgres_sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 's%'"
                                " ORDER BY oid DESC LIMIT 1");

    (void)snprintf(out, POSTGRES_URL_MAX,
                   "postgresql://cordon@127.0.0.1:%d/postgres?options=-csearch_path%%3D%s%s", port,
                   schema, more);
    return out;
}

/* ---- closures --------------------------------------------------------------------------------- */

struct row {
    int64_t id;
    const char *name;
    int64_t n;
};

static enum err_code insert_row(struct db_tx *tx, void *arg, struct err *e)
{
    const struct row *r = arg;

    return db_run(tx, e, NULL, "INSERT INTO t (id, name, n) VALUES ($1, $2, $3)", "iti", r->id,
                  r->name, r->n);
}

static enum err_code get_row(struct db_tx *tx, void *arg, struct err *e)
{
    struct row *r = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT name, n FROM t WHERE id = $1", "i", r->id);

    if (code)
        return code;
    free((char *)(uintptr_t)r->name);
    r->name = NULL;
    if (db_next(rows)) {
        r->name = strdup(db_text(rows, 0));
        r->n = db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

static enum err_code count_rows(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT count(*) FROM t", "");

    if (code)
        return code;
    (void)db_next(rows);
    *(int64_t *)arg = db_int(rows, 0);
    return db_rows_end(rows, e);
}

static int64_t count_of(struct db *db)
{
    struct err e = {0};
    int64_t n = 0;

    if (db_read(db, count_rows, &n, &e))
        fail_msg("%s", e.text);
    return n;
}

static enum err_code add(struct db *db, int64_t id, struct err *e)
{
    char name[40];
    struct row r = {.id = id, .name = name};

    (void)snprintf(name, sizeof name, "row %lld", (long long)id);
    return db_write(db, insert_row, &r, e);
}

/* ---- statements ------------------------------------------------------------------------------- */

static void test_db_postgres__values_come_back_as_they_went_in(void **state)
{
    static const struct row rows[] = {
        {1, "", INT64_MIN},
        {2, "it's \"quoted\" \\ and /*claim*/ INTEGER", INT64_MAX},
        {3, "\xc3\xa5\xe2\x82\xac\xf0\x9f\x94\x92 \n\t\x01", -1},
        {INT64_MAX, "big", 0},
        {INT64_MIN, "small", 1},
    };

    if (!*state)
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct row in = rows[i], out = {.id = in.id};

        assert_int_equal(db_write(*state, insert_row, &in, NULL), ERR_OK);
        assert_int_equal(db_read(*state, get_row, &out, NULL), ERR_OK);
        assert_string_equal(out.name, in.name);
        assert_int_equal(out.n, in.n);
        free((char *)(uintptr_t)out.name);
    }
}

static enum err_code run_bad(struct db_tx *tx, void *arg, struct err *e)
{
    enum err_code code;

    switch (*(const int *)arg) {
    case 0:
        return db_run(tx, e, NULL, "INSERT INTO t (id, name) VALUES (1, 'a')", "");
    case 1: /* the unique index, found out with a later statement */
        code = db_run(tx, e, NULL, "INSERT INTO t (id, name) VALUES (2, 'first')", "");
        return code ? code : db_run(tx, e, NULL, "DELETE FROM t WHERE id = 77", "");
    case 2:
        return db_run(tx, e, NULL, "INSERT INTO t (id, name) VALUES (3, $1)", "t", NULL);
    case 3:
        return db_run(tx, e, NULL, "INSERT INTO nowhere (id) VALUES (1)", "");
    case 4:
        return db_run(tx, e, NULL, "INSRT", "");
    case 5:
        return db_run(tx, e, NULL, "INSERT INTO t (id, name) VALUES (4, $1)", "t", "\xff\xfe");
    default:
        return db_run(tx, e, NULL, "SELECT id FROM t", "");
    }
}

static void test_db_postgres__a_statement_says_what_is_wrong_with_it(void **state)
{
    static const struct {
        enum err_code code;
        const char *text;
    } rows[] = {
        {ERR_CONFLICT, "unique constraint"},
        {ERR_CONFLICT, "unique constraint"},
        {ERR_INVALID, "null value"},
        {ERR_INVALID, "nowhere"},
        {ERR_INVALID, "INSRT"},
        {ERR_INVALID, "UTF8"},
    };
    struct row first = {.id = 1, .name = "first"};

    if (!*state)
        skip();
    assert_int_equal(db_write(*state, insert_row, &first, NULL), ERR_OK);
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        struct err e = {0};
        enum err_code code = db_write(*state, run_bad, &i, &e);

        if (code != rows[i].code || !strstr(e.text, rows[i].text))
            fail_msg("%d: %s: %s", i, err_name(code), e.text);
        assert_int_equal(count_of(*state), 1);
        assert_int_equal(db_health(*state, NULL), ERR_OK); /* a fault of the statement's alone */
    }
}

/* ---- batches and clashes ---------------------------------------------------------------------- */

struct crowd {
    sem_t done;
    atomic_int good, conflicts, other;
};

struct member {
    struct crowd *crowd;
    struct row r;
    char name[30];
};

static void member_done(void *arg, enum err_code code, const struct err *e)
{
    struct member *m = arg;

    (void)e;
    atomic_fetch_add(code == ERR_OK         ? &m->crowd->good
                     : code == ERR_CONFLICT ? &m->crowd->conflicts
                                            : &m->crowd->other,
                     1);
    (void)sem_post(&m->crowd->done);
}

static enum err_code insert_member(struct db_tx *tx, void *arg, struct err *e)
{
    return insert_row(tx, &((struct member *)arg)->r, e);
}

static void test_db_postgres__a_closure_that_fails_harms_no_other_of_its_batch(void **state)
{
    enum { MANY = 600 };
    static struct member members[MANY];
    struct crowd crowd = {0};

    if (!*state)
        skip();
    (void)sem_init(&crowd.done, 0, 0);
    for (int i = 0; i < MANY; i++) {
        struct member *m = &members[i];

        m->crowd = &crowd;
        (void)snprintf(m->name, sizeof m->name, "name %d", i % 10 == 9 ? i - 1 : i); /* taken */
        m->r = (struct row){.id = i, .name = m->name};
        assert_int_equal(db_submit(*state, insert_member, m, member_done, NULL), ERR_OK);
    }
    for (int i = 0; i < MANY; i++)
        while (sem_wait(&crowd.done))
            ;
    assert_int_equal(crowd.other, 0);
    assert_int_equal(crowd.conflicts, MANY / 10);
    assert_int_equal(crowd.good, MANY - MANY / 10);
    assert_int_equal(count_of(*state), MANY - MANY / 10);
}

/* What was read decides what is written: lost updates would show. */
static enum err_code count_up(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    int64_t n;
    enum err_code code = db_query(tx, e, &rows, "SELECT n FROM counters WHERE id = 1", "");

    (void)arg;
    if (code)
        return code;
    (void)db_next(rows);
    n = db_int(rows, 0);
    code = db_rows_end(rows, e);
    return code ? code : db_run(tx, e, NULL, "UPDATE counters SET n = $1 WHERE id = 1", "i", n + 1);
}

static void *count_up_often(void *arg)
{
    for (intptr_t i = 0; i < 25; i++)
        while (db_write(arg, count_up, NULL, NULL) == ERR_AGAIN)
            ;
    return NULL;
}

static void test_db_postgres__transactions_are_one_after_the_other(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct db *dbs[2];
    pthread_t threads[6];
    AUTO(auto_free) char *n = NULL;
    AUTO(auto_free) char *schema = NULL;
    char sql[100];

    if (!*state)
        skip();
    dbs[0] = *state;
    dbs[1] = open_as(url_of_last(url, postgres_port(), ""));
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up_often, dbs[i % 2]), 0);
    for (int i = 0; i < 6; i++)
        (void)pthread_join(threads[i], NULL);
    schema = postgres_sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 's%'"
                          " ORDER BY oid DESC LIMIT 1");
    (void)snprintf(sql, sizeof sql, "SELECT n FROM %s.counters", schema);
    n = postgres_sql(sql);
    assert_string_equal(n, "150");
    assert_int_equal(db_health(dbs[0], NULL), ERR_OK); /* clashes are no failures */
    db_free(dbs[1]);
}

/* Loses to another process so often, and then no more. */
struct loser {
    struct db *other;
    int times;
};

static enum err_code lose(struct db_tx *tx, void *arg, struct err *e)
{
    struct loser *l = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT n FROM counters WHERE id = 1", "");
    int64_t n = code || !db_next(rows) ? 0 : db_int(rows, 0);

    if (!code)
        code = db_rows_end(rows, e);
    if (!code && l->times > 0) {
        l->times--;
        while (db_write(l->other, count_up, NULL, NULL) == ERR_AGAIN)
            ;
    }
    return code ? code : db_run(tx, e, NULL, "UPDATE counters SET n = $1 WHERE id = 1", "i", n + 1);
}

static void test_db_postgres__who_loses_often_is_not_turned_away(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct loser l = {.times = 20};
    struct err e = {0};

    if (!*state)
        skip();
    l.other = open_as(url_of_last(url, postgres_port(), ""));
    if (db_write(*state, lose, &l, &e))
        fail_msg("%s", e.text);
    assert_int_equal(l.times, 0);
    db_free(l.other);
}

/* The same closure, and what others do in its midst is no matter: it runs once. */
static void test_db_postgres__a_loose_transaction_does_not_clash(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct loser l = {.times = 1000};
    struct err e = {0};

    if (!*state)
        skip();
    l.other = open_as(url_of_last(url, postgres_port(), ""));
    for (int i = 1; i <= 20; i++) {
        if (db_write_loose(*state, lose, &l, &e))
            fail_msg("%s", e.text);
        assert_int_equal(l.times, 1000 - i);
    }
    db_free(l.other);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static void *open_it(void *url)
{
    const struct db_options o = {.url = url, .migrations = steps, .queue_max = 10};
    struct db *db = NULL;

    if (db_open(&o, &db, NULL))
        return NULL;
    db_free(db);
    return url;
}

static void test_db_postgres__replicas_that_start_together_migrate_once(void **state)
{
    char url[POSTGRES_URL_MAX];
    pthread_t threads[5];

    if (!*state)
        skip();
    (void)postgres_url(url);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_it, url), 0);
    for (int i = 0; i < 5; i++) {
        void *good = NULL;

        (void)pthread_join(threads[i], &good);
        assert_ptr_equal(good, url);
    }
}

static const struct db_migration more_steps[] = {
    {1, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER);"
        "CREATE UNIQUE INDEX t_name ON t (name)"},
    {2, "CREATE TABLE counters (id INTEGER PRIMARY KEY, n BIGINT NOT NULL);"
        "INSERT INTO counters (id, n) VALUES (1, 0)"},
    {3, "ALTER TABLE t ADD COLUMN more BIGINT NOT NULL DEFAULT 0"},
    {0, NULL},
};

/* What it would write the newer one does not count on; and by what it reads it could do something twice. */
static void test_db_postgres__an_older_replica_writes_no_more_when_a_newer_one_has_migrated(
    void **state)
{
    char url[POSTGRES_URL_MAX];
    struct db_options o = {.migrations = more_steps, .queue_max = 10};
    struct db *older, *newer = NULL;
    struct err e = {0};

    if (!*state)
        skip();
    o.url = postgres_url(url);
    older = open_as(url);
    assert_int_equal(add(older, 1, &e), ERR_OK);
    assert_int_equal(db_open(&o, &newer, &e), ERR_OK);
    assert_int_equal(add(older, 2, &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "it has schema 3 by now, this program knows 2"));
    assert_int_equal(db_write_loose(older, count_rows, &(int64_t){0}, &e), ERR_AGAIN);
    assert_int_equal(db_health(older, &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "run a newer cordon"));
    assert_int_equal(add(newer, 3, &e), ERR_OK);
    assert_int_equal(count_of(older), 2);
    db_free(older);
    db_free(newer);
}

static const struct db_migration filling_steps[] = {
    {1, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER);"
        "CREATE UNIQUE INDEX t_name ON t (name)"},
    {2, "CREATE TABLE counters (id INTEGER PRIMARY KEY, n BIGINT NOT NULL);"
        "INSERT INTO counters (id, n) VALUES (1, 0)"},
    {3, "ALTER TABLE t ADD COLUMN more BIGINT NOT NULL DEFAULT 0; UPDATE t SET more = 7"},
    {0, NULL},
};

struct upgrade {
    const char *url;
    struct db *db;
    enum err_code code;
    struct err e;
    atomic_bool over;
};

static void *upgrade(void *arg)
{
    struct upgrade *u = arg;
    const struct db_options o = {.url = u->url, .migrations = filling_steps, .queue_max = 10};

    u->code = db_open(&o, &u->db, &u->e);
    atomic_store(&u->over, true);
    return NULL;
}

static bool somebody_waits(void)
{
    char *n = postgres_sql("SELECT count(*) FROM pg_locks WHERE NOT granted");
    bool waits = n && strcmp(n, "0") != 0;

    free(n);
    return waits;
}

struct late {
    struct upgrade u;
    pthread_t thread;
    bool started;
};

/* It has begun, and been told that the schema is its own; then the newer one comes. */
static enum err_code insert_late(struct db_tx *tx, void *arg, struct err *e)
{
    struct late *l = arg;
    struct row r = {.id = 1, .name = "late"};

    if (!l->started)
        assert_int_equal(pthread_create(&l->thread, NULL, upgrade, &l->u), 0);
    l->started = true;
    LOOK_FOR(atomic_load(&l->u.over) || somebody_waits(), 8000, "the newer one does not come");
    return insert_row(tx, &r, e);
}

static enum err_code count_unfilled(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT count(*) FROM t WHERE more <> 7", "");

    if (!code && db_next(rows))
        *(int64_t *)arg = db_int(rows, 0);
    return code ? code : db_rows_end(rows, e);
}

static void test_db_postgres__a_migration_leaves_nothing_out_that_an_older_replica_is_writing(
    void **state)
{
    char url[POSTGRES_URL_MAX];
    struct late l = {.u = {.url = url}};
    struct db *older;
    struct err e = {0};
    int64_t unfilled = -1;

    if (!*state)
        skip();
    older = open_as(postgres_url(url));
    if (db_write(older, insert_late, &l, &e))
        fail_msg("%s", e.text);
    (void)pthread_join(l.thread, NULL);
    if (l.u.code)
        fail_msg("%s", l.u.e.text);
    assert_int_equal(count_of(older), 1);
    assert_int_equal(db_read(l.u.db, count_unfilled, &unfilled, &e), ERR_OK);
    assert_int_equal(unfilled, 0);
    assert_int_equal(add(older, 2, &e), ERR_AGAIN);
    db_free(older);
    db_free(l.u.db);
}

static enum err_code forget_step(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "DELETE FROM schema_version WHERE version = 3", "");
}

/* A standby that had not heard of the migration takes over: what it lacks nobody may do without. */
static void test_db_postgres__one_that_has_migrated_writes_nothing_on_the_schema_of_before(
    void **state)
{
    char url[POSTGRES_URL_MAX];
    struct db_options o = {.migrations = more_steps, .queue_max = 10};
    struct db *db = NULL, *again = NULL;
    struct err e = {0};

    if (!*state)
        skip();
    o.url = postgres_url(url);
    assert_int_equal(db_open(&o, &db, &e), ERR_OK);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_write(db, forget_step, NULL, &e), ERR_OK);
    assert_int_equal(add(db, 2, &e), ERR_AGAIN);
    assert_non_null(
        strstr(e.text, "it has schema 2 by now, this program needs 3: start the server"));
    assert_int_equal(db_health(db, &e), ERR_AGAIN);
    db_free(db);
    o.migrations = steps;
    assert_int_equal(db_open(&o, &again, &e), ERR_OK);
    assert_int_equal(add(again, 2, &e), ERR_OK);
    db_free(again);
}

struct dump {
    struct db *db;
    sem_t begun, end;
};

/* As pg_dump: it has read, and goes on. */
static enum err_code dump_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct dump *d = arg;
    int64_t n;
    enum err_code code = count_rows(tx, &n, e);

    (void)sem_post(&d->begun);
    while (sem_wait(&d->end) != 0)
        ; /* EINTR */
    return code;
}

static void *dump(void *arg)
{
    struct dump *d = arg;

    (void)db_read(d->db, dump_fn, d, NULL);
    return NULL;
}

/* Who waits for a table's lock has all stand behind him that come later. */
static void test_db_postgres__a_migration_that_waits_for_a_dump_holds_nobody_up_for_long(
    void **state)
{
    char url[POSTGRES_URL_MAX];
    struct db_options o = {.migrations = more_steps, .queue_max = 10};
    struct db *older, *newer = NULL;
    struct dump d;
    struct err e = {0};
    int64_t began;
    pthread_t t;

    if (!*state)
        skip();
    o.url = postgres_url(url);
    d.db = older = open_as(url);
    (void)sem_init(&d.begun, 0, 0);
    (void)sem_init(&d.end, 0, 0);
    assert_int_equal(pthread_create(&t, NULL, dump, &d), 0);
    while (sem_wait(&d.begun) != 0)
        ;
    began = look_now_ms();
    assert_int_equal(db_open(&o, &newer, &e), ERR_AGAIN);
    assert_true(look_now_ms() - began < 9000);
    assert_non_null(strstr(e.text, "migration to schema 3"));
    assert_non_null(strstr(e.text, "lock"));
    assert_int_equal(add(older, 1, &e), ERR_OK);
    (void)sem_post(&d.end);
    (void)pthread_join(t, NULL);
    assert_int_equal(db_open(&o, &newer, &e), ERR_OK);
    db_free(older);
    db_free(newer);
    (void)sem_destroy(&d.begun);
    (void)sem_destroy(&d.end);
}

static void test_db_postgres__no_error_and_no_name_shows_the_password(void **state)
{
    static const struct {
        const char *url, *password;
        enum err_code code;
    } rows[] = {
        {"postgresql://cordon:hunter2@127.0.0.1:1/cordon", NULL, ERR_AGAIN},
        {"postgresql://cordon@127.0.0.1:1/cordon", "hunter2", ERR_AGAIN},
        {"postgresql://cordon@127.0.0.1:1/cordon?password=hunter2", NULL, ERR_AGAIN},
        {"postgresql://cordon:hunter2%zz@127.0.0.1:1/cordon", NULL, ERR_INVALID},
        {"postgresql://cordon@127.0.0.1:1/cordon?hunter2=1", NULL, ERR_INVALID},
        {"postgresql://cordon:hunter2@127.0.0.1:1/cordon", "hunter2", ERR_INVALID},
        {"postgresql:hunter2", NULL, ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct db_options o = {
            .url = rows[i].url, .password = rows[i].password, .queue_max = 10};
        struct db *db = NULL;
        struct err e = {0};
        enum err_code code = db_open(&o, &db, &e);

        if (code != rows[i].code || strstr(e.text, "hunter2"))
            fail_msg("%s: %s: %s", rows[i].url, err_name(code), e.text);
        assert_null(db);
    }
}

static void test_db_postgres__refuses_what_is_not_its_own(void **state)
{
    struct db_options o = {.migrations = steps, .queue_max = 10};
    char url[POSTGRES_URL_MAX], sql[100];
    struct db *db = NULL;
    struct err e = {0};

    if (!*state)
        skip();
    o.url = postgres_url(url);
    (void)snprintf(sql, sizeof sql, "CREATE TABLE %s.people (id int)", strrchr(url, 's'));
    free(postgres_sql(sql));
    assert_int_equal(db_open(&o, &db, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "another program"));
    free(postgres_sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"));
    (void)snprintf(url, sizeof url, "postgresql://cordon@127.0.0.1:%d/latin", postgres_port());
    assert_int_equal(db_open(&o, &db, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "LATIN1"));
}

static enum err_code ask_setting(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT current_setting('synchronous_commit')", "");

    if (code)
        return code;
    (void)db_next(rows);
    (void)snprintf(arg, 20, "%s", db_text(rows, 0));
    return db_rows_end(rows, e);
}

static void test_db_postgres__a_commit_waits_for_the_disk_whatever_the_url_says(void **state)
{
    char url[POSTGRES_URL_MAX], value[20] = "";
    struct db *db;

    if (!*state)
        skip();
    db = open_as(url_of_last(url, postgres_port(), "%20-csynchronous_commit%3Doff"));
    assert_int_equal(db_write(db, ask_setting, value, NULL), ERR_OK);
    assert_string_equal(value, "on");
    db_free(db);
}

/* A reader's is left as it is. */
static bool reader_says(struct db *db, const char *wanted)
{
    char value[20] = "";

    return !db_read(db, ask_setting, value, NULL) && strcmp(value, wanted) == 0;
}

/* Whoever turns it off does so for all, and not only for the connections that are made from then on. */
static void test_db_postgres__a_commit_waits_for_the_disk_when_the_server_does_not_any_more(
    void **state)
{
    char value[20] = "";

    if (!*state)
        skip();
    assert_int_equal(db_write(*state, ask_setting, value, NULL), ERR_OK); /* it is connected */
    assert_string_equal(value, "on");
    free(postgres_sql("ALTER SYSTEM SET synchronous_commit = off"));
    free(postgres_sql("SELECT pg_reload_conf()"));
    LOOK_FOR(reader_says(*state, "off"), 20000, "the connections do not hear of it");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(db_write(*state, ask_setting, value, NULL), ERR_OK);
        assert_string_equal(value, "on");
    }
    free(postgres_sql("ALTER SYSTEM RESET synchronous_commit"));
    free(postgres_sql("SELECT pg_reload_conf()"));
}

/* ---- locks of others -------------------------------------------------------------------------- */

#define LOCKED_S "30"

static void *hold_lock(void *arg)
{
    free(postgres_sql(arg));
    return NULL;
}

static bool is_held(void)
{
    AUTO(auto_free)
    char *n = postgres_sql("SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND granted");

    return strcmp(n, "1") == 0;
}

struct waiting_row {
    struct row row; /* first: a closure's */
    char name[20];
    _Atomic int end; /* 0: not yet; -1: ERR_OK */
};

static void note_end(void *arg, enum err_code code, const struct err *e)
{
    struct waiting_row *w = arg;

    (void)e;
    atomic_store(&w->end, code ? (int)code : -1);
}

/* Somebody builds an index, say, and nothing can be written meanwhile: who waits for that is told so in time, also those who
 * came together, and so is who asks how the database is. */
static void test_db_postgres__a_lock_that_stays_is_told_of_in_time(void **state)
{
    int64_t began;
    struct waiting_row rows[20] = {0};
    char sql[200];
    struct db_counts counts;
    struct err e = {0};
    pthread_t thread;

    if (!*state)
        skip();
    log_divert(drop_line, NULL);
    {
        AUTO(auto_free)
        char *schema = postgres_sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 's%'"
                                    " ORDER BY oid DESC LIMIT 1");

        (void)snprintf(sql, sizeof sql,
                       "BEGIN; LOCK TABLE %s.t IN SHARE MODE; SELECT pg_sleep(" LOCKED_S ")",
                       schema);
    }
    assert_int_equal(pthread_create(&thread, NULL, hold_lock, sql), 0);
    LOOK_FOR(is_held(), 20000, "nothing is locked");
    began = look_now_ms();
    for (int i = 0; i < 20; i++) {
        (void)snprintf(rows[i].name, sizeof rows[i].name, "many %d", i);
        rows[i].row = (struct row){.id = 100 + i, .name = rows[i].name};
        assert_int_equal(db_submit(*state, insert_row, &rows[i], note_end, NULL), ERR_OK);
    }
    assert_int_equal(add(*state, 1, &e), ERR_AGAIN);
    for (int i = 0; i < 20; i++)
        LOOK_FOR(atomic_load(&rows[i].end), 60000, "row %d has no answer", i);
    /* Ten seconds, and ten for those who came while all writers waited. */
    if (look_now_ms() - began > 24000)
        fail_msg("answered after %lld ms", (long long)(look_now_ms() - began));
    for (int i = 0; i < 20; i++)
        assert_int_equal(rows[i].end, ERR_AGAIN);
    db_counts(*state, &counts);
    assert_true(counts.failures >
                0); /* db_health said so, until a probe found its own table free */
    (void)pthread_join(thread, NULL);
    assert_int_equal(add(*state, 1, &e), ERR_OK);
    assert_int_equal(db_health(*state, NULL), ERR_OK);
    log_divert(NULL, NULL);
}

/* ---- connections that are lost ---------------------------------------------------------------- */

static void test_db_postgres__connections_that_idle_may_be_lost_unnoticed(void **state)
{
    struct err e = {0};

    if (!*state)
        skip();
    assert_int_equal(add(*state, 1, &e), ERR_OK);
    assert_int_equal(count_of(*state), 1);
    free(postgres_sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                      " WHERE application_name = 'cordon'"));
    assert_int_equal(count_of(*state), 1);
    if (add(*state, 2, &e))
        fail_msg("%s", e.text);
    assert_int_equal(count_of(*state), 2);
}

static void test_db_postgres__goes_on_when_the_server_is_back(void **state)
{
    struct err e = {0};

    if (!*state)
        skip();
    log_divert(drop_line, NULL);
    assert_int_equal(add(*state, 1, &e), ERR_OK);
    postgres_restart();
    for (int64_t id = 2, until = look_until(20000); add(*state, id, &e);
         id++) /* starting up: for later */
        look_again(until, "it is not back: %s", e.text);
    assert_int_equal(db_health(*state, NULL), ERR_OK);
    assert_int_equal(count_of(*state), 2);
    log_divert(NULL, NULL);
}

static void test_db_postgres__a_cut_network_is_noticed_and_mended(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct cut *cut;
    struct db *db;
    struct err e = {0};
    int64_t began;

    if (!*state)
        skip();
    log_divert(drop_line, NULL);
    cut = cut_new(postgres_port());
    db = open_as(url_of_last(url, cut_port(cut), ""));
    assert_int_equal(add(db, 1, &e), ERR_OK);
    cut_now(cut, true);
    began = look_now_ms();
    assert_int_not_equal(add(db, 2, &e), ERR_OK);
    assert_true(look_now_ms() - began < 45000);
    assert_int_not_equal(db_health(db, &e), ERR_OK);
    cut_now(cut, false);
    LOOK_FOR(!db_health(db, &e), 45000, "still sick: %s",
             e.text); /* by itself, while nobody asks */
    assert_int_equal(add(db, 3, &e), ERR_OK);
    db_free(db);
    cut_free(cut);
    log_divert(NULL, NULL);
}

static void *write_once(void *db)
{
    int64_t n;

    (void)db_write_loose(db, count_rows, &n, NULL);
    return NULL;
}

/* Nor does each batch of those who stand in line wait for it anew: senders have some seconds of patience. */
static void test_db_postgres__who_stands_in_line_for_a_database_that_is_away_is_told_soon(
    void **state)
{
    enum { MANY = 900 };
    static struct waiting_row rows[MANY];
    char url[POSTGRES_URL_MAX];
    struct cut *cut;
    struct db *db;
    struct err e = {0};
    pthread_t writers[8];
    int64_t began, used = 0, spare = 0;

    if (!*state)
        skip();
    log_divert(drop_line, NULL);
    cut = cut_new(postgres_port());
    db = open_as(url_of_last(url, cut_port(cut), "&connect_timeout=2"));
    assert_int_equal(add(db, 1, &e), ERR_OK);
    LOOK_FOR(!db_room(db, &used, &spare, NULL) && used != 0, 10000,
             "it does not know how large it is");
    cut_now(cut, true); /* while nobody is in the midst of a query */
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_once, db), 0);
    for (int i = 0; i < 8; i++)
        (void)pthread_join(writers[i], NULL); /* now all know that theirs is gone */
    began = look_now_ms();
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(rows[i].name, sizeof rows[i].name, "many %d", i);
        rows[i].row = (struct row){.id = 100 + i, .name = rows[i].name};
        assert_int_equal(db_submit(db, insert_row, &rows[i], note_end, NULL), ERR_OK);
    }
    for (int i = 0; i < MANY; i++) {
        LOOK_FOR(atomic_load(&rows[i].end), 60000, "row %d has no answer", i);
        assert_int_equal(rows[i].end, ERR_AGAIN);
    }
    if (look_now_ms() - began > 7000)
        fail_msg("answered after %lld ms", (long long)(look_now_ms() - began));
    cut_now(cut, false);
    LOOK_FOR(!add(db, 2, &e), 20000, "it is not back: %s", e.text);
    assert_int_equal(count_of(db), 2);
    db_free(db);
    cut_free(cut);
    log_divert(NULL, NULL);
}

/* ---- hints ------------------------------------------------------------------------------------ */

static void hinted(void *ctx)
{
    (void)sem_post(ctx);
}

static void wait_hint(sem_t *s)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    while (sem_timedwait(s, &until))
        assert_int_equal(errno, EINTR);
}

/* A page is many reads, and those who ask for one stand in line: they do not wait for a database that is not there one after
 * the other. */
static void test_db_postgres__a_database_that_is_away_is_waited_for_once(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct cut *cut;
    struct db *db;
    int64_t n, began;

    if (!*state)
        skip();
    log_divert(drop_line, NULL);
    cut = cut_new(postgres_port());
    db = open_as(url_of_last(url, cut_port(cut), "&connect_timeout=2"));
    assert_int_equal(count_of(db), 0);
    cut_now(cut, true);
    assert_int_not_equal(db_read(db, count_rows, &n, NULL), ERR_OK);
    began = look_now_ms();
    for (int i = 0; i < 10; i++)
        assert_int_equal(db_read(db, count_rows, &n, NULL), ERR_AGAIN);
    if (look_now_ms() - began > 10000) /* each for itself: 20 s */
        fail_msg("ten reads took %lld ms", (long long)(look_now_ms() - began));
    cut_now(cut, false);
    LOOK_FOR(!db_read(db, count_rows, &n, NULL), 20000, "it is not back");
    db_free(db);
    cut_free(cut);
    log_divert(NULL, NULL);
}

static void test_db_postgres__a_hint_reaches_another_process(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct db *other;
    sem_t come;

    if (!*state)
        skip();
    (void)sem_init(&come, 0, 0);
    other = open_as(url_of_last(url, postgres_port(), ""));
    assert_int_equal(db_listen(other, hinted, &come, NULL), ERR_OK);
    wait_hint(&come); /* it listens now: what came before is looked for */
    assert_int_equal(add(*state, 1, NULL), ERR_OK);
    db_hint(*state);
    wait_hint(&come);
    db_unlisten(other);
    db_free(other);
}

#define T(name) cmocka_unit_test_setup_teardown(test_db_postgres__##name, set_up, tear_down)

static char *schema_of(const char *url)
{
    return strdup(strstr(url, "%3D") + 3);
}

/* sql: of the schema. */
static void in_schema(const char *schema, const char *sql)
{
    char text[400];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(text, sizeof text, sql, schema);
#pragma GCC diagnostic pop
    free(postgres_sql(text));
}

/* As a server that just starts sees it; it looks when its writer idles. */
static void room_of(const char *url, int64_t *ret_used, int64_t *ret_spare)
{
    struct db *db = open_as(url);

    *ret_used = *ret_spare = 0;
    LOOK_FOR(!db_room(db, ret_used, ret_spare, NULL) && *ret_used != 0, 10000, "not asked");
    db_free(db);
}

/* Until it was asked it is not said that there is nothing in it: a replica that starts would tell people that the store has room. */
static void test_db_postgres__how_large_it_is_is_not_known_before_it_was_asked(void **state)
{
    char url[POSTGRES_URL_MAX];
    int64_t used = 0, spare = 0;
    struct db *db;

    if (!*state)
        skip();
    db = open_as(url_of_last(url, postgres_port(), ""));
    if (db_room(db, &used, &spare, NULL) == ERR_OK)
        assert_true(used > 0);
    db_free(db);
}

struct busy {
    struct db *db;
    atomic_bool over;
};

static void *keep_busy(void *arg)
{
    struct busy *b = arg;
    int64_t n;

    while (!atomic_load(&b->over))
        (void)db_write_loose(b->db, count_rows, &n, NULL);
    return NULL;
}

/* In a storm no writer idles, and it is then that the store comes to its limit. */
static void test_db_postgres__how_large_it_is_is_known_in_a_storm_too(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct busy b = {.db = NULL};
    pthread_t threads[8];
    int64_t used = 0, spare = 0;

    if (!*state)
        skip();
    b.db = open_as(url_of_last(url, postgres_port(), ""));
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_busy, &b), 0);
    LOOK_FOR(!db_room(b.db, &used, &spare, NULL) && used != 0, 10000, "not asked");
    atomic_store(&b.over, true);
    for (int i = 0; i < 8; i++)
        (void)pthread_join(threads[i], NULL);
    assert_true(used > 0);
    db_free(b.db);
}

/* What a shorter retention frees is room, although no file gets smaller. */
static void test_db_postgres__what_was_deleted_is_room(void **state)
{
    AUTO(auto_free) char *schema = NULL;
    char url[POSTGRES_URL_MAX];
    int64_t full_used, full_spare, used, spare;

    if (!*state)
        skip();
    schema = schema_of(url_of_last(url, postgres_port(), ""));
    in_schema(schema, "INSERT INTO %s.t (id, name) SELECT i, repeat(md5(i::text), 8)"
                      " FROM generate_series(100, 40000) i");
    in_schema(schema, "ANALYZE %s.t");
    room_of(url, &full_used, &full_spare);
    assert_true(full_used > 20 << 20 && full_spare < full_used / 10); /* all of it is in use */
    in_schema(schema, "DELETE FROM %s.t WHERE id %% 10 <> 0");
    in_schema(schema, "VACUUM (ANALYZE) %s.t");
    room_of(url, &used, &spare);
    if (spare < 8 << 20 || used > full_used - (8 << 20))
        fail_msg("used %lld of %lld, free %lld", (long long)used, (long long)full_used,
                 (long long)spare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(values_come_back_as_they_went_in),
        T(a_statement_says_what_is_wrong_with_it),
        T(a_closure_that_fails_harms_no_other_of_its_batch),
        T(transactions_are_one_after_the_other),
        T(who_loses_often_is_not_turned_away),
        T(a_loose_transaction_does_not_clash),
        T(replicas_that_start_together_migrate_once),
        T(an_older_replica_writes_no_more_when_a_newer_one_has_migrated),
        T(a_migration_leaves_nothing_out_that_an_older_replica_is_writing),
        T(one_that_has_migrated_writes_nothing_on_the_schema_of_before),
        T(a_migration_that_waits_for_a_dump_holds_nobody_up_for_long),
        T(no_error_and_no_name_shows_the_password),
        T(refuses_what_is_not_its_own),
        T(a_commit_waits_for_the_disk_whatever_the_url_says),
        T(a_commit_waits_for_the_disk_when_the_server_does_not_any_more),
        T(a_lock_that_stays_is_told_of_in_time),
        T(connections_that_idle_may_be_lost_unnoticed),
        T(goes_on_when_the_server_is_back),
        T(a_cut_network_is_noticed_and_mended),
        T(a_database_that_is_away_is_waited_for_once),
        T(who_stands_in_line_for_a_database_that_is_away_is_told_soon),
        T(what_was_deleted_is_room),
        T(how_large_it_is_is_not_known_before_it_was_asked),
        T(how_large_it_is_is_known_in_a_storm_too),
        T(a_hint_reaches_another_process),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
