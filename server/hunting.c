/* hunting.c - see hunting.h.
 *
 * In which order a run writes, so that a process may die anywhere: rows that are to be told of are noted as untold, a
 * few hundred in a transaction; cases stand in the transaction of their rows; the mail, the end of the window and the next
 * time are the last one. What dies before it is run again with the same window: rows that are noted make no second
 * case, and the untold ones are told.
 *
 * A window ends when the run began, by our clock, and not with the newest row: rows come late (defender-api.md section
 * 5.3), which is what look_back is for. By Defender's, where ours is known to be ahead: else the next windows would begin in
 * what is to come, and nobody would look at the hours until it is set right.
 */
#include "hunting.h"

#include <string.h>

#include "hunt_notice.h"
#include "hunting_own.h"
#include "id.h"
#include "log.h"
#include "store_audit.h"

#define ROWS_FORGET                                                                                \
    1000 /* in one run, besides as many as it notes; of another query in one transaction */
/* A slow query ends with a 500 or 504 (section 5.2): tried again a few times, not at once, then at its next time, or as
 * plan_after_failure has it. */
#define TRIES      4
#define TRY_MS     (30 * SECOND_MS)
#define RESULT_MAX (256 * 1024)
#define SAMPLE     20 /* rows of an order's answer */
/* So often it is looked whether a full store has room again. */
#define FULL_MS (30 * SECOND_MS)

/* ---- who hunts --------------------------------------------------------------------------------- */

static enum err_code start_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct hunting *x = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < x->rt->config->n_hunts && !code; i++)
        code = hunt_watch(tx, x->g->clock, x->rt->config->hunts[i].name, x->now, e);
    return code;
}

enum err_code hunting_start(struct engine *g, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct hunting x = {.g = g, .rt = rt, .now = clock_wall_ms(g->clock)};
    enum err_code code = ERR_OK;

    if (rt->config->n_hunts) /* a row that is left ends by itself */
        code = db_write(g->store->db, start_fn, &x, e);
    engine_kick(g);
    return code ? err_in(e, "hunts") : ERR_OK;
}

struct ordering {
    const struct hunting_order *o;
    struct engine *g;
    struct arena *arena;
    int64_t id;
};

static enum err_code order_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ordering *x = arg;
    int64_t now = clock_wall_ms(x->g->clock);
    struct hunt_record row;
    enum err_code code = hunt_load_named(tx, x->arena, x->o->name, &row, e);

    /* One order takes another's place: who wants a real run is not to get a dry one for it, nor the other way round. */
    if (!code && row.ordered && row.ordered_dry != x->o->dry)
        code = err_set(
            e, ERR_CONFLICT,
            "a %s run of the hunt is ordered, and has not ended: order this one when it has",
            row.ordered_dry ? "dry" : "real");
    if (!code)
        code = hunt_order(tx, row.id, x->id, x->o->dry, now, e);
    if (!code && !x->o->dry)
        code = audit_put(tx, e, AUDIT_ORDER, 0, now, LOG_STR("what", "hunt"),
                         LOG_STR("hunt", x->o->name), LOG_STR("who", x->o->who));
    return code;
}

enum err_code hunting_order(struct engine *g, const struct hunting_order *o, int64_t *ret_order,
                            struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct ordering x = {.o = o, .g = g, .arena = arena, .id = id_new(g->clock)};
    enum err_code code;

    if (!arena)
        return err_set(e, ERR_NOMEM, "hunt");
    if (!config_hunt(rt->config, o->name))
        return err_set(e, ERR_NOT_FOUND, "there is no hunt called '%.60s'", o->name);
    code = db_write(g->store->db, order_fn, &x, e);
    if (code)
        return code;
    log_event(LOG_INFO, "hunt_ordered", LOG_STR("hunt", o->name), LOG_STR("who", o->who),
              LOG_BOOL("dry", o->dry));
    engine_kick(g);
    *ret_order = x.id;
    return ERR_OK;
}

/* ---- a run ------------------------------------------------------------------------------------- */

static enum err_code ask(struct hunting *x, struct json **ret, struct err *e)
{
    int64_t from = (x->row.covered ? x->row.covered : x->there) - x->hunt->look_back_ms;
    enum err_code code;

