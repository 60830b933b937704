/* test_status.c - what a sender that polls is answered: the real HTTP server, store and engine runs, a scripted
 * Defender, and hands that are turned. */
#include "engine_kit.h"
#include "question.h"

#include "ending.h"
#include "http.h"
#include "kit/fetch.h"
#include "log.h"
#include "routes.h"
#include "status.h"

#define PUBLIC "https://cordon.contoso.example/door"
#define RULES                                                                                      \
    "public_url: " PUBLIC "\n"                                                                     \
    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"    \
    "  - {name: tell, do: [email: {}]}\n"

struct stage {
    struct rig r;
    struct status *status;
    struct metrics *metrics;
    struct route routes[1];
    struct routes list;
    struct http_server *http;
    struct runtime *rt;
};

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)ctx;
    if (strstr(line, STATUS_PATH))
        fail_msg("a capability is in the log: %s", line);
}

static void open_server(struct stage *t)
{
    struct http_options o = {.address = "127.0.0.1:0",
                             .max_body = 4096,
                             .max_head = 32 * 1024,
                             .head_deadline_ms = 10000,
                             .body_deadline_ms = 10000,
                             .idle_ms = 10000,
                             .threads = 2,
                             .max_connections = 50,
                             .handler = routes_handler(),
                             .ctx = &t->list,
                             .clock = clock_system()};
    const struct status_options so = {.store = t->r.store,
                                      .clock = &t->r.hands.clock,
                                      .metrics = t->metrics,
                                      .config = t->rt->config};
    struct err e = {0};

    if (status_new(&so, &t->status, &e))
        fail_msg("%s", e.text);
    t->routes[0] = (struct route){"", status_handler(), t->status};
    t->list = (struct routes){t->routes, 1};
    if (http_server_open(&o, &t->http, &e))
        fail_msg("%s", e.text);
}

static void close_server(struct stage *t)
{
    http_server_free(t->http, 5000);
    status_free(t->status);
}

static void open_stage(struct stage *t, const char *rules)
{
    memset(t, 0, sizeof *t);
    rig_open(&t->r, rules);
    rig_afresh(&t->r);
    t->rt = engine_runtime(t->r.g);
    assert_int_equal(metrics_new(&t->metrics, NULL), ERR_OK);
    log_divert(no_line, NULL);
    open_server(t);
}

static void close_stage(struct stage *t)
{
    close_server(t);
    log_divert(NULL, NULL);
    metrics_free(t->metrics);
    runtime_unref(t->rt);
    rig_close(&t->r);
}

static int ask(struct stage *t, const char *method, const char *path, struct fetched *f)
{
    char url[400];

    (void)snprintf(url, sizeof url, "http://%s%s", http_server_address(t->http), path);
    if (!fetch(f, method, url, NULL, strcmp(method, "GET") == 0 ? NULL : "", 0, 10000))
        fail_msg("%s %s: %s", method, path, f->why);
    return f->status;
}

/* Pushes and returns the path of the link. */
static const char *push(struct stage *t, int64_t *ret_case)
{
    int64_t id = rig_push(&t->r, ALERT, MACHINE);
    struct case_record c = rig_case(&t->r, id);
    const char *link =
        status_link(t->status, t->r.arena, PUBLIC, c.delivery, clock_wall_ms(&t->r.hands.clock));

    assert_non_null(link);
    assert_int_equal(strncmp(link, PUBLIC STATUS_PATH, strlen(PUBLIC STATUS_PATH)), 0);
    assert_int_equal(strlen(link), strlen(PUBLIC STATUS_PATH) + 40);
    *ret_case = id;
    return link + strlen(PUBLIC);
}

