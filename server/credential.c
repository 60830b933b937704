/* credential.c - see credential.h.
 *
 * A certificate signs an assertion of ten minutes for each request (section 1.3): PS256 with x5t#S256, as Microsoft's
 * documentation asks for since 2025. Where a managed identity is asked is told by the environment of an App Service or
 * a container app (section 1.6); without it the virtual machine's metadata service is (section 1.5).
 */
#include "credential.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "file.h"
#include "rest.h"

#define ASSERTION_S   600 /* section 1.3: five to ten minutes */
#define ASSERTION_MAX (16 * 1024)
#define METADATA      "http://169.254.169.254" /* section 1.5 */

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

static void certificate_freep(X509 **p)
{
    X509_free(*p);
}

static void key_freep(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void bio_freep(BIO **p)
{
    BIO_free_all(*p);
}

/* ---- a certificate ---------------------------------------------------------------------------- */

static enum err_code load(const char *certificate_file, const char *key_file, X509 **ret_cert,
                          EVP_PKEY **ret_key, struct err *e)
{
    AUTO(bio_freep) BIO *cert_file = BIO_new_file(certificate_file, "r");
    AUTO(bio_freep) BIO *key_bio = BIO_new_file(key_file, "r");
    AUTO(certificate_freep)
    X509 *cert = cert_file ? PEM_read_bio_X509(cert_file, NULL, NULL, NULL) : NULL;
    AUTO(key_freep) EVP_PKEY *key = NULL;
    char no_phrase[] = ""; /* so that nobody is asked for one */

    if (!cert)
        return err_set(e, ERR_INVALID, "%s holds no certificate in PEM", certificate_file);
    if (key_bio)
        key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, no_phrase);
    if (!key)
        return err_set(e, ERR_INVALID,
                       "%s holds no private key in PEM that can be read without a pass phrase",
                       key_file);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return err_set(e, ERR_INVALID, "%s is no RSA key: Entra ID takes no other here", key_file);
    if (X509_check_private_key(cert, key) != 1)
        return err_set(e, ERR_INVALID, "the key in %s does not belong to the certificate in %s",
                       key_file, certificate_file);
    *ret_cert = cert;
    *ret_key = key;
    cert = NULL;
    key = NULL;
    return ERR_OK;
}

enum err_code credential_check(const char *certificate_file, const char *key_file,
                               int64_t *ret_end_ms, struct err *e)
{
    AUTO(certificate_freep) X509 *cert = NULL;
    AUTO(key_freep) EVP_PKEY *key = NULL;
    enum err_code code = load(certificate_file, key_file, &cert, &key, e);
    struct tm end;

    if (code)
        return code;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1)
        return err_set(e, ERR_INVALID, "%s: its end cannot be read", certificate_file);
    *ret_end_ms = (int64_t)timegm(&end) * SECOND_MS;
    return ERR_OK;
}

/* Appends the base64url text of bytes. */
static enum err_code add_base64url(struct buf *out, const void *bytes, size_t len)
{
    char *text = malloc(BASE64URL_SIZE(len));

    if (!text)
        return ERR_NOMEM;
    base64url_encode(bytes, len, text);
    buf_adds(out, text);
    explicit_bzero(text, strlen(text));
    free(text);
    return buf_failed(out);
}

static enum err_code add_head(struct buf *out, X509 *cert)
{
    AUTO(buf_clear) struct buf json = BUF_INIT(1024);
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[BASE64URL_SIZE(EVP_MAX_MD_SIZE)];
    unsigned len = 0;

    if (X509_digest(cert, EVP_sha256(), hash, &len) != 1)
        return ERR_NOMEM;
    base64url_encode(hash, len, text);
    buf_addf(&json, "{\"alg\":\"PS256\",\"typ\":\"JWT\",\"x5t#S256\":\"%s\"}", text);
    return add_base64url(out, json.data, json.len);
}

static enum err_code add_claims(struct buf *out, const struct token_grant *g)
{
    AUTO(buf_clear) struct buf json = BUF_INIT(4096);
    struct json_out o = JSON_OUT(&json);
    unsigned char r[16];
    char jti[37];

    if (RAND_bytes(r, sizeof r) != 1)
        return ERR_NOMEM;
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40); /* a GUID: RFC 4122 section 4.4 */
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    (void)snprintf(jti, sizeof jti,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0],
                   r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13],
                   r[14], r[15]);
    json_out_object(&o, NULL);
    json_out_string(&o, "aud", g->url);
    json_out_string(&o, "iss", g->client_id);
    json_out_string(&o, "sub", g->client_id);
    json_out_string(&o, "jti", jti);
    json_out_int(&o, "nbf", g->now_ms / SECOND_MS);
    json_out_int(&o, "iat", g->now_ms / SECOND_MS);
    json_out_int(&o, "exp", g->now_ms / SECOND_MS + ASSERTION_S);
    json_out_object_end(&o);
    return buf_failed(&json) ? buf_failed(&json) : add_base64url(out, json.data, json.len);
}

