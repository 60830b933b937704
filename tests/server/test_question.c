/* test_question.c - a person decides: what waits for him, what his word does, and what makes it void. */
#include "engine_kit.h"

#include "api.h"
#include "brakes.h"
#include "desk.h"
#include "id.h"
#include "kit/postgres.h"
#include "kit/torture.h"
#include "mime_read.h"
#include "reconcile.h"
#include "store_audit.h"
#include "store_rows.h"
#include "store_upkeep.h"

#define RULES_ASK                                                                                  \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {within: 4h}, isolate: "  \
    "{}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"
#define RULES_SCAN                                                                                 \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {within: 4h}, scan: {}, " \
    "isolate: {}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"
#define SCAN          "/api/machines/" MACHINE "/runAntiVirusScan"
#define OTHER_MACHINE "0123456789abcdef0123456789abcdef01234567"
#define SCAN_ACTION   "b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e60"
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
    rig_takes_isolate(r, 0);
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

static enum err_code say(struct rig *r, const char *person, bool yes, const char *why,
                         enum question_state *ret, struct err *e)
{
    const struct question_answer a = {
        .question = newest(r).id, .person = person, .way = "operator", .why = why, .yes = yes};

    return question_answer(r->g, &a, ret, e);
}

/* One person says yes to the newest question, and what follows from that is done. */
static void yes(struct rig *r)
{
    enum question_state now;
    struct err e = {0};

    if (say(r, "a@x.example", true, NULL, &now, &e))
        fail_msg("%s", e.text);
    (void)rig_work(r);
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
    (void)rig_work(&r);
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
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    /* read anew before it: the alert and the machine once more than for the verdict */
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 2);
    assert_string_equal(rig_told(&r, id), "question requested");
    rig_close(&r);
}

static enum err_code break_fn(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL,
                  "CREATE TRIGGER broken BEFORE INSERT ON questions BEGIN"
                  " SELECT RAISE(ABORT, 'broken'); END",
                  "");
}

/* The question could not be written, for so long that the step was given up: nobody has said yes. */
static void test_question__what_nobody_could_be_asked_is_not_done(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_SCAN);
    id = rig_push(&r, ALERT, MACHINE);
    assert_int_equal(db_write(r.store->db, break_fn, NULL, NULL), ERR_OK);
    hands_turn(&r.hands, 25 * HOUR_MS); /* it waited for cordon to be started */
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", SCAN), 0);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(
        strstr(rig_subject(&r, id), "[NOT ISOLATED: a person must be asked, and nobody was]"));
    rig_close(&r);
}

/* However late it comes: what acts behind the ask is done by facts of now, other steps than `isolate`, too. */
static void test_question__a_late_yes_is_as_good_as_an_early_one(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_SCAN);
    rig_says(&r, "POST", SCAN, 0, 201,
             ACTION_DOC(SCAN_ACTION, "RunAntiVirusScan", "Pending", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 3 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(say(&r, "soc@contoso.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(rig_case(&r, id).state, CASE_DECIDING);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", SCAN), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 2);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING); /* for the isolation's end */
    rig_close(&r);
}

/* The severity was lowered meanwhile: the rule asks for nothing any more, and nothing is done. */
static void test_question__a_late_yes_to_what_is_not_asked_for_any_more_does_nothing(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_SCAN);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"" ALERT "\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(say(&r, "soc@contoso.example", true, NULL, &now, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", SCAN), 0);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED"));
    rig_close(&r);
}

/* Defender cannot be read when the yes comes: what was said yes to waits for it. */
static void test_question__a_yes_outlasts_a_failed_read(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", "/api/", 0, 503, "");
    assert_int_equal(say(&r, "soc@contoso.example", true, NULL, &now, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_DECIDING);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
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
    (void)rig_work(&r);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(say(&r, "b@x.example", false, NULL, &now, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "approved by a@x.example"));
    (void)rig_work(&r);
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
    (void)rig_work(&r);
    assert_int_equal(say(&r, "a@x.example", false, "a test", &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_REFUSED);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: refused by a@x.example: a test]"));

    /* begun anew it asks anew: no word of before counts */
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, &e), ERR_OK);
    (void)rig_work(&r);
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
    (void)rig_work(&r);
    hands_turn(&r.hands, 4 * HOUR_MS + SECOND_MS);
    (void)rig_work(&r);
    assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_told(&r, id), "question not_isolated");
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: nobody answered in time]"));
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    (void)rig_work(&r);
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
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "question question"); /* a link for each */
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_OPEN);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "another person"));
    /* an operator is known by his login alone: a may be a@x.example */
    assert_int_equal(desk_approve(r.g, &(struct desk_order){.id = newest(&r).id, .who = "a"}, &e),
                     ERR_CONFLICT);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(say(&r, "b@x.example", true, "agreed", &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_APPROVED);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(newest(&r).why, "approved by a@x.example and b@x.example: agreed");
    rig_close(&r);
}

/* One no is enough, also of somebody who said yes before, and also when others have not been heard. */
static void test_question__a_no_needs_no_second_person(void **state)
{
    static const bool after_a_yes[] = {false, true};

    (void)state;
    for (size_t i = 0; i < sizeof after_a_yes / sizeof *after_a_yes; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id;

        scene(&r, RULES_TWO);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        if (after_a_yes[i])
            assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
        assert_int_equal(say(&r, "a@x.example", false, NULL, &now, &e), ERR_OK);
        assert_int_equal(now, QUESTION_REFUSED);
        assert_int_equal(say(&r, "b@x.example", true, NULL, &now, &e), ERR_CONFLICT);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(newest(&r).why, "refused by a@x.example");
        assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: refused by a@x.example]"));
        rig_close(&r);
    }
}

/* A no is told at once, whether Defender can be read or not, and to whom the rule writes. */
static void test_question__a_no_is_told_to_whom_the_rule_writes(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct step_record *steps;
    struct notice_record *list;
    size_t n = 0;
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r,
          "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {}, isolate: {}, "
          "email: {to: [ciso@x.example]}]}\n");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 503, "");
    assert_int_equal(say(&r, "a@x.example", false, NULL, &now, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(steps[1].state, STEP_WITHHELD);
    assert_int_equal(steps[2].state, STEP_DONE);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
    assert_true(n > 1);
    assert_string_equal(list[n - 1].kind, "not_isolated");
    assert_int_equal(list[n - 1].n_recipients, 1);
    assert_string_equal(list[n - 1].recipients[0].address, "ciso@x.example");
    rig_close(&r);
}

/* A yes that comes when the time is over is none, though nobody has looked at the clock yet; and what was answered
 * in time does not run out. */
static void test_question__an_answer_is_in_time_or_none(void **state)
{
    static const bool in_time[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof in_time / sizeof *in_time; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id;

        scene(&r, RULES_ASK);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, 4 * HOUR_MS - in_time[i]);
        assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e),
                         in_time[i] ? ERR_OK : ERR_CONFLICT);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        (void)rig_work(&r);
        rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), in_time[i]);
        assert_int_equal(newest(&r).state, in_time[i] ? QUESTION_APPROVED : QUESTION_EXPIRED);
        assert_string_equal(rig_told(&r, id),
                            in_time[i] ? "question requested" : "question not_isolated");
        rig_close(&r);
    }
}

/* The clock was a year ahead for a moment, and people were asked by it: their time is over after hours all the same. */
static void test_question__a_clock_set_back_makes_no_time_longer(void **state)
{
    const int64_t year = 365 * DAY_MS;
    static const char *const rules[] = {RULES_ASK,
                                        "rules: [{name: contain, do: [isolate: {}, email: {}]}]\n"
                                        "safety: {canary: 1, ask: {within: 4h}}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;

        scene(&r, rules[i]);
        atomic_fetch_add(&r.hands.wall, year);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        atomic_fetch_sub(&r.hands.wall, year);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        rig_pass(&r, HOUR_MS, HOUR_MS);
        assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
        assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        rig_close(&r);
    }
}

/* By a clock that leaps ahead of Defender's nobody's time is over: who says yes in time by the one that is right says it in time. */
static void test_question__a_clock_that_leaps_ends_nobodys_time(void **state)
{
    static const bool answered[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof answered / sizeof *answered; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id;

        scene(&r, RULES_ASK);
        rig_afresh(&r);
        rig_says_dated(&r, GET_ALERT, ALERT_DOC, 0);
        rig_says_dated(&r, GET_MACHINE, "{\"id\":\"" MACHINE "\"}", 0);
        rig_says_dated(&r, LIST, NOTHING, 0);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        atomic_fetch_add(&r.hands.wall, DAY_MS);
        rig_pass(&r, 2 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        assert_string_equal(rig_told(&r, id), "question");
        if (answered[i])
            assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        atomic_fetch_sub(&r.hands.wall, DAY_MS);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), answered[i]);
        rig_pass(&r, 4 * HOUR_MS, HOUR_MS);
        assert_int_equal(newest(&r).state, answered[i] ? QUESTION_APPROVED : QUESTION_EXPIRED);
        rig_close(&r);
    }
}

