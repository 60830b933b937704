/* match_tree.h - a compiled condition from inside; for match_compile.c and its rooms (match_own.h), which build it, match.c,
 * which judges it, and match_implies.c, which compares two.
 */
#ifndef CORDON_MATCH_TREE_H
#define CORDON_MATCH_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "fields.h"
#include "match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum node_kind { NODE_ALL, NODE_ANY, NODE_NOT, NODE_TEST };

/* One value of the file that a field is held against. */
struct operand {
    /* FIELD_TEXT: as written, without the blanks around it unless it is a glob or expression; compared without regard to
     * case, where there is */
    const char *text;
    pcre2_code *pattern; /* no pattern: of globs, expressions, and what is not ASCII */
    union {
        int rank;                  /* FIELD_WORD, FIELD_LEVEL */
        int64_t number;            /* FIELD_NUMBER, FIELD_BOOL; ages in ms; 1, 0 of exists */
        unsigned char address[16]; /* FIELD_ADDRESS */
        struct cidr net;           /* FIELD_OP_CIDR; FIELD_OP_IN_FILE of addresses */
    };
};

struct condition {
    enum node_kind kind;
    struct condition *first, *next; /* children */
    size_t from, end;               /* its tests */
    /* NODE_TEST */
    const struct field *field;
    enum field_op op;
    const char *within, *wanted;
    struct operand *operands;
    size_t n_operands;
    /* the root */
    pcre2_match_context *limits;
};

/* Characters of a wanted or seen value in the explanation. */
#define MATCH_SHOWN_MAX 200
/** text cut to as many, with an ellipsis when it was cut; lives in a. NULL: out of memory. */
const char *match_cut(struct arena *a, const char *text);

#endif
