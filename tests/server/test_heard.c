/* test_heard.c - that a source was heard is written once in a while, by one of the threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heard.h"
#include "kit/hands.h"
#include "store_heartbeats.h"
#include "store_work.h"

struct shelf {
    char dir[40];
    struct hands hands;
    struct store *s;
    struct heard *heard;
    struct arena *a;
};

static struct shelf *open_shelf(void)
{
    struct shelf *f = calloc(1, sizeof *f);
    struct hands hands = HANDS_INIT;
    char url[80];

    assert_non_null(f);
    f->hands.clock = hands.clock;
    f->hands.wall = hands.wall;
    f->hands.mono = hands.mono;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/cordon-heard-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(url, sizeof url, "sqlite:%s/h.db", f->dir);
    assert_int_equal(store_open(url, false, &f->hands.clock, &f->s, NULL), ERR_OK);
    assert_int_equal(heard_new(f->s, &f->heard, NULL), ERR_OK);
    f->a = arena_new(0);
    return f;
}

static void close_shelf(struct shelf *f)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    char path[80];

    heard_free(f->heard);
    store_free(f->s);
    arena_free(f->a);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(path, sizeof path, "%s/h.db%s", f->dir, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
}

/* When the store says that a source was heard, after all that was submitted; 0: never. */
static int64_t noted(struct shelf *f, const char *source)
{
    struct heartbeat *list;
    size_t n;

    assert_int_equal(store_work_hurry(f->s, NULL), ERR_OK); /* what came before is done before */
    assert_int_equal(store_heartbeat_list(f->s, f->a, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].source, source) == 0)
            return list[i].heard;
    return 0;
}

static void test_heard__is_written_once_in_a_while(void **state)
{
    static const struct {
        int64_t heartbeat, lag;
    } rows[] = {
        {0, MINUTE_MS},          {HOUR_MS, MINUTE_MS}, {20 * MINUTE_MS, MINUTE_MS},
        {10 * MINUTE_MS, 30000}, {2000, 100},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct shelf *f = open_shelf();
        const struct config_source source = {.name = "flow", .heartbeat_ms = rows[i].heartbeat};
        int64_t start = clock_wall_ms(&f->hands.clock);

        assert_int_equal(HEARTBEAT_LAG_MS(rows[i].heartbeat), rows[i].lag);
        heard_note(f->heard, &source, start);
        assert_int_equal(noted(f, "flow"), start);
        heard_note(f->heard, &source, start + 1);
        heard_note(f->heard, &source, start + rows[i].lag - 1);
        assert_int_equal(noted(f, "flow"), start);
        heard_note(f->heard, &source, start + rows[i].lag);
        assert_int_equal(noted(f, "flow"), start + rows[i].lag);
        heard_note(f->heard, &source, start - HOUR_MS); /* the clock was set back */
        assert_int_equal(noted(f, "flow"), start - HOUR_MS);
        close_shelf(f);
    }
}

static void test_heard__each_source_is_noted_by_itself(void **state)
{
    const struct config_source one = {.name = "one"}, two = {.name = "two"};
    struct shelf *f = open_shelf();

    (void)state;
    heard_note(f->heard, &one, 1000);
    heard_note(f->heard, &two, 2000);
    assert_int_equal(noted(f, "one"), 1000);
    assert_int_equal(noted(f, "two"), 2000);
    assert_int_equal(noted(f, "three"), 0);
    close_shelf(f);
}

/* A sender that is told to come again does, sooner than the lag: it was heard, and the store says so. */
static void test_heard__what_was_not_written_is_written_with_the_next(void **state)
{
    const struct config_source source = {.name = "flow", .heartbeat_ms = HOUR_MS};
    struct shelf *f = open_shelf();
    char file[80];
    sqlite3 *other;

    (void)state;
    (void)snprintf(file, sizeof file, "%s/h.db", f->dir);
    assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    heard_note(f->heard, &source, 1000);
    assert_int_equal(store_work_hurry(f->s, NULL), ERR_AGAIN); /* it had its turn before this one */
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(noted(f, "flow"), 0);
    heard_note(f->heard, &source, 2000);
    assert_int_equal(noted(f, "flow"), 2000);
    heard_note(f->heard, &source, 3000);
    assert_int_equal(noted(f, "flow"), 2000);
    close_shelf(f);
}

/* Nobody waits for the writes before it is freed. */
static void test_heard__may_be_freed_before_the_store_has_written(void **state)
{
    const struct config_source source = {.name = "flow"};
    struct shelf *f = open_shelf();

    (void)state;
    heard_note(f->heard, &source, 1000);
    heard_free(f->heard);
    f->heard = NULL;
    assert_int_equal(noted(f, "flow"), 1000);
    close_shelf(f);
}

struct many {
    struct heard *heard;
    int from;
};

static void *note_many(void *arg)
{
    const struct many *m = arg;

    for (int i = 0; i < 500; i++) {
        char name[20];
        struct config_source source = {.name = name};

        (void)snprintf(name, sizeof name, "s%d", (m->from + i) % 5);
        heard_note(m->heard, &source, 1000);
    }
    return NULL;
}

static void test_heard__many_threads_write_each_source_once(void **state)
{
    struct shelf *f = open_shelf();
    struct db_counts before, after;
    struct many many[4];
    pthread_t threads[4];

    (void)state;
    db_counts(f->s->db, &before);
    for (int i = 0; i < 4; i++) {
        many[i] = (struct many){f->heard, i};
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, &many[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 5; i++) {
        char name[20];

        (void)snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(noted(f, name), 1000);
    }
    db_counts(f->s->db, &after);
    assert_int_equal(after.closures - before.closures, 5 + 5); /* and one per call of noted */
    close_shelf(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heard__is_written_once_in_a_while),
        cmocka_unit_test(test_heard__each_source_is_noted_by_itself),
        cmocka_unit_test(test_heard__what_was_not_written_is_written_with_the_next),
        cmocka_unit_test(test_heard__may_be_freed_before_the_store_has_written),
        cmocka_unit_test(test_heard__many_threads_write_each_source_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
