/* mail.c - see mail.h. Checks what it is given, picks the transport, and gives each recipient a fate.
 *
 * Checks stand here and not in the transports, because neither of these makes them: libesmtp passes CR LF
 * and > in addresses on to the server, both pass bare line feeds in bodies (library-traps.md).
 */
#include "mail.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "auto.h"
#include "clock.h"
#include "mime.h"
#include "rest.h"
#include "smtp.h"
#include "utf8.h"

#define LINE_MAX_BYTES 998         /* RFC 5322 section 2.1.1 */
#define SECRET_MAX     (64 * 1024) /* Entra's tokens are about 2 KiB */
#define HOST_MAX       255         /* RFC 1035 section 2.3.4 */

struct place {
    bool tls;      /* smtps:// */
    bool ipv6;     /* an address literal */
    bool loopback; /* by its name: 127.0.0.0/8, ::1, localhost */
    char host[HOST_MAX + 1];
    unsigned port;
};

const char *mail_fate_name(enum mail_fate fate)
{
    return fate == MAIL_SENT ? "sent" : fate == MAIL_REFUSED ? "refused" : "retry";
}

static bool is_loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return !strcasecmp(host, "localhost");
}

/* A name that may stand after EHLO or in a URL: what may stand after the @ of an address. */
static bool host_ok(const char *host)
{
    char address[HOST_MAX + 8];

    if (!*host || strlen(host) > MIME_ADDRESS_MAX - 2)
        return false;
    (void)snprintf(address, sizeof address, "x@%s", host);
    return mime_address_ok(address, NULL);
}

/* smtp[s]://host[:port], nothing behind it: a login does not belong into a URL, which gets logged. */
static enum err_code parse_url(const char *url, struct place *ret, struct err *e)
{
    struct place p = {0};
    struct in6_addr v6;
    const char *rest, *end;
    size_t len;

    if (!url)
        return err_set(e, ERR_INVALID, "it is missing");
    if (!strncasecmp(url, "smtps://", 8)) {
        p.tls = true;
        p.port = 465; /* RFC 8314 section 3.3 */
        rest = url + 8;
    } else if (!strncasecmp(url, "smtp://", 7)) {
        p.port = 587; /* RFC 6409 section 3.1 */
        rest = url + 7;
    } else {
        return err_set(e, ERR_INVALID,
                       "expected smtp://host:587, smtps://host:465 or graph:mailbox@domain");
    }
    if (strchr(rest, '@'))
        return err_set(e, ERR_INVALID, "no login in the URL; use username and password_file");
    if (*rest == '[') {
        end = strchr(++rest, ']');
        p.ipv6 = true;
    } else {
        end = rest + strcspn(rest, ":/");
    }
    len = end ? (size_t)(end - rest) : 0;
    if (len == 0 || len > HOST_MAX)
        return err_set(e, ERR_INVALID, "no host in %.100s", url);
    memcpy(p.host, rest, len);
    if (p.ipv6 ? inet_pton(AF_INET6, p.host, &v6) != 1 : !host_ok(p.host))
        return err_set(e, ERR_INVALID, "\"%.100s\" is no host", p.host);
    rest = end + p.ipv6;
    if (*rest == ':') {
        size_t digits = strspn(++rest, "0123456789");

        p.port = 0;
        for (size_t i = 0; i < digits && i < 6; i++)
            p.port = p.port * 10 + (unsigned)(rest[i] - '0');
        if (digits < 1 || digits > 5 || p.port < 1 || p.port > 65535)
            return err_set(e, ERR_INVALID, "no port in %.100s", url);
        rest += digits;
    }
    if (*rest && strcmp(rest, "/") != 0)
        return err_set(e, ERR_INVALID, "\"%.40s\" after the host in %.100s", rest, url);
    p.loopback = is_loopback(p.host);
    *ret = p;
    return ERR_OK;
}

static enum err_code check_server(const struct mail_server *s, struct place *ret, struct err *e)
{
    enum err_code code = parse_url(s->url, ret, e);

