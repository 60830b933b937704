/* test_isolation.c - from the look to the end of an isolation: what Defender is asked, what the ledger says,
 * and what people are told, for each answer of Defender's. */
#include "engine_kit.h"

#include "desk.h"
#include "mime_read.h"
#include "reconcile.h"

#define OTHER_ALERT "da637_2"
#define OTHER_ALERT_DOC                                                                            \
    "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"High\",\"title\":\"x\",\"machineId\":\"" MACHINE   \
    "\"}"

static const char *list_of(struct rig *r, const char *actions)
{
    return arena_fmt(r->arena, "{\"value\":[%s]}", actions);
}

/* A pushed case whose isolation was posted and whose answer was lost. */
static int64_t lose_answer(struct rig *r)
{
    int64_t id;

    rig_afresh(r);
    rig_says(r, "GET", LIST, 1, 200, NOTHING);
    peer_script(r->peer, &(struct peer_answer){
                             .method = "POST", .target = ISOLATE, .times = 1, .act = PEER_RESET});
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    assert_int_equal(rig_seen(r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(r).state, ISOLATION_REQUESTED);
    assert_true(rig_isolation(r).posted > 0);
    return id;
}

static const char *own(struct rig *r)
{
    char id[ID_TEXT_SIZE];

    return arena_fmt(r->arena, "\"cordon-%s\"", id_format(rig_isolation(r).id, id));
}

/* An action of ours, made two seconds after the hands' start. */
static const char *own_action(struct rig *r, const char *status)
{
    return arena_fmt(r->arena,
                     "{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"%s\",\"machineId\":"
                     "\"" MACHINE "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:14Z\","
                     "\"lastUpdateDateTimeUtc\":\"2025-01-07T10:11:14Z\",\"externalId\":%s}",
                     status, own(r));
}

/* ---- the look ------------------------------------------------------------------------------------ */

/* One row per thing that the machine's actions can say before anything is asked for. */
static void test_isolation__the_look_decides(void **state)
{
    static const struct {
        const char *label, *actions;
        size_t posts;
        enum isolation_state ends;
        const char *told;
        bool none; /* no isolation in the ledger */
    } rows[] = {
        {"nothing", "", 1, ISOLATION_PENDING, "requested", false},
        {"an isolation in force", ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00"), 0,
         ISOLATION_ISOLATED, "isolated", false},
        {"an isolation under way", ACTION_DOC("a1", "Isolate", "Pending", "null", "01:00"), 0,
         ISOLATION_PENDING, "requested", false},
        {"one in a state nobody knows", ACTION_DOC("a1", "Isolate", "Paused", "null", "01:00"), 0,
         ISOLATION_PENDING, "requested", false},
        {"a release under way",
         ACTION_DOC("a2", "Unisolate", "InProgress", "null",
                    "05:00") "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00"),
         0, ISOLATION_ISOLATED, "not_isolated", false},
        {"a release under way, of what nobody knows",
         ACTION_DOC("a2", "Unisolate", "InProgress", "null", "05:00"), 0, ISOLATION_FAILED,
         "not_isolated", true},
        {"a release that is over",
         ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                    "05:00") "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00"),
         1, ISOLATION_PENDING, "requested", false},
        {"a release that failed",
         ACTION_DOC("a2", "Unisolate", "Failed", "null",
                    "05:00") "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00"),
         0, ISOLATION_ISOLATED, "isolated", false},
        {"an isolation that failed", ACTION_DOC("a1", "Isolate", "Failed", "null", "01:00"), 1,
         ISOLATION_PENDING, "requested", false},
        {"a queued isolation behind a release",
         ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                    "05:00") "," ACTION_DOC("a1", "Isolate", "Pending", "null", "01:00"),
         0, ISOLATION_PENDING, "requested", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, rows[i].actions));
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %s\n", rows[i].label);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        if (rows[i].none)
            assert_int_equal(rig_isolation(&r).id, 0);
        else
            assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_int_equal(rig_case(&r, id).state,
                         rows[i].ends == ISOLATION_PENDING ? CASE_WAITING : CASE_DONE);
        rig_close(&r);
    }
}

#define RELEASING                                                                                  \
    ACTION_DOC("a2", "Unisolate", "Pending", "null", "11:30")                                      \
    "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00")
#define FREE                                                                                       \
    DONE_DOC("a2", "Unisolate", "11:30", "30:00")                                                  \
    "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00")

/* Nothing is asked for against somebody who is releasing the machine at Defender; but until that is done, which may take days where
 * it is absent, the machine is isolated, and nobody is told that it is not. */
static void test_isolation__what_somebody_is_releasing_is_not_called_free(void **state)
{
    (void)state;
    for (int own_run = 0; own_run < 2; own_run++) {
        struct isolation_record i;
        struct rig r;
        int64_t id;

        print_message("  %s\n", own_run ? "found by its own run" : "found before it is asked for");
        rig_open(&r, NULL);
        rig_afresh(&r);
        if (own_run) {
            rig_says(&r, "GET", LIST, 1, 200, NOTHING);
            rig_says(&r, "POST", ISOLATE, 1, 429, "{}");
        }
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, RELEASING));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 5 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), own_run);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_non_null(strstr(rig_subject(&r, id),
                               "[NOT ISOLATED: somebody is releasing the machine at Defender] "
                               "Isolated already, not for this alert:"));
        assert_null(strstr(rig_words(&r, id), "The machine is NOT isolated"));
        i = rig_isolation(&r);
        assert_int_equal(i.state, ISOLATION_ISOLATED);
        assert_true(i.adopted);
        assert_int_equal(i.case_id, 0);
        assert_string_equal(i.action_id, "a1");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, FREE));
        rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
        rig_close(&r);
    }
}

/* Ours had no answer, and isolates the machine; somebody is releasing that by now. It is isolated until he has. */
static void test_isolation__ours_that_somebody_is_releasing_is_ours(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_answer(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             arena_fmt(r.arena, "{\"value\":[%s,%s]}",
                       ACTION_DOC("a2", "Unisolate", "Pending", "null", "11:30"),
                       own_action(&r, "Succeeded")));
    rig_pass(&r, 2 * MINUTE_MS, 20 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_false(rig_isolation(&r).adopted);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             arena_fmt(r.arena, "{\"value\":[%s,%s]}",
                       DONE_DOC("a2", "Unisolate", "11:30", "30:00"), own_action(&r, "Succeeded")));
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    rig_close(&r);
}

/* ---- the POST ------------------------------------------------------------------------------------- */

/* Defender takes no isolation without a comment; what an alert says must not keep one from leaving. */
static void test_isolation__a_comment_that_shows_nothing_is_one_of_ours(void **state)
{
    static const char *const titles[] = {"", "   ", "\\t\\n\\u0007", "\xc2\xa0\xe2\x80\x8b"};

    (void)state;
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        const struct peer_request *q;
        struct rig r;

        rig_open(&r, "rules:\n  - {name: contain, do: [isolate: {comment: "
                     "'{{alert.title}}{{alert.mitre}}'}, email: {}]}\n");
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ALERT "\",\"machineId\":\"" MACHINE
                           "\",\"mitreTechniques\":[\"%s\"],\"title\":\" \"}",
                           titles[i]));
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        q = peer_request_for(r.peer, ISOLATE);
        assert_non_null(q);
        assert_non_null(strstr(q->body, "{\"Comment\":\"cordon\","));
        rig_close(&r);
    }
}

static void test_isolation__what_an_answer_to_the_post_means(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum isolation_state ends;
        bool unanswered; /* it may have been carried out */
    } rows[] = {
        {201, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"), ISOLATION_PENDING, false},
        {200, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"), ISOLATION_ISOLATED,
         false},
        {201, ACTION_DOC(ACTION, "Unisolate", "Pending", "null", "11:12"), ISOLATION_REQUESTED,
         true},
        {201, "{", ISOLATION_REQUESTED, true},
        {400, "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"m\"}}",
         ISOLATION_REQUESTED, false},
        {400, "{\"error\":{\"code\":\"OsPlatformNotSupported\",\"message\":\"m\"}}",
         ISOLATION_FAILED, false},
        {403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"m\"}}", ISOLATION_FAILED, false},
        {404, "{\"error\":{\"code\":\"ResourceNotFound\",\"message\":\"m\"}}", ISOLATION_FAILED,
         false},
        {429, "{\"error\":{\"code\":\"429\",\"message\":\"in 8 seconds\"}}", ISOLATION_REQUESTED,
         false},
        {500, "{}", ISOLATION_REQUESTED, true},
        {502, "<html>", ISOLATION_REQUESTED, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, rows[i].status, rows[i].body);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        print_message("  %d %.40s\n", rows[i].status, rows[i].body);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_int_equal(rig_isolation(&r).posted != 0, rows[i].unanswered);
        if (rows[i].ends == ISOLATION_FAILED)
            assert_string_equal(rig_told(&r, id), "not_isolated");
        else if (rows[i].ends == ISOLATION_REQUESTED && !rows[i].unanswered)
            assert_string_equal(rig_told(&r, id), "late"); /* Defender took nothing */
        else if (rows[i].ends != ISOLATION_ISOLATED)
            assert_string_equal(rig_told(&r, id), "requested");
        rig_close(&r);
    }
}

/* ---- an answer that was lost -------------------------------------------------------------------------- */

/* Whatever became of a request whose answer was lost, it is found by its id and never sent again. */
static void test_isolation__a_lost_request_that_ended_badly_is_not_sent_again(void **state)
{
    static const char *const ends[] = {"Failed", "Cancelled", "TimeOut"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        id = lose_answer(&r);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, own_action(&r, ends[i])));
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "12:12"));
        rig_pass(&r, 2 * MINUTE_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        assert_int_equal(rig_isolation(&r).lapsed > 0, strcmp(ends[i], "TimeOut") == 0);
        assert_string_equal(rig_told(&r, id), "requested not_isolated");
        rig_close(&r);
    }
}

/* It came, and somebody has released the machine before anybody could look: that is what people are told, and not that the
 * machine could not do it. */
static void test_isolation__a_lost_request_that_was_carried_out_and_released_is_told_so(
    void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_answer(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, arena_fmt(r.arena, "%s,%s",
                                   ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "11:20"),
                                   own_action(&r, "Succeeded"))));
    rig_pass(&r, 2 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested not_isolated");
    assert_non_null(strstr(rig_subject(&r, id), "it was isolated, and released at Defender since"));
    rig_close(&r);
}

/* The request never came, and a colleague isolated the machine in the portal then: where our ids do not come back, that is
 * nothing of ours all the same, which a rule might end by itself. */
