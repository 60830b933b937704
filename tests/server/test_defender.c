/* test_defender.c - what Defender sees of us, and what we make of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "defender.h"
#include "rest.h"
#include "token.h"
#include "../kit/hands.h"
#include "../kit/peer.h"
#include "../kit/torture.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define ALERT   "da638712345678901234_-1027384756"
#define ACTION  "b2d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f"
#define ACTIONS "/api/machineactions?"

#define ALERT_DOC   "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}"
#define MACHINE_DOC "{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"],\"osBuild\":null}"
/* An action with this id, type, status and creation time. */
#define ACTION_DOC(id, type, status, created)                                                      \
    "{\"id\":\"" id "\",\"type\":\"" type "\",\"status\":\"" status "\",\"machineId\":\"" MACHINE  \
    "\",\"creationDateTimeUtc\":\"" created "\",\"lastUpdateDateTimeUtc\":\"" created              \
    "\",\"errorHResult\":0,\"scope\":null,\"externalId\":null}"
#define ISOLATE_DOC ACTION_DOC(ACTION, "Isolate", "Pending", "2024-12-31T09:36:21.3308190Z")

struct stage {
    struct hands hands;
    struct rest *rest;
    struct peer *peer; /* Entra and Defender in one */
    struct token *token;
    struct defender *defender;

    enum err_code refuse; /* what acquire says */
    unsigned acquired[DEFENDER_CLASSES], throttled[DEFENDER_API_PACKAGE + 1];
    int64_t throttled_ms;
};

static enum err_code secret(void *ctx, struct buf *out, struct err *e)
{
    (void)ctx, (void)e;
    buf_adds(out, "s");
    return ERR_OK;
}

static enum err_code acquire(void *ctx, enum defender_api api, enum defender_class class,
                             struct err *e)
{
    struct stage *s = ctx;

    (void)api;
    s->acquired[class]++;
    if (s->refuse) {
        (void)err_set(e, s->refuse, "the share of reads is used up");
        e->retry_ms = 1234;
    }
    return s->refuse;
}

static void on_throttled(void *ctx, enum defender_api api, int64_t retry_ms)
{
    struct stage *s = ctx;

    s->throttled[api]++;
    s->throttled_ms = retry_ms;
}

static void gives(struct stage *s, const char *target, unsigned times, int status, const char *body)
{
    peer_script(s->peer, &(struct peer_answer){
                             .target = target, .times = times, .status = status, .body = body});
}

/* Forgets the script and the requests, and has tokens to give: t1, t2, … */
static void afresh(struct stage *s)
{
    peer_forget(s->peer);
    gives(s, "/t/oauth2", 1, 200, "{\"expires_in\":3599,\"access_token\":\"t1\"}");
    gives(s, "/t/oauth2", 1, 200, "{\"expires_in\":3599,\"access_token\":\"t2\"}");
}

static int before(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    struct hands hands = HANDS_INIT;

    s->hands.clock = hands.clock;
    s->hands.wall = hands.wall;
    s->hands.mono = hands.mono;
    s->peer = peer_new(NULL);
    assert_int_equal(rest_new(&(struct rest_options){.max_answer = 65536}, &s->rest, NULL), ERR_OK);
    assert_int_equal(token_new(&(struct token_options){.rest = s->rest,
                                                       .clock = &s->hands.clock,
                                                       .login_url = peer_url(s->peer),
                                                       .tenant_id = "t",
                                                       .client_id = "c",
                                                       .scope = "s",
                                                       .secret = secret},
                               &s->token, NULL),
                     ERR_OK);
    assert_int_equal(defender_new(&(struct defender_options){.rest = s->rest,
                                                             .token = s->token,
                                                             .clock = &s->hands.clock,
                                                             .api_url = peer_url(s->peer),
                                                             .timeout_ms = 20000,
                                                             .acquire = acquire,
                                                             .on_throttled = on_throttled,
                                                             .ctx = s},
                                  &s->defender, NULL),
                     ERR_OK);
    afresh(s);
    *state = s;
    return 0;
}

static int after(void **state)
{
    struct stage *s = *state;

    defender_free(s->defender);
    token_free(s->token);
    rest_free(s->rest);
    peer_free(s->peer);
    free(s);
    return 0;
}

static enum err_code ask(struct defender *d, enum defender_deed deed, const char *machine,
                         const char *detail, const char *comment, const char *external_id,
                         struct defender_action *ret, struct err *e)
{
    const struct defender_request q = {.deed = deed,
                                       .machine_id = machine,
                                       .detail = detail,
                                       .comment = comment,
                                       .external_id = external_id};

    return defender_ask(d, &q, ret, e);
}

static enum err_code isolate(struct stage *s, struct defender_action *ret, struct err *e)
{
    return ask(s->defender, DEFENDER_ISOLATION, MACHINE, "Full", "why", "ext-1", ret, e);
}

static enum err_code read_alert(struct stage *s, struct err *e)
{
    struct defender_reads r;
    enum err_code code;

    defender_read(s->defender, ALERT, NULL, DEFENDER_READ_ALERT, &r);
    code = r.alert_code;
    *e = r.alert_err;
    assert_int_equal(code == ERR_OK, r.alert != NULL);
    if (code)
        assert_int_equal(e->code, code);
    defender_reads_clear(&r);
    return code;
}

/* ---- what is sent ---------------------------------------------------------------------------------- */

static void assert_head(struct stage *s, const struct peer_request *q, const char *line,
                        const char *rest)
{
    char head[1000];

    (void)snprintf(head, sizeof head,
                   "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: cordon\r\n"
                   "Accept: application/json\r\nAuthorization: Bearer t1\r\n%s",
                   line, peer_port(s->peer), rest);
    assert_non_null(q);
    assert_string_equal(q->head, head);
}

static void test_defender__reads_alert_machine_and_actions_side_by_side(void **state)
{
    struct stage *s = *state;
    struct defender_reads r;

    peer_forget(s->peer);
    gives(s, "/t/oauth2", 1, 200, "{\"expires_in\":3599,\"access_token\":\"t1\"}");
    /* nobody is answered before the token's request and all three reads have been seen */
    peer_script(s->peer,
                &(struct peer_answer){
                    .target = "/api/alerts/", .status = 200, .gather = 4, .body = ALERT_DOC});
    peer_script(s->peer,
                &(struct peer_answer){
                    .target = "/api/machines/", .status = 200, .gather = 4, .body = MACHINE_DOC});
    peer_script(s->peer, &(struct peer_answer){.target = ACTIONS,
                                               .status = 200,
                                               .gather = 4,
                                               .body = "{\"value\":[" ISOLATE_DOC "]}"});
    defender_read(s->defender, ALERT, MACHINE,
                  DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE | DEFENDER_READ_ACTIONS, &r);
    assert_int_equal(r.alert_code, ERR_OK);
    assert_int_equal(r.machine_code, ERR_OK);
    assert_int_equal(r.actions_code, ERR_OK);
    assert_string_equal(json_get_string(r.alert, "severity"), "High");
    assert_string_equal(json_string(json_first(json_get(r.machine, "machineTags"))), "tier-0");
    assert_int_equal(r.n_actions, 1);
    assert_string_equal(r.actions[0].id, ACTION);
    assert_int_equal(r.read_ms, clock_wall_ms(&s->hands.clock));
    assert_int_equal(s->acquired[DEFENDER_CLASS_READ], 3);
    assert_head(s, peer_request_for(s->peer, "/api/alerts/"), "GET /api/alerts/" ALERT, "");
    assert_head(s, peer_request_for(s->peer, "/api/machines/"), "GET /api/machines/" MACHINE, "");
    assert_head(s, peer_request_for(s->peer, ACTIONS),
                "GET /api/machineactions?$filter=machineId%20eq%20%27" MACHINE
                "%27%20and%20%28type%20eq%20%27Isolate%27%20or%20type%20eq%20%27Unisolate%27%29"
                "&$orderby=creationDateTimeUtc%20desc&$top=10",
                "");
    defender_reads_clear(&r);
    assert_null(r.alert);
}

