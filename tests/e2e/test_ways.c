/* test_ways.c - the other ways out of cordon: a login with a token, Graph's sendMail, webhooks; and what becomes
 * of a notice when the first of them fails.
 *
 * What counts is what the far side took: the simulator's mails, its journal, the transcript of its mail server.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "kit/house.h"

#define MACHINE   "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define CLIENT    "5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13"
#define MAILBOX   "cordon@contoso.example"
#define SENDMAIL  "/graph/v1.0/users/*"
#define SOON      20000 /* ms; a deadline, not a wait */
#define OAUTH     "  oauth: {tenant: contoso}\n"
#define TOKENS    "{\"client_id\":\"" CLIENT "\",\"exchange_roles\":[\"SMTP.SendAsApp\"]}"
#define MAIL_SEND "{\"client_id\":\"" CLIENT "\",\"graph_roles\":[\"Mail.Send\"]}"

static void push(struct house *h, const char *alert, const char *severity)
{
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\"}");
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"%s\",\"title\":\"Credential memory read\","
              "\"machineId\":\"" MACHINE "\"}",
              alert, severity);
    json_free(house_push(h, alert, MACHINE, 202));
}

static struct house *house_by_token(const char *smtp)
{
    struct house *h = house_start(&(struct house_options){.mail = OAUTH, .not_yet = true});

    sim_tell(h->sim, "/clients", TOKENS);
    sim_tellf(h->sim, "/config", "{\"smtp\":{\"basic\":false,\"require_auth\":true,%s}}", smtp);
    return h;
}

/* Mail leaves by Graph and by nothing else. */
static struct house *house_by_graph(const char *client, const char *more)
{
    struct house *h = house_start(
        &(struct house_options){.mail_url = "graph:" MAILBOX, .mail = more, .not_yet = true});
    char ca[400];

    (void)snprintf(ca, sizeof ca, "  ca_file: %s\n", h->sim->smtp_ca_file);
    house_edit(h, ca, "");
    sim_tell(h->sim, "/clients", client);
    return h;
}

/* All that the mail server was told, each command on a line. Heap. */
static char *transcript(struct house *h)
{
    AUTO(json_freep) struct json *smtp = sim_get(h->sim, "/smtp");
    struct buf b = BUF_INIT(1 << 20);

    JSON_EACH (command, json_get(smtp, "commands"))
        buf_addf(&b, "%s\n", json_string(command));
    buf_adds(&b, "");
    return buf_take(&b);
}

/* Waits until /readyz calls a part sick with these words; "" for any. */
static void wait_until_sick(struct house *h, const char *name, const char *words)
{
    int64_t deadline = house_now_ms() + SOON;

    for (;;) {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz");
        const struct json *part = json_get(json_get(ready, "parts"), name);
        const char *why = json_get_string(part, "why");

        if (part && !json_is_true(json_get(part, "ok")) && why && strstr(why, words)) {
            assert_true(json_is_true(json_get(ready, "degraded")));
            return;
        }
        if (house_now_ms() > deadline)
            fail_msg("/readyz does not say of %s that '%s', but %s", name, words,
                     why ? why : "nothing");
    }
}

/* The finding of `cordon doctor` about a part; its grade must be this one. words: in the text or the cure. */
static void assert_doctor(struct house *h, const char *part, const char *grade, const char *words)
{
    const char *const args[] = {"doctor", "--json", "-c", h->config_file, NULL};
    AUTO(json_freep) struct json *doc = NULL;
    char *out;

    (void)house_run(h, &out, args);
    assert_int_equal(json_parse(out, strlen(out), &doc, NULL), ERR_OK);
    JSON_EACH (f, json_get(doc, "findings")) {
        const char *text = json_get_string(f, "text"), *cure = json_get_string(f, "cure");

        if (strcmp(json_get_string(f, "part"), part) == 0 &&
            strcmp(json_get_string(f, "grade"), grade) == 0 &&
            (strstr(text, words) || (cure && strstr(cure, words)))) {
            free(out);
            return;
        }
    }
    fail_msg("no finding '%s' of %s with '%s' in %s", grade, part, words, out);
}

