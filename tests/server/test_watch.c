/* test_watch.c - a file that was replaced is noticed, however that was done, once it has settled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch.h"

struct stage {
    char folder[64];
    struct watch *watch;
};

static const char *at(const struct stage *s, const char *name)
{
    static char paths[4][200];
    static unsigned turn;
    char *out = paths[turn++ % 4];

    (void)snprintf(out, sizeof *paths, "%s/%s", s->folder, name);
    return out;
}

static void put(const struct stage *s, const char *name, const char *text)
{
    FILE *f = fopen(at(s, name), "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void note(const struct stage *s, const char *name)
{
    struct stat st;

    watch_note(s->watch, at(s, name), stat(at(s, name), &st) == 0 ? &st : NULL);
}

static int setup(void **state)
{
    struct stage *s = calloc(1, sizeof *s);

    assert_non_null(s);
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/watch-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    assert_int_equal(watch_new(&s->watch, NULL), ERR_OK);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"a",        "b",        "later",   "..data",
                                        "1/secret", "2/secret", "3/secret"};
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        (void)unlink(at(s, files[i]));
    for (const char *n = "123"; *n; n++)
        (void)rmdir(at(s, (const char[]){*n, '\0'}));
    assert_int_equal(rmdir(s->folder), 0);
    watch_free(s->watch);
    free(s);
    return 0;
}

/* The name of the file that a look names; "": none. */
static const char *look(const struct stage *s)
{
    const char *path = watch_look(s->watch);

    return path ? path + strlen(s->folder) + 1 : "";
}

static void expect_change(const struct stage *s, const char *name)
{
    assert_string_equal(look(s), ""); /* it has just changed */
    assert_string_equal(look(s), name);
    assert_string_equal(look(s), name); /* until it is read */
}

static void test_watch__sees_a_file_written_over(void **state)
{
    struct stage *s = *state;

    put(s, "a", "one");
    put(s, "b", "one");
    note(s, "a");
    note(s, "b");
    for (int i = 0; i < 3; i++)
        assert_string_equal(look(s), "");
    put(s, "b", "another");
    expect_change(s, "b");
}

static void test_watch__sees_a_file_renamed_over(void **state)
{
    struct stage *s = *state;

    put(s, "a", "one");
    note(s, "a");
    put(s, "b", "two"); /* of the same length, maybe in the same moment */
    assert_int_equal(rename(at(s, "b"), at(s, "a")), 0);
    expect_change(s, "a");
}

/* As a Kubernetes volume does it: name -> ..data/name, and ..data swings to another folder. */
static void test_watch__sees_a_link_swing(void **state)
{
    struct stage *s = *state;

    for (const char *n = "12"; *n; n++) {
        const char name[] = {*n, '\0'}, file[] = {*n, '/', 's', 'e', 'c', 'r', 'e', 't', '\0'};

        assert_int_equal(mkdir(at(s, name), 0700), 0);
        put(s, file, "text");
    }
    assert_int_equal(symlink("1", at(s, "..data")), 0);
    assert_int_equal(symlink("..data/secret", at(s, "a")), 0);
    note(s, "a");
    assert_string_equal(look(s), "");
    assert_int_equal(symlink("2", at(s, "b")), 0);
    assert_int_equal(rename(at(s, "b"), at(s, "..data")), 0);
    expect_change(s, "a");
}

static void test_watch__sees_a_file_go_and_come(void **state)
{
    struct stage *s = *state;

    put(s, "a", "one");
    note(s, "a");
    note(s, "later"); /* not there yet */
    assert_string_equal(look(s), "");
    assert_int_equal(unlink(at(s, "a")), 0);
    expect_change(s, "a");
    watch_free(s->watch);
    assert_int_equal(watch_new(&s->watch, NULL), ERR_OK);
    note(s, "later");
    put(s, "later", "now");
    expect_change(s, "later");
}

static void test_watch__waits_until_a_pair_is_whole_but_not_for_ever(void **state)
{
    struct stage *s = *state;
    int looks = 0;

    put(s, "a", "one");
    put(s, "b", "one");
    note(s, "a");
    note(s, "b");
    put(s, "a", "a longer one");
    assert_string_equal(look(s), "");
    put(s, "b", "a longer one");
    assert_string_equal(look(s), ""); /* the other came in between */
    assert_string_not_equal(look(s), "");

    for (const char *text = "0123456789abcdefghij"; *text && !*look(s); text++, looks++)
        put(s, "a", text); /* another length each time */
    assert_in_range(looks, 0, 10);
}

static void test_watch__a_reading_that_failed_waits_for_the_next_change(void **state)
{
    struct stage *s = *state;
    struct watch *old = s->watch;

    put(s, "a", "one");
    put(s, "b", "one");
    note(s, "a");
    note(s, "b");
    put(s, "a", "broken");
    expect_change(s, "a");
    assert_int_equal(watch_new(&s->watch, NULL), ERR_OK);
    note(s, "a"); /* read, and found faulty; b was not even reached */
    watch_take_over(s->watch, old);
    watch_free(old);
    assert_string_equal(look(s), "");
    assert_string_equal(look(s), "");
    put(s, "b", "another");
    expect_change(s, "b");
}

/* A pipe cannot be read twice, and its times change without end. */
static void test_watch__passes_over_what_is_no_file(void **state)
{
    struct stage *s = *state;

    assert_int_equal(mkfifo(at(s, "a"), 0600), 0);
    note(s, "a");
    assert_int_equal(unlink(at(s, "a")), 0);
    assert_string_equal(look(s), "");
    assert_string_equal(look(s), "");
    watch_note(NULL, at(s, "a"), NULL); /* nobody wants to know */
    watch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_watch__##name, setup, teardown)
        TEST(sees_a_file_written_over),
        TEST(sees_a_file_renamed_over),
        TEST(sees_a_link_swing),
        TEST(sees_a_file_go_and_come),
        TEST(waits_until_a_pair_is_whole_but_not_for_ever),
        TEST(a_reading_that_failed_waits_for_the_next_change),
        TEST(passes_over_what_is_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
