/* upkeep.c - see upkeep.h.
 *
 * Transactions are small, because deliveries that arrive meanwhile wait for the same disk; and a look has a
 * bound, so that a store that was away for long is caught up with over some minutes. Several replicas may
 * do this side by side: what one has forgotten the other does not find.
 */
#include "upkeep.h"

#include <pthread.h>
#include <stdlib.h>

#include "log.h"
#include "store_upkeep.h"

#define LOOK_MS MINUTE_MS
#define SIZE_MS (5 * SECOND_MS) /* what comes in between is little beside any limit: 1,000 pushes */
#define LEAP_MS HOUR_MS         /* of the wall clock: it is to be seen whether it stays there */
#define ROWS    200             /* in one transaction: some milliseconds of the writer's time */
#define CASES   20              /* the same: each takes its steps, notices and recipients along */
#define ROUNDS                                                                                     \
    500 /* in one look: 100,000 deliveries, 10,000 cases a minute, more than arrive for long */
#define FILLS_PART 80 /* percent of the limit from which people are warned */
#define ROOM_PART  95 /* percent of it below which the door is opened again: else it would swing */

enum fill { FILL_FINE, FILL_WARNED, FILL_FULL };

struct upkeep {
    struct store *store;
    struct metrics *metrics;
    bool (*filled)(void *engine, bool full, int64_t used, int64_t max);
    bool (*clock_is_doubtful)(void *engine);
    void *engine;
    pthread_mutex_t lock; /* of stopping, woken, limits */
    pthread_cond_t cond;
    pthread_t thread;
    bool stopping, woken;
    struct upkeep_limits limits;
    int64_t settle_ms;
    /* the thread's own */
    enum fill fill;
    bool told; /* people know whether it is full */
};

static bool is_stopping(struct upkeep *u)
{
    bool stopping;

    pthread_mutex_lock(&u->lock);
    stopping = u->stopping;
    pthread_mutex_unlock(&u->lock);
    return stopping;
}

static struct upkeep_limits limits_of(struct upkeep *u)
{
    struct upkeep_limits limits;

    pthread_mutex_lock(&u->lock);
    limits = u->limits;
    pthread_mutex_unlock(&u->lock);
    return limits;
}

/* ---- forgetting ------------------------------------------------------------------------------- */

static void forget_deliveries(struct upkeep *u)
{
    int64_t forgotten = 0, count = ROWS;

    for (int i = 0; i < ROUNDS && count == ROWS && !is_stopping(u); i++) {
        struct err e;

        if (store_forget_deliveries(u->store, ROWS, &count, &e)) {
            log_event(LOG_WARN, "upkeep_failed", LOG_ERR(&e)); /* the next look tries again */
            return;
        }
        forgotten += count;
    }
    metrics_add(u->metrics, METRIC_FORGOTTEN, forgotten, "delivery", NULL);
    if (forgotten)
        log_event(LOG_DEBUG, "deliveries_forgotten", LOG_INT("count", forgotten));
}

/* now: the wall clock, as it was looked at. It may leap meanwhile. */
static void forget_cases(struct upkeep *u, int64_t now)
{
    struct forgotten all = {0}, n = {.cases = CASES};
    int64_t keep_ms = limits_of(u).keep_ms;

    if (!keep_ms)
        return;
    for (int i = 0;
         i < ROUNDS && !is_stopping(u) &&
         (n.cases == CASES || n.isolations == CASES || n.notices == CASES || n.questions == CASES);
         i++) {
        struct err e;

        if (store_forget_cases(u->store, now, keep_ms, CASES, &n, &e)) {
            log_event(LOG_WARN, "upkeep_failed", LOG_ERR(&e));
            break;
        }
        all.cases += n.cases;
        all.isolations += n.isolations;
        all.notices += n.notices;
        all.questions += n.questions;
    }
    metrics_add(u->metrics, METRIC_FORGOTTEN, all.cases, "case", NULL);
    metrics_add(u->metrics, METRIC_FORGOTTEN, all.isolations, "isolation", NULL);
    metrics_add(u->metrics, METRIC_FORGOTTEN, all.notices, "notice", NULL);
    metrics_add(u->metrics, METRIC_FORGOTTEN, all.questions, "question", NULL);
    if (all.cases || all.isolations || all.notices || all.questions)
        log_event(LOG_INFO, "cases_forgotten", LOG_INT("cases", all.cases),
                  LOG_INT("isolations", all.isolations), LOG_INT("notices", all.notices),
                  LOG_INT("questions", all.questions));
}

/* What is forgotten by a wrong clock is gone. */
static void forget(struct upkeep *u, int64_t now, bool settled)
{
    forget_deliveries(u);
    if (settled)
        forget_cases(u, now);
}

/* ---- the limit -------------------------------------------------------------------------------- */

