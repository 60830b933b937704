/* db_group.c - see db_group.h.
 *
 * A batch runs without savepoints first, because nearly all closures succeed and a savepoint for each
 * costs 2.5 us of the 6 to 15 us that an accepted delivery takes (SQLite copies every page that the
 * closure is the first to touch). When a closure fails:
 *   - it changed nothing (the usual failure: the row was there already): it is answered, the rest
 *     goes on;
 *   - it is alone in its batch: the transaction is rolled back;
 *   - otherwise the whole batch is rolled back and run again, each closure in a savepoint.
 *
 * With several writers (PostgreSQL) the same holds for each of them, side by side. A batch that clashed
 * with another transaction is run again after a moment, and its closures one by one if that goes on: a
 * clash is most likely for the one that does most. 32 closures in a transaction carried a quarter more than one
 * each, 256 hardly more than 32 (tests/bench/db.c, two busy cores), and a clash costs all of a batch.
 *
 * Nobody is answered before the commit returned, not even a closure that failed: what it saw may have
 * been written by its neighbour in the batch. When the commit fails, all of the batch get its error.
 *
 * Dropped: syncing one batch while the next one runs, by a second thread or by the kernel's (IOCB_CMD_FDSYNC). 64 or 256
 * senders got no more through (two cores, medians of six runs): with the cores busy a sync takes as much longer as the
 * closures beside it take, and a second thread costs a fifth more CPU time. Nor do more closures at once help, that came
 * while a batch ran: what bounds 64 senders is how long a sync takes. Nor does a thread of its own that answers one
 * batch while the next one runs (medians of three pairs of three runs, 64 senders: 49,500 a second with it, 51,300 without).
 *
 * After a failure nothing would be written, and so nobody would learn that the disk has room again,
 * if the load balancer in front believed /readyz and kept the requests away: while the last commit
 * failed and nobody asks, the thread tries a harmless write every PROBE_MS.
 */
#include "db_group.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"

/* Often enough that an instance is ready again about as soon as a person looks. */
#define PROBE_MS 1000

/* Nobody has asked for so long: time for the upkeep. An empty queue alone says nothing: with 64 senders at work it
 * is empty after every third commit, and a checkpoint each time took a fifth of the time of all. */
#define IDLE_MS 100

/* A batch that clashes is tried so often, waiting up to twice as long each time; then its closures one by
 * one, for as long as there is time, and twice as often in any case: where every transaction moves one and the same
 * row (the audit's head), a slow one may lose to others a dozen times. All in all less than the ten seconds that a
 * sender waits. */
#define CLASHES_MAX   6
#define CLASH_MOST_MS 64
#define CLASH_FOR_US  (5 * 1000000)

/* A lock takes seconds each time: one that a replica holds which was stopped is free by the second time, and one that an
 * administrator's command holds may stay for hours. Who came together with somebody who waits for it is tried alone, but when
 * the time is over nobody is any more. */
#define LOCKED_FOR_US (CLASH_FOR_US + 1000000)

/* The writer's slice of a core: 0.1 ms is the shortest that the kernel takes. */
#define SLICE_NS 100000

/* Where a new connection was waited for so long in vain, and no other writer has one, those who come in the next moment are told
 * the same at once: else who stands at the end of a long line waits for all before him. */
#define AWAY_US     (1 * 1000000)
#define AWAY_FOR_US (2 * 1000000)

/* Hints to other processes: one in so long, for each wakes all of them. */
#define HINT_MS 20

struct closure {
    struct closure *next;
    bool loose; /* a batch of its own */
    db_fn fn;
    void *arg;
    db_done_fn done;
};

struct writer {
    struct db_group *group;
    struct db_conn *conn; /* NULL: to be connected before the next batch */
    bool tidy;            /* upkeep had its turn since the last batch */
    pthread_t thread;
    struct closure *batch[DB_BATCH_MAX];
    enum err_code codes[DB_BATCH_MAX];
    struct err errs[DB_BATCH_MAX]; /* touched by failures only */
};

