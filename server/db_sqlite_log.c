/* db_sqlite_log.c - see db_sqlite_log.h.
 *
 * Only log files are ours: every other file that SQLite opens through this VFS is the system's own, opened in
 * place. A log file's calls go through to the system's, but for writes. A write that begins where the gathered
 * bytes end is added to them; every other call on the file, and a write elsewhere, first writes them out. So
 * whoever reads the file through this connection finds it as SQLite left it, and at a sync it is complete.
 *
 * Other connections read the log through files of their own. They read no further than the end that the -shm
 * file names, and that moves on after the sync (sqlite.org/walformat.html, section 2.1).
 *
 * A log that becomes longer with each commit makes the file system write down its new length each time, too: one
 * more wait for the disk, and a quarter of a sync's CPU time. So the file grows by a piece of zeros now and then. To
 * whoever reads the log that is its end, like the remains of an earlier round that usually stand there.
 *
 * What could not be written is forgotten: SQLite gets the error from the call that found it out (the sync, at
 * the latest), takes the transaction back, and writes the same place anew next time.
 */
#include "db_sqlite_log.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Bytes gathered at most, some thirty pages. SQLite's own layer takes less than 128 KiB at once (of more it
 * writes the remainder alone, and calls the disk full), and by then the calls cost next to nothing. */
#define GATHER_MAX (124 * 1024)

/* Some ten commits of 64 senders. Four times as much would be felt by those whose commit it is. */
#define GROW_BY (256 * 1024)

struct log_file {
    sqlite3_file base; /* first: SQLite knows it by this */
    sqlite3_file *real;
    char *bytes; /* gathered; NULL before the first write */
    int len;
    sqlite3_int64 at;   /* where in the file they begin */
    sqlite3_int64 size; /* of the file */
};

static struct log_file *log_file(sqlite3_file *f)
{
    return (struct log_file *)f;
}

/* ---- gathering -------------------------------------------------------------------------------- */

/* Makes the file longer, as far as there is room: what has to be in it is there already. */
static void grow(struct log_file *f)
{
    static const char zeros[64 * 1024];
    sqlite3_int64 to = (f->size + GROW_BY - 1) / GROW_BY * GROW_BY;

    while (f->size < to) {
        int n = to - f->size < (int)sizeof zeros ? (int)(to - f->size) : (int)sizeof zeros;

        if (f->real->pMethods->xWrite(f->real, zeros, n, f->size))
            return;
        f->size += n;
    }
}

static int write_at(struct log_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    int rc = f->real->pMethods->xWrite(f->real, bytes, n, at);

    if (!rc && at + n > f->size) {
        f->size = at + n;
        grow(f);
    }
    return rc;
}

static int write_out(struct log_file *f)
{
    int len = f->len;

    f->len = 0;
    return len ? write_at(f, f->bytes, len, f->at) : SQLITE_OK;
}

static int log_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    struct log_file *f = log_file(file);
    int rc;

    if ((f->len && at != f->at + f->len) || n > GATHER_MAX - f->len) {
        rc = write_out(f);
        if (rc)
            return rc;
    }
    if (!f->bytes)
        f->bytes = malloc(GATHER_MAX);
    if (!f->bytes || n > GATHER_MAX)
        return write_at(f, bytes, n, at);
    if (!f->len)
        f->at = at;
    memcpy(f->bytes + f->len, bytes, (size_t)n);
    f->len += n;
    return SQLITE_OK;
}

static int log_sync(sqlite3_file *file, int flags)
{
    struct log_file *f = log_file(file);
    int rc = write_out(f);

    return rc ? rc : f->real->pMethods->xSync(f->real, flags);
}

/* ---- everything else: written out first, then the system's ------------------------------------ */

static int log_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 at)
{
    struct log_file *f = log_file(file);
    int rc = write_out(f);

    return rc ? rc : f->real->pMethods->xRead(f->real, bytes, n, at);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct log_file *f = log_file(file);
    int rc = write_out(f);

    if (!rc)
        rc = f->real->pMethods->xTruncate(f->real, size);
    if (!rc)
        f->size = size;
    return rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct log_file *f = log_file(file);
    int rc = write_out(f);

    return rc ? rc : f->real->pMethods->xFileSize(f->real, ret);
}

