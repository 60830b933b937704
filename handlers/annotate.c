/* annotate.c - writes on the alert: a comment, its status, who has it. Words: defender-api.md section 2.6.
 *
 * The alert is read before each attempt, and only what differs is written: a comment is added to the others, so one
 * that is there already, by an attempt whose answer was lost, is not written again. */
#include "cordon/handler.h"

#include <string.h>
#include <strings.h>

#include "action.h"

static const char *const words[] = {"unchanged", "new", "in_progress", "resolved", NULL};
static const char *const statuses[] = {NULL, "New", "InProgress", "Resolved"}; /* section 2.3 */

enum { COMMENT, STATUS, ASSIGNEE };

static const struct handler_arg args[] = {
    [COMMENT] = {"comment", ARG_TEXT, NULL, NULL, "added to the alert's comments"},
    [STATUS] = {"status", ARG_WORD, words, NULL, "unchanged, new, in_progress or resolved"},
    [ASSIGNEE] = {"assignee", ARG_TEXT, NULL, NULL, "whose alert it is: a user's address"},
    {0},
};

static enum err_code check(const struct handler_given *given, size_t *ret_at, struct err *e)
{
    *ret_at = HANDLER_WHOLE;
    if (*given[COMMENT].text || *given[ASSIGNEE].text || strcmp(given[STATUS].text, words[0]) != 0)
        return ERR_OK;
    return err_set(e, ERR_INVALID,
                   "expected a comment, a status or an assignee to write, found none");
}

static bool has_comment(const struct json *alert, const char *comment)
{
    JSON_EACH (c, json_get(alert, "comments")) {
        const char *text = json_get_string(c, "comment");

        if (text && defender_is_comment(text, comment))
            return true;
    }
    return false;
}

static bool is_so(const struct json *alert, const char *name, const char *value)
{
    const char *now = json_get_string(alert, name);

    return now && strcasecmp(now, value) == 0;
}

static enum outcome run(struct step *s, struct err *e)
{
    const char *comment = json_get_string(s->args, "comment"), *status = NULL;
    const char *assignee = json_get_string(s->args, "assignee");
    const char *word = json_get_string(s->args, "status");
    struct defender_reads reads;
    enum outcome may = action_may(s, e);
    enum err_code code;

    if (may != OUTCOME_DONE)
        return may;
    for (size_t i = 0; word && words[i]; i++)
        if (strcmp(words[i], word) == 0)
            status = statuses[i];
    if (comment && !*comment)
        comment = NULL;
    if (assignee && !*assignee)
        assignee = NULL;
    if (!comment && !status && !assignee) {
        (void)err_set(e, ERR_REFUSED, "nothing to write: comment and assignee came out empty");
        return OUTCOME_REFUSED;
    }
    defender_read(s->tenant->defender, s->c->alert_id, NULL, DEFENDER_READ_ALERT, &reads);
    code = reads.alert_code;
    if (code) {
        *e = reads.alert_err;
    } else {
        if (comment && has_comment(reads.alert, comment))
            comment = NULL;
        if (status && is_so(reads.alert, "status", status))
            status = NULL;
        if (assignee && is_so(reads.alert, "assignedTo", assignee))
            assignee = NULL;
        if (comment || status || assignee)
            code = defender_update_alert(s->tenant->defender, s->c->alert_id, status, assignee,
                                         comment, e);
    }
    defender_reads_clear(&reads);
    return action_outcome(code, e);
}

const struct handler handler_annotate = {
    .name = "annotate",
    .meaning = "writes on the alert: a comment, its status, who has it",
    .permission = "Alert.ReadWrite.All",
    .acts = true,
    .args = args,
    .check = check,
    .run = run,
};
