/* quota.c - see quota.h.
 *
 * The times of the last calls stand in a ring, so that both windows slide exactly: the call
 * made `per_minute` calls ago must be a minute old, the one made `per_hour` calls ago an hour. A
 * bucket that refills would let through up to twice the limit within one of Defender's minutes.
 */
#include "quota.h"

#include <pthread.h>
#include <stdlib.h>

/* Calls of each window that reads leave to actions: a fifth. */
#define RESERVE_PART 5

struct quota {
    const struct clock *clock;
    pthread_mutex_t lock;
    int64_t per_minute, per_hour;
    int64_t blocked_until; /* mono ms */
    int64_t taken;         /* calls ever; call number n is at ring[n % room] */
    int64_t room;          /* of ring: the larger of the two limits */
    int64_t ring[];        /* mono ms */
};

enum err_code quota_new(int64_t per_minute, int64_t per_hour, const struct clock *clock,
                        struct quota **ret, struct err *e)
{
    int64_t room = per_hour > per_minute ? per_hour : per_minute;
    struct quota *q = calloc(1, sizeof *q + (size_t)room * sizeof q->ring[0]);

    if (!q)
        return err_set(e, ERR_NOMEM, "quota");
    q->clock = clock;
    q->per_minute = per_minute;
    q->per_hour = per_hour;
    q->room = room;
    (void)pthread_mutex_init(&q->lock, NULL); /* cannot fail without attributes on Linux */
    *ret = q;
    return ERR_OK;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* How long until fewer than `limit` calls lie within the last window_ms; 0: now. */
static int64_t wait_for(const struct quota *q, int64_t limit, int64_t window_ms, int64_t now)
{
    int64_t end;

    if (q->taken < limit)
        return 0;
    end = q->ring[(q->taken - limit) % q->room] + window_ms;
    return end > now ? end - now : 0;
}

static int64_t less_reserve(int64_t limit, bool action)
{
    int64_t left = action ? limit : limit - limit / RESERVE_PART;

    return left > 0 ? left : 1;
}

static int64_t wait_locked(const struct quota *q, bool action, int64_t now)
{
    int64_t wait = q->blocked_until > now ? q->blocked_until - now : 0;
    int64_t minute = wait_for(q, less_reserve(q->per_minute, action), MINUTE_MS, now);
    int64_t hour = wait_for(q, less_reserve(q->per_hour, action), HOUR_MS, now);

    wait = minute > wait ? minute : wait;
    return hour > wait ? hour : wait;
}

int64_t quota_wait(struct quota *q)
{
    int64_t wait;

    pthread_mutex_lock(&q->lock);
    wait = wait_locked(q, false, clock_mono_ms(q->clock));
    pthread_mutex_unlock(&q->lock);
    return wait;
}

enum err_code quota_take(struct quota *q, bool action, struct err *e)
{
    int64_t now, wait;

    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    wait = wait_locked(q, action, now);
    if (!wait)
        q->ring[q->taken++ % q->room] = now;
    pthread_mutex_unlock(&q->lock);
    if (!wait)
        return ERR_OK;
    (void)err_set(e, ERR_THROTTLED,
                  "the tenant's budget of %lld calls a minute and %lld an hour is used",
                  (long long)q->per_minute, (long long)q->per_hour);
    if (e)
        e->retry_ms = wait;
    return ERR_THROTTLED;
}

void quota_block(struct quota *q, int64_t retry_ms)
{
    int64_t until;

    pthread_mutex_lock(&q->lock);
    until = clock_mono_ms(q->clock) + retry_ms;
    if (until > q->blocked_until)
        q->blocked_until = until;
    pthread_mutex_unlock(&q->lock);
}

void quota_inherit(struct quota *q, struct quota *from)
{
    int64_t n;

    if (q == from)
        return;
    pthread_mutex_lock(&from->lock);
    pthread_mutex_lock(&q->lock);
    n = from->taken < from->room ? from->taken : from->room;
    n = n < q->room ? n : q->room;
    for (int64_t i = 0; i < n; i++)
        q->ring[i] = from->ring[(from->taken - n + i) % from->room];
    q->taken = n;
    q->blocked_until = from->blocked_until;
    pthread_mutex_unlock(&q->lock);
    pthread_mutex_unlock(&from->lock);
}

void quota_used(struct quota *q, int64_t *ret_minute, int64_t *ret_hour)
{
    int64_t now, minute = 0, hour = 0;

    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    for (int64_t i = 1; i <= q->taken && i <= q->room; i++) {
        int64_t age = now - q->ring[(q->taken - i) % q->room];

        if (age >= HOUR_MS)
            break;
        hour++;
        minute += age < MINUTE_MS;
    }
    pthread_mutex_unlock(&q->lock);
    *ret_minute = minute;
    *ret_hour = hour;
}
