/* telling.c - see telling.h. */
#include "telling.h"

#include "log.h"
#include "standing.h"

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct telling *t = arg;
    struct step *s = t->s;
    struct work claim = *s->work;
    enum err_code code;

    t->nobody = NULL; /* the transaction may be tried again */
    t->n.ret_nobody = &t->nobody;
    code = standing_read(tx, s->arena, s->c, &t->n, &t->isolation, e);
    if (!code && t->n.kind == NOTICE_ALERT)
        code = mute_withhold(tx, s->arena, &t->mute, s->c->id, s->facts, t->now, e);
    if (!code && !t->mute.why)
        code = notice_put(tx, s->engine, s->runtime, s->arena, &t->n, t->now, e);
    if (!code)
        code = step_move(tx, s->c->id, s->n,
                         t->mute.why ? STEP_WITHHELD
                         : t->nobody ? STEP_FAILED
                                     : STEP_DONE,
                         t->mute.why ? t->mute.why : t->nobody, t->now, e);
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
    log_event(LOG_INFO, "notice", LOG_ID("case", s->c->id),
              LOG_STR("kind", notice_kind_name(t->n.kind)), LOG_STR("why", t->n.why));
    engine_kick(s->engine);
    return OUTCOME_DONE;
}
