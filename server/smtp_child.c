/* smtp_child.c - one SMTP session, in the process that exists for it; alone sees libesmtp.h.
 *
 * What libesmtp 1.1.0 gets wrong (library-traps.md) is not repaired case by case but made unreachable:
 *
 *   the gate      its monitor shows every command before it is written and every reply before it is read.
 *                 A command that may not leave ends the process instead: MAIL without TLS or login, an
 *                 AUTH other than PLAIN and LOGIN, DATA for nobody.
 *   the filter    of the extensions that EHLO announces it may see STARTTLS, SIZE and AUTH PLAIN, LOGIN. So
 *                 there is no pipelining (each reply belongs to the one command before it), no BDAT
 *                 (whose drops it reports as sent), no NTLM (whose plug-in writes past its buffers).
 *   turns         bytes behind a complete reply are a server, or somebody between, speaking out of
 *                 turn: the STARTTLS injection is one case of it. The process ends.
 *   one clock     its timeouts drop bytes in the middle of a message and go on. They are set to after
 *                 the deadline, at which the parent kills this process.
 *   two witnesses a recipient counts as served when libesmtp says so (2xx for it and for the message, and
 *                 complete) and the last reply that was seen here says so as well.
 *
 * Ending the process in the middle of a call into the library is what a process of its own is for: nothing
 * is unwound, the outcome is written and _exit'ed. Tried before: letting libesmtp finish and judging
 * afterwards; then the password or the message has left already.
 */
#include "smtp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <auth-client.h>
#include <libesmtp.h>

#include "auto.h"
#include "json.h"

#define JOB_MAX        (32 * 1024 * 1024) /* bytes of a job: mime.h's largest message, and more */
#define ALARM_GRACE_S  10                 /* after the deadline, when the parent cannot kill us */
#define AFTER_DEADLINE 60000              /* ms that libesmtp's own timeouts lie behind it */

struct reply {
    int code; /* 0: none yet */
    char text[256];
};

struct session {
    int out;
    struct smtp_job job; /* strings borrowed from the parsed job */
    enum smtp_stage stage;
    /* false on loopback without ca_file: no worse than the plain text allowed */
    bool check_certificate;

    /* what was seen on the wire */
    bool reply_due; /* a command has left, its reply is not complete */
    bool ehlo_due;  /* that reply answers EHLO */
    bool starttls_offered;
    bool logged_in;
    unsigned accepted;  /* recipients with a 2xx */
    struct reply reply; /* the last complete one, or the one that is being read */
    char line[512];     /* of a reply, until its line end; longer ones are cut */
    size_t line_len;
    size_t column;       /* in the line, for the filter */
    bool word_start;     /* the filter is at the first letter of a mechanism */
    char mechanisms[96]; /* AUTH as it was offered */
    struct reply end;    /* the reply to the whole message */

    /* TLS */
    bool tls;
    bool roots_read; /* the file of the system's roots, too */
    char tls_version[16];
    char certificate_fault[200];

    smtp_message_t message;
    smtp_recipient_t recipients[MAIL_RECIPIENTS_MAX];
    bool given;    /* the message has been handed to libesmtp */
    bool reported; /* the outcome is with the parent; what follows is good manners */
    const char *to[MAIL_RECIPIENTS_MAX];
};

/* ---- to the parent ---------------------------------------------------------------------------- */

static void write_line(struct session *s, struct buf *line)
{
    const char *p = buf_text(line);
    size_t left = line->len;

    while (left) {
        ssize_t n = write(s->out, p, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(1); /* nobody listens any more */
        p += n;
        left -= (size_t)n;
    }
}

static void reach(struct session *s, enum smtp_stage stage)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(256);
    struct json_out o = JSON_OUT(&line);

    if (s->stage == stage)
        return;
    s->stage = stage;
    json_out_object(&o, NULL);
    json_out_int(&o, "stage", stage);
    json_out_object_end(&o);
    buf_addc(&line, '\n');
    write_line(s, &line);
}

static bool holds_secret(const struct session *s, const char *text)
{
    return s->job.username && smtp_repeats_login(text, s->job.username, s->job.password);
}