    if (code)
        return code;
    if (s->username && !*s->username)
        return err_set(e, ERR_INVALID, "the username is empty");
    if (s->username && strlen(s->username) > MAIL_USERNAME_MAX)
        return err_set(e, ERR_INVALID, "the username has more than %d bytes", MAIL_USERNAME_MAX);
    if (s->username && !s->password && !s->read_password)
        return err_set(e, ERR_INVALID, "a username without a password");
    if (s->oauth && !s->username)
        return err_set(e, ERR_INVALID, "oauth needs a username: the mailbox to log in to");
    if (s->helo && !host_ok(s->helo))
        return err_set(e, ERR_INVALID, "\"%.100s\" is no name for EHLO", s->helo);
    if (s->timeout_ms < 0)
        return err_set(e, ERR_INVALID, "a timeout below 0");
    return ERR_OK;
}

enum err_code mail_server_check(const struct mail_server *server, struct err *e)
{
    struct place place;

    return check_server(server, &place, e);
}

static enum err_code check_message(const char *message, size_t len, struct err *e)
{
    size_t line = 0;

    for (size_t i = 0; i < len; i++, line++) {
        if (message[i] == '\0' ||
            (message[i] == '\r' && (i + 1 == len || message[i + 1] != '\n')) ||
            (message[i] == '\n' && (i == 0 || message[i - 1] != '\r')))
            return err_set(e, ERR_INVALID, "the message has a bare CR, LF or NUL at byte %zu", i);
        if (message[i] == '\r') {
            if (line > LINE_MAX_BYTES)
                return err_set(e, ERR_INVALID, "the message has a line of %zu bytes", line);
            line = (size_t)-2; /* the CR and the LF do not count */
        }
    }
    if (len < 2 || message[len - 1] != '\n')
        return err_set(e, ERR_INVALID, "the message does not end with a line end");
    return ERR_OK;
}

/* ---- results ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void set_result(struct mail_result *r,
                                                             enum mail_fate fate, int code,
                                                             const char *fmt, ...)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(8192), clean = BUF_INIT(65536);
    va_list ap;

    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    mime_clean_line(&clean, buf_text(&text));
    *r = (struct mail_result){.fate = fate, .smtp_code = code};
    memcpy(r->text, buf_text(&clean), utf8_cut(buf_text(&clean), sizeof r->text - 1));
}

void mail_results_set(struct mail_result *results, size_t n, enum mail_fate fate, bool maybe_sent,
                      const char *text)
{
    for (size_t i = 0; i < n; i++) {
        set_result(&results[i], fate, 0, "%s", text);
        results[i].maybe_sent = maybe_sent;
    }
}

static void retry_all(struct mail_result *results, size_t n, const char *why)
{
    for (size_t i = 0; i < n; i++)
        set_result(&results[i], MAIL_RETRY, 0, "%s", why);
}

/* ---- smtps://, OAuth: libcurl ----------------------------------------------------------------- */

/* rest_answer.mail_step as a stage. */
static enum smtp_stage stage_of(const struct rest_answer *a)
{
    static const enum smtp_stage stage[] = {SMTP_AUTH, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_END};

    return a->mail_step >= 0 && a->mail_step <= 4 ? stage[a->mail_step] : SMTP_END;
}

/* One recipient, or a probe. Returns ERR_OK when others may fare better. */
static enum err_code send_one(struct rest *rest, const struct rest_request *q,
                              struct mail_result *result, struct err *e)
{
    struct rest_answer answer = {0};
    struct err why = {0};
    enum err_code code = rest_do(rest, q, &answer, &why);
    const char *words = "", *advice;
    const char *secret = q->bearer ? q->bearer : q->password;
    enum smtp_stage stage;
    enum mail_fate fate;

    if (code) {
        set_result(result, MAIL_RETRY, 0, "%s", why.text);
        result->maybe_sent = result->for_all = code == ERR_UNKNOWN || code == ERR_TOO_BIG;
        return result->maybe_sent ? ERR_OK : err_set(e, code, "%s", why.text);
    }
    if (answer.body_len > 4)
        words = answer.body + 4; /* behind the code */
    stage = stage_of(&answer);
    fate = smtp_fate(stage, (int)answer.status, words, &advice);
    set_result(
        result, fate, (int)answer.status, "%s%s%ld %s", advice, *advice ? ": " : "", answer.status,
        q->username && secret && smtp_repeats_login(words, q->username, secret) ? SMTP_WITHHELD
                                                                                : words);
    result->for_all = fate == MAIL_RETRY && smtp_is_for_all(stage, (int)answer.status, words);
    /* A no before MAIL is a no to everybody. */
    if (stage == SMTP_AUTH && answer.status / 100 != 2)
        code = err_set(e, answer.status / 100 == 5 && q->username ? ERR_DENIED : ERR_AGAIN,
                       "%s turns us away: %s", q->url, result->text);
    rest_answer_clear(&answer);
    return code;
}

