/* test_expand.c - a case from `received` to its last step: what is read, what a failed read leads to, and
 * that whatever happens a person hears of it. */
#include "engine_kit.h"

#include <poll.h>
#include <pthread.h>

#include "desk.h"
#include "json.h"
#include "notice.h"
#include "storm.h"

#define DA2    "da2_-1"
#define OF_200 MACHINE MACHINE MACHINE MACHINE MACHINE
#define OF_600 OF_200 OF_200 OF_200 /* PostgreSQL could not keep rows by that */

static int64_t push(struct rig *r, const char *alert)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, alert);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(r, 0);
    return rig_push(r, ALERT, NULL);
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* What answers to the reading of the alert come to: tried on, late, and then? */
static void test_expand__what_a_failed_read_leads_to(void **state)
{
    static const struct {
        int status;
        const char *body;
        int64_t for_ms; /* it fails that long, at least */
        const char *told;
        enum peer_act act;
        const char *at_once; /* told by the first try; NULL: nothing, or the end */
    } rows[] = {
        {.status = 404,
         .body = "{\"error\":{\"code\":\"ResourceNotFound\"}}",
         .for_ms = 14 * MINUTE_MS,
         .told = "not_isolated"},
        {.status = 400,
         .body = "{\"error\":{\"code\":\"InvalidInput\"}}",
         .for_ms = 0,
         .told = "not_isolated"},
        {.status = 403,
         .body = "{\"error\":{\"code\":\"Forbidden\"}}",
         .for_ms = 0,
         .told = "not_isolated"},
        /* a secret that has run out: people are to act, not to wait */
        {.status = 401,
         .body = "{}",
         .for_ms = 23 * HOUR_MS,
         .told = "late not_isolated",
         .at_once = "late"},
        {.status = 409,
         .body = "{\"error\":{\"code\":\"Conflict\"}}",
         .for_ms = 23 * HOUR_MS,
         .told = "late not_isolated"},
        {.status = 408, .body = "", .for_ms = 23 * HOUR_MS, .told = "late not_isolated"},
        {.act = PEER_CLOSE, .for_ms = 23 * HOUR_MS, .told = "late not_isolated"},
        {.act = PEER_RESET, .for_ms = 23 * HOUR_MS, .told = "late not_isolated"},
        {.status = 500, .body = "{}", .for_ms = 23 * HOUR_MS, .told = "late not_isolated"},
        {.status = 503, .body = "", .for_ms = 23 * HOUR_MS, .told = "late not_isolated"},
        {.status = 200,
         .body = "{\"id\":\"another\"}",
         .for_ms = 23 * HOUR_MS,
         .told = "late not_isolated"},
        {.status = 200,
         .body = "{\"id\":\"" ALERT "\",\"machineId\":\"" OF_600 "\"}",
         .for_ms = 23 * HOUR_MS,
         .told = "late not_isolated"},
        {.status = 200,
         .body = "{\"id\":\"" ALERT "\",\"detectorId\":\"" OF_600 "\"}",
         .for_ms = 23 * HOUR_MS,
         .told = "late not_isolated"},
        {.status = 429,
         .body = "{\"error\":{\"code\":\"429\",\"message\":\"in 8 seconds\"}}",
         .for_ms = 23 * HOUR_MS,
         .told = "late not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":359900,\"access_token\":\"t\"}");
        peer_script(r.peer, &(struct peer_answer){.method = "GET",
                                                  .target = GET_ALERT,
                                                  .act = rows[i].act,
                                                  .status = rows[i].status,
                                                  .body = rows[i].body});
        id = rig_push(&r, ALERT, NULL);
        (void)rig_work(&r);
        if (rows[i].for_ms) {
            assert_string_equal(rig_told(&r, id), rows[i].at_once ? rows[i].at_once : "");
            rig_pass(&r, rows[i].for_ms, rows[i].for_ms > HOUR_MS ? 15 * MINUTE_MS : MINUTE_MS);
            assert_int_equal(rig_case(&r, id).state, CASE_EXPANDING);
            rig_pass(&r, 4 * HOUR_MS, 15 * MINUTE_MS);
        }
        print_message("  %d\n", rows[i].status);
        assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* People hear after a quarter of an hour that it takes long, even if Defender said to come back in two. */
static void test_expand__a_long_patience_is_not_silence(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t\"}");
    peer_script(r.peer, &(struct peer_answer){.target = GET_ALERT,
                                              .status = 429,
                                              .headers = "Retry-After: 7200\r\n",
                                              .body = "{}"});
    id = rig_push(&r, ALERT, NULL);
    (void)rig_work(&r);
    rig_pass(&r, 16 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "late");
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 1); /* Defender was left in peace */
    rig_close(&r);
}

/* A reload does not give a new budget: Defender counts on, and calls before its time lengthen the block. */
static void test_expand__a_reload_leaves_defender_in_peace(void **state)
{
    struct rig r;
    int64_t minute, hour;

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t\"}");
    peer_script(r.peer, &(struct peer_answer){.target = GET_ALERT,
                                              .status = 429,
                                              .headers = "Retry-After: 600\r\n",
                                              .body = "{}"});
    (void)rig_push(&r, ALERT, NULL);
    (void)rig_work(&r);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    (void)rig_push(&r, DA2, NULL);
    (void)rig_work(&r);
    rig_pass(&r, 9 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 1);
    quota_used(r.g->runtime->tenants[0].quota, &minute, &hour);
    assert_int_equal(hour, 1);
    rig_close(&r);
}

/* A reload gives the application a second name: both make calls of one budget, which Defender counts. */
static void test_expand__a_second_name_brings_no_second_budget(void **state)
{
    int64_t taken = 0;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    for (int i = 0; i < 25; i++)
        assert_int_equal(quota_take(r.g->runtime->tenants[0].quota, true, NULL), ERR_OK);
    r.tenants = arena_fmt(r.arena,
                          "  twin:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_secret_file: %s/secret\n    api_url: %s\n"
                          "    login_url: %s\n",
                          r.dir, peer_url(r.peer), peer_url(r.peer));
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    for (int i = 0; i < 2; i++)
        while (taken < 300 && !quota_take(r.g->runtime->tenants[i].quota, true, NULL))
            taken++;
    assert_int_equal(25 + taken, 100);
    rig_close(&r);
}

/* Each name goes on with its own limits, whatever is reloaded: a small one of the application holds the other's isolations up no
 * more than it did. */
static void test_expand__names_of_one_application_keep_their_limits_over_a_reload(void **state)
{
    static const int64_t limits[][2] = {{100, 10}, {100, 10}, {60, 10}, {60, 100}, {60, 100}};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct runtime *before = engine_runtime(r.g), *now;
        const char *own = arena_fmt(r.arena, "    quota: {per_minute: %d}\n", (int)limits[i][0]);

        r.tenants = arena_fmt(r.arena,
                              "%s  twin:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                              "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                              "    client_secret_file: %s/secret\n    api_url: %s\n"
                              "    login_url: %s\n    quota: {per_minute: %d}\n",
                              own, r.dir, peer_url(r.peer), peer_url(r.peer), (int)limits[i][1]);
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        now = engine_runtime(r.g);
        for (size_t t = 0; t < 2; t++)
            assert_int_equal(quota_per_minute(now->tenants[t].quota), limits[i][t]);
        for (size_t t = 0; t < before->config->n_tenants; t++) /* who is at work by it yet */
            assert_int_equal(quota_per_minute(before->tenants[t].quota), limits[i][t]);
        runtime_unref(now);
        runtime_unref(before);
    }
    rig_close(&r);
}

/* Facts that cannot be written down do not make a case that is tried for ever in silence. */
static void test_expand__facts_that_cannot_be_stored_are_told(void **state)
{
    struct rig r;
    char alert[600] = "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"x\":";
    size_t len = strlen(alert);
    int64_t id;

    (void)state;
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        alert[len++] = '[';
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        alert[len++] = ']';
    alert[len++] = '}';
    rig_open(&r, NULL);
    id = push(&r, alert);
    (void)rig_work(&r);
    rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
    assert_string_equal(rig_told(&r, id), "late not_isolated");
    rig_close(&r);
}

/* Texts of any length fit into a mail: what is too long is cut, and the mail leaves. */
static void test_expand__no_text_is_too_long_to_be_told(void **state)
{
    struct rig r;
    struct buf alert = BUF_INIT(1 << 20);
    int64_t id;

    (void)state;
    buf_adds(&alert, "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE
                     "\",\"title\":\"");
    for (int i = 0; i < 150000; i++)
        buf_adds(&alert, "\xc3\xa4<");
    buf_adds(&alert, "\"}");
    rig_open(&r, "rules:\n  - {name: a, do: [email: {body: '{{alert.title}}',"
                 " subject: '{{alert.title}}'}]}\n");
    id = push(&r, buf_text(&alert));
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "alert");
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    buf_clear(&alert);
    rig_close(&r);
}

/* Machine ids are hexadecimal digits in either case: one machine, one isolation. */
static void test_expand__one_machine_in_two_spellings_is_one(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    (void)push(&r, ALERT_DOC);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    rig_afresh(&r);
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 200,
             "{\"id\":\"" DA2 "\",\"severity\":\"High\",\"machineId\":"
             "\"9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4\"}");
    rig_says(&r, "GET", "/api/machines/", 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING); /* not listed yet */
    rig_says(&r, "POST", "/api/machines/", 0, 201,
             ACTION_DOC("a9", "Isolate", "Pending", "null", "11:13"));
    (void)rig_push(&r, DA2, NULL);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
    rig_close(&r);
}

#define OTHER_MACHINE            "0123456789abcdef0123456789abcdef01234567"
#define AN_ALERT(severity, more) "{\"id\":\"" ALERT "\",\"severity\":\"" severity "\"" more "}"
#define ON_MACHINE               ",\"machineId\":\"" MACHINE "\""

/* Facts are of the machine that the alert names, whatever the sender says; of none if it names none. */
static void test_expand__facts_are_of_the_machine_that_the_alert_names(void **state)
{
    static const struct {
        const char *label, *pushed, *alert, *name, *told;
        int machine_status;
        size_t reads; /* of any machine */
    } rows[] = {
        {"no machine pushed", NULL, AN_ALERT("Low", ON_MACHINE), "ws-114.corp.example", "alert",
         200, 1},
        {"the same one", MACHINE, AN_ALERT("Low", ON_MACHINE), "ws-114.corp.example", "alert", 200,
         1},
        {"the same one in capitals", "9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4",
         AN_ALERT("Low", ON_MACHINE), "ws-114.corp.example", "alert", 200, 1},
        {"another one", OTHER_MACHINE, AN_ALERT("Low", ON_MACHINE), "ws-114.corp.example", "alert",
         200, 2},
        {"the alert names none", OTHER_MACHINE, AN_ALERT("Low", ""), NULL, "alert", 200, 1},
        {"the alert's is not known", NULL, AN_ALERT("Low", ON_MACHINE), NULL, "alert", 404, 1},
        {"the alert's is no id", NULL, AN_ALERT("Low", ",\"machineId\":\"ws-114\""), NULL, "alert",
         200, 0},
        {"High, and another one", OTHER_MACHINE, AN_ALERT("High", ON_MACHINE),
         "ws-114.corp.example", "not_isolated", 200, 2},
        {"High, and the alert names none", OTHER_MACHINE, AN_ALERT("High", ""), NULL,
         "not_isolated", 200, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        const char *facts;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, rows[i].alert);
        rig_says(&r, "GET", GET_MACHINE, 0, rows[i].machine_status, MACHINE_DOC);
        rig_says(&r, "GET", "/api/machines/9C1F6F3D", 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, 200,
                 "{\"id\":\"" OTHER_MACHINE "\",\"computerDnsName\":\"other.example\"}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        id = rig_push(&r, ALERT, rows[i].pushed);
        (void)rig_work(&r);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        facts = rig_case(&r, id).facts;
        if (rows[i].name)
            assert_non_null(strstr(facts, rows[i].name));
        else
            assert_null(strstr(facts, "computerDnsName"));
        assert_null(strstr(facts, "other.example"));
        assert_int_equal(rig_seen(&r, "GET", "/api/machines/"), rows[i].reads);
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 0);
        rig_close(&r);
    }
}

/* The alert is about no machine, and its sender names one that Defender does not give out: that is no reason not to judge
 * the alert. */
static void test_expand__a_machine_that_the_sender_alone_names_holds_nothing_up(void **state)
{
    static const int answers[] = {400, 403, 503};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, AN_ALERT("Low", ""));
        rig_says(&r, "GET", "/api/machines/" OTHER_MACHINE, 0, answers[i], "{}");
        rig_says(&r, "GET", LIST, 0, answers[i], "{}");
        id = rig_push(&r, ALERT, OTHER_MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(rig_told(&r, id), "alert");
        rig_close(&r);
    }
}

#define EVIDENCE(file) ",\"evidence\":[{\"entityType\":\"File\",\"fileName\":\"" file "\"}]"
#define MADE(time)     ",\"alertCreationTime\":\"2025-01-07T" time "Z\",\"title\":\"t\""

/* An alert that was made seconds ago may come without its evidence. Where the policy looks at that it is read again, or a
 * rule would not hold that does, or hold where it does not; where it does not look, or the alert is no new one, nothing
 * waits. */
static void test_expand__evidence_that_is_still_to_come_is_waited_for(void **state)
{
#define ALLOWED                                                                                    \
    "rules:\n  - {name: contain, when: {alert.severity: High, not: {alert.evidence.files: "        \
    "tool.exe}}, do: [isolate: {}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"
#define WANTED                                                                                      \
    "rules:\n  - {name: contain, when: {alert.severity: High, alert.evidence.files: tool.exe}, do:" \
    " [isolate: {}, email: {}]}\n  - {name: tell, do: [email: {}]}\n"
    static const struct {
        const char *label, *rules, *made;
        const char *then; /* its evidence at the third read, or with `missing` at the second */
        size_t reads, isolated;
        int missing; /* so often it is not there */
    } rows[] = {
        {"a rule that asks for it", WANTED, MADE("10:11:10.5"), EVIDENCE("tool.exe"), 3, 1, 0},
        {"a rule that is not for it", ALLOWED, MADE("10:11:10.5"), EVIDENCE("tool.exe"), 3, 0, 0},
        {"a template",
         "rules:\n  - {name: contain, do: [isolate: {comment: '{{alert.evidence.files}}'}]}\n",
         MADE("10:11:10.5"), EVIDENCE("tool.exe"), 3, 1, 0},
        {"a clock that is behind", WANTED, MADE("10:15:10"), EVIDENCE("tool.exe"), 3, 1, 0},
        {"an alert that is not there at first", ALLOWED, MADE("10:11:10.5"), EVIDENCE("tool.exe"),
         6, 0, 4},
        {"none comes", ALLOWED, MADE("10:11:10.5"), ",\"evidence\":[]", 5, 1, 0},
        {"a policy that does not look at it", NULL, MADE("10:11:10.5"), EVIDENCE("tool.exe"), 1, 1,
         0},
        {"an alert of before", ALLOWED, MADE("09:11:10"), EVIDENCE("tool.exe"), 1, 1, 0},
        {"an alert of nobody knows when", ALLOWED, "", EVIDENCE("tool.exe"), 1, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, rows[i].rules);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        if (rows[i].missing)
            rig_says(&r, "GET", GET_ALERT, rows[i].missing, 404, "{}");
        rig_says(&r, "GET", GET_ALERT, rows[i].missing ? 1 : 2, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ALERT "\",\"severity\":\"High\"" ON_MACHINE
                           "%s,\"evidence\":[]}",
                           rows[i].made));
        rig_says(&r, "GET", GET_ALERT, 0, 200,
                 arena_fmt(r.arena,
                           "{\"id\":\"" ALERT "\",\"severity\":\"High\"" ON_MACHINE "%s%s}",
                           rows[i].made, rows[i].then));
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        (void)rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, (rows[i].missing ? 60 : 25) * SECOND_MS, SECOND_MS / 4);
        assert_int_equal(rig_seen(&r, "GET", GET_ALERT), rows[i].reads);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].isolated);
        rig_close(&r);
    }
}

