/* mail_reader.c - see mail_reader.h. */
#include "mail_reader.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reader {
    struct mail_read *m;
    const char *at, *end;
    int line;
};

__attribute__((format(printf, 2, 3))) static bool fault(struct reader *r, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (r->m->fault[0])
        return false;
    n = snprintf(r->m->fault, sizeof r->m->fault, "line %d: ", r->line);
    va_start(ap, fmt);
    (void)vsnprintf(r->m->fault + n, sizeof r->m->fault - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

static bool is_utf8(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + len;

    while (p < end) {
        unsigned more = *p < 0x80   ? 0
                        : *p < 0xC2 ? 9
                        : *p < 0xE0 ? 1
                        : *p < 0xF0 ? 2
                        : *p < 0xF5 ? 3
                                    : 9;
        unsigned value = more ? *p & (0x3Fu >> more) : *p;

        if (more == 9 || p + more >= end + (more == 0))
            return false;
        for (unsigned i = 1; i <= more; i++) {
            if ((p[i] & 0xC0) != 0x80)
                return false;
            value = value << 6 | (p[i] & 0x3Fu);
        }
        if ((more == 2 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) ||
            (more == 3 && (value < 0x10000 || value > 0x10FFFF)))
            return false;
        p += more + 1;
    }
    return true;
}

/* The next line without its CRLF; false at the end or with a fault. */
static bool next_line(struct reader *r, const char **ret, size_t *ret_len)
{
    const char *lf;
    size_t len;

    if (r->at == r->end || r->m->fault[0])
        return false;
    r->line++;
    lf = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (!lf || lf == r->at || lf[-1] != '\r')
        return fault(r, "does not end with CRLF");
    *ret = r->at;
    len = (size_t)(lf - 1 - r->at);
    r->at = lf + 1;
    if (len > 76 && !memchr(*ret, '@', len)) /* an address or an id cannot be folded */
        return fault(r, "%zu bytes long", len);
    if (len > 998)
        return fault(r, "%zu bytes long", len);
    for (size_t i = 0; i < len; i++)
        if (((*ret)[i] < ' ' && (*ret)[i] != '\t') || (*ret)[i] > '~')
            return fault(r, "byte %02x", (unsigned)(unsigned char)(*ret)[i]);
    if (len && (*ret)[0] == '.')
        return fault(r, "starts with a dot");
    if (len >= 5 && !memcmp(*ret, "From ", 5))
        return fault(r, "starts with \"From \"");
    *ret_len = len;
    return true;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;

    return p ? (int)(p - digits) : -1;
}

/* Appends the decoded bytes to out; false unless it is canonical base64, whole. *ended: a "=" was met. */
static bool base64(const char *text, size_t len, char *out, size_t *used, bool *ended)
{
    if (len % 4)
        return false;
    for (size_t i = 0; i < len; i += 4) {
        int pad = text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        unsigned v = 0;

        if (*ended)
            return false;
        for (int k = 0; k < 4; k++) {
            int digit = k >= 4 - pad ? 0 : base64_value(text[i + (size_t)k]);

            if (digit < 0)
                return false;
            v = v << 6 | (unsigned)digit;
        }
        if ((pad == 1 && (v & 0xFF)) || (pad == 2 && (v & 0xFFFF)))
            return false;
        for (int k = 0; k < 3 - pad; k++)
            out[(*used)++] = (char)(v >> (16 - 8 * k));
        *ended = pad > 0;
    }
    return true;
}

/* ---- headers --------------------------------------------------------------------------------- */

/* Decodes the encoded words of an unfolded value (RFC 2047 section 6.2). */
static bool decode_words(struct reader *r, const char *value, char **ret)
{
    char *out = malloc(strlen(value) + 1);
    size_t used = 0;
    bool after_word = false;

    assert(out);
    while (*value) {
        const char *words = value + strspn(value, " \t"), *end;
        size_t len = strcspn(words, " \t");

        if (words != value && !(after_word && !strncmp(words, "=?", 2))) {
            memcpy(out + used, value, (size_t)(words - value));
            used += (size_t)(words - value);
        }
        after_word = false;
        value = words + len;
        if (strncmp(words, "=?", 2) != 0) {
            for (size_t i = 0; i + 1 < len; i++)
                if (words[i] == '=' && words[i + 1] == '?') {
                    free(out);
                    return fault(r, "\"=?\" inside a word");
                }
            memcpy(out + used, words, len);
            used += len;
            continue;
        }
        {
            size_t before = used;
            bool ended = false;

            end = words + len;
            if (len > 75 || len < 13 || strncmp(words, "=?UTF-8?B?", 10) != 0 ||
                strncmp(end - 2, "?=", 2) != 0 ||
                !base64(words + 10, len - 12, out, &used, &ended) || used == before ||
                !is_utf8(out + before, used - before)) {
                free(out);
                return fault(r, "not an encoded word: %.*s", (int)len, words);
            }
            after_word = true;
        }
    }
    out[used] = '\0';
    if (strlen(out) != used || strpbrk(out, "\r\n")) {
        free(out);
        return fault(r, "a control in a header");
    }
    *ret = out;
    return true;
}

/* Headers up to and with the empty line; each is given to add. */
static bool read_headers(struct reader *r, struct mail_header *headers, size_t room, size_t *ret)
{
    char *name = NULL, *value = NULL;
    size_t count = 0;
    const char *line;
    size_t len;

    for (;;) {
        bool got = next_line(r, &line, &len);
        const char *colon;

        if (!got || len == 0 || (line[0] != ' ' && line[0] != '\t')) { /* the one before is whole */
            if (name) {
                char *decoded = NULL;

                if (got && decode_words(r, value + (*value == ' '), &decoded)) {
                    headers[count].name = name;
                    headers[count++].value = decoded;
                    name = NULL;
                }
                free(name);
                free(value);
                name = value = NULL;
            }
            *ret = count;
            if (r->m->fault[0])
                return false;
            if (!got)
                return fault(r, "the message ends within its headers");
            if (len == 0)
                return true;
            if (count == room)
                return fault(r, "too many headers");
            colon = memchr(line, ':', len);
            if (!colon || colon == line)
                return fault(r, "not a header");
            for (const char *p = line; p < colon; p++)
                if (!isalnum((unsigned char)*p) && *p != '-')
                    return fault(r, "not a header's name");
            name = strndup(line, (size_t)(colon - line));
            colon++;
            value = strndup(colon, (size_t)(line + len - colon));
            assert(name && value);
        } else {
            size_t used;
            char *grown;

            if (!name)
                return fault(r, "a folded line that nothing precedes");
            if (strspn(line, " \t") >= len) {
                free(name);
                free(value);
                return fault(r, "a folded line of blanks alone");
            }
            used = strlen(value);
            grown = realloc(value, used + len + 1);
            assert(grown);
            value = grown;
            memcpy(value + used, line, len);
            value[used + len] = '\0';
        }
    }
}

static const char *find(const struct mail_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcasecmp(headers[i].name, name))
            return headers[i].value;
    return NULL;
}

const char *mail_header(const struct mail_read *m, const char *name)
{
    return find(m->headers, m->header_count, name);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static bool quoted_printable(struct reader *r, struct mail_part *p, const char *line, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";

    if (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        return fault(r, "a blank at the end");
    for (size_t i = 0; i < len; i++) {
        const char *high, *low;

        if (line[i] != '=') {
            p->body[p->len++] = line[i];
            continue;
        }
        if (i + 1 == len)
            return true; /* a soft line break */
        if (i + 2 >= len || !(high = strchr(hex, line[i + 1])) || !(low = strchr(hex, line[i + 2])))
            return fault(r, "a = that codes nothing");
        p->body[p->len++] = (char)((high - hex) << 4 | (low - hex));
        i += 2;
    }
    p->body[p->len++] = '\r';
    p->body[p->len++] = '\n';
    return true;
}

/* A part's lines up to the boundary (NULL: to the end); *ret_last: the boundary was the closing one. */
static bool read_body(struct reader *r, struct mail_part *p, const char *boundary, bool *ret_last)
{
    bool base = p->encoding && !strcmp(p->encoding, "base64"), ended = false, closed = false;
    size_t mark = boundary ? strlen(boundary) : 0, len;
    const char *line;

    if (!p->type || strncmp(p->type, "text/", 5) != 0 || !strstr(p->type, "charset=UTF-8"))
        return fault(r, "a part that is no UTF-8 text");
    if (!p->encoding || (!base && strcmp(p->encoding, "quoted-printable") != 0))
        return fault(r, "a part without an encoding that is known here");
    p->body = malloc((size_t)(r->end - r->at) + 3);
    assert(p->body);
    while (next_line(r, &line, &len)) {
        if (boundary && len >= mark + 2 && !strncmp(line, "--", 2) &&
            !strncmp(line + 2, boundary, mark)) {
            closed = true;
            *ret_last = len == mark + 4 && !strncmp(line + 2 + mark, "--", 2);
            if (len != mark + 2 && !*ret_last)
                return fault(r, "a boundary with more behind it");
            break;
        }
        if (base && !base64(line, len, p->body, &p->len, &ended))
            return fault(r, "not base64");
        if (!base && !quoted_printable(r, p, line, len))
            return false;
    }
    if (r->m->fault[0])
        return false;
    if (boundary && !closed)
        return fault(r, "a part without its closing boundary");
    if (boundary && !base && p->len >= 2)
        p->len -= 2; /* the line end before a boundary is the boundary's: RFC 2046 section 5.1.1 */
    p->body[p->len] = '\0';
    if (strlen(p->body) != p->len || !is_utf8(p->body, p->len))
        return fault(r, "the part's text is no UTF-8 or holds a NUL");
    return true;
}

static char *copy(const char *text)
{
    char *s = text ? strdup(text) : NULL;

    assert(s || !text);
    return s;
}

static bool read_part(struct reader *r, const char *type, const char *encoding,
                      const char *boundary, bool *last)
{
    struct mail_part *p = &r->m->parts[r->m->part_count];

    if (r->m->part_count == MAIL_PARTS_MAX)
        return fault(r, "too many parts");
    r->m->part_count++;
    p->type = copy(type);
    p->encoding = copy(encoding);
    return read_body(r, p, boundary, last);
}

static void read_parts(struct reader *r, const char *boundary)
{
    const char *line;
    bool last = false;
    size_t len;

    if (!next_line(r, &line, &len))
        return;
    if (len != strlen(boundary) + 2 || strncmp(line + 2, boundary, len - 2) != 0) {
        (void)fault(r, "no boundary where the parts begin");
        return;
    }
    while (!last) {
        struct mail_header headers[8] = {0};
        size_t n = 0;
        bool ok = read_headers(r, headers, 8, &n) &&
                  read_part(r, find(headers, n, "Content-Type"),
                            find(headers, n, "Content-Transfer-Encoding"), boundary, &last);

        for (size_t i = 0; i < n; i++) {
            free(headers[i].name);
            free(headers[i].value);
        }
        if (!ok)
            return;
    }
    if (r->at != r->end)
        (void)fault(r, "bytes behind the last boundary");
}

void mail_read(struct mail_read *m, const char *bytes, size_t len)
{
    static const char *const once[] = {"Date",         "From",        "To",
                                       "Subject",      "Message-ID",  "MIME-Version",
                                       "Content-Type", "In-Reply-To", "References"};
    struct reader r = {.m = m, .at = bytes, .end = bytes + len};
    const char *type, *boundary;
    bool last = false;

    *m = (struct mail_read){0};
    if (!read_headers(&r, m->headers, MAIL_HEADERS_MAX, &m->header_count))
        return;
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        size_t n = 0;

        for (size_t k = 0; k < m->header_count; k++)
            n += !strcasecmp(m->headers[k].name, once[i]);
        if (n > 1 || (n == 0 && i < 7)) {
            (void)fault(&r, "%zu headers %s", n, once[i]);
            return;
        }
    }
    type = mail_header(m, "Content-Type");
    boundary = strstr(type, "boundary=\"");
    if (!strncmp(type, "multipart/", 10) && boundary && strlen(boundary) > 11) {
        char mark[71]; /* RFC 2046 section 5.1.1: 70 characters at most */

        (void)snprintf(mark, sizeof mark, "%.*s", (int)strcspn(boundary + 10, "\""), boundary + 10);
        read_parts(&r, mark);
    } else {
        (void)read_part(&r, type, mail_header(m, "Content-Transfer-Encoding"), NULL, &last);
    }
}

void mail_read_clear(struct mail_read *m)
{
    for (size_t i = 0; i < m->header_count; i++) {
        free(m->headers[i].name);
        free(m->headers[i].value);
    }
    for (size_t i = 0; i < m->part_count; i++) {
        free(m->parts[i].type);
        free(m->parts[i].encoding);
        free(m->parts[i].body);
    }
    *m = (struct mail_read){0};
}
