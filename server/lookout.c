/* lookout.c - see lookout.h. */
#include "lookout.h"

#include "log.h"
#include "store_questions.h"

/* So much longer a machine is looked out for that cannot be read when the time is over. */
#define UNREAD_FOR_MS DAY_MS

#define SINCE_RELEASED "the machine came back, and was isolated and released since"

struct lookout {
    struct ledger_turn *t;
    enum { LOOK_ON, SEEN, TO_A_PERSON } outcome;
    const char *why;
    size_t begun; /* cases */
    size_t busy;  /* others, that are not over yet: somebody is asked, say, how to go on */
};

/* "ws-114.corp.example (9c1f…)": the record that ours was merged into, as far as it can be read. For people only. */
static const char *other_machine(struct ledger_turn *t, const char *id)
{
    struct defender_reads reads;
    const char *name, *text;

    defender_read(t->tenant->defender, NULL, id, DEFENDER_READ_MACHINE, &reads);
    name = json_get_string(reads.machine, "computerDnsName");
    text = name ? arena_fmt(t->arena, "%s (%s)", name, id) : arena_str(t->arena, id);
    defender_reads_clear(&reads);
    return text;
}

/* machine: NULL where it could not be read: then it is not said at once that it was not seen. */
static void judge(struct lookout *x, const struct json *machine)
{
    struct ledger_turn *t = x->t;
    const char *merged = json_get_string(machine, "mergedIntoMachineId");
    const char *seen = json_get_string(machine, "lastSeen");
    const int64_t for_ms = machine || !t->tenant ? LOOKOUT_FOR_MS : LOOKOUT_FOR_MS + UNREAD_FOR_MS;
    struct err off;
    int64_t seen_ms;

    if (merged && *merged) {
        x->outcome = TO_A_PERSON;
        x->why = arena_fmt(t->arena, "the machine was merged into %s, which was not asked for",
                           other_machine(t, merged));
    } else if (seen && !clock_parse(seen, &seen_ms, NULL) && seen_ms > t->row.lapsed) {
        x->outcome = SEEN;
        x->why = arena_fmt(t->arena, "the machine was seen again at %.30s", seen);
    } else if (t->now - t->row.lapsed >= for_ms && !runtime_check_clock(t->tenant, &off)) {
        x->outcome = TO_A_PERSON;
        x->why = "the machine was not seen for 30 days, cordon looks out for it no longer";
    }
}

/* case_visit_fn: of all that waited for this isolation. Those that are over begin anew; a dropped one stays dropped. */
static enum err_code begin_anew(struct db_tx *tx, void *arg, struct case_record *c, bool *ret_done,
                                struct err *e)
{
    struct lookout *x = arg;
    int64_t now = x->t->now;
    enum err_code code;

    (void)ret_done;
    if (c->state != CASE_DONE && c->state != CASE_FAILED) {
        x->busy += c->state != CASE_DROPPED;
        return ERR_OK;
    }
    code = case_move(tx, c, CASE_EXPANDING, x->why, now, e);
    if (!code)
        code = case_reset(tx, c, e);
    if (!code) /* nor does a yes of then count */
        code = question_forget_case(tx, c->id, now, e);
    if (!code)
        code = work_turn(tx, c->id, WORK_CASE, WORK_NORMAL, now, now, e);
    x->begun++;
    return code;
}

struct thread {
    int64_t asked; /* the case that asked first */
    int64_t id;    /* the one in whose thread people are told; 0: none */
};

/* case_visit_fn: of those that have not begun anew since it is the one that asked first, or else the oldest. */
static enum err_code find_thread(struct db_tx *tx, void *arg, struct case_record *c, bool *ret_done,
                                 struct err *e)
{
    struct thread *t = arg;

    (void)tx;
    (void)e;
    if (c->state != CASE_DROPPED && (!t->id || c->id == t->asked))
        t->id = c->id;
    *ret_done = t->id == t->asked;
    return ERR_OK;
}

static enum err_code tell(struct db_tx *tx, const struct lookout *x, const char *why, struct err *e)
{
    struct isolation_record r = x->t->row;
    struct thread thread = {.asked = r.case_id};
    enum err_code code = case_each(tx, x->t->arena, r.id, CASE_STATES, 0, find_thread, &thread, e);

    r.case_id = thread.id;
    r.lapsed = 0; /* to people: it is looked out for no longer */
    return code || !thread.id ? code : ledger_tell(tx, x->t, &r, NOTICE_NOT_ISOLATED, why, NULL, e);
}

static enum err_code looked_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct lookout *x = arg;
    struct ledger_turn *t = x->t;
    struct isolation_record open;
    bool found = false, released = false;
    enum err_code code;

    x->begun = x->busy = 0;
    if (x->outcome == LOOK_ON)
        return work_again(tx, &t->w, t->now + LOOKOUT_EVERY_MS, 0, e);
    code = isolation_find_open(tx, t->arena, t->row.tenant, t->row.machine_id, &open, &found, e);
    if (!code && !found)
        code = isolation_was_released_since(tx, &t->row, &released, e);
    if (!code && x->outcome == SEEN && !released)
        code = case_each(tx, t->arena, t->row.id, CASE_STATES, 0, begin_anew, x, e);
    else if (!code && !found)
        code = tell(tx, x, released ? SINCE_RELEASED : x->why, e);
    if (!code && x->busy) /* they begin when they are over */
        return work_again(tx, &t->w, t->now + LOOKOUT_EVERY_MS, 0, e);
    return code ? code : work_done(tx, &t->w, e);
}

void lookout_run(struct ledger_turn *t)
{
    struct lookout x = {.t = t, .outcome = LOOK_ON};
    struct defender_reads reads = {0};
    struct err e;

    if (t->tenant)
        defender_read(t->tenant->defender, NULL, t->row.machine_id, DEFENDER_READ_MACHINE, &reads);
    t->now = clock_wall_ms(t->g->clock);
    if (reads.machine_code)
        log_event(LOG_INFO, "lookout_later", LOG_ID("isolation", t->row.id),
                  LOG_ID("case", t->row.case_id), LOG_ERR(&reads.machine_err));
    judge(&x, reads.machine);
    defender_reads_clear(&reads);
    if (db_write(t->g->store->db, looked_fn, &x, &e)) {
        ledger_not_written(t, &e);
        return;
    }
    if (x.outcome != LOOK_ON && !x.busy)
        log_event(LOG_INFO, "lookout_ended", LOG_ID("isolation", t->row.id),
                  LOG_ID("case", t->row.case_id), LOG_STR("machine", t->row.machine_id),
                  LOG_STR("why", x.why), LOG_INT("cases", (int64_t)x.begun));
    engine_kick(t->g);
}
