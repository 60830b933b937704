/* test_work.c - the pool of workers: every claim is run once, and no kind takes more than its share. */
#include "engine_kit.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "kit/look.h"
#include "kit/postgres.h"
#include "log.h"
#include "store_heartbeats.h"

#define NOTE_MAX 64

/* What a test's workers saw. */
struct hall {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool open;       /* runs wait for it */
    unsigned passed; /* but for so many, the first */
    unsigned running, most, count;
    struct work claims[NOTE_MAX]; /* as they came */
    int64_t came[NOTE_MAX];       /* ms of the host's clock */
    struct store *store;
    struct workers **pool; /* where workers_start is to write */
    bool no_pool;          /* a run found nothing there */
};

static enum err_code end_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return work_done(tx, arg, e);
}

static void run(void *ctx, struct work *w)
{
    struct hall *h = ctx;
    unsigned number;

    pthread_mutex_lock(&h->lock);
    if (h->count < NOTE_MAX) {
        h->claims[h->count] = *w;
        h->came[h->count] = look_now_ms();
    }
    number = ++h->count;
    h->running++;
    h->most = h->running > h->most ? h->running : h->most;
    h->no_pool = h->no_pool || !*h->pool;
    pthread_cond_broadcast(&h->cond);
    while (!h->open && number > h->passed)
        pthread_cond_wait(&h->cond, &h->lock);
    h->running--;
    pthread_mutex_unlock(&h->lock);
    (void)db_write(h->store->db, end_fn, w, NULL);
}

/* Of a row that has come. */
static struct work claim_of(struct hall *h, int64_t id)
{
    struct work w = {0};

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->count && i < NOTE_MAX; i++)
        if (h->claims[i].id == id)
            w = h->claims[i];
    pthread_mutex_unlock(&h->lock);
    assert_int_equal(w.id, id);
    return w;
}

/* When the row came. */
static int64_t came_at(struct hall *h, int64_t id)
{
    int64_t at = 0;

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->count && i < NOTE_MAX; i++)
        if (h->claims[i].id == id)
            at = h->came[i];
    pthread_mutex_unlock(&h->lock);
    assert_int_not_equal(at, 0);
    return at;
}

static void wait_count(struct hall *h, unsigned count)
{
    pthread_mutex_lock(&h->lock);
    while (h->count < count)
        pthread_cond_wait(&h->cond, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

static unsigned count_now(struct hall *h)
{
    unsigned count;

    pthread_mutex_lock(&h->lock);
    count = h->count;
    pthread_mutex_unlock(&h->lock);
    return count;
}

/* The next n, in the order in which they came. */
static void let_some_run(struct hall *h, unsigned n)
{
    pthread_mutex_lock(&h->lock);
    h->passed += n;
    pthread_cond_broadcast(&h->cond);
    pthread_mutex_unlock(&h->lock);
}

static void let_run(struct hall *h)
{
    pthread_mutex_lock(&h->lock);
    h->open = true;
    pthread_cond_broadcast(&h->cond);
    pthread_mutex_unlock(&h->lock);
}

/* The writer is held up, as by a slow disk. */
struct gate {
    sem_t entered, leave;
};

static enum err_code wait_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct gate *g = arg;

    (void)tx, (void)e;
    (void)sem_post(&g->entered);
    while (sem_wait(&g->leave))
        ;
    (void)sem_post(&g->leave); /* a closure may run twice */
    return ERR_OK;
}

static void none(void *arg, enum err_code code, const struct err *e)
{
    (void)arg, (void)code, (void)e;
}

struct put {
    int64_t id;
    enum work_kind kind;
    struct work claim;
    bool claimed;
};

static enum err_code put_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct put *p = arg;

    return work_put(tx, p->id, p->kind, WORK_NORMAL, 0, 0, p->claimed ? &p->claim : NULL, e);
}

static void put(struct store *s, int64_t id)
{
    struct put p = {.id = id};

    assert_int_equal(db_write(s->db, put_fn, &p, NULL), ERR_OK);
}

static void open_pool(struct hall *h, struct rig *r, struct workers **pool)
{
    const struct workers_options o = {
        .store = r->store, .threads = 2, .share = {[WORK_CASE] = 2}, .run = run, .ctx = h};
    struct store *store = r->store;

    *h = (struct hall){.store = store, .pool = pool};
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->cond, NULL);
    assert_int_equal(workers_start(&o, pool, NULL), ERR_OK);
}

