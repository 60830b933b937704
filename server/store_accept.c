/* store_accept.c - see store_accept.h.
 *
 * The hot path: one delivery, its cases and their work are six tree insertions, most of them appends.
 * A repeated delivery or alert costs one failed insertion, one look-up and a record of the audit: the first of
 * a case is on record when it is judged (delivery_audit), later ones lead to no such moment.
 */
#include "store_accept.h"

#include <stdio.h>
#include <string.h>

#include "id.h"
#include "store_audit.h"
#include "store_cases.h"
#include "store_deliveries.h"

static enum err_code known_case(struct db_tx *tx, struct acceptance *a, size_t i, struct err *e)
{
    const struct notification *n = a->n;
    bool weak = false, found = false, reopened = false;
    struct db_rows *rows;
    enum err_code code;

    code = db_query(tx, e, &rows,
                    "SELECT id, may_isolate FROM cases WHERE tenant = $1 AND alert_id = $2", "tt",
                    n->tenant, n->alerts[i].alert_id);
    if (code)
        return code;
    if (db_next(rows)) {
        a->cases[i] = db_int(rows, 0);
        weak = db_int(rows, 1) == 0;
    }
    code = db_rows_end(rows, e);
    if (!code && !a->delivery) /* a poll or a hunt has it from Defender */
        code = case_found(tx, a->cases[i], n->received_ms, &found, e);
    a->reopened += found;
    if (code || !n->may_isolate)
        return code;
    if (!weak) {
        code = case_second(tx, a->cases[i], n->source, a->delivery, n->alerts[i].machine_id, e);
        return code || !a->delivery /* a poll or a hunt is no sender */
                   ? code
                   : case_name_machine(tx, a->cases[i], a->delivery, n->alerts[i].machine_id, e);
    }
    code = case_strengthen(tx, a->cases[i], n->source, a->delivery, n->alerts[i].machine_id,
                           n->received_ms, &reopened, e);
    if (!code && reopened) {
        a->reopened += !found;
        a->duplicate = false;
    }
    return code;
}

static enum err_code one_case(struct db_tx *tx, struct acceptance *a, size_t i, int64_t id,
                              struct err *e)
{
    const struct notification *n = a->n;
    enum work_priority priority = n->alerts[i].likely_high ? WORK_URGENT : WORK_NORMAL;
    int64_t changed = 0;
    enum err_code code;

    code = db_run(
        tx, e, &changed,
        "INSERT INTO cases (id, tenant, alert_id, source, delivery, pushed_machine_id, state,"
        " created, updated, may_isolate) VALUES ($1, $2, $3, $4, $5, $6, 'received', $7, $8, $9)"
        " ON CONFLICT (tenant, alert_id) DO NOTHING",
        "itttitiii", id, n->tenant, n->alerts[i].alert_id, n->source, a->delivery,
        n->alerts[i].machine_id, n->received_ms, n->received_ms,
        (int64_t)(n->may_isolate || n->made));
    if (code)
        return code;
    a->fresh[i] = changed == 1;
    if (!a->fresh[i])
        return known_case(tx, a, i, e);
    a->cases[i] = id;
    a->duplicate = false;
    if (a->claim && !a->claimed) {
        a->claimed = true;
        return work_put(tx, id, WORK_CASE, priority, n->received_ms, n->received_ms, &a->work, e);
    }
    return work_put(tx, id, WORK_CASE, priority, n->received_ms, n->received_ms, NULL, e);
}

/* The ids of a's cases as the column keeps them. */
static const char *list_ids(const struct acceptance *a, char out[INTAKE_BATCH_MAX * ID_TEXT_SIZE])
{
    for (size_t i = 0; i < a->count; i++) {
        id_format(a->cases[i], out + i * ID_TEXT_SIZE);
        out[(i + 1) * ID_TEXT_SIZE - 1] = ' ';
    }
    out[a->count * ID_TEXT_SIZE - 1] = '\0';
    return out;
}

static enum err_code update_ids(struct db_tx *tx, const struct acceptance *a, struct err *e)
{
    char ids[INTAKE_BATCH_MAX * ID_TEXT_SIZE];

    return db_run(tx, e, NULL, "UPDATE deliveries SET cases = $1 WHERE id = $2", "ti",
                  list_ids(a, ids), a->delivery);
}