static void test_defender__reads_only_what_is_wanted(void **state)
{
    static const struct {
        const char *alert, *machine;
        unsigned flags;
        size_t requests;
    } rows[] = {
        {ALERT, MACHINE, 0, 0},
        {ALERT, MACHINE, DEFENDER_READ_ALERT, 1},
        {NULL, MACHINE, DEFENDER_READ_ALERT, 0},
        {NULL, MACHINE, DEFENDER_READ_ALERT | DEFENDER_READ_ACTIONS, 1},
        {ALERT, NULL, 7, 1},
        {NULL, NULL, 7, 0},
        {ALERT, MACHINE, 7, 3},
    };
    struct stage *s = *state;
    struct defender_reads r;

    gives(s, "/api/", 0, 404, "");
    defender_read(s->defender, ALERT, NULL, DEFENDER_READ_ALERT, &r);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t had = peer_count(s->peer);

        defender_read(s->defender, rows[i].alert, rows[i].machine,
                      (enum defender_read_flags)rows[i].flags, &r);
        assert_int_equal(peer_count(s->peer) - had, rows[i].requests);
        assert_int_equal(r.alert_code, rows[i].alert && rows[i].flags & 1 ? ERR_NOT_FOUND : ERR_OK);
        defender_reads_clear(&r);
    }
}

static void test_defender__each_part_has_its_own_fate(void **state)
{
    struct stage *s = *state;
    struct defender_reads r;

    gives(s, "/api/alerts/", 0, 200, ALERT_DOC);
    gives(s, "/api/machines/", 0, 404, "");
    peer_script(s->peer, &(struct peer_answer){.target = ACTIONS, .act = PEER_RESET});
    defender_read(s->defender, ALERT, MACHINE, (enum defender_read_flags)7, &r);
    assert_int_equal(r.alert_code, ERR_OK);
    assert_int_equal(r.machine_code, ERR_NOT_FOUND);
    assert_int_equal(r.actions_code, ERR_AGAIN);
    assert_null(r.machine);
    assert_memory_equal(r.actions_err.text, "GET /api/machineactions: 127.0.0.1: ", 36);
    defender_reads_clear(&r);
}

static void test_defender__isolates_and_releases_as_defender_wants_it(void **state)
{
    struct stage *s = *state;
    struct defender_action a;
    const struct peer_request *q;

    gives(s, "/api/machines/" MACHINE "/isolate", 0, 201, ISOLATE_DOC);
    gives(s, "/api/machines/" MACHINE "/unisolate", 0, 200,
          ACTION_DOC(ACTION, "Unisolate", "InProgress", "2024-12-31T09:36:21Z"));
    assert_int_equal(ask(s->defender, DEFENDER_ISOLATION, MACHINE, "Selective",
                         "alert \"x\"\r\n<y>", "0abc", &a, NULL),
                     ERR_OK);
    q = peer_request_for(s->peer, "/api/machines/" MACHINE "/isolate");
    assert_head(s, q, "POST /api/machines/" MACHINE "/isolate",
                "Content-Type: application/json\r\nContent-Length: 78\r\n");
    assert_string_equal(q->body,
                        "{\"Comment\":\"alert \\\"x\\\"  <y>\",\"IsolationType\":\"Selective\","
                        "\"ExternalId\":\"0abc\"}");
    assert_int_equal(a.type, DEFENDER_ISOLATE);
    assert_int_equal(a.status, DEFENDER_PENDING);
    assert_string_equal(a.machine_id, MACHINE);
    assert_int_equal(a.created_ms, 1735637781330);
    assert_true(defender_action_is_open(&a));

    assert_int_equal(ask(s->defender, DEFENDER_RELEASE, MACHINE, NULL, "done", NULL, &a, NULL),
                     ERR_OK);
    q = peer_request_for(s->peer, "/api/machines/" MACHINE "/unisolate");
    assert_string_equal(q->method, "POST");
    assert_string_equal(q->body, "{\"Comment\":\"done\"}");
    assert_int_equal(a.type, DEFENDER_UNISOLATE);
    assert_int_equal(s->acquired[DEFENDER_CLASS_ACTION], 2);
    assert_int_equal(s->acquired[DEFENDER_CLASS_READ], 0);
}

static void test_defender__cuts_a_comment_at_a_thousand_characters(void **state)
{
    struct stage *s = *state;
    struct defender_action a;
    char comment[3001], body[4000];
    const struct peer_request *q;

    for (size_t i = 0; i < 3000; i += 2)
        memcpy(comment + i, "\xc3\xa5", 2);
    comment[3000] = '\0';
    gives(s, "/api/", 0, 201, ISOLATE_DOC);
    assert_int_equal(ask(s->defender, DEFENDER_ISOLATION, MACHINE, "Full", comment, NULL, &a, NULL),
                     ERR_OK);
    q = peer_request(s->peer, 1);
    comment[2000] = '\0';
    (void)snprintf(body, sizeof body, "{\"Comment\":\"%s\",\"IsolationType\":\"Full\"}", comment);
    assert_string_equal(q->body, body);
}

static void test_defender__sends_nothing_unfit(void **state)
{
    static const char *const machines[] = {
        "",
        "..",
        "ws-114.corp.example",
        "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b",
        MACHINE "/../x",
        "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f49c1f6f3d2b7a4e58a0d4c3b2e",
        MACHINE "'",
        "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9bg",
        MACHINE "\n",
    };
    static const char *const alerts[] = {"",      ".",   "..",  "a/b", "a b",
                                         "a%2fb", "a?b", "a'b", "a\n", "\xc3\xa5"};
    struct stage *s = *state;
    struct defender_action a;
    struct defender_reads r;
    char long_id[130];

    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        defender_read(s->defender, NULL, machines[i], (enum defender_read_flags)7, &r);
        assert_int_equal(r.machine_code, ERR_INVALID);
        assert_int_equal(r.actions_code, ERR_INVALID);
        assert_int_equal(
            ask(s->defender, DEFENDER_ISOLATION, machines[i], "Full", "x", NULL, &a, NULL),
            ERR_INVALID);
        assert_int_equal(ask(s->defender, DEFENDER_RELEASE, machines[i], NULL, "x", NULL, &a, NULL),
                         ERR_INVALID);
    }
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        defender_read(s->defender, alerts[i], NULL, DEFENDER_READ_ALERT, &r);
        assert_int_equal(r.alert_code, ERR_INVALID);
        assert_int_equal(
            defender_get_action(s->defender, DEFENDER_ISOLATION, MACHINE, alerts[i], &a, NULL),
            ERR_INVALID);
        assert_int_equal(
            ask(s->defender, DEFENDER_ISOLATION, MACHINE, "Full", "x", alerts[i], &a, NULL),
            ERR_INVALID);
    }
    memset(long_id, 'a', 129);
    long_id[129] = '\0';
    defender_read(s->defender, long_id, NULL, DEFENDER_READ_ALERT, &r);
    assert_int_equal(r.alert_code, ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_ISOLATION, MACHINE, "full", "x", NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_ISOLATION, MACHINE, NULL, "x", NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_ISOLATION, MACHINE, "Full", " \r\n", NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_ISOLATION, MACHINE, "Full", NULL, NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_SCAN, MACHINE, "quick", "x", NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_STOP_FILE, MACHINE, NULL, "x", NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(ask(s->defender, DEFENDER_RELEASE, MACHINE, "Full", "x", NULL, &a, NULL),
                     ERR_INVALID);
    assert_int_equal(peer_count(s->peer), 0);
}

/* An answer about another deed or another machine: what was asked for may have been done. */
static void test_defender__an_answer_about_another_deed_is_unknown(void **state)
{
    static const struct {
        enum defender_deed deed;
        const char *path, *detail;
    } asked[] = {
        {DEFENDER_ISOLATION, "/api/machines/" MACHINE "/isolate", "Full"},
        {DEFENDER_RELEASE, "/api/machines/" MACHINE "/unisolate", NULL},
        {DEFENDER_SCAN, "/api/machines/" MACHINE "/runAntiVirusScan", "Quick"},
        {DEFENDER_COLLECT, "/api/machines/" MACHINE "/collectInvestigationPackage", NULL},
    };
    struct stage *s = *state;
    struct defender_action a;
    struct err e;

    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        gives(s, asked[i].path, 0, 201,
              ACTION_DOC(ACTION, "RestrictCodeExecution", "Pending", "2024-12-31T09:36:21Z"));
        assert_int_equal(
            ask(s->defender, asked[i].deed, MACHINE, asked[i].detail, "x", NULL, &a, &e),
            ERR_UNKNOWN);
        assert_non_null(strstr(e.text, "another type"));
    }
}

