/* scrape.c - see scrape.h. Gauges of a list (tenants, sources, …) have a sample for each that is configured now. */
#include "scrape.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "metrics.h"
#include "readiness.h"
#include "store_cases.h"
#include "store_heartbeats.h"
#include "store_hunts.h"
#include "store_isolations.h"
#include "store_mutes.h"
#include "store_polls.h"
#include "store_questions.h"
#include "store_upkeep.h"
#include "store_ways.h"
#include "work.h"

struct scrape {
    struct engine *g;
    const struct runtime *rt;
    const struct http_server *senders; /* NULL: not listening yet */
    struct arena *arena;
    int64_t now;
    struct buf *out;
};

/* A gauge without labels. */
static void gauge(const struct scrape *x, enum metric which, int64_t value)
{
    metrics_gauge(x->out, which, 1, NULL, NULL, value);
}

/* Seconds since a time of the wall clock; a clock that was set back makes it no less than nothing. */
static int64_t age_s(const struct scrape *x, int64_t since_ms)
{
    return since_ms < x->now ? (x->now - since_ms) / SECOND_MS : 0;
}

/* ---- the store -------------------------------------------------------------------------------- */

static void of_records(const struct scrape *x)
{
    static const char *const kinds[WORK_KINDS] = {
        [WORK_CASE] = "case",         [WORK_ISOLATION] = "isolation",
        [WORK_NOTICE] = "notice",     [WORK_HEARTBEAT] = "heartbeat",
        [WORK_POLL] = "poll",         [WORK_DIGEST] = "digest",
        [WORK_LEDGER] = "ledger",     [WORK_ACTION] = "action",
        [WORK_QUESTION] = "question", [WORK_WAY] = "way",
        [WORK_HUNT] = "hunt",         [WORK_RECONCILE] = "reconcile",
        [WORK_BURST] = "burst",       [WORK_MUTE] = "silence"};
    int64_t cases[CASE_STATES], isolations[ISOLATION_STATES], work[WORK_KINDS];
    int64_t asked[QUESTION_STATES], silences[MUTE_STATES], oldest = 0;
    struct store *s = x->g->store;

    if (!store_case_count(s, cases, NULL))
        for (int i = 0; i < CASE_STATES; i++)
            metrics_gauge(x->out, METRIC_CASES, i == 0, case_state_name((enum case_state)i), NULL,
                          cases[i]);
    if (!store_isolation_count(s, isolations, NULL))
        for (int i = 0; i < ISOLATION_STATES; i++)
            metrics_gauge(x->out, METRIC_ISOLATIONS, i == 0,
                          isolation_state_name((enum isolation_state)i), NULL, isolations[i]);
    if (!store_work_count(s, work, NULL))
        for (int i = 0; i < WORK_KINDS; i++)
            metrics_gauge(x->out, METRIC_WORK, i == 0, kinds[i], NULL, work[i]);
    if (!store_question_count(s, asked, NULL))
        gauge(x, METRIC_OPEN_QUESTIONS, asked[QUESTION_OPEN]);
    if (!store_mute_count(s, silences, NULL))
        for (int i = 0; i < MUTE_ENDED; i++)
            metrics_gauge(x->out, METRIC_SILENCES, i == 0, mute_state_name((enum mute_state)i),
                          NULL, silences[i]);
    if (!store_oldest_case(s, &oldest, NULL))
        gauge(x, METRIC_OLDEST_CASE, oldest ? age_s(x, oldest) : 0);
}

static void of_database(const struct scrape *x)
{
    int64_t used = 0, spare = 0;
    struct db_counts db;

    db_counts(x->g->store->db, &db);
    gauge(x, METRIC_STORE_QUEUE, db.queue_len);
    gauge(x, METRIC_STORE_COMMITS, db.commits);
    gauge(x, METRIC_STORE_FAILURES, db.failures);
    gauge(x, METRIC_STORE_BYTES, db.size_bytes);
    if (!db_room(x->g->store->db, &used, &spare, NULL))
        gauge(x, METRIC_STORE_USED, used);
}

/* ---- lists of the configuration --------------------------------------------------------------- */

static void of_tenants(const struct scrape *x)
{
    for (size_t i = 0; i < x->rt->config->n_tenants; i++) {
        const char *name = x->rt->tenants[i].config->name;
        int64_t minute, hour;

        quota_used(x->rt->tenants[i].quota, &minute, &hour);
        metrics_gauge(x->out, METRIC_QUOTA_USED, i == 0, name, "minute", minute);
        metrics_gauge(x->out, METRIC_QUOTA_USED, 0, name, "hour", hour);
    }
}

