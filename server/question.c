/* question.c - see question.h.
 *
 * Cases wait in state WAITING without work of their own; whatever ends a question puts their work back in the same
 * transaction. After a yes that work begins with reading the facts again (expand.c), together with others' if many
 * were said yes to. When a question over many ends without a yes its cases are not run again, as each would write a
 * mail of its own: one mail tells of all of them.
 */
#include "question.h"

#include <string.h>
#include <strings.h>

#include "channel.h"
#include "id.h"
#include "log.h"
#include "notice.h"
#include "policy.h"
#include "question_mail.h"
#include "store_notices.h"
#include "verify.h"

#define CASES_AT_ONCE   200
#define OVERDUE_MOST_MS (15 * SECOND_MS)

/* ---- whom to ask ------------------------------------------------------------------------------ */

/* What a link of each of the addresses stands for. Without a mail server nobody gets his: once there is one, all are new. */
static enum err_code invite(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                            int64_t question, const char *const *to, size_t n, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < n && !code && rt->config->mail.server; i++)
        code = invitation_insert(tx, id_new(g->clock), question, to[i], e);
    return code;
}

/* The people of terms, else mail.to. */
static void people_of(const struct policy_terms *terms, const struct runtime *rt,
                      const char *const **ret, size_t *ret_count)
{
    const struct text_list *list =
        terms->approvers.count ? &terms->approvers : &rt->config->mail.to;

    *ret = (const char *const *)list->items;
    *ret_count = list->count;
}

enum err_code question_approvers(const struct json *list, struct arena *a, struct policy_terms *ret,
                                 struct err *e)
{
    ret->approvers.count = 0;
    ret->approvers.items = arena_array(a, json_count(list) + 1, sizeof(char *));
    if (!ret->approvers.items)
        return err_set(e, ERR_NOMEM, "approvers");
    JSON_EACH (address, list)
        if (json_string(address))
            ret->approvers.items[ret->approvers.count++] = arena_str(a, json_string(address));
    return ERR_OK;
}

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

/* A mail to each of `to` about a question over one case. */
struct case_mail {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct question_record *q;
    const struct case_record *c;
    const struct facts *facts; /* NULL: as they are stored */
    const char *action;
    const struct invitation *to;
    size_t n;
    bool besides; /* others have been asked before: it is no news of the case */
};

static enum err_code mail_case(struct db_tx *tx, const struct case_mail *m, int64_t now,
                               struct err *e)
{
    const char **to = arena_array(m->arena, m->n + 1, sizeof *to);
    struct notice notice = {.kind = NOTICE_QUESTION,
                            .why = m->q->what,
                            .c = m->c,
                            .facts = m->facts,
                            .doubt = m->c->why,
                            .aside = m->besides};
    struct notice_question nq = {
        .id = m->q->id, .expires = m->q->expires, .people = m->q->people, .action = m->action};

    nq.links = arena_array(m->arena, m->n + 1, sizeof *nq.links);
    if (!nq.links || !to)
        return err_set(e, ERR_NOMEM, "question");
    for (size_t i = 0; i < m->n; i++) {
        to[i] = m->to[i].address;
        nq.links[nq.n_links++] = (struct notice_link){
            to[i], question_link(m->g, m->rt, m->arena, m->to[i].id, m->q->expires)};
    }
    notice.question = &nq;
    if (m->besides) { /* nor is it posted once more */
        notice.to = to;
        notice.n_to = m->n;
    }
    return notice_put(tx, m->g, m->rt, m->arena, &notice, now, e);
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
    people_of(x->terms, s->runtime, &to, &n_to);
    code = find_action(tx, s, x->n, &action, e);
    if (!code)
        code = question_insert(tx, &q, q.expires, e);
    if (!code)
        code = add_case(tx, s, x->n, q.id, action, x->now, e);
    if (!code)
        code = invite(tx, s->engine, s->runtime, q.id, to, n_to, e);
    if (!code)
        code = invitation_list(tx, s->arena, q.id, &list, &n, e);
    if (!code)
        code = mail_case(tx,
                         &(struct case_mail){.g = s->engine,
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
        people_of(terms, rt, &to, &n_to);
        code = question_insert(tx, &q, now + QUESTION_GATHER_MS, e);
        if (!code)
            code = invite(tx, s->engine, rt, q.id, to, n_to, e);
    }
    if (!code)
        code = add_case(tx, s, s->n, q.id, h->action, now, e);
    return code ? code : wait(tx, s, h->what, now, e);
}

static bool has_address(const char *const *list, size_t n, const char *address)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(list[i], address) == 0)
            return true;
    return false;
}

