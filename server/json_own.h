/* json_own.h - what the rooms of JSON share, and nobody else sees: what a document must be before cJSON sees it.
 *
 *     json.c         documents and their values, by way of cJSON; writing
 *     json_scan.c    the check of the bytes, and how much a tree of them takes
 */
#ifndef CORDON_JSON_OWN_H
#define CORDON_JSON_OWN_H

#include "json.h"

/* cJSON copies a number into 64 bytes and silently reads a longer one as two. RFC 8259 section 9 lets
 * a reader limit numbers; nobody writes a longer one. */
#define JSON_NUMBER_MAX 63

/* Every integer of so many digits is a double, and comes back from it unchanged (10^15 < 2^53). */
#define JSON_PLAIN_DIGITS 15

/* What a tree is made of begins at multiples of so many bytes. */
#define JSON_PIECE 8

static inline size_t json_piece_size(size_t size)
{
    return (size + JSON_PIECE - 1) / JSON_PIECE * JSON_PIECE;
}

static inline bool json_is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* A number whose text must be kept. */
struct json_kept {
    size_t ordinal; /* which of the document's numbers, counted from 0 in document order */
    size_t offset;
    size_t len;
};

struct json_scan {
    const unsigned char *start, *at, *end;
    int deepest;      /* so many objects and arrays may be inside each other */
    size_t values;    /* seen so far */
    size_t text_room; /* that names, strings and digits take in a tree */
    size_t numbers;   /* seen so far */
    struct json_kept *kept;
    size_t kept_count, kept_room;
    enum err_code code; /* the first failure; `why` and `at` say the rest */
    const char *why;
};

/** Walks a whole document from s->at (= start) to s->end. False: it is none, for s->why at s->at, or (ERR_NOMEM) its numbers
 *  could not be kept. s->kept is the caller's to free in any case. Asks for no memory but for numbers. */
bool json_scan(struct json_scan *s);

/** How many bytes from p on need no look: printable ASCII but for the quote and the backslash. Eight at a time, as nearly
 *  all text is; a few more may follow. */
size_t json_plain_run(const unsigned char *p, size_t len);

#endif
