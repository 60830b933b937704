/* test_action.c - the handlers beside isolate and email: what Defender is asked for, in whose spelling, how it is
 * followed, and what people are told. */
#include "engine_kit.h"

#include "desk.h"
#include "ending.h"
#include "store_actions.h"

#define SHA1          "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define SHA1_2        "0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33"
#define SHA1_2_UPPER  "0BEEC7B5EA3F0FDBC95D0DD47F3C5BC275DA8A33"
#define AT            "/api/machines/" MACHINE
#define OTHER_MACHINE "0123456789abcdef0123456789abcdef01234567"
#define COMMENT       "cordon: High alert " ALERT ": Credential memory read"

static const char *rules_of(struct rig *r, const char *steps)
{
    return arena_fmt(r->arena,
                     "rules:\n  - {name: act, when: {alert.severity: High}, do: [%s]}\n"
                     "  - {name: tell, do: [email: {}]}\n",
                     steps);
}

static void open_with(struct rig *r, const char *steps)
{
    rig_open(r, NULL);
    engine_use(r->g, rig_runtime(r, rules_of(r, steps)));
    rig_afresh(r);
}

/* The same, and a mail at its end. */
static void open_with_mail(struct rig *r, const char *step)
{
    char steps[300];

    (void)snprintf(steps, sizeof steps, "%s, email: {}", step);
    open_with(r, steps);
}

/* The body of the last request whose method and target begin so. */
static const char *body_of(struct rig *r, const char *method, const char *target)
{
    const char *body = NULL;

    for (size_t i = 0; i < peer_count(r->peer); i++) {
        const struct peer_request *q = peer_request(r->peer, i);

        if (strcmp(q->method, method) == 0 && strncmp(q->target, target, strlen(target)) == 0)
            body = q->body;
    }
    return body ? body : "";
}

static struct action_record the_action(struct rig *r, int64_t case_id)
{
    struct action_record *list;
    size_t n = 0;

    assert_int_equal(store_action_list(r->store, r->arena, case_id, 10, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    return list[0];
}

static struct step_record step_of(struct rig *r, int64_t case_id, size_t at)
{
    struct step_record *list;
    size_t n = 0;

    assert_int_equal(store_case_steps(r->store, r->arena, case_id, &list, &n, NULL), ERR_OK);
    assert_true(at < n);
    return list[at];
}

static const char *action_doc(struct rig *r, const char *type, const char *status)
{
    return arena_fmt(r->arena,
                     "{\"id\":\"" ACTION "\",\"type\":\"%s\",\"status\":\"%s\",\"machineId\":"
                     "\"" MACHINE "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\","
                     "\"requestor\":\"somebody\",\"externalId\":null}",
                     type, status);
}

#define SECOND_DOC                                                                                 \
    "{\"id\":\"c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f\",\"type\":\"StopAndQuarantineFile\","         \
    "\"status\":\"Pending\",\"machineId\":\"" MACHINE                                              \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\",\"externalId\":null}"

#define OF_FILE(id, sha1)                                                                          \
    "{\"id\":\"" id "\",\"severity\":\"High\",\"title\":\"" sha1 "\",\"machineId\":\"" MACHINE "\"}"

static const struct kind {
    const char *step, *tail, *type, *body; /* body: beside the comment and our id */
    const char *words;
} kinds[] = {
    {"scan: {}", "/runAntiVirusScan", "RunAntiVirusScan", "\"ScanType\":\"Quick\"",
     "antivirus scan: Quick"},
    {"scan: {type: full}", "/runAntiVirusScan", "RunAntiVirusScan", "\"ScanType\":\"Full\"",
     "antivirus scan: Full"},
    {"restrict: {}", "/restrictCodeExecution", "RestrictCodeExecution", NULL,
     "restriction of applications"},
    {"unrestrict: {}", "/unrestrictCodeExecution", "UnrestrictCodeExecution", NULL,
     "end of the restriction"},
    {"stop_file: {sha1: " SHA1 "}", "/StopAndQuarantineFile", "StopAndQuarantineFile",
     "\"Sha1\":\"" SHA1 "\"", "stop and quarantine of a file: " SHA1},
    {"collect: {}", "/collectInvestigationPackage", "CollectInvestigationPackage", NULL,
     "investigation package"},
};

static void test_action__each_is_asked_for_once_in_defenders_spelling_and_followed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *k = &kinds[i];
        const char *target, *body;
        struct rig r;
        int64_t id;

        open_with_mail(&r, k->step);
        print_message("  %s\n", k->step);
        target = arena_fmt(r.arena, AT "%s", k->tail);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", target, 0, 201, action_doc(&r, k->type, "Pending"));
        rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 0, 200,
                 "{\"value\":\"\\\"https://packages.example/p?sig=abc\\\"\"}");
        rig_says(&r, "GET", GET_ACTION, 1, 200, action_doc(&r, k->type, "InProgress"));
        rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, k->type, "Succeeded"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(the_action(&r, id).state, ACTION_PENDING);
        assert_int_equal(the_action(&r, id).posted, 0); /* no request is under way */
        assert_string_equal(rig_told(&r, id), "alert");
        rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
        assert_int_equal(the_action(&r, id).state, ACTION_DONE);
        assert_false(the_action(&r, id).adopted);
        assert_int_equal(rig_seen(&r, "POST", AT), 1);
        body = body_of(&r, "POST", target);
        assert_non_null(strstr(body, "{\"Comment\":\"" COMMENT "\","));
        assert_non_null(strstr(body, "\"ExternalId\":\"cordon-"));
        if (k->body)
            assert_non_null(strstr(body, k->body));
        assert_string_equal(rig_told(&r, id), "alert action_done");
        assert_non_null(strstr(rig_subject(&r, id), arena_fmt(r.arena, "[DONE: %s", k->words)));
        assert_int_equal(rig_seen(&r, "GET", GET_ACTION ACTION "/getPackageUri"),
                         strcmp(k->step, "collect: {}") == 0);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        rig_close(&r);
    }
}

