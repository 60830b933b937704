/* ways.h - the ways out in their order: which one a notice takes, and what becomes of one that fails.
 *
 *   works --fails--> failing --for mail.fallback.after--> told (the next way is used) --works--> works
 *
 * A notice that waited for so long at one way is tried at the next; and when a way has failed for so long,
 * every notice goes to the next at once. Then people are told, once, by a notice that takes the same ways;
 * /readyz and cordon_way_failing_seconds say it from the first failure on. A way that can be asked without
 * sending (SMTP that does not let us in) is asked every WAYS_LOOK_MS until it works again, and others are whenever there
 * is a notice.
 * What a way refuses for good is refused, unless nobody would be told then: that is for the next one at once, and waits
 * for one before it that only fails. What a way goes on not to take, although it takes others, is tried as any other and
 * says nothing of the way: else people would be told for days that none leaves by it, and that they do again.
 */
#ifndef CORDON_WAYS_H
#define CORDON_WAYS_H

#include "engine.h"
#include "store_ways.h"
#include "way.h"

#define WAYS_LOOK_MS (5 * MINUTE_MS) /* a wrong password tried more often locks the account */

struct ways_sent {
    struct {
        const char *name, *words;
        bool ok;
        bool let_in; /* not ok: the server let us in and took nothing */
        bool
            alone; /* not ok: it takes others, or was not asked: that says something of this one alone */
        char why[ERR_TEXT_SIZE];
    } tries[CONFIG_WAYS_MAX]; /* in their order */
    size_t n;
    /* wall ms: when to try again at the latest, because the next way may be used then; 0: no such time */
    int64_t by;
    /* before that no try makes sense at any of them; 0: who was tried did not say so */
    int64_t retry_ms;
};

/**
 * Sends m to those who have not got it, by the first way that is to be used, and by the next ones where it fails.
 *
 * ways, n   in their order; those of the configuration in force.
 * created   when the notice was made, wall ms.
 * results   m->n elements, always filled.
 * ret       what was tried: write it with ways_note in the transaction that writes the fates.
 * Threads   workers.
 */
void ways_send(struct engine *g, struct runtime *rt, struct way *const *ways, size_t n,
               const struct way_mail *m, int64_t created, struct mail_result *results,
               struct ways_sent *ret);

/** Inside a transaction: notes which ways worked and which did not; tells people that one works again of which
 *  they were told. Kick the engine after the commit. */
enum err_code ways_note(struct db_tx *tx, struct engine *g, struct runtime *rt, struct arena *arena,
                        const struct ways_sent *s, int64_t now, struct err *e);

/** Has /readyz say what an earlier process knew. Before the workers run, and after a reload. Reads the store. */
enum err_code ways_watch(struct engine *g, struct err *e);

/** A claimed way that fails: tells people when it is time, asks it whether it works. Ends the claim. */
void ways_run(struct engine *g, struct work *w);

#endif
