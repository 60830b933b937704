/* life.h - one life of a cordon that may end at any moment. */
#ifndef CRASH_LIFE_H
#define CRASH_LIFE_H

#include "kit/house.h"

/* Mails that one kill, stop or cut can double: engine.c, SHARE_NOTICES. Who has sent one and cannot record it sends it again. */
#define LIFE_UNDER_WAY 3

/**
 * Starts cordon on h's configuration and store; sets h->pid. Not house_cordon_start: nobody waits until it is
 * ready, and its log goes straight into the file, for a mail's child process that outlives its parent keeps a
 * pipe open. The environment is the caller's.
 */
void life_start(struct house *h);
/** Sends a signal (0: none) and reaps; returns the status as waitpid has it. */
int life_end(struct house *h, int number);
/** The body of a GET of the admin side (heap); NULL when there is no whole answer of 200. */
char *life_ask(const struct house *h, const char *path);
/** Rows of work of cases, isolations and notices that are left, as /metrics has them; NULL, or without them: -1. */
int64_t life_work_left(const char *metrics);
/** The id of the nth machine. */
void life_machine(unsigned n, char out[41]);
/** A header of a raw mail, on one line; "" when absent. Returns out. */
const char *life_header(const char *raw, const char *name, char out[200]);
/** The notice that a raw mail is, by its Message-ID, which is the same each time that it is sent; 0: it names none. */
int64_t life_notice_of(const char *raw);

/**
 * Something that must not be: is said, and counted in *faults. The run goes on, for more may come to light.
 * Threads: any.
 */
void life_fault(unsigned *faults, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Is there a word of a sanitizer or an assert in the log, a secret or, errors, an event that is one? Each line with one is
 *  a fault. */
void life_check_log(const struct house *h, bool errors, unsigned *faults);

#endif
