/* test_gate.c - token buckets, by a clock whose hands the test turns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"
#include "kit/hands.h"
#include "kit/torture.h"

static const struct gate_rate usual = {60000, MINUTE_MS, 20000};

static struct gate *make(struct hands *h)
{
    struct gate *g = NULL;

    assert_int_equal(gate_new(&h->clock, &g, NULL), ERR_OK);
    return g;
}

static const unsigned char *v4(uint32_t address)
{
    static _Thread_local unsigned char out[16];
    const uint32_t wire = htonl(address);

    memset(out, 0, sizeof out);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, &wire, sizeof wire);
    return out;
}

static const unsigned char *v6(const char *text)
{
    static _Thread_local unsigned char out[16];

    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
    return out;
}

/* Knocks until it is turned away; at most a million times. */
static int drain(struct gate *g, const unsigned char *address, const struct gate_rate *r)
{
    int n = 0;

    while (n < 1000000 && gate_enter(g, address, r) == 0)
        n++;
    return n;
}

static void test_gate__a_burst_and_then_what_comes_back(void **state)
{
    const struct gate_rate rate = {100, MINUTE_MS, 200};
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);

    (void)state;
    assert_int_equal(drain(g, v4(1), &rate), 200);
    hands_turn(&h, 6000);
    assert_int_equal(drain(g, v4(1), &rate), 10);
    hands_turn(&h, MINUTE_MS);
    assert_int_equal(drain(g, v4(1), &rate), 100);
    hands_turn(&h, DAY_MS); /* never more than the burst */
    assert_int_equal(drain(g, v4(1), &rate), 200);
    gate_free(g);
}

static void test_gate__the_wait_it_names_is_true_to_the_millisecond(void **state)
{
    static const struct gate_rate rates[] = {
        {100, MINUTE_MS, 200}, {1, SECOND_MS, 1}, {7, 10 * SECOND_MS, 3}, {1000000, SECOND_MS, 50},
        {60000, MINUTE_MS, 1}, {1, DAY_MS, 2},    {999983, DAY_MS, 11},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct hands h = HANDS_INIT;
        struct gate *g = make(&h);
        int64_t wait;

        assert_int_equal(drain(g, v4(1), &rates[i]), rates[i].burst);
        wait = gate_enter(g, v4(1), &rates[i]);
        assert_true(wait > 0 && wait <= rates[i].per_ms / rates[i].requests + 1);
        if (wait > 1) {
            hands_turn(&h, wait - 1);
            assert_int_equal(gate_enter(g, v4(1), &rates[i]), 1);
        }
        hands_turn(&h, 1);
        assert_int_equal(gate_enter(g, v4(1), &rates[i]), 0);
        gate_free(g);
    }
}

static void test_gate__a_storm_of_ten_thousand_is_never_turned_away(void **state)
{
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);

    (void)state;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(gate_enter(g, v4(7), &usual), 0);
        assert_int_equal(gate_source_wait(g, "relay", &usual), 0);
        assert_int_equal(gate_source_take(g, "relay", &usual), 0);
    }
    gate_free(g);
}

/* A sender that is refused pays fifty times, and another one nothing. */
static void test_gate__a_flood_of_bad_ones_is_held_up_and_nobody_else(void **state)
{
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);
    int bad = 0, good = 0;

    (void)state;
    assert_int_equal(gate_blame_cost(&usual), 50);
    for (int ms = 0; ms < 30000; ms++) { /* ten bad ones a millisecond */
        for (int i = 0; i < 10; i++)
            if (gate_enter(g, v4(1), &usual) == 0) {
                gate_blame(g, v4(1), &usual);
                bad++;
            }
        good += gate_enter(g, v4(2), &usual) == 0;
        hands_turn(&h, 1);
    }
    assert_in_range(bad, 380, 400 + 30 * 20); /* 300,000 were tried */
    assert_int_equal(good, 30000);
    hands_turn(&h, MINUTE_MS); /* and it is forgiven */
    assert_int_equal(drain(g, v4(1), &usual), 20000);
    gate_free(g);
}

static void test_gate__blame_for_requests_side_by_side_is_no_endless_debt(void **state)
{
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);

    (void)state;
    for (int i = 0; i < 100000; i++)
        gate_blame(g, v4(1), &usual);
    assert_in_range(gate_enter(g, v4(1), &usual), 1, 20001); /* one burst in debt, no more */
    hands_turn(&h, 20001);
    assert_int_equal(gate_enter(g, v4(1), &usual), 0);
    gate_free(g);
}

static void test_gate__a_refusal_costs_less_where_the_burst_is_small(void **state)
{
    (void)state;
    assert_int_equal(gate_blame_cost(&(struct gate_rate){1, 1000, 1}), 2);
    assert_int_equal(gate_blame_cost(&(struct gate_rate){1, 1000, 1000}), 10);
    assert_int_equal(gate_blame_cost(&(struct gate_rate){1, 1000, 1000000}), 50);
}

