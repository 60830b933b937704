/* verify_ed25519.c - see verify_ed25519.h. */
#include "verify_ed25519.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "base64.h"

#define KEY_SIZE 32 /* bytes */

enum err_code verify_ed25519_key(const char *text, EVP_PKEY **ret, struct err *e)
{
    static const char prefix[] = "whpk_";
    unsigned char bytes[KEY_SIZE];
    EVP_PKEY *key;
    size_t n;

    if (strncmp(text, "whsk_", 5) == 0 || strncmp(text, "whsec_", 6) == 0)
        return err_set(e, ERR_INVALID,
                       "a `%.5s…` is a secret: it does not belong here, and counts as known now; "
                       "expected `whpk_…`",
                       text);
    if (strncmp(text, prefix, sizeof prefix - 1) != 0 ||
        !base64_decode(text + sizeof prefix - 1, strlen(text) - (sizeof prefix - 1), bytes,
                       sizeof bytes, &n) ||
        n != sizeof bytes)
        return err_set(e, ERR_INVALID,
                       "expected `whpk_` and %d bytes in base64; `cordon keygen --ed25519` makes a "
                       "pair",
                       KEY_SIZE);
    key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, sizeof bytes);
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    *ret = key;
    return ERR_OK;
}

/* (EVP_DigestVerify itself calls a signature wrong when it has no memory for the hash, and leaves no error:
 * that one cannot be told apart.) */
enum verify_verdict verify_ed25519(EVP_PKEY *key,
                                   const unsigned char signature[VERIFY_ED25519_SIZE],
                                   const char *text, size_t len)
{
    enum verify_verdict verdict = VERIFY_UNAVAILABLE;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1)
        verdict = EVP_DigestVerify(ctx, signature, VERIFY_ED25519_SIZE, (const unsigned char *)text,
                                   len) == 1
                      ? VERIFY_GOOD
                      : VERIFY_DENIED;
    ERR_clear_error(); /* the queue is the thread's, for whoever comes next */
    EVP_MD_CTX_free(ctx);
    return verdict;
}
