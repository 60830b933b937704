/* expand.c - see expand.h.
 *
 * When the push named a machine, the alert, that machine and its actions are read side by side, so that an
 * isolate can leave one round trip after the push. When it did not, or named another than the alert does,
 * the alert's own machine is read in a second round: facts are always those of the alert's machine.
 *
 * When more cases wait than there are workers, a worker takes as many as fit into a list and reads for all
 * of them (storm.h). Each is judged by itself; those to be isolated are seen to first, and their
 * isolations look and ask together (isolation.c). While isolations wait for calls they come first, and now and
 * then it is the turn of the cases. Sharing a minute's calls between both was tried: reads took a third of them for
 * alerts of machines that were known, and nothing that was left to them stayed theirs.
 *
 * A case that waited for a person is read and judged again in the same way: facts of hours ago are no ground to
 * act by. Its steps stay what they are; those that the new verdict does not ask for any more, or that need
 * a word which the person did not give, are withheld.
 */
#include "expand.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "act.h"
#include "cordon/handler.h"
#include "decide.h"
#include "grounds.h"
#include "id.h"
#include "isolation.h"
#include "log.h"
#include "notice.h"
#include "notice_system.h"
#include "storm.h"

/* What a failed read means for the case. A new alert may not be readable for a moment (defender-api.md
 * section 7.1, trap 39), but not for a quarter of an hour; what is transient gets a day; the rest is for
 * good. */
static const struct {
    bool retry;
    int64_t give_up_ms; /* after its work began: a case that is tried again gets as long */
} reactions[ERR_CODES] = {
    [ERR_NOT_FOUND] = {true, 15 * MINUTE_MS},
    [ERR_DENIED] = {true, DAY_MS}, /* people hear at once, and renew the secret */
    [ERR_AGAIN] = {true, DAY_MS},
    [ERR_THROTTLED] = {true, DAY_MS},
    [ERR_TIMEOUT] = {true, DAY_MS},
    [ERR_UNKNOWN] = {true, DAY_MS},
    [ERR_IO] = {true, DAY_MS},
    [ERR_NOMEM] = {true, DAY_MS},
    [ERR_STOPPING] = {true, INT64_MAX},
    [ERR_CONFLICT] = {true, DAY_MS},
    [ERR_TOO_BIG] = {true, HOUR_MS},
};

/* Those that wait for calls come due together. */
#define GATHER_GRID_MS (SECOND_MS / 2)

struct expansion {
    struct engine *g;
    struct runtime *rt;
    struct work *w;
    struct arena *arena;
    struct case_record c;
    enum case_state before;    /* its verdict, which is not written yet */
    struct step_record *steps; /* of a case that was judged before */
    size_t n_steps;
    bool *voided; /* of each: withheld by the new verdict */
    struct facts facts;
    struct buf facts_json;
    const char *machine_id;
    struct verdict verdict;
    struct err why; /* of a failed read */
    int64_t now, due;
    struct storm_case *crowd;    /* what was read together with others; NULL: alone */
    struct together *together;   /* those; NULL: alone */
    struct defender_reads *look; /* at its machine, taken for many; NULL: none was needed */
};

/* Was it judged before, and is so again? */
static bool is_judged(const struct expansion *x)
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
    /* An id that is none, or that Defender does not know: decide() says what follows from that. */
    if (reads->machine_code && reads->machine_code != ERR_NOT_FOUND &&
        reads->machine_code != ERR_INVALID) {
        x->why = reads->machine_err;
        return reads->machine_code;
    }
    x->facts = (struct facts){
        .tenant = x->c.tenant,
        .source = x->c.source,
        .may_isolate = config_may_isolate(x->rt->config, x->c.source),
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
    return code ? code : work_done(tx, x->w, e);
}

