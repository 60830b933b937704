/* desk.c - see desk.h. */
#include "desk.h"

#include <string.h>
#include <strings.h>

#include "act.h"
#include "json.h"
#include "ledger.h"
#include "log.h"
#include "lookout.h"
#include "notice.h"
#include "notice_system.h"
#include "pause.h"
#include "question.h"
#include "releasing.h"
#include "store_audit.h"
#include "store_cases.h"
#include "store_isolations.h"

struct order {
    const struct desk_order *o;
    db_fn fn;
    const char *event;
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    int64_t now;
    struct case_record c; /* as it was before */
    struct isolation_record i;
};

/* "tried again by maria: the permission was missing" */
static const char *sentence(const struct order *q, const char *what)
{
    const char *who = q->o->who && q->o->who[0] ? q->o->who : NULL;
    const char *why = q->o->why && q->o->why[0] ? q->o->why : NULL;

    return arena_fmt(q->arena, "%s%s%s%s%s", what, who ? " by " : "", who ? who : "",
                     why ? ": " : "", why ? why : "");
}

/* What was ordered, by whom and why, is on record with what it did: also which verdict stood before, and since when. */
static enum err_code order_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    enum err_code code = q->fn(tx, q, e);
    AUTO(json_freep) struct json *verdict = NULL;

    if (!code && q->c.verdict)
        (void)json_parse(q->c.verdict, strlen(q->c.verdict), &verdict, NULL); /* of our own store */
    return code ? code
                : audit_put(tx, e, AUDIT_ORDER, q->o->id, q->now, LOG_STR("order", q->event),
                            LOG_STR("who", q->o->who), LOG_STR("why", q->o->why),
                            LOG_STR("before", case_state_name(q->c.state)),
                            LOG_STR("rule", q->c.rule),
                            LOG_STR("judged", json_get_string(verdict, "at")));
}

static enum err_code order(struct engine *g, const struct desk_order *o, db_fn fn,
                           const char *event, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct order q = {.o = o,
                      .fn = fn,
                      .event = event,
                      .g = g,
                      .rt = rt,
                      .arena = arena,
                      .now = clock_wall_ms(g->clock)};
    enum err_code code =
        arena ? db_write(g->store->db, order_fn, &q, e) : err_set(e, ERR_NOMEM, "an order");

    if (code)
        return code;
    log_event(LOG_INFO, event, LOG_ID("case", o->id), LOG_STR("who", o->who),
              LOG_STR("why", o->why), LOG_STR("before", case_state_name(q.c.state)));
    engine_kick(g);
    return ERR_OK;
}

/* ---- trying again ------------------------------------------------------------------------------ */

/* Was something that the policy wanted not done? */
static enum err_code find_undone(struct db_tx *tx, struct order *q, bool *ret, struct err *e)
{
    struct step_record *steps;
    size_t n = 0;
    enum err_code code = case_steps(tx, q->arena, q->c.id, &steps, &n, e);

    *ret = false;
    for (size_t i = 0; i < n && !code; i++)
        *ret = *ret || steps[i].state == STEP_FAILED || steps[i].state == STEP_WITHHELD;
    return code;
}

static enum err_code retry_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    struct isolation_record isolation = {.state = ISOLATION_RELEASED};
    struct case_record c;
    bool undone = false;
    enum err_code code = case_load(tx, q->arena, q->o->id, &q->c, e);

    if (!code && q->c.state == CASE_DONE)
        code = find_undone(tx, q, &undone, e);
    if (!code && q->c.isolation)
        code = isolation_load(tx, q->arena, q->c.isolation, &isolation, e);
    undone = undone || (q->c.state == CASE_DONE && isolation.state == ISOLATION_FAILED);
    if (!code && q->c.state != CASE_FAILED && !undone)
        code = err_set(e, ERR_CONFLICT,
                       "the case is %s%s: only one that failed, or of which a step failed or was "
                       "withheld, can be tried again",
                       case_state_name(q->c.state),
                       q->c.state == CASE_DONE ? ", and all its steps were done" : "");
    if (!code && isolation_is_open(isolation.state))
        code = err_set(e, ERR_CONFLICT,
                       "its machine's isolation is %s: it can be tried again when that is over",
                       isolation_state_name(isolation.state));
    if (code)
        return code;
    c = q->c;
    code = case_move(tx, &c, CASE_EXPANDING, sentence(q, "tried again"), q->now, e);
    if (!code)
        code = case_reset(tx, &c, e);
    if (!code)
        code = question_forget_case(tx, c.id, q->now, e);
    return code ? code : work_put(tx, c.id, WORK_CASE, WORK_NORMAL, q->now, q->now, NULL, e);
}

