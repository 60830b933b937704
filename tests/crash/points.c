/* points.c - `make crash`: cordon is killed at each of its fault points (server/fault.h) in turn.
 *
 * One story: a signed High alert is pushed until it is answered 2xx, its machine is isolated, people are mailed.
 * It is told once for every point that it passes, from the first commit to the last mail's record; at point N the
 * process ends with SIGKILL and is started again on the same store. Whatever the point:
 *
 *   one isolate request and one isolated machine at Defender; the case done; a mail [REQUESTED] and a mail
 *   [ISOLATED], each once, but for one that was on its way when the process died: that one may come twice.
 *
 * The first point that the story ends before is the end of the run. Points are numbered in the order in which
 * they are passed, so that none has to be named anywhere but where it is. Several stories run side by side, each
 * with a simulator of its own. All the while every transaction is run twice (CORDON_TWICE), as a database may have it
 * run. Needs a build with FAULTS=1.
 *
 * With --restore, `cordon store restore` is killed at each of its points instead: the next start finds the old store
 * whole, or the backup; and it is paused, as the old one was.
 *
 * The store is SQLite, or with --postgresql PostgreSQL. There nobody knows that the process is gone, so what it had in
 * hand waits for its lease to run out.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/life.h"
#include "kit/look.h"
#include "kit/mail_reader.h"
#include "kit/postgres.h"

#define POINTS_MAX 500 /* the story passes some fifty */
#define MACHINE    "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define TELL       "  - name: tell\n    do: [email: {}]\n"
#define ALERT      "da638712345678901234_-1027384756"

/* How long a story may take: on SQLite WORK_SETTLE_MS, on PostgreSQL the lease of a POST besides. There most of it is
 * waiting, so more are told at once. */
static const struct kind {
    unsigned side_by_side;
    int64_t story_ms;
} on_sqlite = {4, 90000}, on_postgresql = {16, 300000};

enum end { ENDED_WELL, ENDED_BADLY, ENDED_BEFORE }; /* BEFORE: the story passed fewer points */

struct story {
    struct house *h;
    unsigned point;
    char where[80]; /* what the log calls the point; "" when it was not reached */
    bool killed;
    int64_t deadline;
};

static enum end badly(struct story *s, const char *what)
{
    (void)printf("point %u (%s): %s; see %s\n", s->point, s->where, what, s->h->dir);
    (void)fflush(stdout);
    return ENDED_BADLY;
}

/* Waits a moment between two looks; when the process has ended at its point, starts it again. */
static enum end look_after(struct story *s)
{
    siginfo_t info = {0};

