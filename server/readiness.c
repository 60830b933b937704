/* readiness.c - see readiness.h. */
#include "readiness.h"

#include <stdio.h>
#include <string.h>

#include "hunting.h"
#include "json.h"
#include "keeper_refusal.h"
#include "polling.h"
#include "reconcile.h"
#include "silence.h"
#include "store_hunts.h"
#include "store_polls.h"
#include "store_ways.h"

static void part(struct json_out *o, const char *name, bool ok, const char *why, int64_t since)
{
    json_out_object(o, name);
    json_out_bool(o, "ok", ok);
    json_out_string(o, "why", ok ? NULL : why);
    if (since)
        json_out_time(o, "since", since);
    json_out_object_end(o);
}

static enum err_code read_pause(struct engine *g, struct arena *a, struct pause *ret, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);

    return a ? store_pause(g->store, rt, a, ret, e) : err_set(e, ERR_NOMEM, "readiness");
}

bool readiness_pause(struct engine *g, struct arena *a, struct pause *ret)
{
    return !read_pause(g, a, ret, NULL);
}

static bool has_way(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->mail.n_ways; i++)
        if (strcmp(c->mail.ways[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < c->n_webhooks; i++)
        if (strcmp(c->webhooks[i].way, name) == 0)
            return true;
    return false;
}

/* Does the configuration know what the part is of ("defender:contoso", "mail")? */
static bool is_configured(const void *ctx, const char *name)
{
    const struct config *c = ctx;
    static const char *const of_tenants[] = {"defender", "ledger", "clock"};
    const char *colon = strchr(name, ':'), *of = colon ? colon + 1 : "";
    size_t len = colon ? (size_t)(colon - name) : 0;
    const struct config_source *source;

    for (size_t i = 0; i < sizeof of_tenants / sizeof *of_tenants; i++)
        if (len == strlen(of_tenants[i]) && strncmp(name, of_tenants[i], len) == 0)
            return config_tenant(c, of) != NULL;
    if (len == 7 && strncmp(name, "polling", len) == 0)
        return c->polling.every_ms && config_tenant(c, of);
    if (len == 4 && strncmp(name, "hunt", len) == 0)
        return config_hunt(c, of) != NULL;
    if (len == 6 && strncmp(name, "source", len) == 0) {
        source = config_source(c, of);
        return source && source->heartbeat_ms;
    }
    return strcmp(name, KEEPER_REFUSAL_PART) == 0 || has_way(c, name);
}

/* ---- what the store knows --------------------------------------------------------------------- */

struct parts {
    struct engine *g;
    const struct config *config;
    struct arena *arena;
    struct health_part *list;
    unsigned n;
    int64_t now;
};

/* Of a part whose work comes once in a while, the last may have been done by another replica, or before a restart. since:
 * when it began to fail, as the store has it; 0: it does not. sick_ms: so long it may, before it is told here. */
static void note(struct parts *p, const char *kind, const char *name, int64_t since,
                 int64_t sick_ms, const char *why)
{
    struct health_part *part = p->list, *end = p->list + p->n;
    char full[sizeof part->name];

    (void)snprintf(full, sizeof full, "%s%s%s", kind, *kind ? ":" : "", name);
    while (part < end && strcmp(part->name, full) != 0)
        part++;
    if (!since) {
        if (part < end && !part->ok) {
            part->ok = true;
            part->since = 0; /* nobody here knows */
        }
        return;
    }
    if (p->now - since < sick_ms || !is_configured(p->config, full) ||
        (part < end ? !part->ok : p->n == HEALTH_PARTS_MAX))
        return;
    if (part == end)
        p->n++;
    *part = (struct health_part){.since = since};
    memcpy(part->name, full, sizeof full);
    (void)snprintf(part->why, sizeof part->why, "%s", why ? why : "");
}

static enum err_code note_polls(struct parts *p, enum poll_list which, const char *kind,
                                int64_t sick_ms)
{
    struct poll_record *list;
    size_t n = 0;
    enum err_code code = store_poll_list(p->g->store, which, p->arena, &list, &n, NULL);

    for (size_t i = 0; !code && i < n; i++) {
        const struct config_tenant *t = config_tenant(p->config, list[i].tenant);

        if (t && !config_is_second_name(p->config, t)) /* whose row is nobody's */
            note(p, kind, t->name, list[i].failing, sick_ms,
                 "it fails; the log of the replica that does it says why");
    }
    return code;
}

/* What cannot be read is left as it is, and no more is tried: a database that does not answer takes its time each time. */
static enum err_code note_all(struct parts *p)
{
    struct heartbeat *beats;
    struct hunt_record *hunts;
    struct way_record *ways;
    size_t n = 0;
    enum err_code code = store_heartbeat_list(p->g->store, p->arena, &beats, &n, NULL);

    for (size_t i = 0; !code && i < n; i++)
        note(p, "source", beats[i].source, beats[i].quiet, 0, silence_words(&beats[i], p->arena));
    if (!code)
        code = store_hunt_list(p->g->store, p->arena, &hunts, &n, NULL);
    for (size_t i = 0; !code && i < n; i++)
        note(p, "hunt", hunts[i].name, hunts[i].failing, HUNTING_SICK_MS, hunts[i].why);
    if (!code)
        code = store_way_list(p->g->store, p->arena, &ways, &n, NULL);
    for (size_t i = 0; !code && i < n; i++)
        note(p, "", ways[i].name, ways[i].failing, 0, ways[i].why);
    if (!code)
        code = note_polls(p, POLL_ALERTS, "polling", POLLING_SICK_MS);
    return code ? code : note_polls(p, POLL_ACTIONS, "ledger", RECONCILE_BEHIND_MS);
}

/* How this host's clock stands is nobody else's to say, and nothing's but the last answer's and the clock's own. */
static void note_clocks(struct engine *g, struct runtime *rt)
{
    for (size_t i = 0; i < rt->config->n_tenants; i++) {
        struct err why = {0};
        enum err_code off = runtime_check_clock(&rt->tenants[i], &why);

        if (rt->tenants[i].clock_lead_ms)
            (void)health_note(g->health, "clock", rt->config->tenants[i].name, !off, why.text);
    }
}

/* At each reading, and not at a reload: who was at work by the configuration before may have a last word after it. */
unsigned readiness_parts(struct engine *g, struct arena *a, struct health_part **ret)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct parts p = {.g = g, .config = rt->config, .arena = a, .now = clock_wall_ms(g->clock)};

    p.list = arena_array(a, HEALTH_PARTS_MAX, sizeof *p.list);
    if (!p.list)
        return 0;
    note_clocks(g, rt);
    health_keep(g->health, is_configured, rt->config);
    p.n = health_list(g->health, p.list, HEALTH_PARTS_MAX);
    /* Full: who waits for room has noted that here, and not there. */
    if (!store_health(g->store, NULL))
        (void)note_all(&p);
    *ret = p.list;
    return p.n;
}

