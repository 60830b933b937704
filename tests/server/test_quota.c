/* test_quota.c - the governor of calls, by a clock whose hands the test turns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kit/hands.h"
#include "kit/torture.h"
#include "quota.h"

static struct quota *make(struct hands *h, int64_t per_minute, int64_t per_hour)
{
    struct quota *q = NULL;

    assert_int_equal(quota_new(per_minute, per_hour, &h->clock, &q, NULL), ERR_OK);
    return q;
}

/* Takes until it is refused; at most 10,000. */
static int drain(struct quota *q, bool action)
{
    int n = 0;

    while (n < 10000 && !quota_take(q, action, NULL))
        n++;
    return n;
}

static void test_quota__reads_leave_a_fifth_to_actions(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 1500);

    (void)state;
    assert_int_equal(drain(q, false), 80);
    assert_int_equal(drain(q, true), 20);
    assert_int_equal(drain(q, false), 0);
    quota_free(q);
}

static void test_quota__actions_may_use_all_of_it(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 1500);

    (void)state;
    assert_int_equal(drain(q, true), 100);
    assert_int_equal(drain(q, false), 0);
    quota_free(q);
}

static void test_quota__the_window_slides_call_by_call(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 10, 1000);
    struct err e = {0};

    (void)state;
    for (int i = 0; i < 10; i++) { /* one every 2 s */
        assert_int_equal(quota_take(q, true, NULL), ERR_OK);
        hands_turn(&h, 2000);
    }
    assert_int_equal(quota_take(q, true, &e), ERR_THROTTLED);
    assert_int_equal(e.retry_ms, MINUTE_MS - 20000); /* until the first is a minute old */
    hands_turn(&h, e.retry_ms - 1);
    assert_int_equal(quota_take(q, true, NULL), ERR_THROTTLED);
    hands_turn(&h, 1);
    assert_int_equal(quota_take(q, true, NULL), ERR_OK);
    assert_int_equal(quota_take(q, true, &e), ERR_THROTTLED);
    assert_int_equal(e.retry_ms, 2000);
    quota_free(q);
}

/* Never more than the limit within any minute, however the calls come. */
static void test_quota__no_minute_holds_more_than_the_limit(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 20, 100000);
    int64_t times[2000];
    unsigned seed = 12345;
    int n = 0;

    (void)state;
    while (n < 2000) {
        if (!quota_take(q, true, NULL))
            times[n++] = clock_mono_ms(&h.clock);
        else
            hands_turn(&h, (int64_t)((seed = seed * 1103515245 + 12345) >> 16 & 4095));
    }
    for (int i = 20; i < n; i++)
        assert_true(times[i] - times[i - 20] >= MINUTE_MS);
    quota_free(q);
}

static void test_quota__the_hour_has_a_limit_of_its_own(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 250);
    struct err e = {0};
    int all = 0;

    (void)state;
    for (int minute = 0; minute < 60; minute++) {
        all += drain(q, true);
        hands_turn(&h, MINUTE_MS - 1);
    }
    assert_int_equal(all, 250);
    assert_int_equal(quota_take(q, true, &e), ERR_THROTTLED);
    assert_true(e.retry_ms > 0 && e.retry_ms <= MINUTE_MS);
    quota_free(q);
}

/* An hour's limit below the minute's is meant as it stands. */
static void test_quota__an_hour_may_allow_less_than_a_minute(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 30);
    int64_t minute, hour;

    (void)state;
    assert_int_equal(drain(q, true), 30);
    hands_turn(&h, 2 * MINUTE_MS);
    assert_int_equal(drain(q, true), 0);
    quota_used(q, &minute, &hour);
    assert_int_equal(minute, 0);
    assert_int_equal(hour, 30);
    hands_turn(&h, HOUR_MS);
    assert_int_equal(drain(q, true), 30);
    quota_free(q);
}

static void test_quota__the_smallest_budget_still_lets_one_through(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 1, 1);

    (void)state;
    assert_int_equal(drain(q, false), 1);
    assert_int_equal(drain(q, true), 0);
    hands_turn(&h, HOUR_MS);
    assert_int_equal(drain(q, true), 1);
    quota_free(q);
}

