/* match_compile.c - condition_compile of match.h: from YAML to a tree, and every fault with its place.
 *
 * Tests are numbered in the order of the file, so that a node knows its tests as a range. Equality of plain ASCII is
 * strcasecmp; with other letters PCRE2 compares, which knows their cases.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "match_own.h"

#define WORDS_SHOWN_MAX 8 /* expected words named in a fault */

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

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* defender-api.md section 3.2. A name in a list of ids would protect nothing, and nobody would notice. */
static bool is_machine_id(const char *text)
{
    size_t len = strspn(text, "0123456789abcdefABCDEF");

    return len >= 32 && len <= 64 && !text[len];
}

/* A text that hardly equals anything makes a rule that never matches and a protection that protects nothing, and
 * nobody would notice. It is said, and no fault, as it may be meant. Once of a kind: a list file may hold thousands. */
static void note_text(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                      enum field_op op, const char *text)
{
    bool pattern = op == FIELD_OP_GLOB || op == FIELD_OP_REGEX;
    bool *noted = &c->noted[NOTED_STAR];

    if (!c->reader->notes)
        return;
    if (!pattern && strchr(text, '*')) {
        if (!*noted)
            yaml_fault(
                c->reader->notes, at,
                "%s: '%.60s' is compared as it stands, with its '*'; to match a pattern write "
                "{glob: '%.60s'}",
                f->name, text, text);
    } else if (!pattern && strncmp(f->name, "machine.", strlen("machine.")) == 0 &&
               strchr(text, ',')) { /* YAML makes one text of a, b without brackets */
        noted = &c->noted[NOTED_COMMA];
        if (!*noted)
            yaml_fault(c->reader->notes, at,
                       "%s: '%.60s' is one text, with its ','; write a list as [%.60s]", f->name,
                       text, text);
    } else if (strcmp(f->name, "machine.name") == 0 && op != FIELD_OP_REGEX &&
               !strpbrk(text, pattern ? ".*?[" : ".")) {
        /* A machine of a domain has its full name (defender-api.md section 3.2, computerDnsName), one of a workgroup no
         * other than its first label. */
        noted = &c->noted[NOTED_NAME];
        if (!*noted)
            yaml_fault(
                c->reader->notes, at,
                "machine.name: '%.60s' does not equal %.60s.corp.example, as Defender calls a machine of a "
                "domain; to match both write {glob: ['%.60s', '%.60s.*']}",
                text, text, text, text);
    } else if (strcmp(f->name, "machine.os") == 0 && op != FIELD_OP_REGEX && strchr(text, ' ')) {
        /* the portal writes "Windows Server 2022" (defender-api.md section 3.2, osPlatform) */
        noted = &c->noted[NOTED_OS];
        if (!*noted)
            yaml_fault(
                c->reader->notes, at,
                "machine.os: '%.60s' has blanks, and what Defender sends has none: Windows11, "
                "WindowsServer2022",
                text);
    } else if (strcmp(f->name, "alert.category") == 0 && op != FIELD_OP_REGEX &&
               strchr(text, ' ')) {
        /* the portal writes "Credential access" (defender-api.md section 2.3, category) */
        noted = &c->noted[NOTED_CATEGORY];
        if (!*noted)
            yaml_fault(
                c->reader->notes, at,
                "alert.category: '%.60s' has blanks, and what Defender sends has none: CredentialAccess, "
                "LateralMovement",
                text);
    } else {
        return;
    }
    *noted = true;
}

