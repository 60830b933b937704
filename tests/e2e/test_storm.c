/* test_storm.c - thousands of alerts at once against a Defender that enforces its limits: how many calls they
 * cost, when the last isolate leaves, and that no call was one too many.
 *
 * In quiet form a tenth of it, within the first minute's budget. With $STORM set (`make storm`) in full: ten
 * thousand alerts over a thousand machines, a hundred and then six hundred of them to be isolated, by the
 * real limits and the real clock; that takes about ten minutes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/house.h"
#include "kit/look.h"

#define SENDERS        8
#define MEMORY_MAX_KIB (128 * 1024L)
#define PER_MINUTE     100
#define IDLE_MS        2500 /* shorter ones are those of gathering */

struct storm {
    int64_t alerts, machines,
        isolated;            /* machine i gets alerts i, i + machines, …; the first are High */
    int64_t last_isolate_ms; /* at the latest, after the first call */
    int64_t calls;           /* until then, of any kind; at most */
};

struct push {
    struct house *h;
    const struct storm *s;
    _Atomic int64_t next, refused;
};

static void *send_some(void *arg)
{
    struct push *p = arg;

    for (int64_t i; (i = atomic_fetch_add(&p->next, 1)) < p->s->alerts;) {
        char body[200], id[40];
        struct fetched f;

        (void)snprintf(id, sizeof id, "storm-%lld", (long long)i);
        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%018lld_-%lld\"}", (long long)i,
                       (long long)(1000000000 + i));
        if (!house_post(p->h, id, body, &f) || f.status != 202)
            atomic_fetch_add(&p->refused, 1);
        fetched_clear(&f);
    }
    return NULL;
}

static void push_all(struct house *h, const struct storm *s)
{
    struct push p = {.h = h, .s = s};
    pthread_t threads[SENDERS];

    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_some, &p), 0);
    for (int i = 0; i < SENDERS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(p.refused, 0);
}

static void people_the_world(struct house *h, const struct storm *s)
{
    struct buf b = BUF_INIT(64 << 20);

    buf_adds(&b, "[");
    for (int64_t i = 0; i < s->machines; i++)
        buf_addf(&b, "%s{\"id\":\"%040llx\",\"computerDnsName\":\"ws-%lld.corp.example\"}",
                 i ? "," : "", (unsigned long long)(i + 1), (long long)i);
    buf_adds(&b, "]");
    sim_tell(h->sim, "/machines", buf_text(&b));
    for (int64_t from = 0; from < s->alerts; from += 1000) {
        buf_reset(&b);
        buf_adds(&b, "[");
        for (int64_t i = from; i < s->alerts && i < from + 1000; i++)
            buf_addf(&b,
                     "%s{\"id\":\"da%018lld_-%lld\",\"severity\":\"%s\",\"machineId\":\"%040llx\"}",
                     i > from ? "," : "", (long long)i, (long long)(1000000000 + i),
                     i % s->machines < s->isolated ? "High" : "Low",
                     (unsigned long long)(i % s->machines + 1));
        buf_adds(&b, "]");
        sim_tell(h->sim, "/alerts", buf_text(&b));
    }
    buf_clear(&b);
}

static double number(const struct json *v, const char *name)
{
    double t = 0;

    assert_true(json_double(json_get(v, name), &t));
    return t;
}

static bool is_isolate(const struct json *call)
{
    const char *path = json_get_string(call, "path");
    size_t len = path ? strlen(path) : 0;

    return strcmp(json_get_string(call, "method"), "POST") == 0 && len > 8 &&
           strcmp(path + len - 8, "/isolate") == 0;
}

/* What a call was for, as the table of `tell` has it. */
static size_t kind_of(const struct json *call)
{
    const char *path = json_get_string(call, "path"), *query = json_get_string(call, "query");

    if (is_isolate(call))
        return 0;
    if (strcmp(path, "/api/alerts") == 0)
        return 1;
    if (strcmp(path, "/api/machines") == 0)
        return 2;
    if (strcmp(path, "/api/machineactions") == 0)
        return query && strncmp(query, "$filter=id", 10) == 0 ? 4 : 3;
    return strncmp(path, "/api/machineactions/", 20) == 0 ? 5
           : strncmp(path, "/api/alerts/", 12) == 0       ? 6
                                                          : 7;
}

