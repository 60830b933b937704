/* test_token.c - one request for all, early renewal, and a broken credential that hammers nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest.h"
#include "token.h"
#include "../kit/hands.h"
#include "../kit/peer.h"
#include "../kit/torture.h"

#define HOUR "\"expires_in\":3599"

struct stage {
    struct hands hands;
    struct rest *rest;
    struct peer *peer;
    struct token *token;
    const char *secret; /* NULL: cannot be read */
    unsigned told;      /* so often what time it is */
    int64_t off_ms;     /* what was said last of it */
};

static enum err_code secret(void *ctx, struct buf *out, struct err *e)
{
    struct stage *s = ctx;

    if (!s->secret)
        return err_set(e, ERR_IO, "client_secret_file: gone");
    buf_adds(out, s->secret);
    return ERR_OK;
}

static void told_the_time(void *ctx, int64_t off_ms)
{
    struct stage *s = ctx;

    s->told++;
    s->off_ms = off_ms;
}

static int before(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    struct token_options o = {.client_id = "c1", .scope = "https://api.example/.default"};
    struct hands hands = HANDS_INIT;

    s->hands.clock = hands.clock;
    s->hands.wall = hands.wall;
    s->hands.mono = hands.mono;
    s->secret = "~a.b_c+/=";
    s->peer = peer_new(NULL);
    assert_int_equal(rest_new(&(struct rest_options){0}, &s->rest, NULL), ERR_OK);
    o.rest = s->rest;
    o.clock = &s->hands.clock;
    o.login_url = peer_url(s->peer);
    o.tenant_id = "t/1";
    o.secret = secret;
    o.ctx = s;
    o.on_clock = told_the_time;
    o.clock_ctx = s;
    assert_int_equal(token_new(&o, &s->token, NULL), ERR_OK);
    *state = s;
    return 0;
}

static int after(void **state)
{
    struct stage *s = *state;

    token_free(s->token);
    rest_free(s->rest);
    peer_free(s->peer);
    free(s);
    return 0;
}

static void gives(struct stage *s, unsigned times, int status, const char *body)
{
    peer_script(s->peer, &(struct peer_answer){.times = times, .status = status, .body = body});
}

/* The token, or its error's name. Static memory. */
static const char *get(struct stage *s, struct err *ret_err)
{
    static char text[TOKEN_MAX + 1];
    struct buf out = BUF_INIT(TOKEN_MAX);
    struct err e = {0};

    if (token_get(s->token, &out, &e) == ERR_OK)
        (void)snprintf(text, sizeof text, "%s", buf_text(&out));
    else
        (void)snprintf(text, sizeof text, "!%s", err_name(e.code));
    if (ret_err)
        *ret_err = e;
    buf_clear(&out);
    return text;
}

static void test_token__asks_as_entra_wants_it(void **state)
{
    struct stage *s = *state;
    const struct peer_request *q;

    gives(s, 0, 200, "{\"token_type\":\"Bearer\"," HOUR ",\"access_token\":\"abc\"}");
    assert_string_equal(get(s, NULL), "abc");
    q = peer_request(s->peer, 0);
    assert_string_equal(q->method, "POST");
    assert_string_equal(q->target, "/t%2F1/oauth2/v2.0/token");
    assert_string_equal(peer_header(q, "Content-Type"), "application/x-www-form-urlencoded");
    assert_string_equal(q->body, "client_id=c1&scope=https%3A%2F%2Fapi.example%2F.default"
                                 "&grant_type=client_credentials&client_secret=~a.b_c%2B%2F%3D");
    assert_string_equal(get(s, NULL), "abc"); /* kept */
    assert_int_equal(peer_count(s->peer), 1);
}

static enum err_code assertion(void *ctx, const struct token_grant *g, struct buf *form,
                               struct err *e)
{
    (void)ctx, (void)e;
    assert_non_null(strstr(g->url, "/t/oauth2/v2.0/token"));
    assert_string_equal(g->client_id, "c");
    token_form_add(form, "client_assertion", "a b", 3);
    return ERR_OK;
}