/* One that is ahead all the time, and by which people were asked, gives them the hours that they were given, and no month. */
static void test_question__a_clock_that_is_ahead_makes_no_time_longer(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    rig_afresh(&r);
    rig_says_dated(&r, GET_ALERT, ALERT_DOC, 30 * DAY_MS);
    rig_says_dated(&r, GET_MACHINE, "{\"id\":\"" MACHINE "\"}", 30 * DAY_MS);
    rig_says_dated(&r, LIST, NOTHING, 30 * DAY_MS);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 4 * HOUR_MS - MINUTE_MS, HOUR_MS - MINUTE_MS / 4);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    rig_pass(&r, 2 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
    assert_string_equal(rig_told(&r, id), "question not_isolated");
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

/* The same configuration, but for whom mail.to names. */
static void write_to(struct rig *r, const char *rules, const char *address)
{
    struct runtime *rt = rig_runtime(r, rules);

    assert_int_equal(rt->config->mail.to.count, 1);
    rt->config->mail.to.items[0] = address;
    engine_use(r->g, rt);
}

static enum err_code say_by_link(struct rig *r, const char *person, bool yes, struct err *e)
{
    const struct question_answer a = {
        .question = newest(r).id, .person = person, .way = "link", .yes = yes};
    enum question_state now;

    return question_answer(r->g, &a, &now, e);
}

/* Each row: an ask of a rule, or one over many; without `approvers` it is those of mail.to who may answer. */
static void test_question__who_is_asked_no_more_may_not_answer(void **state)
{
    static const char *const rows[] = {RULES_ASK, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct rig r;

        scene(&r, rows[i]);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        write_to(&r, rows[i], "new@contoso.example");
        assert_int_equal(say_by_link(&r, "soc@contoso.example", true, &e), ERR_CONFLICT);
        assert_non_null(strstr(e.text, "may answer any more"));
        assert_int_equal(say_by_link(&r, "soc@contoso.example", false, &e), ERR_CONFLICT);
        (void)rig_work(&r);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        /* a spelling is no other person */
        write_to(&r, rows[i], "SOC@contoso.example");
        assert_int_equal(say_by_link(&r, "soc@contoso.example", true, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* Nor does the yes count that he gave before: two of those who are asked now must say it. */
static void test_question__a_yes_of_somebody_who_is_asked_no_more_is_none(void **state)
{
    static const char *const rows[] = {
        "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {people: 2}, isolate: {}, "
        "email: {}]}\n",
        RULES_ISOLATE_AND_MAIL "safety: {canary: 1, ask: {people: 2}}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;

        scene(&r, rows[i]);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(say_by_link(&r, "soc@contoso.example", true, &e), ERR_OK);
        write_to(&r, rows[i], "new@contoso.example");
        assert_int_equal(say_by_link(&r, "new@contoso.example", true, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(say(&r, "maria", true, NULL, &now, &e), ERR_OK);
        (void)rig_work(&r);
        assert_string_equal(newest(&r).why, "approved by new@contoso.example and maria");
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* Who has to prove who he is by now, or is not on that list any more, has said nothing that counts beside another's yes. */
struct yes_before {
    int64_t question;
    const char *person, *way;
};

static enum err_code yes_before_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct yes_before *y = arg;

    return answer_insert(tx, y->question,
                         &(struct answer_record){.person = y->person, .way = y->way, .yes = true},
                         e);
}

static void test_question__a_yes_of_somebody_who_is_no_approver_any_more_is_none(void **state)
{
#define ANN_ID     "aaaaaaaa-0000-4000-8000-000000000001"
#define BOB_ID     "bbbbbbbb-0000-4000-8000-000000000002"
#define PROVE(who) "approvers: {tenant: contoso, verify: [entra: {audience: [a], " who "}]}\n"
    static const struct {
        const char *label, *before, *way, *person, *after;
        bool counts;
    } rows[] = {
        {"a link was enough", "", "link", "a@x.example", PROVE("roles: [Approver]"), false},
        {"his object is out", PROVE("objects: [" ANN_ID ", " BOB_ID "]"), "entra",
         "a@x.example (" ANN_ID ")", PROVE("objects: [" BOB_ID "]"), false},
        {"his object is in", PROVE("objects: [" ANN_ID ", " BOB_ID "]"), "entra",
         "a@x.example (" ANN_ID ")",
         PROVE("objects: [" BOB_ID ", AAAAAAAA-0000-4000-8000-000000000001]"), true},
        {"he may have the role", PROVE("roles: [Approver]"), "entra", "a@x.example (" ANN_ID ")",
         PROVE("roles: [Approver]"), true},
        {"he showed a certificate", "", "client_certificate", "a@x.example",
         PROVE("roles: [Approver]"), false},
        {"he showed one whose name has brackets", "", "client_certificate", "Ann (SOC)",
         PROVE("roles: [Approver]"), false},
        {"an operator", "", "operator", "a@x.example", PROVE("roles: [Approver]"), true},
        {"nobody proves anything any more", PROVE("roles: [Approver]"), "entra",
         "a@x.example (" ANN_ID ")", "", false},
        {"nobody shows a certificate any more", "", "client_certificate", "Ann (SOC)", "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct yes_before before = {.person = rows[i].person, .way = rows[i].way};
        struct question_answer a = {.yes = true};
        enum question_state now;
        struct err e = {0};
        struct rig r;
        char text[1000];

        print_message("  %s\n", rows[i].label);
        (void)snprintf(text, sizeof text, "%s%s", RULES_TWO, rows[i].before);
        scene(&r, text);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        before.question = a.question = newest(&r).id;
        assert_int_equal(db_write(r.store->db, yes_before_fn, &before, NULL), ERR_OK);
        (void)snprintf(text, sizeof text, "%s%s", RULES_TWO, rows[i].after);
        engine_use(r.g, rig_runtime(&r, text));
        a.way = *rows[i].after ? "entra" : "link";
        a.person = *rows[i].after ? "b@x.example (" BOB_ID ")" : "b@x.example";
        assert_int_equal(question_answer(r.g, &a, &now, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].counts);
        assert_int_equal(now, rows[i].counts ? QUESTION_APPROVED : QUESTION_OPEN);
        rig_close(&r);
    }
}

/* By name, whatever mail.to says: those of the step, and those of safety.ask. */
static void test_question__who_is_asked_by_name_may_answer(void **state)
{
    static const char *const rows[] = {
        RULES_TWO, RULES_ISOLATE_AND_MAIL
        "safety: {canary: 1, ask: {people: 2, approvers: [a@x.example, b@x.example]}}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct rig r;

        scene(&r, rows[i]);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        write_to(&r, rows[i], "new@contoso.example");
        assert_int_equal(say_by_link(&r, "new@contoso.example", true, &e), ERR_CONFLICT);
        assert_int_equal(say_by_link(&r, "a@x.example", true, &e), ERR_OK);
        assert_int_equal(say_by_link(&r, "b@x.example", true, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* The isolation ends while a person is asked about what comes after it: nothing is asked or done anew. */
static void test_question__what_happens_meanwhile_leaves_the_question(void **state)
{
    struct question_record *list;
    struct rig r;
    size_t n = 0;
    int64_t id;

    (void)state;
    scene(&r,
          "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, {tag: {add: "
          "x}, on_failure: ask}, scan: {}, email: {}]}\n");
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    rig_says(&r, "POST", SCAN, 0, 201,
             ACTION_DOC(SCAN_ACTION, "RunAntiVirusScan", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_says(&r, "GET", GET_ACTION SCAN_ACTION, 0, 200,
             ACTION_DOC(SCAN_ACTION, "RunAntiVirusScan", "Pending", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 1);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_STATES, 0, 9, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].state, QUESTION_OPEN);
    assert_string_equal(rig_told(&r, id), "question isolated");
    yes(&r);
    assert_int_equal(rig_seen(&r, "POST", SCAN), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Entra's object tells who is who; an operator has none, and may be whoever has his name. */
static void test_question__an_object_tells_two_people_from_one(void **state)
{
#define OBJECT_A "(aaaaaaaa-0000-4000-8000-000000000001)"
#define OBJECT_B "(bbbbbbbb-0000-4000-8000-000000000002)"
    static const struct {
        const char *first, *second;
        bool same;
    } rows[] = {
        {"a@x.example " OBJECT_A, "b@x.example " OBJECT_A, true},
        {"a@x.example " OBJECT_A, "b@x.example (AAAAAAAA-0000-4000-8000-000000000001)", true},
        {"a " OBJECT_A, "a", true},
        {"a", "a " OBJECT_A, true},
        {"a@x.example " OBJECT_A, "without a name " OBJECT_A, true},
        {"a@x.example " OBJECT_A, "a@x.example " OBJECT_B, false},
        {"without a name " OBJECT_A, "without a name " OBJECT_B, false},
        {"a@x.example " OBJECT_A, "a", true},
        {"A@x.example", "a@x.example " OBJECT_A, true},
        {"a@y.example", "a@x.example " OBJECT_A, false},
        {"b", "a@x.example " OBJECT_A, false},
        {"a (soc)", "b (soc)", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;

        print_message("  %s, %s\n", rows[i].first, rows[i].second);
        scene(&r, RULES_TWO);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(say(&r, rows[i].first, true, NULL, &now, &e), ERR_OK);
        assert_int_equal(say(&r, rows[i].second, true, NULL, &now, &e),
                         rows[i].same ? ERR_CONFLICT : ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), !rows[i].same);
        rig_close(&r);
    }
}

/* Who does not say who he is may be who has said yes before, or who will: where two must, he is none of them. */
static void test_question__an_operator_without_a_name_is_no_second_person(void **state)
{
    static const char *const nobody[] = {NULL, "", " \t"};
    enum question_state now;
    struct desk_order o = {0};
    struct err e = {0};
    struct rig r;

    (void)state;
    scene(&r, RULES_TWO);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    o.id = newest(&r).id;
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        o.who = nobody[i];
        assert_int_equal(desk_approve(r.g, &o, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "2 persons must say yes"));
    }
    o.who = "bob";
    assert_int_equal(desk_approve(r.g, &o, &e), ERR_OK);
    o.who = " bob\n";
    assert_int_equal(desk_approve(r.g, &o, &e), ERR_CONFLICT);
    o.who = NULL;
    assert_int_equal(desk_approve(r.g, &o, &e), ERR_INVALID);
    (void)rig_work(&r);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    /* a no is one person's, and anybody's */
    assert_int_equal(desk_refuse(r.g, &o, &e), ERR_OK);
    assert_string_equal(newest(&r).why, "refused by an operator");
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
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
    (void)rig_work(&r);
    engine_use(r.g, rig_runtime(&r, RULES_OTHER));
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "the policy has changed"));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the policy has changed"));
    rig_close(&r);
}

/* A replica that was not told of the policy yet by which people were asked takes no answer, and does not undo the yes that
 * another one has taken; five minutes later it is another policy. */
static void test_question__a_replica_that_was_not_told_yet_voids_nothing(void **state)
{
    enum question_state now;
    char url[POSTGRES_URL_MAX];
    struct rig told, other;
    struct err e = {0};

    (void)state;
    if (!postgres_start(NULL))
        skip();
    rig_open_on(&told, RULES_ASK, postgres_url(url));
    rig_open_on(&other, RULES_OTHER, url);
    rig_afresh(&told);
    rig_afresh(&other);
    rig_says(&told, "GET", LIST, 0, 200, NOTHING);
    rig_says(&other, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&other, 0);
    (void)rig_push(&told, ALERT, MACHINE);
    (void)rig_work(&told);
    assert_int_equal(say(&other, "a@x.example", true, NULL, &now, &e), ERR_AGAIN);
    assert_int_equal(newest(&told).state, QUESTION_OPEN);
    assert_int_equal(say(&told, "a@x.example", true, NULL, &now, &e), ERR_OK);
    (void)rig_work(&other);
    assert_int_equal(rig_seen(&other, "POST", ISOLATE), 0);
    engine_use(other.g, rig_runtime(&other, RULES_ASK));
    rig_pass(&other, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&other, "POST", ISOLATE), 1);
    rig_close(&told);
    rig_close(&other);

    rig_open_on(&told, RULES_ASK, postgres_url(url));
    rig_open_on(&other, RULES_OTHER, url);
    rig_afresh(&told);
    rig_afresh(&other);
    rig_says(&told, "GET", LIST, 0, 200, NOTHING);
    (void)rig_push(&told, ALERT, MACHINE);
    (void)rig_work(&told);
    hands_turn(&other.hands, 5 * MINUTE_MS);
    assert_int_equal(say(&other, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    assert_int_equal(newest(&told).state, QUESTION_VOID);
    rig_close(&told);
    rig_close(&other);
}

/* Defender does not take what a person has let past, and then it is the turn of a replica that was not told yet of the policy
 * that he was asked by: that undoes nothing, neither by an `ask` that it does not know nor by a canary of its own. */
static void test_question__what_was_let_past_waits_for_a_replica_that_was_told(void **state)
{
    static const char *const rows[][2] = {
        {RULES_ASK, RULES_OTHER},
        {RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n",
         RULES_ISOLATE_AND_MAIL "safety: {canary: 2}\n"},
    };
    char url[POSTGRES_URL_MAX];

    (void)state;
    if (!postgres_start(NULL))
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum question_state now;
        struct rig told, other;
        struct err e = {0};

        rig_open_on(&told, rows[i][0], postgres_url(url));
        rig_open_on(&other, rows[i][1], url);
        rig_afresh(&told);
        rig_afresh(&other);
        rig_says(&told, "GET", LIST, 0, 200, NOTHING);
        rig_says(&other, "GET", LIST, 0, 200, NOTHING);
        rig_says(&told, "POST", ISOLATE, 0, 409, "{}");
        rig_takes_isolate(&other, 0);
        (void)rig_push(&told, ALERT, MACHINE);
        (void)rig_work(&told);
        assert_int_equal(say(&told, "a@x.example", true, NULL, &now, &e), ERR_OK);
        (void)rig_work(&told);
        assert_int_equal(rig_seen(&told, "POST", ISOLATE), 1);
        rig_pass(&other, 3 * MINUTE_MS, SECOND_MS);
        assert_true(rig_seen(&other, "GET", LIST) > 0);
        assert_true(rig_seen(&other, "GET", LIST) < 30); /* others need the tenant's calls */
        assert_int_equal(rig_seen(&other, "POST", ISOLATE), 0);
        assert_int_equal(rig_isolation(&other).state, ISOLATION_REQUESTED);
        engine_use(other.g, rig_runtime(&other, rows[i][0]));
        rig_pass(&other, 20 * SECOND_MS, SECOND_MS); /* it does not wait for minutes after that */
        assert_int_equal(rig_seen(&other, "POST", ISOLATE), 1);
        assert_int_equal(rig_isolation(&other).state, ISOLATION_PENDING);
        rig_close(&told);
        rig_close(&other);
    }
}

/* Nor does it undo a person's word that it goes on after a step that failed. */
static void test_question__what_goes_on_waits_for_a_replica_that_was_told(void **state)
{
#define RULES_ON(steps)                                                                            \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [" steps "email: {}]}\n"
    static const char rules[] = RULES_ON("{tag: {add: x}, on_failure: ask}, scan: {}, ");
    char url[POSTGRES_URL_MAX];
    enum question_state now;
    struct rig told, other;
    struct err e = {0};

    (void)state;
    if (!postgres_start(NULL))
        skip();
    rig_open_on(&told, rules, postgres_url(url));
    rig_open_on(&other, RULES_ON("{tag: {add: x}, on_failure: ask}, "), url);
    rig_afresh(&told);
    rig_afresh(&other);
    rig_says(&told, "GET", LIST, 0, 200, NOTHING);
    rig_says(&told, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    rig_says(&other, "GET", LIST, 0, 200, NOTHING);
    rig_says(&other, "POST", SCAN, 0, 201,
             ACTION_DOC(SCAN_ACTION, "RunAntiVirusScan", "Pending", "null", "11:13"));
    (void)rig_push(&told, ALERT, MACHINE);
    (void)rig_work(&told);
    assert_int_equal(newest(&told).kind, QUESTION_FAILURE);
    assert_int_equal(say(&told, "a@x.example", true, NULL, &now, &e), ERR_OK);
    rig_pass(&other, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&other, "POST", SCAN), 0);
    engine_use(other.g, rig_runtime(&other, rules));
    rig_pass(&other, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&other, "POST", SCAN), 1);
    rig_close(&told);
    rig_close(&other);
}

/* What waits for that is not read meanwhile, and holds no alert up that is alone. */
static void test_question__what_waits_for_the_policy_of_a_yes_holds_no_alert_up(void **state)
{
#define LET_PAST 6
    char url[POSTGRES_URL_MAX];
    struct question_record *list;
    enum question_state now;
    struct rig told, other;
    struct err e = {0};
    size_t n = 0;
    int64_t mine;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    rig_open_on(&told, RULES_ASK, postgres_url(url));
    rig_open_on(&other, RULES_OTHER, url);
    peer_forget(told.peer);
    rig_says(&told, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&told, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&told, "GET", LIST, 0, 200, NOTHING);
    rig_afresh(&other);
    rig_says(&other, "GET", LIST, 0, 200, NOTHING);
    for (int i = 0; i < LET_PAST; i++) {
        const char *alert = arena_fmt(told.arena, "da%d_-9", i);

        rig_says(&told, "GET", arena_fmt(told.arena, GET_ALERT "%s", alert), 0, 200,
                 arena_fmt(told.arena,
                           "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}",
                           alert));
        (void)rig_push(&told, alert, MACHINE);
        (void)rig_work(&told);
    }
    assert_int_equal(
        store_question_list(told.store, told.arena, QUESTION_OPEN, 0, 9, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, LET_PAST);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(question_answer(told.g,
                                         &(struct question_answer){.question = list[i].id,
                                                                   .person = "a@x.example",
                                                                   .way = "operator",
                                                                   .yes = true},
                                         &now, &e),
                         ERR_OK);
    (void)rig_work(&other);
    mine = rig_push(&other, ALERT, MACHINE);
    (void)rig_work(&other);
    assert_int_equal(rig_case(&other, mine).state,
                     CASE_WAITING); /* it is judged, and a person asked */
    rig_close(&told);
    rig_close(&other);
}

/* The same where the case itself asks, as Defender could not be looked at when it was its turn: by a canary of before nobody is
 * asked once more. */
static void test_question__a_replica_that_was_not_told_yet_asks_nobody_again(void **state)
{
    char url[POSTGRES_URL_MAX];
    enum question_state now;
    struct rig told, other;
    struct err e = {0};
    int64_t asked;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    rig_open_on(&told, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n", postgres_url(url));
    rig_open_on(&other, RULES_ISOLATE_AND_MAIL "safety: {canary: 2}\n", url);
    rig_afresh(&told);
    rig_afresh(&other);
    rig_says(&told, "GET", LIST, 1, 200, NOTHING);
    rig_says(&told, "GET", LIST, 0, 503, "{}");
    rig_says(&other, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&other, 0);
    (void)rig_push(&told, ALERT, MACHINE);
    (void)rig_work(&told);
    asked = newest(&told).id;
    assert_int_equal(say(&told, "a@x.example", true, NULL, &now, &e), ERR_OK);
    (void)rig_work(&told);
    assert_int_equal(rig_seen(&told, "POST", ISOLATE), 0);
    rig_pass(&other, MINUTE_MS, SECOND_MS);
    assert_true(rig_seen(&other, "GET", LIST) > 0);
    assert_int_equal(newest(&told).id, asked);
    assert_int_equal(rig_seen(&other, "POST", ISOLATE), 0);
    engine_use(other.g, rig_runtime(&other, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n"));
    rig_pass(&other, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&other, "POST", ISOLATE), 1);
    assert_int_equal(newest(&told).id, asked);
    rig_close(&told);
    rig_close(&other);
}

/* Nor does it tell an heir that he is held back, whom a person has let past by that policy: it leaves the row to a replica that was
 * told. */
static void test_question__an_heir_that_was_let_past_waits_for_a_replica_that_was_told(void **state)
{
#define RULES_HEIR                                                                                 \
    "rules:\n  - {name: a, when: {alert.severity: Medium}, do: [isolate: {}, email: {}]}\n"        \
    "  - {name: b, when: {alert.severity: High}, do: [ask: {}, isolate: {}, email: {}]}\n"
    static const char first[] =
        "{\"id\":\"da9_-1\",\"severity\":\"Medium\",\"title\":\"T\",\"machineId\":"
        "\"" MACHINE "\"}";
    struct desk_order drop = {.who = "maria", .why = "a drill"};
    char url[POSTGRES_URL_MAX];
    enum question_state now;
    struct rig told, other;
    struct err e = {0};
    int64_t heir;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    rig_open_on(&told, RULES_HEIR, postgres_url(url));
    rig_open_on(&other, RULES_HEIR "safety: {canary: 2}\n", url);
    rig_says(&told, "GET", GET_ALERT "da9_-1", 0, 200, first);
    peer_forget(other.peer);
    rig_says(&other, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&other, "GET", GET_ALERT "da9_-1", 0, 200, first);
    rig_says(&other, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&other, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&other, "GET", LIST, 0, 200, NOTHING);
    rig_says(&other, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&told, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&told, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&told, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&told, "GET", LIST, 0, 200, NOTHING);
    rig_says(&told, "POST", ISOLATE, 0, 409, "{}");
    heir = rig_push(&told, ALERT, MACHINE);
    (void)rig_work(&told);
    drop.id = rig_push(&told, "da9_-1", MACHINE);
    (void)rig_work(&told);
    assert_int_equal(rig_isolation(&told).state, ISOLATION_REQUESTED);
    assert_int_equal(say(&told, "a@x.example", true, NULL, &now, &e), ERR_OK);
    (void)rig_work(&told);
    assert_int_equal(rig_case(&told, heir).isolation, rig_isolation(&told).id);
    assert_int_equal(rig_isolation(&told).case_id, drop.id);
    assert_int_equal(desk_drop(told.g, &drop, NULL), ERR_OK);
    rig_pass(&other, MINUTE_MS, SECOND_MS);
    assert_true(rig_seen(&other, "GET", LIST) > 0);
    assert_int_equal(rig_seen(&other, "POST", ISOLATE), 0);
    assert_int_equal(rig_isolation(&other).state, ISOLATION_REQUESTED);
    engine_use(other.g, rig_runtime(&other, RULES_HEIR));
    rig_pass(&other, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&other, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&other).case_id, heir);
    rig_close(&told);
    rig_close(&other);
}

/* Approved, and changed before the request leaves. */
/* From now on the machine is this one. */
static void is_read_as(struct rig *r, const char *machine)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, machine);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(r, 0);
}

static void test_question__a_machine_that_changed_makes_the_yes_void(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK "safety: {protected: [{machine.tags: [tier-0]}]}\n");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    is_read_as(&r, "{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}");
    yes(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the approval is void"));
    rig_close(&r);
}

/* Whether it is void is never left open: where memory runs out while that is found out, it is found out again. */
static void test_question__a_void_yes_is_void_without_memory_too(void **state)
{
    static const char *const machines[] = {"{\"id\":\"" MACHINE "\",\"machineTags\":[]}",
                                           "{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}"};
    bool failed = true;
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK "safety: {protected: [{machine.tags: [tier-0]}]}\n");
    is_read_as(&r, machines[0]);
    id = rig_push(&r, ALERT, MACHINE);
    for (long n = 1; failed; n++) {
        const struct desk_order again = {.id = id};
        enum question_state now;
        struct err e = {0};

        (void)rig_work(&r);
        is_read_as(&r, machines[1]);
        assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
        torture_arm(n);
        (void)rig_work(&r);
        failed = torture_disarm();
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        if (rig_seen(&r, "POST", ISOLATE))
            fail_msg("allocation %ld", n);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        is_read_as(&r, machines[0]);
        assert_int_equal(desk_retry(r.g, &again, &e), ERR_OK);
        hands_turn(&r.hands,
                   5 * MINUTE_MS); /* so many calls as this takes are allowed in that time */
    }
    rig_close(&r);
}

/* Nor is it one past what protects the machine since, whatever protected it when people were asked: somebody has put that there
 * meanwhile, so that nobody isolates it. */
static void test_question__what_protects_a_machine_since_is_let_past_by_nobody(void **state)
{
#define PROTECTED(lines) RULES_ISOLATE_AND_MAIL "safety: {ask: {}, protected: [" lines "]}\n"
#define TAGGED(tags, value)                                                                        \
    "{\"id\":\"" MACHINE "\",\"machineTags\":[" tags "],\"deviceValue\":\"" value "\"}"
#define SEEN(at) "{\"id\":\"" MACHINE "\",\"lastSeen\":\"" at "\"}"
    static const struct {
        const char *label, *rules, *asked, *then;
        bool isolated;
    } rows[] = {
        {"another line", PROTECTED("{machine.tags: [tier-0]}, {machine.value: High}"),
         TAGGED("\"tier-0\"", "Normal"), TAGGED("\"tier-0\"", "High"), false},
        {"another tag of the same line", PROTECTED("{machine.tags: [tier-0, no-isolate]}"),
         TAGGED("\"tier-0\"", "Normal"), TAGGED("\"tier-0\",\"no-isolate\"", "Normal"), false},
        {"the same tags in another order", PROTECTED("{machine.tags: [tier-0, no-isolate]}"),
         TAGGED("\"tier-0\",\"no-isolate\"", "Normal"),
         TAGGED("\"no-isolate\",\"tier-0\"", "Normal"), true},
        {"a line behind those that are named",
         PROTECTED("{machine.tags: a}, {machine.tags: b}, {machine.tags: c}, {machine.tags: d}, "
                   "{machine.tags: e}, {machine.value: High}"),
         TAGGED("\"a\",\"b\",\"c\",\"d\",\"e\"", "Normal"),
         TAGGED("\"a\",\"b\",\"c\",\"d\"", "High"), false},
        {"a tag behind those that are named", PROTECTED("{machine.tags: {glob: \"*\"}}"),
         TAGGED("\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"", "Normal"),
         TAGGED("\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"no-isolate\"", "Normal"), false},
        {"a fifth part of one line",
         PROTECTED("{any: [{machine.tags: a}, {machine.tags: b}, {machine.tags: c}, "
                   "{machine.tags: d}, {machine.value: High}]}"),
         TAGGED("\"a\",\"b\",\"c\",\"d\"", "Normal"), TAGGED("\"a\",\"b\",\"c\",\"d\"", "High"),
         false},
        {"a doubt behind those that are named",
         PROTECTED("{any: [{machine.value: High}, {machine.risk: High}, {machine.exposure: High}, "
                   "{machine.os: Linux}, {machine.name: dc1}, {machine.group: dcs}]}"),
         "{\"id\":\"" MACHINE "\",\"rbacGroupName\":\"desks\"}",
         "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"pc1\"}", false},
        {"as many as before, though more than are named",
         PROTECTED("{machine.tags: a}, {machine.tags: b}, {machine.tags: c}, {machine.tags: d}, "
                   "{machine.tags: e}"),
         TAGGED("\"a\",\"b\",\"c\",\"d\",\"e\"", "Normal"),
         TAGGED("\"e\",\"d\",\"c\",\"b\",\"a\"", "High"), true},
        {"a time that goes on", PROTECTED("{machine.last_seen: {older_than: 1d}}"),
         SEEN("2020-01-01T00:00:00Z"), SEEN("2020-01-02T00:00:00Z"), true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        scene(&r, rows[i].rules);
        is_read_as(&r, rows[i].asked);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_non_null(strstr(newest(&r).what, "protected: "));
        is_read_as(&r, rows[i].then);
        yes(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolated);
        if (!rows[i].isolated)
            assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the approval is void"));
        rig_close(&r);
    }
}

/* The alert's words have changed since: what a person has said yes to is done as he saw it. */
static void test_question__what_was_said_yes_to_is_done_as_it_was_seen(void **state)
{
    struct rig r;

    (void)state;
    scene(&r, "rules: [{name: contain, do: [ask: {}, isolate: {comment: '{{alert.title}}'}, "
              "email: {}]}]\n");
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"title\":\"Something else\","
             "\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    yes(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_non_null(strstr(peer_request_for(r.peer, ISOLATE)->body, "Credential memory read"));
    rig_close(&r);
}

/* A yes is to what was asked for, on the machine that it was asked for. When the alert names another one by then,
 * or none, neither is touched; and people hear of it as the rule says. */
static void test_question__a_yes_is_for_the_machine_that_was_asked_about(void **state)
{
    static const char *const alerts[] = {
        "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" OTHER_MACHINE "\"}",
        "{\"id\":\"" ALERT "\",\"severity\":\"High\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++) {
        struct step_record *steps;
        size_t n = 0;
        struct rig r;
        int64_t id;

        scene(&r, RULES_SCAN);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, alerts[i]);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", "/api/machines/", 0, 200, "{\"id\":\"" OTHER_MACHINE "\"}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        yes(&r);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        print_message("  row %zu\n", i);
        assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(rig_case(&r, id).machine_id, MACHINE); /* as asked about */
        assert_string_equal(rig_told(&r, id), "question not_isolated");
        assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
        assert_int_equal(n, 4);
        assert_int_equal(steps[1].state, STEP_WITHHELD);
        assert_int_equal(steps[2].state, STEP_WITHHELD);
        assert_int_equal(steps[3].state, STEP_DONE); /* the mail */
        rig_close(&r);
    }
}

/* What is asked for is of the type that the rule says, and was asked about. */
static void test_question__a_yes_is_to_one_type_of_isolation(void **state)
{
    static const struct {
        const char *type, *sent;
    } rows[] = {{"{}", "\"IsolationType\":\"Full\""},
                {"{type: full}", "\"IsolationType\":\"Full\""},
                {"{type: selective}", "\"IsolationType\":\"Selective\""}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        scene(&r, NULL);
        engine_use(r.g, rig_runtime(&r, arena_fmt(r.arena,
                                                  "rules:\n  - {name: contain, do: [ask: {within: "
                                                  "4h}, isolate: %s, email: {}]}\n",
                                                  rows[i].type)));
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        yes(&r);
        print_message("  %s\n", rows[i].type);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_non_null(strstr(peer_request_for(r.peer, ISOLATE)->body, rows[i].sent));
        rig_close(&r);
    }
}

/* safety.ask: what would be withheld is put to a person, and what he says yes to is done. */
static void test_question__protection_is_put_to_a_person_where_safety_says_so(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ISOLATE_AND_MAIL
          "safety: {protected: [{machine.name: {glob: 'ws-*'}}], ask: {within: 1h}}\n");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(newest(&r).what, "protected: machine.name"));
    assert_string_equal(rig_told(&r, id), "question");
    yes(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* A rule asks one person of its own; a protected machine takes the word of two whom safety names all the same. */
static void test_question__a_rule_that_asks_is_no_way_past_safety(void **state)
{
    static const char rules[] =
        "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {approvers: "
        "[desk@x.example]}, isolate: {}, email: {}]}\n"
        "safety: {protected: [{machine.name: {glob: 'ws-*'}}], ask: {people: 2, approvers: "
        "[a@x.example, b@x.example]}}\n";
    static const bool lets[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof lets / sizeof *lets; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id, first;

        scene(&r, rules);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        first = newest(&r).id;
        assert_int_equal(newest(&r).people, 1);
        assert_non_null(strstr(newest(&r).what, "protected: machine.name"));
        assert_int_equal(say(&r, "desk@x.example", lets[i], NULL, &now, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(newest(&r).id != first, lets[i]); /* after a no nobody else is asked */
        if (!lets[i]) {
            assert_int_equal(rig_case(&r, id).state, CASE_DONE);
            assert_non_null(
                strstr(rig_subject(&r, id), "[NOT ISOLATED: refused by desk@x.example]"));
            rig_close(&r);
            continue;
        }
        assert_int_equal(newest(&r).people, 2);
        assert_non_null(strstr(newest(&r).what, "protected: machine.name"));
        assert_int_equal(say_by_link(&r, "desk@x.example", true, &e), ERR_CONFLICT);
        assert_int_equal(say_by_link(&r, "a@x.example", true, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(say_by_link(&r, "b@x.example", true, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* What a rule of now wants said by more persons, or by others, is not done with the yes that another rule wanted, though both are asked
 * about the same. */
static void test_question__a_yes_to_one_rule_is_none_to_another(void **state)
{
    static const char low[] =
        "{\"id\":\"" ALERT "\",\"severity\":\"Medium\",\"machineId\":\"" MACHINE "\"}";
    static const struct {
        const char *medium, *high;
        bool stands;
    } rows[] = {
        {"{}", "{}", true},
        {"{}", "{people: 2}", false},
        {"{}", "{approvers: [a@x.example]}", false},
        {"{approvers: [b@x.example]}", "{approvers: [a@x.example]}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        char rules[600];
        int64_t id;

        print_message("  row %zu\n", i);
        (void)snprintf(
            rules, sizeof rules,
            "rules:\n  - {name: a, when: {alert.severity: Medium}, do: [ask: %s, isolate: {}, "
            "email: {}]}\n  - {name: b, when: {alert.severity: High}, do: [ask: %s, isolate: "
            "{}, email: {}]}\nsafety: {protected: [{machine.name: {glob: 'ws-*'}}]}\n",
            rows[i].medium, rows[i].high);
        rig_open(&r, rules);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, low);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_non_null(strstr(newest(&r).what, "protected: machine.name"));
        rig_afresh(&r); /* Defender calls it High by now */
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        yes(&r);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].stands);
        if (!rows[i].stands)
            assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED"));
        rig_close(&r);
    }
}

static enum err_code forget_second_ask(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "DELETE FROM steps WHERE handler = 'ask' AND n = 1", "");
}

/* Nor is it where one was asked by an earlier version of cordon, for which the rule's own question was enough. */
static void test_question__a_yes_of_before_is_no_way_past_safety(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    scene(
        &r,
        "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {}, isolate: {}, email: "
        "{}]}\nsafety: {protected: [{machine.name: {glob: 'ws-*'}}], ask: {people: 2}}\n");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(db_write(r.store->db, forget_second_ask, NULL, NULL), ERR_OK);
    yes(&r);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED"));
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
    (void)rig_work(&r);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    assert_int_equal(newest(&r).state, QUESTION_VOID);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_told(&r, id), "question not_isolated"); /* who was asked hears of it */
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: dropped: a drill]"));
    rig_close(&r);
}

/* A mail said that the isolation is still to come. Where none was, there is nothing to say. */
static void test_question__who_waits_for_the_end_of_a_case_hears_that_it_was_let_go(void **state)
{
    static const struct {
        const char *steps, *told;
        int alert; /* how Defender answers when the alert is read */
    } rows[] = {
        {"email: {}, ask: {}, isolate: {}", "alert question not_isolated", 200},
        {"email: {}, tag: {add: a}", "alert", 200}, /* the tag is tried on */
        {"email: {}", "late not_isolated", 503},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        char rules[200];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules, "rules: [{name: tell, do: [%s]}]\n", rows[i].steps);
        scene(&r, rules);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, rows[i].alert, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 503, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, (rows[i].alert == 200 ? 2 : 20) * MINUTE_MS, MINUTE_MS);
        if (desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e))
            fail_msg("%s", e.text);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

static void test_question__a_pause_stands_above_a_yes(void **state)
{
    struct step_record *steps;
    size_t n = 0;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_ASK);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "maria"}, &e), ERR_OK);
    yes(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: paused by maria]"));
    assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(steps[1].state, STEP_WITHHELD); /* nothing failed */
    rig_close(&r);
}

/* ---- a step that was not done ------------------------------------------------------------------ */

#define RULES_FAILURE                                                                              \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [{tag: {add: x}, on_failure: "  \
    "ask}, isolate: {}, {scan: {}, if: {tag: failed}}, email: {}]}\n"

/* The tag is refused; people say whether the machine is to be isolated without. */
static int64_t fail_the_tag(struct rig *r, int status)
{
    int64_t id;

    scene(r, RULES_FAILURE);
    rig_says(r, "POST", "/api/machines/" MACHINE "/tags", 0, status, "{\"id\":\"" MACHINE "\"}");
    rig_says(r, "POST", SCAN, 0, 201,
             ACTION_DOC(SCAN_ACTION, "RunAntiVirusScan", "Pending", "null", "11:13"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    return id;
}

static void test_question__a_failure_asks_how_to_go_on(void **state)
{
    static const bool yes[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id = fail_the_tag(&r, 403);

        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
        assert_int_equal(newest(&r).kind, QUESTION_FAILURE);
        assert_non_null(strstr(newest(&r).what, "tag was failed: "));
        assert_string_equal(rig_told(&r, id), "question");
        rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
        assert_int_equal(say(&r, "a@x.example", yes[i], NULL, &now, &e), ERR_OK);
        (void)rig_work(&r);
        /* asked once: the second step behind it goes the way of the first */
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), yes[i]);
        assert_int_equal(rig_seen(&r, "POST", SCAN), yes[i]);
        assert_int_equal(rig_case(&r, id).state, yes[i] ? CASE_WAITING : CASE_DONE);
        if (!yes[i])
            assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: refused by a@x.example]"));
        rig_close(&r);
    }
}

/* Who says that it goes on says so under a policy: by another one more persons may have to say so, or others. */
static void test_question__a_word_to_go_on_is_to_a_policy(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id = fail_the_tag(&r, 403), first;

    (void)state;
    first = newest(&r).id;
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    engine_use(r.g,
               rig_runtime(&r, RULES_FAILURE "safety: {ask: {people: 2, approvers: [b@x.example, "
                                             "c@x.example]}}\n"));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_true(newest(&r).id != first);
    assert_int_equal(newest(&r).kind, QUESTION_FAILURE);
    assert_int_equal(newest(&r).people, 2);
    assert_int_equal(say_by_link(&r, "a@x.example", true, &e), ERR_CONFLICT);
    assert_int_equal(say_by_link(&r, "b@x.example", true, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(say_by_link(&r, "c@x.example", true, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "POST", SCAN), 1);
    rig_close(&r);
}

/* Nor is what has been asked for already, and waits for Defender, sent by a yes of before. */
static void test_question__a_word_to_go_on_is_to_a_policy_until_it_is_sent(void **state)
{
#define BEFORE "{tag: {add: x}, on_failure: ask}, isolate: {}, "
#define BEHIND "isolate: {}, {tag: {add: x}, on_failure: ask}, scan: {}, "
#define RULES_DO(steps)                                                                            \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [" steps "email: {}]}\n"
#define TWO "safety: {ask: {people: 2, approvers: [b@x.example, c@x.example]}}\n"
    static const struct {
        const char *label, *rules, *then;
        size_t sent; /* the first is refused */
        bool busy;   /* for that machine alone */
        bool shared; /* on PostgreSQL */
    } rows[] = {
        {"the same", RULES_DO(BEFORE), RULES_DO(BEFORE), 2, false, false},
        {"two others must say so", RULES_DO(BEFORE), RULES_DO(BEFORE) TWO, 1, false, false},
        {"two others, with PostgreSQL", RULES_DO(BEFORE), RULES_DO(BEFORE) TWO, 1, false, true},
        {"nobody must", RULES_DO(BEFORE), RULES_DO("{tag: {add: x}}, isolate: {}, ") TWO, 2, false,
         false},
        {"what failed stands behind it", RULES_DO(BEHIND), RULES_DO(BEHIND) TWO, 2, true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[POSTGRES_URL_MAX];
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        if (rows[i].shared && !postgres_start(NULL))
            continue;
        if (rows[i].shared)
            rig_open_on(&r, rows[i].rules, postgres_url(url));
        else
            rig_open(&r, rows[i].rules);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        rig_says(&r, "POST", ISOLATE, 1, rows[i].busy ? 400 : 429,
                 rows[i].busy ? "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\"}}"
                              : "{\"error\":{\"code\":\"429\"}}");
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(newest(&r).kind, QUESTION_FAILURE);
        assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
        engine_use(r.g, rig_runtime(&r, rows[i].then));
        /* Another replica's may be the yes that counts, for a while. */
        rig_pass(&r, (rows[i].shared ? 20 : 2) * MINUTE_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].sent);
        assert_int_equal(rig_isolation(&r).state,
                         rows[i].sent == 2 ? ISOLATION_PENDING : ISOLATION_FAILED);
        if (rows[i].sent < 2)
            assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the yes to go on is void"));
        rig_close(&r);
    }
}

/* The machine is isolated when people are asked about the rest: they hear that this was not done, too. */
static void test_question__what_is_withheld_behind_the_isolation_is_told(void **state)
{
    static const struct {
        const char *steps, *told, *subject;
        bool refused; /* or nobody answers */
    } rows[] = {
        {"isolate: {}, {tag: {add: x}, on_failure: ask}, scan: {}, email: {}",
         "question isolated action_failed", "[NOT DONE: scan: nobody answered in time]", false},
        {"isolate: {}, {tag: {add: x}, on_failure: ask}, scan: {}, email: {}",
         "question isolated action_failed", "[NOT DONE: scan: refused by a@x.example]", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum question_state now;
        struct err e = {0};
        char rules[300];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules, "rules: [{name: contain, do: [%s]}]\n", rows[i].steps);
        scene(&r, rules);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        if (rows[i].refused)
            assert_int_equal(say(&r, "a@x.example", false, NULL, &now, &e), ERR_OK);
        else
            hands_turn(&r.hands, 4 * HOUR_MS + SECOND_MS);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", SCAN), 0);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        assert_non_null(strstr(rig_subject(&r, id), rows[i].subject));
        rig_close(&r);
    }
}

/* Defender's answers to a case whose alert is gone, or (404) cannot be read any more, and whose isolation stands so. */
static void alert_gone(struct rig *r, const char *isolation)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 404, "{}");
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, arena_fmt(r->arena, "{\"value\":[%s]}", isolation));
    rig_says(r, "GET", GET_ACTION, 0, 200, isolation);
}

/* A yes came, and the alert could not be read after it: the case has failed, and its isolation is under way all the same. */
static void test_question__how_the_isolation_of_a_case_that_failed_ends_is_told(void **state)
{
    static const struct {
        const char *ends, *subject;
        bool before; /* the case has failed */
    } rows[] = {
        {ACTION_DOC(ACTION, "Isolate", "Cancelled", "null", "11:12"),
         "[NOT ISOLATED: somebody cancelled it at Defender]", false},
        {ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"), "[ISOLATED]", false},
        {ACTION_DOC(ACTION, "Isolate", "Cancelled", "null", "11:12"),
         "[NOT ISOLATED: somebody cancelled it at Defender]", true},
        {ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"), "[ISOLATED]", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum question_state now;
        struct err e = {0};
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].subject);
        scene(&r, "rules: [{name: contain, do: [isolate: {}, {tag: {add: x}, on_failure: ask},"
                  " scan: {}, email: {}]}]\n");
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
        assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
        alert_gone(&r, rows[i].before ? rows[i].ends
                                      : ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
        assert_int_equal(rig_isolation(&r).state == ISOLATION_PENDING, !rows[i].before);
        assert_int_equal(strncmp(rig_told(&r, id), "question action_failed", 22), 0);
        alert_gone(&r, rows[i].ends);
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_non_null(strstr(rig_subject(&r, id), rows[i].subject));
        assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
        rig_close(&r);
    }
}

/* A person lets the case go that is just read again, and its isolation has ended meanwhile: nobody was told that yet. */
static void test_question__how_the_isolation_of_a_dropped_case_has_ended_is_told(void **state)
{
    static const struct {
        const char *ends, *subject;
    } rows[] = {
        {ACTION_DOC(ACTION, "Isolate", "Cancelled", "null", "11:12"),
         "[NOT ISOLATED: somebody cancelled it at Defender]"},
        {ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"), "[ISOLATED]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk_order drop = {.who = "maria", .why = "a drill"};
        enum question_state now;
        struct err e = {0};
        struct rig r;

        print_message("  %s\n", rows[i].subject);
        scene(&r, "rules: [{name: contain, do: [isolate: {}, {tag: {add: x}, on_failure: ask},"
                  " scan: {}, email: {}]}]\n");
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        drop.id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
        alert_gone(&r, rows[i].ends);
        rig_pass(&r, 5 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_case(&r, drop.id).state, CASE_DECIDING);
        assert_true(isolation_is_settled(rig_isolation(&r).state));
        assert_string_equal(rig_told(&r, drop.id), "question");
        assert_int_equal(desk_drop(r.g, &drop, NULL), ERR_OK);
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_non_null(strstr(rig_subject(&r, drop.id), rows[i].subject));
        assert_int_equal(rig_case(&r, drop.id).state, CASE_DROPPED);
        rig_close(&r);
    }
}

static void test_question__what_was_done_asks_nobody(void **state)
{
    struct question_record *list;
    struct rig r;
    size_t n = 0;

    (void)state;
    (void)fail_the_tag(&r, 200);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "POST", SCAN), 0);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_STATES, 0, 1, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 0);
    rig_close(&r);
}

/* ---- what safety holds back ----------------------------------------------------------------------- */

#define MACHINES 6

static const char *machine_of(struct rig *r, int i)
{
    return arena_fmt(r->arena, "%040x", i + 1);
}

/* Alerts da0_-1 … on machines of their own, all of one group and one detector. */
static void script_machines(struct rig *r)
{
    char now[CLOCK_TEXT_SIZE];

    (void)clock_format(clock_wall_ms(&r->hands.clock), now);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    for (int i = 0; i < MACHINES; i++) {
        const char *m = machine_of(r, i);

        rig_says(r, "GET", arena_fmt(r->arena, GET_ALERT "da%d_-1", i), 0, 200,
                 arena_fmt(r->arena,
                           "{\"id\":\"da%d_-1\",\"severity\":\"High\",\"title\":\"T\","
                           "\"detectorId\":\"d1\",\"machineId\":\"%s\"}",
                           i, m));
        rig_says(r, "GET", arena_fmt(r->arena, "/api/machines/%s", m), 0, 200,
                 arena_fmt(r->arena,
                           "{\"id\":\"%s\",\"computerDnsName\":\"ws-%d\",\"rbacGroupName\":"
                           "\"%s\"}",
                           m, i, i < 4 ? "Desks" : "Labs"));
        rig_says(r, "POST", arena_fmt(r->arena, "/api/machines/%s/isolate", m), 0, 201,
                 arena_fmt(r->arena,
                           "{\"id\":\"00000000-0000-0000-0000-00000000000%d\",\"type\":\"Isolate\","
                           "\"status\":\"Succeeded\",\"machineId\":\"%s\",\"creationDateTimeUtc\":"
                           "\"%s\",\"lastUpdateDateTimeUtc\":\"%s\"}",
                           i, m, now, now));
    }
}

static void script_many(struct rig *r)
{
    peer_forget(r->peer);
    script_machines(r);
}

/* store_url: NULL for a SQLite of its own. */
static void many_on(struct rig *r, const char *safety, const char *store_url)
{
    char rules[600];

    (void)snprintf(rules, sizeof rules, RULES_ISOLATE_AND_MAIL "safety: %s\n", safety);
    rig_open_on(r, rules, store_url);
    script_many(r);
}

static void many(struct rig *r, const char *safety)
{
    many_on(r, safety, NULL);
}

static int64_t push_many(struct rig *r, int from, int to)
{
    int64_t last = 0;

    for (int i = from; i < to; i++) {
        last = rig_push(r, arena_fmt(r->arena, "da%d_-1", i), machine_of(r, i));
        (void)rig_work(r);
    }
    return last;
}

static size_t posts(struct rig *r)
{
    size_t n = 0;

    for (int i = 0; i < MACHINES; i++)
        n += rig_seen(r, "POST", arena_fmt(r->arena, "/api/machines/%s/isolate", machine_of(r, i)));
    return n;
}

/* Each row: what holds back, how many of six go, why the rest do not. */
static void hold_back(bool shared)
{
    static const struct {
        const char *safety;
        size_t go, questions;
        const char *what;
    } rows[] = {
        {"{limits: [{isolations: 2, per: 1h}]}", 2, 1,
         "the limit of 2 isolations in 60 minutes is reached"},
        {"{limits: [{isolations: 2, per: 90s}]}", 2, 1,
         "the limit of 2 isolations in 90 seconds is reached"},
        {"{limits: [{isolations: 2, per: 1m}]}", 2, 1,
         "the limit of 2 isolations in 1 minute is reached"},
        {"{limits: [{isolations: 2, per: 1h, of: rule}]}", 2, 1,
         "the limit of 2 isolations of rule contain in 60 minutes is reached"},
        {"{limits: [{isolations: 2, per: 1h, of: tenant}]}", 2, 1,
         "the limit of 2 isolations of tenant contoso in 60 minutes is reached"},
        {"{limits: [{isolations: 3, per: 1h, of: group}]}", 5, 1,
         "the limit of 3 isolations of device group Desks in 60 minutes is reached"},
        /* of 4 machines seen so far 50 % are 2, and of 2 it is 1 */
        {"{limits: [{percent: 50, per: 1h, of: group}]}", 3, 2,
         "the limit of 1 isolations of device group Labs in 60 minutes is reached"},
        {"{storm: {machines: 4, within: 1h}}", 4, 1,
         "one detector fired on more than 4 machines within 60 minutes"},
        {"{storm: {machines: 4, within: 90s}}", 4, 1,
         "one detector fired on more than 4 machines within 90 seconds"},
        {"{canary: 2}", 0, 1, "the first 2 isolations of a changed policy are asked for"},
        /* each of them counts */
        {"{limits: [{isolations: 9, per: 1h}, {isolations: 2, per: 24h}]}", 2, 1,
         "the limit of 2 isolations in 1440 minutes is reached"},
        {"{canary: 2, storm: {machines: 4, within: 1h}}", 0, 2,
         "one detector fired on more than 4 machines within 60 minutes"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct question_record *list;
        char url[POSTGRES_URL_MAX];
        struct rig r;
        size_t n = 0;

        print_message("  %s\n", rows[i].safety);
        many_on(&r, rows[i].safety, shared ? postgres_url(url) : NULL);
        (void)push_many(&r, 0, MACHINES);
        assert_int_equal(posts(&r), rows[i].go);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 9, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, rows[i].questions);
        assert_string_equal(list[0].what, rows[i].what);
        rig_close(&r);
    }
}

static void test_question__what_safety_holds_back_is_one_question(void **state)
{
    (void)state;
    hold_back(false);
}

static void test_question__safety_holds_back_the_same_on_postgresql(void **state)
{
    (void)state;
    if (!postgres_start(NULL))
        skip();
    hold_back(true);
}

/* Requests that Defender did not take wait, and the limits are lowered meanwhile, or a canary is asked for: those that these
 * leave no room for are not sent, and people hear of it. */
static void test_question__what_waits_is_held_back_by_the_policy_in_force(void **state)
{
    static const struct {
        const char *safety;
        size_t go;
        const char *why;
    } rows[] = {
        {"{limits: [{isolations: 9, per: 1h}], protected: []}", 3, NULL},
        {"{limits: [{isolations: 3, per: 1h}], protected: []}", 3, NULL},
        {"{limits: [{isolations: 1, per: 1h}]}", 1,
         "the limit of 1 isolations in 60 minutes is reached"},
        {"{limits: [{isolations: 2, per: 1h, of: group}]}", 2,
         "the limit of 2 isolations of device group Desks in 60 minutes is reached"},
        {"{limits: [{isolations: 3, per: 1h, of: tenant}], protected: []}", 3, NULL},
        {"{limits: [{isolations: 2, per: 1h, of: tenant}]}", 2,
         "the limit of 2 isolations of tenant contoso in 60 minutes is reached"},
        {"{canary: 1}", 0, "the first 1 isolations of a changed policy are asked for"},
        /* the first that holds it back is told */
        {"{limits: [{isolations: 1, per: 1h}, {isolations: 2, per: 24h}]}", 1,
         "the limit of 1 isolations in 60 minutes is reached"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t last;

        print_message("  %s\n", rows[i].safety);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {limits: [{isolations: 3, per: 1h}]}\n");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/api/machines/", 3, 409, "{}");
        script_machines(&r);
        last = push_many(&r, 0, 3);
        assert_int_equal(posts(&r), 3);
        assert_string_equal(rig_told(&r, last), "late");
        engine_use(r.g, rig_runtime(&r, arena_fmt(r.arena, "%ssafety: %s\n", RULES_ISOLATE_AND_MAIL,
                                                  rows[i].safety)));
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(posts(&r), 3 + rows[i].go);
        assert_string_equal(rig_told(&r, last),
                            rows[i].why ? "late not_isolated" : "late isolated");
        if (rows[i].why)
            assert_non_null(strstr(rig_subject(&r, last), rows[i].why));
        rig_close(&r);
    }
}

/* A case that takes over what another one has asked for does so within its own rule's limit, whether others of the rule were
 * there before that one asked or came since. */
static void test_question__an_heir_is_within_the_limit_of_its_rule(void **state)
{
    enum { ROOM, FULL_BEFORE, FULL_SINCE };

    (void)state;
    for (int is = ROOM; is <= FULL_SINCE; is++) {
        struct desk_order drop = {.who = "maria", .why = "a drill"};
        struct err e = {0};
        struct rig r;
        int64_t heir;

        rig_open(
            &r,
            "rules:\n  - {name: a, when: {alert.severity: Medium}, do: [isolate: {}, email: {}]}\n"
            "  - {name: b, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"
            "safety: {limits: [{isolations: 1, per: 1h, of: rule}]}\n");
        peer_forget(r.peer);
        rig_says(&r, "GET", GET_ALERT "da9_-1", 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"da9_-1\",\"severity\":\"Medium\",\"title\":\"T\","
                           "\"machineId\":\"%s\"}",
                           machine_of(&r, 1)));
        rig_says(&r, "POST", arena_fmt(r.arena, "/api/machines/%s/isolate", machine_of(&r, 1)), 2,
                 409, "{}"); /* his, and again when the heir joins */
        script_machines(&r);
        if (is == FULL_BEFORE)
            (void)push_many(&r, 0, 1);
        drop.id = rig_push(&r, "da9_-1", machine_of(&r, 1));
        (void)rig_work(&r);
        if (is == FULL_SINCE)
            (void)push_many(&r, 0, 1);
        heir = rig_push(&r, "da1_-1", machine_of(&r, 1));
        (void)rig_work(&r);
        if (desk_drop(r.g, &drop, &e))
            fail_msg("%s", e.text);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(posts(&r), is == ROOM ? 3 : 1 + 2);
        assert_string_equal(rig_case(&r, heir).rule, "b");
        assert_string_equal(rig_told(&r, heir), is != ROOM ? "late not_isolated" : "late isolated");
        if (is != ROOM)
            assert_non_null(
                strstr(rig_subject(&r, heir), "the limit of 1 isolations of rule b in"));
        rig_close(&r);
    }
}

/* One yes for all of them; and a yes to the canary is none to the limits. */
static void test_question__a_yes_lifts_what_it_was_given_to(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 2, per: 1h}], canary: 1}");
    (void)push_many(&r, 0, 4);
    assert_int_equal(posts(&r), 0);
    assert_int_equal(newest(&r).kind, QUESTION_CANARY);
    yes(&r);
    assert_int_equal(posts(&r), 2);
    assert_int_equal(newest(&r).kind, QUESTION_LIMIT);
    yes(&r);
    assert_int_equal(posts(&r), 4);
    rig_close(&r);
}

struct invited {
    struct rig *r;
    struct invitation *list;
    size_t n;
};

static enum err_code invited_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct invited *x = arg;

    return invitation_list(tx, x->r->arena, newest(x->r).id, &x->list, &x->n, e);
}

/* Whom these ask, and how many of them must say yes, says safety.ask. */
static void test_question__safety_says_whom_many_are_put_to(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    struct invited x = {.r = &r};

    (void)state;
    many(&r, "{canary: 1, ask: {within: 2h, people: 2, approvers: [a@x.example, b@x.example]}}");
    (void)push_many(&r, 0, 2);
    assert_int_equal(db_read(r.store->db, invited_fn, &x, NULL), ERR_OK);
    assert_int_equal(x.n, 2);
    assert_string_equal(x.list[0].address, "a@x.example");
    assert_string_equal(x.list[1].address, "b@x.example");
    assert_int_equal(newest(&r).people, 2);
    assert_int_equal(newest(&r).expires - newest(&r).created, 2 * HOUR_MS);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_OPEN);
    (void)rig_work(&r);
    assert_int_equal(posts(&r), 0);
    hands_turn(&r.hands, QUESTION_GATHER_MS);
    (void)rig_work(&r);
    assert_int_equal(say(&r, "b@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_APPROVED);
    (void)rig_work(&r);
    assert_int_equal(posts(&r), 2);
    rig_close(&r);
}

/* Given under a policy that is none any more, it lifts nothing: people are asked by the one in force. */
static void test_question__a_yes_to_many_is_to_a_policy(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 2, per: 1h}]}");
    (void)push_many(&r, 0, 4);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL
                                "safety: {limits: [{isolations: 2, per: 2h}]}\n"));
    (void)rig_work(&r);
    assert_int_equal(posts(&r), 2);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    assert_string_equal(newest(&r).what, "the limit of 2 isolations in 120 minutes is reached");
    yes(&r);
    assert_int_equal(posts(&r), 4);
    rig_close(&r);
}

