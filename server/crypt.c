/* crypt.c - see crypt.h. */
#include "crypt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "auto.h"

#define KEY_BYTES 32 /* webhook-sources.md section 5: 24 to 64 for v1; what Ed25519 has */

static void pkey_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

/* prefix and the base64 of bytes, which are wiped. */
static void write_key(char *out, const char *prefix, unsigned char *bytes, size_t len)
{
    size_t at = strlen(prefix);

    memcpy(out, prefix, at);
    (void)EVP_EncodeBlock((unsigned char *)out + at, bytes, (int)len); /* writes its NUL, too */
    OPENSSL_cleanse(bytes, len);
}

enum err_code crypt_new_secret(char ret[CRYPT_SECRET_SIZE], struct err *e)
{
    unsigned char bytes[KEY_BYTES];

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return err_set(e, ERR_IO, "the system gives no random bytes");
    write_key(ret, "whsec_", bytes, sizeof bytes);
    return ERR_OK;
}

enum err_code crypt_new_pair(char ret_private[CRYPT_PRIVATE_SIZE],
                             char ret_public[CRYPT_PUBLIC_SIZE], struct err *e)
{
    AUTO(pkey_freep) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    unsigned char both[2 * KEY_BYTES], public[KEY_BYTES];
    size_t seed_len = KEY_BYTES, public_len = KEY_BYTES;

    if (!key || EVP_PKEY_get_raw_private_key(key, both, &seed_len) != 1 || seed_len != KEY_BYTES ||
        EVP_PKEY_get_raw_public_key(key, public, &public_len) != 1 || public_len != KEY_BYTES)
        return err_set(e, ERR_IO, "cannot make an Ed25519 key");
    memcpy(both + KEY_BYTES, public, KEY_BYTES);
    write_key(ret_private, "whsk_", both, sizeof both);
    write_key(ret_public, "whpk_", public, sizeof public);
    return ERR_OK;
}
