/* test_explain.c - a verdict told years later, and given again. */
#include "explain.h"

#include "engine_kit.h"
#include "match.h"
#include "question.h"
#include "store_policies.h"
#include "store_questions.h"

#define RULES                                                                                      \
    "rules:\n"                                                                                     \
    "  - {name: low, when: {alert.severity: Low}, do: [email: {}]}\n"                              \
    "  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"            \
    "  - {name: named, when: {alert.title: {glob: 'Cred*'}}, do: [email: {}]}\n"                   \
    "safety: {protected: [{machine.name: {glob: 'ws-*'}}]}\n"

#define RULES_ASK                                                                                  \
    "rules: [{name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}]\n"       \
    "safety:\n  protected: [{machine.name: {glob: 'ws-*'}}]\n"                                     \
    "  ask: {within: 2h, approvers: [a@x.example]}\n"                                              \
    "  limits: [{percent: 5, per: 24h, of: group}]\n"

static const struct policy *in_force(struct rig *r)
{
    return r->g->runtime->config->policy;
}

static void keep(struct rig *r)
{
    struct err e = {0};

    if (store_policy_keep(r->store, policy_hash(in_force(r)), policy_text(in_force(r)),
                          clock_wall_ms(&r->hands.clock), &e))
        fail_msg("%s", e.text);
}

static struct json *explain(struct rig *r, int64_t id)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct json *doc = NULL;
    struct err e = {0};

    if (explain_case(r->store, id, in_force(r), &out, &e))
        fail_msg("%s", e.text);
    if (json_parse(buf_text(&out), out.len, &doc, &e))
        fail_msg("%s: %s", e.text, buf_text(&out));
    return doc;
}

/* A judged case, its policy kept. */
static int64_t judged(struct rig *r, const char *rules)
{
    int64_t id;

    rig_open(r, rules);
    keep(r);
    rig_afresh(r);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    id = rig_push(r, ALERT, NULL);
    (void)rig_work(r);
    assert_int_equal(rig_case(r, id).state, CASE_DONE);
    return id;
}

static const struct json *at(const struct json *list, size_t n)
{
    const struct json *v = json_first(list);

    for (; v && n; n--)
        v = json_next(v);
    assert_non_null(v);
    return v;
}

static void test_explain__tells_every_rule_and_what_came_of_it(void **state)
{
    struct rig r;
    int64_t id = judged(&r, RULES);
    AUTO(json_freep) struct json *doc = explain(&r, id);
    const struct json *verdict = json_get(doc, "verdict"), *why = json_get(verdict, "why");
    const struct json *step = at(json_get(doc, "steps"), 0);

    (void)state;
    assert_string_equal(json_get_string(verdict, "rule"), "contain");
    assert_string_equal(json_get_string(verdict, "policy"), policy_hash(in_force(&r)));
    assert_int_equal(json_count(why), 3);
    assert_string_equal(json_get_string(at(why, 0), "result"), "false");
    assert_string_equal(json_get_string(at(why, 1), "result"), "true");
    assert_string_equal(json_get_string(at(why, 2), "result"), "true");
    assert_string_equal(json_get_string(at(json_get(at(why, 2), "predicates"), 0), "seen"),
                        "\"Credential memory read\"");
    assert_string_equal(json_get_string(step, "state"), "withheld");
    assert_string_equal(json_get_string(step, "why"),
                        "protected: machine.name is ws-114.corp.example");
    assert_string_equal(json_get_string(at(json_get(doc, "steps"), 1), "state"), "done");
    assert_string_equal(json_get_string(json_get(json_get(doc, "facts"), "alert"), "title"),
                        "Credential memory read");
    assert_true(json_is_true(json_get(json_get(doc, "policy"), "in_force")));
    assert_true(json_is_true(json_get(json_get(doc, "again"), "same")));
    assert_int_equal(json_type(json_get(json_get(doc, "again"), "verdict")), JSON_ABSENT);
    rig_close(&r);
}

/* The rules have changed since, the program's clock is years on, and the verdict is what it was. */
static void test_explain__is_the_same_years_later(void **state)
{
    struct rig r;
    int64_t id = judged(&r, RULES);

    (void)state;
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    keep(&r);
    hands_turn(&r.hands, 5 * 366 * DAY_MS);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);
        const struct json *policy = json_get(doc, "policy");

        assert_false(json_is_true(json_get(policy, "in_force")));
        assert_true(json_is_true(json_get(policy, "kept")));
        assert_true(json_is_true(json_get(json_get(doc, "again"), "same")));
        assert_string_equal(json_get_string(json_get(doc, "verdict"), "rule"), "contain");
    }
    rig_close(&r);
}

