/* work.c - see work.h.
 *
 * The queue between dispatcher and workers has one place for each thread: what stands in it was
 * claimed for a worker that is idle. The first worker is there from the start, the others are started when a row
 * finds none asleep: most servers never need all of them, and each takes time of the start and some pages.
 * Waiting uses the monotonic clock; due times are wall clock, so a
 * wall clock that jumps is noticed after LOOK_MS at the latest.
 */
#include "work.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "id.h"
#include "log.h"
#include "store_heartbeats.h"

#define LOOK_MS       5000      /* work that a replica made due, or a kick that got lost */
#define SET_BACK_MS   MINUTE_MS /* of the wall clock, and due times are mended */
#define SET_AHEAD_MS  SECOND_MS /* of the wall clock, and leases are renewed */
#define AWAY_MS       MINUTE_MS /* between two turns, of which there is one every LOOK_MS */
#define STORE_SICK_MS 1000      /* pause after a claim or a renewal that failed */

/* A far end at which a run is for so long hangs, until one is over sooner. Calls wait for a minute at most. */
#define HANGS_MS     (15 * SECOND_MS)
#define HANGING_MAX  64 /* that are remembered; of others each run finds out anew */
#define FAR_END_SIZE 80

/* A claimed row, in the queue or at work, and what its run claimed beside it. */
struct held {
    struct work w;     /* id 0: free */
    int64_t keep;      /* mono ms: when the leases are to be renewed */
    struct work *more; /* n_more of them; some may be over already */
    size_t n_more;
    char far_end[FAR_END_SIZE]; /* that the run is at; "": none */
    int64_t entered;            /* mono ms */
};

/* A far end at which the last run of this kind was for long. */
struct hanging {
    enum work_kind kind;
    char far_end[FAR_END_SIZE]; /* "": free */
};

struct workers {
    struct workers_options o;
    const struct clock *clock;
    char owner[64];
    pthread_mutex_t lock;
    pthread_cond_t dispatcher_cond, worker_cond;
    pthread_cond_t stop_cond; /* stopping is set */
    pthread_t dispatcher, *threads;
    unsigned started; /* worker threads; no more once `closing` is set */
    unsigned asleep;  /* of them; one that was woken counts until it has the lock */
    struct work *queue;
    unsigned queue_head, queue_len;
    unsigned idle, busy[WORK_KINDS]; /* busy: reserved, queued or running */
    unsigned reserved;               /* idle workers that a row is promised to */
    struct held *held;               /* a place for each thread */
    int64_t hold_until[WORK_KINDS];  /* mono ms */
    struct hanging hanging[HANGING_MAX];
    bool claiming; /* a claim is on its way to the disk: all idle workers are spoken for */
    /* how far the wall clock was ahead of the one that never jumps when all leases were good */
    _Atomic int64_t ahead;
    int64_t leapt; /* mono: since when others may have to renew theirs, too; 0: they have not */
    int64_t leapt_ahead; /* as `ahead`, at that time */
    atomic_bool kicked;
    bool stopping, dispatcher_started; /* no more claims */
    bool closing;                      /* workers leave when the queue is empty */
};

static void wait_for(struct workers *p, pthread_cond_t *cond, int64_t mono_ms)
{
    struct timespec ts = {.tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000};

    (void)pthread_cond_timedwait(cond, &p->lock, &ts);
}

static void wait_until(struct workers *p, int64_t mono_ms)
{
    wait_for(p, &p->dispatcher_cond, mono_ms);
}

/* How much room each kind has now, and when the first hold of one that has room ends. */
static bool find_room(const struct workers *p, int64_t now, size_t room[WORK_KINDS],
                      int64_t *ret_wake)
{
    bool any = false;

    for (int k = 0; k < WORK_KINDS; k++) {
        room[k] = 0;
        if (p->busy[k] >= p->o.share[k])
            continue;
        if (p->hold_until[k] > now) {
            if (p->hold_until[k] < *ret_wake)
                *ret_wake = p->hold_until[k];
            continue;
        }
        room[k] = p->o.share[k] - p->busy[k];
        any = true;
    }
    return any;
}

