/* test_sim_smtp.c - the simulator's SMTP sink, spoken to by hand, line by line (sections 9.2, 9.3). */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "auto.h"
#include "buf.h"
#include "json.h"
#include "kit/fetch.h"
#include "kit/sim.h"

#define WAIT_MS 20000

static struct sim *sim;

/* ---- a client ------------------------------------------------------------------------------------ */

struct dialog {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    char line[4096]; /* the last reply, its lines joined with '|' */
};

static int get_byte(struct dialog *d)
{
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    char c;

    if (d->ssl)
        return SSL_read(d->ssl, &c, 1) == 1 ? (unsigned char)c : -1;
    if (poll(&p, 1, WAIT_MS) <= 0)
        return -1;
    return read(d->fd, &c, 1) == 1 ? (unsigned char)c : -1;
}

/* Reads a whole reply; false: the far side is gone. */
static bool listen_to(struct dialog *d)
{
    size_t n = 0, start = 0;
    int c;

    while ((c = get_byte(d)) >= 0 && n < sizeof d->line - 1) {
        if (c == '\r')
            continue;
        if (c != '\n') {
            d->line[n++] = (char)c;
            continue;
        }
        d->line[n] = '\0';
        if (d->line[start + 3] != '-')
            return true;
        d->line[n++] = '|';
        start = n;
    }
    d->line[n] = '\0';
    return false;
}

static void say(struct dialog *d, const char *bytes)
{
    if (d->ssl)
        (void)SSL_write(d->ssl, bytes, (int)strlen(bytes));
    else
        (void)send(d->fd, bytes, strlen(bytes), MSG_NOSIGNAL);
}

static struct dialog dial(const char *url)
{
    struct dialog d = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    to.sin_port = htons((uint16_t)strtol(strrchr(url, ':') + 1, NULL, 10));
    assert_int_equal(connect(d.fd, (struct sockaddr *)&to, sizeof to), 0);
    return d;
}

static void secure(struct dialog *d)
{
    d->ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_file(d->ctx, sim->smtp_ca_file), 1);
    SSL_CTX_set_verify(d->ctx, SSL_VERIFY_PEER, NULL);
    d->ssl = SSL_new(d->ctx);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(d->ssl), "127.0.0.1");
    SSL_set_fd(d->ssl, d->fd);
    if (SSL_connect(d->ssl) != 1)
        fail_msg("TLS with the sink: %s",
                 X509_verify_cert_error_string(SSL_get_verify_result(d->ssl)));
}

static void hang_up(struct dialog *d)
{
    SSL_free(d->ssl);
    SSL_CTX_free(d->ctx);
    close(d->fd);
}

/* A line out, a reply in that starts with `reply` ("": the far side ends the connection). */
static void step(struct dialog *d, const char *line, const char *reply)
{
    bool answered;

    if (line) {
        say(d, line);
        say(d, "\r\n");
    }
    answered = listen_to(d);
    if (!*reply ? answered : !answered || strncmp(d->line, reply, strlen(reply)) != 0)
        fail_msg("after '%s': '%s'; expected '%s'", line ? line : "the start", d->line, reply);
}

/* Up to and with EHLO, over TLS when starttls. */
static struct dialog greet(bool starttls)
{
    struct dialog d = dial(sim->smtp_url);

    step(&d, NULL, "220 ");
    step(&d, "EHLO me.example", "250-");
    if (starttls) {
        step(&d, "STARTTLS", "220 ");
        secure(&d);
        step(&d, "EHLO me.example", "250-");
    }
    return d;
}

static void envelope(struct dialog *d)
{
    step(d, "MAIL FROM:<a@b.example> BODY=8BITMIME", "250 ");
    step(d, "RCPT TO:<soc@corp.example>", "250 ");
    step(d, "DATA", "354 ");
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* the sink hangs up while we write */
    sim = sim_start(&(struct sim_options){
        .args = (const char *const[]){"--smtp-user", "cordon", "--smtp-password", "pä$s", NULL}});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_stop(sim);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    sim_tell(sim, "/reset", "{}");
    return 0;
}

