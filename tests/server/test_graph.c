/* test_graph.c - hunting queries, against the simulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "clock.h"
#include "graph.h"
#include "kit/sim.h"
#include "quota.h"
#include "rest.h"
#include "token.h"

#define GRAPH_PATH    "/graph/v1.0/security/runHuntingQuery"
#define DEFENDER_PATH "/api/advancedqueries/run"

struct rig {
    struct sim *sim;
    struct rest *rest;
    struct token *graph_token, *api_token;
    struct quota *quota;
    struct graph *graph;
};

static enum err_code secret(void *ctx, struct buf *out, struct err *e)
{
    const struct rig *r = ctx;

    (void)e;
    buf_adds(out, r->sim->client_secret);
    return buf_failed(out);
}

static void open_graph(struct rig *r)
{
    struct graph_options g = {.rest = r->rest,
                              .token = r->graph_token,
                              .defender_token = r->api_token,
                              .quota = r->quota,
                              .graph_url = r->sim->graph_url,
                              .api_url = r->sim->api_url,
                              .timeout_ms = 12000};

    assert_int_equal(graph_new(&g, &r->graph, NULL), ERR_OK);
}

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    const struct rest_options options = {0};
    struct token_options t = {.clock = clock_system(), .secret = secret};
    struct err e;

    assert_non_null(r);
    r->sim = sim_start(NULL);
    sim_tellf(r->sim, "/clients",
              "{\"client_id\":\"%s\",\"roles\":[\"AdvancedQuery.Read.All\"],"
              "\"graph_roles\":[\"ThreatHunting.Read.All\"]}",
              r->sim->client_id);
    assert_int_equal(rest_new(&options, &r->rest, &e), ERR_OK);
    t.rest = r->rest;
    t.login_url = r->sim->login_url;
    t.tenant_id = r->sim->tenant_id;
    t.client_id = r->sim->client_id;
    t.ctx = r;
    t.scope = "https://graph.microsoft.com/.default";
    assert_int_equal(token_new(&t, &r->graph_token, &e), ERR_OK);
    t.scope = r->sim->api_scope;
    assert_int_equal(token_new(&t, &r->api_token, &e), ERR_OK);
    assert_int_equal(quota_new(45, 1500, clock_system(), &r->quota, &e), ERR_OK);
    open_graph(r);
    sim_tell(
        r->sim, "/hunts",
        "{\"query\":\"DeviceProcessEvents*\",\"schema\":[{\"name\":\"Timestamp\",\"type\":\"DateTime\"},"
        "{\"name\":\"DeviceId\",\"type\":\"String\"}],\"results\":["
        "{\"Timestamp\":\"2026-01-01T10:00:00.1234567Z\",\"DeviceId\":\"a\"},"
        "{\"Timestamp\":\"2026-01-01T12:00:00Z\",\"DeviceId\":\"b\"}]}");
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    graph_free(r->graph);
    token_free(r->graph_token);
    token_free(r->api_token);
    quota_free(r->quota);
    rest_free(r->rest);
    sim_stop(r->sim);
    free(r);
    return 0;
}

static const char query[] = "DeviceProcessEvents\n| where FileName == \"räksmörgås.exe\"";

static enum err_code hunt(struct rig *r, enum graph_api api, const char *text, int64_t from,
                          size_t *ret_rows, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    enum err_code code = graph_hunt(r->graph, api, text, from, &doc, e);

    *ret_rows = json_count(json_get(doc, api == GRAPH_API_GRAPH ? "results" : "Results"));
    return code;
}

static void test_graph__asks_graph_from_a_time_on(void **state)
{
    struct rig *r = *state;
    AUTO(json_freep) struct json *calls = NULL;
    int64_t from;
    size_t rows;
    struct err e = {0};
    const char *body;

    assert_int_equal(clock_parse("2026-01-01T11:00:00Z", &from, NULL), ERR_OK);
    if (hunt(r, GRAPH_API_GRAPH, query, from, &rows, &e))
        fail_msg("%s", e.text);
    assert_int_equal(rows, 1);
    calls = sim_calls(r->sim, "POST", GRAPH_PATH, 0);
    body = json_get_string(json_first(json_get(calls, "calls")), "body");
    assert_non_null(strstr(body, "\"Timespan\":\"2026-01-01T11:00:00.000Z\""));
    assert_non_null(strstr(body, "räksmörgås.exe"));
}

static void test_graph__asks_defender_where_it_is_told_to(void **state)
{
    struct rig *r = *state;
    AUTO(json_freep) struct json *calls = NULL;
    size_t rows;
    struct err e = {0};

    if (hunt(r, GRAPH_API_DEFENDER, query, 1, &rows, &e))
        fail_msg("%s", e.text);
    assert_int_equal(rows, 2);
    calls = sim_calls(r->sim, "POST", DEFENDER_PATH, 0);
    assert_null(strstr(json_get_string(json_first(json_get(calls, "calls")), "body"), "Timespan"));
    assert_int_equal(sim_count_calls(r->sim, "POST", GRAPH_PATH), 0);
}

/* What the service does, and what that means. */
static void test_graph__every_failure_says_what_to_do(void **state)
{
    static const struct {
        const char *fault;
        enum err_code code;
        const char *says;
        int64_t retry_ms;
    } rows[] = {
        {"\"kind\":\"answer\",\"status\":400,\"json\":{\"error\":{\"code\":\"BadRequest\","
         "\"message\":\"the result set is too large\\r\\nlimit it\"}}",
         ERR_REFUSED, "HTTP 400 BadRequest: the result set is too large", 0},
        {"\"kind\":\"answer\",\"status\":504,\"json\":{\"error\":{\"code\":\"UnknownError\",\"message\":\"\"}}",
         ERR_AGAIN, "HTTP 504 UnknownError", 0},
        {"\"kind\":\"html\"", ERR_AGAIN, "HTTP 502", 0},
        {"\"kind\":\"html\",\"status\":400", ERR_AGAIN, "HTTP 400", 0},
        {"\"kind\":\"html\",\"status\":403", ERR_AGAIN, "HTTP 403", 0},
        {"\"kind\":\"html\",\"status\":404", ERR_AGAIN, "HTTP 404", 0},
        {"\"kind\":\"answer\",\"status\":404,\"body\":\"\"", ERR_REFUSED, "no advanced hunting", 0},
        {"\"kind\":\"answer\",\"status\":403,\"json\":{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\"}}",
         ERR_FORBIDDEN, "give the application the permission ThreatHunting.Read.All", 0},
        {"\"kind\":\"truncated\"", ERR_AGAIN, "POST /v1.0/security/runHuntingQuery", 0},
        {"\"kind\":\"malformed\"", ERR_AGAIN, "offset", 0},
        {"\"kind\":\"huge\",\"bytes\":60000000", ERR_TOO_BIG, "project fewer columns", 0},
        {"\"kind\":\"hang\"", ERR_AGAIN, "POST /v1.0/security/runHuntingQuery", 0},
        {"\"kind\":\"answer\",\"status\":429,\"headers\":{\"Retry-After\":\"1\"},\"body\":\"\"",
         ERR_THROTTLED, "HTTP 429", 1000},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        size_t n;
        enum err_code code;

        sim_tellf(r->sim, "/faults", "{\"path\":\"" GRAPH_PATH "\",\"count\":1,%s}", rows[i].fault);
        code = hunt(r, GRAPH_API_GRAPH, query, 0, &n, &e);
        if (code != rows[i].code || !strstr(e.text, rows[i].says) || e.code != code ||
            e.retry_ms != rows[i].retry_ms)
            fail_msg("%s: %s: %s", rows[i].fault, err_name(code), e.text);
    }
}

