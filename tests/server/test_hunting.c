/* test_hunting.c - when a hunt runs: its time, what is made up for after a pause, what is tried again; and that a process
 * may die between noting a row and telling of it. */
#include "engine_kit.h"

#include "desk.h"
#include "hunt_rows.h"
#include "hunting.h"
#include "kit/postgres.h"
#include "store_hunts.h"
#include "store_rows.h"

#define QUERY "/api/advancedqueries/run"
#define HUNT(more)                                                                                 \
    RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, " more  \
                    "do: [email: {}]}\n"
#define ANSWER(rows) "{\"Schema\":[{\"Name\":\"n\",\"Type\":\"String\"}],\"Results\":[" rows "]}"

static void open_hunt(struct rig *r, const char *config)
{
    rig_open(r, config);
    rig_afresh(r);
    rig_says(r, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"1\"}"));
    assert_int_equal(hunting_start(r->g, NULL), ERR_OK);
}

/* Runs what is due now; returns how many queries were asked meanwhile. */
static size_t due(struct rig *r)
{
    size_t before = rig_seen(r, "POST", QUERY);
    struct work w;

    for (int n = 0; rig_claim(r, WORK_HUNT, &w); n++) {
        assert_true(n < 5);
        hunting_run(r->g, &w);
    }
    return rig_seen(r, "POST", QUERY) - before;
}

static void turn(struct rig *r, int64_t minutes)
{
    hands_turn(&r->hands, minutes * MINUTE_MS);
}

static struct hunt_record row(struct rig *r)
{
    struct hunt_record *list;
    size_t n = 0;

    assert_int_equal(store_hunt_list(r->store, r->arena, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    return list[0];
}

/* It is 10:11:12 when the hands start. */
static void test_hunting__runs_at_its_time(void **state)
{
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    turn(&r, 48); /* 10:59:12 */
    assert_int_equal(due(&r), 0);
    turn(&r, 1); /* 11:00:12 */
    assert_int_equal(due(&r), 1);
    assert_int_equal(due(&r), 0);
    assert_true(row(&r).covered > 0);
    turn(&r, 59); /* 11:59:12 */
    assert_int_equal(due(&r), 0);
    turn(&r, 1);
    assert_int_equal(due(&r), 1);
    rig_close(&r);
}

/* After a pause one run makes up for all of it, and the next comes at its own time. */
static void test_hunting__catches_up_once(void **state)
{
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT("catch_up: 3h, "));
    assert_int_equal(due(&r), 0);
    turn(&r, 49 + 5 * 60 + 30); /* 16:30:12 */
    assert_int_equal(due(&r), 1);
    turn(&r, 29);
    assert_int_equal(due(&r), 0);
    turn(&r, 1); /* 17:00:12 */
    assert_int_equal(due(&r), 1);
    rig_close(&r);
}

static void test_hunting__what_is_beyond_the_horizon_is_not_made_up_for(void **state)
{
    static const char *const rows[] = {HUNT("catch_up: 30m, "), HUNT("catch_up: 0, ")};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;

        open_hunt(&r, rows[i]);
        assert_int_equal(due(&r), 0);
        turn(&r, 49 + 2 * 60 + 45); /* 13:45:12 */
        r.g->here_since_ms = clock_mono_ms(r.g->clock);
        assert_int_equal(due(&r), 0);
        turn(&r, 15); /* 14:00:12 */
        assert_int_equal(due(&r), 1);
        rig_close(&r);
    }
}

/* A query takes minutes, and two are asked at a time: whose turn comes after others' is late, and missed nothing. */
static void test_hunting__who_waits_for_others_is_not_left_out(void **state)
{
    struct rig r;
    struct work w;

    (void)state;
    open_hunt(&r, RULES_MAIL_ONLY
              "hunts:\n  - {name: a, schedule: '0 * * * *', api: defender, query: q, catch_up: 0, "
              "do: [email: {}]}\n"
              "  - {name: b, schedule: '0 * * * *', api: defender, query: q, catch_up: 0, "
              "do: [email: {}]}\n");
    assert_int_equal(due(&r), 0);
    turn(&r, 49); /* 11:00:12 */
    for (int hour = 0; hour < 2; hour++) {
        for (int i = 0; i < 2; i++) {
            assert_true(rig_claim(&r, WORK_HUNT, &w));
            hunting_run(r.g, &w);
            turn(&r, 3);
        }
        assert_int_equal(rig_seen(&r, "POST", QUERY), 2 * (hour + 1));
        turn(&r, 54);
    }
    rig_close(&r);
}

static void test_hunting__jitter_is_the_same_for_the_same_time(void **state)
{
    int first = 0;

    (void)state;
    for (int again = 0; again < 2; again++) {
        struct rig r;
        int minute = 0;

        open_hunt(&r, HUNT("jitter: 40m, "));
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        for (; !due(&r); minute++) {
            assert_true(minute <= 40);
            turn(&r, 1);
        }
        if (again)
            assert_int_equal(minute, first);
        first = minute;
        rig_close(&r);
    }
    assert_true(first > 0); /* as this name and this time have it */
}

/* A slow query ends with a 504: a few times again, never at once, then at its next time. */
static void test_hunting__tries_again_a_few_times(void **state)
{
    struct rig r;
    size_t asked = 0;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 504, "{\"error\":{\"code\":\"UnknownError\",\"message\":\"\"}}");
    turn(&r, 49);
    assert_int_equal(due(&r), 1);
    assert_int_equal(due(&r), 0);
    hands_turn(&r.hands, 29 * SECOND_MS);
    assert_int_equal(due(&r), 0);
    for (int minute = 0; minute < 50; minute++) {
        turn(&r, 1);
        asked += due(&r);
    }
    assert_int_equal(asked, 3); /* and the one before: four in all */
    assert_true(row(&r).failing > 0);
    assert_int_equal(row(&r).covered, 0);
    rig_close(&r);
}

static enum err_code fails_fn(struct db_tx *tx, void *arg, struct err *e);

/* Once a week, and Defender is away just then: people hear of it within the hour, and not in a week; it is tried again every
 * day, and heals. */
static void test_hunting__one_that_seldom_runs_is_not_silent_when_it_fails(void **state)
{
    struct rig r;
    int64_t told = 0;
    size_t asked = 0;

    (void)state;
    open_hunt(&r, RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '0 11 * * 2', api: defender, "
                                  "query: q, do: [email: {}]}\n");
    assert_int_equal(due(&r), 0);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 504, "{}");
    turn(&r, 49); /* Tuesday, 11:00:12 */
    for (int minute = 0; minute < 59; minute++) {
        asked += due(&r);
        turn(&r, 1);
    }
    assert_int_equal(asked, 4);
    assert_int_equal(db_read(r.store->db, fails_fn, &told, NULL), ERR_OK);
    assert_int_equal(told, 0);
    for (int minute = 0; minute < 10; minute++) {
        turn(&r, 1);
        (void)due(&r);
    }
    assert_int_equal(db_read(r.store->db, fails_fn, &told, NULL), ERR_OK);
    assert_true(told != 0);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 504, "{}");
    for (int hour = 0; hour < 3 * 24; hour++) {
        turn(&r, 60);
        (void)due(&r);
    }
    assert_in_range(rig_seen(&r, "POST", QUERY), 3, 12); /* not each hour */
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"1\"}"));
    turn(&r, 24 * 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(row(&r).failing, 0);
    turn(&r, 2 * 24 * 60); /* and it is again as it was */
    assert_int_equal(due(&r), 0);
    turn(&r, 24 * 60);
    assert_int_equal(due(&r), 1);
    rig_close(&r);
}

