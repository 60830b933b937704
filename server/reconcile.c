/* reconcile.c - see reconcile.h.
 *
 * The list's filter is documented to take the time of creation and no other (defender-api.md section 2.4), so the
 * watermark is one: Defender's own, asked from with an overlap for actions that come to light late. It stands still at
 * - a release that has not ended yet, which may take the three days that Defender keeps trying;
 * - an isolation that has not ended and that nobody follows, because its machine is held already, or is being released, or
 *   has another one that is followed;
 * - one that is in force beside another one, or a release, that has not ended and may come to nothing.
 * These are adopted once that is over. Any other isolation that has not ended is followed by its own work as soon as it is
 * adopted.
 *
 * What a machine's newest actions say is read as in episode.c: an open one decides before any that ended, and among
 * those that succeeded the one that took effect last. What the list is too short for, or too young, is left as it is:
 * the ledger looks at each machine of its own every four hours, and every alert looks before it asks.
 */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adopt.h"
#include "deed.h"
#include "defender.h"
#include "ledger.h"
#include "log.h"
#include "store_polls.h"

/* 12 of the 1,500 calls of an hour (section 7.4). */
#define EVERY_MS (5 * MINUTE_MS)
/* How late an action may come to light. */
#define OVERLAP_MS (5 * MINUTE_MS)
/* So far back the first read goes, and the one after a longer pause. */
#define BACK_MS (7 * DAY_MS)
/* A release that has not ended by then never will (section 4.5: about three days). */
#define RELEASE_MS (4 * DAY_MS)

/* While more of a minute's calls than this is used, others need them: per mille, quota_pressure. But not for ever. */
#define BUSY    500
#define BUSY_MS MINUTE_MS

#define PAGE        500   /* actions, about 1 KiB each */
#define ACTIONS_MAX 10000 /* in one run; the rest comes with the next, at once */

struct reconciling {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant;
    struct arena *arena;
    struct work *w;
    struct poll_record row;
    int64_t now, due, attempts;
    int64_t there;                /* now, by Defender's clock if ours is ahead */
    int64_t from;                 /* Defender's ms: the list has all that was made since */
    struct defender_action *list; /* ACTIONS_MAX */
    size_t n;
    bool more; /* there are more than that */
    /* When the oldest isolation was made that nobody follows, and that may be adopted yet; 0: there is none. */
    int64_t left;
    int64_t adopted, released;
};

/* ---- who is read --------------------------------------------------------------------------------- */

static enum err_code start_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct reconciling *p = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < p->rt->config->n_tenants && !code; i++)
        if (!config_is_second_name(p->rt->config, &p->rt->config->tenants[i]))
            code = poll_watch(tx, p->g->clock, p->rt->config->tenants[i].name,
                              p->rt->config->tenants[i].tenant_id, POLL_ACTIONS, p->now - BACK_MS,
                              p->now, e);
    return code;
}

enum err_code reconcile_start(struct engine *g, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct reconciling p = {.g = g, .rt = rt, .now = clock_wall_ms(g->clock)};
    enum err_code code = db_write(g->store->db, start_fn, &p, e);

    engine_kick(g);
    return code ? err_in(e, "reconciling") : ERR_OK;
}

/* ---- one machine --------------------------------------------------------------------------------- */

/* What the list says of one machine. */
struct digest {
    const struct defender_action *actions; /* all of its, newest first */
    size_t n;
    const struct defender_action *isolate, *release; /* the newest that are open; NULL: none */
    const struct defender_action *last; /* what is in force; NULL: nothing that succeeded */
    bool unclear;                       /* one of them cannot be read */
};

static struct digest digest_of(const struct defender_action *actions, size_t n)
{
    struct digest d = {.actions = actions, .n = n, .last = deed_in_force(actions, n)};

    for (size_t i = 0; i < n; i++) {
        const struct defender_action *a = &actions[i];

        d.unclear = d.unclear || a->type == DEFENDER_OTHER;
        if (a->type == DEFENDER_ISOLATE && defender_action_is_open(a) && !d.isolate)
            d.isolate = a;
        if (a->type == DEFENDER_UNISOLATE && defender_action_is_open(a) && !d.release)
            d.release = a;
    }
    return d;
}

/* The isolation that is under way or in force, when nobody is ending it; NULL: none. */
static const struct defender_action *standing(const struct digest *d)
{
    if (d->release)
        return NULL;
    if (d->isolate)
        return d->isolate;
    return d->last && d->last->type == DEFENDER_ISOLATE ? d->last : NULL;
}

/* The isolation in force that somebody is ending: what is left if that comes to nothing. NULL: none. */
static const struct defender_action *doubtful(const struct digest *d)
{
    return d->release && d->last && d->last->type == DEFENDER_ISOLATE ? d->last : NULL;
}