/* As deep as a condition may be. */
static void test_explain__a_policy_is_judged_again_however_deep_it_is(void **state)
{
    AUTO(buf_clear) struct buf rules = BUF_INIT(65536);
    struct rig r;
    int64_t id;

    (void)state;
    buf_adds(&rules, "rules:\n  - name: contain\n    when: ");
    for (int i = 1; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&rules, "{any: [");
    buf_adds(&rules, "{alert.severity: [High]}");
    for (int i = 1; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&rules, "]}");
    buf_adds(&rules,
             "\n    do: [isolate: {}, email: {}]\nsafety: {protected: [{machine.name: {glob: "
             "'ws-*'}}]}\n");
    id = judged(&r, buf_text(&rules));
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);
        const struct json *again = json_get(doc, "again");

        if (!json_is_true(json_get(again, "same")))
            fail_msg("%s", json_get_string(again, "why"));
    }
    rig_close(&r);
}

struct change {
    const char *sql, *text;
    int64_t id;
};

static enum err_code change_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct change *c = arg;

    return db_run(tx, e, NULL, c->sql, "ti", c->text, c->id);
}

static void change(struct rig *r, const char *sql, const char *text, int64_t id)
{
    struct change c = {sql, text, id};

    assert_int_equal(db_write(r->store->db, change_fn, &c, NULL), ERR_OK);
}

#define SET_VERDICT "UPDATE cases SET verdict = $1 WHERE id = $2"
#define SET_POLICY  "UPDATE policies SET text = $1 WHERE since < $2"

static const char *replaced(struct rig *r, const char *text, const char *from, const char *to)
{
    const char *place = strstr(text, from);

    assert_non_null(place);
    return arena_fmt(r->arena, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
}

/* What a person was asked about is judged again to the same, and another reason is named. */
static void test_explain__what_a_person_was_asked_is_judged_again(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ASK);
    keep(&r);
    rig_afresh(&r);
    id = rig_push(&r, ALERT, NULL);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);
        const struct json *steps = json_get(json_get(doc, "verdict"), "steps");

        assert_string_equal(json_get_string(at(steps, 0), "handler"), "ask");
        assert_string_equal(json_get_string(json_get(at(steps, 0), "args"), "within"), "2h");
        assert_string_equal(json_get_string(at(steps, 1), "asks"),
                            "protected: machine.name is ws-114.corp.example");
        assert_true(json_is_true(json_get(json_get(doc, "again"), "same")));
    }
    change(&r, SET_VERDICT,
           replaced(&r, rig_case(&r, id).verdict,
                    "\"asks\":\"protected: machine.name is ws-114.corp.example\"",
                    "\"asks\":\"the moon\""),
           id);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);

        assert_string_equal(
            json_get_string(json_get(doc, "again"), "why"),
            "isolate would wait for a person: protected: machine.name is ws-114.corp.example");
    }
    rig_close(&r);
}

/* Whatever is another than it was is found, and named. */
static void test_explain__a_verdict_that_would_be_another_is_named(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        {"\"rule\":\"contain\"", "\"rule\":\"low\"", "the rule would be contain"},
        {"\"rule\":\"contain\"", "\"rule\":null", "the rule would be contain"},
        {"\"doubt\":null", "\"doubt\":\"the moon\"", "in doubt would be: nothing"},
        {"\"withheld\":\"protected: machine.name is ws-114.corp.example\"", "\"withheld\":null",
         "isolate would be withheld: protected: machine.name is ws-114.corp.example"},
        {"\"handler\":\"isolate\"", "\"handler\":\"email\"", "step 1 would be isolate"},
        {"\"type\":\"full\"", "\"type\":\"selective\"",
         "isolate would be called with other settings"},
        {",{\"handler\":\"email\",\"acts\":false,\"args\":{\"audience\":\"soc\"},\"withheld\":null}",
         "", "there would be 2 steps, not 1"},
    };
    struct rig r;
    int64_t id = judged(&r, RULES);
    const char *verdict = rig_case(&r, id).verdict;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *doc = NULL;
        const struct json *again;

        change(&r, SET_VERDICT, replaced(&r, verdict, rows[i].from, rows[i].to), id);
        doc = explain(&r, id);
        again = json_get(doc, "again");
        assert_int_equal(json_type(json_get(again, "same")), JSON_BOOL);
        assert_false(json_is_true(json_get(again, "same")));
        assert_string_equal(json_get_string(again, "why"), rows[i].why);
        assert_string_equal(json_get_string(json_get(again, "verdict"), "rule"), "contain");
    }
    rig_close(&r);
}

static void test_explain__says_why_it_cannot_be_judged_again(void **state)
{
    struct rig r;
    int64_t id = judged(&r, RULES);

    (void)state;
    change(&r, SET_POLICY, "{\"rules\":[]}", INT64_MAX);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);

        assert_int_equal(json_type(json_get(json_get(doc, "again"), "same")), JSON_NULL);
        assert_non_null(strstr(json_get_string(json_get(doc, "again"), "why"),
                               "this version of cordon does not take that policy: rules:"));
    }
    change(&r, "DELETE FROM policies WHERE text <> $1 AND since < $2", "", INT64_MAX);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);

        assert_int_equal(json_type(json_get(json_get(doc, "again"), "same")), JSON_NULL);
        assert_string_equal(json_get_string(json_get(doc, "again"), "why"),
                            "its policy came into force before policies were kept");
        assert_false(json_is_true(json_get(json_get(doc, "policy"), "kept")));
        assert_string_equal(json_get_string(json_get(doc, "verdict"), "rule"), "contain");
    }
    rig_close(&r);
}

