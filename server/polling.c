/* polling.c - see polling.h.
 *
 * The watermark is Defender's own time, never ours, so that clocks may differ. It is cut to milliseconds and
 * asked from with "ge" and an overlap: alerts of one moment, and those that come to light after younger
 * ones, are listed again, and the key of their case says that they are known.
 *
 * An old alert changes when somebody closes it; that makes no case. Only those do that were made after
 * polling began for the tenant, less the overlap, and so lately that their cases, had they been over at once, would
 * not be forgotten yet (retention). Cases of a time that were forgotten under a shorter retention stay so: the beginning moves on
 * with them (polls_forget). After a long pause it begins anew.
 */
#include "polling.h"

#include "log.h"
#include "notice_system.h"
#include "store_accept.h"
#include "store_polls.h"

/* How late an alert may come to light, and how far clocks may differ at the first start. */
#define OVERLAP_MS (5 * MINUTE_MS)
/* After a longer pause what is older is history and no news: nobody wants a machine isolated for it. */
#define GAP_MAX_MS (7 * DAY_MS)
/* Alerts per page; without their evidence some 2 KiB each. */
#define PAGE      500
#define PAGES_MAX 400
/* So often it is looked whether a full store has room again. */
#define FULL_MS (30 * SECOND_MS)

struct polling {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    struct work *w;
    struct poll_record row;
    int64_t now, due, attempts;
    int64_t there;   /* now, by Defender's clock if ours is off */
    int64_t newest;  /* lastUpdateTime of the newest alert seen */
    int64_t read_to; /* the same of the last whole page: all before it has been read; 0: none was */
    int64_t made;    /* cases */
    bool failed_before;
    bool first;      /* nothing of this tenant has been read yet */
    const char *why; /* it fails; of a failing poll */
};

/* ---- who is polled ------------------------------------------------------------------------------ */

static enum err_code start_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct polling *p = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < p->rt->config->n_tenants && !code; i++)
        if (!config_is_second_name(p->rt->config, &p->rt->config->tenants[i]))
            code = poll_watch(tx, p->g->clock, p->rt->config->tenants[i].name,
                              p->rt->config->tenants[i].tenant_id, POLL_ALERTS, p->now - OVERLAP_MS,
                              p->now, e);
    return code;
}

enum err_code polling_start(struct engine *g, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct polling p = {.g = g, .rt = rt, .now = clock_wall_ms(g->clock)};
    enum err_code code = ERR_OK;

    if (rt->config->polling.every_ms) /* else a row that is left ends by itself */
        code = db_write(g->store->db, start_fn, &p, e);
    engine_kick(g);
    return code ? err_in(e, "polling") : ERR_OK;
}

/* ---- cases ------------------------------------------------------------------------------------- */

struct making {
    struct polling *p;
    const struct defender_change *changes;
    size_t n;
    int64_t made;
};

/* Made after polling began, and what it had led to would still be known; or nobody knows when it was made. */
static bool is_news(const struct polling *p, const struct defender_change *c)
{
    int64_t known_since = p->there - p->rt->config->retention_ms + OVERLAP_MS;

    return !c->created_ms || (c->created_ms >= p->row.since && c->created_ms >= known_since);
}

static enum err_code make_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct making *m = arg;
    struct alert_ref refs[INTAKE_BATCH_MAX];
    struct notification n = {.tenant = m->p->row.tenant,
                             .source = CONFIG_POLLING,
                             .may_isolate = m->p->rt->config->polling.may_isolate,
                             .received_ms = m->p->now,
                             .alerts = refs};
    struct acceptance a = {.n = &n};
    struct work claim = *m->p->w;
    enum err_code code;

    for (size_t i = 0; i < m->n; i++)
        if (is_news(m->p, &m->changes[i]))
            refs[n.count++] = (struct alert_ref){
                .alert_id = m->changes[i].id,
                .likely_high = m->changes[i].high,
                .machine_id = m->changes[i].machine_id[0] ? m->changes[i].machine_id : NULL};
    code = acceptance_of_poll(tx, &a, e);
    m->made = (int64_t)a.reopened;
    for (size_t i = 0; i < n.count && !code; i++)
        m->made += a.fresh[i];
    return code ? code : work_keep(tx, &claim, clock_wall_ms(m->p->g->clock), e);
}

