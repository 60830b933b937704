/* fill.h - people hear that the store is full, and that it has room again. */
#ifndef CORDON_FILL_H
#define CORDON_FILL_H

#include "engine.h"

/**
 * Stores a notice and has it sent, unless people know: by an earlier process or another replica, too. used, max:
 * bytes. False: it could not be written, and is to be said again; logged. Waits for the disk.
 */
bool fill_tell(struct engine *g, bool full, int64_t used, int64_t max);

#endif
