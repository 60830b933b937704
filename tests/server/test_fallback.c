/* test_fallback.c - what becomes of notices when a way out fails, on a clock whose hands the test turns.
 *
 * The mail server is the simulator's: what counts is what it took. Two of them stand for two servers. What is told in the place of
 * what reached nobody: test_unheard.c.
 */
#include "fallback_kit.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "flood.h"
#include "mime_read.h"
#include "notice_system.h"
#include "smtp.h"
#include "store_ways.h"

#define WAIT       20000
#define NO_SERVERS NO_SERVER "  fallback: {after: 10m, ways: [{server: 'smtp://127.0.0.1:10'}]}\n"

static struct way_record record(struct rig *r, const char *name)
{
    struct way_record *list;
    size_t n = 0;

    assert_int_equal(store_way_list(r->store, r->arena, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return list[i];
    return (struct way_record){0};
}

static bool is_well(struct rig *r, const char *name)
{
    struct health_part parts[16];
    unsigned n = health_list(r->g->health, parts, 16);

    for (unsigned i = 0; i < n; i++)
        if (strcmp(parts[i].name, name) == 0)
            return parts[i].ok;
    return true;
}

/* ---- one way ---------------------------------------------------------------------------------------- */

static void test_fallback__a_server_down_for_two_hours_gets_all_of_it_once(void **state)
{
    struct scene s;
    int64_t isolated;

    (void)state;
    open_scene(&s, RULES_ISOLATE_AND_MAIL);
    sim_tell(s.sim, "/config", DOWN);
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    isolated = rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 10 * MINUTE_MS, MINUTE_MS);
    /* Mail holds no isolation up. */
    assert_int_equal(rig_isolation(&s.r).state, ISOLATION_ISOLATED);
    assert_string_equal(rig_told(&s.r, isolated), "requested isolated");
    for (int i = 0; i < 4; i++) {
        char id[40];

        see_number(&s.r, i, id);
        rig_says(&s.r, "GET", LIST, 0, 200, NOTHING);
        (void)rig_push(&s.r, id, MACHINE);
        work_all(&s.r);
        pass(&s.r, 27 * MINUTE_MS, MINUTE_MS);
    }
    assert_true(record(&s.r, "mail").failing > 0);
    assert_false(is_well(&s.r, "mail"));
    assert_int_equal(sim_state(s.sim, "mails"), 0);

    sim_tell(s.sim, "/config", UP); /* two hours later */
    pass(&s.r, 20 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(s.sim, "[REQUESTED]"), 1);
    assert_int_equal(taken(s.sim, "[ISOLATED]"), 1);
    assert_int_equal(taken(s.sim, "[ALERT]"), 4);
    assert_int_equal(taken(s.sim, "[CORDON] notices leave by"), 1); /* and why they came so late */
    assert_int_equal(sim_state(s.sim, "mails"), 7);
    assert_int_equal(record(&s.r, "mail").failing, 0);
    assert_true(is_well(&s.r, "mail"));
    pass(&s.r, 12 * HOUR_MS, HOUR_MS);
    assert_int_equal(sim_state(s.sim, "mails"), 7);
    close_scene(&s);
}

static enum err_code set_due_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *due = arg; /* of a notice, when */

    return db_run(tx, e, NULL, "UPDATE work SET due = $1 WHERE id = $2", "ii", due[1], due[0]);
}

/* Where in the order that the server took them stands the mail whose subject begins so? -1: nowhere. */
static int place_of(struct sim *sim, const char *subject)
{
    AUTO(json_freep) struct json *mails = sim_get(sim, "/mails");
    char header[200];
    int n = 0;

    (void)snprintf(header, sizeof header, "\r\nSubject: %s", subject);
    JSON_EACH (mail, json_get(mails, "mails")) {
        if (strstr(json_get_string(mail, "raw"), header))
            return n;
        n++;
    }
    return -1;
}

/* The mail server is down while a machine is isolated: returns the two notices of the case, which wait for it. */
static struct notice_record *wait_while_down(struct rig *r, struct sim *sim)
{
    struct notice_record *list;
    char mail[200];
    int64_t id;
    size_t n = 0;

    (void)snprintf(mail, sizeof mail, "  server: %s\n", sim->smtp_url);
    open_rig(r, RULES_ISOLATE_AND_MAIL, mail, "");
    sim_tell(sim, "/config", DOWN);
    rig_takes_isolate(r, 1);
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(r, ALERT, MACHINE);
    work_all(r);
    pass(r, HOUR_MS, MINUTE_MS);
    assert_int_equal(store_notice_list(r->store, r->arena, id, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    return list;
}

/* Long enough for the later one not to wait for the first any more; then its next attempt happens to come first. */
static void test_fallback__after_an_outage_no_old_state_comes_behind_a_new_one(void **state)
{
    struct sim *sim = sim_start(NULL);
    struct notice_record *list;
    struct rig r;
    int64_t due[2][2];

    (void)state;
    list = wait_while_down(&r, sim);
    assert_non_null(list[1].recipients[0].reply); /* it was tried as well */
    hands_turn(&r.hands, 30 * MINUTE_MS);
    for (size_t i = 0; i < 2; i++) {
        due[i][0] = list[i].id;
        due[i][1] = clock_wall_ms(&r.hands.clock) + (i ? 0 : HOUR_MS);
        assert_int_equal(db_write(r.store->db, set_due_fn, due[i], NULL), ERR_OK);
    }
    sim_tell(sim, "/config", UP);
    work_all(&r);
    pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(place_of(sim, "[REQUESTED]"), 0);
    assert_int_equal(place_of(sim, "[ISOLATED]"), 1);
    close_rig(&r);
    sim_stop(sim);
}

#define SECOND_ALERT "da638712345678901234_-2000000000"
#define THIRD_ALERT  "da638712345678901234_-3000000000"
#define SAME_DOC(id)                                                                               \
    "{\"id\":\"" id "\",\"severity\":\"High\",\"title\":\"Another\",\"machineId\":\"" MACHINE "\"}"
#define IN_FORCE ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13")
#define LET_GO                                                                                     \
    ACTION_DOC("c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f", "Unisolate", "Succeeded", "null", "11:15")

/* As rig_afresh; these are the machine's actions, and there are other alerts on it. */
static void see_actions(struct rig *r, const char *list)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT SECOND_ALERT, 0, 200, SAME_DOC(SECOND_ALERT));
    rig_says(r, "GET", GET_ALERT THIRD_ALERT, 0, 200, SAME_DOC(THIRD_ALERT));
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, list);
    rig_says(r, "GET", GET_ACTION, 0, 200, IN_FORCE);
}

/* Where in the order of all that it got stands the last that says this? -1: nowhere. */
static int last_posted(struct rig *r, const char *words)
{
    int at = -1;

    for (size_t i = 0; i < peer_count(r->peer); i++)
        if (strcmp(peer_request(r->peer, i)->target, "/hook") == 0 &&
            strstr(peer_request(r->peer, i)->body, words))
            at = (int)i;
    return at;
}

static int last_mailed(struct sim *sim, const char *to, const char *subject)
{
    AUTO(json_freep) struct json *mails = sim_get(sim, "/mails");
    int n = 0, at = -1;

    JSON_EACH (mail, json_get(mails, "mails")) {
        const char *line = strstr(json_get_string(mail, "raw"), "\r\nSubject: ");
        const char *end = line ? strstr(line, "\r\nMessage-ID: ") : NULL;

        if (end && memmem(line, (size_t)(end - line), subject, strlen(subject)) &&
            strcmp(json_string(json_first(json_get(mail, "rcpt"))), to) == 0)
            at = n;
        n++;
    }
    return at;
}

/* Their next attempts happen to be made now, those of the notices that are `which` in an hour; none of them is the first to find out
 * that a way works again, which hurries the others. */
static void turn_last(struct rig *r, const char *which)
{
    long long now;

    hands_turn(&r->hands, 5 * MINUTE_MS); /* none of them was tried just before */
    now = (long long)clock_wall_ms(&r->hands.clock);
    rig_sql(r, arena_fmt(r->arena, "UPDATE work SET due = %lld WHERE kind = %d AND due < %lld", now,
                         (int)WORK_NOTICE, (long long)WORK_PARKED));
    rig_sql(r, arena_fmt(r->arena,
                         "UPDATE work SET due = %lld WHERE id IN (SELECT id FROM notices WHERE %s)",
                         now + HOUR_MS, which));
    rig_sql(r, "DELETE FROM ways");
}

/* Two alerts share an isolation, and webhook and helpdesk are out of reach until somebody has released the machine at Defender:
 * what waits for them about the second is not the last that they read. */