/* RSASSA-PSS with SHA-256 and a salt of its length (RFC 7518 section 3.5), over what stands in out. */
static enum err_code add_signature(struct buf *out, EVP_PKEY *key, struct err *e)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    unsigned char signature[1024]; /* a key of 8,192 bits */
    size_t len = sizeof signature;
    bool good =
        ctx && (size_t)EVP_PKEY_get_size(key) <= sizeof signature &&
        EVP_DigestSignInit(ctx, &p, EVP_sha256(), NULL, key) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST) == 1 &&
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)out->data, out->len) == 1;

    EVP_MD_CTX_free(ctx);
    if (!good)
        return err_set(e, ERR_INVALID, "the key of the certificate cannot sign");
    buf_addc(out, '.');
    return add_base64url(out, signature, len);
}

static void add_assertion(struct buf *form, const char *text, size_t len)
{
    token_form_add(form, "client_assertion_type", ASSERTION_TYPE, strlen(ASSERTION_TYPE));
    token_form_add(form, "client_assertion", text, len);
}

static enum err_code by_certificate(void *ctx, const struct token_grant *g, struct buf *form,
                                    struct err *e)
{
    const struct config_tenant *t = ctx;
    AUTO(token_clear) struct buf text = BUF_INIT(ASSERTION_MAX);
    AUTO(certificate_freep) X509 *cert = NULL;
    AUTO(key_freep) EVP_PKEY *key = NULL;
    enum err_code code = load(t->certificate_file, t->key_file, &cert, &key, e);

    if (code)
        return code;
    code = add_head(&text, cert);
    buf_addc(&text, '.');
    if (!code)
        code = add_claims(&text, g);
    if (code)
        return err_set(e, code, "a client assertion");
    code = add_signature(&text, key, e);
    if (code)
        return code;
    add_assertion(form, text.data, text.len);
    return buf_failed(form);
}

/* ---- a file of the platform's ------------------------------------------------------------------ */

static enum err_code by_file(void *ctx, const struct token_grant *g, struct buf *form,
                             struct err *e)
{
    const struct config_tenant *t = ctx;
    AUTO(token_clear) struct buf text = BUF_INIT(ASSERTION_MAX);
    int error = 0;
    FILE *f = file_open_stream(t->federated_token_file, &error);
    char bytes[4096];
    size_t n;

    (void)g;
    if (!f)
        return err_set(e, ERR_AGAIN, "federated_token_file: cannot read %s: %s",
                       t->federated_token_file, file_why(error));
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0)
        buf_add(&text, bytes, n);
    explicit_bzero(bytes, sizeof bytes);
    (void)fclose(f); /* it was only read */
    while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
        text.len--;
    if (buf_failed(&text) || !text.len)
        return err_set(e, ERR_AGAIN, "federated_token_file: %s %s", t->federated_token_file,
                       text.len ? "is too large for a token" : "is empty");
    add_assertion(form, text.data, text.len);
    return buf_failed(form);
}

/* ---- the machine's identity --------------------------------------------------------------------- */

/* The resource of a scope: without "/.default". */
static void add_resource(struct buf *url, const char *scope)
{
    static const char end[] = "/.default";
    size_t len = strlen(scope), cut = sizeof end - 1;

    if (len > cut && strcmp(scope + len - cut, end) == 0)
        len -= cut;
    token_form_add(url, "resource", scope, len);
}

static enum err_code by_machine(void *ctx, const char *scope, struct buf *url, struct buf *header,
                                struct err *e)
{
    const struct config_tenant *t = ctx;
    const char *endpoint = getenv("IDENTITY_ENDPOINT"), *secret = getenv("IDENTITY_HEADER");
    const char *host =
        getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"); /* as Microsoft's own libraries */

    if (endpoint && *endpoint && secret && *secret) {
        buf_addf(url, "%s%capi-version=2019-08-01", endpoint, strchr(endpoint, '?') ? '&' : '?');
        buf_addf(header, "X-IDENTITY-HEADER: %s", secret);
    } else {
        buf_addf(url, "%s/metadata/identity/oauth2/token?api-version=2018-02-01",
                 host && *host ? host : METADATA);
        buf_adds(header, "Metadata: true");
    }
    add_resource(url, scope);
    if (t->client_id)
        token_form_add(url, "client_id", t->client_id, strlen(t->client_id));
    if (buf_failed(url) || buf_failed(header))
        return err_set(e, ERR_NOMEM, "a request for the managed identity's token");
    return ERR_OK;
}

/* ---- a secret ------------------------------------------------------------------------------------ */

static enum err_code by_secret(void *ctx, struct buf *out, struct err *e)
{
    const struct config_tenant *t = ctx;

    (void)e;
    buf_add(out, t->client_secret.text, t->client_secret.len);
    return buf_failed(out);
}

void credential_use(const struct config_tenant *tenant, struct token_options *o)
{
    o->login_url = tenant->login_url;
    o->tenant_id = tenant->tenant_id;
    o->client_id = tenant->client_id;
    o->ctx = (void *)tenant; /* only read */
    if (tenant->managed_identity)
        o->identity = by_machine;
    else if (tenant->certificate_file)
        o->grant = by_certificate;
    else if (tenant->federated_token_file)
        o->grant = by_file;
    else
        o->secret = by_secret;
}
