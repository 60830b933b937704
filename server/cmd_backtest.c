/* cmd_backtest.c - `cordon backtest`: what a policy would have done with real alerts. Reads only, beside whatever
 * server is running and without it. */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auto.h"
#include "backtest.h"
#include "backtest_feed.h"
#include "buf.h"
#include "config.h"
#include "config_hunts.h"
#include "json.h"
#include "rest.h"
#include "runtime.h"

#define DAYS_USUAL    7
#define DAYS_MAX      180 /* Defender keeps alerts for so long */
#define REASONS_SHOWN 20
#define OUTCOME_MAX   (256 * 1024 * 1024) /* bytes; a line for every isolation */

struct options {
    const char *config, *policy, *tenant, *source;
    int64_t days;
    bool json;
};

static const struct cli_option options[] = {
    CLI_CONFIG(struct options, config),
    CLI_OPTION("days", CLI_NUMBER, struct options, days, "N", "of the last N days; else 7"),
    CLI_OPTION("policy", CLI_TEXT, struct options, policy, "FILE",
               "the rules and safety of this file; else the configuration's"),
    CLI_OPTION("tenant", CLI_TEXT, struct options, tenant, "NAME", "of this tenant; else of all"),
    CLI_OPTION(
        "source", CLI_TEXT, struct options, source, "NAME",
        "as if they came from this source, polling or hunt:NAME; else the tenant's first that may isolate"),
    CLI_JSON(struct options, json),
    {.name = NULL},
};

static const struct cli_command command = {
    .name = "backtest",
    .about =
        "What a policy would have done with the alerts of the last days: verdicts by rule, what would\n"
        "have been withheld and why, which machines would have been isolated, which limits reached.\n"
        "Reads alerts and machines from Defender and changes nothing, with a quarter of the tenant's\n"
        "quota. Each alert is judged as of its creation, by what Defender says of it and its machine\n"
        "today; a machine that was isolated stays so. Shadow mode and canary are left out of account.",
    .options = options,
};

/* One tenant's alerts on their way. */
struct stream {
    const struct config_tenant *tenant;
    const struct config_origin *origin; /* whose alerts they would have been; NULL: nobody's */
    struct feed *feed;
    struct feed_item head;
};

static void tell_waiting(void *ctx, int64_t ms, const char *why)
{
    const struct config_tenant *t = ctx;
    int64_t s = (ms + SECOND_MS - 1) / SECOND_MS;

    if (ms < SECOND_MS)
        return;
    if (why)
        cli_error("tenant %s: trying again in %" PRId64 " s: %s", t->name, s, why);
    else
        cli_error("tenant %s: waiting %" PRId64 " s for its quota", t->name, s);
}

/* ---- what it is about --------------------------------------------------------------------------- */

/* The policy of a file of its own; CLI_GO_ON and *ret, or what to exit with. */
static int load_policy(const char *file, struct config *config, struct arena *a,
                       const struct policy **ret)
{
    struct yaml_faults faults;
    struct err e = {0};
    enum err_code code = config_peek_policy(file, NULL, config, a, ret, &faults, &e);

    return cli_read(code, &faults, &e);
}

/* By name, or the first that a tenant's alerts may come from; NULL: there is none. One that may isolate goes before
 * others. */
static const struct config_origin *origin_of(const struct config *c, struct arena *a,
                                             const struct config_tenant *tenant, const char *name)
{
    const struct config_origin *origins, *first = NULL;
    size_t n = config_origins(c, a, &origins);

    for (size_t i = 0; i < n; i++) {
        const struct config_origin *o = &origins[i];
        bool fits = o->tenant ? o->tenant == tenant : c->polling.every_ms > 0; /* off: finds none */

        if (name ? strcmp(o->name, name) == 0 : fits && o->may_isolate)
            return o;
        if (!name && !first && fits)
            first = o;
    }
    return first;
}