/* The day's running time is used up, say: Defender names a time hours ahead. People hear of it within the hour all the same, and
 * nothing is asked before that time. */
static void test_hunting__one_that_is_put_off_for_hours_is_told_within_the_hour(void **state)
{
    struct rig r;
    int64_t told = 0;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    rig_afresh(&r);
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = QUERY,
                                              .status = 429,
                                              .headers = "Retry-After: 36000\r\n",
                                              .body = "{}"});
    turn(&r, 49);
    assert_int_equal(due(&r), 1);
    for (int minute = 0; minute < 9 * 60; minute++) {
        turn(&r, 1);
        assert_int_equal(due(&r), 0);
        assert_int_equal(db_read(r.store->db, fails_fn, &told, NULL), ERR_OK);
        if (minute < 58 || minute > 60)
            assert_int_equal(told != 0, minute > 60);
    }
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"1\"}"));
    turn(&r, 70);
    assert_int_equal(due(&r), 1);
    assert_int_equal(row(&r).failing, 0);
    rig_close(&r);
}

struct noting {
    int64_t hunt;
    const char *key;
    bool untold;
};

static enum err_code note_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct noting *n = arg;

    return hunt_row_put(tx, n->hunt, n->key, n->untold, 1736244672000, e);
}

static enum err_code last_fn(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t created;

    return notice_last(tx, "hunt:x", "hunt_found", arg, &created, e);
}

static enum err_code fails_fn(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t created;

    return notice_last(tx, "hunt:x", "hunt_fails", arg, &created, e);
}

static enum err_code count_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT count(*) FROM hunt_rows", "");

    return code ? code : store_take_int(rows, arg, e);
}

/* More than an attachment holds: people are told that there is more, for no other mail tells of it. */
static void test_hunting__rows_without_room_are_not_kept_quiet(void **state)
{
    char *wide = calloc(1, 100001), *text = calloc(1, 500000);
    struct notice_record notice;
    struct buf words = BUF_INIT(1 << 20);
    int64_t last = 0;
    struct rig r;

    (void)state;
    assert_true(wide && text);
    memset(wide, 'w', 100000);
    (void)snprintf(text, 500000,
                   ANSWER("{\"n\":\"1\"},{\"n\":\"2%s\"},{\"n\":\"3%s\"},{\"n\":\"4%s\"}"), wide,
                   wide, wide);
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: row 1 */
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, text);
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
    assert_string_equal(notice.subject, "[HUNT] x: 3 new rows");
    for (const char *c = notice.message; *c; c++) /* lines are folded */
        if (strncmp(c, "=\r\n", 3) == 0)
            c += 2;
        else
            buf_addc(&words, *c);
    assert_non_null(strstr(buf_text(&words), "the attachment has 2 rows"));
    assert_non_null(strstr(buf_text(&words), "1 had no room in it"));
    buf_clear(&words);
    free(wide);
    free(text);
    rig_close(&r);
}

static enum err_code cut_fn(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t created;

    return notice_last(tx, "hunt:x", "hunt_cut", arg, &created, e);
}

/* As many rows as Defender gives out, day after day, and none of them new: there may be others, so that is no silence. */
static void test_hunting__an_answer_that_is_cut_is_told_though_nothing_is_new(void **state)
{
    AUTO(buf_clear) struct buf all = BUF_INIT(1 << 20);
    int64_t first = 0, last = 0;
    struct rig r;

    (void)state;
    buf_adds(&all, "{\"Schema\":[{\"Name\":\"n\"}],\"Results\":[{\"n\":1}");
    for (int i = 1; i < GRAPH_ROWS_MAX; i++)
        buf_adds(&all, ",{\"n\":1}");
    buf_adds(&all, "]}");
    open_hunt(&r, HUNT(""));
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, buf_text(&all));
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline */
    assert_int_equal(row(&r).rows, GRAPH_ROWS_MAX);
    assert_int_equal(db_read(r.store->db, cut_fn, &first, NULL), ERR_OK);
    assert_true(first != 0);
    for (int hour = 1; hour <= 24; hour++) {
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        assert_int_equal(db_read(r.store->db, cut_fn, &last, NULL), ERR_OK);
        assert_int_equal(last == first, hour < 24);
    }
    rig_close(&r);
}

/* docs/policy.md, "The kill switch": each mail says so while it lasts. */
static void test_hunting__its_mail_says_that_cordon_is_paused(void **state)
{
    const struct desk_order drill = {.who = "maria", .why = "a drill"};
    struct notice_record notice;
    int64_t last = 0;
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline */
    assert_int_equal(desk_pause(r.g, &drill, NULL), ERR_OK);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"2\"}"));
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
    assert_non_null(strstr(notice.message, "cordon is paused by maria: a drill"));
    rig_close(&r);
}

/* Noted as untold, and then the process died: the next run tells of it after all, and of nothing else. */
static void test_hunting__a_row_that_was_noted_but_not_told_is_told(void **state)
{
    static const char text[] = ANSWER("{\"n\":\"1\"},{\"n\":\"2\"},{\"n\":\"3\"}");
    AUTO(json_freep) struct json *doc = NULL;
    const struct text_list none = {0};
    struct hunt_answer t;
    struct hunt_key key;
    char keys[3][HUNT_KEY_SIZE];
    struct notice_record notice;
    int64_t last = 0;
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: row 1 */
    assert_int_equal(json_parse(text, sizeof text - 1, &doc, NULL), ERR_OK);
    assert_int_equal(hunt_answer_read(r.arena, doc, &t, NULL), ERR_OK);
    assert_int_equal(hunt_key_find(&t, &none, &key, NULL), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(hunt_row_key(&t, &key, i, keys[i], NULL), ERR_OK);
    for (size_t i = 1; i < 3; i++) {
        struct noting n = {.hunt = row(&r).id, .key = keys[i], .untold = i == 1};

        assert_int_equal(db_write(r.store->db, note_fn, &n, NULL), ERR_OK);
    }
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, text);
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_true(last > 0);
    assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
    assert_string_equal(notice.subject, "[HUNT] x: 1 new row");
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(row(&r).fresh, 0);
    rig_close(&r);
}

#define MANY_ROWS                                                                                  \
    "INSERT INTO hunt_rows (hunt, key, seen, untold) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL"  \
    " SELECT i + 1 FROM n WHERE i < 10500) SELECT hunts.id, 'k' || i, 1736244672000, 0 FROM n, hunts"

