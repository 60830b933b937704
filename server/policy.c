/* policy.c - see policy.h: the rules, read by a table of settings, and the whole. policy_own.h lists the other rooms.
 *
 * Reading goes on after a fault, so that `cordon check` shows all of them; a policy with one is no
 * policy.
 */
#include "policy.h"

#include <string.h>

#include "lists.h"
#include "policy_own.h"

#define NAME_MAX_LEN 64 /* characters of a rule's name */

void *policy_no_memory(const struct policy_compiler *c, const struct yaml_node *at)
{
    yaml_fault(c->reader->faults, at, "out of memory");
    return NULL;
}

/* ---- rules ------------------------------------------------------------------------------------- */

const char *const policy_modes[] = {"live", "shadow", NULL};

struct rule_settings {
    const char *name;
    int mode;
    const struct yaml_node *when, *steps;
};

static const struct setting rule_table[] = {
    SETTING("name", SET_TEXT, rule_settings, name, .required = true,
            .meaning = "what verdicts and mails call the rule"),
    SETTING("when", SET_NODE, rule_settings, when, .meaning = "a condition; left out: always"),
    SETTING("mode", SET_WORD, rule_settings, mode, .fallback = "live", .words = policy_modes,
            .meaning = "shadow: what the rule would do is told, not done"),
    SETTING("do", SET_NODE, rule_settings, steps, .required = true, .meaning = "a list of steps"),
    {.key = NULL},
};

static void check_name(struct policy_compiler *c, const struct yaml_node *map, const char *name,
                       const struct yaml_node *rules)
{
    const struct yaml_node *at = yaml_get(map, "name"), *other = rules->first;
    size_t len = strlen(name);

    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len || len > NAME_MAX_LEN) {
        yaml_fault(c->reader->faults, at,
                   "rule.name: expected at most %d of a-z, 0-9 and '-', found '%.60s'",
                   NAME_MAX_LEN, name);
        return;
    }
    for (size_t i = 0; other != map; other = other->next, i++)
        if (c->policy->rules[i].name && strcmp(c->policy->rules[i].name, name) == 0) {
            yaml_fault(c->reader->faults, at, "rule.name: '%s' is the rule in line %u already",
                       name, yaml_get(other, "name")->line);
            return;
        }
}

/* Is there a rule above that takes every alert which this one would? */
static void check_reached(struct policy_compiler *c, const struct yaml_node *at,
                          const struct policy_rule *rule)
{
    for (const struct policy_rule *above = c->policy->rules; rule->when && above < rule; above++)
        if (above->when && condition_implies(rule->when, above->when, &c->tries)) {
            yaml_fault(
                c->reader->faults, at,
                "no alert comes as far as this rule: rule '%.64s' above takes every one that it "
                "could match; put the narrower rule first",
                above->name ? above->name : "without a name");
            return;
        }
}

static void compile_rules(struct policy_compiler *c, const struct yaml_node *rules)
{
    const struct settings_reader *reader = c->reader;
    struct policy *p = c->policy;
    const char *always = NULL; /* a rule without a condition */

    if (!rules || rules->kind != YAML_LIST || rules->count == 0) {
        yaml_fault(reader->faults, rules, "rules: expected a list of rules, one at least");
        return;
    }
    p->rules = arena_array(reader->arena, rules->count, sizeof *p->rules);
    if (!p->rules) {
        (void)policy_no_memory(c, rules);
        return;
    }
    for (const struct yaml_node *n = rules->first; n; n = n->next) {
        struct policy_rule *rule = &p->rules[p->n_rules++];
        struct rule_settings s = {0};

        settings_read(reader, n, "rule", rule_table, &s);
        if (n->kind != YAML_MAP)
            continue;
        rule->name = s.name;
        rule->shadow = s.mode == POLICY_SHADOW;
        if (s.name)
            check_name(c, n, s.name, rules);
        if (always)
            yaml_fault(reader->faults, n,
                       "no alert comes as far as this rule: rule '%.64s' above has no `when`",
                       always);
        if (s.when) {
            rule->when = condition_compile(reader, s.when, "when");
            check_reached(c, n, rule);
        } else if (!yaml_get(n, "when")) {
            always = s.name ? s.name : "without a name";
        }
        if (s.steps)
            policy_compile_steps(c, s.steps, rule);
    }
}