/* The terms of a question, by the policy that it was asked by, which is in force. */
static enum err_code terms_of(struct db_tx *tx, struct arena *a, const struct runtime *rt,
                              const struct question_record *q, struct policy_terms *ret,
                              struct err *e)
{
    AUTO(json_freep) struct json *args = NULL;
    struct question_case *of;
    struct step_record *steps;
    size_t n = 0, n_steps = 0;
    enum err_code code;

    *ret = *policy_terms(rt->config->policy);
    if (q->kind != QUESTION_STEP) /* whose terms are the step's own */
        return ERR_OK;
    code = question_cases(tx, a, q->id, 0, 1, &of, &n, e);
    if (!code && n)
        code = case_steps(tx, a, of->case_id, &steps, &n_steps, e);
    for (size_t i = 0; i < n_steps && !code; i++)
        if (steps[i].n == of->n)
            code = json_parse(steps[i].args, strlen(steps[i].args), &args, e);
    return code ? code : question_approvers(json_get(args, "approvers"), a, ret, e);
}

/* Whom a question was sent to. */
struct asked {
    struct invitation *list;
    size_t n, old; /* the first so many have been asked before */
};

/* mail.to may have changed since people were asked: who is new there gets a link, too, and who is not there any more nothing, for
 * his is good for nothing (check_asked). Under another policy nobody may answer, and without a mail server nobody gets his link: it
 * stays as it was, and who is new is that later, too. */
static enum err_code mind_the_list(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                                   struct arena *a, const struct question_record *q,
                                   struct asked *ret, struct err *e)
{
    struct invitation *all;
    struct policy_terms terms;
    const char *const *to, **had;
    size_t n_to, n = 0, n_had;
    bool unasked = !q->told && !question_is_of_one(q->kind);
    enum err_code code = invitation_list(tx, a, q->id, &ret->list, &ret->n, e);

    ret->old = n_had = ret->n;
    if (code || !rt->config->mail.server || strcmp(q->policy, policy_hash(rt->config->policy)) != 0)
        return code;
    if (unasked) { /* nobody has got his link, also who would not get it now and may be there again later */
        code = invitation_forget(tx, q->id, e);
        n_had = 0;
        if (code)
            return code;
    }
    had = arena_array(a, n_had + 1, sizeof *had);
    code = had ? terms_of(tx, a, rt, q, &terms, e) : err_set(e, ERR_NOMEM, "invitations");
    if (code)
        return code;
    people_of(&terms, rt, &to, &n_to);
    for (size_t i = 0; i < n_had; i++)
        had[i] = ret->list[i].address;
    for (size_t i = 0; i < n_to && !code; i++)
        if (!has_address(had, n_had, to[i]))
            code = invite(tx, g, rt, q->id, &to[i], 1, e);
    if (!code)
        code = invitation_list(tx, a, q->id, &all, &n, e);
    ret->list = arena_array(a, n + 1, sizeof *ret->list);
    if (!code && !ret->list)
        code = err_set(e, ERR_NOMEM, "invitations");
    ret->n = ret->old = 0;
    for (size_t i = 0; i < n && !code; i++)
        if (has_address(to, n_to, all[i].address) && has_address(had, n_had, all[i].address))
            ret->list[ret->n++] = all[i];
    ret->old = ret->n;
    for (size_t i = 0; i < n && !code; i++)
        if (!has_address(had, n_had, all[i].address))
            ret->list[ret->n++] = all[i];
    return code;
}

/* Those of one over a single case, who were all asked when it was made, but for who came into mail.to since. */
static enum err_code mail_newcomers(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                    struct arena *a, const struct question_record *q, int64_t now,
                                    struct err *e)
{
    struct asked asked = {.n = 0};
    struct question_case *of;
    struct case_record c;
    size_t n = 0;
    enum err_code code = mind_the_list(tx, g, rt, a, q, &asked, e);

