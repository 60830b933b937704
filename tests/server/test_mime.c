/* test_mime.c - messages read back by a reader of its own, and what hostile text becomes in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auto.h"
#include "json.h"
#include "kit/mail_reader.h"
#include "kit/torture.h"
#include "mime.h"

static const char *const soc[] = {"soc@contoso.example"};

static struct mime_message plain(void)
{
    return (struct mime_message){
        .from = "cordon@contoso.example",
        .to = soc,
        .to_count = 1,
        .subject = "hello",
        .message_id = "0123abc@cordon.contoso.example",
        .date_ms = 1751371200000, /* 2025-07-01T12:00:00Z */
        .text = "text\n",
    };
}

/* Builds and reads back; fails the test with what the reader stumbled over. */
static void build_and_read(const char *label, const struct mime_message *m, struct buf *bytes,
                           struct mail_read *ret)
{
    struct err e = {0};

    if (mime_build(m, bytes, &e))
        fail_msg("%s: %s", label, e.text);
    mail_read(ret, bytes->data, bytes->len);
    if (ret->fault[0])
        fail_msg("%s: %s in:\n%.3000s", label, ret->fault, bytes->data);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static void test_mime__builds_the_message_that_is_expected(void **state)
{
    const struct mime_header headers[] = {{"X-Cordon-Case", "01abc"}};
    const char *const to[] = {"soc@contoso.example", "desk@contoso.example"};
    struct mime_message m = plain();
    AUTO(buf_clear) struct buf b = BUF_INIT(65536);

    (void)state;
    m.to = to;
    m.to_count = 2;
    m.subject = "[High] M\xc3\xbcller's machine";
    m.in_reply_to = "first@cordon";
    m.references = "first@cordon second@cordon";
    m.headers = headers;
    m.header_count = 1;
    m.text = "Machine: ws-114 = isolated?\n.\n";
    m.html = "<p>Machine: ws-114</p>";
    assert_int_equal(mime_build(&m, &b, NULL), ERR_OK);
    assert_string_equal(b.data,
                        "Date: Tue, 01 Jul 2025 12:00:00 +0000\r\n"
                        "From: cordon@contoso.example\r\n"
                        "To: soc@contoso.example,\r\n"
                        " desk@contoso.example\r\n"
                        "Subject: =?UTF-8?B?W0hpZ2hdIE3DvGxsZXIncyBtYWNoaW5l?=\r\n"
                        "Message-ID: <0123abc@cordon.contoso.example>\r\n"
                        "In-Reply-To: <first@cordon>\r\n"
                        "References: <first@cordon>\r\n"
                        " <second@cordon>\r\n"
                        "Auto-Submitted: auto-generated\r\n"
                        "X-Cordon-Case: 01abc\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: multipart/alternative; boundary=\"=_cordon_part\"\r\n"
                        "\r\n"
                        "--=_cordon_part\r\n"
                        "Content-Type: text/plain; charset=UTF-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n"
                        "\r\n"
                        "Machine: ws-114 =3D isolated?\r\n"
                        "=2E\r\n"
                        "\r\n"
                        "--=_cordon_part\r\n"
                        "Content-Type: text/html; charset=UTF-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n"
                        "\r\n"
                        "<p>Machine: ws-114</p>\r\n"
                        "\r\n"
                        "--=_cordon_part--\r\n");
}

static void test_mime__the_date_is_in_utc_and_english(void **state)
{
    static const struct {
        int64_t ms;
        const char *date; /* NULL: refused */
    } row[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 +0000"},
        {951782399999, "Mon, 28 Feb 2000 23:59:59 +0000"},
        {951782400000, "Tue, 29 Feb 2000 00:00:00 +0000"},
        {253402300799999, "Fri, 31 Dec 9999 23:59:59 +0000"},
        {253402300800000, NULL},
        {-1, NULL},
        {INT64_MAX, NULL},
    };

    (void)state;
    (void)setenv("TZ", "Asia/Kathmandu", 1);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(65536);
        struct mime_message m = plain();
        struct mail_read r = {0};

        m.date_ms = row[i].ms;
        if (!row[i].date) {
            assert_int_equal(mime_build(&m, &b, NULL), ERR_INVALID);
            continue;
        }
        build_and_read(row[i].date, &m, &b, &r);
        assert_string_equal(mail_header(&r, "Date"), row[i].date);
        mail_read_clear(&r);
    }
    (void)unsetenv("TZ");
}

/* ---- naughty strings -------------------------------------------------------------------------- */

/* What attackers and chance put into titles, file names and command lines. shown: as a subject has it;
 * NULL: the same. */
