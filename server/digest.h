/* digest.h - once a day, people hear what the day came to, and what shadow mode held back of it: what would have been
 * done, by which rule, on which machines. The mail carries the head of the audit, so that it is kept with people and
 * elsewhere than in the store; therefore it comes on a quiet day, too. */
#ifndef CORDON_DIGEST_H
#define CORDON_DIGEST_H

#include "engine.h"

/** Makes the daily work where the store has none yet. Before engine_start. */
enum err_code digest_watch(struct engine *g, struct err *e);
/** One digest: told and written down in one transaction; then due again the next day. Ends the claim. */
void digest_run(struct engine *g, struct work *w);

#endif
