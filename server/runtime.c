/* runtime.c - see runtime.h. */
#include "runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "store.h"

static const enum quota_class classes[] = {
    [DEFENDER_API_COMMON] = QUOTA_ALL,
    [DEFENDER_API_ALERT_CREATE] = QUOTA_ALERT_CREATE,
    [DEFENDER_API_PACKAGE] = QUOTA_PACKAGE_URI,
};

static enum err_code acquire(void *ctx, enum defender_api api, enum defender_class class,
                             struct err *e)
{
    struct runtime_tenant *t = ctx;
    /* What is counted apart is nothing that calls are kept in reserve for. */
    bool action = class == DEFENDER_CLASS_ACTION && api == DEFENDER_API_COMMON;

    return quota_take_class(t->quota, classes[api], action, e);
}

static void throttled(void *ctx, enum defender_api api, int64_t retry_ms)
{
    struct runtime_tenant *t = ctx;

    quota_block_class(t->quota, classes[api], retry_ms);
}

/* How far the wall clock is before the monotonic one. */
static int64_t find_lead(const struct clock *c)
{
    return clock_wall_ms(c) - clock_mono_ms(c);
}

static void told_the_time(void *ctx, int64_t off_ms)
{
    struct runtime_tenant *t = ctx;

    t->clock_lead_ms = find_lead(t->clock) - off_ms;
    t->clock_told_ms = clock_mono_ms(t->clock);
}

/* defender-api.md section 7.4: 45 a minute, of Graph at least; 1,500 an hour for the older call. */
#define HUNTS_PER_MINUTE 45
#define HUNTS_PER_HOUR   1500

static enum err_code open_graph(struct runtime_tenant *t, struct rest *rest,
                                const struct clock *clock, struct err *e)
{
    const struct config_tenant *config = t->config;
    struct token_options token = {.rest = rest,
                                  .clock = clock,
                                  .scope = config->graph_scope,
                                  .on_clock = told_the_time,
                                  .clock_ctx = t};
    struct graph_options graph = {.rest = rest,
                                  .defender_token = t->token,
                                  .graph_url = config->graph_url,
                                  .api_url = config->api_url};
    enum err_code code;

    credential_use(config, &token);
    code = token_new(&token, &t->graph_token, e);
    if (!code)
        code = quota_new(HUNTS_PER_MINUTE, HUNTS_PER_HOUR, clock, &t->hunt_quota, e);
    graph.token = t->graph_token;
    graph.quota = t->hunt_quota;
    return code ? code : graph_new(&graph, &t->graph, e);
}

static enum err_code open_tenant(struct runtime_tenant *t, const struct config_tenant *config,
                                 struct rest *rest, const struct clock *clock, struct err *e)
{
    struct token_options token = {.rest = rest,
                                  .clock = clock,
                                  .scope = config->api_scope,
                                  .on_clock = told_the_time,
                                  .clock_ctx = t};
    struct defender_options api = {.rest = rest,
                                   .clock = clock,
                                   .api_url = config->api_url,
                                   .acquire = acquire,
                                   .on_throttled = throttled,
                                   .on_clock = told_the_time,
                                   .ctx = t};
    enum err_code code;

    t->config = config;
    t->clock = clock;
    credential_use(config, &token);
    code = quota_new(config->quota.per_minute, config->quota.per_hour, clock, &t->quota, e);
    if (!code)
        code = token_new(&token, &t->token, e);
    api.token = t->token;
    if (!code)
        code = defender_new(&api, &t->defender, e);
    if (!code)
        code = storm_new(clock, &t->storm, e);
    if (!code)
        code = open_graph(t, rest, clock, e);
    return code ? err_in(e, "tenant %s", config->name) : ERR_OK;
}

static void runtime_free(struct runtime *r)
{
    for (size_t i = 0; r->tenants && i < r->config->n_tenants; i++) {
        graph_free(r->tenants[i].graph);
        quota_free(r->tenants[i].hunt_quota);
        token_free(r->tenants[i].graph_token);
        storm_free(r->tenants[i].storm);
        defender_free(r->tenants[i].defender);
        token_free(r->tenants[i].token);
        quota_free(r->tenants[i].quota);
    }
    free(r->tenants);
    for (size_t i = 0; r->ways && i < r->config->mail.n_ways; i++)
        if (r->config->mail.ways[i].kind != CONFIG_WAY_WEBHOOK)
            way_free(r->ways[i]);
    for (size_t i = 0; r->posts && i < r->config->n_webhooks; i++)
        way_free(r->posts[i]);
    free(r->ways);
    free(r->posts);
    config_unref(r->config);
    free(r);
}

/* A webhook that mails may take is the same way as where steps post to. */
static enum err_code open_ways(struct runtime *r, struct rest *rest, const struct clock *clock,
                               struct err *e)
{
    const struct config *c = r->config;
    enum err_code code = ERR_OK;

