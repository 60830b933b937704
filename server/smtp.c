/* smtp.c - the parent's side of smtp.h: starts the child, feeds it, hears it, kills it.
 *
 * One socket pair is both stdin and stdout of the child: send() with MSG_NOSIGNAL needs no global
 * SIGPIPE setting, and the end of the stream says that the child is gone. The child tells each stage as it
 * gets there, so that a child killed at the deadline, or dead of a signal, has still told whether the
 * message had left.
 */
#include "smtp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "auto.h"
#include "clock.h"
#include "json.h"
#include "mime.h"
#include "utf8.h"

#define HEAD_MAX   (128 * 1024) /* a job without its message: 100 addresses of 254 bytes, escaped */
#define ANSWER_MAX (512 * 1024) /* all that a child says: 100 replies of 4 KiB at most */
#define GOODBYE_MS 500          /* for QUIT, once the outcome is known */
/* Bytes of a password or token that are not shown, whatever of it follows: an answer may be cut. */
#define SECRET_HEAD 12

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const name[SMTP_STAGES] = {
        [SMTP_START] = "starting",
        [SMTP_CONNECT] = "looking up and connecting",
        [SMTP_GREETING] = "waiting for the greeting",
        [SMTP_EHLO] = "saying EHLO",
        [SMTP_STARTTLS] = "starting TLS",
        [SMTP_AUTH] = "logging in",
        [SMTP_MAIL] = "naming the sender",
        [SMTP_RCPT] = "naming a recipient",
        [SMTP_DATA] = "sending the message",
        [SMTP_END] = "waiting for the answer to the message",
        [SMTP_DONE] = "done",
    };

    return stage < SMTP_STAGES ? name[stage] : "?";
}

/* ---- replies ---------------------------------------------------------------------------------- */

/* Read from the top: the first row that fits decides. Faults that a person can cure (login, sender,
 * policy of the account) are MAIL_RETRY although their code is permanent: the notice waits, nothing is
 * lost. What is left over is judged by its first digit. */
