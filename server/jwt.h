/* jwt.h - reads a signed token (RFC 7519, JWS compact form) and checks its signature. RS256 and nothing
 * else: the token never chooses how it is verified, and keys that it brings along are not looked at.
 *
 * What a claim means is the caller's business (verify_entra.c).
 */
#ifndef CORDON_JWT_H
#define CORDON_JWT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "err.h"
#include "json.h"

#define JWT_MAX     (16 * 1024) /* characters; webhook-sources.md section 1.2, verification order 1 */
#define JWT_KID_MAX 256         /* characters; Entra's have 27 or 43 */

struct jwt {
    const char *kid;          /* names the key; arena */
    struct json *claims;      /* an object without double members; jwt_clear frees it */
    const char *signed_text;  /* "header.payload", borrowed from the token */
    size_t signed_len;        /* bytes */
    unsigned char *signature; /* arena */
    size_t signature_len;     /* bytes, up to 1024: RSA with 8192 bits */
};

/**
 * Takes a token apart: three parts of strict base64url, a header with `alg` RS256, a `kid` and no `crit`,
 * a JSON object as payload. Nothing of it is proven yet.
 *
 * token     borrowed as long as *ret is used.
 * e         what is wrong with it, without any of its text.
 * Returns   ERR_OK (then jwt_clear); ERR_INVALID; ERR_NOMEM.
 * Threads   any.
 */
enum err_code jwt_parse(struct arena *a, const char *token, struct jwt *ret, struct err *e);
void jwt_clear(struct jwt *t);

/** Does the signature over header and payload fit? RSASSA-PKCS1-v1_5 with SHA-256. Any thread, also
 *  with the same key. ERR_OK; ERR_DENIED; ERR_NOMEM. */
enum err_code jwt_verify(const struct jwt *t, EVP_PKEY *key, struct err *e);

#endif