    if (code || asked.n == asked.old)
        return code;
    code = question_cases(tx, a, q->id, 0, 1, &of, &n, e);
    if (code || !n)
        return code;
    code = case_load(tx, a, of->case_id, &c, e);
    return code ? code
                : mail_case(tx,
                            &(struct case_mail){.g = g,
                                                .rt = rt,
                                                .arena = a,
                                                .q = q,
                                                .c = &c,
                                                .action = of->action,
                                                .to = asked.list + asked.old,
                                                .n = asked.n - asked.old,
                                                .besides = true},
                            now, e);
}

/* Nobody can be mailed. */
static enum err_code ask_by_posts(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                  struct arena *a, const struct question_record *q,
                                  const struct question_extent *of, int64_t now, struct err *e)
{
    if (!rt->config->n_webhooks) {
        log_event(LOG_WARN, "nobody_told", LOG_ID("question", q->id), LOG_STR("why", q->what));
        return ERR_OK;
    }
    return question_post_put(tx, g, rt, a, q, of, now, e);
}

/* One mail to each who may answer, if there is news for him; on record is how many cases there have been by then. */
static enum err_code mail_many(struct db_tx *tx, struct engine *g, struct runtime *rt,
                               struct arena *a, const struct question_record *q, int64_t now,
                               struct err *e)
{
    struct asked asked = {.n = 0};
    struct question_extent of = {.cases = 0};
    int64_t ever = 0;
    size_t first = 0;
    enum err_code code = question_count_ever(tx, q->id, &ever, e);

    if (!code)
        code = q->state == QUESTION_OPEN ? mind_the_list(tx, g, rt, a, q, &asked, e)
                                         : invitation_list(tx, a, q->id, &asked.list, &asked.n, e);
    if (code)
        return code;
    if (q->state == QUESTION_OPEN && ever <= q->told) { /* nothing new, but for who is */
        first = asked.old;
        if (first == asked.n)
            return ERR_OK;
    }
    code = question_extent_read(tx, a, q->id, &of, e);
    if (code)
        return code;
    if ((!rt->config->mail.server || !asked.n) &&
        q->state == QUESTION_OPEN) /* else each case is told */
        code = ask_by_posts(tx, g, rt, a, q, &of, now, e);
    for (size_t i = first; i < asked.n && !code && rt->config->mail.server; i++)
        code = question_mail_put(tx, g, rt, a, &(struct question_mail){q, &asked.list[i], &of}, now,
                                 e);
    return code ? code : question_told(tx, q, ever, e);
}

/* ---- the end of a question -------------------------------------------------------------------- */

struct closing {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    int64_t now;
    struct invitation *told; /* who gets the one mail that tells of many; n_told 0: nobody */
    size_t n_told;
    int64_t case_id; /* that it is about, for the log; 0: many */
};

static bool is_told(const struct closing *x, const char *address)
{
    for (size_t i = 0; i < x->n_told; i++)
        if (address && strcmp(x->told[i].address, address) == 0)
            return true;
    return false;
}

/* Is a step that acts on nothing done with the one mail? Not if it posts, or writes to somebody who does not get that. */
static bool is_told_together(const struct closing *x, const struct step_record *s)
{
    AUTO(json_freep) struct json *args = NULL;
    const struct text_list *usual = &x->rt->config->mail.to;
    const char *audience;
    const struct json *to;
    bool all = true;

    if (strcmp(s->handler, "email") != 0 || json_parse(s->args, strlen(s->args), &args, NULL))
        return strcmp(s->handler, "webhook") != 0;
    audience = json_get_string(args, "audience");
    if (audience && strcmp(audience, "desk") == 0)
        return true; /* it hears of what was done alone */
    to = json_get(args, "to");
    JSON_EACH (address, to)
        all = all && is_told(x, json_string(address));
    for (size_t i = 0; i < usual->count && !json_count(to); i++)
        all = all && is_told(x, usual->items[i]);
    return all && (x->n_told || json_count(to) || usual->count);
}