enum err_code desk_retry(struct engine *g, const struct desk_order *o, struct err *e)
{
    return order(g, o, retry_fn, "case_retried", e);
}

/* ---- letting go -------------------------------------------------------------------------------- */

/* Who was told that a person is asked, that cordon tries on or that an isolation is still to come waits for another mail. How
 * an isolation that was asked for ends is told when it does. */
static enum err_code tell_dropped(struct db_tx *tx, struct order *q, struct err *e)
{
    const struct notice n = {
        .kind = NOTICE_NOT_ISOLATED, .why = sentence(q, "dropped"), .c = &q->c};
    bool owed = notice_was_told(&q->c, NOTICE_QUESTION) || notice_was_told(&q->c, NOTICE_LATE);
    struct step_record *steps;
    size_t count = 0;
    enum err_code code;

    if (!q->c.told || q->c.isolation || notice_was_told(&q->c, n.kind))
        return ERR_OK;
    code = case_steps(tx, q->arena, q->c.id, &steps, &count, e);
    for (size_t i = 0; i < count && !code; i++)
        owed = owed || (steps[i].state == STEP_WAITING && strcmp(steps[i].handler, "isolate") == 0);
    return code || !owed ? code : notice_put(tx, q->g, q->rt, q->arena, &n, q->now, e);
}

/* Is the case done because its machine stayed absent? When that is seen again it begins anew (lookout.h). */
static enum err_code find_lapsed(struct db_tx *tx, struct order *q, bool *ret, struct err *e)
{
    struct isolation_record i = {.state = ISOLATION_RELEASED};
    enum err_code code = q->c.state == CASE_DONE && q->c.isolation
                             ? isolation_load(tx, q->arena, q->c.isolation, &i, e)
                             : ERR_OK;

    *ret = i.state == ISOLATION_FAILED && i.lapsed && q->now - i.lapsed < LOOKOUT_FOR_MS;
    return code;
}

/* case_visit_fn */
static enum err_code is_kept(struct db_tx *tx, void *arg, struct case_record *c, bool *ret_done,
                             struct err *e)
{
    (void)tx;
    (void)e;
    *ret_done = c->state != CASE_DROPPED;
    *(bool *)arg = *ret_done;
    return ERR_OK;
}

/* Nobody looks out for the machine of an isolation whose cases were all let go. */
static enum err_code end_lookout(struct db_tx *tx, struct order *q, struct err *e)
{
    bool kept = false;
    enum err_code code = case_each(tx, q->arena, q->c.isolation, CASE_STATES, 0, is_kept, &kept, e);

    return code || kept ? code : work_cancel(tx, q->c.isolation, e);
}

static enum err_code drop_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    struct case_record c;
    bool lapsed = false;
    enum err_code code = case_load(tx, q->arena, q->o->id, &q->c, e);

    if (!code)
        code = find_lapsed(tx, q, &lapsed, e);
    if (code)
        return code;
    if ((q->c.state == CASE_DONE && !lapsed) || q->c.state == CASE_DROPPED)
        return err_set(e, ERR_CONFLICT, "the case is %s already", case_state_name(q->c.state));
    c = q->c;
    code = case_move(tx, &c, CASE_DROPPED, sentence(q, "dropped"), q->now, e);
    if (!code)
        code = question_forget_case(tx, c.id, q->now, e);
    if (!code && lapsed) /* how it stands was told */
        return end_lookout(tx, q, e);
    if (!code)
        code = tell_dropped(tx, q, e);
    if (!code && c.isolation && c.told) /* whose end nobody was told while the case was at work */
        code = act_settle(tx, q->g, q->rt, q->arena, &c, q->now, e);
    /* Whoever is at work on it loses the claim with that, and writes nothing more. */
    return code ? code : work_cancel(tx, c.id, e);
}

