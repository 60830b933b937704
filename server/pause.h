/* pause.h - the kill switch: while it is thrown no new isolation is asked for.
 *
 * It is a row of the store, so that it survives restarts and holds for every replica; and, where
 * safety.pause_file names one, a file whose mere presence pauses, for whoever cannot reach the admin address. It is
 * read in the transaction that writes an isolation's intent: what has its intent written is being sent, and
 * nothing else is. Releases, notices and reading go on.
 */
#ifndef CORDON_PAUSE_H
#define CORDON_PAUSE_H

#include "runtime.h"
#include "store.h"

struct pause {
    bool on;
    const char *who, *why; /* whose order, and his reason; either may be NULL */
    const char *file;      /* it is there (or nobody can tell); NULL: it is not */
    int64_t since;         /* of the order, wall ms; 0: there is none, it is the file */
};

/* ---- inside a transaction -------------------------------------------------------------------- */

/** How the switch stands. Texts live in a, or in rt. */
enum err_code pause_read(struct db_tx *tx, const struct runtime *rt, struct arena *a,
                         struct pause *ret, struct err *e);
/** Why no isolation may be asked for now, in words for people; *ret NULL: it may. */
enum err_code pause_reason(struct db_tx *tx, const struct runtime *rt, struct arena *a,
                           const char **ret, struct err *e);
/** Throws it. Thrown already: author and reason are the new ones, the time stays. */
enum err_code pause_set(struct db_tx *tx, const char *who, const char *why, int64_t now,
                        struct err *e);
/** Takes the order back; *ret_was: there was one. The file is none of ours. */
enum err_code pause_clear(struct db_tx *tx, bool *ret_was, struct err *e);

/* ---------------------------------------------------------------------------------------------- */

/** The same from outside of one. */
enum err_code store_pause(struct store *s, const struct runtime *rt, struct arena *a,
                          struct pause *ret, struct err *e);
/** Is it thrown in the store that stands there, which nobody has to serve and whose schema may be an older one? The file is not
 *  looked for. Texts live in a. As db_open; ERR_REFUSED of one that other replicas may share. */
enum err_code pause_look(const char *url, struct arena *a, struct pause *ret, struct err *e);
/** Throws it in the copy that is to take that one's place, as p has it. As store_open. */
enum err_code pause_carry(const char *url, const struct pause *p, struct err *e);
/** "paused by maria: a drill", as a few words of a subject; in a. p->on. */
const char *pause_words(const struct pause *p, struct arena *a);
/** What ends it: "`cordon resume`", behind "until" or "after"; static storage. p->on. */
const char *pause_end(const struct pause *p);

#endif