    if (from < x->there - HUNT_BACK_MAX_MS) {
        if (x->row.covered && x->row.covered < x->there - HUNT_BACK_MAX_MS)
            log_event(
                LOG_WARN, "hunt_gap", LOG_STR("hunt", x->hunt->name),
                LOG_STR("why",
                        "it was not run for more than thirty days; what is older stays unseen"));
        from = x->there - HUNT_BACK_MAX_MS;
    }
    code = graph_hunt(x->tenant->graph, (enum graph_api)x->hunt->api, x->hunt->query, from, ret, e);
    if (!code)
        code = hunt_answer_read(x->arena, *ret, &x->answer, e);
    return code ? code : hunt_found_tell_apart(x, e);
}

static void write_result_with(struct hunting *x, const struct err *why, bool shows)
{
    struct json_out o = JSON_OUT(&x->result);
    size_t shown = 0;

    json_out_object(&o, NULL);
    json_out_id(&o, "order", x->row.ordered);
    json_out_bool(&o, "dry", x->dry);
    json_out_time(&o, "ran", x->now);
    json_out_string(&o, "error", why ? why->text : NULL);
    json_out_bool(&o, "baseline", x->baseline);
    json_out_int(&o, "rows", (int64_t)x->answer.n_rows);
    json_out_int(&o, "new", (int64_t)x->n_fresh);
    json_out_int(&o, "cases", (int64_t)x->n_cases);
    json_out_array(&o, "columns");
    for (size_t i = 0; i < x->answer.n_columns && shows; i++)
        json_out_string(&o, NULL, x->answer.columns[i]);
    json_out_array_end(&o);
    json_out_array(&o, "sample"); /* new rows first; of a baseline, what there is */
    for (size_t i = 0;
         i < x->answer.n_rows && shown < SAMPLE && x->result.len < RESULT_MAX / 2 && shows; i++) {
        if (x->again[i] || (x->n_fresh && !hunt_found_is_fresh(x, i)))
            continue;
        shown++;
        json_out_array(&o, NULL);
        for (size_t k = 0; k < x->answer.n_columns; k++) {
            AUTO(buf_clear) struct buf cell = BUF_INIT(1 << 20);

            hunt_cell_write(&cell, &x->answer, i, k);
            json_out_stringn(&o, NULL, buf_text(&cell), cell.len < 400 ? cell.len : 400);
        }
        json_out_array_end(&o);
    }
    json_out_array_end(&o);
    json_out_object_end(&o);
}

/* Rows that are too wide to be shown are not: half an answer is none. */
static void write_result(struct hunting *x, const struct err *why)
{
    write_result_with(x, why, !why);
    if (buf_failed(&x->result)) {
        buf_reset(&x->result);
        write_result_with(x, why, false);
    }
}

static enum err_code news_fn(struct db_tx *tx, struct hunting *x, struct err *e)
{
    const struct hunt_news news = {.hunt = x->hunt,
                                   .answer = &x->answer,
                                   .rows = x->told,
                                   .n_rows = x->n_told,
                                   .n_fresh = x->n_fresh,
                                   .n_cases = x->n_cases,
                                   .refused = x->refused ? x->refused
                                              : x->refused_before
                                                  ? "an earlier run could not make cases of them"
                                                  : NULL,
                                   .cut = x->answer.n_rows >= GRAPH_ROWS_MAX};
    enum err_code code = ERR_OK;

    if (x->n_told)
        code = hunt_notice_put(tx, x->g, x->rt, x->arena, &news, x->now, e);
    else if (news.cut)
        code = hunt_notice_cut(tx, x->g, x->rt, x->arena, x->hunt, x->now, e);
    if (!code && x->n_told)
        code = hunt_rows_told(tx, x->row.id, e);
    if (!code && (x->n_fresh || x->baseline))
        code =
            audit_put(tx, e, AUDIT_HUNT, 0, x->now, LOG_STR("hunt", x->hunt->name),
                      LOG_STR("query", x->hunt->hash), LOG_BOOL("baseline", x->baseline),
                      LOG_INT("rows", (int64_t)x->answer.n_rows),
                      LOG_INT("new", (int64_t)x->n_fresh), LOG_INT("cases", (int64_t)x->n_cases));
    if (!code)
        code = hunt_rows_forget(tx, x->row.id, x->now - HUNT_ROWS_KEEP_MS, ROWS_FORGET, e);
    return code;
}

