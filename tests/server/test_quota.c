/* test_quota.c - the governor of calls, by a clock whose hands the test turns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kit/hands.h"
#include "kit/torture.h"
#include "quota.h"
#include "store.h"
#include "store_quota.h"

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
    assert_int_equal(quota_wait(q, false), 0);
    quota_block(q, 9000);
    quota_block(q, 1000);
    assert_int_equal(quota_wait(q, false), 9000);
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
    assert_int_equal(quota_wait(q, false), MINUTE_MS); /* an action could go at once */
    assert_int_equal(quota_take(q, true, NULL), ERR_OK);
    hands_turn(&h, MINUTE_MS);
    assert_int_equal(quota_wait(q, false), 0);
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
        quota_inherit(&to, from);
        quota_inherit(&to, to);
        assert_int_equal(quota_wait(to, false) >= 500, 1);
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

/* ---- kept in the store --------------------------------------------------------------------------- */

struct kept {
    struct hands h;
    char dir[64], url[100];
    struct store *store;
};

static void kept_open(struct kept *k)
{
    struct hands h = HANDS_INIT;

    k->h.clock = h.clock;
    k->h.wall = h.wall;
    k->h.mono = h.mono;
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/cordon-quota-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->url, sizeof k->url, "sqlite:%s/q.db", k->dir);
    assert_int_equal(store_open(k->url, false, &k->h.clock, &k->store, NULL), ERR_OK);
}

static void kept_close(struct kept *k)
{
    static const char *const names[] = {"q.db", "q.db-wal", "q.db-shm", "q.db.lock", "q.db-lock"};
    char path[128];

    store_free(k->store);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", k->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(k->dir), 0);
}

static struct quota *keep(struct kept *k, const char *app, enum quota_keeping keeping)
{
    struct quota *q = make(&k->h, 100, 1500);

    assert_int_equal(quota_keep(q, k->store, app, keeping, NULL), ERR_OK);
    return q;
}

/* Another process on the same store, after the first has ended. */
static void reopen(struct kept *k)
{
    store_free(k->store);
    assert_int_equal(store_open(k->url, false, &k->h.clock, &k->store, NULL), ERR_OK);
}

static void test_quota__a_restart_does_not_begin_the_hour_anew(void **state)
{
    struct kept k;
    struct quota *q;
    int64_t minute, hour;

    (void)state;
    kept_open(&k);
    q = keep(&k, "a/b", QUOTA_ALONE);
    for (int i = 0; i < 14; i++) { /* 80 a minute, and 1,200 an hour: what reads may */
        assert_int_equal(drain(q, false), 80);
        hands_turn(&k.h, MINUTE_MS);
    }
    assert_int_equal(drain(q, false), 80);
    quota_free(q);
    reopen(&k);
    q = keep(&k, "a/b", QUOTA_ALONE);
    quota_used(q, &minute, &hour);
    assert_int_equal(minute, 80);
    assert_int_equal(hour, 1200);
    hands_turn(&k.h, MINUTE_MS);
    assert_int_equal(drain(q, false), 0);
    assert_int_equal(drain(q, true), 100); /* what was kept for actions */
    quota_free(q);
    q = keep(&k, "a/another", QUOTA_ALONE);
    assert_int_equal(drain(q, false), 80);
    quota_free(q);
    kept_close(&k);
}

/* A process that was killed has noted all but its last few calls. */
static void test_quota__a_crash_forgets_a_few_calls_at_most(void **state)
{
    struct kept k;
    struct quota *q, *next;
    int64_t minute, hour;

    (void)state;
    kept_open(&k);
    q = keep(&k, "a/b", QUOTA_ALONE);
    for (int i = 0; i < 67; i++)
        assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    reopen(&k); /* what was handed to the disk is there; q noted nothing more */
    next = keep(&k, "a/b", QUOTA_ALONE);
    quota_used(next, &minute, &hour);
    assert_in_range(hour, 67 - QUOTA_NOTE_CALLS, 67);
    quota_free(next);
    assert_int_equal(quota_keep(q, k.store, "a/gone", QUOTA_SHARED, NULL), ERR_OK);
    quota_free(q);
    kept_close(&k);
}

static void test_quota__a_block_outlives_the_process(void **state)
{
    struct kept k;
    struct quota *q;

    (void)state;
    kept_open(&k);
    q = keep(&k, "a/b", QUOTA_ALONE);
    quota_block(q, 10 * MINUTE_MS);
    quota_block(q, MINUTE_MS);
    quota_free(q);
    reopen(&k);
    hands_turn(&k.h, MINUTE_MS);
    q = keep(&k, "a/b", QUOTA_ALONE);
    assert_int_equal(quota_wait(q, true), 9 * MINUTE_MS);
    quota_free(q);
    kept_close(&k);
}

