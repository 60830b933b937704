/* expand.c - see expand.h.
 *
 * When the push named a machine, the alert, that machine and its actions are read side by side, so that an
 * isolate can leave one round trip after the push. When it did not, or named another than the alert does,
 * the alert's own machine is read in a second round: facts are always those of the alert's machine.
 */
#include "expand.h"

#include <string.h>
#include <strings.h>

#include "act.h"
#include "decide.h"
#include "log.h"
#include "notice.h"

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

struct expansion {
    struct engine *g;
    struct runtime *rt;
    struct work *w;
    struct arena *arena;
    struct case_record c;
    enum case_state before; /* its verdict, which is not written yet */
    struct facts facts;
    struct buf facts_json;
    const char *machine_id;
    struct verdict verdict;
    struct err why; /* of a failed read */
    int64_t now, due;
};

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
    *to = *from;
    to->alert = alert;
    to->alert_code = ERR_OK;
    to->read_ms = read_ms; /* facts are as old as their oldest part */
    *from = (struct defender_reads){0};
}

/* Reads the alert and the machine it names. ERR_OK with x->facts complete, else the failure in x->why. */
static enum err_code read_facts(struct expansion *x, struct runtime_tenant *tenant,
                                const struct config_source *source, struct defender_reads *reads)
{
    const char *pushed = x->c.pushed_machine_id;

    defender_read(tenant->defender, x->c.alert_id, pushed,
                  DEFENDER_READ_ALERT | DEFENDER_READ_MACHINE | DEFENDER_READ_ACTIONS, reads);
    if (reads->alert_code) {
        x->why = reads->alert_err;
        return reads->alert_code;
    }
    x->machine_id = json_get_string(reads->alert, "machineId");
    if (x->machine_id && !x->machine_id[0])
        x->machine_id = NULL;
    if (x->machine_id) { /* one spelling: the ledger allows one open isolation per machine id */
        char *lower = arena_str(x->arena, x->machine_id);

        if (!lower)
            return err_set(&x->why, ERR_NOMEM, "machine id");
        for (char *p = lower; *p; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        x->machine_id = lower;
    }
    if (x->machine_id && (!pushed || !same_machine(pushed, x->machine_id))) {
        struct defender_reads second;

        defender_read(tenant->defender, NULL, x->machine_id,
                      DEFENDER_READ_MACHINE | DEFENDER_READ_ACTIONS, &second);
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
        .may_isolate = source && source->may_isolate,
        .alert_id = x->c.alert_id,
        .pushed_machine_id = pushed,
        .alert = reads->alert,
        .machine = x->machine_id && !reads->machine_code ? reads->machine : NULL,
        .read_ms = reads->read_ms,
    };
    return ERR_OK;
}

/* ---- when it cannot be read ------------------------------------------------------------------- */

static struct notice bad_news(const struct expansion *x, const char *why)
{
    return (struct notice){.kind = NOTICE_NOT_ISOLATED, .why = why, .c = &x->c};
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
    code = case_move(tx, &c, CASE_EXPANDING, x->why.text, x->now, e);
    if (!code && late)
        code = notice_put(tx, x->g, x->rt, x->arena, &n, x->now, e);
    return code ? code : work_again(tx, x->w, x->due, x->w->attempts, e);
}

static void not_read(struct expansion *x, enum err_code code)
{
    int64_t wait = engine_backoff(x->w->attempts, x->why.retry_ms);
    bool retry = reactions[code].retry && x->now - x->w->created < reactions[code].give_up_ms;
    struct err e;

    x->due = engine_late_due(x->now, x->now + wait, x->w->created);
    (void)err_in(&x->why, "alert %s", x->c.alert_id);
    log_event(retry ? LOG_INFO : LOG_ERROR, retry ? "expand_later" : "case_failed",
              LOG_ID("case", x->c.id), LOG_STR("tenant", x->c.tenant), LOG_ERR(&x->why),
              LOG_INT("attempt", x->w->attempts), LOG_INT("next_ms", retry ? wait : 0));
    if (code == ERR_THROTTLED)
        engine_throttled(x->g, x->rt);
    if (db_write(x->g->store->db, retry ? later_fn : fail_fn, x, &e)) {
        log_event(LOG_ERROR, "case_not_written", LOG_ID("case", x->c.id), LOG_ERR(&e));
        engine_again(x->g, x->w, wait);
    }
    engine_kick(x->g);
}

/* ---- deciding --------------------------------------------------------------------------------- */

static enum err_code judged_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct expansion *x = arg;
    struct case_record c = x->c;
    struct work w = *x->w;
    enum err_code code;

    c.state = x->before;
    code = case_judged(tx, &c, x->machine_id, buf_text(&x->facts_json), &x->verdict, x->now, e);
    return code ? code : work_keep(tx, &w, x->now, e);
}

