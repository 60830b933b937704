/* expand.c - see expand.h.
 *
 * When the push named a machine, the alert, that machine and its actions are read side by side, so that an
 * isolate can leave one round trip after the push. When it did not, or named another than the alert does,
 * the alert's own machine is read in a second round: facts are always those of the alert's machine.
 *
 * When more cases wait than there are workers, a worker takes as many as fit into a list (expand_crowd.c).
 *
 * A case that waited for a person is read and judged again in the same way: facts of hours ago are no ground to
 * act by. Its steps stay; those that the new verdict does not ask for any more, or that need a word which the person did
 * not give, are withheld, and what is still to be done is done with the new verdict's arguments.
 */
#include "expand.h"
#include "expand_own.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "brakes.h"
#include "cordon/handler.h"
#include "grounds.h"
#include "id.h"
#include "isolation.h"
#include "log.h"
#include "notice.h"
#include "notice_system.h"

/* What a failed read means for the case. A new alert may not be readable for a moment (defender-api.md
 * section 7.1, trap 39), but not for a quarter of an hour; what is transient gets a day; the rest is for
 * good. */
static const struct {
    bool retry;
    int64_t give_up_ms; /* after its work began: a case that is tried again gets as long */
    bool at_once;       /* Defender's word is as good at the second try as at the tenth */
} reactions[ERR_CODES] = {
    [ERR_NOT_FOUND] = {true, 15 * MINUTE_MS, true},
    [ERR_DENIED] = {true, DAY_MS}, /* people hear at once, and renew the secret */
    [ERR_AGAIN] = {true, DAY_MS},
    [ERR_THROTTLED] = {true, DAY_MS},
    [ERR_TIMEOUT] = {true, DAY_MS},
    [ERR_UNKNOWN] = {true, DAY_MS},
    [ERR_IO] = {true, DAY_MS},
    [ERR_NOMEM] = {true, DAY_MS},
    [ERR_STOPPING] = {true, INT64_MAX},
    [ERR_CONFLICT] = {true, DAY_MS},
    [ERR_TOO_BIG] = {true, HOUR_MS, true},
};

/* A new alert may come without its evidence (trap 39): it is read again for so long, at the least, after its case began. */
#define EVIDENCE_MS (10 * SECOND_MS)
/* One that was made so long before is not new, by however different clocks. */
#define NEW_MS (DEFENDER_SKEW_MS + 2 * MINUTE_MS)

bool expand_is_judged(const struct expansion *x)
{
    return x->c.state == CASE_DECIDING;
}

