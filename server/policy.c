/* policy.c - see policy.h. Reads rules and safety, each by a table of settings; a step's arguments are
 * read by a table that is made from its handler's own.
 *
 * Reading goes on after a fault, so that `cordon check` shows all of them; a policy with one is no
 * policy.
 */
#include "policy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "buf.h"
#include "clock.h"
#include "json.h"
#include "lists.h"
#include "policy_rules.h"

#define NAME_MAX_LEN 64                /* characters of a rule's name */
#define NORMAL_MAX   (8 * 1024 * 1024) /* bytes of the normal form; a file has 1 MiB (yaml.h) */
#define TELL         "email"
#define ASK          "ask"

const char handler_required[] = "";

struct compiler {
    const struct settings_reader *reader;
    struct policy *policy;
};

static void *no_memory(const struct compiler *c, const struct yaml_node *at)
{
    yaml_fault(c->reader->faults, at, "out of memory");
    return NULL;
}

/* ---- steps ------------------------------------------------------------------------------------- */

/* Where settings_read puts one argument of a step. */
struct slot {
    const char *text;
    int word;
    struct text_list addresses;
    int64_t number;
};

static const enum setting_type type_of[] = {[ARG_TEXT] = SET_TEXT,
                                            [ARG_WORD] = SET_WORD,
                                            [ARG_ADDRESSES] = SET_ADDRESS_LIST,
                                            [ARG_DURATION] = SET_DURATION,
                                            [ARG_NUMBER] = SET_INT};
static const size_t offset_of[] = {[ARG_TEXT] = offsetof(struct slot, text),
                                   [ARG_WORD] = offsetof(struct slot, word),
                                   [ARG_ADDRESSES] = offsetof(struct slot, addresses),
                                   [ARG_DURATION] = offsetof(struct slot, number),
                                   [ARG_NUMBER] = offsetof(struct slot, number)};

static size_t count_args(const struct handler *h)
{
    size_t n = 0;

    while (h->args && h->args[n].name)
        n++;
    return n;
}

/* at: the argument in the file, or NULL for the handler's own words, which must be good. */
static void compile_text(struct compiler *c, const struct yaml_node *at, const struct handler *h,
                         const char *text, struct policy_arg *arg)
{
    struct err e;
    enum err_code code = template_compile(c->reader->arena, text, &arg->text, &e);

    if (!code)
        return;
    assert(at || code == ERR_NOMEM);
    yaml_fault(c->reader->faults, at, "%s.%s: %s", h->name, arg->arg->name, e.text);
}

static void set_range(const struct handler_arg *arg, struct setting *row)
{
    if (arg->type == ARG_NUMBER) {
        row->least = strtoll(arg->words[0], NULL, 10);
        row->most = strtoll(arg->words[1], NULL, 10);
    } else if (arg->type == ARG_DURATION) {
        row->least = MINUTE_MS;
        row->most = 366 * DAY_MS;
        if (arg->words) {
            (void)settings_duration(arg->words[0], &row->least, NULL);
            (void)settings_duration(arg->words[1], &row->most, NULL);
        }
    }
}

/* Could a step with these settings ever do its work? at: where it stands. */
static void check_step(struct compiler *c, const struct yaml_node *at, const struct yaml_node *args,
                       const struct handler *h, const struct slot *slots)
{
    size_t n = count_args(h), wrong = HANDLER_WHOLE;
    struct handler_given *given = arena_array(c->reader->arena, n + 1, sizeof *given);
    const struct yaml_node *node;
    struct err e;

    if (!given) {
        (void)no_memory(c, at);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct handler_arg *arg = &h->args[i];
        const char *text = arg->type == ARG_WORD   ? arg->words[slots[i].word]
                           : arg->type == ARG_TEXT ? slots[i].text
                                                   : NULL;

        given[i] = (struct handler_given){
            .text = text ? text : "",
            .open = text && arg->type == ARG_TEXT && strstr(text, "{{"),
            .number = slots[i].number,
            .addresses = (const char *const *)slots[i].addresses.items,
            .n_addresses = slots[i].addresses.count,
        };
    }
    if (!h->check(given, &wrong, &e))
        return;
    node = wrong == HANDLER_WHOLE ? NULL : yaml_get(args, h->args[wrong].name);
    yaml_fault(c->reader->faults, node ? node : at, "%s%s%s: %s", h->name, node ? "." : "",
               node ? h->args[wrong].name : "", e.text);
}

