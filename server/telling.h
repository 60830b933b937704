/* telling.h - what the steps that tell people have in common: where the case stands is read in the transaction
 * that stores the notice, so it cannot be older than what the ledger says. */
#ifndef CORDON_TELLING_H
#define CORDON_TELLING_H

#include "act.h"
#include "mute.h"
#include "notice.h"

struct telling {
    struct step *s;
    struct notice n; /* whom and how, by the handler; kind, why and isolation are filled here */
    struct case_record c; /* filled here: what people were told by now, which s->c need not know */
    struct isolation_record isolation;
    struct mute_hold mute; /* filled here, too */
    const char *nobody;    /* and this: why there is nobody to tell; NULL: there is */
    bool known;            /* and this: all of them know by a mail that there was meanwhile */
    int64_t now;
};

/** Stores the notice, unless a silence withholds it, ends the step, kicks the engine. Where there is nobody to tell the
 *  step has failed. */
enum outcome telling_run(struct telling *t, struct err *e);

#endif
