/* isolation_request.c - an isolation for a case: the handler's part of isolation.h.
 *
 * The look and the intent (steps 1 and 2 in deed.h) are the case's, and so is the POST; when many wait, a case leaves
 * all of it to the isolation's own run: its row is the intent, `posted` is not set.
 */
#include "isolation.h"

#include <string.h>
#include <strings.h>

#include "adopt.h"
#include "brakes.h"
#include "deed.h"
#include "episode.h"
#include "id.h"
#include "ledger.h"
#include "pause.h"
#include "policy.h"
#include "releasing.h"

/* An isolation of the ledger's that Defender lists nothing of, neither it nor a release, is a doubt and no
 * reason to ask again; but not for ever, as nobody says for how long actions are listed. */
#define FORGET_MS (30 * DAY_MS)

/* An isolation that was confirmed so lately is joined without a look while many cases wait, for the look would be one
 * call for each of them, and joining asks Defender for nothing. Longer would be to say what may have changed. */
#define JOIN_CROWD_MS MINUTE_MS
#define JOIN_SOON_MS  (MINUTE_MS / 2) /* by the time it is a case's turn, it may be longer ago */

/* So often a case waits for a release that a rule has ordered: a minute or two. Where the machine is there it takes seconds, and where
 * it is absent people are to hear of the alert. */
#define RELEASE_WAITS 7

const char *isolation_type(const struct json *args)
{
    const char *type = json_get_string(args, "type");

    return type && strcmp(type, "selective") == 0 ? "Selective" : "Full";
}

const char *isolation_comment(const struct json *args)
{
    return deed_comment(json_get_string(args, "comment"));
}

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

static enum err_code check_pause(struct db_tx *tx, struct request *q, struct err *e)
{
    const char *paused = NULL;
    enum err_code code = pause_reason(tx, q->rt, q->x.arena, &paused, e);

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

/* Does safety hold it back? Then the case waits for a person, and the claim has ended; unless a person has let it past by a
 * policy that this replica may not have been told of yet. */
static enum err_code check_brakes(struct db_tx *tx, struct request *q, struct err *e)
{
    const struct braking b = braking_of(q);
    struct question_hold hold;
    bool held = false;
    enum err_code code = brakes_check(tx, &b, &held, &hold, e);

    if (code || !held)
        return code;
    if (grounds_may_be_newer(&q->approval, q->rt->config, q->x.g, q->x.now)) {
        q->outcome = OUTCOME_RETRY;
        (void)err_set(&q->x.why, ERR_AGAIN, GROUNDS_NEWER);
        q->x.why.retry_ms = ENGINE_NEWER_CONFIG_LOOK_MS;
        return ERR_OK;
    }
    q->outcome = OUTCOME_WAITS;
    hold.action = strcmp(q->type, "Full") == 0 ? "isolate full" : "isolate selective";
    return question_hold(tx, q->s, q->rt, &hold, q->x.now, e);
}

/* As it is written first. */
static struct isolation_record new_row(const struct request *q)
{
    const struct step *s = q->s;

    return (struct isolation_record){
        .id = id_new(q->x.g->clock),
        .case_id = s->c->id,
        .tenant = s->c->tenant,
        .machine_id = s->c->machine_id,
        .machine_name = facts_machine_name(s->facts->machine),
        .type = q->type,
        .comment = q->comment,
        .rule = s->c->rule,
        .state = ISOLATION_REQUESTED,
        .requested = q->x.now,
        .ask_from = q->x.now,
        .updated = q->x.now,
    };
}

/* Defender has one under way or in force: the row is that one's. */
static enum err_code adopt(struct db_tx *tx, struct request *q, struct err *e)
{
    struct episode *x = &q->x;
    struct isolation_record *r = &x->row;
    int64_t given_up = 0;
    enum err_code code = ERR_OK;