static void test_token__takes_another_grant(void **state)
{
    struct stage *s = *state;
    char login[100];
    struct token_options o = {.rest = s->rest,
                              .clock = &s->hands.clock,
                              .login_url = login,
                              .tenant_id = "t",
                              .client_id = "c",
                              .scope = "s",
                              .grant = assertion};

    token_free(s->token);
    (void)snprintf(login, sizeof login, "%s//", peer_url(s->peer));
    assert_int_equal(token_new(&o, &s->token, NULL), ERR_OK);
    gives(s, 0, 200, "{" HOUR ",\"access_token\":\"abc\"}");
    assert_string_equal(get(s, NULL), "abc");
    assert_string_equal(peer_request(s->peer, 0)->target, "/t/oauth2/v2.0/token");
    assert_string_equal(peer_request(s->peer, 0)->body,
                        "client_id=c&scope=s&grant_type=client_credentials&client_assertion=a%20b");
    (void)snprintf(login, sizeof login, "http://login.example");
    token_free(s->token);
    s->token = NULL;
    assert_int_equal(token_new(&o, &s->token, NULL), ERR_INVALID);
}

static void test_token__reads_the_secret_anew(void **state)
{
    struct stage *s = *state;

    gives(s, 0, 200, "{\"expires_in\":1200,\"access_token\":\"abc\"}");
    s->secret = "old\r\n";
    (void)get(s, NULL);
    s->secret = "new\n";
    hands_turn(&s->hands, 1200 * SECOND_MS);
    (void)get(s, NULL);
    assert_non_null(strstr(peer_request(s->peer, 0)->body, "client_secret=old"));
    assert_null(strstr(peer_request(s->peer, 0)->body, "old%"));
    assert_non_null(strstr(peer_request(s->peer, 1)->body, "client_secret=new"));
}

static void test_token__reads_every_kind_of_number(void **state)
{
    static const struct {
        const char *body;
        int64_t lives_s; /* no second request before */
        const char *token;
    } rows[] = {
        {"{\"access_token\":\"a\",\"expires_in\":3599}", 3299, "a"},
        {"{\"access_token\":\"a\",\"expires_in\":\"3599\",\"expires_on\":\"1\"}", 3299, "a"},
        {"{\"access_token\":\"a\",\"expires_on\":\"1736245672\"}", 700, "a"},
        {"{\"access_token\":\"a\",\"expires_in\":100}", 50, "a"},
        {"{\"access_token\":\"a\",\"expires_in\":99999999999}", 86100, "a"},
        {"{\"access_token\":\"a\",\"token_type\":\"bearer\",\"expires_in\":3599}", 3299, "a"},
        {"{\"access_token\":\"a\"}", 0, "!again"},
        {"{\"access_token\":\"a\",\"expires_in\":0}", 0, "!again"},
        {"{\"access_token\":\"a\",\"expires_in\":-5}", 0, "!again"},
        {"{\"access_token\":\"a\",\"expires_in\":\"soon\"}", 0, "!again"},
        {"{\"access_token\":\"a\",\"expires_on\":\"1736244000\"}", 0, "!again"},
        {"{\"access_token\":\"a b\",\"expires_in\":3599}", 0, "!again"},
        {"{\"access_token\":\"a\\r\\nX: y\",\"expires_in\":3599}", 0, "!again"},
        {"{\"access_token\":\"\",\"expires_in\":3599}", 0, "!again"},
        {"{\"access_token\":null,\"expires_in\":3599}", 0, "!again"},
        {"{\"access_token\":\"a\",\"token_type\":\"pop\",\"expires_in\":3599}", 0, "!again"},
        {"{\"access_token\":\"a\",\"expires_in\":3599", 0, "!again"},
        {"<html>", 0, "!again"},
        {"", 0, "!again"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        void *fresh = NULL;
        struct stage *s;

        (void)before(&fresh);
        s = fresh;
        gives(s, 0, 200, rows[i].body);
        if (strcmp(get(s, NULL), rows[i].token) != 0)
            fail_msg("%s: %s", rows[i].body, get(s, NULL));
        if (rows[i].lives_s) {
            hands_turn(&s->hands, rows[i].lives_s * SECOND_MS - 1000);
            (void)get(s, NULL);
            assert_int_equal(peer_count(s->peer), 1);
            hands_turn(&s->hands, 2000);
            (void)get(s, NULL);
            assert_non_null(peer_request(s->peer, 1));
        }
        (void)after(&fresh);
    }
    (void)state;
}

static void *getter(void *arg)
{
    struct stage *s = arg;
    struct buf out = BUF_INIT(TOKEN_MAX);
    enum err_code code = token_get(s->token, &out, NULL);
    void *ret = code == ERR_OK && strcmp(buf_text(&out), "abc") == 0 ? s : NULL;

    buf_clear(&out);
    return ret;
}

static void test_token__sixteen_threads_cause_one_request(void **state)
{
    struct stage *s = *state;
    pthread_t threads[16];
    void *got;

    gives(s, 0, 200, "{" HOUR ",\"access_token\":\"abc\"}");
    for (int i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, getter, s), 0);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(pthread_join(threads[i], &got), 0);
        assert_non_null(got);
    }
    assert_int_equal(peer_count(s->peer), 1);
}

