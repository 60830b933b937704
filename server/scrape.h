/* scrape.h - what /metrics answers: the counters, and gauges of the store and of this process as they stand now. */
#ifndef CORDON_SCRAPE_H
#define CORDON_SCRAPE_H

#include "buf.h"
#include "engine.h"
#include "http.h"

/**
 * Writes all of it as Prometheus text. What cannot be read just now is left out.
 *
 * senders     whose connections are counted; NULL: not listening yet.
 * version     of the program.
 * started_ms  wall clock of its start.
 * Threads: any that may wait for the store.
 */
void scrape_write(struct engine *g, const struct http_server *senders, const char *version,
                  int64_t started_ms, struct buf *out);

#endif
