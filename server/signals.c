/* signals.c - see signals.h. */
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "log.h"

/* One of a process, as the signals are. */
static struct {
    sigset_t heard;
    pthread_t early; /* hears who ends it before anything is done */
    bool is_early;
    pthread_t leaver; /* bounds the end */
    bool is_bounded;
    sem_t ended;
    struct timespec until; /* of what follows, before leaver starts */
    int exit_code;
    _Atomic(const char *) waits_for;
} s;

/* A thread that no signal interrupts. */
static bool start_aside(pthread_t *ret, void *(*fn)(void *))
{
    sigset_t all, before;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(ret, NULL, fn, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

/* ---- before it is ready ----------------------------------------------------------------------- */

static void *heed_early_ends(void *unused)
{
    sigset_t ends;
    int number = 0;

    (void)unused;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGUSR1); /* that main will */
    while (sigwait(&ends, &number))
        ;
    if (number == SIGUSR1)
        return NULL;
    log_event(LOG_INFO, "stopped", LOG_STR("why", "it was told to before it was ready"));
    _exit(CLI_DONE);
}

/* A start waits for its database, minutes where another replica migrates that, and main with it. Nothing is under way yet
 * that would be lost with the process. */
void signals_begin(void)
{
    (void)sigemptyset(&s.heard);
    (void)sigaddset(&s.heard, SIGTERM);
    (void)sigaddset(&s.heard, SIGINT);
    (void)sigaddset(&s.heard, SIGHUP);
    /* Threads inherit it: only sigwait sees them. */
    (void)pthread_sigmask(SIG_BLOCK, &s.heard, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    s.is_early = start_aside(&s.early, heed_early_ends); /* else signals wait, too */
}

void signals_begun(void)
{
    if (!s.is_early)
        return;
    s.is_early = false;
    (void)pthread_kill(s.early, SIGUSR1);
    (void)pthread_join(s.early, NULL);
}

/* ---- while it serves -------------------------------------------------------------------------- */

void signals_wait(void (*hup)(void *ctx), void *ctx)
{
    int number = 0;

    while (sigwait(&s.heard, &number) || number == SIGHUP)
        if (number == SIGHUP)
            hup(ctx);
}

/* ---- while it ends ---------------------------------------------------------------------------- */

static void at_once(int number)
{
    _exit(128 + number);
}

/* From here on a second signal ends the process at once: what was accepted is on disk anyway. */
static void arm_second_signal(void)
{
    (void)signal(SIGHUP, SIG_IGN); /* nothing is reloaded any more */
    (void)signal(SIGTERM, at_once);
    (void)signal(SIGINT, at_once);
    (void)pthread_sigmask(SIG_UNBLOCK, &s.heard, NULL);
}

/* What was accepted is on disk, and the next start goes on with what was under way, as after a kill. */
static void *leave_in_time(void *unused)
{
    (void)unused;
    while (sem_clockwait(&s.ended, CLOCK_MONOTONIC, &s.until)) {
        if (errno == EINTR)
            continue;
        log_event(LOG_WARN, "stopped", LOG_STR("waited_for", atomic_load(&s.waits_for)),
                  LOG_STR("why", "not all has ended in time: the next start goes on with it"));
        _exit(s.exit_code);
    }
    return NULL;
}

void signals_ending(int64_t limit_ms, int exit_code)
{
    signals_begun();
    arm_second_signal();
    s.until = clock_cond_until(limit_ms);
    s.exit_code = exit_code;
    (void)sem_init(&s.ended, 0, 0);
    s.is_bounded = start_aside(&s.leaver, leave_in_time); /* else it may take longer */
}

void signals_waits_for(const char *what)
{
    atomic_store(&s.waits_for, what);
}

void signals_ended(void)
{
    if (!s.is_bounded)
        return;
    (void)sem_post(&s.ended);
    (void)pthread_join(s.leaver, NULL);
}
