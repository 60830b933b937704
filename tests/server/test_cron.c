/* test_cron.c - schedules: what they may say, and five years of them in six places, held against a cron that lives
 * through every minute (cron_oracle.py). */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "cron.h"
#include "kit/program.h"

static struct cron parse(const char *text)
{
    struct cron c;
    struct err e = {0};

    if (cron_parse(text, &c, &e))
        fail_msg("%s: %s", text, e.text);
    return c;
}

/* ---- what a schedule may say ------------------------------------------------------------------- */

static void test_cron__same_schedules_in_other_words(void **state)
{
    static const char *const rows[][2] = {
        {"@hourly", "0 * * * *"},
        {"@Daily", "0 0 * * *"},
        {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 7"},
        {"@monthly", "0 0 1 * *"},
        {"@yearly", "0 0 1 jan *"},
        {" @annually ", "0 0 1 1 *"},
        {"\t0  0\t1 1 * ", "0 0 1 1 *"},
        {"0 0 * jan-MAR Mon-fri", "0 0 * 1-3 1-5"},
        {"0 0 * * fri-7", "0 0 * * 0,5,6"},
        {"0 0 * * 0-7", "0 0 * * sun-sat"},
        {"10-50/20 00 01 02 *", "10,30,50 0 1 2 *"},
        {"5,10-12,*/30 1 1 1 1", "5,10,11,12,0,30 1 1 1 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cron a = parse(rows[i][0]), b = parse(rows[i][1]);

        if (a.minutes != b.minutes || a.hours != b.hours || a.days != b.days ||
            a.months != b.months || a.weekdays != b.weekdays)
            fail_msg("%s is not %s", rows[i][0], rows[i][1]);
    }
}

static void test_cron__refuses_the_rest(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "0 of its five fields are there"},
        {"* * * *", "4 of its five fields are there"},
        {"* * * * * *", "'*' comes after its five fields"},
        {"0 0 * * * /bin/sh", "'/bin/sh' comes after"},
        {"60 * * * *", "minute: found '60'"},
        {"* 24 * * *", "hour: found '24'"},
        {"* * 0 * *", "day of the month: found '0'"},
        {"* * 32 * *", "day of the month: found '32'"},
        {"* * * 13 *", "month: found '13'"},
        {"* * * 0 *", "month: found '0'"},
        {"* * * * 8", "day of the week: found '8'"},
        {"* * * jane *", "month: found 'jane'"},
        {"* * * ja *", "month: found 'ja'"},
        {"jan * * * *", "minute: found 'jan'"},
        {"-1 * * * *", "minute: found '-1'"},
        {"+1 * * * *", "minute: found '+1'"},
        {"1- * * * *", "minute: found '1-', expected a range"},
        {"30-10 * * * *", "expected a range that goes up"},
        {"* * * * fri-mon", "expected a range that goes up"},
        {"5/15 * * * *", "expected a step of * or of a range"},
        {"*/0 * * * *", "expected a step from 1"},
        {"*/90 * * * *", "expected a step from 1"},
        {"*/ * * * *", "expected a step from 1"},
        {"*/5/5 * * * *", "minute: found '*/5/5'"},
        {"*5 * * * *", "minute: found '*5'"},
        {"1,,2 * * * *", "minute: found ''"},
        {",1 * * * *", "minute: found ''"},
        {"1, * * * *", "minute: found ''"},
        {"0 0 L * *", "day of the month: found 'L'"},
        {"0 0 ? * *", "day of the month: found '?'"},
        {"0 0 * * mon#2", "day of the week: found 'mon#2'"},
        {"0x10 * * * *", "minute: found '0x10'"},
        {"0001 * * * *", "minute: found '0001'"},
        {"@reboot", "found '@reboot', expected five fields or one of @hourly"},
        {"@hourly now", "expected five fields or one of"},
        {"@", "expected five fields or one of"},
        {"0 0 30 2 *", "it never comes"},
        {"0 0 31 4,6,9,11 *", "it never comes"},
        {"0 0 31 feb */2", "it never comes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cron c;
        struct err e = {0};

        if (cron_parse(rows[i].text, &c, &e) != ERR_INVALID || !strstr(e.text, rows[i].says))
            fail_msg("'%s': %s", rows[i].text, e.text);
    }
}

/* ---- when it comes ----------------------------------------------------------------------------- */

static void check_next(const char *schedule, const char *place, const char *after, const char *want)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct cron c = parse(schedule);
    char got[CLOCK_TEXT_SIZE];
    const struct zone *z;
    int64_t at;

    assert_int_equal(zone_load(place, a, &z, NULL), ERR_OK);
    assert_int_equal(clock_parse(after, &at, NULL), ERR_OK);
    clock_format(cron_next(&c, z, at), got);
    if (strncmp(got, want, strlen(want)) != 0)
        fail_msg("%s in %s after %s: %s instead of %s", schedule, place, after, got, want);
}

