/* isolation.c - see isolation.h.
 *
 * The order that makes a second POST impossible:
 *   1. look     read the machine's actions; an open or finished isolation is adopted
 *   2. intent   one transaction: the row (the unique index lets one in), `posted` set, the lease taken
 *   3. POST     by the process that holds the lease, soon after 2 or not at all
 *   4. record   one transaction: the action's id, or what went wrong
 * A crash after 2 leaves a row with `posted` and no action: whoever runs it waits until WORK_SETTLE_MS
 * after `posted` and after the crash, when a request that had left must be visible or lost, and begins
 * again with 1. `posted` moves to the moment of giving up when an answer was waited for in vain.
 *
 * Among replicas nobody knows that the other one crashed: it may be stopped, or cut off from the database and
 * not from Defender. So the lease that 2 takes lasts as long as a request of it could be under way (store_work.h,
 * WORK_POST_LEASE_MS), and a process that was stopped between 2 and 3 finds out by a clock that went on
 * meanwhile, at the last moment that libcurl shows us: when connected, right before the request is written. What
 * is left is being stopped for a minute and a half within that write.
 *
 * When many wait, a case leaves 1 to 4 to the isolation's own run: its row is the intent, `posted` is not
 * set. Such a run takes as many rows as there are, reads their machines' actions in one list, and goes through
 * 2 to 4 for each, as long as the tenant's budget lasts; and it reads how those that are under way stand
 * in one list as well.
 */
#include "isolation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "brakes.h"
#include "grounds.h"
#include "id.h"
#include "ledger.h"
#include "log.h"
#include "notice.h"
#include "pause.h"
#include "policy.h"
#include "work.h"

/* What must be left of the lease when a POST begins: the rest is for its way to the wire. */
#define POST_ROOM_MS (WORK_POST_LEASE_MS - WORK_LEAVE_MS)
/* The verdict stands on facts read live; an hour later it is no ground to act on any more. */
#define ASK_FOR_MS HOUR_MS
/* Defender gives up on an absent machine after about 3 days (section 4.5); then it says TimeOut itself. */
#define FOLLOW_FOR_MS (4 * DAY_MS)
/* Before that people are told, while they can still go and look for it. */
#define LAPSING_MS (60 * HOUR_MS)
/* How often a pending action is looked at: every half of its age, between these. */
#define FOLLOW_MIN_MS SECOND_MS
#define FOLLOW_MAX_MS (15 * MINUTE_MS)

/* How far our clock and Defender's may differ: an action is older than our request only beyond that. */
#define SKEW_MS (5 * MINUTE_MS)

/* An isolation of the ledger's that Defender lists nothing of, neither it nor a release, is a doubt and no
 * reason to ask again; but not for ever, as nobody says for how long actions are listed. */
#define FORGET_MS (30 * DAY_MS)

#define CASES_AT_ONCE 200 /* cases settled per query */

/* Isolations that one run sees to when many wait. A POST each, one after the other: no more than leave
 * within LOOK_FRESH_MS at a usual pace, which is what a minute allows. */
#define ROWS_AT_ONCE 100
/* An older look is no ground for a POST. */
#define LOOK_FRESH_MS MINUTE_MS
/* When there are many, they are seen to together, at the same moments; less often when the tenant's calls
 * are getting scarce. */
#define GRID_MS      (SECOND_MS / 2)
#define GRID_BUSY_MS (3 * SECOND_MS)
/* Those of cases that are judged one after the other wait for the last of them, but not longer than that. */
#define TOGETHER_MS (10 * SECOND_MS)
/* So long before people are told that it takes long, an isolation waits by itself. */
#define TOGETHER_EARLY_MS (2 * MINUTE_MS)
#define FOLLOW_CROWD_MS   (10 * SECOND_MS)
#define FOLLOW_BUSY_MS    MINUTE_MS
/* Until then the look before the request still counts: those of a storm are asked after together once a minute or two. */
#define LOOKED_MS (3 * MINUTE_MS)
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
/* An isolation that was confirmed so lately is joined without a look while many cases wait, for the look would be one
 * call for each of them, and joining asks Defender for nothing. Longer would be to say what may have changed. */
#define JOIN_CROWD_MS MINUTE_MS
#define JOIN_SOON_MS  (MINUTE_MS / 2) /* by the time it is a case's turn, it may be longer ago */
#define BUSY          300             /* per mille: quota_pressure */
#define MIN_WAIT_MS   (SECOND_MS / 10)
#define SEVERAL       5  /* others that wait, and it is one of many */
#define MANY          25 /* so many within a minute, and calls will be scarce */

enum finding {
    FOUND_NONE,     /* not isolated, nothing under way: a POST is right */
    FOUND_ISOLATE,  /* an isolation is open or in force: adopt it */
    FOUND_RELEASING /* somebody is releasing the machine: never against a person */
};

/* What the newest actions say (section 4.5). An open action decides before any that ended; a status
 * nobody knows counts as open: in doubt nothing is posted. */
static enum finding find(const struct defender_reads *look, const struct defender_action **ret)
{
    *ret = NULL;
    for (size_t i = 0; i < look->n_actions; i++) {
        const struct defender_action *a = &look->actions[i];

        if (a->type != DEFENDER_OTHER && defender_action_is_open(a)) {
            *ret = a;
            return a->type == DEFENDER_ISOLATE ? FOUND_ISOLATE : FOUND_RELEASING;
        }
    }
    for (size_t i = 0; i < look->n_actions; i++) {
        const struct defender_action *a = &look->actions[i];

        if (a->type != DEFENDER_OTHER && a->status == DEFENDER_SUCCEEDED) {
            *ret = a;
            return a->type == DEFENDER_ISOLATE ? FOUND_ISOLATE : FOUND_NONE;
        }
    }
    return FOUND_NONE;
}

/* Does the newest action that succeeded say that the machine is isolated? */
static bool is_in_force(const struct defender_reads *look)
{
    for (size_t i = 0; i < look->n_actions; i++)
        if (look->actions[i].type != DEFENDER_OTHER &&
            look->actions[i].status == DEFENDER_SUCCEEDED)
            return look->actions[i].type == DEFENDER_ISOLATE;
    return false;
}

/* A list may lag behind what Defender has said of an action by its id. */
static const struct defender_action *find_listed(const struct defender_reads *look,
                                                 const char *action_id)
{
    for (size_t i = 0; i < look->n_actions && action_id; i++)
        if (strcasecmp(look->actions[i].id, action_id) == 0)
            return &look->actions[i];
    return NULL;
}

/* Does the look know more than the row? Not if it was taken before the row was written; and if it does
 * not list the row's own action, or still calls it open, only when it is too late for a lag. */