static const struct {
    const char *label, *text, *shown;
} naughty[] = {
    {"empty", "", NULL},
    {"header injection", "x\r\nBcc: evil@example.net", "x  Bcc: evil@example.net"},
    {"header injection, LF", "x\nBcc: evil@example.net", "x Bcc: evil@example.net"},
    {"header injection, CR", "x\rBcc: evil@example.net", "x Bcc: evil@example.net"},
    {"a body of one's own", "x\r\n\r\n<script>alert(1)</script>", "x    <script>alert(1)</script>"},
    {"folding tricks", "x\r\n \r\n y", "x      y"},
    {"vertical tab and form feed", "a\vb\fc", "a b c"},
    {"backspaces", "safe\b\b\b\bevil", "safe    evil"},
    {"escape sequence", "\x1b]0;title\x07red\x1b[31m", "]0;title red [31m"},
    {"DEL",
     "a\x7f"
     "b",
     "a b"},
    {"C1 control (NEL)",
     "a\xc2\x85"
     "b",
     "a b"},
    {"line separator U+2028",
     "a\xe2\x80\xa8"
     "b",
     "a b"},
    {"paragraph separator U+2029",
     "a\xe2\x80\xa9"
     "b",
     "a b"},
    {"right-to-left override",
     "invoice\xe2\x80\xae"
     "fdp.exe",
     "invoice[U+202E]fdp.exe"},
    {"bidi isolates",
     "\xe2\x81\xa6"
     "a\xe2\x81\xa9",
     "[U+2066]a[U+2069]"},
    {"Arabic letter mark",
     "a\xd8\x9c"
     "b",
     "a[U+061C]b"},
    {"zero width space", "pass\xe2\x80\x8bword", "pass[U+200B]word"},
    {"zero width joiner",
     "a\xe2\x80\x8d"
     "b",
     "a[U+200D]b"},
    {"soft hyphen",
     "a\xc2\xad"
     "b",
     "a[U+00AD]b"},
    {"byte order mark", "\xef\xbb\xbfx", "[U+FEFF]x"},
    {"tag characters", "x\xf3\xa0\x81\xa1", "x[U+E0061]"},
    {"Hangul filler", "a\xe3\x85\xa4", "a[U+3164]"},
    {"invalid UTF-8",
     "a\xff\xfe"
     "b",
     "a\xef\xbf\xbd\xef\xbf\xbd"
     "b"},
    {"overlong NUL",
     "a\xc0\x80"
     "b",
     "a\xef\xbf\xbd\xef\xbf\xbd"
     "b"},
    {"overlong slash", "\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"surrogate", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"beyond Unicode", "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"cut in a character", "x\xf0\x9f\x98", "x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"emoji", "\xf0\x9f\x9a\xa8 alarm \xe2\x9a\xa0\xef\xb8\x8f", NULL},
    {"many emoji",
     "\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8"
     "\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8"
     "\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8\xf0\x9f\x9a\xa8",
     NULL},
    {"Japanese", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe8\xad\xa6\xe5\x91\x8a", NULL},
    {"an encoded word", "=?UTF-8?B?QmNjOiBldmls?=", NULL},
    {"half an encoded word", "=?x", NULL},
    {"encoded word in a word", "a=?UTF-8?Q?b?=", NULL},
    {"a long word",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     NULL},
    {"many words",
     "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
     "seventeen eighteen nineteen twenty",
     NULL},
    {"a word that just fits a line",
     "12345678901234567890123456789012345678901234567890123456789012345678901234 b", NULL},
    {"many blanks",
     "a                                                                                              b",
     NULL},
    {"blanks around", "   a   ", "a"},
    {"only blanks", "     ", ""},
    {"only controls", "\r\n\t\v", ""},
    {"markup", "<img src=x onerror=alert(1)>&\"'", NULL},
    {"dots", "...", NULL},
    {"a From line", "From here on", NULL},
    {"equals signs", "a=b=3D=", NULL},
    {"percent and format", "%s%n%d", NULL},
    {"boundary", "--=_cordon_part--", NULL},
};

static void test_mime__no_value_escapes_from_its_header(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof naughty / sizeof naughty[0]; i++) {
        const struct mime_header header = {"X-Naughty", naughty[i].text};
        const char *shown = naughty[i].shown ? naughty[i].shown : naughty[i].text;
        AUTO(buf_clear) struct buf b = BUF_INIT(65536);
        struct mime_message m = plain();
        struct mail_read r = {0};

        m.subject = naughty[i].text;
        m.headers = &header;
        m.header_count = 1;
        build_and_read(naughty[i].label, &m, &b, &r);
        if (strcmp(mail_header(&r, "Subject"), shown) != 0 ||
            strcmp(mail_header(&r, "X-Naughty"), shown) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", naughty[i].label, mail_header(&r, "Subject"),
                     shown);
        assert_null(mail_header(&r, "Bcc"));
        assert_int_equal(r.header_count, 10);
        mail_read_clear(&r);
    }
}

static void test_mime__no_text_escapes_from_its_part(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof naughty / sizeof naughty[0]; i++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(65536), text = BUF_INIT(4096);
        struct mime_message m = plain();
        struct mail_read r = {0};

        buf_addf(&text, "%s\n%s\r\n.%s\nFrom %s \n\n--=_cordon_part\n", naughty[i].text,
                 naughty[i].text, naughty[i].text, naughty[i].text);
        m.text = text.data;
        m.html = text.data;
        build_and_read(naughty[i].label, &m, &b, &r);
        assert_int_equal(r.part_count, 2);
        assert_string_equal(r.parts[0].type, "text/plain; charset=UTF-8");
        assert_string_equal(r.parts[1].type, "text/html; charset=UTF-8");
        assert_string_equal(r.parts[0].body, r.parts[1].body);
        assert_null(mail_header(&r, "Bcc"));
        for (const char *p = r.parts[0].body; *p; p++) {
            if (((unsigned char)*p < ' ' && !strchr("\r\n\t", *p)) || *p == 0x7F ||
                (*p == '\r' && p[1] != '\n') || (*p == '\n' && p[-1] != '\r'))
                fail_msg("%s: byte %02x", naughty[i].label, (unsigned)*p);
        }
        mail_read_clear(&r);
    }
}

