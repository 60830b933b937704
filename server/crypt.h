/* crypt.h - making keys: what `cordon keygen` prints.
 *
 * Forms: webhook-sources.md section 5 (Standard Webhooks v1 and v1a).
 */
#ifndef CORDON_CRYPT_H
#define CORDON_CRYPT_H

#include "err.h"

#define CRYPT_SECRET_SIZE sizeof "whsec_0123456789012345678901234567890123456789012="
#define CRYPT_PUBLIC_SIZE sizeof "whpk_0123456789012345678901234567890123456789012="
/* seed and public key, 64 bytes, as the libraries of Standard Webhooks have it */
#define CRYPT_PRIVATE_SIZE (sizeof "whsk_" + 88)

/** "whsec_" and the base64 of 32 random bytes. ERR_IO when there is no randomness. Any thread. */
enum err_code crypt_new_secret(char ret[CRYPT_SECRET_SIZE], struct err *e);
/** A new Ed25519 pair: "whsk_…", which signs, and "whpk_…", which verifies. */
enum err_code crypt_new_pair(char ret_private[CRYPT_PRIVATE_SIZE],
                             char ret_public[CRYPT_PUBLIC_SIZE], struct err *e);

#endif
