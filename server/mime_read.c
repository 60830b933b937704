/* mime_read.c - see mime_read.h. */
#include "mime_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "base64.h"

#define END_OF_HEADERS "\r\n\r\n"

/* Bytes of decoded text with CRLF, as LF. */
static void add_lines(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r')
            buf_addc(out, text[i]);
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum err_code add_quoted_printable(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '=') {
            add_lines(out, text + i, 1);
        } else if (i + 2 < len && text[i + 1] == '\r' && text[i + 2] == '\n') {
            i += 2;
        } else if (i + 2 < len && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
            buf_addc(out, (char)(digit(text[i + 1]) * 16 + digit(text[i + 2])));
            i += 2;
        } else {
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

static enum err_code add_base64(struct buf *out, const char *text, size_t len)
{
    AUTO(auto_free) char *one = malloc(len + 1);
    AUTO(auto_free) unsigned char *bytes = malloc(BASE64_ROOM(len));
    size_t n = 0, n_bytes;

    if (!one || !bytes)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r' && text[i] != '\n')
            one[n++] = text[i];
    if (!base64_decode(one, n, bytes, BASE64_ROOM(len), &n_bytes))
        return ERR_INVALID;
    add_lines(out, (const char *)bytes, n_bytes);
    return ERR_OK;
}

enum err_code mime_part(const char *message, const char *type, struct buf *out, struct err *e)
{
    static const char name[] = "boundary=\"";
    const char *head = strstr(message, END_OF_HEADERS), *at = strstr(message, name), *body, *end;
    AUTO(buf_clear) struct buf border = BUF_INIT(200), wanted = BUF_INIT(200);
    enum err_code code;
    size_t len;

    if (!head)
        return err_set(e, ERR_INVALID, "a message without a body");
    buf_addf(&wanted, "Content-Type: %s;", type);
    if (at && at < head) {
        at += strlen(name);
        buf_addf(&border, "\r\n--%.*s", (int)strcspn(at, "\""), at);
        at = head;
        do {
            at = strstr(at, buf_text(&border));
            at = at ? at + border.len + strspn(at + border.len, "\r\n") : NULL;
        } while (at && strncmp(at, buf_text(&wanted), wanted.len) != 0);
    } else {
        at = strstr(message, buf_text(&wanted));
    }
    head = at ? strstr(at, END_OF_HEADERS) : NULL;
    if (!head)
        return err_set(e, ERR_NOT_FOUND, "the message has no %s", type);
    body = head + strlen(END_OF_HEADERS);
    end = border.len ? strstr(body, buf_text(&border)) : NULL;
    len = end ? (size_t)(end - body) : strlen(body);
    at = strstr(at, "base64");
    code = at && at < head ? add_base64(out, body, len) : add_quoted_printable(out, body, len);
    if (!code)
        code = buf_failed(out);
    return code ? err_set(e, code, "the %s part cannot be read", type) : ERR_OK;
}
