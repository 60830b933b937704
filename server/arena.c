/* arena.c - see arena.h. A list of chunks; a request larger than a chunk gets one of its own. */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CHUNK 4096
#define ALIGN         _Alignof(max_align_t)

struct chunk {
    struct chunk *next;
    size_t used, size; /* bytes of data[] */
    _Alignas(max_align_t) unsigned char data[];
};

struct arena {
    struct chunk *chunks; /* the newest first */
    size_t chunk_size;
};

struct arena *arena_new(size_t chunk)
{
    struct arena *a = calloc(1, sizeof *a);

    if (a)
        a->chunk_size = chunk ? chunk : DEFAULT_CHUNK;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void arena_reset(struct arena *a)
{
    struct chunk *keep = NULL;

    for (struct chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        if (!keep && c->size == a->chunk_size) {
            keep = c;
            keep->next = NULL;
        } else {
            free(c);
        }
    }
    if (keep) {
        memset(keep->data, 0, keep->used); /* what comes from an arena is zeroed */
        keep->used = 0;
    }
    a->chunks = keep;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct chunk *c = a->chunks;
    void *p;

    if (size > SIZE_MAX - sizeof *c - ALIGN)
        return NULL;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (!c || c->size - c->used < size) {
        size_t room = size > a->chunk_size ? size : a->chunk_size;

        c = calloc(1, sizeof *c + room); /* zeroed here, so that every piece is */
        if (!c)
            return NULL;
        c->size = room;
        c->next = a->chunks;
        a->chunks = c;
    }
    p = c->data + c->used;
    c->used += size;
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t total;

    return __builtin_mul_overflow(count, size, &total) ? NULL : arena_alloc(a, total);
}

char *arena_strn(struct arena *a, const char *text, size_t len)
{
    char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

    if (copy && len)
        memcpy(copy, text, len);
    return copy;
}

char *arena_str(struct arena *a, const char *text)
{
    return arena_strn(a, text, strlen(text));
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *out;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    out = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
    if (out) {
        va_start(ap, fmt);
        (void)vsnprintf(out, (size_t)len + 1, fmt, ap); /* measured above */
        va_end(ap);
    }
    return out;
}
