/* test_silence.c - a source that goes quiet is told of once, and again when it is back: hours pass by the hands. */
#include "engine_kit.h"

#include "health.h"
#include "kit/postgres.h"
#include "log.h"
#include "metrics.h"
#include "notice_system.h"
#include "polling.h"
#include "silence.h"
#include "store_heartbeats.h"

#define LAG HEARTBEAT_LAG_MS(HOUR_MS) /* a minute */

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

static void beat(struct runtime *rt, int64_t heartbeat_ms)
{
    rt->config->sources[0].heartbeat_ms = heartbeat_ms;
}

static void open_rig(struct rig *r, int64_t heartbeat_ms)
{
    rig_open(r, NULL);
    log_divert(no_line, NULL);
    assert_int_equal(health_new(&r->hands.clock, &r->g->health, NULL), ERR_OK);
    beat(r->g->runtime, heartbeat_ms);
    assert_int_equal(silence_watch(r->g, true, NULL), ERR_OK);
}

static void close_rig(struct rig *r)
{
    struct health *health = r->g->health;

    rig_close(r);
    health_free(health);
    log_divert(NULL, NULL);
}

/* A new process on the same store: another engine, whose health knows nothing. */
static void restart(struct rig *r, int64_t down_ms)
{
    struct health *health = r->g->health;
    struct err e = {0};

    engine_free(r->g);
    health_free(health);
    store_free(r->store);
    hands_turn(&r->hands, down_ms);
    assert_int_equal(store_open(r->store_url, false, &r->hands.clock, &r->store, &e), ERR_OK);
    assert_int_equal(engine_new(r->store, r->rest, &r->hands.clock,
                                rig_runtime(r, RULES_ISOLATE_AND_MAIL), &r->g, &e),
                     ERR_OK);
    assert_int_equal(health_new(&r->hands.clock, &r->g->health, NULL), ERR_OK);
    beat(r->g->runtime, HOUR_MS);
    assert_int_equal(silence_watch(r->g, true, NULL), ERR_OK);
    assert_int_equal(store_work_recover(r->store, NULL), ERR_OK);
}

/* Looks at what is due, as often as it is. */
static void look(struct rig *r)
{
    struct work w;

    for (int n = 0; rig_claim(r, WORK_HEARTBEAT, &w); n++) {
        assert_true(n < 5);
        silence_run(r->g, &w);
    }
}

/* Time passes a minute at a time, and what is due is looked at. */
static void pass(struct rig *r, int64_t ms)
{
    for (int64_t t = 0; t < ms; t += MINUTE_MS) {
        hands_turn(&r->hands, t + MINUTE_MS > ms ? ms - t : MINUTE_MS);
        look(r);
    }
}

static void hear(struct rig *r)
{
    struct heartbeat *list;
    size_t n;

    assert_int_equal(
        store_heard(r->store, "relay", clock_wall_ms(&r->hands.clock), NULL, NULL, NULL), ERR_OK);
    /* what is submitted before is done before */
    assert_int_equal(store_work_hurry(r->store, NULL), ERR_OK);
    assert_int_equal(store_heartbeat_list(r->store, r->arena, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].heard, clock_wall_ms(&r->hands.clock));
}

/* The kinds of all notices about the source, in order. */
static enum err_code told_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct buf *out = arg;
    struct db_rows *rows;
    enum err_code code;

    buf_reset(out);
    code = db_query(tx, e, &rows, "SELECT kind, subject FROM notices WHERE about = $1 ORDER BY id",
                    "t", "source:relay");
    if (code)
        return code;
    while (db_next(rows)) {
        buf_addf(out, "%s%s", out->len ? " " : "", db_text(rows, 0));
        assert_int_equal(strncmp(db_text(rows, 1), "[CORDON] source relay is ", 25), 0);
    }
    return db_rows_end(rows, e);
}

