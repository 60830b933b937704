/* test_refusals.c - what the log and people hear of those who are turned away, by a clock whose hands the test turns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>

#include "kit/hands.h"
#include "kit/look.h"
#include "log.h"
#include "ration.h"
#include "refusals.h"

#define SOON 10000 /* ms; a deadline, not a wait */

/* The log, and the people. */
struct ears {
    atomic_int lines, of_hidden, messages;
    atomic_bool deaf; /* people cannot be told */
};

static void read_line(enum log_level level, const char *line, void *ctx)
{
    struct ears *ears = ctx;

    (void)level;
    if (strstr(line, "\"event\":\"refused\""))
        atomic_fetch_add(&ears->lines, 1);
    if (strstr(line, "\"event\":\"refusals_not_shown\",\"count\":30}"))
        atomic_fetch_add(&ears->of_hidden, 1);
}

static bool read_message(void *ctx, const struct gate_flood *f)
{
    struct ears *ears = ctx;
    bool told = !atomic_load(&ears->deaf);

    (void)f;
    atomic_fetch_add(&ears->messages, 1);
    return told;
}

struct desk {
    struct hands hands;
    struct gate *gate;
    struct refusals *refusals;
    struct ears ears;
};

static int setup(void **state)
{
    static struct desk d;

    d = (struct desk){.hands = HANDS_INIT};
    log_divert(read_line, &d.ears);
    if (gate_new(&d.hands.clock, &d.gate, NULL))
        return -1;
    *state = &d;
    return refusals_new(
        &(struct refusals_options){
            .clock = &d.hands.clock, .gate = d.gate, .flooded = read_message, .engine = &d.ears},
        &d.refusals, NULL);
}

static int teardown(void **state)
{
    struct desk *d = *state;

    refusals_free(d->refusals);
    gate_free(d->gate);
    log_divert(NULL, NULL);
    return 0;
}

static void note(struct desk *d, int n)
{
    for (int i = 0; i < n; i++)
        refusals_note(d->refusals, "relay", 401, "192.0.2.1", "the signature fits no key");
}

/* A minute in which people should hear of it. */
static void flood(struct desk *d)
{
    hands_turn(&d->hands, MINUTE_MS);
    for (int i = 0; i < GATE_HEAVY; i++)
        refusals_flood(d->refusals, "192.0.2.1", NULL, "it knocks too often");
}

static void test_refusals__twenty_lines_a_second_and_the_rest_is_counted(void **state)
{
    struct desk *d = *state;

    note(d, 50);
    assert_int_equal(atomic_load(&d->ears.lines), 20);
    assert_int_equal(atomic_load(&d->ears.of_hidden), 0);
    hands_turn(&d->hands, SECOND_MS);
    note(d, 1);
    assert_int_equal(atomic_load(&d->ears.of_hidden), 1);
    hands_turn(&d->hands, SECOND_MS);
    note(d, 1);
    assert_int_equal(atomic_load(&d->ears.of_hidden), 1);
    assert_int_equal(atomic_load(&d->ears.lines), 22);
}

/* Of two threads the one that read the clock first may be the second to ask. */
static void test_refusals__a_second_that_is_over_does_not_begin_again(void **state)
{
    struct ration r;
    int lines = 0;

    (void)state;
    ration_init(&r);
    for (int i = 0; i < 1000; i++)
        lines += ration_takes(&r, 5 * SECOND_MS - i % 2, "not_shown");
    assert_in_range(lines, 20, 40);
    assert_true(ration_takes(&r, 3 * SECOND_MS, "not_shown")); /* the clock was set back */
    ration_clear(&r);
}

static void test_refusals__people_hear_of_a_flood_once(void **state)
{
    struct desk *d = *state;

    for (int i = 0; i < 5; i++)
        flood(d);
    LOOK_FOR(atomic_load(&d->ears.messages) == 1, SOON, "nobody was told");
    refusals_free(d->refusals); /* waits for what was to be told */
    d->refusals = NULL;
    assert_int_equal(atomic_load(&d->ears.messages), 1);
}

/* The store took nothing just then: a flood may be what filled it. */
static void test_refusals__what_could_not_be_told_is_told_while_it_lasts(void **state)
{
    struct desk *d = *state;

    atomic_store(&d->ears.deaf, true);
    flood(d);
    LOOK_FOR(atomic_load(&d->ears.messages) == 1, SOON, "it was not even tried");
    atomic_store(&d->ears.deaf, false);
    for (int64_t until = look_until(SOON); atomic_load(&d->ears.messages) == 1;
         look_again(until, "nobody is told")) /* not for six hours */
        flood(d);
    assert_int_equal(atomic_load(&d->ears.messages), 2);
    flood(d);
    refusals_free(d->refusals);
    d->refusals = NULL;
    assert_int_equal(atomic_load(&d->ears.messages), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_refusals__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(twenty_lines_a_second_and_the_rest_is_counted),
        TEST(a_second_that_is_over_does_not_begin_again),
        TEST(people_hear_of_a_flood_once),
        TEST(what_could_not_be_told_is_told_while_it_lasts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
