/* test_disks.c - full, broken and locked disks under a whole server: nothing is answered 2xx that is not on disk,
 * and what Defender was doing meanwhile is finished and recorded when the disk is back.
 *
 * The first tests serve within this process (cmd_serve in a thread), because the disk that fails (kit/disk.h)
 * is a layer below SQLite in the same process. The others run the real program: on a small file system of its
 * own, mounted where nobody else sees it, which only root may; and with a limit of its own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "buf.h"
#include "cli.h"
#include "kit/disk.h"
#include "kit/house.h"
#include "kit/look.h"
#include "smtp.h"

#define SOON 30000 /* ms; a deadline, not a wait */

static void machine(struct house *h, const char *alert, const char *id)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", id);
    sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"%s\"}",
              alert, id);
}

/* The status of GET admin/readyz, and whether its body holds the text. */
static bool ready_is(struct house *h, int status, const char *says)
{
    struct fetched f;
    char url[300];
    bool is;

    (void)snprintf(url, sizeof url, "%s/readyz", h->admin);
    (void)fetch(&f, "GET", url, NULL, NULL, 0, SOON);
    is = f.status == status && (!says || strstr(f.body, says));
    fetched_clear(&f);
    return is;
}

static void wait_ready(struct house *h, int status, const char *says)
{
    LOOK_FOR(ready_is(h, status, says), SOON, "/readyz did not become %d with %s", status,
             says ? says : "anything");
}

/* A push that must not be accepted: 503 as senders expect it. */
static void push_refused(struct house *h, const char *alert)
{
    struct fetched f;
    char body[100], word[100];

    (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", alert);
    (void)house_post(h, NULL, body, &f);
    if (f.status != 503)
        fail_msg("HTTP %d instead of 503: %s %s", f.status, f.body, f.why);
    assert_non_null(fetched_header(&f, "Retry-After", word, sizeof word));
    assert_in_range(strtol(word, NULL, 10), 1, 300);
    fetched_clear(&f);
}

/* Pushes until it is accepted, as a sender does. */
static struct json *push_again(struct house *h, const char *alert)
{
    char body[100], delivery[60];

    (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", alert);
    (void)snprintf(delivery, sizeof delivery, "msg_%s", alert);
    for (int64_t until = look_until(SOON);;) {
        struct json *answer = NULL;
        struct fetched f;
        int status;

        (void)house_post(h, delivery, body, &f);
        status = f.status;
        (void)json_parse(f.body, f.body_len, &answer, NULL);
        fetched_clear(&f);
        if (status == 202 || status == 200)
            return answer;
        json_free(answer);
        look_again(until, "still HTTP %d", status);
    }
}

/* ---- served within this process --------------------------------------------------------------------- */

struct within {
    struct house *h;
    pthread_t thread;
    int code;
};

static void *serve(void *arg)
{
    struct within *w = arg;
    char *argv[] = {(char[]){"serve"}, (char[]){"-c"}, w->h->config_file, NULL};

    w->code = cmd_serve(3, argv);
    return NULL;
}

static void within_start(struct within *w)
{
    struct house_options o = {.not_yet = true};
    char text[400];

    w->h = house_start(&o);
    (void)snprintf(text, sizeof text, "listen:\n  address: unix:%s/listen\n", w->h->dir);
    house_edit(w->h, "listen:\n  address: 127.0.0.1:0\n", text);
    (void)snprintf(text, sizeof text, "admin:\n  address: unix:%s/admin\n", w->h->dir);
    house_edit(w->h, "admin:\n  address: 127.0.0.1:0\n", text);
    (void)snprintf(w->h->hooks, sizeof w->h->hooks, "unix:%s/listen:", w->h->dir);
    (void)snprintf(w->h->admin, sizeof w->h->admin, "unix:%s/admin:", w->h->dir);
    assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
    wait_ready(w->h, 200, NULL);
}

static void within_stop(struct within *w)
{
    assert_int_equal(pthread_kill(w->thread, SIGTERM), 0); /* NOLINT: it waits for it in sigwait */
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    assert_int_equal(w->code, 0);
    (void)signal(SIGTERM, SIG_DFL); /* the second one would have ended this process */
    (void)signal(SIGINT, SIG_DFL);
    house_stop(w->h);
}

static const struct {
    const char *label;
    bool locked;
    enum disk_call call;
    enum disk_file file;
    enum disk_fault fault;
} faults[] = {
    {.label = "a full disk", .call = DISK_WRITE, .file = DISK_LOG, .fault = DISK_FULL},
    {.label = "a disk that does not write",
     .call = DISK_WRITE,
     .file = DISK_LOG,
     .fault = DISK_BROKEN},
    {.label = "a disk that does not sync",
     .call = DISK_SYNC,
     .file = DISK_LOG,
     .fault = DISK_BROKEN},
    {.label = "a database that another program has locked", .locked = true},
};

#define FAULTS (sizeof faults / sizeof *faults)

static void wait_posts(struct house *h, int64_t n)
{
    LOOK_FOR(sim_state(h->sim, "isolate_posts") >= n, SOON, "the isolate was not asked for");
}

/* The disk fails while Defender has the request in hand. */
static void one_fault(struct within *w, size_t i)
{
    struct house *h = w->h;
    char in_hand[40], next[40], id[41];
    void *lock = NULL;

    print_message("  %s\n", faults[i].label);
    (void)snprintf(in_hand, sizeof in_hand, "da%zu_-1", i);
    (void)snprintf(next, sizeof next, "da%zu_-2", i);
    (void)snprintf(id, sizeof id, "c0ffee%034zx", 2 * i);
    machine(h, in_hand, id);
    (void)snprintf(id, sizeof id, "c0ffee%034zx", 2 * i + 1);
    machine(h, next, id);
    sim_tell(h->sim, "/faults",
             "{\"path\":\"/api/machines/*/isolate\",\"kind\":\"delay\",\"delay_ms\":1000,"
             "\"count\":1}");
    AUTO(json_freep) struct json *answer = house_push(h, in_hand, NULL, 202);
    /* It is journalled when it comes; its answer is held back, and cannot be written down. */
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "GET", "/api/machineactions", 1, SOON);
    assert_non_null(calls);
    wait_posts(h, (int64_t)(2 * i) + 1);
    if (faults[i].locked)
        lock = disk_lock(h->store_file);
    else
        disk_fail(faults[i].call, faults[i].file, faults[i].fault, 0);
    AUTO(json_freep)
    struct json *answered = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, (int64_t)(2 * i) + 1, SOON);
    assert_non_null(answered);
    for (int k = 0; k < 3; k++)
        push_refused(h, next);
    wait_ready(h, 503, "\"store\":{\"ok\":false");
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 2 * i + 1);
    if (faults[i].locked)
        disk_unlock(lock);
    else
        disk_mend();
    wait_ready(h, 200, NULL); /* by itself: nobody pushes */
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *again = push_again(h, next);
    AUTO(json_freep) struct json *d = house_wait_case(h, again, "done", SOON);
    assert_true(c && d);
    /* one for each machine, although the first one's answer could not be kept */
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 2 * i + 2);
}

