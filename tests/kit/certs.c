/* certs.c - see certs.h. */
#include <assert.h>
#include "certs.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(int ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "certs: %s failed\n", what);
    abort();
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    need(e && X509_add_ext(x, e, -1), value);
    X509_EXTENSION_free(e);
}

struct cert *cert_new(const struct cert_wish *wish)
{
    struct cert *c = calloc(1, sizeof *c);
    X509 *issuer;
    X509_NAME *name;
    unsigned char serial[8];
    char dns[128];
    BIGNUM *number;
    long from = wish->days < 0 ? (long)wish->days * 2 * 86400 : -86400;

    assert(c);
    c->key = EVP_EC_gen("P-256");
    c->x509 = X509_new();
    need(c->key && c->x509, "key");
    issuer = wish->issuer ? wish->issuer->x509 : c->x509;
    need(RAND_bytes(serial, sizeof serial), "serial");
    serial[0] &= 0x7f;
    number = BN_bin2bn(serial, sizeof serial, NULL);
    need(number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(c->x509)), "serial");
    BN_free(number);
    need(X509_set_version(c->x509, X509_VERSION_3) && X509_set_pubkey(c->x509, c->key), "version");
    X509_gmtime_adj(X509_getm_notBefore(c->x509), from);
    X509_gmtime_adj(X509_getm_notAfter(c->x509), (long)wish->days * 86400);
    name = X509_get_subject_name(c->x509);
    need(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)wish->name,
                                    -1, -1, 0),
         "name");
    need(X509_set_issuer_name(c->x509, X509_get_subject_name(issuer)), "issuer");
    extend(c->x509, issuer, NID_basic_constraints,
           wish->purpose && *wish->purpose ? "critical,CA:FALSE" : "critical,CA:TRUE");
    extend(c->x509, issuer, NID_subject_key_identifier, "hash");
    if (!wish->purpose) {
        extend(c->x509, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else if (*wish->purpose) {
        extend(c->x509, issuer, NID_key_usage, "critical,digitalSignature");
        extend(c->x509, issuer, NID_ext_key_usage, wish->purpose);
    }
    (void)snprintf(dns, sizeof dns, "DNS:%s", wish->name);
    if (wish->names ? *wish->names != '\0' : wish->purpose != NULL)
        extend(c->x509, issuer, NID_subject_alt_name, wish->names ? wish->names : dns);
    need(X509_sign(c->x509, wish->issuer ? wish->issuer->key : c->key, EVP_sha256()), "signature");
    return c;
}

void cert_free(struct cert *c)
{
    if (!c)
        return;
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    free(c);
}

void cert_save(const struct cert *c, const char *certificate_path, const char *key_path)
{
    FILE *f;

    if (certificate_path) {
        f = fopen(certificate_path, "w");
        need(f && PEM_write_X509(f, c->x509) && fclose(f) == 0, certificate_path);
    }
    if (key_path) {
        f = fopen(key_path, "w");
        need(f && PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0,
             key_path);
    }
}

unsigned char *cert_der(const struct cert *c, size_t *ret_len)
{
    unsigned char *der = NULL, *copy;
    int len = i2d_X509(c->x509, &der);

    need(len > 0, "DER");
    copy = malloc((size_t)len);
    assert(copy);
    memcpy(copy, der, (size_t)len);
    OPENSSL_free(der);
    *ret_len = (size_t)len;
    return copy;
}