/* While the question of an older policy is open, which nobody can say yes to any more, people are asked by the one in
 * force about what that one holds back. */
static void test_question__what_another_policy_holds_back_is_another_question(void **state)
{
    static const char *const safety[] = {"limits: [{isolations: 1, per: 1h}]",
                                         "storm: {machines: 1, within: 1h}"};

    (void)state;
    for (size_t i = 0; i < sizeof safety / sizeof *safety; i++) {
        struct rig r;
        int64_t before;

        many(&r, i ? "{storm: {machines: 1, within: 1h}}" : "{limits: [{isolations: 1, per: 1h}]}");
        (void)push_many(&r, 0, 2);
        before = newest(&r).id;
        engine_use(
            r.g,
            rig_runtime(&r, arena_fmt(r.arena, RULES_ISOLATE_AND_MAIL "safety: {%s, review: 2h}\n",
                                      safety[i])));
        (void)push_many(&r, 2, 4);
        assert_int_equal(posts(&r), 1);
        assert_int_not_equal(newest(&r).id, before);
        yes(&r);
        assert_int_equal(posts(&r), 3);
        rig_close(&r);
    }
}

/* A yes to the limits of a policy is none to those of the next, also when that one has got a yes of its own to something
 * less. */
static void test_question__a_yes_to_a_canary_revives_no_older_one(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 2, per: 1h}]}");
    (void)push_many(&r, 0, 4);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL
                                "safety: {limits: [{isolations: 2, per: 2h}], canary: 1}\n"));
    (void)rig_work(&r);
    assert_int_equal(newest(&r).kind, QUESTION_CANARY);
    yes(&r);
    assert_int_equal(posts(&r), 2);
    assert_int_equal(newest(&r).kind, QUESTION_LIMIT);
    yes(&r);
    assert_int_equal(posts(&r), 4);
    rig_close(&r);
}