static bool is_newer(const struct defender_reads *look, const struct isolation_record *r)
{
    const struct defender_action *own = find_listed(look, r->action_id);
    bool lags = !own || (r->state == ISOLATION_ISOLATED && defender_action_is_open(own));

    return look->read_ms > r->updated + (lags ? WORK_SETTLE_MS : 0);
}

/* One isolation at work: what the transactions below share. */
struct episode {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant;
    struct arena *arena;
    struct work w; /* the isolation's claim */
    struct isolation_record row;
    struct isolation_record after; /* what a transaction makes of it, once it went through (save) */
    int64_t now, due;
    int64_t leave_by_ms; /* for the POST that the next transaction allows: clock_boot_ms */
    /* an answer of Defender's */
    enum finding finding;
    const struct defender_action *action;
    const struct defender_action *own; /* of an unanswered request of ours, if it is listed */
    struct grounds *grounds;           /* for a POST */
    enum err_code code;
    struct err why;
    bool post;     /* a look found nothing: post now */
    bool released; /* the action that is followed succeeded, and a release after it did, too */
    bool crowded;  /* one of many */
};

/* The next of the moments at which those that wait are seen to together. */
static int64_t next_moment(const struct runtime_tenant *tenant, int64_t due)
{
    int64_t grid = quota_pressure(tenant->quota) > BUSY ? GRID_BUSY_MS : GRID_MS;

    return (due + grid - 1) / grid * grid;
}

/* When to look at it again after wait_ms: together with the others, when there are many. */
static int64_t follow_due(const struct episode *x, int64_t wait_ms)
{
    int64_t grid;

    if (!x->crowded)
        return x->now + wait_ms;
    /* Calls that others wait for, to be isolated at all, are not spent on asking how it goes. */
    grid = quota_pressure(x->tenant->quota) > BUSY ? FOLLOW_BUSY_MS : FOLLOW_CROWD_MS;
    if (wait_ms < grid)
        wait_ms = grid;
    return (x->now + wait_ms + grid - 1) / grid * grid;
}

static const char *own_id(const struct isolation_record *r, char out[ID_TEXT_SIZE + 8])
{
    char id[ID_TEXT_SIZE];

    (void)snprintf(out, ID_TEXT_SIZE + 8, "cordon-%s", id_format(r->id, id));
    return out;
}

/* What became of a request whose answer was lost: the action with our id or, where ids do not come
 * back (section 4.1: undocumented), an isolation made since we first asked. NULL: none is listed. */
static const struct defender_action *find_own(const struct defender_reads *look,
                                              const struct isolation_record *r)
{
    char own[ID_TEXT_SIZE + 8];

    for (size_t i = 0; i < look->n_actions && r->posted; i++) {
        const struct defender_action *a = &look->actions[i];

        if (a->type == DEFENDER_ISOLATE &&
            (a->external_id[0] ? strcmp(a->external_id, own_id(r, own)) == 0
                               : a->created_ms >= r->requested - SKEW_MS))
            return a;
    }
    return NULL;
}

static const char *end_words(const struct defender_action *a)
{
    return a->status == DEFENDER_TIME_OUT ? "the machine stayed offline: Defender gave up (TimeOut)"
           : a->status == DEFENDER_CANCELLED ? "somebody cancelled it at Defender"
                                             : "the machine could not do it (Failed)";
}

/* Fills r with Defender's action: ours, or adopted from somebody else. */
static enum isolation_state adopt(struct isolation_record *r, const struct defender_action *a)
{
    char own[ID_TEXT_SIZE + 8];

    r->action_id = a->id;
    r->requestor = a->requestor[0] ? a->requestor : NULL;
    /* Ours when it carries our id; without one, when it was made after our POST left. */
    r->adopted = a->external_id[0] ? strcmp(a->external_id, own_id(r, own)) != 0
                                   : !r->posted || a->created_ms < r->requested - SKEW_MS;
    r->posted = 0;
    return a->status == DEFENDER_SUCCEEDED ? ISOLATION_ISOLATED : ISOLATION_PENDING;
}

static void log_isolation(enum log_level level, const struct isolation_record *r, const char *event)
{
    log_event(r->state == ISOLATION_FAILED ? LOG_WARN : level, event, LOG_ID("isolation", r->id),
              LOG_ID("case", r->case_id), LOG_STR("tenant", r->tenant),
              LOG_STR("machine", r->machine_id), LOG_STR("state", isolation_state_name(r->state)),
              LOG_STR("action", r->action_id), LOG_BOOL("adopted", r->adopted),
              LOG_STR("why", r->why));
}

/* ---- inside a transaction: what an isolation's end means for its cases ------------------------- */

static enum err_code settle_cases(struct db_tx *tx, struct episode *x, struct err *e)
{
    struct case_filter waiting = {
        .isolation = x->row.id, .state = case_state_name(CASE_WAITING), .limit = CASES_AT_ONCE};
    struct case_record *cases;
    size_t n;
    enum err_code code;

    do {
        code = case_list(tx, x->arena, &waiting, &cases, &n, e);
        for (size_t i = 0; i < n && !code; i++) {
            struct case_record c;

            waiting.after_id = cases[i].id; /* one that waits for a person stays */
            code = case_load(tx, x->arena, cases[i].id, &c, e); /* with its facts */
            if (!code)
                code = act_settle(tx, x->g, x->rt, x->arena, &c, x->now, e);
        }
    } while (!code && n == CASES_AT_ONCE);
    return code;
}

/* Moves the row; when it is settled by that, its cases go on and its work ends. */
static enum err_code move(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                          enum isolation_state to, const char *why, struct err *e)
{
    enum err_code code;

    if (to == ISOLATION_ISOLATED && !r->review)
        r->review = x->now + policy_review(x->rt->config->policy);
    code = isolation_move(tx, r, to, why, x->now, e);
    if (code)
        return code;
    if (!isolation_is_settled(to))
        return work_again(tx, &x->w, x->due, 0, e);
    code = settle_cases(tx, x, e);
    if (!code)
        code = work_again(tx, &x->w, x->now, 0, e);
    return code ? code : ledger_take(tx, x->arena, r, x->now, e);
}

/* Tells those who wait: that it takes long, once; that Defender is about to give up, once; or that it has taken
 * the request, if they heard last that it has not. */
static enum err_code tell_waiting(struct db_tx *tx, struct episode *x,
                                  const struct isolation_record *r, enum notice_kind kind,
                                  struct err *e)
{
    struct case_filter waiting = {
        .isolation = x->row.id, .state = case_state_name(CASE_WAITING), .limit = CASES_AT_ONCE};
    struct case_record *cases;
    size_t n;
    enum err_code code;

