/* flood.h - people hear of a flood at the senders' door: once, however many requests it is. */
#ifndef CORDON_FLOOD_H
#define CORDON_FLOOD_H

#include "engine.h"
#include "gate.h"

/** Stores a notice about a heavy flood and has it sent, unless one was made within GATE_PEOPLE_MS, by an earlier
 *  process too. Waits for the disk: none of HTTP's threads. False: it could not be stored, which is logged. */
bool flood_tell(struct engine *g, const struct gate_flood *f);

#endif