static void *serve(void *arg);

static bool start_worker(struct workers *p)
{
    if (pthread_create(&p->threads[p->started], NULL, serve, p))
        return false;
    p->started++;
    return true;
}

/* A claimed row for the next idle worker. */
static void enqueue(struct workers *p, const struct work *w)
{
    assert(p->queue_len < p->o.threads); /* no more is claimed than there are idle workers */
    for (unsigned i = 0; i < p->o.threads; i++)
        if (!p->held[i].w.id) {
            p->held[i] = (struct held){.w = *w, .keep = clock_mono_ms(p->clock) + WORK_KEEP_MS};
            break;
        }
    p->queue[(p->queue_head + p->queue_len++) % p->o.threads] = *w;
    if (p->queue_len > p->asleep && p->started < p->o.threads && !p->closing && !start_worker(p))
        log_event(LOG_WARN, "worker_not_started", LOG_STR("why", "the row waits for another"));
    pthread_cond_signal(&p->worker_cond);
}

static struct held *find_held(struct workers *p, const struct work *w)
{
    for (unsigned i = 0; i < p->o.threads; i++)
        if (p->held[i].w.id == w->id && p->held[i].w.fence == w->fence)
            return &p->held[i];
    return NULL;
}

/* Where a far end stands among those that hang; if it does not, a free place with add, else NULL. */
static struct hanging *find_hanging(struct workers *p, enum work_kind kind, const char *far_end,
                                    bool add)
{
    struct hanging *free_one = NULL;

    for (size_t i = 0; i < HANGING_MAX; i++) {
        struct hanging *h = &p->hanging[i];

        if (h->kind == kind && strcmp(h->far_end, far_end) == 0)
            return h;
        if (!h->far_end[0])
            free_one = h;
    }
    return add ? free_one : NULL;
}

static void leave(struct workers *p, const struct held *h)
{
    bool hung = clock_mono_ms(p->clock) - h->entered >= HANGS_MS;
    struct hanging *known = find_hanging(p, h->w.kind, h->far_end, hung);

    if (known && hung) {
        known->kind = h->w.kind;
        memcpy(known->far_end, h->far_end, FAR_END_SIZE);
    } else if (known) {
        known->far_end[0] = '\0';
    }
}

static void let_go(struct workers *p, const struct work *w)
{
    struct held *h = find_held(p, w);

    if (!h)
        return;
    if (h->far_end[0])
        leave(p, h);
    free(h->more);
    *h = (struct held){0};
}

/* All whose time it is to be renewed, on the heap; NULL: none, or no memory, and then at the next look. */
static struct work *due_to_be_kept(struct workers *p, int64_t now, size_t *ret_n)
{
    struct work *rows;
    size_t n = 0;

    for (unsigned i = 0; i < p->o.threads; i++)
        if (p->held[i].w.id && p->held[i].keep <= now)
            n += 1 + p->held[i].n_more;
    rows = n ? calloc(n, sizeof *rows) : NULL;
    if (!rows)
        return NULL;
    n = 0;
    for (unsigned i = 0; i < p->o.threads; i++) {
        struct held *h = &p->held[i];

        if (!h->w.id || h->keep > now)
            continue;
        rows[n++] = h->w;
        for (size_t k = 0; k < h->n_more; k++)
            rows[n++] = h->more[k];
        h->keep = now + WORK_KEEP_MS;
    }
    *ret_n = n;
    return rows;
}

static int64_t ahead_now(const struct workers *p)
{
    return clock_wall_ms(p->clock) - clock_mono_ms(p->clock);
}

static void hurry_the_leases(struct workers *p)
{
    for (unsigned i = 0; i < p->o.threads; i++)
        p->held[i].keep = 0;
}

