/* standing.h - where a case stands at this moment, as a notice says it. */
#ifndef CORDON_STANDING_H
#define CORDON_STANDING_H

#include "notice.h"

/**
 * Inside a transaction: fills n->kind, n->why and n->isolation from the steps of c and from its isolation as the ledger
 * has it now, so that a notice put in the same transaction cannot be older than that.
 *
 * isolation   room for it; n->isolation points there when the case has one.
 */
enum err_code standing_read(struct db_tx *tx, struct arena *a, const struct case_record *c,
                            struct notice *n, struct isolation_record *isolation, struct err *e);

/** How an isolation that is settled stands: fills n->kind and, where there is one, n->why. */
void standing_end(const struct isolation_record *r, struct notice *n);

#endif
