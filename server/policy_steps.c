/* policy_steps.c - the steps of a rule; a step's arguments are read by a table that is made from its handler's own. See
 * policy_own.h. */
#include "policy_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

const char handler_required[] = "";

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
static void compile_text(struct policy_compiler *c, const struct yaml_node *at,
                         const struct handler *h, const char *text, struct policy_arg *arg)
{
    struct err e;
    enum err_code code = template_compile(c->reader->arena, text, &arg->text, &e);

    if (!code)
        return;
    assert(at || code == ERR_NOMEM);
    yaml_fault(c->reader->faults, at, "%s.%s: %s", h->name, arg->arg->name, e.text);
}

/* The row of the settings' table that reads argument number i of a handler into its slot. */
static struct setting row_of(const struct handler_arg *arg, size_t i)
{
    struct setting row = {.key = arg->name,
                          .type = type_of[arg->type],
                          .offset = i * sizeof(struct slot) + offset_of[arg->type],
                          .meaning = arg->meaning,
                          .words = arg->words};

    if (arg->type == ARG_WORD) {
        row.fallback = arg->words[0];
    } else if (arg->type == ARG_NUMBER) {
        row.fallback = arg->fallback;
        row.least = strtoll(arg->words[0], NULL, 10);
        row.most = strtoll(arg->words[1], NULL, 10);
    } else if (arg->type == ARG_DURATION) {
        row.fallback = arg->fallback;
        row.least = MINUTE_MS;
        row.most = 366 * DAY_MS;
        if (arg->words) {
            (void)settings_duration(arg->words[0], &row.least, NULL);
            (void)settings_duration(arg->words[1], &row.most, NULL);
        }
    }
    return row;
}

