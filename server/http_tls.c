/* http_tls.c - see http_tls.h. */
#include "http_tls.h"

#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auto.h"
#include "file.h"
#include "buf.h"

#define PEM_MAX   (1024 * 1024) /* bytes of a certificate or key file */
#define CHAIN_MAX 16            /* certificates; GnuTLS sorts no more (DEFAULT_MAX_VERIFY_DEPTH) */

/* Of a client's certificate, as OpenSSL limits them (OPENSSL_RSA_MAX_MODULUS_BITS, _MAX_PUBEXP_BITS). GnuTLS has no
 * limit: with 65,536 bits and an exponent as long it computes for half a minute, and in a handshake's 128 KiB there is
 * room for hours. */
#define KEY_BITS_MAX 16384
#define EXPONENT_MAX 8 /* bytes */

struct http_tls_pair {
    atomic_uint refs;
    gnutls_pcert_st chain[CHAIN_MAX]; /* the server's own first */
    unsigned count;
    gnutls_privkey_t key;
    int64_t not_after_ms;
};

/* Reads a PEM file whole; NUL-terminated. */
static enum err_code read_pem(const char *path, struct buf *out, struct err *e)
{
    AUTO(auto_free) char *piece = malloc(8192);
    int error = 0, fd = file_open(path, NULL, &error);
    ssize_t n = -1;

    if (fd < 0)
        return err_set(e, ERR_INVALID, "%s: %s", path, file_why(error));
    while (piece && (n = read(fd, piece, 8192)) > 0)
        buf_add(out, piece, (size_t)n);
    if (piece)
        explicit_bzero(piece, 8192); /* a private key went through it */
    (void)close(fd);                 /* was only read */
    if (n < 0 || buf_failed(out))
        return err_set(e, ERR_INVALID, "%s: cannot be read, or is larger than %d bytes", path,
                       PEM_MAX);
    return ERR_OK;
}

static gnutls_datum_t datum(const struct buf *b)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)buf_text(b), (unsigned)b->len};
}

