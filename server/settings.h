/* settings.h - reads the settings of one YAML map into a struct, by a table.
 *
 * One row parses, checks, gives the default and explains itself: config_parts.c, every verifier and every
 * handler describe their settings this way, so that unknown keys, wrong types, missing files and
 * values out of range are named alike, with file:line:column, what was expected and the nearest
 * valid word (contract.md section 4).
 *
 * In a scalar ${NAME} comes from the environment (unset: a fault), ${NAME:-default} too (unset or
 * empty: the default, which ends at the first } and holds no {); $${ writes a plain ${. A scalar
 * that held one counts as unquoted, because JSON-like {a: "${B}"} cannot do without the quotes.
 *
 * Files are read relative to the folder of the configuration file (so it can be checked and moved from
 * anywhere); `$CREDENTIALS_DIRECTORY/name` is the credential that systemd hands over. A SET_SECRET key
 * is written as `KEY_file: path` (or, for the list form, `KEY_files: [newest, older]`; the table holds
 * KEY alone): the text is read from that file, one trailing newline removed.
 *
 * Several secrets are good at once, so that a new one comes in without an outage. Each entry of such a list
 * is a file, or a map {file, name, not_before, not_after}: a name for the log, and the time for which the
 * secret is good. An entry that is not good any more is worth a note and no fault: time alone must never
 * turn a configuration that was good into one that does not start.
 */
#ifndef CORDON_SETTINGS_H
#define CORDON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "clock.h"
#include "watch.h"
#include "yaml.h"

struct text_list {
    const char **items;
    size_t count;
};

/* The time for which a key is good: wall ms, both ends included; 0: no such end. */
struct window {
    int64_t not_before_ms, not_after_ms;
};

/* A secret and where it was read. Wipe with secret_wipe before its arena goes. */
struct secret {
    /* where it was read, resolved: a rotated secret can be read there again; NULL for a public key, which stands in
     * the configuration itself */
    const char *file;
    char *text; /* NUL-terminated, not empty; NULL: not configured */
    size_t len;
    const char *name; /* as the configuration has it, for the log; NULL: none, see secret_name */
    struct window window;
    const struct yaml_node *at; /* its place, for faults */
};

struct secret_list {
    struct secret *items;
    size_t count;
};

/* An IPv4 or IPv6 network; v4 is kept as ::ffff:a.b.c.d. */
struct cidr {
    unsigned char address[16];
    unsigned bits; /* 0 to 128 */
};

struct cidr_list {
    struct cidr *items;
    size_t count;
};

enum setting_type {           /* type of the struct's field */
                    SET_TEXT, /* const char *; "" only where it is not required */
                    SET_URL, /* const char *, http(s), no slash at the end; plain http on loopback only */
                    SET_LISTEN,   /* const char *, "127.0.0.1:8080", "[::]:8443" or "unix:/path" */
                    SET_PATH,     /* const char *, an existing readable file, resolved */
                    SET_ADDRESS,  /* const char *, a mail address */
                    SET_GUID,     /* const char *, lower case */
                    SET_WORD,     /* int, index into words[] */
                    SET_BOOL,     /* bool */
                    SET_INT,      /* int64_t, least..most */
                    SET_DURATION, /* int64_t, ms, "30s 5m 4h 3d" */
                    SET_SIZE,     /* int64_t, bytes, "256KiB" */
                    SET_TIME, /* int64_t, wall ms, RFC 3339: "2026-03-01T00:00:00Z", "…+01:00" */
                    SET_SECRET,      /* struct secret, key written KEY_file */
                    SET_SECRET_LIST, /* struct secret_list, key written KEY_files */
                    SET_PUBLIC_LIST, /* struct secret_list of public keys: texts, or maps with `key` for `file` */
                    SET_TEXT_LIST,    /* struct text_list; one scalar counts as a list of one */
                    SET_ADDRESS_LIST, /* struct text_list of mail addresses */
                    SET_CIDR_LIST,    /* struct cidr_list */
                    SET_NODE          /* const struct yaml_node *, for the caller to read on */
};

