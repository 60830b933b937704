/* intake_envelope.h - whose object is this, and what in it speaks of alerts?
 *
 * A table of the schemas that are put around an alert, or that must not be taken for one: rows 9 to 13 of
 * webhook-sources.md section 2.2 and its sections 3.2 and 4. Knows where things stand in each, and judges
 * no id: intake.c does, as it does for those that stand in the open.
 */
#ifndef CORDON_INTAKE_ENVELOPE_H
#define CORDON_INTAKE_ENVELOPE_H

#include <stdbool.h>

#include "json.h"

/* What an envelope holds; borrowed from the document, NULL where it says nothing. */
struct envelope {
    const struct json *alert, *machine, *tenant; /* ids, of any type yet */
    const struct json *inside;                   /* a body of its own */
    const char *base64;                          /* a body of its own, so encoded */
    const char *code; /* Event Grid's validation: what it wants to hear, of harmless characters */
    /* one of many statements on one alert, whose machines may differ: an alert's evidence */
    bool row;
    bool mixed; /* what is inside is a list that others' things may stand in as well */
    /* by what it says of itself: without an id it cannot be read, and is not to be left out */
    bool ours;
    /* A sentence for the sender: the body is not to be read. */
    const char *refused;
    bool foreign; /* refused for what it is, not for how it is made */
    /* A sentence: of no alert of ours, though its neighbours in a list may be. Counts when none is. */
    const char *skipped;
};

/** CloudEvents or Event Grid: a list of them holds whatever was published to a topic. */
bool envelope_is_event(const struct json *o);

/** What an object is. false: none of these. An object that says `alertId` itself means us, whatever stands
 *  beside it. */
bool envelope_open(const struct json *o, struct envelope *ret);

/**
 * The binary mode of CloudEvents: attributes in headers, the body is the data alone. header: as in struct
 * verify_request. NULL: none of it, or a sound one; else a sentence for the sender.
 */
const char *envelope_binary(const char *(*header)(void *ctx, const char *name, unsigned *ret_count),
                            void *ctx);

#endif
