/* base64.h - strict base64 of RFC 4648: one text for the same bytes, so that what was signed or compared
 * cannot be written in a second way.
 *
 * Refused: characters outside the alphabet (blanks and line breaks too), missing or superfluous
 * padding, bits behind the last byte that are not zero.
 */
#ifndef CORDON_BASE64_H
#define CORDON_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Most bytes that a text of len characters stands for. */
#define BASE64_ROOM(len) ((len) / 4 * 3 + 3)

/** Decodes section 4 (`+/`, padded with `=`). out: room bytes; false when the text is not strict
 *  base64 or its bytes do not fit. *ret_len is set on success only. */
bool base64_decode(const char *text, size_t len, unsigned char *out, size_t room, size_t *ret_len);
/** The same for section 5 as tokens use it (`-_`, never padded: RFC 7515 section 2). */
bool base64url_decode(const char *text, size_t len, unsigned char *out, size_t room,
                      size_t *ret_len);
/** Writes section 5's text of len bytes, without padding: BASE64URL_SIZE(len) characters, the NUL included. */
#define BASE64URL_SIZE(len) (((len)*8 + 5) / 6 + 1)
void base64url_encode(const unsigned char *bytes, size_t len, char *out);

#endif
