/* jwt.c - see jwt.h. About the JOSE libraries of Debian: each lets a hostile token through, or is closed
 * upstream (design.md section 7); what is needed of them is this file. */
#include "jwt.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base64.h"

#define HEADER_MAX    2048 /* bytes; Entra's have about 100 */
#define SIGNATURE_MAX 1024 /* bytes: RSA with 8192 bits */

/* Decodes a part and reads it as a JSON object. */
static enum err_code read_part(struct arena *a, const char *text, size_t len, const char *what,
                               struct json **ret, struct err *e)
{
    size_t n;
    unsigned char *bytes = arena_alloc(a, BASE64_ROOM(len));
    AUTO(json_freep) struct json *doc = NULL;
    enum err_code code;

    if (!bytes)
        return err_set(e, ERR_NOMEM, "token");
    if (!len || !base64url_decode(text, len, bytes, BASE64_ROOM(len), &n))
        return err_set(e, ERR_INVALID, "the %s is not base64url", what);
    code = json_parse((const char *)bytes, n, &doc, NULL);
    if (code)
        return err_set(e, code, "the %s is not JSON", what);
    if (json_type(doc) != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "the %s is no JSON object", what);
    *ret = doc;
    doc = NULL;
    return ERR_OK;
}

static enum err_code read_header(struct arena *a, const char *text, size_t len, struct jwt *t,
                                 struct err *e)
{
    AUTO(json_freep) struct json *header = NULL;
    const char *alg, *kid, *typ;
    enum err_code code;

    if (len > HEADER_MAX)
        return err_set(e, ERR_INVALID, "the header is too long");
    code = read_part(a, text, len, "header", &header, e);
    if (code)
        return code;
    alg = json_get_string(header, "alg");
    kid = json_get_string(header, "kid");
    typ = json_get_string(header, "typ");
    if (!alg || strcmp(alg, "RS256") != 0)
        return err_set(e, ERR_INVALID, "the algorithm is not RS256");
    /* "JWT" from Entra; "at+jwt" is RFC 9068. A token of another kind is none for us. */
    if (json_get(header, "typ") &&
        !(typ && (!strcasecmp(typ, "JWT") || !strcasecmp(typ, "at+jwt"))))
        return err_set(e, ERR_INVALID, "the header's `typ` is not JWT");
    if (json_get(header, "crit"))
        return err_set(e, ERR_INVALID, "the header has `crit`: extensions that nobody here knows");
    if (!kid || !*kid || strlen(kid) > JWT_KID_MAX)
        return err_set(e, ERR_INVALID, "the header has no `kid`");
    t->kid = arena_str(a, kid);
    return t->kid ? ERR_OK : err_set(e, ERR_NOMEM, "token");
}

enum err_code jwt_parse(struct arena *a, const char *token, struct jwt *ret, struct err *e)
{
    struct jwt t = {.signed_text = token};
    const char *payload, *signature;
    size_t len = strnlen(token, JWT_MAX + 1), signature_len;
    enum err_code code;

    if (len > JWT_MAX)
        return err_set(e, ERR_INVALID, "longer than %d characters", JWT_MAX);
    payload = strchr(token, '.');
    signature = payload ? strchr(payload + 1, '.') : NULL;
    if (!signature || strchr(signature + 1, '.'))
        return err_set(e, ERR_INVALID, "not three parts");
    t.signed_len = (size_t)(signature - token);
    signature++;
    signature_len = len - t.signed_len - 1;

    t.signature = arena_alloc(a, SIGNATURE_MAX);
    if (!t.signature)
        return err_set(e, ERR_NOMEM, "token");
    if (!signature_len ||
        !base64url_decode(signature, signature_len, t.signature, SIGNATURE_MAX, &t.signature_len))
        return err_set(e, ERR_INVALID, "the signature is not base64url");
    code = read_header(a, token, (size_t)(payload - token), &t, e);
    if (code)
        return code;
    payload++;
    code = read_part(a, payload, (size_t)(signature - 1 - payload), "payload", &t.claims, e);
    if (code)
        return code;
    *ret = t;
    return ERR_OK;
}

void jwt_clear(struct jwt *t)
{
    json_free(t->claims);
    t->claims = NULL;
}

enum err_code jwt_verify(const struct jwt *t, EVP_PKEY *key, struct err *e)
{
    EVP_MD_CTX *ctx;
    int good;

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return err_set(e, ERR_DENIED, "the key is not for RSA");
    ctx = EVP_MD_CTX_new();
    /* PKCS #1 v1.5 is what an RSA key does when no other padding is asked for. */
    if (!ctx || EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return err_set(e, ERR_NOMEM, "token");
    }
    good = EVP_DigestVerify(ctx, t->signature, t->signature_len,
                            (const unsigned char *)t->signed_text, t->signed_len);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* a bad signature leaves its reasons in the thread's queue */
    return good == 1 ? ERR_OK : err_set(e, ERR_DENIED, "the signature does not fit");
}
