/* decide.c - see decide.h.
 *
 * The first rule that is not false gives the verdict: true, or unknown and then in doubt (Kleene's
 * logic makes that safe: a value that becomes unknown turns a rule from true or false to unknown only,
 * and a rule in doubt acts on nothing).
 *
 * Why an acting step is withheld; the first that applies is told, the ones that say most about the
 * case before those that say what we are allowed, so that `shadow` means it would have been done:
 *   1. doubt: the rule could not be judged, or the facts are too old to act by
 *   2. Defender answered with another alert than the one asked for
 *   3. the alert names no machine
 *   4. the pushed machine is another than the alert's (defender-api.md trap 14)
 *   5. Defender does not know the machine, or answered with another one, or merged it (trap 12)
 *   6. the machine is protected, or that cannot be judged
 *   7. the source may only notify
 *   8. shadow mode: of the policy, the rule or the source
 * Where a person can be asked, 1, 4 and 6 become what he is asked about, all that apply (every line that protects the machine,
 * or may), when nothing else withholds. What was too old is read again after his yes, so that is asked about only when nothing else is.
 * A rule that asks by itself asks about these, too; where safety.ask wants more persons than it does, or others, both ask.
 *
 * Nobody stays silent: where no rule matched, or something was withheld, and the rule tells nobody, an
 * email with nothing set is added (contract.md section 0).
 */
#include "decide.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "clock.h"
#include "fields.h"
#include "match.h"
#include "policy_rules.h"

/* Tags and owners change and an alert is resolved meanwhile: what is older is read again before it may
 * lead to an isolation. A clock that is off by as much the other way is as little to be trusted. */
#define FACTS_AGE_MAX_MS (10 * MINUTE_MS)

#define SENTENCE_MAX 16384 /* bytes */
#define ID_SHOWN_MAX 140   /* bytes; an alert's id has 128 at most */

/* Lines whose reasons a person is asked about; of more he is told how many. */
#define PROTECTIONS_NAMED 4

struct deciding {
    const struct policy *policy;
    const struct facts *facts;
    int64_t now_ms;
    struct arena *arena;
    struct match *rules; /* of every one, judged */
    struct match *protections;
    const char *unjudged,
        *old; /* the two parts of a doubt: of the rule, of the facts' age; NULL: none */
};

/* ---- why not ----------------------------------------------------------------------------------- */

/* A sentence. Never NULL: a reason that could not be written is still one. */
__attribute__((format(printf, 2, 3))) static const char *say(struct arena *a, const char *fmt, ...)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(SENTENCE_MAX);
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    text = buf_failed(&b) ? NULL : arena_str(a, buf_text(&b));
    return text ? text : "memory ran out while judging";
}

static const char *shown_id(struct arena *a, const char *id)
{
    const char *shown = field_shown(a, id, ID_SHOWN_MAX);

    return shown ? shown : "?";
}

/* NULL: the facts are fresh enough. */
static const char *stale(struct arena *a, const struct facts *f, int64_t now_ms)
{
    int64_t age_ms;

    if (__builtin_sub_overflow(now_ms, f->read_ms, &age_ms) || age_ms < -FACTS_AGE_MAX_MS)
        return "the time at which the facts were read lies ahead of the clock";
    if (age_ms > FACTS_AGE_MAX_MS)
        return say(a, "the facts were read %" PRId64 " minutes ago", age_ms / MINUTE_MS);
    return NULL;
}

/* NULL: the sender named the machine that the alert names, or none. */
static const char *contradiction(struct arena *a, const struct facts *f)
{
    const char *wanted = json_get_string(f->alert, "machineId");

    if (!f->pushed_machine_id || !wanted || strcasecmp(f->pushed_machine_id, wanted) == 0)
        return NULL;
    return say(a, "the sender named machine %s, the alert names machine %s",
               shown_id(a, f->pushed_machine_id), shown_id(a, wanted));
}