static void tell_fill(enum fill fill, int64_t used, int64_t max)
{
    static const struct {
        enum log_level level;
        const char *event, *why;
    } words[] = {
        [FILL_FINE] = {LOG_INFO, "store_has_room", "notifications are accepted"},
        [FILL_WARNED] = {LOG_WARN, "store_fills",
                         "when it reaches store.max_size nothing new is accepted: give it more "
                         "room, or a shorter retention"},
        [FILL_FULL] = {LOG_ERROR, "store_full",
                       "nothing new is accepted until there is room: give it more "
                       "(store.max_size), or a shorter retention; what was accepted goes on"},
    };

    log_event(words[fill].level, words[fill].event, LOG_INT("used", used), LOG_INT("limit", max),
              LOG_STR("why", words[fill].why));
}

static enum fill judge(enum fill before, int64_t used, int64_t max)
{
    if (max && used >= max)
        return FILL_FULL;
    if (max && before == FILL_FULL && used / 100 >= max / 100 * ROOM_PART / 100)
        return FILL_FULL;
    return max && used / 100 >= max / 100 * FILLS_PART / 100 ? FILL_WARNED : FILL_FINE;
}

static void look_at_size(struct upkeep *u)
{
    int64_t used = 0, spare = 0, max = limits_of(u).max_bytes;
    enum fill fill;
    struct err e;

    if (db_room(u->store->db, &used, &spare, &e))
        return; /* db_health says what is wrong with the store; the next look tries again */
    fill = judge(u->fill, used, max);
    if ((fill == FILL_FULL) != (u->fill == FILL_FULL))
        u->told = false;
    u->store->full = fill == FILL_FULL;
    if (fill != u->fill)
        tell_fill(fill, used, max);
    u->fill = fill;
    if (!u->told)
        u->told = !u->filled || u->filled(u->engine, fill == FILL_FULL, used, max);
}

/* ---- the thread ------------------------------------------------------------------------------- */

/* Sleeps until the next look at the size, or until somebody calls: true. */
static bool sleep_a_while(struct upkeep *u)
{
    const struct timespec until = clock_cond_until(SIZE_MS);
    bool woken;

    pthread_mutex_lock(&u->lock);
    while (!u->stopping && !u->woken && pthread_cond_timedwait(&u->cond, &u->lock, &until) == 0)
        ; /* woken without a reason */
    woken = u->woken;
    u->woken = false;
    pthread_mutex_unlock(&u->lock);
    return woken;
}

static void *run(void *arg)
{
    struct upkeep *u = arg;
    int64_t look = INT64_MIN; /* mono ms of the next one */
    int64_t settled = clock_mono_ms(clock_system()) + u->settle_ms;
    int64_t ahead = INT64_MAX; /* the wall clock, of the other */

    while (!is_stopping(u)) {
        int64_t now, before = ahead;
        bool doubtful;

        look_at_size(u); /* first: at the start the door stands open */
        /* before the clock is read: it may be set right meanwhile, and what was read would be of before */
        doubtful = u->clock_is_doubtful && u->clock_is_doubtful(u->engine);
        now = clock_mono_ms(clock_system());
        ahead = clock_wall_ms(u->store->clock) - now;
        if (before < ahead - LEAP_MS)
            settled = now + u->settle_ms;
        /* in doubt at the next look at the size: after a start somebody says what time it is within a moment */
        if (now >= look && !doubtful) {
            look = now + LOOK_MS;
            forget(u, now + ahead, now >= settled);
        }
        if (sleep_a_while(u))
            look = INT64_MIN;
    }
    return NULL;
}

enum err_code upkeep_start(const struct upkeep_options *o, struct upkeep **ret, struct err *e)
{
    struct upkeep *u = calloc(1, sizeof *u);

    if (!u)
        return err_set(e, ERR_NOMEM, "upkeep");
    u->store = o->store;
    u->metrics = o->metrics;
    u->limits = o->limits;
    u->settle_ms = o->settle_ms;
    u->filled = o->filled;
    u->clock_is_doubtful = o->clock_is_doubtful;
    u->engine = o->engine;
    (void)pthread_mutex_init(&u->lock, NULL);
    clock_cond_init(&u->cond);
    if (pthread_create(&u->thread, NULL, run, u)) {
        pthread_cond_destroy(&u->cond);
        pthread_mutex_destroy(&u->lock);
        free(u);
        return err_set(e, ERR_NOMEM, "cannot start a thread");
    }
    *ret = u;
    return ERR_OK;
}

void upkeep_use(struct upkeep *u, const struct upkeep_limits *limits)
{
    pthread_mutex_lock(&u->lock);
    u->limits = *limits;
    u->woken = true;
    pthread_cond_signal(&u->cond);
    pthread_mutex_unlock(&u->lock);
}

void upkeep_stop(struct upkeep *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->stopping = true;
    pthread_cond_signal(&u->cond);
    pthread_mutex_unlock(&u->lock);
    (void)pthread_join(u->thread, NULL);
    pthread_cond_destroy(&u->cond);
    pthread_mutex_destroy(&u->lock);
    free(u);
}
