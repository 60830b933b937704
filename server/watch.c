/* watch.c - see watch.h. A print per path: device, inode, size and times of what the path leads to.
 *
 * stat(2) twice a second, not inotify: a dozen calls cost some 20 us, and they see what inotify does not:
 * a symbolic link anywhere in the path that swings (each folder on the way would have to be watched), a
 * file on NFS or on another kernel's share that was changed over there, a bind mount that was replaced.
 * Nobody rotates a secret in less than a second.
 */
#include "watch.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS_MAX 10 /* of an ever changing set of files, until it is read all the same */

struct print {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct file {
    struct file *next;
    struct print read, seen; /* when it was read; at the last look. All zero: not there */
    char path[];
};

struct watch {
    struct file *files;
    unsigned unsettled; /* looks since the set began to change */
};

enum err_code watch_new(struct watch **ret, struct err *e)
{
    struct watch *w = calloc(1, sizeof *w);

    if (!w)
        return err_set(e, ERR_NOMEM, "watch");
    *ret = w;
    return ERR_OK;
}

void watch_free(struct watch *w)
{
    for (struct file *f = w ? w->files : NULL, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    free(w);
}

static struct print print_of(const struct stat *st)
{
    struct print p = {.size = 0};

    if (st)
        p = (struct print){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
    return p;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same(const struct print *a, const struct print *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           is_same_time(&a->modified, &b->modified) && is_same_time(&a->changed, &b->changed);
}

static void note(struct watch *w, const char *path, const struct print *p)
{
    size_t size = strlen(path) + 1;
    struct file *f = w->files;

    while (f && strcmp(f->path, path) != 0)
        f = f->next;
    if (f || !(f = malloc(sizeof *f + size)))
        return;
    f->next = w->files;
    f->read = f->seen = *p;
    memcpy(f->path, path, size);
    w->files = f;
}

void watch_note(struct watch *w, const char *path, const struct stat *st)
{
    struct print p;

    if (!w || (st && !S_ISREG(st->st_mode)))
        return;
    p = print_of(st);
    note(w, path, &p);
}

void watch_take_over(struct watch *w, const struct watch *old)
{
    for (const struct file *f = old->files; f; f = f->next)
        note(w, f->path, &f->seen);
}

const char *watch_look(struct watch *w)
{
    const char *other = NULL;
    bool moving = false;

    for (struct file *f = w->files; f; f = f->next) {
        struct stat st;
        struct print now;

        now = print_of(stat(f->path, &st) == 0 ? &st : NULL);
        moving = moving || !is_same(&now, &f->seen);
        f->seen = now;
        if (!is_same(&now, &f->read))
            other = f->path;
    }
    w->unsettled = other ? w->unsettled + 1 : 0;
    return moving && w->unsettled < LOOKS_MAX ? NULL : other;
}
