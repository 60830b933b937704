/* test_clock.c - timestamps in and out. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "clock.h"

static void test_clock__reads_what_defender_writes(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-01T00:00:00Z", 1767225600000},
        {"2026-01-01T00:00:00.1Z", 1767225600100},
        {"2026-01-01T00:00:00.12Z", 1767225600120},
        {"2026-01-01T00:00:00.123Z", 1767225600123},
        {"2026-01-01T00:00:00.1239Z", 1767225600123},
        {"2026-01-01T00:00:00.00099Z", 1767225600000},
        {"2026-01-01T00:00:00.123456Z", 1767225600123},
        {"2026-01-01T00:00:00.9999999Z", 1767225600999},
        {"2026-01-01T00:00:00.12345678Z", 1767225600123},
        {"2026-01-01T00:00:00.999999999Z", 1767225600999},
        {"2024-02-29T12:30:59Z", 1709209859000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2023-12-31T23:59:59.999Z", 1704067199999},
        {"1969-12-31T23:59:59.999Z", -1},
        {"0001-01-01T00:00:00Z", -62135596800000},         /* .NET's DateTime.MinValue */
        {"9999-12-31T23:59:59.9999999Z", 253402300799999}, /* and MaxValue */
        {"0000-02-29T00:00:00Z", -62162121600000},
        {"1582-10-10T00:00:00Z", -12219724800000}, /* no such day for a Julian */
        {"2038-01-19T03:14:08Z", 2147483648000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t got = 1;
        struct err e = {0};

        if (clock_parse(rows[i].text, &got, &e))
            fail_msg("%s: %s", rows[i].text, e.text);
        if (got != rows[i].want)
            fail_msg("%s: %" PRId64 " instead of %" PRId64, rows[i].text, got, rows[i].want);
    }
}

static void test_clock__refuses_the_rest(void **state)
{
    static const char *const rows[] = {
        "",
        "Z",
        "now",
        "2026",
        "2026-01-01",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00", /* no zone */
        "2026-01-01 00:00:00Z",
        "2026-01-01t00:00:00Z",
        "2026-01-01T00:00:00z",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00-00:00",
        "2026-01-01T02:00:00+02:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z", /* ten digits */
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.5",
        "2026-01-01T00:00:00.5 Z",
        "2026-01-01T00:00:00.-5Z",
        "2026-01-01T00:00:00Z ",
        "2026-01-01T00:00:00ZZ",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5.5Z",
        "+2026-01-01T00:00:00Z",
        "-2026-01-01T00:00:00Z",
        "02026-01-01T00:00:00Z",
        "202-01-01T00:00:00Z",
        "2026-1-01T00:00:00Z",
        "2026-01-1T00:00:00Z",
        "2026-01-01T0:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "1900-02-29T00:00:00Z", /* divisible by 100 */
        "2100-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z", /* Defender has no leap seconds */
        "2026-01-01T00:00:61Z",
        "2026-01-01T 0:00:00Z",
        "2026-01-01T+1:00:00Z",
        "2026-01-01T00:00:0xZ",
        "2026/01/01T00:00:00Z",
        "20260101T000000Z",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "1767225600",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t got = 77;
        struct err e = {0};

        if (clock_parse(rows[i], &got, &e) != ERR_INVALID)
            fail_msg("taken: %s", rows[i]);
        assert_int_equal(got, 77);
        assert_non_null(strstr(e.text, rows[i]));
        assert_int_equal(clock_parse(rows[i], &got, NULL), ERR_INVALID);
    }
}

static void test_clock__every_day_of_four_centuries_is_the_c_librarys(void **state)
{
    char text[CLOCK_TEXT_SIZE];
    int64_t got;

    (void)state;
    for (int year = 1800; year < 2210; year++)
        for (int month = 1; month <= 12; month++)
            for (int day = 1; day <= 31; day++) {
                struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
                int64_t want = (int64_t)timegm(&tm) * 1000;
                bool real = tm.tm_mday == day; /* timegm moves 31 April to May */

                (void)snprintf(text, sizeof text, "%04u-%02u-%02uT00:00:00Z",
                               (unsigned)year % 10000, (unsigned)month % 100, (unsigned)day % 100);
                assert_int_equal(clock_parse(text, &got, NULL), real ? ERR_OK : ERR_INVALID);
                if (real)
                    assert_int_equal(got, want);
            }
}

static void test_clock__writes_milliseconds(void **state)
{
    static const struct {
        int64_t ms;
        const char *want;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {-1001, "1969-12-31T23:59:58.999Z"},
        {1767225600123, "2026-01-01T00:00:00.123Z"},
        {1709209859000, "2024-02-29T12:30:59.000Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        /* what four digits of a year cannot say is cut, never written as something else */
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-62167219200001, "0000-01-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    char text[CLOCK_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ptr_equal(clock_format(rows[i].ms, text), text);
        assert_string_equal(text, rows[i].want);
    }
}

static void test_clock__what_it_writes_it_reads(void **state)
{
    uint64_t x = 88172645463325252; /* xorshift: the same times in every run */
    char text[CLOCK_TEXT_SIZE];

    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t ms, got;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        ms = (int64_t)(x % 315569520000000) - 62167219200000; /* years 0 to 9999 */
        if (clock_parse(clock_format(ms, text), &got, NULL))
            fail_msg("%s", text);
        assert_int_equal(got, ms);
    }
}

static void test_clock__the_hosts_clocks_run(void **state)
{
    const struct clock *c = clock_system();
    int64_t wall = clock_wall_ms(c), mono = clock_mono_ms(c), now = (int64_t)time(NULL) * 1000;

    (void)state;
    assert_true(wall > now - MINUTE_MS && wall < now + MINUTE_MS);
    for (int i = 0; i < 10000; i++) {
        int64_t next = clock_mono_ms(c);

        assert_true(next >= mono);
        mono = next;
    }
}

static void test_clock__is_compared_with_a_date(void **state)
{
    static const struct {
        int64_t date, before, after, off;
    } rows[] = {
        {50000, 50000, 50000, 0},      {50000, 50999, 50999, 0},        {50000, 51000, 51000, 0},
        {50000, 51001, 51002, 1},      {50000, 49000, 50000, 0},        {50000, 49000, 49999, -1},
        {50000, 40000, 60000, 0},      {50000, 351000, 360000, 300000}, {50000, 1000, 2000, -48000},
        {50000, 3650000, 50900, 0}, /* ours was set right meanwhile, an hour back */
        {50000, 3650000, 52000, 1000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(clock_off_ms(rows[i].date, rows[i].before, rows[i].after), rows[i].off);
}

static int64_t noon(const struct clock *c)
{
    (void)c;
    return 12 * HOUR_MS;
}

static void test_clock__a_test_can_turn_the_hands(void **state)
{
    const struct clock c = {.wall_ms = noon, .mono_ms = noon};

    (void)state;
    assert_int_equal(clock_wall_ms(&c), 43200000);
    assert_int_equal(clock_mono_ms(&c), 43200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock__reads_what_defender_writes),
        cmocka_unit_test(test_clock__refuses_the_rest),
        cmocka_unit_test(test_clock__every_day_of_four_centuries_is_the_c_librarys),
        cmocka_unit_test(test_clock__writes_milliseconds),
        cmocka_unit_test(test_clock__what_it_writes_it_reads),
        cmocka_unit_test(test_clock__the_hosts_clocks_run),
        cmocka_unit_test(test_clock__is_compared_with_a_date),
        cmocka_unit_test(test_clock__a_test_can_turn_the_hands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