/* Two governors on one store are two processes to it. */
static void test_quota__those_who_share_take_slices_of_one_budget(void **state)
{
    struct kept k;
    struct quota *one, *two;
    struct err e = {0};
    int all = 0, each[2] = {0};

    (void)state;
    kept_open(&k);
    one = keep(&k, "a/b", QUOTA_SHARED);
    two = keep(&k, "a/b", QUOTA_SHARED);
    for (int i = 0; i < 200; i++)
        each[i % 2] += !quota_take(i % 2 ? one : two, false, NULL);
    all = each[0] + each[1];
    assert_int_equal(all, 80);
    assert_int_equal(each[0], 40);
    assert_int_equal(drain(one, true) + drain(two, true), 20);
    assert_int_equal(quota_take(one, true, &e), ERR_THROTTLED);
    assert_true(e.retry_ms > 0 && e.retry_ms <= MINUTE_MS + 10 * SECOND_MS);
    hands_turn(&k.h, e.retry_ms);
    assert_true(drain(one, true) + drain(two, true) <= 100);
    quota_free(one);
    quota_free(two);
    kept_close(&k);
}

/* However slices are taken, used and given back: no minute of the calls made holds more than the limit. */
static void test_quota__slices_never_add_up_to_more(void **state)
{
    struct kept k;
    struct quota *q[3];
    static int64_t times[4000];
    unsigned seed = 4711;
    int n = 0;

    (void)state;
    kept_open(&k);
    for (int i = 0; i < 3; i++)
        q[i] = keep(&k, "a/b", QUOTA_SHARED);
    for (int i = 0; i < 1500; i++) {
        seed = seed * 1103515245 + 12345;
        for (unsigned burst = seed >> 16 & 15; burst; burst--)
            if (!quota_take(q[(seed >> 20) % 3], (seed >> 24) & 1, NULL) && n < 4000)
                times[n++] = clock_mono_ms(&k.h.clock);
        hands_turn(&k.h, (int64_t)(seed >> 16 & 2047));
    }
    assert_true(n > 1000);
    for (int i = 100; i < n; i++)
        assert_true(times[i] - times[i - 100] >= MINUTE_MS);
    for (int i = 0; i < 3; i++)
        quota_free(q[i]);
    kept_close(&k);
}

/* A slice that was hardly used goes back to the others. */
static void test_quota__what_is_not_used_of_a_slice_goes_back(void **state)
{
    struct kept k;
    struct quota *one, *two;
    int got = 0;

    (void)state;
    kept_open(&k);
    one = keep(&k, "a/b", QUOTA_SHARED);
    two = keep(&k, "a/b", QUOTA_SHARED);
    for (int i = 0; i < 5; i++) { /* one call of each slice */
        assert_int_equal(quota_take(one, false, NULL), ERR_OK);
        hands_turn(&k.h, 10 * SECOND_MS);
    }
    got = drain(two, false);
    assert_in_range(got, 80 - 5 - 10, 80 - 5);
    quota_free(one);
    quota_free(two);
    kept_close(&k);
}

/* A 429 that one of them gets holds back the others. */
static void test_quota__a_block_is_for_all_who_share(void **state)
{
    struct kept k;
    struct quota *one, *two;

    (void)state;
    kept_open(&k);
    one = keep(&k, "a/b", QUOTA_SHARED);
    two = keep(&k, "a/b", QUOTA_SHARED);
    quota_block(one, 8000);
    assert_int_equal(drain(two, true), 0);
    hands_turn(&k.h, 8000);
    assert_true(drain(two, true) > 0);
    quota_free(one);
    quota_free(two);
    kept_close(&k);
}

