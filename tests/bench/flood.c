/* flood.c - what good pushes cost while another address floods: 10,000 requests a second with a wrong signature
 * over 32 kept connections, and 500 clients that send their heads a byte at a time.
 *
 * One sender pushes alerts of its own, each over a new connection, before and during the flood; every one must be
 * answered 202. The flood runs on this machine, too, and takes its share of the processor. Prints one JSON line;
 * $SHORT: 300 pushes each way instead of 2,000. Exit 1 when a good push was refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit/flood.h"
#include "kit/house.h"
#include "kit/look.h"

#define PUSHES_MAX 2000
#define SOON       20000

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Returns how many were not answered 202; us: sorted. */
static int push(struct house *h, int round, int pushes, double *us)
{
    int refused = 0;

    for (int i = 0; i < pushes; i++) {
        struct fetched f;
        char body[80];
        double began = now_us();

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%d_-%d\"}", round, i + 1);
        (void)house_post(h, NULL, body, &f);
        us[i] = now_us() - began;
        refused += f.status != 202;
        fetched_clear(&f);
    }
    qsort(us, (size_t)pushes, sizeof *us, by_value);
    return refused;
}

int main(void)
{
    static double idle[PUSHES_MAX], flooded[PUSHES_MAX];
    const struct house_options o = {
        .rules = "  - name: tell\n    do: [email: {}]\n",
        .quota =
            "{per_minute: 1, per_hour: 1}", /* all but one wait: Defender is not what is measured */
    };
    const char *brief = getenv("SHORT");
    int pushes = brief && *brief ? 300 : PUSHES_MAX, refused;
    struct house *h = house_start(&o);
    struct flood_counts counts;
    struct flood *flood;
    int64_t deadline;

    (void)push(h, 1, 50, idle); /* connections to the store and the like are made */
    refused = push(h, 2, pushes, idle);
    flood = flood_start(&(struct flood_options){.address = h->hooks + strlen("http://"),
                                                .from = "127.0.0.2",
                                                .path = "/hooks/relay",
                                                .per_second = 10000,
                                                .connections = 32,
                                                .slow = 500});
    if (!flood)
        fail_msg("the flood does not start");
    for (deadline = look_now_ms() + SOON; flood_answers(flood) < 10000 && look_now_ms() < deadline;)
        (void)poll(NULL, 0, 10);
    refused += push(h, 3, pushes, flooded);
    flood_stop(flood, &counts);
    house_stop(h);
    printf("{\"row\":\"flood\",\"pushes\":%d,\"refused\":%d,\"bad_per_second\":%.0f,\"slow\":500,"
           "\"answered_401\":%lld,\"answered_429\":%lld,\"idle_p50_us\":%.0f,\"idle_p99_us\":%.0f,"
           "\"flooded_p50_us\":%.0f,\"flooded_p99_us\":%.0f,\"p99_ratio\":%.2f}\n",
           pushes, refused, (double)counts.sent * 1000 / (double)counts.ms,
           (long long)counts.status[401], (long long)counts.status[429], idle[pushes / 2],
           idle[pushes * 99 / 100], flooded[pushes / 2], flooded[pushes * 99 / 100],
           flooded[pushes * 99 / 100] / idle[pushes * 99 / 100]);
    return refused != 0;
}