    r->posts = calloc(c->n_webhooks + 1, sizeof *r->posts);
    r->ways = calloc(c->mail.n_ways + 1, sizeof *r->ways);
    if (!r->posts || !r->ways)
        return err_set(e, ERR_NOMEM, "runtime");
    for (size_t i = 0; i < c->n_webhooks && !code; i++)
        code = way_new(&c->webhook_ways[i], rest, clock, &r->posts[i], e);
    for (size_t i = 0; i < c->mail.n_ways && !code; i++)
        if (c->mail.ways[i].webhook)
            r->ways[i] = r->posts[c->mail.ways[i].webhook - c->webhooks];
        else
            code = way_new(&c->mail.ways[i], rest, clock, &r->ways[i], e);
    return code;
}

enum err_code runtime_new(struct config *config, struct rest *rest, const struct clock *clock,
                          struct runtime **ret, struct err *e)
{
    struct runtime *r = calloc(1, sizeof *r);
    enum err_code code = ERR_OK;

    if (!r) {
        config_unref(config);
        return err_set(e, ERR_NOMEM, "runtime");
    }
    r->config = config;
    r->clock = clock;
    r->refs = 1;
    r->tenants = calloc(config->n_tenants + 1, sizeof *r->tenants);
    if (!r->tenants)
        code = err_set(e, ERR_NOMEM, "runtime");
    for (size_t i = 0; i < config->n_tenants && !code; i++)
        code = open_tenant(&r->tenants[i], &config->tenants[i], rest, clock, e);
    if (!code)
        code = open_ways(r, rest, clock, e);
    if (code) {
        runtime_free(r);
        return code;
    }
    *ret = r;
    return ERR_OK;
}

/* The machine's only identity needs no name. */
static const char *app_of(const struct config_tenant *t)
{
    return t->client_id ? t->client_id : "managed-identity";
}

/* Does Defender count them together? */
static bool is_same_app(const struct config_tenant *a, const struct config_tenant *b)
{
    return strcmp(a->tenant_id, b->tenant_id) == 0 && strcmp(app_of(a), app_of(b)) == 0;
}

static void inherit_ways(struct way *const *ways, size_t n, struct way *const *old, size_t n_old)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_old; k++)
            way_inherit(ways[i], old[k]);
}

/* One that is in force yet, for another name of the application too, keeps its own limits. */
static void leave_budget(const struct runtime *r, const struct runtime_tenant *old)
{
    struct quota *heir = NULL;

    for (size_t i = 0; i < r->config->n_tenants; i++) {
        const struct runtime_tenant *t = &r->tenants[i];

        if (t->quota == old->quota)
            return;
        if (is_same_app(t->config, old->config) &&
            (!heir || strcmp(t->config->name, old->config->name) == 0))
            heir = t->quota;
    }
    if (heir)
        quota_leave_to(old->quota, heir);
}

static bool has_app(const struct runtime *r, const struct config_tenant *t)
{
    for (size_t i = 0; i < r->config->n_tenants; i++)
        if (is_same_app(r->tenants[i].config, t))
            return true;
    return false;
}

/* This host's clock is one, whichever application asks. One that goes on asking has its word itself, until it says another. */
static void inherit_clock(struct runtime *r, const struct runtime *old)
{
    r->clock_lead_ms = old->clock_lead_ms;
    r->clock_told_ms = old->clock_told_ms;
    for (size_t i = 0; i < old->config->n_tenants; i++)
        if (old->tenants[i].clock_lead_ms && !has_app(r, old->tenants[i].config) &&
            (!r->clock_lead_ms || old->tenants[i].clock_told_ms > r->clock_told_ms)) {
            r->clock_lead_ms = old->tenants[i].clock_lead_ms;
            r->clock_told_ms = old->tenants[i].clock_told_ms;
        }
}

void runtime_inherit(struct runtime *r, struct runtime *old)
{
    inherit_ways(r->ways, r->config->mail.n_ways, old->ways, old->config->mail.n_ways);
    inherit_ways(r->posts, r->config->n_webhooks, old->posts, old->config->n_webhooks);
    for (size_t i = 0; i < r->config->n_tenants; i++)
        for (size_t k = 0; k < old->config->n_tenants; k++) {
            if (is_same_app(r->tenants[i].config, old->tenants[k].config)) {
                quota_inherit(&r->tenants[i].quota, old->tenants[k].quota);
                quota_inherit(&r->tenants[i].hunt_quota, old->tenants[k].hunt_quota);
                graph_use_quota(r->tenants[i].graph, r->tenants[i].hunt_quota);
                if (old->tenants[k].clock_lead_ms) { /* known */
                    r->tenants[i].clock_lead_ms = old->tenants[k].clock_lead_ms;
                    r->tenants[i].clock_told_ms = old->tenants[k].clock_told_ms;
                }
            }
        }
    inherit_clock(r, old);
    for (size_t k = 0; k < old->config->n_tenants; k++)
        leave_budget(r, &old->tenants[k]);
}