    r->state = episode_adopt(r, x->action);
    if (r->state == ISOLATION_ISOLATED) {
        r->confirmed = x->now;
        r->review = x->now + policy_review(q->rt->config->policy);
        code = episode_find_given_up(tx, x, r, &given_up, e);
    }
    if (!code)
        code = isolation_insert(tx, r, e);
    if (!code)
        code = episode_tell_after_all(tx, x, given_up, r, e);
    if (!code && r->state == ISOLATION_ISOLATED)
        code = ledger_take(tx, q->s->arena, r, x->now, e);
    if (!code && r->state == ISOLATION_PENDING)
        code = work_put(tx, r->id, WORK_ISOLATION, WORK_URGENT, x->now + DEED_FOLLOW_MIN_MS, x->now,
                        NULL, e);
    return code;
}

/* Has a sender named a machine since the case was read (case_name_machine)? Then it is judged anew. What is judged in this very
 * transaction is so by what it has found. */
static enum err_code check_named(struct db_tx *tx, struct request *q, struct err *e)
{
    const struct step *s = q->s;
    struct case_record now;
    enum err_code code;

    if (q->later || s->opening.fn)
        return ERR_OK;
    code = case_load_row(tx, q->x.arena, s->c->id, &now, e);
    if (code || case_same_named(s->c->pushed_machine_id, &now))
        return code;
    q->outcome = OUTCOME_RETRY;
    (void)err_set(&q->x.why, ERR_AGAIN, CASE_NAMED_MEANWHILE);
    return ERR_OK;
}

/* What keeps it from being asked for now: q->outcome is another than OUTCOME_DONE then, and x->why says it. */
static enum err_code check_begin(struct db_tx *tx, struct request *q, struct err *e)
{
    struct episode *x = &q->x;
    enum err_code code;

    if (x->finding == FOUND_LAGGING || episode_is_outdated(x, q->rt)) {
        q->outcome = OUTCOME_RETRY;
        return ERR_OK;
    }
    if (x->grounds && x->grounds->code) {
        q->outcome = x->grounds->code == ERR_REFUSED ? OUTCOME_WITHHELD : OUTCOME_RETRY;
        x->why = x->grounds->why;
        return ERR_OK;
    }
    if (runtime_check_clock(x->tenant, &x->why)) {
        q->outcome = OUTCOME_RETRY;
        return ERR_OK;
    }
    code = check_named(tx, q, e);
    if (!code && q->outcome == OUTCOME_DONE)
        code = check_pause(tx, q, e);
    if (!code && q->outcome == OUTCOME_DONE)
        code = check_brakes(tx, q, e);
    return code;
}

/* The intent: of the POST that follows, or of the row's own run. */
static enum err_code intend(struct db_tx *tx, struct request *q, struct err *e)
{
    struct episode *x = &q->x;
    struct isolation_record *r = &x->row;
    const struct braking b = braking_of(q);
    enum err_code code;

    x->post = !q->later;
    if (x->post)
        r->posted = x->now;
    code = isolation_insert(tx, r, e);
    if (!code)
        code = brakes_count(tx, &b, r->id, e);
    if (!code && x->post)
        code = brakes_sent(tx, r->id, x->now, e);
    if (!code && q->later)
        return work_put(tx, r->id, WORK_ISOLATION, WORK_URGENT,
                        episode_next_moment(x->tenant, x->now + EPISODE_TOGETHER_MS), x->now, NULL,
                        e);
    return code ? code : work_put(tx, r->id, WORK_ISOLATION, WORK_URGENT, x->now, x->now, &x->w, e);
}

/* No row is open for the machine: makes one, adopted from Defender or to be posted. */
static enum err_code begin(struct db_tx *tx, struct request *q, struct err *e)
{
    enum err_code code = ERR_OK;

    q->x.row = new_row(q);
    if (!q->later) /* else the row's own run looks, and nothing was found here */
        code = episode_check_found(tx, &q->x, e);
    if (code)
        return code;
    if (q->x.finding == FOUND_ISOLATE)
        return adopt(tx, q, e);
    code = check_begin(tx, q, e);
    return code || q->outcome != OUTCOME_DONE ? code : intend(tx, q, e);
}

static struct ledger_turn turn_of(const struct request *q)
{
    return (struct ledger_turn){
        .g = q->x.g, .rt = q->rt, .tenant = q->x.tenant, .arena = q->s->arena, .now = q->x.now};
}

#define BEING_RELEASED "the machine is just being released, as a rule has ordered before this alert"

/* Has the case waited for the release already? How often it was tried for another reason before does not count. */
static enum err_code has_waited(struct db_tx *tx, const struct request *q, bool *ret, struct err *e)
{
    const struct step *s = q->s;
    struct step_record *steps;
    size_t n = 0;
    enum err_code code = case_steps(tx, q->x.arena, s->c->id, &steps, &n, e);

