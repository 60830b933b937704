/* burst.h - storms are digests: a notice that comes on the heels of another is told with those that come with it.
 *
 * The first notice of an incident, a machine or a rule goes out at once and opens a burst (store_bursts.h). Notices of
 * other cases of the same are held: at most `wait`, or until `interval` after the digest before. When
 * nothing came for an `interval` the burst is over, and the next notice is a first one again. What the leading case
 * has to say is never held, nor is what holds a link. A burst that holds one notice alone sends it as it is.
 *
 * A digest says of each case what its newest notice says, and nothing that no notice said.
 */
#ifndef CORDON_BURST_H
#define CORDON_BURST_H

#include "engine.h"
#include "letter.h"
#include "store_cases.h"
#include "store_notices.h"

/**
 * Inside a transaction, before a notice of a case is put: decides whether it is held (r->burst is set then; the notice
 * has no work of its own), and opens a burst when it is a first one. r: id, case_id and thread are there.
 * c: its case. to: whom it goes to.
 */
enum err_code burst_gate(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, const struct case_record *c, struct notice_record *r,
                         const char *const *to, size_t n_to, int64_t now, struct err *e);

struct burst_notice;
struct pause;

/** The letter of a digest about n notices, which are not stale; sorts them. pause: how the switch stands. Ends before
 *  letter_put. */
void burst_compose(struct letter *l, struct arena *arena, const struct burst_notice **list,
                   size_t n, const struct pause *pause);
/** Its subject; the list as burst_compose left it. NULL: out of memory. */
const char *burst_subject(struct arena *arena, const struct burst_notice **list, size_t n);

/** Tells what a claimed burst holds, or ends it. Ends the claim. Threads: workers. */
void burst_run(struct engine *g, struct work *w);

#endif
