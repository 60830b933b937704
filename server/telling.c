/* telling.c - see telling.h. */
#include "telling.h"

#include "log.h"
#include "standing.h"

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct telling *t = arg;
    struct step *s = t->s;
    struct work claim = *s->work;
    enum err_code code = standing_read(tx, s->arena, s->c, &t->n, &t->isolation, e);

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