    *ret = false;
    for (size_t i = 0; i < n && !code; i++)
        *ret = *ret || (steps[i].n == s->n && steps[i].why && strstr(steps[i].why, BEING_RELEASED));
    return code;
}

/* A release that a rule has ordered is on its way. It goes on, and is no person's: the machine is isolated anew for this alert when it
 * is over, which is looked for with each wait. *ret: it is waited for. */
static enum err_code wait_for_release(struct db_tx *tx, struct request *q,
                                      const struct isolation_record *r, bool *ret, struct err *e)
{
    bool again = false;
    enum err_code code = has_waited(tx, q, &again, e);

    *ret = !code && r->state == ISOLATION_RELEASING && r->by_rule &&
           (!again || q->s->work->attempts <= RELEASE_WAITS);
    if (!*ret)
        return code;
    if (!again)
        q->s->work->attempts = 1;
    q->outcome = OUTCOME_RETRY;
    (void)err_set(&q->x.why, ERR_AGAIN, BEING_RELEASED);
    return work_wake(tx, r->id, q->x.now, e);
}

/* Somebody is ending what isolates the machine: never against a person. */
static enum err_code let_it_end(struct db_tx *tx, struct request *q, struct err *e)
{
    const struct case_record *c = q->s->c;
    const struct ledger_turn turn = turn_of(q);
    struct isolation_record open;
    bool found = false, waits = false;
    enum err_code code;

    q->x.row = new_row(q);
    code = episode_check_found(tx, &q->x, e);
    if (!code && q->x.finding == FOUND_LAGGING) {
        q->outcome = OUTCOME_RETRY;
        return ERR_OK;
    }
    if (!code)
        code = isolation_find_open(tx, q->x.arena, c->tenant, c->machine_id, &open, &found, e);
    if (!code && found && deed_is_release_of(q->x.action, open.id))
        code = wait_for_release(tx, q, &open, &waits, e);
    if (code || waits)
        return code;
    code = adopt_in_force(tx, &turn, c->tenant, c->machine_id, q->look, 0, e);
    return code ? code : refuse(q, "somebody is releasing the machine at Defender");
}

/* Neither under way nor found to be isolated lately: what the ledger says of it may have changed at Defender. What else is
 * written there (an order to extend it, a release that came to nothing) says nothing of that. */
static bool is_settled_for_long(const struct isolation_record *r, int64_t now, int64_t long_ms)
{
    return r->state != ISOLATION_REQUESTED && r->state != ISOLATION_PENDING &&
           (r->state != ISOLATION_ISOLATED || now < r->confirmed || now - r->confirmed >= long_ms);
}

/* The machine is being released. What a rule has ordered, and Defender has not taken, is as good as not ordered: this alert came
 * before it. */
static enum err_code join_releasing(struct db_tx *tx, struct request *q, struct isolation_record *r,
                                    struct err *e)
{
    const struct ledger_turn turn = turn_of(q);
    enum err_code code = ERR_OK;
    bool waits = false;

