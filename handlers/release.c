/* release.c - has the alert's machine released, if cordon isolated it.
 *
 * Done means ordered: the release is asked for once and followed by the ledger (server/releasing.c), and told in the
 * thread of the case that asked for the isolation. What somebody else isolated stays so: a person must say it. */
#include "cordon/handler.h"

#include "act.h"
#include "action.h"
#include "releasing.h"

static const struct handler_arg args[] = {
    {"why", ARG_TEXT, NULL, "the rule says so, for alert {{alert.id}}",
     "the reason, for the record and the portal"},
    {0},
};

struct order {
    struct step *s;
    struct isolation_record r;
    const char *why;
    const struct defender_reads *look; /* the machine's actions; NULL: not read yet */
    bool found;
    bool unseen; /* there is something to be released, and they are to be read first */
    int64_t now;
};

static enum err_code order_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct order *o = arg;
    struct step *s = o->s;
    struct work claim = *s->work;
    enum err_code code =
        isolation_find_open(tx, s->arena, s->c->tenant, s->c->machine_id, &o->r, &o->found, e);
    bool ours = o->found && o->r.state == ISOLATION_ISOLATED && !o->r.adopted;
    const char *beside;

    o->unseen = !code && ours && !o->look;
    if (o->unseen)
        return err_set(e, ERR_AGAIN, "the machine was not looked at yet");
    beside = ours ? ledger_beside(&o->r, o->look, s->arena) : NULL;
    if (!code && beside)
        return err_set(e, ERR_REFUSED, "%s: a person must order it", beside);
    if (!code && o->found && !ours && o->r.state != ISOLATION_RELEASING)
        return err_set(e, ERR_REFUSED,
                       o->r.adopted ? "somebody else isolated the machine: a person must order it"
                                    : "the machine's isolation is not confirmed yet");
    if (!code && ours)
        code = release_order(tx, s->arena, &o->r, o->why, true, o->now, e);
    if (!code)
        code = step_move(tx, s->c->id, s->n, STEP_DONE,
                         ours       ? NULL
                         : o->found ? "it is being released already"
                                    : "cordon knows of no isolation of the machine",
                         o->now, e);
    return code ? code : work_keep(tx, &claim, o->now, e);
}

static enum outcome order(struct step *s, const struct defender_reads *look, bool *ret_unseen,
                          struct err *e)
{
    struct order o = {.s = s,
                      .why = json_get_string(s->args, "why"),
                      .look = look,
                      .now = clock_wall_ms(s->engine->clock)};
    enum err_code code = step_write(s, order_fn, &o, e);

    *ret_unseen = o.unseen;
    if (code)
        return code == ERR_REFUSED ? OUTCOME_REFUSED : OUTCOME_RETRY;
    s->written = true;
    s->work->lease_end = o.now + WORK_LEASE_MS;
    engine_kick(s->engine);
    return OUTCOME_DONE;
}

static enum outcome run(struct step *s, struct err *e)
{
    struct defender_reads look = {0};
    enum outcome outcome = action_may(s, e);
    bool unseen;

    if (outcome != OUTCOME_DONE)
        return outcome;
    if (!s->c->machine_id) {
        (void)err_set(e, ERR_REFUSED, "the alert names no machine");
        return OUTCOME_REFUSED;
    }
    if (runtime_check_clock(s->tenant, e)) /* a person may order it all the same */
        return OUTCOME_RETRY;
    outcome = order(s, s->look, &unseen, e);
    if (!unseen)
        return outcome;
    defender_read(s->tenant->defender, NULL, s->c->machine_id,
                  DEFENDER_READ_TO_ACT | DEFENDER_READ_ACTIONS, &look);
    *e = look.actions_err;
    outcome = action_outcome(look.actions_code, e);
    if (outcome == OUTCOME_DONE)
        outcome = order(s, &look, &unseen, e);
    defender_reads_clear(&look);
    return outcome;
}

const struct handler handler_release = {
    .name = "release",
    .meaning = "has the machine released, if cordon isolated it",
    .permission = "Machine.Isolate",
    .acts = true,
    .follows = true,
    .args = args,
    .run = run,
};
