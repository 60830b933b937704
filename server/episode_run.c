/* episode_run.c - an isolation's own runs: looks before it asks, and follows what it asked for to its end. See
 * episode.h. */
#include "episode.h"

#include <string.h>
#include <strings.h>

#include "brakes.h"
#include "deed.h"
#include "isolation.h"
#include "pause.h"
#include "store_polls.h"

/* Before Defender gives up, people are told, while they can still go and look for it. */
#define LAPSING_MS        (60 * HOUR_MS)
#define LAPSING_UNSEEN_MS (2 * HOUR_MS)

#define RELEASED_SINCE "it was isolated, and released at Defender since"
#define TOOK_OVER      "took over the open isolation that it had joined"

/* Two seconds at first, but no longer than this, a replica leaves a row alone that is another one's to ask for: each look costs
 * calls, and whoever was told, or is, finds it due in a moment. */
#define NEWER_MOST_MS (15 * SECOND_MS)

/* ---- the look, and what follows from it ---------------------------------------------------------- */

static enum err_code postpone_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code = episode_postpone(tx, x, &r, e);

    x->after = r;
    return code;
}

/* Not known, or never asked for. What may come about yet is to be found by who reads the tenant's list (reconcile.h). */
static enum err_code fail_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code;

    if (r.state == ISOLATION_PENDING) /* taken, and not known how it ended */
        r.posted = x->now;
    code = episode_move(tx, x, &r, ISOLATION_FAILED, x->why.text, e);
    if (!code && (r.action_id || r.posted))
        code = poll_read_again(tx, r.tenant, POLL_ACTIONS, r.requested, e);
    x->after = r;
    return code;
}

/* Defender's action ended, and did not succeed. An absent machine is looked out for, if a case is to begin anew then. */
static enum err_code end_badly(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                               const struct defender_action *a, struct err *e)
{
    r->lapsed = a->status == DEFENDER_TIME_OUT && r->case_id ? a->updated_ms : 0;
    return episode_move(tx, x, r, ISOLATION_FAILED, deed_failure(a), e);
}

/* Limits and canary were asked when the row was written: by the policy of then, and for the case that it stood for then.
 * *ret: what holds it back by those of now, for this case of it; NULL: nothing. *ret_newer: a person let it past by a policy
 * that may be newer than those. */
static enum err_code find_brake(struct db_tx *tx, struct episode *x, int64_t case_id,
                                const char **ret, bool *ret_newer, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct approval approval;
    struct facts facts = {0};
    struct case_record c;
    /* It was asked for an hour before, and counted no longer; then this host's clock was off, or nobody was there, and it is asked
     * for anew. */
    bool again = x->row.ask_from - x->row.requested >= DEED_ASK_FOR_MS;
    struct braking b = {.rt = x->rt,
                        .c = &c,
                        .facts = &facts,
                        .approval = &approval,
                        .arena = x->arena,
                        .now = x->now,
                        .isolation = x->row.id,
                        .last = again};
    enum err_code code = case_load(tx, x->arena, case_id, &c, e);

    if (!code)
        code = approval_load(tx, x->arena, c.id, &approval, e);
    if (code)
        return code;
    if (c.facts && !json_parse(c.facts, strlen(c.facts), &doc, NULL)) /* else of no device group */
        (void)facts_read(doc, &facts, NULL);
    b.moved = strcmp(c.rule ? c.rule : "", x->row.rule ? x->row.rule : "") != 0;
    *ret_newer = grounds_may_be_newer(&approval, x->rt->config, x->g, x->now);
    return brakes_recheck(tx, &b, ret, e);
}

/* Does it wait for the isolation, and did that never stand for it? Its step says so: that of who began one says nothing. */
static enum err_code may_inherit(struct db_tx *tx, struct episode *x, const struct case_record *c,
                                 bool *ret, struct err *e)
{
    bool waits = c->id != x->row.case_id && (c->state == CASE_WAITING || c->state == CASE_ACTING);
    struct step_record *steps;
    size_t n = 0;
    enum err_code code = waits ? case_steps(tx, x->arena, c->id, &steps, &n, e) : ERR_OK;

    *ret = false;
    for (size_t i = 0; i < n && !code; i++) {
        if (strcmp(steps[i].handler, "isolate") != 0)
            continue;
        *ret = steps[i].state == STEP_DONE && steps[i].why && strcmp(steps[i].why, TOOK_OVER) != 0;
        break;
    }
    return code;
}