/* A run may take longer than a lease: as long as its process lives, nobody else gets the row. */
static void test_work__a_long_run_keeps_its_lease(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;
    static const size_t room[WORK_KINDS] = {9, 9, 9};
    struct work w[9];
    size_t n = 0;
    int64_t next = 0;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    put(r.store, 1);
    workers_kick(pool);
    wait_count(&h, 1);
    for (int i = 0; i < 8; i++) { /* two leases and more */
        int64_t until;

        hands_turn(&r.hands, WORK_KEEP_MS);
        until = clock_wall_ms(&r.hands.clock) + WORK_LEASE_MS - WORK_KEEP_MS;
        do { /* until the dispatcher has come by: the lease ends late enough */
            workers_kick(pool);
            assert_int_equal(store_work_claim(r.store, "another", room, 9, w, &n, &next, NULL),
                             ERR_OK);
            assert_int_equal(n, 0);
        } while (next < until);
    }
    let_run(&h);
    workers_stop(pool);
    rig_close(&r);
}

static void enter(struct workers *pool, struct hall *h, int64_t id)
{
    struct work w = claim_of(h, id);

    assert_true(workers_enter(pool, &w, "contoso"));
}

/* Two runs of one far end at once, which takes long: then it may have one of the two workers, until it is quick again. */
static void test_work__a_far_end_that_hangs_leaves_a_worker_to_the_others(void **state)
{
    static const struct {
        const char *label, *far_end;
        int64_t id;
        bool enters;
    } rows[] = {
        {"it had none", "contoso", 3, true},
        {"it hung a moment ago", "contoso", 4, false},
        {"another", "fabrikam", 4, true},
    };
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    for (int64_t id = 1; id <= 4; id++)
        put(r.store, id);
    workers_kick(pool);
    wait_count(&h, 2);
    for (int64_t id = 1; id <= 2; id++)
        enter(pool, &h, id);
    hands_turn(&r.hands, MINUTE_MS / 2);
    let_some_run(&h, 2);
    wait_count(&h, 4);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct work w = claim_of(&h, rows[i].id);

        if (workers_enter(pool, &w, rows[i].far_end) != rows[i].enters)
            fail_msg("%s", rows[i].label);
    }
    put(r.store, 5);
    put(r.store, 6);
    let_some_run(&h, 2); /* both were quick */
    wait_count(&h, 6);
    for (int64_t id = 5; id <= 6; id++)
        enter(pool, &h, id);
    hands_turn(&r.hands, MINUTE_MS / 2);
    let_run(&h);
    workers_stop(pool);
    rig_close(&r);
}

/* While a claim is on its way to the disk, the idle workers it is meant for are not promised again: the
 * queue would have to hold more than it has places for, and run some claims twice and others never. */
static void test_work__a_claim_under_way_keeps_its_workers(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;
    struct gate gate;
    struct db_counts counts;
    bool reserved[2];

    (void)state;
    rig_open(&r, NULL);
    put(r.store, 1);
    put(r.store, 2);
    (void)sem_init(&gate.entered, 0, 0);
    (void)sem_init(&gate.leave, 0, 0);
    assert_int_equal(db_submit(r.store->db, wait_fn, &gate, none, NULL), ERR_OK);
    while (sem_wait(&gate.entered))
        ;
    open_pool(&h, &r, &pool); /* its first look is a claim */
    do
        db_counts(r.store->db, &counts);
    while (counts.queue_len == 0); /* the dispatcher's claim waits for the writer */
    for (int i = 0; i < 2; i++)
        reserved[i] = workers_reserve(pool, WORK_CASE);
    (void)sem_post(&gate.leave);
    for (int i = 0; i < 2; i++)
        if (reserved[i]) {
            struct put p = {.id = 10 + i, .claimed = true};

            assert_int_equal(db_write(r.store->db, put_fn, &p, NULL), ERR_OK);
            workers_hand_over(pool, &p.claim);
        }
    wait_count(&h, 2);
    let_run(&h);
    workers_stop(pool);
    assert_false(reserved[0]);
    assert_false(reserved[1]);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.claims[0].id + h.claims[1].id, 3);
    rig_close(&r);
}

struct claiming {
    struct store *store;
    struct work w[9];
    size_t n;
    enum err_code code;
};

static enum err_code claim_all(struct claiming *c, const char *owner)
{
    static const size_t room[WORK_KINDS] = {9, 9, 9};
    int64_t next = 0;

    return store_work_claim(c->store, owner, room, 9, c->w, &c->n, &next, NULL);
}

static void *claim_late(void *arg)
{
    struct claiming *c = arg;

    c->code = claim_all(c, "another");
    return NULL;
}