static enum err_code make_cases(struct polling *p, const struct defender_change *changes, size_t n,
                                struct err *e)
{
    for (size_t at = 0; at < n; at += INTAKE_BATCH_MAX) {
        struct making m = {.p = p,
                           .changes = changes + at,
                           .n = n - at < INTAKE_BATCH_MAX ? n - at : INTAKE_BATCH_MAX};
        enum err_code code;

        if (p->g->store->full)
            return err_set(e, ERR_AGAIN, "the store has reached store.max_size");
        code = db_write(p->g->store->db, make_fn, &m, e);
        if (code)
            return code;
        p->made += m.made;
        if (m.made) {
            metrics_add(p->g->metrics, METRIC_CASES_MADE, m.made, p->row.tenant, NULL);
            engine_kick_cases(p->g);
        }
    }
    return ERR_OK;
}

/* ---- a poll ------------------------------------------------------------------------------------ */

/* A time of Defender's that is still to come there was written by a clock of ours that was ahead; perhaps it is by as much as
 * it was then. */
static int64_t brought_back(const struct polling *p, int64_t time, int64_t otherwise)
{
    return time - (p->now - p->there) <= p->there ? time - (p->now - p->there) : otherwise;
}

/* Times that are still to come were written before the clock was set back, or while it was ahead, as it may be still: nothing
 * would be read, or be news, until then. */
static void mind_the_clock(struct polling *p)
{
    /* What is ahead by less hides nothing, for the overlap. */
    if (p->row.watermark > (p->there < p->now ? p->there + OVERLAP_MS : p->there))
        p->row.watermark = brought_back(p, p->row.watermark, p->there);
    if (p->row.polled > p->now)
        p->row.polled = p->now;
    if (p->row.failing > p->now)
        p->row.failing = p->now;
}

/* The same of when polling began, as soon as an answer has said what time it is. It began by a clock of ours that was behind? Then
 * what had been made before, by Defender's, is history: no machine is isolated for that when the clock is set right. */
static void mind_the_beginning(struct polling *p, const struct runtime_tenant *tenant)
{
    p->there = p->now - runtime_clock_off_ms(tenant);
    /* once: as it was written when polling began */
    if (!p->row.polled && p->row.since == p->row.watermark && p->there > p->now)
        p->row.since += p->there - p->now;
    if (p->row.since > p->there)
        p->row.since = brought_back(p, p->row.since, p->there - OVERLAP_MS);
}

/* How long this process has been there; a host that sleeps stops the monotonic clock, and is no clock that was set. */
static int64_t age_of(const struct engine *g)
{
    int64_t age = clock_mono_ms(g->clock) - g->began_ms, boot = clock_boot_ms() - g->began_boot_ms;

    return age > boot ? age : boot;
}

/* When polling began was written since this host started, by this process or one before it, and the clock was set on since then,
 * before anything could be read: it began when it did by the clock of now. What was made before is history. */
static void mind_a_jump(struct polling *p)
{
    const struct engine *g = p->g;
    int64_t host_began = g->began_wall_ms - g->began_boot_ms;
    int64_t before = g->began_wall_ms - OVERLAP_MS - p->row.since; /* this process */
    int64_t began = p->now - age_of(g) - OVERLAP_MS - (before > 0 ? before : 0);

    if (p->row.polled || p->row.since != p->row.watermark ||
        p->row.since < host_began - OVERLAP_MS || began - p->row.since <= DEFENDER_SKEW_MS)
        return;
    p->row.since = began;
    p->row.watermark = began;
}

