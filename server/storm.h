/* storm.h - when many cases of a tenant wait, what they need of Defender is read together.
 *
 * A tenant allows 100 calls a minute (defender-api.md section 7.4): three for each of ten thousand alerts
 * would take five hours. Two hundred alerts are one call, and so are their machines, which the cases that
 * share one share for a while. What both promises rest on stays as it is: every fact is Defender's
 * answer for exactly that id, with the time when it was asked for, and every case is judged by itself.
 */
#ifndef CORDON_STORM_H
#define CORDON_STORM_H

#include "defender.h"

struct storm; /* one tenant's */

/* So long may cases share what was read of a machine. Its tags decide whether it may be isolated at all, so not for
 * long; facts are as old as their oldest part, and no request leaves on older ones than grounds.h allows. */
#define STORM_FRESH_MS (5 * MINUTE_MS)
/* So long may a look that found no action be kept, whatever becomes of the clock by which its reader finds it young. */
#define STORM_BARE_MS MINUTE_MS
/* Cases that are read together. */
#define STORM_CASES_MAX DEFENDER_MANY_MAX

/** clock: borrowed. ERR_NOMEM. */
enum err_code storm_new(const struct clock *clock, struct storm **ret, struct err *e);
void storm_free(struct storm *s);
AUTO_FREEP(struct storm, storm)

/**
 * Only one thread at a time reads for a tenant: while it does, the next ones gather. Claim what is to be
 * read once entered, so that it is as much as there is.
 * Returns 0: entered; else not, and in so many ms it is worth while. Waits for who has entered, but not for one whose
 * Defender hangs: that is known after some seconds, and nobody waits then (storm_hangs) until he has left.
 */
int64_t storm_enter(struct storm *s);
bool storm_hangs(struct storm *s);
/** The same without waiting for who has entered: false, he is at it still. *ret_wait: as storm_enter's. */
bool storm_try_enter(struct storm *s, int64_t *ret_wait);
/** rest_ms: how long nobody is to enter, so that more gathers; 0: at once. */
void storm_leave(struct storm *s, int64_t rest_ms);

/**
 * Speaks for up to `want` of the calls that are free, so that several who ask at a moment do not all count on the
 * same ones. Returns how many; 0 when they would be fewer than `least`. storm_spent gives them back, one by one or
 * together, once they were made or not. Any thread.
 */
int64_t storm_speak_for(struct storm *s, int64_t free_calls, int64_t least, int64_t want);
void storm_spent(struct storm *s, int64_t calls);
/** Calls that somebody has spoken for and not made yet: others are to leave as many free. Any thread. */
int64_t storm_spoken_for(struct storm *s);

/**
 * Isolations that wait take the calls before the reading of cases does; but now and then it is the turn of the reading,
 * and then they are to leave it some. Whoever waits for calls to read says so, again and again: it is forgotten after a
 * few seconds, so that nobody waits for a reader that has gone, and once something was read. Any thread.
 */
void storm_wait_turn(struct storm *s);
bool storm_is_waited_for(struct storm *s);
/** How long ago was anything read for cases? INT64_MAX: never. Any thread. */
int64_t storm_read_ago(struct storm *s);

/**
 * A look at a machine that found no action at all is kept for the request that is to follow it when the calls allow:
 * so one look serves a hundred machines that are asked for a few at a time. It is found until it is forgotten, which it
 * must be before the request leaves; 0: none is kept. Any thread.
 */
void storm_note_bare(struct storm *s, const char *machine_id, int64_t read_ms);
int64_t storm_find_bare(struct storm *s, const char *machine_id);
void storm_forget_bare(struct storm *s, const char *machine_id);

struct storm_case {
    const char *alert_id; /* in, as the next; all else is out, zeroed before */
    /* what was read of its machine for other cases before that does not count (wall) */
    int64_t since_ms;
    bool stubborn; /* in, too: it was to be read with others again and again, in vain */
    bool alone;    /* it could not be read this way: read it alone */
    bool missing;  /* Defender did not list it, which it may do a moment later */
    /* the alert and the machine it names, each with its code, as defender_read gives them;
     * defender_reads_clear it in any case */
    struct defender_reads reads;
    bool machine_missing; /* the machine was not listed: read it alone */
};

/** Reads all of them, entered. Each alert id once; n at most STORM_CASES_MAX. */
void storm_read(struct storm *s, struct defender *d, struct storm_case cases[], size_t n);

/** Looks at many machines, as defender_look does, in as many calls as it needs. Not entered. ERR_INVALID:
 *  look at each alone. */
enum err_code storm_look(struct storm *s, struct defender *d, const char *const ids[], size_t n,
                         struct defender_reads *const looks[], struct err *e);

#endif
