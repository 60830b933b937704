/* limits.h - the quotas of section 7.4: per application and API, per minute and per hour. */
#ifndef SIM_LIMITS_H
#define SIM_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"
#include "world.h"

struct limits {
    struct map by_key; /* "client api" to struct quota */
};

struct refusal {
    int64_t allowed;    /* calls */
    const char *window; /* "00:01:00" as in section 7.3's sentence */
    int64_t seconds;    /* until calls are taken again, rounded up */
};

/** Counts a call; false: over the quota, and *ret says how. */
bool limits_take(struct limits *l, const struct world *w, const char *client, const char *api,
                 struct refusal *ret);
void limits_clear(struct limits *l);

#endif
