/* episode.c - see episode.h; the order of its steps is deed.h's. */
#include "episode.h"

#include <string.h>
#include <strings.h>

#include "act.h"
#include "adopt.h"
#include "deed.h"
#include "ledger.h"
#include "policy.h"
#include "store_polls.h"

/* The moments at which many are seen to, when the tenant's calls are getting scarce; and those at which many that are
 * under way are asked after. */
#define GRID_BUSY_MS    (3 * SECOND_MS)
#define FOLLOW_CROWD_MS (10 * SECOND_MS)
#define FOLLOW_BUSY_MS  MINUTE_MS
#define MIN_WAIT_MS     (SECOND_MS / 10)

#define RELEASE_NOT_LISTED "Defender does not list yet that the machine was released"

/* ---- what a look says ---------------------------------------------------------------------------- */

bool episode_look_is_young(int64_t read_ms, int64_t now)
{
    return read_ms > 0 && now >= read_ms && now - read_ms < EPISODE_LOOK_FRESH_MS;
}

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
    *ret = deed_in_force(look->actions, look->n_actions);
    return *ret && (*ret)->type == DEFENDER_ISOLATE ? FOUND_ISOLATE : FOUND_NONE;
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

const struct defender_action *episode_find_own(const struct defender_reads *look,
                                               const struct isolation_record *r)
{
    const struct defender_action *by_time = NULL;
    char own[DEED_ID_SIZE];

    (void)deed_id(r->id, own);
    for (size_t i = 0; i < look->n_actions && r->posted; i++) {
        const struct defender_action *a = &look->actions[i];

        if (a->type != DEFENDER_ISOLATE || !deed_is_own(a, own, r->requested))
            continue;
        if (a->external_id[0]) /* for certain; others made since then may be somebody else's */
            return a;
        by_time = by_time ? by_time : a;
    }
    return by_time;
}

enum isolation_state episode_adopt(struct isolation_record *r, const struct defender_action *a)
{
    char own[DEED_ID_SIZE];

    r->action_id = a->id;
    r->requestor = a->requestor[0] ? a->requestor : NULL;
    r->adopted = !deed_is_own(a, deed_id(r->id, own), r->posted ? r->requested : 0);
    if (r->adopted) /* what was wanted here says nothing of it, nor does its scope: trap 20 */
        r->type = "unknown";
    r->posted = r->unseen = 0;
    r->took_effect = deed_took_effect(a);
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

bool episode_counts(const struct episode *x)
{
    return !deed_is_our_budget(x->tenant, &x->why) &&
           x->now - x->row.requested > DEED_FOLLOW_FOR_MS;
}

int64_t episode_wait_after(const struct episode *x)
{
    return episode_counts(x) ? engine_backoff(x->w.attempts, x->why.retry_ms)
                             : engine_wait_after(&x->w, &x->why);
}

int64_t episode_budget_due(const struct engine *g, int64_t wait_ms)
{
    int64_t now = clock_wall_ms(g->clock);

    return (now + (wait_ms > MIN_WAIT_MS ? wait_ms : MIN_WAIT_MS) + EPISODE_GRID_MS - 1) /
           EPISODE_GRID_MS * EPISODE_GRID_MS;
}

int64_t episode_not_too_late(int64_t now, int64_t due)
{
    int64_t last = (now + EPISODE_EARLY_MS) / EPISODE_GRID_MS * EPISODE_GRID_MS;

    return due < last ? due : last;
}

/* ---- inside a transaction ---------------------------------------------------------------------- */

bool episode_is_outdated(struct episode *x, const struct runtime *rt)
{
    if (engine_is_in_force(x->g, rt))
        return false;
    (void)err_set(&x->why, ERR_AGAIN, "another configuration has come into force meanwhile");
    return true;
}

/* The look may be too old to show what came about at `since`: it does when it was taken at `until` or later. `since` may be a moment
 * ahead of x->now: by another replica's clock, or written while this transaction waited for its turn. */
static void mind_the_lag(struct episode *x, int64_t since, int64_t until, const char *what)
{
    if (x->now < since - WORK_SKEW_MS || x->look->read_ms >= until)
        return;
    x->finding = FOUND_LAGGING;
    (void)err_set(&x->why, ERR_AGAIN, "%s", what);
    x->why.retry_ms = until > x->now ? until - x->now : 0;
}

/* A reload may rename a tenant while a request of it is on its way: by the new name the ledger has no isolation of the machine. */
static enum err_code mind_the_renamed(struct db_tx *tx, struct episode *x, struct err *e)
{
    struct isolation_record r;
    bool found = false;
    enum err_code code =
        isolation_find_renamed(tx, x->arena, x->row.tenant, x->tenant->config->tenant_id,
                               x->row.machine_id, &r, &found, e);