/* NULL: alert and machine are what they should be, whatever the sender says. */
static const char *wrong_machine(struct arena *a, const struct facts *f)
{
    const char *alert_id = json_get_string(f->alert, "id");
    const char *wanted = json_get_string(f->alert, "machineId");
    const char *got = json_get_string(f->machine, "id");
    const struct json *merged = json_get(f->machine, "mergedIntoMachineId");

    if (!alert_id || strcmp(alert_id, f->alert_id) != 0)
        return say(a, "Defender answered with alert %s for alert %s",
                   shown_id(a, alert_id ? alert_id : "without an id"), shown_id(a, f->alert_id));
    if (!wanted || !*wanted)
        return "the alert names no machine";
    if (!f->machine)
        return say(a, "Defender does not know machine %s", shown_id(a, wanted));
    if (!got || strcasecmp(got, wanted) != 0)
        return say(a, "Defender answered with machine %s for machine %s",
                   shown_id(a, got ? got : "without an id"), shown_id(a, wanted));
    if (json_type(merged) > JSON_NULL && !(json_string(merged) && !*json_string(merged)))
        return say(a, "machine %s was merged into %s", shown_id(a, wanted),
                   shown_id(a, json_string(merged) ? json_string(merged) : "another"));
    return NULL;
}

/* The same, in the order in which it is told. */
static const char *wrong_or_contradicted(struct arena *a, const struct facts *f)
{
    const char *alert_id = json_get_string(f->alert, "id");
    const char *other = alert_id && strcmp(alert_id, f->alert_id) == 0 ? contradiction(a, f) : NULL;
    const char *wanted = json_get_string(f->alert, "machineId");

    return other && *wanted ? other : wrong_machine(a, f);
}

static const char *and_then(struct deciding *d, const char *before, const char *why)
{
    return before && why ? say(d->arena, "%s; %s", before, why) : before ? before : why;
}

/* What a line of safety.protected that is not false says. */
static const char *why_protected(struct deciding *d, const struct match *line)
{
    const bool certain = line->result == TRUTH_TRUE;
    const char *why = certain ? match_reason(line, d->arena) : match_doubt(line, d->arena);

    return say(d->arena, "%sprotected: %s", certain ? "" : "perhaps ", why ? why : "?");
}

/* NULL: no protection. Certain ones are named before doubtful ones; max: how many of them. ret_rest: of those that are not. */
static const char *protection(struct deciding *d, size_t max, size_t *ret_count, uint32_t *ret_rest)
{
    static const enum truth order[] = {TRUTH_TRUE, TRUTH_UNKNOWN};
    const char *all = NULL;

    *ret_count = *ret_rest = 0;
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (size_t i = 0; i < d->policy->n_protections; i++) {
            if (d->protections[i].result != order[k])
                continue;
            if ((*ret_count)++ < max)
                all = and_then(d, all, why_protected(d, &d->protections[i]));
            else if (max > 1)
                *ret_rest = match_digest(*ret_rest, why_protected(d, &d->protections[i]));
        }
    return all;
}

/* One is enough to withhold a step. */
static const char *first_protection(struct deciding *d)
{
    uint32_t rest;
    size_t n;

    return protection(d, 1, &n, &rest);
}

/* Who lets a step past them has all of them before him; and one that has come since is none that he has said yes to, though as many
 * are not named as before. */
static const char *all_protections(struct deciding *d)
{
    uint32_t rest;
    size_t n;
    const char *all = protection(d, PROTECTIONS_NAMED, &n, &rest);

    return n > PROTECTIONS_NAMED
               ? say(d->arena, "%s; and %zu more (%08x)", all, n - PROTECTIONS_NAMED, rest)
               : all;
}

static const char *in_shadow(struct deciding *d, const struct policy_rule *rule)
{
    if (d->policy->shadow)
        return "shadow mode: nothing is done at Defender";
    if (rule->shadow)
        return say(d->arena, "shadow mode of rule %s: nothing is done at Defender", rule->name);
    if (d->facts->source_shadow)
        return say(d->arena, "shadow mode of source %s: nothing is done at Defender",
                   d->facts->source ? d->facts->source : "unknown");
    return NULL;
}