/* Replicas on one host, or whose hosts are set right together, have the same new time at once, by which the leases of all may have
 * run out: each has had a turn in so long, and has renewed its own. ahead: of the wall clock, now. */
static bool others_renew_theirs(struct workers *p, int64_t ahead, int64_t now)
{
    if (!db_is_shared(p->o.store->db) || ahead <= atomic_load(&p->ahead) + WORK_KEEP_MS) {
        p->leapt = 0;
    } else if (!p->leapt || ahead > p->leapt_ahead + WORK_KEEP_MS) { /* again: so have they */
        p->leapt = now;
        p->leapt_ahead = ahead;
    }
    return p->leapt && now - p->leapt < WORK_KEEP_MS;
}

/* Renews the leases of what is at work for long, and all of them when the wall clock was set ahead, by which they may have run
 * out: what is at work would be run a second time beside it. false: the store did not take it, which may be so for longer than they
 * last, or others are at it still; until it does nothing is to be claimed. Drops the lock meanwhile. */
static bool mind_the_leases(struct workers *p)
{
    const int64_t ahead = ahead_now(p);
    const bool early = others_renew_theirs(p, ahead, clock_mono_ms(p->clock));
    enum err_code code = ERR_OK;
    struct work *rows;
    size_t n = 0;
    struct err e;

    if (ahead > atomic_load(&p->ahead) + SET_AHEAD_MS)
        hurry_the_leases(p);
    rows = due_to_be_kept(p, clock_mono_ms(p->clock), &n);
    if (rows) {
        pthread_mutex_unlock(&p->lock);
        code = store_work_keep(p->o.store, rows, n, &e);
        if (code)
            log_event(LOG_WARN, "leases_not_renewed", LOG_ERR(&e)); /* others may take over soon */
        free(rows);
        pthread_mutex_lock(&p->lock);
    }
    if (code)
        hurry_the_leases(p);
    else if (!early)
        atomic_store(&p->ahead, ahead);
    return !code && !early;
}

enum err_code workers_claim(struct workers *p, const size_t room[WORK_KINDS], size_t max,
                            struct work *ret, size_t *ret_count, int64_t *ret_next, struct err *e)
{
    return store_work_claim_by(p->o.store, p->owner, atomic_load(&p->ahead) + SET_AHEAD_MS, room,
                               max, ret, ret_count, ret_next, e);
}

/* What the clocks said at the dispatcher's last turn. */
struct turn {
    int64_t wall, ahead; /* ahead: the wall clock, of the one that never jumps */
};

static struct turn turn_now(const struct workers *p)
{
    int64_t wall = clock_wall_ms(p->clock);

    return (struct turn){wall, wall - clock_mono_ms(p->clock)};
}

/* Due times are wall clock. When it is set back, what was due in a minute is due in an hour and a minute:
 * noticed by the clock that never jumps. And there is a turn every few seconds: when the last one is long ago, the clock was
 * set ahead, or this machine or process was suspended, or the store took nothing, and nobody could be heard. That is noted
 * before anything is run which is due by it, and when the store can take it: what it refuses is noticed anew at the next turn.
 * Drops the lock meanwhile. */
static void mind_the_clock(struct workers *p, struct turn *last)
{
    const struct turn now = turn_now(p);
    const int64_t away = now.wall - last->wall;
    bool noted = true;
    struct err e;

    if (db_health(p->o.store->db, &e))
        return;
    if (now.ahead < last->ahead - SET_BACK_MS) {
        log_event(LOG_WARN, "clock_set_back", LOG_INT("ms", last->ahead - now.ahead));
        pthread_mutex_unlock(&p->lock);
        noted = !store_work_hurry(p->o.store, &e);
        if (!noted)
            log_event(LOG_ERROR, "claim_failed", LOG_ERR(&e));
        pthread_mutex_lock(&p->lock);
    }
    if (away > AWAY_MS) {
        log_event(LOG_WARN, "was_away", LOG_INT("ms", away));
        if (p->o.here_since)
            atomic_store(p->o.here_since, clock_mono_ms(p->clock));
        pthread_mutex_unlock(&p->lock);
        if (store_heartbeats_away(p->o.store, p->owner, away, &e)) {
            log_event(LOG_ERROR, "heartbeat_not_written", LOG_ERR(&e));
            noted = false;
        }
        pthread_mutex_lock(&p->lock);
    }
    if (noted)
        *last = now;
}