    do {
        code = case_list(tx, x->arena, &waiting, &cases, &n, e);
        for (size_t i = 0; i < n && !code; i++) {
            struct notice notice = {.kind = kind, .isolation = r, .c = &cases[i]};

            waiting.after_id = cases[i].id;
            if (kind == NOTICE_LAPSING
                    ? notice_was_told(&cases[i], kind)
                    : notice_was_told(&cases[i], NOTICE_LATE) == (kind == NOTICE_LATE))
                continue;
            if (kind == NOTICE_LATE)
                notice.why = notice_not_yet(x->arena, x->why.text);
            else if (kind == NOTICE_LAPSING)
                notice.why = "offline for two and a half days, Defender gives up after three";
            code = notice_put(tx, x->g, x->rt, x->arena, &notice, x->now, e);
        }
    } while (!code && n == CASES_AT_ONCE);
    return code;
}

/* Not yet: the same state, tried again at x->due; people who wait too long are told. */
static enum err_code postpone(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                              struct err *e)
{
    int64_t due = x->due;
    enum err_code code = isolation_move(tx, r, r->state, x->why.text, x->now, e);

    if (r->state == ISOLATION_REQUESTED) {
        due = engine_late_due(x->now, due, r->requested);
        if (!code && x->now - r->requested >= ENGINE_LATE_MS)
            code = tell_waiting(tx, x, r, NOTICE_LATE, e);
    }
    return code ? code : work_again(tx, &x->w, due, engine_attempts_after(&x->w, &x->why), e);
}

/* After a transaction: what changed is logged and counted, and whoever waits is woken. */
static void announce(struct episode *x, enum isolation_state before)
{
    bool moved = x->row.state != before;

    log_isolation(moved ? LOG_INFO : LOG_DEBUG, &x->row, "isolation");
    if (moved && isolation_is_settled(x->row.state))
        metrics_add(x->g->metrics, METRIC_ISOLATIONS_ENDED, 1, x->row.tenant,
                    isolation_state_name(x->row.state));
    engine_kick(x->g);
}

/* Runs one of the transactions that fill x->after. They may run twice, so they leave x->row as they found it. */
static enum err_code save(struct episode *x, db_fn fn, struct err *e)
{
    enum err_code code = db_write(x->g->store->db, fn, x, e);

    if (!code)
        x->row = x->after;
    return code;
}

static void write_outcome(struct episode *x, db_fn fn)
{
    enum isolation_state before = x->row.state;
    struct err e;

    if (save(x, fn, &e)) {
        /* Nothing is lost: `posted` stands in the row, so the next run looks before it asks. */
        log_event(LOG_ERROR, "isolation_not_written", LOG_ID("isolation", x->row.id), LOG_ERR(&e));
        engine_again(x->g, &x->w, engine_backoff(x->w.attempts, 0));
        return;
    }
    announce(x, before);
}

/* ---- 3 and 4: the POST and its record ---------------------------------------------------------- */

static enum err_code posted_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code;

    switch (x->code) {
    case ERR_OK:
        code = move(tx, x, &r, adopt(&r, x->action), NULL, e);
        if (!code && r.state == ISOLATION_PENDING)
            code = tell_waiting(tx, x, &r, NOTICE_REQUESTED, e);
        break;
    case ERR_UNKNOWN: /* it may have been carried out: look, but not before it can be seen */
        r.posted = x->now;
        x->due = x->now + WORK_SETTLE_MS;
        code = postpone(tx, x, &r, e);
        break;
    case ERR_CONFLICT: /* the same action is under way: the look will find it */
    case ERR_DENIED:   /* an expired secret; it was not carried out */
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
        r.posted = 0;
        code = move(tx, x, &r, ISOLATION_FAILED, x->why.text, e);
    }
    x->after = r;
    return code;
}

static void post(struct episode *x)
{
    struct defender_action action = {0};
    char own[ID_TEXT_SIZE + 8];

    if (!engine_post_begins(x->g, x->row.id)) { /* see isolation_run */
        log_event(LOG_WARN, "post_abandoned", LOG_ID("isolation", x->row.id));
        return;
    }
    log_isolation(LOG_INFO, &x->row, "isolate_post");
    /* A process that slept through its lease must not send: somebody else may hold it now. */
    if (clock_wall_ms(x->g->clock) > x->w.lease_end - POST_ROOM_MS)
        x->code = err_set(&x->why, ERR_AGAIN, "this process was stopped for too long");
    else
        x->code =
            defender_isolate(x->tenant->defender, x->row.machine_id, x->row.type, x->row.comment,
                             own_id(&x->row, own), x->leave_by_ms, &action, &x->why);
    if (!x->code && strcasecmp(action.machine_id, x->row.machine_id) != 0)
        x->code = err_set(&x->why, ERR_UNKNOWN, "Defender answered with an action on machine %s",
                          action.machine_id);
    x->action = &action;
    x->now = clock_wall_ms(x->g->clock);
    x->due = x->code ? x->now + engine_wait_after(&x->w, &x->why) : follow_due(x, FOLLOW_MIN_MS);
    write_outcome(x, posted_fn);
    engine_post_ended(x->g, x->row.id);
}

/* ---- 1 and 2, for a case: the handler's part --------------------------------------------------- */

struct request {
    struct step *s;
    struct episode x;
    const char *type, *comment;
    const struct defender_reads *look;
    struct runtime *rt; /* the configuration in force now; the step's may be older */
    struct approval approval;
    enum outcome outcome;
    bool later;     /* many wait: the row is made, and its own run looks and asks */
    bool unsettled; /* but the machine has a row that only a look can tell about */
    bool begun;     /* the row is new */
};

/* The transaction goes through, with nothing asked for. why: words for people. */
static enum err_code refuse(struct request *q, const char *why)
{
    q->outcome = OUTCOME_REFUSED;
    (void)err_set(&q->x.why, ERR_REFUSED, "%s", why);
    return ERR_OK;
}

/* Why no isolation may be asked for now; *ret NULL: it may. Of the configuration in force. */
static enum err_code find_pause(struct db_tx *tx, const struct runtime *rt, struct arena *arena,
                                const char **ret, struct err *e)
{
    struct pause p;
    enum err_code code = pause_read(tx, rt, arena, &p, e);

    if (!code)
        *ret = p.on ? pause_words(&p, arena) : NULL;
    return code;
}

static enum err_code check_pause(struct db_tx *tx, struct request *q, struct err *e)
{
    const char *paused = NULL;
    enum err_code code = find_pause(tx, q->rt, q->x.arena, &paused, e);

    if (code || !paused)
        return code;
    (void)refuse(q, paused);
    q->outcome = OUTCOME_WITHHELD;
    return ERR_OK;
}

static struct braking braking_of(const struct request *q)
{
    return (struct braking){.rt = q->rt,
                            .c = q->s->c,
                            .facts = q->s->facts,
                            .approval = &q->approval,
                            .arena = q->x.arena,
                            .now = q->x.now};
}

