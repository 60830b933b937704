/* control.c - the control interface under /sim: README.md is its manual.
 *
 * Long polls are waiters on a list: the journal tells of each call (control_call_seen), the SMTP sink
 * pokes the loop (control_look). Machines become isolated without anybody telling, because actions are
 * settled by whoever looks: so a waiter for them looks every few milliseconds.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "glob.h"
#include "house.h"
#include "hunting.h"
#include "odata.h"
#include "smtp.h"

#define LOOK_US         5000
#define GENERATE_MAX    1000000
#define LIMIT_DEFAULT   1000000
#define TIMEOUT_DEFAULT 10000 /* ms */

enum waits_for { WAITS_FOR_CALLS, WAITS_FOR_MAILS, WAITS_FOR_ISOLATED };

struct waiter {
    struct loop_timer timer;
    struct house *house;
    struct httpd_request *q;
    struct arena *arena;
    enum waits_for what;
    struct journal_filter filter;
    int64_t wanted, seen, limit, deadline_us;
    struct waiter *next;
};

struct control {
    struct waiter *waiters;
};

/* A request of the control interface while it is served. */
struct order {
    struct house *house;
    struct httpd_request *q;
    struct arena *arena;
    struct json *body; /* NULL: none was sent */
    struct buf out;
    struct err e;
    bool later; /* a waiter took it over */
};

typedef enum err_code (*order_fn)(struct order *o);

enum err_code control_new(struct house *h, struct control **ret, struct err *e)
{
    (void)h;
    *ret = calloc(1, sizeof **ret);
    return *ret ? ERR_OK : err_set(e, ERR_NOMEM, "the control interface");
}

static void waiter_free(struct waiter *w)
{
    loop_disarm(w->house->loop, &w->timer);
    arena_free(w->arena);
    free(w);
}

void control_free(struct control *c)
{
    struct waiter *next;

    for (struct waiter *w = c ? c->waiters : NULL; w; w = next) {
        next = w->next;
        httpd_drop(w->q, HTTPD_CLOSE);
        waiter_free(w);
    }
    free(c);
}

static void answer(struct httpd_request *q, unsigned status, const struct buf *out)
{
    struct httpd_answer a = {.status = status,
                             .type = "application/json",
                             .body = out->data,
                             .body_len = out->len,
                             .content_length = -1};

    httpd_reply(q, &a);
}

/* ---- reading orders ----------------------------------------------------------------------------- */

static enum err_code query_int(struct order *o, const char *name, int64_t fallback, int64_t *ret)
{
    const char *text = query_get(o->arena, o->q->query, name);
    char *end;

    *ret = fallback;
    if (!text)
        return ERR_OK;
    *ret = strtoll(text, &end, 10);
    return *text && !*end ? ERR_OK : err_set(&o->e, ERR_INVALID, "%s: expected a number", name);
}

static enum err_code read_filter(struct order *o, struct journal_filter *ret)
{
    ret->method = query_get(o->arena, o->q->query, "method");
    ret->path = query_get(o->arena, o->q->query, "path");
    return query_int(o, "since", 0, &ret->since) || query_int(o, "status", -1, &ret->status)
               ? ERR_INVALID
               : ERR_OK;
}

static enum err_code known_keys(struct order *o, const char *const *names)
{
    JSON_EACH (v, o->body) {
        size_t i = 0;

        while (names[i] && strcmp(names[i], json_name(v)) != 0)
            i++;
        if (!names[i])
            return err_set(&o->e, ERR_INVALID, "%s: unknown key", json_name(v));
    }
    return json_type(o->body) == JSON_OBJECT
               ? ERR_OK
               : err_set(&o->e, ERR_INVALID, "the body: expected an object");
}

static int64_t body_int(const struct order *o, const char *name, int64_t fallback)
{
    int64_t value = fallback;

    (void)json_int64(json_get(o->body, name), &value); /* absent: the fallback */
    return value;
}

/* ---- alerts, machines, actions, clients ---------------------------------------------------------- */

/* Puts one object, or each of an array; put writes the id. */
static enum err_code put_each(struct order *o,
                              enum err_code (*put)(struct order *o, const struct json *object,
                                                   const char **ret_id))
{
    struct json_out out = JSON_OUT(&o->out);
    bool many = json_type(o->body) == JSON_ARRAY;
    const struct json *object = many ? json_first(o->body) : o->body;
    enum err_code code = ERR_OK;

    json_out_object(&out, NULL);
    json_out_array(&out, "ids");
    for (; object && !code; object = many ? json_next(object) : NULL) {
        const char *id = NULL;

        code = put(o, object, &id);
        if (!code)
            json_out_string(&out, NULL, id);
    }
    json_out_array_end(&out);
    json_out_object_end(&out);
    return code;
}