/* Of a hunt that found much, all is not forgotten in one transaction: every push would wait for seconds. */
static void test_hunting__many_rows_are_forgotten_a_few_at_a_time(void **state)
{
    struct db_counts before, after;
    struct hunt_record *list;
    int64_t n = 0, runs = 0;
    struct rig r;
    struct work w;
    size_t hunts;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: row 1 */
    rig_sql(&r, MANY_ROWS);
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY
                                "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, "
                                "query: another, do: [email: {}]}\n"));
    turn(&r, 60);
    db_counts(r.store->db, &before);
    assert_int_equal(due(&r), 1); /* another baseline */
    db_counts(r.store->db, &after);
    assert_in_range(after.commits - before.commits, 10, 20);
    assert_int_equal(db_read(r.store->db, count_fn, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    rig_sql(&r, MANY_ROWS);
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    turn(&r, 60);
    for (; rig_claim(&r, WORK_HUNT, &w); runs++)
        hunting_run(r.g, &w);
    assert_in_range(runs, 10, 20);
    assert_int_equal(db_read(r.store->db, count_fn, &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(store_hunt_list(r.store, r.arena, &list, &hunts, NULL), ERR_OK);
    assert_int_equal(hunts, 0);
    rig_close(&r);
}

/* A hunt that comes back while it is forgotten has no half of what it knew: what it finds is no news. */
static void test_hunting__one_that_comes_back_while_it_is_forgotten_begins_anew(void **state)
{
    int64_t told = 0;
    struct rig r;
    struct work w;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: row 1 */
    rig_sql(&r, MANY_ROWS);
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    turn(&r, 60);
    assert_true(rig_claim(&r, WORK_HUNT, &w));
    hunting_run(r.g, &w);
    rig_sql(&r, "DELETE FROM hunt_rows"); /* whichever are gone by now */
    engine_use(r.g, rig_runtime(&r, HUNT("")));
    assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
    (void)due(&r);
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(db_read(r.store->db, last_fn, &told, NULL), ERR_OK);
    assert_int_equal(told, 0);
    rig_close(&r);
}

/* A report of thousands of rows that are all new each day: those of a month ago go as fast as they come. */
static void test_hunting__as_many_old_rows_are_forgotten_as_new_ones_come(void **state)
{
    enum { ROWS = 1500 };
    AUTO(buf_clear) struct buf answer = BUF_INIT(1 << 20);
    int64_t most = 0;
    struct rig r;

    (void)state;
    rig_open(&r, HUNT(""));
    assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    for (int run = 0; run < 5; run++) {
        buf_reset(&answer);
        buf_adds(&answer, "{\"Schema\":[{\"Name\":\"n\"}],\"Results\":[");
        for (int i = 0; i < ROWS; i++)
            buf_addf(&answer, "%s{\"n\":\"%d-%d\"}", i ? "," : "", run, i);
        buf_adds(&answer, "]}");
        rig_afresh(&r);
        rig_says(&r, "POST", QUERY, 0, 200, buf_text(&answer));
        assert_int_equal(due(&r), 1);
        assert_int_equal(db_read(r.store->db, count_fn, &most, NULL), ERR_OK);
        assert_true(most <= 2 * ROWS);
        turn(&r, 36 * 24 * 60);
    }
    rig_close(&r);
}

/* No case is made that could not be kept; with room again, what was found meanwhile becomes one. Who ordered a run hears
 * why there is none, and a dry one is answered. */
static void test_hunting__a_full_store_is_not_filled_further(void **state)
{
    struct hunting_order order = {.name = "x", .who = "soc"};
    int64_t id;
    struct rig r;
    struct work w;

    (void)state;
    open_hunt(&r, RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, "
                                  "query: q, do: [case: {severity: Low}]}\n");
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline */
    rig_afresh(&r);
    rig_says(
        &r, "POST", QUERY, 0, 200,
        "{\"Schema\":[{\"Name\":\"AlertId\",\"Type\":\"String\"}],\"Results\":[{\"AlertId\":\"" ALERT
        "\"}]}");
    turn(&r, 59);
    r.store->full = true;
    turn(&r, 1);
    assert_int_equal(due(&r), 0);
    for (int i = 0; i < 10; i++) {
        hands_turn(&r.hands, 30 * SECOND_MS);
        assert_int_equal(due(&r), 0);
    }
    assert_int_equal(hunting_order(r.g, &order, &id, NULL), ERR_OK);
    assert_int_equal(due(&r), 0);
    assert_non_null(strstr(row(&r).result, "store.max_size"));
    order.dry = true;
    assert_int_equal(hunting_order(r.g, &order, &id, NULL), ERR_OK);
    assert_int_equal(due(&r), 1);
    assert_false(rig_claim(&r, WORK_CASE, &w));
    r.store->full = false;
    turn(&r, 1);
    assert_int_equal(due(&r), 1);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    rig_close(&r);
}

/* A source that may isolate pushes the alert. Returns its case. */
static int64_t push(struct rig *r)
{
    const struct alert_ref ref = {.alert_id = ALERT, .machine_id = MACHINE};
    const struct notification n = {.tenant = "contoso",
                                   .source = "relay",
                                   .may_isolate = true,
                                   .received_ms = clock_wall_ms(r->g->clock),
                                   .alerts = &ref,
                                   .count = 1};
    sem_t done;
    struct acceptance accepted = {.n = &n, .ctx = &done};

    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(r->store, &accepted, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    return accepted.cases[0];
}

/* A hunt that is being tried out takes nothing from a source that may isolate: which of the two comes first, the alert is
 * judged as that one's. */
static void test_hunting__shadow_mode_is_weaker_than_a_push(void **state)
{
    static const char config[] =
        RULES_ISOLATE_AND_MAIL "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, "
                               "query: q, mode: shadow, do: [case: {}]}\n";
    static const char none[] = "{\"Schema\":[{\"Name\":\"AlertId\"}],\"Results\":[]}";
    static const char one[] =
        "{\"Schema\":[{\"Name\":\"AlertId\"}],\"Results\":[{\"AlertId\":\"" ALERT "\"}]}";
    struct rig r;

    (void)state;
    rig_open(&r, config);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 1, 200, none);
    rig_says(&r, "POST", QUERY, 0, 200, one);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: nothing */
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    (void)push(&r);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_close(&r);
}

/* An alert that the hunt has made is seen by polling and by whoever pushes all alerts: none of them does to the machine
 * what the hunt may not. Nor where Defender's answer to the making was lost, so that the hunt does not know of its alert
 * before they do. */
static void test_hunting__nobody_goes_beyond_the_hunt_that_made_the_alert(void **state)
{
    static const char copy[] = /* of x, with another query, say, and tried out beside it */
        "  - {name: y, schedule: '0 0 1 1 *', api: defender, query: q, mode: shadow, do: [case: "
        "{severity: High, title: x, description: \"Found by cordon's hunt x.\"}]}\n";
    static const struct {
        const char *right;
        bool lost;
        size_t isolated;
        const char *beside;
    } rows[] = {{"may: [notify]", false, 0, ""}, {"mode: shadow", false, 0, ""},
                {"mode: live", false, 1, ""},    {"may: [notify]", true, 0, ""},
                {"mode: shadow", true, 0, ""},   {"mode: live", true, 1, ""},
                {"mode: live", false, 1, copy}};
    static const char columns[] = "{\"Schema\":[{\"Name\":\"Timestamp\"},{\"Name\":\"DeviceId\"},"
                                  "{\"Name\":\"ReportId\"}],\"Results\":[%s]}";
    static const char made[] = "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"title\":\"x\","
                               "\"description\":\"Found by cordon's hunt x.\","
                               "\"machineId\":\"" MACHINE "\"}";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char config[800], none[300], one[500];
        int64_t id;
        struct rig r;

        print_message("  %s%s%s\n", rows[i].right, rows[i].lost ? ", lost" : "", rows[i].beside);
        (void)snprintf(config, sizeof config,
                       RULES_ISOLATE_AND_MAIL
                       "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, "
                       "%s, do: [case: {severity: High}]}\n%s",
                       rows[i].right, rows[i].beside);
        (void)snprintf(none, sizeof none, columns, "");
        (void)snprintf(one, sizeof one, columns,
                       "{\"Timestamp\":\"2025-01-07T11:59:00Z\",\"DeviceId\":\"" MACHINE
                       "\",\"ReportId\":7}");
        rig_open(&r, config);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, made);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "POST", QUERY, 1, 200, none);
        rig_says(&r, "POST", QUERY, 0, 200, one);
        if (rows[i].lost)
            rig_says(&r, "POST", "/api/alerts/CreateAlertByReference", 1, 504, "");
        rig_says(&r, "POST", "/api/alerts/CreateAlertByReference", 0, 200, made);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        assert_int_equal(due(&r), 1); /* the baseline: nothing */
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        assert_int_equal(rig_seen(&r, "POST", "/api/alerts/CreateAlertByReference"), 1);
        if (!rows[i].lost)
            (void)rig_work(&r);
        id = push(&r);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolated);
        if (rows[i].lost) {
            turn(&r, 1);
            assert_int_equal(due(&r), 1);
            (void)rig_work(&r);
            assert_int_equal(rig_seen(&r, "POST", "/api/alerts/CreateAlertByReference"), 2);
        }
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolated);
        assert_string_equal(rig_case(&r, id).source,
                            rows[i].lost && rows[i].isolated ? "relay" : "hunt:x");
        rig_close(&r);
    }
}