struct db_group {
    struct db_group_options o;
    pthread_mutex_t lock; /* all below, but for the writers' own */
    pthread_cond_t work;
    struct closure *first, **last;
    struct closure *spare; /* nodes to use again, at most queue_max and the batches */
    size_t waiting;
    int sleepers;
    bool stopping;
    struct err health; /* of the last commit; code ERR_OK while all is well */
    struct db_counts counts;
    bool hint;         /* to be given */
    int64_t hinted_us; /* the last one was */
    int connected;     /* writers that have a connection */
    int64_t away_until_us;
    struct err away; /* why, until then */
    int n_writers;   /* whose threads run */
    struct writer *writers[DB_WRITERS_MAX];
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- one batch -------------------------------------------------------------------------------- */

/* What damaged the connection, as the error of the whole batch. */
static enum err_code damage_of(const struct db_conn *c, struct err *e)
{
    *e = c->why;
    return e->code;
}

/* settle: its outcome is to be known at once, not with the batch's. */
static enum err_code run_one(struct writer *w, size_t i, bool settle)
{
    const struct db_driver *d = w->conn->driver;
    struct db_tx tx = {.conn = w->conn};
    struct err *e = &w->errs[i];
    enum err_code code;

    e->code = ERR_OK;
    code = w->batch[i]->fn(&tx, w->batch[i]->arg, e);
    assert(tx.rows_open == 0); /* every db_query has its db_rows_end */
    if (!code && settle && d->settle)
        code = d->settle(w->conn, e);
    if (code && e->code != code)
        err_set(e, code, "%s", err_name(code)); /* it gave a code without a sentence */
    return code;
}

/* For fault_twice: as a batch that is run again does it. */
static enum err_code rehearse(struct writer *w, size_t i, struct err *e)
{
    const struct db_driver *d = w->conn->driver;
    enum err_code code = d->savepoint(w->conn, e);

    if (code)
        return code;
    (void)run_one(w, i, true);
    return w->conn->damage ? damage_of(w->conn, e) : d->savepoint_back(w->conn, e);
}

struct outcome {
    bool begun; /* closures ran */
    bool again; /* rolled back because one failed: run it with savepoints */
    bool wrote; /* something was committed; it took this long: */
    int64_t commit_us;
};

/* Runs n closures of w->batch in one transaction, each in a savepoint or none. Not ERR_OK: nothing of it
 * happened, and this is everybody's answer. */
static enum err_code transact(struct writer *w, size_t from, size_t n, bool savepoints,
                              struct outcome *ret, struct err *e)
{
    const struct db_driver *d = w->conn->driver;
    enum err_code code = d->begin(w->conn, w->batch[from]->loose, e);
    bool wrote = false;
    int64_t start;

    *ret = (struct outcome){0};
    if (code)
        return code;
    ret->begun = true;
    for (size_t i = from; i < from + n; i++) {
        int64_t before;

        if (fault_twice() && (code = rehearse(w, i, e)))
            goto undo;
        before = d->changes(w->conn);
        if (savepoints && (code = d->savepoint(w->conn, e)))
            goto undo;
        w->codes[i] = run_one(w, i, savepoints || n == 1);
        if (w->conn->damage) {
            code = damage_of(w->conn, e);
            goto undo;
        }
        if (savepoints) {
            code = w->codes[i] ? d->savepoint_back(w->conn, e) : d->savepoint_forget(w->conn, e);
            if (code)
                goto undo;
        } else if (w->codes[i] && d->changes(w->conn) != before) {
            ret->again = n > 1;
            goto undo; /* code is ERR_OK: the closure alone has failed */
        }
        if (!w->codes[i] && d->changes(w->conn) != before)
            wrote = true;
    }
    if (!savepoints && n > 1 && d->settle && d->settle(w->conn, e)) {
        code = w->conn->damage ? damage_of(w->conn, e) : ERR_OK;
        ret->again = !code; /* somebody's statement failed: whose, the savepoints will show */
        goto undo;
    }
    if (wrote)
        fault_point("before a commit");
    start = now_us();
    code = d->commit(w->conn, e);
    ret->commit_us = now_us() - start;
    ret->wrote = wrote && !code;
    if (ret->wrote)
        fault_point("after a commit, before its answers");
    return code;
undo:
    d->rollback(w->conn);
    return code;
}

/* A new connection for a writer that has none. */
static enum err_code connect_writer(struct writer *w, struct err *e)
{
    struct db_group *g = w->group;
    int64_t began = now_us();
    enum err_code code = ERR_OK;