static const struct {
    enum smtp_stage from, to; /* stages, inclusive */
    int code;                 /* 0: any that is not 2xx */
    const char *enhanced;     /* "": any */
    enum mail_fate fate;
    const char *why;
} rows[] = {
    /* defender-api.md section 9.2, Exchange Online */
    {SMTP_START, SMTP_END, 0, "5.7.30", MAIL_RETRY,
     "basic authentication has been switched off there; use oauth or server: graph:…"},
    {SMTP_START, SMTP_END, 0, "5.7.139", MAIL_RETRY,
     "SMTP AUTH is switched off for this tenant or mailbox, or a policy blocks it"},
    {SMTP_START, SMTP_END, 0, "5.7.57", MAIL_RETRY, "set mail.username and password_file"},
    {SMTP_START, SMTP_END, 0, "5.7.3", MAIL_RETRY, "wrong user name, password or token"},
    {SMTP_START, SMTP_END, 0, "5.2.252", MAIL_RETRY, "this login may not send as mail.from"},
    {SMTP_START, SMTP_END, 0, "5.7.60", MAIL_RETRY, "this login may not send as mail.from"},
    /* section 9.3, Gmail; 534-5.7.9 is its "application-specific password required" */
    {SMTP_START, SMTP_END, 0, "5.7.8", MAIL_RETRY, "wrong user name or password"},
    {SMTP_START, SMTP_END, 0, "5.7.9", MAIL_RETRY, "the server wants an application password"},
    /* RFC 4954 section 6 and RFC 3207 section 4: 530 login or STARTTLS required, 534, 535, 538 */
    {SMTP_START, SMTP_END, 530, "", MAIL_RETRY, "the server wants a login or TLS first"},
    {SMTP_START, SMTP_END, 534, "", MAIL_RETRY, "the server wants another kind of login"},
    {SMTP_START, SMTP_END, 535, "", MAIL_RETRY, "wrong user name or password"},
    {SMTP_START, SMTP_END, 538, "", MAIL_RETRY, "the server wants TLS before a login"},
    /* RFC 5321 section 4.2.4: out of sequence is a fault between the two programs, not of the mail */
    {SMTP_START, SMTP_END, 503, "", MAIL_RETRY, "the two sides lost step"},
    /* RFC 3463 section 3.2: 5.1.7 and 5.1.8 are about the sender, which many a server judges when it hears of a recipient
     * (Postfix by default, smtpd_delay_reject); so is 504, what it says of a name that is none: the host's in EHLO */
    {SMTP_RCPT, SMTP_END, 0, "5.1.7", MAIL_RETRY, "the server does not take this sender"},
    {SMTP_RCPT, SMTP_END, 0, "5.1.8", MAIL_RETRY, "the server does not take this sender"},
    {SMTP_RCPT, SMTP_END, 504, "", MAIL_RETRY,
     "the server wants a full name: cordon's host's, mail.from's or the recipient's"},
    /* RFC 1870 section 6, RFC 3463 section 3.4: a message too big stays too big */
    {SMTP_MAIL, SMTP_MAIL, 552, "", MAIL_REFUSED, "the message is too big for the server"},
    {SMTP_MAIL, SMTP_END, 0, "5.3.4", MAIL_REFUSED, "the message is too big for the server"},
    /* RFC 3463 section 3.3: 5.2.2 mailbox full, which its owner can cure */
    {SMTP_RCPT, SMTP_END, 0, "5.2.2", MAIL_RETRY, "the mailbox is full"},
    /* RFC 5321 section 4.5.3.1.10: 552 to RCPT, too many recipients, is to be taken as 452 */
    {SMTP_RCPT, SMTP_RCPT, 552, "", MAIL_RETRY, "too many recipients at once, or a full mailbox"},
    /* RFC 3463 section 3.8: 5.7.1 not authorized. To RCPT that is a relay that wants a login, or a mailbox
     * that takes no mail from us: both have an owner who can change it. */
    {SMTP_RCPT, SMTP_RCPT, 0, "5.7.1", MAIL_RETRY,
     "the server does not deliver there for us; it may want a login"},
    /* Nobody is refused for good before a recipient was named */
    {SMTP_START, SMTP_AUTH, 0, "", MAIL_RETRY, ""},
    {SMTP_MAIL, SMTP_MAIL, 0, "", MAIL_RETRY, "the server does not take this sender"},
};

/* The enhanced code at the start of text ("5.1.1 …"): its length, 0 when there is none (RFC 3463). */
static size_t enhanced_len(const char *text)
{
    size_t n = 1;

    if (!strchr("245", text[0]) || !text[0])
        return 0;
    for (int part = 0; part < 2; part++) {
        size_t digits;

        if (text[n] != '.')
            return 0;
        digits = strspn(text + n + 1, "0123456789");
        if (digits < 1 || digits > 3)
            return 0;
        n += 1 + digits;
    }
    return text[n] == ' ' || text[n] == '\0' || text[n] == '\r' || text[n] == '\n' ? n : 0;
}

enum mail_fate smtp_fate(enum smtp_stage stage, int code, const char *text, const char **ret_why)
{
    size_t len = enhanced_len(text);

    *ret_why = "";
    if (code / 100 == 2)
        return stage == SMTP_END || stage == SMTP_DONE ? MAIL_SENT : MAIL_RETRY;
    if (code / 100 != 5)
        return MAIL_RETRY; /* 4xx, none at all, or one that has no business here */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (stage < rows[i].from || stage > rows[i].to || (rows[i].code && rows[i].code != code))
            continue;
        if (rows[i].enhanced[0] &&
            (strlen(rows[i].enhanced) != len || memcmp(rows[i].enhanced, text, len) != 0))
            continue;
        *ret_why = rows[i].why;
        return rows[i].fate;
    }
    return MAIL_REFUSED;
}