/* What was read before the process stood still is no ground for any of them. */
static void test_action__a_look_before_a_pause_is_none(void **state)
{
    enum { LOOKS = 3 }; /* at the wall clock, until it is said by when the request has to leave */

    (void)state;
    for (size_t at = 0; at < LOOKS; at++) {
        struct rig r;
        struct work w;

        open_with_mail(&r, "scan: {}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                 action_doc(&r, "RunAntiVirusScan", "Pending"));
        (void)rig_push(&r, ALERT, MACHINE);
        assert_true(rig_claim(&r, WORK_CASE, &w));
        expand_run(r.g, &w);
        rig_stand_still(&r, LIST, AT "/runAntiVirusScan", at);
        rig_close(&r);
    }
}

#define PACKAGE GET_ACTION ACTION "/getPackageUri"

/* A package was collected, and this is what Defender says so many times (0: always) when its link is asked for. Returns
 * the case. */
static int64_t collect(struct rig *r, unsigned times, int status, const char *body)
{
    int64_t id;

    open_with_mail(r, "collect: {}");
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "POST", AT "/collectInvestigationPackage", 0, 201,
             action_doc(r, "CollectInvestigationPackage", "Pending"));
    rig_says(r, "GET", PACKAGE, times, status, body);
    rig_says(r, "GET", PACKAGE, 0, 200, "{\"value\":\"https://packages.example/p?sig=abc\"}");
    rig_says(r, "GET", GET_ACTION, 0, 200,
             action_doc(r, "CollectInvestigationPackage", "Succeeded"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    return id;
}

/* Section 4.3: two a minute. The link to a package that has just been made may not be there for a while. */
static void test_action__a_link_is_asked_for_twice_a_minute(void **state)
{
    struct rig r;

    (void)state;
    (void)collect(&r, 0, 404, "{}");
    for (size_t minute = 1; minute <= 5; minute++) {
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_in_range(rig_seen(&r, "GET", PACKAGE), 1, 2 * minute);
    }
    rig_close(&r);
}

/* Section 7.4: what is counted apart is throttled apart. No isolation waits because of a link. */
static void test_action__a_throttled_link_holds_no_isolation_up(void **state)
{
    struct runtime *rt;
    struct rig r;
    int64_t id;

    (void)state;
    id = collect(
        &r, 1, 429,
        "{\"error\":{\"code\":\"429\",\"message\":\"maximum allowed 120 per 01:00:00 for the key. "
        "You can send requests again in 1200 seconds.\"}}");
    rig_pass(&r, 1000 * SECOND_MS, 10 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", PACKAGE), 1);
    rt = engine_runtime(r.g);
    assert_int_equal(quota_wait(runtime_tenant(rt, "contoso")->quota, true), 0);
    runtime_unref(rt);
    rig_pass(&r, 1000 * SECOND_MS, 10 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", PACKAGE), 2);
    assert_string_equal(rig_told(&r, id), "alert action_done");
    rig_close(&r);
}

static void test_action__how_it_ended_badly_is_told(void **state)
{
    static const struct {
        int status;
        const char *answer; /* to the POST; NULL: the action, with this status */
        const char *ends;
        const char *subject; /* NULL: it is not over */
        size_t posts;
    } rows[] = {
        {201, NULL, "Failed", "[NOT DONE: antivirus scan: the machine could not do it", 1},
        {201, NULL, "Cancelled", "[NOT DONE: antivirus scan: somebody cancelled it", 1},
        {201, NULL, "TimeOut", "[NOT DONE: antivirus scan: the machine stayed offline", 1},
        {403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"m\"}}", NULL,
         "[NOT DONE: antivirus scan: POST ", 1},
        {400, "{\"error\":{\"code\":\"OsPlatformNotSupported\",\"message\":\"m\"}}", NULL,
         "[NOT DONE: antivirus scan: this operating system cannot do it: ", 1},
        {201, NULL, "Pending", NULL, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, "scan: {}, email: {}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, rows[i].status,
                 rows[i].answer ? rows[i].answer : action_doc(&r, "RunAntiVirusScan", "Pending"));
        if (rows[i].ends)
            rig_says(&r, "GET", GET_ACTION, 0, 200,
                     action_doc(&r, "RunAntiVirusScan", rows[i].ends));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 2 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT), rows[i].posts);
        if (rows[i].subject) {
            assert_string_equal(rig_told(&r, id), "alert action_failed");
            assert_non_null(strstr(rig_subject(&r, id), rows[i].subject));
            assert_int_equal(the_action(&r, id).posted, 0);
        } else {
            assert_string_equal(rig_told(&r, id), "alert");
        }
        rig_close(&r);
    }
}

static void test_action__one_under_way_is_adopted(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "scan: {}, email: {}");
    rig_says(
        &r, "GET", LIST, 0, 200,
        arena_fmt(r.arena, "{\"value\":[%s]}", action_doc(&r, "RunAntiVirusScan", "InProgress")));
    rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, "RunAntiVirusScan", "Succeeded"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_true(the_action(&r, id).adopted);
    assert_string_equal(the_action(&r, id).requestor, "somebody");
    assert_int_equal(rig_seen(&r, "POST", AT), 0);
    rig_close(&r);
}

static const char *scan_doc(struct rig *r, const char *scope, const char *status)
{
    return arena_fmt(r->arena,
                     "{\"value\":[{\"id\":\"c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f\",\"type\":"
                     "\"RunAntiVirusScan\",\"status\":\"%s\",\"machineId\":\"" MACHINE
                     "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:11Z\",\"scope\":%s}]}",
                     status, scope);
}

/* A quick scan is no full one: nobody is told that this was done. */
static void test_action__a_quick_scan_under_way_is_not_the_full_one_that_a_rule_wants(void **state)
{
    static const struct {
        const char *label, *step, *scope;
        bool adopted;
    } rows[] = {
        {"a quick one for a full one", "scan: {type: full}", "\"Quick\"", false},
        {"a full one for a full one", "scan: {type: full}", "\"Full\"", true},
        {"a full one for a quick one", "scan: {}", "\"Full\"", true},
        {"of unknown kind", "scan: {type: full}", "null", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        open_with_mail(&r, rows[i].step);
        rig_says(&r, "GET", LIST, 0, 200, scan_doc(&r, rows[i].scope, "InProgress"));
        rig_says(&r, "GET", GET_ACTION "c3d0c1f4", 0, 200,
                 "{\"id\":\"c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f\",\"type\":\"RunAntiVirusScan\","
                 "\"status\":\"Succeeded\",\"machineId\":\"" MACHINE
                 "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:11Z\"}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT), 0);
        assert_int_equal(the_action(&r, id).state,
                         rows[i].adopted ? ACTION_DONE : ACTION_REQUESTED);
        if (!rows[i].adopted) { /* it is over: the full one has its turn */
            peer_forget(r.peer);
            rig_says(&r, "GET", LIST, 0, 200, scan_doc(&r, rows[i].scope, "Succeeded"));
            rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                     action_doc(&r, "RunAntiVirusScan", "Pending"));
            rig_says(&r, "GET", GET_ACTION, 0, 200,
                     action_doc(&r, "RunAntiVirusScan", "Succeeded"));
            rig_pass(&r, 2 * MINUTE_MS, 5 * SECOND_MS);
            assert_int_equal(rig_seen(&r, "POST", AT), 1);
            assert_int_equal(the_action(&r, id).state, ACTION_DONE);
            assert_false(the_action(&r, id).adopted);
        }
        rig_close(&r);
    }
}

/* The same of one that cordon itself has asked for: people hear that the full one was not done. */
static void test_action__a_full_scan_beside_a_quick_one_of_ours_is_refused(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r,
             "rules:\n  - {name: act, when: {alert.severity: High}, do: [scan: {}, email: {}]}\n"
             "  - {name: more, do: [scan: {type: full}, email: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
             action_doc(&r, "RunAntiVirusScan", "Pending"));
    rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, "RunAntiVirusScan", "InProgress"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"da637_2\",\"severity\":\"Medium\",\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    id = rig_push(&r, "da637_2", MACHINE);
    (void)rig_work(&r);
    assert_int_equal(step_of(&r, id, 0).state, STEP_FAILED);
    assert_string_equal(
        step_of(&r, id, 0).why,
        "a quick scan of the machine is under way, and the rule asks for a full one: "
        "`cordon cases retry` when it is over");
    assert_int_equal(rig_seen(&r, "POST", AT), 0);
    assert_string_equal(rig_told(&r, id), "action_failed");
    rig_close(&r);
}

/* A restriction was asked for and its answer lost; the next look finds it. Returns the case. */
static int64_t lose_answer(struct rig *r)
{
    int64_t id;

    open_with(r, "restrict: {}, email: {}");
    rig_says(r, "GET", LIST, 1, 200, NOTHING);
    rig_says(r, "GET", LIST, 0, 200,
             arena_fmt(r->arena, "{\"value\":[%s]}",
                       action_doc(r, "RestrictCodeExecution", "Succeeded")));
    peer_script(r->peer, &(struct peer_answer){.method = "POST",
                                               .target = AT "/restrictCodeExecution",
                                               .times = 1,
                                               .act = PEER_RESET});
    rig_says(r, "POST", AT "/restrictCodeExecution", 0, 201,
             action_doc(r, "RestrictCodeExecution", "Pending"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    assert_true(the_action(r, id).posted > 0);
    return id;
}

static void test_action__a_lost_answer_is_looked_for(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    id = lose_answer(&r);
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 2); /* isolations of the machine, and the look */
    rig_pass(&r, 30 * SECOND_MS, SECOND_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    rig_close(&r);
}

/* The same when that it was given up could not be written down: the row says still when it was sent. */
static void test_action__a_lost_answer_rests_though_its_record_failed_once(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "restrict: {}, email: {}");
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200,
             arena_fmt(r.arena, "{\"value\":[%s]}",
                       action_doc(&r, "RestrictCodeExecution", "Succeeded")));
    id = rig_push(&r, ALERT, MACHINE);
    rig_lose_unrecorded(&r, "actions", AT "/restrictCodeExecution");
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 2); /* isolations of the machine, and the look */
    rig_pass(&r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    rig_close(&r);
}

/* A clock that is set back does not make a lost answer wait until it has caught up. */
static void test_action__a_clock_set_back_delays_no_look(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    id = lose_answer(&r);
    atomic_fetch_add(&r.hands.wall, -(2 * HOUR_MS));
    assert_int_equal(store_work_recover(r.store, NULL), ERR_OK); /* as at a start */
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 2); /* not before it can be seen */
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    rig_close(&r);
}

/* Two files are two deeds, though of one kind and on one machine; the same one, in whatever case, is asked for once. */
static void test_action__each_file_is_stopped(void **state)
{
    struct rig r;
    int64_t id, other, same;

    (void)state;
    open_with(&r, "stop_file: {sha1: '{{alert.title}}'}");
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT "da1", 0, 200, OF_FILE("da1", SHA1));
    rig_says(&r, "GET", GET_ALERT "da2", 0, 200, OF_FILE("da2", SHA1_2));
    rig_says(&r, "GET", GET_ALERT "da3", 0, 200, OF_FILE("da3", SHA1_2_UPPER));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/StopAndQuarantineFile", 1, 201,
             action_doc(&r, "StopAndQuarantineFile", "Pending"));
    rig_says(&r, "POST", AT "/StopAndQuarantineFile", 0, 201, SECOND_DOC);
    id = rig_push(&r, "da1", MACHINE);
    (void)rig_work(&r);
    other = rig_push(&r, "da2", MACHINE);
    (void)rig_work(&r);
    same = rig_push(&r, "da3", MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", AT "/StopAndQuarantineFile"), 2);
    assert_non_null(strstr(body_of(&r, "POST", AT "/StopAndQuarantineFile"), SHA1_2));
    assert_string_equal(the_action(&r, id).detail, SHA1);
    assert_string_equal(the_action(&r, other).detail, SHA1_2);
    assert_string_equal(step_of(&r, same, 0).why, "cordon has asked for the same already");
    rig_close(&r);
}

