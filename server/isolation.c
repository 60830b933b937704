/* isolation.c - see isolation.h.
 *
 * When many wait, a run takes as many rows as there are, reads their machines' actions in one list, and goes through the
 * steps of each (episode.c), as long as the tenant's budget lasts; and it reads how those that are under way stand in
 * one list as well.
 */
#include "isolation.h"

#include <stdlib.h>
#include <string.h>

#include "deed.h"
#include "episode.h"

/* Isolations that one run sees to when many wait. A POST each, one after the other: no more than leave
 * within EPISODE_LOOK_FRESH_MS at a usual pace, which is what a minute allows. */
#define ROWS_AT_ONCE 100
/* Those that wait for calls go on when so much of what a minute allows is free: a round of them costs the store some
 * work. But calls that lie idle are lost, and so fewer are taken if so many calls (as calls times ms) would lie idle until
 * there are enough. */
#define ROOM_PART     8
#define IDLE_MANY_MAX (10 * SECOND_MS)
#define IDLE_MAX      (2 * MINUTE_MS) /* if they are few and a look would serve no others */
#define SOON_MS       (5 * SECOND_MS)
#define CASES_CALLS   2                /* that are left to the reading of cases: alerts, machines */
#define YOUNG_MS      (3 * SECOND_MS)  /* an isolation that has time for that */
#define YOUNG_BUSY_MS (20 * MINUTE_MS) /* a look of its own would cost a call that is scarce */
#define SEVERAL       5                /* others that wait, and it is one of many */
#define MANY          25               /* so many within a minute, and calls will be scarce */
/* So often a list may fail before it is found out whether Defender says of one machine what it does not say of many: a list may
 * take it too long, or be spoilt by one of them. */
#define LISTS_IN_VAIN 2
#define SLOW_MS       (10 * SECOND_MS) /* of a run by itself */

struct crowd {
    struct episode x[ROWS_AT_ONCE + 1];
    struct grounds grounds[ROWS_AT_ONCE + 1];
    struct defender_action actions[ROWS_AT_ONCE + 1];
    bool listed[ROWS_AT_ONCE + 1];
    bool open[ROWS_AT_ONCE + 1]; /* not yet seen to */
    size_t n;
    bool asks_alone, follows_alone; /* lists are no use in this run: each by itself */
};

static void crowd_free(struct crowd *k)
{
    for (size_t i = 0; i <= ROWS_AT_ONCE; i++)
        defender_reads_clear(&k->grounds[i].look);
    free(k);
}

/* Those of one tenant and state that are open, as places in k. */
static size_t pick(const struct crowd *k, const struct runtime_tenant *tenant,
                   enum isolation_state state, size_t at[ROWS_AT_ONCE + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < k->n; i++)
        if (k->open[i] && k->x[i].tenant == tenant && k->x[i].row.state == state)
            at[n++] = i;
    return n;
}

/* Does Defender list the actions of one machine? */
static bool lists_one(const struct episode *x)
{
    struct defender_reads look;
    bool answers;

    defender_read(x->tenant->defender, NULL, x->row.machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS, &look);
    answers = !look.actions_code;
    defender_reads_clear(&look);
    return answers;
}

/* Does it say how one action stands, or that it knows nothing of it? */
static bool says_of_one(const struct episode *x)
{
    struct defender_action action;
    enum err_code code = defender_get_action(x->tenant->defender, DEFENDER_ISOLATION,
                                             x->row.machine_id, x->row.action_id, &action, NULL);

    return !code || code == ERR_NOT_FOUND;
}

/* Does a list go on failing that does not where it is about one machine, which is asked by `asks`? That costs a call to find out, and no
 * more while Defender answers nothing at all. */
static bool fails_as_a_list(const struct crowd *k, const size_t at[], size_t n, enum err_code code,
                            bool (*asks)(const struct episode *x))
{
    bool in_vain = false;

    for (size_t i = 0; i < n; i++)
        in_vain = in_vain || k->x[at[i]].w.attempts > LISTS_IN_VAIN;
    return code == ERR_AGAIN && in_vain && asks(&k->x[at[0]]);
}

