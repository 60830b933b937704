/* act.c - see act.h.
 *
 * A step that ends writes its state in the transaction of its effect where it has one (a notice, an
 * isolation), so that a crash finds it done or not begun. A step that is refused does not stop the ones
 * after it: people must hear of it. One that waits for the isolation to be confirmed is passed over until that
 * is known; then the case is read and judged again (expand.c), as that may take days.
 */
#include "act.h"

#include <string.h>

#include "channel.h"
#include "ending.h"
#include "grounds.h"
#include "log.h"
#include "notice.h"
#include "notice_letter.h"
#include "question.h"
#include "standing.h"
#include "store_isolations.h"
#include "store_notices.h"

/* Steps are tried for a day; then they failed. But not for that an alert is not there which was read when it was judged: so long a
 * new one may not be readable (expand.c). What was tried for as long in vain for something else, with as much time between two
 * tries, hears so twice before it is believed: Defender may only be coming back. */
#define STEP_GIVE_UP_MS DAY_MS
#define GONE_GIVE_UP_MS (15 * MINUTE_MS)

/* The isolation is over, people are told; what is left of the case? */
static enum err_code go_on(struct db_tx *tx, struct arena *arena, struct case_record *c,
                           int64_t now, struct err *e)
{
    struct step_record *steps;
    size_t n = 0, left = 0;
    bool held = false;
    enum err_code code = case_steps(tx, arena, c->id, &steps, &n, e);

    for (size_t i = 0; i < n && !code; i++)
        left += steps[i].state == STEP_WAITING;
    if (!code && left)
        code = question_holds(tx, c->id, &held, e);
    if (code)
        return code;
    if (!left)
        return case_move(tx, c, CASE_DONE, c->why, now, e);
    if (held)
        return c->state == CASE_WAITING ? ERR_OK : case_move(tx, c, CASE_WAITING, c->why, now, e);
    code = case_move(tx, c, CASE_DECIDING, c->why, now, e);
    return code ? code : work_put(tx, c->id, WORK_CASE, WORK_NORMAL, now, now, NULL, e);
}

/* Has a step that was to tell people found nobody to tell? */
static enum err_code find_unheard(struct db_tx *tx, struct arena *arena,
                                  const struct case_record *c, bool *ret, struct err *e)
{
    struct step_record *steps;
    size_t n = 0;
    enum err_code code = case_steps(tx, arena, c->id, &steps, &n, e);

    for (size_t i = 0; i < n && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        *ret = *ret || (h && !h->acts && steps[i].state == STEP_FAILED);
    }
    return code;
}

/* An isolation that the rule asks for and that was not done: refused, withheld, or left out because of another step. */
static bool is_isolation_undone(const struct step_record *steps, size_t at)
{
    return strcmp(steps[at].handler, "isolate") == 0 &&
           (steps[at].state == STEP_FAILED || steps[at].state == STEP_WITHHELD ||
            ending_was_cut_short(steps, at));
}

/* People were asked how to go on when they knew already how the isolation stands: who does is not told it again. */
static enum err_code tell_end(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, struct notice *n, int64_t now, struct err *e)
{
    bool asked = notice_was_told(n->c, NOTICE_QUESTION) &&
                 (n->kind == NOTICE_ISOLATED || n->kind == NOTICE_RELEASED);
    struct case_record c = *n->c;
    const char **before = NULL;
    enum err_code code = asked ? notice_audience(tx, arena, c.id, &before, &n->n_to, e) : ERR_OK;

    if (code || !n->n_to)
        return code ? code : notice_put(tx, g, rt, arena, n, now, e);
    n->to = before;
    code = channels_settle(tx, g, rt, arena, n, NULL, now, e);
    if (!code)
        code = notice_leave_out(tx, arena, n, e);
    if (code)
        return code;
    return n->n_to ? notice_put(tx, g, rt, arena, n, now, e)
                   : case_told(tx, &c, notice_kind_name(n->kind), e);
}

/* Whatever its isolation comes to, nothing more is done about it. */
static bool is_over(const struct case_record *c)
{
    return c->state == CASE_DROPPED || c->state == CASE_FAILED;
}