static enum err_code send_by_rest(const struct smtp_job *job, struct rest *rest, bool tls,
                                  bool ipv6, bool oauth, struct mail_result *results, struct err *e)
{
    int64_t in_all = job->timeout_ms + job->answer_ms;
    int64_t deadline = clock_mono_ms(clock_system()) + in_all;
    char url[HOST_MAX + 32];
    struct rest_request q = {
        .url = url,
        .body = job->message,
        .body_len = job->message_len,
        .ca_file = job->ca_file,
        .mail_from = job->from,
        .username = job->username,
        .password = oauth ? NULL : job->password,
        .bearer = oauth ? job->password : NULL,
    };

    (void)snprintf(url, sizeof url, ipv6 ? "%s://[%s]:%u" : "%s://%s:%u", tls ? "smtps" : "smtp",
                   job->host, job->port);
    if (job->probe) {
        q.mail_probe = true;
        q.timeout_ms = job->timeout_ms;
        return send_one(rest, &q, &(struct mail_result){0}, e);
    }
    for (size_t i = 0; i < job->to_count; i++) {
        struct err why = {0};
        enum err_code code;

        q.mail_to = job->to[i];
        q.timeout_ms = deadline - clock_mono_ms(clock_system());
        q.answer_ms = 0;
        if (q.timeout_ms >
            job->timeout_ms) { /* what the others have left of the time for answers */
            q.answer_ms = q.timeout_ms - job->timeout_ms;
            q.timeout_ms = job->timeout_ms;
        }
        if (q.timeout_ms <= 0)
            code = err_set(&why, ERR_TIMEOUT, "%s: no end after %lld ms", url, (long long)in_all);
        else
            code = send_one(rest, &q, &results[i], &why);
        if (!code)
            continue;
        /* The first to meet it speaks for all that come after; those before have their fates. */
        for (size_t k = q.timeout_ms <= 0 ? i : i + 1; k < job->to_count; k++)
            set_result(&results[k], MAIL_RETRY, 0, "%s", why.text);
        return i == 0 ? err_set(e, code, "%s", why.text) : ERR_OK;
    }
    return ERR_OK;
}

/* ---- both ------------------------------------------------------------------------------------- */

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->room);
    buf_clear(b);
}

/* The password as it is now; left empty without a login. */
static enum err_code get_password(const struct mail_server *s, struct buf *ret, struct err *e)
{
    enum err_code code;

    if (!s->username)
        return ERR_OK;
    if (!s->read_password) {
        buf_adds(ret, s->password);
        return buf_failed(ret) ? err_set(e, buf_failed(ret), "the password of the mail login")
                               : ERR_OK;
    }
    code = s->read_password(s->read_password_ctx, ret, e);
    if (!code && buf_failed(ret))
        code = err_set(e, buf_failed(ret), "too long");
    if (!code && (!ret->len || memchr(ret->data, '\0', ret->len)))
        code = err_set(e, ERR_INVALID, ret->len ? "it holds a NUL" : "it is empty");
    if (code)
        (void)err_in(e, "the password of the mail login");
    return code;
}

static const char *own_name(char room[HOST_MAX + 1])
{
    if (gethostname(room, HOST_MAX) == 0) {
        room[HOST_MAX] = '\0';
        if (host_ok(room))
            return room;
    }
    return "localhost";
}

/* Runs a job (of which from, to and message are set) over the transport that can do it. */
static enum err_code transport(const struct mail_server *s, const struct place *place,
                               struct rest *rest, const struct smtp_job *what, char *ret_what,
                               struct mail_result *results, struct err *e)
{
    AUTO(wipe) struct buf secret = BUF_INIT(SECRET_MAX);
    struct smtp_job job = *what;
    char name[HOST_MAX + 1];
    enum err_code code = get_password(s, &secret, e);

