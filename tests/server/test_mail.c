/* test_mail.c - the choice of transport, what is refused before anything is sent, fates per recipient. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "kit/look.h"
#include "kit/smtp_peer.h"
#include "mail.h"
#include "rest.h"
#include "smtp.h"

#define MESSAGE  "Subject: x\r\n\r\n.dot\r\n"
#define PASSWORD "correct horse"

struct fixture {
    char dir[200], ca_file[220];
    struct smtp_ca *ca;
    struct rest *rest;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    if (!f)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "%s/mail.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->ca_file, sizeof f->ca_file, "%s/ca.pem", f->dir);
    f->ca = smtp_ca_new(f->ca_file);
    *state = f;
    return rest_new(&(struct rest_options){0}, &f->rest, NULL) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    rest_free(f->rest);
    (void)unlink(f->ca_file);
    (void)rmdir(f->dir);
    smtp_ca_free(f->ca);
    free(f);
    return 0;
}

static const char *url_of(char room[64], const char *scheme, const struct smtp_peer *peer)
{
    (void)snprintf(room, 64, "%s://localhost:%u", scheme, smtp_peer_port(peer));
    return room;
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("\"%s\" is not in:\n%s", (part), (text));                                     \
    } while (0)
#define assert_has_not(text, part)                                                                 \
    do {                                                                                           \
        if (strstr((text), (part)))                                                                \
            fail_msg("\"%s\" is in:\n%s", (part), (text));                                         \
    } while (0)

/* ---- before anything is sent ------------------------------------------------------------------ */

static void test_mail__knows_a_server_that_it_can_use(void **state)
{
    static const struct {
        const char *label;
        struct mail_server s;
        const char *fault; /* NULL: none */
    } row[] = {
        {"submission", {.url = "smtp://smtp.contoso.example:587"}, NULL},
        {"default port", {.url = "smtp://smtp.contoso.example"}, NULL},
        {"capitals and a slash", {.url = "SMTP://smtp.contoso.example:25/"}, NULL},
        {"implicit TLS", {.url = "smtps://smtp.contoso.example:465"}, NULL},
        {"IPv4", {.url = "smtp://192.0.2.1:587"}, NULL},
        {"IPv6", {.url = "smtp://[2001:db8::1]:587"}, NULL},
        {"a login", {.url = "smtp://h", .username = "u", .password = "p"}, NULL},
        {"no URL", {.url = NULL}, "missing"},
        {"no scheme", {.url = "smtp.contoso.example"}, "expected smtp://"},
        {"another scheme", {.url = "http://smtp.contoso.example"}, "expected smtp://"},
        {"no host", {.url = "smtp://"}, "no host"},
        {"only a port", {.url = "smtp://:587"}, "no host"},
        {"port 0", {.url = "smtp://h:0"}, "no port"},
        {"a port out of range", {.url = "smtp://h:65536"}, "no port"},
        {"a port of many digits", {.url = "smtp://h:1000000000587"}, "no port"},
        {"no port behind the colon", {.url = "smtp://h:"}, "no port"},
        {"a path", {.url = "smtp://h/inbox"}, "after the host"},
        {"a query", {.url = "smtp://h:587?x"}, "after the host"},
        {"a login in the URL", {.url = "smtp://u:secret@h:587"}, "no login in the URL"},
        {"line end in the host", {.url = "smtp://h\r\nRCPT"}, "is no host"},
        {"blank in the host", {.url = "smtp://a b"}, "is no host"},
        {"broken IPv6", {.url = "smtp://[::g]:25"}, "is no host"},
        {"open IPv6", {.url = "smtp://[::1"}, "no host"},
        {"username without password", {.url = "smtp://h", .username = "u"}, "without a password"},
        {"empty username", {.url = "smtp://h", .username = "", .password = "p"}, "empty"},
        {"oauth without mailbox", {.url = "smtp://h", .oauth = true}, "oauth needs"},
        {"helo with a line end", {.url = "smtp://h", .helo = "a\r\nMAIL"}, "no name for EHLO"},
        {"helo", {.url = "smtp://h", .helo = "cordon.contoso.example"}, NULL},
        {"helo literal", {.url = "smtp://h", .helo = "[192.0.2.1]"}, NULL},
    };

    (void)state;
    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct err e = {0};
        enum err_code code = mail_server_check(&row[r].s, &e);

        if (code != (row[r].fault ? ERR_INVALID : ERR_OK) ||
            (row[r].fault && !strstr(e.text, row[r].fault)) || strstr(e.text, "secret"))
            fail_msg("%s: %s %s", row[r].label, err_name(code), e.text);
    }
}

