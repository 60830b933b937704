/* test_grounds.c - an isolation that could not leave at once: what changes meanwhile is no longer a ground for it, or
 * hands it on. What a case is judged by when it is read anew is test_doubts.c's.
 */
#include "engine_kit.h"

#include "desk.h"
#include "grounds.h"

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
    rig_takes_isolate(r, 0);
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
    id = throttled(&r, "rules: [{name: contain, do: [isolate: {}]}]\n");
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_string_equal(rig_told(&r, id), ""); /* who heard nothing of it hears no end */
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
    rig_takes_isolate(&r, 0);
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

/* Two alerts of a machine, and how Defender answers the request to isolate it. */
static void script_two(struct rig *r, int status, const char *body)
{
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT OTHER_ALERT, 0, 200,
             "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"High\",\"title\":\"y\","
             "\"machineId\":\"" MACHINE "\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "POST", ISOLATE, 0, status, body);
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
}

/* Also an older one, which could not be read at once: what it joined was begun by a younger one. */
static void test_grounds__a_dropped_case_hands_on_what_an_older_one_waits_for(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t older, id;

    (void)state;
    rig_open(&r, NULL);
    rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 1, 404, "{}");
    script_two(&r, 503, "{}");
    older = rig_push(&r, OTHER_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, older).state, CASE_EXPANDING);
    id = rig_push(&r, ALERT, MACHINE);
    rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_case(&r, older).state, CASE_WAITING);
    assert_int_equal(rig_isolation(&r).case_id, id);
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    peer_forget(r.peer);
    script_two(&r, 201, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).case_id, older);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_told(&r, older), "requested isolated");
    rig_close(&r);
}

#define RULES_TWO_KINDS                                                                            \
    "rules:\n  - {name: high, when: {alert.severity: High}, do: [isolate: {type: selective}, "     \
    "email: {}]}\n  - {name: worse, when: {alert.severity: Medium}, do: "                          \
    "[isolate: {type: full, comment: 'for the other'}, email: {}]}\n"

/* And it is isolated as that case's rule asks for, with its words. */
static void test_grounds__what_is_handed_on_is_asked_for_as_the_heirs_rule_says(void **state)
{
    struct rig r;
    struct err e = {0};
    const char *posted = ""; /* the body of the last request for it */
    struct step_record *steps;
    size_t n = 0;
    int64_t id, other;

    (void)state;
    rig_open(&r, RULES_TWO_KINDS);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200,
             "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"Medium\",\"title\":\"y\","
             "\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    other = rig_push(&r, OTHER_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(store_case_steps(r.store, r.arena, other, &steps, &n, NULL), ERR_OK);
    assert_string_equal(steps[0].why,
                        "joined an open isolation, selective at that time; the rule asks for full");
    assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, &e), ERR_OK);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_string_equal(rig_told(&r, other), "requested isolated");
    for (size_t i = 0; i < peer_count(r.peer); i++)
        if (strcmp(peer_request(r.peer, i)->method, "POST") == 0 &&
            strcmp(peer_request(r.peer, i)->target, ISOLATE) == 0)
            posted = peer_request(r.peer, i)->body;
    assert_non_null(strstr(posted, "\"IsolationType\":\"Full\""));
    assert_non_null(strstr(posted, "\"Comment\":\"for the other\""));
    assert_string_equal(rig_isolation(&r).type, "Full");
    assert_string_equal(rig_isolation(&r).rule, "worse");
    assert_int_equal(store_case_steps(r.store, r.arena, other, &steps, &n, NULL), ERR_OK);
    assert_string_equal(steps[0].why, "took over the open isolation that it had joined");
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
                .question = list[0].id, .person = "a@x.example", .way = "operator", .yes = true},
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
    rig_takes_isolate(&r, 0);
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

/* A source loses `may: isolate` (contract.md section 4), or goes into shadow mode, while its isolation waits. */
static void test_grounds__a_source_that_may_not_isolate_any_more_does_not(void **state)
{
    static const char *const lines[] = {"may: [notify]", "mode: shadow"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct rig r;
        int64_t id;

        (void)throttled(&r, NULL);
        engine_use(r.g, rig_source_with(&r, lines[i]));
        rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        peer_forget(r.peer); /* and nothing that it pushes from now on is isolated */
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" OTHER_MACHINE "\"}");
        rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200,
                 "{\"id\":\"" OTHER_MACHINE "\"}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        id = rig_push(&r, "da2_-1", OTHER_MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines"), 0);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        rig_close(&r);
    }
}

