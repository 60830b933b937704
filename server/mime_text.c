/* mime_text.c - hostile text made harmless: cleaned, escaped, and without links. See mime.h. */
#include "mime.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "utf8.h"

/* ---- characters ------------------------------------------------------------------------------- */

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c <= 0x9F);
}

/* Characters without a shape of their own that reorder, join, hide or mark their neighbours: Unicode's
 * Default_Ignorable_Code_Point and Bidi_Control, the blank Braille pattern and the line separators.
 * Not U+FE0E and U+FE0F: they only pick between two pictures of a sign, and emoji need them. */
static bool is_invisible(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } range[] = {
        {0x00AD, 0x00AD},   {0x034F, 0x034F},   {0x061C, 0x061C}, {0x115F, 0x1160},
        {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F}, {0x2028, 0x202E},
        {0x2060, 0x206F},   {0x2800, 0x2800},   {0x3164, 0x3164}, {0xFE00, 0xFE0D},
        {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3},
        {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
    };

    for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
        if (c >= range[i].first && c <= range[i].last)
            return true;
    return false;
}

/* Appends one character that is neither a line end nor a tab, cleaned; text is its len bytes. */
static void add_clean(struct buf *out, uint32_t c, const char *text, size_t len)
{
    if (c == 0x7F)
        buf_adds(out, "\xE2\x90\xA1"); /* U+2421, picture of DEL */
    else if (c < 0x20)
        buf_add(out, (const char[]){(char)0xE2, (char)0x90, (char)(0x80 + c)}, 3); /* U+2400 + c */
    else if (is_control(c) || is_invisible(c))
        buf_addf(out, "[U+%04X]", (unsigned)c);
    else if (c == UTF8_REPLACEMENT)
        buf_adds(out, "\xEF\xBF\xBD");
    else
        buf_add(out, text, len);
}

/* One step through a text for a body: LF for every kind of line end. Returns the bytes eaten. */
static size_t next_of_text(const char *p, uint32_t *ret)
{
    size_t len = utf8_next(p, ret);

    if (*ret != '\r')
        return len;
    *ret = '\n';
    return p[1] == '\n' ? 2 : 1;
}

void mime_clean_text(struct buf *out, const char *text)
{
    uint32_t c;

    for (size_t len; *text; text += len) {
        len = next_of_text(text, &c);
        if (c == '\n' || c == '\t')
            buf_addc(out, (char)c);
        else
            add_clean(out, c, text, len);
    }
}

void mime_clean_line(struct buf *out, const char *text)
{
    uint32_t c;

    for (size_t len; *text; text += len) {
        len = utf8_next(text, &c);
        if (is_control(c) || c == 0x2028 || c == 0x2029)
            buf_addc(out, ' ');
        else
            add_clean(out, c, text, len);
    }
}

void mime_html_escape(struct buf *out, const char *text)
{
    uint32_t c;

    for (size_t len; *text; text += len) {
        len = next_of_text(text, &c);
        switch (c) {
        case '&':
            buf_adds(out, "&amp;");
            break;
        case '<':
            buf_adds(out, "&lt;");
            break;
        case '>':
            buf_adds(out, "&gt;");
            break;
        case '"':
            buf_adds(out, "&quot;");
            break;
        case '\'':
            buf_adds(out, "&#39;");
            break;
        case '\n':
        case '\t':
            buf_addc(out, (char)c);
            break;
        default:
            add_clean(out, c, text, len);
        }
    }
}

/* ---- no links --------------------------------------------------------------------------------- */

/* Part of a name as linkifiers see it; bytes over 0x7F may be letters of an internationalised host. */
static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || (unsigned char)c >= 0x80;
}