struct inheriting {
    struct episode *x;
    int64_t heir;     /* 0: none */
    const char *held; /* why safety holds back the last of those that it does; NULL: none */
    bool
        newer; /* a person let one of these past by a policy that may be newer than the one in force here */
};

/* case_visit_fn: the first that waits for its turn and that safety leaves room for: it takes its place by taking over. */
static enum err_code find_heir(struct db_tx *tx, void *arg, struct case_record *c, bool *ret_done,
                               struct err *e)
{
    struct inheriting *i = arg;
    const char *brake = NULL;
    bool may = false, newer = false;
    enum err_code code = may_inherit(tx, i->x, c, &may, e);

    if (!code && may)
        code = find_brake(tx, i->x, c->id, &brake, &newer, e);
    if (code || !may)
        return code;
    i->held = brake ? brake : i->held;
    i->newer = i->newer || (brake && newer);
    i->heir = brake ? 0 : c->id;
    *ret_done = !brake;
    return ERR_OK;
}

/* The row becomes the heir's: what is asked for is what its rule says, in its words. */
static enum err_code give(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                          int64_t heir, struct err *e)
{
    struct step_record *steps;
    struct case_record c;
    size_t n = 0;
    enum err_code code = case_load_row(tx, x->arena, heir, &c, e);

    if (!code)
        code = case_steps(tx, x->arena, heir, &steps, &n, e);
    if (code)
        return code;
    r->case_id = heir;
    r->rule = c.rule;
    for (size_t i = 0; i < n; i++) {
        AUTO(json_freep) struct json *args = NULL;

        if (strcmp(steps[i].handler, "isolate") != 0 ||
            json_parse(steps[i].args, strlen(steps[i].args), &args, NULL))
            continue;
        r->type = isolation_type(args);
        r->comment = arena_str(x->arena, isolation_comment(args));
        if (!r->comment)
            return err_set(e, ERR_NOMEM, "isolation");
        code = step_move(tx, heir, steps[i].n, STEP_DONE, TOOK_OVER, x->now, e);
        break;
    }
    return code ? code : isolation_give(tx, r, e);
}

/* Its state stays; it is its turn again after wait_ms. */
static enum err_code wait_for(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                              int64_t wait_ms, struct err *e)
{
    x->due = x->now + wait_ms;
    return episode_postpone(tx, x, r, e);
}

/* It is left to the replica that was told, or waits here until this one is. */
static enum err_code leave_to_told(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                                   struct err *e)
{
    int64_t wait;

    (void)err_set(&x->why, ERR_AGAIN, GROUNDS_NEWER);
    x->why.retry_ms = ENGINE_NEWER_CONFIG_LOOK_MS;
    wait = engine_wait_after(&x->w, &x->why);
    return wait_for(tx, x, r, wait < NEWER_MOST_MS ? wait : NEWER_MOST_MS, e);
}

/* A reload took the right to isolate from whoever pushed the case of the row, and another one who pushed it as well keeps his: it is
 * his from now on, and is read and judged anew before anything is asked for. */
static enum err_code take_second(struct db_tx *tx, struct episode *x, bool *ret, struct err *e)
{
    const struct config *config = x->rt->config;
    struct case_record c;
    enum err_code code = case_load(tx, x->arena, x->row.case_id, &c, e);

    *ret = !code && c.state != CASE_DROPPED && grounds_are_weak(config, &c) &&
           grounds_have_second(config, &c);
    if (!*ret)
        return code;
    engine_forget_judged(x->g, c.id);
    (void)err_set(&x->why, ERR_AGAIN, "source %s may not isolate any more, and %s may", c.source,
                  c.second);
    return case_stand_in(tx, &c, x->now, e);
}

/* The case that the row stands for asks for it no longer. Another one that waits for it takes its place, and is looked at
 * next; none has its turn twice. Without any it is over, unless one of them is another replica's to let past. Nothing of ours is
 * under way. */
static enum err_code hand_on(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                             const char *why, struct err *e)
{
    struct inheriting i = {.x = x};
    bool second = false;
    enum err_code code = take_second(tx, x, &second, e);