/* The database looks at a host's clock when a transaction begins (db_postgres.c), and a claim may have to wait for that: the
 * time that it goes by is not older. */
static void test_work__a_clock_that_is_set_right_while_a_claim_waits_takes_nobodys_lease(
    void **state)
{
    struct claiming c = {0};
    struct db_counts counts;
    struct gate gate;
    struct rig r;
    pthread_t thread;

    (void)state;
    rig_open(&r, NULL);
    c.store = r.store;
    put(r.store, 1);
    assert_int_equal(claim_all(&c, "one"), ERR_OK);
    assert_int_equal(c.n, 1);
    (void)sem_init(&gate.entered, 0, 0);
    (void)sem_init(&gate.leave, 0, 0);
    assert_int_equal(db_submit(r.store->db, wait_fn, &gate, none, NULL), ERR_OK);
    while (sem_wait(&gate.entered))
        ;
    hands_turn(&r.hands, 5 * MINUTE_MS);
    assert_int_equal(pthread_create(&thread, NULL, claim_late, &c), 0);
    do
        db_counts(r.store->db, &counts);
    while (counts.queue_len == 0);
    hands_turn(&r.hands, -5 * MINUTE_MS);
    (void)sem_post(&gate.leave);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(c.code, ERR_OK);
    assert_int_equal(c.n, 0);
    rig_close(&r);
}

/* A run may kick the pool it is in: work that an earlier process left is run before workers_start ends. */
static void test_work__runs_find_their_pool(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;

    (void)state;
    for (int i = 0; i < 20; i++) {
        rig_open(&r, NULL);
        for (int64_t id = 1; id <= 4; id++)
            put(r.store, id);
        pool = NULL;
        open_pool(&h, &r, &pool);
        let_run(&h);
        wait_count(&h, 4);
        workers_stop(pool);
        assert_false(h.no_pool);
        assert_int_equal(h.count, 4);
        rig_close(&r);
    }
}

static void test_work__no_more_than_a_share_runs_at_once(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;

    (void)state;
    rig_open(&r, NULL);
    for (int64_t id = 1; id <= 30; id++)
        put(r.store, id);
    open_pool(&h, &r, &pool);
    wait_count(&h, 2);
    let_run(&h);
    wait_count(&h, 30);
    workers_stop(pool);
    assert_int_equal(h.most, 2);
    assert_int_equal(h.count, 30);
    rig_close(&r);
}

static unsigned threads_of_process(void)
{
    DIR *d = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(d);
    for (const struct dirent *f; (f = readdir(d));)
        n += f->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_work__workers_are_started_when_rows_need_them(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;
    unsigned before;

    (void)state;
    rig_open(&r, NULL);
    before = threads_of_process();
    open_pool(&h, &r, &pool);
    assert_int_equal(threads_of_process(), before + 2); /* the dispatcher and one worker */
    put(r.store, 1);
    put(r.store, 2);
    workers_kick(pool);
    wait_count(&h, 2);
    assert_int_equal(h.running, 2); /* neither waits for the other */
    assert_int_equal(threads_of_process(), before + 3);
    let_run(&h);
    workers_stop(pool);
    rig_close(&r);
}

/* ---- by the host's clock: when a row is looked for --------------------------------------------- */

struct timed {
    int64_t id, due;
    enum work_kind kind;
};

static enum err_code timed_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct timed *t = arg;

    return work_put(tx, t->id, t->kind, WORK_NORMAL, t->due, 0, NULL, e);
}

/* Set ahead by more than a lease, or after a sleep of this machine: what is at work is not begun a second time beside it. */
static void test_work__a_clock_that_is_set_ahead_begins_nothing_twice(void **state)
{
    struct timed t = {.id = 2, .kind = WORK_CASE};
    struct workers *pool = NULL;
    struct rig r;
    struct hall h;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    put(r.store, 1);
    workers_kick(pool);
    wait_count(&h, 1);
    atomic_fetch_add(&r.hands.wall, HOUR_MS);
    t.due = clock_wall_ms(&r.hands.clock);
    assert_int_equal(db_write(r.store->db, timed_fn, &t, NULL), ERR_OK);
    workers_kick(pool);
    wait_count(&h, 2);
    let_run(&h);
    workers_stop(pool);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.claims[1].id, 2);
    rig_close(&r);
}

/* Some turns of its dispatcher. */
static void look_a_while(struct workers *pool, struct hall *h)
{
    const int64_t until = look_until(30000);

    for (int i = 0; i < 20 && !count_now(h); i++) {
        workers_kick(pool);
        look_again(until, "a look");
    }
}

