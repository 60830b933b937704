/* wire.c - see wire.h. */
#include "wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4096

struct wire_tls {
    SSL_CTX *ctx;
};

struct connection {
    struct wire_server *server;
    struct wire wire;
    unsigned number;
    bool open;
    pthread_t thread;
};

struct wire_server {
    int listener;
    unsigned port;
    void (*serve)(struct wire *w, unsigned number, void *ctx, bool *ret_reset);
    void *ctx;
    pthread_t acceptor;
    pthread_mutex_t lock; /* what follows */
    bool stopping;
    struct connection *connections[CONNECTIONS];
    unsigned n_connections;
};

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *x;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(x && X509_add_ext(cert, x, -1));
    X509_EXTENSION_free(x);
}

struct wire_tls *wire_tls_new(const char *pem_path)
{
    struct wire_tls *t = calloc(1, sizeof *t);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *f = fopen(pem_path, "w");

    assert(t && key && cert && f);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"cordon test peer", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1,IP:::1,DNS:localhost");
    assert(X509_sign(cert, key, EVP_sha256()) > 0);
    assert(PEM_write_X509(f, cert) == 1);
    assert(fclose(f) == 0);

    t->ctx = SSL_CTX_new(TLS_server_method());
    assert(t->ctx && SSL_CTX_use_certificate(t->ctx, cert) == 1 &&
           SSL_CTX_use_PrivateKey(t->ctx, key) == 1);
    EVP_PKEY_free(key);
    X509_free(cert);
    return t;
}

void wire_tls_free(struct wire_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static int take_h2(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
                   unsigned in_len, void *arg)
{
    static const unsigned char known[] = "\2h2\10http/1.1";

    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, len, known, sizeof known - 1, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

void wire_tls_take_h2(struct wire_tls *t)
{
    SSL_CTX_set_alpn_select_cb(t->ctx, take_h2, NULL);
}

bool wire_is_h2(const struct wire *w)
{
    const unsigned char *name;
    unsigned len;

    SSL_get0_alpn_selected(w->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}

bool wire_start_tls(struct wire *w, struct wire_tls *t)
{
    SSL *ssl = SSL_new(t->ctx);

    assert(ssl && SSL_set_fd(ssl, w->fd) == 1);
    if (SSL_accept(ssl) != 1) {
        SSL_free(ssl);
        return false;
    }
    w->ssl = ssl;
    return true;
}

int wire_getc(struct wire *w)
{
    if (w->in_at == w->in_len) {
        ssize_t n = w->ssl ? SSL_read(w->ssl, w->in, (int)sizeof w->in)
                           : recv(w->fd, w->in, sizeof w->in, 0);

        if (n <= 0)
            return -1;
        w->in_len = (size_t)n;
        w->in_at = 0;
    }
    return (unsigned char)w->in[w->in_at++];
}

bool wire_line(struct wire *w, char *out, size_t room)
{
    for (size_t len = 0;; len++) {
        int c = wire_getc(w);

        if (c < 0 || len + 1 >= room)
            return false;
        if (c == '\n') {
            out[len && out[len - 1] == '\r' ? len - 1 : len] = '\0';
            return true;
        }
        out[len] = (char)c;
    }
}

bool wire_write(struct wire *w, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len) {
        ssize_t n = w->ssl ? SSL_write(w->ssl, p, (int)len) : send(w->fd, p, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

void wire_wait_closed(struct wire *w)
{
    char sink[4096];

    while (recv(w->fd, sink, sizeof sink, 0) > 0)
        ;
}

static void close_wire(struct wire *w, bool reset)
{
    if (reset) {
        struct linger at_once = {.l_onoff = 1};

        (void)setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    } else if (w->ssl) {
        (void)SSL_shutdown(w->ssl);
    }
    SSL_free(w->ssl);
    (void)close(w->fd);
}

static void *serve_one(void *arg)
{
    struct connection *c = arg;
    struct wire_server *s = c->server;
    bool reset = false;
    sigset_t pipe;

    /* OpenSSL writes without MSG_NOSIGNAL. Only here: the code under test must cope by itself. */
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    s->serve(&c->wire, c->number, s->ctx, &reset);
    (void)pthread_mutex_lock(&s->lock);
    c->open = false;
    close_wire(&c->wire, reset);
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct wire_server *s = arg;
    int fd, on = 1;

    while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);

        assert(c);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)pthread_mutex_lock(&s->lock);
        if (s->stopping) {
            (void)close(fd);
            free(c);
        } else {
            assert(s->n_connections < CONNECTIONS);
            c->server = s;
            c->wire.fd = fd;
            c->open = true;
            c->number = s->n_connections + 1;
            s->connections[s->n_connections++] = c;
            assert(pthread_create(&c->thread, NULL, serve_one, c) == 0);
        }
        (void)pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

struct wire_server *wire_server_new(void (*serve)(struct wire *w, unsigned number, void *ctx,
                                                  bool *ret_reset),
                                    void *ctx)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct wire_server *s = calloc(1, sizeof *s);
    socklen_t len = sizeof at;

    assert(s);
    s->serve = serve;
    s->ctx = ctx;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(s->listener >= 0 && bind(s->listener, (struct sockaddr *)&at, len) == 0 &&
           listen(s->listener, 128) == 0 &&
           getsockname(s->listener, (struct sockaddr *)&at, &len) == 0);
    s->port = ntohs(at.sin_port);
    (void)pthread_mutex_init(&s->lock, NULL);
    assert(pthread_create(&s->acceptor, NULL, accept_all, s) == 0);
    return s;
}

unsigned wire_server_port(const struct wire_server *s)
{
    return s->port;
}

void wire_server_free(struct wire_server *s)
{
    if (!s)
        return;
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (unsigned i = 0; i < s->n_connections; i++)
        if (s->connections[i]->open) /* may be closed by the far side already */
            (void)shutdown(s->connections[i]->wire.fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&s->lock);
    (void)shutdown(s->listener, SHUT_RDWR);
    (void)pthread_join(s->acceptor, NULL);
    (void)close(s->listener);
    for (unsigned i = 0; i < s->n_connections; i++) {
        (void)pthread_join(s->connections[i]->thread, NULL);
        free(s->connections[i]);
    }
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}