static int64_t slow_wall(const struct clock *c)
{
    return hands_wall(c) + (rig_seen(rig_hung.r, "GET", GET_ALERT) ? MINUTE_MS : 0);
}

/* The machine that is read in a second round makes facts no younger: they are as old as the alert. */
static void test_expand__facts_are_as_old_as_their_oldest_part(void **state)
{
    struct rig r;
    int64_t id, began;

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    id = push(&r, ALERT_DOC);
    began = hands_wall(&r.hands.clock);
    rig_hung.r = &r;
    r.hands.clock.wall_ms = slow_wall;
    (void)rig_work(&r);
    r.hands.clock.wall_ms = hands_wall;
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_non_null(
        strstr(rig_case(&r, id).facts, arena_fmt(r.arena, "\"read_ms\":%lld", (long long)began)));
    rig_close(&r);
}

static int64_t stopped_wall(const struct clock *c)
{
    return hands_wall(c) + (rig_seen(rig_hung.r, "GET", GET_ALERT) ? 11 * MINUTE_MS : 0);
}

/* What was read before the process stood still, or before others that were read with it took their time, is read again: that
 * it is old is no doubt that a person could dispel. */
static void test_expand__what_is_old_when_it_is_judged_is_read_again(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = push(&r, ALERT_DOC);
    rig_hung.r = &r;
    r.hands.clock.wall_ms = stopped_wall;
    (void)rig_work(&r);
    rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
    r.hands.clock.wall_ms = hands_wall;
    assert_int_equal(rig_seen(&r, "GET", GET_ALERT), 2);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_told(&r, id), "requested");
    rig_close(&r);
}

/* One that is tried again gets as long as a new one, however old the alert is. */
static void test_expand__a_case_that_is_tried_again_has_all_its_time(void **state)
{
    struct desk_order retry = {.who = "maria"};
    struct err e = {0};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":359900,\"access_token\":\"t\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
    retry.id = rig_push(&r, ALERT, NULL);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_case(&r, retry.id).state, CASE_FAILED);
    if (desk_retry(r.g, &retry, &e))
        fail_msg("%s", e.text);
    rig_pass(&r, 10 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_case(&r, retry.id).state, CASE_EXPANDING);
    rig_pass(&r, 10 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_case(&r, retry.id).state, CASE_FAILED);
    rig_close(&r);
}

/* A step of an older version that this one has no handler for may have been one that acts: when the rule tells nobody,
 * people hear that nothing was done. */
static void test_expand__a_step_that_nobody_knows_is_told(void **state)
{
    struct rig r;
    struct step_record *steps;
    size_t n = 0;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: a, do: [isolate: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 503, "");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_ACTING);
    rig_sql(&r, "UPDATE steps SET handler = 'quarantine'");
    rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
    assert_int_equal(steps[0].state, STEP_FAILED);
    assert_string_equal(rig_told(&r, id), "not_isolated");
    assert_non_null(strstr(rig_subject(&r, id), "has no handler 'quarantine'"));
    rig_close(&r);
}

/* Each step that was not done beside an isolation is told once, with its reason, though the rule's mail speaks of the
 * isolation alone; and one that stays undone for a day has failed. */
static void test_expand__what_was_not_done_beside_an_isolation_is_told(void **state)
{
    static const struct {
        int status; /* of the answer to the tag */
        const char *list, *told;
    } rows[] = {
        {403, NOTHING, "requested action_failed"},
        {403, NULL, "not_isolated action_failed"},
        {200, NOTHING, "requested"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  row %zu\n", i);
        rig_open(&r, "rules:\n  - {name: a, do: [tag: {add: seen}, isolate: {}, email: {}]}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, rows[i].status, MACHINE_DOC);
        rig_says(&r, "POST", ISOLATE, 0, rows[i].list ? 201 : 400,
                 rows[i].list
                     ? ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12")
                     : "{\"error\":{\"code\":\"OsPlatformNotSupported\",\"message\":\"m\"}}");
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        assert_string_equal(rig_told(&r, id), rows[i].told);
        rig_close(&r);
    }
}

/* Who was told that it is late is told the end, by a rule that tells nobody else. */
static void test_expand__who_was_told_late_is_told_the_end(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: a, do: [tag: {add: seen}]}\n");
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 503, "");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_string_equal(rig_told(&r, id), "late");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_string_equal(rig_told(&r, id), "late alert");
    rig_close(&r);
}

/* ---- the store ------------------------------------------------------------------------------------ */

struct stale {
    struct case_record c;
    struct isolation_record i;
    enum err_code of_case, of_isolation;
};

static enum err_code stale_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct stale *s = arg;
    struct case_record c = s->c;
    struct isolation_record i = s->i;

    s->of_case = case_move(tx, &c, CASE_EXPANDING, NULL, 1, e);
    s->of_isolation = isolation_move(tx, &i, ISOLATION_FAILED, NULL, 1, e);
    return ERR_OK;
}

/* A commit whose answer was an error may have come to light: a record of before it moves nothing. */
static void test_expand__an_outdated_record_moves_nothing(void **state)
{
    struct rig r;
    struct stale s = {0};
    int64_t id;

    (void)state;
    rig_open(&r, NULL);
    id = push(&r, ALERT_DOC);
    s.c = rig_case(&r, id); /* received */
    (void)rig_work(&r);
    s.i = rig_isolation(&r); /* pending */
    s.i.state = ISOLATION_REQUESTED;
    assert_int_equal(db_write(r.store->db, stale_fn, &s, NULL), ERR_OK);
    assert_int_equal(s.of_case, ERR_STALE);
    assert_int_equal(s.of_isolation, ERR_STALE);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_PENDING);
    rig_close(&r);
}

/* ---- notices ------------------------------------------------------------------------------------- */

static size_t run_notices(struct rig *r)
{
    struct work w;
    size_t n = 0;

    for (; rig_claim(r, WORK_NOTICE, &w); n++)
        notice_run(r->g, &w);
    return n;
}

/* A first mail that nobody takes for now holds up the second a while, for the order's sake, not for days. */
static void test_expand__a_mail_that_hangs_does_not_park_the_next_for_days(void **state)
{
    struct rig r;
    struct notice_record *list;
    size_t n = 0;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: a, do: [email: {to: a@contoso.example},"
                 " email: {to: b@contoso.example}]}\n");
    r.g->mail_helper = "/bin/false"; /* every attempt is to be repeated */
    id = push(&r, ALERT_DOC);
    (void)rig_work(&r);
    assert_int_equal(run_notices(&r), 1);
    for (int i = 0; i < 40; i++) {
        hands_turn(&r.hands, MINUTE_MS);
        (void)run_notices(&r);
    }
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_non_null(list[0].recipients[0].reply);
    assert_non_null(list[1].recipients[0].reply); /* it was tried */
    rig_close(&r);
}

/* A case that the store cannot give any more cannot fail as a case does: people hear of it all the same, once a day. */
static void test_expand__a_case_that_cannot_be_read_is_told(void **state)
{
    static const char *const spoil[] = {
        "UPDATE cases SET state = 'x'",
        "DELETE FROM cases",
        "UPDATE steps SET state = 'x'",
    };

    (void)state;
    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        struct notice_record *list;
        size_t n = 0;
        struct rig r;

        print_message("  %s\n", spoil[i]);
        rig_open(&r, NULL);
        (void)push(&r, ALERT_DOC);
        if (i == 2) { /* judged, and its isolation not yet asked for */
            peer_forget(r.peer);
            rig_afresh(&r);
            rig_says(&r, "GET", LIST, 0, 503, "");
            (void)rig_work(&r);
        }
        rig_sql(&r, spoil[i]);
        rig_pass(&r, 10 * MINUTE_MS, MINUTE_MS);
        assert_int_equal(store_notice_list(r.store, r.arena, 0, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 0);
        rig_pass(&r, 26 * HOUR_MS, 5 * MINUTE_MS);
        assert_int_equal(store_notice_list(r.store, r.arena, 0, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 2);
        assert_string_equal(list[0].kind, "case_unreadable");
        assert_string_equal(list[0].subject, "[CORDON] a case cannot be read from the store");
        rig_close(&r);
    }
}

/* What Defender said at the verdict cannot be read back: nothing more is done by it, and people hear at once. */
static void test_expand__a_verdict_without_its_facts_is_told(void **state)
{
    static const char *const spoil[] = {"UPDATE cases SET facts = '{'",
                                        "UPDATE cases SET facts = '{}'",
                                        "UPDATE cases SET facts = NULL"};

    (void)state;
    for (size_t i = 0; i < sizeof spoil / sizeof *spoil; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", spoil[i]);
        rig_open(&r, "rules:\n  - {name: a, do: [tag: {add: seen}, isolate: {}, email: {}]}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 1, 503, "");
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_case(&r, id).state, CASE_ACTING);
        rig_sql(&r, spoil[i]);
        rig_pass(&r, MINUTE_MS, 10 * SECOND_MS);
        assert_int_equal(rig_case(&r, id).state, CASE_FAILED);
        assert_string_equal(rig_told(&r, id), "not_isolated");
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 1);
        rig_close(&r);
    }
}

/* ---- many at once --------------------------------------------------------------------------------- */

#define LIST_ALERTS   "/api/alerts?$filter=id%20in%20("
#define LIST_MACHINES "/api/machines?$filter=id%20in%20("
#define LOOKS         "/api/machineactions?$filter=machineId%20in%20("
#define MACHINE2      "1111111111111111111111111111111111111111"

/* Three alerts wait, two of them on one machine. */
static void push_three(struct rig *r, int64_t ids[3])
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    ids[0] = rig_push(r, "da1_-1", NULL);
    ids[1] = rig_push(r, "da2_-1", NULL);
    ids[2] = rig_push(r, "da3_-1", NULL);
    atomic_store(&r->g->crowd[WORK_CASE], true);
}

#define ONE_ALERT(id, severity, machine)                                                           \
    "{\"id\":\"" id "\",\"severity\":\"" severity "\",\"machineId\":\"" machine "\"}"
#define ONE_MACHINE(id, name) "{\"id\":\"" id "\",\"computerDnsName\":\"" name "\"}"
#define THREE_ALERTS                                                                               \
    "{\"value\":[" ONE_ALERT("da3_-1", "Low", MACHINE2) "," ONE_ALERT(                             \
        "da1_-1", "High", MACHINE) "," ONE_ALERT("da2_-1", "High", MACHINE) "]}"
#define TWO_MACHINES                                                                               \
    "{\"value\":[" ONE_MACHINE(MACHINE2, "b.example") "," ONE_MACHINE(MACHINE, "a.example") "]}"

/* One call for the alerts, one for the machines, one look; each case its own verdict; one isolation. */
static void test_expand__cases_that_wait_are_read_together(void **state)
{
    struct rig r;
    int64_t ids[3];

    (void)state;
    rig_open(&r, NULL);
    push_three(&r, ids);
    rig_says(&r, "GET", LIST_ALERTS, 0, 200, THREE_ALERTS);
    rig_says(&r, "GET", LIST_MACHINES, 0, 200, TWO_MACHINES);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts"), 1);
    assert_int_equal(rig_seen(&r, "GET", "/api/machines"), 1);
    rig_pass(&r, 4 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/"), 1);
    assert_string_equal(rig_case(&r, ids[0]).rule, "contain");
    assert_string_equal(rig_case(&r, ids[2]).rule, "tell");
    assert_int_equal(rig_case(&r, ids[0]).isolation, rig_case(&r, ids[1]).isolation);
    assert_int_equal(rig_case(&r, ids[2]).isolation, 0);
    assert_non_null(strstr(rig_case(&r, ids[2]).facts, "b.example"));
    rig_close(&r);
}

/* What a list leaves out is not known not to be: it is listed again, then asked for alone, and so is a machine. */
static void test_expand__what_a_list_leaves_out_is_read_alone(void **state)
{
    struct rig r;
    int64_t ids[3];

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    push_three(&r, ids);
    rig_says(&r, "GET", LIST_ALERTS, 0, 200,
             "{\"value\":[" ONE_ALERT("da1_-1", "Low", MACHINE2) "," ONE_ALERT("da2_-1", "Low",
                                                                               MACHINE) "]}");
    rig_says(&r, "GET", LIST_MACHINES, 0, 200,
             "{\"value\":[" ONE_MACHINE(MACHINE2, "b.example") "]}");
    rig_says(&r, "GET", "/api/alerts/da3_-1", 0, 200, ONE_ALERT("da3_-1", "Low", MACHINE2));
    rig_says(&r, "GET", "/api/machines/" MACHINE2, 0, 200, ONE_MACHINE(MACHINE2, "b.example"));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, ids[0]).state, CASE_DONE);
    assert_int_equal(rig_case(&r, ids[1]).state, CASE_DONE); /* its machine was read alone */
    assert_non_null(strstr(rig_case(&r, ids[1]).facts, "ws-114.corp.example"));
    assert_int_equal(rig_case(&r, ids[2]).state, CASE_EXPANDING);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_case(&r, ids[2]).state, CASE_DONE);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts/da3_-1"), 1);
    rig_close(&r);
}

/* Nor is it when the case is old already, because the server was away, say, or there were no calls: a list is no last
 * word. */
static void test_expand__what_a_list_leaves_out_late_is_read_alone(void **state)
{
    struct rig r;
    int64_t ids[3];

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    push_three(&r, ids);
    rig_says(&r, "GET", LIST_ALERTS, 0, 200,
             "{\"value\":[" ONE_ALERT("da1_-1", "Low", MACHINE) "," ONE_ALERT("da2_-1", "Low",
                                                                              MACHINE) "]}");
    rig_says(&r, "GET", LIST_MACHINES, 0, 200, TWO_MACHINES);
    rig_says(&r, "GET", "/api/alerts/da3_-1", 0, 200, ONE_ALERT("da3_-1", "Low", MACHINE));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    hands_turn(&r.hands, 20 * MINUTE_MS);
    rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
    for (int k = 0; k < 3; k++)
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
    assert_string_equal(rig_told(&r, ids[2]), "alert");
    rig_close(&r);
}

