/* quota.h - the governor of calls to one tenant's Defender API: sliding windows of a minute and an hour.
 *
 * defender-api.md section 7.4: 100 calls a minute and 1,500 an hour per application and tenant, and less
 * for some APIs. Reads leave a reserve that only actions (isolate, release) may use; a Retry-After of
 * Defender's holds all back, or the API that is counted apart, because calls before its end lengthen the block (section
 * 7.3). Any thread.
 *
 * quota_keep binds a governor to the store (store_quota.h), so that a restart does not begin the hour
 * anew, and so that processes which share a tenant share its budget.
 */
#ifndef CORDON_QUOTA_H
#define CORDON_QUOTA_H

#include <stdbool.h>

#include "auto.h"
#include "clock.h"
#include "err.h"

struct quota;
struct store;

/* API classes with limits of their own: section 7.4. All but the first also count as QUOTA_ALL. */
enum quota_class {
    QUOTA_ALL,
    QUOTA_ALERT_UPDATES, /* alerts/batchUpdate */
    QUOTA_ALERT_CREATE,  /* CreateAlertByReference */
    QUOTA_LIVE_RESPONSE, /* runliveresponse */
    QUOTA_PACKAGE_URI,   /* getPackageUri */
    QUOTA_INDICATORS,    /* indicators/import, BatchDelete */
    QUOTA_CLASSES
};

/** With nothing spent yet: calls of a tenant, all classes together. clock: borrowed. ERR_NOMEM. */
enum err_code quota_new(int64_t per_minute, int64_t per_hour, const struct clock *clock,
                        struct quota **ret, struct err *e);
/** What was not noted in the store yet is, by the last who has it. The store is to live on for that. */
void quota_free(struct quota *q);
AUTO_FREEP(struct quota, quota)

enum quota_keeping {
    QUOTA_ALONE, /* no other process calls for this application: counts here, notes it in the store */
    QUOTA_SHARED /* takes slices from the store; a take may wait for its disk */
};

/* Calls that are noted together: so many a crash can make the next process forget. */
#define QUOTA_NOTE_CALLS 10

/**
 * Takes over what the store knows of the last hour, and keeps it there from now on. Once, before q is
 * shared between threads.
 *
 * store     borrowed; outlives q.
 * app       application and tenant as Defender counts them; copied.
 */
enum err_code quota_keep(struct quota *q, struct store *store, const char *app,
                         enum quota_keeping keeping, struct err *e);
/** Is it bound to a store? */
bool quota_is_kept(struct quota *q);
/** One that is bound and was alone takes slices from now on: a reload gave the application a second name. */
void quota_share(struct quota *q);

/** Takes one call out of the budget, or ERR_THROTTLED with e->retry_ms until there is one again. Shared:
 *  also ERR_AGAIN and ERR_IO of the store's. */
enum err_code quota_take(struct quota *q, bool action, struct err *e);
/** The same for an API with limits of its own. */
enum err_code quota_take_class(struct quota *q, enum quota_class class, bool action, struct err *e);
/** How long until a call may be taken; 0: now, as far as this process knows. */
int64_t quota_wait(struct quota *q, bool action);
/** Has Defender said that no call may be taken now? */
bool quota_is_blocked(struct quota *q);
/** How long until `calls` of them may be taken one after the other; as many as there ever are, if that is less. */
int64_t quota_wait_for(struct quota *q, bool action, int64_t calls);
/** How many calls a minute allows in all. */
int64_t quota_per_minute(struct quota *q);
/** How many calls could be taken now, as far as this process knows. */
int64_t quota_room(struct quota *q, bool action);
/** Which part of the calls that reads may make in a minute has been made, per mille; 0 to 1000. */
int quota_pressure(struct quota *q);
/** Defender said 429: no call for retry_ms. */
void quota_block(struct quota *q, int64_t retry_ms);
/** The same of an API with limits of its own: no call of that one. */
void quota_block_class(struct quota *q, enum quota_class class, int64_t retry_ms);
/** What stands in *place takes over what `from` has taken, its block and its store: Defender counts on over a reload of ours. It is
 *  `from` itself from then on where the limits are the same. Before what stands there is shared between threads. */
void quota_inherit(struct quota **place, struct quota *from);
/** `from`, which is in force no more, counts and asks at its heir, by the limits of that: who was at work by it goes on, for minutes
 *  where many wait. Nothing happens where it has an heir, or the heir is kept nowhere. One thread of such. */
void quota_leave_to(struct quota *from, struct quota *heir);
/** Calls taken in the last minute and hour (for the metrics). */
void quota_used(struct quota *q, int64_t *ret_minute, int64_t *ret_hour);

#endif
