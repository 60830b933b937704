/* test_ledger.c - what happens to an isolation once it is known how the request ended: reviews, the release, an
 * absent machine that is seen again. */
#include "engine_kit.h"

#include "api.h"
#include "burst.h"
#include "desk.h"
#include "id.h"
#include "kit/steps.h"
#include "reconcile.h"
#include "store_audit.h"
#include "store_upkeep.h"

#define RELEASE_ACTION "c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f"
#define IN_FORCE       "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}"
#define RELEASED                                                                                   \
    "{\"value\":[" ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null",                    \
                              "11:15") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null",      \
                                                      "11:13") "]}"
#define A_DAY                                                                                      \
    "{\"error\":{\"code\":\"429\",\"message\":\"You can send requests again in 86400 seconds.\"}}"
#define RULES_FREE_AFTER                                                                           \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: ["                              \
    "isolate: {release_after: 8h}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"
#define RULES_FREE "rules:\n  - {name: free, do: [release: {}, email: {}]}\n"

/* A machine that Defender says is isolated, told about; what is said next is the test's. */
static int64_t isolated_and_told(struct rig *r, const char *told)
{
    int64_t id;

    rig_afresh(r);
    rig_says(r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(r, 1);
    rig_says(r, "GET", GET_ACTION, 1, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    rig_pass(r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(r, id), told);
    rig_afresh(r);
    return id;
}

static int64_t isolated(struct rig *r)
{
    return isolated_and_told(r, "requested isolated");
}

/* A machine that was isolated for longer than cases are kept: when somebody has released it, its alert is still known. A source that
 * pushes it with every change, as when it is closed then, has nothing isolated anew. */
static void test_ledger__what_was_isolated_for_longer_than_cases_are_kept_is_known_still(
    void **state)
{
    struct forgotten n = {0};
    struct rig r;
    int64_t id, again, now;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    hands_turn(&r.hands, clock_wall_ms(clock_system()) + 8 * DAY_MS -
                             clock_wall_ms(&r.hands.clock)); /* ids are by that clock */
    rig_says(&r, "GET", LIST, 0, 200, RELEASED);
    rig_takes_isolate(&r, 0);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    rig_sql(&r, "UPDATE notices SET state = 'sent', ended = 1");
    rig_sql(&r, "DELETE FROM work WHERE id IN (SELECT id FROM notices)");
    now = clock_wall_ms(&r.hands.clock);
    assert_int_equal(store_forget_cases(r.store, now, 7 * DAY_MS, 20, &n, NULL), ERR_OK);
    again = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(again, id);
    rig_close(&r);
}

static enum err_code release(struct rig *r, const char *machine, struct err *e)
{
    const struct desk_order o = {
        .id = rig_isolation(r).id, .who = "maria", .why = "all clear", .machine = machine};

    return desk_release(r->g, &o, e);
}

struct orders {
    struct rig *r;
    const char *text;
};

static enum err_code orders_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct orders *o = arg;
    struct audit_record *list;
    size_t n = 0;
    enum err_code code = audit_read(tx, o->r->arena, 0, 100, &list, &n, e);

    for (size_t i = 0; i < n && !code; i++) {
        AUTO(json_freep) struct json *doc = NULL;

        if (strcmp(list[i].kind, "order") != 0)
            continue;
        assert_int_equal(json_parse(list[i].detail, strlen(list[i].detail), &doc, NULL), ERR_OK);
        o->text = arena_fmt(o->r->arena, "%s%s %s %s;", o->text, json_get_string(doc, "order"),
                            json_get_string(doc, "machine"), json_get_string(doc, "who"));
    }
    return code;
}

/* The operators' orders that are on record. */
static const char *orders(struct rig *r)
{
    struct orders o = {.r = r, .text = ""};

    assert_int_equal(db_read(r->store->db, orders_fn, &o, NULL), ERR_OK);
    return o.text;
}

/* What a case whose last step had to wait finds in the ledger at its end is no news: its people know that the machine is
 * isolated, and that its release failed. Nobody has looked since. */
static void test_ledger__a_case_that_ends_late_tells_nothing_old(void **state)
{
    static const char scan[] = "/api/machines/" MACHINE "/runAntiVirusScan";
    struct rig r;
    struct err e;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, "
                 "email: {}, scan: {}]}\n  - {name: tell, do: [email: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    rig_says(&r, "POST", scan, 1, 400, "{}");
    rig_says(&r, "GET", GET_ACTION, 1, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 1, 403, "{}");
    rig_says(&r, "POST", scan, 1, 201,
             ACTION_DOC("cd-scan", "RunAntiVirusScan", "Pending", "null", "11:12"));
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "requested action_failed isolated not_released");
    rig_sql(&r, "UPDATE steps SET state = 'waiting' WHERE handler = 'scan'");
    rig_sql(&r, "UPDATE cases SET state = 'acting'");
    rig_sql(&r, "INSERT INTO work (id, kind, priority, due, attempts, fence, created)"
                " SELECT id, 0, 1, 0, 0, 0, created FROM cases");
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_string_equal(rig_told(&r, id), "requested action_failed isolated not_released");
    rig_close(&r);
}

/* Of thousands of cases the first are listed, all are counted, and the others follow. */
static void test_ledger__the_cases_of_an_isolation_are_counted(void **state)
{
    AUTO(json_freep) struct json *doc = NULL, *rest = NULL;
    AUTO(buf_clear) struct buf text = BUF_INIT(4 << 20);
    struct rig r;
    int64_t all = 0, after;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_sql(&r,
            "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 600)"
            " INSERT INTO cases (id, created, updated, state, tenant, alert_id, source, delivery,"
            " isolation) SELECT n, 1, 1, 'done', 'contoso', n, 'relay', 1,"
            " (SELECT id FROM isolations) FROM t");
    assert_int_equal(api_isolation(r.store, rig_isolation(&r).id, 0, API_LIMIT_MAX, &text, NULL),
                     ERR_OK);
    assert_int_equal(json_parse(buf_text(&text), text.len, &doc, NULL), ERR_OK);
    assert_true(json_int64(json_get(doc, "count"), &all));
    assert_int_equal(all, 601);
    assert_int_equal(json_count(json_get(doc, "cases")), API_LIMIT_MAX);
    assert_int_equal(id_parse(json_get_string(doc, "next"), &after, NULL), ERR_OK);
    buf_reset(&text);
    assert_int_equal(
        api_isolation(r.store, rig_isolation(&r).id, after, API_LIMIT_MAX, &text, NULL), ERR_OK);
    assert_int_equal(json_parse(buf_text(&text), text.len, &rest, NULL), ERR_OK);
    assert_int_equal(json_count(json_get(rest, "cases")), 601 - API_LIMIT_MAX);
    assert_int_equal(json_type(json_get(rest, "next")), JSON_NULL);
    rig_close(&r);
}

/* ---- reviews ------------------------------------------------------------------------------------- */

static void test_ledger__people_are_asked_again_until_somebody_answers(void **state)
{
    struct desk_order extend = {.who = "maria", .for_ms = 4 * HOUR_MS};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_pass(&r, 23 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    assert_int_equal(rig_seen(&r, "GET", LIST), 5); /* one call in four hours */
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    assert_non_null(strstr(rig_subject(&r, id), "[ISOLATED] Review: High: Credential memory read"));
    assert_null(strstr(rig_words(&r, id), "could not be read"));
    rig_pass(&r, 24 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review overdue");
    assert_non_null(strstr(rig_subject(&r, id), "[ISOLATED] Review overdue: "));
    assert_int_equal(rig_isolation(&r).reminded, 2);
    /* An answer begins it anew, at the time that it names. */
    extend.id = rig_isolation(&r).id;
    assert_int_equal(desk_extend(r.g, &extend, NULL), ERR_OK);
    assert_string_equal(orders(&r), "isolation_extended " MACHINE " maria;");
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review overdue");
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review overdue review");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    rig_close(&r);
}

/* The clock was a year ahead for a moment, and people were asked by it: they are asked again a day later. */
static void test_ledger__a_clock_set_back_puts_no_review_off(void **state)
{
    const int64_t year = 365 * DAY_MS;
    struct desk_order extend = {.who = "maria", .for_ms = 30 * HOUR_MS};
    struct rig r;
    int64_t id, kept;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_pass(&r, HOUR_MS, HOUR_MS);
    extend.id = rig_isolation(&r).id;
    assert_int_equal(desk_extend(r.g, &extend, NULL), ERR_OK);
    kept = rig_isolation(&r).keep_until;
    atomic_fetch_add(&r.hands.wall, year);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    atomic_fetch_sub(&r.hands.wall, year);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    rig_pass(&r, 23 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    assert_int_equal(rig_isolation(&r).keep_until, kept); /* against a rule that lets it end */
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review overdue");
    rig_close(&r);
}

static void test_ledger__the_time_of_review_is_a_setting(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 2h}\n");
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_pass(&r, HOUR_MS + 10 * MINUTE_MS, 10 * MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    rig_close(&r);
}

static void test_ledger__a_false_positive_is_offered_not_released(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"classification\":\"FalsePositive\"}");
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    assert_non_null(strstr(rig_words(&r, id), "classified as a false positive"));
    assert_non_null(strstr(rig_words(&r, id), "cordon isolations release " MACHINE));
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_close(&r);
}

/* A Defender that cannot be read holds the mail up for a quarter of an hour, not longer; nor does one that wants to be
 * left alone for a day. */
static void test_ledger__people_are_asked_without_defender_too(void **state)
{
    static const struct {
        int status;
        const char *body;
    } rows[] = {{503, ""}, {429, A_DAY}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, rows[i].status, rows[i].body);
        rig_pass(&r, 24 * HOUR_MS + 5 * MINUTE_MS, 5 * MINUTE_MS);
        assert_string_equal(rig_told(&r, id), "requested isolated");
        rig_pass(&r, 30 * MINUTE_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), "requested isolated review");
        assert_non_null(strstr(rig_words(&r, id), "Defender could not be read"));
        rig_close(&r);
    }
}

/* Without ours in the list it is only their times that tell what came first, and clocks differ. */
static void test_ledger__a_release_of_the_same_moment_closes_nothing(void **state)
{
    static const struct {
        const char *list;
        enum isolation_state state;
    } rows[] = {
        {"{\"value\":[" ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "12:30") "]}",
         ISOLATION_ISOLATED},
        {"{\"value\":[" ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "30:00") "]}",
         ISOLATION_RELEASED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_open(&r, NULL);
        (void)isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, rows[i].list);
        rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
        print_message("  row %zu\n", i);
        assert_true(rig_seen(&r, "GET", LIST) > 0);
        assert_int_equal(rig_isolation(&r).state, rows[i].state);
        rig_close(&r);
    }
}

static void test_ledger__a_release_at_defender_closes_ours(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                                       "30:00") "," ACTION_DOC(ACTION, "Isolate", "Succeeded",
                                                               "null", "11:13") "]}");
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_isolation(&r).why, "released at Defender");
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    rig_close(&r);
}

/* The release was made after our isolation and done before it: the machine is isolated, whoever looks. */
static void test_ledger__a_release_that_was_done_before_ours_ends_nothing(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC("a2", "Unisolate", "11:20", "11:25") "," DONE_DOC(
                 ACTION, "Isolate", "11:12", "11:40") "]}");
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    rig_close(&r);
}

/* Isolated for the second time, and Defender has said so; its list shows the first time alone. */
#define LAGGING                                                                                    \
    "{\"value\":[" ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "05:00") "," ACTION_DOC(     \
        "a1", "Isolate", "Succeeded", "null", "01:00") "]}"

/* What a list says that does not show our own isolation is no release of it: neither when another alert has it looked
 * at, nor when its time has come, nor when people are asked, nor when the rule says that it ends. */
static void test_ledger__a_lagging_list_releases_nothing(void **state)
{
    static const struct {
        const char *rules;
        bool alert;
        int64_t later_ms;
        enum isolation_state state;
        const char *told;
    } rows[] = {
        {RULES_ISOLATE_AND_MAIL, true, 2 * SECOND_MS, ISOLATION_ISOLATED, "requested isolated"},
        {RULES_ISOLATE_AND_MAIL, false, 4 * HOUR_MS, ISOLATION_ISOLATED, "requested isolated"},
        {RULES_ISOLATE_AND_MAIL "safety: {review: 1h}\n", false, HOUR_MS, ISOLATION_ISOLATED,
         "requested isolated review"},
        {RULES_FREE_AFTER, false, 8 * HOUR_MS, ISOLATION_RELEASING, "requested isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, rows[i].rules);
        id = isolated(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT "da2_-1", 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, LAGGING);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        if (rows[i].alert)
            (void)rig_push(&r, "da2_-1", MACHINE);
        rig_pass(&r, rows[i].later_ms, rows[i].later_ms / 2);
        assert_true(rig_seen(&r, "GET", LIST) > 0);
        assert_int_equal(rig_isolation(&r).state, rows[i].state);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

#define RELEASED_AT(at)                                                                            \
    "{\"value\":[" ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", at) "]}"

/* Where the list does not show our own isolation, which was confirmed at 11:14 or so, two clocks may differ by five
 * minutes: a release of less after that may have been before it, and one of more was not. */
static void test_ledger__a_release_within_the_skew_of_two_clocks_is_believed_beside_our_isolation(
    void **state)
{
    static const struct {
        const char *list;
        enum isolation_state state;
    } rows[] = {
        {RELEASED_AT("13:00"), ISOLATION_ISOLATED},
        {RELEASED, ISOLATION_RELEASED}, /* at 11:15, beside ours */
        {RELEASED_AT("16:30"), ISOLATION_RELEASED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        (void)isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, rows[i].list);
        rig_pass(&r, 4 * HOUR_MS, HOUR_MS);
        assert_true(rig_seen(&r, "GET", LIST) > 0);
        assert_int_equal(rig_isolation(&r).state, rows[i].state);
        rig_close(&r);
    }
}

/* Nor is it the release that a person has just ordered: that is asked for. */
static void test_ledger__a_lagging_list_is_no_release_that_was_ordered(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, LAGGING);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_close(&r);
}

/* ---- the release ----------------------------------------------------------------------------------- */

static void test_ledger__a_release_is_asked_for_once_and_followed(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION, 2, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "InProgress", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    assert_int_equal(release(&r, MACHINE, &e), ERR_CONFLICT); /* once is enough */
    assert_string_equal(orders(&r), "release_ordered " MACHINE " maria;");
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_isolation(&r).why, "release ordered by maria: all clear");
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    assert_non_null(strstr(rig_subject(&r, id), "[RELEASED] High: "));
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

#define BEFORE DONE_DOC("a2", "Unisolate", "09:00", "09:02")

/* Nobody knows what became of the request, ids do not come back, and the list shows the release of an episode before,
 * made minutes before the order: the machine is isolated still, and nobody is told that it is not. Nor where the list lacks
 * the isolation for a while: the ledger knows when that took effect. */
static void test_ledger__a_release_of_an_episode_before_is_not_ours(void **state)
{
    static const char *const lists[] = {
        "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "," BEFORE "]}",
        "{\"value\":[" BEFORE "]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        id = isolated(&r);
        rig_sql(&r, "UPDATE isolations SET took_effect = confirmed");
        rig_says(&r, "GET", LIST, 0, 200, lists[i]);
        peer_script(r.peer,
                    &(struct peer_answer){
                        .method = "POST", .target = UNISOLATE, .times = 1, .act = PEER_RESET});
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "11:30"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        hands_turn(&r.hands, WORK_SETTLE_MS);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 2);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
        assert_string_equal(rig_told(&r, id), "requested isolated");
        rig_close(&r);
    }
}

#define RULES_TWO_MAILS                                                                            \
    "rules:\n  - {name: contain, do: [isolate: {}, email: {to: [a@x.example]}, tag: {add: seen},"  \
    " email: {to: [b@x.example]}]}\n"

