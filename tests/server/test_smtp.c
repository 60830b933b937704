/* test_smtp.c - SMTP through the child process, against a server that behaves, misbehaves and attacks.
 *
 * What counts is what the server heard: the message byte for byte, or nothing at all. The child is this
 * program, started again with the word `smtp-child`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "kit/look.h"
#include "kit/smtp_peer.h"
#include "smtp.h"

#define MESSAGE_BEGINS                                                                             \
    "From: cordon@contoso.example\r\n"                                                             \
    "To: a@contoso.example\r\n"                                                                    \
    "Subject: hello\r\n"                                                                           \
    "Date: Tue, 01 Jul 2025 12:00:00 +0000\r\n"                                                    \
    "Message-ID: <1@contoso.example>\r\n"                                                          \
    "X-Cordon-Case: 1\r\n"                                                                         \
    "MIME-Version: 1.0\r\n"                                                                        \
    "Content-Type: text/plain\r\n"                                                                 \
    "\r\n"                                                                                         \
    "a line\r\n"
#define MESSAGE                                                                                    \
    MESSAGE_BEGINS                                                                                 \
    ".\r\n"                                                                                        \
    "..\r\n"                                                                                       \
    ".dot first\r\n"                                                                               \
    "the end\r\n"
/* On the wire each line that starts with a dot has one more (RFC 5321 section 4.5.2). */
#define MESSAGE_ON_WIRE                                                                            \
    MESSAGE_BEGINS                                                                                 \
    "..\r\n"                                                                                       \
    "...\r\n"                                                                                      \
    "..dot first\r\n"                                                                              \
    "the end\r\n"

#define PASSWORD "correct horse"

static const char *const three[] = {"a@contoso.example", "b@contoso.example", "c@contoso.example"};

struct fixture {
    char dir[200], ca_file[220];
    struct smtp_ca *ca;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    if (!f)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "%s/smtp.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->ca_file, sizeof f->ca_file, "%s/ca.pem", f->dir);
    f->ca = smtp_ca_new(f->ca_file);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    (void)unlink(f->ca_file);
    (void)rmdir(f->dir);
    smtp_ca_free(f->ca);
    free(f);
    return 0;
}

static struct smtp_job job_for(const struct fixture *f, const struct smtp_peer *peer)
{
    return (struct smtp_job){
        .host = "localhost",
        .port = smtp_peer_port(peer),
        .ca_file = f->ca_file,
        .helo = "cordon.contoso.example",
        .timeout_ms = 60000,
        .from = "cordon@contoso.example",
        .to = three,
        .to_count = 3,
        .message = MESSAGE,
        .message_len = sizeof MESSAGE - 1,
    };
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!has((text), (part)))                                                                  \
            fail_msg("\"%s\" is not in:\n%s", (part), (text));                                     \
    } while (0)
#define assert_has_not(text, part)                                                                 \
    do {                                                                                           \
        if (has((text), (part)))                                                                   \
            fail_msg("\"%s\" is in:\n%s", (part), (text));                                         \
    } while (0)

/* ---- what is sent ---------------------------------------------------------------------------- */

static void test_smtp__delivers_the_message_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer =
        smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .auth = "PLAIN LOGIN"});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    struct err e = {0};
    const char *bytes;
    size_t len;

    job.username = "cordon@contoso.example";
    job.password = PASSWORD;
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(results[i].fate, MAIL_SENT);
        assert_int_equal(results[i].smtp_code, 250);
        assert_string_equal(results[i].text, "250 2.0.0 queued as 1");
        assert_false(results[i].maybe_sent);
    }
    assert_string_equal(smtp_peer_heard(peer),
                        "(connected)\n"
                        "EHLO cordon.contoso.example\n"
                        "STARTTLS\n"
                        "(TLS sni=localhost)\n"
                        "EHLO cordon.contoso.example\n"
                        /* \0cordon@contoso.example\0correct horse */
                        "AUTH PLAIN AGNvcmRvbkBjb250b3NvLmV4YW1wbGUAY29ycmVjdCBob3JzZQ==\n"
                        "MAIL FROM:<cordon@contoso.example>\n"
                        "RCPT TO:<a@contoso.example>\n"
                        "RCPT TO:<b@contoso.example>\n"
                        "RCPT TO:<c@contoso.example>\n"
                        "DATA\n"
                        "(message)\n"
                        "QUIT\n");
    bytes = smtp_peer_message(peer, 0, &len);
    assert_non_null(bytes);
    assert_int_equal(len, sizeof MESSAGE_ON_WIRE - 1);
    assert_memory_equal(bytes, MESSAGE_ON_WIRE, len);
    assert_null(smtp_peer_message(peer, 1, &len));
    smtp_peer_free(peer);
}

static void test_smtp__delivers_a_large_message_whole(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    const size_t lines = 60000, line = 72;
    size_t head = sizeof "Subject: big\r\n\r\n" - 1, len;
    char *message = malloc(head + lines * line + 1);
    const char *bytes;

    assert_non_null(message);
    memcpy(message, "Subject: big\r\n\r\n", head);
    for (size_t i = 0; i < lines; i++)
        (void)snprintf(message + head + i * line, line + 1, "%069zu.\r\n", i);
    job.message = message;
    job.message_len = head + lines * line;
    assert_int_equal(smtp_send(NULL, &job, results, NULL, NULL), ERR_OK);
    assert_int_equal(results[2].fate, MAIL_SENT);
    bytes = smtp_peer_message(peer, 0, &len);
    assert_non_null(bytes);
    /* libesmtp adds the headers that every message must have; everything else is ours. */
    assert_true(len > job.message_len);
    assert_memory_equal(bytes + len - lines * line, message + head, lines * line);
    free(message);
    smtp_peer_free(peer);
}

static void test_smtp__logs_in_with_login_where_plain_is_not_offered(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer =
        smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .auth = "GSSAPI NTLM LOGIN"});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    const char *heard;

    job.username = "cordon";
    job.password = PASSWORD;
    assert_int_equal(smtp_send(NULL, &job, results, NULL, NULL), ERR_OK);
    assert_int_equal(results[0].fate, MAIL_SENT);
    heard = smtp_peer_heard(peer);
    assert_has(heard, "AUTH LOGIN");
    assert_has(heard, "\nY29ycmVjdCBob3JzZQ==\n"); /* the password alone */
    assert_has_not(heard, "NTLM");
    smtp_peer_free(peer);
}