static void test_fallback__after_an_outage_no_channel_reads_isolated_last(void **state)
{
    struct scene s;
    int64_t second;

    (void)state;
    open_scene_siem(&s, "rules: [{name: contain, do: [isolate: {}, webhook: {to: siem}, email: {},"
                        " email: {audience: desk, to: [desk@x.example]}]}]\n");
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200, IN_FORCE);
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 2 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(taken(s.sim, "[ISOLATED]"), 2);
    sim_tell(s.sim, "/config", DOWN);
    see_actions(&s.r, "{\"value\":[" IN_FORCE "]}");
    rig_says(&s.r, "POST", "/hook", 0, 503, "down");
    second = rig_push(&s.r, SECOND_ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 30 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&s.r, second), "isolated isolated isolated");
    see_actions(&s.r, "{\"value\":[" LET_GO "," IN_FORCE "]}");
    rig_says(&s.r, "POST", "/hook", 0, 503, "down");
    pass(&s.r, 5 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_isolation(&s.r).state, ISOLATION_RELEASED);
    turn_last(&s.r,
              arena_fmt(s.r.arena, "case_id = %lld AND kind = 'isolated'", (long long)second));
    see_actions(&s.r, "{\"value\":[" LET_GO "," IN_FORCE "]}");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    sim_tell(s.sim, "/config", UP);
    work_all(&s.r);
    pass(&s.r, 3 * HOUR_MS, MINUTE_MS);
    assert_true(last_posted(&s.r, "[ISOLATED]") >= 0);
    assert_true(last_posted(&s.r, "[RELEASED]") > last_posted(&s.r, "[ISOLATED]"));
    assert_true(last_mailed(s.sim, "desk@x.example", "[ISOLATED]") >= 0);
    assert_true(last_mailed(s.sim, "desk@x.example", "[RELEASED]") >
                last_mailed(s.sim, "desk@x.example", "[ISOLATED]"));
    assert_true(last_mailed(s.sim, "soc@contoso.example", "[RELEASED]") >
                last_mailed(s.sim, "soc@contoso.example", "[ISOLATED]"));
    close_scene(&s);
}

/* Nor does a digest that waits so long say it last, to people who hear of the release in the thread of the first case; and two digests
 * leave in their order, though a case is told in one of one burst and in one of the next. */
static void test_fallback__after_an_outage_no_digest_says_isolated_last(void **state)
{
    struct scene s;
    struct runtime *rt;

    (void)state;
    open_scene(&s, RULES_ISOLATE_AND_MAIL);
    rt = engine_runtime(s.r.g);
    rt->config->mail.group = (struct config_group){.wait_ms = 30 * SECOND_MS,
                                                   .interval_ms = 5 * MINUTE_MS,
                                                   .by = {[CONFIG_GROUP_MACHINE] = true}};
    runtime_unref(rt);
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200, IN_FORCE);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 2 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(taken(s.sim, "[ISOLATED]"), 1);
    sim_tell(s.sim, "/config", DOWN);
    see_actions(&s.r, "{\"value\":[" IN_FORCE "]}");
    (void)rig_push(&s.r, SECOND_ALERT, MACHINE);
    (void)rig_push(&s.r, THIRD_ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 30 * MINUTE_MS, MINUTE_MS);
    see_actions(&s.r, "{\"value\":[" LET_GO "," IN_FORCE "]}");
    pass(&s.r, 5 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_isolation(&s.r).state, ISOLATION_RELEASED);
    turn_last(&s.r, "id = (SELECT min(id) FROM notices WHERE kind = 'digest')");
    sim_tell(s.sim, "/config", UP);
    work_all(&s.r);
    pass(&s.r, 3 * HOUR_MS, MINUTE_MS);
    assert_int_equal(taken(s.sim, "[2 ISOLATED]"), 1);
    assert_true(last_mailed(s.sim, "soc@contoso.example", "RELEASED]") >
                last_mailed(s.sim, "soc@contoso.example", "[2 ISOLATED]"));
    close_scene(&s);
}

/* Nor does the mail that asks about many, and calls them not isolated, come behind what a yes by command has led to. */
static void test_fallback__after_an_outage_nobody_is_asked_behind_what_came_of_it(void **state)
{
    struct question_answer yes = {.yes = true, .person = "maria", .way = "operator"};
    struct scene s;
    struct question_record *list;
    enum question_state now;
    size_t n = 0;

    (void)state;
    open_scene(&s, "rules: [{name: contain, do: [isolate: {}, email: {}]}]\n"
                   "safety: {canary: 1, ask: {within: 8h}}\n");
    sim_tell(s.sim, "/config", DOWN);
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200, IN_FORCE);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 20 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(
        store_question_list(s.r.store, s.r.arena, QUESTION_STATES, 0, 1, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    yes.question = list[0].id;
    assert_int_equal(question_answer(s.r.g, &yes, &now, NULL), ERR_OK);
    work_all(&s.r);
    pass(&s.r, 40 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(&s.r).state, ISOLATION_ISOLATED);
    turn_last(&s.r, "kind = 'question'");
    sim_tell(s.sim, "/config", UP);
    work_all(&s.r);
    pass(&s.r, 3 * HOUR_MS, MINUTE_MS);
    assert_true(last_mailed(s.sim, "soc@contoso.example", "[QUESTION]") >= 0);
    assert_true(last_mailed(s.sim, "soc@contoso.example", "[REQUESTED]") >
                last_mailed(s.sim, "soc@contoso.example", "[QUESTION]"));
    assert_true(last_mailed(s.sim, "soc@contoso.example", "[ISOLATED]") >
                last_mailed(s.sim, "soc@contoso.example", "[REQUESTED]"));
    close_scene(&s);
}

/* The login may not send as mail.from, which somebody mends: what waits is sent as the new one. Many a server says no to a
 * sender only when it hears of a recipient. */
static void sent_as_the_new_one(const char *refuses, const char *takes)
{
    struct scene s;
    AUTO(json_freep) struct json *mails = NULL;
    const char *raw;
    struct runtime *rt;

    open_scene(&s, RULES_MAIL_ONLY);
    sim_tell(s.sim, "/config", refuses);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    assert_int_equal(sim_state(s.sim, "mails"), 0);
    sim_tell(s.sim, "/config", takes);
    rt = engine_runtime(s.r.g);
    rt->config->mail.from = "soc-bot@fabrikam.example";
    pass(&s.r, HOUR_MS, 15 * MINUTE_MS);
    mails = sim_get(s.sim, "/mails");
    assert_int_equal(json_count(json_get(mails, "mails")), 1);
    assert_string_equal(json_get_string(json_first(json_get(mails, "mails")), "from"),
                        "soc-bot@fabrikam.example");
    raw = json_get_string(json_first(json_get(mails, "mails")), "raw");
    assert_non_null(strstr(raw, "\r\nFrom: soc-bot@fabrikam.example\r\n"));
    assert_null(strstr(raw, "From: cordon@"));
    assert_non_null(
        strstr(raw, "@contoso.example>\r\n")); /* the Message-ID is the same as before */
    runtime_unref(rt);
    close_scene(&s);
}

static void test_fallback__what_waits_is_sent_as_whom_mail_from_names_now(void **state)
{
    (void)state;
    sent_as_the_new_one("{\"smtp\":{\"refuse_from\":\"554 5.2.252 SendAsDenied\"}}",
                        "{\"smtp\":{\"refuse_from\":null}}");
    sent_as_the_new_one("{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"550 5.1.8 "
                        "<cordon@contoso.example>: Sender address rejected: Domain not found\"}}}",
                        "{\"smtp\":{\"reject\":{}}}");
}

/* Those whom the step names are gone: a notice that none of them can get is mail.to's, but for a link to decide by. */
static void test_fallback__what_reaches_none_of_its_people_goes_to_mail_to(void **state)
{
    static const struct {
        const char *to, *state; /* of the notice, at the end */
        size_t n;               /* its recipients then */
        size_t taken;
    } rows[] = {
        {"gone@x.example, left@x.example", "sent", 3, 1},
        {"gone@x.example, here@x.example", "sent", 2, 1},
        {"gone@x.example, soc@contoso.example", "sent", 2, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        struct notice_record *list;
        char rules[200];
        size_t n = 0;
        int64_t id;

        (void)snprintf(rules, sizeof rules, "rules: [{name: tell, do: [email: {to: [%s]}]}]\n",
                       rows[i].to);
        open_scene(&s, rules);
        sim_tell(s.sim, "/config",
                 "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\","
                 "\"left@x.example\":\"550 5.1.1 no such user\"}}}");
        id = rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        assert_int_equal(store_notice_list(s.r.store, s.r.arena, id, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        assert_string_equal(list[0].state, rows[i].state);
        assert_int_equal(list[0].n_recipients, rows[i].n);
        assert_int_equal(list[0].recipients[0].state, RECIPIENT_REFUSED);
        assert_int_equal(list[0].recipients[rows[i].n - 1].state, RECIPIENT_SENT);
        assert_int_equal(taken(s.sim, "[ALERT]"), rows[i].taken);
        close_scene(&s);
    }
}

/* mail.to is gone as well: that is the end of it, and nothing is tried for ever. */
static void test_fallback__what_mail_to_cannot_get_either_has_failed(void **state)
{
    struct scene s;
    struct notice_record *list;
    size_t n = 0;
    int64_t id;

    (void)state;
    open_scene(&s, "rules: [{name: tell, do: [email: {to: [gone@x.example]}]}]\n");
    sim_tell(s.sim, "/config",
             "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\","
             "\"soc@contoso.example\":\"550 5.1.1 no such user\"}}}");
    id = rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(store_notice_list(s.r.store, s.r.arena, id, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].state, "failed");
    assert_int_equal(list[0].n_recipients, 2);
    assert_int_equal(sim_state(s.sim, "mails"), 0);
    close_scene(&s);
}

/* Whom the step named took nothing for five days, and mail.to's server is a slow one: it has five days of its own. */
static void test_fallback__mail_to_has_as_much_time_as_those_before_it(void **state)
{
    struct scene s;
    struct notice_record *list;
    size_t n = 0;
    int64_t id;

    (void)state;
    open_scene(&s, "rules: [{name: tell, do: [email: {to: [full@x.example]}]}]\n");
    sim_tell(s.sim, "/config",
             "{\"smtp\":{\"reject\":{\"full@x.example\":\"452 4.2.2 mailbox full\","
             "\"soc@contoso.example\":\"451 4.7.1 greylisted\"}}}");
    id = rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 5 * DAY_MS + DAY_MS / 2, 6 * HOUR_MS);
    assert_int_equal(store_notice_list(s.r.store, s.r.arena, id, &list, &n, NULL), ERR_OK);
    assert_int_equal(list[0].n_recipients, 2);
    assert_int_equal(list[0].recipients[1].state, RECIPIENT_WAITING);
    sim_tell(s.sim, "/config", "{\"smtp\":{\"reject\":{\"full@x.example\":\"452 4.2.2 full\"}}}");
    pass(&s.r, HOUR_MS, 15 * MINUTE_MS);
    assert_int_equal(taken(s.sim, "[ALERT]"), 1);
    close_scene(&s);
}

/* The server was away, then cordon was, for days, or its clock is far ahead for a while: that one try fails then, before the
 * network is there or by a certificate that seems to be over, gives up nothing that nobody has got. */
static void test_fallback__after_a_pause_of_days_a_failed_try_gives_nothing_up(void **state)
{
    static const struct {
        int64_t tried_ms, pause_ms, back_ms;
    } rows[] = {
        {0, 6 * DAY_MS, 0},           /* away from the first moment on */
        {7 * HOUR_MS, 6 * DAY_MS, 0}, /* after many tries */
        {HOUR_MS, 400 * DAY_MS, 400 * DAY_MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *sim = sim_start(NULL);
        struct notice_record *list;
        char mail[200];
        struct rig r;
        size_t n = 0;
        int64_t id;

        (void)snprintf(mail, sizeof mail, "  server: %s\n", sim->smtp_url);
        open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        pass(&r, rows[i].tried_ms, 20 * MINUTE_MS);
        hands_turn(&r.hands, rows[i].pause_ms);
        work_all(&r);
        pass(&r, 10 * MINUTE_MS, 5 * MINUTE_MS);
        assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
        assert_int_equal(list[0].recipients[0].state, RECIPIENT_WAITING);
        hands_turn(&r.hands, -rows[i].back_ms);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        use_rules(&r, RULES_MAIL_ONLY, mail, "");
        pass(&r, HOUR_MS, 20 * MINUTE_MS);
        assert_int_equal(taken(sim, "[ALERT]"), 1);
        close_rig(&r);
        sim_stop(sim);
    }
}

/* It is not tried for ever. */
static void test_fallback__what_nobody_takes_for_five_days_has_failed(void **state)
{
    struct notice_record *list;
    struct rig r;
    size_t n = 0;
    int64_t id;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 5 * DAY_MS, 6 * HOUR_MS);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
    assert_string_equal(list[0].state, "failed");
    close_rig(&r);
}

/* Who is told is told by the webhook siem, /hook of the peer; what cordon has to say of itself is mailed. */
static void open_with_hook(struct rig *r, const struct sim *sim)
{
    char mail[200], rules[400];

    (void)snprintf(mail, sizeof mail, "  server: %s\n", sim->smtp_url);
    open_rig(r, RULES_MAIL_ONLY, mail, "");
    (void)snprintf(rules, sizeof rules,
                   "webhooks: {siem: {url: '%s/hook', template: slack}}\n"
                   "rules: [{name: tell, do: [webhook: {to: siem}]}]\n",
                   peer_url(r->peer));
    use_rules(r, rules, mail, "");
}

/* Who wants to be left alone for a day each time takes nothing for five days, too. */
static void test_fallback__a_webhook_that_is_throttled_for_days_is_given_up_in_time(void **state)
{
    struct sim *sim = sim_start(NULL);
    struct rig r;

    (void)state;
    open_with_hook(&r, sim);
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = "/hook",
                                              .status = 429,
                                              .headers = "Retry-After: 86400\r\n",
                                              .body = "no"});
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 4 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(taken(sim, "[ALERT]"), 0);
    pass(&r, 2 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(taken(sim, "[ALERT]"), 1);
    close_rig(&r);
    sim_stop(sim);
}

/* It had the wrong template, and takes nothing of that: what waited is posted by the right one, once a reload has it. */
static void test_fallback__what_waited_with_the_wrong_template_is_posted_with_the_right_one(
    void **state)
{
    static const char *const templates[] = {"teams", "slack"};
    char rules[400];
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    rig_says(&r, "POST", "/hook", 1, 400, "no_text");
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: '%s/hook', template: %s}}\n"
                       "rules: [{name: tell, do: [webhook: {to: siem}]}]\n",
                       peer_url(r.peer), templates[i]);
        use_rules(&r, rules, NO_SERVER, "");
        if (!i)
            (void)rig_push(&r, ALERT, MACHINE);
        work_all(&r);
        assert_int_equal(rig_seen(&r, "POST", "/hook"), i + 1);
        assert_true(i || strncmp(last_post(&r), "{\"type\":\"message\"", 17) == 0);
    }
    pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", "/hook"), 2);
    assert_int_equal(strncmp(last_post(&r), "{\"text\":", 8), 0);
    assert_non_null(strstr(last_post(&r), "[ALERT] High: Credential memory read on ws-114"));
    close_rig(&r);
}