static enum err_code forget_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return question_forget_case(tx, *(const int64_t *)arg, 0, e);
}

/* Nor is one that a case has got before it began anew: it lifts no limit twice. */
static void test_question__a_yes_is_spent_when_its_case_begins_anew(void **state)
{
    struct approval p;
    struct rig r;
    int64_t id;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}], canary: 1}");
    id = push_many(&r, 0, 2);
    yes(&r); /* to the canary */
    yes(&r); /* to the limit */
    assert_int_equal(posts(&r), 2);
    assert_int_equal(store_approval(r.store, r.arena, id, &p, NULL), ERR_OK);
    assert_non_null(p.canary_policy);
    assert_non_null(p.limits_policy);
    assert_int_equal(db_write(r.store->db, forget_fn, &id, NULL), ERR_OK);
    assert_int_equal(store_approval(r.store, r.arena, id, &p, NULL), ERR_OK);
    assert_null(p.canary_policy);
    assert_null(p.limits_policy);
    assert_int_equal(p.given, 0);
    rig_close(&r);
}

/* ---- the record ----------------------------------------------------------------------------------- */

struct record {
    struct arena *arena;
    struct audit_record *list;
    size_t n;
};

static enum err_code record_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct record *x = arg;

    return audit_read(tx, x->arena, 0, 100, &x->list, &x->n, e);
}