/* Why acting steps are withheld; NULL: they are not. doubt: the verdict's. */
static const char *withhold(struct deciding *d, const struct policy_rule *rule, const char *doubt,
                            enum hold *ret_hold)
{
    const char *why;

    *ret_hold = HOLD_DOUBT;
    if (doubt)
        return say(d->arena, "in doubt: %s", doubt);
    *ret_hold = HOLD_MACHINE;
    if ((why = wrong_or_contradicted(d->arena, d->facts)))
        return why;
    *ret_hold = HOLD_PROTECTED;
    if ((why = first_protection(d)))
        return why;
    *ret_hold = HOLD_SOURCE;
    if (!d->facts->may_isolate)
        return say(d->arena, "source %s may only notify",
                   d->facts->source ? d->facts->source : "unknown");
    *ret_hold = HOLD_SHADOW;
    if ((why = in_shadow(d, rule)))
        return why;
    *ret_hold = HOLD_NONE;
    return NULL;
}

/* ---- steps ------------------------------------------------------------------------------------- */

/* The arguments as a JSON object, templates filled in. */
static enum err_code expand_args(struct deciding *d, const struct policy_step *step,
                                 const char *reason, const char **ret)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(VERDICT_MAX);
    struct json_out o = JSON_OUT(&b);

    json_out_object(&o, NULL);
    for (size_t i = 0; i < step->n_args; i++) {
        const struct policy_arg *arg = &step->args[i];
        const char *text;

        if (arg->text) {
            if (template_expand(arg->text, d->facts, d->arena, &text) != ERR_OK)
                return ERR_NOMEM;
            json_out_string(&o, arg->arg->name, text);
        } else if (arg->word) {
            json_out_string(&o, arg->arg->name, arg->word);
        } else if (arg->addresses.count) {
            json_out_array(&o, arg->arg->name);
            for (size_t k = 0; k < arg->addresses.count; k++)
                json_out_string(&o, NULL, arg->addresses.items[k]);
            json_out_array_end(&o);
        } else if (arg->arg->type == ARG_NUMBER) {
            json_out_int(&o, arg->arg->name, arg->number);
        }
    }
    if (step->if_step) { /* for act.c; no handler has arguments of these names */
        json_out_object(&o, "if");
        json_out_string(&o, step->if_step, step->if_outcome);
        json_out_object_end(&o);
    }
    if (step->stops || step->asks_on)
        json_out_string(&o, "on_failure", step->stops ? "stop" : "ask");
    if (reason)
        json_out_string(&o, "reason", reason);
    json_out_object_end(&o);
    *ret = buf_failed(&b) ? NULL : arena_strn(d->arena, buf_text(&b), b.len);
    return *ret ? ERR_OK : ERR_NOMEM;
}

/* What is said of the steps of a rule that acts. */
struct say_so {
    const char *withheld; /* NULL: do them, … */
    enum hold hold;       /* of withheld */
    const char *asks;     /* … and not NULL: once a person has said yes to this */
    bool twice;           /* by the rule, then by safety: that wants more persons, or others */
};

static enum err_code add_step(struct deciding *d, const struct policy_step *step,
                              const struct say_so *so, struct verdict *v)
{
    struct verdict_step *out = &v->steps[v->n_steps++];
    bool is_ask = d->policy->ask.name && strcmp(step->name, d->policy->ask.name) == 0;

    *out = (struct verdict_step){
        .handler = step->name,
        .acts = step->acts,
        .withheld = step->acts || is_ask ? so->withheld : NULL, /* nothing to ask about */
        .hold = step->acts || is_ask ? so->hold : HOLD_NONE,
        .asks = step->acts ? so->asks : NULL,
    };
    return expand_args(d, step, is_ask ? so->asks : NULL, &out->args);
}