struct setting {
    const char *key;
    enum setting_type type;
    size_t offset;            /* of the field in the struct */
    const char *fallback;     /* as it would be written in the file; NULL: zeroed */
    const char *meaning;      /* one line, for `--help` and the table of docs/settings.md */
    const char *const *words; /* SET_WORD: NULL-terminated */
    int64_t least, most;      /* SET_INT, SET_DURATION (ms), SET_SIZE; both 0: no bounds */
    bool required;
    /* SET_PATH: the file holds a secret, as that of SET_SECRET does; what stands here in its place is repeated by no fault. */
    bool secret;
    /* Of a list: [] says the same as no key, or whoever reads it judges that himself. Else it is a
     * fault: a list of nobody reads like one of everybody. */
    bool may_be_empty;
};

/* One: a key, its type, and the field of a struct that it fills; then what else there is to say of it. */
#define SETTING(k, t, of, field, ...)                                                              \
    {                                                                                              \
        .key = (k), .type = (t), .offset = offsetof(struct of, field), __VA_ARGS__                 \
    }

struct list_files; /* lists.h */

/* Mail addresses in one list: a mail goes to so many at most (mail.h), and who is left out hears of nothing. */
#define SETTINGS_ADDRESSES_MAX 100

struct settings_reader {
    struct arena *arena;
    struct yaml_faults *faults;
    const char *(*env)(const char *name); /* NULL: getenv; tests pass their own */
    /* what is no fault but worth a line (a secret file that others can read); NULL: nobody wants to know */
    struct yaml_faults *notes;
    struct watch *files; /* every file that is read is noted here; NULL: nobody wants to know */
    const struct clock *clock; /* NULL: the host's; for notes about what is not good any more */
    struct list_files *lists;  /* the lists that conditions named so far; NULL: each is read anew */
};

/**
 * Reads map (NULL: all defaults) into out, which must be zeroed. table ends with key NULL. Faults go to
 * reader->faults; the rest of the map is still read, and a key with a fault keeps its fallback. what: the
 * map's own name for messages ("listen"; NULL or "" at the top). Memory comes from reader->arena.
 */
void settings_read(const struct settings_reader *reader, const struct yaml_node *map,
                   const char *what, const struct setting *table, void *out);
/** The same for one key alone: what else the map holds is not looked at. row: its key and type count. */
void settings_read_key(const struct settings_reader *reader, const struct yaml_node *map,
                       const char *what, const struct setting *row, void *out);
/** And the other way round: only that table has a row for each of the map's keys. map: a map, or NULL. */
void settings_check_keys(const struct settings_reader *reader, const struct yaml_node *map,
                         const char *what, const struct setting *table);
/** The text of a scalar after ${…} expansion, or NULL with a fault noted. */
const char *settings_text(const struct settings_reader *reader, const struct yaml_node *node);
/** "; did you mean WORD?" with the nearest of words, NULL-terminated (or NULL), else "": the end of a fault. */
const char *settings_meant(const struct settings_reader *reader, const char *text,
                           const char *const *words);
/** "30s", "5m", "4h", "3d", "250ms" to ms; a bare "0" is 0. */
enum err_code settings_duration(const char *text, int64_t *ret_ms, struct err *e);
/** "512", "256KiB", "1MiB", "2GiB" to bytes. */
enum err_code settings_size(const char *text, int64_t *ret_bytes, struct err *e);
/** "2026-03-01T00:00:00Z" or with an offset, "2026-03-01T01:00:00+01:00", to wall ms. */
enum err_code settings_time(const char *text, int64_t *ret_ms, struct err *e);
/** A time as settings_time, or an age before now: "24h". */
enum err_code settings_since(const char *text, int64_t now, int64_t *ret_ms, struct err *e);
/** "10.0.0.0/8", "2001:db8::/32", "192.0.2.1". Bits behind the prefix are ERR_INVALID: a slip there
 *  trusts other machines than was meant. */
enum err_code settings_cidr(const char *text, struct cidr *ret, struct err *e);
/** Is a listen address that SET_LISTEN took reachable from this host alone (127/8, ::1, unix:)? */
bool settings_listen_is_local(const char *address);
bool cidr_contains(const struct cidr *net, const unsigned char address[16]);
void secret_wipe(struct secret *s);
/** What the log calls it: its name, else its file, else (a public key) itself. */
const char *secret_name(const struct secret *s);
/** The first of a list, which is the newest, that is good now; NULL: none is. */
struct secret *secret_current(const struct secret_list *list, int64_t now_ms);
bool window_holds(const struct window *w, int64_t now_ms);

#endif
