/* verify_mac.c - see verify_mac.h. */
#include "verify_mac.h"

#include <openssl/core_names.h>

bool verify_mac_init(struct verify_mac *m, const char *digest, const void *key, size_t len)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac); /* the context keeps its own reference */
    if (ctx && EVP_MAC_init(ctx, key, len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    m->keyed = ctx;
    m->size = ctx ? EVP_MAC_CTX_get_mac_size(ctx) : 0;
    return ctx != NULL;
}

void verify_mac_clear(struct verify_mac *m)
{
    for (size_t i = 0; i < VERIFY_MAC_SPARES; i++)
        EVP_MAC_CTX_free(atomic_exchange(&m->spare[i], NULL));
    EVP_MAC_CTX_free(m->keyed);
    m->keyed = NULL;
}

/* Where a thread begins to look, so that threads seldom meet. */
static size_t first_slot(void)
{
    static atomic_size_t threads;
    static _Thread_local size_t own; /* from 1 */

    if (!own)
        own = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;
    return own;
}

static EVP_MAC_CTX *spare_take(struct verify_mac *m)
{
    for (size_t i = 0, slot = first_slot(); i < VERIFY_MAC_SPARES; i++, slot++) {
        EVP_MAC_CTX *ctx = atomic_exchange_explicit(&m->spare[slot % VERIFY_MAC_SPARES], NULL,
                                                    memory_order_acquire);

        if (ctx)
            return ctx;
    }
    return EVP_MAC_CTX_dup(m->keyed);
}

static void spare_put(struct verify_mac *m, EVP_MAC_CTX *ctx)
{
    for (size_t i = 0, slot = first_slot(); i < VERIFY_MAC_SPARES; i++, slot++) {
        EVP_MAC_CTX *none = NULL;

        if (atomic_compare_exchange_strong_explicit(&m->spare[slot % VERIFY_MAC_SPARES], &none, ctx,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
    EVP_MAC_CTX_free(ctx);
}

bool verify_mac_sign(struct verify_mac *m, const struct verify_piece *pieces, size_t count,
                     unsigned char out[VERIFY_MAC_MAX])
{
    EVP_MAC_CTX *ctx = spare_take(m);
    bool good = ctx && EVP_MAC_init(ctx, NULL, 0, NULL) == 1;
    size_t n = 0;

    for (size_t i = 0; good && i < count; i++)
        good = EVP_MAC_update(ctx, pieces[i].bytes, pieces[i].len) == 1;
    good = good && EVP_MAC_final(ctx, out, &n, VERIFY_MAC_MAX) == 1 && n == m->size;
    if (good)
        spare_put(m, ctx);
    else
        EVP_MAC_CTX_free(ctx);
    return good;
}