static void assert_told(struct rig *r, const char *kinds)
{
    struct buf out = BUF_INIT(10000);

    assert_int_equal(db_read(r->store->db, told_fn, &out, NULL), ERR_OK);
    assert_string_equal(buf_text(&out), kinds);
    buf_clear(&out);
}

static void assert_healthy(struct rig *r, bool ok)
{
    struct health_part parts[4];

    assert_int_equal(health_list(r->g->health, parts, 4), 1);
    assert_string_equal(parts[0].name, "source:relay");
    assert_int_equal(parts[0].ok, ok);
    if (!ok)
        assert_int_equal(strncmp(parts[0].why, "quiet: last heard ", 18), 0);
}

/* ---- quiet and back ------------------------------------------------------------------------------- */

static void test_silence__is_told_once_and_so_is_its_end(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    look(&r);
    assert_healthy(&r, true);
    pass(&r, 10 * MINUTE_MS);
    hear(&r);
    pass(&r, HOUR_MS + LAG - 1);
    assert_told(&r, "");
    assert_healthy(&r, true);
    pass(&r, 1);
    assert_told(&r, "source_quiet");
    assert_healthy(&r, false);
    pass(&r, 2 * DAY_MS);
    assert_told(&r, "source_quiet");
    hear(&r);
    look(&r); /* its row was woken */
    assert_told(&r, "source_quiet source_back");
    assert_healthy(&r, true);
    hear(&r);
    pass(&r, HOUR_MS);
    assert_told(&r, "source_quiet source_back");
    pass(&r, LAG);
    assert_told(&r, "source_quiet source_back source_quiet");
    close_rig(&r);
}

static void test_silence__who_speaks_in_time_is_not_told_of(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    for (int i = 0; i < 50; i++) {
        pass(&r, HOUR_MS);
        hear(&r);
    }
    assert_told(&r, "");
    assert_healthy(&r, true);
    close_rig(&r);
}

static void test_silence__the_mail_says_what_to_do(void **state)
{
    struct notice_record n;
    struct work w;
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    pass(&r, HOUR_MS + LAG);
    assert_true(rig_claim(&r, WORK_NOTICE, &w));
    assert_int_equal(store_notice_load(r.store, r.arena, w.id, &n, NULL), ERR_OK);
    assert_string_equal(n.subject, "[CORDON] source relay is quiet: nothing from it for 1h");
    assert_non_null(strstr(n.message, "cordon send --source relay"));
    assert_non_null(strstr(n.message, "Last heard   never"));
    assert_non_null(strstr(n.message, "Heartbeat    1h"));
    close_rig(&r);
}

