/* match_own.h - what the rooms that compile a condition share, and nobody else sees.
 *
 *     match_compile.c   the tree: maps, groups, operators and their faults
 *     match_operand.c   one value of it, read as its field and operator ask for
 *     match_pattern.c   the texts that PCRE2 compares
 *
 * A function that cannot do its work has noted the fault, with its place. Everything lives in the reader's arena.
 */
#ifndef CORDON_MATCH_OWN_H
#define CORDON_MATCH_OWN_H

#include "lists.h"
#include "match_tree.h"

/* Texts of which people are told that they hardly equal anything: see match_operand.c. */
enum noted { NOTED_STAR, NOTED_COMMA, NOTED_NAME, NOTED_OS, NOTED_CATEGORY, NOTED };

/* One condition on its way from the file to a tree. */
struct match_compiler {
    const struct settings_reader *reader;
    struct list_files *lists;
    size_t tests;      /* so far */
    bool noted[NOTED]; /* each is said once of a kind */
    pcre2_general_context *memory;
    pcre2_compile_context *rules;
    pcre2_match_context *limits; /* of the root that is made */
};

/** Notes that there was none; returns NULL. */
void *match_no_memory(struct match_compiler *c, const struct yaml_node *at);
/** "a" glob, "an" address; static storage. */
const char *match_article(const char *word);

/* ---- match_operand.c --------------------------------------------------------------------------- */

/** Reads one scalar as what op and the field's type ask for into *ret, which is zeroed; false: a fault was noted. */
bool match_read_operand(struct match_compiler *c, const struct yaml_node *at, const struct field *f,
                        enum field_op op, struct operand *ret);

/* ---- match_pattern.c --------------------------------------------------------------------------- */

/** Fills the three contexts of PCRE2; false without memory, and that is not noted. */
bool match_prepare_patterns(struct match_compiler *c);
/** A program of PCRE2 for the text that stands at `at`, which is held against values of f: an expression, which may match
 *  anywhere in a value; a glob, which matches all of it; the text itself, in any case. NULL: a fault was noted. */
pcre2_code *match_compile_regex(struct match_compiler *c, const struct yaml_node *at,
                                const struct field *f, const char *text);
pcre2_code *match_compile_glob(struct match_compiler *c, const struct yaml_node *at,
                               const struct field *f, const char *glob);
pcre2_code *match_compile_literal(struct match_compiler *c, const struct yaml_node *at,
                                  const struct field *f, const char *text);

#endif