/* What nobody asked for is passed over: an id that a sender spells in capitals, and Defender does not, holds up
 * its own case and no other. */
static void test_expand__a_strange_row_holds_nobody_up(void **state)
{
    struct rig r;
    int64_t ids[3];

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    push_three(&r, ids);
    ids[2] = rig_push(&r, "DA4_-1", NULL);
    rig_says(&r, "GET", LIST_ALERTS, 0, 200,
             "{\"value\":[" ONE_ALERT("da1_-1", "Low", MACHINE) "," ONE_ALERT(
                 "da4_-1", "High", MACHINE) "," ONE_ALERT("da2_-1", "Low", MACHINE) ",7,{}]}");
    rig_says(&r, "GET", LIST_MACHINES, 0, 200,
             "{\"value\":[" ONE_MACHINE(MACHINE2, "b.example") "," ONE_MACHINE(MACHINE,
                                                                               "a.example") "]}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ONE_ALERT("da4_-1", "High", MACHINE));
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, ids[0]).state, CASE_DONE);
    assert_int_equal(rig_case(&r, ids[1]).state, CASE_DONE);
    assert_string_equal(rig_case(&r, ids[1]).machine_id, MACHINE);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_case(&r, ids[2]).state, CASE_FAILED); /* it would be so for ever */
    assert_string_equal(rig_told(&r, ids[2]), "not_isolated");
    rig_close(&r);
}

/* Lists that are refused, or speak of something else, decide nothing about any case. */
static void test_expand__a_bad_list_is_no_answer(void **state)
{
    static const struct {
        int status;
        const char *body;
        bool alone; /* lists are given up, and each is read by itself; else they wait */
    } rows[] = {
        {414, "", true},
        {400, "{\"error\":{\"code\":\"ODataError\",\"message\":\"too many nodes\"}}", true},
        {403, "{\"error\":{\"code\":\"Forbidden\"}}", true},
        {500, "{}", false},
        {200, "{\"value\":[" ONE_ALERT("da9_-1", "High", MACHINE) "]}", false},
        {200, "{\"value\":{}}", false},
        {200, "{\"value\":[],\"@odata.nextLink\":\"ftp://x\"}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[3];

        print_message("  row %zu\n", i);
        rig_open(&r, RULES_MAIL_ONLY);
        push_three(&r, ids);
        rig_says(&r, "GET", LIST_ALERTS, 0, rows[i].status, rows[i].body);
        rig_says(&r, "GET", "/api/alerts/da1_-1", 0, 200, ONE_ALERT("da1_-1", "Low", MACHINE));
        rig_says(&r, "GET", "/api/alerts/da2_-1", 0, 200, ONE_ALERT("da2_-1", "Low", MACHINE));
        rig_says(&r, "GET", "/api/alerts/da3_-1", 0, 200, ONE_ALERT("da3_-1", "Low", MACHINE));
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        (void)rig_work(&r);
        for (int k = 0; k < 3; k++)
            assert_int_equal(rig_case(&r, ids[k]).state,
                             rows[i].alone ? CASE_DONE : CASE_EXPANDING);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS); /* by themselves, or alone now */
        for (int k = 0; k < 3; k++) {
            assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
            assert_non_null(strstr(rig_case(&r, ids[k]).facts, "ws-114.corp.example"));
        }
        assert_int_equal(rig_seen(&r, "GET", "/api/alerts/"), 3); /* each once */
        rig_close(&r);
    }
}

/* Of many that wait, those that their sender calls High are first. */
static void test_expand__a_hint_is_seen_to_first(void **state)
{
    struct rig r;
    struct work w;
    int64_t low, high;

    (void)state;
    rig_open(&r, NULL);
    low = rig_push(&r, "da1_-1", NULL);
    hands_turn(&r.hands, SECOND_MS);
    high = rig_push_hinted(&r, "da2_-1", NULL, true);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    assert_int_equal(w.id, high);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    assert_int_equal(w.id, low);
    rig_close(&r);
}

/* A protected machine stays so for every case that shares what was read of it. */
static void test_expand__protection_holds_for_all_who_share_a_machine(void **state)
{
    struct rig r;
    int64_t ids[3];

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety:\n  protected:\n    - machine.tags: [tier-0]\n");
    push_three(&r, ids);
    rig_says(&r, "GET", LIST_ALERTS, 0, 200, THREE_ALERTS);
    rig_says(&r, "GET", LIST_MACHINES, 0, 200,
             "{\"value\":[" ONE_MACHINE(
                 MACHINE2, "b.example") ",{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    for (int k = 0; k < 3; k++)
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines"), 0);
    rig_close(&r);
}

/* What was read of a machine while the clock was three hours ahead is no news three hours after it was set right: somebody may
 * have protected the machine since then, or isolated it. */
static void test_expand__what_was_read_by_a_clock_that_was_ahead_grows_old(void **state)
{
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct storm *storm;
    struct rig r;
    int64_t ids[3];

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety:\n  protected:\n    - machine.tags: [tier-0]\n");
    rt = engine_runtime(r.g);
    storm = runtime_tenant(rt, "contoso")->storm;
    push_three(&r, ids);
    rig_says(&r, "GET", LIST_ALERTS, 1, 200,
             "{\"value\":[" ONE_ALERT("da1_-1", "Low", MACHINE) "," ONE_ALERT(
                 "da2_-1", "Low", MACHINE2) "," ONE_ALERT("da3_-1", "Low", MACHINE) "]}");
    rig_says(&r, "GET", LIST_MACHINES, 1, 200,
             "{\"value\":[" ONE_MACHINE(MACHINE2, "b.example") ",{\"id\":\"" MACHINE
                                                               "\",\"machineTags\":[]}]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    for (int k = 0; k < 3; k++)
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
    storm_note_bare(storm, MACHINE, clock_wall_ms(&r.hands.clock));
    assert_true(storm_find_bare(storm, MACHINE) > 0);
    atomic_fetch_add(&r.hands.wall, -(3 * HOUR_MS));
    hands_turn(&r.hands, 3 * HOUR_MS);
    for (int k = 0; k < 3; k++)
        ids[k] = rig_push(&r, arena_fmt(r.arena, "da%d_-1", 4 + k), NULL);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    rig_says(&r, "GET", LIST_ALERTS, 1, 200,
             "{\"value\":[" ONE_ALERT("da4_-1", "High", MACHINE) "," ONE_ALERT(
                 "da5_-1", "High", MACHINE) "," ONE_ALERT("da6_-1", "High", MACHINE) "]}");
    rig_says(&r, "GET", LIST_MACHINES, 0, 200,
             "{\"value\":[{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}]}");
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines"), 0);
    assert_int_equal(rig_seen(&r, "GET", LIST_MACHINES), 2);
    assert_int_equal(storm_find_bare(storm, MACHINE), 0);
    rig_close(&r);
}

/* Calls come free one by one. A case that took the next one for itself would leave none for a list. */
static void test_expand__cases_that_wait_do_not_take_calls_one_by_one(void **state)
{
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct quota *q;
    struct rig r;

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    rig_afresh(&r);
    rt = engine_runtime(r.g);
    q = runtime_tenant(rt, "contoso")->quota;
    assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    hands_turn(&r.hands, 10 * SECOND_MS);
    while (quota_room(q, false))
        assert_int_equal(quota_take(q, false, NULL), ERR_OK);
    for (int i = 0; i < 5; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-1", i), NULL);
    hands_turn(&r.hands, 50 * SECOND_MS); /* one call is free */
    assert_int_equal(quota_room(q, false), 1);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/"), 0);
    rig_says(&r, "GET", "/api/alerts?", 0, 200, NOTHING);
    hands_turn(&r.hands, 10 * SECOND_MS); /* all of them are */
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 1);
    rig_close(&r);
}

#define ASKED 40

/* So many machines are to be isolated, and their turn has come. */
static void ask_for_many(struct rig *r)
{
    struct buf alerts = BUF_INIT(1 << 20), machines = BUF_INIT(1 << 20);

    hands_turn(&r->hands, 1);
    buf_adds(&alerts, "{\"value\":[");
    buf_adds(&machines, "{\"value\":[");
    for (int i = 0; i < ASKED; i++) {
        buf_addf(&alerts, "%s{\"id\":\"da%d_-1\",\"severity\":\"High\",\"machineId\":\"%040x\"}",
                 i ? "," : "", i, i + 1);
        buf_addf(&machines, "%s{\"id\":\"%040x\"}", i ? "," : "", i + 1);
        (void)rig_push(r, arena_fmt(r->arena, "da%d_-1", i), NULL);
    }
    buf_adds(&alerts, "]}");
    buf_adds(&machines, "]}");
    rig_says(r, "GET", "/api/alerts?", 1, 200, buf_text(&alerts));
    rig_says(r, "GET", "/api/machines?", 0, 200, buf_text(&machines));
    rig_says(r, "GET", "/api/alerts?", 0, 200, NOTHING);
    atomic_store(&r->g->crowd[WORK_CASE], true);
    (void)rig_work(r);
    assert_int_equal(rig_seen(r, "GET", "/api/alerts?"), 1);
    buf_clear(&alerts);
    buf_clear(&machines);
}

/* One of several cases that wait is run. */
static void run_a_case(struct rig *r)
{
    struct work w;

    assert_true(rig_claim(r, WORK_CASE, &w));
    atomic_store(&r->g->crowd[WORK_CASE], true);
    expand_run(r->g, &w);
}

/* Machines that are to be isolated have the calls that are free before more alerts are read, which may be of the same
 * ones; but after a while it is the turn of those. */
static void test_expand__isolations_that_wait_come_first(void **state)
{
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    struct rig r;
    struct quota *q;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL "safety:\n  limits: [{isolations: 1000, per: 1h}]\n");
    rig_afresh(&r);
    ask_for_many(&r);
    rt = engine_runtime(r.g);
    q = runtime_tenant(rt, "contoso")->quota;
    while (quota_room(q, true) > ASKED + 1)
        assert_int_equal(quota_take(q, true, NULL), ERR_OK);
    for (int i = 0; i < 10; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
    hands_turn(&r.hands, 3 * SECOND_MS); /* nobody rests any more */
    run_a_case(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 1);
    hands_turn(&r.hands, 16 * SECOND_MS);
    run_a_case(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 2);
    for (int i = 0; i < 10; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-3", i), NULL);
    hands_turn(&r.hands, 3 * SECOND_MS);
    run_a_case(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 2);
    hands_turn(&r.hands, 42 * SECOND_MS); /* calls for all of them */
    run_a_case(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 3);
    rig_close(&r);
}

#define CROWD 8

#define OF(machine, id, type, status, second)                                                      \
    "{\"id\":\"" id "\",\"type\":\"" type "\",\"status\":\"" status "\",\"machineId\":\"" machine  \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:" second                                           \
    "Z\",\"lastUpdateDateTimeUtc\":\"2025-01-07T10:" second "Z\",\"externalId\":null}"
#define ISOLATE2 "/api/machines/" MACHINE2 "/isolate"

/* A machine that was isolated a while ago; then so many more alerts of it, which are read together. */
static void push_crowd_of_isolated(struct rig *r, int64_t ids[CROWD])
{
    struct buf alerts = BUF_INIT(1 << 16);

    (void)push(r, ALERT_DOC);
    (void)rig_work(r);
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_pass(r, HOUR_MS, MINUTE_MS);
    assert_int_equal(rig_isolation(r).state, ISOLATION_ISOLATED);
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":359900,\"access_token\":\"t1\"}");
    buf_adds(&alerts, "{\"value\":[");
    for (int i = 0; i < CROWD; i++) {
        const char *id = arena_fmt(r->arena, "da%d_-2", i);

        buf_addf(&alerts, "%s{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}",
                 i ? "," : "", id);
        rig_says(r, "GET", arena_fmt(r->arena, GET_ALERT "%s", id), 0, 200,
                 arena_fmt(r->arena, ONE_ALERT("%s", "High", MACHINE), id));
        ids[i] = rig_push(r, id, NULL);
    }
    buf_adds(&alerts, "]}");
    rig_says(r, "GET", LIST_ALERTS, 0, 200, arena_str(r->arena, buf_text(&alerts)));
    rig_says(r, "GET", LIST_MACHINES, 0, 200,
             "{\"value\":[" ONE_MACHINE(MACHINE, "a.example") "]}");
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    atomic_store(&r->g->crowd[WORK_CASE], true);
    buf_clear(&alerts);
}

/* That a person has just extended it says nothing of how the machine stands: alerts that come in a crowd look, and do not
 * take it for one that was found to be isolated a moment ago. */
static void test_expand__many_join_what_was_confirmed_and_not_what_was_written(void **state)
{
    struct rig r;
    int64_t ids[CROWD];
    struct err e = {0};

    (void)state;
    rig_open(&r, NULL);
    push_crowd_of_isolated(&r, ids);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC("u1", "Unisolate", "58:00", "58:10") "," ACTION_DOC(
                 ACTION, "Isolate", "Succeeded", "null", "11:12") "]}");
    rig_says(&r, "POST", ISOLATE, 0, 201, OF(MACHINE, "a2", "Isolate", "Pending", "58:12"));
    if (desk_extend(
            r.g,
            &(struct desk_order){.id = rig_isolation(&r).id, .why = "not yet", .for_ms = HOUR_MS},
            &e))
        fail_msg("%s", e.text);
    hands_turn(&r.hands, SECOND_MS);
    (void)rig_work(&r);
    assert_true(rig_seen(&r, "GET", LOOKS) > 0);
    for (int k = 0; k < CROWD; k++)
        assert_null(strstr(rig_told(&r, ids[k]), "isolated"));
    rig_close(&r);
}

/* A look for many that fails and goes on failing is a failed read of each: it is tried later and later, people hear in
 * time, and it ends. */
static void test_expand__a_look_that_fails_for_many_is_told(void **state)
{
    static const struct {
        int status;
        const char *body, *told;
    } rows[] = {
        {200, "{\"value\":[{\"id\":\"x\"}]}", "late not_isolated"},
        {200, "<html>", "late not_isolated"},
        {500, "", "late not_isolated"},
        {401, "{}", "late not_isolated"},
        {403, "{}", "not_isolated"},
        {429, "{\"error\":{\"code\":\"429\",\"message\":\"in 80 seconds\"}}", "late not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[CROWD];
        size_t lists;

        print_message("  row %zu\n", i);
        rig_open(&r, "rules:\n  - {name: a, do: [isolate: {}]}\n");
        push_crowd_of_isolated(&r, ids);
        rig_says(&r, "GET", LIST, 0, rows[i].status, rows[i].body);
        (void)rig_work(&r);
        rig_pass(&r, 15 * MINUTE_MS, SECOND_MS);
        lists = rig_seen(&r, "GET", LIST_ALERTS);
        if (lists > 40) /* not every other second */
            fail_msg("%zu lists", lists);
        rig_pass(&r, 25 * HOUR_MS, MINUTE_MS * 5);
        for (int k = 0; k < CROWD; k++)
            assert_string_equal(rig_told(&r, ids[k]), rows[i].told);
        rig_close(&r);
    }
}

/* cordon, or its network, was away for longer than anything is tried: what it finds then is tried all the same. */
static void test_expand__after_a_long_pause_one_failed_try_gives_nothing_up(void **state)
{
    static const struct {
        const char *label, *fails; /* what is asked in vain at first */
        int64_t before_ms, pause_ms;
        int status;
    } rows[] = {
        {"never read", GET_ALERT, 0, 3 * DAY_MS, 503},
        {"read in vain for hours", GET_ALERT, 6 * HOUR_MS, 3 * DAY_MS, 503},
        {"no calls left", GET_ALERT, HOUR_MS, 3 * DAY_MS, 429},
        {"no calls left for a step", LIST, 0, 3 * DAY_MS, 429},
        {"never asked for", LIST, 0, 3 * DAY_MS, 503},
        {"looked at in vain for hours", LIST, 6 * HOUR_MS, 3 * DAY_MS, 503},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *told;
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        peer_forget(r.peer);
        rig_says(&r, "GET", rows[i].fails, 0, rows[i].status, "{}");
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, rows[i].before_ms, MINUTE_MS);
        hands_turn(&r.hands, rows[i].pause_ms);
        (void)rig_work(&r);
        rig_pass(&r, 4 * MINUTE_MS, SECOND_MS);
        assert_null(strstr(rig_told(&r, id), "not_isolated"));
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        told = rig_told(&r, id);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_non_null(strstr(told, "isolated"));
        assert_null(strstr(told, "not_isolated"));
        rig_close(&r);
    }
}

/* And what fails on is given up, and told. */
static void test_expand__after_a_long_pause_it_is_not_tried_for_ever(void **state)
{
    static const char *const fails[] = {GET_ALERT, LIST};
    static const int status[] = {503, 429};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        peer_forget(r.peer);
        rig_says(&r, "GET", fails[i % 2], 0, status[i / 2], "{}");
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        id = rig_push(&r, ALERT, MACHINE);
        hands_turn(&r.hands, 3 * DAY_MS);
        rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
        assert_non_null(strstr(rig_told(&r, id), "not_isolated"));
        rig_close(&r);
    }
}

