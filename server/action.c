/* action.c - see action.h. */
#include "action.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "channel.h"
#include "deed.h"
#include "grounds.h"
#include "id.h"
#include "log.h"
#include "notice.h"
#include "policy.h"
#include "store_actions.h"

/* So long the link to a package is asked for that is not there yet. */
#define LINK_FOR_MS HOUR_MS

/* A full scan waits for a quick one, and looks so often whether it is over. */
#define LESSER_LOOK_MS (MINUTE_MS / 2)
static const char lesser_scan[] =
    "a quick scan of the machine is under way, and the rule asks for a full one";

/* Cases that are asked whether they still want it. */
#define CASES_ASKED 5
/* Cases whose people are told what came of what another one asked for. */
#define CASES_JOINED 50

static const struct {
    const char *handler;
    enum defender_deed deed;
    const char *words;  /* for people: "scan" … */
    const char *detail; /* the handler's argument that is the row's detail; NULL: none */
} kinds[] = {
    {"scan", DEFENDER_SCAN, "antivirus scan", "type"},
    {"collect", DEFENDER_COLLECT, "investigation package", NULL},
    {"restrict", DEFENDER_RESTRICT, "restriction of applications", NULL},
    {"unrestrict", DEFENDER_UNRESTRICT, "end of the restriction of applications", NULL},
    {"stop_file", DEFENDER_STOP_FILE, "stop and quarantine of a file", "sha1"},
};

/* The table's row of a handler; -1: none. */
static int find_kind(const char *handler)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].handler, handler) == 0)
            return (int)i;
    return -1;
}

/* ---- the handlers' part --------------------------------------------------------------------------- */

/* Is the policy that judged the case, which may have been in an earlier run, the one in force? With what its source may. */
static bool is_in_force(const struct step *s, const struct config *config)
{
    const char *text = s->c->verdict, *source = grounds_source(config, s->c, s->facts->alert);
    AUTO(json_freep) struct json *doc = NULL;
    struct verdict v;

    return text && !json_parse(text, strlen(text), &doc, NULL) &&
           !verdict_read(doc, s->arena, &v, NULL) &&
           strcmp(v.policy, policy_hash(config->policy)) == 0 &&
           s->facts->may_isolate == config_may_isolate(config, source, s->c->tenant) &&
           s->facts->source_shadow == config_is_shadow(config, source);
}

enum outcome action_may(const struct step *s, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(s->engine);

    if (!s->tenant)
        (void)err_set(e, ERR_REFUSED, "tenant '%s' is no longer configured", s->c->tenant);
    else if (!grounds_are_young(s->facts->read_ms, clock_wall_ms(s->engine->clock)))
        (void)err_set(e, ERR_REFUSED, "the facts are too old to act by: `cordon cases retry`");
    else if (!is_in_force(s, rt->config))
        (void)err_set(e, ERR_REFUSED, "the policy has changed since: `cordon cases retry`");
    else
        return OUTCOME_DONE;
    return OUTCOME_REFUSED;
}

enum outcome action_outcome(enum err_code code, struct err *e)
{
    switch (code) {
    case ERR_OK:
        return OUTCOME_DONE;
    case ERR_REFUSED:
    case ERR_FORBIDDEN:
    case ERR_NOT_FOUND:
    case ERR_INVALID:
        return OUTCOME_REFUSED;
    case ERR_UNKNOWN:
        if (e->retry_ms < WORK_SETTLE_MS)
            e->retry_ms = WORK_SETTLE_MS;
        return OUTCOME_RETRY;
    default:
        return OUTCOME_RETRY;
    }
}

struct asking {
    struct step *s;
    struct action_record r;
    bool found, lesser;
    int64_t now;
};

static enum err_code ask_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct asking *q = arg;
    struct step *s = q->s;
    struct work claim = *s->work;
    enum err_code code = action_find_open(tx, &q->r, &q->found, &q->lesser, e);

    if (code || q->lesser)
        return code;
    if (!q->found)
        code = action_insert(tx, &q->r, e);
    if (!code && !q->found)
        code = work_put(tx, q->r.id, WORK_ACTION, WORK_NORMAL, q->now, q->now, NULL, e);
    if (!code)
        code = step_move(tx, s->c->id, s->n, STEP_DONE, q->found ? ACTION_JOINED : NULL, q->now, e);
    return code ? code : work_keep(tx, &claim, q->now, e);
}

