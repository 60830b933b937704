/* releasing.c - see releasing.h. */
#include "releasing.h"

#include <strings.h>

#include "deed.h"
#include "grounds.h"
#include "log.h"

/* In vain, with the pauses between them (engine_backoff): an hour, or more. */
#define TRIES 15

struct release {
    struct ledger_turn *t;
    enum err_code code;
    struct err why;
    const struct defender_action *action; /* of the POST, or followed, or adopted */
    bool is_over;                         /* somebody has released the machine */
    const struct defender_action *anew; /* and it is isolated again: not by what is released here */
    bool undone;      /* so it is, after the release that was ordered here had come about */
    bool asked_again; /* somebody has another isolation under way */
    /* A rule ordered the release, and this would have kept it from that; for people. NULL: nothing. */
    const char *against;
    bool waits; /* but it may come to nothing yet */
    bool post;
    int64_t due;
    int64_t leave_by_ms; /* for the POST that the next transaction allows: clock_boot_ms */
};

enum err_code release_order(struct db_tx *tx, struct arena *a, struct isolation_record *r,
                            const char *why, bool by_rule, int64_t now, struct err *e)
{
    enum err_code code;

    r->posted = r->ask_from = r->unseen = 0;
    r->release_id = NULL;
    r->release_why = why;
    r->by_rule = by_rule;
    code = isolation_move(tx, r, ISOLATION_RELEASING, why, now, e);
    return code ? code : ledger_take(tx, a, r, now, e);
}

/* ---- what a run came to, inside a transaction ------------------------------------------------------- */

/* Not yet: the same state, again at x->due. */
static enum err_code postpone(struct db_tx *tx, struct release *x, struct isolation_record *r,
                              struct err *e)
{
    enum err_code code = isolation_move(tx, r, ISOLATION_RELEASING, x->why.text, x->t->now, e);
    bool asked = r->posted || r->release_id;
    bool in_vain = x->code || (x->against && !r->ask_from); /* was_asked_for_long counts these */
    bool waits = asked && x->code && deed_is_our_budget(x->t->tenant, &x->why);

    return code ? code
                : work_again(tx, &x->t->w,
                             asked ? x->due
                                   : deed_ask_due(x->t->now, x->due, r->ask_from, DEED_ASK_FOR_MS),
                             !in_vain ? 0
                             : waits  ? engine_attempts_after(&x->t->w, &x->why)
                                      : x->t->w.attempts,
                             e);
}

/* It is over, one way or the other, and people are told. */
static enum err_code settle(struct db_tx *tx, const struct ledger_turn *t,
                            struct isolation_record *r, enum isolation_state to,
                            enum notice_kind kind, const char *why, struct err *e)
{
    enum err_code code;

    r->posted = 0;
    if (to == ISOLATION_ISOLATED) { /* as before: people are asked again at its time */
        r->reminded = 0;
        r->review = t->now + policy_review(t->rt->config->policy);
    }
    code = isolation_move(tx, r, to, why, t->now, e);
    if (!code)
        code = ledger_tell(tx, t, r, kind, why, NULL, e);
    return code ? code : ledger_take(tx, t->arena, r, t->now, e);
}

static enum err_code end(struct db_tx *tx, struct release *x, struct isolation_record *r,
                         enum isolation_state to, const char *why, struct err *e)
{
    struct ledger_turn *t = x->t;
    bool good = to == ISOLATION_RELEASED && (!x->anew || x->undone);
    enum err_code code = work_again(tx, &t->w, t->now, 0, e);

    t->anew = x->undone;
    return code ? code : settle(tx, t, r, to, good ? NOTICE_RELEASED : NOTICE_NOT_RELEASED, why, e);
}

bool release_is_waiting(const struct isolation_record *r)
{
    return r->state == ISOLATION_RELEASING && r->by_rule && !r->posted && !r->release_id;
}

enum err_code release_take_back(struct db_tx *tx, const struct ledger_turn *t,
                                struct isolation_record *r, const char *why, struct err *e)
{
    if (!release_is_waiting(r))
        return ERR_OK;
    if (r->keep_until == INT64_MAX) /* it was ordered for nothing: release_after goes on */
        r->keep_until = 0;
    return settle(tx, t, r, ISOLATION_ISOLATED, NOTICE_NOT_RELEASED, why, e);
}

/* Defender's action is known, and how it stands. */
static enum err_code take(struct db_tx *tx, struct release *x, struct isolation_record *r,
                          struct err *e)
{
    const struct defender_action *a = x->action;