/* Does safety hold it back? Then the case waits for a person, and the claim has ended. */
static enum err_code check_brakes(struct db_tx *tx, struct request *q, struct err *e)
{
    const struct braking b = braking_of(q);
    struct question_hold hold;
    bool held = false;
    enum err_code code = brakes_check(tx, &b, &held, &hold, e);

    if (code || !held)
        return code;
    q->outcome = OUTCOME_WAITS;
    hold.action = strcmp(q->type, "Full") == 0 ? "isolate full" : "isolate selective";
    return question_hold(tx, q->s, q->rt, &hold, q->x.now, e);
}

/* No row is open for the machine: makes one, adopted from Defender or to be posted. */
static enum err_code begin(struct db_tx *tx, struct request *q, struct err *e)
{
    struct episode *x = &q->x;
    const struct step *s = q->s;
    const struct braking b = braking_of(q);
    struct isolation_record *r = &x->row;
    enum err_code code;

    *r = (struct isolation_record){
        .id = id_new(x->g->clock),
        .case_id = s->c->id,
        .tenant = s->c->tenant,
        .machine_id = s->c->machine_id,
        .machine_name = json_get_string(s->facts->machine, "computerDnsName"),
        .type = q->type,
        .comment = q->comment,
        .rule = s->c->rule,
        .state = ISOLATION_REQUESTED,
        .requested = x->now,
        .updated = x->now,
    };
    if (x->finding == FOUND_ISOLATE) {
        r->state = adopt(r, x->action);
        if (r->state == ISOLATION_ISOLATED) {
            r->confirmed = x->now;
            r->review = x->now + policy_review(q->rt->config->policy);
        }
        code = isolation_insert(tx, r, e);
        if (!code && r->state == ISOLATION_ISOLATED)
            code = ledger_take(tx, s->arena, r, x->now, e);
        if (!code && r->state == ISOLATION_PENDING)
            code = work_put(tx, r->id, WORK_ISOLATION, WORK_URGENT, x->now + FOLLOW_MIN_MS, x->now,
                            NULL, e);
        return code;
    }
    if (x->grounds && x->grounds->code) {
        q->outcome = x->grounds->code == ERR_REFUSED ? OUTCOME_WITHHELD : OUTCOME_RETRY;
        x->why = x->grounds->why;
        return ERR_OK;
    }
    code = check_pause(tx, q, e);
    if (!code && q->outcome == OUTCOME_DONE)
        code = check_brakes(tx, q, e);
    if (code || q->outcome != OUTCOME_DONE)
        return code;
    if (!q->later) {
        r->posted = x->now;
        x->post = true;
    }
    code = isolation_insert(tx, r, e);
    if (!code)
        code = brakes_count(tx, &b, r->id, e);
    if (!code && q->later)
        return work_put(tx, r->id, WORK_ISOLATION, WORK_URGENT,
                        next_moment(x->tenant, x->now + TOGETHER_MS), x->now, NULL, e);
    return code ? code : work_put(tx, r->id, WORK_ISOLATION, WORK_URGENT, x->now, x->now, &x->w, e);
}

/* Neither under way nor found to be isolated lately: what the ledger says of it may have changed at Defender. */
static bool is_settled_for_long(const struct isolation_record *r, int64_t now, int64_t long_ms)
{
    return r->state != ISOLATION_REQUESTED && r->state != ISOLATION_PENDING &&
           (r->state != ISOLATION_ISOLATED || now < r->updated || now - r->updated >= long_ms);
}

/* The machine has an open row: what the look says of it. *ret_begin: it is over, make a new one. */
static enum err_code join(struct db_tx *tx, struct request *q, struct isolation_record *r,
                          bool *ret_begin, struct err *e)
{
    struct episode *x = &q->x;
    bool newer = is_newer(q->look, r);
    /* Isolated, says the ledger, but it was released since, and somebody has asked anew: not yet. */
    bool renewed = x->finding == FOUND_ISOLATE && r->state == ISOLATION_ISOLATED && newer &&
                   !is_in_force(q->look);
    enum err_code code;

    x->row = *r;
    if (q->later && is_settled_for_long(r, x->now, JOIN_CROWD_MS)) {
        q->unsettled = true;
        q->outcome = OUTCOME_RETRY;
        return ERR_OK;
    }
    if (q->later) /* its own run is due, together with others' */
        return ERR_OK;
    if ((x->finding == FOUND_ISOLATE && !renewed) || r->state == ISOLATION_REQUESTED || !newer)
        return work_wake(tx, r->id, x->now, e); /* its own work finds the same, and records it */
    if (r->state == ISOLATION_PENDING) {
        q->outcome = OUTCOME_RETRY;
        (void)err_set(&x->why, ERR_AGAIN, "an earlier isolation of this machine is just ending");
        return work_wake(tx, r->id, x->now, e);
    }
    if (r->state == ISOLATION_RELEASING)
        return refuse(q, "the machine is being released");
    if (!x->action && x->now - r->updated < FORGET_MS)
        return refuse(q, "cordon knows of an isolation that Defender does not list: a doubt");
    *ret_begin = true; /* isolated, says the ledger, but Defender knows of a release */
    code = isolation_move(
        tx, r, ISOLATION_RELEASED,
        x->action ? "released at Defender" : "Defender lists no isolation any more", x->now, e);
    return code ? code : ledger_take(tx, q->s->arena, r, x->now, e);
}

static const struct defender_reads no_look = {.read_ms = 0};

static enum err_code request_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct request *q = arg;
    struct step *s = q->s;
    struct case_record c = *s->c;
    struct isolation_record open;
    struct work claim = *s->work;
    bool found = false, fresh = true;
    enum err_code code;

    q->outcome = OUTCOME_DONE;
    q->x.post = q->begun = false;
    q->x.finding = find(q->look, &q->x.action);
    if (q->x.finding == FOUND_RELEASING)
        return refuse(q, "somebody is releasing the machine at Defender");
    code = isolation_find_open(tx, s->arena, c.tenant, c.machine_id, &open, &found, e);
    if (!code && found) {
        fresh = false;
        code = join(tx, q, &open, &fresh, e);
    }
    if (!code && fresh)
        code = begin(tx, q, e);
    if (code || q->outcome != OUTCOME_DONE)
        return code;
    q->begun = fresh;
    code = case_join(tx, &c, q->x.row.id, e);
    if (!code && !q->x.row.case_id)
        code = isolation_give(tx, q->x.row.id, c.id, e);
    if (!code)
        code = step_move(tx, c.id, s->n, STEP_DONE,
                         found && !fresh ? "joined an open isolation" : NULL, q->x.now, e);
    return code ? code : work_keep(tx, &claim, q->x.now, e);
}