enum err_code desk_drop(struct engine *g, const struct desk_order *o, struct err *e)
{
    if (!o->why || !o->why[strspn(o->why, " \t\r\n")])
        return err_set(e, ERR_INVALID, "why: a case is dropped for a reason; say which");
    return order(g, o, drop_fn, "case_dropped", e);
}

/* ---- a machine that is isolated ------------------------------------------------------------------ */

static bool is_given(const char *text)
{
    return text && text[strspn(text, " \t\r\n")];
}

static enum err_code isolation_order_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    enum err_code code = q->fn(tx, q, e);

    return code ? code
                : audit_put(tx, e, AUDIT_ORDER, q->i.case_id, q->now, LOG_STR("order", q->event),
                            LOG_ID("isolation", q->o->id), LOG_STR("machine", q->i.machine_id),
                            LOG_STR("who", q->o->who), LOG_STR("why", q->o->why),
                            LOG_INT("for_ms", q->o->for_ms));
}

static enum err_code order_about_isolation(struct engine *g, const struct desk_order *o, db_fn fn,
                                           const char *event, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct order q = {.o = o,
                      .fn = fn,
                      .event = event,
                      .g = g,
                      .rt = rt,
                      .arena = arena,
                      .now = clock_wall_ms(g->clock)};
    enum err_code code = arena ? db_write(g->store->db, isolation_order_fn, &q, e)
                               : err_set(e, ERR_NOMEM, "an order");

    if (code)
        return code;
    log_event(LOG_INFO, event, LOG_ID("isolation", o->id), LOG_ID("case", q.i.case_id),
              LOG_STR("machine", q.i.machine_id), LOG_STR("who", o->who), LOG_STR("why", o->why),
              LOG_BOOL("adopted", q.i.adopted));
    engine_kick(g);
    return ERR_OK;
}

/* Loads it into q->i; it is of the machine that the order names, if it names one. */
static enum err_code load_named(struct db_tx *tx, struct order *q, struct err *e)
{
    const char *named = q->o->machine;
    enum err_code code = isolation_load(tx, q->arena, q->o->id, &q->i, e);

    if (code)
        return code;
    if (named && !is_given(named))
        return err_set(e, ERR_INVALID, "machine: the name is empty: say which machine");
    if (named && strcasecmp(named, q->i.machine_id) != 0 &&
        (!q->i.machine_name || strcasecmp(named, q->i.machine_name) != 0))
        return err_set(e, ERR_INVALID, "machine: this isolation is of %s (%s), not of '%.60s'",
                       q->i.machine_name ? q->i.machine_name : "a machine without a name",
                       q->i.machine_id, named);
    return ERR_OK;
}

/* Is it ISOLATED? */
static enum err_code check_isolated(const struct order *q, struct err *e)
{
    if (q->i.state == ISOLATION_RELEASING)
        return err_set(e, ERR_CONFLICT, "the machine is being released already");
    if (q->i.state == ISOLATION_REQUESTED)
        return err_set(e, ERR_CONFLICT,
                       "the machine is not isolated yet, and Defender has not taken the request: "
                       "`cordon cases drop` of its cases stops that, unless it is on its way");
    if (q->i.state == ISOLATION_PENDING)
        return err_set(
            e, ERR_CONFLICT,
            "the machine is not isolated yet, its isolation is pending: cancel the action in "
            "the Defender portal, or wait until it is confirmed");
    if (isolation_is_unknown(&q->i))
        return err_set(
            e, ERR_CONFLICT,
            "nobody knows whether the machine is isolated: Defender has not said what came "
            "of it. See there, in the portal, and release it there if it is");
    if (q->i.state != ISOLATION_ISOLATED)
        return err_set(e, ERR_CONFLICT, "the machine is not isolated, its isolation is %s",
                       isolation_state_name(q->i.state));
    return ERR_OK;
}

