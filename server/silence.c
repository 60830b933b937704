/* silence.c - see silence.h.
 *
 *   heard, or watched anew --heartbeat passes--> quiet (people are told) --heard--> back (people are told)
 *
 * What is told and that it was told are one transaction.
 */
#include "silence.h"

#include <inttypes.h>
#include <string.h>

#include "log.h"
#include "notice_system.h"
#include "store_polls.h"

/* While a source is quiet its row is woken when it is heard; this is for the case that a wake was lost. */
#define LOOK_MS MINUTE_MS

/* ---- who is watched --------------------------------------------------------------------------- */

struct watching {
    const struct config *config;
    bool starting;
    bool shared; /* another replica may have been there all the time */
    int64_t now;
};

static enum err_code watch_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct watching *w = arg;
    int64_t there = w->now;
    bool kept = false;
    enum err_code code = heartbeat_wake_all(tx, w->now, e);

    if (!code && w->starting && w->shared)
        code = poll_is_kept(tx, "", w->now, &kept, e);
    if (!code && w->starting && !kept) /* every few minutes (reconcile.h) */
        code = poll_last(tx, &there, e);
    for (size_t i = 0; i < w->config->n_sources && !code; i++)
        if (w->config->sources[i].heartbeat_ms)
            code = heartbeat_watch(tx, w->config->sources[i].name, there, w->now, e);
    return code;
}

enum err_code silence_watch(struct engine *g, bool starting, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct watching w = {.config = rt->config,
                         .starting = starting,
                         .shared = db_is_shared(g->store->db),
                         .now = clock_wall_ms(g->clock)};
    enum err_code code = db_write(g->store->db, watch_fn, &w, e);

    engine_kick(g);
    return code ? err_in(e, "heartbeats") : ERR_OK;
}

/* ---- a look ----------------------------------------------------------------------------------- */

struct look {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct work *w;
    const struct config_source *source; /* NULL: it is not watched any more */
    struct heartbeat beat;
    int64_t now;
};