enum outcome action_request(struct step *s, const char *name, const char *detail,
                            const char *comment, struct err *e)
{
    struct asking q = {.s = s, .now = clock_wall_ms(s->engine->clock)};
    enum outcome may = action_may(s, e);

    if (may != OUTCOME_DONE)
        return may;
    if (!s->c->machine_id) {
        (void)err_set(e, ERR_REFUSED, "the alert names no machine");
        return OUTCOME_REFUSED;
    }
    q.r = (struct action_record){.id = id_new(s->engine->clock),
                                 .case_id = s->c->id,
                                 .tenant = s->c->tenant,
                                 .machine_id = s->c->machine_id,
                                 .handler = name,
                                 .detail = detail,
                                 .comment = deed_comment(comment),
                                 .state = ACTION_REQUESTED,
                                 .requested = q.now,
                                 .updated = q.now};
    if (step_write(s, ask_fn, &q, e))
        return OUTCOME_RETRY;
    if (q.lesser) {
        (void)err_set(e, ERR_REFUSED, "%s: `cordon cases retry` when it is over", lesser_scan);
        return OUTCOME_REFUSED;
    }
    s->written = true;
    s->work->lease_end = q.now + WORK_LEASE_MS;
    log_event(LOG_INFO, "action_asked_for", LOG_ID("case", s->c->id), LOG_STR("step", name),
              LOG_BOOL("joined", q.found));
    engine_kick(s->engine);
    return OUTCOME_DONE;
}

/* ---- a row's own runs ------------------------------------------------------------------------------ */

struct turn {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant;
    struct arena *arena;
    struct work w;
    struct action_record row;
    struct action_record after; /* what a transaction makes of it, once it went through (save) */
    int kind;
    int64_t now, due;
    enum err_code code;
    struct err why;
    const struct defender_action *action; /* to go on with; NULL: none */
    struct case_record c;
    struct buf link;
    int64_t leave_by_ms; /* for the POST that the next transaction allows: clock_boot_ms */
    bool post;
    bool stale;          /* what it was asked for by holds no more */
    const char *refused; /* … because it is asked for no more; NULL: for another reason */
    bool linkless;       /* it succeeded, and its link is still to come */
    bool endless;        /* Defender calls it open, after so long */
    bool unknown;        /* it may have been carried out, and nobody knows */
};

static const char *own_id(const struct turn *t, char out[DEED_ID_SIZE])
{
    return deed_id(t->row.id, out);
}

static enum err_code postpone(struct db_tx *tx, struct turn *t, struct action_record *r,
                              struct err *e)
{
    enum err_code code = action_move(tx, r, r->state, t->why.text, t->now, e);
    /* Of a package that is there the link alone is waited for, which has calls of its own. */
    bool waits = t->code && !t->linkless && deed_is_our_budget(t->tenant, &t->why);
    int64_t due = t->due;

    if (r->state == ACTION_REQUESTED && !r->posted) /* then the facts are too old */
        due = deed_ask_due(t->now, due, r->requested, GROUNDS_FRESH_MS);
    return code ? code
                : work_again(tx, &t->w, due,
                             waits ? engine_attempts_after(&t->w, &t->why) : t->w.attempts, e);
}

static bool is_among(const char *address, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], address) == 0)
            return true;
    return false;
}

/* Addresses, or channels, that have been told. */
struct told {
    const char **list;
    size_t n;
};