/* ---- the table of outcomes --------------------------------------------------------------------------- */

static void test_defender__settles_every_refusal(void **state)
{
    static const struct {
        int status;
        const char *code, *message;
        enum err_code read, act;
        const char *text;
    } rows[] = {
        {400, "ActiveRequestAlreadyExists", "Action is already in progress", ERR_CONFLICT,
         ERR_CONFLICT,
         "HTTP 400 ActiveRequestAlreadyExists: Action is already in progress (target 0a4a)"},
        {400, "BadRequest", "Action is Already In Progress", ERR_CONFLICT, ERR_CONFLICT, NULL},
        {400, "activeRequestAlreadyExists", "no", ERR_CONFLICT, ERR_CONFLICT, NULL},
        {400, "OsPlatformNotSupported", "no", ERR_REFUSED, ERR_REFUSED, "operating system"},
        {400, "ClientVersionNotSupported", "no", ERR_REFUSED, ERR_REFUSED, "too old"},
        {400, "BadRequest", "no", ERR_REFUSED, ERR_REFUSED, NULL},
        {400, "ODataError", "no", ERR_REFUSED, ERR_REFUSED, NULL},
        {400, "InvalidRequestBody", "no", ERR_REFUSED, ERR_REFUSED, NULL},
        {400, "MissingRequiredParameter", "no", ERR_REFUSED, ERR_REFUSED, NULL},
        {400, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, "HTTP 400"}, /* a page: not Defender's */
        {401, "Unauthorized", "Unauthorized request - reason of failure: Account mode is inactive",
         ERR_FORBIDDEN, ERR_FORBIDDEN, "no active licence"},
        {401, "Unauthorized", "reason of failure: No Tvm license", ERR_FORBIDDEN, ERR_FORBIDDEN,
         NULL},
        {401, "Unauthorized", "no", ERR_DENIED, ERR_DENIED, "fresh token"},
        {403, "Forbidden", "Missing application roles. API required roles: Machine.Isolate",
         ERR_FORBIDDEN, ERR_FORBIDDEN, "consent"},
        {403, "Forbidden", "no", ERR_FORBIDDEN, ERR_FORBIDDEN, NULL},
        {403, "DisabledFeature", "no", ERR_REFUSED, ERR_REFUSED, "switched off"},
        {403, "DisallowedOperation", "no", ERR_FORBIDDEN, ERR_FORBIDDEN, "device group"},
        {403, "\\u0000", "no", ERR_FORBIDDEN, ERR_FORBIDDEN, NULL},
        {403, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, "HTTP 403"},
        {404, "ResourceNotFound", "Machine 0123 was not found", ERR_NOT_FOUND, ERR_NOT_FOUND,
         "was not found"},
        {404, "NotFound", "no", ERR_NOT_FOUND, ERR_NOT_FOUND, NULL},
        {404, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, "HTTP 404"},
        {408, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
        {409, "Conflict", "no", ERR_CONFLICT, ERR_CONFLICT, NULL},
        {413, NULL, NULL, ERR_REFUSED, ERR_REFUSED, NULL},
        {429, "429", "API calls quota exceeded!", ERR_THROTTLED, ERR_THROTTLED, NULL},
        {429, "TooManyRequests", "no", ERR_THROTTLED, ERR_THROTTLED, NULL},
        {500, "InternalServerError", "no", ERR_AGAIN, ERR_UNKNOWN, NULL},
        {502, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, "HTTP 502"},
        {503, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
        {504, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
        {202, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
        {204, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
        {302, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
        {777, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[500] = "<html>Bad gateway</html>";
        struct defender_action a;
        const char *said, *cure;
        struct err e;

        if (rows[i].code)
            (void)snprintf(body, sizeof body,
                           "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"target\":\"0a4a\"}}",
                           rows[i].code, rows[i].message);
        afresh(s);
        hands_turn(&s->hands, 2 * HOUR_MS); /* a token that may be dropped */
        gives(s, "/api/", 0, rows[i].status, body);
        if (read_alert(s, &e) != rows[i].read)
            fail_msg("row %zu, read: %s %s", i, err_name(e.code), e.text);
        said = strstr(e.text, "GET /api/alerts/" ALERT ": HTTP ");
        assert_non_null(said);
        /* what a person can use stands before it: a subject is cut at its end */
        cure = rows[i].text ? strstr(e.text, rows[i].text) : e.text;
        if (!cure || (said > e.text && cure > said) ||
            (!strcmp(rows[i].code ? rows[i].code : "", "OsPlatformNotSupported") && said == e.text))
            fail_msg("row %zu: %s", i, e.text);

        hands_turn(&s->hands, 2 * HOUR_MS);
        afresh(s);
        gives(s, "/api/", 0, rows[i].status, body);
        if (isolate(s, &a, &e) != rows[i].act || e.code != rows[i].act)
            fail_msg("row %zu, act: %s %s", i, err_name(e.code), e.text);
        /* one POST, whatever came; a 401 was not carried out and is tried once more */
        assert_int_equal(peer_count(s->peer), rows[i].act == ERR_DENIED ? 4 : 2);
    }
}

static void test_defender__obeys_a_throttle(void **state)
{
    static const struct {
        const char *header, *message;
        int64_t retry_ms;
    } rows[] = {
        {"Retry-After: 8\r\n", "You can send requests again in 99 seconds.", 8000},
        {NULL,
         "maximum allowed 100 per 00:01:00 for the key. You can send requests again in 9 seconds.",
         9000},
        {NULL, "Wait in line, in 1 second", 1000},
        {NULL, "in 999999999999999999999 seconds", 60000},
        {NULL, "API calls quota exceeded! maximum allowed 100 per 00:01:00", 60000},
        {NULL, "in 5 apples", 60000},
        {"Retry-After: soon\r\n", "", 60000},
        /* at once, or before: that is no time, and asking at once would use the hour up in minutes */
        {"Retry-After: 0\r\n", "", 60000},
        {"Retry-After: 0\r\n", "You can send requests again in 9 seconds.", 9000},
        {"Retry-After: Tue, 07 Jan 2020 10:11:12 GMT\r\n", "", 60000},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[300];
        struct defender_action a;
        struct err e;

        (void)snprintf(body, sizeof body, "{\"error\":{\"code\":\"429\",\"message\":\"%s\"}}",
                       rows[i].message);
        afresh(s);
        peer_script(s->peer,
                    &(struct peer_answer){
                        .target = "/api/", .status = 429, .headers = rows[i].header, .body = body});
        assert_int_equal(read_alert(s, &e), ERR_THROTTLED);
        if (e.retry_ms != rows[i].retry_ms)
            fail_msg("row %zu: %lld", i, (long long)e.retry_ms);
        assert_int_equal(s->throttled[DEFENDER_API_COMMON], 2 * i + 1);
        assert_int_equal(s->throttled_ms, rows[i].retry_ms);
        assert_int_equal(isolate(s, &a, &e), ERR_THROTTLED);
        assert_int_equal(s->throttled[DEFENDER_API_COMMON], 2 * i + 2);
    }
}

static void test_defender__asks_the_governor_first(void **state)
{
    struct stage *s = *state;
    struct defender_reads r;
    struct defender_action a;
    struct err e;

    s->refuse = ERR_THROTTLED;
    gives(s, "/api/", 0, 200, ALERT_DOC);
    defender_read(s->defender, ALERT, MACHINE, (enum defender_read_flags)7, &r);
    assert_int_equal(r.alert_code, ERR_THROTTLED);
    assert_int_equal(r.machine_code, ERR_THROTTLED);
    assert_int_equal(r.actions_code, ERR_THROTTLED);
    assert_int_equal(r.alert_err.retry_ms, 1234);
    assert_int_equal(isolate(s, &a, &e), ERR_THROTTLED);
    assert_int_equal(e.retry_ms, 1234);
    assert_null(peer_request_for(s->peer, "/api/"));
    assert_int_equal(s->throttled[DEFENDER_API_COMMON], 0); /* Defender did not say so */
}

/* ---- the token ---------------------------------------------------------------------------------------- */

static void test_defender__a_stale_token_is_replaced_once(void **state)
{
    struct stage *s = *state;
    struct defender_reads r;
    struct defender_action a;
    struct err e;

    /* three reads with one stale token: one new token, three repeats */
    gives(s, "/api/", 3, 401, "");
    gives(s, "/api/alerts/", 0, 200, ALERT_DOC);
    gives(s, "/api/machines/" MACHINE "/isolate", 0, 401, "");
    gives(s, "/api/machines/", 0, 200, MACHINE_DOC);
    gives(s, ACTIONS, 0, 200, "{\"value\":[]}");
    defender_read(s->defender, ALERT, MACHINE, (enum defender_read_flags)7, &r);
    assert_int_equal(r.alert_code, ERR_OK);
    assert_int_equal(r.machine_code, ERR_OK);
    assert_int_equal(r.actions_code, ERR_OK);
    assert_int_equal(peer_count(s->peer), 8);
    assert_int_equal(s->acquired[DEFENDER_CLASS_READ], 6);
    for (size_t i = 0; i < 8; i++) {
        const struct peer_request *q = peer_request(s->peer, i);

        if (strncmp(q->target, "/api/", 5) == 0)
            assert_string_equal(peer_header(q, "Authorization"), i < 4 ? "Bearer t1" : "Bearer t2");
    }
    defender_reads_clear(&r);
    /* the new one is refused too, soon after: no third token (trap 36) */
    assert_int_equal(isolate(s, &a, &e), ERR_DENIED);
    assert_int_equal(peer_count(s->peer), 9);
}

#define NO_ROLE                                                                                    \
    "{\"error\":{\"code\":\"Forbidden\",\"message\":\"Missing application roles. API required "    \
    "roles: Machine.Isolate, application roles: .\"}}"

/* Trap 37: a permission that was given since is in a newer token only. But somebody who gives none is not asked about it
 * all the time. */
static void test_defender__a_permission_given_since_is_found(void **state)
{
    struct stage *s = *state;
    struct defender_action a;
    struct err e;

    gives(s, "/t/oauth2", 0, 200, "{\"expires_in\":3599,\"access_token\":\"t3\"}");
    gives(s, "/api/", 2, 403, NO_ROLE);
    gives(s, "/api/", 1, 201, ISOLATE_DOC);
    gives(s, "/api/", 0, 403, NO_ROLE);
    assert_int_equal(isolate(s, &a, &e), ERR_FORBIDDEN); /* the token is new */
    assert_int_equal(peer_count(s->peer), 2);
    hands_turn(&s->hands, 20 * MINUTE_MS);
    assert_int_equal(isolate(s, &a, &e), ERR_OK);
    assert_int_equal(peer_count(s->peer), 5);
    assert_string_equal(peer_header(peer_request(s->peer, 4), "Authorization"), "Bearer t2");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(isolate(s, &a, &e), ERR_FORBIDDEN);
        hands_turn(&s->hands, 10 * SECOND_MS);
    }
    assert_in_range(peer_count(s->peer), 55, 58);
}

static void test_defender__a_licence_costs_no_token(void **state)
{
    struct stage *s = *state;
    struct err e;

    gives(s, "/api/", 0, 401,
          "{\"error\":{\"code\":\"Unauthorized\",\"message\":\"Unauthorized request - "
          "reason of failure: Account mode is inactive\"}}");
    assert_int_equal(read_alert(s, &e), ERR_FORBIDDEN);
    assert_int_equal(read_alert(s, &e), ERR_FORBIDDEN);
    assert_int_equal(peer_count(s->peer), 3);
}

static void test_defender__without_a_token_nothing_is_asked(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code code;
    } rows[] = {
        {401, "{\"error\":\"invalid_client\",\"error_codes\":[7000222]}", ERR_DENIED},
        {503, "", ERR_AGAIN},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_action a;
        struct err e;

        peer_forget(s->peer);
        gives(s, "/t/oauth2", 0, rows[i].status, rows[i].body);
        hands_turn(&s->hands, 2 * HOUR_MS);
        assert_int_equal(isolate(s, &a, &e), rows[i].code);
        assert_int_equal(e.code, rows[i].code);
        assert_true(e.retry_ms > 0);
        assert_non_null(strstr(e.text, "/isolate: token: Entra ID: "));
        assert_int_equal(read_alert(s, &e), rows[i].code);
        assert_int_equal(peer_count(s->peer), 1);
        assert_int_equal(s->acquired[DEFENDER_CLASS_ACTION], 0);
    }
}

static void test_defender__never_tells_the_token(void **state)
{
    struct stage *s = *state;
    struct err e;

    peer_forget(s->peer);
    gives(s, "/t/oauth2", 1, 200, "{\"expires_in\":3599,\"access_token\":\"eyJsecret\"}");
    gives(s, "/api/", 0, 400,
          "{\"error\":{\"code\":\"x\",\"message\":\"header Bearer eyJsecret is bad\"}}");
    assert_int_equal(read_alert(s, &e), ERR_REFUSED);
    assert_null(strstr(e.text, "eyJsecret"));
}

static void test_defender__cleans_foreign_words(void **state)
{
    struct stage *s = *state;
    char body[2000], words[1200];
    struct err e;

    for (size_t i = 0; i < 1199; i++)
        words[i] = "\xc3\xa5"[i % 2];
    words[1198] = '\0';
    (void)snprintf(
        body, sizeof body,
        "{\"error\":{\"code\":\"a\\u0000\",\"message\":\"x\\r\\n\\u001b[31m%s\",\"target\":7}}",
        words);
    gives(s, "/api/", 1, 400, body); /* a NUL in it: no JSON of ours */
    assert_int_equal(read_alert(s, &e), ERR_REFUSED);
    (void)snprintf(body, sizeof body,
                   "{\"error\":{\"code\":\"a\",\"message\":\"x\\r\\n\\u001b[31m%s\",\"target\":7}}",
                   words);
    gives(s, "/api/", 1, 400, body);
    assert_int_equal(read_alert(s, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "HTTP 400 a: x   [31m\xc3\xa5"));
    for (const char *p = e.text; *p; p++)
        assert_true((unsigned char)*p >= ' ');
    assert_in_range(strlen(e.text), 200, 300);
    assert_int_equal(e.text[strlen(e.text) - 1], (char)0xa5); /* cut after a whole character */
}

/* ---- broken answers -------------------------------------------------------------------------------------- */

#define RAW(length, body)                                                                          \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n\r\n" body

static void test_defender__reads_text_that_is_no_text(void **state)
{
    /* What attackers may put into registry values and file names; \xef\xbf\xbd is U+FFFD. */
    static const struct {
        const char *sent, *read; /* NULL: no JSON */
    } rows[] = {
        {"a\\u0000b", "a\xef\xbf\xbd"
                      "b"},
        {"\\u0000\\u0000", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\\\\u0000", "\\u0000"},
        {"\\\\\\u0000", "\\\xef\xbf\xbd"},
        {"x\\ud800y", "x\xef\xbf\xbdy"},
        {"x\\uDC00y", "x\xef\xbf\xbdy"},
        {"\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
        {"\\ud83d\\u0000", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\\ud83d", "\xef\xbf\xbd"},
        {"\\u00e9\\n", "\xc3\xa9\n"},
        {"\\u000", NULL},
        {"\\ud83d\\u", NULL},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct defender_reads r;
        char body[600];

        (void)snprintf(body, sizeof body,
                       "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"title\":\"%s\"}",
                       rows[i].sent);
        gives(s, "/api/alerts/", 1, 200, body);
        defender_read(s->defender, ALERT, NULL, DEFENDER_READ_ALERT, &r);
        if (rows[i].read) {
            assert_int_equal(r.alert_code, ERR_OK);
            assert_string_equal(json_get_string(r.alert, "title"), rows[i].read);
        } else {
            assert_int_equal(r.alert_code, ERR_AGAIN);
        }
        defender_reads_clear(&r);
    }
}

static void test_defender__takes_no_guess_for_an_alert(void **state)
{
    char huge[70000];
    const struct {
        const char *what;
        struct peer_answer answer;
    } rows[] = {
        {"cut", {.raw = RAW("999", "{\"id\":\"" ALERT)}},
        {"length too short", {.raw = RAW("20", ALERT_DOC)}},
        {"early close", {.act = PEER_CLOSE}},
        {"cut JSON", {.status = 200, .body = "{\"id\":\"" ALERT "\",\"severity\":\"Hi"}},
        {"HTML", {.status = 200, .body = "<html>Welcome to the hotel</html>"}},
        {"empty", {.status = 200, .body = ""}},
        {"a list", {.status = 200, .body = "[" ALERT_DOC "]"}},
        {"no id", {.status = 200, .body = "{\"severity\":\"High\"}"}},
        {"another id", {.status = 200, .body = "{\"id\":\"da1_1\",\"severity\":\"High\"}"}},
        {"id a number", {.status = 200, .body = "{\"id\":1}"}},
        {"id twice", {.status = 200, .body = "{\"id\":\"x\",\"id\":\"" ALERT "\"}"}},
        {"severity a number", {.status = 200, .body = "{\"id\":\"" ALERT "\",\"severity\":256}"}},
        {"machineId an object", {.status = 200, .body = "{\"id\":\"" ALERT "\",\"machineId\":{}}"}},
        {"evidence a text", {.status = 200, .body = "{\"id\":\"" ALERT "\",\"evidence\":\"\"}"}},
        {"techniques of numbers",
         {.status = 200, .body = "{\"id\":\"" ALERT "\",\"mitreTechniques\":[1]}"}},
        {"huge", {.status = 200, .body = huge}},
    };
    struct stage *s = *state;

    memset(huge, ' ', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e;

        afresh(s);
        peer_script(s->peer, &rows[i].answer);
        if (read_alert(s, &e) != ERR_AGAIN)
            fail_msg("%s: %s %s", rows[i].what, err_name(e.code), e.text);
    }
}

/* A sender that changes the case of letters: what Defender answers stays as it is, and people hear at once what to mend. */
static void test_defender__an_id_in_other_letters_is_no_answer_and_never_will_be(void **state)
{
    struct stage *s = *state;
    struct err e;

    gives(s, "/api/", 1, 200,
          "{\"id\":\"DA638712345678901234_-1027384756\",\"severity\":\"High\"}");
    assert_int_equal(read_alert(s, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "DA638712345678901234_-1027384756: whoever sent it"));
}

static void test_defender__takes_nulls_and_new_words_as_they_are(void **state)
{
    static const char *const bodies[] = {
        "{\"id\":\"" ALERT "\"}",
        "{\"id\":\"" ALERT "\",\"severity\":null,\"status\":null,\"machineId\":null,\"title\":null,"
        "\"evidence\":null,\"mitreTechniques\":null,\"incidentId\":null,\"relatedUser\":null}",
        "{\"id\":\"" ALERT "\",\"severity\":\"Apocalyptic\",\"incidentId\":\"48213\",\"new\":[{}]}",
        "{\"id\":\"" ALERT
        "\",\"incidentId\":9007199254740993,\"evidence\":[],\"mitreTechniques\":[]}",
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct err e;

        afresh(s);
        gives(s, "/api/", 0, 200, bodies[i]);
        if (read_alert(s, &e))
            fail_msg("%s: %s", bodies[i], e.text);
    }
}

static void test_defender__takes_no_guess_for_a_machine(void **state)
{
    static const struct {
        const char *body;
        enum err_code code;
    } rows[] = {
        {MACHINE_DOC, ERR_OK},
        {"{\"id\":\"9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4\"}", ERR_OK},
        {"{\"id\":\"" MACHINE "\",\"rbacGroupId\":\"140\",\"machineTags\":[],\"vmMetadata\":null}",
         ERR_OK},
        {"{\"id\":\"0c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4\"}", ERR_AGAIN},
        {"{\"id\":\"" MACHINE "\",\"machineTags\":\"tier-0\"}", ERR_AGAIN},
        {"{\"id\":\"" MACHINE "\",\"machineTags\":[\"a\",null]}", ERR_AGAIN},
        {"{\"id\":\"" MACHINE "\",\"deviceValue\":3}", ERR_AGAIN},
        {"{\"id\":\"" MACHINE "\",\"isExcluded\":\"false\"}", ERR_AGAIN},
        {"{}", ERR_AGAIN},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_reads r;

        afresh(s);
        gives(s, "/api/", 0, 200, rows[i].body);
        defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_MACHINE, &r);
        if (r.machine_code != rows[i].code)
            fail_msg("%s: %s", rows[i].body, r.machine_err.text);
        defender_reads_clear(&r);
    }
}

/* A page of somebody's on the way is no word that it was done; nor is an answer about another. */
static void test_defender__a_change_is_done_when_defender_says_so(void **state)
{
    static const char *const others[] = {"", "<html><body>Sign in</body></html>",
                                         "{\"error\":{\"code\":\"InternalServerError\"}}",
                                         "{\"id\":\"1111111111111111111111111111111111111111\"}"};
    struct stage *s = *state;
    struct err e;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        afresh(s);
        gives(s, "/api/", 0, 200, others[i]);
        assert_int_equal(defender_tag(s->defender, MACHINE, "seen", true, &e), ERR_UNKNOWN);
        assert_int_equal(defender_update_alert(s->defender, ALERT, "Resolved", NULL, NULL, &e),
                         ERR_UNKNOWN);
    }
    afresh(s);
    gives(s, "/api/machines/", 0, 200, MACHINE_DOC);
    gives(s, "/api/alerts/", 0, 200, ALERT_DOC);
    assert_int_equal(defender_tag(s->defender, MACHINE, "seen", true, &e), ERR_OK);
    assert_int_equal(defender_update_alert(s->defender, ALERT, "Resolved", NULL, NULL, &e), ERR_OK);
}

/* Carried out or not? Nobody knows, so nobody may post again. */
static void test_defender__a_lost_answer_to_isolate_is_unknown(void **state)
{
    static const struct {
        const char *what;
        struct peer_answer answer;
    } rows[] = {
        {"closed", {.act = PEER_CLOSE}},
        {"reset", {.act = PEER_RESET}},
        {"cut", {.status = 201, .body = ISOLATE_DOC, .cut = 100}},
        {"cut JSON", {.status = 201, .body = "{\"id\":\"" ACTION}},
        {"HTML", {.status = 200, .body = "<html>"}},
        {"empty", {.status = 201}},
        {"no action", {.status = 201, .body = "{}"}},
        {"another machine",
         {.status = 201,
          .body = "{\"id\":\"a\",\"type\":\"Isolate\",\"status\":\"Pending\","
                  "\"machineId\":\"00000000000000000000000000000000\","
                  "\"creationDateTimeUtc\":\"2024-12-31T09:36:21Z\"}"}},
        {"a release",
         {.status = 201,
          .body = ACTION_DOC(ACTION, "Unisolate", "Pending", "2024-12-31T09:36:21Z")}},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_action a = {.id = "untouched"};
        struct err e;

        afresh(s);
        peer_script(s->peer, &(struct peer_answer){
                                 .target = "/api/alerts", .status = 200, .body = ALERT_DOC});
        assert_int_equal(read_alert(s, &e),
                         ERR_OK); /* a kept connection: curl would repeat a POST on it */
        peer_script(s->peer, &rows[i].answer);
        if (isolate(s, &a, &e) != ERR_UNKNOWN)
            fail_msg("%s: %s %s", rows[i].what, err_name(e.code), e.text);
        assert_string_equal(a.id, "untouched");
        assert_non_null(peer_request_for(s->peer, "/api/machines/")); /* exactly one */
    }
}

static void test_defender__a_slow_isolate_is_unknown(void **state)
{
    struct stage *s = *state;
    struct defender_action a;
    struct defender *hasty;
    struct err e;

    assert_int_equal(defender_new(&(struct defender_options){.rest = s->rest,
                                                             .token = s->token,
                                                             .clock = &s->hands.clock,
                                                             .api_url = peer_url(s->peer),
                                                             .timeout_ms = 200},
                                  &hasty, NULL),
                     ERR_OK);
    peer_script(s->peer, &(struct peer_answer){.target = "/api/", .act = PEER_HANG});
    assert_int_equal(ask(hasty, DEFENDER_ISOLATION, MACHINE, "Full", "x", NULL, &a, &e),
                     ERR_UNKNOWN);
    defender_free(hasty);
    assert_int_equal(
        defender_new(&(struct defender_options){.api_url = "http://api.example"}, &hasty, &e),
        ERR_INVALID);
}

static void test_defender__nobody_there_means_not_carried_out(void **state)
{
    struct stage *s = *state;
    struct peer *gone = peer_new(NULL);
    struct defender_action a;
    struct defender *d;
    struct err e;

    assert_int_equal(defender_new(&(struct defender_options){.rest = s->rest,
                                                             .token = s->token,
                                                             .clock = &s->hands.clock,
                                                             .api_url = peer_url(gone)},
                                  &d, NULL),
                     ERR_OK);
    peer_free(gone);
    assert_int_equal(ask(d, DEFENDER_ISOLATION, MACHINE, "Full", "x", NULL, &a, &e), ERR_AGAIN);
    defender_free(d);
}

/* "Out of memory" must mean that nothing was sent. */
static void test_defender__knows_what_it_sent_when_memory_runs_out(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code code;
    } rows[] = {
        {201, ISOLATE_DOC, ERR_OK},
        {400, "{\"error\":{\"code\":\"ActiveRequestAlreadyExists\",\"message\":\"x\"}}",
         ERR_CONFLICT},
    };
    struct stage *s = *state;
    struct err e;

    gives(s, "/api/alerts/", 0, 200, ALERT_DOC);
    assert_int_equal(read_alert(s, &e), ERR_OK); /* has a token */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        peer_forget(s->peer);
        gives(s, "/api/machines/" MACHINE "/isolate", 0, rows[i].status, rows[i].body);
        for (long n = 1;; n++) {
            size_t had = peer_count(s->peer), posts;
            struct defender_action a;
            enum err_code code;

            torture_arm(n);
            code = isolate(s, &a, &e);
            if (!torture_disarm()) {
                assert_int_equal(code, rows[i].code);
                break;
            }
            posts = peer_count(s->peer) - had;
            if (posts ? code != rows[i].code && code != ERR_UNKNOWN : code != ERR_NOMEM)
                fail_msg("allocation %ld: %zu POSTs, %s %s", n, posts, err_name(code), e.text);
        }
    }
    peer_forget(s->peer);
    gives(s, "/api/", 0, 200, ALERT_DOC);
    for (long n = 1;; n++) {
        struct defender_reads r;
        bool hit;

        torture_arm(n);
        defender_read(s->defender, ALERT, MACHINE, (enum defender_read_flags)7, &r);
        hit = torture_disarm();
        assert_true(r.alert_code == ERR_OK || r.alert_code == ERR_NOMEM);
        assert_int_equal(r.alert_code == ERR_OK, r.alert != NULL);
        defender_reads_clear(&r);
        if (!hit)
            break;
    }
}

/* ---- actions ---------------------------------------------------------------------------------------------- */

static void test_defender__sorts_actions_by_time(void **state)
{
    struct stage *s = *state;
    struct defender_reads r;

    /* as text, ".2Z" is after ".1999999Z" and "Z" after ".9Z" (trap 15) */
    gives(
        s, "/api/", 0, 200,
        "{\"value\":[" ACTION_DOC("a1", "Isolate", "Succeeded", "2024-12-31T09:00:00.2Z") "," ACTION_DOC("a2", "Unisolate", "Failed", "2024-12-31T09:00:01Z") "," ACTION_DOC(
            "a3", "Isolate", "TimeOut",
            "2024-12-31T09:00:00.1999999Z") "," ACTION_DOC("a4", "Isolate", "Cancelled",
                                                           "2024-12-31T09:00:00.9Z") "," ACTION_DOC("a5",
                                                                                                    "Isolate",
                                                                                                    "InProgress",
                                                                                                    "2024-12-31T09:00:01Z") "," ACTION_DOC("a6",
                                                                                                                                           "RunAntiVirusScan",
                                                                                                                                           "Perhaps",
                                                                                                                                           "2023-12-31T09:00:01.1234567Z") "]}");
    defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
    assert_int_equal(r.actions_code, ERR_OK);
    assert_int_equal(r.n_actions, 6);
    for (size_t i = 0; i < 6; i++) {
        static const char *const order[] = {"a2", "a5", "a4", "a1", "a3", "a6"};

        assert_string_equal(r.actions[i].id, order[i]);
    }
    assert_int_equal(r.actions[0].status, DEFENDER_FAILED);
    assert_int_equal(r.actions[1].status, DEFENDER_IN_PROGRESS);
    assert_int_equal(r.actions[2].status, DEFENDER_CANCELLED);
    assert_int_equal(r.actions[3].status, DEFENDER_SUCCEEDED);
    assert_int_equal(r.actions[4].status, DEFENDER_TIME_OUT);
    assert_int_equal(r.actions[5].status, DEFENDER_STATUS_UNKNOWN);
    assert_int_equal(r.actions[5].type, DEFENDER_OTHER);
    assert_string_equal(r.actions[5].status_text, "Perhaps");
    assert_false(defender_action_is_open(&r.actions[0]));
    assert_true(defender_action_is_open(&r.actions[1]));
    assert_true(defender_action_is_open(&r.actions[5])); /* who knows */
    defender_reads_clear(&r);
}

static void test_defender__keeps_the_newest_when_more_come(void **state)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(100000);
    struct stage *s = *state;
    struct defender_reads r;

    buf_adds(&body, "{\"value\":[");
    for (int i = 0; i < 30; i++)
        buf_addf(
            &body,
            "%s{\"id\":\"a%d\",\"type\":\"Isolate\",\"status\":\"Failed\",\"machineId\":\"" MACHINE
            "\",\"creationDateTimeUtc\":\"2024-12-%02dT00:00:00Z\"}",
            i ? "," : "", i * 7 % 30, i * 7 % 30 + 1);
    buf_adds(&body, "]}");
    gives(s, "/api/", 0, 200, body.data);
    defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
    assert_int_equal(r.n_actions, DEFENDER_ACTIONS_MAX);
    for (int i = 0; i < DEFENDER_ACTIONS_MAX; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "a%d", 29 - i);
        assert_string_equal(r.actions[i].id, id);
    }
    defender_reads_clear(&r);
}

#define MORE(link, docs)                                                                           \
    "{\"value\":[" docs "],\"@odata.nextLink\":\"https://api-eu.example/api/machineactions?" link  \
    "\"}"

/* A page may hold less than was asked for: what is in force may be on the next one, and it is none to act without. */
static void test_defender__looks_at_all_pages_of_a_machine(void **state)
{
    static const char failed[] =
        MORE("$skiptoken=a", ACTION_DOC("a2", "Isolate", "Failed", "2024-12-31T09:40:00Z"));
    static const struct {
        const char *second; /* NULL: none */
        enum err_code code;
        size_t n, calls;
    } rows[] = {
        {"{\"value\":[" ISOLATE_DOC "]}", ERR_OK, 2, 2},
        {MORE("$skiptoken=b", ""), ERR_OK, 2, 3}, /* empty, and more all the same */
        {"{\"value\":[{}]}", ERR_AGAIN, 0, 2},
        {"{}", ERR_AGAIN, 0, 2},
        {MORE("$skiptoken=a", ""), ERR_AGAIN, 0, 2},  /* to itself */
        {MORE("$skiptoken=c", ""), ERR_AGAIN, 0, 16}, /* which leads back, and so on */
        {NULL, ERR_AGAIN, 0, 2},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int deeds = 0; deeds < 2; deeds++) {
            struct defender_reads r;
            size_t calls = 0;

            afresh(s);
            gives(s, ACTIONS "$filter", 0, 200, failed);
            gives(s, ACTIONS "$skiptoken=a", 0, rows[i].second ? 200 : 503,
                  rows[i].second ? rows[i].second : "");
            gives(s, ACTIONS "$skiptoken=b", 0, 200, "{\"value\":[" ISOLATE_DOC "]}");
            gives(s, ACTIONS "$skiptoken=c", 0, 200, MORE("$skiptoken=a", ""));
            if (deeds)
                defender_read_deeds(s->defender, DEFENDER_ISOLATION, MACHINE, &r);
            else
                defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
            if (r.actions_code != rows[i].code)
                fail_msg("row %zu: %s %s", i, err_name(r.actions_code), r.actions_err.text);
            assert_int_equal(r.n_actions, rows[i].n);
            if (r.n_actions)
                assert_string_equal(r.actions[1].id, ACTION);
            for (size_t k = 0; k < peer_count(s->peer); k++)
                calls += strncmp(peer_request(s->peer, k)->target, ACTIONS, strlen(ACTIONS)) == 0;
            assert_int_equal(calls, rows[i].calls);
            defender_reads_clear(&r);
        }
    }
}

/* As many as were asked for: a link to the rest is not followed. */
static void test_defender__looks_no_further_than_it_asked(void **state)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(100000);
    struct stage *s = *state;
    struct defender_reads r;

    buf_adds(&body, "{\"value\":[");
    for (int i = 0; i < DEFENDER_ACTIONS_MAX; i++)
        buf_addf(
            &body,
            "%s{\"id\":\"a%d\",\"type\":\"Isolate\",\"status\":\"Failed\",\"machineId\":\"" MACHINE
            "\",\"creationDateTimeUtc\":\"2024-12-%02dT00:00:00Z\"}",
            i ? "," : "", i, i + 1);
    buf_adds(&body,
             "],\"@odata.nextLink\":\"https://api-eu.example/api/machineactions?$skip=10\"}");
    gives(s, ACTIONS, 0, 200, body.data);
    defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
    assert_int_equal(r.actions_code, ERR_OK);
    assert_int_equal(r.n_actions, DEFENDER_ACTIONS_MAX);
    assert_int_equal(peer_count(s->peer), 2);
    defender_reads_clear(&r);
}