/* May it be asked for after a look alone: facts and verdict are those of now, and ask for it? */
static bool is_grounded(struct episode *x)
{
    struct approval approval;
    struct case_record c;

    if (store_case_load(x->g->store, x->arena, x->row.case_id, &c, NULL) ||
        store_approval(x->g->store, x->arena, x->row.case_id, &approval, NULL))
        return false;
    c.machine_id = x->row.machine_id;
    x->named = c.pushed_machine_id;
    return grounds_hold(&c, x->row.type, &approval, x->rt, x->g, x->arena);
}

/* Is the look that it goes by young enough, and taken since the row was written last? */
static bool is_look_good(const struct episode *x, int64_t read_ms)
{
    return read_ms >= x->row.updated && episode_look_is_young(read_ms, clock_wall_ms(x->g->clock));
}

/* One whose look was taken together with others'. */
static void ask_one(struct episode *x, struct grounds *grounds)
{
    x->crowded = true;
    x->now = clock_wall_ms(x->g->clock);
    x->due = episode_follow_due(x, DEED_FOLLOW_MIN_MS);
    if (grounds->look.actions_code) {
        episode_not_looked(x, &grounds->look.actions_err);
        return;
    }
    if (!episode_look_is_young(grounds->look.read_ms, x->now)) {
        engine_again(x->g, &x->w, 0);
        return;
    }
    if (quota_wait(x->tenant->quota, true) > 0) {
        episode_wait(x, episode_budget_due(x->g, quota_wait(x->tenant->quota, true)));
        return;
    }
    storm_forget_bare(x->tenant->storm, x->row.machine_id); /* a look is good for one request */
    episode_looked(x, grounds);
}

/* ---- how many, and what calls there are for them --------------------------------------------- */

/* How many others wait, and will be due within so long? None, as far as anybody knows. */
static int64_t others(struct engine *g, int64_t within_ms)
{
    int64_t n = 0;

    (void)store_work_waiting(g->store, WORK_ISOLATION, clock_wall_ms(g->clock) + within_ms, &n,
                             NULL);
    return n;
}

/* How many machines of a tenant are to be asked for until then (wall)? None, as far as anybody knows. */
static int64_t to_be_asked_for(struct engine *g, const struct runtime_tenant *tenant, int64_t until)
{
    int64_t n = 0;

    (void)store_isolation_count_asked(g->store, tenant->config->name, until, &n, NULL);
    return n;
}

int64_t isolation_count_next(struct engine *g, const struct runtime_tenant *tenant)
{
    return to_be_asked_for(g, tenant, clock_wall_ms(g->clock) + EPISODE_TOGETHER_MS);
}

/* What a tenant's budget allows at this moment. */
struct means {
    int64_t free_calls; /* what is spoken for is among them */
    int64_t least; /* calls that it is worth while to take; 0: none before wait_ms have passed */
    int64_t wait_ms;
};

/* It is the turn of the reading of cases: what it needs is left to it, and with that what is kept for actions, for
 * whatever is taken of this counts against reads. Not if that would be long. */
static void leave_to_cases(struct runtime_tenant *tenant, struct means *m)
{
    int64_t wait = quota_wait_for(tenant->quota, false, CASES_CALLS), most;

    if (wait > SOON_MS || !storm_is_waited_for(tenant->storm))
        return;
    most = quota_room(tenant->quota, false) - CASES_CALLS;
    m->free_calls = most < m->free_calls ? most : m->free_calls;
    m->wait_ms = wait + EPISODE_GRID_MS;
}

/* For n machines in hand, and as many as there are besides; looks: calls for looking at them. */
static struct means find_means(struct engine *g, struct runtime_tenant *tenant, int64_t n,
                               int64_t looks)
{
    int64_t part = quota_per_minute(tenant->quota) / ROOM_PART, least = looks + 1, room, idle_max;
    int64_t many = to_be_asked_for(g, tenant, INT64_MAX), all = many > n ? many : n;
    int64_t wanted = all + looks < part ? all + looks : part;
    int64_t spoken = storm_spoken_for(tenant->storm), latest;
    struct means m = {.least = 0};

    wanted = wanted > least ? wanted : least;
    idle_max = looks && all <= part ? IDLE_MAX : IDLE_MANY_MAX;
    latest = m.wait_ms = quota_wait_for(tenant->quota, true, wanted + spoken);
    for (int64_t some = least; some < wanted; some++) {
        int64_t wait = quota_wait_for(tenant->quota, true, some + spoken);

        if (some * (latest - wait) >= idle_max && wait < m.wait_ms)
            m.wait_ms = wait;
    }
    m.free_calls = quota_room(tenant->quota, true);
    leave_to_cases(tenant, &m);
    room = m.free_calls - spoken;
    if (room >= wanted)
        m.least = wanted < n + looks ? wanted : n + looks;
    else if (room >= least && room * latest >= idle_max)
        m.least = least;
    return m;
}