/* And the failure of that one is everybody's: nobody asks again at once. */
static void test_token__sixteen_threads_share_a_failure(void **state)
{
    struct stage *s = *state;
    pthread_t threads[16];
    void *got;

    gives(s, 0, 401, "{\"error\":\"invalid_client\",\"error_codes\":[7000222]}");
    for (int i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, getter, s), 0);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(pthread_join(threads[i], &got), 0);
        assert_null(got);
    }
    assert_int_equal(peer_count(s->peer), 1);
}

static void test_token__renews_early_and_nobody_waits(void **state)
{
    struct stage *s = *state;

    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"first\"}");
    /* the second answer does not come before a third request, and that one is not made */
    peer_script(s->peer, &(struct peer_answer){.times = 1,
                                               .status = 200,
                                               .gather = 3,
                                               .body = "{" HOUR ",\"access_token\":\"second\"}"});
    assert_string_equal(get(s, NULL), "first");
    hands_turn(&s->hands, 3300 * SECOND_MS);
    for (int i = 0; i < 5; i++)
        assert_string_equal(get(s, NULL), "first");
    assert_non_null(peer_request(s->peer, 1));
    assert_int_equal(peer_count(s->peer), 2);
}

static void test_token__uses_the_renewed_one_when_it_is_there(void **state)
{
    struct stage *s = *state;

    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"first\"}");
    gives(s, 0, 200, "{" HOUR ",\"access_token\":\"second\"}");
    assert_string_equal(get(s, NULL), "first");
    hands_turn(&s->hands, 3300 * SECOND_MS);
    (void)get(s, NULL); /* the second already, if it came that fast */
    hands_turn(&s->hands,
               298 * SECOND_MS); /* the first is over: who comes now waits for the flight */
    assert_string_equal(get(s, NULL), "second");
    assert_int_equal(peer_count(s->peer), 2);
}

static void test_token__a_failed_renewal_hurts_nobody_yet(void **state)
{
    struct stage *s = *state;

    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"first\"}");
    gives(s, 0, 503, "");
    assert_string_equal(get(s, NULL), "first");
    hands_turn(&s->hands, 3300 * SECOND_MS);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(get(s, NULL), "first");
        assert_non_null(peer_request(s->peer, 1));
    }
    hands_turn(&s->hands, 298 * SECOND_MS);
    assert_string_equal(get(s, NULL), "!again");
}

