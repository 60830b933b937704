/* test_id.c - ids that sort by time and are never made twice. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "id.h"

static _Atomic int64_t hand; /* of a clock that a test turns */

static int64_t read_hand(const struct clock *c)
{
    (void)c;
    return hand;
}

static const struct clock turned = {.wall_ms = read_hand, .mono_ms = read_hand};

#define YEAR_2026 1767225600000

static void test_id__grows_with_time(void **state)
{
    int64_t first, later;

    (void)state;
    hand = YEAR_2026;
    first = id_new(&turned);
    hand = YEAR_2026 + 1;
    later = id_new(&turned);
    assert_true(first > 0);
    assert_true(later > first);
    assert_int_equal((later >> 22) - (first >> 22), 1); /* the upper bits are milliseconds */
    assert_int_equal(first >> 22, YEAR_2026 - 1577836800000);
}

static void test_id__grows_in_one_millisecond_and_when_the_clock_goes_back(void **state)
{
    int64_t last, id;

    (void)state;
    hand = YEAR_2026 + 10;
    last = id_new(&turned);
    for (int i = 0; i < 100000; i++) {
        if (i == 50000)
            hand = YEAR_2026 - DAY_MS;
        id = id_new(&turned);
        assert_true(id > last);
        last = id;
    }
}

/* Another process made one by a clock that was ahead: what comes after it is greater, and so is all that follows. */
static void test_id__grows_beyond_what_another_process_made(void **state)
{
    int64_t theirs, id, next;

    (void)state;
    hand = YEAR_2026 + 20;
    theirs = id_new(&turned) + ((int64_t)DAY_MS << 22);
    id = id_new_after(&turned, theirs);
    assert_true(id > theirs);
    next = id_new(&turned);
    assert_true(next > id);
    assert_true(id_new_after(&turned, 0) > next);
    assert_true(id_new_after(&turned, theirs) > next);
}

static void test_id__has_room_until_2089(void **state)
{
    (void)state;
    hand = 3776859600000; /* 2089-09-07 */
    assert_true(id_new(&turned) > 0);
    assert_true(id_of_time(hand) > 0);
    assert_true(id_of_time(253402300799000) == INT64_MAX); /* 9999-12-31, which somebody asks for */
}

enum { THREADS = 4, EACH = 50000 };

static void *make_many(void *arg)
{
    int64_t *ids = arg;

    for (int i = 0; i < EACH; i++)
        ids[i] = id_new(clock_system());
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void test_id__threads_never_make_the_same(void **state)
{
    static int64_t ids[THREADS * EACH];
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, ids + i * EACH), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 1; i < THREADS * EACH; i++)
        assert_true(i % EACH == 0 || ids[i] > ids[i - 1]);
    qsort(ids, THREADS * EACH, sizeof *ids, compare);
    for (int i = 1; i < THREADS * EACH; i++)
        assert_true(ids[i] != ids[i - 1]);
}

static void test_id__text_reads_back(void **state)
{
    static const struct {
        int64_t id;
        const char *text;
    } rows[] = {
        {0, "0000000000000"},  {1, "0000000000001"},         {31, "000000000000z"},
        {32, "0000000000010"}, {INT64_MAX, "7zzzzzzzzzzzz"},
    };
    uint64_t x = 88172645463325252;
    char text[ID_TEXT_SIZE], before[ID_TEXT_SIZE] = "";
    int64_t id, got;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ptr_equal(id_format(rows[i].id, text), text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(id_parse(text, &got, NULL), ERR_OK);
        assert_int_equal(got, rows[i].id);
    }
    for (int i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        id = (int64_t)(x >> 1);
        assert_int_equal(id_parse(id_format(id, text), &got, NULL), ERR_OK);
        assert_int_equal(got, id);
    }
    for (int i = 0; i < 1000; i++) { /* texts sort as ids do */
        id_format(id_new(clock_system()), text);
        assert_true(strcmp(before, text) < 0);
        memcpy(before, text, sizeof text);
    }
}

static void test_id__reads_either_case(void **state)
{
    int64_t lower, upper;

    (void)state;
    assert_int_equal(id_parse("01hzabcdefghj", &lower, NULL), ERR_OK);
    assert_int_equal(id_parse("01HZABCDEFGHJ", &upper, NULL), ERR_OK);
    assert_int_equal(lower, upper);
}

static void test_id__refuses_the_rest(void **state)
{
    static const char *const rows[] = {
        "",
        "1",
        "000000000000",   /* 12 */
        "00000000000000", /* 14 */
        "8000000000000",  /* 64 bits */
        "z000000000000",
        "000000000000i",
        "000000000000l",
        "000000000000o",
        "000000000000u",
        "000000000000I",
        "00000000000-0",
        " 000000000000",
        "000000000000 ",
        "+000000000000",
        "-000000000000",
        "00000000000\xc3\xa9",
        "000000000000\n",
        "'; DROP TABLE",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t got = 77;
        struct err e = {0};

        if (id_parse(rows[i], &got, &e) != ERR_INVALID)
            fail_msg("taken: %s", rows[i]);
        assert_int_equal(got, 77);
        assert_int_equal(e.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id__grows_with_time),
        cmocka_unit_test(test_id__grows_in_one_millisecond_and_when_the_clock_goes_back),
        cmocka_unit_test(test_id__threads_never_make_the_same),
        cmocka_unit_test(test_id__text_reads_back),
        cmocka_unit_test(test_id__reads_either_case),
        cmocka_unit_test(test_id__refuses_the_rest),
        cmocka_unit_test(test_id__grows_beyond_what_another_process_made),
        cmocka_unit_test(test_id__has_room_until_2089), /* last: ids never go back from there */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
