/* fault.h - fault points: the places between two durable steps, for `make crash` to kill the process at.
 *
 * A build with FAULTS=1 counts them as they are passed. With CORDON_FAULT_AT=N in the environment the process
 * ends with SIGKILL at the Nth, with CORDON_STOP_AT=TEXT it stops (SIGSTOP) at the first of that name; without,
 * each is a log line. In every other build they are nothing at all.
 *
 *     fault_point("before a commit");
 */
#ifndef CORDON_FAULT_H
#define CORDON_FAULT_H

#ifdef CORDON_FAULTS
/** where: for the log. Any thread. */
void fault_point(const char *where);
#else
static inline void fault_point(const char *where)
{
    (void)where;
}
#endif

#endif
