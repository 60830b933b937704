/* verify_hmac.h - how a sender of an `hmac` entry signs, for `cordon connect` and `cordon send`. */
#ifndef CORDON_VERIFY_HMAC_H
#define CORDON_VERIFY_HMAC_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "settings.h"

/* What the entry's settings, or its preset, come to. Texts live in the reader's arena. */
struct hmac_way {
    const char *header, *prefix; /* the signature's, and what stands before it */
    const char *payload;         /* what is signed, with {body}, {timestamp} and {id} */
    const char *timestamp_header, *id_header; /* NULL: none */
    const char *digest;                       /* "sha256", "sha512" */
    const char *key_form;    /* how the secret is written: "text", "base64", "hex" */
    bool base64;             /* the signature is; else hex */
    bool members;            /* the header is "t=TIMESTAMP,PREFIXsignature" */
    const char *secret_file; /* of the newest secret */
};

/** Reads the settings of an `hmac` entry; faults to reader->faults, then *ret is of no use. */
void hmac_way(const struct settings_reader *reader, const struct yaml_node *node,
              struct hmac_way *ret);

/**
 * Signs a request with the newest secret of an `hmac` entry.
 *
 * stamp, id     of this delivery: digits, and characters that no payload parts by.
 * ret_headers   "Name: value" lines that prove it, in the reader's arena.
 * Returns       ERR_OK; ERR_INVALID: reader->faults or e say what is wrong; ERR_NOMEM.
 */
enum err_code hmac_sign(const struct settings_reader *reader, const struct yaml_node *node,
                        const char *stamp, const char *id, const char *body, size_t body_len,
                        struct text_list *ret_headers, struct err *e);

#endif
