/* test_polling.c - polling against a full store; the rest of polling is tests/e2e/test_polling.c. */
#include "engine_kit.h"

#include "polling.h"
#include "reconcile.h"
#include "store_upkeep.h"

#define CHANGED "/api/alerts?"

static bool poll_once(struct rig *r)
{
    struct work w;

    if (!rig_claim(r, WORK_POLL, &w))
        return false;
    polling_run(r->g, &w);
    return true;
}

/* Nothing is asked for that could not be kept; when there is room, what came meanwhile is read. */
static void test_polling__a_full_store_is_not_filled_further(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200,
             "{\"value\":[{\"id\":\"" ALERT "\",\"severity\":\"Low\",\"alertCreationTime\":"
             "\"2025-01-07T10:11:20Z\",\"lastUpdateTime\":\"2025-01-07T10:11:20Z\"}]}");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    r.store->full = true;
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 0);
    for (int i = 0; i < 10; i++) {
        hands_turn(&r.hands, 30 * SECOND_MS);
        assert_true(poll_once(&r));
    }
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 0);
    r.store->full = false;
    hands_turn(&r.hands, 30 * SECOND_MS);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
    {
        struct work w;

        assert_true(rig_claim(&r, WORK_CASE, &w)); /* the case */
    }
    rig_close(&r);
}

static enum err_code send_all(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *now = arg;
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE notices SET state = 'sent', ended = $1", "i", *now);

    return code
               ? code
               : db_run(tx, e, NULL, "DELETE FROM work WHERE kind = $1", "i", (int64_t)WORK_NOTICE);
}

static void list_alert_only(struct rig *r, int64_t created, int64_t changed)
{
    char made[CLOCK_TEXT_SIZE], at[CLOCK_TEXT_SIZE];

    rig_says(r, "GET", CHANGED, 0, 200,
             arena_fmt(r->arena,
                       "{\"value\":[{\"id\":\"" ALERT
                       "\",\"severity\":\"High\",\"alertCreationTime\":"
                       "\"%s\",\"lastUpdateTime\":\"%s\"}]}",
                       clock_format(created, made), clock_format(changed, at)));
}

/* Adds alerts to a page, each one second after the other from this one on. */
static void add_alerts(struct buf *page, int first, int n)
{
    for (int i = first; i < first + n; i++)
        buf_addf(page,
                 "%s{\"id\":\"da%d\",\"severity\":\"Low\",\"alertCreationTime\":"
                 "\"2025-01-07T10:%02d:%02dZ\",\"lastUpdateTime\":\"2025-01-07T10:%02d:%02dZ\"}",
                 i == first ? "{\"value\":[" : ",", i, 11 + i / 60, i % 60, 11 + i / 60, i % 60);
    buf_adds(page, "]}");
}

/* What Defender lists: the alert, made at one time and changed at another; which can be read, too. */
static void list_alert(struct rig *r, int64_t created, int64_t changed)
{
    rig_afresh(r);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(r, 0);
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12"));
    list_alert_only(r, created, changed);
}

/* Somebody closes an alert after its case was forgotten: that is no new alert, and nothing is isolated for it again. */
static void test_polling__an_alert_whose_case_was_forgotten_is_no_news(void **state)
{
    struct forgotten n = {0};
    struct rig r;
    int64_t made, now;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\nretention: 7d\n");
    hands_turn(&r.hands,
               clock_wall_ms(clock_system()) - clock_wall_ms(&r.hands.clock)); /* ids are */
    made = clock_wall_ms(&r.hands.clock);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    list_alert(&r, made, made);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    now = clock_wall_ms(&r.hands.clock);
    assert_int_equal(db_write(r.store->db, send_all, &now, NULL), ERR_OK);
    hands_turn(&r.hands, 8 * DAY_MS);
    assert_int_equal(
        store_forget_cases(r.store, clock_wall_ms(&r.hands.clock), 7 * DAY_MS, 20, &n, NULL),
        ERR_OK);
    assert_int_equal(n.cases, 1);
    now = clock_wall_ms(&r.hands.clock);
    list_alert(&r, made, now);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 2); /* the time by Defender, and the list */
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    list_alert(&r, now, now); /* but what is new is */
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Nor when cases are kept for longer by then. */
static void test_polling__what_was_forgotten_stays_so_when_cases_are_kept_for_longer(void **state)
{
    static const char longer[] = RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\nretention: 400d\n";
    struct forgotten n = {0};
    struct rig r;
    int64_t made, now;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\nretention: 7d\n");
    hands_turn(&r.hands, clock_wall_ms(clock_system()) + 10 * DAY_MS -
                             clock_wall_ms(&r.hands.clock)); /* ids are, or of the test before */
    made = now = clock_wall_ms(&r.hands.clock);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    list_alert(&r, made, made);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_int_equal(db_write(r.store->db, send_all, &now, NULL), ERR_OK);
    for (int day = 0; day < 8; day++) {
        hands_turn(&r.hands, DAY_MS);
        assert_true(poll_once(&r));
    }
    now = clock_wall_ms(&r.hands.clock);
    assert_int_equal(store_forget_cases(r.store, now, 7 * DAY_MS, 20, &n, NULL), ERR_OK);
    assert_int_equal(n.cases, 1);
    engine_use(r.g, rig_runtime(&r, longer));
    hands_turn(&r.hands, MINUTE_MS);
    list_alert(&r, made, now);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    list_alert(&r, now, now); /* but what is new is */
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* Somebody pushed it, and Defender did not know it for a quarter of an hour. When it lists it after all it is read after all: who
 * pushed it is no reason to leave it out. But once, for Defender may list what it goes on not knowing. */
static void test_polling__an_alert_that_comes_to_light_late_is_read(void **state)
{
    static const char unknown[] = "{\"error\":{\"code\":\"ResourceNotFound\"}}";
    static const bool rows[] = {true, false}; /* is it known by then? */

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id, made;

        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 404, unknown);
        made = clock_wall_ms(&r.hands.clock);
        id = rig_push(&r, ALERT, NULL);
        rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
        if (rows[i]) {
            list_alert(&r, made, made);
        } else {
            peer_forget(r.peer);
            rig_says(&r, "GET", GET_ALERT, 0, 404, unknown);
            list_alert_only(&r, made, made);
        }
        assert_true(poll_once(&r));
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i]);
        assert_string_equal(rig_told(&r, id), rows[i] ? "not_isolated requested" : "not_isolated");
        if (!rows[i]) {
            rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
            assert_string_equal(rig_told(&r, id), "not_isolated not_isolated");
            assert_true(poll_once(&r));
            rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
            assert_string_equal(rig_told(&r, id), "not_isolated not_isolated");
        }
        rig_close(&r);
    }
}