/* Has nobody heard of it, because whom its steps name is not configured any more? Others are, who can be told. owed: of find_unheard. */
static bool is_untold(const struct case_record *c, bool owed, const struct config *config)
{
    return owed && !c->told &&
           ((config->mail.server && config->mail.to.count) || config->n_webhooks);
}

/* Its isolation is under way, which may take days: of a case that nobody has heard of how it stands is told at once. */
static enum err_code tell_under_way(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                    struct arena *arena, const struct case_record *c, int64_t now,
                                    struct err *e)
{
    struct notice n = {.c = c, .doubt = c->why};
    struct isolation_record isolation;
    bool owed = false;
    enum err_code code = c->told ? ERR_OK : find_unheard(tx, arena, c, &owed, e);

    if (code || !is_untold(c, owed, rt->config))
        return code;
    code = standing_read(tx, arena, c, &n, &isolation, e);
    return code ? code : notice_put(tx, g, rt, arena, &n, now, e);
}

/* Of a case without an isolation: did an acting step come to nothing with nobody told? Then the rule has no step that
 * tells, and n says so. */
static enum err_code find_undone(struct db_tx *tx, struct arena *arena, int64_t case_id,
                                 struct notice *n, struct err *e)
{
    struct step_record *steps;
    size_t n_steps = 0;
    enum err_code code = case_steps(tx, arena, case_id, &steps, &n_steps, e);

    n->kind = NOTICE_ALERT;
    for (size_t i = 0; i < n_steps && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        /* A handler that this version has not may have been one that acts. */
        if ((steps[i].state != STEP_FAILED && steps[i].state != STEP_WITHHELD &&
             !is_isolation_undone(steps, i)) ||
            (h && !h->acts))
            continue;
        if (!h || strcmp(h->name, "isolate") == 0) {
            n->kind = NOTICE_NOT_ISOLATED;
            n->why = steps[i].why;
        } else if (n->kind == NOTICE_ALERT) {
            n->kind = NOTICE_ACTION_FAILED;
            n->why = arena_fmt(arena, "%s: %s", h->name, steps[i].why);
            n->since = steps[i].updated;
        }
    }
    return code;
}

enum err_code act_settle(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, struct case_record *c, int64_t now, struct err *e)
{
    struct isolation_record isolation;
    struct notice n = {.c = c};
    AUTO(json_freep) struct json *doc = NULL;
    struct facts facts;
    bool owed = c->told != NULL, untold; /* the end; even the beginning */
    enum err_code code;

    if (c->isolation) {
        code = isolation_load(tx, arena, c->isolation, &isolation, e);
        if (code)
            return code;
        if (!isolation_is_settled(isolation.state)) {
            code = is_over(c) ? ERR_OK : tell_under_way(tx, g, rt, arena, c, now, e);
            return code || c->state == CASE_WAITING || is_over(c)
                       ? code
                       : case_move(tx, c, CASE_WAITING, c->why, now, e);
        }
        n.isolation = &isolation;
        standing_end(&isolation, &n);
    } else {
        code = find_undone(tx, arena, c->id, &n, e);
    }
    if (!code && !owed)
        code = find_unheard(tx, arena, c, &owed, e);
    if (code)
        return code;
    untold = n.kind == NOTICE_ALERT && is_untold(c, owed, rt->config);
    if (untold)
        n.doubt = c->why;
    /* Who was told that it is late is owed the end, and so are those who could not be told of its beginning; else a
     * rule that mails nobody hears of bad news only. */
    if (notice_was_told(c, NOTICE_LATE) || untold ||
        (n.kind != NOTICE_ALERT && !notice_is_known(c, n.kind) &&
         (owed || n.kind == NOTICE_NOT_ISOLATED || n.kind == NOTICE_ACTION_FAILED))) {
        if (c->facts && !json_parse(c->facts, strlen(c->facts), &doc, NULL) &&
            !facts_read(doc, &facts, NULL))
            n.facts = &facts;
        code = tell_end(tx, g, rt, arena, &n, now, e);
    } else if (c->isolation || n.kind == NOTICE_NOT_ISOLATED) {
        code = channels_settle(tx, g, rt, arena, &n, NULL, now, e);
    }
    return code || is_over(c) ? code : go_on(tx, arena, c, now, e);
}