/* The same alert, by a source that may isolate, or not. */
static void push_by(struct rig *r, const char *source, const char *machine_id, bool may_isolate)
{
    const struct alert_ref ref = {.alert_id = ALERT, .machine_id = machine_id};
    const struct notification n = {.tenant = "contoso",
                                   .source = source,
                                   .received_ms = clock_wall_ms(&r->hands.clock),
                                   .may_isolate = may_isolate,
                                   .alerts = &ref,
                                   .count = 1};
    sem_t done;
    struct acceptance a = {.n = &n, .ctx = &done};

    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(r->store, &a, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    assert_int_equal(a.count, 1);
}

static void push_again(struct rig *r, const char *machine_id, bool may_isolate)
{
    push_by(r, "relay", machine_id, may_isolate);
}

static enum err_code poll_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return acceptance_of_poll(tx, arg, e);
}

/* The alert is found by a poll, whose list names its machine. */
static void found_by_poll(struct rig *r)
{
    const struct alert_ref ref = {.alert_id = ALERT, .machine_id = MACHINE};
    const struct notification n = {.tenant = "contoso",
                                   .source = CONFIG_POLLING,
                                   .received_ms = clock_wall_ms(&r->hands.clock),
                                   .may_isolate = true,
                                   .alerts = &ref,
                                   .count = 1};
    struct acceptance a = {.n = &n};

    assert_int_equal(db_write(r->store->db, poll_fn, &a, NULL), ERR_OK);
}

/* Who names the machine of an alert that nobody has read yet is heard, also when somebody came before him who named none. */
static void test_expand__a_second_sender_may_contradict_the_alert(void **state)
{
    static const struct {
        const char *label, *first, *second;
        bool may_isolate;
        size_t posts;
        bool polled;
    } rows[] = {
        {"another machine", NULL, "0123456789abcdef0123456789abcdef01234567", true, 0, false},
        {"the alert's own", NULL, MACHINE, true, 1, false},
        {"none either", NULL, NULL, true, 1, false},
        {"another machine, by who may only notify", NULL,
         "0123456789abcdef0123456789abcdef01234567", false, 1, false},
        {"another machine, and then the alert's own", "0123456789abcdef0123456789abcdef01234567",
         MACHINE, true, 0, false},
        {"another machine, after a poll", "0123456789abcdef0123456789abcdef01234567", NULL, true, 0,
         true},
        {"another machine after a poll, and then the alert's own",
         "0123456789abcdef0123456789abcdef01234567", MACHINE, true, 0, true},
        {"the alert's own, after a poll", MACHINE, NULL, true, 1, true},
        {"none, after a poll", NULL, NULL, true, 1, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        if (rows[i].polled)
            found_by_poll(&r);
        push_again(&r, rows[i].first, true);
        push_again(&r, rows[i].second, rows[i].may_isolate);
        id = rig_push(&r, ALERT, NULL);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        if (!rows[i].posts)
            assert_non_null(
                strstr(rig_subject(&r, id), "[NOT ISOLATED: the sender named machine "));
        rig_close(&r);
    }
}

#define RULES_ASK_FIRST                                                                            \
    "rules:\n  - {name: contain, do: [ask: {}, isolate: {}, email: {}]}\npolling: {every: 1m}\n"

/* A person does, to the one question that is open. */
static void say_yes(struct rig *r)
{
    struct question_record *list;
    enum question_state now;
    size_t n = 0;

    assert_int_equal(store_question_list(r->store, r->arena, QUESTION_OPEN, 0, 9, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(question_answer(r->g,
                                     &(struct question_answer){.question = list[0].id,
                                                               .person = "a@x.example",
                                                               .way = "operator",
                                                               .yes = true},
                                     &now, NULL),
                     ERR_OK);
}

/* Polling has found the alert, or a sender who names no machine; its isolation waits, for calls or for a person's yes. Then a sender
 * names another machine than the alert does: that is a question for a person, never an isolation. */
static void test_expand__a_sender_who_contradicts_the_alert_meanwhile_is_heard(void **state)
{
    static const struct {
        const char *label, *rules, *named;
        bool isolated, polled;
    } rows[] = {
        {"waits for calls", NULL, OTHER_MACHINE, false, false},
        {"waits for calls, found by a poll", NULL, OTHER_MACHINE, false, true},
        {"waits for a person", RULES_ASK_FIRST, OTHER_MACHINE, false, false},
        {"waits for calls, and it is the alert's", NULL, MACHINE, true, false},
        {"waits for a person, and it is the alert's", RULES_ASK_FIRST, MACHINE, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r,
                 rows[i].rules ? rows[i].rules : RULES_ISOLATE_AND_MAIL "polling: {every: 1m}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 409, "{}");
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:40"));
        if (rows[i].polled)
            found_by_poll(&r);
        else
            push_again(&r, NULL, true);
        (void)rig_work(&r);
        push_again(&r, rows[i].named, true);
        id = rig_push(&r, ALERT, NULL);
        if (rows[i].rules)
            say_yes(&r);
        rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state == ISOLATION_ISOLATED, rows[i].isolated);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        if (!rows[i].isolated) {
            assert_non_null(strstr(rig_told(&r, id), "not_isolated"));
            assert_int_equal(rig_seen(&r, "POST", ISOLATE), !rows[i].rules);
            assert_non_null(strstr(rig_words(&r, id), "the sender named machine"));
        }
        rig_close(&r);
    }
}

#define GAVE_UP                                                                                    \
    "{\"id\":\"" ACTION "\",\"type\":\"Isolate\",\"status\":\"TimeOut\",\"machineId\":\"" MACHINE  \
    "\",\"creationDateTimeUtc\":\"2025-01-07T10:11:12Z\","                                         \
    "\"lastUpdateDateTimeUtc\":\"2025-01-10T10:11:12Z\",\"externalId\":null}"

/* A case that begins anew may come to an isolation yet: of an alert that Defender did not know, and of a machine that was absent.
 * Who names another machine until then is heard. */
static void test_expand__a_second_sender_may_come_before_a_case_begins_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool absent = i / 2, another = i % 2;
        struct rig r;
        int64_t id;

        print_message("  %s, %s\n", absent ? "an absent machine" : "an unknown alert",
                      another ? "another machine" : "the alert's own");
        rig_open(&r, RULES_ISOLATE_AND_MAIL);
        rig_afresh(&r);
        if (!absent)
            peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        if (!absent)
            rig_says(&r, "GET", GET_ALERT, 0, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        rig_says(&r, "GET", GET_ACTION, 0, 200, GAVE_UP);
        push_again(&r, NULL, true);
        id = rig_push(&r, ALERT, NULL);
        (void)rig_work(&r);
        rig_pass(&r, 73 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_case(&r, id).state, absent ? CASE_DONE : CASE_FAILED);
        push_again(&r, another ? OTHER_MACHINE : MACHINE, true);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&r, "GET", GET_MACHINE, 0, 200,
                 "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\","
                 "\"lastSeen\":\"2025-01-10T21:00:00.5Z\"}");
        rig_says(&r, "GET", LIST, 0, 200, absent ? "{\"value\":[" GAVE_UP "]}" : NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC("d4", "Isolate", "Succeeded", "null", "12:12"));
        found_by_poll(&r);
        rig_pass(&r, 2 * HOUR_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), !another);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        if (another)
            assert_non_null(strstr(rig_words(&r, id), "the sender named machine"));
        rig_close(&r);
    }
}

/* Nor does a case that is over, or whose request has left, end the matter: a person may try it again, an absent machine come back, and a
 * request never have arrived. Who names another machine until then is heard, too. */
static void test_expand__a_second_sender_may_come_before_it_is_asked_for_again(void **state)
{
    static const struct desk_order drill = {.who = "maria", .why = "a drill"};
    static const struct {
        const char *label;
        bool paused, absent;
        size_t before;
    } rows[] = {
        {"cordon was paused", true, false, 0},
        {"an absent machine", false, true, 1},
        {"a request that got lost", false, false, 1},
    };

    (void)state;
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        const bool another = i % 2, paused = rows[i / 2].paused, absent = rows[i / 2].absent;
        struct rig r;
        int64_t id;

        print_message("  %s, %s\n", rows[i / 2].label,
                      another ? "another machine" : "the alert's own");
        rig_open(&r, RULES_ISOLATE_AND_MAIL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (absent)
            rig_takes_isolate(&r, 1);
        else if (!paused)
            peer_script(r.peer,
                        &(struct peer_answer){
                            .method = "POST", .target = ISOLATE, .times = 1, .act = PEER_RESET});
        if (!absent)
            rig_says(&r, "POST", ISOLATE, 0, 201,
                     ACTION_DOC("d4", "Isolate", "Succeeded", "null", "12:12"));
        rig_says(&r, "GET", GET_ACTION, 0, 200, GAVE_UP);
        if (paused)
            assert_int_equal(desk_pause(r.g, &drill, NULL), ERR_OK);
        push_again(&r, NULL, true);
        id = rig_push(&r, ALERT, NULL);
        (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i / 2].before);
        push_again(&r, another ? OTHER_MACHINE : MACHINE, true);
        if (paused) {
            assert_int_equal(desk_resume(r.g, &drill, NULL), ERR_OK);
            assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, NULL), ERR_OK);
        } else if (absent) {
            rig_pass(&r, 73 * HOUR_MS, HOUR_MS);
            assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
            peer_forget(r.peer);
            rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                     "{\"expires_in\":35990,\"access_token\":\"t1\"}");
            rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
            rig_says(&r, "GET", GET_MACHINE, 0, 200,
                     "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\","
                     "\"lastSeen\":\"2025-01-10T21:00:00.5Z\"}");
            rig_says(&r, "GET", LIST, 0, 200, "{\"value\":[" GAVE_UP "]}");
            rig_says(&r, "POST", ISOLATE, 0, 201,
                     ACTION_DOC("d4", "Isolate", "Succeeded", "null", "12:12"));
        }
        rig_pass(&r, 2 * HOUR_MS, absent ? HOUR_MS : 10 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE),
                         (absent ? 0 : rows[i / 2].before) + !another);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        if (another)
            assert_non_null(strstr(rig_words(&r, id), "the sender named machine"));
        rig_close(&r);
    }
}

static struct {
    struct rig *r;
    pthread_t here; /* the store has a thread of its own, which asks for the time, too */
    const char *machine_id;
    const char *path; /* once it was asked for so often */
    size_t times;
} interrupting;

/* Somebody pushes it again. */
static int64_t interrupting_wall(const struct clock *c)
{
    struct rig *r = pthread_equal(pthread_self(), interrupting.here) ? interrupting.r : NULL;

    if (r && rig_seen(r, "GET", interrupting.path) >= interrupting.times) {
        interrupting.r = NULL;
        push_again(r, interrupting.machine_id, true);
    }
    return hands_wall(c);
}

/* So is who names it while the alert is being read: the verdict that is about to be written knows nothing of him. */
static void test_expand__a_second_sender_may_come_while_the_alert_is_read(void **state)
{
    static const struct {
        const char *label, *rules, *machine_id;
        size_t posts;
    } rows[] = {
        {"another machine", RULES_ISOLATE_AND_MAIL, "0123456789abcdef0123456789abcdef01234567", 0},
        {"another machine, and the mail comes first",
         "rules:\n  - {name: contain, when: {alert.severity: High}, do: [email: {}, isolate: {}]}\n",
         "0123456789abcdef0123456789abcdef01234567", 0},
        {"the alert's own", RULES_ISOLATE_AND_MAIL, MACHINE, 1},
        {"none", RULES_ISOLATE_AND_MAIL, NULL, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct case_record c;
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, rows[i].rules);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_again(&r, NULL, true);
        interrupting.here = pthread_self();
        interrupting.machine_id = rows[i].machine_id;
        interrupting.path = GET_ALERT;
        interrupting.times = 1;
        interrupting.r = &r;
        r.hands.clock.wall_ms = interrupting_wall;
        (void)rig_work(&r);
        assert_null(interrupting.r);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        c = rig_case(&r, rig_push(&r, ALERT, NULL));
        if (rows[i].machine_id)
            assert_string_equal(c.pushed_machine_id, rows[i].machine_id);
        if (!rows[i].posts)
            assert_non_null(
                strstr(rig_subject(&r, c.id), "[NOT ISOLATED: the sender named machine "));
        rig_close(&r);
    }
}