/* Also where its first answer of Defender comes long after it was accepted: it waited for calls, or for Entra, or cordon was away. */
static void test_polling__an_alert_that_waited_long_is_read_when_it_comes_to_light(void **state)
{
    static const char unknown[] = "{\"error\":{\"code\":\"ResourceNotFound\"}}";
    struct rig r;
    int64_t id, made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 503, "");
    rig_says(&r, "GET", CHANGED, 0, 503, "");
    made = clock_wall_ms(&r.hands.clock);
    id = rig_push(&r, ALERT, NULL);
    rig_pass(&r, 40 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "late");
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 404, unknown);
    rig_says(&r, "GET", CHANGED, 0, 503, "");
    rig_pass(&r, 40 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
    list_alert(&r, made, made);
    (void)poll_once(&r);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* But when somebody closes it weeks after people were told to look at it themselves, no machine is isolated for it. */
static void test_polling__an_alert_that_people_have_seen_to_long_ago_is_not_read(void **state)
{
    struct rig r;
    int64_t id, made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    made = clock_wall_ms(&r.hands.clock);
    id = rig_push(&r, ALERT, NULL);
    rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "not_isolated");
    for (int day = 0; day < 8; day++) {
        hands_turn(&r.hands, DAY_MS);
        assert_true(poll_once(&r));
    }
    list_alert(&r, made, clock_wall_ms(&r.hands.clock));
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_string_equal(rig_told(&r, id), "not_isolated");
    rig_close(&r);
}

/* Nobody knows when it was made: that is no reason to keep silent about it. */
static void test_polling__an_alert_without_a_time_is_news(void **state)
{
    static const char *const rows[] = {
        "", "\"alertCreationTime\":null,",
        "\"alertCreationTime\":\"0001-01-01T00:00:00Z\",", /* as .NET writes that there is none */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        struct work w;

        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, 200,
                 arena_fmt(r.arena,
                           "{\"value\":[{\"id\":\"" ALERT "\",\"severity\":\"Low\",%s"
                           "\"lastUpdateTime\":\"2025-01-07T10:11:20Z\"}]}",
                           rows[i]));
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        assert_true(poll_once(&r));
        assert_true(rig_claim(&r, WORK_CASE, &w));
        rig_close(&r);
    }
}