/* Nor where the hunt lost its right after the alert was judged as of whoever pushed it, and before Defender took the request. */
static void test_hunting__nobody_goes_beyond_what_the_hunt_may_by_the_time_of_the_request(
    void **state)
{
#define HUNT_X(right)                                                                              \
    RULES_ISOLATE_AND_MAIL                                                                         \
    "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, " right                 \
    ", do: [case: {severity: High}]}\n"
    static const char made[] = "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"title\":\"x\","
                               "\"description\":\"Found by cordon's hunt x.\","
                               "\"machineId\":\"" MACHINE "\"}";
    static const char throttled[] = "{\"error\":{\"code\":\"429\",\"message\":\"in 8 seconds\"}}";
    static const struct {
        const char *label, *config;
        bool
            asked; /* Defender has not taken the request yet; else it could not be looked at before it */
        size_t isolated;
    } rows[] = {{"not asked for yet", HUNT_X("may: [notify]"), false, 0},
                {"not asked for yet, and tried out", HUNT_X("mode: shadow"), false, 0},
                {"asked for in vain", HUNT_X("may: [notify]"), true, 0},
                {"asked for in vain, and tried out", HUNT_X("mode: shadow"), true, 0},
                {"as before", HUNT_X("mode: live"), false, 1},
                {"as before, asked for in vain", HUNT_X("mode: live"), true, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, HUNT_X("mode: live"));
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, made);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        if (!rows[i].asked)
            rig_says(&r, "GET", LIST, 2, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (rows[i].asked)
            rig_says(&r, "POST", ISOLATE, 1, 429, throttled);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        (void)push(&r);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].asked);
        engine_use(r.g, rig_runtime(&r, rows[i].config));
        rig_pass(&r, 30 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].asked + rows[i].isolated);
        rig_close(&r);
    }
}

#define OTHER_MACHINE     "0123456789abcdef0123456789abcdef01234567"
#define EVIDENCE(machine) "{\"AlertId\":\"" ALERT "\",\"DeviceId\":\"" machine "\"}"

/* Evidence of an alert is of all machines that it touched, a row for each: that one of them is not the alert's own is no
 * contradiction. But where all rows say the same, and Defender something else, it is one. */
static void test_hunting__an_alert_with_evidence_of_several_machines_is_its_own_machines(
    void **state)
{
    static const struct {
        const char *rows;
        size_t isolated;
    } rows[] = {
        {EVIDENCE(OTHER_MACHINE) "," EVIDENCE(MACHINE), 1},
        {EVIDENCE(MACHINE) "," EVIDENCE(OTHER_MACHINE), 1},
        {EVIDENCE(MACHINE) "," EVIDENCE(MACHINE), 1},
        {EVIDENCE("") "," EVIDENCE(MACHINE), 1},
        {EVIDENCE(OTHER_MACHINE) "," EVIDENCE(OTHER_MACHINE), 0},
        {EVIDENCE(OTHER_MACHINE), 0},
    };
    static const char columns[] =
        "{\"Schema\":[{\"Name\":\"AlertId\"},{\"Name\":\"DeviceId\"}],\"Results\":[%s]}";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char none[200], some[600];
        struct rig r;

        (void)snprintf(none, sizeof none, columns, "");
        (void)snprintf(some, sizeof some, columns, rows[i].rows);
        rig_open(&r, RULES_ISOLATE_AND_MAIL
                 "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, "
                 "query: q, do: [case: {}]}\n");
        rig_afresh(&r);
        rig_says(&r, "POST", QUERY, 1, 200, none);
        rig_says(&r, "POST", QUERY, 0, 200, some);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200,
                 "{\"id\":\"" OTHER_MACHINE "\"}");
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        assert_int_equal(due(&r), 1); /* the baseline: nothing */
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        (void)rig_work(&r);
        print_message("  %s\n", rows[i].rows);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolated);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/" OTHER_MACHINE), 0);
        rig_close(&r);
    }
}

#define EVENT(report)                                                                              \
    "{\"Timestamp\":\"2025-01-07T11:59:00Z\",\"DeviceId\":\"" MACHINE "\",\"ReportId\":" report "}"

/* While an alert with the hunt's title is open on the machine Defender makes no other one, and its case is over: what the
 * hunt finds there from then on would be neither a case nor a mail. Rows found together are of one case. */