static void test_mail__a_long_username_is_refused_before_it_meets_a_buffer(void **state)
{
    char name[MAIL_USERNAME_MAX + 2];
    struct mail_server s = {.url = "smtp://h", .username = name, .password = "p"};

    (void)state;
    memset(name, 'u', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(mail_server_check(&s, NULL), ERR_INVALID);
    name[sizeof name - 2] = '\0';
    assert_int_equal(mail_server_check(&s, NULL), ERR_OK);
}

static void test_mail__refuses_what_could_become_a_command_or_a_second_message(void **state)
{
    static const struct {
        const char *label, *from, *message;
        size_t len;
        const char *fault;
    } row[] = {
#define M(text) text, sizeof(text) - 1
        {"bare LF", "a@b", M("Subject: x\r\n\r\nhello\n.\r\n"), "bare CR, LF or NUL at byte 19"},
        {"bare CR", "a@b", M("Subject: x\r\n\r\nhello\r.\r\n"), "bare CR, LF or NUL at byte 19"},
        {"CR at the end", "a@b", M("Subject: x\r\n\r\nhello\r"), "bare CR, LF or NUL"},
        {"LF at the start", "a@b", M("\nSubject: x\r\n"), "bare CR, LF or NUL at byte 0"},
        {"NUL", "a@b", M("Subject: x\r\n\r\nhel\0lo\r\n"), "bare CR, LF or NUL at byte 17"},
        {"no line end", "a@b", M("Subject: x\r\n\r\nhello"), "does not end"},
        {"empty", "a@b", M(""), "does not end"},
        {"from with a line end", "a@b\r\nRCPT TO:<x@y>", M(MESSAGE), "mail.from"},
        {"from with a bracket", "a@b> SIZE=1", M(MESSAGE), "mail.from"},
        {"from with a display name", "Cordon <a@b>", M(MESSAGE), "mail.from"},
        {"no from", "", M(MESSAGE), "mail.from"},
#undef M
    };
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){0});
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtp", peer)};
    const char *const to[] = {"c@d"};

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        struct mail_result result[1];
        struct err e = {0};
        enum err_code code =
            mail_send(&s, f->rest, row[r].from, to, 1, row[r].message, row[r].len, result, &e);

        if (code != ERR_INVALID || !strstr(e.text, row[r].fault))
            fail_msg("%s: %s %s", row[r].label, err_name(code), e.text);
        assert_int_equal(result[0].fate, MAIL_RETRY);
        assert_true(result[0].text[0]);
    }
    assert_string_equal(smtp_peer_heard(peer), ""); /* nobody called */
    smtp_peer_free(peer);
}

static void test_mail__a_line_over_998_bytes_is_refused(void **state)
{
    struct fixture *f = *state;
    char message[1100] = "Subject: x\r\n\r\n";
    const char *const to[] = {"c@d"};
    struct mail_server s = {.url = "smtp://localhost:1"};
    struct mail_result result[1];
    size_t head = strlen(message);
    struct err e = {0};

    memset(message + head, 'x', 999);
    memcpy(message + head + 999, "\r\n", 2);
    assert_int_equal(mail_send(&s, f->rest, "a@b", to, 1, message, head + 1001, result, &e),
                     ERR_INVALID);
    assert_has(e.text, "line of 999 bytes");
    memcpy(message + head + 998, "\r\n", 2);
    assert_int_equal(mail_send(&s, f->rest, "a@b", to, 1, message, head + 1000, result, &e),
                     ERR_AGAIN); /* port 1: nobody is there */
}

static void test_mail__a_bad_recipient_is_refused_alone(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){0});
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtp", peer)};
    const char *const to[] = {"a@b.example", "evil@x.example>\r\nRCPT TO:<you@y.example",
                              "soc@m\xc3\xbcnchen.example", "c@d.example"};
    struct mail_result r[4];
    const char *heard;

    assert_int_equal(
        mail_send(&s, f->rest, "x@y.example", to, 4, MESSAGE, sizeof MESSAGE - 1, r, NULL), ERR_OK);
    assert_int_equal(r[0].fate, MAIL_SENT);
    assert_int_equal(r[1].fate, MAIL_REFUSED);
    assert_int_equal(r[2].fate, MAIL_REFUSED);
    assert_has(r[2].text, "xn--");
    assert_int_equal(r[3].fate, MAIL_SENT);
    heard = smtp_peer_heard(peer);
    assert_has(heard, "RCPT TO:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\n");
    assert_has_not(heard, "evil");
    smtp_peer_free(peer);
    /* All bad: nobody is called, each has its fate. */
    assert_int_equal(
        mail_send(&s, f->rest, "x@y.example", to + 1, 2, MESSAGE, sizeof MESSAGE - 1, r, NULL),
        ERR_OK);
    assert_int_equal(r[0].fate, MAIL_REFUSED);
    assert_int_equal(r[1].fate, MAIL_REFUSED);
}