/* Kinds and some words of the records that people make, in their order. */
static const char *on_record(struct rig *r)
{
    struct record x = {.arena = r->arena};
    const char *text = "";

    assert_int_equal(db_read(r->store->db, record_fn, &x, NULL), ERR_OK);
    for (size_t i = 0; i < x.n; i++) {
        AUTO(json_freep) struct json *doc = NULL;
        const char *words[4];
        bool yes, named;

        if (strcmp(x.list[i].kind, "question") != 0 && strcmp(x.list[i].kind, "answer") != 0 &&
            strcmp(x.list[i].kind, "order") != 0)
            continue;
        assert_int_equal(json_parse(x.list[i].detail, strlen(x.list[i].detail), &doc, NULL),
                         ERR_OK);
        yes = json_is_true(json_get(doc, "yes"));
        /* whatever is said of a question names it */
        named = json_get_string(doc, "question") != NULL;
        assert_int_equal(named, strcmp(x.list[i].kind, "order") != 0);
        words[0] = json_get_string(doc, "state");
        words[1] = json_get_string(doc, "action");
        words[2] = json_get_string(doc, "order");
        words[3] = json_get_string(doc, "who");
        text = arena_fmt(r->arena, "%s%s%s", text, *text ? "; " : "", x.list[i].kind);
        for (size_t k = 0; k < 4; k++)
            if (words[k])
                text = arena_fmt(r->arena, "%s %s", text, words[k]);
        if (yes)
            text = arena_fmt(r->arena, "%s yes", text);
    }
    return text;
}

static void test_question__what_people_say_is_on_record(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    scene(&r, RULES_TWO);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(say(&r, "a@x.example", true, "seen it", &now, &e), ERR_OK);
    assert_int_equal(say(&r, "b@x.example", false, NULL, &now, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "maria"}, &e), ERR_OK);
    assert_int_equal(desk_resume(r.g, &(struct desk_order){.who = "joe"}, &e), ERR_OK);
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id, .who = "joe"}, &e), ERR_OK);
    assert_string_equal(on_record(&r),
                        "question open; question isolate full; answer a@x.example yes; answer "
                        "b@x.example; question refused; order pause maria; order resume joe; order "
                        "case_retried joe");
    (void)rig_work(&r);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    assert_non_null(strstr(on_record(&r), "question open; question isolate full; question void; "
                                          "order case_dropped"));
    rig_close(&r);
}

/* What is said yes to within minutes is read and judged again all the same, the machines as well: by lists, and none of
 * them by itself before its isolation. */
static void test_question__a_yes_to_many_is_read_for_together(void **state)
{
    AUTO(buf_clear) struct buf alerts = BUF_INIT(4096);
    AUTO(buf_clear) struct buf machines = BUF_INIT(4096);
    enum question_state now;
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{canary: 1}");
    for (int i = 0; i < MACHINES; i++) {
        buf_addf(&alerts, "%s{\"id\":\"da%d_-1\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                 i ? "," : "{\"value\":[", i, machine_of(&r, i));
        buf_addf(&machines, "%s{\"id\":\"%s\"}", i ? "," : "{\"value\":[", machine_of(&r, i));
    }
    buf_adds(&alerts, "]}");
    buf_adds(&machines, "]}");
    rig_says(&r, "GET", "/api/alerts?", 0, 200, buf_text(&alerts));
    rig_says(&r, "GET", "/api/machines?", 0, 200, buf_text(&machines));
    for (int i = 0; i < MACHINES; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-1", i), NULL);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    hands_turn(&r.hands, 10 * SECOND_MS);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
    assert_int_equal(posts(&r), MACHINES);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 2);
    assert_int_equal(rig_seen(&r, "GET", "/api/machines?"), 2);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts/"), 0);
    assert_int_equal(rig_seen(&r, "GET", "/api/machines/"), 0);
    rig_close(&r);
}

/* Cases that are tried again are read anew, though others shared what was read of their machines a moment ago: somebody may
 * have set it right since. */
static void test_question__what_is_tried_again_in_a_crowd_is_read_anew(void **state)
{
    AUTO(buf_clear) struct buf alerts = BUF_INIT(4096);
    int64_t ids[MACHINES];
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{protected: [{machine.tags: [tier-0]}]}");
    for (int i = 0; i < MACHINES; i++)
        buf_addf(&alerts, "%s{\"id\":\"da%d_-1\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                 i ? "," : "{\"value\":[", i, machine_of(&r, i));
    buf_adds(&alerts, "]}");
    for (int tagged = 1; tagged >= 0; tagged--) {
        AUTO(buf_clear) struct buf machines = BUF_INIT(4096);

        script_many(&r);
        for (int i = 0; i < MACHINES; i++)
            buf_addf(&machines, "%s{\"id\":\"%s\",\"machineTags\":[%s]}", i ? "," : "{\"value\":[",
                     machine_of(&r, i), tagged ? "\"tier-0\"" : "");
        buf_adds(&machines, "]}");
        rig_says(&r, "GET", "/api/alerts?", 0, 200, buf_text(&alerts));
        rig_says(&r, "GET", "/api/machines?", 0, 200, buf_text(&machines));
        for (int i = 0; i < MACHINES; i++)
            if (tagged)
                ids[i] = rig_push(&r, arena_fmt(r.arena, "da%d_-1", i), NULL);
            else
                assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = ids[i]}, &e), ERR_OK);
        atomic_store(&r.g->crowd[WORK_CASE], true);
        (void)rig_work(&r);
        for (int i = 0; i < MACHINES && tagged; i++)
            assert_string_equal(rig_told(&r, ids[i]), "not_isolated");
        hands_turn(&r.hands, MINUTE_MS);
    }
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
    assert_int_equal(posts(&r), MACHINES);
    rig_close(&r);
}

/* A no to many is one mail, and each of the cases says why it is over. */
static void test_question__a_no_to_many_is_told_in_one_mail(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct case_record c;
    struct rig r;
    int64_t last;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    last = push_many(&r, 0, MACHINES);
    assert_int_equal(say(&r, "a@x.example", false, "a drill", &now, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(posts(&r), 1);
    c = rig_case(&r, last);
    assert_int_equal(c.state, CASE_DONE);
    assert_string_equal(c.told, "not_isolated");
    assert_string_equal(rig_told(&r, last), ""); /* none of its own */
    /* and it can be begun anew: the limit asks anew */
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = last}, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(posts(&r), 1);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    rig_close(&r);
}

/* The one mail goes to those who were asked. Whom else a rule tells, by a mail or by a webhook, hears of each case. */
static void test_question__a_no_to_many_reaches_whom_the_rule_tells(void **state)
{
    static const struct {
        const char *step, *told; /* of the last case */
        bool mail;
    } rows[] = {
        {"email: {}", "", true},
        {"email: {to: [soc@contoso.example]}", "", true},
        {"email: {to: [soc@contoso.example, others@x.example]}", "not_isolated", true},
        {"webhook: {to: siem}", "not_isolated", true},
        {"webhook: {to: siem}", "not_isolated", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct step_record *steps;
        char rules[600];
        struct runtime *rt;
        struct rig r;
        int64_t last;
        size_t n = 0;

        many(&r, "{limits: [{isolations: 1, per: 1h}]}");
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: contain, do: [isolate: {}, %s]}]\n"
                       "safety: {limits: [{isolations: 1, per: 1h}]}\n",
                       rows[i].step);
        rt = rig_runtime(&r, rules);
        if (!rows[i].mail)
            rt->config->mail.server = NULL;
        engine_use(r.g, rt);
        last = push_many(&r, 0, 3);
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
        assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
        assert_int_equal(rig_case(&r, last).state, CASE_DONE);
        assert_string_equal(rig_told(&r, last), rows[i].told);
        assert_int_equal(store_case_steps(r.store, r.arena, last, &steps, &n, NULL), ERR_OK);
        assert_int_equal(steps[n - 1].state, STEP_DONE);
        rig_close(&r);
    }
}

struct question_post {
    struct arena *arena;
    int64_t n;
    const char *subject, *message; /* of the last */
};

static enum err_code question_posts_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct question_post *p = arg;
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT subject, message FROM notices WHERE about LIKE"
                                  " 'question:%' AND channel = 'webhook:siem' ORDER BY id",
                                  "");

    if (code)
        return code;
    for (p->n = 0; db_next(rows); p->n++) {
        p->subject = store_text(p->arena, rows, 0, &nomem);
        p->message = store_text(p->arena, rows, 1, &nomem);
    }
    return db_rows_end(rows, e);
}

static struct question_post question_posts(struct rig *r)
{
    struct question_post p = {.arena = r->arena};

    assert_int_equal(db_read(r->store->db, question_posts_fn, &p, NULL), ERR_OK);
    return p;
}

/* Where nobody can be mailed a question over many is posted, and again when more have joined; whoever reads it can answer. When
 * nobody does, each case says so, whatever its rule tells. */
static void test_question__many_are_posted_where_nobody_can_be_mailed(void **state)
{
    static const char *const steps[] = {"isolate: {}", "isolate: {}, webhook: {to: siem}"};
    static const bool yes[] = {false, true};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        enum question_state now;
        struct question_post p;
        struct runtime *rt;
        char rules[600];
        struct rig r;
        int64_t last;

        many(&r, "{limits: [{isolations: 1, per: 1h}]}");
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: contain, do: [%s]}]\n"
                       "safety: {limits: [{isolations: 1, per: 1h}]}\n",
                       steps[i]);
        rt = rig_runtime(&r, rules);
        rt->config->mail.server = NULL;
        rt->config->mail.to.count = 0;
        engine_use(r.g, rt);
        (void)push_many(&r, 0, 3);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        p = question_posts(&r);
        assert_int_equal(p.n, 1);
        assert_string_equal(p.subject, "[QUESTION] 2 machines: the limit of 1 isolations in 60 "
                                       "minutes is reached");
        assert_non_null(strstr(p.message, "cordon approve "));
        assert_non_null(strstr(p.message, "ws-2"));
        assert_null(strstr(p.message, "/approve/"));
        last = push_many(&r, 3, 4);
        rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
        p = question_posts(&r);
        assert_int_equal(p.n, 2);
        assert_non_null(strstr(p.subject, "[QUESTION] 3 machines: "));
        if (yes[i]) {
            script_many(&r);
            assert_int_equal(say(&r, "maria", true, NULL, &now, NULL), ERR_OK);
            rig_pass(&r, MINUTE_MS, SECOND_MS);
            assert_int_equal(posts(&r), 3);
        } else {
            rig_pass(&r, 5 * HOUR_MS, 10 * MINUTE_MS);
            assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
            assert_int_equal(rig_case(&r, last).state, CASE_DONE);
            assert_string_equal(rig_told(&r, last), "not_isolated");
        }
        assert_int_equal(question_posts(&r).n, 2);
        rig_close(&r);
    }
}

/* Who heard of a case before safety held it back, and is none of those who were asked, hears of the no, too. */
static void test_question__a_no_to_many_reaches_who_heard_of_the_case(void **state)
{
    static const struct {
        const char *step, *told; /* of the last case */
    } rows[] = {
        {"email: {to: [others@x.example]}", "alert not_isolated"},
        {"email: {}", "alert"}, /* and the one mail */
        {"webhook: {to: siem}", "alert not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[600];
        struct rig r;
        int64_t last;

        many(&r, "{limits: [{isolations: 1, per: 1h}]}");
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: contain, do: [%s, isolate: {}]}]\n"
                       "safety: {limits: [{isolations: 1, per: 1h}]}\n",
                       rows[i].step);
        engine_use(r.g, rig_runtime(&r, rules));
        last = push_many(&r, 0, 3);
        assert_string_equal(rig_told(&r, last), "alert");
        rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
        assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
        assert_int_equal(rig_case(&r, last).state, CASE_DONE);
        assert_string_equal(rig_told(&r, last), rows[i].told);
        rig_close(&r);
    }
}

/* A question over many is over when its time is, not when its next mail would be. */
static void test_question__many_are_told_in_time_that_nobody_answered(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{canary: 1, ask: {within: 20m}}");
    (void)push_many(&r, 0, 3);
    (void)rig_work(&r);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    while (clock_wall_ms(&r.hands.clock) < newest(&r).expires) {
        int64_t left = newest(&r).expires - clock_wall_ms(&r.hands.clock);

        hands_turn(&r.hands, left < MINUTE_MS ? left : MINUTE_MS);
        (void)rig_work(&r);
    }
    assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
    rig_close(&r);
}

/* Who is held back while there is time to answer is asked about before it is over, however short it is; who comes later by the
 * next question, and not told that nobody answered who was never asked. */
static void test_question__who_is_held_back_late_is_asked_about_all_the_same(void **state)
{
    static const struct {
        const char *safety;
        int64_t later_ms; /* so long after the first the second machine comes */
        bool next;
    } rows[] = {{"{canary: 1, ask: {within: 4m}}", 90 * SECOND_MS, false},
                {"{canary: 1, ask: {within: 4m}}", 200 * SECOND_MS, true},
                {"{canary: 1}", 3 * HOUR_MS + 44 * MINUTE_MS, false},
                {"{canary: 1}", 3 * HOUR_MS + 50 * MINUTE_MS, true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum question_state now;
        struct question_record first;
        struct err e = {0};
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        many(&r, rows[i].safety);
        (void)push_many(&r, 0, 1);
        first = newest(&r);
        rig_pass(&r, rows[i].later_ms, rows[i].later_ms > HOUR_MS ? MINUTE_MS : 10 * SECOND_MS);
        script_many(&r);
        id = push_many(&r, 1, 2);
        while (clock_wall_ms(&r.hands.clock) < first.expires - 10 * SECOND_MS)
            rig_pass(&r, 10 * SECOND_MS, 10 * SECOND_MS);
        assert_int_equal(newest(&r).id, first.id);
        assert_int_equal(newest(&r).told, rows[i].next ? 1 : 2);
        rig_pass(&r, 30 * SECOND_MS, 10 * SECOND_MS);
        assert_int_equal(newest(&r).id != first.id, rows[i].next);
        assert_int_equal(rig_case(&r, id).state, rows[i].next ? CASE_WAITING : CASE_DONE);
        if (rows[i].next) {
            assert_int_equal(newest(&r).state, QUESTION_OPEN);
            assert_int_equal(newest(&r).told, 1);
            assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
            (void)rig_work(&r);
            assert_int_equal(posts(&r), 1);
        }
        rig_close(&r);
    }
}

/* Whoever is asked about what was held back last has time to answer, however long the question's own is. */
static void test_question__who_is_asked_last_has_time_to_answer(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{canary: 1, ask: {within: 61m}}");
    (void)push_many(&r, 0, 1);
    rig_pass(&r, 45 * MINUTE_MS + 30 * SECOND_MS, 10 * SECOND_MS);
    script_many(&r);
    (void)push_many(&r, 1, 2);
    while (newest(&r).told < 2 && newest(&r).state == QUESTION_OPEN)
        rig_pass(&r, 10 * SECOND_MS, 10 * SECOND_MS);
    assert_int_equal(newest(&r).told, 2);
    assert_true(newest(&r).expires - clock_wall_ms(&r.hands.clock) >= 14 * MINUTE_MS);
    rig_close(&r);
}

/* Who waits for the next question waits no longer than for the end of this one, whenever that is answered. */
static void test_question__who_waits_for_the_next_question_waits_for_the_end_of_this_one(
    void **state)
{
    static const bool answers[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        enum question_state now;
        struct question_record first;
        struct err e = {0};
        struct rig r;
        int64_t id;

        many(&r, "{canary: 1}");
        (void)push_many(&r, 0, 1);
        first = newest(&r);
        rig_pass(&r, 3 * HOUR_MS + 50 * MINUTE_MS, MINUTE_MS);
        script_many(&r);
        id = push_many(&r, 1, 2);
        assert_int_equal(rig_case(&r, id).state, CASE_DECIDING);
        assert_int_equal(say(&r, "a@x.example", answers[i], NULL, &now, &e), ERR_OK);
        rig_pass(&r, 30 * SECOND_MS, SECOND_MS);
        /* with a yes the canary is over */
        assert_int_equal(newest(&r).id != first.id, !answers[i]);
        assert_int_equal(posts(&r), answers[i] ? 2 : 0);
        rig_close(&r);
    }
}

/* The replica that had the question in hand is gone: until its lease has run out nobody ends it. */
static void test_question__who_waits_for_a_question_in_dead_hands_uses_up_no_calls(void **state)
{
    struct question_record first;
    struct work theirs;
    struct rig r;
    size_t before;

    (void)state;
    many(&r, "{canary: 1, ask: {within: 4m}}");
    (void)push_many(&r, 0, 1);
    first = newest(&r);
    rig_pass(&r, 200 * SECOND_MS, 10 * SECOND_MS);
    script_many(&r);
    (void)push_many(&r, 1, 2);
    hands_turn(&r.hands, first.expires - clock_wall_ms(&r.hands.clock));
    assert_true(rig_claim(&r, WORK_QUESTION, &theirs));
    before = rig_seen(&r, "GET", GET_ALERT);
    rig_pass(&r, 28 * SECOND_MS, SECOND_MS);
    assert_int_equal(newest(&r).id, first.id);
    assert_true(rig_seen(&r, "GET", GET_ALERT) - before < 8);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_not_equal(newest(&r).id, first.id);
    rig_close(&r);
}

/* Nor where the last case that was asked about is dropped: nobody is asked any more. */
static void test_question__who_waits_for_the_next_question_waits_for_no_dropped_case(void **state)
{
    struct question_record first;
    struct err e = {0};
    struct rig r;
    int64_t asked;

    (void)state;
    many(&r, "{canary: 1}");
    asked = push_many(&r, 0, 1);
    first = newest(&r);
    rig_pass(&r, 3 * HOUR_MS + 50 * MINUTE_MS, MINUTE_MS);
    script_many(&r);
    (void)push_many(&r, 1, 2);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = asked, .why = "a drill"}, &e),
                     ERR_OK);
    assert_int_equal(newest(&r).state, QUESTION_VOID);
    rig_pass(&r, 30 * SECOND_MS, SECOND_MS);
    assert_int_not_equal(newest(&r).id, first.id);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    rig_close(&r);
}

