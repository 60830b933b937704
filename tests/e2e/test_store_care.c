/* test_store_care.c - `cordon store`: checking, copying and replacing the store of a whole house, and what becomes
 * of alerts that the store forgot by that.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "kit/disk.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/postgres.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON    30000 /* ms; a deadline, not a wait */
#define TELL    "  - name: tell\n    do: [email: {}]\n"
#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void add(struct house *h, const char *alert, const char *severity)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", MACHINE);
    sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\"}", alert,
              severity, MACHINE);
}

/* Runs `cordon store WORD [file]`; the exit code must be `code`, and `says` in what it says. */
static void store(struct house *h, const char *word, const char *file, int code, const char *says)
{
    const char *const args[] = {"store", word, "-c", h->config_file, file, NULL};
    char *out = NULL;
    int got = house_run(h, &out, args);

    if (got != code || !out || !strstr(out, says))
        fail_msg("store %s: exit %d, and no '%s' in: %s", word, got, says, out ? out : "");
    free(out);
}

static void file_in(const struct house *h, const char *name, char out[400])
{
    (void)snprintf(out, 400, "%s/%s", h->dir, name);
}

static void push_and_wait(struct house *h, const char *alert)
{
    AUTO(json_freep) struct json *answer = house_push(h, alert, NULL, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);

    assert_non_null(c);
}

static size_t count_cases(struct house *h)
{
    AUTO(json_freep) struct json *list = house_get(h, "/api/cases?limit=100");

    return json_count(json_get(list, "cases"));
}

/* ---- check ------------------------------------------------------------------------------------------ */

static void test_store_care__a_sound_store_is_sound_while_it_is_served(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add(h, "da1_-1", "High");
    push_and_wait(h, "da1_-1");
    store(h, "check", NULL, 0, "sound");
    house_cordon_stop(h);
    store(h, "check", NULL, 0, "sound");
    house_stop(h);
}

/* The answer of `cordon store check --json`. */
static struct json *check_json(struct house *h, int code)
{
    char *out = NULL;
    struct json *doc = NULL;

    if (house_run(h, &out, WORDS("store", "check", "--json", "-c", h->config_file)) != code || !out)
        fail_msg("store check --json: %s", out ? out : "");
    out[strcspn(out, "\n")] = '\0'; /* what stands behind it is stderr's */
    if (json_parse(out, strlen(out), &doc, NULL))
        fail_msg("no JSON: %s", out);
    free(out);
    return doc;
}

static void test_store_care__check_is_for_programs_too(void **state)
{
    struct house *h = house_start(NULL);
    char *out = NULL;

    (void)state;
    add(h, "da1_-1", "High");
    push_and_wait(h, "da1_-1");
    AUTO(json_freep) struct json *good = check_json(h, 0);
    assert_true(json_is_true(json_get(good, "sound")));
    assert_int_equal(json_count(json_get(good, "findings")), 0);
    house_cordon_stop(h);
    assert_string_equal(
        disk_sql(h->store_file, "INSERT INTO work VALUES (7, 0, 1, 0, NULL, 0, 0, 0)", NULL, 0),
        "");
    AUTO(json_freep) struct json *bad = check_json(h, 1);
    assert_int_equal(json_type(json_get(bad, "sound")), JSON_BOOL);
    assert_false(json_is_true(json_get(bad, "sound")));
    assert_non_null(
        strstr(json_string(json_first(json_get(bad, "findings"))), "work for the case"));
    assert_int_equal(unlink(h->store_file), 0);
    AUTO(json_freep) struct json *none = check_json(h, 1);
    assert_int_equal(json_type(json_get(none, "sound")), JSON_NULL);
    assert_non_null(strstr(json_get_string(none, "why"), "does not exist"));
    house_edit(h, "\nstore:", "\nstore: [");
    assert_int_equal(house_run(h, &out, WORDS("store", "check", "--json", "-c", h->config_file)),
                     1);
    assert_non_null(strstr(out, "\"sound\":null,\"why\":\"the configuration does not say"));
    free(out);
    house_stop(h);
}