/* A secret that was changed at one end only makes a source as quiet as a flow that was switched off. */
static void test_silence__the_mail_says_that_requests_were_turned_away(void **state)
{
    static const struct {
        const char *source, *outcome;
        bool says;
    } rows[] = {{"relay", "denied", true},     {"relay", "forbidden", true},
                {"relay", "bad", true},        {"flow", "denied", false},
                {"relay", "duplicate", false}, {"relay", "unavailable", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct metrics *metrics;
        struct notice_record n;
        struct work w;
        struct rig r;

        print_message("  %s %s\n", rows[i].source, rows[i].outcome);
        assert_int_equal(metrics_new(&metrics, NULL), ERR_OK);
        metrics_add(metrics, METRIC_DELIVERIES, 7, rows[i].source, rows[i].outcome);
        open_rig(&r, HOUR_MS);
        r.g->metrics = metrics;
        pass(&r, HOUR_MS + LAG);
        assert_true(rig_claim(&r, WORK_NOTICE, &w));
        assert_int_equal(store_notice_load(r.store, r.arena, w.id, &n, NULL), ERR_OK);
        assert_int_equal(strstr(n.message, "Turned away  7 since cordon was started") != NULL,
                         rows[i].says);
        assert_int_equal(strstr(n.message, "the log says why") != NULL, rows[i].says);
        close_rig(&r);
        metrics_free(metrics);
    }
}

/* ---- restarts -------------------------------------------------------------------------------------- */

static void test_silence__counts_from_the_start_of_the_server(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    hear(&r);
    pass(&r, 30 * MINUTE_MS);
    restart(&r, 10 * HOUR_MS); /* nobody could be heard meanwhile */
    look(&r);
    assert_told(&r, "");
    assert_healthy(&r, true);
    pass(&r, HOUR_MS + LAG - 1);
    assert_told(&r, "");
    pass(&r, 1);
    assert_told(&r, "source_quiet");
    close_rig(&r);
}

/* A server that is restarted more often than the heartbeat, every night, hears of the silence all the same: what it was there
 * for counts, by the last list of Defender's that it read. */
static void test_silence__is_not_begun_anew_by_every_restart(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    hear(&r);
    rig_sql(&r, "INSERT INTO polls (id, tenant, list, since, watermark, polled, failing)"
                " VALUES (77, 'contoso', 'actions', 0, 0, 0, 0)");
    for (int i = 0; i < 2; i++) {
        assert_told(&r, "");
        pass(&r, 29 * MINUTE_MS);
        rig_sql(&r, arena_fmt(r.arena, "UPDATE polls SET polled = %lld",
                              (long long)clock_wall_ms(&r.hands.clock)));
        pass(&r, MINUTE_MS);
        restart(&r, 10 * HOUR_MS); /* nobody could be heard meanwhile */
    }
    pass(&r, 2 * MINUTE_MS + LAG - 1);
    assert_told(&r, "");
    pass(&r, 1);
    assert_told(&r, "source_quiet");
    close_rig(&r);
}

/* That one is gone for a moment, every minute, says nothing of the other one, which listens all the time. */
static void test_silence__a_replica_that_starts_again_and_again_hides_nothing(void **state)
{
    static const char rules[] = RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n";
    char url[POSTGRES_URL_MAX];
    struct rig stays, comes;
    struct work w;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    (void)postgres_url(url);
    log_divert(no_line, NULL);
    rig_open_on(&stays, rules, url);
    rig_open_on(&comes, rules, url);
    rig_afresh(&stays);
    rig_says(&stays, "GET", "/api/alerts?", 0, 200, NOTHING);
    beat(stays.g->runtime, HOUR_MS);
    beat(comes.g->runtime, HOUR_MS);
    assert_int_equal(silence_watch(stays.g, true, NULL), ERR_OK);
    assert_int_equal(polling_start(stays.g, NULL), ERR_OK);
    for (int64_t t = 0; t < HOUR_MS + LAG; t += MINUTE_MS) {
        assert_told(&stays, "");
        assert_int_equal(silence_watch(comes.g, true, NULL), ERR_OK);
        assert_true(rig_claim(&stays, WORK_POLL, &w));
        polling_run(stays.g, &w);
        hands_turn(&stays.hands, MINUTE_MS);
        hands_turn(&comes.hands, MINUTE_MS);
        look(&stays);
    }
    assert_told(&stays, "source_quiet");
    rig_close(&stays);
    rig_close(&comes);
    log_divert(NULL, NULL);
}

static void test_silence__is_not_told_again_after_a_restart(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    pass(&r, HOUR_MS + LAG);
    assert_told(&r, "source_quiet");
    restart(&r, MINUTE_MS);
    look(&r);
    assert_healthy(&r, false); /* known from the store */
    pass(&r, DAY_MS);
    assert_told(&r, "source_quiet");
    restart(&r, DAY_MS);
    hear(&r);
    look(&r);
    assert_told(&r, "source_quiet source_back");
    assert_healthy(&r, true);
    close_rig(&r);
}

/* The process died with the look in its hands. */
static void test_silence__a_look_that_died_is_made_again(void **state)
{
    struct work w;
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    look(&r);
    hands_turn(&r.hands, HOUR_MS + LAG);
    assert_true(rig_claim(&r, WORK_HEARTBEAT, &w));
    restart(&r, 0);
    pass(&r, HOUR_MS + LAG);
    assert_told(&r, "source_quiet");
    close_rig(&r);
}

/* ---- reloads --------------------------------------------------------------------------------------- */

static enum err_code watch_again(struct engine *g, struct err *e)
{
    beat(g->runtime, HOUR_MS);
    return silence_watch(g, false, e);
}

/* The heartbeat is put back while a run still goes by the configuration that had it taken away. */
static void test_silence__a_run_by_what_is_gone_by_ends_nothing(void **state)
{
    struct work w;
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    look(&r);
    beat(r.g->runtime, 0);
    assert_int_equal(silence_watch(r.g, false, NULL), ERR_OK);
    assert_true(rig_claim(&r, WORK_HEARTBEAT, &w));
    rig_reload_under_way(&r, RULES_ISOLATE_AND_MAIL, watch_again);
    silence_run(r.g, &w);
    look(&r);
    assert_told(&r, "");
    pass(&r, HOUR_MS + LAG);
    assert_told(&r, "source_quiet");
    close_rig(&r);
}

static void test_silence__a_heartbeat_may_be_shortened_and_taken_away(void **state)
{
    struct work w;
    struct rig r;

    (void)state;
    open_rig(&r, DAY_MS);
    pass(&r, 2 * HOUR_MS);
    assert_told(&r, "");
    beat(r.g->runtime, HOUR_MS);
    assert_int_equal(silence_watch(r.g, false, NULL), ERR_OK);
    look(&r);
    assert_told(&r, "source_quiet");
    beat(r.g->runtime, 0);
    assert_int_equal(silence_watch(r.g, false, NULL), ERR_OK);
    look(&r);
    assert_healthy(&r, true);
    hands_turn(&r.hands, 10 * DAY_MS);
    assert_false(rig_claim(&r, WORK_HEARTBEAT, &w));
    assert_told(&r, "source_quiet"); /* it is not back: nobody watches it */
    beat(r.g->runtime, HOUR_MS);
    assert_int_equal(silence_watch(r.g, false, NULL), ERR_OK);
    look(&r);
    assert_told(&r, "source_quiet"); /* watched anew: from now */
    pass(&r, HOUR_MS + LAG);
    assert_told(&r, "source_quiet source_quiet");
    close_rig(&r);
}

static void test_silence__without_a_heartbeat_nobody_looks(void **state)
{
    struct work w;
    struct rig r;

    (void)state;
    open_rig(&r, 0);
    hands_turn(&r.hands, 10 * DAY_MS);
    assert_false(rig_claim(&r, WORK_HEARTBEAT, &w));
    hear(&r); /* noted all the same, for the metric */
    assert_false(rig_claim(&r, WORK_HEARTBEAT, &w));
    close_rig(&r);
}

/* ---- the clock ------------------------------------------------------------------------------------- */

static void test_silence__a_clock_that_is_set_back_hides_nothing(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    look(&r);
    hear(&r);
    r.hands.wall -= 5 * DAY_MS;
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK); /* as the dispatcher does */
    look(&r);
    assert_told(&r, "");
    pass(&r, HOUR_MS + LAG);
    assert_told(&r, "source_quiet");
    r.hands.wall -= 5 * DAY_MS;
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    look(&r);
    hands_turn(&r.hands, 1000);
    hear(&r);
    look(&r);
    assert_told(&r, "source_quiet source_back");
    close_rig(&r);
}