/* A clock that is ahead by more than this is none to begin anew by. One that is off by less, or behind, keeps nobody from
 * reading: it may stay so, and what is not read nobody is told of. */
#define AHEAD_MAX_MS HOUR_MS

/* After a long pause, if it was one: a clock that is far ahead shows one, too, and by it all that comes until it is set
 * right would be history. What of this answer counts is its Date. */
static enum err_code begin_anew(struct polling *p, struct runtime_tenant *tenant,
                                struct defender_change *page, struct err *e)
{
    size_t n, listed;
    int64_t from;
    enum err_code code =
        defender_changed_alerts(tenant->defender, p->now, 0, page, 1, &n, &listed, e);

    if (!code && runtime_clock_ahead_ms(tenant) > AHEAD_MAX_MS)
        code = runtime_check_clock(tenant, e);
    if (code)
        return code;
    from = p->now - runtime_clock_ahead_ms(tenant) - GAP_MAX_MS;
    if (p->row.since < from)
        p->row.since = from;
    if (p->row.watermark >= from + OVERLAP_MS) /* by Defender's clock it was none */
        return ERR_OK;
    p->row.watermark = from + OVERLAP_MS;
    log_event(LOG_WARN, "polling_gap", LOG_STR("tenant", p->row.tenant),
              LOG_STR("why", "nothing was read for more than seven days; older alerts that "
                             "nobody pushed stay unseen"));
    return ERR_OK;
}

static enum err_code read_all(struct polling *p, struct runtime_tenant *tenant, struct err *e)
{
    struct defender_change *page = arena_array(p->arena, PAGE, sizeof *page);
    int64_t from, read;
    size_t listed = PAGE, skip = 0;

    if (!page)
        return err_set(e, ERR_NOMEM, "polling");
    mind_a_jump(p);
    mind_the_clock(p);
    from = p->row.watermark - OVERLAP_MS;
    read = p->row.polled ? p->row.polled : p->row.since;
    if (p->now - read > GAP_MAX_MS && from < p->now - GAP_MAX_MS) {
        enum err_code code = begin_anew(p, tenant, page, e);

        if (code)
            return code;
        from = p->row.watermark - OVERLAP_MS;
    }
    for (size_t number = 0; listed == PAGE; number++) {
        int64_t last = from;
        bool sorted = true;
        size_t n = 0;
        enum err_code code;

        if (number == PAGES_MAX)
            return err_set(e, ERR_AGAIN, "GET /api/alerts: its pages do not end");
        code = defender_changed_alerts(tenant->defender, from, skip, page, PAGE, &n, &listed, e);
        if (!code && !number)
            mind_the_beginning(p, tenant);
        if (!code)
            code = make_cases(p, page, n, e);
        if (code)
            return code;
        for (size_t i = 0; i < n; i++) {
            sorted = sorted && page[i].updated_ms >= last;
            last = page[i].updated_ms > last ? page[i].updated_ms : last;
        }
        p->newest = last > p->newest ? last : p->newest;
        /* The next page begins where this one ended, and not so many alerts after the first: one that changes meanwhile
         * moves to the end, and all that comes after it moves up, across the border of a page that was read. */
        skip = sorted && last > from ? 0 : skip + PAGE;
        from = skip ? from : last;
        p->read_to = skip ? p->read_to : last;
    }
    return ERR_OK;
}