/* A step between two mails takes so long that a person has the machine released meanwhile. */
static void test_ledger__a_mail_about_a_release_does_not_call_it_a_failure(void **state)
{
    static const struct {
        const char *release; /* how Defender's action stands when the second mail is made */
        const char *told, *in_the_end;
    } rows[] = {
        {"Pending", "requested isolated isolated", "requested isolated isolated released"},
        {"Succeeded", "requested released released", "requested released released"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        struct err e = {0};
        int64_t id;

        rig_open(&r, RULES_TWO_MAILS);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 3, 503, "{}");
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
        rig_says(&r, "POST", UNISOLATE, 1, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", GET_ACTION RELEASE_ACTION, 0, 200,
                 strcmp(rows[i].release, "Pending") == 0
                     ? ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12")
                     : ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        for (int n = 0; rig_isolation(&r).state != ISOLATION_ISOLATED && n < 100; n++)
            rig_pass(&r, 100, 100);
        assert_string_equal(rig_told(&r, id), "requested");
        assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
        rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        peer_forget(r.peer);
        rig_afresh(&r);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
        assert_string_equal(rig_told(&r, id), rows[i].in_the_end);
        rig_close(&r);
    }
}

#define SECOND_ALERT "da638712345678901234_-2000000000"
#define SECOND_DOC                                                                                 \
    "{\"id\":\"" SECOND_ALERT "\",\"severity\":\"High\",\"title\":\"Another\","                    \
    "\"machineId\":\"" MACHINE "\"}"
#define THIRD_ALERT "da638712345678901234_-3000000000"
#define RULES_TWO_TEAMS                                                                                     \
    "rules:\n  - {name: third, when: {alert.title: Third}, do: [isolate: {},"                               \
    " email: {to: [third@x.example]}]}\n  - {name: others, when: {alert.title: Another}, do: [isolate: {}," \
    " email: {to: [others@x.example]}]}\n"                                                                  \
    "  - {name: contain, do: [isolate: {}, email: {}]}\n"

/* As rig_afresh, with another alert on the machine. */
static void two_alerts(struct rig *r)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT SECOND_ALERT, 0, 200, SECOND_DOC);
    rig_says(r, "GET", GET_ALERT THIRD_ALERT, 0, 200,
             "{\"id\":\"" THIRD_ALERT "\",\"severity\":\"High\",\"title\":\"Third\","
             "\"machineId\":\"" MACHINE "\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
}

static bool was_written(struct rig *r, int64_t id, const char *kind, const char *address)
{
    struct notice_record *list;
    size_t n = 0;

    assert_int_equal(store_notice_list(r->store, r->arena, id, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_recipients && strcmp(list[i].kind, kind) == 0; k++)
            if (strcmp(list[i].recipients[k].address, address) == 0)
                return true;
    return false;
}

/* release_at of its document, wall ms; 0: null. */
static int64_t said_release(struct rig *r)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 20);
    AUTO(json_freep) struct json *doc = NULL;
    int64_t at = 0;

    assert_int_equal(api_isolation(r->store, rig_isolation(r).id, 0, API_LIMIT_MAX, &text, NULL),
                     ERR_OK);
    assert_int_equal(json_parse(buf_text(&text), text.len, &doc, NULL), ERR_OK);
    if (json_get_string(doc, "release_at"))
        assert_int_equal(clock_parse(json_get_string(doc, "release_at"), &at, NULL), ERR_OK);
    return at;
}

/* Whoever is asked whether an isolation is right is told that it ends by itself, and when. */
static void test_ledger__it_is_told_when_the_rule_releases_it(void **state)
{
    struct desk_order extend = {.who = "maria", .for_ms = 40 * HOUR_MS};
    char when[CLOCK_TEXT_SIZE];
    struct rig r;
    int64_t id, at;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, do: [isolate: {release_after: 30h}, email: {}]}\n");
    id = isolated(&r);
    at = rig_isolation(&r).confirmed + 30 * HOUR_MS;
    assert_int_equal(said_release(&r), at);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    if (!strstr(rig_words(&r, id), arena_fmt(r.arena, "releases it on %s", clock_format(at, when))))
        fail_msg("%s", rig_words(&r, id));
    assert_null(strstr(rig_words(&r, id), "until somebody releases it. "));
    extend.id = rig_isolation(&r).id;
    assert_int_equal(desk_extend(r.g, &extend, NULL), ERR_OK);
    assert_int_equal(said_release(&r), rig_isolation(&r).review);
    rig_close(&r);

    /* which it does not in shadow mode */
    rig_open(&r, "rules:\n  - {name: contain, do: [isolate: {release_after: 30h}, email: {}]}\n");
    id = isolated(&r);
    engine_use(r.g, rig_runtime(&r, "rules:\n  - {name: tell, do: [email: {}]}\n"
                                    "safety: {mode: shadow}\n"));
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    assert_null(strstr(rig_words(&r, id), "releases it on"));
    rig_close(&r);

    rig_open(&r, NULL); /* without an end */
    (void)isolated(&r);
    assert_int_equal(said_release(&r), 0);
    rig_close(&r);
}

#define SHARED 3000

static enum err_code share_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct isolation_record *i = arg;
    enum err_code code = ERR_OK;

    for (int64_t k = 1; k <= SHARED && !code; k++) {
        char alert[24];

        (void)snprintf(alert, sizeof alert, "da%d_-7", (int)k);
        code =
            db_run(tx, e, NULL,
                   "INSERT INTO cases (id, tenant, alert_id, source, delivery, machine_id, state,"
                   " isolation, created, updated) VALUES ($1, $2, $3, 'relay', 0, $4, 'done', $5,"
                   " $6, $7)",
                   "itttiii", i->case_id + k, i->tenant, alert, i->machine_id, i->id, i->requested,
                   i->requested);
        if (!code)
            code = db_run(tx, e, NULL,
                          "INSERT INTO steps (case_id, n, handler, args, state, updated)"
                          " VALUES ($1, 0, 'isolate', '{\"release_after\":\"30h\"}', 'done', $2)",
                          "ii", i->case_id + k, i->requested);
    }
    return code;
}

/* What a list of so many cases takes of the database, in steps. */
static int64_t list_costs(struct rig *r, size_t limit, const char *says)
{
    const struct case_filter f = {.limit = limit};
    AUTO(buf_clear) struct buf text = BUF_INIT(16 << 20);
    int64_t from = steps_taken(), to;
    size_t n = 0;

    assert_int_equal(api_cases(r->store, &f, &text, NULL), ERR_OK);
    to = steps_taken();
    for (const char *p = buf_text(&text); (p = strstr(p, says)); p++)
        n++;
    assert_int_equal(n, limit);
    return to - from;
}

/* When it ends is asked of every case that shares it: of thousands once, and not for each case of a list again. */
static void test_ledger__a_list_of_cases_asks_once_when_their_isolation_ends(void **state)
{
    char at[CLOCK_TEXT_SIZE];
    struct isolation_record i;
    const char *says;
    int64_t one;
    struct rig r;

    (void)state;
    steps_watch();
    rig_open(&r, "rules:\n  - {name: contain, do: [isolate: {release_after: 30h}, email: {}]}\n");
    (void)isolated(&r);
    i = rig_isolation(&r);
    assert_int_equal(db_write(r.store->db, share_fn, &i, NULL), ERR_OK);
    says =
        arena_fmt(r.arena, "\"release_at\":\"%s\"", clock_format(i.confirmed + 30 * HOUR_MS, at));
    (void)list_costs(&r, 1, says); /* what is read is in memory then */
    one = list_costs(&r, 1, says);
    assert_true(one > 0);
    assert_in_range(list_costs(&r, 200, says), 0, 2 * one);
    steps_unwatch();
    rig_close(&r);
}

/* A release that was ordered, and is not asked for yet: the isolation in force is no answer to a new alert. */
static void test_ledger__what_is_being_released_is_not_joined(void **state)
{
    struct rig r;
    struct err e = {0};
    struct work w;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    id = rig_push(&r, SECOND_ALERT, MACHINE);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    expand_run(r.g, &w);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    assert_int_equal(rig_case(&r, id).isolation, 0);
    assert_string_equal(rig_told(&r, id), "not_isolated");
    assert_non_null(
        strstr(rig_subject(&r, id), "[NOT ISOLATED: the machine is being released] High: Another"));
    rig_close(&r);
}

/* Somebody released it at Defender, and a new alert is the first to see that: it isolates anew, and those who heard of
 * the first isolation hear of its end. */
static void test_ledger__a_release_that_a_new_alert_finds_is_told(void **state)
{
    struct rig r;
    int64_t first, second;

    (void)state;
    rig_open(&r, NULL);
    first = isolated(&r);
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, RELEASED);
    rig_says(&r, "POST", ISOLATE, 1, 201, ACTION_DOC("a3", "Isolate", "Pending", "null", "12:12"));
    hands_turn(&r.hands, 5 * MINUTE_MS);
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_told(&r, second), "requested");
    assert_string_equal(rig_told(&r, first), "requested isolated released");
    rig_close(&r);
}

/* A case that is let go leaves the isolation to go on: how it ends is owed to those who heard of the request. */
static void test_ledger__the_end_of_what_a_dropped_case_asked_for_is_told(void **state)
{
    static const struct {
        const char *ends, *told;
    } rows[] = {{"Succeeded", "requested isolated"}, {"Failed", "requested not_isolated"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk_order drop = {.who = "maria", .why = "a drill"};
        struct err e = {0};
        struct rig r;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 strcmp(rows[i].ends, "Failed") == 0
                     ? ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12")
                     : ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        drop.id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        if (desk_drop(r.g, &drop, &e))
            fail_msg("%s", e.text);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_true(isolation_is_settled(rig_isolation(&r).state));
        assert_int_equal(rig_case(&r, drop.id).state, CASE_DROPPED);
        assert_string_equal(rig_told(&r, drop.id), rows[i].told);
        rig_close(&r);
    }
}

/* What a person let go is not tried again, and his order is refused in words; nor is one that is not over yet. */
static void test_ledger__a_case_that_is_not_done_is_not_tried_again_for_its_isolation(void **state)
{
    static const bool dropped[] = {true, false};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct desk_order order = {.who = "maria", .why = "a drill"};
        struct err e = {0};
        struct rig r;

        rig_open(&r,
                 "rules:\n  - {name: contain, do: [isolate: {}, tag: {add: seen}, email: {}]}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12"));
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 503, "{}");
        order.id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        if (dropped[i] && desk_drop(r.g, &order, &e))
            fail_msg("%s", e.text);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        assert_int_equal(rig_case(&r, order.id).state, dropped[i] ? CASE_DROPPED : CASE_ACTING);
        assert_int_equal(desk_retry(r.g, &order, &e), ERR_CONFLICT);
        assert_non_null(strstr(e.text, dropped[i] ? "the case is dropped" : "the case is acting"));
        rig_close(&r);
    }
}

/* Its case's people are not those of a case that joined it, who were told that the machine is isolated, too. */
static void test_ledger__all_who_heard_of_the_isolation_hear_of_the_release(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t first, second, third;

    (void)state;
    rig_open(&r, RULES_TWO_TEAMS);
    first = isolated(&r);
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(was_written(&r, second, "isolated", "others@x.example"));
    third = rig_push(&r, THIRD_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(was_written(&r, third, "isolated", "third@x.example"));
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS); /* a review is no release */
    assert_true(was_written(&r, first, "review", "soc@contoso.example"));
    assert_false(was_written(&r, second, "released", "others@x.example"));
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_true(was_written(&r, first, "released", "soc@contoso.example"));
    assert_true(was_written(&r, second, "released", "others@x.example"));
    assert_true(
        was_written(&r, third, "released", "third@x.example")); /* in the thread of his own */
    assert_false(was_written(&r, second, "released", "third@x.example"));
    assert_false(was_written(&r, second, "released", "soc@contoso.example")); /* once is enough */
    rig_close(&r);
}

/* What is told of a case that shares the isolation is held (burst.h) when the machine is released: "isolated" would be
 * behind the mail that says so, and the last that its people read. */
static void test_ledger__what_is_held_is_not_told_as_isolated_behind_the_release(void **state)
{
    struct notice_record *list;
    struct runtime *rt;
    struct err e = {0};
    struct work w;
    struct rig r;
    int64_t second;
    size_t n = 0, sent = 0;

    (void)state;
    rig_open(&r, NULL);
    rt = engine_runtime(r.g);
    rt->config->mail.group = (struct config_group){.wait_ms = 30 * SECOND_MS,
                                                   .interval_ms = 5 * MINUTE_MS,
                                                   .by = {[CONFIG_GROUP_MACHINE] = true}};
    runtime_unref(rt);
    (void)isolated(&r);
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(was_written(&r, second, "isolated", "soc@contoso.example"));
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    hands_turn(&r.hands, 10 * SECOND_MS);
    assert_true(rig_claim(&r, WORK_BURST, &w));
    burst_run(r.g, &w);
    assert_int_equal(store_notice_list(r.store, r.arena, second, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].state, "waiting") == 0) {
            assert_string_equal(list[i].kind, "released");
            sent++;
        }
    assert_int_equal(sent, 1); /* the alert is told, as it stands now */
    rig_close(&r);
}

/* And so of their channels, which know no more than what they are posted. */
static void test_ledger__all_channels_that_heard_of_the_isolation_hear_of_the_release(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t first, second;

    (void)state;
    rig_open(&r, "webhooks:\n  chat: {url: 'https://chat.example/1', template: teams}\n"
                 "  others: {url: 'https://others.example/1', template: teams}\n"
                 "rules:\n  - {name: others, when: {alert.title: Another}, do: [isolate: {},"
                 " webhook: {to: others}, webhook: {to: chat}]}\n"
                 "  - {name: contain, do: [isolate: {}, webhook: {to: chat}, email: {}]}\n");
    first = isolated_and_told(&r, "requested requested isolated isolated");
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(was_written(&r, first, "isolated", "webhook:chat"));
    assert_true(was_written(&r, second, "isolated", "webhook:others"));
    rig_sql(&r, "UPDATE recipients SET state = 'sent'"); /* nothing is still to come */
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);                 /* a review is no release */
    assert_false(was_written(&r, second, "released", "webhook:others"));
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_true(was_written(&r, first, "released", "webhook:chat"));
    assert_true(was_written(&r, second, "released", "webhook:others"));
    assert_false(was_written(&r, second, "released", "webhook:chat")); /* once is enough */
    rig_close(&r);
}

/* The helpdesk of another site was told by a case of its own that the machine is cut off. */
static void test_ledger__each_helpdesk_that_heard_of_the_isolation_hears_of_the_release(
    void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t second, third;

    (void)state;
    rig_open(&r,
             "rules:\n  - {name: others, when: {alert.title: Another}, do: [isolate: {}, email: {},"
             " email: {audience: desk, to: [oslo@x.example, berlin@x.example, rome@x.example]}]}\n"
             "  - {name: third, when: {alert.title: Third}, do: [isolate: {}, email: {},"
             " email: {audience: desk, to: [rome@x.example]}]}\n"
             "  - {name: contain, do: [isolate: {}, email: {},"
             " email: {audience: desk, to: [berlin@x.example]}]}\n");
    (void)isolated_and_told(&r, "requested requested isolated isolated");
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(was_written(&r, second, "isolated", "oslo@x.example"));
    third = rig_push(&r, THIRD_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(was_written(&r, third, "isolated", "rome@x.example"));
    rig_sql(&r, "UPDATE recipients SET state = 'sent'"); /* nothing is still to come */
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_true(was_written(&r, second, "released", "oslo@x.example"));
    assert_true(was_written(&r, third, "released", "rome@x.example"));
    /* Each once, whichever cases named it. */
    assert_false(was_written(&r, second, "released", "berlin@x.example"));
    assert_false(was_written(&r, second, "released", "rome@x.example"));
    rig_close(&r);
}

static void test_ledger__what_an_answer_to_the_release_means(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum isolation_state ends;
        bool unanswered;
    } rows[] = {
        {201, ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"),
         ISOLATION_RELEASING, false},
        {200, ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"),
         ISOLATION_RELEASED, false},
        {201, ACTION_DOC(RELEASE_ACTION, "Unisolate", "Failed", "null", "12:12"),
         ISOLATION_ISOLATED, false},
        {201, ACTION_DOC(RELEASE_ACTION, "Isolate", "Pending", "null", "12:12"),
         ISOLATION_RELEASING, true},
        {201, "{", ISOLATION_RELEASING, true},
        {400, "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"m\"}}",
         ISOLATION_RELEASING, false},
        {400, "{\"error\":{\"code\":\"OsPlatformNotSupported\",\"message\":\"m\"}}",
         ISOLATION_ISOLATED, false},
        {403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"m\"}}", ISOLATION_ISOLATED, false},
        {404, "{\"error\":{\"code\":\"ResourceNotFound\",\"message\":\"m\"}}", ISOLATION_ISOLATED,
         false},
        {429, "{\"error\":{\"code\":\"429\",\"message\":\"in 8 seconds\"}}", ISOLATION_RELEASING,
         false},
        {500, "{}", ISOLATION_RELEASING, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, rows[i].status, rows[i].body);
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        print_message("  %d %.40s\n", rows[i].status, rows[i].body);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_int_equal(rig_isolation(&r).posted != 0, rows[i].unanswered);
        assert_string_equal(rig_told(&r, id),
                            rows[i].ends == ISOLATION_RELEASED   ? "requested isolated released"
                            : rows[i].ends == ISOLATION_ISOLATED ? "requested isolated not_released"
                                                                 : "requested isolated");
        if (rows[i].ends == ISOLATION_ISOLATED)
            assert_non_null(strstr(rig_subject(&r, id), "[NOT RELEASED: "));
        rig_close(&r);
    }
}