/* Did somebody decide how to go on after step number `at`? Then he was told that it failed. */
static bool was_asked_after(const struct step_record *steps, size_t n, size_t at)
{
    AUTO(json_freep) struct json *args = NULL;
    const char *then = json_parse(steps[at].args, strlen(steps[at].args), &args, NULL)
                           ? NULL
                           : json_get_string(args, "on_failure");
    bool follows = false; /* only before a step that acts is it asked */

    for (size_t i = at + 1; i < n; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        follows = follows || (h && h->acts);
    }
    return follows && then && strcmp(then, "ask") == 0;
}

/* Was it withheld because nobody said that it goes on after one before it? Whoever was asked is told so. */
static bool was_not_let(const struct step_record *steps, size_t n, size_t at)
{
    bool asked = false;

    for (size_t i = 0; i < at && steps[at].state == STEP_WITHHELD; i++)
        asked = asked || ((steps[i].state == STEP_FAILED || steps[i].state == STEP_WITHHELD) &&
                          was_asked_after(steps, n, i));
    return asked;
}

/* A step beside the isolation, or beside another one, that was not done. What is said of those says nothing of it. */
static enum err_code tell_undone(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                 struct arena *arena, const struct case_record *c, int64_t now,
                                 struct err *e)
{
    struct step_record *steps;
    size_t n_steps = 0;
    bool undone = false; /* the isolation: what is withheld together with it is told with it */
    enum err_code code = case_steps(tx, arena, c->id, &steps, &n_steps, e);

    for (size_t i = 0; i < n_steps && !code; i++)
        undone = undone || is_isolation_undone(steps, i);
    for (size_t i = 0; i < n_steps && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);
        struct notice n = {
            .kind = NOTICE_ACTION_FAILED, .c = c, .since = steps[i].updated, .aside = true};
        const char *said;
        bool known = false;

        if ((steps[i].state != STEP_FAILED && (undone || !was_not_let(steps, n_steps, i))) || !h ||
            !h->acts || strcmp(h->name, "isolate") == 0 || was_asked_after(steps, n_steps, i))
            continue;
        n.why = arena_fmt(arena, "%s: %s", h->name, steps[i].why);
        said = notice_said(&n, arena);
        said = said ? arena_fmt(arena, "[%s]", said) : NULL;
        if (!n.why || !said)
            return err_set(e, ERR_NOMEM, "notice");
        /* since then: of one that was tried anew, and came to nothing again, nobody has heard */
        code = notice_was_said(tx, c->id, said, steps[i].updated, &known, e);
        if (!code && !known)
            code = notice_put(tx, g, rt, arena, &n, now, e);
    }
    return code;
}

/* ---- the transactions of a run ----------------------------------------------------------------- */

struct after_opening {
    const struct opening *opening;
    db_fn fn;
    void *arg;
};

static enum err_code after_opening_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct after_opening *w = arg;
    enum err_code code = w->opening->fn(tx, w->opening->arg, e);

    return code ? code : w->fn(tx, w->arg, e);
}

static enum err_code write_to_store(struct step *s, db_fn fn, void *arg, struct err *e)
{
    struct after_opening w = {.opening = &s->opening, .fn = fn, .arg = arg};

    return s->opening.fn ? db_write(s->engine->store->db, after_opening_fn, &w, e)
                         : db_write(s->engine->store->db, fn, arg, e);
}

static void opened(struct step *s)
{
    if (s->opening.fn)
        s->opening.written(s->opening.arg);
    s->opening.fn = NULL;
}

/* step_write for what this file writes. */
static enum err_code write_end(struct step *s, db_fn fn, void *arg, struct err *e)
{
    enum err_code code = write_to_store(s, fn, arg, e);

    if (!code)
        opened(s);
    return code;
}

/* What the handler asks for then leaves before the lines about it are written, each of which takes as long as half a
 * transaction. run_step lets them go, if the wait for an answer does not. */
enum err_code step_write(struct step *s, db_fn fn, void *arg, struct err *e)
{
    enum err_code code = write_to_store(s, fn, arg, e);

