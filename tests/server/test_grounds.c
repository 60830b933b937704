/* test_grounds.c - an isolation that could not leave at once: what changes meanwhile is no longer a ground for it, or
 * hands it on. What a case is judged by when it is read anew is test_doubts.c's.
 */
#include "engine_kit.h"

#include "desk.h"

#define IN_FORCE      "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}"
#define OTHER_ALERT   "da638712345678901234_-2"
#define OTHER_MACHINE "1111111d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"

/* An isolation that Defender takes only after five minutes: the row is there, nothing has left. */
static int64_t throttled(struct rig *r, const char *rules)
{
    int64_t id;

    rig_open(r, rules);
    rig_afresh(r);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    peer_script(r->peer, &(struct peer_answer){.method = "POST",
                                               .target = ISOLATE,
                                               .times = 1,
                                               .status = 429,
                                               .headers = "Retry-After: 120\r\n",
                                               .body = "{}"});
    rig_says(r, "POST", ISOLATE, 0, 201, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    assert_int_equal(rig_seen(r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(r).state, ISOLATION_REQUESTED);
    assert_int_equal(rig_isolation(r).posted, 0);
    return id;
}

/* desk.h: nothing more is done about it. */
static void test_grounds__a_dropped_case_isolates_nothing(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    id = throttled(&r, NULL);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* But another case that waits for the same isolation takes its place. */
static void test_grounds__a_dropped_case_hands_on_what_another_waits_for(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id, other;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200,
             "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"High\",\"title\":\"y\","
             "\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    other = rig_push(&r, OTHER_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, other).state, CASE_WAITING);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).case_id, other);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_told(&r, other), "requested isolated");
    assert_string_equal(rig_told(&r, id),
                        "requested isolated"); /* who heard of the one hears the other */
    rig_close(&r);
}

#define RULES_ISOLATE_THEN_ASK                                                                     \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, {tag: {add: x}, " \
    "on_failure: ask}, scan: {}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"

static void yes(struct rig *r)
{
    struct question_record *list;
    enum question_state now;
    struct err e = {0};
    size_t n = 0;

    assert_int_equal(
        store_question_list(r->store, r->arena, QUESTION_STATES, 0, 1, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    if (question_answer(
            r->g,
            &(struct question_answer){
                .question = list[0].id, .person = "a@x.example", .way = "link", .yes = true},
            &now, &e))
        fail_msg("%s", e.text);
}

/* The case was read and judged again meanwhile, and what it is now asks for no isolation of this machine. */
static void judged_anew(const char *alert)
{
    struct rig r;

    rig_open(&r, RULES_ISOLATE_THEN_ASK);
    rig_afresh(&r);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}"); /* a person is asked */
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 503, "{}");
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, alert);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200,
             "{\"id\":\"" OTHER_MACHINE "\",\"computerDnsName\":\"ws-200.corp.example\"}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_pass(&r, 3 * SECOND_MS, SECOND_MS);
    yes(&r);
    (void)rig_work(&r);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

static void test_grounds__a_new_verdict_holds_for_a_request_that_waits(void **state)
{
    (void)state;
    judged_anew("{\"id\":\"" ALERT "\",\"severity\":\"Informational\",\"title\":\"x\","
                "\"machineId\":\"" MACHINE "\"}");
}

static void test_grounds__an_alert_that_names_another_machine_isolates_not_this_one(void **state)
{
    (void)state;
    judged_anew("{\"id\":\"" ALERT "\",\"severity\":\"High\",\"title\":\"x\","
                "\"machineId\":\"" OTHER_MACHINE "\"}");
}

/* A source loses `may: isolate` (contract.md section 4) while its isolation waits. */
static void test_grounds__a_source_that_may_not_isolate_any_more_does_not(void **state)
{
    struct arena *a = arena_new(0);
    struct yaml_faults faults;
    struct config *config = NULL;
    struct runtime *rt = NULL;
    struct err e = {0};
    struct rig r;
    char text[4000] = "", more[5000], *at;
    FILE *f;

    (void)state;
    (void)throttled(&r, NULL);
    f = fopen(r.config_file, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    (void)fclose(f);
    at = strstr(text, "    verify:\n");
    assert_non_null(at);
    (void)snprintf(more, sizeof more, "%.*s    may: [notify]\n%s", (int)(at - text), text, at);
    rig_write(&r, "cordon.yaml", more);
    yaml_faults_init(&faults, a);
    if (config_load(r.config_file, NULL, a, &config, &faults, &e))
        fail_msg("%s: %s", e.text, faults.count ? faults.first->text : "");
    assert_int_equal(runtime_new(config, r.rest, &r.hands.clock, &rt, &e), ERR_OK);
    engine_use(r.g, rt);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
    arena_free(a);
}

/* ---- a far side that is slow by the wall clock ---------------------------------------------------- */

static struct {
    struct rig *r;
    const char *target; /* once this POST was seen, so long has passed */
    int64_t ms;
} slow;

static int64_t slow_wall(const struct clock *c)
{
    return hands_wall(c) + (rig_seen(slow.r, "POST", slow.target) ? slow.ms : 0);
}

/* isolation.c: "an older look [than a minute] is no ground for a POST". */
static void test_grounds__an_old_look_is_no_ground_after_a_slow_step(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, when: {alert.severity: High}, do: [tag: {add: x}, "
                 "isolate: {}, email: {}]}\n  - {name: tell, do: [email: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE); /* an analyst was faster */
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    slow.r = &r;
    slow.target = "/api/machines/" MACHINE "/tags";
    slow.ms = 3 * MINUTE_MS;
    r.hands.clock.wall_ms = slow_wall;
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    r.hands.clock.wall_ms = hands_wall;
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grounds__a_dropped_case_isolates_nothing),
        cmocka_unit_test(test_grounds__a_dropped_case_hands_on_what_another_waits_for),
        cmocka_unit_test(test_grounds__a_new_verdict_holds_for_a_request_that_waits),
        cmocka_unit_test(test_grounds__an_alert_that_names_another_machine_isolates_not_this_one),
        cmocka_unit_test(test_grounds__a_source_that_may_not_isolate_any_more_does_not),
        cmocka_unit_test(test_grounds__an_old_look_is_no_ground_after_a_slow_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