/* Nor by another replica, whose host's clock, and the database's, was set ahead with this one's, and which comes first; nor when that
 * is so once more in a moment. */
static void test_work__a_clock_that_is_set_ahead_for_all_takes_nobodys_lease(void **state)
{
    static const size_t room[WORK_KINDS] = {9, 9, 9};

    (void)state;
    if (!postgres_start(NULL))
        skip();
    for (int again = 0; again < 2; again++) {
        struct timed t = {.id = 2, .kind = WORK_CASE};
        int64_t until = look_until(30000), next;
        struct workers *pool = NULL;
        char url[POSTGRES_URL_MAX];
        struct work mine[9];
        struct hall others;
        struct rig r;
        size_t n = 0;

        rig_open_on(&r, NULL, postgres_url(url));
        put(r.store, 1);
        assert_int_equal(store_work_claim(r.store, "one", room, 9, mine, &n, &next, NULL), ERR_OK);
        assert_int_equal(n, 1);
        open_pool(&others, &r, &pool);
        atomic_fetch_add(&r.hands.wall, 4 * MINUTE_MS);
        t.due = clock_wall_ms(&r.hands.clock);
        assert_int_equal(db_write(r.store->db, timed_fn, &t, NULL), ERR_OK);
        look_a_while(pool, &others);
        if (again) {
            assert_int_equal(store_work_keep(r.store, mine, n, NULL), ERR_OK);
            hands_turn(&r.hands, WORK_KEEP_MS - SECOND_MS);
            look_a_while(pool, &others);
            atomic_fetch_add(&r.hands.wall, 4 * MINUTE_MS);
            hands_turn(&r.hands, 2 * SECOND_MS);
            look_a_while(pool, &others);
        }
        do { /* as with its turns */
            assert_int_equal(store_work_keep(r.store, mine, n, NULL), ERR_OK);
            hands_turn(&r.hands, SECOND_MS);
            workers_kick(pool);
            look_again(until, "it claims nothing");
        } while (!count_now(&others));
        let_run(&others);
        workers_stop(pool);
        assert_int_equal(others.claims[0].id, 2);
        assert_int_equal(others.count, 1);
        rig_close(&r);
    }
}

/* Nor where that comes while a claim waits for the disk. */
static void test_work__a_clock_that_is_set_ahead_while_a_claim_waits_begins_nothing_twice(
    void **state)
{
    struct timed t = {.id = 2, .kind = WORK_CASE};
    struct workers *pool = NULL;
    struct db_counts counts = {0};
    struct gate gate;
    struct rig r;
    struct hall h;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    put(r.store, 1);
    workers_kick(pool);
    wait_count(&h, 1);
    (void)sem_init(&gate.entered, 0, 0);
    (void)sem_init(&gate.leave, 0, 0);
    assert_int_equal(db_submit(r.store->db, wait_fn, &gate, none, NULL), ERR_OK);
    while (sem_wait(&gate.entered))
        ;
    for (int i = 0; i < 100000 && counts.queue_len == 0; i++) { /* it may be held up with it */
        workers_kick(pool);
        db_counts(r.store->db, &counts);
    }
    atomic_fetch_add(&r.hands.wall, HOUR_MS);
    (void)sem_post(&gate.leave);
    t.due = clock_wall_ms(&r.hands.clock);
    assert_int_equal(db_write(r.store->db, timed_fn, &t, NULL), ERR_OK);
    do
        workers_kick(pool);
    while (count_now(&h) < 2);
    let_run(&h);
    workers_stop(pool);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.claims[1].id, 2);
    rig_close(&r);
}

static enum err_code sql_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return db_run(tx, e, NULL, arg, "");
}

