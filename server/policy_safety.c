/* policy_safety.c - what holds a policy back, read by a table of settings. See policy_own.h. */
#include "policy_own.h"

#include <string.h>
#include <strings.h>

#include "clock.h"

struct safety_settings {
    int mode;
    int64_t review;
    const char *pause_file;
    const struct yaml_node *protect, *limits, *ask, *storm;
    int64_t canary;
};

static const struct setting safety_table[] = {
    SETTING("mode", SET_WORD, safety_settings, mode, .fallback = "live", .words = policy_modes,
            .meaning = "shadow: everything but the acting"),
    SETTING("protected", SET_NODE, safety_settings, protect,
            .meaning = "conditions of machines that are never isolated unasked"),
    SETTING("limits", SET_NODE, safety_settings, limits,
            .meaning = "how many isolations within which time"),
    SETTING(
        "review", SET_DURATION, safety_settings, review, .fallback = "24h", .least = MINUTE_MS,
        .most = 366 * DAY_MS,
        .meaning =
            "how long a machine is isolated until people are asked whether that is still right"),
    SETTING("ask", SET_NODE, safety_settings, ask,
            .meaning = "whom to ask, and for how long, when safety wants a person's word"),
    SETTING("storm", SET_NODE, safety_settings, storm,
            .meaning = "one detector on so many machines is one decision for a person"),
    SETTING("canary", SET_INT, safety_settings, canary, .least = 0, .most = 1000,
            .meaning = "so many first isolations of a changed policy ask a person"),
    SETTING("pause_file", SET_TEXT, safety_settings, pause_file,
            .meaning = "while this file is there nothing is isolated"),
    {.key = NULL},
};

static const struct setting storm_table[] = {
    SETTING("machines", SET_INT, policy_storm, machines, .required = true, .least = 1,
            .most = 1000000, .meaning = "on more machines than these"),
    SETTING("within", SET_DURATION, policy_storm, within_ms, .required = true, .least = MINUTE_MS,
            .most = 30 * DAY_MS, .meaning = "within this time"),
    {.key = NULL},
};

/* By enum policy_scope. */
static const char *const scopes[] = {"all", "tenant", "rule", "group", NULL};

static const struct setting limit_table[] = {
    SETTING("isolations", SET_INT, policy_limit, isolations, .least = 1, .most = 1000000,
            .meaning = "at most so many isolations"),
    SETTING("per", SET_DURATION, policy_limit, per_ms, .required = true, .least = MINUTE_MS,
            .most = 366 * DAY_MS, .meaning = "within this time"),
    SETTING("percent", SET_INT, policy_limit, percent, .least = 1, .most = 100,
            .meaning = "at most so much of the machines of a device group; of: group"),
    SETTING("of", SET_WORD, policy_limit, of, .fallback = "all", .words = scopes,
            .meaning =
                "which isolations are counted together: all, those of a tenant, a rule, a group"),
    {.key = NULL},
};

static void compile_protections(struct policy_compiler *c, const struct yaml_node *list)
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
        (void)policy_no_memory(c, list);
        return;
    }
    for (const struct yaml_node *n = list->first; n; n = n->next)
        p->protections[p->n_protections++] = condition_compile(c->reader, n, "safety.protected");
}

