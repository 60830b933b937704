/* test_arena.c - memory that is released all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "kit/torture.h"

static bool is_zero(const unsigned char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

static void test_arena__pieces_are_zeroed_aligned_and_apart(void **state)
{
    enum { PIECES = 2000 };
    static unsigned char *pieces[PIECES];
    AUTO(arena_freep) struct arena *a = arena_new(0);

    (void)state;
    assert_non_null(a);
    for (int i = 0; i < PIECES; i++) { /* sizes across several chunks, and larger than one */
        size_t size = (size_t)i * 7 % 900 + (i % 500 == 0 ? 9000 : 0);

        pieces[i] = arena_alloc(a, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        assert_true(is_zero(pieces[i], size));
        memset(pieces[i], i % 255 + 1, size);
    }
    for (int i = 0; i < PIECES; i++) {
        size_t size = (size_t)i * 7 % 900 + (i % 500 == 0 ? 9000 : 0);

        for (size_t j = 0; j < size; j++)
            assert_int_equal(pieces[i][j], i % 255 + 1);
    }
}

static void test_arena__nothing_is_a_piece_too(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(16);

    (void)state;
    assert_non_null(arena_alloc(a, 0));
    assert_string_equal(arena_str(a, ""), "");
    assert_string_equal(arena_strn(a, NULL, 0), "");
    assert_string_equal(arena_fmt(a, "%s", ""), "");
}

static void test_arena__copies_strings(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(8);
    char source[] = "a text that is longer than the chunk";
    char *whole = arena_str(a, source), *part = arena_strn(a, source, 6);
    char *made = arena_fmt(a, "%s/%d/%s", "cases", 7, source);

    (void)state;
    memset(source, 'x', sizeof source - 1);
    assert_string_equal(whole, "a text that is longer than the chunk");
    assert_string_equal(part, "a text");
    assert_string_equal(made, "cases/7/a text that is longer than the chunk");
}

static void test_arena__sizes_that_overflow_are_refused(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);

    (void)state;
    for (size_t less = 0; less < 64; less++) {
        assert_null(arena_alloc(a, SIZE_MAX - less));
        assert_null(arena_strn(a, "", SIZE_MAX - less));
    }
    assert_null(arena_array(a, SIZE_MAX / 2, 3));
    assert_null(arena_array(a, 3, SIZE_MAX / 2));
    assert_non_null(arena_array(a, 0, SIZE_MAX));
    assert_non_null(arena_array(a, 10, 10));
}

static void test_arena__null_may_be_freed(void **state)
{
    (void)state;
    arena_free(NULL);
}

static void test_arena__survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        struct arena *a;
        bool failed, missing = false;

        torture_arm(n);
        a = arena_new(64);
        for (int i = 0; a && i < 50; i++)
            missing |= !arena_alloc(a, 40) || !arena_str(a, "text") || !arena_fmt(a, "%d", i);
        failed = torture_disarm();
        assert_int_equal(failed, !a || missing);
        if (a)
            assert_string_equal(arena_str(a, "goes on"), "goes on");
        arena_free(a);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(test_arena__nothing_is_a_piece_too),
        cmocka_unit_test(test_arena__copies_strings),
        cmocka_unit_test(test_arena__sizes_that_overflow_are_refused),
        cmocka_unit_test(test_arena__null_may_be_freed),
        cmocka_unit_test(test_arena__survives_every_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
