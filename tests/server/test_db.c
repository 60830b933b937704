/* The database: what is acknowledged is on disk, what fails leaves no trace, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "db.h"
#include "kit/disk.h"
#include "kit/look.h"
#include "kit/torture.h"
#include "log.h"

#define TABLE                                                                                      \
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER);"                      \
    "CREATE UNIQUE INDEX t_name ON t (name)"

static const struct db_migration one_step[] = {{1, TABLE}, {0, NULL}};

/* ---- each test has a folder and no log line it did not announce ------------------------------- */

struct place {
    char dir[256], path[300], url[320];
    bool may_log; /* database_failed, database_recovered */
};

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static int lines_failed, lines_recovered, lines_other;
static char other_line[400];

static void take_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)ctx;
    (void)pthread_mutex_lock(&log_lock);
    if (strstr(line, "database_failed"))
        lines_failed++;
    else if (strstr(line, "database_recovered"))
        lines_recovered++;
    else if (lines_other++ == 0)
        (void)snprintf(other_line, sizeof other_line, "%s", line);
    (void)pthread_mutex_unlock(&log_lock);
}

static void make_folder(char *dir, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(dir, size, "%s/cordon-db.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
}

static void remove_folder(const char *dir)
{
    static const char *const names[] = {"db", "db-wal", "db-shm", "db-journal", "db.lock", "link"};
    char path[400];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0); /* and no other file was left behind */
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    assert_non_null(p);
    make_folder(p->dir, sizeof p->dir);
    (void)snprintf(p->path, sizeof p->path, "%s/db", p->dir);
    (void)snprintf(p->url, sizeof p->url, "sqlite:%s", p->path);
    lines_failed = lines_recovered = lines_other = 0;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    disk_mend();
    disk_mirror_end();
    remove_folder(p->dir);
    if (lines_other > 0)
        print_error("logged: %s\n", other_line);
    assert_int_equal(lines_other, 0);
    if (!p->may_log)
        assert_int_equal(lines_failed + lines_recovered, 0);
    free(p);
    return 0;
}

static struct db *open_url(const char *url, size_t queue_max)
{
    struct db_options o = {.url = url, .migrations = one_step, .queue_max = queue_max};
    struct db *db = NULL;
    struct err e = {0};

    if (db_open(&o, &db, &e))
        fail_msg("%s", e.text);
    return db;
}

static enum err_code try_open(const char *url, const struct db_migration *steps, bool read_only,
                              struct err *e)
{
    struct db_options o = {
        .url = url, .migrations = steps, .queue_max = 10, .read_only = read_only};
    struct db *db = NULL;
    enum err_code code = db_open(&o, &db, e);

    assert_true((code == ERR_OK) == (db != NULL));
    db_free(db);
    return code;
}

/* ---- closures --------------------------------------------------------------------------------- */

struct row {
    int64_t id;
    const char *name; /* NULL: made from id */
};

static enum err_code insert_row(struct db_tx *tx, void *arg, struct err *e)
{
    const struct row *r = arg;
    char name[40];

    (void)snprintf(name, sizeof name, "row %lld", (long long)r->id);
    return db_run(tx, e, NULL, "INSERT INTO t (id, name, n) VALUES ($1, $2, $3)", "iti", r->id,
                  r->name ? r->name : name, r->id * 2);
}

static enum err_code add(struct db *db, int64_t id, struct err *e)
{
    struct row r = {.id = id};

    return db_write(db, insert_row, &r, e);
}

static enum err_code insert_many(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *range = arg; /* from, to */

    for (int64_t id = range[0]; id <= range[1]; id++) {
        struct row r = {.id = id};
        enum err_code code = insert_row(tx, &r, e);

        if (code)
            return code;
    }
    return ERR_OK;
}

struct look {
    int64_t from, to; /* ids */
    int64_t count, sum;
};

static enum err_code look_rows(struct db_tx *tx, void *arg, struct err *e)
{
    struct look *l = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT id, name FROM t WHERE id BETWEEN $1 AND $2",
                                  "ii", l->from, l->to);

    if (code)
        return code;
    l->count = l->sum = 0;
    while (db_next(rows)) {
        l->count++;
        l->sum += db_int(rows, 0);
    }
    return db_rows_end(rows, e);
}

static int64_t count_rows(struct db *db, int64_t from, int64_t to)
{
    struct look l = {.from = from, .to = to};
    struct err e;

    if (db_read(db, look_rows, &l, &e))
        fail_msg("%s", e.text);
    return l.count;
}

/* A callback's answer, waited for. */
struct answer {
    sem_t come;
    enum err_code code;
    char text[480];
    int times;
};

static void answered(void *arg, enum err_code code, const struct err *e)
{
    struct answer *a = arg;

    a->code = code;
    a->times++;
    (void)snprintf(a->text, sizeof a->text, "%s", code ? e->text : "");
    (void)sem_post(&a->come);
}

static void wait_sem(sem_t *s)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    while (sem_timedwait(s, &until) != 0)
        assert_int_equal(errno, EINTR);
}

/* A closure that holds the writer until told, so that others gather behind it. */
struct gate {
    sem_t reached, open;
    struct answer answer;
};

static enum err_code stand_at_gate(struct db_tx *tx, void *arg, struct err *e)
{
    struct gate *g = arg;

    (void)tx;
    (void)e;
    (void)sem_post(&g->reached);
    while (sem_wait(&g->open) != 0)
        ;
    return ERR_OK;
}

static void gate_done(void *arg, enum err_code code, const struct err *e)
{
    answered(&((struct gate *)arg)->answer, code, e);
}

static void close_gate(struct gate *g, struct db *db)
{
    struct err e;

    (void)sem_init(&g->reached, 0, 0);
    (void)sem_init(&g->open, 0, 0);
    (void)sem_init(&g->answer.come, 0, 0);
    assert_int_equal(db_submit(db, stand_at_gate, g, gate_done, &e), ERR_OK);
    wait_sem(&g->reached);
}

static void open_gate(struct gate *g)
{
    (void)sem_post(&g->open);
    wait_sem(&g->answer.come);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static void test_db__a_url_names_the_engine_and_the_file(void **state)
{
    struct place *p = *state;
    char under_file[400], double_slash[400];
    const struct {
        const char *url;
        enum err_code code;
        const char *says;
    } rows[] = {
        {p->url, ERR_OK, ""},
        {"cordon.db", ERR_INVALID, "sqlite:cordon.db"},
        {"", ERR_INVALID, "sqlite:cordon.db"},
        {"oracle:cordon.db", ERR_INVALID, "\"oracle:\""},
        {"oracle://scott:tiger@host/db", ERR_INVALID, "\"oracle:\""},
        {"sqlite", ERR_INVALID, "url"},
        {"sqlite:", ERR_INVALID, "a file is named"},
        {"sqlite::memory:", ERR_INVALID, "a file is named"},
        {double_slash, ERR_INVALID, "no host"},
        {"sqlite:/tmp", ERR_INVALID, "/tmp is not a file"},
        {"sqlite:/no/such/folder/x.db", ERR_IO, "/no/such/folder: No such file"},
        {under_file, ERR_IO, "Not a directory"},
    };

    (void)snprintf(under_file, sizeof under_file, "sqlite:%s/x", p->path);
    (void)snprintf(double_slash, sizeof double_slash, "sqlite://%s", p->path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};

        if (try_open(rows[i].url, one_step, false, &e) != rows[i].code ||
            !strstr(e.text, rows[i].says) || strstr(e.text, "tiger"))
            fail_msg("%s: %s: %s", rows[i].url, err_name(e.code), e.text);
    }
}

static void test_db__a_relative_name_and_a_link_mean_the_same_file(void **state)
{
    struct place *p = *state;
    char here[4096], link_url[300];
    struct err e;
    struct db *db;

    (void)snprintf(link_url, sizeof link_url, "%s/link", p->dir);
    assert_int_equal(symlink("db", link_url), 0);
    (void)snprintf(link_url, sizeof link_url, "sqlite:%s/link", p->dir);
    assert_int_equal(try_open(link_url, one_step, false, &e), ERR_IO); /* leads nowhere yet */

    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(p->dir), 0);
    db = open_url("sqlite:db", 10);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(add(db, 1, &e), ERR_OK); /* does not depend on where the process is now */
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_CONFLICT);
    assert_int_equal(try_open(link_url, one_step, false, &e), ERR_CONFLICT);
    db_free(db);
    db = open_url(link_url, 10);
    assert_int_equal(count_rows(db, 1, 1), 1);
    db_free(db);
}

static void test_db__its_files_are_for_the_owner_alone(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    struct place *p = *state;
    mode_t before = umask(0);
    struct db *db = open_url(p->url, 10);
    struct err e;

    assert_int_equal(add(db, 1, &e), ERR_OK);
    (void)umask(before);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[400];
        struct stat st;

        (void)snprintf(path, sizeof path, "%s%s", p->path, ends[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    db_free(db);
}

/* Answers, for a file made by the SQL of another program, whether we leave it alone. */
static void test_db__refuses_what_is_not_its_own_and_leaves_it_as_it_is(void **state)
{
    static const struct {
        const char *label, *sql;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"tables of somebody", "CREATE TABLE x (a)", ERR_REFUSED, "another program"},
        {"an id of somebody", "PRAGMA application_id = 5", ERR_REFUSED, "another program"},
        {"both", "CREATE TABLE x (a); PRAGMA application_id = 5", ERR_REFUSED, "another program"},
        {"empty", "CREATE TABLE x (a); DROP TABLE x", ERR_OK, ""},
    };
    struct place *p = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        char mode[20] = "";

        assert_string_equal(disk_sql(p->path, rows[i].sql, NULL, 0), "");
        if (try_open(p->url, one_step, false, &e) != rows[i].code || !strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].label, e.text);
        assert_string_equal(disk_sql(p->path, "PRAGMA journal_mode", mode, sizeof mode), "");
        assert_string_equal(mode, rows[i].code ? "delete" : "wal");
        assert_int_equal(unlink(p->path), 0);
    }
}

