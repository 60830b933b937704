/* engine.c - see engine.h. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"
#include "work.h"

/* Three notices at once: a hanging mail server holds its share and nothing else, and one of them may wait for its answer for
 * long (ways.c). Six cases: each reads
 * three documents side by side, and a tenant allows 100 calls a minute. Two hunts, each of which may wait
 * minutes for its answer (defender-api.md section 5.3: never more than two or three), have threads of their own. */
#define THREADS          15
#define SHARE_CASES      6
#define SHARE_ISOLATIONS 4
#define SHARE_NOTICES    3
#define SHARE_HEARTBEATS 1
#define SHARE_POLLS      1
#define SHARE_DIGESTS    1
#define SHARE_LEDGER     2
#define SHARE_ACTIONS    2
#define SHARE_QUESTIONS  1
#define SHARE_WAYS       1
#define SHARE_HUNTS      2
#define SHARE_RECONCILE  1
#define SHARE_BURSTS     1
#define SHARE_MUTES      1

/* 1 s, 2 s, 4 s … but never more than 15 min apart: a person who waits for an isolation looks again after
 * a quarter of an hour. */
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   (15 * MINUTE_MS)
/* Nothing is given up before so many tries one after the other, a quarter of an hour of them: cordon or its network may have been
 * away for most of the time. A try that comes so long after the one before it is the first of them: Defender asks to be left
 * alone for a day at most (rest.h). */
#define TRIES_MIN 10
#define PAUSE_MS  (DAY_MS + HOUR_MS)

/* Between two tries to give back a claim on a disk that takes nothing. */
#define GIVE_BACK_MS 500

/* What may not enter a far end that hangs tries again after so long. */
#define HANGS_LOOK_MS (10 * SECOND_MS)

/* While all budgets are used up, a case in so long finds out whether that is still so. */
#define THROTTLE_LOOK_MS (5 * SECOND_MS)

enum err_code engine_new(struct store *store, struct rest *rest, const struct clock *clock,
                         struct runtime *runtime, struct engine **ret, struct err *e)
{
    struct engine *g = calloc(1, sizeof *g);

    if (!g)
        return err_set(e, ERR_NOMEM, "engine");
    g->store = store;
    g->rest = rest;
    g->clock = clock;
    g->began_ms = clock_mono_ms(clock);
    g->began_boot_ms = clock_boot_ms();
    g->began_wall_ms = clock_wall_ms(clock);
    g->here_since_ms = g->began_ms;
    g->runtime = runtime;
    (void)pthread_mutex_init(&g->lock, NULL);
    *ret = g;
    return ERR_OK;
}

static void run(void *ctx, struct work *w)
{
    struct engine *g = ctx;

    g->runs[w->kind](g, w);
}

static void hinted(void *ctx)
{
    engine_kick(ctx);
}

/* mail.to may be another by now. */
static void ask_now(struct engine *g)
{
    struct err e;

    atomic_store(&g->asks_owed, true);
    if (engine_ask_owed(g, &e))
        log_event(LOG_WARN, "not_hurried", LOG_ERR(&e));
}

enum err_code engine_ask_owed(struct engine *g, struct err *e)
{
    enum err_code code;

    if (!atomic_load(&g->asks_owed))
        return ERR_OK;
    code = store_work_ask_now(g->store, e);
    if (code)
        return code;
    atomic_store(&g->asks_owed, false);
    engine_kick(g);
    return ERR_OK;
}

enum err_code engine_start(struct engine *g, const engine_run runs[WORK_KINDS], struct err *e)
{
    const struct workers_options options = {
        .store = g->store,
        .threads = THREADS,
        .share = {[WORK_CASE] = SHARE_CASES,
                  [WORK_ISOLATION] = SHARE_ISOLATIONS,
                  [WORK_NOTICE] = SHARE_NOTICES,
                  [WORK_HEARTBEAT] = SHARE_HEARTBEATS,
                  [WORK_POLL] = SHARE_POLLS,
                  [WORK_DIGEST] = SHARE_DIGESTS,
                  [WORK_LEDGER] = SHARE_LEDGER,
                  [WORK_ACTION] = SHARE_ACTIONS,
                  [WORK_QUESTION] = SHARE_QUESTIONS,
                  [WORK_WAY] = SHARE_WAYS,
                  [WORK_HUNT] = SHARE_HUNTS,
                  [WORK_RECONCILE] = SHARE_RECONCILE,
                  [WORK_BURST] = SHARE_BURSTS,
                  [WORK_MUTE] = SHARE_MUTES},
        .crowd = g->crowd,
        .here_since = &g->here_since_ms,
        .run = run,
        .ctx = g,
    };
    enum err_code code;

