/* db_sqlite_store.c - the files of a store, and who holds them; see db_sqlite_own.h. */
#include "db_sqlite_own.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the files -------------------------------------------------------------------------------- */

/* What errno says of the file called name. */
static enum err_code os_error(const char *name, struct err *e)
{
    enum err_code code = errno == ENOMEM ? ERR_NOMEM : errno == ENOSPC ? ERR_AGAIN : ERR_IO;

    return err_set(e, code, "%s: %s", name, strerror(errno));
}

static char *join(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    char *s = malloc(na + nb + 1);

    if (s) {
        memcpy(s, a, na);
        memcpy(s + na, b, nb + 1);
    }
    return s;
}

/* The absolute name of the database file, links resolved, so that one file has one lock file. */
static enum err_code find_path(const char *name, bool read_only, char **ret, struct err *e)
{
    AUTO(auto_free) char *whole = realpath(name, NULL);
    AUTO(auto_free) char *folder = NULL;
    AUTO(auto_free) char *parent = NULL;
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    struct stat st;

    if (whole) {
        if (stat(whole, &st) == 0 && !S_ISREG(st.st_mode))
            return err_set(e, ERR_INVALID, "%s is not a file", name);
        *ret = whole;
        whole = NULL;
        return ERR_OK;
    }
    if (errno != ENOENT && errno != ENOTDIR)
        return os_error(name, e);
    if (lstat(name, &st) == 0)
        return err_set(e, ERR_IO, "%s is a link to a file that does not exist", name);
    folder = slash ? strndup(name, slash == name ? 1 : (size_t)(slash - name)) : strdup(".");
    if (!folder)
        return err_set(e, ERR_NOMEM, "out of memory");
    parent = realpath(folder, NULL);
    if (!parent)
        return os_error(folder, e);
    if (asprintf(&whole, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, base) < 0) {
        whole = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    if (read_only) /* said whole: who looks in another folder than the server's finds another store, or none */
        return err_set(e, ERR_NOT_FOUND, "%s does not exist%s", whole,
                       *name == '/'
                           ? ""
                           : "; a relative name is of the folder that the command runs in: "
                             "go to the server's (under systemd /var/lib/cordon)");
    *ret = whole;
    whole = NULL;
    return ERR_OK;
}

void db_sqlite_give_away(int fd, const char *like)
{
    AUTO(auto_free) char *folder = strdup(like);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    struct stat own, st;

    if (geteuid() != 0 || !slash || fstat(fd, &own) != 0 || own.st_nlink != 1)
        return;
    slash[slash == folder] = '\0';
    if ((stat(like, &st) == 0 && (st.st_ino != own.st_ino || st.st_dev != own.st_dev)) ||
        stat(folder, &st) == 0)
        (void)!fchown(fd, st.st_uid, st.st_gid); /* a root that may not: it is root's then */
}

/* Open file description locks: unlike those of lockf(3) they do not vanish when somebody in this
 * process opens and closes the file, and they also keep this process from serving a file twice. */
static enum err_code take_lock(struct db_store *s, struct err *e)
{
    AUTO(auto_free) char *name = join(s->path, ".lock");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char pid[24] = "";
    ssize_t n;
    int len;

    if (!name)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return os_error(name, e);
    db_sqlite_give_away(s->lock_fd, s->path);
    if (fcntl(s->lock_fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES)
            return os_error(name, e);
        n = pread(s->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';
        return err_set(e, ERR_CONFLICT, "process %s serves it already (it holds %s)",
                       pid[0] ? pid : "(unknown)", name);
    }
    len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)len, 0) != len) {
        /* The number is for people; the lock holds without it, also on a full disk. */
    }
    return ERR_OK;
}

/* SQLite would create it for everybody to read; its log and -shm file take its mode over. Only a file
 * that nobody has open yet is opened and closed here: closing drops a process's locks on a file. */
