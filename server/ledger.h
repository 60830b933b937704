/* ledger.h - what remains to be done about an isolation once it is known how the request ended.
 *
 *     isolated   people are asked at its time of review whether that is still right, and again until somebody
 *                extends the time or releases the machine; the rule may say that it ends by itself; now and
 *                then it is looked whether somebody has released it at Defender
 *     releasing  the release is asked for once, and followed (releasing.h)
 *     failed     because the machine stayed absent: it is looked out for (lookout.h)
 *
 * One row of work per isolation, of the kind WORK_LEDGER; its id is the isolation's.
 */
#ifndef CORDON_LEDGER_H
#define CORDON_LEDGER_H

#include "defender.h"
#include "engine.h"
#include "notice.h"
#include "store_isolations.h"

/* One run over one row; releasing.c and lookout.c share it. */
struct ledger_turn {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant; /* NULL: it is not configured any more */
    struct arena *arena;
    struct work w;
    struct isolation_record row;
    /* what a transaction makes of it, once it went through (ledger_write) */
    struct isolation_record after;
    int64_t now;
    bool anew; /* the machine is isolated all the same, by what came after row: for ledger_tell */
};

/** Inside a transaction, after r was moved: puts the work that remains about it, or none. Whoever holds its row
 *  of work checks his claim first (work_again). */
enum err_code ledger_take(struct db_tx *tx, struct arena *a, const struct isolation_record *r,
                          int64_t now, struct err *e);
/** Inside a transaction: a notice about r in the thread of the case that asked for it, or by itself when none did.
 *  body: ours; NULL: none. */
enum err_code ledger_tell(struct db_tx *tx, const struct ledger_turn *t,
                          const struct isolation_record *r, enum notice_kind kind, const char *why,
                          const char *body, struct err *e);
/** When r, which is ISOLATED, ends by itself because the rules of all its cases say so, wall ms; 0: never. */
enum err_code ledger_release_at(struct db_tx *tx, struct arena *a, const struct isolation_record *r,
                                int64_t *ret, struct err *e);
/** Have people heard of r? Else its end is no news to them. */
static inline bool ledger_is_known(const struct isolation_record *r)
{
    return r->case_id || r->reminded;
}
/** By when r, which Defender has confirmed, was certainly in force: by its clock (wall ms), for deed_was_released. */
int64_t ledger_in_force_by(const struct isolation_record *r);
/** Does a look show that r, which Defender has confirmed, was released since, and that the machine is free? In doubt it
 *  is not: a list may be behind our own isolation. */
bool ledger_is_free(const struct isolation_record *r, const struct defender_reads *look);
/** The isolation of the look that is in force in place of r's, which somebody ended for certain; NULL: none is. It is
 *  somebody else's, or of another episode: nothing that is done about r is to touch it. */
const struct defender_action *ledger_in_its_place(const struct isolation_record *r,
                                                  const struct defender_reads *look);
/** Has somebody isolated the machine beside r, which is ours? A release of ours would end that as well, and no rule is to. NULL: nobody
 *  has, or what is in force is in the place of r (ledger_in_its_place), which a release does not touch; else words for people. */
const char *ledger_beside(const struct isolation_record *r, const struct defender_reads *look,
                          struct arena *a);
/** Shadow mode (safety.mode) is everything but the acting: why no rule releases anything by this configuration, for people; NULL: it may. */
const char *ledger_shadow(const struct runtime *rt);
/** Has another alert of the machine of t->row come since then (wall ms) that keeps it isolated for now: one whose case is at work
 *  (*ret_waits) or, with open_too, that is High and open, as far as anybody can tell? With open_too nothing spoke against the release
 *  then (find_against): what is at work has come, or come back, since. NULL: none; else words for people. Blocks for a read of each. */
const char *ledger_come_since(struct ledger_turn *t, int64_t since, bool open_too, bool *ret_waits);
/** Why r is over that somebody has released at Defender, for people. anew: the isolation that came after it; NULL: none. */
const char *ledger_why_released(struct arena *a, const struct defender_action *anew);
/** db_write for a transaction that fills t->after and leaves t->row as it is: it may run twice. Then
 *  t->row is t->after. */
enum err_code ledger_write(struct ledger_turn *t, db_fn fn, void *arg, struct err *e);
/** Logs and counts a move that is on disk, and wakes whoever waits. */
void ledger_moved(const struct ledger_turn *t, enum isolation_state before);
/** The transaction went wrong: the claim goes back, and the row comes again. */
void ledger_not_written(const struct ledger_turn *t, const struct err *e);

/** Takes over machines that an older version isolated. Before the engine starts. */
enum err_code ledger_watch(struct engine *g, struct err *e);
/** Runs a claimed row. Ends the claim. Threads: workers. */
void ledger_run(struct engine *g, struct work *w);

#endif
