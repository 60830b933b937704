/* pauses.c - `make crash`: of two replicas on one PostgreSQL one is stopped at a fault point (server/fault.h), with
 * the work in its hand, for longer than any lease; the other takes over and finishes; then the first one wakes up
 * and goes on where it was.
 *
 *   one isolate request at Defender, whatever the point; the case done; a mail [REQUESTED] and a mail [ISOLATED],
 *   each at least once, and no more than one of them again: the one that was stopped had it in its hand
 *
 * A point is named, not numbered: which are passed when depends on both. One story for each, side by side, each with
 * a simulator and a schema of its own. Needs a build with FAULTS=1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/life.h"
#include "kit/look.h"
#include "kit/port.h"
#include "kit/postgres.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define ALERT   "da638712345678901234_-1027384756"

#define READY_MS 30000
#define STORY_MS 150000 /* the longest lease is 90 s */
#define AWAKE_MS 8000   /* for the one that was stopped to do what it would */

static const char *const places[] = {
    "before a commit",
    "after a commit, before its answers",
    "before an action is asked for",
    "after an action was asked for",
    "before a mail is sent",
    "after a mail was sent",
};

/* One process for each story: a stopped replica is waited for, and stories do not wait for each other. */
struct story {
    const char *place;
    struct house *stopped, *other;
};

static void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

static int badly(const struct story *s, const char *what)
{
    (void)printf("pauses: stopped %s: %s; see %s\n", s->place, what, s->stopped->dir);
    (void)fflush(stdout);
    return 1;
}

static bool wait_until(const struct house *h, const char *path, const char *text, int64_t ms)
{
    int64_t deadline = look_now_ms() + ms;
    bool found = false;

    while (!found && look_now_ms() < deadline) {
        AUTO(auto_free) char *answer = life_ask(h, path);

        found = answer && strstr(answer, text);
        if (!found)
            pause_ms(50); /* between two looks */
    }
    return found;
}

static bool wait_stopped(pid_t pid, int64_t ms)
{
    int64_t deadline = look_now_ms() + ms;
    siginfo_t info = {0};

    while (!info.si_pid && look_now_ms() < deadline) {
        if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG))
            return false;
        if (!info.si_pid)
            pause_ms(5); /* between two looks */
    }
    return info.si_pid != 0;
}

static bool push(struct house *h)
{
    static const char body[] = "{\"alertId\":\"" ALERT "\",\"machineId\":\"" MACHINE "\"}";
    struct fetched f;
    bool good;

    (void)house_post(h, "msg_1", body, &f);
    good = f.status == 202 || f.status == 200;
    fetched_clear(&f);
    return good;
}

static size_t mails_of(const struct json *doc, const char *tag)
{
    size_t n = 0;

    JSON_EACH (m, json_get(doc, "mails")) {
        const char *raw = json_get_string(m, "raw");

        n += raw && strstr(raw, tag) != NULL;
    }
    return n;
}

static int check(struct story *s)
{
    AUTO(json_freep) struct json *mails = sim_get(s->other->sim, "/mails");
    AUTO(auto_free) char *cases = life_ask(s->other, "/metrics");
    int64_t posts = sim_state(s->other->sim, "isolate_posts");
    char text[120];

    (void)snprintf(text, sizeof text, "%" PRId64 " isolate requests", posts);
    if (posts != 1)
        return badly(s, text);
    if (!cases || !strstr(cases, "cordon_cases{state=\"done\"} 1\n"))
        return badly(s, "the case is not done");
    if (!mails_of(mails, "X-Cordon-State: requested") ||
        !mails_of(mails, "X-Cordon-State: isolated"))
        return badly(s, "a mail is missing");
    if (mails_of(mails, "X-Cordon-State: not_isolated"))
        return badly(s, "people were told that it is not isolated");
    if (json_count(json_get(mails, "mails")) > 3)
        return badly(s, "more than one mail came twice");
    (void)printf("pauses: stopped %s: one isolate request, %zu mails\n", s->place,
                 json_count(json_get(mails, "mails")));
    (void)fflush(stdout);
    return 0;
}

static int tell(struct story *s)
{
    int64_t deadline = look_now_ms() + READY_MS;
    int status;

    (void)setenv("CORDON_STOP_AT", s->place, 1);
    life_start(s->stopped);
    (void)unsetenv("CORDON_STOP_AT");
    while (!push(s->stopped)) { /* it may stop before it answers, but it has the push then */
        if (look_now_ms() > deadline)
            return badly(s, "nothing was accepted");
        if (wait_stopped(s->stopped->pid, 20))
            goto stopped;
    }
    if (!wait_stopped(s->stopped->pid, READY_MS))
        return badly(s, "it did not stop there");
stopped:
    life_start(s->other);
    if (!wait_until(s->other, "/readyz", "", READY_MS))
        return badly(s, "the other one did not get ready");
    deadline = look_now_ms() + STORY_MS;
    while (!push(s->other)) { /* a sender without an answer comes again */
        if (look_now_ms() > deadline)
            return badly(s, "the other one accepted nothing");
        pause_ms(50);
    }
    if (!wait_until(s->other, "/metrics", "cordon_cases{state=\"done\"} 1\n", STORY_MS) ||
        !wait_until(s->other, "/metrics", "cordon_work{kind=\"notice\"} 0\n", STORY_MS))
        return badly(s, "the other one did not finish");
    (void)kill(s->stopped->pid, SIGCONT);
    pause_ms(AWAKE_MS); /* nothing shows that it does nothing */
    status = check(s);
    (void)life_end(s->other, SIGTERM);
    (void)life_end(s->stopped, SIGTERM);
    return status;
}

static void build(struct story *s, const char *url)
{
    for (unsigned i = 0; i < 2; i++) {
        char listen[40], admin[40];
        struct house_options o = {
            .sim = {.config = "{\"actions\":{\"duplicate\":\"second201\",\"listed_after_ms\":1000,"
                              "\"in_progress_after_ms\":100,\"done_after_ms\":400}}"},
            .store_url = url,
            .listen_address = listen,
            .admin_address = admin,
            .beside = i ? s->stopped : NULL,
            .not_yet = true,
        };
        struct house *h;

        (void)port_take_address(listen);
        (void)port_take_address(admin);
        h = house_start(&o);
        (void)snprintf(h->hooks, sizeof h->hooks, "http://%s", listen);
        (void)snprintf(h->admin, sizeof h->admin, "http://%s", admin);
        *(i ? &s->other : &s->stopped) = h;
    }
    sim_tell(s->other->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-1.x\"}");
    sim_tell(s->other->sim, "/alerts",
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
}

int main(void)
{
    enum { STORIES = sizeof places / sizeof *places };
    static const char *settings[] = {"max_connections=200", NULL};
    static const struct postgres_options options = {.settings = settings};
    pid_t pids[STORIES];
    int failed = 0;

    if (!postgres_start(&options))
        return 0; /* it says so */
    for (unsigned i = 0; i < STORIES; i++) {
        char url[POSTGRES_URL_MAX];

        (void)postgres_url(url);
        pids[i] = fork();
        if (pids[i] == 0) {
            struct story s = {.place = places[i]};
            int status;

            build(&s, url);
            status = tell(&s);
            if (!status) {
                house_stop(s.other);
                house_stop(s.stopped);
            }
            exit(status);
        }
    }
    for (unsigned i = 0; i < STORIES; i++) {
        int status = -1;

        while (pids[i] > 0 && waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
        failed += status != 0;
    }
    (void)printf("pauses: %d places, %d of them FAILED\n", (int)STORIES, failed);
    postgres_stop();
    return failed != 0;
}