static enum err_code create_private(struct db_store *s, struct err *e)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0) {
        db_sqlite_give_away(fd, s->path);
        (void)close(fd); /* nothing was written */
    } else if (errno != EEXIST) {
        return os_error(s->path, e);
    }
    return ERR_OK;
}

/* Closing a file of the database drops all locks that SQLite has on it in this process: this one stays open until all of
 * SQLite's are closed. */
static enum err_code lock_file(struct db_store *s, struct err *e)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = DB_SQLITE_SERVED_BYTE, .l_len = 1};
    struct stat st;

    s->file_fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (s->file_fd < 0 || fstat(s->file_fd, &st) != 0)
        return os_error(s->path, e);
    if (fcntl(s->file_fd, F_OFD_SETLK, &lock) != 0)
        return errno != EAGAIN && errno != EACCES
                   ? os_error(s->path, e)
                   : err_set(
                         e, ERR_CONFLICT,
                         "a process serves it already, whose lock file %s.lock was removed: end "
                         "that one first",
                         s->path);
    s->file = st.st_ino;
    return ERR_OK;
}

/* sqlite.org/fileformat2.html, 1.3.3: a database without a log. */
enum { WRITE_VERSION = 18, LEGACY = 1 };

/* Asked before each commit, and not with stat(2), which asks for the file's times, too: from Linux 6.13 a time that was
 * asked for is not the next one (multigrain timestamps), so each commit would change the log's inode, and ext4 without a
 * journal writes that at each sync: 240 us instead of 175 for one of 64 KiB. */
static ino_t file_at(const char *path)
{
    struct statx st;

    return statx(AT_FDCWD, path, 0, STATX_INO, &st) == 0 ? (ino_t)st.stx_ino : 0;
}

enum err_code db_sqlite_check_place(struct db_store *s, bool *ret_overwritten, struct err *e)
{
    unsigned char version = 0;
    ino_t log;

    *ret_overwritten = false;
    if (s->file_fd < 0)
        return ERR_OK;
    log = file_at(s->log_path);
    if (file_at(s->path) != s->file || (s->log && log != s->log))
        return err_set(
            e, ERR_IO,
            "%s: its files were moved, deleted or replaced while it is served: nothing is "
            "accepted until they are back, or it is started again with those that are "
            "there",
            s->path);
    /* What cannot be read is said by who reads it. */
    if (s->log && pread(s->file_fd, &version, 1, WRITE_VERSION) == 1 && version == LEGACY) {
        *ret_overwritten = true;
        return err_set(
            e, ERR_IO,
            "%s: a backup was copied over it while it is served: nothing is accepted; end "
            "the server, and then use `cordon store restore FILE`",
            s->path);
    }
    if (s->anchor) /* it has the log open */
        s->log = log;
    return ERR_OK;
}

