/* yaml.h - a YAML document as a tree in which every node knows its file, line and column; the only
 * room that knows libfyaml.
 *
 * Aliases, anchors, merge keys, tags and duplicate keys are faults (library-traps.md, libfyaml: an
 * alias can be a bomb), as are several documents in a file and an empty one. Scalars keep whether they
 * were quoted, so that "10" is text and 10 a number. Nothing here knows what a key means: config_parts.c does.
 */
#ifndef CORDON_YAML_H
#define CORDON_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "buf.h"
#include "err.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    const char *file;      /* as given to yaml_read */
    unsigned line, column; /* from 1, of the node's first character; an empty value has its key's */
    /* YAML_SCALAR */
    const char *text; /* decoded; "" for an empty or null plain scalar */
    bool quoted;      /* written in quotes or as a block: always text, never null, number or bool */
    bool null;        /* plain and empty, ~ or null */
    /* YAML_LIST and YAML_MAP: children in document order */
    struct yaml_node *first, *next;
    size_t count;
    struct yaml_node *key; /* in a map: the scalar that names this child */
};

struct yaml_faults;

/**
 * Reads text (len bytes) as one document. file: the name that faults carry. Everything lives in a.
 * Returns ERR_INVALID with "file:line:column: what is wrong" (the first fault), ERR_TOO_BIG (over 1 MiB,
 * 100,000 nodes or 64 levels), ERR_NOMEM. Threads: any.
 */
enum err_code yaml_read(struct arena *a, const char *file, const char *text, size_t len,
                        struct yaml_node **ret_root, struct err *e);
/** The same, but notes every fault (all double keys, anchors … of a file) instead of the first. */
enum err_code yaml_read_all(struct arena *a, const char *file, const char *text, size_t len,
                            struct yaml_faults *faults, struct yaml_node **ret_root);
/** A map's child by key; NULL when absent. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* ---- faults -----------------------------------------------------------------------------------
 * Reading goes on after a fault, so that people see all of them at once. */

struct yaml_fault {
    struct yaml_fault *next; /* in the order found; sort by place before showing */
    const char *file;        /* NULL, or line 0: a fault of no place */
    unsigned line, column;
    const char *text; /* what is wrong, what was expected, the nearest valid word */
};

struct yaml_faults {
    struct arena *arena; /* borrowed; holds the texts */
    struct yaml_fault *first, **end;
    size_t count;
};

void yaml_faults_init(struct yaml_faults *f, struct arena *a);
/** Notes a fault at a node (NULL: of no place). At most 100 are kept; count goes on. */
void yaml_fault(struct yaml_faults *f, const struct yaml_node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** Puts the faults into the order of their places. */
void yaml_faults_sort(struct yaml_faults *f);
/** Writes "file:line:column: text". */
void yaml_fault_write(struct buf *out, const struct yaml_fault *fault);
#define YAML_MEANT_SIZE 100 /* for the longest word that yaml_nearest compares */

/** The word of a NULL-terminated list nearest to `word` (edit distance at most a third of the
 *  longer one; case and - for _ cost nothing), or the only one that begins with it where none is
 *  but one edit away; or NULL. */
const char *yaml_nearest(const char *word, const char *const *list);
/** How a sentence about a word that nobody knows ends: "; did you mean NEAR?", written into out; otherwise, borrowed, where
 *  near is NULL. */
const char *yaml_meant(const char *near, const char *otherwise, char out[YAML_MEANT_SIZE]);

#endif