/* Whether text's len bytes are one of the words of list, which stand between blanks. */
static bool in_words(const char *list, const char *text, size_t len)
{
    for (const char *p = list; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (strcspn(p, " ") == len && !strncasecmp(p, text, len))
            return true;
    return false;
}

/* File name endings that analysts read all day and that are no top-level domain, so no client links
 * "invoice.exe". Left out because they are one: com, zip, mov, py, sh, pl, rs, ps, app, cab, one, md. */
static const char plain_endings[] =
    "exe dll sys ps1 psm1 bat cmd vbs vbe js jse wsf hta lnk scr msi msp msix ocx jar iso img vhd vhdx "
    "txt log evtx etl dmp tmp dat bin bak ini cfg conf reg inf xml json yaml yml csv pdf rtf "
    "doc docx docm xls xlsx xlsm ppt pptx eml msg htm html php asp aspx jsp "
    "png jpg jpeg gif bmp ico svg rar 7z gz tgz tar cpp elf dylib";

/* Schemes that clients make links of without "//". */
static const char schemes[] =
    "http https ftp ftps sftp file mailto tel sms callto sip sips skype javascript vbscript data news "
    "nntp ldap ldaps ssh telnet irc magnet search search-ms ms-msdt ms-search ms-officecmd ms-word "
    "ms-excel ms-powerpoint ms-appinstaller ms-settings onenote tg slack msteams zoommtg";

/* Length of an ideographic, fullwidth, halfwidth or small full stop, which IDNA reads as a dot (UTS 46), or
 * of the one-dot leader; 0 for anything else. */
static size_t foreign_dot(const char *p)
{
    static const char *const dots[] = {"\xE3\x80\x82", "\xEF\xBC\x8E", "\xEF\xBD\xA1",
                                       "\xEF\xB9\x92", "\xE2\x80\xA4"};

    for (size_t i = 0; i < sizeof dots / sizeof dots[0]; i++)
        if (!strncmp(p, dots[i], 3))
            return 3;
    return 0;
}

/* A run of words and dots, judged once when it is entered (judging it at each dot would be quadratic). */
struct name {
    const char *end;
    /* Digits in every label after the first, and no IPv4 address: "10.0.19045", "v1.2"; or the seconds of a time, "04.100Z",
     * for no domain ends with digits and a letter. */
    bool version;
};

static struct name judge_name(const char *start)
{
    struct name n = {.end = start, .version = true};
    size_t labels = 0, byte_labels = 0;
    const char *end;

    while ((is_word(*n.end) || *n.end == '.') && !foreign_dot(n.end))
        n.end++;
    for (end = n.end; end > start && end[-1] == '.';)
        end--; /* the full stop of a sentence */
    for (const char *p = start; p < end; p++, labels++) {
        unsigned value = 0;
        bool digits = true;
        const char *label = p;

        for (; p < end && *p != '.'; p++) {
            digits =
                digits && (isdigit((unsigned char)*p) || (*p == 'Z' && p > label && p + 1 == end));
            if (digits && value < 1000)
                value = value * 10 + (unsigned)(*p - '0');
        }
        if (digits && p > label && value <= 255)
            byte_labels++;
        if (labels && !(digits && p > label))
            n.version = false;
    }
    if (labels == 4 && byte_labels == 4)
        n.version = false; /* an IPv4 address */
    return n;
}

static bool dot_may_stay(const struct name *n, const char *label)
{
    const char *end = label;

    if (n->version)
        return true;
    while (is_word(*end))
        end++;
    return in_words(plain_endings, label, (size_t)(end - label));
}

/* A scheme at p with its colon; returns the bytes eaten, 0 when there is none. */
static size_t defang_scheme(struct buf *out, const char *p)
{
    size_t len = 0;

    if (!isalpha((unsigned char)*p))
        return 0;
    while (len < 24 && (isalnum((unsigned char)p[len]) || p[len] == '-' || p[len] == '+'))
        len++;
    if (p[len] != ':')
        return 0;
    if (!in_words(schemes, p, len) && strncmp(p + len, "://", 3) != 0)
        return 0;
    if (!strncasecmp(p, "http", 4)) {
        buf_adds(out, "hxxp");
        buf_add(out, p + 4, len - 4);
    } else if (!strncasecmp(p, "ftp", 3)) {
        buf_adds(out, "fxp");
        buf_add(out, p + 3, len - 3);
    } else {
        buf_add(out, p, len);
    }
    buf_adds(out, "[:]");
    return len + 1;
}

void mime_text_defang(struct buf *out, const char *text)
{
    AUTO(buf_clear) struct buf clean = BUF_INIT(out->limit);
    struct name name = {0};
    const char *p;
    char before = ' ';

    mime_clean_text(&clean, text);
    if (buf_failed(&clean)) {
        out->failed = out->failed ? out->failed : buf_failed(&clean);
        return;
    }
    p = buf_text(&clean);
    while (*p) {
        size_t eaten = 0;

        if ((!name.end || p >= name.end) && (is_word(*p) || *p == '.'))
            name = judge_name(p);
        if ((eaten = foreign_dot(p))) {
            buf_adds(out, "[.]");
        } else if (!is_word(before) && (eaten = defang_scheme(out, p))) {
            ; /* written */
        } else if (!strncmp(p, "://", 3)) {
            buf_adds(out, "[:]");
            eaten = 1;
        } else if (*p == '.' && is_word(before) && is_word(p[1]) && !dot_may_stay(&name, p + 1)) {
            buf_adds(out, "[.]");
            eaten = 1;
        } else if (*p == '@' && before != '[' && !isspace((unsigned char)before) && p[1] &&
                   !isspace((unsigned char)p[1])) {
            buf_adds(out, "[@]");
            eaten = 1;
        } else if (p[0] == '\\' && p[1] == '\\' && is_word(p[2])) {
            buf_adds(out, "[\\\\]");
            eaten = 2;
        } else {
            buf_addc(out, *p);
            eaten = 1;
        }
        if (buf_failed(out))
            return;
        p += eaten;
        before = out->data[out->len - 1]; /* as a client will see it */
    }
}
