/* limits.c - see limits.h.
 *
 * A window opens with the first call and lasts a minute (or an hour) of the simulator's time; when its
 * calls are used up the application is blocked until it ends. A call during the block starts the block
 * anew: "sending more before that extends the block" (section 7.3).
 */
#include "limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOWS 2

static const struct {
    int64_t ticks;
    const char *text;
} windows[WINDOWS] = {{60 * TICKS_PER_S, "00:01:00"}, {3600 * TICKS_PER_S, "01:00:00"}};

/* APIs with limits of their own, where there are any: section 7.4. 0: that of the rest. */
static const struct {
    const char *api;
    int64_t allowed[WINDOWS];
} own[] = {
    {"CreateAlertByReference", {15, 0}},
    {"getPackageUri", {2, 120}},
    {"advancedqueries", {45, 1500}},
};

/* Calls of an API that a window allows, where the rest may have so many. */
static int64_t allowed_of(const char *api, int window, int64_t usual)
{
    for (size_t i = 0; i < sizeof own / sizeof *own && usual; i++)
        if (strcasecmp(own[i].api, api) == 0 && own[i].allowed[window])
            return own[i].allowed[window];
    return usual;
}

struct quota {
    char *key;
    struct {
        int64_t opened, count, blocked_until, block; /* ticks; block: how long one lasts */
    } window[WINDOWS];
};

static struct quota *find(struct limits *l, const char *client, const char *api)
{
    char key[200];
    struct quota *q;

    snprintf(key, sizeof key, "%s %s", client, api);
    q = map_get(&l->by_key, key);
    if (!q) {
        q = calloc(1, sizeof *q);
        assert(q); /* a simulator without memory can only stop */
        q->key = strdup(key);
        assert(q->key);
        map_put(&l->by_key, q->key, q);
    }
    return q;
}

bool limits_take(struct limits *l, const struct world *w, const char *client, const char *api,
                 struct refusal *ret)
{
    const int64_t allowed[WINDOWS] = {allowed_of(api, 0, w->tuning.limits.per_minute),
                                      allowed_of(api, 1, w->tuning.limits.per_hour)};
    int64_t now = simclock_now(&w->clock);
    struct quota *q;

    if (!allowed[0] && !allowed[1])
        return true;
    q = find(l, client, api);
    for (int i = 0; i < WINDOWS; i++) {
        int64_t opened = q->window[i].opened, until = q->window[i].blocked_until;
        bool blocked = until > now;

        if (!allowed[i])
            continue;
        if (blocked && w->tuning.limits.extend && until < now + q->window[i].block) {
            q->window[i].blocked_until = now + q->window[i].block;
        } else if (!blocked && (!opened || now - opened >= windows[i].ticks || until)) {
            q->window[i].opened = now;
            q->window[i].count = 0;
            q->window[i].blocked_until = 0;
        }
        if (!blocked && q->window[i].count >= allowed[i]) {
            q->window[i].block = q->window[i].opened + windows[i].ticks - now;
            q->window[i].blocked_until = now + q->window[i].block;
            blocked = true;
        }
        if (blocked) {
            ret->allowed = allowed[i];
            ret->window = windows[i].text;
            ret->seconds = (q->window[i].blocked_until - now + TICKS_PER_S - 1) / TICKS_PER_S;
            return false;
        }
    }
    for (int i = 0; i < WINDOWS; i++)
        q->window[i].count++;
    return true;
}

void limits_clear(struct limits *l)
{
    for (size_t i = 0; i < l->by_key.room; i++) {
        struct quota *q = l->by_key.slots[i].key ? l->by_key.slots[i].value : NULL;

        if (q) {
            free(q->key);
            free(q);
        }
    }
    map_clear(&l->by_key);
}
