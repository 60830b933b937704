/* question.c - see question.h.
 *
 * Cases wait in state WAITING without work of their own; whatever ends a question puts their work back in the same
 * transaction. After a yes that work begins with reading the facts again (expand.c), together with others' if many
 * were said yes to. When a question over many ends without a yes its cases are not run again, as each would write a
 * mail of its own: one mail tells of all of them.
 */
#include "question.h"

#include <string.h>

#include "id.h"
#include "log.h"
#include "policy.h"
#include "question_asked.h"
#include "question_end.h"

#define OVERDUE_MOST_MS (15 * SECOND_MS)

/* ---- asking about one case -------------------------------------------------------------------- */

struct asking {
    struct step *s;
    const struct policy_terms *terms;
    const char *reason;
    enum question_kind kind;
    int64_t n; /* the step that asks, or that failed */
    int64_t now, id;
    bool outdated; /* another configuration is in force than the run began with */
};

/* "isolate full", of what waits behind step `after`. */
static enum err_code find_action(struct db_tx *tx, struct step *s, int64_t after, const char **ret,
                                 struct err *e)
{
    struct step_record *steps;
    size_t n = 0;
    const char *text = NULL;
    enum err_code code = case_steps(tx, s->arena, s->c->id, &steps, &n, e);

    for (size_t i = 0; i < n && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);
        AUTO(json_freep) struct json *args = NULL;
        const char *type;

        if (steps[i].n <= after || steps[i].state != STEP_WAITING || !h || !h->acts)
            continue;
        (void)json_parse(steps[i].args, strlen(steps[i].args), &args, NULL);
        type = json_get_string(args, "type");
        text = arena_fmt(s->arena, "%s%s%s%s%s", text ? text : "", text ? ", " : "",
                         steps[i].handler, type ? " " : "", type ? type : "");
    }
    *ret = text ? text : "nothing";
    return code;
}

static enum err_code add_case(struct db_tx *tx, struct step *s, int64_t n, int64_t question,
                              const char *action, int64_t now, struct err *e)
{
    const struct question_case c = {.case_id = s->c->id,
                                    .n = n,
                                    .tenant = s->c->tenant,
                                    .alert_id = s->c->alert_id,
                                    .machine_id = s->c->machine_id,
                                    .machine_name = facts_machine_name(s->facts->machine),
                                    .action = action};

    return question_add_case(tx, question, &c, now, e);
}

/* The case waits, and nobody works on it. */
static enum err_code wait(struct db_tx *tx, struct step *s, const char *why, int64_t now,
                          struct err *e)
{
    struct case_record c = *s->c;
    struct work claim = *s->work;
    enum err_code code = step_move(tx, c.id, s->n, STEP_WAITING, why, now, e);

    if (!code)
        code = case_move(tx, &c, CASE_WAITING, c.why, now, e);
    return code ? code : work_done(tx, &claim, e);
}

static enum err_code ask_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct asking *x = arg;
    struct step *s = x->s;
    char case_id[ID_TEXT_SIZE];
    struct question_record q = {.id = id_new(s->engine->clock),
                                .kind = x->kind,
                                .what = x->reason,
                                .policy = policy_hash(s->runtime->config->policy),
                                .people = x->terms->people,
                                .created = x->now,
                                .expires = x->now + x->terms->within_ms};
    const char *action = NULL;
    const char *const *to;
    struct invitation *list;
    size_t n_to, n = 0;
    enum err_code code;

    x->outdated = !engine_is_in_force(s->engine, s->runtime);
    if (x->outdated) /* nobody could say yes to it */
        return err_set(e, ERR_AGAIN, "another configuration has come into force meanwhile");
    x->id = q.id;
    q.scope = arena_fmt(s->arena, "step:%s:%lld", id_format(s->c->id, case_id), (long long)x->n);
    question_people(x->terms, s->runtime, &to, &n_to);
    code = find_action(tx, s, x->n, &action, e);
    if (!code)
        code = question_insert(tx, &q, q.expires, e);
    if (!code)
        code = add_case(tx, s, x->n, q.id, action, x->now, e);
    if (!code)
        code = question_invite(tx, s->engine, s->runtime, q.id, to, n_to, e);
    if (!code)
        code = invitation_list(tx, s->arena, q.id, &list, &n, e);
    if (!code)
        code = question_mail_case(tx,
                                  &(struct question_case_mail){.g = s->engine,
                                                               .rt = s->runtime,
                                                               .arena = s->arena,
                                                               .q = &q,
                                                               .c = s->c,
                                                               .facts = s->facts,
                                                               .action = action,
                                                               .to = list,
                                                               .n = n},
                                  x->now, e);
    return code ? code : wait(tx, s, "a person is asked", x->now, e);
}