/* In base64, its first bytes at least. Whole groups: what follows would change the last one. */
static bool holds_encoded(const char *answer, const char *bytes, size_t len)
{
    char code[SECRET_HEAD / 3 * 4 + 1];

    len = len < SECRET_HEAD ? len : SECRET_HEAD;
    len -= len < 6 ? 0 : len % 3;
    (void)EVP_EncodeBlock((unsigned char *)code, (const unsigned char *)bytes, (int)len);
    return strstr(answer, code);
}

bool smtp_repeats_login(const char *answer, const char *username, const char *secret)
{
    size_t len = strnlen(secret, SECRET_HEAD);
    char plain[64], xoauth2[64], bearer[64]; /* their heads are enough */
    int n = snprintf(plain, sizeof plain, "%c%s%c%s", 0, username, 0, secret);

    (void)snprintf(xoauth2, sizeof xoauth2, "user=%s\1auth=Bearer", username);
    (void)snprintf(bearer, sizeof bearer, "n,a=%s,\1host=", username);
    return len &&
           (memmem(answer, strlen(answer), secret, len) || holds_encoded(answer, secret, len) ||
            holds_encoded(answer, plain, n < 6 ? (size_t)n : 6) ||
            holds_encoded(answer, xoauth2, 9) || holds_encoded(answer, bearer, 9));
}

bool smtp_is_for_all(enum smtp_stage stage, int code, const char *text)
{
    size_t len = enhanced_len(text);

    if (stage != SMTP_RCPT || !code)
        return stage >= SMTP_MAIL;
    /* The sender and the name in EHLO, of whom many a server judges only here: as in rows. 4.1.8 is what Postfix says of a
     * sender by default (unknown_address_reject_code). */
    return code == 504 ||
           (len == 5 && (memcmp(text + 1, ".1.7", 4) == 0 || memcmp(text + 1, ".1.8", 4) == 0));
}

/* ---- results ---------------------------------------------------------------------------------- */

/* Puts a sentence into a result: one line, cut at a character's boundary. */
static void set_text(char *out, size_t room, const char *text)
{
    AUTO(buf_clear) struct buf clean = BUF_INIT(64 * 1024);
    size_t len;

    mime_clean_line(&clean, text);
    len = utf8_cut(buf_text(&clean), room - 1);
    while (len && buf_text(&clean)[len - 1] == ' ')
        len--;
    memcpy(out, buf_text(&clean), len);
    out[len] = '\0';
}

static void fill_all(struct mail_result *results, size_t n, bool maybe_sent, bool for_all,
                     const char *text)
{
    for (size_t i = 0; i < n; i++) {
        results[i] =
            (struct mail_result){.fate = MAIL_RETRY, .maybe_sent = maybe_sent, .for_all = for_all};
        set_text(results[i].text, sizeof results[i].text, text);
    }
}

static void fill_one(struct mail_result *r, const struct json *reply, bool unsure)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(16384);
    const char *words = json_get_string(reply, "text"), *why;
    int64_t stage = json_get_int64(reply, "stage", SMTP_START);
    int64_t code = json_get_int64(reply, "code", 0);

    words = words ? words : "";
    if (stage < 0 || stage >= SMTP_STAGES || code < 0 || code > 999)
        stage = SMTP_START, code = 0;
    *r = (struct mail_result){.fate = smtp_fate((enum smtp_stage)stage, (int)code, words, &why),
                              .smtp_code = (int)code};
    /* And libesmtp's own word for it (smtp_child.c, two witnesses). */
    if (r->fate == MAIL_SENT && !json_is_true(json_get(reply, "complete")))
        r->fate = MAIL_RETRY;
    r->maybe_sent = r->fate == MAIL_RETRY && unsure && code == 0;
    r->for_all = r->fate == MAIL_RETRY && smtp_is_for_all((enum smtp_stage)stage, (int)code, words);
    if (*why)
        buf_addf(&text, "%s: ", why);
    if (code)
        buf_addf(&text, "%d %s", (int)code, words);
    else
        buf_addf(&text, "no answer (%s)", smtp_stage_name((enum smtp_stage)stage));
    set_text(r->text, sizeof r->text, buf_text(&text));
}

