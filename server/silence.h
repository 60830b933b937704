/* silence.h - a source that goes quiet is noticed: people are told once, and again when it is back.
 *
 * Flows are switched off silently, after 14 days of errors or when a licence ends, and then nothing comes any more and
 * nothing fails (webhook-sources.md section 8.2). A source with `heartbeat: 1h` is watched by a row of work
 * that is due when it would have been silent for so long. What people were told stands in the store, so a restart
 * repeats nothing; and silence does not count while there was no server, which would have heard nobody.
 */
#ifndef CORDON_SILENCE_H
#define CORDON_SILENCE_H

#include "engine.h"
#include "store_heartbeats.h"

/** Watches the sources of the configuration in force that have a heartbeat, and no others. starting: before the
 *  workers of a new process run; else after a reload. Waits for the disk. */
enum err_code silence_watch(struct engine *g, bool starting, struct err *e);

/** What /readyz says of a source that is quiet; in a, NULL without memory. */
const char *silence_words(const struct heartbeat *b, struct arena *a);
/** Looks at a claimed source. Ends the claim. Threads: workers. */
void silence_run(struct engine *g, struct work *w);

#endif
