/* db_sqlite_copy.c - checking, copying and replacing a database file; see db_sqlite.h.
 *
 * A copy is made by VACUUM INTO, in one reading transaction: it is what was committed at its beginning,
 * whatever is written meanwhile; it has no log of its own and no free pages; and it is built row by row, so
 * that a damaged index does not come along unnoticed. Dropped: SQLite's backup API, which begins anew
 * whenever another process writes; and copying the files, which is consistent only while nobody writes.
 */
#include "db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"

#define FOUND_MAX "20" /* more of them help nobody */

static enum err_code os_error(const char *name, struct err *e)
{
    return err_set(e, errno == ENOSPC || errno == EDQUOT ? ERR_AGAIN : ERR_IO, "%s: %s", name,
                   strerror(errno));
}

/* A name that begins with the other one. */
static char *beside(const char *path, const char *end)
{
    char *s = NULL;

    return asprintf(&s, "%s%s", path, end) < 0 ? NULL : s;
}

/* ---- checking --------------------------------------------------------------------------------- */

struct finding {
    db_found_fn found;
    void *ctx;
    bool any;
};

static int take_finding(void *arg, int n, char **values, char **names)
{
    struct finding *f = arg;

    (void)names;
    if (n > 0 && values[0] && strcmp(values[0], "ok") != 0) {
        f->any = true;
        f->found(f->ctx, values[0]);
    }
    return 0;
}

enum err_code db_sqlite_check(const char *path, db_found_fn found, void *ctx, struct err *e)
{
    struct finding f = {.found = found, .ctx = ctx};
    sqlite3 *db = NULL;
    enum err_code code = db_sqlite_open_reader(path, &db, e);
    int rc;

    if (code)
        return code;
    rc = sqlite3_exec(db, "PRAGMA integrity_check(" FOUND_MAX ")", take_finding, &f, NULL);
    if (rc && !f.any) /* it gives up where it has found too much */
        code = db_sqlite_explain(db, rc, e);
    (void)sqlite3_close(db); /* it only read */
    return code;
}

/* ---- copying ---------------------------------------------------------------------------------- */

/* A name in a folder is on disk when the folder is. */
static enum err_code sync_folder_of(const char *file, struct err *e)
{
    const char *slash = strrchr(file, '/');
    AUTO(auto_free)
    char *folder = slash ? strndup(file, slash == file ? 1 : (size_t)(slash - file)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    enum err_code code = ERR_OK;

    if (!folder)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (fd < 0 || fsync(fd) != 0)
        code = os_error(folder, e);
    if (fd >= 0)
        (void)close(fd);
    return code;
}

/* like: as for db_sqlite_give_away; NULL: it stays whose it is. */
static enum err_code sync_file(const char *file, const char *like, struct err *e)
{
    int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    enum err_code code = ERR_OK;

    if (fd >= 0 && like)
        db_sqlite_give_away(fd, like);
    if (fd < 0 || fsync(fd) != 0)
        code = os_error(file, e);
    if (fd >= 0 && close(fd) != 0 && !code)
        code = os_error(file, e);
    return code;
}

static enum err_code vacuum_into(const char *path, const char *file, struct err *e)
{
    /* SQLite takes ":memory:" and what begins with "file:" for something else than a file of that name. */
    AUTO(auto_free) char *name = beside(*file == '/' ? "" : "./", file);
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    enum err_code code;
    int rc;

    if (!name)
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((code = db_sqlite_open_reader(path, &db, e)))
        return code;
    rc = sqlite3_prepare_v2(db, "VACUUM INTO $1", -1, &st, NULL);
    if (!rc)
        rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    if (!rc && (rc = sqlite3_step(st)) == SQLITE_DONE)
        rc = SQLITE_OK;
    if (rc)
        code = db_sqlite_explain(db, rc, e);
    (void)sqlite3_finalize(st); /* repeats what the step returned */
    (void)sqlite3_close(db);    /* it only read */
    return code;
}

/* To `file`, which is empty: SQLite would create it for everybody to read. */
static enum err_code fill(const char *path, const char *file, const char *like, struct err *e)
{
    enum err_code code = vacuum_into(path, file, e);

    if (!code)
        code = sync_file(file, like, e);
    if (code)
        (void)unlink(file); /* half a copy is none */
    return code;
}

static enum err_code exists(const char *file, struct err *e)
{
    return err_set(e, ERR_CONFLICT, "%s exists: name a new file", file);
}

/* Takes nobody's name away. Some file systems take no such flag: of them NFS has two names for a file, and FAT by FUSE has not
 * even that, where somebody would have to take the name in this moment. */
static enum err_code name_it(const char *unfinished, const char *file, struct err *e)
{
    if (renameat2(AT_FDCWD, unfinished, AT_FDCWD, file, RENAME_NOREPLACE) == 0)
        return ERR_OK;
    if (errno == EINVAL && link(unfinished, file) == 0) {
        (void)unlink(unfinished);
        return ERR_OK;
    }
    if (errno != EEXIST && errno != ENOENT && rename(unfinished, file) == 0)
        return ERR_OK;
    return errno == EEXIST ? exists(file, e) : os_error(file, e);
}

/* Under its name it is whole and on disk, or not there: a command that is killed leaves nothing that looks like a backup. */
enum err_code db_sqlite_backup(const char *path, const char *file, struct err *e)
{
    AUTO(auto_free) char *unfinished = beside(file, ".unfinished-XXXXXX");
    struct stat st;
    enum err_code code;
    int fd;