static enum err_code code_named(const char *name)
{
    for (int i = 0; i < ERR_CODES; i++)
        if (name && !strcmp(name, err_name((enum err_code)i)))
            return (enum err_code)i;
    return ERR_IO;
}

/* ---- the child -------------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int fd;
    struct buf said;       /* bytes of lines not yet read */
    enum smtp_stage stage; /* the last one it told */
    struct json *outcome;  /* its last line; NULL until then */
    int64_t deadline_ms;   /* mono */
};

static void child_end(struct child *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    if (c->pid > 0) {
        /* Ours until it is reaped, so the pid cannot be another's. Killing one that has ended does
         * nothing. */
        (void)kill(c->pid, SIGKILL);
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    buf_clear(&c->said);
    json_free(c->outcome);
}

/* What the child needs of our environment: where the system's roots are, and how names resolve. HOME is set
 * to nowhere, because libesmtp looks for client certificates there and frees them once too often. */
static void child_environment(char *room, size_t size, char *env[], size_t n)
{
    static const char *const keep[] = {"SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF",
                                       "RES_OPTIONS",   "LOCALDOMAIN",  "LD_LIBRARY_PATH"};
    static char home[] = "HOME=/nonexistent";
    size_t count = 0, used = 0;

    env[count++] = home;
    for (size_t i = 0; i < sizeof keep / sizeof keep[0] && count < n - 1; i++) {
        const char *value = getenv(keep[i]);
        int len;

        if (!value)
            continue;
        len = snprintf(room + used, size - used, "%s=%s", keep[i], value);
        if (len < 0 || (size_t)len >= size - used)
            continue; /* longer than any path */
        env[count++] = room + used;
        used += (size_t)len + 1;
    }
    env[count] = NULL;
}

/* The child's descriptors, signals and program; an errno. Our other descriptors are close-on-exec; should
 * one not be, it ends here. */
static int spawn(pid_t *ret_pid, const char *program, int fd)
{
    char *argv[] = {(char[]){"cordon"}, (char[]){"smtp-child"}, NULL};
    char room[8192], *env[8];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int fault;

    child_environment(room, sizeof room, env, sizeof env / sizeof env[0]);
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if ((fault = posix_spawn_file_actions_init(&files)))
        return fault;
    if ((fault = posix_spawnattr_init(&attr)))
        goto out;
    if (!(fault = posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO)) &&
        !(fault = posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO)) &&
        !(fault = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1)) &&
        !(fault = posix_spawnattr_setsigmask(&attr, &none)) &&
        !(fault = posix_spawnattr_setsigdefault(&attr, &all)) &&
        !(fault = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)))
        fault = posix_spawn(ret_pid, program, &files, &attr, argv, env);
    (void)posix_spawnattr_destroy(&attr);
out:
    (void)posix_spawn_file_actions_destroy(&files);
    return fault;
}