/* request_fn is on disk. */
static enum outcome requested(struct request *q, struct err *e)
{
    struct step *s = q->s;

    if (q->outcome == OUTCOME_WAITS) {
        engine_kick(s->engine);
        return OUTCOME_WAITS;
    }
    if (q->outcome != OUTCOME_DONE) {
        *e = q->x.why;
        return q->outcome;
    }
    s->written = true;
    s->c->isolation = q->x.row.id;
    s->work->lease_end = q->x.now + WORK_LEASE_MS;
    if (q->x.post) {
        post(&q->x);
    } else if (q->later && q->begun) {
        s->together->isolations[s->together->n++] = q->x.row.id;
        log_isolation(LOG_INFO, &q->x.row, "isolation_asked_for");
    } else {
        /* Of thousands of cases on a machine its own is the oldest, and would be the first to be forgotten. */
        if (q->x.row.case_id != s->c->id)
            engine_forget_judged(s->engine, s->c->id);
        log_isolation(LOG_INFO, &q->x.row, "isolation_joined");
    }
    return OUTCOME_DONE;
}

enum outcome isolation_request(struct step *s, const char *type, const char *comment, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(s->engine);
    struct runtime_tenant *tenant = runtime_tenant(rt, s->c->tenant);
    struct grounds grounds = {0};
    struct request q = {.s = s,
                        .type = type,
                        .comment = comment,
                        .rt = rt,
                        .x = {.g = s->engine,
                              .rt = s->runtime,
                              .tenant = tenant,
                              .arena = s->arena,
                              .crowded = s->together || engine_is_crowded(s->engine, WORK_CASE)}};
    bool same_policy;
    enum err_code code;

    if (!tenant) {
        (void)err_set(e, ERR_REFUSED, "tenant '%s' is no longer configured", s->c->tenant);
        return OUTCOME_REFUSED;
    }
    if (!s->c->machine_id) {
        (void)err_set(e, ERR_REFUSED, "the alert names no machine");
        return OUTCOME_REFUSED;
    }
    /* What was read with the facts serves, unless the policy changed since. */
    same_policy =
        strcmp(policy_hash(rt->config->policy), policy_hash(s->runtime->config->policy)) == 0;
    if (same_policy) {
        q.look = s->look;
        q.later = s->together && s->together->n < TOGETHER_MAX;
    }
    s->look = NULL; /* a look is good for one request */
    if (store_approval(s->engine->store, s->arena, s->c->id, &q.approval, e))
        return OUTCOME_RETRY;
    if (q.later) {
        q.look = &no_look;
        q.x.now = clock_wall_ms(s->engine->clock);
        if (step_write(s, request_fn, &q, e))
            return OUTCOME_RETRY;
        if (!q.unsettled)
            return requested(&q, e);
        q.later = false;
        q.look = NULL;
    }
    if (!q.look) {
        grounds_read(s->c, rt, tenant, type, s->opening.fn && same_policy, &q.approval, s->engine,
                     s->arena, &grounds);
        q.look = &grounds.look;
        q.x.grounds = &grounds;
        code = grounds.look.actions_code;
        if (code) {
            *e = grounds.look.actions_err;
            defender_reads_clear(&grounds.look);
            return code == ERR_FORBIDDEN || code == ERR_REFUSED || code == ERR_INVALID
                       ? OUTCOME_REFUSED
                       : OUTCOME_RETRY;
        }
    }
    q.x.now = clock_wall_ms(s->engine->clock);
    q.x.leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    if (step_write(s, request_fn, &q, e))
        q.outcome = OUTCOME_RETRY;
    else
        (void)requested(&q, e);
    defender_reads_clear(&grounds.look);
    return q.outcome;
}

struct needing {
    struct engine *g;
    const char *tenant, *machine_id;
    struct arena *arena;
    bool needs;
};

static enum err_code needs_look_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct needing *n = arg;
    struct isolation_record r;
    bool found = false;
    enum err_code code = isolation_find_open(tx, n->arena, n->tenant, n->machine_id, &r, &found, e);

    n->needs = !code && found &&
               is_settled_for_long(&r, clock_wall_ms(n->g->clock), JOIN_CROWD_MS - JOIN_SOON_MS);
    return code;
}

bool isolation_needs_look(struct engine *g, const char *tenant, const char *machine_id,
                          struct arena *a)
{
    struct needing n = {.g = g, .tenant = tenant, .machine_id = machine_id, .arena = a};

    return !db_read(g->store->db, needs_look_fn, &n, NULL) && n.needs;
}

struct waking {
    const struct together *t;
    int64_t due;
};

static enum err_code wake_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct waking *k = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < k->t->n && !code; i++)
        code = work_wake(tx, k->t->isolations[i], k->due, e);
    return code;
}

void isolation_begun_together(struct engine *g, const struct runtime_tenant *tenant,
                              const struct together *t)
{
    struct waking k = {.t = t, .due = next_moment(tenant, clock_wall_ms(g->clock))};
    struct err e;

    if (!t->n)
        return;
    if (db_write(g->store->db, wake_fn, &k,
                 &e)) /* then they are due a moment later, by themselves */
        log_event(LOG_WARN, "not_hurried", LOG_ERR(&e));
    engine_kick(g);
}

/* ---- an isolation's own runs ------------------------------------------------------------------- */

static enum err_code postpone_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code = postpone(tx, x, &r, e);

    x->after = r;
    return code;
}

static enum err_code fail_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code = move(tx, x, &r, ISOLATION_FAILED, x->why.text, e);

    x->after = r;
    return code;
}

static enum err_code looked_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    struct work w = x->w;
    const char *paused = NULL;
    enum err_code code = find_pause(tx, x->rt, x->arena, &paused, e);

    if (code)
        return code;
    x->post = false;
    if (x->finding == FOUND_ISOLATE) {
        code = move(tx, x, &r, adopt(&r, x->action), NULL, e);
    } else if (x->finding == FOUND_RELEASING) {
        code =
            move(tx, x, &r, ISOLATION_FAILED, "somebody is releasing the machine at Defender", e);
    } else if (x->own) { /* it came, and it ended */
        (void)adopt(&r, x->own);
        code = move(tx, x, &r, ISOLATION_FAILED, end_words(x->own), e);
    } else if (paused) { /* nothing is under way: nothing is begun */
        r.posted = 0;
        code = move(tx, x, &r, ISOLATION_FAILED, paused, e);
    } else if (x->grounds->code == ERR_REFUSED) {
        r.posted = 0;
        code = move(tx, x, &r, ISOLATION_FAILED, x->grounds->why.text, e);
    } else if (x->now - r.requested >= ASK_FOR_MS) {
        code = move(tx, x, &r, ISOLATION_FAILED,
                    arena_fmt(x->arena, "Defender took no request for an hour: %s",
                              r.why ? r.why : "no answer"),
                    e);
    } else if (x->grounds->code) {
        x->why = x->grounds->why;
        x->due = x->now + engine_wait_after(&x->w, &x->why);
        r.posted = 0; /* the look has shown that nothing came of it */
        code = postpone(tx, x, &r, e);
    } else {
        x->post = true;
        r.posted = x->now;
        code = isolation_move(tx, &r, ISOLATION_REQUESTED, r.why, x->now, e);
        if (!code)
            code = work_keep_for_post(tx, &w, x->now, e);
    }
    x->after = r;
    if (!code)
        x->w.lease_end = w.lease_end;
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
 * be under way. */