static void test_isolation__what_a_colleague_did_in_the_portal_is_not_taken_for_ours(void **state)
{
    static const struct {
        const char *source;
        bool adopted;
    } rows[] = {{"Portal", true},     {"portal", true},       {"BulkAction", true},
                {"PublicApi", false}, {"Unspecified", false}, {"SomethingNew", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_open(&r, NULL);
        (void)lose_answer(&r);
        rig_says(
            &r, "GET", LIST, 0, 200,
            list_of(&r, arena_fmt(r.arena,
                                  "{\"id\":\"a7\",\"type\":\"Isolate\",\"status\":\"Succeeded\","
                                  "\"machineId\":\"" MACHINE
                                  "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:20Z\","
                                  "\"lastUpdateDateTimeUtc\":\"2025-01-07T10:11:20Z\","
                                  "\"requestSource\":\"%s\"}",
                                  rows[i].source)));
        rig_pass(&r, 20 * SECOND_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_int_equal(rig_isolation(&r).adopted, rows[i].adopted);
        rig_close(&r);
    }
}

/* Somebody asked for another beside it. Ours is the one to go by as long as it is under way or in force: what becomes of
 * theirs says nothing of it. */
static void test_isolation__somebody_elses_beside_our_lost_one_does_not_hide_it(void **state)
{
    static const struct {
        const char *ours, *source, *action, *told;
        enum isolation_state is;
        bool adopted;
    } rows[] = {
        {"Succeeded", "Portal", ACTION, "requested isolated", ISOLATION_ISOLATED, false},
        {"Succeeded", "PublicApi", ACTION, "requested isolated", ISOLATION_ISOLATED, false},
        {"Pending", "Portal", ACTION, "requested", ISOLATION_PENDING, false},
        {"Pending", "PublicApi", ACTION, "requested", ISOLATION_PENDING, false},
        {"Failed", "Portal", "a7", "requested", ISOLATION_PENDING, true},
        {"Failed", "PublicApi", "a7", "requested", ISOLATION_PENDING, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  ours: %s, %s\n", rows[i].ours, rows[i].source);
        rig_open(&r, NULL);
        id = lose_answer(&r);
        rig_says(&r, "GET", "/api/machineactions/", 0, 503, "");
        rig_says(&r, "GET", LIST, 0, 200,
                 list_of(&r, arena_fmt(r.arena,
                                       "{\"id\":\"a7\",\"type\":\"Isolate\",\"status\":\"Pending\","
                                       "\"machineId\":\"" MACHINE
                                       "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:20Z\","
                                       "\"requestSource\":\"%s\"},%s",
                                       rows[i].source, own_action(&r, rows[i].ours))));
        rig_pass(&r, 20 * SECOND_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_string_equal(rig_isolation(&r).action_id, rows[i].action);
        assert_int_equal(rig_isolation(&r).state, rows[i].is);
        assert_int_equal(rig_isolation(&r).adopted, rows[i].adopted);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* Where our ids do not come back, a later one that ended badly says nothing of the one that isolates the machine: by its time
 * that is ours, and ours to release. */
static void test_isolation__one_that_failed_beside_ours_does_not_make_ours_somebody_elses(
    void **state)
{
    static const struct {
        const char *status;
        enum isolation_state is;
    } rows[] = {{"Succeeded", ISOLATION_ISOLATED}, {"Pending", ISOLATION_PENDING}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_open(&r, NULL);
        (void)lose_answer(&r);
        rig_says(&r, "GET", "/api/machineactions/", 0, 503, "");
        rig_says(
            &r, "GET", LIST, 0, 200,
            list_of(
                &r,
                arena_fmt(r.arena, "%s,%s", ACTION_DOC("a7", "Isolate", "Failed", "null", "11:20"),
                          arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "%s", "null", "11:14"),
                                    rows[i].status))));
        rig_pass(&r, 20 * SECOND_MS, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_string_equal(rig_isolation(&r).action_id, ACTION);
        assert_int_equal(rig_isolation(&r).state, rows[i].is);
        assert_false(rig_isolation(&r).adopted);
        rig_close(&r);
    }
}

/* A POST that hung for a minute has just been given up: a look at once might come before it. */
static void test_isolation__settles_from_giving_up_not_from_sending(void **state)
{
    struct rig r;
    struct work w;
    int64_t posted;

    (void)state;
    rig_open(&r, NULL);
    (void)lose_answer(&r);
    posted = rig_isolation(&r).posted;
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    assert_false(rig_claim(&r, WORK_ISOLATION, &w));
    /* A crash: the row stands there with `posted`, and its process ended only now. */
    hands_turn(&r.hands, 60 * SECOND_MS);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    assert_int_equal(store_work_recover(r.store, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).posted, posted);
    hands_turn(&r.hands, 11 * SECOND_MS); /* now it would be there, or never: it is sent anew */
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "12:30"));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", LIST), 2);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 2);
    rig_close(&r);
}

/* The clock is set in between, and no list shows yet what came of the request. */
static void test_isolation__a_lost_answer_rests_whatever_the_wall_clock_says(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)lose_answer(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    hands_turn(&r.hands, 2 * SECOND_MS);
    atomic_fetch_add(&r.hands.wall, 2 * MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    hands_turn(&r.hands, 8 * SECOND_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 2);
    rig_close(&r);
}

/* And by a process that starts meanwhile: it was not there when the request left. */
static void test_isolation__a_start_looks_at_no_request_of_before_too_early(void **state)
{
    struct runtime *rt;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)lose_answer(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    hands_turn(&r.hands, SECOND_MS);
    rt = rig_runtime(&r, RULES_ISOLATE_AND_MAIL);
    engine_free(r.g);
    assert_int_equal(engine_new(r.store, r.rest, &r.hands.clock, rt, &r.g, NULL), ERR_OK);
    assert_int_equal(store_work_recover(r.store, NULL), ERR_OK);
    atomic_fetch_add(&r.hands.wall, 2 * MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    hands_turn(&r.hands, WORK_SETTLE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 2);
    rig_close(&r);
}

static struct rig *late; /* once it has seen an isolate, two minutes have passed */

static int64_t late_wall(const struct clock *c)
{
    return hands_wall(c) + (rig_seen(late, "POST", "/api/machines/") ? 2 * MINUTE_MS : 0);
}

/* The answer is waited for as long as it takes: the request rests from then on. */
static void test_isolation__an_answer_that_is_lost_late_rests_from_then_on(void **state)
{
    struct rig r;
    int64_t lost;

    (void)state;
    rig_open(&r, NULL);
    late = &r;
    r.hands.clock.wall_ms = late_wall;
    (void)lose_answer(&r);
    lost = clock_wall_ms(&r.hands.clock);
    assert_int_equal(rig_isolation(&r).posted, lost);
    r.hands.clock.wall_ms = hands_wall;
    rig_close(&r);
}

/* cordon gave up on it, and it came to pass all the same: the next alert finds it, and asks for no second one. */
static void test_isolation__one_that_was_given_up_and_is_in_force_is_adopted(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    rig_takes_isolate(&r, 0);
    rig_says(&r, "GET", GET_ACTION, 0, 500, "{}");
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 5 * DAY_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200, OTHER_ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    id = rig_push(&r, OTHER_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "isolated");
    rig_close(&r);
}

/* The same when that it was given up could not be written down: the row says still when it was sent. And another
 * alert, whose look shows nothing yet either, hurries nobody. */
static void test_isolation__a_lost_answer_rests_though_its_record_failed_once(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200, OTHER_ALERT_DOC);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 2, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "12:12")));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "12:12"));
    (void)rig_push(&r, ALERT, MACHINE);
    rig_lose_unrecorded(&r, "isolations", ISOLATE);
    rig_says(&r, "POST", ISOLATE, 0, 201, ACTION_DOC("b2", "Isolate", "Pending", "null", "12:14"));
    rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1); /* not before it can be seen */
    (void)rig_push(&r, OTHER_ALERT, MACHINE);
    rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 2); /* the other alert's */
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    rig_pass(&r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 3);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* While nobody knows whether a request was carried out, nobody is told that it was not. */
static void test_isolation__an_unknown_request_is_looked_for_longer_than_it_is_asked_for(
    void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_answer(&r);
    rig_says(&r, "GET", LIST, 0, 503, "");
    rig_pass(&r, 2 * HOUR_MS, 5 * MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    assert_string_equal(rig_told(&r, id), "requested late");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, list_of(&r, own_action(&r, "Succeeded")));
    rig_pass(&r, 30 * MINUTE_MS, 5 * MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested late isolated");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

#define UNDER_WAY                                                                                  \
    "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"Action is already in "      \
    "progress\"}}"
#define THROTTLED "{\"error\":{\"code\":\"429\",\"message\":\"in 120 seconds\"}}"

/* Defender says that such a request is under way, and lists none: whether the machine gets isolated by that nobody knows, however
 * what is asked for here ends. */
static void test_isolation__what_defender_calls_under_way_and_never_lists_is_unknown(void **state)
{
    static const struct {
        const char *label;
        unsigned times; /* that it says so; then it takes nothing for want of calls */
        bool paused;    /* by a person, meanwhile */
        bool unknown;
    } rows[] = {
        {"each time", 0, false, true},
        {"once", 1, false, true},
        {"once, and people have paused it", 1, true, true},
        {"never", 0, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct desk_order pause = {.who = "maria", .why = "a drill"};
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (rows[i].unknown)
            rig_says(&r, "POST", ISOLATE, rows[i].times, 400, UNDER_WAY);
        rig_says(&r, "POST", ISOLATE, 0, 429, THROTTLED);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
        if (rows[i].paused)
            assert_int_equal(desk_pause(r.g, &pause, NULL), ERR_OK);
        rig_pass(&r, 90 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_int_equal(
            strstr(rig_words(&r, id), "Nobody knows whether the machine is isolated") != NULL,
            rows[i].unknown);
        rig_close(&r);
    }
}

/* A reload gives the tenant another name while a request of it is on its way, whose answer is lost: by the new name the ledger has
 * no isolation of the machine, and Defender lists none yet. */
static void test_isolation__a_tenant_that_is_renamed_asks_for_nothing_twice(void **state)
{
    (void)state;
    for (int64_t behind_ms = 0; behind_ms <= 2 * SECOND_MS;
         behind_ms += 2 * SECOND_MS) { /* the clock of the host that comes with the new name */
        const char *ours;
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
        (void)lose_answer(&r);
        ours = list_of(&r, own_action(&r, "Pending"));
        atomic_fetch_sub(&r.hands.wall, behind_ms);
        r.tenant = "lab"; /* the same tenant_id */
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, OTHER_ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_says(&r, "GET", LIST, 0, 200, ours);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("a9", "Isolate", "Pending", "null", "12:12"));
        id = rig_push_to(&r, "lab", OTHER_ALERT, MACHINE, false);
        (void)rig_work(&r);
        rig_pass(&r, 5 * MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(rig_isolation(&r).action_id, ACTION);
        assert_int_equal(rig_case(&r, id).isolation, rig_isolation(&r).id);
        rig_close(&r);
    }
}

/* Nor where it is isolated by then, and Defender's list lags behind that. */
static void test_isolation__what_a_renamed_tenant_has_isolated_is_not_asked_for(void **state)
{
    static const char done[] = ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13");
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201, done);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    r.tenant = "lab"; /* the same tenant_id */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, OTHER_ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200, list_of(&r, done));
    rig_says(&r, "POST", ISOLATE, 0, 201, ACTION_DOC("a9", "Isolate", "Pending", "null", "12:12"));
    (void)rig_push_to(&r, "lab", OTHER_ALERT, MACHINE, false);
    (void)rig_work(&r);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_isolation(&r).action_id, ACTION);
    assert_string_equal(rig_isolation(&r).tenant, "lab");
    rig_close(&r);
}

/* Nor where it was renamed before that, too, and what left under the first name has had no answer for long. */
static void test_isolation__what_a_tenant_renamed_twice_has_isolated_is_not_asked_for(void **state)
{
    static const char done[] = ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "41:13");
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    (void)lose_answer(&r);
    hands_turn(&r.hands, 30 * MINUTE_MS);
    for (int renamed = 0; renamed < 2; renamed++) {
        r.tenant = renamed ? "newest" : "lab"; /* the same tenant_id */
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, OTHER_ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, done));
        rig_says(&r, "POST", ISOLATE, 0, 201, done);
        (void)rig_push_to(&r, r.tenant, OTHER_ALERT, MACHINE, false);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), !renamed);
    }
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_isolation(&r).action_id, ACTION);
    assert_string_equal(rig_isolation(&r).tenant, "newest");
    rig_close(&r);
}

#define TAGS "/api/machines/" MACHINE "/tags"

static struct {
    struct rig *r;
    pthread_t thread;
    bool done;
} step_that_takes_long;

/* While the step before `isolate` is at work half a minute passes, and a person has the machine released. */
static int64_t released_meanwhile(const struct clock *c)
{
    struct rig *r = step_that_takes_long.r;

    if (!step_that_takes_long.done && rig_seen(r, "POST", TAGS) &&
        pthread_equal(pthread_self(), step_that_takes_long.thread)) {
        step_that_takes_long.done = true;
        rig_sql(r, arena_fmt(r->arena,
                             "UPDATE isolations SET state = 'released', released = %lld,"
                             " updated = %lld",
                             (long long)hands_wall(c) + 5000, (long long)hands_wall(c) + 5000));
        hands_turn(&r->hands, 30 * SECOND_MS);
    }
    return hands_wall(c);
}

/* The look that was taken with the alert shows the isolation that was released since, and nothing of what came after that: here
 * a colleague's, who has isolated the machine again by himself. */
static void test_isolation__a_look_of_before_a_release_is_no_ground_to_ask(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, do: [tag: {add: x}, isolate: {}, email: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", TAGS, 0, 200, MACHINE_DOC);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    hands_turn(&r.hands, HOUR_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, OTHER_ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "POST", TAGS, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 1, 200,
             list_of(&r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    rig_says(
        &r, "GET", LIST, 0, 200,
        list_of(&r, ACTION_DOC("a3", "Isolate", "Pending", "null", "41:40") "," ACTION_DOC(
                        "a2", "Unisolate", "Succeeded", "null",
                        "41:20") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC("a9", "Isolate", "Succeeded", "null", "50:12"));
    (void)rig_push(&r, OTHER_ALERT, MACHINE);
    step_that_takes_long.r = &r;
    step_that_takes_long.thread = pthread_self();
    step_that_takes_long.done = false;
    r.hands.clock.wall_ms = released_meanwhile;
    (void)rig_work(&r);
    r.hands.clock.wall_ms = hands_wall;
    assert_true(step_that_takes_long.done);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_isolation(&r).action_id, "a3");
    rig_close(&r);
}

/* An alert that was read and judged, and that Defender does not know any more by the time of the request, is not one that it does
 * not know yet. */
static void test_isolation__an_alert_that_is_gone_is_not_waited_for_all_day(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 11 * MINUTE_MS, 20 * SECOND_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    for (int i = 0; i < 60; i++) /* each answer has an id of its own, to be quoted to support */
        rig_says(&r, "GET", GET_ALERT, 1, 404,
                 arena_fmt(r.arena,
                           "{\"error\":{\"code\":\"ResourceNotFound\",\"target\":"
                           "\"0a4a1f60-98ab-4f0a-9d5e-%012d\"}}",
                           i));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(strstr(rig_told(&r, id), "not_isolated"));
    assert_non_null(strstr(rig_subject(&r, id), "404"));
    rig_close(&r);
}

/* Nor is one that Defender, back after an hour, does not know for a moment. */
static void test_isolation__one_answer_that_an_alert_is_gone_is_not_the_last_word(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 503, "{}");
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, HOUR_MS, 20 * SECOND_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 1, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Nor where it could not be read at all until then. */
static void test_isolation__one_answer_that_a_new_alert_is_unknown_is_not_the_last_word(
    void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 503, "{}");
    id = rig_push(&r, ALERT, NULL);
    rig_pass(&r, HOUR_MS, 20 * SECOND_MS);
    assert_string_equal(rig_told(&r, id), "late");
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 1, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Nor is it after days for which this process was not there. */
static void test_isolation__one_answer_after_a_long_pause_is_not_the_last_word(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 1, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, NULL);
    hands_turn(&r.hands, 2 * DAY_MS);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT) >= 2, 1);
    assert_non_null(rig_case(&r, id).verdict);
    rig_close(&r);
}

/* ---- people --------------------------------------------------------------------------------------------- */

/* "not yet, cordon tries on" is not the last word, whichever way it ends. */
static void test_isolation__who_was_told_late_is_told_the_end(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\",\"message\":\"m\"}}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "late"); /* at once, and not again */
    rig_pass(&r, 90 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_string_equal(rig_told(&r, id), "late not_isolated");
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    rig_close(&r);
}

/* Minute for minute, while by Defender's answers our clock is so far ahead. Returns how often it was asked to isolate. */
static size_t pass_dated(struct rig *r, int minutes, int64_t ahead_ms)
{
    size_t posts = 0;

    for (int m = 0; m < minutes; m++) {
        hands_turn(&r->hands, MINUTE_MS);
        rig_afresh(r);
        rig_says_dated(r, LIST, NOTHING, ahead_ms);
        rig_takes_isolate(r, 0);
        (void)rig_work(r);
        posts += rig_seen(r, "POST", ISOLATE);
    }
    return posts;
}

/* Somebody sets the wall clock, which the server notices (work.h). */
static void set_wall(struct rig *r, int64_t ms)
{
    atomic_fetch_add(&r->hands.wall, ms);
    assert_int_equal(store_work_hurry(r->store, NULL), ERR_OK);
}

/* Defender says the time, and nothing else. */
static void pass_unanswered(struct rig *r, int minutes, int64_t ahead_ms)
{
    for (int m = 0; m < minutes; m++) {
        hands_turn(&r->hands, MINUTE_MS);
        rig_afresh(r);
        rig_says_dated_status(r, LIST, 503, "", ahead_ms);
        (void)rig_work(r);
        assert_int_equal(rig_seen(r, "POST", ISOLATE), 0);
    }
}

/* Limits are counted by this host's clock, and Defender says what time it is: too far off, and nothing is asked for, be it new
 * or waiting already. People hear of it. */
static void test_isolation__a_clock_that_is_far_off_isolates_nothing(void **state)
{
    static const struct {
        int64_t ahead_ms;
        bool
            waits; /* the row was written, by a clock that was right, and Defender took no request */
        bool held;
    } rows[] = {
        {2 * HOUR_MS, false, true},    {-2 * HOUR_MS, false, true},
        {6 * MINUTE_MS, false, true},  {-6 * MINUTE_MS, false, true},
        {4 * MINUTE_MS, false, false}, {-4 * MINUTE_MS, false, false},
        {2 * HOUR_MS, true, true},     {-6 * MINUTE_MS, true, true},
        {4 * MINUTE_MS, true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        struct runtime *rt;
        int64_t id;

        print_message("row: %zu\n", i);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says_dated(&r, LIST, NOTHING, rows[i].waits ? 0 : rows[i].ahead_ms);
        if (rows[i].waits)
            rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        else
            rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].waits || !rows[i].held);
        assert_int_equal(pass_dated(&r, 20, rows[i].ahead_ms), rows[i].waits && !rows[i].held);
        rt = engine_runtime(r.g);
        assert_int_equal(runtime_clock_is_doubtful(rt, DEFENDER_SKEW_MS), rows[i].held);
        runtime_unref(rt);
        if (rows[i].held)
            assert_string_equal(rig_told(&r, id), "late");
        assert_int_equal(pass_dated(&r, 30, 0), rows[i].held);
        assert_string_equal(rig_told(&r, id),
                            rows[i].held || rows[i].waits ? "late requested" : "requested");
        rig_close(&r);
    }
}

/* Does anything that was said of this host's clock hold that it is off, or was nothing said? Nothing is forgotten then. */
static bool clock_is_off(struct rig *r)
{
    struct runtime *rt = engine_runtime(r->g);
    bool off = runtime_clock_is_doubtful(rt, DEFENDER_SKEW_MS);

    runtime_unref(rt);
    return off;
}

