/* api_hunts.c - see api.h: hunts, as the configuration has them and the store knows them. */
#include <string.h>

#include "api.h"
#include "config.h"
#include "json.h"
#include "store_hunts.h"

struct seen {
    struct hunt_record row; /* id 0: it has none yet */
    int64_t known;          /* rows by which it tells new ones */
};

static void write_hunt(struct json_out *o, const struct config_hunt *h, const struct seen *s)
{
    const struct hunt_record *r = &s->row;

    json_out_object(o, NULL);
    json_out_string(o, "name", h->name);
    json_out_string(o, "tenant", h->tenant->name);
    json_out_string(o, "schedule", h->schedule);
    json_out_string(o, "timezone", h->timezone);
    json_out_string(o, "api", h->api == GRAPH_API_GRAPH ? "graph" : "defender");
    json_out_array(o, "do");
    if (h->tells)
        json_out_string(o, NULL, "email");
    if (h->makes_cases)
        json_out_string(o, NULL, "case");
    json_out_array_end(o);
    json_out_string(o, "state", !r->ran && !r->failing ? "new" : r->failing ? "failing" : "good");
    json_out_time(o, "next",
                  r->id && strcmp(r->plan, h->plan) == 0 && r->due != CRON_NEVER ? r->due : 0);
    json_out_time(o, "ran", r->ran);
    json_out_bool(o, "baseline", r->id && r->covered && config_hunt_asks(h, r->query));
    json_out_int(o, "rows", r->rows);
    json_out_int(o, "new", r->fresh);
    json_out_int(o, "known", s->known);
    json_out_time(o, "failing_since", r->failing);
    json_out_string(o, "why", r->failing ? r->why : NULL);
}

struct loading {
    struct arena *arena;
    const struct config *config;
    const char *name;  /* one, or NULL: all */
    struct seen *seen; /* by place in the configuration */
};

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct loading *l = arg;

    for (size_t i = 0; i < l->config->n_hunts; i++) {
        const char *name = l->config->hunts[i].name;
        enum err_code code;

        if (l->name && strcmp(l->name, name) != 0)
            continue;
        code = hunt_load_named(tx, l->arena, name, &l->seen[i].row, e);
        if (code == ERR_NOT_FOUND) /* its first look has not come yet */
            continue;
        if (!code)
            code = hunt_rows_count(tx, l->seen[i].row.id, &l->seen[i].known, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

static enum err_code load(struct store *s, struct loading *l, struct err *e)
{
    l->seen = l->arena ? arena_array(l->arena, l->config->n_hunts + 1, sizeof *l->seen) : NULL;
    return l->seen ? db_read(s->db, load_fn, l, e) : err_set(e, ERR_NOMEM, "hunts");
}

enum err_code api_hunts(struct store *s, const struct config *c, struct buf *out, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct loading l = {.arena = arena, .config = c};
    struct json_out o = JSON_OUT(out);
    enum err_code code = load(s, &l, e);

    if (code)
        return code;
    json_out_object(&o, NULL);
    json_out_array(&o, "hunts");
    for (size_t i = 0; i < c->n_hunts; i++) {
        write_hunt(&o, &c->hunts[i], &l.seen[i]);
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_null(&o, "next");
    json_out_object_end(&o);
    return ERR_OK;
}

enum err_code api_hunt(struct store *s, const struct config *c, const char *name, struct buf *out,
                       struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct loading l = {.arena = arena, .config = c, .name = name};
    const struct config_hunt *h = config_hunt(c, name);
    struct json_out o = JSON_OUT(out);
    const struct seen *seen;
    enum err_code code;

    if (!h)
        return err_set(e, ERR_NOT_FOUND, "there is no hunt called '%.60s'", name);
    code = load(s, &l, e);
    if (code)
        return code;
    seen = &l.seen[h - c->hunts];
    write_hunt(&o, h, seen);
    json_out_string(&o, "query", h->query);
    json_out_raw(&o, "result", seen->row.id && *seen->row.result ? seen->row.result : NULL);
    json_out_object_end(&o);
    return ERR_OK;
}