static void test_store_care__check_names_what_leads_nowhere(void **state)
{
    static const struct {
        const char *sql, *says;
    } rows[] = {
        {"INSERT INTO work VALUES (7, 0, 1, 0, NULL, 0, 0, 0)", "work for the case 0000000000007"},
        {"INSERT INTO work VALUES (8, 1, 1, 0, NULL, 0, 0, 0)", "work for the isolation"},
        {"INSERT INTO work VALUES (9, 2, 1, 0, NULL, 0, 0, 0)", "work for the notice"},
        {"INSERT INTO work VALUES (10, 7, 1, 0, NULL, 0, 0, 0)", "work for the action"},
        {"INSERT INTO work VALUES (11, 8, 1, 0, NULL, 0, 0, 0)", "work for the question"},
        {"INSERT INTO questions VALUES (12, 'limit', 'open', 's', 'w', 'p', NULL, 1, 0, 0, 0, 0)",
         "no work will end it"},
        {"INSERT INTO actions VALUES (13, 1, 't', 'm', 'scan', NULL, 'c', 'pending', NULL, NULL, NULL, 0, 0, 0, 0, 0)",
         "is under way, and no work will follow it"},
        {"UPDATE cases SET state = 'acting'", "no work will take it further"},
        {"UPDATE cases SET state = 'waiting'", "waits for an isolation that is over"},
        {"UPDATE cases SET isolation = 77", "names an isolation that is not there"},
        {"UPDATE isolations SET state = 'pending'", "no work will follow it"},
        {"UPDATE notices SET state = 'waiting'", "no work will send it"},
        {"DELETE FROM notices", "recipients of the notice"},
        {"DELETE FROM cases", "steps of the case"},
    };
    struct house *h = house_start(NULL);
    char sound[400];

    (void)state;
    file_in(h, "sound", sound);
    add(h, "da1_-1", "High");
    push_and_wait(h, "da1_-1");
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
    assert_non_null(mails);
    store(h, "backup", sound, 0, "bytes");
    house_cordon_stop(h);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        store(h, "restore", sound, 0, "restored");
        store(h, "check", NULL, 0, "sound");
        assert_string_equal(disk_sql(h->store_file, rows[i].sql, NULL, 0), "");
        store(h, "check", NULL, 1, rows[i].says);
    }
    store(h, "restore", sound, 0, "restored");
    house_stop(h);
}

/* ---- backup ----------------------------------------------------------------------------------------- */

struct load {
    struct house *h;
    _Atomic bool end;
    _Atomic unsigned accepted;
};

static void *push_on(void *arg)
{
    struct load *l = arg;

    for (unsigned i = 0; !l->end && i < 20000; i++) {
        struct fetched f;
        char body[100];

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%u_-7\"}", i);
        (void)house_post(l->h, NULL, body, &f);
        l->accepted += f.status == 202;
        fetched_clear(&f);
    }
    return NULL;
}

static void wait_accepted(const struct load *l, unsigned n)
{
    LOOK_FOR(l->accepted >= n, SOON, "%u accepted of %u", l->accepted, n);
}

static int number_of(const char *path, const char *sql)
{
    char text[40] = "";

    assert_string_equal(disk_sql(path, sql, text, sizeof text), "");
    return atoi(text);
}