/* Of those that were heard. */
static void of_sources(const struct scrape *x)
{
    struct heartbeat *list;
    size_t n = 0, shown = 0;

    if (store_heartbeat_list(x->g->store, x->arena, &list, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++)
        if (list[i].heard && config_source(x->rt->config, list[i].source))
            metrics_gauge(x->out, METRIC_SOURCE_SILENCE, shown++ == 0, list[i].source, NULL,
                          age_s(x, list[i].heard));
}

static void of_ways(const struct scrape *x)
{
    const struct config *config = x->rt->config;
    size_t n = 0, n_ways = config->mail.n_ways, all = n_ways + config->n_webhooks;
    struct way_record *list;

    if (store_way_list(x->g->store, x->arena, &list, &n, NULL))
        return;
    for (size_t i = 0, shown = 0; i < all; i++) {
        const struct way *way = i < n_ways ? x->rt->ways[i] : x->rt->posts[i - n_ways];
        int64_t since = 0;

        if (i < n_ways && config->mail.ways[i].webhook)
            continue; /* it comes with the webhooks */
        for (size_t k = 0; k < n; k++)
            if (strcmp(list[k].name, way_name(way)) == 0)
                since = list[k].failing;
        metrics_gauge(x->out, METRIC_WAY_FAILING, shown++ == 0, way_name(way), NULL,
                      since ? age_s(x, since) : 0);
    }
}

/* Of the tenants that are polled. */
static void of_polls(const struct scrape *x)
{
    struct poll_record *list;
    size_t n = 0, shown = 0;

    if (store_poll_list(x->g->store, POLL_ALERTS, x->arena, &list, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++)
        if (config_is_polled(x->rt->config, list[i].tenant))
            metrics_gauge(x->out, METRIC_POLLING_LAG, shown++ == 0, list[i].tenant, NULL,
                          age_s(x, list[i].polled ? list[i].polled : list[i].since));
}

/* Of those that ran. */
static void of_hunts(const struct scrape *x)
{
    struct hunt_record *list;
    size_t n = 0, shown = 0;

    if (!x->rt->config->n_hunts || store_hunt_list(x->g->store, x->arena, &list, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++)
        if (list[i].ran && config_hunt(x->rt->config, list[i].name))
            metrics_gauge(x->out, METRIC_HUNT_LAG, shown++ == 0, list[i].name, NULL,
                          age_s(x, list[i].ran));
}

/* ---- this process ----------------------------------------------------------------------------- */

/* What is bounded, by the name of its metric. */
static void of_limits(const struct scrape *x)
{
    const struct {
        const char *name;
        int64_t most;
    } limits[] = {
        {"store_queue", STORE_QUEUE_MAX},
        {"store_used_bytes", x->rt->config->store_max_size},
        {"oldest_case_seconds", x->rt->config->retention_ms / SECOND_MS},
        {"connections", x->senders ? http_server_limit(x->senders) : 0},
        {"body_bytes", x->senders ? http_server_bodies_limit(x->senders) : 0},
    };

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        metrics_gauge(x->out, METRIC_LIMIT, i == 0, limits[i].name, NULL, limits[i].most);
}

static void of_senders(const struct scrape *x)
{
    int64_t connections = 0, requests = 0, bodies = 0, end_ms = 0;

    if (x->senders) {
        http_server_counts(x->senders, &connections, &requests);
        bodies = http_server_bodies(x->senders);
        end_ms = http_server_certificate_end_ms(x->senders);
    }
    metrics_gauge(x->out, METRIC_CONNECTIONS, 1, "senders", NULL, connections);
    metrics_gauge(x->out, METRIC_BODIES, 1, "senders", NULL, bodies);
    if (end_ms)
        gauge(x, METRIC_CERTIFICATE_END, end_ms / SECOND_MS);
}

static void of_health(const struct scrape *x)
{
    struct health_part *parts = NULL;
    unsigned n = readiness_parts(x->g, x->arena, &parts);
    struct pause pause;

    for (unsigned i = 0; i < n; i++)
        metrics_gauge(x->out, METRIC_HEALTHY, i == 0, parts[i].name, NULL, parts[i].ok);
    if (readiness_pause(x->g, x->arena, &pause))
        gauge(x, METRIC_PAUSED, pause.on);
    gauge(x, METRIC_WORKERS_BUSY, workers_busy(x->g->workers));
}

/* Resident, in bytes; 0 when the kernel does not say. */
static int64_t memory(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long long pages = 0;

    if (f && fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    if (f)
        (void)fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

void scrape_write(struct engine *g, const struct http_server *senders, const char *version,
                  int64_t started_ms, struct buf *out)
{
    static void (*const all[])(const struct scrape *) = {
        of_records, of_database, of_tenants, of_sources, of_ways,
        of_polls,   of_hunts,    of_limits,  of_senders, of_health};
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const struct scrape x = {.g = g,
                             .rt = rt,
                             .senders = senders,
                             .arena = arena,
                             .now = clock_wall_ms(g->clock),
                             .out = out};

    metrics_write(g->metrics, out);
    metrics_gauge(out, METRIC_BUILD, 1, version, NULL, 1);
    gauge(&x, METRIC_START, started_ms / SECOND_MS);
    gauge(&x, METRIC_MEMORY, memory());
    for (size_t i = 0; arena && i < sizeof all / sizeof *all; i++)
        all[i](&x);
}