/* Accounts get locked: told no, the same password is not tried with the next mechanism. */
static void test_smtp__a_wrong_password_is_tried_once(void **state)
{
    static const struct {
        const char *offered, *refusal, *text;
        int logins;
        enum err_code code;
    } row[] = {
        {"PLAIN LOGIN", "535 5.7.8 no\r\n", "login as cordon refused: 535 5.7.8 no; wrong", 1,
         ERR_DENIED},
        {"PLAIN LOGIN", "454 4.7.0 later\r\n", "login as cordon: 454 4.7.0 later", 1, ERR_AGAIN},
        {"LOGIN PLAIN", "535 5.7.8 no\r\n", "login as cordon refused: 535 5.7.8 no; wrong", 1,
         ERR_DENIED},
        {"PLAIN LOGIN", "504 5.5.4 no such mechanism\r\n", "504 5.5.4 no such mechanism", 2,
         ERR_DENIED},
    };
    struct fixture *f = *state;

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
            .ca = f->ca,
            .auth = row[r].offered,
            .rules = (const struct smtp_peer_rule[]){{"AUTH", row[r].refusal, 0, 0}, {0}}});
        struct smtp_job job = job_for(f, peer);
        struct mail_result results[3];
        struct err e = {0};
        int logins = 0;

        job.username = "cordon";
        job.password = PASSWORD;
        assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), row[r].code);
        if (strncmp(e.text, row[r].text, strlen(row[r].text)) != 0 && !has(e.text, row[r].text))
            fail_msg("%s", e.text);
        for (const char *p = smtp_peer_heard(peer); (p = strstr(p, "\nAUTH ")); p++)
            logins++;
        assert_int_equal(logins, row[r].logins);
        smtp_peer_free(peer);
    }
}

/* BDAT, pipelining, NTLM and XUSR are what libesmtp does badly: offered, even byte by byte, none is used. */
static void test_smtp__uses_none_of_the_extensions_that_the_library_does_badly(void **state)
{
    struct fixture *f = *state;
    const char *extensions = "250-PIPELINING\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-XUSR\r\n"
                             "250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE 10000000\r\n"
                             "250-8BITMIME\r\n250-ETRN\r\n250-SMTPUTF8\r\n250-AUTH=NTLM LOGIN\r\n";

    for (int drip = 0; drip < 2; drip++) {
        struct smtp_peer *peer =
            smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca,
                                                      .auth = "NTLM CRAM-MD5 XOAUTH2 PLAIN",
                                                      .extensions = extensions,
                                                      .drip = drip});
        struct smtp_job job = job_for(f, peer);
        struct mail_result results[3];
        const char *heard;
        size_t len;

        job.username = "cordon";
        job.password = PASSWORD;
        assert_int_equal(smtp_send(NULL, &job, results, NULL, NULL), ERR_OK);
        assert_int_equal(results[0].fate, MAIL_SENT);
        heard = smtp_peer_heard(peer);
        assert_has_not(heard, "BDAT");
        assert_has_not(heard, "NTLM");
        assert_has_not(heard, "XUSR");
        assert_has(heard, "\nDATA\n(message)\n");
        assert_memory_equal(smtp_peer_message(peer, 0, &len), MESSAGE_ON_WIRE,
                            sizeof MESSAGE_ON_WIRE - 1);
        smtp_peer_free(peer);
    }
}

static void test_smtp__a_probe_logs_in_and_sends_nothing(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer =
        smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .auth = "PLAIN"});
    struct smtp_job job = job_for(f, peer);
    char what[160] = "";
    const char *heard;

    job.username = "cordon";
    job.password = PASSWORD;
    job.probe = true;
    job.to_count = 0;
    assert_int_equal(smtp_send(NULL, &job, NULL, what, NULL), ERR_OK);
    assert_string_equal(what, "TLSv1.2, logged in as cordon");
    heard = smtp_peer_heard(peer);
    assert_has(heard, "AUTH PLAIN");
    assert_has_not(heard, "MAIL");
    smtp_peer_free(peer);
}

/* ---- one recipient among three ---------------------------------------------------------------- */

