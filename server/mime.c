/* mime.c - mime_build of mime.h; mime_text.c makes text harmless, mime_address.c reads addresses.
 *
 * Everything passes three gates: decode (UTF-8 or U+FFFD), clean (one table of characters that reorder,
 * hide or control), encode (7-bit, folded). Headers are written by add_header alone and bodies by
 * add_part alone, so a new header cannot be written past the cleaning.
 *
 * Encoded words are always B: Q saves bytes only for nearly plain text, and its set of unsafe
 * characters differs by place. Bodies choose between quoted-printable (readable in a log) and base64 by
 * which is shorter. The boundary is constant: "=_" occurs neither in quoted-printable nor in base64.
 */
#include "mime.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auto.h"
#include "utf8.h"

#define LINE_MAX_CHARS 76 /* RFC 2045 section 6.7 (5) and 6.8, RFC 2047 section 2 */
#define WORD_MAX_CHARS 75 /* an encoded word: RFC 2047 section 2 */
#define BOUNDARY       "=_cordon_part"
#define OUTER_BOUNDARY "=_cordon_whole" /* no beginning of the other */
#define FILE_NAME_MAX  100
#define ID_MAX         200 /* characters of one message id */
#define REFERENCES_MAX 20  /* ids in References; the rest (the middle) is dropped, RFC 5537 3.4.4 */
#define NAME_MAX_CHARS 40  /* of a header */

/* ---- headers ---------------------------------------------------------------------------------- */

static void add_base64(struct buf *out, const unsigned char *p, size_t len)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v =
            (unsigned)p[i] << 16 | (n > 1 ? (unsigned)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0u);
        const char quad[4] = {digit[v >> 18], digit[v >> 12 & 63], n > 1 ? digit[v >> 6 & 63] : '=',
                              n > 2 ? digit[v & 63] : '='};

        buf_add(out, quad, 4);
    }
}

/* Printable ASCII that folds (each word with the blanks before it fits on a line of its own), and nothing
 * that a reader takes for encoded. */
static bool may_stay_plain(const char *value)
{
    size_t piece = 0;
    char before = ' ';

    if (strstr(value, "=?"))
        return false;
    for (; *value; before = *value++) {
        if (*value < ' ' || *value > '~')
            return false;
        piece = *value == ' ' && before != ' ' ? 1 : piece + 1;
        if (piece > LINE_MAX_CHARS - 2)
            return false;
    }
    return true;
}

/* Each word goes with the blanks before it, so that a fold takes none away and adds none; the first has
 * the one behind the colon. */
static void add_folded(struct buf *out, const char *value, size_t column)
{
    size_t blanks = 1;

    while (*value) {
        size_t len = blanks + strcspn(value, " ");

        if (column + len > LINE_MAX_CHARS) {
            buf_adds(out, "\r\n");
            column = 0;
        }
        buf_addf(out, "%*s%.*s", (int)blanks, "", (int)(len - blanks), value);
        column += len;
        value += len - blanks;
        blanks = strspn(value, " ");
        value += blanks;
    }
}

static void add_encoded(struct buf *out, const char *value, size_t column)
{
    static const char head[] = "=?UTF-8?B?", tail[] = "?=";
    const size_t frame = sizeof head - 1 + sizeof tail - 1;

    while (*value) {
        size_t room = (column + frame < LINE_MAX_CHARS - 8 ? LINE_MAX_CHARS - column : 0);
        size_t take = 0, most;
        uint32_t c;

        if (!room) {
            buf_adds(out, "\r\n ");
            column = 1;
            continue;
        }
        if (room > WORD_MAX_CHARS)
            room = WORD_MAX_CHARS;
        most = (room - frame) / 4 * 3;
        for (size_t n; value[take] && take + (n = utf8_next(value + take, &c)) <= most; take += n)
            ;
        buf_adds(out, head);
        add_base64(out, (const unsigned char *)value, take);
        buf_adds(out, tail);
        value += take;
        column = LINE_MAX_CHARS; /* the next word begins a line */
    }
}