static enum outcome ask(struct asking *x, struct err *e)
{
    struct engine *g = x->s->engine;

    x->now = clock_wall_ms(g->clock);
    if (step_write(x->s, ask_fn, x, e)) {
        if (!x->outdated || !x->s->opening.fn)
            return OUTCOME_RETRY;
        /* Nothing is written of the verdict: the case is judged anew. */
        engine_give_back(g, x->s->work, 0);
        engine_kick(g);
        return OUTCOME_WAITS;
    }
    metrics_add(g->metrics, METRIC_QUESTIONS, 1, question_kind_name(x->kind), "asked");
    log_event(LOG_INFO, "question", LOG_ID("question", x->id), LOG_ID("case", x->s->c->id),
              LOG_STR("kind", question_kind_name(x->kind)), LOG_STR("why", x->reason));
    engine_kick(g);
    return OUTCOME_WAITS;
}

/* Was the case judged by the policy in force, and not in an earlier run by one that was replaced since? */
static bool is_judged_by(const struct step *s, const struct policy *p)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *text = s->c->verdict, *policy;

    if (!text || json_parse(text, strlen(text), &doc, NULL))
        return false;
    policy = json_get_string(doc, "policy");
    return policy && strcmp(policy, policy_hash(p)) == 0;
}

enum outcome question_ask(struct step *s, const struct policy_terms *terms, const char *reason,
                          struct err *e)
{
    struct asking x = {.s = s, .terms = terms, .reason = reason, .kind = QUESTION_STEP, .n = s->n};

    /* Else a yes would be one under the policy in force, by how many and whose word that of before was content with. */
    if (!is_judged_by(s, s->runtime->config->policy)) {
        (void)err_set(e, ERR_REFUSED, "the policy has changed since: `cordon cases retry`");
        return OUTCOME_REFUSED;
    }
    return ask(&x, e);
}

enum outcome question_ask_after(struct step *s, const struct step_record *failed, struct err *e)
{
    struct asking x = {.s = s,
                       .terms = policy_terms(s->runtime->config->policy),
                       .reason = arena_fmt(s->arena, "%s was %s%s%s", failed->handler,
                                           step_state_name(failed->state), failed->why ? ": " : "",
                                           failed->why ? failed->why : ""),
                       .kind = QUESTION_FAILURE,
                       .n = failed->n};

    return ask(&x, e);
}

/* ---- a question over many --------------------------------------------------------------------- */

/* Between two mails about a question over many: where there is little time to answer, of that a quarter. */
static int64_t mail_pace(const struct question_record *q)
{
    int64_t quarter = (q->expires - q->created) / 4;

    return quarter < QUESTION_AGAIN_MS ? quarter : QUESTION_AGAIN_MS;
}

/* A question's time is over and it has not ended: where a replica that is gone had it in hand its lease runs out first. Whoever
 * waits for that is judged anew each time, which costs calls: later and later. */
static int64_t overdue_pace(int64_t overdue_ms)
{
    return overdue_ms < SECOND_MS         ? SECOND_MS
           : overdue_ms < OVERDUE_MOST_MS ? overdue_ms
                                          : OVERDUE_MOST_MS;
}

/* When its newcomers are told of after now. The last mail leaves as long to answer as there is between two. */
static int64_t next_mail(const struct question_record *q, int64_t now)
{
    int64_t next = now + mail_pace(q), last = q->expires - mail_pace(q);

    if (now < last && next > last)
        next = last;
    return next < q->expires ? next : q->expires;
}

/* No mail may come any more before q is over, so nobody would be asked about this case: it is judged anew when that is so, with
 * all that come meanwhile, and begins a question of its own. */
static enum err_code wait_for_next(struct db_tx *tx, struct step *s,
                                   const struct question_record *q, int64_t now, struct err *e)
{
    struct case_record c = *s->c;
    struct work claim = *s->work;
    int64_t due = q->expires > now ? question_next_at(q) : now + overdue_pace(now - q->expires);
    enum err_code code = step_move(tx, c.id, s->n, STEP_WAITING, q->what, now, e);

    if (!code)
        code = case_move(tx, &c, CASE_DECIDING, c.why, now, e);
    if (!code)
        code = work_done(tx, &claim, e);
    return code ? code : work_put(tx, c.id, WORK_CASE, WORK_NORMAL, due, due, NULL, e);
}

