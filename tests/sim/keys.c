/* keys.c - see keys.h. */
#include "keys.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RSA_BITS       2048
#define RSA_BITS_SMALL 1024 /* what section 1.2 of webhook-sources.md tells receivers to refuse */

struct key {
    EVP_PKEY *pkey; /* NULL: not made yet */
    char kid[64];   /* as in Entra's v1 tokens: the same as x5t */
    struct buf n, e, x5c, pem;
};

struct keys {
    pthread_mutex_t lock; /* guards slot[] */
    struct key slot[KEY_SLOTS];
};

/* ---- base64 ----------------------------------------------------------------------------------- */

static void add_base64(struct buf *out, const unsigned char *p, size_t len, const char *alphabet,
                       bool pad)
{
    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)p[i] << 16 | (i + 1 < len ? (unsigned)p[i + 1] << 8 : 0) |
                     (i + 2 < len ? p[i + 2] : 0);
        size_t chars = len - i >= 3 ? 4 : len - i + 1;

        for (size_t c = 0; c < 4; c++)
            if (c < chars)
                buf_addc(out, alphabet[v >> (18 - 6 * c) & 63]);
            else if (pad)
                buf_addc(out, '=');
    }
}

void b64url_add(struct buf *out, const void *bytes, size_t len)
{
    add_base64(out, bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
               false);
}

void b64_add(struct buf *out, const void *bytes, size_t len)
{
    add_base64(out, bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
               true);
}

static int b64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool b64_read(const char *text, size_t len, struct buf *out)
{
    unsigned v = 0, bits = 0;

    while (len && text[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        int d = b64_digit(text[i]);

        if (d < 0)
            return false;
        v = v << 6 | (unsigned)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_addc(out, (char)(v >> bits & 255));
        }
    }
    return len % 4 != 1 && !buf_failed(out);
}

/* ---- keys ------------------------------------------------------------------------------------- */

static void key_clear(struct key *k)
{
    EVP_PKEY_free(k->pkey);
    buf_clear(&k->n);
    buf_clear(&k->e);
    buf_clear(&k->x5c);
    buf_clear(&k->pem);
    *k = (struct key){0};
}

static enum err_code openssl_failed(struct err *e, const char *what)
{
    char text[200];

    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return err_set(e, ERR_IO, "%s: %s", what, text);
}

static void add_number(struct buf *out, const EVP_PKEY *pkey, const char *name)
{
    BIGNUM *bn = NULL;
    unsigned char bytes[RSA_BITS / 8];

    if (EVP_PKEY_get_bn_param(pkey, name, &bn))
        b64url_add(out, bytes, (size_t)BN_bn2bin(bn, bytes));
    BN_free(bn);
}

/* A self-signed certificate over the key: the JWKS carries it (x5c), and its hash names the key. */
static bool certify(struct key *k)
{
    X509 *x = X509_new();
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    struct buf kid = BUF_INIT(sizeof k->kid);
    int len = -1;

    if (x && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
        X509_gmtime_adj(X509_getm_notAfter(x), 5 * 365 * 86400L) && X509_set_pubkey(x, k->pkey) &&
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                   (const unsigned char *)"accounts.accesscontrol.windows.net", -1,
                                   -1, 0) &&
        X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_sign(x, k->pkey, EVP_sha256()) &&
        X509_digest(x, EVP_sha1(), digest, &digest_len))
        len = i2d_X509(x, &der);
    if (len > 0) {
        b64_add(&k->x5c, der, (size_t)len);
        b64url_add(&kid, digest, digest_len);
        snprintf(k->kid, sizeof k->kid, "%s", buf_text(&kid));
    }
    buf_clear(&kid);
    OPENSSL_free(der);
    X509_free(x);
    return len > 0;
}

static enum err_code key_make(struct key *k, unsigned bits, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    long pem_len;

    buf_init(&k->n, 4096);
    buf_init(&k->e, 4096);
    buf_init(&k->x5c, 16384);
    buf_init(&k->pem, 16384);
    k->pkey = EVP_RSA_gen(bits);
    if (!k->pkey || !certify(k) || !bio || !PEM_write_bio_PUBKEY(bio, k->pkey)) {
        BIO_free(bio);
        key_clear(k);
        return openssl_failed(e, "a signing key");
    }
    pem_len = BIO_get_mem_data(bio, &pem);
    buf_add(&k->pem, pem, (size_t)pem_len);
    BIO_free(bio);
    add_number(&k->n, k->pkey, OSSL_PKEY_PARAM_RSA_N);
    add_number(&k->e, k->pkey, OSSL_PKEY_PARAM_RSA_E);
    return ERR_OK;
}

/* The key of a slot, made when it is not there yet. */
static struct key *key_locked(struct keys *k, enum key_slot slot, struct err *e)
{
    struct key *key = &k->slot[slot];

    if (!key->pkey && key_make(key, slot == KEY_SMALL ? RSA_BITS_SMALL : RSA_BITS, e))
        return NULL;
    return key;
}