static void write_file(const char *path, off_t at, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    (void)close(fd);
}

static void test_db__refuses_a_file_that_is_no_database_or_a_cut_one(void **state)
{
    static const char text[] = "Dear diary, this has never been a database, nor will it be. "
                               "SQLite looks at the first hundred bytes, which is why I go on.";
    struct place *p = *state;
    struct err e = {0};
    struct db *db;

    write_file(p->path, 0, text, sizeof text);
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "not a database"));
    assert_non_null(strstr(e.text, p->path));
    assert_int_equal(unlink(p->path), 0);

    db = open_url(p->url, 10);
    for (int i = 0; i < 200; i++)
        assert_int_equal(add(db, i, &e), ERR_OK);
    db_free(db);
    assert_int_equal(truncate(p->path, 8192), 0);
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "corrupt"));
}

static void test_db__says_corrupt_when_a_page_is(void **state)
{
    struct place *p = *state;
    struct look l = {.from = 1, .to = 100000};
    struct err e = {0};
    struct stat st;
    struct db *db = open_url(p->url, 10);
    char junk[4096];

    p->may_log = true;
    assert_int_equal(db_write(db, insert_many, (int64_t[]){1, 5000}, &e), ERR_OK);
    db_free(db);
    assert_int_equal(stat(p->path, &st), 0);
    memset(junk, 0x5a, sizeof junk);
    for (off_t at = 16384; at + 4096 <= st.st_size; at += 4096)
        write_file(p->path, at, junk, sizeof junk);

    db = open_url(p->url, 10);
    assert_int_equal(db_read(db, look_rows, &l, &e), ERR_IO);
    assert_non_null(strstr(e.text, "the database is corrupt"));
    assert_int_equal(add(db, 6000, &e), ERR_IO);
    assert_non_null(strstr(e.text, "the database is corrupt"));
    assert_int_equal(db_health(db, &e), ERR_IO);
    assert_non_null(strstr(e.text, "the database is corrupt"));
    db_free(db);
}

/* ---- a second server -------------------------------------------------------------------------- */

/* This program again, as `--serve URL` or `--write URL` (see main), its stdout in *ret_out. */
static pid_t start_again(const char *what, const char *url, FILE **ret_out)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execl("/proc/self/exe", "test_db", what, url, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    *ret_out = fdopen(ends[0], "r");
    assert_non_null(*ret_out);
    return pid;
}

static int serve_as_child(const char *url)
{
    struct db *db = open_url(url, 10);

    puts("serving");
    (void)fflush(stdout);
    (void)pause(); /* until killed */
    db_free(db);
    return 0;
}

static void kill_and_reap(pid_t pid)
{
    int status = 0;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_db__a_second_server_is_told_who_the_first_is(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    char line[80] = "", expected[40];
    FILE *out;
    pid_t pid = start_again("--serve", p->url, &out);

    assert_non_null(fgets(line, sizeof line, out));
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_CONFLICT);
    (void)snprintf(expected, sizeof expected, "process %d serves it already", (int)pid);
    assert_non_null(strstr(e.text, expected));
    assert_int_equal(try_open(p->url, one_step, true, &e), ERR_OK); /* to read is allowed */
    kill_and_reap(pid);
    (void)fclose(out);
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_OK); /* nothing left to clean up */
}

/* People remove lock files, and of a server in another container they see no process. */
static void test_db__a_removed_lock_file_lets_no_second_server_in(void **state)
{
    struct place *p = *state;
    struct err e = {0};
    struct db_locks locks;
    char line[80] = "", lock[320];
    FILE *out;
    pid_t pid = start_again("--serve", p->url, &out);

    assert_non_null(fgets(line, sizeof line, out));
    (void)snprintf(lock, sizeof lock, "%s.lock", p->path);
    assert_int_equal(unlink(lock), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(try_open(p->url, one_step, false, &e), ERR_CONFLICT);
        assert_non_null(strstr(e.text, "was removed"));
        assert_int_equal(db_locks(p->url, &locks, NULL), ERR_OK);
        assert_int_equal(locks.server, -1);
    }
    kill_and_reap(pid);
    (void)fclose(out);
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_OK);
}

/* ---- the schema ------------------------------------------------------------------------------- */

static void test_db__migrates_step_by_step_and_refuses_a_newer_schema(void **state)
{
#define STEP_1                                                                                     \
    {                                                                                              \
        1, "CREATE TABLE a (x INTEGER)"                                                            \
    }
#define STEP_2                                                                                     \
    {                                                                                              \
        2, "CREATE TABLE b (x INTEGER); INSERT INTO b (x) VALUES (2)"                              \
    }
#define STEP_3                                                                                     \
    {                                                                                              \
        3, "UPDATE b SET x = x + 1; INSERT INTO a (x) SELECT x FROM b"                             \
    }
    static const struct db_migration two[] = {STEP_1, STEP_2, {0, NULL}};
    static const struct db_migration three[] = {STEP_1, STEP_2, STEP_3, {0, NULL}};
    struct place *p = *state;
    struct err e = {0};
    char cell[40];

    assert_int_equal(try_open(p->url, two, true, &e), ERR_NOT_FOUND);
    assert_int_equal(try_open(p->url, two, false, &e), ERR_OK);
    assert_int_equal(try_open(p->url, two, false, &e), ERR_OK); /* nothing to do */
    disk_sql(p->path, "SELECT x FROM b", cell, sizeof cell);
    assert_string_equal(cell, "2");
    assert_int_equal(try_open(p->url, three, true, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "it has schema 2, this program needs 3"));
    assert_int_equal(try_open(p->url, three, false, &e), ERR_OK);
    disk_sql(p->path, "SELECT x FROM a", cell, sizeof cell);
    assert_string_equal(cell, "3");
    for (int read_only = 0; read_only <= 1; read_only++) {
        assert_int_equal(try_open(p->url, two, read_only, &e), ERR_REFUSED);
        assert_non_null(
            strstr(e.text, "it has schema 3, this program knows 2: run a newer cordon"));
        assert_non_null(strstr(e.text, p->path));
    }
    disk_sql(p->path, "SELECT max(version) FROM schema_version", cell, sizeof cell);
    assert_string_equal(cell, "3");
}

static void test_db__a_failing_step_leaves_the_schema_as_it_was(void **state)
{
    static const struct db_migration old[] = {STEP_1, {0, NULL}};
    static const struct db_migration bad[] = {
        STEP_1,
        STEP_2,
        {3, "CREATE TABLE c (x INTEGER); INSERT INTO nowhere (x) VALUES (2)"},
        {0, NULL},
    };
    static const struct db_migration good[] = {STEP_1, STEP_2, STEP_3, {0, NULL}};
    struct place *p = *state;
    struct err e = {0};

    assert_int_equal(try_open(p->url, old, false, &e), ERR_OK);
    assert_int_equal(try_open(p->url, bad, false, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "migration to schema 3: no such table: nowhere"));
    assert_int_equal(try_open(p->url, old, false, &e), ERR_OK); /* the program that was in use */
    assert_int_equal(try_open(p->url, good, false, &e), ERR_OK);
}

/* ---- statements ------------------------------------------------------------------------------- */

struct statement_case {
    const char *label;
    enum err_code (*run)(struct db_tx *tx, struct err *e);
    bool read;
    enum err_code code;
    const char *says;
};

#define STATEMENT(name, call)                                                                      \
    static enum err_code name(struct db_tx *tx, struct err *e)                                     \
    {                                                                                              \
        return call;                                                                               \
    }

static enum err_code query_and_end(struct db_tx *tx, struct err *e, const char *sql)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, sql, "");

    if (code)
        return code;
    while (db_next(rows))
        ;
    assert_false(db_next(rows)); /* an end stays one */
    return db_rows_end(rows, e);
}

#define INSERT_T "INSERT INTO t (id, name) VALUES ($1, $2)"
STATEMENT(s_good, db_run(tx, e, NULL, INSERT_T, "it", (int64_t)1, "a"))
STATEMENT(s_same_id, db_run(tx, e, NULL, INSERT_T, "it", (int64_t)1, "b"))
STATEMENT(s_same_name, db_run(tx, e, NULL, INSERT_T, "it", (int64_t)2, "a"))
STATEMENT(s_null, db_run(tx, e, NULL, INSERT_T, "it", (int64_t)3, (char *)NULL))
STATEMENT(s_few, db_run(tx, e, NULL, INSERT_T, "i", (int64_t)3))
STATEMENT(s_many, db_run(tx, e, NULL, INSERT_T, "itt", (int64_t)3, "c", "d"))
STATEMENT(s_letter, db_run(tx, e, NULL, INSERT_T, "ix", (int64_t)3, 3))
STATEMENT(s_order,
          db_run(tx, e, NULL, "INSERT INTO t (id, name) VALUES ($2, $1)", "it", (int64_t)4, "c"))
