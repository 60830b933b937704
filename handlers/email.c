/* email.c - tells people where the case stands at this step. When the isolation ends later, act_settle writes to
 * the same people again. */
#include "cordon/handler.h"

#include <string.h>

#include "telling.h"

static const char *const audiences[] = {"soc", "desk", NULL};

static const struct handler_arg args[] = {
    {"to", ARG_ADDRESSES, NULL, NULL, "whom to write to instead of mail.to"},
    {"subject", ARG_TEXT, NULL, NULL, "follows the state in the subject"},
    {"body", ARG_TEXT, NULL, NULL, "a paragraph above the facts"},
    {"audience", ARG_WORD, audiences, NULL,
     "soc, or desk: the users' helpdesk, which is told nothing of the alert"},
    {0},
};

static enum outcome run(struct step *s, struct err *e)
{
    const char *audience = json_get_string(s->args, "audience");
    const struct json *to = json_get(s->args, "to");
    const struct text_list *usual;
    size_t count = json_count(to), n = 0;
    const char **list = arena_array(s->arena, count + 1, sizeof *list);
    struct telling t = {.s = s,
                        .n = {.c = s->c,
                              .facts = s->facts,
                              .doubt = s->c->why,
                              .subject = json_get_string(s->args, "subject"),
                              .body = json_get_string(s->args, "body")}};

    if (!list) {
        (void)err_set(e, ERR_NOMEM, "recipients");
        return OUTCOME_RETRY;
    }
    JSON_EACH (address, to)
        if (json_string(address))
            list[n++] = json_string(address);
    t.n.desk = audience && strcmp(audience, "desk") == 0;
    usual = t.n.desk ? &s->runtime->config->mail.desk_to : &s->runtime->config->mail.to;
    t.n.to = n ? (const char *const *)list : (const char *const *)usual->items;
    t.n.n_to = n ? n : usual->count;
    return telling_run(&t, e);
}

const struct handler handler_email = {
    .name = "email",
    .meaning = "mails people about the case, and again when its isolation is settled",
    .permission = NULL,
    .acts = false,
    .args = args,
    .run = run,
};