/* A webhook is away and wants to be left alone for a day, a mail server takes nothing: what waits for them is sent as soon as a
 * reload names others. */
static void test_fallback__what_waits_goes_when_a_reload_has_the_cure(void **state)
{
    static const char parts[] = "webhooks: {siem: {url: '%s/%s', template: slack}}\n"
                                "rules: [{name: tell, do: [webhook: {to: siem}, email: {}]}]\n";
    struct sim *sim = sim_start(NULL);
    char mail[200], rules[400];
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    (void)snprintf(rules, sizeof rules, parts, peer_url(r.peer), "away");
    use_rules(&r, rules, NO_SERVER, "");
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = "/away",
                                              .status = 503,
                                              .headers = "Retry-After: 86400\r\n",
                                              .body = "no"});
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 2 * HOUR_MS, MINUTE_MS);
    hands_turn(&r.hands, 5 * SECOND_MS); /* both have been tried just before */
    (void)snprintf(mail, sizeof mail, "  server: %s\n", sim->smtp_url);
    (void)snprintf(rules, sizeof rules, parts, peer_url(r.peer), "hook");
    use_rules(&r, rules, mail, "");
    work_all(&r);
    assert_int_equal(posted(&r, "[ALERT]"), 1);
    assert_int_equal(taken(sim, "[ALERT]"), 1);
    close_rig(&r);
    sim_stop(sim);
}

/* Where nobody can be mailed no mail is promised. */
static void test_fallback__what_is_posted_of_cordon_promises_no_mail(void **state)
{
    const struct gate_flood flood = {.count = 9, .client = "192.0.2.7"};
    struct runtime *rt;
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    rt = read_rules(&r, with_siem(&r, RULES_MAIL_ONLY), NO_SERVER, "");
    rt->config->mail.server = NULL;
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    flood_tell(r.g, &flood);
    work_all(&r);
    assert_int_equal(posted(&r, "[CORDON] a flood of requests"), 1);
    assert_non_null(strstr(last_post(&r), "no other message"));
    assert_null(strstr(last_post(&r), " mail"));
    close_rig(&r);
}

static enum err_code post_ahead_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *ahead = arg; /* its id, when */
    struct recipient_record to = {.address = "webhook:siem"};
    const struct notice_record n = {.id = ahead[0],
                                    .about = "source:flow",
                                    .channel = "webhook:siem",
                                    .kind = "source_quiet",
                                    .subject = "[CORDON] source flow is quiet",
                                    .sender = "cordon",
                                    .message = "{\"text\":\"it is quiet\"}",
                                    .recipients = &to,
                                    .n_recipients = 1};

    return notice_insert(tx, &n, ahead[1], e);
}

/* Another replica's clock was ahead when it made the first: that all is well again does not come before it. */
static void test_fallback__posts_about_one_thing_leave_in_their_order(void **state)
{
    const struct notice_system back = {.about = "source:flow",
                                       .kind = "source_back",
                                       .good = true,
                                       .subject = "source flow is back",
                                       .headline = "A source is back",
                                       .body = "It pushes again."};
    struct runtime *rt;
    struct rig r;
    int64_t first[2]; /* its id, when it was made and when it would be tried again */

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    rt = read_rules(&r, with_siem(&r, RULES_MAIL_ONLY), NO_SERVER, "");
    rt->config->mail.server = NULL;
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    rig_says(&r, "POST", "/hook", 1, 503, "later");
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    first[1] = clock_wall_ms(&r.hands.clock);
    first[0] = id_new(clock_system()) + id_of_time(first[1] + HOUR_MS) - id_of_time(first[1]);
    assert_int_equal(db_write(r.store->db, post_ahead_fn, first, NULL), ERR_OK);
    work_all(&r);
    first[1] += HOUR_MS;
    assert_int_equal(db_write(r.store->db, set_due_fn, first, NULL), ERR_OK);
    hands_turn(&r.hands, 10 * MINUTE_MS);
    assert_int_equal(notice_system_tell(r.g, &back, NULL), ERR_OK);
    work_all(&r);
    pass(&r, MINUTE_MS, SECOND_MS);
    pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "POST", "/hook"), 3);
    assert_non_null(strstr(last_post(&r), "source flow is back"));
    close_rig(&r);
}

