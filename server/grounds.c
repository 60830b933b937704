/* grounds.c - see grounds.h. The judging is decide()'s; here is only what it is asked and what follows. */
#include "grounds.h"

#include <string.h>
#include <strings.h>

bool grounds_are_young(int64_t read_ms, int64_t now)
{
    return now >= read_ms && now - read_ms < GROUNDS_FRESH_MS;
}

const char *grounds_source(const struct config *config, const struct case_record *c,
                           const struct json *alert)
{
    const struct config_hunt *hunt =
        config_hunt_held_back(config, c->source, c->tenant, json_get_string(alert, "title"),
                              json_get_string(alert, "description"));

    return hunt && config_may_isolate(config, c->source, c->tenant) &&
                   !config_is_shadow(config, c->source)
               ? hunt->source
               : c->source;
}

/* What the source of a case may, and whether what it does is tried out. */
struct rights {
    bool may_isolate, shadow;
};

static struct rights rights_of(const struct config *config, const struct case_record *c,
                               const struct json *alert)
{
    const char *source = grounds_source(config, c, alert);

    return (struct rights){config_may_isolate(config, source, c->tenant),
                           config_is_shadow(config, source)};
}

bool grounds_same_terms(const struct config *a, const struct config *b, const struct case_record *c,
                        const struct json *alert)
{
    struct rights x = rights_of(a, c, alert), y = rights_of(b, c, alert);

    return strcmp(policy_hash(a->policy), policy_hash(b->policy)) == 0 &&
           x.may_isolate == y.may_isolate && x.shadow == y.shadow;
}

bool grounds_are_weak(const struct config *config, const struct case_record *c)
{
    return (!config_may_isolate(config, c->source, c->tenant) ||
            config_is_shadow(config, c->source)) &&
           strncmp(c->source, HUNT_SOURCE, sizeof HUNT_SOURCE - 1) != 0;
}

bool grounds_have_second(const struct config *config, const struct case_record *c)
{
    return c->second && config_may_isolate(config, c->second, c->tenant) &&
           !config_is_shadow(config, c->second);
}

static bool is_of(const char *policy, const struct config *config)
{
    return policy && strcmp(policy, policy_hash(config->policy)) == 0;
}

bool grounds_may_be_newer(const struct approval *approval, const struct config *config,
                          const struct engine *g, int64_t now)
{
    const char *const by[] = {approval->policy, approval->canary_policy, approval->limits_policy,
                              approval->failure_policy};
    bool any = false, of_now = false;

    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        any = any || by[i];
        of_now = of_now || is_of(by[i], config);
    }
    return any && !of_now && engine_may_wait_for(g, approval->given, now);
}

/* What is stored of a case's last judgement. */
struct stored {
    struct json *verdict_doc, *facts_doc;
    struct verdict verdict;
    struct facts facts;
};

static void stored_clear(struct stored *s)
{
    json_freep(&s->verdict_doc);
    json_freep(&s->facts_doc);
}

static bool read_stored(const struct case_record *c, struct arena *a, struct stored *ret)
{
    *ret = (struct stored){0};
    return c->verdict && c->facts &&
           !json_parse(c->verdict, strlen(c->verdict), &ret->verdict_doc, NULL) &&
           !verdict_read(ret->verdict_doc, a, &ret->verdict, NULL) &&
           !json_parse(c->facts, strlen(c->facts), &ret->facts_doc, NULL) &&
           !facts_read(ret->facts_doc, &ret->facts, NULL);
}

/* By the terms in force, and as far as the wall clock says. */
static bool is_of_now(const struct stored *s, const struct case_record *c,
                      const struct config *config, const struct engine *g)
{
    struct rights may = rights_of(config, c, s->facts.alert);

    return strcmp(s->verdict.policy, policy_hash(config->policy)) == 0 &&
           s->facts.may_isolate == may.may_isolate && s->facts.source_shadow == may.shadow &&
           grounds_are_young(s->facts.read_ms, clock_wall_ms(g->clock));
}

