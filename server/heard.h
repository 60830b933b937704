/* heard.h - that a source was heard, noted in the store once in a while and not with each delivery.
 *
 * A write per delivery would be one more row on the way of a push; a write per HEARTBEAT_LAG_MS is none to speak
 * of, and what looks for silence (silence.c) allows for the lag.
 */
#ifndef CORDON_HEARD_H
#define CORDON_HEARD_H

#include "config.h"
#include "store.h"

struct heard;

/** store: borrowed. ERR_NOMEM. */
enum err_code heard_new(struct store *store, struct heard **ret, struct err *e);
void heard_free(struct heard *h);
AUTO_FREEP(struct heard, heard)
/** A delivery, a test or a duplicate came from this source. now: wall ms. Any thread, quick. What cannot be written is
 *  made up for by the next one. */
void heard_note(struct heard *h, const struct config_source *source, int64_t now);

#endif
