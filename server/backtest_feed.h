/* backtest_feed.h - one tenant's alerts of the past with their machines, oldest first, read page by page.
 *
 * Reads only. It keeps to a quarter of the tenant's quota, because the server that runs beside it counts its own
 * calls and not these; what Defender refuses for its own limits is asked for again when it says so.
 */
#ifndef CORDON_BACKTEST_FEED_H
#define CORDON_BACKTEST_FEED_H

#include <stdint.h>

#include "auto.h"
#include "clock.h"
#include "defender.h"

struct feed;

struct feed_options {
    struct defender *defender; /* borrowed, as clock */
    const struct clock *clock;
    int64_t per_minute, per_hour; /* the tenant's quota */
    int64_t from_ms, to_ms;       /* alertCreationTime: from included, to not */
    /* Before it waits; why: what failed for the moment, NULL: it is for quota. May be NULL. */
    void (*waiting)(void *ctx, int64_t ms, const char *why);
    void *ctx;
};

struct feed_item {
    const struct json *alert;   /* NULL: the end */
    const struct json *machine; /* NULL: the alert names none, or Defender does not list it */
    int64_t created_ms;
};

/** Asks for nothing yet; o is copied. ERR_NOMEM. */
enum err_code feed_new(const struct feed_options *o, struct feed **ret, struct err *e);
void feed_free(struct feed *f);
AUTO_FREEP(struct feed, feed)

/** The next alert; borrowed until the next call. Blocks. */
enum err_code feed_next(struct feed *f, struct feed_item *ret, struct err *e);
/** How many elements were passed over because they could not be read. */
int64_t feed_unreadable(const struct feed *f);

#endif