static enum err_code child_start(struct child *c, const char *helper, struct err *e)
{
    const char *program = helper ? helper : "/proc/self/exe";
    int pair[2], fault;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return err_set(e, ERR_IO, "socketpair: %s", strerror(errno));
    c->fd = pair[0];
    fault = spawn(&pid, program, pair[1]);
    (void)close(pair[1]);
    if (fault)
        return err_set(e, ERR_IO, "start %s: %s", program, strerror(fault));
    c->pid = pid;
    (void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return ERR_OK;
}

/* Takes whole lines out of c->said. */
static void child_lines(struct child *c)
{
    char *line = c->said.data, *end;
    size_t left = c->said.len;

    while (left && (end = memchr(line, '\n', left))) {
        struct json *doc = NULL;
        int64_t stage;

        if (!json_parse(line, (size_t)(end - line), &doc, NULL)) {
            if (json_int64(json_get(doc, "stage"), &stage) && stage >= 0 && stage < SMTP_STAGES)
                c->stage = (enum smtp_stage)stage;
            if (json_get(doc, "outcome") && !c->outcome) {
                c->outcome = doc;
                doc = NULL;
            }
            json_free(doc);
        }
        left -= (size_t)(end + 1 - line);
        line = end + 1;
    }
    if (left != c->said.len) {
        memmove(c->said.data, line, left);
        c->said.len = left;
    }
}

/* The deadline as it is by what the child has said now; before: its stage before that. */
static void move_deadline(struct child *c, enum smtp_stage before, int64_t answer_ms)
{
    int64_t now = clock_mono_ms(clock_system());

    if (c->stage == SMTP_END && before != SMTP_END && now + answer_ms > c->deadline_ms)
        c->deadline_ms = now + answer_ms;
    if (c->outcome && c->deadline_ms > now + GOODBYE_MS)
        c->deadline_ms = now + GOODBYE_MS;
}

/* Feeds and hears the child until it ends: false when the deadline passes, or stop_fd says to stop. */
static bool child_talk(struct child *c, struct buf *head, const struct smtp_job *job)
{
    const char *message = job->probe ? "" : job->message;
    size_t head_sent = 0, message_sent = 0, len = job->probe ? 0 : job->message_len;
    bool sending = true;

    for (;;) {
        struct pollfd fds[2] = {{.fd = c->fd, .events = (short)(POLLIN | (sending ? POLLOUT : 0))},
                                {.fd = job->stop_fd ? job->stop_fd : -1, .events = POLLIN}};
        struct pollfd p;
        int64_t left = c->deadline_ms - clock_mono_ms(clock_system());
        char piece[4096];
        ssize_t n;

        if (left <= 0)
            return c->outcome != NULL;
        if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
            return false;
        p = fds[0];
        if (fds[1].revents && !p.revents) /* what it has to say is heard first */
            return c->outcome != NULL;
        if (sending && (p.revents & (POLLOUT | POLLERR | POLLHUP))) {
            bool first = head_sent < head->len;

            n = first ? send(c->fd, head->data + head_sent, head->len - head_sent, MSG_NOSIGNAL)
                      : send(c->fd, message + message_sent, len - message_sent, MSG_NOSIGNAL);
            if (n >= 0)
                *(first ? &head_sent : &message_sent) += (size_t)n;
            else if (errno != EAGAIN && errno != EINTR)
                sending = false; /* it ended early; what it said is still to be read */
            if (head_sent == head->len && message_sent == len && sending) {
                sending = false;
                (void)shutdown(c->fd, SHUT_WR);
            }
        }
        if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
            n = recv(c->fd, piece, sizeof piece, 0);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                return true;
            if (n > 0) {
                enum smtp_stage before = c->stage;

                buf_add(&c->said, piece, (size_t)n);
                if (buf_failed(&c->said))
                    return true; /* no child of ours; it has no outcome */
                child_lines(c);
                move_deadline(c, before, job->answer_ms);
            }
        }
    }
}

/* How a child without an outcome ended; reaps it. */
static enum err_code child_died(struct child *c, struct err *e)
{
    int status = 0;
    pid_t got;
    int pidfd = pidfd_open(c->pid, 0);

    /* Its end of the socket is closed, so it is ending. Should it only have closed it, it is no child of
     * ours and has no more to say. */
    if (pidfd >= 0) {
        (void)poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, GOODBYE_MS);
        (void)close(pidfd);
    }
    (void)kill(c->pid, SIGKILL);
    while ((got = waitpid(c->pid, &status, 0)) < 0 && errno == EINTR)
        ;
    c->pid = 0;
    if (got > 0 && WIFSIGNALED(status))
        return err_set(e, ERR_IO, "the mail process died of signal %d (%s)", WTERMSIG(status),
                       smtp_stage_name(c->stage));
    if (got > 0 && WIFEXITED(status))
        return err_set(e, ERR_IO, "the mail process ended with %d and no outcome (%s)",
                       WEXITSTATUS(status), smtp_stage_name(c->stage));
    return err_set(e, ERR_IO, "the mail process is gone (%s)", smtp_stage_name(c->stage));
}

