/* mute.h - silences: for a while people are not told of the alerts that a condition matches.
 *
 * An operator puts one up at run time (mute_desk.h): a condition as rules have it, an end, an author and a reason.
 * It is a row of the store: it survives restarts and holds for every replica. While it is active, the notices of a
 * case whose facts it matches are withheld, step by step ("silenced by maria until …: reason" is what the step
 * says), and counted. Promise 1 of cordon holds all the same: its beginning is mailed, and its end with a list of
 * what it withheld; where there is nobody to mail that to, nothing is withheld.
 *
 * It never hides an isolation, or anything else that is more than an alert for information. Told as ever are:
 *   - a case whose verdict has a step that acts, whatever became of that step, or that is in doubt;
 *   - every notice but [ALERT]: isolations, questions, failures, cordon's own.
 * In doubt people are told: when the condition is unknown of a case (a field is missing), or a silence cannot be
 * read.
 *
 * Nobody proves who he is to the admin address, so author and second person are what they say, as with questions.
 */
#ifndef CORDON_MUTE_H
#define CORDON_MUTE_H

#include "engine.h"
#include "facts.h"
#include "match.h"
#include "store_cases.h"
#include "store_mutes.h"

#define MUTE_MAX_MS   (30 * DAY_MS) /* longer than that is a rule's business */
#define MUTE_MIN_MS   MINUTE_MS
#define MUTES_MAX     50   /* open ones: each is judged for each notice */
#define MUTE_WHEN_MAX 2000 /* bytes of a condition */

/** The condition of a silence; lives in a; NULL: it is {}, and matches everything. ERR_INVALID names the fault, its
 *  place and the nearest valid word. It reads neither the environment nor files. ret_map: the map that it was compiled
 *  of; may be NULL. */
enum err_code mute_compile(struct arena *a, const char *matcher, const struct condition **ret,
                           const struct yaml_node **ret_map, struct err *e);
/** Is it certain that it matches? ERR_NOMEM or ERR_OK. */
enum err_code mute_judge(const struct condition *c, const struct facts *f, int64_t now,
                         struct arena *a, bool *ret, struct err *e);
/** Would a matched case of this verdict be told as ever? Why: for people; NULL: it is withheld. a: scratch. */
const char *mute_passes(struct arena *a, const char *verdict_json);
/** "silenced by maria until 2026-…: a pentest"; lives in a; NULL: out of memory. */
const char *mute_words(const struct mute_record *m, struct arena *a);
/** Is there anybody to tell of a silence's end? */
bool mute_can_be_told(const struct runtime *rt);

struct mute_hold {
    const struct mute_record *m; /* that matches; NULL: none does */
    const char *why;             /* the notice is withheld: mute_words; NULL: it is not */
};

/** The active silence that matches these facts. Outside of a transaction, for expressions take their time. Never
 *  fails: in doubt none does. Threads: workers. */
void mute_find(struct engine *g, struct arena *a, const struct facts *f, int64_t now,
               struct mute_hold *ret);
/** Inside the transaction that would put a NOTICE_ALERT about case_id: is it withheld? Then h->why says so, and that is
 *  on record. */
enum err_code mute_withhold(struct db_tx *tx, struct arena *a, struct mute_hold *h, int64_t case_id,
                            const struct facts *f, int64_t now, struct err *e);

/** What a tale of a silence is told by. */
struct mute_tale {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    int64_t now;
};

/** Inside a transaction: tells that m was proposed or began (its state says which), and puts `order` on record. */
enum err_code mute_announce(struct db_tx *tx, const struct mute_tale *t,
                            const struct mute_record *m, const char *who, const char *order,
                            struct err *e);
/** May it end now? Not while there is nobody to tell what it withheld. */
bool mute_may_close(const struct mute_tale *t, const struct mute_record *m);
/** Inside a transaction: ends m, tells what it withheld. who NULL: it ran out. Its work is the caller's to end. */
enum err_code mute_close(struct db_tx *tx, const struct mute_tale *t, struct mute_record *m,
                         const char *who, const char *why, struct err *e);

/** Ends a silence whose time has come. Ends the claim. Threads: workers. */
void mute_run(struct engine *g, struct work *w);

#endif