static void test_graph__a_token_that_an_answer_repeats_is_not_said(void **state)
{
    AUTO(token_clear) struct buf token = BUF_INIT(TOKEN_MAX);
    struct rig *r = *state;
    struct err e = {0};
    size_t n;

    assert_int_equal(token_get(r->graph_token, &token, &e), ERR_OK);
    sim_tellf(r->sim, "/faults",
              "{\"path\":\"" GRAPH_PATH
              "\",\"count\":1,\"kind\":\"answer\",\"status\":400,\"json\":"
              "{\"error\":{\"code\":\"BadRequest\",\"message\":\"a header: Bearer %s\"}}}",
              buf_text(&token));
    assert_int_equal(hunt(r, GRAPH_API_GRAPH, query, 0, &n, &e), ERR_REFUSED);
    if (strstr(e.text, "Bearer") || !strstr(e.text, "repeats our token"))
        fail_msg("%s", e.text);
}

/* Section 7.3: what the header does not say, the sentence may; and at once is no time. */
static void test_graph__obeys_a_throttle(void **state)
{
    static const struct {
        const char *answer;
        int64_t retry_ms;
    } rows[] = {
        {"\"json\":{\"error\":{\"code\":\"429\",\"message\":\"API calls quota exceeded! You can send requests "
         "again in 300 seconds.\"}}",
         300 * SECOND_MS},
        {"\"headers\":{\"Retry-After\":\"0\"},\"body\":\"\"", MINUTE_MS},
        {"\"body\":\"\"", MINUTE_MS},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        size_t n;

        sim_tellf(r->sim, "/faults",
                  "{\"path\":\"" DEFENDER_PATH
                  "\",\"count\":1,\"kind\":\"answer\",\"status\":429,%s}",
                  rows[i].answer);
        quota_free(r->quota); /* it is blocked */
        assert_int_equal(quota_new(45, 1500, clock_system(), &r->quota, &e), ERR_OK);
        graph_free(r->graph);
        open_graph(r);
        assert_int_equal(hunt(r, GRAPH_API_DEFENDER, query, 0, &n, &e), ERR_THROTTLED);
        assert_int_equal(e.retry_ms, rows[i].retry_ms);
    }
}

