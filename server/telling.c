/* telling.c - see telling.h. */
#include "telling.h"

#include <string.h>

#include "channel.h"
#include "log.h"
#include "standing.h"

/* Does the step write to this address itself? */
static bool writes_to(const struct notice *n, const char *address)
{
    for (size_t i = 0; i < n->n_to && !n->desk; i++)
        if (strcmp(n->to[i], address) == 0)
            return true;
    return false;
}

/* While the case waited for a person between its steps people may have been told how its isolation ended: there is nothing new
 * for them. *n: may come to nobody. */
static enum err_code leave_out_who_knows(struct db_tx *tx, const struct telling *t,
                                         struct notice *n, struct err *e)
{
    bool ended = n->kind == NOTICE_ISOLATED || n->kind == NOTICE_RELEASED ||
                 (n->kind == NOTICE_NOT_ISOLATED && notice_was_told(&t->c, n->kind));

    return n->n_to && ended ? notice_leave_out(tx, t->s->arena, n, e) : ERR_OK;
}

/* Earlier steps told others of a state that is over by now. The case will be known as told, so they hear it here. */
static enum err_code tell_others(struct db_tx *tx, struct telling *t, struct err *e)
{
    struct step *s = t->s;
    struct notice n = {.kind = t->n.kind,
                       .why = t->n.why,
                       .c = &t->c,
                       .facts = t->n.facts,
                       .isolation = t->n.isolation,
                       .doubt = t->n.doubt};
    const char **before;
    size_t n_before = 0;
    /* That cordon tries on is over with whatever is the last word; under a silence act_settle says it to all of them. */
    bool owed = notice_was_told(&t->c, NOTICE_LATE) && n.kind == NOTICE_ALERT && !t->n.to_come &&
                !t->mute.why;
    enum err_code code;

    if (!owed && (!t->c.told || notice_was_told(&t->c, n.kind) || n.kind == NOTICE_ALERT ||
                  n.kind == NOTICE_REQUESTED || n.kind == NOTICE_LATE))
        return ERR_OK;
    code = notice_audience(tx, s->arena, t->c.id, &before, &n_before, e);
    for (size_t i = 0; i < n_before && !code; i++)
        if (!writes_to(&t->n, before[i]))
            before[n.n_to++] = before[i];
    n.to = before;
    if (!code)
        code = leave_out_who_knows(tx, t, &n, e);
    if (!code && notice_was_told(&t->c, NOTICE_LATE)) /* it may have been posted */
        code = channels_settle(tx, s->engine, s->runtime, s->arena, &n, NULL, t->now, e);
    return code || !n.n_to ? code : notice_put(tx, s->engine, s->runtime, s->arena, &n, t->now, e);
}

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct telling *t = arg;
    struct step *s = t->s;
    struct work claim = *s->work;
    struct case_record now;
    struct notice n;
    enum err_code code = case_load_row(tx, s->arena, s->c->id, &now, e);

    if (code)
        return code;
    t->c = *s->c;
    t->c.told = now.told;
    t->n.c = &t->c;
    t->nobody = NULL; /* the transaction may be tried again */
    t->n.ret_nobody = &t->nobody;
    code = standing_read(tx, s->arena, s->c, &t->n, &t->isolation, e);
    if (!code && t->n.kind == NOTICE_ALERT)
        code = mute_withhold(tx, s->arena, &t->mute, s->c->id, s->facts, t->now, e);
    if (!code)
        code = tell_others(tx, t, e);
    n = t->n;
    if (!code && !n.webhook && !n.desk && !n.body) /* it has no words of its own */
        code = leave_out_who_knows(tx, t, &n, e);
    t->known = t->n.n_to && !n.n_to;
    if (!code && !t->mute.why && !t->known)
        code = notice_put(tx, s->engine, s->runtime, s->arena, &n, t->now, e);
    if (!code)
        code = step_move(tx, s->c->id, s->n,
                         t->mute.why ? STEP_WITHHELD
                         : t->nobody ? STEP_FAILED
                                     : STEP_DONE,
                         t->mute.why ? t->mute.why
                         : t->known  ? "they were told so already"
                                     : t->nobody,
                         t->now, e);
    return code ? code : work_keep(tx, &claim, t->now, e);
}

enum outcome telling_run(struct telling *t, struct err *e)
{
    struct step *s = t->s;

    t->now = clock_wall_ms(s->engine->clock);
    mute_find(s->engine, s->arena, s->facts, t->now, &t->mute);
    if (step_write(s, tell_fn, t, e))
        return OUTCOME_RETRY;
    s->written = true;
    s->work->lease_end = t->now + WORK_LEASE_MS;
    if (t->mute.why) {
        metrics_add(s->engine->metrics, METRIC_SILENCED, 1, NULL, NULL);
        (void)err_set(e, ERR_REFUSED, "%s", t->mute.why);
        return OUTCOME_WITHHELD;
    }
    if (t->nobody) {
        (void)err_set(e, ERR_REFUSED, "%s", t->nobody);
        return OUTCOME_REFUSED;
    }
    if (!t->known)
        log_event(LOG_INFO, "notice", LOG_ID("case", s->c->id),
                  LOG_STR("kind", notice_kind_name(t->n.kind)), LOG_STR("why", t->n.why));
    engine_kick(s->engine);
    return OUTCOME_DONE;
}
