/* upkeep.h - keeps the store from growing for ever: a thread that forgets, a little at a time, what is old. */
#ifndef CORDON_UPKEEP_H
#define CORDON_UPKEEP_H

#include "store.h"

struct upkeep;

/** Begins at once, then looks every minute. s: borrowed until upkeep_stop. */
enum err_code upkeep_start(struct store *s, struct upkeep **ret, struct err *e);
/** Waits for the transaction under way, joins, frees. NULL is fine. */
void upkeep_stop(struct upkeep *u);

#endif
