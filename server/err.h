/* err.h - an error is a code that decides and a sentence that explains.
 *
 * The leaf says what failed and with which value (err_set), each caller adds where it was (err_in),
 * the top of the loop logs it once. Every function that can fail returns its code and takes a
 * `struct err *` last; NULL is allowed there by everyone who only wants the code.
 */
#ifndef CORDON_ERR_H
#define CORDON_ERR_H

#include <stdint.h>

/* What the caller should do about it; the table of names is in err.c. */
enum err_code {
    ERR_OK,
    ERR_INVALID,   /* bad input, and the same input would be bad again */
    ERR_DENIED,    /* credential missing or wrong */
    ERR_FORBIDDEN, /* credential good, but this is not allowed to it */
    ERR_NOT_FOUND, /* the thing named does not exist (yet) */
    ERR_CONFLICT,  /* a unique key is taken: somebody was first */
    ERR_STALE,     /* our lease ran out and another worker holds the work: stop, write nothing */
    ERR_TOO_BIG,   /* a limit of ours was met */
    ERR_REFUSED,   /* the peer says no for good: a repeat will not help */
    ERR_AGAIN,     /* transient: a repeat may help */
    ERR_THROTTLED, /* over a quota; err.retry_ms says for how long when the peer told */
    ERR_TIMEOUT,   /* a deadline of ours passed; nothing was done at the far end */
    ERR_UNKNOWN,   /* the request may have been carried out and the answer was lost: look first */
    ERR_IO,        /* a disk, socket or process of this host failed */
    ERR_NOMEM,     /* out of memory */
    ERR_STOPPING,  /* this process is shutting down */
    ERR_CODES
};

#define ERR_TEXT_SIZE 480

struct err {
    enum err_code code;
    int64_t retry_ms;         /* the peer's Retry-After, milliseconds; 0: it said nothing */
    char text[ERR_TEXT_SIZE]; /* UTF-8, never a secret, cut at the end when too long */
};

/** The code's name as it stands in logs ("throttled"); static storage. */
const char *err_name(enum err_code code);

/**
 * Starts an error: sets code and text, forgets what e held before. fmt must not be fed from e->text.
 * e may be NULL. Returns code, so that a leaf can end with `return err_set(...)`.
 */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Puts "<where>: " before the text. Keeps the code and returns it; ERR_OK stays ERR_OK. */
enum err_code err_in(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
