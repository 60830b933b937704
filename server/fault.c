/* fault.c - see fault.h. */
#include "fault.h"

#ifdef CORDON_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

void fault_point(const char *where)
{
    static _Atomic long passed;
    const char *at = getenv("CORDON_FAULT_AT");
    long number = atomic_fetch_add(&passed, 1) + 1;

    log_event(LOG_INFO, "fault_point", LOG_INT("number", number), LOG_STR("where", where));
    if (at && strtol(at, NULL, 10) == number)
        (void)kill(getpid(), SIGKILL);
}
#endif