/* A tenant's Defender says the time. */
static void say_time(struct rig *r, const char *tenant, int64_t ahead_ms)
{
    struct runtime *rt = engine_runtime(r->g);
    struct defender_reads reads = {0};

    peer_forget(r->peer);
    rig_says(r, "POST", "/", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says_dated(r, GET_ALERT, ALERT_DOC, ahead_ms);
    defender_read(runtime_tenant(rt, tenant)->defender, ALERT, NULL, DEFENDER_READ_ALERT, &reads);
    assert_int_equal(reads.alert_code, ERR_OK);
    defender_reads_clear(&reads);
    runtime_unref(rt);
}

/* Whoever thinks that the credential is to blame and gives another does not make the clock right: by it all that is old would be
 * forgotten before the new one is first used. */
static void test_isolation__another_application_makes_no_clock_right(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    say_time(&r, "contoso", 20 * DAY_MS);
    assert_true(clock_is_off(&r));
    for (int i = 0; i < 2; i++) {
        r.client = arena_fmt(r.arena, "5d1f000%d-98ab-4f0a-9d5e-0b1c2d3e4f50", i + 1);
        engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
        assert_true(clock_is_off(&r));
    }
    atomic_fetch_sub(&r.hands.wall, 20 * DAY_MS); /* somebody sets it */
    assert_false(clock_is_off(&r));
    atomic_fetch_add(&r.hands.wall, 20 * DAY_MS);
    hands_turn(&r.hands, 2 * HOUR_MS);
    say_time(&r, "contoso", 0);
    assert_false(clock_is_off(&r));
    rig_close(&r);
}

/* By a clock that is months ahead no far end's certificate is good, and nobody ever says so: nor is one believed that nobody has
 * said anything of. By it all that is old would be forgotten. */
static void test_isolation__a_clock_that_nobody_knows_of_is_not_believed(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    assert_true(clock_is_off(&r));
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    assert_true(clock_is_off(&r));
    say_time(&r, "contoso", 0);
    assert_false(clock_is_off(&r));
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    assert_false(clock_is_off(&r));
    rig_close(&r);
}

/* Nor does Defender ever say so where Entra refuses an assertion for its time (AADSTS700024). But that answer says it. */
static void test_isolation__entra_says_what_time_it_is(void **state)
{
    struct defender_reads reads = {0};
    struct runtime *rt;
    struct err e = {0};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    peer_script(r.peer, &(struct peer_answer){
                            .method = "POST",
                            .target = "/0a4a1f60",
                            .status = 401,
                            .headers = rig_date(&r, 2 * HOUR_MS),
                            .body = "{\"error\":\"invalid_client\",\"error_codes\":[700024]}"});
    rt = engine_runtime(r.g);
    defender_read(runtime_tenant(rt, "contoso")->defender, ALERT, NULL, DEFENDER_READ_ALERT,
                  &reads);
    assert_int_equal(reads.alert_code, ERR_DENIED);
    assert_int_equal(runtime_check_clock(runtime_tenant(rt, "contoso"), &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "120 min ahead"));
    assert_true(clock_is_off(&r));
    atomic_fetch_sub(&r.hands.wall, 2 * HOUR_MS); /* somebody sets it */
    assert_int_equal(runtime_check_clock(runtime_tenant(rt, "contoso"), &e), ERR_OK);
    assert_false(clock_is_off(&r));
    defender_reads_clear(&reads);
    runtime_unref(rt);
    rig_close(&r);
}

/* A tenant that has not answered for long knows nothing of how the clock stands, where another does: this host may have been halted
 * since, and its steady clock with it. */
static void test_isolation__a_tenant_that_answers_no_more_keeps_no_clock_wrong(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    r.tenants = arena_fmt(r.arena,
                          "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_secret_file: %s/secret\n    api_url: %s\n"
                          "    login_url: %s\n    api_scope: https://api.example/.default\n",
                          r.dir, peer_url(r.peer), peer_url(r.peer));
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    say_time(&r, "fabrikam", 0);
    say_time(&r, "contoso", 0);
    assert_false(clock_is_off(&r));
    atomic_fetch_add(&r.hands.wall, 30 * MINUTE_MS); /* it stood still, and its clock was set */
    say_time(&r, "contoso", 0);
    assert_true(clock_is_off(&r)); /* they differ: in doubt */
    hands_turn(&r.hands, 2 * HOUR_MS);
    say_time(&r, "contoso", 0);
    assert_false(clock_is_off(&r));
    say_time(&r, "fabrikam", 20 * DAY_MS);
    assert_true(clock_is_off(&r));
    rig_close(&r);
}

/* What an application said before a reload counts no longer than until it says something else. */
static void test_isolation__a_clock_that_is_right_is_so_after_a_reload(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    say_time(&r, "contoso", 20 * DAY_MS);
    for (int i = 0; i < 2; i++)
        engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    assert_true(clock_is_off(&r));
    say_time(&r, "contoso", 0);
    assert_false(clock_is_off(&r));
    rig_close(&r);
}

/* The clock is set while it waits, and set right again later. */
static void test_isolation__what_waits_for_the_clock_goes_on_when_it_is_right(void **state)
{
    static const struct {
        int64_t set_ms;
        int minutes;
        bool answers; /* Defender lists the machine's actions meanwhile */
    } rows[] = {
        {2 * HOUR_MS, 20, true},  {2 * HOUR_MS, 20, false}, {2 * HOUR_MS, 90, true},
        {-2 * HOUR_MS, 20, true}, {-2 * HOUR_MS, 90, true}, {-2 * HOUR_MS, 20, false},
        {2 * HOUR_MS, 90, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("row: %zu\n", i);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says_dated(&r, LIST, NOTHING, 0);
        rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        set_wall(&r, rows[i].set_ms);
        if (rows[i].answers)
            assert_int_equal(pass_dated(&r, rows[i].minutes, rows[i].set_ms), 0);
        else
            pass_unanswered(&r, rows[i].minutes, rows[i].set_ms);
        assert_string_equal(rig_told(&r, id), "late");
        set_wall(&r, -rows[i].set_ms);
        pass_unanswered(&r, 5, 0);
        assert_int_equal(pass_dated(&r, 30, 0), 1);
        assert_string_equal(rig_told(&r, id), "late requested");
        rig_close(&r);
    }
}

/* Of the hour for which Defender is asked none has passed when the clock is right again, whatever comes in between: a POST
 * that Defender does not take yet is asked again, and the hour ends some time. */
static void test_isolation__its_hour_begins_when_the_clock_is_right(void **state)
{
    static const struct {
        const char *label;
        int status; /* of the POSTs while the clock is right again */
        int minutes;
        const char *told;
    } rows[] = {
        {"throttled", 429, 20, "late requested"},
        {"no answer", -1, 20, "late requested"},
        {"throttled for long", 429, 80, "late not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says_dated(&r, LIST, NOTHING, 0);
        rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        set_wall(&r, 2 * HOUR_MS);
        assert_int_equal(pass_dated(&r, 90, 2 * HOUR_MS), 0);
        set_wall(&r, -2 * HOUR_MS);
        for (int m = 0; m < rows[i].minutes; m++) {
            hands_turn(&r.hands, MINUTE_MS);
            rig_afresh(&r);
            rig_says_dated(&r, LIST, NOTHING, 0);
            if (rows[i].status < 0)
                peer_script(r.peer, &(struct peer_answer){
                                        .method = "POST", .target = ISOLATE, .act = PEER_CLOSE});
            else
                rig_says(&r, "POST", ISOLATE, 0, rows[i].status, "{\"error\":{\"code\":\"429\"}}");
            (void)rig_work(&r);
        }
        (void)pass_dated(&r, 20, 0);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* How long it has waited cannot be told when the clock was set back meanwhile: people hear of it all the same. */
static void test_isolation__who_waits_while_the_clock_is_set_back_is_told(void **state)
{
    static const int64_t back_ms[] = {2 * HOUR_MS, 3 * DAY_MS, 14 * MINUTE_MS};

    (void)state;
    for (size_t i = 0; i < sizeof back_ms / sizeof *back_ms; i++) {
        struct rig r;
        int64_t id;

        print_message("row: %zu\n", i);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says_dated_status(&r, LIST, 503, "", 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, id), "");
        set_wall(&r, -back_ms[i]);
        assert_int_equal(pass_dated(&r, 30, -back_ms[i]), 0);
        assert_string_equal(rig_told(&r, id), "late");
        set_wall(&r, back_ms[i]);
        assert_int_equal(pass_dated(&r, 30, 0), 1);
        assert_string_equal(rig_told(&r, id), "late requested");
        rig_close(&r);
    }
}

/* What was read before a reload is judged after it. */
static void test_isolation__a_reload_forgets_no_clock(void **state)
{
    struct runtime *rt;
    struct err e = {0};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)rig_push(&r, ALERT, MACHINE);
    assert_int_equal(pass_dated(&r, 1, HOUR_MS), 0);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    rt = engine_runtime(r.g);
    assert_int_equal(runtime_check_clock(runtime_tenant(rt, "contoso"), &e), ERR_AGAIN);
    runtime_unref(rt);
    rig_close(&r);
}

/* A rule that mails before it isolates, and one that mails nobody, are no less owed bad news. */
static void test_isolation__late_news_reaches_every_rule(void **state)
{
    static const struct {
        const char *rules, *told;
    } rows[] = {
        {"rules:\n  - {name: a, do: [email: {}, isolate: {}]}\n", "alert late isolated"},
        {"rules:\n  - {name: a, do: [isolate: {}]}\n", "late isolated"},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, rows[i].rules);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\",\"message\":\"m\"}}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "31:12"));
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* The ledger says isolated; since then a person released the machine, and another has asked anew. */
static void test_isolation__a_pending_isolation_after_a_release_is_not_called_isolated(void **state)
{
    struct rig r;
    int64_t first, second;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    first = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, first), "isolated");
    hands_turn(&r.hands, HOUR_MS);
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(
        &r, "GET", LIST, 0, 200,
        list_of(&r, ACTION_DOC("a3", "Isolate", "Pending", "null", "40:00") "," ACTION_DOC(
                        "a2", "Unisolate", "Succeeded", "null",
                        "30:00") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    second = rig_push(&r, "da2_-1", MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, second), "requested");
    assert_int_equal(rig_case(&r, second).state, CASE_WAITING);
    assert_string_equal(rig_isolation(&r).action_id, "a3");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

/* Defender has just confirmed by the action's id; its list does not show that yet. To take the gap for a
 * release would isolate the machine a second time. Later the same list means what it says. */
static void test_isolation__a_list_that_lags_does_not_undo_a_confirmation(void **state)
{
    static const struct {
        const char *label, *actions;
        int64_t later_ms;
        size_t posts;
    } rows[] = {
        {"not listed yet", "", SECOND_MS, 0},
        {"not listed yet, but an older release",
         ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                    "05:00") "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00"),
         SECOND_MS, 0},
        {"listed, still pending", ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"),
         SECOND_MS, 0},
        {"listed, and released since",
         ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                    "11:13") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"),
         SECOND_MS, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t first, second;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        first = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, first), "isolated");
        hands_turn(&r.hands, rows[i].later_ms);
        peer_forget(r.peer);
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, rows[i].actions));
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("a9", "Isolate", "Pending", "null", "12:30"));
        second = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        assert_string_equal(rig_told(&r, second), rows[i].posts ? "requested" : "isolated");
        assert_string_equal(rig_isolation(&r).action_id, rows[i].posts ? "a9" : ACTION);
        rig_close(&r);
    }
}

/* The row was written by a clock that was ahead, and is set right while nobody runs. What somebody has released since is not called
 * isolated for that. */
static void test_isolation__what_was_released_is_not_joined_by_a_clock_that_was_set_back(
    void **state)
{
    struct rig r;
    int64_t first, second;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    first = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    atomic_fetch_add(&r.hands.wall, 2 * HOUR_MS);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, first), "requested isolated");
    atomic_fetch_sub(&r.hands.wall, 2 * HOUR_MS);
    hands_turn(&r.hands, 5 * MINUTE_MS);
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "13:00") "," ACTION_DOC(
                             ACTION, "Isolate", "Succeeded", "null", "11:12")));
    rig_says(&r, "POST", ISOLATE, 0, 201, ACTION_DOC("a9", "Isolate", "Pending", "null", "16:30"));
    second = rig_push(&r, "da2_-1", MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, second), "requested");
    assert_string_equal(rig_told(&r, first), "requested isolated released");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_isolation(&r).action_id, "a9");
    rig_close(&r);
}

#define RELEASE_ACTION "c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f"
#define RELEASED                                                                                   \
    "{\"value\":[" ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null",                    \
                              "12:15") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null",      \
                                                      "11:13") "]}"

/* Released by cordon, and Defender has said so; its list may not show the release yet. */
static void free_again(struct rig *r, const char *rules)
{
    static const char *const in_force =
        "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}";
    struct err e = {0};

    rig_open(r, rules);
    rig_afresh(r);
    rig_says(r, "GET", LIST, 1, 200, NOTHING);
    rig_says(r, "GET", LIST, 0, 200, in_force);
    rig_says(r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_says(r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    (void)rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    assert_int_equal(rig_isolation(r).state, ISOLATION_ISOLATED);
    if (desk_release(r->g, &(struct desk_order){.id = rig_isolation(r).id, .why = "clean"}, &e))
        fail_msg("%s", e.text);
    (void)rig_work(r);
    assert_int_equal(rig_isolation(r).state, ISOLATION_RELEASED);
    hands_turn(&r->hands, SECOND_MS);
    peer_forget(r->peer);
    rig_says(r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", GET_ACTION "b2", 0, 200,
             ACTION_DOC("b2", "Isolate", "Succeeded", "null", "12:20"));
}

/* A new alert then: nothing is told that the list alone says, and the machine is isolated again, when the list has caught
 * up or would have. */
static void test_isolation__a_list_that_shows_no_release_of_ours_isolates_nothing(void **state)
{
    static const struct {
        const char *label;
        unsigned lags; /* looks; 0: for ever */
        bool later;    /* the row is made first, and its own run looks again */
    } rows[] = {
        {"it lags once", 1, false},
        {"it lags for ever", 0, false},
        {"it lags once, after a request that was refused", 1, true},
        {"it lags for ever, after a request that was refused", 0, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        free_again(&r, NULL);
        if (rows[i].later) {
            rig_says(&r, "GET", LIST, 1, 200, RELEASED);
            rig_says(&r, "POST", ISOLATE, 1, 429,
                     "{\"error\":{\"code\":\"429\",\"message\":\"in 3 seconds\"}}");
        }
        rig_says(&r, "GET", LIST, rows[i].lags, 200,
                 "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
        rig_says(&r, "GET", LIST, 0, 200, RELEASED);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("b2", "Isolate", "Pending", "null", "12:20"));
        id = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, id), rows[i].later ? "late" : "");
        rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1 + rows[i].later);
        assert_string_equal(rig_isolation(&r).action_id, "b2");
        assert_string_equal(rig_told(&r, id),
                            rows[i].later ? "late requested isolated" : "requested isolated");
        rig_close(&r);
    }
}

/* Nor is nothing isolated because the list shows our release as under way still, of which Defender has said that it is done. One
 * that it goes on showing so is somebody's. */
static void test_isolation__a_list_that_shows_our_release_under_way_keeps_nothing_free(void **state)
{
    static const char lagging[] = "{\"value\":[" ACTION_DOC(
        RELEASE_ACTION, "Unisolate", "InProgress", "null",
        "12:12") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}";
    static const struct {
        const char *label;
        unsigned lags; /* looks; 0: for ever */
        bool later;    /* the row is made first, and its own run looks again */
    } rows[] = {
        {"it lags once", 1, false},
        {"it lags once, after a request that was refused", 1, true},
        {"it lags for ever", 0, false},
        {"it lags for ever, after a request that was refused", 0, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        free_again(&r, NULL);
        if (rows[i].later) {
            rig_says(&r, "GET", LIST, 1, 200, RELEASED);
            rig_says(&r, "POST", ISOLATE, 1, 429,
                     "{\"error\":{\"code\":\"429\",\"message\":\"in 3 seconds\"}}");
        }
        rig_says(&r, "GET", LIST, rows[i].lags, 200, lagging);
        rig_says(&r, "GET", LIST, 0, 200, RELEASED);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("b2", "Isolate", "Pending", "null", "12:20"));
        id = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, id), rows[i].later ? "late" : "");
        rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].later + (rows[i].lags != 0));
        assert_string_equal(rig_told(&r, id),
                            arena_fmt(r.arena, "%s%s", rows[i].later ? "late " : "",
                                      rows[i].lags ? "requested isolated" : "not_isolated"));
        rig_close(&r);
    }
}

/* Defender lists nothing of an isolation that it confirmed a while ago: a doubt, so a person decides. A release of before is
 * none of it, however late the list comes. */