/* args: the map in the file; NULL: nothing is set. at_step: where the step stands; NULL: nowhere. */
static void compile_step(struct compiler *c, const struct yaml_node *at_step,
                         const struct yaml_node *args, const struct handler *h,
                         struct policy_step *ret)
{
    const struct settings_reader *reader = c->reader;
    const struct yaml_node *place = args ? args : at_step;
    size_t n = count_args(h), before = reader->faults->count;
    struct setting *table = arena_array(reader->arena, n + 1, sizeof *table);
    struct slot *slots = arena_array(reader->arena, n + 1, sizeof *slots);

    *ret = (struct policy_step){.name = h->name, .acts = h->acts, .n_args = n};
    ret->args = arena_array(reader->arena, n + 1, sizeof *ret->args);
    if (!table || !slots || !ret->args) {
        (void)no_memory(c, args);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct handler_arg *arg = &h->args[i];

        table[i] = (struct setting){
            .key = arg->name,
            .type = type_of[arg->type],
            .offset = i * sizeof *slots + offset_of[arg->type],
            .fallback = arg->type == ARG_WORD                                  ? arg->words[0]
                        : arg->type == ARG_DURATION || arg->type == ARG_NUMBER ? arg->fallback
                                                                               : NULL,
            .meaning = arg->meaning,
            .words = arg->words,
            .least = arg->type == ARG_DURATION ? MINUTE_MS : 0,
            .most = arg->type == ARG_DURATION ? 366 * DAY_MS : 0,
        };
        set_range(arg, &table[i]);
    }
    if (n == 0 && args && args->kind == YAML_MAP && args->count) {
        yaml_fault(reader->faults, args->first->key, "%s takes no settings", h->name);
        return;
    }
    settings_read(reader, args, h->name, table, slots);
    for (size_t i = 0; i < n; i++) {
        const struct handler_arg *arg = &h->args[i];
        const struct yaml_node *at = yaml_get(args, arg->name);
        struct policy_arg *out = &ret->args[i];

        out->arg = arg;
        switch (arg->type) {
        case ARG_TEXT:
            if (arg->fallback == handler_required) {
                if (!slots[i].text || !*slots[i].text)
                    yaml_fault(reader->faults, at ? at : place, "%s.%s is missing", h->name,
                               arg->name);
                else
                    compile_text(c, at, h, slots[i].text, out);
            } else if (slots[i].text && !*slots[i].text && arg->fallback)
                yaml_fault(reader->faults, at, "%s.%s is empty; leave it out for the usual one",
                           h->name, arg->name);
            else if (slots[i].text)
                compile_text(c, at, h, slots[i].text, out);
            else if (!at && arg->fallback)
                compile_text(c, NULL, h, arg->fallback, out);
            break;
        case ARG_WORD:
            out->word = arg->words[slots[i].word];
            break;
        case ARG_DURATION:
            out->word = at ? settings_text(reader, at) : arg->fallback;
            out->number = slots[i].number;
            break;
        case ARG_NUMBER:
            out->number = slots[i].number;
            break;
        case ARG_ADDRESSES:
            out->addresses = slots[i].addresses;
            break;
        }
    }
    if (h->check && reader->faults->count == before)
        check_step(c, at_step, args, h, slots);
}

const char *const *policy_step_names(struct arena *a)
{
    const struct handler *const *table = handler_table();
    const char **names;
    size_t n = 0;

    while (table[n])
        n++;
    names = arena_array(a, n + 1, sizeof *names);
    for (size_t i = 0; names && i < n; i++)
        names[i] = table[i]->name;
    return names;
}