static bool same_machine(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0; /* hexadecimal digits, either case: defender-api.md section 3.2 */
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* Moves a part that was read in a second round to where the first round's is. */
static void take_machine(struct defender_reads *to, struct defender_reads *from)
{
    struct json *alert = to->alert;
    int64_t read_ms = to->read_ms;

    json_free(to->machine);
    free(to->actions);
    *to = *from;
    to->alert = alert;
    to->alert_code = ERR_OK;
    to->read_ms = read_ms; /* facts are as old as their oldest part */
    *from = (struct defender_reads){0};
}

/* The machine that the alert names, in one spelling: the ledger allows one open isolation per machine id. */
static enum err_code name_machine(struct expansion *x, const struct json *alert)
{
    const char *id = json_get_string(alert, "machineId");
    char *lower;

    x->machine_id = NULL;
    if (!id || !id[0])
        return ERR_OK;
    x->machine_id = lower = arena_str(x->arena, id);
    if (!lower)
        return err_set(&x->why, ERR_NOMEM, "machine id");
    for (char *p = lower; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    return ERR_OK;
}

/* The machine that is read beside the alert: the one it was about before, else what the sender says. */
static const char *likely_machine(const struct expansion *x)
{
    return x->c.machine_id ? x->c.machine_id : x->c.pushed_machine_id;
}

/* Was the machine that the alert names read with it? */
static bool has_machine(const struct expansion *x)
{
    const char *likely = likely_machine(x);

    if (!x->machine_id)
        return true;
    return x->crowd ? !x->crowd->machine_missing : likely && same_machine(likely, x->machine_id);
}

/* What was read becomes x->facts, the machine in a second round if need be. ERR_OK, else the failure in
 * x->why. */
static enum err_code take_facts(struct expansion *x, struct runtime_tenant *tenant,
                                struct defender_reads *reads)
{
    enum err_code code = reads->alert_code;

    if (code) {
        x->why = reads->alert_err;
        return code;
    }
    code = name_machine(x, reads->alert);
    if (code)
        return code;
    if (!has_machine(x)) {
        struct defender_reads second;

        defender_read(tenant->defender, NULL, x->machine_id,
                      x->crowd ? DEFENDER_READ_MACHINE
                               : DEFENDER_READ_MACHINE | DEFENDER_READ_ACTIONS,
                      &second);
        take_machine(reads, &second);
    }
    /* An id that is none, or that Defender does not know: decide() says what follows from that. And where the alert names
     * no machine, what became of reading one that the sender named is of no matter. */
    if (x->machine_id && reads->machine_code && reads->machine_code != ERR_NOT_FOUND &&
        reads->machine_code != ERR_INVALID) {
        x->why = reads->machine_err;
        return reads->machine_code;
    }
    x->c.source = grounds_source(x->rt->config, &x->c, reads->alert);
    x->facts = (struct facts){
        .tenant = x->c.tenant,
        .source = x->c.source,
        .may_isolate = config_may_isolate(x->rt->config, x->c.source, x->c.tenant),
        .source_shadow = config_is_shadow(x->rt->config, x->c.source),
        .alert_id = x->c.alert_id,
        .pushed_machine_id = x->c.pushed_machine_id,
        .alert = reads->alert,
        .machine = x->machine_id && !reads->machine_code ? reads->machine : NULL,
        .read_ms = reads->read_ms,
    };
    return ERR_OK;
}

static void read_alone(struct expansion *x, struct runtime_tenant *tenant,
                       struct defender_reads *reads)
{
    defender_read(tenant->defender, x->c.alert_id, likely_machine(x),
                  DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE | DEFENDER_READ_ACTIONS, reads);
}

/* ---- when it cannot be read ------------------------------------------------------------------- */

static struct notice bad_news(const struct expansion *x, const char *why)
{
    return (struct notice){.kind = x->c.isolation ? NOTICE_ACTION_FAILED : NOTICE_NOT_ISOLATED,
                           .why = why,
                           .c = &x->c};
}

static enum err_code fail_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct expansion *x = arg;
    struct case_record c = x->c;
    struct notice n = bad_news(x, x->why.text);
    enum err_code code;

    n.c = &c;
    code = case_move(tx, &c, CASE_FAILED, x->why.text, x->now, e);
    if (!code)
        code = notice_put(tx, x->g, x->rt, x->arena, &n, x->now, e);
    if (!code && c.isolation) /* whose end nobody was told while the case was being read */
        code = act_settle(tx, x->g, x->rt, x->arena, &c, x->now, e);
    return code ? code : work_done(tx, x->w, e);
}

static enum err_code later_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct expansion *x = arg;
    struct case_record c = x->c;
    /* A credential that is refused is nothing to wait a quarter of an hour for: people must act. */
    bool late = (engine_is_late(x->now, x->w->created) || x->why.code == ERR_DENIED) && !c.told;
    struct notice n = bad_news(x, late ? notice_not_yet(x->arena, x->why.text) : NULL);
    enum err_code code;

    n.c = &c;
    n.kind = NOTICE_LATE;
    code = case_move(tx, &c, expand_is_judged(x) ? CASE_DECIDING : CASE_EXPANDING, x->why.text,
                     x->now, e);
    if (!code && late)
        code = notice_put(tx, x->g, x->rt, x->arena, &n, x->now, e);
    return code ? code : work_again(tx, x->w, x->due, engine_attempts_after(x->w, &x->why), e);
}