static void test_hunting__an_event_that_comes_to_a_case_that_is_over_is_told(void **state)
{
    static const struct {
        const char *steps, *first, *second; /* subjects of the last mail */
    } rows[] = {{"", NULL, "[HUNT] x: 1 new row"},
                {"email: {}, ", "[HUNT] x: 2 new rows", "[HUNT] x: 1 new row"}};
    static const char columns[] = "{\"Schema\":[{\"Name\":\"Timestamp\"},{\"Name\":\"DeviceId\"},"
                                  "{\"Name\":\"ReportId\"}],\"Results\":[%s]}";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char config[500], none[300], two[600], three[900];
        int64_t first = 0, second = 0, third = 0;
        struct notice_record notice;
        struct rig r;

        (void)snprintf(config, sizeof config,
                       RULES_MAIL_ONLY
                       "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, "
                       "do: [%scase: {severity: High}]}\n",
                       rows[i].steps);
        (void)snprintf(none, sizeof none, columns, "");
        (void)snprintf(two, sizeof two, columns, EVENT("7") "," EVENT("8"));
        (void)snprintf(three, sizeof three, columns, EVENT("7") "," EVENT("8") "," EVENT("9"));
        rig_open(&r, config);
        rig_afresh(&r);
        rig_says(&r, "POST", QUERY, 1, 200, none);
        rig_says(&r, "POST", QUERY, 1, 200, two);
        rig_says(&r, "POST", QUERY, 0, 200, three);
        rig_says(&r, "POST", "/api/alerts/CreateAlertByReference", 0, 200,
                 "{\"id\":\"" ALERT "\"}");
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        assert_int_equal(due(&r), 1); /* the baseline: nothing */
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", "/api/alerts/CreateAlertByReference"), 2);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 1);
        assert_int_equal(db_read(r.store->db, last_fn, &first, NULL), ERR_OK);
        assert_int_equal(first != 0, rows[i].first != NULL);
        if (first) {
            assert_int_equal(store_notice_load(r.store, r.arena, first, &notice, NULL), ERR_OK);
            assert_string_equal(notice.subject, rows[i].first);
            assert_null(strstr(notice.message, "could not become cases"));
        }
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        (void)rig_work(&r);
        assert_int_equal(db_read(r.store->db, last_fn, &second, NULL), ERR_OK);
        assert_true(second != first);
        assert_int_equal(store_notice_load(r.store, r.arena, second, &notice, NULL), ERR_OK);
        assert_string_equal(notice.subject, rows[i].second);
        assert_non_null(strstr(notice.message, "could not become cases"));
        turn(&r, 60); /* once */
        assert_int_equal(due(&r), 1);
        assert_int_equal(db_read(r.store->db, last_fn, &third, NULL), ERR_OK);
        assert_true(third == second);
        assert_int_equal(rig_seen(&r, "POST", "/api/alerts/CreateAlertByReference"), 3);
        rig_close(&r);
    }
}

/* So it would be with what happens while a hunt fails for hours: its case began meanwhile, by what was found before, and is
 * over. What was found with that is of it. */
static void test_hunting__an_event_that_happens_while_the_hunt_fails_is_told(void **state)
{
    static const char create[] = "/api/alerts/CreateAlertByReference";
    static const char columns[] = "{\"Schema\":[{\"Name\":\"Timestamp\"},{\"Name\":\"DeviceId\"},"
                                  "{\"Name\":\"ReportId\"}],\"Results\":[%s]}";
    char none[300], two[600], three[900];
    struct notice_record notice;
    int64_t last = 0;
    struct rig r;

    (void)state;
    (void)snprintf(none, sizeof none, columns, "");
    (void)snprintf(two, sizeof two, columns, EVENT("7") "," EVENT("8"));
    (void)snprintf(three, sizeof three, columns,
                   EVENT("7") "," EVENT("8") ",{\"Timestamp\":\"2025-01-07T14:30:00Z\","
                                             "\"DeviceId\":\"" MACHINE "\",\"ReportId\":9}");
    rig_open(&r, RULES_MAIL_ONLY
             "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, "
             "do: [case: {severity: High}]}\n");
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 1, 200, none);
    rig_says(&r, "POST", QUERY, 0, 200, two);
    rig_says(&r, "POST", create, 1, 200, "{\"id\":\"" ALERT "\"}");
    rig_says(&r, "POST", create, 0, 503, "{}");
    assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: nothing */
    turn(&r, 60);                 /* 12:00:12 */
    assert_int_equal(due(&r), 1);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 1);
    assert_true(row(&r).failing > 0);
    for (int hour = 0; hour < 2; hour++) {
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
    }
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, three);
    rig_says(&r, "POST", create, 0, 200, "{\"id\":\"" ALERT "\"}");
    turn(&r, 60); /* 15:00:12 */
    assert_int_equal(due(&r), 1);
    assert_int_equal(rig_seen(&r, "POST", create), 2);
    assert_int_equal(row(&r).failing, 0);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_true(last != 0);
    assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
    assert_string_equal(notice.subject, "[HUNT] x: 1 new row");
    rig_close(&r);
}

/* What comes to light late may have happened before its case began: found in a later try alone, it is told all the same. */
static void test_hunting__an_event_that_a_later_try_finds_is_told(void **state)
{
    static const char create[] = "/api/alerts/CreateAlertByReference";
    static const char columns[] = "{\"Schema\":[{\"Name\":\"Timestamp\"},{\"Name\":\"DeviceId\"},"
                                  "{\"Name\":\"ReportId\"}],\"Results\":[%s]}";
    static const struct {
        const char *second, *third; /* answers, once the first alert was made */
    } rows[] = {
        {EVENT("7") "," EVENT("8") "," EVENT("9"), NULL},
        {EVENT("9") "," EVENT("7") "," EVENT("8"), NULL},
        {EVENT("7") "," EVENT("8"), EVENT("9") "," EVENT("7") "," EVENT("8")},
        {EVENT("7") "," EVENT("8") "," EVENT("9"), EVENT("7") "," EVENT("8") "," EVENT("9")}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char none[300], two[600], second[900], third[900];
        struct notice_record notice;
        int64_t last = 0;
        struct rig r;

        print_message("row %zu\n", i);
        (void)snprintf(none, sizeof none, columns, "");
        (void)snprintf(two, sizeof two, columns, EVENT("7") "," EVENT("8"));
        (void)snprintf(second, sizeof second, columns, rows[i].second);
        (void)snprintf(third, sizeof third, columns, rows[i].third ? rows[i].third : "");
        rig_open(&r, RULES_MAIL_ONLY
                 "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, "
                 "do: [case: {severity: High}]}\n");
        rig_afresh(&r);
        rig_says(&r, "POST", QUERY, 1, 200, none);
        rig_says(&r, "POST", QUERY, 1, 200, two);
        rig_says(&r, "POST", QUERY, rows[i].third ? 1 : 0, 200, second);
        rig_says(&r, "POST", QUERY, 0, 200, third);
        rig_says(&r, "POST", create, 1, 200, "{\"id\":\"" ALERT "\"}");
        rig_says(&r, "POST", create, rows[i].third ? 2 : 1, 503, "{}");
        rig_says(&r, "POST", create, 0, 200, "{\"id\":\"" ALERT "\"}");
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        assert_int_equal(due(&r), 1); /* the baseline: nothing */
        turn(&r, 60);                 /* 12:00:12; the events are of 11:59 */
        assert_int_equal(due(&r), 1);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 1);
        for (int tries = rows[i].third ? 2 : 1; tries; tries--) {
            assert_true(row(&r).failing > 0);
            turn(&r, 1);
            assert_int_equal(due(&r), 1);
        }
        assert_int_equal(row(&r).failing, 0);
        assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
        assert_true(last != 0);
        assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
        assert_string_equal(notice.subject, "[HUNT] x: 1 new row");
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        assert_int_equal(row(&r).fresh, 0); /* and once */
        rig_close(&r);
    }
}

/* Defender takes a dozen requests for alerts a minute. Events that it refuses are asked for once, or those at the head
 * of an answer would use up the minute's calls each time, and what comes after them would never be a case. */