STATEMENT(s_twice, db_run(tx, e, NULL, "UPDATE t SET n = $1 WHERE n = $1", "i", (int64_t)4))
STATEMENT(s_select, db_run(tx, e, NULL, "SELECT 1", ""))
STATEMENT(s_two, db_run(tx, e, NULL, "DELETE FROM t; DELETE FROM t", ""))
STATEMENT(s_none, db_run(tx, e, NULL, "  -- nothing", ""))
STATEMENT(s_syntax, db_run(tx, e, NULL, "INSRT INTO t", ""))
STATEMENT(s_query, query_and_end(tx, e, "SELECT id FROM t"))
STATEMENT(s_returning, query_and_end(tx, e, "UPDATE t SET n = 1 RETURNING id"))
STATEMENT(s_returning_taken, query_and_end(tx, e, "INSERT INTO t VALUES (1, 'z', 1) RETURNING id"))
STATEMENT(s_query_overflow, query_and_end(tx, e, "SELECT abs(-9223372036854775807 - 1)"))

static enum err_code run_case(struct db_tx *tx, void *arg, struct err *e)
{
    return ((struct statement_case *)arg)->run(tx, e);
}

static void test_db__a_statement_says_what_is_wrong_with_it(void **state)
{
    static const struct statement_case rows[] = {
        {"good", s_good, false, ERR_OK, ""},
        {"id taken", s_same_id, false, ERR_CONFLICT, "t.id"},
        {"name taken", s_same_name, false, ERR_CONFLICT, "t.name"},
        {"null", s_null, false, ERR_INVALID, "NOT NULL"},
        {"too few", s_few, false, ERR_INVALID, "1 values for 2 parameters"},
        {"too many", s_many, false, ERR_INVALID, "3 values for 2 parameters"},
        {"letter", s_letter, false, ERR_INVALID, "'x'"},
        {"order", s_order, false, ERR_INVALID, "parameter 1 is not $1"},
        {"one parameter in two places", s_twice, false, ERR_OK, ""},
        {"select in run", s_select, false, ERR_INVALID, "db_query"},
        {"two", s_two, false, ERR_INVALID, "more than one"},
        {"none", s_none, false, ERR_INVALID, "empty"},
        {"syntax", s_syntax, false, ERR_INVALID, "INSRT"},
        {"query", s_query, false, ERR_OK, ""},
        {"returning", s_returning, false, ERR_OK, ""},
        {"returning, taken", s_returning_taken, false, ERR_CONFLICT, "t.id"},
        {"overflow while reading", s_query_overflow, false, ERR_INVALID, "overflow"},
        {"query in read", s_query, true, ERR_OK, ""},
        {"change in read", s_good, true, ERR_INVALID, "inside db_read"},
        {"returning in read", s_returning, true, ERR_INVALID, "inside db_read"},
    };
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);

    for (int round = 0; round < 2; round++) { /* the second time the statement may be a kept one */
        for (size_t i = round ? 1 : 0; i < sizeof rows / sizeof *rows; i++) {
            struct err e = {0};
            enum err_code code = rows[i].read ? db_read(db, run_case, (void *)&rows[i], &e)
                                              : db_write(db, run_case, (void *)&rows[i], &e);

            if (code != rows[i].code || !strstr(code ? e.text : "", rows[i].says))
                fail_msg("%s: %s: %s", rows[i].label, err_name(code), e.text);
        }
    }
    assert_int_equal(db_health(db, NULL), ERR_OK); /* no fault of the disk's */
    db_free(db);
}

static enum err_code use_values(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows, *inner;
    int64_t changed = -1;

    (void)arg;
    assert_int_equal(db_run(tx, e, &changed, "INSERT INTO t (id, name, n) VALUES ($1, $2, $3)",
                            "iti", INT64_MAX, "\xc3\xa5\xf0\x9f\x94\x92'\"; --", INT64_MIN),
                     ERR_OK);
    assert_int_equal(changed, 1);
    assert_int_equal(db_run(tx, e, &changed,
                            "INSERT INTO t (id, name, n) VALUES ($1, $2, $3), (7, '', NULL)", "iti",
                            (int64_t)-1, "x", (int64_t)0),
                     ERR_OK);
    assert_int_equal(changed, 2);
    assert_int_equal(db_run(tx, e, &changed,
                            "INSERT INTO t (id, name) VALUES (1, 'x')"
                            " ON CONFLICT (name) DO NOTHING",
                            ""),
                     ERR_OK);
    assert_int_equal(changed, 0);
    assert_int_equal(db_run(tx, e, &changed, "CREATE TABLE other (x INTEGER)", ""), ERR_OK);
    assert_int_equal(changed, 0);

    assert_int_equal(db_query(tx, e, &rows, "SELECT id, name, n FROM t ORDER BY id", ""), ERR_OK);
    assert_true(db_next(rows));
    assert_int_equal(db_int(rows, 0), -1);
    assert_string_equal(db_text(rows, 1), "x");
    assert_true(db_next(rows));
    assert_int_equal(db_int(rows, 0), 7);
    assert_string_equal(db_text(rows, 1), "");
    assert_true(db_is_null(rows, 2));
    assert_int_equal(db_int(rows, 2), 0);
    assert_null(db_text(rows, 2));
    /* the same statement while it runs already, and its rows stay apart */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(db_query(tx, e, &inner, "SELECT id, name, n FROM t ORDER BY id", ""),
                         ERR_OK);
        assert_true(db_next(inner));
        assert_int_equal(db_int(inner, 0), -1);
        assert_int_equal(db_rows_end(inner, e), ERR_OK); /* early */
    }
    assert_true(db_next(rows));
    assert_true(db_int(rows, 0) == INT64_MAX);
    assert_true(db_int(rows, 2) == INT64_MIN);
    assert_string_equal(db_text(rows, 1), "\xc3\xa5\xf0\x9f\x94\x92'\"; --");
    assert_false(db_next(rows));
    assert_int_equal(db_rows_end(rows, e), ERR_OK);

    /* changed by RETURNING even if nobody asks for the rows */
    assert_int_equal(
        db_query(tx, e, &rows, "DELETE FROM t WHERE id = $1 RETURNING id", "i", (int64_t)7),
        ERR_OK);
    assert_int_equal(db_rows_end(rows, e), ERR_OK);
    assert_int_equal(db_query(tx, e, &rows, "UPDATE t SET n = 5 WHERE id = -1 RETURNING n", ""),
                     ERR_OK);
    assert_true(db_next(rows));
    assert_int_equal(db_int(rows, 0), 5);
    assert_false(db_next(rows));
    return db_rows_end(rows, e);
}

static void test_db__values_come_back_as_they_went_in(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct err e = {0};

    assert_int_equal(db_write(db, use_values, NULL, &e), ERR_OK);
    assert_int_equal(count_rows(db, INT64_MIN, INT64_MAX), 2);
    db_free(db);
}

/* Many texts at one address: whoever passes no literal gets what he wrote all the same. */
static enum err_code use_no_literals(struct db_tx *tx, void *arg, struct err *e)
{
    char sql[80];

    (void)arg;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(sql, sizeof sql, "INSERT INTO t (id, name) VALUES (%d, 'n%d')", i, i);
        if (db_run(tx, e, NULL, sql, ""))
            return e->code;
    }
    return ERR_OK;
}

static void test_db__statements_are_known_by_text_not_by_address_alone(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct err e = {0};

    assert_int_equal(db_write(db, use_no_literals, NULL, &e), ERR_OK);
    assert_int_equal(count_rows(db, 0, 999), 1000);
    db_free(db);
}

/* ---- transactions ----------------------------------------------------------------------------- */

static void test_db__a_write_is_seen_by_the_next_read_and_by_the_next_start(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct err e = {0};
    struct db_counts c;

    for (int i = 1; i <= 50; i++) {
        assert_int_equal(add(db, i, &e), ERR_OK);
        assert_int_equal(count_rows(db, i, i), 1);
    }
    db_counts(db, &c);
    assert_int_equal(c.closures, 50);
    assert_int_equal(c.commits, 50);
    assert_int_equal(c.failures, 0);
    assert_int_equal(c.queue_len, 0);
    assert_true(c.size_bytes >= 4096 && c.commit_us_total > 0);
    db_free(db);
    db = open_url(p->url, 10);
    assert_int_equal(count_rows(db, 1, 50), 50);
    db_free(db);
}

static void test_db__read_only_reads_and_takes_no_lock(void **state)
{
    struct place *p = *state;
    struct db_options o = {.url = p->url, .migrations = one_step, .read_only = true};
    struct db *db = open_url(p->url, 10), *reader = NULL;
    struct err e = {0};

    assert_int_equal(db_open(&o, &reader, &e), ERR_OK);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(count_rows(reader, 1, 1), 1);
    assert_int_equal(add(reader, 2, &e), ERR_REFUSED);
    assert_int_equal(db_health(reader, &e), ERR_OK);
    db_free(db);
    assert_int_equal(count_rows(reader, 1, 1), 1);
    db_free(reader);
}

/* A name (they are unique) that takes a page for itself. */
enum { PAGE_TEXT = 3000 };