static void compile_limits(struct policy_compiler *c, const struct yaml_node *list)
{
    struct policy *p = c->policy;

    if (list->kind != YAML_LIST) {
        yaml_fault(c->reader->faults, list,
                   "safety.limits: expected a list of limits, such as {isolations: 10, per: 1h}");
        return;
    }
    p->limits = arena_array(c->reader->arena, list->count + 1, sizeof *p->limits);
    if (!p->limits) {
        (void)policy_no_memory(c, list);
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

/* What an `ask` says of whom it asks, and for how long, into *ret. */
static void read_terms(const struct policy_step *ask, struct policy_terms *ret)
{
    for (size_t i = 0; ask->args && i < ask->n_args; i++) {
        const struct policy_arg *arg = &ask->args[i];

        if (!arg->arg)
            continue;
        if (strcmp(arg->arg->name, "within") == 0)
            ret->within_ms = arg->number;
        else if (strcmp(arg->arg->name, "people") == 0)
            ret->people = arg->number;
        else if (strcmp(arg->arg->name, "approvers") == 0)
            ret->approvers = arg->addresses;
    }
}

/* An address in another spelling is the same person's. */
static bool is_named(const struct text_list *list, const char *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(list->items[i], address) == 0)
            return true;
    return false;
}

/* Does whoever lets a rule's own `ask` past say all that safety.ask wants said? */
static bool asks_enough(const struct policy_rule *rule, const struct policy_terms *safety)
{
    struct policy_terms own = {0};

    for (size_t i = 0; i < rule->n_steps; i++)
        if (strcmp(rule->steps[i].name, POLICY_ASK) == 0)
            read_terms(&rule->steps[i], &own);
    for (size_t i = 0; i < own.approvers.count && safety->approvers.count; i++)
        if (!is_named(&safety->approvers, own.approvers.items[i]))
            return false;
    return own.people >= safety->people && (own.approvers.count || !safety->approvers.count);
}

static void compile_ask(struct policy_compiler *c, const struct yaml_node *node)
{
    const struct handler *ask = handler_find(POLICY_ASK);
    struct policy *p = c->policy;

    if (!ask) /* a test's own table of handlers */
        return;
    policy_compile_step(c, node ? node->key : NULL,
                        node && node->kind == YAML_SCALAR && node->null ? NULL : node, ask,
                        &p->ask);
    p->asks_in_doubt = node != NULL;
    read_terms(&p->ask, &p->terms);
    for (size_t i = 0; i < p->n_rules; i++)
        p->rules[i].enough = asks_enough(&p->rules[i], &p->terms);
}

/* A kill switch that is not seen, or that a reboot takes away, is none when it is needed. */
static void note_pause_file(struct policy_compiler *c, const struct yaml_node *at, const char *file)
{
    static const struct {
        const char *folder, *why;
    } rows[] = {
        {"/tmp/",
         "under systemd the service has a /tmp of its own, so that a file of yours is not seen"},
        {"/var/tmp/",
         "under systemd the service has one of its own, so that a file of yours is not seen"},
        {"/run/", "a reboot empties it, and would end the pause"},
        {"/var/run/", "a reboot empties it, and would end the pause"},
        {"/dev/shm/", "a reboot empties it, and would end the pause"},
    };

    for (size_t i = 0; c->reader->notes && i < sizeof rows / sizeof *rows; i++)
        if (strncmp(file, rows[i].folder, strlen(rows[i].folder)) == 0)
            yaml_fault(c->reader->notes, at,
                       "safety.pause_file: %.60s: %s; take a folder such as /var/lib/cordon", file,
                       rows[i].why);
}

void policy_compile_safety(struct policy_compiler *c, const struct yaml_node *safety)
{
    struct safety_settings s = {0};

    settings_read(c->reader, safety, "safety", safety_table, &s);
    c->policy->shadow = s.mode == POLICY_SHADOW;
    c->policy->review_ms = s.review;
    c->policy->pause_file = s.pause_file;
    if (s.pause_file && s.pause_file[0] != '/') /* whoever makes it stands in another folder */
        yaml_fault(c->reader->faults, yaml_get(safety, "pause_file"),
                   "safety.pause_file: expected a whole path, such as /var/lib/cordon/pause, found "
                   "'%.60s'",
                   s.pause_file);
    else if (s.pause_file)
        note_pause_file(c, yaml_get(safety, "pause_file"), s.pause_file);
    c->policy->canary = s.canary;
    compile_ask(c, s.ask);
    if (s.storm)
        settings_read(c->reader, s.storm, "safety.storm", storm_table, &c->policy->storm);
    if (s.protect)
        compile_protections(c, s.protect);
    if (s.limits)
        compile_limits(c, s.limits);
}

const char *policy_scope_name(int scope)
{
    return scopes[scope];
}