/* Was r, which the ledger calls isolated, released by an action of the list? Only when that is certainly younger than
 * r's own. */
static bool was_released(const struct digest *d, const struct isolation_record *r)
{
    return deed_was_released(d->actions, d->n, r->action_id, ledger_in_force_by(r));
}

struct settling {
    struct reconciling *p;
    const struct digest *d;
    bool write; /* else only *needed is set */
    bool needed;
    struct isolation_record released, adopted; /* id 0: none */
};

/* anew: the isolation that is in force now; NULL: none is. */
static enum err_code end(struct db_tx *tx, struct settling *s, struct isolation_record *r,
                         const struct defender_action *anew, struct err *e)
{
    struct reconciling *p = s->p;
    const struct ledger_turn t = {.g = p->g,
                                  .rt = p->rt,
                                  .tenant = p->tenant,
                                  .arena = p->arena,
                                  .w = *p->w,
                                  .now = p->now,
                                  .anew = anew != NULL};
    const char *why = ledger_why_released(p->arena, anew);
    enum err_code code = isolation_move(tx, r, ISOLATION_RELEASED, why, p->now, e);

    if (!code && ledger_is_known(r))
        code = ledger_tell(tx, &t, r, NOTICE_RELEASED, why, NULL, e);
    if (!code)
        code = ledger_take(tx, p->arena, r, p->now, e);
    s->released = *r;
    return code;
}

/* The list has to show a again: it is an isolation, and none that followed (its id; NULL: none is) is about. */
static void leave(struct reconciling *p, const struct defender_action *a, const char *followed)
{
    if (a && a->type == DEFENDER_ISOLATE && (!followed || strcasecmp(followed, a->id) != 0) &&
        (!p->left || a->created_ms < p->left))
        p->left = a->created_ms;
}

/* The same of all that are open: a machine may have several (section 4.5, the third behaviour), and each is carried out. */
static void leave_open(struct reconciling *p, const struct digest *d, const char *followed)
{
    for (size_t i = 0; i < d->n; i++)
        if (defender_action_is_open(&d->actions[i]))
            leave(p, &d->actions[i], followed);
}

/* What the list says of a machine against what the ledger says. */
static enum err_code settle_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct settling *s = arg;
    struct reconciling *p = s->p;
    const struct defender_action *a = standing(s->d), *doubt = doubtful(s->d);
    const char *machine_id = s->d->actions[0].machine_id;
    const struct ledger_turn turn = {.g = p->g, .rt = p->rt, .arena = p->arena, .now = p->now};
    struct isolation_record open, given_up = {0};
    struct work claim = *p->w;
    bool found = false, over = false, known = false;
    enum err_code code =
        isolation_find_open(tx, p->arena, p->row.tenant, machine_id, &open, &found, e);

    s->needed = false;
    s->released.id = s->adopted.id = 0;
    if (code)
        return code;
    if (found && open.state != ISOLATION_ISOLATED) {
        leave_open(p, s->d, open.action_id);
        leave(p, s->d->last, open.action_id);
        return ERR_OK; /* its own work sees to it */
    }
    over = found && was_released(s->d, &open);
    if ((a || doubt) && (!found || over))
        code = adopt_is_over(tx, p->arena, p->row.tenant, machine_id, a ? a : doubt, &known,
                             &given_up, e);
    if (found && !over) {
        leave_open(p, s->d, open.action_id);
    } else {
        leave_open(p, s->d, a && !known ? a->id : NULL);
        leave(p, known ? NULL : doubt, NULL);
        if (a && a != s->d->last) /* it may come to nothing */
            leave(p, s->d->last, NULL);
    }
    s->needed = over || (a && !found && !known);
    if (code || !s->write || !s->needed)
        return code;
    if (over)
        code = end(tx, s, &open, a && !known && a->status == DEFENDER_SUCCEEDED ? a : NULL, e);
    if (!code && a && !known)
        code = adopt_take(tx, &turn, p->row.tenant, machine_id, a, &given_up, &s->adopted, e);
    return code ? code : work_keep(tx, &claim, clock_wall_ms(p->g->clock), e);
}

static void settled(struct settling *s)
{
    struct reconciling *p = s->p;
    struct ledger_turn t = {.g = p->g, .row = s->released};

    if (s->released.id) {
        p->released++;
        metrics_add(p->g->metrics, METRIC_RECONCILED, 1, p->row.tenant, "released");
        ledger_moved(&t, ISOLATION_ISOLATED);
    }
    if (s->adopted.id) {
        p->adopted++;
        metrics_add(p->g->metrics, METRIC_RECONCILED, 1, p->row.tenant, "adopted");
        t.row = s->adopted;
        ledger_moved(&t, ISOLATION_REQUESTED);
    }
}

