/* test_buf.c - a run of bytes that carries its limit and remembers its first failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auto.h"
#include "buf.h"
#include "kit/torture.h"

static void test_buf__is_an_empty_string_at_first(void **state)
{
    struct buf b = BUF_INIT(10);

    (void)state;
    assert_null(b.data);
    assert_string_equal(buf_text(&b), "");
    assert_int_equal(buf_failed(&b), ERR_OK);
    buf_clear(&b);
    buf_clear(&b);
}

static void test_buf__appends_in_order(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(100);

    (void)state;
    buf_adds(&b, "GET ");
    buf_addc(&b, '/');
    buf_add(&b, "alerts?rest", 6);
    buf_addf(&b, "/%s?n=%d", "da63", 7);
    buf_add(&b, NULL, 0);
    buf_adds(&b, "");
    assert_string_equal(buf_text(&b), "GET /alerts/da63?n=7");
    assert_int_equal(b.len, strlen(buf_text(&b)));
    assert_int_equal(buf_failed(&b), ERR_OK);
}

static void test_buf__holds_any_byte(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(100);

    (void)state;
    buf_add(&b, "a\0b\xff", 4);
    buf_addc(&b, '\0');
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "a\0b\xff\0", 6); /* and the NUL that does not count */
}

static void test_buf__grows_over_many_appends(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);

    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_addf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 200000);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.data[i], i % 2 ? ',' : '0' + (int)(i / 2 % 10));
}

static void test_buf__reaches_its_limit_and_no_further(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 200; limit++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(limit);

        for (size_t i = 0; i < limit; i++)
            buf_addc(&b, 'x');
        assert_int_equal(buf_failed(&b), ERR_OK);
        assert_int_equal(b.len, limit);
        buf_addc(&b, 'y');
        assert_int_equal(buf_failed(&b), ERR_TOO_BIG);
        assert_int_equal(b.len, limit);
        assert_null(strchr(buf_text(&b), 'y'));
    }
}

static void test_buf__an_append_goes_in_whole_or_not_at_all(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(8);

    (void)state;
    buf_adds(&b, "12345");
    buf_adds(&b, "6789");
    assert_int_equal(buf_failed(&b), ERR_TOO_BIG);
    assert_string_equal(buf_text(&b), "12345");
    buf_adds(&b, "6"); /* there is room, but the first failure stays */
    buf_addf(&b, "%d", 6);
    buf_addc(&b, '6');
    assert_string_equal(buf_text(&b), "12345");
    assert_int_equal(buf_failed(&b), ERR_TOO_BIG);
}

static void test_buf__lengths_that_overflow_are_too_big(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(SIZE_MAX - 1);
    AUTO(buf_clear) struct buf small = BUF_INIT(16);

    (void)state;
    buf_adds(&b, "x");
    buf_add(&b, "", SIZE_MAX - 1);
    assert_int_equal(buf_failed(&b), ERR_TOO_BIG);
    buf_add(&small, "", SIZE_MAX);
    assert_int_equal(buf_failed(&small), ERR_TOO_BIG);
    assert_null(small.data); /* the limit was met before malloc was */
}

static void test_buf__reset_keeps_the_memory_and_forgets_the_rest(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4);
    const char *data;

    (void)state;
    buf_adds(&b, "four");
    data = b.data;
    buf_adds(&b, "more");
    buf_reset(&b);
    assert_int_equal(buf_failed(&b), ERR_OK);
    assert_string_equal(buf_text(&b), "");
    buf_adds(&b, "new");
    assert_ptr_equal(b.data, data);
    assert_string_equal(buf_text(&b), "new");
}

static void test_buf__clear_keeps_the_limit(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4);

    (void)state;
    buf_adds(&b, "too long");
    buf_clear(&b);
    assert_int_equal(b.limit, 4);
    assert_int_equal(buf_failed(&b), ERR_OK);
    buf_adds(&b, "four");
    assert_string_equal(buf_text(&b), "four");
}

static void test_buf__take_moves_the_bytes_out(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(10);
    char *taken;

    (void)state;
    buf_adds(&b, "mine");
    taken = buf_take(&b);
    assert_string_equal(taken, "mine");
    free(taken);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.limit, 10);
    taken = buf_take(&b); /* of an empty one: a string all the same */
    assert_string_equal(taken, "");
    free(taken);
}

static void test_buf__survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
        bool failed;
        size_t len;

        torture_arm(n);
        for (int i = 0; i < 1000; i++)
            buf_add(&b, "0123456789", 10);
        len = b.len;
        buf_adds(&b, "end");
        failed = torture_disarm();
        assert_int_equal(buf_failed(&b), failed ? ERR_NOMEM : ERR_OK);
        assert_int_equal(b.len, failed ? len : 10003);
        assert_int_equal(strlen(buf_text(&b)), b.len);
        if (!failed)
            break;
    }
}

static void test_buf__writes_numbers(void **state)
{
    struct buf b = BUF_INIT(200);

    (void)state;
    buf_addi(&b, 0);
    buf_addc(&b, ' ');
    buf_addi(&b, -10);
    buf_addc(&b, ' ');
    buf_addi(&b, INT64_MAX);
    buf_addc(&b, ' ');
    buf_addi(&b, INT64_MIN);
    assert_string_equal(buf_text(&b), "0 -10 9223372036854775807 -9223372036854775808");
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__writes_numbers),
        cmocka_unit_test(test_buf__is_an_empty_string_at_first),
        cmocka_unit_test(test_buf__appends_in_order),
        cmocka_unit_test(test_buf__holds_any_byte),
        cmocka_unit_test(test_buf__grows_over_many_appends),
        cmocka_unit_test(test_buf__reaches_its_limit_and_no_further),
        cmocka_unit_test(test_buf__an_append_goes_in_whole_or_not_at_all),
        cmocka_unit_test(test_buf__lengths_that_overflow_are_too_big),
        cmocka_unit_test(test_buf__reset_keeps_the_memory_and_forgets_the_rest),
        cmocka_unit_test(test_buf__clear_keeps_the_limit),
        cmocka_unit_test(test_buf__take_moves_the_bytes_out),
        cmocka_unit_test(test_buf__survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
