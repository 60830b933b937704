/* standing.c - see standing.h. */
#include "standing.h"

#include <string.h>

#include "cordon/handler.h"
#include "ending.h"

/* What the steps came to so far. */
static enum err_code of_steps(struct db_tx *tx, struct arena *a, const struct case_record *c,
                              struct notice *n, struct err *e)
{
    struct step_record *steps;
    size_t count = 0;
    enum err_code code = case_steps(tx, a, c->id, &steps, &count, e);

    n->kind = NOTICE_ALERT;
    n->why = NULL;
    n->to_come = false;
    for (size_t i = 0; i < count && !code; i++) {
        const struct handler *h = handler_find(steps[i].handler);

        if (steps[i].state == STEP_WAITING && strcmp(steps[i].handler, "isolate") == 0)
            n->to_come = true;
        if (!h || !h->acts)
            continue;
        if (strcmp(h->name, "isolate") == 0 && ending_was_cut_short(steps, i)) {
            n->kind = NOTICE_NOT_ISOLATED;
            n->why = steps[i].why;
        }
        if (steps[i].state != STEP_WITHHELD && steps[i].state != STEP_FAILED)
            continue;
        if (strcmp(h->name, "isolate") == 0) {
            n->kind = NOTICE_NOT_ISOLATED;
            n->why = steps[i].why;
        } else if (n->kind == NOTICE_ALERT) {
            n->kind = NOTICE_ACTION_FAILED;
            n->why = arena_fmt(a, "%s: %s", h->name, steps[i].why);
            n->since = steps[i].updated;
        }
    }
    return code;
}

void standing_end(const struct isolation_record *r, struct notice *n)
{
    if (r->state == ISOLATION_ISOLATED || r->state == ISOLATION_RELEASING) {
        n->kind = NOTICE_ISOLATED; /* what comes of a release that was ordered is told then */
        return;
    }
    n->kind =
        r->state == ISOLATION_RELEASED && r->confirmed ? NOTICE_RELEASED : NOTICE_NOT_ISOLATED;
    n->why = r->why ? r->why : isolation_state_name(r->state);
}

/* What its rule asks for nobody knows of a case that could not be read (yet), and of one that was let go nothing more comes. */
static void of_state(struct arena *a, const struct case_record *c, struct notice *n)
{
    if (c->state == CASE_EXPANDING) {
        n->kind = NOTICE_LATE;
        n->why = notice_not_yet(a, c->why ? c->why : "the alert is read anew");
    } else if (c->state == CASE_FAILED || (c->state == CASE_DROPPED && n->to_come)) {
        n->kind = NOTICE_NOT_ISOLATED;
        n->why = c->why;
    }
    n->to_come = n->to_come && n->kind == NOTICE_ALERT;
}

enum err_code standing_read(struct db_tx *tx, struct arena *a, const struct case_record *c,
                            struct notice *n, struct isolation_record *isolation, struct err *e)
{
    enum err_code code = of_steps(tx, a, c, n, e);

    if (!code && !c->isolation)
        of_state(a, c, n);
    if (code || !c->isolation)
        return code;
    code = isolation_load(tx, a, c->isolation, isolation, e);
    n->isolation = isolation;
    if (code)
        return code;
    if (isolation_is_settled(isolation->state)) {
        standing_end(isolation, n);
    } else if (isolation->state == ISOLATION_REQUESTED && !isolation->posted && isolation->why) {
        n->kind = NOTICE_LATE; /* Defender was asked and took nothing, as far as is known */
        n->why = notice_not_yet(a, isolation->why);
    } else {
        n->kind = NOTICE_REQUESTED;
    }
    return ERR_OK;
}