static void test_isolation__a_list_without_our_isolation_is_a_doubt(void **state)
{
    static const char *const before =
        ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                   "05:00") "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00");
    static const char *const anew =
        ACTION_DOC("a4", "Isolate", "Pending", "null", "11:40") "," ACTION_DOC(
            "a2", "Unisolate", "Succeeded", "null",
            "05:00") "," ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00");
    static const struct {
        const char *actions;
        int64_t later_ms;
        size_t posts;
        const char *told;
    } rows[] = {
        {"", HOUR_MS, 0, "not_isolated"},       {"", 40 * DAY_MS, 1, "isolated"},
        {before, MINUTE_MS, 0, "not_isolated"}, {before, HOUR_MS, 0, "not_isolated"},
        {before, 40 * DAY_MS, 1, "isolated"},   {anew, MINUTE_MS, 0, "isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t first, second;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        first = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        hands_turn(&r.hands, rows[i].later_ms);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, rows[i].actions));
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("a5", "Isolate", "Succeeded", "null", "12:12"));
        second = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        print_message("  %zu: after %lld s\n", i, (long long)(rows[i].later_ms / SECOND_MS));
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        assert_string_equal(rig_told(&r, first),
                            rows[i].later_ms < DAY_MS ? "isolated" : "isolated released");
        assert_string_equal(rig_told(&r, second), rows[i].told);
        rig_close(&r);
    }
}

/* ---- the policy in force ----------------------------------------------------------------------------------- */

static void change_policy(struct rig *r, const char *rules)
{
    engine_use(r->g, rig_runtime(r, rules));
}

/* The look failed, so the step waits; meanwhile the policy, the alert or the machine changes. */
static void test_isolation__no_request_by_a_verdict_that_no_longer_holds(void **state)
{
    static const struct {
        const char *label, *rules, *alert, *machine, *why;
    } rows[] = {
        {"another rule", RULES_MAIL_ONLY, ALERT_DOC, MACHINE_DOC, "policy"},
        {"shadow", RULES_ISOLATE_AND_MAIL "safety: {mode: shadow}\n", ALERT_DOC, MACHINE_DOC,
         "shadow"},
        {"a protection", RULES_ISOLATE_AND_MAIL "safety: {protected: [{machine.tags: [tier-0]}]}\n",
         ALERT_DOC, "{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}", "tier-0"},
        {"the alert is another's now", NULL,
         "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":"
         "\"0123456789abcdef0123456789abcdef01234567\"}",
         MACHINE_DOC, "machine"},
        {"the alert is Low now", NULL,
         "{\"id\":\"" ALERT "\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}", MACHINE_DOC,
         "policy"},
    };

    (void)state;
    for (int own_run = 0; own_run < 2; own_run++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct rig r;
            int64_t id;

            rig_open(&r, NULL);
            rig_afresh(&r);
            /* either the look of the case's step fails, or the POST of its isolation */
            rig_says(&r, "GET", LIST, 0, own_run ? 200 : 503, NOTHING);
            rig_says(&r, "POST", ISOLATE, 0, 429,
                     "{\"error\":{\"code\":\"429\",\"message\":\"m\"}}");
            id = rig_push(&r, ALERT, MACHINE);
            (void)rig_work(&r);
            rig_pass(&r, 30 * MINUTE_MS, MINUTE_MS);
            peer_forget(r.peer);
            rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                     "{\"expires_in\":35990,\"access_token\":\"t2\"}");
            rig_says(&r, "GET", GET_ALERT, 0, 200, rows[i].alert);
            rig_says(&r, "GET", GET_MACHINE, 0, 200, rows[i].machine);
            rig_says(&r, "GET", LIST, 0, 200, NOTHING);
            rig_says(&r, "POST", ISOLATE, 0, 201,
                     ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "41:12"));
            if (rows[i].rules)
                change_policy(&r, rows[i].rules);
            rig_pass(&r, 25 * MINUTE_MS, MINUTE_MS);
            print_message("  %s: %s\n", rows[i].label, rig_subject(&r, id));
            assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
            assert_non_null(strstr(rig_told(&r, id), "late not_isolated"));
            assert_non_null(strstr(rig_subject(&r, id), rows[i].why));
            assert_int_equal(rig_case(&r, id).state, CASE_DONE);
            rig_close(&r);
        }
}

/* The same wait, and nothing has changed: it is isolated, by what Defender says now. */
static void test_isolation__a_verdict_that_still_holds_is_carried_out(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 503, "");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "41:12"));
    rig_pass(&r, 25 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_told(&r, id), "late isolated");
    rig_close(&r);
}

/* ---- following ------------------------------------------------------------------------------------------------ */

static void test_isolation__follows_the_action_to_its_end(void **state)
{
    static const struct {
        const char *status;
        enum isolation_state ends;
        const char *told;
    } rows[] = {
        {"Pending", ISOLATION_PENDING, "requested"},
        {"InProgress", ISOLATION_PENDING, "requested"},
        {"Paused", ISOLATION_PENDING, "requested"},
        {"Succeeded", ISOLATION_ISOLATED, "requested isolated"},
        {"Failed", ISOLATION_FAILED, "requested not_isolated"},
        {"TimeOut", ISOLATION_FAILED, "requested not_isolated"},
        {"Cancelled", ISOLATION_FAILED, "requested not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ACTION
                           "\",\"type\":\"Isolate\",\"status\":\"%s\",\"machineId\":\"" MACHINE
                           "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\"}",
                           rows[i].status));
        rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* Section 4.5: a machine may have several isolations. When ours comes to nothing beside one of somebody else's, people are not
 * told that the machine is free. */
static void test_isolation__one_that_came_to_nothing_beside_another_is_not_called_free(void **state)
{
    static const struct {
        const char *ours, *beside, *then, *told;
        enum isolation_state ends;
        bool adopted;
    } rows[] = {
        {"Cancelled", ACTION_DOC("a2", "Isolate", "Succeeded", "null", "11:14"), NULL,
         "requested isolated", ISOLATION_ISOLATED, true},
        {"TimeOut", ACTION_DOC("a2", "Isolate", "Succeeded", "\"x\"", "11:14"), NULL,
         "requested isolated", ISOLATION_ISOLATED, true},
        {"Failed", ACTION_DOC("a2", "Isolate", "Pending", "null", "11:14"), "Succeeded",
         "requested isolated", ISOLATION_ISOLATED, true},
        {"Failed", ACTION_DOC("a2", "Isolate", "Pending", "null", "11:14"), "Failed",
         "requested not_isolated", ISOLATION_FAILED, true},
        /* a list that lags shows our own as it was */
        {"Failed", ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"), NULL,
         "requested not_isolated", ISOLATION_FAILED, false},
        {"Failed",
         ACTION_DOC("a3", "Unisolate", "Pending", "null",
                    "11:15") "," ACTION_DOC("a2", "Isolate", "Succeeded", "null", "11:14"),
         NULL, "requested not_isolated", ISOLATION_FAILED, false},
        {"Failed",
         ACTION_DOC("a3", "Unisolate", "Succeeded", "null",
                    "11:15") "," ACTION_DOC("a2", "Isolate", "Succeeded", "null", "11:14"),
         NULL, "requested not_isolated", ISOLATION_FAILED, false},
        {"Failed", "", NULL, "requested not_isolated", ISOLATION_FAILED, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ACTION
                           "\",\"type\":\"Isolate\",\"status\":\"%s\",\"machineId\":\"" MACHINE
                           "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\"}",
                           rows[i].ours));
        if (rows[i].then)
            rig_says(&r, "GET", GET_ACTION "a2", 0, 200,
                     arena_fmt(r.arena,
                               "{\"id\":\"a2\",\"type\":\"Isolate\",\"status\":\"%s\","
                               "\"machineId\":\"" MACHINE
                               "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:14Z\"}",
                               rows[i].then));
        rig_says(&r, "GET", LIST, rows[i].then ? 1 : 0, 200, list_of(&r, rows[i].beside));
        if (rows[i].then)
            rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_int_equal(rig_isolation(&r).adopted, rows[i].adopted);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* Nor while nobody can look. But who waits is told in the end, and at once where no look will ever be had. */
static void test_isolation__one_that_came_to_nothing_is_not_called_free_unseen(void **state)
{
    static const struct {
        int status;
        unsigned times; /* so many looks fail; 0: all */
        const char *at_once, *told;
        enum isolation_state ends;
    } rows[] = {
        {503, 2, "requested", "requested isolated", ISOLATION_ISOLATED},
        {429, 1, "requested", "requested isolated", ISOLATION_ISOLATED},
        {503, 0, "requested", "requested not_isolated", ISOLATION_FAILED},
        {403, 0, "requested not_isolated", "requested not_isolated", ISOLATION_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Cancelled", "null", "11:12"));
        rig_says(&r, "GET", LIST, rows[i].times, rows[i].status, "{}");
        rig_says(&r, "GET", LIST, 0, 200,
                 list_of(&r, ACTION_DOC("a2", "Isolate", "Succeeded", "\"x\"", "11:14")));
        rig_pass(&r, 2 * SECOND_MS, SECOND_MS);
        assert_string_equal(rig_told(&r, id), rows[i].at_once);
        rig_pass(&r, 20 * MINUTE_MS, 5 * SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_int_equal(rig_isolation(&r).adopted, rows[i].ends == ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* Nor when cordon was down for longer than anything is followed: one look that failed is as little a reason then. */
static void test_isolation__after_a_long_pause_one_failed_look_tells_nobody_what_it_is(void **state)
{
    static const struct {
        const char *end, *told;
        unsigned times; /* so many looks fail; 0: all */
    } rows[] = {
        {"Cancelled", "requested isolated", 2},
        {"Succeeded", "requested not_isolated", 2},
        {"Cancelled", "requested not_isolated", 0},
        {"Succeeded", "requested isolated", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        const char *doc;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, 5 * DAY_MS);
        doc = arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "%s", "null", "11:12"), rows[i].end);
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200, doc);
        rig_says(&r, "GET", LIST, rows[i].times, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200,
                 list_of(&r, arena_fmt(r.arena, "%s,%s", doc,
                                       i % 2 ? DONE_DOC("d4", "Unisolate", "20:00", "25:00")
                                             : ACTION_DOC("a2", "Isolate", "Succeeded", "\"x\"",
                                                          "11:14"))));
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, id), "requested");
        rig_pass(&r, 20 * MINUTE_MS, 5 * SECOND_MS);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* Calls that are used up come back one by one, and asking how it stands takes each: such looks follow each other at once, and they
 * are none in vain that somebody could be told of something for. */
static void test_isolation__looks_that_are_throttled_are_not_in_vain_within_seconds(void **state)
{
    static const char *const ends[] = {"Cancelled", "Succeeded"};

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct rig r;
        const char *doc;
        int64_t id;

        print_message("  %s\n", ends[i]);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, HOUR_MS);
        doc = arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "%s", "null", "11:12"), ends[i]);
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200, doc);
        peer_script(r.peer, &(struct peer_answer){.method = "GET",
                                                  .target = LIST,
                                                  .status = 429,
                                                  .headers = "Retry-After: 1\r\n",
                                                  .body = "{}"});
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_string_equal(rig_told(&r, id), "requested");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200, doc);
        rig_says(
            &r, "GET", LIST, 0, 200,
            list_of(&r, arena_fmt(r.arena, "%s,%s", doc,
                                  i ? DONE_DOC("d4", "Unisolate", "20:00", "25:00")
                                    : ACTION_DOC("a2", "Isolate", "Succeeded", "\"x\"", "11:14"))));
        rig_pass(&r, 10 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, i ? ISOLATION_RELEASED : ISOLATION_ISOLATED);
        assert_int_equal(rig_isolation(&r).adopted, !i);
        rig_close(&r);
    }
}

/* Defender takes no question for days: that nobody knows how it stands is told all the same, when it is given up. */
static void test_isolation__one_that_is_throttled_for_days_is_given_up(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_says(&r, "GET", GET_ACTION, 0, 429, THROTTLED);
    rig_says(&r, "GET", LIST, 0, 429, THROTTLED);
    rig_pass(&r, 4 * DAY_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested");
    rig_pass(&r, DAY_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested not_isolated");
    assert_non_null(strstr(rig_subject(&r, id), "it is not known whether the machine is isolated"));
    rig_close(&r);
}

#define A_DAY                                                                                      \
    "{\"error\":{\"code\":\"429\",\"message\":\"You can send requests again in 86400 seconds.\"}}"

/* Nor does a word wait for days: a look that may be taken in a day counts as all that there would have been meanwhile. */
static void test_isolation__looks_that_are_put_off_for_a_day_keep_nobody_from_the_news(void **state)
{
    static const char *const ends[][2] = {{"Cancelled", "requested not_isolated"},
                                          {"Succeeded", "requested isolated"}};

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", ends[i][0]);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, HOUR_MS);
        rig_says(
            &r, "GET", GET_ACTION ACTION, 0, 200,
            arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "%s", "null", "11:12"), ends[i][0]));
        rig_says(&r, "GET", LIST, 0, 429, A_DAY);
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), ends[i][1]);
        assert_int_equal(rig_seen(&r, "GET", LIST), 2);
        rig_close(&r);
    }
}

/* What Defender says of another machine, or of a release, is no news of this isolation. */
static void test_isolation__another_action_is_no_news_of_this_one(void **state)
{
    static const char *const others[] = {
        ACTION_DOC(ACTION, "Unisolate", "Succeeded", "null", "11:12"),
        "{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"Succeeded\",\"machineId\":"
        "\"1111111111111111111111111111111111111111\","
        "\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        rig_says(&r, "GET", GET_ACTION, 0, 200, others[i]);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
        assert_string_equal(rig_told(&r, id), "requested");
        rig_close(&r);
    }
}