static enum err_code release_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    const char *why;
    enum err_code code = load_named(tx, q, e);

    if (!code && !release_is_waiting(&q->i))
        code = check_isolated(q, e);
    if (code)
        return code;
    if (q->i.adopted && !q->o->machine)
        return err_set(e, ERR_CONFLICT,
                       "%s isolated this machine, not cordon: name the machine to release it all "
                       "the same (%s)",
                       q->i.requestor ? q->i.requestor : "somebody else",
                       q->i.machine_name ? q->i.machine_name : q->i.machine_id);
    why = sentence(q, "release ordered");
    return why ? release_order(tx, q->arena, &q->i, why, false, q->now, e)
               : err_set(e, ERR_NOMEM, "an order");
}

enum err_code desk_release(struct engine *g, const struct desk_order *o, struct err *e)
{
    if (!is_given(o->why))
        return err_set(e, ERR_INVALID, "why: a machine is released for a reason; say which");
    return order_about_isolation(g, o, release_fn, "release_ordered", e);
}

static enum err_code extend_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *q = arg;
    const struct ledger_turn t = {.g = q->g, .rt = q->rt, .arena = q->arena, .now = q->now};
    struct isolation_record r;
    enum err_code code = load_named(tx, q, e);

    if (!code) /* what a rule has ordered, and Defender has not taken */
        code = release_take_back(tx, &t, &q->i, sentence(q, "extended"), e);
    if (!code)
        code = check_isolated(q, e);
    if (code)
        return code;
    r = q->i;
    r.reminded = 0;
    r.review = q->now + q->o->for_ms;
    if (r.keep_until < r.review)
        r.keep_until = r.review;
    code = isolation_move(tx, &r, ISOLATION_ISOLATED, r.why, q->now, e);
    return code ? code : ledger_take(tx, q->arena, &r, q->now, e);
}

enum err_code desk_extend(struct engine *g, const struct desk_order *o, struct err *e)
{
    if (o->for_ms < DESK_EXTEND_MIN_MS || o->for_ms > DESK_EXTEND_MAX_MS)
        return err_set(e, ERR_INVALID, "for: expected 1m to 366d, such as 4h");
    return order_about_isolation(g, o, extend_fn, "isolation_extended", e);
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* A name without the blanks around it, so that nobody is a second person by one; NULL: none is given. */
static const char *trimmed(struct arena *a, const char *text)
{
    static const char blanks[] = " \t\r\n";
    size_t len;

    if (!is_given(text))
        return NULL;
    text += strspn(text, blanks);
    for (len = strlen(text); strchr(blanks, text[len - 1]);)
        len--;
    return arena_strn(a, text, len);
}

static const char *given(const char *text)
{
    return is_given(text) ? text : NULL;
}

/* What a yes to this question was not enough for. That it cannot be found out is no reason to say that the yes was not
 * written. */
static const char *besides(struct engine *g, int64_t question, enum question_state state)
{
    bool followed = false;

    if (state == QUESTION_OPEN)
        return "another person must say yes, too";
    (void)store_question_is_followed(g->store, question, &followed, NULL);
    return followed ? "it takes a yes to another question, too" : NULL;
}

static enum err_code answer(struct engine *g, const struct desk_order *o, bool yes, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const struct question_answer a = {.question = o->id,
                                      .person = trimmed(arena, o->who),
                                      .way = "operator",
                                      .why = given(o->why),
                                      .yes = yes};
    enum question_state state;
    enum err_code code = question_answer(g, &a, &state, e);

    if (!code && yes && o->ret_besides)
        *o->ret_besides = besides(g, o->id, state);
    return code;
}

enum err_code desk_approve(struct engine *g, const struct desk_order *o, struct err *e)
{
    return answer(g, o, true, e);
}

enum err_code desk_refuse(struct engine *g, const struct desk_order *o, struct err *e)
{
    return answer(g, o, false, e);
}

/* ---- the kill switch ---------------------------------------------------------------------------- */

struct switching {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct desk_order *o;
    int64_t now;
    bool was;
    struct pause p;            /* as it is then */
    struct notice_system told; /* what people are told; no kind: nothing */
};

static enum err_code record_order(struct db_tx *tx, const struct switching *t, const char *what,
                                  struct err *e)
{
    return audit_put(tx, e, AUDIT_ORDER, 0, t->now, LOG_STR("order", what),
                     LOG_STR("who", given(t->o->who)), LOG_STR("why", given(t->o->why)));
}

/* The line in the log waits for the commit: on a full disk nothing is paused. */
static enum err_code tell_switch(struct db_tx *tx, struct switching *t, struct err *e)
{
    t->told.logged_after = true;
    return notice_system_put(tx, t->g, t->rt, t->arena, &t->told, t->now, e);
}

static enum err_code pause_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct switching *t = arg;
    struct notice_system n = {
        .about = "pause",
        .kind = "paused",
        .headline = "cordon is paused: nothing more is isolated",
        .body =
            "What the rules want isolated meanwhile is told as [NOT ISOLATED: paused ...] and can be "
            "begun anew after `cordon resume`, with `cordon cases retry`. Releases, notices and "
            "reading go on."};
    enum err_code code = pause_set(tx, given(t->o->who), given(t->o->why), t->now, e);