int64_t expand_until_grid(int64_t now, int64_t wait_ms)
{
    return (now + wait_ms + EXPAND_GRID_MS) / EXPAND_GRID_MS * EXPAND_GRID_MS - now;
}

bool expand_may_pass(enum err_code code)
{
    return reactions[code].retry;
}

/* That an alert is not there is believed when it is said again: Defender may only be coming back after an hour. What fails otherwise
 * in between is no reason to go on for ever. */
static bool is_given_up(struct expansion *x, enum err_code code)
{
    bool first = code == ERR_NOT_FOUND && !defender_said(x->c.why, &x->why);
    int64_t for_ms = first ? DAY_MS : reactions[code].give_up_ms;

    return reactions[code].at_once && !first
               ? x->now - x->w->created >= for_ms
               : engine_is_given_up(x->w, x->now, x->c.updated, for_ms, &x->why);
}

/* Who fails so for the first time is read once more when Defender lists the alert (case_found). */
static const char *why_unknown(const struct expansion *x)
{
    return x->w->created == x->c.created ? ": " CASE_UNKNOWN_ALERT : ": " CASE_STILL_UNKNOWN;
}

void expand_not_read(struct expansion *x, enum err_code code)
{
    bool retry = reactions[code].retry && !is_given_up(x, code);
    int64_t wait = engine_wait_after(x->w, &x->why);
    bool news;
    struct err e;

    if (code == ERR_THROTTLED) /* so do others, and they come again together */
        wait = expand_until_grid(x->now, wait);
    x->due = engine_late_due(x->now, x->now + wait, x->w->created);
    (void)err_in(&x->why, "alert %s%s", x->c.alert_id,
                 code == ERR_NOT_FOUND && !retry ? why_unknown(x) : "");
    /* The same reason as last time is no news: in a storm thousands of cases wait for calls, and come again and again. */
    news = !x->c.why || strcmp(x->c.why, x->why.text) != 0;
    log_event(!retry ? LOG_ERROR
              : news ? LOG_INFO
                     : LOG_DEBUG,
              retry ? "expand_later" : "case_failed", LOG_ID("case", x->c.id),
              LOG_STR("tenant", x->c.tenant), LOG_ERR(&x->why), LOG_INT("attempt", x->w->attempts),
              LOG_INT("next_ms", retry ? wait : 0));
    if (code == ERR_THROTTLED)
        engine_throttled(x->g, x->rt);
    if (db_write(x->g->store->db, retry ? later_fn : fail_fn, x, &e)) {
        log_event(LOG_ERROR, "case_not_written", LOG_ID("case", x->c.id), LOG_ERR(&e));
        engine_again(x->g, x->w, wait);
    }
    engine_kick(x->g);
}

/* The store does not say what the case is, so it cannot fail as a case does. It may be mended (`cordon store restore`): it is
 * tried on, and people hear that something waits. */
static void not_loaded(struct engine *g, const struct work *w, const struct err *why)
{
    char id[ID_TEXT_SIZE];
    const struct notice_system_fact facts[] = {{"Case", id_format(w->id, id)},
                                               {"Error", why->text}};
    const struct notice_system n = {
        .about = "store",
        .kind = "case_unreadable",
        .subject = "a case cannot be read from the store",
        .headline = "A case cannot be read",
        .body =
            "An alert was accepted and its case cannot be read from the store, so nothing is done about it and "
            "there is no mail of its own. It is tried again every quarter of an hour. `cordon store check` "
            "says what is wrong with the store, `cordon store restore` puts a backup in its place. There may be more "
            "such cases: the log has a line case_unreadable for each. This is told once a day.",
        .not_within = DAY_MS,
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts,
    };
    bool passes = why->code == ERR_AGAIN || why->code == ERR_NOMEM || why->code == ERR_STOPPING;
    struct err e;

    log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", w->id), LOG_ERR(why));
    if (!passes && clock_wall_ms(g->clock) - w->created >= ENGINE_LATE_MS &&
        notice_system_tell(g, &n, &e))
        log_event(LOG_ERROR, "nobody_told", LOG_ID("case", w->id), LOG_ERR(&e));
    engine_retry(g, w);
}