/* It is set to the right time after the start, or the machine was suspended: nobody could be heard meanwhile. */
static void test_silence__a_clock_that_leaps_ahead_makes_nobody_quiet(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, HOUR_MS);
    look(&r);
    hear(&r);
    pass(&r, 30 * MINUTE_MS);
    r.hands.wall += 5 * DAY_MS;
    assert_int_equal(store_heartbeats_away(r.store, "me", 5 * DAY_MS, NULL), ERR_OK); /* likewise */
    look(&r);
    assert_told(&r, "");
    assert_healthy(&r, true);
    pass(&r, 30 * MINUTE_MS + LAG - 1); /* what it was silent for before counts */
    assert_told(&r, "");
    pass(&r, 1);
    assert_told(&r, "source_quiet");
    r.hands.wall += 5 * DAY_MS;
    assert_int_equal(store_heartbeats_away(r.store, "me", 5 * DAY_MS, NULL), ERR_OK);
    look(&r);
    assert_told(&r, "source_quiet");
    hands_turn(&r.hands, 1000);
    hear(&r);
    look(&r);
    assert_told(&r, "source_quiet source_back");
    close_rig(&r);
}

/* Heard already when the leap is noticed. */
static void test_silence__a_leap_counts_from_now_at_most(void **state)
{
    struct heartbeat *list;
    struct rig r;
    size_t n;

    (void)state;
    open_rig(&r, HOUR_MS);
    r.hands.wall += DAY_MS;
    hear(&r);
    assert_int_equal(store_heartbeats_away(r.store, "me", DAY_MS, NULL), ERR_OK);
    assert_int_equal(store_heartbeat_list(r.store, r.arena, &list, &n, NULL), ERR_OK);
    assert_int_equal(list[0].since, clock_wall_ms(&r.hands.clock));
    pass(&r, HOUR_MS + LAG - 1);
    assert_told(&r, "");
    pass(&r, 1);
    assert_told(&r, "source_quiet");
    close_rig(&r);
}

