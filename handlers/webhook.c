/* webhook.c - posts where the case stands at this step to a webhook. When the isolation ends later, that is a
 * second post to the same one. */
#include "cordon/handler.h"

#include "telling.h"

static const struct handler_arg args[] = {
    {"to", ARG_TEXT, NULL, handler_required, "the name of one of webhooks"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    struct telling t = {.s = s,
                        .n = {.c = s->c,
                              .facts = s->facts,
                              .doubt = s->c->why,
                              .webhook = json_get_string(s->args, "to")}};

    return telling_run(&t, e);
}

const struct handler handler_webhook = {
    .name = "webhook",
    .meaning =
        "posts about the case to Teams, Slack or a program, and again when its isolation is settled",
    .permission = NULL,
    .acts = false,
    .args = args,
    .run = run,
};
