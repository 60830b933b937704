/* match_implies.c - condition_implies of match.h.
 *
 * Proven is an order: whatever the facts are, the narrow condition never comes out truer than the wide one
 * (false < unknown < true). Of tests the tables below say so, all is the least of its children, any the
 * greatest, and not turns the order round. What none of these rules proves may still be so: then it is
 * not said.
 */
#include <string.h>
#include <strings.h>

#include "match_tree.h"

#define COMPARISONS_MAX 1000000 /* of values, for two tests: some milliseconds */
#define NODES_MAX       100000  /* for two conditions: likewise */

static bool same_value(const struct condition *n, const struct operand *a, const struct operand *b)
{
    switch (n->field->type) {
    case FIELD_TEXT:
        return strcmp(a->text, b->text) == 0 ||
               (!a->pattern && !b->pattern && strcasecmp(a->text, b->text) == 0);
    case FIELD_WORD:
    case FIELD_LEVEL:
        return a->rank == b->rank;
    case FIELD_ADDRESS:
        return memcmp(a->address, b->address, sizeof a->address) == 0;
    default:
        return a->number == b->number;
    }
}

/* What may still be tried: nodes of these two conditions, and nodes and values of all that is asked together. Long lists in
 * hundreds of rules are few enough by twos, and a minute's work by all. */
struct tries {
    size_t nodes, *all;
};

/* One more; false: all was tried that may be. */
static bool take(struct tries *left)
{
    return *left->all && (*left->all)--;
}

/* false, too, when all was tried that may be. */
static bool holds_value(const struct condition *n, const struct operand *value, struct tries *left)
{
    for (size_t i = 0; i < n->n_operands && take(left); i++)
        if (same_value(n, &n->operands[i], value))
            return true;
    return false;
}

/* Are they few enough to hold each value against each? A list in a file may have 200,000, and each rule is held
 * against all above it: what takes seconds to prove is not said. */
static bool are_few(const struct condition *a, const struct condition *b)
{
    return a->n_operands <= COMPARISONS_MAX / b->n_operands;
}

/* Is each value of a one of b's, too? One list in two rules is, however long. */
static bool is_subset(const struct condition *a, const struct condition *b, struct tries *left)
{
    bool few = are_few(a, b);

    for (size_t i = 0; i < a->n_operands; i++)
        if (!take(left) ||
            (!(i < b->n_operands && same_value(a, &a->operands[i], &b->operands[i])) &&
             !(few && holds_value(b, &a->operands[i], left))))
            return false;
    return true;
}

/* Has a no value of b's? Of texts with letters beyond ASCII it is not known. */
static bool is_apart(const struct condition *a, const struct condition *b, struct tries *left)
{
    if (!are_few(a, b))
        return false;
    for (size_t i = 0; i < a->n_operands; i++)
        if (a->operands[i].pattern || holds_value(b, &a->operands[i], left) || !*left->all)
            return false;
    for (size_t i = 0; i < b->n_operands; i++)
        if (b->operands[i].pattern)
            return false;
    return true;
}

/* Expressions and globs: the same ones in the same order, because a try that meets its limit ends the others. */
static bool is_same(const struct condition *a, const struct condition *b)
{
    if (a->n_operands != b->n_operands)
        return false;
    for (size_t i = 0; i < a->n_operands; i++)
        if (strcmp(a->operands[i].text, b->operands[i].text) != 0)
            return false;
    return true;
}

static bool is_within(const struct operand *inner, const struct operand *outer)
{
    return outer->net.bits <= inner->net.bits && cidr_contains(&outer->net, inner->net.address);
}

static bool nets_within(const struct condition *a, const struct condition *b, struct tries *left)
{
    bool few = are_few(a, b);

    for (size_t i = 0; i < a->n_operands; i++) {
        bool found = take(left) && i < b->n_operands && is_within(&a->operands[i], &b->operands[i]);

        for (size_t k = 0; few && k < b->n_operands && !found && take(left); k++)
            found = is_within(&a->operands[i], &b->operands[k]);
        if (!found)
            return false;
    }
    return true;
}