/* A clock that is set back makes no call of before one that counts for a day, nor a block longer than the longest. */
static void test_quota__a_clock_set_back_holds_nobody_up(void **state)
{
    struct kept k;
    struct quota *q, *one, *two;

    (void)state;
    kept_open(&k);
    q = keep(&k, "a/b", QUOTA_SHARED);
    assert_int_equal(drain(q, true), 100);
    atomic_fetch_add(&k.h.wall, -DAY_MS);
    assert_int_equal(drain(q, true), 0);
    hands_turn(&k.h, 2 * MINUTE_MS);
    /* the store is asked: they count as if they were made now */
    assert_int_equal(drain(q, true), 0);
    hands_turn(&k.h, 2 * MINUTE_MS);
    assert_int_equal(drain(q, true), 100);
    quota_free(q);

    q = keep(&k, "a/c", QUOTA_SHARED);
    quota_block(q, 8000);
    quota_free(q);
    atomic_fetch_add(&k.h.wall, -(2 * DAY_MS));
    q = keep(&k, "a/c", QUOTA_SHARED); /* who has not seen the answer */
    assert_true(drain(q, true) > 0);
    quota_free(q);
    /* Nor does that one of before stand in the place of one that holds now. */
    one = keep(&k, "a/c", QUOTA_SHARED);
    two = keep(&k, "a/c", QUOTA_SHARED);
    hands_turn(&k.h, 2 * MINUTE_MS);
    quota_block(one, 8000);
    assert_int_equal(drain(two, true), 0);
    hands_turn(&k.h, 8000);
    assert_true(drain(two, true) > 0);
    quota_free(one);
    quota_free(two);
    kept_close(&k);
}

/* Nor is one that was over when the clock is set right, by however little of a day, begun anew by that: neither for those who
 * share the budget nor for the next start. */
static void test_quota__a_block_that_is_over_stays_so_when_the_clock_is_set_back(void **state)
{
    static const enum quota_keeping keepings[] = {QUOTA_SHARED, QUOTA_ALONE};

    (void)state;
    for (size_t i = 0; i < sizeof keepings / sizeof *keepings; i++) {
        struct kept k;
        struct quota *one, *two;

        kept_open(&k);
        one = keep(&k, "a/b", keepings[i]);
        assert_int_equal(drain(one, false), 80);
        quota_block(one, 8000);
        hands_turn(&k.h, 10 * MINUTE_MS);
        assert_true(drain(one, false) > 0);
        atomic_fetch_add(&k.h.wall, -(3 * HOUR_MS));
        quota_free(one);
        reopen(&k); /* the block is on disk */
        two = keep(&k, "a/b", keepings[i]);
        hands_turn(&k.h, MINUTE_MS); /* what was called before counts as if it were called now */
        (void)drain(two, true);
        hands_turn(&k.h, 2 * MINUTE_MS);
        assert_true(drain(two, true) > 0);
        quota_free(two);
        kept_close(&k);
    }
}

/* Its last few calls are noted when it ends; a reload takes over what is not noted yet. */
static void test_quota__what_ends_or_is_replaced_has_noted_its_calls(void **state)
{
    (void)state;
    for (int reload = 0; reload < 2; reload++) {
        struct kept k;
        struct quota *q, *next;
        int64_t minute, hour;

        kept_open(&k);
        q = keep(&k, "a/b", QUOTA_ALONE);
        for (int i = 0; i < QUOTA_NOTE_CALLS / 2; i++)
            assert_int_equal(quota_take(q, false, NULL), ERR_OK);
        if (reload) {
            next = make(&k.h, 100, 1500);
            quota_inherit(&next, q);
            quota_free(q);
            q = next;
        }
        quota_free(q);
        reopen(&k);
        q = keep(&k, "a/b", QUOTA_ALONE);
        quota_used(q, &minute, &hour);
        assert_int_equal(hour, QUOTA_NOTE_CALLS / 2);
        quota_free(q);
        kept_close(&k);
    }
}

/* Who shares a budget goes on sharing it after a reload, and counts the calls that it made itself. */
static void test_quota__a_reload_goes_on_sharing(void **state)
{
    struct kept k;
    struct quota *one, *two, *next;
    int64_t minute, hour;

    (void)state;
    kept_open(&k);
    one = keep(&k, "a/b", QUOTA_SHARED);
    two = keep(&k, "a/b", QUOTA_SHARED);
    assert_int_equal(quota_take(one, true, NULL), ERR_OK);
    next = make(&k.h, 100, 1500);
    quota_inherit(&next, one);
    quota_free(one);
    assert_in_range(drain(two, true), 85, 99);
    assert_in_range(drain(next, true), 0, 10);
    quota_used(two, &minute, &hour);
    assert_in_range(minute, 85, 99);
    assert_int_equal(hour, minute);
    quota_free(next);
    quota_free(two);
    kept_close(&k);
}