    if (code)
        return code;
    log_gather();
    opened(s);
    return ERR_OK;
}

/* ---- writing what a step came to -------------------------------------------------------------- */

struct end {
    struct step *s;
    enum step_state state;
    const char *why;
    int64_t now, due, attempts; /* due, attempts: for a retry */
    bool late;
    struct case_record c; /* as it is after the transaction */
};

static enum err_code end_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct end *d = arg;
    enum err_code code = step_move(tx, d->s->c->id, d->s->n, d->state, d->why, d->now, e);

    return code ? code : work_keep(tx, d->s->work, d->now, e);
}

static enum err_code retry_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct end *d = arg;
    struct step *s = d->s;
    struct notice n = {.kind = NOTICE_LATE, .why = d->why, .c = &d->c, .facts = s->facts};
    enum err_code code = step_move(tx, s->c->id, s->n, STEP_WAITING, d->why, d->now, e);

    d->c = *s->c;
    if (!code && d->late)
        code = notice_put(tx, s->engine, s->runtime, s->arena, &n, d->now, e);
    return code ? code : work_again(tx, s->work, d->due, d->attempts, e);
}

/* The claim goes back until the step is tried again. */
static void retry_later(struct step *s, const struct handler *h, const struct err *why)
{
    int64_t now = clock_wall_ms(s->engine->clock);
    int64_t wait = engine_wait_after(s->work, why);
    bool isolates = strcmp(h->name, "isolate") == 0;
    struct end d = {.s = s,
                    .why = why->text,
                    .now = now,
                    .due = now + wait,
                    .attempts = engine_attempts_after(s->work, why),
                    .late = isolates && engine_is_late(now, s->work->created) &&
                            !notice_was_told(s->c, NOTICE_LATE)};
    struct err e;

    log_event(LOG_INFO, "step_later", LOG_ID("case", s->c->id), LOG_STR("step", h->name),
              LOG_INT("attempt", s->work->attempts), LOG_INT("next_ms", wait), LOG_ERR(why));
    /* Mails wait behind it: what acts at once is refused then, for its facts are too old. */
    d.due = engine_late_due(now, d.due, s->work->created);
    if (d.late)
        d.why = notice_not_yet(s->arena, why->text);
    if (why->code == ERR_THROTTLED)
        engine_throttled(s->engine, s->runtime);
    if (write_end(s, retry_fn, &d, &e)) {
        log_event(LOG_ERROR, "step_not_written", LOG_ID("case", s->c->id), LOG_ERR(&e));
        engine_again(s->engine, s->work, wait);
    }
    engine_kick(s->engine);
}

/* ---- whether it is its turn ------------------------------------------------------------------- */

/* if: {isolate: isolated} */
static bool is_confirmed(const struct json *wanted)
{
    return json_string(wanted) && strcmp(json_string(wanted), "isolated") == 0;
}

/* Why a step is left out; NULL: it is not. steps: as they stand now, this one is number n of them. */
static const char *find_skip(struct arena *a, const struct step_record *steps, size_t n)
{
    AUTO(json_freep) struct json *args = NULL;
    const struct handler *h = handler_find(steps[n].handler);
    const struct json *wanted;

    /* People must hear of it, whatever went before. */
    for (size_t i = 0; i < n && h && h->acts; i++) {
        AUTO(json_freep) struct json *before = NULL;
        const char *stops;

        if (steps[i].state != STEP_FAILED && steps[i].state != STEP_WITHHELD)
            continue;
        if (json_parse(steps[i].args, strlen(steps[i].args), &before, NULL))
            continue;
        stops = json_get_string(before, "on_failure");
        if (stops && strcmp(stops, "stop") == 0)
            return arena_fmt(a, "%s was %s, and nothing is to be done after that", steps[i].handler,
                             step_state_name(steps[i].state));
    }
    if (json_parse(steps[n].args, strlen(steps[n].args), &args, NULL))
        return NULL; /* run_step says what is wrong with it */
    wanted = json_first(json_get(args, "if"));
    for (size_t i = 0; i < n && wanted; i++)
        if (strcmp(steps[i].handler, json_name(wanted)) == 0 &&
            strcmp(step_state_name(steps[i].state),
                   is_confirmed(wanted) ? "done" : json_string(wanted)) != 0)
            return arena_fmt(a, "%s was %s, not %s", steps[i].handler,
                             step_state_name(steps[i].state), json_string(wanted));
    return NULL;
}

