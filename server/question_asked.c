/* question_asked.c - see question_asked.h. */
#include "question_asked.h"

#include <string.h>
#include <strings.h>

#include "id.h"
#include "log.h"
#include "notice.h"
#include "policy.h"

/* ---- whom to ask ------------------------------------------------------------------------------ */

enum err_code question_invite(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                              int64_t question, const char *const *to, size_t n, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < n && !code && rt->config->mail.server; i++)
        code = invitation_insert(tx, id_new(g->clock), question, to[i], e);
    return code;
}

void question_people(const struct policy_terms *terms, const struct runtime *rt,
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

bool question_is_among(const char *const *list, size_t n, const char *address)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(list[i], address) == 0)
            return true;
    return false;
}

enum err_code question_terms(struct db_tx *tx, struct arena *a, const struct runtime *rt,
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

/* ---- the mails ---------------------------------------------------------------------------------- */

enum err_code question_mail_case(struct db_tx *tx, const struct question_case_mail *m, int64_t now,
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

/* Whom a question was sent to. */
struct asked {
    struct invitation *list;
    size_t n, old; /* the first so many have been asked before */
};

/* mail.to may have changed since people were asked: who is new there gets a link, too, and who is not there any more nothing, for
 * his is good for nothing (question_end.c). Under another policy nobody may answer, and without a mail server nobody gets his link: it
 * stays as it was, and who is new is that later, too. */
static enum err_code mind_the_list(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                                   struct arena *a, const struct question_record *q,
                                   struct asked *ret, struct err *e)
{
    struct invitation *all;
    struct policy_terms terms;
    const char *const *to;
    const char **had;
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
    code = had ? question_terms(tx, a, rt, q, &terms, e) : err_set(e, ERR_NOMEM, "invitations");
    if (code)
        return code;
    question_people(&terms, rt, &to, &n_to);
    for (size_t i = 0; i < n_had; i++)
        had[i] = ret->list[i].address;
    for (size_t i = 0; i < n_to && !code; i++)
        if (!question_is_among(had, n_had, to[i]))
            code = question_invite(tx, g, rt, q->id, &to[i], 1, e);
    if (!code)
        code = invitation_list(tx, a, q->id, &all, &n, e);
    ret->list = arena_array(a, n + 1, sizeof *ret->list);
    if (!code && !ret->list)
        code = err_set(e, ERR_NOMEM, "invitations");
    ret->n = ret->old = 0;
    for (size_t i = 0; i < n && !code; i++)
        if (question_is_among(to, n_to, all[i].address) &&
            question_is_among(had, n_had, all[i].address))
            ret->list[ret->n++] = all[i];
    ret->old = ret->n;
    for (size_t i = 0; i < n && !code; i++)
        if (!question_is_among(had, n_had, all[i].address))
            ret->list[ret->n++] = all[i];
    return code;
}

/* Those of one over a single case, who were all asked when it was made, but for who came into mail.to since. */
enum err_code question_mail_newcomers(struct db_tx *tx, struct engine *g, struct runtime *rt,
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
                : question_mail_case(tx,
                                     &(struct question_case_mail){.g = g,
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

enum err_code question_mail_many(struct db_tx *tx, struct engine *g, struct runtime *rt,
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