static void test_gate__ipv6_counts_by_its_64(void **state)
{
    const struct gate_rate rate = {1, MINUTE_MS, 3};
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);

    (void)state;
    assert_int_equal(gate_enter(g, v6("2001:db8:1:2::1"), &rate), 0);
    assert_int_equal(gate_enter(g, v6("2001:db8:1:2:ffff::9"), &rate), 0);
    assert_int_equal(gate_enter(g, v6("2001:db8:1:2:8000::"), &rate), 0);
    assert_true(gate_enter(g, v6("2001:db8:1:2::77"), &rate) > 0);
    assert_int_equal(gate_enter(g, v6("2001:db8:1:3::1"), &rate), 0);
    /* IPv4 by the address */
    assert_int_equal(drain(g, v4(0x0a000001), &rate), 3);
    assert_int_equal(drain(g, v6("::ffff:10.0.0.1"), &rate), 0);
    assert_int_equal(drain(g, v4(0x0a000002), &rate), 3);
    gate_free(g);
}

/* Whoever owns a large network knocks from a million places, and comes back: his own bucket is not new. */
static void test_gate__nobody_pushes_his_own_bucket_out(void **state)
{
    const struct gate_rate rate = {60, MINUTE_MS, 10};
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);
    char text[64];

    (void)state;
    assert_int_equal(drain(g, v4(1), &rate), 10);
    /* others by the million, each as well behaved as can be */
    for (unsigned i = 0; i < 1000000; i++) {
        (void)snprintf(text, sizeof text, "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
        (void)gate_enter(g, v6(text), &rate);
    }
    /* no time has passed: his debt is where it was, or in a slot whose like he will find */
    assert_true(drain(g, v4(1), &rate) <= 1);
    hands_turn(&h, 10 * SECOND_MS);
    assert_int_equal(drain(g, v4(1), &rate), 10);
    gate_free(g);
}

/* The other way about: many in debt do not make a newcomer pay while there is a full bucket in sight. */
static void test_gate__a_newcomer_gets_the_fullest_bucket(void **state)
{
    const struct gate_rate rate = {60, MINUTE_MS, 10};
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);
    int hurt = 0;

    (void)state;
    for (uint32_t i = 0; i < GATE_SLOTS / 8; i++) /* an eighth of all slots owes all it has */
        (void)drain(g, v4(0x0a000000 + i), &rate);
    for (uint32_t i = 0; i < 10000; i++)
        hurt += gate_enter(g, v4(0xc0000000 + i), &rate) != 0;
    assert_int_equal(hurt, 0);
    gate_free(g);
}

static void test_gate__another_rate_holds_at_once(void **state)
{
    const struct gate_rate slow = {1, DAY_MS, 7}, fast = {1000, SECOND_MS, 1000};
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);

    (void)state;
    assert_int_equal(drain(g, v4(1), &slow), 7);
    assert_int_equal(drain(g, v4(1), &fast), 1000 - 7); /* what is owed is tokens, not days */
    assert_in_range(gate_enter(g, v4(1), &slow), 1, DAY_MS);
    hands_turn(&h, 7 * DAY_MS);
    assert_int_equal(gate_source_take(g, "relay", &slow), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(gate_source_take(g, "relay", &slow), 0);
    assert_true(gate_source_take(g, "relay", &slow) > HOUR_MS);
    assert_int_equal(gate_source_take(g, "relay", &fast), 0);
    gate_free(g);
}

static void test_gate__a_source_pays_for_what_it_takes_alone(void **state)
{
    const struct gate_rate rate = {60, MINUTE_MS, 2};
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(gate_source_wait(g, "relay", &rate), 0);
    assert_int_equal(gate_source_take(g, "relay", &rate), 0);
    assert_int_equal(gate_source_take(g, "relay", &rate), 0);
    assert_int_equal(gate_source_wait(g, "relay", &rate), 1000);
    assert_int_equal(gate_source_take(g, "relay", &rate), 1000);
    assert_int_equal(gate_source_take(g, "flow", &rate), 0);
    gate_free(g);
}

static void test_gate__a_flood_is_told_once_and_then_once_a_minute(void **state)
{
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);
    struct gate_flood f;
    int told = 0;

    (void)state;
    assert_int_equal(gate_flood(g, NULL, NULL, &f), 0);
    assert_int_equal(gate_flood(g, "192.0.2.1", NULL, &f), GATE_LOG);
    assert_int_equal(f.count, 1);
    assert_string_equal(f.client, "192.0.2.1");
    assert_string_equal(f.source, "");
    for (int i = 0; i < 400; i++) {
        told += gate_flood(g, "192.0.2.1", NULL, &f) != 0;
        told += gate_flood(g, "192.0.2.2", "relay", &f) != 0;
        hands_turn(&h, 100);
    }
    assert_int_equal(told, 0);
    hands_turn(&h, 20 * SECOND_MS);
    assert_int_equal(gate_flood(g, NULL, NULL, &f),
                     GATE_LOG); /* the rest, once a minute has passed */
    assert_int_equal(f.count, 800);
    assert_string_equal(f.client, "192.0.2.2");
    assert_string_equal(f.source, "relay");
    hands_turn(&h, HOUR_MS);
    assert_int_equal(gate_flood(g, NULL, NULL, &f), 0);
    gate_free(g);
}

