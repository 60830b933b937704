/* fault.c - see fault.h. */
#include "fault.h"

#ifdef CORDON_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

void fault_point(const char *where)
{
    static _Atomic long passed;
    static atomic_bool stopped;
    const char *at = getenv("CORDON_FAULT_AT"), *stop = getenv("CORDON_STOP_AT");
    long number = atomic_fetch_add(&passed, 1) + 1;

    log_event(LOG_INFO, "fault_point", LOG_INT("number", number), LOG_STR("where", where));
    log_release();
    if (at && strtol(at, NULL, 10) == number)
        (void)kill(getpid(), SIGKILL);
    /* This thread's own signal: by one of the process's another thread may be stopped first, while this one goes on. */
    if (stop && strcmp(stop, where) == 0 && !atomic_exchange(&stopped, true))
        (void)raise(SIGSTOP);
}

bool fault_twice(void)
{
    const char *twice = getenv("CORDON_TWICE");

    return twice && *twice;
}
#endif