static const char *page_text(char text[PAGE_TEXT], int64_t id)
{
    (void)snprintf(text, PAGE_TEXT, "%-*lld", PAGE_TEXT - 1, (long long)id);
    return text;
}

/* Closures of one batch: most insert a row; some fail, before or after they wrote. */
struct member {
    struct answer answer;
    int64_t id;
    const char *name; /* as in struct row */
    enum { FINE, FAILS_FIRST, FAILS_AFTER, FAILS_SILENTLY, TAKEN } kind;
    int runs;
};

static enum err_code run_member(struct db_tx *tx, void *arg, struct err *e)
{
    struct member *m = arg;
    struct row r = {.id = m->id, .name = m->name};
    enum err_code code;

    m->runs++;
    if (m->kind == FAILS_FIRST)
        return err_set(e, ERR_STALE, "member %lld", (long long)m->id);
    if (m->kind == TAKEN) /* by the one before */
        r.id--;
    code = insert_row(tx, &r, e);
    if (code)
        return code;
    if (m->kind == FAILS_AFTER)
        return err_set(e, ERR_STALE, "member %lld", (long long)m->id);
    return m->kind == FAILS_SILENTLY ? ERR_STALE : ERR_OK;
}

static void member_done(void *arg, enum err_code code, const struct err *e)
{
    answered(&((struct member *)arg)->answer, code, e);
}

static void test_db__a_closure_that_fails_harms_no_other_of_its_batch(void **state)
{
    enum { N = 40 };
    static const struct {
        const char *label;
        int kind_of_third; /* of every ten, the fourth is of this kind */
    } rows[] = {
        {"none fails", FINE},
        {"having written nothing", FAILS_FIRST},
        {"after its write", FAILS_AFTER},
        {"without a sentence", FAILS_SILENTLY},
        {"by the key of another of the batch", TAKEN},
    };
    struct place *p = *state;
    struct db *db = open_url(p->url, N);
    static struct member members[N];
    struct err e = {0};

    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        int64_t base = 1000 * ((int64_t)k + 1);
        struct gate gate = {0};
        struct db_counts before, after;

        close_gate(&gate, db);
        db_counts(db, &before);
        for (int i = 0; i < N; i++) {
            struct member *m = &members[i];

            *m = (struct member){.id = base + i};
            (void)sem_init(&m->answer.come, 0, 0);
            m->kind = i % 10 == 3 ? rows[k].kind_of_third : FINE;
            assert_int_equal(db_submit(db, run_member, m, member_done, &e), ERR_OK);
        }
        open_gate(&gate);
        for (int i = 0; i < N; i++) {
            struct member *m = &members[i];
            enum err_code expected = m->kind == FINE    ? ERR_OK
                                     : m->kind == TAKEN ? ERR_CONFLICT
                                                        : ERR_STALE;

            wait_sem(&m->answer.come);
            if (m->answer.code != expected || m->answer.times != 1 ||
                count_rows(db, m->id, m->id) != (m->kind == FINE))
                fail_msg("%s: member %d: %s %s", rows[k].label, i, err_name(m->answer.code),
                         m->answer.text);
            if (m->kind == FAILS_FIRST || m->kind == FAILS_AFTER)
                assert_non_null(strstr(m->answer.text, "member"));
            /* twice only where one had to be undone in the midst of others */
            assert_in_range(m->runs, 1,
                            rows[k].kind_of_third == FAILS_AFTER ||
                                    rows[k].kind_of_third == FAILS_SILENTLY
                                ? 2
                                : 1);
        }
        db_counts(db, &after);
        assert_int_equal(after.commits - before.commits, 1); /* it was one batch */
        assert_int_equal(after.failures, 0);
    }
    db_free(db);
}

static void test_db__a_full_queue_refuses_and_forgets_nobody(void **state)
{
    enum { MAX = 5 };
    struct place *p = *state;
    struct db *db = open_url(p->url, MAX);
    struct member members[MAX] = {0};
    struct gate gate = {0};
    struct db_counts c;
    struct err e = {0};

    close_gate(&gate, db);
    for (int i = 0; i < MAX; i++) {
        members[i].id = i;
        (void)sem_init(&members[i].answer.come, 0, 0);
        assert_int_equal(db_submit(db, run_member, &members[i], member_done, &e), ERR_OK);
    }
    assert_int_equal(db_submit(db, run_member, &members[0], member_done, &e), ERR_AGAIN);
    assert_int_equal(add(db, 77, &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "5 writes wait"));
    db_counts(db, &c);
    assert_int_equal(c.queue_len, MAX);
    open_gate(&gate);
    for (int i = 0; i < MAX; i++) {
        wait_sem(&members[i].answer.come);
        assert_int_equal(members[i].answer.code, ERR_OK);
        assert_int_equal(members[i].answer.times, 1);
    }
    assert_int_equal(add(db, 77, &e), ERR_OK);
    assert_int_equal(count_rows(db, 0, 100), MAX + 1);
    db_free(db);
}

static void test_db__free_finishes_those_who_wait(void **state)
{
    enum { N = 600 }; /* several batches */
    static struct member members[N];
    struct place *p = *state;
    struct db *db = open_url(p->url, N);
    struct gate gate = {0};
    struct err e = {0};

    close_gate(&gate, db);
    for (int i = 0; i < N; i++) {
        members[i] = (struct member){.id = i};
        (void)sem_init(&members[i].answer.come, 0, 0);
        assert_int_equal(db_submit(db, run_member, &members[i], member_done, &e), ERR_OK);
    }
    (void)sem_post(&gate.open);
    db_free(db);
    for (int i = 0; i < N; i++) {
        assert_int_equal(members[i].answer.times, 1);
        assert_int_equal(members[i].answer.code, ERR_OK);
    }
    db = open_url(p->url, 10);
    assert_int_equal(count_rows(db, 0, N), N);
    db_free(db);
}

/* ---- many threads ----------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct db *db;
    int64_t base;
    int n;
    const char *wrong;
};

static void *write_and_read(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < w->n && !w->wrong; i++) {
        struct look l = {.from = w->base, .to = w->base + i};
        struct err e = {0};

        if (add(w->db, w->base + i, &e))
            w->wrong = "write";
        else if (i % 4 == 0 && (db_read(w->db, look_rows, &l, &e) || l.count != i + 1))
            w->wrong = "read";
    }
    return NULL;
}

static void test_db__many_threads_write_and_each_reads_its_own(void **state)
{
    enum { THREADS = 8, EACH = 120 };
    struct place *p = *state;
    struct db *db = open_url(p->url, 1000);
    struct worker workers[THREADS];
    struct db_counts c;

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.db = db, .base = 10000 * (i + 1), .n = EACH};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, write_and_read, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        assert_null(workers[i].wrong);
    }
    assert_int_equal(count_rows(db, 0, INT64_MAX), THREADS * EACH);
    db_counts(db, &c);
    assert_int_equal(c.closures, THREADS * EACH);
    assert_in_range(c.commits, 1, THREADS * EACH);
    db_free(db);
}

/* A reader sees one state from its first to its last statement. */
struct steady {
    struct db *db;
    int64_t first, second;
};

static enum err_code read_twice(struct db_tx *tx, void *arg, struct err *e)
{
    struct steady *s = arg;
    struct look l = {.from = 0, .to = 1000};
    enum err_code code = look_rows(tx, &l, e);

    s->first = l.count;
    if (!code) {
        struct worker w = {.db = s->db, .base = 500, .n = 1};
        pthread_t other;

        (void)pthread_create(&other, NULL, write_and_read, &w);
        (void)pthread_join(other, NULL);
        code = look_rows(tx, &l, e);
    }
    s->second = l.count;
    return code;
}

static void test_db__a_reader_sees_one_state(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct steady s = {.db = db};
    struct err e = {0};

    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_read(db, read_twice, &s, &e), ERR_OK);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.second, 1);
    assert_int_equal(count_rows(db, 0, 1000), 2);
    db_free(db);
}

/* ---- the disk --------------------------------------------------------------------------------- */

/* Counts callbacks that came while something of theirs was not on disk. */
struct watched {
    int64_t id;
    int64_t syncs_before; /* of the log, when the closure ran */
    sem_t *come;
};

static int too_early; /* written by the writer thread, read after it has ended */

static enum err_code run_watched(struct db_tx *tx, void *arg, struct err *e)
{
    struct watched *w = arg;
    struct row r = {.id = w->id};

    w->syncs_before = disk_count(DISK_SYNC, DISK_LOG);
    return insert_row(tx, &r, e);
}

static void watched_done(void *arg, enum err_code code, const struct err *e)
{
    struct watched *w = arg;

    (void)e;
    if (code || disk_log_is_dirty() || disk_count(DISK_SYNC, DISK_LOG) <= w->syncs_before)
        too_early++;
    (void)sem_post(w->come);
}

struct submitter {
    pthread_t thread;
    struct db *db;
    struct watched watched[150];
    sem_t come;
};

static void *submit_watched(void *arg)
{
    enum { N = sizeof((struct submitter *)0)->watched / sizeof(struct watched) };
    struct submitter *s = arg;

    for (int i = 0; i < N; i++) {
        s->watched[i].come = &s->come;
        while (db_submit(s->db, run_watched, &s->watched[i], watched_done, NULL))
            ;
        if (i % 7 == 0)
            wait_sem(&s->come);
    }
    for (int i = 0; i < N - (N + 6) / 7; i++)
        wait_sem(&s->come);
    return NULL;
}

