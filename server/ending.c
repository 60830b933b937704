/* ending.c - see ending.h. */
#include "ending.h"

#include <string.h>

static const char *const names[ENDINGS] = {
    [ENDING_NOTHING] = "nothing",     [ENDING_TOLD] = "told",
    [ENDING_ISOLATED] = "isolated",   [ENDING_RELEASED] = "released",
    [ENDING_REQUESTED] = "requested", [ENDING_DROPPED] = "dropped",
    [ENDING_REFUSED] = "refused",     [ENDING_FAILED] = "failed",
};

const char *ending_name(enum ending ending)
{
    return names[ending];
}

static enum ending of_isolation(const struct isolation_record *i, int64_t now, const char **ret_why)
{
    switch (i->state) {
    case ISOLATION_ISOLATED:
    case ISOLATION_RELEASING: /* still in force */
        return ENDING_ISOLATED;
    case ISOLATION_RELEASED:
        *ret_why = i->why;
        return ENDING_RELEASED;
    case ISOLATION_FAILED:
        *ret_why = i->why;
        return ENDING_FAILED;
    default:
        if (now - i->requested < ENDING_REQUESTED_MS)
            return ENDING_NONE_YET;
        *ret_why = "Defender was asked and has not confirmed it yet; a mail tells how it ends";
        return ENDING_REQUESTED;
    }
}

/* No isolation was ever asked for: because none was wanted, or because something forbade it? */
static enum ending of_steps(const struct case_record *c, const struct step_record *steps, size_t n,
                            const char **ret_why)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(steps[i].handler, "isolate") == 0 && steps[i].state != STEP_DONE &&
            steps[i].state != STEP_SKIPPED) {
            *ret_why = steps[i].why;
            return steps[i].state == STEP_WITHHELD ? ENDING_REFUSED : ENDING_FAILED;
        }
    return c->told ? ENDING_TOLD : ENDING_NOTHING;
}

enum ending ending_of(const struct case_record *c, const struct isolation_record *isolation,
                      const struct step_record *steps, size_t n_steps, int64_t now,
                      const char **ret_why)
{
    *ret_why = NULL;
    switch (c->state) {
    case CASE_WAITING:
        if (!isolation) /* for a person's answer */
            return ENDING_NONE_YET;
        return of_isolation(isolation, now, ret_why);
    case CASE_DONE:
        return isolation ? of_isolation(isolation, now, ret_why)
                         : of_steps(c, steps, n_steps, ret_why);
    case CASE_FAILED:
        *ret_why = c->why;
        return ENDING_FAILED;
    case CASE_DROPPED:
        *ret_why = c->why;
        return ENDING_DROPPED;
    default:
        return ENDING_NONE_YET;
    }
}