    r->release_id = a->id;
    r->posted = 0;
    if (a->status == DEFENDER_SUCCEEDED) {
        x->undone = x->anew != NULL;
        return end(tx, x, r, ISOLATION_RELEASED,
                   x->undone ? ledger_why_released(x->t->arena, x->anew) : r->release_why, e);
    }
    if (defender_action_is_open(a)) {
        (void)err_set(&x->why, ERR_AGAIN, "%s", a->status_text);
        return postpone(tx, x, r, e);
    }
    if (x->is_over) /* somebody else's has come about */
        return end(tx, x, r, ISOLATION_RELEASED, ledger_why_released(x->t->arena, NULL), e);
    return end(tx, x, r, ISOLATION_ISOLATED, deed_failure(a), e);
}

static enum err_code posted_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct release *x = arg;
    struct isolation_record r = x->t->row;
    enum err_code code;

    switch (deed_end_of(x->code)) {
    case DEED_TAKEN:
        code = take(tx, x, &r, e);
        break;
    case DEED_UNKNOWN:
        r.posted = x->t->now;
        x->due = x->t->now + WORK_SETTLE_MS;
        code = postpone(tx, x, &r, e);
        break;
    case DEED_LATER:
        r.posted = 0;
        code = postpone(tx, x, &r, e);
        break;
    default:
        code = end(tx, x, &r, ISOLATION_ISOLATED, x->why.text, e);
    }
    x->t->after = r;
    return code;
}

/* Was Defender asked for an hour? By a clock that is far off nobody can say: then so many tries are, and whoever ordered it
 * hears that it comes to nothing, also when the clock stays as it is. */
static bool was_asked_for_long(const struct ledger_turn *t)
{
    return t->row.ask_from ? t->now - t->row.ask_from >= DEED_ASK_FOR_MS : t->w.attempts >= TRIES;
}

/* Nobody can say what came of a request that left? By a clock that is far off it is not said. */
static bool is_given_up(const struct release *x)
{
    const struct ledger_turn *t = x->t;

    return t->row.ask_from && deed_is_given_up(&t->w, t->now - t->row.ask_from, x->code);
}

static enum err_code looked_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct release *x = arg;
    struct ledger_turn *t = x->t;
    struct isolation_record r = t->row;
    struct work w = t->w;
    enum err_code code;

    x->post = false;
    if (x->code) {
        code = postpone(tx, x, &r, e);
    } else if (x->action) {
        code = take(tx, x, &r, e);
    } else if (x->is_over || x->anew) {
        code = end(tx, x, &r, ISOLATION_RELEASED, ledger_why_released(t->arena, x->anew), e);
    } else if (x->asked_again) {
        code =
            end(tx, x, &r, ISOLATION_ISOLATED, "Defender has another isolation of it under way", e);
    } else if (x->against && (!x->waits || was_asked_for_long(t))) {
        code = end(tx, x, &r, ISOLATION_ISOLATED,
                   arena_fmt(t->arena, "%s: a person must order it", x->against), e);
    } else if (x->against) {
        r.posted = 0; /* as the look has shown */
        (void)err_set(&x->why, ERR_AGAIN, "%s", x->against);
        x->due = t->now + (r.ask_from ? MINUTE_MS : engine_backoff(t->w.attempts, 0));
        code = postpone(tx, x, &r, e);
    } else if (was_asked_for_long(t)) {
        code = end(tx, x, &r, ISOLATION_ISOLATED,
                   arena_fmt(t->arena, "Defender took no request for an hour: %s",
                             r.why ? r.why : "no answer"),
                   e);
    } else if (r.by_rule && !engine_is_in_force(t->g, t->rt)) { /* by the one in force, at once */
        r.posted = 0;                                           /* as the look has shown */
        (void)err_set(&x->why, ERR_AGAIN, "another configuration has come into force meanwhile");
        x->due = t->now;
        code = postpone(tx, x, &r, e);
    } else {
        x->post = true;
        r.posted = t->now;
        code = isolation_move(tx, &r, ISOLATION_RELEASING, r.why, t->now, e);
        if (!code)
            code = work_keep_for_post(tx, &w, t->now, e);
    }
    t->after = r;
    if (!code)
        t->w.lease_end = w.lease_end;
    return code;
}

static enum err_code give_up_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct release *x = arg;
    struct isolation_record r = x->t->row;
    enum err_code code = end(tx, x, &r, ISOLATION_ISOLATED, x->why.text, e);

    x->t->after = r;
    return code;
}

static void write_outcome(struct release *x, db_fn fn)
{
    enum isolation_state before = x->t->row.state;
    struct err e;

    if (ledger_write(x->t, fn, x, &e))
        ledger_not_written(x->t, &e); /* `posted` stands in the row: the next run looks first */
    else
        ledger_moved(x->t, before);
}

/* ---- the POST ------------------------------------------------------------------------------------- */