    if (code)
        return code;
    job.host = place->host;
    job.port = place->port;
    job.plain_ok = place->loopback;
    job.username = s->username;
    job.password = s->username ? buf_text(&secret) : NULL;
    job.ca_file = s->ca_file;
    job.helo = s->helo ? s->helo : own_name(name);
    job.timeout_ms = s->timeout_ms ? s->timeout_ms : MAIL_TIMEOUT_MS;
    job.answer_ms = s->answer_ms;
    job.stop_fd = rest_stop_fd(rest);

    if (!place->tls && !s->oauth && !place->ipv6 && secret.len <= MAIL_PASSWORD_MAX)
        return smtp_send(s->helper, &job, results, ret_what, e);
    if (!rest)
        return err_set(e, ERR_INVALID, "%s: smtps, oauth and IPv6 addresses go through libcurl",
                       s->url);
    code = send_by_rest(&job, rest, place->tls, place->ipv6, s->oauth, results, e);
    if (!code && ret_what)
        (void)snprintf(ret_what, sizeof results->text, "TLS%s%s",
                       s->username ? ", logged in as " : "",
                       s->username ? s->username : ", no login");
    return code;
}

enum err_code mail_send(const struct mail_server *server, struct rest *rest, const char *from,
                        const char *const *to, size_t n, const char *message, size_t len,
                        struct mail_result *results, struct err *e)
{
    struct place place = {0};
    struct mail_result sent[MAIL_RECIPIENTS_MAX];
    const char *good[MAIL_RECIPIENTS_MAX];
    size_t place_of[MAIL_RECIPIENTS_MAX] = {0};
    struct smtp_job job = {.from = from, .to = good, .message = message, .message_len = len};
    struct err why = {0};
    enum err_code code;

    retry_all(results, n, "not tried");
    if (!n || n > MAIL_RECIPIENTS_MAX)
        code = err_set(&why, ERR_INVALID, "%zu recipients; 1 to %d can be served", n,
                       MAIL_RECIPIENTS_MAX);
    else if ((code = check_server(server, &place, &why)))
        (void)err_in(&why, "mail.server");
    else if ((code = check_message(message, len, &why)))
        ; /* why says so */
    else if (!mime_address_ok(from, &why))
        code = err_in(&why, "mail.from");
    if (code) {
        retry_all(results, n, why.text);
        return err_set(e, code, "%s", why.text);
    }

    for (size_t i = 0; i < n; i++) {
        if (!mime_address_ok(to[i], &why)) {
            set_result(&results[i], MAIL_REFUSED, 0, "%s", why.text);
            continue;
        }
        place_of[job.to_count] = i;
        good[job.to_count++] = to[i];
    }
    if (!job.to_count)
        return ERR_OK; /* each has its fate */
    for (size_t i = 0; i < job.to_count; i++)
        sent[i] = (struct mail_result){.fate = MAIL_RETRY};
    code = transport(server, &place, rest, &job, NULL, sent, &why);
    for (size_t i = 0; i < job.to_count; i++) {
        results[place_of[i]] = sent[i];
        if (!sent[i].text[0])
            set_result(&results[place_of[i]], MAIL_RETRY, 0, "%s", why.text);
    }
    return code ? err_set(e, code, "%s", why.text) : ERR_OK;
}

enum err_code mail_probe(const struct mail_server *server, struct rest *rest, const char *from,
                         char ret_what[160], struct err *e)
{
    struct smtp_job job = {.from = from, .probe = true};
    struct mail_result unused[1];
    char what[sizeof unused->text] = "";
    struct place place = {0};
    enum err_code code = check_server(server, &place, e);

    if (code)
        return err_in(e, "mail.server");
    if (!mime_address_ok(from, e)) {
        (void)err_in(e, "mail.from");
        return ERR_INVALID;
    }
    code = transport(server, &place, rest, &job, what, unused, e);
    if (!code)
        memcpy(ret_what, what, sizeof what);
    return code;
}
