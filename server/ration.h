/* ration.h - lines of the log that strangers can cause: so many a second, and the rest is counted, so that nobody fills the
 * disk from outside.
 */
#ifndef CORDON_RATION_H
#define CORDON_RATION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RATION_LINES 20 /* a second */

/* Of lines of one kind. */
struct ration {
    pthread_mutex_t lock; /* of what follows */
    int64_t second;       /* of the wall clock, that `lines` counts in */
    int64_t lines, withheld;
};

void ration_init(struct ration *r);
void ration_clear(struct ration *r);
/** Is there room for one more line? now_ms: wall, of the line and not of what it is about: what began at different times would
 *  begin a second each. event: names the line that tells, before the first one of another second, how many were withheld.
 *  Any thread. */
bool ration_takes(struct ration *r, int64_t now_ms, const char *event);

#endif