/* Ours came to nothing, and somebody else's freed the machine meanwhile. What cannot be seen yet is not said. */
static void test_ledger__another_release_beside_ours_is_seen(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 1, 200, IN_FORCE);
    rig_says(&r, "GET", LIST, 1, 503, "{}");
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC("d4", "Unisolate", "20:00", "25:00") "," ACTION_DOC(
                 RELEASE_ACTION, "Unisolate", "Cancelled", "null",
                 "12:12") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
    rig_says(&r, "POST", UNISOLATE, 1, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_says(&r, "GET", "/api/machineactions/" RELEASE_ACTION, 0, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Cancelled", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    rig_pass(&r, 10 * MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* It came to nothing, and nobody can look whether another one has freed the machine: whoever ordered it hears of it within
 * minutes, and at once where no look will ever be had. */
static void test_ledger__a_release_that_came_to_nothing_is_told_though_nobody_can_look(void **state)
{
    static const struct {
        int status;
        const char *at_once;
    } rows[] = {
        {503, "requested isolated"},
        {403, "requested isolated not_released"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 1, 200, IN_FORCE);
        rig_says(&r, "GET", LIST, 0, rows[i].status, "{}");
        rig_says(&r, "POST", UNISOLATE, 1, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", "/api/machineactions/" RELEASE_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Failed", "null", "12:12"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_pass(&r, 3 * SECOND_MS, SECOND_MS);
        assert_string_equal(rig_told(&r, id), rows[i].at_once);
        rig_pass(&r, HOUR_MS, 5 * SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), "requested isolated not_released");
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        rig_close(&r);
    }
}

/* A release is under way whose answer was lost; the next look finds it. Returns the case. */
static int64_t lose_release(struct rig *r)
{
    int64_t id = isolated(r);

    rig_says(r, "GET", LIST, 1, 200, IN_FORCE);
    rig_says(r, "GET", LIST, 0, 200, RELEASED);
    peer_script(r->peer, &(struct peer_answer){
                             .method = "POST", .target = UNISOLATE, .times = 1, .act = PEER_RESET});
    rig_says(r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    assert_int_equal(release(r, MACHINE, NULL), ERR_OK);
    (void)rig_work(r);
    assert_int_equal(rig_isolation(r).state, ISOLATION_RELEASING);
    assert_true(rig_isolation(r).posted > 0);
    return id;
}

#define OURS_RELEASED DONE_DOC(RELEASE_ACTION, "Unisolate", "12:14", "20:10")
#define ISOLATED_AGAIN                                                                             \
    "{\"value\":[" DONE_DOC("d4", "Isolate", "17:20", "20:20") "," OURS_RELEASED "," ACTION_DOC(   \
        ACTION, "Isolate", "Succeeded", "null", "11:13") "]}"

/* An absent machine takes its release minutes later or days, and somebody has isolated it again before cordon hears of it:
 * nobody, and the helpdesk least of all, is told that it is free. What cannot be seen is not said, but not for ever. */
static void test_ledger__what_is_isolated_again_behind_a_late_release_is_told(void **state)
{
    static const struct {
        const char *label, *list;
        int fails; /* so many looks; 0: none */
        int status;
        const char *subject;
        int outage; /* before that so many tries in which it says nothing of the release; 0: none */
    } rows[] = {
        {"it is seen", ISOLATED_AGAIN, 0, 0, "[RELEASED] Isolated again: ", 0},
        {"it is seen in the end", ISOLATED_AGAIN, 3, 503, "[RELEASED] Isolated again: ", 0},
        {"it is seen in the end, after Defender was down for hours", ISOLATED_AGAIN, 3, 503,
         "[RELEASED] Isolated again: ", 12},
        {"it cannot be seen", ISOLATED_AGAIN, 1000, 503, "[RELEASED] High: ", 0},
        {"it may not be seen", ISOLATED_AGAIN, 1000, 403, "[RELEASED] High: ", 0},
        {"it cannot be seen for a day", ISOLATED_AGAIN, 1000, 429, "[RELEASED] High: ", 0},
        {"nothing is to be seen",
         "{\"value\":[" OURS_RELEASED
         "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
         0, 0, "[RELEASED] High: ", 0},
        {"the list lags", IN_FORCE, 0, 0, "[RELEASED] High: ", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool again = strstr(rows[i].subject, "again") != NULL;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 1, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:14"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:14"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_pass(&r, 10 * MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
        rig_afresh(&r);
        if (rows[i].fails)
            rig_says(&r, "GET", LIST, rows[i].fails, rows[i].status,
                     rows[i].status == 429 ? A_DAY : "{}");
        rig_says(&r, "GET", LIST, 0, 200, rows[i].list);
        if (rows[i].outage)
            rig_says(&r, "GET", GET_ACTION, rows[i].outage, 503, "{}");
        rig_says(&r, "GET", GET_ACTION, 0, 200, OURS_RELEASED);
        rig_pass(&r, rows[i].outage ? 6 * HOUR_MS : HOUR_MS, 10 * SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
        assert_string_equal(rig_told(&r, id), "requested isolated released");
        if (strncmp(rig_subject(&r, id), rows[i].subject, strlen(rows[i].subject)) != 0)
            fail_msg("%s", rig_subject(&r, id));
        assert_string_equal(rig_isolation(&r).why,
                            again
                                ? "released at Defender, and isolated there again since by somebody"
                                : "release ordered by maria: all clear");
        rig_close(&r);
    }
}

/* The same where the answer was lost, and the look for what came of it shows both. */
static void test_ledger__what_is_isolated_again_behind_a_lost_release_is_told(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 1, 200, IN_FORCE);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC("d4", "Isolate", "11:20", "11:25") "," ACTION_DOC(
                 RELEASE_ACTION, "Unisolate", "Succeeded", "null",
                 "11:15") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
    peer_script(r.peer, &(struct peer_answer){
                            .method = "POST", .target = UNISOLATE, .times = 1, .act = PEER_RESET});
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_non_null(strstr(rig_subject(&r, id), "[RELEASED] Isolated again: "));
    rig_close(&r);
}

/* A lost answer: looked for, and neither asked again while it may be there nor forgotten. */
/* However long Defender wants to be left alone, who ordered it hears after an hour that it came to nothing. */
static void test_ledger__a_retry_after_of_a_day_keeps_nobody_from_the_news(void **state)
{
    static const bool looks[] = {false, true};

    (void)state;
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        struct rig r;
        struct err e;
        int64_t id;

        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, looks[i] ? 200 : 429, looks[i] ? IN_FORCE : A_DAY);
        rig_says(&r, "POST", UNISOLATE, 0, 429, A_DAY);
        assert_int_equal(release(&r, NULL, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
        rig_pass(&r, 90 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), "requested isolated not_released");
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), looks[i]);
        rig_close(&r);
    }
}

static void test_ledger__a_lost_release_is_looked_for_and_not_sent_again(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_release(&r);
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1); /* not before it can be seen */
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* The same when that it was given up could not be written down: the row says still when it was sent. */
static void test_ledger__a_lost_release_rests_though_its_record_failed_once(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 1, 200, IN_FORCE);
    rig_says(&r, "GET", LIST, 0, 200, RELEASED);
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    rig_lose_unrecorded(&r, "isolations", UNISOLATE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC("c4", "Unisolate", "Pending", "null", "12:14"));
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1); /* not before it can be seen */
    rig_pass(&r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* A clock that is set back does not make a lost answer wait until it has caught up. */
static void test_ledger__a_clock_set_back_delays_no_release(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)lose_release(&r);
    atomic_fetch_add(&r.hands.wall, -(2 * HOUR_MS));
    assert_int_equal(store_work_recover(r.store, NULL), ERR_OK); /* as at a start */
    rig_pass(&r, 9 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1); /* not before it can be seen */
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* Nor does a clock that leaps give an order up that was asked for a moment ago, or not at all: by an hour, or by days when
 * the release is under way. */
static void test_ledger__a_clock_that_leaps_gives_no_release_up(void **state)
{
    static const struct {
        const char *label;
        int64_t leap_ms;
        bool taken;   /* before the leap */
        bool at_once; /* it leaps before anything was asked for */
    } rows[] = {
        {"asked in vain", 2 * HOUR_MS, false, false},
        {"not asked for", 2 * HOUR_MS, false, true},
        {"under way", 5 * DAY_MS, true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 30d}\n");
        id = isolated(&r);
        rig_says_dated(&r, LIST, IN_FORCE, 0);
        if (rows[i].taken)
            rig_says(&r, "POST", UNISOLATE, 1, 201,
                     ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        else
            rig_says(&r, "POST", UNISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        if (!rows[i].at_once) {
            (void)rig_work(&r);
            assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        }
        atomic_fetch_add(&r.hands.wall, rows[i].leap_ms);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
        atomic_fetch_sub(&r.hands.wall, rows[i].leap_ms);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says_dated(&r, LIST, IN_FORCE, 0);
        rig_says(&r, "POST", UNISOLATE, 1, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        rig_pass(&r, 40 * MINUTE_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), "requested isolated released");
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].taken ? 0 : 1);
        rig_close(&r);
    }
}

/* But whoever ordered it hears that it comes to nothing, also while the clock stays as it is. */
static void test_ledger__a_clock_that_stays_off_silences_no_release(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 30d}\n");
    id = isolated(&r);
    rig_says_dated(&r, LIST, IN_FORCE, 0);
    rig_says(&r, "POST", UNISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
    atomic_fetch_add(&r.hands.wall, 2 * HOUR_MS);
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    rig_pass(&r, 45 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    rig_pass(&r, 3 * HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated not_released");
    rig_close(&r);
}

/* What the last POST to the machine's release sent as its id, as JSON. */
static const char *sent_id(struct rig *r)
{
    const char *sent = NULL, *end;

    for (size_t i = 0; i < peer_count(r->peer); i++)
        if (strcmp(peer_request(r->peer, i)->target, UNISOLATE) == 0)
            sent = strstr(peer_request(r->peer, i)->body, "\"cordon-release-");
    end = sent ? strchr(sent + 1, '"') : NULL;
    if (!end)
        fail_msg("no release was sent");
    return !end ? NULL : arena_fmt(r->arena, "%.*s", (int)(end + 1 - sent), sent);
}

/* Two orders for one isolation. The first one's release failed; the answer to the second was lost, and the list shows
 * the first: that is not what became of the second. */
static void test_ledger__an_older_release_is_not_the_answer_to_a_new_order(void **state)
{
    const char *first;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 1, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Failed", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated not_released");
    first = sent_id(&r);
    hands_turn(&r.hands, MINUTE_MS);
    rig_afresh(&r);
    rig_says(
        &r, "GET", LIST, 0, 200,
        arena_fmt(
            r.arena,
            "{\"value\":[{\"id\":\"" RELEASE_ACTION
            "\",\"type\":\"Unisolate\",\"status\":\"Failed\",\"machineId\":\"" MACHINE
            "\",\"creationDateTimeUtc\":\"2025-01-07T10:12:12Z\",\"externalId\":%s}," ACTION_DOC(
                ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
            first));
    peer_script(r.peer, &(struct peer_answer){
                            .method = "POST", .target = UNISOLATE, .times = 1, .act = PEER_RESET});
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC("c4", "Unisolate", "Succeeded", "null", "12:30"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_string_not_equal(sent_id(&r), first);
    first = sent_id(&r);
    assert_int_equal(store_work_recover(r.store, NULL), ERR_OK); /* as at a start */
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_isolation(&r).release_id, "c4");
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 2);
    assert_string_equal(sent_id(&r), first); /* of one order, however often it is asked for */
    assert_string_equal(rig_told(&r, id), "requested isolated not_released released");
    rig_close(&r);
}

/* What the look before the release finds, and what is done about it. */
static void test_ledger__the_look_decides_about_the_release(void **state)
{
    static const struct {
        const char *label, *list;
        int status;
        size_t posts;
        enum isolation_state ends;
        const char *told;
    } rows[] = {
        {"in force", IN_FORCE, 200, 1, ISOLATION_RELEASING, "requested isolated"},
        {"it cannot be read", "", 503, 0, ISOLATION_RELEASING, "requested isolated"},
        {"somebody released it",
         "{\"value\":[" ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "30:00") "," ACTION_DOC(
             ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
         200, 0, ISOLATION_RELEASED, "requested isolated released"},
        {"somebody released it, and isolated it again",
         "{\"value\":[" ACTION_DOC("a3", "Isolate", "Succeeded", "null", "31:00") "," ACTION_DOC(
             "a2", "Unisolate", "Succeeded", "null",
             "30:00") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
         200, 0, ISOLATION_RELEASED, "requested isolated not_released"},
        {"somebody isolated it a second time",
         "{\"value\":[" ACTION_DOC("a3", "Isolate", "Succeeded", "null", "31:00") "," ACTION_DOC(
             ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
         200, 1, ISOLATION_RELEASING, "requested isolated"},
        {"somebody's release failed",
         "{\"value\":[" ACTION_DOC("a2", "Unisolate", "Failed", "null", "30:00") "," ACTION_DOC(
             ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
         200, 1, ISOLATION_RELEASING, "requested isolated"},
        {"somebody isolates it again",
         "{\"value\":[" ACTION_DOC("a3", "Isolate", "InProgress", "null", "30:00") "," ACTION_DOC(
             ACTION, "Isolate", "Succeeded", "null", "11:13") "]}",
         200, 0, ISOLATION_ISOLATED, "requested isolated not_released"},
        {"a list that lags shows it as it was",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "InProgress", "null", "11:12") "]}", 200, 1,
         ISOLATION_RELEASING, "requested isolated"},
        {"a scan is under way",
         "{\"value\":[" ACTION_DOC("a4", "RunAntiVirusScan", "InProgress", "null",
                                   "30:00") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null",
                                                           "11:13") "]}",
         200, 1, ISOLATION_RELEASING, "requested isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, rows[i].status, rows[i].list);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].posts);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* A rule's release that another step held up is none of a policy that is not in force any more, nor of facts of before. */
static void test_ledger__a_rule_releases_nothing_by_what_held_before(void **state)
{
    static const char *const rules =
        "rules:\n  - {name: free, do: [tag: {add: seen}, release: {}, email: {}]}\n";
    static const struct {
        int64_t later_ms;
        bool changed; /* the policy */
        enum isolation_state ends;
    } rows[] = {
        {MINUTE_MS, false, ISOLATION_RELEASING},
        {MINUTE_MS, true, ISOLATION_ISOLATED},
        {11 * MINUTE_MS, false, ISOLATION_ISOLATED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t second;

        rig_open(&r, NULL);
        (void)isolated(&r);
        engine_use(r.g, rig_runtime(&r, rules));
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT "da2_-1", 0, 200,
                 "{\"id\":\"da2_-1\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&r, "GET", GET_MACHINE, 1, 200, MACHINE_DOC); /* for the facts */
        rig_says(&r, "GET", GET_MACHINE, 1, 503, "");          /* for the tag */
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        second = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, second), "");
        if (rows[i].changed)
            engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
        hands_turn(&r.hands, rows[i].later_ms);
        (void)rig_work(&r);
        assert_string_equal(rig_case(&r, second).rule, "free");
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].ends == ISOLATION_RELEASING);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/" MACHINE "/tags"),
                         rows[i].ends == ISOLATION_RELEASING);
        rig_close(&r);
    }
}

/* A colleague has released the machine and isolated it again, just before a rule ends what cordon asked for: that one is
 * nobody's but his. */
static void test_ledger__a_rule_does_not_end_what_came_in_the_place_of_ours(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    id = isolated(&r);
    rig_says(
        &r, "GET", LIST, 0, 200,
        "{\"value\":[" ACTION_DOC("a3", "Isolate", "Succeeded", "null", "31:00") "," ACTION_DOC(
            "a2", "Unisolate", "Succeeded", "null",
            "30:00") "," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_pass(&r, 9 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated not_released");
    assert_string_equal(rig_isolation(&r).why,
                        "released at Defender, and isolated there again since by somebody");
    rig_close(&r);
}

/* Nor what somebody has asked for beside ours, before or after it took effect: the machine has one isolation, and our release
 * would end his. A person may say so; and where his was released, or is cordon's own, the rule holds. */
static void test_ledger__a_rule_does_not_end_what_stands_beside_ours(void **state)
{
    static const struct {
        const char *label, *beside;
        size_t releases;
    } rows[] = {
        {"after ours", DONE_DOC("a3", "Isolate", "31:00", "31:05"), 0},
        {"while ours was under way", DONE_DOC("a3", "Isolate", "11:11", "11:12"), 0},
        {"it was released before ours",
         DONE_DOC("a3", "Isolate", "01:00", "01:05") "," DONE_DOC("a4", "Unisolate", "02:00",
                                                                  "02:05"),
         1},
        {"it failed", ACTION_DOC("a3", "Isolate", "Failed", "null", "31:00"), 1},
        {"it is of cordon's own",
         ACTION_DOC("a3", "Isolate", "Succeeded", "\"cordon-0000000000001\"", "31:00"), 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, RULES_FREE_AFTER);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200,
                 arena_fmt(r.arena, "{\"value\":[%s,%s]}", rows[i].beside,
                           ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13")));
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].releases);
        if (!rows[i].releases) {
            assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
            assert_string_equal(rig_told(&r, id), "requested isolated review");
            assert_non_null(strstr(rig_words(&r, id),
                                   "not released by itself: somebody has isolated the machine"));
            assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
            (void)rig_work(&r);
            assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        }
        rig_close(&r);
    }
}

/* Nor does a rule that has a step for it. */
static void test_ledger__a_step_does_not_end_what_stands_beside_ours(void **state)
{
    (void)state;
    for (int again = 0; again < 2;
         again++) { /* the look with the alert fails, and another one is taken */
        struct rig r;
        int64_t second;

        rig_open(&r, NULL);
        (void)isolated(&r);
        engine_use(r.g, rig_runtime(&r, RULES_FREE));
        two_alerts(&r);
        if (again)
            rig_says(&r, "GET", LIST, 1, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200,
                 arena_fmt(r.arena, "{\"value\":[%s,%s]}",
                           DONE_DOC("a3", "Isolate", "31:00", "31:05"),
                           ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13")));
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        second = rig_push(&r, SECOND_ALERT, MACHINE);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_non_null(
            strstr(rig_subject(&r, second), "release: somebody has isolated the machine as well"));
        rig_close(&r);
    }
}

/* Who orders a release. */
enum orderer { BY_TIME, BY_STEP, BY_PERSON };

/* A machine whose release was ordered while it was ours alone, and asked for in vain. Returns the case that isolated it. */
static int64_t releasing_in_vain(struct rig *r, enum orderer by)
{
    int64_t id;

    rig_open(r, by == BY_TIME ? RULES_FREE_AFTER : NULL);
    id = isolated(r);
    two_alerts(r);
    rig_says(r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(r, "POST", UNISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
    if (by == BY_TIME) {
        rig_pass(r, 8 * HOUR_MS, HOUR_MS);
    } else if (by == BY_STEP) {
        engine_use(r->g, rig_runtime(r, RULES_FREE));
        (void)rig_push(r, SECOND_ALERT, MACHINE);
    } else {
        assert_int_equal(release(r, MACHINE, NULL), ERR_OK);
    }
    (void)rig_work(r);
    assert_int_equal(rig_isolation(r).state, ISOLATION_RELEASING);
    assert_int_equal(rig_seen(r, "POST", UNISOLATE), 1);
    return id;
}

/* Nor while what a rule has ordered waits for Defender: whoever isolates the machine meanwhile wants it isolated. A person has
 * ordered it all the same, and is obeyed. */
static void test_ledger__a_rule_does_not_end_what_came_beside_ours_before_it_was_asked(void **state)
{
    static const struct {
        const char *label;
        enum orderer by;
    } rows[] = {{"a person", BY_PERSON}, {"release_after", BY_TIME}, {"a step", BY_STEP}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bool goes = rows[i].by == BY_PERSON;
        struct rig r;
        int64_t id;
        size_t looks;

        print_message("  %s\n", rows[i].label);
        id = releasing_in_vain(&r, rows[i].by);
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200,
                 "{\"value\":[" DONE_DOC("a3", "Isolate", "31:00", "31:05") "," ACTION_DOC(
                     ACTION, "Isolate", "Succeeded", "null", "11:13") "]}");
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", "/api/machineactions/" RELEASE_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_pass(&r, 5 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), goes);
        if (!goes) {
            assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
            assert_string_equal(rig_told(&r, id), "requested isolated not_released");
            assert_non_null(strstr(rig_words(&r, id), "somebody has isolated the machine as well: "
                                                      "a person must order it"));
            looks = rig_seen(&r, "GET", LIST);
            rig_pass(&r, 2 * HOUR_MS, 10 * MINUTE_MS);
            assert_int_equal(rig_seen(&r, "GET", LIST), looks);
            assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
            assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
            (void)rig_work(&r);
        }
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
        rig_close(&r);
    }
}

/* While what was ordered waits for Defender another alert of the machine asks for its isolation. A rule's order is not for that; a
 * person's is. */
static void test_ledger__a_new_alert_takes_back_what_a_rule_has_ordered(void **state)
{
    static const struct {
        const char *label;
        enum orderer by;
    } rows[] = {{"release_after", BY_TIME}, {"a step", BY_STEP}, {"a person", BY_PERSON}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bool goes = rows[i].by == BY_PERSON;
        struct rig r;
        struct work w;
        int64_t first, id;

        print_message("  %s\n", rows[i].label);
        first = releasing_in_vain(&r, rows[i].by);
        if (rows[i].by == BY_STEP)
            engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", "/api/machineactions/" RELEASE_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        hands_turn(&r.hands, 2 * MINUTE_MS);
        id = rig_push(&r, THIRD_ALERT, MACHINE);
        assert_true(rig_claim(&r, WORK_CASE, &w));
        expand_run(r.g, &w);
        rig_pass(&r, 2 * HOUR_MS, 10 * MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), goes);
        assert_int_equal(rig_isolation(&r).state, goes ? ISOLATION_RELEASING : ISOLATION_ISOLATED);
        assert_int_equal(rig_case(&r, id).isolation, goes ? 0 : rig_isolation(&r).id);
        assert_string_equal(rig_told(&r, id), goes ? "not_isolated" : "isolated");
        if (!goes) {
            assert_string_equal(rig_told(&r, first), "requested isolated not_released");
            assert_non_null(strstr(rig_words(&r, first), "another alert asks for its isolation"));
        }
        rig_close(&r);
    }
}

/* Nor is anybody told that the machine is being released where somebody has released it at Defender meanwhile: it is free, and isolated
 * anew. */
static void test_ledger__what_a_rule_has_ordered_in_vain_keeps_nothing_free(void **state)
{
    static const struct {
        const char *label;
        enum orderer by;
        const char *list;
        bool isolates;
    } rows[] = {
        {"release_after", BY_TIME, RELEASED, true},
        {"a step", BY_STEP, RELEASED, true},
        {"a person", BY_PERSON, RELEASED, false},
        {"release_after, and a list that shows nothing", BY_TIME, NOTHING, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        struct work w;
        int64_t first, id;

        print_message("  %s\n", rows[i].label);
        first = releasing_in_vain(&r, rows[i].by);
        if (rows[i].by == BY_STEP)
            engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200, rows[i].list);
        rig_says(&r, "POST", UNISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("b2", "Isolate", "Succeeded", "null", "12:20"));
        hands_turn(&r.hands, SECOND_MS);
        id = rig_push(&r, THIRD_ALERT, MACHINE);
        assert_true(rig_claim(&r, WORK_CASE, &w));
        expand_run(r.g, &w);
        rig_pass(&r, 5 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolates);
        assert_string_equal(rig_told(&r, id), rows[i].isolates ? "isolated" : "not_isolated");
        if (rows[i].isolates)
            assert_string_equal(rig_told(&r, first), "requested isolated released");
        rig_close(&r);
    }
}

/* One that has not been read yet might, and is read first. */
static void test_ledger__what_a_rule_has_ordered_waits_for_a_new_alert(void **state)
{
    static const struct {
        const char *label, *severity;
        unsigned unread; /* so often */
        enum isolation_state ends;
        int64_t after_ms;
    } rows[] = {
        {"High", "High", 3, ISOLATION_ISOLATED, SECOND_MS},
        {"High, and received before", "High", 3, ISOLATION_ISOLATED, 0},
        {"High, and never read", "High", 0, ISOLATION_ISOLATED, SECOND_MS},
        {"Low", "Low", 3, ISOLATION_RELEASING, SECOND_MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bool goes = rows[i].ends == ISOLATION_RELEASING;
        struct rig r;
        int64_t first, id;

        print_message("  %s\n", rows[i].label);
        first = releasing_in_vain(&r, BY_TIME);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT SECOND_ALERT, rows[i].unread, 503, "{}");
        rig_says(&r, "GET", GET_ALERT SECOND_ALERT, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" SECOND_ALERT "\",\"severity\":\"%s\",\"title\":\"Another\","
                           "\"machineId\":\"" MACHINE "\"}",
                           rows[i].severity));
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", "/api/machineactions/" RELEASE_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        hands_turn(&r.hands, rows[i].after_ms);
        id = rig_push(&r, SECOND_ALERT, MACHINE);
        rig_pass(&r, 2 * HOUR_MS, 10 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), goes);
        assert_int_equal(rig_isolation(&r).state, rows[i].ends);
        assert_string_equal(rig_told(&r, first),
                            goes ? "requested isolated" : "requested isolated not_released");
        if (!rows[i].unread)
            assert_non_null(strstr(rig_words(&r, first),
                                   "alert " SECOND_ALERT " of the machine is not closed: a person "
                                   "must order it"));
        else if (!goes)
            assert_int_equal(rig_case(&r, id).isolation, rig_isolation(&r).id);
        rig_close(&r);
    }
}

/* Not for longer than anything else that is ordered waits, whatever this host's clock says. */
static void test_ledger__a_clock_that_is_far_off_holds_no_release_up_for_long(void **state)
{
    for (int off = 0; off < 2; off++) {
        struct rig r;
        int64_t first;

        (void)state;
        first = releasing_in_vain(&r, BY_TIME);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 503, "{}");
        rig_says_dated(&r, LIST, IN_FORCE, off * 8 * HOUR_MS);
        hands_turn(&r.hands, SECOND_MS);
        (void)rig_push(&r, SECOND_ALERT, MACHINE);
        rig_pass(&r, 50 * MINUTE_MS,
                 20 * SECOND_MS); /* nor for less: the other alert may be read yet */
        assert_string_equal(rig_told(&r, first), "requested isolated");
        rig_pass(&r, 2 * HOUR_MS, 20 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
        assert_string_equal(rig_told(&r, first), "requested isolated not_released");
        assert_non_null(strstr(rig_words(&r, first), "of the machine is not closed"));
        rig_close(&r);
    }
}

/* Nor does a person wait for that who orders the release himself. */
static void test_ledger__a_person_orders_what_a_rule_has_ordered_and_waits(void **state)
{
    struct rig r;
    struct err e = {0};
    int64_t id;

    (void)state;
    id = releasing_in_vain(&r, BY_TIME);
    hands_turn(&r.hands, SECOND_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 503, "{}");
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    (void)rig_push(&r, SECOND_ALERT, MACHINE);
    rig_pass(&r, 5 * MINUTE_MS, 20 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_string_equal(rig_isolation(&r).why, "release ordered by maria: all clear");
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* `extend` holds against the rule, also when that has ordered the release: it comes when the time that a person gave is over. */
static void test_ledger__extend_takes_back_what_a_rule_has_ordered(void **state)
{
    static const enum orderer rows[] = {BY_TIME, BY_STEP, BY_PERSON};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk_order o = {.who = "maria", .for_ms = 4 * HOUR_MS};
        struct rig r;
        struct err e = {0};
        int64_t id = releasing_in_vain(&r, rows[i]);

        o.id = rig_isolation(&r).id;
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", "/api/machineactions/" RELEASE_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        assert_int_equal(desk_extend(r.g, &o, &e), rows[i] == BY_PERSON ? ERR_CONFLICT : ERR_OK);
        rig_pass(&r, 3 * HOUR_MS, 10 * MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i] == BY_PERSON);
        if (rows[i] != BY_PERSON) {
            assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
            assert_string_equal(rig_told(&r, id), "requested isolated not_released");
            assert_non_null(strstr(rig_words(&r, id), "extended by maria"));
            rig_pass(&r, 2 * HOUR_MS, 10 * MINUTE_MS);
            assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i] == BY_TIME);
        }
        /* what has left goes on, whoever ordered it */
        if (rows[i] != BY_STEP)
            assert_int_equal(desk_extend(r.g, &o, &e), ERR_CONFLICT);
        rig_close(&r);
    }
}

/* A release that has left goes on. An alert that comes then, and asks for the isolation, waits for its end where a rule has ordered it,
 * and the machine is isolated anew; what a person has ordered, at Defender too, nothing is asked for against. */
static void test_ledger__an_alert_that_comes_while_a_rule_releases_isolates_anew(void **state)
{
    static const struct {
        const char *label;
        enum orderer by;
        bool listed;  /* the release */
        bool portals; /* it is somebody's who was there first */
        int64_t takes_ms;
        bool isolates;
    } rows[] = {
        {"release_after", BY_TIME, true, false, 5 * SECOND_MS, true},
        {"a step", BY_STEP, true, false, 5 * SECOND_MS, true},
        {"release_after, and not listed yet", BY_TIME, false, false, 5 * SECOND_MS, true},
        {"release_after, of an absent machine", BY_TIME, true, false, 10 * MINUTE_MS, false},
        {"release_after, and somebody at Defender", BY_TIME, true, true, 5 * SECOND_MS, false},
        {"a person", BY_PERSON, true, false, 5 * SECOND_MS, false},
        {"a person, and not listed yet", BY_PERSON, false, false, 5 * SECOND_MS, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char release_path[] = "/api/machineactions/" RELEASE_ACTION;
        const char *pending, *external;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        (void)releasing_in_vain(&r, rows[i].by);
        pending = ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12");
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201, pending);
        rig_says(&r, "GET", release_path, 0, 200, pending);
        rig_pass(&r, 2 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        external = rows[i].portals ? "null" : sent_id(&r);
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        two_alerts(&r);
        rig_says(&r, "GET", release_path, 0, 200, pending);
        rig_says(&r, "GET", LIST, 0, 200,
                 !rows[i].listed
                     ? IN_FORCE
                     : arena_fmt(r.arena,
                                 "{\"value\":[{\"id\":\"" RELEASE_ACTION
                                 "\",\"type\":\"Unisolate\",\"status\":\"Pending\","
                                 "\"machineId\":\"" MACHINE
                                 "\",\"creationDateTimeUtc\":\"2025-01-07T10:12:12Z\","
                                 "\"externalId\":%s},%s]}",
                                 external,
                                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13")));
        id = rig_push(&r, THIRD_ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, rows[i].takes_ms, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(rig_told(&r, id), rows[i].isolates ? "" : "not_isolated");
        two_alerts(&r);
        rig_says(&r, "GET", release_path, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        rig_says(&r, "GET", LIST, 0, 200, RELEASED);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("b2", "Isolate", "Succeeded", "null", "12:20"));
        rig_pass(&r, 20 * MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolates);
        assert_string_equal(rig_told(&r, id), rows[i].isolates ? "isolated" : "not_isolated");
        rig_close(&r);
    }
}

/* It waits as long for that where it could not be read for a while before. */
static void test_ledger__an_alert_that_was_not_read_for_long_waits_for_a_rules_release(void **state)
{
    static const char release_path[] = "/api/machineactions/" RELEASE_ACTION;
    static const char pending[] =
        ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12");
    struct rig r;
    int64_t id;

    (void)state;
    (void)releasing_in_vain(&r, BY_TIME);
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201, pending);
    rig_says(&r, "GET", release_path, 0, 200, pending);
    rig_pass(&r, 2 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT THIRD_ALERT, 0, 503, "{}");
    rig_says(&r, "GET", release_path, 0, 503, "{}");
    rig_says(&r, "GET", LIST, 0, 503, "{}");
    id = rig_push(&r, THIRD_ALERT, MACHINE);
    while (rig_seen(&r, "GET", GET_ALERT THIRD_ALERT) < 9)
        rig_pass(&r, SECOND_MS, SECOND_MS);
    two_alerts(&r);
    rig_says(&r, "GET", release_path, 0, 200, pending);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    while (!rig_seen(&r, "GET", LIST))
        rig_pass(&r, SECOND_MS, SECOND_MS);
    rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
    assert_string_equal(rig_told(&r, id), "");
    two_alerts(&r);
    rig_says(&r, "GET", release_path, 0, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    rig_says(&r, "GET", LIST, 0, 200, RELEASED);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC("b2", "Isolate", "Succeeded", "null", "12:20"));
    rig_pass(&r, 10 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_told(&r, id), "isolated");
    rig_close(&r);
}

#define SHADOW "safety: {mode: shadow}\n"

/* Shadow mode is everything but the acting: what a rule said while cordon was live is none of it either, and a person's word is. */
static void test_ledger__no_rule_releases_in_shadow_mode(void **state)
{
    static const enum orderer rows[] = {BY_TIME, BY_STEP, BY_PERSON};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    engine_use(r.g, rig_runtime(&r, RULES_FREE_AFTER SHADOW));
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    assert_non_null(strstr(rig_words(&r, id), "not released by itself: shadow mode"));
    engine_use(r.g, rig_runtime(&r, RULES_FREE_AFTER));
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) { /* and what waits for Defender then */
        const bool goes = rows[i] == BY_PERSON;

        id = releasing_in_vain(&r, rows[i]);
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        engine_use(r.g, rig_runtime(&r, RULES_FREE_AFTER SHADOW));
        rig_pass(&r, 5 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), goes);
        assert_string_equal(rig_told(&r, id), goes ? "requested isolated released"
                                                   : "requested isolated not_released");
        if (!goes)
            assert_non_null(strstr(rig_words(&r, id), "shadow mode"));
        rig_close(&r);
    }
}

/* Nor when that comes into force while Defender is asked what the machine does. */
static void test_ledger__no_rule_releases_by_a_configuration_of_before(void **state)
{
    static const enum orderer rows[] = {BY_TIME, BY_STEP, BY_PERSON};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bool goes = rows[i] == BY_PERSON;
        struct rig r;
        struct work w;
        int64_t id = releasing_in_vain(&r, rows[i]);

        print_message("  row %zu\n", i);
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        hands_turn(&r.hands, 2 * MINUTE_MS);
        assert_true(rig_claim(&r, WORK_LEDGER, &w));
        rig_reload_under_way(&r, RULES_FREE_AFTER SHADOW, reconcile_start);
        ledger_run(r.g, &w);
        r.hands.clock.wall_ms = hands_wall;
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), goes);
        assert_string_equal(rig_told(&r, id), goes ? "requested isolated released"
                                                   : "requested isolated not_released");
        rig_close(&r);
    }
}