static enum err_code ended_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    bool waiting = false, early;
    enum err_code code = ERR_OK;

    if (x->well && !x->dry)
        code = news_fn(tx, x, e);
    if (!code && (x->sick || x->well) && !x->dry)
        code = hunt_notice_state(tx, x->g, x->rt, x->arena, x->hunt, x->sick, x->now, e);
    if (!code)
        code = hunt_move(tx, &x->row, e);
    if (!code)
        code = hunt_answered(tx, x->row.id, x->result.len ? x->row.ordered : 0,
                             buf_text(&x->result), &waiting, e);
    early = waiting || !engine_is_in_force(x->g, x->rt); /* it may have another schedule */
    return code ? code : work_again(tx, x->w, early ? x->now : x->due, x->attempts, e);
}

/* The same delay for the same time, however often it is reckoned, and another for each hunt. */
static int64_t jitter(const struct config_hunt *h, int64_t due)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */

    if (!h->jitter_ms)
        return 0;
    for (const char *p = h->name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (int i = 0; i < 8; i++)
        hash = (hash ^ (unsigned char)(due >> 8 * i)) * 1099511628211u;
    return (int64_t)(hash >> 11) % h->jitter_ms;
}

static void plan(struct hunting *x, int64_t after)
{
    x->row.plan = x->hunt->plan;
    x->row.due = cron_next(&x->hunt->cron, x->hunt->zone, after);
    x->due = x->row.due == CRON_NEVER ? WORK_PARKED : x->row.due + jitter(x->hunt, x->row.due);
    x->attempts = 0;
}

static void write_end(struct hunting *x)
{
    struct err e;

    if (db_write(x->g->store->db, ended_fn, x, &e)) {
        log_event(e.code == ERR_STALE ? LOG_WARN : LOG_ERROR, "hunt_not_written",
                  LOG_STR("hunt", x->hunt->name), LOG_ERR(&e));
        if (e.code != ERR_STALE)
            engine_retry(x->g, x->w);
        return;
    }
    engine_kick(x->g);
}

static void succeeded(struct hunting *x)
{
    x->well = true;
    x->row.query = x->hunt->asks;
    x->row.covered = x->there;
    x->row.ran = x->now;
    x->row.failing = 0;
    x->row.why = "";
    x->row.rows = (int64_t)x->answer.n_rows;
    x->row.fresh = (int64_t)x->n_fresh;
    plan(x, x->now);
    if (x->answer.n_rows >= GRAPH_ROWS_MAX)
        log_event(LOG_WARN, "hunt_cut", LOG_STR("hunt", x->hunt->name),
                  LOG_STR("why", "Defender gives out 100,000 rows at most: there may be more"));
    log_event(x->n_fresh || x->baseline ? LOG_INFO : LOG_DEBUG,
              x->baseline ? "hunt_baseline" : "hunted", LOG_STR("hunt", x->hunt->name),
              LOG_INT("rows", x->row.rows), LOG_INT("new", x->row.fresh),
              LOG_INT("cases", (int64_t)x->n_cases));
    metrics_add(x->g->metrics, METRIC_HUNT_ROWS, (int64_t)x->n_fresh, x->hunt->name, NULL);
}

/* Is it worth while to try again before the next time? */
static bool may_pass(enum err_code code)
{
    return code == ERR_AGAIN || code == ERR_THROTTLED || code == ERR_UNKNOWN || code == ERR_NOMEM ||
           code == ERR_IO || code == ERR_STOPPING || code == ERR_CONFLICT;
}

/* Its next time may be in a week: one that may heal is tried when people would hear of it, and once a day from then on. */
static void plan_after_failure(struct hunting *x, int64_t latest)
{
    plan(x, x->now);
    if (x->due > latest)
        x->due = x->row.due = latest;
}