/* cordon was stopped before its first mail, and started when the time was over: nobody could answer who was not asked. */
static void test_question__nobodys_time_is_over_before_he_is_asked(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{canary: 1, ask: {within: 20m}}");
    (void)push_many(&r, 0, 2);
    hands_turn(&r.hands, 25 * MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    assert_int_equal(newest(&r).told, 2);
    assert_int_equal(newest(&r).expires, clock_wall_ms(&r.hands.clock) + 20 * MINUTE_MS);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(newest(&r).state, QUESTION_EXPIRED);
    rig_close(&r);
}

/* Nor for whoever finds the question in a list before that mail is made. */
static void test_question__an_answer_before_the_first_mail_is_in_time(void **state)
{
    enum question_state now;
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{canary: 1, ask: {within: 20m}}");
    (void)push_many(&r, 0, 2);
    hands_turn(&r.hands, 25 * MINUTE_MS);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    assert_int_equal(now, QUESTION_APPROVED);
    rig_close(&r);
}

/* Who stands in the same place twice is one machine of a storm. */
static void test_question__a_storm_counts_machines(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{storm: {machines: 2, within: 1h}}");
    (void)push_many(&r, 0, 2);
    assert_int_equal(posts(&r), 2);
    hands_turn(&r.hands, HOUR_MS + MINUTE_MS); /* those are forgotten */
    (void)push_many(&r, 2, 4);
    assert_int_equal(posts(&r), 4);
    (void)push_many(&r, 4, 5);
    assert_int_equal(posts(&r), 4);
    assert_int_equal(newest(&r).kind, QUESTION_STORM);
    rig_close(&r);
}

struct subject {
    struct arena *arena;
    const char *text;
};

static enum err_code read_subject(struct db_tx *tx, void *arg, struct err *e)
{
    struct subject *s = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT subject FROM notices WHERE about LIKE 'question:%'"
                                  " ORDER BY id DESC LIMIT 1",
                                  "");

    return code ? code : store_take_one(rows, s->arena, store_text_row, (void *)&s->text, "no", e);
}

static enum err_code read_message(struct db_tx *tx, void *arg, struct err *e)
{
    struct subject *s = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT message FROM notices WHERE about LIKE 'question:%'"
                                  " ORDER BY id DESC LIMIT 1",
                                  "");

    return code ? code : store_take_one(rows, s->arena, store_text_row, (void *)&s->text, "no", e);
}

/* Of the last mail about a question over many. */
static const char *many_subject(struct rig *r)
{
    struct subject s = {.arena = r->arena};

    assert_int_equal(db_read(r->store->db, read_subject, &s, NULL), ERR_OK);
    return s.text;
}

/* Its part of plain text. */
static const char *many_text(struct rig *r)
{
    AUTO(buf_clear) struct buf part = BUF_INIT(1 << 20);
    struct subject s = {.arena = r->arena};

    assert_int_equal(db_read(r->store->db, read_message, &s, NULL), ERR_OK);
    assert_int_equal(mime_part(s.text, "text/plain", &part, NULL), ERR_OK);
    return arena_str(r->arena, buf_text(&part));
}

static enum err_code read_addresses(struct db_tx *tx, void *arg, struct err *e)
{
    struct subject *s = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT t.address FROM notices n JOIN recipients t ON t.notice_id = n.id"
                 " WHERE n.about LIKE 'question:%' ORDER BY n.id",
                 "");

    s->text = "";
    while (!code && db_next(rows))
        s->text = arena_fmt(s->arena, "%s%s ", s->text, db_text(rows, 0));
    return code ? code : db_rows_end(rows, e);
}

/* Who has been asked about many so far, in this order. */
static const char *many_asked(struct rig *r)
{
    struct subject s = {.arena = r->arena};

    assert_int_equal(db_read(r->store->db, read_addresses, &s, NULL), ERR_OK);
    return s.text;
}

/* More is held back when mail.to is another: those who may answer by now hear of it, and nobody else. */
static void test_question__who_is_asked_about_many_is_who_may_answer(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    (void)push_many(&r, 0, 2);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_string_equal(many_asked(&r), "soc@contoso.example ");
    write_to(&r, RULES_ISOLATE_AND_MAIL "safety: {limits: [{isolations: 1, per: 1h}]}\n",
             "new@contoso.example");
    (void)push_many(&r, 2, 3);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(many_asked(&r), "soc@contoso.example new@contoso.example ");
    (void)push_many(&r, 3, 4);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(many_asked(&r),
                        "soc@contoso.example new@contoso.example new@contoso.example ");
    rig_close(&r);
}

static enum err_code read_asked(struct db_tx *tx, void *arg, struct err *e)
{
    struct subject *s = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT t.address FROM notices n JOIN recipients t ON t.notice_id = n.id"
                 " WHERE n.kind = 'question' ORDER BY n.id",
                 "");

    s->text = "";
    while (!code && db_next(rows))
        s->text = arena_fmt(s->arena, "%s%s ", s->text, db_text(rows, 0));
    return code ? code : db_rows_end(rows, e);
}

/* Who may answer by now is asked, though nothing more is held back: nobody else could. By an ask of a rule, and by one over many. */
static void test_question__who_may_answer_since_is_asked(void **state)
{
    static const char *const rows[] = {RULES_ASK, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n",
                                       RULES_TWO};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool by_name = strstr(rows[i], "approvers") != NULL;
        struct subject s;
        struct err e = {0};
        struct rig r;
        int64_t id;

        scene(&r, rows[i]);
        s = (struct subject){.arena = r.arena};
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        write_to(&r, rows[i], "new@contoso.example");
        (void)rig_work(&r);
        write_to(&r, rows[i], "new@contoso.example"); /* and once */
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(db_read(r.store->db, read_asked, &s, NULL), ERR_OK);
        assert_string_equal(s.text, by_name ? "a@x.example b@x.example "
                                            : "soc@contoso.example new@contoso.example ");
        assert_int_equal(newest(&r).state, QUESTION_OPEN);
        assert_int_equal(say_by_link(&r, "new@contoso.example", true, &e),
                         by_name ? ERR_CONFLICT : ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), !by_name);
        assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
        rig_close(&r);
    }
}

/* Nor is he forgotten who came when he could not be asked: another policy was in force for a while, or no mail server. */
static void test_question__who_could_not_be_asked_at_first_is_asked(void **state)
{
    static const char *const rows[] = {RULES_ASK, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n"};
    static const bool servers[] = {true, false};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        bool server = servers[i / 2];
        const char *rules = rows[i % 2];
        struct runtime *rt;
        struct subject s;
        struct rig r;

        print_message("  row %zu\n", i);
        scene(&r, rules);
        s = (struct subject){.arena = r.arena};
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        rt = rig_runtime(&r, server ? RULES_MAIL_ONLY : rules);
        rt->config->mail.to.items[0] = "new@contoso.example";
        rt->config->mail.server = server ? rt->config->mail.server : NULL;
        engine_use(r.g, rt);
        (void)rig_work(&r);
        write_to(&r, rules, "new@contoso.example");
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(db_read(r.store->db, read_asked, &s, NULL), ERR_OK);
        assert_string_equal(s.text, "soc@contoso.example new@contoso.example ");
        rig_close(&r);
    }
}

/* A question that began when there was no mail server is mailed when there is one. */
static void test_question__who_could_not_be_mailed_is_when_he_can_be(void **state)
{
    static const char *const rows[] = {RULES_ASK, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct runtime *rt;
        struct subject s;
        struct rig r;

        print_message("  row %zu\n", i);
        scene(&r, rows[i]);
        s = (struct subject){.arena = r.arena};
        rt = rig_runtime(&r, rows[i]);
        rt->config->mail.server = NULL;
        engine_use(r.g, rt);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        engine_use(r.g, rig_runtime(&r, rows[i]));
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(db_read(r.store->db, read_asked, &s, NULL), ERR_OK);
        assert_string_equal(s.text, "soc@contoso.example ");
        rig_close(&r);
    }
}

/* Nor he who was to be asked when a question over many began, and was not by the time of its first mail. */
static void test_question__who_got_no_link_is_asked(void **state)
{
    struct subject s;
    struct rig r;

    (void)state;
    many(&r, "{canary: 1}");
    s = (struct subject){.arena = r.arena};
    (void)push_many(&r, 0, 1);
    write_to(&r, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n", "new@contoso.example");
    (void)rig_work(&r);
    write_to(&r, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n", "soc@contoso.example");
    rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(db_read(r.store->db, read_asked, &s, NULL), ERR_OK);
    assert_string_equal(s.text, "new@contoso.example soc@contoso.example ");
    rig_close(&r);
}

/* What people are told is how many machines there are: two alerts of one are no two machines. */
static void test_question__many_tells_of_machines(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    (void)push_many(&r, 0, 3);
    rig_says(
        &r, "GET", GET_ALERT "da9_-1", 0, 200,
        arena_fmt(r.arena,
                  "{\"id\":\"da9_-1\",\"severity\":\"High\",\"title\":\"T\",\"machineId\":\"%s\"}",
                  machine_of(&r, 1)));
    (void)rig_push(&r, "da9_-1", machine_of(&r, 1));
    (void)rig_work(&r);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_string_equal(many_subject(&r), "[QUESTION] 2 machines: the limit of 1 isolations in 60 "
                                          "minutes is reached");
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_string_equal(many_subject(&r), "[NOT ISOLATED: nobody answered in time] 2 machines");
    rig_close(&r);
}

/* The pages of the question's document, as many as it takes; how many cases they have. */
static size_t cases_of_all_pages(struct rig *r)
{
    int64_t after = 0;
    size_t n, all = 0;

    do {
        AUTO(buf_clear) struct buf text = BUF_INIT(4 << 20);
        AUTO(json_freep) struct json *doc = NULL;

        assert_int_equal(
            api_question(r->store, newest(r).id, after, API_QUESTION_CASES, &text, NULL), ERR_OK);
        assert_int_equal(json_parse(buf_text(&text), text.len, &doc, NULL), ERR_OK);
        n = json_count(json_get(doc, "cases"));
        all += n;
        if (!json_get_string(doc, "next"))
            return all;
        assert_int_equal(id_parse(json_get_string(doc, "next"), &after, NULL), ERR_OK);
    } while (n);
    return all;
}

/* When the answer is no, or none, this mail is all that people hear of these cases: more than a table shows are named, too. */
static void test_question__many_names_every_machine(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    (void)push_many(&r, 0, 2);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    rig_sql(&r, "INSERT INTO question_cases (question_id, case_id, n, tenant, alert_id, machine_id,"
                " machine_name, action, spent) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT"
                " x + 1 FROM c WHERE x < 2100) SELECT (SELECT id FROM questions), x, 0, 'contoso',"
                " 'da' || x, 'm' || x, 'pc-' || x || '.corp.example', 'isolate full', 0 FROM c");
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_non_null(strstr(many_subject(&r), "[QUESTION] 2101 machines"));
    assert_non_null(strstr(many_text(&r), "pc-50[.]corp[.]example, case "));
    assert_non_null(strstr(many_text(&r), "And 2051 more cases: pc-51[.]corp[.]example "));
    assert_non_null(strstr(many_text(&r), ", pc-2000[.]corp[.]example "));
    assert_null(strstr(many_text(&r), "pc-2001[.]"));
    assert_non_null(strstr(many_text(&r), ", and 101 others"));
    assert_int_equal(cases_of_all_pages(&r), 2101); /* and these can be read */
    rig_close(&r);
}

/* Since it was held back somebody has isolated it at Defender, or another alert has led to that. */
static void test_question__many_calls_no_machine_free_that_is_isolated_since(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    (void)push_many(&r, 0, 2);
    peer_forget(r.peer);
    rig_says(&r, "GET", LIST, 0, 200,
             arena_fmt(r.arena,
                       "{\"value\":[{\"id\":\"" ACTION
                       "\",\"type\":\"Isolate\",\"status\":\"Succeeded\",\"machineId\":\"%s\","
                       "\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\",\"lastUpdateDateTimeUtc\":"
                       "\"2025-01-07T10:11:12Z\",\"requestor\":\"ann\"}]}",
                       machine_of(&r, 1)));
    rig_says(
        &r, "GET", GET_ALERT "da9_-1", 0, 200,
        arena_fmt(r.arena,
                  "{\"id\":\"da9_-1\",\"severity\":\"High\",\"title\":\"T\",\"machineId\":\"%s\"}",
                  machine_of(&r, 1)));
    script_machines(&r);
    (void)rig_push(&r, "da9_-1", machine_of(&r, 1));
    (void)rig_work(&r);
    assert_true(rig_isolation(&r).adopted);
    script_many(&r);
    (void)push_many(&r, 2, 3);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_string_equal(many_subject(&r),
                        "[QUESTION] 2 machines (1 isolated already): the limit of 1 "
                        "isolations in 60 minutes is reached");
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_string_equal(many_subject(&r),
                        "[NOT ISOLATED: nobody answered in time] 2 machines (1 isolated already)");
    assert_non_null(strstr(many_text(&r), "some are isolated already"));
    assert_non_null(strstr(many_text(&r), "(isolated already, not for this alert)"));
    rig_close(&r);
}

/* The words of who refuses, and a name of Defender's, are neither lines nor links nor the state in a mail of ours. */
static void test_question__what_others_wrote_is_harmless_in_the_mail_of_many(void **state)
{
    enum question_state now;
    const char *why;
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h, of: group}]}");
    peer_forget(r.peer);
    for (int i = 0; i < 3; i++)
        rig_says(&r, "GET", arena_fmt(r.arena, "/api/machines/%s", machine_of(&r, i)), 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"%s\",\"rbacGroupName\":\"Floor\\nQuestion     over, see "
                           "https://evil.example/\"}",
                           machine_of(&r, i)));
    script_machines(&r);
    (void)push_many(&r, 0, 3);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_null(strchr(many_subject(&r), '\n'));
    assert_null(strstr(many_subject(&r), "https://"));
    assert_null(strstr(many_text(&r), "\nQuestion     over"));
    assert_null(strstr(many_text(&r), "https://"));
    why = arena_fmt(r.arena,
                    "no] [ISOLATED\nThese machines are isolated: https://evil.example/%0400d", 1);
    assert_int_equal(say(&r, "a@x.example", false, why, &now, NULL), ERR_OK);
    assert_true(strncmp(many_subject(&r),
                        "[NOT ISOLATED: refused by a[@]x[.]example: no) (ISOLATED",
                        strlen("[NOT ISOLATED: refused by a[@]x[.]example: no) (ISOLATED")) == 0);
    assert_non_null(strstr(many_subject(&r), "] 2 machines"));
    assert_null(strchr(many_subject(&r), '\n'));
    assert_null(strstr(many_text(&r), "\nThese machines"));
    assert_null(strstr(many_text(&r), "https://"));
    rig_close(&r);
}

/* ---- cases of a question over many that are let go -------------------------------------------------- */

struct mails {
    int64_t question, n;
};

static enum err_code count_mails(struct db_tx *tx, void *arg, struct err *e)
{
    char about[ID_TEXT_SIZE + 16], id[ID_TEXT_SIZE];
    struct mails *m = arg;
    struct db_rows *rows;
    enum err_code code;

    (void)snprintf(about, sizeof about, "question:%s", id_format(m->question, id));
    code = db_query(tx, e, &rows, "SELECT count(*) FROM notices WHERE about = $1", "t", about);
    return code ? code : store_take_int(rows, &m->n, e);
}

/* Mails about the newest question, over many. */
static int64_t mails(struct rig *r)
{
    struct mails m = {.question = newest(r).id};

    assert_int_equal(db_read(r->store->db, count_mails, &m, NULL), ERR_OK);
    return m.n;
}

/* Whoever lets two of them go makes no room for two others to be held back unsaid. */
static void test_question__who_is_held_back_after_others_were_let_go_is_named(void **state)
{
    int64_t ids[MACHINES];
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    for (int i = 0; i < 4; i++)
        ids[i] = push_many(&r, i, i + 1);
    rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(newest(&r).told, 3);
    assert_int_equal(mails(&r), 1);
    for (int i = 1; i < 3; i++)
        assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = ids[i], .why = "a drill"}, &e),
                         ERR_OK);
    rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(mails(&r), 1); /* nobody new */
    (void)push_many(&r, 4, MACHINES);
    rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(posts(&r), 1);
    assert_int_equal(mails(&r), 2);
    rig_close(&r);
}

