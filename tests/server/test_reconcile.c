/* test_reconcile.c - what others do about isolation at Defender, and what the ledger makes of it. */
#include "engine_kit.h"

#include "deed.h"
#include "desk.h"
#include "readiness.h"
#include "reconcile.h"
#include "store_polls.h"

#define OTHER    "c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f"
#define RELEASE  "d4d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f"
#define RECENT   "/api/machineactions?$filter=creationDateTimeUtc"
#define OF_ONE   "/api/machineactions?$filter=machineId"
#define ONE(doc) "{\"value\":[" doc "]}"
#define EVERY_MS (5 * MINUTE_MS)

/* Reads the list if it is due; false: it is not. */
static bool reconciled(struct rig *r)
{
    struct work w;

    if (!rig_claim(r, WORK_RECONCILE, &w))
        return false;
    reconcile_run(r->g, &w);
    return true;
}

static void begin(struct rig *r)
{
    rig_open(r, NULL);
    rig_afresh(r);
    assert_int_equal(reconcile_start(r->g, NULL), ERR_OK);
}

/* The list says this from now on; it is read at its next time. */
static void next(struct rig *r, const char *list)
{
    rig_afresh(r);
    rig_says(r, "GET", RECENT, 0, 200, list);
    hands_turn(&r->hands, EVERY_MS);
    assert_true(reconciled(r));
}

static size_t isolations(struct rig *r)
{
    const struct isolation_filter all = {.limit = 100};
    struct isolation_record *list;
    size_t n = 0;

    assert_int_equal(store_isolation_list(r->store, r->arena, &all, &list, &n, NULL), ERR_OK);
    return n;
}

/* What people were told beside any case, "review released": the subject of the last is *ret. */
static enum err_code alone_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    struct buf *text = arg;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT subject FROM notices WHERE about = 'machine:" MACHINE "' ORDER BY id", "");

    if (code)
        return code;
    while (db_next(rows))
        buf_addf(text, "%s\n", db_text(rows, 0));
    return db_rows_end(rows, e);
}

/* The text of the last of them; quoted-printable. */
static enum err_code last_alone_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    struct buf *text = arg;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT message FROM notices WHERE about = 'machine:" MACHINE
                                  "' ORDER BY id DESC LIMIT 1",
                                  "");

    if (code)
        return code;
    while (db_next(rows))
        buf_adds(text, db_text(rows, 0));
    return db_rows_end(rows, e);
}

static const char *told_alone(struct rig *r)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(2000);

    assert_int_equal(db_read(r->store->db, alone_fn, &text, NULL), ERR_OK);
    return arena_str(r->arena, buf_text(&text));
}