enum err_code keys_new(struct keys **ret, struct err *e)
{
    struct keys *k = calloc(1, sizeof *k);

    if (!k)
        return err_set(e, ERR_NOMEM, "keys");
    pthread_mutex_init(&k->lock, NULL);
    if (!key_locked(k, KEY_CURRENT, e)) {
        keys_free(k);
        return ERR_IO;
    }
    *ret = k;
    return ERR_OK;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < KEY_SLOTS; i++)
        key_clear(&k->slot[i]);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

enum err_code keys_rotate(struct keys *k, struct err *e)
{
    struct key fresh = {0};
    enum err_code code = key_make(&fresh, RSA_BITS, e);

    if (code)
        return code;
    pthread_mutex_lock(&k->lock);
    if (k->slot[KEY_OLD].pkey) {
        key_clear(&k->slot[KEY_GONE]);
        k->slot[KEY_GONE] = k->slot[KEY_OLD];
    }
    k->slot[KEY_OLD] = k->slot[KEY_CURRENT];
    k->slot[KEY_CURRENT] = fresh;
    pthread_mutex_unlock(&k->lock);
    return ERR_OK;
}

void keys_retire(struct keys *k)
{
    pthread_mutex_lock(&k->lock);
    if (k->slot[KEY_OLD].pkey) {
        key_clear(&k->slot[KEY_GONE]);
        k->slot[KEY_GONE] = k->slot[KEY_OLD];
        k->slot[KEY_OLD] = (struct key){0};
    }
    pthread_mutex_unlock(&k->lock);
}

void keys_kid(struct keys *k, enum key_slot slot, bool make, char out[64])
{
    pthread_mutex_lock(&k->lock);
    if (make)
        (void)key_locked(k, slot, NULL); /* a failure shows when it is to sign */
    snprintf(out, 64, "%s", k->slot[slot].kid);
    pthread_mutex_unlock(&k->lock);
}

void keys_jwks(struct keys *k, const char *issuer, struct buf *out)
{
    /* several keys are valid together, and their order means nothing: webhook-sources.md 1.2 */
    static const enum key_slot order[] = {KEY_OLD, KEY_CURRENT};
    struct json_out o = JSON_OUT(out);

    pthread_mutex_lock(&k->lock);
    json_out_object(&o, NULL);
    json_out_array(&o, "keys");
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const struct key *key = &k->slot[order[i]];

        if (!key->pkey)
            continue;
        json_out_object(&o, NULL);
        json_out_string(&o, "kty", "RSA");
        json_out_string(&o, "use", "sig");
        json_out_string(&o, "kid", key->kid);
        json_out_string(&o, "x5t", key->kid);
        json_out_string(&o, "n", buf_text(&key->n));
        json_out_string(&o, "e", buf_text(&key->e));
        json_out_array(&o, "x5c");
        json_out_string(&o, NULL, buf_text(&key->x5c));
        json_out_array_end(&o);
        if (issuer)
            json_out_string(&o, "issuer", issuer);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_object_end(&o);
    pthread_mutex_unlock(&k->lock);
}

/* ---- signing ---------------------------------------------------------------------------------- */

static bool sign_rsa(struct key *key, const EVP_MD *md, bool pss, const struct buf *text,
                     struct buf *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    unsigned char signature[RSA_BITS / 8];
    size_t len = sizeof signature;
    bool good =
        ctx && EVP_DigestSignInit(ctx, &pctx, md, NULL, key->pkey) == 1 &&
        (!pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text->data, text->len) == 1;

    EVP_MD_CTX_free(ctx);
    if (good)
        b64url_add(out, signature, len);
    return good;
}

static bool sign_hmac(const void *key, size_t key_len, const struct buf *text, struct buf *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool good = HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text->data, text->len,
                     digest, &len) != NULL;

    if (good)
        b64url_add(out, digest, len);
    return good;
}

enum err_code keys_sign(struct keys *k, enum key_slot slot, const char *alg, const char *header,
                        const char *payload, struct buf *out, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 20), signature = BUF_INIT(4096);
    struct key *key;
    bool good = false;

    b64url_add(&text, header, strlen(header));
    buf_addc(&text, '.');
    b64url_add(&text, payload, strlen(payload));
    if (buf_failed(&text))
        return err_set(e, buf_failed(&text), "a token");
    pthread_mutex_lock(&k->lock);
    key = key_locked(k, slot, e);
    if (key && strcasecmp(alg, "RS256") == 0)
        good = sign_rsa(key, EVP_sha256(), false, &text, &signature);
    else if (key && strcmp(alg, "RS384") == 0)
        good = sign_rsa(key, EVP_sha384(), false, &text, &signature);
    else if (key && strcmp(alg, "PS256") == 0)
        good = sign_rsa(key, EVP_sha256(), true, &text, &signature);
    else if (key &&
             strcmp(alg, "HS256") == 0) /* the classic confusion: the public key as the secret */
        good = sign_hmac(key->pem.data, key->pem.len, &text, &signature);
    else if (key && strcmp(alg, "HS256n") == 0)
        good = sign_hmac(key->n.data, key->n.len, &text, &signature);
    else
        good = strcmp(alg, "none") == 0;
    pthread_mutex_unlock(&k->lock);
    if (!good)
        return err_set(e, ERR_INVALID, "alg: %s", alg);
    buf_addf(out, "%s.%s", buf_text(&text), buf_text(&signature));
    return buf_failed(out);
}