static enum err_code put_alert(struct order *o, const struct json *object, const char **ret_id)
{
    struct alert *a;
    enum err_code code = world_put_alert(&o->house->world, object, &a, &o->e);

    if (!code)
        *ret_id = entity_text(&a->e, ALERT_ID);
    return code;
}

static enum err_code put_machine(struct order *o, const struct json *object, const char **ret_id)
{
    struct machine *m;
    enum err_code code = world_put_machine(&o->house->world, object, &m, &o->e);

    if (!code)
        *ret_id = entity_text(&m->e, MACHINE_ID);
    return code;
}

static enum err_code put_action(struct order *o, const struct json *object, const char **ret_id)
{
    struct action *a;
    enum err_code code = world_put_action(&o->house->world, object, &a, &o->e);

    if (!code)
        *ret_id = entity_text(&a->e, ACTION_ID);
    return code;
}

static enum err_code put_client(struct order *o, const struct json *object, const char **ret_id)
{
    struct client *c;
    enum err_code code = world_put_client(&o->house->world, object, &c, &o->e);

    if (!code)
        *ret_id = c->id;
    return code;
}

static enum err_code post_alerts(struct order *o)
{
    return put_each(o, put_alert);
}

static enum err_code post_machines(struct order *o)
{
    return put_each(o, put_machine);
}

static enum err_code post_actions(struct order *o)
{
    return put_each(o, put_action);
}

static enum err_code post_clients(struct order *o)
{
    return put_each(o, put_client);
}

static enum err_code put_sink(struct order *o, const struct json *object, const char **ret_id)
{
    *ret_id = json_get_string(object, "name");
    return sink_put(o->house, object, &o->e);
}

static enum err_code post_sinks(struct order *o)
{
    return put_each(o, put_sink);
}

static enum err_code post_hunts(struct order *o)
{
    struct json_out out = JSON_OUT(&o->out);
    enum err_code code = hunting_put(o->house, o->body, &o->e);

    json_out_object(&out, NULL);
    json_out_object_end(&out);
    return code;
}

/* {"value":[…]} of those whose field is the query's `name`, or of all. */
static enum err_code show(struct order *o, const char *name, int field, size_t count,
                          struct entity *(*at)(struct world *w, size_t i))
{
    struct json_out out = JSON_OUT(&o->out);
    const char *wanted = query_get(o->arena, o->q->query, name);

    world_settle(&o->house->world);
    json_out_object(&out, NULL);
    json_out_array(&out, "value");
    for (size_t i = 0; i < count; i++) {
        struct entity *en = at(&o->house->world, i);

        if (!wanted || strcasecmp(entity_text(en, field), wanted) == 0)
            entity_write(&out, en, NULL);
    }
    json_out_array_end(&out);
    json_out_object_end(&out);
    return ERR_OK;
}

static struct entity *alert_at(struct world *w, size_t i)
{
    return &w->alerts[i]->e;
}

static struct entity *machine_at(struct world *w, size_t i)
{
    return &w->machines[i]->e;
}

static struct entity *action_at(struct world *w, size_t i)
{
    return &w->actions[i]->e;
}

static enum err_code get_alerts(struct order *o)
{
    return show(o, "id", ALERT_ID, o->house->world.n_alerts, alert_at);
}

static enum err_code get_machines(struct order *o)
{
    return show(o, "id", MACHINE_ID, o->house->world.n_machines, machine_at);
}

static enum err_code get_actions(struct order *o)
{
    return show(o, "machine", ACTION_MACHINE_ID, o->house->world.n_actions, action_at);
}

/* ---- the generator ------------------------------------------------------------------------------- */

/* Deals count severities by their shares, exactly, in random order. */
static enum err_code deal(struct order *o, size_t count, const char ***ret)
{
    const struct json *shares = json_get(o->body, "severity");
    const char **dealt = arena_array(o->arena, count + 1, sizeof *dealt);
    double sum = 0;
    size_t n = 0;

    assert(dealt); /* a simulator without memory can only stop */
    JSON_EACH (s, shares) {
        double share = 0;
        size_t until;

        if (!json_double(s, &share) || share < 0)
            return err_set(&o->e, ERR_INVALID, "severity.%s: expected a share", json_name(s));
        sum += share;
        until = (size_t)(sum * (double)count + 0.5);
        while (n < until && n < count)
            dealt[n++] = json_name(s);
    }
    while (n < count)
        dealt[n++] = shares ? json_name(json_first(shares)) : "High";
    for (size_t i = count; i > 1; i--) {
        size_t k = (size_t)world_below(&o->house->world, i);
        const char *swap = dealt[i - 1];

        dealt[i - 1] = dealt[k];
        dealt[k] = swap;
    }
    *ret = dealt;
    return ERR_OK;
}

