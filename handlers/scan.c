/* scan.c - has Defender's antivirus scan the alert's machine. Words: defender-api.md section 4.1. */
#include "cordon/handler.h"

#include <string.h>

#include "action.h"

static const char *const types[] = {"quick", "full", NULL};

static const struct handler_arg args[] = {
    {"type", ARG_WORD, types, NULL, "quick, or full: every file of the machine"},
    {"comment", ARG_TEXT, NULL, "cordon: {{alert.severity}} alert {{alert.id}}: {{alert.title}}",
     "shown in the portal beside the action"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    const char *type = json_get_string(s->args, "type");
    bool full = type && strcmp(type, "full") == 0;

    return action_request(s, "scan", full ? "Full" : "Quick", json_get_string(s->args, "comment"),
                          e);
}

const struct handler handler_scan = {
    .name = "scan",
    .meaning = "has the antivirus scan the machine, and tells how it ended",
    .permission = "Machine.Scan",
    .acts = true,
    .follows = true,
    .args = args,
    .run = run,
};
