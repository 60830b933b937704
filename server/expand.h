/* expand.h - a case from `received` to its last step: read the facts, decide, act. */
#ifndef CORDON_EXPAND_H
#define CORDON_EXPAND_H

#include "engine.h"

/** Runs a claimed case as far as it goes now. Ends the claim. Threads: workers. */
void expand_run(struct engine *g, struct work *w);

#endif