static void test_mime__text_comes_back_as_it_was(void **state)
{
    static const struct {
        const char *label, *text, *read, *encoding;
    } row[] = {
        {"empty", "", "\r\n", "quoted-printable"},
        {"no line end", "x", "x\r\n", "quoted-printable"},
        {"line ends of all kinds", "a\nb\r\nc\rd", "a\r\nb\r\nc\r\nd\r\n", "quoted-printable"},
        {"blanks at line ends", "a \nb\t\n \n", "a \r\nb\t\r\n \r\n", "quoted-printable"},
        {"a blank at the end of all", "a ", "a \r\n", "quoted-printable"},
        {"lines of dots", ".\n..\n.x\n", ".\r\n..\r\n.x\r\n", "quoted-printable"},
        {"From lines", "From a\nFrom: b\nfrom c\n", "From a\r\nFrom: b\r\nfrom c\r\n",
         "quoted-printable"},
        {"equals signs", "the sum is a=b\n=3D\n=\nand no more than that\n",
         "the sum is a=b\r\n=3D\r\n=\r\nand no more than that\r\n", "quoted-printable"},
        {"exactly 76 characters",
         "1234567890123456789012345678901234567890123456789012345678901234567890123456\n",
         "1234567890123456789012345678901234567890123456789012345678901234567890123456\r\n",
         "quoted-printable"},
        {"a dot where a long line breaks",
         "123456789012345678901234567890123456789012345678901234567890123456789012345.From x\n",
         "123456789012345678901234567890123456789012345678901234567890123456789012345.From x\r\n",
         "quoted-printable"},
        {"Swedish", "Isolera d\xc3\xa5 maskinen, snabbt och varsamt, tack.\n",
         "Isolera d\xc3\xa5 maskinen, snabbt och varsamt, tack.\r\n", "quoted-printable"},
        {"Russian", "\xd0\xa2\xd1\x80\xd0\xb5\xd0\xb2\xd0\xbe\xd0\xb3\xd0\xb0\n\xd0\xb0",
         "\xd0\xa2\xd1\x80\xd0\xb5\xd0\xb2\xd0\xbe\xd0\xb3\xd0\xb0\r\n\xd0\xb0\r\n", "base64"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        for (int html = 0; html < 2; html++) {
            AUTO(buf_clear) struct buf b = BUF_INIT(65536);
            struct mime_message m = plain();
            struct mail_read r = {0};

            m.text = row[i].text;
            m.html = html ? row[i].text : NULL;
            build_and_read(row[i].label, &m, &b, &r);
            assert_int_equal(r.part_count, 1 + html);
            for (int p = 0; p <= html; p++)
                if (strcmp(r.parts[p].body, row[i].read) != 0 ||
                    strcmp(r.parts[p].encoding, row[i].encoding) != 0)
                    fail_msg("%s: %s \"%s\"", row[i].label, r.parts[p].encoding, r.parts[p].body);
            mail_read_clear(&r);
        }
    }
}

static void test_mime__large_texts_come_back_whole(void **state)
{
    static const char *const pieces[] = {"A line of a log, with a path C:\\Windows\\x.exe\n",
                                         "\xe8\xad\xa6\xe5\x91\x8a",
                                         ".",
                                         "=",
                                         "x",
                                         "\n"};
    const size_t size = 200 * 1024;

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        AUTO(buf_clear)
        struct buf text = BUF_INIT(size), b = BUF_INIT(16 * size), back = BUF_INIT(4 * size);
        struct mime_message m = plain();
        struct mail_read r = {0};

        while (text.len + strlen(pieces[i]) <= size)
            buf_adds(&text, pieces[i]);
        m.text = text.data;
        build_and_read(pieces[i], &m, &b, &r);
        for (const char *p = r.parts[0].body; *p; p++)
            if (*p != '\r')
                buf_addc(&back, *p);
        if (text.data[text.len - 1] != '\n')
            back.data[--back.len] = '\0';
        assert_int_equal(back.len, text.len);
        assert_string_equal(back.data, text.data);
        mail_read_clear(&r);
    }
}