static void json_out_reply(struct session *s, struct json_out *o, const char *name,
                           enum smtp_stage stage, int code, const char *text, bool complete)
{
    json_out_object(o, name);
    json_out_int(o, "stage", stage);
    json_out_int(o, "code", code);
    json_out_string(o, "text", !text ? "" : holds_secret(s, text) ? SMTP_WITHHELD : text);
    json_out_bool(o, "complete", complete);
    json_out_object_end(o);
}

/* The reply that decides about recipient i. */
static void json_out_recipient(struct session *s, struct json_out *o, size_t i)
{
    const smtp_status_t *mail = smtp_reverse_path_status(s->message);
    const smtp_status_t *rcpt = smtp_recipient_status(s->recipients[i]);
    const smtp_status_t *data = smtp_message_transfer_status(s->message);
    bool complete = smtp_recipient_check_complete(s->recipients[i]);

    if (mail->code && mail->code / 100 != 2)
        json_out_reply(s, o, NULL, SMTP_MAIL, mail->code, mail->text, false);
    else if (rcpt->code && rcpt->code / 100 != 2)
        json_out_reply(s, o, NULL, SMTP_RCPT, rcpt->code, rcpt->text, false);
    else if (rcpt->code && data->code / 100 == 2 && complete && s->end.code / 100 == 2)
        json_out_reply(s, o, NULL, SMTP_END, s->end.code, s->end.text, true);
    else if (rcpt->code && (data->code / 100 == 4 || data->code / 100 == 5))
        json_out_reply(s, o, NULL, SMTP_DATA, data->code, data->text, false);
    else /* not tried, or no answer: 354 and a BDAT's 250 stay behind in data->code */
        json_out_reply(s, o, NULL, s->stage, 0, NULL, false);
}

/* Writes the outcome. code ERR_OK: the server spoke about the message. */
static void report(struct session *s, enum err_code code, const char *text)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(256 * 1024);
    struct json_out o = JSON_OUT(&line);

    json_out_object(&o, NULL);
    json_out_string(&o, "outcome", err_name(code));
    json_out_string(&o, "text", text);
    json_out_int(&o, "stage", s->stage);
    json_out_bool(&o, "unsure", s->stage == SMTP_END && !s->end.code);
    json_out_array(&o, "recipients");
    for (size_t i = 0; i < s->job.to_count && code == ERR_OK && !s->job.probe; i++)
        json_out_recipient(s, &o, i);
    json_out_array_end(&o);
    json_out_object_end(&o);
    buf_addc(&line, '\n');
    write_line(s, &line);
    s->reported = true;
}

/* Writes the outcome and ends the process. */
__attribute__((format(printf, 3, 4))) static _Noreturn void finish(struct session *s,
                                                                   enum err_code code,
                                                                   const char *fmt, ...)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(2048);
    va_list ap;

    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    if (!s->reported)
        report(s, code, buf_text(&text));
    _exit(0);
}

/* Ends the process for a login that cannot be had; the server's last words say why. */
static _Noreturn void finish_login(struct session *s)
{
    const char *why = "";

    if (!s->mechanisms[0])
        finish(s, ERR_DENIED, "the server offers no login%s",
               s->tls ? "" : ", at least not without TLS");
    if (s->stage != SMTP_AUTH || !s->reply.code)
        finish(s, ERR_DENIED, "no login that is known here is offered (offered: %s)",
               s->mechanisms);
    if (s->reply.code / 100 == 4)
        finish(s, ERR_AGAIN, "login as %s: %d %s", s->job.username, s->reply.code,
               holds_secret(s, s->reply.text) ? "" : s->reply.text);
    (void)smtp_fate(SMTP_AUTH, s->reply.code, s->reply.text, &why);
    finish(s, ERR_DENIED, "login as %s refused: %d %s%s%s", s->job.username, s->reply.code,
           holds_secret(s, s->reply.text) ? "" : s->reply.text, *why ? "; " : "", why);
}

static _Noreturn void finish_unreached(struct session *s, bool failed);

/* ---- commands, before they leave -------------------------------------------------------------- */

static bool begins(const char *bytes, int len, const char *with)
{
    size_t n = strlen(with);

    return (size_t)len >= n && !memcmp(bytes, with, n);
}