/* When the alert and the machine have to be read again, a machine that cannot be read just now is waited for. */
static void test_grounds__a_machine_that_cannot_be_read_is_no_verdict(void **state)
{
    struct rig r;

    (void)state;
    (void)throttled(&r, NULL);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL
                                "safety: {protected: [{machine.tags: [x]}]}\n"));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 503, "{}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_true(rig_seen(&r, "GET", GET_MACHINE) > 0);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200,
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"x\",\"machineTags\":[]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_pass(&r, 10 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_close(&r);
}

/* What a pause, or somebody at Defender, says while it waits; what is isolated already is so in a pause, too. */
static void test_grounds__what_happens_while_it_waits_is_seen_before_the_request(void **state)
{
    static const struct {
        bool paused;
        const char *list;
        enum isolation_state ends;
        const char *told;
    } rows[] = {
        {true, NOTHING, ISOLATION_FAILED, " not_isolated"},
        {true, IN_FORCE, ISOLATION_ISOLATED, " isolated"},
        {false, "{\"value\":[" ACTION_DOC("a2", "Unisolate", "InProgress", "null", "11:13") "]}",
         ISOLATION_FAILED, " not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct rig r;
        int64_t id = throttled(&r, NULL);

        if (rows[i].paused)
            assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "maria"}, &e), ERR_OK);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, rows[i].list);
        rig_takes_isolate(&r, 0);
        rig_pass(&r, 5 * MINUTE_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_non_null(strstr(rig_told(&r, id), rows[i].told));
        rig_close(&r);
    }
}

/* ---- what stands in the store ------------------------------------------------------------------------ */

static void test_grounds__a_stored_verdict_is_good_for_ten_minutes_and_its_own_terms(void **state)
{
    enum { AS_IT_IS, POLICY, MAY, SHADOW, WAYS };
    static const char *const ways[WAYS] = {
        [POLICY] = "another policy", [MAY] = "may: [notify]", [SHADOW] = "mode: shadow"};
    struct approval none = {0}, later = {0}, same = {0};
    struct runtime *in_force[WAYS];
    struct case_record c;
    struct rig r;
    int64_t id;

    (void)state;
    id = throttled(&r, NULL);
    c = rig_case(&r, id);
    in_force[AS_IT_IS] = rig_runtime(&r, RULES_ISOLATE_AND_MAIL);
    in_force[POLICY] =
        rig_runtime(&r, RULES_ISOLATE_AND_MAIL "safety: {protected: [{machine.tags: [x]}]}\n");
    runtime_unref(
        rig_runtime(&r, RULES_ISOLATE_AND_MAIL)); /* which the next two are written from */
    for (int way = MAY; way < WAYS; way++)
        in_force[way] = rig_source_with(&r, ways[way]);
    for (int way = 0; way < WAYS; way++) {
        struct runtime *rt = in_force[way];

        if (way != AS_IT_IS)
            print_message("%s\n", ways[way]);
        assert_int_equal(grounds_same_terms(in_force[AS_IT_IS]->config, rt->config, &c, NULL),
                         way == AS_IT_IS);
        assert_int_equal(grounds_hold(&c, "Full", &none, rt, r.g, r.arena), way == AS_IT_IS);
    }

    /* what it asks for, and of which machine */
    assert_false(grounds_hold(&c, "Selective", &none, in_force[AS_IT_IS], r.g, r.arena));
    c.machine_id = OTHER_MACHINE;
    assert_false(grounds_hold(&c, "Full", &none, in_force[AS_IT_IS], r.g, r.arena));
    c.machine_id = MACHINE;

    /* A word that came after the reading was given to what is so now, and that is read. */
    same.given = later.given = clock_wall_ms(&r.hands.clock);
    later.given++;
    assert_true(grounds_hold(&c, "Full", &same, in_force[AS_IT_IS], r.g, r.arena));
    assert_false(grounds_hold(&c, "Full", &later, in_force[AS_IT_IS], r.g, r.arena));

    /* Young by both clocks: one of them may have been set. */
    hands_turn(&r.hands, GROUNDS_FRESH_MS - 1);
    assert_true(grounds_hold(&c, "Full", &none, in_force[AS_IT_IS], r.g, r.arena));
    atomic_fetch_add(&r.hands.wall, 1);
    assert_false(grounds_hold(&c, "Full", &none, in_force[AS_IT_IS], r.g, r.arena));
    atomic_fetch_add(&r.hands.wall, -GROUNDS_FRESH_MS);
    assert_true(grounds_hold(&c, "Full", &none, in_force[AS_IT_IS], r.g, r.arena));
    atomic_fetch_add(&r.hands.wall, -1);
    assert_false(grounds_hold(&c, "Full", &none, in_force[AS_IT_IS], r.g, r.arena));
    atomic_fetch_add(&r.hands.wall, 1);
    atomic_fetch_add(&r.hands.mono, 1);
    assert_false(grounds_hold(&c, "Full", &none, in_force[AS_IT_IS], r.g, r.arena));

    for (int way = 0; way < WAYS; way++)
        runtime_unref(in_force[way]);
    rig_close(&r);
}

