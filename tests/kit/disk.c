/* disk.c - see disk.h. What is not about writing is passed on to SQLite's own layer as it is. */
#include "kit/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A write or (bytes NULL) a cut to size `at` that was not synced. */
struct pending {
    struct pending *next;
    int64_t at;
    int len;
    unsigned char *bytes;
};

struct file {
    sqlite3_file base; /* first */
    enum disk_file kind;
    char name[512]; /* of the mirrored file, "" when there is none */
    sqlite3_file *real;
};

#define MIRRORED_MAX 8
#define LOCK_WAIT_MS 10000

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods methods;

    bool failing;
    enum disk_call call;
    enum disk_file file;
    enum disk_fault fault;
    int first;
    int64_t failures;
    int64_t count[DISK_CALLS][DISK_FILES];
    bool log_dirty;

    bool mirroring;
    char from[256], to[256];
    struct {
        char name[512];
        struct pending *first, **last;
    } mirrored[MIRRORED_MAX];
    int n_mirrored;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct file *file_of(sqlite3_file *f)
{
    return (struct file *)f;
}

/* ---- the mirror ------------------------------------------------------------------------------- */

static int mirrored_locked(const char *name)
{
    for (int i = 0; i < disk.n_mirrored; i++) {
        if (strcmp(disk.mirrored[i].name, name) == 0)
            return i;
    }
    assert(disk.n_mirrored < MIRRORED_MAX);
    (void)snprintf(disk.mirrored[disk.n_mirrored].name, sizeof disk.mirrored[0].name, "%s", name);
    disk.mirrored[disk.n_mirrored].first = NULL;
    disk.mirrored[disk.n_mirrored].last = &disk.mirrored[disk.n_mirrored].first;
    return disk.n_mirrored++;
}

static void remember_locked(const struct file *f, const void *bytes, int len, int64_t at)
{
    struct pending *p;
    int i;

    if (!disk.mirroring || !f->name[0])
        return;
    p = calloc(1, sizeof *p);
    assert(p);
    p->at = at;
    p->len = len;
    if (bytes) {
        p->bytes = malloc((size_t)len);
        assert(p->bytes);
        memcpy(p->bytes, bytes, (size_t)len);
    }
    i = mirrored_locked(f->name);
    *disk.mirrored[i].last = p;
    disk.mirrored[i].last = &p->next;
}

/* Brings what is pending to the mirror: all of it, the half that seed picks, or nothing. */
static void settle_locked(int i, bool all, unsigned *seed)
{
    char path[1024];
    struct pending *next;
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", disk.to, disk.mirrored[i].name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert(fd >= 0);
    for (struct pending *p = disk.mirrored[i].first; p; p = next) {
        next = p->next;
        if (all || (seed && rand_r(seed) % 2)) {
            int rc = p->bytes ? pwrite(fd, p->bytes, (size_t)p->len, p->at) == p->len ? 0 : -1
                              : ftruncate(fd, p->at);
            assert(rc == 0);
        }
        free(p->bytes);
        free(p);
    }
    (void)close(fd);
    disk.mirrored[i].first = NULL;
    disk.mirrored[i].last = &disk.mirrored[i].first;
}

void disk_mirror(const char *from, const char *to)
{
    (void)pthread_mutex_lock(&disk.lock);
    assert(!disk.mirroring);
    (void)snprintf(disk.from, sizeof disk.from, "%s", from);
    (void)snprintf(disk.to, sizeof disk.to, "%s", to);
    disk.n_mirrored = 0;
    disk.mirroring = true;
    (void)pthread_mutex_unlock(&disk.lock);
}

static void end_mirror_locked(unsigned *seed)
{
    for (int i = 0; disk.mirroring && i < disk.n_mirrored; i++)
        settle_locked(i, false, seed);
    disk.mirroring = false;
}

void disk_cut(unsigned seed)
{
    (void)pthread_mutex_lock(&disk.lock);
    end_mirror_locked(&seed);
    (void)pthread_mutex_unlock(&disk.lock);
}

void disk_mirror_end(void)
{
    (void)pthread_mutex_lock(&disk.lock);
    end_mirror_locked(NULL);
    (void)pthread_mutex_unlock(&disk.lock);
}