static void failed(struct hunting *x, const struct err *why)
{
    int64_t wait = engine_wait_after(x->w, why), at = clock_wall_ms(x->g->clock);
    bool again = may_pass(why->code) && (x->w->attempts < TRIES || why->code == ERR_THROTTLED);
    int64_t sick;

    if (!x->row.failing)
        x->row.failing = x->now;
    sick = x->row.failing + HUNTING_SICK_MS;
    x->row.why = arena_str(x->arena, why->text) ? arena_str(x->arena, why->text) : "";
    if (!may_pass(why->code) || at >= sick)
        x->sick = x->row.why;
    if (again) {
        x->due = at + (wait < TRY_MS && why->code != ERR_STOPPING ? TRY_MS : wait);
        x->attempts = engine_attempts_after(x->w, why);
        if (at < sick && x->due > sick) /* Defender may name a time hours ahead */
            x->due = sick;
    } else if (may_pass(why->code)) {
        plan_after_failure(x, at < sick ? sick : at + DAY_MS);
    } else {
        plan(x, x->now);
    }
    log_event(LOG_WARN, "hunt_failed", LOG_STR("hunt", x->hunt->name), LOG_ERR(why),
              LOG_INT("next_ms", x->due - at));
}

/* Of no query until the last row of the one before is gone: whatever comes in between, it begins anew. */
static enum err_code clear_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    struct work claim = *x->w;
    enum err_code code = hunt_rows_clear(tx, x->row.id, ROWS_FORGET, &x->more, e);

    x->row.query = x->more ? "" : x->hunt->asks;
    if (!code)
        code = hunt_move(tx, &x->row, e);
    return code ? code : work_keep(tx, &claim, clock_wall_ms(x->g->clock), e);
}

/* Another query than before, or another tenant: what it finds is to be compared with nothing else. */
static enum err_code begin_anew(struct hunting *x, struct err *e)
{
    enum err_code code = ERR_OK;

    if (x->dry || config_hunt_asks(x->hunt, x->row.query))
        return ERR_OK;
    x->row.covered = 0;
    for (x->more = true; x->more && !code;) {
        code = hunt_found_goes_on(x, e);
        if (!code)
            code = db_write(x->g->store->db, clear_fn, x, e);
    }
    if (code)
        x->row.query = "";
    return code;
}

static void hunt(struct hunting *x)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct err why = {0};
    bool ordered = x->row.ordered != 0;
    enum err_code code = begin_anew(x, &why);

    x->baseline = !x->row.covered || !config_hunt_asks(x->hunt, x->row.query);
    if (!code)
        code = ask(x, &doc, &why);
    if (!code && !x->dry)
        code = hunt_found_see_to(x, &why);
    metrics_add(x->g->metrics, METRIC_HUNTS, 1, x->hunt->name, err_name(code));
    if (code == ERR_STALE) /* somebody else runs it */
        return;
    if (ordered)
        write_result(x, code ? &why : NULL);
    if (x->dry)
        x->due = x->row.due + jitter(x->hunt, x->row.due);
    else if (code)
        failed(x, &why);
    else
        succeeded(x);
    if (!x->dry)
        (void)health_note(x->g->health, "hunt", x->hunt->name,
                          !x->row.failing ||
                              (may_pass(code) && x->now - x->row.failing < HUNTING_SICK_MS),
                          x->row.why);
    write_end(x);
}

/* What is not asked for now is when there is room: the window begins where the last run ended. A person who ordered
 * the run is told at once. */
static bool waits_for_room(struct hunting *x)
{
    struct err why = {0};

    if (x->dry || !x->hunt->makes_cases || !hunt_found_has_room(x, &why))
        return false;
    (void)health_note(x->g->health, "hunt", x->hunt->name, false, "the store is full");
    if (x->row.ordered) {
        write_result(x, &why);
        x->due = x->now + FULL_MS; /* whether it is time is looked at then */
        write_end(x);
        return true;
    }
    engine_give_back(x->g, x->w, FULL_MS);
    return true;
}

/* ---- when it is due ---------------------------------------------------------------------------- */

