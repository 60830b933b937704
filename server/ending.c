/* ending.c - see ending.h. */
#include "ending.h"

#include <string.h>

#include "json.h"

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

bool ending_was_cut_short(const struct step_record *steps, size_t at)
{
    AUTO(json_freep) struct json *args = NULL;
    const struct json *wanted;
    bool done = true; /* what it was to come after */

    if (steps[at].state != STEP_SKIPPED)
        return false;
    (void)json_parse(steps[at].args, strlen(steps[at].args), &args, NULL);
    wanted = json_first(json_get(args, "if"));
    for (size_t i = 0; i < at; i++) {
        AUTO(json_freep) struct json *before = NULL;
        const char *then;

        if (wanted && strcmp(steps[i].handler, json_name(wanted)) == 0)
            done = steps[i].state == STEP_DONE;
        if (steps[i].state != STEP_FAILED && steps[i].state != STEP_WITHHELD)
            continue;
        (void)json_parse(steps[i].args, strlen(steps[i].args), &before, NULL);
        then = json_get_string(before, "on_failure");
        if (then && strcmp(then, "stop") == 0)
            return true;
    }
    return !done && json_string(wanted) && strcmp(json_string(wanted), "done") == 0;
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
        /* Nothing is on its way: it waits for its turn, or Defender took nothing, and cordon tries on. */
        if (i->state == ISOLATION_REQUESTED && !i->posted)
            return ENDING_NONE_YET;
        if (now - (i->sent ? i->sent : i->requested) < ENDING_REQUESTED_MS)
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
            (steps[i].state != STEP_SKIPPED || ending_was_cut_short(steps, i))) {
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