/* What polling may only tell of is isolated when a source that may isolate pushes it (contract.md section 4). */
static void test_polling__a_push_is_stronger_than_a_poll_that_may_only_notify(void **state)
{
    const struct alert_ref ref = {.alert_id = ALERT, .machine_id = MACHINE};
    sem_t done;
    struct acceptance a = {.ctx = &done};
    struct notification n = {
        .tenant = "contoso", .source = "relay", .may_isolate = true, .alerts = &ref, .count = 1};
    struct rig r;
    int64_t now;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m, may: [notify]}\n");
    now = clock_wall_ms(&r.hands.clock);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    list_alert(&r, now, now);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    n.received_ms = now;
    a.n = &n;
    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(r.store, &a, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* After a longer pause polling begins seven days back, and an old failure is not held against it. */
static void test_polling__a_long_pause_is_not_made_up_for(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, 10 * DAY_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 2);
    assert_int_equal(
        rig_seen(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-10T10:11:1"), 1);
    rig_close(&r);
}

/* Not even when nothing was ever read: a secret that was wrong for weeks isolates nobody for what happened in the first
 * of them. An alert of then is no news when it changes either, now or later. */
static void test_polling__a_long_pause_at_the_beginning_is_none_either(void **state)
{
    struct rig r;
    int64_t now;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 403, "{}");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, 20 * DAY_MS);
    for (int i = 0; i < 2; i++) {
        now = clock_wall_ms(&r.hands.clock);
        list_alert(&r, now - 10 * DAY_MS, now);
        assert_true(poll_once(&r));
        assert_int_equal(rig_seen(&r, "GET", CHANGED), i ? 1 : 2);
        if (!i)
            assert_int_equal(
                rig_seen(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-20T10:11:1"), 1);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        hands_turn(&r.hands, MINUTE_MS);
    }
    now = clock_wall_ms(&r.hands.clock);
    list_alert(&r, now - 6 * DAY_MS, now);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* The clock was ahead when polling began, and was set right since. */
static void test_polling__a_clock_that_was_ahead_at_the_beginning_hides_nothing(void **state)
{
    struct rig r;
    int64_t now;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_true(poll_once(&r));
    atomic_fetch_sub(&r.hands.wall, 3 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    now = clock_wall_ms(&r.hands.clock);
    list_alert(&r, now, now);
    assert_true(poll_once(&r));
    assert_int_equal(
        rig_seen(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-04T10:06:1"), 1);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* It was ahead when polling began, and stays so: what is made from then on is read, and is news, by Defender's clock. */
static void test_polling__a_clock_that_is_ahead_from_the_beginning_hides_nothing(void **state)
{
    static const struct {
        int64_t ahead;
        const char *from; /* by the second poll */
    } rows[] = {
        {7 * MINUTE_MS, CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T10:01:1"},
        {2 * HOUR_MS, CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T08:01:1"},
        {400 * DAY_MS, CHANGED "$filter=lastUpdateTime%20ge%202023-12-04T10:01:1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t made;

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1h}\n");
        made = clock_wall_ms(&r.hands.clock) - rows[i].ahead;
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says_dated(&r, CHANGED, NOTHING, rows[i].ahead);
        assert_true(poll_once(&r));
        list_alert(&r, made, made);
        assert_true(poll_once(&r)); /* at once */
        assert_int_equal(rig_seen(&r, "GET", rows[i].from), 1);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT), 1);
        assert_false(poll_once(&r)); /* and once */
        rig_close(&r);
    }
}

/* It is ahead while nothing can be read, and is set right before anything is: what was made in the first hours is read. */
static void test_polling__a_clock_that_was_ahead_while_nothing_was_read_hides_nothing(void **state)
{
    struct rig r;
    int64_t made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    made = clock_wall_ms(&r.hands.clock) - 2 * HOUR_MS + 10 * MINUTE_MS;
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says_dated_status(&r, CHANGED, 503, "{}", 2 * HOUR_MS);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, 3 * HOUR_MS);
    atomic_fetch_sub(&r.hands.wall, 2 * HOUR_MS); /* somebody sets it */
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    list_alert(&r, made, made);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT), 1);
    rig_close(&r);
}

/* And one that gets behind after Defender has said what time it is, before anything could be read: what is known of when polling began
 * is not changed by it. */
static void test_polling__a_clock_that_gets_behind_while_nothing_was_read_hides_nothing(
    void **state)
{
    static const int64_t ahead[] = {0, 2 * HOUR_MS, -2 * HOUR_MS}; /* at first */

    (void)state;
    for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++) {
        char made[CLOCK_TEXT_SIZE];
        struct rig r;

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says_dated_status(&r, CHANGED, 503, "{}", ahead[i]);
        (void)clock_format(clock_wall_ms(&r.hands.clock) - ahead[i] + 10 * MINUTE_MS, made);
        assert_true(poll_once(&r));
        hands_turn(&r.hands, 9 * HOUR_MS);
        atomic_fetch_sub(&r.hands.wall, ahead[i] + HOUR_MS);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says_dated(&r, CHANGED,
                       arena_fmt(r.arena,
                                 "{\"value\":[{\"id\":\"" ALERT
                                 "\",\"severity\":\"High\",\"alertCreationTime\":\"%s\","
                                 "\"lastUpdateTime\":\"%s\"}]}",
                                 made, made),
                       -HOUR_MS);
        assert_true(poll_once(&r));
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT), 1);
        rig_close(&r);
    }
}

/* It is behind when polling begins: what was made before that, by Defender's clock, is history, and stays it when the clock is
 * set right. */
static void test_polling__a_clock_that_is_behind_at_the_beginning_makes_no_news(void **state)
{
    static const struct {
        int64_t age, set_right; /* of the alert at the first poll; after it */
        size_t read;
    } rows[] = {
        {3 * DAY_MS, 0, 0},
        {3 * DAY_MS, 30 * DAY_MS, 0},
        {4 * MINUTE_MS, 0, 1},
        {4 * MINUTE_MS, 30 * DAY_MS, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        char made[CLOCK_TEXT_SIZE];

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        (void)clock_format(clock_wall_ms(&r.hands.clock) + 30 * DAY_MS - rows[i].age, made);
        rig_says_dated(&r, CHANGED,
                       arena_fmt(r.arena,
                                 "{\"value\":[{\"id\":\"" ALERT
                                 "\",\"severity\":\"High\",\"alertCreationTime\":\"%s\","
                                 "\"lastUpdateTime\":\"%s\"}]}",
                                 made, made),
                       -30 * DAY_MS);
        for (int k = 0; k < 4; k++) {
            assert_true(poll_once(&r));
            (void)rig_work(&r);
            atomic_fetch_add(&r.hands.wall, k ? 0 : rows[i].set_right);
            hands_turn(&r.hands, MINUTE_MS);
            assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        }
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, rows[i].read);
        rig_close(&r);
    }
}

/* Nor does one that was behind, and is set right before anything could be read. What was made since is news. */
static void test_polling__a_clock_that_is_set_right_before_the_first_poll_makes_no_news(
    void **state)
{
    static const struct {
        int64_t age; /* of the alert, shortly before it is listed */
        int failed;  /* polls, before the clock is set right, and after; one an hour */
        size_t read;
    } rows[] = {
        {3 * DAY_MS, 0, 0},  {30 * SECOND_MS, 0, 1}, {3 * DAY_MS, 2, 0},
        {5 * HOUR_MS, 2, 0}, {3 * HOUR_MS, 2, 1},    {-30 * SECOND_MS, 2, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        char made[CLOCK_TEXT_SIZE];

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, 503, "");
        for (int k = 0; k < 2 * rows[i].failed; k++) {
            assert_true(poll_once(&r));
            if (k == rows[i].failed)
                atomic_fetch_add(&r.hands.wall, 30 * DAY_MS);
            hands_turn(&r.hands, HOUR_MS);
        }
        if (!rows[i].failed)
            atomic_fetch_add(&r.hands.wall, 30 * DAY_MS);
        (void)clock_format(clock_wall_ms(&r.hands.clock) - rows[i].age, made);
        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, 200,
                 arena_fmt(r.arena,
                           "{\"value\":[{\"id\":\"" ALERT
                           "\",\"severity\":\"High\",\"alertCreationTime\":\"%s\","
                           "\"lastUpdateTime\":\"%s\"}]}",
                           made, made));
        hands_turn(&r.hands, MINUTE_MS);
        assert_true(poll_once(&r));
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, rows[i].read);
        rig_close(&r);
    }
}