/* Polls; the answer must be of the status and say the outcome (NULL: none yet) and why (its beginning). */
static void poll(struct stage *t, const char *path, int status, const char *outcome,
                 const char *why, const char *retry_after)
{
    struct fetched f;
    struct json *doc = NULL;
    char value[300], wanted[300];
    const struct json *one;

    if (ask(t, "GET", path, &f) != status)
        fail_msg("%d instead of %d: %s", f.status, status, f.body);
    assert_string_equal(fetched_header(&f, "Cache-Control", value, sizeof value), "no-store");
    assert_int_equal(json_parse(f.body, f.body_len, &doc, NULL), ERR_OK);
    assert_string_equal(json_get_string(doc, "status"), status == 202 ? "working" : "finished");
    one = json_first(json_get(doc, "cases"));
    assert_int_equal(json_count(json_get(doc, "cases")), 1);
    assert_string_equal(json_get_string(one, "alert_id"), ALERT);
    if (outcome) {
        assert_string_equal(json_get_string(doc, "outcome"), outcome);
        assert_string_equal(json_get_string(one, "outcome"), outcome);
    } else {
        assert_null(json_get_string(doc, "outcome"));
        assert_null(json_get_string(one, "outcome"));
    }
    if (why) {
        assert_non_null(json_get_string(one, "why"));
        if (strncmp(json_get_string(one, "why"), why, strlen(why)) != 0)
            fail_msg("why: '%s', not '%s…'", json_get_string(one, "why"), why);
    } else {
        assert_null(json_get_string(one, "why"));
    }
    if (status == 202) {
        (void)snprintf(wanted, sizeof wanted, PUBLIC "%s", path);
        assert_string_equal(fetched_header(&f, "Location", value, sizeof value), wanted);
        assert_string_equal(fetched_header(&f, "Retry-After", value, sizeof value), retry_after);
    } else {
        assert_null(fetched_header(&f, "Location", value, sizeof value));
        assert_null(fetched_header(&f, "Retry-After", value, sizeof value));
    }
    json_free(doc);
    fetched_clear(&f);
}

static void poll_nothing(struct stage *t, const char *path)
{
    struct fetched f;
    char value[100];

    assert_int_equal(ask(t, "GET", path, &f), 404);
    assert_string_equal(fetched_header(&f, "Cache-Control", value, sizeof value), "no-store");
    assert_string_equal(f.body, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
                                "\"detail\":\"There is nothing to be known under this link.\"}");
    fetched_clear(&f);
}