/* How long ago this process judged it as whose it is; INT64_MAX: it has not. Another source may have come into that place since,
 * by another replica's hand (case_stand_in), or a sender may have named a machine (case_name_machine): that was not held against
 * the alert. */
static int64_t judged_ago(const struct stored *s, const struct case_record *c, struct engine *g)
{
    const char *source = s->facts.source;

    return source && strcmp(source, c->source) == 0 &&
                   case_same_named(s->facts.pushed_machine_id, c)
               ? engine_judged_ago(g, c->id)
               : INT64_MAX;
}

static bool is_fresh(const struct stored *s, const struct case_record *c,
                     const struct approval *approval, const struct config *config, struct engine *g)
{
    return judged_ago(s, c, g) < GROUNDS_FRESH_MS && is_of_now(s, c, config, g) &&
           s->facts.read_ms >= approval->given;
}

/* Do two steps `ask`, by their arguments, want the yes of as many persons, and of the same ones? */
static bool is_same_ask(const char *a, const char *b)
{
    AUTO(json_freep) struct json *x = NULL, *y = NULL;
    const struct json *ours, *theirs;

    if (json_parse(a, strlen(a), &x, NULL) || json_parse(b, strlen(b), &y, NULL) ||
        json_get_int64(x, "people", 1) != json_get_int64(y, "people", 1))
        return false;
    ours = json_first(json_get(x, "approvers"));
    theirs = json_first(json_get(y, "approvers"));
    while (ours && theirs && json_string(ours) && json_string(theirs) &&
           strcasecmp(json_string(ours), json_string(theirs)) == 0) {
        ours = json_next(ours);
        theirs = json_next(theirs);
    }
    return !ours && !theirs;
}

/* Does each `ask` of now before step i want what one of then did? Another rule may match by now, which asks others about the same,
 * and an earlier version of cordon may have asked fewer. */
static bool are_same_asks(const struct verdict *v, size_t i, const struct approval *p)
{
    size_t n = 0;

    for (size_t k = 0; k < i; k++) {
        if (strcmp(v->steps[k].handler, "ask") != 0)
            continue;
        if (n == p->n_asks || !is_same_ask(v->steps[k].args, p->asks[n]))
            return false;
        n++;
    }
    return true;
}

/* Is what step i of now asks a person about what he has said yes to? */
static enum err_code check_approval(const struct verdict *v, size_t i, const char *machine_id,
                                    const struct approval *p, struct err *e)
{
    const struct verdict_step *s = &v->steps[i];

    if (!p->step)
        return err_set(e, ERR_REFUSED, "judged again: a person must be asked: %s", s->asks);
    if (strcmp(p->policy, v->policy) != 0)
        return err_set(e, ERR_REFUSED, "the approval is void: the policy has changed since");
    if (!p->machine_id || strcasecmp(p->machine_id, machine_id) != 0)
        return err_set(e, ERR_REFUSED, "the approval is void: it was for another machine");
    if (strcmp(p->what, s->asks) != 0)
        return err_set(e, ERR_REFUSED, "the approval is void: it was given to '%s', and now %s",
                       p->what, s->asks);
    if (!are_same_asks(v, i, p))
        return err_set(e, ERR_REFUSED,
                       "the approval is void: more people, or others, must say yes to it now");
    return ERR_OK;
}

enum err_code grounds_compare(const struct verdict *v, const char *handler, size_t nth,
                              const char *type, const char *machine_id,
                              const struct approval *approval, struct err *e)
{
    for (size_t i = 0; i < v->n_steps; i++) {
        const struct verdict_step *s = &v->steps[i];
        AUTO(json_freep) struct json *args = NULL;
        const char *now;

        if (strcmp(s->handler, handler) != 0 || nth-- > 0)
            continue;
        if (s->withheld)
            return err_set(e, ERR_REFUSED, "judged again: %s", s->withheld);
        if (json_parse(s->args, strlen(s->args), &args, e))
            return ERR_AGAIN;
        now = json_get_string(args, "type");
        if (type && strcasecmp(now ? now : "full", type) != 0)
            return err_set(e, ERR_REFUSED, "the policy in force now asks for another isolation: %s",
                           now ? now : "full");
        return s->asks ? check_approval(v, i, machine_id, approval, e) : ERR_OK;
    }
    return err_set(e, ERR_REFUSED, "the policy in force now asks for no %s (rule '%s')",
                   strcmp(handler, "isolate") == 0 ? "isolation" : handler,
                   v->rule ? v->rule : "none");
}