static void post(struct release *x)
{
    struct ledger_turn *t = x->t;
    struct defender_action action = {0};
    char own[DEED_ID_SIZE];
    const struct defender_request q = {
        .deed = DEFENDER_RELEASE,
        .machine_id = t->row.machine_id,
        .comment =
            arena_fmt(t->arena, "cordon: %s", t->row.release_why ? t->row.release_why : "release"),
        .external_id = deed_release_id(t->row.id, t->w.created, own),
        .leave_by_ms = x->leave_by_ms};

    if (!deed_begin(t->g, "isolation", t->row.id))
        return;
    log_event(LOG_INFO, "release_post", LOG_ID("isolation", t->row.id),
              LOG_ID("case", t->row.case_id), LOG_STR("machine", t->row.machine_id),
              LOG_STR("why", t->row.release_why));
    x->code = deed_send(t->g, t->tenant->defender, &t->w, &q, &action, &x->why);
    x->action = &action;
    t->now = clock_wall_ms(t->g->clock);
    x->due =
        t->now + (x->code ? engine_backoff(t->w.attempts, x->why.retry_ms) : DEED_FOLLOW_MIN_MS);
    write_outcome(x, posted_fn);
    engine_post_ended(t->g, t->row.id);
}

/* ---- a run ---------------------------------------------------------------------------------------- */

/* Our release was asked for when Defender had said that the isolation succeeded: where ids do not come back, one that was
 * made before that is somebody else's, of an episode before. A list may lack the isolation. */
static bool is_older(const struct defender_action *a, const struct defender_reads *look,
                     const struct isolation_record *r)
{
    for (size_t i = 0; i < look->n_actions && r->action_id; i++)
        if (strcasecmp(look->actions[i].id, r->action_id) == 0)
            return look->actions[i].status == DEFENDER_SUCCEEDED &&
                   a->created_ms < look->actions[i].updated_ms;
    return a->created_ms < r->took_effect;
}

/* Is it the isolation that is released here? Defender has said of it that it succeeded; a list may lag. */
static bool is_ended_here(const struct defender_action *a, const struct isolation_record *r)
{
    return r->action_id && strcasecmp(a->id, r->action_id) == 0;
}

/* What the machine's actions say: a release under way, ours that ended badly, a machine that is free. */
static void read_look(struct release *x, const struct defender_reads *look)
{
    const struct isolation_record *r = &x->t->row;
    char own[DEED_ID_SIZE];

    (void)deed_release_id(r->id, x->t->w.created, own);
    for (size_t i = 0; i < look->n_actions; i++) {
        const struct defender_action *a = &look->actions[i];
        bool ours = r->posted && a->type == DEFENDER_UNISOLATE &&
                    deed_is_own(a, own, x->t->w.created) && !is_older(a, look, r);

        if (defender_action_is_open(a)) {
            x->asked_again =
                x->asked_again || (a->type == DEFENDER_ISOLATE && !is_ended_here(a, r));
            if (a->type == DEFENDER_UNISOLATE && !x->action)
                x->action = a;
        } else if (ours && !x->action) {
            x->action = a;
        }
    }
    x->is_over = ledger_is_free(r, look);
    x->anew =
        x->action && x->action->status != DEFENDER_SUCCEEDED ? NULL : ledger_in_its_place(r, look);
    if (!r->by_rule || x->action || x->is_over || x->anew || x->asked_again)
        return;
    x->against = ledger_shadow(x->t->rt);
    if (!x->against)
        x->against = ledger_beside(r, look, x->t->arena);
    if (!x->against)
        x->against =
            ledger_come_since(x->t, x->t->w.created, r->keep_until == INT64_MAX, &x->waits);
}

/* The clock was set back: the request left at a time that is still to come. It rests from now on. */
static enum err_code rest_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct release *x = arg;
    struct ledger_turn *t = x->t;
    struct isolation_record r = t->row;
    enum err_code code;

    r.posted = t->now;
    code = isolation_move(tx, &r, ISOLATION_RELEASING, r.why, t->now, e);
    t->after = r;
    return code ? code : work_again(tx, &t->w, t->now + WORK_SETTLE_MS, t->w.attempts, e);
}

/* The next transaction writes it. */
static void mind_the_clock(struct release *x)
{
    struct ledger_turn *t = x->t;
    struct err off;

    (void)deed_check_clock(t->tenant, t->now, &t->row.ask_from, &off);
    if (!t->row.release_id && (!t->row.posted || !x->code)) /* else it is about what has left */
        deed_mind_the_pause(t->g, t->row.updated, t->now, &t->row.ask_from);
}