static void test_mail__takes_a_hundred_recipients_and_no_more(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
        .rules =
            (const struct smtp_peer_rule[]){{"RCPT TO:<r42@", "550 5.1.1 who?\r\n", 0, 0}, {0}}});
    char url[64], names[MAIL_RECIPIENTS_MAX + 1][32];
    const char *to[MAIL_RECIPIENTS_MAX + 1];
    struct mail_server s = {.url = url_of(url, "smtp", peer)};
    struct mail_result r[MAIL_RECIPIENTS_MAX + 1];

    for (size_t i = 0; i <= MAIL_RECIPIENTS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "r%zu@contoso.example", i);
        to[i] = names[i];
    }
    assert_int_equal(mail_send(&s, f->rest, "x@y", to, MAIL_RECIPIENTS_MAX, MESSAGE,
                               sizeof MESSAGE - 1, r, NULL),
                     ERR_OK);
    for (size_t i = 0; i < MAIL_RECIPIENTS_MAX; i++)
        assert_int_equal(r[i].fate, i == 42 ? MAIL_REFUSED : MAIL_SENT);
    assert_int_equal(mail_send(&s, f->rest, "x@y", to, MAIL_RECIPIENTS_MAX + 1, MESSAGE,
                               sizeof MESSAGE - 1, r, NULL),
                     ERR_INVALID);
    assert_int_equal(r[MAIL_RECIPIENTS_MAX].fate, MAIL_RETRY);
    assert_int_equal(mail_send(&s, f->rest, "x@y", to, 0, MESSAGE, sizeof MESSAGE - 1, r, NULL),
                     ERR_INVALID);
    smtp_peer_free(peer);
}

/* ---- the password ----------------------------------------------------------------------------- */

struct rotating {
    int reads;
    const char *const *values; /* NULL: it fails */
};

static enum err_code read_rotating(void *ctx, struct buf *ret, struct err *e)
{
    struct rotating *r = ctx;
    const char *value = r->values[r->reads++];

    if (!value)
        return err_set(e, ERR_IO, "cannot open the file");
    buf_adds(ret, value);
    return ERR_OK;
}

static void test_mail__reads_the_password_anew_for_each_message(void **state)
{
    static const char *const values[] = {"first", "second", NULL, ""};
    struct fixture *f = *state;
    struct smtp_peer *peer =
        smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .auth = "LOGIN"});
    struct rotating rotating = {.values = values};
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtp", peer),
                            .username = "u",
                            .read_password = read_rotating,
                            .read_password_ctx = &rotating,
                            .ca_file = f->ca_file};
    const char *const to[] = {"c@d"};
    struct mail_result r[1];
    struct err e = {0};
    const char *heard;

    for (int i = 0; i < 2; i++)
        assert_int_equal(mail_send(&s, f->rest, "a@b", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e),
                         ERR_OK);
    assert_int_equal(mail_send(&s, f->rest, "a@b", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e),
                     ERR_IO);
    assert_string_equal(e.text, "the password of the mail login: cannot open the file");
    assert_int_equal(r[0].fate, MAIL_RETRY);
    assert_string_equal(r[0].text, e.text);
    assert_int_equal(mail_send(&s, f->rest, "a@b", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e),
                     ERR_INVALID);
    heard = smtp_peer_heard(peer);
    assert_has(heard, "\nZmlyc3Q=\n");
    assert_has(heard, "\nc2Vjb25k\n");
    assert_null(smtp_peer_message(peer, 2, &(size_t){0}));
    smtp_peer_free(peer);
}

/* ---- smtp:// ---------------------------------------------------------------------------------- */

static void test_mail__plain_text_is_for_loopback_alone(void **state)
{
    static const struct {
        const char *host, *plain_ok;
    } row[] = {
        {"localhost", "true"},
        {"LOCALHOST", "true"},
        {"127.0.0.1", "true"},
        {"127.8.9.10", "true"},
        {"128.0.0.1", "false"},
        {"mail.contoso.example", "false"},
        {"localhost.evil.example", "false"},
        {"127.0.0.1.evil.example", "false"},
        {"0.0.0.0", "false"},
    };
    struct fixture *f = *state;
    char helper[240], path[240], script[600], text[4096], expected[64];
    const char *const to[] = {"c@d"};

    /* A helper that keeps the job: what it would have been told. */
    (void)snprintf(helper, sizeof helper, "%s/helper", f->dir);
    (void)snprintf(path, sizeof path, "%s/job", f->dir);
    (void)snprintf(script, sizeof script, "#!/bin/sh\n/bin/cat >%s\n", path);
    FILE *out = fopen(helper, "we");
    assert_non_null(out);
    assert_true(fputs(script, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(helper, 0700), 0);

    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        char url[100];
        struct mail_server s = {.url = url, .helper = helper};
        struct mail_result result[1];
        FILE *in;
        size_t n;

        (void)snprintf(url, sizeof url, "smtp://%s:2525", row[r].host);
        assert_int_equal(
            mail_send(&s, NULL, "a@b", to, 1, MESSAGE, sizeof MESSAGE - 1, result, NULL), ERR_IO);
        in = fopen(path, "re");
        assert_non_null(in);
        n = fread(text, 1, sizeof text - 1, in);
        text[n] = '\0';
        assert_int_equal(fclose(in), 0);
        (void)snprintf(expected, sizeof expected, "\"plain_ok\":%s", row[r].plain_ok);
        if (!strstr(text, expected) || !strstr(text, "\"port\":2525"))
            fail_msg("%s: %s", row[r].host, text);
    }
    (void)unlink(helper);
    (void)unlink(path);
}

