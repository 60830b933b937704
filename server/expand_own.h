/* expand_own.h - what the two rooms of a case's run share: expand.c does one, expand_crowd.c many together. Nobody else
 * includes it. All in the worker that has claimed the case.
 */
#ifndef CORDON_EXPAND_OWN_H
#define CORDON_EXPAND_OWN_H

#include "act.h"
#include "decide.h"
#include "engine.h"
#include "storm.h"

/* Those that wait for calls come due together. */
#define EXPAND_GRID_MS (SECOND_MS / 2)

struct expansion {
    struct engine *g;
    struct runtime *rt;
    struct work *w;
    struct arena *arena;
    struct case_record c;
    enum case_state before;    /* its verdict, which is not written yet */
    struct step_record *steps; /* of a case that was judged before */
    size_t n_steps;
    bool *voided;  /* of each: withheld by the new verdict */
    bool *renewed; /* of each: the new verdict has other arguments for it */
    struct facts facts;
    struct buf facts_json;
    const char *machine_id;
    struct verdict verdict;
    struct err why; /* of a failed read */
    int64_t now, due;
    struct storm_case *crowd;    /* what was read together with others; NULL: alone */
    struct together *together;   /* those; NULL: alone */
    struct defender_reads *look; /* at its machine, taken for many; NULL: none was needed */
};

/* ---- expand.c ------------------------------------------------------------------------------------ */

/** Loads the case of a claim; false: it could not be, or this configuration does not know it yet, and is given back. In
 *  either case yours to expand_close. */
bool expand_open(struct expansion *x, struct engine *g, struct runtime *rt, struct work *w);
void expand_close(struct expansion *x);
/** Is it to be read and judged: for the first time, or again (expand_is_judged)? */
bool expand_is_new(const struct expansion *x);
bool expand_is_judged(const struct expansion *x);

/** Runs it alone, whatever its state; expand_new: one that is new. The claim is ended. */
void expand_one(struct expansion *x);
void expand_new(struct expansion *x);

/** Facts and verdict out of what was read; false: given back, or failed. tenant: NULL if it is not configured any more. */
bool expand_ready(struct expansion *x, struct runtime_tenant *tenant, struct defender_reads *reads);
/** Acts on the verdict, which is written with the first thing that is done about it. Ends the claim. */
void expand_act(struct expansion *x, struct defender_reads *reads);
/** It could not be read, as x->why says: given back for later, or failed and people told. Ends the claim. */
void expand_not_read(struct expansion *x, enum err_code code);
/** May what failed so go well another time? */
bool expand_may_pass(enum err_code code);
/** The wait until the next of the moments at which all that wait for calls come again. */
int64_t expand_until_grid(int64_t now, int64_t wait_ms);

/* ---- expand_crowd.c ------------------------------------------------------------------------------ */

/** Does a new case with those that wait beside it, if it is one of many. Ends its claim and theirs. false: nothing was
 *  done, it is to be run alone. */
bool expand_with_others(struct expansion *x);

#endif
