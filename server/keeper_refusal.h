/* keeper_refusal.h - people are told that a configuration which was to come into force did not.
 *
 * Whoever has just named another protected machine believes that it is protected. So a part of /readyz says that what the
 * files say is not in force, and why, and a mail does: one for each thing that is wrong, and one when it is over. One thread.
 */
#ifndef CORDON_KEEPER_REFUSAL_H
#define CORDON_KEEPER_REFUSAL_H

#include "engine.h"

#define KEEPER_REFUSAL_PART "configuration" /* of /readyz */

struct keeper_refusal {
    char why[ERR_TEXT_SIZE]; /* "": what was to be read last is in force */
    bool owed;               /* people are to be told */
    int64_t due_ms;          /* mono: and not before */
};

/* Zeroed: whether people were told of one before, by an earlier run on this host, is not known. */
struct keeper_refusals {
    struct keeper_refusal asked;   /* of all that a person asked for */
    struct keeper_refusal changed; /* of files that changed by themselves */
    bool told_over;                /* or there was nothing to tell */
    bool unread;     /* the file itself says something else, which nobody asked for yet */
    int64_t next_ms; /* mono: the store is not tried before */
};

/** What was read did not come into force. asked: by a person's word. waits: it is tried again, as it was the store's fault:
 *  nobody is mailed. */
void keeper_refusal_note(struct keeper_refusals *r, struct engine *g, bool asked, bool waits,
                         const char *why);
/** It did. all: nothing else is left out, neither. */
void keeper_refusal_over(struct keeper_refusals *r, struct engine *g, bool all);
/** Mails what people are owed. Waits for the store, unless that is known to be out of reach; what it does not take is tried
 *  again by a later call. */
void keeper_refusal_tell(struct keeper_refusals *r, struct engine *g);

#endif
