/* test_err.c - errors: a code that decides, a sentence that explains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"

static void test_err__set_starts_afresh(void **state)
{
    struct err e = {.code = ERR_IO, .retry_ms = 77, .text = "old"};

    (void)state;
    assert_int_equal(err_set(&e, ERR_AGAIN, "GET %s: HTTP %d", "/alerts", 503), ERR_AGAIN);
    assert_int_equal(e.code, ERR_AGAIN);
    assert_int_equal(e.retry_ms, 0);
    assert_string_equal(e.text, "GET /alerts: HTTP 503");
}

static void test_err__callers_add_where_they_were(void **state)
{
    struct err e;

    (void)state;
    err_set(&e, ERR_THROTTLED, "HTTP 429");
    e.retry_ms = 1500;
    assert_int_equal(err_in(&e, "GET %s", "/alerts/da63"), ERR_THROTTLED);
    assert_int_equal(err_in(&e, "expand case %d", 7), ERR_THROTTLED);
    assert_string_equal(e.text, "expand case 7: GET /alerts/da63: HTTP 429");
    assert_int_equal(e.retry_ms, 1500);
}

static void test_err__where_may_be_taken_from_the_error_itself(void **state)
{
    struct err e;

    (void)state;
    err_set(&e, ERR_IO, "disk");
    err_in(&e, "again %s", e.text);
    assert_string_equal(e.text, "again disk: disk");
}

static void test_err__no_error_stays_none(void **state)
{
    struct err e = {.code = ERR_OK, .text = ""};

    (void)state;
    assert_int_equal(err_in(&e, "somewhere"), ERR_OK);
    assert_string_equal(e.text, "");
}

static void test_err__null_takes_the_code_only(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_NOMEM, "store"), ERR_NOMEM);
    assert_int_not_equal(err_in(NULL, "open"), ERR_OK);
}

/* What err_in makes must be "<where>: <rest>" cut to the room there is, for every length of both. */
static void test_err__long_texts_are_cut_at_the_end(void **state)
{
    enum { ROOM = sizeof((struct err *)0)->text };
    static char where[ROOM * 2], rest[ROOM * 2], want[ROOM * 4 + 3];
    const int lengths[] = {0, 1, 238, ROOM - 4, ROOM - 3, ROOM - 2, ROOM - 1, ROOM, ROOM + 30};
    const int n = sizeof lengths / sizeof *lengths;

    (void)state;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            struct err e;

            memset(where, 'w', sizeof where);
            memset(rest, 'r', sizeof rest);
            where[lengths[i]] = rest[lengths[j]] = '\0';
            err_set(&e, ERR_IO, "%s", rest);
            assert_true(strlen(e.text) <= ROOM - 1);
            rest[ROOM - 1] = '\0';
            assert_string_equal(e.text, rest);
            assert_int_equal(err_in(&e, "%s", where), ERR_IO);
            where[ROOM - 1] = '\0';
            (void)snprintf(want, sizeof want, "%s: %s", where, rest);
            want[ROOM - 1] = '\0';
            assert_string_equal(e.text, want);
        }
}

/* e holds whole, or as much of it as there is room for, and no part of a character. */
static void expect_whole_characters(const struct err *e, const char *whole)
{
    size_t len = strlen(e->text), room = sizeof e->text - 1, all = strlen(whole);

    assert_int_equal(strncmp(e->text, whole, len), 0);
    assert_true(len == all || (all > room && len + 3 >= room));
    assert_true(((unsigned char)whole[len] & 0xc0) != 0x80);
}

/* PostgreSQL takes no text that is not UTF-8: why a case failed could never be written. */
static void test_err__a_cut_leaves_whole_characters(void **state)
{
    static const char *const letters[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x92\xa5"};
    enum { ROOM = sizeof((struct err *)0)->text };

    (void)state;
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        for (int before = ROOM - 10; before < ROOM; before++) {
            char text[ROOM + 8], whole[ROOM + 40];
            struct err e;

            memset(text, 'x', sizeof text);
            memcpy(text + before, letters[i], strlen(letters[i]) + 1);
            err_set(&e, ERR_IO, "%s", text);
            expect_whole_characters(&e, text);
            err_set(&e, ERR_IO, "why");
            err_in(&e, "%s", text); /* the cut goes through the place */
            (void)snprintf(whole, sizeof whole, "%s: why", text);
            if (strlen(text) <= ROOM - 1)
                expect_whole_characters(&e, whole);
            assert_int_equal(strncmp(e.text, text, (size_t)before), 0);
            err_set(&e, ERR_IO, "%s", text);
            err_in(&e, "where"); /* and through the sentence */
            (void)snprintf(whole, sizeof whole, "where: %s", text);
            assert_true(((unsigned char)whole[strlen(e.text)] & 0xc0) != 0x80);
        }
}

static void test_err__every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_CODES; i++) {
        assert_non_null(err_name((enum err_code)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(err_name((enum err_code)i), err_name((enum err_code)j));
    }
    assert_string_equal(err_name(ERR_THROTTLED), "throttled");
    assert_string_equal(err_name(ERR_CODES), "?");
    assert_string_equal(err_name((enum err_code) - 1), "?");
}

static void test_err__what_a_peer_says_is_no_more_than_utf8(void **state)
{
    struct err e = {0};

    (void)state;
    (void)err_set(&e, ERR_AGAIN, "HTTP 503: %.4s)", "\xe6\x97\xa5\xe6\x97\xa5");
    assert_string_equal(e.text, "HTTP 503: \xe6\x97\xa5?)");
    (void)err_in(&e, "webhook \xff");
    assert_string_equal(e.text, "webhook ?: HTTP 503: \xe6\x97\xa5?)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err__set_starts_afresh),
        cmocka_unit_test(test_err__callers_add_where_they_were),
        cmocka_unit_test(test_err__where_may_be_taken_from_the_error_itself),
        cmocka_unit_test(test_err__no_error_stays_none),
        cmocka_unit_test(test_err__null_takes_the_code_only),
        cmocka_unit_test(test_err__long_texts_are_cut_at_the_end),
        cmocka_unit_test(test_err__a_cut_leaves_whole_characters),
        cmocka_unit_test(test_err__what_a_peer_says_is_no_more_than_utf8),
        cmocka_unit_test(test_err__every_code_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
