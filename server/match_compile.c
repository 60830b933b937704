/* match_compile.c - condition_compile of match.h: from YAML to a tree, and every fault with its place.
 *
 * Tests are numbered in the order of the file, so that a node knows its tests as a range.
 */
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "match_own.h"

void *match_no_memory(struct match_compiler *c, const struct yaml_node *at)
{
    yaml_fault(c->reader->faults, at, "out of memory");
    return NULL;
}

const char *match_article(const char *word)
{
    return strchr("aeiou", *word) ? "an" : "a";
}

static struct condition *compile_map(struct match_compiler *c, const struct yaml_node *map,
                                     const char *what, const char *within, int depth);

static struct condition *new_node(struct match_compiler *c, const struct yaml_node *at,
                                  enum node_kind kind)
{
    struct condition *n = arena_alloc(c->reader->arena, sizeof *n);

    if (!n)
        return match_no_memory(c, at);
    n->kind = kind;
    n->from = n->end = c->tests;
    return n;
}

/* What a field takes, for people: "a plain value, in, not or exists". */
static const char *list_ops(const struct field *f, struct arena *a)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(256);
    unsigned left = field_ops(f);
    const char *text;

    for (enum field_op op = FIELD_OP_IS; op < FIELD_OPS; op++) {
        if (!(left & 1u << op))
            continue;
        left &= ~(1u << op);
        buf_addf(&b, "%s%s",
                 b.len == 0 ? ""
                 : left     ? ", "
                            : " or ",
                 op == FIELD_OP_IS ? "a plain value" : field_op_name(op));
    }
    text = arena_str(a, buf_text(&b));
    return text ? text : "";
}

/* The operand as JSON text: what stands in quotes or is no number or truth value is a string. */
static const char *show_wanted(struct match_compiler *c, const struct yaml_node *at,
                               const struct field *f, enum field_op op)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096); /* far beyond the cut; what is beyond is lost */
    struct json_out o = JSON_OUT(&b);
    bool raw = op == FIELD_OP_EXISTS || ((f->type == FIELD_NUMBER || f->type == FIELD_BOOL));
    const char *text;

    if (at->kind == YAML_LIST)
        json_out_array(&o, NULL);
    for (const struct yaml_node *n = at->kind == YAML_LIST ? at->first : at; n; n = n->next) {
        const char *scalar = settings_text(c->reader, n);

        if (raw)
            json_out_raw(&o, NULL, scalar);
        else
            json_out_string(&o, NULL, scalar);
        if (at->kind != YAML_LIST)
            break;
    }
    if (at->kind == YAML_LIST)
        json_out_array_end(&o);
    text = buf_failed(&b) == ERR_NOMEM ? NULL : arena_str(c->reader->arena, buf_text(&b));
    return text ? match_cut(c->reader->arena, text) : NULL;
}

/* The values of a list that stands in a file; their faults name its lines. */
static bool compile_list(struct match_compiler *c, const struct yaml_node *map, struct condition *n)
{
    const struct list_file *list = list_file_read(c->reader, c->lists, map, n->field->name);
    bool good = true;

    if (!list)
        return false;
    n->n_operands = list->count;
    n->operands = arena_array(c->reader->arena, list->count, sizeof *n->operands);
    if (!n->operands)
        return match_no_memory(c, map);
    for (size_t i = 0; i < list->count; i++) {
        const struct yaml_node line = {.kind = YAML_SCALAR,
                                       .file = list->path,
                                       .line = list->numbers[i],
                                       .column = 1,
                                       .text = list->lines[i],
                                       .quoted = true};

        if (strstr(line.text, "${")) {
            yaml_fault(c->reader->faults, &line, "%s: a list takes nothing from the environment",
                       n->field->name);
            good = false;
        } else {
            good =
                match_read_operand(c, &line, n->field, FIELD_OP_IN_FILE, &n->operands[i]) && good;
        }
    }
    return good;
}