/* Claims into the queue; returns when to look again (mono ms; now: at once). Drops the lock meanwhile. */
static int64_t fill(struct workers *p, const size_t room[WORK_KINDS], size_t max, int64_t now,
                    struct turn *last)
{
    struct work claimed[64];
    size_t n = 0, taken[WORK_KINDS] = {0};
    int64_t next = WORK_PARKED, wall;
    struct err e;
    enum err_code code;

    max = max > sizeof claimed / sizeof *claimed ? sizeof claimed / sizeof *claimed : max;
    p->claiming = true;
    pthread_mutex_unlock(&p->lock);
    code = workers_claim(p, room, max, claimed, &n, &next, &e);
    if (code) /* replicas get into each other's way now and then: it is tried again */
        log_event(code == ERR_AGAIN && db_is_shared(p->o.store->db) ? LOG_WARN : LOG_ERROR,
                  "claim_failed", LOG_ERR(&e));
    pthread_mutex_lock(&p->lock);
    mind_the_clock(p, last); /* it was claimed by the time of the transaction */
    p->claiming = false;
    if (p->stopping)
        pthread_cond_broadcast(&p->dispatcher_cond);
    wall = clock_wall_ms(p->clock);
    for (size_t i = 0; i < n; i++)
        taken[claimed[i].kind]++;
    for (int k = 0; k < WORK_KINDS && p->o.crowd; k++) /* which kind is due now is not said */
        if (!code && next <= wall && taken[k] && (taken[k] == room[k] || n == max))
            atomic_store(&p->o.crowd[k], true);
    for (size_t i = 0; i < n; i++) {
        enqueue(p, &claimed[i]);
        p->busy[claimed[i].kind]++;
    }
    if (code)
        return now + STORE_SICK_MS;
    if (next <= wall)
        return now;
    return now + (next - wall < LOOK_MS ? next - wall : LOOK_MS);
}