/* Which handler a step names, or NULL with a fault noted. */
static const struct handler *find_handler(struct compiler *c, const struct yaml_node *key)
{
    const struct handler *const *table = handler_table();
    const struct handler *h = handler_find(key->text);
    size_t known = 0, n = 0;
    const char **names, *nearest;

    if (h)
        return h;
    while (table[known])
        known++;
    names = arena_array(c->reader->arena, known + 1, sizeof *names);
    for (; names && n < known; n++)
        names[n] = table[n]->name;
    nearest = names ? yaml_nearest(key->text, names) : NULL;
    if (nearest) {
        yaml_fault(c->reader->faults, key, "no such step '%.60s'; did you mean %s?", key->text,
                   nearest);
    } else {
        AUTO(buf_clear) struct buf list = BUF_INIT(1024);

        for (size_t i = 0; i < n; i++)
            buf_addf(&list, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", names[i]);
        yaml_fault(c->reader->faults, key, "no such step '%.60s'; expected %s", key->text,
                   buf_text(&list));
    }
    return NULL;
}

/* ---- when a step is done, and what follows when it is not --------------------------------------- */

/* if: {isolate: done}: what a step before this one must have come to. */
static void compile_if(struct compiler *c, const struct yaml_node *map,
                       const struct policy_rule *rule, struct policy_step *step)
{
    static const char *const words[] = {"done", "failed", "withheld", "isolated", NULL};
    struct yaml_faults *faults = c->reader->faults;
    const struct yaml_node *n = map->kind == YAML_MAP && map->count == 1 ? map->first : NULL;
    const char *text;
    size_t i = 0, word = 0;

    if (!n || n->kind != YAML_SCALAR || n->null) {
        yaml_fault(faults, map,
                   "if: expected a step before this one and what it came to, such as "
                   "{isolate: done}");
        return;
    }
    text = settings_text(c->reader, n);
    if (!text)
        return;
    while (i < rule->n_steps && strcmp(rule->steps[i].name, n->key->text) != 0)
        i++;
    while (words[word] && strcmp(words[word], text) != 0)
        word++;
    if (i == rule->n_steps)
        yaml_fault(faults, n->key, "if: no step before this one is called '%.60s'", n->key->text);
    else if (strcmp(text, "isolated") == 0 && strcmp(n->key->text, "isolate") != 0)
        yaml_fault(faults, n, "if: isolated is what an isolate may come to, not '%.60s'",
                   n->key->text);
    else if (!words[word])
        yaml_fault(faults, n, "if: expected done, failed, withheld or isolated, found '%.60s'%s",
                   text, settings_meant(c->reader, text, words));
    step->if_step = n->key->text;
    step->if_outcome = words[word];
}

/* on_failure: stop, continue, ask. */
static void compile_on_failure(struct compiler *c, const struct yaml_node *n,
                               struct policy_step *step)
{
    static const char *const words[] = {"stop", "continue", "ask", NULL};
    const char *text = n->kind == YAML_SCALAR && !n->null ? settings_text(c->reader, n) : "";

    if (!text)
        return;
    step->stops = strcmp(text, "stop") == 0;
    step->asks_on = strcmp(text, "ask") == 0;
    if (!step->stops && !step->asks_on && strcmp(text, "continue") != 0)
        yaml_fault(c->reader->faults, n,
                   "on_failure: expected stop, continue or ask, found '%.60s'%s", text,
                   settings_meant(c->reader, text, words));
}

/* The step itself among the keys of its map; NULL: there is none, or more than one. */
static const struct yaml_node *find_step(const struct yaml_node *map)
{
    const struct yaml_node *found = NULL;

    for (const struct yaml_node *n = map->first; n; n = n->next) {
        if (strcmp(n->key->text, "if") == 0 || strcmp(n->key->text, "on_failure") == 0)
            continue;
        if (found)
            return NULL;
        found = n;
    }
    return found;
}

static void compile_steps(struct compiler *c, const struct yaml_node *list,
                          struct policy_rule *rule)
{
    struct yaml_faults *faults = c->reader->faults;

    if (list->kind != YAML_LIST || list->count == 0) {
        yaml_fault(faults, list, "rule.do: expected a list of steps, one at least");
        return;
    }
    rule->steps = arena_array(c->reader->arena, list->count, sizeof *rule->steps);
    if (!rule->steps) {
        (void)no_memory(c, list);
        return;
    }
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        struct policy_step *step = &rule->steps[rule->n_steps];
        const struct yaml_node *named = n->kind == YAML_MAP ? find_step(n) : NULL;
        const struct handler *h;

        if (!named) {
            if (n->kind == YAML_SCALAR && !n->null && handler_find(n->text))
                yaml_fault(faults, n, "rule.do: write %s: {} for a step with nothing set", n->text);
            else
                yaml_fault(faults, n, "rule.do: expected a map of one step, such as email: {}");
            continue;
        }
        h = find_handler(c, named->key);
        if (!h)
            continue;
        if (h->acts)
            for (size_t i = 0; i < rule->n_steps; i++)
                if (strcmp(rule->steps[i].name, h->name) == 0)
                    yaml_fault(faults, named->key, "step '%s' stands twice in one rule", h->name);
        if (strcmp(h->name, ASK) == 0) {
            if (rule->acts || rule->asks)
                yaml_fault(faults, named->key,
                           rule->acts ? "ask: the steps behind it wait for a person; it must stand "
                                        "before the first that acts"
                                      : "step 'ask' stands twice in one rule");
            rule->asks = true;
        }
        /* `email:` is `email: {}` */
        compile_step(c, named->key, named->kind == YAML_SCALAR && named->null ? NULL : named, h,
                     step);
        if (yaml_get(n, "if"))
            compile_if(c, yaml_get(n, "if"), rule, step);
        if (yaml_get(n, "on_failure"))
            compile_on_failure(c, yaml_get(n, "on_failure"), step);
        rule->n_steps++;
        rule->acts |= h->acts;
        rule->tells |= strcmp(h->name, TELL) == 0;
    }
    if (rule->asks && !rule->acts)
        yaml_fault(faults, list, "ask: no step behind it acts, so there is nothing to ask for");
}