/* Where the store is shared, another one may have been there: it has seen to the reading of lists. */
static void test_silence__a_replica_that_was_away_alone_makes_nobody_quiet(void **state)
{
    static const char rules[] = RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n";
    char url[POSTGRES_URL_MAX];
    struct rig r;
    struct work w;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    (void)postgres_url(url);
    log_divert(no_line, NULL);
    for (int other = 0; other < 2; other++) {
        rig_open_on(&r, rules, url);
        rig_afresh(&r);
        rig_says(&r, "GET", "/api/alerts?", 0, 200, NOTHING);
        beat(r.g->runtime, HOUR_MS);
        assert_int_equal(silence_watch(r.g, true, NULL), ERR_OK);
        assert_int_equal(polling_start(r.g, NULL), ERR_OK);
        look(&r);
        hands_turn(&r.hands, 5 * DAY_MS);
        if (other) {
            assert_true(rig_claim(&r, WORK_POLL, &w));
            polling_run(r.g, &w);
        }
        assert_int_equal(store_heartbeats_away(r.store, "me", 5 * DAY_MS, NULL), ERR_OK);
        look(&r);
        assert_told(&r, other ? "source_quiet" : "");
        rig_close(&r);
    }
    log_divert(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence__is_told_once_and_so_is_its_end),
        cmocka_unit_test(test_silence__who_speaks_in_time_is_not_told_of),
        cmocka_unit_test(test_silence__the_mail_says_what_to_do),
        cmocka_unit_test(test_silence__the_mail_says_that_requests_were_turned_away),
        cmocka_unit_test(test_silence__counts_from_the_start_of_the_server),
        cmocka_unit_test(test_silence__is_not_begun_anew_by_every_restart),
        cmocka_unit_test(test_silence__a_replica_that_starts_again_and_again_hides_nothing),
        cmocka_unit_test(test_silence__is_not_told_again_after_a_restart),
        cmocka_unit_test(test_silence__a_look_that_died_is_made_again),
        cmocka_unit_test(test_silence__a_heartbeat_may_be_shortened_and_taken_away),
        cmocka_unit_test(test_silence__a_run_by_what_is_gone_by_ends_nothing),
        cmocka_unit_test(test_silence__without_a_heartbeat_nobody_looks),
        cmocka_unit_test(test_silence__a_clock_that_is_set_back_hides_nothing),
        cmocka_unit_test(test_silence__a_clock_that_leaps_ahead_makes_nobody_quiet),
        cmocka_unit_test(test_silence__a_leap_counts_from_now_at_most),
        cmocka_unit_test(test_silence__a_replica_that_was_away_alone_makes_nobody_quiet),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
