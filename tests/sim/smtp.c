/* smtp.c - see smtp.h. Sections 9.2 and 9.3; RFC 5321, 3207 (STARTTLS), 4954 (AUTH), 1870 (SIZE).
 *
 *   accept thread --> one thread per connection: read a line, find the command, reply.
 * A connection works with the configuration of its start. Stopping shuts every socket down; the threads
 * then end by themselves and are counted out.
 */
#include "smtp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "buf.h"
#include "json.h"
#include "log.h"
#include "httpd.h"

#define LINE_MAX_BYTES 16384 /* RFC 5321 says 512; AUTH lines with a token are longer (RFC 4954) */
#define RCPT_MAX       100   /* RFC 5321 section 4.5.3.1.8 */
#define OUTLOOK_AUD    "https://outlook.office365.com" /* section 9.2 */

struct session; /* one connection */

struct smtp_sink {
    struct smtp_options o;
    SSL_CTX *tls;
    int fd[2]; /* [0] plain, [1] implicit TLS; -1: none */
    char address[2][80];
    int stop_fd;
    pthread_t acceptor;
    bool accepting;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t none_left;
    char *tune;
    int64_t bad_left; /* connections that misbehave: "count" */
    struct session *sessions;
};

struct session {
    struct smtp_sink *sink;
    int fd;
    SSL *ssl; /* NULL: plain */
    bool implicit_tls;
    struct json *tune;
    bool well; /* this one does not misbehave */
    char in[4096];
    size_t in_len, in_at;
    struct arena *arena; /* of the mail being sent */
    bool by_token;       /* user was logged in by a token of Exchange Online */
    char *helo, *user, *from;
    char *rcpt[RCPT_MAX];
    size_t n_rcpt;
    struct session *prev, *next;
};

/* ---- certificates -------------------------------------------------------------------------------- */

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool good;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    good = ext && X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    return good;
}

