/* ending.h - what came of a case, in one word: pure, from rows of the store alone.
 *
 * For whoever pushed it (status.c). The word is never ahead of the facts: `isolated` is said only when Defender
 * said so.
 */
#ifndef CORDON_ENDING_H
#define CORDON_ENDING_H

#include "store_cases.h"
#include "store_isolations.h"

/* A request that Defender has taken and the machine has not followed after so long is an end for a program that
 * waits: an online machine follows within a minute or two, an absent one may take three days
 * (defender-api.md section 4.5). People hear of the real end by mail. */
#define ENDING_REQUESTED_MS (5 * MINUTE_MS)

/* In the order of how much a person should look. */
enum ending {
    ENDING_NONE_YET,  /* at work */
    ENDING_NOTHING,   /* the rule asks for nothing */
    ENDING_TOLD,      /* no isolation was asked for; people were told */
    ENDING_ISOLATED,  /* Defender says that it succeeded */
    ENDING_RELEASED,  /* it was isolated, and released since */
    ENDING_REQUESTED, /* Defender was asked and has not confirmed it */
    ENDING_DROPPED,   /* a person's word */
    ENDING_REFUSED,   /* a rule wanted it and the policy did not let it */
    ENDING_FAILED,    /* it could not be done, or the alert not be read */
    ENDINGS
};

/** Was a step that acts, number `at` of steps, left out because another was not done? It says why; where its `if` asks for a
 *  failure that did not come it was not wanted. */
bool ending_was_cut_short(const struct step_record *steps, size_t at);
/** "isolated" …; NULL for ENDING_NONE_YET. Static storage. */
const char *ending_name(enum ending ending);

/**
 * How c ended, or that it did not yet.
 *
 * isolation  c's, NULL when it has none. steps: c's; needed only when it is done without an isolation.
 * ret_why    for people, or NULL; borrowed from the rows, or static.
 */
enum ending ending_of(const struct case_record *c, const struct isolation_record *isolation,
                      const struct step_record *steps, size_t n_steps, int64_t now,
                      const char **ret_why);

#endif