/* base64 of "\0cordon\0pä$s" */
#define PLAIN "AUTH PLAIN AGNvcmRvbgBww6Qkcw=="

/* ---- what it does when all is well ------------------------------------------------------------------ */

static void test_sim_smtp__takes_a_mail_over_starttls(void **state)
{
    struct dialog d = greet(false);
    AUTO(json_freep) struct json *mails = NULL;
    const struct json *m;

    (void)state;
    assert_non_null(strstr(d.line, "STARTTLS"));
    assert_null(strstr(d.line, "AUTH")); /* not in the clear */
    step(&d, PLAIN, "538 ");
    step(&d, "STARTTLS", "220 ");
    secure(&d);
    step(&d, "MAIL FROM:<a@b.example>", "503 "); /* what was said before TLS is forgotten */
    step(&d, "EHLO me.example", "250-");
    assert_null(strstr(d.line, "STARTTLS"));
    assert_non_null(strstr(d.line, "AUTH PLAIN LOGIN"));
    step(&d, "MAIL FROM:<a@b.example>", "530 5.7.57");
    step(&d, PLAIN, "235 ");
    step(&d, "MAIL FROM:<a@b.example> SIZE=100", "250 ");
    step(&d, "RCPT TO:<soc@corp.example>", "250 ");
    step(&d, "RCPT TO:<desk@corp.example>", "250 ");
    step(&d, "DATA", "354 ");
    say(&d, "Subject: x\r\n\r\n..one dot\r\nend.\r\n.\n still\r\n...\r\n");
    step(&d, ".", "250 ");
    step(&d, "QUIT", "221 ");
    hang_up(&d);

    mails = sim_wait_mails(sim, 1, WAIT_MS);
    m = json_first(json_get(mails, "mails"));
    assert_string_equal(json_get_string(m, "from"), "a@b.example");
    assert_int_equal(json_count(json_get(m, "rcpt")), 2);
    assert_string_equal(json_string(json_first(json_get(m, "rcpt"))), "soc@corp.example");
    assert_string_equal(json_get_string(m, "helo"), "me.example");
    assert_string_equal(json_get_string(m, "user"), "cordon");
    assert_true(json_is_true(json_get(m, "tls")));
    assert_true(json_is_true(json_get(m, "confirmed")));
    /* only CR LF . CR LF ends a mail; one dot at the start of a line is taken away */
    assert_string_equal(json_get_string(m, "raw"),
                        "Subject: x\r\n\r\n.one dot\r\nend.\r\n\n still\r\n..\r\n");
}

static void test_sim_smtp__takes_a_mail_over_implicit_tls(void **state)
{
    struct dialog d = dial(sim->smtps_url);
    AUTO(json_freep) struct json *mails = NULL;

    (void)state;
    secure(&d);
    step(&d, NULL, "220 ");
    step(&d, "EHLO me.example", "250-");
    step(&d, "AUTH LOGIN", "334 VXNlcm5hbWU6");
    step(&d, "Y29yZG9u", "334 UGFzc3dvcmQ6");
    step(&d, "cMOkJHM=", "235 ");
    envelope(&d);
    step(&d, "\xff\r\n.", "250 ");
    hang_up(&d);
    mails = sim_wait_mails(sim, 1, WAIT_MS);
    assert_int_equal(json_type(json_get(json_first(json_get(mails, "mails")), "raw")), JSON_NULL);
    assert_string_equal(json_get_string(json_first(json_get(mails, "mails")), "raw_base64"),
                        "/w0K");
}

static void test_sim_smtp__demands_a_good_login(void **state)
{
    struct dialog d = greet(true);
    AUTO(json_freep) struct json *session = NULL;

    (void)state;
    step(&d, "AUTH PLAIN AGNvcmRvbgB3cm9uZw==", "535 5.7.3");
    step(&d, "AUTH PLAIN", "334");
    step(&d, "*", "501 ");
    step(&d, "AUTH CRAM-MD5", "504 ");
    step(&d, "AUTH PLAIN", "334");
    step(&d, "AGNvcmRvbgBww6Qkcw==", "235 ");
    step(&d, PLAIN, "503 ");
    hang_up(&d);
    session = sim_get(sim, "/smtp");
    assert_true(json_count(json_get(session, "commands")) >= 7);
    JSON_EACH (line, json_get(session, "commands"))
        assert_null(strstr(json_string(line), "AGNvcmRvbg"));
}

