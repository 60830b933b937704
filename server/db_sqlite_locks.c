/* db_sqlite_locks.c - see db_locks in db.h: who has hold of the files, and whether their filesystem keeps locks.
 *
 * SQLite's locks are of the POSIX kind, which tell their owner's number; ours on the lock file belongs to an open file and
 * does not, so its owner writes the number into it. Everything here looks and takes nothing that others could
 * meet: what is locked to see whether that works is a file without a name. */
#include "db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "auto.h"

/* Bytes that SQLite locks (its sources, os.h: PENDING_BYTE and on; wal.c: WAL_WRITE_LOCK behind WALINDEX_LOCK_OFFSET). A
 * connection in WAL mode holds the shared ones of the database file as long as it is open. */
#define SHARED_FIRST 0x40000002
#define SHARED_SIZE  510
#define WAL_WRITE    120

/* Filesystems whose files other hosts or kernels see, too (statfs(2), linux/magic.h). */
static const struct {
    unsigned magic;
    const char *name;
} networks[] = {
    {0x6969, "NFS"},      {0x517B, "SMB"},      {0xFF534D42, "CIFS"},  {0xFE534D42, "SMB"},
    {0x01021997, "9p"},   {0x00C36400, "Ceph"}, {0x5346414F, "AFS"},   {0x73757245, "Coda"},
    {0x65735546, "FUSE"}, {0x01161970, "GFS2"}, {0x7461636F, "OCFS2"}, {0x0BD00BD0, "Lustre"},
};

static const char *network_of(const char *folder)
{
    struct statfs s;

    if (statfs(folder, &s) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        if ((unsigned)s.f_type == networks[i].magic)
            return networks[i].name;
    return NULL;
}

/* A file in the folder that nobody else sees; -1 with errno. */
static int nameless(const char *folder)
{
    AUTO(auto_free) char *name = NULL;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    if (asprintf(&name, "%s/.cordon-XXXXXX", folder) < 0) {
        name = NULL;
        errno = ENOMEM;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(name);
    return fd;
}

/* Does one open file's lock keep another's away? */
static void compare_locks(int first, int second, struct db_locks *ret)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, again = lock;

    ret->tried = true;
    if (fcntl(first, F_OFD_SETLK, &lock) != 0)
        (void)snprintf(ret->why, sizeof ret->why, "it takes no lock: %s", strerror(errno));
    else if (fcntl(second, F_OFD_SETLK, &again) == 0)
        (void)snprintf(ret->why, sizeof ret->why, "it gives one lock to two at once");
    ret->works = !ret->why[0];
}

/* Where this user cannot write nothing is tried: that is said elsewhere. */
static void try_lock(const char *folder, struct db_locks *ret)
{
    int first = nameless(folder), second;
    char self[40];

    if (first < 0)
        return;
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", first);
    second = open(self, O_RDWR | O_CLOEXEC);
    if (second >= 0) {
        compare_locks(first, second, ret);
        (void)close(second);
    }
    (void)close(first);
}

/* The process that keeps others from locking these bytes of a file; 0: nobody does, or there is no such file. */
static int64_t holder(const char *file, off_t start, off_t len)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool held;

    if (fd < 0)
        return 0;
    held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd);
    return !held ? 0 : lock.l_pid > 0 ? lock.l_pid : -1; /* of another container: no number here */
}

/* Who holds the lock file, by the number that he wrote into it. */
static int64_t server_of(const char *lock_file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(lock_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char text[24] = "";
    bool held;
    long pid;

    if (fd < 0)
        return 0;
    held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (pread(fd, text, sizeof text - 1, 0) < 0)
        text[0] = '\0'; /* it is held all the same */
    (void)close(fd);
    pid = strtol(text, NULL, 10);
    return !held ? 0 : pid > 0 ? pid : -1;
}

enum err_code db_sqlite_locks(const char *rest, struct db_locks *ret, struct err *e)
{
    AUTO(auto_free) char *path = realpath(rest, NULL);
    AUTO(auto_free) char *lock_file = NULL;
    AUTO(auto_free) char *shared = NULL;
    AUTO(auto_free) char *folder = NULL;
    const char *slash;

    *ret = (struct db_locks){.embedded = true};
    if (!path)
        path = strdup(rest); /* not there yet: its folder is */
    slash = path ? strrchr(path, '/') : NULL;
    folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!path || !folder || asprintf(&lock_file, "%s.lock", path) < 0 ||
        asprintf(&shared, "%s-shm", path) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    ret->network = network_of(folder);
    try_lock(folder, ret);
    ret->server = server_of(lock_file);
    if (!ret->server) /* its lock file may have been removed */
        ret->server = holder(path, DB_SQLITE_SERVED_BYTE, 1);
    ret->writer = holder(shared, WAL_WRITE, 1);
    ret->other = holder(path, SHARED_FIRST, SHARED_SIZE);
    if (ret->writer == ret->server)
        ret->writer = 0;
    if (ret->other == ret->server)
        ret->other = 0;
    return ERR_OK;
}