/* A step that is to be done once the machine is isolated: is it? *ret_later: nobody knows yet. *ret_skip: why it
 * never will be. */
static enum err_code check_confirmed(struct step *s, const struct step_record *record,
                                     bool *ret_later, const char **ret_skip, struct err *e)
{
    AUTO(json_freep) struct json *args = NULL;
    struct isolation_record r;
    enum err_code code;

    *ret_later = false;
    if (json_parse(record->args, strlen(record->args), &args, NULL) ||
        !is_confirmed(json_first(json_get(args, "if"))))
        return ERR_OK;
    code = store_isolation_load(s->engine->store, s->arena, s->c->isolation, &r, e);
    if (code)
        return code;
    *ret_later = !isolation_is_settled(r.state);
    if (!*ret_later && r.state != ISOLATION_ISOLATED)
        *ret_skip = arena_fmt(s->arena, "the machine is not isolated: the isolation is %s",
                              isolation_state_name(r.state));
    return ERR_OK;
}

/* Has a person said that it goes on after this step, which was not done? By the policy in force: under another one he, or others,
 * may have to say so. *ret_newer: he has, by one that this replica may not have been told of yet. */
static enum err_code find_word(struct step *s, const struct step_record *failed, bool *ret,
                               bool *ret_newer, struct err *e)
{
    const struct config *config = s->runtime->config;
    struct approval approval;
    enum err_code code = store_question_goes_on(s->engine->store, s->c->id, failed->n,
                                                policy_hash(config->policy), ret, e);

    if (code || *ret)
        return code;
    code = store_approval(s->engine->store, s->arena, s->c->id, &approval, e);
    *ret_newer = !code && grounds_may_be_newer(&approval, config, s->engine,
                                               clock_wall_ms(s->engine->clock));
    return code;
}

/* The step before number n of steps that was not done, and after which a person is to say how to go on; NULL:
 * there is none, or he has. *ret_newer: as of find_word. */
static enum err_code find_open_failure(struct step *s, const struct step_record *steps, size_t n,
                                       const struct step_record **ret, bool *ret_newer,
                                       struct err *e)
{
    const struct handler *h = handler_find(steps[n].handler);
    enum err_code code = ERR_OK;

    *ret = NULL;
    for (size_t i = 0; i < n && h && h->acts && !code && !*ret; i++) {
        AUTO(json_freep) struct json *args = NULL;
        const char *then;
        bool goes_on = false;

        if ((steps[i].state != STEP_FAILED && steps[i].state != STEP_WITHHELD) ||
            json_parse(steps[i].args, strlen(steps[i].args), &args, NULL))
            continue;
        then = json_get_string(args, "on_failure");
        if (!then || strcmp(then, "ask") != 0)
            continue;
        code = find_word(s, &steps[i], &goes_on, ret_newer, e);
        if (!code && !goes_on)
            *ret = &steps[i];
    }
    return code;
}

/* A step that acts behind an `ask` waits for a yes, which question.c has written by the time it runs. Where nobody could be
 * asked there is none, and it is not done. */
static bool is_unasked(const struct step_record *steps, size_t n)
{
    const struct handler *h = handler_find(steps[n].handler);

    for (size_t i = 0; i < n && h && h->acts; i++)
        if (strcmp(steps[i].handler, "ask") == 0 && steps[i].state != STEP_DONE)
            return true;
    return false;
}

/* Nobody need be asked where nothing is left of what waits for his yes: somebody else has said no, or what he was asked about
 * has changed. */
static bool asks_in_vain(const struct step_record *steps, size_t n_steps, size_t at)
{
    bool left = false;

    for (size_t i = at + 1; i < n_steps; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        left = left || (steps[i].state == STEP_WAITING && (!h || h->acts));
    }
    return !left && strcmp(steps[at].handler, "ask") == 0;
}