static void test_sim_smtp__keeps_commands_in_order(void **state)
{
    struct dialog d = greet(true);

    (void)state;
    step(&d, PLAIN, "235 ");
    step(&d, "RCPT TO:<a@b.example>", "503 ");
    step(&d, "DATA", "503 ");
    step(&d, "MAIL FROM:a@b.example", "501 ");
    step(&d, "MAIL FROM:<a b@c.example>", "501 ");
    step(&d, "MAIL FROM:<a@b.example> X=1", "555 ");
    step(&d, "MAIL FROM:<a@b.example> SIZE=999999999", "552 ");
    step(&d, "MAIL FROM:<>", "250 ");
    step(&d, "MAIL FROM:<a@b.example>", "503 ");
    step(&d, "RCPT TO:<>", "501 ");
    step(&d, "DATA", "554 ");
    step(&d, "RSET", "250 ");
    step(&d, "NOOP", "250 ");
    step(&d, "WHO", "500 ");
    hang_up(&d);
}

static void test_sim_smtp__knows_xoauth2(void **state)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    static const char form[] =
        "client_id=5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13&grant_type=client_credentials"
        "&client_secret=sIm~8Q.a_b%2Bc%2Fd%3De%25f%26g"
        "&scope=https%3A%2F%2Foutlook.office365.com%2F.default";
    AUTO(json_freep) struct json *doc = NULL;
    AUTO(buf_clear) struct buf line = BUF_INIT(1 << 16);
    unsigned char text[8192], encoded[12000];
    struct fetched f;
    struct dialog d;
    char url[300];
    int n;

    (void)state;
    sim_tell(sim, "/config", "{\"smtp\":{\"xoauth2\":true}}");
    sim_tell(sim, "/clients",
             "{\"client_id\":\"5d1f6c2e-8f3b-4a7d-9c11-2e4b6a8c0d13\","
             "\"exchange_roles\":[\"SMTP.SendAsApp\"]}");
    snprintf(url, sizeof url, "%s/%s/oauth2/v2.0/token", sim->login_url, sim->tenant_id);
    assert_true(fetch(&f, "POST", url, headers, form, strlen(form), WAIT_MS));
    assert_int_equal(json_parse(f.body, f.body_len, &doc, NULL), ERR_OK);
    n = snprintf((char *)text, sizeof text,
                 "user=soc@corp.example\x01"
                 "auth=Bearer %s\x01\x01",
                 json_get_string(doc, "access_token"));
    EVP_EncodeBlock(encoded, text, n);
    buf_addf(&line, "AUTH XOAUTH2 %s", (char *)encoded);
    fetched_clear(&f);

    d = greet(true);
    assert_non_null(strstr(d.line, "XOAUTH2"));
    step(&d, "AUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHgBAQ==", "334 eyJzdGF0dXMi"); /* section 9.3 */
    step(&d, "", "535 5.7.3");
    step(&d, buf_text(&line), "235 ");
    hang_up(&d);
}

/* ---- what it does when told to misbehave ------------------------------------------------------------- */

static void test_sim_smtp__rejects_as_told(void **state)
{
    struct dialog d;

    (void)state;
    sim_tell(
        sim, "/config",
        "{\"smtp\":{\"reject\":{\"x@corp.example\":\"550 5.1.1 nobody\","
        "\"y@corp.example\":\"451 4.2.0 later\"},\"starttls\":false,\"data_reply\":\"554 5.6.0 no\"}}");
    d = greet(false);
    assert_null(strstr(d.line, "STARTTLS"));
    step(&d, "STARTTLS", "502 ");
    step(&d, PLAIN, "235 "); /* offered in the clear where there is no TLS */
    step(&d, "MAIL FROM:<a@b.example>", "250 ");
    step(&d, "RCPT TO:<X@corp.example>", "550 5.1.1 nobody");
    step(&d, "RCPT TO:<y@corp.example>", "451 4.2.0 later");
    step(&d, "RCPT TO:<z@corp.example>", "250 ");
    step(&d, "DATA", "354 ");
    step(&d, "x\r\n.", "554 5.6.0 no");
    hang_up(&d);
    assert_int_equal(sim_state(sim, "mails"), 0);
}