static void test_mail__a_login_that_is_refused_is_for_a_person_to_cure(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
        .ca = f->ca,
        .auth = "PLAIN",
        .rules = (const struct smtp_peer_rule[]){{"AUTH", "535 5.7.3 no\r\n", 0, 0}, {0}}});
    char url[64], what[160] = "untouched";
    struct mail_server s = {.url = url_of(url, "smtp", peer),
                            .username = "u",
                            .password = PASSWORD,
                            .ca_file = f->ca_file};
    const char *const to[] = {"c@d", "not an address"};
    struct mail_result r[2];
    struct err e = {0};

    assert_int_equal(mail_send(&s, f->rest, "a@b", to, 2, MESSAGE, sizeof MESSAGE - 1, r, &e),
                     ERR_DENIED);
    assert_int_equal(r[0].fate, MAIL_RETRY);
    assert_has(r[0].text, "login as u refused: 535 5.7.3 no; wrong user name, password or token");
    assert_int_equal(r[1].fate, MAIL_REFUSED);
    assert_int_equal(mail_probe(&s, f->rest, "a@b", what, &e), ERR_DENIED);
    assert_string_equal(what, "untouched");
    smtp_peer_free(peer);
}

static void test_mail__probes_without_sending(void **state)
{
    struct fixture *f = *state;

    for (int implicit = 0; implicit < 2; implicit++) {
        struct smtp_peer *peer = smtp_peer_new(
            &(struct smtp_peer_options){.ca = f->ca, .auth = "PLAIN", .implicit_tls = implicit});
        char url[64], what[160];
        struct mail_server s = {.url = url_of(url, implicit ? "smtps" : "smtp", peer),
                                .username = "u",
                                .password = PASSWORD,
                                .ca_file = f->ca_file};
        struct err e = {0};
        const char *heard;

        if (mail_probe(&s, f->rest, "a@b", what, &e))
            fail_msg("%s: %s", url, e.text);
        assert_has(what, "logged in as u");
        heard = smtp_peer_heard(peer);
        assert_has(heard, "AUTH PLAIN");
        assert_has_not(heard, "MAIL");
        smtp_peer_free(peer);
    }
}

/* A server that takes its time over the message, and has it when nobody waits for its word any more: whoever may wait longer for
 * that alone hears it. */
static void test_mail__the_answer_to_a_message_may_take_longer(void **state)
{
    static const struct smtp_peer_rule rules[] = {{".", NULL, PEER_LATE, 0}, {0}};
    static const struct {
        bool implicit_tls;
        int64_t answer_ms;
        enum mail_fate fate;
    } rows[] = {{false, 0, MAIL_RETRY},
                {false, 60000, MAIL_SENT},
                {true, 0, MAIL_RETRY},
                {true, 60000, MAIL_SENT}};
    const char *const to[] = {"a@x.example"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mail_result r;
        bool arrived = false;

        /* On a busy host the time may be over before the message has left: then with more. */
        for (int timeout_ms = 500; !arrived; timeout_ms *= 2) {
            struct smtp_peer *peer =
                smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca,
                                                          .implicit_tls = rows[i].implicit_tls,
                                                          .rules = rules,
                                                          .late_ms = 2 * timeout_ms});
            char url[64];
            struct mail_server s = {.url =
                                        url_of(url, rows[i].implicit_tls ? "smtps" : "smtp", peer),
                                    .ca_file = f->ca_file,
                                    .timeout_ms = timeout_ms,
                                    .answer_ms = rows[i].answer_ms};
            size_t len;

            assert_true(timeout_ms < 60000);
            (void)mail_send(&s, f->rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, &r,
                            NULL);
            arrived = smtp_peer_message(peer, 0, &len) != NULL;
            smtp_peer_free(peer);
        }
        if (r.fate != rows[i].fate || r.maybe_sent != (rows[i].fate == MAIL_RETRY))
            fail_msg("%zu: %s: %s", i, mail_fate_name(r.fate), r.text);
    }
}

/* Several have all of it together: what one of them used up is not there for those behind it. */
static void test_mail__all_answers_together_take_no_longer(void **state)
{
    static const struct smtp_peer_rule rules[] = {{".", NULL, PEER_LATE, 0}, {0}};
    const char *const to[] = {"a@x.example", "b@x.example"};
    struct fixture *f = *state;
    struct mail_result r[2] = {{0}};

    /* On a busy host the time may be over before the message has left: then with more. */
    for (int timeout_ms = 2000; r[0].fate != MAIL_SENT || !r[1].maybe_sent; timeout_ms *= 2) {
        struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
            .ca = f->ca, .implicit_tls = true, .rules = rules, .late_ms = 2 * timeout_ms});
        char url[64];
        struct mail_server s = {.url = url_of(url, "smtps", peer),
                                .ca_file = f->ca_file,
                                .timeout_ms = timeout_ms,
                                .answer_ms = 2 * timeout_ms};

        assert_true(timeout_ms < 60000);
        (void)mail_send(&s, f->rest, "me@x.example", to, 2, MESSAGE, sizeof MESSAGE - 1, r, NULL);
        smtp_peer_free(peer);
        assert_int_not_equal(r[1].fate, MAIL_SENT);
    }
}