/* Another casing of the same word is no word of another kind: what is skipped may be the isolation that is open. */
static void test_defender__knows_an_isolation_in_any_casing(void **state)
{
    struct defender_action a;
    struct defender_reads r;
    struct stage *s = *state;
    struct err e;

    gives(s, ACTIONS, 0, 200,
          "{\"value\":[" ACTION_DOC(
              "a2", "unisolate", "FAILED",
              "2024-12-31T09:40:00Z") "," ACTION_DOC(ACTION, "isolate", "succeeded",
                                                     "2024-12-31T09:36:21Z") "]}");
    gives(s, "/api/machines/" MACHINE "/isolate", 0, 201,
          ACTION_DOC(ACTION, "ISOLATE", "Timeout", "2024-12-31T09:36:21Z"));
    defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
    assert_int_equal(r.actions_code, ERR_OK);
    assert_int_equal(r.actions[0].type, DEFENDER_UNISOLATE);
    assert_int_equal(r.actions[0].status, DEFENDER_FAILED);
    assert_int_equal(r.actions[1].type, DEFENDER_ISOLATE);
    assert_int_equal(r.actions[1].status, DEFENDER_SUCCEEDED);
    defender_reads_clear(&r);
    assert_int_equal(isolate(s, &a, &e), ERR_OK);
    assert_int_equal(a.type, DEFENDER_ISOLATE);
    assert_int_equal(a.status, DEFENDER_TIME_OUT);
}

