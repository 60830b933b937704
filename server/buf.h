/* buf.h - a growing run of bytes that carries its limit and remembers its first failure.
 *
 * So a run of appends is checked once: after the last one, buf_failed() says whether any of them met
 * the limit (ERR_TOO_BIG) or ran out of memory (ERR_NOMEM). A failed buffer ignores further appends.
 * The bytes are always followed by a NUL that does not count. One owner, one thread at a time.
 */
#ifndef CORDON_BUF_H
#define CORDON_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct buf {
    char *data;   /* NULL while empty: use buf_text() for a string */
    size_t len;   /* bytes, without the NUL */
    size_t room;  /* allocated bytes */
    size_t limit; /* most bytes that len may reach */
    enum err_code failed;
};

#define BUF_INIT(limit_bytes)                                                                      \
    {                                                                                              \
        .limit = (limit_bytes)                                                                     \
    }

/** Empty, of at most limit bytes; nothing is allocated yet. BUF_INIT is the same of a declaration. */
void buf_init(struct buf *b, size_t limit);
/** Frees the bytes; the buffer is empty, keeps its limit and may be used again. */
void buf_clear(struct buf *b);
/** Forgets the bytes and the failure but keeps the memory. */
void buf_reset(struct buf *b);

/* Each appends all of it or, failing, nothing (the first comment says how that is noticed). */
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_adds(struct buf *b, const char *text);
void buf_addi(struct buf *b, int64_t number); /* decimal */
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Lines of the log and answers are made of single characters between the rest: most need no call. */
static inline void buf_addc(struct buf *b, char c)
{
    if (b->failed || b->len >= b->limit || b->len + 1 >= b->room) {
        buf_add(b, &c, 1);
        return;
    }
    b->data[b->len++] = c;
    b->data[b->len] = '\0';
}

/** ERR_OK, or the first failure. */
enum err_code buf_failed(const struct buf *b);
/** The bytes as a NUL-terminated string, "" when empty; borrowed until the next call on b. */
const char *buf_text(const struct buf *b);
/** Moves the bytes out as a heap string (never NULL unless out of memory); b is empty afterwards. */
char *buf_take(struct buf *b);

#endif