static void expect_reply(struct session *s)
{
    s->reply_due = true;
    s->reply = (struct reply){0};
    s->line_len = s->column = 0;
}

static void gate(struct session *s, const char *bytes, int len)
{
    enum need { NOTHING, TLS, LOGIN, SOMEBODY }; /* each includes those before it */
    static const struct {
        const char *verb;
        enum need need;
        enum smtp_stage stage;
    } rule[] = {
        {"EHLO ", NOTHING, SMTP_EHLO},
        {"HELO ", NOTHING, SMTP_EHLO},
        {"STARTTLS\r\n", NOTHING, SMTP_STARTTLS},
        {"QUIT\r\n", NOTHING, SMTP_STAGES},
        {"AUTH PLAIN", TLS, SMTP_AUTH},
        {"AUTH LOGIN", TLS, SMTP_AUTH},
        {"MAIL FROM:<", LOGIN, SMTP_MAIL},
        {"RCPT TO:<", LOGIN, SMTP_RCPT},
        {"DATA\r\n", SOMEBODY, SMTP_DATA},
    };
    bool tls_demanded = !s->job.plain_ok || s->starttls_offered;

    if (s->stage == SMTP_AUTH && s->reply.code / 100 == 3) { /* the answer to a 334 */
        expect_reply(s);
        return;
    }
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
        if (!begins(bytes, len, rule[i].verb))
            continue;
        if (rule[i].need >= TLS && tls_demanded && !s->tls)
            finish(s, ERR_AGAIN, "the connection is not encrypted; nothing was sent");
        if (rule[i].need >= LOGIN && s->job.username && !s->logged_in)
            finish_login(s);
        if (rule[i].need >= LOGIN && s->job.probe)
            finish(s, ERR_OK, "%s%s, %s%s", s->tls ? s->tls_version : "without TLS on loopback",
                   s->tls && !s->check_certificate ? " (certificate not checked: loopback)" : "",
                   s->job.username ? "logged in as " : "no login",
                   s->job.username ? s->job.username : "");
        if (rule[i].need >= SOMEBODY && !s->accepted)
            finish(s, ERR_OK, "no recipient was accepted");
        if (rule[i].stage == SMTP_STAGES) { /* QUIT: all is decided, whatever it is answered with */
            if (!smtp_reverse_path_status(s->message)->code)
                finish_unreached(s, false);
            report(s, ERR_OK, "");
            return;
        }
        /* Told no, libesmtp tries the same password with the next mechanism, which brings an account
         * nearer to being locked. Only "no such mechanism" is worth it (RFC 4954 section 4: 504). */
        if (rule[i].stage == SMTP_AUTH && s->stage == SMTP_AUTH && s->reply.code != 504)
            finish_login(s);
        reach(s, rule[i].stage);
        s->ehlo_due = rule[i].stage == SMTP_EHLO;
        if (s->ehlo_due)
            s->mechanisms[0] = '\0';
        expect_reply(s);
        return;
    }
    finish(s, ERR_AGAIN, "the mail library was about to send a command that it should not");
}

/* ---- replies, before they are read ------------------------------------------------------------ */

/* One line of a reply, without its end. */
static void take_line(struct session *s)
{
    const char *p = s->line;
    size_t used = strlen(s->reply.text);

    s->line[s->line_len] = '\0';
    if (s->line_len && p[s->line_len - 1] == '\r')
        s->line[--s->line_len] = '\0';
    if (strspn(p, "0123456789") != 3 || (p[3] && p[3] != ' ' && p[3] != '-'))
        finish(s, ERR_AGAIN, "the server does not speak SMTP: it said \"%.60s\"", p);
    if (s->line_len > 4 && used + 1 < sizeof s->reply.text)
        (void)snprintf(s->reply.text + used, sizeof s->reply.text - used, "%s%s", used ? " " : "",
                       p + 4); /* a long reply is cut */
    if (s->ehlo_due && s->line_len > 4) {
        const char *word = p + 4;

        if (!strcasecmp(word, "STARTTLS"))
            s->starttls_offered = true;
        else if (!strncasecmp(word, "AUTH", 4) && (word[4] == ' ' || word[4] == '='))
            (void)snprintf(s->mechanisms, sizeof s->mechanisms, "%s", word + 5);
    }
    if (p[3] == '-')
        return;
    s->reply.code = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
    s->reply_due = false;
    if (s->stage == SMTP_AUTH && s->reply.code / 100 == 2)
        s->logged_in = true;
    if (s->stage == SMTP_RCPT && s->reply.code / 100 == 2)
        s->accepted++;
    if (s->stage == SMTP_END)
        s->end = s->reply;
}

