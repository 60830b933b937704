/* http_guard.c - see http_guard.h. One pass over the bytes, eight at a time in values: every request
 * of every sender goes through here. */
#include "http_guard.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "json.h"
#include "text.h"

enum { TOKEN = 1, TARGET = 2, HOST = 4 };

/* TOKEN: tchar of RFC 9110 section 5.6.2. TARGET: what may stand in a path or query (RFC 3986 pchar,
 * "/", "?", and the brackets and bars that real senders leave unescaped in queries). HOST: uri-host and port. */
#define T TOKEN
#define U TARGET
#define H HOST
static const unsigned char kind[256] = {
    ['!'] = T | U | H, ['"'] = 0,          ['#'] = T,         ['$'] = T | U | H, ['%'] = T | U | H,
    ['&'] = T | U | H, ['\''] = T | U | H, ['('] = U | H,     [')'] = U | H,     ['*'] = T | U | H,
    ['+'] = T | U | H, [','] = U,          ['-'] = T | U | H, ['.'] = T | U | H, ['/'] = U,
    ['0'] = T | U | H, ['1'] = T | U | H,  ['2'] = T | U | H, ['3'] = T | U | H, ['4'] = T | U | H,
    ['5'] = T | U | H, ['6'] = T | U | H,  ['7'] = T | U | H, ['8'] = T | U | H, ['9'] = T | U | H,
    [':'] = U | H,     [';'] = U | H,      ['='] = U | H,     ['?'] = U,         ['@'] = U,
    ['A'] = T | U | H, ['B'] = T | U | H,  ['C'] = T | U | H, ['D'] = T | U | H, ['E'] = T | U | H,
    ['F'] = T | U | H, ['G'] = T | U | H,  ['H'] = T | U | H, ['I'] = T | U | H, ['J'] = T | U | H,
    ['K'] = T | U | H, ['L'] = T | U | H,  ['M'] = T | U | H, ['N'] = T | U | H, ['O'] = T | U | H,
    ['P'] = T | U | H, ['Q'] = T | U | H,  ['R'] = T | U | H, ['S'] = T | U | H, ['T'] = T | U | H,
    ['U'] = T | U | H, ['V'] = T | U | H,  ['W'] = T | U | H, ['X'] = T | U | H, ['Y'] = T | U | H,
    ['Z'] = T | U | H, ['['] = U | H,      [']'] = U | H,     ['^'] = T,         ['_'] = T | U | H,
    ['`'] = T,         ['a'] = T | U | H,  ['b'] = T | U | H, ['c'] = T | U | H, ['d'] = T | U | H,
    ['e'] = T | U | H, ['f'] = T | U | H,  ['g'] = T | U | H, ['h'] = T | U | H, ['i'] = T | U | H,
    ['j'] = T | U | H, ['k'] = T | U | H,  ['l'] = T | U | H, ['m'] = T | U | H, ['n'] = T | U | H,
    ['o'] = T | U | H, ['p'] = T | U | H,  ['q'] = T | U | H, ['r'] = T | U | H, ['s'] = T | U | H,
    ['t'] = T | U | H, ['u'] = T | U | H,  ['v'] = T | U | H, ['w'] = T | U | H, ['x'] = T | U | H,
    ['y'] = T | U | H, ['z'] = T | U | H,  ['|'] = T | U,     ['~'] = T | U | H,
};
#undef T
#undef U
#undef H

static bool all_are(unsigned char want, const char *text, size_t len)
{
    unsigned char got = want;

    for (size_t i = 0; i < len; i++)
        got &= kind[(unsigned char)text[i]];
    return got == want;
}