/* ---- checking --------------------------------------------------------------------------------- */

struct parts {
    struct buf header, payload, signature;
    size_t signed_len; /* bytes of the token that are signed */
};

static void parts_clear(struct parts *p)
{
    buf_clear(&p->header);
    buf_clear(&p->payload);
    buf_clear(&p->signature);
}

static bool split(const char *token, struct parts *p)
{
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;

    buf_init(&p->header, 1 << 16);
    buf_init(&p->payload, 1 << 20);
    buf_init(&p->signature, 4096);
    if (!second || strchr(second + 1, '.'))
        return false;
    p->signed_len = (size_t)(second - token);
    return b64_read(token, (size_t)(first - token), &p->header) &&
           b64_read(first + 1, (size_t)(second - first) - 1, &p->payload) &&
           b64_read(second + 1, strlen(second + 1), &p->signature);
}

static bool signature_is_good(EVP_PKEY *pkey, bool pss, const char *token, const struct parts *p)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool good = ctx && EVP_DigestVerifyInit(ctx, &pctx, EVP_sha256(), NULL, pkey) == 1 &&
                (!pss || EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1) &&
                EVP_DigestVerify(ctx, (const unsigned char *)p->signature.data, p->signature.len,
                                 (const unsigned char *)token, p->signed_len) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

enum err_code keys_verify(struct keys *k, const char *token, struct json **ret_claims,
                          struct err *e)
{
    AUTO(parts_clear) struct parts p = {0};
    AUTO(json_freep) struct json *header = NULL;
    const char *kid;
    bool good = false;

    if (!split(token, &p) || json_parse(buf_text(&p.header), p.header.len, &header, e))
        return err_set(e, ERR_DENIED, "the token is no JWT");
    kid = json_get_string(header, "kid");
    if (!kid || strcmp(buf_text(&p.header), "") == 0 || !json_get_string(header, "alg") ||
        strcmp(json_get_string(header, "alg"), "RS256") != 0)
        return err_set(e, ERR_DENIED, "the token's header is not ours");
    pthread_mutex_lock(&k->lock);
    for (int i = KEY_CURRENT; i <= KEY_OLD && !good; i++)
        if (k->slot[i].pkey && strcmp(k->slot[i].kid, kid) == 0)
            good = signature_is_good(k->slot[i].pkey, false, token, &p);
    pthread_mutex_unlock(&k->lock);
    if (!good)
        return err_set(e, ERR_DENIED, "the token's signature is not ours");
    if (json_parse(buf_text(&p.payload), p.payload.len, ret_claims, e))
        return err_set(e, ERR_DENIED, "the token's payload is no JSON");
    return ERR_OK;
}

static bool thumbprint_is(X509 *x, const EVP_MD *md, const char *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    AUTO(buf_clear) struct buf given = BUF_INIT(256);

    return text && X509_digest(x, md, digest, &len) && b64_read(text, strlen(text), &given) &&
           given.len == len && memcmp(given.data, digest, len) == 0;
}

enum err_code keys_verify_assertion(const char *certificate, const char *token,
                                    struct json **ret_claims, struct err *e)
{
    AUTO(parts_clear) struct parts p = {0};
    AUTO(json_freep) struct json *header = NULL;
    BIO *bio = BIO_new_mem_buf(certificate, -1);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    const char *alg;
    bool pss, good;

    BIO_free(bio);
    if (!x || !split(token, &p) || json_parse(buf_text(&p.header), p.header.len, &header, e)) {
        X509_free(x);
        return err_set(e, ERR_INVALID, "the assertion is no JWT");
    }
    alg = json_get_string(header, "alg");
    pss = alg && strcmp(alg, "PS256") == 0;
    good = (pss || (alg && strcmp(alg, "RS256") == 0)) &&
           (thumbprint_is(x, EVP_sha256(), json_get_string(header, "x5t#S256")) ||
            (!pss && thumbprint_is(x, EVP_sha1(), json_get_string(header, "x5t")))) &&
           signature_is_good(X509_get0_pubkey(x), pss, token, &p);
    X509_free(x);
    if (!good)
        return err_set(e, ERR_DENIED, "the assertion's thumbprint or signature");
    if (json_parse(buf_text(&p.payload), p.payload.len, ret_claims, e))
        return err_set(e, ERR_INVALID, "the assertion's payload is no JSON");
    return ERR_OK;
}