/* Into ret those of list that are not among them, who are from now on. */
static enum err_code take_new(struct arena *a, struct told *known, const char *const *list,
                              size_t n, const char *const **ret, size_t *ret_count, struct err *e)
{
    const char **all = arena_array(a, known->n + n + 1, sizeof *all);
    size_t count = 0;

    if (!all)
        return err_set(e, ERR_NOMEM, "recipients");
    for (size_t i = 0; i < known->n; i++)
        all[i] = known->list[i];
    for (size_t i = 0; i < n; i++)
        if (!is_among(list[i], known->list, known->n))
            all[known->n + count++] = list[i];
    *ret = all + known->n;
    *ret_count = count;
    known->list = all;
    known->n += count;
    return ERR_OK;
}

/* To those of case id who have not heard of it: told is what the first case was told. */
static enum err_code tell_one_joined(struct db_tx *tx, struct turn *t, int64_t id,
                                     const struct notice *told, struct told *people,
                                     struct told *channels, struct err *e)
{
    const char *const *ways = NULL;
    const char **list;
    struct notice mine = *told;
    struct case_record c;
    size_t n_ways = 0, n = 0;
    enum err_code code = notice_audience(tx, t->arena, id, &list, &n, e);

    if (!code)
        code = take_new(t->arena, people, list, n, &mine.to, &mine.n_to, e);
    if (!code)
        code = notice_channels(tx, t->arena, id, &list, &n, e);
    if (!code)
        code = take_new(t->arena, channels, list, n, &ways, &n_ways, e);
    if (code || (!mine.n_to && !n_ways))
        return code;
    code = case_load(tx, t->arena, id, &c, e);
    mine.c = &c;
    mine.facts = NULL;
    if (!code && mine.n_to)
        code = notice_put(tx, t->g, t->rt, t->arena, &mine, t->now, e);
    mine.n_to = 0;
    for (size_t i = 0; i < n_ways && !code; i++)
        code = channels_settle(tx, t->g, t->rt, t->arena, &mine, ways[i], t->now, e);
    return code;
}

/* Cases that found it asked for already have people and channels of their own: who is not told of the first case hears of it in
 * such a one. */
static enum err_code tell_joined(struct db_tx *tx, struct turn *t, const struct action_record *r,
                                 const struct notice *told, struct err *e)
{
    struct told people = {0}, channels = {0};
    int64_t ids[CASES_JOINED];
    size_t n = 0;
    enum err_code code = action_joined(tx, r, ids, CASES_JOINED, &n, e);

    if (!code && n)
        code = notice_audience(tx, t->arena, r->case_id, &people.list, &people.n, e);
    if (!code && n)
        code = notice_channels(tx, t->arena, r->case_id, &channels.list, &channels.n, e);
    for (size_t i = 0; i < n && !code; i++)
        code = tell_one_joined(tx, t, ids[i], told, &people, &channels, e);
    return code;
}

/* It is over: people hear of it in the thread of the case. */
static enum err_code end(struct db_tx *tx, struct turn *t, struct action_record *r,
                         enum action_state to, const char *why, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *words = kinds[t->kind].words;
    struct facts facts;
    struct notice n = {.kind = to == ACTION_DONE ? NOTICE_ACTION_DONE : NOTICE_ACTION_FAILED,
                       .why = why ? arena_fmt(t->arena, "%s: %s", words, why) : words,
                       .c = &t->c,
                       .link = t->link.len ? buf_text(&t->link) : NULL,
                       .unknown = t->unknown,
                       .since = r->requested,
                       .aside = true};
    enum err_code code = case_load(tx, t->arena, r->case_id, &t->c, e);

    r->posted = 0;
    if (!code)
        code = action_move(tx, r, to, why, t->now, e);
    if (code)
        return code;
    if (t->c.facts && !json_parse(t->c.facts, strlen(t->c.facts), &doc, NULL) &&
        !facts_read(doc, &facts, NULL))
        n.facts = &facts;
    code = notice_put(tx, t->g, t->rt, t->arena, &n, t->now, e);
    if (!code)
        code = tell_joined(tx, t, r, &n, e);
    return code ? code : work_done(tx, &t->w, e);
}

static enum err_code take(struct db_tx *tx, struct turn *t, struct action_record *r, struct err *e)
{
    const struct defender_action *a = t->action;
    char own[DEED_ID_SIZE];