static int64_t file_size(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

enum err_code db_sqlite_check_log(struct db_store *s, struct err *e)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    AUTO(auto_free) sqlite3_file *f = NULL;
    unsigned char version = 0;
    sqlite3_filename name;
    int rc;

    if (file_size(s->log_path) == 0 || file_size(s->path) == 0)
        return ERR_OK;
    f = calloc(1, (size_t)vfs->szOsFile);
    name = sqlite3_create_filename(s->path, "", "", 0, NULL);
    if (!f || !name) {
        sqlite3_free_filename(name);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    rc = vfs->xOpen(vfs, name, f, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY, NULL);
    if (!rc)
        rc = f->pMethods->xRead(f, &version, 1, WRITE_VERSION);
    if (f->pMethods)
        (void)f->pMethods->xClose(f); /* it only read */
    sqlite3_free_filename(name);
    if (!rc && version == LEGACY)
        return err_set(e, ERR_REFUSED,
                       "%s is the log of another database: put a backup in its place with `cordon "
                       "store restore FILE`, not by copying it",
                       s->log_path);
    return ERR_OK; /* what cannot be read is said by who opens it */
}

enum err_code db_sqlite_rewrite_log(struct db_store *s, struct err *e)
{
    enum { CHUNK = 64 * 1024 }; /* SQLite's own layer takes less than 128 KiB at once */
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    AUTO(auto_free) sqlite3_file *f = calloc(1, (size_t)vfs->szOsFile);
    AUTO(auto_free) char *bytes = malloc(CHUNK);
    int64_t at = 0, size = file_size(s->log_path);
    sqlite3_filename name;
    int rc;

    if (size == 0)
        return ERR_OK;
    name = sqlite3_create_filename(s->log_path, "", "", 0, NULL);
    if (!f || !bytes || !name) {
        sqlite3_free_filename(name);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    rc = vfs->xOpen(vfs, name, f, SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE, NULL);
    while (!rc && at < size) {
        int n = size - at < CHUNK ? (int)(size - at) : CHUNK;

        rc = f->pMethods->xRead(f, bytes, n, at);
        if (!rc)
            rc = f->pMethods->xWrite(f, bytes, n, at);
        at += n;
    }
    if (!rc)
        rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    if (f->pMethods)
        (void)f->pMethods->xClose(f); /* synced, or an error already */
    sqlite3_free_filename(name);
    if (!rc)
        return ERR_OK;
    (void)db_sqlite_explain(NULL, rc, e);
    return err_in(e, "write its log again");
}

/* ---- a store ---------------------------------------------------------------------------------- */

void db_sqlite_close(struct db_store *s)
{
    (void)sqlite3_close(s->anchor); /* NULL is fine; it reads nothing, so nothing can fail */
    if (s->file_fd >= 0)
        (void)close(s->file_fd);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd); /* lets the lock go; the file stays, for removing it would race */
    free(s->path);
    free(s->log_path);
    free(s);
}

static void store_freep(struct db_store **s)
{
    if (*s)
        db_sqlite_close(*s);
}

/* Its bookkeeping of memory takes one lock for all threads; and each connection would begin with room for twenty
 * pages, used or not. Too late is no fault: the process was then started by somebody who set SQLite up before. */
static void set_up_sqlite(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

enum err_code db_sqlite_open(const char *rest, const char *password, bool read_only,
                             struct db_store **ret, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    AUTO(store_freep) struct db_store *s = NULL;
    bool cut_off = false;
    enum err_code code;

    if (password)
        return err_set(e, ERR_INVALID, "SQLite takes no password");
    if (!*rest || *rest == ':')
        return err_set(e, ERR_INVALID, "a file is named, as in sqlite:cordon.db");
    if (strncmp(rest, "//", 2) == 0)
        return err_set(e, ERR_INVALID, "no host is named: sqlite:cordon.db or sqlite:/a/path");
    (void)pthread_once(&once, set_up_sqlite);
    s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->lock_fd = s->file_fd = -1;
    s->read_only = read_only;
    if ((code = find_path(rest, read_only, &s->path, e)))
        return code;
    s->log_path = join(s->path, "-wal");
    if (!s->log_path)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!read_only && (code = take_lock(s, e)))
        return code;
    if ((code = db_sqlite_is_replaced(s->path, &cut_off, e)))
        return code;
    if (cut_off) {
        if (read_only)
            return err_set(e, ERR_AGAIN,
                           "%s: a restore is not finished; the server does it as it "
                           "starts",
                           s->path);
        if ((code = db_sqlite_finish(s->path, e)))
            return err_in(e, "finish a restore");
    }
    if (!read_only && ((code = create_private(s, e)) || (code = lock_file(s, e))))
        return code;
    *ret = s;
    s = NULL;
    return ERR_OK;
}

const char *db_sqlite_name(struct db_store *s)
{
    return s->path;
}

int64_t db_sqlite_size(struct db_store *s)
{
    return file_size(s->path) + file_size(s->log_path);
}
