/* stop_file.c - stops and quarantines a file on the alert's machine. Words: defender-api.md section 4.1. */
#include "cordon/handler.h"

#include <string.h>

#include "action.h"

static const struct handler_arg args[] = {
    {"sha1", ARG_TEXT, NULL, handler_required, "the file's SHA-1, 40 hexadecimal digits"},
    {"comment", ARG_TEXT, NULL, "cordon: {{alert.severity}} alert {{alert.id}}: {{alert.title}}",
     "shown in the portal beside the action"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    const char *sha1 = json_get_string(s->args, "sha1");
    size_t len = sha1 ? strspn(sha1, "0123456789abcdefABCDEF") : 0;

    if (len != 40 || sha1[len]) {
        (void)err_set(e, ERR_REFUSED, "not a SHA-1: '%.60s'", sha1 ? sha1 : "");
        return OUTCOME_REFUSED;
    }
    return action_request(s, "stop_file", sha1, json_get_string(s->args, "comment"), e);
}

const struct handler handler_stop_file = {
    .name = "stop_file",
    .meaning = "stops and quarantines a file, and tells how it ended",
    .permission = "Machine.StopAndQuarantine",
    .acts = true,
    .args = args,
    .run = run,
};