    if (!unfinished)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (lstat(file, &st) == 0)
        return exists(file, e);
    fd = mkostemp(unfinished, O_CLOEXEC);
    if (fd < 0)
        return os_error(file, e);
    (void)close(fd); /* nothing was written */
    code = fill(path, unfinished, NULL, e);
    if (!code && (code = name_it(unfinished, file, e)))
        (void)unlink(unfinished);
    else if (!code && (code = sync_folder_of(file, e)))
        (void)unlink(file);
    return code ? err_in(e, "copy it to %s", file) : ERR_OK;
}

/* ---- replacing -------------------------------------------------------------------------------- */

/* What SQLite applies to whatever database stands beside it: the log, and the journal of a transaction that was cut off before
 * there was a log, as of a first start. */
static const char *const logs[] = {"-wal", "-journal"};

static bool copy_all(int from, int to)
{
    char bytes[16 * 1024];
    ssize_t n, w;

    while ((n = read(from, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno != EINTR)
            return false;
        for (ssize_t at = 0; at<n; at += w> 0 ? w : 0)
            if ((w = write(to, bytes + at, (size_t)(n - at))) < 0 && errno != EINTR)
                return false;
    }
    return fsync(to) == 0;
}

/* For file systems on which a file has one name (FAT, SMB, some of FUSE's): another file, which has its name when it is whole. */
static enum err_code keep_copy(const char *path, const char *aside, struct err *e)
{
    AUTO(auto_free) char *unfinished = beside(aside, ".unfinished");
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to = -1;
    enum err_code code = unfinished ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    if (!code && from >= 0)
        to = open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to >= 0)
        db_sqlite_give_away(to, path);
    if (!code && (to < 0 || !copy_all(from, to)))
        code = os_error(from < 0 ? path : unfinished, e);
    if (to >= 0 && close(to) != 0 && !code)
        code = os_error(unfinished, e);
    if (!code)
        code = name_it(unfinished, aside, e);
    if (to >= 0 && code)
        (void)unlink(unfinished);
    if (from >= 0)
        (void)close(from); /* it was only read */
    return code;
}

static bool is_single_named(int error)
{
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
}

/* Gives the file a second name; that there is none is no error. *ret_there: there is one. */
static enum err_code keep(const char *path, const char *aside, bool *ret_there, struct err *e)
{
    struct stat st;

    *ret_there = stat(path, &st) == 0 && st.st_size > 0;
    if (!*ret_there || link(path, aside) == 0)
        return ERR_OK;
    return is_single_named(errno) ? keep_copy(path, aside, e) : os_error(aside, e);
}

static enum err_code take_away(const char *path, const char *end, struct err *e)
{
    AUTO(auto_free) char *name = beside(path, end);

    if (!name)
        return err_set(e, ERR_NOMEM, "out of memory");
    return unlink(name) == 0 || errno == ENOENT ? ERR_OK : os_error(name, e);
}

static enum err_code keep_logs(const char *path, const char *aside, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < sizeof logs / sizeof *logs && !code; i++) {
        AUTO(auto_free) char *log = beside(path, logs[i]);
        AUTO(auto_free) char *aside_log = beside(aside, logs[i]);
        bool had_log;

        if (!log || !aside_log)
            return err_set(e, ERR_NOMEM, "out of memory");
        code = keep(log, aside_log, &had_log, e);
    }
    return code ? code : sync_folder_of(path, e);
}

/* Everything old has a second name, on disk; or nothing has, for a copy takes room. The logs first: without them the old store lacks its
 * last commits, and nobody may find it alone where this is cut off. */
static enum err_code keep_old(const char *path, const char *aside, bool *ret_kept, struct err *e)
{
    bool named = false;
    struct stat st;
    struct err unused;
    enum err_code code = lstat(aside, &st) == 0 ? exists(aside, e) : ERR_OK;

    if (code)
        return code;
    code = keep_logs(path, aside, e);
    if (!code) {
        code = keep(path, aside, ret_kept, e);
        named = !code && *ret_kept;
    }
    if (!code)
        code = sync_folder_of(path, e);
    if (!code)
        return ERR_OK;
    if (named)
        (void)take_away(aside, "", &unused);
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++)
        (void)take_away(aside, logs[i], &unused);
    return code;
}