/* ---- rules ------------------------------------------------------------------------------------- */

enum { MODE_LIVE, MODE_SHADOW };
static const char *const modes[] = {"live", "shadow", NULL};

struct rule_settings {
    const char *name;
    int mode;
    const struct yaml_node *when, *steps;
};

static const struct setting rule_table[] = {
    {.key = "name",
     .type = SET_TEXT,
     .offset = offsetof(struct rule_settings, name),
     .required = true,
     .meaning = "what verdicts and mails call the rule"},
    {.key = "when",
     .type = SET_NODE,
     .offset = offsetof(struct rule_settings, when),
     .meaning = "a condition; left out: always"},
    {.key = "mode",
     .type = SET_WORD,
     .offset = offsetof(struct rule_settings, mode),
     .fallback = "live",
     .words = modes,
     .meaning = "shadow: what the rule would do is told, not done"},
    {.key = "do",
     .type = SET_NODE,
     .offset = offsetof(struct rule_settings, steps),
     .required = true,
     .meaning = "a list of steps"},
    {.key = NULL},
};

static void check_name(struct compiler *c, const struct yaml_node *map, const char *name,
                       const struct yaml_node *rules)
{
    const struct yaml_node *at = yaml_get(map, "name");
    size_t len = strlen(name);

    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len || len > NAME_MAX_LEN) {
        yaml_fault(c->reader->faults, at,
                   "rule.name: expected at most %d of a-z, 0-9 and '-', found '%.60s'",
                   NAME_MAX_LEN, name);
        return;
    }
    for (const struct yaml_node *other = rules->first; other != map; other = other->next) {
        const struct yaml_node *first = yaml_get(other, "name");

        if (first && first->kind == YAML_SCALAR && strcmp(first->text, name) == 0) {
            yaml_fault(c->reader->faults, at, "rule.name: '%s' is the rule in line %u already",
                       name, first->line);
            return;
        }
    }
}

/* Is there a rule above that takes every alert which this one would? */
static void check_reached(struct compiler *c, const struct yaml_node *at,
                          const struct policy_rule *rule)
{
    for (const struct policy_rule *above = c->policy->rules; rule->when && above < rule; above++)
        if (above->when && condition_implies(rule->when, above->when)) {
            yaml_fault(
                c->reader->faults, at,
                "no alert comes as far as this rule: rule '%.64s' above takes every one that it "
                "could match; put the narrower rule first",
                above->name ? above->name : "without a name");
            return;
        }
}

static void compile_rules(struct compiler *c, const struct yaml_node *rules)
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
        (void)no_memory(c, rules);
        return;
    }
    for (const struct yaml_node *n = rules->first; n; n = n->next) {
        struct policy_rule *rule = &p->rules[p->n_rules++];
        struct rule_settings s = {0};

        settings_read(reader, n, "rule", rule_table, &s);
        if (n->kind != YAML_MAP)
            continue;
        rule->name = s.name;
        rule->shadow = s.mode == MODE_SHADOW;
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
            compile_steps(c, s.steps, rule);
    }
}

