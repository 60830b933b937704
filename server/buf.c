/* buf.c - see buf.h. Grows by doubling; the limit is met before malloc is. */
#include "buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf)BUF_INIT(limit);
}

void buf_clear(struct buf *b)
{
    free(b->data);
    buf_init(b, b->limit);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = ERR_OK;
    if (b->data)
        b->data[0] = '\0';
}

/* Makes room for extra bytes and the NUL; on failure marks the buffer. */
static bool reserve(struct buf *b, size_t extra)
{
    size_t need, room;
    char *data;

    if (b->failed)
        return false;
    if (extra > b->limit || b->len > b->limit - extra) {
        b->failed = ERR_TOO_BIG;
        return false;
    }
    need = b->len + extra + 1;
    if (need <= b->room)
        return true;
    room = b->room ? b->room : FIRST_ROOM;
    while (room < need)
        room = room > SIZE_MAX / 2 ? need : room * 2;
    data = realloc(b->data, room);
    if (!data) {
        b->failed = ERR_NOMEM;
        return false;
    }
    b->data = data;
    b->room = room;
    return true;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_addi(struct buf *b, int64_t number)
{
    char text[20], *at = text + sizeof text; /* -9223372036854775808 */
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        *--at = '-';
    buf_add(b, at, (size_t)(text + sizeof text - at));
}

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int len;

    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len < 0) {
        b->failed = b->failed ? b->failed : ERR_INVALID;
        return;
    }
    if (!reserve(b, (size_t)len))
        return;
    (void)vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap); /* measured above */
    b->len += (size_t)len;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_addv(b, fmt, ap);
    va_end(ap);
}

enum err_code buf_failed(const struct buf *b)
{
    return b->failed;
}

const char *buf_text(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *data = b->data ? b->data : calloc(1, 1);

    buf_init(b, b->limit);
    return data;
}