/* One that cordon asked for and Defender confirmed with this. */
static int64_t isolated_as(struct rig *r, const char *doc)
{
    int64_t id;

    rig_says(r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_takes_isolate(r, 1);
    rig_says(r, "GET", GET_ACTION, 1, 200, doc);
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    rig_pass(r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(r).state, ISOLATION_ISOLATED);
    return id;
}

static int64_t isolated(struct rig *r)
{
    return isolated_as(r, ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
}

#define OURS    ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")
#define NOT_YET ACTION_DOC(OTHER, "Isolate", "Pending", "null", "17:20")
#define LATER_ELSEWHERE                                                                            \
    "{\"id\":\"e5\",\"type\":\"Isolate\",\"status\":\"Failed\",\"machineId\":"                     \
    "\"0c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4\","                                                \
    "\"creationDateTimeUtc\":\"2025-01-07T10:25:00Z\"}"

/* The one read since rig_afresh asked for what was made from then on, the overlap included. */
static void assert_from(struct rig *r, const char *time)
{
    const struct peer_request *q = peer_request_for(r->peer, RECENT);

    assert_non_null(q);
    assert_non_null(strstr(q->target, arena_fmt(r->arena, "ge%%202025-01-07T%s", time)));
}

/* Another tenant under the name of one whose list is read, before the rows of the changed configuration have been seen to: it is read
 * from its own beginning, and that of before goes on where it was left. */
static void test_reconcile__another_tenant_of_the_same_name_has_its_own_beginning(void **state)
{
    const struct peer_request *q;
    char from[CLOCK_TEXT_SIZE];
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", RECENT, 0, 200, NOTHING);
    assert_true(reconciled(&r));
    hands_turn(&r.hands, HOUR_MS);
    next(&r, ONE(LATER_ELSEWHERE));
    r.tenants = arena_fmt(r.arena,
                          "  contoso:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_id: 5d1f0001-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_secret_file: %s/secret\n    api_url: %s\n    login_url: %s\n",
                          r.dir, peer_url(r.peer), peer_url(r.peer));
    r.tenant = "lab"; /* the one of before */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    rig_afresh(&r);
    rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
    rig_says(&r, "GET", RECENT, 0, 200, NOTHING);
    hands_turn(&r.hands, EVERY_MS);
    assert_true(reconciled(&r));
    clock_format(clock_wall_ms(&r.hands.clock) - 7 * DAY_MS, from);
    q = peer_request_for(r.peer, RECENT);
    assert_non_null(q);
    assert_non_null(strstr(q->target, arena_fmt(r.arena, "ge%%20%.16s", from)));
    r.tenants = r.tenant = NULL;
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    rig_afresh(&r);
    rig_says(&r, "GET", RECENT, 0, 200, NOTHING);
    hands_turn(&r.hands, EVERY_MS);
    while (reconciled(&r)) /* that of lab ends */
        ;
    assert_from(&r, "10:20");
    rig_close(&r);
}

/* Defender did not say for four days how it ended, and people were told that. By then it had come about. */
static void test_reconcile__what_was_given_up_and_came_about_is_told(void **state)
{
    struct isolation_record i;
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", OF_ONE, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:14"));
    rig_says(&r, "GET", GET_ACTION, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 5 * DAY_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_string_equal(rig_told(&r, id), "requested not_isolated");
    next(&r, ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:14")));
    i = rig_isolation(&r);
    assert_int_equal(i.state, ISOLATION_ISOLATED);
    assert_int_equal(i.case_id, id);
    assert_false(i.adopted);
    assert_string_equal(i.type, "Full");
    assert_int_equal(rig_case(&r, id).isolation, i.id);
    assert_string_equal(rig_told(&r, id), "requested not_isolated isolated");
    next(&r, ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:14")));
    assert_int_equal(isolations(&r), 2);
    assert_string_equal(rig_told(&r, id), "requested not_isolated isolated");
    rig_close(&r);
}

/* Meanwhile others had theirs; and it may come about days after it was given up. */
static void test_reconcile__what_was_given_up_is_seen_again(void **state)
{
    static const char later[] = "{\"value\":[" LATER_ELSEWHERE "]}";
    static const char open[] = ONE(ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:14"));
    struct rig r;
    int64_t id;

    (void)state;
    for (int listed_open = 0; listed_open < 2; listed_open++) {
        begin(&r);
        rig_says(&r, "GET", OF_ONE, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:14"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        hands_turn(&r.hands, 25 * MINUTE_MS);
        next(&r, later);
        next(&r, later);
        assert_from(&r, "10:20:00");
        rig_says(&r, "GET", GET_ACTION, 0, 503, "{}");
        rig_pass(&r, 5 * DAY_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        if (listed_open) {
            next(&r, open);
            assert_from(&r, "10:06:1");
        }
        next(&r, ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:14")));
        assert_from(&r, "10:06:1");
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_int_equal(rig_isolation(&r).case_id, id);
        assert_string_equal(rig_told(&r, id), "requested not_isolated isolated");
        rig_close(&r);
    }
}

#define LOST ONE(ACTION_DOC(ACTION, "Isolate", "%s", "\"%s\"", "11:14"))

static const char *lost_as(struct rig *r, const char *status, int64_t row)
{
    char own[DEED_ID_SIZE];

    return arena_fmt(r->arena, LOST, status, deed_id(row, own));
}

/* The answer to the request was lost, and it was given up to find out what came of it, with no id of Defender's: the action that
 * bears our own is ours, and whoever was told that nobody knows hears of it. */
static void test_reconcile__what_was_lost_and_came_about_is_told(void **state)
{
    static const struct {
        const char *label, *look; /* after the answer was lost; NULL: none succeeds */
        const char *told;
    } rows[] = {
        {"no look for days", NULL, "requested late not_isolated"},
        {"somebody is releasing it",
         ONE(ACTION_DOC(RELEASE, "Unisolate", "Pending", "null", "11:30")),
         "requested not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct isolation_record given_up, now;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        begin(&r);
        rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
        rig_says(&r, "GET", OF_ONE, 0, rows[i].look ? 200 : 503, rows[i].look ? rows[i].look : "");
        peer_script(r.peer,
                    &(struct peer_answer){.method = "POST", .target = ISOLATE, .act = PEER_RESET});
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 5 * DAY_MS, HOUR_MS);
        given_up = rig_isolation(&r);
        assert_int_equal(given_up.state, ISOLATION_FAILED);
        assert_null(given_up.action_id);
        assert_true(isolation_is_unknown(&given_up));
        assert_string_equal(rig_told(&r, id), rows[i].told);
        next(&r, lost_as(&r, "Pending", given_up.id)); /* it may come about yet */
        assert_int_equal(isolations(&r), 1);
        next(&r, lost_as(&r, "Succeeded", given_up.id));
        now = rig_isolation(&r);
        assert_int_equal(now.state, ISOLATION_ISOLATED);
        assert_false(now.adopted);
        assert_int_equal(now.case_id, id);
        assert_string_equal(now.type, "Full");
        assert_string_equal(now.action_id, ACTION);
        assert_int_equal(rig_case(&r, id).isolation, now.id);
        assert_string_equal(rig_told(&r, id), arena_fmt(r.arena, "%s isolated", rows[i].told));
        next(&r, lost_as(&r, "Succeeded", given_up.id));
        assert_int_equal(isolations(&r), 2);
        assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
        rig_close(&r);
    }
}

#define SECOND_ALERT "da638712345678901234_-2000000000"

/* Nor is it somebody else's when the look for another alert of the machine finds it first, come about or under way. */
static void test_reconcile__what_was_lost_and_an_alert_finds_is_told(void **state)
{
    static const struct {
        const char *label, *status;
        bool lost; /* the answer to the request; else how it ended */
    } rows[] = {
        {"lost", "Succeeded", true},
        {"lost, and under way", "Pending", true},
        {"given up", "Succeeded", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct isolation_record given_up, now;
        struct rig r;
        char own[DEED_ID_SIZE];
        const char *told;
        int64_t id, second;

        print_message("  %s\n", rows[i].label);
        begin(&r);
        rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
        rig_says(&r, "GET", OF_ONE, 0, 503, "");
        if (rows[i].lost)
            peer_script(r.peer, &(struct peer_answer){
                                    .method = "POST", .target = ISOLATE, .act = PEER_RESET});
        else
            rig_says(&r, "POST", ISOLATE, 1, 201,
                     ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:14"));
        rig_says(&r, "GET", GET_ACTION, 0, 503, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 5 * DAY_MS, HOUR_MS);
        given_up = rig_isolation(&r);
        assert_int_equal(given_up.state, ISOLATION_FAILED);
        told = rig_told(&r, id);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 "{\"id\":\"" SECOND_ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE
                 "\"}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", OF_ONE, 0, 200, lost_as(&r, rows[i].status, given_up.id));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "Succeeded", "\"%s\"", "11:14"),
                           deed_id(given_up.id, own)));
        second = rig_push(&r, SECOND_ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        now = rig_isolation(&r);
        assert_int_equal(now.state, ISOLATION_ISOLATED);
        assert_false(now.adopted);
        assert_string_equal(now.type, "Full");
        assert_int_equal(now.case_id, second);
        assert_int_equal(rig_case(&r, id).isolation, now.id);
        assert_string_equal(rig_told(&r, id), arena_fmt(r.arena, "%s isolated", told));
        assert_non_null(strstr(rig_told(&r, second), "isolated"));
        assert_int_equal(isolations(&r), 2);
        assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
        rig_close(&r);
    }
}

/* Ours waited beside another isolation until it was given up, and people were told of that one. Defender carries ours out when that
 * one is released: it is nobody else's, and they hear of it, also where our id does not come back. */
static void test_reconcile__what_waited_beside_another_and_came_about_is_told(void **state)
{
    static const char theirs[] = DONE_DOC(OTHER, "Isolate", "11:11", "11:12") "," DONE_DOC(
        RELEASE, "Unisolate", "40:00", "40:01");
    static const char later[] = "{\"value\":[" LATER_ELSEWHERE "]}";
    struct isolation_record first, now;
    char own[DEED_ID_SIZE];
    const char *waits, *told, *name;
    struct rig r;
    int64_t id;

    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool at_once = i % 2, named = i < 2;

        print_message("  %s, %s\n", at_once ? "at once" : "later",
                      named ? "by our id" : "by its own");
        begin(&r);
        rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:14"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        first = rig_isolation(&r);
        hands_turn(&r.hands, 25 * MINUTE_MS);
        next(&r, later); /* meanwhile others had theirs */
        next(&r, later);
        assert_from(&r, "10:20:00");
        name = named ? arena_fmt(r.arena, "\"%s\"", deed_id(first.id, own)) : "null";
        waits = arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "Pending", "%s", "11:14"), name);
        rig_says(&r, "GET", GET_ACTION, 0, 200, waits);
        rig_says(&r, "GET", OF_ONE, 0, 200,
                 arena_fmt(r.arena, "{\"value\":[%s,%s]}", waits,
                           DONE_DOC(OTHER, "Isolate", "11:11", "11:12")));
        rig_pass(&r, 5 * DAY_MS, HOUR_MS);
        assert_string_equal(rig_isolation(&r).action_id, OTHER);
        told = rig_told(&r, id);
        assert_non_null(strstr(told, "isolated"));
        told = arena_fmt(r.arena, "%s released", told);
        if (!at_once) {
            next(&r, arena_fmt(r.arena, "{\"value\":[%s,%s]}", waits, theirs));
            assert_string_equal(rig_told(&r, id), told);
        }
        next(&r, arena_fmt(r.arena, "{\"value\":[%s,%s]}",
                           arena_fmt(r.arena,
                                     "{\"id\":\"" ACTION
                                     "\",\"type\":\"Isolate\",\"status\":\"Succeeded\","
                                     "\"machineId\":\"" MACHINE "\","
                                     "\"creationDateTimeUtc\":\"2025-01-07T10:11:14Z\","
                                     "\"lastUpdateDateTimeUtc\":\"2025-01-07T10:41:00Z\","
                                     "\"externalId\":%s,\"requestor\":\"cordon\"}",
                                     name),
                           theirs));
        assert_from(&r, "10:06:1");
        (void)rig_work(&r);
        now = rig_isolation(&r);
        assert_int_equal(now.state, ISOLATION_ISOLATED);
        assert_string_equal(now.action_id, ACTION);
        assert_false(now.adopted);
        assert_int_equal(now.case_id, id);
        assert_int_equal(rig_case(&r, id).isolation, now.id);
        assert_string_equal(rig_told(&r, id), arena_fmt(r.arena, "%s isolated", told));
        rig_close(&r);
    }
}

#define UNDER_WAY                                                                                  \
    "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"Action is already in "      \
    "progress\"}}"

/* Defender called such a request under way, and listed none for an hour: people were told that nobody knows. It was somebody
 * else's, and is listed by now; whoever waited hears that the machine is isolated, and by whom. What was asked for after that is
 * another one. */
static void test_reconcile__what_was_under_way_and_not_listed_is_told_when_it_is(void **state)
{
    static const struct {
        const char *label, *doc;
        bool by_alert; /* an alert is the first to find it */
        bool it;
    } rows[] = {
        {"in the tenant's list", DONE_DOC(OTHER, "Isolate", "30:00", "30:05"), false, true},
        {"by an alert", DONE_DOC(OTHER, "Isolate", "30:00", "30:05"), true, true},
        {"another one",
         "{\"id\":\"" OTHER "\",\"type\":\"Isolate\",\"status\":\"Succeeded\",\"machineId\":"
         "\"" MACHINE "\",\"creationDateTimeUtc\":\"2025-01-07T12:10:00Z\"}",
         false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct isolation_record failed, now;
        const char *list, *told;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        begin(&r);
        hands_turn(&r.hands, 25 * MINUTE_MS);
        next(&r, "{\"value\":[" LATER_ELSEWHERE "]}");
        rig_says(&r, "GET", OF_ONE, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 400, UNDER_WAY);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 90 * MINUTE_MS, MINUTE_MS);
        failed = rig_isolation(&r);
        assert_int_equal(failed.state, ISOLATION_FAILED);
        assert_true(isolation_is_unknown(&failed));
        told = rig_told(&r, id);
        list = arena_fmt(r.arena, "{\"value\":[%s]}", rows[i].doc);
        if (rows[i].by_alert) {
            peer_forget(r.peer);
            rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                     "{\"expires_in\":35990,\"access_token\":\"t1\"}");
            rig_says(&r, "GET", GET_ALERT, 0, 200,
                     "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
            rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
            rig_says(&r, "GET", OF_ONE, 0, 200, list);
            (void)rig_push(&r, "da2_-1", MACHINE);
            (void)rig_work(&r);
        } else {
            const struct peer_request *q;

            next(&r, list);
            q = peer_request_for(r.peer, RECENT);
            assert_non_null(q); /* it is older than what was asked for here */
            assert_non_null(strstr(q->target, "ge%202025-01-03T10:3"));
        }
        now = rig_isolation(&r);
        assert_int_equal(now.state, ISOLATION_ISOLATED);
        assert_true(now.adopted);
        assert_string_equal(now.type, "unknown");
        assert_string_equal(rig_told(&r, id),
                            rows[i].it ? arena_fmt(r.arena, "%s isolated", told) : told);
        if (rows[i].it)
            assert_int_equal(rig_case(&r, id).isolation, now.id);
        else
            assert_int_equal(now.case_id, 0);
        rig_close(&r);
    }
}

/* The id of a row that is about something else, or that ended otherwise, makes nothing ours. */
static void test_reconcile__an_id_that_does_not_fit_makes_nothing_ours(void **state)
{
    static const char *const changes[] = {
        "UPDATE isolations SET machine_id = '0c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4'",
        "UPDATE isolations SET tenant = 'fabrikam'",
        "UPDATE isolations SET state = 'released'",
        "UPDATE isolations SET action_id = 'x'",
    };

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        int64_t given_up;
        struct rig r;

        print_message("  %s\n", changes[i]);
        begin(&r);
        rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 400, "{}");
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        given_up = rig_isolation(&r).id;
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        rig_sql(&r, changes[i]);
        next(&r, lost_as(&r, "Succeeded", given_up));
        assert_int_equal(isolations(&r), 2);
        assert_true(rig_isolation(&r).adopted);
        assert_int_equal(rig_isolation(&r).case_id, 0);
        rig_close(&r);
    }
}

/* ---- somebody else's isolation --------------------------------------------------------------------- */

static void test_reconcile__somebody_elses_isolation_is_adopted_unasked(void **state)
{
    struct isolation_record i;
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", RECENT, 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_true(reconciled(&r));
    i = rig_isolation(&r);
    assert_int_equal(i.state, ISOLATION_ISOLATED);
    assert_true(i.adopted);
    assert_int_equal(i.case_id, 0);
    assert_string_equal(i.machine_id, MACHINE);
    assert_string_equal(i.action_id, ACTION);
    assert_string_equal(i.requestor, "somebody");
    assert_false(reconciled(&r)); /* not before its time */
    next(&r, ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_int_equal(isolations(&r), 1); /* listed again by the overlap, adopted once */
    assert_int_equal(rig_seen(&r, "GET", "/api/"), 1); /* one call */
    assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
    rig_close(&r);
}

/* An alert that comes later joins it: nothing is asked for, and people hear of it in the alert's thread. */
static void test_reconcile__an_alert_joins_what_was_adopted(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_true(reconciled(&r));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(isolations(&r), 1);
    assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
    assert_string_equal(rig_told(&r, id), "isolated");
    assert_int_equal(rig_isolation(&r).case_id, id);
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "isolated review");
    assert_string_equal(told_alone(&r), "");
    rig_close(&r);
}

/* A pending one is followed to its end by the ledger's own means. */
static void test_reconcile__a_pending_one_is_followed(void **state)
{
    static const struct {
        const char *status;
        enum isolation_state state;
    } rows[] = {
        {"Succeeded", ISOLATION_ISOLATED},
        {"Cancelled", ISOLATION_FAILED},
        {"TimeOut", ISOLATION_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("row: %s\n", rows[i].status);
        begin(&r);
        rig_says(&r, "GET", RECENT, 0, 200,
                 ONE(ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12")));
        assert_true(reconciled(&r));
        assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
        rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"%s\","
                           "\"machineId\":\"" MACHINE
                           "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\"}",
                           rows[i].status));
        (void)rig_work(&r);
        assert_int_equal(rig_isolation(&r).state, rows[i].state);
        /* Over, and the list lags: it does not come back. */
        next(&r, ONE(ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12")));
        assert_int_equal(isolations(&r), 1);
        assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
        rig_close(&r);
    }
}

/* Somebody else's that nobody here heard of: when Defender gives up on it, no case waits for the machine to come back. */
static void test_reconcile__one_that_lapsed_is_nobodys_business(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", RECENT, 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12")));
    assert_true(reconciled(&r));
    rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "TimeOut", "null", "11:12"));
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    rig_afresh(&r);
    rig_pass(&r, 31 * DAY_MS, 6 * HOUR_MS);
    assert_string_equal(told_alone(&r), "");
    assert_int_equal(rig_seen(&r, "GET", GET_MACHINE), 0);
    rig_close(&r);
}

