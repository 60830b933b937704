/* reconcile.h - what others do about isolation at Defender finds its way into the ledger, unasked.
 *
 * Every few minutes, per tenant, the list of Isolate and Unisolate actions is read from a durable watermark on:
 *
 *     a machine that somebody else isolates      is adopted: in the ledger, reviewed, never repeated, and
 *                                                released only when a person names the machine
 *     a machine of the ledger that was released  is not isolated any more; people are told in its thread
 *
 * What cordon itself has under way is left to its own work, which looks closer. The list is a call of its own every
 * time and no more, whatever is in it; when the tenant's calls are scarce it waits.
 */
#ifndef CORDON_RECONCILE_H
#define CORDON_RECONCILE_H

#include "engine.h"

/* A list that was not read for so long is behind: it is read however scarce calls are, and /readyz names it. */
#define RECONCILE_BEHIND_MS (15 * MINUTE_MS)

/** Sees to it that every tenant of the configuration in force is read; at start and after a reload. */
enum err_code reconcile_start(struct engine *g, struct err *e);
/** Reads a tenant's list: a claimed row of work. Ends the claim. Threads: workers. */
void reconcile_run(struct engine *g, struct work *w);

#endif
