/* doctor_store.c - see doctor_own.h: the store, who has hold of it, its room. */
#include "doctor_own.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "audit.h"
#include "store_check.h"

#define SHOWN_MAX 8 /* findings of one kind that are shown */

#define ROOM_WARN ((int64_t)1024 * 1024 * 1024) /* bytes free on the store's disk */
#define ROOM_BAD  ((int64_t)64 * 1024 * 1024)

struct counted {
    struct doctor *d;
    unsigned n;
};

static void store_found(void *ctx, const char *text)
{
    struct counted *c = ctx;

    if (c->n++ < SHOWN_MAX)
        doctor_say(c->d, DOCTOR_BAD,
                   "stop cordon, keep the files, and `cordon store restore` a backup", "%s", text);
}

static void look_into_store(struct doctor *d, struct store *s)
{
    struct counted found = {.d = d};
    struct audit_report audit;
    const char *doubt = NULL;
    struct err e = {0};

    if (!db_doubt(s->db, &doubt, &e) && doubt)
        doctor_say(d, DOCTOR_BAD, "let its administrator set fsync = on, and reload it", "%s",
                   doubt);
    if (store_check(s, store_found, &found, &e))
        doctor_say(d, DOCTOR_BAD, "see its disk", "the store cannot be read: %s", e.text);
    else if (!found.n)
        doctor_say(d, DOCTOR_OK, NULL, "%s is sound", db_name(s->db));
    if (audit_verify(s, NULL, &audit, &e))
        doctor_say(d, DOCTOR_BAD, "see its disk", "the audit cannot be read: %s", e.text);
    else if (!audit.whole)
        doctor_say(d, DOCTOR_BAD,
                   "somebody wrote to the store beside cordon: find out who, and keep the files",
                   "the audit is broken at record %" PRId64 ": %s", audit.broken, audit.why);
    else
        doctor_say(d, DOCTOR_OK, NULL, "the audit is whole: %" PRId64 " records", audit.records);
}

static void look_at_room(struct doctor *d, const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *folder = slash ? arena_strn(d->arena, file, (size_t)(slash - file) + 1) : ".";
    struct statvfs v;
    int64_t room;

    if (!folder || statvfs(folder, &v) != 0) {
        doctor_say(d, DOCTOR_BAD, "make the folder, and let cordon's user write into it",
                   "the store's folder %s cannot be seen", folder ? folder : file);
        return;
    }
    room = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
    if (access(folder, W_OK) != 0)
        doctor_say(d, DOCTOR_WARN,
                   "run this as cordon's own user; if that is who you are, let it write there",
                   "the store's folder %s cannot be written to by this user", folder);
    if (room < ROOM_WARN)
        doctor_say(d, room < ROOM_BAD ? DOCTOR_BAD : DOCTOR_WARN,
                   "give the disk more room: without any, senders are answered 503",
                   "%" PRId64 " MiB are free on the store's disk", room >> 20);
    else
        doctor_say(d, DOCTOR_OK, NULL, "%" PRId64 " MiB are free on the store's disk", room >> 20);
}

/* "4711 (sqlite3)"; -1: nobody here knows its number. In the arena. */
static const char *process(struct doctor *d, int64_t pid)
{
    char path[64], name[64] = "";
    const char *text = NULL;
    FILE *f;

    if (pid < 0)
        return "of another container or user";
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
    f = fopen(path, "re");
    if (f && fgets(name, sizeof name, f))
        text = arena_fmt(d->arena, "%" PRId64 " (%.*s)", pid, (int)strcspn(name, "\n"), name);
    else
        text = arena_fmt(d->arena, "%" PRId64, pid);
    if (f)
        (void)fclose(f);
    return text ? text : "";
}

/* The file of an embedded store by its whole name: a relative one is another in another folder. */
static const char *store_place(struct doctor *d)
{
    const char *colon = strchr(d->o->config->store_url, ':');
    const char *file = colon ? colon + 1 : d->o->config->store_url;
    char folder[PATH_MAX];

    if (file[0] == '/' || !getcwd(folder, sizeof folder))
        return file;
    return arena_fmt(d->arena, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, file);
}

/* Who has hold of it, before this process opens it itself. */
static void look_at_locks(struct doctor *d, const char *place)
{
    struct db_locks l;
    struct err e = {0};

    if (db_locks(d->o->config->store_url, &l, &e) || !l.embedded)
        return; /* a url that is wrong is said where it is opened */
    if (l.network)
        doctor_say(
            d,
            strcmp(l.network, "FUSE") == 0 ? DOCTOR_WARN : DOCTOR_BAD, /* that may be local, too */
            "put store.url on a disk of this host, or use postgresql: for several hosts",
            "the store is on a network or shared filesystem (%s): its locks and memory hold within one host alone, "
            "and two servers could write at once",
            l.network);
    if (l.tried && !l.works)
        doctor_say(
            d, DOCTOR_BAD,
            "put store.url on a local filesystem (ext4, xfs, btrfs): without locks a second server would not be kept away",
            "the filesystem of the store keeps no locks: %s", l.why);
    if (l.server)
        doctor_say(d, DOCTOR_OK, NULL, "process %s serves the store and holds its lock",
                   process(d, l.server));
    else if (l.tried && l.works && !l.writer && !l.other)
        doctor_say(d, DOCTOR_OK, NULL, "the store's lock is free: no server runs on %s", place);
    if (l.writer)
        doctor_say(
            d, DOCTOR_BAD,
            "end it: cordon alone may write to its store; `cordon store backup` makes a copy to work with",
            "process %s, which is not the server, is writing to the store", process(d, l.writer));
    else if (l.other)
        doctor_say(
            d, DOCTOR_WARN,
            "end it when it is not yours: reading does no harm for a moment, but keeps the log from being cut; "
            "`cordon store backup` makes a copy to work with",
            "process %s, which is not the server, has the store open", process(d, l.other));
}

/* An upgraded program before its first start, which is no reason not to start it. */
static bool is_older(struct doctor *d)
{
    const struct config *c = d->o->config;
    AUTO(store_freep) struct store *s = NULL;

    return !store_open_since(c->store_url, c->store_password.text, STORE_SINCE_EVER, d->o->clock,
                             &s, NULL);
}

void doctor_look_at_store(struct doctor *d)
{
    static const char sqlite[] = "sqlite:";
    const struct config *c = d->o->config;
    const char *place = store_place(d);
    const bool is_file = strncmp(c->store_url, sqlite, sizeof sqlite - 1) == 0;
    AUTO(store_freep) struct store *s = NULL;
    struct err e = {0};
    enum err_code code;

    d->part = "store";
    look_at_locks(d, place);
    code = store_open_as(c->store_url, c->store_password.text, true, d->o->clock, &s, &e);
    if (code == ERR_NOT_FOUND)
        doctor_say(d, DOCTOR_OK, NULL, "there is no store yet: the first start makes %s", place);
    else if (code == ERR_REFUSED && is_older(d))
        doctor_say(
            d, DOCTOR_WARN,
            is_file
                ? "back it up before the first start, which migrates it: no older cordon reads it "
                  "afterwards; `cordon store backup FILE`"
                : "back it up before the first start, which migrates it: no older cordon writes to "
                  "it afterwards; pg_dump, and start this one when that is done",
            "it is an older cordon's: %s", e.text);
    else if (code)
        doctor_say(d, DOCTOR_BAD, "what it says says what to do", "%s", e.text);
    else
        look_into_store(d, s);
    if (is_file)
        look_at_room(d, c->store_url + sizeof sqlite - 1);
}
