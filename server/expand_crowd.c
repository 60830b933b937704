/* expand_crowd.c - cases that are read, judged and seen to together; see expand_own.h.
 *
 * When more cases wait than there are workers, a worker takes as many as fit into a list and reads for all
 * of them (storm.h). Each is judged by itself; those to be isolated are seen to first, and their
 * isolations look and ask together (isolation.c). While isolations wait for calls they come first, and now and
 * then it is the turn of the cases. Sharing a minute's calls between both was tried: reads took a third of them for
 * alerts of machines that were known, and nothing that was left to them stayed theirs.
 */
#include "expand_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "isolation.h"
#include "log.h"

/* Calls that a batch may need at the least: alerts, machines. */
#define CROWD_CALLS 2
/* A few cases at a time would use up the tenant's calls: the more of them are gone, the longer the next
 * ones gather, if they were few. */
#define GATHER_MAX_MS (2 * SECOND_MS)
#define READ_EVERY_MS (15 * SECOND_MS)
/* So long before people are told that it takes long, a case waits by itself. */
#define HEARD_EARLY_MS (2 * MINUTE_MS)
/* So many others, or any with so much of a minute's calls gone (per mille, quota_pressure), and they are read together. */
#define SEVERAL 5
#define SCARCE  500
/* So often a list may not hold an alert before it is asked for by itself; or fail, before a shorter one is tried. */
#define LISTS_WITHOUT 2

struct crowd {
    struct engine *g;
    struct runtime *rt;
    struct work work[STORM_CASES_MAX];
    struct expansion x[STORM_CASES_MAX];
    struct storm_case read[STORM_CASES_MAX];
    bool open[STORM_CASES_MAX];  /* not yet done, nor given back */
    bool ready[STORM_CASES_MAX]; /* judged */
    struct together together;
    size_t n;
};

static_assert(TOGETHER_MAX >= STORM_CASES_MAX, "each case may begin an isolation");

/* Gives it back, to come again together with those that do the same. */
static void gather_later(struct engine *g, const struct work *w, int64_t delay_ms)
{
    engine_give_back(g, w, expand_until_grid(clock_wall_ms(g->clock), delay_ms));
}

/* The next moment that all who are few and see others due before it choose, too: whoever waits for others from a moment
 * of its own may see them do the same for ever. */
static void gather_with_others(struct engine *g, const struct work *w)
{
    engine_give_back(g, w, GATHER_MAX_MS - clock_wall_ms(g->clock) % GATHER_MAX_MS);
}

/* A case of a source that this configuration does not know, which waits for one that does (expand.c), is not read with x; nor is
 * one that a person has let past by a policy of which this replica was not told yet. */
static bool is_read_with(void *ctx, const char *source)
{
    const struct expansion *x = ctx;

    return config_knows_source(x->rt->config, source, x->c.tenant) ||
           strcmp(source, x->c.source) == 0;
}

/* How many others of its tenant wait, and will be due in a moment? What is another tenant's is not read with it: who waited for
 * that would wait for as long as there is such a thing. */
static int64_t others(struct expansion *x)
{
    int64_t n = 0, now = clock_wall_ms(x->g->clock);
    const struct case_waiting which = {
        .tenant = x->c.tenant,
        .until = now + GATHER_MAX_MS,
        .counts = is_read_with,
        .ctx = x,
        .policy = policy_hash(x->rt->config->policy),
        /* alone nobody waits for that (grounds_may_be_newer) */
        .since = db_is_shared(x->g->store->db) ? now - ENGINE_NEWER_CONFIG_MS : INT64_MAX};

    (void)store_case_waiting(x->g->store, &which, &n, NULL); /* none, as far as anybody knows */
    return n;
}

static bool is_of(const struct crowd *k, size_t i, const struct runtime_tenant *tenant)
{
    return k->open[i] && !k->ready[i] && expand_is_new(&k->x[i]) &&
           strcmp(k->x[i].c.tenant, tenant->config->name) == 0;
}

