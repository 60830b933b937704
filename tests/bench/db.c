/* db.c - what a closure costs that does what accepting a notification does: a delivery, a case, and its
 * work, each with its indexes, keys that grow, delivery ids that do not.
 *
 * Usage: db [FOLDER]           (default: $TMPDIR or /tmp; what matters is the disk under it). $SHORT: a tenth.
 *        db postgresql://…     the same on a PostgreSQL, an empty database of which is filled
 *
 * N closures are kept under way, so that about half of them gather behind those being committed. One
 * JSON line for each N: {"under_way":…,"closures":…,"batch":closures per commit,"us":µs per closure,
 * "writer_cpu_us":… of them on the writer's core (all threads' time less the submitter's),
 * "per_second":…,"rss_kib":…}. Then what a plain fsync of 4 KiB takes there, to compare.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "db.h"
#include "id.h"

static const struct db_migration migrations[] = {
    {1, "CREATE TABLE deliveries (id INTEGER PRIMARY KEY, source TEXT NOT NULL, delivery_id TEXT,"
        " received BIGINT NOT NULL, cases TEXT NOT NULL);"
        "CREATE UNIQUE INDEX deliveries_once ON deliveries (source, delivery_id);"
        "CREATE TABLE cases (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, alert_id TEXT NOT NULL,"
        " delivery BIGINT NOT NULL, state TEXT NOT NULL, created BIGINT NOT NULL);"
        "CREATE UNIQUE INDEX cases_once ON cases (tenant, alert_id);"
        "CREATE TABLE work (id INTEGER PRIMARY KEY, kind BIGINT NOT NULL, priority BIGINT NOT NULL,"
        " due BIGINT NOT NULL, attempts BIGINT NOT NULL);"
        "CREATE INDEX work_due ON work (priority, due)"},
    {0, NULL},
};

struct delivery {
    int64_t id, case_id, now;
    char delivery_id[40], alert_id[48];
    struct room *room;
    struct delivery *next; /* free */
};

/* Several writers answer in any order. */
struct room {
    sem_t count;
    pthread_mutex_t lock;
    struct delivery *free;
};