    if (!code && second)
        return wait_for(tx, x, r, 0, e);
    if (!code)
        code = case_each(tx, x->arena, r->id, CASE_STATES, 0, find_heir, &i, e);
    if (code)
        return code;
    if (!i.heir && i.newer)
        return leave_to_told(tx, x, r, e);
    if (!i.heir)
        return episode_move(tx, x, r, ISOLATION_FAILED, i.held ? i.held : why, e);
    x->due = x->now;
    code = give(tx, x, r, i.heir, e);
    return code ? code : episode_move(tx, x, r, ISOLATION_REQUESTED, why, e);
}

/* Nothing is asked for while this host's clock is off. What that means for the row the next transaction writes. */
static enum err_code check_clock(struct episode *x, struct err *e)
{
    enum err_code code = deed_check_clock(x->tenant, x->now, &x->row.ask_from, e);

    deed_mind_the_pause(x->g, x->row.updated, x->now, &x->row.ask_from);
    return code;
}

/* Was Defender asked for long enough? But the clock is not waited for for ever. By a clock that is right. */
static bool was_asked_for_long(const struct episode *x)
{
    return x->now - x->row.ask_from >= DEED_ASK_FOR_MS ||
           x->now - x->row.requested >= DEED_FOLLOW_FOR_MS;
}

/* Is it what isolates the machine, or will? Then it is the one to go by, whatever somebody else has asked for beside it. */
static bool stands(const struct defender_action *own, const struct defender_reads *look)
{
    return own &&
           (defender_action_is_open(own) || own == deed_in_force(look->actions, look->n_actions));
}

/* Something is there at Defender, or was: what came of a request of ours, or what somebody else does with the machine. */
static enum err_code go_by_found(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                                 struct err *e)
{
    switch (x->finding) {
    case FOUND_ISOLATE:
        /* Ours is another one for certain: this is not it, whatever its time. */
        if (x->own && x->own != x->action && x->own->external_id[0])
            r->posted = 0;
        return episode_move(tx, x, r, episode_adopt(r, x->action), NULL, e);
    case FOUND_LAGGING:
        return wait_for(tx, x, r, engine_wait_after(&x->w, &x->why), e);
    case FOUND_RELEASING:
        return episode_move(tx, x, r, ISOLATION_FAILED,
                            "somebody is releasing the machine at Defender", e);
    case FOUND_NONE: /* ours came, and it ended: by itself, or by somebody */
        break;
    }
    (void)episode_adopt(r, x->own);
    return x->own->status == DEFENDER_SUCCEEDED
               ? episode_move(tx, x, r, ISOLATION_RELEASED, RELEASED_SINCE, e)
               : end_badly(tx, x, r, x->own, e);
}

/* The intent of the POST that episode_looked makes once this is on disk. */
static enum err_code intend(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                            struct err *e)
{
    struct work w = x->w;
    enum err_code code;

    x->post = true;
    r->posted = x->now;
    code = isolation_move(tx, r, ISOLATION_REQUESTED, r->why, x->now, e);
    if (!code)
        code = brakes_sent(tx, r->id, x->now, e);
    if (!code)
        code = work_keep_for_post(tx, &w, x->now, e);
    if (!code)
        x->w.lease_end = w.lease_end;
    return code;
}

/* Nothing is under way, nor came of a request of before. Is it still wanted, and is it time to ask for it? */
static enum err_code ask_or_not(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                                const struct case_record *c, const char *paused, struct err *e)
{
    const char *brake = NULL;
    bool newer = false;
    enum err_code code;