/* A question over many that so leaves by its subject says where it is answered. */
static void test_fallback__a_question_that_is_posted_anew_says_how_to_answer(void **state)
{
    static const char *const templates[] = {"teams", "slack"};
    char rules[500];
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    rig_says(&r, "POST", "/hook", 1, 400, "no_text");
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        struct runtime *rt;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: '%s/hook', template: %s}}\n"
                       "rules: [{name: contain, do: [isolate: {}]}]\n"
                       "safety: {canary: 1, ask: {within: 4h}}\n",
                       peer_url(r.peer), templates[i]);
        rt = read_rules(&r, rules, NO_SERVER, "");
        rt->config->mail.server = NULL;
        engine_use(r.g, rt);
        if (!i)
            (void)rig_push(&r, ALERT, MACHINE);
        for (int k = 0; k < 60 && (i || !rig_seen(&r, "POST", "/hook")); k++)
            pass(&r, SECOND_MS, SECOND_MS);
    }
    assert_int_equal(strncmp(last_post(&r), "{\"text\":", 8), 0);
    assert_non_null(strstr(last_post(&r), "[QUESTION] 1 machine"));
    assert_non_null(strstr(last_post(&r), "cordon questions list"));
    assert_null(strstr(last_post(&r), "readyz"));
    close_rig(&r);
}

/* Secrets are replaced one after the other: each that is good signs, however many there are. */
static void test_fallback__a_post_is_signed_by_each_secret_of_many(void **state)
{
    AUTO(buf_clear) struct buf files = BUF_INIT(4096);
    const char *signatures;
    char rules[2000];
    struct rig r;
    size_t n;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    for (int i = 0; i < 40; i++) {
        char name[20], text[60];

        (void)snprintf(name, sizeof name, "siem%02d", i);
        (void)snprintf(text, sizeof text,
                       "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G%02do=", i);
        rig_write(&r, name, text);
        buf_addf(&files, "%s%s/%s", i ? ", " : "", r.dir, name);
    }
    (void)snprintf(rules, sizeof rules,
                   "webhooks: {siem: {url: '%s/hook', secret_files: [%s]}}\n"
                   "rules: [{name: tell, do: [webhook: {to: siem}]}]\n",
                   peer_url(r.peer), buf_text(&files));
    use_rules(&r, rules, NO_SERVER, "");
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", "/hook"), 1);
    signatures = peer_header(peer_request_for(r.peer, "/hook"), "webhook-signature");
    for (n = 0; signatures && (signatures = strstr(signatures, "v1,")); signatures++)
        n++;
    assert_int_equal(n, 40);
    close_rig(&r);
}

struct last {
    const char *about;
    int64_t id, created;
};

static enum err_code last_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct last *l = arg;

    return notice_last(tx, l->about, NULL, &l->id, &l->created, e);
}

/* The words of the last notice that tells of a way, or "". */
static const char *words_about(struct rig *r, const char *about)
{
    struct buf text = BUF_INIT(1 << 20);
    struct notice_record n;
    const char *words = "";
    struct last of = {.about = about};

    assert_int_equal(db_read(r->store->db, last_fn, &of, NULL), ERR_OK);
    if (of.id) {
        assert_int_equal(store_notice_load(r->store, r->arena, of.id, &n, NULL), ERR_OK);
        assert_int_equal(mime_part(n.message, "text/plain", &text, NULL), ERR_OK);
        words = arena_str(r->arena, buf_text(&text));
    }
    buf_clear(&text);
    return words;
}

/* What cordon says of itself is posted where nobody can be mailed; a webhook that takes nothing for five days is asked no
 * more. */
static void test_fallback__what_is_about_no_case_is_given_up_as_any_other(void **state)
{
    static const char rules[] = "webhooks: {siem: {url: 'https://127.0.0.1:9/a', "
                                "template: slack}}\n" RULES_MAIL_ONLY;
    const struct notice_system quiet = {.about = "source:flow",
                                        .kind = "source_quiet",
                                        .subject = "source flow is quiet",
                                        .headline = "A source went quiet",
                                        .body = "Nothing came from it."};
    struct last of = {.about = "source:flow"};
    struct notice_record n;
    struct runtime *rt;
    struct rig r;

    (void)state;
    open_rig(&r, rules, NO_SERVER, "");
    rt = read_rules(&r, rules, NO_SERVER, "");
    rt->config->mail.server = NULL;
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    assert_int_equal(notice_system_tell(r.g, &quiet, NULL), ERR_OK);
    pass(&r, 6 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(db_read(r.store->db, last_fn, &of, NULL), ERR_OK);
    assert_int_equal(store_notice_load(r.store, r.arena, of.id, &n, NULL), ERR_OK);
    assert_string_equal(n.channel, "webhook:siem");
    assert_string_equal(n.state, "failed");
    close_rig(&r);
}

/* Of a mail server that takes nothing webhooks hear, for no mail can say it; and that it takes mails again. */
static void test_fallback__a_mail_server_that_fails_is_posted_where_it_is_the_only_way(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, RULES_MAIL_ONLY);
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    sim_tell(s.sim, "/config", DOWN);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 1);
    assert_non_null(
        strstr(peer_request_for(s.r.peer, "/hook")->body, "[CORDON] notices do not leave by "));
    assert_non_null(
        strstr(peer_request_for(s.r.peer, "/hook")->body, "kept and tried for five days"));
    sim_tell(s.sim, "/config", UP);
    pass(&s.r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 2);
    assert_int_equal(taken(s.sim, "[ALERT]"), 1);
    assert_int_equal(taken(s.sim, "[CORDON] notices leave by"), 1);
    close_scene(&s);
}

/* So it is where there are two, and neither takes anything. */
static void test_fallback__mail_servers_that_all_fail_are_posted(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    char mail[400];
    struct rig r;

    (void)state;
    (void)snprintf(mail, sizeof mail,
                   "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    use_rules(&r, with_siem(&r, RULES_MAIL_ONLY), mail, "");
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    sim_tell(first, "/config", DOWN);
    sim_tell(second, "/config", DOWN);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 9 * MINUTE_MS, 3 * MINUTE_MS);
    assert_int_equal(posted(&r, ""), 0);
    pass(&r, 36 * MINUTE_MS, 3 * MINUTE_MS);
    assert_true(posted(&r, "[CORDON] notices do not leave by ") > 0);
    assert_int_equal(posted(&r, "no other way that works"), posted(&r, ""));
    assert_int_equal(posted(&r, "[CORDON] notices leave by "), 0);
    sim_tell(second, "/config", UP);
    pass(&r, 30 * MINUTE_MS, 3 * MINUTE_MS);
    assert_int_equal(taken(second, "[ALERT]"), 1);
    assert_int_equal(posted(&r, "[CORDON] notices leave by "), 1);
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* And not once more when the mail that says so is given up after days. */
static void test_fallback__what_was_posted_is_not_posted_again_for_its_mail(void **state)
{
    static const char fails[] = "[CORDON] notices do not leave by ";
    char rules[400];
    struct rig r;
    size_t n;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVERS, "");
    (void)snprintf(rules, sizeof rules,
                   "webhooks: {siem: {url: '%s/hook', template: slack}}\n" RULES_MAIL_ONLY,
                   peer_url(r.peer));
    use_rules(&r, rules, NO_SERVERS, "");
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, HOUR_MS, 5 * MINUTE_MS);
    n = posted(&r, fails);
    assert_true(n > 0);
    pass(&r, 6 * DAY_MS, 6 * HOUR_MS);
    assert_int_equal(posted(&r, "[ALERT] "), 1); /* which no mail could tell */
    assert_int_equal(posted(&r, fails), n);
    close_rig(&r);
}

/* Its posts go nowhere else, and people are not told that they do. */
static void test_fallback__posts_that_wait_are_not_said_to_go_another_way(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                   "rules: [{name: tell, do: [webhook: {to: siem}]}]\n");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 12 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(s.sim, "[CORDON] notices do not leave by webhook siem"), 1);
    assert_null(strstr(words_about(&s.r, "way:webhook:siem"), "next way"));
    assert_non_null(strstr(words_about(&s.r, "way:webhook:siem"), "kept and tried for five days"));
    close_scene(&s);
}

/* A new alert, and what the webhook of the rig answers to posts from now on: to the first of them, if that is another, and to
 * all after it. */
static void push_and_post(struct rig *r, const char *alert, int first, int then)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", GET_ALERT, 0, 200,
             arena_fmt(r->arena,
                       "{\"id\":\"%s\",\"severity\":\"Low\",\"machineId\":\"" MACHINE "\"}",
                       alert));
    if (first)
        rig_says(r, "POST", "/hook", 1, first, "ok");
    rig_says(r, "POST", "/hook", 0, then, "invalid_blocks");
    (void)rig_push(r, alert, MACHINE);
    work_all(r);
}

/* One post that a webhook does not take says nothing of the others, which it takes: people hear of it once, and not each time
 * that another one has left. When it takes none any more, they hear of that. */
static void test_fallback__one_post_that_is_not_taken_is_no_way_that_fails(void **state)
{
    static const char fails[] = "[CORDON] notices do not leave by webhook siem";
    static const char works[] = "[CORDON] notices leave by webhook siem again";
    struct sim *sim = sim_start(NULL);
    struct rig r;

    (void)state;
    open_with_hook(&r, sim);
    push_and_post(&r, "da0_-1", 0, 400);
    pass(&r, 12 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(sim, fails), 1);
    for (int i = 1; i <= 3; i++) { /* it takes each new one; the first is tried again after it */
        push_and_post(&r, arena_fmt(r.arena, "da%d_-1", i), 200, 400);
        pass(&r, HOUR_MS, MINUTE_MS);
        assert_true(rig_seen(&r, "POST", "/hook") > 1);
        assert_true(is_well(&r, "webhook:siem"));
    }
    assert_int_equal(taken(sim, fails), 1);
    assert_int_equal(taken(sim, works), 1);
    push_and_post(&r, "da9_-1", 0, 400); /* none any more */
    pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(sim, fails), 2);
    assert_int_equal(taken(sim, works), 1);
    close_rig(&r);
    sim_stop(sim);
}

