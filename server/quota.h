/* quota.h - the governor of calls to one tenant's Defender API: sliding windows of a minute and an hour.
 *
 * defender-api.md section 7.4: 100 calls a minute and 1,500 an hour per application and tenant. Reads
 * leave a reserve that only actions (isolate, release) may use; a Retry-After of Defender's holds all
 * back, because calls before its end lengthen the block (section 7.3). Any thread.
 */
#ifndef CORDON_QUOTA_H
#define CORDON_QUOTA_H

#include <stdbool.h>

#include "auto.h"
#include "clock.h"
#include "err.h"

struct quota;

enum err_code quota_new(int64_t per_minute, int64_t per_hour, const struct clock *clock,
                        struct quota **ret, struct err *e);
void quota_free(struct quota *q);
AUTO_FREEP(struct quota, quota)

/** Takes one call out of the budget, or ERR_THROTTLED with e->retry_ms until there is one again. */
enum err_code quota_take(struct quota *q, bool action, struct err *e);
/** How long until a read may be taken; 0: now. */
int64_t quota_wait(struct quota *q);
/** Defender said 429: no call for retry_ms. */
void quota_block(struct quota *q, int64_t retry_ms);
/** Takes over what `from` has taken, and its block: Defender counts on over a reload of ours. */
void quota_inherit(struct quota *q, struct quota *from);
/** Calls taken in the last minute and hour (for the metrics). */
void quota_used(struct quota *q, int64_t *ret_minute, int64_t *ret_hour);

#endif