static void test_store_care__a_backup_under_load_is_whole_and_private(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    struct load l = {.h = h};
    char file[400], text[40] = "";
    struct stat st;
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, push_on, &l), 0);
    for (int i = 0; i < 5; i++) {
        unsigned before;
        int cases;

        (void)snprintf(file, sizeof file, "%s/backup-%d", h->dir, i);
        wait_accepted(&l, (unsigned)(i + 1) * 20);
        before = l.accepted;
        store(h, "backup", file, 0, "bytes");
        cases = number_of(file, "SELECT count(*) FROM cases");
        if (cases < (int)before) /* what was answered before it is in it */
            fail_msg("%d cases of %u", cases, before);
        assert_string_equal(disk_sql(file, "PRAGMA integrity_check", text, sizeof text), "");
        assert_string_equal(text, "ok");
        /* of one moment: a case has its delivery */
        assert_int_equal(number_of(file, "SELECT count(*) FROM cases WHERE delivery NOT IN"
                                         " (SELECT id FROM deliveries)"),
                         0);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    store(h, "backup", file, 1, "exists");
    store(h, "backup", "/nonexistent/file", 1, "/nonexistent/file");
    store(h, "backup", "-", 2, "standard output");   /* who pipes it would keep one line of text */
    store(h, "backup", ":memory:", 0, ":memory:: "); /* for SQLite no name of a file */
    assert_int_equal(number_of("./:memory:", "PRAGMA application_id"), 0x6372646e);
    assert_int_equal(unlink("./:memory:"), 0);
    l.end = true;
    (void)pthread_join(t, NULL);
    house_stop(h);
}

static size_t count_unfinished(const char *folder)
{
    DIR *d = opendir(folder);
    size_t n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, ".unfinished-") != NULL;
    if (d)
        (void)closedir(d);
    return n;
}

/* By the kernel, as it writes beyond what it may. */
static void test_store_care__a_backup_that_is_killed_is_none(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    const char *args[] = {"store", "backup", "-c", h->config_file, NULL, NULL};
    struct rlimit before, little = {.rlim_cur = 96 * 1024};
    char file[400], *out = NULL;
    size_t left;

    (void)state;
    file_in(h, "backup", file);
    args[4] = file;
    add(h, "da1_-1", "Low");
    push_and_wait(h, "da1_-1");
    house_cordon_stop(h);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    little.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    assert_int_not_equal(house_run(h, &out, args), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    free(out);
    assert_int_equal(access(file, F_OK), -1);
    left = count_unfinished(h->dir);
    assert_true(left > 0);
    store(h, "backup", file, 0, "bytes");
    assert_int_equal(count_unfinished(h->dir), left);
    assert_int_equal(number_of(file, "SELECT count(*) FROM cases"), 1);
    house_stop(h);
}

/* ---- restore ---------------------------------------------------------------------------------------- */

/* The old store that a restore put aside; false: there is none. */
static bool find_aside(const struct house *h, char out[600])
{
    DIR *d = opendir(h->dir);
    bool found = false;

    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "cordon.db.before-restore-", 25) == 0 &&
            !strstr(e->d_name, "-wal") && !strstr(e->d_name, "-journal")) {
            (void)snprintf(out, 600, "%s/%s", h->dir, e->d_name);
            found = true;
        }
    if (d)
        (void)closedir(d);
    return found;
}

static void test_store_care__after_a_restore_a_forgotten_alert_isolates_nothing_twice(void **state)
{
    struct house *h = house_start(NULL);
    char file[400], aside[600];

    (void)state;
    file_in(h, "backup", file);
    add(h, "da1_-1", "Low");
    add(h, "da2_-1", "High");
    push_and_wait(h, "da1_-1");
    store(h, "backup", file, 0, "bytes");
    push_and_wait(h, "da2_-1");
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);
    store(h, "restore", file, 1, "serves it already");
    assert_int_equal(count_cases(h), 2); /* the running one is none the worse */
    house_cordon_kill(h);                /* its log stays: it must not be applied to the backup */
    store(h, "restore", file, 0, "is kept as");
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 1);
    push_and_wait(h, "da2_-1"); /* as polling or a sender would bring it again */
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);
    assert_int_equal(count_cases(h), 2);
    assert_true(find_aside(h, aside));
    house_cordon_stop(h);
    store(h, "restore", aside, 0, "restored"); /* and back: nothing of the old one was lost */
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 2);
    house_stop(h);
}

