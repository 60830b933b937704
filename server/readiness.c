/* readiness.c - see readiness.h. */
#include "readiness.h"

#include "json.h"

#define PARTS_MAX 64

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

bool readiness_write(struct engine *g, bool stopping, struct buf *out)
{
    AUTO(arena_freep) struct arena *arena = arena_new(1024);
    struct pause pause = {0};
    struct health_part parts[PARTS_MAX];
    unsigned n = health_list(g->health, parts, PARTS_MAX);
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