/* ---- safety ------------------------------------------------------------------------------------ */

struct safety_settings {
    int mode;
    int64_t review;
    const char *pause_file;
    const struct yaml_node *protect, *limits, *ask, *storm;
    int64_t canary;
};

static const struct setting safety_table[] = {
    {.key = "mode",
     .type = SET_WORD,
     .offset = offsetof(struct safety_settings, mode),
     .fallback = "live",
     .words = modes,
     .meaning = "shadow: everything but the acting"},
    {.key = "protected",
     .type = SET_NODE,
     .offset = offsetof(struct safety_settings, protect),
     .meaning = "conditions of machines that are never isolated unasked"},
    {.key = "limits",
     .type = SET_NODE,
     .offset = offsetof(struct safety_settings, limits),
     .meaning = "how many isolations within which time"},
    {.key = "review",
     .type = SET_DURATION,
     .offset = offsetof(struct safety_settings, review),
     .fallback = "24h",
     .least = MINUTE_MS,
     .most = 366 * DAY_MS,
     .meaning =
         "how long a machine is isolated until people are asked whether that is still right"},
    {.key = "ask",
     .type = SET_NODE,
     .offset = offsetof(struct safety_settings, ask),
     .meaning = "whom to ask, and for how long, when safety wants a person's word"},
    {.key = "storm",
     .type = SET_NODE,
     .offset = offsetof(struct safety_settings, storm),
     .meaning = "one detector on so many machines is one decision for a person"},
    {.key = "canary",
     .type = SET_INT,
     .least = 0,
     .most = 1000,
     .offset = offsetof(struct safety_settings, canary),
     .meaning = "so many first isolations of a changed policy ask a person"},
    {.key = "pause_file",
     .type = SET_TEXT,
     .offset = offsetof(struct safety_settings, pause_file),
     .meaning = "while this file is there nothing is isolated"},
    {.key = NULL},
};

static const struct setting storm_table[] = {
    {.key = "machines",
     .type = SET_INT,
     .required = true,
     .least = 1,
     .most = 1000000,
     .offset = offsetof(struct policy_storm, machines),
     .meaning = "on more machines than these"},
    {.key = "within",
     .type = SET_DURATION,
     .required = true,
     .least = MINUTE_MS,
     .most = 30 * DAY_MS,
     .offset = offsetof(struct policy_storm, within_ms),
     .meaning = "within this time"},
    {.key = NULL},
};

/* By enum policy_scope. */
static const char *const scopes[] = {"all", "tenant", "rule", "group", NULL};

static const struct setting limit_table[] = {
    {.key = "isolations",
     .type = SET_INT,
     .least = 1,
     .most = 1000000,
     .offset = offsetof(struct policy_limit, isolations),
     .meaning = "at most so many isolations"},
    {.key = "per",
     .type = SET_DURATION,
     .required = true,
     .least = MINUTE_MS,
     .most = 366 * DAY_MS,
     .offset = offsetof(struct policy_limit, per_ms),
     .meaning = "within this time"},
    {.key = "percent",
     .type = SET_INT,
     .least = 1,
     .most = 100,
     .offset = offsetof(struct policy_limit, percent),
     .meaning = "at most so much of the machines of a device group; of: group"},
    {.key = "of",
     .type = SET_WORD,
     .fallback = "all",
     .words = scopes,
     .offset = offsetof(struct policy_limit, of),
     .meaning = "which isolations are counted together: all, those of a tenant, a rule, a group"},
    {.key = NULL},
};

static void compile_protections(struct compiler *c, const struct yaml_node *list)
{
    struct policy *p = c->policy;

    if (list->kind != YAML_LIST) {
        yaml_fault(c->reader->faults, list,
                   "safety.protected: expected a list of maps of fields, such as "
                   "{machine.tags: [tier-0]}");
        return;
    }
    p->protections = arena_array(c->reader->arena, list->count + 1, sizeof *p->protections);
    if (!p->protections) {
        (void)no_memory(c, list);
        return;
    }
    for (const struct yaml_node *n = list->first; n; n = n->next)
        p->protections[p->n_protections++] = condition_compile(c->reader, n, "safety.protected");
}