/* An action is asked after the less often the older it is, but only when there was an answer. */
static void test_isolation__no_answer_is_no_reason_to_ask_later(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    rig_says(&r, "GET", GET_ACTION, 1, 503, "{}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    hands_turn(&r.hands, 20 * MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_close(&r);
}

/* A machine that was away for hours came back, was isolated, and a person released it before cordon looked. When the first
 * looks fail the others are waited for, for a few minutes. */
static void test_isolation__a_machine_released_before_the_look_is_not_called_isolated(void **state)
{
    static const struct {
        const char *label;
        unsigned asked; /* so often in vain before, how the action stands */
        unsigned fail;  /* looks */
        int status;
        const char *told;
        bool in_turn; /* with asking in vain how it stands */
    } rows[] = {
        {"seen at once", 0, 0, 0, "requested not_isolated", false},
        {"seen in the end", 0, 3, 503, "requested not_isolated", false},
        {"seen in the end, after a bad day", 12, 3, 503, "requested not_isolated", false},
        {"never seen", 0, 1000, 503, "requested isolated", false},
        {"not to be seen", 0, 1000, 403, "requested isolated", false},
        {"never seen, and how it stands not always", 0, 1000, 503, "requested isolated", true},
        {"never seen for want of calls", 1, 1000, 429, "requested isolated", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, HOUR_MS);
        if (rows[i].asked)
            rig_says(&r, "GET", GET_ACTION, rows[i].asked, 503, "");
        for (int k = 0; k < 50 && rows[i].in_turn; k++) {
            rig_says(&r, "GET", GET_ACTION, 1, 200,
                     ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
            rig_says(&r, "GET", GET_ACTION, 1, 503, "");
        }
        if (rows[i].fail)
            rig_says(&r, "GET", LIST, rows[i].fail, rows[i].status, "");
        rig_says(
            &r, "GET", LIST, 0, 200,
            list_of(&r, ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "50:00") "," ACTION_DOC(
                            ACTION, "Isolate", "Succeeded", "null", "11:12")));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        (void)rig_work(&r);
        if (rows[i].status == 503)
            assert_string_equal(rig_told(&r, id), "requested");
        rig_pass(&r,
                 rows[i].asked     ? 3 * HOUR_MS
                 : rows[i].in_turn ? 40 * MINUTE_MS
                                   : 10 * MINUTE_MS,
                 rows[i].in_turn ? MINUTE_MS : 5 * SECOND_MS);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        assert_int_equal(rig_isolation(&r).state,
                         rows[i].fail > 3 ? ISOLATION_ISOLATED : ISOLATION_RELEASED);
        if (rows[i].fail <= 3)
            assert_non_null(strstr(rig_subject(&r, id), "released at Defender since"));
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        rig_close(&r);
    }
}

/* Section 4.5: an isolation that stays pending runs after a release that was made, and done, later than it was made. */
static void test_isolation__one_that_ran_after_a_release_is_in_force(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    id = rig_push(&r, ALERT, MACHINE);
    rig_says(&r, "GET", GET_ACTION, 7, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200, DONE_DOC(ACTION, "Isolate", "11:12", "19:00"));
    rig_says(&r, "GET", LIST, 0, 200,
             list_of(&r, DONE_DOC("a2", "Unisolate", "13:00",
                                  "13:05") "," DONE_DOC(ACTION, "Isolate", "11:12", "19:00")));
    (void)rig_work(&r);
    rig_pass(&r, 30 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_close(&r);
}

/* Nobody was there for days. The first answer after that fails, as it may when a network comes up; what came of the
 * request is known with the next. */
static void test_isolation__after_a_long_pause_one_failed_look_gives_nothing_up(void **state)
{
    static const bool answered[] = {true, false};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_says(&r, "GET", LIST, 1, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200,
                 list_of(&r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
        if (answered[i])
            rig_takes_isolate(&r, 1);
        else
            peer_script(r.peer,
                        &(struct peer_answer){
                            .method = "POST", .target = ISOLATE, .times = 1, .act = PEER_RESET});
        rig_says(&r, "GET", GET_ACTION, 1, 503, "{}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, 5 * DAY_MS);
        rig_pass(&r, 10 * MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_null(strstr(rig_told(&r, id), "not_isolated"));
        rig_close(&r);
    }
}

/* cordon was ended, and begins again so much later. */
static void be_away(struct rig *r, int64_t away_ms)
{
    hands_turn(&r->hands, away_ms);
    r->g->here_since_ms = hands_mono(&r->hands.clock);
}

/* Defender is asked for an hour. One in which nobody was there to ask is none of it. */
static void test_isolation__an_hour_in_which_nobody_was_there_is_none(void **state)
{
    static const struct {
        const char *label;
        int64_t tried_ms, away_ms;
        bool lost;       /* the answer to the first request */
        unsigned failed; /* looks afterwards, before one is answered */
        int status;      /* of the requests afterwards */
        int64_t then_ms;
        enum isolation_state ends;
    } rows[] = {
        {"not taken", 0, 3 * HOUR_MS, false, 0, 201, 10 * MINUTE_MS, ISOLATION_PENDING},
        {"not taken, and no answer at first", 0, 3 * HOUR_MS, false, 2, 201, 10 * MINUTE_MS,
         ISOLATION_PENDING},
        {"lost", 0, 3 * HOUR_MS, true, 0, 201, 10 * MINUTE_MS, ISOLATION_PENDING},
        {"tried for long before", 50 * MINUTE_MS, HOUR_MS, false, 0, 201, 10 * MINUTE_MS,
         ISOLATION_PENDING},
        {"nor taken then", 0, 3 * HOUR_MS, false, 0, 429, 50 * MINUTE_MS, ISOLATION_REQUESTED},
        {"nor taken for an hour then", 0, 3 * HOUR_MS, false, 0, 429, 80 * MINUTE_MS,
         ISOLATION_FAILED},
        {"away for a moment of the hour", 58 * MINUTE_MS, 5 * MINUTE_MS, false, 0, 201,
         10 * MINUTE_MS, ISOLATION_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (rows[i].lost)
            peer_script(r.peer, &(struct peer_answer){
                                    .method = "POST", .target = ISOLATE, .act = PEER_RESET});
        else
            rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, rows[i].tried_ms, MINUTE_MS);
        be_away(&r, rows[i].away_ms);
        rig_afresh(&r);
        if (rows[i].failed)
            rig_says(&r, "GET", LIST, rows[i].failed, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, rows[i].status,
                 rows[i].status == 201 ? ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12")
                                       : "{\"error\":{\"code\":\"429\"}}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
        (void)rig_work(&r);
        rig_pass(&r, rows[i].then_ms, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        if (rows[i].status == 201)
            assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].ends == ISOLATION_PENDING);
        assert_int_equal(strstr(rig_told(&r, id), "not_isolated") != NULL,
                         rows[i].ends == ISOLATION_FAILED);
        rig_close(&r);
    }
}

#define AWAY_MACHINE "2222222222222222222222222222222222222222"

/* What was not asked for so long has no place under the limits any more; another that has it now keeps it. */
static void test_isolation__who_was_away_is_asked_for_within_the_limits_of_now(void **state)
{
    struct rig r;
    int64_t id, other;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {limits: [{isolations: 1, per: 1h}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    be_away(&r, 3 * HOUR_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_ALERT "da9", 0, 200,
             "{\"id\":\"da9\",\"severity\":\"High\",\"machineId\":\"" AWAY_MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", "/api/machines/" AWAY_MACHINE, 0, 200, "{\"id\":\"" AWAY_MACHINE "\"}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(
        &r, "POST", "/api/machines/" AWAY_MACHINE, 0, 201,
        "{\"id\":\"a9\",\"type\":\"Isolate\",\"status\":\"Pending\",\"machineId\":\"" AWAY_MACHINE
        "\",\"creationDateTimeUtc\":\"2025-01-07T13:11:12Z\"}");
    rig_says(&r, "GET", GET_ACTION, 0, 503, "{}");
    other = rig_push(&r, "da9", AWAY_MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 2 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/" AWAY_MACHINE), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_told(&r, other), "requested");
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the limit of 1 isolations"));
    rig_close(&r);
}

/* A tenant that is gone from the configuration does not leave cases waiting for ever. */
static void test_isolation__a_tenant_that_is_gone_ends_it(void **state)
{
    static const char *const other = RULES_ISOLATE_AND_MAIL;
    struct rig r;
    struct runtime *rt;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_answer(&r);
    rt = rig_runtime(&r, other);
    rt->config->tenants[0].name = "fabrikam"; /* the names are borrowed texts */
    engine_use(r.g, rt);
    rig_pass(&r, 5 * DAY_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_string_equal(rig_told(&r, id), "requested late not_isolated");
    rig_close(&r);
}

/* What somebody else has asked for is followed to its end as ours is, and then people are asked about it in time. */
static void test_isolation__what_was_adopted_is_followed_and_reviewed(void **state)
{
    static const char *const status[] = {"Pending", "Succeeded"};

    (void)state;
    for (size_t i = 0; i < sizeof status / sizeof *status; i++) {
        bool pending = i == 0;
        const char *action = pending ? ACTION_DOC("a1", "Isolate", "Pending", "null", "01:00")
                                     : ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00");
        struct isolation_record row;
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, action));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC("a1", "Isolate", "Succeeded", "null", "01:00"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 5 * SECOND_MS);
        row = rig_isolation(&r);
        print_message("  %s\n", status[i]);
        assert_int_equal(row.state, ISOLATION_ISOLATED);
        assert_true(row.adopted && row.confirmed >= row.requested && row.review > row.confirmed);
        assert_string_equal(rig_told(&r, id), pending ? "requested isolated" : "isolated");
        rig_pass(&r, 2 * DAY_MS, HOUR_MS);
        assert_non_null(strstr(rig_told(&r, id), "isolated review"));
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        rig_close(&r);
    }
}

/* ---- leases ----------------------------------------------------------------------------------------------------- */

/* Somebody else holds the case now: its former holder posts nothing and writes nothing. */
static void test_isolation__a_lost_lease_posts_nothing(void **state)
{
    struct rig r;
    struct work w;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    w.fence--; /* as if another had claimed it since */
    expand_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_RECEIVED);
    assert_int_equal(rig_isolation(&r).id, 0);
    rig_close(&r);
}

/* Nor does who goes on with a case that was judged in an earlier run: nothing else of that run looks at the lease. */
static void test_isolation__a_lost_lease_on_a_judged_case_posts_nothing(void **state)
{
    struct rig r;
    struct work w;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 2, 503, "{}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_ACTING);
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    w.fence--;
    expand_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_isolation(&r).id, 0);
    rig_close(&r);
}

/* The same run, and the tenant is gone by then. */
static void test_isolation__a_judged_case_of_a_tenant_that_is_gone_is_told(void **state)
{
    struct runtime *rt;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_ACTING);
    rt = rig_runtime(&r, RULES_ISOLATE_AND_MAIL);
    rt->config->tenants[0].name = "fabrikam"; /* the names are borrowed texts */
    engine_use(r.g, rt);
    rig_pass(&r, 10 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: tenant 'contoso' is no longer"));
    rig_close(&r);
}

static void test_isolation__a_lost_lease_on_the_isolation_posts_nothing(void **state)
{
    struct rig r;
    struct work w;

    (void)state;
    rig_open(&r, NULL);
    (void)lose_answer(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    w.fence--;
    isolation_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1); /* the lost one alone */
    rig_close(&r);
}

/* What came of the request is on disk, and its thread is about to say that it has ended, when another case of the machine
 * joins and wakes the row: whoever is given that in between does not keep it from being followed until his lease runs out. */
static void test_isolation__one_that_is_woken_right_after_its_record_is_followed_at_once(
    void **state)
{
    struct isolation_record asked;
    struct rig r;
    int64_t id, other;

    (void)state;
    rig_open(&r, NULL);
    rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200, OTHER_ALERT_DOC);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    asked = rig_isolation(&r);
    assert_int_equal(asked.state, ISOLATION_PENDING);
    rig_says(&r, "GET", LIST, 0, 200, list_of(&r, own_action(&r, "Succeeded")));
    rig_says(&r, "GET", GET_ACTION, 0, 200, own_action(&r, "Succeeded"));
    assert_true(engine_post_begins(r.g, asked.id)); /* as if it had not said so yet */
    other = rig_push(&r, OTHER_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, other).isolation, asked.id);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    assert_int_equal(rig_seen(&r, "GET", GET_ACTION), 0);
    engine_post_ended(r.g, asked.id);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_int_equal(rig_case(&r, other).state, CASE_DONE);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* ---- clocks ------------------------------------------------------------------------------------------ */

static void *work_in_thread(void *arg)
{
    struct work w;
    struct rig *r = arg;

    if (rig_claim(r, WORK_CASE, &w))
        expand_run(r->g, &w);
    return NULL;
}

/* The host's clock jumps (a sleeping laptop, a late NTP) while a POST is under way, and the lease seems to
 * have run out: the row is claimed again, but nothing is asked for beside the POST. */
static void test_isolation__a_clock_that_jumps_sends_nothing_twice(void **state)
{
    struct rig r;
    struct work w;
    struct defender_action action;
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    pthread_t thread;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    peer_script(r.peer, &(struct peer_answer){
                            .method = "POST",
                            .target = ISOLATE,
                            .status = 201,
                            .body = ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"),
                            .gather = 6}); /* token, alert, machine, list, POST, and one more */
    (void)rig_push(&r, ALERT, MACHINE);
    assert_int_equal(pthread_create(&thread, NULL, work_in_thread, &r), 0);
    assert_non_null(peer_request(r.peer, 4));
    atomic_fetch_add(&r.hands.wall, 6 * MINUTE_MS);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    isolation_run(r.g, &w);
    assert_int_equal(peer_count(r.peer), 5);
    rt = engine_runtime(r.g);
    (void)defender_get_action(rt->tenants[0].defender, DEFENDER_ISOLATION, MACHINE, "x", &action,
                              NULL); /* lets the POST end */
    (void)pthread_join(thread, NULL);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, list_of(&r, own_action(&r, "Succeeded")));
    /* Nothing could be written of it, its claim was lost: it rests all the same, when the second lease has run out
     * as well. */
    atomic_fetch_add(&r.hands.wall, MINUTE_MS);
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 0);
    rig_pass(&r, 10 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

/* A clock that is set back does not make a lost answer wait until it has caught up. */
static void test_isolation__a_clock_set_back_delays_no_look(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_answer(&r);
    atomic_fetch_add(&r.hands.wall, -(2 * HOUR_MS));
    assert_int_equal(store_work_recover(r.store, NULL), ERR_OK); /* as at a start */
    rig_says(&r, "GET", LIST, 0, 200, list_of(&r, own_action(&r, "Succeeded")));
    rig_pass(&r, MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Who follows it writes nothing either when somebody else holds it. */
static void test_isolation__a_lost_lease_on_what_is_followed_writes_nothing(void **state)
{
    struct rig r;
    struct work w;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    w.fence--;
    isolation_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "GET", GET_ACTION), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    assert_string_equal(rig_told(&r, id), "requested");
    rig_close(&r);
}

/* ---- many at once --------------------------------------------------------------------------------- */

#define LOOKS    "/api/machineactions?$filter=machineId%20in%20("
#define LISTED   "/api/machineactions?$filter=id%20in%20("
#define MACHINE2 "1111111111111111111111111111111111111111"
#define ISOLATE2 "/api/machines/" MACHINE2 "/isolate"
#define OF_OTHER(id, type, status)                                                                 \
    "{\"id\":\"" id "\",\"type\":\"" type "\",\"status\":\"" status "\",\"machineId\":\"" MACHINE2 \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\",\"externalId\":null,"                     \
    "\"requestor\":\"somebody\"}"

/* Two cases of two machines wait, both to be isolated; their rows are made, nothing is asked for yet. */
static void ask_for_two(struct rig *r, int64_t ids[2])
{
    hands_turn(&r->hands, 1); /* the next moment is not now */
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", "/api/alerts?", 0, 200,
             "{\"value\":[{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE
             "\"},{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE2 "\"}]}");
    rig_says(r, "GET", "/api/machines?", 0, 200,
             "{\"value\":[{\"id\":\"" MACHINE "\"},{\"id\":\"" MACHINE2 "\"}]}");
    ids[0] = rig_push(r, "da1_-1", NULL);
    ids[1] = rig_push(r, "da2_-1", NULL);
    atomic_store(&r->g->crowd[WORK_CASE], true);
    (void)rig_work(r);
    assert_int_equal(rig_seen(r, "POST", "/api/machines/"), 0);
    atomic_store(&r->g->crowd[WORK_ISOLATION], true);
}

/* Nothing was asked for yet, which may take minutes and may come to nothing: nobody is told that Defender was asked, nor is the
 * helpdesk. */
static void test_isolation__who_waits_for_his_turn_is_told_so(void **state)
{
    int64_t ids[2];
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    assert_string_equal(rig_told(&r, ids[1]), "requested");
    assert_null(strstr(rig_words(&r, ids[1]), "Defender has been asked"));
    assert_non_null(strstr(rig_words(&r, ids[1]), "when its turn comes"));
    rig_close(&r);
    rig_open(&r, "rules: [{name: contain, do: [isolate: {}, email: {}, email: {audience: desk,"
                 " to: [desk@x.example]}]}]\n");
    ask_for_two(&r, ids);
    assert_string_equal(rig_told(&r, ids[1]), "requested requested");
    assert_null(strstr(rig_words(&r, ids[1]), "has been asked for"));
    assert_null(strstr(rig_words(&r, ids[1]), "is being cut off"));
    assert_non_null(strstr(rig_words(&r, ids[1]), "Its turn is still to come"));
    assert_null(strstr(rig_words(&r, ids[1]), "Since"));
    rig_close(&r);
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    ids[0] = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_non_null(strstr(rig_words(&r, ids[0]), "Defender has been asked"));
    rig_close(&r);
}

static int64_t isolation_of(struct rig *r, int64_t case_id)
{
    return rig_case(r, case_id).isolation;
}

static struct isolation_record record_of(struct rig *r, int64_t case_id)
{
    struct isolation_record row;

    assert_int_equal(store_isolation_load(r->store, r->arena, isolation_of(r, case_id), &row, NULL),
                     ERR_OK);
    return row;
}

/* Nor does a look that nobody has taken hold it up: of many that come under the new name together each is asked for by its own run,
 * which looks. */
static void test_isolation__a_tenant_that_is_renamed_is_held_up_by_no_storm(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    r.tenant = "lab"; /* the same tenant_id */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    hands_turn(&r.hands, HOUR_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", "/api/alerts?", 0, 200,
             "{\"value\":[{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE
             "\"},{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE2 "\"}]}");
    rig_says(&r, "GET", "/api/machines?", 0, 200,
             "{\"value\":[{\"id\":\"" MACHINE "\"},{\"id\":\"" MACHINE2 "\"}]}");
    id = rig_push_to(&r, "lab", "da1_-1", NULL, false);
    (void)rig_push_to(&r, "lab", "da2_-1", NULL, false);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    assert_true(isolation_of(&r, id) != 0);
    rig_close(&r);
}

/* One look for both: what a person has isolated is adopted, the other is asked for; and one list says how
 * both stand. */
static void test_isolation__many_share_a_look_and_a_list(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 200,
             "{\"value\":[" OF_OTHER("a-person-s", "Isolate", "Pending") "]}");
    rig_says(&r, "GET", LISTED, 0, 200,
             "{\"value\":[" OF_OTHER("a-person-s", "Isolate", "Succeeded") "," ACTION_DOC(
                 ACTION, "Isolate", "Succeeded", "null", "11:12") "]}");
    rig_takes_isolate(&r, 0);
    hands_turn(&r.hands, 4 * SECOND_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 0);
    assert_true(record_of(&r, ids[1]).adopted);
    assert_false(record_of(&r, ids[0]).adopted);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    hands_turn(&r.hands, MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", LISTED), 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(record_of(&r, ids[i]).state, ISOLATION_ISOLATED);
        assert_int_equal(rig_case(&r, ids[i]).state, CASE_DONE);
    }
    rig_close(&r);
}

static void run_nothing(void *ctx, struct work *w)
{
    (void)ctx, (void)w; /* these workers have no share of anything */
}

static struct {
    struct rig *r;
    pthread_t here; /* others ask for the time, too */
} stopping;

/* Once an isolation was asked for, the server is told to stop. */
static int64_t stopping_wall(const struct clock *c)
{
    struct rig *r = pthread_equal(pthread_self(), stopping.here) ? stopping.r : NULL;

    if (r && rig_seen(r, "POST", "/api/machines/")) {
        stopping.r = NULL;
        engine_quiesce(r->g);
    }
    return hands_wall(c);
}

/* Once the intent is on disk, the process stands still for as long as its lease lasts. */
static int64_t standing_wall(const struct clock *c)
{
    struct rig *r = pthread_equal(pthread_self(), stopping.here) ? stopping.r : NULL;

    if (r && rig_isolation(r).posted) {
        stopping.r = NULL;
        atomic_fetch_add(&r->hands.wall, WORK_POST_LEASE_MS);
    }
    return hands_wall(c);
}

/* Another one may have asked for it by then: nothing leaves before the next look. */
static void test_isolation__who_stood_still_between_intent_and_request_asks_for_nothing(
    void **state)
{
    struct work w;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    (void)rig_push(&r, ALERT, MACHINE);
    stopping.here = pthread_self();
    stopping.r = &r;
    r.hands.clock.wall_ms = standing_wall;
    assert_true(rig_claim(&r, WORK_CASE, &w));
    expand_run(r.g, &w);
    assert_null(stopping.r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    rig_pass(&r, 2 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_true(rig_seen(&r, "GET", LIST) > 1);
    rig_close(&r);
}

/* What is under way comes to its end, and nothing more is begun: the others of many are the next process's. */
static void test_isolation__a_stop_asks_for_no_more_of_many(void **state)
{
    struct workers_options options = {.threads = 1, .run = run_nothing};
    struct work w;
    struct rig r;
    int64_t ids[2], left;

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF_OTHER("a-second", "Isolate", "Pending"));
    options.store = r.store;
    stopping.here = pthread_self();
    r.hands.clock.wall_ms = stopping_wall; /* before there are others who read it */
    assert_int_equal(workers_start(&options, &r.g->workers, NULL), ERR_OK);
    hands_turn(&r.hands, 4 * SECOND_MS);
    stopping.r = &r;
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    isolation_run(r.g, &w);
    assert_null(stopping.r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 1);
    left = record_of(&r, ids[0]).state == ISOLATION_REQUESTED ? ids[0] : ids[1];
    assert_int_equal(record_of(&r, left == ids[0] ? ids[1] : ids[0]).state, ISOLATION_PENDING);
    assert_int_equal(record_of(&r, left).state, ISOLATION_REQUESTED);
    assert_int_equal(record_of(&r, left).posted, 0);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w)); /* at once, by whoever comes */
    assert_int_equal(w.id, isolation_of(&r, left));
    rig_close(&r);
}

/* A look that cannot be read, or that failed, is none: nothing is asked for. */
static void test_isolation__without_a_look_nothing_is_asked_for_many_either(void **state)
{
    static const struct {
        int status;
        const char *body;
    } rows[] = {
        {500, "{}"},
        {200, "{\"value\":[{\"id\":\"x\"}]}"},
        {200, "{\"value\":[" ACTION_DOC("x", "Isolate", "Pending", "null", "11:12") ",7]}"},
        {200, "[]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[2];

        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rig_says(&r, "GET", LIST, 0, rows[i].status, rows[i].body);
        for (int k = 0; k < 5; k++) {
            atomic_store(&r.g->crowd[WORK_ISOLATION], true);
            rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
        }
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
        assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_REQUESTED);
        assert_int_equal(record_of(&r, ids[1]).state, ISOLATION_REQUESTED);
        rig_close(&r);
    }
}

/* The same of those that are asked after together. */
static void test_isolation__a_list_of_other_actions_is_no_news_of_many(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 200, NOTHING);
    rig_says(&r, "GET", LISTED, 0, 200,
             "{\"value\":[" OF_OTHER(ACTION, "Isolate", "Succeeded") "," OF_OTHER(
                 "b2", "Unisolate", "Succeeded") "]}");
    rig_says(&r, "GET", GET_ACTION, 0, 404, "");
    rig_takes_isolate(&r, 0);
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF_OTHER("b2", "Isolate", "Pending"));
    hands_turn(&r.hands, 4 * SECOND_MS);
    (void)rig_work(&r);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    hands_turn(&r.hands, MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", LISTED), 1);
    assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_PENDING);
    assert_int_equal(record_of(&r, ids[1]).state, ISOLATION_PENDING);
    rig_close(&r);
}

/* What cannot be read of one machine is a doubt about that one: the others are seen to. */
static void test_isolation__a_strange_action_of_one_holds_no_other_up(void **state)
{
    static const char *const strange[] = {
        "{\"id\":\"b2\",\"type\":\"Isolate\",\"status\":null,\"machineId\":\"" MACHINE2
        "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\"}",
        "{\"id\":\"b2\",\"type\":\"Isolate\",\"status\":\"Failed\",\"machineId\":\"" MACHINE2
        "\",\"creationDateTimeUtc\":\"yesterday\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        struct rig r;
        int64_t ids[2];

        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, strange[i]));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
        rig_takes_isolate(&r, 0);
        for (int k = 0; k < 5; k++) {
            atomic_store(&r.g->crowd[WORK_ISOLATION], true);
            rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
        }
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_PENDING);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 0);
        assert_int_equal(record_of(&r, ids[1]).state, ISOLATION_REQUESTED);
        rig_close(&r);
    }
}