/* ---- looking and asking together ------------------------------------------------------------- */

/* Machines that are to be looked at in one list, and where to. */
struct list {
    const char *ids[ROWS_AT_ONCE + 1];
    struct defender_reads *looks[ROWS_AT_ONCE + 1];
    size_t n;
};

static bool is_listed(const struct list *l, const char *machine_id)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->ids[i], machine_id) == 0)
            return true;
    return false;
}

/* Fills the list with those that are next, while calls are scarce: their turn comes within a minute. own: the looks are
 * put there. */
static void list_the_next(struct episode *x, struct list *l, struct defender_reads own[])
{
    const char *ids[2 * ROWS_AT_ONCE];
    size_t n = 0;

    if (!own || quota_pressure(x->tenant->quota) <= EPISODE_BUSY ||
        store_isolation_list_asked(x->g->store, x->arena, x->row.tenant, 2 * ROWS_AT_ONCE, ids, &n,
                                   NULL))
        return;
    for (size_t i = 0; i < n && l->n < ROWS_AT_ONCE; i++) {
        int64_t read_ms = storm_find_bare(x->tenant->storm, ids[i]);

        if (is_listed(l, ids[i]) || episode_look_is_young(read_ms, clock_wall_ms(x->g->clock)))
            continue;
        l->looks[l->n] = &own[l->n];
        l->ids[l->n++] = ids[i];
    }
}

static bool has_look(const struct episode *x)
{
    return is_look_good(x, storm_find_bare(x->tenant->storm, x->row.machine_id));
}

/* Calls for looking at the n rows at `at`: none if a good look is kept for each. */
static int64_t need_look(const struct crowd *k, const size_t at[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!has_look(&k->x[at[i]]))
            return 1;
    return 0;
}

/* Looks at those of the n rows at `at` for which no good look is kept, and at as many as come next. Of what is
 * bare the look is kept, for not all of them will be asked for now. */
static enum err_code look_together(struct crowd *k, const size_t at[], size_t n, struct err *e)
{
    struct defender_reads *own = calloc(ROWS_AT_ONCE + 1, sizeof *own);
    struct runtime_tenant *tenant = k->x[at[0]].tenant;
    struct list l = {.n = 0};
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < n; i++) {
        struct defender_reads *look = &k->grounds[at[i]].look;

        look->read_ms = storm_find_bare(tenant->storm, k->x[at[i]].row.machine_id);
        if (is_look_good(&k->x[at[i]], look->read_ms))
            continue;
        l.looks[l.n] = look;
        l.ids[l.n++] = k->x[at[i]].row.machine_id;
    }
    if (l.n) {
        list_the_next(&k->x[at[0]], &l, own);
        code = storm_look(tenant->storm, tenant->defender, l.ids, l.n, l.looks, e);
    }
    for (size_t i = 0; i < l.n && !code; i++)
        if (!l.looks[i]->n_actions && !l.looks[i]->actions_code)
            storm_note_bare(tenant->storm, l.ids[i], l.looks[i]->read_ms);
    for (size_t i = 0; own && i <= ROWS_AT_ONCE; i++)
        defender_reads_clear(&own[i]);
    free(own);
    return code;
}