/* Where cordon has isolated nothing there is nothing to look for: it costs no call, and does not wait for Defender. */
static void test_ledger__a_step_that_releases_nothing_asks_nothing(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_FREE);
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 503, "{}");
    id = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_int_equal(rig_seen(&r, "GET", LIST), 1); /* with the alert */
    rig_close(&r);
}

/* A clock that is hours ahead would end it hours early. */
static void test_ledger__a_clock_that_is_far_off_releases_nothing_by_rule(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    id = isolated(&r);
    hands_turn(&r.hands, 9 * HOUR_MS);
    rig_afresh(&r);
    rig_says_dated(&r, LIST, IN_FORCE, 8 * HOUR_MS);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_afresh(&r);
    rig_says_dated(&r, LIST, IN_FORCE, 8 * HOUR_MS);
    hands_turn(&r.hands, rig_isolation(&r).review - hands_wall(&r.hands.clock));
    rig_afresh(&r);
    rig_says_dated(&r, LIST, IN_FORCE, 0);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_close(&r);
}

/* Nor is one released because a rule has a step that says so: that is tried until the facts are too old. */
static void test_ledger__a_clock_that_is_far_off_holds_a_step_that_releases_up(void **state)
{
    (void)state;
    for (int off = 0; off < 2; off++) {
        struct rig r;
        int64_t second;

        rig_open(&r, NULL);
        (void)isolated(&r);
        engine_use(r.g, rig_runtime(&r, RULES_FREE));
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says_dated(&r, GET_ALERT "da2_-1",
                       "{\"id\":\"da2_-1\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}",
                       off * 20 * MINUTE_MS);
        rig_says_dated(&r, GET_MACHINE, MACHINE_DOC, off * 20 * MINUTE_MS);
        rig_says_dated(&r, LIST, IN_FORCE, off * 20 * MINUTE_MS);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        second = rig_push(&r, "da2_-1", MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), !off);
        assert_string_equal(rig_told(&r, second), off ? "" : "alert");
        rig_pass(&r, off * 15 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), !off);
        assert_string_equal(rig_told(&r, second), off ? "action_failed" : "alert");
        rig_close(&r);
    }
}