/* And while the machine is looked at, right before its isolation is asked for: by the case's run, and by the isolation's own. */
static void test_expand__a_second_sender_may_come_while_the_machine_is_looked_at(void **state)
{
    static const struct {
        const char *label, *rules, *machine_id;
        unsigned list, post; /* so often they fail before */
        size_t posts;
    } rows[] = {
        {"the case's, another machine", NULL, OTHER_MACHINE, 2, 0, 0},
        {"the case's, the alert's own", NULL, MACHINE, 2, 0, 1},
        {"the case's after a yes, another machine", RULES_ASK_FIRST, OTHER_MACHINE, 0, 0, 0},
        {"the case's after a yes, the alert's own", RULES_ASK_FIRST, MACHINE, 0, 0, 1},
        {"the isolation's, another machine", NULL, OTHER_MACHINE, 0, 1, 1},
        {"the isolation's, the alert's own", NULL, MACHINE, 0, 1, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, rows[i].rules ? rows[i].rules : RULES_ISOLATE_AND_MAIL);
        rig_afresh(&r);
        if (rows[i].list)
            rig_says(&r, "GET", LIST, rows[i].list, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        if (rows[i].post)
            rig_says(&r, "POST", ISOLATE, rows[i].post, 409, "{}");
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_again(&r, NULL, true);
        (void)rig_work(&r);
        if (rows[i].rules)
            say_yes(&r);
        interrupting.here = pthread_self();
        interrupting.machine_id = rows[i].machine_id;
        interrupting.path = rows[i].rules ? GET_ALERT : LIST;
        interrupting.times = rows[i].rules ? 2 : rows[i].list + rows[i].post + 1;
        interrupting.r = &r;
        r.hands.clock.wall_ms = interrupting_wall;
        rig_pass(&r, 2 * MINUTE_MS, SECOND_MS);
        assert_null(interrupting.r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        id = rig_push(&r, ALERT, NULL);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(rig_case(&r, id).pushed_machine_id, rows[i].machine_id);
        if (rows[i].posts == rows[i].post)
            assert_non_null(strstr(rig_words(&r, id), "the sender named machine"));
        rig_close(&r);
    }
}

#define STRONG                                                                                     \
    "  strong:\n    tenant: contoso\n    verify:\n      - standard_webhooks: {public_keys: "       \
    "'whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}\n"

/* A source that might isolate when it pushed, and may not when its alert is read, keeps nobody else from it by having been
 * first; nor itself, once it may again. */
static void test_expand__a_right_that_was_taken_back_is_no_first_word(void **state)
{
    static const struct {
        const char *label, *first, *sources, *second, *back; /* back: sources of the second push */
        const char *why;
        bool judged; /* before the right was taken back, and not asked for yet */
    } rows[] = {
        {"it may only notify", "relay", "    may: [notify]\n" STRONG, "strong", NULL,
         "source relay may only notify", false},
        {"it is tried out", "relay", "    mode: shadow\n" STRONG, "strong", NULL,
         "shadow mode of source relay", false},
        {"it may only notify, and then may again", "relay", "    may: [notify]\n", "relay", "",
         "source relay may only notify", false},
        {"it is gone", "flow", STRONG, "strong", NULL, "source flow may only notify", false},
        {"it was judged before that, and not asked for yet", "relay", "    may: [notify]\n" STRONG,
         "strong", NULL, "judged again: source relay may only notify", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct step_record *steps;
        struct case_record c;
        struct rig r;
        size_t n;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        if (rows[i].judged)
            rig_says(&r, "GET", LIST, 2, 503, "{}"); /* with the alert, and before the request */
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, rows[i].first, MACHINE, true);
        if (rows[i].judged)
            (void)rig_work(&r);
        r.sources = rows[i].sources;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
        c = rig_case(&r, rig_push(&r, ALERT, NULL));
        assert_int_equal(c.state, CASE_DONE);
        assert_int_equal(store_case_steps(r.store, r.arena, c.id, &steps, &n, NULL), ERR_OK);
        assert_int_equal(strncmp(steps[0].why, rows[i].why, strlen(rows[i].why)), 0);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        if (rows[i].back) {
            r.sources = rows[i].back;
            engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        }
        push_by(&r, rows[i].second, MACHINE, true);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_string_equal(rig_case(&r, c.id).source, rows[i].second);
        push_by(&r, rows[i].second, MACHINE, true); /* once */
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        rig_close(&r);
    }
}

/* Nor does it where the other one, too, pushed before it was judged, which may be long after where Defender cannot be read: what
 * the sender that may isolate says counts, and people do not hear first that nothing is done. */
static void test_expand__of_two_senders_the_one_that_keeps_its_right_counts(void **state)
{
    static const char other[] = "0123456789abcdef0123456789abcdef01234567";
    static const struct {
        const char *label, *first, *second;
        const char *named, *too; /* machines */
        bool keeps;              /* the second its right */
        const char *sources;
        size_t posts;
        const char *subject; /* of the last mail */
    } rows[] = {
        {"it may only notify", "relay", "strong", MACHINE, MACHINE, true,
         "    may: [notify]\n" STRONG, 1, "[ISOLATED]"},
        {"it is tried out", "relay", "strong", MACHINE, NULL, true, "    mode: shadow\n" STRONG, 1,
         "[ISOLATED]"},
        {"it is gone", "flow", "strong", NULL, MACHINE, true, STRONG, 1, "[ISOLATED]"},
        {"who lost its right came second", "strong", "relay", MACHINE, MACHINE, false,
         "    may: [notify]\n" STRONG, 1, "[ISOLATED]"},
        {"what the other says of the machine counts", "relay", "strong", MACHINE, other, true,
         "    may: [notify]\n" STRONG, 0, "[NOT ISOLATED: the sender named machine "},
        {"and not what this one said", "relay", "strong", other, MACHINE, true,
         "    may: [notify]\n" STRONG, 1, "[ISOLATED]"},
        {"both have lost it", "relay", "strong", MACHINE, MACHINE, false,
         "    may: [notify]\n" STRONG "    may: [notify]\n", 0,
         "[NOT ISOLATED: source relay may only notify"},
        {"the same one twice", "relay", "relay", MACHINE, MACHINE, false,
         "    may: [notify]\n" STRONG, 0, "[NOT ISOLATED: source relay may only notify"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int late = 0; late < 2; late++) { /* the second comes after the reload */
            struct case_record c;
            struct rig r;

            print_message("  %s%s\n", rows[i].label, late ? ", and comes after that" : "");
            rig_open(&r, NULL);
            rig_afresh(&r);
            rig_says(&r, "GET", LIST, 0, 200, NOTHING);
            rig_says(&r, "POST", ISOLATE, 0, 201,
                     ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
            push_by(&r, rows[i].first, rows[i].named, true);
            if (!late)
                push_by(&r, rows[i].second, rows[i].too, true);
            r.sources = rows[i].sources;
            engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
            if (late)
                push_by(&r, rows[i].second, rows[i].too, rows[i].keeps);
            c = rig_case(&r, rig_push(&r, ALERT, NULL));
            rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
            assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
            assert_int_equal(
                strncmp(rig_subject(&r, c.id), rows[i].subject, strlen(rows[i].subject)), 0);
            assert_int_equal(strstr(rig_told(&r, c.id), "not_isolated") != NULL, !rows[i].posts);
            if (rows[i].posts)
                assert_string_equal(rig_case(&r, c.id).source, "strong");
            rig_close(&r);
        }
}

/* Nor where its right is gone after the verdict and before the request, which may be as long, whether the other one pushed it
 * before the verdict or after it. */
static void test_expand__who_keeps_its_right_counts_until_the_request(void **state)
{
    static const struct {
        const char *label;
        bool after; /* the second comes after the verdict */
        const char *sources;
        size_t posts;
    } rows[] = {
        {"before the verdict", false, "    may: [notify]\n" STRONG, 1},
        {"after the verdict", true, "    may: [notify]\n" STRONG, 1},
        {"it is tried out", true, "    mode: shadow\n" STRONG, 1},
        {"both have lost it", true, "    may: [notify]\n" STRONG "    may: [notify]\n", 0},
        {"the other one has lost it", true, STRONG "    may: [notify]\n", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct case_record c;
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 2, 503, "{}"); /* with the alert, and before the request */
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, "relay", MACHINE, true);
        if (!rows[i].after)
            push_by(&r, "strong", MACHINE, true);
        (void)rig_work(&r);
        if (rows[i].after)
            push_by(&r, "strong", MACHINE, true);
        r.sources = rows[i].sources;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
        c = rig_case(&r, rig_push(&r, ALERT, NULL));
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        assert_int_equal(c.state, CASE_DONE);
        assert_int_equal(
            strncmp(rig_subject(&r, c.id),
                    rows[i].posts ? "[ISOLATED]" : "[NOT ISOLATED: ", rows[i].posts ? 10 : 15),
            0);
        rig_close(&r);
    }
}

static struct {
    struct rig *r;
    int64_t id;
} judged_elsewhere;

/* The case was judged a moment ago by another replica, which has its turn whenever this one does. */
static int64_t judged_a_moment_ago(const struct clock *c)
{
    engine_judged(judged_elsewhere.r->g, judged_elsewhere.id);
    return hands_wall(c);
}

/* Nor where its right is gone when the isolation was begun for it, and waits for its turn with Defender: nothing was asked for yet. The
 * other one's word for the machine counts from then on, and is held against the alert. */
static void test_expand__who_keeps_its_right_counts_while_the_isolation_waits(void **state)
{
    static const struct {
        const char *label, *sources, *machine; /* that the other one named */
        size_t posts;
        bool replicas;
    } rows[] = {
        {"the other one may", "    may: [notify]\n" STRONG, MACHINE, 2, false},
        {"both have lost it", "    may: [notify]\n" STRONG "    may: [notify]\n", MACHINE, 1,
         false},
        {"against his own word", "    may: [notify]\n" STRONG,
         "0c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4", 1, false},
        {"against his own word, of two replicas", "    may: [notify]\n" STRONG,
         "0c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4", 1, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct case_record c;
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 2, 503, "{}");
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 429, "{}");
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, "relay", MACHINE, true);
        (void)rig_work(&r);
        push_by(&r, "strong", rows[i].machine, true);
        rig_pass(&r, 5 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_REQUESTED);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        r.sources = rows[i].sources;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        judged_elsewhere.r = &r;
        judged_elsewhere.id = rig_isolation(&r).case_id;
        if (rows[i].replicas)
            r.hands.clock.wall_ms = judged_a_moment_ago;
        rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
        r.hands.clock.wall_ms = hands_wall;
        c = rig_case(&r, rig_push(&r, ALERT, NULL));
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        assert_int_equal(c.state, CASE_DONE);
        assert_int_equal(strncmp(rig_subject(&r, c.id),
                                 rows[i].posts > 1 ? "[ISOLATED]" : "[NOT ISOLATED: ",
                                 rows[i].posts > 1 ? 10 : 15),
                         0);
        rig_close(&r);
    }
}

#define SCAN_PENDING ACTION_DOC("b1", "RunAntiVirusScan", "Pending", "null", "11:20")
#define RULES_ASK_AFTER                                                                            \
    "rules:\n  - {name: contain, do: [{isolate: {}, on_failure: ask}, scan: {}, email: {}]}\n"

/* A rule has people asked how to go on when the isolation is withheld, because a reload took its source's right: that keeps nobody
 * from it who may isolate, for as long as they take to answer. */
static void test_expand__a_question_delays_nobodys_right(void **state)
{
    static const struct {
        const char *label;
        bool before; /* the other one has pushed it before people are asked */
    } rows[] = {{"who has pushed it already", true}, {"who pushes it meanwhile", false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct case_record c;
        struct rig r;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, RULES_ASK_AFTER);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 2, 503, "{}"); /* with the alert, and before the request */
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        rig_says(&r, "POST", "/api/machines/" MACHINE "/runAntiVirusScan", 0, 201, SCAN_PENDING);
        rig_says(&r, "GET", GET_ACTION, 0, 200, SCAN_PENDING);
        push_by(&r, "relay", MACHINE, true);
        if (rows[i].before)
            push_by(&r, "strong", MACHINE, true);
        (void)rig_work(&r);
        r.sources = "    may: [notify]\n" STRONG;
        engine_use(r.g, rig_runtime(&r, RULES_ASK_AFTER));
        if (!rows[i].before) {
            rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
            c = rig_case(&r, rig_push(&r, ALERT, NULL));
            assert_int_equal(c.state, CASE_WAITING);
            assert_string_equal(rig_told(&r, c.id), "question");
            push_by(&r, "strong", MACHINE, true);
        }
        rig_pass(&r, 2 * MINUTE_MS, 10 * SECOND_MS);
        c = rig_case(&r, rig_push(&r, ALERT, NULL));
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
        assert_string_equal(c.source, "strong");
        assert_int_equal(c.state, CASE_DONE);
        assert_int_equal(strncmp(rig_subject(&r, c.id), "[ISOLATED]", 10), 0);
        rig_close(&r);
    }
}

#define FLOW(tenant)                                                                               \
    "  flow:\n    tenant: " tenant "\n    verify:\n      - standard_webhooks: {public_keys: "      \
    "'whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}\n"

/* What a source may is what it may of its tenant: a reload that gives its name to another tenant's has taken the right from what
 * it pushed before, whoever reads or asks then, and gives none of it to others' cases. */
static void test_expand__the_right_of_another_tenants_source_is_none(void **state)
{
    static const struct {
        const char *label, *second; /* who pushed it as well; NULL: nobody */
        bool judged;                /* before that, and not asked for yet */
        const char *sources;        /* after that */
        size_t posts;
    } rows[] = {
        {"before it is read", NULL, false, FLOW("fabrikam"), 0},
        {"before it is asked for", NULL, true, FLOW("fabrikam"), 0},
        {"another one keeps its right", "strong", false, FLOW("fabrikam") STRONG, 1},
        {"another one keeps its right until the request", "strong", true, FLOW("fabrikam") STRONG,
         1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        rig_open(&r, NULL);
        r.tenants = arena_fmt(r.arena,
                              "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                              "    client_id: 6d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                              "    client_secret_file: %s/secret\n    api_url: %s\n"
                              "    login_url: %s\n",
                              r.dir, peer_url(r.peer), peer_url(r.peer));
        r.sources = FLOW("contoso") STRONG;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        rig_afresh(&r);
        if (rows[i].judged)
            rig_says(&r, "GET", LIST, 2, 503, "{}"); /* with the alert, and before the request */
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, "flow", MACHINE, true);
        if (rows[i].second)
            push_by(&r, rows[i].second, MACHINE, true);
        if (rows[i].judged)
            (void)rig_work(&r);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        r.sources = rows[i].sources;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
        id = rig_push(&r, ALERT, NULL);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].posts);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_non_null(strstr(rig_subject(&r, id),
                               rows[i].posts ? "[ISOLATED]" : "source flow may only notify"));
        rig_close(&r);
    }
}

/* What a second one that may isolate says of the machine is held against the alert, whoever comes after it and says nothing of
 * that. Who says something else does not come into its place. */
