/* audit.h - is the audit whole? And what does it hold? Reads alone: the store may be served meanwhile, or be a
 * copy of it on another machine. */
#ifndef CORDON_AUDIT_H
#define CORDON_AUDIT_H

#include "buf.h"
#include "store_audit.h"

struct audit_report {
    int64_t records;        /* that are as they were written, counted from the first */
    struct audit_head last; /* the last of these; n 0: there is none */
    int64_t last_ms;        /* its time, wall ms */
    bool whole;             /* all are */
    int64_t broken;         /* else: the number of the first that is not */
    char why[300];          /* and what is wrong with it, for people */
};

/**
 * Looks at every record from the first to the last, and at the head row.
 *
 * head      a hash that was kept elsewhere, or NULL: it must be in the chain. Without it a chain that was written
 *           anew from some record on to its end, head row included, looks whole.
 * ret       written on ERR_OK, also when something is broken.
 * Threads   any that may wait.
 */
enum err_code audit_verify(struct store *s, const char *head, struct audit_report *ret,
                           struct err *e);

/** The same inside a transaction. e is not NULL. */
enum err_code audit_verify_in(struct db_tx *tx, const char *head, struct audit_report *ret,
                              struct err *e);

/** Gives every record written at or after `since` (wall ms) to fn, in order, until fn returns false. */
enum err_code audit_each(struct store *s, int64_t since,
                         bool (*fn)(const struct audit_record *r, void *ctx), void *ctx,
                         struct err *e);

/** One record as a JSON object: n, time, kind, case, detail, hash. */
void audit_write(struct buf *out, const struct audit_record *r);

/** Logs the head if it is time for that, so that it is kept elsewhere than in the store. now, due: ms of one clock. Returns when
 *  it is time again: in a day; where it could not be read, in a minute; while the store is known to be out of reach, at once. */
int64_t audit_tell_head(struct store *s, int64_t now, int64_t due);

#endif