/* But no other one; nor does a server that says nothing at all take longer than it may by not answering QUIT, either. */
static void test_mail__a_server_that_hangs_is_left_in_time(void **state)
{
    static const struct smtp_peer_rule rules[][2] = {{{"DATA", NULL, PEER_HANG, 0}, {0}},
                                                     {{".", NULL, PEER_HANG, 0}, {0}}};
    const char *const to[] = {"a@x.example"};
    struct fixture *f = *state;

    for (int row = 0; row < 4; row++) {
        bool implicit = row % 2, sent = row > 1;
        struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
            .ca = f->ca, .implicit_tls = implicit, .rules = rules[sent]});
        int64_t began = look_now_ms();
        char url[64];
        struct mail_server s = {.url = url_of(url, implicit ? "smtps" : "smtp", peer),
                                .ca_file = f->ca_file,
                                .timeout_ms = 1500,
                                .answer_ms = sent ? 0 : 10 * MINUTE_MS};
        struct mail_result r;

        (void)mail_send(&s, f->rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, &r, NULL);
        assert_int_equal(r.fate, MAIL_RETRY);
        if (look_now_ms() - began >= MINUTE_MS)
            fail_msg("%s: it took a minute", url);
        smtp_peer_free(peer);
    }
}

struct hanging {
    struct fixture *f;
    struct rest *rest;
    struct smtp_peer *peer;
    atomic_bool over;
};

static void *send_to_it(void *arg)
{
    struct hanging *h = arg;
    const char *const to[] = {"a@x.example"};
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtps", h->peer), .ca_file = h->f->ca_file};
    struct mail_result r;

    (void)mail_send(&s, h->rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, &r, NULL);
    assert_int_equal(r.fate, MAIL_RETRY);
    atomic_store(&h->over, true);
    return NULL;
}

/* Two servers that say nothing to a message hold up no mail to a third one. */
static void test_mail__a_server_that_hangs_holds_up_no_other(void **state)
{
    static const struct smtp_peer_rule rules[] = {{".", NULL, PEER_HANG, 0}, {0}};
    const char *const to[] = {"a@x.example"};
    struct fixture *f = *state;
    struct smtp_peer *good =
        smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .implicit_tls = true});
    struct hanging hanging[2] = {{.f = f}, {.f = f}};
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtps", good), .ca_file = f->ca_file};
    struct mail_result r;
    struct rest *rest;
    pthread_t threads[2];

    assert_int_equal(rest_new(&(struct rest_options){0}, &rest, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        hanging[i].rest = rest;
        hanging[i].peer = smtp_peer_new(
            &(struct smtp_peer_options){.ca = f->ca, .implicit_tls = true, .rules = rules});
        assert_int_equal(pthread_create(&threads[i], NULL, send_to_it, &hanging[i]), 0);
        while (!smtp_peer_hangs(hanging[i].peer) && !atomic_load(&hanging[i].over))
            (void)sched_yield();
    }
    (void)mail_send(&s, rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, &r, NULL);
    assert_int_equal(r.fate, MAIL_SENT);
    assert_false(atomic_load(&hanging[0].over) || atomic_load(&hanging[1].over));
    rest_wind_down(rest, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        smtp_peer_free(hanging[i].peer);
    }
    rest_free(rest);
    smtp_peer_free(good);
}

struct stopping {
    struct rest *rest;
    struct smtp_peer *peer;
};

static void *stop_when_it_waits(void *arg)
{
    struct stopping *s = arg;

    while (!smtp_peer_hangs(s->peer))
        (void)sched_yield();
    rest_wind_down(s->rest, true);
    return NULL;
}

static void test_mail__a_process_that_ends_waits_for_no_answer(void **state)
{
    static const struct smtp_peer_rule rules[] = {{".", NULL, PEER_HANG, 0}, {0}};
    static const struct {
        bool implicit_tls;
        int64_t answer_ms;
    } rows[] = {{false, 0}, {false, 10 * MINUTE_MS}, {true, 0}, {true, 10 * MINUTE_MS}};
    const char *const to[] = {"a@x.example"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stopping stopping = {
            .peer = smtp_peer_new(&(struct smtp_peer_options){
                .ca = f->ca, .implicit_tls = rows[i].implicit_tls, .rules = rules})};
        char url[64];
        struct mail_server s = {
            .url = url_of(url, rows[i].implicit_tls ? "smtps" : "smtp", stopping.peer),
            .ca_file = f->ca_file,
            .answer_ms = rows[i].answer_ms};
        int64_t began = look_now_ms();
        struct mail_result r;
        pthread_t thread;

        assert_int_equal(rest_new(&(struct rest_options){0}, &stopping.rest, NULL), ERR_OK);
        assert_int_equal(pthread_create(&thread, NULL, stop_when_it_waits, &stopping), 0);
        (void)mail_send(&s, stopping.rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, &r,
                        NULL);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(r.fate, MAIL_RETRY);
        assert_true(r.maybe_sent);
        if (look_now_ms() - began >= 30 * SECOND_MS)
            fail_msg("%zu: it took half a minute", i);
        rest_free(stopping.rest);
        smtp_peer_free(stopping.peer);
    }
}