/* Hides an extension from libesmtp by its first letter, so that it works however the bytes arrive: S
 * stands for STARTTLS and SIZE, A for AUTH, of whose mechanisms P and L for PLAIN and LOGIN. */
static void filter(struct session *s, char *c)
{
    if (*c == '\n') {
        s->column = 0;
        return;
    }
    if (s->column == 4) {
        s->word_start = false;
        if (!strchr("AaSs", *c))
            *c = 'Y';
    } else if (s->column > 4) {
        if (s->word_start && !strchr("PpLl \r", *c))
            *c = 'Y';
        s->word_start = *c == ' ' || *c == '=';
    }
    s->column++;
}

static void hear(struct session *s, char *bytes, int len)
{
    if (s->reported)
        _exit(0);
    for (int i = 0; i < len; i++) {
        if (!s->reply_due)
            finish(s, ERR_AGAIN, "the server, or somebody between, speaks out of turn; %s",
                   s->tls || s->job.plain_ok ? "this is no usable SMTP"
                                             : "this may be an attack on STARTTLS");
        if (bytes[i] == '\n') {
            take_line(s);
            s->line_len = 0;
        } else if (s->line_len < sizeof s->line - 1) {
            s->line[s->line_len++] = bytes[i];
        }
        if (s->ehlo_due)
            filter(s, &bytes[i]);
    }
}

static void on_bytes(const char *bytes, int len, int writing, void *arg)
{
    struct session *s = arg;

    if (writing == SMTP_CB_WRITING)
        gate(s, bytes, len);
    else if (writing == SMTP_CB_READING)
        hear(s, (char *)bytes, len); /* its own heap buffer, lent to us before it looks */
}

static void on_event(smtp_session_t session, int event, void *arg, ...)
{
    struct session *s = arg;
    va_list ap;

    (void)session;
    va_start(ap, arg);
    switch (event) {
    case SMTP_EV_CONNECT: /* comes again when the host has several addresses */
        reach(s, SMTP_GREETING);
        s->ehlo_due = s->starttls_offered = false;
        expect_reply(s);
        break;
    case SMTP_EV_STARTTLS_OK: {
        SSL *ssl = va_arg(ap, SSL *);

        s->tls = true;
        (void)snprintf(s->tls_version, sizeof s->tls_version, "%s", SSL_get_version(ssl));
        break;
    }
    case SMTP_EV_INVALID_PEER_CERTIFICATE: {
        (void)va_arg(ap, long);
        int *ok = va_arg(ap, int *);

        *ok = !s->check_certificate;
        break;
    }
    case SMTP_EV_WRONG_PEER_CERTIFICATE: {
        /* It compares with the canonical name of DNS and knows no addresses. OpenSSL has compared the
         * configured one already, and would not have come this far. */
        int *ok = va_arg(ap, int *);

        *ok = 1;
        break;
    }
    default: /* weak ciphers and the like stay refused */
        break;
    }
    va_end(ap);
}

/* Hands over the whole message at once; asked again, there is no more, and the final dot follows. */
static const char *on_message(void **ctx, int *len, void *arg)
{
    struct session *s = arg;

    (void)ctx;
    if (!len) {
        s->given = false;
        return NULL;
    }
    if (s->given) {
        reach(s, SMTP_END);
        s->ehlo_due = false;
        expect_reply(s);
        *len = 0;
        return NULL;
    }
    s->given = true;
    *len = (int)s->job.message_len;
    return s->job.message;
}

static int on_login(auth_client_request_t request, char **result, int fields, void *arg)
{
    struct session *s = arg;

    for (int i = 0; i < fields; i++) {
        if (request[i].flags & AUTH_USER)
            result[i] = (char *)s->job.username; /* read only */
        else if (request[i].flags & AUTH_PASS)
            result[i] = (char *)s->job.password;
        else
            return 0;
    }
    return 1;
}