/* People are asked about it as about any other, by a mail of its own; a person's order ends it. */
static void test_reconcile__people_are_asked_about_it_and_may_end_it(void **state)
{
    struct desk_order o = {.who = "maria", .why = "all clear"};
    AUTO(buf_clear) struct buf mail = BUF_INIT(1 << 20);
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_true(reconciled(&r));
    rig_pass(&r, 23 * HOUR_MS, HOUR_MS);
    assert_string_equal(told_alone(&r), "");
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_string_equal(told_alone(&r),
                        "[CORDON] " MACHINE " is still isolated: is that still right?\n");
    assert_int_equal(db_read(r.store->db, last_alone_fn, &mail, NULL), ERR_OK);
    assert_non_null(strstr(buf_text(&mail), "\r\nIsolated since 2025-01-07T10:11:12.000Z"));
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    o.id = rig_isolation(&r).id;
    assert_int_equal(desk_release(r.g, &o, NULL), ERR_CONFLICT); /* not without its name */
    o.machine = MACHINE;
    assert_int_equal(desk_release(r.g, &o, NULL), ERR_OK);
    rig_says(&r, "POST", UNISOLATE, 1, 201,
             ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null", "11:14"));
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_non_null(strstr(told_alone(&r), "\n[CORDON] " MACHINE " is released\n"));
    rig_close(&r);
}

/* Its name is what somebody called the machine. */
static void test_reconcile__its_name_is_harmless_in_the_subject(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", "/api/machineactions?", 0, 200,
             ONE("{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"Succeeded\","
                 "\"machineId\":\"" MACHINE "\",\"computerDnsName\":\"www.evil.example] [x\","
                 "\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\",\"requestor\":\"somebody\"}"));
    assert_true(reconciled(&r));
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_string_equal(told_alone(&r), "[CORDON] www is still isolated: is that still right?\n");
    rig_close(&r);
}