/* An answer that was lost among many is looked for, and never sent again blindly. */
static void test_isolation__a_lost_answer_among_many_is_looked_for(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 503, "");
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF_OTHER("b2", "Isolate", "Pending"));
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:20") "]}");
    rig_says(&r, "GET", "/api/machineactions/b2", 0, 200, OF_OTHER("b2", "Isolate", "Pending"));
    rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:20"));
    for (int k = 0; k < 10; k++) {
        atomic_store(&r.g->crowd[WORK_ISOLATION], true);
        rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
    }
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 1);
    assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_PENDING);
    assert_string_equal(record_of(&r, ids[0]).action_id, ACTION);
    rig_close(&r);
}

/* Takes calls of the tenant's until so many are left for actions. */
static void leave_calls(struct rig *r, int64_t left)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(r->g);
    struct quota *q = runtime_tenant(rt, "contoso")->quota;

    while (quota_room(q, true) > left)
        assert_int_equal(quota_take(q, true, NULL), ERR_OK);
}

/* cordon was down for days, and a storm of alerts at its start takes the calls: that there is none to ask with is no word of Defender's,
 * and nothing is given up for it. */
static void test_isolation__calls_that_others_use_up_give_none_up_unseen(void **state)
{
    static const bool lost[] = {false, true}; /* the answer to the request */

    (void)state;
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        if (lost[i]) {
            id = lose_answer(&r);
        } else {
            rig_afresh(&r);
            rig_says(&r, "GET", LIST, 1, 200, NOTHING);
            rig_takes_isolate(&r, 0);
            id = rig_push(&r, ALERT, MACHINE);
            (void)rig_work(&r);
        }
        rig_says(&r, "GET", LIST, 0, 200, list_of(&r, own_action(&r, "Succeeded")));
        rig_says(&r, "GET", GET_ACTION, 0, 200, own_action(&r, "Succeeded"));
        hands_turn(&r.hands, 5 * DAY_MS);
        for (int64_t ms = 0; ms < 3 * HOUR_MS; ms += MINUTE_MS / 4) {
            leave_calls(&r, 0);
            (void)rig_work(&r);
            hands_turn(&r.hands, MINUTE_MS / 4);
        }
        assert_int_equal(rig_seen(&r, "GET", GET_ACTION), 0);
        assert_int_equal(rig_isolation(&r).state,
                         lost[i] ? ISOLATION_REQUESTED : ISOLATION_PENDING);
        rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_null(strstr(rig_told(&r, id), "not_isolated"));
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* What is kept for actions serves the look before them as well; and a look that leaves no call for the request is
 * not taken. */
static void test_isolation__the_reserve_is_for_the_look_too(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF_OTHER("other", "Isolate", "Pending"));
    leave_calls(&r, 1);
    hands_turn(&r.hands, 4 * SECOND_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 0);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    rig_pass(&r, 50 * SECOND_MS, 5 * SECOND_MS); /* still the same minute */
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 0);
    hands_turn(&r.hands, 10 * SECOND_MS);
    leave_calls(&r, 3); /* reads have none */
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 1);
    rig_close(&r);
}

/* Calls that come free a few at a time are left until there are enough for many: each look is a call. */
static void test_isolation__a_few_calls_are_left_to_come_together(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/", 0, 500, "{}");
    leave_calls(&r, 40);
    hands_turn(&r.hands, 20 * SECOND_MS); /* the others are a minute old in forty seconds */
    leave_calls(&r, 2);                   /* a look and one request */
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 0);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    rig_close(&r);
}

static struct runtime_tenant *tenant_of(struct runtime *rt)
{
    return runtime_tenant(rt, "contoso");
}

/* A look that is kept costs no call, and then one call is enough; nor does it wait until there are more, if that
 * would be long after. */
static void test_isolation__a_single_call_is_used_when_looks_are_kept(void **state)
{
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct rig r;
    int64_t ids[2], now;

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rt = engine_runtime(r.g);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/", 0, 500, "{}");
    hands_turn(&r.hands, 61 * SECOND_MS);
    assert_int_equal(quota_take(tenant_of(rt)->quota, true, NULL), ERR_OK);
    hands_turn(&r.hands, 40 * SECOND_MS);
    leave_calls(&r, 0); /* one is free in 20 s, the next in 60 */
    now = clock_wall_ms(&r.hands.clock);
    storm_note_bare(tenant_of(rt)->storm, MACHINE, now);
    storm_note_bare(tenant_of(rt)->storm, MACHINE2, now);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    hands_turn(&r.hands, 21 * SECOND_MS);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 1);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions?"), 0);
    rig_close(&r);
}

/* Runs what is due as one of many, every second. */
static void pass_crowded(struct rig *r, int64_t total_ms)
{
    for (int64_t t = 0; t < total_ms; t += SECOND_MS) {
        atomic_store(&r->g->crowd[WORK_ISOLATION], true);
        hands_turn(&r->hands, SECOND_MS);
        (void)rig_work(r);
    }
}

/* The far side takes both. */
static void takes_both(struct rig *r)
{
    rig_takes_isolate(r, 0);
    rig_says(r, "POST", ISOLATE2, 0, 201, OF_OTHER("b2", "Isolate", "Pending"));
}

/* What a look found on a machine that is next is not kept as if it had found nothing: it is looked at in its turn. */
static void test_isolation__only_a_bare_machine_s_look_is_kept(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    r.tenants = "    quota: {per_minute: 15}\n"; /* of the first one's: two are many */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    ask_for_two(&r, ids);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200,
             "{\"value\":[" ACTION_DOC("a-person-s", "Isolate", "Pending", "null", "11:12") "]}");
    rig_takes_isolate(&r, 0);
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF_OTHER("other", "Isolate", "Pending"));
    leave_calls(&r, 4);
    hands_turn(&r.hands, 20 * SECOND_MS);
    leave_calls(&r, 2); /* a look at both and one request */
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions?"), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    hands_turn(&r.hands,
               41 * SECOND_MS); /* the first calls are free again, and the look is young */
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions?"), 2);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_true(record_of(&r, ids[0]).adopted);
    rig_close(&r);
}

/* Their turn comes after the policy has changed: a look alone is no ground for the request. */
static void test_isolation__many_are_judged_again_when_the_policy_has_changed(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", GET_ALERT "da1_-1", 0, 200,
             "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_ALERT "da2_-1", 0, 200,
             "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE2 "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", "/api/machines/" MACHINE2, 0, 200, "{\"id\":\"" MACHINE2 "\"}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    takes_both(&r);
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    pass_crowded(&r, 30 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(record_of(&r, ids[i]).state, ISOLATION_FAILED);
        assert_string_equal(rig_told(&r, ids[i]), "requested not_isolated");
    }
    rig_close(&r);
}

/* A look is kept for a minute, and is none when the row was written since. */
static void test_isolation__a_kept_look_is_young_and_newer_than_the_row(void **state)
{
    (void)state;
    for (int old = 0; old < 2; old++) {
        AUTO(runtime_unrefp) struct runtime *rt = NULL;
        struct rig r;
        int64_t ids[2], read_ms;

        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rt = engine_runtime(r.g);
        rig_says(&r, "GET", LOOKS, 0, 200,
                 "{\"value\":[" OF_OTHER("a-person-s", "Isolate", "Pending") "]}");
        takes_both(&r);
        read_ms = record_of(&r, ids[1]).updated;
        if (old)
            hands_turn(&r.hands, 61 * SECOND_MS);
        else
            read_ms--;
        storm_note_bare(tenant_of(rt)->storm, MACHINE, read_ms);
        storm_note_bare(tenant_of(rt)->storm, MACHINE2, read_ms);
        pass_crowded(&r, 5 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "GET", LOOKS), 1);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 0);
        rig_close(&r);
    }
}

/* The request for the first took long: the look that both share is none for the second any more. */
static void test_isolation__a_shared_look_ages_while_others_are_asked_for(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200, /* a person was faster */
             "{\"value\":[" OF_OTHER("p2", "Isolate", "Pending") "," ACTION_DOC(
                 "p1", "Isolate", "Pending", "null", "11:12") "]}");
    takes_both(&r);
    hands_turn(&r.hands, 4 * SECOND_MS);
    late = &r;
    r.hands.clock.wall_ms = late_wall;
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 1);
    r.hands.clock.wall_ms = hands_wall;
    rig_close(&r);
}

/* Another case of the machine wakes its isolation, whose answer was lost: that is no reason to look, and to ask, before the
 * first request must have come to light. */