static void look_and_post(struct release *x)
{
    struct ledger_turn *t = x->t;
    int64_t rest = deed_rest_ms(t->g, t->row.posted, t->now);
    struct defender_reads look;
    struct err e;

    if (t->row.posted > t->now)
        write_outcome(x, rest_fn);
    else if (rest)
        engine_again(t->g, &t->w, rest);
    if (rest)
        return;
    defender_read(t->tenant->defender, NULL, t->row.machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS, &look);
    t->now = clock_wall_ms(t->g->clock);
    x->code = look.actions_code;
    x->why = look.actions_err;
    x->due =
        t->now + (x->code ? engine_backoff(t->w.attempts, x->why.retry_ms) : DEED_FOLLOW_MIN_MS);
    mind_the_clock(x);
    if (x->code && (t->row.posted ? is_given_up(x) : was_asked_for_long(t))) {
        write_outcome(x, give_up_fn);
        defender_reads_clear(&look);
        return;
    }
    if (!x->code)
        read_look(x, &look);
    /* A pause before this is seen by the wall clock, and one after it by whoever sends the request. */
    x->leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    if (!x->code && !grounds_are_young(look.read_ms, clock_wall_ms(t->g->clock)))
        engine_again(t->g, &t->w, 0);
    else if (ledger_write(t, looked_fn, x, &e))
        ledger_not_written(t, &e);
    else if (x->post)
        post(x);
    else
        ledger_moved(t, ISOLATION_RELEASING);
    defender_reads_clear(&look);
}

static enum err_code followed_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct release *x = arg;
    struct isolation_record r = x->t->row;
    enum err_code code = x->code ? postpone(tx, x, &r, e) : take(tx, x, &r, e);

    x->t->after = r;
    return code;
}

/* It has ended. Ours came to nothing: is the machine free all the same? Or it succeeded, some time ago: is it isolated
 * again? What the machine is is not said before it is seen; but how it ended is not kept from people for ever. */
static void look_beside(struct release *x, struct defender_reads *look)
{
    struct ledger_turn *t = x->t;
    bool succeeded = x->action->status == DEFENDER_SUCCEEDED;

    defender_read(t->tenant->defender, NULL, t->row.machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS, look);
    if (look->actions_code) {
        int64_t unseen = deed_looks_failed(t->row.unseen, &look->actions_err);

        if (deed_end_of(look->actions_code) == DEED_REFUSED || unseen > DEED_LOOKS_IN_VAIN)
            return;
        t->row.unseen = unseen; /* runs that failed for another reason do not count */
        t->w.attempts = unseen;
    }
    x->code = look->actions_code;
    x->why = look->actions_err;
    x->is_over = !x->code && ledger_is_free(&t->row, look);
    x->anew = succeeded ? ledger_in_its_place(&t->row, look) : NULL;
}

static void follow(struct release *x)
{
    struct ledger_turn *t = x->t;
    struct defender_action action = {0};
    struct defender_reads look = {0};
    int64_t age = t->now - t->w.created, wait = deed_follow_ms(age), backoff;

    x->code = defender_get_action(t->tenant->defender, DEFENDER_RELEASE, t->row.machine_id,
                                  t->row.release_id, &action, &x->why);
    x->action = &action;
    if (!x->code && !defender_action_is_open(&action) &&
        (action.status != DEFENDER_SUCCEEDED || deed_is_late(age)))
        look_beside(x, &look);
    t->now = clock_wall_ms(t->g->clock);
    backoff = engine_backoff(t->w.attempts, x->why.retry_ms);
    if (look.actions_code &&
        backoff < wait) /* that it could not be seen is no reason to look later */
        wait = backoff;
    x->due = t->now + (wait > x->why.retry_ms ? wait : x->why.retry_ms);
    mind_the_clock(x);
    if (is_given_up(x) && (x->code || defender_action_is_open(&action))) {
        (void)err_set(&x->why, ERR_REFUSED, "Defender did not say how it ended for four days");
        write_outcome(x, give_up_fn);
    } else {
        write_outcome(x, followed_fn);
    }
    defender_reads_clear(&look);
}

/* Nobody can ask Defender now. The tenant may come back; but not for ever, and who ordered the release hears of it. */
static void wait_for_tenant(struct release *x)
{
    struct ledger_turn *t = x->t;
    bool asked = t->row.posted || t->row.release_id;

    x->code = err_set(&x->why, ERR_REFUSED, "tenant '%s' is no longer configured", t->row.tenant);
    mind_the_clock(x);
    x->due = t->now + engine_backoff(t->w.attempts, 0);
    write_outcome(x, (asked ? is_given_up(x) : was_asked_for_long(t)) ? give_up_fn : looked_fn);
}

void release_run(struct ledger_turn *t)
{
    struct release x = {.t = t};

    if (!t->tenant)
        wait_for_tenant(&x);
    else if (t->row.release_id)
        follow(&x);
    else
        look_and_post(&x);
}