/* ---- TLS -------------------------------------------------------------------------------------- */

/* The names that a certificate is good for, as many as fit. */
static void certificate_names(X509 *cert, char *out, size_t room)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && used + 2 < room; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        int n = 0;

        if (name->type == GEN_DNS)
            n = snprintf(out + used, room - used, "%s%.*s", used ? ", " : "",
                         ASN1_STRING_length(name->d.dNSName),
                         (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        used += n > 0 ? (size_t)n : 0;
    }
    GENERAL_NAMES_free(names);
}

static int on_certificate(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct session *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    int fault = X509_STORE_CTX_get_error(store);
    char names[100];

    if (ok || !s->check_certificate)
        return 1;
    if (fault == X509_V_ERR_HOSTNAME_MISMATCH || fault == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        certificate_names(X509_STORE_CTX_get0_cert(store), names, sizeof names);
        (void)snprintf(s->certificate_fault, sizeof s->certificate_fault, "it is not for %s%s%s",
                       s->job.host, *names ? " but for " : "", names);
    } else {
        (void)snprintf(s->certificate_fault, sizeof s->certificate_fault, "%s",
                       X509_verify_cert_error_string(fault));
    }
    return 0;
}

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* libesmtp sends no SNI; a handshake's start is the one moment that it leaves to us. */
static void on_handshake(const SSL *ssl, int where, int ret)
{
    const struct session *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    (void)ret;
    if (where == SSL_CB_HANDSHAKE_START && !is_address(s->job.host))
        (void)SSL_set_tlsext_host_name((SSL *)ssl, s->job.host);
}

/* The system's roots stand in a directory by the hash of their names and, often, once more in one file. A directory
 * is asked for the one root that is wanted; the file has to be read whole, 140 certificates in 23 ms, about as
 * much as all the rest of a mail takes. So it is read when nothing else knows the issuer. */
static int find_issuer(X509 **ret, X509_STORE_CTX *store, X509 *cert)
{
    int found = X509_STORE_CTX_get1_issuer(ret, store, cert);
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    struct session *s = SSL_CTX_get_app_data(ctx);

    if (found || s->roots_read)
        return found;
    s->roots_read = true;
    (void)SSL_CTX_set_default_verify_file(ctx); /* no such file: then nobody knows the issuer */
    ERR_clear_error();
    return X509_STORE_CTX_get1_issuer(ret, store, cert);
}

static SSL_CTX *tls_context(struct session *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    X509_VERIFY_PARAM *param;

    if (!ctx)
        finish(s, ERR_NOMEM, "TLS: no memory");
    param = SSL_CTX_get0_param(ctx);
    /* 1.2 alone: with 1.3 a session ticket that comes early makes libesmtp wait for a reply to a command
     * that it has not sent (library-traps.md: 27 of 80 sessions hung). */
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) || !SSL_CTX_set_default_verify_dir(ctx))
        finish(s, ERR_IO, "TLS: the library refuses TLS 1.2");
    X509_STORE_set_get_issuer(SSL_CTX_get_cert_store(ctx), find_issuer);
    if (s->job.ca_file && !SSL_CTX_load_verify_file(ctx, s->job.ca_file))
        finish(s, ERR_INVALID, "ca_file %s holds no certificate that can be read", s->job.ca_file);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!(is_address(s->job.host) ? X509_VERIFY_PARAM_set1_ip_asc(param, s->job.host)
                                  : X509_VERIFY_PARAM_set1_host(param, s->job.host, 0)))
        finish(s, ERR_INVALID, "TLS: cannot check a certificate for host %s", s->job.host);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_certificate);
    SSL_CTX_set_app_data(ctx, s);
    SSL_CTX_set_info_callback(ctx, on_handshake);
    return ctx;
}