/* A release takes of the calls that reads leave to actions: it does not stand behind a storm of alerts. */
static void test_ledger__a_release_does_not_wait_for_reads(void **state)
{
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rt = engine_runtime(r.g);
    while (!quota_take(rt->tenants[0].quota, false, NULL))
        ;
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* The answer was lost, and the list says that ours failed, by our id or by its time: that is the end of it. */
static void test_ledger__a_lost_release_that_failed_is_not_sent_again(void **state)
{
    (void)state;
    for (int by_id = 0; by_id < 2; by_id++) {
        struct rig r;
        int64_t id;
        const char *sent;

        rig_open(&r, NULL);
        id = lose_release(&r);
        sent = by_id ? sent_id(&r) : "null";
        rig_afresh(&r);
        rig_says(
            &r, "GET", LIST, 0, 200,
            arena_fmt(r.arena,
                      "{\"value\":[{\"id\":\"" RELEASE_ACTION
                      "\",\"type\":\"Unisolate\",\"status\":\"Failed\",\"machineId\":\"" MACHINE
                      "\",\"creationDateTimeUtc\":\"2025-01-07T10:12:12Z\","
                      "\"externalId\":%s}," ACTION_DOC(ACTION, "Isolate", "Succeeded", "null",
                                                       "11:13") "]}",
                      sent));
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC("c4", "Unisolate", "Pending", "null", "12:30"));
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), "requested isolated not_released");
        rig_close(&r);
    }
}

/* It may have been carried out: nobody is told that it was not while nobody can look. */
static void test_ledger__a_lost_release_is_looked_for_longer_than_it_is_asked_for(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lose_release(&r);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 503, "");
    rig_pass(&r, 3 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    assert_string_equal(rig_told(&r, id), "requested isolated");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, RELEASED);
    rig_pass(&r, HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* Defender takes no request for an hour: who ordered it hears, and why. */
static void test_ledger__a_release_that_nobody_takes_is_told(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 400,
             "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"m\"}}");
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    rig_pass(&r, 50 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    rig_pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_non_null(strstr(rig_isolation(&r).why, "Defender took no request for an hour: "));
    assert_string_equal(rig_told(&r, id), "requested isolated not_released");
    rig_close(&r);
}

/* A release of a machine that stays away, or of which Defender says nothing, ends some day; one answer that failed
 * is none. */
static void test_ledger__a_release_is_followed_for_four_days(void **state)
{
    static const struct {
        int status;
        const char *body;
        unsigned times;
        bool released;
    } rows[] = {
        {200, ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"), 0, false},
        {503, "", 0, false},
        {503, "", 3, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 30d}\n");
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 1, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", GET_ACTION, rows[i].times, rows[i].status, rows[i].body);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_pass(&r, 95 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state,
                         rows[i].released ? ISOLATION_RELEASED : ISOLATION_RELEASING);
        rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state,
                         rows[i].released ? ISOLATION_RELEASED : ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), rows[i].released ? "requested isolated released"
                                                               : "requested isolated not_released");
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        rig_close(&r);
    }
}

static void test_ledger__after_a_long_pause_one_failed_look_gives_no_release_up(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 30d}\n");
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 1, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION, 20, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION, 1, 503, "{}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    while (rig_seen(&r, "GET", GET_ACTION) < 20)
        rig_pass(&r, 15 * MINUTE_MS, 15 * MINUTE_MS);
    hands_turn(&r.hands, 5 * DAY_MS);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* Defender is asked for it for an hour. One in which nobody was there to ask is none of it. */
static void test_ledger__an_hour_in_which_nobody_was_there_gives_no_release_up(void **state)
{
    static const struct {
        bool lost;       /* the answer to the first request */
        unsigned failed; /* looks afterwards, before one is answered */
        int status;      /* of the requests afterwards */
        const char *told;
    } rows[] = {
        {false, 0, 201, "requested isolated released"},
        {false, 2, 201, "requested isolated released"},
        {true, 0, 201, "requested isolated released"},
        {false, 2, 429, "requested isolated not_released"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 30d}\n");
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        if (rows[i].lost)
            peer_script(r.peer, &(struct peer_answer){
                                    .method = "POST", .target = UNISOLATE, .act = PEER_RESET});
        else
            rig_says(&r, "POST", UNISOLATE, 0, 429, "{\"error\":{\"code\":\"429\"}}");
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        hands_turn(&r.hands, 3 * HOUR_MS);
        r.g->here_since_ms = hands_mono(&r.hands.clock);
        rig_afresh(&r);
        if (rows[i].failed)
            rig_says(&r, "GET", LIST, rows[i].failed, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, rows[i].status,
                 rows[i].status == 201
                     ? ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12")
                     : "{\"error\":{\"code\":\"429\"}}");
        (void)rig_work(&r);
        rig_pass(&r, 50 * MINUTE_MS, MINUTE_MS);
        if (rows[i].status == 201)
            assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
        else
            assert_string_equal(rig_told(&r, id), "requested isolated");
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* cordon was down for days, and a storm of alerts at its start takes the calls: that is no word of Defender's. */
static void test_ledger__calls_that_others_use_up_give_no_release_up(void **state)
{
    for (int lost = 0; lost < 2; lost++) { /* the answer to the request */
        struct runtime *rt;
        struct quota *q;
        struct rig r;
        int64_t id;

        (void)state;
        print_message("  row %d\n", lost);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 30d}\n");
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        if (lost)
            peer_script(r.peer, &(struct peer_answer){
                                    .method = "POST", .target = UNISOLATE, .act = PEER_RESET});
        else
            rig_says(&r, "POST", UNISOLATE, 1, 201,
                     ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, RELEASED);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:15"));
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
        assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
        rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), "requested isolated released");
        rig_close(&r);
    }
}

/* Its answer came and could not be recorded: the row says that a request has left, and a look finds it. */
static void test_ledger__a_release_that_left_is_on_record_before(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 1, 200, IN_FORCE);
    rig_says(&r, "GET", LIST, 0, 200, RELEASED);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_sql(&r, "CREATE TRIGGER once BEFORE UPDATE ON isolations WHEN NEW.release_id IS NOT NULL"
                " BEGIN SELECT RAISE(ABORT, 'once'); END");
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    rig_sql(&r, "DROP TRIGGER once");
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    assert_true(rig_isolation(&r).posted > 0);
    rig_pass(&r, 10 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* A release that came to nothing begins the reviews anew. */
static void test_ledger__reviews_begin_anew_after_a_failed_release(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Failed", "null", "12:12"));
    rig_pass(&r, 40 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    rig_pass(&r, 22 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review not_released");
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review not_released review");
    rig_close(&r);
}

static void test_ledger__somebody_elses_release_is_followed_and_none_is_asked_for(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC("a2", "Unisolate", "InProgress", "null",
                                       "11:20") "," ACTION_DOC(ACTION, "Isolate", "Succeeded",
                                                               "null", "11:13") "]}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC("a2", "Unisolate", "Succeeded", "null", "11:20"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_isolation(&r).release_id, "a2");
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    rig_close(&r);
}

static void test_ledger__somebody_elses_isolation_is_released_by_name_alone(void **state)
{
    struct rig r;
    struct err e = {0};

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(rig_isolation(&r).adopted);
    assert_int_equal(release(&r, NULL, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "somebody isolated this machine, not cordon"));
    assert_int_equal(release(&r, "another.corp.example", &e), ERR_INVALID);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(release(&r, "WS-114.corp.example", &e), ERR_OK);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASING);
    rig_close(&r);
}

/* The variable of a script that is not set names no machine, one without a name least of all. */
static void test_ledger__an_empty_name_names_no_machine(void **state)
{
    struct rig r;
    struct err e = {0};

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"\"}");
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(rig_isolation(&r).adopted);
    assert_null(rig_isolation(&r).machine_name);
    assert_int_equal(release(&r, "", &e), ERR_INVALID);
    assert_int_equal(release(&r, " ", &e), ERR_INVALID);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(release(&r, MACHINE, &e), ERR_OK);
    rig_close(&r);
}

/* A look that was taken before the process stood still is none for a release: somebody may have isolated the machine anew since. */
static void test_ledger__a_look_before_a_pause_is_none_for_a_release(void **state)
{
    enum { LOOKS = 2 }; /* at the wall clock, until it is said by when the request has to leave */

    (void)state;
    for (size_t at = 0; at < LOOKS; at++) {
        struct rig r;

        rig_open(&r, NULL);
        (void)isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "11:15"));
        assert_int_equal(release(&r, NULL, NULL), ERR_OK);
        rig_stand_still(&r, LIST, UNISOLATE, at);
        rig_close(&r);
    }
}

static void test_ledger__an_order_needs_a_reason_and_a_machine_that_is_isolated(void **state)
{
    struct desk_order o = {.why = " ", .for_ms = HOUR_MS};
    struct rig r;
    struct err e = {0};

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    o.id = rig_isolation(&r).id;
    assert_int_equal(desk_release(r.g, &o, &e), ERR_INVALID);
    o.why = "all clear";
    assert_int_equal(desk_release(r.g, &o, &e), ERR_CONFLICT);
    assert_non_null(strstr(e.text, "pending"));
    assert_int_equal(desk_extend(r.g, &o, &e), ERR_CONFLICT);
    o.id++;
    assert_int_equal(desk_release(r.g, &o, &e), ERR_NOT_FOUND);
    o.for_ms = 0;
    assert_int_equal(desk_extend(r.g, &o, &e), ERR_INVALID);
    rig_close(&r);
}

/* ---- a rule that lets it end by itself ---------------------------------------------------------------- */

#define OTHER_ALERT "da637_2"

static void test_ledger__a_rule_may_end_it_unless_another_high_alert_is_open(void **state)
{
    static const struct {
        const char *label, *then; /* the other alert, when it is read at the time */
        bool other, released;
    } rows[] = {
        {"no other alert", NULL, false, true},
        {"another, open", "\"status\":\"InProgress\"", true, false},
        {"another, without a status", "\"title\":\"x\"", true, false},
        {"another, resolved", "\"status\":\"Resolved\"", true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, RULES_FREE_AFTER);
        id = isolated(&r);
        if (rows[i].other) {
            peer_forget(r.peer);
            rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                     "{\"expires_in\":35990,\"access_token\":\"t1\"}");
            rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200,
                     arena_fmt(r.arena,
                               "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"High\",%s,"
                               "\"machineId\":\"" MACHINE "\"}",
                               rows[i].then));
            rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
            rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        }
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        if (rows[i].other) {
            (void)rig_push(&r, OTHER_ALERT, MACHINE);
            (void)rig_work(&r);
        }
        rig_pass(&r, 7 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
        rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
        print_message("  %s\n", rows[i].label);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].released ? 1 : 0);
        assert_int_equal(rig_isolation(&r).state,
                         rows[i].released ? ISOLATION_RELEASED : ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), rows[i].released ? "requested isolated released"
                                                               : "requested isolated");
        if (!rows[i].released) { /* and people hear why, when it is tried again: with the review */
            size_t reads = rig_seen(&r, "GET", GET_ALERT OTHER_ALERT);

            rig_pass(&r, 14 * HOUR_MS, HOUR_MS);
            assert_int_equal(rig_seen(&r, "GET", GET_ALERT OTHER_ALERT), reads);
            rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
            assert_int_equal(rig_seen(&r, "GET", GET_ALERT OTHER_ALERT), reads + 1);
            assert_string_equal(rig_told(&r, id), "requested isolated review");
            assert_non_null(strstr(rig_words(&r, id), "not released by itself: alert"));
            rig_pass(&r, 20 * HOUR_MS, HOUR_MS); /* and again with the next */
            assert_int_equal(rig_seen(&r, "GET", GET_ALERT OTHER_ALERT), reads + 1);
        }
        rig_close(&r);
    }
}

/* An alert changes: what counts is what it is when it is time, not what it was when its case was judged. */
static void test_ledger__what_has_become_high_keeps_a_machine_isolated(void **state)
{
    static const struct {
        const char *was, *is;
        int status;
        bool released;
    } rows[] = {
        {"Low", "High", 200, false}, {"High", "Low", 200, true},
        {"Low", "", 503, true}, /* as it was */
        {"Low", "", 404, true},      {"High", "", 404, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("  was %s, is %s\n", rows[i].was, rows[i].is);
        rig_open(&r, RULES_FREE_AFTER);
        (void)isolated(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 1, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" OTHER_ALERT
                           "\",\"severity\":\"%s\",\"machineId\":\"" MACHINE "\"}",
                           rows[i].was));
        rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, rows[i].status,
                 arena_fmt(r.arena,
                           "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"%s\",\"status\":\"New\","
                           "\"machineId\":\"" MACHINE "\"}",
                           rows[i].is));
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        (void)rig_push(&r, OTHER_ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 9 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].released);
        rig_close(&r);
    }
}