#define URL_SECRET "b7Kq2ZxTn5RwYpLd8MvC"

static atomic_size_t secrets_logged;

static void count_secrets(enum log_level level, const char *line, void *ctx)
{
    (void)level, (void)ctx;
    if (strstr(line, URL_SECRET))
        atomic_fetch_add(&secrets_logged, 1);
}

/* Whoever answers at a webhook's URL may name it, and people are shown what was answered: not that, for it is a secret. */
static void test_fallback__a_webhook_that_names_its_url_is_not_quoted(void **state)
{
    static const struct {
        const char *said, *shown;
    } rows[] = {
        {"{\"message\":\"Route POST:/hooks/" URL_SECRET "?sig=x not found\"}", "withheld"},
        {"Cannot POST /hooks/b7Kq2ZxTn5Rw...", "withheld"},
        {"no_service", "no_service"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        struct notice_record *list;
        char rules[400];
        size_t n = 0;
        int64_t id;

        open_scene(&s, RULES_MAIL_ONLY);
        rig_write(&s.r, "hook",
                  arena_fmt(s.r.arena, "%s/hooks/" URL_SECRET "?sig=x", peer_url(s.r.peer)));
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url_file: '%s/hook', template: slack}}\n"
                       "rules: [{name: tell, do: [webhook: {to: siem}]}]\n",
                       s.r.dir);
        use_rules(&s.r, rules, s.mail, "");
        rig_says(&s.r, "POST", "/hooks/", 0, 404, rows[i].said);
        atomic_store(&secrets_logged, 0);
        log_divert(count_secrets, NULL);
        id = rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        pass(&s.r, 12 * MINUTE_MS, MINUTE_MS);
        assert_true(rig_seen(&s.r, "POST", "/hooks/") > 1);
        assert_int_equal(atomic_load(&secrets_logged), 0);
        assert_non_null(strstr(record(&s.r, "webhook:siem").why, rows[i].shown));
        assert_null(strstr(record(&s.r, "webhook:siem").why, "b7Kq2ZxTn5Rw"));
        assert_non_null(strstr(words_about(&s.r, "way:webhook:siem"), rows[i].shown));
        assert_null(strstr(words_about(&s.r, "way:webhook:siem"), "b7Kq2ZxTn5Rw"));
        assert_int_equal(store_notice_list(s.r.store, s.r.arena, id, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        assert_null(strstr(list[0].recipients[0].reply, "b7Kq2ZxTn5Rw"));
        close_scene(&s);
    }
}

/* A filter of the first server does not like what the mails say: there is another way, and nobody was told. */
static void test_fallback__what_one_way_refuses_for_good_is_for_the_next(void **state)
{
    static const struct {
        const char *label, *smtp; /* of the first server */
        size_t first, second;     /* mails that each took */
    } rows[] = {
        {"the message", "\"data_reply\":\"554 5.7.1 message rejected as spam\"", 0, 1},
        {"its only reader", "\"reject\":{\"soc@contoso.example\":\"550 5.1.1 no such user\"}", 0,
         1},
        {"nothing", "\"data_reply\":null", 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *first = sim_start(NULL), *second = sim_start(NULL);
        struct notice_record *list;
        char mail[400];
        struct rig r;
        size_t n = 0;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        (void)snprintf(mail, sizeof mail, "  server: %s\n  fallback: {ways: [{server: '%s'}]}\n",
                       first->smtp_url, second->smtp_url);
        open_rig(&r, RULES_MAIL_ONLY, mail, "");
        sim_tellf(first, "/config", "{\"smtp\":{%s}}", rows[i].smtp);
        id = rig_push(&r, ALERT, MACHINE);
        work_all(&r);
        assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
        assert_string_equal(list[0].state, "sent");
        assert_int_equal(taken(first, "[ALERT]"), rows[i].first);
        assert_int_equal(taken(second, "[ALERT]"), rows[i].second);
        close_rig(&r);
        sim_stop(first);
        sim_stop(second);
    }
}

/* The next one cannot be reached just now: then it is tried again, and the first has said its word. */
static void test_fallback__what_one_way_refuses_waits_for_the_next(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    char mail[400];
    struct rig r;

    (void)state;
    (void)snprintf(mail, sizeof mail, "  server: %s\n  fallback: {ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    sim_tell(first, "/config", "{\"smtp\":{\"data_reply\":\"554 5.7.1 rejected as spam\"}}");
    sim_tell(second, "/config", DOWN);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, HOUR_MS, 5 * MINUTE_MS);
    assert_int_equal(sim_state(second, "mails"), 0);
    sim_tell(second, "/config", UP);
    pass(&r, HOUR_MS, 5 * MINUTE_MS);
    assert_int_equal(taken(second, "[ALERT]"), 1);
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* The first is away, and the next, whose filter knows no such sender, wants none of it: nobody is told by that, and it waits for
 * the first. Before it is taken for sick, and after. */
static void test_fallback__what_the_next_way_refuses_waits_for_the_first(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    const struct notice_system n = {.about = "source:flow",
                                    .kind = "source_quiet",
                                    .subject = "source flow is quiet",
                                    .headline = "x",
                                    .body = "x"};
    char mail[400];
    struct rig r;
    struct err e;

    (void)state;
    (void)snprintf(mail, sizeof mail, "  server: %s\n  fallback: {ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    sim_tell(first, "/config", DOWN);
    sim_tell(second, "/config", "{\"smtp\":{\"data_reply\":\"550 5.7.26 unauthenticated\"}}");
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK);
    pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(sim_state(second, "mails"), 0);
    sim_tell(first, "/config", UP);
    pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(first, "[ALERT]"), 1);
    assert_int_equal(taken(first, "[CORDON] source flow is quiet"), 1);
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* ---- a server that is slow to answer --------------------------------------------------------------- */

/* In the place of the child that talks to a mail server: notes its job, and hears no answer to the message. */
static void answer_nothing(struct rig *r)
{
    const char *path = arena_fmt(r->arena, "%s/helper", r->dir);

    rig_write(r, "helper",
              arena_fmt(r->arena,
                        "#!/bin/sh\nhead -n 1 >>%s/jobs\ncat >/dev/null\necho '{\"stage\":9}'\n"
                        "kill -SEGV $$\n",
                        r->dir));
    assert_int_equal(chmod(path, 0700), 0);
    r->g->mail_helper = path;
}

/* How long the last try at the server with this port may have taken, and the longest; 0: there was none. */
static int64_t waited(struct rig *r, int64_t port, int64_t *ret_most)
{
    FILE *f = fopen(arena_fmt(r->arena, "%s/jobs", r->dir), "re");
    char line[2000];
    int64_t last = 0;

    *ret_most = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        AUTO(json_freep) struct json *job = NULL;
        int64_t at = 0;

        assert_int_equal(json_parse(line, strlen(line), &job, NULL), ERR_OK);
        assert_true(json_int64(json_get(job, "port"), &at));
        if (at != port)
            continue;
        assert_true(json_int64(json_get(job, "timeout_ms"), &last));
        *ret_most = last > *ret_most ? last : *ret_most;
    }
    (void)fclose(f);
    return last;
}

/* What hears no answer within a minute may have arrived, and arrives again with each try: from the second one on it is waited for.
 * One at a time, so that others are not held up. */
static void test_fallback__who_hears_no_answer_waits_longer_the_next_time(void **state)
{
    struct rig r;
    int64_t most;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    answer_nothing(&r);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(waited(&r, 9, &most), MINUTE_MS);
    use_rules(&r, RULES_MAIL_ONLY, NO_SERVER, ""); /* known after a reload, too */
    atomic_store(&r.g->patient, 1);                /* another one */
    pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(waited(&r, 9, &most), MINUTE_MS);
    assert_int_equal(most, MINUTE_MS);
    atomic_store(&r.g->patient, 0);
    pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(waited(&r, 9, &most), 11 * MINUTE_MS);
    assert_int_equal(atomic_load(&r.g->patient), 0);
    close_rig(&r);
}

/* Not past the time at which the next way may be used; and of that nobody knows yet how long it takes. */
static void test_fallback__no_answer_is_waited_for_in_the_next_ways_time(void **state)
{
    struct rig r;
    int64_t most;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY,
             NO_SERVER "  fallback: {after: 5m, ways: [{server: 'smtp://127.0.0.1:10'}]}\n", "");
    answer_nothing(&r);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(waited(&r, 9, &most), MINUTE_MS);
    pass(&r, 10 * SECOND_MS, SECOND_MS);
    (void)waited(&r, 9, &most);
    assert_in_range(most, 5 * MINUTE_MS, 6 * MINUTE_MS);
    assert_int_equal(waited(&r, 10, &most), 0);
    for (int s = 0; s < 300 && !waited(&r, 10, &most); s++)
        pass(&r, SECOND_MS, SECOND_MS);
    assert_int_equal(waited(&r, 10, &most), MINUTE_MS);
    assert_int_equal(waited(&r, 9, &most), MINUTE_MS);
    pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(waited(&r, 9, &most), MINUTE_MS);
    assert_int_equal(waited(&r, 10, &most), 11 * MINUTE_MS);
    close_rig(&r);
}