static void test_explain__a_case_without_a_verdict_has_none_to_explain(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES);
    id = rig_push(&r, ALERT, NULL);
    assert_int_equal(explain_case(r.store, id, in_force(&r), &out, &e), ERR_CONFLICT);
    assert_string_equal(e.text, "the case has no verdict yet: it is received");
    assert_int_equal(explain_case(r.store, id + 1, in_force(&r), &out, &e), ERR_NOT_FOUND);
    assert_int_equal(out.len, 0);
    rig_close(&r);
}

static void test_explain__a_policy_is_kept_once_and_as_it_was(void **state)
{
    const char *text;
    int64_t since, first;
    struct rig r;

    (void)state;
    rig_open(&r, RULES);
    first = clock_wall_ms(&r.hands.clock);
    keep(&r);
    hands_turn(&r.hands, DAY_MS);
    keep(&r);
    assert_int_equal(
        store_policy_load(r.store, r.arena, policy_hash(in_force(&r)), &text, &since, NULL),
        ERR_OK);
    assert_string_equal(text, policy_text(in_force(&r)));
    assert_int_equal(since, first);
    assert_int_equal(store_policy_load(r.store, r.arena, "00", &text, &since, NULL), ERR_NOT_FOUND);
    rig_close(&r);
}

/* Judged again, after a yes, the verdict asks nobody, and the case keeps its steps: each is told with what came of it. */
static void test_explain__steps_are_told_as_the_case_has_them(void **state)
{
    static const struct {
        const char *handler, *state, *why;
    } steps[] = {{"ask", "done", "approved by a@x.example: seen"},
                 {"isolate", "done", NULL},
                 {"email", "done", NULL}};
    struct question_answer yes = {
        .person = "a@x.example", .why = "seen", .way = "operator", .yes = true};
    enum question_state now;
    struct question_record *q;
    size_t n = 0;
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ASK);
    keep(&r);
    rig_afresh(&r);
    id = rig_push(&r, ALERT, NULL);
    (void)rig_work(&r);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);

        assert_string_equal(json_get_string(at(json_get(doc, "steps"), 1), "asks"),
                            "protected: machine.name is ws-114.corp.example");
    }
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200,
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"pc-1\"}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_STATES, 0, 1, &q, &n, NULL),
                     ERR_OK);
    yes.question = q[0].id;
    if (question_answer(r.g, &yes, &now, &e))
        fail_msg("%s", e.text);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);
        const struct json *wanted = json_get(json_get(doc, "verdict"), "steps");

        assert_string_equal(json_get_string(at(wanted, 0), "handler"), "isolate");
        assert_int_equal(json_count(json_get(doc, "steps")), 3);
        for (size_t i = 0; i < 3; i++) {
            const struct json *step = at(json_get(doc, "steps"), i);
            const char *why = json_get_string(step, "why");

            assert_string_equal(json_get_string(step, "handler"), steps[i].handler);
            assert_string_equal(json_get_string(step, "state"), steps[i].state);
            assert_string_equal(why ? why : "", steps[i].why ? steps[i].why : "");
            assert_null(json_get_string(step, "asks"));
        }
        assert_int_equal(json_count(json_get(doc, "not_taken")), 0);
    }
    change(
        &r, SET_VERDICT,
        replaced(&r, rig_case(&r, id).verdict, "\"steps\":[",
                 "\"steps\":[{\"handler\":\"email\",\"acts\":false,\"args\":{},\"withheld\":null},"
                 "{\"handler\":\"scan\",\"acts\":true,\"args\":{},\"withheld\":null},"),
        id);
    {
        AUTO(json_freep) struct json *doc = explain(&r, id);
        const struct json *left = json_get(doc, "not_taken");

        assert_int_equal(json_count(left), 2);
        assert_string_equal(json_string(at(left, 0)), "scan");
        assert_string_equal(json_string(at(left, 1)), "email");
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explain__tells_every_rule_and_what_came_of_it),
        cmocka_unit_test(test_explain__is_the_same_years_later),
        cmocka_unit_test(test_explain__a_policy_is_judged_again_however_deep_it_is),
        cmocka_unit_test(test_explain__what_a_person_was_asked_is_judged_again),
        cmocka_unit_test(test_explain__steps_are_told_as_the_case_has_them),
        cmocka_unit_test(test_explain__a_verdict_that_would_be_another_is_named),
        cmocka_unit_test(test_explain__says_why_it_cannot_be_judged_again),
        cmocka_unit_test(test_explain__a_case_without_a_verdict_has_none_to_explain),
        cmocka_unit_test(test_explain__a_policy_is_kept_once_and_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