/* What the options name must be there, and belong together. */
static int check_names(const struct config *c, const struct options *o, struct arena *a)
{
    const struct config_origin *s = o->source ? origin_of(c, a, NULL, o->source) : NULL;

    if (o->tenant && !config_tenant(c, o->tenant))
        return cli_usage(&command, "--tenant: there is no tenant '%.60s'", o->tenant);
    if (o->source && !s)
        return cli_usage(&command, "--source: there is no source '%.60s'", o->source);
    if (o->days > DAYS_MAX)
        return cli_usage(&command, "--days: at most %d", DAYS_MAX);
    if (s && s->tenant && o->tenant && strcmp(s->tenant->name, o->tenant) != 0)
        return cli_usage(&command, "--source: alerts of %s are those of tenant %s", s->name,
                         s->tenant->name);
    return CLI_GO_ON;
}

/* ---- running ------------------------------------------------------------------------------------ */

/* The stream whose next alert is the oldest; NULL: all have ended. */
static struct stream *oldest(struct stream *streams, size_t n)
{
    struct stream *first = NULL;

    for (size_t i = 0; i < n; i++)
        if (streams[i].head.alert &&
            (!first || streams[i].head.created_ms < first->head.created_ms))
            first = &streams[i];
    return first;
}

/* An alert that a hunt has made is the hunt's where that may have nothing isolated, as it is whoever pushes it (grounds_source). */
static void find_source(const struct config *c, const struct stream *s, struct facts *f)
{
    const struct config_hunt *hunt =
        f->may_isolate ? config_hunt_held_back(c, f->source, s->tenant->name,
                                               json_get_string(f->alert, "title"),
                                               json_get_string(f->alert, "description"))
                       : NULL;

    if (hunt) {
        f->source = hunt->source;
        f->may_isolate = hunt->may_isolate;
    }
}

static enum err_code run(const struct config *c, struct backtest *b, struct stream *streams,
                         size_t n, struct err *e)
{
    enum err_code code = ERR_OK;
    struct stream *s;

    for (size_t i = 0; i < n && !code; i++)
        code = feed_next(streams[i].feed, &streams[i].head, e);
    while (!code && (s = oldest(streams, n))) {
        struct facts f = {.tenant = s->tenant->name,
                          .source = s->origin ? s->origin->name : NULL,
                          .may_isolate = s->origin && s->origin->may_isolate,
                          .alert_id = json_get_string(s->head.alert, "id"),
                          .alert = s->head.alert,
                          .machine = s->head.machine,
                          .read_ms = s->head.created_ms};

        find_source(c, s, &f);
        code = backtest_add(b, &f, e);
        if (!code)
            code = feed_next(s->feed, &s->head, e);
        if (code)
            (void)err_in(e, "tenant %s", s->tenant->name);
    }
    for (size_t i = 0; i < n && !code; i++)
        for (int64_t k = feed_unreadable(streams[i].feed); k > 0; k--)
            backtest_skip(b);
    return code;
}

static enum err_code open_streams(struct runtime *rt, const struct options *o, struct arena *a,
                                  int64_t from, int64_t to, struct stream *streams, size_t *ret_n,
                                  struct err *e)
{
    const struct config_origin *only = o->source ? origin_of(rt->config, a, NULL, o->source) : NULL;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < rt->config->n_tenants && !code; i++) {
        const struct config_tenant *t = rt->tenants[i].config;
        struct stream *s = &streams[*ret_n];
        struct feed_options feed = {.defender = rt->tenants[i].defender,
                                    .clock = clock_system(),
                                    .per_minute = t->quota.per_minute,
                                    .per_hour = t->quota.per_hour,
                                    .from_ms = from,
                                    .to_ms = to,
                                    .waiting = tell_waiting,
                                    .ctx = (void *)t};

        if ((o->tenant && strcmp(t->name, o->tenant) != 0) ||
            (only && only->tenant && only->tenant != t))
            continue;
        if (!o->tenant &&
            config_is_second_name(rt->config, t)) /* its alerts are counted by the other */
            continue;
        *s = (struct stream){.tenant = t, .origin = origin_of(rt->config, a, t, o->source)};
        code = feed_new(&feed, &s->feed, e);
        ++*ret_n;
    }
    return code;
}