/* Looks at all that may be asked for after a look alone, then the POSTs, as far as the budget goes. */
static void ask_together(struct crowd *k, struct runtime_tenant *tenant)
{
    size_t at[ROWS_AT_ONCE + 1], n = 0, all = pick(k, tenant, ISOLATION_REQUESTED, at), asked;
    size_t done = 0;
    struct engine *g = k->x[0].g;
    struct err why = {0};
    struct means m;
    int64_t looks, got;
    enum err_code code = ERR_OK;

    if (quota_per_minute(tenant->quota) < 2 || k->asks_alone)
        return;
    for (size_t i = 0; i < all; i++)
        if (!k->x[at[i]].row.posted && is_grounded(&k->x[at[i]]))
            at[n++] = at[i];
    if (!n)
        return;
    looks = need_look(k, at, n);
    m = find_means(g, tenant, (int64_t)n, looks);
    got = m.least ? storm_speak_for(tenant->storm, m.free_calls, m.least, (int64_t)n + looks) : 0;
    asked = got > looks ? (size_t)(got - looks) : 0;
    if (asked)
        code = look_together(k, at, asked, &why);
    if (got)
        storm_spent(tenant->storm, looks);
    k->asks_alone = code == ERR_INVALID || (code && fails_as_a_list(k, at, asked, code, lists_one));
    for (; done < n && engine_goes_on(g); done++) {
        struct episode *x = &k->x[at[done]];

        if (k->asks_alone) {
            storm_spent(tenant->storm, done < asked);
            continue;
        }
        if (done >= asked) {
            episode_wait(x, episode_budget_due(g, m.wait_ms));
        } else if (code) {
            x->now = clock_wall_ms(g->clock);
            episode_not_looked(x, &why);
        } else {
            ask_one(x, &k->grounds[at[done]]);
        }
        storm_spent(tenant->storm, done < asked);
        k->open[at[done]] = false;
    }
    if (done < asked)
        storm_spent(tenant->storm, (int64_t)(asked - done));
}

/* ---- following together ---------------------------------------------------------------------- */

/* false: Defender hangs: those that come next are not to wait for it one by one. */
static bool look_alone(const struct episode *x, struct defender_reads *look)
{
    int64_t began = clock_mono_ms(x->g->clock);

    defender_reads_clear(look);
    defender_read(x->tenant->defender, NULL, x->row.machine_id, DEFENDER_READ_ACTIONS, look);
    return !look->actions_code || clock_mono_ms(x->g->clock) - began < SLOW_MS;
}

/* Looks at those of the n at `at` that need it, together. */
static void look_at_followed(struct crowd *k, struct runtime_tenant *tenant, const size_t at[],
                             size_t n)
{
    const char *ids[ROWS_AT_ONCE + 1];
    struct defender_reads *looks[ROWS_AT_ONCE + 1];
    size_t of[ROWS_AT_ONCE + 1], some = 0;
    struct err e = {0};
    enum err_code code;
    bool alone;

    for (size_t i = 0; i < n; i++)
        if (k->listed[i] && episode_needs_look(&k->x[at[i]], &k->actions[i])) {
            of[some] = at[i];
            looks[some] = &k->grounds[at[i]].look;
            ids[some++] = k->x[at[i]].row.machine_id;
        }
    code = some ? storm_look(tenant->storm, tenant->defender, ids, some, looks, &e) : ERR_OK;
    alone = code == ERR_INVALID || (code && fails_as_a_list(k, of, some, code, lists_one));
    for (size_t i = 0; i < some && code; i++) {
        if (alone && engine_goes_on(k->x[0].g)) {
            alone = look_alone(&k->x[of[i]], looks[i]);
            continue;
        }
        looks[i]->actions_code = /* that lists are not taken is no word of the machine */
            err_set(&looks[i]->actions_err, code == ERR_INVALID ? ERR_AGAIN : code, "%s", e.text);
        looks[i]->actions_err.retry_ms = e.retry_ms;
    }
}

/* One that is under way alone, while calls are scarce: is it young enough to wait for others? Then it does; true. */
static bool wait_for_more(struct episode *x)
{
    int64_t age = x->now - x->row.requested;

    if (quota_pressure(x->tenant->quota) <= EPISODE_BUSY || age < 0 || age >= YOUNG_BUSY_MS)
        return false;
    x->crowded = true;
    engine_give_back(x->g, &x->w, episode_follow_due(x, DEED_FOLLOW_MIN_MS) - x->now);
    return true;
}

