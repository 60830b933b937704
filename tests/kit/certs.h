/* certs.h - certificates for tests, made on the spot: EC P-256, signed by whom the test says. */
#ifndef CORDON_KIT_CERTS_H
#define CORDON_KIT_CERTS_H

#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct cert_wish {
    const char *name;          /* common name, and DNS name of a server */
    const struct cert *issuer; /* NULL: signs itself */
    const char *purpose; /* "serverAuth", "clientAuth"; NULL: a CA; "": says nothing of its use,
                                * and is a CA as well, like those of `openssl req -x509` */
    int days;            /* valid for; negative: expired so long ago */
    const char *names;   /* "URI:spiffe://a/b,email:a@b.example"; NULL: the name as DNS name where
                                * there is a purpose; "": none */
};

/* Aborts when it cannot. */
struct cert *cert_new(const struct cert_wish *wish);
void cert_free(struct cert *c);
/* PEM files; either path may be NULL. */
void cert_save(const struct cert *c, const char *certificate_path, const char *key_path);
/* The certificate's DER; free() it. */
unsigned char *cert_der(const struct cert *c, size_t *ret_len);

#endif