static void test_gate__people_hear_of_a_heavy_one_and_not_again_for_hours(void **state)
{
    struct hands h = HANDS_INIT;
    struct gate *g = make(&h);
    struct gate_flood f;
    int lines = 0, mails = 0;

    (void)state;
    for (int i = 0; i < 60; i++) { /* an hour of 999 a minute */
        for (int k = 0; k < 999; k++)
            mails += gate_flood(g, "192.0.2.1", NULL, &f) == GATE_PEOPLE;
        hands_turn(&h, MINUTE_MS);
    }
    assert_int_equal(mails, 0);
    for (int i = 0; i < 24 * 60; i++) { /* and a day of some more */
        for (int k = 0; k < 1100; k++) {
            enum gate_tell tell = gate_flood(g, "192.0.2.1", "relay", &f);

            if (tell == GATE_PEOPLE) {
                assert_int_equal(f.count, GATE_HEAVY);
                assert_string_equal(f.client, "192.0.2.1");
                assert_string_equal(f.source, "relay");
                mails++;
            }
            lines += tell == GATE_LOG;
        }
        hands_turn(&h, MINUTE_MS);
    }
    assert_int_equal(mails, 4);
    assert_int_equal(lines, 24 * 60);
    gate_free(g);
}

static void test_gate__knows_a_rate_that_it_can_count(void **state)
{
    static const struct {
        struct gate_rate rate;
        bool sound;
    } rows[] = {
        {{60000, MINUTE_MS, 20000}, true},
        {{1, DAY_MS, 7}, true},
        {{1, DAY_MS, 8}, false},
        {{GATE_REQUESTS_MAX, SECOND_MS, GATE_REQUESTS_MAX}, true},
        {{GATE_REQUESTS_MAX + 1, SECOND_MS, 1}, false},
        {{1, SECOND_MS, GATE_REQUESTS_MAX + 1}, false},
        {{0, SECOND_MS, 1}, false},
        {{1, 0, 1}, false},
        {{1, SECOND_MS, 0}, false},
        {{1, INT64_MAX, 1}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(gate_rate_is_sound(&rows[i].rate), rows[i].sound);
}

struct crowd {
    struct gate *g;
    atomic_int in;
};

static void *knock(void *arg)
{
    struct crowd *c = arg;

    for (int i = 0; i < 10000; i++) {
        const struct gate_rate rate = {1, DAY_MS, 5};

        atomic_fetch_add(&c->in, gate_enter(c->g, v4(1), &rate) == 0);
        (void)gate_enter(c->g, v4(0x0a000000 + (uint32_t)i), &usual);
        (void)gate_source_take(c->g, i % 2 ? "relay" : "flow", &usual);
    }
    return NULL;
}

static void test_gate__threads_share_one_bucket(void **state)
{
    struct hands h = HANDS_INIT;
    struct crowd c = {.g = make(&h)};
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, knock, &c), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&c.in), 5);
    gate_free(c.g);
}

static void test_gate__says_when_there_is_no_memory(void **state)
{
    struct hands h = HANDS_INIT;
    struct gate *g = NULL;
    struct err e = {0};
    enum err_code code;
    int64_t wait;

    (void)state;
    torture_arm(1);
    code = gate_new(&h.clock, &g, &e);
    assert_true(torture_disarm());
    assert_int_equal(code, ERR_NOMEM);
    assert_null(g);
    gate_free(NULL);

    g = make(&h);
    torture_arm(1);
    wait = gate_source_take(g, "relay", &usual);
    assert_true(torture_disarm());
    assert_int_equal(wait, 0); /* a rate is no proof: who cannot be counted is let in */
    gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate__a_burst_and_then_what_comes_back),
        cmocka_unit_test(test_gate__the_wait_it_names_is_true_to_the_millisecond),
        cmocka_unit_test(test_gate__a_storm_of_ten_thousand_is_never_turned_away),
        cmocka_unit_test(test_gate__a_flood_of_bad_ones_is_held_up_and_nobody_else),
        cmocka_unit_test(test_gate__blame_for_requests_side_by_side_is_no_endless_debt),
        cmocka_unit_test(test_gate__a_refusal_costs_less_where_the_burst_is_small),
        cmocka_unit_test(test_gate__ipv6_counts_by_its_64),
        cmocka_unit_test(test_gate__nobody_pushes_his_own_bucket_out),
        cmocka_unit_test(test_gate__a_newcomer_gets_the_fullest_bucket),
        cmocka_unit_test(test_gate__another_rate_holds_at_once),
        cmocka_unit_test(test_gate__a_source_pays_for_what_it_takes_alone),
        cmocka_unit_test(test_gate__a_flood_is_told_once_and_then_once_a_minute),
        cmocka_unit_test(test_gate__people_hear_of_a_heavy_one_and_not_again_for_hours),
        cmocka_unit_test(test_gate__knows_a_rate_that_it_can_count),
        cmocka_unit_test(test_gate__threads_share_one_bucket),
        cmocka_unit_test(test_gate__says_when_there_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