/* ---- a login with a token ------------------------------------------------------------------------ */

static void test_ways__a_server_that_only_takes_tokens_gets_the_mails(void **state)
{
    static const struct {
        const char *mechanism, *smtp;
        bool implicit;
    } rows[] = {
        {"AUTH XOAUTH2", "\"xoauth2\":true", false},
        {"AUTH XOAUTH2", "\"xoauth2\":true", true},
        {"AUTH OAUTHBEARER", "\"oauthbearer\":true", false},
        {"AUTH OAUTHBEARER", "\"xoauth2\":true,\"oauthbearer\":true", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct house *h = house_by_token(rows[i].smtp);
        AUTO(json_freep) struct json *mails = NULL;
        char *said;

        if (rows[i].implicit)
            house_edit(h, h->sim->smtp_url, h->sim->smtps_url);
        assert_doctor(h, "mail", "ok", "logged in as " MAILBOX);
        house_cordon_start(h);
        push(h, "da1_-1", "High");
        mails = sim_wait_mails(h->sim, 2, SOON);
        JSON_EACH (mail, json_get(mails, "mails")) {
            assert_true(json_is_true(json_get(mail, "tls")));
            assert_string_equal(json_get_string(mail, "user"), MAILBOX);
        }
        said = transcript(h);
        if (!strstr(said, rows[i].mechanism) || strstr(said, "PLAIN") || strstr(said, "LOGIN"))
            fail_msg("row %zu: %s", i, said);
        free(said);
        house_log_lacks(h, "eyJ"); /* how every token begins */
        house_stop(h);
    }
}

static void test_ways__a_token_that_may_not_send_is_said(void **state)
{
    static const char *const offers[] = {"\"xoauth2\":true", "\"oauthbearer\":true"};

    (void)state;
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        struct house *h = house_by_token(offers[i]);
        char *said;

        sim_tell(h->sim, "/clients", "{\"client_id\":\"" CLIENT "\",\"exchange_roles\":[]}");
        assert_doctor(h, "mail", "bad", "SMTP.SendAsApp");
        house_cordon_start(h);
        push(h, "da1_-1", "High");
        wait_until_sick(h, "mail", "");
        json_free(sim_wait_isolated(h->sim, 1, SOON)); /* which mail does not hold up */
        said = transcript(h);
        assert_null(strstr(said, "MAIL FROM"));
        free(said);
        assert_int_equal(sim_state(h->sim, "mails"), 0);
        house_stop(h);
    }
}

/* ---- Graph --------------------------------------------------------------------------------------- */

static void test_ways__graph_sends_the_message_as_it_is(void **state)
{
    struct house *h = house_by_graph(MAIL_SEND, NULL);
    AUTO(json_freep) struct json *mails = NULL;
    const char *raw[2], *message_id;
    size_t n = 0;

    (void)state;
    assert_doctor(h, "mail", "ok", "Mail.Send");
    house_cordon_start(h);
    push(h, "da1_-1", "High");
    mails = sim_wait_mails(h->sim, 2, SOON);
    JSON_EACH (mail, json_get(mails, "mails")) {
        assert_string_equal(json_get_string(mail, "helo"), "graph");
        assert_string_equal(json_get_string(mail, "from"), MAILBOX);
        assert_string_equal(json_string(json_first(json_get(mail, "rcpt"))), "soc@contoso.example");
        raw[n++] = json_get_string(mail, "raw");
    }
    assert_int_equal(n, 2);
    assert_non_null(strstr(raw[0], "Subject: [REQUESTED] High: Credential memory read"));
    assert_non_null(strstr(raw[1], "Subject: [ISOLATED] High: Credential memory read"));
    message_id = strstr(raw[0], "Message-ID: <"); /* which the second one answers */
    assert_non_null(message_id);
    assert_non_null(strstr(raw[1], "In-Reply-To: <"));
    assert_memory_equal(strstr(raw[1], "In-Reply-To: <") + strlen("In-Reply-To: <"),
                        message_id + strlen("Message-ID: <"), 20);
    assert_int_equal(sim_count_calls(h->sim, "POST", SENDMAIL), 2);
    house_log_lacks(h, "eyJ");
    house_stop(h);
}