/* field against one operator and its value; map: what `at` stands in, for a list in a file. */
static struct condition *compile_test(struct match_compiler *c, const struct yaml_node *at,
                                      const struct field *f, enum field_op op, const char *within,
                                      const struct yaml_node *map)
{
    bool list =
        at->kind == YAML_LIST && (op == FIELD_OP_IN || op == FIELD_OP_NOT || op == FIELD_OP_GLOB ||
                                  op == FIELD_OP_REGEX || op == FIELD_OP_CIDR);
    struct condition *n;
    bool good = true;

    if (!(field_ops(f) & 1u << op)) {
        const char *type = field_type_name(f);
        const char *ops = list_ops(f, c->reader->arena);

        if (op == FIELD_OP_IS || op == FIELD_OP_IN)
            yaml_fault(c->reader->faults, at, "%s is %s %s and takes no %s; it takes %s", f->name,
                       match_article(type), type,
                       op == FIELD_OP_IS ? "plain value" : "list of values", ops);
        else
            yaml_fault(c->reader->faults, at->key ? at->key : at,
                       "%s is %s %s: %s does not apply; it takes %s", f->name, match_article(type),
                       type, field_op_name(op), ops);
        return NULL;
    }
    if (list && at->count == 0) {
        yaml_fault(c->reader->faults, at, "%s: an empty list matches nothing", f->name);
        return NULL;
    }
    n = new_node(c, at, NODE_TEST);
    if (!n)
        return NULL;
    n->field = f;
    n->op = op;
    n->within = within;
    n->n_operands = list ? at->count : 1;
    n->operands = arena_array(c->reader->arena, n->n_operands, sizeof *n->operands);
    if (!n->operands)
        return match_no_memory(c, at);
    if (op == FIELD_OP_IN_FILE) {
        good = compile_list(c, map, n);
    } else if (list) {
        struct operand *to = n->operands;

        for (const struct yaml_node *v = at->first; v; v = v->next)
            good = match_read_operand(c, v, f, op, to++) && good;
    } else {
        good = match_read_operand(c, at, f, op, n->operands);
    }
    if (!good)
        return NULL;
    n->wanted = show_wanted(c, at, f, op);
    if (!n->wanted)
        return match_no_memory(c, at);
    n->end = ++c->tests;
    return n;
}

/* Hangs a child to the end of a chain; NULL (a fault was noted) makes the whole void. */
static void add_child(struct condition ***end, struct condition *child, bool *good)
{
    if (!child) {
        *good = false;
        return;
    }
    **end = child;
    *end = &child->next;
}

static struct condition *close_node(struct match_compiler *c, struct condition *n, bool good)
{
    n->end = c->tests;
    return good ? n : NULL;
}

/* {at_least: High, at_most: Low} holds of nothing: a slip, after which a rule or a protection would be none. */
static bool check_range(struct match_compiler *c, const struct yaml_node *map,
                        const struct field *f, const struct condition *all)
{
    static const struct {
        enum field_op from, to;
        bool open; /* at exactly the given age neither holds */
    } pairs[] = {{FIELD_OP_AT_LEAST, FIELD_OP_AT_MOST, false},
                 {FIELD_OP_OLDER_THAN, FIELD_OP_NEWER_THAN, true}};
    const struct condition *tests[FIELD_OPS] = {NULL};

    for (const struct condition *n = all->first; n; n = n->next)
        if (n->kind == NODE_TEST)
            tests[n->op] = n;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct condition *from = tests[pairs[i].from], *to = tests[pairs[i].to];
        int64_t low, high;

        if (!from || !to)
            continue;
        low = f->type == FIELD_LEVEL ? from->operands->rank : from->operands->number;
        high = f->type == FIELD_LEVEL ? to->operands->rank : to->operands->number;
        if (low < high || (low == high && !pairs[i].open))
            continue;
        yaml_fault(c->reader->faults, map, "%s: nothing is %s %s and %s %s at once", f->name,
                   field_op_name(pairs[i].from), from->wanted, field_op_name(pairs[i].to),
                   to->wanted);
        return false;
    }
    return true;
}

static void unknown_operator(struct match_compiler *c, const struct yaml_node *key,
                             const struct field *f)
{
    const char *expected =
        arena_fmt(c->reader->arena, "; expected %s", list_ops(f, c->reader->arena));
    const char *names[FIELD_OPS + 1] = {NULL};
    char meant[YAML_MEANT_SIZE];
    size_t count = 0;

    for (enum field_op op = FIELD_OP_IN; op < FIELD_OPS; op++)
        if (field_ops(f) & 1u << op)
            names[count++] = field_op_name(op);
    yaml_fault(c->reader->faults, key, "%s: no such operator '%.60s'%s", f->name, key->text,
               yaml_meant(yaml_nearest(key->text, names), expected ? expected : "", meant));
}

/* A node for what must not hold; *ret_inner: where its child stands, as within has it. */
static struct condition *new_not(struct match_compiler *c, const struct yaml_node *at,
                                 const char *within, const char **ret_inner)
{
    struct condition *n = new_node(c, at, NODE_NOT);

    *ret_inner = arena_fmt(c->reader->arena, "%s%snot", within, *within ? "." : "");
    return *ret_inner ? n : match_no_memory(c, at);
}