/* Does the key belong to the certificate? GnuTLS asks only when it is given both as credentials. */
static int try_pair(const gnutls_datum_t *certificate, const gnutls_datum_t *key)
{
    gnutls_certificate_credentials_t try;
    int n = gnutls_certificate_allocate_credentials(&try);

    if (n < 0)
        return n;
    n = gnutls_certificate_set_x509_key_mem(try, certificate, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(try);
    return n;
}

static int import_chain(struct http_tls_pair *p, const gnutls_datum_t *pem)
{
    gnutls_x509_crt_t *list = NULL;
    unsigned n = 0;
    int rc = gnutls_x509_crt_list_import2(&list, &n, pem, GNUTLS_X509_FMT_PEM, 0);

    if (rc < 0)
        return rc;
    if (n > CHAIN_MAX) {
        rc = GNUTLS_E_SHORT_MEMORY_BUFFER;
    } else {
        p->count = n;
        rc = gnutls_pcert_import_x509_list(p->chain, list, &p->count, GNUTLS_X509_CRT_LIST_SORT);
        if (rc < 0)
            p->count = 0;
        else
            p->not_after_ms = (int64_t)gnutls_x509_crt_get_expiration_time(list[0]) * SECOND_MS;
    }
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return rc;
}

static int import_key(struct http_tls_pair *p, const gnutls_datum_t *pem)
{
    int rc = gnutls_privkey_init(&p->key);

    return rc < 0 ? rc : gnutls_privkey_import_x509_raw(p->key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
}

/* What GnuTLS says, in the words of the file. */
static enum err_code wrong(struct err *e, int rc, const char *file, const char *what)
{
    return err_set(e, rc == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_INVALID, "%s: %s (%s)", file,
                   what, gnutls_strerror(rc));
}

static enum err_code fill(struct http_tls_pair *p, const char *certificate_file,
                          const gnutls_datum_t *certificate, const char *key_file,
                          const gnutls_datum_t *key, struct err *e)
{
    int rc = import_chain(p, certificate);

    if (rc < 0)
        return wrong(e, rc, certificate_file,
                     "expected certificates in PEM, the server's own first");
    rc = import_key(p, key);
    if (rc < 0)
        return wrong(e, rc, key_file, "expected a private key in PEM, without a passphrase");
    rc = try_pair(certificate, key);
    if (rc < 0)
        return err_set(e, rc == GNUTLS_E_MEMORY_ERROR ? ERR_NOMEM : ERR_INVALID,
                       "%s: the key does not belong to the first certificate of %s (%s)", key_file,
                       certificate_file, gnutls_strerror(rc));
    return ERR_OK;
}

enum err_code http_tls_load(const char *certificate_file, const char *key_file,
                            struct http_tls_pair **ret, struct err *e)
{
    AUTO(buf_clear) struct buf certificate = BUF_INIT(PEM_MAX);
    AUTO(buf_clear) struct buf key = BUF_INIT(PEM_MAX);
    struct http_tls_pair *p = calloc(1, sizeof *p);
    enum err_code code;

    if (!p)
        return err_set(e, ERR_NOMEM, "TLS certificate");
    atomic_init(&p->refs, 1);
    code = read_pem(certificate_file, &certificate, e);
    if (!code)
        code = read_pem(key_file, &key, e);
    if (!code) {
        const gnutls_datum_t certificate_pem = datum(&certificate), key_pem = datum(&key);

        code = fill(p, certificate_file, &certificate_pem, key_file, &key_pem, e);
    }
    if (key.data)
        explicit_bzero(key.data, key.room);
    if (code)
        http_tls_unref(p);
    else
        *ret = p;
    return code;
}

struct http_tls_pair *http_tls_ref(struct http_tls_pair *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void http_tls_unref(struct http_tls_pair *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < p->count; i++)
        gnutls_pcert_deinit(&p->chain[i]);
    gnutls_privkey_deinit(p->key);
    free(p);
}

int64_t http_tls_not_after_ms(const struct http_tls_pair *p)
{
    return p->not_after_ms;
}

void http_tls_show(const struct http_tls_pair *p, gnutls_pcert_st **ret_chain, unsigned *ret_count,
                   gnutls_privkey_t *ret_key)
{
    struct http_tls_pair *open =
        (struct http_tls_pair *)(uintptr_t)p; /* GnuTLS writes to neither */

    *ret_chain = open->chain;
    *ret_count = open->count;
    *ret_key = open->key;
}

/* ---- the client's certificate ------------------------------------------------------------------------ */

/* Can this certificate's key be computed with in a moment? */
static bool is_workable(const gnutls_datum_t *der)
{
    gnutls_datum_t modulus = {0}, exponent = {0};
    gnutls_x509_crt_t crt;
    unsigned bits = 0;
    bool good = false;
    int algorithm;

    if (gnutls_x509_crt_init(&crt) < 0)
        return false;
    if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) >= 0) {
        algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
        good = algorithm >= 0 && bits <= KEY_BITS_MAX;
        if (good && (algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS)) {
            good = gnutls_x509_crt_get_pk_rsa_raw(crt, &modulus, &exponent) >= 0 &&
                   exponent.size <= EXPONENT_MAX + 1; /* a zero may stand before it */
            gnutls_free(modulus.data);
            gnutls_free(exponent.data);
        }
    }
    gnutls_x509_crt_deinit(crt);
    return good;
}

/* The client's proof that it holds its certificate's key has come, and is computed next. */
static int on_proof(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                    const gnutls_datum_t *message)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);

    (void)type;
    (void)when;
    (void)message;
    return incoming && (!chain || !count || !is_workable(&chain[0])) ? GNUTLS_E_CONSTRAINT_ERROR
                                                                     : 0;
}

void http_tls_ask(gnutls_session_t session)
{
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_CERTIFICATE_VERIFY,
                                       GNUTLS_HOOK_POST, on_proof);
}