static void test_ways__graph_refuses_and_says_what_is_missing(void **state)
{
    static const struct {
        const char *client, *config, *words, *doctor;
    } rows[] = {
        {"{\"client_id\":\"" CLIENT "\",\"graph_roles\":[\"ThreatHunting.Read.All\"]}", "{}",
         "Mail.Send", "Mail.Send"},
        {MAIL_SEND, "{\"graph\":{\"mailboxes\":\"other@contoso.example\"}}", "look at the mailbox",
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct house *h = house_by_graph(rows[i].client, NULL);

        sim_tell(h->sim, "/config", rows[i].config);
        if (rows[i].doctor)
            assert_doctor(h, "mail", "bad", rows[i].doctor);
        house_cordon_start(h);
        push(h, "da1_-1", "Medium");
        wait_until_sick(h, "mail", rows[i].words);
        assert_int_equal(sim_state(h->sim, "mails"), 0);
        house_stop(h);
    }
}

static void test_ways__graph_is_left_alone_for_as_long_as_it_asks(void **state)
{
    struct house *h = house_by_graph(MAIL_SEND, NULL);
    AUTO(json_freep) struct json *mails = NULL;
    int64_t asked_ms;
    char id[40];

    (void)state;
    sim_tell(h->sim, "/faults",
             "{\"method\":\"POST\",\"path\":\"" SENDMAIL "\",\"kind\":\"answer\",\"status\":429,"
             "\"count\":1,\"headers\":{\"Retry-After\":\"10\"},"
             "\"json\":{\"error\":{\"code\":\"ApplicationThrottled\",\"message\":\"later\"}}}");
    house_cordon_start(h);
    asked_ms = house_now_ms();
    push(h, "da0_-1", "Medium");
    wait_until_sick(h, "mail", "");
    for (int i = 1; i < 5; i++) { /* others do not knock in its place */
        (void)snprintf(id, sizeof id, "da%d_-1", i);
        push(h, id, "Medium");
    }
    house_wait_quiet(h, SOON);
    if (house_now_ms() - asked_ms < 9000)
        assert_int_equal(sim_count_calls(h->sim, "POST", SENDMAIL), 1);
    mails = sim_wait_mails(h->sim, 5, SOON);
    assert_int_equal(json_count(json_get(mails, "mails")), 5);
    assert_int_equal(sim_count_calls(h->sim, "POST", SENDMAIL), 6);
    house_stop(h);
}

static void test_ways__graph_keeps_the_rest_where_one_address_is_bad(void **state)
{
    struct house *h = house_by_graph(MAIL_SEND, NULL);
    AUTO(json_freep) struct json *mails = NULL;
    size_t n = 0;

    (void)state;
    sim_tell(h->sim, "/config", "{\"graph\":{\"reject\":\"gone@contoso.example\"}}");
    house_edit(h, "[soc@contoso.example]",
               "[soc@contoso.example, gone@contoso.example, night@contoso.example]");
    house_cordon_start(h);
    push(h, "da1_-1", "Medium");
    mails = sim_wait_mails(h->sim, 2, SOON);
    JSON_EACH (mail, json_get(mails, "mails")) {
        const char *raw = json_get_string(mail, "raw");

        assert_int_equal(json_count(json_get(mail, "rcpt")), 1);
        assert_null(strstr(raw, "gone@"));
        assert_non_null(strstr(raw, n++ ? "To: night@" : "To: soc@"));
    }
    house_wait_log(h, "\"fate\":\"refused\"", 1, SOON);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways__a_server_that_only_takes_tokens_gets_the_mails),
        cmocka_unit_test(test_ways__a_token_that_may_not_send_is_said),
        cmocka_unit_test(test_ways__graph_sends_the_message_as_it_is),
        cmocka_unit_test(test_ways__graph_refuses_and_says_what_is_missing),
        cmocka_unit_test(test_ways__graph_is_left_alone_for_as_long_as_it_asks),
        cmocka_unit_test(test_ways__graph_keeps_the_rest_where_one_address_is_bad),
    };

    return cmocka_run_group_tests_name("ways", tests, NULL, NULL);
}
