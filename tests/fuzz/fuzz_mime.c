/* fuzz_mime.c - any text as subject, header and body: the message has only our headers and parts, its
 * lines are 7-bit, short and end with CRLF; what was cleaned or defanged once stays as it is; an address
 * that is taken holds nothing that could end it.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT ((size_t)1 << 24)

/* Header names in order, as the message has them: any other line that is no fold is an escape. */
static void check_message(const char *bytes, size_t len)
{
    static const char *const names[] = {
        "Date: ",           "From: ",        "To: ",           "Subject:",       "Message-ID: ",
        "Auto-Submitted: ", "X-Cordon-Why:", "MIME-Version: ", "Content-Type: ", "",
    };
    size_t name = 0, boundaries = 0;

    assert(strlen(bytes) == len);
    for (const char *line = bytes, *end; line < bytes + len; line = end + 2) {
        end = strchr(line, '\r');
        assert(end && end[1] == '\n' && end - line <= 76);
        for (const char *p = line; p < end; p++)
            assert((*p >= ' ' || *p == '\t') && *p <= '~');
        assert(line[0] != '.' && strncmp(line, "From ", 5) != 0);
        if (name < sizeof names / sizeof names[0] && line[0] != ' ') {
            assert(!strncmp(line, names[name], strlen(names[name])));
            assert(names[name][0] || line == end);
            name++;
        }
        boundaries += !strncmp(line, "--=_cordon_part", 15);
    }
    assert(name == sizeof names / sizeof names[0]);
    assert(boundaries == 3);
}

static void check_twice(void (*change)(struct buf *, const char *), const char *text)
{
    AUTO(buf_clear) struct buf once = BUF_INIT(LIMIT), twice = BUF_INIT(LIMIT);

    change(&once, text);
    change(&twice, buf_text(&once));
    assert(!buf_failed(&once) && !buf_failed(&twice));
    assert(once.len == twice.len && !strcmp(buf_text(&once), buf_text(&twice)));
}

static void check_address(const char *text)
{
    struct err e = {0};

    if (!mime_address_ok(text, &e)) {
        assert(e.code == ERR_INVALID && e.text[0] && !strpbrk(e.text, "\r\n\x1b"));
        return;
    }
    assert(strlen(text) <= MIME_ADDRESS_MAX && strchr(text, '@') == strrchr(text, '@'));
    for (const char *p = text; *p; p++)
        assert(*p >= ' ' && *p <= '~' && !strchr("<>,;()\\", *p));
    assert(text[0] == '"' || !strchr(text, ' '));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const to[] = {"soc@contoso.example"};
    AUTO(buf_clear) struct buf out = BUF_INIT(LIMIT), html = BUF_INIT(LIMIT);
    AUTO(auto_free) char *text = malloc(size + 1);
    struct mime_header header = {"X-Cordon-Why", text};
    struct mime_message m = {.from = "cordon@contoso.example",
                             .to = to,
                             .to_count = 1,
                             .subject = text,
                             .message_id = "1@contoso.example",
                             .headers = &header,
                             .header_count = 1,
                             .text = text,
                             .html = text};

    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';

    assert(mime_build(&m, &out, NULL) == ERR_OK);
    check_message(out.data, out.len);
    check_twice(mime_clean_text, text);
    check_twice(mime_clean_line, text);
    check_twice(mime_text_defang, text);
    mime_html_escape(&html, text);
    assert(!strpbrk(buf_text(&html), "<>\"'"));
    check_address(text);
    buf_reset(&out);
    m.message_id = text; /* any id gives one header or none */
    m.in_reply_to = m.references = text;
    (void)mime_build(&m, &out, NULL);
    return 0;
}