/* Could a step with these settings ever do its work? at: where it stands. */
static void check_step(struct policy_compiler *c, const struct yaml_node *at,
                       const struct yaml_node *args, const struct handler *h,
                       const struct slot *slots)
{
    size_t n = count_args(h), wrong = HANDLER_WHOLE;
    struct handler_given *given = arena_array(c->reader->arena, n + 1, sizeof *given);
    const struct yaml_node *node;
    struct err e;

    if (!given) {
        (void)policy_no_memory(c, at);
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

/* at: the argument in the file; NULL: it is not there, and place is where it is missed. text: what was read of it, or NULL. */
static void take_text(struct policy_compiler *c, const struct yaml_node *at,
                      const struct yaml_node *place, const struct handler *h, const char *text,
                      struct policy_arg *out)
{
    const struct handler_arg *arg = out->arg;
    bool given = text && *text;

    if (arg->fallback == handler_required && !given)
        yaml_fault(c->reader->faults, at ? at : place, "%s.%s is missing", h->name, arg->name);
    else if (text && !given && arg->fallback)
        yaml_fault(c->reader->faults, at, "%s.%s is empty; leave it out for the usual one", h->name,
                   arg->name);
    else if (text)
        compile_text(c, at, h, text, out);
    else if (!at && arg->fallback)
        compile_text(c, NULL, h, arg->fallback, out);
}

/* What was read into the slot of out's argument, into out. */
static void take_arg(struct policy_compiler *c, const struct yaml_node *at,
                     const struct yaml_node *place, const struct handler *h,
                     const struct slot *slot, struct policy_arg *out)
{
    const struct handler_arg *arg = out->arg;

    switch (arg->type) {
    case ARG_TEXT:
        take_text(c, at, place, h, slot->text, out);
        break;
    case ARG_WORD:
        out->word = arg->words[slot->word];
        break;
    case ARG_DURATION:
        out->word = at ? settings_text(c->reader, at) : arg->fallback;
        out->number = slot->number;
        break;
    case ARG_NUMBER:
        out->number = slot->number;
        break;
    case ARG_ADDRESSES:
        out->addresses = slot->addresses;
        break;
    }
}

/* args: the map in the file; NULL: nothing is set. at_step: where the step stands; NULL: nowhere. */
void policy_compile_step(struct policy_compiler *c, const struct yaml_node *at_step,
                         const struct yaml_node *args, const struct handler *h,
                         struct policy_step *ret)
{
    const struct settings_reader *reader = c->reader;
    size_t n = count_args(h), before = reader->faults->count;
    struct setting *table = arena_array(reader->arena, n + 1, sizeof *table);
    struct slot *slots = arena_array(reader->arena, n + 1, sizeof *slots);

    *ret = (struct policy_step){.name = h->name, .acts = h->acts, .n_args = n};
    ret->args = arena_array(reader->arena, n + 1, sizeof *ret->args);
    if (!table || !slots || !ret->args) {
        (void)policy_no_memory(c, args);
        return;
    }
    if (n == 0 && args && args->kind == YAML_MAP && args->count) {
        yaml_fault(reader->faults, args->first->key, "%s takes no settings", h->name);
        return;
    }
    for (size_t i = 0; i < n; i++)
        table[i] = row_of(&h->args[i], i);
    settings_read(reader, args, h->name, table, slots);
    for (size_t i = 0; i < n; i++) {
        ret->args[i].arg = &h->args[i];
        take_arg(c, yaml_get(args, h->args[i].name), args ? args : at_step, h, &slots[i],
                 &ret->args[i]);
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
static const struct handler *find_handler(struct policy_compiler *c, const struct yaml_node *key)
{
    const struct handler *h = handler_find(key->text);
    const char *const *names = h ? NULL : policy_step_names(c->reader->arena);
    const char *nearest = names ? yaml_nearest(key->text, names) : NULL;

    if (h)
        return h;
    if (nearest) {
        yaml_fault(c->reader->faults, key, "no such step '%.60s'; did you mean %s?", key->text,
                   nearest);
    } else {
        AUTO(buf_clear) struct buf list = BUF_INIT(1024);

        for (size_t i = 0; names && names[i]; i++)
            buf_addf(&list, "%s%s", i == 0 ? "" : names[i + 1] ? ", " : " or ", names[i]);
        yaml_fault(c->reader->faults, key, "no such step '%.60s'; expected %s", key->text,
                   buf_text(&list));
    }
    return NULL;
}

/* ---- when a step is done, and what follows when it is not --------------------------------------- */

/* The steps that a rule has so far; NULL: no memory. */
static const char *const *steps_before(const struct policy_compiler *c,
                                       const struct policy_rule *rule)
{
    const char **names = arena_array(c->reader->arena, rule->n_steps + 1, sizeof *names);

    for (size_t i = 0; names && i < rule->n_steps; i++)
        names[i] = rule->steps[i].name;
    return names;
}

/* if: {isolate: done}: what a step before this one must have come to. */
static void compile_if(struct policy_compiler *c, const struct yaml_node *map,
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
        yaml_fault(faults, n->key, "if: no step before this one is called '%.60s'%s", n->key->text,
                   settings_meant(c->reader, n->key->text, steps_before(c, rule)));
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
static void compile_on_failure(struct policy_compiler *c, const struct yaml_node *n,
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

static bool has_setting(const struct handler *h, const char *name)
{
    for (const struct handler_arg *arg = h->args; arg && arg->name; arg++)
        if (strcmp(arg->name, name) == 0)
            return true;
    return false;
}

/* Faults for all that stands beside the one step of a map and means nothing there; false: it has not one step. */
static bool find_strangers(struct policy_compiler *c, const struct yaml_node *map)
{
    static const char *const words[] = {"if", "on_failure", NULL};
    const struct handler *h = NULL;
    size_t steps = 0;

    for (const struct yaml_node *n = map->kind == YAML_MAP ? map->first : NULL; n; n = n->next)
        if (handler_find(n->key->text)) {
            h = handler_find(n->key->text);
            steps++;
        }
    for (const struct yaml_node *n = steps == 1 ? map->first : NULL; n; n = n->next) {
        const char *word = n->key->text;
        char meant[YAML_MEANT_SIZE];

        if (strcmp(word, h->name) == 0 || strcmp(word, "if") == 0 ||
            strcmp(word, "on_failure") == 0)
            continue;
        if (has_setting(h, word))
            yaml_fault(
                c->reader->faults, n->key,
                "rule.do: '%.60s' stands beside the step, and is a setting of it: write %s: {%.60s: …}",
                word, h->name, word);
        else
            yaml_fault(c->reader->faults, n->key,
                       "rule.do: '%.60s' is nothing that stands beside a step%s", word,
                       yaml_meant(yaml_nearest(word, words), "; expected if or on_failure", meant));
    }
    return steps == 1;
}

void policy_compile_steps(struct policy_compiler *c, const struct yaml_node *list,
                          struct policy_rule *rule)
{
    struct yaml_faults *faults = c->reader->faults;

    if (list->kind != YAML_LIST || list->count == 0) {
        yaml_fault(faults, list, "rule.do: expected a list of steps, one at least");
        return;
    }
    rule->steps = arena_array(c->reader->arena, list->count, sizeof *rule->steps);
    if (!rule->steps) {
        (void)policy_no_memory(c, list);
        return;
    }
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        struct policy_step *step = &rule->steps[rule->n_steps];
        const struct yaml_node *named = n->kind == YAML_MAP ? find_step(n) : NULL;
        const struct handler *h;

        if (!named) {
            if (n->kind == YAML_SCALAR && !n->null && handler_find(n->text))
                yaml_fault(faults, n, "rule.do: write %s: {} for a step with nothing set", n->text);
            else if (!find_strangers(c, n))
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
        if (strcmp(h->name, POLICY_ASK) == 0) {
            if (rule->acts || rule->asks)
                yaml_fault(faults, named->key,
                           rule->acts ? "ask: the steps behind it wait for a person; it must stand "
                                        "before the first that acts"
                                      : "step 'ask' stands twice in one rule");
            if (yaml_get(n, "if"))
                yaml_fault(faults, yaml_get(n, "if"),
                           "ask: the steps behind it wait for a person in any case; put the `if` "
                           "beside these");
            rule->asks = true;
        }
        /* `email:` is `email: {}` */
        policy_compile_step(c, named->key, named->kind == YAML_SCALAR && named->null ? NULL : named,
                            h, step);
        if (yaml_get(n, "if"))
            compile_if(c, yaml_get(n, "if"), rule, step);
        if (yaml_get(n, "on_failure"))
            compile_on_failure(c, yaml_get(n, "on_failure"), step);
        rule->n_steps++;
        rule->acts |= h->acts;
        rule->tells |= strcmp(h->name, POLICY_TELL) == 0;
    }
    if (rule->asks && !rule->acts)
        yaml_fault(faults, list, "ask: no step behind it acts, so there is nothing to ask for");
}
