/* grounds.h - do the grounds for an isolation still hold, when time has passed since the verdict?
 *
 * contract.md section 0: no isolation without the alert and the machine read live, and a verdict of the
 * policy in force. A request that could not leave at once (Defender did not answer, the budget was used)
 * leaves later only if the case would be judged so again, by what Defender and the policy say now.
 */
#ifndef CORDON_GROUNDS_H
#define CORDON_GROUNDS_H

#include "decide.h"
#include "defender.h"
#include "engine.h"
#include "store_cases.h"
#include "store_questions.h"

/* Older facts are read again; decide.h: facts older than this are a doubt. */
#define GROUNDS_FRESH_MS (10 * MINUTE_MS)

/* Of grounds_may_be_newer, for people. */
#define GROUNDS_NEWER                                                                              \
    "this replica has another policy than the yes was given by, and may not have been told of that one yet"

struct grounds {
    struct defender_reads look; /* the machine's actions, read now; actions_code says whether */
    enum err_code code; /* ERR_OK: they hold; ERR_REFUSED: not any more; else not known yet */
    struct err why;     /* of code, for people */
    bool newer; /* not known yet because a person let it past by a policy that may be newer */
};

/** May be acted by what was read then (both wall ms)? A time that is still to come is that of a clock that was set back since. */
bool grounds_are_young(int64_t read_ms, int64_t now);
/** Has a person just said yes by a policy that is not in force here, and of which this replica may not have been told yet? By
 *  the one in force his word would be void. now: wall ms. */
bool grounds_may_be_newer(const struct approval *approval, const struct config *config,
                          const struct engine *g, int64_t now);
/** May the source of this case not isolate, so that another one that may is to be heard (case_strengthen)? Not a hunt: of an
 *  alert that it has made nobody else's right goes beyond its own. */
bool grounds_are_weak(const struct config *config, const struct case_record *c);
/** Has another source pushed c as well, that may isolate? c with what is of case_second. */
bool grounds_have_second(const struct config *config, const struct case_record *c);
/** Whose word the alert of c is by this configuration: its source's; but one that a hunt has made is the hunt's, also where
 *  Defender's answer to the making was lost, and polling or a sender came with the alert before the hunt did: nobody goes beyond
 *  what the hunt may. alert: as Defender has it. */
const char *grounds_source(const struct config *config, const struct case_record *c,
                           const struct json *alert);
/** Would two configurations judge this case alike: policy, what its source may, shadow? alert: as for grounds_source. */
bool grounds_same_terms(const struct config *a, const struct config *b, const struct case_record *c,
                        const struct json *alert);
/**
 * Does a verdict of now ask for the step that an earlier one asked for?
 *
 * nth        the how-manieth step of this handler it is, from 0.
 * type       of an isolation: "full", "selective", either case; NULL: no isolation.
 * approval   what the step needs a person's word for must be what he gave it to: the same reason, machine and
 *            policy; and as many persons, and the same ones, must have been asked.
 * Returns    ERR_REFUSED with a sentence for people; ERR_AGAIN.
 */
enum err_code grounds_compare(const struct verdict *v, const char *handler, size_t nth,
                              const char *type, const char *machine_id,
                              const struct approval *approval, struct err *e);
/** Are they fresh: is c's verdict (its stored JSON) one of rt's terms, and are its facts young enough, by both clocks, and
 *  read after approval, so that the verdict on them was compared with what it was given to? And do they ask for the isolation
 *  of c->machine_id? type, approval: as grounds_read has them. */
bool grounds_hold(const struct case_record *c, const char *type, const struct approval *approval,
                  const struct runtime *rt, struct engine *g, struct arena *a);
/* What an action of another kind than an isolation is to do. */
struct grounds_deed {
    const char *handler, *machine_id;
    const char *arg,
        *value; /* the step's argument of this name, in either case; NULL: none counts */
};
/**
 * Do they ask for d? The case may have been judged anew since it did. What this process did not judge, or has forgotten when,
 * is read and judged again. Writes nothing.
 *
 * c, approval as grounds_read has them.
 * tenant      c's; NULL: Defender cannot be asked now.
 * ret_old     the facts are too old to ask for anything by, or judged by another policy.
 * Returns     ERR_OK; ERR_REFUSED: not any more, with a sentence for people; anything else: not known yet.
 * Threads     workers; may block for one round of reads.
 */
enum err_code grounds_ask(const struct case_record *c, const struct grounds_deed *d,
                          const struct approval *approval, struct runtime *rt,
                          struct runtime_tenant *tenant, struct engine *g, struct arena *a,
                          bool *ret_old, struct err *e);
/**
 * Reads the machine's actions and, where verdict and facts are not fresh, the alert and the machine
 * as well, and decides again. Writes nothing.
 *
 * c          judged: with facts and verdict; machine_id: the machine that is to be isolated. A case that was judged anew
 *            since it asked for it must ask for it still.
 * rt         the configuration in force now; tenant is c's in it.
 * type       "Full" or "Selective": what is to be asked for.
 * judged_now the verdict is of this very run: its facts are fresh, though they are not in c yet.
 * approval   what people have said yes to. When facts and verdict are older than that, all is read and judged
 *            anew, and grounds_compare says whether the yes is to what is judged now. What a replica refuses that may not
 *            have been told of its policy yet is not known yet.
 * ret        written whole; defender_reads_clear its look.
 * Threads    workers; blocks for one round of reads.
 */
void grounds_read(const struct case_record *c, struct runtime *rt, struct runtime_tenant *tenant,
                  const char *type, bool judged_now, const struct approval *approval,
                  struct engine *g, struct arena *a, struct grounds *ret);

#endif