/* Who is at work by the configuration of before goes on with that, for minutes where many wait. */
static void test_quota__a_reload_makes_no_second_budget(void **state)
{
    struct kept k;
    struct quota *before, *after, *other;

    (void)state;
    kept_open(&k);
    before = keep(&k, "a/b", QUOTA_ALONE);
    after = make(&k.h, 100, 1500);
    quota_inherit(&after, before);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(quota_take(before, true, NULL), ERR_OK);
        assert_int_equal(quota_take(after, true, NULL), ERR_OK);
    }
    other = make(&k.h, 50, 1500); /* of another tenant of the same app */
    quota_inherit(&after, other);
    quota_free(other);
    assert_int_equal(drain(after, true), 40);
    assert_int_equal(drain(before, true), 0);
    hands_turn(&k.h, MINUTE_MS);
    quota_block(before, 500); /* what Defender has told the one */
    assert_int_equal(drain(after, true), 0);
    quota_free(before);
    hands_turn(&k.h, 500);
    assert_int_equal(drain(after, true), 100);
    quota_free(after);
    kept_close(&k);
}

/* Nor does one that changes the limits: who is at work by those of before counts together with all others, by the new ones. */
static void test_quota__a_reload_with_other_limits_makes_no_second_budget(void **state)
{
    struct kept k;
    struct quota *before, *between, *after;

    (void)state;
    kept_open(&k);
    before = keep(&k, "a/b", QUOTA_ALONE);
    between = make(&k.h, 100, 1000);
    quota_inherit(&between, before);
    quota_leave_to(before, between);
    after = make(&k.h, 40, 1000);
    quota_inherit(&after, between);
    quota_leave_to(between, after);
    quota_free(between);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(quota_take(before, true, NULL), ERR_OK);
        assert_int_equal(quota_take(after, true, NULL), ERR_OK);
    }
    assert_int_equal(quota_room(before, true), 20);
    assert_int_equal(quota_per_minute(before), 40);
    assert_int_equal(drain(after, true), 20);
    assert_int_equal(drain(before, true), 0);
    assert_true(quota_wait(before, true) > 0);
    hands_turn(&k.h, MINUTE_MS);
    quota_block(before, 500);
    assert_int_equal(drain(after, true), 0);
    quota_free(before);
    hands_turn(&k.h, 500);
    assert_int_equal(drain(after, true), 40);
    quota_free(after);
    kept_close(&k);
}

/* Of the hour, too, reads leave a fifth to the actions of all who share it; and when the store has none left
 * nobody is told that there are. */
static void test_quota__those_who_share_an_hour_leave_a_fifth_to_actions(void **state)
{
    struct kept k;
    struct quota *one, *two;

    (void)state;
    kept_open(&k);
    one = make(&k.h, 100, 50);
    two = make(&k.h, 100, 50);
    assert_int_equal(quota_keep(one, k.store, "a/b", QUOTA_SHARED, NULL), ERR_OK);
    assert_int_equal(quota_keep(two, k.store, "a/b", QUOTA_SHARED, NULL), ERR_OK);
    assert_int_equal(drain(one, false), 40);
    assert_int_equal(drain(two, false), 0);
    assert_true(quota_wait(two, false) > 0); /* though it made no call itself */
    assert_true(quota_wait_for(two, false, 2) > 0);
    assert_int_equal(quota_room(two, false), 0);
    assert_int_equal(quota_pressure(two), 1000);
    assert_int_equal(quota_wait(two, true), 0);
    assert_int_equal(drain(two, true), 10);
    quota_free(one);
    quota_free(two);
    kept_close(&k);
}

/* A block that was noted before the clock was set back by days is none; and what is kept of more calls than are
 * allowed now is as many as are counted. */
static void test_quota__what_is_kept_is_measured_by_what_holds_now(void **state)
{
    struct kept k;
    struct quota *q;
    int64_t minute, hour;

    (void)state;
    kept_open(&k);
    q = keep(&k, "a/b", QUOTA_ALONE);
    quota_block(q, 8000);
    quota_free(q);
    reopen(&k);
    atomic_fetch_add(&k.h.wall, -(2 * DAY_MS));
    q = keep(&k, "a/b", QUOTA_ALONE);
    assert_int_equal(quota_wait(q, false), 0);
    assert_int_equal(drain(q, true), 100);
    quota_free(q);
    reopen(&k);
    q = make(&k.h, 10, 20);
    assert_int_equal(quota_keep(q, k.store, "a/b", QUOTA_ALONE, NULL), ERR_OK);
    quota_used(q, &minute, &hour);
    assert_int_equal(hour, 20);
    assert_int_equal(quota_room(q, true), 0);
    quota_free(q);
    kept_close(&k);
}