static void test_hunting__what_is_refused_holds_up_nothing_after_it(void **state)
{
    static const char config[] =
        RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, "
                        "do: [%scase: {severity: Low}]}\n";
    static const char *const steps[] = {"", "email: {}, "};
    enum { REFUSED = 15 };

    (void)state;
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        AUTO(buf_clear) struct buf none = BUF_INIT(1 << 16), all = BUF_INIT(1 << 16);
        struct notice_record notice;
        int64_t last = 0;
        char text[500];
        struct rig r;
        struct work w;

        buf_adds(&none, "{\"Schema\":[{\"Name\":\"Timestamp\"},{\"Name\":\"DeviceId\"},"
                        "{\"Name\":\"ReportId\"},{\"Name\":\"AlertId\"}],\"Results\":[");
        buf_adds(&all, buf_text(&none));
        buf_adds(&none, "]}");
        for (int i = 0; i < REFUSED; i++)
            buf_addf(&all,
                     "{\"Timestamp\":\"2025-01-07T11:59:00Z\",\"DeviceId\":\"" MACHINE
                     "\",\"ReportId\":%d},",
                     i);
        buf_adds(&all, "{\"AlertId\":\"" ALERT "\"}]}");
        (void)snprintf(text, sizeof text, config, steps[s]);
        rig_open(&r, text);
        rig_afresh(&r);
        rig_says(&r, "POST", QUERY, 1, 200, buf_text(&none));
        rig_says(&r, "POST", QUERY, 0, 200, buf_text(&all));
        rig_says(&r, "POST", "/api/alerts/CreateAlertByReference", 0, 404,
                 "{\"error\":{\"code\":\"NotFound\",\"message\":\"no such event\"}}");
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        assert_int_equal(due(&r), 1); /* the baseline: nothing */
        turn(&r, 60);
        for (int minute = 0; minute < 10; minute++) {
            (void)due(&r);
            turn(&r, 1);
        }
        assert_true(rig_claim(&r, WORK_CASE, &w));
        assert_int_equal(rig_seen(&r, "POST", "/api/alerts/CreateAlertByReference"), REFUSED);
        assert_int_equal(row(&r).failing, 0);
        assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
        assert_true(last > 0);
        assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
        assert_string_equal(notice.subject, s ? "[HUNT] x: 16 new rows" : "[HUNT] x: 15 new rows");
        rig_close(&r);
    }
}

/* Where nobody can be mailed, what can be no case is posted to the webhooks; nothing else would tell of it. */
static void test_hunting__what_is_no_case_is_posted_where_nobody_can_be_mailed(void **state)
{
    static const char config[] =
        "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n" RULES_MAIL_ONLY
        "hunts:\n  - {name: x, schedule: '0 * * * *', api: defender, query: q, do: [case: {}]}\n";
    AUTO(buf_clear) struct buf all = BUF_INIT(1 << 16);
    struct notice_record notice;
    struct runtime *rt;
    int64_t last = 0;
    struct rig r;

    (void)state;
    rig_open(&r, config);
    rt = rig_runtime(&r, config);
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    rig_afresh(&r);
    for (int i = 1; i <= 7; i++)
        buf_addf(&all, "%s{\"n\":\"http://e%d.example/\"}", i > 1 ? "," : "", i);
    rig_says(&r, "POST", QUERY, 1, 200, ANSWER(""));
    rig_says(&r, "POST", QUERY, 0, 200, arena_fmt(r.arena, ANSWER("%s"), buf_text(&all)));
    assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
    assert_int_equal(due(&r), 0);
    turn(&r, 49);
    assert_int_equal(due(&r), 1); /* the baseline: nothing */
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(db_read(r.store->db, last_fn, &last, NULL), ERR_OK);
    assert_true(last != 0);
    assert_int_equal(store_notice_load(r.store, r.arena, last, &notice, NULL), ERR_OK);
    assert_string_equal(notice.channel, "webhook:siem");
    assert_string_equal(notice.subject, "[CORDON] the hunt x found 7 new rows");
    assert_non_null(strstr(notice.message, "a case needs AlertId"));
    assert_non_null(strstr(notice.message, "5 of 7 rows"));
    assert_non_null(strstr(notice.message, "e1[.]example"));
    assert_null(strstr(notice.message, "http://e")); /* a stranger's link is none */
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    assert_int_equal(row(&r).fresh, 0); /* and once */
    rig_close(&r);
}

static const char *name_of(int i, char out[16])
{
    (void)snprintf(out, 16, "c%d", i);
    return out;
}

/* A row may be wider, when its cells are escaped, than an order's answer holds: the answer is whole without it. */
static void test_hunting__an_order_is_answered_whatever_it_found(void **state)
{
    struct hunting_order order = {.name = "x", .who = "soc", .dry = true};
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 20);
    AUTO(json_freep) struct json *result = NULL;
    struct json_out o = JSON_OUT(&text);
    int64_t id;
    struct rig r;
    char cell[401], name[16];

    (void)state;
    memset(cell, '\x01', sizeof cell - 1);
    cell[sizeof cell - 1] = '\0';
    json_out_object(&o, NULL);
    json_out_array(&o, "Schema");
    for (int i = 0; i < HUNT_COLUMNS_MAX; i++) {
        json_out_object(&o, NULL);
        json_out_string(&o, "Name", name_of(i, name));
        json_out_string(&o, "Type", "String");
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_array(&o, "Results");
    json_out_object(&o, NULL);
    for (int i = 0; i < HUNT_COLUMNS_MAX; i++)
        json_out_string(&o, name_of(i, name), cell);
    json_out_object_end(&o);
    json_out_array_end(&o);
    json_out_object_end(&o);
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 200, buf_text(&text));
    assert_int_equal(hunting_order(r.g, &order, &id, NULL), ERR_OK);
    assert_int_equal(due(&r), 1);
    assert_int_equal(json_parse(row(&r).result, strlen(row(&r).result), &result, NULL), ERR_OK);
    assert_null(json_get_string(result, "error"));
    assert_int_equal(json_count(json_get(result, "sample")), 0);
    rig_close(&r);
}

/* An order takes the place of one that waits, so it is of the same kind: nobody's dry run makes cases, and nobody who wants a
 * real one is shown a dry one for it. */
static void test_hunting__an_order_of_another_kind_waits_for_the_first(void **state)
{
    int64_t id, other, third;

    (void)state;
    for (int dry = 0; dry < 2; dry++) {
        struct hunting_order first = {.name = "x", .who = "ann", .dry = dry};
        struct hunting_order second = {.name = "x", .who = "bob", .dry = !dry};
        struct err e = {0};
        struct rig r;

        open_hunt(&r, HUNT(""));
        assert_int_equal(due(&r), 0);
        assert_int_equal(hunting_order(r.g, &first, &id, &e), ERR_OK);
        assert_int_equal(hunting_order(r.g, &second, &other, &e), ERR_CONFLICT);
        assert_non_null(strstr(e.text, dry ? "a dry run" : "a real run"));
        assert_int_equal(hunting_order(r.g, &first, &third, &e), ERR_OK);
        assert_int_equal(due(&r), 1);
        assert_int_equal(row(&r).ran != 0, !dry);
        assert_int_equal(hunting_order(r.g, &second, &other, &e), ERR_OK);
        assert_int_equal(due(&r), 1);
        assert_true(row(&r).ran != 0);
        rig_close(&r);
    }
}

