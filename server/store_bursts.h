/* store_bursts.h - bursts: notices that came on the heels of another, held to be told together.
 *
 *     (a notice, and no burst open by its names) --> OPEN --held--> OPEN, due --digest--> OPEN --nothing came--> gone
 *
 * A burst is open under names ("contoso rule contain-high") for the same people. Its work (WORK_BURST, by its id) is due
 * when what it holds is to be told or, when it holds nothing, when it ends.
 */
#ifndef CORDON_STORE_BURSTS_H
#define CORDON_STORE_BURSTS_H

#include "store_notices.h"

struct burst {
    int64_t id;
    int64_t lead;        /* the case whose notice opened it: that one's are never held */
    int64_t first, last; /* mails of it: the leading notice, then its digests */
    int64_t mailed;      /* when the last digest was made; 0: there was none */
    int64_t held;        /* notices */
};

/* A held notice, and what of its case a digest is about. */
struct burst_notice {
    int64_t id, case_id, after;
    const char *kind, *said, *machine, *alert, *thread, *rule, *machine_id, *tenant;
    bool stale; /* newer notices, one or several, tell the same people how the case stands */
};

/* All of these inside a transaction. */

/** The burst that is open for these people under the first of the names that has one; id 0: none. */
enum err_code burst_find(struct db_tx *tx, const char *const *names, size_t n, const char *audience,
                         struct burst *ret, struct err *e);
/** By id; ERR_NOT_FOUND. */
enum err_code burst_load(struct db_tx *tx, int64_t id, struct burst *ret, struct err *e);
/** Opens it under all of the names, none of which has one, with its work. */
enum err_code burst_open(struct db_tx *tx, const struct burst *b, const char *const *names,
                         size_t n, const char *audience, int64_t due, int64_t now, struct err *e);
/** One more is held; the first of them is told at `due`. */
enum err_code burst_hold(struct db_tx *tx, const struct burst *b, int64_t due, struct err *e);
/** What it holds, oldest first, at most max. */
enum err_code burst_held(struct db_tx *tx, struct arena *a, int64_t id, size_t max,
                         struct burst_notice **ret, size_t *ret_n, struct err *e);
/** Writes first, last, mailed and held of b. */
enum err_code burst_save(struct db_tx *tx, const struct burst *b, struct err *e);
enum err_code burst_close(struct db_tx *tx, int64_t id, struct err *e);

#endif