static enum err_code later_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct expansion *x = arg;
    struct case_record c = x->c;
    /* A credential that is refused is nothing to wait a quarter of an hour for: people must act. */
    bool late = (x->now - x->w->created >= ENGINE_LATE_MS || x->why.code == ERR_DENIED) && !c.told;
    struct notice n = bad_news(x, late ? notice_not_yet(x->arena, x->why.text) : NULL);
    enum err_code code;

    n.c = &c;
    n.kind = NOTICE_LATE;
    code = case_move(tx, &c, is_judged(x) ? CASE_DECIDING : CASE_EXPANDING, x->why.text, x->now, e);
    if (!code && late)
        code = notice_put(tx, x->g, x->rt, x->arena, &n, x->now, e);
    return code ? code : work_again(tx, x->w, x->due, engine_attempts_after(x->w, &x->why), e);
}

/* The wait until the next of the moments at which all that wait for calls come again. */
static int64_t until_grid(int64_t now, int64_t wait_ms)
{
    return (now + wait_ms + GATHER_GRID_MS) / GATHER_GRID_MS * GATHER_GRID_MS - now;
}

static void not_read(struct expansion *x, enum err_code code)
{
    int64_t wait = engine_wait_after(x->w, &x->why);
    bool retry = reactions[code].retry && x->now - x->w->created < reactions[code].give_up_ms;
    bool news;
    struct err e;

    if (code == ERR_THROTTLED) /* so do others, and they come again together */
        wait = until_grid(x->now, wait);
    x->due = engine_late_due(x->now, x->now + wait, x->w->created);
    (void)err_in(&x->why, "alert %s", x->c.alert_id);
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
    engine_again(g, w, engine_backoff(w->attempts, 0));
}

/* ---- deciding --------------------------------------------------------------------------------- */

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
    for (size_t i = 0; i < x->n_steps && !code; i++)
        if (x->voided && x->voided[i])
            code = step_move(tx, c.id, x->steps[i].n, STEP_WITHHELD, x->steps[i].why, x->now, e);
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
    if (!x->voided)
        return err_set(e, ERR_NOMEM, "steps");
    for (size_t i = 0; i < x->n_steps; i++) {
        struct step_record *s = &x->steps[i];
        const struct handler *h = handler_find(s->handler);
        struct err why = {0};

        x->voided[i] = s->state == STEP_WAITING && h && h->acts &&
                       compare(x, i, &approval, &why) == ERR_REFUSED;
        if (!x->voided[i])
            continue;
        s->state = STEP_WITHHELD;
        s->why = arena_str(x->arena, why.text);
        log_event(LOG_WARN, "step_refused", LOG_ID("case", x->c.id), LOG_STR("step", s->handler),
                  LOG_ERR(&why));
    }
    return ERR_OK;
}