/* Does something stand against acting that is no matter for a person's yes? */
static bool is_out_of_question(struct deciding *d, const struct policy_rule *rule)
{
    return wrong_machine(d->arena, d->facts) || !d->facts->may_isolate || in_shadow(d, rule);
}

/* What a person is asked about; NULL: nothing. *ret_safety: safety demands it, whatever the rule says. */
static const char *to_ask(struct deciding *d, const struct policy_rule *rule, bool *ret_safety)
{
    const char *why = d->unjudged ? say(d->arena, "in doubt: %s", d->unjudged) : NULL;

    why = and_then(d, why, contradiction(d->arena, d->facts));
    why = and_then(d, why, all_protections(d));
    *ret_safety = why != NULL;
    if (!why && rule->asks)
        why = say(d->arena, "rule '%s' asks a person", rule->name);
    if (!why && d->old)
        why = say(d->arena, "in doubt: %s", d->old);
    return why;
}

static struct say_so judge_acting(struct deciding *d, const struct policy_rule *rule,
                                  const char *doubt)
{
    struct say_so so = {0};
    bool safety = false;

    so.withheld = withhold(d, rule, doubt, &so.hold);
    if ((!rule->asks && !d->policy->asks_in_doubt) || is_out_of_question(d, rule))
        return so;
    so.asks = to_ask(d, rule, &safety);
    so.twice = safety && rule->asks && d->policy->asks_in_doubt && !rule->enough;
    so.withheld = NULL;
    so.hold = HOLD_NONE;
    return so;
}

/* rule NULL: none matched. */
static enum err_code make_steps(struct deciding *d, const struct policy_rule *rule,
                                struct verdict *v)
{
    struct say_so so = {0};
    bool asked;
    enum err_code code = ERR_OK;

    v->steps = arena_array(d->arena, (rule ? rule->n_steps : 0) + 2, sizeof *v->steps);
    if (!v->steps)
        return ERR_NOMEM;
    if (rule && rule->acts)
        so = judge_acting(d, rule, v->doubt);
    asked = !so.asks || (rule && rule->asks && !so.twice);
    for (size_t i = 0; rule && i < rule->n_steps && !code; i++) {
        if (rule->steps[i].acts && !asked) {
            code = add_step(d, &d->policy->ask, &so, v);
            asked = true;
        }
        if (!code)
            code = add_step(d, &rule->steps[i], &so, v);
    }
    if (!code && (!rule || (!rule->tells && (so.withheld || v->doubt))))
        code = add_step(d, &d->policy->tell, &so, v);
    return code;
}

/* ---- the explanation --------------------------------------------------------------------------- */

static void write_match(struct json_out *o, const struct match *m)
{
    json_out_string(o, "result", truth_name(m->result));
    json_out_array(o, "predicates");
    for (size_t i = 0; i < m->count; i++) {
        const struct predicate *p = &m->predicates[i];

        json_out_object(o, NULL);
        json_out_string(o, "field", p->field);
        json_out_string(o, "operator", p->op);
        if (*p->within)
            json_out_string(o, "within", p->within);
        json_out_string(o, "wanted", p->wanted);
        json_out_string(o, "seen", p->seen);
        json_out_string(o, "result", truth_name(p->result));
        json_out_object_end(o);
    }
    json_out_array_end(o);
}