static bool is_over(struct episode *x)
{
    const struct isolation_record *r = &x->row;
    bool unknown = r->posted || r->state == ISOLATION_PENDING;

    if (x->now - r->requested < (unknown ? FOLLOW_FOR_MS : ASK_FOR_MS))
        return false;
    if (unknown)
        (void)err_in(&x->why, "it is not known whether the machine is isolated");
    return true;
}

/* A look was taken: what follows from it, the POST included. */
static void looked(struct episode *x, struct grounds *grounds)
{
    struct err e;

    x->grounds = grounds;
    x->finding = find(&grounds->look, &x->action);
    x->own = find_own(&grounds->look, &x->row);
    x->leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    if (save(x, looked_fn, &e)) {
        log_event(LOG_ERROR, "isolation_not_written", LOG_ID("isolation", x->row.id), LOG_ERR(&e));
        engine_again(x->g, &x->w, engine_backoff(x->w.attempts, 0));
    } else if (x->post) {
        post(x);
    } else {
        announce(x, ISOLATION_REQUESTED);
    }
}

static void not_looked(struct episode *x, const struct err *why)
{
    x->why = *why;
    x->due = x->now + engine_wait_after(&x->w, &x->why);
    write_outcome(x, is_over(x) ? fail_fn : postpone_fn);
}

/* The tenant's calls are used up until then: it waits, and that is no attempt. */
static void wait_for_budget(struct episode *x, int64_t wait_ms)
{
    struct err why;

    (void)err_set(&why, ERR_THROTTLED, "the tenant's calls are used up for the moment");
    x->now = clock_wall_ms(x->g->clock);
    /* They all wait for the same call to come free. */
    why.retry_ms = (x->now + (wait_ms > MIN_WAIT_MS ? wait_ms : MIN_WAIT_MS) + GRID_MS - 1) /
                       GRID_MS * GRID_MS -
                   x->now;
    not_looked(x, &why);
}

/* The same for one of many: nothing is written about it but when it is due, until it is time that people hear. */
static void wait_with_others(struct episode *x, int64_t due)
{
    struct work unspent = x->w;

    x->now = clock_wall_ms(x->g->clock);
    x->due = due;
    unspent.attempts -= unspent.attempts > 0;
    if (x->now < x->row.requested ||
        x->now - x->row.requested >= ENGINE_LATE_MS - TOGETHER_EARLY_MS)
        wait_for_budget(x, due - x->now);
    else
        engine_again(x->g, &unspent, due - x->now);
}

static int64_t budget_due(const struct engine *g, int64_t wait_ms)
{
    int64_t now = clock_wall_ms(g->clock);

    return (now + (wait_ms > MIN_WAIT_MS ? wait_ms : MIN_WAIT_MS) + GRID_MS - 1) / GRID_MS *
           GRID_MS;
}

/* Could a request of before still come to light? Then it rests; true. */
static bool rests(struct episode *x)
{
    if (x->row.posted > x->now) {
        write_outcome(x, rest_fn);
        return true;
    }
    if (x->row.posted && x->now < x->row.posted + WORK_SETTLE_MS) {
        engine_again(x->g, &x->w, x->row.posted + WORK_SETTLE_MS - x->now);
        return true;
    }
    return false;
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
        engine_again(x->g, &x->w, engine_backoff(x->w.attempts, 0));
        return;
    }
    c.machine_id = x->row.machine_id;
    if (store_approval(x->g->store, x->arena, c.id, &approval, &e)) {
        log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", x->row.case_id), LOG_ERR(&e));
        engine_again(x->g, &x->w, engine_backoff(x->w.attempts, 0));
        return;
    }
    grounds_read(&c, x->rt, x->tenant, x->row.type, false, &approval, x->g, x->arena, &grounds);
    x->now = clock_wall_ms(x->g->clock);
    x->due = x->now + FOLLOW_MIN_MS;
    if (grounds.look.actions_code) {
        not_looked(x, &grounds.look.actions_err);
    } else {
        looked(x, &grounds);
    }
    defender_reads_clear(&grounds.look);
}

/* How a pending action stands; x->action is what Defender says of it. */
static enum err_code followed_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code;

    if (x->released)
        code = move(tx, x, &r, ISOLATION_RELEASED,
                    "it was isolated, and released at Defender since", e);
    else if (x->action->status == DEFENDER_SUCCEEDED)
        code = move(tx, x, &r, ISOLATION_ISOLATED, NULL, e);
    else if (defender_action_is_open(x->action)) {
        code = move(tx, x, &r, ISOLATION_PENDING, x->action->status_text, e);
        if (!code && x->now - r.requested >= LAPSING_MS)
            code = tell_waiting(tx, x, &r, NOTICE_LAPSING, e);
    } else {
        r.lapsed = x->action->status == DEFENDER_TIME_OUT ? x->action->updated_ms : 0;
        code = move(tx, x, &r, ISOLATION_FAILED, end_words(x->action), e);
    }
    x->after = r;
    return code;
}

/* Did a release succeed after this action? */
static bool was_released(const struct defender_reads *look, const struct defender_action *action)
{
    bool released = false;

    for (size_t i = 0; i < look->n_actions && !look->actions_code; i++) {
        const struct defender_action *a = &look->actions[i];

        if (a->type == DEFENDER_ISOLATE && a->status == DEFENDER_SUCCEEDED)
            break; /* newest first: this one, or a newer one, is in force */
        released = released || (a->type == DEFENDER_UNISOLATE && a->status == DEFENDER_SUCCEEDED &&
                                a->created_ms > action->created_ms);
    }
    return released;
}

/* How long until it is looked at again: half of its age, within bounds. */
static int64_t follow_wait(const struct episode *x)
{
    int64_t age = x->now - x->row.requested;

    return age < 0 /* the clock was set back */ ? MINUTE_MS
           : age / 2 < FOLLOW_MIN_MS            ? FOLLOW_MIN_MS
           : age / 2 > FOLLOW_MAX_MS            ? FOLLOW_MAX_MS
                                                : age / 2;
}