static void scribble(const char *path, off_t at, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    char junk[4096];

    assert_true(fd >= 0);
    memset(junk, 0x5a, sizeof junk);
    for (size_t done = 0; done < len; done += sizeof junk)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at + (off_t)done), sizeof junk);
    (void)close(fd);
}

/* The kill switch survives the store that it was thrown in. */
static void test_store_care__a_pause_outlives_a_restore(void **state)
{
    struct house *h = house_start(NULL);
    const char *const verify[] = {"audit", "verify", "-c", h->config_file, NULL};
    char file[400], paused[400], *out = NULL;

    (void)state;
    file_in(h, "backup", file);
    add(h, "da1_-1", "Low");
    add(h, "da2_-1", "High");
    push_and_wait(h, "da1_-1");
    store(h, "backup", file, 0, "bytes");
    assert_int_equal(house_order(h, "/api/pause", "{\"by\":\"maria\",\"why\":\"a drill\"}"), 200);
    house_cordon_kill(h);
    store(h, "restore", file, 0, "paused by maria: a drill, as before");
    store(h, "check", NULL, 0, "sound");
    house_cordon_start(h);
    push_and_wait(h, "da2_-1");
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    if (house_run(h, &out, verify))
        fail_msg("%s", out);
    free(out);
    file_in(h, "paused", paused);
    store(h, "backup", paused, 0, "bytes");
    assert_int_equal(house_order(h, "/api/resume", "{\"by\":\"maria\",\"why\":\"it is over\"}"),
                     200);
    house_cordon_stop(h);
    store(h, "restore", paused, 0, "paused by maria: a drill, when the backup was made");
    scribble(h->store_file, 0, 4096);
    store(h, "restore", file, 0, "whether that one was paused cannot be read");
    house_stop(h);
}

/* Without its log the old store lacks its last commits: who finds it so, finds the one that was restored. Killing there,
 * and at every other moment, is `make crash`'s (tests/crash/points.c). */
static void test_store_care__a_restore_that_was_cut_off_is_finished(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char file[400], log[420];

    (void)state;
    file_in(h, "cordon.db.restore-to-finish", file);
    (void)snprintf(log, sizeof log, "%s-wal", h->store_file);
    add(h, "da1_-1", "Low");
    add(h, "da2_-1", "Low");
    push_and_wait(h, "da1_-1");
    store(h, "backup", file, 0, "bytes"); /* as the restore makes its copy */
    push_and_wait(h, "da2_-1");
    house_cordon_kill(h);
    assert_int_equal(unlink(log), 0);
    store(h, "check", NULL, 1, "a restore is not finished");
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 1);
    assert_int_equal(access(file, F_OK), -1);
    store(h, "check", NULL, 0, "sound");
    house_stop(h);
}

/* A process that dies in the middle of a transaction of a store that has no log, as one has none until it is first served. */
static void cut_off(const char *path)
{
    const struct rlimit little = {1024 * 1024, 1024 * 1024};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (setrlimit(RLIMIT_FSIZE, &little) == 0) /* who writes beyond it is killed */
            (void)disk_sql(path,
                           "PRAGMA cache_size = 1; BEGIN; DELETE FROM cases; CREATE TABLE junk (x);"
                           " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                           " WHERE i < 900) INSERT INTO junk SELECT hex(randomblob(2000)) FROM n",
                           NULL, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void test_store_care__a_restored_store_takes_nothing_of_what_was_cut_off_before(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char one[400], many[400], aside[600];

    (void)state;
    file_in(h, "one", one);
    file_in(h, "many", many);
    add(h, "da0_-1", "Low");
    push_and_wait(h, "da0_-1");
    store(h, "backup", one, 0, "bytes");
    for (int i = 1; i < 8; i++) {
        char id[40];

        (void)snprintf(id, sizeof id, "da%d_-1", i);
        add(h, id, "Low");
        push_and_wait(h, id);
    }
    store(h, "backup", many, 0, "bytes");
    house_cordon_stop(h);
    assert_int_equal(unlink(h->store_file), 0);
    store(h, "restore", one, 0, "restored");
    cut_off(h->store_file);
    store(h, "check", NULL, 1, "the server takes it back as it starts");
    store(h, "restore", many, 0, "is kept as");
    store(h, "check", NULL, 0, "sound");
    assert_true(find_aside(h, aside));
    assert_int_equal(number_of(aside, "SELECT count(*) FROM cases"), 1); /* taken back */
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 8);
    house_stop(h);
}