    r->posted = 0; /* as the look has shown */
    if (paused)
        return episode_move(tx, x, r, ISOLATION_FAILED, paused, e);
    if (episode_is_outdated(x, x->rt)) /* by the one in force, at once */
        return wait_for(tx, x, r, 0, e);
    if (c->state == CASE_DROPPED)
        return hand_on(tx, x, r, "a person has dropped the case", e);
    if (x->grounds->code == ERR_REFUSED)
        return hand_on(tx, x, r, x->grounds->why.text, e);
    if (!x->row.ask_from) /* the clock is off: how long it has waited is not known, either */
        return wait_for(tx, x, r, engine_wait_after(&x->w, &x->why), e);
    if (was_asked_for_long(x))
        return episode_move(tx, x, r, ISOLATION_FAILED,
                            arena_fmt(x->arena, "Defender took no request for an hour: %s",
                                      r->why ? r->why : "no answer"),
                            e);
    if (x->grounds->newer)
        return leave_to_told(tx, x, r, e);
    if (x->grounds->code) {
        x->why = x->grounds->why;
        return wait_for(tx, x, r, engine_wait_after(&x->w, &x->why), e);
    }
    if (!case_same_named(x->named, c)) { /* judged anew, at once */
        (void)err_set(&x->why, ERR_AGAIN, CASE_NAMED_MEANWHILE);
        return wait_for(tx, x, r, 0, e);
    }
    code = find_brake(tx, x, r->case_id, &brake, &newer, e);
    if (code)
        return code;
    if (!brake)
        return intend(tx, x, r, e);
    return newer ? leave_to_told(tx, x, r, e) : hand_on(tx, x, r, brake, e);
}

static enum err_code looked_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    const char *paused = NULL;
    struct case_record c;
    enum err_code code;

    x->post = false;
    x->finding =
        episode_find(&x->grounds->look, &x->action); /* here: episode_check_found may change it */
    x->own = episode_find_own(&x->grounds->look, &x->row);
    /* A release that is under way is told when it is done. */
    if (stands(x->own, &x->grounds->look)) {
        x->finding = FOUND_ISOLATE;
        x->action = x->own;
    }
    code = pause_reason(tx, x->rt, x->arena, &paused, e);
    if (!code)
        code = case_load_row(tx, x->arena, r.case_id, &c, e);
    if (!code)
        code = episode_check_found(tx, x, e);
    if (code)
        return code;
    code = x->finding != FOUND_NONE || x->own ? go_by_found(tx, x, &r, e)
                                              : ask_or_not(tx, x, &r, &c, paused, e);
    x->after = r;
    return code;
}

/* The clock was set back: the request left at a time that is still to come. It rests from now on. */
static enum err_code rest_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code;

    r.posted = x->now;
    code = isolation_move(tx, &r, r.state, r.why, x->now, e);
    if (!code)
        code = work_again(tx, &x->w, x->now + WORK_SETTLE_MS, x->w.attempts, e);
    x->after = r;
    return code;
}

/* Not known, and tried for long enough? What may have been carried out is looked for as long as it could
 * be under way. By a clock that is far off nobody can say. */
static bool is_over(struct episode *x)
{
    const struct isolation_record *r = &x->row;
    bool unknown = r->posted || r->state == ISOLATION_PENDING;
    int64_t age = x->now - r->requested;
    struct err off;

    if (check_clock(x, &off))
        return false;
    if (unknown ? !episode_counts(x) || !deed_is_given_up(&x->w, age, x->why.code)
                : !was_asked_for_long(x))
        return false;
    if (unknown)
        (void)err_in(&x->why, "it is not known whether the machine is isolated");
    return true;
}

void episode_looked(struct episode *x, struct grounds *grounds)
{
    struct err e;

    x->grounds = grounds;
    x->look = &grounds->look;
    (void)check_clock(x, &x->why);
    /* A pause before this is seen by the wall clock, and one after it by whoever sends the request. */
    x->leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    if (!grounds_are_young(grounds->look.read_ms, clock_wall_ms(x->g->clock))) {
        engine_again(x->g, &x->w, 0);
        return;
    }
    if (episode_save(x, looked_fn, &e)) {
        log_event(LOG_ERROR, "isolation_not_written", LOG_ID("isolation", x->row.id),
                  LOG_ID("case", x->row.case_id), LOG_ERR(&e));
        engine_retry(x->g, &x->w);
    } else if (x->post) {
        episode_post(x);
    } else {
        episode_announce(x, ISOLATION_REQUESTED);
    }
}

void episode_not_looked(struct episode *x, const struct err *why)
{
    x->why = *why;
    x->due = x->now + episode_wait_after(x);
    episode_write(x, is_over(x) ? fail_fn : postpone_fn);
}

/* The tenant's calls are used up until then: it waits, and that is no attempt. */
static void wait_for_budget(struct episode *x, int64_t wait_ms)
{
    struct err why;

    (void)err_set(&why, ERR_THROTTLED, "the tenant's calls are used up for the moment");
    x->now = clock_wall_ms(x->g->clock);
    why.retry_ms = episode_budget_due(x->g, wait_ms) - x->now;
    episode_not_looked(x, &why);
}