/* Section 2.2: a link to more, where so many were asked for. */
static void test_defender__takes_no_more_of_a_list_than_it_asked_for(void **state)
{
    struct stage *s = *state;
    struct defender_change changes[2];
    struct defender_action actions[2];
    size_t n, listed;
    struct err e;

    gives(s, "/api/alerts?", 0, 200,
          "{\"value\":[{\"id\":\"da1_1\"},{\"id\":\"da2_2\"}],"
          "\"@odata.nextLink\":\"https://eu.example/api/alerts?$top=2&$skip=2\"}");
    if (defender_changed_alerts(s->defender, 0, 0, changes, 2, &n, &listed, &e))
        fail_msg("%s", e.text);
    assert_int_equal(n, 2);
    assert_int_equal(listed, 2);
    gives(s, ACTIONS, 0, 200,
          "{\"value\":[" ISOLATE_DOC "," ISOLATE_DOC
          "],\"@odata.nextLink\":\"https://eu.example/api/machineactions?$top=2&$skip=2\"}");
    if (defender_recent_actions(s->defender, 0, 0, actions, 2, &n, &listed, &e))
        fail_msg("%s", e.text);
    assert_int_equal(listed, 2);
    assert_int_equal(peer_count(s->peer), 3);
}

/* A list that goes on nobody knows where is not all there is: an isolation may stand on its next page. */
static void test_defender__follows_no_link_that_leads_nowhere(void **state)
{
    static const char *const links[] = {
        "7", "\"\"", "[]", "\"https://x.example/api/other\"", "\"/api/other\"",
        "\"//x.example/api/machineactions?a\"", "\"https://x.example/api/machine actions?a\"",
        "\"https://x.example/api/machineactions?a#b\"",
        "\"https://x.example/api/machineactions?a\\nb\"",
        /* itself */
        "\"https://eu.example/api/machineactions?$filter=machineId%20in%20('" MACHINE
        "')%20and%20(type%20eq%20'Isolate'%20or%20type%20eq%20'Unisolate')\"",
        "\"https://eu.example/api/machineactions?$filter=machineId in ('" MACHINE
        "') and (type eq 'Isolate' or type eq 'Unisolate')\""};
    static const char *const ids[] = {MACHINE};
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        AUTO(buf_clear) struct buf body = BUF_INIT(4096);
        struct defender_reads look = {0}, *looks[] = {&look};
        size_t calls = 0;

        afresh(s);
        buf_addf(&body, "{\"value\":[],\"@odata.nextLink\":%s}", links[i]);
        gives(s, "/api/", 0, 200, buf_text(&body));
        assert_int_equal(defender_look(s->defender, ids, 1, looks, NULL), ERR_AGAIN);
        for (size_t k = 0; k < peer_count(s->peer); k++)
            calls += strncmp(peer_request(s->peer, k)->target, "/api/", 5) == 0;
        assert_int_equal(calls, 1);
        defender_reads_clear(&look);
    }
}

