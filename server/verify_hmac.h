/* verify_hmac.h - how a sender of an `hmac` entry signs, for `cordon connect`. */
#ifndef CORDON_VERIFY_HMAC_H
#define CORDON_VERIFY_HMAC_H

#include <stdbool.h>

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

#endif