/* ---- faults ----------------------------------------------------------------------------------- */

void disk_fail(enum disk_call call, enum disk_file file, enum disk_fault fault, int first)
{
    (void)pthread_mutex_lock(&disk.lock);
    disk.failing = true;
    disk.call = call;
    disk.file = file;
    disk.fault = fault;
    disk.first = first;
    disk.failures = 0;
    (void)pthread_mutex_unlock(&disk.lock);
}

void disk_mend(void)
{
    (void)pthread_mutex_lock(&disk.lock);
    disk.failing = false;
    (void)pthread_mutex_unlock(&disk.lock);
}

int64_t disk_failures(void)
{
    int64_t n;

    (void)pthread_mutex_lock(&disk.lock);
    n = disk.failures;
    (void)pthread_mutex_unlock(&disk.lock);
    return n;
}

int64_t disk_count(enum disk_call call, enum disk_file file)
{
    int64_t n;

    (void)pthread_mutex_lock(&disk.lock);
    n = disk.count[call][file];
    (void)pthread_mutex_unlock(&disk.lock);
    return n;
}

bool disk_log_is_dirty(void)
{
    bool dirty;

    (void)pthread_mutex_lock(&disk.lock);
    dirty = disk.log_dirty;
    (void)pthread_mutex_unlock(&disk.lock);
    return dirty;
}

/* Whether this call is to fail; counts it otherwise. */
static bool fails_locked(enum disk_call call, enum disk_file file)
{
    if (disk.failing && disk.call == call && disk.file == file && disk.first-- <= 0) {
        disk.failures++;
        return true;
    }
    disk.count[call][file]++;
    return false;
}

static int disk_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 at)
{
    struct file *f = file_of(base);
    int rc;

    (void)pthread_mutex_lock(&disk.lock);
    if (fails_locked(DISK_WRITE, f->kind)) {
        rc = disk.fault == DISK_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    } else {
        rc = f->real->pMethods->xWrite(f->real, bytes, len, at);
        remember_locked(f, bytes, len, at);
        if (f->kind == DISK_LOG)
            disk.log_dirty = true;
    }
    (void)pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int disk_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct file *f = file_of(base);
    int rc;

    (void)pthread_mutex_lock(&disk.lock);
    rc = f->real->pMethods->xTruncate(f->real, size);
    remember_locked(f, NULL, 0, size);
    (void)pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int disk_sync(sqlite3_file *base, int flags)
{
    struct file *f = file_of(base);
    bool failed;
    int rc;

    (void)pthread_mutex_lock(&disk.lock);
    failed = fails_locked(DISK_SYNC, f->kind);
    rc = failed ? SQLITE_IOERR_FSYNC : f->real->pMethods->xSync(f->real, flags);
    if (disk.mirroring && f->name[0])
        settle_locked(mirrored_locked(f->name), !failed, NULL);
    if (!failed && f->kind == DISK_LOG)
        disk.log_dirty = false;
    (void)pthread_mutex_unlock(&disk.lock);
    return rc;
}

/* ---- passed on -------------------------------------------------------------------------------- */

#define REAL(f) file_of(f)->real

static int disk_close(sqlite3_file *f)
{
    int rc = REAL(f)->pMethods->xClose(REAL(f));

    free(REAL(f));
    return rc;
}

static int disk_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), bytes, len, at);
}

static int disk_file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size);
}

static int disk_file_lock(sqlite3_file *f, int how)
{
    return REAL(f)->pMethods->xLock(REAL(f), how);
}

static int disk_file_unlock(sqlite3_file *f, int how)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), how);
}

static int disk_check_lock(sqlite3_file *f, int *held)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), held);
}

static int disk_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int disk_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int disk_device(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, ret);
}

static int disk_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);
}

static void disk_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int disk_shm_unmap(sqlite3_file *f, int remove)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), remove);
}

