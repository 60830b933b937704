/* test_deed.c - whose an action is, when to look, what a POST came to. The order of the steps is tested where it is
 * used: test_isolation.c, test_ledger.c, test_action.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "deed.h"
#include "kit/hands.h"

#define ASKED (INT64_C(1700000000) * SECOND_MS)

static void test_deed__ids_tell_a_release_from_the_rest(void **state)
{
    char a[DEED_ID_SIZE], b[DEED_ID_SIZE], id[ID_TEXT_SIZE];

    (void)state;
    (void)id_format(INT64_MAX, id);
    assert_string_equal(deed_id(INT64_MAX, a) + strlen("cordon-"), id);
    (void)deed_release_id(INT64_MAX, INT64_MAX, b);
    assert_memory_equal(b + strlen("cordon-release-"), id, strlen(id));
    assert_string_equal(b + strlen("cordon-release-") + strlen(id), "-9223372036854775807");
    assert_true(strncmp(a, "cordon-", 7) == 0 && strncmp(b, "cordon-release-", 15) == 0);
    assert_string_not_equal(deed_release_id(INT64_MAX, ASKED, a), b); /* another order */
}

static void test_deed__an_action_is_ours_by_its_id_or_else_by_its_time(void **state)
{
    static const struct {
        const char *label, *external_id;
        int64_t made_ms, asked_ms;
        bool ours;
        bool from_elsewhere;
    } rows[] = {
        {"our id, however old", "cordon-1", 0, ASKED, true, false},
        {"our id, though nothing is known to have left", "cordon-1", ASKED, 0, true, false},
        {"another id, made right then", "cordon-2", ASKED, ASKED, false, false},
        {"no id, made since", "", ASKED + 1, ASKED, true, false},
        {"no id, and two clocks differ", "", ASKED - 5 * MINUTE_MS, ASKED, true, false},
        {"no id, older", "", ASKED - 5 * MINUTE_MS - 1, ASKED, false, false},
        {"no id, and nothing of ours has left", "", ASKED, 0, false, false},
        {"no id, made since in the portal", "", ASKED + 1, ASKED, false, true},
        {"our id, whatever else Defender says", "cordon-1", ASKED + 1, ASKED, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_action a = {.created_ms = rows[i].made_ms,
                                    .from_elsewhere = rows[i].from_elsewhere};

        (void)snprintf(a.external_id, sizeof a.external_id, "%s", rows[i].external_id);
        if (deed_is_own(&a, "cordon-1", rows[i].asked_ms) != rows[i].ours)
            fail_msg("%s", rows[i].label);
    }
}

static void test_deed__the_last_that_took_effect_is_in_force(void **state)
{
    /* newest first, by creation */
    static const struct {
        const char *label;
        struct defender_action actions[3];
        const char *in_force; /* "": none */
    } rows[] = {
        {"none that succeeded", {{"a", DEFENDER_ISOLATE, .status = DEFENDER_FAILED}}, ""},
        {"made and done in the same order",
         {{"b", DEFENDER_UNISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 2, .updated_ms = 4},
          {"a", DEFENDER_ISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 1, .updated_ms = 3}},
         "b"},
        {"made first, done last",
         {{"b", DEFENDER_UNISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 2, .updated_ms = 3},
          {"a", DEFENDER_ISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 1, .updated_ms = 4}},
         "a"},
        {"done at once: the one that was made later",
         {{"b", DEFENDER_ISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 2, .updated_ms = 4},
          {"a", DEFENDER_UNISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 1,
           .updated_ms = 4}},
         "b"},
        {"neither an open one, nor one that failed, nor one of another type",
         {{"c", DEFENDER_ISOLATE, .status = DEFENDER_IN_PROGRESS, .created_ms = 3, .updated_ms = 9},
          {"b", DEFENDER_OTHER, .status = DEFENDER_SUCCEEDED, .created_ms = 2, .updated_ms = 8},
          {"a", DEFENDER_UNISOLATE, .status = DEFENDER_SUCCEEDED, .created_ms = 1,
           .updated_ms = 2}},
         "a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct defender_action *a = deed_in_force(rows[i].actions, 3);

        print_message("  %s\n", rows[i].label);
        assert_string_equal(a ? a->id : "", rows[i].in_force);
    }
    assert_null(deed_in_force(NULL, 0));
}

/* What is certainly younger than our own ends it, and nothing else does. */
static void test_deed__a_release_counts_that_took_effect_after_ours(void **state)
{
    static const struct {
        const char *label;
        struct defender_action release, own; /* own has the id "A" in the list */
        bool released;
    } rows[] = {
        {"after ours", {.created_ms = 20, .updated_ms = 30}, {"A", .updated_ms = 29}, true},
        {"made after ours, done before",
         {.created_ms = 20, .updated_ms = 28},
         {"A", .updated_ms = 29},
         false},
        {"ours is not listed",
         {.created_ms = 20, .updated_ms = 50},
         {"b", .updated_ms = 40},
         false},
        {"nor is it now, but it had been done before",
         {.created_ms = 20, .updated_ms = 51},
         {"b", .updated_ms = 40},
         true},
        {"ours is open, says a list that lags",
         {.created_ms = 20, .updated_ms = 50},
         {"A", .status = DEFENDER_PENDING, .updated_ms = 10},
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_action list[] = {rows[i].release, rows[i].own};

        print_message("  %s\n", rows[i].label);
        list[0].type = DEFENDER_UNISOLATE;
        list[1].type = DEFENDER_ISOLATE;
        list[0].status = DEFENDER_SUCCEEDED;
        if (!list[1].status)
            list[1].status = DEFENDER_SUCCEEDED;
        assert_int_equal(deed_was_released(list, 2, "a", 50), rows[i].released);
        list[0].status = DEFENDER_FAILED;
        assert_false(deed_was_released(list, 2, "a", 0));
    }
    assert_false(deed_was_released(NULL, 0, "a", 0));
}

static void test_deed__a_request_rests_until_it_can_be_seen(void **state)
{
    struct hands hands = HANDS_INIT;
    struct engine g = {.clock = &hands.clock};

    (void)state;
    assert_int_equal(deed_rest_ms(&g, 0, ASKED), 0);
    assert_int_equal(deed_rest_ms(&g, ASKED, ASKED), WORK_SETTLE_MS);
    assert_int_equal(deed_rest_ms(&g, ASKED, ASKED + WORK_SETTLE_MS - 1), 1);
    assert_int_equal(deed_rest_ms(&g, ASKED, ASKED + WORK_SETTLE_MS), 0);
    assert_int_equal(deed_rest_ms(&g, ASKED, ASKED - DAY_MS), WORK_SETTLE_MS); /* set back */
    g.began_ms = hands_mono(&hands.clock) - SECOND_MS;
    assert_int_equal(deed_rest_ms(&g, ASKED, ASKED + DAY_MS), WORK_SETTLE_MS - SECOND_MS);
    assert_int_equal(deed_rest_ms(&g, 0, ASKED), 0);
}

static void test_deed__what_is_pending_is_looked_at_ever_more_seldom(void **state)
{
    (void)state;
    assert_int_equal(deed_follow_ms(0), SECOND_MS);
    assert_int_equal(deed_follow_ms(10 * SECOND_MS), 5 * SECOND_MS);
    assert_int_equal(deed_follow_ms(DAY_MS), 15 * MINUTE_MS);
    assert_int_equal(deed_follow_ms(-DAY_MS), MINUTE_MS); /* set back */
}

/* Every code there is: a new one has to be thought of here. */
static void test_deed__every_error_has_one_meaning(void **state)
{
    static const enum deed_end ends[ERR_CODES] = {
        [ERR_OK] = DEED_TAKEN,          [ERR_INVALID] = DEED_REFUSED,
        [ERR_DENIED] = DEED_LATER,      [ERR_FORBIDDEN] = DEED_REFUSED,
        [ERR_NOT_FOUND] = DEED_REFUSED, [ERR_CONFLICT] = DEED_LATER,
        [ERR_STALE] = DEED_REFUSED,     [ERR_TOO_BIG] = DEED_REFUSED,
        [ERR_REFUSED] = DEED_REFUSED,   [ERR_AGAIN] = DEED_LATER,
        [ERR_THROTTLED] = DEED_LATER,   [ERR_TIMEOUT] = DEED_LATER,
        [ERR_UNKNOWN] = DEED_UNKNOWN,   [ERR_IO] = DEED_LATER,
        [ERR_NOMEM] = DEED_LATER,       [ERR_STOPPING] = DEED_LATER,
    };

    (void)state;
    for (int i = 0; i < ERR_CODES; i++)
        if (deed_end_of((enum err_code)i) != ends[i])
            fail_msg("%s", err_name((enum err_code)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deed__ids_tell_a_release_from_the_rest),
        cmocka_unit_test(test_deed__an_action_is_ours_by_its_id_or_else_by_its_time),
        cmocka_unit_test(test_deed__the_last_that_took_effect_is_in_force),
        cmocka_unit_test(test_deed__a_release_counts_that_took_effect_after_ours),
        cmocka_unit_test(test_deed__a_request_rests_until_it_can_be_seen),
        cmocka_unit_test(test_deed__what_is_pending_is_looked_at_ever_more_seldom),
        cmocka_unit_test(test_deed__every_error_has_one_meaning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