void episode_wait(struct episode *x, int64_t due)
{
    x->now = clock_wall_ms(x->g->clock);
    x->due = episode_not_too_late(x->now, due);
    if (x->now < x->row.requested || x->now - x->row.requested >= ENGINE_LATE_MS - EPISODE_EARLY_MS)
        wait_for_budget(x, due - x->now);
    else
        engine_give_back(x->g, &x->w, x->due - x->now);
}

/* Could a request of before still come to light? Then it rests; true. */
static bool rests(struct episode *x)
{
    int64_t rest = deed_rest_ms(x->g, x->row.posted, x->now);

    if (x->row.posted > x->now)
        episode_write(x, rest_fn);
    else if (rest)
        engine_again(x->g, &x->w, rest);
    return rest > 0;
}

static void look_again(struct episode *x)
{
    struct approval approval;
    struct grounds grounds;
    struct case_record c;
    struct err e;

    if (rests(x))
        return;
    /* A look alone would be one in vain. */
    if (quota_room(x->tenant->quota, true) < 2 && quota_per_minute(x->tenant->quota) >= 2) {
        wait_for_budget(x, quota_wait_for(x->tenant->quota, true, 2));
        return;
    }
    if (store_case_load(x->g->store, x->arena, x->row.case_id, &c, &e)) {
        log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", x->row.case_id), LOG_ERR(&e));
        engine_retry(x->g, &x->w);
        return;
    }
    c.machine_id = x->row.machine_id;
    x->named = c.pushed_machine_id;
    if (store_approval(x->g->store, x->arena, c.id, &approval, &e)) {
        log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", x->row.case_id), LOG_ERR(&e));
        engine_retry(x->g, &x->w);
        return;
    }
    grounds_read(&c, x->rt, x->tenant, x->row.type, false, &approval, x->g, x->arena, &grounds);
    x->now = clock_wall_ms(x->g->clock);
    x->due = x->now + DEED_FOLLOW_MIN_MS;
    if (grounds.look.actions_code) {
        episode_not_looked(x, &grounds.look.actions_err);
    } else {
        episode_looked(x, &grounds);
    }
    defender_reads_clear(&grounds.look);
}

/* ---- following what was asked for ---------------------------------------------------------------- */

/* What somebody else has under way or in force beside ours, which came to nothing: a list may lag, and show that as open still.
 * NULL: nothing, as far as anybody could see, or somebody is releasing the machine. */
static const struct defender_action *find_beside(const struct episode *x)
{
    const struct defender_reads *look = x->look;
    const struct defender_action *in_force, *under_way = NULL;

    if (!look || look->actions_code)
        return NULL;
    for (size_t i = 0; i < look->n_actions; i++) {
        const struct defender_action *a = &look->actions[i];

        if (!defender_action_is_open(a) || strcasecmp(a->id, x->row.action_id) == 0)
            continue;
        if (a->type == DEFENDER_UNISOLATE)
            return NULL;
        if (a->type == DEFENDER_ISOLATE && !under_way)
            under_way = a;
    }
    in_force = deed_in_force(look->actions, look->n_actions);
    return under_way ? under_way
           : in_force && in_force->type == DEFENDER_ISOLATE &&
                   strcasecmp(in_force->id, x->row.action_id) != 0
               ? in_force
               : NULL;
}

/* That the machine is not isolated, or that nobody knows, is not said of one that somebody else has isolated, or is about to:
 * that isolation (find_beside) takes the place of ours. *ret: it did. */
static enum err_code take_its_place(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                                    const struct defender_action *other, bool *ret, struct err *e)
{
    const struct defender_action *ours = x->action;
    enum err_code code = ERR_OK;

    x->finding = other ? FOUND_ISOLATE : FOUND_NONE;
    if (other) {
        x->action = other;
        code = episode_check_found(tx, x, e); /* a list that lags behind a release */
        x->action = ours;
    }
    *ret = !code && x->finding == FOUND_ISOLATE;
    if (!*ret)
        return code;
    r->unseen = 0; /* of ours */
    x->action = other;
    code = episode_move(tx, x, r, episode_adopt(r, other), NULL, e);
    x->action = ours;
    return code;
}