/* Is it so long ago that the machine was looked at that a person may have released it meanwhile? Nobody is told that
 * it is isolated then without a look. */
static bool needs_look(const struct episode *x, const struct defender_action *action)
{
    return action->status == DEFENDER_SUCCEEDED && follow_wait(x) > LOOKED_MS / 2;
}

/* What came of asking how the action stands: x->code, and action if that is ERR_OK. look: for those that need one; what
 * could not be looked at is not known, and what is known counts. */
static void followed(struct episode *x, const struct defender_action *action,
                     const struct defender_reads *look)
{
    int64_t wait = follow_wait(x), age = x->now - x->row.requested;
    int64_t backoff = engine_wait_after(&x->w, &x->why);

    x->action = action;
    x->released = !x->code && needs_look(x, action) && was_released(look, action);
    x->now = clock_wall_ms(x->g->clock);
    if (x->code && backoff < wait) /* that there was no answer is no reason to ask later */
        wait = backoff;
    x->due = follow_due(x, wait > x->why.retry_ms ? wait : x->why.retry_ms);
    if (age > FOLLOW_FOR_MS && (x->code || defender_action_is_open(action))) {
        (void)err_set(&x->why, ERR_REFUSED, "Defender did not say how it ended for four days");
        write_outcome(x, fail_fn);
    } else {
        write_outcome(x, x->code ? postpone_fn : followed_fn);
    }
}

static void follow(struct episode *x)
{
    struct defender_action action = {0};
    struct defender_reads look = {0};

    x->code = defender_get_action(x->tenant->defender, x->row.action_id, &action, &x->why);
    if (!x->code && needs_look(x, &action))
        defender_read(x->tenant->defender, NULL, x->row.machine_id, DEFENDER_READ_ACTIONS, &look);
    followed(x, &action, &look);
    defender_reads_clear(&look);
}

static enum err_code done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;

    return work_done(tx, &x->w, e);
}

/* Loads a claimed row; false: nothing is to be done about it now. */
static bool open_episode(struct episode *x, struct engine *g, struct runtime *rt,
                         const struct work *w)
{
    struct err e = {0};
    enum err_code code;

    *x = (struct episode){.g = g,
                          .rt = rt,
                          .w = *w,
                          .now = clock_wall_ms(g->clock),
                          .crowded = engine_is_crowded(g, WORK_CASE) ||
                                     engine_is_crowded(g, WORK_ISOLATION)};
    if (engine_is_posting(g, w->id)) {
        /* Our own POST is under way and its lease only seems to have run out: the clock jumped. Nothing
         * is done until this lease ends; then it is looked for. */
        log_event(LOG_WARN, "lease_of_a_post_ran_out", LOG_ID("isolation", w->id));
        return false;
    }
    x->arena = arena_new(0);
    code = x->arena ? store_isolation_load(g->store, x->arena, w->id, &x->row, &e)
                    : err_set(&e, ERR_NOMEM, "isolation");
    if (code) {
        log_event(LOG_ERROR, "isolation_unreadable", LOG_ID("isolation", w->id), LOG_ERR(&e));
        engine_again(g, w, engine_backoff(w->attempts, 0));
        return false;
    }
    x->tenant = runtime_tenant(rt, x->row.tenant);
    return true;
}

static void run_one(struct episode *x)
{
    struct err e;

    if (!x->tenant) {
        (void)err_set(&x->why, ERR_REFUSED, "tenant '%s' is no longer configured", x->row.tenant);
        x->due = x->now + engine_backoff(x->w.attempts, 0);
        write_outcome(x, is_over(x) ? fail_fn : postpone_fn);
    } else if (x->row.state == ISOLATION_REQUESTED) {
        look_again(x);
    } else if (x->row.state == ISOLATION_PENDING) {
        follow(x);
    } else if (db_write(x->g->store->db, done_fn, x, &e)) {
        engine_again(x->g, &x->w, engine_backoff(x->w.attempts, 0));
    }
}

/* ---- many at once ------------------------------------------------------------------------------- */

struct crowd {
    struct episode x[ROWS_AT_ONCE + 1];
    struct grounds grounds[ROWS_AT_ONCE + 1];
    struct defender_action actions[ROWS_AT_ONCE + 1];
    bool listed[ROWS_AT_ONCE + 1];
    bool open[ROWS_AT_ONCE + 1]; /* not yet seen to */
    size_t n;
};

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

/* May it be asked for after a look alone: facts and verdict are those of now? */
static bool is_grounded(struct episode *x)
{
    struct approval approval;
    struct case_record c;

    return !store_case_load(x->g->store, x->arena, x->row.case_id, &c, NULL) &&
           !store_approval(x->g->store, x->arena, x->row.case_id, &approval, NULL) &&
           grounds_are_fresh(&c, &approval, x->rt, x->g, x->arena);
}

/* Is the look that it goes by young enough, and taken since the row was written last? */
static bool is_look_good(const struct episode *x, int64_t read_ms)
{
    int64_t now = clock_wall_ms(x->g->clock);

    return read_ms > 0 && read_ms >= x->row.updated && now >= read_ms &&
           now - read_ms < LOOK_FRESH_MS;
}

/* One whose look was taken together with others'. */
static void ask_one(struct episode *x, struct grounds *grounds)
{
    x->crowded = true;
    x->now = clock_wall_ms(x->g->clock);
    x->due = follow_due(x, FOLLOW_MIN_MS);
    if (x->now < grounds->look.read_ms || x->now - grounds->look.read_ms >= LOOK_FRESH_MS) {
        engine_again(x->g, &x->w, 0);
        return;
    }
    if (quota_wait(x->tenant->quota, true) > 0) {
        wait_with_others(x, budget_due(x->g, quota_wait(x->tenant->quota, true)));
        return;
    }
    storm_forget_bare(x->tenant->storm, x->row.machine_id); /* a look is good for one request */
    looked(x, grounds);
}

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
    return to_be_asked_for(g, tenant, clock_wall_ms(g->clock) + TOGETHER_MS);
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
    m->wait_ms = wait + GRID_MS;
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

    if (!own || quota_pressure(x->tenant->quota) <= BUSY ||
        store_isolation_list_asked(x->g->store, x->arena, x->row.tenant, 2 * ROWS_AT_ONCE, ids, &n,
                                   NULL))
        return;
    for (size_t i = 0; i < n && l->n < ROWS_AT_ONCE; i++) {
        int64_t read_ms = storm_find_bare(x->tenant->storm, ids[i]);

        if (is_listed(l, ids[i]) ||
            (read_ms && clock_wall_ms(x->g->clock) - read_ms < LOOK_FRESH_MS))
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
        if (!l.looks[i]->n_actions)
            storm_note_bare(tenant->storm, l.ids[i], l.looks[i]->read_ms);
    free(own);
    return code;
}

