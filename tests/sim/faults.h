/* faults.h - misbehaviour on demand: which calls, how often, what happens to them. README.md has the
 * table of kinds; the first fault that matches and is not used up is applied. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "json.h"
#include "httpd.h"
#include "world.h"

enum fault_kind {
    FAULT_DELAY,
    FAULT_ANSWER,
    FAULT_HANG,
    FAULT_RESET,
    FAULT_LOST,
    FAULT_CLOSE,
    FAULT_TRUNCATED,
    FAULT_WRONG_LENGTH,
    FAULT_MALFORMED,
    FAULT_HUGE,
    FAULT_DRIP,
    FAULT_HTML,
    FAULT_UNAUTHORIZED,
    FAULT_LICENCE,
    FAULT_FORBIDDEN,
    FAULT_DISABLED,
    FAULT_DISALLOWED,
    FAULT_THROTTLE,
    FAULT_ERROR,
    FAULT_KINDS
};

struct fault {
    char id[24];
    enum fault_kind kind;
    struct json *spec; /* the object it was made of: other texts are read from there */
    const char *method, *path, *query, *body; /* globs; NULL: any */
    int64_t skip, count, hits, delay_ms, bytes, every_ms;
    double probability;
    unsigned status;
    bool act; /* the request is carried out all the same */
};

struct faults {
    struct fault **list;
    size_t count;
    int64_t made;
};

const char *fault_name(enum fault_kind kind);
/** Takes ownership of spec on success. */
enum err_code faults_add(struct faults *f, struct json *spec, struct fault **ret, struct err *e);
/** id NULL: all. false: there is none of that id. */
bool faults_remove(struct faults *f, const char *id);
void faults_write(struct json_out *out, const struct faults *f);
/** The fault that a request meets, counted, or NULL. */
struct fault *faults_meet(struct faults *f, struct world *w, const struct httpd_request *q);

#endif