    memcpy(g->runs, runs, sizeof g->runs);
    /* SQLite's lock file says that this process is alone with the store, so every lease is a dead one's. Among
     * replicas leases run out. */
    code = db_is_shared(g->store->db) ? store_work_doubt(g->store, e)
                                      : store_work_recover(g->store, e);
    if (!code)
        code = runtime_keep(g->runtime, g->store, e);
    if (!code) /* it may be since the last run */
        ask_now(g);
    if (!code)
        code = workers_start(&options, &g->workers, e);
    return code ? code : db_listen(g->store->db, hinted, g, e);
}

void engine_quiesce(struct engine *g)
{
    workers_quiesce(g->workers);
}

bool engine_wait(struct engine *g, int64_t wait_ms)
{
    return workers_wait(g->workers, wait_ms);
}

bool engine_goes_on(struct engine *g)
{
    return !g->workers || workers_pause(g->workers, 0);
}

void engine_stop(struct engine *g)
{
    db_unlisten(g->store->db);
    workers_stop(g->workers);
    g->workers = NULL;
}

void engine_free(struct engine *g)
{
    if (!g)
        return;
    if (g->workers)
        engine_stop(g);
    runtime_unref(g->runtime);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

struct runtime *engine_runtime(struct engine *g)
{
    struct runtime *r;

    pthread_mutex_lock(&g->lock);
    r = runtime_ref(g->runtime);
    pthread_mutex_unlock(&g->lock);
    return r;
}

bool engine_is_in_force(struct engine *g, const struct runtime *rt)
{
    bool same;

    pthread_mutex_lock(&g->lock);
    same = g->runtime == rt;
    pthread_mutex_unlock(&g->lock);
    return same;
}

bool engine_may_be_newer(const struct work *w, int64_t now)
{
    int64_t age = now - w->created; /* less than nothing: of a replica whose clock is ahead */

    return age >= -WORK_SKEW_MS && age < ENGINE_NEWER_CONFIG_MS;
}

bool engine_may_wait_for(const struct engine *g, int64_t since, int64_t now)
{
    return db_is_shared(g->store->db) && engine_may_be_newer(&(struct work){.created = since}, now);
}

enum err_code engine_unknown(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                             const struct work *w, bool *ret_over, struct err *e)
{
    int64_t now = clock_wall_ms(g->clock);
    bool in_force = engine_is_in_force(g, rt);
    bool newer = in_force && db_is_shared(g->store->db) && engine_may_be_newer(w, now);

    *ret_over = in_force && !newer;
    return *ret_over ? ERR_OK
                     : work_again(tx, w, newer ? now + ENGINE_NEWER_CONFIG_LOOK_MS : now,
                                  w->attempts - (w->attempts > 0), e);
}

static bool is_same_list(const struct text_list *a, const struct text_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; i < a->count && same; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

/* Who could not be asked by the one before: he was not in mail.to, there was no mail server, or another policy was in force than
 * the one that a question was asked by. */
static bool asks_others(const struct config *before, const struct config *now)
{
    return !is_same_list(&before->mail.to, &now->mail.to) ||
           (!before->mail.server && now->mail.server) ||
           strcmp(policy_hash(before->policy), policy_hash(now->policy)) != 0;
}

void engine_use(struct engine *g, struct runtime *r)
{
    struct runtime *old;
    struct err e;
    bool others;

    pthread_mutex_lock(&g->lock);
    old = g->runtime;
    others = asks_others(old->config, r->config);
    runtime_inherit(r, old);
    pthread_mutex_unlock(&g->lock);
    if (runtime_keep(r, g->store, &e)) /* a new tenant's; it is counted all the same */
        log_event(LOG_WARN, "calls_not_noted", LOG_ERR(&e));
    pthread_mutex_lock(&g->lock);
    g->runtime = r;
    pthread_mutex_unlock(&g->lock);
    runtime_unref(old);
    if (store_work_try_now(g->store, &e))
        log_event(LOG_WARN, "not_hurried", LOG_ERR(&e)); /* they come when they are due */
    if (others)
        ask_now(g);
    engine_kick(g);
}

/* The place of a row in posts[], or -1. Those that have rested are free. */
static int post_locked(struct engine *g, int64_t row_id)
{
    int64_t now = clock_mono_ms(g->clock);
    int place = -1;

    for (int i = 0; i < ENGINE_POSTS_MAX; i++) {
        if (g->posts[i].until_ms && now >= g->posts[i].until_ms)
            g->posts[i].id = g->posts[i].until_ms = 0;
        if (g->posts[i].id == row_id)
            place = i;
    }
    return place;
}

bool engine_post_begins(struct engine *g, int64_t row_id)
{
    int place = -1;

    pthread_mutex_lock(&g->lock);
    if (post_locked(g, row_id) < 0)
        place = post_locked(g, 0);
    if (place >= 0) {
        g->posts[place].id = row_id;
        g->posts[place].rests = false;
        g->posts[place].next.id = 0;
    }
    pthread_mutex_unlock(&g->lock);
    return place >= 0;
}

void engine_post_ended(struct engine *g, int64_t row_id)
{
    struct work next = {.id = 0};
    bool rests = false;
    int place;

    pthread_mutex_lock(&g->lock);
    place = post_locked(g, row_id);
    if (place >= 0) {
        next = g->posts[place].next;
        rests = g->posts[place].rests;
        g->posts[place].next.id = 0;
        if (rests)
            g->posts[place].until_ms = clock_mono_ms(g->clock) + WORK_SETTLE_MS;
        else
            g->posts[place].id = 0;
    }
    pthread_mutex_unlock(&g->lock);
    if (!next.id)
        return;
    engine_give_back(g, &next, rests ? WORK_SETTLE_MS : 0);
    engine_kick(g);
}

int64_t engine_post_wait(struct engine *g, const struct work *w)
{
    int64_t wait = 0;
    int place;

    pthread_mutex_lock(&g->lock);
    place = post_locked(g, w->id);
    if (place >= 0 && g->posts[place].until_ms) {
        wait = g->posts[place].until_ms - clock_mono_ms(g->clock);
    } else if (place >= 0) {
        g->posts[place].next = *w;
        wait = INT64_MAX;
    }
    pthread_mutex_unlock(&g->lock);
    return wait;
}

/* Is its POST under way here? Then it rests once that has ended. */
static bool let_post_rest(struct engine *g, int64_t row_id)
{
    bool posting;
    int place;

    pthread_mutex_lock(&g->lock);
    place = post_locked(g, row_id);
    posting = place >= 0 && !g->posts[place].until_ms;
    if (posting)
        g->posts[place].rests = true;
    pthread_mutex_unlock(&g->lock);
    return posting;
}

void engine_post_is_lost(struct engine *g, int64_t row_id)
{
    (void)let_post_rest(g, row_id);
}

/* The low bits of ids begin anew each millisecond: multiplied by 2^64 / phi, the high ones say most. */
static size_t judged_place(int64_t case_id, size_t probe)
{
    size_t first =
        (size_t)((uint64_t)case_id * UINT64_C(0x9e3779b97f4a7c15) >> (64 - ENGINE_JUDGED_BITS));

    return (first + probe) % (1 << ENGINE_JUDGED_BITS);
}

void engine_judged(struct engine *g, int64_t case_id)
{
    size_t place = judged_place(case_id, 0);

    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < ENGINE_JUDGED_PROBES && g->judged[place].id != case_id; i++) {
        size_t other = judged_place(case_id, i);

        if (g->judged[other].id == case_id || !g->judged[other].id ||
            (g->judged[place].id && g->judged[other].mono_ms < g->judged[place].mono_ms))
            place = other; /* its own, a free one, or else the oldest */
    }
    g->judged[place].id = case_id;
    g->judged[place].mono_ms = clock_mono_ms(g->clock);
    pthread_mutex_unlock(&g->lock);
}

void engine_forget_judged(struct engine *g, int64_t case_id)
{
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < ENGINE_JUDGED_PROBES; i++) {
        size_t place = judged_place(case_id, i);

        if (g->judged[place].id == case_id)
            g->judged[place].id = 0;
    }
    pthread_mutex_unlock(&g->lock);
}