static void test_mime__a_long_subject_is_cut_between_characters(void **state)
{
    char subject[4 * MIME_VALUE_MAX];
    AUTO(buf_clear) struct buf b = BUF_INIT(65536);
    struct mime_message m = plain();
    struct mail_read r = {0};
    const char *read;

    (void)state;
    subject[0] = 'x'; /* so that no whole number of characters fits */
    for (size_t i = 1; i + 3 < sizeof subject; i += 3)
        memcpy(subject + i, "\xe8\xad\xa6\0", 4);
    m.subject = subject;
    build_and_read("long", &m, &b, &r);
    read = mail_header(&r, "Subject");
    assert_in_range(strlen(read), MIME_VALUE_MAX - 3, MIME_VALUE_MAX + 3);
    assert_string_equal(read + strlen(read) - 6, "\xe8\xad\xa6\xe2\x80\xa6");
    mail_read_clear(&r);
}

static void test_mime__a_part_over_the_limit_is_refused(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT((size_t)64 * 1024 * 1024);
    struct mime_message m = plain();
    char *text = malloc(MIME_PART_MAX + 2);
    struct err e = {0};

    (void)state;
    assert_non_null(text);
    memset(text, '\xff', MIME_PART_MAX + 1); /* the worst: three bytes, nine characters for each */
    text[MIME_PART_MAX + 1] = '\0';
    m.text = text;
    assert_int_equal(mime_build(&m, &b, &e), ERR_TOO_BIG);
    text[MIME_PART_MAX] = '\0';
    buf_reset(&b);
    assert_int_equal(mime_build(&m, &b, &e), ERR_OK);
    buf_clear(&b);
    buf_init(&b, 1000);
    assert_int_equal(mime_build(&m, &b, &e), ERR_TOO_BIG);
    free(text);
}

static void test_mime__ids_cannot_end_early_and_a_long_thread_is_shortened(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(65536), refs = BUF_INIT(65536);
    struct mime_message m = plain();
    struct mail_read r = {0};

    (void)state;
    m.message_id = "a>\r\nBcc: x@y\"(<";
    m.in_reply_to = "<first@cordon>";
    for (int i = 0; i < 60; i++)
        buf_addf(&refs, "n%d@cordon.contoso.example ", i);
    m.references = refs.data;
    build_and_read("ids", &m, &b, &r);
    assert_string_equal(mail_header(&r, "Message-ID"), "<a___Bcc__x@y___>");
    assert_string_equal(mail_header(&r, "In-Reply-To"), "<first@cordon>");
    /* The first and the last twenty. */
    assert_non_null(
        strstr(mail_header(&r, "References"), "<n0@cordon.contoso.example> <n41@cordon"));
    assert_non_null(strstr(mail_header(&r, "References"), " <n59@cordon.contoso.example>"));
    mail_read_clear(&r);

    buf_reset(&b);
    m.references = " \r\n";
    build_and_read("no references", &m, &b, &r);
    assert_null(mail_header(&r, "References"));
    mail_read_clear(&r);
}

static void test_mime__refuses_what_cannot_be_written(void **state)
{
    static const char *const names[] = {
        "Bcc",        "X-",         "X-a b",
        "X-a:",       "X-a\r\nBcc", "Subject",
        "X-\xc3\xa5", "",           "X-this-name-is-longer-than-any-of-ours-is"};
    static const char *const bad_to[] = {"soc@contoso.example", "evil@example.net\r\nBcc: x@y"};
    AUTO(buf_clear) struct buf b = BUF_INIT(65536);
    struct mime_message m = plain();
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct mime_header header = {names[i], "x"};

        m.headers = &header;
        m.header_count = 1;
        buf_reset(&b);
        if (mime_build(&m, &b, &e) != ERR_INVALID)
            fail_msg("%s", names[i]);
    }
    m = plain();
    m.to = bad_to;
    m.to_count = 2;
    assert_int_equal(mime_build(&m, &b, &e), ERR_INVALID);
    assert_int_equal(mime_build(&m, &b, NULL), ERR_INVALID);
    m = plain();
    m.from = "Cordon <cordon@contoso.example>";
    assert_int_equal(mime_build(&m, &b, &e), ERR_INVALID);
    m = plain();
    m.to_count = 0;
    assert_int_equal(mime_build(&m, &b, &e), ERR_INVALID);
    m = plain();
    m.message_id = "no-at-sign";
    assert_int_equal(mime_build(&m, &b, &e), ERR_INVALID);
}