/* Times that are still to come were written before the clock was set back. The window ended no longer ago than there was
 * to wait for the next time that was planned then. */
static void mind_the_clock(struct hunting *x)
{
    int64_t wait = x->row.due - x->row.covered;

    if (x->row.covered > x->there)
        x->row.covered = x->there - (wait < HUNT_BACK_MAX_MS ? wait : HUNT_BACK_MAX_MS);
    if (x->row.failing > x->now)
        x->row.failing = x->now;
}

/* Is it time? Else x->due says when. */
static bool is_time(struct hunting *x)
{
    int64_t latest;

    mind_the_clock(x);
    /* New, or at other times than before; or the next one lies further ahead than it ever was planned: the clock, too. */
    if (strcmp(x->row.plan, x->hunt->plan) != 0 ||
        (x->row.due > x->now && cron_next(&x->hunt->cron, x->hunt->zone, x->now) < x->row.due))
        plan(x, x->now);
    x->due = x->row.due == CRON_NEVER ? WORK_PARKED : x->row.due + jitter(x->hunt, x->row.due);
    x->attempts = 0;
    if (x->row.ordered)
        return true;
    if (x->now < x->due)
        return false;
    if (x->now - x->due <= MINUTE_MS || x->row.failing)
        return true;
    if (engine_was_here(x->g, x->now - x->due)) /* others took the time of both threads */
        return true;
    /* Late: nobody was there at its time. One run makes up for all that fell into the horizon. */
    latest = cron_next(&x->hunt->cron, x->hunt->zone, x->now - x->hunt->catch_up_ms - 1);
    if (x->hunt->catch_up_ms && latest <= x->now) {
        log_event(LOG_INFO, "hunt_caught_up", LOG_STR("hunt", x->hunt->name),
                  LOG_INT("late_ms", x->now - x->row.due));
        return true;
    }
    log_event(
        LOG_WARN, "hunt_missed", LOG_STR("hunt", x->hunt->name),
        LOG_INT("late_ms", x->now - x->row.due),
        LOG_STR("why", "its time was longer ago than catch_up; the next run looks back so far"));
    plan(x, x->now);
    return false;
}

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;

    return hunt_load(tx, x->arena, x->w->id, &x->row, e);
}

static enum err_code over_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    bool over = true;
    enum err_code code = engine_unknown(tx, x->g, x->rt, x->w, &over, e);

    if (code || !over)
        return code;
    code = hunt_rows_clear(tx, x->w->id, ROWS_FORGET, &x->more, e);
    if (!code && x->more) { /* those come next; if the hunt comes first, it begins anew */
        x->row.query = "";
        x->row.covered = 0;
        code = hunt_move(tx, &x->row, e);
        return code ? code : work_again(tx, x->w, x->now, 0, e);
    }
    if (!code)
        code = hunt_forget(tx, x->w->id, e);
    return code ? code : work_done(tx, x->w, e);
}

void hunting_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct hunting x = {.g = g,
                        .rt = rt,
                        .arena = arena,
                        .w = w,
                        .now = clock_wall_ms(g->clock),
                        .result = BUF_INIT(RESULT_MAX)};
    struct err e;
    enum err_code code =
        arena ? db_read(g->store->db, load_fn, &x, &e) : err_set(&e, ERR_NOMEM, "hunt");

    if (code && code != ERR_NOT_FOUND) {
        log_event(LOG_ERROR, "hunt_unreadable", LOG_ID("work", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    x.hunt = code ? NULL : config_hunt(rt->config, x.row.name);
    x.tenant = x.hunt ? runtime_tenant(rt, x.hunt->tenant->name) : NULL;
    if (!x.tenant) { /* it was taken out of the configuration */
        if (db_write(g->store->db, over_fn, &x, &e))
            engine_retry(g, w);
        return;
    }
    x.there = x.now - runtime_clock_ahead_ms(x.tenant);
    x.dry = x.row.ordered && x.row.ordered_dry;
    if (!waits_for_room(&x)) {
        if (!is_time(&x))
            write_end(&x);
        else if (engine_enter(g, w, x.tenant->config->name, rt->config->n_tenants))
            hunt(&x);
    }
    buf_clear(&x.result);
}