/* How all that are under way stand. */
static void follow_together(struct crowd *k, struct runtime_tenant *tenant)
{
    const char *ids[ROWS_AT_ONCE + 1], *machine_ids[ROWS_AT_ONCE + 1];
    size_t at[ROWS_AT_ONCE + 1], n = pick(k, tenant, ISOLATION_PENDING, at);
    struct err why = {0};
    enum err_code code;

    if (k->follows_alone)
        return;
    if (n < 2) { /* a call of its own is scarce: in a minute there will be more */
        if (n && wait_for_more(&k->x[at[0]]))
            k->open[at[0]] = false;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = k->x[at[i]].row.action_id;
        machine_ids[i] = k->x[at[i]].row.machine_id;
    }
    code = defender_list_isolations(tenant->defender, ids, machine_ids, n, k->actions, k->listed,
                                    &why);
    k->follows_alone = code == ERR_REFUSED || code == ERR_TOO_BIG || code == ERR_INVALID ||
                       code == ERR_NOT_FOUND ||
                       (code && fails_as_a_list(k, at, n, code, says_of_one));
    if (k->follows_alone)
        return;
    if (!code)
        look_at_followed(k, tenant, at, n);
    for (size_t i = 0; i < n; i++) {
        struct episode *x = &k->x[at[i]];

        if (!code && !k->listed[i]) /* it is asked for by itself */
            continue;
        x->crowded = true;
        x->code = code;
        if (code)
            x->why = why;
        episode_followed(x, &k->actions[i], &k->grounds[at[i]].look);
        k->open[at[i]] = false;
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* Gives back at once what is of another tenant than the first one of which the tenant is known: it does not wait for
 * this one's Defender, which may hang, and then takes a minute for each that cannot be looked at together with others. */
static void leave_to_others(struct crowd *k)
{
    const struct work *theirs[ROWS_AT_ONCE + 1];
    size_t first = 0, n = 0;

    while (first < k->n && !k->x[first].tenant)
        first++;
    for (size_t i = first + 1; i < k->n; i++) {
        if (!k->open[i] || !k->x[i].tenant || k->x[i].tenant == k->x[first].tenant)
            continue;
        theirs[n++] = &k->x[i].w;
        k->open[i] = false;
    }
    engine_give_back_all(k->x[0].g, theirs, n);
}

/* The server stops: what is still open is the next process's, which looks before it asks. */
static void leave_off(struct crowd *k)
{
    const struct work *left[ROWS_AT_ONCE + 1];
    size_t n = 0;

    for (size_t i = 0; i < k->n; i++) {
        if (k->open[i])
            left[n++] = &k->x[i].w;
        k->open[i] = false;
    }
    engine_give_back_all(k->x[0].g, left, n);
}

/* false: it took so long that those that come next are not to wait for Defender one by one. */
static bool run_alone(struct crowd *k, size_t i)
{
    const struct clock *clock = k->x[i].g->clock;
    int64_t began = clock_mono_ms(clock);

    k->x[i].now = clock_wall_ms(clock); /* those before it may have taken minutes */
    episode_run(&k->x[i]);
    k->open[i] = false;
    return clock_mono_ms(clock) - began < SLOW_MS || !(k->asks_alone || k->follows_alone);
}

static void run_crowd(struct crowd *k)
{
    for (size_t i = 0; i < k->n && engine_goes_on(k->x[0].g); i++) {
        struct runtime_tenant *tenant = k->x[i].tenant;

        if (k->open[i] && tenant && k->x[i].row.state == ISOLATION_REQUESTED)
            ask_together(k, tenant);
        else if (k->open[i] && tenant && k->x[i].row.state == ISOLATION_PENDING)
            follow_together(k, tenant);
        if (k->open[i] && engine_goes_on(k->x[0].g) && !run_alone(k, i))
            break;
    }
    leave_off(k);
}

/* Are there others, who will be due in a moment, or in a minute if calls are scarce or they are so many that calls will
 * be, and are seen to together? */
static bool is_one_of_many(struct engine *g, const struct runtime *rt)
{
    bool busy = false;

    if (engine_is_crowded(g, WORK_ISOLATION))
        return true;
    for (size_t i = 0; i < rt->config->n_tenants; i++)
        busy = busy || quota_pressure(rt->tenants[i].quota) > EPISODE_BUSY;
    return others(g, SECOND_MS) >= SEVERAL || others(g, MINUTE_MS) >= (busy ? SEVERAL : MANY);
}

/* Is it the first of those that are to be asked for, or is a look kept for it? */
static bool leads(struct episode *x)
{
    const char *first = NULL;
    size_t n = 0;

    if (x->row.state != ISOLATION_REQUESTED || x->row.posted)
        return false;
    return has_look(x) || (!store_isolation_list_asked(x->g->store, x->arena, x->row.tenant, 1,
                                                       &first, &n, NULL) &&
                           n && strcmp(first, x->row.machine_id) == 0);
}

/* Another worker took the others of this moment, who were many: a young one waits for the next moment. But one of them
 * goes on, or those that are as many as the workers would wait for each other for ever; its look serves the others. */
static void leave_to_next(struct crowd *k, struct engine *g, struct runtime *rt,
                          const struct work *w)
{
    struct episode *x = &k->x[0];
    bool opened = episode_open(x, g, rt, w), known = opened && x->tenant;
    /* The last one to be asked for has nobody to wait for: those that are only followed come once a minute. */
    bool last = known && x->row.state == ISOLATION_REQUESTED &&
                to_be_asked_for(g, x->tenant, INT64_MAX) < 2;
    bool many = is_one_of_many(g, rt) || (known && quota_pressure(x->tenant->quota) > EPISODE_BUSY);
    int64_t young_ms = many && !last ? YOUNG_BUSY_MS : YOUNG_MS;
    bool young = known && (!x->row.posted || x->row.state == ISOLATION_PENDING) &&
                 x->now >= x->row.requested && x->now - x->row.requested < young_ms;

    if (many && (young || last) && leads(x)) {
        k->open[0] = true;
        k->n = 1;
        run_crowd(k);
    } else if (young) {
        engine_give_back(g, w, episode_next_moment(x->tenant, x->now + 1) - x->now);
    } else if (opened) {
        episode_run(x);
    }
    arena_free(x->arena);
}

/* When the tenant's calls are used up all that are to be asked for wait for the same moment, whoever of them came first:
 * then they share a look again, in the order in which they came. One transaction, for they may be a thousand. True: so
 * it is, and w waits with them. */
static bool wait_together(struct engine *g, struct runtime *rt, const struct work *w,
                          size_t *ret_most)
{
    struct episode x;
    struct means m = {.least = 1};
    bool opened = episode_open(&x, g, rt, w);
    int64_t room;
    struct err e;

    *ret_most = ROWS_AT_ONCE;
    if (opened && x.tenant && x.row.state == ISOLATION_REQUESTED && !x.row.posted &&
        quota_per_minute(x.tenant->quota) >= 2) {
        m = find_means(g, x.tenant, 1, has_look(&x) ? 0 : 1);
        room = m.free_calls - storm_spoken_for(x.tenant->storm);
        if (room < ROWS_AT_ONCE) /* no more than can be asked for: the others need not be touched */
            *ret_most = room > 1 ? (size_t)room : 1;
    }
    if (opened && !m.least) {
        episode_wait(&x, episode_budget_due(g, m.wait_ms));
        /* Those that people must soon hear of go through their own runs. */
        if (store_isolation_wait(g->store, x.tenant->config->name,
                                 episode_not_too_late(x.now, x.due),
                                 x.now - ENGINE_LATE_MS + EPISODE_EARLY_MS, &e))
            log_event(LOG_WARN, "not_postponed", LOG_ERR(&e));
    }
    arena_free(x.arena);
    return !opened || !m.least;
}

/* Takes what waits beside w and does it together. false: w is to be run alone. */
static bool gather(struct engine *g, struct runtime *rt, const struct work *w)
{
    struct crowd *k;
    struct work more[ROWS_AT_ONCE];
    size_t n = 0, most;

    if (wait_together(g, rt, w, &most))
        return true;
    k = calloc(1, sizeof *k);
    if (!k)
        return false;
    engine_claim_more(g, w, most, more, &n);
    if (!n) {
        leave_to_next(k, g, rt, w);
        crowd_free(k);
        return true;
    }
    k->open[k->n] = episode_open(&k->x[k->n], g, rt, w);
    k->n++;
    for (size_t i = 0; i < n; i++, k->n++)
        k->open[k->n] = episode_open(&k->x[k->n], g, rt, &more[i]);
    leave_to_others(k);
    run_crowd(k);
    for (size_t i = 0; i < k->n; i++)
        arena_free(k->x[i].arena);
    crowd_free(k);
    return true;
}

void isolation_run(struct engine *g, struct work *w)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct episode x;

    if (is_one_of_many(g, rt) && gather(g, rt, w))
        return;
    if (episode_open(&x, g, rt, w) &&
        (!x.tenant || engine_enter(g, w, x.row.tenant, rt->config->n_tenants)))
        episode_run(&x);
    arena_free(x.arena);
}