static bool compile_text(struct match_compiler *c, const struct yaml_node *at,
                         const struct field *f, enum field_op op, const char *text,
                         struct operand *ret)
{
    if ((op == FIELD_OP_REGEX || op == FIELD_OP_GLOB) && strlen(text) > REGEX_TEXT_MAX) {
        yaml_fault(c->reader->faults, at, "%s: %s %s of more than %d characters", f->name,
                   match_article(field_op_name(op)), field_op_name(op), REGEX_TEXT_MAX);
        return false;
    }
    if (!*text && op == FIELD_OP_GLOB) {
        yaml_fault(c->reader->faults, at, "%s: an empty glob matches nothing", f->name);
        return false;
    }
    /* It may be a variable that is empty, and the rule would be one for all machines. */
    if (!*text && op == FIELD_OP_REGEX) {
        yaml_fault(c->reader->faults, at, "%s: an empty regular expression matches everything",
                   f->name);
        return false;
    }
    if (op != FIELD_OP_REGEX && op != FIELD_OP_GLOB) {
        size_t len = match_trim(&text);

        if (text[len] && !(text = arena_strn(c->reader->arena, text, len))) {
            (void)match_no_memory(c, at);
            return false;
        }
    }
    note_text(c, at, f, op, text);
    ret->text = text;
    if (op == FIELD_OP_REGEX) {
        ret->pattern = match_compile_regex(c, at, f, text);
    } else if (op == FIELD_OP_GLOB) {
        ret->pattern = match_compile_glob(c, at, f, text);
    } else if (!*text) {
        yaml_fault(
            c->reader->faults, at,
            "%s: an empty text equals nothing; ask with {exists: false} whether there is none",
            f->name);
        return false;
    } else if (strcmp(f->name, "machine.id") == 0 && !is_machine_id(text)) {
        yaml_fault(c->reader->faults, at,
                   "%s: '%.60s' is no machine id (40 hexadecimal digits); names are compared by "
                   "machine.name",
                   f->name, text);
        return false;
    } else if (is_ascii(text)) {
        return true;
    } else {
        ret->pattern = match_compile_literal(c, at, f, text);
    }
    return ret->pattern != NULL;
}

static bool compile_word(struct match_compiler *c, const struct yaml_node *at,
                         const struct field *f, const char *text, struct operand *ret)
{
    const char *noun, *nearest;
    size_t count = 0;

    ret->rank = field_word(f->words, text);
    if (ret->rank >= 0)
        return true;
    noun = field_noun(f, c->reader->arena);
    nearest = yaml_nearest(text, f->words);
    while (f->words[count])
        count++;
    if (nearest) {
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is no %s; did you mean %s?", f->name, text,
                   noun ? noun : "value", nearest);
    } else if (count > WORDS_SHOWN_MAX) {
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is no %s; see `cordon fields`", f->name,
                   text, noun ? noun : "value");
    } else {
        AUTO(buf_clear) struct buf words = BUF_INIT(512);

        for (size_t i = 0; i < count; i++)
            buf_addf(&words, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", f->words[i]);
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is no %s; expected %s", f->name, text,
                   noun ? noun : "value", buf_text(&words));
    }
    return false;
}

/* Digits with a sign, nothing else. */
static bool read_number(const char *text, int64_t *ret)
{
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    struct json *v;
    bool good;

    if (digits == 0 || text[(*text == '-') + digits] ||
        json_parse(text, strlen(text), &v, NULL) != ERR_OK)
        return false;
    good = json_int64(v, ret);
    json_free(v);
    return good;
}

/* May a scalar be a number or a truth value? "${BUILD}" needs its quotes and says nothing by them. */
static bool is_bare(const struct yaml_node *at)
{
    return !at->quoted || strstr(at->text, "${");
}

/* true and false as YAML 1.2 has them. */
static bool read_bool(const struct yaml_node *at, const char *text, int64_t *ret)
{
    *ret = strcmp(text, "true") == 0;
    return is_bare(at) && (*ret || strcmp(text, "false") == 0);
}

static bool compile_address(struct match_compiler *c, const struct yaml_node *at,
                            const struct field *f, const char *text, struct operand *ret)
{
    struct cidr net;

    if (field_address(text, ret->address))
        return true;
    if (strchr(text, '/') && settings_cidr(text, &net, NULL) == ERR_OK)
        yaml_fault(c->reader->faults, at, "%s: '%.60s' is a network; write {cidr: %.60s}", f->name,
                   text, text);
    else
        yaml_fault(c->reader->faults, at, "%s: expected an IP address, found '%.60s'", f->name,
                   text);
    return false;
}