int64_t engine_judged_ago(struct engine *g, int64_t case_id)
{
    int64_t ago = INT64_MAX;

    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < ENGINE_JUDGED_PROBES; i++) {
        size_t place = judged_place(case_id, i);

        if (g->judged[place].id == case_id)
            ago = clock_mono_ms(g->clock) - g->judged[place].mono_ms;
    }
    pthread_mutex_unlock(&g->lock);
    return ago;
}

bool engine_was_here(struct engine *g, int64_t for_ms)
{
    return clock_mono_ms(g->clock) - atomic_load(&g->here_since_ms) >= for_ms;
}

void engine_kick(struct engine *g)
{
    if (g->workers)
        workers_kick(g->workers);
}

void engine_kick_cases(struct engine *g)
{
    if (g->workers)
        workers_kick_for(g->workers, WORK_CASE);
}

bool engine_reserve(struct engine *g)
{
    return workers_reserve(g->workers, WORK_CASE);
}

void engine_hand_over(struct engine *g, const struct work *w)
{
    if (w)
        workers_hand_over(g->workers, w);
    else
        workers_let_go(g->workers, WORK_CASE);
}

bool engine_is_crowded(struct engine *g, enum work_kind kind)
{
    return atomic_load(&g->crowd[kind]);
}

void engine_claim_more(struct engine *g, const struct work *w, size_t max, struct work ret[],
                       size_t *ret_count)
{
    enum work_kind kind = w->kind;
    size_t room[WORK_KINDS] = {0};
    int64_t next;
    enum err_code code;
    struct err e;

    *ret_count = 0;
    room[kind] = max;
    code = g->workers ? workers_claim(g->workers, room, max, ret, ret_count, &next, &e)
                      : store_work_claim(g->store, "alone", room, max, ret, ret_count, &next, &e);
    if (code) {
        log_event(e.code == ERR_AGAIN && db_is_shared(g->store->db) ? LOG_WARN : LOG_ERROR,
                  "claim_failed", LOG_ERR(&e));
        *ret_count = 0;
    }
    if (g->workers)
        workers_keep_more(g->workers, w, ret, *ret_count);
    if (*ret_count < max)
        atomic_store(&g->crowd[kind], false);
}