/* Has a person said by this policy that what stands behind step n, which was not done, is to be done all the same? */
static bool is_said(const struct approval *p, int64_t n, const char *policy)
{
    for (const struct went_on *w = p->before_isolate; w; w = w->next)
        if (w->n == n && strcmp(w->policy, policy) == 0)
            return true;
    return false;
}

/* Does v have a person asked where a step before its isolation is not done? What cannot be read may. */
static bool asks_before_isolate(const struct verdict *v)
{
    bool asks = false;

    for (size_t i = 0; i < v->n_steps && strcmp(v->steps[i].handler, "isolate") != 0; i++) {
        AUTO(json_freep) struct json *args = NULL;
        const char *then;

        if (json_parse(v->steps[i].args, strlen(v->steps[i].args), &args, NULL))
            return true;
        then = json_get_string(args, "on_failure");
        asks = asks || (then && strcmp(then, "ask") == 0);
    }
    return asks;
}

/* Does v ask for the isolation, and does what people have said hold by its policy, that to go on after a step before it too? */
static enum err_code compare_isolation(const struct verdict *v, const char *machine_id,
                                       const char *type, const struct approval *p, struct err *e)
{
    enum err_code code = grounds_compare(v, "isolate", 0, type, machine_id, p, e);

    for (const struct went_on *w = p->before_isolate; w && !code; w = w->next)
        if (!is_said(p, w->n, v->policy) && asks_before_isolate(v))
            code =
                err_set(e, ERR_REFUSED, "the yes to go on is void: the policy has changed since");
    return code;
}

static enum err_code check_machine(const struct json *alert, const char *machine_id, struct err *e)
{
    const char *named = json_get_string(alert, "machineId");

    return named && strcasecmp(named, machine_id) == 0
               ? ERR_OK
               : err_set(e, ERR_REFUSED, "the alert names another machine now");
}

/* What is stored is fresh: does it ask for this? The case may have been judged anew since it was asked for. */
static enum err_code check_stored(const struct stored *s, const char *machine_id, const char *type,
                                  const struct approval *approval, struct err *e)
{
    enum err_code code = check_machine(s->facts.alert, machine_id, e);

    return code ? code : compare_isolation(&s->verdict, machine_id, type, approval, e);
}

bool grounds_hold(const struct case_record *c, const char *type, const struct approval *approval,
                  const struct runtime *rt, struct engine *g, struct arena *a)
{
    AUTO(stored_clear) struct stored s;
    struct err e;

    return read_stored(c, a, &s) && is_fresh(&s, c, approval, rt->config, g) &&
           !check_stored(&s, c->machine_id, type, approval, &e);
}

/* The verdict on what was read now. */
static enum err_code judge_again(const struct case_record *c, const char *machine_id,
                                 struct runtime *rt, int64_t now, struct arena *a,
                                 const struct defender_reads *r, struct verdict *ret, struct err *e)
{
    struct rights may = rights_of(rt->config, c, r->alert);
    struct facts f = {.tenant = c->tenant,
                      .source = grounds_source(rt->config, c, r->alert),
                      .may_isolate = may.may_isolate,
                      .source_shadow = may.shadow,
                      .alert_id = c->alert_id,
                      .pushed_machine_id = c->pushed_machine_id,
                      .alert = r->alert,
                      .machine = r->machine,
                      .read_ms = r->read_ms};
    enum err_code code;

    if (r->alert_code || r->machine_code) {
        *e = r->alert_code ? r->alert_err : r->machine_err;
        return r->alert_code ? r->alert_code : r->machine_code;
    }
    code = check_machine(r->alert, machine_id, e);
    return code ? code : decide(rt->config->policy, &f, now, a, ret, e);
}