static enum err_code generate_one(struct order *o, const struct machine *m, const char *prefix,
                                  const char *severity, int64_t age_ticks, const char **ret_id)
{
    struct world *w = &o->house->world;
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    AUTO(json_freep) struct json *object = NULL;
    struct json_out out = JSON_OUT(&b);
    char text[128], time[TICKS_TEXT_SIZE];
    int digits = world_digits(w);

    /* the shape of section 2.5; the count in the place of the ticks keeps them unique */
    snprintf(text, sizeof text, "%.60s638712345%09zu_%" PRId32, prefix, w->n_alerts,
             (int32_t)world_random(w));
    json_out_object(&out, NULL);
    json_out_string(&out, "id", text);
    json_out_string(&out, "severity", severity);
    json_out_string(&out, "machineId", entity_text(&m->e, MACHINE_ID));
    json_out_string(
        &out, "alertCreationTime",
        ticks_format(ticks_cut(simclock_now(&w->clock) - age_ticks, digits), digits, time));
    JSON_EACH (v, json_get(o->body, "alert")) /* a name that stands twice is refused below */
        json_out_value(&out, json_name(v), v);
    json_out_object_end(&out);
    if (json_parse(buf_text(&b), b.len, &object, &o->e))
        return ERR_INVALID;
    return put_alert(o, object, ret_id);
}

static enum err_code post_generate(struct order *o)
{
    static const char *const names[] = {"count",     "machines", "severity", "prefix",
                                        "spread_ms", "alert",    "machine",  NULL};
    struct world *w = &o->house->world;
    int64_t count = body_int(o, "count", 1), machines = body_int(o, "machines", 1);
    int64_t spread = body_int(o, "spread_ms", 0) * TICKS_PER_MS;
    const char *prefix = json_get_string(o->body, "prefix"), **severities = NULL;
    struct json_out out = JSON_OUT(&o->out);
    AUTO(json_freep) struct json *empty = NULL;
    const struct json *machine = json_get(o->body, "machine");
    size_t first = w->n_machines;

    if (known_keys(o, names) || json_parse("{}", 2, &empty, &o->e))
        return ERR_INVALID;
    if (json_get(machine, "id"))
        return err_set(&o->e, ERR_INVALID, "machine.id: each has its own");
    if (count < 0 || count > GENERATE_MAX || machines < 1 || machines > GENERATE_MAX)
        return err_set(&o->e, ERR_INVALID, "count, machines: 1 to %d", GENERATE_MAX);
    if (deal(o, (size_t)count, &severities))
        return ERR_INVALID;
    json_out_object(&out, NULL);
    json_out_array(&out, "machine_ids");
    for (int64_t i = 0; i < machines; i++) {
        struct machine *m;

        if (world_put_machine(w, machine ? machine : empty, &m, &o->e))
            return ERR_INVALID;
        json_out_string(&out, NULL, entity_text(&m->e, MACHINE_ID));
    }
    json_out_array_end(&out);
    json_out_array(&out, "alert_ids");
    for (int64_t i = 0; i < count; i++) {
        const char *id;

        if (generate_one(o, w->machines[first + (size_t)(i % machines)], prefix ? prefix : "da",
                         severities[i], count ? spread * (count - i) / count : 0, &id))
            return ERR_INVALID;
        json_out_string(&out, NULL, id);
    }
    json_out_array_end(&out);
    json_out_object_end(&out);
    return ERR_OK;
}

/* ---- configuration, clock, faults, tokens --------------------------------------------------------- */

static enum err_code get_config(struct order *o)
{
    struct json_out out = JSON_OUT(&o->out);

    tuning_write(&out, &o->house->world.tuning);
    return ERR_OK;
}

static enum err_code post_config(struct order *o)
{
    enum err_code code = tuning_read(&o->house->world.tuning, o->body, &o->e);

    if (code)
        return code;
    smtp_sink_tune(o->house->sink, o->house->world.tuning.smtp);
    return get_config(o);
}

static enum err_code get_clock(struct order *o)
{
    struct json_out out = JSON_OUT(&o->out);
    struct simclock *h = &o->house->world.clock;
    char text[TICKS_TEXT_SIZE], scale[32];
    int64_t now = simclock_now(h);

    snprintf(scale, sizeof scale, "%g", h->scale);
    json_out_object(&out, NULL);
    json_out_string(&out, "now", ticks_format(now, 7, text));
    json_out_int(&out, "now_ms", now / TICKS_PER_MS);
    json_out_raw(&out, "scale", scale);
    json_out_object_end(&out);
    return ERR_OK;
}