static void test_mime__running_out_of_memory_is_said(void **state)
{
    (void)state;
    for (long n = 1; n < 1000; n++) {
        struct buf b = BUF_INIT(65536);
        struct mime_message m = plain();
        struct err e = {0};
        enum err_code code;

        m.subject = "\xe8\xad\xa6\xe5\x91\x8a";
        m.html = "<p>\xe8\xad\xa6\xe5\x91\x8a</p>";
        torture_arm(n);
        code = mime_build(&m, &b, &e);
        if (!torture_disarm()) {
            assert_int_equal(code, ERR_OK);
            buf_clear(&b);
            return;
        }
        assert_int_equal(code, ERR_NOMEM);
        buf_clear(&b);
    }
    fail_msg("it never came through");
}

/* ---- addresses -------------------------------------------------------------------------------- */

static void test_mime__knows_an_address(void **state)
{
    static const struct {
        const char *address;
        const char *fault; /* NULL: fine */
    } row[] = {
        {"soc@contoso.example", NULL},
        {"first.last+tag@mail.contoso.example", NULL},
        {"o'brien@contoso.example", NULL},
        {"!#$%&'*+-/=?^_`{|}~@x", NULL},
        {"root@localhost", NULL},
        {"\"first last\"@contoso.example", NULL},
        {"\"a.b..c\"@contoso.example", NULL},
        {"a@[192.0.2.1]", NULL},
        {"a@[IPv6:2001:db8::1]", NULL},
        {"a@xn--mnchen-3ya.example", NULL},
        {"a@1.example", NULL},
        {"", "empty"},
        {"soc", "no @"},
        {"@contoso.example", "nothing before"},
        {"soc@", "nothing after"},
        {"a@b@c", "before the @"},
        {"\"a@b\"@c", "quotes"},
        {"Soc <soc@contoso.example>", "before the @"},
        {"<soc@contoso.example>", "before the @"},
        {"soc@contoso.example>", "domain"},
        {"soc@contoso.example, x@y", "domain|before"},
        {"soc@contoso.example;", "domain"},
        {"soc@contoso.example (desk)", "domain"},
        {" soc@contoso.example", "before the @"},
        {"soc@contoso.example ", "domain"},
        {"so c@contoso.example", "before the @"},
        {"soc@contoso.example\r\nRCPT TO:<x@y>", ""},
        {"soc\r\n@contoso.example", "before the @"},
        {"soc@contoso.example\n", "domain"},
        {"soc\t@contoso.example", "before the @"},
        {"@relay.example:soc@contoso.example", "before the @"},
        {".soc@contoso.example", "dot"},
        {"soc.@contoso.example", "dot"},
        {"s..c@contoso.example", "dot"},
        {"soc@.example", "empty label"},
        {"soc@contoso..example", "empty label"},
        {"soc@contoso.example.", "empty label"},
        {"soc@-contoso.example", "domain"},
        {"soc@contoso-.example", "hyphen"},
        {"soc@con_toso.example", "domain"},
        {"soc@m\xc3\xbcnchen.example", "xn--"},
        {"s\xc3\xb6"
         "c@contoso.example",
         "outside ASCII"},
        {"\"soc@contoso.example", "quote"},
        {"\"\"@contoso.example", "quote"},
        {"\"a\\\"b\"@contoso.example", "quotes"},
        {"\"a\r\nb\"@contoso.example", "quotes"},
        {"\"a>b\"@contoso.example", "quotes"},
        {"a@[192.0.2]", "literal"},
        {"a@[192.0.2.1", "literal"},
        {"a@[]", "literal"},
        {"a@[IPv6:]", "literal"},
        {"a@[IPv6:192.0.2.1]", "literal"},
        {"a@[evil]", "literal"},
    };
    char address[400];

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct err e = {0};
        bool ok = mime_address_ok(row[i].address, &e);
        const char *bar = row[i].fault ? strchr(row[i].fault, '|') : NULL;

        if (ok != !row[i].fault || (row[i].fault && !bar && !strstr(e.text, row[i].fault)))
            fail_msg("\"%s\": %s", row[i].address, ok ? "taken" : e.text);
        if (!ok && strpbrk(e.text, "\r\n"))
            fail_msg("\"%s\" is in its own error", row[i].address);
    }
    /* 64 characters before the @, 63 in a label, 254 in all */
    memset(address, 'a', sizeof address);
    memcpy(address + 64, "@x", 3);
    assert_true(mime_address_ok(address, NULL));
    memset(address, 'a', 65);
    memcpy(address + 65, "@x", 3);
    assert_false(mime_address_ok(address, NULL));
    memset(address, 'a', sizeof address);
    memcpy(address, "a@", 2);
    address[65] = '\0';
    assert_true(mime_address_ok(address, NULL));
    address[65] = 'a', address[66] = '\0';
    assert_false(mime_address_ok(address, NULL));
    for (size_t i = 2; i < 252; i += 2)
        memcpy(address + i, "a.", 2);
    memcpy(address + 252, "aa", 3);
    assert_int_equal(strlen(address), MIME_ADDRESS_MAX);
    assert_true(mime_address_ok(address, NULL));
    memcpy(address + 252, "aaa", 4);
    assert_false(mime_address_ok(address, NULL));
}

