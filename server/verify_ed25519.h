/* verify_ed25519.h - public keys of senders that sign with their own; what the schemes with such keys share. */
#ifndef CORDON_VERIFY_ED25519_H
#define CORDON_VERIFY_ED25519_H

#include <openssl/types.h>
#include <stddef.h>

#include "err.h"
#include "verify.h"

#define VERIFY_ED25519_SIZE 64 /* bytes of a signature */

/** A key from "whpk_<base64>" (webhook-sources.md section 5); EVP_PKEY_free it. ERR_INVALID and what was
 *  expected, without the text where it is a secret; ERR_NOMEM. */
enum err_code verify_ed25519_key(const char *text, EVP_PKEY **ret, struct err *e);

/** Does the signature over text fit? VERIFY_GOOD, VERIFY_DENIED, or VERIFY_UNAVAILABLE for want of memory.
 *  Any thread, also with the same key. */
enum verify_verdict verify_ed25519(EVP_PKEY *key,
                                   const unsigned char signature[VERIFY_ED25519_SIZE],
                                   const char *text, size_t len);

#endif