static enum err_code post_clock(struct order *o)
{
    static const char *const names[] = {"advance_ms", "scale", "set", NULL};
    struct simclock *h = &o->house->world.clock;
    const char *set = json_get_string(o->body, "set");
    int64_t advance = body_int(o, "advance_ms", 0), ticks;
    double scale = h->scale;

    if (known_keys(o, names))
        return ERR_INVALID;
    if (json_get(o->body, "scale") &&
        (!json_double(json_get(o->body, "scale"), &scale) || scale < 0 || scale > 1e6))
        return err_set(&o->e, ERR_INVALID, "scale: expected 0 to 1000000");
    if (set) {
        if (ticks_parse(set, &ticks, &o->e))
            return ERR_INVALID;
        simclock_set(h, ticks);
    }
    simclock_set(h, simclock_now(h) + advance * TICKS_PER_MS);
    simclock_scale(h, scale);
    control_look(o->house);
    return get_clock(o);
}

static enum err_code get_faults(struct order *o)
{
    struct json_out out = JSON_OUT(&o->out);

    faults_write(&out, &o->house->faults);
    return ERR_OK;
}

static enum err_code add_fault(struct order *o, const struct json *spec, const char **ret_id)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(SIZE_MAX);
    struct json *own = NULL;
    struct fault *f;
    enum err_code code;

    json_write(&text, spec); /* a document of its own, which lives as long as the fault */
    if (json_parse(buf_text(&text), text.len, &own, &o->e))
        return ERR_INVALID;
    code = faults_add(&o->house->faults, own, &f, &o->e);
    if (code)
        json_free(own);
    else
        *ret_id = f->id;
    return code;
}

static enum err_code post_faults(struct order *o)
{
    struct json_out out = JSON_OUT(&o->out);
    const char *id;

    if (json_type(o->body) == JSON_ARRAY)
        return put_each(o, add_fault);
    if (add_fault(o, o->body, &id))
        return ERR_INVALID;
    json_out_object(&out, NULL);
    json_out_string(&out, "id", id);
    json_out_object_end(&out);
    return ERR_OK;
}

static enum err_code delete_faults(struct order *o)
{
    const char *slash = strrchr(o->q->path, '/');
    const char *id = strcmp(slash, "/faults") == 0 ? NULL : slash + 1;

    if (!faults_remove(&o->house->faults, id))
        return err_set(&o->e, ERR_NOT_FOUND, "no fault %s", id);
    buf_adds(&o->out, "{}");
    return ERR_OK;
}

static enum err_code post_expire_tokens(struct order *o)
{
    o->house->world.tokens_dead_before = o->house->world.tokens_issued;
    buf_adds(&o->out, "{}");
    return ERR_OK;
}

static enum err_code post_reset(struct order *o)
{
    struct house *h = o->house;

    world_forget(&h->world);
    journal_forget(h->journal);
    mails_forget(h->mails);
    (void)faults_remove(&h->faults, NULL);
    limits_clear(&h->limits);
    entra_forget(h);
    sinks_forget(h);
    hunting_forget(h);
    h->keys_down = false;
    if (house_furnish(h, &o->e))
        return ERR_INVALID;
    buf_adds(&o->out, "{}");
    return ERR_OK;
}

/* ---- journal, mails ------------------------------------------------------------------------------- */

static void write_calls(struct house *h, const struct journal_filter *f, int64_t limit,
                        struct buf *out)
{
    buf_addf(out, "\"next\":%" PRId64 ",\"calls\":[", journal_last(h->journal));
    (void)journal_write(h->journal, f, limit, out);
    buf_adds(out, "]}");
}

static enum err_code get_journal(struct order *o)
{
    struct journal_filter f;
    int64_t limit;

    if (read_filter(o, &f) || query_int(o, "limit", LIMIT_DEFAULT, &limit))
        return ERR_INVALID;
    buf_addc(&o->out, '{');
    write_calls(o->house, &f, limit, &o->out);
    return ERR_OK;
}

static enum err_code get_journal_count(struct order *o)
{
    struct journal_filter f;

    if (read_filter(o, &f))
        return ERR_INVALID;
    buf_addf(&o->out, "{\"count\":%" PRId64 "}", journal_count(o->house->journal, &f));
    return ERR_OK;
}

static void write_mails(struct house *h, int64_t since, bool done, struct buf *out)
{
    struct json_out o = JSON_OUT(out);

    json_out_object(&o, NULL);
    json_out_bool(&o, "done", done);
    json_out_int(&o, "count", mails_count(h->mails, since));
    mails_write(h->mails, since, &o, "mails");
    json_out_object_end(&o);
}