    (void)poll(NULL, 0, 10);
    if (look_now_ms() > s->deadline)
        return badly(s, "the story does not end");
    if (waitid(P_PID, (id_t)s->h->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
        return ENDED_WELL;
    if (s->killed || info.si_code != CLD_KILLED || info.si_status != SIGKILL)
        return badly(s, "cordon ended by itself");
    s->killed = true;
    (void)life_end(s->h, 0);
    (void)unsetenv("CORDON_FAULT_AT");
    life_start(s->h);
    return ENDED_WELL;
}

/* The name of the last point in the log, which is the one it died at. */
static void find_name(struct story *s)
{
    static const char mark[] = "\"event\":\"fault_point\",\"number\":";
    FILE *f = fopen(s->h->log_file, "re");
    char line[1000];

    while (f && fgets(line, sizeof line, f)) {
        const char *at = strstr(line, mark), *where = at ? strstr(at, "\"where\":\"") : NULL;

        if (!where || strtoul(at + sizeof mark - 1, NULL, 10) != s->point || s->where[0])
            continue;
        where += strlen("\"where\":\"");
        (void)snprintf(s->where, sizeof s->where, "%.*s", (int)strcspn(where, "\""), where);
    }
    if (f)
        (void)fclose(f);
}

static bool push(struct story *s)
{
    struct fetched f;
    bool taken = house_post(s->h, "msg_once",
                            "{\"alertId\":\"" ALERT "\",\"machineId\":\"" MACHINE "\"}", &f) &&
                 (f.status == 200 || f.status == 202);

    fetched_clear(&f);
    return taken;
}

/* Is nothing left to do: the case done, and both mails there? */
static bool is_over(struct story *s)
{
    AUTO(auto_free) char *text = life_ask(s->h, "/metrics");

    return life_work_left(text) == 0 && strstr(text, "\ncordon_cases{state=\"done\"} 1\n");
}

static unsigned count_mails(const struct json *mails, const char *tag)
{
    unsigned n = 0;

    JSON_EACH (mail, json_get(mails, "mails")) {
        const char *raw = json_get_string(mail, "raw");
        struct mail_read m;
        const char *subject;

        mail_read(&m, raw, strlen(raw));
        subject = mail_header(&m, "Subject");
        n += subject && strncmp(subject, tag, strlen(tag)) == 0;
        mail_read_clear(&m);
    }
    return n;
}

static enum end judge(struct story *s)
{
    AUTO(json_freep) struct json *mails = sim_wait_mails(s->h->sim, 0, 1000);
    unsigned requested = count_mails(mails, "[REQUESTED]"),
             isolated = count_mails(mails, "[ISOLATED]");
    unsigned all = (unsigned)json_count(json_get(mails, "mails"));
    /* At least once: between the server's 250 and the record nobody can know. */
    unsigned doubled = strstr(s->where, "mail was sent") || strstr(s->where, "commit") ? 1 : 0;

    if (sim_state(s->h->sim, "isolate_posts") != 1)
        return badly(s, "not one isolate request");
    if (sim_state(s->h->sim, "max_active_isolates") != 1)
        return badly(s, "not one isolation");
    if (!isolated || all > 2 + doubled || requested + isolated != all)
        return badly(s, "not the mails that there should be");
    /* An isolation that was confirmed while cordon was away is told as such at once. */
    if (!requested && all != 1)
        return badly(s, "a mail is missing");
    return ENDED_WELL;
}

/* url: of the store; NULL: SQLite. */
static enum end tell(unsigned point, const struct kind *kind, const char *url)
{
    struct story s = {.point = point, .deadline = look_now_ms() + kind->story_ms};
    char doors[2][120], number[16];
    const struct house_options o = {
        .sim = {.config = "{\"actions\":{\"duplicate\":\"second201\",\"in_progress_after_ms\":50,"
                          "\"done_after_ms\":200}}"},
        .listen_address = doors[0],
        .admin_address = doors[1],
        .store_url = url,
        .not_yet = true,
    };
    enum end end = ENDED_WELL;
    const char *tmp = getenv("TMPDIR");

    for (int i = 0; i < 2; i++)
        (void)snprintf(doors[i], sizeof doors[i], "unix:%.60s/cordon-point-%d-%d.sock",
                       tmp ? tmp : "/tmp", (int)getpid(), i);
    s.h = house_start(&o);
    s.h->ready_fd = -1;
    (void)snprintf(s.h->hooks, sizeof s.h->hooks, "%s:", doors[0]);
    (void)snprintf(s.h->admin, sizeof s.h->admin, "%s:", doors[1]);
    sim_tell(s.h->sim, "/machines", "{\"id\":\"" MACHINE "\"}");
    sim_tell(s.h->sim, "/alerts",
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    (void)snprintf(number, sizeof number, "%u", point);
    (void)setenv("CORDON_FAULT_AT", number, 1);
    (void)setenv("CORDON_TWICE", "1", 1);
    life_start(s.h);
    while (!end && !push(&s))
        end = look_after(&s);
    while (!end && !is_over(&s))
        end = look_after(&s);
    find_name(&s);
    if (!end && !s.killed && s.where[0])
        end = badly(&s, "the point was passed, and nobody died");
    if (!end)
        end = judge(&s);
    if (end == ENDED_WELL) {
        (void)printf("point %u: %s\n", point, s.where[0] ? s.where : "(the story ends before)");
        (void)fflush(stdout);
        (void)life_end(s.h, SIGKILL);
        house_stop(s.h);
        end = s.killed ? ENDED_WELL : ENDED_BEFORE;
    }
    for (int i = 0; i < 2; i++)
        (void)unlink(doors[i] + strlen("unix:"));
    return end;
}

/* The exit code. */
static int tell_all(const struct kind *kind)
{
    bool shared = kind == &on_postgresql;
    unsigned next = 1, running = 0, told = 0, bad = 0, last = POINTS_MAX;

    while (running || next < last) {
        int status;

        if (running < kind->side_by_side && next < last) {
            char url[POSTGRES_URL_MAX];
            const char *store = shared ? postgres_url(url) : NULL;
            pid_t pid = fork();

            if (pid == 0)
                _exit((int)tell(next, kind, store));
            if (pid < 0)
                return (void)fprintf(stderr, "points: fork: %s\n", strerror(errno)), 1;
            running++;
            next++;
            continue;
        }
        while (wait(&status) < 0 && errno == EINTR)
            ;
        running--;
        if (WIFEXITED(status) && WEXITSTATUS(status) == ENDED_BEFORE) {
            last = 0; /* those that are under way are the last */
        } else {
            told++;
            bad += !WIFEXITED(status) || WEXITSTATUS(status) != ENDED_WELL;
        }
    }
    if (last)
        return (void)printf("crash: the story never ended before point %u\n", last), 1;
    (void)printf("crash: killed at %u fault points on %s, one after the other; %u faults; %s\n",
                 told, shared ? "PostgreSQL" : "SQLite", bad, bad ? "FAILED" : "well");
    return bad || !told;
}

/* ---- a restore ------------------------------------------------------------------------------------ */

/* A missing file's copy is missing, too. */
static bool copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out;
    ssize_t n = 1;

    if (unlink(to) && errno != ENOENT)
        return false;
    if (in < 0)
        return errno == ENOENT;
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    while (out >= 0 && n > 0)
        n = sendfile(out, in, NULL, 1 << 20);
    (void)close(in);
    return out >= 0 && close(out) == 0 && n == 0;
}

/* Killed at this point and started again: is it the old store, with its two cases, or the backup, with its one? */
static enum end restore(struct house *h, const char *backup, unsigned point)
{
    const char *const args[] = {"store", "restore", "-c", h->config_file, backup, NULL};
    char number[16], *out = NULL;
    size_t cases;
    bool paused;
    int code;

    (void)snprintf(number, sizeof number, "%u", point);
    (void)setenv("CORDON_FAULT_AT", number, 1);
    code = house_run(h, &out, args);
    (void)unsetenv("CORDON_FAULT_AT");
    if (code > 0)
        (void)printf("%s\n", out ? out : "");
    free(out);
    house_cordon_start(h);
    {
        AUTO(json_freep) struct json *list = house_get(h, "/api/cases");

        cases = json_count(json_get(list, "cases"));
        paused = house_metric(h, "cordon_paused") == 1;
    }
    house_cordon_kill(h);
    if (code > 0 || cases < 1 || cases > 2 || (code == 0 && cases != 1) || !paused) {
        (void)printf("restore, point %u: exit code %d, then %zu cases%s\n", point, code, cases,
                     paused ? "" : ", and it is not paused");
        return ENDED_BADLY;
    }
    return code == 0 ? ENDED_BEFORE : ENDED_WELL;
}

static int restore_all(void)
{
    struct house *h = house_start(&(struct house_options){.rules = TELL});
    char backup[400], old[2][400], now[2][400], *out = NULL;
    const char *const args[] = {"store", "backup", "-c", h->config_file, backup, NULL};
    enum end end = ENDED_WELL;
    unsigned point = 0;

    (void)snprintf(backup, sizeof backup, "%.300s/backup", h->dir);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(old[i], sizeof old[i], "%.300s/old%s", h->dir, i ? "-wal" : "");
        (void)snprintf(now[i], sizeof now[i], "%.300s%s", h->store_file, i ? "-wal" : "");
    }
    for (int i = 0; i < 2; i++) {
        json_free(house_push(h, i ? "da2_-1" : "da1_-1", NULL, 202));
        if (!i && house_run(h, &out, args))
            end = ENDED_BADLY;
    }
    free(out);
    if (house_order(h, "/api/pause", "{\"by\":\"maria\",\"why\":\"a drill\"}") != 200)
        end = ENDED_BADLY;
    house_cordon_kill(h); /* what came last is in the log alone */
    for (int i = 0; i < 2; i++)
        if (!copy_file(now[i], old[i]))
            end = ENDED_BADLY;
    while (end == ENDED_WELL && point < POINTS_MAX) {
        for (int i = 0; i < 2; i++)
            if (!copy_file(old[i], now[i]))
                return (void)printf("restore: %s: %s\n", now[i], strerror(errno)), 1;
        end = restore(h, backup, ++point);
    }
    house_stop(h);
    (void)printf("crash: a restore was killed at %u points; %s\n", point - 1,
                 end == ENDED_BEFORE ? "well" : "FAILED");
    return end != ENDED_BEFORE || point < 2;
}

int main(int argc, char **argv)
{
    static const char *const settings[] = {"max_connections=400", NULL};
    bool shared = argc == 2 && strcmp(argv[1], "--postgresql") == 0;
    bool restores = argc == 2 && strcmp(argv[1], "--restore") == 0;
    int status;

    if (argc > 1 && !shared && !restores)
        return (void)fprintf(stderr, "usage: points [--postgresql | --restore]\n"), 2;
    if (restores)
        return restore_all();
    if (shared && !postgres_start(&(struct postgres_options){.settings = settings}))
        return 1;
    status = tell_all(shared ? &on_postgresql : &on_sqlite);
    if (shared)
        postgres_stop();
    return status;
}