static void test_isolation__a_lost_answer_among_many_rests_though_it_is_woken(void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    peer_script(r.peer, &(struct peer_answer){
                            .method = "POST", .target = "/api/machines/", .act = PEER_CLOSE});
    rig_says(&r, "GET", GET_ALERT "da3_-1", 0, 200,
             "{\"id\":\"da3_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", GET_ALERT "da4_-1", 0, 200,
             "{\"id\":\"da4_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE2 "\"}");
    rig_says(&r, "GET", "/api/machines/" MACHINE2, 0, 200, "{\"id\":\"" MACHINE2 "\"}");
    pass_crowded(&r, 5 * SECOND_MS);
    for (int i = 0; i < 2; i++)
        assert_true(record_of(&r, ids[i]).posted > 0);
    atomic_store(&r.g->crowd[WORK_CASE], false);
    for (int i = 0; i < 2; i++) {
        struct work w;

        (void)rig_push(&r, i ? "da4_-1" : "da3_-1", i ? MACHINE2 : MACHINE);
        assert_true(rig_claim(&r, WORK_CASE, &w));
        expand_run(r.g, &w);
    }
    pass_crowded(&r, 4 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 2);
    rig_close(&r);
}

/* Where Defender takes no list of them, or its lists go on failing, each is looked at, and asked after, alone; and so is what a list
 * leaves out. */
static void test_isolation__what_is_not_listed_is_asked_for_alone(void **state)
{
    static const struct {
        int looks, listed;
        const char *list;
    } rows[] = {
        {400, 400, "{}"},
        {200, 200, "{\"value\":[" OF_OTHER("b2", "Isolate", "Succeeded") "]}"},
        {500, 200, "{\"value\":[" OF_OTHER("b2", "Isolate", "Succeeded") "]}"},
        {200, 504, ""},
        {200, 404, "{\"error\":{\"code\":\"NotFound\"}}"},
        {200, 200, "{\"value\":[" OF_OTHER("b3", "Isolate", "Succeeded") "]}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[2];

        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rig_says(&r, "GET", LOOKS, 0, rows[i].looks, NOTHING);
        rig_says(&r, "GET", LISTED, 0, rows[i].listed, rows[i].list);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        takes_both(&r);
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        rig_says(&r, "GET", "/api/machineactions/b2", 0, 200,
                 OF_OTHER("b2", "Isolate", "Succeeded"));
        print_message("row %zu\n", i);
        pass_crowded(&r, 2 * MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 1);
        for (int k = 0; k < 2; k++)
            assert_int_equal(record_of(&r, ids[k]).state, ISOLATION_ISOLATED);
        rig_close(&r);
    }
}

/* Once it was asked how one action stands, to find out whether that is said, and once more, five minutes have passed. */
static struct rig *slow;

static int64_t slow_wall(const struct clock *c)
{
    return hands_wall(c) + (rig_seen(slow, "GET", GET_ACTION) > 1 ? 5 * MINUTE_MS : 0);
}

/* Many were asked after one by one, and it took minutes until it was this one's turn: who has released it meanwhile is seen. */
static void test_isolation__who_is_asked_after_alone_has_grown_older_meanwhile(void **state)
{
    struct rig r;
    int64_t ids[2];
    int isolated = 0, released = 0;

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 200, NOTHING);
    rig_says(&r, "GET", LISTED, 0, 504, "");
    rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION "b2", 0, 200, OF_OTHER("b2", "Isolate", "Succeeded"));
    rig_says(&r, "GET", "/api/machineactions?$filter=machineId%20eq%20%27" MACHINE "%27", 0, 200,
             "{\"value\":[" DONE_DOC("u1", "Unisolate", "14:00", "14:10") "," ACTION_DOC(
                 ACTION, "Isolate", "Succeeded", "null", "12:12") "]}");
    rig_says(&r, "GET", "/api/machineactions?$filter=machineId%20eq%20%27" MACHINE2 "%27", 0, 200,
             "{\"value\":[{\"id\":\"u2\",\"type\":\"Unisolate\",\"status\":\"Succeeded\","
             "\"machineId\":\"" MACHINE2 "\",\"creationDateTimeUtc\":\"2025-01-07T10:14:00Z\","
             "\"lastUpdateDateTimeUtc\":\"2025-01-07T10:14:10Z\"}," OF_OTHER("b2", "Isolate",
                                                                             "Succeeded") "]}");
    takes_both(&r);
    slow = &r;
    r.hands.clock.wall_ms = slow_wall;
    pass_crowded(&r, 2 * MINUTE_MS);
    for (int i = 0; i < 2; i++) {
        isolated += record_of(&r, ids[i]).state == ISOLATION_ISOLATED;
        released += record_of(&r, ids[i]).state == ISOLATION_RELEASED;
    }
    assert_int_equal(isolated, 1);
    assert_int_equal(released, 1);
    r.hands.clock.wall_ms = hands_wall;
    rig_close(&r);
}

/* Whether Defender says how one action stands is asked of just that: that it does not list the actions of a machine either is nothing to
 * wait for. */
static void test_isolation__many_are_followed_where_nothing_at_all_is_listed(void **state)
{
    (void)state;
    for (int unknown = -1; unknown < 2;
         unknown++) { /* Defender knows nothing of this one any more */
        struct rig r;
        int64_t ids[2];

        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rig_says(&r, "GET", LOOKS, 1, 200, NOTHING);
        takes_both(&r);
        hands_turn(&r.hands, 4 * SECOND_MS);
        (void)rig_work(&r);
        rig_says(&r, "GET", LIST, 0, 500, "{}");
        if (unknown != 0)
            rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                     ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        else
            rig_says(&r, "GET", GET_ACTION ACTION, 0, 404,
                     "{\"error\":{\"code\":\"ResourceNotFound\"}}");
        if (unknown != 1)
            rig_says(&r, "GET", GET_ACTION "b2", 0, 200, OF_OTHER("b2", "Isolate", "Succeeded"));
        else
            rig_says(&r, "GET", GET_ACTION "b2", 0, 404,
                     "{\"error\":{\"code\":\"ResourceNotFound\"}}");
        print_message("  %d\n", unknown);
        pass_crowded(&r, 2 * MINUTE_MS);
        for (int i = 0; i < 2; i++)
            assert_int_equal(record_of(&r, ids[i]).state,
                             i == unknown ? ISOLATION_PENDING : ISOLATION_ISOLATED);
        rig_close(&r);
    }
}

#define CROWD 40

/* The i-th of many machines. */
static const char *machine_of_many(struct rig *r, int i)
{
    return arena_fmt(r->arena, "%040x", 0x1000 + i);
}

/* As many cases of as many machines, all to be isolated; one by one Defender would say anything of them. */
static void ask_for_a_crowd(struct rig *r, int64_t ids[CROWD])
{
    AUTO(buf_clear) struct buf alerts = BUF_INIT(1 << 20), machines = BUF_INIT(1 << 20);

    hands_turn(&r->hands, 1);
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    for (int i = 0; i < CROWD; i++) {
        const char *machine = machine_of_many(r, i);
        const char *doc = arena_fmt(r->arena,
                                    "\"id\":\"a%02d\",\"type\":\"Isolate\",\"machineId\":\"%s\","
                                    "\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\"}",
                                    i, machine);

        buf_addf(&alerts, "%s{\"id\":\"da%d_-1\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                 i ? "," : "", i, machine);
        buf_addf(&machines, "%s{\"id\":\"%s\"}", i ? "," : "", machine);
        rig_says(r, "POST", arena_fmt(r->arena, "/api/machines/%s/isolate", machine), 0, 201,
                 arena_fmt(r->arena, "{\"status\":\"Pending\",%s", doc));
        rig_says(r, "GET", arena_fmt(r->arena, GET_ACTION "a%02d", i), 0, 200,
                 arena_fmt(r->arena, "{\"status\":\"Succeeded\",%s", doc));
        ids[i] = rig_push(r, arena_fmt(r->arena, "da%d_-1", i), NULL);
    }
    rig_says(r, "GET", "/api/alerts?", 0, 200,
             arena_fmt(r->arena, "{\"value\":[%s]}", buf_text(&alerts)));
    rig_says(r, "GET", "/api/machines?", 0, 200,
             arena_fmt(r->arena, "{\"value\":[%s]}", buf_text(&machines)));
    atomic_store(&r->g->crowd[WORK_CASE], true);
    (void)rig_work(r);
    assert_int_equal(rig_seen(r, "POST", "/api/machines/"), 0);
}

/* Nor do lists of their actions that go on failing keep a crowd of machines from being isolated, or people from hearing that they are. */
static void test_isolation__lists_that_go_on_failing_hold_no_crowd_up(void **state)
{
    struct rig r;
    int64_t ids[CROWD];

    (void)state;
    rig_open(&r, NULL);
    ask_for_a_crowd(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 500, "{}");
    rig_says(&r, "GET", LISTED, 0, 504, "");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_pass(&r, 3 * MINUTE_MS, 2 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), CROWD);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(record_of(&r, ids[i]).state, ISOLATION_ISOLATED);
        assert_int_equal(rig_case(&r, ids[i]).state, CASE_DONE);
    }
    rig_close(&r);
}

/* As when it is followed alone: what was released before anybody looked is not called isolated. */
static void test_isolation__one_of_many_released_before_the_look_is_not_called_isolated(
    void **state)
{
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 1, 200, NOTHING);
    rig_says(&r, "GET", LOOKS, 0, 200,
             "{\"value\":[" DONE_DOC("u1", "Unisolate", "14:00", "14:10") "," ACTION_DOC(
                 ACTION, "Isolate", "Succeeded", "null", "12:12") "]}");
    takes_both(&r);
    hands_turn(&r.hands, 4 * SECOND_MS);
    (void)rig_work(&r);
    assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_PENDING);
    hands_turn(&r.hands, 20 * MINUTE_MS); /* nobody looked meanwhile */
    rig_says(&r, "GET", LISTED, 0, 200,
             "{\"value\":[" OF_OTHER("b2", "Isolate", "Pending") "," ACTION_DOC(
                 ACTION, "Isolate", "Succeeded", "null", "12:12") "]}");
    pass_crowded(&r, 2 * SECOND_MS);
    assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_RELEASED);
    rig_close(&r);
}

/* Where Defender takes no list of machines to look at, or it goes on failing, each is looked at alone all the same: what was released, or
 * came to nothing beside another isolation, is told as it is. */
static void test_isolation__many_are_looked_at_alone_where_no_list_is_taken(void **state)
{
    static const struct {
        int looks;
        int64_t within_ms;
    } rows[] = {{400, 2 * SECOND_MS}, {500, 10 * MINUTE_MS}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[2];

        print_message("row %zu\n", i);
        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rig_says(&r, "GET", LOOKS, 1, 200, NOTHING);
        takes_both(&r);
        hands_turn(&r.hands, 4 * SECOND_MS);
        (void)rig_work(&r);
        for (int k = 0; k < 2; k++)
            assert_int_equal(record_of(&r, ids[k]).state, ISOLATION_PENDING);
        hands_turn(&r.hands, 20 * MINUTE_MS); /* nobody looked meanwhile */
        rig_says(&r, "GET", LISTED, 0, 200,
                 "{\"value\":[" OF_OTHER("b2", "Isolate", "Cancelled") "," ACTION_DOC(
                     ACTION, "Isolate", "Succeeded", "null", "12:12") "]}");
        rig_says(&r, "GET", LOOKS, 0, rows[i].looks, "{}");
        rig_says(&r, "GET", "/api/machineactions?$filter=machineId%20eq%20%27" MACHINE "%27", 0,
                 200,
                 "{\"value\":[" DONE_DOC("u1", "Unisolate", "14:00", "14:10") "," ACTION_DOC(
                     ACTION, "Isolate", "Succeeded", "null", "12:12") "]}");
        rig_says(&r, "GET", "/api/machineactions?$filter=machineId%20eq%20%27" MACHINE2 "%27", 0,
                 200, "{\"value\":[" OF_OTHER("c3", "Isolate", "Succeeded") "]}");
        pass_crowded(&r, rows[i].within_ms);
        assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_RELEASED);
        assert_int_equal(record_of(&r, ids[1]).state, ISOLATION_ISOLATED);
        assert_string_equal(record_of(&r, ids[1]).action_id, "c3");
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 2);
        rig_close(&r);
    }
}

#define LOOK_ALONE "/api/machineactions?$filter=machineId%20eq"

/* Each look at one machine takes so long. */
static int64_t slow_mono(const struct clock *c)
{
    return hands_mono(c) + (int64_t)rig_seen(slow, "GET", LOOK_ALONE) * 20 * SECOND_MS;
}

/* One that begins to hang meanwhile is not waited for by each of them, one after the other: others in the same hands have requests that
 * are still to leave. */
static void test_isolation__a_defender_that_hangs_is_not_looked_at_one_by_one(void **state)
{
    static const int refuses[] = {400, 500};

    (void)state;
    for (size_t row = 0; row < sizeof refuses / sizeof *refuses; row++) {
        size_t before = 0, most = 0;
        struct rig r;
        int64_t ids[2];

        print_message("row %zu\n", row);
        rig_open(&r, NULL);
        ask_for_two(&r, ids);
        rig_says(&r, "GET", LOOKS, 1, 200, NOTHING);
        takes_both(&r);
        hands_turn(&r.hands, 4 * SECOND_MS);
        (void)rig_work(&r);
        hands_turn(&r.hands, 20 * MINUTE_MS);
        rig_says(&r, "GET", LISTED, 0, 200,
                 "{\"value\":[" OF_OTHER("b2", "Isolate", "Succeeded") "," ACTION_DOC(
                     ACTION, "Isolate", "Succeeded", "null", "12:12") "]}");
        rig_says(&r, "GET", LOOKS, 0, refuses[row], "{}");
        if (refuses[row] == 500) /* does it say of one what it does not say of many? */
            rig_says(&r, "GET", LOOK_ALONE, 1, 200, NOTHING);
        rig_says(&r, "GET", LOOK_ALONE, 0, 503, "");
        slow = &r;
        r.hands.clock.mono_ms = slow_mono;
        for (int i = 0; i < 30; i++) {
            atomic_store(&r.g->crowd[WORK_ISOLATION], true);
            hands_turn(&r.hands, 10 * SECOND_MS);
            (void)rig_work(&r);
            most = rig_seen(&r, "GET", LOOK_ALONE) - before > most
                       ? rig_seen(&r, "GET", LOOK_ALONE) - before
                       : most;
            before = rig_seen(&r, "GET", LOOK_ALONE);
        }
        assert_int_equal(most, refuses[row] == 500 ? 2 : 1);
        r.hands.clock.mono_ms = hands_mono;
        rig_close(&r);
    }
}

/* Many whose tenant is gone from the configuration are nobody's crowd. */
static void test_isolation__many_of_a_tenant_that_is_gone_wait_one_by_one(void **state)
{
    struct runtime *rt;
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rt = rig_runtime(&r, RULES_ISOLATE_AND_MAIL);
    rt->config->tenants[0].name = "fabrikam"; /* the names are borrowed texts */
    engine_use(r.g, rt);
    pass_crowded(&r, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    for (int i = 0; i < 2; i++)
        assert_string_equal(record_of(&r, ids[i]).why, "tenant 'contoso' is no longer configured");
    rig_close(&r);
}

/* When it is the turn of the cases, isolations leave what reads may use, and that is not for long: who said that he
 * waits may have gone. */
static void test_isolation__leaves_calls_to_who_reads_next(void **state)
{
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct rig r;
    int64_t ids[2];

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rt = engine_runtime(r.g);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/", 0, 500, "{}");
    hands_turn(&r.hands, 61 * SECOND_MS);
    leave_calls(&r, 22); /* two for reads, twenty for actions */
    storm_wait_turn(tenant_of(rt)->storm);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    for (int i = 0; i < 4; i++) {
        hands_turn(&r.hands, SECOND_MS);
        atomic_store(&r.g->crowd[WORK_ISOLATION], true);
        (void)rig_work(&r);
    }
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 2);
    rig_close(&r);
}

/* Nor does each look by itself because another worker took the others of that moment; nor ask how it stands. But they do
 * not wait for each other for ever: one of them looks for all. */