static void compile_limits(struct compiler *c, const struct yaml_node *list)
{
    struct policy *p = c->policy;

    if (list->kind != YAML_LIST) {
        yaml_fault(c->reader->faults, list,
                   "safety.limits: expected a list of limits, such as {isolations: 10, per: 1h}");
        return;
    }
    p->limits = arena_array(c->reader->arena, list->count + 1, sizeof *p->limits);
    if (!p->limits) {
        (void)no_memory(c, list);
        return;
    }
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        struct policy_limit *l = &p->limits[p->n_limits++];
        size_t before = c->reader->faults->count;

        settings_read(c->reader, n, "limit", limit_table, l);
        if (c->reader->faults->count != before)
            continue;
        if (!l->isolations == !l->percent)
            yaml_fault(c->reader->faults, n,
                       "limit: expected either isolations or percent, such as "
                       "{isolations: 10, per: 1h} or {percent: 5, per: 24h, of: group}");
        else if (l->percent && l->of != POLICY_GROUP)
            yaml_fault(c->reader->faults, n,
                       "limit.percent: a share is one of a device group; add "
                       "of: group");
    }
}

static void compile_ask(struct compiler *c, const struct yaml_node *node)
{
    const struct handler *ask = handler_find(ASK);
    struct policy *p = c->policy;

    if (!ask) /* a test's own table of handlers */
        return;
    compile_step(c, node ? node->key : NULL,
                 node && node->kind == YAML_SCALAR && node->null ? NULL : node, ask, &p->ask);
    p->asks_in_doubt = node != NULL;
    for (size_t i = 0; p->ask.args && i < p->ask.n_args; i++) {
        const struct policy_arg *arg = &p->ask.args[i];

        if (!arg->arg)
            continue;
        if (strcmp(arg->arg->name, "within") == 0)
            p->terms.within_ms = arg->number;
        else if (strcmp(arg->arg->name, "people") == 0)
            p->terms.people = arg->number;
        else if (strcmp(arg->arg->name, "approvers") == 0)
            p->terms.approvers = arg->addresses;
    }
}

static void compile_safety(struct compiler *c, const struct yaml_node *safety)
{
    struct safety_settings s = {0};

    settings_read(c->reader, safety, "safety", safety_table, &s);
    c->policy->shadow = s.mode == MODE_SHADOW;
    c->policy->review_ms = s.review;
    c->policy->pause_file = s.pause_file;
    if (s.pause_file && s.pause_file[0] != '/') /* whoever makes it stands in another folder */
        yaml_fault(c->reader->faults, yaml_get(safety, "pause_file"),
                   "safety.pause_file: expected a whole path, such as /run/cordon/pause, found "
                   "'%.60s'",
                   s.pause_file);
    c->policy->canary = s.canary;
    compile_ask(c, s.ask);
    if (s.storm)
        settings_read(c->reader, s.storm, "safety.storm", storm_table, &c->policy->storm);
    if (s.protect)
        compile_protections(c, s.protect);
    if (s.limits)
        compile_limits(c, s.limits);
}

/* ---- the name of a policy ---------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct yaml_node *const *x = a, *const *y = b;

    return strcmp((*x)->key->text, (*y)->key->text);
}

/* Is a plain scalar something other than text to whoever reads it? Then "10" and 10 differ. */
static bool is_plain_value(const struct yaml_node *n, const char *text)
{
    if (n->quoted && !strstr(n->text, "${"))
        return false;
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ||
           (*text && text[strspn(text, "-0123456789")] == '\0');
}

/* Below these keys stand conditions. What they hold stays in the order of the file, which is that of an
 * explanation and of the reasons in it. */
static bool begins_conditions(const char *key)
{
    return strcmp(key, "when") == 0 || strcmp(key, "protected") == 0;
}

/* The normal form: JSON, keys in order (ordered: as they stand), the environment filled in, quotes only where
 * they matter. */