static int disk_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *base, int flags,
                     int *ret_flags)
{
    struct file *f = file_of(base);
    size_t n;
    int rc;

    (void)vfs;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) /* journals, temporary files */
        return disk.real->xOpen(disk.real, name, base, flags, ret_flags);
    memset(f, 0, sizeof *f);
    f->kind = flags & SQLITE_OPEN_WAL ? DISK_LOG : DISK_DATABASE;
    (void)pthread_mutex_lock(&disk.lock);
    n = strlen(disk.from);
    if (disk.mirroring && strncmp(name, disk.from, n) == 0 && name[n] == '/')
        (void)snprintf(f->name, sizeof f->name, "%s", name + n + 1);
    (void)pthread_mutex_unlock(&disk.lock);
    f->real = calloc(1, (size_t)disk.real->szOsFile);
    if (!f->real)
        return SQLITE_NOMEM;
    rc = disk.real->xOpen(disk.real, name, f->real, flags, ret_flags);
    if (rc != SQLITE_OK) {
        free(f->real);
        return rc; /* without methods: SQLite will not close it */
    }
    f->base.pMethods = &disk.methods;
    return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    char path[1024];
    size_t n = strlen(disk.from);

    (void)vfs;
    (void)pthread_mutex_lock(&disk.lock);
    if (disk.mirroring && strncmp(name, disk.from, n) == 0 && name[n] == '/') {
        settle_locked(mirrored_locked(name + n + 1), false, NULL);
        (void)snprintf(path, sizeof path, "%s/%s", disk.to, name + n + 1);
        (void)unlink(path);
    }
    (void)pthread_mutex_unlock(&disk.lock);
    return disk.real->xDelete(disk.real, name, sync_dir);
}

void disk_install(void)
{
    if (disk.real)
        return;
    disk.real = sqlite3_vfs_find(NULL);
    assert(disk.real);
    disk.methods = (sqlite3_io_methods){
        .iVersion = 2, /* no mapped files */
        .xClose = disk_close,
        .xRead = disk_read,
        .xWrite = disk_write,
        .xTruncate = disk_truncate,
        .xSync = disk_sync,
        .xFileSize = disk_file_size,
        .xLock = disk_file_lock,
        .xUnlock = disk_file_unlock,
        .xCheckReservedLock = disk_check_lock,
        .xFileControl = disk_control,
        .xSectorSize = disk_sector,
        .xDeviceCharacteristics = disk_device,
        .xShmMap = disk_shm_map,
        .xShmLock = disk_shm_lock,
        .xShmBarrier = disk_shm_barrier,
        .xShmUnmap = disk_shm_unmap,
    };
    disk.vfs = *disk.real; /* its other calls look at the files' names only */
    disk.vfs.zName = "disk";
    disk.vfs.pNext = NULL;
    if (disk.vfs.szOsFile < (int)sizeof(struct file))
        disk.vfs.szOsFile = (int)sizeof(struct file);
    disk.vfs.xOpen = disk_open;
    disk.vfs.xDelete = disk_delete;
    if (sqlite3_vfs_register(&disk.vfs, 1) != SQLITE_OK)
        abort();
}

/* ---- another program -------------------------------------------------------------------------- */

static sqlite3 *open_as_another(const char *path)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        abort();
    return db;
}

struct cell {
    char *out;
    int size;
};

static int take_cell(void *arg, int n, char **values, char **names)
{
    struct cell *cell = arg;

    (void)names;
    if (cell->out && n > 0)
        (void)snprintf(cell->out, (size_t)cell->size, "%s", values[0] ? values[0] : "NULL");
    return 0;
}

const char *disk_sql(const char *path, const char *sql, char *out, int size)
{
    static char why[200];
    struct cell cell = {.out = out, .size = size};
    sqlite3 *db = open_as_another(path);

    why[0] = '\0';
    if (sqlite3_exec(db, sql, take_cell, &cell, NULL) != SQLITE_OK)
        (void)snprintf(why, sizeof why, "%s", sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return why;
}

void *disk_lock(const char *path)
{
    sqlite3 *db = open_as_another(path);

    if (sqlite3_busy_timeout(db, LOCK_WAIT_MS) != SQLITE_OK || /* a server writes now and then */
        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        abort();
    return db;
}

void disk_unlock(void *lock)
{
    (void)sqlite3_exec(lock, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_close(lock);
}