bool engine_enter(struct engine *g, const struct work *w, const char *far_end, size_t of)
{
    if (!g->workers || of < 2 || workers_enter(g->workers, w, far_end))
        return true;
    engine_give_back(g, w, HANGS_LOOK_MS);
    return false;
}

void engine_hold(struct engine *g, enum work_kind kind, int64_t hold_ms)
{
    if (g->workers && hold_ms > 0)
        workers_hold(g->workers, kind, hold_ms);
}

int64_t engine_backoff(int64_t attempts, int64_t retry_ms)
{
    int64_t wait = BACKOFF_FIRST_MS, jitter = 0;
    uint32_t r;

    for (int64_t i = 1; i < attempts && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait > BACKOFF_MAX_MS)
        wait = BACKOFF_MAX_MS;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) == sizeof r)
        jitter = (int64_t)(r % 400) - 200; /* per mille */
    wait += wait * jitter / 1000;
    return wait > retry_ms ? wait : retry_ms;
}

int64_t engine_wait_after(const struct work *w, const struct err *why)
{
    if (why->code == ERR_THROTTLED && why->retry_ms > 0)
        return why->retry_ms;
    return engine_backoff(w->attempts, why->retry_ms);
}

int64_t engine_attempts_after(const struct work *w, const struct err *why)
{
    return why->code == ERR_THROTTLED && w->attempts > 0 ? w->attempts - 1 : w->attempts;
}