/* Where our id does not come back, what became of another file says nothing of ours whose answer was lost. */
static void test_action__another_file_is_no_answer(void **state)
{
    static const struct {
        const char *file;
        size_t posts;
    } rows[] = {{SHA1_2, 2}, {SHA1, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, "stop_file: {sha1: " SHA1 "}, email: {}");
        rig_says(&r, "GET", LIST, 2, 200, NOTHING); /* with the facts, and before the request */
        rig_says(
            &r, "GET", LIST, 0, 200,
            arena_fmt(r.arena,
                      "{\"value\":[{\"id\":\"" ACTION "\",\"type\":\"StopAndQuarantineFile\","
                      "\"status\":\"Succeeded\",\"machineId\":\"" MACHINE
                      "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\",\"externalId\":null,"
                      "\"relatedFileInfo\":{\"fileIdentifier\":\"%s\","
                      "\"fileIdentifierType\":\"Sha1\"}}]}",
                      rows[i].file));
        peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                                  .target = AT "/StopAndQuarantineFile",
                                                  .times = 1,
                                                  .act = PEER_RESET});
        rig_says(&r, "POST", AT "/StopAndQuarantineFile", 0, 201, SECOND_DOC);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 40 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT "/StopAndQuarantineFile"), rows[i].posts);
        assert_int_equal(the_action(&r, id).state, i ? ACTION_DONE : ACTION_PENDING);
        rig_close(&r);
    }
}

/* However long Defender wants to be left alone, people hear that it was not asked for while that could be. */
static void test_action__a_retry_after_of_a_day_keeps_nobody_from_the_news(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "scan: {}, email: {}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 429,
             "{\"error\":{\"code\":\"429\",\"message\":\"in 86400 seconds\"}}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(the_action(&r, id).state, ACTION_REQUESTED);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_FAILED);
    assert_string_equal(rig_told(&r, id), "alert action_failed");
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    rig_close(&r);
}

/* Nor does a step that acts at once keep the mail behind it for a day. */
static void test_action__a_mail_does_not_wait_a_day_for_a_tag(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "tag: {add: seen}, email: {}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/tags", 0, 429,
             "{\"error\":{\"code\":\"429\",\"message\":\"in 86400 seconds\"}}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "");
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "action_failed");
    assert_int_equal(step_of(&r, id, 0).state, STEP_FAILED);
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    rig_close(&r);
}

/* The answer was lost, and nobody can look: that it was not asked for would be untrue, and so would that it failed. */
static void test_action__a_lost_answer_is_not_called_a_failure(void **state)
{
    static const bool ends[] = {true, false};

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct rig r;
        int64_t id = lose_answer(&r);

        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 503, "");
        rig_pass(&r, 3 * HOUR_MS, 5 * MINUTE_MS);
        assert_int_equal(the_action(&r, id).state, ACTION_REQUESTED);
        assert_string_equal(rig_told(&r, id), "alert");
        if (ends[i]) {
            rig_afresh(&r);
            rig_says(&r, "GET", LIST, 0, 200,
                     arena_fmt(r.arena, "{\"value\":[%s]}",
                               action_doc(&r, "RestrictCodeExecution", "Succeeded")));
        }
        rig_pass(&r, 5 * DAY_MS, HOUR_MS);
        assert_int_equal(the_action(&r, id).state, ends[i] ? ACTION_DONE : ACTION_FAILED);
        assert_string_equal(rig_told(&r, id),
                            ends[i] ? "alert action_done" : "alert action_failed");
        if (!ends[i])
            assert_string_equal(the_action(&r, id).why,
                                "it is not known whether it was carried out");
        assert_int_equal(strstr(rig_words(&r, id), "Nobody knows whether a step") != NULL,
                         !ends[i]);
        assert_null(strstr(rig_words(&r, id), "was not done"));
        assert_int_equal(rig_seen(&r, "POST", AT), 0);
        rig_close(&r);
    }
}

/* Nor is one that somebody else asked for, and that has ended, what became of ours. */
static void test_action__somebody_elses_end_is_not_ours(void **state)
{
    struct rig r;
    int64_t id = lose_answer(&r);

    (void)state;
    rig_afresh(&r);
    rig_says(
        &r, "GET", LIST, 0, 200,
        "{\"value\":[{\"id\":\"a7\",\"type\":\"RestrictCodeExecution\",\"status\":\"Succeeded\","
        "\"machineId\":\"" MACHINE "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\","
        "\"externalId\":\"theirs-1\"}]}");
    rig_says(&r, "POST", AT "/restrictCodeExecution", 0, 201,
             action_doc(&r, "RestrictCodeExecution", "Pending"));
    rig_pass(&r, 30 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    assert_string_equal(the_action(&r, id).action_id, ACTION);
    assert_int_equal(the_action(&r, id).state, ACTION_PENDING);
    rig_close(&r);
}

/* A file that is being stopped is not the one that we want to be stopped, whoever asked for it. */
static void test_action__another_file_under_way_is_not_adopted(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "stop_file: {sha1: " SHA1 "}");
    rig_says(
        &r, "GET", LIST, 0, 200,
        "{\"value\":[{\"id\":\"a7\",\"type\":\"StopAndQuarantineFile\",\"status\":\"InProgress\","
        "\"machineId\":\"" MACHINE "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\","
        "\"relatedFileInfo\":{\"fileIdentifier\":\"" SHA1_2
        "\",\"fileIdentifierType\":\"Sha1\"}}]}");
    rig_says(&r, "POST", AT "/StopAndQuarantineFile", 0, 201,
             action_doc(&r, "StopAndQuarantineFile", "Pending"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", AT), 1);
    assert_string_equal(the_action(&r, id).action_id, ACTION);
    rig_close(&r);
}

/* One that Defender never ends is told after four days; until then it is under way. */
static void test_action__one_without_an_end_is_told(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with_mail(&r, "scan: {}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
             action_doc(&r, "RunAntiVirusScan", "Pending"));
    rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, "RunAntiVirusScan", "Pending"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 95 * HOUR_MS, HOUR_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_PENDING);
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_FAILED);
    assert_string_equal(rig_told(&r, id), "alert action_failed");
    assert_non_null(strstr(rig_words(&r, id), "Nobody knows whether a step"));
    assert_null(strstr(rig_words(&r, id), "was not done"));
    rig_close(&r);
}

