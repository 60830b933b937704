/* store_check.h - is the store sound, and does everything in it still lead somewhere? */
#ifndef CORDON_STORE_CHECK_H
#define CORDON_STORE_CHECK_H

#include "store.h"

/* text: a sentence, borrowed for the call. */
typedef void (*store_found_fn)(void *ctx, const char *text);

/**
 * Reads through all of the store and tells what is wrong with it: faults of the file, rows that belong to
 * nothing, and things that wait for work which nobody will do. Changes nothing; a server may run meanwhile.
 * Returns ERR_OK however much was found.
 */
enum err_code store_check(struct store *s, store_found_fn found, void *ctx, struct err *e);

#endif
