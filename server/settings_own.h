/* settings_own.h - what the kinds of values share, and nobody else sees. */
#ifndef CORDON_SETTINGS_OWN_H
#define CORDON_SETTINGS_OWN_H

#include "settings.h"

#define SETTINGS_NO_MEMORY "out of memory"

/* One key on its way into the struct. */
struct reading {
    const struct settings_reader *reader;
    const struct setting *setting;
    const char *name;             /* with the map's own, for messages */
    const struct yaml_node *node; /* the value */
};

/* ---- settings.c -------------------------------------------------------------------------------- */

/** A value for a message: in quotes, and cut. */
const char *settings_shown(const struct settings_reader *r, const char *text);
/** Notes "NAME: expected WHAT, found FOUND"; false. */
bool settings_expected(const struct reading *x, const char *what, const char *found);
/** A scalar that must be there; what: as in "expected …". NULL with a fault noted. */
const char *settings_scalar(const struct reading *x, const char *what, bool *ret_bare);
/** What a key of secrets is written with at its end. */
const char *settings_suffix(const struct setting *s);
const char *settings_environment(const struct settings_reader *r, const char *name);

/* ---- settings_number.c ------------------------------------------------------------------------- */

/** Digits and nothing else. */
bool settings_digits(const char *text, int64_t *ret);
bool settings_read_duration(const struct reading *x, int64_t *field);
bool settings_read_size(const struct reading *x, int64_t *field);
bool settings_read_time(const struct reading *x, int64_t *field);
bool settings_read_int(const struct reading *x, int64_t *field);
bool settings_read_bool(const struct reading *x, bool *field);

/* ---- settings_net.c ---------------------------------------------------------------------------- */

bool settings_read_listen(const struct reading *x, const char **field);
bool settings_read_url(const struct reading *x, const char **field);

/* ---- settings_secret.c ------------------------------------------------------------------------- */

/** Does a text look like a password, a token or a key? */
bool settings_looks_secret(const char *text);
bool settings_read_path(const struct reading *x, const char **field);
bool settings_take_secret_file(const struct reading *x, struct secret *ret);
/** One entry of a list (a struct secret): a file or a public key, or a map around it. */
bool settings_take_entry(const struct reading *x, void *item);
/** What time has made of a list is worth a line, and no fault. */
void settings_note_windows(const struct reading *x, const struct secret_list *list);

#endif