static void test_grounds__a_yes_is_good_for_what_it_was_given_to(void **state)
{
    static struct verdict_step steps[] = {
        {.handler = "tag", .acts = true, .args = "{}", .withheld = "source relay may only notify"},
        {.handler = "isolate", .acts = true, .args = "{}", .asks = "protected: x"},
        {.handler = "isolate", .acts = true, .args = "{\"type\":\"selective\"}"},
    };
    static const struct verdict v = {
        .rule = "contain", .policy = "p1", .steps = steps, .n_steps = 3};
#define YES(p, m, w)                                                                               \
    {                                                                                              \
        .step = true, .policy = (p), .machine_id = (m), .what = (w)                                \
    }
    static const struct {
        const char *handler;
        size_t nth;
        const char *type;
        struct approval yes;
        const char *why; /* NULL: it may be done */
    } rows[] = {
        {"isolate", 0, "Full", YES("p1", MACHINE, "protected: x"), NULL},
        {"isolate", 0, "Full",
         YES("p1", "9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4", "protected: x"), NULL},
        {"isolate", 0, "Full", {.step = false}, "a person must be asked: protected: x"},
        {"isolate",
         0,
         "Full",
         {.canary_policy = "p1", .limits_policy = "p1"},
         "a person must be asked"},
        {"isolate", 0, "Full", YES("p0", MACHINE, "protected: x"), "the policy has changed"},
        {"isolate", 0, "Full", YES("p1", OTHER_MACHINE, "protected: x"), "for another machine"},
        {"isolate", 0, "Full", YES("p1", NULL, "protected: x"), "for another machine"},
        {"isolate", 0, "Full", YES("p1", MACHINE, "protected: y"), "given to 'protected: y'"},
        {"isolate", 0, "Selective", YES("p1", MACHINE, "protected: x"), "another isolation: full"},
        {"isolate", 1, "Selective", {.step = false}, NULL},
        {"isolate", 1, "Full", {.step = false}, "another isolation: selective"},
        {"isolate", 2, "Full", {.step = false}, "asks for no isolation (rule 'contain')"},
        {"tag", 0, NULL, {.step = false}, "source relay may only notify"},
        {"scan", 0, NULL, {.step = false}, "asks for no scan"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = {0};
        enum err_code code = grounds_compare(&v, rows[i].handler, rows[i].nth, rows[i].type,
                                             MACHINE, &rows[i].yes, &e);

        if (code != (rows[i].why ? ERR_REFUSED : ERR_OK) ||
            (rows[i].why && !strstr(e.text, rows[i].why)))
            fail_msg("row %zu: %s: %s", i, err_name(code), e.text);
    }
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
    rig_takes_isolate(&r, 0);
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

/* ---- a process that stands still ---------------------------------------------------------------- */

/* Wherever it stands still between the reading and the moment from which on the request has to leave soon, by a clock that goes
 * on meanwhile. */
static void test_grounds__what_was_read_before_a_pause_is_no_ground(void **state)
{
    enum { LOOKS = 5 }; /* at the wall clock, until that moment */

    (void)state;
    for (size_t at = 0; at < LOOKS; at++) {
        struct rig r;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        (void)rig_push(&r, ALERT, MACHINE);
        rig_stand_still(&r, GET_ALERT, ISOLATE, at);
        rig_close(&r);
    }
}

/* The same of one that could not leave at once, and looks again. */
static void test_grounds__a_look_before_a_pause_is_none_for_what_waited(void **state)
{
    enum { LOOKS = 2 };

    (void)state;
    for (size_t at = 0; at < LOOKS; at++) {
        struct rig r;

        (void)throttled(&r, NULL);
        hands_turn(&r.hands, 130 * SECOND_MS);
        rig_stand_still(&r, LIST, ISOLATE, at);
        rig_close(&r);
    }
}

/* ---- a reload in the middle of a run ------------------------------------------------------------------- */

static struct {
    struct rig *r;
    const char *method, *target; /* once this was seen, … */
    size_t times;                /* … more often than that, … */
    struct runtime *rt;          /* … this is in force; NULL: it is already */
} reload;

static int64_t reload_wall(const struct clock *c)
{
    if (reload.rt && rig_seen(reload.r, reload.method, reload.target) > reload.times) {
        struct runtime *rt = reload.rt;

        reload.rt = NULL;
        engine_use(reload.r->g, rt);
    }
    return hands_wall(c);
}

/* A verdict of this run, and a look of this run, by a policy that is in force no more when it comes to the request. */
static void test_grounds__a_policy_that_changes_before_the_request_isolates_nothing(void **state)
{
    static const struct {
        const char *steps, *method, *target;
    } rows[] = {
        {"[tag: {add: x}, isolate: {}, email: {}]", "POST", "/api/machines/" MACHINE "/tags"},
        {"[isolate: {}, email: {}]", "GET", LIST},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        engine_use(r.g, rig_runtime(&r, arena_fmt(r.arena,
                                                  "rules:\n  - {name: contain, when: "
                                                  "{alert.severity: High}, do: %s}\n",
                                                  rows[i].steps)));
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
        rig_takes_isolate(&r, 0);
        reload.r = &r;
        reload.method = rows[i].method;
        reload.target = rows[i].target;
        reload.times = 0;
        reload.rt = rig_runtime(&r, RULES_MAIL_ONLY);
        r.hands.clock.wall_ms = reload_wall;
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        r.hands.clock.wall_ms = hands_wall;
        assert_null(reload.rt);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(rig_told(&r, id), "not_isolated");
        rig_close(&r);
    }
}

/* The same while the look is taken that a request is preceded by: with the facts it could not be, or the first request was not
 * taken, or it is of another kind. */
static void test_grounds__a_policy_that_changes_during_the_look_isolates_nothing(void **state)
{
    static const struct {
        const char *step, *target;
        int list, post; /* the first answer to the look, and to the request */
        size_t posts;
        const char *told;
    } rows[] = {
        {"isolate", ISOLATE, 503, 201, 0, "not_isolated"},
        {"isolate", ISOLATE, 200, 409, 1, "late not_isolated"},
        {"scan", "/api/machines/" MACHINE "/runAntiVirusScan", 200, 201, 0, "alert action_failed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *taken = ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12");
        struct rig r;
        int64_t id;

        print_message("  %s %d %d\n", rows[i].step, rows[i].list, rows[i].post);
        rig_open(&r, NULL);
        engine_use(r.g,
                   rig_runtime(&r, arena_fmt(r.arena,
                                             "rules:\n  - {name: contain, when: "
                                             "{alert.severity: High}, do: [%s: {}, email: {}]}\n",
                                             rows[i].step)));
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, rows[i].list, NOTHING);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", rows[i].target, 1, rows[i].post, rows[i].post == 201 ? taken : "{}");
        rig_says(&r, "POST", rows[i].target, 0, 201, taken);
        reload.r = &r;
        reload.method = "GET";
        reload.target = LIST;
        reload.times = 1;
        reload.rt = rig_runtime(&r, RULES_MAIL_ONLY);
        r.hands.clock.wall_ms = reload_wall;
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        r.hands.clock.wall_ms = hands_wall;
        assert_null(reload.rt);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), rows[i].posts);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

#define RULES_ASK_WITHIN(time)                                                                     \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [ask: {within: " time           \
    "}, isolate: {}, email: {}]}\n"

/* Nor is a person asked by it, whose yes would be void. */
static void test_grounds__a_policy_that_changes_before_the_question_asks_nothing(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ASK_WITHIN("4h"));
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    reload.r = &r;
    reload.method = "GET";
    reload.target = GET_ALERT;
    reload.times = 0;
    reload.rt = rig_runtime(&r, RULES_ASK_WITHIN("5h"));
    r.hands.clock.wall_ms = reload_wall;
    (void)rig_push(&r, ALERT, MACHINE);
    rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
    r.hands.clock.wall_ms = hands_wall;
    assert_null(reload.rt);
    yes(&r);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

#define RULES_ASK_PEOPLE                                                                            \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [%sask: {people: %d}, isolate: " \
    "{}, email: {}]}\n"

/* How many must say yes, and who, is what the policy in force says, also where that came while alert and machine were read.
 * Where a step of the verdict was done by then nobody is asked. */
static void test_grounds__a_question_is_by_the_terms_in_force(void **state)
{
    static const struct {
        const char *before, *told;
        size_t asked;
    } rows[] = {{"", "question", 1}, {"email: {}, ", "alert not_isolated", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct question_record *list;
        struct rig r;
        size_t n = 0;
        int64_t id;

        rig_open(&r, NULL);
        engine_use(r.g, rig_runtime(&r, arena_fmt(r.arena, RULES_ASK_PEOPLE, rows[i].before, 1)));
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        reload.r = &r;
        reload.method = "GET";
        reload.target = GET_ALERT;
        reload.times = 0;
        reload.rt = rig_runtime(&r, arena_fmt(r.arena, RULES_ASK_PEOPLE, rows[i].before, 2));
        r.hands.clock.wall_ms = reload_wall;
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
        r.hands.clock.wall_ms = hands_wall;
        assert_null(reload.rt);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_STATES, 0, 2, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, rows[i].asked);
        if (n)
            yes(&r);
        rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grounds__a_dropped_case_isolates_nothing),
        cmocka_unit_test(test_grounds__a_dropped_case_hands_on_what_another_waits_for),
        cmocka_unit_test(test_grounds__a_dropped_case_hands_on_what_an_older_one_waits_for),
        cmocka_unit_test(test_grounds__what_is_handed_on_is_asked_for_as_the_heirs_rule_says),
        cmocka_unit_test(test_grounds__a_new_verdict_holds_for_a_request_that_waits),
        cmocka_unit_test(test_grounds__an_alert_that_names_another_machine_isolates_not_this_one),
        cmocka_unit_test(test_grounds__a_source_that_may_not_isolate_any_more_does_not),
        cmocka_unit_test(test_grounds__a_machine_that_cannot_be_read_is_no_verdict),
        cmocka_unit_test(test_grounds__what_happens_while_it_waits_is_seen_before_the_request),
        cmocka_unit_test(test_grounds__a_stored_verdict_is_good_for_ten_minutes_and_its_own_terms),
        cmocka_unit_test(test_grounds__a_yes_is_good_for_what_it_was_given_to),
        cmocka_unit_test(test_grounds__an_old_look_is_no_ground_after_a_slow_step),
        cmocka_unit_test(test_grounds__what_was_read_before_a_pause_is_no_ground),
        cmocka_unit_test(test_grounds__a_look_before_a_pause_is_none_for_what_waited),
        cmocka_unit_test(test_grounds__a_policy_that_changes_before_the_request_isolates_nothing),
        cmocka_unit_test(test_grounds__a_policy_that_changes_during_the_look_isolates_nothing),
        cmocka_unit_test(test_grounds__a_policy_that_changes_before_the_question_asks_nothing),
        cmocka_unit_test(test_grounds__a_question_is_by_the_terms_in_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