static void test_disks__nothing_is_accepted_that_is_not_kept_and_nothing_is_forgotten(void **state)
{
    struct within w = {0};

    (void)state;
    within_start(&w);
    for (size_t i = 0; i < FAULTS; i++)
        one_fault(&w, i);
    AUTO(json_freep) struct json *mails = sim_wait_mails(w.h->sim, 4 * FAULTS, SOON);
    assert_non_null(mails); /* REQUESTED and ISOLATED of each machine */
    assert_int_equal(sim_state(w.h->sim, "max_active_isolates"), 1);
    within_stop(&w);
}

/* ---- a small file system ---------------------------------------------------------------------------- */

/* Mounts a file system of 3 MiB at path where only this process and its children see it. */
static bool mount_small(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mkdir(path, 0700) == 0 && mount("small", path, "tmpfs", 0, "size=3m") == 0;
}

static void test_disks__a_full_file_system_is_outlived(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char path[400], from[500], to[500];
    unsigned accepted = 0;
    int status = 202;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/small", h->dir);
    if (!mount_small(path)) {
        print_message("  not root, or no mounts here (%s): a small file system cannot be made\n",
                      strerror(errno));
        house_stop(h);
        skip();
    }
    (void)snprintf(from, sizeof from, "url: sqlite:%s", h->store_file);
    (void)snprintf(to, sizeof to, "url: sqlite:%s/cordon.db", path);
    house_edit(h, from, to);
    house_cordon_start(h);
    for (int64_t until = look_until(4 * SOON); status == 202;) {
        struct fetched f;
        char body[100];

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%u_-1\"}", accepted);
        sim_tellf(h->sim, "/alerts", "{\"id\":\"da%u_-1\",\"severity\":\"Low\"}", accepted);
        (void)house_post(h, NULL, body, &f);
        status = f.status;
        accepted += status == 202;
        fetched_clear(&f);
        if (look_is_over(until))
            fail_msg("%u are in 3 MiB", accepted);
    }
    assert_int_equal(status, 503);
    assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT, "size=64m"), 0);
    wait_ready(h, 200, NULL);
    house_wait_quiet(h, 4 * SOON);
    for (unsigned i = 0; i < accepted; i += accepted / 10 + 1) {
        struct fetched f;
        char body[100];

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%u_-1\"}", i);
        (void)house_post(h, NULL, body, &f);
        if (f.status != 200) /* known: it was kept */
            fail_msg("alert %u of %u: HTTP %d", i, accepted, f.status);
        fetched_clear(&f);
    }
    house_cordon_stop(h);
    house_cordon_start(h); /* what is there can be read again */
    assert_true(ready_is(h, 200, NULL));
    house_cordon_stop(h);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    house_stop(h);
}

