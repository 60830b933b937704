/* releasing.c - see releasing.h. */
#include "releasing.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "id.h"
#include "log.h"

/* What must be left of the lease when a POST begins: the rest is for its way to the wire. */
#define POST_ROOM_MS (WORK_POST_LEASE_MS - WORK_LEAVE_MS)
/* Who ordered it is told after so long that nothing came of it. */
#define ASK_FOR_MS HOUR_MS
/* An absent machine is released when it comes back, within about 3 days (section 4.5). */
#define FOLLOW_FOR_MS (4 * DAY_MS)
#define FOLLOW_MIN_MS SECOND_MS
#define FOLLOW_MAX_MS (15 * MINUTE_MS)
/* How far our clock and Defender's may differ. */
#define SKEW_MS (5 * MINUTE_MS)

struct release {
    struct ledger_turn *t;
    enum err_code code;
    struct err why;
    const struct defender_action *action; /* of the POST, or followed, or adopted */
    bool is_over;                         /* Defender's newest action that succeeded is a release */
    bool asked_again;                     /* somebody has another isolation under way */
    bool post;
    int64_t due;
    int64_t leave_by_ms; /* for the POST that the next transaction allows: clock_boot_ms */
};

enum err_code release_order(struct db_tx *tx, struct arena *a, struct isolation_record *r,
                            const char *why, int64_t now, struct err *e)
{
    enum err_code code;

    r->posted = 0;
    r->release_id = NULL;
    r->release_why = why;
    code = isolation_move(tx, r, ISOLATION_RELEASING, why, now, e);
    return code ? code : ledger_take(tx, a, r, now, e);
}

static const char *own_id(const struct isolation_record *r, char out[ID_TEXT_SIZE + 24])
{
    char id[ID_TEXT_SIZE];

    (void)snprintf(out, ID_TEXT_SIZE + 24, "cordon-release-%s", id_format(r->id, id));
    return out;
}

/* ---- what a run came to, inside a transaction ------------------------------------------------------- */

/* Not yet: the same state, again at x->due. */
static enum err_code postpone(struct db_tx *tx, struct release *x, struct isolation_record *r,
                              struct err *e)
{
    enum err_code code = isolation_move(tx, r, ISOLATION_RELEASING, x->why.text, x->t->now, e);

    return code ? code : work_again(tx, &x->t->w, x->due, x->t->w.attempts, e);
}

static enum err_code end(struct db_tx *tx, struct release *x, struct isolation_record *r,
                         enum isolation_state to, const char *why, struct err *e)
{
    struct ledger_turn *t = x->t;
    enum err_code code = work_again(tx, &t->w, t->now, 0, e);

    r->posted = 0;
    if (to == ISOLATION_ISOLATED) { /* as before: people are asked again at its time */
        r->reminded = 0;
        r->review = t->now + policy_review(t->rt->config->policy);
    }
    if (!code)
        code = isolation_move(tx, r, to, why, t->now, e);
    if (!code)
        code =
            ledger_tell(tx, t, r, to == ISOLATION_RELEASED ? NOTICE_RELEASED : NOTICE_NOT_RELEASED,
                        why, NULL, e);
    return code ? code : ledger_take(tx, t->arena, r, t->now, e);
}

/* Defender's action is known, and how it stands. */
static enum err_code take(struct db_tx *tx, struct release *x, struct isolation_record *r,
                          struct err *e)
{
    const struct defender_action *a = x->action;

    r->release_id = a->id;
    r->posted = 0;
    if (a->status == DEFENDER_SUCCEEDED)
        return end(tx, x, r, ISOLATION_RELEASED, r->release_why, e);
    if (defender_action_is_open(a)) {
        (void)err_set(&x->why, ERR_AGAIN, "%s", a->status_text);
        return postpone(tx, x, r, e);
    }
    return end(tx, x, r, ISOLATION_ISOLATED,
               a->status == DEFENDER_TIME_OUT
                   ? "the machine stayed offline: Defender gave up (TimeOut)"
               : a->status == DEFENDER_CANCELLED ? "somebody cancelled it at Defender"
                                                 : "the machine could not do it (Failed)",
               e);
}