    if (!r->action_id) {
        r->adopted = !deed_is_own(a, own_id(t, own), r->posted ? r->requested : 0);
        r->requestor = r->adopted && a->requestor[0] ? a->requestor : NULL;
    }
    r->action_id = a->id;
    r->posted = 0;
    if (defender_action_is_open(a)) {
        enum err_code code = action_move(tx, r, ACTION_PENDING, a->status_text, t->now, e);

        return code ? code : work_again(tx, &t->w, t->due, 0, e);
    }
    if (a->status != DEFENDER_SUCCEEDED)
        return end(tx, t, r, ACTION_FAILED, deed_failure(a), e);
    if (kinds[t->kind].deed == DEFENDER_COLLECT && !t->link.len && r->state == ACTION_REQUESTED) {
        /* found complete: the link comes with the next run */
        enum err_code code = action_move(tx, r, ACTION_PENDING, a->status_text, t->now, e);

        return code ? code : work_again(tx, &t->w, t->now, 0, e);
    }
    return end(tx, t, r, ACTION_DONE, r->detail, e);
}

static enum err_code posted_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct turn *t = arg;
    struct action_record r = t->row;
    enum err_code code;

    switch (deed_end_of(t->code)) {
    case DEED_TAKEN:
        code = take(tx, t, &r, e);
        break;
    case DEED_UNKNOWN:
        r.posted = t->now;
        t->due = t->now + WORK_SETTLE_MS;
        code = postpone(tx, t, &r, e);
        break;
    case DEED_LATER:
        r.posted = 0;
        code = postpone(tx, t, &r, e);
        break;
    default:
        code = end(tx, t, &r, ACTION_FAILED, t->why.text, e);
    }
    t->after = r;
    return code;
}

static void log_action(const struct turn *t)
{
    const struct action_record *r = &t->row;

    log_event(r->state == ACTION_FAILED ? LOG_WARN : LOG_INFO, "action", LOG_ID("action", r->id),
              LOG_ID("case", r->case_id), LOG_STR("step", r->handler),
              LOG_STR("machine", r->machine_id), LOG_STR("state", action_state_name(r->state)),
              LOG_STR("defender", r->action_id), LOG_BOOL("adopted", r->adopted),
              LOG_STR("why", r->why));
}

/* Runs one of the transactions that fill t->after. They may run twice, so they leave t->row as they found it. */
static enum err_code save(struct turn *t, db_fn fn, struct err *e)
{
    enum err_code code = db_write(t->g->store->db, fn, t, e);

    if (!code)
        t->row = t->after;
    return code;
}

static bool write_outcome(struct turn *t, db_fn fn)
{
    struct err e;

    if (save(t, fn, &e)) {
        log_event(LOG_ERROR, "action_not_written", LOG_ID("action", t->row.id),
                  LOG_ID("case", t->row.case_id), LOG_ERR(&e));
        engine_retry(t->g, &t->w);
        return false;
    }
    log_action(t);
    engine_kick(t->g);
    return true;
}

static void post(struct turn *t)
{
    struct defender_action action = {0};
    char own[DEED_ID_SIZE];
    const struct defender_request q = {.deed = kinds[t->kind].deed,
                                       .machine_id = t->row.machine_id,
                                       .detail = t->row.detail,
                                       .comment = t->row.comment,
                                       .external_id = own_id(t, own),
                                       .leave_by_ms = t->leave_by_ms};

    if (!deed_begin(t->g, "action", t->row.id))
        return;
    t->code = deed_send(t->g, t->tenant->defender, &t->w, &q, &action, &t->why);
    t->action = &action;
    t->now = clock_wall_ms(t->g->clock);
    t->due =
        t->now + (t->code ? engine_backoff(t->w.attempts, t->why.retry_ms) : DEED_FOLLOW_MIN_MS);
    (void)write_outcome(t, posted_fn);
    engine_post_ended(t->g, t->row.id);
}

/* A person has let the case go: nothing more is done or told about it. */
static enum err_code let_go(struct db_tx *tx, struct turn *t, struct action_record *r,
                            struct err *e)
{
    enum err_code code;

