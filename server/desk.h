/* desk.h - what people order: a case to be tried again, a case to be let go, a machine to be released.
 *
 * The other way into the engine than a delivery: orders come from the admin address (commands, console), are
 * written like everything else before they are acted on, and are logged with their author and reason.
 */
#ifndef CORDON_DESK_H
#define CORDON_DESK_H

#include "engine.h"

#define DESK_WHY_MAX     500 /* bytes of a reason */
#define DESK_WHO_MAX     100 /* bytes of a name */
#define DESK_MACHINE_MAX 255
/* How long desk_extend may put a question off. */
#define DESK_EXTEND_MIN_MS MINUTE_MS
#define DESK_EXTEND_MAX_MS (366 * DAY_MS)

struct desk_order {
    int64_t id;      /* of what it is about */
    const char *who; /* who gives it, as far as is known; NULL: nobody says */
    const char *why; /* NULL: not said */
    /* the machine as he calls it, by name or id; NULL: he named an isolation */
    const char *machine;
    int64_t for_ms; /* desk_extend: from now */
    /* desk_approve: written on success: what it takes besides this yes, for people; NULL: nothing. Static storage. NULL:
     * nobody wants to know */
    const char **ret_besides;
};

/**
 * A case that failed, or whose steps failed or were withheld, begins again as if it had just come: Defender is
 * read anew and the policy in force judges anew. ERR_NOT_FOUND; ERR_CONFLICT with a sentence when it is in no
 * such state, or its machine's isolation is still open; ERR_AGAIN, ERR_IO. Threads: any that may wait for a
 * commit.
 */
enum err_code desk_retry(struct engine *g, const struct desk_order *o, struct err *e);

/**
 * A case that is not over, or whose absent machine is looked out for, is let go: nothing more is done or told about it. An isolation that was requested is
 * still followed, and an action that is under way may still be carried out. The reason is demanded. Errors as
 * desk_retry's; ERR_INVALID without a reason.
 */
enum err_code desk_drop(struct engine *g, const struct desk_order *o, struct err *e);

/**
 * A machine that is isolated is to be released: asked for and followed by the ledger, told in the thread of its
 * case. The reason is demanded. Somebody else's isolation is released only when the order names the machine, and
 * not the isolation alone: whoever gives it has seen whose it is. ERR_NOT_FOUND; ERR_INVALID without a reason or with
 * another machine's name; ERR_CONFLICT with a sentence when it is not isolated, or not ours and not named.
 */
enum err_code desk_release(struct engine *g, const struct desk_order *o, struct err *e);

/** It is right that the machine is isolated: people are asked again after for_ms, DESK_EXTEND_MIN_MS to
 *  DESK_EXTEND_MAX_MS. Errors as desk_release's. */
enum err_code desk_extend(struct engine *g, const struct desk_order *o, struct err *e);
/** An operator's answer to the question o->id; ERR_CONFLICT as question_answer. */
enum err_code desk_approve(struct engine *g, const struct desk_order *o, struct err *e);
enum err_code desk_refuse(struct engine *g, const struct desk_order *o, struct err *e);

/** The kill switch (pause.h): o->id means nothing. People are told. ERR_AGAIN, ERR_IO. Threads as desk_retry. */
enum err_code desk_pause(struct engine *g, const struct desk_order *o, struct err *e);
/** Takes desk_pause back. ERR_CONFLICT when there is nothing to take back, or the file safety.pause_file still
 *  pauses: then the sentence says so. */
enum err_code desk_resume(struct engine *g, const struct desk_order *o, struct err *e);

#endif
