/* keys.h - Entra's signing keys, the tokens made with them, and their undoing.
 *
 * Tokens are real RS256 JWTs, so that what reads them has to read real ones. For cordon's own doors they
 * can be broken in every way that webhook-sources.md section 1.2 lists. Any thread.
 */
#ifndef SIM_KEYS_H
#define SIM_KEYS_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "json.h"

enum key_slot {
    KEY_CURRENT, /* signs; in the JWKS */
    KEY_OLD,     /* signed before the last rotation; in the JWKS */
    KEY_GONE,    /* was in the JWKS */
    KEY_UNKNOWN, /* never in the JWKS */
    KEY_SMALL,   /* 1,024 bits; in no JWKS */
    KEY_SLOTS
};

struct keys; /* opaque */

/** Makes the current key; the others are made when first asked for. */
enum err_code keys_new(struct keys **ret, struct err *e);
void keys_free(struct keys *k);

/** A new current key; the last one becomes old, the old one gone. */
enum err_code keys_rotate(struct keys *k, struct err *e);
/** Takes the old key out of the JWKS: it is gone. */
void keys_retire(struct keys *k);
/** A slot's key id; make: makes the key when there is none yet, else "" then. */
void keys_kid(struct keys *k, enum key_slot slot, bool make, char out[64]);
/** The JWKS. issuer NULL: the v1 form, which has none. */
void keys_jwks(struct keys *k, const char *issuer, struct buf *out);

/** A token of header and payload texts. alg: as for POST /sim/mint, else ERR_INVALID. */
enum err_code keys_sign(struct keys *k, enum key_slot slot, const char *alg, const char *header,
                        const char *payload, struct buf *out, struct err *e);
/** Checks an RS256 signature against the JWKS; *ret_claims is the payload. */
enum err_code keys_verify(struct keys *k, const char *token, struct json **ret_claims,
                          struct err *e);
/**
 * Checks a client assertion (section 1.3) against a certificate (PEM): PS256 with x5t#S256, or RS256
 * with x5t. ERR_DENIED: thumbprint or signature; ERR_INVALID: no JWT.
 */
enum err_code keys_verify_assertion(const char *certificate, const char *token,
                                    struct json **ret_claims, struct err *e);

/** base64url without padding. */
void b64url_add(struct buf *out, const void *bytes, size_t len);
/** Standard base64 with padding. */
void b64_add(struct buf *out, const void *bytes, size_t len);
/** Either alphabet, padding optional; false for anything else. Appends to out. */
bool b64_read(const char *text, size_t len, struct buf *out);

#endif