/* ---- all of the list ------------------------------------------------------------------------------ */

static int compare_actions(const void *a, const void *b)
{
    const struct defender_action *x = a, *y = b;
    int order = strcmp(x->machine_id, y->machine_id);

    return order                           ? order
           : x->created_ms < y->created_ms ? 1
           : x->created_ms > y->created_ms ? -1
                                           : 0;
}

/* How many actions from `at` on are of one machine. */
static size_t of_one_machine(const struct reconciling *p, size_t at)
{
    size_t n = 1;

    while (at + n < p->n && strcmp(p->list[at].machine_id, p->list[at + n].machine_id) == 0)
        n++;
    return n;
}

struct scan {
    struct reconciling *p;
    bool *needed; /* by the first action of a machine */
};

/* Most of what is listed the ledger knows: that is found out without a write. */
static enum err_code scan_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct scan *x = arg;
    struct reconciling *p = x->p;
    enum err_code code = ERR_OK;

    for (size_t at = 0, n; at < p->n && !code; at += n) {
        struct digest d;
        struct settling s = {.p = p, .d = &d};

        n = of_one_machine(p, at);
        d = digest_of(&p->list[at], n);
        if (!d.unclear)
            code = settle_fn(tx, &s, e);
        x->needed[at] = s.needed;
    }
    return code;
}

static enum err_code settle_all(struct reconciling *p, struct err *e)
{
    struct scan x = {.p = p, .needed = arena_array(p->arena, p->n + 1, sizeof *x.needed)};
    enum err_code code = ERR_OK;

    if (!x.needed)
        return err_set(e, ERR_NOMEM, "reconciling");
    qsort(p->list, p->n, sizeof *p->list, compare_actions);
    code = db_read(p->g->store->db, scan_fn, &x, e);
    for (size_t at = 0; at < p->n && !code; at++) {
        struct digest d;
        struct settling s = {.p = p, .d = &d, .write = true};

        if (!x.needed[at])
            continue;
        d = digest_of(&p->list[at], of_one_machine(p, at));
        code = db_write(p->g->store->db, settle_fn, &s, e);
        if (!code)
            settled(&s);
        else if (code == ERR_CONFLICT) /* a case came first: it adopts by itself */
            code = ERR_OK;
    }
    return code;
}

/* Machine ids in the one spelling of the ledger. */
static void lower(char *id)
{
    for (; *id; id++)
        *id = *id >= 'A' && *id <= 'Z' ? (char)(*id - 'A' + 'a') : *id;
}

/* Times that are still to come were written before the clock was set back, or while it was ahead, as it may be still; what came
 * meanwhile may be behind them. */
static void mind_the_clock(struct reconciling *p)
{
    if (p->row.watermark > p->there)
        p->row.watermark = p->there - BACK_MS;
    if (p->row.polled > p->now)
        p->row.polled = p->now;
    if (p->row.failing > p->now)
        p->row.failing = p->now;
}

static enum err_code read_all(struct reconciling *p, struct err *e)
{
    size_t listed = PAGE, skip = 0;

    p->list = calloc(ACTIONS_MAX,
                     sizeof *p->list); /* of its pages only those are touched that are used */
    if (!p->list)
        return err_set(e, ERR_NOMEM, "reconciling");
    p->from = p->row.watermark - OVERLAP_MS;
    if (p->from < p->there - BACK_MS)
        p->from = p->there - BACK_MS;
    for (; listed == PAGE && p->n + PAGE <= ACTIONS_MAX; skip += PAGE) {
        size_t n = 0;
        enum err_code code = defender_recent_actions(p->tenant->defender, p->from, skip,
                                                     p->list + p->n, PAGE, &n, &listed, e);

        if (code)
            return code;
        p->n += n;
    }
    p->more = listed == PAGE;
    for (size_t i = 0; i < p->n; i++)
        lower(p->list[i].machine_id);
    return ERR_OK;
}

/* Where the next read begins. */
static int64_t next_watermark(const struct reconciling *p)
{
    int64_t newest = p->row.watermark, open = p->left ? p->left : INT64_MAX;

    for (size_t i = 0; i < p->n; i++) {
        const struct defender_action *a = &p->list[i];

        if (a->created_ms > newest &&
            a->created_ms <= p->now) /* later ones would hide what comes before */
            newest = a->created_ms;
        if (a->type == DEFENDER_UNISOLATE && defender_action_is_open(a) && a->created_ms < open &&
            p->there - a->created_ms < RELEASE_MS)
            open = a->created_ms;
    }
    return open < newest && !p->more ? open : newest;
}

