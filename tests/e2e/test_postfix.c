/* test_postfix.c - mail through a real Postfix: STARTTLS, login against a SASL database, delivery into a
 * maildir, and the message read back.
 *
 * This Postfix has a configuration, a queue and ports of its own and ends with this program; the host's,
 * if it has one, is not touched. Postfix starts as root alone, so others skip these tests, and so does a host
 * without it (`make deps` fetches postfix and sasl2-bin).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auto.h"
#include "kit/look.h"
#include "kit/mail_reader.h"
#include "kit/port.h"
#include "kit/smtp_peer.h"
#include "mail.h"
#include "mime.h"
#include "rest.h"
#include "smtp.h"

#define MASTER      "/usr/lib/postfix/sbin/master"
#define POSTFIX     "/usr/sbin/postfix"
#define SASLPASSWD  "/usr/sbin/saslpasswd2"
#define PASSWORD    "correct horse: battery \xc3\xa5"
#define DEADLINE_MS 60000

struct fixture {
    char dir[64]; /* outside $TMPDIR, whose parents the postfix user may not enter */
    char ca_file[96], maildir[96];
    unsigned port, tls_port;
    pid_t master;
    struct smtp_ca *ca;
    struct rest *rest;
    const char *missing; /* why there is nothing to test here; NULL: there is */
};

/* ---- a Postfix of our own --------------------------------------------------------------------- */

static pid_t start(const char *const *argv, const char *input)
{
    int in[2];
    pid_t pid;

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    pid = fork(); /* no threads yet */
    assert_true(pid >= 0);
    if (pid == 0) {
        char *env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};

        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* ends with us, however we end */
        (void)setsid();                         /* master signals its process group */
        if (dup2(in[0], 0) == 0)
            (void)execve(argv[0], (char **)(uintptr_t)argv, env);
        _exit(127);
    }
    (void)close(in[0]);
    if (input)
        assert_int_equal(write(in[1], input, strlen(input)), (ssize_t)strlen(input));
    (void)close(in[1]);
    return pid;
}

static void run(const char *const *argv, const char *input)
{
    int status = -1;
    pid_t pid = start(argv, input);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s: status %x", argv[0], (unsigned)status);
}

__attribute__((format(printf, 3, 4))) static void write_file(const struct fixture *f,
                                                             const char *name, const char *fmt, ...)
{
    char path[160];
    va_list ap;
    FILE *out;

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    out = fopen(path, "we");
    assert_non_null(out);
    va_start(ap, fmt);
    assert_true(vfprintf(out, fmt, ap) > 0);
    va_end(ap);
    assert_int_equal(fclose(out), 0);
}

static void make_dir(const struct fixture *f, const char *name, uid_t owner)
{
    char path[160];

    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chown(path, owner, (gid_t)-1), 0);
}

static bool connects(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;

    (void)close(fd);
    return yes;
}

static void print_log(const struct fixture *f)
{
    char path[160], line[1000];
    FILE *in;

    (void)snprintf(path, sizeof path, "%s/log", f->dir);
    in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in))
        print_message("%s", line);
    if (in)
        (void)fclose(in);
}

