/* readiness.c - see readiness.h. */
#include "readiness.h"

#include <string.h>

#include "json.h"

static void part(struct json_out *o, const char *name, bool ok, const char *why, int64_t since)
{
    json_out_object(o, name);
    json_out_bool(o, "ok", ok);
    json_out_string(o, "why", ok ? NULL : why);
    if (since)
        json_out_time(o, "since", since);
    json_out_object_end(o);
}

bool readiness_pause(struct engine *g, struct arena *a, struct pause *ret)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);

    return a && !store_pause(g->store, rt, a, ret, NULL);
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
    return has_way(c, name);
}

/* At each reading, and not at a reload: who was at work by the configuration before may have a last word after it. */
unsigned readiness_parts(struct engine *g, struct arena *a, struct health_part **ret)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);

    *ret = arena_array(a, HEALTH_PARTS_MAX, sizeof **ret);
    if (!*ret)
        return 0;
    health_keep(g->health, is_configured, rt->config);
    return health_list(g->health, *ret, HEALTH_PARTS_MAX);
}

bool readiness_write(struct engine *g, bool stopping, struct buf *out)
{
    AUTO(arena_freep) struct arena *arena = arena_new(1024);
    struct pause pause = {0};
    struct health_part *parts = NULL;
    unsigned n = arena ? readiness_parts(g, arena, &parts) : 0;
    struct err e = {0};
    bool store_ok = !store_health(g->store, &e);
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
    if (store_ok && readiness_pause(g, arena, &pause)) {
        part(&o, "pause", !pause.on, pause.on ? pause_words(&pause, arena) : NULL, pause.since);
        degraded = degraded || pause.on;
    }
    json_out_object_end(&o);
    json_out_bool(&o, "degraded", degraded);
    json_out_object_end(&o);
    return ready;
}