/* Nor does it where the process was begun again before, once or twice, by the clock that was behind. What an earlier run of the
 * host wrote may have been right: that is caught up with. */
static void test_polling__a_restart_by_a_clock_that_is_behind_makes_no_news(void **state)
{
    static const struct {
        int64_t age; /* of the alert when it is listed */
        bool rebooted;
        size_t read;
    } rows[] = {{3 * DAY_MS, false, 0}, {90 * SECOND_MS, false, 1}, {3 * DAY_MS, true, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t made;

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        for (int process = 0; process < 3; process++) {
            assert_int_equal(polling_start(r.g, NULL), ERR_OK);
            hands_turn(&r.hands, 10 * SECOND_MS);
            r.g->began_ms = clock_mono_ms(&r.hands.clock);
            r.g->began_wall_ms = clock_wall_ms(&r.hands.clock);
            r.g->began_boot_ms = rows[i].rebooted ? 0 : clock_boot_ms();
        }
        atomic_fetch_add(&r.hands.wall, 30 * DAY_MS);
        made = clock_wall_ms(&r.hands.clock) - rows[i].age;
        list_alert(&r, made, made);
        assert_true(poll_once(&r));
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, rows[i].read);
        rig_close(&r);
    }
}

struct told {
    const char *kind;
    int64_t last;
};

static enum err_code told_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct told *t = arg;
    int64_t created;

    return notice_last(tx, "polling:contoso", t->kind, &t->last, &created, e);
}

/* Where nobody pushes, a secret that has run out is silence: people hear of it, and of the end. */
static void test_polling__one_that_fails_is_told(void **state)
{
    struct told fails = {.kind = "poll_fails"}, works = {.kind = "poll_works"};
    struct notice_record notice;
    struct rig r;
    int64_t first = 0;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 403, "{}");
    for (int minute = 0; minute < 14; minute++) {
        (void)poll_once(&r);
        hands_turn(&r.hands, MINUTE_MS);
    }
    assert_int_equal(db_read(r.store->db, told_fn, &fails, NULL), ERR_OK);
    assert_int_equal(fails.last, 0); /* it may heal */
    for (int hour = 0; hour < 20; hour++) {
        hands_turn(&r.hands, HOUR_MS);
        assert_true(poll_once(&r));
        assert_int_equal(db_read(r.store->db, told_fn, &fails, NULL), ERR_OK);
        first = first ? first : fails.last;
        assert_true(fails.last != 0);
        assert_true(fails.last == first); /* once a day */
    }
    assert_int_equal(store_notice_load(r.store, r.arena, first, &notice, NULL), ERR_OK);
    assert_string_equal(notice.subject, "[CORDON] alerts of tenant contoso are not read");
    assert_null(strstr(rig_text(&r, notice.message), "does not answer")); /* it refuses */
    for (int i = 0; i < 2; i++) {
        int64_t before = works.last;

        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
        hands_turn(&r.hands, HOUR_MS);
        assert_true(poll_once(&r));
        assert_int_equal(db_read(r.store->db, told_fn, &works, NULL), ERR_OK);
        assert_int_equal(works.last != before, !i); /* and nothing of what nobody was told */
        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, 403, "{}");
        hands_turn(&r.hands, MINUTE_MS);
        assert_true(poll_once(&r));
    }
    rig_close(&r);
}

/* Nor is a list with nothing in it what a gateway, or whoever stands at a wrong address, says of a service that it does not find. */
static void test_polling__a_page_is_no_empty_list(void **state)
{
    static const struct {
        const char *says;
        bool told;
    } rows[] = {
        {"<h1>404 Web Site not found.</h1>", true},
        {"{\"statusCode\":404,\"message\":\"Resource not found\"}", true}, /* a gateway's */
        {"{}", true},
        {"", true},
        {"{\"error\":{\"code\":\"NotFound\",\"message\":\"No alerts were found\"}}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct told fails = {.kind = "poll_fails"};
        struct rig r;

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, 404, rows[i].says);
        for (int minute = 0; minute < 20; minute++) {
            (void)poll_once(&r);
            hands_turn(&r.hands, MINUTE_MS);
        }
        assert_int_equal(db_read(r.store->db, told_fn, &fails, NULL), ERR_OK);
        assert_int_equal(fails.last != 0, rows[i].told);
        rig_close(&r);
    }
}

/* Also where Defender names a time that is further ahead; nothing is asked before that. */
static void test_polling__one_that_is_put_off_is_told(void **state)
{
    struct told fails = {.kind = "poll_fails"};
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    peer_script(r.peer, &(struct peer_answer){.method = "GET",
                                              .target = CHANGED,
                                              .status = 429,
                                              .headers = "Retry-After: 3000\r\n",
                                              .body = "{}"});
    assert_true(poll_once(&r));
    for (int minute = 1; minute < 45; minute++) {
        hands_turn(&r.hands, MINUTE_MS);
        (void)poll_once(&r);
        assert_int_equal(db_read(r.store->db, told_fn, &fails, NULL), ERR_OK);
        if (minute < 14 || minute > 16)
            assert_int_equal(fails.last != 0, minute > 16);
    }
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    hands_turn(&r.hands, 10 * MINUTE_MS);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
    rig_close(&r);
}

