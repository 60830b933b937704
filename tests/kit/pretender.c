/* pretender.c - see pretender.h. With GnuTLS, which lets a program sign for it; OpenSSL would compute. */
#include "kit/pretender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

#include "kit/raw.h"

struct pretender {
    gnutls_pcert_st shown;
    gnutls_privkey_t key;
    unsigned bits, asked;
};

static int pretend_to_sign(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *ctx,
                           unsigned flags, const gnutls_datum_t *data, gnutls_datum_t *ret)
{
    struct pretender *p = ctx;

    (void)key;
    (void)algorithm;
    (void)flags;
    (void)data;
    p->asked++;
    ret->size = p->bits / 8;
    ret->data = gnutls_malloc(ret->size);
    assert_non_null(ret->data);
    memset(ret->data, 0x11, ret->size);
    return 0;
}

static int pretend_to_know(gnutls_privkey_t key, unsigned flags, void *ctx)
{
    const struct pretender *p = ctx;

    (void)key;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return GNUTLS_PK_RSA;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int)p->bits;
    return flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO ? 1 : -1;
}

static int show_pretended(gnutls_session_t session, const gnutls_datum_t *cas, int n_cas,
                          const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                          gnutls_pcert_st **ret_chain, unsigned *ret_count,
                          gnutls_privkey_t *ret_key)
{
    struct pretender *p = gnutls_session_get_ptr(session);

    (void)cas;
    (void)n_cas;
    (void)algorithms;
    (void)n_algorithms;
    *ret_chain = &p->shown;
    *ret_count = 1;
    *ret_key = p->key;
    return 0;
}

void pretender_call(const char *address, const char *version, const unsigned char *der, size_t len,
                    unsigned bits)
{
    const gnutls_datum_t certificate = {(unsigned char *)(uintptr_t)der, (unsigned)len};
    struct pretender p = {.bits = bits};
    gnutls_certificate_credentials_t credentials;
    struct raw *r = raw_open(address);
    gnutls_session_t session;
    char priorities[80], byte;
    ssize_t rc;

    assert_non_null(r);
    (void)snprintf(priorities, sizeof priorities, "NORMAL:-VERS-ALL:+%s", version);
    assert_int_equal(gnutls_pcert_import_x509_raw(&p.shown, &certificate, GNUTLS_X509_FMT_DER, 0),
                     0);
    assert_int_equal(gnutls_privkey_init(&p.key), 0);
    assert_int_equal(gnutls_privkey_import_ext4(p.key, &p, pretend_to_sign, pretend_to_sign, NULL,
                                                NULL, pretend_to_know, 0),
                     0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    gnutls_certificate_set_retrieve_function2(credentials, show_pretended);
    assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    gnutls_session_set_ptr(session, &p);
    assert_int_equal(gnutls_priority_set_direct(session, priorities, NULL), 0);
    assert_int_equal(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), 0);
    gnutls_transport_set_int(session, r->fd);
    do
        rc = gnutls_handshake(session);
    while (rc < 0 && !gnutls_error_is_fatal((int)rc));
    /* In TLS 1.3 the client's part is over first. 0: a close without an alert may be seen as an end. */
    while (rc >= 0 || !gnutls_error_is_fatal((int)rc))
        if ((rc = gnutls_record_recv(session, &byte, 1)) == 0)
            break;
    assert_int_equal(p.asked, 1);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    gnutls_pcert_deinit(&p.shown);
    gnutls_privkey_deinit(p.key);
    raw_free(r);
}