/* defender-api.md section 7.4: some APIs allow less, and each of their calls is one of all. */
static void test_quota__some_apis_allow_less(void **state)
{
    static const struct {
        enum quota_class class;
        int per_minute, actions;
    } rows[] = {{QUOTA_ALERT_UPDATES, 8, 10},
                {QUOTA_ALERT_CREATE, 12, 15},
                {QUOTA_LIVE_RESPONSE, 8, 10},
                {QUOTA_PACKAGE_URI, 2, 2},
                {QUOTA_INDICATORS, 24, 30}};

    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct kept k;

        kept_open(&k);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            char app[20];
            struct quota *q;
            int n = 0;

            (void)snprintf(app, sizeof app, "a/%zu", i);
            q = keep(&k, app, shared ? QUOTA_SHARED : QUOTA_ALONE);
            while (n < 1000 && !quota_take_class(q, rows[i].class, false, NULL))
                n++;
            assert_int_equal(n, rows[i].per_minute);
            while (n < 1000 && !quota_take_class(q, rows[i].class, true, NULL))
                n++;
            assert_int_equal(n, rows[i].actions);
            if (!shared)
                assert_int_equal(drain(q, true), 100 - n);
            quota_free(q);
        }
        kept_close(&k);
    }
}

static void test_quota__says_how_much_is_left(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 1500);

    (void)state;
    assert_int_equal(quota_room(q, false), 80);
    assert_int_equal(quota_room(q, true), 100);
    assert_int_equal(quota_pressure(q), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    assert_int_equal(quota_room(q, false), 40);
    assert_int_equal(quota_pressure(q), 500);
    (void)drain(q, true);
    assert_int_equal(quota_room(q, true), 0);
    assert_int_equal(quota_pressure(q), 1000);
    hands_turn(&h, MINUTE_MS);
    assert_int_equal(quota_pressure(q), 0);
    quota_block(q, 100);
    assert_int_equal(quota_room(q, true), 0);
    quota_free(q);
}

/* When there will be several at once: what comes free first must not be taken one by one. */
static void test_quota__says_when_several_calls_are_free(void **state)
{
    struct hands h = HANDS_INIT;
    struct quota *q = make(&h, 100, 1500);

    (void)state;
    assert_int_equal(quota_wait_for(q, true, 100), 0);
    for (int i = 0; i < 100; i++) { /* one every 100 ms */
        assert_int_equal(quota_take(q, true, NULL), ERR_OK);
        hands_turn(&h, 100);
    }
    assert_int_equal(quota_wait_for(q, true, 1), 50000);
    assert_int_equal(quota_wait_for(q, true, 2), 50100);
    assert_int_equal(quota_wait_for(q, true, 100), 59900);
    assert_int_equal(quota_wait_for(q, true, 101), 59900); /* there never are more */
    assert_int_equal(quota_wait_for(q, false, 1), 52000);  /* those after the actions' fifth */
    hands_turn(&h, 50100);
    assert_int_equal(quota_wait_for(q, true, 2), 0);
    assert_int_equal(quota_room(q, true), 2);
    quota_free(q);
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
        cmocka_unit_test(test_quota__a_restart_does_not_begin_the_hour_anew),
        cmocka_unit_test(test_quota__a_crash_forgets_a_few_calls_at_most),
        cmocka_unit_test(test_quota__a_block_outlives_the_process),
        cmocka_unit_test(test_quota__those_who_share_take_slices_of_one_budget),
        cmocka_unit_test(test_quota__slices_never_add_up_to_more),
        cmocka_unit_test(test_quota__what_is_not_used_of_a_slice_goes_back),
        cmocka_unit_test(test_quota__a_block_is_for_all_who_share),
        cmocka_unit_test(test_quota__a_clock_set_back_holds_nobody_up),
        cmocka_unit_test(test_quota__a_block_that_is_over_stays_so_when_the_clock_is_set_back),
        cmocka_unit_test(test_quota__what_ends_or_is_replaced_has_noted_its_calls),
        cmocka_unit_test(test_quota__a_reload_goes_on_sharing),
        cmocka_unit_test(test_quota__a_reload_makes_no_second_budget),
        cmocka_unit_test(test_quota__a_reload_with_other_limits_makes_no_second_budget),
        cmocka_unit_test(test_quota__those_who_share_an_hour_leave_a_fifth_to_actions),
        cmocka_unit_test(test_quota__what_is_kept_is_measured_by_what_holds_now),
        cmocka_unit_test(test_quota__some_apis_allow_less),
        cmocka_unit_test(test_quota__says_how_much_is_left),
        cmocka_unit_test(test_quota__says_when_several_calls_are_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