    if (q->x.finding == FOUND_ISOLATE)
        code = release_take_back(tx, &turn, r, "another alert asks for its isolation", e);
    q->x.row = *r;
    if (!code && r->state != ISOLATION_ISOLATED)
        code = wait_for_release(tx, q, r, &waits, e);
    if (code || waits || r->state == ISOLATION_ISOLATED)
        return code;
    return refuse(q, "the machine is being released");
}

/* The machine has an open row: what the look says of it. *ret_begin: it is over, make a new one. */
static enum err_code join(struct db_tx *tx, struct request *q, struct isolation_record *r,
                          bool *ret_begin, struct err *e)
{
    struct episode *x = &q->x;
    /* Isolated, says the ledger; but does Defender know of a release since? An older one is none, where the list does not
     * show our isolation: it may be behind. What a rule has ordered since, and Defender has not taken, changes nothing. */
    bool isolated = r->state == ISOLATION_ISOLATED || release_is_waiting(r);
    bool released = isolated && ledger_is_free(r, q->look);
    /* A row of a time that is still to come was written before the clock was set back: then Defender's times alone say it. */
    bool newer = episode_is_newer(q->look, r) || (released && r->updated > x->now + WORK_SKEW_MS);
    bool over = released && newer;
    /* And somebody has asked anew: not isolated yet. */
    bool renewed = x->finding == FOUND_ISOLATE && over;
    const struct ledger_turn turn = turn_of(q);
    const char *why;
    enum err_code code;

    x->row = *r;
    if (q->later && is_settled_for_long(r, x->now, JOIN_CROWD_MS)) {
        q->unsettled = true;
        q->outcome = OUTCOME_RETRY;
        return ERR_OK;
    }
    if (q->later) /* its own run is due, together with others' */
        return ERR_OK;
    if (r->state == ISOLATION_RELEASING && !over) /* whatever is in force still */
        return join_releasing(tx, q, r, e);
    if ((x->finding == FOUND_ISOLATE && !renewed) || r->state == ISOLATION_REQUESTED || !newer)
        return work_wake(tx, r->id, x->now, e); /* its own work finds the same, and records it */
    if (r->state == ISOLATION_PENDING) {
        q->outcome = OUTCOME_RETRY;
        (void)err_set(&x->why, ERR_AGAIN, "an earlier isolation of this machine is just ending");
        return work_wake(tx, r->id, x->now, e);
    }
    if (!over && x->now - r->updated < FORGET_MS)
        return refuse(q, "cordon knows of an isolation that Defender does not list: a doubt");
    *ret_begin = true;
    why = over ? "released at Defender" : "Defender lists no isolation any more";
    code = isolation_move(tx, r, ISOLATION_RELEASED, why, x->now, e);
    if (!code && ledger_is_known(r))
        code = ledger_tell(tx, &turn, r, NOTICE_RELEASED, why, NULL, e);
    return code ? code : ledger_take(tx, q->s->arena, r, x->now, e);
}

/* Why the step asked for nothing; people are to see where the isolation is not what the rule asks for. It may become that yet:
 * by an heir's rule (episode_run.c), or when what is adopted is of the other kind. NULL: no memory. */
static const char *joined(const struct request *q)
{
    static const char what[] = "joined an open isolation";
    const char *is = q->x.row.type, *wanted = strcmp(q->type, "Full") == 0 ? "full" : "selective";

    if (strcasecmp(is, wanted) == 0)
        return what;
    if (strcasecmp(is, "Full") != 0 && strcasecmp(is, "Selective") != 0)
        return arena_fmt(
            q->x.arena,
            "%s of somebody else's, which may be full or selective; the rule asks for %s", what,
            wanted);
    return arena_fmt(q->x.arena, "%s, %s at that time; the rule asks for %s", what,
                     strcasecmp(is, "Full") == 0 ? "full" : "selective", wanted);
}

static const struct defender_reads no_look = {.read_ms = 0};

static enum err_code request_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct request *q = arg;
    struct step *s = q->s;
    struct case_record c = *s->c;
    struct isolation_record open, given;
    struct work claim = *s->work;
    bool found = false, fresh = true;
    enum err_code code;