/* The one way a value that is not ours gets into a header. */
static void add_header(struct buf *out, const char *name, const char *value)
{
    AUTO(buf_clear) struct buf clean = BUF_INIT(8 * MIME_VALUE_MAX);
    AUTO(buf_clear) struct buf cut = BUF_INIT(MIME_VALUE_MAX + 4);
    const char *text;
    size_t len, take = 0;
    uint32_t c;

    value += strspn(value, " \t\r\n");
    /* Cut before cleaning, so that the work is bounded; cleaning makes at most 8 bytes of 1. */
    for (size_t n; value[take] && take + (n = utf8_next(value + take, &c)) <= MIME_VALUE_MAX;)
        take += n;
    buf_add(&cut, value, take);
    mime_clean_line(&clean, buf_text(&cut));
    if (value[take])
        buf_adds(&clean, UTF8_ELLIPSIS);
    if (buf_failed(&clean) || buf_failed(&cut)) {
        out->failed = out->failed ? out->failed : ERR_NOMEM;
        return;
    }
    for (len = clean.len; len && clean.data[len - 1] == ' ';)
        clean.data[--len] = '\0';

    text = buf_text(&clean);
    text += strspn(text, " ");
    buf_addf(out, "%s:", name);
    if (may_stay_plain(text)) {
        add_folded(out, text, strlen(name) + 1);
    } else {
        buf_addc(out, ' ');
        add_encoded(out, text, strlen(name) + 2);
    }
    buf_adds(out, "\r\n");
}

/* "<left@right>" out of a id's len characters, with nothing in it that could end it (RFC 5322 3.6.4). */
static void add_id(struct buf *out, const char *id, size_t len)
{
    buf_addc(out, '<');
    for (size_t i = 0; i < len && i < ID_MAX; i++)
        buf_addc(out, mime_is_atext(id[i]) || id[i] == '.' || id[i] == '@' ? id[i] : '_');
    buf_addc(out, '>');
}

static void add_ids(struct buf *out, const char *name, const char *ids)
{
    static const char between[] = " \t\r\n<>";
    size_t count = 0, skip = 0;

    for (const char *p = ids; *(p += strspn(p, between)); p += strcspn(p, between))
        count++;
    if (!count)
        return;
    if (count > REFERENCES_MAX)
        skip = count - REFERENCES_MAX; /* the first stays, the oldest after it go */
    buf_addf(out, "%s:", name);
    for (size_t i = 0; *(ids += strspn(ids, between)); ids += strcspn(ids, between), i++) {
        if (i >= 1 && i <= skip)
            continue;
        buf_adds(out, i ? "\r\n " : " ");
        add_id(out, ids, strcspn(ids, between));
    }
    buf_adds(out, "\r\n");
}

static void write_addresses(struct buf *out, const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(out, i ? ",\r\n %s%s" : "%s: %s", i ? "" : name, list[i]);
    buf_adds(out, "\r\n");
}

static enum err_code add_addresses(struct buf *out, const char *name, const char *const *list,
                                   size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (!mime_address_ok(list[i], e)) {
            (void)err_in(e, "%s", name);
            return ERR_INVALID;
        }
    }
    write_addresses(out, name, list, n);
    return ERR_OK;
}

static enum err_code add_date(struct buf *out, int64_t date_ms, struct err *e)
{
    static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)(date_ms / 1000);
    struct tm tm;

    /* Names are written out here: strftime would use the locale's. */
    if (date_ms < 0 || !gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900)
        return err_set(e, ERR_INVALID, "date %lld ms cannot be written", (long long)date_ms);
    buf_addf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", day[tm.tm_wday], tm.tm_mday,
             month[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return ERR_OK;
}

static bool header_name_ok(const char *name)
{
    size_t len = strlen(name);

    if (strncasecmp(name, "X-", 2) != 0 || len < 3 || len > NAME_MAX_CHARS)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '-')
            return false;
    return true;
}

/* 22 bytes: 1, the upper five bytes of a FILETIME, a GUID: MS-OXOMSG section 2.2.1.3. The time only sorts, and is
 * left out. */
static void add_thread(struct buf *out, const struct mime_message *m)
{
    unsigned char index[6 + MIME_THREAD_ID] = {1};

    memcpy(index + 6, m->thread_id, MIME_THREAD_ID);
    add_header(out, "Thread-Topic", m->thread_topic);
    buf_adds(out, "Thread-Index: ");
    add_base64(out, index, sizeof index);
    buf_adds(out, "\r\n");
}