/* defender-api.md section 7.3: calls before the end of a Retry-After lengthen it. */
static void test_quota__a_block_holds_all_back_and_is_never_shortened(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 1500);
    struct err e = {0};

    (void)state;
    assert_int_equal(quota_wait(q), 0);
    quota_block(q, 9000);
    quota_block(q, 1000);
    assert_int_equal(quota_wait(q), 9000);
    assert_int_equal(quota_take(q, true, &e), ERR_THROTTLED);
    assert_int_equal(e.retry_ms, 9000);
    hands_turn(&h, 8999);
    assert_int_equal(quota_take(q, false, NULL), ERR_THROTTLED);
    hands_turn(&h, 1);
    assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    quota_free(q);
}

static void test_quota__waiting_is_told_for_reads(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 10, 1000);

    (void)state;
    assert_int_equal(drain(q, false), 8);
    assert_int_equal(quota_wait(q), MINUTE_MS); /* an action could go at once */
    assert_int_equal(quota_take(q, true, NULL), ERR_OK);
    hands_turn(&h, MINUTE_MS);
    assert_int_equal(quota_wait(q), 0);
    quota_free(q);
}

static void test_quota__counts_what_was_used(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 1500);
    int64_t minute, hour;

    (void)state;
    quota_used(q, &minute, &hour);
    assert_int_equal(minute, 0);
    assert_int_equal(hour, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    hands_turn(&h, MINUTE_MS);
    assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    quota_used(q, &minute, &hour);
    assert_int_equal(minute, 1);
    assert_int_equal(hour, 6);
    hands_turn(&h, HOUR_MS - MINUTE_MS);
    quota_used(q, &minute, &hour);
    assert_int_equal(minute, 0);
    assert_int_equal(hour, 1);
    quota_free(q);
}

/* Defender counts on while cordon reads its configuration again. */
static void test_quota__a_reload_inherits_what_was_taken(void **state)
{
    static const struct {
        int64_t per_minute, per_hour;
        int left;
    } rows[] = {{100, 1500, 40}, {200, 1500, 140}, {50, 1500, 0}, {100, 60, 0}, {10, 10, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hands h = HANDS_INIT;
        struct quota *from = make(&h, 100, 1500);
        struct quota *to = make(&h, rows[i].per_minute, rows[i].per_hour);

        for (int n = 0; n < 60; n++)
            assert_int_equal(quota_take(from, true, NULL), ERR_OK);
        quota_block(from, 500);
        quota_inherit(to, from);
        quota_inherit(to, to);
        assert_int_equal(quota_wait(to) >= 500, 1);
        assert_int_equal(drain(to, true), 0);
        hands_turn(&h, 500);
        assert_int_equal(drain(to, true), rows[i].left);
        quota_free(from);
        assert_int_equal(drain(to, true), 0);
        quota_free(to);
    }
}

struct taker {
    struct quota *q;
    pthread_t thread;
    int got;
};

static void *take_many(void *arg)
{
    struct taker *t = arg;

    for (int i = 0; i < 500; i++)
        t->got += !quota_take(t->q, i % 2, NULL);
    return NULL;
}

static void test_quota__threads_share_one_budget(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 300, 10000);
    struct taker takers[4] = {0};
    int all = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        takers[i].q = q;
        assert_int_equal(pthread_create(&takers[i].thread, NULL, take_many, &takers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        (void)pthread_join(takers[i].thread, NULL);
        all += takers[i].got;
    }
    assert_int_equal(all, 300);
    quota_free(q);
}

static void test_quota__says_when_there_is_no_memory(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = NULL;
    struct err e = {0};
    enum err_code code;

    (void)state;
    torture_arm(1);
    code = quota_new(100, 1500, &h.clock, &q, &e);
    assert_true(torture_disarm());
    assert_int_equal(code, ERR_NOMEM);
    assert_null(q);
    quota_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota__reads_leave_a_fifth_to_actions),
        cmocka_unit_test(test_quota__actions_may_use_all_of_it),
        cmocka_unit_test(test_quota__the_window_slides_call_by_call),
        cmocka_unit_test(test_quota__no_minute_holds_more_than_the_limit),
        cmocka_unit_test(test_quota__the_hour_has_a_limit_of_its_own),
        cmocka_unit_test(test_quota__an_hour_may_allow_less_than_a_minute),
        cmocka_unit_test(test_quota__the_smallest_budget_still_lets_one_through),
        cmocka_unit_test(test_quota__a_block_holds_all_back_and_is_never_shortened),
        cmocka_unit_test(test_quota__waiting_is_told_for_reads),
        cmocka_unit_test(test_quota__counts_what_was_used),
        cmocka_unit_test(test_quota__a_reload_inherits_what_was_taken),
        cmocka_unit_test(test_quota__threads_share_one_budget),
        cmocka_unit_test(test_quota__says_when_there_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