/* Two cases share an isolation: it ends when both of their rules let it. */
static void test_ledger__it_stays_as_long_as_any_rule_that_shares_it_wants(void **state)
{
    static const struct {
        const char *label, *args; /* of the other's rule */
        bool dropped;             /* by a person */
        int64_t free_after_h;     /* 0: never */
    } rows[] = {
        {"another, without an end", "{}", false, 0},
        {"another, with a later end", "{release_after: 12h}", false, 12},
        {"another, with an earlier end", "{release_after: 1h}", false, 8},
        {"another, which was let go", "{}", true, 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        char rules[300];
        int64_t other;

        (void)snprintf(rules, sizeof rules,
                       "rules:\n  - {name: contain, when: {alert.severity: High}, do: ["
                       "isolate: {release_after: 8h}, email: {}]}\n"
                       "  - {name: others, do: [isolate: %s, email: {}]}\n",
                       rows[i].args);
        rig_open(&r, rules);
        (void)isolated(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT OTHER_ALERT, 0, 200,
                 "{\"id\":\"" OTHER_ALERT "\",\"severity\":\"Medium\",\"machineId\":\"" MACHINE
                 "\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        other = rig_push(&r, OTHER_ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_case(&r, other).isolation, rig_isolation(&r).id);
        if (rows[i].dropped)
            rig_sql(&r, arena_fmt(r.arena, "UPDATE cases SET state = 'dropped' WHERE id = %lld",
                                  (long long)other));
        print_message("  %s\n", rows[i].label);
        rig_pass(&r, (rows[i].free_after_h ? rows[i].free_after_h - 1 : 20) * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
        rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].free_after_h ? 1 : 0);
        rig_close(&r);
    }
}

/* A person has said that the machine is to stay isolated: by cancelling the release at Defender. */
static void test_ledger__a_release_that_a_person_cancelled_comes_once(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Cancelled", "null", "12:12"));
    rig_pass(&r, 9 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_string_equal(rig_told(&r, id), "requested isolated not_released");
    rig_pass(&r, 52 * HOUR_MS, HOUR_MS); /* people are asked; nothing happens by itself any more */
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&r, id), "requested isolated not_released review overdue");
    rig_close(&r);
}

/* A person says that it is right for a day more; then the rule has its turn. */
static void test_ledger__an_extension_holds_against_the_rule(void **state)
{
    struct desk_order extend = {.who = "maria", .for_ms = DAY_MS, .machine = MACHINE};
    struct rig r;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    rig_pass(&r, 7 * HOUR_MS, HOUR_MS);
    extend.id = rig_isolation(&r).id;
    assert_int_equal(desk_extend(r.g, &extend, NULL), ERR_OK);
    rig_pass(&r, 23 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    rig_close(&r);
}

static void test_ledger__somebody_elses_isolation_never_ends_by_a_rule(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_true(rig_isolation(&r).adopted);
    rig_pass(&r, 50 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_isolation(&r).reminded, 2); /* but people are asked */
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    rig_close(&r);
}

/* ---- what a rule's end waits for --------------------------------------------------------------------- */

#define MACHINE3 "3333333333333333333333333333333333333333"
#define RULES_FREE_AND_ASK                                                                         \
    "rules:\n  - {name: asks, when: {alert.title: Asks}, do: [ask: {within: 20h}, scan: {},"       \
    " email: {}]}\n  - {name: contain, when: {alert.severity: High}, do: ["                        \
    "isolate: {release_after: 8h}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"

/* Other cases of the machine, in whatever state: none that may still be High and open, as far as anybody knows. */
static void test_ledger__in_doubt_no_rule_ends_it(void **state)
{
    static const struct {
        const char *label, *severity, *title, *machine;
        int others, status; /* how many; the answer when they are read at the time, 0: as before */
        int unread;         /* it is pushed, and reading it is always answered so */
        bool dropped, released;
    } rows[] = {
        {.label = "Medium", .severity = "Medium", .others = 1, .released = true},
        {.label = "Low", .severity = "Low", .others = 1, .released = true},
        {.label = "Informational", .severity = "Informational", .others = 1, .released = true},
        {.label = "a word that nobody knows", .severity = "Critical", .others = 1},
        {.label = "as many as are looked at", .severity = "Low", .others = 19, .released = true},
        {.label = "without a severity", .others = 1},
        {.label = "too many", .severity = "Low", .others = 20},
        {.label = "High, and not readable", .severity = "High", .others = 1, .status = 503},
        {.label = "Low, and waits for a person", .severity = "Low", .title = "Asks", .others = 1},
        {.label = "not read yet", .severity = "High", .others = 1, .unread = 503},
        {.label = "given up unread", .severity = "High", .others = 1, .unread = 404},
        {.label = "given up unread, of another machine",
         .severity = "High",
         .machine = MACHINE3,
         .others = 1,
         .unread = 404,
         .released = true},
        {.label = "not read yet, of another machine",
         .severity = "High",
         .machine = MACHINE3,
         .others = 1,
         .unread = 503,
         .released = true},
        {.label = "let go",
         .severity = "Low",
         .title = "Asks",
         .others = 1,
         .dropped = true,
         .released = true},
        {.label = "of another machine",
         .severity = "High",
         .title = "Asks",
         .machine = MACHINE3,
         .others = 1,
         .released = true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk_order drop = {.who = "maria", .why = "a drill"};
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, RULES_FREE_AND_ASK);
        (void)isolated(&r);
        for (int later = 0; later < (rows[i].status ? 2 : 1); later++) {
            peer_forget(r.peer);
            rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                     "{\"expires_in\":35990,\"access_token\":\"t1\"}");
            for (int k = 0; k < rows[i].others; k++)
                rig_says(
                    &r, "GET", arena_fmt(r.arena, GET_ALERT "da%d_-7", k), 0,
                    rows[i].unread ? rows[i].unread
                    : later        ? rows[i].status
                                   : 200,
                    arena_fmt(r.arena,
                              "{\"id\":\"da%d_-7\",%s\"title\":\"%s\",\"machineId\":\"%s\"%s}", k,
                              rows[i].severity
                                  ? arena_fmt(r.arena, "\"severity\":\"%s\",", rows[i].severity)
                                  : "",
                              rows[i].title ? rows[i].title : "x",
                              rows[i].machine ? rows[i].machine : MACHINE,
                              rows[i].status ? ",\"status\":\"Resolved\"" : ""));
            rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
            rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
            rig_says(&r, "GET", "/api/machines/" MACHINE3, 0, 200, "{\"id\":\"" MACHINE3 "\"}");
            rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
            rig_says(&r, "POST", UNISOLATE, 0, 201,
                     ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
            for (int k = 0; k < rows[i].others && !later; k++) {
                drop.id = rig_push(&r, arena_fmt(r.arena, "da%d_-7", k),
                                   !rows[i].unread   ? NULL
                                   : rows[i].machine ? rows[i].machine
                                                     : MACHINE);
                (void)rig_work(&r);
            }
        }
        if (rows[i].dropped)
            assert_int_equal(desk_drop(r.g, &drop, NULL), ERR_OK);
        rig_pass(&r, 9 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), rows[i].released);
        assert_int_equal(rig_isolation(&r).state,
                         rows[i].released ? ISOLATION_RELEASED : ISOLATION_ISOLATED);
        rig_close(&r);
    }
}

static struct {
    struct rig *r;
    pthread_t here; /* the store has a thread of its own, which asks for the time, too */
} arriving;

/* Once the other alert was asked for, a third one comes. */
static int64_t arriving_wall(const struct clock *c)
{
    struct rig *r = pthread_equal(pthread_self(), arriving.here) ? arriving.r : NULL;

    if (r && rig_seen(r, "GET", GET_ALERT "da0_-7")) {
        arriving.r = NULL;
        (void)rig_push(r, "da1_-7", MACHINE);
    }
    return hands_wall(c);
}

/* Of the machine that is isolated there are two more alerts, the second one as it is said; a release would be carried out at
 * once. */
static void a_low_one_and(struct rig *r, int status, const char *second)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT "da0_-7", 0, 200,
             "{\"id\":\"da0_-7\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}");
    rig_says(r, "GET", GET_ALERT "da1_-7", 0, status, second);
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
}

/* Nor does one that comes while the others are looked at, which takes a call for each of them. */
static void test_ledger__an_alert_that_comes_at_that_moment_keeps_it(void **state)
{
    static const char high[] =
        "{\"id\":\"da1_-7\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}";
    struct rig r;
    int64_t third;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    (void)isolated(&r);
    a_low_one_and(&r, 200, high);
    (void)rig_push(&r, "da0_-7", MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 7 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    a_low_one_and(&r, 200, high);
    arriving.here = pthread_self();
    arriving.r = &r;
    r.hands.clock.wall_ms = arriving_wall;
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_null(arriving.r);
    third = rig_push(&r, "da1_-7", MACHINE);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_case(&r, third).isolation, rig_isolation(&r).id);
    assert_string_equal(rig_told(&r, third), "isolated");
    rig_close(&r);
}

/* Once the other alert was asked for, it is known which machine an older one is about. */
static int64_t naming_wall(const struct clock *c)
{
    struct rig *r = pthread_equal(pthread_self(), arriving.here) ? arriving.r : NULL;

    if (r && rig_seen(r, "GET", GET_ALERT "da0_-7")) {
        arriving.r = NULL;
        rig_sql(r, "UPDATE cases SET machine_id = '" MACHINE "' WHERE alert_id = 'da1_-7'");
    }
    return hands_wall(c);
}

/* Nor does one that was pushed without a machine, and could not be read so far: it is no younger than those that were
 * looked at. */