/* Reads for all cases of one tenant, entered; leaves. */
static void read_together(struct crowd *k, struct runtime_tenant *tenant)
{
    struct storm_case *list = calloc(STORM_CASES_MAX, sizeof *list);
    size_t at[STORM_CASES_MAX], n = 0;
    int64_t pressure, rest;

    for (size_t i = 0; i < k->n && list; i++)
        if (is_of(k, i, tenant)) {
            list[n].alert_id = k->x[i].c.alert_id;
            list[n].stubborn = k->x[i].w->attempts > LISTS_WITHOUT;
            /* It begins anew: a person was asked meanwhile, and his word is held against what is so after it, or somebody
             * has it tried again because it is other than before. */
            if (k->x[i].w->created != k->x[i].c.created)
                list[n].since_ms = k->x[i].w->created;
            at[n++] = i;
        }
    if (n)
        storm_read(tenant->storm, tenant->defender, list, n);
    pressure = quota_pressure(tenant->quota);
    rest = n < STORM_CASES_MAX / 2 ? GATHER_MAX_MS * pressure / 1000 : 0;
    storm_leave(tenant->storm, rest);
    engine_hold(k->g, WORK_CASE,
                rest); /* other tenants' wait that long, too: two seconds at most */
    for (size_t i = 0; i < n; i++) {
        k->read[at[i]] = list[i];
        k->x[at[i]].crowd = &k->read[at[i]];
    }
    free(list);
    log_event(LOG_INFO, "read_together", LOG_STR("tenant", tenant->config->name),
              LOG_INT("cases", (int64_t)n), LOG_INT("pressure", pressure));
}

/* It was not listed: may the next list have it? What is as old as people hear of (and as an alert that is not there is
 * given up, expand.c) is asked for by itself: that a list leaves it out is no last word. */
static bool waits_for_list(const struct crowd *k, const struct expansion *x)
{
    return x->w->attempts <= LISTS_WITHOUT &&
           clock_wall_ms(k->g->clock) < x->w->created + ENGINE_LATE_MS - HEARD_EARLY_MS;
}

/* One case of those that were read: judged, given back, or left to be read alone. */
static void judge_one(struct crowd *k, size_t i, struct runtime_tenant *tenant)
{
    struct expansion *x = &k->x[i];
    struct storm_case *r = x->crowd;

    if (r && r->missing && waits_for_list(k, x)) {
        r->reads.alert_code =
            err_set(&r->reads.alert_err, ERR_NOT_FOUND, "GET /api/alerts: it is not listed (yet)");
    } else if (!r || r->alone || r->missing) {
        x->crowd = NULL;
        expand_new(x);
        k->open[i] = false;
        return;
    }
    k->ready[i] = expand_ready(x, tenant, &r->reads);
    k->open[i] = k->ready[i];
}

/* Will its verdict ask for something to be done to the machine? */
static bool acts(const struct expansion *x)
{
    for (size_t i = 0; i < x->verdict.n_steps; i++)
        if (x->verdict.steps[i].acts && !x->verdict.steps[i].withheld)
            return true;
    return false;
}

static void act_on_all(struct crowd *k, bool acting)
{
    for (size_t i = 0; i < k->n && engine_goes_on(k->g); i++) {
        struct expansion *x = &k->x[i];

        if (!k->ready[i] || !k->open[i] || acts(x) != acting)
            continue;
        x->together = &k->together;
        expand_act(x, &x->crowd->reads);
        k->open[i] = false;
        defender_reads_clear(&x->crowd->reads);
    }
}

/* What a failed look for many means for one of them. What may be for good is concluded from a look at its own machine only,
 * and so is what goes on failing: the answer may be spoilt by what is said of another one. */
static bool looks_alone(const struct expansion *x, enum err_code code)
{
    return !expand_may_pass(code) || (code == ERR_AGAIN && x->w->attempts > LISTS_WITHOUT);
}

/* Looks at the machines that were isolated a while ago: may the cases join that? One question for all. Without an answer
 * it is as if they had not been read: nothing about them is written yet, and people must hear of it in time. */
static void look_together(struct crowd *k, struct runtime_tenant *tenant,
                          struct defender_reads looks[STORM_CASES_MAX])
{
    struct defender_reads *at[STORM_CASES_MAX];
    const char *ids[STORM_CASES_MAX];
    size_t of[STORM_CASES_MAX], n = 0, all = k->n;
    struct err e = {0};
    enum err_code code;

    for (size_t i = 0; i < all; i++) {
        struct expansion *x = &k->x[i];
        size_t same = 0;

        of[i] = STORM_CASES_MAX;
        if (!k->ready[i] || !k->open[i] || !acts(x) || !x->machine_id ||
            !isolation_needs_look(k->g, x->c.tenant, x->machine_id, x->arena))
            continue;
        while (same < n && strcmp(ids[same], x->machine_id) != 0)
            same++;
        of[i] = same;
        if (same == n) {
            at[n] = &looks[n];
            ids[n++] = x->machine_id;
        }
    }
    code = n ? storm_look(tenant->storm, tenant->defender, ids, n, at, &e) : ERR_OK;
    for (size_t i = 0; i < all; i++) {
        if (of[i] == STORM_CASES_MAX || (code && looks_alone(&k->x[i], code)) ||
            (!code && at[of[i]]->actions_code))
            continue;
        if (!code) {
            k->x[i].look = at[of[i]];
            continue;
        }
        k->x[i].why = e;
        expand_not_read(&k->x[i], code);
        k->open[i] = false;
    }
}