static void owned_by(const char *path, const char *end, uid_t owner)
{
    char name[460];
    struct stat st;

    (void)snprintf(name, sizeof name, "%s%s", path, end);
    assert_int_equal(stat(name, &st), 0);
    if (st.st_uid != owner || (st.st_mode & 07777) != 0600)
        fail_msg("%s: of user %u, mode %o", name, st.st_uid, st.st_mode & 07777);
}

/* Who cares for a store is often root, and who serves it is not. */
static void test_store_care__what_root_restores_is_the_servers(void **state)
{
    enum { SERVER = 12345 };
    struct house *h;
    char file[400], lock[400];

    (void)state;
    if (geteuid() != 0)
        skip();
    h = house_start(&(struct house_options){.rules = TELL});
    file_in(h, "backup", file);
    (void)snprintf(lock, sizeof lock, "%s.lock", h->store_file);
    add(h, "da1_-1", "Low");
    push_and_wait(h, "da1_-1");
    store(h, "backup", file, 0, "bytes");
    house_cordon_stop(h);
    assert_int_equal(chown(h->store_file, SERVER, SERVER), 0);
    store(h, "restore", file, 0, "is kept as");
    owned_by(h->store_file, "", SERVER);
    /* on a new host there is only a folder */
    assert_int_equal(unlink(h->store_file), 0);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(chown(h->dir, SERVER, SERVER), 0);
    store(h, "restore", file, 0, "no store stood there");
    owned_by(h->store_file, "", SERVER);
    owned_by(h->store_file, ".lock", SERVER);
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 1);
    house_stop(h);
}

static void serve_says(struct house *h, const char *says)
{
    const char *const args[] = {"serve", "-c", h->config_file, NULL};
    char *out = NULL;
    int code = house_run(h, &out, args);

    if (code != 1 || !out || !strstr(out, says))
        fail_msg("exit %d, and no '%s' in: %s", code, says, out ? out : "");
    free(out);
}

static void copy_over(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_TRUNC | O_CLOEXEC);
    char piece[4096];
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, piece, sizeof piece)) > 0)
        assert_int_equal(write(out, piece, (size_t)n), n);
    assert_int_equal(n, 0);
    (void)close(in);
    (void)close(out);
}

/* Of both the server would make a store that never was. */
static void test_store_care__a_backup_copied_by_hand_takes_no_other_stores_log(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char file[400];

    (void)state;
    file_in(h, "backup", file);
    add(h, "da1_-1", "Low");
    add(h, "da2_-1", "Low");
    push_and_wait(h, "da1_-1");
    store(h, "backup", file, 0, "bytes");
    push_and_wait(h, "da2_-1");
    house_cordon_kill(h);
    copy_over(file, h->store_file);
    serve_says(h, "the log of another database");
    store(h, "check", NULL, 1, "the log of another database");
    store(h, "restore", file, 0, "restored");
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 1);
    store(h, "check", NULL, 0, "sound");
    house_stop(h);
}