/* An order is a run more, not the next one before its time. */
static void test_hunting__an_ordered_run_leaves_the_next_time_alone(void **state)
{
    struct hunting_order order = {.name = "x", .who = "soc"};
    int64_t id;
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    for (int i = 0; i < 3; i++) {
        turn(&r, 1);
        assert_int_equal(hunting_order(r.g, &order, &id, NULL), ERR_OK);
        assert_int_equal(due(&r), 1);
    }
    turn(&r, 45); /* 10:59:12 */
    assert_int_equal(due(&r), 0);
    turn(&r, 1);
    assert_int_equal(due(&r), 1);
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    rig_close(&r);
}

/* The clock was a week ahead for a while: the hunt does not wait for that week to pass, and looks at what came since. */
static void test_hunting__goes_on_after_the_clock_was_set_back(void **state)
{
    const int64_t week = 7 * 24 * 60;
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT("look_back: 5m, "));
    assert_int_equal(due(&r), 0);
    turn(&r, 49); /* 11:00:12 */
    assert_int_equal(due(&r), 1);
    turn(&r, week);
    assert_int_equal(due(&r), 1);
    turn(&r, 10 - week); /* 11:10:12 */
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    assert_int_equal(due(&r), 0);
    assert_true(row(&r).due < clock_wall_ms(r.g->clock) + 50 * MINUTE_MS);
    assert_true(row(&r).covered <= clock_wall_ms(r.g->clock) - 10 * MINUTE_MS);
    turn(&r, 49);
    assert_int_equal(due(&r), 0);
    turn(&r, 1); /* 12:00:12 */
    assert_int_equal(due(&r), 1);
    rig_close(&r);
}

/* Nor for longer: run by a clock that is a week ahead, hour after hour, it looks at each hour that passes at Defender, and so
 * it does when the clock is right again. */
static void test_hunting__looks_at_all_hours_whatever_the_clock_says(void **state)
{
    const int64_t week = 7 * 24 * 60;
    struct defender_reads reads;
    struct rig r;

    (void)state;
    open_hunt(&r, HUNT("look_back: 5m, "));
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"1\"}"));
    rig_says_dated(&r, GET_MACHINE, MACHINE_DOC, 0);
    defender_read(r.g->runtime->tenants[0].defender, NULL, MACHINE, DEFENDER_READ_MACHINE, &reads);
    assert_int_equal(reads.machine_code, ERR_OK);
    defender_reads_clear(&reads);
    assert_int_equal(due(&r), 0);
    turn(&r, 49); /* 11:00:12 */
    assert_int_equal(due(&r), 1);
    atomic_fetch_add(&r.hands.wall, week * MINUTE_MS);
    for (int hour = 1; hour <= 4; hour++) {
        int64_t there = clock_wall_ms(r.g->clock) - week * MINUTE_MS;

        assert_int_equal(due(&r), 1);
        assert_in_range(row(&r).covered, there - SECOND_MS, there + SECOND_MS);
        turn(&r, 60);
    }
    atomic_fetch_sub(&r.hands.wall, week * MINUTE_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    (void)due(&r);
    assert_true(row(&r).covered <= clock_wall_ms(r.g->clock));
    rig_close(&r);
}

/* The same when the hunt has other times by then, and when it was last run by an order, between two of its times. */
static void test_hunting__looks_back_to_its_last_run_however_the_clock_stood(void **state)
{
    static const struct {
        const char *before, *after;
        bool ordered;
        int64_t ahead_m;
    } rows[] = {
        {"0 * * * *", "30 * * * *", false, 7 * 24 * 60},
        {"0 11 * * *", "0 11 * * *", true, 5 * 60},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char config[] =
            RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '%s', api: defender, query: q, "
                            "look_back: 5m, do: [email: {}]}\n";
        struct hunting_order order = {.name = "x", .who = "soc"};
        struct rig r;
        char text[400];
        int64_t id;

        (void)snprintf(text, sizeof text, config, rows[i].before);
        open_hunt(&r, text);
        assert_int_equal(due(&r), 0);
        turn(&r, 49); /* 11:00:12 */
        assert_int_equal(due(&r), 1);
        turn(&r, rows[i].ahead_m);
        if (rows[i].ordered)
            assert_int_equal(hunting_order(r.g, &order, &id, NULL), ERR_OK);
        assert_int_equal(due(&r), 1);
        turn(&r, 10 - rows[i].ahead_m); /* 11:10:12 */
        (void)snprintf(text, sizeof text, config, rows[i].after);
        engine_use(r.g, rig_runtime(&r, text));
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        assert_int_equal(due(&r), 0);
        assert_true(row(&r).covered <= clock_wall_ms(r.g->clock) - 10 * MINUTE_MS);
        rig_close(&r);
    }
}

/* It began to fail while the clock was ahead: people hear of it when it has failed for an hour of theirs. */
static void test_hunting__one_that_began_to_fail_by_a_wrong_clock_is_told(void **state)
{
    const int64_t week = 7 * 24 * 60;
    struct rig r;
    int64_t told = 0;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    rig_afresh(&r);
    rig_says(&r, "POST", QUERY, 0, 504, "{}");
    turn(&r, 49 + week);
    assert_int_equal(due(&r), 1);
    turn(&r, -week); /* 11:00:12 */
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    for (int minute = 0; minute < 130; minute++) {
        turn(&r, 1);
        (void)due(&r);
    }
    assert_int_equal(db_read(r.store->db, fails_fn, &told, NULL), ERR_OK);
    assert_true(told != 0);
    rig_close(&r);
}

/* Another tenant's rows are no news because they are not this one's. What an earlier version noted names no tenant: it goes
 * on. */
