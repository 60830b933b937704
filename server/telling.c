/* telling.c - see telling.h. */
#include "telling.h"

#include <string.h>

#include "isolation.h"
#include "log.h"

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

enum outcome telling_run(struct telling *t, struct err *e)
{
    struct step *s = t->s;

    t->now = clock_wall_ms(s->engine->clock);
    if (step_write(s, tell_fn, t, e))
        return OUTCOME_RETRY;
    s->written = true;
    s->work->lease_end = t->now + WORK_LEASE_MS;
    log_event(LOG_INFO, "notice", LOG_ID("case", s->c->id),
              LOG_STR("kind", notice_kind_name(t->n.kind)), LOG_STR("why", t->n.why));
    engine_kick(s->engine);
    return OUTCOME_DONE;
}