static void test_reconcile__what_is_not_in_force_is_not_adopted(void **state)
{
    static const struct {
        const char *label, *list;
    } rows[] = {
        {"nothing", NOTHING},
        {"released since",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Succeeded", "null", "11:14") "]}"},
        {"being released",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "InProgress", "null", "11:14") "]}"},
        {"failed", ONE(ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12"))},
        {"one that cannot be read",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null",
                                   "11:12") ",{\"id\":\"x\",\"machineId\":\"" MACHINE "\"}]}"},
        {"of nothing that is a machine",
         "{\"value\":[{\"id\":\"x\",\"type\":\"Isolate\",\"machineId\":null}]}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("row: %s\n", rows[i].label);
        begin(&r);
        rig_says(&r, "GET", RECENT, 0, 200, rows[i].list);
        assert_true(reconciled(&r));
        assert_int_equal(isolations(&r), 0);
        rig_close(&r);
    }
}

/* ---- somebody else's release ----------------------------------------------------------------------- */

static void test_reconcile__a_release_at_defender_ends_ours(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    id = isolated(&r);
    next(&r,
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Succeeded", "null", "11:14") "]}");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id),
                        "requested isolated released"); /* its work is over, too */
    assert_int_equal(rig_seen(&r, "POST", "/api/"), 0);
    rig_close(&r);
}

/* When it took effect is said by the clock that says when the releases did. A list may begin after our isolation, and the
 * two clocks may differ by more than they should. */