/* ---- smtps:// and OAuth ----------------------------------------------------------------------- */

static void test_mail__smtps_goes_through_libcurl_one_recipient_at_a_time(void **state)
{
    static const struct smtp_peer_rule rules[] = {
        {"RCPT TO:<b@", "550 5.1.1 no such user\r\n", 0, 0},
        {"RCPT TO:<c@", "451 4.7.1 later\r\n", 0, 0},
        {0},
    };
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
        .ca = f->ca, .implicit_tls = true, .auth = "PLAIN LOGIN", .rules = rules});
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtps", peer),
                            .username = "u",
                            .password = PASSWORD,
                            .ca_file = f->ca_file};
    const char *const to[] = {"a@x.example", "b@x.example", "c@x.example", "d@x.example"};
    struct mail_result r[4];
    struct err e = {0};
    const char *heard, *bytes;
    size_t len;

    if (mail_send(&s, f->rest, "me@x.example", to, 4, MESSAGE, sizeof MESSAGE - 1, r, &e))
        fail_msg("%s", e.text);
    assert_int_equal(r[0].fate, MAIL_SENT);
    assert_int_equal(r[0].smtp_code, 250);
    assert_int_equal(r[1].fate, MAIL_REFUSED);
    assert_string_equal(r[1].text, "550 5.1.1 no such user");
    assert_int_equal(r[2].fate, MAIL_RETRY);
    assert_string_equal(r[2].text, "451 4.7.1 later");
    assert_int_equal(r[3].fate, MAIL_SENT);
    heard = smtp_peer_heard(peer);
    assert_has(heard, "(TLS sni=localhost)\n");
    for (size_t i = 0; i < 2; i++) {
        bytes = smtp_peer_message(peer, i, &len);
        assert_non_null(bytes);
        assert_int_equal(len, sizeof "Subject: x\r\n\r\n..dot\r\n" - 1);
        assert_memory_equal(bytes, "Subject: x\r\n\r\n..dot\r\n", len);
    }
    assert_null(smtp_peer_message(peer, 2, &len));
    smtp_peer_free(peer);
}

/* What an address may be is the same on both ways: nobody behind an unusual one goes without. */
static void test_mail__a_quoted_name_may_hold_a_blank_on_both_ways(void **state)
{
    static const char *const to[] = {"a@x.example", "\"first last\"@x.example", "c@x.example"};
    struct fixture *f = *state;

    for (int tls = 0; tls < 2; tls++) {
        struct smtp_peer *peer =
            smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca, .implicit_tls = tls});
        char url[64];
        struct mail_server s = {.url = url_of(url, tls ? "smtps" : "smtp", peer),
                                .ca_file = f->ca_file};
        struct mail_result r[3];
        struct err e = {0};

        if (mail_send(&s, f->rest, "\"cordon soc\"@x.example", to, 3, MESSAGE, sizeof MESSAGE - 1,
                      r, &e))
            fail_msg("%s", e.text);
        for (size_t i = 0; i < 3; i++)
            if (r[i].fate != MAIL_SENT)
                fail_msg("%s: %s", to[i], r[i].text);
        assert_has(smtp_peer_heard(peer), "MAIL FROM:<\"cordon soc\"@x.example>");
        for (size_t i = 0; i < 3; i++) {
            char line[80];

            (void)snprintf(line, sizeof line, "RCPT TO:<%s>\n", to[i]);
            assert_has(smtp_peer_heard(peer), line);
        }
        smtp_peer_free(peer);
    }
}