static void test_expand__the_word_of_a_second_sender_is_not_forgotten_for_a_third(void **state)
{
    static const char other[] = "0123456789abcdef0123456789abcdef01234567";
    static const char third[] =
        "    may: [notify]\n" STRONG
        "  third:\n    tenant: contoso\n    verify:\n      - standard_webhooks: {public_keys: "
        "'whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}\n";
    static const char *const rows[] = {NULL, MACHINE};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, "relay", NULL, true);
        push_by(&r, "strong", other, true);
        push_by(&r, "third", rows[i], true);
        r.sources = third;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        id = rig_push(&r, ALERT, NULL);
        rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_string_equal(rig_case(&r, id).source, rows[i] ? "strong" : "third");
        assert_non_null(strstr(rig_subject(&r, id), "[NOT ISOLATED: the sender named machine "));
        rig_close(&r);
    }
}

/* Nor is a third one's right used against its own word: what a second one has said of the machine does not take its place. */
static void test_expand__nobody_isolates_against_his_own_word(void **state)
{
    static const char other[] = "0123456789abcdef0123456789abcdef01234567";
    static const char third[] =
        "    may: [notify]\n" STRONG "    may: [notify]\n"
        "  third:\n    tenant: contoso\n    verify:\n      - standard_webhooks: {public_keys: "
        "'whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='}\n";

    (void)state;
    for (int came_in = 0; came_in < 2; came_in++) { /* the second one, into the first one's place */
        struct rig r;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        if (came_in) { /* not to be looked at before the request, nor to be read for the second one */
            peer_forget(r.peer);
            rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                     "{\"expires_in\":35990,\"access_token\":\"t1\"}");
            rig_says(&r, "GET", GET_ALERT, 2, 200, ALERT_DOC);
            rig_says(&r, "GET", GET_ALERT, 3, 503, "{}");
            rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
            rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
            rig_says(&r, "GET", LIST, 2, 503, "{}");
        }
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, "relay", MACHINE, true);
        push_by(&r, "strong", MACHINE, true);
        id = rig_push(&r, ALERT, NULL);
        if (came_in) {
            (void)rig_work(&r);
            r.sources = "    may: [notify]\n" STRONG;
            engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
            for (int i = 0; i < 60 && strcmp(rig_case(&r, id).source, "strong") != 0; i++)
                rig_pass(&r, SECOND_MS, SECOND_MS);
            assert_string_equal(rig_case(&r, id).source, "strong");
        }
        push_by(&r, "third", other, true);
        r.sources = third;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
        id = rig_push(&r, ALERT, NULL);
        rig_pass(&r, 6 * MINUTE_MS, 30 * SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_non_null(strstr(rig_subject(&r, id), came_in
                                                        ? "[NOT ISOLATED: the sender named machine "
                                                        : "[NOT ISOLATED: source relay may"));
        rig_close(&r);
    }
}

/* Nor is what a person says when he is asked how to go on without the isolation, because the first one had lost its right. */
static void test_expand__a_no_is_not_undone_by_who_keeps_its_right(void **state)
{
    static const char rules[] =
        "rules:\n  - {name: contain, do: [{isolate: {}, on_failure: ask}, {scan: {}}, {email: {}}]}\n";
    struct question_answer no = {.person = "a@x.example", .way = "operator"};
    struct question_record *list;
    enum question_state now;
    struct rig r;
    size_t n = 0;
    int64_t id;

    (void)state;
    rig_open(&r, rules);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 2, 503, "{}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    push_by(&r, "relay", MACHINE, true);
    (void)rig_work(&r);
    r.sources = "    may: [notify]\n" STRONG;
    engine_use(r.g, rig_runtime(&r, rules));
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(store_question_list(r.store, r.arena, QUESTION_STATES, 0, 1, &list, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    no.question = list[0].id;
    assert_int_equal(question_answer(r.g, &no, &now, NULL), ERR_OK);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    push_by(&r, "strong", MACHINE, true);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    id = rig_push(&r, ALERT, NULL);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_int_equal(strncmp(rig_subject(&r, id), "[NOT ISOLATED: ", 15), 0);
    rig_close(&r);
}

/* A source that might only notify when it pushed, and may isolate when its alert is judged: a person's no to that is not undone
 * by the next push. */
static void test_expand__a_no_is_not_undone_by_a_second_push(void **state)
{
    static const char *const rows[] = {"relay", "strong"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct question_answer no = {.person = "a@x.example", .way = "operator"};
        struct question_record *list;
        enum question_state now;
        struct rig r;
        size_t n = 0;
        int64_t id;

        rig_open(&r, RULES_ISOLATE_AND_MAIL "safety: {canary: 1}\n");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        push_by(&r, "relay", MACHINE, false);
        (void)rig_work(&r);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_STATES, 0, 1, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        no.question = list[0].id;
        assert_int_equal(question_answer(r.g, &no, &now, NULL), ERR_OK);
        (void)rig_work(&r);
        id = rig_push(&r, ALERT, NULL);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        r.sources = STRONG;
        engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL)); /* no canary any more */
        push_by(&r, rows[i], MACHINE, true);
        rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        rig_close(&r);
    }
}

/* And where it comes while the alert is read for the first one, whose right is gone: the verdict that is about to be written does
 * not know of it. */
static void test_expand__who_keeps_its_right_may_come_while_the_alert_is_read(void **state)
{
    struct case_record c;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    push_by(&r, "strong", MACHINE, true);
    r.sources = STRONG "    may: [notify]\n"; /* `relay` pushes next */
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    interrupting.here = pthread_self();
    interrupting.machine_id = MACHINE;
    interrupting.path = GET_ALERT;
    interrupting.times = 1;
    interrupting.r = &r;
    r.hands.clock.wall_ms = interrupting_wall;
    (void)rig_work(&r);
    assert_null(interrupting.r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    c = rig_case(&r, rig_push(&r, ALERT, NULL));
    assert_string_equal(c.source, "relay");
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_null(strstr(rig_told(&r, c.id), "not_isolated"));
    rig_close(&r);
}

/* What Defender says of one machine spoils the look for many: they look alone then, and are seen to. */
static void test_expand__a_spoilt_look_holds_nobody_up(void **state)
{
    static const struct {
        int status; /* of the look for many */
        const char *body;
    } rows[] = {
        {200, "{\"value\":[{\"id\":\"x\"}]}"},
        {400, "{\"error\":{\"code\":\"InvalidInput\"}}"},
        {403, "{}"}, /* each looks for itself */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[CROWD];

        print_message("  row %zu\n", i);
        rig_open(&r, NULL);
        push_crowd_of_isolated(&r, ids);
        rig_says(&r, "GET", LOOKS, 0, rows[i].status, rows[i].body);
        rig_says(&r, "GET", LIST, 0, 200,
                 "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12") "]}");
        (void)rig_work(&r);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        for (int k = 0; k < CROWD; k++) {
            assert_int_equal(rig_case(&r, ids[k]).isolation, rig_isolation(&r).id);
            assert_string_equal(rig_told(&r, ids[k]), "isolated");
        }
        assert_int_equal(rig_seen(&r, "POST", "/api/machines"), 0);
        assert_true(rig_seen(&r, "GET", LOOKS) > 0);
        assert_true(rig_seen(&r, "GET", LIST) > rig_seen(&r, "GET", LOOKS));
        rig_close(&r);
    }
}

/* Many that are only told of, or that are withheld, cost no look at their machines. */
static void test_expand__many_are_looked_at_only_to_act(void **state)
{
    static const struct {
        const char *rules, *told;
    } rows[] = {
        {RULES_MAIL_ONLY, "alert"},
        {RULES_ISOLATE_AND_MAIL "safety: {mode: shadow}\n", "not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t ids[CROWD];

        rig_open(&r, NULL);
        push_crowd_of_isolated(&r, ids);
        engine_use(r.g, rig_runtime(&r, rows[i].rules));
        (void)rig_work(&r);
        print_message("  row %zu\n", i);
        assert_int_equal(rig_seen(&r, "GET", LIST_ALERTS), 1);
        assert_int_equal(rig_seen(&r, "GET", LIST), 0);
        for (int k = 0; k < CROWD; k++)
            assert_string_equal(rig_told(&r, ids[k]), rows[i].told);
        rig_close(&r);
    }
}

/* Alerts of two machines that were isolated a while ago wait, one look for both: each machine has its own answer. */
static void test_expand__a_look_for_many_is_each_machines_own(void **state)
{
    static const struct {
        const char *looks;
        size_t anew, anew2; /* asked for again: the first machine, the second */
    } rows[] = {
        {"{\"value\":[" OF(MACHINE, "a1", "Isolate", "Succeeded", "11:12") "," OF(
             MACHINE2, "a2", "Isolate", "Succeeded", "11:12") "," OF(MACHINE2, "a3", "Unisolate",
                                                                     "Succeeded", "50:00") "]}",
         0, 1},
        {"{\"value\":[" OF(MACHINE, "a1", "Isolate", "Succeeded", "11:12") "," OF(
             MACHINE, "a3", "Unisolate", "Succeeded", "50:00") "," OF(MACHINE2, "a2", "Isolate",
                                                                      "Succeeded", "11:12") "]}",
         1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        struct buf alerts = BUF_INIT(1 << 16);
        int64_t first, second, ids[CROWD];

        rig_open(&r, NULL);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                 "{\"expires_in\":359900,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", "/api/alerts/da1_-1", 0, 200, ONE_ALERT("da1_-1", "High", MACHINE));
        rig_says(&r, "GET", "/api/alerts/da2_-1", 0, 200, ONE_ALERT("da2_-1", "High", MACHINE2));
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", "/api/machines/" MACHINE2, 0, 200, ONE_MACHINE(MACHINE2, "b.example"));
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 201, OF(MACHINE, "a1", "Isolate", "Pending", "11:12"));
        rig_says(&r, "POST", ISOLATE2, 0, 201, OF(MACHINE2, "a2", "Isolate", "Pending", "11:12"));
        rig_says(&r, "GET", GET_ACTION "a1", 0, 200,
                 OF(MACHINE, "a1", "Isolate", "Succeeded", "11:12"));
        rig_says(&r, "GET", GET_ACTION "a2", 0, 200,
                 OF(MACHINE2, "a2", "Isolate", "Succeeded", "11:12"));
        first = rig_push(&r, "da1_-1", MACHINE);
        second = rig_push(&r, "da2_-1", MACHINE2);
        (void)rig_work(&r);
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, first), "requested isolated");
        assert_string_equal(rig_told(&r, second), "requested isolated");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200,
                 "{\"expires_in\":359900,\"access_token\":\"t1\"}");
        buf_adds(&alerts, "{\"value\":[");
        for (int k = 0; k < CROWD; k++) {
            const char *id = arena_fmt(r.arena, "da%d_-2", k);

            buf_addf(&alerts, "%s{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                     k ? "," : "", id, k % 2 ? MACHINE2 : MACHINE);
            ids[k] = rig_push(&r, id, NULL);
        }
        buf_adds(&alerts, "]}");
        rig_says(&r, "GET", LIST_ALERTS, 0, 200, buf_text(&alerts));
        rig_says(&r, "GET", LIST_MACHINES, 0, 200, TWO_MACHINES);
        rig_says(&r, "GET", "/api/machineactions?", 0, 200, rows[i].looks);
        rig_says(&r, "POST", ISOLATE, 0, 201, OF(MACHINE, "a8", "Isolate", "Pending", "58:12"));
        rig_says(&r, "POST", ISOLATE2, 0, 201, OF(MACHINE2, "a9", "Isolate", "Pending", "58:12"));
        atomic_store(&r.g->crowd[WORK_CASE], true);
        (void)rig_work(&r);
        print_message("  row %zu\n", i);
        assert_int_equal(rig_seen(&r, "GET", LOOKS), 1);
        for (int n = 0; n < 5; n++) {
            atomic_store(&r.g->crowd[WORK_CASE], true);
            rig_pass(&r, SECOND_MS, SECOND_MS);
        }
        assert_int_equal(rig_seen(&r, "POST", ISOLATE), rows[i].anew);
        assert_int_equal(rig_seen(&r, "POST", ISOLATE2), rows[i].anew2);
        for (int k = 0; k < CROWD; k++) {
            bool anew = k % 2 ? rows[i].anew2 : rows[i].anew;

            assert_int_equal(rig_case(&r, ids[k]).isolation !=
                                 rig_case(&r, k % 2 ? second : first).isolation,
                             anew);
            assert_int_equal(rig_case(&r, ids[k]).isolation, rig_case(&r, ids[k % 2]).isolation);
        }
        buf_clear(&alerts);
        rig_close(&r);
    }
}

/* What was read of many says nothing of what is under way on their machines: that is looked at before one is
 * isolated. */
static void test_expand__what_is_under_way_on_one_of_many_is_adopted(void **state)
{
    struct buf alerts = BUF_INIT(1 << 16);
    struct rig r;
    int64_t ids[CROWD];

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    buf_adds(&alerts, "{\"value\":[");
    for (int k = 0; k < CROWD; k++) {
        buf_addf(&alerts, "%s{\"id\":\"da%d_-2\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                 k ? "," : "", k, k % 2 ? MACHINE2 : MACHINE);
        ids[k] = rig_push(&r, arena_fmt(r.arena, "da%d_-2", k), NULL);
    }
    buf_adds(&alerts, "]}");
    rig_says(&r, "GET", LIST_ALERTS, 0, 200, buf_text(&alerts));
    rig_says(&r, "GET", LIST_MACHINES, 0, 200, TWO_MACHINES);
    rig_says(&r, "GET", "/api/machineactions?$filter=machineId%20eq%20%27" MACHINE, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12") "]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 201, ACTION_DOC("a8", "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "POST", ISOLATE2, 0, 201, OF(MACHINE2, "a9", "Isolate", "Pending", "11:13"));
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 0);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE2), 1);
    for (int k = 0; k < CROWD; k++) {
        assert_true(rig_case(&r, ids[k]).isolation != 0);
        assert_string_equal(rig_told(&r, ids[k]), "requested");
    }
    buf_clear(&alerts);
    rig_close(&r);
}

/* What a step of one of many has to wait for is waited for: the case is not run once more at once. */
static void test_expand__a_step_of_one_of_many_is_tried_later(void **state)
{
    struct buf alerts = BUF_INIT(1 << 16);
    struct rig r;
    struct work w;
    int64_t ids[CROWD];

    (void)state;
    rig_open(&r, "rules:\n  - {name: a, do: [tag: {add: seen}, email: {}]}\n");
    rig_afresh(&r);
    buf_adds(&alerts, "{\"value\":[");
    for (int k = 0; k < CROWD; k++) {
        buf_addf(&alerts, "%s{\"id\":\"da%d_-2\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                 k ? "," : "", k, MACHINE);
        ids[k] = rig_push(&r, arena_fmt(r.arena, "da%d_-2", k), NULL);
    }
    buf_adds(&alerts, "]}");
    rig_says(&r, "GET", LIST_ALERTS, 0, 200, buf_text(&alerts));
    rig_says(&r, "GET", LIST_MACHINES, 0, 200, TWO_MACHINES);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 503, "");
    atomic_store(&r.g->crowd[WORK_CASE], true);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    expand_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/" MACHINE "/tags"), CROWD);
    for (int k = 0; k < CROWD; k++) {
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_ACTING);
        assert_string_equal(rig_told(&r, ids[k]), "");
    }
    assert_false(rig_claim(&r, WORK_CASE, &w)); /* nothing is due */
    buf_clear(&alerts);
    rig_close(&r);
}