/* What no request line holds as it is may stand in a link. */
static void test_defender__follows_a_link_with_blanks(void **state)
{
    static const char *const ids[] = {MACHINE};
    struct defender_reads look = {0}, *looks[] = {&look};
    struct stage *s = *state;

    gives(s, ACTIONS "$skip=1&a=b%20c%C3%A4%20", 0, 200, "{\"value\":[" ISOLATE_DOC "]}");
    gives(s, ACTIONS "$filter", 0, 200,
          "{\"value\":[],\"@odata.nextLink\":"
          "\"https://eu.example/api/machineactions?$skip=1&a=b c\\u00e4 \"}");
    assert_int_equal(defender_look(s->defender, ids, 1, looks, NULL), ERR_OK);
    assert_int_equal(look.actions_code, ERR_OK);
    assert_int_equal(look.n_actions, 1);
    defender_reads_clear(&look);
}

/* OData lets a link leave out the host, which it is not asked at anyway. */
static void test_defender__follows_a_link_without_a_host(void **state)
{
    static const char *const ids[] = {MACHINE};
    struct defender_reads look = {0}, *looks[] = {&look};
    struct stage *s = *state;

    gives(s, ACTIONS "$skip=1&a=http://b/c", 0, 200, "{\"value\":[" ISOLATE_DOC "]}");
    gives(s, ACTIONS "$filter", 0, 200,
          "{\"value\":[],\"@odata.nextLink\":\"/api/machineactions?$skip=1&a=http://b/c\"}");
    assert_int_equal(defender_look(s->defender, ids, 1, looks, NULL), ERR_OK);
    assert_int_equal(look.actions_code, ERR_OK);
    assert_int_equal(look.n_actions, 1);
    defender_reads_clear(&look);
}