/* ---- bodies ----------------------------------------------------------------------------------- */

static bool qp_plain(char c)
{
    return c >= '!' && c <= '~' && c != '=';
}

/* RFC 2045 section 6.7, and two habits that save messages on their way: no line starts with a dot (SMTP
 * doubles it, and some relays forget) or with "From " (mbox files put a > before it). */
static void add_quoted_printable(struct buf *out, const char *text)
{
    size_t column = 0;

    for (; *text; text++) {
        bool blank = *text == ' ' || *text == '\t';
        bool plain = qp_plain(*text) || (blank && text[1] && text[1] != '\n');

        if (*text == '\n') {
            buf_adds(out, "\r\n");
            column = 0;
            continue;
        }
        /* One column is kept for the "=" of a soft line break. */
        if (column + (plain ? 1 : 3) > LINE_MAX_CHARS - 1) {
            buf_adds(out, "=\r\n");
            column = 0;
        }
        if (column == 0 && (*text == '.' || !strncmp(text, "From ", 5)))
            plain = false;
        if (plain)
            buf_addc(out, *text);
        else
            buf_addf(out, "=%02X", (unsigned)(unsigned char)*text);
        column += plain ? 1 : 3;
    }
}

static void add_base64_body(struct buf *out, const char *text)
{
    unsigned char line[LINE_MAX_CHARS / 4 * 3];
    size_t n = 0;

    for (;; text++) {
        if (n == sizeof line || (!*text && n)) {
            add_base64(out, line, n);
            buf_adds(out, "\r\n");
            n = 0;
        }
        if (!*text)
            return;
        if (*text == '\n') { /* text in base64 has CRLF inside: RFC 2045 section 6.8 */
            line[n++] = '\r';
            if (n == sizeof line) {
                add_base64(out, line, n);
                buf_adds(out, "\r\n");
                n = 0;
            }
        }
        line[n++] = (unsigned char)*text;
    }
}

/* Headers and body of one part. */
static enum err_code add_part(struct buf *out, const char *type, const char *text, struct err *e)
{
    AUTO(buf_clear) struct buf clean = BUF_INIT(8 * (size_t)MIME_PART_MAX + 1);
    size_t coded = 0;
    bool base64;

    if (strnlen(text, MIME_PART_MAX + 1) > MIME_PART_MAX)
        return err_set(e, ERR_TOO_BIG, "the %s part is over %d bytes", type, MIME_PART_MAX);
    mime_clean_text(&clean, text);
    if (!clean.len || clean.data[clean.len - 1] != '\n')
        buf_addc(&clean, '\n');
    if (buf_failed(&clean))
        return err_set(e, buf_failed(&clean), "the %s part", type);

    for (size_t i = 0; i < clean.len; i++)
        coded += !qp_plain(clean.data[i]) && !strchr(" \t\n", clean.data[i]);
    base64 = coded * 6 > clean.len; /* quoted-printable adds 2 per coded byte, base64 a third */
    buf_addf(out,
             "Content-Type: %s; charset=UTF-8\r\n"
             "Content-Transfer-Encoding: %s\r\n"
             "\r\n",
             type, base64 ? "base64" : "quoted-printable");
    if (base64)
        add_base64_body(out, clean.data);
    else
        add_quoted_printable(out, clean.data);
    return ERR_OK;
}

static enum err_code add_bodies(struct buf *out, const struct mime_message *m, struct err *e)
{
    enum err_code code;

    if (!m->html)
        return add_part(out, "text/plain", m->text, e);
    buf_adds(out, "Content-Type: multipart/alternative; boundary=\"" BOUNDARY "\"\r\n"
                  "\r\n"
                  "--" BOUNDARY "\r\n");
    code = add_part(out, "text/plain", m->text, e);
    buf_adds(out, "\r\n--" BOUNDARY "\r\n");
    if (!code)
        code = add_part(out, "text/html", m->html, e);
    buf_adds(out, "\r\n--" BOUNDARY "--\r\n");
    return code;
}

static bool file_name_ok(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
            return false;
    return *name && *name != '.' && strlen(name) <= FILE_NAME_MAX;
}

