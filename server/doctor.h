/* doctor.h - asks the outside world whether cordon could do its work: reads only, sends no mail.
 *
 * Each finding says what was seen; one that is not well says what to do about it.
 */
#ifndef CORDON_DOCTOR_H
#define CORDON_DOCTOR_H

#include "config.h"
#include "rest.h"

enum doctor_grade {
    DOCTOR_OK,
    DOCTOR_WARN, /* it works, but somebody should look */
    DOCTOR_BAD   /* it does not work */
};

/** "ok", "warn", "bad"; static storage. */
const char *doctor_grade_name(enum doctor_grade grade);

struct doctor_finding {
    enum doctor_grade grade;
    const char *part; /* "tenant contoso", "mail" */
    const char *text; /* what was seen; may hold words of a far end */
    const char *cure; /* what to do about it; NULL with DOCTOR_OK */
};

struct doctor_options {
    struct config *config; /* borrowed, like all of these */
    struct rest *rest;     /* with no connections yet: certificates are seen in handshakes alone */
    const struct clock *clock; /* ours, which is compared with theirs */
    const char *host_name;     /* of this host; NULL: its own */
    void (*found)(void *ctx, const struct doctor_finding *f); /* texts are borrowed for the call */
    void *ctx;
};

/** Looks at everything, one thing after the other: some seconds, or a minute for each far end that is out of
 *  reach. ERR_NOMEM and the like alone; what is wrong outside is a finding. */
enum err_code doctor_run(const struct doctor_options *o, struct err *e);

#endif
