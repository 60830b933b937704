/* smtp_peer.c - see smtp_peer.h. */
#include "smtp_peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define HEARD_MAX    65536
#define MESSAGES_MAX 16
#define MESSAGE_MAX  (8 * 1024 * 1024)

/* ---- certificates ---------------------------------------------------------------------------- */

struct smtp_ca {
    EVP_PKEY *key;
    X509 *cert;
};

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(extension && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* A certificate for key; issuer NULL: its own root. days: how long it is good, below 0: since when not. */
static X509 *certify(EVP_PKEY *key, const char *name, const struct smtp_ca *issuer,
                     const char *alt_names, int days)
{
    static atomic_int serials = 1;
    int serial = serials++;
    X509 *cert = X509_new();
    X509_NAME *subject = X509_NAME_new();

    assert(cert && subject);
    assert(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0));
    assert(X509_set_version(cert, X509_VERSION_3));
    assert(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial));
    assert(X509_set_subject_name(cert, subject));
    assert(X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer->cert) : subject));
    assert(X509_gmtime_adj(X509_getm_notBefore(cert), days < 0 ? 2L * days * 86400 : -86400));
    assert(X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * 86400));
    assert(X509_set_pubkey(cert, key));
    extend(cert, issuer ? issuer->cert : cert, NID_basic_constraints,
           issuer || alt_names ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (alt_names)
        extend(cert, issuer ? issuer->cert : cert, NID_subject_alt_name, alt_names);
    assert(X509_sign(cert, issuer ? issuer->key : key, EVP_sha256()) > 0);
    X509_NAME_free(subject);
    return cert;
}

struct smtp_ca *smtp_ca_new(const char *pem_path)
{
    struct smtp_ca *ca = calloc(1, sizeof *ca);
    FILE *f = fopen(pem_path, "we");

    assert(ca && f);
    ca->key = EVP_EC_gen("P-256");
    assert(ca->key);
    ca->cert = certify(ca->key, "root of a test", NULL, NULL, 2);
    assert(PEM_write_X509(f, ca->cert) == 1);
    assert(fclose(f) == 0);
    return ca;
}

void smtp_ca_free(struct smtp_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    free(ca);
}