static enum err_code add_attachment(struct buf *out, const struct mime_attachment *a, struct err *e)
{
    const size_t line = LINE_MAX_CHARS / 4 * 3;

    if (!file_name_ok(a->name) || a->len > MIME_PART_MAX)
        return err_set(e, ERR_INVALID, "the attachment's name or size is not fit to be sent");
    buf_addf(out,
             "\r\n--" OUTER_BOUNDARY "\r\n"
             "Content-Type: %s\r\n"
             "Content-Disposition: attachment; filename=\"%s\"\r\n"
             "Content-Transfer-Encoding: base64\r\n"
             "\r\n",
             a->type, a->name);
    for (size_t at = 0; at < a->len; at += line) {
        add_base64(out, (const unsigned char *)a->bytes + at,
                   a->len - at < line ? a->len - at : line);
        buf_adds(out, "\r\n");
    }
    buf_adds(out, "--" OUTER_BOUNDARY "--\r\n");
    return ERR_OK;
}

enum err_code mime_build(const struct mime_message *m, struct buf *out, struct err *e)
{
    enum err_code code;

    if (!m->from || !m->to || !m->to_count || !m->subject || !m->message_id || !m->text)
        return err_set(e, ERR_INVALID, "a message needs from, to, subject, id and text");
    if (!strchr(m->message_id, '@'))
        return err_set(e, ERR_INVALID, "a message id needs an @");

    if ((code = add_date(out, m->date_ms, e)) ||
        (code = add_addresses(out, "From", &m->from, 1, e)) ||
        (code = add_addresses(out, "To", m->to, m->to_count, e))) {
        (void)err_in(e, "message");
        return code;
    }
    add_header(out, "Subject", m->subject);
    buf_adds(out, "Message-ID: ");
    add_id(out, m->message_id, strlen(m->message_id));
    buf_adds(out, "\r\n");
    if (m->in_reply_to)
        add_ids(out, "In-Reply-To", m->in_reply_to);
    if (m->references)
        add_ids(out, "References", m->references);
    if (m->thread_topic && m->thread_id)
        add_thread(out, m);
    buf_adds(out, "Auto-Submitted: auto-generated\r\n");
    for (size_t i = 0; i < m->header_count; i++) {
        if (!header_name_ok(m->headers[i].name))
            return err_set(e, ERR_INVALID, "message: header %zu is not named X-…", i);
        add_header(out, m->headers[i].name, m->headers[i].value);
    }
    buf_adds(out, "MIME-Version: 1.0\r\n");

    if (m->attachment)
        buf_adds(out, "Content-Type: multipart/mixed; boundary=\"" OUTER_BOUNDARY "\"\r\n"
                      "\r\n"
                      "--" OUTER_BOUNDARY "\r\n");
    code = add_bodies(out, m, e);
    if (m->attachment && !code)
        code = add_attachment(out, m->attachment, e);
    if (!code && buf_failed(out))
        code = err_set(e, buf_failed(out), "%zu bytes", out->len);
    if (code)
        (void)err_in(e, "message");
    return code;
}

/* ---- other addresses --------------------------------------------------------------------------- */

/* A header within the head: where it begins, and where the one after it does. */
static const char *find_header(const char *message, size_t len, const char *name,
                               const char **ret_end)
{
    const char *end = message + len;
    size_t name_len = strlen(name);

    for (const char *line = message, *next; line < end && *line != '\r'; line = next) {
        next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        while (next < end && (*next == ' ' || *next == '\t')) { /* folded */
            const char *more = memchr(next, '\n', (size_t)(end - next));

            next = more ? more + 1 : end;
        }
        if ((size_t)(end - line) > name_len && strncasecmp(line, name, name_len) == 0 &&
            line[name_len] == ':') {
            *ret_end = next;
            return line;
        }
    }
    return NULL;
}

void mime_readdress(struct buf *out, const char *message, size_t len, const char *name,
                    const char *const *list, size_t n)
{
    const char *after = message, *at = find_header(message, len, name, &after);

    if (at)
        buf_add(out, message, (size_t)(at - message));
    write_addresses(out, name, list, n);
    buf_add(out, after, len - (size_t)(after - message));
}