/* Not by a clock that is days ahead of Defender's, of what was asked for minutes ago. */
static void test_action__a_clock_that_leaps_gives_nothing_up(void **state)
{
    static const struct {
        const char *label;
        bool lost;  /* the answer to the request */
        int status; /* of what Defender says of it by that clock */
    } rows[] = {
        {"under way", false, 200},
        {"no word of it", false, 503},
        {"lost, and no word of it", true, 503},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int64_t leap_ms = 5 * DAY_MS;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        open_with_mail(&r, "scan: {}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (rows[i].lost)
            peer_script(r.peer,
                        &(struct peer_answer){.method = "POST", .target = AT, .act = PEER_RESET});
        else
            rig_says(&r, "POST", AT, 0, 201, action_doc(&r, "RunAntiVirusScan", "Pending"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", AT), 1);
        atomic_fetch_add(&r.hands.wall, leap_ms);
        rig_afresh(&r);
        rig_says_dated_status(
            &r, rows[i].lost ? LIST : GET_ACTION, rows[i].status,
            rows[i].status == 200 ? action_doc(&r, "RunAntiVirusScan", "Pending") : "{}", leap_ms);
        rig_pass(&r, 3 * HOUR_MS, MINUTE_MS);
        assert_int_equal(the_action(&r, id).state,
                         rows[i].lost ? ACTION_REQUESTED : ACTION_PENDING);
        assert_string_equal(rig_told(&r, id), "alert");
        atomic_fetch_sub(&r.hands.wall, leap_ms);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says_dated(
            &r, LIST,
            arena_fmt(r.arena, "{\"value\":[%s]}", action_doc(&r, "RunAntiVirusScan", "Succeeded")),
            0);
        rig_says_dated(&r, GET_ACTION, action_doc(&r, "RunAntiVirusScan", "Succeeded"), 0);
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(the_action(&r, id).state, ACTION_DONE);
        assert_string_equal(rig_told(&r, id), "alert action_done");
        rig_close(&r);
    }
}

static void test_action__after_a_long_pause_one_failed_look_gives_nothing_up(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with_mail(&r, "scan: {}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
             action_doc(&r, "RunAntiVirusScan", "Pending"));
    rig_says(&r, "GET", GET_ACTION, 1, 503, "{}");
    rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, "RunAntiVirusScan", "Succeeded"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, 5 * DAY_MS);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_string_equal(rig_told(&r, id), "alert action_done");
    rig_close(&r);
}

/* cordon was down for days, and a storm of alerts at its start takes the calls: that is no word of Defender's. */
static void test_action__calls_that_others_use_up_give_nothing_up(void **state)
{
    for (int lost = 0; lost < 2; lost++) { /* the answer to the request */
        struct runtime *rt;
        struct quota *q;
        struct rig r;
        int64_t id;

        (void)state;
        print_message("  row %d\n", lost);
        open_with_mail(&r, "scan: {}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (lost)
            peer_script(r.peer,
                        &(struct peer_answer){.method = "POST", .target = AT, .act = PEER_RESET});
        else
            rig_says(&r, "POST", AT, 0, 201, action_doc(&r, "RunAntiVirusScan", "Pending"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200,
                 arena_fmt(r.arena, "{\"value\":[%s]}",
                           action_doc(&r, "RunAntiVirusScan", "Succeeded")));
        rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, "RunAntiVirusScan", "Succeeded"));
        hands_turn(&r.hands, 5 * DAY_MS);
        rt = engine_runtime(r.g);
        q = runtime_tenant(rt, "contoso")->quota;
        for (int64_t ms = 0; ms < 5 * HOUR_MS; ms += MINUTE_MS / 4) {
            while (quota_room(q, true) > 0)
                assert_int_equal(quota_take(q, true, NULL), ERR_OK);
            (void)rig_work(&r);
            hands_turn(&r.hands, MINUTE_MS / 4);
        }
        runtime_unref(rt);
        assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 0);
        assert_int_equal(the_action(&r, id).state, lost ? ACTION_REQUESTED : ACTION_PENDING);
        rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
        assert_int_equal(the_action(&r, id).state, ACTION_DONE);
        assert_string_equal(rig_told(&r, id), "alert action_done");
        rig_close(&r);
    }
}

/* How often a link was asked for. */
static size_t links(struct rig *r)
{
    size_t n = 0, all = peer_count(r->peer);

    for (size_t i = 0; i < all; i++)
        n += strstr(peer_request(r->peer, i)->target, "/getPackageUri") != NULL;
    return n;
}

/* Defender gives two links to packages a minute (section 4.3): the third waits for the next, however long ago the
 * packages were made. One that never comes keeps nobody from hearing that the package is there. */
static void test_action__links_to_packages_are_two_a_minute(void **state)
{
    static const bool given[] = {true, true, false};
    static const int64_t away_ms[] = {0, 2 * HOUR_MS, 0}; /* we were, when they were made */

    (void)state;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        struct rig r;
        int64_t ids[3];
        size_t in_a_minute;

        open_with_mail(&r, "collect: {}");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                 "{\"expires_in\":359900,\"access_token\":\"t1\"}");
        for (int k = 0; k < 3; k++) {
            const char *m = arena_fmt(r.arena, "%040x", k + 1);

            rig_says(&r, "GET", arena_fmt(r.arena, GET_ACTION "p%d/getPackageUri", k), 0,
                     given[i] ? 200 : 404,
                     given[i] ? "{\"value\":\"\\\"https://packages.example/p?sig=abc\\\"\"}"
                              : "{\"error\":{\"code\":\"ResourceNotFound\"}}");

            rig_says(&r, "GET", arena_fmt(r.arena, GET_ALERT "da%d", k), 0, 200,
                     arena_fmt(r.arena,
                               "{\"id\":\"da%d\",\"severity\":\"High\",\"machineId\":\"%s\"}", k,
                               m));
            rig_says(&r, "GET", arena_fmt(r.arena, "/api/machines/%s", m), 0, 200,
                     arena_fmt(r.arena, "{\"id\":\"%s\"}", m));
            for (int done = 0; done < 2; done++)
                rig_says(
                    &r, done ? "GET" : "POST",
                    done ? arena_fmt(r.arena, GET_ACTION "p%d", k)
                         : arena_fmt(r.arena, "/api/machines/%s/collect", m),
                    0, done ? 200 : 201,
                    arena_fmt(r.arena,
                              "{\"id\":\"p%d\",\"type\":\"CollectInvestigationPackage\",\"status\":"
                              "\"%s\",\"machineId\":\"%s\",\"creationDateTimeUtc\":"
                              "\"2025-01-07T10:11:12Z\",\"lastUpdateDateTimeUtc\":"
                              "\"2025-01-07T10:11:13Z\"}",
                              k, done ? "Succeeded" : "Pending", m));
        }
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        for (int k = 0; k < 3; k++)
            ids[k] = rig_push(&r, arena_fmt(r.arena, "da%d", k), NULL);
        (void)rig_work(&r);
        hands_turn(&r.hands, away_ms[i]);
        rig_pass(&r, 40 * SECOND_MS, SECOND_MS);
        in_a_minute = links(&r);
        assert_int_equal(in_a_minute, 2);
        rig_pass(&r, i ? 3 * HOUR_MS : 3 * MINUTE_MS, i ? MINUTE_MS : SECOND_MS);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(the_action(&r, ids[k]).state, ACTION_DONE);
            assert_string_equal(rig_told(&r, ids[k]), "alert action_done");
        }
        if (given[i])
            assert_int_equal(links(&r), 3);
        rig_close(&r);
    }
}

/* By a clock that is hours ahead of Defender's a package that is just complete is not an old one, whose link is not waited for. */
static void test_action__a_clock_that_is_ahead_keeps_no_link_from_anybody(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with_mail(&r, "collect: {}");
    rig_says_dated(&r, LIST, NOTHING, 0);
    rig_says(&r, "POST", AT "/collect", 0, 201,
             action_doc(&r, "CollectInvestigationPackage", "Pending"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    atomic_fetch_add(&r.hands.wall, 2 * HOUR_MS);
    rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 2, 404,
             "{\"error\":{\"code\":\"ResourceNotFound\"}}");
    rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 0, 200,
             "{\"value\":\"https://packages.example/p?sig=abc\"}");
    rig_says_dated(&r, GET_ACTION, action_doc(&r, "CollectInvestigationPackage", "Succeeded"),
                   2 * HOUR_MS);
    rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_string_equal(rig_told(&r, id), "alert action_done");
    assert_non_null(strstr(rig_words(&r, id), "https://packages.example/p?sig=abc"));
    rig_close(&r);
}

/* cordon was away for days, and Defender gives no link then: the package is there all the same, as it has said. */
static void test_action__a_package_without_its_link_is_not_called_unknown(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with_mail(&r, "collect: {}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/collect", 0, 201,
             action_doc(&r, "CollectInvestigationPackage", "Pending"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, 5 * DAY_MS);
    rig_afresh(&r);
    rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 0, 429,
             "{\"error\":{\"code\":\"429\"}}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             action_doc(&r, "CollectInvestigationPackage", "Succeeded"));
    rig_pass(&r, 6 * HOUR_MS, MINUTE_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_string_equal(rig_told(&r, id), "alert action_done");
    rig_close(&r);
}

/* What could not be asked for while facts and policy held is not asked for later. */
static void test_action__old_facts_are_no_grounds(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "scan: {}, email: {}");
    rig_says(&r, "GET", LIST, 1, 200, NOTHING); /* with the facts */
    rig_says(&r, "GET", LIST, 3, 503, "");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
             action_doc(&r, "RunAntiVirusScan", "Pending"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, 11 * MINUTE_MS);
    rig_pass(&r, 5 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(the_action(&r, id).state, ACTION_FAILED);
    assert_string_equal(rig_told(&r, id), "alert action_failed");
    assert_int_equal(rig_seen(&r, "POST", AT), 0);
    rig_close(&r);
}

/* A step that Defender did not take at first keeps to what holds when it is tried again. */
static void test_action__what_is_tried_again_keeps_to_what_holds_by_then(void **state)
{
    static const struct {
        const char *label, *source;
        int64_t set_back_ms;
        size_t posts;
    } rows[] = {
        {"as before", NULL, 0, 2},
        {"its source may only notify by now", "may: [notify]", 0, 1},
        {"its source is in shadow mode by now", "mode: shadow", 0, 1},
        {"the facts are of a time that is still to come", NULL, 20 * MINUTE_MS, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        open_with(&r, "tag: {add: seen}, email: {}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/tags", 1, 503, "");
        rig_says(&r, "POST", AT "/tags", 0, 200, MACHINE_DOC);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", AT "/tags"), 1);
        if (rows[i].source)
            engine_use(r.g, rig_source_with(&r, rows[i].source));
        atomic_fetch_sub(&r.hands.wall, rows[i].set_back_ms);
        if (rows[i].set_back_ms)
            assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT "/tags"), rows[i].posts);
        assert_int_equal(step_of(&r, id, 0).state, rows[i].posts == 2 ? STEP_DONE : STEP_FAILED);
        rig_close(&r);
    }
}

static void test_action__shadow_and_protection_withhold_each(void **state)
{
    static const char *const steps[] = {"scan: {}",
                                        "collect: {}",
                                        "restrict: {}",
                                        "unrestrict: {}",
                                        "stop_file: {sha1: " SHA1 "}",
                                        "tag: {add: seen}",
                                        "annotate: {comment: seen}",
                                        "release: {}"};
    static const char *const safety[] = {"safety: {mode: shadow}\n",
                                         "safety: {protected: [{machine.name: {glob: '*'}}]}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (size_t k = 0; k < 2; k++) {
            struct rig r;
            int64_t id;

            rig_open(&r, NULL);
            engine_use(r.g, rig_runtime(
                                &r, arena_fmt(r.arena, "%s%s", rules_of(&r, steps[i]), safety[k])));
            rig_afresh(&r);
            rig_says(&r, "GET", LIST, 0, 200, NOTHING);
            id = rig_push(&r, ALERT, MACHINE);
            (void)rig_work(&r);
            rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
            print_message("  %s\n", steps[i]);
            assert_int_equal(step_of(&r, id, 0).state, STEP_WITHHELD);
            assert_int_equal(rig_seen(&r, "POST", "/api"), 0);
            assert_int_equal(rig_seen(&r, "PATCH", "/api"), 0);
            assert_string_equal(rig_told(&r, id), "action_failed"); /* and people hear of it */
            rig_close(&r);
        }
}

/* ---- tags and alerts ---------------------------------------------------------------------------------- */

static void test_action__a_tag_is_given_and_taken_and_never_twice(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    engine_use(r.g, rig_runtime(&r, rules_of(&r, "tag: {add: seen, remove: clean}, email: {}")));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 2, 200,
             "{\"id\":\"" MACHINE "\",\"machineTags\":[\"clean\"]}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200,
             "{\"id\":\"" MACHINE "\",\"machineTags\":[\"clean\",\"seen\"]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    peer_script(r.peer, &(struct peer_answer){/* carried out, and the answer was lost */
                                              .method = "POST",
                                              .target = AT "/tags",
                                              .times = 1,
                                              .act = PEER_RESET});
    rig_says(&r, "POST", AT "/tags", 0, 200, "{\"id\":\"" MACHINE "\"}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(body_of(&r, "POST", AT "/tags"), "{\"Value\":\"seen\",\"Action\":\"Add\"}");
    rig_pass(&r, 30 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", AT "/tags"), 2); /* the second takes the other away */
    assert_string_equal(body_of(&r, "POST", AT "/tags"),
                        "{\"Value\":\"clean\",\"Action\":\"Remove\"}");
    assert_int_equal(step_of(&r, id, 0).state, STEP_DONE);
    assert_string_equal(rig_told(&r, id), "alert");
    rig_close(&r);
}

static void test_action__an_alert_is_written_on_once(void **state)
{
    static const struct {
        const char *step, *alert, *body; /* body NULL: nothing is to be written */
        const char *why;                 /* NULL: it is done */
    } rows[] = {
        {"annotate: {comment: 'seen by cordon', status: in_progress, assignee: a@b.example}", "",
         "{\"status\":\"InProgress\",\"assignedTo\":\"a@b.example\",\"comment\":\"seen by cordon\"}",
         NULL},
        {"annotate: {comment: 'seen by cordon', status: in_progress}",
         ",\"status\":\"InProgress\",\"comments\":[{\"comment\":\"other\"},{\"comment\":null}]",
         "{\"comment\":\"seen by cordon\"}", NULL},
        {"annotate: {comment: 'seen by cordon', status: resolved}",
         ",\"status\":\"Resolved\",\"comments\":[{\"comment\":\"seen by cordon\"}]", NULL, NULL},
        /* as it was sent: one line of a bounded length */
        {"annotate: {comment: \"seen\\nby cordon\\n\"}",
         ",\"comments\":[{\"comment\":\"seen by cordon \"}]", NULL, NULL},
        {"annotate: {comment: \"seen\\nby cordon\\n\"}",
         ",\"comments\":[{\"comment\":\"seen by cordon\"}]", NULL, NULL},
        {"annotate: {comment: '{{alert.mitre}}'}", ",\"mitreTechniques\":[]", NULL,
         "nothing to write: comment and assignee came out empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with_mail(&r, rows[i].step);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE
                           "\"%s}",
                           rows[i].alert));
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "PATCH", GET_ALERT, 0, 200, "{\"id\":\"" ALERT "\"}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %s\n", rows[i].step);
        assert_int_equal(rig_seen(&r, "PATCH", GET_ALERT), rows[i].body ? 1 : 0);
        assert_string_equal(body_of(&r, "PATCH", GET_ALERT), rows[i].body ? rows[i].body : "");
        assert_int_equal(step_of(&r, id, 0).state, rows[i].why ? STEP_FAILED : STEP_DONE);
        if (rows[i].why)
            assert_string_equal(step_of(&r, id, 0).why, rows[i].why);
        rig_close(&r);
    }
}