bool readiness_write(struct engine *g, bool stopping, struct buf *out)
{
    AUTO(arena_freep) struct arena *arena = arena_new(1024);
    struct pause pause = {0};
    struct health_part *parts = NULL;
    unsigned n = arena ? readiness_parts(g, arena, &parts) : 0;
    struct err e = {0};
    /* what cannot be read now will not be written either, even if the last commit worked */
    bool store_ok = !store_health(g->store, &e) && !read_pause(g, arena, &pause, &e);
    bool ready = store_ok && !stopping, degraded = false;
    struct json_out o = JSON_OUT(out);

    json_out_object(&o, NULL);
    json_out_bool(&o, "ready", ready);
    json_out_object(&o, "parts");
    part(&o, "store", store_ok, e.text, 0);
    part(&o, "senders", !stopping, "stopping", 0);
    for (unsigned i = 0; i < n; i++) {
        part(&o, parts[i].name, parts[i].ok, parts[i].why, parts[i].since);
        degraded = degraded || !parts[i].ok;
    }
    if (store_ok) {
        part(&o, "pause", !pause.on, pause.on ? pause_words(&pause, arena) : NULL, pause.since);
        degraded = degraded || pause.on;
    }
    json_out_object_end(&o);
    json_out_bool(&o, "degraded", degraded);
    json_out_object_end(&o);
    return ready;
}