static void configure(struct fixture *f, uid_t postfix, uid_t nobody)
{
    char path[160], pem[160];

    make_dir(f, "conf", 0);
    make_dir(f, "queue", 0);
    make_dir(f, "data", postfix);
    make_dir(f, "conf/sasl", 0); /* where Debian's Postfix looks, whatever the setting says */
    make_dir(f, "mail", nobody);
    make_dir(f, "mail/soc", nobody);
    make_dir(f, "mail/soc/cur", nobody);
    make_dir(f, "mail/soc/tmp", nobody);
    make_dir(f, "mail/soc/new", nobody);
    (void)snprintf(f->maildir, sizeof f->maildir, "%s/mail/soc/new", f->dir);
    (void)snprintf(f->ca_file, sizeof f->ca_file, "%s/ca.pem", f->dir);
    (void)snprintf(pem, sizeof pem, "%s/server.pem", f->dir);
    f->ca = smtp_ca_new(f->ca_file);
    smtp_ca_issue(f->ca, "DNS:localhost,IP:127.0.0.1", pem);

    write_file(f, "conf/main.cf",
               "compatibility_level = 3.6\n"
               "queue_directory = %1$s/queue\n"
               "data_directory = %1$s/data\n"
               "daemon_directory = /usr/lib/postfix/sbin\n"
               "maillog_file = %1$s/log\n"
               "maillog_file_prefixes = %1$s\n"
               "myhostname = mail.contoso.example\n"
               "mydestination =\n"
               "mynetworks =\n"
               "inet_interfaces = 127.0.0.1\n"
               "inet_protocols = ipv4\n"
               "alias_maps =\n"
               "alias_database =\n"
               "local_recipient_maps =\n"
               "smtpd_peername_lookup = no\n"
               "virtual_mailbox_domains = contoso.example\n"
               "virtual_mailbox_maps = inline:{soc@contoso.example=soc/}\n"
               "virtual_mailbox_base = %1$s/mail\n"
               "virtual_uid_maps = static:%2$u\n"
               "virtual_gid_maps = static:%2$u\n"
               "smtpd_tls_chain_files = %1$s/server.pem\n"
               "smtpd_tls_security_level = encrypt\n"
               "smtpd_tls_auth_only = yes\n"
               "smtpd_tls_received_header = yes\n"
               "smtpd_sasl_auth_enable = yes\n"
               "smtpd_sasl_type = cyrus\n"
               "smtpd_sasl_local_domain = contoso.example\n"
               "cyrus_sasl_config_path = %1$s/conf/sasl\n"
               "smtpd_relay_restrictions = permit_sasl_authenticated, reject\n"
               "smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
               f->dir, (unsigned)nobody);
    write_file(f, "conf/master.cf",
               "127.0.0.1:%u inet n - n - - smtpd\n"
               "127.0.0.1:%u inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
               "cleanup unix n - n - 0 cleanup\n"
               "qmgr unix n - n 300 1 qmgr\n"
               "rewrite unix - - n - - trivial-rewrite\n"
               "bounce unix - - n - 0 bounce\n"
               "defer unix - - n - 0 bounce\n"
               "trace unix - - n - 0 bounce\n"
               "virtual unix - n n - - virtual\n"
               "error unix - - n - - error\n"
               "retry unix - - n - - error\n"
               "proxymap unix - - n - - proxymap\n"
               "anvil unix - - n - 1 anvil\n"
               "tlsmgr unix - - n 1000? 1 tlsmgr\n"
               "postlog unix-dgram n - n - 1 postlogd\n",
               f->port, f->tls_port);
    write_file(f, "conf/sasl/smtpd.conf",
               "pwcheck_method: auxprop\n"
               "auxprop_plugin: sasldb\n"
               "sasldb_path: %s/sasldb2\n"
               "mech_list: PLAIN LOGIN\n",
               f->dir);
    (void)snprintf(path, sizeof path, "%s/sasldb2", f->dir);
    run((const char *const[]){SASLPASSWD, "-f", path, "-c", "-p", "-u", "contoso.example", "cordon",
                              NULL},
        PASSWORD);
    assert_int_equal(chown(path, postfix, (gid_t)-1), 0);
    (void)snprintf(path, sizeof path, "%s/conf", f->dir);
    run((const char *const[]){POSTFIX, "-c", path, "check", NULL}, NULL);
}

static void start_postfix(struct fixture *f)
{
    int64_t deadline = look_now_ms() + DEADLINE_MS;
    char path[160];

    (void)snprintf(path, sizeof path, "%s/conf", f->dir);
    f->master = start((const char *const[]){MASTER, "-c", path, "-s", NULL}, NULL);
    while (!connects(f->port) || !connects(f->tls_port)) {
        if (waitpid(f->master, NULL, WNOHANG) != 0 || look_now_ms() > deadline) {
            f->master = 0;
            print_log(f);
            fail_msg("Postfix does not start");
        }
        (void)poll(NULL, 0,
                   20); /* nothing tells when a port opens; asked again until the deadline */
    }
}