    if (!code)
        code = pause_read(tx, t->rt, t->arena, &t->p, e);
    if (!code)
        code = record_order(tx, t, "pause", e);
    if (code)
        return code;
    n.subject = pause_words(&t->p, t->arena);
    t->told = n;
    return tell_switch(tx, t, e);
}

static enum err_code resume_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct switching *t = arg;
    const char *who = given(t->o->who), *why = given(t->o->why);
    struct notice_system n = {
        .about = "pause",
        .kind = "resumed",
        .headline = "cordon goes on",
        .body = policy_is_shadow(t->rt->config->policy)
                    ? "The pause is over, but shadow mode is on: nothing is asked for all the same."
                    : "Isolations are asked for again. What was wanted meanwhile is not made "
                      "up for by itself: `cordon cases retry` begins a case anew.",
        .good = true,
        .follows = true};
    enum err_code code = pause_clear(tx, &t->was, e);

    if (!code)
        code = pause_read(tx, t->rt, t->arena, &t->p, e);
    if (code || !t->was)
        return code;
    code = record_order(tx, t, "resume", e);
    if (code)
        return code;
    n.subject = arena_fmt(t->arena, "resumed%s%s%s%s", who ? " by " : "", who ? who : "",
                          why ? ": " : "", why ? why : "");
    if (t->p.file) {
        n.subject = arena_fmt(t->arena, "still paused: %s, but a file pauses", n.subject);
        n.headline = "cordon is still paused: nothing more is isolated";
        n.body = "The pause by command or console was taken back, but the file that "
                 "safety.pause_file names is there, and pauses as well. Isolations go on when it "
                 "is removed; until then what the rules want is told as [NOT ISOLATED: paused "
                 "...].";
        n.good = false;
    }
    t->told = n;
    return tell_switch(tx, t, e);
}

static enum err_code switch_over(struct switching *t, db_fn fn, const char *event, struct err *e)
{
    enum err_code code =
        t->arena ? db_write(t->g->store->db, fn, t, e) : err_set(e, ERR_NOMEM, "an order");

    if (code)
        return code;
    if (t->told.kind) { /* else nothing was thrown or taken back */
        log_event(LOG_WARN, event, LOG_STR("who", t->o->who), LOG_STR("why", t->o->why));
        notice_system_log(&t->told);
    }
    engine_kick(t->g);
    return ERR_OK;
}

enum err_code desk_pause(struct engine *g, const struct desk_order *o, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct switching t = {.g = g, .rt = rt, .arena = arena, .o = o, .now = clock_wall_ms(g->clock)};

    return switch_over(&t, pause_fn, "pause", e);
}

enum err_code desk_resume(struct engine *g, const struct desk_order *o, struct err *e)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct switching t = {.g = g, .rt = rt, .arena = arena, .o = o, .now = clock_wall_ms(g->clock)};
    enum err_code code = switch_over(&t, resume_fn, "resume", e);

    if (code)
        return code;
    if (t.p.file)
        return err_set(e, ERR_CONFLICT, "%s still pauses: remove this file", t.p.file);
    return t.was ? ERR_OK : err_set(e, ERR_CONFLICT, "cordon is not paused");
}
