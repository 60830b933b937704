/* lists.h - values that stand in files of their own: `machine.id: {in_file: servers.txt}`.
 *
 * One value a line; blank lines and what follows a # at the start of a line or behind a blank count for
 * nothing. What a file held when the policy was compiled is part of the policy, and of its name: a list
 * that changes comes into force by a reload, as a rule does. An empty list is a fault: a file that was just
 * being written must not unprotect what it names.
 */
#ifndef CORDON_LISTS_H
#define CORDON_LISTS_H

#include <stdbool.h>
#include <stddef.h>

#include "settings.h"

#define LIST_FILE_MAX (1024 * 1024) /* bytes: 25,000 machine ids */

struct list_file {
    const char *name; /* as the policy wrote it */
    const char *path; /* as it was opened */
    const char **lines;
    unsigned *numbers; /* of the lines in the file, from 1 */
    size_t count;
    struct list_file *next;
};

/* All that one policy names, each once. Zeroed: none yet. */
struct list_files {
    struct list_file *first;
    bool closed; /* nothing is read: a policy that was kept brings its lists along */
};

/**
 * The list that map's in_file names. what: the map's own name, for faults. Everything lives in
 * reader->arena; NULL with a fault noted. files: where it is looked for first, and added to.
 */
const struct list_file *list_file_read(const struct settings_reader *reader,
                                       struct list_files *files, const struct yaml_node *map,
                                       const char *what);
/** The whole text of a file, at most LIST_FILE_MAX bytes; lives in the arena. NULL with a fault noted. */
char *list_file_text(const struct settings_reader *r, const struct yaml_node *at, const char *path);
/** Adds one whose lines are known. ERR_NOMEM or ERR_OK. */
enum err_code list_file_add(struct arena *a, struct list_files *files, const char *name,
                            const char **lines, size_t count);

#endif