static void test_smtp__gives_each_recipient_the_fate_that_the_server_gave_it(void **state)
{
    static const struct {
        const char *label;
        struct smtp_peer_rule rules[4];
        enum mail_fate fate[3];
        int code[3];
        const char *text; /* in the second one's */
        bool maybe_sent;
    } row[] = {
        {"one of three refused",
         {{"RCPT TO:<b@", "550 5.1.1 no such user here\r\n", 0, 0}},
         {MAIL_SENT, MAIL_REFUSED, MAIL_SENT},
         {250, 550, 250},
         "550 5.1.1 no such user here",
         false},
        {"one of three greylisted",
         {{"RCPT TO:<b@", "451 4.7.1 come back later\r\n", 0, 0}},
         {MAIL_SENT, MAIL_RETRY, MAIL_SENT},
         {250, 451, 250},
         "451 4.7.1 come back later",
         false},
        {"one mailbox full",
         {{"RCPT TO:<b@", "552 5.2.2 over quota\r\n", 0, 0}},
         {MAIL_SENT, MAIL_RETRY, MAIL_SENT},
         {250, 552, 250},
         "the mailbox is full: 552 5.2.2 over quota",
         false},
        {"all refused: no message is sent",
         {{"RCPT TO:<b@", "550 5.1.1 who?\r\n", 0, 0},
          {"RCPT", "550-5.1.10 not\r\n550 5.1.10 here\r\n", 0, 0}},
         {MAIL_REFUSED, MAIL_REFUSED, MAIL_REFUSED},
         {550, 550, 550},
         "550 5.1.1 who?",
         false},
        {"one refused, the others unanswered: the server drops",
         {{"RCPT TO:<b@", "550 5.1.1 no\r\n", 0, 0}, {".", NULL, PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_REFUSED, MAIL_RETRY},
         {0, 550, 0},
         "550 5.1.1 no",
         true},
        {"the sender is not taken: a person can cure that",
         {{"MAIL", "550 5.7.1 not from you\r\n", 0, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {550, 550, 550},
         "the server does not take this sender: 550 5.7.1 not from you",
         false},
        {"the message is refused for its content",
         {{".", "554 5.7.1 this is spam\r\n", 0, 0}},
         {MAIL_REFUSED, MAIL_REFUSED, MAIL_REFUSED},
         {554, 554, 554},
         "554 5.7.1 this is spam",
         false},
        {"SendAsDenied after the message",
         {{".", "554 5.2.252 SendAsDenied\r\n", 0, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {554, 554, 554},
         "this login may not send as mail.from: 554 5.2.252 SendAsDenied",
         false},
        {"the message cannot be taken now",
         {{".", "452 4.3.1 disk full\r\n", 0, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {452, 452, 452},
         "452 4.3.1 disk full",
         false},
        {"DATA cannot be taken now",
         {{"DATA", "421 4.3.2 shutting down\r\n", PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {421, 421, 421},
         "421 4.3.2 shutting down",
         false},
        {"dropped after 354: 354 is no success",
         {{"DATA", "354 go\r\n", PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {0, 0, 0},
         "no answer",
         true}, /* all may have been in its buffers */
        {"dropped after the message",
         {{".", NULL, PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {0, 0, 0},
         "no answer (waiting for the answer to the message)",
         true},
        {"dropped within the reply to the message",
         {{".", "25", PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {0, 0, 0},
         "no answer",
         true},
        {"dropped within a reply of several lines",
         {{".", "250-2.0.0 we\r\n", PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {0, 0, 0},
         "no answer",
         true},
        {"dropped after RCPT",
         {{"RCPT TO:<b@", NULL, PEER_CLOSE, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {0, 0, 0},
         "no answer (naming a recipient)",
         false},
        {"503 for the message",
         {{".", "503 5.5.1 sequence\r\n", 0, 0}},
         {MAIL_RETRY, MAIL_RETRY, MAIL_RETRY},
         {503, 503, 503},
         "the two sides lost step: 503 5.5.1 sequence",
         false},
        {"QUIT is not answered: sent is sent",
         {{"QUIT", NULL, PEER_HANG, 0}},
         {MAIL_SENT, MAIL_SENT, MAIL_SENT},
         {250, 250, 250},
         "250 2.0.0 queued as 1",
         false},
        {"an answer of several lines",
         {{".", "250-2.0.0 queued\r\n250-2.0.0 as\r\n250 2.0.0 2\r\n", 0, 0}},
         {MAIL_SENT, MAIL_SENT, MAIL_SENT},
         {250, 250, 250},
         "250 2.0.0 queued 2.0.0 as 2.0.0 2",
         false},
        {"controls and overlong words in an answer",
         {{"RCPT TO:<b@",
           "550 5.1.1 \x1b[31mred\a \xe2\x80\xae"
           "evil\r\n",
           0, 0}},
         {MAIL_SENT, MAIL_REFUSED, MAIL_SENT},
         {250, 550, 250},
         "550 5.1.1  [31mred  [U+202E]evil",
         false},
    };
    struct fixture *f = *state;

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct smtp_peer *peer =
            smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .rules = row[r].rules});
        struct smtp_job job = job_for(f, peer);
        struct mail_result results[3];
        struct err e = {0};
        enum err_code code = smtp_send(NULL, &job, results, NULL, &e);
        const char *heard = smtp_peer_heard(peer);

        if (code != ERR_OK)
            fail_msg("%s: %s, heard:\n%s", row[r].label, e.text, heard);
        for (int i = 0; i < 3; i++)
            if (results[i].fate != row[r].fate[i] || results[i].smtp_code != row[r].code[i] ||
                results[i].maybe_sent != (row[r].maybe_sent && results[i].fate == MAIL_RETRY))
                fail_msg("%s: recipient %d: %s %d %s %s", row[r].label, i,
                         mail_fate_name(results[i].fate), results[i].smtp_code,
                         results[i].maybe_sent ? "maybe" : "", results[i].text);
        if (!has(results[1].text, row[r].text))
            fail_msg("%s: \"%s\"", row[r].label, results[1].text);
        if (!strcmp(row[r].label, "all refused: no message is sent"))
            assert_has_not(heard, "DATA");
        smtp_peer_free(peer);
    }
}

/* ---- no recipient reached --------------------------------------------------------------------- */

static void test_smtp__says_why_no_recipient_was_reached_and_sends_nothing(void **state)
{
    static const struct {
        const char *label;
        struct smtp_peer_rule rules[3];
        const char *auth, *names;
        bool login, stripped, self_signed, expired, implicit;
        int tls_min;
        const char *host;
        enum err_code code;
        const char *text;
        const char *never; /* not to be heard, beside MAIL */
    } row[] = {
        {.label = "STARTTLS is stripped",
         .stripped = true,
         .login = true,
         .auth = "PLAIN",
         .code = ERR_AGAIN,
         .text = "does not offer STARTTLS",
         .never = "AUTH"},
        {.label = "STARTTLS is stripped and AUTH offered in plain text",
         .stripped = true,
         .login = true,
         .rules = {{"EHLO", "250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "does not offer STARTTLS",
         .never = "AUTH"},
        {.label = "EHLO is refused: HELO knows no STARTTLS",
         .login = true,
         .rules = {{"EHLO", "502 5.5.1 what?\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "the connection is not encrypted; nothing was sent|"
                 "does not offer STARTTLS",
         .never = "AUTH"},
        {.label = "STARTTLS is refused",
         .login = true,
         .rules = {{"STARTTLS", "454 4.7.0 TLS not available\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "454 4.7.0 TLS not available",
         .never = "AUTH"},
        {.label = "STARTTLS is answered with a 250",
         .login = true,
         .rules = {{"STARTTLS", "501 no\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "501 no",
         .never = "AUTH"},
        {.label = "replies injected behind 220",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"STARTTLS",
                    "220 ready\r\n250-mail.evil\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n"
                    "250 ok\r\n354 ok\r\n250 sent\r\n",
                    0, 0}},
         .code = ERR_AGAIN,
         .text = "an attack on STARTTLS",
         .never = "AUTH"},
        {.label = "replies injected behind EHLO",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"EHLO", "250-mail.test\r\n250 STARTTLS\r\n220 ready\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "out of turn",
         .never = "STARTTLS"},
        {.label = "the greeting and more",
         .login = true,
         .rules = {{"", "220 mail.test\r\n250 ok\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "out of turn",
         .never = "EHLO"},
        {.label = "a certificate for another host",
         .login = true,
         .auth = "PLAIN",
         .names = "DNS:mail.fabrikam.example,DNS:*.fabrikam.example",
         .code = ERR_AGAIN,
         .text = "it is not for localhost but for mail.fabrikam.example, *.fabrikam.example",
         .never = "AUTH"},
        {.label = "a certificate for another address",
         .names = "DNS:localhost,IP:127.0.0.9",
         .host = "127.0.0.1",
         .code = ERR_AGAIN,
         .text = "it is not for 127.0.0.1",
         .never = "AUTH"},
        {.label = "a certificate that nobody signed",
         .self_signed = true,
         .login = true,
         .auth = "PLAIN",
         .code = ERR_AGAIN,
         .text = "certificate",
         .never = "AUTH"},
        {.label = "a certificate that has expired",
         .expired = true,
         .login = true,
         .auth = "PLAIN",
         .code = ERR_AGAIN,
         .text = "expired",
         .never = "AUTH"},
        {.label = "a server that speaks TLS 1.3 alone",
         .tls_min = TLS1_3_VERSION,
         .login = true,
         .auth = "PLAIN",
         .code = ERR_AGAIN,
         .text = "takes no TLS 1.2",
         .never = "AUTH"},
        {.label = "a server that speaks TLS from the first byte",
         .implicit = true,
         .rules = {{"TLS", NULL, PEER_CLOSE, 0}},
         .code = ERR_AGAIN,
         .text = "hung up",
         .never = "EHLO"},
        {.label = "the handshake breaks off",
         .rules = {{"TLS", NULL, PEER_CLOSE, 0}},
         .code = ERR_AGAIN,
         .text = "the TLS handshake with localhost failed",
         .never = "AUTH"},
        {.label = "the greeting turns us away",
         .login = true,
         .rules = {{"", "554 5.3.2 no service here\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "554 5.3.2 no service here",
         .never = "STARTTLS"},
        {.label = "the greeting is no SMTP",
         .rules = {{"", "HTTP/1.1 400 Bad Request\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "does not speak SMTP",
         .never = "EHLO"},
        {.label = "the server hangs up at once",
         .rules = {{"", NULL, PEER_CLOSE, 0}},
         .code = ERR_AGAIN,
         .text = "hung up",
         .never = "EHLO"},
        {.label = "the login is wrong",
         .login = true,
         .auth = "PLAIN LOGIN",
         .rules = {{"AUTH", "535 5.7.3 Authentication unsuccessful\r\n", 0, 0}},
         .code = ERR_DENIED,
         .text = "login as cordon refused: 535 5.7.3 Authentication unsuccessful; wrong user name",
         .never = "RCPT"},
        {.label = "basic authentication is over",
         .login = true,
         .auth = "LOGIN",
         .rules = {{"AUTH", "550 5.7.30 Basic authentication is not supported\r\n", 0, 0}},
         .code = ERR_DENIED,
         .text = "basic authentication has been switched off there",
         .never = "RCPT"},
        {.label = "refused after a dialogue",
         .login = true,
         .auth = "LOGIN",
         .rules = {{"AUTH-END", "535 5.7.8 no\r\n", 0, 0}},
         .code = ERR_DENIED,
         .text = "login as cordon refused: 535 5.7.8 no; wrong user name or password",
         .never = "RCPT"},
        {.label = "SMTP AUTH is switched off for the tenant",
         .login = true,
         .auth = "LOGIN",
         .rules = {{"AUTH", "535 5.7.139 SmtpClientAuthentication is disabled\r\n", 0, 0}},
         .code = ERR_DENIED,
         .text = "SMTP AUTH is switched off for this tenant",
         .never = "RCPT"},
        {.label = "another mechanism is wanted",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"AUTH", "534 5.7.9 too weak\r\n", 0, 0}},
         .code = ERR_DENIED,
         .text = "534 5.7.9 too weak",
         .never = "RCPT"},
        {.label = "the login cannot be checked now",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"AUTH", "454 4.7.0 try again\r\n", 0, 0}},
         .code = ERR_AGAIN,
         .text = "454 4.7.0 try again",
         .never = "RCPT"},
        {.label = "the server offers no login",
         .login = true,
         .code = ERR_DENIED,
         .text = "offers no login",
         .never = "RCPT"},
        {.label = "the server offers none that we know",
         .login = true,
         .auth = "GSSAPI NTLM",
         .code = ERR_DENIED,
         .text = "offered: GSSAPI NTLM",
         .never = "AUTH"},
        {.label = "the server hangs up at the login",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"AUTH", NULL, PEER_CLOSE, 0}},
         .code = ERR_AGAIN,
         .text = "hung up (logging in)",
         .never = "RCPT"},
        {.label = "a server that repeats the command",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"AUTH", "500 5.5.1 unrecognized: AUTH PLAIN AGNvcmRvbgBjb3JyZWN0IGhvcnNl\r\n",
                    0, 0}},
         .code = ERR_DENIED,
         .text = "login as cordon refused: 500",
         .never = "RCPT"},
        {.label = "a server that repeats the password",
         .login = true,
         .auth = "PLAIN",
         .rules = {{"AUTH", "535 5.7.8 " PASSWORD " is wrong\r\n", 0, 0}},
         .code = ERR_DENIED,
         .text = "login as cordon refused: 535",
         .never = "RCPT"},
    };
    struct fixture *f = *state;

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct smtp_peer *peer =
            smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca,
                                                      .implicit_tls = row[r].implicit,
                                                      .stripped = row[r].stripped,
                                                      .names = row[r].names,
                                                      .self_signed = row[r].self_signed,
                                                      .expired = row[r].expired,
                                                      .tls_min = row[r].tls_min,
                                                      .auth = row[r].auth,
                                                      .rules = row[r].rules});
        struct smtp_job job = job_for(f, peer);
        struct mail_result results[3];
        struct err e = {0};
        enum err_code code;
        const char *heard, *bar = strchr(row[r].text, '|');
        char either[80] = "";
        size_t len;

        if (row[r].login) {
            job.username = "cordon";
            job.password = PASSWORD;
        }
        if (row[r].host)
            job.host = row[r].host;
        code = smtp_send(NULL, &job, results, NULL, &e);
        heard = smtp_peer_heard(peer);
        if (bar)
            (void)snprintf(either, sizeof either, "%.*s", (int)(bar - row[r].text), row[r].text);
        if (code != row[r].code ||
            !(bar ? has(e.text, either) || has(e.text, bar + 1) : has(e.text, row[r].text)))
            fail_msg("%s: %s: %s, heard:\n%s", row[r].label, err_name(code), e.text, heard);
        if (has(heard, "MAIL") || has(heard, row[r].never) || smtp_peer_message(peer, 0, &len))
            fail_msg("%s: heard:\n%s", row[r].label, heard);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(results[i].fate, MAIL_RETRY);
            assert_int_equal(results[i].smtp_code, 0);
            assert_false(results[i].maybe_sent);
            assert_memory_equal(results[i].text, e.text, strnlen(results[i].text, 100));
            assert_true(results[i].text[0]);
        }
        if (has(e.text, PASSWORD) || has(e.text, "Y29ycmVjdC") || has(e.text, "AGNvcmRvbg"))
            fail_msg("%s: %s", row[r].label, e.text);
        smtp_peer_free(peer);
    }
}

static void test_smtp__a_port_where_nobody_listens_is_worth_another_try(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    struct err e = {0};

    smtp_peer_free(peer); /* its port is free again */
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_AGAIN);
    assert_has(e.text, "no connection with localhost");
    assert_has(e.text, "refused");
    job.host = "no-such-host.invalid";
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_AGAIN);
    assert_has(e.text, "no connection with no-such-host.invalid");
}

static void test_smtp__an_unreadable_ca_file_is_named(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    struct err e = {0};

    job.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_INVALID);
    assert_has(e.text, "/nonexistent/ca.pem");
    assert_string_equal(smtp_peer_heard(peer), "");
    smtp_peer_free(peer);
}

static void test_smtp__without_a_ca_file_only_the_systems_roots_count(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    struct err e = {0};

    job.ca_file = NULL;
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_AGAIN);
    assert_has(e.text, "the certificate of localhost: ");
    assert_has_not(smtp_peer_heard(peer), "MAIL");
    smtp_peer_free(peer);
}

/* The system's roots are a directory of hashes, a file, or both; either is enough (openssl-verify(1)). */
static void test_smtp__the_systems_roots_are_found_by_hash_and_in_the_file(void **state)
{
    static const struct {
        const char *label;
        bool by_hash, in_file;
        enum err_code code;
    } row[] = {
        {"by hash", true, false, ERR_OK},
        {"in the file", false, true, ERR_OK},
        {"nowhere", false, false, ERR_AGAIN},
    };
    struct fixture *f = *state;
    char roots[220], by_hash[240];
    FILE *file = fopen(f->ca_file, "r");
    X509 *ca = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;

    assert_non_null(ca);
    (void)fclose(file);
    (void)snprintf(roots, sizeof roots, "%s/roots", f->dir);
    (void)snprintf(by_hash, sizeof by_hash, "%s/%08lx.0", roots, X509_subject_name_hash(ca));
    X509_free(ca);
    assert_int_equal(mkdir(roots, 0700), 0);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
        struct smtp_job job = job_for(f, peer);
        struct mail_result results[3];
        struct err e = {0};
        enum err_code code;

        job.ca_file = NULL;
        if (row[i].by_hash)
            assert_int_equal(symlink(f->ca_file, by_hash), 0);
        assert_int_equal(setenv("SSL_CERT_DIR", roots, 1), 0);
        assert_int_equal(setenv("SSL_CERT_FILE", row[i].in_file ? f->ca_file : "/nowhere.pem", 1),
                         0);
        code = smtp_send(NULL, &job, results, NULL, &e);
        (void)unlink(by_hash);
        (void)unsetenv("SSL_CERT_DIR");
        (void)unsetenv("SSL_CERT_FILE");
        if (code != row[i].code)
            fail_msg("%s: %s: %s", row[i].label, err_name(code), e.text);
        assert_int_equal(smtp_peer_message(peer, 0, &(size_t){0}) != NULL, code == ERR_OK);
        smtp_peer_free(peer);
    }
    (void)rmdir(roots);
}

/* ---- loopback --------------------------------------------------------------------------------- */

static void test_smtp__on_loopback_tls_is_used_when_offered_and_not_missed_when_not(void **state)
{
    static const struct {
        const char *label;
        bool tls, stripped, self_signed, with_ca;
        enum err_code code;
    } row[] = {
        {"no TLS at all", false, false, false, false, ERR_OK},
        {"TLS with a good certificate", true, false, false, true, ERR_OK},
        /* A relay on this host with the certificate that Debian made for it. */
        {"TLS with any certificate, no ca_file", true, false, true, false, ERR_OK},
        {"TLS with a bad certificate, ca_file configured", true, false, true, true, ERR_AGAIN},
    };
    struct fixture *f = *state;

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
            .ca = row[r].tls ? f->ca : NULL, .self_signed = row[r].self_signed, .auth = "PLAIN"});
        struct smtp_job job = job_for(f, peer);
        struct mail_result results[3];
        struct err e = {0};
        const char *heard;

        job.plain_ok = true;
        job.host = "127.0.0.1";
        job.username = "cordon";
        job.password = PASSWORD;
        if (!row[r].with_ca)
            job.ca_file = NULL;
        if (smtp_send(NULL, &job, results, NULL, &e) != row[r].code)
            fail_msg("%s: %s", row[r].label, e.text);
        heard = smtp_peer_heard(peer);
        if (has(heard, "(TLS sni=") != (row[r].tls && row[r].code == ERR_OK) ||
            has(heard, "(message)") != (row[r].code == ERR_OK))
            fail_msg("%s: heard:\n%s", row[r].label, heard);
        smtp_peer_free(peer);
    }
}

/* A name that is loopback by its looks alone gets no plain text: here, one that does not resolve to it. */
static void test_smtp__plain_text_needs_a_host_that_resolves_to_loopback(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.auth = "PLAIN"});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    struct err e = {0};

    job.plain_ok = true;
    job.host = "0.0.0.0"; /* connects to this host, but is no loopback address */
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_AGAIN);
    assert_has(e.text, "does not offer STARTTLS");
    assert_has_not(smtp_peer_heard(peer), "MAIL");
    smtp_peer_free(peer);
}

/* ---- the deadline ----------------------------------------------------------------------------- */

static void test_smtp__a_server_that_hangs_is_left_at_the_deadline(void **state)
{
    static const struct {
        const char *label;
        struct smtp_peer_rule rules[2];
        const char *stage;
        bool maybe_sent;
    } row[] = {
        {"greeting", {{"", NULL, PEER_HANG, 0}}, "waiting for the greeting", false},
        {"EHLO", {{"EHLO", NULL, PEER_HANG, 0}}, "saying EHLO", false},
        {"EHLO, half an answer", {{"EHLO", "250-mail", PEER_HANG, 0}}, "saying EHLO", false},
        {"STARTTLS", {{"STARTTLS", NULL, PEER_HANG, 0}}, "starting TLS", false},
        {"handshake", {{"TLS", NULL, PEER_HANG, 0}}, "starting TLS", false},
        {"EHLO in TLS", {{"EHLO", NULL, PEER_HANG, true}}, "saying EHLO", false},
        {"AUTH", {{"AUTH", NULL, PEER_HANG, 0}}, "logging in", false},
        {"MAIL", {{"MAIL", NULL, PEER_HANG, 0}}, "naming the sender", false},
        {"RCPT", {{"RCPT TO:<c", NULL, PEER_HANG, 0}}, "naming a recipient", false},
        {"DATA", {{"DATA", NULL, PEER_HANG, 0}}, "sending the message", false},
        {"the message", {{".", NULL, PEER_HANG, 0}}, "waiting for the answer to the message", true},
    };
    struct fixture *f = *state;

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct mail_result results[3];
        struct err e = {0};
        int64_t timeout_ms = 300;

        /* On a busy host the deadline may come before the stage that is meant: then with more time. */
        for (;; timeout_ms *= 2) {
            struct smtp_peer *peer = smtp_peer_new(
                &(struct smtp_peer_options){.ca = f->ca, .auth = "PLAIN", .rules = row[r].rules});
            struct smtp_job job = job_for(f, peer);
            int64_t started = look_now_ms();
            enum err_code code;

            job.username = "cordon";
            job.password = PASSWORD;
            job.timeout_ms = timeout_ms;
            code = smtp_send(NULL, &job, results, NULL, &e);
            assert_int_equal(code, ERR_TIMEOUT);
            assert_true(look_now_ms() - started >= timeout_ms);
            smtp_peer_free(peer);
            if (has(e.text, row[r].stage))
                break;
            if (timeout_ms > 60000)
                fail_msg("%s: %s", row[r].label, e.text);
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(results[i].fate, MAIL_RETRY);
            if (results[i].maybe_sent != row[r].maybe_sent)
                fail_msg("%s: maybe_sent %d", row[r].label, results[i].maybe_sent);
        }
        /* The child has been reaped: there is none left to wait for. */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
    }
}

static void test_smtp__a_server_that_hangs_is_left_when_the_process_stops(void **state)
{
    static const struct smtp_peer_rule rules[2] = {{"", NULL, PEER_HANG, 0}};
    struct fixture *f = *state;
    struct smtp_peer *peer =
        smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .rules = rules});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    struct err e = {0};
    const uint64_t one = 1;

    job.timeout_ms = 60000;
    job.stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_true(job.stop_fd > 0);
    assert_int_equal(write(job.stop_fd, &one, sizeof one), sizeof one);
    assert_int_equal(smtp_send(NULL, &job, results, NULL, &e), ERR_STOPPING);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(results[i].fate, MAIL_RETRY);
        assert_false(results[i].maybe_sent);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    assert_int_equal(errno, ECHILD);
    (void)close(job.stop_fd);
    smtp_peer_free(peer);
}

/* ---- the child -------------------------------------------------------------------------------- */

static void write_script(char *path, size_t room, const struct fixture *f, const char *text)
{
    FILE *out;

    (void)snprintf(path, room, "%s/helper", f->dir);
    out = fopen(path, "we");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static void test_smtp__a_child_that_fails_is_told_about(void **state)
{
    static const struct {
        const char *label, *script, *text;
        enum err_code code;
        bool maybe_sent;
    } row[] = {
        {"says nothing", "#!/bin/sh\nexit 3\n", "ended with 3 and no outcome (starting)", ERR_IO,
         false},
        {"reads and says nothing", "#!/bin/sh\ncat >/dev/null\n", "ended with 0", ERR_IO, false},
        {"repeats the job", "#!/bin/sh\nexec cat\n", "ended with 0", ERR_IO, false},
        {"dies", "#!/bin/sh\ncat >/dev/null\nkill -SEGV $$\n", "died of signal 11", ERR_IO, false},
        {"dies after the message",
         "#!/bin/sh\ncat >/dev/null\necho '{\"stage\":9}'\nkill -SEGV $$\n",
         "died of signal 11 (waiting for the answer to the message)", ERR_IO, true},
        {"talks nonsense", "#!/bin/sh\necho hello\necho '{'\necho '{\"stage\":99}'\n",
         "ended with 0", ERR_IO, false},
        {"gives an outcome that is none", "#!/bin/sh\necho '{\"outcome\":\"fine\",\"text\":7}'\n",
         "", ERR_IO, false},
        {"never ends its line", "#!/bin/sh\nhead -c 2000000 /dev/zero | tr '\\0' x 2>/dev/null\n",
         "", ERR_IO, false},
    };
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
    struct smtp_job job = job_for(f, peer);
    struct mail_result results[3];
    char helper[240];
    struct err e = {0};

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        enum err_code code;

        write_script(helper, sizeof helper, f, row[r].script);
        code = smtp_send(helper, &job, results, NULL, &e);
        if (code != row[r].code || !has(e.text, row[r].text) ||
            results[2].maybe_sent != row[r].maybe_sent || results[2].fate != MAIL_RETRY)
            fail_msg("%s: %s: %s", row[r].label, err_name(code), e.text);
        assert_has_not(e.text, PASSWORD);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
    (void)unlink(helper);
    assert_int_equal(smtp_send("/nonexistent/cordon", &job, results, NULL, &e), ERR_IO);
    assert_has(e.text, "start /nonexistent/cordon: No such file");
    smtp_peer_free(peer);
}

/* An outcome that lacks recipients, or that calls one sent without libesmtp's word, sends nobody. */
static void test_smtp__sent_needs_every_witness(void **state)
{
    struct fixture *f = *state;
    struct smtp_job job = {.host = "localhost",
                           .port = 1,
                           .helo = "x",
                           .timeout_ms = 10000,
                           .from = "a@b",
                           .to = three,
                           .to_count = 3,
                           .message = MESSAGE,
                           .message_len = sizeof MESSAGE - 1};
    struct mail_result results[3];
    char helper[240];

    write_script(helper, sizeof helper, f,
                 "#!/bin/sh\ncat >/dev/null\n"
                 "echo '{\"outcome\":\"ok\",\"text\":\"\",\"unsure\":false,\"recipients\":["
                 "{\"stage\":9,\"code\":250,\"text\":\"queued\",\"complete\":false},"
                 "{\"stage\":7,\"code\":250,\"text\":\"ok\",\"complete\":true}]}'\n");
    assert_int_equal(smtp_send(helper, &job, results, NULL, NULL), ERR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i].fate, MAIL_RETRY);
    (void)unlink(helper);
}

static void read_whole(const char *path, char *out, size_t room)
{
    FILE *f = fopen(path, "re");
    size_t n;

    assert_non_null(f);
    n = fread(out, 1, room - 1, f);
    out[n] = '\0';
    assert_int_equal(fclose(f), 0);
    (void)unlink(path);
}

static void test_smtp__the_password_is_on_the_childs_stdin_and_nowhere_else(void **state)
{
    struct fixture *f = *state;
    struct smtp_job job = {.host = "localhost",
                           .port = 1,
                           .helo = "x",
                           .timeout_ms = 20000,
                           .from = "a@b",
                           .to = three,
                           .to_count = 1,
                           .message = MESSAGE,
                           .message_len = sizeof MESSAGE - 1,
                           .username = "cordon",
                           .password = PASSWORD};
    struct mail_result results[1];
    char helper[240], path[240], script[1024], text[65536];
    int forgotten;

    /* A descriptor that somebody forgot to mark close-on-exec, and a secret in our environment. */
    (void)snprintf(path, sizeof path, "%s/forgotten", f->dir);
    forgotten = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(forgotten >= 0);
    assert_int_equal(setenv("CORDON_TEST_SECRET", "from the environment", 1), 0);
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\n"
                   "cd %s\n"
                   "tr '\\0' ' ' </proc/$$/cmdline >cmdline\n"
                   "tr '\\0' '\\n' </proc/$$/environ >environ\n"
                   "ls -l /proc/$$/fd >fds\n"
                   "/bin/cat >stdin\n",
                   f->dir);
    write_script(helper, sizeof helper, f, script);
    assert_int_equal(smtp_send(helper, &job, results, NULL, NULL), ERR_IO);

    (void)snprintf(path, sizeof path, "%s/cmdline", f->dir);
    read_whole(path, text, sizeof text);
    assert_has(text, "smtp-child");
    assert_has_not(text, PASSWORD);
    (void)snprintf(path, sizeof path, "%s/environ", f->dir);
    read_whole(path, text, sizeof text);
    assert_has(text, "HOME=/nonexistent");
    assert_has_not(text, PASSWORD);
    assert_has_not(text, "CORDON_TEST_SECRET");
    (void)snprintf(path, sizeof path, "%s/fds", f->dir);
    read_whole(path, text, sizeof text);
    assert_has_not(text, "forgotten");
    (void)snprintf(path, sizeof path, "%s/stdin", f->dir);
    read_whole(path, text, sizeof text);
    assert_has(text, "\"password\":\"" PASSWORD "\"");
    assert_has(text, "}\nFrom: cordon@contoso.example\r\n");
    (void)unlink(helper);
    (void)unsetenv("CORDON_TEST_SECRET");
    (void)close(forgotten);
    (void)snprintf(path, sizeof path, "%s/forgotten", f->dir);
    (void)unlink(path);
}

static void test_smtp__the_child_refuses_what_is_no_job(void **state)
{
    static const struct {
        const char *label, *job;
    } row[] = {
        {"nothing", ""},
        {"no line", "{}"},
        {"no JSON", "hello\n"},
        {"an empty job", "{}\n"},
        {"no recipients",
         "{\"host\":\"h\",\"port\":25,\"helo\":\"x\",\"timeout_ms\":9,\"from\":\"a@b\",\"to\":[]}\n"},
        {"a port out of range",
         "{\"host\":\"h\",\"port\":65536,\"helo\":\"x\",\"timeout_ms\":9,\"from\":\"a@b\","
         "\"to\":[\"c@d\"]}\n"},
        {"a login without a password",
         "{\"host\":\"h\",\"port\":25,\"helo\":\"x\",\"timeout_ms\":9,"
         "\"from\":\"a@b\",\"to\":[\"c@d\"],\"username\":\"u\"}\n"},
        {"a password for another buffer",
         "{\"host\":\"h\",\"port\":25,\"helo\":\"x\",\"timeout_ms\":9,\"from\":\"a@b\",\"to\":[\"c@d\"],"
         "\"username\":\"u\",\"password\":\""
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
         "01234567890123456789012345678901234567890123456789012345678901234567890123456789\"}\n"},
    };

    (void)state;
    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        char path[] = "/proc/self/exe", command[] = "smtp-child";
        char *argv[] = {path, command, NULL};
        int in[2], status = 0;
        pid_t pid;

        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        pid = fork(); /* this test program has one thread here */
        assert_true(pid >= 0);
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

            if (dup2(in[0], 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
                _exit(99);
            (void)execv(path, argv);
            _exit(99);
        }
        (void)close(in[0]);
        (void)!write(in[1], row[r].job, strlen(row[r].job));
        (void)close(in[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 2)
            fail_msg("%s: status %x", row[r].label, status);
    }
}

struct sender {
    pthread_t thread;
    const struct fixture *f;
    const struct smtp_peer *peer;
    enum err_code code;
    enum mail_fate fate;
};

static void *send_from_a_thread(void *arg)
{
    struct sender *s = arg;
    struct smtp_job job = job_for(s->f, s->peer);
    struct mail_result results[3];

    s->code = smtp_send(NULL, &job, results, NULL, NULL);
    s->fate = results[2].fate;
    return NULL;
}

static void test_smtp__threads_send_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca});
    struct sender senders[6];

    for (size_t i = 0; i < 6; i++) {
        senders[i] = (struct sender){.f = f, .peer = peer};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_from_a_thread, &senders[i]),
                         0);
    }
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
        assert_int_equal(senders[i].code, ERR_OK);
        assert_int_equal(senders[i].fate, MAIL_SENT);
    }
    for (size_t i = 0, len; i < 6; i++)
        assert_memory_equal(smtp_peer_message(peer, i, &len), MESSAGE_ON_WIRE,
                            sizeof MESSAGE_ON_WIRE - 1);
    smtp_peer_free(peer);
}