static enum err_code delete_mails(struct order *o)
{
    mails_forget(o->house->mails);
    buf_adds(&o->out, "{}");
    return ERR_OK;
}

static enum err_code get_smtp(struct order *o)
{
    struct json_out out = JSON_OUT(&o->out);

    mails_write_session(o->house->mails, &out);
    return ERR_OK;
}

/* ---- state ---------------------------------------------------------------------------------------- */

static int64_t isolated_count(struct world *w)
{
    int64_t n = 0;

    world_settle(w);
    for (size_t i = 0; i < w->n_machines; i++)
        n += w->machines[i]->isolated;
    return n;
}

static void write_machine_state(struct json_out *o, const struct machine *m)
{
    json_out_object(o, entity_text(&m->e, MACHINE_ID));
    json_out_bool(o, "isolated", m->isolated);
    json_out_int(o, "isolate_posts", m->isolate_posts);
    json_out_int(o, "isolate_actions", m->isolate_actions);
    json_out_int(o, "unisolate_posts", m->unisolate_posts);
    json_out_int(o, "unisolate_actions", m->unisolate_actions);
    json_out_int(o, "active_isolates", m->active_isolates);
    json_out_int(o, "max_active_isolates", m->max_active_isolates);
    json_out_object_end(o);
}

static void write_state(struct house *h, struct buf *out)
{
    struct json_out o = JSON_OUT(out);
    struct world *w = &h->world;
    struct journal_filter all = {.status = -1};

    world_settle(w);
    json_out_object(&o, NULL);
    json_out_int(&o, "alerts", (int64_t)w->n_alerts);
    json_out_int(&o, "machines", (int64_t)w->n_machines);
    json_out_int(&o, "actions", (int64_t)w->n_actions);
    json_out_int(&o, "open_actions", (int64_t)w->open_actions);
    json_out_int(&o, "calls", journal_count(h->journal, &all));
    json_out_int(&o, "tokens_issued", w->tokens_issued);
    json_out_int(&o, "mails", mails_count(h->mails, 0));
    json_out_int(&o, "isolate_posts", w->isolate_posts);
    json_out_int(&o, "unisolate_posts", w->unisolate_posts);
    json_out_int(&o, "max_active_isolates", w->max_active_isolates);
    json_out_array(&o, "isolated");
    for (size_t i = 0; i < w->n_machines; i++)
        if (w->machines[i]->isolated)
            json_out_string(&o, NULL, entity_text(&w->machines[i]->e, MACHINE_ID));
    json_out_array_end(&o);
    json_out_object(&o, "by_machine");
    for (size_t i = 0; i < w->n_machines; i++)
        if (w->machines[i]->n_actions || w->machines[i]->isolate_posts ||
            w->machines[i]->unisolate_posts)
            write_machine_state(&o, w->machines[i]);
    json_out_object_end(&o);
    json_out_object_end(&o);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static bool is_done(struct waiter *w)
{
    switch (w->what) {
    case WAITS_FOR_CALLS:
        return w->seen >= w->wanted;
    case WAITS_FOR_MAILS:
        return mails_count(w->house->mails, w->filter.since) >= w->wanted;
    default:
        return isolated_count(&w->house->world) >= w->wanted;
    }
}

static void answer_waiter(struct waiter *w, bool done)
{
    struct house *h = w->house;
    AUTO(buf_clear) struct buf out = BUF_INIT(SIZE_MAX);
    struct waiter **link = &h->control->waiters;

    if (w->what == WAITS_FOR_CALLS) {
        buf_addf(&out, "{\"done\":%s,\"count\":%" PRId64 ",", done ? "true" : "false", w->seen);
        write_calls(h, &w->filter, w->limit, &out);
    } else if (w->what == WAITS_FOR_MAILS) {
        write_mails(h, w->filter.since, done, &out);
    } else {
        write_state(h, &out);
    }
    while (*link && *link != w)
        link = &(*link)->next;
    if (*link)
        *link = w->next;
    answer(w->q, 200, &out);
    waiter_free(w);
}

static void waiter_looks(void *ctx)
{
    struct waiter *w = ctx;
    bool done = is_done(w);

    if (done || loop_now_us() >= w->deadline_us)
        answer_waiter(w, done);
    else
        loop_arm(w->house->loop, &w->timer,
                 w->what == WAITS_FOR_ISOLATED && loop_now_us() + LOOK_US < w->deadline_us
                     ? loop_now_us() + LOOK_US
                     : w->deadline_us);
}

/* Takes o over: it is answered when what it waits for is there, or the time is over. */
static enum err_code wait_for(struct order *o, enum waits_for what, const char *count_name)
{
    struct waiter *w = calloc(1, sizeof *w);
    int64_t timeout_ms = 0;

    assert(w); /* a simulator without memory can only stop */
    w->house = o->house;
    w->q = o->q;
    w->what = what;
    w->timer.fn = waiter_looks;
    w->timer.ctx = w;
    if (read_filter(o, &w->filter) || query_int(o, count_name, 1, &w->wanted) ||
        query_int(o, "timeout_ms", TIMEOUT_DEFAULT, &timeout_ms) ||
        query_int(o, "limit", LIMIT_DEFAULT, &w->limit)) {
        free(w);
        return ERR_INVALID;
    }
    w->arena = o->arena; /* the filter's texts are in it */
    o->arena = NULL;
    o->later = true;
    w->deadline_us = loop_now_us() + timeout_ms * 1000;
    if (what == WAITS_FOR_CALLS)
        w->seen = journal_count(o->house->journal, &w->filter);
    w->next = o->house->control->waiters;
    o->house->control->waiters = w;
    waiter_looks(w);
    return ERR_OK;
}

static enum err_code get_journal_wait(struct order *o)
{
    return wait_for(o, WAITS_FOR_CALLS, "count");
}

static enum err_code get_mails(struct order *o)
{
    int64_t since;

    if (query_get(o->arena, o->q->query, "wait"))
        return wait_for(o, WAITS_FOR_MAILS, "wait");
    if (query_int(o, "since", 0, &since))
        return ERR_INVALID;
    write_mails(o->house, since, true, &o->out);
    return ERR_OK;
}

static enum err_code get_state(struct order *o)
{
    if (query_get(o->arena, o->q->query, "wait_isolated"))
        return wait_for(o, WAITS_FOR_ISOLATED, "wait_isolated");
    write_state(o->house, &o->out);
    return ERR_OK;
}

void control_call_seen(struct house *h, int64_t seq)
{
    struct waiter *next;

    for (struct waiter *w = h->control->waiters; w; w = next) {
        next = w->next;
        if (w->what != WAITS_FOR_CALLS || !journal_matches(h->journal, seq, &w->filter))
            continue;
        w->seen++;
        if (is_done(w))
            answer_waiter(w, true);
    }
}

void control_look(struct house *h)
{
    struct waiter *next;

    for (struct waiter *w = h->control->waiters; w; w = next) {
        next = w->next;
        if (w->what != WAITS_FOR_CALLS && is_done(w))
            answer_waiter(w, true);
    }
}

/* ---- keys and callers' tokens (webhook-sources.md section 1.2) --------------------------------------- */

static enum err_code get_keys(struct order *o)
{
    static const char *const names[] = {"current", "old", "gone"};
    struct json_out out = JSON_OUT(&o->out);

    json_out_object(&out, NULL);
    for (int i = KEY_CURRENT; i <= KEY_GONE; i++) {
        char kid[64];

        keys_kid(o->house->keys, (enum key_slot)i, false, kid);
        json_out_string(&out, names[i], *kid ? kid : NULL);
    }
    json_out_bool(&out, "down", o->house->keys_down);
    json_out_object_end(&out);
    return ERR_OK;
}

static enum err_code post_keys(struct order *o)
{
    static const char *const names[] = {"rotate", "retire", "down", NULL};

    if (known_keys(o, names))
        return ERR_INVALID;
    if (json_is_true(json_get(o->body, "rotate")) && keys_rotate(o->house->keys, &o->e))
        return ERR_INVALID;
    if (json_is_true(json_get(o->body, "retire")))
        keys_retire(o->house->keys);
    if (json_get(o->body, "down"))
        o->house->keys_down = json_is_true(json_get(o->body, "down"));
    return get_keys(o);
}

static bool names_text(const struct json *array, const char *text)
{
    JSON_EACH (v, array)
        if (json_string(v) && strcmp(json_string(v), text) == 0)
            return true;
    return false;
}

/* base with the members of `changes` put in or, where null, taken out, and with those that `nulls` names
 * written as null; in o's arena. */
static const char *merged(struct order *o, const struct buf *base, const struct json *changes,
                          const struct json *nulls)
{
    AUTO(json_freep) struct json *doc = NULL;
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);
    struct json_out out = JSON_OUT(&b);

    if (json_parse(buf_text(base), base->len, &doc, &o->e))
        return NULL;
    json_out_object(&out, NULL);
    JSON_EACH (v, doc)
        if (!json_get(changes, json_name(v)) && !names_text(nulls, json_name(v)))
            json_out_value(&out, json_name(v), v);
    JSON_EACH (v, changes)
        if (json_type(v) != JSON_NULL)
            json_out_value(&out, json_name(v), v);
    JSON_EACH (v, nulls)
        if (json_string(v))
            json_out_null(&out, json_string(v));
    json_out_object_end(&out);
    return arena_str(o->arena, buf_text(&b));
}

