/* quota.c - see quota.h.
 *
 * The times of the last calls stand in a ring, so that both windows slide exactly: the call
 * made `per_minute` calls ago must be a minute old, the one made `per_hour` calls ago an hour. A
 * bucket that refills would let through up to twice the limit within one of Defender's minutes.
 *
 * Shared, the store decides, a slice of calls at a time; the ring then counts this process's own part.
 * Slices of reads and of actions are apart, so that reads never use up what was kept for actions.
 */
#include "quota.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store_quota.h"

/* Calls of each window that reads leave to actions: a fifth. */
#define RESERVE_PART 5

#define SLICE_HOLD_MS (10 * SECOND_MS) /* a slice that is not used up by then goes back */
#define SLICE_PART    10               /* of what a minute allows, in one slice */

/* defender-api.md section 7.4; the first row is the configuration's. 0: no limit of its own. */
static const struct {
    const char *name;
    int64_t per_minute, per_hour;
} classes[QUOTA_CLASSES] = {
    [QUOTA_ALL] = {"all", 0, 0},
    [QUOTA_ALERT_UPDATES] = {"alert_updates", 10, 500},
    [QUOTA_ALERT_CREATE] = {"alert_create", 15, 0},
    [QUOTA_LIVE_RESPONSE] = {"live_response", 10, 0},
    [QUOTA_PACKAGE_URI] = {"package_uri", 2, 120},
    [QUOTA_INDICATORS] = {"indicators", 30, 1500},
};

struct ring {
    int64_t per_minute, per_hour;
    int64_t taken; /* calls ever; call number n is at at[n % room] */
    int64_t room;  /* of at: the larger of the two limits */
    int64_t *at;   /* mono ms */
    int64_t unnoted;
    int64_t blocked_until; /* mono ms */
};

struct slice {
    int64_t id, left, until; /* mono ms */
};

struct quota {
    _Atomic int refs;
    /* takes its calls since a reload that left it out of force; a reference */
    _Atomic(struct quota *) heir;
    const struct clock *clock;
    pthread_mutex_t lock;
    struct ring rings[QUOTA_CLASSES];
    struct store *store; /* NULL: kept nowhere */
    char *app;
    _Atomic(enum quota_keeping) keeping;
    pthread_mutex_t slicing; /* held while a slice is asked for: one at a time */
    struct slice slices[2];  /* of reads, of actions */
    int64_t empty_until[2];  /* mono ms: the store said that there is none before */
};

static enum err_code ring_new(struct ring *r, int64_t per_minute, int64_t per_hour)
{
    r->per_minute = per_minute;
    r->per_hour = per_hour ? per_hour : per_minute * 60;
    r->room = r->per_hour > r->per_minute ? r->per_hour : r->per_minute;
    r->at = calloc((size_t)r->room, sizeof *r->at);
    return r->at ? ERR_OK : ERR_NOMEM;
}

enum err_code quota_new(int64_t per_minute, int64_t per_hour, const struct clock *clock,
                        struct quota **ret, struct err *e)
{
    struct quota *q = calloc(1, sizeof *q);
    enum err_code code = q ? ring_new(&q->rings[QUOTA_ALL], per_minute, per_hour) : ERR_NOMEM;

    for (int c = QUOTA_ALL + 1; c < QUOTA_CLASSES && !code; c++)
        code = ring_new(&q->rings[c], classes[c].per_minute, classes[c].per_hour);
    if (code) {
        for (int c = 0; q && c < QUOTA_CLASSES; c++)
            free(q->rings[c].at);
        free(q);
        return err_set(e, ERR_NOMEM, "quota");
    }
    q->refs = 1;
    q->clock = clock;
    (void)pthread_mutex_init(&q->lock, NULL); /* cannot fail without attributes on Linux */
    (void)pthread_mutex_init(&q->slicing, NULL);
    *ret = q;
    return ERR_OK;
}

/* Who is at work by a configuration of before takes its calls where all do. */
static struct quota *in_force(struct quota *q)
{
    for (struct quota *heir; (heir = atomic_load(&q->heir)) != NULL;)
        q = heir;
    return q;
}

/* ---- windows ----------------------------------------------------------------------------------- */

/* How long until fewer than `limit` calls lie within the last window_ms; 0: now. */
static int64_t wait_for(const struct ring *r, int64_t limit, int64_t window_ms, int64_t now)
{
    int64_t end;

    if (r->taken < limit)
        return 0;
    end = r->at[(r->taken - limit) % r->room] + window_ms;
    return end > now ? end - now : 0;
}

static int64_t less_reserve(int64_t limit, bool action)
{
    int64_t left = action ? limit : limit - limit / RESERVE_PART;

    return left > 0 ? left : 1;
}

