/* verify_standard_webhooks.h - signing as a sender does, for `cordon send` and the tests. */
#ifndef CORDON_VERIFY_STANDARD_WEBHOOKS_H
#define CORDON_VERIFY_STANDARD_WEBHOOKS_H

#include "buf.h"
#include "err.h"

/* Bytes of a key: webhook-sources.md section 5. */
#define STANDARD_WEBHOOKS_KEY_MIN 24
#define STANDARD_WEBHOOKS_KEY_MAX 64

/** The bytes of a secret "whsec_<base64>" (the prefix may be missing). ret: KEY_MAX bytes of room.
 *  ERR_INVALID when it is no base64 or has another length. */
enum err_code standard_webhooks_key(const char *secret, unsigned char *ret, size_t *ret_len,
                                    struct err *e);
/** Appends "v1,<base64 HMAC-SHA256 of id.timestamp.body>" to out. timestamp: as it stands in the header. */
enum err_code standard_webhooks_sign(const unsigned char *key, size_t key_len, const char *id,
                                     const char *timestamp, const char *body, size_t body_len,
                                     struct buf *out, struct err *e);

#endif