/* As people write it: the largest unit that fits. */
static const char *duration(struct arena *a, int64_t ms)
{
    static const struct {
        int64_t ms;
        char letter;
    } units[] = {{DAY_MS, 'd'}, {HOUR_MS, 'h'}, {MINUTE_MS, 'm'}, {SECOND_MS, 's'}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (ms % units[i].ms == 0)
            return arena_fmt(a, "%" PRId64 "%c", ms / units[i].ms, units[i].letter);
    return arena_fmt(a, "%" PRId64 "ms", ms);
}

struct counting {
    const char *source;
    int64_t turned_away;
};

/* receive_end.c's words for what is not repeated: no proof, no right, nothing that can be read. */
static void count_one(void *ctx, const char *source, const char *outcome, int64_t value)
{
    struct counting *c = ctx;

    if (strcmp(source, c->source) == 0 &&
        (strcmp(outcome, "denied") == 0 || strcmp(outcome, "forbidden") == 0 ||
         strcmp(outcome, "bad") == 0))
        c->turned_away += value;
}

/* So many requests under a source's path were, since this process began. */
static int64_t turned_away(struct metrics *m, const char *source)
{
    struct counting c = {.source = source};

    metrics_each(m, METRIC_DELIVERIES, count_one, &c);
    return c.turned_away;
}

static const char *went_quiet(struct arena *a, const char *name, bool away)
{
    return arena_fmt(
        a,
        "%s for longer than its heartbeat, so alerts that only it pushes do not reach cordon. %s"
        "A flow is switched off after 14 days of errors, or when its licence ends or its owner "
        "leaves: look at its runs. `cordon send --source %s --alert ID` shows whether cordon's "
        "side takes one. Another message follows when the source is back.",
        away ? "Nothing was taken from this source" : "Nothing came from this source",
        away
            ? "Requests under its path were turned away; the log says why (event `refused`). If they "
              "are its own, the sender's secret or token, or what it sends, is not what this source "
              "takes, and a flow repeats none of them. "
            : "",
        name);
}

static enum err_code tell(struct db_tx *tx, struct look *l, bool back, int64_t heard, struct err *e)
{
    const char *name = l->source->name, *every = duration(l->arena, l->source->heartbeat_ms);
    char heard_text[CLOCK_TEXT_SIZE], quiet_text[CLOCK_TEXT_SIZE];
    const int64_t away = back ? 0 : turned_away(l->g->metrics, name);
    const struct notice_system_fact facts[] = {
        {"Source", name},
        {"Tenant", l->source->tenant->name},
        {"Heartbeat", every},
        {"Last heard", heard ? clock_format(heard, heard_text) : "never"},
        {"Quiet since", back ? clock_format(l->beat.quiet, quiet_text) : NULL},
        {"Turned away",
         away ? arena_fmt(l->arena, "%" PRId64 " since cordon was started", away) : NULL},
    };
    struct notice_system n = {
        .about = arena_fmt(l->arena, "source:%s", name),
        .kind = back ? "source_back" : "source_quiet",
        .good = back,
        .follows = back,
        .headline = back ? "A source is back" : "A source went quiet",
        .subject =
            back ? arena_fmt(l->arena, "source %s is back", name)
                 : arena_fmt(l->arena, "source %s is quiet: nothing from it for %s", name, every),
        .body =
            back
                ? "Deliveries come from it again. What it did not push meanwhile did not reach cordon; "
                  "look into the Defender portal for the alerts of that time."
                : went_quiet(l->arena, name, away > 0),
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts,
    };

    if (!n.about || !n.subject || !n.body || !every)
        return err_set(e, ERR_NOMEM, "notice");
    return notice_system_put(tx, l->g, l->rt, l->arena, &n, l->now, e);
}

/* A time that is still to come: the clock was set back since it was written. */
static int64_t not_after(int64_t time, int64_t now)
{
    return time < now ? time : now;
}

static enum err_code look_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct look *l = arg;
    struct heartbeat before, *b = &l->beat;
    int64_t silent_from, due;
    bool over = true;
    enum err_code code = heartbeat_load(tx, l->arena, l->w->id, &before, e);

    if (code == ERR_NOT_FOUND)
        return work_done(tx, l->w, e);
    if (code)
        return code;
    *b = before;
    l->source = config_source(l->rt->config, b->source);
    if (!l->source || !l->source->heartbeat_ms) {
        code = engine_unknown(tx, l->g, l->rt, l->w, &over, e);
        if (code || !over)
            return code;
        b->quiet = 0;
        code = heartbeat_move(tx, &before, b, e);
        return code ? code : work_done(tx, l->w, e);
    }
    b->heard = not_after(b->heard, l->now);
    b->since = not_after(b->since, l->now);
    b->quiet = not_after(b->quiet, l->now);
    silent_from = b->heard > b->since ? b->heard : b->since;
    due = silent_from + l->source->heartbeat_ms + HEARTBEAT_LAG_MS(l->source->heartbeat_ms);
    if (b->quiet && b->heard > b->quiet) {
        code = tell(tx, l, true, b->heard, e);
        b->quiet = 0;
    } else if (!b->quiet && l->now >= due) {
        code = tell(tx, l, false, b->heard, e);
        b->quiet = l->now;
    }
    if (!code)
        code = heartbeat_move(tx, &before, b, e);
    if (b->quiet)
        due = l->now + (l->source->heartbeat_ms > LOOK_MS ? l->source->heartbeat_ms : LOOK_MS);
    return code ? code : work_again(tx, l->w, due, 0, e);
}

const char *silence_words(const struct heartbeat *b, struct arena *a)
{
    char text[CLOCK_TEXT_SIZE];

    return arena_fmt(a, "quiet: last heard %s", b->heard ? clock_format(b->heard, text) : "never");
}

void silence_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct look l = {.g = g, .rt = rt, .arena = arena, .w = w, .now = clock_wall_ms(g->clock)};
    struct err e;
    enum err_code code =
        arena ? db_write(g->store->db, look_fn, &l, &e) : err_set(&e, ERR_NOMEM, "heartbeat");

    if (code) {
        log_event(code == ERR_STALE ? LOG_INFO : LOG_ERROR, "heartbeat_not_written",
                  LOG_ID("work", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    if (l.beat.source)
        (void)health_note(g->health, "source", l.beat.source, !l.beat.quiet,
                          l.beat.quiet ? silence_words(&l.beat, arena) : NULL);
    engine_kick(g);
}