/* Acts on the verdict, which is written with the first thing that is done about it. */
static void act_on_verdict(struct expansion *x, struct defender_reads *reads)
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

    if (is_judged(x) ? keep_steps(x, &e) : take_steps(x, &e)) {
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

/* Facts and verdict out of what was read; false: given back, or failed. */
static bool ready(struct expansion *x, struct runtime_tenant *tenant, struct defender_reads *reads)
{
    enum err_code code =
        tenant ? take_facts(x, tenant, reads)
               : err_set(&x->why, ERR_REFUSED, "tenant '%s' is no longer configured", x->c.tenant);

    x->now = clock_wall_ms(x->g->clock);
    metrics_add(x->g->metrics, METRIC_DEFENDER_CALLS, 1, x->c.tenant, err_name(code));
    (void)health_note(x->g->health, "defender", x->c.tenant, !code || code == ERR_NOT_FOUND,
                      x->why.text);
    if (!code)
        code = judge(x);
    if (code)
        not_read(x, code);
    return !code;
}

static void run_new(struct expansion *x)
{
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    struct defender_reads reads = {0};

    if (tenant)
        read_alone(x, tenant, &reads);
    if (ready(x, tenant, &reads))
        act_on_verdict(x, &reads);
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
        not_read(x, ERR_REFUSED);
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

/* Loads the case; false: given back. */
static bool open_case(struct expansion *x, struct engine *g, struct runtime *rt, struct work *w)
{
    struct err e = {0};
    enum err_code code;

    *x = (struct expansion){.g = g,
                            .rt = rt,
                            .w = w,
                            .arena = arena_new(8192),
                            .facts_json = BUF_INIT(4 << 20),
                            .now = clock_wall_ms(g->clock)};
    code = x->arena ? store_case_load(g->store, x->arena, w->id, &x->c, &e)
                    : err_set(&e, ERR_NOMEM, "case");
    if (!code)
        return true;
    not_loaded(g, w, &e);
    return false;
}

static void close_case(struct expansion *x)
{
    buf_clear(&x->facts_json);
    arena_free(x->arena);
}

static bool is_new(const struct expansion *x)
{
    return x->c.state == CASE_RECEIVED || x->c.state == CASE_EXPANDING ||
           x->c.state == CASE_DECIDING;
}

static void run_one(struct expansion *x)
{
    struct err e;

    if (is_new(x))
        run_new(x);
    else if (x->c.state == CASE_ACTING)
        run_judged(x);
    else /* over, or waiting for its isolation: the row is a left-over */
        if (db_write(x->g->store->db, done_fn, x, &e))
            engine_again(x->g, x->w, engine_backoff(x->w->attempts, 0));
}

/* ---- many at once ------------------------------------------------------------------------------- */

/* Calls that a batch may need at the least: alerts, machines. */
#define CROWD_CALLS 2
/* A few cases at a time would use up the tenant's calls: the more of them are gone, the longer the next
 * ones gather, if they were few. */
#define GATHER_MAX_MS (2 * SECOND_MS)
#define READ_EVERY_MS (15 * SECOND_MS)
/* So many others, or any with so much of a minute's calls gone (per mille, quota_pressure), and they are read together. */
#define SEVERAL 5
#define SCARCE  500
/* So often a list may not hold an alert before it is asked for by itself. */
#define LISTS_WITHOUT 2

struct crowd {
    struct engine *g;
    struct runtime *rt;
    struct work work[STORM_CASES_MAX];
    struct expansion x[STORM_CASES_MAX];
    struct storm_case read[STORM_CASES_MAX];
    bool open[STORM_CASES_MAX];  /* not yet done, nor given back */
    bool ready[STORM_CASES_MAX]; /* judged */
    struct together together;
    size_t n;
};

static_assert(TOGETHER_MAX >= STORM_CASES_MAX, "each case may begin an isolation");

/* It was no attempt. */
static void give_back(struct engine *g, const struct work *w, int64_t delay_ms)
{
    struct work unspent = *w;

    unspent.attempts -= unspent.attempts > 0;
    engine_again(g, &unspent, delay_ms);
}

/* Gives it back, to come again together with those that do the same. */
static void gather_later(struct engine *g, const struct work *w, int64_t delay_ms)
{
    give_back(g, w, until_grid(clock_wall_ms(g->clock), delay_ms));
}

/* The next moment that all who are few and see others due before it choose, too: whoever waits for others from a moment
 * of its own may see them do the same for ever. */
static void gather_with_others(struct engine *g, const struct work *w)
{
    give_back(g, w, GATHER_MAX_MS - clock_wall_ms(g->clock) % GATHER_MAX_MS);
}

/* How many others wait, and will be due in a moment? */
static int64_t others(struct engine *g)
{
    int64_t n = 0;

    (void)store_work_waiting(g->store, WORK_CASE, clock_wall_ms(g->clock) + GATHER_MAX_MS, &n,
                             NULL); /* none, as far as anybody knows */
    return n;
}

static bool is_of(const struct crowd *k, size_t i, const struct runtime_tenant *tenant)
{
    return k->open[i] && !k->ready[i] && is_new(&k->x[i]) &&
           strcmp(k->x[i].c.tenant, tenant->config->name) == 0;
}

/* Reads for all cases of one tenant, entered; leaves. */
static void read_together(struct crowd *k, struct runtime_tenant *tenant)
{
    struct storm_case *list = calloc(STORM_CASES_MAX, sizeof *list);
    size_t at[STORM_CASES_MAX], n = 0;
    int64_t pressure, rest;

    for (size_t i = 0; i < k->n && list; i++)
        if (is_of(k, i, tenant)) {
            list[n].alert_id = k->x[i].c.alert_id;
            /* A person was asked meanwhile: his word is held against what is so after it. */
            list[n].since_ms = is_judged(&k->x[i]) ? k->x[i].w->created : 0;
            at[n++] = i;
        }
    if (n)
        storm_read(tenant->storm, tenant->defender, list, n);
    pressure = quota_pressure(tenant->quota);
    rest = n < STORM_CASES_MAX / 2 ? GATHER_MAX_MS * pressure / 1000 : 0;
    storm_leave(tenant->storm, rest);
    engine_hold(k->g, WORK_CASE,
                rest); /* other tenants' wait that long, too: two seconds at most */
    for (size_t i = 0; i < n; i++) {
        k->read[at[i]] = list[i];
        k->x[at[i]].crowd = &k->read[at[i]];
    }
    free(list);
    log_event(LOG_INFO, "read_together", LOG_STR("tenant", tenant->config->name),
              LOG_INT("cases", (int64_t)n), LOG_INT("pressure", pressure));
}

/* One case of those that were read: judged, given back, or left to be read alone. */
static void judge_one(struct crowd *k, size_t i, struct runtime_tenant *tenant)
{
    struct expansion *x = &k->x[i];
    struct storm_case *r = x->crowd;

    if (r && r->missing && x->w->attempts <= LISTS_WITHOUT) {
        r->reads.alert_code =
            err_set(&r->reads.alert_err, ERR_NOT_FOUND, "GET /api/alerts: it is not listed (yet)");
    } else if (!r || r->alone || r->missing) {
        x->crowd = NULL;
        run_new(x);
        k->open[i] = false;
        return;
    }
    k->ready[i] = ready(x, tenant, &r->reads);
    k->open[i] = k->ready[i];
}

/* Will its verdict ask for something to be done to the machine? */
static bool acts(const struct expansion *x)
{
    for (size_t i = 0; i < x->verdict.n_steps; i++)
        if (x->verdict.steps[i].acts && !x->verdict.steps[i].withheld)
            return true;
    return false;
}

static void act_on_all(struct crowd *k, bool acting)
{
    for (size_t i = 0; i < k->n; i++) {
        struct expansion *x = &k->x[i];

        if (!k->ready[i] || !k->open[i] || acts(x) != acting)
            continue;
        x->together = &k->together;
        act_on_verdict(x, &x->crowd->reads);
        k->open[i] = false;
        defender_reads_clear(&x->crowd->reads);
    }
}

/* What a failed look for many means for one of them. What may be for good is concluded from a look at its own machine only,
 * and so is what goes on failing: the answer may be spoilt by what is said of another one. */
static bool looks_alone(const struct expansion *x, enum err_code code)
{
    return !reactions[code].retry || (code == ERR_AGAIN && x->w->attempts > LISTS_WITHOUT);
}

/* Looks at the machines that were isolated a while ago: may the cases join that? One question for all. Without an answer
 * it is as if they had not been read: nothing about them is written yet, and people must hear of it in time. */
static void look_together(struct crowd *k, struct runtime_tenant *tenant,
                          struct defender_reads looks[STORM_CASES_MAX])
{
    struct defender_reads *at[STORM_CASES_MAX];
    const char *ids[STORM_CASES_MAX];
    size_t of[STORM_CASES_MAX], n = 0, all = k->n;
    struct err e = {0};
    enum err_code code;

    for (size_t i = 0; i < all; i++) {
        struct expansion *x = &k->x[i];
        size_t same = 0;

        of[i] = STORM_CASES_MAX;
        if (!k->ready[i] || !k->open[i] || !acts(x) || !x->machine_id ||
            !isolation_needs_look(k->g, x->c.tenant, x->machine_id, x->arena))
            continue;
        while (same < n && strcmp(ids[same], x->machine_id) != 0)
            same++;
        of[i] = same;
        if (same == n) {
            at[n] = &looks[n];
            ids[n++] = x->machine_id;
        }
    }
    code = n ? storm_look(tenant->storm, tenant->defender, ids, n, at, &e) : ERR_OK;
    for (size_t i = 0; i < all; i++) {
        if (of[i] == STORM_CASES_MAX || (code && looks_alone(&k->x[i], code)))
            continue;
        if (!code) {
            k->x[i].look = at[of[i]];
            continue;
        }
        k->x[i].why = e;
        not_read(&k->x[i], code);
        k->open[i] = false;
    }
}

/* All cases of one tenant that are open in k. entered: else it hangs, and they wait. */
static void run_tenant(struct crowd *k, struct runtime_tenant *tenant, bool entered)
{
    int64_t wait = entered ? 0 : storm_enter(tenant->storm);
    bool mine[STORM_CASES_MAX] = {false};
    struct defender_reads *looks;

    for (size_t i = 0; i < k->n; i++)
        mine[i] = is_of(k, i, tenant);
    if (!wait)
        read_together(k, tenant);
    for (size_t i = 0; i < k->n; i++) {
        if (!mine[i])
            continue;
        if (wait) {
            gather_later(k->g, k->x[i].w, wait);
            k->open[i] = false;
        } else {
            judge_one(k, i, tenant);
        }
    }
    looks = calloc(STORM_CASES_MAX, sizeof *looks);
    if (looks)
        look_together(k, tenant, looks);
    act_on_all(k, true);
    for (size_t i = 0; i < STORM_CASES_MAX && looks; i++)
        defender_reads_clear(&looks[i]);
    free(looks);
    isolation_begun_together(k->g, tenant, &k->together);
    k->together.n = 0;
    act_on_all(k, false);
}

static void run_crowd(struct crowd *k, struct runtime_tenant *tenant, bool entered)
{
    run_tenant(k, tenant, entered);
    for (size_t i = 0; i < k->n; i++) {
        if (k->open[i])
            run_one(&k->x[i]);
        k->open[i] = false;
    }
}

struct leaving {
    struct crowd *k;
    const struct runtime_tenant *tenant;
    int64_t due;
};

static bool is_anothers(const struct leaving *l, size_t i)
{
    const char *name = l->k->x[i].c.tenant;

    return l->k->open[i] && is_new(&l->k->x[i]) && strcmp(name, l->tenant->config->name) != 0 &&
           runtime_tenant(l->k->rt, name);
}

static enum err_code leave_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct leaving *l = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < l->k->n && !code; i++) {
        const struct work *w = l->k->x[i].w;

        if (is_anothers(l, i))
            code = work_again(tx, w, l->due, w->attempts - (w->attempts > 0), e);
    }
    return code;
}