/* In the next configuration; the one of before has another name there. */
static void name_another_tenant(struct rig *r)
{
    r->tenants =
        arena_fmt(r->arena,
                  "  contoso:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                  "    client_id: 5d1f0001-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                  "    client_secret_file: %s/secret\n    api_url: %s\n    login_url: %s\n",
                  r->dir, peer_url(r->peer), peer_url(r->peer));
    r->tenant = "lab";
}

/* Another tenant under the name of one that is polled: what was made there before is history, also when it changes. */
static void test_polling__another_tenant_of_the_same_name_has_its_own_beginning(void **state)
{
    struct rig r;
    int64_t made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    for (int day = 0; day < 4; day++) {
        assert_true(poll_once(&r));
        hands_turn(&r.hands, DAY_MS);
    }
    name_another_tenant(&r);
    for (int again = 0; again < 2; again++) { /* the same one goes on */
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        made = clock_wall_ms(&r.hands.clock) - (again ? 2 * MINUTE_MS : 2 * DAY_MS);
        list_alert(&r, made, clock_wall_ms(&r.hands.clock));
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        while (poll_once(&r))
            ;
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, again);
        hands_turn(&r.hands, again ? 0 : HOUR_MS);
    }
    rig_close(&r);
}

/* One that was mistyped fails, and people are told that what comes meanwhile is caught up with. What takes its place begins anew:
 * that, too, and that it works, they are told. */
static void test_polling__a_tenant_in_place_of_one_that_failed_is_told_to_work(void **state)
{
    struct told fails = {.kind = "poll_fails"}, works = {.kind = "poll_works"};
    struct notice_record notice;
    int64_t told = 0;
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 403, "{}");
    for (int hour = 0; hour < 3; hour++) {
        assert_true(poll_once(&r));
        hands_turn(&r.hands, HOUR_MS);
    }
    assert_int_equal(db_read(r.store->db, told_fn, &fails, NULL), ERR_OK);
    assert_true(fails.last != 0);
    name_another_tenant(&r);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    for (int poll = 0; poll < 3; poll++) {
        rig_afresh(&r);
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
        assert_true(poll_once(&r));
        assert_int_equal(db_read(r.store->db, told_fn, &works, NULL), ERR_OK);
        assert_true(works.last != 0);
        told = told ? told : works.last;
        assert_true(works.last == told); /* once */
        hands_turn(&r.hands, 2 * MINUTE_MS);
    }
    assert_int_equal(store_notice_load(r.store, r.arena, told, &notice, NULL), ERR_OK);
    assert_string_equal(notice.subject, "[CORDON] alerts of tenant contoso are read again");
    assert_non_null(strstr(rig_text(&r, notice.message), "Reads from"));
    rig_close(&r);
}

/* A tenant_id that was mistyped in the first configuration of all, and is mended before people are told that polling fails: what came
 * meanwhile is read, for nobody was told to look at it. After that somebody was, and another tenant begins anew. */
static void test_polling__what_came_before_a_typing_error_was_mended_is_read(void **state)
{
    static const struct {
        int64_t mended_after;
        bool polled; /* the one of before */
        bool read;
    } rows[] = {
        {12 * MINUTE_MS, false, true}, {HOUR_MS, false, false}, {12 * MINUTE_MS, true, false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t made;

        print_message("row %zu\n", i);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says(&r, "GET", CHANGED, 0, rows[i].polled ? 200 : 403, NOTHING);
        assert_true(poll_once(&r));
        made = clock_wall_ms(&r.hands.clock) + MINUTE_MS;
        rig_pass(&r, rows[i].mended_after, MINUTE_MS);
        while (poll_once(&r))
            ;
        name_another_tenant(&r);
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        list_alert(&r, made, made);
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        while (poll_once(&r))
            ;
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, rows[i].read);
        rig_close(&r);
    }
}

/* Nor does it hide anything that of the tenant with the wrong id a part had been read: how far was that one's. */
static void test_polling__a_typing_error_that_was_read_in_part_hides_nothing(void **state)
{
    AUTO(buf_clear) struct buf theirs = BUF_INIT(1 << 20);
    struct rig r;
    size_t n = 0;
    struct work w;

    (void)state;
    add_alerts(&theirs, 0, 500);
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 1, 200, buf_text(&theirs)); /* to 10:19:19 */
    rig_says(&r, "GET", CHANGED, 0, 503, "{}");
    hands_turn(&r.hands, 9 * MINUTE_MS);
    assert_true(poll_once(&r));
    while (rig_claim(&r, WORK_CASE, &w))
        n++;
    assert_int_equal(n, 500);
    name_another_tenant(&r);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
    rig_says(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T10:01", 0, 200,
             "{\"value\":[{\"id\":\"" ALERT "\",\"severity\":\"High\",\"alertCreationTime\":"
             "\"2025-01-07T10:12:20Z\",\"lastUpdateTime\":\"2025-01-07T10:12:20Z\"}]}");
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    while (poll_once(&r))
        ;
    assert_true(rig_claim(&r, WORK_CASE, &w));
    rig_close(&r);
}

/* Another tenant_id by mistake, and that of before again: it is read from where it was left. */
static void test_polling__a_tenant_that_comes_back_goes_on_where_it_was_left(void **state)
{
    struct rig r;
    const char *real, *name;
    int64_t made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, DAY_MS);
    assert_true(poll_once(&r));
    made = clock_wall_ms(&r.hands.clock) + 2 * MINUTE_MS;
    real = r.tenants;
    name = r.tenant;
    name_another_tenant(&r);
    for (int back = 0; back < 2; back++) {
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        if (back)
            list_alert(&r, made, made);
        else
            rig_says(&r, "GET", CHANGED, 0, 403, "{}");
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        while (poll_once(&r))
            ;
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, back);
        hands_turn(&r.hands, 12 * MINUTE_MS);
        r.tenants = real;
        r.tenant = name;
    }
    rig_close(&r);
}

