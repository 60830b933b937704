/* facts.h - the alert and machine as read from Defender, with the time of reading, and who pushed.
 *
 * The whole input of decide(), together with the policy and now. It is stored with the case as JSON
 * and read back from it, so that a verdict can be replayed to the bit.
 */
#ifndef CORDON_FACTS_H
#define CORDON_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "json.h"

struct facts {
    const char *tenant; /* configured name */
    const char *source; /* configured name: the first that pushed, or the first that may isolate */
    bool may_isolate;   /* the source's `may` holds isolate */
    bool source_shadow; /* the source's `mode` is shadow */
    const char *alert_id;          /* as pushed */
    const char *pushed_machine_id; /* as pushed; NULL: none was */
    const struct json *alert;      /* Defender's alert document; never NULL when deciding */
    const struct json *machine; /* Defender's machine document of the alert's machineId; NULL: the
                                      alert names no machine, or Defender does not know it */
    int64_t read_ms;            /* wall clock when both were read */
};

/** Writes f as one JSON object. */
void facts_write(struct buf *out, const struct facts *f);
/** Reads what facts_write wrote; every pointer in *ret borrows from doc. */
enum err_code facts_read(const struct json *doc, struct facts *ret, struct err *e);
/** What people call a machine of Defender's; NULL: nobody has named it, which an empty name says as well. */
const char *facts_machine_name(const struct json *machine);
/* The group of a machine that is in none is null, or this: defender-api.md section 3.2. */
#define FACTS_NO_GROUP "UnassignedGroup"
/** The device group of a machine of Defender's; "": it is in none. */
const char *facts_group_of(const struct json *machine);
/** The same, if it is the machine of that id; id NULL: whichever it is. A case that was read again may have facts of another
 *  machine than the one that it is about, as alerts change theirs. */
const char *facts_name_of(const struct json *machine, const char *id);

#endif
