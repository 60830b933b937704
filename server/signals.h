/* signals.h - who ends the server is heard at every moment: before it is ready, while it serves, while it ends.
 *
 *     signals_begin     first of all; from here to signals_begun whoever ends the process ends it at once
 *     signals_begun     things are under way from here on
 *     signals_wait      until somebody ends it
 *     signals_ending    the end is bounded, and a second signal ends it at once
 *     signals_ended
 *
 * All of them are called by the thread that runs main.
 */
#ifndef CORDON_SIGNALS_H
#define CORDON_SIGNALS_H

#include <stdint.h>

/** Before any other thread is started: all inherit that they are interrupted by none. Never fails; without the means to
 *  hear a signal early it waits until signals_wait. */
void signals_begin(void);
/** Does nothing when it has been called before. */
void signals_begun(void);
/** Returns at SIGTERM or SIGINT. hup: called with ctx at each SIGHUP; must not wait. */
void signals_wait(void (*hup)(void *ctx), void *ctx);
/** What has not ended limit_ms from now does not keep the process: it says what it waited for, and exits with exit_code. */
void signals_ending(int64_t limit_ms, int exit_code);
/** What the end waits for from now on, for the one who reads why it took too long. what: static. */
void signals_waits_for(const char *what);
/** All has ended. */
void signals_ended(void);

#endif