/* The same where a poll is due before the rows of the changed configuration have been seen to. */
static void test_polling__another_tenant_is_polled_by_its_own_beginning_alone(void **state)
{
    struct rig r;
    int64_t made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    for (int day = 0; day < 4; day++) {
        assert_true(poll_once(&r));
        hands_turn(&r.hands, DAY_MS);
    }
    name_another_tenant(&r);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
    for (int lately = 0; lately < 2; lately++) { /* what is made from now on is news */
        made = clock_wall_ms(&r.hands.clock) - (lately ? MINUTE_MS : 2 * DAY_MS);
        list_alert(&r, made, clock_wall_ms(&r.hands.clock));
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        assert_true(poll_once(&r));
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", CHANGED), 1);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT ALERT) > 0, lately);
        assert_int_equal(polling_start(r.g, NULL), ERR_OK); /* changes nothing any more */
        hands_turn(&r.hands, 2 * MINUTE_MS);
    }
    rig_close(&r);
}

/* A host that slept before the first poll has no clock that was set: what was made meanwhile is news. */
static void test_polling__what_is_made_while_the_host_sleeps_is_news(void **state)
{
    struct rig r;
    int64_t made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    atomic_fetch_add(&r.hands.wall, 20 * MINUTE_MS);
    r.g->began_boot_ms -= 20 * MINUTE_MS;
    made = clock_wall_ms(&r.hands.clock) - 10 * MINUTE_MS;
    list_alert(&r, made, made);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* A clock that was ten days ahead for a while makes no pause: what is listed meanwhile is read when it is right again. */
static void test_polling__a_clock_that_is_far_ahead_makes_no_pause(void **state)
{
    struct rig r;
    int64_t made;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says_dated(&r, CHANGED, NOTHING, 0);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, 2 * MINUTE_MS);
    made = clock_wall_ms(&r.hands.clock);
    atomic_fetch_add(&r.hands.wall, 10 * DAY_MS);
    rig_afresh(&r);
    rig_says_dated(&r, CHANGED, NOTHING, 10 * DAY_MS);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, HOUR_MS);
    atomic_fetch_sub(&r.hands.wall, 10 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    list_alert(&r, made, made);
    assert_true(poll_once(&r));
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* A clock that is some minutes off, and perhaps stays so, ends no polling: seven days by Defender's clock are read, or more. */
static void test_polling__a_clock_that_is_a_little_off_keeps_nobody_from_reading(void **state)
{
    static const struct {
        int64_t off;
        const char *from;
    } rows[] = {
        {20 * MINUTE_MS, CHANGED "$filter=lastUpdateTime%20ge%202025-01-10T10:11:1"},
        {-20 * MINUTE_MS, CHANGED "$filter=lastUpdateTime%20ge%202025-01-10T09:51:1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says_dated(&r, CHANGED, NOTHING, 0);
        assert_true(poll_once(&r));
        hands_turn(&r.hands, 10 * DAY_MS);
        atomic_fetch_add(&r.hands.wall, rows[i].off);
        rig_afresh(&r);
        rig_says_dated(&r, CHANGED, NOTHING, rows[i].off);
        assert_true(poll_once(&r));
        assert_int_equal(rig_seen(&r, "GET", rows[i].from), 1);
        rig_close(&r);
    }
}

/* It began to fail while the clock was ahead, and fails on: /readyz says so within its five minutes, not in a week. */
static void test_polling__a_failing_that_began_by_a_wrong_clock_is_seen(void **state)
{
    struct health_part parts[8];
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    assert_int_equal(health_new(&r.hands.clock, &r.g->health, NULL), ERR_OK);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 503, "{}");
    hands_turn(&r.hands, 7 * DAY_MS);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, -7 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    for (int minute = 0; minute < 20; minute++) {
        (void)poll_once(&r);
        hands_turn(&r.hands, MINUTE_MS);
    }
    assert_int_equal(health_list(r.g->health, parts, 8), 1);
    assert_false(parts[0].ok);
    health_free(r.g->health);
    r.g->health = NULL;
    rig_close(&r);
}

/* A list out of order is no ground to skip what stands behind its newest. */
static void test_polling__a_list_out_of_order_is_read_whole(void **state)
{
    AUTO(buf_clear) struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
    struct rig r;
    size_t n = 0;
    struct work w;

    (void)state;
    for (int i = 0; i < 500; i++) /* the newest is the first */
        buf_addf(&first,
                 "%s{\"id\":\"da%d\",\"severity\":\"Low\",\"alertCreationTime\":"
                 "\"2025-01-07T10:11:20Z\",\"lastUpdateTime\":\"2025-01-07T10:1%d:20Z\"}",
                 i ? "," : "{\"value\":[", i, i ? 1 : 9);
    buf_adds(&first, "]}");
    add_alerts(&second, 500, 3);
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T10:19", 0, 200, NOTHING);
    rig_says(&r, "GET", CHANGED, 1, 200, buf_text(&first));
    rig_says(&r, "GET", CHANGED, 1, 200, buf_text(&second));
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    hands_turn(&r.hands, 20 * MINUTE_MS);
    assert_true(poll_once(&r));
    while (rig_claim(&r, WORK_CASE, &w))
        n++;
    assert_int_equal(n, 503);
    rig_close(&r);
}

/* An alert that changes while pages are read moves to the list's end, and what comes after it moves up: pages that are
 * counted from the beginning would miss the one that moves across their border. */
static void test_polling__an_alert_that_changes_meanwhile_hides_no_other(void **state)
{
    AUTO(buf_clear) struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
    struct rig r;
    size_t n = 0;
    struct work w;

    (void)state;
    add_alerts(&first, 0, 500);
    add_alerts(&second, 499, 3); /* da500 has moved up to the first page's end by now */
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T10:19:19", 0, 200,
             buf_text(&second));
    rig_says(&r, "GET", CHANGED, 1, 200, buf_text(&first));
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    hands_turn(&r.hands, 20 * MINUTE_MS);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 2);
    while (rig_claim(&r, WORK_CASE, &w))
        n++;
    assert_int_equal(n, 502);
    rig_close(&r);
}