static void test_reconcile__a_release_is_held_against_defenders_own_time(void **state)
{
    static const struct {
        const char *name, *confirmed, *release;
        enum isolation_state state;
    } rows[] = {
        {"right after it", DONE_DOC(ACTION, "Isolate", "11:12", "11:20"),
         DONE_DOC(RELEASE, "Unisolate", "11:25", "11:30"), ISOLATION_RELEASED},
        {"before it, and our clock is behind", DONE_DOC(ACTION, "Isolate", "50:00", "50:10"),
         DONE_DOC(RELEASE, "Unisolate", "40:00", "50:05"), ISOLATION_ISOLATED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("row: %s\n", rows[i].name);
        begin(&r);
        (void)isolated_as(&r, rows[i].confirmed);
        next(&r, arena_fmt(r.arena, "{\"value\":[%s]}", rows[i].release));
        assert_int_equal(rig_isolation(&r).state, rows[i].state);
        rig_close(&r);
    }
}

/* Only what is certainly younger than our own ends it: neither an older release, while the list lags behind
 * ours, nor one that failed or goes on. */
static void test_reconcile__an_older_or_unfinished_release_ends_nothing(void **state)
{
    static const struct {
        const char *label, *list;
    } rows[] = {
        {"ours is not listed yet",
         ONE(ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null", "11:10"))},
        {"older than ours",
         "{\"value\":[" ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null",
                                   "11:10") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null",
                                                           "11:12") "]}"},
        {"made after ours, and done before it",
         "{\"value\":[" DONE_DOC(ACTION, "Isolate", "11:12", "11:40") "," DONE_DOC(
             RELEASE, "Unisolate", "11:14", "11:16") "]}"},
        {"failed",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Failed", "null", "11:14") "]}"},
        {"goes on",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Pending", "null", "11:14") "]}"},
        {"nothing at all", NOTHING},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("row: %s\n", rows[i].label);
        begin(&r);
        id = isolated(&r);
        next(&r, rows[i].list);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), "requested isolated");
        rig_close(&r);
    }
}

/* Kinds of what the helpdesk was told of a case. */
static const char *told_by_desk(struct rig *r, int64_t case_id)
{
    struct notice_record *list;
    const char *text = "";
    size_t n = 0;

    assert_int_equal(store_notice_list(r->store, r->arena, case_id, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (list[i].channel) {
            assert_int_equal(strncmp(list[i].subject, "[RELEASED]", 10) == 0, 0);
            text = arena_fmt(r->arena, "%s%s%s", text, *text ? " " : "", list[i].kind);
        }
    return text;
}

/* Released, and isolated again by somebody else: that is another episode, and not ours to end. */
static void test_reconcile__isolated_anew_by_somebody_else_is_another_episode(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    id = isolated(&r);
    next(&r,
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Succeeded", "null",
             "11:14") "," ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:16") "]}");
    assert_int_equal(isolations(&r), 2);
    assert_string_equal(rig_isolation(&r).action_id, OTHER);
    assert_true(rig_isolation(&r).adopted);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    assert_non_null(strstr(rig_words(&r, id), "isolated there again since by somebody"));
    assert_non_null(strstr(rig_words(&r, id), "The machine is isolated all the same"));
    assert_null(strstr(rig_words(&r, id), "reaches the network again"));
    assert_non_null(strstr(rig_subject(&r, id), "[RELEASED] Isolated again: "));
    assert_null(strstr(rig_words(&r, id), "Defender confirmed it"));
    rig_close(&r);
}

/* Nor is the helpdesk to say that its user can go on, and may restart the machine. */
static void test_reconcile__the_helpdesk_is_not_told_that_what_is_isolated_anew_is_back(
    void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "rules: [{name: contain, do: [isolate: {}, email: {},"
                 " email: {audience: desk, to: [desk@x.example]}]}]\n");
    rig_afresh(&r);
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    id = isolated(&r);
    next(&r,
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Succeeded", "null",
             "11:14") "," ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:16") "]}");
    assert_int_equal(isolations(&r), 2);
    assert_string_equal(told_by_desk(&r, id), "requested isolated isolated");
    rig_close(&r);
}

/* A release of an absent machine may take days: the watermark waits for it. */
static void test_reconcile__a_release_that_takes_days_is_waited_for(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    id = isolated(&r);
    next(&r,
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Pending", "null", "11:14") "]}");
    for (int h = 0; h < 24; h++) {
        const struct peer_request *q;

        hands_turn(&r.hands, HOUR_MS - EVERY_MS);
        next(&r, "{\"value\":[" ACTION_DOC(
                     ACTION, "Isolate", "Succeeded", "null",
                     "11:12") "," ACTION_DOC(RELEASE, "Unisolate", "Pending", "null",
                                             "11:14") "," ACTION_DOC(OTHER, "Isolate", "Failed",
                                                                     "null", "11:20") "]}");
        q = peer_request(r.peer, peer_count(r.peer) - 1);
        assert_non_null(strstr(q->target, "ge%202025-01-07T10:06:14")); /* less the overlap */
    }
    next(&r,
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
             RELEASE, "Unisolate", "Succeeded", "null", "11:14") "]}");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* ---- what cordon has under way ---------------------------------------------------------------------- */

