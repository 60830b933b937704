/* test_health.c - what worked when it was last used. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "health.h"
#include "kit/hands.h"
#include "kit/torture.h"

static struct health *make(struct hands *h)
{
    struct health *health = NULL;

    assert_int_equal(health_new(&h->clock, &health, NULL), ERR_OK);
    return health;
}

static void test_health__keeps_the_last_word_of_each_part(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    struct health_part parts[8];
    int64_t start = clock_wall_ms(&h.clock);

    (void)state;
    assert_int_equal(health_list(health, parts, 8), 0);
    assert_true(health_note(health, "defender", "contoso", true, NULL)); /* the first is news */
    hands_turn(&h, 1000);
    assert_false(health_note(health, "defender", "contoso", true, "ignored"));
    assert_true(health_note(health, "defender", "fabrikam", false, "HTTP 503"));
    assert_true(health_note(health, "mail", NULL, true, NULL));
    assert_int_equal(health_list(health, parts, 8), 3);
    assert_string_equal(parts[0].name, "defender:contoso");
    assert_true(parts[0].ok);
    assert_string_equal(parts[0].why, "");
    assert_int_equal(parts[0].since, start);
    assert_string_equal(parts[1].name, "defender:fabrikam");
    assert_false(parts[1].ok);
    assert_string_equal(parts[1].why, "HTTP 503");
    assert_int_equal(parts[1].since, start + 1000);
    assert_string_equal(parts[2].name, "mail");
    health_free(health);
}

static void test_health__says_since_when_it_is_so(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    struct health_part part;
    int64_t start = clock_wall_ms(&h.clock);

    (void)state;
    (void)health_note(health, "mail", NULL, true, NULL);
    hands_turn(&h, 5000);
    assert_true(health_note(health, "mail", NULL, false, "421 later"));
    hands_turn(&h, 5000);
    assert_false(health_note(health, "mail", NULL, false, "421 much later"));
    (void)health_list(health, &part, 1);
    assert_int_equal(part.since, start + 5000);
    assert_string_equal(part.why, "421 much later");
    assert_true(health_note(health, "mail", NULL, true, NULL));
    (void)health_list(health, &part, 1);
    assert_int_equal(part.since, start + 10000);
    assert_string_equal(part.why, "");
    health_free(health);
}

static void test_health__takes_what_is_too_long_or_too_much(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    static struct health_part parts[HEALTH_PARTS_MAX + 1];
    char name[500], why[1000];

    (void)state;
    memset(name, 'n', sizeof name - 1);
    memset(why, 'w', sizeof why - 1);
    name[sizeof name - 1] = why[sizeof why - 1] = '\0';
    assert_true(health_note(health, "defender", name, false, why));
    assert_false(health_note(health, "defender", name, false, NULL));
    for (int i = 0; i < HEALTH_PARTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        (void)health_note(health, "defender", name, true, NULL);
    }
    assert_int_equal(health_list(health, parts, HEALTH_PARTS_MAX + 1), HEALTH_PARTS_MAX);
    assert_int_equal(health_list(health, parts, 2), 2);
    assert_int_equal(strlen(parts[0].name), sizeof parts[0].name - 1);
    assert_string_equal(parts[0].why, "");
    assert_false(health_note(health, "defender", "one more", false, "no room, no news"));
    assert_false(health_note(NULL, "mail", NULL, true, NULL));
    health_free(health);
    health_free(NULL);
}

/* What is to be done about it stands at its end. */
static void test_health__keeps_a_whole_sentence(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    struct health_part part;
    struct err e = {0};
    char why[1000] = "";

    (void)state;
    for (int i = 0; i < 200; i++)
        memcpy(why + 3 * i, "\xe6\x97\xa5", 4);
    (void)err_set(&e, ERR_DENIED, "%.300s; give it the permission", why);
    (void)health_note(health, "hunt", "lsass", false, e.text);
    (void)health_list(health, &part, 1);
    assert_string_equal(part.why, e.text);
    (void)health_note(health, "hunt", "lsass", false,
                      why); /* and no half character, where it is too long */
    (void)health_list(health, &part, 1);
    assert_int_equal(strlen(part.why) % 3, 0);
    health_free(health);
}

/* Many tenants, under the longest names there are: each has a place of its own. */
static void test_health__a_hundred_tenants_are_all_shown(void **state)
{
    static struct health_part parts[HEALTH_PARTS_MAX];
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    char name[65];

    (void)state;
    memset(name, 'n', sizeof name);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name + 60, sizeof name - 60, "%04d", i);
        (void)health_note(health, "defender", name, i % 2, "HTTP 503");
    }
    assert_int_equal(health_list(health, parts, HEALTH_PARTS_MAX), 100);
    assert_string_equal(parts[99].name + strlen("defender:"), name);
    assert_true(parts[99].ok);
    health_free(health);
}

static bool is_odd(const void *ctx, const char *name)
{
    (void)ctx;
    return (name[strlen(name) - 1] - '0') % 2;
}

static void test_health__forgets_what_is_not_there_any_more(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    struct health_part parts[8];
    char name[8];

    (void)state;
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        (void)health_note(health, "defender", name, false, "HTTP 503");
    }
    health_keep(health, is_odd, NULL);
    assert_int_equal(health_list(health, parts, 8), 2);
    assert_string_equal(parts[0].name, "defender:t1");
    assert_string_equal(parts[1].name, "defender:t3");
    assert_true(health_note(health, "defender", "t0", true, NULL)); /* it is news again */
    health_free(health);
}

struct noter {
    struct health *h;
    pthread_t thread;
    unsigned changes;
};

static void *note_many(void *arg)
{
    struct noter *n = arg;

    for (int i = 0; i < 2000; i++)
        n->changes += health_note(n->h, "mail", NULL, i % 2, "x");
    return NULL;
}

static void test_health__threads_may_note_side_by_side(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = make(&h);
    struct noter noters[4] = {0};
    struct health_part part;

    (void)state;
    for (int i = 0; i < 4; i++) {
        noters[i].h = health;
        assert_int_equal(pthread_create(&noters[i].thread, NULL, note_many, &noters[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        (void)pthread_join(noters[i].thread, NULL);
    assert_int_equal(health_list(health, &part, 1), 1);
    assert_true(part.ok == (part.why[0] == '\0'));
    health_free(health);
}

static void test_health__says_when_there_is_no_memory(void **state)
{
    struct hands h = HANDS_INIT;
    struct health *health = NULL;
    enum err_code code;

    (void)state;
    torture_arm(1);
    code = health_new(&h.clock, &health, NULL);
    assert_true(torture_disarm());
    assert_int_equal(code, ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health__keeps_the_last_word_of_each_part),
        cmocka_unit_test(test_health__says_since_when_it_is_so),
        cmocka_unit_test(test_health__takes_what_is_too_long_or_too_much),
        cmocka_unit_test(test_health__keeps_a_whole_sentence),
        cmocka_unit_test(test_health__a_hundred_tenants_are_all_shown),
        cmocka_unit_test(test_health__forgets_what_is_not_there_any_more),
        cmocka_unit_test(test_health__threads_may_note_side_by_side),
        cmocka_unit_test(test_health__says_when_there_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