static enum err_code judge_all(struct config *config, const struct policy *policy,
                               const struct options *o, struct arena *a, struct buf *out,
                               struct err *e)
{
    int64_t to = clock_wall_ms(clock_system());
    int64_t from = to - (o->days ? o->days : DAYS_USUAL) * DAY_MS;
    AUTO(rest_freep) struct rest *rest = NULL;
    AUTO(runtime_unrefp) struct runtime *rt = NULL;
    AUTO(backtest_freep) struct backtest *b = NULL;
    AUTO(auto_free) struct stream *streams = calloc(config->n_tenants + 1, sizeof *streams);
    size_t n = 0;
    enum err_code code = streams ? cli_rest_new(&rest, e) : err_set(e, ERR_NOMEM, "backtest");

    if (!code)
        code = runtime_new(config_ref(config), rest, clock_system(), &rt, e);
    if (!code)
        code = backtest_new(policy, from, to, &b, e);
    if (!code)
        code = open_streams(rt, o, a, from, to, streams, &n, e);
    if (!code)
        code = run(rt->config, b, streams, n, e);
    if (!code) {
        backtest_write(b, out);
        code = buf_failed(out) ? err_set(e, buf_failed(out), "the outcome") : ERR_OK;
    }
    for (size_t i = 0; i < n; i++)
        feed_free(streams[i].feed);
    return code;
}

/* ---- showing ------------------------------------------------------------------------------------ */

static const char *number(struct arena *a, const struct json *doc, const char *name)
{
    int64_t n = 0;

    return json_int64(json_get(doc, name), &n) ? arena_fmt(a, "%" PRId64, n) : "-";
}

/* "s": there are not exactly one. */
static const char *plural(const struct json *doc, const char *name)
{
    int64_t n = 0;

    return json_int64(json_get(doc, name), &n) && n == 1 ? "" : "s";
}

/* A table of a list: its columns are the titles in small letters' members. */
static void show_list(struct arena *a, const struct json *list, const char *const *titles,
                      const char *const *members, size_t most)
{
    struct cli_table t;
    size_t n = 0;

    cli_table_init(&t, a, titles);
    JSON_EACH (row, list) {
        const char *cells[8] = {NULL};

        if (n++ == most)
            break;
        for (size_t i = 0; members[i]; i++) {
            const struct json *v = json_get(row, members[i]);
            const char *text = json_string(v);

            cells[i] = json_type(v) == JSON_NUMBER ? number(a, row, members[i])
                       : text                      ? cli_time(a, text)
                                                   : "-";
        }
        cli_table_row(&t, cells);
    }
    cli_table_show(&t, cli_width());
    if (json_count(list) > most)
        (void)printf("… and %zu more: --json shows all\n", json_count(list) - most);
    (void)putchar('\n');
}

static void show_limits(struct arena *a, const struct json *limits)
{
    JSON_EACH (l, limits) {
        int64_t per_ms = json_get_int64(l, "per_ms", 0), hits = json_get_int64(l, "hits", 0);
        const char *of = json_get_string(l, "of");
        bool share = json_get(l, "percent") != NULL;
        bool all = !of || strcmp(of, policy_scope_name(POLICY_ALL)) == 0;
        char per[CLOCK_SPAN_SIZE];

        (void)printf("limit of %s%s%s%s in %s: at most %s of them",
                     number(a, l, share ? "percent" : "isolations"), share ? " %" : "",
                     all ? "" : " of a ", all ? "" : of, clock_span(per_ms, per),
                     number(a, l, "most"));
        if (hits)
            (void)printf("; it held back %" PRId64 ", first %s, last %s", hits,
                         cli_time(a, json_get_string(l, "first")),
                         cli_time(a, json_get_string(l, "last")));
        (void)puts("");
    }
}

