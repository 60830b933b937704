/* email.c - tells people where the case stands at this step.
 *
 * The state in the subject is read in the transaction that stores the notice, so it cannot be older than
 * what the ledger says. When the isolation ends later, act_settle writes to the same people again.
 */
#include "cordon/handler.h"

#include <string.h>

#include "act.h"
#include "isolation.h"
#include "log.h"
#include "notice.h"

static const struct handler_arg args[] = {
    {"to", ARG_ADDRESSES, NULL, NULL, "whom to write to instead of mail.to"},
    {"subject", ARG_TEXT, NULL, NULL, "follows the state in the subject"},
    {"body", ARG_TEXT, NULL, NULL, "a paragraph above the facts"},
    {0},
};

struct telling {
    struct step *s;
    struct notice n;
    struct isolation_record isolation;
    int64_t now;
};

/* What the steps before this one came to. */
static enum err_code state_of(struct db_tx *tx, struct telling *t, struct err *e)
{
    struct step *s = t->s;
    struct step_record *steps;
    size_t n;
    enum err_code code = case_steps(tx, s->arena, s->c->id, &steps, &n, e);

    t->n.kind = NOTICE_ALERT;
    t->n.why = NULL;
    for (size_t i = 0; i < n && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        if (!h || !h->acts || (steps[i].state != STEP_WITHHELD && steps[i].state != STEP_FAILED))
            continue;
        if (strcmp(h->name, "isolate") == 0) {
            t->n.kind = NOTICE_NOT_ISOLATED;
            t->n.why = steps[i].why;
        } else if (t->n.kind == NOTICE_ALERT) {
            t->n.kind = NOTICE_ACTION_FAILED;
            t->n.why = arena_fmt(s->arena, "%s: %s", h->name, steps[i].why);
        }
    }
    if (code || !s->c->isolation)
        return code;
    code = isolation_load(tx, s->arena, s->c->isolation, &t->isolation, e);
    t->n.isolation = &t->isolation;
    if (code)
        return code;
    if (t->isolation.state == ISOLATION_ISOLATED) {
        t->n.kind = NOTICE_ISOLATED;
    } else if (isolation_is_settled(t->isolation.state)) {
        t->n.kind = NOTICE_NOT_ISOLATED;
        t->n.why = t->isolation.why ? t->isolation.why : isolation_state_name(t->isolation.state);
    } else if (t->isolation.state == ISOLATION_REQUESTED && !t->isolation.posted &&
               t->isolation.why) {
        t->n.kind = NOTICE_LATE; /* Defender was asked and took nothing, as far as is known */
        t->n.why = notice_not_yet(s->arena, t->isolation.why);
    } else {
        t->n.kind = NOTICE_REQUESTED;
    }
    return ERR_OK;
}

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct telling *t = arg;
    struct step *s = t->s;
    struct work claim = *s->work;
    enum err_code code = state_of(tx, t, e);

    if (!code)
        code = notice_put(tx, s->engine, s->runtime, s->arena, &t->n, t->now, e);
    if (!code)
        code = step_move(tx, s->c->id, s->n, STEP_DONE, NULL, t->now, e);
    return code ? code : work_keep(tx, &claim, t->now, e);
}

static enum outcome run(struct step *s, struct err *e)
{
    const struct json *to = json_get(s->args, "to");
    size_t count = json_count(to), n = 0;
    const char **list = arena_array(s->arena, count + 1, sizeof *list);
    struct telling t = {.s = s,
                        .n = {.c = s->c,
                              .facts = s->facts,
                              .doubt = s->c->why,
                              .subject = json_get_string(s->args, "subject"),
                              .body = json_get_string(s->args, "body")},
                        .now = clock_wall_ms(s->engine->clock)};

    if (!list) {
        (void)err_set(e, ERR_NOMEM, "recipients");
        return OUTCOME_RETRY;
    }
    JSON_EACH (address, to)
        if (json_string(address))
            list[n++] = json_string(address);
    t.n.to = n ? (const char *const *)list : (const char *const *)s->runtime->config->mail.to.items;
    t.n.n_to = n ? n : s->runtime->config->mail.to.count;
    if (step_write(s, tell_fn, &t, e))
        return OUTCOME_RETRY;
    s->written = true;
    s->work->lease_end = t.now + WORK_LEASE_MS;
    log_event(LOG_INFO, "notice", LOG_ID("case", s->c->id),
              LOG_STR("kind", notice_kind_name(t.n.kind)), LOG_STR("why", t.n.why));
    engine_kick(s->engine);
    return OUTCOME_DONE;
}

const struct handler handler_email = {
    .name = "email",
    .meaning = "mails people about the case, and again when its isolation is settled",
    .permission = NULL,
    .acts = false,
    .args = args,
    .run = run,
};