static bool user_id(const char *name, uid_t *ret)
{
    struct passwd user, *found = NULL;
    char room[4096];

    if (getpwnam_r(name, &user, room, sizeof room, &found) || !found)
        return false;
    *ret = user.pw_uid;
    return true;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uid_t postfix, nobody;

    if (!f)
        return -1;
    *state = f;
    if (access(MASTER, X_OK) || access(POSTFIX, X_OK) || access(SASLPASSWD, X_OK) ||
        !user_id("postfix", &postfix)) {
        f->missing = "postfix and sasl2-bin are not installed (make deps)";
        return 0;
    }
    if (geteuid() != 0) {
        f->missing = "Postfix starts as root alone";
        return 0;
    }
    if (!user_id("nobody", &nobody))
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/cordon-postfix.XXXXXX");
    if (!mkdtemp(f->dir) || chmod(f->dir, 0755))
        return -1;
    f->port = port_take();
    f->tls_port = port_take();
    configure(f, postfix, nobody);
    start_postfix(f);
    return rest_new(&(struct rest_options){0}, &f->rest, NULL) == ERR_OK ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    rest_free(f->rest);
    if (f->master > 0) {
        (void)kill(f->master, SIGTERM);
        (void)waitpid(f->master, NULL, 0);
    }
    smtp_ca_free(f->ca);
    if (f->dir[0])
        (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

#define SKIP_WITHOUT_POSTFIX(f)                                                                    \
    do {                                                                                           \
        if ((f)->missing) {                                                                        \
            print_message("skipped: %s\n", (f)->missing);                                          \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* ---- a mailbox -------------------------------------------------------------------------------- */

static int is_message(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* How many messages there are; the path of one of them. */
static int list_mail(const struct fixture *f, char path[400])
{
    struct dirent **entries = NULL;
    int n = scandir(f->maildir, &entries, is_message, alphasort);

    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        (void)snprintf(path, 400, "%s/%s", f->maildir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return n;
}

/* Waits for a message, takes it out of the maildir into out. */
static void take_mail(const struct fixture *f, int watch, struct buf *out)
{
    int64_t deadline = look_now_ms() + DEADLINE_MS;
    char path[400], piece[4096], events[4096];

    while (list_mail(f, path) == 0) {
        struct pollfd p = {.fd = watch, .events = POLLIN};
        int64_t left = deadline - look_now_ms();

        if (left <= 0) {
            print_log(f);
            fail_msg("no mail came");
        }
        (void)poll(&p, 1, (int)left);
        while (read(watch, events, sizeof events) > 0)
            ;
    }
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    for (size_t n; (n = fread(piece, 1, sizeof piece, in)) > 0;)
        buf_add(out, piece, n);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(buf_failed(out), ERR_OK);
}

static int watch_mail(const struct fixture *f)
{
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    assert_true(watch >= 0);
    assert_true(inotify_add_watch(watch, f->maildir, IN_CREATE | IN_MOVED_TO) >= 0);
    return watch;
}

static bool mailbox_is_empty(const struct fixture *f)
{
    char path[400];

    return list_mail(f, path) == 0;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static struct mail_server server_of(const struct fixture *f, char url[64], bool tls)
{
    (void)snprintf(url, 64, "%s://localhost:%u", tls ? "smtps" : "smtp",
                   tls ? f->tls_port : f->port);
    return (struct mail_server){.url = url,
                                .username = "cordon@contoso.example",
                                .password = PASSWORD,
                                .ca_file = f->ca_file,
                                .helo = "cordon.contoso.example",
                                .timeout_ms = DEADLINE_MS};
}

static void build(struct buf *out, const char *text)
{
    static const char *const to[] = {"soc@contoso.example"};
    struct mime_message m = {
        .from = "cordon@contoso.example",
        .to = to,
        .to_count = 1,
        .subject = "[High] \xf0\x9f\x9a\xa8 Sensitive credential memory read on ws-114\r\nBcc: x@y",
        .message_id = "1@cordon.contoso.example",
        .date_ms = 1751371200000,
        .text = text,
        .html = text,
    };
    struct err e = {0};

    if (mime_build(&m, out, &e))
        fail_msg("%s", e.text);
}

static void test_postfix__delivers_what_was_built(void **state)
{
    static const char text[] = "The machine ws-114 is being isolated.\n.\n..\nFrom here on\n"
                               "a line of \xe8\xad\xa6\xe5\x91\x8a and = signs = \n\n.\r\nQUIT\n";
    struct fixture *f = *state;

    SKIP_WITHOUT_POSTFIX(f);
    for (int tls = 0; tls < 2; tls++) {
        AUTO(buf_clear)
        struct buf sent = BUF_INIT(1 << 20), got = BUF_INIT(1 << 20), crlf = BUF_INIT(1 << 20);
        const char *const to[] = {"soc@contoso.example", "nobody@contoso.example",
                                  "soc@fabrikam.example"};
        char url[64];
        struct mail_server s = server_of(f, url, tls);
        struct mail_result r[2];
        struct mail_read read;
        struct err e = {0};
        const char *own;
        int watch = watch_mail(f);

        build(&sent, text);
        if (mail_send(&s, f->rest, "cordon@contoso.example", to, 2, sent.data, sent.len, r, &e)) {
            print_log(f);
            fail_msg("%s: %s", url, e.text);
        }
        assert_int_equal(r[0].fate, MAIL_SENT);
        assert_int_equal(r[0].smtp_code, 250);
        assert_non_null(strstr(r[0].text, "2.0.0 Ok: queued as"));
        assert_int_equal(r[1].fate, MAIL_REFUSED);
        assert_int_equal(r[1].smtp_code, 550);
        assert_non_null(strstr(r[1].text, "5.1.1 <nobody@contoso.example>"));

        take_mail(f, watch, &got);
        (void)close(watch);
        assert_true(mailbox_is_empty(f));
        /* Postfix writes its trace above and line ends as LF; below that it is ours to the byte. */
        for (const char *p = got.data; *p; p++) {
            if (*p == '\n')
                buf_addc(&crlf, '\r');
            buf_addc(&crlf, *p);
        }
        own = strstr(crlf.data, "Date: Tue, 01 Jul 2025");
        assert_non_null(own);
        assert_string_equal(own, sent.data);
        assert_non_null(strstr(got.data, "Return-Path: <cordon@contoso.example>\n"));
        assert_non_null(strstr(got.data, "Delivered-To: soc@contoso.example\n"));
        assert_non_null(strstr(got.data, tls ? "using TLSv1.3" : "using TLSv1.2"));

        mail_read(&read, own, strlen(own));
        assert_string_equal(read.fault, "");
        assert_string_equal(
            mail_header(&read, "Subject"),
            "[High] \xf0\x9f\x9a\xa8 Sensitive credential memory read on ws-114  Bcc: x@y");
        assert_null(mail_header(&read, "Bcc"));
        assert_int_equal(read.part_count, 2);
        assert_non_null(strstr(read.parts[0].body, "\r\n.\r\nQUIT\r\n"));
        mail_read_clear(&read);
    }
}

static void test_postfix__a_large_message_arrives_whole(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear)
    struct buf text = BUF_INIT(1 << 20), sent = BUF_INIT(1 << 22), got = BUF_INIT(1 << 22);
    const char *const to[] = {"soc@contoso.example"};
    char url[64];
    struct mail_result r[1];
    struct err e = {0};
    size_t at;
    const char *own;
    int watch;

    SKIP_WITHOUT_POSTFIX(f);
    struct mail_server s = server_of(f, url, false);
    for (int i = 0; text.len < 200 * 1024; i++)
        buf_addf(&text, ".%d a line of a log, with C:\\Windows\\System32\\x.exe\n", i);
    build(&sent, text.data);
    watch = watch_mail(f);
    if (mail_send(&s, f->rest, "cordon@contoso.example", to, 1, sent.data, sent.len, r, &e))
        fail_msg("%s", e.text);
    assert_int_equal(r[0].fate, MAIL_SENT);
    take_mail(f, watch, &got);
    (void)close(watch);
    own = strstr(got.data, "Date: Tue, 01 Jul 2025");
    assert_non_null(own);
    at = 0;
    for (const char *p = sent.data; *p; p++)
        if (*p != '\r' && own[at++] != *p)
            fail_msg("differs at byte %zu", at);
    assert_int_equal(own[at], '\0');
}

static void test_postfix__a_wrong_password_sends_nothing(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf sent = BUF_INIT(1 << 20);
    const char *const to[] = {"soc@contoso.example"};
    char url[64];
    struct mail_result r[1];

    SKIP_WITHOUT_POSTFIX(f);
    build(&sent, "text");
    for (int tls = 0; tls < 2; tls++) {
        struct mail_server s = server_of(f, url, tls);
        struct err e = {0};

        s.password = "wrong";
        assert_int_equal(
            mail_send(&s, f->rest, "cordon@contoso.example", to, 1, sent.data, sent.len, r, &e),
            ERR_DENIED);
        if (!strstr(e.text, "535 5.7.8"))
            fail_msg("%s", e.text);
        assert_int_equal(r[0].fate, MAIL_RETRY);
    }
    assert_true(mailbox_is_empty(f));
}

static void test_postfix__without_a_login_a_person_is_told_what_to_cure(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf sent = BUF_INIT(1 << 20);
    const char *const to[] = {"soc@contoso.example"};
    char url[64];
    struct mail_result r[1];

    SKIP_WITHOUT_POSTFIX(f);
    build(&sent, "text");
    struct mail_server s = server_of(f, url, false);
    s.username = NULL;
    assert_int_equal(
        mail_send(&s, f->rest, "cordon@contoso.example", to, 1, sent.data, sent.len, r, NULL),
        ERR_OK);
    assert_int_equal(r[0].fate, MAIL_RETRY);
    assert_int_equal(r[0].smtp_code, 554);
    assert_non_null(strstr(r[0].text, "it may want a login: 554 5.7.1"));
    assert_true(mailbox_is_empty(f));
}

static void test_postfix__a_root_that_is_not_ours_is_not_trusted(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_clear) struct buf sent = BUF_INIT(1 << 20);
    const char *const to[] = {"soc@contoso.example"};
    char url[64], other[128];
    struct mail_result r[1];

    SKIP_WITHOUT_POSTFIX(f);
    (void)snprintf(other, sizeof other, "%s/other.pem", f->dir);
    smtp_ca_free(smtp_ca_new(other));
    build(&sent, "text");
    for (int tls = 0; tls < 2; tls++) {
        struct mail_server s = server_of(f, url, tls);

        s.ca_file = other;
        assert_int_equal(
            mail_send(&s, f->rest, "cordon@contoso.example", to, 1, sent.data, sent.len, r, NULL),
            ERR_AGAIN);
        assert_int_equal(r[0].fate, MAIL_RETRY);
    }
    assert_true(mailbox_is_empty(f));
}

static void test_postfix__a_probe_finds_tls_and_login(void **state)
{
    struct fixture *f = *state;
    char url[64], what[160];

    SKIP_WITHOUT_POSTFIX(f);
    for (int tls = 0; tls < 2; tls++) {
        struct mail_server s = server_of(f, url, tls);
        struct err e = {0};

        if (mail_probe(&s, f->rest, "cordon@contoso.example", what, &e))
            fail_msg("%s: %s", url, e.text);
        assert_non_null(strstr(what, "logged in as cordon@contoso.example"));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postfix__delivers_what_was_built),
        cmocka_unit_test(test_postfix__a_large_message_arrives_whole),
        cmocka_unit_test(test_postfix__a_wrong_password_sends_nothing),
        cmocka_unit_test(test_postfix__without_a_login_a_person_is_told_what_to_cure),
        cmocka_unit_test(test_postfix__a_root_that_is_not_ours_is_not_trusted),
        cmocka_unit_test(test_postfix__a_probe_finds_tls_and_login),
    };

    if (argc == 2 && !strcmp(argv[1], "smtp-child"))
        return smtp_child_main(STDIN_FILENO, STDOUT_FILENO);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
