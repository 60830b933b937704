/* question_end.c - see question_end.h: what waits for a question goes on, by answers and without. */
#include "question_end.h"

#include <string.h>
#include <strings.h>

#include "channel.h"
#include "defender.h"
#include "log.h"
#include "notice.h"
#include "policy.h"
#include "question_asked.h"
#include "store_notices.h"
#include "verify.h"

#define CASES_AT_ONCE 200

/* ---- the end of a question -------------------------------------------------------------------- */

static bool is_told(const struct question_closing *x, const char *address)
{
    for (size_t i = 0; i < x->n_told; i++)
        if (address && strcmp(x->told[i].address, address) == 0)
            return true;
    return false;
}

/* Is a step that acts on nothing done with the one mail? Not if it posts, or writes to somebody who does not get that. */
static bool is_told_together(const struct question_closing *x, const struct step_record *s)
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
static enum err_code go_on(struct db_tx *tx, struct question_closing *x,
                           const struct question_record *q, const struct question_case *m,
                           struct case_record *c, struct err *e)
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
static bool writes_to(const struct question_closing *x, const struct step_record *s,
                      const char *address)
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
static enum err_code tell_who_heard(struct db_tx *tx, struct question_closing *x,
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
static enum err_code release(struct db_tx *tx, struct question_closing *x,
                             const struct question_record *q, const struct question_case *m,
                             struct case_record *c, struct err *e)
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

enum err_code question_close(struct db_tx *tx, struct question_closing *x,
                             struct question_record *q, enum question_state to, const char *why,
                             struct err *e)
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
        code = question_mail_many(tx, x->g, x->rt, x->arena, q, x->now, e);
    return code;
}

enum err_code question_find_case(struct db_tx *tx, struct question_closing *x,
                                 const struct question_record *q, struct err *e)
{
    struct question_case *of;
    size_t n = 0;
    enum err_code code = question_is_of_one(q->kind)
                             ? question_cases(tx, x->arena, q->id, 0, 1, &of, &n, e)
                             : ERR_OK;

    x->case_id = n ? of->case_id : 0;
    return code;
}

void question_log_end(const struct question_closing *x, const struct question_record *q)
{
    metrics_add(x->g->metrics, METRIC_QUESTIONS, 1, question_kind_name(q->kind),
                question_state_name(q->state));
    log_event(LOG_INFO, "question_over", LOG_ID("question", q->id), LOG_ID("case", x->case_id),
              LOG_STR("kind", question_kind_name(q->kind)),
              LOG_STR("state", question_state_name(q->state)), LOG_STR("why", q->why));
    engine_kick(x->g);
}

bool question_is_over(const struct question_record *q, const struct runtime *rt, int64_t now)
{
    int64_t right = now - runtime_last_ahead_ms(rt);

    /* Asked at a time that is still to come by Defender's: by this clock, which was ahead then as now. */
    return right >= q->expires || (now >= q->expires && q->created > right + DEFENDER_SKEW_MS);
}

bool question_is_unasked(const struct question_record *q, int64_t now)
{
    return now >= q->expires && !q->told && !question_is_of_one(q->kind);
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

struct answering {
    struct question_closing x;
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
    enum err_code code = question_terms(tx, w->x.arena, w->x.rt, &w->q, &terms, e);

    if (code)
        return code;
    question_people(&terms, w->x.rt, &to, &n_to);
    return question_is_among(to, n_to, address)
               ? ERR_OK
               : err_set(
                     e, ERR_CONFLICT,
                     "%s is not one of those who may answer any more: mail.to has changed since",
                     address);
}

/* Would this answer be taken now? Where approvers are to prove who they are a link alone says nothing, also where it was enough
 * before, and who is not on their list any more, or on none as there is none, has no answer. Operators are known by their commands. */
static enum err_code check_counts(struct db_tx *tx, struct answering *w,
                                  const struct answer_record *r, struct err *e)
{
    const struct verifier *approvers = w->x.rt->config->approvers;
    bool link = strcmp(r->way, "link") == 0;

    if (strcmp(r->way, "operator") == 0)
        return ERR_OK;
    if (!approvers && link)
        return check_asked(tx, w, r->person, e);
    return approvers && !link && verifier_knows(approvers, r->person)
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
        code = question_find_case(tx, &w->x, &w->q, e);
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
    if (question_is_over(&w->q, w->x.rt, w->x.now) && !question_is_unasked(&w->q, w->x.now)) {
        w->ended = true;
        return question_close(tx, &w->x, &w->q, QUESTION_EXPIRED, "nobody answered in time", e);
    }
    if (strcmp(w->q.policy, policy_hash(w->x.rt->config->policy)) != 0) {
        if (engine_may_wait_for(w->x.g, w->q.created, w->x.now))
            return err_set(e, ERR_AGAIN,
                           "this replica has another policy than people were asked by, and may not "
                           "have been told of that one yet: answer again in a moment");
        w->ended = true;
        return question_close(tx, &w->x, &w->q, QUESTION_VOID,
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
    return question_close(tx, &w->x, &w->q, a->yes ? QUESTION_APPROVED : QUESTION_REFUSED,
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
        question_log_end(&w.x, &w.q);
    if (w.q.state == QUESTION_EXPIRED || w.q.state == QUESTION_VOID)
        return err_set(e, ERR_CONFLICT, "this question is over: %s", w.q.why);
    *ret_state = w.q.state;
    return ERR_OK;
}