    if (!code && found)
        mind_the_lag(x, r.updated,
                     r.posted ? r.posted + WORK_POST_LEASE_MS : r.updated + WORK_SETTLE_MS,
                     "what was asked for under the tenant's name of before may not be listed yet");
    return code;
}

enum err_code episode_check_found(struct db_tx *tx, struct episode *x, struct err *e)
{
    struct isolation_record r = {0};
    bool found = false;
    enum err_code code = ERR_OK;

    if (x->finding == FOUND_RELEASING)
        code = isolation_find_release(tx, x->arena, x->row.tenant, x->action->id, &r, &found, e);
    if (!code && found && r.state == ISOLATION_RELEASED)
        mind_the_lag(x, r.released, r.released + WORK_SETTLE_MS, RELEASE_NOT_LISTED);
    found = false;
    if (!code && x->finding == FOUND_ISOLATE)
        code = isolation_find_action(tx, x->arena, x->row.tenant, x->action->id, &r, &found, e);
    if (!code && found && r.state == ISOLATION_RELEASED) {
        x->finding = FOUND_NONE;
        if (x->own == x->action)
            x->own = NULL;
        mind_the_lag(x, r.released, r.released + WORK_SETTLE_MS, RELEASE_NOT_LISTED);
    }
    return code || x->finding != FOUND_NONE ? code : mind_the_renamed(tx, x, e);
}

/* case_visit_fn */
static enum err_code settle_case(struct db_tx *tx, void *arg, struct case_record *of,
                                 bool *ret_done, struct err *e)
{
    struct episode *x = arg;
    struct case_record c; /* with its facts */
    enum err_code code = case_load(tx, x->arena, of->id, &c, e);

    (void)ret_done;
    return code ? code : act_settle(tx, x->g, x->rt, x->arena, &c, x->now, e);
}

/* case_visit_fn: of a case that is over: a person let it go, or it could not be read any more after a person's answer. Nothing is
 * left to do, but who heard of it hears the end. */
static enum err_code settle_over(struct db_tx *tx, void *arg, struct case_record *of,
                                 bool *ret_done, struct err *e)
{
    return of->told ? settle_case(tx, arg, of, ret_done, e) : ERR_OK;
}

enum err_code episode_find_given_up(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                                    int64_t *ret, struct err *e)
{
    const struct defender_action *a = x->action;
    struct isolation_record known;
    bool found = false;
    char own[DEED_ID_SIZE];
    enum err_code code;

    *ret = 0;
    if (strcmp(a->external_id, deed_id(r->id, own)) == 0)
        return ERR_OK;
    code = isolation_find_failed(tx, x->arena, r->tenant, a->id, &known, &found, e);
    if (!code && !found)
        code = adopt_find_lost(tx, x->arena, r->tenant, a, &known, &found, e);
    if (!code && !found && r->adopted)
        code = adopt_find_unlisted(tx, x->arena, r->tenant, r->machine_id, a, &known, &found, e);
    if (code || !found)
        return code;
    r->adopted = known.adopted;
    r->type = known.type;
    *ret = known.id;
    return ERR_OK;
}

static struct ledger_turn turn_of(const struct episode *x)
{
    return (struct ledger_turn){.g = x->g, .rt = x->rt, .arena = x->arena, .now = x->now};
}

enum err_code episode_tell_after_all(struct db_tx *tx, struct episode *x, int64_t given_up,
                                     const struct isolation_record *r, struct err *e)
{
    const struct ledger_turn t = turn_of(x);

    return given_up ? adopt_tell_after_all(tx, &t, given_up, r, e) : ERR_OK;
}

/* Is it not known what r, which fails without an action of Defender's, has led to? Defender said that such a request is under way,
 * and whoever reads the tenant's list is to find it: it was made before ours, and cannot be under way for longer than that. */
static enum err_code mind_the_unlisted(struct db_tx *tx, struct episode *x,
                                       struct isolation_record *r, const char **why, struct err *e)
{
    if (r->state != ISOLATION_REQUESTED || !r->unseen || r->action_id)
        return ERR_OK;
    if (!r->posted)
        *why = arena_fmt(x->arena, "it is not known whether the machine is isolated: %s", *why);
    r->posted = x->now;
    return poll_read_again(tx, r->tenant, POLL_ACTIONS, r->requested - DEED_FOLLOW_FOR_MS, e);
}

enum err_code episode_move(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                           enum isolation_state to, const char *why, struct err *e)
{
    const struct ledger_turn t = turn_of(x);
    int64_t given_up = 0;
    enum err_code code = ERR_OK;

