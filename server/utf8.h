/* utf8.h - where the characters of a text begin and end (Unicode 15, table 3-7).
 *
 * A text from outside may be cut anywhere, and be no UTF-8 at all: every function takes any bytes. What is kept,
 * shown or sent is cut here, so that nothing ends with half a character: PostgreSQL would not store it, and a JSON
 * text with it is none.
 */
#ifndef CORDON_UTF8_H
#define CORDON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/** The mark of what was left out. */
#define UTF8_ELLIPSIS "\xe2\x80\xa6"
/** What stands for bytes that are no character. */
#define UTF8_REPLACEMENT 0xFFFD

/**
 * Reads one character.
 *
 * text, left   left: bytes that may be looked at; SIZE_MAX for a text that ends with NUL.
 * ret          the code point, when there is one; may be NULL.
 * Returns      its length, 1 to 4 bytes; 0 when no well-formed character stands there: no overlong form, no surrogate,
 *              nothing beyond U+10FFFF.
 * Threads      any, as everywhere here.
 */
size_t utf8_read(const char *text, size_t left, uint32_t *ret);
/** The same of a text that ends with NUL and has not ended: a byte that begins no well-formed character counts as one,
 *  UTF8_REPLACEMENT. */
size_t utf8_next(const char *text, uint32_t *ret);

/** Characters of a text. What is not well-formed counts by its leading bytes. */
size_t utf8_count(const char *text);
/** Bytes of its first n characters; all of them when it has no more. */
size_t utf8_first(const char *text, size_t n);

/** Bytes of its beginning: at most max, and no half character at the end. */
size_t utf8_cut(const char *text, size_t max);
/** Takes off the half character that a copy into too small a room left at the end. */
void utf8_end_whole(char *text);
/** Does it hold whole characters and nothing else? */
bool utf8_is_whole(const char *text);
/** Puts a '?' in the place of each byte that belongs to no whole character. */
void utf8_mend(char *text);
/** text itself when it has at most max bytes (or is NULL), else its beginning and a mark, from the arena; NULL without
 *  memory. */
const char *utf8_short(struct arena *a, const char *text, size_t max, const char *mark);

#endif