static void test_mail__over_smtps_a_no_is_judged_by_what_it_answers(void **state)
{
    static const struct {
        const char *label;
        struct smtp_peer_rule rules[2];
        bool self_signed;
        const char *auth;
        enum err_code code;
        enum mail_fate fate;
        bool maybe_sent, for_all;
        const char *text;
    } row[] = {
        {"the login",
         {{"AUTH", "535 5.7.8 no\r\n", 0, 0}},
         false,
         "PLAIN",
         ERR_DENIED,
         MAIL_RETRY,
         false,
         false,
         "wrong user name or password: 535 5.7.8 no"},
        {"the greeting",
         {{"", "554 5.3.2 go away\r\n", 0, 0}},
         false,
         "PLAIN",
         ERR_DENIED,
         MAIL_RETRY,
         false,
         false,
         "554"},
        {"no login offered", {{0}}, false, NULL, ERR_AGAIN, MAIL_RETRY, false, false, "no login"},
        {"the sender",
         {{"MAIL", "550 no\r\n", 0, 0}},
         false,
         "PLAIN",
         ERR_OK,
         MAIL_RETRY,
         false,
         true,
         "does not take this sender: 550 no"},
        {"the recipient",
         {{"RCPT", "550 no\r\n", 0, 0}},
         false,
         "PLAIN",
         ERR_OK,
         MAIL_REFUSED,
         false,
         false,
         "550 no"},
        {"DATA",
         {{"DATA", "451 no\r\n", 0, 0}},
         false,
         "PLAIN",
         ERR_OK,
         MAIL_RETRY,
         false,
         true,
         "451 no"},
        {"the message",
         {{".", "554 spam\r\n", 0, 0}},
         false,
         "PLAIN",
         ERR_OK,
         MAIL_REFUSED,
         false,
         false,
         "554 spam"},
        {"a dropped answer",
         {{".", NULL, PEER_CLOSE, 0}},
         false,
         "PLAIN",
         ERR_OK,
         MAIL_RETRY,
         true,
         true,
         ""},
        {"a dropped RCPT",
         {{"RCPT", NULL, PEER_CLOSE, 0}},
         false,
         "PLAIN",
         ERR_AGAIN,
         MAIL_RETRY,
         false,
         false,
         ""},
        {"an untrusted certificate", {{0}}, true, "PLAIN", ERR_AGAIN, MAIL_RETRY, false, false, ""},
    };
    struct fixture *f = *state;
    const char *const to[] = {"a@x.example"};

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct smtp_peer *peer =
            smtp_peer_new(&(struct smtp_peer_options){.ca = f->ca,
                                                      .implicit_tls = true,
                                                      .self_signed = row[i].self_signed,
                                                      .auth = row[i].auth,
                                                      .rules = row[i].rules});
        char url[64];
        struct mail_server s = {.url = url_of(url, "smtps", peer),
                                .username = "u",
                                .password = PASSWORD,
                                .ca_file = f->ca_file};
        struct mail_result r[1];
        struct err e = {0};
        enum err_code code =
            mail_send(&s, f->rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e);

        if (code != row[i].code || r->fate != row[i].fate || r->maybe_sent != row[i].maybe_sent ||
            r->for_all != row[i].for_all || !strstr(r->text, row[i].text) || !r->text[0] ||
            strstr(r->text, PASSWORD))
            fail_msg("%s: %s %s: %s %d %d %s", row[i].label, err_name(code), e.text,
                     mail_fate_name(r->fate), r->smtp_code, r->maybe_sent, r->text);
        smtp_peer_free(peer);
    }
}

static void test_mail__an_unreachable_server_is_tried_once_for_all(void **state)
{
    struct fixture *f = *state;
    struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
        .ca = f->ca,
        .implicit_tls = true,
        .auth = "PLAIN",
        .rules = (const struct smtp_peer_rule[]){{"AUTH", "535 5.7.8 no\r\n", 0, 0}, {0}}});
    char url[64];
    struct mail_server s = {.url = url_of(url, "smtps", peer),
                            .username = "u",
                            .password = PASSWORD,
                            .ca_file = f->ca_file};
    const char *const to[] = {"a@x.example", "b@x.example", "c@x.example"};
    struct mail_result r[3];
    const char *heard;

    assert_int_equal(
        mail_send(&s, f->rest, "me@x.example", to, 3, MESSAGE, sizeof MESSAGE - 1, r, NULL),
        ERR_DENIED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r[i].fate, MAIL_RETRY);
        assert_has(r[i].text, "wrong user name or password");
    }
    /* One wrong login, not three: accounts get locked. */
    heard = smtp_peer_heard(peer);
    assert_null(strstr(strstr(heard, "AUTH") + 1, "AUTH"));
    smtp_peer_free(peer);
}

static void test_mail__oauth_logs_in_with_xoauth2(void **state)
{
    struct fixture *f = *state;

    for (int implicit = 0; implicit < 2; implicit++) {
        struct smtp_peer *peer = smtp_peer_new(&(struct smtp_peer_options){
            .ca = f->ca, .implicit_tls = implicit, .auth = "LOGIN XOAUTH2"});
        char url[64];
        struct mail_server s = {.url = url_of(url, implicit ? "smtps" : "smtp", peer),
                                .username = "u@x.example",
                                .password = "token",
                                .oauth = true,
                                .ca_file = f->ca_file};
        const char *const to[] = {"a@x.example"};
        struct mail_result r[1];
        struct err e = {0};
        const char *heard;

        if (mail_send(&s, f->rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e))
            fail_msg("%s", e.text);
        assert_int_equal(r[0].fate, MAIL_SENT);
        heard = smtp_peer_heard(peer);
        /* defender-api.md section 9.2: user=u@x.example ^A auth=Bearer token ^A ^A */
        assert_has(heard, "AUTH XOAUTH2 dXNlcj11QHguZXhhbXBsZQFhdXRoPUJlYXJlciB0b2tlbgEB\n");
        assert_has(heard, "(TLS sni=localhost)");
        smtp_peer_free(peer);
    }
}