/* ---- deciding --------------------------------------------------------------------------------- */

/* The machine is one of its group, if it is the one that was asked for. Where that cannot be noted people are told all the
 * same, and a limit that needs it says so when it is asked. */
static void see_machine(struct db_tx *tx, const struct expansion *x, const struct case_record *c)
{
    const char *id = json_get_string(x->facts.machine, "id");
    const struct braking b = {.rt = x->rt, .c = c, .facts = &x->facts, .now = x->now};
    struct err e;

    if (id && c->machine_id && same_machine(id, c->machine_id) && brakes_see(tx, &b, &e))
        log_event(LOG_WARN, "machine_not_noted", LOG_ID("case", c->id), LOG_ERR(&e));
}

static enum err_code judged_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct expansion *x = arg;
    struct case_record c = x->c;
    struct work w = *x->w;
    enum err_code code;

    c.state = x->before;
    if (c.state != CASE_DECIDING)
        code = case_judged(tx, &c, x->machine_id, buf_text(&x->facts_json), &x->verdict, x->now, e);
    else
        code = case_rejudged(tx, &c, buf_text(&x->facts_json), &x->verdict, x->now, e);
    if (!code && grounds_are_weak(x->rt->config, &c))
        code = case_weaken(tx, &c, e);
    else if (!code && c.weak && x->facts.may_isolate && !x->facts.source_shadow &&
             x->before != CASE_DECIDING) /* a hunt that may not is none that is weak, either */
        code = case_outgrow(tx, c.id, e);
    for (size_t i = 0; x->voided && i < x->n_steps && !code; i++) {
        if (x->voided[i])
            code = step_move(tx, c.id, x->steps[i].n, STEP_WITHHELD, x->steps[i].why, x->now, e);
        else if (x->renewed[i])
            code = step_renew(tx, c.id, x->steps[i].n, x->steps[i].args, e);
    }
    if (!code)
        see_machine(tx, x, &c);
    return code ? code : work_keep(tx, &w, x->now, e);
}

static void judged(void *arg)
{
    struct expansion *x = arg;

    for (size_t i = 0; i < x->verdict.n_steps; i++)
        if (x->verdict.steps[i].acts && !x->verdict.steps[i].withheld)
            engine_judged(x->g, x->c.id);
    metrics_add(x->g->metrics, METRIC_VERDICTS, 1, x->verdict.rule,
                x->verdict.doubt ? "yes" : "no");
    log_event(LOG_INFO, "verdict", LOG_ID("case", x->c.id), LOG_STR("tenant", x->c.tenant),
              LOG_STR("alert", x->c.alert_id), LOG_STR("machine", x->machine_id),
              LOG_STR("rule", x->verdict.rule), LOG_STR("doubt", x->verdict.doubt),
              LOG_INT("steps", (int64_t)x->verdict.n_steps));
}

/* Facts as text and the verdict on them, nothing written yet. A failure is told like one of reading: the
 * same facts would fail again. */
static enum err_code judge(struct expansion *x)
{
    enum err_code code;

    facts_write(&x->facts_json, &x->facts);
    code = buf_failed(&x->facts_json);
    if (code)
        return err_set(&x->why, code, "what Defender says cannot be kept (%s)", err_name(code));
    return decide(x->rt->config->policy, &x->facts, x->now, x->arena, &x->verdict, &x->why);
}

static const char no_evidence[] = "Defender gives out no evidence of it yet";

/* Would what the policy concludes from there being no evidence perhaps be wrong in a moment? One that could not be read
 * until now, for however long, is read once more at the least. */
static bool lacks_evidence(const struct expansion *x)
{
    const char *text = json_get_string(x->facts.alert, "alertCreationTime");
    int64_t made, age = x->now - x->w->created;
    bool unread = x->w->attempts > 1 && x->c.why && !strstr(x->c.why, no_evidence);

    return !json_count(json_get(x->facts.alert, "evidence")) && age >= 0 &&
           (age < EVIDENCE_MS || unread) && text && !clock_parse(text, &made, NULL) &&
           x->now - made < NEW_MS && policy_reads(x->rt->config->policy, "alert.evidence.");
}