/* One that cannot be read might be the isolation that is open. */
static void test_defender__takes_no_guess_for_actions(void **state)
{
#define A(more) "{\"value\":[" ISOLATE_DOC "," more "]}"
    static const struct {
        const char *body;
        enum err_code code;
    } rows[] = {
        {"{\"value\":[]}", ERR_OK},
        {"{\"@odata.context\":\"x\",\"value\":[" ISOLATE_DOC "]}", ERR_OK},
        {"{\"value\":null}", ERR_AGAIN},
        {"{}", ERR_AGAIN},
        {"[]", ERR_AGAIN},
        {"", ERR_AGAIN},
        {A("null"), ERR_AGAIN},
        {A("{}"), ERR_AGAIN},
        {A("{\"id\":\"a\",\"type\":\"Isolate\",\"status\":\"Pending\",\"machineId\":null,"
           "\"creationDateTimeUtc\":\"2024-12-31T09:00:00Z\"}"),
         ERR_AGAIN},
        {A("{\"id\":\"a\",\"type\":\"Isolate\",\"status\":\"Pending\",\"machineId\":\"" MACHINE
           "\","
           "\"creationDateTimeUtc\":\"yesterday\"}"),
         ERR_AGAIN},
        {A("{\"id\":\"a\",\"type\":null,\"status\":\"Pending\",\"machineId\":\"" MACHINE "\","
           "\"creationDateTimeUtc\":\"2024-12-31T09:00:00Z\"}"),
         ERR_AGAIN},
        {A("{\"id\":\"a\",\"type\":\"Isolate\",\"status\":1,\"machineId\":\"" MACHINE "\","
           "\"creationDateTimeUtc\":\"2024-12-31T09:00:00Z\"}"),
         ERR_AGAIN},
        /* the filter was not obeyed */
        {A("{\"id\":\"a\",\"type\":\"Isolate\",\"status\":\"Pending\","
           "\"machineId\":\"00000000000000000000000000000000\","
           "\"creationDateTimeUtc\":\"2024-12-31T09:00:00Z\"}"),
         ERR_AGAIN},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_reads r;

        afresh(s);
        gives(s, "/api/", 0, 200, rows[i].body);
        defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
        if (r.actions_code != rows[i].code)
            fail_msg("row %zu: %s", i, r.actions_err.text);
        if (r.actions_code)
            assert_int_equal(r.n_actions, 0);
        defender_reads_clear(&r);
    }
}