static const char *const kinds[] = {"isolate", "alerts",         "machines", "looks",
                                    "follows", "alone: actions", "alerts",   "rest"};
enum { KINDS = sizeof kinds / sizeof *kinds, MINUTES = 30 };

/* Where the calls went, minute by minute: the first thing to read when a storm takes too long. */
static void tell(const struct json *calls, double from)
{
    int64_t n[MINUTES][KINDS] = {{0}};
    size_t last = 0;

    JSON_EACH (call, calls) {
        size_t minute = (size_t)((number(call, "t_ms") - from) / 60000);

        last = minute < MINUTES ? minute : MINUTES - 1;
        n[last][kind_of(call)]++;
    }
    for (size_t m = 0; m <= last; m++) {
        print_message("  minute %2zu:", m + 1);
        for (size_t k = 0; k < KINDS; k++)
            print_message(" %s %lld", kinds[k], (long long)n[m][k]);
        print_message("\n");
    }
}

/* When calls were free and nobody made one: the second thing to read. Since when one was allowed, how many were by
 * the time somebody called again, and what for. */
static void tell_idle(const struct json *calls, const double times[])
{
    double lost = 0;
    int64_t at = 0, oldest = 0; /* the first call within the minute */

    JSON_EACH (call, calls) {
        double since = at ? times[at - 1] : times[0];

        if (at >= PER_MINUTE && times[at - PER_MINUTE] + 60000 > since)
            since = times[at - PER_MINUTE] + 60000;
        while (times[oldest] + 60000 < times[at])
            oldest++;
        if (times[at] - since >= IDLE_MS)
            print_message("  idle: %5.1f s from %5.1f s on; then %lld are free, the first for %s\n",
                          (times[at] - since) / 1000, (since - times[0]) / 1000,
                          (long long)(PER_MINUTE - (at - oldest)), kinds[kind_of(call)]);
        lost += times[at] - (at < PER_MINUTE ? times[0] : times[at - PER_MINUTE] + 60000);
        at++;
    }
    print_message("  each call of a minute's %d lay idle for %.1f s in all\n", PER_MINUTE,
                  lost / PER_MINUTE / 1000);
}

/* What the journal says: every limit kept, each machine once, and how long and how much it took. */
static void check(struct house *h, const struct storm *s)
{
    AUTO(json_freep) struct json *doc = sim_calls(h->sim, NULL, "/api/*", 0);
    double *times = calloc(json_count(json_get(doc, "calls")) + 1, sizeof *times), last = 0;
    int64_t n = 0, until_last = 0, isolates = 0;

    assert_non_null(times);
    JSON_EACH (call, json_get(doc, "calls")) {
        times[n++] = number(call, "t_ms");
        assert_int_not_equal((int)number(call, "status"), 429);
        if (n > PER_MINUTE)
            assert_true(times[n - 1] - times[n - 1 - PER_MINUTE] > 59900);
        if (is_isolate(call)) {
            isolates++;
            last = times[n - 1];
            until_last = n;
        }
    }
    print_message(
        "  %lld alerts, %lld machines, %lld isolated: the last POST after %.1f s and %lld "
        "calls, %lld calls in all\n",
        (long long)s->alerts, (long long)s->machines, (long long)s->isolated,
        (last - times[0]) / 1000, (long long)until_last, (long long)n);
    tell(json_get(doc, "calls"), times[0]);
    tell_idle(json_get(doc, "calls"), times);
    assert_int_equal(isolates, s->isolated);
    assert_int_equal(sim_state(h->sim, "max_active_isolates"), 1);
    assert_true(until_last <= s->calls);
    if (getenv("STORM")) /* how fast is a matter of a quiet machine; in how many calls is not */
        assert_true(last - times[0] < (double)s->last_isolate_ms);
    free(times);
}

/* What the process has taken of memory at most: what waits lies in the store. A sanitizer takes more by itself. */
static void check_memory(const struct house *h)
{
    char path[40], line[200];
    long peak_kib = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)h->pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        (void)sscanf(line, "VmHWM: %ld", &peak_kib);
    (void)fclose(f);
    print_message("  %.1f MiB at most\n", (double)peak_kib / 1024);
    assert_true(peak_kib > 1024);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    assert_true(peak_kib < MEMORY_MAX_KIB);