/* More has changed than a poll has calls for: what it has read is not read again by the next, which would come no further. */
static void test_polling__goes_on_where_the_calls_were_used_up(void **state)
{
    AUTO(buf_clear) struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
    static const char behind[] = CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T10:19:19";
    static const char budget[] = "{\"error\":{\"code\":\"429\",\"message\":\"quota\"}}";
    struct rig r;
    size_t n = 0;
    struct work w;

    (void)state;
    add_alerts(&first, 0, 500);
    add_alerts(&second, 499, 3);
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", behind, 1, 429, budget);
    rig_says(&r, "GET", behind, 0, 200, buf_text(&second));
    rig_says(&r, "GET", CHANGED, 1, 200, buf_text(&first));
    rig_says(&r, "GET", CHANGED, 0, 429, budget);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    hands_turn(&r.hands, 20 * MINUTE_MS);
    for (int minute = 0; minute < 10; minute++) {
        (void)poll_once(&r);
        hands_turn(&r.hands, MINUTE_MS);
    }
    while (rig_claim(&r, WORK_CASE, &w))
        n++;
    assert_int_equal(n, 502);
    rig_close(&r);
}

/* Nothing was read for longer than a week: what is older is left alone by the second look as well. */
static void test_polling__what_is_history_is_not_looked_for_again(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 503, "{}");
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    for (int day = 7; day < 17; day++) {
        assert_true(poll_once(&r));
        hands_turn(&r.hands, DAY_MS);
    }
    peer_forget(r.peer);
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    for (int i = 0; i < 2; i++) {
        assert_true(poll_once(&r));
        hands_turn(&r.hands, MINUTE_MS);
    }
    assert_int_equal(rig_seen(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-10"), 2);
    rig_close(&r);
}

/* A page that ends with a time that is still to come: when the next cannot be read, what comes to light meanwhile is not
 * behind that time. */
static void test_polling__a_time_to_come_hides_nothing_when_a_poll_fails(void **state)
{
    AUTO(buf_clear) struct buf first = BUF_INIT(1 << 20);
    struct rig r;

    (void)state;
    for (int i = 0; i < 500; i++)
        buf_addf(&first,
                 "%s{\"id\":\"da%d\",\"severity\":\"Low\",\"alertCreationTime\":"
                 "\"2025-01-07T10:11:20Z\",\"lastUpdateTime\":\"%s-01-07T10:11:20Z\"}",
                 i ? "," : "{\"value\":[", i, i < 499 ? "2025" : "2099");
    buf_adds(&first, "]}");
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202099", 0, 503, "{}");
    rig_says(&r, "GET", CHANGED, 1, 200, buf_text(&first));
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    hands_turn(&r.hands, 20 * MINUTE_MS);
    assert_true(poll_once(&r));
    hands_turn(&r.hands, HOUR_MS);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED "$filter=lastUpdateTime%20ge%202025-01-07T10:"),
                     2);
    rig_close(&r);
}

/* As many as a page holds may have changed in one moment. */
static void test_polling__goes_on_within_a_moment(void **state)
{
    AUTO(buf_clear) struct buf page = BUF_INIT(1 << 20);
    struct rig r;

    (void)state;
    for (int i = 0; i < 500; i++)
        buf_addf(&page,
                 "%s{\"id\":\"da%d\",\"severity\":\"Low\",\"alertCreationTime\":"
                 "\"2025-01-07T10:11:20Z\",\"lastUpdateTime\":\"2025-01-07T10:11:20Z\"}",
                 i ? "," : "{\"value\":[", i);
    buf_adds(&page, "]}");
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 3, 200, buf_text(&page));
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 4);
    assert_non_null(strstr(peer_request(r.peer, peer_count(r.peer) - 1)->target, "$skip=1000"));
    rig_close(&r);
}

/* A far side that takes long: another configuration comes into force before it answers. */
struct reloading {
    struct rig *r;
    const char *config; /* NULL: none does any more */
    atomic_int asked;
};

static void answer_slowly(void *ctx, const struct peer_request *q, struct peer_answer *ret)
{
    struct reloading *x = ctx;
    bool token = strstr(q->target, "/oauth2/") != NULL;

    ret->status = 200;
    ret->body = strdup(token ? "{\"expires_in\":35990,\"access_token\":\"t1\"}" : NOTHING);
    if (token)
        return;
    atomic_fetch_add(&x->asked, 1);
    if (!x->config)
        return;
    engine_use(x->r->g, rig_runtime(x->r, x->config));
    x->config = NULL;
    (void)polling_start(x->r->g, NULL);
}

/* Who asks for more does not wait until the day of before is over. */
static void test_polling__a_pace_that_changes_meanwhile_is_gone_by(void **state)
{
    struct reloading x = {0};
    struct rig r;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1d}\n");
    x.r = &r;
    x.config = RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n";
    peer_answer_by(r.peer, answer_slowly, &x);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_true(poll_once(&r));
    assert_int_equal(x.asked, 1);
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(poll_once(&r));
    assert_int_equal(x.asked, 2);
    rig_close(&r);
}