/* ---- the interface ----------------------------------------------------------------------------- */

const struct policy *policy_compile(const struct settings_reader *reader,
                                    const struct yaml_node *rules, const struct yaml_node *safety)
{
    struct list_files lists = {0};
    struct settings_reader own = *reader;
    struct policy_compiler c = {.reader = &own,
                                .tries = CONDITION_TRIES,
                                .policy = arena_alloc(reader->arena, sizeof *c.policy)};
    const struct handler *tell = handler_find(POLICY_TELL);
    size_t before = reader->faults->count;

    if (!own.lists)
        own.lists = &lists;
    if (!c.policy)
        return policy_no_memory(&c, rules);
    if (safety && safety->kind == YAML_SCALAR && safety->null)
        safety = NULL;
    compile_rules(&c, rules);
    policy_compile_safety(&c, safety);
    c.policy->tell.name = POLICY_TELL;
    if (tell)
        policy_compile_step(&c, NULL, NULL, tell, &c.policy->tell);
    if (reader->faults->count == before)
        policy_name(&c, rules, safety);
    return reader->faults->count == before ? c.policy : NULL;
}

const char *policy_hash(const struct policy *p)
{
    return p->hash;
}

const char *policy_text(const struct policy *p)
{
    return p->text;
}

const struct policy *policy_live(const struct policy *p, struct arena *a)
{
    struct policy *live = arena_alloc(a, sizeof *live);

    if (!live)
        return NULL;
    *live = *p;
    live->shadow = false;
    live->rules = arena_array(a, p->n_rules, sizeof *live->rules);
    if (!live->rules)
        return NULL;
    for (size_t i = 0; i < p->n_rules; i++) {
        live->rules[i] = p->rules[i];
        live->rules[i].shadow = false;
    }
    return live;
}

const char *const *policy_rule_names(const struct policy *p, struct arena *a)
{
    const char **names = arena_array(a, p->n_rules + 1, sizeof *names);

    for (size_t i = 0; names && i < p->n_rules; i++)
        names[i] = p->rules[i].name;
    return names;
}

const char *policy_rule_of_source(const struct policy *p, const char *source, size_t *at)
{
    while (*at < p->n_rules) {
        const struct policy_rule *rule = &p->rules[(*at)++];

        if (rule->acts && rule->when && condition_demands(rule->when, "source", source))
            return rule->name;
    }
    return NULL;
}

bool policy_is_shadow(const struct policy *p)
{
    return p->shadow;
}

const struct policy_terms *policy_terms(const struct policy *p)
{
    return &p->terms;
}

const struct policy_storm *policy_storm(const struct policy *p)
{
    return &p->storm;
}

int64_t policy_canary(const struct policy *p)
{
    return p->canary;
}

const char *policy_pause_file(const struct policy *p)
{
    return p->pause_file;
}

const struct policy_limit *policy_limits(const struct policy *p, size_t *ret_count)
{
    *ret_count = p->n_limits;
    return p->limits;
}

int64_t policy_review(const struct policy *p)
{
    return p->review_ms;
}

bool policy_uses(const struct policy *p, const char *handler)
{
    for (size_t i = 0; i < p->n_rules; i++)
        for (size_t k = 0; k < p->rules[i].n_steps; k++)
            if (strcmp(p->rules[i].steps[k].name, handler) == 0)
                return true;
    return false;
}

bool policy_reads(const struct policy *p, const char *field)
{
    return strstr(p->text, field);
}
