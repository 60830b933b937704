/* journal.h - every call that the far side saw, in the order in which it took effect.
 *
 * Kept in memory for the control interface and appended to a file, one write(2) per call, so that the
 * record survives whatever ends the simulator. Entries are lines of JSON made once; filters look at a
 * few fields kept beside them. The loop's thread only.
 */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct journal; /* opaque */

struct journal_entry {  /* what is to be noted; all borrowed */
    int64_t arrived_us; /* loop_now_us */
    const char *method, *path, *query, *api, *client, *content_type, *fault, *action_id;
    const char *body;
    size_t body_len;
    unsigned status; /* 0: no answer */
};

struct journal_filter {
    int64_t since;             /* seq > since */
    const char *method, *path; /* path: glob; NULL: any */
    int64_t status;            /* -1: any */
};

/** path: the file, created or emptied. */
enum err_code journal_new(const char *path, struct journal **ret, struct err *e);
void journal_free(struct journal *j);
/** Returns the entry's seq. */
int64_t journal_add(struct journal *j, const struct journal_entry *entry);
/** Forgets the entries and empties the file; seq goes on counting. */
void journal_forget(struct journal *j);
int64_t journal_last(const struct journal *j); /* the newest seq */

/** Does the entry of this seq pass the filter? */
bool journal_matches(const struct journal *j, int64_t seq, const struct journal_filter *f);
int64_t journal_count(const struct journal *j, const struct journal_filter *f);
/** Appends up to limit matching entries as array elements; returns how many. */
int64_t journal_write(const struct journal *j, const struct journal_filter *f, int64_t limit,
                      struct buf *out);

#endif