/* Was it read so long ago that decide() would be in doubt for that alone? Others that were read with it took their time, or this
 * process stood still: it is read again, and nobody need be asked. */
static bool is_outdated(const struct expansion *x)
{
    int64_t age = x->now - x->facts.read_ms;

    return age >= GROUNDS_FRESH_MS || age <= -GROUNDS_FRESH_MS;
}

/* The steps of a verdict that nobody has acted on yet. */
static enum err_code take_steps(struct expansion *x, struct err *e)
{
    x->n_steps = x->verdict.n_steps;
    x->steps = arena_array(x->arena, x->n_steps + 1, sizeof *x->steps);
    if (!x->steps)
        return err_set(e, ERR_NOMEM, "steps");
    for (size_t i = 0; i < x->n_steps; i++)
        x->steps[i] = case_step_of(&x->verdict.steps[i], (int64_t)i, x->now);
    return ERR_OK;
}

/* Does the new verdict let step i of an earlier one be done? */
static enum err_code compare(struct expansion *x, size_t i, const struct approval *approval,
                             struct err *e)
{
    const struct step_record *s = &x->steps[i];
    AUTO(json_freep) struct json *args = NULL;
    const char *type = NULL;
    size_t nth = 0;

    if (!x->machine_id || !x->c.machine_id || !same_machine(x->machine_id, x->c.machine_id))
        return err_set(e, ERR_REFUSED, "the alert names another machine now");
    for (size_t k = 0; k < i; k++)
        nth += strcmp(x->steps[k].handler, s->handler) == 0;
    if (strcmp(s->handler, "isolate") == 0) {
        if (json_parse(s->args, strlen(s->args), &args, e))
            return ERR_AGAIN;
        type = json_get_string(args, "type");
        type = type ? type : "full";
    }
    return grounds_compare(&x->verdict, s->handler, nth, type, x->machine_id, approval, e);
}

/* What the new verdict has in the place of step i of an earlier one; NULL: nothing. */
static const struct verdict_step *counterpart(const struct expansion *x, size_t i)
{
    size_t nth = 0;

    for (size_t k = 0; k < i; k++)
        nth += strcmp(x->steps[k].handler, x->steps[i].handler) == 0;
    for (size_t k = 0; k < x->verdict.n_steps; k++)
        if (strcmp(x->verdict.steps[k].handler, x->steps[i].handler) == 0 && nth-- == 0)
            return &x->verdict.steps[k];
    return NULL;
}

/* Step i is still to be done: as the policy in force says. But what a person has said yes to is done as he saw it. */
static void renew(struct expansion *x, size_t i)
{
    const struct verdict_step *now = counterpart(x, i);

    if (!now || now->asks || strcmp(now->args, x->steps[i].args) == 0)
        return;
    x->steps[i].args = now->args;
    x->renewed[i] = true;
}

/* The steps of the earlier verdict, so far as they may still be done by this one. */
static enum err_code keep_steps(struct expansion *x, struct err *e)
{
    struct approval approval;
    enum err_code code =
        store_case_steps(x->g->store, x->arena, x->c.id, &x->steps, &x->n_steps, e);