static void *dispatch(void *arg)
{
    struct workers *p = arg;
    struct turn last = turn_now(p);
    int64_t look = 0;         /* mono ms of the next look */
    int64_t held = INT64_MAX; /* and when the first hold ends */

    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        int64_t now, wake;
        size_t room[WORK_KINDS], idle;
        bool kept, able, kicked;

        mind_the_clock(p, &last);
        kept = mind_the_leases(p);
        now = clock_mono_ms(p->clock);
        wake = now + LOOK_MS;
        idle = p->idle - p->queue_len - p->reserved;
        able = find_room(p, now, room, &wake) && idle > 0;
        kicked = atomic_exchange(&p->kicked, false);
        if (kicked || held <= now)
            look = now;
        if (kicked && !able)
            db_hint(p->o.store->db);
        held = wake < now + LOOK_MS ? wake : INT64_MAX;
        if (!kept)
            wait_until(p, now + STORE_SICK_MS);
        else if (able && look <= now)
            look = fill(p, room, idle, now, &last);
        else
            wait_until(p, able && look < wake ? look : wake);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void *serve(void *arg)
{
    struct workers *p = arg;

    (void)pthread_setname_np(pthread_self(), "worker"); /* not that of whoever needed it */
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct work w;

        while (!p->queue_len && !p->closing) {
            p->asleep++;
            pthread_cond_wait(&p->worker_cond, &p->lock);
            p->asleep--;
        }
        if (!p->queue_len)
            break;
        w = p->queue[p->queue_head];
        p->queue_head = (p->queue_head + 1) % p->o.threads;
        p->queue_len--;
        p->idle--;
        pthread_mutex_unlock(&p->lock);

        p->o.run(p->o.ctx, &w);

        pthread_mutex_lock(&p->lock);
        let_go(p, &w);
        p->idle++;
        p->busy[w.kind]--;
        atomic_store(&p->kicked, true); /* what ran may have made more work due */
        if (p->stopping)
            pthread_cond_broadcast(&p->dispatcher_cond); /* workers_wait waits there, too */
        else
            pthread_cond_signal(&p->dispatcher_cond);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void name_owner(struct workers *p)
{
    char id[ID_TEXT_SIZE];

    (void)snprintf(p->owner, sizeof p->owner, "%ld-%s", (long)getpid(),
                   id_format(id_new(p->clock), id));
}

enum err_code workers_start(const struct workers_options *o, struct workers **ret, struct err *e)
{
    struct workers *p = calloc(1, sizeof *p);
    bool ok;

    if (!p)
        return err_set(e, ERR_NOMEM, "workers");
    p->o = *o;
    p->clock = o->store->clock;
    p->queue = calloc(o->threads, sizeof *p->queue);
    p->threads = calloc(o->threads, sizeof *p->threads);
    p->held = calloc(o->threads, sizeof *p->held);
    atomic_init(&p->ahead, ahead_now(p));
    name_owner(p);
    (void)pthread_mutex_init(&p->lock, NULL);
    clock_cond_init(&p->dispatcher_cond);
    clock_cond_init(&p->stop_cond);
    (void)pthread_cond_init(&p->worker_cond, NULL);
    p->idle = o->threads;
    *ret = p; /* before the first run, which may kick */
    ok = p->queue && p->threads && p->held && start_worker(p);
    if (ok) {
        ok = pthread_create(&p->dispatcher, NULL, dispatch, p) == 0;
        p->dispatcher_started = ok;
    }
    if (!ok) {
        workers_stop(p);
        *ret = NULL;
        return err_set(e, ERR_NOMEM, "cannot start a worker thread");
    }
    return ERR_OK;
}

bool workers_pause(struct workers *p, int64_t pause_ms)
{
    int64_t until = clock_mono_ms(clock_system()) + pause_ms;
    bool go_on;

    pthread_mutex_lock(&p->lock);
    while (!p->stopping && clock_mono_ms(clock_system()) < until)
        wait_for(p, &p->stop_cond, until);
    go_on = !p->stopping;
    pthread_mutex_unlock(&p->lock);
    return go_on;
}

void workers_quiesce(struct workers *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->stop_cond);
    pthread_cond_broadcast(&p->dispatcher_cond);
    pthread_mutex_unlock(&p->lock);
}

bool workers_wait(struct workers *p, int64_t wait_ms)
{
    int64_t until = clock_mono_ms(clock_system()) + wait_ms;
    bool idle;

    pthread_mutex_lock(&p->lock);
    while (!(idle = p->idle == p->o.threads && !p->queue_len && !p->claiming) &&
           clock_mono_ms(clock_system()) < until)
        wait_until(p, until);
    pthread_mutex_unlock(&p->lock);
    return idle;
}

void workers_stop(struct workers *p)
{
    if (!p)
        return;
    workers_quiesce(p);
    if (p->dispatcher_started)
        (void)pthread_join(p->dispatcher, NULL);
    pthread_mutex_lock(&p->lock); /* what the dispatcher claimed last is in the queue now */
    p->closing = true;
    pthread_cond_broadcast(&p->worker_cond);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++)
        (void)pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->dispatcher_cond);
    pthread_cond_destroy(&p->stop_cond);
    pthread_cond_destroy(&p->worker_cond);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p->held);
    free(p->queue);
    free(p);
}