/* The steps behind an ask are withheld, so far as they act, unless the answer was yes. */
static enum err_code go_on(struct db_tx *tx, struct closing *x, const struct question_record *q,
                           const struct question_case *m, struct case_record *c, struct err *e)
{
    struct step_record *steps;
    size_t n = 0;
    bool yes = q->state == QUESTION_APPROVED;
    enum err_code code = case_steps(tx, x->arena, c->id, &steps, &n, e);

    for (size_t i = 0; i < n && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        if (steps[i].n < m->n || steps[i].state != STEP_WAITING)
            continue;
        if (steps[i].n == m->n)
            code = step_move(tx, c->id, m->n, STEP_DONE, q->why, x->now, e);
        else if (!yes && h && h->acts)
            code = step_move(tx, c->id, steps[i].n, STEP_WITHHELD, q->why, x->now, e);
    }
    if (!code && q->state == QUESTION_REFUSED) /* nor does whoever else may isolate undo that */
        code = case_outgrow(tx, c->id, e);
    if (!code)
        code = case_move(tx, c, yes ? CASE_DECIDING : CASE_ACTING, c->why, x->now, e);
    return code ? code : work_put(tx, c->id, WORK_CASE, WORK_NORMAL, x->now, x->now, NULL, e);
}

/* Does an email step write to this address? */
static bool writes_to(const struct closing *x, const struct step_record *s, const char *address)
{
    AUTO(json_freep) struct json *args = NULL;
    const struct text_list *usual = &x->rt->config->mail.to;
    const struct json *list;
    bool found = false;

    if (strcmp(s->handler, "email") != 0 || json_parse(s->args, strlen(s->args), &args, NULL))
        return false;
    list = json_get(args, "to");
    JSON_EACH (to, list)
        found = found || strcmp(json_string(to) ? json_string(to) : "", address) == 0;
    for (size_t i = 0; i < usual->count && !json_count(list); i++)
        found = found || strcmp(usual->items[i], address) == 0;
    return found;
}

/* The case is over with the one mail: who heard of it before, by a mail or a post, and is told neither by that nor by one of
 * its steps that are left, is told by a notice of the case. */
static enum err_code tell_who_heard(struct db_tx *tx, struct closing *x,
                                    const struct question_record *q, int64_t case_id,
                                    const struct step_record *left, size_t n_left, struct err *e)
{
    struct case_record c; /* with its facts */
    struct notice n = {.kind = NOTICE_NOT_ISOLATED, .why = q->why, .c = &c};
    const char **before;
    size_t n_before = 0;
    enum err_code code = case_load(tx, x->arena, case_id, &c, e);

    if (code || !c.told)
        return code;
    code = notice_audience(tx, x->arena, case_id, &before, &n_before, e);
    for (size_t i = 0; i < n_before && !code; i++) {
        bool told = is_told(x, before[i]);

        for (size_t k = 0; k < n_left && !told; k++)
            told = writes_to(x, &left[k], before[i]);
        if (!told)
            before[n.n_to++] = before[i];
    }
    n.to = before;
    if (!code && n.n_to)
        code = notice_put(tx, x->g, x->rt, x->arena, &n, x->now, e);
    return code ? code : channels_settle(tx, x->g, x->rt, x->arena, &n, NULL, x->now, e);
}

/* Of many: a yes lets the step be tried; else the case is over, and one mail tells of all, but for those whom only a
 * step of the case reaches. */