static void show(const struct json *doc, struct arena *a, const struct policy *policy)
{
    static const struct {
        const char *member, *heading;
        const char *titles[8], *members[8];
    } tables[] = {
        {"rules", NULL, {"RULE", "ALERTS", "IN DOUBT", NULL}, {"rule", "alerts", "doubt", NULL}},
        {"steps",
         NULL,
         {"RULE", "STEP", "DONE", "WITHHELD", "ASKED", NULL},
         {"rule", "step", "done", "withheld", "asked", NULL}},
        {"withheld",
         NULL,
         {"WITHHELD BY", "ALERTS", "MACHINES", "WHY", NULL},
         {"by", "alerts", "machines", "why", NULL}},
        {"asked",
         NULL,
         {"A PERSON IS ASKED", "ALERTS", "MACHINES", NULL},
         {"why", "alerts", "machines", NULL}},
        {"days",
         NULL,
         {"DAY FROM", "ALERTS", "ISOLATED", "JOINED", "WITHHELD", "ASKED", "OVER LIMIT", NULL},
         {"day", "alerts", "requested", "joined", "withheld", "asked", "over_limit", NULL}},
        {"isolated",
         NULL,
         {"ISOLATED", "MACHINE", "ALERT", "RULE", "AT", NULL},
         {"machine_name", "machine_id", "alert_id", "rule", "at", NULL}},
    };
    const struct json *isolations = json_get(doc, "isolations");

    (void)printf("%s alert%s on %s machine%s from %s to %s, judged by policy %.12s%s\n",
                 number(a, doc, "alerts"), plural(doc, "alerts"), number(a, doc, "machines"),
                 plural(doc, "machines"), cli_time(a, json_get_string(doc, "from")),
                 cli_time(a, json_get_string(doc, "to")), policy_hash(policy),
                 policy_is_shadow(policy) ? ", as if it were not in shadow mode" : "");
    if (policy_canary(policy))
        (void)printf(
            "safety.canary is left out of account: a person would be asked about the first %" PRId64
            " of these isolations\n",
            policy_canary(policy));
    (void)printf(
        "isolations: %s asked for, %s more alerts would have joined them, %s wait for a person, "
        "%s held back by a limit, %s by the storm breaker\n",
        number(a, isolations, "requested"), number(a, isolations, "joined"),
        number(a, isolations, "asked"), number(a, isolations, "over_limit"),
        number(a, isolations, "storm"));
    if (strcmp(number(a, doc, "unreadable"), "0") != 0)
        (void)printf("%s alerts could not be read and were left out\n",
                     number(a, doc, "unreadable"));
    show_limits(a, json_get(doc, "limits"));
    (void)putchar('\n');
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (json_count(json_get(doc, tables[i].member)))
            show_list(a, json_get(doc, tables[i].member), tables[i].titles, tables[i].members,
                      REASONS_SHOWN);
}

int cmd_backtest(int argc, char **argv);

int cmd_backtest(int argc, char **argv)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(OUTCOME_MAX);
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *doc = NULL;
    struct options o = {0};
    const struct policy *policy = NULL;
    struct config *config = NULL;
    int code = cli_parse(argc, argv, &command, &o, NULL);
    struct err e = {0};

    if (code != CLI_GO_ON || !a)
        return code != CLI_GO_ON ? code : CLI_FAILED;
    code = cli_load_config(o.config, NULL, &config);
    if (code != CLI_GO_ON)
        return code;
    policy = config->policy;
    code = check_names(config, &o, a);
    if (code == CLI_GO_ON && o.policy)
        code = load_policy(o.policy, config, a, &policy);
    if (code == CLI_GO_ON) {
        if (judge_all(config, policy, &o, a, &out, &e) ||
            json_parse(buf_text(&out), out.len, &doc, &e)) {
            cli_error("%s", e.text);
            code = CLI_FAILED;
        } else {
            if (o.json)
                (void)puts(buf_text(&out));
            else
                show(doc, a, policy);
            code = CLI_DONE;
        }
    }
    config_unref(config);
    return code;
}
