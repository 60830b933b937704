/* collect.c - collects an investigation package; its link comes with a mail. Words: defender-api.md section 4.1. */
#include "cordon/handler.h"

#include "action.h"

static const struct handler_arg args[] = {
    {"comment", ARG_TEXT, NULL, "cordon: {{alert.severity}} alert {{alert.id}}: {{alert.title}}",
     "shown in the portal beside the action"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    return action_request(s, "collect", NULL, json_get_string(s->args, "comment"), e);
}

const struct handler handler_collect = {
    .name = "collect",
    .meaning = "collects an investigation package, and mails the link to it",
    .permission = "Machine.CollectForensics",
    .acts = true,
    .follows = true,
    .args = args,
    .run = run,
};