static enum err_code posted_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct release *x = arg;
    struct isolation_record r = x->t->row;
    enum err_code code;

    switch (x->code) {
    case ERR_OK:
        code = take(tx, x, &r, e);
        break;
    case ERR_UNKNOWN: /* it may have been carried out: look, but not before it can be seen */
        r.posted = x->t->now;
        x->due = x->t->now + WORK_SETTLE_MS;
        code = postpone(tx, x, &r, e);
        break;
    case ERR_CONFLICT:
    case ERR_DENIED:
    case ERR_AGAIN:
    case ERR_THROTTLED:
    case ERR_TIMEOUT:
    case ERR_IO:
    case ERR_NOMEM:
    case ERR_STOPPING:
        r.posted = 0;
        code = postpone(tx, x, &r, e);
        break;
    default:
        code = end(tx, x, &r, ISOLATION_ISOLATED, x->why.text, e);
    }
    x->t->after = r;
    return code;
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
    } else if (x->is_over) {
        code = end(tx, x, &r, ISOLATION_RELEASED, "released at Defender", e);
    } else if (x->asked_again) {
        code =
            end(tx, x, &r, ISOLATION_ISOLATED, "Defender has another isolation of it under way", e);
    } else if (t->now - t->w.created >= ASK_FOR_MS) {
        code = end(tx, x, &r, ISOLATION_ISOLATED,
                   arena_fmt(t->arena, "Defender took no request for an hour: %s",
                             r.why ? r.why : "no answer"),
                   e);
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
    char own[ID_TEXT_SIZE + 24];

    if (!engine_post_begins(t->g, t->row.id)) { /* see ledger_run */
        log_event(LOG_WARN, "post_abandoned", LOG_ID("isolation", t->row.id));
        return;
    }
    log_event(LOG_INFO, "release_post", LOG_ID("isolation", t->row.id),
              LOG_STR("machine", t->row.machine_id), LOG_STR("why", t->row.release_why));
    /* A process that slept through its lease must not send: somebody else may hold it now. */
    if (clock_wall_ms(t->g->clock) > t->w.lease_end - POST_ROOM_MS)
        x->code = err_set(&x->why, ERR_AGAIN, "this process was stopped for too long");
    else
        x->code = defender_unisolate(
            t->tenant->defender, t->row.machine_id,
            arena_fmt(t->arena, "cordon: %s", t->row.release_why ? t->row.release_why : "release"),
            own_id(&t->row, own), x->leave_by_ms, &action, &x->why);
    if (!x->code && strcasecmp(action.machine_id, t->row.machine_id) != 0)
        x->code = err_set(&x->why, ERR_UNKNOWN, "Defender answered with an action on machine %s",
                          action.machine_id);
    x->action = &action;
    t->now = clock_wall_ms(t->g->clock);
    x->due = t->now + (x->code ? engine_backoff(t->w.attempts, x->why.retry_ms) : FOLLOW_MIN_MS);
    write_outcome(x, posted_fn);
    engine_post_ended(t->g, t->row.id);
}

/* ---- a run ---------------------------------------------------------------------------------------- */

/* What the machine's actions say: a release under way, ours that ended badly, a machine that is free. */
static void read_look(struct release *x, const struct defender_reads *look)
{
    const struct isolation_record *r = &x->t->row;
    bool settled = false;
    char own[ID_TEXT_SIZE + 24];

    for (size_t i = 0; i < look->n_actions; i++) {
        const struct defender_action *a = &look->actions[i];
        bool ours = r->posted && a->type == DEFENDER_UNISOLATE &&
                    (a->external_id[0] ? strcmp(a->external_id, own_id(r, own)) == 0
                                       : a->created_ms >= x->t->w.created - SKEW_MS);

        if (defender_action_is_open(a)) {
            x->asked_again = x->asked_again || a->type == DEFENDER_ISOLATE;
            if (a->type == DEFENDER_UNISOLATE && !x->action)
                x->action = a;
        } else if (ours && !x->action) {
            x->action = a;
        }
        if (a->status == DEFENDER_SUCCEEDED && !settled) {
            settled = true;
            x->is_over = a->type == DEFENDER_UNISOLATE;
        }
    }
}

static void look_and_post(struct release *x)
{
    struct ledger_turn *t = x->t;
    struct defender_reads look;
    struct err e;

    if (t->row.posted && t->now < t->row.posted + WORK_SETTLE_MS) {
        int64_t rest = t->row.posted + WORK_SETTLE_MS - t->now;

        engine_again(t->g, &t->w, rest < WORK_SETTLE_MS ? rest : WORK_SETTLE_MS);
        return;
    }
    defender_read(t->tenant->defender, NULL, t->row.machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS, &look);
    t->now = clock_wall_ms(t->g->clock);
    x->code = look.actions_code;
    x->why = look.actions_err;
    x->due = t->now + (x->code ? engine_backoff(t->w.attempts, x->why.retry_ms) : FOLLOW_MIN_MS);
    if (x->code && t->now - t->w.created >= (t->row.posted ? FOLLOW_FOR_MS : ASK_FOR_MS)) {
        write_outcome(x, give_up_fn);
        defender_reads_clear(&look);
        return;
    }
    if (!x->code)
        read_look(x, &look);
    x->leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    if (ledger_write(t, looked_fn, x, &e))
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

static void follow(struct release *x)
{
    struct ledger_turn *t = x->t;
    struct defender_action action = {0};
    int64_t age = t->now - t->w.created;
    int64_t wait = age < 0 /* the clock was set back */ ? MINUTE_MS
                   : age / 2 < FOLLOW_MIN_MS            ? FOLLOW_MIN_MS
                   : age / 2 > FOLLOW_MAX_MS            ? FOLLOW_MAX_MS
                                                        : age / 2;

    x->code = defender_get_action(t->tenant->defender, t->row.release_id, &action, &x->why);
    x->action = &action;
    t->now = clock_wall_ms(t->g->clock);
    x->due = t->now + (wait > x->why.retry_ms ? wait : x->why.retry_ms);
    if (age > FOLLOW_FOR_MS && (x->code || defender_action_is_open(&action))) {
        (void)err_set(&x->why, ERR_REFUSED, "Defender did not say how it ended for four days");
        write_outcome(x, give_up_fn);
    } else {
        write_outcome(x, followed_fn);
    }
}

void release_run(struct ledger_turn *t)
{
    struct release x = {.t = t};

    if (t->row.release_id)
        follow(&x);
    else
        look_and_post(&x);
}