    if (!code)
        code = store_approval(x->g->store, x->arena, x->c.id, &approval, e);
    if (code)
        return code;
    x->voided = arena_array(x->arena, x->n_steps + 1, sizeof *x->voided);
    x->renewed = arena_array(x->arena, x->n_steps + 1, sizeof *x->renewed);
    if (!x->voided || !x->renewed)
        return err_set(e, ERR_NOMEM, "steps");
    for (size_t i = 0; i < x->n_steps; i++) {
        struct step_record *s = &x->steps[i];
        const struct handler *h = handler_find(s->handler);
        struct err why = {0};

        if (s->state == STEP_WAITING && h && h->acts)
            code = compare(x, i, &approval, &why);
        if (code && code != ERR_REFUSED) { /* not known: nothing is done by that */
            *e = why;
            return code;
        }
        x->voided[i] = code == ERR_REFUSED;
        code = ERR_OK;
        if (!x->voided[i] && s->state == STEP_WAITING)
            renew(x, i);
        if (!x->voided[i])
            continue;
        s->state = STEP_WITHHELD;
        s->why = arena_str(x->arena, why.text);
        log_event(LOG_WARN, "step_refused", LOG_ID("case", x->c.id), LOG_STR("step", s->handler),
                  LOG_ERR(&why));
    }
    return ERR_OK;
}

void expand_act(struct expansion *x, struct defender_reads *reads)
{
    const struct opening opening = {.fn = judged_fn, .written = judged, .arg = x};
    struct acting a = {.g = x->g,
                       .rt = x->rt,
                       .w = x->w,
                       .c = &x->c,
                       .facts = &x->facts,
                       .look = x->look                                             ? x->look
                               : x->crowd || reads->actions_code || !x->machine_id ? NULL
                                                                                   : reads,
                       .together = x->look ? NULL : x->together,
                       .opening = &opening,
                       .arena = x->arena};
    struct err e;

    if (expand_is_judged(x) ? keep_steps(x, &e) : take_steps(x, &e)) {
        not_loaded(x->g, x->w, &e);
        return;
    }
    a.steps = x->steps;
    a.n_steps = x->n_steps;
    x->before = x->c.state;
    x->c.state = CASE_ACTING;
    if (x->before != CASE_DECIDING)
        x->c.machine_id = x->machine_id;
    x->c.rule = x->verdict.rule;
    x->c.why = x->verdict.doubt;
    x->c.verdict = x->verdict.json;
    act_run(&a);
}

/* ---- a run ------------------------------------------------------------------------------------ */

/* Facts of a case that was judged in an earlier run. */
static enum err_code reload(struct expansion *x, struct json **ret_doc, struct err *e)
{
    enum err_code code = ERR_OK;

    if (x->c.facts)
        code = json_parse(x->c.facts, strlen(x->c.facts), ret_doc, e);
    else
        code = err_set(e, ERR_INVALID, "a judged case without facts");
    if (!code)
        code = facts_read(*ret_doc, &x->facts, e);
    return code;
}

bool expand_ready(struct expansion *x, struct runtime_tenant *tenant, struct defender_reads *reads)
{
    enum err_code code =
        tenant ? take_facts(x, tenant, reads)
               : err_set(&x->why, ERR_REFUSED, "tenant '%s' is no longer configured", x->c.tenant);

    x->now = clock_wall_ms(x->g->clock);
    metrics_add(x->g->metrics, METRIC_DEFENDER_CALLS, 1, x->c.tenant, err_name(code));
    (void)health_note(x->g->health, "defender", x->c.tenant, !code || code == ERR_NOT_FOUND,
                      x->why.text);
    if (!code && is_outdated(x))
        code = err_set(&x->why, ERR_AGAIN, "what was read is too old by now, and is read again");
    if (!code && lacks_evidence(x))
        code = err_set(&x->why, ERR_AGAIN, "%s", no_evidence);
    if (!code)
        code = judge(x);
    if (code)
        expand_not_read(x, code);
    return !code;
}

void expand_new(struct expansion *x)
{
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    struct defender_reads reads = {0};

    if (tenant)
        read_alone(x, tenant, &reads);
    if (expand_ready(x, tenant, &reads))
        expand_act(x, &reads);
    defender_reads_clear(&reads);
}

static void run_judged(struct expansion *x)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct step_record *steps;
    size_t n;
    struct err e;

    if (reload(x, &doc, &e)) {
        log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", x->c.id), LOG_ERR(&e));
        x->why = e;
        expand_not_read(x, ERR_REFUSED);
        return;
    }
    if (store_case_steps(x->g->store, x->arena, x->c.id, &steps, &n, &e)) {
        not_loaded(x->g, x->w, &e);
        return;
    }
    act_run(&(struct acting){.g = x->g,
                             .rt = x->rt,
                             .w = x->w,
                             .c = &x->c,
                             .facts = &x->facts,
                             .steps = steps,
                             .n_steps = n,
                             .arena = x->arena});
}