static int64_t wait_locked(const struct quota *q, enum quota_class class, bool action, int64_t now)
{
    const struct ring *r = &q->rings[class];
    int64_t wait = r->blocked_until > now ? r->blocked_until - now : 0;
    int64_t minute = wait_for(r, less_reserve(r->per_minute, action), MINUTE_MS, now);
    int64_t hour = wait_for(r, less_reserve(r->per_hour, action), HOUR_MS, now);

    wait = minute > wait ? minute : wait;
    return hour > wait ? hour : wait;
}

static int64_t used_within(const struct ring *r, int64_t window_ms, int64_t now)
{
    int64_t n = 0;

    while (n < r->taken && n < r->room && now - r->at[(r->taken - n - 1) % r->room] < window_ms)
        n++;
    return n;
}

static void count_locked(struct ring *r, int64_t now)
{
    r->at[r->taken++ % r->room] = now;
    r->unnoted++;
}

static int64_t own_wait(struct quota *q, bool action, int64_t now)
{
    int64_t wait = wait_locked(q, QUOTA_ALL, action, now);
    int64_t empty = q->empty_until[action] - now;

    return empty > wait ? empty : wait;
}

int64_t quota_wait(struct quota *q, bool action)
{
    int64_t wait;

    q = in_force(q);
    pthread_mutex_lock(&q->lock);
    wait = own_wait(q, action, clock_mono_ms(q->clock));
    pthread_mutex_unlock(&q->lock);
    return wait;
}

bool quota_is_blocked(struct quota *q)
{
    bool blocked;

    q = in_force(q);
    pthread_mutex_lock(&q->lock);
    blocked = q->rings[QUOTA_ALL].blocked_until > clock_mono_ms(q->clock);
    pthread_mutex_unlock(&q->lock);
    return blocked;
}

int64_t quota_wait_for(struct quota *q, bool action, int64_t calls)
{
    const struct ring *r;
    int64_t now, wait, minute, hour, per_minute, per_hour;

    q = in_force(q);
    r = &q->rings[QUOTA_ALL];
    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    per_minute = less_reserve(r->per_minute, action) - calls + 1;
    per_hour = less_reserve(r->per_hour, action) - calls + 1;
    minute = wait_for(r, per_minute > 0 ? per_minute : 1, MINUTE_MS, now);
    hour = wait_for(r, per_hour > 0 ? per_hour : 1, HOUR_MS, now);
    wait = own_wait(q, action, now);
    wait = minute > wait ? minute : wait;
    wait = hour > wait ? hour : wait;
    pthread_mutex_unlock(&q->lock);
    return wait;
}

int64_t quota_per_minute(struct quota *q)
{
    return in_force(q)->rings[QUOTA_ALL].per_minute;
}

int64_t quota_room(struct quota *q, bool action)
{
    const struct ring *r;
    int64_t now, room = 0, minute, hour;

    q = in_force(q);
    r = &q->rings[QUOTA_ALL];
    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    if (!own_wait(q, action, now)) {
        minute = less_reserve(r->per_minute, action) - used_within(r, MINUTE_MS, now);
        hour = less_reserve(r->per_hour, action) - used_within(r, HOUR_MS, now);
        room = minute < hour ? minute : hour;
    }
    pthread_mutex_unlock(&q->lock);
    return room > 0 ? room : 0;
}

int quota_pressure(struct quota *q)
{
    const struct ring *r;
    int64_t now, used, all;

    q = in_force(q);
    r = &q->rings[QUOTA_ALL];
    all = less_reserve(r->per_minute, false);
    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    used = own_wait(q, false, now) ? all : used_within(r, MINUTE_MS, now);
    pthread_mutex_unlock(&q->lock);
    return used >= all ? 1000 : (int)(used * 1000 / all);
}

/* ---- the store --------------------------------------------------------------------------------- */

/* Notes calls when there are enough of them; at the end, all. Noted late, they count from later than they
 * were made, which errs on the safe side. */
static void note(struct quota *q, bool all)
{
    int64_t calls[QUOTA_CLASSES] = {0};

    if (!q->store || q->keeping != QUOTA_ALONE)
        return;
    pthread_mutex_lock(&q->lock);
    for (int c = 0; c < QUOTA_CLASSES; c++) {
        struct ring *r = &q->rings[c];

        if (r->unnoted && (all || r->unnoted >= QUOTA_NOTE_CALLS)) {
            calls[c] = r->unnoted;
            r->unnoted = 0;
        }
    }
    pthread_mutex_unlock(&q->lock);
    for (int c = 0; c < QUOTA_CLASSES; c++)
        if (calls[c])
            store_quota_note(q->store, q->app, classes[c].name, calls[c]);
}