/* All cases of one tenant that are open in k. entered: else it hangs, and they wait. */
static void run_tenant(struct crowd *k, struct runtime_tenant *tenant, bool entered)
{
    int64_t wait = entered ? 0 : storm_enter(tenant->storm);
    bool mine[STORM_CASES_MAX] = {false};
    struct defender_reads *looks;

    for (size_t i = 0; i < k->n; i++)
        mine[i] = is_of(k, i, tenant);
    if (!wait)
        read_together(k, tenant);
    for (size_t i = 0; i < k->n && engine_goes_on(k->g); i++) {
        if (!mine[i])
            continue;
        if (wait) {
            gather_later(k->g, k->x[i].w, wait);
            k->open[i] = false;
        } else {
            judge_one(k, i, tenant);
        }
    }
    looks = calloc(STORM_CASES_MAX, sizeof *looks);
    if (looks)
        look_together(k, tenant, looks);
    act_on_all(k, true);
    for (size_t i = 0; i < STORM_CASES_MAX && looks; i++)
        defender_reads_clear(&looks[i]);
    free(looks);
    isolation_begun_together(k->g, tenant, &k->together);
    k->together.n = 0;
    act_on_all(k, false);
}

/* Gives back those that are open still: the server stops, and does not wait for hundreds that are seen to one by one. */
static void leave_off(struct crowd *k)
{
    const struct work *left[STORM_CASES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < k->n; i++)
        if (k->open[i])
            left[n++] = k->x[i].w;
    engine_give_back_all(k->g, left, n);
}

static void run_crowd(struct crowd *k, struct runtime_tenant *tenant, bool entered)
{
    run_tenant(k, tenant, entered);
    for (size_t i = 0; i < k->n && engine_goes_on(k->g); i++) {
        if (k->open[i])
            expand_one(&k->x[i]);
        k->open[i] = false;
    }
    leave_off(k);
}

/* Gives back at once what is another tenant's: it does not wait for this one's Defender. */
static void leave_to_others(struct crowd *k, const struct runtime_tenant *tenant)
{
    const struct work *theirs[STORM_CASES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < k->n; i++) {
        const char *name = k->x[i].c.tenant;

        if (!k->open[i] || !expand_is_new(&k->x[i]) || !runtime_tenant(k->rt, name) ||
            strcmp(name, tenant->config->name) == 0)
            continue;
        theirs[n++] = k->x[i].w;
        k->open[i] = false;
    }
    engine_give_back_all(k->g, theirs, n);
}

/* While isolations wait for the calls that are free they come first: a case that is not read yet is of a machine that
 * comes after theirs, if it is to be isolated at all. Every READ_EVERY_MS it is the turn of the cases all the same, for
 * people wait to hear of them. How long x is to wait; 0: not for that. */
static int64_t leave_to_isolations(const struct expansion *x, struct runtime_tenant *tenant)
{
    int64_t waiting = isolation_count_next(x->g, tenant), ago = storm_read_ago(tenant->storm);

    if (!waiting)
        return 0;
    if (ago >= READ_EVERY_MS) {
        storm_wait_turn(tenant->storm);
        return 0;
    }
    if (quota_room(tenant->quota, true) >= waiting + CROWD_CALLS)
        return 0;
    return READ_EVERY_MS - ago < GATHER_MAX_MS ? READ_EVERY_MS - ago : GATHER_MAX_MS;
}

static bool others_have_calls(const struct runtime *rt, const struct runtime_tenant *tenant)
{
    bool any = false;

    for (size_t i = 0; i < rt->config->n_tenants; i++)
        any = any || (&rt->tenants[i] != tenant && !quota_wait(rt->tenants[i].quota, false));
    return any;
}

/* All of the tenant's cases that wait to be read wait for its calls: what other tenants have waiting need not come after
 * thousands of them, claimed one by one in vain. Those that people must soon hear of come by themselves. */
static void put_off_all(const struct expansion *x, const struct runtime_tenant *tenant,
                        int64_t wait_ms)
{
    int64_t now = clock_wall_ms(x->g->clock);
    int64_t due = now + (wait_ms < HEARD_EARLY_MS ? wait_ms : HEARD_EARLY_MS);
    struct err e;

    if (store_case_wait(x->g->store, tenant->config->name, due,
                        now - ENGINE_LATE_MS + HEARD_EARLY_MS, &e))
        log_event(LOG_WARN, "not_postponed", LOG_ERR(&e));
}

/* How long until the tenant's calls are free for a list, ms. They come free one by one: a case that took the next one for
 * itself would leave none for a list, and so would all that come after it. */
