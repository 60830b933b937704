/* odata.c - see odata.h. A filter is a small tree, walked for every entity. */
#include "odata.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "simclock.h"

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_COMPARE, NODE_IN, NODE_STARTSWITH };
enum operator{ OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE };

struct odata_node {
    enum node_kind kind;
    struct odata_node *left, *right; /* NOT: left */
    int field;
    enum operator op;
    struct value *literals; /* COMPARE, STARTSWITH: one; IN: count */
    size_t count;
};

/* ---- the query string ------------------------------------------------------------------------- */

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

bool query_decode(char *text)
{
    char *to = text;

    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            int high = hex(p[1]), low = high < 0 ? -1 : hex(p[2]);

            if (low < 0 || high * 16 + low == 0)
                return false;
            *to++ = (char)(high * 16 + low);
            p += 2;
        } else {
            *to++ = *p == '+' ? ' ' : *p;
        }
    }
    *to = '\0';
    return true;
}

char *query_get(struct arena *a, const char *query, const char *name)
{
    char *text = arena_str(a, query), *save = NULL;

    for (char *p = strtok_r(text, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        char *value = strchr(p, '=');

        if (value)
            *value++ = '\0';
        if (query_decode(p) && strcmp(p, name) == 0)
            return value && query_decode(value) ? value : arena_str(a, "");
    }
    return NULL;
}

/* ---- reading a filter -------------------------------------------------------------------------- */

struct reader {
    struct arena *arena;
    const struct schema *schema;
    const char *start, *at;
    int depth;
    struct err *e;
};

static void *bad(struct reader *r, const char *why)
{
    err_set(r->e, ERR_INVALID, "Syntax error at position %zu in '%.200s': %s",
            (size_t)(r->at - r->start), r->start, why);
    return NULL;
}

static void blanks(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t')
        r->at++;
}

static size_t word_len(const char *p)
{
    return strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.");
}

/* Takes a word if it is the next one. */
static bool take_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);

    blanks(r);
    if (word_len(r->at) != len || strncasecmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static bool take(struct reader *r, char c)
{
    blanks(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_property(struct reader *r, int *ret)
{
    size_t len;

    blanks(r);
    len = word_len(r->at);
    *ret = schema_find(r->schema, r->at, len);
    if (!len) {
        bad(r, "a property name was expected");
        return false;
    }
    if (*ret < 0) {
        err_set(r->e, ERR_INVALID, "Could not find a property named '%.*s' on type '%s'",
                (int)(len < 60 ? len : 60), r->at, r->schema->set);
        return false;
    }
    if (!r->schema->fields[*ret].filter) { /* section 2.4 lists the ones that may stand here */
        err_set(r->e, ERR_INVALID, "The property '%.*s' cannot be used in the $filter query option",
                (int)len, r->at);
        return false;
    }
    r->at += len;
    return true;
}

static bool read_literal(struct reader *r, int field, struct value *ret)
{
    const struct field *f = &r->schema->fields[field];
    size_t len;
    char *text;

    blanks(r);
    *ret = (struct value){.type = VALUE_NULL};
    if (*r->at == '\'') {
        char *to = text = arena_str(r->arena, r->at);
        bool closed = false;

        for (r->at++; *r->at && !closed; r->at++) {
            if (*r->at == '\'' && r->at[1] == '\'')
                r->at++;
            else if (*r->at == '\'')
                closed = true;
            if (!closed)
                *to++ = *r->at;
        }
        if (!closed) {
            bad(r, "a string without its closing quote");
            return false;
        }
        *to = '\0';
        *ret = (struct value){.type = VALUE_STRING, .text = text};
        if (f->kind == FIELD_STRING || f->kind == FIELD_JSON)
            return true;
        bad(r,
            "a string cannot be compared with this property"); /* timestamps and numbers are bare */
        return false;
    }
    len = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:+-");
    text = arena_strn(r->arena, r->at, len);
    if (!len) {
        bad(r, "a value was expected");
        return false;
    }
    if (strcmp(text, "null") == 0) {
        r->at += len;
        return true;
    }
    if (f->kind == FIELD_TIME && !ticks_parse(text, &ret->number, NULL)) {
        ret->type = VALUE_TIME;
        r->at += len;
        return true;
    }
    if (f->kind == FIELD_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        *ret = (struct value){.type = VALUE_BOOL, .number = *text == 't'};
        r->at += len;
        return true;
    }
    if (f->kind == FIELD_INT) {
        char *end;

        ret->number = strtoll(text, &end, 10);
        if (!*end) {
            ret->type = VALUE_INT;
            r->at += len;
            return true;
        }
    }
    bad(r, "this value cannot be compared with this property");
    return false;
}

static struct odata_node *node(struct reader *r, enum node_kind kind, struct odata_node *left,
                               struct odata_node *right)
{
    struct odata_node *n = arena_alloc(r->arena, sizeof *n);

    if (!n)
        return bad(r, "out of memory");
    n->kind = kind;
    n->left = left;
    n->right = right;
    return n;
}

static struct odata_node *read_or(struct reader *r);

static struct odata_node *read_in(struct reader *r, int field)
{
    struct odata_node *n = node(r, NODE_IN, NULL, NULL);
    size_t room = 1;

    if (!n || !take(r, '('))
        return n ? bad(r, "an opening parenthesis was expected") : NULL;
    for (const char *p = r->at; *p; p++)
        room += *p == ',';
    n->field = field;
    n->literals = arena_array(r->arena, room, sizeof *n->literals);
    do {
        if (!n->literals || !read_literal(r, field, &n->literals[n->count++]))
            return NULL;
    } while (take(r, ','));
    return take(r, ')') ? n : bad(r, "a closing parenthesis was expected");
}

static struct odata_node *read_startswith(struct reader *r)
{
    struct odata_node *n = node(r, NODE_STARTSWITH, NULL, NULL);

    if (!n || !take(r, '('))
        return n ? bad(r, "an opening parenthesis was expected") : NULL;
    n->literals = arena_alloc(r->arena, sizeof *n->literals);
    if (!n->literals || !read_property(r, &n->field))
        return NULL;
    if (!take(r, ','))
        return bad(r, "a comma was expected");
    if (!read_literal(r, n->field, n->literals))
        return NULL;
    if (n->literals->type != VALUE_STRING)
        return bad(r, "startswith takes a string");
    return take(r, ')') ? n : bad(r, "a closing parenthesis was expected");
}

static struct odata_node *read_compare(struct reader *r)
{
    static const char *const names[] = {"eq", "ne", "gt", "ge", "lt", "le"};
    struct odata_node *n = node(r, NODE_COMPARE, NULL, NULL);

    if (!n || !read_property(r, &n->field))
        return NULL;
    if (take_word(r, "in"))
        return read_in(r, n->field);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!take_word(r, names[i]))
            continue;
        n->op = (enum operator)i;
        n->literals = arena_alloc(r->arena, sizeof *n->literals);
        return n->literals && read_literal(r, n->field, n->literals) ? n : NULL;
    }
    return bad(r, "an operator was expected");
}

static struct odata_node *read_unary(struct reader *r)
{
    struct odata_node *n;

    if (++r->depth > ODATA_DEPTH_MAX)
        return bad(r, "nested too deeply");
    if (take_word(r, "not")) {
        n = read_unary(r);
        n = n ? node(r, NODE_NOT, n, NULL) : NULL;
    } else if (take(r, '(')) {
        n = read_or(r);
        if (n && !take(r, ')'))
            n = bad(r, "a closing parenthesis was expected");
    } else if (take_word(r, "startswith")) {
        n = read_startswith(r);
    } else {
        n = read_compare(r);
    }
    r->depth--;
    return n;
}

static struct odata_node *read_and(struct reader *r)
{
    struct odata_node *n = read_unary(r);

    while (n && take_word(r, "and")) {
        struct odata_node *right = read_unary(r);

        n = right ? node(r, NODE_AND, n, right) : NULL;
    }
    return n;
}

static struct odata_node *read_or(struct reader *r)
{
    struct odata_node *n = read_and(r);

    while (n && take_word(r, "or")) {
        struct odata_node *right = read_and(r);

        n = right ? node(r, NODE_OR, n, right) : NULL;
    }
    return n;
}

static bool read_filter(struct reader *r, struct odata_node **ret)
{
    *ret = read_or(r);
    if (!*ret)
        return false;
    blanks(r);
    if (*r->at) {
        bad(r, "text after the expression");
        return false;
    }
    return true;
}

/* ---- reading the other options ---------------------------------------------------------------- */

static bool read_number(struct reader *r, const char *name, int64_t most, int64_t *ret)
{
    char *end;

    *ret = strtoll(r->start, &end, 10);
    if (*r->start >= '0' && *r->start <= '9' && !*end && *ret <= most)
        return true;
    err_set(r->e, ERR_INVALID, "Invalid value '%.60s' for %s: a number up to %" PRId64, r->start,
            name, most);
    return false;
}

static bool read_orderby(struct reader *r, struct odata *o)
{
    do {
        size_t len;
        int field;

        blanks(r);
        len = word_len(r->at);
        field = schema_find(r->schema, r->at, len);
        if (!len || field < 0 || r->schema->fields[field].kind == FIELD_JSON ||
            o->n_orders == ODATA_ORDERS_MAX) {
            bad(r, "a property to sort by was expected");
            return false;
        }
        r->at += len;
        o->orders[o->n_orders].field = field;
        o->orders[o->n_orders].descending = take_word(r, "desc");
        if (!o->orders[o->n_orders++].descending)
            (void)take_word(r, "asc");
    } while (take(r, ','));
    if (*r->at)
        bad(r, "text after the expression");
    return !*r->at;
}

static bool read_select(struct reader *r, struct odata *o)
{
    o->select = arena_array(r->arena, r->schema->count, sizeof *o->select);
    do {
        size_t len;
        int field;

        blanks(r);
        len = word_len(r->at);
        field = schema_find(r->schema, r->at, len);
        if (!o->select || field < 0) {
            bad(r, "a property was expected");
            return false;
        }
        r->at += len;
        o->select[field] = true;
    } while (take(r, ','));
    if (*r->at)
        bad(r, "text after the expression");
    return !*r->at;
}

static bool read_option(struct reader *r, const char *name, struct odata *o)
{
    if (strcasecmp(name, "$filter") == 0)
        return read_filter(r, &o->filter);
    if (strcasecmp(name, "$orderby") == 0)
        return read_orderby(r, o);
    if (strcasecmp(name, "$select") == 0)
        return read_select(r, o);
    if (strcasecmp(name, "$top") == 0)
        return read_number(r, name, ODATA_TOP_MAX, &o->top);
    if (strcasecmp(name, "$skip") == 0)
        return read_number(r, name, INT32_MAX, &o->skip);
    if (strcasecmp(name, "$count") == 0) {
        o->count = strcmp(r->start, "true") == 0;
        if (o->count || strcmp(r->start, "false") == 0)
            return true;
    } else if (strcasecmp(name, "$expand") == 0) {
        /* only evidence, only on alerts: section 2.4 */
        o->expand_evidence = r->schema == &alert_schema && strcasecmp(r->start, "evidence") == 0;
        if (o->expand_evidence)
            return true;
    }
    err_set(r->e, ERR_INVALID, "The query option '%.40s' with value '%.60s' is not supported", name,
            r->start);
    return false;
}

enum err_code odata_read(struct arena *a, const struct schema *s, const char *query,
                         struct odata *ret, struct err *e)
{
    struct odata o = {.schema = s, .top = -1};
    char *text = arena_str(a, query), *save = NULL;

    if (!text)
        return err_set(e, ERR_NOMEM, "the query");
    for (char *p = strtok_r(text, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        char *value = strchr(p, '=');
        struct reader r = {.arena = a, .schema = s, .e = e};

        if (value)
            *value++ = '\0';
        if (!query_decode(p) || (value && !query_decode(value)))
            return err_set(e, ERR_INVALID, "a broken escape in the query string");
        if (*p != '$')
            continue;
        r.start = r.at = value ? value : "";
        if (!read_option(&r, p, &o))
            return ERR_INVALID;
    }
    *ret = o;
    return ERR_OK;
}

/* ---- asking ----------------------------------------------------------------------------------- */

/* -1, 0, 1; 2 when the two cannot be ordered (null, or a type that a test forced on the field). */
static int compare(const struct value *v, const struct value *literal)
{
    if (v->type == VALUE_NULL || literal->type == VALUE_NULL)
        return v->type == literal->type ? 0 : 2;
    if (v->type != literal->type)
        return 2;
    if (v->type == VALUE_STRING || v->type == VALUE_JSON) {
        int c = strcmp(v->text, literal->text);

        return (c > 0) - (c < 0);
    }
    return (v->number > literal->number) - (v->number < literal->number);
}

bool odata_matches(const struct odata_node *n, const struct entity *en)
{
    const struct value *v;
    int c;

    if (!n)
        return true;
    v = &en->values[n->field];
    switch (n->kind) {
    case NODE_AND:
        return odata_matches(n->left, en) && odata_matches(n->right, en);
    case NODE_OR:
        return odata_matches(n->left, en) || odata_matches(n->right, en);
    case NODE_NOT:
        return !odata_matches(n->left, en);
    case NODE_STARTSWITH:
        return v->type == VALUE_STRING &&
               strncmp(v->text, n->literals->text, strlen(n->literals->text)) == 0;
    case NODE_IN:
        for (size_t i = 0; i < n->count; i++)
            if (compare(v, &n->literals[i]) == 0)
                return true;
        return false;
    case NODE_COMPARE:
        break;
    }
    c = compare(v, n->literals);
    switch (n->op) {
    case OP_EQ:
        return c == 0;
    case OP_NE:
        return c != 0;
    case OP_GT:
        return c == 1;
    case OP_GE:
        return c == 0 || c == 1;
    case OP_LT:
        return c == -1;
    default:
        return c == 0 || c == -1;
    }
}

/* Adds the keys of n to list; false when n does not pin the field. */
static bool add_keys(const struct odata_node *n, int field, const char **list, size_t *count,
                     size_t room)
{
    size_t before = *count;

    switch (n->kind) {
    case NODE_AND:
        if (add_keys(n->left, field, list, count, room))
            return true;
        *count = before;
        return add_keys(n->right, field, list, count, room);
    case NODE_OR:
        return add_keys(n->left, field, list, count, room) &&
               add_keys(n->right, field, list, count, room);
    case NODE_COMPARE:
    case NODE_IN:
        if (n->field != field || (n->kind == NODE_COMPARE && n->op != OP_EQ))
            return false;
        for (size_t i = 0; i < (n->kind == NODE_IN ? n->count : 1); i++) {
            if (n->literals[i].type != VALUE_STRING || *count == room)
                return false;
            list[(*count)++] = n->literals[i].text;
        }
        return true;
    default:
        return false;
    }
}

static size_t literals(const struct odata_node *n)
{
    return n ? n->count + 1 + literals(n->left) + literals(n->right) : 0;
}

const char **odata_keys(struct arena *a, const struct odata_node *filter, int field)
{
    size_t room = literals(filter), count = 0;
    const char **list = filter ? arena_array(a, room + 1, sizeof *list) : NULL;

    if (!list || !add_keys(filter, field, list, &count, room))
        return NULL;
    for (size_t i = 0, kept = 0; i < count; i++) { /* each once */
        const char *key = list[i];
        size_t k = 0;

        list[i] = NULL;
        while (k < kept && strcmp(list[k], key) != 0)
            k++;
        list[k] = key;
        kept += k == kept;
    }
    return list;
}

/* ---- sorting ----------------------------------------------------------------------------------- */

struct ranked {
    struct entity *entity;
    size_t rank;
};

static int compare_ranked(const void *a, const void *b, void *ctx)
{
    const struct ranked *x = a, *y = b;
    const struct odata *o = ctx;

    for (size_t i = 0; i < o->n_orders; i++) {
        const struct value *v = &x->entity->values[o->orders[i].field];
        const struct value *w = &y->entity->values[o->orders[i].field];
        int c = compare(v, w);

        if (c == 2) /* null is less than anything; the rest has no order */
            c = (v->type != VALUE_NULL) - (w->type != VALUE_NULL);
        if (c)
            return o->orders[i].descending ? -c : c;
    }
    return (x->rank > y->rank) - (x->rank < y->rank);
}

void odata_sort(const struct odata *o, struct entity **list, size_t count)
{
    struct ranked *ranked = o->n_orders ? calloc(count, sizeof *ranked) : NULL;

    if (!ranked)
        return;
    for (size_t i = 0; i < count; i++)
        ranked[i] = (struct ranked){list[i], i};
    qsort_r(ranked, count, sizeof *ranked, compare_ranked, (void *)o);
    for (size_t i = 0; i < count; i++)
        list[i] = ranked[i].entity;
    free(ranked);
}
