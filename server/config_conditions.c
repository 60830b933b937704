/* config_conditions.c - what the conditions of the policy say of the rest of the file; see config_own.h.
 *
 * A policy knows neither tenants nor sources, so that it can be compiled without them (config_peek.c, policy_restore). But
 * a name that nothing has makes a rule that never matches, and a protection that never protects, in silence. Patterns are
 * let through: they may be meant for names to come.
 */
#include "config_own.h"

#include <string.h>
#include <strings.h>

#include "match.h"

/* A field whose values stand elsewhere in the file. */
struct vocabulary {
    const char *field;
    const char *const *names; /* NULL-terminated */
};

static void check_name(struct config_loading *l, const struct vocabulary *v,
                       const struct yaml_node *at)
{
    const char *text = settings_text(&l->reader, at), *name;
    size_t len;

    if (!text || !v->names[0]) /* that none is there is a fault of its own */
        return;
    name = text;
    len = match_trim(&name);
    for (size_t i = 0; v->names[i]; i++)
        if (strlen(v->names[i]) == len && strncasecmp(v->names[i], name, len) == 0)
            return;
    yaml_fault(l->reader.faults, at, "%s: there is no %s '%.60s'%s", v->field, v->field, text,
               settings_meant(&l->reader, text, v->names));
}

/* A plain value, a list, or a map of operators. Depth is bounded: it was compiled. */
static void check_value(struct config_loading *l, const struct vocabulary *v,
                        const struct yaml_node *value)
{
    if (value->kind == YAML_SCALAR)
        check_name(l, v, value);
    for (const struct yaml_node *n = value->first; n; n = n->next)
        if (value->kind == YAML_LIST || strcmp(n->key->text, "in") == 0 ||
            strcmp(n->key->text, "not") == 0)
            check_value(l, v, n);
}

static void check_condition(struct config_loading *l, const struct vocabulary *v,
                            const struct yaml_node *node)
{
    for (const struct yaml_node *n = node->first; n; n = n->next)
        if (n->key && strcmp(n->key->text, v->field) == 0)
            check_value(l, v, n);
        else
            check_condition(l, v, n);
}

enum err_code config_check_conditions(struct config_loading *l, const struct yaml_node *rules,
                                      const struct yaml_node *protections)
{
    const struct config *c = l->config;
    size_t n = 0, most = c->n_tenants + c->n_sources + c->n_hunts + 2;
    const char **tenants = arena_array(l->reader.arena, most, sizeof *tenants);
    const char **sources = arena_array(l->reader.arena, most, sizeof *sources);
    const struct vocabulary words[] = {{"tenant", tenants}, {"source", sources}};

    if (!tenants || !sources)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->n_tenants; i++)
        tenants[i] = c->tenants[i].name;
    for (size_t i = 0; i < c->n_sources; i++)
        sources[n++] = c->sources[i].name;
    for (size_t i = 0; i < c->n_hunts; i++)
        sources[n++] = c->hunts[i].source;
    if (n || c->polling.every_ms)
        sources[n] = CONFIG_POLLING;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        for (const struct yaml_node *rule = rules->first; rule; rule = rule->next)
            if (yaml_get(rule, "when"))
                check_condition(l, &words[i], yaml_get(rule, "when"));
        if (protections)
            check_condition(l, &words[i], protections);
    }
    return ERR_OK;
}