static enum err_code release(struct db_tx *tx, struct closing *x, const struct question_record *q,
                             const struct question_case *m, struct case_record *c, struct err *e)
{
    struct step_record *steps;
    size_t n = 0, left = 0;
    bool alone;
    enum err_code code = ERR_OK;

    if (q->state == QUESTION_APPROVED) {
        code = case_move(tx, c, CASE_DECIDING, c->why, x->now, e);
        return code ? code : work_put(tx, c->id, WORK_CASE, WORK_NORMAL, x->now, x->now, NULL, e);
    }
    code = case_steps(tx, x->arena, c->id, &steps, &n, e);
    for (size_t i = 0; i < n && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        if (steps[i].n < m->n || steps[i].state != STEP_WAITING)
            continue;
        if (h && h->acts)
            code = step_move(tx, c->id, steps[i].n, STEP_WITHHELD, q->why, x->now, e);
        else if (is_told_together(x, &steps[i]))
            code = step_move(tx, c->id, steps[i].n, STEP_DONE, "told together with the others",
                             x->now, e);
        else
            steps[left++] = steps[i];
    }
    if (!code)
        code = tell_who_heard(tx, x, q, c->id, steps, left, e);
    if (!code && x->n_told)
        code = case_told(tx, c, notice_kind_name(NOTICE_NOT_ISOLATED), e);
    alone = left || !x->n_told; /* where nobody gets the one mail each says it of itself */
    if (!code)
        code = case_move(tx, c, alone ? CASE_ACTING : CASE_DONE, c->why, x->now, e);
    return code || !alone ? code
                          : work_put(tx, c->id, WORK_CASE, WORK_NORMAL, x->now, x->now, NULL, e);
}

/* Ends q and lets everything go on that waits for it. why: for people. */
static enum err_code close_question(struct db_tx *tx, struct closing *x, struct question_record *q,
                                    enum question_state to, const char *why, struct err *e)
{
    struct question_case *list;
    int64_t after = 0;
    size_t n;
    enum err_code code = question_end(tx, q, to, why, x->now, e);

    if (!code && x->rt->config->mail.server)
        code = invitation_list(tx, x->arena, q->id, &x->told, &x->n_told, e);
    if (code)
        return code;
    do {
        n = 0;
        code = question_cases(tx, x->arena, q->id, after, CASES_AT_ONCE, &list, &n, e);
        for (size_t i = 0; i < n && !code; i++) {
            struct case_record c;

            after = list[i].case_id;
            code = case_load_row(tx, x->arena, list[i].case_id, &c, e);
            if (code || c.state != CASE_WAITING)
                continue; /* somebody dropped it */
            code = question_is_of_one(q->kind) ? go_on(tx, x, q, &list[i], &c, e)
                                               : release(tx, x, q, &list[i], &c, e);
        }
    } while (!code && n == CASES_AT_ONCE);
    if (!code && !question_is_of_one(q->kind) && to != QUESTION_APPROVED)
        code = mail_many(tx, x->g, x->rt, x->arena, q, x->now, e);
    return code;
}

/* Before its end, which lets the case go. */
static enum err_code find_case(struct db_tx *tx, struct closing *x, const struct question_record *q,
                               struct err *e)
{
    struct question_case *of;
    size_t n = 0;
    enum err_code code = question_is_of_one(q->kind)
                             ? question_cases(tx, x->arena, q->id, 0, 1, &of, &n, e)
                             : ERR_OK;

    x->case_id = n ? of->case_id : 0;
    return code;
}

static void closed(const struct closing *x, const struct question_record *q)
{
    metrics_add(x->g->metrics, METRIC_QUESTIONS, 1, question_kind_name(q->kind),
                question_state_name(q->state));
    log_event(LOG_INFO, "question_over", LOG_ID("question", q->id), LOG_ID("case", x->case_id),
              LOG_STR("kind", question_kind_name(q->kind)),
              LOG_STR("state", question_state_name(q->state)), LOG_STR("why", q->why));
    engine_kick(x->g);
}

/* ---- answering -------------------------------------------------------------------------------- */

#define OBJECT_LEN (sizeof " (00000000-0000-0000-0000-000000000000)" - 1)

/* Where the object begins of "ann@x.example (OBJECT)", as Entra proves a person; without one the end of the text. */
static size_t object_at(const char *person)
{
    size_t len = strlen(person), at = len < OBJECT_LEN ? len : len - OBJECT_LEN;

    return strncmp(person + at, " (", 2) == 0 && person[len - 1] == ')' &&
                   strspn(person + at + 2, "0123456789abcdefABCDEF-") == OBJECT_LEN - 3
               ? at
               : len;
}

bool question_is_same_person(const char *a, const char *b)
{
    size_t end_a = object_at(a), end_b = object_at(b);
    size_t la = strcspn(a, "@"), lb = strcspn(b, "@");
    bool addresses = la < end_a && lb < end_b;

    if (a[end_a] && b[end_b])
        return strcasecmp(a + end_a, b + end_b) == 0;
    la = addresses || la > end_a ? end_a : la;
    lb = addresses || lb > end_b ? end_b : lb;
    return la == lb && strncasecmp(a, b, la) == 0;
}