/* What is parked behind a notice may follow after a quarter of an hour, tried or not: so it is not waited for past that. */
static void test_fallback__no_answer_is_waited_for_while_the_next_notice_waits(void **state)
{
    int64_t age = 6 * MINUTE_MS, most = 0;
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    answer_nothing(&r);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    atomic_store(&r.g->patient, 1);
    pass(&r, age, SECOND_MS);
    atomic_store(&r.g->patient, 0);
    for (; age < ENGINE_LATE_MS && most <= MINUTE_MS; age += SECOND_MS) {
        pass(&r, SECOND_MS, SECOND_MS);
        (void)waited(&r, 9, &most);
    }
    assert_in_range(most, ENGINE_LATE_MS - age, ENGINE_LATE_MS - age + MINUTE_MS + SECOND_MS);
    close_rig(&r);
}

/* And while it waits for its answer it holds up no later notice of its case: it has left, and may have arrived. */
static void test_fallback__who_waits_for_an_answer_holds_up_nobody(void **state)
{
    struct sim *sim = sim_start(NULL);
    struct notice_record *list;
    struct work first, later;
    struct rig r;
    int64_t due[2];

    (void)state;
    list = wait_while_down(&r, sim);
    hands_turn(&r.hands, 30 * MINUTE_MS);
    for (size_t i = 0; i < 2; i++) {
        due[0] = list[i].id;
        due[1] = clock_wall_ms(&r.hands.clock) + (i ? HOUR_MS : 0);
        assert_int_equal(db_write(r.store->db, set_due_fn, due, NULL), ERR_OK);
    }
    while (rig_claim(&r, WORK_NOTICE, &first) && first.id != list[0].id)
        notice_run(r.g, &first);
    assert_int_equal(first.id, list[0].id);
    atomic_store(&r.g->patient, first.id);
    due[0] = list[1].id;
    due[1] = clock_wall_ms(&r.hands.clock);
    assert_int_equal(db_write(r.store->db, set_due_fn, due, NULL), ERR_OK);
    sim_tell(sim, "/config", UP);
    while (rig_claim(&r, WORK_NOTICE, &later))
        notice_run(r.g, &later);
    assert_int_equal(taken(sim, "[ISOLATED]"), 1);
    assert_int_equal(taken(sim, "[REQUESTED]"), 0);
    close_rig(&r);
    sim_stop(sim);
}

/* Of more than it can know it knows some, for as long as they are tried: those get through, and make room. */
static void test_fallback__who_heard_no_answer_is_known_in_a_storm(void **state)
{
    const char *const to[] = {"soc@contoso.example"};
    struct way_mail m = {.from = "cordon@contoso.example",
                         .to = to,
                         .n = 1,
                         .message = "Subject: x\r\n\r\nx\r\n",
                         .len = strlen("Subject: x\r\n\r\nx\r\n")};
    struct mail_result result;
    struct runtime *rt;
    size_t known = 0;
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    answer_nothing(&r);
    rt = engine_runtime(r.g);
    m.helper = r.g->mail_helper;
    for (int turn = 0; turn < 2; turn++)
        for (m.id = 1; m.id <= 300; m.id++) {
            known += way_was_unanswered(rt->ways[0], m.id);
            assert_int_not_equal(way_send(rt->ways[0], &m, &result, NULL), ERR_OK);
            assert_true(result.maybe_sent);
        }
    assert_int_equal(known, 256);
    hands_turn(&r.hands, 7 * HOUR_MS); /* the others' fates were settled elsewhere, it seems */
    m.id = 300;
    (void)way_send(rt->ways[0], &m, &result, NULL);
    assert_true(way_was_unanswered(rt->ways[0], m.id));
    runtime_unref(rt);
    close_rig(&r);
}

/* ---- the next way ------------------------------------------------------------------------------------ */

/* A server at which each try takes a minute. */
struct slow {
    struct rig *r;
    int64_t created;
    int late; /* tries that ended when the next way could be used */
};

static void a_minute_later(enum log_level level, const char *line, void *ctx)
{
    struct slow *s = ctx;

    (void)level;
    if (!strstr(line, "\"mail_failed\""))
        return;
    hands_turn(&s->r->hands, MINUTE_MS);
    s->late += clock_wall_ms(&s->r->hands.clock) - s->created >= 5 * MINUTE_MS;
}