static void test_sim_smtp__misbehaves_as_often_as_told(void **state)
{
    static const struct {
        const char *tune, *greeting;
    } rows[] = {
        {"\"connect\":\"421 4.3.2 try later\"", "421 4.3.2"},
        {"\"drop\":\"connect\"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sim_tell(sim, "/config", "{\"smtp\":{\"connect\":null,\"drop\":null}}");
        sim_tellf(sim, "/config", "{\"smtp\":{\"count\":2,%s}}", rows[i].tune);
        for (int n = 0; n < 2; n++) {
            struct dialog d = dial(sim->smtp_url);

            step(&d, NULL, rows[i].greeting);
            hang_up(&d);
        }
        {
            struct dialog d = dial(sim->smtp_url);

            step(&d, NULL, "220 ");
            hang_up(&d);
        }
    }
}

static void test_sim_smtp__refuses_starttls_and_login_as_told(void **state)
{
    struct dialog d;

    (void)state;
    sim_tell(
        sim, "/config",
        "{\"smtp\":{\"starttls_refused\":true,\"auth_refused\":\"535 5.7.139 off\",\"count\":1}}");
    d = greet(false);
    step(&d, "STARTTLS", "454 ");
    hang_up(&d);
    sim_tell(sim, "/config", "{\"smtp\":{\"starttls_refused\":false,\"count\":1}}");
    d = greet(true);
    step(&d, PLAIN, "535 5.7.139 off");
    hang_up(&d);
    d = greet(true);
    step(&d, PLAIN, "235 ");
    hang_up(&d);
}

static void test_sim_smtp__drops_around_the_final_reply(void **state)
{
    AUTO(json_freep) struct json *mails = NULL;
    struct dialog d;

    (void)state;
    sim_tell(sim, "/config", "{\"smtp\":{\"drop\":\"before_250\"}}");
    d = greet(true);
    step(&d, PLAIN, "235 ");
    envelope(&d);
    step(&d, "x\r\n.", "");
    hang_up(&d);
    assert_int_equal(sim_state(sim, "mails"), 0);
    sim_tell(sim, "/config", "{\"smtp\":{\"drop\":\"after_data\"}}");
    d = greet(true);
    step(&d, PLAIN, "235 ");
    envelope(&d);
    step(&d, "x\r\n.", "");
    hang_up(&d);
    mails = sim_wait_mails(sim, 1, WAIT_MS);
    assert_false(json_is_true(json_get(json_first(json_get(mails, "mails")), "confirmed")));
}

static void test_sim_smtp__hangs_and_still_ends(void **state)
{
    struct dialog d = dial(sim->smtp_url);
    struct pollfd p = {.events = POLLIN};

    (void)state;
    step(&d, NULL, "220 ");
    hang_up(&d);
    sim_tell(sim, "/config", "{\"smtp\":{\"hang\":\"connect\"}}");
    d = dial(sim->smtp_url); /* left open: the sink must end all the same, in teardown */
    p.fd = d.fd;
    assert_int_equal(poll(&p, 1, 50), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_sim_smtp__takes_a_mail_over_starttls),
        TEST(test_sim_smtp__takes_a_mail_over_implicit_tls),
        TEST(test_sim_smtp__demands_a_good_login),
        TEST(test_sim_smtp__keeps_commands_in_order),
        TEST(test_sim_smtp__knows_xoauth2),
        TEST(test_sim_smtp__rejects_as_told),
        TEST(test_sim_smtp__misbehaves_as_often_as_told),
        TEST(test_sim_smtp__refuses_starttls_and_login_as_told),
        TEST(test_sim_smtp__drops_around_the_final_reply),
        TEST(test_sim_smtp__hangs_and_still_ends),
    };

    return cmocka_run_group_tests_name("sim_smtp", tests, setup, teardown);
}