static _Noreturn void finish_tls(struct session *s)
{
    unsigned long fault = ERR_peek_error();
    int reason = ERR_GET_REASON(fault);

    if (s->certificate_fault[0])
        finish(s, ERR_AGAIN, "the certificate of %s: %s; nothing was sent", s->job.host,
               s->certificate_fault);
    if (ERR_GET_LIB(fault) == ERR_LIB_SSL &&
        (reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || reason == SSL_R_UNSUPPORTED_PROTOCOL ||
         reason == SSL_R_WRONG_SSL_VERSION))
        finish(s, ERR_AGAIN,
               "%s takes no TLS 1.2, and STARTTLS here is TLS 1.2 alone; smtps:// speaks TLS 1.3",
               s->job.host);
    finish(s, ERR_AGAIN, "the TLS handshake with %s failed: %s", s->job.host,
           fault ? ERR_reason_error_string(fault) : "the connection was lost");
}

/* ---- the session ------------------------------------------------------------------------------ */

/* "localhost" is loopback by RFC 6761, but the resolver has the last word. */
static bool resolves_to_loopback(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    bool yes = false;

    if (getaddrinfo(host, NULL, &hints, &list))
        return false;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        if (a->ai_family == AF_INET)
            yes = ntohl(((const struct sockaddr_in *)a->ai_addr)->sin_addr.s_addr) >> 24 == 127;
        else
            yes = a->ai_family == AF_INET6 &&
                  IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr);
        if (!yes)
            break;
    }
    freeaddrinfo(list);
    return yes;
}

/* The session is over and no recipient was spoken about: says why, as well as it can be known. */
static _Noreturn void finish_unreached(struct session *s, bool failed)
{
    char text[128];

    switch (s->stage) {
    case SMTP_START:
    case SMTP_CONNECT:
        finish(s, ERR_AGAIN, "no connection with %s:%u: %s", s->job.host, s->job.port,
               failed && smtp_strerror(smtp_errno(), text, sizeof text) ? text : "refused");
    case SMTP_STARTTLS:
        if (s->reply.code / 100 == 2)
            finish_tls(s);
        break;
    case SMTP_EHLO:
        if (s->reply.code / 100 == 2 && !s->tls && !s->starttls_offered && !s->job.plain_ok)
            finish(
                s, ERR_AGAIN,
                "%s does not offer STARTTLS, which is demanded except on loopback; nothing was sent",
                s->job.host);
        break;
    case SMTP_AUTH:
        if (s->reply.code && !s->logged_in)
            finish_login(s);
        break;
    default:
        break;
    }
    if (s->reply.code)
        finish(s, ERR_AGAIN, "%s turns us away (%s): %d %s", s->job.host, smtp_stage_name(s->stage),
               s->reply.code, s->reply.text);
    finish(s, ERR_AGAIN, "%s hung up (%s)", s->job.host, smtp_stage_name(s->stage));
}

static _Noreturn void run(struct session *s)
{
    static const int clocks[] = {Timeout_GREETING, Timeout_ENVELOPE, Timeout_DATA, Timeout_TRANSFER,
                                 Timeout_DATA2};
    static const char *const nobody[] = {
        "nobody@localhost"}; /* never sent: a probe ends before it */
    smtp_session_t session = smtp_create_session();
    char server[300];
    bool ok;

    if (s->job.probe) {
        s->job.to = nobody;
        s->job.to_count = 1;
        s->job.message = "\r\n";
        s->job.message_len = 2;
    }
    if (s->job.plain_ok && !resolves_to_loopback(s->job.host))
        s->job.plain_ok = false;
    s->check_certificate = !s->job.plain_ok || s->job.ca_file;

    (void)snprintf(server, sizeof server, "%s:%u", s->job.host, s->job.port);
    ok = session && (s->message = smtp_add_message(session)) && smtp_set_server(session, server) &&
         smtp_set_hostname(session, s->job.helo) &&
         smtp_set_reverse_path(s->message, s->job.from) &&
         smtp_set_messagecb(s->message, on_message, s) && smtp_set_eventcb(session, on_event, s) &&
         smtp_set_monitorcb(session, on_bytes, s, 0) &&
         smtp_starttls_enable(session, s->job.plain_ok ? Starttls_ENABLED : Starttls_REQUIRED) &&
         smtp_starttls_set_ctx(session, tls_context(s));
    for (size_t i = 0; ok && i < s->job.to_count; i++)
        ok = (s->recipients[i] = smtp_add_recipient(s->message, s->job.to[i])) != NULL;
    for (size_t i = 0; ok && i < sizeof clocks / sizeof clocks[0]; i++)
        ok = smtp_set_timeout(session, clocks[i] | Timeout_OVERRIDE_RFC2822_MINIMUM,
                              s->job.timeout_ms + AFTER_DEADLINE) > 0;
    if (ok && s->job.username) {
        auth_context_t auth = auth_create_context();

        auth_client_init();
        ok = auth && auth_set_mechanism_flags(auth, AUTH_PLUGIN_PLAIN, 0) &&
             auth_set_interact_cb(auth, on_login, s) && smtp_auth_set_context(session, auth);
    }
    if (!ok)
        finish(s, ERR_NOMEM, "the mail library could not be set up");

    reach(s, SMTP_CONNECT);
    ok = smtp_start_session(session);
    if (!smtp_reverse_path_status(s->message)->code)
        finish_unreached(s, !ok);
    finish(s, ERR_OK, "%s", s->end.code ? "" : "the server hung up");
}