bool engine_is_given_up(struct work *w, int64_t now, int64_t last, int64_t for_ms, struct err *why)
{
    bool paused = now - last > PAUSE_MS, old = now - w->created >= for_ms;

    if (paused)
        w->attempts = 1;
    /* For engine_attempts_after it was no attempt. One that waits for hours counts as all that would have fitted in. */
    if (old && why->code == ERR_THROTTLED) {
        int64_t wait = engine_backoff(w->attempts, why->retry_ms);

        w->attempts += 1 + wait / BACKOFF_MAX_MS;
        why->retry_ms = wait;
    }
    return old && !paused && w->attempts >= TRIES_MIN;
}

void engine_throttled(struct engine *g, struct runtime *rt)
{
    int64_t wait = THROTTLE_LOOK_MS;

    for (size_t i = 0; i < rt->config->n_tenants; i++) {
        int64_t own = quota_wait(rt->tenants[i].quota, false);

        wait = own < wait ? own : wait;
    }
    if (wait > 0 && g->workers)
        workers_hold(g->workers, WORK_CASE, wait);
}

int64_t engine_late_due(int64_t now, int64_t due, int64_t since)
{
    int64_t late = since + ENGINE_LATE_MS;

    return now < late && late < due ? late : due;
}

bool engine_is_late(int64_t now, int64_t since)
{
    return now - since >= ENGINE_LATE_MS || since - now >= ENGINE_LATE_MS;
}

struct return_of {
    const struct work *const *claims;
    size_t n;
    int64_t due;
    bool tried; /* what was claimed counts as an attempt */
};

static enum err_code return_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct return_of *r = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < r->n && !code; i++) {
        const struct work *w = r->claims[i];

        code = work_again(tx, w, r->due, w->attempts - (!r->tried && w->attempts > 0), e);
    }
    return code;
}

static void return_claim(struct engine *g, const struct work *w, int64_t delay_ms, bool tried)
{
    struct return_of r = {.claims = &w, .n = 1, .tried = tried};
    enum err_code code;
    struct err e;

    if (let_post_rest(g, w->id) && delay_ms < WORK_SETTLE_MS)
        delay_ms = WORK_SETTLE_MS;
    /* What could not be written down because the disk is full or broken would otherwise wait for the end of
     * its lease. While nothing can be written, this thread has nothing better to do. */
    do {
        r.due = clock_wall_ms(g->clock) + delay_ms;
        code = db_write(g->store->db, return_fn, &r, &e);
    } while ((code == ERR_AGAIN || code == ERR_IO) && g->workers &&
             clock_wall_ms(g->clock) < w->lease_end && workers_pause(g->workers, GIVE_BACK_MS));
    if (code)
        log_event(LOG_WARN, "work_not_given_back",
                  LOG_ID(w->kind == WORK_CASE ? "case" : "work", w->id), LOG_ERR(&e));
}

void engine_again(struct engine *g, const struct work *w, int64_t delay_ms)
{
    return_claim(g, w, delay_ms, true);
}

void engine_retry(struct engine *g, const struct work *w)
{
    return_claim(g, w, engine_backoff(w->attempts, 0), true);
}

void engine_give_back(struct engine *g, const struct work *w, int64_t delay_ms)
{
    return_claim(g, w, delay_ms, false);
}

void engine_give_back_all(struct engine *g, const struct work *const claims[], size_t n)
{
    struct return_of r = {.claims = claims, .n = n, .due = clock_wall_ms(g->clock)};
    struct err e;

    if (!n)
        return;
    if (db_write(g->store->db, return_fn, &r,
                 &e)) /* one that was lost is none of the others' affair */
        for (size_t i = 0; i < n; i++)
            return_claim(g, claims[i], 0, false);
    engine_kick(g);
}
