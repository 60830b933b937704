/* verify_mac.h - HMAC with one key, from many threads at once; what the schemes that sign have in common.
 *
 * A keyed context that is started again is 2.3 times as fast as a new one (library-traps.md, OpenSSL),
 * but contexts are not thread-safe. So each key has a few spare ones; a thread takes one by an atomic
 * exchange and puts it back. A cache per thread was dropped: it would have to learn of reloads, and
 * would keep a secret alive in every thread.
 */
#ifndef CORDON_VERIFY_MAC_H
#define CORDON_VERIFY_MAC_H

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define VERIFY_MAC_MAX    64 /* bytes of a MAC: SHA-512 */
#define VERIFY_MAC_SPARES 16 /* contexts per key that wait for a thread */

struct verify_mac {
    size_t size;        /* bytes of its MACs */
    EVP_MAC_CTX *keyed; /* only ever copied */
    _Atomic(EVP_MAC_CTX *) spare[VERIFY_MAC_SPARES];
};

/* What is signed is given in pieces. */
struct verify_piece {
    const void *bytes;
    size_t len;
};

/** Takes a key in; m zeroed before. digest: "SHA256" or "SHA512". False when out of memory. */
bool verify_mac_init(struct verify_mac *m, const char *digest, const void *key, size_t len);
/** Wipes the key. No thread may be in verify_mac_sign. A zeroed m is fine. */
void verify_mac_clear(struct verify_mac *m);
/** The MAC of the pieces one after the other: m->size bytes into out. Any thread. False when out of
 *  memory. */
bool verify_mac_sign(struct verify_mac *m, const struct verify_piece *pieces, size_t count,
                     unsigned char out[VERIFY_MAC_MAX]);

#endif