/* Nor is it when the store took nothing for longer than a lease, and takes what comes first then. */
static void test_work__a_store_that_took_nothing_begins_nothing_twice(void **state)
{
    static char sick[] = "CREATE TRIGGER sick BEFORE UPDATE ON work"
                         " BEGIN SELECT RAISE(ABORT, 'it is sick'); END",
                well[] = "DROP TRIGGER sick";
    struct timed t = {.id = 2, .kind = WORK_CASE};
    static const size_t room[WORK_KINDS] = {9, 9, 9};
    struct workers *pool = NULL;
    struct work w[9];
    struct rig r;
    struct hall h;
    int64_t next = 0;
    size_t n = 0;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    put(r.store, 1);
    workers_kick(pool);
    wait_count(&h, 1);
    assert_int_equal(db_write(r.store->db, sql_fn, sick, NULL), ERR_OK);
    hands_turn(&r.hands, WORK_LEASE_MS + SECOND_MS);
    for (int i = 0; i < 20; i++) { /* the dispatcher comes by, in vain */
        workers_kick(pool);
        assert_int_not_equal(store_work_claim(r.store, "another", room, 9, w, &n, &next, NULL),
                             ERR_OK);
    }
    t.due = clock_wall_ms(&r.hands.clock);
    assert_int_equal(db_write(r.store->db, timed_fn, &t, NULL), ERR_OK);
    assert_int_equal(db_write(r.store->db, sql_fn, well, NULL), ERR_OK);
    do
        workers_kick(pool);
    while (count_now(&h) < 2);
    let_run(&h);
    workers_stop(pool);
    assert_int_equal(h.count, 2);
    assert_int_equal(h.claims[1].id, 2);
    rig_close(&r);
}

/* Nobody could be heard while the machine, or the process, was suspended, or before the clock was right: that is noted before
 * anything is claimed that became due by it. */