static enum err_code write_verdict(struct deciding *d, struct verdict *v)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(VERDICT_MAX);
    struct json_out o = JSON_OUT(&b);

    json_out_object(&o, NULL);
    json_out_string(&o, "rule", v->rule);
    json_out_string(&o, "policy", v->policy);
    json_out_string(&o, "doubt", v->doubt);
    json_out_time(&o, "at", d->now_ms);
    json_out_array(&o, "steps");
    for (size_t i = 0; i < v->n_steps; i++) {
        json_out_object(&o, NULL);
        json_out_string(&o, "handler", v->steps[i].handler);
        json_out_bool(&o, "acts", v->steps[i].acts);
        json_out_raw(&o, "args", v->steps[i].args);
        json_out_string(&o, "withheld", v->steps[i].withheld);
        if (v->steps[i].withheld)
            json_out_string(&o, "by", hold_name(v->steps[i].hold));
        if (v->steps[i].asks)
            json_out_string(&o, "asks", v->steps[i].asks);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_array(&o, "why");
    for (size_t i = 0; i < d->policy->n_rules; i++) {
        json_out_object(&o, NULL);
        json_out_string(&o, "rule", d->policy->rules[i].name);
        write_match(&o, &d->rules[i]);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_array(&o, "protected");
    for (size_t i = 0; d->protections && i < d->policy->n_protections; i++) {
        json_out_object(&o, NULL);
        write_match(&o, &d->protections[i]);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_object_end(&o);
    v->json = buf_failed(&b) ? NULL : arena_strn(d->arena, buf_text(&b), b.len);
    return v->json ? ERR_OK : buf_failed(&b) == ERR_TOO_BIG ? ERR_TOO_BIG : ERR_NOMEM;
}

/* ---- the interface ----------------------------------------------------------------------------- */

/* Judges all rules; *ret_rule is the first that is not false, NULL: all are. */
static enum err_code judge_rules(struct deciding *d, const struct policy_rule **ret_rule)
{
    const struct policy *p = d->policy;

    d->rules = arena_array(d->arena, p->n_rules, sizeof *d->rules);
    if (!d->rules)
        return ERR_NOMEM;
    *ret_rule = NULL;
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct policy_rule *rule = &p->rules[i];
        struct match *m = &d->rules[i];

        if (!rule->when)
            m->result = TRUTH_TRUE;
        else if (condition_match(rule->when, d->facts, d->now_ms, d->arena, m) != ERR_OK)
            return ERR_NOMEM;
        if (m->result != TRUTH_FALSE && !*ret_rule)
            *ret_rule = rule;
    }
    return ERR_OK;
}

static enum err_code judge_protections(struct deciding *d)
{
    const struct policy *p = d->policy;

    d->protections = arena_array(d->arena, p->n_protections + 1, sizeof *d->protections);
    if (!d->protections)
        return ERR_NOMEM;
    for (size_t i = 0; i < p->n_protections; i++)
        if (condition_match(p->protections[i], d->facts, d->now_ms, d->arena, &d->protections[i]) !=
            ERR_OK)
            return ERR_NOMEM;
    return ERR_OK;
}

/* What could not be judged; *ret NULL: nothing. */
static enum err_code find_doubt(struct deciding *d, const struct policy_rule *rule,
                                const char **ret)
{
    const struct match *m = rule ? &d->rules[rule - d->policy->rules] : NULL;
    const char *doubt = NULL;

    if (m && m->result == TRUTH_UNKNOWN) {
        doubt = match_doubt(m, d->arena);
        if (!doubt)
            return ERR_NOMEM;
    }
    d->unjudged = doubt;
    d->old = stale(d->arena, d->facts, d->now_ms);
    *ret = and_then(d, doubt, d->old);
    return ERR_OK;
}

enum err_code decide(const struct policy *p, const struct facts *f, int64_t now_ms, struct arena *a,
                     struct verdict *ret, struct err *e)
{
    struct deciding d = {.policy = p, .facts = f, .now_ms = now_ms, .arena = a};
    struct verdict v = {.policy = p->hash};
    const struct policy_rule *rule = NULL;
    enum err_code code;

    if (json_type(f->alert) != JSON_OBJECT || !f->alert_id)
        return err_set(e, ERR_INVALID, "decide: the facts hold no alert");
    code = judge_rules(&d, &rule);
    if (!code)
        code = find_doubt(&d, rule, &v.doubt);
    if (!code && rule && rule->acts)
        code = judge_protections(&d);
    v.rule = rule ? rule->name : NULL;
    if (!code)
        code = make_steps(&d, rule, &v);
    if (!code)
        code = write_verdict(&d, &v);
    if (code)
        return err_set(e, code, "decide on alert %.128s", f->alert_id);
    *ret = v;
    return ERR_OK;
}