    r->posted = 0;
    code = action_move(tx, r, ACTION_FAILED, "a person has dropped the case", t->now, e);
    return code ? code : work_done(tx, &t->w, e);
}

/* Why what is stale was not asked for. */
static const char *why_stale(const struct turn *t, const struct action_record *r)
{
    if (t->refused)
        return t->refused;
    return arena_fmt(t->arena, "it could not be asked for while facts and policy held: %s",
                     !t->tenant ? t->why.text
                     : r->why   ? r->why
                     : t->code  ? t->why.text
                                : "they changed");
}

/* Is it given up to find out what came of what was asked for so long ago? By a clock that is far off nobody can say. */
static bool is_given_up(const struct turn *t, int64_t age_ms)
{
    struct err off;

    return deed_is_given_up(&t->w, age_ms, t->code) && !runtime_check_clock(t->tenant, &off);
}

static enum err_code looked_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct turn *t = arg;
    struct action_record r = t->row;
    struct work w = t->w;
    bool wanted = false;
    enum err_code code = action_is_wanted(tx, &r, &wanted, e);

    if (code)
        return code;
    t->post = t->unknown = false;
    if (t->action) {
        code = take(tx, t, &r, e);
    } else if (!wanted && (!t->code || !r.posted)) {
        code = let_go(tx, t, &r, e);
    } else if (!t->code && !engine_is_in_force(t->g, t->rt)) { /* by the one in force, at once */
        (void)err_set(&t->why, ERR_AGAIN, "another configuration has come into force meanwhile");
        t->due = t->now;
        r.posted = 0; /* the look has shown that nothing came of it */
        code = postpone(tx, t, &r, e);
    } else if (t->stale && (!t->code || !r.posted)) {
        code = end(tx, t, &r, ACTION_FAILED, why_stale(t, &r), e);
    } else if (t->code && is_given_up(t, t->now - r.requested)) {
        t->unknown = true;
        code = end(tx, t, &r, ACTION_FAILED, ACTION_UNKNOWN, e);
    } else if (t->code) {
        code = postpone(tx, t, &r, e);
    } else {
        t->post = true;
        r.posted = t->now;
        code = action_move(tx, &r, ACTION_REQUESTED, r.why, t->now, e);
        if (!code)
            code = work_keep_for_post(tx, &w, t->now, e);
    }
    t->after = r;
    if (!code)
        t->w.lease_end = w.lease_end;
    return code;
}

/* Is it of this row's file, as far as Defender says? A file is the one thing that there are several of. */
static bool is_of_file(const struct turn *t, const struct defender_action *a)
{
    return kinds[t->kind].deed != DEFENDER_STOP_FILE || !a->file[0] || !t->row.detail ||
           strcasecmp(a->file, t->row.detail) == 0;
}

/* A full scan was asked for, and a quick one is under way: that is not what the rule wants, and Defender carries out one at
 * a time (section 4.5). */
static bool is_lesser(const struct turn *t, const struct defender_action *a)
{
    return kinds[t->kind].deed == DEFENDER_SCAN && t->row.detail &&
           strcmp(t->row.detail, "Full") == 0 && strcasecmp(a->scope, "Quick") == 0;
}

/* Is one under way that has to end first? */
static bool is_in_the_way(const struct turn *t, const struct defender_reads *look)
{
    for (size_t i = 0; i < look->n_actions; i++)
        if (defender_action_is_open(&look->actions[i]) && is_lesser(t, &look->actions[i]))
            return true;
    return false;
}

/* An action under way is adopted, whoever asked; one that ended is ours only by our id. */
static const struct defender_action *find(const struct turn *t, const struct defender_reads *look)
{
    const struct action_record *r = &t->row;
    char own[DEED_ID_SIZE];

    for (size_t i = 0; i < look->n_actions; i++)
        if (defender_action_is_open(&look->actions[i]) &&
            kinds[t->kind].deed != DEFENDER_STOP_FILE && !is_lesser(t, &look->actions[i]))
            return &look->actions[i];
    (void)own_id(t, own);
    for (size_t i = 0; i < look->n_actions && r->posted; i++)
        if (deed_is_own(&look->actions[i], own, r->requested) && is_of_file(t, &look->actions[i]))
            return &look->actions[i];
    return NULL;
}