/* ---- conditions ---------------------------------------------------------------------------------------- */

static void test_action__steps_follow_what_came_before(void **state)
{
    static const struct {
        const char *steps;
        int status; /* of the answer to the tag */
        size_t comments;
        enum step_state second;
        const char *told;
    } rows[] = {
        {"{tag: {add: x}}, {annotate: {comment: c}, if: {tag: done}}, {email: {}}", 200, 1,
         STEP_DONE, "alert"},
        {"{tag: {add: x}}, {annotate: {comment: c}, if: {tag: done}}, {email: {}}", 403, 0,
         STEP_SKIPPED, "action_failed"},
        {"{tag: {add: x}}, {annotate: {comment: c}, if: {tag: failed}}, {email: {}}", 403, 1,
         STEP_DONE, "action_failed"},
        {"{tag: {add: x}}, {annotate: {comment: c}, if: {tag: failed}}, {email: {}}", 200, 0,
         STEP_SKIPPED, "alert"},
        {"{tag: {add: x}, on_failure: stop}, {annotate: {comment: c}}, {email: {}}", 403, 0,
         STEP_SKIPPED, "action_failed"},
        {"{tag: {add: x}, on_failure: continue}, {annotate: {comment: c}}, {email: {}}", 403, 1,
         STEP_DONE, "action_failed"},
        {"{tag: {add: x}, on_failure: stop}, {annotate: {comment: c}}, {email: {}}", 200, 1,
         STEP_DONE, "alert"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, rows[i].steps);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/tags", 0, rows[i].status, "{\"id\":\"" MACHINE "\"}");
        rig_says(&r, "PATCH", GET_ALERT, 0, 200, "{\"id\":\"" ALERT "\"}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %d %s\n", rows[i].status, rows[i].steps);
        assert_int_equal(rig_seen(&r, "PATCH", GET_ALERT), rows[i].comments);
        assert_int_equal(step_of(&r, id, 1).state, rows[i].second);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* An isolation that is left out because another step failed was wanted, and was not done: people hear that, and so does who
 * pushed the alert. */
static void test_action__an_isolation_that_a_failed_step_keeps_from_being_done_is_told(void **state)
{
    static const struct {
        const char *steps;
        int status; /* of the answer to the tag */
        const char *told;
        enum ending ends;
    } rows[] = {
        {"{tag: {add: x}, on_failure: stop}, {isolate: {}}, {email: {}}", 403,
         "not_isolated action_failed", ENDING_FAILED},
        {"{tag: {add: x}}, {isolate: {}, if: {tag: done}}, {email: {}}", 403,
         "not_isolated action_failed", ENDING_FAILED},
        {"{email: {}}, {tag: {add: x}, on_failure: stop}, {isolate: {}}", 403,
         "alert not_isolated action_failed", ENDING_FAILED},
        {"{tag: {add: x}, on_failure: stop}, {isolate: {}}", 403, "not_isolated action_failed",
         ENDING_FAILED},
        {"{tag: {add: x}}, {isolate: {}, if: {tag: failed}}, {email: {}}", 200, "alert",
         ENDING_TOLD}, /* the rule does not ask for it then */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct step_record *steps;
        struct case_record c;
        const char *why;
        size_t n = 0;
        struct rig r;
        int64_t id;

        open_with(&r, rows[i].steps);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/tags", 0, rows[i].status, "{\"id\":\"" MACHINE "\"}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %d %s\n", rows[i].status, rows[i].steps);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        c = rig_case(&r, id);
        assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
        assert_int_equal(ending_of(&c, NULL, steps, n, 0, &why), rows[i].ends);
        rig_close(&r);
    }
}

/* The scan waits until the machine is isolated, and is not done when it never is; the facts are read again by then. */
static void test_action__a_step_may_wait_for_the_isolation(void **state)
{
    static const struct {
        const char *status; /* how the isolation ends */
        size_t scans;
        enum step_state scan;
        const char *told;
    } rows[] = {
        {"Succeeded", 1, STEP_DONE, "requested isolated"},
        {"Failed", 0, STEP_SKIPPED, "requested not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, "{isolate: {}}, {scan: {}, if: {isolate: isolated}}, {email: {}}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 3, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"%s\","
                           "\"machineId\":\"" MACHINE
                           "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:13Z\","
                           "\"lastUpdateDateTimeUtc\":\"2025-01-07T10:30:13Z\"}",
                           rows[i].status));
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                 ACTION_DOC("b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e60", "RunAntiVirusScan", "Pending",
                            "null", "30:13"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(step_of(&r, id, 1).state, STEP_WAITING);
        assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
        assert_int_equal(rig_seen(&r, "POST", AT "/runAntiVirusScan"), 0);
        assert_string_equal(rig_told(&r, id), "requested");
        rig_pass(&r, HOUR_MS, 16 * MINUTE_MS);
        print_message("  %s\n", rows[i].status);
        assert_int_equal(rig_seen(&r, "POST", AT "/runAntiVirusScan"), rows[i].scans);
        assert_int_equal(step_of(&r, id, 1).state, rows[i].scan);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* The policy changes while a step waits: it is done as the policy in force says. */
static void test_action__a_step_that_waited_is_done_as_the_policy_in_force_says(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_with(&r, "{isolate: {}}, {scan: {}, if: {isolate: isolated}}, {email: {}}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 3, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
             ACTION_DOC("b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e60", "RunAntiVirusScan", "Pending",
                        "null", "30:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    engine_use(r.g, rig_runtime(&r, rules_of(&r, "{isolate: {}}, {scan: {type: full, comment: new},"
                                                 " if: {isolate: isolated}}, {email: {}}")));
    rig_pass(&r, HOUR_MS, 16 * MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", AT "/runAntiVirusScan"), 1);
    assert_non_null(strstr(body_of(&r, "POST", AT "/runAntiVirusScan"), "\"ScanType\":\"Full\""));
    assert_non_null(strstr(body_of(&r, "POST", AT "/runAntiVirusScan"), "\"Comment\":\"new\""));
    assert_non_null(strstr(step_of(&r, id, 1).args, "full"));
    rig_close(&r);
}

/* Once the machine is isolated the alert is read and judged again. What was done stays done, and what is not asked for
 * any more, or cannot be judged, is not done; nobody is told that the machine is not isolated. */
static void test_action__a_step_that_waited_is_judged_anew(void **state)
{
    static const struct {
        int status; /* of the second reading of the alert */
        const char *body;
        enum step_state scan;
        enum case_state ends;
        const char *told;
    } rows[] = {
        {200, "{\"id\":\"" ALERT "\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}",
         STEP_WITHHELD, CASE_DONE, "requested isolated"},
        {200, "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" OTHER_MACHINE "\"}",
         STEP_WITHHELD, CASE_DONE, "requested isolated"},
        {200, "{\"id\":\"" ALERT "\",\"severity\":\"High\"}", STEP_WITHHELD, CASE_DONE,
         "requested isolated"},
        {403, "{\"error\":{\"code\":\"Forbidden\"}}", STEP_WAITING, CASE_FAILED,
         "requested isolated action_failed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, "{isolate: {}}, {scan: {}, if: {isolate: isolated}}, {email: {}}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        id = rig_push(&r, ALERT, NULL);
        (void)rig_work(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, rows[i].status, rows[i].body);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200,
                 "{\"id\":\"" OTHER_MACHINE "\"}");
        rig_says(&r, "GET", LIST, 0, 200,
                 "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        print_message("  %d\n", rows[i].status);
        assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_string_equal(rig_case(&r, id).machine_id, MACHINE);
        assert_int_equal(rig_case(&r, id).state, rows[i].ends);
        assert_int_equal(step_of(&r, id, 0).state, STEP_DONE);
        assert_int_equal(step_of(&r, id, 1).state, rows[i].scan);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* The alert is of another machine by the time that it is read again: what is told of the isolation goes on naming the one
 * that is isolated, and is released. */
static void test_action__mails_go_on_naming_the_machine_that_was_isolated(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    open_with(&r, "{isolate: {}}, {scan: {}, if: {isolate: isolated}}, {email: {}}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    id = rig_push(&r, ALERT, NULL);
    (void)rig_work(&r);
    assert_non_null(strstr(rig_subject(&r, id), "on ws-114"));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" OTHER_MACHINE
             "\",\"computerDnsName\":\"other.corp.example\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200,
             "{\"id\":\"" OTHER_MACHINE "\",\"computerDnsName\":\"other.corp.example\"}");
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC("b9", "Unisolate", "Succeeded", "null", "13:13"));
    rig_pass(&r, 5 * MINUTE_MS, 10 * SECOND_MS);
    if (desk_release(r.g, &(struct desk_order){.id = rig_isolation(&r).id, .why = "clean"}, &e))
        fail_msg("%s", e.text);
    rig_pass(&r, 5 * MINUTE_MS, 10 * SECOND_MS);
    assert_non_null(strstr(rig_subject(&r, id), "[RELEASED]"));
    assert_non_null(strstr(rig_subject(&r, id), "on ws-114"));
    rig_close(&r);
}

/* Two alerts that ask for the same scan ask for one. */
static void test_action__the_same_scan_is_joined(void **state)
{
    static const char *const scans[] = {"scan: {}, email: {}", "scan: {type: full}, email: {}"};

    (void)state;
    for (size_t i = 0; i < sizeof scans / sizeof *scans; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, scans[i]);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                 action_doc(&r, "RunAntiVirusScan", "Pending"));
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", AT), 1);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT "da2_-1", 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        id = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", AT), 0);
        assert_int_equal(step_of(&r, id, 0).state, STEP_DONE);
        assert_string_equal(rig_told(&r, id), "alert");
        rig_close(&r);
    }
}

/* Each alert has people and webhooks of its own: those whose case found the package asked for already hear of it, too, once. */
static void test_action__what_came_of_it_is_told_to_those_who_joined(void **state)
{
    static const struct {
        const char *first, *others; /* what the rules tell, behind the package */
        const char *told;
    } rows[] = {
        {"email: {to: [a@x.example]}", "email: {to: [b@x.example, a@x.example]}",
         "0:a@x.example 1:b@x.example "},
        {"email: {to: [a@x.example]}", "webhook: {to: siem}", "0:a@x.example 1:webhook:siem "},
        {"email: {to: [a@x.example]}, webhook: {to: siem}", "webhook: {to: siem}",
         "0:webhook:siem 0:a@x.example "},
    };

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct notice_record *list;
        const char *told = "";
        int64_t ids[3];
        struct rig r;
        size_t n = 0;

        print_message("  %s, %s\n", rows[row].first, rows[row].others);
        rig_open(&r, NULL);
        engine_use(r.g, rig_runtime(
                            &r, arena_fmt(r.arena,
                                          "webhooks: {siem: {url: 'https://x.example/a', template: "
                                          "slack}}\n"
                                          "rules:\n"
                                          "  - {name: a, when: {alert.severity: High},"
                                          " do: [collect: {}, %s]}\n"
                                          "  - {name: b, do: [collect: {}, %s]}\n",
                                          rows[row].first, rows[row].others)));
        rig_afresh(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        for (int i = 0; i < 3; i++)
            rig_says(&r, "GET", arena_fmt(r.arena, GET_ALERT "da%d_-1", i), 0, 200,
                     arena_fmt(r.arena,
                               "{\"id\":\"da%d_-1\",\"severity\":\"%s\",\"machineId\":\"" MACHINE
                               "\"}",
                               i, i ? "Low" : "High"));
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/collectInvestigationPackage", 0, 201,
                 action_doc(&r, "CollectInvestigationPackage", "Pending"));
        rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 0, 200,
                 "{\"value\":\"\\\"https://packages.example/p?sig=abc\\\"\"}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 action_doc(&r, "CollectInvestigationPackage", "Succeeded"));
        for (int i = 0; i < 3; i++)
            ids[i] = rig_push(&r, arena_fmt(r.arena, "da%d_-1", i), MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT), 1);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(store_notice_list(r.store, r.arena, ids[i], &list, &n, NULL), ERR_OK);
            for (size_t k = 0; k < n; k++)
                for (size_t to = 0; to < list[k].n_recipients; to++)
                    if (strcmp(list[k].kind, "action_done") == 0)
                        told =
                            arena_fmt(r.arena, "%s%d:%s ", told, i, list[k].recipients[to].address);
        }
        assert_string_equal(told, rows[row].told);
        rig_close(&r);
    }
}