/* A whole copy that has this name is the store, wherever its replacing was cut off. */
#define READY ".restore-to-finish"

enum err_code db_sqlite_is_replaced(const char *path, bool *ret, struct err *e)
{
    AUTO(auto_free) char *ready = beside(path, READY);
    struct stat st;

    if (!ready)
        return err_set(e, ERR_NOMEM, "out of memory");
    *ret = lstat(ready, &st) == 0;
    return *ret || errno == ENOENT ? ERR_OK : os_error(ready, e);
}

/* The logs go, on disk, before the new database has its name; and without them the old one lacks its last commits, so that
 * nobody may find it alone. */
enum err_code db_sqlite_finish(const char *path, struct err *e)
{
    AUTO(auto_free) char *ready = beside(path, READY);
    enum err_code code = ready ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    for (size_t i = 0; i < sizeof logs / sizeof *logs && !code; i++)
        code = take_away(path, logs[i], e);
    if (!code)
        code = take_away(path, "-shm", e);
    if (!code)
        code = sync_folder_of(path, e);
    if (code)
        return code;
    fault_point("before a restored store has its name");
    if (rename(ready, path) != 0)
        return os_error(path, e);
    fault_point("after a restored store has its name");
    return sync_folder_of(path, e);
}

/* From here on there is no way back, and none is needed. */
static enum err_code make_ready(const char *path, const char *fresh, struct err *e)
{
    AUTO(auto_free) char *ready = beside(path, READY);
    enum err_code code;

    if (!ready)
        return err_set(e, ERR_NOMEM, "out of memory");
    fault_point("before a restore is to be finished");
    if (rename(fresh, ready) != 0)
        return os_error(ready, e);
    fault_point("after a restore is to be finished");
    code = sync_folder_of(path, e);
    if (code)
        (void)unlink(ready); /* the old one is whole */
    return code;
}

/* What a writer leaves beside a database: of who was cut off all of it, else the lock alone. */
static enum err_code clear_beside(const char *path, struct err *e)
{
    static const char *const ends[] = {"-wal", "-journal", "-shm", ".lock"};
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < sizeof ends / sizeof *ends && !code; i++)
        code = take_away(path, ends[i], e);
    return code;
}

/* Lets fit write to the copy, and brings that to the disk. */
static enum err_code make_fit(const char *fresh, const char *like, db_fit_fn fit, void *ctx,
                              struct err *e)
{
    AUTO(auto_free) char *url = beside("sqlite:", fresh);
    AUTO(auto_free) char *log = beside(fresh, "-wal");
    struct stat st;
    enum err_code code;

    if (!url || !log)
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((code = fit(ctx, url, e)))
        return code;
    if (stat(log, &st) == 0 && st.st_size > 0) /* it would stay behind */
        return err_set(e, ERR_IO, "%s: not all of it could be written to the copy", log);
    code = clear_beside(fresh, e);
    return code ? code : sync_file(fresh, like, e);
}

enum err_code db_sqlite_replace(const char *path, const char *from, db_fit_fn fit, void *ctx,
                                char **ret_aside, struct err *e)
{
    AUTO(auto_free) char *fresh = beside(path, ".restoring");
    AUTO(auto_free) char *aside = NULL;
    int64_t now_ms = clock_wall_ms(clock_system());
    time_t now = (time_t)(now_ms / 1000);
    char when[32] = "";
    struct tm utc;
    bool kept = false;
    enum err_code code;
    int fd;

    if (gmtime_r(&now, &utc))
        (void)strftime(when, sizeof when, "%Y%m%dT%H%M%S", &utc);
    if (asprintf(&aside, "%s.before-restore-%s.%03dZ", path, when, (int)(now_ms % 1000)) < 0)
        aside = NULL;
    if (!fresh || !aside)
        return err_set(e, ERR_NOMEM, "out of memory");
    /* Of a restore that was cut off. */
    if ((code = take_away(fresh, "", e)) || (code = clear_beside(fresh, e)))
        return code;
    fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return os_error(fresh, e);
    (void)close(fd); /* nothing was written */
    if ((code = fill(from, fresh, path, e)))
        return err_in(e, "copy it to %s", fresh);
    code = fit ? make_fit(fresh, path, fit, ctx, e) : ERR_OK;
    fault_point("before the old store has its second name");
    if (!code)
        code = keep_old(path, aside, &kept, e);
    if (!code)
        code = make_ready(path, fresh, e);
    if (code) {
        struct err unused;

        (void)unlink(fresh);
        (void)clear_beside(fresh, &unused);
        return code;
    }
    if ((code = db_sqlite_finish(path, e)))
        return err_in(e, "the copy is made, and the next start puts it in its place");
    *ret_aside = NULL;
    if (kept) {
        *ret_aside = aside;
        aside = NULL;
    }
    return ERR_OK;
}