/* With the last of them the question is over: nobody is asked about nothing, nor told that nothing was not isolated. */
static void test_question__many_that_were_let_go_ask_nothing(void **state)
{
    enum question_state now;
    int64_t ids[3];
    struct err e = {0};
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    for (int i = 0; i < 3; i++)
        ids[i] = push_many(&r, i, i + 1);
    rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(mails(&r), 1);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = ids[1], .why = "a drill"}, &e),
                     ERR_OK);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = ids[2], .why = "a drill"}, &e),
                     ERR_OK);
    assert_int_equal(newest(&r).state, QUESTION_VOID);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_CONFLICT);
    rig_pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(mails(&r), 1);
    /* who comes now is asked about anew, at once */
    (void)push_many(&r, 3, 4);
    rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(newest(&r).state, QUESTION_OPEN);
    assert_int_equal(mails(&r), 1);
    assert_int_equal(posts(&r), 1);
    rig_close(&r);
}

/* A machine that fires again is seen again, and a yes is one to all that the storm holds back. */
static void test_question__a_storm_goes_on_while_its_machines_fire(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{storm: {machines: 2, within: 1h}}");
    rig_says(&r, "GET", GET_ALERT "db2_-1", 0, 200,
             arena_fmt(r.arena,
                       "{\"id\":\"db2_-1\",\"severity\":\"High\",\"title\":\"T\","
                       "\"detectorId\":\"d1\",\"machineId\":\"%s\"}",
                       machine_of(&r, 2)));
    (void)push_many(&r, 0, 3);
    assert_int_equal(posts(&r), 2);
    hands_turn(&r.hands, 50 * MINUTE_MS);
    (void)rig_push(&r, "db2_-1", machine_of(&r, 2));
    (void)rig_work(&r);
    hands_turn(&r.hands, 20 * MINUTE_MS); /* the first two are forgotten */
    (void)push_many(&r, 3, 4);
    assert_int_equal(posts(&r), 3);
    (void)push_many(&r, 4, 5);
    assert_int_equal(posts(&r), 3);
    assert_int_equal(newest(&r).kind, QUESTION_STORM);
    yes(&r);
    assert_int_equal(posts(&r), 5);
    rig_close(&r);
}

static void test_question__a_limit_looks_back_as_far_as_it_says(void **state)
{
    static const char *const of[] = {"", ", of: tenant", ", of: rule", ", of: group"};

    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct rig r;

        char text[80];

        (void)snprintf(text, sizeof text, "{limits: [{isolations: 2, per: 1h%s}]}", of[i]);
        many(&r, text);
        (void)push_many(&r, 0, 2);
        hands_turn(&r.hands, 50 * MINUTE_MS);
        (void)push_many(&r, 2, 3);
        assert_int_equal(posts(&r), 2);
        hands_turn(&r.hands, 11 * MINUTE_MS);
        (void)push_many(&r, 3, 4);
        assert_int_equal(posts(&r), 3);
        rig_close(&r);
    }
}

/* Defender takes nothing, or cannot even be looked at, for longer than a limit looks back: what waits for it keeps its place, and
 * counts from when it is sent, or all that gathers meanwhile would be isolated at a blow. */
static void test_question__what_waits_keeps_its_place(void **state)
{
    static const char *const of[] = {"", ", of: tenant", ", of: rule", ", of: group"};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof of / sizeof *of; i++) {
        char text[80];
        struct rig r;

        (void)snprintf(text, sizeof text, "{limits: [{isolations: 1, per: 10m%s}]}", of[i / 2]);
        many(&r, text);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/api/machines/", 0, 503, "{}");
        script_machines(&r);
        (void)push_many(&r, 0, 1);
        if (i % 2) {
            peer_forget(r.peer);
            rig_says(&r, "POST", "/api/machines/", 0, 503, "{}");
            rig_says(
                &r, "GET",
                arena_fmt(r.arena, LIST "$filter=machineId%%20eq%%20%%27%s", machine_of(&r, 0)), 0,
                503, "{}");
            script_machines(&r);
        }
        rig_pass(&r, 11 * MINUTE_MS, MINUTE_MS);
        (void)push_many(&r, 1, 2);
        script_many(&r);
        for (int minutes = 0; !posts(&r) && minutes < 20; minutes++)
            rig_pass(&r, MINUTE_MS, MINUTE_MS);
        (void)push_many(&r, 2, 3);
        assert_int_equal(posts(&r), 1);
        rig_sql(&r, "UPDATE isolations SET sent = 0"); /* as a version before wrote it */
        hands_turn(&r.hands, 10 * MINUTE_MS);
        script_many(&r);
        (void)push_many(&r, 3, 4);
        rig_sql(&r, "UPDATE isolations SET sent = 0");
        (void)push_many(&r, 4, 5); /* of another group */
        assert_int_equal(posts(&r), i / 2 == 3 ? 2 : 1);
        rig_close(&r);
    }
}

/* Defender answered each request with an error until it was given up: that isolated nothing, and holds up nothing as if it had
 * been sent just now. */
static void test_question__what_was_given_up_gives_its_place_back(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    peer_forget(r.peer);
    rig_says(&r, "POST", "/api/machines/", 0, 503, "{}");
    script_machines(&r);
    (void)push_many(&r, 0, 1);
    rig_pass(&r, HOUR_MS + MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    script_many(&r);
    (void)push_many(&r, 1, 3);
    assert_int_equal(posts(&r), 1);
    rig_close(&r);
}

/* It had no answer, and may have been carried out: somebody is releasing that machine by now. It counts as an isolation of just now
 * all the same. */
static void test_question__what_may_have_been_carried_out_keeps_its_place(void **state)
{
    char now[CLOCK_TEXT_SIZE];
    const char *first;
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 10m}]}");
    first = arena_fmt(r.arena, LIST "$filter=machineId%%20eq%%20%%27%s", machine_of(&r, 0));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/api/machines/", 0, 503, "{}");
    script_machines(&r);
    (void)push_many(&r, 0, 1);
    rig_pass(&r, 15 * MINUTE_MS, MINUTE_MS);
    peer_forget(r.peer);
    (void)clock_format(clock_wall_ms(&r.hands.clock), now);
    rig_says(&r, "POST", "/api/machines/", 0, 0, "");
    rig_says(&r, "GET", first, 1, 200, NOTHING);
    rig_says(&r, "GET", first, 0, 200,
             arena_fmt(r.arena,
                       "{\"value\":[{\"id\":\"00000000-0000-0000-0000-000000000010\",\"type\":"
                       "\"Unisolate\",\"status\":\"Pending\",\"machineId\":\"%s\","
                       "\"creationDateTimeUtc\":\"%s\"}]}",
                       machine_of(&r, 0), now));
    script_machines(&r);
    for (int minutes = 0; rig_isolation(&r).state != ISOLATION_FAILED && minutes < 40; minutes++)
        rig_pass(&r, MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_int_equal(posts(&r), 1);
    script_many(&r);
    (void)push_many(&r, 1, 2);
    assert_int_equal(posts(&r), 0);
    hands_turn(&r.hands, 11 * MINUTE_MS);
    script_many(&r);
    (void)push_many(&r, 2, 3);
    assert_int_equal(posts(&r), 1);
    rig_close(&r);
}

/* Nobody knows what came of a request, because its machine's actions cannot be listed since: that is looked for for days, but
 * after an hour it is not sent again, and keeps nothing of a limit that looks back ten minutes. */
static void test_question__what_nobody_knows_the_end_of_keeps_no_place(void **state)
{
    const char *first;
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 10m}]}");
    first = arena_fmt(r.arena, LIST "$filter=machineId%%20eq%%20%%27%s", machine_of(&r, 0));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/api/machines/", 0, 0, "");
    script_machines(&r);
    (void)push_many(&r, 0, 1);
    for (int times = 0; times < 2; times++) { /* the second time, actions are of that time */
        peer_forget(r.peer);
        rig_says(&r, "GET", first, 0, 503, "{}");
        script_machines(&r);
        if (!times)
            rig_pass(&r, HOUR_MS + MINUTE_MS, MINUTE_MS);
    }
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    assert_true(rig_isolation(&r).posted > 0);
    (void)push_many(&r, 1, 3);
    assert_int_equal(posts(&r), 1);
    rig_close(&r);
}

/* Such a one is sent again after all, if this host's clock was found to be off meanwhile, for then it is not known how long it
 * was asked for: it comes after those that took its place. */
static void test_question__what_has_lost_its_place_comes_after_others(void **state)
{
    struct isolation_record i;
    const char *first;
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h}]}");
    first = arena_fmt(r.arena, LIST "$filter=machineId%%20eq%%20%%27%s", machine_of(&r, 0));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/api/machines/", 0, 0, "");
    script_machines(&r);
    (void)push_many(&r, 0, 1);
    i = rig_isolation(&r);
    peer_forget(r.peer);
    rig_says(&r, "GET", first, 0, 503, "{}");
    script_machines(&r);
    rig_pass(&r, HOUR_MS + MINUTE_MS, MINUTE_MS);
    peer_forget(r.peer);
    rig_says(&r, "GET", first, 0, 503, "{}");
    script_machines(&r);
    (void)push_many(&r, 1, 2);
    assert_int_equal(posts(&r), 1);
    peer_forget(r.peer);
    rig_says_dated_status(&r, first, 503, "{}", 20 * MINUTE_MS);
    script_machines(&r);
    for (int minutes = 0; i.ask_from && minutes < 20; minutes++) {
        rig_pass(&r, MINUTE_MS, MINUTE_MS);
        assert_int_equal(store_isolation_load(r.store, r.arena, i.id, &i, NULL), ERR_OK);
    }
    assert_int_equal(i.ask_from, 0);
    for (int minutes = 0; minutes < 30; minutes++) {
        hands_turn(&r.hands, MINUTE_MS);
        peer_forget(r.peer);
        rig_says_dated(&r, first, NOTHING, 0);
        script_machines(&r);
        (void)rig_work(&r);
        assert_int_equal(posts(&r), 0);
    }
    assert_int_equal(store_isolation_load(r.store, r.arena, i.id, &i, NULL), ERR_OK);
    assert_int_equal(i.state, ISOLATION_FAILED);
    rig_close(&r);
}

/* What somebody else isolated takes no place of cordon's. */
static void test_question__a_limit_counts_what_cordon_asked_for(void **state)
{
    static const char *const of[] = {"", ", of: tenant", ", of: rule"};

    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        char text[80];
        struct rig r;

        (void)snprintf(text, sizeof text, "{limits: [{isolations: 1, per: 1h%s}]}", of[i]);
        many(&r, text);
        peer_forget(r.peer);
        rig_says(&r, "GET", LIST, 2, 200,
                 arena_fmt(r.arena,
                           "{\"value\":[{\"id\":\"" ACTION
                           "\",\"type\":\"Isolate\",\"status\":\"Pending\",\"machineId\":\"%s\","
                           "\"creationDateTimeUtc\":\"2025-01-07T10:00:00Z\",\"externalId\":"
                           "\"theirs\",\"requestor\":\"somebody\"}]}",
                           machine_of(&r, 0)));
        script_machines(&r);
        (void)push_many(&r, 0, 1);
        assert_true(rig_isolation(&r).adopted);
        peer_forget(r.peer);
        script_machines(&r);
        (void)push_many(&r, 1, 3);
        assert_int_equal(posts(&r), 1);
        rig_close(&r);
    }
}

/* Each limit is a question of its own: people say yes to what they read. */
static void test_question__two_limits_are_two_questions(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 2, per: 1h}, {isolations: 3, per: 24h}]}");
    (void)push_many(&r, 0, 3);
    assert_int_equal(posts(&r), 2);
    assert_non_null(strstr(newest(&r).what, "2 isolations in 60 minutes"));
    hands_turn(&r.hands, 61 * MINUTE_MS);
    script_many(&r); /* by the clock as it is */
    (void)push_many(&r, 3, 5);
    assert_int_equal(posts(&r), 1);
    assert_non_null(strstr(newest(&r).what, "3 isolations in 1440 minutes"));
    rig_close(&r);
}

/* One of a group that is newly seen is within a share of it, and no more than one. */
static void test_question__a_share_of_a_small_group_is_one_machine(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{percent: 5, per: 1h, of: group}]}");
    (void)push_many(&r, 0, 3);
    assert_int_equal(posts(&r), 1);
    rig_close(&r);
}

static enum err_code write_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return db_run(tx, e, NULL, arg, "");
}

/* Ten of another tenant whose group is called the same make no share larger. */
static void test_question__a_group_is_one_tenants(void **state)
{
    static char theirs[] =
        "INSERT INTO machines (tenant, machine_id, machine_group, seen) SELECT 'other', 'm' || id,"
        " 'Desks', 1736244672000 FROM (SELECT 1 AS id UNION SELECT 2 UNION SELECT 3 UNION SELECT 4"
        " UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) n";
    struct rig r;

    (void)state;
    many(&r, "{limits: [{percent: 50, per: 1h, of: group}]}");
    assert_int_equal(db_write(r.store->db, write_fn, theirs, NULL), ERR_OK);
    (void)push_many(&r, 0, 3);
    assert_int_equal(posts(&r), 1);
    rig_close(&r);
}

/* Defender calls the group of a machine that is in none null, or UnassignedGroup: it is one, whatever it is called. */
static void test_question__machines_in_no_group_are_one_group(void **state)
{
    static const char *const names[] = {"null", "\"UnassignedGroup\"", "\"\""};
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 2, per: 1h, of: group}]}");
    peer_forget(r.peer);
    for (int i = 0; i < 3; i++)
        rig_says(&r, "GET", arena_fmt(r.arena, "/api/machines/%s", machine_of(&r, i)), 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"%s\",\"computerDnsName\":\"ws-%d\",\"rbacGroupName\":%s}",
                           machine_of(&r, i), i, names[i]));
    script_machines(&r);
    (void)push_many(&r, 0, 1);
    assert_int_equal(posts(&r), 1);
    /* as a row of before has it */
    assert_int_equal(db_write(r.store->db, write_fn,
                              (void *)"UPDATE isolations SET machine_group = 'UnassignedGroup'",
                              NULL),
                     ERR_OK);
    (void)push_many(&r, 1, 3);
    assert_int_equal(posts(&r), 2);
    rig_close(&r);
}

/* What was asked for, and turned out to be somebody else's, takes no place of its group. */
static void test_question__what_was_adopted_takes_no_place_of_its_group(void **state)
{
    static char theirs[] = "UPDATE isolations SET adopted = 1";
    struct rig r;

    (void)state;
    many(&r, "{limits: [{isolations: 1, per: 1h, of: group}]}");
    (void)push_many(&r, 0, 1);
    assert_int_equal(posts(&r), 1);
    assert_int_equal(db_write(r.store->db, write_fn, theirs, NULL), ERR_OK);
    (void)push_many(&r, 1, 3);
    assert_int_equal(posts(&r), 2);
    rig_close(&r);
}

/* What was not seen for a long time is no part of a device group any more. */
static void test_question__a_group_is_its_machines_of_late(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{percent: 50, per: 1h, of: group}]}");
    (void)push_many(&r, 0, 2);
    hands_turn(&r.hands, SEEN_MACHINE_MS + DAY_MS);
    peer_forget(r.peer);
    script_many(&r);
    (void)push_many(&r, 2, 4);
    assert_int_equal(posts(&r), 1); /* of two: of all four it would be two */
    rig_close(&r);
}

/* An alert of each machine that isolates none, of the second digit d. */
static void push_low(struct rig *r, char d)
{
    for (int i = 0; i < MACHINES; i++) {
        const char *id = arena_fmt(r->arena, "d%c%d_-1", d, i);

        rig_says(r, "GET", arena_fmt(r->arena, GET_ALERT "%s", id), 0, 200,
                 arena_fmt(r->arena, "{\"id\":\"%s\",\"severity\":\"Low\",\"machineId\":\"%s\"}",
                           id, machine_of(r, i)));
        (void)rig_push(r, id, machine_of(r, i));
        (void)rig_work(r);
    }
}

/* Machines of which cordon has read anything are seen, be it that nothing was to be isolated: in the group in which they were
 * last, and when they were last. */
static void test_question__a_group_is_all_its_machines_that_were_seen(void **state)
{
    struct rig r;

    (void)state;
    many(&r, "{limits: [{percent: 50, per: 1h, of: group}]}");
    peer_forget(r.peer);
    for (int i = 0; i < MACHINES; i++)
        rig_says(
            &r, "GET", arena_fmt(r.arena, "/api/machines/%s", machine_of(&r, i)), 0, 200,
            arena_fmt(r.arena, "{\"id\":\"%s\",\"rbacGroupName\":\"Stock\"}", machine_of(&r, i)));
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    push_low(&r, 'b');
    hands_turn(&r.hands, SEEN_MACHINE_MS - DAY_MS);
    script_many(&r);
    push_low(&r, 'c');
    hands_turn(&r.hands, 2 * DAY_MS);
    script_many(&r);
    (void)push_many(&r, 0, 2);
    assert_int_equal(posts(&r), 2); /* of the four of Desks */
    (void)push_many(&r, 2, 4);
    assert_int_equal(posts(&r), 2);
    rig_close(&r);
}

