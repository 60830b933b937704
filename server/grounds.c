/* grounds.c - see grounds.h. The judging is decide()'s; here is only what it is asked and what follows. */
#include "grounds.h"

#include <string.h>
#include <strings.h>

bool grounds_are_fresh(const struct case_record *c, const struct approval *approval,
                       const struct runtime *rt, struct engine *g, struct arena *a)
{
    int64_t now = clock_wall_ms(g->clock);
    AUTO(json_freep) struct json *verdict = NULL, *doc = NULL;
    struct verdict v;
    struct facts f;

    if (engine_judged_ago(g, c->id) >= GROUNDS_FRESH_MS || !c->verdict || !c->facts ||
        json_parse(c->verdict, strlen(c->verdict), &verdict, NULL) ||
        verdict_read(verdict, a, &v, NULL) || json_parse(c->facts, strlen(c->facts), &doc, NULL) ||
        facts_read(doc, &f, NULL))
        return false;
    return strcmp(v.policy, policy_hash(rt->config->policy)) == 0 && now >= f.read_ms &&
           now - f.read_ms < GROUNDS_FRESH_MS && (!approval || f.read_ms >= approval->given);
}

/* Is what a step of now asks a person about what he has said yes to? */
static enum err_code check_approval(const struct verdict_step *s, const char *policy,
                                    const char *machine_id, const struct approval *p, struct err *e)
{
    if (!p->step)
        return err_set(e, ERR_REFUSED, "judged again: a person must be asked: %s", s->asks);
    if (strcmp(p->policy, policy) != 0)
        return err_set(e, ERR_REFUSED, "the approval is void: the policy has changed since");
    if (!p->machine_id || strcasecmp(p->machine_id, machine_id) != 0)
        return err_set(e, ERR_REFUSED, "the approval is void: it was for another machine");
    if (strcmp(p->what, s->asks) != 0)
        return err_set(e, ERR_REFUSED, "the approval is void: it was given to '%s', and now %s",
                       p->what, s->asks);
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
        return s->asks ? check_approval(s, v->policy, machine_id, approval, e) : ERR_OK;
    }
    return err_set(e, ERR_REFUSED, "the policy in force now asks for no %s (rule '%s')",
                   strcmp(handler, "isolate") == 0 ? "isolation" : handler,
                   v->rule ? v->rule : "none");
}

static enum err_code judge_again(const struct case_record *c, struct runtime *rt, const char *type,
                                 const struct approval *approval, int64_t now, struct arena *a,
                                 const struct defender_reads *r, struct err *e)
{
    const char *machine_id;
    struct verdict v;
    struct facts f = {.tenant = c->tenant,
                      .source = c->source,
                      .may_isolate = config_may_isolate(rt->config, c->source),
                      .source_shadow = config_is_shadow(rt->config, c->source),
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
    machine_id = json_get_string(r->alert, "machineId");
    if (!machine_id || strcasecmp(machine_id, c->machine_id) != 0)
        return err_set(e, ERR_REFUSED, "the alert names another machine now");
    code = decide(rt->config->policy, &f, now, a, &v, e);
    return code ? code : grounds_compare(&v, "isolate", 0, type, machine_id, approval, e);
}

void grounds_read(const struct case_record *c, struct runtime *rt, struct runtime_tenant *tenant,
                  const char *type, bool judged_now, const struct approval *approval,
                  struct engine *g, struct arena *a, struct grounds *ret)
{
    bool fresh = judged_now || grounds_are_fresh(c, approval, rt, g, a);

    memset(ret, 0, sizeof *ret);
    defender_read(tenant->defender, fresh ? NULL : c->alert_id, c->machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS |
                      (fresh ? 0 : DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE),
                  &ret->look);
    if (!fresh)
        ret->code =
            judge_again(c, rt, type, approval, clock_wall_ms(g->clock), a, &ret->look, &ret->why);
}
