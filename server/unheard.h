/* unheard.h - what is told in the place of a notice that nobody got, and nobody will.
 *
 * A post that its webhook never took goes to mail.to, a mail that no server took for anybody to webhooks: as things stand by
 * then. Where there is no other way either, the log says that nobody was told.
 */
#ifndef CORDON_UNHEARD_H
#define CORDON_UNHEARD_H

#include "engine.h"
#include "store_notices.h"

/** Inside the transaction that ends n, which reached nobody. arena: lives as long as it. Kick the engine after the commit. */
enum err_code unheard_tell(struct db_tx *tx, struct engine *g, struct runtime *rt,
                           struct arena *arena, const struct notice_record *n, int64_t now,
                           struct err *e);

#endif