/* A certificate for key, signed with issuer_key; issuer NULL: its own (the CA). */
static X509 *certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *x = X509_new();
    bool good;

    if (!x)
        return NULL;
    good = X509_set_version(x, 2) &&
           ASN1_INTEGER_set(X509_get_serialNumber(x), issuer ? 2 : (long)time(NULL)) &&
           X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
           X509_gmtime_adj(X509_getm_notAfter(x), 365 * 86400L) && X509_set_pubkey(x, key) &&
           X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) &&
           X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) &&
           add_extension(x, issuer ? issuer : x, NID_basic_constraints,
                         issuer ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
           (issuer ? add_extension(x, issuer, NID_subject_alt_name,
                                   "DNS:localhost,IP:127.0.0.1,IP:::1") &&
                         add_extension(x, issuer, NID_ext_key_usage, "serverAuth")
                   : add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign")) &&
           X509_sign(x, issuer_key, EVP_sha256());
    if (!good) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static enum err_code make_tls(struct smtp_sink *s, struct err *e)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key ? certificate(ca_key, "cordon-sim test CA", NULL, ca_key) : NULL;
    X509 *x = ca && key ? certificate(key, "localhost", ca, ca_key) : NULL;
    FILE *f = fopen(s->o.ca_file, "we");
    bool good;

    s->tls = SSL_CTX_new(TLS_server_method());
    good = x && s->tls && f && PEM_write_X509(f, ca) && SSL_CTX_use_certificate(s->tls, x) == 1 &&
           SSL_CTX_use_PrivateKey(s->tls, key) == 1;
    if (f && fclose(f) != 0)
        good = false;
    X509_free(x);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return good ? ERR_OK : err_set(e, ERR_IO, "the SMTP sink's certificates (%s)", s->o.ca_file);
}

/* ---- bytes ---------------------------------------------------------------------------------------- */

static ssize_t read_some(struct session *s)
{
    ssize_t n;

    if (s->ssl) {
        n = SSL_read(s->ssl, s->in, sizeof s->in);
        ERR_clear_error();
    } else {
        do
            n = read(s->fd, s->in, sizeof s->in);
        while (n < 0 && errno == EINTR);
    }
    s->in_at = 0;
    s->in_len = n > 0 ? (size_t)n : 0;
    return n;
}

static int next_byte(struct session *s)
{
    if (s->in_at == s->in_len && read_some(s) <= 0)
        return -1;
    return (unsigned char)s->in[s->in_at++];
}

static bool send_all(struct session *s, const char *text, size_t len)
{
    while (len) {
        ssize_t n =
            s->ssl ? SSL_write(s->ssl, text, (int)len) : send(s->fd, text, len, MSG_NOSIGNAL);

        if (n <= 0) {
            if (!s->ssl && errno == EINTR)
                continue;
            ERR_clear_error();
            return false;
        }
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* A line without its end; heap; NULL at the end of the connection or for a line too long. */
static char *read_line(struct session *s)
{
    struct buf b = BUF_INIT(LINE_MAX_BYTES);
    int c;

    while ((c = next_byte(s)) >= 0 && c != '\n')
        buf_addc(&b, (char)c);
    if (c < 0 || buf_failed(&b)) {
        buf_clear(&b);
        return NULL;
    }
    if (b.len && b.data[b.len - 1] == '\r')
        b.data[--b.len] = '\0';
    return buf_take(&b);
}

/* ---- configuration --------------------------------------------------------------------------------- */

/* A key that misbehaves, while this connection is one that does. */
static const char *bad_text(const struct session *s, const char *name)
{
    return s->well ? NULL : json_get_string(s->tune, name);
}

static bool bad_is(const struct session *s, const char *name, const char *text)
{
    const char *value = bad_text(s, name);

    return value && strcmp(value, text) == 0;
}

static bool tuned(const struct session *s, const char *name)
{
    return json_is_true(json_get(s->tune, name));
}

/* Waits for ms, or until the sink stops. */
static void pause_for(struct session *s, int64_t ms)
{
    struct pollfd p = {.fd = s->sink->stop_fd, .events = POLLIN};

    (void)poll(&p, 1, (int)ms);
}

static bool reply(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One reply, whole; false: the connection is over. */
static bool reply(struct session *s, const char *fmt, ...)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(65536);
    int64_t delay = 0;
    va_list ap;

    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    buf_adds(&b, "\r\n");
    if (!s->well && json_int64(json_get(s->tune, "reply_delay_ms"), &delay) && delay > 0)
        pause_for(s, delay);
    return send_all(s, b.data, b.len);
}

/* Reads and forgets until the peer gives up. Always false: the connection is over. */
static bool hang(struct session *s)
{
    while (read_some(s) > 0)
        ;
    return false;
}

/* ---- commands --------------------------------------------------------------------------------------- */

static void forget_mail(struct session *s)
{
    arena_free(s->arena);
    s->arena = arena_new(0);
    assert(s->arena); /* a sink without memory can only stop */
    s->from = NULL;
    s->n_rcpt = 0;
}

static bool offers_auth(const struct session *s)
{
    return tuned(s, "auth") && (s->ssl || !tuned(s, "starttls"));
}

static bool do_ehlo(struct session *s, const char *args)
{
    int64_t size = 0;

    if (bad_is(s, "hang", "ehlo"))
        return hang(s);
    free(s->helo);
    s->helo = strdup(args);
    forget_mail(s);
    (void)json_int64(json_get(s->tune, "size"), &size); /* has a default */
    return reply(s,
                 "250-cordon-sim greets you\r\n250-SIZE %lld\r\n250-8BITMIME%s%s%s%s%s\r\n250 "
                 "ENHANCEDSTATUSCODES",
                 (long long)size, tuned(s, "starttls") && !s->ssl ? "\r\n250-STARTTLS" : "",
                 offers_auth(s) ? "\r\n250-AUTH" : "",
                 offers_auth(s) && tuned(s, "basic") ? " PLAIN LOGIN" : "",
                 offers_auth(s) && tuned(s, "xoauth2") ? " XOAUTH2" : "",
                 offers_auth(s) && tuned(s, "oauthbearer") ? " OAUTHBEARER" : "");
}

static bool do_helo(struct session *s, const char *args)
{
    free(s->helo);
    s->helo = strdup(args);
    forget_mail(s);
    return reply(s, "250 cordon-sim");
}

static bool start_tls(struct session *s)
{
    s->ssl = SSL_new(s->sink->tls);
    if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1 || SSL_accept(s->ssl) != 1) {
        ERR_clear_error();
        return false;
    }
    return true;
}

static bool do_starttls(struct session *s, const char *args)
{
    (void)args;
    if (s->ssl)
        return reply(s, "503 5.5.1 TLS is on already");
    if (!tuned(s, "starttls"))
        return reply(s, "502 5.5.1 Command not implemented");
    if (!s->well && tuned(s, "starttls_refused"))
        return reply(s, "454 4.7.0 TLS not available due to temporary reason");
    if (!reply(s, "220 2.0.0 Ready to start TLS"))
        return false;
    s->in_len = s->in_at = 0; /* what came in the clear does not count: RFC 3207 section 4.2 */
    free(s->helo);
    s->helo = NULL;
    free(s->user);
    s->user = NULL;
    forget_mail(s);
    return start_tls(s);
}

/* ---- AUTH -------------------------------------------------------------------------------------------- */

static bool auth_refused(struct session *s)
{
    const char *told = bad_text(s, "auth_refused");

    return reply(s, "%s", told ? told : "535 5.7.3 Authentication unsuccessful");
}

static bool auth_done(struct session *s, const char *user, const char *password)
{
    const struct smtp_options *o = &s->sink->o;

    if (bad_text(s, "auth_refused") ||
        (o->username && (strcmp(o->username, user) != 0 || strcmp(o->password, password) != 0)))
        return auth_refused(s);
    free(s->user);
    s->user = strdup(user);
    return reply(s, "235 2.7.0 Authentication successful");
}

/* The client's answer to a 334, decoded; false: the connection is over, or it was no base64 (then *ok is
 * false and a reply was sent). */
static bool ask(struct session *s, const char *prompt, struct buf *ret, bool *ok)
{
    char *line;

    if (!reply(s, "334 %s", prompt) || !(line = read_line(s)))
        return false;
    mails_note(s->sink->o.mails, "***");
    *ok = strcmp(line, "*") != 0 && b64_read(line, strlen(line), ret);
    free(line);
    return *ok || reply(s, "501 5.5.4 Authentication aborted");
}

static bool auth_plain(struct session *s, const char *initial)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(LINE_MAX_BYTES);
    const char *user, *password;
    bool ok = true;

    if (*initial)
        ok = b64_read(initial, strlen(initial), &b) || !reply(s, "501 5.5.2 Cannot decode");
    else if (!ask(s, "", &b, &ok))
        return false;
    if (!ok || !b.len)
        return true;
    user = memchr(b.data, '\0', b.len); /* authzid NUL user NUL password */
    password = user ? memchr(user + 1, '\0', (size_t)(b.data + b.len - user - 1)) : NULL;
    return password ? auth_done(s, user + 1, password + 1) : reply(s, "501 5.5.2 Cannot decode");
}

static bool auth_login(struct session *s, const char *initial)
{
    AUTO(buf_clear) struct buf user = BUF_INIT(LINE_MAX_BYTES), password = BUF_INIT(LINE_MAX_BYTES);
    bool ok = true;

    if (*initial)
        (void)b64_read(initial, strlen(initial), &user); /* nonsense: a user nobody has */
    else if (!ask(s, "VXNlcm5hbWU6", &user, &ok))
        return false;
    if (!ok)
        return true;
    if (!ask(s, "UGFzc3dvcmQ6", &password, &ok))
        return false;
    return !ok || auth_done(s, buf_text(&user), buf_text(&password));
}

/* A token of ours for Exchange Online whose application may send: section 9.2. */
static bool token_is_good(struct session *s, const char *token)
{
    AUTO(json_freep) struct json *claims = NULL;
    const char *aud;
    int64_t exp = 0;

    if (keys_verify(s->sink->o.keys, token, &claims, NULL))
        return false;
    aud = json_get_string(claims, "aud");
    if (!aud || strcmp(aud, OUTLOOK_AUD) != 0 || !json_int64(json_get(claims, "exp"), &exp) ||
        exp <= (int64_t)time(NULL) || bad_text(s, "auth_refused"))
        return false;
    JSON_EACH (role, json_get(claims, "roles"))
        if (json_string(role) && strcmp(json_string(role), "SMTP.SendAsApp") == 0)
            return true;
    return false;
}

/* What both mechanisms have in common. begin, end: around the mailbox; sorry: the challenge of a refusal, which
 * the client has to answer before it gets the 5xx. */
static bool auth_token(struct session *s, const char *initial, const char *begin, const char *end,
                       const char *sorry)
{
    static const char bearer[] = "\x01"
                                 "auth=Bearer ";
    AUTO(buf_clear) struct buf b = BUF_INIT(LINE_MAX_BYTES), empty = BUF_INIT(LINE_MAX_BYTES);
    char *user = NULL, *token, *stop;
    bool ok = true;

    if (*initial)
        (void)b64_read(initial, strlen(initial), &b); /* nonsense is refused below */
    else if (!ask(s, "", &b, &ok))
        return false;
    if (!ok)
        return true;
    token = b.len ? strstr(b.data, bearer) : NULL;
    if (token && strncmp(b.data, begin, strlen(begin)) == 0) {
        token += sizeof bearer - 1;
        user = b.data + strlen(begin);
        user[strcspn(user, end)] = '\0';
        stop = strchr(token, '\x01');
        if (stop)
            *stop = '\0';
    }
    if (user && token_is_good(s, token)) {
        free(s->user);
        s->user = strdup(user);
        s->by_token = true;
        return reply(s, "235 2.7.0 Authentication successful");
    }
    return ask(s, sorry, &empty, &ok) && (!ok || auth_refused(s));
}

/* Section 9.2: "user=" mailbox ^A "auth=Bearer " token ^A ^A. The client answers a refusal with an empty line. */
static bool auth_xoauth2(struct session *s, const char *initial)
{
    /* {"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}: section 9.3 */
    return auth_token(s, initial, "user=", "\x01",
                      "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNjb3BlIjoiaHR0"
                      "cHM6Ly9tYWlsLmdvb2dsZS5jb20vIn0=");
}

/* RFC 7628 section 3.1: "n,a=" mailbox "," ^A "host=" … ^A "port=" … ^A "auth=Bearer " token ^A ^A. The client
 * answers a refusal with one ^A (section 3.2.3). */
static bool auth_oauthbearer(struct session *s, const char *initial)
{
    /* {"status":"invalid_token"}: section 3.2.2 */
    return auth_token(s, initial, "n,a=", ",", "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=");
}

static bool do_auth(struct session *s, const char *args)
{
    static const struct {
        const char *name;
        bool (*fn)(struct session *s, const char *initial);
        const char *offered; /* the key that says so */
    } mechanisms[] = {{"PLAIN", auth_plain, "basic"},
                      {"LOGIN", auth_login, "basic"},
                      {"XOAUTH2", auth_xoauth2, "xoauth2"},
                      {"OAUTHBEARER", auth_oauthbearer, "oauthbearer"}};
    size_t len = strcspn(args, " ");
    const char *initial = args + len + strspn(args + len, " ");

    if (!offers_auth(s))
        return reply(s, s->ssl ? "502 5.5.1 Command not implemented"
                               : "538 5.7.11 Encryption required");
    if (!s->helo || s->user || s->from)
        return reply(s, "503 5.5.1 Bad sequence of commands");
    if (strcmp(initial, "=") == 0) /* an empty initial answer */
        initial = "";
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (strncasecmp(mechanisms[i].name, args, len) == 0 && !mechanisms[i].name[len] &&
            tuned(s, mechanisms[i].offered))
            return mechanisms[i].fn(s, initial);
    return reply(s, "504 5.5.4 Unrecognized authentication type");
}

/* ---- mail ---------------------------------------------------------------------------------------------- */

/* "FROM:<a@b> SIZE=1" after its word to the address; NULL: wrong. *ret_params: what follows. */
static char *read_address(struct session *s, const char *args, const char *word,
                          const char **ret_params)
{
    size_t len = strlen(word);
    const char *end;

    if (strncasecmp(args, word, len) != 0)
        return NULL;
    args += len + strspn(args + len, " ");
    end = *args == '<' ? strchr(args, '>') : NULL;
    if (!end || (end[1] && end[1] != ' '))
        return NULL;
    for (const char *p = args + 1; p < end; p++)
        if ((unsigned char)*p <= ' ' || *p == '<' || *p == 0x7f)
            return NULL;
    *ret_params = end + 1 + strspn(end + 1, " ");
    return arena_strn(s->arena, args + 1, (size_t)(end - args) - 1);
}

static bool do_mail(struct session *s, const char *args)
{
    const char *refused = bad_text(s, "refuse_from"), *params = "";
    int64_t size_max = 0;
    char *from, *list, *save = NULL;

    if (bad_is(s, "hang", "mail"))
        return hang(s);
    if (bad_is(s, "drop", "mail"))
        return false;
    if (!s->helo || s->from)
        return reply(s, "503 5.5.1 Bad sequence of commands");
    if ((s->sink->o.username || tuned(s, "require_auth")) && !s->user) /* section 9.2 */
        return reply(s, "530 5.7.57 Client not authenticated to send mail");
    from = read_address(s, args, "FROM:", &params);
    if (!from)
        return reply(s, "501 5.1.7 Invalid address");
    (void)json_int64(json_get(s->tune, "size"), &size_max); /* has a default */
    list = arena_str(s->arena, params);
    for (char *p = strtok_r(list, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        if (strncasecmp(p, "SIZE=", 5) == 0 && strtoll(p + 5, NULL, 10) > size_max)
            return reply(s, "552 5.3.4 Message too big");
        if (strncasecmp(p, "SIZE=", 5) != 0 && strncasecmp(p, "BODY=", 5) != 0 &&
            strncasecmp(p, "AUTH=", 5) != 0)
            return reply(s, "555 5.5.4 Unsupported parameter");
    }
    if (refused)
        return reply(s, "%s", refused);
    s->from = from;
    return reply(s, "250 2.1.0 Sender OK");
}

static bool do_rcpt(struct session *s, const char *args)
{
    const char *params = "";
    char *to;

    if (!s->from)
        return reply(s, "503 5.5.1 Bad sequence of commands");
    to = read_address(s, args, "TO:", &params);
    if (!to || !*to)
        return reply(s, "501 5.1.3 Invalid address");
    if (!s->well)
        JSON_EACH (r, json_get(s->tune, "reject"))
            if (strcasecmp(json_name(r), to) == 0 && json_string(r))
                return reply(s, "%s", json_string(r));
    if (s->n_rcpt == RCPT_MAX)
        return reply(s, "452 4.5.3 Too many recipients");
    s->rcpt[s->n_rcpt++] = to;
    return reply(s, "250 2.1.5 Recipient OK");
}

/* Everything up to CR LF '.' CR LF and nothing else; dots unstuffed. false: the connection is over. */
static bool read_data(struct session *s, struct buf *out)
{
    static const char end[] = "\r\n.\r\n";
    size_t at = 2; /* how much of `end` has just been seen; the start counts as the end of a line */
    int c;

    while ((c = next_byte(s)) >= 0) {
        if (c == end[at]) {
            at++;
        } else if (at == 3) { /* a dot at the start of a line is not part of the text */
            out->data[--out->len] = '\0';
            at = c == '\r' ? 1 : 0;
        } else {
            at = c == '\r' ? 1 : 0;
        }
        buf_addc(out, (char)c);
        if (buf_failed(out))
            return false;
        if (at == 5) {
            out->len -= 3;
            out->data[out->len] = '\0';
            return true;
        }
    }
    return false;
}

static void keep(struct session *s, const struct buf *data, bool confirmed)
{
    struct mail m = {
        .from = s->from,
        .helo = s->helo,
        .user = s->user,
        .rcpt = (const char *const *)s->rcpt,
        .n_rcpt = s->n_rcpt,
        .tls = s->ssl != NULL,
        .confirmed = confirmed,
        .raw = buf_text(data),
        .raw_len = data->len,
    };

    mails_add(s->sink->o.mails, &m);
    loop_poke(s->sink->o.loop);
}

static bool do_data(struct session *s, const char *args)
{
    const char *told = bad_text(s, "data_reply");
    AUTO(buf_clear) struct buf data = BUF_INIT(64 << 20);
    int64_t size_max = 0;

    (void)args;
    if (!s->n_rcpt)
        return reply(s, s->from ? "554 5.5.1 No valid recipients"
                                : "503 5.5.1 Bad sequence of commands");
    if (!reply(s, "354 Start mail input; end with <CRLF>.<CRLF>") || !read_data(s, &data))
        return false;
    if (bad_is(s, "hang", "data"))
        return hang(s);
    if (bad_is(s, "drop", "before_250"))
        return false;
    if (bad_is(s, "drop", "after_data")) {
        keep(s, &data, false);
        return false;
    }
    (void)json_int64(json_get(s->tune, "size"), &size_max); /* has a default */
    if (!told && (int64_t)data.len > size_max)
        told = "552 5.3.4 Message too big";
    if (!told && s->by_token && strcasecmp(s->from, s->user) != 0) /* section 9.2 */
        told = "554 5.2.252 SendAsDenied; not allowed to send as this sender";
    if (!told)
        keep(s, &data, true);
    forget_mail(s);
    return reply(s, "%s", told ? told : "250 2.0.0 Queued for delivery");
}

static bool do_rset(struct session *s, const char *args)
{
    (void)args;
    forget_mail(s);
    return reply(s, "250 2.0.0 Reset");
}

static bool do_noop(struct session *s, const char *args)
{
    (void)args;
    return reply(s, "250 2.0.0 OK");
}

static bool do_quit(struct session *s, const char *args)
{
    (void)args;
    if (bad_is(s, "hang", "quit"))
        return hang(s);
    (void)reply(s, "221 2.0.0 Bye"); /* it ends either way */
    return false;
}

/* false: the connection is over. */
static bool serve_line(struct session *s, const char *line)
{
    static const struct {
        const char *name;
        bool (*fn)(struct session *s, const char *args);
    } commands[] = {
        {"EHLO", do_ehlo}, {"HELO", do_helo}, {"STARTTLS", do_starttls}, {"AUTH", do_auth},
        {"MAIL", do_mail}, {"RCPT", do_rcpt}, {"DATA", do_data},         {"RSET", do_rset},
        {"NOOP", do_noop}, {"QUIT", do_quit},
    };
    size_t len = strcspn(line, " ");
    const char *args = line + len + strspn(line + len, " ");

    if (strncasecmp(line, "AUTH ", 5) == 0) { /* the mechanism, never what follows */
        AUTO(buf_clear) struct buf b = BUF_INIT(256);

        buf_addf(&b, "AUTH %.*s%s", (int)strcspn(args, " "), args,
                 args[strcspn(args, " ")] ? " ***" : "");
        mails_note(s->sink->o.mails, buf_text(&b));
    } else {
        mails_note(s->sink->o.mails, line);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strlen(commands[i].name) == len && strncasecmp(commands[i].name, line, len) == 0)
            return commands[i].fn(s, args);
    return reply(s, "500 5.5.1 Unrecognized command");
}

/* ---- a connection -------------------------------------------------------------------------------------- */

static void talk(struct session *s)
{
    const char *connect = bad_text(s, "connect");
    char *line;
    bool go_on;

    if (bad_is(s, "drop", "connect") || (s->implicit_tls && !start_tls(s)))
        return;
    if (bad_is(s, "hang", "connect")) {
        (void)hang(s);
        return;
    }
    if (connect) {
        (void)reply(s, "%s", connect); /* it ends either way */
        return;
    }
    go_on = reply(s, "220 cordon-sim ESMTP");
    while (go_on && (line = read_line(s))) {
        go_on = serve_line(s, line);
        free(line);
    }
}

static void *session_thread(void *arg)
{
    struct session *s = arg;
    struct smtp_sink *sink = s->sink;

    talk(s);
    if (s->ssl && SSL_is_init_finished(s->ssl))
        (void)SSL_shutdown(s->ssl); /* one way: we do not wait for the peer's */
    ERR_clear_error();
    SSL_free(s->ssl);
    json_free(s->tune);
    arena_free(s->arena);
    free(s->helo);
    free(s->user);
    pthread_mutex_lock(&sink->lock);
    close(s->fd);
    if (s->prev)
        s->prev->next = s->next;
    else
        sink->sessions = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (!sink->sessions)
        pthread_cond_broadcast(&sink->none_left);
    pthread_mutex_unlock(&sink->lock);
    free(s);
    return NULL;
}

static void start_session(struct smtp_sink *sink, int fd, bool implicit_tls)
{
    struct session *s = calloc(1, sizeof *s);
    pthread_attr_t attr;
    pthread_t thread;
    int one = 1;

    assert(s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->sink = sink;
    s->fd = fd;
    s->implicit_tls = implicit_tls;
    s->arena = arena_new(0);
    mails_note_connection(sink->o.mails);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&sink->lock);
    (void)json_parse(sink->tune, strlen(sink->tune), &s->tune, NULL); /* tuning.c wrote it */
    assert(s->arena && s->tune);
    s->well = sink->bad_left == 0;
    if (sink->bad_left > 0)
        sink->bad_left--;
    s->next = sink->sessions;
    if (s->next)
        s->next->prev = s;
    sink->sessions = s;
    if (pthread_create(&thread, &attr, session_thread, s) != 0)
        abort(); /* a sink without threads can only stop */
    pthread_mutex_unlock(&sink->lock);
    pthread_attr_destroy(&attr);
}

static void *acceptor_thread(void *arg)
{
    struct smtp_sink *sink = arg;
    struct pollfd p[3] = {{.fd = sink->stop_fd, .events = POLLIN},
                          {.fd = sink->fd[0], .events = POLLIN},
                          {.fd = sink->fd[1], .events = POLLIN}}; /* poll skips -1 */

    for (;;) {
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[0].revents)
            return NULL;
        for (int i = 0; i < 2; i++) {
            int fd = p[i + 1].revents ? accept4(sink->fd[i], NULL, NULL, SOCK_CLOEXEC) : -1;

            if (fd >= 0)
                start_session(sink, fd, i == 1);
        }
    }
}

/* ---- the sink -------------------------------------------------------------------------------------------- */

void smtp_sink_tune(struct smtp_sink *s, const char *json)
{
    struct json *doc = NULL;
    int64_t count = -1;
    char *own = strdup(json);

    assert(own);
    if (!json_parse(json, strlen(json), &doc, NULL))
        (void)json_int64(json_get(doc, "count"), &count); /* absent: always */
    json_free(doc);
    pthread_mutex_lock(&s->lock);
    free(s->tune);
    s->tune = own;
    s->bad_left = count;
    pthread_mutex_unlock(&s->lock);
}

enum err_code smtp_sink_new(const struct smtp_options *o, struct smtp_sink **ret, struct err *e)
{
    struct smtp_sink *s = calloc(1, sizeof *s);
    enum err_code code = ERR_OK;

    if (!s)
        return err_set(e, ERR_NOMEM, "the SMTP sink");
    s->o = *o;
    s->fd[0] = s->fd[1] = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->none_left, NULL);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    smtp_sink_tune(s, "{}");
    if (o->address)
        code = httpd_listen(o->address, &s->fd[0], s->address[0], sizeof s->address[0], e);
    if (!code && o->tls_address)
        code = httpd_listen(o->tls_address, &s->fd[1], s->address[1], sizeof s->address[1], e);
    if (!code)
        code = make_tls(s, e);
    if (!code && pthread_create(&s->acceptor, NULL, acceptor_thread, s) != 0)
        code = err_set(e, ERR_IO, "a thread for the SMTP sink");
    s->accepting = !code;
    if (code) {
        smtp_sink_free(s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

void smtp_sink_free(struct smtp_sink *s)
{
    uint64_t one = 1;

    if (!s)
        return;
    (void)!write(s->stop_fd, &one, sizeof one); /* an eventfd takes it */
    if (s->accepting)
        pthread_join(s->acceptor, NULL);
    pthread_mutex_lock(&s->lock);
    for (struct session *c = s->sessions; c; c = c->next)
        (void)shutdown(c->fd, SHUT_RDWR); /* may be over already */
    while (s->sessions)
        pthread_cond_wait(&s->none_left, &s->lock);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < 2; i++)
        if (s->fd[i] >= 0)
            close(s->fd[i]);
    close(s->stop_fd);
    SSL_CTX_free(s->tls);
    free(s->tune);
    pthread_cond_destroy(&s->none_left);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *smtp_sink_address(const struct smtp_sink *s)
{
    return s->address[0];
}

const char *smtp_sink_tls_address(const struct smtp_sink *s)
{
    return s->address[1];
}
