/* policy_restore.c - policy_restore of policy.h: out of the normal form, back to what a file would have given.
 *
 * The normal form (policy.c) is JSON: maps, lists and texts as they were after the environment was filled
 * in, {"plain":TEXT} for what stood without quotes and is no text. It is turned into the tree that yaml.h
 * would have made, so that one compiler makes both.
 */
#include "policy.h"

#include <string.h>

#include "buf.h"
#include "json.h"
#include "lists.h"

struct restoring {
    struct arena *arena;
    bool nomem;
};

static void *take(struct restoring *r, void *p)
{
    r->nomem |= !p;
    return p;
}

/* A literal ${ is written so that it stays one. */
static const char *unexpanded(struct restoring *r, const char *text)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1024 * 1024);

    if (!strstr(text, "${"))
        return take(r, arena_str(r->arena, text));
    for (const char *p = text; *p; p++) {
        if (strncmp(p, "${", 2) == 0)
            buf_addc(&b, '$');
        buf_addc(&b, *p);
    }
    return take(r, buf_failed(&b) ? NULL : arena_str(r->arena, buf_text(&b)));
}

static struct yaml_node *scalar(struct restoring *r, const char *text, bool quoted)
{
    struct yaml_node *n = take(r, arena_alloc(r->arena, sizeof *n));

    if (n)
        *n = (struct yaml_node){.kind = YAML_SCALAR,
                                .file = "policy",
                                .line = 1,
                                .column = 1,
                                .text = text ? unexpanded(r, text) : "",
                                .quoted = text && quoted,
                                .null = !text};
    return n;
}

/* Bounded: json_parse_own lets nothing past JSON_OWN_DEPTH_MAX. */
static struct yaml_node *node_of(struct restoring *r, const struct json *v)
{
    const char *plain = json_count(v) == 1 ? json_get_string(v, "plain") : NULL;
    struct yaml_node *n, **end;

    if (plain)
        return scalar(r, plain, false);
    if (json_type(v) != JSON_OBJECT && json_type(v) != JSON_ARRAY)
        return scalar(r, json_string(v), true);
    n = scalar(r, "", true);
    if (!n)
        return NULL;
    n->kind = json_type(v) == JSON_OBJECT ? YAML_MAP : YAML_LIST;
    end = &n->first;
    JSON_EACH (child, v) {
        struct yaml_node *c = node_of(r, child);

        if (!c)
            return NULL;
        if (n->kind == YAML_MAP)
            c->key = scalar(r, json_name(child), false);
        *end = c;
        end = &c->next;
        n->count++;
    }
    return n;
}

static void restore_lists(struct restoring *r, const struct json *doc, struct list_files *files)
{
    JSON_EACH (list, json_get(doc, "lists")) {
        const char **lines = take(r, arena_array(r->arena, json_count(list) + 1, sizeof *lines));
        const char *name = take(r, arena_str(r->arena, json_name(list)));
        size_t n = 0;

        if (!lines || !name)
            return;
        JSON_EACH (line, list) {
            const char *text = json_string(line);

            lines[n++] = take(r, arena_str(r->arena, text ? text : ""));
        }
        r->nomem |= list_file_add(r->arena, files, name, lines, n) != ERR_OK;
    }
    files->closed = true;
}

enum err_code policy_restore(struct arena *a, const char *text, const struct policy **ret,
                             struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct restoring r = {.arena = a};
    struct list_files lists = {0};
    struct yaml_node *rules, *safety = NULL;
    struct settings_reader reader = {.arena = a, .lists = &lists};
    struct yaml_faults faults;
    const struct policy *p;
    enum err_code code = json_parse_own(text, strlen(text), &doc, e);

    if (code)
        return err_in(e, "the policy as it was kept");
    yaml_faults_init(&faults, a);
    reader.faults = &faults;
    restore_lists(&r, doc, &lists);
    rules = node_of(&r, json_get(doc, "rules"));
    if (json_get(doc, "safety"))
        safety = node_of(&r, json_get(doc, "safety"));
    if (r.nomem)
        return err_set(e, ERR_NOMEM, "the policy as it was kept");
    p = policy_compile(&reader, rules, safety);
    if (!p)
        return err_set(e, ERR_INVALID, "this version of cordon does not take that policy: %s",
                       faults.first ? faults.first->text : "it has faults");
    *ret = p;
    return ERR_OK;
}