/* ---- hostile text ----------------------------------------------------------------------------- */

static void test_mime__clean_text_keeps_lines_and_shows_what_hides(void **state)
{
    static const struct {
        const char *text, *clean;
    } row[] = {
        {"a\tb\nc\r\nd\re", "a\tb\nc\nd\ne"},
        {"a\x01"
         "b\x1b[0m\x7f",
         "a\xe2\x90\x81"
         "b\xe2\x90\x9b[0m\xe2\x90\xa1"},
        {"a\xc2\x9b"
         "b",
         "a[U+009B]b"},
        {"a\xe2\x80\xa8"
         "b",
         "a[U+2028]b"},
        {"gpj.\xe2\x80\xaegpj", "gpj.[U+202E]gpj"},
        {"\xe2\x9a\xa0\xef\xb8\x8f ok", "\xe2\x9a\xa0\xef\xb8\x8f ok"},
        {"\xff", "\xef\xbf\xbd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        AUTO(buf_clear) struct buf once = BUF_INIT(4096), twice = BUF_INIT(4096);

        mime_clean_text(&once, row[i].text);
        assert_string_equal(buf_text(&once), row[i].clean);
        mime_clean_text(&twice, buf_text(&once));
        assert_string_equal(buf_text(&twice), row[i].clean);
    }
}

static void test_mime__html_escape_leaves_no_markup(void **state)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);

    (void)state;
    mime_html_escape(&b, "<a href=\"x\" title='y'>&amp;</a>\r\n\xe2\x80\xae\x01\t\xc3\xa5");
    assert_string_equal(buf_text(&b),
                        "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;\n"
                        "[U+202E]\xe2\x90\x81\t\xc3\xa5");
}