static void judged(void *arg)
{
    struct expansion *x = arg;

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

/* Acts on the verdict, which is written with the first thing that is done about it. */
static void act_on_verdict(struct expansion *x, struct defender_reads *reads)
{
    const struct opening opening = {.fn = judged_fn, .written = judged, .arg = x};
    struct acting a = {.g = x->g,
                       .rt = x->rt,
                       .w = x->w,
                       .c = &x->c,
                       .facts = &x->facts,
                       .look = reads->actions_code || !x->machine_id ? NULL : reads,
                       .n_steps = x->verdict.n_steps,
                       .opening = &opening,
                       .arena = x->arena};
    struct step_record *steps = arena_array(x->arena, a.n_steps + 1, sizeof *steps);

    if (!steps) {
        log_event(LOG_ERROR, "case_not_judged", LOG_ID("case", x->c.id),
                  LOG_STR("why", "out of memory"));
        engine_again(x->g, x->w, engine_backoff(x->w->attempts, 0));
        return;
    }
    for (size_t i = 0; i < a.n_steps; i++)
        steps[i] = case_step_of(&x->verdict.steps[i], (int64_t)i, x->now);
    a.steps = steps;
    x->before = x->c.state;
    x->c.state = CASE_ACTING;
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

static void run_new(struct expansion *x)
{
    struct runtime_tenant *tenant = runtime_tenant(x->rt, x->c.tenant);
    const struct config_source *source = config_source(x->rt->config, x->c.source);
    struct defender_reads reads = {0};
    enum err_code code;

    if (tenant)
        code = read_facts(x, tenant, source, &reads);
    else
        code = err_set(&x->why, ERR_REFUSED, "tenant '%s' is no longer configured", x->c.tenant);
    x->now = clock_wall_ms(x->g->clock);
    metrics_add(x->g->metrics, METRIC_DEFENDER_CALLS, 1, x->c.tenant, err_name(code));
    (void)health_note(x->g->health, "defender", x->c.tenant, !code || code == ERR_NOT_FOUND,
                      x->why.text);
    if (!code)
        code = judge(x);
    if (code)
        not_read(x, code);
    else
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
        log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", x->c.id), LOG_ERR(&e));
        engine_again(x->g, x->w, engine_backoff(x->w->attempts, 0));
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

void expand_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(16384);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct expansion x = {.g = g,
                          .rt = rt,
                          .w = w,
                          .arena = arena,
                          .facts_json = BUF_INIT(4 << 20),
                          .now = clock_wall_ms(g->clock)};
    struct err e = {0};
    enum err_code code =
        arena ? store_case_load(g->store, arena, w->id, &x.c, &e) : err_set(&e, ERR_NOMEM, "case");

    if (code) {
        log_event(LOG_ERROR, "case_unreadable", LOG_ID("case", w->id), LOG_ERR(&e));
        engine_again(g, w, engine_backoff(w->attempts, 0));
        return;
    }
    switch (x.c.state) {
    case CASE_RECEIVED:
    case CASE_EXPANDING:
    case CASE_DECIDING:
        run_new(&x);
        break;
    case CASE_ACTING:
        run_judged(&x);
        break;
    default: /* over, or waiting for its isolation: the row is a left-over */
        if (db_write(g->store->db, done_fn, &x, &e))
            engine_again(g, w, engine_backoff(w->attempts, 0));
    }
    buf_clear(&x.facts_json);
}