/* Whether text holds a control character other than tab (RFC 9110 section 5.5: field-value). */
static bool has_control(const char *text, size_t len)
{
    const uint64_t ones = ~(uint64_t)0 / 255, tops = ones * 128;
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        uint64_t w, del, low;

        memcpy(&w, text + i, 8);
        del = w ^ ones * 0x7f;
        low = (w - ones * 0x20) & ~w & tops;    /* bytes below 0x20; a borrow may add false ones, */
        if (low | ((del - ones) & ~del & tops)) /* which the slow look below clears up */
            break;
    }
    for (; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

void http_guard_refuse(struct http_guard *g, unsigned status, const char *why)
{
    if (g->status)
        return;
    g->status = status;
    g->why = why;
}

/* Escapes and segments of the path: what a proxy would decode or resolve before it compares. */
static void check_path(struct http_guard *g, const char *path, size_t len)
{
    size_t dots = 0, letters = 0; /* of the segment so far */

    for (size_t i = 1; i <= len; i++) {
        char c = i < len ? path[i] : '/';

        if (c == '%') {
            int high = i + 2 < len ? text_hex_digit(path[i + 1]) : -1;
            int low = i + 2 < len ? text_hex_digit(path[i + 2]) : -1;

            if (high < 0 || low < 0) {
                http_guard_refuse(g, 400, "the path holds a broken escape");
                return;
            }
            c = (char)(high << 4 | low);
            if (c == '\0' || c == '/' || c == '\\') {
                http_guard_refuse(g, 400, "the path holds an escaped separator");
                return;
            }
            i += 2;
            letters += c != '.';
            dots += c == '.';
        } else if (c == '/') {
            if (!letters && (dots == 1 || dots == 2)) {
                http_guard_refuse(g, 400, "the path holds a dot segment");
                return;
            }
            letters = dots = 0;
        } else {
            letters += c != '.';
            dots += c == '.';
        }
    }
}

size_t http_guard_authority(const char *target, size_t target_len)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t at = strlen(schemes[i]), end = at;

        if (target_len <= at || strncasecmp(target, schemes[i], at) != 0)
            continue;
        while (end < target_len && !strchr("/?#", target[end]))
            end++;
        return end > at ? end : 0;
    }
    return 0;
}

void http_guard_line(struct http_guard *g, const char *method, const char *authority,
                     const char *target, size_t target_len, const char *version)
{
    const char *query;

    memset(g, 0, sizeof *g);
    g->authority = authority;
    g->is_1_0 = strcmp(version, "HTTP/1.0") == 0;
    g->is_post = strcmp(method, "POST") == 0;
    if (!g->is_1_0 && strcmp(version, "HTTP/1.1") != 0)
        http_guard_refuse(g, 400, "the version is neither HTTP/1.1 nor HTTP/1.0");
    if (!*method || !all_are(TOKEN, method, strlen(method)))
        http_guard_refuse(g, 400, "the method is malformed");
    if (target_len > HTTP_TARGET_MAX)
        http_guard_refuse(g, 414, "the request target is too long");
    if (!target_len || target[0] != '/')
        http_guard_refuse(g, 400, "the request target must be an absolute path");
    if (!all_are(TARGET, target, target_len))
        http_guard_refuse(g, 400, "the request target holds a forbidden character");
    if (g->status)
        return;
    query = memchr(target, '?', target_len);
    check_path(g, target, query ? (size_t)(query - target) : target_len);
    for (; query && (query = strstr(query, "%00")); query += 3)
        http_guard_refuse(g, 400, "the query holds an escaped NUL");
}

static void check_length(struct http_guard *g, const char *value, size_t len)
{
    uint64_t n = 0;

    if (g->lengths++)
        http_guard_refuse(g, 400, "Content-Length is given twice");
    if (!len)
        http_guard_refuse(g, 400, "Content-Length is not a number");
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9') {
            http_guard_refuse(g, 400, "Content-Length is not a number");
            return;
        }
        if (n > (UINT64_MAX - 9) / 10) {
            http_guard_refuse(g, 413, "Content-Length is too large");
            return;
        }
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    g->content_length = n;
    g->has_length = true;
}

static bool is(const char *want, const char *text, size_t len)
{
    return strlen(want) == len && strncasecmp(want, text, len) == 0;
}

