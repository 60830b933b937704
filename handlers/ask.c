/* ask.c - a person must say yes before the steps behind this one may act.
 *
 * The case waits, and no thread with it: question.c writes the question, mails it, and lets the case go on with the
 * answer. What the answer does to the steps behind is done there, so this runs once.
 */
#include "cordon/handler.h"

#include <inttypes.h>
#include <strings.h>

#include "act.h"
#include "question.h"
#include "settings.h"

static const char *const within_range[] = {"1m", "7d", NULL}, *const people_range[] = {"1", "10",
                                                                                       NULL};

enum { WITHIN, PEOPLE, APPROVERS };

static const struct handler_arg args[] = {
    [WITHIN] = {.name = "within",
                .type = ARG_DURATION,
                .fallback = "4h",
                .words = within_range,
                .meaning = "how long; then nothing is done, and people are told again"},
    [PEOPLE] = {.name = "people",
                .type = ARG_NUMBER,
                .fallback = "1",
                .words = people_range,
                .meaning = "how many persons must say yes"},
    [APPROVERS] = {.name = "approvers",
                   .type = ARG_ADDRESSES,
                   .meaning = "who may answer: each gets a link of his own; instead of mail.to"},
    {0},
};

/* One person in two spellings is one, as for whoever counts the answers. */
static enum err_code check(const struct handler_given *given, size_t *ret_at, struct err *e)
{
    const char *const *list = given[APPROVERS].addresses;
    int64_t people = 0;

    for (size_t i = 0; i < given[APPROVERS].n_addresses; i++) {
        size_t before = 0;

        while (before < i && strcasecmp(list[before], list[i]) != 0)
            before++;
        people += before == i;
    }
    *ret_at = PEOPLE;
    if (!people || given[PEOPLE].number <= people)
        return ERR_OK;
    return err_set(e, ERR_INVALID,
                   "expected at most as many as approvers names, which is %" PRId64
                   ", found %" PRId64,
                   people, given[PEOPLE].number);
}

static enum outcome run(struct step *s, struct err *e)
{
    const char *reason = json_get_string(s->args, "reason");
    const char *within = json_get_string(s->args, "within");
    struct policy_terms terms = {.within_ms = 4 * HOUR_MS,
                                 .people = json_get_int64(s->args, "people", 1)};

    if (within)
        (void)settings_duration(within, &terms.within_ms, NULL);
    if (question_approvers(json_get(s->args, "approvers"), s->arena, &terms, e))
        return OUTCOME_RETRY;
    return question_ask(s, &terms, reason ? reason : "the rule asks a person", e);
}

const struct handler handler_ask = {
    .name = "ask",
    .meaning = "asks a person; the steps behind it that act wait for a yes",
    .permission = NULL,
    .acts = false,
    .args = args,
    .check = check,
    .run = run,
};
