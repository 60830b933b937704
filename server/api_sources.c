/* api_sources.c - see api.h: who pushes alerts, as the configuration has them and the store and the counters know them. */
#include <string.h>

#include "api.h"
#include "config.h"
#include "json.h"
#include "metrics.h"
#include "store_heartbeats.h"
#include "store_polls.h"

struct counting {
    const char *source;
    int64_t accepted, duplicate, refused, unavailable;
};

/* receive_end.c's words for what became of a request. */
static void count_one(void *ctx, const char *source, const char *outcome, int64_t value)
{
    struct counting *c = ctx;

    if (strcmp(source, c->source) != 0)
        return;
    if (strcmp(outcome, "accepted") == 0)
        c->accepted += value;
    else if (strcmp(outcome, "duplicate") == 0)
        c->duplicate += value;
    else if (strcmp(outcome, "unavailable") == 0)
        c->unavailable += value;
    else if (strcmp(outcome, "test") != 0 && strcmp(outcome, "handshake") != 0)
        c->refused += value;
}

static void write_source(struct json_out *o, const struct config_source *s,
                         const struct heartbeat *beat, struct metrics *m, const char *path)
{
    struct counting count = {.source = s->name};

    metrics_each(m, METRIC_DELIVERIES, count_one, &count);
    json_out_object(o, NULL);
    json_out_string(o, "name", s->name);
    json_out_string(o, "tenant", s->tenant->name);
    json_out_string(o, "path", path);
    json_out_bool(o, "may_isolate", s->may_isolate);
    json_out_bool(o, "shadow", s->shadow);
    json_out_time(o, "heard", beat ? beat->heard : 0);
    json_out_time(o, "quiet_since", beat ? beat->quiet : 0);
    json_out_int(o, "heartbeat_seconds", s->heartbeat_ms / SECOND_MS);
    json_out_int(o, "accepted", count.accepted);
    json_out_int(o, "duplicate", count.duplicate);
    json_out_int(o, "refused", count.refused);
    json_out_int(o, "unavailable", count.unavailable);
    json_out_object_end(o);
}

/* Polling is a source, too: it has no path, and is heard when Defender's list was read. */
static void write_poll(struct json_out *o, const struct poll_record *p, bool may_isolate)
{
    json_out_object(o, NULL);
    json_out_string(o, "name", CONFIG_POLLING);
    json_out_string(o, "tenant", p->tenant);
    json_out_null(o, "path");
    json_out_bool(o, "may_isolate", may_isolate);
    json_out_bool(o, "shadow", false);
    json_out_time(o, "heard", p->polled);
    json_out_time(o, "quiet_since", p->failing);
    json_out_object_end(o);
}

enum err_code api_sources(struct store *s, const struct config *c, struct metrics *m,
                          struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct json_out o = JSON_OUT(out);
    struct heartbeat *beats;
    struct poll_record *polls;
    size_t n_beats = 0, n_polls = 0;
    enum err_code code = arena ? store_heartbeat_list(s, arena, &beats, &n_beats, e)
                               : err_set(e, ERR_NOMEM, "sources");

    if (!code)
        code = store_poll_list(s, POLL_ALERTS, arena, &polls, &n_polls, e);
    if (code)
        return code;
    json_out_object(&o, NULL);
    json_out_array(&o, "sources");
    for (size_t i = 0; i < c->n_sources; i++) {
        const struct heartbeat *beat = NULL;

        for (size_t k = 0; k < n_beats; k++)
            if (strcmp(beats[k].source, c->sources[i].name) == 0)
                beat = &beats[k];
        write_source(&o, &c->sources[i], beat, m,
                     arena_fmt(arena, "/hooks/%s", c->sources[i].name));
    }
    for (size_t i = 0; i < n_polls; i++)
        if (config_is_polled(c, polls[i].tenant))
            write_poll(&o, &polls[i], c->polling.may_isolate);
    json_out_array_end(&o);
    json_out_null(&o, "next");
    json_out_object_end(&o);
    return buf_failed(out) ? err_set(e, buf_failed(out), "the answer") : ERR_OK;
}
