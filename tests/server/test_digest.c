/* test_digest.c - what people hear each morning of what shadow mode held back. */
#include "digest.h"

#include "engine_kit.h"
#include "log.h"
#include "store_digests.h"

#define SHADOW                                                                                        \
    "rules:\n"                                                                                        \
    "  - {name: contain, mode: shadow, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n" \
    "  - {name: tell, do: [email: {}]}\n"

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

struct last {
    int64_t id, created;
};

static enum err_code last_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct last *l = arg;

    return notice_last(tx, "digest", NULL, &l->id, &l->created, e);
}

/* The last digest; id 0: there is none. */
static struct notice_record last(struct rig *r)
{
    struct last l = {0};
    struct notice_record n = {0};

    assert_int_equal(db_read(r->store->db, last_fn, &l, NULL), ERR_OK);
    if (l.id)
        assert_int_equal(store_notice_load(r->store, r->arena, l.id, &n, NULL), ERR_OK);
    return n;
}

static void watch(struct rig *r)
{
    struct err e = {0};

    if (digest_watch(r->g, &e))
        fail_msg("%s", e.text);
}

/* Is it due? Then it is run. */
static bool run(struct rig *r)
{
    struct work w;

    if (!rig_claim(r, WORK_DIGEST, &w))
        return false;
    assert_int_equal(w.id, DIGEST_ID);
    digest_run(r->g, &w);
    return true;
}

/* To the next 06:00 UTC, and a second more. */
static void till_morning(struct rig *r)
{
    int64_t now = clock_wall_ms(&r->hands.clock);
    int64_t into = (now - 6 * HOUR_MS) % DAY_MS;

    hands_turn(&r->hands, DAY_MS - into + SECOND_MS);
}

static void judge(struct rig *r, const char *alert_id)
{
    hands_turn(&r->hands, SECOND_MS);
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200,
             arena_fmt(r->arena,
                       "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}",
                       alert_id));
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    (void)rig_push(r, alert_id, NULL);
    (void)rig_work(r);
}

/* To ask is nothing that is done at Defender, and what would have been asked about would not have been done unasked. */
static void test_digest__what_would_have_been_asked_about_is_not_called_done(void **state)
{
    struct notice_record n;
    struct rig r;

    (void)state;
    rig_open(
        &r,
        "rules: [{name: contain, mode: shadow, do: [ask: {}, scan: {}, isolate: {}, email: {}]}]\n");
    log_divert(no_line, NULL);
    watch(&r);
    judge(&r, "da1");
    till_morning(&r);
    assert_true(run(&r));
    n = last(&r);
    assert_non_null(strstr(n.subject, "[CORDON] shadow mode held back 2 steps since 20"));
    assert_non_null(strstr(rig_text(&r, n.message), "scan (after a yes): 1 time, on 1 machine"));
    assert_non_null(strstr(rig_text(&r, n.message), "isolate (after a yes): 1 time, on 1 machine"));
    assert_null(strstr(rig_text(&r, n.message), "ask: 1 time"));
    log_divert(NULL, NULL);
    rig_close(&r);
}

static void test_digest__tells_once_a_day_what_was_held_back(void **state)
{
    struct notice_record n;
    struct rig r;

    (void)state;
    rig_open(&r, SHADOW);
    log_divert(no_line, NULL);
    watch(&r);
    watch(&r); /* the store has it already */
    assert_false(run(&r));
    judge(&r, "da1");
    judge(&r, "da2");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    till_morning(&r);
    assert_true(run(&r));
    n = last(&r);
    assert_non_null(strstr(n.subject, "[CORDON] shadow mode held back 2 steps since 20"));
    assert_string_equal(n.kind, "shadow_digest");
    assert_string_equal(n.recipients[0].address, "soc@contoso.example");
    assert_non_null(strstr(rig_text(&r, n.message), "Rule contain"));
    assert_non_null(
        strstr(rig_text(&r, n.message), "isolate: 2 times, on 1 machine of tenant contoso"));
    assert_non_null(strstr(rig_text(&r, n.message), "ws-114"));
    assert_non_null(strstr(rig_text(&r, n.message), "da1"));
    assert_non_null(strstr(rig_text(&r, n.message), "Audit head"));
    assert_non_null(strstr(rig_text(&r, n.message), "da2"));

    /* the next day: only what is new */
    assert_false(run(&r));
    judge(&r, "da3");
    till_morning(&r);
    assert_true(run(&r));
    assert_int_not_equal(last(&r).id, n.id);
    n = last(&r);
    assert_non_null(strstr(n.subject, "[CORDON] shadow mode held back 1 step since 20"));
    assert_null(strstr(rig_text(&r, n.message), "da1"));

    /* a day on which nothing was held back: the record's head is mailed all the same */
    till_morning(&r);
    assert_true(run(&r));
    assert_int_not_equal(last(&r).id, n.id);
    n = last(&r);
    assert_string_equal(n.kind, "daily");
    assert_non_null(strstr(n.subject, "[CORDON] daily report: 0 cases, 0 isolations since 20"));
    assert_non_null(strstr(rig_text(&r, n.message), "Audit head"));
    assert_null(strstr(rig_text(&r, n.message), "shadow"));
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* What is withheld for another reason would not have been done. */
static void test_digest__leaves_out_what_is_no_shadow(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, mode: shadow, do: [isolate: {}, email: {}]}\n"
                 "safety: {protected: [{machine.name: {glob: 'ws-*'}}]}\n");
    log_divert(no_line, NULL);
    watch(&r);
    judge(&r, "da1");
    till_morning(&r);
    assert_true(run(&r));
    assert_non_null(strstr(last(&r).subject, "daily report: 1 case, 0 isolations since 20"));
    log_divert(NULL, NULL);
    rig_close(&r);
}