/* A delivery id that was used before: answer as the first time. With the same body its alerts are looked at all the
 * same: some senders make the id of the alert's, and never use another. A source that may isolate now, and might not
 * then, has its cases judged anew; one that was another tenant's then has no cases of this one yet. */
static enum err_code repeated(struct db_tx *tx, struct acceptance *a, struct err *e)
{
    const struct notification *n = a->n;
    struct db_rows *rows;
    bool fresh = false;
    enum err_code code;

    code = db_query(
        tx, e, &rows,
        "SELECT id, body_sha256, cases FROM deliveries WHERE source = $1 AND delivery_id = $2",
        "tt", n->source, n->delivery_id);
    if (code)
        return code;
    if (db_next(rows)) {
        a->delivery = db_int(rows, 0);
        a->duplicate = true;
        a->other_body = strcmp(db_text(rows, 1), n->body_sha256) != 0;
        (void)snprintf(a->first_sha256, sizeof a->first_sha256, "%s", db_text(rows, 1));
        a->count = delivery_ids(db_text(rows, 2), a->cases);
        for (size_t i = 0; i < a->count; i++)
            a->fresh[i] = false;
    }
    code = db_rows_end(rows, e);
    if (!a->other_body && a->count == n->count) /* as read then */
        for (size_t i = 0; i < a->count && !code; i++) {
            code = one_case(tx, a, i, id_new(clock_system()), e);
            fresh = fresh || a->fresh[i];
        }
    if (!code && fresh)
        code = update_ids(tx, a, e);
    return code ? code
                : audit_put(tx, e, AUDIT_DELIVERY, a->count ? a->cases[0] : 0, n->received_ms,
                            LOG_ID("delivery", a->delivery), LOG_STR("source", n->source),
                            LOG_STR("delivery_id", n->delivery_id),
                            LOG_STR("body_sha256", n->body_sha256), LOG_STR("key", n->key),
                            LOG_STR("peer", n->peer), LOG_BOOL("repeated", true));
}

/* Has the delivery named the same case before? */
static bool stands_before(const struct acceptance *a, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (a->cases[k] == a->cases[i])
            return true;
    return false;
}

/* The delivery's key decides before its alerts do: the same id with another body acts on the first only
 * (webhook-sources.md section 6, rule 5), so its alerts must not make cases. */
static enum err_code accept_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct acceptance *a = arg;
    const struct notification *n = a->n;
    char ids[INTAKE_BATCH_MAX * ID_TEXT_SIZE];
    bool all_fresh = true;
    int64_t changed = 0;
    enum err_code code;

    a->delivery = id_new(clock_system());
    a->count = n->count;
    a->other_body = false;
    a->claimed = false;
    a->reopened = 0;
    for (size_t i = 0; i < n->count; i++)
        a->cases[i] = id_new(clock_system());
    code = db_run(tx, e, &changed,
                  "INSERT INTO deliveries (id, source, delivery_id, body_sha256, credential, peer,"
                  " received, cases) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
                  " ON CONFLICT (source, delivery_id) DO NOTHING",
                  "itttttit", a->delivery, n->source, n->delivery_id, n->body_sha256, n->key,
                  n->peer, n->received_ms, list_ids(a, ids));
    if (code)
        return code;
    if (changed == 0)
        return repeated(tx, a, e);
    a->duplicate = true; /* until one case is new */
    for (size_t i = 0; i < n->count && !code; i++) {
        code = one_case(tx, a, i, a->cases[i], e);
        all_fresh = all_fresh && a->fresh[i];
    }
    if (code || all_fresh)
        return code;
    code = update_ids(tx, a, e);
    for (size_t i = 0; i < a->count && !code; i++)
        if (!a->fresh[i] && !stands_before(a, i))
            code = delivery_audit(tx, a->delivery, a->cases[i], n->received_ms, e);
    return code;
}

enum err_code acceptance_of_poll(struct db_tx *tx, struct acceptance *a, struct err *e)
{
    enum err_code code = ERR_OK;

    a->delivery = 0;
    a->count = a->n->count;
    a->reopened = 0;
    a->claimed = false;
    for (size_t i = 0; i < a->count && !code; i++)
        code = one_case(tx, a, i, id_new(clock_system()), e);
    return code;
}

enum err_code store_accept(struct store *s, struct acceptance *a, db_done_fn done, struct err *e)
{
    if (s->full)
        return err_set(e, ERR_AGAIN, "the store has reached store.max_size");
    return db_submit(s->db, accept_fn, a, done, e);
}