/* A second tenant, whose Defender is the same peer below another path, comes into force. */
static void add_fabrikam(struct rig *r, const char *rules)
{
    r->tenants =
        arena_fmt(r->arena,
                  "  fabrikam:\n    tenant_id: 1b4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                  "    client_id: 6d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                  "    client_secret_file: %s/secret\n    api_url: %s/f\n    login_url: %s\n",
                  r->dir, peer_url(r->peer), peer_url(r->peer));
    engine_use(r->g, rig_runtime(r, rules));
    rig_says(r, "POST", "/1b4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t2\"}");
    rig_says(r, "GET", "/f/api/alerts/", 0, 200, ONE_ALERT("da1_-9", "Low", MACHINE2));
    rig_says(r, "GET", "/f/api/machines/", 0, 200, ONE_MACHINE(MACHINE2, "b.example"));
}

static void open_two_tenants(struct rig *r)
{
    rig_open(r, RULES_MAIL_ONLY);
    rig_afresh(r);
    add_fabrikam(r, RULES_MAIL_ONLY);
}

/* Alerts of two tenants wait. */
static void push_of_two_tenants(struct rig *r, int64_t ids[CROWD], int64_t *ret_other)
{
    open_two_tenants(r);
    for (int i = 0; i < CROWD; i++)
        ids[i] = rig_push(r, arena_fmt(r->arena, "da%d_-2", i), NULL);
    *ret_other = rig_push_to(r, "fabrikam", "da1_-9", NULL, false);
    atomic_store(&r->g->crowd[WORK_CASE], true);
}

/* Who takes all that is due for one tenant leaves what is another's to others: this one's Defender may hang. */
static void test_expand__a_crowd_is_one_tenants(void **state)
{
    struct rig r;
    int64_t ids[CROWD], other;
    struct work w;

    (void)state;
    push_of_two_tenants(&r, ids, &other);
    rig_says(&r, "GET", "/api/alerts?", 0, 500, "");
    assert_true(rig_claim(&r, WORK_CASE, &w));
    assert_int_equal(w.id, ids[0]);
    expand_run(r.g, &w);
    assert_int_equal(rig_case(&r, ids[1]).state, CASE_EXPANDING);
    assert_int_equal(rig_case(&r, other).state, CASE_RECEIVED);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    assert_int_equal(w.id, other);
    assert_int_equal(w.attempts, 1);
    rig_close(&r);
}

struct reader {
    struct storm *storm;
    sem_t entered, go;
};

static void *read_for_ever(void *arg)
{
    struct reader *x = arg;

    assert_int_equal(storm_enter(x->storm), 0);
    (void)sem_post(&x->entered);
    while (sem_wait(&x->go))
        ;
    storm_leave(x->storm, 0);
    return NULL;
}

/* Whose turn does not come puts its own cases aside, and sees to what is another tenant's. */
static void test_expand__a_reader_that_hangs_holds_no_other_tenant_up(void **state)
{
    struct runtime *rt;
    struct rig r;
    int64_t ids[CROWD], other;
    struct reader reader;
    pthread_t thread;

    (void)state;
    push_of_two_tenants(&r, ids, &other);
    rt = engine_runtime(r.g);
    reader.storm = runtime_tenant(rt, "contoso")->storm; /* the engine keeps it */
    runtime_unref(rt);
    (void)sem_init(&reader.entered, 0, 0);
    (void)sem_init(&reader.go, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, read_for_ever, &reader), 0);
    while (sem_wait(&reader.entered))
        ;
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, other).state, CASE_DONE);
    for (int k = 0; k < CROWD; k++)
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_RECEIVED);
    (void)sem_post(&reader.go);
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig_says(&r, "GET", "/api/alerts?", 0, 500, "");
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS); /* they come again by themselves */
    for (int k = 0; k < CROWD; k++)
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_EXPANDING);
    (void)sem_destroy(&reader.entered);
    (void)sem_destroy(&reader.go);
    rig_close(&r);
}

static enum err_code set_source(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *id = arg;

    return db_run(tx, e, NULL, "UPDATE cases SET source = 'flow' WHERE id = $1", "i", *id);
}

/* While a reload brings a tenant or a source, or replicas are told of it one after the other, a case may come to a
 * worker that does not know them yet. Those that are gone are told all the same. */
static void test_expand__a_case_waits_for_the_configuration_that_knows_it(void **state)
{
    struct rig r;
    int64_t early, gone, source;
    struct step_record *steps;
    size_t n;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    gone = rig_push_to(&r, "acme", "da1_-8", NULL, false);
    early = rig_push_to(&r, "fabrikam", "da1_-9", NULL, false);
    source = rig_push(&r, ALERT, NULL);
    assert_int_equal(db_write(r.store->db, set_source, &source, NULL), ERR_OK);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_case(&r, early).state, CASE_RECEIVED);
    assert_int_equal(rig_case(&r, source).state, CASE_RECEIVED);
    add_fabrikam(&r, RULES_ISOLATE_AND_MAIL);
    rig_says(&r, "GET", "/f/api/machineactions?", 0, 200, NOTHING);
    rig_pass(&r, 2 * SECOND_MS, SECOND_MS);
    assert_int_equal(rig_case(&r, early).state, CASE_DONE);
    rig_pass(&r, 5 * MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_case(&r, gone).state, CASE_FAILED);
    assert_non_null(strstr(rig_subject(&r, gone), "tenant 'acme' is no longer configured"));
    assert_int_equal(store_case_steps(r.store, r.arena, source, &steps, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_string_equal(steps[0].why, "source flow may only notify");
    assert_int_equal(rig_seen(&r, "POST", "/api/machines"), 0);
    rig_close(&r);
}

/* Nor do those that wait for it hold up one that does not: they are due every other second, and never read with it. */
static void test_expand__what_waits_for_another_configuration_holds_no_alert_up(void **state)
{
    struct rig r;
    int64_t mine;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    for (int i = 0; i < CROWD; i++) {
        int64_t id = rig_push(&r, arena_fmt(r.arena, "da%d_-9", i), NULL);

        assert_int_equal(db_write(r.store->db, set_source, &id, NULL), ERR_OK);
    }
    (void)rig_work(&r);
    mine = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_string_equal(rig_case(&r, mine).rule, "contain");
    rig_close(&r);
}

/* A case that this configuration does not know is no try of it; and a clock that was set back makes it wait no
 * longer, nor does one that is a little behind make it be taken for gone. */
static void test_expand__a_case_that_nobody_knows_waits_by_any_clock(void **state)
{
    static const struct {
        int64_t back_ms;
        enum case_state state;
    } rows[] = {{0, CASE_RECEIVED}, {SECOND_MS, CASE_RECEIVED}, {2 * HOUR_MS, CASE_FAILED}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        struct work w;
        int64_t id;

        rig_open(&r, NULL);
        rig_afresh(&r);
        id = rig_push_to(&r, "acme", "da1_-8", NULL, false);
        atomic_fetch_add(&r.hands.wall, -rows[i].back_ms);
        assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
        (void)rig_work(&r);
        rig_pass(&r, 20 * SECOND_MS, SECOND_MS);
        print_message("  row %zu\n", i);
        assert_int_equal(rig_case(&r, id).state, rows[i].state);
        hands_turn(&r.hands, 10 * SECOND_MS);
        if (rows[i].state == CASE_RECEIVED) {
            assert_true(rig_claim(&r, WORK_CASE, &w));
            assert_int_equal(w.attempts, 1);
        }
        rig_close(&r);
    }
}

/* Many that no list ever holds, and Defender knows all the same: they do not wait for a list for ever. */
static void test_expand__what_no_list_holds_is_read_alone(void **state)
{
    struct rig r;
    int64_t ids[CROWD];

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    rig_afresh(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    for (int i = 0; i < CROWD; i++) {
        const char *id = arena_fmt(r.arena, "da%d_-2", i);

        rig_says(&r, "GET", arena_fmt(r.arena, GET_ALERT "%s", id), 0, 200,
                 arena_fmt(r.arena, ONE_ALERT("%s", "Low", MACHINE), id));
        ids[i] = rig_push(&r, id, NULL);
    }
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", "/api/", 0, 200, NOTHING);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 1);
    for (int i = 0; i < 60; i++) {
        atomic_store(&r.g->crowd[WORK_CASE], true);
        rig_pass(&r, SECOND_MS, SECOND_MS);
    }
    for (int k = 0; k < CROWD; k++) {
        assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
        assert_string_equal(rig_told(&r, ids[k]), "alert");
    }
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts/"), CROWD); /* each once */
    rig_close(&r);
}

/* A Defender that lists one at most of what stands in `fails`, or knows none of it. */
struct short_lists {
    const char *fails;
    bool alone;
    const char *spoilt; /* NULL, or only lists with this in them fail */
    atomic_int lists;   /* of alerts, that it was asked for */
    atomic_int one;     /* of them that it was asked for by themselves */
};

static void say_short_lists(void *ctx, const struct peer_request *q, struct peer_answer *ret)
{
    struct short_lists *x = ctx;
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 16);
    bool alerts = strncmp(q->target, "/api/alerts", 11) == 0, list = strchr(q->target, '(') != NULL;
    bool fails = strncmp(q->target, x->fails, strlen(x->fails)) == 0;
    const char *p = list ? strchr(q->target, '(') : strrchr(q->target, '/');

    ret->status = 200;
    x->lists += alerts && list;
    x->one += strncmp(q->target, x->fails, strlen(x->fails) - 1) == 0 && !list;
    if (strstr(q->target, "/oauth2/")) {
        buf_adds(&out, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    } else if (fails && (!x->alone || strstr(q->target, "','")) &&
               (!x->spoilt || strstr(q->target, x->spoilt))) {
        ret->status = 500;
    } else if (strncmp(q->target, LIST, strlen(LIST)) == 0) {
        buf_adds(&out, NOTHING);
    } else {
        buf_adds(&out, list ? "{\"value\":[" : "");
        for (int n = 0; p && *p && *p != ')'; n++) {
            size_t len;

            p += 1 + list; /* ('a','b') or /a */
            len = strcspn(p, "'");
            buf_addf(&out, "%s{\"id\":\"%.*s\"", n ? "," : "", (int)len, p);
            if (alerts) /* da7_-2 is of machine 7 */
                buf_addf(&out, ",\"severity\":\"Low\",\"machineId\":\"%040d\"", atoi(p + 2));
            buf_adds(&out, "}");
            p += len + (p[len] == '\'');
        }
        buf_adds(&out, list ? "]}" : "");
    }
    ret->body = strdup(buf_text(&out));
}

/* Lists that Defender takes too long for, or that one alert among them spoils, end with a 500 again and again, while
 * each alert can be read by itself: shorter ones are asked for, and of a few each alone. Where nothing can be read they
 * stay as long. */
static void test_expand__lists_that_go_on_failing_get_shorter(void **state)
{
    static const struct {
        const char *fails;
        bool alone;
    } rows[] = {{"/api/alerts?", true}, {"/api/machines?", true}, {"/api/", false}};
    enum { MANY = 120 };

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct short_lists x = {.fails = rows[row].fails, .alone = rows[row].alone};
        int64_t ids[MANY];
        struct rig r;

        print_message("  row %zu\n", row);
        rig_open(&r, RULES_MAIL_ONLY);
        peer_answer_by(r.peer, say_short_lists, &x);
        for (int i = 0; i < MANY; i++)
            ids[i] = rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
        for (int i = 0; i < 8 * 60; i++) {
            atomic_store(&r.g->crowd[WORK_CASE], true);
            rig_pass(&r, SECOND_MS, SECOND_MS);
        }
        for (int k = 0; k < MANY; k++)
            assert_int_equal(rig_case(&r, ids[k]).state,
                             rows[row].alone ? CASE_DONE : CASE_EXPANDING);
        hands_turn(&r.hands, 2 * MINUTE_MS);
        x.fails = "nothing any more";
        x.lists = 0;
        for (int i = 0; i < MANY; i++)
            (void)rig_push(&r, arena_fmt(r.arena, "db%d_-2", i), NULL);
        atomic_store(&r.g->crowd[WORK_CASE], true);
        (void)rig_work(&r);
        assert_int_equal(x.lists > 2, rows[row].alone); /* those that still wait come, too */
        rig_close(&r);
    }
}

/* Nor are those left unread that Defender lists in no way, not even one by itself, and gives to who asks for each. */
static void test_expand__what_no_list_is_given_of_is_read_alone(void **state)
{
    static const char *const fails[] = {"/api/alerts?", "/api/machines?"};
    enum { MANY = 20 };

    (void)state;
    for (size_t row = 0; row < sizeof fails / sizeof *fails; row++) {
        struct short_lists x = {.fails = fails[row]};
        int64_t ids[MANY];
        struct rig r;

        print_message("  row %zu\n", row);
        rig_open(&r, RULES_MAIL_ONLY);
        peer_answer_by(r.peer, say_short_lists, &x);
        for (int i = 0; i < MANY; i++)
            ids[i] = rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
        for (int i = 0; i < 3 * 60; i++) {
            atomic_store(&r.g->crowd[WORK_CASE], true);
            rig_pass(&r, SECOND_MS, SECOND_MS);
        }
        for (int k = 0; k < MANY; k++)
            assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
        rig_close(&r);
    }
}

/* Where one alert or machine spoils the lists that it is in, those beside it in a list of a few are read alone, and all
 * others in lists: two hundred by themselves would use up the tenant's calls. */
static void test_expand__one_that_spoils_a_list_costs_a_few_calls(void **state)
{
    static const struct {
        const char *fails, *spoilt;
    } rows[] = {{"/api/alerts?", "'da5_-2'"},
                {"/api/machines?", "'0000000000000000000000000000000000000005'"}};
    enum { MANY = 120 };

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct short_lists x = {
            .fails = rows[row].fails, .alone = true, .spoilt = rows[row].spoilt};
        int64_t ids[MANY];
        struct rig r;

        print_message("  row %zu\n", row);
        rig_open(&r, RULES_MAIL_ONLY);
        peer_answer_by(r.peer, say_short_lists, &x);
        for (int i = 0; i < MANY; i++)
            ids[i] = rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
        rig_sql(&r, "UPDATE work SET attempts = 3");
        atomic_store(&r.g->crowd[WORK_CASE], true);
        (void)rig_work(&r);
        for (int k = 0; k < MANY; k++)
            assert_int_equal(rig_case(&r, ids[k]).state, CASE_DONE);
        assert_in_range(x.one, 1, 16);
        rig_close(&r);
    }
}