/* Reads one scalar as what op and the field's type ask for. */
static bool compile_operand(struct match_compiler *c, const struct yaml_node *at,
                            const struct field *f, enum field_op op, struct operand *ret)
{
    struct yaml_faults *faults = c->reader->faults;
    struct err e;
    const char *text;

    if (at->kind != YAML_SCALAR) {
        yaml_fault(faults, at, "%s: expected one value, found a %s", f->name,
                   at->kind == YAML_LIST ? "list" : "map");
        return false;
    }
    if (at->null) {
        yaml_fault(faults, at,
                   "%s: expected a value; ask with {exists: false} whether there is none", f->name);
        return false;
    }
    text = settings_text(c->reader, at);
    if (!text)
        return false;
    switch (op) {
    case FIELD_OP_EXISTS:
        if (read_bool(at, text, &ret->number))
            return true;
        yaml_fault(faults, at, "%s: exists takes true or false, found '%.60s'%s", f->name, text,
                   is_bare(at) ? "" : " in quotes");
        return false;
    case FIELD_OP_OLDER_THAN:
    case FIELD_OP_NEWER_THAN:
        if (settings_duration(text, &ret->number, &e) == ERR_OK)
            return true;
        yaml_fault(faults, at, "%s: %s: %s", f->name, field_op_name(op), e.text);
        return false;
    case FIELD_OP_CIDR:
        if (settings_cidr(text, &ret->net, &e) == ERR_OK)
            return true;
        yaml_fault(faults, at, "%s: cidr: %s", f->name, e.text);
        return false;
    case FIELD_OP_IN_FILE:
        if (f->type != FIELD_ADDRESS)
            break;
        if (settings_cidr(text, &ret->net, &e) == ERR_OK)
            return true;
        yaml_fault(faults, at, "%s: in_file: %s", f->name, e.text);
        return false;
    default:
        break;
    }
    switch (f->type) {
    case FIELD_TEXT:
        return compile_text(c, at, f, op, text, ret);
    case FIELD_WORD:
    case FIELD_LEVEL:
        return compile_word(c, at, f, text, ret);
    case FIELD_NUMBER:
        if (is_bare(at) && read_number(text, &ret->number))
            return true;
        yaml_fault(faults, at, "%s: expected a whole number, found '%.60s'%s", f->name, text,
                   is_bare(at) ? "" : " in quotes");
        return false;
    case FIELD_BOOL:
        if (read_bool(at, text, &ret->number))
            return true;
        yaml_fault(faults, at, "%s: expected true or false, found '%.60s'%s", f->name, text,
                   is_bare(at) ? "" : " in quotes");
        return false;
    case FIELD_ADDRESS:
        return compile_address(c, at, f, text, ret);
    case FIELD_TIME:
        break;
    }
    assert(!"a time is only asked for its age");
    return false;
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
            good = compile_operand(c, &line, n->field, FIELD_OP_IN_FILE, &n->operands[i]) && good;
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
            good = compile_operand(c, v, f, op, to++) && good;
    } else {
        good = compile_operand(c, at, f, op, n->operands);
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
            const char *names[FIELD_OPS + 1], *nearest;
            size_t count = 0;

            for (op = FIELD_OP_IN; op < FIELD_OPS; op++)
                if (field_ops(f) & 1u << op)
                    names[count++] = field_op_name(op);
            names[count] = NULL;
            nearest = yaml_nearest(v->key->text, names);
            if (nearest)
                yaml_fault(c->reader->faults, v->key,
                           "%s: no such operator '%.60s'; did you mean %s?", f->name, v->key->text,
                           nearest);
            else
                yaml_fault(c->reader->faults, v->key, "%s: no such operator '%.60s'; expected %s",
                           f->name, v->key->text, list_ops(f, c->reader->arena));
            good = false;
        } else if (op == FIELD_OP_NOT && v->kind == YAML_MAP) {
            const char *inner = arena_fmt(c->reader->arena, "%s%snot", within, *within ? "." : "");
            struct condition *not = new_node(c, v, NODE_NOT);

            if (!inner || !not )
                return match_no_memory(c, v);
            not ->first = compile_ops(c, v, f, inner, depth + 1);
            add_child(&end, close_node(c, not, not ->first != NULL), &good);
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
    const char *nearest;

    if (f) {
        if (v->kind == YAML_MAP)
            return compile_ops(c, v, f, within, depth);
        return compile_test(c, v, f, v->kind == YAML_LIST ? FIELD_OP_IN : FIELD_OP_IS, within,
                            NULL);
    }
    if (strcmp(word, "any") == 0 || strcmp(word, "all") == 0)
        return compile_group(c, v, word[1] == 'n' ? NODE_ANY : NODE_ALL, within, depth);
    if (strcmp(word, "not") == 0) {
        const char *inner = arena_fmt(c->reader->arena, "%s%snot", within, *within ? "." : "");
        struct condition *not = new_node(c, v, NODE_NOT);

        if (!inner || !not )
            return match_no_memory(c, v);
        not ->first = compile_map(c, v, "not", inner, depth + 1);
        return close_node(c, not, not ->first != NULL);
    }
    nearest = nearest_entry(word);
    yaml_fault(c->reader->faults, v->key, "no such field '%.60s'; %s%s%s", word,
               nearest ? "did you mean " : "see `cordon fields`", nearest ? nearest : "",
               nearest ? "?" : "");
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