/* A 404 of a list may be Defender's own. Another one is of who does not know the service, and no word for good. */
static void test_defender__takes_no_stranger_for_a_list(void **state)
{
    static const struct {
        const char *body;
        enum err_code code;
    } rows[] = {
        {"{\"error\":{\"code\":\"NotFound\",\"message\":\"no\"}}", ERR_NOT_FOUND},
        {"{\"statusCode\":404,\"message\":\"Resource not found\"}", ERR_AGAIN},
        {"", ERR_AGAIN},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct defender_reads r;

        afresh(s);
        gives(s, "/api/", 0, 404, rows[i].body);
        defender_read(s->defender, NULL, MACHINE, DEFENDER_READ_ACTIONS, &r);
        assert_int_equal(r.actions_code, rows[i].code);
        defender_reads_clear(&r);
        defender_read_deeds(s->defender, DEFENDER_SCAN, MACHINE, &r);
        assert_int_equal(r.actions_code, rows[i].code);
        defender_reads_clear(&r);
    }
}

/* Many that are asked for by their ids: none of them may be a 404, and a page that says 400 that they are too many. */
static void test_defender__takes_a_list_of_none_for_what_it_is(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code code;
    } rows[] = {
        {200, "{\"value\":[]}", ERR_OK},
        {404, "{\"error\":{\"code\":\"NotFound\",\"message\":\"none\"}}", ERR_OK},
        {404, "{\"statusCode\":404,\"message\":\"Resource not found\"}", ERR_AGAIN},
        {404, "<html>Web Site not found</html>", ERR_AGAIN},
        {400, "<html>Bad Request - Request Too Long</html>", ERR_REFUSED},
        {403, "<html>This web app is stopped</html>", ERR_AGAIN},
    };
    const char *const alerts[] = {ALERT}, *const machines[] = {MACHINE};
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json *doc = NULL;
        int64_t read_ms = 0;
        struct err e;

        print_message("row %zu\n", i);
        afresh(s);
        gives(s, "/api/", 0, rows[i].status, rows[i].body);
        assert_int_equal(defender_list_alerts(s->defender, alerts, 1, &doc, &read_ms, &e),
                         rows[i].code);
        assert_int_equal(read_ms != 0, !rows[i].code);
        assert_null(doc);
        read_ms = 0;
        assert_int_equal(defender_list_machines(s->defender, machines, 1, &doc, &read_ms, &e),
                         rows[i].code);
        assert_int_equal(read_ms != 0, !rows[i].code);
        assert_null(doc);
    }
}

static enum err_code get_action(struct stage *s, enum defender_deed deed,
                                struct defender_action *ret, struct err *e)
{
    return defender_get_action(s->defender, deed, MACHINE, ACTION, ret, e);
}

static void test_defender__reads_one_action(void **state)
{
    struct stage *s = *state;
    struct defender_action a;
    struct err e;

    gives(s, "/api/machineactions/" ACTION, 1, 200,
          "{\"id\":\"" ACTION
          "\",\"type\":\"Isolate\",\"status\":\"TimeOut\",\"machineId\":\"" MACHINE
          "\",\"requestor\":\"cordon\\u0007\",\"requestorComment\":\"why\",\"externalId\":\"0abc\","
          "\"creationDateTimeUtc\":\"2024-12-31T09:36:21.5Z\","
          "\"lastUpdateTimeUtc\":\"2025-01-03T09:36:21.052313Z\",\"errorHResult\":-2145844840}");
    assert_int_equal(get_action(s, DEFENDER_ISOLATION, &a, &e), ERR_OK);
    assert_string_equal(peer_request(s->peer, 1)->target, "/api/machineactions/" ACTION);
    assert_int_equal(a.status, DEFENDER_TIME_OUT);
    assert_string_equal(a.requestor, "cordon ");
    assert_string_equal(a.comment, "why");
    assert_string_equal(a.external_id, "0abc");
    assert_int_equal(a.created_ms, 1735637781500);
    assert_int_equal(a.updated_ms, 1735896981052);

    gives(s, "/api/machineactions/" ACTION, 1, 200,
          "{\"id\":\"" ACTION
          "\",\"type\":\"Unisolate\",\"status\":\"Succeeded\",\"machineId\":\"" MACHINE
          "\",\"creationDateTimeUtc\":\"2024-12-31T09:36:21.52Z\","
          "\"lastUpdateDateTimeUtc\":\"2024-12-31T09:36:21Z\"}");
    assert_int_equal(get_action(s, DEFENDER_RELEASE, &a, &e), ERR_OK);
    assert_int_equal(a.updated_ms, 1735637781520); /* not before it was made */

    gives(s, "/api/machineactions/", 1, 200,
          ACTION_DOC("other", "Isolate", "Pending", "2024-12-31T09:36:21Z"));
    assert_int_equal(get_action(s, DEFENDER_ISOLATION, &a, &e), ERR_AGAIN);
    gives(s, "/api/machineactions/", 1, 404, "");
    assert_int_equal(get_action(s, DEFENDER_ISOLATION, &a, &e), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, before, after)
        T(test_defender__reads_alert_machine_and_actions_side_by_side),
        T(test_defender__reads_only_what_is_wanted),
        T(test_defender__each_part_has_its_own_fate),
        T(test_defender__isolates_and_releases_as_defender_wants_it),
        T(test_defender__cuts_a_comment_at_a_thousand_characters),
        T(test_defender__sends_nothing_unfit),
        T(test_defender__an_answer_about_another_deed_is_unknown),
        T(test_defender__settles_every_refusal),
        T(test_defender__obeys_a_throttle),
        T(test_defender__asks_the_governor_first),
        T(test_defender__a_stale_token_is_replaced_once),
        T(test_defender__a_permission_given_since_is_found),
        T(test_defender__a_licence_costs_no_token),
        T(test_defender__without_a_token_nothing_is_asked),
        T(test_defender__never_tells_the_token),
        T(test_defender__cleans_foreign_words),
        T(test_defender__reads_text_that_is_no_text),
        T(test_defender__takes_no_guess_for_an_alert),
        T(test_defender__an_id_in_other_letters_is_no_answer_and_never_will_be),
        T(test_defender__takes_nulls_and_new_words_as_they_are),
        T(test_defender__takes_no_guess_for_a_machine),
        T(test_defender__a_change_is_done_when_defender_says_so),
        T(test_defender__a_lost_answer_to_isolate_is_unknown),
        T(test_defender__a_slow_isolate_is_unknown),
        T(test_defender__nobody_there_means_not_carried_out),
        T(test_defender__knows_what_it_sent_when_memory_runs_out),
        T(test_defender__sorts_actions_by_time),
        T(test_defender__keeps_the_newest_when_more_come),
        T(test_defender__looks_at_all_pages_of_a_machine),
        T(test_defender__looks_no_further_than_it_asked),
        T(test_defender__knows_an_isolation_in_any_casing),
        T(test_defender__takes_no_more_of_a_list_than_it_asked_for),
        T(test_defender__follows_no_link_that_leads_nowhere),
        T(test_defender__follows_a_link_with_blanks),
        T(test_defender__follows_a_link_without_a_host),
        T(test_defender__takes_no_guess_for_actions),
        T(test_defender__takes_no_stranger_for_a_list),
        T(test_defender__takes_a_list_of_none_for_what_it_is),
        T(test_defender__reads_one_action),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
