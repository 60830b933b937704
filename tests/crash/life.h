/* life.h - one life of a cordon that may end at any moment. */
#ifndef CRASH_LIFE_H
#define CRASH_LIFE_H

#include "kit/house.h"

/**
 * Starts cordon on h's configuration and store; sets h->pid. Not house_cordon_start: nobody waits until it is
 * ready, and its log goes straight into the file, for a mail's child process that outlives its parent keeps a
 * pipe open. The environment is the caller's.
 */
void life_start(struct house *h);
/** Sends a signal (0: none) and reaps; returns the status as waitpid has it. */
int life_end(struct house *h, int number);
/** Rows of work of cases, isolations and notices that are left, as /metrics has them; NULL, or without them: -1. */
int64_t life_work_left(const char *metrics);

#endif