static void test_db__nobody_is_answered_before_the_sync_of_his_commit(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 1000);
    static struct submitter submitters[4];

    too_early = 0;
    for (int i = 0; i < 4; i++) {
        submitters[i].db = db;
        (void)sem_init(&submitters[i].come, 0, 0);
        for (int k = 0; k < 150; k++)
            submitters[i].watched[k].id = i * 1000 + k;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&submitters[i].thread, NULL, submit_watched, &submitters[i]), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(submitters[i].thread, NULL);
    assert_int_equal(count_rows(db, 0, 10000), 600);
    db_free(db);
    assert_int_equal(too_early, 0);
}

static void wait_for_health(struct db *db)
{
    LOOK_FOR(!db_health(db, NULL), 30000, "it does not recover");
}

/* Every way in which a commit can fail: everybody of the batch is told, nothing of it is there, and
 * the next one works. */
/* SQLite itself makes two calls for each page. */
static void test_db__a_commit_reaches_the_log_in_few_calls(void **state)
{
    /* A page in the table and one in its index; 30 pages in a call; and twice the log grows, by four calls. */
    enum { N = 60, CALLS = 6 + 2 * 4 };
    static struct member members[N];
    static char pages[N][PAGE_TEXT];
    struct place *p = *state;
    struct db *db = open_url(p->url, 100);
    struct gate gate = {0};
    int64_t before, after;
    struct err e = {0};

    assert_int_equal(add(db, 1, &e), ERR_OK); /* the log begins */
    before = disk_count(DISK_WRITE, DISK_LOG);
    assert_int_equal(add(db, 2, &e), ERR_OK);
    assert_int_equal(disk_count(DISK_WRITE, DISK_LOG), before + 1);
    close_gate(&gate, db);
    before = disk_count(DISK_WRITE, DISK_LOG);
    for (int i = 0; i < N; i++) {
        members[i] = (struct member){.id = 100 + i, .name = page_text(pages[i], 100 + i)};
        (void)sem_init(&members[i].answer.come, 0, 0);
        assert_int_equal(db_submit(db, run_member, &members[i], member_done, &e), ERR_OK);
    }
    open_gate(&gate);
    for (int i = 0; i < N; i++) {
        wait_sem(&members[i].answer.come);
        assert_int_equal(members[i].answer.code, ERR_OK);
    }
    after = disk_count(DISK_WRITE, DISK_LOG);
    assert_in_range(after - before, 2, CALLS);
    assert_false(disk_log_is_dirty());
    assert_int_equal(count_rows(db, 100, 100 + N), N);
    db_free(db);
}

static int64_t log_size(const struct place *p)
{
    char path[400];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s-wal", p->path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* The file's length is one more thing for a sync to write. */
static void test_db__the_log_becomes_longer_in_pieces(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 100);
    struct err e = {0};
    int64_t size;
    int times = 0;

    assert_int_equal(add(db, 1, &e), ERR_OK);
    size = log_size(p);
    assert_int_equal(size % (256 * 1024), 0);
    for (int i = 2; i < 60; i++) { /* two pages each, at least: more than one piece */
        assert_int_equal(add(db, i, &e), ERR_OK);
        times += log_size(p) > size;
        size = log_size(p);
    }
    assert_in_range(times, 1, 3);
    db_free(db);
}

static void test_db__a_commit_that_fails_is_nobodys(void **state)
{
    static const struct {
        const char *label;
        enum disk_call call;
        enum disk_fault fault;
        int first;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"full at once", DISK_WRITE, DISK_FULL, 0, ERR_AGAIN, "disk is full"},
        {"full midway", DISK_WRITE, DISK_FULL, 1, ERR_AGAIN, "disk is full"},
        {"write", DISK_WRITE, DISK_BROKEN, 0, ERR_IO, "disk I/O error"},
        {"write midway", DISK_WRITE, DISK_BROKEN, 1, ERR_IO, "disk I/O error"},
        {"sync", DISK_SYNC, DISK_BROKEN, 0, ERR_IO, "disk I/O error"},
    };
    enum { N = 40 }; /* a page each: more than the log takes at once */
    static struct member members[N];
    static char pages[N][PAGE_TEXT];
    struct place *p = *state;
    struct db *db = open_url(p->url, 100);
    int64_t expected = 0;

    p->may_log = true;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        int64_t base = 1000 * ((int64_t)k + 1);
        struct gate gate = {0};
        struct err e = {0};
        struct db_counts c;

        close_gate(&gate, db);
        for (int i = 0; i < N; i++) {
            members[i] = (struct member){.id = base + i,
                                         .name = page_text(pages[i], base + i),
                                         .kind = i == 5 ? FAILS_FIRST : FINE};
            (void)sem_init(&members[i].answer.come, 0, 0);
            assert_int_equal(db_submit(db, run_member, &members[i], member_done, &e), ERR_OK);
        }
        disk_fail(rows[k].call, DISK_LOG, rows[k].fault, rows[k].first);
        open_gate(&gate);
        for (int i = 0; i < N; i++) {
            wait_sem(&members[i].answer.come);
            if (members[i].answer.code != rows[k].code ||
                !strstr(members[i].answer.text, rows[k].says))
                fail_msg("%s: member %d: %s: %s", rows[k].label, i,
                         err_name(members[i].answer.code), members[i].answer.text);
        }
        assert_int_equal(db_health(db, &e), rows[k].code);
        assert_non_null(strstr(e.text, rows[k].says));
        assert_int_equal(count_rows(db, base, base + N), 0); /* reading goes on */
        assert_int_equal(add(db, base + 500, &e), rows[k].code);
        disk_mend();
        assert_int_equal(add(db, base + 501, &e), ERR_OK);
        expected++;
        assert_int_equal(db_health(db, &e), ERR_OK);
        assert_int_equal(count_rows(db, 0, INT64_MAX), expected);
        db_counts(db, &c);
        assert_true(c.failures >= 2 * ((int64_t)k + 1));
    }
    db_free(db);
    assert_int_equal(lines_failed, 5); /* once each, however many failed */
    assert_int_equal(lines_recovered, 5);
    db = open_url(p->url, 10);
    assert_int_equal(count_rows(db, 0, INT64_MAX), expected);
    db_free(db);
}

static void test_db__finds_out_by_itself_that_the_disk_has_room_again(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct err e = {0};
    struct db_counts c;

    p->may_log = true;
    disk_fail(DISK_WRITE, DISK_LOG, DISK_FULL, 0);
    assert_int_equal(add(db, 1, &e), ERR_AGAIN);
    assert_int_equal(db_health(db, &e), ERR_AGAIN);
    disk_mend();
    wait_for_health(db);
    db_counts(db, &c);
    assert_int_equal(c.closures, 1); /* its own attempts are not counted */
    assert_int_equal(count_rows(db, 1, 1), 0);
    db_free(db);
}

/* A closure that does not look at what db_run returned. */
static enum err_code ignore_failure(struct db_tx *tx, void *arg, struct err *e)
{
    char *big = arg;
    struct row r = {.id = 1};

    (void)insert_row(tx, &r, e);
    for (int i = 2; i < 12;
         i++) /* more than the page cache holds: written to the log before the commit */
        (void)db_run(tx, NULL, NULL, "INSERT INTO t (id, name) VALUES ($1, $2 || $1)", "it",
                     (int64_t)i, big);
    return ERR_OK;
}

static void test_db__a_closure_cannot_swallow_a_full_disk(void **state)
{
    enum { SIZE = 1000000 };
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    char *big = malloc(SIZE + 1);
    struct err e = {0};

    p->may_log = true;
    assert_non_null(big);
    memset(big, 'x', SIZE);
    big[SIZE] = '\0';
    disk_fail(DISK_WRITE, DISK_LOG, DISK_FULL, 0);
    assert_int_equal(db_write(db, ignore_failure, big, &e), ERR_AGAIN);
    disk_mend();
    assert_int_equal(count_rows(db, 0, 100), 0);
    assert_int_equal(db_write(db, ignore_failure, big, &e), ERR_OK);
    assert_int_equal(count_rows(db, 0, 100), 11);
    db_free(db);
    free(big);
}

static void move(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        fail_msg("%s: %s", from, strerror(errno));
}