static int log_control(sqlite3_file *file, int what, void *arg)
{
    struct log_file *f = log_file(file);
    int rc = write_out(f);

    return rc ? rc : f->real->pMethods->xFileControl(f->real, what, arg);
}

/* What is gathered here belongs to no commit: it would have been synced. */
static int log_close(sqlite3_file *file)
{
    struct log_file *f = log_file(file);

    free(f->bytes);
    return f->real->pMethods->xClose(f->real);
}

static int log_lock(sqlite3_file *file, int level)
{
    return log_file(file)->real->pMethods->xLock(log_file(file)->real, level);
}

static int log_unlock(sqlite3_file *file, int level)
{
    return log_file(file)->real->pMethods->xUnlock(log_file(file)->real, level);
}

static int log_reserved(sqlite3_file *file, int *ret)
{
    return log_file(file)->real->pMethods->xCheckReservedLock(log_file(file)->real, ret);
}

static int log_sector(sqlite3_file *file)
{
    return log_file(file)->real->pMethods->xSectorSize(log_file(file)->real);
}

static int log_traits(sqlite3_file *file)
{
    return log_file(file)->real->pMethods->xDeviceCharacteristics(log_file(file)->real);
}

/* Version 1: shared memory and mapped pages are the database file's affair. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_size,
    .xLock = log_lock,
    .xUnlock = log_unlock,
    .xCheckReservedLock = log_reserved,
    .xFileControl = log_control,
    .xSectorSize = log_sector,
    .xDeviceCharacteristics = log_traits,
};

/* ---- the VFS ---------------------------------------------------------------------------------- */

static sqlite3_vfs *real_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *ret_flags)
{
    sqlite3_vfs *real = real_of(vfs);
    struct log_file *f = log_file(file);
    int rc;

    if (!(flags & SQLITE_OPEN_WAL))
        return real->xOpen(real, name, file, flags, ret_flags);
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(f + 1);
    rc = real->xOpen(real, name, f->real, flags, ret_flags);
    if (!f->real->pMethods)
        return rc;
    f->base.pMethods = &methods; /* it is to be closed, whatever comes of it */
    return rc ? rc : f->real->pMethods->xFileSize(f->real, &f->size);
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    return real_of(vfs)->xDelete(real_of(vfs), name, sync_folder);
}

static int access_file(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return real_of(vfs)->xAccess(real_of(vfs), name, flags, ret);
}

static int full_name(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
    return real_of(vfs)->xFullPathname(real_of(vfs), name, n, ret);
}

static int random_bytes(sqlite3_vfs *vfs, int n, char *ret)
{
    return real_of(vfs)->xRandomness(real_of(vfs), n, ret);
}

static int sleep_us(sqlite3_vfs *vfs, int us)
{
    return real_of(vfs)->xSleep(real_of(vfs), us);
}

static int day_of(sqlite3_vfs *vfs, double *ret)
{
    return real_of(vfs)->xCurrentTime(real_of(vfs), ret);
}

static int ms_of(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    return real_of(vfs)->xCurrentTimeInt64(real_of(vfs), ret);
}

static int last_error(sqlite3_vfs *vfs, int n, char *ret)
{
    return real_of(vfs)->xGetLastError(real_of(vfs), n, ret);
}

static sqlite3_vfs log_vfs = {
    .iVersion = 2, /* no calls to exchange; extensions are not loaded, so there is no xDlOpen */
    .zName = "cordon-log",
    .xOpen = open_file,
    .xDelete = delete_file,
    .xAccess = access_file,
    .xFullPathname = full_name,
    .xRandomness = random_bytes,
    .xSleep = sleep_us,
    .xCurrentTime = day_of,
    .xGetLastError = last_error,
    .xCurrentTimeInt64 = ms_of,
};

static const char *registered;

static void make_known(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);

    if (!real || real->iVersion < 2)
        return;
    log_vfs.pAppData = real;
    log_vfs.mxPathname = real->mxPathname;
    log_vfs.szOsFile = real->szOsFile + (int)sizeof(struct log_file);
    if (sqlite3_vfs_register(&log_vfs, 0) == SQLITE_OK)
        registered = log_vfs.zName;
}

const char *db_sqlite_log_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, make_known);
    return registered;
}
