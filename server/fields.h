/* fields.h - the one vocabulary: every field that conditions and templates may name.
 *
 * Conditions, templates, `cordon fields`, the explanation of a verdict and the documentation all come
 * from one table. A field reads its value out of struct facts; what Defender did not say (absent, null,
 * an empty text) is missing, and what it said in a way that this table does not know (an enumeration
 * value added later, a number where a text belongs) is strange. Both are unknown to conditions.
 *
 * To add a field: one row in fields[] in fields.c.
 */
#ifndef CORDON_FIELDS_H
#define CORDON_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "err.h"
#include "facts.h"

enum field_type {
    FIELD_TEXT,    /* any text; compared without regard to case */
    FIELD_WORD,    /* one of words[]; compared without regard to case (defender-api.md trap 5) */
    FIELD_LEVEL,   /* the same, and words[] stands in rising order */
    FIELD_NUMBER,  /* a whole number of 64 bits */
    FIELD_BOOL,    /* true or false */
    FIELD_TIME,    /* a moment; conditions ask for its age */
    FIELD_ADDRESS, /* an IPv4 or IPv6 address */
};

/* Operators of conditions. FIELD_OP_IS and FIELD_OP_IN are also what a bare scalar and a bare list mean;
 * `is` cannot be written. */
enum field_op {
    FIELD_OP_IS,
    FIELD_OP_IN,
    FIELD_OP_NOT,
    FIELD_OP_GLOB,
    FIELD_OP_REGEX,
    FIELD_OP_AT_LEAST,
    FIELD_OP_AT_MOST,
    FIELD_OP_CIDR,
    FIELD_OP_IN_FILE,
    FIELD_OP_OLDER_THAN,
    FIELD_OP_NEWER_THAN,
    FIELD_OP_EXISTS,
    FIELD_OPS
};

/* One value of a field; a list has any number of them, another field at most one. */
struct field_item {
    bool known;       /* false: present, but not understood; then only text and is_text count */
    bool is_text;     /* Defender sent it as a JSON string */
    const char *text; /* as sent; a value that is no string: as JSON, cut */
    union {
        int rank;                  /* FIELD_WORD, FIELD_LEVEL: index into words[] */
        int64_t number;            /* FIELD_NUMBER, FIELD_BOOL (0, 1), FIELD_TIME (wall ms) */
        unsigned char address[16]; /* FIELD_ADDRESS; v4 as ::ffff:a.b.c.d */
    };
};

struct field_value {
    bool missing; /* nothing was said; an empty list was said and is not missing */
    const struct field_item *items;
    size_t count;
};

struct field;

/* What a getter pushes items into; belongs to fields.c. */
struct field_reader;
typedef void field_get(struct field_reader *r, const struct field *f, const struct facts *facts);

struct field {
    const char *name; /* "alert.severity"; before the first dot is who said it */
    enum field_type type;
    bool list;                /* many values; a condition holds when any of them satisfies it */
    const char *const *words; /* FIELD_WORD, FIELD_LEVEL: NULL-terminated; else NULL */
    const char *meaning;      /* one line */
    const char *example;      /* a value, as it would stand in a rule */
    /* how to read it: for fields.c alone */
    field_get *get;
    const char *member; /* of the alert or machine document */
    const char *inner;  /* of member's elements, or of member */
};

/** Every field, in the order to show them; the last has name NULL. Static storage. */
const struct field *field_table(void);
/** By exact name; NULL: no such field. */
const struct field *field_find(const char *name);
/** The nearest field name to a wrong one, or NULL. Static storage. */
const char *field_nearest(const char *name);

/** The type as people call it: "text", "list of addresses" …; static storage. */
const char *field_type_name(const struct field *f);
/** What its values are called in a fault: "severity", "detection source"; lives in a. */
const char *field_noun(const struct field *f, struct arena *a);
/** The operators that a field takes, as a set of 1 << enum field_op. */
unsigned field_ops(const struct field *f);
/** "at_least"; static storage. */
const char *field_op_name(enum field_op op);
/** By name; false: no operator is called that (`is` is none that can be written). */
bool field_op_find(const char *name, enum field_op *ret_op);

/** Reads a field. Everything in *ret lives in a or in facts. ERR_NOMEM or ERR_OK. */
enum err_code field_read(const struct field *f, const struct facts *facts, struct arena *a,
                         struct field_value *ret);
/** Index of text in words (NULL-terminated) without regard to ASCII case; -1 when it is not there. */
int field_word(const char *const *words, const char *text);
/** Reads an IPv4 or IPv6 address, with or without a zone (dropped); v4 becomes ::ffff:a.b.c.d. */
bool field_address(const char *text, unsigned char ret[16]);

/**
 * A foreign text as it may be shown to people on one line: control characters, line and paragraph
 * separators and marks that turn the direction of writing become blanks; at most max bytes, an ellipsis
 * in them when something was cut. Markup is not touched: it is escaped where it lands.
 * Lives in a; NULL when out of memory.
 */
char *field_shown(struct arena *a, const char *text, size_t max);

#endif