/* What is written to a file without a name would be acknowledged, and gone with the process. */
static void test_db__files_that_are_gone_take_nothing(void **state)
{
    static const struct {
        const char *label, *file; /* behind the database's name */
        bool replaced;
    } rows[] = {
        {"the database is moved away", "", false},
        {"another stands in its place", "", true},
        {"the log is moved away", "-wal", false},
        {"another log stands in its place", "-wal", true},
    };
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    int64_t id = 0;

    p->may_log = true;
    assert_int_equal(add(db, ++id, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct look look = {0};
        char file[320], aside[340];
        struct err e = {0};

        print_message("  %s\n", rows[i].label);
        (void)snprintf(file, sizeof file, "%s%s", p->path, rows[i].file);
        (void)snprintf(aside, sizeof aside, "%s.aside", p->path);
        move(file, aside);
        if (rows[i].replaced)
            (void)close(open(file, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
        assert_int_equal(add(db, id + 1, &e), ERR_IO);
        assert_non_null(strstr(e.text, "while it is served"));
        assert_int_equal(db_health(db, &e), ERR_IO);
        assert_int_equal(db_read(db, look_rows, &look, &e), ERR_IO); /* by a new connection */
        assert_int_equal(add(db, id + 1, &e), ERR_IO);
        move(aside, file);
        assert_int_equal(add(db, ++id, &e), ERR_OK); /* back in its place, it goes on */
    }
    db_free(db);
    db = open_url(p->url, 10);
    assert_int_equal(count_rows(db, 0, INT64_MAX), id);
    db_free(db);
}

static void copy_over(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *in = fopen(from, "r"),
         *out = fopen(to, "w"); /* as cp does it: the file stays, its bytes do not */
    size_t n;

    assert_non_null(in);
    assert_non_null(out);
    n = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
    (void)fclose(in);
}

/* What the server has read and logged belongs to the old one: together they are no database. */
static void test_db__a_backup_that_is_copied_over_a_served_one_is_not_mixed_with_it(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    char backup[320];
    struct err e = {0};

    p->may_log = true;
    (void)snprintf(backup, sizeof backup, "%s/link", p->dir);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_backup(db, backup, &e), ERR_OK);
    assert_int_equal(add(db, 2, &e), ERR_OK);
    copy_over(backup, p->path);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(add(db, 3, &e), ERR_IO);
        assert_non_null(strstr(e.text, "copied over it"));
    }
    db_free(db);
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_REFUSED); /* the log is another's */
    assert_non_null(strstr(e.text, "store restore"));
}

/* Nobody writes in between: its last checkpoint is the one at its end. */
static void test_db__a_server_that_ends_leaves_a_backup_that_was_copied_over_its_own(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    char backup[320];
    struct err e = {0};

    p->may_log = true;
    (void)snprintf(backup, sizeof backup, "%s/link", p->dir);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_backup(db, backup, &e), ERR_OK);
    assert_int_equal(add(db, 2, &e), ERR_OK);
    copy_over(backup, p->path);
    db_free(db);
    assert_int_equal(try_open(p->url, one_step, false, &e), ERR_REFUSED); /* the log is another's */
    assert_non_null(strstr(e.text, "store restore"));
}

static bool no_second_names;
static const char
    *killed_at; /* a second name that ends so is the last thing that this process is about to do */

/* In the place of the C library's: a file system that knows no second name of a file. */
int link(const char *from, const char *to)
{
    size_t len = strlen(to), end = killed_at ? strlen(killed_at) : 0;

    if (killed_at && len > end && strcmp(to + len - end, killed_at) == 0)
        (void)raise(SIGKILL);
    if (no_second_names) {
        errno = EPERM;
        return -1;
    }
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* Whoever restores keeps what stood there, wherever the store lies. */
static void test_db__a_restore_keeps_the_old_one_also_where_a_file_has_one_name(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    AUTO(auto_free) char *aside = NULL;
    char backup[320], rows[8] = "";
    struct err e = {0};

    (void)snprintf(backup, sizeof backup, "%s/link", p->dir);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_backup(db, backup, &e), ERR_OK);
    assert_int_equal(add(db, 2, &e), ERR_OK);
    db_free(db);
    no_second_names = true;
    if (db_restore(p->url, one_step, backup, NULL, NULL, &aside, &e))
        fail_msg("%s", e.text);
    no_second_names = false;
    assert_non_null(aside);
    assert_string_equal(disk_sql(p->path, "SELECT count(*) FROM t", rows, sizeof rows), "");
    assert_string_equal(rows, "1");
    assert_string_equal(disk_sql(aside, "SELECT count(*) FROM t", rows, sizeof rows), "");
    assert_string_equal(rows, "2");
    assert_int_equal(unlink(aside), 0);
}

/* Where not all of it can be copied aside, as on a disk that is full, nothing is left of it: each try would take as much room again
 * as the store has. */
static void test_db__a_restore_that_cannot_keep_the_old_one_leaves_no_copy(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    AUTO(auto_free) char *aside = NULL;
    char backup[320], log[330];
    struct err e = {0};

    (void)snprintf(backup, sizeof backup, "%s/link", p->dir);
    (void)snprintf(log, sizeof log, "%s-journal", p->path);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_backup(db, backup, &e), ERR_OK);
    db_free(db);
    assert_int_equal(mkdir(log, 0700), 0); /* nobody can read it as a file */
    no_second_names = true;
    assert_int_equal(db_restore(p->url, one_step, backup, NULL, NULL, &aside, &e), ERR_IO);
    no_second_names = false;
    assert_non_null(strstr(e.text, "-journal"));
    assert_int_equal(rmdir(log), 0); /* and remove_folder finds nothing else */
}

