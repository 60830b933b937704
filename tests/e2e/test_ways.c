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
#include "kit/look.h"
#include "kit/mail_reader.h"

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
    for (int64_t until = look_until(SOON);;) {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz");
        const struct json *part = json_get(json_get(ready, "parts"), name);
        const char *why = json_get_string(part, "why");

        if (part && !json_is_true(json_get(part, "ok")) && why && strstr(why, words)) {
            assert_true(json_is_true(json_get(ready, "degraded")));
            return;
        }
        look_again(until, "/readyz does not say of %s that '%s', but %s", name, words,
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
    const char *raw[2] = {"", ""}, *message_id;
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
    asked_ms = look_now_ms();
    push(h, "da0_-1", "Medium");
    wait_until_sick(h, "mail", "");
    for (int i = 1; i < 5; i++) { /* others do not knock in its place */
        (void)snprintf(id, sizeof id, "da%d_-1", i);
        push(h, id, "Medium");
    }
    house_wait_quiet(h, SOON);
    if (look_now_ms() - asked_ms < 9000)
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

/* ---- webhooks ------------------------------------------------------------------------------------ */

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

/* A cordon that posts to the simulator's sinks siem (signed), teams and slack. rules: as in house_options. */
static struct house *house_with_webhooks(const char *rules, const char *mail)
{
    struct house *h =
        house_start(&(struct house_options){.rules = rules, .mail = mail, .not_yet = true});
    struct buf more = BUF_INIT(1 << 16), url = BUF_INIT(1 << 16);

    sim_tell(h->sim, "/sinks",
             "[{\"name\":\"siem\",\"kind\":\"standard\",\"secret\":\"" SECRET "\"},"
             "{\"name\":\"teams\",\"kind\":\"teams\",\"sig\":\"t0psecret\"},"
             "{\"name\":\"slack\",\"kind\":\"slack\"}]");
    free(house_write_file(h, "siem", SECRET));
    buf_addf(&url, "%s/sink/teams?sig=t0psecret\n", h->sim->api_url);
    free(house_write_file(h, "teams", buf_text(&url)));
    buf_addf(&more,
             "webhooks:\n  siem: {url: '%s/sink/siem', secret_files: [siem]}\n"
             "  teams: {url_file: teams, template: teams}\n"
             "  slack: {url: '%s/sink/slack', template: slack}\nrules:\n",
             h->sim->api_url, h->sim->api_url);
    house_edit(h, "rules:\n", buf_text(&more));
    buf_clear(&more);
    buf_clear(&url);
    return h;
}

#define ISOLATE_AND(steps)                                                                         \
    "  - name: contain\n    when: {alert.severity: High}\n    do: [isolate: {}, " steps "]\n"      \
    "  - name: tell\n    do: [email: {}]\n"

static const struct json *nth(const struct json *list, size_t n)
{
    const struct json *v = json_first(list);

    while (n-- && v)
        v = json_next(v);
    return v;
}

static int64_t status_of(const struct json *call)
{
    return json_get_int64(call, "status", -1);
}

static void assert_kind(const struct json *call, const char *kind)
{
    const char *body = json_get_string(call, "body");
    AUTO(json_freep) struct json *doc = NULL;

    assert_int_equal(json_parse(body, strlen(body), &doc, NULL), ERR_OK);
    assert_string_equal(json_get_string(doc, "kind"), kind);
    assert_string_equal(json_get_string(doc, "machine_id"), MACHINE);
    assert_string_equal(json_get_string(doc, "alert_id"), "da1_-1");
}

static void test_ways__a_webhook_is_told_the_truth_and_signed(void **state)
{
    struct house *h = house_with_webhooks(ISOLATE_AND("webhook: {to: siem}, email: {}"), NULL);
    AUTO(json_freep) struct json *calls = NULL, *more = NULL;
    const struct json *first, *second;

    (void)state;
    sim_tell(h->sim, "/config",
             "{\"actions\":{\"in_progress_after_ms\":86400000,\"done_after_ms\":90000000}}");
    assert_doctor(h, "webhook:siem", "ok", "posts are signed");
    assert_int_equal(sim_count_calls(h->sim, "POST", "/sink/*"), 0);
    house_cordon_start(h);
    push(h, "da1_-1", "High");
    calls = sim_wait_calls(h->sim, "POST", "/sink/siem", 1, SOON);
    first = json_first(json_get(calls, "calls"));
    assert_int_equal(status_of(first), 200); /* the signature is good */
    assert_kind(first, "requested");
    assert_null(strstr(json_get_string(first, "body"), "[ISOLATED]"));
    sim_tell(h->sim, "/clock", "{\"advance_ms\":100000000}"); /* Defender says that it succeeded */
    more = sim_wait_calls(h->sim, "POST", "/sink/siem", 2, 60000);
    second = nth(json_get(more, "calls"), 1);
    assert_int_equal(status_of(second), 200);
    assert_kind(second, "isolated");
    assert_string_not_equal(json_get_string(first, "action_id"),
                            json_get_string(second, "action_id"));
    house_wait_quiet(h, SOON);
    json_free(sim_wait_mails(h->sim, 2, SOON)); /* mails are as they were */
    assert_int_equal(sim_count_calls(h->sim, "POST", "/sink/siem"), 2);
    house_stop(h);
}

static void test_ways__posts_alone_are_enough(void **state)
{
    struct house *h = house_with_webhooks(ISOLATE_AND("webhook: {to: siem}"), NULL);
    AUTO(json_freep) struct json *calls = NULL;

    (void)state;
    house_cordon_start(h);
    push(h, "da1_-1", "High");
    calls = sim_wait_calls(h->sim, "POST", "/sink/siem", 2, SOON);
    assert_kind(nth(json_get(calls, "calls"), 0), "requested");
    assert_kind(nth(json_get(calls, "calls"), 1), "isolated");
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_state(h->sim, "mails"), 0);
    house_stop(h);
}

/* What attackers choose becomes no link, no mention and no markup. */
static void test_ways__teams_and_slack_get_what_they_take(void **state)
{
    static const char title[] =
        "[click](https://evil.example/x) <https://evil.example|y> <!channel> <at>all</at> **b** `c`";
    struct house *h = house_with_webhooks(
        "  - name: tell\n    do: [webhook: {to: teams}, webhook: {to: slack}]\n", NULL);
    AUTO(json_freep) struct json *teams = NULL, *slack = NULL;
    const char *body;

    (void)state;
    house_cordon_start(h);
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\"}");
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"da1_-1\",\"severity\":\"Medium\",\"title\":\"%s\",\"machineId\":\"" MACHINE
              "\"}",
              title);
    json_free(house_push(h, "da1_-1", MACHINE, 202));
    teams = sim_wait_calls(h->sim, "POST", "/sink/teams", 1, SOON);
    slack = sim_wait_calls(h->sim, "POST", "/sink/slack", 1, SOON);
    assert_int_equal(status_of(json_first(json_get(teams, "calls"))), 202);
    assert_int_equal(status_of(json_first(json_get(slack, "calls"))), 200);
    body = json_get_string(json_first(json_get(teams, "calls")), "body");
    assert_non_null(strstr(body, "\"AdaptiveCard\""));
    assert_non_null(strstr(body, "https://security.microsoft.com/alerts/da1_-1?tid="));
    assert_null(strstr(body, "evil.example"));
    assert_null(strstr(body, "<at>"));
    assert_null(strstr(body, " **b"));
    assert_null(strstr(body, "]("));
    body = json_get_string(json_first(json_get(slack, "calls")), "body");
    assert_null(strstr(body, "evil.example"));
    assert_null(strstr(body, "<!"));
    assert_null(strstr(body, "\"mrkdwn\""));
    house_log_lacks(h, "t0psecret");
    house_stop(h);
}