enum err_code question_hold(struct db_tx *tx, struct step *s, struct runtime *rt,
                            const struct question_hold *h, int64_t now, struct err *e)
{
    const struct policy_terms *terms = policy_terms(rt->config->policy);
    struct question_record q;
    const char *const *to;
    size_t n_to;
    bool found = false;
    enum err_code code = question_find_open(tx, s->arena, h->scope, &q, &found, e);

    if (!code && found && q.expires - now <= mail_pace(&q) + QUESTION_GATHER_MS)
        return wait_for_next(tx, s, &q, now, e);
    if (!code && !found) {
        q = (struct question_record){.id = id_new(s->engine->clock),
                                     .kind = h->kind,
                                     .scope = h->scope,
                                     .what = h->what,
                                     .policy = policy_hash(rt->config->policy),
                                     .people = terms->people,
                                     .created = now,
                                     .expires = now + terms->within_ms};
        question_people(terms, rt, &to, &n_to);
        code = question_insert(tx, &q, now + QUESTION_GATHER_MS, e);
        if (!code)
            code = question_invite(tx, s->engine, rt, q.id, to, n_to, e);
    }
    if (!code)
        code = add_case(tx, s, s->n, q.id, h->action, now, e);
    return code ? code : wait(tx, s, h->what, now, e);
}

/* ---- when it is due --------------------------------------------------------------------------- */

struct due {
    struct question_closing x;
    struct work *w;
    struct question_record q;
    bool ended, first; /* first: its first mail */
};

/* People have as long as they were given from now on where the clock was set back since they were asked, and all work was
 * hurried: it would be open until the clock has caught up, and who waits for an answer would hear nothing. So they have where
 * cordon was away until it was over, and has asked nobody yet. */
static enum err_code mind_the_clock(struct db_tx *tx, struct question_record *q, int64_t now,
                                    struct err *e)
{
    if (q->created <= now && !question_is_unasked(q, now))
        return ERR_OK;
    q->expires -= q->created - now;
    q->created = now;
    return question_date(tx, q, e);
}

static enum err_code due_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct due *d = arg;
    enum err_code code = question_load(tx, d->x.arena, d->w->id, &d->q, e);

    d->ended = d->first = false;
    if (code)
        return code;
    if (d->q.state != QUESTION_OPEN)
        return work_done(tx, d->w, e);
    code = mind_the_clock(tx, &d->q, d->x.now, e);
    if (!code)
        code = question_find_case(tx, &d->x, &d->q, e);
    if (code)
        return code;
    if (d->x.now >= d->q.expires && !question_is_over(&d->q, d->x.rt, d->x.now))
        return work_again(tx, d->w, d->x.now + MINUTE_MS, 0, e);
    if (d->x.now >= d->q.expires) {
        code = work_keep(tx, d->w, d->x.now, e); /* is it still ours? */
        d->ended = true;
        return code ? code
                    : question_close(tx, &d->x, &d->q, QUESTION_EXPIRED, "nobody answered in time",
                                     e);
    }
    if (!engine_is_in_force(
            d->x.g, d->x.rt)) /* who is to be asked says that one, which has found it claimed */
        return work_again(tx, d->w, d->x.now, 0, e);
    if (question_is_of_one(d->q.kind)) {
        code = question_mail_newcomers(tx, d->x.g, d->x.rt, d->x.arena, &d->q, d->x.now, e);
        return code ? code : work_again(tx, d->w, d->q.expires, 0, e);
    }
    d->first = d->q.told == 0;
    code = question_mail_many(tx, d->x.g, d->x.rt, d->x.arena, &d->q, d->x.now, e);
    return code ? code : work_again(tx, d->w, next_mail(&d->q, d->x.now), 0, e);
}

void question_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct due d = {.x = {.g = g, .rt = rt, .arena = arena, .now = clock_wall_ms(g->clock)},
                    .w = w};
    struct err e = {0};
    enum err_code code =
        arena ? db_write(g->store->db, due_fn, &d, &e) : err_set(&e, ERR_NOMEM, "a question");

    if (code) {
        log_event(LOG_ERROR, "question_not_written", LOG_ID("question", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    if (d.first) {
        metrics_add(g->metrics, METRIC_QUESTIONS, 1, question_kind_name(d.q.kind), "asked");
        log_event(LOG_WARN, "question", LOG_ID("question", d.q.id),
                  LOG_STR("kind", question_kind_name(d.q.kind)), LOG_STR("why", d.q.what));
    }
    if (d.ended)
        question_log_end(&d.x, &d.q);
    engine_kick(g);
}
