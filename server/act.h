/* act.h - the steps of a judged case, one handler after the other. */
#ifndef CORDON_ACT_H
#define CORDON_ACT_H

#include "cordon/handler.h"
#include "engine.h"
#include "facts.h"
#include "store_cases.h"

/* What the first transaction of a run writes before anything of its own: the verdict that the run acts on. A
 * case that was judged a moment ago so needs one sync until its request may leave, and not two. */
struct opening {
    db_fn fn;
    void (*written)(void *arg); /* once it is on disk */
    void *arg;
};

/* Many cases are acted on at once: what Defender is asked about their machines before they are isolated is left until
 * the last of them is judged, and then is one question about all. */
#define TOGETHER_MAX 200
struct together {
    /* begun meanwhile, due when all of them are, or a little later */
    int64_t isolations[TOGETHER_MAX];
    size_t n;
};

/* What a handler sees and may use. Borrowed for the call, but for what is said. */
struct step {
    struct engine *engine;
    struct runtime *runtime; /* the configuration this run began with */
    struct runtime_tenant *tenant;
    struct work *work; /* the case's claim: end a transaction with work_keep */
    struct case_record *c;
    const struct facts *facts;
    const struct json *args; /* object, templates expanded; checked against the handler's table */
    int64_t n;               /* number of this step */
    /* the machine's actions as read together with the facts, or NULL; a handler that uses them takes them away (sets
     * NULL) */
    struct defender_reads *look;
    struct together *together; /* NULL: this case is acted on alone */
    struct arena *arena;       /* lives as long as the run */
    bool written;           /* the handler has written its step's end in a transaction of its own */
    struct opening opening; /* of act.c: fn NULL when there is none, or it is on disk */
};

/** db_write for handlers: all that a run writes goes through here. Once it has written, the lines of this thread wait
 *  until the handler waits for an answer, or returns (log_gather). */
enum err_code step_write(struct step *s, db_fn fn, void *arg, struct err *e);

/* A run over the steps of a case that is ACTING, or will be by its opening. */
struct acting {
    struct engine *g;
    struct runtime *rt;
    struct work *w; /* the case's claim */
    struct case_record *c;
    const struct facts *facts;
    struct defender_reads *look; /* as in struct step; may be NULL */
    struct together *together;   /* likewise */
    struct step_record *steps;   /* their states are moved along */
    size_t n_steps;
    const struct opening *opening; /* NULL: the verdict is in the store already */
    struct arena *arena;
};

/** Runs the steps that wait, in order, then settles the case. Ends the claim. Threads: workers. */
void act_run(const struct acting *a);

/**
 * Inside a transaction: all steps of c have ended; moves it to WAITING while its isolation is not
 * settled, else tells people how that ended if they do not know yet, and moves it to DONE. One that is DROPPED or FAILED
 * stays so.
 */
enum err_code act_settle(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, struct case_record *c, int64_t now, struct err *e);

#endif