static void test_ways__a_post_is_repeated_as_itself(void **state)
{
    struct house *h = house_with_webhooks("  - name: tell\n    do: [webhook: {to: siem}]\n", NULL);
    AUTO(json_freep) struct json *calls = NULL;
    const char *id;

    (void)state;
    sim_tell(h->sim, "/faults",
             "[{\"path\":\"/sink/siem\",\"kind\":\"answer\",\"status\":503,\"count\":1},"
             "{\"path\":\"/sink/siem\",\"kind\":\"reset\",\"count\":1}]");
    house_cordon_start(h);
    push(h, "da1_-1", "Medium");
    calls = sim_wait_calls(h->sim, "POST", "/sink/siem", 3, SOON);
    id = json_get_string(nth(json_get(calls, "calls"), 2), "action_id");
    assert_int_equal(status_of(nth(json_get(calls, "calls"), 2)), 200);
    house_wait_log(h, "\"fate\":\"sent\"", 1, SOON);
    JSON_EACH (call, json_get(calls, "calls")) {
        const char *body = json_get_string(call, "body");

        assert_string_equal(body, json_get_string(nth(json_get(calls, "calls"), 2), "body"));
    }
    assert_non_null(id);
    assert_int_equal(sim_count_calls(h->sim, "POST", "/sink/siem"), 3);
    house_stop(h);
}