static void test_store_care__a_corrupt_store_is_named_and_a_backup_is_the_way_out(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char file[400], damaged[400], other[400];
    struct stat st;

    (void)state;
    file_in(h, "backup", file);
    file_in(h, "damaged", damaged);
    file_in(h, "other", other);
    for (int i = 0; i < 30; i++) {
        char id[40];

        (void)snprintf(id, sizeof id, "da%d_-1", i);
        add(h, id, "Low");
        push_and_wait(h, id);
    }
    store(h, "backup", file, 0, "bytes");
    store(h, "backup", damaged, 0, "bytes");
    house_cordon_stop(h);
    assert_int_equal(stat(h->store_file, &st), 0);
    assert_true(st.st_size > 16 * 4096);
    /* in the middle: the start reads its first pages only */
    scribble(h->store_file, 8 * 4096, 4 * 4096);
    store(h, "check", NULL, 1, "put a backup in its place");
    /* and from the start */
    scribble(h->store_file, 0, 4096);
    store(h, "check", NULL, 1, "store restore FILE");
    serve_says(h, "store restore FILE");
    serve_says(h, h->store_file);
    /* what is no backup is not put in its place */
    scribble(damaged, 8 * 4096, 4 * 4096);
    store(h, "restore", damaged, 1, "damaged");
    free(house_write_file(h, "other", "Dear diary"));
    store(h, "restore", other, 1, "not a database");
    store(h, "restore", "/nonexistent/file", 1, "/nonexistent");
    store(h, "restore", h->store_file, 1, "restore from");
    serve_says(h, "store restore FILE");
    assert_string_equal(disk_sql(file, "INSERT INTO schema_version VALUES (9999, 0)", NULL, 0), "");
    store(h, "restore", file, 1, "run a newer cordon");
    assert_string_equal(disk_sql(file, "DELETE FROM schema_version WHERE version = 9999", NULL, 0),
                        "");
    store(h, "restore", file, 0, "is kept as");
    store(h, "check", NULL, 0, "sound");
    house_cordon_start(h);
    assert_int_equal(count_cases(h), 30);
    house_stop(h);
}

/* Years later, or between an upgrade and the first start. */
static void test_store_care__an_older_store_is_copied_and_its_audit_read(void **state)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char file[400], url[420], says[440];
    char *out = NULL;

    (void)state;
    file_in(h, "backup", file);
    (void)snprintf(url, sizeof url, "sqlite:%s", file);
    add(h, "da1_-1", "Low");
    push_and_wait(h, "da1_-1");
    house_cordon_stop(h);
    assert_string_equal(disk_sql(h->store_file,
                                 "DELETE FROM schema_version WHERE version ="
                                 " (SELECT max(version) FROM schema_version)",
                                 NULL, 0),
                        "");
    store(h, "backup", file, 0, "bytes");
    assert_int_equal(house_run(h, &out, WORDS("audit", "verify", "--store", url)), 0);
    (void)snprintf(says, sizeof says, " records of %s, the last of ",
                   file); /* an empty one is whole, too */
    assert_non_null(strstr(out, "whole: "));
    assert_non_null(strstr(out, says));
    free(out);
    assert_int_equal(house_run(h, &out, WORDS("audit", "verify", "--json", "--store", url)), 0);
    (void)snprintf(says, sizeof says, "\"store\":\"%s\"", file);
    assert_non_null(strstr(out, says));
    free(out);
    assert_int_equal(house_run(h, &out, WORDS("audit", "export", "--store", url)), 0);
    assert_non_null(strstr(out, "\"kind\":\"delivery\""));
    free(out);
    store(h, "check", NULL, 1, "start the server once"); /* which looks at all of it */
    (void)house_run(h, &out, WORDS("doctor", "-c", h->config_file));
    assert_non_null(strstr(out, "warn  store: it is an older cordon's: "));
    assert_null(strstr(out, "bad   store: "));
    free(out);
    assert_string_equal(disk_sql(file, "DELETE FROM schema_version WHERE version >= 10", NULL, 0),
                        "");
    assert_int_equal(house_run(h, &out, WORDS("audit", "verify", "--store", url)), 1);
    assert_non_null(strstr(out, "it has schema 9, this program needs 10"));
    free(out);
    house_stop(h);
}