#define OTHER_MACHINE "1111111111111111111111111111111111111111"

/* What waits for its turn, or came to nothing before that, Defender was not asked for. */
static void test_digest__what_waits_for_its_turn_was_not_asked_for(void **state)
{
    struct notice_record n;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    log_divert(no_line, NULL);
    watch(&r);
    hands_turn(&r.hands, SECOND_MS);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    peer_forget(r.peer); /* two more, of which many wait: their rows are made alone */
    rig_says(&r, "GET", "/api/alerts?", 0, 200,
             "{\"value\":[{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" OTHER_MACHINE
             "\"},{\"id\":\"da2_-1\",\"severity\":\"Low\",\"machineId\":\"" OTHER_MACHINE "\"}]}");
    rig_says(&r, "GET", "/api/machines?", 0, 200, "{\"value\":[{\"id\":\"" OTHER_MACHINE "\"}]}");
    rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200, "{\"id\":\"" OTHER_MACHINE "\"}");
    (void)rig_push(&r, "da1_-1", NULL);
    (void)rig_push(&r, "da2_-1", NULL);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    till_morning(&r);
    assert_true(run(&r));
    n = last(&r);
    assert_non_null(strstr(n.subject, "daily report: 3 cases, 1 isolation since 20"));
    assert_non_null(strstr(rig_text(&r, n.message), "1 asked for, 1 more not, or not yet"));

    /* its turn comes when that is told: it is of the next day */
    rig_sql(&r, arena_fmt(r.arena,
                          "UPDATE isolations SET sent = %lld, state = 'pending' WHERE sent = 0",
                          (long long)clock_wall_ms(&r.hands.clock)));
    till_morning(&r);
    assert_true(run(&r));
    n = last(&r);
    assert_non_null(strstr(n.subject, "daily report: 0 cases, 1 isolation since 20"));
    assert_null(strstr(rig_text(&r, n.message), "or not yet"));
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* A claim that was lost writes nothing: neither a mail, nor that there was one. */
static void test_digest__a_lost_claim_tells_nobody(void **state)
{
    struct work w;
    struct rig r;

    (void)state;
    rig_open(&r, SHADOW);
    log_divert(no_line, NULL);
    watch(&r);
    judge(&r, "da1");
    till_morning(&r);
    assert_true(rig_claim(&r, WORK_DIGEST, &w));
    w.fence--;
    digest_run(r.g, &w);
    assert_int_equal(last(&r).id, 0);
    w.fence++;
    digest_run(r.g, &w);
    assert_int_not_equal(last(&r).id, 0);
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* A clock that was set back hurries all work; that makes no second digest of a day. */
static void test_digest__a_hurried_row_is_no_digest(void **state)
{
    struct notice_record n;
    struct rig r;

    (void)state;
    rig_open(&r, SHADOW);
    log_divert(no_line, NULL);
    watch(&r);
    judge(&r, "da1");
    till_morning(&r);
    assert_true(run(&r));
    n = last(&r);
    judge(&r, "da2");
    hands_turn(&r.hands, -3 * HOUR_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    assert_true(run(&r));
    assert_int_equal(last(&r).id, n.id);
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* More than the mail has rows for: the sum is of all of it all the same. */
static void test_digest__counts_what_it_has_no_row_for(void **state)
{
    enum { RULES = 9 }; /* of six steps each */
    AUTO(buf_clear) struct buf config = BUF_INIT(65536);
    struct notice_record n;
    struct rig r;
    char id[16];

    (void)state;
    buf_adds(&config, "rules:\n");
    for (int i = 0; i < RULES; i++)
        buf_addf(
            &config,
            "  - {name: r%d, mode: shadow, when: {alert.id: x%d}, do: [tag: {add: a}, scan: {},"
            " collect: {}, restrict: {}, annotate: {comment: a}, isolate: {}]}\n",
            i, i);
    rig_open(&r, buf_text(&config));
    log_divert(no_line, NULL);
    watch(&r);
    for (int i = 0; i < RULES; i++) {
        (void)snprintf(id, sizeof id, "x%d", i);
        judge(&r, id);
    }
    till_morning(&r);
    assert_true(run(&r));
    n = last(&r);
    assert_non_null(strstr(n.subject, "[CORDON] shadow mode held back 54 steps since 20"));
    assert_non_null(strstr(rig_text(&r, n.message), "4 more times"));
    log_divert(NULL, NULL);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest__what_would_have_been_asked_about_is_not_called_done),
        cmocka_unit_test(test_digest__tells_once_a_day_what_was_held_back),
        cmocka_unit_test(test_digest__leaves_out_what_is_no_shadow),
        cmocka_unit_test(test_digest__what_waits_for_its_turn_was_not_asked_for),
        cmocka_unit_test(test_digest__a_lost_claim_tells_nobody),
        cmocka_unit_test(test_digest__a_hurried_row_is_no_digest),
        cmocka_unit_test(test_digest__counts_what_it_has_no_row_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