/* ---- a run ---------------------------------------------------------------------------------------- */

static enum err_code ended_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reconciling *p = arg;
    enum err_code code = poll_move(tx, &p->row, e);

    return code ? code : work_again(tx, p->w, p->due, p->attempts, e);
}

static enum err_code over_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reconciling *p = arg;
    bool over = true;
    enum err_code code = engine_unknown(tx, p->g, p->rt, p->w, &over, e);

    return code || !over ? code : work_done(tx, p->w, e);
}

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct reconciling *p = arg;

    return poll_load(tx, p->arena, p->w->id, &p->row, e);
}

static void succeeded(struct reconciling *p)
{
    p->row.watermark = next_watermark(p);
    p->row.polled = p->now;
    p->row.failing = 0;
    p->due = p->more ? p->now : p->now + EVERY_MS;
    p->attempts = 0;
    log_event(p->adopted || p->released ? LOG_INFO : LOG_DEBUG, "reconciled",
              LOG_STR("tenant", p->row.tenant), LOG_INT("actions", (int64_t)p->n),
              LOG_INT("adopted", p->adopted), LOG_INT("released", p->released));
}

static void failed(struct reconciling *p, const struct err *why)
{
    int64_t wait = engine_wait_after(p->w, why);

    if (!p->row.failing)
        p->row.failing = p->now;
    p->due = clock_wall_ms(p->g->clock) + (wait > BUSY_MS ? wait : BUSY_MS);
    p->attempts = engine_attempts_after(p->w, why);
    log_event(LOG_WARN, "reconcile_failed", LOG_STR("tenant", p->row.tenant), LOG_ERR(why),
              LOG_INT("next_ms", wait));
}

static void reconcile(struct reconciling *p)
{
    struct err why = {0}, e;
    enum err_code code;

    mind_the_clock(p);
    if (quota_pressure(p->tenant->quota) > BUSY && p->now - p->row.polled < RECONCILE_BEHIND_MS) {
        engine_give_back(p->g, p->w, BUSY_MS);
        return;
    }
    code = read_all(p, &why);
    if (!code)
        code = settle_all(p, &why);
    metrics_add(p->g->metrics, METRIC_RECONCILED, 1, p->row.tenant, err_name(code));
    if (code == ERR_STALE) /* somebody else does it */
        return;
    if (code)
        failed(p, &why);
    else
        succeeded(p);
    (void)health_note(p->g->health, "ledger", p->row.tenant,
                      !p->row.failing || p->now - p->row.failing < RECONCILE_BEHIND_MS, why.text);
    if (db_write(p->g->store->db, ended_fn, p, &e)) {
        log_event(LOG_ERROR, "reconcile_not_written", LOG_STR("tenant", p->row.tenant),
                  LOG_ERR(&e));
        engine_retry(p->g, p->w);
    }
}

/* The row is that of another tenant of the same name, as in polling.c. By its place much of this one's list would never be read,
 * and by where this one was read to, much of the other's. */
static void begin_as_another(struct reconciling *p)
{
    struct err e;

    if (!engine_is_in_force(p->g, p->rt) ||
        engine_may_wait_for(p->g, p->row.since + BACK_MS, p->now)) {
        engine_give_back(p->g, p->w, ENGINE_NEWER_CONFIG_LOOK_MS);
    } else if (db_write(p->g->store->db, start_fn, p, &e) ||
               db_read(p->g->store->db, load_fn, p, &e)) {
        log_event(LOG_ERROR, "reconcile_not_written", LOG_STR("tenant", p->row.tenant),
                  LOG_ERR(&e));
        engine_retry(p->g, p->w);
    } else {
        reconcile(p);
    }
}

void reconcile_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct reconciling p = {
        .g = g, .rt = rt, .arena = arena, .w = w, .now = clock_wall_ms(g->clock)};
    bool is_read;
    struct err e;
    enum err_code code =
        arena ? db_read(g->store->db, load_fn, &p, &e) : err_set(&e, ERR_NOMEM, "reconciling");

    if (code && code != ERR_NOT_FOUND) {
        log_event(LOG_ERROR, "reconcile_unreadable", LOG_ID("work", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    p.tenant = code ? NULL : runtime_tenant(rt, p.row.tenant);
    p.there = p.now - runtime_clock_ahead_ms(p.tenant);
    is_read = p.tenant && !config_is_second_name(rt->config, p.tenant->config);
    if (is_read && poll_is_anothers(&p.row, p.tenant->config->tenant_id))
        begin_as_another(&p);
    else if (is_read)
        reconcile(&p);
    else if (db_write(g->store->db, over_fn, &p, &e)) /* the row with its watermark stays */
        engine_retry(g, w);
    free(p.list);
}
