/* restrict.c - lets nothing run on the machine but what Microsoft signed. Words: defender-api.md section 4.1. */
#include "cordon/handler.h"

#include "action.h"

static const struct handler_arg args[] = {
    {"comment", ARG_TEXT, NULL, "cordon: {{alert.severity}} alert {{alert.id}}: {{alert.title}}",
     "shown in the portal beside the action"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    return action_request(s, "restrict", NULL, json_get_string(s->args, "comment"), e);
}

const struct handler handler_restrict = {
    .name = "restrict",
    .meaning = "lets nothing run but what Microsoft signed, and tells how it ended",
    .permission = "Machine.RestrictExecution",
    .acts = true,
    .follows = true,
    .args = args,
    .run = run,
};