/* Others that make calls of the same budgets: replicas, or a tenant of another name. */
static bool has_sharers(const struct runtime *r, size_t at, struct store *store)
{
    bool any = db_is_shared(store->db);

    for (size_t i = 0; i < r->config->n_tenants && !any; i++)
        any = i != at && is_same_app(r->tenants[i].config, r->tenants[at].config);
    return any;
}

enum err_code runtime_keep(struct runtime *r, struct store *store, struct err *e)
{
    for (size_t i = 0; i < r->config->n_tenants; i++) {
        const struct config_tenant *t = r->tenants[i].config;
        char app[2 * 36 + 2]; /* two GUIDs */
        const enum quota_keeping keeping = has_sharers(r, i, store) ? QUOTA_SHARED : QUOTA_ALONE;
        enum err_code code;

        if (quota_is_kept(r->tenants[i].quota)) {
            if (keeping == QUOTA_SHARED) {
                quota_share(r->tenants[i].quota);
                quota_share(r->tenants[i].hunt_quota);
            }
            continue;
        }
        (void)snprintf(app, sizeof app, "%s/%s", t->tenant_id, app_of(t));
        code = quota_keep(r->tenants[i].quota, store, app, keeping, e);
        (void)snprintf(app, sizeof app, "%s/hunting", t->tenant_id); /* counted by tenant */
        if (!code)
            code = quota_keep(r->tenants[i].hunt_quota, store, app, keeping, e);
        if (code)
            return err_in(e, "tenant %s", t->name);
    }
    return ERR_OK;
}

struct runtime *runtime_ref(struct runtime *r)
{
    r->refs++;
    return r;
}

void runtime_unref(struct runtime *r)
{
    if (r && --r->refs == 0)
        runtime_free(r);
}

struct runtime_tenant *runtime_tenant(struct runtime *r, const char *name)
{
    for (size_t i = 0; i < r->config->n_tenants; i++)
        if (strcmp(r->tenants[i].config->name, name) == 0)
            return &r->tenants[i];
    return NULL;
}

/* How far a clock is off Defender's; 0 while that is not known. */
static int64_t off_by(const struct clock *c, int64_t lead)
{
    return lead ? find_lead(c) - lead : 0;
}

static int64_t clock_off(const struct runtime_tenant *t)
{
    return t ? off_by(t->clock, t->clock_lead_ms) : 0;
}

static bool is_beyond(int64_t off, int64_t ms)
{
    return off > ms || off < -ms;
}

enum err_code runtime_check_clock(const struct runtime_tenant *t, struct err *e)
{
    int64_t off = clock_off(t), away = off < 0 ? -off : off;

    if (away <= DEFENDER_SKEW_MS)
        return ERR_OK;
    return err_set(e, ERR_AGAIN,
                   "this host's clock is %" PRId64 " min %s Defender's, and limits are counted by "
                   "it; let NTP set it (chronyc tracking, timedatectl)",
                   (away + MINUTE_MS / 2) / MINUTE_MS, off < 0 ? "behind" : "ahead of");
}

/* Who is polled says it every few minutes. */
#define WORD_MS HOUR_MS

bool runtime_clock_is_doubtful(const struct runtime *r, int64_t ms)
{
    int64_t last = r->clock_told_ms;
    bool off, known = r->clock_lead_ms != 0;

    for (size_t i = 0; i < r->config->n_tenants; i++) {
        if (r->tenants[i].clock_told_ms > last)
            last = r->tenants[i].clock_told_ms;
        known = known || r->tenants[i].clock_lead_ms;
    }
    off = r->clock_told_ms >= last - WORD_MS && is_beyond(off_by(r->clock, r->clock_lead_ms), ms);
    for (size_t i = 0; i < r->config->n_tenants; i++)
        off = off || (r->tenants[i].clock_told_ms >= last - WORD_MS &&
                      is_beyond(clock_off(&r->tenants[i]), ms));
    return off || !known;
}

int64_t runtime_last_ahead_ms(const struct runtime *r)
{
    const struct runtime_tenant *last = NULL;

    for (size_t i = 0; i < r->config->n_tenants; i++)
        if (r->tenants[i].clock_lead_ms &&
            (!last || r->tenants[i].clock_told_ms > last->clock_told_ms))
            last = &r->tenants[i];
    return last ? runtime_clock_ahead_ms(last) : 0;
}

int64_t runtime_clock_ahead_ms(const struct runtime_tenant *t)
{
    int64_t off = runtime_clock_off_ms(t);

    return off > 0 ? off : 0;
}

int64_t runtime_clock_off_ms(const struct runtime_tenant *t)
{
    int64_t off = clock_off(t);

    return is_beyond(off, DEFENDER_SKEW_MS) ? off : 0;
}