/* Looks at all that may be asked for after a look alone, then the POSTs, as far as the budget goes. */
static void ask_together(struct crowd *k, struct runtime_tenant *tenant)
{
    size_t at[ROWS_AT_ONCE + 1], n = 0, all = pick(k, tenant, ISOLATION_REQUESTED, at), asked;
    struct engine *g = k->x[0].g;
    struct err why = {0};
    struct means m;
    int64_t looks, got;
    enum err_code code = ERR_OK;

    if (quota_per_minute(tenant->quota) < 2)
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
    for (size_t i = 0; i < n; i++) {
        struct episode *x = &k->x[at[i]];

        if (code == ERR_INVALID) { /* no lists: each alone */
            storm_spent(tenant->storm, i < asked);
            continue;
        }
        if (i >= asked) {
            wait_with_others(x, budget_due(g, m.wait_ms));
        } else if (code) {
            x->now = clock_wall_ms(g->clock);
            not_looked(x, &why);
        } else {
            ask_one(x, &k->grounds[at[i]]);
        }
        storm_spent(tenant->storm, i < asked);
        k->open[at[i]] = false;
    }
}

/* Looks at those of the n at `at` that need it, together. */
static void look_at_followed(struct crowd *k, struct runtime_tenant *tenant, const size_t at[],
                             size_t n)
{
    const char *ids[ROWS_AT_ONCE + 1];
    struct defender_reads *looks[ROWS_AT_ONCE + 1];
    struct err e = {0};
    enum err_code code;
    size_t some = 0;

    for (size_t i = 0; i < n; i++)
        if (k->listed[i] && needs_look(&k->x[at[i]], &k->actions[i])) {
            looks[some] = &k->grounds[at[i]].look;
            ids[some++] = k->x[at[i]].row.machine_id;
        }
    code = some ? storm_look(tenant->storm, tenant->defender, ids, some, looks, &e) : ERR_OK;
    for (size_t i = 0; i < some; i++)
        looks[i]->actions_code = code;
}

/* One that is under way alone, while calls are scarce: is it young enough to wait for others? Then it does; true. */
static bool wait_for_more(struct episode *x)
{
    struct work unspent = x->w;
    int64_t age = x->now - x->row.requested;

    if (quota_pressure(x->tenant->quota) <= BUSY || age < 0 || age >= YOUNG_BUSY_MS)
        return false;
    unspent.attempts -= unspent.attempts > 0;
    x->crowded = true;
    engine_again(x->g, &unspent, follow_due(x, FOLLOW_MIN_MS) - x->now);
    return true;
}

/* How all that are under way stand. */
static void follow_together(struct crowd *k, struct runtime_tenant *tenant)
{
    const char *ids[ROWS_AT_ONCE + 1];
    size_t at[ROWS_AT_ONCE + 1], n = pick(k, tenant, ISOLATION_PENDING, at);
    struct err why = {0};
    enum err_code code;

    if (n < 2) { /* a call of its own is scarce: in a minute there will be more */
        if (n && wait_for_more(&k->x[at[0]]))
            k->open[at[0]] = false;
        return;
    }
    for (size_t i = 0; i < n; i++)
        ids[i] = k->x[at[i]].row.action_id;
    code = defender_list_actions(tenant->defender, ids, n, k->actions, k->listed, &why);
    if (code == ERR_REFUSED || code == ERR_TOO_BIG || code == ERR_INVALID)
        return; /* not in this way: each alone */
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
        followed(x, &k->actions[i], &k->grounds[at[i]].look);
        k->open[at[i]] = false;
    }
}

static void run_crowd(struct crowd *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct runtime_tenant *tenant = k->x[i].tenant;

        if (k->open[i] && tenant && k->x[i].row.state == ISOLATION_REQUESTED)
            ask_together(k, tenant);
        else if (k->open[i] && tenant && k->x[i].row.state == ISOLATION_PENDING)
            follow_together(k, tenant);
        if (k->open[i])
            run_one(&k->x[i]);
        k->open[i] = false;
    }
}

/* Are there others, who will be due in a moment, or in a minute if calls are scarce or they are so many that calls will
 * be, and are seen to together? */
static bool is_one_of_many(struct engine *g, const struct runtime *rt)
{
    bool busy = false;

    if (engine_is_crowded(g, WORK_ISOLATION))
        return true;
    for (size_t i = 0; i < rt->config->n_tenants; i++)
        busy = busy || quota_pressure(rt->tenants[i].quota) > BUSY;
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
    struct work unspent = *w;
    struct episode *x = &k->x[0];
    bool opened = open_episode(x, g, rt, w), known = opened && x->tenant;
    /* The last one to be asked for has nobody to wait for: those that are only followed come once a minute. */
    bool last = known && x->row.state == ISOLATION_REQUESTED &&
                to_be_asked_for(g, x->tenant, INT64_MAX) < 2;
    bool many = is_one_of_many(g, rt) || (known && quota_pressure(x->tenant->quota) > BUSY);
    int64_t young_ms = many && !last ? YOUNG_BUSY_MS : YOUNG_MS;
    bool young = known && (!x->row.posted || x->row.state == ISOLATION_PENDING) &&
                 x->now >= x->row.requested && x->now - x->row.requested < young_ms;

    if (many && (young || last) && leads(x)) {
        k->open[0] = true;
        k->n = 1;
        run_crowd(k);
    } else if (young) {
        unspent.attempts -= unspent.attempts > 0;
        engine_again(g, &unspent, next_moment(x->tenant, x->now + 1) - x->now);
    } else if (opened) {
        run_one(x);
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
    bool opened = open_episode(&x, g, rt, w);
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
        wait_with_others(&x, budget_due(g, m.wait_ms));
        /* Those that people must soon hear of go through their own runs. */
        if (store_isolation_wait(g->store, x.tenant->config->name, x.due,
                                 x.now - ENGINE_LATE_MS + TOGETHER_EARLY_MS, &e))
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
        free(k);
        return true;
    }
    k->open[k->n] = open_episode(&k->x[k->n], g, rt, w);
    k->n++;
    for (size_t i = 0; i < n; i++, k->n++)
        k->open[k->n] = open_episode(&k->x[k->n], g, rt, &more[i]);
    run_crowd(k);
    for (size_t i = 0; i < k->n; i++)
        arena_free(k->x[i].arena);
    free(k);
    return true;
}

void isolation_run(struct engine *g, struct work *w)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct episode x;

    if (is_one_of_many(g, rt) && gather(g, rt, w))
        return;
    if (open_episode(&x, g, rt, w))
        run_one(&x);
    arena_free(x.arena);
}