static void test_fallback__a_try_that_takes_until_then_is_followed_by_the_next_way(void **state)
{
    struct sim *sim = sim_start(NULL);
    char mail[300];
    struct rig r;
    struct slow slow = {.r = &r};

    (void)state;
    (void)snprintf(mail, sizeof mail, NO_SERVER "  fallback: {after: 5m, ways: [{server: '%s'}]}\n",
                   sim->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    log_divert(a_minute_later, &slow);
    slow.created = clock_wall_ms(&r.hands.clock);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    for (int s = 0; s < 300 && !taken(sim, "[ALERT]"); s++)
        pass(&r, SECOND_MS, SECOND_MS);
    assert_int_equal(taken(sim, "[ALERT]"), 1);
    assert_int_equal(slow.late, 1);
    close_rig(&r);
    sim_stop(sim);
}

static void test_fallback__the_next_way_is_used_and_people_hear_of_it(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    char mail[400];
    struct rig r;
    int64_t id;

    (void)state;
    (void)snprintf(mail, sizeof mail,
                   "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    sim_tell(first, "/config", DOWN);
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_false(is_well(&r, "mail")); /* from the first failure on */
    pass(&r, 9 * MINUTE_MS, 30 * SECOND_MS);
    assert_int_equal(sim_state(second, "mails"), 0);
    pass(&r, 90 * SECOND_MS, 30 * SECOND_MS);
    assert_int_equal(taken(second, "[ALERT]"), 1);
    assert_int_equal(taken(second, "[CORDON] notices do not leave by smtp:"), 1);
    assert_true(record(&r, "mail").told > 0);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);

    /* What comes now does not wait, and the sick server is not asked for each. */
    rig_says(
        &r, "GET", "/api/alerts/da2_-1", 0, 200,
        "{\"id\":\"da2_-1\",\"severity\":\"Low\",\"title\":\"Another\",\"machineId\":\"" MACHINE
        "\"}");
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(
        &r, "GET", GET_ALERT, 0, 200,
        "{\"id\":\"da2_-1\",\"severity\":\"Low\",\"title\":\"Another\",\"machineId\":\"" MACHINE
        "\"}");
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    (void)rig_push(&r, "da2_-1", MACHINE);
    work_all(&r);
    assert_int_equal(taken(second, "[ALERT]"), 2);
    pass(&r, HOUR_MS, MINUTE_MS); /* nor is it told again */
    assert_int_equal(sim_state(second, "mails"), 3);
    assert_false(is_well(&r, "mail"));

    /* It works again: seen without a notice that needs it, and told there. */
    sim_tell(first, "/config", UP);
    pass(&r, 10 * MINUTE_MS, MINUTE_MS);
    assert_true(is_well(&r, "mail"));
    assert_int_equal(taken(first, "[CORDON] notices leave by smtp:"), 1);
    assert_int_equal(sim_state(first, "mails"), 1); /* none of those that the other took */
    assert_int_equal(sim_state(second, "mails"), 3);
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* It speaks, and takes the message; then nobody hears of it again. */
static void test_fallback__a_server_that_hangs_up_on_each_message_does_not_work(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, RULES_MAIL_ONLY);
    sim_tell(s.sim, "/config", "{\"smtp\":{\"drop\":\"before_250\"}}");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    assert_false(is_well(&s.r, "mail"));
    assert_true(record(&s.r, "mail").failing > 0);
    sim_tell(s.sim, "/config", "{\"smtp\":{\"drop\":null}}");
    pass(&s.r, 2 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(taken(s.sim, "[ALERT]"), 1);
    assert_true(is_well(&s.r, "mail"));
    close_scene(&s);
}

/* It lets us in, and takes no mail: the way fails as if it were down, though a login would work. */
static void test_fallback__a_server_that_takes_no_mail_is_no_way_out(void **state)
{
    static const struct {
        const char *label, *sick, *well;
    } rows[] = {
        {"the sender", "{\"smtp\":{\"refuse_from\":\"550 5.7.60 not as this sender\"}}",
         "{\"smtp\":{\"refuse_from\":null}}"},
        {"the sender, when it hears of a recipient",
         "{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"550 5.1.8 Sender address rejected\"}}}",
         "{\"smtp\":{\"reject\":{}}}"},
        {"the sender, whom it cannot look up",
         "{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"450 4.1.8 Domain not found\"}}}",
         "{\"smtp\":{\"reject\":{}}}"},
        {"the name in EHLO",
         "{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"504 5.5.2 Helo command rejected\"}}}",
         "{\"smtp\":{\"reject\":{}}}"},
        {"the message", "{\"smtp\":{\"data_reply\":\"451 4.7.1 the filter is away\"}}",
         "{\"smtp\":{\"data_reply\":null}}"},
        {"hangs up", "{\"smtp\":{\"drop\":\"before_250\"}}", "{\"smtp\":{\"drop\":null}}"},
    };
    const struct notice_system n = {.about = "source:flow",
                                    .kind = "source_quiet",
                                    .subject = "source flow is quiet",
                                    .headline = "x",
                                    .body = "x"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *first = sim_start(NULL), *second = sim_start(NULL);
        char mail[400];
        int64_t since;
        struct rig r;
        struct err e;

        print_message("  %s\n", rows[i].label);
        (void)snprintf(mail, sizeof mail,
                       "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                       first->smtp_url, second->smtp_url);
        open_rig(&r, RULES_MAIL_ONLY, mail, "");
        sim_tell(first, "/config", rows[i].sick);
        (void)rig_push(&r, ALERT, MACHINE);
        work_all(&r);
        assert_false(is_well(&r, "mail"));
        since = record(&r, "mail").failing;
        assert_true(since > 0);
        pass(&r, 30 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(taken(second, "[ALERT]"), 1);
        assert_int_equal(taken(second, "[CORDON] notices do not leave by smtp:"), 1);
        assert_int_equal(record(&r, "mail").failing, since);
        assert_false(is_well(&r, "mail"));

        use_rules(&r, RULES_MAIL_ONLY, mail, ""); /* a reload changes nothing about it */
        pass(&r, 15 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(record(&r, "mail").failing, since);
        assert_int_equal(sim_state(second, "mails"), 2);
        assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK); /* does not wait */
        work_all(&r);
        assert_int_equal(taken(second, "[CORDON] source flow is quiet"), 1);

        sim_tell(first, "/config", rows[i].well);
        assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK);
        work_all(&r);
        assert_int_equal(taken(first, "[CORDON] source flow is quiet"), 1);
        assert_int_equal(taken(first, "[CORDON] notices leave by smtp:"), 1);
        assert_true(is_well(&r, "mail"));
        assert_int_equal(sim_state(second, "mails"), 3);
        close_rig(&r);
        sim_stop(first);
        sim_stop(second);
    }
}

/* A login works, and another process, after a restart or beside this one, has not seen that it is all that works. */
static void test_fallback__a_server_that_takes_no_mail_is_known_to_the_next_process(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    char mail[400];
    struct runtime *old;
    int64_t since;
    struct rig r;

    (void)state;
    (void)snprintf(mail, sizeof mail,
                   "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    sim_tell(first, "/config", "{\"smtp\":{\"refuse_from\":\"550 5.7.60 not as this sender\"}}");
    (void)rig_push(&r, ALERT, MACHINE);
    pass(&r, 5 * MINUTE_MS, MINUTE_MS);
    since = record(&r, "mail").failing;
    assert_true(since > 0);
    old = r.g->runtime;
    r.g->runtime = read_rules(&r, RULES_MAIL_ONLY, mail, "");
    runtime_unref(old);
    hands_turn(&r.hands, 6 * MINUTE_MS);
    for (struct work w; rig_claim(&r, WORK_WAY, &w);) /* the look comes first */
        ways_run(r.g, &w);
    assert_int_equal(record(&r, "mail").failing, since);
    pass(&r, 30 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(record(&r, "mail").failing, since);
    assert_int_equal(taken(second, "[ALERT]"), 1);
    assert_int_equal(taken(second, "[CORDON] notices do not leave by smtp:"), 1);
    assert_int_equal(sim_state(second, "mails"), 2);
    /* `cordon doctor` sends nothing, and so finds nothing wrong with it: that is not where people are sent. */
    assert_null(strstr(words_about(&r, "way:mail"), "doctor` says what is wrong"));
    assert_non_null(strstr(words_about(&r, "way:mail"), "last failure says what is wrong"));

    /* Another server in its place is asked, and is told apart from it by its name. */
    (void)snprintf(mail, sizeof mail,
                   "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                   second->smtp_url, first->smtp_url);
    use_rules(&r, RULES_MAIL_ONLY, mail, "");
    pass(&r, 6 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(second, "[CORDON] notices leave by smtp:"), 1);
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* Graph takes nothing for hours. A mail that is too long for it is not tried there, and so says nothing of it. */
static void test_fallback__what_is_too_long_for_a_way_does_not_make_it_work(void **state)
{
    const char *to = "soc@contoso.example";
    AUTO(buf_clear) struct buf message = BUF_INIT(4 << 20);
    struct way_mail mail = {.id = 1, .from = "cordon@contoso.example", .to = &to, .n = 1};
    struct mail_result result = {0};
    struct ways_sent sent;
    struct runtime *rt;
    char graph[300];
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    (void)snprintf(graph, sizeof graph, "    graph_url: %s/graph\n", peer_url(r.peer));
    r.tenants = graph;
    use_rules(&r, RULES_MAIL_ONLY, "  server: graph:cordon@contoso.example\n", "");
    rig_says(&r, "POST", "/graph/", 0, 503, "{}");
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_true(record(&r, "mail").failing > 0);
    while (message.len < (3 << 20))
        buf_adds(&message, "Subject: x\r\n");
    mail.message = buf_text(&message);
    mail.len = message.len;
    rt = engine_runtime(r.g);
    ways_send(r.g, rt, rt->ways, 1, &mail, clock_wall_ms(&r.hands.clock), &result, &sent);
    assert_int_equal(result.fate, MAIL_REFUSED);
    assert_true(sent.tries[0].alone);
    assert_false(is_well(&r, "mail"));
    runtime_unref(rt);
    close_rig(&r);
}

/* The first wants to be left alone for an hour; the second is away for a moment, and is asked again when it may be back. */
static void test_fallback__one_way_that_is_throttled_holds_up_no_other(void **state)
{
    static const char mail[] = "  server: graph:cordon@contoso.example\n"
                               "  fallback: {after: 30s, ways: [{webhook: chat}]}\n";
    char more[300], graph[300];
    struct notice_record *list;
    struct rig r;
    size_t n = 0;
    int64_t id;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, "  server: smtp://127.0.0.1:9\n", "");
    (void)snprintf(graph, sizeof graph, "    graph_url: %s/graph\n", peer_url(r.peer));
    (void)snprintf(more, sizeof more, "webhooks: {chat: {url: '%s/chat', template: slack}}\n",
                   peer_url(r.peer));
    r.tenants = graph;
    use_rules(&r, RULES_MAIL_ONLY, mail, more);
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = "/graph/",
                                              .status = 429,
                                              .headers = "Retry-After: 3600\r\n",
                                              .body = "{}"});
    rig_says(&r, "POST", "/chat", 1, 503, "later");
    rig_says(&r, "POST", "/chat", 0, 200, "ok");
    id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 5 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].state, "sent");
    close_rig(&r);
}

/* For ten minutes, whatever becomes of this host's clock meanwhile: mails do not wait until that shows the time anew at which
 * it was told so. */
static void test_fallback__a_way_is_left_alone_no_longer_when_the_clock_is_set_back(void **state)
{
    static const char mail[] = "  server: graph:cordon@contoso.example\n";
    const struct notice_system n = {.about = "source:flow",
                                    .kind = "source_quiet",
                                    .subject = "a source is quiet",
                                    .headline = "x",
                                    .body = "x"};
    char graph[300];
    struct rig r;
    struct err e;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, "  server: smtp://127.0.0.1:9\n", "");
    (void)snprintf(graph, sizeof graph, "    graph_url: %s/graph\n", peer_url(r.peer));
    r.tenants = graph;
    use_rules(&r, RULES_MAIL_ONLY, mail, "");
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = "/graph/",
                                              .times = 1,
                                              .status = 429,
                                              .headers = "Retry-After: 600\r\n",
                                              .body = "{}"});
    rig_says(&r, "POST", "/graph/", 0, 202, NULL);
    assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", "/graph/"), 1);
    atomic_fetch_add(&r.hands.wall, -(3 * HOUR_MS));
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    pass(&r, 9 * MINUTE_MS, 30 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/graph/"), 1);
    pass(&r, 3 * MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/graph/"), 2);
    close_rig(&r);
}

/* Graph says that it has the mail, and the end of that answer is lost: it is not sent again. */
static void test_fallback__what_graph_has_accepted_is_sent_once(void **state)
{
    char graph[300];
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    (void)snprintf(graph, sizeof graph, "    graph_url: %s/graph\n", peer_url(r.peer));
    r.tenants = graph;
    use_rules(&r, RULES_MAIL_ONLY, "  server: graph:cordon@contoso.example\n", "");
    peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                              .target = "/graph/",
                                              .raw = "HTTP/1.1 202 Accepted\r\n"
                                                     "Transfer-Encoding: chunked\r\n\r\n"});
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, DAY_MS, HOUR_MS);
    assert_int_equal(rig_seen(&r, "POST", "/graph/"), 1);
    close_rig(&r);
}

/* A reload, for which it is enough that a file is rotated, does not make it be asked sooner;
 * another mailbox may be tried. */
static void test_fallback__a_reload_leaves_a_way_alone_that_wants_it(void **state)
{
    static const char mail[] = "  server: graph:cordon@contoso.example\n";
    static const struct {
        const char *then;
        size_t asked; /* until ten minutes are over */
    } rows[] = {{mail, 1}, {"  server: graph:soc@contoso.example\n", 3}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct notice_system n = {.about = "source:flow",
                                  .kind = "source_quiet",
                                  .subject = "a source is quiet",
                                  .headline = "x",
                                  .body = "x"};
        char graph[300];
        struct rig r;
        struct err e;

        open_rig(&r, RULES_MAIL_ONLY, "  server: smtp://127.0.0.1:9\n", "");
        (void)snprintf(graph, sizeof graph, "    graph_url: %s/graph\n", peer_url(r.peer));
        r.tenants = graph;
        use_rules(&r, RULES_MAIL_ONLY, mail, "");
        peer_script(r.peer, &(struct peer_answer){.method = "POST",
                                                  .target = "/graph/",
                                                  .times = 1,
                                                  .status = 429,
                                                  .headers = "Retry-After: 600\r\n",
                                                  .body = "{}"});
        rig_says(&r, "POST", "/graph/", 0, 202, NULL);
        assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK);
        work_all(&r);
        use_rules(&r, RULES_MAIL_ONLY, rows[i].then, "");
        n.about = "source:relay"; /* it waits for no other */
        assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK);
        pass(&r, 9 * MINUTE_MS, 30 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", "/graph/"), rows[i].asked);
        pass(&r, 2 * MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", "/graph/"), 3);
        close_rig(&r);
    }
}