static void test_reconcile__what_is_under_way_is_left_to_its_own_work(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    next(&r, ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_int_equal(isolations(&r), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    assert_false(rig_isolation(&r).adopted);
    assert_string_equal(rig_told(&r, id), "requested");
    rig_close(&r);
}

/* A release of before, which a list shows, is no end of what is only asked for yet: that is asked for again. */
static void test_reconcile__a_release_of_before_ends_nothing_that_waits(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", OF_ONE, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 503, "{}");
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    next(&r, ONE(ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null", "11:05")));
    assert_int_equal(isolations(&r), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
    rig_says(&r, "GET", OF_ONE, 0, 200,
             ONE(ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null", "11:05")));
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "16:30"));
    rig_pass(&r, MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    rig_close(&r);
}

/* A machine is the same in either spelling. */
static void test_reconcile__a_release_in_another_spelling_ends_ours(void **state)
{
    struct rig r;
    char list[1200];
    int64_t id;

    (void)state;
    begin(&r);
    id = isolated(&r);
    (void)snprintf(
        list, sizeof list, "%s",
        "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," ACTION_DOC(
            RELEASE, "Unisolate", "Succeeded", "null", "11:14") "]}");
    for (char *p = list; (p = strstr(p, MACHINE));)
        for (size_t i = 0; i < strlen(MACHINE); i++, p++)
            *p = *p >= 'a' && *p <= 'f' ? (char)(*p - 'a' + 'A') : *p;
    next(&r, list);
    assert_int_equal(isolations(&r), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* Without ours in the list it is only their times that tell what came first, and clocks differ: a release of the
 * moment in which ours was confirmed ends nothing. */
static void test_reconcile__a_release_of_the_same_moment_is_a_doubt(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    (void)isolated(&r);
    next(&r, ONE(ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null", "12:12")));
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    next(&r, ONE(ACTION_DOC(RELEASE, "Unisolate", "Succeeded", "null", "17:12")));
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    rig_close(&r);
}

/* Of what somebody else isolated, and nobody was told of, the end is not told either. */
static void test_reconcile__what_nobody_heard_of_ends_in_silence(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    next(&r, ONE(ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:05")));
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(told_alone(&r), "");
    next(&r,
         "{\"value\":[" ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:05") "," ACTION_DOC(
             RELEASE, "Unisolate", "Succeeded", "null", "17:14") "]}");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(told_alone(&r), "");
    rig_close(&r);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* What Defender's clock says of tomorrow does not hide today; and after a long pause seven days are read, not all. */
static void test_reconcile__the_next_read_begins_where_it_should(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    next(&r, ONE(ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "59:59")));
    next(&r, NOTHING);
    assert_int_equal(rig_seen(&r, "GET", RECENT), 1);
    assert_null(strstr(peer_request(r.peer, peer_count(r.peer) - 1)->target, "T10:5"));
    hands_turn(&r.hands, 30 * DAY_MS);
    next(&r, NOTHING);
    assert_non_null(
        strstr(peer_request(r.peer, peer_count(r.peer) - 1)->target, "ge%202025-01-30T10:"));
    rig_close(&r);
}

/* Somebody isolates the machine anew while a release of ours goes on, and both end between two looks of its own work,
 * which ends the row. The list still shows it after that, whatever was made on other machines since. */
static void test_reconcile__isolated_anew_while_ours_is_released_is_adopted(void **state)
{
    static const char both[] =
        "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "," DONE_DOC(
            RELEASE, "Unisolate", "16:14", "20:10") "," DONE_DOC(OTHER, "Isolate", "17:20",
                                                                 "20:20") "," LATER_ELSEWHERE "]}";
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    id = isolated(&r);
    rig_afresh(&r);
    rig_says(&r, "GET", OF_ONE, 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    rig_says(&r, "POST", UNISOLATE, 1, 201,
             ACTION_DOC(RELEASE, "Unisolate", "Pending", "null", "16:14"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(RELEASE, "Unisolate", "Pending", "null", "16:14"));
    hands_turn(&r.hands, EVERY_MS);
    assert_int_equal(desk_release(r.g,
                                  &(struct desk_order){.id = rig_isolation(&r).id,
                                                       .machine = MACHINE,
                                                       .why = "all clear"},
                                  NULL),
                     ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    hands_turn(&r.hands, EVERY_MS);
    next(&r, both);
    assert_int_equal(rig_isolation(&r).state,
                     ISOLATION_RELEASING); /* its own work comes after it */
    rig_says(&r, "GET", GET_ACTION, 0, 200, DONE_DOC(RELEASE, "Unisolate", "16:14", "20:10"));
    rig_says(&r, "GET", OF_ONE, 0, 200,
             ONE(DONE_DOC(RELEASE, "Unisolate", "16:14", "20:10") "," DONE_DOC(OTHER, "Isolate",
                                                                               "17:20", "20:20")));
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_non_null(strstr(rig_subject(&r, id), "[RELEASED] Isolated again: "));
    next(&r, both);
    assert_from(&r, "10:12:20");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_true(rig_isolation(&r).adopted);
    rig_close(&r);
}

/* Somebody asks for the isolation of a machine that ours holds already, and all is released before Defender carries his
 * out: a machine that is absent takes it days later. Meanwhile other machines had theirs. */
static void test_reconcile__isolated_anew_while_ours_stands_is_adopted_after_it(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    begin(&r);
    id = isolated(&r);
    hands_turn(&r.hands, 10 * MINUTE_MS);
    next(&r, "{\"value\":[" OURS "," NOT_YET "," LATER_ELSEWHERE "]}");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    hands_turn(&r.hands, 10 * MINUTE_MS);
    next(&r, "{\"value\":[" OURS "," DONE_DOC(RELEASE, "Unisolate", "30:10",
                                              "30:20") "," NOT_YET "," LATER_ELSEWHERE "]}");
    assert_from(&r, "10:12:20");
    assert_int_equal(isolations(&r), 2);
    rig_says(&r, "GET", "/api/machineactions/" OTHER, 0, 200,
             DONE_DOC(OTHER, "Isolate", "17:20", "50:20"));
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" OURS "," DONE_DOC(RELEASE, "Unisolate", "30:10", "30:20") "," DONE_DOC(
                 OTHER, "Isolate", "17:20", "50:20") "]}");
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_true(rig_isolation(&r).adopted);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* Somebody isolated a machine while nobody read the list, and asked for its release before somebody did. The release comes
 * to nothing, hours later: the machine was isolated all the time. */
static void test_reconcile__what_a_cancelled_release_leaves_isolated_is_adopted(void **state)
{
    static const char theirs[] = DONE_DOC(OTHER, "Isolate", "17:20", "18:20");
    struct rig r;

    (void)state;
    begin(&r);
    hands_turn(&r.hands, 50 * MINUTE_MS);
    for (int i = 0; i < 3; i++) {
        next(&r, arena_fmt(r.arena, "{\"value\":[%s,%s]}", theirs,
                           ACTION_DOC(RELEASE, "Unisolate", "Pending", "null", "40:10")));
        assert_int_equal(isolations(&r), 0);
    }
    assert_from(&r, "10:12:20"); /* less the overlap */
    next(&r, arena_fmt(r.arena, "{\"value\":[%s,%s]}", theirs,
                       ACTION_DOC(RELEASE, "Unisolate", "Cancelled", "null", "40:10")));
    assert_int_equal(isolations(&r), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_true(rig_isolation(&r).adopted);
    rig_close(&r);
}

/* Two others have asked for the same machine, and Defender took both requests (section 4.5, the third behaviour): the older
 * one is carried out as well, long after the younger one is over. */
static void test_reconcile__of_two_that_are_open_neither_is_lost(void **state)
{
    static const char both[] =
        "{\"value\":[" NOT_YET
        "," ACTION_DOC(ACTION, "Isolate", "Pending", "null", "24:10") "," LATER_ELSEWHERE "]}";
    struct rig r;

    (void)state;
    begin(&r);
    hands_turn(&r.hands, 25 * MINUTE_MS);
    next(&r, both);
    assert_string_equal(rig_isolation(&r).action_id, ACTION);
    next(&r, both);
    assert_from(&r, "10:12:20");
    rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Cancelled", "null", "24:10"));
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    next(&r, both); /* it lags */
    assert_from(&r, "10:12:20");
    assert_int_equal(isolations(&r), 1);
    next(&r, "{\"value\":[" NOT_YET "," ACTION_DOC(ACTION, "Isolate", "Cancelled", "null",
                                                   "24:10") "," LATER_ELSEWHERE "]}");
    assert_from(&r, "10:12:20");
    assert_string_equal(rig_isolation(&r).action_id, OTHER);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    rig_close(&r);
}

/* What our look did not show yet holds the machine when ours comes to nothing. */
static void test_reconcile__what_is_in_force_beside_ours_is_adopted_after_it(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, 25 * MINUTE_MS);
    for (int i = 0; i < 2; i++)
        next(&r,
             "{\"value\":[" ACTION_DOC(OTHER, "Isolate", "Succeeded", "null",
                                       "11:10") "," ACTION_DOC(ACTION, "Isolate", "Pending", "null",
                                                               "11:12") "," LATER_ELSEWHERE "]}");
    assert_from(&r, "10:06:10");
    rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Cancelled", "null", "11:12"));
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    next(&r,
         "{\"value\":[" ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:10") "," ACTION_DOC(
             ACTION, "Isolate", "Cancelled", "null", "11:12") "]}");
    assert_string_equal(rig_isolation(&r).action_id, OTHER);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_close(&r);
}

/* The same where both are somebody else's: the one that is under way is followed, and comes to nothing. */
static void test_reconcile__what_is_in_force_beside_a_newer_one_is_adopted_after_it(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    hands_turn(&r.hands, 25 * MINUTE_MS);
    next(&r,
         "{\"value\":[" ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:10") "," ACTION_DOC(
             ACTION, "Isolate", "Pending", "null", "24:12") "," LATER_ELSEWHERE "]}");
    assert_string_equal(rig_isolation(&r).action_id, ACTION);
    rig_says(&r, "GET", OF_ONE, 1, 200, NOTHING);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Failed", "null", "24:12"));
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    next(&r,
         "{\"value\":[" ACTION_DOC(OTHER, "Isolate", "Succeeded", "null", "11:10") "," ACTION_DOC(
             ACTION, "Isolate", "Failed", "null", "24:12") "]}");
    assert_from(&r, "10:06:10");
    assert_string_equal(rig_isolation(&r).action_id, OTHER);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_close(&r);
}

/* The clock was ahead when the list was to be read first, and was set right since. */
static void test_reconcile__a_clock_that_was_ahead_at_the_beginning_hides_nothing(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    atomic_fetch_sub(&r.hands.wall, 30 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    rig_says(&r, "GET", RECENT, 0, 200, NOTHING);
    assert_true(reconciled(&r));
    assert_non_null(
        strstr(peer_request(r.peer, peer_count(r.peer) - 1)->target, "ge%202024-12-01T10:"));
    rig_close(&r);
}

/* It is ahead from the first start on, and stays so: what others do is seen all the same, by Defender's clock. */
static void test_reconcile__a_clock_that_is_ahead_from_the_beginning_hides_nothing(void **state)
{
    static const struct {
        int64_t ahead;
        const char *from;
    } rows[] = {
        {8 * DAY_MS, "ge%202024-12-23T10:"},
        {400 * DAY_MS, "ge%202023-11-27T10:"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("  row %zu\n", i);
        begin(&r);
        rig_says_dated(&r, RECENT, NOTHING, rows[i].ahead);
        assert_true(reconciled(&r));
        for (int k = 0; k < 3; k++) {
            next(&r, NOTHING);
            assert_non_null(
                strstr(peer_request(r.peer, peer_count(r.peer) - 1)->target, rows[i].from));
        }
        rig_close(&r);
    }
}

/* A release that is under way as well decides nothing yet, and may end first. */
static void test_reconcile__an_isolation_beside_a_release_is_seen_again(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    hands_turn(&r.hands, 25 * MINUTE_MS);
    next(&r, "{\"value\":[" NOT_YET "," ACTION_DOC(RELEASE, "Unisolate", "Pending", "null",
                                                   "24:10") "," LATER_ELSEWHERE "]}");
    assert_int_equal(isolations(&r), 0);
    next(&r, "{\"value\":[" NOT_YET "," DONE_DOC(RELEASE, "Unisolate", "24:10", "26:20") "]}");
    assert_from(&r, "10:12:20");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    rig_close(&r);
}

/* What /readyz says of this host's clock. */
static void assert_clock(struct rig *r, const char *why)
{
    struct health_part *parts = NULL;
    unsigned n = readiness_parts(r->g, r->arena, &parts), at = 0;

    while (at < n && strcmp(parts[at].name, "clock:contoso") != 0)
        at++;
    assert_true(at < n);
    if (why ? parts[at].ok || !strstr(parts[at].why, why) : !parts[at].ok)
        fail_msg("expected '%s': %d '%s'", why ? why : "", parts[at].ok, parts[at].why);
}

/* Defender says what time it is, and somebody looks at /readyz. A clock that is set since is known without another answer:
 * this replica may ask for nothing for a long time. */
static void test_reconcile__a_clock_that_is_far_off_is_seen(void **state)
{
    static const struct {
        int64_t ahead_ms, set_ms;
        const char *why, *then;
    } rows[] = {
        {0, 0, NULL, NULL},
        {HOUR_MS, -HOUR_MS, "60 min ahead of Defender's", NULL},
        {-HOUR_MS, 0, "60 min behind Defender's", "60 min behind Defender's"},
        {0, 2 * HOUR_MS, NULL, "120 min ahead of Defender's"},
        {0, 4 * MINUTE_MS, NULL, NULL},
    };
    struct rig r;

    (void)state;
    begin(&r);
    assert_int_equal(health_new(&r.hands.clock, &r.g->health, NULL), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hands_turn(&r.hands, EVERY_MS);
        rig_afresh(&r);
        rig_says_dated(&r, RECENT, NOTHING, rows[i].ahead_ms);
        assert_true(reconciled(&r));
        assert_clock(&r, rows[i].why);
        atomic_fetch_add(&r.hands.wall, rows[i].set_ms);
        assert_clock(&r, rows[i].then);
        atomic_fetch_sub(&r.hands.wall, rows[i].set_ms);
    }
    health_free(r.g->health);
    r.g->health = NULL;
    rig_close(&r);
}

/* It began to fail while the clock was ahead, and fails on: somebody who looks at /readyz sees it, and not in a week. */
static void test_reconcile__a_failing_that_began_by_a_wrong_clock_is_seen(void **state)
{
    struct health_part parts[8];
    struct rig r;

    (void)state;
    begin(&r);
    assert_int_equal(health_new(&r.hands.clock, &r.g->health, NULL), ERR_OK);
    rig_says(&r, "GET", RECENT, 0, 503, "{}");
    hands_turn(&r.hands, 7 * DAY_MS);
    assert_true(reconciled(&r));
    hands_turn(&r.hands, -7 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    for (int minute = 0; minute < 40; minute++) {
        (void)reconciled(&r);
        hands_turn(&r.hands, MINUTE_MS);
    }
    assert_int_equal(health_list(r.g->health, parts, 8), 1);
    assert_false(parts[0].ok);
    health_free(r.g->health);
    r.g->health = NULL;
    rig_close(&r);
}

static void test_reconcile__the_watermark_is_durable_and_the_first_read_looks_back(void **state)
{
    const struct peer_request *q;
    struct poll_record *list;
    size_t n;
    struct rig r;

    (void)state;
    begin(&r);
    rig_says(&r, "GET", RECENT, 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_true(reconciled(&r));
    q = peer_request(r.peer, peer_count(r.peer) - 1);
    assert_non_null(strstr(q->target, "ge%202024-12-31T10:")); /* seven days */
    assert_int_equal(store_poll_list(r.store, POLL_ACTIONS, r.arena, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_true(list[0].polled > 0);
    assert_int_equal(store_poll_list(r.store, POLL_ALERTS, r.arena, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 0); /* polling is another matter */
    /* A failure moves nothing, and is no reason to hurry. */
    rig_afresh(&r);
    rig_says(&r, "GET", RECENT, 1, 503, "");
    hands_turn(&r.hands, EVERY_MS);
    assert_true(reconciled(&r));
    assert_false(reconciled(&r));
    next(&r, NOTHING);
    q = peer_request(r.peer, peer_count(r.peer) - 1);
    assert_non_null(strstr(q->target, "ge%202025-01-07T10:06:12"));
    rig_close(&r);
}

/* A list of several pages is read to its end. */
static void test_reconcile__all_pages_are_read(void **state)
{
    struct buf page = BUF_INIT(1 << 20);
    struct rig r;

    (void)state;
    begin(&r);
    buf_adds(&page, "{\"value\":[");
    for (int i = 0; i < 500; i++)
        buf_addf(
            &page,
            "%s{\"id\":\"a%d\",\"type\":\"Isolate\",\"status\":\"Succeeded\",\"machineId\":\"%040x\","
            "\"creationDateTimeUtc\":\"2025-01-07T10:00:00Z\"}",
            i ? "," : "", i, i % 50);
    buf_adds(&page, "]}");
    rig_says(&r, "GET", RECENT, 1, 200, buf_text(&page));
    rig_says(&r, "GET", RECENT, 0, 200,
             ONE(ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12")));
    assert_true(reconciled(&r));
    assert_int_equal(isolations(&r), 51);
    assert_string_equal(rig_isolation(&r).machine_id, MACHINE);
    assert_non_null(strstr(peer_request(r.peer, peer_count(r.peer) - 1)->target, "$skip=500"));
    buf_clear(&page);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reconcile__what_was_given_up_and_came_about_is_told),
        cmocka_unit_test(test_reconcile__what_was_lost_and_came_about_is_told),
        cmocka_unit_test(test_reconcile__what_was_lost_and_an_alert_finds_is_told),
        cmocka_unit_test(test_reconcile__what_waited_beside_another_and_came_about_is_told),
        cmocka_unit_test(test_reconcile__what_was_under_way_and_not_listed_is_told_when_it_is),
        cmocka_unit_test(test_reconcile__an_id_that_does_not_fit_makes_nothing_ours),
        cmocka_unit_test(test_reconcile__what_was_given_up_is_seen_again),
        cmocka_unit_test(test_reconcile__somebody_elses_isolation_is_adopted_unasked),
        cmocka_unit_test(test_reconcile__an_alert_joins_what_was_adopted),
        cmocka_unit_test(test_reconcile__a_pending_one_is_followed),
        cmocka_unit_test(test_reconcile__one_that_lapsed_is_nobodys_business),
        cmocka_unit_test(test_reconcile__people_are_asked_about_it_and_may_end_it),
        cmocka_unit_test(test_reconcile__what_is_not_in_force_is_not_adopted),
        cmocka_unit_test(test_reconcile__a_release_at_defender_ends_ours),
        cmocka_unit_test(test_reconcile__a_release_is_held_against_defenders_own_time),
        cmocka_unit_test(test_reconcile__an_older_or_unfinished_release_ends_nothing),
        cmocka_unit_test(test_reconcile__isolated_anew_by_somebody_else_is_another_episode),
        cmocka_unit_test(
            test_reconcile__the_helpdesk_is_not_told_that_what_is_isolated_anew_is_back),
        cmocka_unit_test(test_reconcile__its_name_is_harmless_in_the_subject),
        cmocka_unit_test(test_reconcile__a_release_that_takes_days_is_waited_for),
        cmocka_unit_test(test_reconcile__what_is_under_way_is_left_to_its_own_work),
        cmocka_unit_test(test_reconcile__isolated_anew_while_ours_is_released_is_adopted),
        cmocka_unit_test(test_reconcile__isolated_anew_while_ours_stands_is_adopted_after_it),
        cmocka_unit_test(test_reconcile__what_a_cancelled_release_leaves_isolated_is_adopted),
        cmocka_unit_test(test_reconcile__of_two_that_are_open_neither_is_lost),
        cmocka_unit_test(test_reconcile__what_is_in_force_beside_ours_is_adopted_after_it),
        cmocka_unit_test(test_reconcile__what_is_in_force_beside_a_newer_one_is_adopted_after_it),
        cmocka_unit_test(test_reconcile__an_isolation_beside_a_release_is_seen_again),
        cmocka_unit_test(test_reconcile__a_release_of_before_ends_nothing_that_waits),
        cmocka_unit_test(test_reconcile__a_release_in_another_spelling_ends_ours),
        cmocka_unit_test(test_reconcile__a_release_of_the_same_moment_is_a_doubt),
        cmocka_unit_test(test_reconcile__what_nobody_heard_of_ends_in_silence),
        cmocka_unit_test(test_reconcile__the_next_read_begins_where_it_should),
        cmocka_unit_test(test_reconcile__a_clock_that_is_far_off_is_seen),
        cmocka_unit_test(test_reconcile__a_failing_that_began_by_a_wrong_clock_is_seen),
        cmocka_unit_test(test_reconcile__a_clock_that_was_ahead_at_the_beginning_hides_nothing),
        cmocka_unit_test(test_reconcile__a_clock_that_is_ahead_from_the_beginning_hides_nothing),
        cmocka_unit_test(test_reconcile__the_watermark_is_durable_and_the_first_read_looks_back),
        cmocka_unit_test(test_reconcile__all_pages_are_read),
        cmocka_unit_test(test_reconcile__another_tenant_of_the_same_name_has_its_own_beginning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