static uint64_t next_random(void)
{
    static uint64_t x = UINT64_C(88172645463325252); /* xorshift64: any start but 0 */

    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static void die(const char *what, const struct err *e)
{
    (void)fprintf(stderr, "%s: %s\n", what, e->text);
    exit(1);
}

static enum err_code accept_delivery(struct db_tx *tx, void *arg, struct err *e)
{
    struct delivery *d = arg;
    int64_t changed = 0;

    if (db_run(tx, e, &changed,
               "INSERT INTO deliveries (id, source, delivery_id, received, cases)"
               " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source, delivery_id) DO NOTHING",
               "ittit", d->id, "relay", d->delivery_id, d->now, "01hq3v5w8x9yz") ||
        db_run(tx, e, &changed,
               "INSERT INTO cases (id, tenant, alert_id, delivery, state, created)"
               " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, alert_id) DO NOTHING",
               "ittiti", d->case_id, "contoso", d->alert_id, d->id, "received", d->now) ||
        db_run(tx, e, &changed,
               "INSERT INTO work (id, kind, priority, due, attempts) VALUES ($1, $2, $3, $4, $5)",
               "iiiii", d->case_id, (int64_t)1, (int64_t)2, d->now, (int64_t)0))
        return e->code;
    return ERR_OK;
}

static void done(void *arg, enum err_code code, const struct err *e)
{
    struct delivery *d = arg;
    struct room *room = d->room;

    if (code)
        die("write", e);
    (void)pthread_mutex_lock(&room->lock);
    d->next = room->free;
    room->free = d;
    (void)pthread_mutex_unlock(&room->lock);
    (void)sem_post(&room->count);
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long rss_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f) {
        if (fscanf(f, "%*d %ld", &pages) != 1)
            pages = 0;
        (void)fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static struct delivery *take_room(struct room *room)
{
    struct delivery *d;

    while (sem_wait(&room->count) != 0 && errno == EINTR)
        ;
    (void)pthread_mutex_lock(&room->lock);
    d = room->free;
    room->free = d->next;
    (void)pthread_mutex_unlock(&room->lock);
    return d;
}

static void measure(const char *url, int under_way, int closures)
{
    struct db_options o = {.url = url, .migrations = migrations, .queue_max = 4096};
    struct delivery *all = calloc((size_t)under_way, sizeof *all);
    struct db *db = NULL;
    struct db_counts counts;
    struct err e = {0};
    double wall, cpu, own;
    struct room room = {.lock = PTHREAD_MUTEX_INITIALIZER};

    if (!all)
        abort();
    if (db_open(&o, &db, &e))
        die("open", &e);
    (void)sem_init(&room.count, 0, (unsigned)under_way);
    for (int i = 0; i < under_way; i++) {
        all[i] = (struct delivery){.room = &room, .next = room.free};
        room.free = &all[i];
    }
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    own = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < closures; i++) {
        struct delivery *d = take_room(&room);

        d->id = id_new(clock_system());
        d->case_id = id_new(clock_system());
        d->now = clock_wall_ms(clock_system());
        (void)snprintf(d->delivery_id, sizeof d->delivery_id, "%016" PRIx64 "-%08x", next_random(),
                       (unsigned)i);
        (void)snprintf(d->alert_id, sizeof d->alert_id, "da%lld_-%u",
                       637500000000000000LL + 1000LL * i, (unsigned)next_random() % 1000000000);
        if (db_submit(db, accept_delivery, d, done, &e))
            die("submit", &e);
    }
    for (int i = 0; i < under_way; i++)
        (void)take_room(&room);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    own = seconds(CLOCK_THREAD_CPUTIME_ID) - own;
    db_counts(db, &counts);
    (void)printf("{\"under_way\":%d,\"closures\":%d,\"batch\":%.1f,\"us\":%.1f,"
                 "\"writer_cpu_us\":%.1f,\"per_second\":%.0f,\"rss_kib\":%ld}\n",
                 under_way, closures, (double)counts.closures / (double)counts.commits,
                 wall * 1e6 / closures, (cpu - own) * 1e6 / closures, closures / wall, rss_kib());
    (void)fflush(stdout);
    db_free(db);
    free(all);
}

static void measure_fsync(const char *path)
{
    enum { TIMES = 300 };
    static const char page[4096];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    double start = seconds(CLOCK_MONOTONIC);

    for (int i = 0; fd >= 0 && i < TIMES; i++) {
        if (pwrite(fd, page, sizeof page, (off_t)i * 4096) != sizeof page || fdatasync(fd) != 0)
            return;
    }
    (void)printf("{\"append_and_sync_us\":%.0f}\n",
                 (seconds(CLOCK_MONOTONIC) - start) * 1e6 / TIMES);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    static const int under_way[] = {1, 16, 128, 512};
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    const char *tmp = getenv("TMPDIR"), *quick = getenv("SHORT");
    int share = quick && *quick ? 10 : 1;
    char dir[300], path[320], url[340];

    (void)snprintf(dir, sizeof dir, "%s/bench-db.XXXXXX", argc > 1 ? argv[1] : tmp ? tmp : "/tmp");
    if (argc > 1 && strncmp(argv[1], "postgresql:", 11) == 0) {
        for (size_t i = 0; i < sizeof under_way / sizeof *under_way; i++)
            measure(argv[1], under_way[i], (i == 0 ? 2000 : 20000) / share);
        return 0;
    }
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/db", dir);
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    for (size_t i = 0; i < sizeof under_way / sizeof *under_way; i++) {
        static const int closures[] = {10000, 100000, 300000, 300000};

        measure(url, under_way[i], closures[i] / share);
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
            char file[330];

            (void)snprintf(file, sizeof file, "%s%s", path, ends[k]);
            (void)unlink(file);
        }
    }
    measure_fsync(path);
    (void)unlink(path);
    (void)rmdir(dir);
    return 0;
}