static void test_hunting__another_tenant_is_another_baseline(void **state)
{
    static const char config[] =
        RULES_MAIL_ONLY "hunts:\n  - {name: x, tenant: %s, schedule: '0 * * * *', api: defender, "
                        "query: q, do: [email: {}]}\n";
    static const struct {
        const char *after;
        bool told;
    } rows[] = {{"fabrikam", false}, {"contoso", true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[400];
        int64_t told = 0;
        struct rig r;

        (void)snprintf(text, sizeof text, config, "contoso");
        open_hunt(&r, text);
        assert_int_equal(due(&r), 0);
        turn(&r, 49);
        assert_int_equal(due(&r), 1); /* the baseline: row 1 */
        rig_sql(&r, "UPDATE hunts SET query = substr(query, 1, 64)");
        r.tenants =
            arena_fmt(r.arena,
                      "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                      "    client_id: 5d1f0001-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                      "    client_secret_file: %s/secret\n    api_url: %s\n    login_url: %s\n",
                      r.dir, peer_url(r.peer), peer_url(r.peer));
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        turn(&r, 60);
        assert_int_equal(due(&r), 1); /* with the tenant, where that is noted */
        (void)snprintf(text, sizeof text, config, rows[i].after);
        engine_use(r.g, rig_runtime(&r, text));
        assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
        rig_afresh(&r);
        rig_says(&r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
        rig_says(&r, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"1\"},{\"n\":\"2\"}"));
        turn(&r, 60);
        assert_int_equal(due(&r), 1);
        assert_int_equal(db_read(r.store->db, last_fn, &told, NULL), ERR_OK);
        assert_int_equal(told != 0, rows[i].told);
        rig_close(&r);
    }
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
    ret->body =
        strdup(token ? "{\"expires_in\":35990,\"access_token\":\"t1\"}" : ANSWER("{\"n\":\"1\"}"));
    if (token)
        return;
    atomic_fetch_add(&x->asked, 1);
    if (!x->config)
        return;
    engine_use(x->r->g, rig_runtime(x->r, x->config));
    x->config = NULL;
    (void)hunting_start(x->r->g, NULL);
}

/* A schedule that is changed while the hunt runs, which may take minutes, is gone by at once. */
static void test_hunting__a_schedule_that_changes_meanwhile_is_gone_by(void **state)
{
    struct reloading x = {0};
    struct rig r;

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '0 11 * * *', api: defender, "
                                 "query: q, do: [email: {}]}\n");
    x.r = &r;
    x.config = RULES_MAIL_ONLY "hunts:\n  - {name: x, schedule: '*/5 * * * *', api: defender, "
                               "query: q, do: [email: {}]}\n";
    peer_answer_by(r.peer, answer_slowly, &x);
    assert_int_equal(hunting_start(r.g, NULL), ERR_OK);
    (void)due(&r);
    turn(&r, 49);
    (void)due(&r);
    assert_int_equal(x.asked, 1);
    turn(&r, 4);
    (void)due(&r);
    assert_int_equal(x.asked, 1);
    turn(&r, 1);
    (void)due(&r);
    assert_int_equal(x.asked, 2);
    rig_close(&r);
}

/* A hunt comes back while a run still goes by the configuration that did not have it. */
static void test_hunting__a_run_by_what_is_gone_by_ends_nothing(void **state)
{
    struct rig r;
    struct work w;

    (void)state;
    open_hunt(&r, HUNT(""));
    assert_int_equal(due(&r), 0);
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    turn(&r, 60);
    assert_true(rig_claim(&r, WORK_HUNT, &w));
    rig_reload_under_way(&r, HUNT(""), hunting_start);
    hunting_run(r.g, &w);
    (void)due(&r);
    turn(&r, 60);
    assert_int_equal(due(&r), 1);
    rig_close(&r);
}

/* Of a new hunt one replica is told before the other, which meets its row without knowing it: that ends neither the hunt nor
 * what it has seen. */
static void test_hunting__a_replica_that_was_not_told_yet_ends_nothing(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct rig told, other;
    struct work w;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    (void)postgres_url(url);
    rig_open_on(&told, HUNT(""), url);
    rig_open_on(&other, RULES_MAIL_ONLY, url);
    rig_afresh(&told);
    rig_says(&told, "POST", QUERY, 0, 200, ANSWER("{\"n\":\"1\"}"));
    turn(&told, 47); /* 10:58:12 */
    turn(&other, 47);
    assert_int_equal(hunting_start(told.g, NULL), ERR_OK);
    assert_int_equal(due(&told), 0);
    turn(&told, 2);
    turn(&other, 2);
    assert_true(rig_claim(&other, WORK_HUNT, &w));
    hunting_run(other.g, &w);
    assert_int_equal(due(&told), 0); /* in a moment */
    hands_turn(&told.hands, 2 * SECOND_MS);
    assert_int_equal(due(&told), 1);
    assert_true(row(&told).covered > 0);
    turn(&other, 60); /* and five minutes later it is taken for gone */
    assert_true(rig_claim(&other, WORK_HUNT, &w));
    hunting_run(other.g, &w);
    turn(&told, 60);
    assert_int_equal(due(&told), 0);
    rig_close(&told);
    rig_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hunting__runs_at_its_time),
        cmocka_unit_test(test_hunting__catches_up_once),
        cmocka_unit_test(test_hunting__what_is_beyond_the_horizon_is_not_made_up_for),
        cmocka_unit_test(test_hunting__who_waits_for_others_is_not_left_out),
        cmocka_unit_test(test_hunting__jitter_is_the_same_for_the_same_time),
        cmocka_unit_test(test_hunting__tries_again_a_few_times),
        cmocka_unit_test(test_hunting__one_that_seldom_runs_is_not_silent_when_it_fails),
        cmocka_unit_test(test_hunting__one_that_is_put_off_for_hours_is_told_within_the_hour),
        cmocka_unit_test(test_hunting__rows_without_room_are_not_kept_quiet),
        cmocka_unit_test(test_hunting__an_answer_that_is_cut_is_told_though_nothing_is_new),
        cmocka_unit_test(test_hunting__a_row_that_was_noted_but_not_told_is_told),
        cmocka_unit_test(test_hunting__as_many_old_rows_are_forgotten_as_new_ones_come),
        cmocka_unit_test(test_hunting__many_rows_are_forgotten_a_few_at_a_time),
        cmocka_unit_test(test_hunting__one_that_comes_back_while_it_is_forgotten_begins_anew),
        cmocka_unit_test(test_hunting__a_full_store_is_not_filled_further),
        cmocka_unit_test(test_hunting__shadow_mode_is_weaker_than_a_push),
        cmocka_unit_test(test_hunting__nobody_goes_beyond_the_hunt_that_made_the_alert),
        cmocka_unit_test(
            test_hunting__nobody_goes_beyond_what_the_hunt_may_by_the_time_of_the_request),
        cmocka_unit_test(
            test_hunting__an_alert_with_evidence_of_several_machines_is_its_own_machines),
        cmocka_unit_test(test_hunting__an_event_that_comes_to_a_case_that_is_over_is_told),
        cmocka_unit_test(test_hunting__an_event_that_happens_while_the_hunt_fails_is_told),
        cmocka_unit_test(test_hunting__an_event_that_a_later_try_finds_is_told),
        cmocka_unit_test(test_hunting__what_is_refused_holds_up_nothing_after_it),
        cmocka_unit_test(test_hunting__its_mail_says_that_cordon_is_paused),
        cmocka_unit_test(test_hunting__what_is_no_case_is_posted_where_nobody_can_be_mailed),
        cmocka_unit_test(test_hunting__an_order_is_answered_whatever_it_found),
        cmocka_unit_test(test_hunting__an_order_of_another_kind_waits_for_the_first),
        cmocka_unit_test(test_hunting__an_ordered_run_leaves_the_next_time_alone),
        cmocka_unit_test(test_hunting__another_tenant_is_another_baseline),
        cmocka_unit_test(test_hunting__goes_on_after_the_clock_was_set_back),
        cmocka_unit_test(test_hunting__looks_at_all_hours_whatever_the_clock_says),
        cmocka_unit_test(test_hunting__looks_back_to_its_last_run_however_the_clock_stood),
        cmocka_unit_test(test_hunting__one_that_began_to_fail_by_a_wrong_clock_is_told),
        cmocka_unit_test(test_hunting__a_schedule_that_changes_meanwhile_is_gone_by),
        cmocka_unit_test(test_hunting__a_run_by_what_is_gone_by_ends_nothing),
        cmocka_unit_test(test_hunting__a_replica_that_was_not_told_yet_ends_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
