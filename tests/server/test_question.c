/* test_question.c - a person decides: what waits for him, what his word does, and what makes it void. */
#include "engine_kit.h"

#include "desk.h"
#include "question.h"

#define RULES_ASK                                                                                  \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {within: 4h}, isolate: "  \
    "{}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"
#define RULES_TWO                                                                                  \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {people: 2, approvers: "  \
    "[a@x.example, b@x.example]}, isolate: {}, email: {}]}\n"
#define RULES_OTHER                                                                                \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {within: 5h}, isolate: "  \
    "{}, email: {}]}\n"

static void scene(struct rig *r, const char *rules)
{
    rig_open(r, rules);
    rig_afresh(r);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "POST", ISOLATE, 0, 201, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
}

static struct question_record newest(struct rig *r)
{
    struct question_record *list;
    size_t n = 0;

    assert_int_equal(
        store_question_list(r->store, r->arena, QUESTION_STATES, 0, 1, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    return list[0];
}

/* Questions that are due; cases and isolations after them. */
static void work_all(struct rig *r)
{
    struct work w;

    for (bool any = true; any;) {
        any = rig_work(r) > 0;
        if (rig_claim(r, WORK_QUESTION, &w)) {
            question_run(r->g, &w);
            any = true;
        }
    }
}

static enum err_code say(struct rig *r, const char *person, bool yes, const char *why,
                         enum question_state *ret, struct err *e)
{
    const struct question_answer a = {
        .question = newest(r).id, .person = person, .way = "link", .why = why, .yes = yes};

    return question_answer(r->g, &a, ret, e);
}

static void test_question__nothing_is_done_before_a_yes(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_string_equal(rig_told(&r, id), "question");
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    assert_string_equal(newest(&r).what, "rule 'contain' asks a person");
    rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);

    assert_int_equal(say(&r, "soc@contoso.example", true, "seen it", &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_APPROVED);
    assert_string_equal(newest(&r).why, "approved by soc@contoso.example: seen it");
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    /* read anew before it: the alert and the machine once more than for the verdict */
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 2);
    assert_string_equal(rig_told(&r, id), "question requested");
    rig_close(&r);
}

static void test_question__an_answer_counts_once(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;

    (void)state;
    scene(&r, RULES_ASK);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(say(&r, "b@x.example", false, NULL, &now, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "approved by a@x.example"));
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

static void test_question__a_no_is_told_and_can_be_retried(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(say(&r, "a@x.example", false, "a test", &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_REFUSED);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: refused by a@x.example: a test]"));

    /* begun anew it asks anew: no word of before counts */
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, &e), ERR_OK);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    rig_close(&r);
}

static void test_question__when_nobody_answers_people_are_told_again(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    hands_turn(&r.hands, 4 * HOUR_MS + SECOND_MS);
    work_all(&r);
    assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_told(&r, id), "question not_isolated");
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: nobody answered in time]"));
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

static void test_question__two_people_are_two_people(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_TWO);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_string_equal(rig_told(&r, id), "question question"); /* a link for each */
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_OPEN);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "another person"));
    /* an operator is known by his login alone: a may be a@x.example */
    assert_int_equal(desk_approve(r.g, &(struct desk_order){.id = newest(&r).id, .who = "a"}, &e),
                     ERR_CONFLICT);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(say(&r, "b@x.example", true, "agreed", &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_APPROVED);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(newest(&r).why, "approved by a@x.example and b@x.example: agreed");
    rig_close(&r);
}

static void test_question__another_policy_makes_it_void(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    engine_use(r.g, rig_runtime(&r, RULES_OTHER));
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "the policy has changed"));
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the policy has changed"));
    rig_close(&r);
}

/* Approved, and changed before the request leaves. */
static void test_question__a_machine_that_changed_makes_the_yes_void(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK "safety: {protected: [{machine.tags: [tier-0]}]}\n");
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200,
             "{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the approval is void"));
    rig_close(&r);
}

/* safety.ask: what would be withheld is put to a person, and what he says yes to is done. */
static void test_question__protection_is_put_to_a_person_where_safety_says_so(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ISOLATE_AND_MAIL
          "safety: {protected: [{machine.name: {glob: 'ws-*'}}], ask: {within: 1h}}\n");
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(newest(&r).what, "protected: machine.name"));
    assert_string_equal(rig_told(&r, id), "question");
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

static void test_question__a_case_let_go_waits_for_nobody(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    assert_int_equal(newest(&r).state, QUESTION_VOID);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

static void test_question__a_pause_stands_above_a_yes(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "maria"}, &e), ERR_OK);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: paused by maria]"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question__nothing_is_done_before_a_yes),
        cmocka_unit_test(test_question__an_answer_counts_once),
        cmocka_unit_test(test_question__a_no_is_told_and_can_be_retried),
        cmocka_unit_test(test_question__when_nobody_answers_people_are_told_again),
        cmocka_unit_test(test_question__two_people_are_two_people),
        cmocka_unit_test(test_question__another_policy_makes_it_void),
        cmocka_unit_test(test_question__a_machine_that_changed_makes_the_yes_void),
        cmocka_unit_test(test_question__protection_is_put_to_a_person_where_safety_says_so),
        cmocka_unit_test(test_question__a_case_let_go_waits_for_nobody),
        cmocka_unit_test(test_question__a_pause_stands_above_a_yes),
    };

    return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