/* cordon was away until it was over, and has asked nobody yet. */
static bool is_unasked(const struct question_record *q, int64_t now)
{
    return now >= q->expires && !q->told && !question_is_of_one(q->kind);
}

struct answering {
    struct closing x;
    const struct question_answer *a;
    const char *person;
    struct question_record q; /* as it is afterwards */
    bool ended;
};

const char *question_outcome(const struct question_record *q, struct arena *a)
{
    char when[CLOCK_TEXT_SIZE];

    return arena_fmt(a, "%s (at %s)", q->why ? q->why : question_state_name(q->state),
                     clock_format(q->ended, when));
}

/* "approved by a@b and c@d: reason" */
static const char *sentence(const struct answering *w, const struct answer_record *before, size_t n)
{
    const struct question_answer *a = w->a;
    const char *text = a->yes ? "approved by " : "refused by ";

    for (size_t i = 0; i < n && a->yes; i++)
        text = arena_fmt(w->x.arena, "%s%s and ", text, before[i].person);
    return arena_fmt(w->x.arena, "%s%s%s%s", text, w->person, a->why ? ": " : "",
                     a->why ? a->why : "");
}

/* Would the question be sent to this address now? By the policy that it was asked by, and mail.to as it is. */
static enum err_code check_asked(struct db_tx *tx, struct answering *w, const char *address,
                                 struct err *e)
{
    struct policy_terms terms;
    const char *const *to;
    size_t n_to;
    enum err_code code = terms_of(tx, w->x.arena, w->x.rt, &w->q, &terms, e);

    if (code)
        return code;
    people_of(&terms, w->x.rt, &to, &n_to);
    return has_address(to, n_to, address)
               ? ERR_OK
               : err_set(
                     e, ERR_CONFLICT,
                     "%s is not one of those who may answer any more: mail.to has changed since",
                     address);
}

/* Would this answer be taken now? Where approvers are to prove who they are a link alone says nothing, also where it was enough
 * before, and who is not on their list any more has no answer. Operators are known by their commands. */
static enum err_code check_counts(struct db_tx *tx, struct answering *w,
                                  const struct answer_record *r, struct err *e)
{
    const struct verifier *approvers = w->x.rt->config->approvers;
    bool link = strcmp(r->way, "link") == 0;

    if (strcmp(r->way, "operator") == 0)
        return ERR_OK;
    if (!approvers)
        return link ? check_asked(tx, w, r->person, e) : ERR_OK;
    return !link && verifier_knows(approvers, r->person)
               ? ERR_OK
               : err_set(
                     e, ERR_CONFLICT,
                     "%s is not one of those who may answer any more: approvers has changed since",
                     r->person);
}

/* Nor does the yes count any more that he gave before he was taken out. */
static enum err_code leave_out_unasked(struct db_tx *tx, struct answering *w,
                                       struct answer_record *list, size_t *n, struct err *e)
{
    enum err_code code = ERR_OK;
    size_t kept = 0;

    for (size_t i = 0; i < *n && !code; i++) {
        code = check_counts(tx, w, &list[i], e);
        if (!code)
            list[kept++] = list[i];
        else if (code == ERR_CONFLICT)
            code = ERR_OK;
    }
    *n = kept;
    return code;
}