#endif
}

static void rage(const struct storm *s)
{
    struct house *h = house_start(&(struct house_options){
        .sim = {.config = "{\"limits\":{\"per_minute\":100,\"per_hour\":1500},"
                          "\"actions\":{\"in_progress_after_ms\":500,\"done_after_ms\":2000}}"},
        .rules = "  - {name: contain, when: {alert.severity: High}, do: [isolate: {}]}\n"
                 "  - {name: rest, do: [email: {to: [soc@contoso.example]}]}\n",
        .safety = "  limits: [{isolations: 100000, per: 1h}]\n",
        .quota = "{per_minute: 100, per_hour: 1500}"});
    int64_t began = look_now_ms();

    people_the_world(h, s);
    push_all(h, s);
    print_message("  pushed within %lld ms\n", (long long)(look_now_ms() - began));
    /* However it ends, check says where the calls went. */
    for (began = look_now_ms(); sim_state(h->sim, "isolate_posts") < s->isolated &&
                                look_now_ms() - began < 2 * s->last_isolate_ms;)
        (void)usleep(200000);
    check(h, s);
    if (getenv(
            "STORM")) /* and nothing is left over; in short, the rest has to wait for the next minute */
        house_wait_quiet(h, 20 * 60000);
    check_memory(h);
    house_stop(h);
}

static void test_storm__a_storm_costs_calls_by_the_hundred(void **state)
{
    static const struct storm quiet = {1000, 100, 10, 60000, 60};
    static const struct storm full = {10000, 1000, 100, 90000, 250};

    (void)state;
    rage(getenv("STORM") ? &full : &quiet);
}

static void test_storm__most_machines_to_be_isolated_are_no_slower_than_the_api(void **state)
{
    static const struct storm quiet = {300, 60, 25, 60000, 150};
    static const struct storm full = {10000, 1000, 600, 7 * 60000, 750};

    (void)state;
    rage(getenv("STORM") ? &full : &quiet);
}

/* How many lines of an event there are in the log, from that of another on. */
static unsigned lines_after(struct house *h, const char *from, const char *event)
{
    AUTO(auto_free) char *log = house_log(h);
    unsigned n = 0;

    for (const char *at = strstr(log, from); at && (at = strstr(at, event)) != NULL; at++)
        n++;
    return n;
}

/* Hundreds are read together and seen to one by one: who stops cordon then does not wait for all of them, and none is lost. */
static void test_storm__a_stop_does_not_wait_for_all_that_were_read_together(void **state)
{
    static const struct storm s = {600, 60, 0, 0, 0};
    struct house *h = house_start(&(struct house_options){
        .sim = {.config =
                    "{\"limits\":{\"per_minute\":100000,\"per_hour\":100000},\"delay_ms\":1500}"},
        .rules = "  - {name: rest, do: [email: {to: [soc@contoso.example]}]}\n",
        .quota = "{per_minute: 100, per_hour: 1500}"});
    unsigned after;

    (void)state;
    people_the_world(h, &s);
    push_all(h, &s); /* while the first of them are being read */
    house_wait_log(h, "\"event\":\"read_together\"", 2, 30000);
    house_cordon_stop(h);
    after = lines_after(h, "\"event\":\"stopping\"", "\"event\":\"verdict\"");
    print_message("  %u of %lld verdicts behind the signal\n", after, (long long)s.alerts);
    assert_true(after < 100);
    sim_tell(h->sim, "/config", "{\"delay_ms\":0}");
    house_cordon_start(h);
    house_wait_quiet(h, 60000);
    assert_int_equal(house_metric(h, "cordon_cases{state=\"done\"}"), s.alerts);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm__a_storm_costs_calls_by_the_hundred),
        cmocka_unit_test(test_storm__most_machines_to_be_isolated_are_no_slower_than_the_api),
        cmocka_unit_test(test_storm__a_stop_does_not_wait_for_all_that_were_read_together),
    };

    cmocka_set_test_filter(getenv("ONLY")); /* a pattern of names; NULL: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