/* The clock was set back: the request left at a time that is still to come. It rests from now on. */
static enum err_code rest_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct turn *t = arg;
    struct action_record r = t->row;
    enum err_code code;

    r.posted = t->now;
    code = action_move(tx, &r, r.state, r.why, t->now, e);
    t->after = r;
    return code ? code : work_again(tx, &t->w, t->now + WORK_SETTLE_MS, t->w.attempts, e);
}

/* Does a case ask for it still? What grounds_ask returns. */
static enum err_code ask_case(struct turn *t, int64_t id, bool *ret_old, struct err *e)
{
    const struct grounds_deed deed = {.handler = t->row.handler,
                                      .machine_id = t->row.machine_id,
                                      .arg = t->row.detail ? kinds[t->kind].detail : NULL,
                                      .value = t->row.detail};
    struct approval approval;
    struct case_record c;
    enum err_code code = store_case_load(t->g->store, t->arena, id, &c, e);

    if (!code)
        code = store_approval(t->g->store, t->arena, id, &approval, e);
    /* Where the look failed nothing else is asked of Defender, either. */
    return code ? code
                : grounds_ask(&c, &deed, &approval, t->rt, t->code ? NULL : t->tenant, t->g,
                              t->arena, ret_old, e);
}

/* Is it asked for still, by its own case or by another one that found it asked for already? What its own says is told. */
static void find_grounds(struct turn *t)
{
    int64_t ids[CASES_ASKED];
    bool unknown = false;
    size_t n = 0;
    struct err why, e;
    enum err_code code = store_action_cases(t->g->store, &t->row, CASES_ASKED, ids, &n, &why);

    t->refused = NULL;
    t->stale = !code;
    for (size_t i = 0; i < n; i++) {
        bool old = false;

        code = ask_case(t, ids[i], &old, &e);
        if (!code) {
            t->stale = false;
            return;
        }
        if (code != ERR_REFUSED) {
            unknown = true;
            why = e;
        } else if (i == 0 && !old) {
            t->refused = arena_str(t->arena, e.text);
        }
    }
    if (t->stale && !unknown)
        return;
    t->stale = false;
    if (t->code)
        return;
    t->code = why.code;
    t->why = why;
    t->due = clock_wall_ms(t->g->clock) + engine_backoff(t->w.attempts, why.retry_ms);
}

static void look_and_post(struct turn *t)
{
    int64_t rest = deed_rest_ms(t->g, t->row.posted, t->now);
    struct defender_reads look;

    if (t->row.posted > t->now)
        (void)write_outcome(t, rest_fn);
    else if (rest)
        engine_again(t->g, &t->w, rest);
    if (rest)
        return;
    defender_read_deeds(t->tenant->defender, kinds[t->kind].deed, t->row.machine_id, &look);
    t->now = clock_wall_ms(t->g->clock);
    t->code = look.actions_code;
    t->why = look.actions_err;
    t->due =
        t->now + (t->code ? engine_backoff(t->w.attempts, t->why.retry_ms) : DEED_FOLLOW_MIN_MS);
    t->action = t->code ? NULL : find(t, &look);
    if (!t->code && !t->action && is_in_the_way(t, &look)) {
        t->code = err_set(&t->why, ERR_AGAIN, "%s", lesser_scan);
        t->due = t->now + LESSER_LOOK_MS;
    }
    if (!t->action)
        find_grounds(t);
    /* A pause before the first is seen by the second, and one after it by whoever sends the request. */
    t->leave_by_ms = clock_boot_ms() + WORK_LEAVE_MS;
    t->now = clock_wall_ms(t->g->clock);
    if (!t->code && !t->action && !grounds_are_young(look.read_ms, t->now))
        engine_again(t->g, &t->w, 0);
    else if (write_outcome(t, looked_fn) && t->post)
        post(t);
    defender_reads_clear(&look);
}

/* ---- following -------------------------------------------------------------------------------------- */