/* Ours ended, and did not succeed. */
static enum err_code came_to_nothing(struct db_tx *tx, struct episode *x,
                                     struct isolation_record *r, struct err *e)
{
    bool taken = false;
    enum err_code code = take_its_place(tx, x, r, find_beside(x), &taken, e);

    if (code || taken)
        return code;
    r->unseen = 0;
    return end_badly(tx, x, r, x->action, e);
}

/* Nobody says how ours ended. What is in force beside it isolates the machine whatever becomes of ours; another one that waits
 * may wait as long. Ours may run when that is released: who reads the tenant's list is to find it. */
static enum err_code given_up_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    const struct defender_action *other = find_beside(x);
    bool taken = false;
    enum err_code code = ERR_OK;

    if (other && !defender_action_is_open(other))
        code = take_its_place(tx, x, &r, other, &taken, e);
    if (!code && taken && !x->row.adopted)
        code = isolation_displace(tx, r.id, x->row.action_id, e);
    x->after = r;
    if (code)
        return code;
    return taken ? poll_read_again(tx, r.tenant, POLL_ACTIONS, r.requested, e) : fail_fn(tx, x, e);
}

/* Is it to be told that Defender will give up soon? A second request for an isolated machine may stay pending, too, until
 * that is released (section 4.5): while another isolation is in force, nobody is told that there is none. A look that failed
 * is tried again for a while, unless it was refused for good; and once at least, when nobody was there at its time. By a clock that is
 * far off nobody can say. */
static bool is_lapsing(const struct episode *x)
{
    const struct defender_reads *look = x->look;
    const struct defender_action *in_force;
    struct err off;

    if (!look || runtime_check_clock(x->tenant, &off))
        return false;
    if (look->actions_code)
        return deed_end_of(look->actions_code) == DEED_REFUSED ||
               (x->now - x->row.requested >= LAPSING_MS + LAPSING_UNSEEN_MS &&
                x->row.updated - x->row.requested >= LAPSING_MS);
    in_force = deed_in_force(look->actions, look->n_actions);
    return !in_force || in_force->type != DEFENDER_ISOLATE;
}

/* How a pending action stands; x->action is what Defender says of it. */
static enum err_code followed_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code;

    if (x->released)
        code = episode_move(tx, x, &r, ISOLATION_RELEASED, RELEASED_SINCE, e);
    else if (x->action->status == DEFENDER_SUCCEEDED) {
        r.took_effect = deed_took_effect(x->action);
        code = episode_move(tx, x, &r, ISOLATION_ISOLATED, NULL, e);
    } else if (defender_action_is_open(x->action)) {
        code = episode_move(tx, x, &r, ISOLATION_PENDING, x->action->status_text, e);
        if (!code && is_lapsing(x))
            code = episode_tell(tx, x, &r, NOTICE_LAPSING, e);
    } else {
        code = came_to_nothing(tx, x, &r, e);
    }
    x->after = r;
    return code;
}

/* How long until it is looked at again. */
static int64_t follow_wait(const struct episode *x)
{
    return deed_follow_ms(x->now - x->row.requested);
}

/* It succeeded so late that a person may have released the machine meanwhile. */
static bool is_to_be_seen(const struct episode *x, const struct defender_action *action)
{
    return action->status == DEFENDER_SUCCEEDED && deed_is_late(x->now - x->row.requested);
}

bool episode_needs_look(const struct episode *x, const struct defender_action *action)
{
    return defender_action_is_open(action)
               ? x->now - x->row.requested >= LAPSING_MS
               : is_to_be_seen(x, action) || action->status != DEFENDER_SUCCEEDED;
}

/* It needs a look before people are told how it ended, or that nobody knows, and there was none: is one to be waited for? Then
 * x->code and x->why say so. Runs that failed for another reason do not count. */