static void pending(struct stage *t)
{
    rig_says(&t->r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&t->r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
}

static void test_status__works_until_defender_says_succeeded(void **state)
{
    struct stage t;
    const char *path;
    int64_t id;

    (void)state;
    open_stage(&t, RULES);
    pending(&t);
    rig_says(&t.r, "GET", GET_ACTION, 1, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&t.r, "GET", GET_ACTION, 1, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    path = push(&t, &id);
    poll(&t, path, 202, NULL, NULL, "5");
    (void)rig_work(&t.r);
    poll(&t, path, 202, NULL, NULL, "5"); /* Defender was asked, which is no confirmation */
    rig_pass(&t.r, 1000, 1000);
    poll(&t, path, 202, NULL, NULL, "5");
    rig_pass(&t.r, 1000, 1000);
    assert_int_equal(rig_case(&t.r, id).state, CASE_DONE);
    poll(&t, path, 200, "isolated", NULL, NULL);
    close_stage(&t);
}

/* A machine that is away: some minutes, then the flow gets an end; and a better one later. */
static void test_status__an_absent_machine_ends_as_requested(void **state)
{
    struct stage t;
    const char *path;
    int64_t id;

    (void)state;
    open_stage(&t, RULES);
    pending(&t);
    rig_says(&t.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    path = push(&t, &id);
    (void)rig_work(&t.r);
    hands_turn(&t.r.hands, MINUTE_MS - 1);
    poll(&t, path, 202, NULL, NULL, "5");
    hands_turn(&t.r.hands, 1000);
    poll(&t, path, 202, NULL, NULL, "20");
    hands_turn(&t.r.hands, ENDING_REQUESTED_MS - MINUTE_MS - 1000);
    poll(&t, path, 202, NULL, NULL, "20");
    hands_turn(&t.r.hands, 1);
    poll(&t, path, 200, "requested", "Defender was asked", NULL);
    assert_int_equal(rig_case(&t.r, id).state, CASE_WAITING);
    peer_forget(t.r.peer);
    rig_says(&t.r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&t.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_says(&t.r, "GET", LIST, 0, 200, NOTHING);
    rig_pass(&t.r, 10 * MINUTE_MS, MINUTE_MS);
    poll(&t, path, 200, "isolated", NULL, NULL);
    close_stage(&t);
}

static void test_status__says_what_the_policy_refused_and_why(void **state)
{
    static const struct {
        const char *label, *safety, *why;
    } rows[] = {
        {"protected", "safety: {protected: [{machine.name: {glob: \"ws-*\"}}]}\n", "protected"},
        {"shadow", "safety: {mode: shadow}\n", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[800];
        struct stage t;
        const char *path;
        int64_t id;

        print_message("  %s\n", rows[i].label);
        (void)snprintf(rules, sizeof rules, "%s%s", RULES, rows[i].safety);
        open_stage(&t, rules);
        rig_says(&t.r, "GET", LIST, 0, 200, NOTHING);
        path = push(&t, &id);
        (void)rig_work(&t.r);
        poll(&t, path, 200, "refused", rows[i].why, NULL);
        assert_int_equal(rig_seen(&t.r, "POST", ISOLATE), 0);
        close_stage(&t);
    }
}

/* A limit asks a person; when nobody answers it is the policy's word, and told, also by a rule that mails
 * nobody. */
static void test_status__a_limit_is_a_refusal_and_is_told(void **state)
{
    static const char *const dos[] = {"[isolate: {}, email: {}]", "[isolate: {}]"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char rules[600];
        struct stage t;
        struct work w;
        const char *path;
        int64_t id, other;

        (void)snprintf(rules, sizeof rules,
                       "public_url: " PUBLIC "\nrules: [{name: contain, do: %s}]\n"
                       "safety: {limits: [{isolations: 1, per: 1h}]}\n",
                       dos[i]);
        open_stage(&t, rules);
        peer_forget(t.r.peer);
        rig_says(&t.r, "GET", GET_ALERT "da1_-1", 0, 200,
                 "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
        rig_says(&t.r, "POST", "/0a4a1f60", 0, 200,
                 "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&t.r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
        rig_says(&t.r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        pending(&t);
        rig_says(&t.r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12"));
        other = rig_push(&t.r, "da1_-1", MACHINE);
        assert_true(other != 0);
        rig_pass(&t.r, 3000, 1000); /* uses up the limit */
        path = push(&t, &id);
        (void)rig_work(&t.r);
        /* A person is asked: the mail, and the end. */
        poll(&t, path, 202, NULL, NULL, "5");
        for (int k = 0; k < 2; k++) {
            hands_turn(&t.r.hands, k ? 4 * HOUR_MS : MINUTE_MS);
            assert_true(rig_claim(&t.r, WORK_QUESTION, &w));
            question_run(t.r.g, &w);
        }
        poll(&t, path, 200, "refused", "nobody answered in time", NULL);
        assert_string_equal(rig_case(&t.r, id).told, "not_isolated");
        close_stage(&t);
    }
}

/* A person may have longer than the link is good for. A flow that met a 404 would fail, and is told before what there is
 * to say. */
static void test_status__says_what_there_is_before_the_link_ends(void **state)
{
    struct json *doc = NULL;
    struct fetched f;
    struct stage t;
    char value[300];
    const char *path;
    int64_t id;

    (void)state;
    open_stage(&t, "public_url: " PUBLIC
                   "\nrules: [{name: review, do: [ask: {within: 3d}, isolate: {}, email: {}]}]\n");
    path = push(&t, &id);
    (void)rig_work(&t.r);
    poll(&t, path, 202, NULL, NULL, "5");
    hands_turn(&t.r.hands, 47 * HOUR_MS - SECOND_MS);
    poll(&t, path, 202, NULL, NULL, "20");
    hands_turn(&t.r.hands, SECOND_MS);
    assert_int_equal(ask(&t, "GET", path, &f), 200);
    assert_int_equal(json_parse(f.body, f.body_len, &doc, NULL), ERR_OK);
    assert_string_equal(json_get_string(doc, "status"), "working");
    assert_null(json_get_string(doc, "outcome"));
    assert_null(fetched_header(&f, "Location", value, sizeof value));
    assert_null(fetched_header(&f, "Retry-After", value, sizeof value));
    json_free(doc);
    fetched_clear(&f);
    assert_int_equal(rig_case(&t.r, id).state, CASE_WAITING);
    hands_turn(&t.r.hands, HOUR_MS);
    assert_int_equal(ask(&t, "GET", path, &f), 404);
    fetched_clear(&f);
    close_stage(&t);
}

static void test_status__says_what_failed_and_why(void **state)
{
    struct stage t;
    const char *path;
    int64_t id;

    (void)state;
    open_stage(&t, RULES);
    pending(&t);
    rig_says(&t.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12"));
    path = push(&t, &id);
    rig_pass(&t.r, 3000, 1000);
    poll(&t, path, 200, "failed", "the machine could not do it (Failed)", NULL);
    close_stage(&t);

    open_stage(&t, RULES);
    peer_forget(t.r.peer);
    rig_says(&t.r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&t.r, "GET", "/", 0, 403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\"}}");
    path = push(&t, &id);
    (void)rig_work(&t.r);
    poll(&t, path, 200, "failed", "alert " ALERT, NULL);
    close_stage(&t);
}

static void test_status__an_alert_that_is_only_told_of(void **state)
{
    struct stage t;
    const char *path;
    int64_t id;

    (void)state;
    open_stage(&t, "public_url: " PUBLIC "\n" RULES_MAIL_ONLY);
    rig_says(&t.r, "GET", LIST, 0, 200, NOTHING);
    path = push(&t, &id);
    (void)rig_work(&t.r);
    poll(&t, path, 200, "told", NULL, NULL);
    close_stage(&t);
}

/* ---- the link --------------------------------------------------------------------------------------- */

static void test_status__never_says_what_is_wrong_with_a_link(void **state)
{
    struct stage t;
    const char *path, *unknown;
    char changed[200];
    struct fetched f;
    int64_t id;

    (void)state;
    open_stage(&t, RULES);
    path = push(&t, &id);
    unknown = status_link(t.status, t.r.arena, "", 4711, clock_wall_ms(&t.r.hands.clock));
    assert_int_equal(ask(&t, "GET", path, &f), 202);
    fetched_clear(&f);
    poll_nothing(&t, unknown); /* signed, and no delivery of ours */
    poll_nothing(&t, STATUS_PATH);
    poll_nothing(&t, STATUS_PATH "x");
    poll_nothing(&t, STATUS_PATH "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    (void)snprintf(changed, sizeof changed, "%s/", path);
    poll_nothing(&t, changed);
    for (size_t i = strlen(STATUS_PATH); path[i]; i++) {
        (void)snprintf(changed, sizeof changed, "%s", path);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        poll_nothing(&t, changed);
    }
    hands_turn(&t.r.hands, STATUS_LIFETIME_MS - 1000);
    assert_int_equal(ask(&t, "GET", path, &f), 200);
    fetched_clear(&f);
    hands_turn(&t.r.hands, 1000);
    poll_nothing(&t, path);
    close_stage(&t);
}

static void test_status__is_only_for_reading(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS"};
    struct fetched head;
    struct stage t;
    const char *path;
    int64_t id;

    (void)state;
    open_stage(&t, RULES);
    path = push(&t, &id);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct fetched f;
        char value[100];

        assert_int_equal(ask(&t, methods[i], path, &f), 405);
        assert_string_equal(fetched_header(&f, "Allow", value, sizeof value), "GET, HEAD");
        fetched_clear(&f);
    }
    assert_int_equal(ask(&t, "HEAD", path, &head), 202); /* as GET, RFC 9110 section 9.3.2 */
    assert_int_equal(head.body_len, 0);
    fetched_clear(&head);
    close_stage(&t);
}

/* The key is the store's: the same link is good when the server was started again. */
static void test_status__a_link_survives_a_restart(void **state)
{
    struct stage t;
    const char *path;
    struct fetched f;
    int64_t id;

    (void)state;
    open_stage(&t, RULES);
    path = push(&t, &id);
    close_server(&t);
    open_server(&t);
    assert_int_equal(ask(&t, "GET", path, &f), 202);
    fetched_clear(&f);
    close_stage(&t);
}

/* A delivery of two alerts, stored as the senders' side does; returns its id. */
static int64_t push_two(struct rig *r, const char *one, const char *two)
{
    const struct alert_ref refs[] = {{.alert_id = one, .machine_id = MACHINE},
                                     {.alert_id = two, .machine_id = MACHINE}};
    const struct notification n = {.tenant = "contoso",
                                   .source = "relay",
                                   .received_ms = clock_wall_ms(&r->hands.clock),
                                   .alerts = refs,
                                   .count = 2};
    sem_t done;
    struct acceptance a = {.n = &n, .ctx = &done};

    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(r->store, &a, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    assert_int_equal(a.count, 2);
    return a.delivery;
}

/* An alert that was pushed before is a case of the second delivery as well; and of its cases the worst is the
 * word for it, when all have ended. */
static void test_status__a_delivery_knows_all_its_cases(void **state)
{
    struct json *doc = NULL;
    const struct json *one;
    struct stage t;
    const char *path;
    struct fetched f;
    int64_t delivery;

    (void)state;
    open_stage(&t, RULES);
    pending(&t);
    rig_says(&t.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    (void)rig_push(&t.r, ALERT, MACHINE);
    rig_pass(&t.r, 3000, 1000);
    delivery = push_two(&t.r, ALERT, "da1_-1");
    path = status_link(t.status, t.r.arena, "", delivery, clock_wall_ms(&t.r.hands.clock));
    assert_int_equal(ask(&t, "GET", path, &f), 202);
    assert_int_equal(json_parse(f.body, f.body_len, &doc, NULL), ERR_OK);
    one = json_first(json_get(doc, "cases"));
    assert_null(json_get_string(doc, "outcome"));
    assert_string_equal(json_get_string(one, "outcome"), "isolated");
    assert_null(json_get_string(json_next(one), "outcome"));
    json_free(doc);
    fetched_clear(&f);
    peer_forget(t.r.peer); /* the second alert cannot be read */
    rig_says(&t.r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&t.r, "GET", "/", 0, 403, "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\"}}");
    (void)rig_work(&t.r);
    assert_int_equal(ask(&t, "GET", path, &f), 200);
    assert_int_equal(json_parse(f.body, f.body_len, &doc, NULL), ERR_OK);
    one = json_first(json_get(doc, "cases"));
    assert_string_equal(json_get_string(doc, "outcome"), "failed");
    assert_string_equal(json_get_string(one, "outcome"), "isolated");
    assert_string_equal(json_get_string(json_next(one), "outcome"), "failed");
    json_free(doc);
    fetched_clear(&f);
    close_stage(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__works_until_defender_says_succeeded),
        cmocka_unit_test(test_status__an_absent_machine_ends_as_requested),
        cmocka_unit_test(test_status__says_what_the_policy_refused_and_why),
        cmocka_unit_test(test_status__a_limit_is_a_refusal_and_is_told),
        cmocka_unit_test(test_status__says_what_there_is_before_the_link_ends),
        cmocka_unit_test(test_status__says_what_failed_and_why),
        cmocka_unit_test(test_status__an_alert_that_is_only_told_of),
        cmocka_unit_test(test_status__never_says_what_is_wrong_with_a_link),
        cmocka_unit_test(test_status__is_only_for_reading),
        cmocka_unit_test(test_status__a_link_survives_a_restart),
        cmocka_unit_test(test_status__a_delivery_knows_all_its_cases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
