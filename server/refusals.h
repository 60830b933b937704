/* refusals.h - what the log and people hear of those who are turned away at the senders' door: enough to see what goes on,
 * and so little that nobody fills a disk or a mailbox from outside.
 */
#ifndef CORDON_REFUSALS_H
#define CORDON_REFUSALS_H

#include "auto.h"
#include "clock.h"
#include "err.h"
#include "gate.h"

struct refusals;

struct refusals_options {
    const struct clock *clock; /* borrowed, like gate */
    struct gate *gate;
    /* People should hear of a flood: called in a thread of its own, so it may block. False: it could not be told, and is
     * tried again while the flood lasts. May be NULL. */
    bool (*flooded)(void *engine, const struct gate_flood *f);
    void *engine;
};

/** ERR_NOMEM. */
enum err_code refusals_new(const struct refusals_options *o, struct refusals **ret, struct err *e);
/** Waits for `flooded`. NULL is fine. */
void refusals_free(struct refusals *r);
AUTO_FREEP(struct refusals, refusals)

/** A request was refused: a line, but no more than ration.h lets through. source NULL: nobody knows whose it was. Any
 *  thread. */
void refusals_note(struct refusals *r, const char *source, unsigned status, const char *peer,
                   const char *why);
/** Somebody was turned away for knocking too often: one line when he is the first, then one a minute, for a flood is one
 *  event. People hear of a heavy one. As gate_flood: client NULL only looks whether there is something to tell. Any
 *  thread. */
void refusals_flood(struct refusals *r, const char *client, const char *source, const char *why);

#endif