static enum err_code skip_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct end *d = arg;
    enum err_code code = step_move(tx, d->s->c->id, d->s->n, STEP_SKIPPED, d->why, d->now, e);

    return code ? code : work_keep(tx, d->s->work, d->now, e);
}

/* ---- whose case it is ---------------------------------------------------------------------------- */

/* Nothing is asked for because its source has lost its right: is there another one that pushed it and keeps its own? */
static bool has_second(const struct config *config, const struct case_record *c)
{
    return c->weak && grounds_have_second(config, c);
}

/* Then nobody is asked how to go on after the step that was withheld for that: the case is judged anew as that one's. */
static enum err_code find_second(const struct step *s, const struct step_record *failed, bool *ret,
                                 struct err *e)
{
    struct case_record c;
    enum err_code code = store_case_load(s->engine->store, s->arena, s->c->id, &c, e);

    *ret = !code && failed->state == STEP_WITHHELD && c.state == CASE_ACTING && !c.isolation &&
           has_second(s->runtime->config, &c);
    return code;
}

/* ---- running ---------------------------------------------------------------------------------- */

enum went { WENT_ON, WENT_LATER, WENT_OVER }; /* next step; the claim was given back; no more */

/* The store did not take it, or did not say: the case is claimed again in a moment. */
static enum went run_again(struct step *s, const char *event, const struct err *e)
{
    log_event(LOG_ERROR, event, LOG_ID("case", s->c->id), LOG_ERR(e));
    engine_retry(s->engine, s->work);
    return WENT_LATER;
}

static enum went skip(struct step *s, struct step_record *record, struct end *d)
{
    struct err e;

    d->now = clock_wall_ms(s->engine->clock);
    record->state = STEP_SKIPPED;
    return write_end(s, skip_fn, d, &e) ? run_again(s, "step_not_written", &e) : WENT_ON;
}

/* The handler of step number at does its work. failed: the step before it which a person is asked about first; NULL: none. */
static enum outcome attempt(struct step *s, const struct step_record *steps, size_t at,
                            const struct step_record *failed, struct err *why)
{
    const struct step_record *record = &steps[at];
    const struct handler *h = handler_find(record->handler);
    AUTO(json_freep) struct json *args = NULL;
    enum outcome outcome = OUTCOME_REFUSED;

    if (is_unasked(steps, at)) {
        (void)err_set(why, ERR_REFUSED, "a person must be asked, and nobody was");
        return OUTCOME_WITHHELD;
    }
    if (failed)
        return question_ask_after(s, failed, why);
    if (!h)
        (void)err_set(why, ERR_REFUSED, "this version of cordon has no handler '%s'",
                      record->handler);
    else if (!json_parse(record->args, strlen(record->args), &args, why)) {
        s->args = args;
        outcome = h->run(s, why);
        s->args = NULL;
    }
    return outcome;
}

/* For how long what failed so is tried. */
static int64_t give_up_ms(const struct step_record *record, const struct err *why)
{
    bool gone = why->code == ERR_NOT_FOUND && defender_said(record->why, why);

    return gone ? GONE_GIVE_UP_MS : STEP_GIVE_UP_MS;
}

static enum went run_step(struct step *s, struct step_record *steps, size_t n_steps, size_t at)
{
    struct step_record *record = &steps[at];
    struct err why = {0}, e = {0};
    struct end d = {.s = s, .state = STEP_DONE};
    const struct step_record *failed = NULL;
    enum outcome outcome;
    enum err_code code = ERR_OK;
    bool later = false, second = false, newer = false;

