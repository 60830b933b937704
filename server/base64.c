/* base64.c - see base64.h. One table for both alphabets: the low six bits are the digit, the high two say
 * which alphabet knows the character. */
#include "base64.h"

#include <stdint.h>

#define STD 0x40
#define URL 0x80
/* clang-format off */
#define B(n)  ((n) | STD | URL)
#define B8(n) B(n), B((n) + 1), B((n) + 2), B((n) + 3), B((n) + 4), B((n) + 5), B((n) + 6), B((n) + 7)

static const uint8_t digits[256] = {
    ['A'] = B8(0), B8(8), B8(16), B(24), B(25),
    ['a'] = B8(26), B8(34), B8(42), B(50), B(51),
    ['0'] = B8(52), B(60), B(61),
    ['+'] = 62 | STD, ['/'] = 63 | STD,
    ['-'] = 62 | URL, ['_'] = 63 | URL,
};
/* clang-format on */

/* len: without padding. */
static bool decode(const char *text, size_t len, uint8_t alphabet, unsigned char *out, size_t room,
                   size_t *ret_len)
{
    size_t rest = len % 4, size = len / 4 * 3 + (rest ? rest - 1 : 0), n = 0;
    uint32_t bits = 0;

    if (rest == 1 || size > room)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t digit = digits[(unsigned char)text[i]];

        if (!(digit & alphabet))
            return false;
        bits = bits << 6 | (digit & 63);
        if (i % 4 == 3) {
            out[n++] = (unsigned char)(bits >> 16);
            out[n++] = (unsigned char)(bits >> 8);
            out[n++] = (unsigned char)bits;
            bits = 0;
        }
    }
    if (rest == 2) {
        if (bits & 15)
            return false;
        out[n++] = (unsigned char)(bits >> 4);
    } else if (rest == 3) {
        if (bits & 3)
            return false;
        out[n++] = (unsigned char)(bits >> 10);
        out[n++] = (unsigned char)(bits >> 2);
    }
    *ret_len = n;
    return true;
}

bool base64_decode(const char *text, size_t len, unsigned char *out, size_t room, size_t *ret_len)
{
    if (len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && len && text[len - 1] == '='; i++)
        len--;
    return decode(text, len, STD, out, room, ret_len);
}

bool base64url_decode(const char *text, size_t len, unsigned char *out, size_t room,
                      size_t *ret_len)
{
    return decode(text, len, URL, out, room, ret_len);
}

void base64url_encode(const unsigned char *bytes, size_t len, char *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (have += 8; have >= 6;) {
            have -= 6;
            *out++ = letters[bits >> have & 63];
        }
    }
    if (have)
        *out++ = letters[bits << (6 - have) & 63];
    *out = '\0';
}