void quota_free(struct quota *q)
{
    if (!q || --q->refs)
        return;
    note(q, true);
    quota_free(q->heir);
    for (int c = 0; c < QUOTA_CLASSES; c++)
        free(q->rings[c].at);
    pthread_mutex_destroy(&q->slicing);
    pthread_mutex_destroy(&q->lock);
    free(q->app);
    free(q);
}

struct remembering {
    struct quota *q;
    struct ring *ring;
    int64_t wall, mono;
};

static void remember(void *ctx, int64_t at, int64_t calls)
{
    struct remembering *m = ctx;
    int64_t age = m->wall - at > 0 ? m->wall - at : 0; /* the clock was set back: as if made now */

    for (int64_t i = 0; i < calls; i++)
        m->ring->at[m->ring->taken++ % m->ring->room] = m->mono - age;
}

enum err_code quota_keep(struct quota *q, struct store *store, const char *app,
                         enum quota_keeping keeping, struct err *e)
{
    struct remembering m = {
        .q = q, .wall = clock_wall_ms(q->clock), .mono = clock_mono_ms(q->clock)};
    char *copy = strdup(app);

    if (!copy)
        return err_set(e, ERR_NOMEM, "quota");
    for (int c = 0; c < QUOTA_CLASSES && keeping == QUOTA_ALONE; c++) {
        int64_t until = 0;
        enum err_code code;

        m.ring = &q->rings[c];
        code = store_quota_load(store, app, classes[c].name, remember, &m, &until, e);
        if (code) {
            free(copy);
            return code;
        }
        if (until > m.wall && until - m.wall < DAY_MS) /* more, and the clock was set back */
            m.ring->blocked_until = m.mono + until - m.wall;
    }
    free(q->app);
    q->app = copy;
    q->store = store;
    q->keeping = keeping;
    return ERR_OK;
}

bool quota_is_kept(struct quota *q)
{
    return q->store != NULL;
}

void quota_share(struct quota *q)
{
    note(q, true); /* what it has taken alone counts for all */
    q->keeping = QUOTA_SHARED;
}

/* ---- taking ------------------------------------------------------------------------------------ */

static enum err_code refused(struct quota *q, enum quota_class class, int64_t wait, struct err *e)
{
    (void)err_set(e, ERR_THROTTLED,
                  "the tenant's budget of %lld calls a minute and %lld an hour is used%s%s",
                  (long long)q->rings[class].per_minute, (long long)q->rings[class].per_hour,
                  class == QUOTA_ALL ? "" : ": ", class == QUOTA_ALL ? "" : classes[class].name);
    if (e)
        e->retry_ms = wait;
    return ERR_THROTTLED;
}