static const char *text_or(const struct order *o, const char *name, const char *fallback)
{
    const char *text = json_get_string(o->body, name);

    return text ? text : fallback;
}

static const char *mint_header(struct order *o, enum key_slot slot, bool v2, const char *alg)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(4096);
    struct json_out out = JSON_OUT(&b);
    const char *exact = json_get_string(o->body, "header_text");
    char kid[64];

    if (exact)
        return exact;
    keys_kid(o->house->keys, slot, true, kid);
    json_out_object(&out, NULL);
    json_out_string(&out, "typ", "JWT");
    json_out_string(&out, "alg", strcmp(alg, "HS256n") == 0 ? "HS256" : alg);
    if (!v2)
        json_out_string(&out, "x5t", kid);
    json_out_string(&out, "kid", kid);
    json_out_object_end(&out);
    return merged(o, &b, json_get(o->body, "header"), NULL);
}

static const char *mint_payload(struct order *o, bool v2)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(65536);
    struct json_out out = JSON_OUT(&b);
    const char *exact = json_get_string(o->body, "payload_text");
    const char *tenant = text_or(o, "tenant", o->house->world.tenant_id);
    const char *oid = text_or(o, "oid", "12121212-0000-4000-8000-000000000001");
    int64_t now = simclock_now(&o->house->world.clock) / TICKS_PER_S;
    char text[200], guid[GUID_SIZE];

    if (exact)
        return exact;
    json_out_object(&out, NULL);
    json_out_string(&out, "aud", text_or(o, "aud", "api://cordon"));
    snprintf(text, sizeof text,
             v2 ? "https://login.microsoftonline.com/%s/v2.0" : "https://sts.windows.net/%s/",
             tenant);
    json_out_string(&out, "iss", text);
    json_out_int(&out, "iat", now + body_int(o, "iat_in", 0));
    json_out_int(&out, "nbf", now + body_int(o, "nbf_in", 0));
    json_out_int(&out, "exp", now + body_int(o, "exp_in", 3600));
    json_out_string(&out, v2 ? "azp" : "appid",
                    text_or(o, "client", "99999999-8888-4777-8666-555555555555"));
    json_out_string(&out, v2 ? "azpacr" : "appidacr", "1");
    json_out_string(&out, "oid", oid);
    json_out_value(&out, "roles", json_get(o->body, "roles"));
    json_out_string(&out, "sub", oid);
    json_out_string(&out, "tid", tenant);
    json_out_string(&out, "uti", world_guid(&o->house->world, guid));
    json_out_string(&out, "ver", v2 ? "2.0" : "1.0");
    json_out_object_end(&out);
    return merged(o, &b, json_get(o->body, "claims"), json_get(o->body, "claims_null"));
}