    (void)pthread_mutex_lock(&g->lock);
    if (!g->connected && began < g->away_until_us) {
        *e = g->away;
        code = e->code;
    }
    (void)pthread_mutex_unlock(&g->lock);
    if (code)
        return code;
    code = g->o.driver->connect(g->o.store, DB_WRITER, &w->conn, e);
    if (code && code != ERR_AGAIN && code != ERR_NOMEM)
        e->code = code = ERR_IO; /* what would have stopped the start is a failed write by now */
    if (code)
        (void)err_in(e, "open the database again");
    (void)pthread_mutex_lock(&g->lock);
    if (!code) {
        g->connected++;
    } else if (now_us() - began >= AWAY_US) {
        g->away_until_us = now_us() + AWAY_FOR_US;
        g->away = *e;
    }
    (void)pthread_mutex_unlock(&g->lock);
    return code;
}

static void disconnect_writer(struct writer *w)
{
    struct db_group *g = w->group;

    g->o.driver->disconnect(w->conn);
    w->conn = NULL;
    (void)pthread_mutex_lock(&g->lock);
    g->connected--;
    (void)pthread_mutex_unlock(&g->lock);
}

/* Makes the connection fit for a transaction, reconnecting when the last one left it damaged. */
static enum err_code make_ready(struct writer *w, struct err *e)
{
    struct db_group_options *o = &w->group->o;
    bool all;

    if (w->conn && w->conn->damage < DB_CONN_LOST) {
        w->conn->damage = DB_SOUND; /* DB_TX_LOST: that transaction is over */
        return ERR_OK;
    }
    if (w->conn) {
        all = w->conn->damage == DB_STORE_LOST;
        assert(!all || o->driver->writers == 1);
        if (all)
            o->quiesce(o->ctx);
        disconnect_writer(w);
        if (all)
            o->resume(o->ctx);
    }
    return connect_writer(w, e);
}

/* Writes down how the last commit went, and says so in the log when that is news. */
static void note(struct db_group *g, const struct err *e, const struct outcome *o)
{
    bool was_bad, is_bad = e->code != ERR_OK;

    (void)pthread_mutex_lock(&g->lock);
    was_bad = g->health.code != ERR_OK;
    if (is_bad) {
        g->counts.failures++;
        g->health = *e;
    } else {
        g->counts.commits++;
        g->counts.commit_us_total += o->commit_us;
        g->health.code = ERR_OK;
    }
    (void)pthread_mutex_unlock(&g->lock);
    if (is_bad && !was_bad)
        log_event(LOG_ERROR, "database_failed", LOG_ERR(e));
    else if (was_bad && !is_bad)
        log_event(LOG_INFO, "database_recovered");
}

static enum err_code attempt(struct writer *w, size_t from, size_t n, struct outcome *ret,
                             struct err *e)
{
    enum err_code code = make_ready(w, e);