/* ---- the job ---------------------------------------------------------------------------------- */

static bool read_all(int in, struct buf *job)
{
    char piece[16384];

    for (;;) {
        ssize_t n = read(in, piece, sizeof piece);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 && !buf_failed(job);
        buf_add(job, piece, (size_t)n);
    }
}

/* Reads the job; its strings stay in *ret_doc and in job. */
static bool read_job(const struct buf *job, struct session *s, struct json **ret_doc)
{
    char *end = job->len ? memchr(job->data, '\n', job->len) : NULL;
    const struct json *doc;
    int64_t port = 0;

    if (!end || json_parse(job->data, (size_t)(end - job->data), ret_doc, NULL))
        return false;
    doc = *ret_doc;
    s->job = (struct smtp_job){
        .host = json_get_string(doc, "host"),
        .plain_ok = json_is_true(json_get(doc, "plain_ok")),
        .probe = json_is_true(json_get(doc, "probe")),
        .username = json_get_string(doc, "username"),
        .password = json_get_string(doc, "password"),
        .ca_file = json_get_string(doc, "ca_file"),
        .helo = json_get_string(doc, "helo"),
        .from = json_get_string(doc, "from"),
        .to = s->to,
        .message = end + 1,
        .message_len = job->len - (size_t)(end + 1 - job->data),
    };
    JSON_EACH (address, json_get(doc, "to")) {
        if (s->job.to_count == MAIL_RECIPIENTS_MAX || !json_string(address))
            return false;
        s->to[s->job.to_count++] = json_string(address);
    }
    if (!json_int64(json_get(doc, "port"), &port) || port < 1 || port > 65535)
        return false;
    s->job.port = (unsigned)port;
    /* The limits on the login are libesmtp's buffers. */
    return json_int64(json_get(doc, "timeout_ms"), &s->job.timeout_ms) && s->job.host &&
           s->job.from && (s->job.probe || s->job.to_count) && s->job.timeout_ms > 0 &&
           s->job.helo && !s->job.username == !s->job.password &&
           (!s->job.username || (strlen(s->job.username) <= MAIL_USERNAME_MAX &&
                                 strlen(s->job.password) <= MAIL_PASSWORD_MAX));
}

#define NICENESS 5 /* a quarter of a processor, where both want all of it */

int smtp_child_main(int in, int out)
{
    struct session session = {.out = out}; /* the library keeps pointers to it until the end */
    struct session *s = &session;
    AUTO(buf_clear) struct buf job = BUF_INIT(JOB_MAX);
    AUTO(json_freep) struct json *doc = NULL;

    /* Whoever started us is gone: so is the reason to go on. And no core file with a password in it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    /* A mail may take its time; an isolation that is under way meanwhile may not. */
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(600); /* until the job says how long */
    if (!read_all(in, &job) || !read_job(&job, s, &doc)) {
        (void)fputs("smtp-child: this command is started by cordon itself, with a job\n", stderr);
        return 2;
    }
    (void)alarm((unsigned)(s->job.timeout_ms / 1000) + ALARM_GRACE_S);
    run(s);
}