/* A crowd that takes a case whose tenant is gone reads nothing for it: this tenant's Defender may know an alert of
 * the same id. */
static void test_expand__a_crowd_reads_nothing_for_a_tenant_that_is_gone(void **state)
{
    struct rig r;
    int64_t gone;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", "/api/alerts?", 0, 200,
             "{\"value\":[" ONE_ALERT("da1_-8", "High", MACHINE) "]}");
    rig_says(&r, "GET", LIST_MACHINES, 0, 200,
             "{\"value\":[" ONE_MACHINE(MACHINE, "a.example") "]}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    for (int i = 0; i < CROWD; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
    gone = rig_push_to(&r, "acme", "da1_-8", NULL, false);
    hands_turn(&r.hands, 6 * MINUTE_MS); /* no younger configuration has come */
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 1);
    for (size_t i = 0; i < peer_count(r.peer); i++)
        assert_null(strstr(peer_request(r.peer, i)->target, "da1_-8"));
    assert_int_equal(rig_case(&r, gone).state, CASE_FAILED);
    assert_non_null(strstr(rig_subject(&r, gone), "tenant 'acme' is no longer configured"));
    assert_int_equal(rig_seen(&r, "POST", "/api/machines"), 0);
    rig_close(&r);
}

/* One that was judged before, and waits for the rest of its steps, goes on with those: it is not judged with the
 * others. */
static void test_expand__a_crowd_judges_nothing_twice(void **state)
{
    struct rig r;
    struct work w;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: a, do: [tag: {add: seen}, email: {}]}\n");
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 1, 503, "");
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_ACTING);
    rig_says(&r, "GET", "/api/alerts?", 0, 500, "");
    for (int i = 0; i < CROWD; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
    hands_turn(&r.hands, MINUTE_MS);
    assert_true(rig_claim(&r, WORK_CASE, &w));
    while (w.id == id) { /* one of the others takes it with it */
        engine_again(r.g, &w, 0);
        hands_turn(&r.hands, 1);
        assert_true(rig_claim(&r, WORK_CASE, &w));
    }
    atomic_store(&r.g->crowd[WORK_CASE], true);
    expand_run(r.g, &w);
    assert_int_equal(rig_seen(&r, "GET", "/api/alerts?"), 1);
    for (size_t i = 0; i < peer_count(r.peer); i++)
        if (strncmp(peer_request(r.peer, i)->target, "/api/alerts?", 12) == 0)
            assert_null(strstr(peer_request(r.peer, i)->target, ALERT));
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_string_equal(rig_told(&r, id), "alert");
    assert_int_equal(rig_seen(&r, "POST", "/api/machines/" MACHINE "/tags"), 2);
    rig_close(&r);
}

static void put_off(struct engine *g, struct work *w)
{
    engine_again(g, w, DAY_MS);
}

#define BACKLOG 300

/* What waits for the calls of a tenant whose Defender wants to be left alone holds up nobody else's alert. */
static void test_expand__a_tenant_without_calls_holds_no_other_up(void **state)
{
    engine_run runs[WORK_KINDS];
    struct rig r;
    int64_t other, late = 0;
    struct err e;

    (void)state;
    open_two_tenants(&r);
    rig_says(&r, "GET", "/api/alerts?", 0, 429,
             "{\"error\":{\"code\":\"429\",\"message\":\"in 600 seconds\"}}");
    rig_says(&r, "GET", "/f/api/alerts?", 0, 200,
             "{\"value\":[" ONE_ALERT("da1_-9", "Low", MACHINE2) "]}");
    rig_says(&r, "GET", "/f/api/machines?", 0, 200,
             "{\"value\":[" ONE_MACHINE(MACHINE2, "b.example") "]}");
    rig_says(&r, "GET", "/f/api/machineactions", 0, 200, NOTHING);
    for (int i = 0; i < CROWD; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-2", i), NULL);
    atomic_store(&r.g->crowd[WORK_CASE], true);
    (void)rig_work(&r); /* Defender wants to be left alone */
    for (int i = 0; i < BACKLOG; i++)
        (void)rig_push(&r, arena_fmt(r.arena, "da%d_-3", i), NULL);
    hands_turn(&r.hands, 1);
    other = rig_push_to(&r, "fabrikam", "da1_-9", NULL, false);
    for (int k = 0; k < WORK_KINDS; k++)
        runs[k] = put_off;
    runs[WORK_CASE] = expand_run;
    assert_int_equal(engine_start(r.g, runs, &e), ERR_OK);
    /* Nothing says that the engine has done with what is due: however busy the host is, half of the time is left to it. */
    while (rig_case(&r, other).state != CASE_DONE && late < 10 * SECOND_MS) {
        (void)poll(NULL, 0, 50);
        hands_turn(&r.hands, 100);
        engine_kick(r.g); /* its sleep is by the real clock */
        late += 100;
    }
    assert_true(late < 10 * SECOND_MS);
    rig_close(&r);
}

/* A storm of more machines than are shared at a time: each is listed with its batch still, and none costs a call of its own. */
static void test_expand__a_storm_of_very_many_machines_is_read_in_lists(void **state)
{
    enum { MACHINES = 4400, BATCH = STORM_CASES_MAX };
    struct storm_case cases[BATCH];
    struct runtime *rt;
    struct storm *s = NULL;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    rt = engine_runtime(r.g);
    assert_int_equal(storm_new(&r.hands.clock, &s, NULL), ERR_OK);
    for (int at = 0; at < MACHINES; at += BATCH) {
        AUTO(buf_clear) struct buf alerts = BUF_INIT(1 << 20);
        AUTO(buf_clear) struct buf machines = BUF_INIT(1 << 20);

        memset(cases, 0, sizeof cases);
        for (int i = 0; i < BATCH; i++) {
            const char *id = arena_fmt(r.arena, "da%d_-1", at + i);

            cases[i].alert_id = id;
            buf_addf(&alerts, "%s{\"id\":\"%s\",\"machineId\":\"%040x\"}", i ? "," : "{\"value\":[",
                     id, (unsigned)(at + i));
            buf_addf(&machines, "%s{\"id\":\"%040x\"}", i ? "," : "{\"value\":[",
                     (unsigned)(at + i));
        }
        buf_addf(&alerts, "]}");
        buf_addf(&machines, "]}");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", LIST_ALERTS, 0, 200, buf_text(&alerts));
        rig_says(&r, "GET", LIST_MACHINES, 0, 200, buf_text(&machines));
        storm_read(s, runtime_tenant(rt, "contoso")->defender, cases, BATCH);
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(cases[i].reads.alert_code, ERR_OK);
            assert_int_equal(cases[i].reads.machine_code, ERR_OK);
            assert_false(cases[i].machine_missing);
            assert_string_equal(json_get_string(cases[i].reads.machine, "id"),
                                json_get_string(cases[i].reads.alert, "machineId"));
            defender_reads_clear(&cases[i].reads);
        }
        hands_turn(&r.hands, SECOND_MS);
    }
    storm_free(s);
    runtime_unref(rt);
    rig_close(&r);
}

/* Two names of one application at one tenant: Defender counts their calls together. */
static void test_expand__two_names_of_one_tenant_have_one_budget(void **state)
{
    struct rig r;
    struct runtime *rt;
    struct err e;
    size_t taken = 0;

    (void)state;
    rig_open(&r, NULL);
    r.tenants = arena_fmt(r.arena,
                          "  twin:\n    tenant_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_id: 5d1f0000-98ab-4f0a-9d5e-0b1c2d3e4f50\n"
                          "    client_secret_file: %s/secret\n",
                          r.dir);
    rt = rig_runtime(&r, RULES_MAIL_ONLY);
    assert_int_equal(runtime_keep(rt, r.store, NULL), ERR_OK);
    while (!quota_take(runtime_tenant(rt, "contoso")->quota, true, &e) ||
           !quota_take(runtime_tenant(rt, "twin")->quota, true, &e))
        assert_true(++taken <= 100); /* a minute's */
    assert_int_equal(taken, 100);
    runtime_unref(rt);
    rig_close(&r);
}

/* What another tenant has that is due in a moment is not read with it: there may always be some, tried in vain before. */
static void test_expand__what_another_tenant_tries_in_a_moment_holds_no_alert_up(void **state)
{
    struct rig r;
    int64_t mine;

    (void)state;
    open_two_tenants(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    for (int i = 0; i < CROWD; i++)
        (void)rig_push_to(&r, "fabrikam", arena_fmt(r.arena, "da%d_-9", i), NULL, false);
    rig_sql(&r, "UPDATE work SET due = due + 1500");
    mine = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, mine).state, CASE_DONE);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand__what_a_failed_read_leads_to),
        cmocka_unit_test(test_expand__a_long_patience_is_not_silence),
        cmocka_unit_test(test_expand__a_reload_leaves_defender_in_peace),
        cmocka_unit_test(test_expand__a_second_name_brings_no_second_budget),
        cmocka_unit_test(test_expand__names_of_one_application_keep_their_limits_over_a_reload),
        cmocka_unit_test(test_expand__facts_that_cannot_be_stored_are_told),
        cmocka_unit_test(test_expand__no_text_is_too_long_to_be_told),
        cmocka_unit_test(test_expand__one_machine_in_two_spellings_is_one),
        cmocka_unit_test(test_expand__facts_are_of_the_machine_that_the_alert_names),
        cmocka_unit_test(test_expand__a_machine_that_the_sender_alone_names_holds_nothing_up),
        cmocka_unit_test(test_expand__evidence_that_is_still_to_come_is_waited_for),
        cmocka_unit_test(test_expand__facts_are_as_old_as_their_oldest_part),
        cmocka_unit_test(test_expand__what_is_old_when_it_is_judged_is_read_again),
        cmocka_unit_test(test_expand__a_case_that_is_tried_again_has_all_its_time),
        cmocka_unit_test(test_expand__a_step_that_nobody_knows_is_told),
        cmocka_unit_test(test_expand__what_was_not_done_beside_an_isolation_is_told),
        cmocka_unit_test(test_expand__who_was_told_late_is_told_the_end),
        cmocka_unit_test(test_expand__an_outdated_record_moves_nothing),
        cmocka_unit_test(test_expand__cases_that_wait_are_read_together),
        cmocka_unit_test(test_expand__what_a_list_leaves_out_is_read_alone),
        cmocka_unit_test(test_expand__what_a_list_leaves_out_late_is_read_alone),
        cmocka_unit_test(test_expand__a_strange_row_holds_nobody_up),
        cmocka_unit_test(test_expand__a_bad_list_is_no_answer),
        cmocka_unit_test(test_expand__a_hint_is_seen_to_first),
        cmocka_unit_test(test_expand__protection_holds_for_all_who_share_a_machine),
        cmocka_unit_test(test_expand__what_was_read_by_a_clock_that_was_ahead_grows_old),
        cmocka_unit_test(test_expand__a_mail_that_hangs_does_not_park_the_next_for_days),
        cmocka_unit_test(test_expand__cases_that_wait_do_not_take_calls_one_by_one),
        cmocka_unit_test(test_expand__isolations_that_wait_come_first),
        cmocka_unit_test(test_expand__a_case_that_cannot_be_read_is_told),
        cmocka_unit_test(test_expand__a_verdict_without_its_facts_is_told),
        cmocka_unit_test(test_expand__a_look_that_fails_for_many_is_told),
        cmocka_unit_test(test_expand__after_a_long_pause_one_failed_try_gives_nothing_up),
        cmocka_unit_test(test_expand__after_a_long_pause_it_is_not_tried_for_ever),
        cmocka_unit_test(test_expand__a_second_sender_may_contradict_the_alert),
        cmocka_unit_test(test_expand__a_sender_who_contradicts_the_alert_meanwhile_is_heard),
        cmocka_unit_test(test_expand__a_second_sender_may_come_before_a_case_begins_anew),
        cmocka_unit_test(test_expand__a_second_sender_may_come_before_it_is_asked_for_again),
        cmocka_unit_test(test_expand__a_second_sender_may_come_while_the_alert_is_read),
        cmocka_unit_test(test_expand__a_second_sender_may_come_while_the_machine_is_looked_at),
        cmocka_unit_test(test_expand__a_right_that_was_taken_back_is_no_first_word),
        cmocka_unit_test(test_expand__of_two_senders_the_one_that_keeps_its_right_counts),
        cmocka_unit_test(test_expand__who_keeps_its_right_counts_until_the_request),
        cmocka_unit_test(test_expand__who_keeps_its_right_counts_while_the_isolation_waits),
        cmocka_unit_test(test_expand__a_question_delays_nobodys_right),
        cmocka_unit_test(test_expand__the_right_of_another_tenants_source_is_none),
        cmocka_unit_test(test_expand__the_word_of_a_second_sender_is_not_forgotten_for_a_third),
        cmocka_unit_test(test_expand__nobody_isolates_against_his_own_word),
        cmocka_unit_test(test_expand__a_no_is_not_undone_by_who_keeps_its_right),
        cmocka_unit_test(test_expand__a_no_is_not_undone_by_a_second_push),
        cmocka_unit_test(test_expand__who_keeps_its_right_may_come_while_the_alert_is_read),
        cmocka_unit_test(test_expand__a_spoilt_look_holds_nobody_up),
        cmocka_unit_test(test_expand__many_are_looked_at_only_to_act),
        cmocka_unit_test(test_expand__many_join_what_was_confirmed_and_not_what_was_written),
        cmocka_unit_test(test_expand__what_is_under_way_on_one_of_many_is_adopted),
        cmocka_unit_test(test_expand__a_look_for_many_is_each_machines_own),
        cmocka_unit_test(test_expand__a_step_of_one_of_many_is_tried_later),
        cmocka_unit_test(test_expand__a_crowd_is_one_tenants),
        cmocka_unit_test(test_expand__a_case_waits_for_the_configuration_that_knows_it),
        cmocka_unit_test(test_expand__what_waits_for_another_configuration_holds_no_alert_up),
        cmocka_unit_test(test_expand__a_case_that_nobody_knows_waits_by_any_clock),
        cmocka_unit_test(test_expand__lists_that_go_on_failing_get_shorter),
        cmocka_unit_test(test_expand__what_no_list_is_given_of_is_read_alone),
        cmocka_unit_test(test_expand__one_that_spoils_a_list_costs_a_few_calls),
        cmocka_unit_test(test_expand__a_crowd_reads_nothing_for_a_tenant_that_is_gone),
        cmocka_unit_test(test_expand__a_crowd_judges_nothing_twice),
        cmocka_unit_test(test_expand__what_no_list_holds_is_read_alone),
        cmocka_unit_test(test_expand__a_tenant_without_calls_holds_no_other_up),
        cmocka_unit_test(test_expand__what_another_tenant_tries_in_a_moment_holds_no_alert_up),
        cmocka_unit_test(test_expand__a_reader_that_hangs_holds_no_other_tenant_up),
        cmocka_unit_test(test_expand__a_storm_of_very_many_machines_is_read_in_lists),
        cmocka_unit_test(test_expand__two_names_of_one_tenant_have_one_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