static int64_t wait_for_calls(const struct expansion *x, struct runtime_tenant *tenant)
{
    int64_t wait = quota_wait_for(tenant->quota, false, CROWD_CALLS);
    int64_t others_first = leave_to_isolations(x, tenant);

    wait = others_first > wait ? others_first : wait;
    if (!wait && quota_room(tenant->quota, true) < storm_spoken_for(tenant->storm) + CROWD_CALLS)
        wait = EXPAND_GRID_MS; /* who has looked at machines is about to ask for their isolation */
    return wait;
}

/* x waits so long for calls, and so do those beside it. */
static void put_off(struct expansion *x, struct runtime_tenant *tenant, int64_t wait)
{
    if (others_have_calls(x->rt, tenant))
        put_off_all(x, tenant, wait);
    else
        engine_hold(x->g, WORK_CASE, wait < GATHER_MAX_MS ? wait : GATHER_MAX_MS);
    if (x->c.told || x->now + wait < x->w->created + ENGINE_LATE_MS) {
        engine_give_back(x->g, x->w, wait);
        return;
    }
    (void)err_set(&x->why, ERR_THROTTLED, "the tenant's calls are used up for the moment");
    x->why.retry_ms = wait;
    expand_not_read(x, ERR_THROTTLED); /* people hear of it in time */
}

struct turn {
    bool mine;    /* x is read with the others; else its claim is over */
    bool entered; /* the tenant's storm; else it hangs, and what is claimed is put aside */
    int64_t wait; /* for the storm, which is at rest: nothing is done before */
};

/* Enters the tenant's storm, if need be when who reads now has left it. false: x is seen to by others. */
static bool take_turn(struct expansion *x, struct runtime_tenant *tenant, struct turn *ret)
{
    *ret = (struct turn){.mine = true};
    if (storm_try_enter(tenant->storm, &ret->wait)) {
        ret->entered = !ret->wait;
        return true;
    }
    /* Whoever reads now, or is the next to do so, takes it with the others; alone it would be left over. */
    engine_give_back(x->g, x->w, 0);
    ret->mine = false;
    ret->entered = !storm_enter(tenant->storm);
    if (!ret->entered) /* while it hangs, what waits for it would be claimed again and again */
        return storm_hangs(tenant->storm);
    if (!leave_to_isolations(x, tenant))
        return true;
    storm_leave(tenant->storm, 0); /* he was at it in the turn of the cases, which is over */
    return false;
}

/* Reads, judges and sees to the claimed ones, and to x if it is to be among them. */
static void run_claimed(struct crowd *k, size_t claimed, struct expansion *x,
                        struct runtime_tenant *tenant, const struct turn *turn)
{
    k->g = x->g;
    k->rt = x->rt;
    for (; k->n < claimed; k->n++)
        k->open[k->n] = expand_open(&k->x[k->n], x->g, x->rt, &k->work[k->n]);
    if (turn->mine) {
        k->x[k->n] = *x; /* which the caller closes */
        k->open[k->n++] = true;
    }
    leave_to_others(k, tenant);
    run_crowd(k, tenant, turn->entered);
    for (size_t i = 0; i < claimed; i++)
        expand_close(&k->x[i]);
    if (turn->mine)
        x->facts_json = k->x[claimed].facts_json;
    for (size_t i = 0; i < k->n; i++)
        defender_reads_clear(&k->read[i].reads);
}

/* Takes what waits beside x and does it together. false: x is to be run alone. */
static bool gather(struct expansion *x)
{
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    struct crowd *k;
    struct turn turn;
    int64_t wait;
    size_t claimed = 0;

    if (!tenant)
        return false;
    wait = wait_for_calls(x, tenant);
    if (!wait && !take_turn(x, tenant, &turn))
        return true;
    if (!wait)
        wait = turn.wait;
    if (wait) {
        put_off(x, tenant, wait);
        return true;
    }
    k = calloc(1, sizeof *k);
    if (k)
        engine_claim_more(x->g, x->w, STORM_CASES_MAX - turn.mine, k->work, &claimed);
    if (claimed)
        run_claimed(k, claimed, x, tenant, &turn);
    else if (turn.entered)
        storm_leave(tenant->storm, 0);
    free(k);
    if (claimed || !turn.mine)
        return true;
    if (!others(x))
        return false;
    gather_with_others(x->g, x->w);
    return true;
}

/* Is it one of many, as far as anybody knows? */
static bool is_crowded(struct expansion *x)
{
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    int64_t n;

    if (engine_is_crowded(x->g, WORK_CASE) || !tenant)
        return true;
    n = others(x);
    if (n >= SEVERAL)
        return true;
    /* The last of many, perhaps: an alert without its machine would be a call in vain. */
    return quota_pressure(tenant->quota) > SCARCE &&
           (n || quota_wait_for(tenant->quota, false, CROWD_CALLS) > 0);
}

bool expand_with_others(struct expansion *x)
{
    return is_crowded(x) && gather(x);
}