static void test_graph__is_told_of_a_query_with_a_fault(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    size_t n;

    assert_int_equal(hunt(r, GRAPH_API_GRAPH, "DeviceProcesEvents | take 1", 0, &n, &e),
                     ERR_REFUSED);
    assert_non_null(strstr(e.text, "Failed to resolve table"));
    assert_int_equal(hunt(r, GRAPH_API_DEFENDER, "DeviceProcesEvents | take 1", 0, &n, &e),
                     ERR_REFUSED);
    assert_non_null(strstr(e.text, "Failed to resolve table"));
}

static void test_graph__needs_the_permission(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    size_t n;

    sim_tellf(r->sim, "/clients",
              "{\"client_id\":\"%s\",\"roles\":[\"Alert.Read.All\"],\"graph_roles\":[]}",
              r->sim->client_id);
    assert_int_equal(hunt(r, GRAPH_API_GRAPH, query, 0, &n, &e), ERR_FORBIDDEN);
    assert_non_null(strstr(e.text, "ThreatHunting.Read.All, and consent"));
    assert_int_equal(hunt(r, GRAPH_API_DEFENDER, query, 0, &n, &e), ERR_FORBIDDEN);
    assert_non_null(strstr(e.text, "AdvancedQuery.Read.All, and consent"));
}

static void test_graph__a_stale_token_is_renewed_once(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    size_t n;

    assert_int_equal(hunt(r, GRAPH_API_GRAPH, query, 1, &n, &e), ERR_OK);
    sim_tell(r->sim, "/expire-tokens", "{}");
    if (hunt(r, GRAPH_API_GRAPH, query, 1, &n, &e))
        fail_msg("%s", e.text);
    assert_int_equal(sim_count_calls(r->sim, "POST", GRAPH_PATH), 3);
}

/* A block of hunting is not one of anything else, and it lasts. */
static void test_graph__asks_no_more_while_it_is_blocked(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    size_t n;

    sim_tell(r->sim, "/faults",
             "{\"path\":\"" GRAPH_PATH "\",\"count\":1,\"kind\":\"answer\",\"status\":429,"
             "\"headers\":{\"Retry-After\":\"600\"},\"body\":\"\"}");
    assert_int_equal(hunt(r, GRAPH_API_GRAPH, query, 0, &n, &e), ERR_THROTTLED);
    assert_int_equal(e.retry_ms, 600 * SECOND_MS);
    assert_int_equal(hunt(r, GRAPH_API_GRAPH, query, 0, &n, &e), ERR_THROTTLED);
    assert_true(e.retry_ms > 590 * SECOND_MS && e.retry_ms <= 600 * SECOND_MS);
    assert_int_equal(sim_count_calls(r->sim, "POST", GRAPH_PATH), 1);
}

static void test_graph__forty_five_calls_a_minute(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    int made = 0;
    size_t n;

    while (made < 60 && hunt(r, GRAPH_API_GRAPH, query, 0, &n, &e) == ERR_OK)
        made++;
    assert_int_equal(e.code, ERR_THROTTLED);
    assert_true(made == 45);
    assert_int_equal(sim_count_calls(r->sim, "POST", GRAPH_PATH), made);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_graph__asks_graph_from_a_time_on),
        TEST(test_graph__asks_defender_where_it_is_told_to),
        TEST(test_graph__every_failure_says_what_to_do),
        TEST(test_graph__a_token_that_an_answer_repeats_is_not_said),
        TEST(test_graph__obeys_a_throttle),
        TEST(test_graph__is_told_of_a_query_with_a_fault),
        TEST(test_graph__needs_the_permission),
        TEST(test_graph__a_stale_token_is_renewed_once),
        TEST(test_graph__asks_no_more_while_it_is_blocked),
        TEST(test_graph__forty_five_calls_a_minute),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