static void test_mime__defang_leaves_nothing_to_click(void **state)
{
    static const struct {
        const char *text, *defanged; /* NULL: unchanged */
    } row[] = {
        {"http://evil.example/x?y=1", "hxxp[:]//evil[.]example/x?y=1"},
        {"https://evil.example:8443/a.b", "hxxps[:]//evil[.]example:8443/a[.]b"},
        {"HTTPS://EVIL.EXAMPLE", "hxxpS[:]//EVIL[.]EXAMPLE"},
        {"ftp://evil.example", "fxp[:]//evil[.]example"},
        {"hxxp[:]//evil[.]example", NULL},
        {"http:evil.example", "hxxp[:]evil[.]example"},
        {"(see http://evil.example)", "(see hxxp[:]//evil[.]example)"},
        {"xhttp://evil.example", "xhttp[:]//evil[.]example"},
        {"ms-msdt:/id PCWDiagnostic", "ms-msdt[:]/id PCWDiagnostic"},
        {"search-ms:query=x&crumb=location:\\\\evil.example\\s",
         "search-ms[:]query=x&crumb=location:[\\\\]evil[.]example\\s"},
        {"mailto:a@evil.example", "mailto[:]a[@]evil[.]example"},
        {"javascript:alert(1)", "javascript[:]alert(1)"},
        {"file:///c:/x", "file[:]///c:/x"},
        {"custom+x://y", "custom+x[:]//y"},
        {"www.evil.example", "www[.]evil[.]example"},
        {"evil.com", "evil[.]com"},
        {"evil.com.", "evil[.]com."},
        {"command.com", "command[.]com"},
        {"notes.zip", "notes[.]zip"},
        {"a@evil.example", "a[@]evil[.]example"},
        {"a@host", "a[@]host"},
        {"@ home", NULL},
        {"a @ b", NULL},
        {"192.0.2.1", "192[.]0[.]2[.]1"},
        {"192.0.2.1:445.", "192[.]0[.]2[.]1:445."},
        {"10.0.19045.3570", NULL},
        {"version v1.2.3", NULL},
        {"since 2025-01-07T10:11:12.345Z, at last", NULL},
        {"of 12.Z and 12.345Zx", "of 12[.]Z and 12[.]345Zx"},
        {"3.14", NULL},
        {"\\\\evil\\share", "[\\\\]evil\\share"},
        {"\\\\\\evil\\share", "\\[\\\\]evil\\share"},
        {"[\\\\evil\\share", "[[\\\\]evil\\share"},
        {"C:\\Windows\\System32\\cmd.exe", NULL},
        {"powershell.exe -File run.ps1", NULL},
        {"invoice.pdf.exe", NULL},
        {"evil.com.exe", "evil[.]com.exe"},
        {"evil.exe.com", "evil.exe[.]com"},
        {"End of sentence. Next one", NULL},
        {"sentence.Next", "sentence[.]Next"},
        {"time: 12:30, note: x", NULL},
        {"m\xc3\xbcnchen.example", "m\xc3\xbcnchen[.]example"},
        {"evil\xe3\x80\x82"
         "com",
         "evil[.]com"},
        {"evil\xef\xbc\x8e"
         "com",
         "evil[.]com"},
        {"evil\xef\xb9\x92"
         "com",
         "evil[.]com"},
        {"evil\xef\xbd\xa1"
         "com",
         "evil[.]com"},
        {"\xe2\x80\xa4"
         "127.0.0.1",
         "[.]127[.]0[.]0[.]1"},
        {"a\xe2\x80\xa4mailto:x", "a[.]mailto[:]x"},
        {"evil\xe2\x80\x8b.com", "evil[U+200B].com"},
        {"ht\xe2\x80\x8btp://evil.example", "ht[U+200B]tp[:]//evil[.]example"},
        {"http://1.2.3.4.x.5/", "hxxp[:]//1[.]2[.]3[.]4[.]x[.]5/"},
        {"http:\r\n//evil.example", "hxxp[:]\n//evil[.]example"},
        {"http://[2001:db8::1]/", "hxxp[:]//[2001:db8::1]/"},
        {"http://user:pw@evil.example/", "hxxp[:]//user:pw[@]evil[.]example/"},
        {"a[@evil.example", "a[@evil[.]example"},
        {"....", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        AUTO(buf_clear) struct buf once = BUF_INIT(4096), twice = BUF_INIT(4096);
        const char *expected = row[i].defanged ? row[i].defanged : row[i].text;

        mime_text_defang(&once, row[i].text);
        if (strcmp(buf_text(&once), expected) != 0)
            fail_msg("\"%s\": \"%s\", expected \"%s\"", row[i].text, buf_text(&once), expected);
        mime_text_defang(&twice, buf_text(&once));
        if (strcmp(buf_text(&twice), expected) != 0)
            fail_msg("\"%s\": twice \"%s\"", row[i].text, buf_text(&twice));
    }
}

static void test_mime__defang_takes_linear_time(void **state)
{
    const size_t size = 2 * 1024 * 1024;
    char *text = malloc(size + 1);

    (void)state;
    assert_non_null(text);
    /* Quadratic, this would take hours; there is no clock here, the runner's deadline is enough. */
    for (size_t i = 0; i < size; i += 2)
        memcpy(text + i, "a.", 2);
    text[size] = '\0';
    AUTO(buf_clear) struct buf b = BUF_INIT(8 * size);
    mime_text_defang(&b, text);
    assert_int_equal(buf_failed(&b), ERR_OK);
    assert_int_equal(b.len, size + (size / 2 - 1) * 2);
    free(text);
}

/* ---- another reader --------------------------------------------------------------------------- */

/* Python's email package, where there is one: it shares nothing with us. It prints what it read as JSON. */
static const char reader_in_python[] =
    "import sys, json, email, email.policy\n"
    "m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)\n"
    "parts = [p for p in m.walk() if not p.is_multipart()]\n"
    "json.dump({'subject': str(m['subject']), 'to': str(m['to']), 'n': len(m.keys()),\n"
    "  'defects': [str(d) for p in m.walk() for d in p.defects],\n"
    "  'types': [p.get_content_type() for p in parts],\n"
    "  'bodies': [p.get_content() for p in parts]}, sys.stdout)\n";

static bool run_python(const char *in_path, struct buf *out)
{
    char *argv[] = {(char[]){"python3"}, (char[]){"-c"}, (char *)reader_in_python, NULL};
    char *env[] = {(char[]){"PATH=/usr/bin:/bin:/usr/local/bin"}, (char[]){"PYTHONUTF8=1"}, NULL};
    posix_spawn_file_actions_t files;
    int fds[2], status = 1;
    char piece[4096];
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&files), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&files, 0, in_path, O_RDONLY, 0), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&files, fds[1], 1), 0);
    if (posix_spawn(&pid, "/usr/bin/python3", &files, NULL, argv, env)) {
        (void)posix_spawn_file_actions_destroy(&files);
        (void)close(fds[0]);
        (void)close(fds[1]);
        return false;
    }
    (void)posix_spawn_file_actions_destroy(&files);
    (void)close(fds[1]);
    while ((n = read(fds[0], piece, sizeof piece)) > 0)
        buf_add(out, piece, (size_t)n);
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return true;
}

