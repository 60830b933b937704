/* test_mail_graph.c - mails by Graph's sendMail, against the simulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit/hands.h"
#include "kit/sim.h"
#include "mail_graph.h"
#include "rest.h"

#define MAILBOX "soc@contoso.example"

static const char message[] = "From: " MAILBOX "\r\nTo: a@contoso.example\r\nSubject: hello\r\n"
                              "Message-ID: <1@contoso.example>\r\n\r\nhello\r\n";

struct rig {
    struct sim *sim;
    struct rest *rest;
    struct token *token;
    struct hands hands;
    struct mail_graph graph;
};

static enum err_code secret(void *ctx, struct buf *out, struct err *e)
{
    const struct rig *r = ctx;

    (void)e;
    buf_adds(out, r->sim->client_secret);
    return buf_failed(out);
}

static void may_send(struct rig *r, const char *roles)
{
    sim_tellf(r->sim, "/clients", "{\"client_id\":\"%s\",\"graph_roles\":[%s]}", r->sim->client_id,
              roles);
}

static int set_up(void **state)
{
    const struct hands hands = HANDS_INIT;
    struct rig *r = calloc(1, sizeof *r);
    struct token_options t = {.secret = secret, .ctx = r};

    assert_non_null(r);
    r->hands.clock = hands.clock;
    r->hands.wall = clock_wall_ms(clock_system());
    r->hands.mono = hands.mono;
    r->sim = sim_start(NULL);
    assert_int_equal(rest_new(&(struct rest_options){0}, &r->rest, NULL), ERR_OK);
    t.rest = r->rest;
    t.clock = &r->hands.clock;
    t.login_url = r->sim->login_url;
    t.tenant_id = r->sim->tenant_id;
    t.client_id = r->sim->client_id;
    t.scope = "https://graph.microsoft.com/.default";
    assert_int_equal(token_new(&t, &r->token, NULL), ERR_OK);
    r->graph = (struct mail_graph){
        .rest = r->rest, .token = r->token, .base_url = r->sim->graph_url, .mailbox = MAILBOX};
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    token_free(r->token);
    rest_free(r->rest);
    sim_stop(r->sim);
    free(r);
    return 0;
}

static enum err_code send_it(struct rig *r, struct mail_result *result)
{
    const char *to = "a@contoso.example";
    struct err e = {0};

    return mail_graph_send(&r->graph, &to, 1, message, strlen(message), result, &e);
}

/* Trap 37: a permission that was given since is in a newer token only. */
static void test_mail_graph__a_permission_given_since_is_found(void **state)
{
    struct rig *r = *state;
    struct mail_result result;

    may_send(r, "");
    assert_int_equal(send_it(r, &result), ERR_FORBIDDEN);
    may_send(r, "\"Mail.Send\"");
    assert_int_equal(send_it(r, &result), ERR_FORBIDDEN); /* the token is new */
    assert_int_equal(result.fate, MAIL_RETRY);
    hands_turn(&r->hands, 20 * MINUTE_MS);
    assert_int_equal(send_it(r, &result), ERR_OK);
    assert_int_equal(result.fate, MAIL_SENT);
}

static void test_mail_graph__a_token_that_an_answer_repeats_is_not_said(void **state)
{
    AUTO(token_clear) struct buf token = BUF_INIT(TOKEN_MAX);
    struct rig *r = *state;
    struct mail_result result;

    may_send(r, "\"Mail.Send\"");
    assert_int_equal(token_get(r->token, &token, NULL), ERR_OK);
    sim_tellf(
        r->sim, "/faults",
        "{\"path\":\"/graph/v1.0/users/*\",\"count\":1,\"kind\":\"answer\",\"status\":400,\"json\":"
        "{\"error\":{\"code\":\"BadRequest\",\"message\":\"a header: Bearer %s\"}}}",
        buf_text(&token));
    assert_int_equal(send_it(r, &result), ERR_REFUSED);
    if (strstr(result.text, "Bearer") || !strstr(result.text, "repeats our token"))
        fail_msg("%s", result.text);
}

/* It is not tried for days, nor said to have left perhaps. */
static void test_mail_graph__a_message_that_is_too_long_is_refused(void **state)
{
    AUTO(buf_clear) struct buf long_one = BUF_INIT(4 << 20);
    const char *to = "a@contoso.example";
    struct rig *r = *state;
    struct mail_result result;

    may_send(r, "\"Mail.Send\"");
    buf_adds(&long_one, message);
    while (long_one.len < (3 << 20))
        buf_adds(&long_one, "a line of many\r\n");
    assert_int_equal(
        mail_graph_send(&r->graph, &to, 1, buf_text(&long_one), long_one.len, &result, NULL),
        ERR_TOO_BIG);
    assert_int_equal(result.fate, MAIL_REFUSED);
    assert_false(result.maybe_sent);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_mail_graph__a_permission_given_since_is_found),
        T(test_mail_graph__a_token_that_an_answer_repeats_is_not_said),
        T(test_mail_graph__a_message_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
