/* doctor_own.h - what the rooms of the doctor share. */
#ifndef CORDON_DOCTOR_OWN_H
#define CORDON_DOCTOR_OWN_H

#include "arena.h"
#include "doctor.h"
#include "runtime.h"

struct doctor {
    const struct doctor_options *o;
    struct arena *arena;
    struct runtime *rt;
    const char *part;
};

/** A finding of the part. cure: borrowed; NULL with DOCTOR_OK. */
void doctor_say(struct doctor *d, enum doctor_grade grade, const char *cure, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/** Asks without a credential, and looks at certificate and clock. True, and the answer (rest_answer_clear it), when there was
 *  one. */
bool doctor_ask_host(struct doctor *d, const char *base, const char *path, struct rest_answer *ret);
/** Token, permissions and reads; the machines that cordon stands on. */
void doctor_look_at_tenant(struct doctor *d, struct runtime_tenant *t);
/** The store, who has hold of it, its room. */
void doctor_look_at_store(struct doctor *d);

#endif