/* Section 1.7, every row. */
static void test_token__tells_refusals_from_troubles(void **state)
{
    static const struct {
        int status;
        const char *error;
        int number;
        enum err_code code;
        int64_t pause_ms;
        const char *text;
    } rows[] = {
        {401, "invalid_client", 7000215, ERR_REFUSED, MINUTE_MS,
         "AADSTS7000215 (invalid_client): the "
         "client secret is wrong"},
        {401, "invalid_client", 7000222, ERR_REFUSED, MINUTE_MS, "has expired"},
        {401, "invalid_client", 7000216, ERR_REFUSED, MINUTE_MS, "no client secret or assertion"},
        {401, "invalid_client", 7000218, ERR_REFUSED, MINUTE_MS, "no client secret or assertion"},
        {401, "invalid_client", 700027, ERR_REFUSED, MINUTE_MS, "certificate is not registered"},
        {401, "invalid_client", 700024, ERR_REFUSED, MINUTE_MS, "clock"},
        {401, "invalid_client", 50012, ERR_REFUSED, MINUTE_MS, "assertion is not accepted"},
        {400, "unauthorized_client", 700016, ERR_REFUSED, MINUTE_MS, "app is not known"},
        {400, "invalid_request", 90002, ERR_REFUSED, MINUTE_MS, "tenant is not known"},
        {400, "invalid_scope", 70011, ERR_REFUSED, MINUTE_MS, "api_scope"},
        {400, "invalid_resource", 500011, ERR_REFUSED, MINUTE_MS, "licence"},
        {400, "invalid_request", 70021, ERR_REFUSED, MINUTE_MS, "federated"},
        {400, "access_denied", 53003, ERR_REFUSED, MINUTE_MS, "Conditional Access"},
        {400, "invalid_request", 12345, ERR_REFUSED, MINUTE_MS,
         "AADSTS12345 (invalid_request): AADSTS"},
        {400, "invalid_client", 0, ERR_REFUSED, MINUTE_MS, "credential of the app"},
        {400, "something_new", 0, ERR_REFUSED, MINUTE_MS, "something_new"},
        {400, "invalid_grant", 50196, ERR_AGAIN, 5 * MINUTE_MS, "pause"},
        {400, "temporarily_unavailable", 0, ERR_AGAIN, SECOND_MS, "temporarily"},
        {400, "invalid_request", 90006, ERR_AGAIN, SECOND_MS, "AADSTS90006"},
        {400, "invalid_request", 90024, ERR_AGAIN, SECOND_MS, "AADSTS90024"},
        {400, "invalid_request", 90033, ERR_AGAIN, SECOND_MS, "AADSTS90033"},
        {400, "invalid_request", 90055, ERR_AGAIN, SECOND_MS, "AADSTS90055"},
        {429, "invalid_request", 0, ERR_AGAIN, SECOND_MS, "HTTP 429"},
        {503, "invalid_client", 7000215, ERR_AGAIN, SECOND_MS, "HTTP 503"},
        {502, NULL, 0, ERR_AGAIN, SECOND_MS, "HTTP 502"},
        {403, NULL, 0, ERR_AGAIN, SECOND_MS, "HTTP 403"},
        {302, NULL, 0, ERR_AGAIN, SECOND_MS, "HTTP 302"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[600] = "<html>no";
        void *fresh = NULL;
        struct stage *s;
        struct err e;

        if (rows[i].error && rows[i].number) /* half of them without error_codes: read the text */
            (void)snprintf(
                body, sizeof body,
                "{\"error\":\"%s\",\"error_description\":\"AADSTS%d: Some words. Trace ID: "
                "x\\r\\nCorrelation ID: y\",\"trace_id\":\"6f0c\"%s%d%s}",
                rows[i].error, rows[i].number, i % 2 ? ",\"error_codes\":[" : ",\"n\":[",
                rows[i].number, "]");
        else if (rows[i].error)
            (void)snprintf(body, sizeof body, "{\"error\":\"%s\"}", rows[i].error);
        (void)before(&fresh);
        s = fresh;
        gives(s, 1, rows[i].status, body);
        gives(s, 0, 200, "{" HOUR ",\"access_token\":\"abc\"}");
        (void)get(s, &e);
        if (e.code != rows[i].code || !strstr(e.text, rows[i].text) ||
            e.retry_ms != rows[i].pause_ms)
            fail_msg("row %zu: %s %lld %s", i, err_name(e.code), (long long)e.retry_ms, e.text);
        assert_null(strstr(e.text, "~a.b_c"));
        assert_null(strpbrk(e.text, "\r\n"));
        /* remembered until then, forgotten after */
        hands_turn(&s->hands, rows[i].pause_ms - 1);
        (void)get(s, &e);
        assert_int_equal(e.code, rows[i].code);
        assert_int_equal(e.retry_ms, 1);
        assert_int_equal(peer_count(s->peer), 1);
        hands_turn(&s->hands, 1);
        assert_string_equal(get(s, NULL), "abc");
        (void)after(&fresh);
    }
}

/* What a clock has dated that is off is refused, and whoever gets no token hears of nobody else what time it is. */
static void test_token__an_answer_tells_the_time(void **state)
{
#define AN_HOUR_LATER "Date: Tue, 07 Jan 2025 11:11:12 GMT\r\n"
#define OUTSIDE       "{\"error\":\"invalid_client\",\"error_codes\":[700024]}"
    static const struct peer_answer rows[] = {
        {.status = 502, .headers = AN_HOUR_LATER}, /* a proxy's word */
        {.status = 401, .body = OUTSIDE},
        {.status = 401, .headers = AN_HOUR_LATER, .body = OUTSIDE},
        {.status = 200, .headers = AN_HOUR_LATER, .body = "{" HOUR ",\"access_token\":\"abc\"}"},
    };
    struct stage *s = *state;
    const int64_t wall = s->hands.wall;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        peer_forget(s->peer);
        peer_script(s->peer, &rows[i]);
        assert_int_equal(get(s, NULL)[0] == '!', rows[i].status != 200);
        assert_int_equal(peer_count(s->peer), 1);
        assert_int_equal(s->told, i < 2 ? 0 : i - 1);
        hands_turn(&s->hands, 5 * MINUTE_MS); /* it may be asked again */
        s->hands.wall = wall;                 /* a clock that stands still */
    }
    assert_int_equal(s->off_ms, -HOUR_MS);
}