/* Polling is turned on again while a run still goes by the configuration that had it off: the row it would end is the one
 * that is to be polled by. */
static void test_polling__a_run_by_what_is_gone_by_ends_nothing(void **state)
{
    struct rig r;
    struct work w;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1d}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", CHANGED, 0, 200, NOTHING);
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_true(poll_once(&r));
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 0}\n"));
    hands_turn(&r.hands, DAY_MS);
    assert_true(rig_claim(&r, WORK_POLL, &w));
    rig_reload_under_way(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n", polling_start);
    polling_run(r.g, &w);
    assert_true(poll_once(&r));
    assert_int_equal(rig_seen(&r, "GET", CHANGED), 2);
    rig_close(&r);
}

/* A second name of a tenant lends its application to mail: its alerts and actions come in under the other one's, once. */
static void test_polling__a_second_name_is_not_polled(void **state)
{
    struct rig r;
    struct work w;
    int polls = 0, watches = 0;

    (void)state;
    rig_open(&r, NULL);
    r.tenants = arena_fmt(r.arena,
                          "  a-lender:\n    tenant_id: 0A4A1F60-98AB-4F0A-9D5E-0B1C2D3E4F50\n"
                          "    client_id: 5d1f0001-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_secret_file: %s/secret\n    api_url: %s\n    login_url: %s\n",
                          r.dir, peer_url(r.peer), peer_url(r.peer));
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n"));
    assert_int_equal(polling_start(r.g, NULL), ERR_OK);
    assert_int_equal(reconcile_start(r.g, NULL), ERR_OK);
    hands_turn(&r.hands, HOUR_MS);
    while (rig_claim(&r, WORK_POLL, &w))
        polls++;
    while (rig_claim(&r, WORK_RECONCILE, &w))
        watches++;
    assert_int_equal(polls, 1);
    assert_int_equal(watches, 1);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_polling__an_alert_whose_case_was_forgotten_is_no_news),
        cmocka_unit_test(test_polling__what_was_forgotten_stays_so_when_cases_are_kept_for_longer),
        cmocka_unit_test(test_polling__a_full_store_is_not_filled_further),
        cmocka_unit_test(test_polling__an_alert_that_changes_meanwhile_hides_no_other),
        cmocka_unit_test(test_polling__an_alert_that_comes_to_light_late_is_read),
        cmocka_unit_test(test_polling__an_alert_that_waited_long_is_read_when_it_comes_to_light),
        cmocka_unit_test(test_polling__an_alert_that_people_have_seen_to_long_ago_is_not_read),
        cmocka_unit_test(test_polling__an_alert_without_a_time_is_news),
        cmocka_unit_test(test_polling__a_clock_that_is_a_little_off_keeps_nobody_from_reading),
        cmocka_unit_test(test_polling__a_clock_that_is_ahead_from_the_beginning_hides_nothing),
        cmocka_unit_test(test_polling__a_clock_that_was_ahead_while_nothing_was_read_hides_nothing),
        cmocka_unit_test(
            test_polling__a_clock_that_gets_behind_while_nothing_was_read_hides_nothing),
        cmocka_unit_test(test_polling__a_clock_that_is_behind_at_the_beginning_makes_no_news),
        cmocka_unit_test(
            test_polling__a_clock_that_is_set_right_before_the_first_poll_makes_no_news),
        cmocka_unit_test(test_polling__a_restart_by_a_clock_that_is_behind_makes_no_news),
        cmocka_unit_test(test_polling__one_that_fails_is_told),
        cmocka_unit_test(test_polling__a_page_is_no_empty_list),
        cmocka_unit_test(test_polling__one_that_is_put_off_is_told),
        cmocka_unit_test(test_polling__another_tenant_of_the_same_name_has_its_own_beginning),
        cmocka_unit_test(test_polling__another_tenant_is_polled_by_its_own_beginning_alone),
        cmocka_unit_test(test_polling__what_came_before_a_typing_error_was_mended_is_read),
        cmocka_unit_test(test_polling__a_typing_error_that_was_read_in_part_hides_nothing),
        cmocka_unit_test(test_polling__a_tenant_that_comes_back_goes_on_where_it_was_left),
        cmocka_unit_test(test_polling__a_tenant_in_place_of_one_that_failed_is_told_to_work),
        cmocka_unit_test(test_polling__what_is_made_while_the_host_sleeps_is_news),
        cmocka_unit_test(test_polling__a_clock_that_is_far_ahead_makes_no_pause),
        cmocka_unit_test(test_polling__a_failing_that_began_by_a_wrong_clock_is_seen),
        cmocka_unit_test(test_polling__a_push_is_stronger_than_a_poll_that_may_only_notify),
        cmocka_unit_test(test_polling__a_long_pause_is_not_made_up_for),
        cmocka_unit_test(test_polling__a_long_pause_at_the_beginning_is_none_either),
        cmocka_unit_test(test_polling__a_clock_that_was_ahead_at_the_beginning_hides_nothing),
        cmocka_unit_test(test_polling__a_list_out_of_order_is_read_whole),
        cmocka_unit_test(test_polling__goes_on_within_a_moment),
        cmocka_unit_test(test_polling__goes_on_where_the_calls_were_used_up),
        cmocka_unit_test(test_polling__what_is_history_is_not_looked_for_again),
        cmocka_unit_test(test_polling__a_time_to_come_hides_nothing_when_a_poll_fails),
        cmocka_unit_test(test_polling__a_pace_that_changes_meanwhile_is_gone_by),
        cmocka_unit_test(test_polling__a_run_by_what_is_gone_by_ends_nothing),
        cmocka_unit_test(test_polling__a_second_name_is_not_polled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