    if (to == ISOLATION_FAILED)
        code = mind_the_unlisted(tx, x, r, &why, e);
    if (code)
        return code;
    if (to == ISOLATION_ISOLATED && !r->review)
        r->review = x->now + policy_review(x->rt->config->policy);
    if (to == ISOLATION_ISOLATED)
        code = episode_find_given_up(tx, x, r, &given_up, e);
    if (!code)
        code = isolation_move(tx, r, to, why, x->now, e);
    if (!code)
        code = episode_tell_after_all(tx, x, given_up, r, e);
    if (!code && to == ISOLATION_FAILED && x->finding == FOUND_RELEASING)
        code = adopt_in_force(tx, &t, r->tenant, r->machine_id, x->look, r->id, e);
    if (code)
        return code;
    if (!isolation_is_settled(to))
        return work_again(tx, &x->w, x->due, 0, e);
    code = case_each(tx, x->arena, x->row.id, CASE_WAITING, 0, settle_case, x, e);
    if (!code)
        code = case_each(tx, x->arena, x->row.id, CASE_DROPPED, 0, settle_over, x, e);
    if (!code)
        code = case_each(tx, x->arena, x->row.id, CASE_FAILED, 0, settle_over, x, e);
    if (!code)
        code = work_again(tx, &x->w, x->now, 0, e);
    return code ? code : ledger_take(tx, x->arena, r, x->now, e);
}

struct tidings {
    struct episode *x;
    const struct isolation_record *r;
    enum notice_kind kind;
};

/* case_visit_fn: of a case that was not told yet. */
static enum err_code tell_case(struct db_tx *tx, void *arg, struct case_record *c, bool *ret_done,
                               struct err *e)
{
    const struct tidings *t = arg;
    struct episode *x = t->x;
    struct notice notice = {.kind = t->kind, .isolation = t->r, .c = c};

    (void)ret_done;
    if (t->kind == NOTICE_LAPSING ? notice_was_told(c, t->kind)
                                  : notice_was_told(c, NOTICE_LATE) == (t->kind == NOTICE_LATE))
        return ERR_OK;
    if (t->kind == NOTICE_LATE)
        notice.why = notice_not_yet(x->arena, x->why.text);
    else if (t->kind == NOTICE_LAPSING)
        notice.why = "offline for two and a half days, Defender gives up after three";
    return notice_put(tx, x->g, x->rt, x->arena, &notice, x->now, e);
}

enum err_code episode_tell(struct db_tx *tx, struct episode *x, const struct isolation_record *r,
                           enum notice_kind kind, struct err *e)
{
    struct tidings t = {x, r, kind};

    return case_each(tx, x->arena, x->row.id, CASE_WAITING, 0, tell_case, &t, e);
}

enum err_code episode_postpone(struct db_tx *tx, struct episode *x, struct isolation_record *r,
                               struct err *e)
{
    int64_t due = x->due;
    /* After days of nothing else those that are throttled count, too: else nobody would hear that nobody knows. */
    int64_t attempts = episode_counts(x) ? x->w.attempts : engine_attempts_after(&x->w, &x->why);
    enum err_code code = isolation_move(tx, r, r->state, x->why.text, x->now, e);

    if (r->state == ISOLATION_REQUESTED) {
        if (!r->posted)
            due = deed_ask_due(x->now, due, r->ask_from, DEED_ASK_FOR_MS);
        due = engine_late_due(x->now, due, r->requested);
        if (!code && engine_is_late(x->now, r->requested))
            code = episode_tell(tx, x, r, NOTICE_LATE, e);
    }
    return code ? code : work_again(tx, &x->w, due, attempts, e);
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
        log_event(LOG_ERROR, "isolation_not_written", LOG_ID("isolation", x->row.id),
                  LOG_ID("case", x->row.case_id), LOG_ERR(&e));
        engine_retry(x->g, &x->w);
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

    switch (deed_end_of(x->code)) {
    case DEED_TAKEN:
        code = episode_move(tx, x, &r, episode_adopt(&r, x->action), NULL, e);
        if (!code && r.state == ISOLATION_PENDING)
            code = episode_tell(tx, x, &r, NOTICE_REQUESTED, e);
        break;
    case DEED_UNKNOWN:
        r.posted = x->now;
        x->due = x->now + WORK_SETTLE_MS;
        code = episode_postpone(tx, x, &r, e);
        break;
    case DEED_LATER:
        r.posted = 0;
        r.unseen += x->code == ERR_CONFLICT;
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
    char own[DEED_ID_SIZE];
    const struct defender_request q = {.deed = DEFENDER_ISOLATION,
                                       .machine_id = x->row.machine_id,
                                       .detail = x->row.type,
                                       .comment = x->row.comment,
                                       .external_id = deed_id(x->row.id, own),
                                       .leave_by_ms = x->leave_by_ms};

    if (!deed_begin(x->g, "isolation", x->row.id))
        return;
    episode_log(LOG_INFO, &x->row, "isolate_post");
    x->code = deed_send(x->g, x->tenant->defender, &x->w, &q, &action, &x->why);
    x->action = &action;
    x->now = clock_wall_ms(x->g->clock);
    x->due = x->code ? x->now + engine_wait_after(&x->w, &x->why)
                     : episode_follow_due(x, DEED_FOLLOW_MIN_MS);
    episode_write(x, posted_fn);
    engine_post_ended(x->g, x->row.id);
}