static void wait_to_see(struct episode *x, const struct defender_action *action,
                        const struct defender_reads *look)
{
    const bool open = defender_action_is_open(action);
    int64_t unseen = deed_looks_failed(x->row.unseen, &look->actions_err);

    if (x->code || (open && x->now - x->row.requested <= DEED_FOLLOW_FOR_MS) ||
        !episode_needs_look(x, action) || !look->actions_code ||
        deed_end_of(look->actions_code) == DEED_REFUSED || unseen > DEED_LOOKS_IN_VAIN)
        return;
    x->w.attempts = x->row.unseen = unseen;
    x->why = look->actions_err;
    x->code = err_in(&x->why, action->status == DEFENDER_SUCCEEDED
                                  ? "it was isolated, and it cannot be seen whether it still is"
                              : open ? "it has not ended, and it cannot be seen whether something "
                                       "else isolates the machine"
                                     : "it came to nothing, and it cannot be seen whether "
                                       "something else isolates the machine");
}

void episode_followed(struct episode *x, const struct defender_action *action,
                      const struct defender_reads *look)
{
    int64_t wait = follow_wait(x), age = x->now - x->row.requested, unseen = x->row.unseen, backoff;
    struct err off;

    x->action = action;
    x->look = episode_needs_look(x, action) ? look : NULL;
    x->released = !x->code && is_to_be_seen(x, action) && !look->actions_code &&
                  deed_is_free(look->actions, look->n_actions, action->id, action->updated_ms);
    wait_to_see(x, action, look);
    /* Looks that are throttled would follow each other at once: they take as long as others until they are in vain. */
    backoff = x->row.unseen > unseen ? engine_backoff(x->w.attempts, x->why.retry_ms)
                                     : episode_wait_after(x);
    x->now = clock_wall_ms(x->g->clock);
    if (x->code && backoff < wait) /* that there was no answer is no reason to ask later */
        wait = backoff;
    x->due = episode_follow_due(x, wait > x->why.retry_ms ? wait : x->why.retry_ms);
    if (episode_counts(x) && deed_is_given_up(&x->w, age, x->code) &&
        !runtime_check_clock(x->tenant, &off) && (x->code || defender_action_is_open(action))) {
        (void)err_set(
            &x->why, ERR_REFUSED,
            "it is not known whether the machine is isolated: Defender did not say how it "
            "ended for four days");
        episode_write(x, given_up_fn);
    } else {
        episode_write(x, x->code ? postpone_fn : followed_fn);
    }
}

static void follow(struct episode *x)
{
    struct defender_action action = {0};
    struct defender_reads look = {0};

    x->code = defender_get_action(x->tenant->defender, DEFENDER_ISOLATION, x->row.machine_id,
                                  x->row.action_id, &action, &x->why);
    if (!x->code && episode_needs_look(x, &action))
        defender_read(x->tenant->defender, NULL, x->row.machine_id, DEFENDER_READ_ACTIONS, &look);
    episode_followed(x, &action, &look);
    defender_reads_clear(&look);
}

/* ---- a run ------------------------------------------------------------------------------------------- */

static enum err_code done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;

    return work_done(tx, &x->w, e);
}

bool episode_open(struct episode *x, struct engine *g, struct runtime *rt, const struct work *w)
{
    struct err e = {0};
    enum err_code code;

    *x = (struct episode){.g = g,
                          .rt = rt,
                          .w = *w,
                          .now = clock_wall_ms(g->clock),
                          .crowded = engine_is_crowded(g, WORK_CASE) ||
                                     engine_is_crowded(g, WORK_ISOLATION)};
    if (deed_is_open(g, "isolation", w))
        return false;
    x->arena = arena_new(0);
    code = x->arena ? store_isolation_load(g->store, x->arena, w->id, &x->row, &e)
                    : err_set(&e, ERR_NOMEM, "isolation");
    if (code) {
        log_event(LOG_ERROR, "isolation_unreadable", LOG_ID("isolation", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return false;
    }
    x->tenant = runtime_tenant(rt, x->row.tenant);
    return true;
}

void episode_run(struct episode *x)
{
    struct err e;

    if (!x->tenant) {
        (void)err_set(&x->why, ERR_REFUSED, "tenant '%s' is no longer configured", x->row.tenant);
        x->due = x->now + engine_backoff(x->w.attempts, 0);
        episode_write(x, is_over(x) ? fail_fn : postpone_fn);
    } else if (x->row.state == ISOLATION_REQUESTED) {
        look_again(x);
    } else if (x->row.state == ISOLATION_PENDING) {
        follow(x);
    } else if (db_write(x->g->store->db, done_fn, x, &e)) {
        engine_retry(x->g, &x->w);
    }
}