/* What is under way already is not asked for again; but another handler, machine or tenant is another matter. */
static void test_action__one_under_way_is_its_machines_and_handlers(void **state)
{
    static const char *const ends[] = {"/restrictCodeExecution", "/collectInvestigationPackage"};
    struct rig r;
    int64_t ids[4];

    (void)state;
    open_with(&r, "{restrict: {}}, {collect: {}}, {email: {}}");
    r.tenants = arena_fmt(r.arena,
                          "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_id: 6d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_secret_file: %s/secret\n    api_url: %s\n"
                          "    login_url: %s\n",
                          r.dir, peer_url(r.peer), peer_url(r.peer));
    engine_use(r.g, rig_runtime(&r, rules_of(&r, "{restrict: {}}, {collect: {}}, {email: {}}")));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
    for (int i = 0; i < 4; i++)
        rig_says(&r, "GET", arena_fmt(r.arena, GET_ALERT "da%d_-1", i), 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"da%d_-1\",\"severity\":\"High\",\"machineId\":\"%s\"}", i,
                           i == 2 ? OTHER_MACHINE : MACHINE));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200, "{\"id\":\"" OTHER_MACHINE "\"}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        rig_says(&r, "POST", arena_fmt(r.arena, "/api/machines/" MACHINE "%s", ends[i]), 0, 503,
                 "{}");
    ids[0] = rig_push(&r, "da0_-1", MACHINE);
    (void)rig_work(&r);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        assert_int_equal(
            rig_seen(&r, "POST", arena_fmt(r.arena, "/api/machines/" MACHINE "%s", ends[i])), 1);
    ids[1] = rig_push(&r, "da1_-1", MACHINE); /* the same, which is not taken yet */
    ids[2] = rig_push(&r, "da2_-1", OTHER_MACHINE);
    ids[3] = rig_push_to(&r, "fabrikam", "da3_-1", MACHINE, false);
    (void)rig_work(&r);
    for (int i = 0; i < 4; i++) {
        struct action_record *list;
        size_t n = 0;

        assert_int_equal(store_action_list(r.store, r.arena, ids[i], 9, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, i == 1 ? 0 : 2);
        assert_string_equal(rig_told(&r, ids[i]), "alert");
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        assert_int_equal(
            rig_seen(&r, "POST", arena_fmt(r.arena, "/api/machines/" MACHINE "%s", ends[i])), 2);
        assert_int_equal(
            rig_seen(&r, "POST", arena_fmt(r.arena, "/api/machines/" OTHER_MACHINE "%s", ends[i])),
            1);
    }
    rig_close(&r);
}