    s->n = record->n;
    s->written = false;
    d.why = asks_in_vain(steps, n_steps, at) ? "nothing is left that waits for a yes"
                                             : find_skip(s->arena, steps, at);
    if (!d.why)
        code = check_confirmed(s, record, &later, &d.why, &why);
    if (!code && later)
        return WENT_ON;
    if (!code && !d.why)
        code = find_open_failure(s, steps, at, &failed, &newer, &why);
    if (!code && failed && newer) { /* left to the replica that was told, or until this one is */
        engine_give_back(s->engine, s->work, ENGINE_NEWER_CONFIG_LOOK_MS);
        return WENT_LATER;
    }
    if (!code && failed)
        code = find_second(s, failed, &second, &why);
    if (code)
        return run_again(s, "step_not_read", &why);
    if (second)
        return WENT_OVER;
    if (d.why)
        return skip(s, record, &d);
    outcome = attempt(s, steps, at, failed, &why);
    log_release();
    if (outcome == OUTCOME_WAITS)
        return WENT_LATER;
    d.now = clock_wall_ms(s->engine->clock);
    /* The steps before it may have taken all the day: one that was never tried has its own tries. */
    if (outcome == OUTCOME_RETRY &&
        !engine_is_given_up(s->work, d.now, record->why ? record->updated : 0,
                            give_up_ms(record, &why), &why)) {
        retry_later(s, handler_find(record->handler), &why);
        return WENT_LATER;
    }
    if (outcome != OUTCOME_DONE) {
        d.state = outcome == OUTCOME_WITHHELD ? STEP_WITHHELD : STEP_FAILED;
        d.why = why.text;
        log_event(LOG_WARN, "step_refused", LOG_ID("case", s->c->id),
                  LOG_STR("step", record->handler), LOG_ERR(&why));
    }
    if (!s->written && write_end(s, end_fn, &d, &e))
        return run_again(s, "step_not_written", &e);
    record->state = d.state;
    record->why = d.why ? arena_str(s->arena, d.why) : NULL;
    return WENT_ON;
}

struct settle {
    struct engine *g;
    struct runtime *rt;
    struct work *w;
    struct arena *arena;
    int64_t id, now;
    enum case_state state;
};

/* It is the second one's case, if there is one, and is judged anew. */
static enum err_code hand_to_second(struct db_tx *tx, const struct settle *t, struct case_record *c,
                                    bool *ret_handed, struct err *e)
{
    enum err_code code;

    *ret_handed = false;
    if (!has_second(t->rt->config, c))
        return ERR_OK;
    code = case_strengthen(tx, c->id, c->second, c->second_delivery, c->second_machine_id, t->now,
                           ret_handed, e);
    if (!code && *ret_handed)
        c->state = CASE_RECEIVED;
    return code;
}

static enum err_code settle_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct settle *t = arg;
    struct case_record c;
    bool handed = false;
    /* The fence first: a process that was stopped for long may find the case settled by another. */
    enum err_code code = work_done(tx, t->w, e);

    if (!code)
        code = case_load(tx, t->arena, t->id, &c, e);
    if (!code)
        code = hand_to_second(tx, t, &c, &handed, e);
    if (!code && !handed)
        code = act_settle(tx, t->g, t->rt, t->arena, &c, t->now, e);
    if (!code && !handed)
        code = tell_undone(tx, t->g, t->rt, t->arena, &c, t->now, e);
    if (!code)
        t->state = c.state;
    return code;
}

void act_run(const struct acting *a)
{
    struct engine *g = a->g;
    struct step s = {.engine = g,
                     .runtime = a->rt,
                     .tenant = runtime_tenant(a->rt, a->c->tenant),
                     .work = a->w,
                     .c = a->c,
                     .facts = a->facts,
                     .look = a->look,
                     .together = a->together,
                     .arena = a->arena,
                     .opening = a->opening ? *a->opening : (struct opening){0}};
    struct settle t = {.g = g, .rt = a->rt, .w = a->w, .arena = a->arena, .id = a->c->id};
    enum went went = WENT_ON;
    struct err e;

    for (size_t i = 0; i < a->n_steps && went == WENT_ON; i++)
        if (a->steps[i].state == STEP_WAITING)
            went = run_step(&s, a->steps, a->n_steps, i);
    if (went == WENT_LATER)
        return;
    t.now = clock_wall_ms(g->clock);
    if (write_end(&s, settle_fn, &t, &e)) {
        log_event(LOG_ERROR, "case_not_written", LOG_ID("case", a->c->id), LOG_ERR(&e));
        engine_retry(g, a->w);
        return;
    }
    log_event(LOG_INFO, "case", LOG_ID("case", a->c->id),
              LOG_STR("state", case_state_name(t.state)));
    engine_kick(g);
}