static void test_ways__a_webhook_that_takes_nothing_is_said(void **state)
{
    static const struct {
        const char *label, *path, *json, *words;
    } rows[] = {
        {"another secret", "/sinks",
         "{\"name\":\"siem\",\"kind\":\"standard\",\"secret\":\"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         "does not take the signature"},
        {"a redirect", "/faults",
         "{\"path\":\"/sink/siem\",\"kind\":\"answer\",\"status\":307,\"count\":-1,"
         "\"headers\":{\"Location\":\"/sink/elsewhere\"}}",
         "not followed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct house *h =
            house_with_webhooks("  - name: tell\n    do: [webhook: {to: siem}]\n", NULL);

        print_message("  %s\n", rows[i].label);
        sim_tell(h->sim, rows[i].path, rows[i].json);
        house_cordon_start(h);
        push(h, "da1_-1", "Medium");
        wait_until_sick(h, "webhook:siem", rows[i].words);
        assert_int_equal(sim_count_calls(h->sim, NULL, "/sink/elsewhere"), 0);
        house_log_lacks(h, SECRET);
        house_stop(h);
    }
}

/* ---- the helpdesk -------------------------------------------------------------------------------- */

/* What the helpdesk reads in each part of a mail, and what not. */
static void assert_is_for_the_desk(const char *raw)
{
    static const char *const secrets[] = {"Credential", "High", "da1_-1", "security.microsoft.com"};
    struct mail_read m;

    mail_read(&m, raw, strlen(raw));
    assert_string_equal(m.fault, "");
    assert_true(m.part_count > 0);
    for (size_t i = 0; i < m.part_count; i++) {
        assert_non_null(strstr(m.parts[i].body, "the SOC at 4711"));
        assert_non_null(strstr(m.parts[i].body, "What to tell the user"));
        for (size_t k = 0; k < sizeof secrets / sizeof *secrets; k++)
            assert_null(strstr(m.parts[i].body, secrets[k]));
    }
    mail_read_clear(&m);
}

static void test_ways__the_helpdesk_hears_of_the_machine_and_not_of_the_alert(void **state)
{
    struct house *h =
        house_with_webhooks(ISOLATE_AND("email: {audience: desk}, email: {}"),
                            "  desk: {to: [desk@contoso.example], call: the SOC at 4711}\n");
    AUTO(json_freep) struct json *mails = NULL;
    size_t desk = 0, soc = 0;

    (void)state;
    house_cordon_start(h);
    push(h, "da1_-1", "High");
    json_free(sim_wait_mails(h->sim, 4, SOON));
    push(h, "da2_-1", "Medium"); /* nothing is done to a machine: none of its business */
    json_free(sim_wait_mails(h->sim, 5, SOON));
    house_wait_quiet(h, SOON);
    mails = sim_get(h->sim, "/mails");
    assert_int_equal(json_count(json_get(mails, "mails")), 5);
    JSON_EACH (mail, json_get(mails, "mails")) {
        const char *raw = json_get_string(mail, "raw");

        assert_int_equal(json_count(json_get(mail, "rcpt")), 1);
        if (strcmp(json_string(json_first(json_get(mail, "rcpt"))), "desk@contoso.example") != 0) {
            soc++;
            assert_non_null(strstr(raw, "Credential memory read"));
            continue;
        }
        assert_non_null(strstr(raw, desk++ ? "Subject: [ISOLATED] ws-114\r\n"
                                           : "Subject: [REQUESTED] ws-114\r\n"));
        assert_is_for_the_desk(raw);
    }
    assert_int_equal(desk, 2);
    assert_int_equal(soc, 3);
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
        cmocka_unit_test(test_ways__a_webhook_is_told_the_truth_and_signed),
        cmocka_unit_test(test_ways__posts_alone_are_enough),
        cmocka_unit_test(test_ways__teams_and_slack_get_what_they_take),
        cmocka_unit_test(test_ways__a_post_is_repeated_as_itself),
        cmocka_unit_test(test_ways__a_webhook_that_takes_nothing_is_said),
        cmocka_unit_test(test_ways__the_helpdesk_hears_of_the_machine_and_not_of_the_alert),
    };

    return cmocka_run_group_tests_name("ways", tests, NULL, NULL);
}