/* Gives back at once what is another tenant's: it does not wait for this one's Defender. */
static void leave_to_others(struct crowd *k, const struct runtime_tenant *tenant)
{
    struct leaving l = {.k = k, .tenant = tenant, .due = clock_wall_ms(k->g->clock)};
    bool any = false, written;
    struct err e;

    for (size_t i = 0; i < k->n; i++)
        any = any || is_anothers(&l, i);
    if (!any)
        return;
    written = !db_write(k->g->store->db, leave_fn, &l, &e);
    for (size_t i = 0; i < k->n; i++) {
        if (!is_anothers(&l, i))
            continue;
        if (!written)
            give_back(k->g, k->x[i].w, 0);
        k->open[i] = false;
    }
    engine_kick(k->g);
}

/* While isolations wait for the calls that are free they come first: a case that is not read yet is of a machine that
 * comes after theirs, if it is to be isolated at all. Every READ_EVERY_MS it is the turn of the cases all the same, for
 * people wait to hear of them. How long x is to wait; 0: not for that. */
static int64_t leave_to_isolations(const struct expansion *x, struct runtime_tenant *tenant)
{
    int64_t waiting = isolation_count_next(x->g, tenant), ago = storm_read_ago(tenant->storm);

    if (!waiting)
        return 0;
    if (ago >= READ_EVERY_MS) {
        storm_wait_turn(tenant->storm);
        return 0;
    }
    if (quota_room(tenant->quota, true) >= waiting + CROWD_CALLS)
        return 0;
    return READ_EVERY_MS - ago < GATHER_MAX_MS ? READ_EVERY_MS - ago : GATHER_MAX_MS;
}

