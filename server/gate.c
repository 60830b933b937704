/* gate.c - see gate.h.
 *
 * A bucket is one number, the time at which it will be full again ("generic cell rate algorithm", ITU-T
 * I.371 annex A): a token taken moves it by the time one token takes to come back. A bucket that was never
 * used and one that is full look alike, so a slot needs no mark of being free. Beside it stands what that time
 * was, so that a rate that is raised holds at once: what is owed is tokens, not hours.
 *
 * Addresses live in sets of WAYS slots, chosen by a keyed hash. Where a set has no room, the newcomer takes
 * the slot whose bucket is fullest, *and its bucket as it is*: debt leaves the table by time alone. So nobody
 * empties his own bucket by pushing it out with other addresses (he would find another's debt, at least as
 * large as what the set has forgotten of his), and a newcomer is never worse off than the best in his set. Full
 * buckets go first, and to hold buckets down takes a flood each: those of GATE_SLOTS addresses at the usual
 * rate would take over a million bad requests a second.
 * Dropped: forgetting the oldest (a scan from a large network resets every bucket), and growing.
 */
#include "gate.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#define WAYS      16
#define SETS      (GATE_SLOTS / WAYS)
#define NS_PER_MS 1000000

#define BLAME_MAX                                                                                  \
    50 /* tokens: 400 refusals at once and 20 a second, at the usual rate of an address */

struct bucket {
    int64_t full_ns;     /* mono; not after now: it is full */
    int64_t interval_ns; /* between two tokens, by the rate it was last asked with; 0: never yet */
};

struct slot {
    uint64_t key[2];
    struct bucket bucket;
};

struct source_bucket {
    struct source_bucket *next;
    struct bucket bucket;
    char name[];
};

struct gate {
    const struct clock *clock;
    uint64_t seed[2];
    pthread_mutex_t lock; /* of all below; held for less than a microsecond */
    struct source_bucket *sources;
    int64_t told_ms;   /* of the last line; not yet: far in the past */
    int64_t people_ms; /* likewise of the last message to people */
    int64_t minute_ms, in_minute;
    struct gate_flood flood;
    struct slot slots[SETS][WAYS];
};

enum err_code gate_new(const struct clock *clock, struct gate **ret, struct err *e)
{
    struct gate *g = calloc(1, sizeof *g);

    if (!g)
        return err_set(e, ERR_NOMEM, "gate");
    if (getrandom(g->seed, sizeof g->seed, 0) != (ssize_t)sizeof g->seed) {
        free(g);
        return err_set(e, ERR_IO, "getrandom: no randomness");
    }
    g->clock = clock;
    g->told_ms = g->people_ms = INT64_MIN / 2;
    (void)pthread_mutex_init(&g->lock, NULL); /* cannot fail without attributes on Linux */
    *ret = g;
    return ERR_OK;
}

void gate_free(struct gate *g)
{
    struct source_bucket *next;

    if (!g)
        return;
    for (struct source_bucket *s = g->sources; s; s = next) {
        next = s->next;
        free(s);
    }
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* ---- one bucket -------------------------------------------------------------------------------- */

bool gate_rate_is_sound(const struct gate_rate *r)
{
    return r->requests > 0 && r->requests <= GATE_REQUESTS_MAX && r->per_ms > 0 &&
           r->per_ms <= GATE_FILL_MAX_MS && r->burst > 0 && r->burst <= GATE_REQUESTS_MAX &&
           r->burst * r->per_ms / r->requests <= GATE_FILL_MAX_MS;
}

/* Brings b to the rate r, and what it owes to at most two bursts: one that was used, and one of blame. Blame of
 * another rate is forgotten. */
static void settle(struct bucket *b, int64_t now, const struct gate_rate *r)
{
    int64_t interval = r->per_ms * NS_PER_MS / r->requests;
    int64_t owed = b->full_ns > now ? b->full_ns - now : 0;

    if (b->interval_ns && b->interval_ns != interval) {
        int64_t tokens = (owed + b->interval_ns - 1) / b->interval_ns;

        owed = (tokens < r->burst ? tokens : r->burst) * interval;
    }
    if (owed > 2 * r->burst * interval)
        owed = 2 * r->burst * interval;
    b->full_ns = now + owed;
    b->interval_ns = interval;
}

/* ms until there is a token; 0: there is, and take takes it. */
static int64_t ask(struct bucket *b, int64_t now, const struct gate_rate *r, bool take)
{
    int64_t early;

    settle(b, now, r);
    early = b->full_ns + b->interval_ns - now - b->interval_ns * r->burst;
    if (early > 0)
        return (early + NS_PER_MS - 1) / NS_PER_MS;
    if (take)
        b->full_ns += b->interval_ns;
    return 0;
}

/* ---- addresses --------------------------------------------------------------------------------- */

/* One 64-bit block each way is a bijection of it (the finisher of MurmurHash3): only the seed says which
 * addresses share a set. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static struct slot *slot_locked(struct gate *g, const unsigned char address[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct slot *set, *fullest;
    uint64_t key[2];

    memcpy(key, address, sizeof key);
    if (memcmp(address, mapped, sizeof mapped) != 0)
        key[1] = 0; /* whoever has one address of a /64 has them all */
    set = g->slots[mix(mix(key[0] ^ g->seed[0]) ^ key[1] ^ g->seed[1]) % SETS];
    fullest = set;
    for (struct slot *s = set; s < set + WAYS; s++) {
        if (s->key[0] == key[0] && s->key[1] == key[1])
            return s;
        if (s->bucket.full_ns < fullest->bucket.full_ns)
            fullest = s;
    }
    memcpy(fullest->key, key, sizeof key); /* and its bucket as it is */
    return fullest;
}

