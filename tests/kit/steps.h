/* steps.h - how much SQLite does: steps of its machine, counted, where a clock would tell of the host.
 *
 * A statement that finds its rows by an index takes as many however many others there are; one that looks at all of them
 * takes more with each.
 */
#ifndef KIT_STEPS_H
#define KIT_STEPS_H

#include <stdint.h>

/** Databases that this process opens from now on are counted, on whatever thread. */
void steps_watch(void);
/** Those opened from now on are not. */
void steps_unwatch(void);
/** Taken so far, in all of them; exact to a hundred for each statement. */
int64_t steps_taken(void);

#endif