static void test_mime__another_reader_reads_the_same(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char path[220];
    AUTO(buf_clear)
    struct buf b = BUF_INIT(1 << 20), text = BUF_INIT(1 << 18), out = BUF_INIT(1 << 20);
    AUTO(json_freep) struct json *doc = NULL;
    struct mime_message m = plain();
    struct mail_read r = {0};
    struct err e = {0};
    const struct json *bodies;
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof naughty / sizeof naughty[0]; i++)
        buf_addf(&text, "%s: %s \n.\nFrom %s\n", naughty[i].label, naughty[i].text,
                 naughty[i].text);
    m.subject = "\xf0\x9f\x9a\xa8 [High] \xe8\xad\xa6\xe5\x91\x8a \xe8\xad\xa6\xe5\x91\x8a "
                "\xe8\xad\xa6\xe5\x91\x8a and some words =?UTF-8?B?eA==?= that fill another line";
    m.text = text.data;
    m.html = text.data;
    build_and_read("all", &m, &b, &r);

    (void)snprintf(path, sizeof path, "%s/mime.XXXXXX", tmp ? tmp : "/tmp");
    fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.data, b.len), (ssize_t)b.len);
    assert_int_equal(close(fd), 0);
    if (!run_python(path, &out)) {
        (void)unlink(path);
        mail_read_clear(&r);
        print_message("there is no /usr/bin/python3 here to read with\n");
        skip();
    }
    (void)unlink(path);
    if (json_parse(buf_text(&out), out.len, &doc, &e))
        fail_msg("%s", e.text);
    assert_int_equal(json_count(json_get(doc, "defects")), 0);
    assert_string_equal(json_get_string(doc, "subject"), m.subject);
    assert_string_equal(json_get_string(doc, "subject"), mail_header(&r, "Subject"));
    assert_string_equal(json_get_string(doc, "to"), soc[0]);
    assert_int_equal(json_count(json_get(doc, "types")), 2);
    bodies = json_first(json_get(doc, "bodies"));
    for (int i = 0; i < 2; i++, bodies = json_next(bodies)) {
        AUTO(buf_clear) struct buf mine = BUF_INIT(1 << 18), theirs = BUF_INIT(1 << 18);

        /* Python gives LF line ends; ours are compared without the CR. */
        for (const char *p = r.parts[i].body; *p; p++)
            if (*p != '\r')
                buf_addc(&mine, *p);
        for (const char *p = json_string(bodies); *p; p++)
            if (*p != '\r')
                buf_addc(&theirs, *p);
        assert_string_equal(buf_text(&theirs), buf_text(&mine));
    }
    mail_read_clear(&r);
}

static void test_mime__an_attachment_stands_beside_the_text(void **state)
{
    struct mime_attachment file = {
        .name = "rows.csv", .type = "text/csv; charset=UTF-8", .bytes = "\"a\"\r\n", .len = 5};
    AUTO(buf_clear) struct buf b = BUF_INIT(65536), refused = BUF_INIT(65536);
    struct mime_message m = plain();
    const char *outer, *inner, *part;
    struct err e;

    (void)state;
    m.html = "<p>text</p>";
    m.attachment = &file;
    assert_int_equal(mime_build(&m, &b, &e), ERR_OK);
    outer = strstr(b.data, "multipart/mixed");
    inner = strstr(b.data, "multipart/alternative");
    part = strstr(b.data, "Content-Type: text/csv; charset=UTF-8\r\n"
                          "Content-Disposition: attachment; filename=\"rows.csv\"\r\n"
                          "Content-Transfer-Encoding: base64\r\n\r\nImEiDQo=\r\n");
    assert_true(outer && inner && part && outer < inner && inner < part);
    file.name = "a\"; x=\"y";
    assert_int_equal(mime_build(&m, &refused, &e), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mime__builds_the_message_that_is_expected),
        cmocka_unit_test(test_mime__the_date_is_in_utc_and_english),
        cmocka_unit_test(test_mime__no_value_escapes_from_its_header),
        cmocka_unit_test(test_mime__no_text_escapes_from_its_part),
        cmocka_unit_test(test_mime__text_comes_back_as_it_was),
        cmocka_unit_test(test_mime__large_texts_come_back_whole),
        cmocka_unit_test(test_mime__a_long_subject_is_cut_between_characters),
        cmocka_unit_test(test_mime__a_part_over_the_limit_is_refused),
        cmocka_unit_test(test_mime__ids_cannot_end_early_and_a_long_thread_is_shortened),
        cmocka_unit_test(test_mime__refuses_what_cannot_be_written),
        cmocka_unit_test(test_mime__running_out_of_memory_is_said),
        cmocka_unit_test(test_mime__knows_an_address),
        cmocka_unit_test(test_mime__clean_text_keeps_lines_and_shows_what_hides),
        cmocka_unit_test(test_mime__html_escape_leaves_no_markup),
        cmocka_unit_test(test_mime__defang_leaves_nothing_to_click),
        cmocka_unit_test(test_mime__defang_takes_linear_time),
        cmocka_unit_test(test_mime__another_reader_reads_the_same),
        cmocka_unit_test(test_mime__an_attachment_stands_beside_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