/* ---- the table -------------------------------------------------------------------------------- */

static void test_smtp__a_reply_has_the_fate_that_its_source_gives_it(void **state)
{
    static const struct {
        enum smtp_stage stage;
        int code;
        const char *text;
        enum mail_fate fate;
    } row[] = {
        {SMTP_END, 250, "2.0.0 queued", MAIL_SENT},
        {SMTP_RCPT, 250, "2.1.5 ok", MAIL_RETRY}, /* taken, but the message is not */
        {SMTP_DATA, 354, "go on", MAIL_RETRY},
        {SMTP_CONNECT, 0, "", MAIL_RETRY},
        /* defender-api.md section 9.2 */
        {SMTP_AUTH, 550, "5.7.30 basic auth", MAIL_RETRY},
        {SMTP_AUTH, 535, "5.7.139 switched off", MAIL_RETRY},
        {SMTP_AUTH, 535, "5.7.3 wrong", MAIL_RETRY},
        {SMTP_MAIL, 530, "5.7.57 not authenticated", MAIL_RETRY},
        {SMTP_END, 554, "5.2.252 SendAsDenied", MAIL_RETRY},
        {SMTP_MAIL, 421, "4.3.2", MAIL_RETRY},
        {SMTP_RCPT, 451, "4.7.500 busy", MAIL_RETRY},
        {SMTP_END, 452, "4.2.2", MAIL_RETRY},
        {SMTP_MAIL, 432, "4.3.2 STOREDRV; too many connections", MAIL_RETRY},
        /* section 9.3; Gmail's dash */
        {SMTP_AUTH, 535, "5.7.8 Username and Password not accepted", MAIL_RETRY},
        {SMTP_AUTH, 534, "5.7.9 Application-specific password required", MAIL_RETRY},
        {SMTP_RCPT, 530, "5.7.0 Authentication Required", MAIL_RETRY},
        /* RFC 5321, 3463 */
        {SMTP_RCPT, 550, "5.1.1 no such user", MAIL_REFUSED},
        {SMTP_RCPT, 550, "no such user", MAIL_REFUSED},
        {SMTP_RCPT, 554, "5.7.1 <x@y>: Relay access denied", MAIL_RETRY},
        {SMTP_END, 554, "5.7.1 spam", MAIL_REFUSED},
        {SMTP_RCPT, 553, "5.1.3 bad address", MAIL_REFUSED},
        {SMTP_RCPT, 552, "too many recipients", MAIL_RETRY},
        {SMTP_RCPT, 552, "5.2.2 full", MAIL_RETRY},
        {SMTP_END, 552, "5.3.4 too big", MAIL_REFUSED},
        {SMTP_MAIL, 552, "5.3.4 too big", MAIL_REFUSED},
        {SMTP_MAIL, 550, "5.1.8 bad sender", MAIL_RETRY},
        {SMTP_MAIL, 501, "5.1.7 bad sender", MAIL_RETRY},
        {SMTP_RCPT, 550, "5.1.8 <x@y>: Sender address rejected: Domain not found", MAIL_RETRY},
        {SMTP_RCPT, 553, "5.1.7 <x@y>: Sender address rejected: undeliverable", MAIL_RETRY},
        {SMTP_RCPT, 504, "5.5.2 <3f2a1b>: Helo command rejected: need fully-qualified hostname",
         MAIL_RETRY},
        {SMTP_END, 554, "5.6.0 bad content", MAIL_REFUSED},
        {SMTP_DATA, 503, "5.5.1 sequence", MAIL_RETRY},
        {SMTP_GREETING, 554, "no SMTP service", MAIL_RETRY},
        {SMTP_EHLO, 550, "bad helo", MAIL_RETRY},
        /* near misses of an enhanced code */
        {SMTP_RCPT, 550, "5.7.300 other", MAIL_REFUSED},
        {SMTP_RCPT, 550, "5.7.3000 not a code", MAIL_REFUSED},
        {SMTP_RCPT, 550, "5.7.", MAIL_REFUSED},
        {SMTP_RCPT, 550, "", MAIL_REFUSED},
        {SMTP_RCPT, 999, "what", MAIL_RETRY},
        {SMTP_RCPT, -1, "what", MAIL_RETRY},
    };

    (void)state;
    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        const char *why = NULL;
        enum mail_fate fate = smtp_fate(row[r].stage, row[r].code, row[r].text, &why);

        if (fate != row[r].fate || !why)
            fail_msg("%d %s: %s", row[r].code, row[r].text, mail_fate_name(fate));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smtp__delivers_the_message_byte_for_byte),
        cmocka_unit_test(test_smtp__delivers_a_large_message_whole),
        cmocka_unit_test(test_smtp__logs_in_with_login_where_plain_is_not_offered),
        cmocka_unit_test(test_smtp__a_wrong_password_is_tried_once),
        cmocka_unit_test(test_smtp__uses_none_of_the_extensions_that_the_library_does_badly),
        cmocka_unit_test(test_smtp__a_probe_logs_in_and_sends_nothing),
        cmocka_unit_test(test_smtp__gives_each_recipient_the_fate_that_the_server_gave_it),
        cmocka_unit_test(test_smtp__says_why_no_recipient_was_reached_and_sends_nothing),
        cmocka_unit_test(test_smtp__a_port_where_nobody_listens_is_worth_another_try),
        cmocka_unit_test(test_smtp__an_unreadable_ca_file_is_named),
        cmocka_unit_test(test_smtp__without_a_ca_file_only_the_systems_roots_count),
        cmocka_unit_test(test_smtp__the_systems_roots_are_found_by_hash_and_in_the_file),
        cmocka_unit_test(test_smtp__on_loopback_tls_is_used_when_offered_and_not_missed_when_not),
        cmocka_unit_test(test_smtp__plain_text_needs_a_host_that_resolves_to_loopback),
        cmocka_unit_test(test_smtp__a_server_that_hangs_is_left_at_the_deadline),
        cmocka_unit_test(test_smtp__a_server_that_hangs_is_left_when_the_process_stops),
        cmocka_unit_test(test_smtp__a_child_that_fails_is_told_about),
        cmocka_unit_test(test_smtp__sent_needs_every_witness),
        cmocka_unit_test(test_smtp__the_password_is_on_the_childs_stdin_and_nowhere_else),
        cmocka_unit_test(test_smtp__the_child_refuses_what_is_no_job),
        cmocka_unit_test(test_smtp__threads_send_side_by_side),
        cmocka_unit_test(test_smtp__a_reply_has_the_fate_that_its_source_gives_it),
    };

    if (argc == 2 && !strcmp(argv[1], "smtp-child"))
        return smtp_child_main(STDIN_FILENO, STDOUT_FILENO);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