static enum err_code done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct expansion *x = arg;

    return work_done(tx, x->w, e);
}

/* Whoever accepted it had a tenant or a source that are not in force here: a younger configuration, which a reload is just
 * bringing, or which this replica was not told yet. What the case is to lead to only that one says. After a while they
 * are taken for gone. */
static bool waits_for_config(const struct expansion *x)
{
    bool known = runtime_tenant(x->rt, x->c.tenant) &&
                 config_knows_source(x->rt->config, x->c.source, x->c.tenant);

    return !known && engine_may_be_newer(x->w, x->now);
}

/* A person has just said yes by a policy that is not in force here: likewise. */
static bool waits_for_policy(const struct expansion *x)
{
    struct approval p;

    return expand_is_judged(x) && db_is_shared(x->g->store->db) &&
           !store_approval(x->g->store, x->arena, x->c.id, &p, NULL) &&
           grounds_may_be_newer(&p, x->rt->config, x->g, x->now);
}

static enum err_code stand_in_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct expansion *x = arg;

    return case_stand_in(tx, &x->c, x->now, e);
}

/* A reload has taken the right to isolate from whoever pushed it first, before it was judged: then the right of another one
 * counts, who has pushed it as well. */
static enum err_code find_source(struct expansion *x, struct err *e)
{
    const struct config *config = x->rt->config;
    enum err_code code = store_case_load(x->g->store, x->arena, x->w->id, &x->c, e);

    if (code || !expand_is_new(x) || expand_is_judged(x) || waits_for_config(x) ||
        !grounds_are_weak(config, &x->c) || !grounds_have_second(config, &x->c))
        return code;
    code = db_write(x->g->store->db, stand_in_fn, x, e);
    return code ? code : store_case_load(x->g->store, x->arena, x->w->id, &x->c, e);
}

bool expand_open(struct expansion *x, struct engine *g, struct runtime *rt, struct work *w)
{
    struct err e = {0};
    enum err_code code;

    *x = (struct expansion){.g = g,
                            .rt = rt,
                            .w = w,
                            .arena = arena_new(8192),
                            .facts_json = BUF_INIT(4 << 20),
                            .now = clock_wall_ms(g->clock)};
    code = x->arena ? find_source(x, &e) : err_set(&e, ERR_NOMEM, "case");
    if (code) {
        not_loaded(g, w, &e);
        return false;
    }
    if (!waits_for_config(x) && !waits_for_policy(x))
        return true;
    log_event(LOG_INFO, "case_of_another_configuration", LOG_ID("case", x->c.id),
              LOG_STR("tenant", x->c.tenant), LOG_STR("source", x->c.source));
    engine_give_back(g, w, ENGINE_NEWER_CONFIG_LOOK_MS);
    return false;
}

void expand_close(struct expansion *x)
{
    buf_clear(&x->facts_json);
    arena_free(x->arena);
}

bool expand_is_new(const struct expansion *x)
{
    return x->c.state == CASE_RECEIVED || x->c.state == CASE_EXPANDING ||
           x->c.state == CASE_DECIDING;
}

void expand_one(struct expansion *x)
{
    struct err e;

    if (expand_is_new(x))
        expand_new(x);
    else if (x->c.state == CASE_ACTING)
        run_judged(x);
    else /* over, or waiting for its isolation: the row is a left-over */
        if (db_write(x->g->store->db, done_fn, x, &e))
            engine_retry(x->g, x->w);
}

void expand_run(struct engine *g, struct work *w)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct expansion x;

    if (expand_open(&x, g, rt, w) && !(expand_is_new(&x) && expand_with_others(&x)))
        expand_one(&x);
    expand_close(&x);
}