/* Another alert of a machine that is isolated, whose rule asks for more than that; and a case of a process before this one. */
static void test_action__who_joins_an_isolation_is_not_refused_the_rest(void **state)
{
    static const char *const alert =
        "{\"id\":\"%s\",\"severity\":\"High\",\"title\":\"%s\",\"machineId\":\"" MACHINE "\"}";
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n"
                 "  - {name: first, when: {alert.title: first}, do: [isolate: {}, email: {}]}\n"
                 "  - {name: act, do: [isolate: {}, collect: {}, email: {}]}\n");
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT "da2_-1", 0, 200, arena_fmt(r.arena, alert, "da2_-1", "second"));
    rig_says(&r, "GET", GET_ALERT, 0, 200, arena_fmt(r.arena, alert, ALERT, "first"));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "POST", AT "/collect", 0, 201,
             ACTION_DOC("a7", "CollectInvestigationPackage", "Pending", "null", "11:13"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, 1);
    id = rig_push(&r, "da2_-1", MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "POST", AT "/collect"), 1);
    assert_int_equal(the_action(&r, id).state, ACTION_PENDING);
    assert_string_equal(rig_told(&r, id), "requested");
    rig_close(&r);
}

/* Tokens, an alert of that severity, another one that stays High, and their machine with these tags. */
static void says_of_now(struct rig *r, const char *severity, const char *tags)
{
    static const char *const alert =
        "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"" MACHINE "\"}";

    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT "da2_-1", 0, 200, arena_fmt(r->arena, alert, "da2_-1", "High"));
    rig_says(r, "GET", GET_ALERT, 0, 200, arena_fmt(r->arena, alert, ALERT, severity));
    rig_says(r, "GET", GET_MACHINE, 0, 200,
             arena_fmt(r->arena, "{\"id\":\"" MACHINE "\",\"machineTags\":[%s]}", tags));
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
}

/* Defender has not taken it yet when the case is judged anew, as it is once its machine is isolated: what the new verdict does
 * not ask for any more leaves no more, unless another case asks for the same. */
static void test_action__what_a_new_verdict_does_not_ask_for_is_not_sent(void **state)
{
    static const struct {
        const char *label, *step, *tail, *severity, *tags;
        const char *reload; /* what the step is by the policy of then; NULL: the same */
        bool joined;
        const char *why; /* NULL: it is sent */
    } rows[] = {
        {"the same", "restrict: {}", "/restrictCodeExecution", "High", "", NULL, false, NULL},
        {"protected by now", "restrict: {}", "/restrictCodeExecution", "High", "\"no-isolate\"",
         NULL, false, "judged again: protected: machine.tags"},
        {"low by now", "restrict: {}", "/restrictCodeExecution", "Low", "", NULL, false,
         "asks for no restrict"},
        {"low by now, and another case is not", "restrict: {}", "/restrictCodeExecution", "Low", "",
         NULL, true, NULL},
        {"another policy", "restrict: {}", "/restrictCodeExecution", "High", "",
         "annotate: {comment: seen}", false, "asks for no restrict"},
        {"another scan", "scan: {}", "/runAntiVirusScan", "High", "", "scan: {type: full}", false,
         "asks for another scan: full"},
        {"the same scan", "scan: {type: full}", "/runAntiVirusScan", "High", "",
         "scan: {type: full, comment: new}", false, NULL},
        {"another file", "stop_file: {sha1: " SHA1 "}", "/StopAndQuarantineFile", "High", "",
         "stop_file: {sha1: " SHA1_2 "}", false, "asks for another stop_file: " SHA1_2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char *const policy =
            "rules:\n  - {name: act, when: {alert.severity: High}, do: [{%s}, {isolate: {}},"
            " {collect: {}, if: {isolate: isolated}}, {email: {}}]}\n"
            "  - {name: tell, do: [email: {}]}\n"
            "safety: {protected: [{machine.tags: [no-isolate]}]}\n";
        struct action_record *list;
        const char *target;
        size_t n = 0;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        engine_use(r.g, rig_runtime(&r, arena_fmt(r.arena, policy, rows[i].step)));
        target = arena_fmt(r.arena, AT "%s", rows[i].tail);
        says_of_now(&r, "High", "");
        rig_says(&r, "POST", target, 0, 503, "{}");
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(the_action(&r, id).state, ACTION_REQUESTED);
        hands_turn(&r.hands, 1);
        if (rows[i].joined)
            (void)rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        if (rows[i].reload)
            engine_use(r.g, rig_runtime(&r, arena_fmt(r.arena, policy, rows[i].reload)));
        says_of_now(&r, rows[i].severity, rows[i].tags);
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_says(&r, "POST", AT "/collect", 0, 503, "{}");
        rig_says(
            &r, "POST", target, 0, 201,
            arena_fmt(
                r.arena,
                "{\"id\":\"a7\",\"type\":\"%c%s\",\"status\":\"Pending\",\"creationDateTimeUtc\":\"2025-01-07T10:11:13Z\","
                "\"machineId\":\"" MACHINE "\"}",
                rows[i].tail[1] & ~0x20, &rows[i].tail[2]));
        rig_says(&r, "GET", GET_ACTION "a7", 0, 503, "{}");
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_int_equal(rig_seen(&r, "POST", target), rows[i].why ? 0 : 1);
        assert_int_equal(store_action_list(r.store, r.arena, id, 10, &list, &n, NULL), ERR_OK);
        assert_true(n > 0);
        assert_int_equal(list[0].state, rows[i].why ? ACTION_FAILED : ACTION_PENDING);
        if (rows[i].why)
            assert_non_null(strstr(list[0].why, rows[i].why));
        if (rows[i].why)
            assert_non_null(strstr(rig_told(&r, id), "action_failed"));
        rig_close(&r);
    }
}

/* A process that starts, or another replica, does not know how long ago the case was judged by a clock that nobody sets: it is
 * read again, and what is so by now is what counts. */
static void test_action__a_start_sends_what_is_asked_for_still(void **state)
{
    static const struct {
        const char *severity, *tags;
        const char *why; /* NULL: it is sent */
    } rows[] = {{"High", "", NULL},
                {"High", "\"no-isolate\"", "judged again: protected: machine.tags"},
                {"Low", "", "asks for no restrict"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char *const policy =
            "rules:\n  - {name: act, when: {alert.severity: High}, do: [restrict: {}, email: {}]}\n"
            "  - {name: tell, do: [email: {}]}\n"
            "safety: {protected: [{machine.tags: [no-isolate]}]}\n";
        struct runtime *rt;
        struct rig r;
        int64_t id;

        rig_open(&r, policy);
        says_of_now(&r, "High", "");
        rig_says(&r, "POST", AT "/restrict", 0, 503, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(the_action(&r, id).state, ACTION_REQUESTED);
        rt = rig_runtime(&r, policy);
        engine_free(r.g);
        assert_int_equal(engine_new(r.store, r.rest, &r.hands.clock, rt, &r.g, NULL), ERR_OK);
        assert_int_equal(store_work_recover(r.store, NULL), ERR_OK);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_pass(&r, MINUTE_MS, SECOND_MS); /* the alert cannot be read */
        assert_int_equal(the_action(&r, id).state, ACTION_REQUESTED);
        assert_int_equal(rig_seen(&r, "POST", AT "/restrict"), 0);
        says_of_now(&r, rows[i].severity, rows[i].tags);
        rig_says(&r, "POST", AT "/restrict", 0, 201,
                 ACTION_DOC("a7", "RestrictCodeExecution", "Pending", "null", "11:13"));
        rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT "/restrict"), rows[i].why ? 0 : 1);
        assert_int_equal(the_action(&r, id).state, rows[i].why ? ACTION_FAILED : ACTION_PENDING);
        if (rows[i].why)
            assert_non_null(strstr(the_action(&r, id).why, rows[i].why));
        assert_string_equal(rig_told(&r, id), rows[i].why ? "alert action_failed" : "alert");
        rig_close(&r);
    }
}

/* A person drops the case before Defender has taken what it asks for: that is not done any more, unless another case relies
 * on it. What was taken is followed. */
static void test_action__what_a_dropped_case_wanted_is_not_asked_for(void **state)
{
    static const struct {
        int answer;
        bool joined;
        size_t posts;
        enum action_state ends;
        const char *told;
    } rows[] = {
        {409, false, 1, ACTION_FAILED, "requested"},
        {409, true, 2, ACTION_PENDING, "requested"},
        {201, false, 1, ACTION_PENDING, "requested"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk_order drop = {.who = "maria", .why = "a drill"};
        struct err e = {0};
        struct rig r;

        open_with(&r, "restrict: {}, isolate: {}, email: {}");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "GET", GET_ALERT "da2_-1", 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "POST", AT "/restrictCodeExecution", 1, rows[i].answer,
                 action_doc(&r, "RestrictCodeExecution", "Pending"));
        rig_says(&r, "POST", AT "/restrictCodeExecution", 0, 201,
                 action_doc(&r, "RestrictCodeExecution", "Pending"));
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("a1", "Isolate", "Pending", "null", "11:12"));
        rig_says(&r, "GET", GET_ACTION "a1", 0, 200,
                 ACTION_DOC("a1", "Isolate", "Pending", "null", "11:12"));
        rig_says(&r, "GET", GET_ACTION, 0, 200, action_doc(&r, "RestrictCodeExecution", "Pending"));
        drop.id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        if (rows[i].joined) {
            hands_turn(&r.hands, 1);
            (void)rig_push(&r, "da2_-1", MACHINE);
            (void)rig_work(&r);
        }
        if (desk_drop(r.g, &drop, &e))
            fail_msg("%s", e.text);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", AT "/restrictCodeExecution"), rows[i].posts);
        assert_int_equal(the_action(&r, drop.id).state, rows[i].ends);
        assert_string_equal(rig_told(&r, drop.id), rows[i].told);
        rig_close(&r);
    }
}

