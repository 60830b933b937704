/* fault.h - fault points: the places between two durable steps, for `make crash` to kill the process at.
 *
 * A build with FAULTS=1 counts them as they are passed. With CORDON_FAULT_AT=N in the environment the process
 * ends with SIGKILL at the Nth, with CORDON_STOP_AT=TEXT it stops (SIGSTOP) at the first of that name; without,
 * each is a log line. With CORDON_TWICE=1 every closure on the database is run, taken back and run again (db.h:
 * they may be run twice). In every other build they are nothing at all.
 *
 *     fault_point("before a commit");
 */
#ifndef CORDON_FAULT_H
#define CORDON_FAULT_H

#include <stdbool.h>

#ifdef CORDON_FAULTS
/** where: for the log. Any thread. */
void fault_point(const char *where);
/** Is every closure to be run twice? Any thread. */
bool fault_twice(void);
#else
static inline void fault_point(const char *where)
{
    (void)where;
}
static inline bool fault_twice(void)
{
    return false;
}
#endif

#endif