/* ---- store.max_size --------------------------------------------------------------------------------- */

/* One of the mails holds this. */
static void wait_mail(struct house *h, const char *line)
{
    for (int64_t until = look_until(SOON);; look_again(until, "no mail says '%s'", line)) {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 0, SOON);

        JSON_EACH (m, json_get(mails, "mails"))
            if (strstr(json_get_string(m, "raw"), line))
                return;
    }
}

static void test_disks__at_its_limit_the_store_takes_nothing_new_and_finishes_the_rest(void **state)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char from[500], to[500];
    int status = 202;
    int64_t posts;

    (void)state;
    (void)snprintf(from, sizeof from, "url: sqlite:%s", h->store_file);
    (void)snprintf(to, sizeof to, "url: sqlite:%s\n  max_size: 1MiB", h->store_file);
    house_edit(h, from, to);
    house_cordon_start(h);
    for (unsigned i = 0; status == 202; i++) {
        struct fetched f;
        char alert[40], id[41], body[100];

        (void)snprintf(alert, sizeof alert, "da%u_-1", i);
        (void)snprintf(id, sizeof id, "c0ffee%034x", i % 5);
        if (i < 5)
            machine(h, alert, id);
        else
            sim_tellf(h->sim, "/alerts",
                      "{\"id\":\"%s\",\"severity\":\"Low\",\"machineId\":\"%s\"}", alert, id);
        (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\"}", alert);
        (void)house_post(h, NULL, body, &f);
        status = f.status;
        fetched_clear(&f);
    }
    assert_int_equal(status, 503);
    push_refused(h, "da900000_-1");
    wait_ready(h, 503, "store.max_size");
    house_wait_log(h, "\"event\":\"store_full\"", 1, SOON);
    house_wait_quiet(h, 4 * SOON); /* isolations and mails go on */
    wait_mail(h, "Subject: [CORDON] the store is full");
    posts = sim_state(h->sim, "isolate_posts");
    assert_int_equal(posts, 5);
    assert_true(house_metric(h, "cordon_limit{of=\"store_used_bytes\"}") == 1048576);
    assert_true(house_metric(h, "cordon_store_used_bytes") >= 1048576);
    assert_true(house_metric(h, "cordon_body_bytes{side=\"senders\"}") >= 0);
    assert_true(house_metric(h, "cordon_limit{of=\"body_bytes\"}") == 67108864);
    assert_true(house_metric(h, "cordon_memory_bytes") > 1 << 20);
    assert_true(house_metric(h, "cordon_oldest_case_seconds") >= 0);
    house_edit(h, "max_size: 1MiB", "max_size: 64MiB");
    house_cordon_signal(h, SIGHUP);
    wait_ready(h, 200, NULL);
    wait_mail(h, "Subject: [CORDON] the store has room again");
    sim_tell(h->sim, "/alerts", "{\"id\":\"da900000_-1\",\"severity\":\"Low\"}");
    AUTO(json_freep) struct json *answer = push_again(h, "da900000_-1");
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    house_stop(h);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disks__nothing_is_accepted_that_is_not_kept_and_nothing_is_forgotten),
        cmocka_unit_test(test_disks__a_full_file_system_is_outlived),
        cmocka_unit_test(
            test_disks__at_its_limit_the_store_takes_nothing_new_and_finishes_the_rest),
    };

    if (argc == 2 && !strcmp(argv[1], "smtp-child")) /* this program stands in for cordon */
        return smtp_child_main(STDIN_FILENO, STDOUT_FILENO);
    disk_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