static enum err_code followed_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct turn *t = arg;
    struct action_record r = t->row;
    enum err_code code;

    t->unknown = (t->code || t->endless) && is_given_up(t, t->now - r.requested);
    if (!t->code && !t->endless)
        code = take(tx, t, &r, e);
    else if (t->unknown)
        code = end(
            tx, t, &r, ACTION_FAILED,
            arena_fmt(t->arena, ACTION_UNKNOWN ": %s",
                      t->tenant ? "Defender did not say how it ended for four days" : t->why.text),
            e);
    else
        code = postpone(tx, t, &r, e);
    t->after = r;
    return code;
}

/* Was the package complete so long ago that its link is not waited for any more? By Defender's clock, if ours is ahead. */
static bool is_past_its_link(const struct turn *t, const struct defender_action *a)
{
    return t->now - runtime_clock_ahead_ms(t->tenant) - a->updated_ms > LINK_FOR_MS;
}

static void follow(struct turn *t)
{
    struct defender_action action = {0};
    int64_t age = t->now - t->row.requested;
    int64_t wait = deed_follow_ms(age);

    t->code = defender_get_action(t->tenant->defender, kinds[t->kind].deed, t->row.machine_id,
                                  t->row.action_id, &action, &t->why);
    t->action = &action;
    t->now = clock_wall_ms(t->g->clock);
    if (!t->code && action.status == DEFENDER_SUCCEEDED &&
        kinds[t->kind].deed == DEFENDER_COLLECT) {
        t->code = defender_package(t->tenant->defender, t->row.action_id, &t->link, &t->why);
        t->linkless = t->code != ERR_OK;
        t->now = clock_wall_ms(t->g->clock);
        if (t->code &&
            ((t->code != ERR_THROTTLED && is_past_its_link(t, &action)) || is_given_up(t, age)))
            t->code = ERR_OK; /* the package is there, in the portal; it comes without its link */
    }
    t->due = t->now + (wait > t->why.retry_ms ? wait : t->why.retry_ms);
    t->endless = !t->code && defender_action_is_open(&action) && is_given_up(t, age);
    (void)write_outcome(t, followed_fn);
}

/* ---- a run ------------------------------------------------------------------------------------------- */

/* Nobody can ask Defender now. The tenant may come back; but not for ever, and not to ask for what was not asked for. */
static void wait_for_tenant(struct turn *t)
{
    t->code = err_set(&t->why, ERR_REFUSED, "tenant '%s' is no longer configured", t->row.tenant);
    t->due = t->now + HOUR_MS;
    t->stale = true;
    (void)write_outcome(t, t->row.state == ACTION_REQUESTED ? looked_fn : followed_fn);
}

static enum err_code done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct turn *t = arg;

    return work_done(tx, &t->w, e);
}

void action_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct turn t = {.g = g,
                     .rt = rt,
                     .arena = arena,
                     .w = *w,
                     .now = clock_wall_ms(g->clock),
                     .link = BUF_INIT(16384)};
    struct err e = {0};
    enum err_code code = arena ? store_action_load(g->store, arena, w->id, &t.row, &e)
                               : err_set(&e, ERR_NOMEM, "action");

    if (deed_is_open(g, "action", w))
        return;
    if (!code)
        code = store_case_load(g->store, arena, t.row.case_id, &t.c, &e);
    if (code) {
        log_event(LOG_ERROR, "action_unreadable", LOG_ID("action", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    t.kind = find_kind(t.row.handler);
    t.tenant = runtime_tenant(rt, t.row.tenant);
    if (t.kind < 0 || t.row.state == ACTION_DONE || t.row.state == ACTION_FAILED) {
        if (db_write(g->store->db, done_fn, &t, &e))
            engine_retry(g, w);
    } else if (!t.tenant) {
        wait_for_tenant(&t);
    } else if (engine_enter(g, w, t.row.tenant, rt->config->n_tenants)) {
        (t.row.state == ACTION_REQUESTED ? look_and_post : follow)(&t);
    }
    buf_clear(&t.link);
}