static void test_isolation__who_is_one_of_many_waits_for_the_others(void **state)
{
    struct rig r;
    int64_t ids[2];
    struct work one, other;

    (void)state;
    rig_open(&r, NULL);
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LOOKS, 0, 200, NOTHING);
    rig_says(&r, "GET", LISTED, 0, 200,
             "{\"value\":[" OF_OTHER("b2", "Isolate", "Succeeded") "," ACTION_DOC(
                 ACTION, "Isolate", "Succeeded", "null", "11:12") "]}");
    rig_takes_isolate(&r, 0);
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF_OTHER("b2", "Isolate", "Pending"));
    hands_turn(&r.hands, 20 * SECOND_MS);
    assert_true(rig_claim(&r, WORK_ISOLATION, &one));
    assert_true(rig_claim(&r, WORK_ISOLATION, &other));
    leave_calls(&r, 50);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    isolation_run(r.g, &one);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    isolation_run(r.g, &other);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 1);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 2);
    assert_int_equal(record_of(&r, ids[0]).state, ISOLATION_PENDING);
    hands_turn(&r.hands, 7 * MINUTE_MS);
    assert_true(rig_claim(&r, WORK_ISOLATION, &one));
    assert_true(rig_claim(&r, WORK_ISOLATION, &other));
    leave_calls(&r, 50);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    isolation_run(r.g, &one);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    isolation_run(r.g, &other);
    assert_int_equal(rig_seen(&r, "GET", "/api/machineactions"), 1);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    hands_turn(&r.hands, 4 * SECOND_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", LISTED), 1);
    rig_close(&r);
}

/* However long Defender wants to be left alone, people hear in time that it is late, and that it came to nothing. */
static void test_isolation__a_retry_after_of_a_day_keeps_nobody_from_the_news(void **state)
{
    struct rig r;
    int64_t id, ids[2];

    (void)state;
    rig_open(&r, "rules:\n  - {name: a, do: [isolate: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 429, A_DAY);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "late");
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_string_equal(rig_told(&r, id), "late not_isolated");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);

    rig_open(&r, "rules:\n  - {name: a, do: [isolate: {}]}\n");
    ask_for_two(&r, ids);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/", 0, 429, A_DAY);
    leave_calls(&r, 2); /* one of them is asked for, the other waits for calls */
    hands_turn(&r.hands, 20 * SECOND_MS);
    for (int k = 0; k < 90; k++) {
        atomic_store(&r.g->crowd[WORK_ISOLATION], true);
        rig_pass(&r, MINUTE_MS, MINUTE_MS);
        for (int i = 0; i < 2 && k == 20; i++)
            assert_string_equal(rig_told(&r, ids[i]), "late");
    }
    for (int i = 0; i < 2; i++)
        assert_string_equal(rig_told(&r, ids[i]), "late not_isolated");
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 1);
    rig_close(&r);
}

/* A second tenant, whose Defender is the same peer below another path. */
static void add_tenant(struct rig *r, const char *rules)
{
    r->tenants =
        arena_fmt(r->arena,
                  "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                  "    client_id: 6d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                  "    client_secret_file: %s/secret\n    api_url: %s/f\n    login_url: %s\n",
                  r->dir, peer_url(r->peer), peer_url(r->peer));
    engine_use(r->g, rig_runtime(r, rules));
}

/* Who takes all isolations that are due for one tenant leaves what is another's to others: this one's Defender may hang,
 * a minute for each of them. */
static void test_isolation__a_crowd_is_one_tenants(void **state)
{
    struct rig r;
    int64_t ids[2], others[2];
    struct work w;

    (void)state;
    rig_open(&r, NULL);
    add_tenant(&r, RULES_ISOLATE_AND_MAIL);
    ask_for_two(&r, ids);
    rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
    rig_says(&r, "GET", "/f/api/alerts?", 0, 200,
             "{\"value\":[{\"id\":\"da3_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE
             "\"},{\"id\":\"da4_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE2 "\"}]}");
    rig_says(&r, "GET", "/f/api/machines?", 0, 200,
             "{\"value\":[{\"id\":\"" MACHINE "\"},{\"id\":\"" MACHINE2 "\"}]}");
    others[0] = rig_push_to(&r, "fabrikam", "da3_-1", NULL, false);
    others[1] = rig_push_to(&r, "fabrikam", "da4_-1", NULL, false);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    atomic_store(&r.g->crowd[WORK_ISOLATION], false);
    (void)rig_work(&r);
    assert_int_equal(record_of(&r, others[1]).state, ISOLATION_REQUESTED);
    hands_turn(&r.hands, 20 * SECOND_MS);
    rig_says(&r, "GET", LIST, 0, 500, "");
    rig_says(&r, "GET", "/f" LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/f" ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "POST", "/f" ISOLATE2, 0, 201, OF_OTHER("b2", "Isolate", "Pending"));
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    assert_true(w.id == isolation_of(&r, ids[0]) || w.id == isolation_of(&r, ids[1]));
    isolation_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1); /* for both of this tenant's */
    assert_int_equal(rig_seen(&r, "GET", "/f" LIST), 0);
    atomic_store(&r.g->crowd[WORK_ISOLATION], true);
    assert_true(rig_claim(&r, WORK_ISOLATION, &w));
    assert_true(w.id == isolation_of(&r, others[0]) || w.id == isolation_of(&r, others[1]));
    assert_int_equal(w.attempts, 1);
    isolation_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "GET", "/f" LIST), 1);
    assert_int_equal(rig_seen(&r, "POST", "/f/api/machines/"), 2);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    rig_close(&r);
}

/* Thousands of cases that were judged meanwhile do not make cordon forget when this one was. */
static void test_isolation__a_storm_does_not_age_the_grounds(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (int64_t id = 1; id <= 8000; id++)
        engine_judged(r.g, id_new(&r.hands.clock));
    {
        int64_t ids[600], lost = 0;

        for (int i = 0; i < 600; i++)
            engine_judged(r.g, ids[i] = id_new(&r.hands.clock));
        for (int i = 0; i < 600; i++)
            lost += engine_judged_ago(r.g, ids[i]) != 0;
        assert_int_equal(lost, 0);
        hands_turn(&r.hands, SECOND_MS);
        for (int i = 0; i < 2000; i++)
            engine_judged(r.g, id_new(&r.hands.clock));
        for (int i = 0; i < 600; i++)
            lost += engine_judged_ago(r.g, ids[i]) != SECOND_MS;
        assert_true(lost < 6); /* one in a hundred */
        assert_int_equal(engine_judged_ago(r.g, 1), INT64_MAX);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isolation__a_comment_that_shows_nothing_is_one_of_ours),
        cmocka_unit_test(test_isolation__the_look_decides),
        cmocka_unit_test(test_isolation__what_somebody_is_releasing_is_not_called_free),
        cmocka_unit_test(test_isolation__ours_that_somebody_is_releasing_is_ours),
        cmocka_unit_test(test_isolation__what_an_answer_to_the_post_means),
        cmocka_unit_test(test_isolation__a_lost_request_that_ended_badly_is_not_sent_again),
        cmocka_unit_test(
            test_isolation__a_lost_request_that_was_carried_out_and_released_is_told_so),
        cmocka_unit_test(test_isolation__what_a_colleague_did_in_the_portal_is_not_taken_for_ours),
        cmocka_unit_test(test_isolation__somebody_elses_beside_our_lost_one_does_not_hide_it),
        cmocka_unit_test(
            test_isolation__one_that_failed_beside_ours_does_not_make_ours_somebody_elses),
        cmocka_unit_test(test_isolation__settles_from_giving_up_not_from_sending),
        cmocka_unit_test(test_isolation__an_answer_that_is_lost_late_rests_from_then_on),
        cmocka_unit_test(test_isolation__a_lost_answer_rests_whatever_the_wall_clock_says),
        cmocka_unit_test(test_isolation__a_start_looks_at_no_request_of_before_too_early),
        cmocka_unit_test(test_isolation__one_that_was_given_up_and_is_in_force_is_adopted),
        cmocka_unit_test(test_isolation__a_lost_answer_rests_though_its_record_failed_once),
        cmocka_unit_test(
            test_isolation__an_unknown_request_is_looked_for_longer_than_it_is_asked_for),
        cmocka_unit_test(test_isolation__what_defender_calls_under_way_and_never_lists_is_unknown),
        cmocka_unit_test(test_isolation__a_tenant_that_is_renamed_asks_for_nothing_twice),
        cmocka_unit_test(test_isolation__a_tenant_that_is_renamed_is_held_up_by_no_storm),
        cmocka_unit_test(test_isolation__what_a_renamed_tenant_has_isolated_is_not_asked_for),
        cmocka_unit_test(test_isolation__what_a_tenant_renamed_twice_has_isolated_is_not_asked_for),
        cmocka_unit_test(test_isolation__a_look_of_before_a_release_is_no_ground_to_ask),
        cmocka_unit_test(test_isolation__an_alert_that_is_gone_is_not_waited_for_all_day),
        cmocka_unit_test(test_isolation__one_answer_that_an_alert_is_gone_is_not_the_last_word),
        cmocka_unit_test(
            test_isolation__one_answer_that_a_new_alert_is_unknown_is_not_the_last_word),
        cmocka_unit_test(test_isolation__one_answer_after_a_long_pause_is_not_the_last_word),
        cmocka_unit_test(test_isolation__who_was_told_late_is_told_the_end),
        cmocka_unit_test(test_isolation__a_clock_that_is_far_off_isolates_nothing),
        cmocka_unit_test(test_isolation__a_tenant_that_answers_no_more_keeps_no_clock_wrong),
        cmocka_unit_test(test_isolation__another_application_makes_no_clock_right),
        cmocka_unit_test(test_isolation__a_clock_that_nobody_knows_of_is_not_believed),
        cmocka_unit_test(test_isolation__entra_says_what_time_it_is),
        cmocka_unit_test(test_isolation__a_clock_that_is_right_is_so_after_a_reload),
        cmocka_unit_test(test_isolation__what_waits_for_the_clock_goes_on_when_it_is_right),
        cmocka_unit_test(test_isolation__who_waits_while_the_clock_is_set_back_is_told),
        cmocka_unit_test(test_isolation__its_hour_begins_when_the_clock_is_right),
        cmocka_unit_test(test_isolation__a_reload_forgets_no_clock),
        cmocka_unit_test(test_isolation__late_news_reaches_every_rule),
        cmocka_unit_test(
            test_isolation__a_pending_isolation_after_a_release_is_not_called_isolated),
        cmocka_unit_test(test_isolation__a_list_that_lags_does_not_undo_a_confirmation),
        cmocka_unit_test(
            test_isolation__what_was_released_is_not_joined_by_a_clock_that_was_set_back),
        cmocka_unit_test(test_isolation__a_list_that_shows_no_release_of_ours_isolates_nothing),
        cmocka_unit_test(
            test_isolation__a_list_that_shows_our_release_under_way_keeps_nothing_free),
        cmocka_unit_test(test_isolation__a_list_without_our_isolation_is_a_doubt),
        cmocka_unit_test(test_isolation__no_request_by_a_verdict_that_no_longer_holds),
        cmocka_unit_test(test_isolation__a_verdict_that_still_holds_is_carried_out),
        cmocka_unit_test(test_isolation__follows_the_action_to_its_end),
        cmocka_unit_test(
            test_isolation__one_that_came_to_nothing_beside_another_is_not_called_free),
        cmocka_unit_test(test_isolation__one_that_came_to_nothing_is_not_called_free_unseen),
        cmocka_unit_test(
            test_isolation__after_a_long_pause_one_failed_look_tells_nobody_what_it_is),
        cmocka_unit_test(test_isolation__looks_that_are_throttled_are_not_in_vain_within_seconds),
        cmocka_unit_test(test_isolation__one_that_is_throttled_for_days_is_given_up),
        cmocka_unit_test(
            test_isolation__looks_that_are_put_off_for_a_day_keep_nobody_from_the_news),
        cmocka_unit_test(test_isolation__another_action_is_no_news_of_this_one),
        cmocka_unit_test(test_isolation__no_answer_is_no_reason_to_ask_later),
        cmocka_unit_test(test_isolation__a_machine_released_before_the_look_is_not_called_isolated),
        cmocka_unit_test(test_isolation__one_that_ran_after_a_release_is_in_force),
        cmocka_unit_test(test_isolation__an_hour_in_which_nobody_was_there_is_none),
        cmocka_unit_test(test_isolation__who_was_away_is_asked_for_within_the_limits_of_now),
        cmocka_unit_test(test_isolation__a_tenant_that_is_gone_ends_it),
        cmocka_unit_test(test_isolation__after_a_long_pause_one_failed_look_gives_nothing_up),
        cmocka_unit_test(test_isolation__what_was_adopted_is_followed_and_reviewed),
        cmocka_unit_test(test_isolation__a_lost_lease_posts_nothing),
        cmocka_unit_test(test_isolation__a_lost_lease_on_a_judged_case_posts_nothing),
        cmocka_unit_test(test_isolation__a_judged_case_of_a_tenant_that_is_gone_is_told),
        cmocka_unit_test(test_isolation__a_lost_lease_on_the_isolation_posts_nothing),
        cmocka_unit_test(
            test_isolation__one_that_is_woken_right_after_its_record_is_followed_at_once),
        cmocka_unit_test(test_isolation__a_lost_lease_on_what_is_followed_writes_nothing),
        cmocka_unit_test(test_isolation__a_clock_that_jumps_sends_nothing_twice),
        cmocka_unit_test(test_isolation__a_clock_set_back_delays_no_look),
        cmocka_unit_test(test_isolation__who_waits_for_his_turn_is_told_so),
        cmocka_unit_test(test_isolation__many_share_a_look_and_a_list),
        cmocka_unit_test(
            test_isolation__who_stood_still_between_intent_and_request_asks_for_nothing),
        cmocka_unit_test(test_isolation__a_stop_asks_for_no_more_of_many),
        cmocka_unit_test(test_isolation__without_a_look_nothing_is_asked_for_many_either),
        cmocka_unit_test(test_isolation__a_list_of_other_actions_is_no_news_of_many),
        cmocka_unit_test(test_isolation__a_strange_action_of_one_holds_no_other_up),
        cmocka_unit_test(test_isolation__a_lost_answer_among_many_is_looked_for),
        cmocka_unit_test(test_isolation__calls_that_others_use_up_give_none_up_unseen),
        cmocka_unit_test(test_isolation__the_reserve_is_for_the_look_too),
        cmocka_unit_test(test_isolation__a_few_calls_are_left_to_come_together),
        cmocka_unit_test(test_isolation__a_single_call_is_used_when_looks_are_kept),
        cmocka_unit_test(test_isolation__only_a_bare_machine_s_look_is_kept),
        cmocka_unit_test(test_isolation__many_are_judged_again_when_the_policy_has_changed),
        cmocka_unit_test(test_isolation__a_kept_look_is_young_and_newer_than_the_row),
        cmocka_unit_test(test_isolation__a_shared_look_ages_while_others_are_asked_for),
        cmocka_unit_test(test_isolation__a_lost_answer_among_many_rests_though_it_is_woken),
        cmocka_unit_test(test_isolation__what_is_not_listed_is_asked_for_alone),
        cmocka_unit_test(test_isolation__who_is_asked_after_alone_has_grown_older_meanwhile),
        cmocka_unit_test(test_isolation__many_are_followed_where_nothing_at_all_is_listed),
        cmocka_unit_test(test_isolation__lists_that_go_on_failing_hold_no_crowd_up),
        cmocka_unit_test(
            test_isolation__one_of_many_released_before_the_look_is_not_called_isolated),
        cmocka_unit_test(test_isolation__many_are_looked_at_alone_where_no_list_is_taken),
        cmocka_unit_test(test_isolation__a_defender_that_hangs_is_not_looked_at_one_by_one),
        cmocka_unit_test(test_isolation__many_of_a_tenant_that_is_gone_wait_one_by_one),
        cmocka_unit_test(test_isolation__leaves_calls_to_who_reads_next),
        cmocka_unit_test(test_isolation__who_is_one_of_many_waits_for_the_others),
        cmocka_unit_test(test_isolation__a_retry_after_of_a_day_keeps_nobody_from_the_news),
        cmocka_unit_test(test_isolation__a_crowd_is_one_tenants),
        cmocka_unit_test(test_isolation__a_storm_does_not_age_the_grounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