/* Where nobody pushes, a secret that has run out is silence. */
static enum err_code tell_state(struct db_tx *tx, struct polling *p, struct err *e)
{
    const bool fails = p->row.failing != 0;
    char since[CLOCK_TEXT_SIZE];
    const struct notice_system_fact facts[] = {
        {"Tenant", p->row.tenant},
        {fails ? "Why" : "Reads from", fails ? p->why : clock_format(p->row.since, since)}};
    const struct notice_system n = {
        .about = arena_fmt(p->arena, "polling:%s", p->row.tenant),
        .kind = fails ? "poll_fails" : "poll_works",
        .subject = arena_fmt(p->arena, "alerts of tenant %s are %s", p->row.tenant,
                             fails ? "not read" : "read again"),
        .headline = fails ? "Polling fails" : "Polling works again",
        .body =
            fails
                ? "cordon cannot read all of Defender's alerts that changed, so it may not hear of those that no "
                  "source pushes. What comes meanwhile is caught up with when it works again, for seven "
                  "days back at most. cordon tries on; where its credential or its permissions are the "
                  "reason, `cordon doctor` says so."
            : p->first
                ? "Defender's alerts are read, and what came since polling of this tenant began was read. What "
                  "is older is not: if it is another tenant than before, or its tenant_id was mistyped, a "
                  "person should look at the alerts of that time in the Defender portal."
                : "Defender's alerts are read again, and what came meanwhile was read.",
        .good = !fails,
        .follows = !fails,
        .not_within = fails ? DAY_MS : 0,
        .facts = facts,
        .n_facts = fails || p->first ? 2 : 1};

    /* It may have failed as another tenant of the same name, too; whether people were told so is looked up. */
    if (fails ? p->now - p->row.failing < ENGINE_LATE_MS : !p->failed_before && !p->first)
        return ERR_OK;
    return n.about && n.subject
               ? notice_system_turn(tx, p->g, p->rt, p->arena, &n, "poll_fails", p->now, e)
               : err_set(e, ERR_NOMEM, "polling");
}

static enum err_code ended_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct polling *p = arg;
    enum err_code code = poll_move(tx, &p->row, e);
    bool same = engine_is_in_force(p->g, p->rt); /* else it may have another pace */

    if (!code)
        code = tell_state(tx, p, e);
    return code ? code : work_again(tx, p->w, same ? p->due : p->now, p->attempts, e);
}

static enum err_code over_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct polling *p = arg;
    bool over = true;
    enum err_code code = engine_unknown(tx, p->g, p->rt, p->w, &over, e);

    return code || !over ? code : work_done(tx, p->w, e);
}

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct polling *p = arg;

    return poll_load(tx, p->arena, p->w->id, &p->row, e);
}

/* A time of Defender's that is still to come would hide what comes before it. */
static int64_t until_now(const struct polling *p, int64_t time)
{
    int64_t now = p->there > p->now ? p->there : p->now;

    return time < now ? time : now;
}

static void succeeded(struct polling *p, int64_t every_ms)
{
    /* What is older is history by now. */
    int64_t again = p->row.failing > p->row.since ? p->row.failing : p->row.since;

    p->newest = until_now(p, p->newest);
    /* Read in pieces (failed), the list may have got late ones behind the pieces: they are looked for once more. */
    if (p->row.failing && p->newest > again)
        p->newest = again;
    if (p->newest > p->row.watermark || (p->row.failing && p->row.watermark > again))
        p->row.watermark = p->newest;
    p->row.polled = p->now;
    p->row.failing = 0;
    p->due = p->now + every_ms;
    p->attempts = 0;
    log_event(p->made ? LOG_INFO : LOG_DEBUG, "polled", LOG_STR("tenant", p->row.tenant),
              LOG_INT("cases", p->made));
}

static void failed(struct polling *p, const struct err *why)
{
    int64_t wait = engine_wait_after(p->w, why), read_to = until_now(p, p->read_to);
    int64_t at = clock_wall_ms(p->g->clock), late;

    if (!p->row.failing)
        p->row.failing = p->now;
    late = p->row.failing + ENGINE_LATE_MS;
    if (at < late && at + wait > late) /* Defender may name a time that is further ahead */
        wait = late - at;
    /* There may be more pages than calls: the next poll goes on there, else it would never come further. */
    if (read_to && read_to + OVERLAP_MS > p->row.watermark)
        p->row.watermark = read_to + OVERLAP_MS;
    p->due = at + wait;
    p->attempts = engine_attempts_after(p->w, why);
    log_event(LOG_WARN, "poll_failed", LOG_STR("tenant", p->row.tenant), LOG_ERR(why),
              LOG_INT("next_ms", wait));
}

