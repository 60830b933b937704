/* capability.c - see capability.h. */
#include "capability.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "clock.h"
#include "verify.h"
#include "verify_mac.h"

#define VERSION   1
#define ID_AT     1
#define EXPIRY_AT 9
#define MAC_AT    14
#define MAC_SIZE  16
#define SIZE      (MAC_AT + MAC_SIZE)

#define EXPIRY_MAX (((int64_t)1 << 40) - 1) /* 34,000 years */

_Static_assert(BASE64URL_SIZE(SIZE) == CAPABILITY_TEXT_SIZE, "40 characters and the NUL");
_Static_assert(SIZE % 3 == 0, "no bit to spare, so that there is one spelling");

/* Signed before the rest, NUL included, so that none is the beginning of another. */
static const char *const purposes[CAPABILITY_PURPOSES] = {
    [CAPABILITY_STATUS] = "cordon capability: status",
    [CAPABILITY_APPROVE] = "cordon capability: approve",
};

struct capabilities {
    struct verify_mac mac;
};

static void put_number(unsigned char *out, size_t size, int64_t n)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)((uint64_t)n >> (8 * (size - 1 - i)));
}

static int64_t get_number(const unsigned char *in, size_t size)
{
    uint64_t n = 0;

    for (size_t i = 0; i < size; i++)
        n = n << 8 | in[i];
    return (int64_t)n;
}

static bool sign(struct capabilities *c, enum capability_purpose purpose,
                 const unsigned char bytes[SIZE], unsigned char mac[VERIFY_MAC_MAX])
{
    const struct verify_piece pieces[] = {{purposes[purpose], strlen(purposes[purpose]) + 1},
                                          {bytes, MAC_AT}};

    return verify_mac_sign(&c->mac, pieces, sizeof pieces / sizeof *pieces, mac);
}

enum err_code capabilities_new(const unsigned char key[CAPABILITY_KEY_SIZE],
                               struct capabilities **ret, struct err *e)
{
    struct capabilities *c = calloc(1, sizeof *c);

    if (!c || !verify_mac_init(&c->mac, "SHA256", key, CAPABILITY_KEY_SIZE)) {
        free(c);
        return err_set(e, ERR_NOMEM, "capabilities");
    }
    *ret = c;
    return ERR_OK;
}

void capabilities_free(struct capabilities *c)
{
    if (!c)
        return;
    verify_mac_clear(&c->mac);
    free(c);
}

enum err_code capability_make(struct capabilities *c, enum capability_purpose purpose, int64_t id,
                              int64_t expires_ms, char out[CAPABILITY_TEXT_SIZE], struct err *e)
{
    unsigned char bytes[SIZE] = {VERSION}, mac[VERIFY_MAC_MAX];
    int64_t expiry = expires_ms / SECOND_MS;

    assert(expiry >= 0 && expiry <= EXPIRY_MAX);
    put_number(bytes + ID_AT, EXPIRY_AT - ID_AT, id);
    put_number(bytes + EXPIRY_AT, MAC_AT - EXPIRY_AT, expiry);
    if (!sign(c, purpose, bytes, mac))
        return err_set(e, ERR_NOMEM, "capability");
    memcpy(bytes + MAC_AT, mac, MAC_SIZE);
    base64url_encode(bytes, SIZE, out);
    return ERR_OK;
}

enum err_code capability_check(struct capabilities *c, enum capability_purpose purpose,
                               const char *text, int64_t now_ms, int64_t *ret_id,
                               int64_t *ret_expires_ms, struct err *e)
{
    unsigned char bytes[SIZE], mac[VERIFY_MAC_MAX];
    size_t len = strnlen(text, CAPABILITY_TEXT_SIZE), n = 0;
    int64_t expires_ms;

    if (len != CAPABILITY_TEXT_SIZE - 1 || !base64url_decode(text, len, bytes, SIZE, &n) ||
        n != SIZE)
        return err_set(e, ERR_NOT_FOUND, "no such capability");
    if (!sign(c, purpose, bytes, mac))
        return err_set(e, ERR_NOMEM, "capability");
    expires_ms = get_number(bytes + EXPIRY_AT, MAC_AT - EXPIRY_AT) * SECOND_MS;
    if (!verify_equal(bytes + MAC_AT, MAC_SIZE, mac, MAC_SIZE) || bytes[0] != VERSION ||
        now_ms >= expires_ms)
        return err_set(e, ERR_NOT_FOUND, "no such capability");
    *ret_id = get_number(bytes + ID_AT, EXPIRY_AT - ID_AT);
    if (ret_expires_ms)
        *ret_expires_ms = expires_ms;
    return ERR_OK;
}