/* field: {operator: value, …} */
static struct condition *compile_ops(struct match_compiler *c, const struct yaml_node *map,
                                     const struct field *f, const char *within, int depth)
{
    struct condition *all = new_node(c, map, NODE_ALL), **end;
    bool good = true;

    if (!all)
        return NULL;
    if (map->count == 0) {
        yaml_fault(c->reader->faults, map, "%s: expected an operator: %s", f->name,
                   list_ops(f, c->reader->arena));
        return NULL;
    }
    if (depth > CONDITION_DEPTH_MAX) {
        yaml_fault(c->reader->faults, map, "nested more than %d deep", CONDITION_DEPTH_MAX);
        return NULL;
    }
    end = &all->first;
    for (const struct yaml_node *v = map->first; v; v = v->next) {
        enum field_op op;

        if (!field_op_find(v->key->text, &op)) {
            unknown_operator(c, v->key, f);
            good = false;
        } else if (op == FIELD_OP_NOT && v->kind == YAML_MAP) {
            const char *inner;
            struct condition *none = new_not(c, v, within, &inner);

            if (!none)
                return NULL;
            none->first = compile_ops(c, v, f, inner, depth + 1);
            add_child(&end, close_node(c, none, none->first != NULL), &good);
        } else {
            add_child(&end, compile_test(c, v, f, op, within, map), &good);
        }
    }
    return close_node(c, all, good && check_range(c, map, f, all));
}

/* any: or all: with a list of maps. */
static struct condition *compile_group(struct match_compiler *c, const struct yaml_node *list,
                                       enum node_kind kind, const char *within, int depth)
{
    const char *word = list->key->text;
    struct condition *group = new_node(c, list, kind), **end;
    bool good = true;
    size_t i = 0;

    if (!group)
        return NULL;
    if (list->kind != YAML_LIST || list->count == 0) {
        yaml_fault(c->reader->faults, list, "%s: expected a list of maps, one at least", word);
        return NULL;
    }
    end = &group->first;
    for (const struct yaml_node *map = list->first; map; map = map->next) {
        const char *inner =
            arena_fmt(c->reader->arena, "%s%s%s[%zu]", within, *within ? "." : "", word, ++i);

        if (!inner)
            return match_no_memory(c, map);
        add_child(&end, compile_map(c, map, word, inner, depth + 1), &good);
    }
    return close_node(c, group, good);
}

/* A field, or a word that combines conditions, by whichever name people know it. */
static const char *nearest_entry(const char *word)
{
    static const char *const words[] = {"any", "all", "not", NULL};
    const char *nearest = yaml_nearest(word, words);

    if (strcasecmp(word, "or") == 0 || strcasecmp(word, "and") == 0)
        return *word == 'o' || *word == 'O' ? "any" : "all";
    return nearest ? nearest : field_nearest(word);
}

/* One entry of a condition's map. */
static struct condition *compile_entry(struct match_compiler *c, const struct yaml_node *v,
                                       const char *within, int depth)
{
    const char *word = v->key->text;
    const struct field *f = field_find(word);
    char meant[YAML_MEANT_SIZE];

    if (f) {
        if (v->kind == YAML_MAP)
            return compile_ops(c, v, f, within, depth);
        return compile_test(c, v, f, v->kind == YAML_LIST ? FIELD_OP_IN : FIELD_OP_IS, within,
                            NULL);
    }
    if (strcmp(word, "any") == 0 || strcmp(word, "all") == 0)
        return compile_group(c, v, word[1] == 'n' ? NODE_ANY : NODE_ALL, within, depth);
    if (strcmp(word, "not") == 0) {
        const char *inner;
        struct condition *none = new_not(c, v, within, &inner);

        if (!none)
            return NULL;
        none->first = compile_map(c, v, "not", inner, depth + 1);
        return close_node(c, none, none->first != NULL);
    }
    yaml_fault(c->reader->faults, v->key, "no such field '%.60s'%s", word,
               yaml_meant(nearest_entry(word), "; see `cordon fields`", meant));
    return NULL;
}

static struct condition *compile_map(struct match_compiler *c, const struct yaml_node *map,
                                     const char *what, const char *within, int depth)
{
    struct condition *all, **end;
    bool good = true;

    if (map->kind != YAML_MAP || map->count == 0) {
        yaml_fault(c->reader->faults, map,
                   "%s: expected a map of fields, such as {alert.severity: High}", what);
        return NULL;
    }
    if (depth > CONDITION_DEPTH_MAX) {
        yaml_fault(c->reader->faults, map, "nested more than %d deep", CONDITION_DEPTH_MAX);
        return NULL;
    }
    all = new_node(c, map, NODE_ALL);
    if (!all)
        return NULL;
    end = &all->first;
    for (const struct yaml_node *v = map->first; v; v = v->next)
        add_child(&end, compile_entry(c, v, within, depth), &good);
    return close_node(c, all, good);
}

const struct condition *condition_compile(const struct settings_reader *reader,
                                          const struct yaml_node *map, const char *what)
{
    struct list_files own = {0};
    struct match_compiler c = {.reader = reader, .lists = reader->lists ? reader->lists : &own};
    struct condition *root;

    if (!match_prepare_patterns(&c))
        return match_no_memory(&c, map);
    root = compile_map(&c, map, what, "", 1);
    if (root)
        root->limits = c.limits;
    return root;
}