static void test_ledger__an_alert_whose_machine_is_named_at_that_moment_keeps_it(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    (void)isolated(&r);
    a_low_one_and(&r, 503, "");
    (void)rig_push(&r, "da1_-7", NULL);
    hands_turn(&r.hands, 1);
    (void)rig_push(&r, "da0_-7", MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 7 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    a_low_one_and(&r, 503, "");
    arriving.here = pthread_self();
    arriving.r = &r;
    r.hands.clock.wall_ms = naming_wall;
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_null(arriving.r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    rig_close(&r);
}

/* Defender cannot be read when it is time: nothing is released blindly, and it is tried again with the review. */
static void test_ledger__no_rule_ends_it_unseen(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 1, 200, IN_FORCE); /* the look between */
    rig_says(&r, "GET", LIST, 0, 503, "");
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    rig_pass(&r, 8 * HOUR_MS + 30 * MINUTE_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_isolation(&r).keep_until, rig_isolation(&r).review);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    rig_pass(&r, 14 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* The time counts from when the machine was isolated, not from when somebody asked for it. */
static void test_ledger__a_rules_time_begins_with_the_confirmation(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_takes_isolate(&r, 1);
    rig_says(&r, "GET", GET_ACTION, 20, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    while (rig_isolation(&r).state == ISOLATION_PENDING)
        rig_pass(&r, 20 * MINUTE_MS, 20 * MINUTE_MS);
    assert_true(rig_isolation(&r).confirmed - rig_isolation(&r).requested > 3 * HOUR_MS);
    rig_pass(&r, 7 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* Nor is it over sooner because this host's clock was behind when Defender said so. */
static void test_ledger__a_rules_time_is_not_shorter_by_a_clock_that_was_behind(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_FREE_AFTER "safety: {review: 30d}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    rig_says(&r, "GET", GET_ACTION, 1, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    atomic_fetch_sub(&r.hands.wall, 6 * HOUR_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says_dated(&r, GET_ACTION, DONE_DOC(ACTION, "Isolate", "11:12", "12:00"), -6 * HOUR_MS);
    rig_pass(&r, 2 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    atomic_fetch_add(&r.hands.wall, 6 * HOUR_MS);
    rig_afresh(&r);
    rig_says_dated(&r, LIST, "{\"value\":[" DONE_DOC(ACTION, "Isolate", "11:12", "12:00") "]}", 0);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    rig_pass(&r, 4 * MINUTE_MS, MINUTE_MS);
    for (int h = 0; h < 8; h++) {
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 0);
        rig_afresh(&r);
        rig_says_dated(&r, LIST, "{\"value\":[" DONE_DOC(ACTION, "Isolate", "11:12", "12:00") "]}",
                       -HOUR_MS);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        rig_pass(&r, HOUR_MS, HOUR_MS);
    }
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    rig_close(&r);
}

/* What the review finds out is no question any more. */
static void test_ledger__a_release_that_the_review_finds_is_told(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {review: 1h}\n");
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC("a2", "Unisolate", "Succeeded", "null",
                                       "30:00") "," ACTION_DOC(ACTION, "Isolate", "Succeeded",
                                                               "null", "11:13") "]}");
    rig_pass(&r, 2 * HOUR_MS, 30 * MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    assert_string_equal(rig_told(&r, id), "requested isolated released");
    rig_close(&r);
}

/* ---- a tenant that is gone ---------------------------------------------------------------------------- */

static void lose_tenant(struct rig *r)
{
    r->tenant = "fabrikam";
    engine_use(r->g, rig_runtime(r, RULES_ISOLATE_AND_MAIL));
    peer_forget(r->peer);
}

/* A reload took its tenant, or gave it another name: the machine is isolated still, and people are asked about it. */
static void test_ledger__people_are_asked_though_the_tenant_is_gone(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    lose_tenant(&r);
    rig_pass(&r, 3 * DAY_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_non_null(strstr(rig_told(&r, id), "requested isolated review"));
    assert_int_equal(peer_count(r.peer), 0);
    rig_close(&r);
}

/* Who ordered a release hears that it comes to nothing, whether it was asked for already or not. */
static void test_ledger__a_release_of_a_tenant_that_is_gone_is_told(void **state)
{
    static const bool asked[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct err e = {0};
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, asked[i] ? 200 : 503, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "11:20"));
        assert_int_equal(release(&r, NULL, &e), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_isolation(&r).release_id != NULL, asked[i]);
        lose_tenant(&r);
        rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state,
                         asked[i] ? ISOLATION_RELEASING : ISOLATION_ISOLATED);
        rig_pass(&r, 5 * DAY_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_non_null(strstr(rig_told(&r, id), "requested isolated not_released"));
        rig_close(&r);
    }
}

/* What became of a request that left is looked for no longer because nobody was there for a while. */
static void test_ledger__a_lost_release_of_a_tenant_that_is_gone_is_told_after_a_pause(void **state)
{
    struct err e = {0};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    peer_script(r.peer,
                &(struct peer_answer){.method = "POST", .target = UNISOLATE, .act = PEER_RESET});
    assert_int_equal(release(&r, NULL, &e), ERR_OK);
    (void)rig_work(&r);
    assert_true(rig_isolation(&r).posted);
    lose_tenant(&r);
    hands_turn(&r.hands, 5 * DAY_MS);
    r.g->here_since_ms = hands_mono(&r.hands.clock);
    rig_pass(&r, 6 * HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_non_null(strstr(rig_told(&r, id), "requested isolated not_released"));
    rig_close(&r);
}

/* Whose lease was taken by another writes, sends and tells nothing, whatever he is at. */
static void test_ledger__a_lost_lease_does_nothing(void **state)
{
    enum { AT_A_REVIEW, AT_A_RELEASE, FOLLOWING, WAYS };

    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct isolation_record before;
        struct rig r;
        struct work w;
        int64_t id;

        print_message("  %d\n", way);
        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        rig_says(&r, "POST", UNISOLATE, 0, 201,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
        if (way != AT_A_REVIEW)
            assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
        if (way == FOLLOWING)
            (void)rig_work(&r);
        hands_turn(&r.hands, 25 * HOUR_MS);
        before = rig_isolation(&r);
        assert_true(rig_claim(&r, WORK_LEDGER, &w));
        w.fence--; /* as if another had claimed it since */
        ledger_run(r.g, &w);
        assert_int_equal(rig_seen(&r, "POST", UNISOLATE), way == FOLLOWING);
        assert_string_equal(rig_told(&r, id), "requested isolated");
        assert_int_equal(rig_isolation(&r).state, before.state);
        assert_int_equal(rig_isolation(&r).updated, before.updated);
        assert_int_equal(rig_isolation(&r).reminded, 0);
        rig_close(&r);
    }
}

/* ---- absent machines --------------------------------------------------------------------------------- */

#define TIMED_OUT                                                                                  \
    "{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"TimeOut\",\"machineId\":\"" MACHINE  \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\","                                         \
    "\"lastUpdateDateTimeUtc\":\"2025-01-10T10:11:12Z\",\"externalId\":null}"

/* Pending until Defender gives up, at a time that the test's hands have passed. */
static int64_t lapsed(struct rig *r)
{
    int64_t id;

    rig_afresh(r);
    rig_says(r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(r, 1);
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    rig_pass(r, 59 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(r, id), "requested");
    rig_pass(r, 10 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(r, id), "requested lapsing"); /* once */
    assert_non_null(strstr(rig_subject(r, id), "[NOT ISOLATED: offline for two and a half days"));
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ACTION, 0, 200, TIMED_OUT);
    rig_says(r, "GET", LIST, 1, 200, "{\"value\":[" TIMED_OUT "]}");
    rig_pass(r, HOUR_MS, 15 * MINUTE_MS);
    assert_int_equal(rig_isolation(r).state, ISOLATION_FAILED);
    assert_string_equal(rig_told(r, id), "requested lapsing not_isolated");
    assert_true(rig_isolation(r).lapsed > 0);
    /* who takes it in hand knows that it may be isolated weeks later */
    assert_non_null(strstr(rig_words(r, id), "looks out for the machine for 30 days"));
    assert_non_null(strstr(rig_words(r, id), "`cordon cases drop "));
    return id;
}

/* Somebody has isolated the machine beside us, and ours stays pending. */
#define THEIRS                                                                                     \
    "{\"value\":[" ACTION_DOC("a2", "Isolate", "Succeeded", "\"x\"", "11:11") "," ACTION_DOC(      \
        ACTION, "Isolate", "Pending", "null", "11:12") "]}"

/* It stays pending. Of the looks at the machine from then on the first ones fail, so many, and this is what the others say. */
static int64_t never_ending(struct rig *r, unsigned failed, int status, const char *look)
{
    int64_t id;

    rig_open(r, NULL);
    rig_afresh(r);
    rig_says(r, "GET", LIST, 1, 200, NOTHING);
    rig_takes_isolate(r, 1);
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    if (failed)
        rig_says(r, "GET", LIST, failed, 503, "{}");
    rig_says(r, "GET", LIST, 0, status, look);
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    return id;
}

/* A request that stays pending says nothing of a machine that another isolation has: a second one may wait until that is
 * released. */
static void test_ledger__a_second_one_is_not_told_as_lapsing(void **state)
{
    static const char waiting[] =
        "{\"value\":[" ACTION_DOC("a2", "Isolate", "Pending", "\"x\"", "11:11") "," ACTION_DOC(
            ACTION, "Isolate", "Pending", "null", "11:12") "]}";
    static const struct {
        const char *look;
        int status;
        unsigned failed; /* looks before that */
        const char *at_once, *later;
    } rows[] = {
        {THEIRS, 200, 0, "requested", "requested"},
        {THEIRS, 200, 2, "requested", "requested"},
        {waiting, 200, 0, "requested lapsing", "requested lapsing"},
        {waiting, 200, 2, "requested", "requested lapsing"},
        {"{}", 503, 0, "requested", "requested lapsing"},
        {"{}", 403, 0, "requested lapsing", "requested lapsing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        id = never_ending(&r, rows[i].failed, rows[i].status, rows[i].look);
        rig_pass(&r, 60 * HOUR_MS + 10 * MINUTE_MS, 5 * MINUTE_MS);
        assert_string_equal(rig_told(&r, id), rows[i].at_once);
        rig_pass(&r, 3 * HOUR_MS, 15 * MINUTE_MS);
        assert_string_equal(rig_told(&r, id), rows[i].later);
        assert_int_equal(rig_isolation(&r).unseen, 0);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ACTION, 0, 200, TIMED_OUT);
        rig_says(&r, "GET", LIST, 0, 200, THEIRS);
        rig_pass(&r, 11 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_string_equal(rig_told(&r, id), arena_fmt(r.arena, "%s isolated", rows[i].later));
        rig_close(&r);
    }
}

/* Nor by one look that failed, when cordon was down as the time came. */
static void test_ledger__after_a_pause_one_failed_look_tells_of_no_lapsing(void **state)
{
    (void)state;
    for (unsigned times = 0; times < 2; times++) { /* 0: all fail */
        struct rig r;
        int64_t id;

        id = never_ending(&r, times, times ? 200 : 503, times ? THEIRS : "{}");
        rig_pass(&r, 58 * HOUR_MS, HOUR_MS);
        hands_turn(&r.hands, 6 * HOUR_MS);
        (void)rig_work(&r);
        assert_string_equal(rig_told(&r, id), "requested");
        rig_pass(&r, 2 * HOUR_MS, 15 * MINUTE_MS);
        assert_string_equal(rig_told(&r, id), times ? "requested" : "requested lapsing");
        rig_close(&r);
    }
}

/* Nor by a clock that is days ahead of Defender's, of a machine that has been absent for minutes. */
static void test_ledger__a_clock_that_leaps_tells_of_no_lapsing(void **state)
{
    static const char waiting[] =
        "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12") "]}";
    struct rig r;
    int64_t id;

    (void)state;
    id = never_ending(&r, 0, 200, waiting);
    atomic_fetch_add(&r.hands.wall, 3 * DAY_MS);
    for (int n = 0; n < 9; n++) { /* an answer's Date is its time */
        rig_afresh(&r);
        rig_says_dated(&r, GET_ACTION, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"),
                       3 * DAY_MS - 5 * MINUTE_MS);
        rig_says_dated(&r, LIST, waiting, 3 * DAY_MS - 5 * MINUTE_MS);
        rig_pass(&r, 5 * MINUTE_MS, 5 * MINUTE_MS);
    }
    assert_string_equal(rig_told(&r, id), "requested");
    atomic_fetch_sub(&r.hands.wall, 3 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&r, "GET", LIST, 0, 200, waiting);
    rig_pass(&r, 58 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested");
    rig_pass(&r, 4 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested lapsing");
    rig_close(&r);
}

/* Nor is it said of such a machine that nobody knows, when Defender does not say for days how the second one ended. */
static void test_ledger__a_second_one_that_never_ends_is_not_told_as_unknown(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    id = never_ending(&r, 0, 200, THEIRS);
    rig_pass(&r, 5 * DAY_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_true(rig_isolation(&r).adopted);
    assert_string_equal(rig_isolation(&r).action_id, "a2");
    assert_int_equal(strncmp(rig_told(&r, id), "requested isolated", 18), 0);
    rig_close(&r);
}

/* Nor after one look at the machine that failed just then. */
static void test_ledger__one_failed_look_gives_no_second_one_up(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    for (int ever = 0; ever < 2; ever++) { /* can it be seen again? */
        id = never_ending(&r, 0, 200, THEIRS);
        rig_pass(&r, 4 * DAY_MS - HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
        rig_afresh(&r);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
        rig_says(&r, "GET", LIST, ever ? 1 : 0, 503, "");
        rig_says(&r, "GET", LIST, 0, 200, THEIRS);
        rig_pass(&r, 2 * HOUR_MS, 2 * HOUR_MS);
        assert_string_equal(rig_told(&r, id), "requested");
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ever ? ISOLATION_ISOLATED : ISOLATION_FAILED);
        assert_string_equal(rig_told(&r, id),
                            ever ? "requested isolated" : "requested not_isolated");
        rig_close(&r);
    }
}

static void machine_seen(struct rig *r, const char *fields)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT SECOND_ALERT, 0, 200, SECOND_DOC);
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200,
             arena_fmt(r->arena,
                       "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"%s}",
                       fields));
    rig_says(r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "TimeOut", "null", "11:12") "]}");
    rig_says(r, "POST", ISOLATE, 0, 201, ACTION_DOC("d4", "Isolate", "Succeeded", "null", "12:12"));
}

static void test_ledger__an_absent_machine_is_isolated_when_it_is_seen(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lapsed(&r);
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T10:11:12Z\""); /* not after Defender gave up */
    rig_pass(&r, 12 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_true(rig_seen(&r, "GET", GET_MACHINE) >= 11);
    assert_true(rig_seen(&r, "GET", GET_MACHINE) <= 13); /* now and then */
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00.5Z\"");
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_case(&r, id).isolation, rig_isolation(&r).id);
    assert_string_equal(rig_told(&r, id), "requested lapsing not_isolated isolated");
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* A person has decided against it meanwhile: weeks later nothing is isolated, and people hear nothing of it. */
static void test_ledger__a_lookout_ends_when_the_case_is_let_go(void **state)
{
    struct desk_order drop = {.who = "maria", .why = "re-imaged"};
    struct rig r;
    struct err e = {0};

    (void)state;
    rig_open(&r, NULL);
    drop.id = lapsed(&r);
    if (desk_drop(r.g, &drop, &e))
        fail_msg("%s", e.text);
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00.5Z\"");
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "GET", GET_MACHINE), 0);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_pass(&r, 31 * DAY_MS, 12 * HOUR_MS);
    assert_string_equal(rig_told(&r, drop.id), "requested lapsing not_isolated");
    assert_int_equal(rig_case(&r, drop.id).state, CASE_DROPPED);
    assert_int_equal(desk_drop(r.g, &drop, &e), ERR_CONFLICT);
    rig_close(&r);
}

/* The policy in force decides then, not the one of the first time. */
static void test_ledger__a_machine_that_is_seen_is_judged_anew(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)lapsed(&r);
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00Z\",\"machineTags\":[\"tier-0\"]");
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL
                                "safety: {protected: [{machine.tags: [tier-0]}]}\n"));
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    rig_close(&r);
}

/* That a machine cannot be read when the month is over is no word that it was not seen. */
static void test_ledger__a_look_that_fails_ends_no_lookout(void **state)
{
    for (int ever = 0; ever < 2; ever++) { /* can it be read again? */
        struct rig r;
        int64_t id;

        (void)state;
        print_message("  row %d\n", ever);
        rig_open(&r, NULL);
        id = lapsed(&r);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_MACHINE, 0, 503, "{}");
        rig_pass(&r, 30 * DAY_MS + 2 * HOUR_MS, 2 * HOUR_MS);
        assert_string_equal(rig_told(&r, id), "requested lapsing not_isolated");
        if (ever) {
            machine_seen(&r, ",\"lastSeen\":\"2025-02-09T09:00:00.5Z\"");
            rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
            assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        } else {
            rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
            assert_string_equal(rig_told(&r, id), "requested lapsing not_isolated not_isolated");
            assert_non_null(strstr(rig_subject(&r, id), "not seen for 30 days"));
        }
        rig_close(&r);
    }
}

/* A clock that is a month ahead of Defender's ends no lookout: the machine is back within the hour. */
static void test_ledger__a_clock_that_leaps_ends_no_lookout(void **state)
{
    static const char absent[] = "{\"id\":\"" MACHINE "\",\"lastSeen\":\"2025-01-07T10:11:12Z\"}";
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = lapsed(&r);
    machine_seen(&r, "");
    rig_pass(&r, HOUR_MS, HOUR_MS);
    atomic_fetch_add(&r.hands.wall, 31 * DAY_MS);
    rig_afresh(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says_dated(&r, GET_MACHINE, absent, 31 * DAY_MS);
    rig_pass(&r, 5 * MINUTE_MS, MINUTE_MS);
    assert_true(rig_seen(&r, "GET", GET_MACHINE) > 0);
    atomic_fetch_sub(&r.hands.wall, 31 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    assert_string_equal(rig_told(&r, id), "requested lapsing not_isolated");
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T23:00:00.5Z\"");
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

static void test_ledger__a_merged_or_lost_machine_is_a_persons_business(void **state)
{
    static const struct {
        const char *fields, *why;
        int64_t wait_ms;
        bool gone; /* the tenant */
    } rows[] = {
        {",\"mergedIntoMachineId\":\"1111111111111111111111111111111111111111\"",
         "merged into ws-115.corp.example (1111111111111111111111111111111111111111)", 2 * HOUR_MS,
         false},
        {"", "not seen for 30 days", 31 * DAY_MS, false},
        {"", "not seen for 30 days", 31 * DAY_MS, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;
        size_t looked;

        rig_open(&r, NULL);
        id = lapsed(&r);
        machine_seen(&r, rows[i].fields);
        if (rows[i].gone)
            lose_tenant(&r);
        rig_says(&r, "GET", "/api/machines/1111", 0, 200,
                 "{\"id\":\"1111111111111111111111111111111111111111\",\"computerDnsName\":"
                 "\"ws-115.corp.example\",\"lastSeen\":\"2025-01-10T21:00:00Z\"}");
        rig_pass(&r, rows[i].wait_ms, HOUR_MS);
        assert_non_null(strstr(rig_subject(&r, id), rows[i].why));
        assert_string_equal(rig_told(&r, id), "requested lapsing not_isolated not_isolated");
        assert_null(strstr(rig_words(&r, id), "looks out for the machine"));
        looked = rig_seen(&r, "GET", GET_MACHINE);
        rig_pass(&r, 5 * HOUR_MS, HOUR_MS); /* that was the last look */
        assert_int_equal(rig_seen(&r, "GET", GET_MACHINE), looked);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
        rig_close(&r);
    }
}

/* All cases that waited for the machine are judged again, and isolate it once. */
static void test_ledger__all_who_waited_for_an_absent_machine_are_judged_anew(void **state)
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
    two_alerts(&r);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12") "]}");
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, second).isolation, rig_case(&r, first).isolation);
    rig_says(&r, "GET", GET_ACTION, 0, 200, TIMED_OUT);
    rig_pass(&r, 73 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00.5Z\"");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC("d4", "Isolate", "Succeeded", "null", "12:12"));
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_case(&r, first).isolation, rig_isolation(&r).id);
    assert_int_equal(rig_case(&r, second).isolation, rig_isolation(&r).id);
    rig_close(&r);
}

/* Two cases shared it, whose people are others: what becomes of the machine each of them hears, in the thread of a case that waited
 * for it to the end. Not of the first one, where that has begun anew meanwhile. */
static void test_ledger__all_who_waited_hear_what_became_of_an_absent_machine(void **state)
{
    (void)state;
    for (int anew = 0; anew < 2; anew++) {
        struct desk_order again = {.who = "maria", .why = "it is back"};
        struct rig r;
        int64_t first, second;

        print_message("  %s\n", anew ? "the first one has begun anew" : "both");
        rig_open(&r, RULES_TWO_TEAMS);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        first = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        two_alerts(&r);
        rig_says(&r, "GET", LIST, 0, 200,
                 "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12") "]}");
        second = rig_push(&r, SECOND_ALERT, MACHINE);
        (void)rig_work(&r);
        rig_says(&r, "GET", GET_ACTION, 0, 200, TIMED_OUT);
        rig_pass(&r, 73 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 503, "{}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200,
                 "{\"id\":\"" MACHINE "\",\"mergedIntoMachineId\":"
                 "\"1111111111111111111111111111111111111111\"}");
        rig_says(&r, "GET", "/api/machines/1111", 0, 404, "{}");
        again.id = first;
        if (anew)
            assert_int_equal(desk_retry(r.g, &again, NULL), ERR_OK);
        rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
        assert_non_null(strstr(rig_subject(&r, second), "merged into 1111"));
        assert_int_equal(strstr(rig_subject(&r, first), "merged into 1111") != NULL, !anew);
        rig_close(&r);
    }
}

/* What people said yes to days ago they are asked anew. */
static void test_ledger__a_case_that_begins_anew_has_no_yes_of_before(void **state)
{
    struct question_record *list;
    struct question_answer yes = {.person = "a@x.example", .way = "operator", .yes = true};
    enum question_state now;
    struct err e = {0};
    struct rig r;
    size_t n = 0;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, do: [{tag: {add: x}, on_failure: ask}, isolate: {}, "
                 "email: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 400, "");
    rig_takes_isolate(&r, 1);
    rig_says(&r, "GET", GET_ACTION, 0, 200, TIMED_OUT);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 2, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1);
    yes.question = list[0].id;
    assert_int_equal(question_answer(r.g, &yes, &now, &e), ERR_OK);
    rig_pass(&r, 73 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00.5Z\"");
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 400, "");
    rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 2, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1);
    rig_close(&r);
}

/* A case that is still at work when its machine is seen, or came to nothing since, begins anew as others do: people were told
 * that it does. */
static void test_ledger__a_case_that_is_not_done_when_its_machine_is_seen_begins_anew(void **state)
{
    static const struct {
        int status; /* of the alert, when it is read again because Defender gave up */
        enum case_state comes_to;
        const char *seen; /* meanwhile */
    } rows[] = {
        {503, CASE_DECIDING, ",\"lastSeen\":\"2025-01-10T21:00:00.5Z\""},
        {403, CASE_FAILED, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, "rules:\n  - {name: contain, do: [isolate: {}, {tag: {add: x}, "
                     "if: {isolate: isolated}}, email: {}]}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 1, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, rows[i].status, "{}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200,
                 arena_fmt(r.arena, "{\"id\":\"" MACHINE "\"%s}", rows[i].seen));
        rig_says(&r, "GET", LIST, 0, 200, "{\"value\":[" TIMED_OUT "]}");
        rig_says(&r, "GET", GET_ACTION, 0, 200, TIMED_OUT);
        rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
        assert_int_equal(rig_case(&r, id).state, rows[i].comes_to);
        machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00.5Z\"");
        rig_pass(&r, 4 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* The isolation has lapsed, and Defender would isolate the machine now for another alert. */
static int64_t lapsed_and_seen(struct rig *r)
{
    int64_t id;

    rig_open(r, NULL);
    id = lapsed(r);
    two_alerts(r);
    rig_says(r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "TimeOut", "null", "11:12") "]}");
    rig_says(r, "POST", ISOLATE, 0, 201, ACTION_DOC("d4", "Isolate", "Succeeded", "null", "12:12"));
    return id;
}

/* A younger alert has isolated it meanwhile: nobody is told of the older one that it is not isolated. */
static void test_ledger__a_lookout_does_not_gainsay_what_is_in_force(void **state)
{
    struct rig r;
    int64_t id, second;
    const char *told;

    (void)state;
    id = lapsed_and_seen(&r);
    second = rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, second).isolation, rig_isolation(&r).id);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    told = rig_told(&r, id);
    machine_seen(&r, ",\"mergedIntoMachineId\":\"1111111111111111111111111111111111111111\"");
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), told);
    rig_close(&r);
}

