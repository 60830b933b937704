/* utf8.c - see utf8.h. */
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"

/* By the first byte: the length, and what the second one may be. */
static const struct {
    unsigned char first, last, second_least, second_most, len;
} forms[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

#define LEN_MAX 4

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

size_t utf8_read(const char *text, size_t left, uint32_t *ret)
{
    unsigned char first = left ? (unsigned char)*text : 0xff;
    uint32_t c = first;
    size_t len = first < 0x80, second_least = 0, second_most = 0;

    for (size_t i = 0; len == 0 && i < sizeof forms / sizeof forms[0]; i++)
        if (first >= forms[i].first && first <= forms[i].last) {
            len = forms[i].len;
            second_least = forms[i].second_least;
            second_most = forms[i].second_most;
            c = first & (0x7fu >> len);
        }
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) { /* no further than a NUL */
        unsigned char next = (unsigned char)text[i];

        if (!continues(text[i]) || (i == 1 && (next < second_least || next > second_most)))
            return 0;
        c = c << 6 | (next & 0x3fu);
    }
    if (ret)
        *ret = c;
    return len;
}

size_t utf8_next(const char *text, uint32_t *ret)
{
    size_t len = utf8_read(text, SIZE_MAX, ret);

    if (len)
        return len;
    *ret = UTF8_REPLACEMENT;
    return 1;
}

size_t utf8_count(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += !continues(*text);
    return n;
}

size_t utf8_first(const char *text, size_t n)
{
    size_t len = 0;

    for (; text[len]; len++)
        if (!continues(text[len]) && n-- == 0)
            break;
    return len;
}

/* Where the character that stands around text[at] begins. Bytes that are none are not walked back over. */
static size_t begin_of(const char *text, size_t at)
{
    for (size_t back = 0; back < LEN_MAX && back <= at; back++)
        if (!continues(text[at - back]))
            return at - back;
    return at;
}

size_t utf8_cut(const char *text, size_t max)
{
    size_t len = strnlen(text, max);

    return len == max && max ? begin_of(text, max) : len;
}

void utf8_end_whole(char *text)
{
    size_t len = strlen(text), at = len ? begin_of(text, len - 1) : 0;

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if ((unsigned char)text[at] >= forms[i].first && (unsigned char)text[at] <= forms[i].last &&
            len - at < forms[i].len)
            text[at] = '\0';
}

bool utf8_is_whole(const char *text)
{
    size_t len = 1;

    while (*text && len) {
        len = utf8_read(text, SIZE_MAX, NULL);
        text += len;
    }
    return !*text;
}

void utf8_mend(char *text)
{
    for (size_t len; *text; text += len) {
        len = utf8_read(text, SIZE_MAX, NULL);
        if (!len) {
            *text = '?';
            len = 1;
        }
    }
}

const char *utf8_short(struct arena *a, const char *text, size_t max, const char *mark)
{
    size_t len = text ? utf8_cut(text, max) : 0;

    return text && text[len] ? arena_fmt(a, "%.*s%s", (int)len, text, mark) : text;
}