/* ---- the job ---------------------------------------------------------------------------------- */

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->room);
    buf_clear(b);
}

static void write_head(struct buf *head, const struct smtp_job *job)
{
    static const char zeros[1024];
    struct json_out o = JSON_OUT(head);

    /* All of its room at once: a buffer that grows leaves copies of the password behind. */
    while (head->len + sizeof zeros <= head->limit && !buf_failed(head))
        buf_add(head, zeros, sizeof zeros);
    buf_reset(head);

    json_out_object(&o, NULL);
    json_out_string(&o, "host", job->host);
    json_out_int(&o, "port", job->port);
    json_out_bool(&o, "plain_ok", job->plain_ok);
    json_out_bool(&o, "probe", job->probe);
    json_out_string(&o, "username", job->username);
    json_out_string(&o, "password", job->username ? job->password : NULL);
    json_out_string(&o, "ca_file", job->ca_file);
    json_out_string(&o, "helo", job->helo);
    json_out_int(&o, "timeout_ms", job->timeout_ms + job->answer_ms); /* after that nobody waits */
    json_out_string(&o, "from", job->from);
    json_out_array(&o, "to");
    for (size_t i = 0; i < job->to_count; i++)
        json_out_string(&o, NULL, job->to[i]);
    json_out_array_end(&o);
    json_out_object_end(&o);
    buf_addc(head, '\n');
}

enum err_code smtp_send(const char *helper, const struct smtp_job *job, struct mail_result *results,
                        char *ret_what, struct err *e)
{
    int64_t began = clock_mono_ms(clock_system());
    AUTO(child_end)
    struct child child = {
        .fd = -1, .said = BUF_INIT(ANSWER_MAX), .deadline_ms = began + job->timeout_ms};
    AUTO(wipe) struct buf head = BUF_INIT(HEAD_MAX);
    struct err why = {0};
    const struct json *reply;
    const char *text;
    bool in_time, unsure;
    size_t i = 0;

    fill_all(results, job->to_count, false, false, "not tried");
    write_head(&head, job);
    if (buf_failed(&head))
        return err_set(e, buf_failed(&head), "mail job");
    if (child_start(&child, helper, &why)) {
        fill_all(results, job->to_count, false, false, why.text);
        return err_set(e, why.code, "%s", why.text);
    }
    in_time = child_talk(&child, &head, job);
    if (!child.outcome) {
        if (in_time)
            (void)child_died(&child, &why);
        else if (clock_mono_ms(clock_system()) < child.deadline_ms)
            (void)err_set(&why, ERR_STOPPING, "%s:%u: given up, shutting down (%s)", job->host,
                          job->port, smtp_stage_name(child.stage));
        else
            (void)err_set(&why, ERR_TIMEOUT, "%s:%u: no end after %lld ms (%s)", job->host,
                          job->port, (long long)(child.deadline_ms - began),
                          smtp_stage_name(child.stage));
        fill_all(results, job->to_count, child.stage == SMTP_END,
                 smtp_is_for_all(child.stage, 0, ""), why.text);
        return err_set(e, why.code, "%s", why.text);
    }

    text = json_get_string(child.outcome, "text");
    unsure = json_is_true(json_get(child.outcome, "unsure"));
    set_text(why.text, sizeof why.text, text ? text : "");
    why.code = code_named(json_get_string(child.outcome, "outcome"));
    if (why.code) {
        fill_all(results, job->to_count, unsure, smtp_is_for_all(child.stage, 0, ""), why.text);
        return err_set(e, why.code, "%s", why.text);
    }
    if (ret_what)
        set_text(ret_what, sizeof results->text, why.text);
    reply = json_first(json_get(child.outcome, "recipients"));
    for (; i < job->to_count && reply; i++, reply = json_next(reply))
        fill_one(&results[i], reply, unsure);
    return ERR_OK;
}