/* Nothing new is accepted, from nobody: what is not read now is read when there is room, by the watermark. */
static bool waits_for_room(struct polling *p)
{
    if (!p->g->store->full)
        return false;
    (void)health_note(p->g->health, "polling", p->row.tenant, false, "the store is full");
    engine_give_back(p->g, p->w, FULL_MS);
    return true;
}

static void poll_tenant(struct polling *p, struct runtime_tenant *tenant)
{
    struct err why = {0}, e;
    enum err_code code;

    if (waits_for_room(p))
        return;
    p->failed_before = p->row.failing != 0;
    p->first = !p->row.polled;
    p->why = why.text;
    code = read_all(p, tenant, &why);

    metrics_add(p->g->metrics, METRIC_POLLS, 1, p->row.tenant, err_name(code));
    if (code == ERR_STALE) /* somebody else polls */
        return;
    if (code)
        failed(p, &why);
    else
        succeeded(p, p->rt->config->polling.every_ms);
    if (p->first) { /* its Date may be the first word of how far off our clock is, also that of a refusal */
        mind_the_beginning(p, tenant);
        mind_the_clock(p);
    }
    /* so it is no more as it was written: a clock that is behind later says nothing of it */
    if (code && p->first && tenant->clock_lead_ms && p->row.since == p->row.watermark)
        p->row.watermark--;
    if (!code && p->first && p->there < p->now)
        p->due = p->now;
    (void)health_note(p->g->health, "polling", p->row.tenant,
                      !p->row.failing || p->now - p->row.failing < POLLING_SICK_MS, why.text);
    if (db_write(p->g->store->db, ended_fn, p, &e)) {
        log_event(LOG_ERROR, "poll_not_written", LOG_STR("tenant", p->row.tenant), LOG_ERR(&e));
        engine_retry(p->g, p->w);
    }
}

/* The row is still that of another tenant of the same name: by its beginning history would be news. */
static void begin_as_another(struct polling *p, struct runtime_tenant *tenant)
{
    struct err e;

    /* One of a moment ago was begun by a newer configuration than this. */
    if (!engine_is_in_force(p->g, p->rt) ||
        engine_may_wait_for(p->g, p->row.since + OVERLAP_MS, p->now)) {
        engine_give_back(p->g, p->w, ENGINE_NEWER_CONFIG_LOOK_MS);
    } else if (db_write(p->g->store->db, start_fn, p, &e) ||
               db_read(p->g->store->db, load_fn, p, &e)) {
        log_event(LOG_ERROR, "poll_not_written", LOG_STR("tenant", p->row.tenant), LOG_ERR(&e));
        engine_retry(p->g, p->w);
    } else {
        poll_tenant(p, tenant);
    }
}

void polling_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct polling p = {.g = g, .rt = rt, .arena = arena, .w = w, .now = clock_wall_ms(g->clock)};
    struct runtime_tenant *tenant;
    bool is_polled;
    struct err e;
    enum err_code code =
        arena ? db_read(g->store->db, load_fn, &p, &e) : err_set(&e, ERR_NOMEM, "poll");

    if (code && code != ERR_NOT_FOUND) {
        log_event(LOG_ERROR, "poll_unreadable", LOG_ID("work", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    tenant = code ? NULL : runtime_tenant(rt, p.row.tenant);
    p.there = p.now - runtime_clock_off_ms(tenant);
    is_polled = tenant && rt->config->polling.every_ms &&
                !config_is_second_name(rt->config, tenant->config);
    if (is_polled && poll_is_anothers(&p.row, tenant->config->tenant_id))
        begin_as_another(&p, tenant);
    else if (is_polled)
        poll_tenant(&p, tenant);
    else if (db_write(g->store->db, over_fn, &p, &e)) /* the row with its watermark stays */
        engine_retry(g, w);
}