/* ---- PostgreSQL ------------------------------------------------------------------------------------- */

static void put_file(char path[], const char *text)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, 0644), 0); /* PostgreSQL is another user */
    assert_int_equal(close(fd), 0);
}

/* The password of a store stands in a file of its own, which these commands have to read, too. */
static void test_store_care__a_store_with_a_password_is_checked(void **state)
{
    char hba[] = "/tmp/store-care-hba-XXXXXX", password[] = "/tmp/store-care-XXXXXX";
    char setting[60], url[POSTGRES_URL_MAX], store_url[2 * POSTGRES_URL_MAX];
    const char *const settings[] = {setting, NULL};
    const char *words;
    char *out = NULL;
    struct house *h;

    (void)state;
    put_file(hba, "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
    put_file(password, "hunter2\n");
    (void)snprintf(setting, sizeof setting, "hba_file=%s", hba);
    if (postgres_start(&(struct postgres_options){.tcp = true, .settings = settings})) {
        free(postgres_sql("ALTER USER cordon PASSWORD 'hunter2'"));
        words = strstr(postgres_url(url), "&options=");
        (void)snprintf(store_url, sizeof store_url,
                       "postgresql://cordon@127.0.0.1:%d/postgres?%s\n  password_file: %s",
                       postgres_port(), words ? words + 1 : "", password);
        h = house_start(&(struct house_options){.rules = TELL, .store_url = store_url});
        add(h, "da1_-1", "Low");
        push_and_wait(h, "da1_-1");
        store(h, "check", NULL, 0, "sound");
        store(h, "backup", "/tmp/never", 1, "tools of its own");
        free(postgres_sql("UPDATE s1.cases SET state = 'acting'"));
        store(h, "check", NULL, 1, "PostgreSQL's own tools");
        free(postgres_sql("UPDATE s1.cases SET state = 'done'"));
        house_cordon_stop(h);
        free(postgres_sql("DELETE FROM s1.schema_version WHERE version ="
                          " (SELECT max(version) FROM s1.schema_version)"));
        (void)house_run(h, &out, WORDS("doctor", "-c", h->config_file));
        assert_non_null(strstr(out, "warn  store: it is an older cordon's: "));
        assert_non_null(strstr(out, "pg_dump"));
        assert_null(strstr(out, "cordon store backup"));
        free(out);
        house_stop(h);
        postgres_stop();
    }
    (void)unlink(hba);
    (void)unlink(password);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_care__a_sound_store_is_sound_while_it_is_served),
        cmocka_unit_test(test_store_care__check_is_for_programs_too),
        cmocka_unit_test(test_store_care__check_names_what_leads_nowhere),
        cmocka_unit_test(test_store_care__a_backup_under_load_is_whole_and_private),
        cmocka_unit_test(test_store_care__a_backup_that_is_killed_is_none),
        cmocka_unit_test(test_store_care__after_a_restore_a_forgotten_alert_isolates_nothing_twice),
        cmocka_unit_test(test_store_care__a_corrupt_store_is_named_and_a_backup_is_the_way_out),
        cmocka_unit_test(test_store_care__an_older_store_is_copied_and_its_audit_read),
        cmocka_unit_test(test_store_care__a_pause_outlives_a_restore),
        cmocka_unit_test(test_store_care__a_restore_that_was_cut_off_is_finished),
        cmocka_unit_test(test_store_care__a_backup_copied_by_hand_takes_no_other_stores_log),
        cmocka_unit_test(
            test_store_care__a_restored_store_takes_nothing_of_what_was_cut_off_before),
        cmocka_unit_test(test_store_care__what_root_restores_is_the_servers),
        cmocka_unit_test(test_store_care__a_store_with_a_password_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
