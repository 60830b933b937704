/* test_ending.c - a case's end in one word, never ahead of the facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ending.h"

#define NOW 1736244672000

static void check(const char *label, const struct case_record *c,
                  const struct isolation_record *isolation, const struct step_record *steps,
                  size_t n_steps, enum ending wanted, const char *why)
{
    const char *seen_why = "untouched";
    enum ending seen = ending_of(c, isolation, steps, n_steps, NOW, &seen_why);

    if (seen != wanted)
        fail_msg("%s: %s instead of %s", label, ending_name(seen) ? ending_name(seen) : "at work",
                 ending_name(wanted) ? ending_name(wanted) : "at work");
    if (why ? !seen_why || strcmp(why, seen_why) != 0 : seen_why != NULL)
        fail_msg("%s: why is '%s'", label, seen_why ? seen_why : "NULL");
}

static void test_ending__a_case_at_work_has_none(void **state)
{
    static const enum case_state states[] = {CASE_RECEIVED, CASE_EXPANDING, CASE_DECIDING,
                                             CASE_ACTING};
    /* even where its isolation is confirmed already: the case has not been settled */
    const struct isolation_record isolated = {.state = ISOLATION_ISOLATED};

    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        const struct case_record c = {.state = states[i], .why = "not yet"};

        check(case_state_name(states[i]), &c, NULL, NULL, 0, ENDING_NONE_YET, NULL);
        check(case_state_name(states[i]), &c, &isolated, NULL, 0, ENDING_NONE_YET, NULL);
    }
    assert_null(ending_name(ENDING_NONE_YET));
}

static void test_ending__of_an_isolation_is_what_the_ledger_says(void **state)
{
    static const char asked[] =
        "Defender was asked and has not confirmed it yet; a mail tells how it ends";
    enum { WAITS = -1 }; /* nothing was sent */
    static const struct {
        enum isolation_state state;
        int64_t age;
        enum ending ending;
        const char *why;
        int64_t sent; /* so long after it was asked for here */
    } rows[] = {
        {ISOLATION_REQUESTED, 0, ENDING_NONE_YET, NULL, 0},
        /* a storm, or a Defender that takes nothing: it has been asked for nothing */
        {ISOLATION_REQUESTED, ENDING_REQUESTED_MS, ENDING_NONE_YET, NULL, WAITS},
        {ISOLATION_REQUESTED, HOUR_MS, ENDING_NONE_YET, NULL, WAITS},
        {ISOLATION_REQUESTED, HOUR_MS, ENDING_NONE_YET, NULL, HOUR_MS - ENDING_REQUESTED_MS + 1},
        {ISOLATION_PENDING, HOUR_MS, ENDING_NONE_YET, NULL, HOUR_MS - ENDING_REQUESTED_MS + 1},
        {ISOLATION_PENDING, HOUR_MS, ENDING_REQUESTED, asked, HOUR_MS - ENDING_REQUESTED_MS},
        {ISOLATION_PENDING, 0, ENDING_NONE_YET, NULL, 0},
        {ISOLATION_PENDING, ENDING_REQUESTED_MS - 1, ENDING_NONE_YET, NULL, 0},
        {ISOLATION_PENDING, ENDING_REQUESTED_MS, ENDING_REQUESTED, asked, 0},
        {ISOLATION_REQUESTED, ENDING_REQUESTED_MS, ENDING_REQUESTED, asked, 0},
        {ISOLATION_PENDING, 3 * DAY_MS, ENDING_REQUESTED, asked, 0},
        {ISOLATION_PENDING, -HOUR_MS, ENDING_NONE_YET, NULL, 0}, /* the clock was set back */
        {ISOLATION_ISOLATED, 0, ENDING_ISOLATED, NULL, 0},
        {ISOLATION_RELEASING, 0, ENDING_ISOLATED, NULL, 0},
        {ISOLATION_RELEASED, 0, ENDING_RELEASED, "because", 0},
        {ISOLATION_FAILED, 0, ENDING_FAILED, "because", 0},
    };
    static const enum case_state states[] = {CASE_WAITING, CASE_DONE};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t s = 0; s < 2; s++) {
            const struct case_record c = {.state = states[s], .told = "requested"};
            const int64_t requested = NOW - rows[i].age;
            const bool waits = rows[i].sent == WAITS;
            const struct isolation_record r = {
                .state = rows[i].state,
                .requested = requested,
                .sent = waits || !rows[i].sent ? 0 : requested + rows[i].sent,
                .posted = rows[i].state == ISOLATION_REQUESTED && !waits ? requested : 0,
                .why = "because"};

            check(isolation_state_name(rows[i].state), &c, &r, NULL, 0, rows[i].ending,
                  rows[i].why);
        }
}

static void test_ending__without_an_isolation_is_what_the_steps_say(void **state)
{
    static const struct {
        const char *label, *told;
        struct step_record steps[2];
        size_t n;
        enum ending ending;
        const char *why;
    } rows[] = {
        {"nothing to do", NULL, {{0}}, 0, ENDING_NOTHING, NULL},
        {"told", "alert", {{.handler = "email", .state = STEP_DONE}}, 1, ENDING_TOLD, NULL},
        {"withheld",
         "not_isolated",
         {{.handler = "isolate", .state = STEP_WITHHELD, .why = "protected: x"},
          {.handler = "email", .state = STEP_DONE}},
         2,
         ENDING_REFUSED,
         "protected: x"},
        {"failed after a mail",
         "not_isolated",
         {{.handler = "email", .state = STEP_DONE},
          {.handler = "isolate", .state = STEP_FAILED, .why = "no machine"}},
         2,
         ENDING_FAILED,
         "no machine"},
        {"another step failed",
         "alert",
         {{.handler = "email", .state = STEP_FAILED, .why = "no"}},
         1,
         ENDING_TOLD,
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct case_record c = {.state = CASE_DONE, .told = rows[i].told};

        check(rows[i].label, &c, NULL, rows[i].steps, rows[i].n, rows[i].ending, rows[i].why);
    }
}

static void test_ending__failed_and_dropped_say_why(void **state)
{
    const struct case_record failed = {.state = CASE_FAILED, .why = "HTTP 403"};
    const struct case_record dropped = {.state = CASE_DROPPED, .why = "a drill"};
    const struct isolation_record isolated = {.state = ISOLATION_ISOLATED};

    (void)state;
    check("failed", &failed, NULL, NULL, 0, ENDING_FAILED, "HTTP 403");
    check("dropped", &dropped, NULL, NULL, 0, ENDING_DROPPED, "a drill");
    check("failed though isolated", &failed, &isolated, NULL, 0, ENDING_FAILED, "HTTP 403");
}

/* Of several cases the word is that of the one that needs a person most. */
static void test_ending__isolated_is_not_the_worst_of_many(void **state)
{
    (void)state;
    assert_true(ENDING_ISOLATED < ENDING_RELEASED);
    assert_true(ENDING_ISOLATED < ENDING_REQUESTED);
    assert_true(ENDING_REQUESTED < ENDING_REFUSED);
    assert_true(ENDING_REFUSED < ENDING_FAILED);
    assert_true(ENDING_TOLD < ENDING_ISOLATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ending__a_case_at_work_has_none),
        cmocka_unit_test(test_ending__of_an_isolation_is_what_the_ledger_says),
        cmocka_unit_test(test_ending__without_an_isolation_is_what_the_steps_say),
        cmocka_unit_test(test_ending__failed_and_dropped_say_why),
        cmocka_unit_test(test_ending__isolated_is_not_the_worst_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
