/* json_scan.c - see json_own.h: the grammar of RFC 8259, UTF-8, depth, no NUL; before a byte of memory is asked for. */
#include "json_own.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

size_t json_plain_run(const unsigned char *p, size_t len)
{
    const uint64_t ones = ~(uint64_t)0 / 255, tops = ones * 128;
    size_t n = 0;

    for (; n + 8 <= len; n += 8) {
        uint64_t w, quote, slash, del;

        memcpy(&w, p + n, 8);
        quote = w ^ ones * '"';
        slash = w ^ ones * '\\';
        del = w ^ ones * 0x7f;
        /* each is 0 in no byte; a byte below 0x20 or from 0x80 on has its top bit set in one of these */
        if ((w | (w - ones * 0x20) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
             ((del - ones) & ~del)) &
            tops)
            break;
    }
    return n;
}

static bool fail(struct json_scan *s, const char *why)
{
    s->code = ERR_INVALID;
    s->why = why;
    return false;
}

static void skip_blanks(struct json_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Four hexadecimal digits at `at`; -1 when there are none. */
static int hex4(const unsigned char *at, const unsigned char *end)
{
    int value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = at[i] | 0x20;

        if (json_is_digit(at[i]))
            value = value << 4 | (at[i] - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* At the backslash of an escape; ends behind it. */
static bool scan_escape(struct json_scan *s)
{
    const unsigned char *p = s->at + 1;
    int unit;

    if (p == s->end)
        return fail(s, "the string does not end");
    if (*p != 'u') {
        if (*p == '\0' || !strchr("\"\\/bfnrt", *p))
            return fail(s, "an escape that JSON does not know");
        s->at += 2;
        return true;
    }
    unit = hex4(p + 1, s->end);
    if (unit < 0)
        return fail(s, "\\u without four hexadecimal digits");
    if (unit == 0)
        return fail(s, "\\u0000 is not taken");
    s->at += 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    if (unit <= 0xdbff && s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u') {
        int second = hex4(s->at + 2, s->end);

        if (second >= 0xdc00 && second <= 0xdfff) {
            s->at += 6;
            return true;
        }
    }
    s->at -= 6;
    return fail(s, "half a surrogate pair");
}

/* At the opening quote; ends behind the closing one. */
static bool scan_string(struct json_scan *s)
{
    const unsigned char *from = s->at++;

    s->at += json_plain_run(s->at, (size_t)(s->end - s->at));
    while (s->at < s->end) {
        unsigned char c = *s->at;

        if (c == '"') {
            s->at++;
            s->text_room +=
                json_piece_size((size_t)(s->at - from)); /* a NUL for the quotes, at most */
            return true;
        }
        if (c == '\\') {
            if (!scan_escape(s))
                return false;
        } else if (c < 0x20) {
            return fail(s, "a control character inside a string");
        } else if (c < 0x80) {
            s->at++;
        } else {
            size_t len = utf8_read((const char *)s->at, (size_t)(s->end - s->at), NULL);

            if (!len)
                return fail(s, "bytes that are not UTF-8");
            s->at += len;
        }
    }
    return fail(s, "the string does not end");
}

static bool keep_number(struct json_scan *s, const unsigned char *from)
{
    if (s->kept_count == s->kept_room) {
        size_t room = s->kept_room ? s->kept_room * 2 : 8;
        struct json_kept *kept = reallocarray(s->kept, room, sizeof *kept);

        if (!kept) {
            s->code = ERR_NOMEM;
            return false;
        }
        s->kept = kept;
        s->kept_room = room;
    }
    s->kept[s->kept_count++] = (struct json_kept){
        .ordinal = s->numbers,
        .offset = (size_t)(from - s->start),
        .len = (size_t)(s->at - from),
    };
    return true;
}

static bool scan_digits(struct json_scan *s)
{
    if (s->at == s->end || !json_is_digit(*s->at))
        return fail(s, "expected a digit");
    while (s->at < s->end && json_is_digit(*s->at))
        s->at++;
    return true;
}

static bool scan_number(struct json_scan *s)
{
    const unsigned char *from = s->at, *digits;
    bool plain;

    if (*s->at == '-')
        s->at++;
    digits = s->at;
    if (s->at < s->end && *s->at == '0') {
        s->at++;
        if (s->at < s->end && json_is_digit(*s->at))
            return fail(s, "a number with a leading zero");
    } else if (!scan_digits(s)) {
        return false;
    }
    /* -0 is told from 0 by its text alone */
    plain = s->at - digits <= JSON_PLAIN_DIGITS && !(*from == '-' && *digits == '0');
    if (s->at < s->end && *s->at == '.') {
        plain = false;
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        plain = false;
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at - from > JSON_NUMBER_MAX) {
        s->at = from;
        return fail(s, "a number of more than 63 characters");
    }
    if (!plain && !keep_number(s, from))
        return false;
    /* once for us; and once for releases of cJSON from 1.7.18 on, which read it from a copy */
    s->text_room += (plain ? 1 : 2) * json_piece_size((size_t)(s->at - from) + 1);
    s->numbers++;
    return true;
}

static bool scan_word(struct json_scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, "expected a value");
    s->at += len;
    return true;
}

static bool scan_value(struct json_scan *s, int depth);

static bool scan_members(struct json_scan *s, int depth)
{
    s->at++; /* the brace */
    skip_blanks(s);
    if (s->at < s->end && *s->at == '}') {
        s->at++;
        return true;
    }
    for (;;) {
        if (s->at == s->end || *s->at != '"')
            return fail(s, "expected a member name in quotes");
        if (!scan_string(s))
            return false;
        skip_blanks(s);
        if (s->at == s->end || *s->at != ':')
            return fail(s, "expected a colon");
        s->at++;
        if (!scan_value(s, depth + 1))
            return false;
        if (s->at < s->end && *s->at == '}') {
            s->at++;
            return true;
        }
        if (s->at == s->end || *s->at != ',')
            return fail(s, "expected a comma or a closing brace");
        s->at++;
        skip_blanks(s);
    }
}

static bool scan_elements(struct json_scan *s, int depth)
{
    s->at++; /* the bracket */
    skip_blanks(s);
    if (s->at < s->end && *s->at == ']') {
        s->at++;
        return true;
    }
    for (;;) {
        if (!scan_value(s, depth + 1))
            return false;
        if (s->at < s->end && *s->at == ']') {
            s->at++;
            return true;
        }
        if (s->at == s->end || *s->at != ',')
            return fail(s, "expected a comma or a closing bracket");
        s->at++;
    }
}

/* A value with the blanks around it. depth: how many objects and arrays are around it. */
static bool scan_value(struct json_scan *s, int depth)
{
    bool good;

    s->values++;
    skip_blanks(s);
    if (s->at == s->end)
        return fail(s, "the document ends too early");
    switch (*s->at) {
    case '{':
    case '[':
        if (depth == s->deepest)
            return fail(s, "nested too deeply");
        good = *s->at == '{' ? scan_members(s, depth) : scan_elements(s, depth);
        break;
    case '"':
        good = scan_string(s);
        break;
    case 't':
        good = scan_word(s, "true");
        break;
    case 'f':
        good = scan_word(s, "false");
        break;
    case 'n':
        good = scan_word(s, "null");
        break;
    default:
        if (*s->at != '-' && !json_is_digit(*s->at))
            return fail(s, "expected a value");
        good = scan_number(s);
    }
    if (good)
        skip_blanks(s);
    return good;
}

bool json_scan(struct json_scan *s)
{
    return scan_value(s, 0) && (s->at == s->end || fail(s, "text after the document"));
}
