/* test_zone.c - offsets of places, held against the C library's. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "clock.h"
#include "zone.h"

#define DAY_S 86400

static const struct zone *load(struct arena *a, const char *name)
{
    const struct zone *z = NULL;
    struct err e = {0};

    if (zone_load(name, a, &z, &e))
        fail_msg("%s: %s", name, e.text);
    return z;
}

static long libc_offset(int64_t at)
{
    time_t t = at;
    struct tm tm;

    assert_non_null(localtime_r(&t, &tm));
    return tm.tm_gmtoff;
}

/* Names of every kind: an hour, half an hour, negative summer time, changes at midnight, four a year, a day left out, a rule
 * far behind the table, no rule at all. */
static const char *const names[] = {
    "Europe/Stockholm", "America/New_York",  "Australia/Lord_Howe",
    "America/Santiago", "Africa/Casablanca", "Europe/Dublin",
    "Pacific/Apia",     "Asia/Kolkata",      "Asia/Kathmandu",
    "America/St_Johns", "Africa/Cairo",      "Asia/Tehran",
    "Pacific/Chatham",  "Etc/GMT+12",        "UTC",
    "America/Nuuk",
};

static void test_zone__says_what_the_c_library_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        const struct zone *z = load(a, names[i]);

        assert_int_equal(setenv("TZ", names[i], 1), 0);
        tzset();
        /* 1900 to 2150, in steps that are no part of a day, and around every change found */
        for (int64_t t = -2208988800; t < 5680281600; t += 5 * DAY_S + 4567) {
            struct zone_span s = zone_span_at(z, t);

            assert_true(s.from <= t && t < s.until);
            if (s.offset != libc_offset(t))
                fail_msg("%s at %" PRId64 ": %" PRId32 " instead of %ld", names[i], t, s.offset,
                         libc_offset(t));
            if (s.until < INT64_MAX && (zone_span_at(z, s.until).offset != libc_offset(s.until) ||
                                        s.offset != libc_offset(s.until - 1)))
                fail_msg("%s: another offset around its change at %" PRId64, names[i], s.until);
            if (s.from > INT64_MIN && s.from > -2208988800 && s.offset != libc_offset(s.from))
                fail_msg("%s: another offset at its change at %" PRId64, names[i], s.from);
        }
    }
    (void)unsetenv("TZ");
    tzset();
}

static void test_zone__spans_join(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        const struct zone *z = load(a, names[i]);
        struct zone_span s = zone_span_at(z, -2208988800);

        for (int n = 0; s.until < 7258118400; n++) { /* 2200 */
            struct zone_span next = zone_span_at(z, s.until);

            assert_true(next.from == s.until && next.until > s.until);
            assert_true(n < 2000);
            s = next;
        }
    }
}

static void test_zone__refuses_what_is_no_name(void **state)
{
    static const struct {
        const char *name;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"", ERR_INVALID, "expected a time zone such as"},
        {"../../etc/passwd", ERR_INVALID, "expected a time zone"},
        {"/etc/localtime", ERR_INVALID, "expected a time zone"},
        {"Europe//Stockholm", ERR_INVALID, "expected a time zone"},
        {"Europe/Stockholm ", ERR_INVALID, "expected a time zone"},
        {"Europe/Stokholm", ERR_NOT_FOUND,
         "there is no time zone 'Europe/Stokholm'; did you mean Europe/Stockholm?"},
        {"europe/berlin", ERR_NOT_FOUND,
         "there is no time zone 'europe/berlin'; did you mean Europe/Berlin?"},
        {"Mars/Phobos", ERR_NOT_FOUND,
         "there is no time zone 'Mars/Phobos'; expected one such as Europe/Stockholm"},
        {"Europe/Stockholm/x", ERR_NOT_FOUND, "there is no time zone"},
        {"Europe", ERR_NOT_FOUND, "there is no time zone 'Europe'"},
        {"utc", ERR_NOT_FOUND, "there is no time zone 'utc'; did you mean UTC?"},
        /* EST and GMT+0 are one letter away, and hours */
        {"PST", ERR_NOT_FOUND,
         "there is no time zone 'PST'; expected one such as Europe/Stockholm"},
        {"CEST", ERR_NOT_FOUND,
         "there is no time zone 'CEST'; expected one such as Europe/Stockholm"},
        {"GMT+1", ERR_NOT_FOUND,
         "there is no time zone 'GMT+1'; expected one such as Europe/Stockholm"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        const struct zone *z = NULL;
        struct err e = {0};
        enum err_code code = zone_load(rows[i].name, a, &z, &e);

        if (code != rows[i].code || !strstr(e.text, rows[i].says) || z)
            fail_msg("'%s': %s: %s", rows[i].name, err_name(code), e.text);
    }
}

static size_t read_file(const char *path, unsigned char *out, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t len;

    assert_non_null(f);
    len = fread(out, 1, room, f);
    (void)fclose(f);
    return len;
}

static void test_zone__survives_a_broken_file(void **state)
{
    static unsigned char whole[65536], broken[65536];
    size_t len = read_file("/usr/share/zoneinfo/Europe/Dublin", whole, sizeof whole);
    const struct zone *z = NULL;
    unsigned seed = 1;
    struct err e;

    (void)state;
    assert_true(len > 100);
    for (size_t cut = 0; cut < len;
         cut++) { /* of its own size, so that a sanitizer sees what is read beyond */
        AUTO(arena_freep) struct arena *a = arena_new(0);
        AUTO(auto_free) unsigned char *part = malloc(cut + 1);

        memcpy(part, whole, cut);
        assert_int_not_equal(zone_parse(part, cut, a, &z, &e), ERR_OK);
        assert_non_null(strstr(e.text, "not a file of tzdata"));
    }
    for (int n = 0; len && n < 20000; n++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);

        memcpy(broken, whole, len);
        for (int k = 0; k < 1 + n % 4; k++)
            broken[(unsigned)rand_r(&seed) % len] = (unsigned char)rand_r(&seed);
        if (zone_parse(broken, len, a, &z, &e) == ERR_OK)
            for (int64_t t = -3000000000; t < 9000000000; t += 700000000) {
                struct zone_span s = zone_span_at(z, t);

                assert_true(s.from <= t && t < s.until);
            }
    }
}

static void test_zone__dates_are_the_inverse_of_days(void **state)
{
    (void)state;
    for (int64_t day = -800000; day < 800000; day += 13) {
        int64_t year;
        int month, of_month;

        zone_date_of(day, &year, &month, &of_month);
        assert_true(month >= 1 && month <= 12);
        assert_true(of_month >= 1 && of_month <= clock_month_length(year, month));
        assert_int_equal(clock_day_of(year, month, of_month), day);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zone__says_what_the_c_library_says),
        cmocka_unit_test(test_zone__spans_join),
        cmocka_unit_test(test_zone__refuses_what_is_no_name),
        cmocka_unit_test(test_zone__survives_a_broken_file),
        cmocka_unit_test(test_zone__dates_are_the_inverse_of_days),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