/* Nor where it is killed while it copies: half a store has no name by which somebody might put it back. */
static void test_db__a_restore_that_is_killed_leaves_no_half_of_the_old_one(void **state)
{
    static const struct rlimit little = {64 * 1024, 64 * 1024};
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    char backup[320], all[340];
    struct err e = {0};
    glob_t found = {0};
    int status;
    pid_t pid;

    (void)snprintf(backup, sizeof backup, "%s/link", p->dir);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_backup(db, backup, &e), ERR_OK);
    db_free(db);
    assert_string_equal(
        disk_sql(p->path, "CREATE TABLE large AS SELECT zeroblob(1000000)", NULL, 0), "");
    pid = fork();
    if (pid == 0) {
        char *aside = NULL;

        no_second_names = true;
        (void)signal(SIGXFSZ, SIG_DFL); /* which ends it in the midst of the copy */
        (void)setrlimit(RLIMIT_FSIZE, &little);
        _exit(db_restore(p->url, one_step, backup, NULL, NULL, &aside, &e) ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
    (void)snprintf(all, sizeof all, "%s/*.before-restore-*", p->dir);
    assert_int_equal(glob(all, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        assert_non_null(strstr(found.gl_pathv[i], ".unfinished"));
        assert_int_equal(unlink(found.gl_pathv[i]), 0);
    }
    globfree(&found);
    (void)snprintf(all, sizeof all, "%s.restoring", p->path);
    assert_int_equal(unlink(all), 0); /* the next one begins with that */
}

/* Nor where it is killed between the second names of a store and of its log, without which the last commits are missing. */
static void test_db__a_restore_that_is_killed_leaves_no_old_one_without_its_log(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    char backup[320], all[340];
    struct err e = {0};
    glob_t found = {0};
    int status;
    pid_t pid;

    (void)snprintf(backup, sizeof backup, "%s/link", p->dir);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    assert_int_equal(db_backup(db, backup, &e), ERR_OK);
    db_free(db);
    pid = fork();
    if (pid == 0) /* and dies, so that what it has written is in the log alone */
        _exit((db = open_url(p->url, 10)) && add(db, 2, &e) == ERR_OK ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    pid = fork();
    if (pid == 0) {
        char *aside = NULL;

        killed_at = "-wal";
        _exit(db_restore(p->url, one_step, backup, NULL, NULL, &aside, &e) ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)snprintf(all, sizeof all, "%s/*.before-restore-*", p->dir);
    assert_int_equal(glob(all, 0, NULL, &found), GLOB_NOMATCH);
    globfree(&found);
    (void)snprintf(all, sizeof all, "%s.restoring", p->path);
    assert_int_equal(unlink(all), 0); /* the next one begins with that */
}

static void test_db__a_locked_database_is_for_later(void **state)
{
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct err e = {0};
    void *lock = disk_lock(p->path);

    p->may_log = true;
    assert_int_equal(add(db, 1, &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "another program holds a lock"));
    assert_int_equal(db_health(db, NULL), ERR_AGAIN);
    assert_int_equal(count_rows(db, 1, 1), 0);
    disk_unlock(lock);
    assert_int_equal(add(db, 1, &e), ERR_OK);
    db_free(db);
}

/* ---- what a power cut leaves ------------------------------------------------------------------ */

static void make_mirror(const struct place *p, struct place *ret)
{
    *ret = (struct place){0};
    make_folder(ret->dir, sizeof ret->dir);
    (void)snprintf(ret->path, sizeof ret->path, "%s/db", ret->dir);
    (void)snprintf(ret->url, sizeof ret->url, "sqlite:%s", ret->path);
    disk_mirror(p->dir, ret->dir);
}

/* Opens what the power cut left. All of from..to must be there, and no page damaged. */
static void check_mirror(const struct place *mirror, int64_t from, int64_t to)
{
    struct db *db = open_url(mirror->url, 10);
    char cell[100] = "";

    assert_int_equal(count_rows(db, from, to), to - from + 1);
    db_free(db);
    assert_string_equal(disk_sql(mirror->path, "PRAGMA integrity_check", cell, sizeof cell), "");
    assert_string_equal(cell, "ok");
    remove_folder(mirror->dir);
}

static void test_db__a_failed_sync_costs_nothing_that_was_acknowledged(void **state)
{
    struct place *p = *state;
    struct place mirror;
    struct err e = {0};
    struct db *db;

    p->may_log = true;
    make_mirror(p, &mirror);
    db = open_url(p->url, 10);
    assert_int_equal(db_write(db, insert_many, (int64_t[]){1, 50}, &e), ERR_OK);
    disk_fail(DISK_SYNC, DISK_LOG, DISK_BROKEN, 0);
    assert_int_equal(db_write(db, insert_many, (int64_t[]){1001, 1200}, &e), ERR_IO);
    disk_mend();
    for (int i = 51; i <= 60; i++)
        assert_int_equal(add(db, i, &e), ERR_OK);
    assert_int_equal(count_rows(db, 1001, 1200), 0);
    disk_cut(1);
    check_mirror(&mirror, 1, 60);
    db_free(db);
}

/* The process ends after the failed sync; the next one finds the log whole, though in memory only. */
static void test_db__what_a_new_process_finds_in_the_log_is_on_disk(void **state)
{
    struct place *p = *state;
    struct place mirror;
    struct err e = {0};
    struct db *db;

    p->may_log = true;
    make_mirror(p, &mirror);
    db = open_url(p->url, 10);
    assert_int_equal(db_write(db, insert_many, (int64_t[]){1, 50}, &e), ERR_OK);
    disk_fail(DISK_SYNC, DISK_LOG, DISK_BROKEN, 0);
    assert_int_equal(db_write(db, insert_many, (int64_t[]){51, 200}, &e), ERR_IO);
    db_free(db); /* as good as killed: it may not write the log any more */
    disk_mend();

    db = open_url(p->url, 10);
    /* Not acknowledged; that it may come to light all the same is in the contract of db_write. */
    assert_int_equal(count_rows(db, 51, 200), 150);
    assert_int_equal(add(db, 201, &e), ERR_OK);
    disk_cut(1);
    check_mirror(&mirror, 1, 201);
    db_free(db);
}

/* Writes until a checkpoint happened, or failed; returns the last id. */
static int64_t write_until_checkpoint(struct db *db, int64_t from, bool failed)
{
    int64_t syncs = disk_count(DISK_SYNC, DISK_DATABASE), id = from;
    struct err e;

    for (; id < from + 1000000; id += 1000) {
        if (failed ? disk_failures() > 0 : disk_count(DISK_SYNC, DISK_DATABASE) > syncs)
            return id - 1;
        if (db_write(db, insert_many, (int64_t[]){id, id + 999}, &e))
            fail_msg("%s", e.text);
    }
    fail_msg("no checkpoint");
    return 0;
}

static void test_db__a_failed_checkpoint_costs_nothing(void **state)
{
    static const struct {
        enum disk_call call;
        enum disk_fault fault;
        int first;
    } rows[] = {
        {DISK_SYNC, DISK_BROKEN, 0},
        {DISK_WRITE, DISK_BROKEN, 5},
        {DISK_WRITE, DISK_FULL, 5},
    };
    struct place *p = *state;

    p->may_log = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct place mirror;
        struct db *db;
        int64_t last;

        make_mirror(p, &mirror);
        db = open_url(p->url, 10);
        disk_fail(rows[i].call, DISK_DATABASE, rows[i].fault, rows[i].first);
        last = write_until_checkpoint(db, 1, true);
        assert_true(disk_failures() > 0);
        disk_mend();
        last = write_until_checkpoint(db, last + 1, false);
        wait_for_health(db);
        assert_int_equal(count_rows(db, 1, last), last);
        disk_cut((unsigned)i);
        check_mirror(&mirror, 1, last);
        db_free(db);
        assert_int_equal(unlink(p->path), 0);
    }
}

/* A reader that holds on to the state it sees until told. */
struct holder {
    pthread_t thread;
    struct db *db;
    sem_t reached, open;
    enum err_code code;
};

static enum err_code hold(struct db_tx *tx, void *arg, struct err *e)
{
    struct holder *h = arg;
    struct look l = {.from = 1, .to = 10};
    enum err_code code = look_rows(tx, &l, e);

    (void)sem_post(&h->reached);
    wait_sem(&h->open);
    return code;
}

static void *hold_main(void *arg)
{
    struct holder *h = arg;

    h->code = db_read(h->db, hold, h, NULL);
    return NULL;
}

/* A checkpoint that a reader keeps from going to the end writes pages and does not sync them: the next
 * one's sync is to do that. When it fails, those pages are lost though they count as done. */
static void test_db__a_failed_sync_of_an_earlier_checkpoint_costs_nothing(void **state)
{
    struct place *p = *state;
    struct place mirror;
    struct holder h = {.code = ERR_IO};
    struct db *db;
    struct err e = {0};
    int64_t last = 40000, syncs;

    p->may_log = true;
    make_mirror(p, &mirror);
    h.db = db = open_url(p->url, 10);
    (void)sem_init(&h.reached, 0, 0);
    (void)sem_init(&h.open, 0, 0);
    assert_int_equal(db_write(db, insert_many, (int64_t[]){1, last}, &e), ERR_OK);
    assert_int_equal(pthread_create(&h.thread, NULL, hold_main, &h), 0);
    wait_sem(&h.reached);
    syncs = disk_count(DISK_SYNC, DISK_DATABASE);
    for (int64_t writes = disk_count(DISK_WRITE, DISK_DATABASE);
         disk_count(DISK_WRITE, DISK_DATABASE) == writes; last += 1000)
        assert_int_equal(db_write(db, insert_many, (int64_t[]){last + 1, last + 1000}, &e), ERR_OK);
    assert_int_equal(disk_count(DISK_SYNC, DISK_DATABASE), syncs);
    (void)sem_post(&h.open);
    (void)pthread_join(h.thread, NULL);
    assert_int_equal(h.code, ERR_OK);

    disk_fail(DISK_SYNC, DISK_DATABASE, DISK_BROKEN, 0);
    last = write_until_checkpoint(db, last + 1, true);
    disk_mend();
    last = write_until_checkpoint(db, last + 1, false);
    /* the log starts over */
    assert_int_equal(db_write(db, insert_many, (int64_t[]){last + 1, last + 20000}, &e), ERR_OK);
    disk_cut(1);
    check_mirror(&mirror, 1, last + 20000);
    db_free(db);
}

/* Acknowledged ids, and a power cut at a moment that nobody chose. */
struct cut {
    pthread_mutex_t lock;
    int64_t acknowledged; /* highest id, all below it came before */
    int64_t cut_after;
    sem_t reached; /* cut_after was */
    unsigned seed;
    bool done;
};

struct cut_row {
    struct cut *cut;
    struct row row;
    sem_t *come;
};

static enum err_code insert_cut_row(struct db_tx *tx, void *arg, struct err *e)
{
    return insert_row(tx, &((struct cut_row *)arg)->row, e);
}

static void cut_row_done(void *arg, enum err_code code, const struct err *e)
{
    struct cut_row *r = arg;

    (void)e;
    (void)pthread_mutex_lock(&r->cut->lock);
    if (!r->cut->done && !code)
        r->cut->acknowledged = r->row.id;
    if (r->row.id == r->cut->cut_after)
        (void)sem_post(&r->cut->reached);
    (void)pthread_mutex_unlock(&r->cut->lock);
    (void)sem_post(r->come);
}

static void *cut_power(void *arg)
{
    struct cut *c = arg;

    wait_sem(&c->reached);
    (void)pthread_mutex_lock(&c->lock); /* nobody is answered meanwhile */
    disk_cut(c->seed);
    c->done = true;
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void test_db__a_power_cut_takes_nothing_that_was_acknowledged(void **state)
{
    enum { N = 3000, ROUNDS = 10 };
    static struct cut_row rows[N];
    struct place *p = *state;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cut cut = {.lock = PTHREAD_MUTEX_INITIALIZER, .seed = round};
        struct place mirror;
        struct db *db;
        pthread_t cutter;
        sem_t come;

        make_mirror(p, &mirror);
        db = open_url(p->url, N);
        (void)sem_init(&come, 0, 0);
        (void)sem_init(&cut.reached, 0, 0);
        cut.cut_after = 1 + (round * 997) % (N - 500);
        assert_int_equal(pthread_create(&cutter, NULL, cut_power, &cut), 0);
        for (int i = 0; i < N; i++) {
            rows[i] = (struct cut_row){.cut = &cut, .row = {.id = i + 1}, .come = &come};
            assert_int_equal(db_submit(db, insert_cut_row, &rows[i], cut_row_done, NULL), ERR_OK);
        }
        for (int i = 0; i < N; i++)
            wait_sem(&come);
        (void)pthread_join(cutter, NULL);
        check_mirror(&mirror, 1, cut.acknowledged);
        db_free(db);
        assert_int_equal(unlink(p->path), 0);
    }
}

/* ---- kill -9 ---------------------------------------------------------------------------------- */

/* The child: writes as fast as it can and reports each id when it is acknowledged. */
static int64_t report_from;

static void report(void *arg, enum err_code code, const struct err *e)
{
    int64_t id = ((struct row *)arg)->id;

    if (code) {
        (void)fprintf(stderr, "%s\n", e->text);
        _exit(1);
    }
    if (write(STDOUT_FILENO, &id, sizeof id) != sizeof id)
        _exit(1);
    free(arg);
}

static int write_as_child(const char *url)
{
    struct db *db = open_url(url, 100);
    struct look l = {.from = 0, .to = INT64_MAX};

    if (db_read(db, look_rows, &l, NULL))
        return 1;
    for (report_from = l.count + 1;; report_from++) {
        struct row *r = calloc(1, sizeof *r);

        if (!r)
            return 1;
        r->id = report_from;
        while (db_submit(db, insert_row, r, report, NULL)) /* its queue is full */
            (void)sched_yield();
    }
}

static void test_db__kill_9_takes_nothing_that_was_acknowledged(void **state)
{
    enum { ROUNDS = 20 };
    struct place *p = *state;
    int64_t last = 0;

    for (int round = 0; round < ROUNDS; round++) {
        int stop_after = 1 + round * 53 % 500;
        FILE *out;
        pid_t pid = start_again("--write", p->url, &out);
        struct db *db;
        int64_t id, there;

        for (int i = 0; i < stop_after; i++) {
            if (fread(&id, sizeof id, 1, out) != 1)
                fail_msg("the child ended by itself");
            last = id;
        }
        kill_and_reap(pid);
        while (fread(&id, sizeof id, 1, out) == 1) /* what it said before it died */
            last = id;
        (void)fclose(out);
        db = open_url(p->url, 10);
        there = count_rows(db, 0, INT64_MAX);
        assert_int_equal(count_rows(db, 1, last), last);
        assert_in_range(there, last, last + 500); /* the one batch under way, at most */
        db_free(db);
    }
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void test_db__runs_out_of_memory_cleanly(void **state)
{
    struct place *p = *state;
    struct db_options o = {.url = p->url, .migrations = one_step, .queue_max = 10};
    enum err_code code;

    p->may_log = true;
    for (long n = 1;; n++) { /* opening, with everything SQLite does for it */
        struct db *db = NULL;
        struct err e = {0};
        bool failed;

        torture_arm(n);
        code = db_open(&o, &db, &e);
        failed = torture_disarm();
        if (!failed || code == ERR_OK) { /* SQLite does without some of its memory */
            assert_int_equal(code, ERR_OK);
            assert_int_equal(add(db, n, &e), ERR_OK);
        } else if (code != ERR_NOMEM) {
            fail_msg("allocation %ld: %s: %s", n, err_name(code), e.text);
        }
        db_free(db);
        if (!failed)
            break;
    }
    struct db *db = open_url(p->url, 10);

    for (long n = 1;; n++) { /* reading, and handing over a closure */
        struct look l = {.from = 0, .to = 10};
        struct row r = {.id = -n};
        struct err e = {0};
        bool failed;

        torture_arm(n);
        code = db_read(db, look_rows, &l, &e);
        if (!code)
            code = db_write(db, insert_row, &r, &e);
        failed = torture_disarm();
        if (code && code != ERR_NOMEM)
            fail_msg("allocation %ld: %s: %s", n, err_name(code), e.text);
        if (!failed)
            break;
    }
    db_free(db);
}

/* Two readers that take their time, and one begins before the other ends: without care the log would
 * never start over. */
struct relay {
    pthread_t thread;
    struct db *db;
    sem_t *begun, *other_begun;
    bool first; /* nobody waits for its first beginning */
    bool go_on; /* under log_lock */
    enum err_code code;
};

static enum err_code read_slowly(struct db_tx *tx, void *arg, struct err *e)
{
    const struct timespec a_while = {.tv_nsec = 30 * 1000 * 1000};
    struct relay *r = arg;
    struct look l = {.from = 1, .to = 1};
    enum err_code code = look_rows(tx, &l, e);

    if (!r->first)
        (void)sem_post(r->begun);
    r->first = false;
    (void)nanosleep(&a_while, NULL);
    wait_sem(r->other_begun);
    return code;
}

static void *read_all_the_time(void *arg)
{
    struct relay *r = arg;
    bool go_on = true;

    while (go_on && !r->code) {
        r->code = db_read(r->db, read_slowly, r, NULL);
        (void)pthread_mutex_lock(&log_lock);
        go_on = r->go_on;
        (void)pthread_mutex_unlock(&log_lock);
    }
    (void)sem_post(r->begun);
    return NULL;
}

struct big_rows {
    int64_t from, to;
    const char *text;
};

static enum err_code insert_big(struct db_tx *tx, void *arg, struct err *e)
{
    struct big_rows *b = arg;
    enum err_code code = ERR_OK;

    for (int64_t id = b->from; !code && id <= b->to; id++)
        code = db_run(tx, e, NULL, "INSERT INTO t (id, name) VALUES ($1, $1 || $2)", "it", id,
                      b->text);
    return code;
}

static void test_db__the_log_starts_over_though_somebody_always_reads(void **state)
{
    enum { PAGE = 4096 + 24, PAGES_MAX = 33000, SIZE = 3000, EACH = 200 };
    struct place *p = *state;
    struct db *db = open_url(p->url, 10);
    struct relay readers[2];
    sem_t begun[2];
    struct big_rows b = {.text = NULL};
    char *text = malloc(SIZE);
    char log_path[400];
    struct stat st;
    struct err e = {0};
    int64_t written = 0;

    assert_non_null(text);
    memset(text, 'x', SIZE);
    text[SIZE - 1] = '\0';
    b.text = text;
    for (int i = 0; i < 2; i++) {
        (void)sem_init(&begun[i], 0, 0);
        readers[i] = (struct relay){.db = db,
                                    .begun = &begun[i],
                                    .other_begun = &begun[1 - i],
                                    .first = i == 0,
                                    .go_on = true};
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all_the_time, &readers[i]),
                         0);
    (void)snprintf(log_path, sizeof log_path, "%s-wal", p->path);
    /* db_sqlite.c waits for readers at 16000 to 24000 pages, and on a busy machine once more 8000 later;
     * a row is a page */
    for (b.from = 1; written < PAGES_MAX + 6000; b.from += EACH) {
        b.to = b.from + EACH - 1;
        assert_int_equal(db_write(db, insert_big, &b, &e), ERR_OK);
        assert_int_equal(stat(log_path, &st), 0);
        assert_in_range(st.st_size, 0, PAGES_MAX * PAGE);
        written += EACH;
    }
    (void)pthread_mutex_lock(&log_lock);
    for (int i = 0; i < 2; i++)
        readers[i].go_on = false;
    (void)pthread_mutex_unlock(&log_lock);
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].code, ERR_OK);
    }
    db_free(db);
    free(text);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_db__a_url_names_the_engine_and_the_file),
        TEST(test_db__a_relative_name_and_a_link_mean_the_same_file),
        TEST(test_db__its_files_are_for_the_owner_alone),
        TEST(test_db__refuses_what_is_not_its_own_and_leaves_it_as_it_is),
        TEST(test_db__refuses_a_file_that_is_no_database_or_a_cut_one),
        TEST(test_db__says_corrupt_when_a_page_is),
        TEST(test_db__a_second_server_is_told_who_the_first_is),
        TEST(test_db__a_removed_lock_file_lets_no_second_server_in),
        TEST(test_db__files_that_are_gone_take_nothing),
        TEST(test_db__a_backup_that_is_copied_over_a_served_one_is_not_mixed_with_it),
        TEST(test_db__a_server_that_ends_leaves_a_backup_that_was_copied_over_its_own),
        TEST(test_db__a_restore_keeps_the_old_one_also_where_a_file_has_one_name),
        TEST(test_db__a_restore_that_cannot_keep_the_old_one_leaves_no_copy),
        TEST(test_db__a_restore_that_is_killed_leaves_no_half_of_the_old_one),
        TEST(test_db__a_restore_that_is_killed_leaves_no_old_one_without_its_log),
        TEST(test_db__migrates_step_by_step_and_refuses_a_newer_schema),
        TEST(test_db__a_failing_step_leaves_the_schema_as_it_was),
        TEST(test_db__a_statement_says_what_is_wrong_with_it),
        TEST(test_db__values_come_back_as_they_went_in),
        TEST(test_db__statements_are_known_by_text_not_by_address_alone),
        TEST(test_db__a_write_is_seen_by_the_next_read_and_by_the_next_start),
        TEST(test_db__read_only_reads_and_takes_no_lock),
        TEST(test_db__a_closure_that_fails_harms_no_other_of_its_batch),
        TEST(test_db__a_full_queue_refuses_and_forgets_nobody),
        TEST(test_db__free_finishes_those_who_wait),
        TEST(test_db__many_threads_write_and_each_reads_its_own),
        TEST(test_db__a_reader_sees_one_state),
        TEST(test_db__nobody_is_answered_before_the_sync_of_his_commit),
        TEST(test_db__a_commit_reaches_the_log_in_few_calls),
        TEST(test_db__the_log_becomes_longer_in_pieces),
        TEST(test_db__a_commit_that_fails_is_nobodys),
        TEST(test_db__finds_out_by_itself_that_the_disk_has_room_again),
        TEST(test_db__a_closure_cannot_swallow_a_full_disk),
        TEST(test_db__a_locked_database_is_for_later),
        TEST(test_db__a_failed_sync_costs_nothing_that_was_acknowledged),
        TEST(test_db__what_a_new_process_finds_in_the_log_is_on_disk),
        TEST(test_db__a_failed_checkpoint_costs_nothing),
        TEST(test_db__a_failed_sync_of_an_earlier_checkpoint_costs_nothing),
        TEST(test_db__a_power_cut_takes_nothing_that_was_acknowledged),
        TEST(test_db__kill_9_takes_nothing_that_was_acknowledged),
        TEST(test_db__runs_out_of_memory_cleanly),
        TEST(test_db__the_log_starts_over_though_somebody_always_reads),
    };

    if (argc == 3 && strcmp(argv[1], "--serve") == 0)
        return serve_as_child(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_as_child(argv[2]);
    disk_install();
    log_divert(take_line, NULL);
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
