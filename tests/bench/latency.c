/* latency.c - the way from push to isolate: how long after a push arrives does the isolate POST leave, when
 * Defender answers every call after D ms?
 *
 * Alert, machine and actions are read side by side, so it should be D and a little when the push names the
 * machine, 2 D and a little when it does not. Each push is of a new alert on a new machine; between two the end of
 * all work is awaited, the record of the last mail's fate too, so every one is alone. The simulator's delays are exact;
 * what a call of ours takes over D in the same house is in the row beside it, and what a bare sync takes on the store's
 * file system after D ms of silence: two of them are on the way, the delivery's and the intent's. A push counts from when it is written to the
 * connected socket: signing it and connecting are the sender's. Prints one JSON line per row. $SHORT: 11
 * pushes per row instead of 41.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kit/house.h"

#define PUSHES_MAX 41
#define CALLS      21
#define SYNCED     12288 /* bytes, about what a commit on the way writes */
#define MAILS      2     /* of a case: that the isolation was requested, and how it ended */

static double now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double call_ms(const struct json *calls)
{
    double t = 0;

    (void)json_double(json_get(json_first(json_get(calls, "calls")), "t_ms"), &t);
    return t;
}

/* What the journal's clock shows at zero of ours: asked with a call of our own. */
static double offset_of(struct house *h)
{
    double best = 1e9, offset = 0;

    for (int i = 0; i < 20; i++) {
        char url[300];
        struct fetched f;
        double before, after;

        (void)snprintf(url, sizeof url, "%s/api/machines/calibrate%d", h->sim->api_url, i);
        before = now_ms();
        (void)fetch(&f, "GET", url, NULL, NULL, 0, 5000);
        after = now_ms();
        fetched_clear(&f);
        if (after - before < best) {
            (void)snprintf(url, sizeof url, "/api/machines/calibrate%d", i);
            AUTO(json_freep) struct json *calls = sim_wait_calls(h->sim, "GET", url, 1, 5000);

            best = after - before;
            offset = call_ms(calls) - (before + after) / 2;
        }
    }
    return offset;
}

/* What a call takes over the delay, connection and all: the median. */
static double call_over_ms(struct house *h, int delay_ms)
{
    double took[CALLS];

    sim_tellf(h->sim, "/config", "{\"delay_ms\":%d}", delay_ms);
    for (int i = 0; i < CALLS; i++) {
        char url[300];
        struct fetched f;
        double before;

        (void)snprintf(url, sizeof url, "%s/api/machines/alone%d", h->sim->api_url, i);
        before = now_ms();
        (void)fetch(&f, "GET", url, NULL, NULL, 0, 5000);
        took[i] = now_ms() - before - delay_ms;
        fetched_clear(&f);
    }
    qsort(took, CALLS, sizeof took[0], by_value);
    return took[CALLS / 2];
}

/* What SYNCED bytes written over others and synced take beside the store, after so long a silence: the median. */
static double sync_ms(struct house *h, int silence_ms)
{
    const struct timespec silence = {.tv_nsec = silence_ms * 1000000L};
    char path[320], bytes[SYNCED];
    double took[CALLS];
    int fd;

    (void)snprintf(path, sizeof path, "%s/sync", h->dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    memset(bytes, 's', sizeof bytes);
    for (int i = 0; i <= CALLS; i++) { /* the first one makes the file as long as it stays */
        double before;

        (void)nanosleep(&silence, NULL);
        before = now_ms();
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
        assert_int_equal(fdatasync(fd), 0);
        if (i > 0)
            took[i - 1] = now_ms() - before;
    }
    (void)close(fd);
    qsort(took, CALLS, sizeof took[0], by_value);
    return took[CALLS / 2];
}

static void measure(int delay_ms, bool with_machine, int pushes)
{
    struct house *h = house_start(NULL);
    double offset = offset_of(h), call, sync, took[PUSHES_MAX];

    sim_tell(h->sim, "/config", "{\"delay_exact\":true}");
    call = call_over_ms(h, delay_ms);
    sync = sync_ms(h, delay_ms);

    for (int i = 0; i < pushes + 3; i++) { /* three to warm up */
        char alert[60], machine[60], path[200];
        int64_t pushed_us;

        (void)snprintf(alert, sizeof alert, "da%d_-1", i);
        (void)snprintf(machine, sizeof machine, "%040x", i + 1);
        sim_tell(h->sim, "/config", "{\"delay_ms\":0}");
        sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", machine);
        sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                  alert, machine);
        sim_tellf(h->sim, "/config", "{\"delay_ms\":%d}", delay_ms);
        AUTO(json_freep)
        struct json *answer =
            house_push_timed(h, alert, with_machine ? machine : NULL, 202, &pushed_us);
        (void)snprintf(path, sizeof path, "/api/machines/%s/isolate", machine);
        AUTO(json_freep) struct json *calls = sim_wait_calls(h->sim, "POST", path, 1, 30000);
        if (i >= 3)
            took[i - 3] = call_ms(calls) - offset - (double)pushed_us / 1e3;
        sim_tell(h->sim, "/config", "{\"delay_ms\":0}");
        json_free(house_wait_case(h, answer, "done", 30000));
        json_free(sim_wait_mails(h->sim, MAILS * (i + 1), 30000));
        house_wait_idle(h, 30000);
    }
    qsort(took, (size_t)pushes, sizeof took[0], by_value);
    (void)printf(
        "{\"row\":\"push_to_isolate\",\"delay_ms\":%d,\"machine_named\":%s,\"median_ms\":%.2f,"
        "\"p90_ms\":%.2f,\"over_delay_ms\":%.2f,\"call_over_ms\":%.2f,"
        "\"sync_ms\":%.2f}\n",
        delay_ms, with_machine ? "true" : "false", took[pushes / 2], took[pushes * 9 / 10],
        took[pushes / 2] - delay_ms * (with_machine ? 1 : 2), call, sync);
    (void)fflush(stdout);
    house_stop(h);
}

int main(void)
{
    static const int delays[] = {0, 20, 100};
    const char *brief = getenv("SHORT");
    int pushes = brief && *brief ? 11 : PUSHES_MAX;

    for (size_t i = 0; i < 3; i++) {
        measure(delays[i], true, pushes);
        measure(delays[i], false, pushes);
    }
    return 0;
}