static enum err_code answer_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct answering *w = arg;
    const struct question_answer *a = w->a;
    const struct answer_record r = {
        .person = w->person, .why = a->why, .way = a->way, .yes = a->yes, .at = w->x.now};
    struct answer_record *before;
    size_t n = 0;
    enum err_code code = question_load(tx, w->x.arena, a->question, &w->q, e);

    w->ended = false;
    if (!code)
        code = answer_list(tx, w->x.arena, a->question, &before, &n, e);
    if (!code)
        code = find_case(tx, &w->x, &w->q, e);
    if (code)
        return code;
    if (w->q.state != QUESTION_OPEN)
        return err_set(e, ERR_CONFLICT, "this question is over: %s",
                       question_outcome(&w->q, w->x.arena));
    if (a->yes && w->q.people > 1 && !a->person) /* he may be any of them */
        return err_set(e, ERR_INVALID,
                       "by: %lld persons must say yes to this, so each says who he is (the command "
                       "takes $SUDO_USER, else $USER)",
                       (long long)w->q.people);
    if (w->x.now >= w->q.expires && !is_unasked(&w->q, w->x.now)) {
        w->ended = true;
        return close_question(tx, &w->x, &w->q, QUESTION_EXPIRED, "nobody answered in time", e);
    }
    if (strcmp(w->q.policy, policy_hash(w->x.rt->config->policy)) != 0) {
        if (engine_may_wait_for(w->x.g, w->q.created, w->x.now))
            return err_set(e, ERR_AGAIN,
                           "this replica has another policy than people were asked by, and may not "
                           "have been told of that one yet: answer again in a moment");
        w->ended = true;
        return close_question(tx, &w->x, &w->q, QUESTION_VOID,
                              "the policy has changed since people were asked", e);
    }
    code = check_counts(tx, w, &r, e);
    if (!code)
        code = leave_out_unasked(tx, w, before, &n, e);
    for (size_t i = 0; i < n && !code; i++)
        if (question_is_same_person(before[i].person, w->person) && a->yes)
            code =
                err_set(e, ERR_CONFLICT, "%s has said yes already; another person must say so, too",
                        before[i].person);
    if (!code)
        code = answer_insert(tx, w->q.id, &r, e); /* yes, and now no: the no is what counts */
    if (code)
        return code;
    if (a->yes && (int64_t)n + 1 < w->q.people)
        return ERR_OK;
    w->ended = true;
    return close_question(tx, &w->x, &w->q, a->yes ? QUESTION_APPROVED : QUESTION_REFUSED,
                          sentence(w, before, n), e);
}

enum err_code question_answer(struct engine *g, const struct question_answer *a,
                              enum question_state *ret_state, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct answering w = {.x = {.g = g, .rt = rt, .arena = arena, .now = clock_wall_ms(g->clock)},
                          .a = a,
                          .person = a->person ? a->person : "an operator"};
    enum err_code code =
        arena ? db_write(g->store->db, answer_fn, &w, e) : err_set(e, ERR_NOMEM, "an answer");

    if (code)
        return code;
    log_event(LOG_INFO, "answer", LOG_ID("question", a->question), LOG_ID("case", w.x.case_id),
              LOG_STR("who", w.person), LOG_STR("way", a->way), LOG_BOOL("yes", a->yes),
              LOG_STR("why", a->why));
    if (w.ended)
        closed(&w.x, &w.q);
    if (w.q.state == QUESTION_EXPIRED || w.q.state == QUESTION_VOID)
        return err_set(e, ERR_CONFLICT, "this question is over: %s", w.q.why);
    *ret_state = w.q.state;
    return ERR_OK;
}

/* ---- when it is due --------------------------------------------------------------------------- */

struct due {
    struct closing x;
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
    if (q->created <= now && !is_unasked(q, now))
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
        code = find_case(tx, &d->x, &d->q, e);
    if (code)
        return code;
    if (d->x.now >= d->q.expires) {
        code = work_keep(tx, d->w, d->x.now, e); /* is it still ours? */
        d->ended = true;
        return code ? code
                    : close_question(tx, &d->x, &d->q, QUESTION_EXPIRED, "nobody answered in time",
                                     e);
    }
    if (!engine_is_in_force(
            d->x.g, d->x.rt)) /* who is to be asked says that one, which has found it claimed */
        return work_again(tx, d->w, d->x.now, 0, e);
    if (question_is_of_one(d->q.kind)) {
        code = mail_newcomers(tx, d->x.g, d->x.rt, d->x.arena, &d->q, d->x.now, e);
        return code ? code : work_again(tx, d->w, d->q.expires, 0, e);
    }
    d->first = d->q.told == 0;
    code = mail_many(tx, d->x.g, d->x.rt, d->x.arena, &d->q, d->x.now, e);
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
        closed(&d.x, &d.q);
    engine_kick(g);
}
