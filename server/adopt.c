/* adopt.c - see adopt.h. */
#include "adopt.h"

#include <string.h>
#include <strings.h>

#include "deed.h"
#include "id.h"
#include "policy.h"

enum err_code adopt_find_lost(struct db_tx *tx, struct arena *arena, const char *tenant,
                              const struct defender_action *a, struct isolation_record *ret,
                              bool *ret_found, struct err *e)
{
    int64_t id = 0;
    bool found = false, displaced;
    enum err_code code = isolation_find_displaced(tx, arena, tenant, a->id, ret, &found, e);

    if (!code && !found && deed_row(a, &id)) {
        code = isolation_load(tx, arena, id, ret, e);
        found = !code;
    }
    displaced = found && ret->action_id && strcasecmp(ret->action_id, a->id) != 0 &&
                (ret->state == ISOLATION_ISOLATED || ret->state == ISOLATION_RELEASED);
    *ret_found = found && (displaced || (ret->state == ISOLATION_FAILED && !ret->action_id)) &&
                 strcmp(ret->tenant, tenant) == 0 &&
                 strcasecmp(ret->machine_id, a->machine_id) == 0;
    if (*ret_found && displaced) { /* what it says is of that one */
        ret->adopted = false;
        ret->requestor = a->requestor[0] ? a->requestor : NULL;
    }
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

enum err_code adopt_find_unlisted(struct db_tx *tx, struct arena *arena, const char *tenant,
                                  const char *machine_id, const struct defender_action *a,
                                  struct isolation_record *ret, bool *ret_found, struct err *e)
{
    enum err_code code = isolation_find_unlisted(tx, arena, tenant, machine_id, ret, ret_found, e);

    *ret_found = !code && *ret_found && a->created_ms <= ret->posted + DEFENDER_SKEW_MS;
    if (*ret_found) { /* what cordon asked for it did not get */
        ret->adopted = true;
        ret->type = "unknown";
        ret->comment = a->comment;
        ret->requestor = a->requestor[0] ? a->requestor : NULL;
    }
    return code;
}

struct telling_after_all {
    const struct ledger_turn *t;
    const struct isolation_record *r;
};

/* case_visit_fn */
static enum err_code tell_after_all(struct db_tx *tx, void *arg, struct case_record *of,
                                    bool *ret_done, struct err *e)
{
    const struct telling_after_all *a = arg;
    const struct ledger_turn *t = a->t;
    struct case_record c; /* with its facts */
    const struct notice n = {.kind = NOTICE_ISOLATED, .c = &c, .isolation = a->r};
    enum err_code code = case_load(tx, t->arena, of->id, &c, e);

    (void)ret_done;
    if (!code)
        code = case_join(tx, &c, a->r->id, e);
    return code || !c.told ? code : notice_put(tx, t->g, t->rt, t->arena, &n, t->now, e);
}

enum err_code adopt_tell_after_all(struct db_tx *tx, const struct ledger_turn *t, int64_t given_up,
                                   const struct isolation_record *r, struct err *e)
{
    struct telling_after_all a = {t, r};

    return case_each(tx, t->arena, given_up, CASE_STATES, 0, tell_after_all, &a, e);
}

enum err_code adopt_is_over(struct db_tx *tx, struct arena *arena, const char *tenant,
                            const char *machine_id, const struct defender_action *a, bool *ret,
                            struct isolation_record *ret_given_up, struct err *e)
{
    struct isolation_record r;
    bool found = false, lost = false;
    enum err_code code = isolation_find_action(tx, arena, tenant, a->id, &r, &found, e);

    if (!code && !found) {
        code = adopt_find_lost(tx, arena, tenant, a, &r, &found, e);
        if (!code && !found)
            code = adopt_find_unlisted(tx, arena, tenant, machine_id, a, &r, &found, e);
        lost = found;
    }
    *ret = !code && found;
    if (*ret && (lost || r.state == ISOLATION_FAILED) && a->status == DEFENDER_SUCCEEDED) {
        *ret = false;
        *ret_given_up = r;
    }
    return code;
}

enum err_code adopt_take(struct db_tx *tx, const struct ledger_turn *t, const char *tenant,
                         const char *machine_id, const struct defender_action *a,
                         const struct isolation_record *known, struct isolation_record *ret,
                         struct err *e)
{
    struct isolation_record *r = ret;
    enum err_code code;

    *r = (struct isolation_record){
        .id = id_new(t->g->clock),
        .tenant = tenant,
        .machine_id = machine_id,
        .machine_name = a->machine_name[0] ? a->machine_name : NULL,
        .type = "unknown", /* scope does not tell: trap 20 */
        .comment = a->comment,
        .requestor = a->requestor[0] ? a->requestor : NULL,
        .action_id = a->id,
        .state = ISOLATION_PENDING,
        .adopted = true,
        .requested = a->created_ms < t->now ? a->created_ms : t->now,
        .updated = t->now,
    };
    if (known->id) {
        r->case_id = known->case_id;
        r->type = known->type;
        r->comment = known->comment;
        r->rule = known->rule;
        r->requestor = known->requestor;
        r->adopted = known->adopted;
        r->requested = known->requested;
    }
    if (a->status == DEFENDER_SUCCEEDED) {
        r->state = ISOLATION_ISOLATED;
        r->confirmed = t->now;
        r->took_effect = deed_took_effect(a);
        r->review = t->now + policy_review(t->rt->config->policy);
    }
    code = isolation_insert(tx, r, e);
    if (!code && r->state == ISOLATION_ISOLATED)
        code = ledger_take(tx, t->arena, r, t->now, e);
    else if (!code)
        code = work_put(tx, r->id, WORK_ISOLATION, WORK_NORMAL, t->now, t->now, NULL, e);
    return code || !known->id ? code : adopt_tell_after_all(tx, t, known->id, r, e);
}

enum err_code adopt_in_force(struct db_tx *tx, const struct ledger_turn *t, const char *tenant,
                             const char *machine_id, const struct defender_reads *look, int64_t but,
                             struct err *e)
{
    const struct defender_action *a = deed_in_force(look->actions, look->n_actions);
    const struct isolation_record none = {.id = 0};
    struct isolation_record known = none, r;
    bool found = false, over = false;
    enum err_code code;

    if (!a || a->type != DEFENDER_ISOLATE)
        return ERR_OK;
    code = isolation_find_open(tx, t->arena, tenant, machine_id, &r, &found, e);
    if (!code && !found)
        code = adopt_is_over(tx, t->arena, tenant, machine_id, a, &over, &known, e);
    return code || found || over
               ? code
               : adopt_take(tx, t, tenant, machine_id, a, known.id == but ? &none : &known, &r, e);
}