static bool take_of_slice(struct quota *q, bool action)
{
    struct slice *s = &q->slices[action];
    int64_t now;
    bool taken;

    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    taken = s->left > 0 && s->until > now && q->rings[QUOTA_ALL].blocked_until <= now;
    if (taken) {
        s->left--;
        count_locked(&q->rings[QUOTA_ALL], now);
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

/* Asks the store for `want` calls of a class. ERR_OK with slice->calls 0: there are none. */
static enum err_code ask(struct quota *q, enum quota_class class, bool action, int64_t want,
                         struct quota_slice *slice, struct err *e)
{
    const struct ring *r = &q->rings[class];

    slice->app = q->app;
    slice->class = classes[class].name;
    slice->per_minute = less_reserve(r->per_minute, action);
    slice->per_hour = less_reserve(r->per_hour, action);
    slice->want = want > 0 ? want : 1;
    slice->hold_ms = SLICE_HOLD_MS;
    return store_quota_take(q->store, slice, e);
}

static enum err_code take_shared(struct quota *q, bool action, struct err *e)
{
    struct quota_slice slice = {0};
    enum err_code code = ERR_OK;
    int64_t wait;

    if (take_of_slice(q, action))
        return ERR_OK;
    wait = quota_wait(q, action);
    if (wait)
        return refused(q, QUOTA_ALL, wait, e);
    pthread_mutex_lock(&q->slicing);
    while (!code && !take_of_slice(q, action)) { /* another thread may have fetched one */
        pthread_mutex_lock(&q->lock);
        slice.last_id = q->slices[action].id;
        slice.last_left = q->slices[action].left;
        pthread_mutex_unlock(&q->lock);
        code = ask(q, QUOTA_ALL, action, q->rings[QUOTA_ALL].per_minute / SLICE_PART, &slice, e);
        if (code)
            break;
        pthread_mutex_lock(&q->lock);
        q->slices[action] = (struct slice){.id = slice.calls ? slice.id : 0,
                                           .left = slice.calls,
                                           .until = clock_mono_ms(q->clock) + SLICE_HOLD_MS};
        if (!slice.calls) /* others may give some back before */
            q->empty_until[action] = clock_mono_ms(q->clock) + slice.wait_ms;
        pthread_mutex_unlock(&q->lock);
        if (!slice.calls)
            code = refused(q, QUOTA_ALL, slice.wait_ms, e);
    }
    pthread_mutex_unlock(&q->slicing);
    return code;
}

/* One call of an API with limits of its own. */
static enum err_code take_own(struct quota *q, enum quota_class class, bool action, struct err *e)
{
    int64_t now, wait;

    if (q->store && q->keeping == QUOTA_SHARED) {
        struct quota_slice slice = {0};
        enum err_code code = ask(q, class, action, 1, &slice, e);

        return code || slice.calls ? code : refused(q, class, slice.wait_ms, e);
    }
    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    wait = wait_locked(q, class, action, now);
    if (!wait)
        count_locked(&q->rings[class], now);
    pthread_mutex_unlock(&q->lock);
    return wait ? refused(q, class, wait, e) : ERR_OK;
}

enum err_code quota_take_class(struct quota *q, enum quota_class class, bool action, struct err *e)
{
    enum err_code code = ERR_OK;

    q = in_force(q);
    if (class != QUOTA_ALL)
        code = take_own(q, class, action, e);
    if (!code)
        code = q->store && q->keeping == QUOTA_SHARED ? take_shared(q, action, e)
                                                      : take_own(q, QUOTA_ALL, action, e);
    if (!code)
        note(q, false);
    return code;
}

enum err_code quota_take(struct quota *q, bool action, struct err *e)
{
    return quota_take_class(q, QUOTA_ALL, action, e);
}

void quota_block_class(struct quota *q, enum quota_class class, int64_t retry_ms)
{
    struct ring *r;
    int64_t until;
    bool longer;

    q = in_force(q);
    r = &q->rings[class];
    pthread_mutex_lock(&q->lock);
    until = clock_mono_ms(q->clock) + retry_ms;
    longer = until > r->blocked_until;
    if (longer)
        r->blocked_until = until;
    pthread_mutex_unlock(&q->lock);
    if (longer && q->store)
        store_quota_note_block(q->store, q->app, classes[class].name,
                               clock_wall_ms(q->clock) + retry_ms);
}

void quota_block(struct quota *q, int64_t retry_ms)
{
    quota_block_class(q, QUOTA_ALL, retry_ms);
}

static void inherit_ring(struct ring *to, struct ring *from)
{
    int64_t n = from->taken < from->room ? from->taken : from->room;

    n = n < to->room ? n : to->room;
    for (int64_t i = 0; i < n; i++)
        to->at[i] = from->at[(from->taken - n + i) % from->room];
    to->taken = n;
    to->unnoted = from->unnoted;
    to->blocked_until = from->blocked_until;
    from->unnoted = 0;
}

static bool has_same_limits(const struct quota *a, const struct quota *b)
{
    return a->rings[QUOTA_ALL].per_minute == b->rings[QUOTA_ALL].per_minute &&
           a->rings[QUOTA_ALL].per_hour == b->rings[QUOTA_ALL].per_hour;
}

/* One that is not bound to a store yet may be later, and not while others use it. */
void quota_inherit(struct quota **place, struct quota *from)
{
    struct quota *q = *place;

    if (q == from || q->refs > 1) /* it has one of before, which others use */
        return;
    if (from->store && has_same_limits(q, from)) {
        from->refs++;
        *place = from;
        quota_free(q);
        return;
    }
    pthread_mutex_lock(&from->lock);
    pthread_mutex_lock(&q->lock);
    for (int c = 0; c < QUOTA_CLASSES; c++)
        inherit_ring(&q->rings[c], &from->rings[c]);
    if (from->store &&
        (q->app || (q->app = strdup(from->app)))) { /* without memory: kept nowhere */
        q->store = from->store;
        q->keeping = from->keeping;
    }
    pthread_mutex_unlock(&q->lock);
    pthread_mutex_unlock(&from->lock);
}

void quota_leave_to(struct quota *from, struct quota *heir)
{
    if (from == heir || from->heir || !heir->store)
        return;
    heir->refs++;
    from->heir = heir;
}

void quota_used(struct quota *q, int64_t *ret_minute, int64_t *ret_hour)
{
    const struct ring *r = &q->rings[QUOTA_ALL];
    int64_t now;

    pthread_mutex_lock(&q->lock);
    now = clock_mono_ms(q->clock);
    *ret_minute = used_within(r, MINUTE_MS, now);
    *ret_hour = used_within(r, HOUR_MS, now);
    pthread_mutex_unlock(&q->lock);
}