    if (!code)
        code = transact(w, from, n, false, ret, e);
    /* A connection that was lost while nobody used it has cost nothing: another one. */
    if (code && !ret->begun && w->conn && w->conn->damage == DB_CONN_LOST &&
        w->conn->driver->writers > 1) {
        code = make_ready(w, e);
        if (!code)
            code = transact(w, from, n, false, ret, e);
    }
    if (!code && ret->again)
        code = transact(w, from, n, true, ret, e);
    return code;
}

/* So that those who clashed do not meet again at once. */
static void give_way(int tries)
{
    int64_t most_us = tries < CLASHES_MAX ? 1000 << tries : CLASH_MOST_MS * 1000;
    uint32_t r = 0;
    struct timespec t;

    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
        r = (uint32_t)now_us();
    t = (struct timespec){.tv_nsec = (long)(r % most_us) * 1000};
    (void)nanosleep(&t, NULL);
}

static bool has_clashed(const struct writer *w)
{
    return w->conn && w->conn->damage == DB_TX_CLASH;
}

static bool is_locked_out(const struct writer *w)
{
    return w->conn && w->conn->damage == DB_TX_LOCKED;
}

/* Is one that clashed to be tried again? began_us: when the first of its batch was. */
static bool tries_on(const struct writer *w, size_t n, int tries, int64_t began_us)
{
    int64_t spent = now_us() - began_us;

    if (is_locked_out(w))
        return n == 1 && spent < LOCKED_FOR_US;
    return has_clashed(w) &&
           (tries < CLASHES_MAX || (n == 1 && (tries < 2 * CLASHES_MAX || spent < CLASH_FOR_US)));
}

/* Fills w->codes and w->errs for n closures of w->batch. */
static void run_batch(struct writer *w, size_t from, size_t n, int64_t began_us)
{
    struct err e = {0};
    struct outcome o = {0};
    enum err_code code = attempt(w, from, n, &o, &e);

    for (int tries = 1; code && tries_on(w, n, tries, began_us); tries++) {
        give_way(tries);
        code = attempt(w, from, n, &o, &e);
    }
    if (code && n > 1 && (has_clashed(w) || is_locked_out(w))) {
        for (size_t i = from; i < from + n; i++)
            if (is_locked_out(w) && now_us() - began_us >= LOCKED_FOR_US)
                w->codes[i] = damage_of(w->conn, &w->errs[i]);
            else
                run_batch(w, i, 1, began_us);
        return;
    }
    for (size_t i = from; code && i < from + n; i++) {
        w->codes[i] = code;
        w->errs[i] = e;
    }
    e.code = code;                            /* not that of an earlier try */
    if ((code && !has_clashed(w)) || o.wrote) /* a commit of nothing says nothing about the disk */
        note(w->group, &e, &o);
}

static void answer(struct writer *w, size_t n)
{
    static const struct err fine = {.code = ERR_OK};

    log_gather(); /* they have a line each */
    for (size_t i = 0; i < n; i++)
        w->batch[i]->done(w->batch[i]->arg, w->codes[i], w->codes[i] ? &w->errs[i] : &fine);
    log_release();
}

static bool take_hint(struct db_group *g)
{
    bool taken;

    (void)pthread_mutex_lock(&g->lock);
    taken = g->hint;
    g->hint = false;
    (void)pthread_mutex_unlock(&g->lock);
    return taken;
}

static void do_upkeep(struct writer *w, bool idle)
{
    struct db_group *g = w->group;

    if (!w->conn || w->conn->damage)
        return;
    if (g->o.driver->hint && take_hint(g))
        g->o.driver->hint(w->conn);
    if (g->o.driver->upkeep && !w->conn->damage)
        g->o.driver->upkeep(w->conn, idle);
    if (w->conn->damage)
        note(g, &w->conn->why, NULL);
}

/* ---- the thread ------------------------------------------------------------------------------- */

static enum err_code probe(struct db_tx *tx, void *arg, struct err *e)
{
    struct db_group *g = arg;

