/* episode.c - see episode.h.
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
 */
#include "episode.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "act.h"
#include "id.h"
#include "ledger.h"
#include "policy.h"

/* What must be left of the lease when a POST begins: the rest is for its way to the wire. */
#define POST_ROOM_MS (WORK_POST_LEASE_MS - WORK_LEAVE_MS)

/* How far our clock and Defender's may differ: an action is older than our request only beyond that. */
#define SKEW_MS (5 * MINUTE_MS)

#define CASES_AT_ONCE 200 /* cases settled per query */

/* The moments at which many are seen to, when the tenant's calls are getting scarce; and those at which many that are
 * under way are asked after. */
#define GRID_BUSY_MS    (3 * SECOND_MS)
#define FOLLOW_CROWD_MS (10 * SECOND_MS)
#define FOLLOW_BUSY_MS  MINUTE_MS
#define MIN_WAIT_MS     (SECOND_MS / 10)

/* ---- what a look says ---------------------------------------------------------------------------- */

enum finding episode_find(const struct defender_reads *look, const struct defender_action **ret)
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

bool episode_is_in_force(const struct defender_reads *look)
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

bool episode_is_newer(const struct defender_reads *look, const struct isolation_record *r)
{
    const struct defender_action *own = find_listed(look, r->action_id);
    bool lags = !own || (r->state == ISOLATION_ISOLATED && defender_action_is_open(own));

    return look->read_ms > r->updated + (lags ? WORK_SETTLE_MS : 0);
}

static const char *own_id(const struct isolation_record *r, char out[ID_TEXT_SIZE + 8])
{
    char id[ID_TEXT_SIZE];

    (void)snprintf(out, ID_TEXT_SIZE + 8, "cordon-%s", id_format(r->id, id));
    return out;
}