static void test_fallback__a_restart_begins_no_time_anew(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    struct notice_system n = {.about = "source:flow",
                              .kind = "source_quiet",
                              .subject = "source flow is quiet",
                              .headline = "x",
                              .body = "x"};
    char mail[400];
    struct health *health;
    struct err e;
    struct rig r;

    (void)state;
    (void)snprintf(mail, sizeof mail,
                   "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    sim_tell(first, "/config", DOWN);
    assert_int_equal(notice_system_tell(r.g, &n, &e), ERR_OK);
    pass(&r, 12 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(sim_state(second, "mails"), 2);
    health = r.g->health; /* another process knows it from the store */
    assert_int_equal(health_new(&r.hands.clock, &r.g->health, &e), ERR_OK);
    health_free(health);
    assert_true(is_well(&r, "mail"));
    assert_int_equal(ways_watch(r.g, &e), ERR_OK);
    assert_false(is_well(&r, "mail"));
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* The first way began to fail while the clock was ahead, and the notice is from then: the next has it as soon as else. */
static void test_fallback__a_clock_that_was_ahead_keeps_nothing_from_the_next_way(void **state)
{
    struct sim *first = sim_start(NULL), *second = sim_start(NULL);
    char mail[400];
    struct rig r;

    (void)state;
    (void)snprintf(mail, sizeof mail,
                   "  server: %s\n  fallback: {after: 10m, ways: [{server: '%s'}]}\n",
                   first->smtp_url, second->smtp_url);
    open_rig(&r, RULES_MAIL_ONLY, mail, "");
    sim_tell(first, "/config", DOWN);
    hands_turn(&r.hands, 7 * DAY_MS);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_true(record(&r, "mail").failing > 0);
    hands_turn(&r.hands, -7 * DAY_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    pass(&r, 12 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(taken(second, "[ALERT]"), 1);
    assert_int_equal(taken(second, "[CORDON] notices do not leave by"), 1);
    close_rig(&r);
    sim_stop(first);
    sim_stop(second);
}

/* A server that STARTTLS was dropped from gets nothing, and somebody hears of it. */
static void test_fallback__without_starttls_the_webhook_hears_of_it(void **state)
{
    struct sim *sim = sim_start(NULL);
    AUTO(json_freep) struct json *calls = NULL, *smtp = NULL;
    const char *told = "";
    char mail[300], more[600], url[400];
    struct rig r;
    FILE *f;

    (void)state;
    sim_tell(sim, "/config", "{\"smtp\":{\"starttls\":false}}");
    sim_tell(sim, "/sinks", "{\"name\":\"soc\",\"kind\":\"teams\",\"sig\":\"s3cret\"}");
    /* 127.1 is no name of loopback's for cordon */
    (void)snprintf(mail, sizeof mail,
                   "  server: smtp://127.1%s\n  fallback: {ways: [{webhook: soc}]}\n",
                   strrchr(sim->smtp_url, ':'));
    (void)snprintf(url, sizeof url, "%s/url", sim->dir);
    f = fopen(url, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "%s/sink/soc?sig=s3cret\n", sim->api_url) > 0);
    assert_int_equal(fclose(f), 0);
    (void)snprintf(more, sizeof more, "webhooks: {soc: {url_file: '%s', template: teams}}\n", url);
    open_rig(&r, RULES_MAIL_ONLY, mail, more);
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_false(is_well(&r, "mail"));
    pass(&r, 11 * MINUTE_MS, 30 * SECOND_MS);
    calls = sim_wait_calls(sim, "POST", "/sink/soc", 2, WAIT);
    assert_int_equal(json_count(json_get(calls, "calls")), 2);
    JSON_EACH (call, json_get(calls, "calls")) {
        int64_t status = 0;

        assert_true(json_int64(json_get(call, "status"), &status) && status == 202);
        told = json_get_string(call, "body");
    }
    assert_non_null(strstr(json_get_string(json_first(json_get(calls, "calls")), "body"), "ALERT"));
    /* Why it fails has no room in the post. /readyz has it; `cordon doctor`, which sends no mail, may find nothing. */
    assert_non_null(strstr(told, "notices do not leave by"));
    assert_non_null(strstr(told, "/readyz"));
    assert_null(strstr(told, "doctor"));
    smtp = sim_get(sim, "/smtp");
    assert_true(json_count(json_get(smtp, "commands")) > 0);
    JSON_EACH (command, json_get(smtp, "commands"))
        assert_null(strstr(json_string(command), "MAIL FROM"));
    assert_int_equal(sim_state(sim, "mails"), 0);
    assert_false(is_well(&r, "mail"));
    pass(&r, DAY_MS, HOUR_MS); /* once each */
    assert_int_equal(sim_count_calls(sim, "POST", "/sink/soc"), 2);
    close_rig(&r);
    sim_stop(sim);
}
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fallback__a_server_down_for_two_hours_gets_all_of_it_once),
        cmocka_unit_test(test_fallback__after_an_outage_no_old_state_comes_behind_a_new_one),
        cmocka_unit_test(test_fallback__after_an_outage_no_channel_reads_isolated_last),
        cmocka_unit_test(test_fallback__after_an_outage_no_digest_says_isolated_last),
        cmocka_unit_test(test_fallback__after_an_outage_nobody_is_asked_behind_what_came_of_it),
        cmocka_unit_test(test_fallback__what_waits_is_sent_as_whom_mail_from_names_now),
        cmocka_unit_test(test_fallback__what_reaches_none_of_its_people_goes_to_mail_to),
        cmocka_unit_test(test_fallback__what_mail_to_cannot_get_either_has_failed),
        cmocka_unit_test(test_fallback__mail_to_has_as_much_time_as_those_before_it),
        cmocka_unit_test(test_fallback__after_a_pause_of_days_a_failed_try_gives_nothing_up),
        cmocka_unit_test(test_fallback__what_nobody_takes_for_five_days_has_failed),
        cmocka_unit_test(test_fallback__a_webhook_that_is_throttled_for_days_is_given_up_in_time),
        cmocka_unit_test(
            test_fallback__what_waited_with_the_wrong_template_is_posted_with_the_right_one),
        cmocka_unit_test(test_fallback__what_waits_goes_when_a_reload_has_the_cure),
        cmocka_unit_test(test_fallback__what_is_posted_of_cordon_promises_no_mail),
        cmocka_unit_test(test_fallback__posts_about_one_thing_leave_in_their_order),
        cmocka_unit_test(test_fallback__a_question_that_is_posted_anew_says_how_to_answer),
        cmocka_unit_test(test_fallback__a_post_is_signed_by_each_secret_of_many),
        cmocka_unit_test(test_fallback__what_is_about_no_case_is_given_up_as_any_other),
        cmocka_unit_test(
            test_fallback__a_mail_server_that_fails_is_posted_where_it_is_the_only_way),
        cmocka_unit_test(test_fallback__mail_servers_that_all_fail_are_posted),
        cmocka_unit_test(test_fallback__what_was_posted_is_not_posted_again_for_its_mail),
        cmocka_unit_test(test_fallback__posts_that_wait_are_not_said_to_go_another_way),
        cmocka_unit_test(test_fallback__one_post_that_is_not_taken_is_no_way_that_fails),
        cmocka_unit_test(test_fallback__a_webhook_that_names_its_url_is_not_quoted),
        cmocka_unit_test(test_fallback__what_one_way_refuses_for_good_is_for_the_next),
        cmocka_unit_test(test_fallback__what_one_way_refuses_waits_for_the_next),
        cmocka_unit_test(test_fallback__what_the_next_way_refuses_waits_for_the_first),
        cmocka_unit_test(test_fallback__who_hears_no_answer_waits_longer_the_next_time),
        cmocka_unit_test(test_fallback__no_answer_is_waited_for_in_the_next_ways_time),
        cmocka_unit_test(test_fallback__no_answer_is_waited_for_while_the_next_notice_waits),
        cmocka_unit_test(test_fallback__who_waits_for_an_answer_holds_up_nobody),
        cmocka_unit_test(test_fallback__who_heard_no_answer_is_known_in_a_storm),
        cmocka_unit_test(test_fallback__a_try_that_takes_until_then_is_followed_by_the_next_way),
        cmocka_unit_test(test_fallback__the_next_way_is_used_and_people_hear_of_it),
        cmocka_unit_test(test_fallback__a_server_that_hangs_up_on_each_message_does_not_work),
        cmocka_unit_test(test_fallback__a_server_that_takes_no_mail_is_no_way_out),
        cmocka_unit_test(test_fallback__a_server_that_takes_no_mail_is_known_to_the_next_process),
        cmocka_unit_test(test_fallback__what_is_too_long_for_a_way_does_not_make_it_work),
        cmocka_unit_test(test_fallback__one_way_that_is_throttled_holds_up_no_other),
        cmocka_unit_test(test_fallback__a_way_is_left_alone_no_longer_when_the_clock_is_set_back),
        cmocka_unit_test(test_fallback__what_graph_has_accepted_is_sent_once),
        cmocka_unit_test(test_fallback__a_reload_leaves_a_way_alone_that_wants_it),
        cmocka_unit_test(test_fallback__a_restart_begins_no_time_anew),
        cmocka_unit_test(test_fallback__a_clock_that_was_ahead_keeps_nothing_from_the_next_way),
        cmocka_unit_test(test_fallback__without_starttls_the_webhook_hears_of_it),
    };

    if (argc == 2 && !strcmp(argv[1], "smtp-child"))
        return smtp_child_main(STDIN_FILENO, STDOUT_FILENO);
    return cmocka_run_group_tests_name("fallback", tests, NULL, NULL);
}
