/* tag.c - gives the alert's machine a tag, or takes one away. Words: defender-api.md section 3.1.
 *
 * The machine is read before each attempt: a tag that is there already, by an attempt whose answer was lost or by
 * anybody's hand, is success. */
#include "cordon/handler.h"

#include <string.h>

#include "action.h"

enum { ADD, REMOVE };

static const struct handler_arg args[] = {
    [ADD] = {"add", ARG_TEXT, NULL, NULL, "the tag it gets"},
    [REMOVE] = {"remove", ARG_TEXT, NULL, NULL, "the tag it loses"},
    {0},
};

static enum err_code check(const struct handler_given *given, size_t *ret_at, struct err *e)
{
    const char *add = given[ADD].text, *gone = given[REMOVE].text;

    if (!*add && !*gone)
        return err_set(e, ERR_INVALID,
                       "expected the tag to add, or the one to remove, found neither");
    *ret_at = REMOVE;
    return strcmp(add, gone) == 0
               ? err_set(e, ERR_INVALID, "expected another tag than the one to add, found '%.60s'",
                         gone)
               : ERR_OK;
}

static bool has_tag(const struct json *machine, const char *tag)
{
    JSON_EACH (t, json_get(machine, "machineTags"))
        if (strcmp(json_string(t), tag) == 0)
            return true;
    return false;
}

static enum outcome run(struct step *s, struct err *e)
{
    const char *add = json_get_string(s->args, "add"), *gone = json_get_string(s->args, "remove");
    struct defender_reads reads;
    enum outcome may = action_may(s, e);
    enum err_code code;

    if (may != OUTCOME_DONE)
        return may;
    if (!s->c->machine_id || ((!add || !*add) && (!gone || !*gone))) {
        (void)err_set(e, ERR_REFUSED,
                      s->c->machine_id ? "tag: neither add nor remove is set"
                                       : "the alert names no machine");
        return OUTCOME_REFUSED;
    }
    defender_read(s->tenant->defender, NULL, s->c->machine_id, DEFENDER_READ_MACHINE, &reads);
    code = reads.machine_code;
    if (code)
        *e = reads.machine_err;
    if (!code && add && *add && !has_tag(reads.machine, add))
        code = defender_tag(s->tenant->defender, s->c->machine_id, add, true, e);
    if (!code && gone && *gone && has_tag(reads.machine, gone))
        code = defender_tag(s->tenant->defender, s->c->machine_id, gone, false, e);
    defender_reads_clear(&reads);
    return action_outcome(code, e);
}

const struct handler handler_tag = {
    .name = "tag",
    .meaning = "gives the machine a tag, or takes one away",
    .permission = "Machine.ReadWrite.All",
    .acts = true,
    .args = args,
    .check = check,
    .run = run,
};