const struct defender_action *episode_find_own(const struct defender_reads *look,
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

const char *episode_end_words(const struct defender_action *a)
{
    return a->status == DEFENDER_TIME_OUT ? "the machine stayed offline: Defender gave up (TimeOut)"
           : a->status == DEFENDER_CANCELLED ? "somebody cancelled it at Defender"
                                             : "the machine could not do it (Failed)";
}

enum isolation_state episode_adopt(struct isolation_record *r, const struct defender_action *a)
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

/* ---- when it is its turn ------------------------------------------------------------------------- */

int64_t episode_next_moment(const struct runtime_tenant *tenant, int64_t due)
{
    int64_t grid = quota_pressure(tenant->quota) > EPISODE_BUSY ? GRID_BUSY_MS : EPISODE_GRID_MS;

    return (due + grid - 1) / grid * grid;
}

int64_t episode_follow_due(const struct episode *x, int64_t wait_ms)
{
    int64_t grid;

    if (!x->crowded)
        return x->now + wait_ms;
    /* Calls that others wait for, to be isolated at all, are not spent on asking how it goes. */
    grid = quota_pressure(x->tenant->quota) > EPISODE_BUSY ? FOLLOW_BUSY_MS : FOLLOW_CROWD_MS;
    if (wait_ms < grid)
        wait_ms = grid;
    return (x->now + wait_ms + grid - 1) / grid * grid;
}

int64_t episode_budget_due(const struct engine *g, int64_t wait_ms)
{
    int64_t now = clock_wall_ms(g->clock);

    return (now + (wait_ms > MIN_WAIT_MS ? wait_ms : MIN_WAIT_MS) + EPISODE_GRID_MS - 1) /
           EPISODE_GRID_MS * EPISODE_GRID_MS;
}

/* ---- inside a transaction ---------------------------------------------------------------------- */

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

enum err_code episode_move(struct db_tx *tx, struct episode *x, struct isolation_record *r,
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

enum err_code episode_tell(struct db_tx *tx, struct episode *x, const struct isolation_record *r,
                           enum notice_kind kind, struct err *e)
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

enum err_code episode_postpone(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                               struct err *e)
{
    int64_t due = x->due;
    enum err_code code = isolation_move(tx, r, r->state, x->why.text, x->now, e);

    if (r->state == ISOLATION_REQUESTED) {
        due = engine_late_due(x->now, due, r->requested);
        if (!code && x->now - r->requested >= ENGINE_LATE_MS)
            code = episode_tell(tx, x, r, NOTICE_LATE, e);
    }
    return code ? code : work_again(tx, &x->w, due, engine_attempts_after(&x->w, &x->why), e);
}

/* ---- a step, with its record ------------------------------------------------------------------- */

void episode_log(enum log_level level, const struct isolation_record *r, const char *event)
{
    log_event(r->state == ISOLATION_FAILED ? LOG_WARN : level, event, LOG_ID("isolation", r->id),
              LOG_ID("case", r->case_id), LOG_STR("tenant", r->tenant),
              LOG_STR("machine", r->machine_id), LOG_STR("state", isolation_state_name(r->state)),
              LOG_STR("action", r->action_id), LOG_BOOL("adopted", r->adopted),
              LOG_STR("why", r->why));
}

void episode_announce(struct episode *x, enum isolation_state before)
{
    bool moved = x->row.state != before;

    episode_log(moved ? LOG_INFO : LOG_DEBUG, &x->row, "isolation");
    if (moved && isolation_is_settled(x->row.state))
        metrics_add(x->g->metrics, METRIC_ISOLATIONS_ENDED, 1, x->row.tenant,
                    isolation_state_name(x->row.state));
    engine_kick(x->g);
}

enum err_code episode_save(struct episode *x, db_fn fn, struct err *e)
{
    enum err_code code = db_write(x->g->store->db, fn, x, e);

    if (!code)
        x->row = x->after;
    return code;
}

void episode_write(struct episode *x, db_fn fn)
{
    enum isolation_state before = x->row.state;
    struct err e;

    if (episode_save(x, fn, &e)) {
        /* Nothing is lost: `posted` stands in the row, so the next run looks before it asks. */
        log_event(LOG_ERROR, "isolation_not_written", LOG_ID("isolation", x->row.id), LOG_ERR(&e));
        engine_again(x->g, &x->w, engine_backoff(x->w.attempts, 0));
        return;
    }
    episode_announce(x, before);
}

/* ---- 3 and 4: the POST and its record ---------------------------------------------------------- */

static enum err_code posted_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct episode *x = arg;
    struct isolation_record r = x->row;
    enum err_code code;

    switch (x->code) {
    case ERR_OK:
        code = episode_move(tx, x, &r, episode_adopt(&r, x->action), NULL, e);
        if (!code && r.state == ISOLATION_PENDING)
            code = episode_tell(tx, x, &r, NOTICE_REQUESTED, e);
        break;
    case ERR_UNKNOWN: /* it may have been carried out: look, but not before it can be seen */
        r.posted = x->now;
        x->due = x->now + WORK_SETTLE_MS;
        code = episode_postpone(tx, x, &r, e);
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
        code = episode_postpone(tx, x, &r, e);
        break;
    default:
        r.posted = 0;
        code = episode_move(tx, x, &r, ISOLATION_FAILED, x->why.text, e);
    }
    x->after = r;
    return code;
}

void episode_post(struct episode *x)
{
    struct defender_action action = {0};
    char own[ID_TEXT_SIZE + 8];

    if (!engine_post_begins(x->g, x->row.id)) { /* see episode_open */
        log_event(LOG_WARN, "post_abandoned", LOG_ID("isolation", x->row.id));
        return;
    }
    episode_log(LOG_INFO, &x->row, "isolate_post");
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
    x->due = x->code ? x->now + engine_wait_after(&x->w, &x->why)
                     : episode_follow_due(x, EPISODE_FOLLOW_MIN_MS);
    episode_write(x, posted_fn);
    engine_post_ended(x->g, x->row.id);
}