static void test_work__what_was_slept_through_is_no_silence(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;
    struct heartbeat *list;
    struct timed t = {.kind = WORK_CASE};
    int64_t heard;
    size_t n;

    (void)state;
    rig_open(&r, NULL);
    for (int suspended = 0; suspended < 2; suspended++) {
        put(r.store, ++t.id);
        open_pool(&h, &r, &pool);
        let_run(&h);
        wait_count(&h, 1); /* the dispatcher is at work */
        heard = clock_wall_ms(&r.hands.clock);
        assert_int_equal(store_heard(r.store, "relay", heard, NULL, NULL, NULL), ERR_OK);
        t.id++;
        t.due = heard + DAY_MS;
        assert_int_equal(db_write(r.store->db, timed_fn, &t, NULL), ERR_OK);
        atomic_fetch_add(&r.hands.wall, DAY_MS + HOUR_MS);
        if (suspended)
            atomic_fetch_add(&r.hands.mono, DAY_MS + HOUR_MS);
        workers_kick(pool);
        wait_count(&h, 2);
        assert_int_equal(store_heartbeat_list(r.store, r.arena, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        assert_int_equal(list[0].heard, heard);
        assert_int_equal(list[0].since, heard + DAY_MS + HOUR_MS);
        workers_stop(pool);
        pool = NULL;
    }
    rig_close(&r);
}

static void drop_line(enum log_level level, const char *line, void *ctx)
{
    (void)level, (void)line, (void)ctx;
}

/* The dispatcher has its turns, and the store so many tries in vain. */
static bool has_failed(struct rig *r, struct workers *pool, int64_t times)
{
    struct db_counts counts;

    workers_kick(pool);
    db_counts(r->store->db, &counts);
    return counts.failures >= times;
}

static bool has_run(struct hall *h, struct workers *pool, unsigned count)
{
    bool has;

    workers_kick(pool);
    pthread_mutex_lock(&h->lock);
    has = h->count >= count;
    pthread_mutex_unlock(&h->lock);
    return has;
}

/* Another one's lock; or the schema is not the program's for a while. */
static void sicken(struct rig *r, bool shared, sqlite3 **other)
{
    if (shared) {
        free(postgres_sql("UPDATE s1.schema_version SET version = version + 1000 WHERE version = "
                          "(SELECT max(version) FROM s1.schema_version)"));
        return;
    }
    assert_int_equal(sqlite3_open(strchr(r->store_url, ':') + 1, other), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(*other, 20000), SQLITE_OK); /* the end of a run */
    assert_int_equal(sqlite3_exec(*other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
}

static void cure(bool shared, sqlite3 *other)
{
    if (shared) {
        free(postgres_sql(
            "UPDATE s1.schema_version SET version = version - 1000 WHERE version > 1000"));
        return;
    }
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
}

static bool is_heard(struct rig *r)
{
    struct heartbeat *list;
    size_t n = 0;

    return !store_heartbeat_list(r->store, r->arena, &list, &n, NULL) && n == 1;
}

static void assert_sick_is_not_quiet(struct rig *r, bool shared)
{
    struct workers_options o = {
        .threads = 3, .share = {[WORK_CASE] = 2, [WORK_POLL] = 1}, .run = run, .store = r->store};
    struct hall h = {.store = r->store, .open = true};
    struct workers *pool = NULL;
    struct heartbeat *list;
    struct timed t = {.id = 2, .kind = WORK_POLL};
    sqlite3 *other = NULL;
    int64_t heard = clock_wall_ms(&r->hands.clock);
    size_t n;

    h.pool = &pool;
    o.ctx = &h;
    (void)pthread_mutex_init(&h.lock, NULL);
    (void)pthread_cond_init(&h.cond, NULL);
    put(r->store, 1);
    t.due = heard + MINUTE_MS;
    assert_int_equal(db_write(r->store->db, timed_fn, &t, NULL), ERR_OK);
    assert_int_equal(store_heard(r->store, "relay", heard, NULL, NULL, NULL), ERR_OK);
    assert_int_equal(workers_start(&o, &pool, NULL), ERR_OK);
    LOOK_FOR(is_heard(r) && has_run(&h, pool, 1), 20000, "nothing is run");
    sicken(r, shared, &other);
    LOOK_FOR(has_failed(r, pool, 1), 20000, "the store does not fail");
    hands_turn(&r->hands, 2 * HOUR_MS);
    LOOK_FOR(has_failed(r, pool, 3), 20000, "nobody tries");
    cure(shared, other);
    LOOK_FOR(has_run(&h, pool, 2), 20000, "nothing is run any more");
    assert_int_equal(store_heartbeat_list(r->store, r->arena, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].heard, heard);
    assert_int_equal(list[0].since, heard + 2 * HOUR_MS);
    workers_stop(pool);
}

/* Who pushed meanwhile was told to come again, and the store could not say so. */
static void test_work__a_store_that_takes_nothing_makes_nobody_quiet(void **state)
{
    struct rig r;

    (void)state;
    log_divert(drop_line, NULL);
    rig_open(&r, NULL);
    assert_sick_is_not_quiet(&r, false);
    rig_close(&r);
    log_divert(NULL, NULL);
}

/* Nor where it is shared: who claims the reading of lists as soon as it is well again was not there all the time. */
static void test_work__a_database_that_was_away_makes_nobody_quiet(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct rig r;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    log_divert(drop_line, NULL);
    rig_open_on(&r, NULL, postgres_url(url));
    assert_sick_is_not_quiet(&r, true);
    rig_close(&r);
    log_divert(NULL, NULL);
}

static bool is_since(struct rig *r, struct workers *pool, int64_t since)
{
    struct heartbeat *list;
    size_t n = 0;

    workers_kick(pool);
    return !store_heartbeat_list(r->store, r->arena, &list, &n, NULL) && n == 1 &&
           list[0].since == since;
}

/* Nobody knows yet that the store takes nothing: what is noticed about the clocks is the first that it refuses. */
static void test_work__what_the_store_refuses_of_the_clocks_is_written_later(void **state)
{
    struct workers *pool = NULL;
    sqlite3 *other = NULL;
    struct hall h;
    struct rig r;
    int64_t heard;

    (void)state;
    log_divert(drop_line, NULL);
    rig_open(&r, NULL);
    put(r.store, 1);
    put(r.store, 2);
    open_pool(&h, &r, &pool);
    wait_count(&h, 2); /* nobody is idle, and nothing is claimed */
    heard = clock_wall_ms(&r.hands.clock);
    assert_int_equal(store_heard(r.store, "relay", heard, NULL, NULL, NULL), ERR_OK);
    LOOK_FOR(is_heard(&r), 20000, "nobody is heard"); /* it is written by and by */
    sicken(&r, false, &other);
    hands_turn(&r.hands, 2 * HOUR_MS);
    LOOK_FOR(has_failed(&r, pool, 1), 20000, "the store does not fail");
    cure(false, other);
    LOOK_FOR(is_since(&r, pool, heard + 2 * HOUR_MS), 20000, "it is forgotten");
    let_run(&h);
    workers_stop(pool);
    rig_close(&r);
    log_divert(NULL, NULL);
}

static void put_timed(struct rig *r, int64_t id, enum work_kind kind, int64_t in_ms)
{
    struct timed t = {.id = id, .kind = kind, .due = clock_wall_ms(clock_system()) + in_ms};

    assert_int_equal(db_write(r->store->db, timed_fn, &t, NULL), ERR_OK);
}

/* A pool that runs cases and notices as they come. */
static void open_timed(struct hall *h, struct rig *r, struct workers **pool)
{
    struct workers_options o = {
        .threads = 4, .share = {[WORK_CASE] = 2, [WORK_NOTICE] = 2}, .run = run, .ctx = h};

    rig_open(r, NULL);
    r->store->clock = clock_system();
    o.store = r->store;
    *h = (struct hall){.store = r->store, .pool = pool, .open = true};
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->cond, NULL);
    *pool = NULL;
    assert_int_equal(workers_start(&o, pool, NULL), ERR_OK);
}

/* By a clock that rests the dispatcher never looks by itself: a kick does not wait for that. */
static void test_work__a_kick_is_a_look_at_once(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    let_run(&h);
    for (unsigned i = 1; i <= 20; i++) { /* one by one: each falls into an idle pool */
        put(r.store, i);
        workers_kick(pool);
        LOOK_FOR(count_now(&h) == i, 20000, "row %u is not looked for", i);
    }
    workers_stop(pool);
    assert_int_equal(h.count, 20);
    rig_close(&r);
}

static void test_work__what_is_due_later_is_run_then_without_a_kick(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool;
    int64_t began;

    (void)state;
    open_timed(&h, &r, &pool);
    began = look_now_ms();
    put_timed(&r, 1, WORK_CASE, 300);
    put_timed(&r, 2, WORK_NOTICE, 600);
    workers_kick(pool); /* it learns the times; nobody kicks again */
    wait_count(&h, 2);
    assert_true(came_at(&h, 1) - began >= 299);
    assert_true(came_at(&h, 2) - began >= 599);
    assert_true(look_now_ms() - began < 4500);
    workers_stop(pool);
    rig_close(&r);
}

/* One far end asks for patience: its kind waits, the others go on. */
static void test_work__a_held_kind_waits_and_the_others_go_on(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool;
    int64_t began;

    (void)state;
    open_timed(&h, &r, &pool);
    began = look_now_ms();
    workers_hold(pool, WORK_CASE, 2000);
    workers_hold(pool, WORK_CASE, 100); /* a shorter hold does not shorten it */
    assert_false(workers_reserve(pool, WORK_CASE));
    put_timed(&r, 1, WORK_CASE, 0);
    put_timed(&r, 2, WORK_NOTICE, 0);
    workers_kick(pool);
    wait_count(&h, 1);
    assert_int_equal(h.claims[0].id, 2);
    wait_count(&h, 2); /* by itself, when the hold ends */
    assert_int_equal(h.claims[1].id, 1);
    assert_true(look_now_ms() - began >= 1999);
    assert_true(look_now_ms() - began < 4500);
    workers_stop(pool);
    rig_close(&r);
}

/* A kind with all its workers busy leaves the rest to the other kinds. */
static void test_work__a_kind_that_hangs_holds_up_no_other(void **state)
{
    struct rig r;
    struct hall h;
    struct workers *pool;
    bool reserved;

    (void)state;
    open_timed(&h, &r, &pool);
    pthread_mutex_lock(&h.lock);
    h.open = false;
    pthread_mutex_unlock(&h.lock);
    for (int64_t id = 1; id <= 5; id++)
        put_timed(&r, id, WORK_NOTICE, 0);
    workers_kick(pool);
    wait_count(&h, 2); /* both of its workers hang */
    assert_int_equal(workers_busy(pool), 2);
    put_timed(&r, 11, WORK_CASE, 0);
    workers_kick(pool);
    wait_count(&h, 3);
    assert_int_equal(h.claims[2].id, 11);
    /* While the dispatcher looks, which it does after each kick, nobody is spoken for. */
    for (int64_t end = look_now_ms() + 20000;
         !(reserved = workers_reserve(pool, WORK_CASE)) && look_now_ms() < end;)
        (void)poll(NULL, 0, 2);
    assert_true(reserved);
    assert_false(workers_reserve(pool, WORK_CASE)); /* its share is two */
    workers_let_go(pool, WORK_CASE);
    let_run(&h);
    wait_count(&h, 6);
    workers_stop(pool);
    assert_int_equal(h.count, 6);
    rig_close(&r);
}

struct stopper {
    struct workers *pool;
    atomic_bool done;
};

static void *stop_it(void *arg)
{
    struct stopper *s = arg;

    workers_stop(s->pool);
    atomic_store(&s->done, true);
    return NULL;
}

/* What was claimed is run to its end; what was not stays for the next process. */
static void test_work__stopping_waits_for_what_was_claimed_and_claims_no_more(void **state)
{
    struct rig r;
    struct hall h;
    struct stopper s = {0};
    pthread_t thread;
    int64_t left[WORK_KINDS];

    (void)state;
    open_timed(&h, &r, &s.pool);
    pthread_mutex_lock(&h.lock);
    h.open = false;
    pthread_mutex_unlock(&h.lock);
    for (int64_t id = 1; id <= 9; id++)
        put_timed(&r, id, WORK_CASE, 0);
    workers_kick(s.pool);
    wait_count(&h, 2);
    assert_int_equal(pthread_create(&thread, NULL, stop_it, &s), 0);
    assert_false(atomic_load(&s.done)); /* two runs are under way */
    let_run(&h);
    (void)pthread_join(thread, NULL);
    assert_true(h.count >= 2);
    assert_int_equal(h.running, 0);
    assert_int_equal(store_work_count(r.store, left, NULL), ERR_OK);
    assert_int_equal(left[WORK_CASE], 9 - h.count); /* all that began has ended its claim */
    workers_stop(NULL);
    rig_close(&r);
}

/* What a run claimed beside its own row is kept as long, until it gives it back or returns. */
static void test_work__a_long_run_keeps_what_it_claimed_beside_its_own(void **state)
{
    static const size_t room[WORK_KINDS] = {9, 9, 9};
    struct rig r;
    struct hall h;
    struct workers *pool = NULL;
    struct work own = {0}, more[3], w[9];
    size_t n = 0;
    int64_t next = 0;

    (void)state;
    rig_open(&r, NULL);
    open_pool(&h, &r, &pool);
    put(r.store, 1);
    workers_kick(pool);
    wait_count(&h, 1);
    for (int64_t id = 2; id <= 4; id++) { /* of a kind that the pool by itself leaves alone */
        struct put p = {.id = id, .kind = WORK_ISOLATION};

        assert_int_equal(db_write(r.store->db, put_fn, &p, NULL), ERR_OK);
    }
    assert_int_equal(workers_claim(pool, room, 3, more, &n, &next, NULL), ERR_OK);
    own = claim_of(&h, 1);
    assert_int_equal(n, 3);
    workers_keep_more(pool, &own, more, n);
    assert_int_equal(db_write(r.store->db, end_fn, &more[1], NULL), ERR_OK); /* done meanwhile */
    for (int i = 0; i < 8; i++) {
        int64_t until;

        hands_turn(&r.hands, WORK_KEEP_MS);
        until = clock_wall_ms(&r.hands.clock) + WORK_LEASE_MS - WORK_KEEP_MS;
        do {
            workers_kick(pool);
            assert_int_equal(store_work_claim(r.store, "another", room, 9, w, &n, &next, NULL),
                             ERR_OK);
            assert_int_equal(n, 0);
        } while (next < until);
    }
    let_run(&h);
    workers_stop(pool);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work__a_claim_under_way_keeps_its_workers),
        cmocka_unit_test(test_work__a_long_run_keeps_its_lease),
        cmocka_unit_test(test_work__a_far_end_that_hangs_leaves_a_worker_to_the_others),
        cmocka_unit_test(
            test_work__a_clock_that_is_set_right_while_a_claim_waits_takes_nobodys_lease),
        cmocka_unit_test(test_work__runs_find_their_pool),
        cmocka_unit_test(test_work__no_more_than_a_share_runs_at_once),
        cmocka_unit_test(test_work__a_clock_that_is_set_ahead_begins_nothing_twice),
        cmocka_unit_test(
            test_work__a_clock_that_is_set_ahead_while_a_claim_waits_begins_nothing_twice),
        cmocka_unit_test(test_work__a_store_that_took_nothing_begins_nothing_twice),
        cmocka_unit_test(test_work__what_was_slept_through_is_no_silence),
        cmocka_unit_test(test_work__a_store_that_takes_nothing_makes_nobody_quiet),
        cmocka_unit_test(test_work__a_database_that_was_away_makes_nobody_quiet),
        cmocka_unit_test(test_work__a_clock_that_is_set_ahead_for_all_takes_nobodys_lease),
        cmocka_unit_test(test_work__what_the_store_refuses_of_the_clocks_is_written_later),
        cmocka_unit_test(test_work__workers_are_started_when_rows_need_them),
        cmocka_unit_test(test_work__a_kick_is_a_look_at_once),
        cmocka_unit_test(test_work__what_is_due_later_is_run_then_without_a_kick),
        cmocka_unit_test(test_work__a_held_kind_waits_and_the_others_go_on),
        cmocka_unit_test(test_work__a_kind_that_hangs_holds_up_no_other),
        cmocka_unit_test(test_work__stopping_waits_for_what_was_claimed_and_claims_no_more),
        cmocka_unit_test(test_work__a_long_run_keeps_what_it_claimed_beside_its_own),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