void smtp_ca_issue(const struct smtp_ca *ca, const char *names, const char *pem_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = certify(key, "mail.test", ca, names, 2);
    FILE *f = fopen(pem_path, "we");

    assert(key && f);
    assert(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    assert(PEM_write_X509(f, cert) == 1);
    assert(fclose(f) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- the server ------------------------------------------------------------------------------ */

struct message {
    char *bytes;
    size_t len;
};

struct smtp_peer {
    struct smtp_peer_options o;
    SSL_CTX *tls;
    int listener;
    unsigned port;
    pthread_t thread;
    bool joined;
    pthread_mutex_t lock; /* conn, ending */
    int conn;             /* the client at hand, -1: none */
    bool ending;

    atomic_bool hangs;

    /* of the thread, until it is joined */
    SSL *ssl;
    int ehlos;
    char in[16384];
    size_t in_at, in_len;
    char heard[HEARD_MAX];
    size_t heard_len;
    struct message messages[MESSAGES_MAX];
    size_t message_count;
};

static void hear(struct smtp_peer *p, const char *line)
{
    size_t len = strlen(line);

    assert(p->heard_len + len + 2 < HEARD_MAX);
    memcpy(p->heard + p->heard_len, line, len);
    p->heard_len += len;
    p->heard[p->heard_len++] = '\n';
}

static bool send_piece(struct smtp_peer *p, const char *bytes, size_t len)
{
    return p->ssl ? SSL_write(p->ssl, bytes, (int)len) == (int)len
                  : send(p->conn, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool say(struct smtp_peer *p, const char *text)
{
    size_t len = strlen(text);

    if (!p->o.drip)
        return len == 0 || send_piece(p, text, len);
    for (size_t i = 0; i < len; i++)
        if (!send_piece(p, text + i, 1))
            return false;
    return true;
}

static int next_byte(struct smtp_peer *p)
{
    if (p->in_at == p->in_len) {
        ssize_t n =
            p->ssl ? SSL_read(p->ssl, p->in, sizeof p->in) : recv(p->conn, p->in, sizeof p->in, 0);

        if (n <= 0)
            return -1;
        p->in_at = 0;
        p->in_len = (size_t)n;
    }
    return (unsigned char)p->in[p->in_at++];
}

/* A command without its CRLF. */
static bool read_line(struct smtp_peer *p, char *out, size_t room)
{
    size_t len = 0;
    int c;

    while ((c = next_byte(p)) >= 0 && len + 1 < room) {
        if (c == '\n') {
            if (len && out[len - 1] == '\r')
                len--;
            out[len] = '\0';
            return true;
        }
        out[len++] = (char)c;
    }
    return false;
}

static void hang(struct smtp_peer *p)
{
    char rest[256];

    atomic_store(&p->hangs, true);
    while (recv(p->conn, rest, sizeof rest, 0) > 0)
        ;
}

static const struct smtp_peer_rule *rule_for(const struct smtp_peer *p, const char *command)
{
    for (const struct smtp_peer_rule *r = p->o.rules; r && r->command; r++)
        if ((r->command[0] ? !strncasecmp(command, r->command, strlen(r->command)) : !command[0]) &&
            (!r->second_only || p->ehlos > 1))
            return r;
    return NULL;
}

/* By rule, else as usual; false when the connection is over. */
static bool reply(struct smtp_peer *p, const char *command, const char *usual)
{
    const struct smtp_peer_rule *r = rule_for(p, command);

    if (!r)
        return say(p, usual);
    if (r->then == PEER_LATE)
        return poll(&(struct pollfd){.fd = p->conn, .events = POLLIN}, 1, p->o.late_ms) == 0 &&
               say(p, r->reply ? r->reply : usual);
    if (r->reply && !say(p, r->reply))
        return false;
    if (r->then == PEER_HANG)
        hang(p);
    return r->then == PEER_GO_ON;
}

static bool start_tls(struct smtp_peer *p)
{
    const struct smtp_peer_rule *r = rule_for(p, "TLS");
    char line[300];

    if (r) {
        if (r->then == PEER_HANG)
            hang(p);
        return false;
    }
    p->ssl = SSL_new(p->tls);
    assert(p->ssl && SSL_set_fd(p->ssl, p->conn) == 1);
    if (SSL_accept(p->ssl) != 1) {
        hear(p, "(TLS failed)");
        return false;
    }
    (void)snprintf(line, sizeof line, "(TLS sni=%s)",
                   SSL_get_servername(p->ssl, TLSEXT_NAMETYPE_host_name)
                       ? SSL_get_servername(p->ssl, TLSEXT_NAMETYPE_host_name)
                       : "");
    hear(p, line);
    p->in_at = p->in_len = 0;
    return true;
}

/* Everything up to the line with one dot. */
static bool take_message(struct smtp_peer *p)
{
    struct message *m = &p->messages[p->message_count];
    int c;

    assert(p->message_count < MESSAGES_MAX);
    m->bytes = malloc(MESSAGE_MAX);
    assert(m->bytes);
    p->message_count++;
    while ((c = next_byte(p)) >= 0) {
        assert(m->len < MESSAGE_MAX);
        m->bytes[m->len++] = (char)c;
        if (m->len == 3 ? !memcmp(m->bytes, ".\r\n", 3)
                        : m->len > 4 && !memcmp(m->bytes + m->len - 5, "\r\n.\r\n", 5)) {
            m->len -= 3;
            hear(p, "(message)");
            return true;
        }
    }
    hear(p, "(message cut)");
    return false;
}

static bool take_login(struct smtp_peer *p, const char *command)
{
    char line[4096];
    int left = !strncasecmp(command, "AUTH LOGIN", 10) ? 2 : 1; /* responses */

    if (strlen(command) > 11)
        left--; /* an initial one */
    while (left--) {
        const struct smtp_peer_rule *r = rule_for(p, command);

        if (r)
            break; /* answers at once */
        if (!say(p, left ? "334 VXNlcm5hbWU6\r\n" : "334 UGFzc3dvcmQ6\r\n") ||
            !read_line(p, line, sizeof line))
            return false;
        hear(p, line);
    }
    return reply(p, rule_for(p, command) ? command : "AUTH-END", "235 2.7.0 welcome\r\n");
}

static void serve(struct smtp_peer *p)
{
    char line[4096], ehlo[2048];
    bool go_on, tls_here = p->tls && !p->o.implicit_tls;

    hear(p, "(connected)");
    if (p->tls && p->o.implicit_tls && !start_tls(p))
        return;
    go_on = reply(p, "", "220 mail.test ESMTP\r\n");
    while (go_on && read_line(p, line, sizeof line)) {
        hear(p, line);
        if (!strncasecmp(line, "EHLO", 4)) {
            bool auth = p->o.auth && (!tls_here || p->ssl);

            p->ehlos++;
            (void)snprintf(ehlo, sizeof ehlo, "250-mail.test greets you\r\n%s%s%s%s%s250 HELP\r\n",
                           tls_here && !p->ssl && !p->o.stripped ? "250-STARTTLS\r\n" : "",
                           p->o.extensions ? p->o.extensions : "", auth ? "250-AUTH " : "",
                           auth ? p->o.auth : "", auth ? "\r\n" : "");
            go_on = reply(p, line, ehlo);
        } else if (!strncasecmp(line, "STARTTLS", 8)) {
            const struct smtp_peer_rule *r = rule_for(p, line);

            go_on = reply(p, line, "220 go\r\n");
            if (go_on && (!r || (r->reply && r->reply[0] == '2')))
                go_on = tls_here && start_tls(p);
        } else if (!strncasecmp(line, "AUTH", 4)) {
            go_on = take_login(p, line);
        } else if (!strncasecmp(line, "DATA", 4)) {
            const struct smtp_peer_rule *r = rule_for(p, line);

            go_on = reply(p, line, "354 go on\r\n");
            if (go_on && (!r || (r->reply && r->reply[0] == '3')))
                go_on = take_message(p) && reply(p, ".", "250 2.0.0 queued as 1\r\n");
        } else if (!strncasecmp(line, "QUIT", 4)) {
            (void)reply(p, line, "221 bye\r\n");
            go_on = false;
        } else {
            go_on = reply(p, line, "250 2.1.0 ok\r\n");
        }
    }
}

static void *run(void *arg)
{
    struct smtp_peer *p = arg;
    int conn, one = 1;

    while ((conn = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        /* Each say() its own segment: what a rule writes in one piece arrives so, and drips drip. */
        (void)setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        (void)pthread_mutex_lock(&p->lock);
        p->conn = conn;
        if (p->ending)
            (void)shutdown(conn, SHUT_RDWR);
        (void)pthread_mutex_unlock(&p->lock);
        p->ehlos = 0;
        p->in_at = p->in_len = 0;
        serve(p);
        (void)pthread_mutex_lock(&p->lock);
        p->conn = -1;
        (void)pthread_mutex_unlock(&p->lock);
        if (p->ssl) {
            (void)SSL_shutdown(p->ssl);
            SSL_free(p->ssl);
            p->ssl = NULL;
        }
        (void)close(conn);
    }
    return NULL;
}

struct smtp_peer *smtp_peer_new(const struct smtp_peer_options *o)
{
    struct smtp_peer *p = calloc(1, sizeof *p);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    assert(p);
    (void)signal(SIGPIPE, SIG_IGN); /* SSL_write has no MSG_NOSIGNAL */
    p->o = *o;
    p->conn = -1;
    (void)pthread_mutex_init(&p->lock, NULL);
    if (o->ca) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *cert =
            certify(key, "mail.test", o->self_signed ? NULL : o->ca,
                    o->names ? o->names : "DNS:localhost,IP:127.0.0.1", o->expired ? -2 : 2);

        p->tls = SSL_CTX_new(TLS_server_method());
        assert(key && p->tls);
        assert(SSL_CTX_use_certificate(p->tls, cert) == 1);
        assert(SSL_CTX_use_PrivateKey(p->tls, key) == 1);
        assert(SSL_CTX_set_min_proto_version(p->tls, o->tls_min) == 1);
        assert(SSL_CTX_set_max_proto_version(p->tls, o->tls_max) == 1);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(p->listener >= 0);
    assert(bind(p->listener, (struct sockaddr *)&at, sizeof at) == 0);
    assert(listen(p->listener, 16) == 0);
    assert(getsockname(p->listener, (struct sockaddr *)&at, &len) == 0);
    p->port = ntohs(at.sin_port);
    assert(pthread_create(&p->thread, NULL, run, p) == 0);
    return p;
}

static void end(struct smtp_peer *p)
{
    if (p->joined)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->ending = true;
    (void)shutdown(p->listener, SHUT_RDWR); /* accept4 returns */
    if (p->conn >= 0)
        (void)shutdown(p->conn, SHUT_RD); /* what has arrived is still read */
    (void)pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->thread, NULL);
    p->joined = true;
}

void smtp_peer_free(struct smtp_peer *p)
{
    if (!p)
        return;
    end(p);
    (void)close(p->listener);
    for (size_t i = 0; i < p->message_count; i++)
        free(p->messages[i].bytes);
    SSL_CTX_free(p->tls);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

unsigned smtp_peer_port(const struct smtp_peer *p)
{
    return p->port;
}

bool smtp_peer_hangs(const struct smtp_peer *p)
{
    return atomic_load(&p->hangs);
}

const char *smtp_peer_heard(struct smtp_peer *p)
{
    end(p);
    p->heard[p->heard_len] = '\0';
    return p->heard;
}

const char *smtp_peer_message(struct smtp_peer *p, size_t i, size_t *ret_len)
{
    end(p);
    if (i >= p->message_count)
        return NULL;
    *ret_len = p->messages[i].len;
    return p->messages[i].bytes;
}
