/* health.h - what worked when it was last used: one line per part, for /readyz and people.
 *
 * A part is a far end or a room ("defender:contoso", "mail"). Whoever used it says how that went. Any
 * thread.
 */
#ifndef CORDON_HEALTH_H
#define CORDON_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "auto.h"
#include "clock.h"
#include "err.h"

struct health;

#define HEALTH_PARTS_MAX 512 /* of one configuration; what comes beyond them is not shown */

struct health_part {
    char name[80]; /* the longest kind and the longest name of a configuration have room */
    bool ok;
    char why[ERR_TEXT_SIZE]; /* of the last failure, "" when ok */
    int64_t since;           /* wall ms of the last change between good and bad */
};

/** Of no part yet. clock: borrowed. ERR_NOMEM. */
enum err_code health_new(const struct clock *clock, struct health **ret, struct err *e);
void health_free(struct health *h);
AUTO_FREEP(struct health, health)
/** Notes how the use of a part went; true when that changed between good and bad. h NULL is fine. */
bool health_note(struct health *h, const char *kind, const char *name, bool ok, const char *why);
/** Forgets the parts that keep() does not know: what is not configured any more is not used again, and its last word
 *  would stand for ever. */
void health_keep(struct health *h, bool (*keep)(const void *ctx, const char *name),
                 const void *ctx);
/** Copies up to max parts, in order of first use; returns how many. */
unsigned health_list(struct health *h, struct health_part *ret, unsigned max);

#endif
