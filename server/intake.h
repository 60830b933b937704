/* intake.h - which alerts? Turns a verified body into one canonical list of (tenant, alert, machine).
 *
 * Knows the shapes of section 2.2 of webhook-sources.md and nothing of HTTP, Defender or the store.
 * What a sender says beyond ids decides nothing and is not kept.
 */
#ifndef CORDON_INTAKE_H
#define CORDON_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "err.h"

#define INTAKE_BATCH_MAX 100 /* webhook-sources.md section 2.2, extraction rules */
#define INTAKE_CODE_MAX  128 /* of a validation code: Event Grid's are GUIDs */

struct alert_ref {
    const char *alert_id;   /* ^[A-Za-z0-9_.-]{1,128}$: defender-api.md section 2.5 */
    const char *machine_id; /* ^[0-9a-fA-F]{32,64}$, lower case; NULL: not given */
    const char *tenant_id;  /* GUID as the body says; NULL: not given */
    bool likely_high; /* the body says that its severity is High: it goes first, and that is all */
};

struct intake {
    struct alert_ref *alerts; /* each alert id once */
    size_t count;
    bool test; /* the body says it is a test: answer, store nothing */
    /* The body is Event Grid's validation event and nothing else: to be answered with this code, which is of
     * letters, digits, `-` and `_`. NULL: it is none. */
    const char *validation_code;
    const char *left_out; /* why the first that is none of ours was left out; NULL: none was */
};

/**
 * Reads a body. Everything in *ret lives in a.
 * ERR_INVALID with a sentence for the sender (400): not JSON, no or conflicting alert ids, ids outside
 * their alphabet, numbers for strings, a foreign schema (named), records or events that are all of other things;
 * ERR_TOO_BIG (413): over the batch limit; ERR_NOMEM.
 */
enum err_code intake_read(struct arena *a, const char *body, size_t len, struct intake *ret,
                          struct err *e);

#endif