/* It came back, was isolated for another alert, and a person has released it: that is not overruled by what was asked for
 * before. Its people hear that it was not done, and why. */
static void test_ledger__a_lookout_does_not_overrule_a_release(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    id = lapsed_and_seen(&r);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "13:12"));
    (void)rig_push(&r, SECOND_ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    machine_seen(&r, ",\"lastSeen\":\"2025-01-10T21:00:00Z\"");
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_told(&r, id), "requested lapsing not_isolated not_isolated");
    assert_non_null(strstr(rig_subject(&r, id), "released since"));
    rig_close(&r);
}

/* ---- an older version's -------------------------------------------------------------------------------- */

static enum err_code forget_work(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "DELETE FROM work", "");
}

static void test_ledger__machines_that_nobody_watches_are_taken_over(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    assert_int_equal(db_write(r.store->db, forget_work, NULL, NULL), ERR_OK);
    assert_int_equal(ledger_watch(r.g, NULL), ERR_OK);
    assert_int_equal(ledger_watch(r.g, NULL), ERR_OK); /* twice is once */
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    assert_string_equal(rig_told(&r, id), "requested isolated review");
    rig_close(&r);
}

/* A restart gives nobody a day more: the review comes at its time. One that has no time yet gets it, and is told
 * then. */
static void test_ledger__taking_over_puts_no_review_off(void **state)
{
    static const bool older[] = {false, true};

    (void)state;
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        struct rig r;
        int64_t id, wanted;

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        id = isolated(&r);
        rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
        wanted = older[i] ? 20 * HOUR_MS : 3 * HOUR_MS;
        rig_pass(&r, 22 * HOUR_MS, HOUR_MS);
        if (older[i])
            rig_sql(&r, "UPDATE isolations SET review = 0");
        assert_int_equal(db_write(r.store->db, forget_work, NULL, NULL), ERR_OK);
        assert_int_equal(ledger_watch(r.g, NULL), ERR_OK);
        if (older[i]) {
            rig_pass(&r, wanted, HOUR_MS);
            assert_string_equal(rig_told(&r, id), "requested isolated");
            wanted = 5 * HOUR_MS;
        }
        rig_pass(&r, wanted, HOUR_MS);
        assert_string_equal(rig_told(&r, id), "requested isolated review");
        rig_close(&r);
    }
}

/* However many there are. */
static void test_ledger__all_that_nobody_watches_are_taken_over(void **state)
{
    struct rig r;
    int64_t counts[WORK_KINDS];

    (void)state;
    rig_open(&r, NULL);
    rig_sql(&r, "WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 401)"
                " INSERT INTO isolations (id, tenant, machine_id, type, comment, state, case_id,"
                " adopted, posted, requested, confirmed, released, updated) SELECT n, 'contoso',"
                " 'm' || n, 'full', 'c', 'isolated', 0, 1, 0, 1, 1, 0, 1 FROM k");
    assert_int_equal(ledger_watch(r.g, NULL), ERR_OK);
    assert_int_equal(store_work_count(r.store, counts, NULL), ERR_OK);
    assert_int_equal(counts[WORK_LEDGER], 401);
    rig_close(&r);
}

static enum err_code steps_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct orders *o = arg;
    struct audit_record *list;
    size_t n = 0;
    enum err_code code = audit_read(tx, o->r->arena, 0, 100, &list, &n, e);

    for (size_t i = 0; i < n && !code; i++) {
        AUTO(json_freep) struct json *doc = NULL;
        const char *state;

        if (strcmp(list[i].kind, "isolation") != 0)
            continue;
        assert_int_equal(json_parse(list[i].detail, strlen(list[i].detail), &doc, NULL), ERR_OK);
        assert_string_equal(json_get_string(doc, "machine"), MACHINE);
        state = json_get_string(doc, "state");
        o->text = arena_fmt(o->r->arena, "%s%s ", o->text, state);
    }
    return code;
}

/* Whatever is asked for, and whatever comes of it, is in the audit, in this order; a look that finds nothing new
 * is not. */
static void test_ledger__each_step_of_an_isolation_is_on_record(void **state)
{
    struct orders o = {.text = ""};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Pending", "null", "12:12"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    rig_pass(&r, 10 * HOUR_MS, HOUR_MS);
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    o.r = &r;
    assert_int_equal(db_read(r.store->db, steps_fn, &o, NULL), ERR_OK);
    assert_string_equal(o.text,
                        "requested pending isolated releasing releasing releasing released ");
    rig_close(&r);
}

/* A release that was ordered is not forgotten with its work either. */
static void test_ledger__a_release_that_nobody_sees_to_is_taken_over(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)isolated(&r);
    rig_says(&r, "GET", LIST, 0, 200, IN_FORCE);
    rig_says(&r, "POST", UNISOLATE, 0, 201,
             ACTION_DOC(RELEASE_ACTION, "Unisolate", "Succeeded", "null", "12:12"));
    assert_int_equal(release(&r, MACHINE, NULL), ERR_OK);
    assert_int_equal(db_write(r.store->db, forget_work, NULL, NULL), ERR_OK);
    assert_int_equal(ledger_watch(r.g, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", UNISOLATE), 1);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_RELEASED);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_ledger__what_was_isolated_for_longer_than_cases_are_kept_is_known_still),
        cmocka_unit_test(test_ledger__a_case_that_ends_late_tells_nothing_old),
        cmocka_unit_test(test_ledger__another_release_beside_ours_is_seen),
        cmocka_unit_test(
            test_ledger__a_release_that_came_to_nothing_is_told_though_nobody_can_look),
        cmocka_unit_test(test_ledger__what_is_isolated_again_behind_a_late_release_is_told),
        cmocka_unit_test(test_ledger__what_is_isolated_again_behind_a_lost_release_is_told),
        cmocka_unit_test(test_ledger__the_cases_of_an_isolation_are_counted),
        cmocka_unit_test(test_ledger__people_are_asked_again_until_somebody_answers),
        cmocka_unit_test(test_ledger__it_is_told_when_the_rule_releases_it),
        cmocka_unit_test(test_ledger__a_list_of_cases_asks_once_when_their_isolation_ends),
        cmocka_unit_test(test_ledger__a_clock_set_back_puts_no_review_off),
        cmocka_unit_test(test_ledger__the_time_of_review_is_a_setting),
        cmocka_unit_test(test_ledger__a_false_positive_is_offered_not_released),
        cmocka_unit_test(test_ledger__people_are_asked_without_defender_too),
        cmocka_unit_test(test_ledger__a_release_of_the_same_moment_closes_nothing),
        cmocka_unit_test(test_ledger__a_release_at_defender_closes_ours),
        cmocka_unit_test(test_ledger__a_release_that_was_done_before_ours_ends_nothing),
        cmocka_unit_test(test_ledger__a_lagging_list_releases_nothing),
        cmocka_unit_test(test_ledger__a_lagging_list_is_no_release_that_was_ordered),
        cmocka_unit_test(
            test_ledger__a_release_within_the_skew_of_two_clocks_is_believed_beside_our_isolation),
        cmocka_unit_test(test_ledger__a_release_is_asked_for_once_and_followed),
        cmocka_unit_test(test_ledger__a_release_of_an_episode_before_is_not_ours),
        cmocka_unit_test(test_ledger__a_mail_about_a_release_does_not_call_it_a_failure),
        cmocka_unit_test(test_ledger__what_is_being_released_is_not_joined),
        cmocka_unit_test(test_ledger__a_release_that_a_new_alert_finds_is_told),
        cmocka_unit_test(test_ledger__the_end_of_what_a_dropped_case_asked_for_is_told),
        cmocka_unit_test(test_ledger__a_case_that_is_not_done_is_not_tried_again_for_its_isolation),
        cmocka_unit_test(test_ledger__all_who_heard_of_the_isolation_hear_of_the_release),
        cmocka_unit_test(test_ledger__what_is_held_is_not_told_as_isolated_behind_the_release),
        cmocka_unit_test(test_ledger__all_channels_that_heard_of_the_isolation_hear_of_the_release),
        cmocka_unit_test(
            test_ledger__each_helpdesk_that_heard_of_the_isolation_hears_of_the_release),
        cmocka_unit_test(test_ledger__what_an_answer_to_the_release_means),
        cmocka_unit_test(test_ledger__a_retry_after_of_a_day_keeps_nobody_from_the_news),
        cmocka_unit_test(test_ledger__a_lost_release_is_looked_for_and_not_sent_again),
        cmocka_unit_test(test_ledger__a_lost_release_rests_though_its_record_failed_once),
        cmocka_unit_test(test_ledger__a_clock_set_back_delays_no_release),
        cmocka_unit_test(test_ledger__a_clock_that_leaps_gives_no_release_up),
        cmocka_unit_test(test_ledger__a_clock_that_stays_off_silences_no_release),
        cmocka_unit_test(test_ledger__an_older_release_is_not_the_answer_to_a_new_order),
        cmocka_unit_test(test_ledger__somebody_elses_release_is_followed_and_none_is_asked_for),
        cmocka_unit_test(test_ledger__somebody_elses_isolation_is_released_by_name_alone),
        cmocka_unit_test(test_ledger__an_empty_name_names_no_machine),
        cmocka_unit_test(test_ledger__a_look_before_a_pause_is_none_for_a_release),
        cmocka_unit_test(test_ledger__an_order_needs_a_reason_and_a_machine_that_is_isolated),
        cmocka_unit_test(test_ledger__a_rule_may_end_it_unless_another_high_alert_is_open),
        cmocka_unit_test(test_ledger__what_has_become_high_keeps_a_machine_isolated),
        cmocka_unit_test(test_ledger__it_stays_as_long_as_any_rule_that_shares_it_wants),
        cmocka_unit_test(test_ledger__a_release_that_a_person_cancelled_comes_once),
        cmocka_unit_test(test_ledger__an_extension_holds_against_the_rule),
        cmocka_unit_test(test_ledger__somebody_elses_isolation_never_ends_by_a_rule),
        cmocka_unit_test(test_ledger__a_second_one_is_not_told_as_lapsing),
        cmocka_unit_test(test_ledger__after_a_pause_one_failed_look_tells_of_no_lapsing),
        cmocka_unit_test(test_ledger__a_clock_that_leaps_tells_of_no_lapsing),
        cmocka_unit_test(test_ledger__a_second_one_that_never_ends_is_not_told_as_unknown),
        cmocka_unit_test(test_ledger__one_failed_look_gives_no_second_one_up),
        cmocka_unit_test(test_ledger__an_absent_machine_is_isolated_when_it_is_seen),
        cmocka_unit_test(test_ledger__a_machine_that_is_seen_is_judged_anew),
        cmocka_unit_test(test_ledger__a_case_that_is_not_done_when_its_machine_is_seen_begins_anew),
        cmocka_unit_test(test_ledger__a_lookout_ends_when_the_case_is_let_go),
        cmocka_unit_test(test_ledger__a_lookout_does_not_overrule_a_release),
        cmocka_unit_test(test_ledger__a_look_that_fails_ends_no_lookout),
        cmocka_unit_test(test_ledger__a_clock_that_leaps_ends_no_lookout),
        cmocka_unit_test(test_ledger__a_merged_or_lost_machine_is_a_persons_business),
        cmocka_unit_test(test_ledger__machines_that_nobody_watches_are_taken_over),
        cmocka_unit_test(test_ledger__each_step_of_an_isolation_is_on_record),
        cmocka_unit_test(test_ledger__a_release_that_nobody_sees_to_is_taken_over),
        cmocka_unit_test(test_ledger__the_look_decides_about_the_release),
        cmocka_unit_test(test_ledger__a_rule_does_not_end_what_came_in_the_place_of_ours),
        cmocka_unit_test(test_ledger__a_rule_does_not_end_what_stands_beside_ours),
        cmocka_unit_test(test_ledger__a_step_does_not_end_what_stands_beside_ours),
        cmocka_unit_test(
            test_ledger__a_rule_does_not_end_what_came_beside_ours_before_it_was_asked),
        cmocka_unit_test(test_ledger__a_new_alert_takes_back_what_a_rule_has_ordered),
        cmocka_unit_test(test_ledger__what_a_rule_has_ordered_in_vain_keeps_nothing_free),
        cmocka_unit_test(test_ledger__what_a_rule_has_ordered_waits_for_a_new_alert),
        cmocka_unit_test(test_ledger__a_clock_that_is_far_off_holds_no_release_up_for_long),
        cmocka_unit_test(test_ledger__a_person_orders_what_a_rule_has_ordered_and_waits),
        cmocka_unit_test(test_ledger__extend_takes_back_what_a_rule_has_ordered),
        cmocka_unit_test(test_ledger__an_alert_that_comes_while_a_rule_releases_isolates_anew),
        cmocka_unit_test(
            test_ledger__an_alert_that_was_not_read_for_long_waits_for_a_rules_release),
        cmocka_unit_test(test_ledger__no_rule_releases_in_shadow_mode),
        cmocka_unit_test(test_ledger__no_rule_releases_by_a_configuration_of_before),
        cmocka_unit_test(test_ledger__a_step_that_releases_nothing_asks_nothing),
        cmocka_unit_test(test_ledger__a_rule_releases_nothing_by_what_held_before),
        cmocka_unit_test(test_ledger__a_clock_that_is_far_off_releases_nothing_by_rule),
        cmocka_unit_test(test_ledger__a_clock_that_is_far_off_holds_a_step_that_releases_up),
        cmocka_unit_test(test_ledger__a_release_does_not_wait_for_reads),
        cmocka_unit_test(test_ledger__a_lost_release_that_failed_is_not_sent_again),
        cmocka_unit_test(test_ledger__a_lost_release_is_looked_for_longer_than_it_is_asked_for),
        cmocka_unit_test(test_ledger__a_release_that_nobody_takes_is_told),
        cmocka_unit_test(test_ledger__a_release_is_followed_for_four_days),
        cmocka_unit_test(test_ledger__after_a_long_pause_one_failed_look_gives_no_release_up),
        cmocka_unit_test(test_ledger__an_hour_in_which_nobody_was_there_gives_no_release_up),
        cmocka_unit_test(test_ledger__calls_that_others_use_up_give_no_release_up),
        cmocka_unit_test(test_ledger__a_release_that_left_is_on_record_before),
        cmocka_unit_test(test_ledger__reviews_begin_anew_after_a_failed_release),
        cmocka_unit_test(test_ledger__in_doubt_no_rule_ends_it),
        cmocka_unit_test(test_ledger__an_alert_that_comes_at_that_moment_keeps_it),
        cmocka_unit_test(test_ledger__an_alert_whose_machine_is_named_at_that_moment_keeps_it),
        cmocka_unit_test(test_ledger__no_rule_ends_it_unseen),
        cmocka_unit_test(test_ledger__a_rules_time_begins_with_the_confirmation),
        cmocka_unit_test(test_ledger__a_rules_time_is_not_shorter_by_a_clock_that_was_behind),
        cmocka_unit_test(test_ledger__a_release_that_the_review_finds_is_told),
        cmocka_unit_test(test_ledger__people_are_asked_though_the_tenant_is_gone),
        cmocka_unit_test(test_ledger__a_release_of_a_tenant_that_is_gone_is_told),
        cmocka_unit_test(
            test_ledger__a_lost_release_of_a_tenant_that_is_gone_is_told_after_a_pause),
        cmocka_unit_test(test_ledger__a_lost_lease_does_nothing),
        cmocka_unit_test(test_ledger__all_who_waited_for_an_absent_machine_are_judged_anew),
        cmocka_unit_test(test_ledger__all_who_waited_hear_what_became_of_an_absent_machine),
        cmocka_unit_test(test_ledger__a_case_that_begins_anew_has_no_yes_of_before),
        cmocka_unit_test(test_ledger__a_lookout_does_not_gainsay_what_is_in_force),
        cmocka_unit_test(test_ledger__taking_over_puts_no_review_off),
        cmocka_unit_test(test_ledger__all_that_nobody_watches_are_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