static void pad(struct buf *out, const char *part, size_t len)
{
    buf_add(out, part, len);
    buf_adds(out, len % 4 == 2 ? "==" : len % 4 == 3 ? "=" : "");
}

/* Breaks a token in one way. false: there is no such way. */
static bool break_token(struct buf *token, const char *how)
{
    AUTO(buf_clear) struct buf old = BUF_INIT(1 << 20);
    char *first, *second, *signature;

    buf_add(&old, token->data, token->len);
    first = strchr(old.data, '.');
    second = first ? strchr(first + 1, '.') : NULL;
    if (!second)
        return false;
    signature = second + 1;
    buf_reset(token);
    if (strcmp(how, "padded") == 0) {
        pad(token, old.data, (size_t)(first - old.data));
        buf_addc(token, '.');
        pad(token, first + 1, (size_t)(second - first) - 1);
        buf_addc(token, '.');
        pad(token, signature, strlen(signature));
        return true;
    }
    if (strcmp(how, "no_signature") == 0)
        *second = '\0';
    else if (strcmp(how, "empty_signature") == 0)
        *signature = '\0';
    else if (strcmp(how, "cut_signature") == 0)
        signature[strlen(signature) > 4 ? strlen(signature) - 4 : 0] = '\0';
    else if (strcmp(how, "bit_flip") == 0)
        signature[10] = signature[10] == 'A' ? 'B' : 'A';
    else if (strcmp(how, "standard_base64") == 0)
        for (char *p = old.data; *p; p++)
            *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    else if (strcmp(how, "stray_bits") == 0) /* 256 bytes: the last character has four spare bits */
        signature[strlen(signature) - 1]++;
    else if (strcmp(how, "four_parts") != 0)
        return false;
    buf_adds(token, old.data);
    if (strcmp(how, "four_parts") == 0)
        buf_adds(token, ".e30");
    return true;
}