/* Takes what waits beside x and does it together. false: x is to be run alone. */
static bool gather(struct expansion *x)
{
    struct engine *g = x->g;
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    struct crowd *k;
    int64_t wait, others_first;
    size_t more = 0;
    bool mine = true, entered = true;

    if (!tenant)
        return false;
    /* Calls come free one by one: a case that took the next one for itself would leave none for a list, and so would
     * all that come after it. */
    wait = quota_wait_for(tenant->quota, false, CROWD_CALLS);
    others_first = leave_to_isolations(x, tenant);
    wait = others_first > wait ? others_first : wait;
    if (!wait && quota_room(tenant->quota, true) < storm_spoken_for(tenant->storm) + CROWD_CALLS)
        wait = GATHER_GRID_MS; /* who has looked at machines is about to ask for their isolation */
    if (!wait && !storm_try_enter(tenant->storm, &wait)) {
        /* Whoever reads now, or is the next to do so, takes it with the others; alone it would be left over. */
        give_back(g, x->w, 0);
        mine = false;
        wait = storm_enter(tenant->storm);
        entered = !wait;
        if (wait && !storm_hangs(tenant->storm))
            return true;
        /* While he hangs, all that is to wait for him is put aside: else it would be claimed again and again. */
        wait = 0;
        /* He was at it in the turn of the cases, which is over. */
        if (entered && leave_to_isolations(x, tenant)) {
            storm_leave(tenant->storm, 0);
            return true;
        }
    }
    if (wait) {
        engine_hold(g, WORK_CASE,
                    wait < GATHER_MAX_MS ? wait : GATHER_MAX_MS); /* others' as well */
        if (!x->c.told && x->now + wait >= x->w->created + ENGINE_LATE_MS) {
            (void)err_set(&x->why, ERR_THROTTLED, "the tenant's calls are used up for the moment");
            x->why.retry_ms = wait;
            not_read(x, ERR_THROTTLED); /* people hear of it in time */
        } else {
            give_back(g, x->w, wait);
        }
        return true;
    }
    k = calloc(1, sizeof *k);
    if (k)
        engine_claim_more(g, x->w, STORM_CASES_MAX - mine, k->work, &more);
    if (!more) {
        if (entered)
            storm_leave(tenant->storm, 0);
        free(k);
        if (!mine)
            return true;
        if (!others(g))
            return false;
        gather_with_others(g, x->w);
        return true;
    }
    k->g = g;
    k->rt = x->rt;
    for (; k->n < more; k->n++)
        k->open[k->n] = open_case(&k->x[k->n], g, x->rt, &k->work[k->n]);
    if (mine) {
        k->x[k->n] = *x; /* which the caller closes */
        k->open[k->n++] = true;
    }
    leave_to_others(k, tenant);
    run_crowd(k, tenant, entered);
    for (size_t i = 0; i < more; i++)
        close_case(&k->x[i]);
    if (mine)
        x->facts_json = k->x[more].facts_json;
    for (size_t i = 0; i < k->n; i++)
        defender_reads_clear(&k->read[i].reads);
    free(k);
    return true;
}

/* Is it one of many, as far as anybody knows? */
static bool is_crowded(struct expansion *x)
{
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    int64_t n;

    if (engine_is_crowded(x->g, WORK_CASE) || !tenant)
        return true;
    n = others(x->g);
    if (n >= SEVERAL)
        return true;
    /* The last of many, perhaps: an alert without its machine would be a call in vain. */
    return quota_pressure(tenant->quota) > SCARCE &&
           (n || quota_wait_for(tenant->quota, false, CROWD_CALLS) > 0);
}

void expand_run(struct engine *g, struct work *w)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct expansion x;

    if (open_case(&x, g, rt, w) && !(is_new(&x) && is_crowded(&x) && gather(&x)))
        run_one(&x);
    close_case(&x);
}