/* A proxy in the way may show people what it was asked with; they read it in logs and mails. */
static void test_token__a_credential_that_an_answer_repeats_is_not_said(void **state)
{
    static const struct {
        int status;
        const char *body, *lacks;
    } rows[] = {
        {400,
         "{\"error\":\"odd\",\"error_description\":\"no form: client_secret=~a.b_c%2B%2F%3D\"}",
         "~a.b_c"},
        {401, "{\"error\":\"odd\",\"error_description\":\"AADSTS7: '~a.b_c+/=' is not known\"}",
         "~a.b_c"},
        {503, "{\"error\":\"odd\",\"error_description\":\"later: ~a.b_c+/=\"}", "~a.b_c"},
        {401, "{\"error\":\"~a.b_c+/=\",\"error_description\":\"x\"}", "~a.b_c"},
        {401, "{\"error\":\"odd\",\"error_description\":\"AADSTS7: x\",\"trace_id\":\"~a.b_c+/=\"}",
         "~a.b_c"},
        {401, "{\"error\":\"odd\",\"error_description\":\"x: eyJhbGciOiJSUzI1NiJ9.e30.c2ln\"}",
         "c2ln"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        void *fresh = NULL;
        struct err e;

        (void)before(&fresh);
        gives(fresh, 1, rows[i].status, rows[i].body);
        (void)get(fresh, &e);
        if (strstr(e.text, rows[i].lacks) || !strstr(e.text, "repeats our credential"))
            fail_msg("row %zu: %s", i, e.text);
        (void)after(&fresh);
    }
}

static void test_token__asks_more_and_more_seldom(void **state)
{
    static const int64_t pauses_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct stage *s = *state;
    struct err e;

    gives(s, 8, 503, "");
    for (size_t i = 0; i < sizeof pauses_s / sizeof pauses_s[0]; i++) {
        (void)get(s, &e);
        assert_int_equal(peer_count(s->peer), i + 1);
        assert_int_equal(e.retry_ms, pauses_s[i] * SECOND_MS);
        hands_turn(&s->hands, e.retry_ms);
    }
    /* success starts it anew; Retry-After counts when it is longer */
    gives(s, 1, 200, "{\"expires_in\":100,\"access_token\":\"abc\"}");
    assert_string_equal(get(s, NULL), "abc");
    hands_turn(&s->hands, 100 * SECOND_MS);
    peer_script(s->peer, &(struct peer_answer){.status = 429, .headers = "Retry-After: 77\r\n"});
    (void)get(s, &e);
    assert_int_equal(e.retry_ms, 77000);
}

static void test_token__an_unreadable_secret_is_told_and_mended(void **state)
{
    struct stage *s = *state;
    struct err e;

    gives(s, 0, 200, "{" HOUR ",\"access_token\":\"abc\"}");
    s->secret = NULL;
    assert_string_equal(get(s, &e), "!io");
    assert_string_equal(e.text, "client_secret_file: gone");
    s->secret = "\n";
    hands_turn(&s->hands, e.retry_ms);
    assert_string_equal(get(s, &e), "!refused");
    s->secret = "x";
    assert_string_equal(get(s, NULL), "!refused");
    hands_turn(&s->hands, e.retry_ms);
    assert_string_equal(get(s, NULL), "abc");
    assert_int_equal(peer_count(s->peer), 1);
}

static void test_token__no_connection_is_transient(void **state)
{
    struct stage *s = *state;
    struct err e;

    peer_script(s->peer, &(struct peer_answer){.times = 1, .act = PEER_RESET});
    assert_string_equal(get(s, &e), "!again");
    assert_int_equal(e.retry_ms, 1000);
    assert_memory_equal(e.text, "Entra ID: ", 10);
}

static void test_token__drops_a_token_once_a_minute(void **state)
{
    struct stage *s = *state;

    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"first\"}");
    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"second\"}");
    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"third\"}");
    assert_string_equal(get(s, NULL), "first");
    assert_true(token_drop(s->token, "first"));
    assert_true(token_drop(s->token, "first")); /* by another thread: it is dropped */
    assert_string_equal(get(s, NULL), "second");
    assert_true(token_drop(s->token, "first")); /* there is a newer one */
    assert_int_equal(peer_count(s->peer), 2);
    assert_false(token_drop(s->token, "second")); /* a fresh one does not help: not the token */
    assert_string_equal(get(s, NULL), "second");
    hands_turn(&s->hands, MINUTE_MS);
    assert_true(token_drop(s->token, "second"));
    assert_string_equal(get(s, NULL), "third");
}