void http_guard_header(struct http_guard *g, const char *name, size_t name_len, const char *value,
                       size_t value_len)
{
    if (++g->headers > HTTP_HEADERS_MAX)
        http_guard_refuse(g, 431, "there are too many headers");
    if (!name_len || !all_are(TOKEN, name, name_len))
        http_guard_refuse(g, 400, "a header's name is malformed");
    if (has_control(value, value_len))
        http_guard_refuse(g, 400, "a header's value holds a control character");
    if (g->status)
        return;
    switch (name_len) { /* few headers concern us; their lengths tell most others apart */
    case sizeof "Host" - 1:
        if (!is("Host", name, name_len))
            break;
        if (g->hosts++)
            http_guard_refuse(g, 400, "Host is given twice");
        if (!all_are(HOST, value, value_len))
            http_guard_refuse(g, 400, "Host is malformed");
        if (g->authority && !is(strstr(g->authority, "//") + 2, value, value_len))
            http_guard_refuse(g, 400, "Host is not what the request target says");
        break;
    case sizeof "Expect" - 1:
        if (!is("Expect", name, name_len))
            break;
        if (!is("100-continue", value, value_len))
            http_guard_refuse(g, 417, "only 100-continue can be expected");
        g->expects_continue = !g->is_1_0;
        break;
    case sizeof "Content-Length" - 1:
        if (is("Content-Length", name, name_len))
            check_length(g, value, value_len);
        break;
    case sizeof "Content-Encoding" - 1:
        if (is("Content-Encoding", name, name_len) && !is("identity", value, value_len))
            http_guard_refuse(g, 415, "only bodies without a content coding are taken");
        break;
    case sizeof "Transfer-Encoding" - 1:
        if (!is("Transfer-Encoding", name, name_len))
            break;
        if (g->encodings++)
            http_guard_refuse(g, 400, "Transfer-Encoding is given twice");
        if (!is("chunked", value, value_len))
            http_guard_refuse(g, 400, "only the transfer coding chunked is taken");
        if (g->is_1_0)
            http_guard_refuse(g, 400, "HTTP/1.0 has no transfer codings");
        g->chunked = true;
        break;
    default:
        break;
    }
}

void http_guard_end(struct http_guard *g)
{
    if (g->encodings && g->lengths)
        http_guard_refuse(g, 400, "Content-Length and Transfer-Encoding exclude each other");
    if (!g->hosts && !g->is_1_0)
        http_guard_refuse(g, 400, "Host is missing");
    if (g->is_post && !g->has_length && !g->chunked)
        http_guard_refuse(g, 411, "a POST needs Content-Length or chunked");
}

/* ---- answers ---------------------------------------------------------------------------------- */

const char *http_status_phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        /* RFC 9110 section 15, RFC 6585 */
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return status >= 500 ? "Server Error" : status >= 400 ? "Client Error" : "Other";
}

void http_problem_write(struct buf *out, unsigned status, const char *detail)
{
    struct json_out o = JSON_OUT(out);

    json_out_object(&o, NULL);
    json_out_string(&o, "type", "about:blank"); /* RFC 9457 section 4.2.1: the status says it all */
    json_out_string(&o, "title", http_status_phrase(status));
    json_out_int(&o, "status", status);
    if (detail)
        json_out_string(&o, "detail", detail);
    json_out_object_end(&o);
}

bool http_answer_header_is_safe(const char *name, const char *value)
{
    return *name && all_are(TOKEN, name, strlen(name)) && !has_control(value, strlen(value));
}

/* IMF-fixdate of RFC 9110 section 5.6.7; strftime would follow the locale. */
static void add_date(struct buf *out)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    if (gmtime_r(&now, &tm))
        buf_addf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
                 months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void http_answer_write(struct buf *out, const struct http_answer *a, bool with_body)
{
    buf_addf(out, "HTTP/1.1 %u %s\r\n", a->status, http_status_phrase(a->status));
    add_date(out);
    if (a->content_type)
        buf_addf(out, "Content-Type: %s\r\n", a->content_type);
    for (size_t i = 0; i < sizeof a->headers / sizeof *a->headers && a->headers[i].name; i++)
        buf_addf(out, "%s: %s\r\n", a->headers[i].name, a->headers[i].value);
    buf_addf(out, "Content-Length: %zu\r\nConnection: close\r\n\r\n", a->body_len);
    if (with_body)
        buf_add(out, a->body, a->body_len);
}