/* The first isolations of a policy, and those of that one only. */
static void test_question__a_canary_is_over_after_its_first(void **state)
{
    enum question_state now;
    struct question_record *list;
    struct err e = {0};
    struct rig r;
    size_t n = 0;

    (void)state;
    many(&r, "{canary: 1}");
    (void)push_many(&r, 0, 1);
    assert_int_equal(posts(&r), 0);
    assert_int_equal(say(&r, "a@x.example", true, NULL, &now, &e), ERR_OK);
    /* said to one policy, and another one is in force by now */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "safety: {canary: 3}\n"));
    (void)rig_work(&r);
    assert_int_equal(posts(&r), 0);
    assert_string_equal(newest(&r).what,
                        "the first 3 isolations of a changed policy are asked for");
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(posts(&r), i - 1);
        yes(&r);
        assert_int_equal(posts(&r), i);
        (void)push_many(&r, i, i + 1);
    }
    assert_int_equal(posts(&r), 4); /* the fourth is like any other */

    /* one is still asked about another policy: that is not this one's question */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "safety: {canary: 4}\n"));
    (void)push_many(&r, 4, 5);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "safety: {canary: 5}\n"));
    (void)push_many(&r, 5, 6);
    assert_int_equal(posts(&r), 4);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 9, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 2);
    yes(&r);
    assert_int_equal(posts(&r), 5);
    rig_close(&r);
}

/* Two tenants: what happens in one says nothing about the other, and a yes is one tenant's. */
static void test_question__one_tenants_storm_is_no_other_tenants(void **state)
{
    static const char *const safety[] = {
        "safety: {limits: [{isolations: 1, per: 1h, of: group}]}\n",
        "safety: {limits: [{isolations: 1, per: 1h, of: tenant}]}\n",
        "safety: {storm: {machines: 1, within: 1h}}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof safety / sizeof *safety; i++) {
        struct question_record *list;
        struct rig r;
        size_t n = 0;

        many(&r, "{mode: live}");
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        r.tenants = arena_fmt(r.arena,
                              "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                              "    client_id: 6d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                              "    client_secret_file: %s/secret\n    api_url: %s\n"
                              "    login_url: %s\n",
                              r.dir, peer_url(r.peer), peer_url(r.peer));
        engine_use(r.g,
                   rig_runtime(&r, arena_fmt(r.arena, "%s%s", RULES_ISOLATE_AND_MAIL, safety[i])));
        (void)push_many(&r, 0, 1);
        (void)rig_push_to(&r, "fabrikam", "da1_-1", machine_of(&r, 1), false);
        (void)rig_work(&r);
        assert_int_equal(posts(&r), 2);
        (void)push_many(&r, 2, 3);
        (void)rig_push_to(&r, "fabrikam", "da3_-1", machine_of(&r, 3), false);
        (void)rig_work(&r);
        assert_int_equal(posts(&r), 2);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 9, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 2);
        rig_close(&r);
    }
}

/* A reload that gives a tenant another name makes no room. */
static void test_question__a_tenant_that_is_renamed_has_no_limit_of_its_own(void **state)
{
    static const char *const safety[] = {
        "safety: {limits: [{isolations: 1, per: 1h, of: group}]}\n",
        "safety: {limits: [{isolations: 1, per: 1h, of: tenant}]}\n",
        "safety: {storm: {machines: 1, within: 1h}}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof safety / sizeof *safety; i++) {
        struct question_record *list;
        const char *rules;
        struct rig r;
        size_t n = 0;

        many(&r, "{mode: live}");
        rules = arena_fmt(r.arena, "%s%s", RULES_ISOLATE_AND_MAIL, safety[i]);
        engine_use(r.g, rig_runtime(&r, rules));
        assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
        (void)push_many(&r, 0, 1);
        (void)rig_work(&r);
        assert_int_equal(posts(&r), 1);
        r.tenant = "lab"; /* the same tenant_id */
        engine_use(r.g, rig_runtime(&r, rules));
        assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
        (void)rig_push_to(&r, "lab", "da1_-1", machine_of(&r, 1), false);
        (void)rig_work(&r);
        assert_int_equal(posts(&r), 1);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 9, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        rig_close(&r);
    }
}

/* ---- the words of the file ------------------------------------------------------------------------ */

static void test_question__a_rule_that_asks_for_nothing_is_a_fault(void **state)
{
    static const struct {
        const char *steps, *fault;
    } rows[] = {
        {"[ask: {}, email: {}]", "ask: no step behind it acts, so there is nothing to ask for"},
        {"[isolate: {}, ask: {}]", "it must stand before the first that acts"},
        {"[ask: {}, ask: {}, isolate: {}]", "step 'ask' stands twice in one rule"},
        {"[email: {}, {ask: {}, if: {email: failed}}, isolate: {}]",
         "ask: the steps behind it wait for a person in any case; put the `if` beside these"},
        {"[ask: {within: 30s}, isolate: {}]", "ask.within: 30s is too little"},
        {"[ask: {within: 8d}, isolate: {}]", "ask.within: 8d is too much"},
        {"[ask: {people: 0}, isolate: {}]", "ask.people: 0 is too little"},
        {"[ask: {people: two}, isolate: {}]", "ask.people: expected a whole number"},
        {"[ask: {approvers: []}, isolate: {}]", "ask.approvers is an empty list"},
        {"[ask: {approvers: [nobody]}, isolate: {}]", "ask.approvers"},
        {"[ask: {approver: a@x.example}, isolate: {}]", "did you mean ask.approvers?"},
        {"[ask: {reason: mine}, isolate: {}]", "ask.reason: unknown key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(0);
        struct yaml_node *root = NULL;
        struct err e = {0};
        struct yaml_faults faults;
        struct settings_reader reader = {.arena = arena, .faults = &faults};
        char text[300];

        (void)snprintf(text, sizeof text, "rules: [{name: a, do: %s}]\n", rows[i].steps);
        yaml_faults_init(&faults, arena);
        assert_int_equal(yaml_read(arena, "p", text, strlen(text), &root, &e), ERR_OK);
        assert_null(policy_compile(&reader, yaml_get(root, "rules"), NULL));
        if (!strstr(faults.first->text, rows[i].fault))
            fail_msg("%s: '%s', not '%s'", rows[i].steps, faults.first->text, rows[i].fault);
        arena_free(arena);
    }
}

/* By its id, whatever it calls what it found; without one by that, and by where the alert comes from. */
static void test_question__a_detector_has_one_name(void **state)
{
    static const char *const rows[][2] = {
        {"{\"detectorId\":\"d1\",\"detectionSource\":\"MTP\",\"title\":\"a\"}", "d1"},
        {"{\"detectorId\":\"d1\",\"detectionSource\":\"MTP\",\"title\":\"b\"}", "d1"},
        {"{\"detectorId\":\"d2\",\"detectionSource\":\"MTP\",\"title\":\"a\"}", "d2"},
        {"{\"detectorId\":\"\",\"detectionSource\":\"MTP\",\"title\":\"a\"}", "MTP/a"},
        {"{\"detectorId\":null,\"detectionSource\":\"MTP\"}", "MTP/"},
        {"{\"title\":\"a\"}", "/a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(arena_freep) struct arena *arena = arena_new(0);
        AUTO(json_freep) struct json *alert = NULL;

        assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]), &alert, NULL), ERR_OK);
        assert_string_equal(brakes_detector(alert, arena), rows[i][1]);
    }
}

/* It stands in keys of the store, and a title may be longer than PostgreSQL lets a key be. */
static void test_question__a_storm_has_a_name_of_bounded_length(void **state)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(buf_clear) struct buf text = BUF_INIT(65536);
    AUTO(json_freep) struct json *alert = NULL;
    const char *name;

    (void)state;
    buf_adds(&text, "{\"detectionSource\":\"MTP\",\"title\":\"");
    for (int i = 0; i < 4000; i++)
        buf_adds(&text, "\xc3\xa4");
    buf_adds(&text, "\"}");
    assert_int_equal(json_parse(buf_text(&text), text.len, &alert, NULL), ERR_OK);
    name = brakes_detector(alert, arena);
    assert_true(strlen(name) <= 512);
    assert_memory_equal(name, "MTP/\xc3\xa4", 6);
    assert_string_equal(name + strlen(name) - 3, "\xe2\x80\xa6"); /* cut between characters */
}

int main(void)
{
    int rc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question__nothing_is_done_before_a_yes),
        cmocka_unit_test(test_question__what_nobody_could_be_asked_is_not_done),
        cmocka_unit_test(test_question__a_late_yes_is_as_good_as_an_early_one),
        cmocka_unit_test(test_question__a_late_yes_to_what_is_not_asked_for_any_more_does_nothing),
        cmocka_unit_test(test_question__a_yes_outlasts_a_failed_read),
        cmocka_unit_test(test_question__a_failure_asks_how_to_go_on),
        cmocka_unit_test(test_question__a_word_to_go_on_is_to_a_policy),
        cmocka_unit_test(test_question__a_word_to_go_on_is_to_a_policy_until_it_is_sent),
        cmocka_unit_test(test_question__what_is_withheld_behind_the_isolation_is_told),
        cmocka_unit_test(test_question__how_the_isolation_of_a_case_that_failed_ends_is_told),
        cmocka_unit_test(test_question__how_the_isolation_of_a_dropped_case_has_ended_is_told),
        cmocka_unit_test(test_question__what_was_done_asks_nobody),
        cmocka_unit_test(test_question__an_answer_counts_once),
        cmocka_unit_test(test_question__a_no_is_told_and_can_be_retried),
        cmocka_unit_test(test_question__when_nobody_answers_people_are_told_again),
        cmocka_unit_test(test_question__two_people_are_two_people),
        cmocka_unit_test(test_question__a_no_needs_no_second_person),
        cmocka_unit_test(test_question__a_no_is_told_to_whom_the_rule_writes),
        cmocka_unit_test(test_question__an_answer_is_in_time_or_none),
        cmocka_unit_test(test_question__a_clock_set_back_makes_no_time_longer),
        cmocka_unit_test(test_question__a_clock_that_leaps_ends_nobodys_time),
        cmocka_unit_test(test_question__a_clock_that_is_ahead_makes_no_time_longer),
        cmocka_unit_test(test_question__many_are_told_in_time_that_nobody_answered),
        cmocka_unit_test(test_question__who_is_held_back_late_is_asked_about_all_the_same),
        cmocka_unit_test(test_question__who_is_asked_last_has_time_to_answer),
        cmocka_unit_test(
            test_question__who_waits_for_the_next_question_waits_for_the_end_of_this_one),
        cmocka_unit_test(test_question__who_waits_for_a_question_in_dead_hands_uses_up_no_calls),
        cmocka_unit_test(test_question__who_waits_for_the_next_question_waits_for_no_dropped_case),
        cmocka_unit_test(test_question__nobodys_time_is_over_before_he_is_asked),
        cmocka_unit_test(test_question__an_answer_before_the_first_mail_is_in_time),
        cmocka_unit_test(test_question__who_is_asked_no_more_may_not_answer),
        cmocka_unit_test(test_question__a_yes_of_somebody_who_is_asked_no_more_is_none),
        cmocka_unit_test(test_question__a_yes_of_somebody_who_is_no_approver_any_more_is_none),
        cmocka_unit_test(test_question__who_is_asked_by_name_may_answer),
        cmocka_unit_test(test_question__what_happens_meanwhile_leaves_the_question),
        cmocka_unit_test(test_question__an_object_tells_two_people_from_one),
        cmocka_unit_test(test_question__an_operator_without_a_name_is_no_second_person),
        cmocka_unit_test(test_question__another_policy_makes_it_void),
        cmocka_unit_test(test_question__a_replica_that_was_not_told_yet_voids_nothing),
        cmocka_unit_test(test_question__what_was_let_past_waits_for_a_replica_that_was_told),
        cmocka_unit_test(test_question__what_goes_on_waits_for_a_replica_that_was_told),
        cmocka_unit_test(test_question__what_waits_for_the_policy_of_a_yes_holds_no_alert_up),
        cmocka_unit_test(test_question__a_replica_that_was_not_told_yet_asks_nobody_again),
        cmocka_unit_test(
            test_question__an_heir_that_was_let_past_waits_for_a_replica_that_was_told),
        cmocka_unit_test(test_question__a_machine_that_changed_makes_the_yes_void),
        cmocka_unit_test(test_question__a_void_yes_is_void_without_memory_too),
        cmocka_unit_test(test_question__what_protects_a_machine_since_is_let_past_by_nobody),
        cmocka_unit_test(test_question__what_was_said_yes_to_is_done_as_it_was_seen),
        cmocka_unit_test(test_question__a_yes_is_for_the_machine_that_was_asked_about),
        cmocka_unit_test(test_question__a_yes_is_to_one_type_of_isolation),
        cmocka_unit_test(test_question__protection_is_put_to_a_person_where_safety_says_so),
        cmocka_unit_test(test_question__a_rule_that_asks_is_no_way_past_safety),
        cmocka_unit_test(test_question__a_yes_to_one_rule_is_none_to_another),
        cmocka_unit_test(test_question__a_yes_of_before_is_no_way_past_safety),
        cmocka_unit_test(test_question__a_case_let_go_waits_for_nobody),
        cmocka_unit_test(test_question__who_waits_for_the_end_of_a_case_hears_that_it_was_let_go),
        cmocka_unit_test(test_question__a_pause_stands_above_a_yes),
        cmocka_unit_test(test_question__what_safety_holds_back_is_one_question),
        cmocka_unit_test(test_question__safety_holds_back_the_same_on_postgresql),
        cmocka_unit_test(test_question__what_waits_is_held_back_by_the_policy_in_force),
        cmocka_unit_test(test_question__an_heir_is_within_the_limit_of_its_rule),
        cmocka_unit_test(test_question__a_yes_lifts_what_it_was_given_to),
        cmocka_unit_test(test_question__safety_says_whom_many_are_put_to),
        cmocka_unit_test(test_question__a_yes_to_many_is_to_a_policy),
        cmocka_unit_test(test_question__what_another_policy_holds_back_is_another_question),
        cmocka_unit_test(test_question__a_yes_to_a_canary_revives_no_older_one),
        cmocka_unit_test(test_question__a_yes_is_spent_when_its_case_begins_anew),
        cmocka_unit_test(test_question__what_people_say_is_on_record),
        cmocka_unit_test(test_question__a_yes_to_many_is_read_for_together),
        cmocka_unit_test(test_question__what_is_tried_again_in_a_crowd_is_read_anew),
        cmocka_unit_test(test_question__a_no_to_many_is_told_in_one_mail),
        cmocka_unit_test(test_question__a_no_to_many_reaches_whom_the_rule_tells),
        cmocka_unit_test(test_question__a_no_to_many_reaches_who_heard_of_the_case),
        cmocka_unit_test(test_question__many_are_posted_where_nobody_can_be_mailed),
        cmocka_unit_test(test_question__a_storm_counts_machines),
        cmocka_unit_test(test_question__many_calls_no_machine_free_that_is_isolated_since),
        cmocka_unit_test(test_question__who_is_asked_about_many_is_who_may_answer),
        cmocka_unit_test(test_question__who_may_answer_since_is_asked),
        cmocka_unit_test(test_question__who_could_not_be_asked_at_first_is_asked),
        cmocka_unit_test(test_question__who_could_not_be_mailed_is_when_he_can_be),
        cmocka_unit_test(test_question__who_got_no_link_is_asked),
        cmocka_unit_test(test_question__many_tells_of_machines),
        cmocka_unit_test(test_question__many_names_every_machine),
        cmocka_unit_test(test_question__what_others_wrote_is_harmless_in_the_mail_of_many),
        cmocka_unit_test(test_question__a_storm_goes_on_while_its_machines_fire),
        cmocka_unit_test(test_question__a_limit_looks_back_as_far_as_it_says),
        cmocka_unit_test(test_question__what_waits_keeps_its_place),
        cmocka_unit_test(test_question__what_was_given_up_gives_its_place_back),
        cmocka_unit_test(test_question__what_may_have_been_carried_out_keeps_its_place),
        cmocka_unit_test(test_question__what_nobody_knows_the_end_of_keeps_no_place),
        cmocka_unit_test(test_question__what_has_lost_its_place_comes_after_others),
        cmocka_unit_test(test_question__a_limit_counts_what_cordon_asked_for),
        cmocka_unit_test(test_question__two_limits_are_two_questions),
        cmocka_unit_test(test_question__a_share_of_a_small_group_is_one_machine),
        cmocka_unit_test(test_question__a_group_is_one_tenants),
        cmocka_unit_test(test_question__what_was_adopted_takes_no_place_of_its_group),
        cmocka_unit_test(test_question__machines_in_no_group_are_one_group),
        cmocka_unit_test(test_question__a_group_is_its_machines_of_late),
        cmocka_unit_test(test_question__a_group_is_all_its_machines_that_were_seen),
        cmocka_unit_test(test_question__a_canary_is_over_after_its_first),
        cmocka_unit_test(test_question__one_tenants_storm_is_no_other_tenants),
        cmocka_unit_test(test_question__a_tenant_that_is_renamed_has_no_limit_of_its_own),
        cmocka_unit_test(test_question__who_is_held_back_after_others_were_let_go_is_named),
        cmocka_unit_test(test_question__many_that_were_let_go_ask_nothing),
        cmocka_unit_test(test_question__a_detector_has_one_name),
        cmocka_unit_test(test_question__a_storm_has_a_name_of_bounded_length),
        cmocka_unit_test(test_question__a_rule_that_asks_for_nothing_is_a_fault),
    };

    rc = cmocka_run_group_tests_name("question", tests, NULL, NULL);
    postgres_stop();
    return rc;
}