/* Where a rule tells nobody people hear of a step that was not done all the same; and once, however often the case
 * is looked at. */
static void test_action__what_was_not_done_is_told_once(void **state)
{
    static const struct {
        const char *steps, *told;
    } rows[] = {
        {"{tag: {add: x}}", "action_failed"},
        {"{tag: {add: x}}, {isolate: {}}, {scan: {}, if: {isolate: isolated}}, {email: {}}",
         "requested action_failed isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_with(&r, rows[i].steps);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/tags", 0, 403, "{}");
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                 ACTION_DOC("b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e60", "RunAntiVirusScan", "Pending",
                            "null", "30:13"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, HOUR_MS, 16 * MINUTE_MS);
        print_message("  %s\n", rows[i].steps);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_int_equal(rig_seen(&r, "POST", AT "/runAntiVirusScan"), i);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* What a pause withholds was not done either: the rule says what follows from that, and what failed beside it is
 * told. */
static void test_action__what_is_withheld_was_not_done(void **state)
{
    static const struct {
        const char *steps;
        size_t scans;
        enum case_state ends;
        const char *told;
    } rows[] = {
        {"{isolate: {}}, {scan: {}}, {email: {}}", 1, CASE_DONE, "not_isolated"},
        {"{isolate: {}, on_failure: stop}, {scan: {}}, {email: {}}", 0, CASE_DONE, "not_isolated"},
        {"{isolate: {}, on_failure: ask}, {scan: {}}, {email: {}}", 0, CASE_WAITING, "question"},
        {"{tag: {add: x}}, {isolate: {}}, {email: {}}", 0, CASE_DONE, "not_isolated action_failed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        struct rig r;
        int64_t id;

        open_with(&r, rows[i].steps);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", AT "/tags", 0, 403, "{}");
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                 action_doc(&r, "RunAntiVirusScan", "Pending"));
        assert_int_equal(desk_pause(r.g, &(struct desk_order){.who = "maria"}, &e), ERR_OK);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %s\n", rows[i].steps);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(rig_seen(&r, "POST", AT "/runAntiVirusScan"), rows[i].scans);
        assert_int_equal(rig_case(&r, id).state, rows[i].ends);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* A package whose request was lost is found complete: it comes with its link all the same. */
static void test_action__a_lost_package_comes_with_its_link(void **state)
{
    struct rig r;
    const char *body;
    char own[100] = "";
    int64_t id;

    (void)state;
    open_with_mail(&r, "collect: {}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = AT "/collectInvestigationPackage",
                                              .times = 1,
                                              .act = PEER_RESET});
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(the_action(&r, id).posted > 0);
    body = strstr(body_of(&r, "POST", AT), "\"ExternalId\":");
    assert_non_null(body);
    assert_int_equal(sscanf(body, "\"ExternalId\":%99[^,}]", own), 1);
    peer_forget(r.peer);
    rig_says(&r, "GET", LIST, 0, 200,
             arena_fmt(r.arena,
                       "{\"value\":[" ACTION_DOC(ACTION, "CollectInvestigationPackage", "Succeeded",
                                                 "%s", "11:12") "]}",
                       own));
    rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 0, 200,
             "{\"value\":\"\\\"https://packages.example/p?sig=abc\\\"\"}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             action_doc(&r, "CollectInvestigationPackage", "Succeeded"));
    rig_pass(&r, 2 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", AT), 0);
    assert_int_equal(rig_seen(&r, "GET", GET_ACTION ACTION "/getPackageUri"), 1);
    assert_int_equal(the_action(&r, id).state, ACTION_DONE);
    assert_string_equal(rig_told(&r, id), "alert action_done");
    rig_close(&r);
}

/* Who took a tenant out of the configuration hears of what was under way in it. */
static void test_action__one_of_a_tenant_that_is_gone_is_told(void **state)
{
    static const bool posted[] = {false, true};

    (void)state;
    for (size_t i = 0; i < sizeof posted / sizeof *posted; i++) {
        struct rig r;
        int64_t id;

        open_with_mail(&r, "scan: {}");
        rig_says(&r, "GET", LIST, 0, posted[i] ? 200 : 503, NOTHING);
        rig_says(&r, "POST", AT "/runAntiVirusScan", 0, 201,
                 action_doc(&r, "RunAntiVirusScan", "Pending"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(the_action(&r, id).state, posted[i] ? ACTION_PENDING : ACTION_REQUESTED);
        r.tenant = "fabrikam";
        engine_use(r.g, rig_runtime(&r, rules_of(&r, "scan: {}, email: {}")));
        peer_forget(r.peer);
        rig_pass(&r, DAY_MS, HOUR_MS); /* the tenant may come back, for what was asked for */
        assert_int_equal(the_action(&r, id).state, posted[i] ? ACTION_PENDING : ACTION_FAILED);
        rig_pass(&r, 4 * DAY_MS, HOUR_MS);
        assert_int_equal(the_action(&r, id).state, ACTION_FAILED);
        assert_string_equal(rig_told(&r, id), "alert action_failed");
        assert_non_null(strstr(the_action(&r, id).why, "tenant 'contoso' is no longer configured"));
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_action__each_is_asked_for_once_in_defenders_spelling_and_followed),
        cmocka_unit_test(test_action__a_look_before_a_pause_is_none),
        cmocka_unit_test(test_action__a_link_is_asked_for_twice_a_minute),
        cmocka_unit_test(test_action__a_throttled_link_holds_no_isolation_up),
        cmocka_unit_test(test_action__how_it_ended_badly_is_told),
        cmocka_unit_test(test_action__one_under_way_is_adopted),
        cmocka_unit_test(test_action__a_quick_scan_under_way_is_not_the_full_one_that_a_rule_wants),
        cmocka_unit_test(test_action__a_full_scan_beside_a_quick_one_of_ours_is_refused),
        cmocka_unit_test(test_action__a_lost_answer_is_looked_for),
        cmocka_unit_test(test_action__a_lost_answer_rests_though_its_record_failed_once),
        cmocka_unit_test(test_action__a_clock_set_back_delays_no_look),
        cmocka_unit_test(test_action__the_same_scan_is_joined),
        cmocka_unit_test(test_action__what_came_of_it_is_told_to_those_who_joined),
        cmocka_unit_test(test_action__one_under_way_is_its_machines_and_handlers),
        cmocka_unit_test(test_action__who_joins_an_isolation_is_not_refused_the_rest),
        cmocka_unit_test(test_action__a_start_sends_what_is_asked_for_still),
        cmocka_unit_test(test_action__what_a_new_verdict_does_not_ask_for_is_not_sent),
        cmocka_unit_test(test_action__what_a_dropped_case_wanted_is_not_asked_for),
        cmocka_unit_test(test_action__what_was_not_done_is_told_once),
        cmocka_unit_test(test_action__what_is_withheld_was_not_done),
        cmocka_unit_test(test_action__a_lost_package_comes_with_its_link),
        cmocka_unit_test(test_action__one_of_a_tenant_that_is_gone_is_told),
        cmocka_unit_test(
            test_action__an_isolation_that_a_failed_step_keeps_from_being_done_is_told),
        cmocka_unit_test(test_action__a_step_may_wait_for_the_isolation),
        cmocka_unit_test(test_action__a_step_that_waited_is_done_as_the_policy_in_force_says),
        cmocka_unit_test(test_action__a_step_that_waited_is_judged_anew),
        cmocka_unit_test(test_action__mails_go_on_naming_the_machine_that_was_isolated),
        cmocka_unit_test(test_action__each_file_is_stopped),
        cmocka_unit_test(test_action__another_file_is_no_answer),
        cmocka_unit_test(test_action__a_retry_after_of_a_day_keeps_nobody_from_the_news),
        cmocka_unit_test(test_action__a_mail_does_not_wait_a_day_for_a_tag),
        cmocka_unit_test(test_action__a_clock_that_is_ahead_keeps_no_link_from_anybody),
        cmocka_unit_test(test_action__a_package_without_its_link_is_not_called_unknown),
        cmocka_unit_test(test_action__old_facts_are_no_grounds),
        cmocka_unit_test(test_action__a_lost_answer_is_not_called_a_failure),
        cmocka_unit_test(test_action__somebody_elses_end_is_not_ours),
        cmocka_unit_test(test_action__another_file_under_way_is_not_adopted),
        cmocka_unit_test(test_action__one_without_an_end_is_told),
        cmocka_unit_test(test_action__a_clock_that_leaps_gives_nothing_up),
        cmocka_unit_test(test_action__after_a_long_pause_one_failed_look_gives_nothing_up),
        cmocka_unit_test(test_action__calls_that_others_use_up_give_nothing_up),
        cmocka_unit_test(test_action__links_to_packages_are_two_a_minute),
        cmocka_unit_test(test_action__what_is_tried_again_keeps_to_what_holds_by_then),
        cmocka_unit_test(test_action__shadow_and_protection_withhold_each),
        cmocka_unit_test(test_action__a_tag_is_given_and_taken_and_never_twice),
        cmocka_unit_test(test_action__an_alert_is_written_on_once),
        cmocka_unit_test(test_action__steps_follow_what_came_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