    return db_run(tx, e, NULL, g->o.probe_sql, "");
}

static void probe_done(void *arg, enum err_code code, const struct err *e)
{
    (void)arg; /* run_batch wrote down how it went */
    (void)code;
    (void)e;
}

/* Sleeps until somebody calls, at most ms (0: for ever). True: that time passed. */
static bool sleep_locked(struct db_group *g, int ms)
{
    const struct timespec until = clock_cond_until(ms);
    int rc = 0;

    g->sleepers++;
    if (ms)
        rc = pthread_cond_timedwait(&g->work, &g->lock, &until);
    else
        (void)pthread_cond_wait(&g->work, &g->lock);
    g->sleepers--;
    return rc == ETIMEDOUT;
}

/* Takes what waits, up to a batch, into w->batch; blocks while there is nothing. 0: time to end. */
static size_t take(struct writer *w, struct closure *prober)
{
    struct db_group *g = w->group;
    size_t n = 0;

    (void)pthread_mutex_lock(&g->lock);
    while (!g->first && !g->stopping) {
        bool bad = g->health.code != ERR_OK;
        bool hint = g->hint && w->conn && !w->conn->damage;

        if (!hint && (!sleep_locked(g, bad       ? PROBE_MS
                                       : w->tidy ? 0
                                                 : IDLE_MS) ||
                      g->first || g->stopping))
            continue;
        if (bad && !hint) {
            w->batch[n++] = prober;
            break;
        }
        (void)pthread_mutex_unlock(&g->lock);
        do_upkeep(w, true);
        w->tidy = true;
        (void)pthread_mutex_lock(&g->lock);
    }
    while (g->first && n < g->o.driver->batch_max && n < DB_BATCH_MAX &&
           !(n && (g->first->loose || w->batch[0]->loose))) {
        w->batch[n++] = g->first;
        g->first = g->first->next;
        g->waiting--;
        g->counts.closures++;
    }
    if (!g->first)
        g->last = &g->first;
    (void)pthread_mutex_unlock(&g->lock);
    return n;
}

/* Everybody waits for this thread, and it sleeps at each sync, several times: with the cores busy it then stands in line
 * for one behind those who only make it more work. So it asks for short slices, which come sooner: it gets no more of
 * a core than before (EEVDF, from Linux 6.12; an older kernel takes no notice). */
static void come_soon(void)
{
    struct { /* sched_setattr(2); the C library has no name for it yet */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } a = {.size = sizeof a,
           .policy = SCHED_OTHER,
           .nice = getpriority(PRIO_PROCESS, 0),
           .runtime_ns = SLICE_NS};

    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct db_group *g = w->group;
    struct closure prober = {.fn = probe, .arg = g, .done = probe_done};
    size_t n;

    (void)pthread_setname_np(pthread_self(), "db-writer"); /* for people who read `top -H` */
    come_soon();
    while ((n = take(w, &prober))) {
        w->tidy = false;
        run_batch(w, 0, n, now_us());
        answer(w, n);
        (void)pthread_mutex_lock(&g->lock);
        for (size_t i = 0; i < n; i++) {
            if (w->batch[i] == &prober)
                continue;
            w->batch[i]->next = g->spare;
            g->spare = w->batch[i];
        }
        (void)pthread_mutex_unlock(&g->lock);
        do_upkeep(w, false);
    }
    return NULL;
}

/* Signals belong to the main thread, which waits for them. */
static int start_thread(struct writer *w)
{
    sigset_t all, before;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&w->thread, NULL, writer_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* ---- the interface ---------------------------------------------------------------------------- */

enum err_code db_group_new(const struct db_group_options *o, struct db_conn *first,
                           struct db_group **ret, struct err *e)
{
    struct db_group *g = calloc(1, sizeof *g);
    int rc;

    if (!g)
        return err_set(e, ERR_NOMEM, "database: out of memory");
    assert(o->driver->writers >= 1 && o->driver->writers <= DB_WRITERS_MAX);
    assert(o->driver->batch_max >= 1 && o->driver->batch_max <= DB_BATCH_MAX);
    g->o = *o;
    g->last = &g->first;
    g->connected = 1; /* `first` */
    (void)pthread_mutex_init(&g->lock, NULL);
    clock_cond_init(&g->work);

    for (int i = 0; i < o->driver->writers; i++) {
        struct writer *w = calloc(1, sizeof *w);

        if (!w) {
            db_group_free(g);
            return err_set(e, ERR_NOMEM, "database: out of memory");
        }
        w->group = g;
        w->conn = i == 0 ? first : NULL; /* the others connect when they first have work */
        if ((rc = start_thread(w))) {
            free(w);
            db_group_free(g);
            return err_set(e, ERR_IO, "start a database thread: %s", strerror(rc));
        }
        g->writers[g->n_writers++] = w;
    }
    *ret = g;
    return ERR_OK;
}

void db_group_free(struct db_group *g)
{
    struct closure *next;

    if (!g)
        return;
    (void)pthread_mutex_lock(&g->lock);
    g->stopping = true;
    (void)pthread_cond_broadcast(&g->work);
    (void)pthread_mutex_unlock(&g->lock);
    for (int i = 0; i < g->n_writers; i++) {
        (void)pthread_join(g->writers[i]->thread, NULL);
        if (g->writers[i]->conn)
            g->o.driver->disconnect(g->writers[i]->conn);
        free(g->writers[i]);
    }
    assert(!g->first || g->n_writers == 0);
    for (struct closure *c = g->spare; c; c = next) {
        next = c->next;
        free(c);
    }
    (void)pthread_cond_destroy(&g->work);
    (void)pthread_mutex_destroy(&g->lock);
    free(g);
}

enum err_code db_group_submit(struct db_group *g, bool loose, db_fn fn, void *arg, db_done_fn done,
                              struct err *e)
{
    struct closure *c;
    enum err_code code = ERR_OK;
    bool wake = false;

    (void)pthread_mutex_lock(&g->lock);
    if (g->stopping) {
        code = ERR_STOPPING;
    } else if (g->waiting >= g->o.queue_max) {
        code = ERR_AGAIN;
    } else {
        c = g->spare;
        if (c)
            g->spare = c->next;
        else
            c = malloc(sizeof *c);
        if (c) {
            *c = (struct closure){
                .loose = loose && g->o.driver->writers > 1, .fn = fn, .arg = arg, .done = done};
            *g->last = c;
            g->last = &c->next;
            g->waiting++;
            wake = g->sleepers > 0;
        } else {
            code = ERR_NOMEM;
        }
    }
    (void)pthread_mutex_unlock(&g->lock);

    if (wake)
        (void)pthread_cond_signal(&g->work);
    switch (code) {
    case ERR_OK:
        return ERR_OK;
    case ERR_STOPPING:
        return err_set(e, code, "the database is being closed");
    case ERR_AGAIN:
        return err_set(e, code, "%zu writes wait for the database already", g->o.queue_max);
    default:
        return err_set(e, code, "database: out of memory");
    }
}

struct waiting_writer {
    db_fn fn;
    void *arg;
    struct err *e;
    enum err_code code;
    sem_t done;
};

static enum err_code run_for_waiter(struct db_tx *tx, void *arg, struct err *e)
{
    struct waiting_writer *w = arg;

    return w->fn(tx, w->arg, e);
}

static void wake_waiter(void *arg, enum err_code code, const struct err *e)
{
    struct waiting_writer *w = arg;

    w->code = code;
    if (code && w->e)
        *w->e = *e;
    (void)sem_post(&w->done); /* the waiter's stack may be gone from here on */
}

enum err_code db_group_write(struct db_group *g, bool loose, db_fn fn, void *arg, struct err *e)
{
    struct waiting_writer w = {.fn = fn, .arg = arg, .e = e};
    enum err_code code;

    for (int i = 0; i < g->n_writers; i++) /* from within a closure it would wait for itself */
        assert(!pthread_equal(pthread_self(), g->writers[i]->thread));
    (void)sem_init(&w.done, 0, 0);
    code = db_group_submit(g, loose, run_for_waiter, &w, wake_waiter, e);
    if (!code) {
        while (sem_wait(&w.done) != 0) /* EINTR only */
            ;
        code = w.code;
    }
    (void)sem_destroy(&w.done);
    return code;
}

void db_group_hint(struct db_group *g)
{
    int64_t now = now_us();
    bool wake;

    (void)pthread_mutex_lock(&g->lock);
    wake = now - g->hinted_us >= HINT_MS * 1000;
    if (wake) {
        g->hint = true;
        g->hinted_us = now;
    }
    (void)pthread_mutex_unlock(&g->lock);
    if (wake)
        (void)pthread_cond_broadcast(&g->work); /* some may have no connection yet */
}

enum err_code db_group_health(struct db_group *g, struct err *e)
{
    enum err_code code;

    (void)pthread_mutex_lock(&g->lock);
    code = g->health.code;
    if (code && e)
        *e = g->health;
    (void)pthread_mutex_unlock(&g->lock);
    return code;
}

void db_group_counts(struct db_group *g, struct db_counts *ret)
{
    (void)pthread_mutex_lock(&g->lock);
    *ret = g->counts;
    ret->queue_len = (int64_t)g->waiting;
    (void)pthread_mutex_unlock(&g->lock);
}