static enum err_code post_mint(struct order *o)
{
    static const char *const names[] = {
        "version", "tenant",      "aud",          "client", "oid",         "roles",
        "iat_in",  "nbf_in",      "exp_in",       "claims", "header",      "key",
        "alg",     "claims_null", "payload_text", "breaks", "header_text", NULL};
    static const char *const slots[] = {"current", "old", "gone", "unknown", "small"};
    const char *key = text_or(o, "key", "current"), *alg = text_or(o, "alg", "RS256");
    bool v2 = body_int(o, "version", 2) == 2;
    AUTO(buf_clear) struct buf token = BUF_INIT(1 << 20);
    struct json_out out = JSON_OUT(&o->out);
    const char *header, *payload;
    int slot = 0;

    if (known_keys(o, names))
        return ERR_INVALID;
    while (slot < KEY_SLOTS && strcmp(slots[slot], key) != 0)
        slot++;
    if (slot == KEY_SLOTS)
        return err_set(&o->e, ERR_INVALID, "key: %s", key);
    header = mint_header(o, (enum key_slot)slot, v2, alg);
    payload = mint_payload(o, v2);
    if (!header || !payload ||
        keys_sign(o->house->keys, (enum key_slot)slot, alg, header, payload, &token, &o->e))
        return ERR_INVALID;
    JSON_EACH (how, json_get(o->body, "breaks"))
        if (!json_string(how) || !break_token(&token, json_string(how)))
            return err_set(&o->e, ERR_INVALID, "breaks: no such way");
    json_out_object(&out, NULL);
    json_out_string(&out, "token", buf_text(&token));
    json_out_object_end(&out);
    return ERR_OK;
}

/* ---- routes ------------------------------------------------------------------------------------------ */

static const struct {
    const char *method, *path; /* below /sim; a '*' at the end: any tail */
    order_fn fn;
} orders[] = {
    {"POST", "/alerts", post_alerts},
    {"GET", "/alerts", get_alerts},
    {"POST", "/machines", post_machines},
    {"GET", "/machines", get_machines},
    {"POST", "/actions", post_actions},
    {"GET", "/actions", get_actions},
    {"POST", "/clients", post_clients},
    {"POST", "/sinks", post_sinks},
    {"POST", "/generate", post_generate},
    {"POST", "/hunts", post_hunts},
    {"GET", "/config", get_config},
    {"POST", "/config", post_config},
    {"GET", "/clock", get_clock},
    {"POST", "/clock", post_clock},
    {"GET", "/faults", get_faults},
    {"POST", "/faults", post_faults},
    {"DELETE", "/faults*", delete_faults},
    {"POST", "/expire-tokens", post_expire_tokens},
    {"POST", "/reset", post_reset},
    {"GET", "/journal", get_journal},
    {"GET", "/journal/count", get_journal_count},
    {"GET", "/journal/wait", get_journal_wait},
    {"GET", "/mails", get_mails},
    {"DELETE", "/mails", delete_mails},
    {"GET", "/smtp", get_smtp},
    {"GET", "/state", get_state},
    {"GET", "/keys", get_keys},
    {"POST", "/keys", post_keys},
    {"POST", "/mint", post_mint},
};

static order_fn find_order(const struct httpd_request *q)
{
    const char *method = strcmp(q->method, "PUT") == 0 ? "POST" : q->method;

    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (strcmp(orders[i].method, method) == 0 && glob_matches(orders[i].path, q->path + 4))
            return orders[i].fn;
    return NULL;
}

void control_serve(struct house *h, struct httpd_request *q)
{
    struct order o = {.house = h, .q = q, .arena = arena_new(0)};
    order_fn fn = find_order(q);
    enum err_code code = ERR_OK;

    buf_init(&o.out, SIZE_MAX);
    if (!fn)
        code = err_set(&o.e, ERR_NOT_FOUND, "%s %s: there is no such order", q->method, q->path);
    else if (q->body_len && json_parse(q->body, q->body_len, &o.body, &o.e))
        code = err_in(&o.e, "the body");
    else if (!q->body_len && strcmp(q->method, "POST") == 0 && json_parse("{}", 2, &o.body, &o.e))
        code = ERR_NOMEM;
    if (!code)
        code = fn(&o);
    if (code) {
        struct json_out out = JSON_OUT(&o.out);

        buf_reset(&o.out);
        json_out_object(&out, NULL);
        json_out_string(&out, "error", o.e.text);
        json_out_object_end(&out);
    }
    if (!o.later)
        answer(q, code == ERR_OK ? 200 : code == ERR_NOT_FOUND ? 404 : 400, &o.out);
    json_free(o.body);
    buf_clear(&o.out);
    arena_free(o.arena);
}