/* What an ordered value is at least, or at most: of level or number. */
static int64_t height(const struct condition *n, const struct operand *o)
{
    return n->field->type == FIELD_LEVEL ? o->rank : o->number;
}

/* Does every value of n's satisfy w, which is at_least or at_most? */
static bool values_reach(const struct condition *n, const struct condition *w)
{
    int64_t mark = height(w, w->operands);

    for (size_t i = 0; i < n->n_operands; i++) {
        int64_t value = height(n, &n->operands[i]);

        if (w->op == FIELD_OP_AT_LEAST ? value < mark : value > mark)
            return false;
    }
    return true;
}

static bool is_equality(const struct condition *n)
{
    return n->op == FIELD_OP_IS || n->op == FIELD_OP_IN ||
           (n->op == FIELD_OP_IN_FILE && n->field->type != FIELD_ADDRESS);
}

static bool test_implies(const struct condition *n, const struct condition *w, struct tries *left)
{
    if (n->field != w->field)
        return false;
    if (is_equality(n) && is_equality(w))
        return is_subset(n, w, left);
    if (is_equality(n) && w->op == FIELD_OP_NOT)
        return !n->field->list && is_apart(n, w, left);
    if (is_equality(n) && (w->op == FIELD_OP_AT_LEAST || w->op == FIELD_OP_AT_MOST))
        return values_reach(n, w);
    if (n->op != w->op)
        return false;
    switch (n->op) {
    case FIELD_OP_NOT:
        return is_subset(w, n, left);
    case FIELD_OP_GLOB:
    case FIELD_OP_REGEX:
        return is_same(n, w);
    case FIELD_OP_AT_LEAST:
    case FIELD_OP_AT_MOST:
        return values_reach(n, w);
    case FIELD_OP_CIDR:
    case FIELD_OP_IN_FILE:
        return nets_within(n, w, left);
    case FIELD_OP_OLDER_THAN:
        return n->operands->number >= w->operands->number;
    case FIELD_OP_NEWER_THAN:
        return n->operands->number <= w->operands->number;
    case FIELD_OP_EXISTS:
        return (n->operands->number != 0) == (w->operands->number != 0);
    default:
        return false;
    }
}

/* Depth is bounded: CONDITION_DEPTH_MAX of both. But each way to go down one and the other is a choice of its own,
 * and two that are nested as deep as may be have more of them than anybody can wait for: left is how many are still
 * tried. */
static bool node_implies(const struct condition *n, const struct condition *w, struct tries *left)
{
    if (left->nodes == 0 || !take(left))
        return false;
    --left->nodes;
    /* what must hold of all children goes first; what may hold of one is a choice after it */
    if (w->kind == NODE_ALL) {
        for (const struct condition *c = w->first; c; c = c->next)
            if (!node_implies(n, c, left))
                return false;
        return true;
    }
    if (n->kind == NODE_ANY) {
        for (const struct condition *c = n->first; c; c = c->next)
            if (!node_implies(c, w, left))
                return false;
        return true;
    }
    if (n->kind == NODE_ALL)
        for (const struct condition *c = n->first; c; c = c->next)
            if (node_implies(c, w, left))
                return true;
    if (w->kind == NODE_ANY)
        for (const struct condition *c = w->first; c; c = c->next)
            if (node_implies(n, c, left))
                return true;
    if (n->kind == NODE_NOT && w->kind == NODE_NOT)
        return node_implies(w->first, n->first, left);
    return n->kind == NODE_TEST && w->kind == NODE_TEST && test_implies(n, w, left);
}

bool condition_implies(const struct condition *narrow, const struct condition *wide, size_t *left)
{
    size_t alone = CONDITION_TRIES;
    struct tries tries = {.nodes = NODES_MAX, .all = left ? left : &alone};

    return node_implies(narrow, wide, &tries);
}

bool condition_demands(const struct condition *c, const char *field, const char *text)
{
    struct operand value = {.text = text};
    const struct condition test = {.kind = NODE_TEST,
                                   .field = field_find(field),
                                   .op = FIELD_OP_IS,
                                   .operands = &value,
                                   .n_operands = 1};

    return test.field && condition_implies(c, &test, NULL);
}