void workers_kick_for(struct workers *p, enum work_kind kind)
{
    bool room;

    /* In a storm this comes with each commit of the intake, and a look is a transaction. A worker that
     * ends looks anyway, and so does the dispatcher when a hold is over. */
    pthread_mutex_lock(&p->lock);
    room = p->idle > p->queue_len + p->reserved && p->busy[kind] < p->o.share[kind] &&
           p->hold_until[kind] <= clock_mono_ms(p->clock);
    pthread_mutex_unlock(&p->lock);
    if (!room && p->o.crowd)
        atomic_store(&p->o.crowd[kind], true);
    if (room)
        workers_kick(p);
    else
        db_hint(p->o.store->db); /* another process may have room */
}

void workers_kick(struct workers *p)
{
    if (atomic_exchange(&p->kicked, true))
        return; /* whoever set it has woken, or will wake, the dispatcher */
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->dispatcher_cond);
    pthread_mutex_unlock(&p->lock);
}

bool workers_reserve(struct workers *p, enum work_kind kind)
{
    bool free_one;

    pthread_mutex_lock(&p->lock);
    free_one = !p->stopping && !p->claiming && p->idle > p->queue_len + p->reserved &&
               p->busy[kind] < p->o.share[kind] && p->hold_until[kind] <= clock_mono_ms(p->clock);
    if (free_one) {
        p->reserved++;
        p->busy[kind]++;
    }
    pthread_mutex_unlock(&p->lock);
    return free_one;
}

void workers_hand_over(struct workers *p, const struct work *w)
{
    pthread_mutex_lock(&p->lock);
    p->reserved--;
    enqueue(p, w);
    pthread_mutex_unlock(&p->lock);
}

void workers_let_go(struct workers *p, enum work_kind kind)
{
    pthread_mutex_lock(&p->lock);
    p->reserved--;
    p->busy[kind]--;
    pthread_mutex_unlock(&p->lock);
    workers_kick(p); /* somebody may have been told meanwhile that there is no room */
}

void workers_hold(struct workers *p, enum work_kind kind, int64_t hold_ms)
{
    int64_t until;

    pthread_mutex_lock(&p->lock);
    until = clock_mono_ms(p->clock) + hold_ms;
    if (until > p->hold_until[kind])
        p->hold_until[kind] = until;
    pthread_mutex_unlock(&p->lock);
}

void workers_keep_more(struct workers *p, const struct work *w, const struct work more[], size_t n)
{
    struct work *all;
    struct held *h;

    pthread_mutex_lock(&p->lock);
    h = find_held(p, w);
    all = h && n ? realloc(h->more, (h->n_more + n) * sizeof *all) : NULL;
    if (all) { /* else their leases may run out, and what comes of them is in vain */
        memcpy(all + h->n_more, more, n * sizeof *all);
        h->more = all;
        h->n_more += n;
    }
    pthread_mutex_unlock(&p->lock);
}

bool workers_enter(struct workers *p, const struct work *w, const char *far_end)
{
    unsigned inside = 0, most = p->o.share[w->kind] > 1 ? p->o.share[w->kind] - 1 : 1;
    char name[FAR_END_SIZE];
    struct held *mine;
    int64_t now;
    bool hangs;

    (void)snprintf(name, sizeof name, "%s", far_end);
    pthread_mutex_lock(&p->lock);
    now = clock_mono_ms(p->clock);
    hangs = find_hanging(p, w->kind, name, false) != NULL;
    for (unsigned i = 0; i < p->o.threads; i++) {
        const struct held *h = &p->held[i];

        if (!h->w.id || h->w.kind != w->kind || strcmp(h->far_end, name) != 0)
            continue;
        inside++;
        hangs = hangs || now - h->entered >= HANGS_MS;
    }
    mine = hangs && inside >= most ? NULL : find_held(p, w);
    if (mine) {
        memcpy(mine->far_end, name, sizeof name);
        mine->entered = now;
    }
    pthread_mutex_unlock(&p->lock);
    return !hangs || inside < most;
}

unsigned workers_busy(struct workers *p)
{
    unsigned busy;

    pthread_mutex_lock(&p->lock);
    busy = p->o.threads - p->idle;
    pthread_mutex_unlock(&p->lock);
    return busy;
}
