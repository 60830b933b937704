/* connect.h - what senders need, filled in for a source: texts of server/connect with {{name}} in them.
 *
 *     const struct connect_way *way = connect_find("curl", "hmac");
 *     connect_fill(way, &about, &values, &reader);
 *     for each way->files: connect_expand(&out, file, &values);
 *
 * Nothing that is secret goes into them: they name files, app settings and Key Vault.
 */
#ifndef CORDON_CONNECT_H
#define CORDON_CONNECT_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "settings.h"

/* What {{name}} stands for. */
struct connect_value {
    const char *name, *text;
    bool as_is; /* a piece of the same language; else it is escaped for where it lands */
};

#define CONNECT_VALUES_MAX 24

struct connect_values {
    struct connect_value items[CONNECT_VALUES_MAX];
    size_t count;
};

/* The source, seen from outside. */
struct connect_about {
    const char *source; /* its name */
    const char *url;    /* where it posts to */
    const char *unix_socket;
    const char *tenant_id, *login_url, *graph_url;
    bool reply_status;                /* the sender may wait for the outcome */
    const struct yaml_node *settings; /* of the scheme */
};

#define CONNECT_FILES_MAX 5

/* One way of connecting: a kind of sender that proves itself by one scheme. */
struct connect_way {
    const char *target, *scheme;
    bool from_outside; /* the sender is somewhere else: it needs public_url */
    /* Fills in what the files name; faults to reader->faults. false: said why it cannot be done. */
    bool (*fill)(const struct settings_reader *reader, const struct connect_about *about,
                 struct connect_values *values, struct err *e);
    struct {
        const char *name; /* where it is written to, below --out */
        const char *asset;
    } files[CONNECT_FILES_MAX];
};

/** The kinds of senders, NULL-terminated. */
extern const char *const connect_targets[];
/** NULL: this kind cannot do this scheme. */
const struct connect_way *connect_find(const char *target, const char *scheme);
/** The schemes that a kind of sender can do, as "a, b or c". */
void connect_schemes(const char *target, struct buf *out);

/**
 * Makes the values of a way. Everything lives in reader->arena.
 *
 * Returns   ERR_OK; ERR_INVALID: reader->faults, or e, say what is wrong; ERR_NOMEM.
 */
enum err_code connect_fill(const struct connect_way *way, const struct settings_reader *reader,
                           const struct connect_about *about, struct connect_values *values,
                           struct err *e);

/** The text of a file of server/connect; NULL: there is none of this name. */
const char *connect_asset(const char *file);
/** Appends an asset with its {{names}} filled in, each escaped for the kind of file that it is (.json, .sh
 *  within '…', else as it is). A name without a value is a bug of the asset, and ends the program. */
void connect_expand(struct buf *out, const char *file, const struct connect_values *values);

#endif
