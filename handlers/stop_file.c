/* stop_file.c - stops and quarantines a file on the alert's machine. Words: defender-api.md section 4.1. */
#include "cordon/handler.h"

#include <string.h>

#include "action.h"

enum { SHA1, COMMENT };

static const struct handler_arg args[] = {
    [SHA1] = {"sha1", ARG_TEXT, NULL, handler_required, "the file's SHA-1, 40 hexadecimal digits"},
    [COMMENT] = {"comment", ARG_TEXT, NULL,
                 "cordon: {{alert.severity}} alert {{alert.id}}: {{alert.title}}",
                 "shown in the portal beside the action"},
    {0},
};

static bool is_sha1(const char *text)
{
    return strlen(text) == 40 && strspn(text, "0123456789abcdefABCDEF") == 40;
}

static enum err_code check(const struct handler_given *given, size_t *ret_at, struct err *e)
{
    *ret_at = SHA1;
    if (given[SHA1].open || is_sha1(given[SHA1].text))
        return ERR_OK;
    return err_set(e, ERR_INVALID, "expected a SHA-1, 40 hexadecimal digits, found '%.60s'",
                   given[SHA1].text);
}

static enum outcome run(struct step *s, struct err *e)
{
    const char *sha1 = json_get_string(s->args, "sha1");

    if (!sha1 || !is_sha1(sha1)) {
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
    .follows = true,
    .args = args,
    .check = check,
    .run = run,
};
