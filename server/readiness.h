/* readiness.h - can a push be accepted, and what is wrong beyond that: what /readyz answers and the console shows. */
#ifndef CORDON_READINESS_H
#define CORDON_READINESS_H

#include "engine.h"
#include "pause.h"

/**
 * Writes {"ready", "parts": {"store": {"ok", "why", "since"}, …}, "degraded"}. Ready means that a push can be accepted; what is
 * wrong beyond that is named but keeps nobody away: an accepted alert is worth more than one turned away because
 * Defender does not answer. Returns whether it is ready. Threads: any that may wait for the store.
 */
bool readiness_write(struct engine *g, bool stopping, struct buf *out);
/** The parts of the configuration in force, as health_list; in a. */
unsigned readiness_parts(struct engine *g, struct arena *a, struct health_part **ret);
/** How the kill switch stands; false: that cannot be read. Texts live in a. */
bool readiness_pause(struct engine *g, struct arena *a, struct pause *ret);

#endif