static void test_token__tells_what_the_token_says_of_itself(void **state)
{
    static const struct {
        const char *token;
        bool ok;
    } rows[] = {
        /* {"aud":"https://api.example","roles":["Machine.Isolate","Alert.Read.All"],"x":"å>?"} */
        {"h.eyJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlIiwicm9sZXMiOlsiTWFjaGluZS5Jc29sYXRlIiwiQWxlcnQuUmVhZC5B"
         "bGwiXSwieCI6IsOlPj8ifQ.s",
         true},
        {"opaque", false},
        {"a.b", false},
        {"a.!!!!.c", false},
        {"a.eyJ4.c", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[600];
        void *fresh = NULL;
        struct stage *s;
        struct json *claims = NULL;

        (void)before(&fresh);
        s = fresh;
        (void)snprintf(body, sizeof body, "{" HOUR ",\"access_token\":\"%s\"}", rows[i].token);
        gives(s, 0, 200, body);
        assert_int_equal(token_claims(s->token, &claims, NULL), rows[i].ok ? ERR_OK : ERR_INVALID);
        if (rows[i].ok) {
            assert_string_equal(json_get_string(claims, "aud"), "https://api.example");
            assert_true(token_claims_have_role(claims, "Machine.Isolate"));
            assert_false(token_claims_have_role(claims, "Machine.Isola"));
            json_free(claims);
        }
        (void)after(&fresh);
    }
    assert_false(token_claims_have_role(NULL, "x"));
}

static void test_token__can_be_freed_while_renewing(void **state)
{
    struct stage *s = *state;

    gives(s, 1, 200, "{" HOUR ",\"access_token\":\"first\"}");
    peer_script(s->peer, &(struct peer_answer){.act = PEER_HANG});
    assert_string_equal(get(s, NULL), "first");
    hands_turn(&s->hands, 3300 * SECOND_MS);
    assert_string_equal(get(s, NULL), "first");
    assert_non_null(peer_request(s->peer, 1));
    token_free(s->token);
    s->token = NULL;
}

static void test_token__survives_every_shortage_of_memory(void **state)
{
    (void)state;
    for (long n = 1, more = 1; more; n++) {
        struct buf out = BUF_INIT(TOKEN_MAX);
        void *fresh = NULL;
        struct stage *s;
        enum err_code code;
        struct err e;

        (void)before(&fresh);
        s = fresh;
        gives(s, 0, 200, "{" HOUR ",\"access_token\":\"abc\"}");
        torture_arm(n);
        code = token_get(s->token, &out, &e);
        more = torture_disarm();
        if (code && code != ERR_NOMEM && code != ERR_AGAIN)
            fail_msg("allocation %ld: %s %s", n, err_name(code), e.text);
        buf_clear(&out);
        hands_turn(&s->hands, MINUTE_MS);
        assert_string_equal(get(s, NULL), "abc"); /* and heals */
        (void)after(&fresh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, before, after)
        T(test_token__asks_as_entra_wants_it),
        T(test_token__takes_another_grant),
        T(test_token__reads_the_secret_anew),
        T(test_token__reads_every_kind_of_number),
        T(test_token__sixteen_threads_cause_one_request),
        T(test_token__sixteen_threads_share_a_failure),
        T(test_token__renews_early_and_nobody_waits),
        T(test_token__uses_the_renewed_one_when_it_is_there),
        T(test_token__a_failed_renewal_hurts_nobody_yet),
        T(test_token__tells_refusals_from_troubles),
        T(test_token__an_answer_tells_the_time),
        T(test_token__a_credential_that_an_answer_repeats_is_not_said),
        T(test_token__asks_more_and_more_seldom),
        T(test_token__an_unreadable_secret_is_told_and_mended),
        T(test_token__no_connection_is_transient),
        T(test_token__drops_a_token_once_a_minute),
        T(test_token__tells_what_the_token_says_of_itself),
        T(test_token__survives_every_shortage_of_memory),
        T(test_token__can_be_freed_while_renewing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