static void test_cron__comes_when_debians_does(void **state)
{
    static const char stockholm[] = "Europe/Stockholm", santiago[] = "America/Santiago";

    (void)state;
    check_next("* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00.000Z");
    check_next("* * * * *", "UTC", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00.000Z");
    check_next("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00");
    check_next("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00");
    /* Sundays: 40 years, around 2100 */
    check_next("0 0 29 2 */7", "UTC", "2088-03-01T00:00:00Z", "2128-02-29T00:00");
    check_next("0 12 13 * fri", "UTC", "2026-01-02T12:00:00Z", "2026-01-09T12:00");   /* either */
    check_next("0 12 */12 * fri", "UTC", "2026-01-02T12:00:00Z", "2026-02-13T12:00"); /* both */
    /* 02:00 to 03:00 is left out: at the moment of the change, once */
    check_next("30 2 * * *", stockholm, "2026-03-28T12:00:00Z", "2026-03-29T01:00");
    check_next("30 2 * * *", stockholm, "2026-03-29T01:00:00Z", "2026-03-30T00:30");
    check_next("0,30 2,3 * * *", stockholm, "2026-03-29T01:00:00Z", "2026-03-29T01:30");
    check_next("*/30 2 * * *", stockholm, "2026-03-28T12:00:00Z", "2026-03-30T00:00");
    /* 02:00 to 03:00 comes twice: the first counts, but for a * */
    check_next("30 2 * * *", stockholm, "2026-10-24T12:00:00Z", "2026-10-25T00:30");
    check_next("30 2 * * *", stockholm, "2026-10-25T00:30:00Z", "2026-10-26T01:30");
    check_next("0 3 * * *", stockholm, "2026-10-25T00:30:00Z", "2026-10-25T02:00");
    check_next("30 * * * *", stockholm, "2026-10-25T00:30:00Z", "2026-10-25T01:30");
    check_next("*/30 2 * * *", stockholm, "2026-10-25T00:30:00Z", "2026-10-25T01:00");
    check_next("@hourly", stockholm, "2026-10-25T00:00:00Z", "2026-10-25T01:00");
    /* midnight itself is left out, or comes twice */
    check_next("@daily", santiago, "2026-09-05T12:00:00Z", "2026-09-06T04:00");
    check_next("@daily", santiago, "2026-04-04T12:00:00Z", "2026-04-05T04:00");
    check_next("30 23 * * *", santiago, "2026-04-05T02:30:00Z", "2026-04-06T03:30");
    /* half an hour */
    check_next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30");
    /* a day that never was is no summer time */
    check_next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2012-12-29T22:00");
}

/* Every line of what the oracle says about one place. */
static void hold_against_oracle(const char *place)
{
    const char *const argv[] = {
        "/usr/bin/python3", "tests/server/cron_oracle.py", "2023", "5", place, NULL};
    AUTO(arena_freep) struct arena *a = arena_new(0);
    const struct zone *z;
    struct cron c = {0};
    const char *schedule = NULL;
    int64_t at = 0, end, runs = 0, schedules = 0;
    struct ran ran;

    assert_int_equal(zone_load(place, a, &z, NULL), ERR_OK);
    assert_int_equal(clock_parse("2028-01-01T00:00:00Z", &end, NULL), ERR_OK);
    program_run(&ran, NULL, NULL, argv);
    if (ran.code)
        fail_msg("the oracle: %s", ran.err);
    for (char *rest = NULL, *line = strtok_r(ran.out, "\n", &rest);;
         line = strtok_r(NULL, "\n", &rest)) {
        int64_t got = schedule ? cron_next(&c, z, at) : 0;

        if (line && *line != '=') {
            int64_t want = strtoll(line, NULL, 10) * SECOND_MS;

            if (got != want)
                fail_msg("%s in %s after %" PRId64 ": %" PRId64 " instead of %" PRId64, schedule,
                         place, at / SECOND_MS, got / SECOND_MS, want / SECOND_MS);
            at = got;
            runs++;
            continue;
        }
        if (schedule && got < end)
            fail_msg("%s in %s: the oracle knows of no run at %" PRId64, schedule, place,
                     got / SECOND_MS);
        if (!line)
            break;
        schedule = strchr(line, '\t') + 1;
        c = parse(schedule);
        assert_int_equal(clock_parse("2022-12-31T23:59:00Z", &at, NULL), ERR_OK);
        schedules++;
    }
    print_message("%s: %" PRId64 " schedules, %" PRId64 " runs\n", place, schedules, runs);
    assert_true(schedules > 60 && runs > 200000);
    ran_clear(&ran);
}

static void test_cron__five_years_in_stockholm(void **state)
{
    (void)state;
    hold_against_oracle("Europe/Stockholm");
}

static void test_cron__five_years_in_new_york(void **state)
{
    (void)state;
    hold_against_oracle("America/New_York");
}

static void test_cron__five_years_in_santiago(void **state) /* at midnight */
{
    (void)state;
    hold_against_oracle("America/Santiago");
}

static void test_cron__five_years_on_lord_howe(void **state) /* half an hour */
{
    (void)state;
    hold_against_oracle("Australia/Lord_Howe");
}

static void test_cron__five_years_in_casablanca(void **state) /* around each Ramadan */
{
    (void)state;
    hold_against_oracle("Africa/Casablanca");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cron__same_schedules_in_other_words),
        cmocka_unit_test(test_cron__refuses_the_rest),
        cmocka_unit_test(test_cron__comes_when_debians_does),
        cmocka_unit_test(test_cron__five_years_in_stockholm),
        cmocka_unit_test(test_cron__five_years_in_new_york),
        cmocka_unit_test(test_cron__five_years_in_santiago),
        cmocka_unit_test(test_cron__five_years_on_lord_howe),
        cmocka_unit_test(test_cron__five_years_in_casablanca),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