/* Some servers repeat the command that they do not like; people are shown what they say, but for the login. */
static void test_mail__an_answer_that_repeats_the_login_is_not_quoted(void **state)
{
    static const struct {
        const char *scheme, *auth, *reply, *secret;
        bool oauth;
    } rows[] = {
        {"smtp", "PLAIN", "501 5.5.2 what is AUTH PLAIN AGNvcmRvbgBjb3JyZWN0IGhvcnNl\r\n",
         "AGNvcmRv", false},
        {"smtps", "PLAIN", "501 5.5.2 what is AUTH PLAIN AGNvcmRvbgBjb3JyZWN0IGhvcnNl\r\n",
         "AGNvcmRv", false},
        {"smtps", "LOGIN", "501 5.5.2 what is Y29ycmVjdCBob3JzZQ==\r\n", "Y29ycmVj", false},
        {"smtps", "PLAIN", "535 5.7.8 no \"correct horse\" here\r\n", "horse", false},
        {"smtps", "XOAUTH2", "535 5.7.3 dXNlcj1jb3Jkb24BYXV0aD1CZWFyZXIgY29ycmVjdC\r\n", "dXNlcj1j",
         true},
        {"smtps", "OAUTHBEARER", "535 5.7.3 bixhPWNvcmRvbiwBaG9zdD0\r\n", "bixhPWNv", true},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct smtp_peer_rule rules[] = {{"AUTH-END", rows[i].reply, 0, 0}, {0}};
        struct smtp_peer *peer = smtp_peer_new(
            &(struct smtp_peer_options){.ca = f->ca,
                                        .implicit_tls = strcmp(rows[i].scheme, "smtps") == 0,
                                        .auth = rows[i].auth,
                                        .rules = rules});
        char url[64];
        struct mail_server s = {.url = url_of(url, rows[i].scheme, peer),
                                .username = "cordon",
                                .password = PASSWORD,
                                .oauth = rows[i].oauth,
                                .ca_file = f->ca_file};
        const char *const to[] = {"a@x.example"};
        struct mail_result r[1];
        struct err e = {0};

        assert_int_equal(
            mail_send(&s, f->rest, "me@x.example", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e),
            ERR_DENIED);
        assert_int_equal(r[0].fate, MAIL_RETRY);
        assert_has(smtp_peer_heard(peer), "AUTH");
        assert_has_not(r[0].text, rows[i].secret);
        assert_has_not(e.text, rows[i].secret);
        smtp_peer_free(peer);
    }
}

static void test_mail__smtps_without_libcurls_thread_is_a_fault_of_ours(void **state)
{
    struct mail_server s = {.url = "smtps://localhost:465"};
    const char *const to[] = {"a@x.example"};
    struct mail_result r[1];
    struct err e = {0};

    (void)state;
    assert_int_equal(mail_send(&s, NULL, "a@b", to, 1, MESSAGE, sizeof MESSAGE - 1, r, &e),
                     ERR_INVALID);
    assert_int_equal(r[0].fate, MAIL_RETRY);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail__knows_a_server_that_it_can_use),
        cmocka_unit_test(test_mail__a_long_username_is_refused_before_it_meets_a_buffer),
        cmocka_unit_test(test_mail__refuses_what_could_become_a_command_or_a_second_message),
        cmocka_unit_test(test_mail__a_line_over_998_bytes_is_refused),
        cmocka_unit_test(test_mail__a_bad_recipient_is_refused_alone),
        cmocka_unit_test(test_mail__takes_a_hundred_recipients_and_no_more),
        cmocka_unit_test(test_mail__reads_the_password_anew_for_each_message),
        cmocka_unit_test(test_mail__plain_text_is_for_loopback_alone),
        cmocka_unit_test(test_mail__a_login_that_is_refused_is_for_a_person_to_cure),
        cmocka_unit_test(test_mail__probes_without_sending),
        cmocka_unit_test(test_mail__the_answer_to_a_message_may_take_longer),
        cmocka_unit_test(test_mail__all_answers_together_take_no_longer),
        cmocka_unit_test(test_mail__a_server_that_hangs_is_left_in_time),
        cmocka_unit_test(test_mail__a_server_that_hangs_holds_up_no_other),
        cmocka_unit_test(test_mail__a_process_that_ends_waits_for_no_answer),
        cmocka_unit_test(test_mail__smtps_goes_through_libcurl_one_recipient_at_a_time),
        cmocka_unit_test(test_mail__a_quoted_name_may_hold_a_blank_on_both_ways),
        cmocka_unit_test(test_mail__over_smtps_a_no_is_judged_by_what_it_answers),
        cmocka_unit_test(test_mail__an_unreachable_server_is_tried_once_for_all),
        cmocka_unit_test(test_mail__oauth_logs_in_with_xoauth2),
        cmocka_unit_test(test_mail__an_answer_that_repeats_the_login_is_not_quoted),
        cmocka_unit_test(test_mail__smtps_without_libcurls_thread_is_a_fault_of_ours),
    };

    if (argc == 2 && !strcmp(argv[1], "smtp-child"))
        return smtp_child_main(STDIN_FILENO, STDOUT_FILENO);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