static void write_normal(struct compiler *c, struct json_out *o, const char *name,
                         const struct yaml_node *n, bool ordered)
{
    const struct yaml_node **sorted;
    const char *text;
    size_t i = 0;

    switch (n->kind) {
    case YAML_SCALAR:
        text = n->null ? NULL : settings_text(c->reader, n);
        if (text && is_plain_value(n, text)) {
            json_out_object(o, name); /* no text of the file can look like this */
            json_out_string(o, "plain", text);
            json_out_object_end(o);
        } else {
            json_out_string(o, name, text);
        }
        return;
    case YAML_LIST:
        json_out_array(o, name);
        for (const struct yaml_node *child = n->first; child; child = child->next)
            write_normal(c, o, NULL, child, ordered);
        json_out_array_end(o);
        return;
    case YAML_MAP:
        sorted = arena_array(c->reader->arena, n->count + 1, sizeof *sorted);
        if (!sorted) {
            (void)no_memory(c, n);
            return;
        }
        for (const struct yaml_node *child = n->first; child; child = child->next)
            sorted[i++] = child;
        if (!ordered)
            qsort(sorted, n->count, sizeof *sorted, by_key);
        json_out_object(o, name);
        for (i = 0; i < n->count; i++)
            write_normal(c, o, sorted[i]->key->text, sorted[i],
                         ordered || begins_conditions(sorted[i]->key->text));
        json_out_object_end(o);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct list_file *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* What stood in files counts as if it stood in the policy. */
static bool write_lists(struct compiler *c, struct json_out *o)
{
    const struct list_file **sorted;
    size_t n = 0, i = 0;

    for (const struct list_file *f = c->reader->lists->first; f; f = f->next)
        n++;
    if (n == 0)
        return true;
    sorted = arena_array(c->reader->arena, n, sizeof *sorted);
    if (!sorted)
        return false;
    for (const struct list_file *f = c->reader->lists->first; f; f = f->next)
        sorted[i++] = f;
    qsort(sorted, n, sizeof *sorted, by_name);
    json_out_object(o, "lists");
    for (i = 0; i < n; i++) {
        json_out_array(o, sorted[i]->name);
        for (size_t k = 0; k < sorted[i]->count; k++)
            json_out_string(o, NULL, sorted[i]->lines[k]);
        json_out_array_end(o);
    }
    json_out_object_end(o);
    return true;
}

static void name_policy(struct compiler *c, const struct yaml_node *rules,
                        const struct yaml_node *safety)
{
    AUTO(buf_clear) struct buf normal = BUF_INIT(NORMAL_MAX);
    struct json_out o = JSON_OUT(&normal);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool good;

    json_out_object(&o, NULL);
    write_normal(c, &o, "rules", rules, false);
    if (safety)
        write_normal(c, &o, "safety", safety, false);
    good = write_lists(c, &o);
    json_out_object_end(&o);
    good = good && !buf_failed(&normal);
    c->policy->text = good ? arena_strn(c->reader->arena, buf_text(&normal), normal.len) : NULL;
    if (!c->policy->text ||
        EVP_Digest(buf_text(&normal), normal.len, digest, &len, EVP_sha256(), NULL) != 1) {
        (void)no_memory(c, rules);
        return;
    }
    assert(len * 2 + 1 == sizeof c->policy->hash);
    for (unsigned i = 0; i < len; i++)
        (void)snprintf(c->policy->hash + i * 2, 3, "%02x", digest[i]); /* two digits and the NUL */
}

/* ---- the interface ----------------------------------------------------------------------------- */

const struct policy *policy_compile(const struct settings_reader *reader,
                                    const struct yaml_node *rules, const struct yaml_node *safety)
{
    struct list_files lists = {0};
    struct settings_reader own = *reader;
    struct compiler c = {.reader = &own, .policy = arena_alloc(reader->arena, sizeof *c.policy)};
    const struct handler *tell = handler_find(TELL);
    size_t before = reader->faults->count;

    if (!own.lists)
        own.lists = &lists;
    if (!c.policy)
        return no_memory(&c, rules);
    if (safety && safety->kind == YAML_SCALAR && safety->null)
        safety = NULL;
    compile_rules(&c, rules);
    compile_safety(&c, safety);
    c.policy->tell.name = TELL;
    if (tell)
        compile_step(&c, NULL, NULL, tell, &c.policy->tell);
    if (reader->faults->count == before)
        name_policy(&c, rules, safety);
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

const char *policy_scope_name(int scope)
{
    return scopes[scope];
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