int64_t gate_enter(struct gate *g, const unsigned char address[16], const struct gate_rate *r)
{
    int64_t wait;

    pthread_mutex_lock(&g->lock);
    wait = ask(&slot_locked(g, address)->bucket, clock_mono_ms(g->clock) * NS_PER_MS, r, true);
    pthread_mutex_unlock(&g->lock);
    return wait;
}

int64_t gate_blame_cost(const struct gate_rate *r)
{
    int64_t part = r->burst / 100;

    return part < 2 ? 2 : part > BLAME_MAX ? BLAME_MAX : part;
}

void gate_blame(struct gate *g, const unsigned char address[16], const struct gate_rate *r)
{
    struct bucket *b;
    int64_t now;

    pthread_mutex_lock(&g->lock);
    b = &slot_locked(g, address)->bucket;
    now = clock_mono_ms(g->clock) * NS_PER_MS;
    settle(b, now, r);
    b->full_ns += b->interval_ns * gate_blame_cost(r);
    settle(b, now, r); /* requests that came side by side: no endless debt */
    pthread_mutex_unlock(&g->lock);
}

/* ---- sources ----------------------------------------------------------------------------------- */

/* NULL: out of memory. */
static struct source_bucket *source_locked(struct gate *g, const char *name)
{
    size_t size = strlen(name) + 1;
    struct source_bucket *s = g->sources;

    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    if (s || !(s = malloc(sizeof *s + size)))
        return s;
    memcpy(s->name, name, size);
    s->bucket = (struct bucket){0};
    s->next = g->sources;
    g->sources = s;
    return s;
}

static int64_t ask_source(struct gate *g, const char *source, const struct gate_rate *r, bool take)
{
    struct source_bucket *s;
    int64_t wait;

    pthread_mutex_lock(&g->lock);
    s = source_locked(g, source);
    wait = s ? ask(&s->bucket, clock_mono_ms(g->clock) * NS_PER_MS, r, take) : 0;
    pthread_mutex_unlock(&g->lock);
    return wait;
}

int64_t gate_source_wait(struct gate *g, const char *source, const struct gate_rate *r)
{
    return ask_source(g, source, r, false);
}

int64_t gate_source_take(struct gate *g, const char *source, const struct gate_rate *r)
{
    return ask_source(g, source, r, true);
}

/* ---- telling of it ----------------------------------------------------------------------------- */

static void copy(char *out, size_t size, const char *text)
{
    size_t len = text ? strnlen(text, size - 1) : 0;

    if (len)
        memcpy(out, text, len);
    out[len] = '\0';
}

/* Is it so heavy that people should know? Asked once per request that was turned away. */
static bool heavy_locked(struct gate *g, int64_t now)
{
    if (now - g->minute_ms >= GATE_LOG_MS) {
        g->minute_ms = now;
        g->in_minute = 0;
    }
    if (++g->in_minute != GATE_HEAVY || now - g->people_ms < GATE_PEOPLE_MS)
        return false;
    g->people_ms = now;
    return true;
}

enum gate_tell gate_flood(struct gate *g, const char *client, const char *source,
                          struct gate_flood *ret)
{
    enum gate_tell tell = 0;
    int64_t now;

    pthread_mutex_lock(&g->lock);
    now = client || g->flood.count ? clock_mono_ms(g->clock) : 0;
    if (client) {
        g->flood.count++;
        copy(g->flood.client, sizeof g->flood.client, client);
        copy(g->flood.source, sizeof g->flood.source, source);
    }
    if (client && heavy_locked(g, now)) {
        *ret = g->flood;
        ret->count = g->in_minute;
        tell = GATE_PEOPLE;
    } else if (g->flood.count && now - g->told_ms >= GATE_LOG_MS) {
        *ret = g->flood;
        g->flood.count = 0;
        g->told_ms = now;
        tell = GATE_LOG;
    }
    pthread_mutex_unlock(&g->lock);
    return tell;
}

void gate_untold(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->people_ms = INT64_MIN / 2;
    pthread_mutex_unlock(&g->lock);
}