void grounds_read(const struct case_record *c, struct runtime *rt, struct runtime_tenant *tenant,
                  const char *type, bool judged_now, const struct approval *approval,
                  struct engine *g, struct arena *a, struct grounds *ret)
{
    AUTO(stored_clear) struct stored s = {0};
    bool stored = !judged_now && read_stored(c, a, &s) && is_fresh(&s, c, approval, rt->config, g);
    bool fresh = judged_now || stored;
    struct verdict v;

    memset(ret, 0, sizeof *ret);
    defender_read(tenant->defender, fresh ? NULL : c->alert_id, c->machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS |
                      (fresh ? 0 : DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE),
                  &ret->look);
    if (stored)
        ret->code = check_stored(&s, c->machine_id, type, approval, &ret->why);
    else if (!fresh)
        ret->code = judge_again(c, c->machine_id, rt, clock_wall_ms(g->clock), a, &ret->look, &v,
                                &ret->why);
    if (!fresh && !ret->code)
        ret->code = compare_isolation(&v, c->machine_id, type, approval, &ret->why);
    if (ret->code == ERR_REFUSED &&
        grounds_may_be_newer(approval, rt->config, g, clock_wall_ms(g->clock))) {
        ret->code = err_set(&ret->why, ERR_AGAIN, GROUNDS_NEWER);
        ret->why.retry_ms = ENGINE_NEWER_CONFIG_LOOK_MS;
        ret->newer = true;
    }
}

/* Is the argument of the verdict's step what it was to be? */
static enum err_code check_argument(const struct verdict *v, const struct grounds_deed *d,
                                    struct err *e)
{
    for (size_t i = 0; i < v->n_steps; i++) {
        AUTO(json_freep) struct json *args = NULL;
        const char *now;

        if (strcmp(v->steps[i].handler, d->handler) != 0)
            continue;
        if (json_parse(v->steps[i].args, strlen(v->steps[i].args), &args, e))
            return ERR_AGAIN;
        now = json_get_string(args, d->arg);
        if (!now || strcasecmp(now, d->value) != 0)
            return err_set(e, ERR_REFUSED, "the policy in force now asks for another %s: %.60s",
                           d->handler, now ? now : "none");
    }
    return ERR_OK;
}

enum err_code grounds_ask(const struct case_record *c, const struct grounds_deed *d,
                          const struct approval *approval, struct runtime *rt,
                          struct runtime_tenant *tenant, struct engine *g, struct arena *a,
                          bool *ret_old, struct err *e)
{
    AUTO(stored_clear) struct stored s;
    int64_t ago = read_stored(c, a, &s) ? judged_ago(&s, c, g) : GROUNDS_FRESH_MS;
    struct defender_reads reads = {0};
    struct verdict v;
    enum err_code code;

    *ret_old = (ago >= GROUNDS_FRESH_MS && ago != INT64_MAX) || !is_of_now(&s, c, rt->config, g);
    if (*ret_old)
        return err_set(e, ERR_REFUSED, "facts or policy have changed");
    if (ago != INT64_MAX) {
        v = s.verdict;
        code = check_machine(s.facts.alert, d->machine_id, e);
    } else if (!tenant) {
        return err_set(e, ERR_AGAIN, "the case cannot be read again now");
    } else {
        defender_read(tenant->defender, c->alert_id, d->machine_id,
                      DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE, &reads);
        code = judge_again(c, d->machine_id, rt, clock_wall_ms(g->clock), a, &reads, &v, e);
    }
    if (!code)
        code = grounds_compare(&v, d->handler, 0, NULL, d->machine_id, approval, e);
    if (!code && d->arg)
        code = check_argument(&v, d, e);
    defender_reads_clear(&reads);
    return code;
}
