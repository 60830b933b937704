/* handler.h - what a handler is: one kind of step that a rule can ask for.
 *
 * A handler is one file handlers/NAME.c that defines `const struct handler handler_NAME`, and one line
 * HANDLER(NAME) in handlers/list.h. The policy reads its settings by the args table; the engine runs it
 * when a case comes to its step. A handler says how one attempt went; when to try again is not its
 * business.
 */
#ifndef CORDON_HANDLER_H
#define CORDON_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct step; /* act.h: the case, its facts, the arguments, and what a handler may use */

/* What one attempt at a step came to. */
enum outcome {
    OUTCOME_DONE,     /* done (for isolate: requested; the isolation is followed on its own) */
    OUTCOME_RETRY,    /* transient; e says why and e->retry_ms when */
    OUTCOME_REFUSED,  /* for good; e says why, and people are told */
    OUTCOME_WITHHELD, /* the same, and it is the policy that does not let it */
    OUTCOME_WAITS, /* a person is asked: step and case are written as waiting, the claim has ended */
};

enum arg_type {
    ARG_TEXT,      /* may hold {{field}}; expanded when the verdict is made */
    ARG_WORD,      /* one of words[] */
    ARG_ADDRESSES, /* a list of mail addresses, or one */
    ARG_DURATION,  /* as written, "4h"; a good one */
    ARG_NUMBER,
};

/* As an ARG_TEXT's fallback: it has none, and a step without it is a fault. */
extern const char handler_required[];

struct handler_arg {
    const char *name;
    enum arg_type type;
    const char *const *words; /* ARG_WORD: NULL-terminated, the first is the default; ARG_DURATION,
                                 ARG_NUMBER: the least and the most, as they would be written */
    /* ARG_TEXT: template used when absent; NULL: absent stays absent. ARG_DURATION, ARG_NUMBER: as it would be
     * written, not NULL */
    const char *fallback;
    const char *meaning;
};

/* What the file gives an argument, or its default; which of them is set follows from the argument's type. */
struct handler_given {
    const char *text; /* ARG_TEXT, ARG_WORD: "" where there is none */
    bool open;        /* text holds {{field}}: what it comes to is known when the verdict is made */
    int64_t number;   /* ARG_NUMBER; ARG_DURATION: in ms */
    const char *const *addresses;
    size_t n_addresses;
};

/* At no argument alone: *ret_at of a check. */
#define HANDLER_WHOLE SIZE_MAX

struct handler {
    const char *name;
    const char *meaning;
    const char *permission;         /* Defender application permission; NULL: none */
    bool acts;                      /* changes something at Defender: withheld in doubt */
    bool follows;                   /* done is: asked for; how that ends is known later */
    const struct handler_arg *args; /* ends with name NULL */
    /* Whether a step with these settings, each good for itself, can ever do its work; given: one for each of args. e: what
     * was expected and what was found; *ret_at: the argument to point at, or HANDLER_WHOLE. NULL: it always can. */
    enum err_code (*check)(const struct handler_given *given, size_t *ret_at, struct err *e);
    enum outcome (*run)(struct step *s, struct err *e);
};

/** The table of handlers, NULL-terminated; static storage. Defined in server/handlers.c. */
const struct handler *const *handler_table(void);
/** By name, or NULL. */
const struct handler *handler_find(const char *name);

#endif
