/* store_digests.h - what shadow mode held back, and since when people have not been told of it. */
#ifndef CORDON_STORE_DIGESTS_H
#define CORDON_STORE_DIGESTS_H

#include "store.h"
#include "store_work.h"

/* The one row of WORK_DIGEST; ids of id.h are far greater. */
#define DIGEST_ID 1

struct digest_count {
    const char *tenant, *rule, *handler;
    int64_t steps, machines;
    bool asked; /* a person would have been asked before */
};

struct digest_step {
    int64_t case_id;
    const char *tenant, *rule, *handler, *alert_id, *machine_id, *facts; /* facts: JSON */
    bool asked;
};

/* All of these inside a transaction. */

/** Makes the row and its work, due at `due`, where there is none. What was held back before now counts for nothing. */
enum err_code digest_begin(struct db_tx *tx, int64_t now, int64_t due, struct err *e);
/** Until when people have been told. */
enum err_code digest_told(struct db_tx *tx, int64_t *ret, struct err *e);
enum err_code digest_set_told(struct db_tx *tx, int64_t told, struct err *e);
/** Cases that came after `from` and not after `to`. */
enum err_code digest_cases(struct db_tx *tx, int64_t from, int64_t to, int64_t *ret, struct err *e);
/** How many steps that act shadow mode withheld after `from` and not after `to`. */
enum err_code digest_held_back(struct db_tx *tx, int64_t from, int64_t to, int64_t *ret,
                               struct err *e);
/** Those by tenant, rule and handler, most first; fifty rows at most. */
enum err_code digest_counts(struct db_tx *tx, struct arena *a, int64_t from, int64_t to,
                            struct digest_count **ret, size_t *ret_n, struct err *e);
/** The newest max of them. */
enum err_code digest_steps(struct db_tx *tx, struct arena *a, int64_t from, int64_t to, size_t max,
                           struct digest_step **ret, size_t *ret_n, struct err *e);

#endif