    q->outcome = OUTCOME_DONE;
    q->x.post = q->begun = false;
    q->x.look = q->look;
    q->x.finding = episode_find(q->look, &q->x.action);
    if (q->x.finding == FOUND_RELEASING)
        return let_it_end(tx, q, e);
    code = isolation_find_open(tx, s->arena, c.tenant, c.machine_id, &open, &found, e);
    if (!code && found) {
        fresh = false;
        code = join(tx, q, &open, &fresh, e);
    }
    if (!code && fresh)
        code = begin(tx, q, e);
    /* Judged before a reload that took its source's right: by that nobody else is kept from it. */
    if (!code && q->outcome == OUTCOME_WITHHELD && grounds_are_weak(q->rt->config, &c))
        code = case_weaken(tx, &c, e);
    if (code || q->outcome != OUTCOME_DONE)
        return code;
    q->begun = fresh;
    given = q->x.row;
    code = case_join(tx, &c, given.id, e);
    if (!code && !given.case_id) {
        given.case_id = c.id;
        code = isolation_give(tx, &given, e);
    }
    if (!code)
        code =
            step_move(tx, c.id, s->n, STEP_DONE, found && !fresh ? joined(q) : NULL, q->x.now, e);
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
        episode_post(&q->x);
    } else if (q->later && q->begun) {
        s->together->isolations[s->together->n++] = q->x.row.id;
        episode_log(LOG_INFO, &q->x.row, "isolation_asked_for");
    } else {
        /* Of thousands of cases on a machine its own is the oldest, and would be the first to be forgotten. */
        if (q->x.row.case_id != s->c->id)
            engine_forget_judged(s->engine, s->c->id);
        episode_log(LOG_INFO, &q->x.row, "isolation_joined");
    }
    return OUTCOME_DONE;
}

/* Looks first, unless what was read with the facts serves. serves: by the facts, too. */
static enum outcome look_and_request(struct request *q, bool serves, struct err *e)
{
    struct step *s = q->s;
    struct grounds grounds = {0};
    enum err_code code = ERR_OK;

    if (!q->look) {
        grounds_read(s->c, q->rt, q->x.tenant, q->type, s->opening.fn && serves, &q->approval,
                     s->engine, s->arena, &grounds);
        q->look = &grounds.look;
        q->x.grounds = &grounds;
        code = grounds.look.actions_code;
    }
    /* In this order: a pause before the second is seen by that, and one after the first by whoever sends the request. */
    q->x.leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    q->x.now = clock_wall_ms(s->engine->clock);
    if (code) {
        *e = grounds.look.actions_err;
        q->outcome = code == ERR_FORBIDDEN || code == ERR_REFUSED || code == ERR_INVALID
                         ? OUTCOME_REFUSED
                         : OUTCOME_RETRY;
    } else if (!grounds_are_young(q->look->read_ms, q->x.now) ||
               (serves && !grounds_are_young(s->facts->read_ms, q->x.now))) {
        (void)err_set(e, ERR_AGAIN, "what was read is too old by now, and is read again");
        q->outcome = OUTCOME_RETRY;
    } else if (step_write(s, request_fn, q, e)) {
        q->outcome = OUTCOME_RETRY;
    } else {
        (void)requested(q, e);
    }
    defender_reads_clear(&grounds.look);
    return q->outcome;
}

enum outcome isolation_request(struct step *s, const char *type, const char *comment, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(s->engine);
    struct runtime_tenant *tenant = runtime_tenant(rt, s->c->tenant);
    struct request q = {.s = s,
                        .type = type,
                        .comment = comment,
                        .rt = rt,
                        .x = {.g = s->engine,
                              .rt = s->runtime,
                              .tenant = tenant,
                              .arena = s->arena,
                              .crowded = s->together || engine_is_crowded(s->engine, WORK_CASE)}};
    bool serves;

    if (!tenant) {
        (void)err_set(e, ERR_REFUSED, "tenant '%s' is no longer configured", s->c->tenant);
        return OUTCOME_REFUSED;
    }
    if (!s->c->machine_id) {
        (void)err_set(e, ERR_REFUSED, "the alert names no machine");
        return OUTCOME_REFUSED;
    }
    /* What was read serves, unless what the facts are judged by has changed since, or they, or the look, are old: a step
     * before this one took long. */
    q.x.now = clock_wall_ms(s->engine->clock);
    serves = grounds_same_terms(rt->config, s->runtime->config, s->c, s->facts->alert) &&
             grounds_are_young(s->facts->read_ms, q.x.now);
    if (serves) {
        if (s->look && episode_look_is_young(s->look->read_ms, q.x.now))
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
    return look_and_request(&q, serves, e);
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
    struct waking k = {.t = t, .due = episode_next_moment(tenant, clock_wall_ms(g->clock))};
    struct err e;

    if (!t->n)
        return;
    if (db_write(g->store->db, wake_fn, &k,
                 &e)) /* then they are due a moment later, by themselves */
        log_event(LOG_WARN, "not_hurried", LOG_ERR(&e));
    engine_kick(g);
}
