/* store_cases.c - see store_cases.h. */
#include "store_cases.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "id.h"
#include "store_audit.h"
#include "store_deliveries.h"
#include "store_questions.h"
#include "store_policies.h"
#include "store_rows.h"
#include "store_work.h"

static const char *const case_names[CASE_STATES] = {
    [CASE_RECEIVED] = "received", [CASE_EXPANDING] = "expanding", [CASE_DECIDING] = "deciding",
    [CASE_ACTING] = "acting",     [CASE_WAITING] = "waiting",     [CASE_DONE] = "done",
    [CASE_FAILED] = "failed",     [CASE_DROPPED] = "dropped",
};

#define VISITED_AT_ONCE 200 /* cases of case_each that are read per query */

/* Whoever was told longer ago that an alert cannot be read has seen to it: that it changes then is history, as after a pause of
 * polling (polling.c). */
#define FOUND_MAX_MS (7 * DAY_MS)

#define OVER (1u << CASE_FAILED | 1u << CASE_DROPPED)
static const unsigned may_become[CASE_STATES] = {
    [CASE_RECEIVED] = 1u << CASE_EXPANDING | 1u << CASE_ACTING | OVER,
    [CASE_EXPANDING] = 1u << CASE_EXPANDING | 1u << CASE_ACTING | OVER,
    [CASE_DECIDING] = 1u << CASE_DECIDING | 1u << CASE_ACTING | OVER,
    [CASE_ACTING] = 1u << CASE_DECIDING | 1u << CASE_WAITING | 1u << CASE_DONE | OVER,
    [CASE_WAITING] = 1u << CASE_DECIDING | 1u << CASE_ACTING | 1u << CASE_DONE | OVER,
    [CASE_DONE] = 1u << CASE_EXPANDING | 1u << CASE_DROPPED,
    [CASE_FAILED] = 1u << CASE_EXPANDING | 1u << CASE_DROPPED,
    [CASE_DROPPED] = 0,
};

static const char *const step_names[STEP_STATES] = {
    [STEP_WAITING] = "waiting", [STEP_DONE] = "done",       [STEP_WITHHELD] = "withheld",
    [STEP_FAILED] = "failed",   [STEP_SKIPPED] = "skipped",
};

const char *case_state_name(enum case_state state)
{
    return case_names[state];
}

enum case_state case_state_parse(const char *name)
{
    return (enum case_state)store_find_word(case_names, CASE_STATES, name);
}

const char *step_state_name(enum step_state state)
{
    return step_names[state];
}

/* ---- reading ---------------------------------------------------------------------------------- */

#define LIST_COLUMNS                                                                                      \
    "id, delivery, isolation, tenant, alert_id, source, pushed_machine_id, machine_id, state, rule, why," \
    " told, created, updated"

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct case_record *c = item;
    bool nomem = false;

    *c = (struct case_record){
        .id = db_int(rows, 0),
        .delivery = db_int(rows, 1),
        .isolation = db_int(rows, 2),
        .tenant = store_text(a, rows, 3, &nomem),
        .alert_id = store_text(a, rows, 4, &nomem),
        .source = store_text(a, rows, 5, &nomem),
        .pushed_machine_id = store_text(a, rows, 6, &nomem),
        .machine_id = store_text(a, rows, 7, &nomem),
        .rule = store_text(a, rows, 9, &nomem),
        .why = store_text(a, rows, 10, &nomem),
        .told = store_text(a, rows, 11, &nomem),
        .created = db_int(rows, 12),
        .updated = db_int(rows, 13),
    };
    if (nomem)
        return err_set(e, ERR_NOMEM, "case");
    c->state = case_state_parse(db_text(rows, 8));
    if (c->state == CASE_STATES)
        return err_set(e, ERR_REFUSED, "the store holds a case in state '%.40s'", db_text(rows, 8));
    return ERR_OK;
}

/* The same, and what stands behind the two columns that are long, with those. */
static enum err_code read_whole(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct case_record *c = item;
    bool nomem = false;
    enum err_code code = read_row(rows, a, c, e);

    if (code)
        return code;
    c->facts = store_text(a, rows, 14, &nomem);
    c->verdict = store_text(a, rows, 15, &nomem);
    c->second = store_text(a, rows, 16, &nomem);
    c->weak = db_int(rows, 17) == 0;
    c->second_delivery = db_int(rows, 18);
    c->second_machine_id = store_text(a, rows, 19, &nomem);
    return nomem ? err_set(e, ERR_NOMEM, "case") : ERR_OK;
}

static const char no_case[] = "there is no case with this id";

enum err_code case_load(struct db_tx *tx, struct arena *a, int64_t id, struct case_record *ret,
                        struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT " LIST_COLUMNS
                 ", facts, verdict, second_source, may_isolate, second_delivery, second_machine_id"
                 " FROM cases WHERE id = $1",
                 "i", id);

    return code ? code : store_take_one(rows, a, read_whole, ret, no_case, e);
}

enum err_code case_load_row(struct db_tx *tx, struct arena *a, int64_t id, struct case_record *ret,
                            struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " LIST_COLUMNS " FROM cases WHERE id = $1", "i", id);

    return code ? code : store_take_one(rows, a, read_row, ret, no_case, e);
}

/* States of an index, for those few that people ask for among all that are done. */
#define AT_REST "('failed', 'waiting', 'dropped')"

static bool is_at_rest(const char *state)
{
    enum case_state s = case_state_parse(state);

    return s == CASE_FAILED || s == CASE_WAITING || s == CASE_DROPPED;
}

/* Of a case that is left out nothing is read that stands behind its facts, which are large: SQLite would read all of these
 * to get there, the whole store for a list that is empty. Ids sort by time: an hour more is read than is asked for. */
enum err_code case_list(struct db_tx *tx, struct arena *a, const struct case_filter *f,
                        struct case_record **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code;

    if (f->isolation)
        code = db_query(tx, e, &rows,
                        "SELECT " LIST_COLUMNS " FROM cases WHERE isolation = $1"
                        " AND (state = $2 OR $3 = 1) AND id > $4 ORDER BY id LIMIT $5",
                        "itiii", f->isolation, f->state ? f->state : "", (int64_t)!f->state,
                        f->after_id, (int64_t)f->limit);
    else if (f->machine_id)
        code = db_query(tx, e, &rows,
                        "SELECT " LIST_COLUMNS " FROM cases WHERE id IN"
                        " (SELECT id FROM cases WHERE machine_id = $1 UNION ALL"
                        " SELECT id FROM cases WHERE machine_id IS NULL AND state = 'failed'"
                        " AND lower(pushed_machine_id) = lower($2) UNION ALL"
                        " SELECT c.id FROM work w JOIN cases c ON c.id = w.id WHERE w.kind = $3"
                        " AND c.machine_id IS NULL AND lower(c.pushed_machine_id) = lower($4))"
                        " AND tenant = $5 AND id < $6 ORDER BY id DESC LIMIT $7",
                        "ttittii", f->machine_id, f->machine_id, (int64_t)WORK_CASE, f->machine_id,
                        f->tenant, f->before_id ? f->before_id : INT64_MAX, (int64_t)f->limit);
    else if (
        f->alert_id) /* the index of cases begins with the tenant: it is read through, and nothing else is */
        code = db_query(tx, e, &rows,
                        "SELECT " LIST_COLUMNS " FROM cases WHERE id IN"
                        " (SELECT id FROM cases WHERE alert_id = $1) ORDER BY id DESC LIMIT $2",
                        "ti", f->alert_id, (int64_t)f->limit);
    else if (f->not_isolated)
        code = db_query(tx, e, &rows,
                        "SELECT " LIST_COLUMNS " FROM cases WHERE told = 'not_isolated'"
                        " AND updated >= $1 ORDER BY updated DESC, id DESC LIMIT $2",
                        "ii", f->since, (int64_t)f->limit);
    else if (f->state && is_at_rest(f->state))
        code = db_query(tx, e, &rows,
                        "SELECT " LIST_COLUMNS " FROM cases WHERE state IN " AT_REST
                        " AND state = $1 AND id < $2 AND id >= $3 AND (tenant = $4 OR $5 = 1)"
                        " AND ($6 = 0 OR created >= $7) ORDER BY id DESC LIMIT $8",
                        "tiitiiii", f->state, f->before_id ? f->before_id : INT64_MAX,
                        f->since ? id_of_time(f->since - HOUR_MS) : 0, f->tenant ? f->tenant : "",
                        (int64_t)!f->tenant, (int64_t)(f->since != 0), f->since, (int64_t)f->limit);
    else
        code = db_query(tx, e, &rows,
                        "SELECT " LIST_COLUMNS " FROM cases WHERE id < $1 AND id >= $2"
                        " AND (state = $3 OR $4 = 1) AND (tenant = $5 OR $6 = 1)"
                        " AND ($7 = 0 OR created >= $8) ORDER BY id DESC LIMIT $9",
                        "iititiiii", f->before_id ? f->before_id : INT64_MAX,
                        f->since ? id_of_time(f->since - HOUR_MS) : 0, f->state ? f->state : "",
                        (int64_t)!f->state, f->tenant ? f->tenant : "", (int64_t)!f->tenant,
                        (int64_t)(f->since != 0), f->since, (int64_t)f->limit);
    if (!code)
        code = store_take(rows, a, sizeof **ret, read_row, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code case_each(struct db_tx *tx, struct arena *a, int64_t isolation, enum case_state state,
                        int64_t after_id, case_visit_fn fn, void *arg, struct err *e)
{
    struct case_filter f = {.isolation = isolation,
                            .state = state == CASE_STATES ? NULL : case_state_name(state),
                            .after_id = after_id,
                            .limit = VISITED_AT_ONCE};
    bool done = false;
    struct case_record *cases;
    size_t n;
    enum err_code code;

    do {
        code = case_list(tx, a, &f, &cases, &n, e);
        for (size_t i = 0; i < n && !code && !done; i++) {
            f.after_id = cases[i].id;
            code = fn(tx, arg, &cases[i], &done, e);
        }
    } while (!code && !done && n == VISITED_AT_ONCE);
    return code;
}

static enum err_code read_step(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct step_record *s = item;
    bool nomem = false;

    *s = (struct step_record){
        .n = db_int(rows, 0),
        .handler = store_text(a, rows, 1, &nomem),
        .args = store_text(a, rows, 2, &nomem),
        .why = store_text(a, rows, 3, &nomem),
        .state = (enum step_state)store_find_word(step_names, STEP_STATES, db_text(rows, 4)),
        .updated = db_int(rows, 5)};
    if (nomem)
        return err_set(e, ERR_NOMEM, "step");
    if (s->state == STEP_STATES)
        return err_set(e, ERR_REFUSED, "the store holds a step in state '%.40s'", db_text(rows, 4));
    return ERR_OK;
}

static enum err_code take_steps(struct db_rows *rows, struct arena *a, struct step_record **ret,
                                size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code = store_take(rows, a, sizeof **ret, read_step, &list, e);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code case_steps(struct db_tx *tx, struct arena *a, int64_t id, struct step_record **ret,
                         size_t *ret_count, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT n, handler, args, why, state, updated FROM steps"
                                  " WHERE case_id = $1 ORDER BY n",
                                  "i", id);

    return code ? code : take_steps(rows, a, ret, ret_count, e);
}

enum err_code case_shared_steps(struct db_tx *tx, struct arena *a, int64_t isolation,
                                int64_t case_id, const char *handler, struct step_record **ret,
                                size_t *ret_count, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT n, handler, args, why, state, updated FROM steps WHERE handler = $1"
                 " AND case_id IN (SELECT $2 UNION"
                 " SELECT id FROM cases WHERE isolation = $3 AND state <> 'dropped')",
                 "tii", handler, case_id, isolation);

    return code ? code : take_steps(rows, a, ret, ret_count, e);
}

/* The same for readers outside a transaction. */
struct read {
    struct arena *arena;
    int64_t id;
    const struct case_filter *filter;
    struct case_record *cases;
    struct step_record *steps;
    int64_t *counts;
    size_t count;
};

static enum err_code read_case(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;

    return case_load(tx, r->arena, r->id, r->cases, e);
}

static enum err_code read_steps(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;

    return case_steps(tx, r->arena, r->id, &r->steps, &r->count, e);
}

static enum err_code read_list(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;

    return case_list(tx, r->arena, r->filter, &r->cases, &r->count, e);
}

/* Rows are not looked at one by one, for there may be hundreds of thousands, and most are done: what is under way has work, what
 * is at rest an index, and the rest of all is done. One statement, so that all of it is of one moment. */
static enum err_code read_counts(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;
    struct db_rows *rows;
    enum err_code code;

    memset(r->counts, 0, CASE_STATES * sizeof *r->counts);
    code = db_query(
        tx, e, &rows,
        "SELECT state, count(*) FROM cases WHERE state IN " AT_REST " GROUP BY state UNION ALL"
        " SELECT c.state, count(*) FROM work w JOIN cases c ON c.id = w.id WHERE w.kind = $1"
        " AND c.state NOT IN " AT_REST " AND c.state <> 'done' GROUP BY c.state UNION ALL"
        " SELECT 'done', (SELECT count(*) FROM cases)",
        "i", (int64_t)WORK_CASE);
    if (code)
        return code;
    while (db_next(rows)) {
        enum case_state state = case_state_parse(db_text(rows, 0));

        if (state < CASE_STATES)
            r->counts[state] = db_int(rows, 1);
    }
    for (int i = 0; i < CASE_STATES; i++) /* by now it is all of them */
        r->counts[CASE_DONE] -= i == CASE_DONE ? 0 : r->counts[i];
    return db_rows_end(rows, e);
}

enum err_code store_case_load(struct store *s, struct arena *a, int64_t id, struct case_record *ret,
                              struct err *e)
{
    struct read r = {.arena = a, .id = id, .cases = ret};

    return db_read(s->db, read_case, &r, e);
}

enum err_code store_case_steps(struct store *s, struct arena *a, int64_t id,
                               struct step_record **ret, size_t *ret_count, struct err *e)
{
    struct read r = {.arena = a, .id = id};
    enum err_code code = db_read(s->db, read_steps, &r, e);

    if (code)
        return code;
    *ret = r.steps;
    *ret_count = r.count;
    return ERR_OK;
}

enum err_code store_case_list(struct store *s, struct arena *a, const struct case_filter *f,
                              struct case_record **ret, size_t *ret_count, struct err *e)
{
    struct read r = {.arena = a, .filter = f};
    enum err_code code = db_read(s->db, read_list, &r, e);

    if (code)
        return code;
    *ret = r.cases;
    *ret_count = r.count;
    return ERR_OK;
}

static enum err_code count_shared(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT count(*) FROM cases WHERE isolation = $1", "i", r->id);

    return code ? code : store_take_int(rows, r->counts, e);
}

enum err_code store_case_count_shared(struct store *s, int64_t isolation, int64_t *ret,
                                      struct err *e)
{
    struct read r = {.id = isolation, .counts = ret};

    return db_read(s->db, count_shared, &r, e);
}

enum err_code store_case_count(struct store *s, int64_t ret[CASE_STATES], struct err *e)
{
    struct read r = {.counts = ret};

    return db_read(s->db, read_counts, &r, e);
}

/* ---- writing ---------------------------------------------------------------------------------- */

enum err_code case_move(struct db_tx *tx, struct case_record *c, enum case_state to,
                        const char *why, int64_t now, struct err *e)
{
    int64_t changed = 0;
    enum err_code code;

    assert(may_become[c->state] & 1u << to);
    code =
        db_run(tx, e, &changed,
               "UPDATE cases SET state = $1, why = $2, updated = $3 WHERE id = $4 AND state = $5",
               "ttiit", case_names[to], why, now, c->id, case_names[c->state]);
    if (code)
        return code;
    if (changed != 1)
        return err_set(e, ERR_STALE, "the case is not %s any more", case_names[c->state]);
    if (c->state < CASE_ACTING && (to == CASE_FAILED || to == CASE_DROPPED)) /* before a verdict */
        code = delivery_audit(tx, c->delivery, c->id, now, e);
    if (!code && (to == CASE_DONE || to == CASE_FAILED || to == CASE_DROPPED))
        code = audit_put(tx, e, AUDIT_CASE, c->id, now, LOG_STR("tenant", c->tenant),
                         LOG_STR("alert", c->alert_id), LOG_STR("state", case_names[to]),
                         LOG_STR("why", why));
    if (!code)
        c->state = to;
    return code;
}

struct step_record case_step_of(const struct verdict_step *s, int64_t n, int64_t now)
{
    return (struct step_record){.n = n,
                                .handler = s->handler,
                                .args = s->args,
                                .why = s->withheld,
                                .state = s->withheld ? STEP_WITHHELD : STEP_WAITING,
                                .updated = now};
}

/* What the verdict stands on and what it is: by hash where the case has the text. Its policy is to be kept as long. */
static enum err_code audit_judged(struct db_tx *tx, const struct case_record *c,
                                  const char *machine_id, const char *facts_json,
                                  const struct verdict *v, int64_t now, struct err *e)
{
    char facts[AUDIT_HASH_SIZE], verdict[AUDIT_HASH_SIZE];
    enum err_code code = audit_sha256(facts_json, facts, e);

    if (!code)
        code = audit_sha256(v->json, verdict, e);
    if (!code)
        code = policy_used(tx, v->policy, now, e);
    if (!code)
        code = delivery_audit(tx, c->delivery, c->id, now, e);
    if (!code)
        code = audit_put(tx, e, AUDIT_FACTS, c->id, now, LOG_STR("tenant", c->tenant),
                         LOG_STR("alert", c->alert_id), LOG_STR("machine", machine_id),
                         LOG_STR("sha256", facts));
    return code ? code
                : audit_put(tx, e, AUDIT_VERDICT, c->id, now, LOG_STR("policy", v->policy),
                            LOG_STR("rule", v->rule), LOG_STR("doubt", v->doubt),
                            LOG_INT("steps", (int64_t)v->n_steps), LOG_STR("sha256", verdict));
}

/* No sender has named another machine since the case was read: the parameters for what was named then, and for the machine that it
 * is about. */
#define AS_JUDGED(named, machine)                                                                  \
    "(pushed_machine_id IS NULL OR pushed_machine_id = " named                                     \
    " OR lower(pushed_machine_id) = lower(" machine "))"

enum err_code case_judged(struct db_tx *tx, struct case_record *c, const char *machine_id,
                          const char *facts_json, const struct verdict *v, int64_t now,
                          struct err *e)
{
    int64_t changed = 0;
    enum err_code code;

    code = case_move(tx, c, CASE_ACTING, v->doubt, now, e);
    if (!code)
        code = audit_judged(tx, c, machine_id, facts_json, v, now, e);
    if (code)
        return code;
    code =
        db_run(tx, e, &changed,
               "UPDATE cases SET facts = $1, verdict = $2, rule = $3, machine_id = $4, source = $5"
               " WHERE id = $6 AND " AS_JUDGED("$7", "$8"),
               "tttttitt", facts_json, v->json, v->rule, machine_id, c->source, c->id,
               c->pushed_machine_id, machine_id);
    if (!code && changed != 1)
        return err_set(e, ERR_STALE, CASE_NAMED_MEANWHILE);
    for (size_t i = 0; i < v->n_steps && !code; i++) {
        const struct step_record s = case_step_of(&v->steps[i], (int64_t)i, now);

        code = db_run(tx, e, NULL,
                      "INSERT INTO steps (case_id, n, handler, args, state, why, updated)"
                      " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                      "iittt"
                      "ti",
                      c->id, s.n, s.handler, s.args, step_names[s.state], s.why, s.updated);
    }
    return code;
}

enum err_code case_rejudged(struct db_tx *tx, struct case_record *c, const char *facts_json,
                            const struct verdict *v, int64_t now, struct err *e)
{
    int64_t changed = 0;
    enum err_code code = case_move(tx, c, CASE_ACTING, v->doubt, now, e);

    if (!code)
        code = audit_judged(tx, c, c->machine_id, facts_json, v, now, e);
    if (!code)
        code = db_run(tx, e, &changed,
                      "UPDATE cases SET facts = $1, verdict = $2, rule = $3, source = $4"
                      " WHERE id = $5 AND " AS_JUDGED("$6", "$7"),
                      "ttttitt", facts_json, v->json, v->rule, c->source, c->id,
                      c->pushed_machine_id, c->machine_id);
    return code || changed == 1 ? code : err_set(e, ERR_STALE, CASE_NAMED_MEANWHILE);
}

enum err_code case_reset(struct db_tx *tx, struct case_record *c, struct err *e)
{
    enum err_code code = db_run(tx, e, NULL, "DELETE FROM steps WHERE case_id = $1", "i", c->id);

    if (!code)
        code = db_run(tx, e, NULL, "UPDATE cases SET isolation = NULL, told = NULL WHERE id = $1",
                      "i", c->id);
    if (code)
        return code;
    c->isolation = 0;
    c->told = NULL;
    return ERR_OK;
}

/* No verdict yet: whose case it is may still be changed without anybody having heard of it. */
#define UNJUDGED "state IN ('received', 'expanding')"

enum err_code case_strengthen(struct db_tx *tx, int64_t id, const char *source, int64_t delivery,
                              const char *machine_id, int64_t now, bool *ret_changed, struct err *e)
{
    int64_t changed = 0, working = 0;
    enum err_code code = db_run(
        tx, e, &changed,
        "UPDATE cases SET may_isolate = 1, source = $1, delivery = $2, pushed_machine_id = $3,"
        " state = 'received', updated = $4, second_source = nullif(second_source, $5),"
        " second_delivery = CASE WHEN second_source = $6 THEN 0 ELSE second_delivery END,"
        " second_machine_id = CASE WHEN second_source = $7 THEN NULL ELSE second_machine_id END,"
        " why = CASE WHEN " UNJUDGED " THEN why ELSE 'pushed again, by a source that may isolate'"
        " END WHERE id = $8 AND may_isolate = 0 AND (" UNJUDGED
        " OR (state IN ('acting', 'waiting', 'deciding', 'done') AND isolation IS NULL AND EXISTS"
        " (SELECT 1 FROM steps WHERE case_id = $9 AND state = 'withheld')))",
        "tititttii", source, delivery, machine_id, now, source, source, source, id, id);

    if (code || changed == 0)
        return code;
    code = db_run(tx, e, NULL, "DELETE FROM steps WHERE case_id = $1", "i", id);
    if (!code)
        code = question_forget_case(tx, id, now, e);
    if (!code) /* whoever is at work on it works for the weaker source: its claim is void */
        code = db_run(tx, e, &working,
                      "UPDATE work SET due = $1, owner = NULL, fence = fence + 1 WHERE id = $2",
                      "ii", now, id);
    if (!code && working == 0)
        code = work_put(tx, id, WORK_CASE, WORK_NORMAL, now, now, NULL, e);
    *ret_changed = !code;
    return code;
}

enum err_code case_found(struct db_tx *tx, int64_t id, int64_t now, bool *ret_changed,
                         struct err *e)
{
    int64_t changed = 0;
    enum err_code code = db_run(tx, e, &changed,
                                "UPDATE cases SET state = 'expanding', told = NULL, updated = $1,"
                                " why = 'Defender lists it now' WHERE id = $2 AND state = 'failed'"
                                " AND isolation IS NULL AND updated >= $3"
                                " AND why LIKE '%" CASE_UNKNOWN_ALERT "%'",
                                "iii", now, id, now - FOUND_MAX_MS);

    *ret_changed = false;
    if (code || !changed)
        return code;
    code = db_run(tx, e, NULL, "DELETE FROM steps WHERE case_id = $1", "i", id);
    if (!code)
        code = question_forget_case(tx, id, now, e);
    if (!code)
        code = work_put(tx, id, WORK_CASE, WORK_NORMAL, now, now, NULL, e);
    *ret_changed = !code;
    return code;
}

enum err_code case_second(struct db_tx *tx, int64_t id, const char *source, int64_t delivery,
                          const char *machine_id, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE cases SET second_source = $1, second_delivery = $2, second_machine_id ="
                  " CASE WHEN second_delivery <> 0 THEN coalesce(second_machine_id, $3) ELSE $4 END"
                  " WHERE id = $5 AND source <> $6 AND (second_source IS NULL OR $7 = 1)"
                  " AND (second_delivery = 0 OR second_machine_id IS NULL"
                  " OR lower(second_machine_id) = lower(coalesce($8, second_machine_id)))"
                  " AND state NOT IN ('done', 'failed', 'dropped') AND isolation IS NULL",
                  "tittitit", source, delivery, machine_id, machine_id, id, source,
                  (int64_t)(delivery != 0), machine_id);
}

enum err_code case_stand_in(struct db_tx *tx, const struct case_record *c, int64_t now,
                            struct err *e)
{
    int64_t changed = 0;
    enum err_code code =
        db_run(tx, e, &changed,
               "UPDATE cases SET source = second_source, delivery = second_delivery,"
               " pushed_machine_id = second_machine_id, second_source = NULL,"
               " second_delivery = 0, second_machine_id = NULL"
               " WHERE id = $1 AND second_source = $2 AND (" UNJUDGED " OR isolation IS NOT NULL)",
               "it", c->id, c->second);

    /* The one that comes into its place is on record since it came. */
    return code || !changed ? code : delivery_audit(tx, c->delivery, c->id, now, e);
}

enum err_code case_weaken(struct db_tx *tx, const struct case_record *c, struct err *e)
{
    int64_t changed = 0;
    enum err_code code =
        db_run(tx, e, &changed,
               "UPDATE cases SET may_isolate = 0"
               " WHERE id = $1 AND (may_isolate = 0 OR coalesce(second_source, '') = $2)",
               "it", c->id, c->second ? c->second : "");

    return code || changed == 1
               ? code
               : err_set(e, ERR_STALE, "another source that may isolate has pushed it meanwhile");
}

enum err_code case_outgrow(struct db_tx *tx, int64_t id, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE cases SET may_isolate = 1 WHERE id = $1", "i", id);
}

enum err_code case_name_machine(struct db_tx *tx, int64_t id, int64_t delivery,
                                const char *machine_id, struct err *e)
{
    if (!machine_id)
        return ERR_OK;
    return db_run(tx, e, NULL,
                  "UPDATE cases SET pushed_machine_id = $1,"
                  " delivery = CASE WHEN delivery = 0 THEN $2 ELSE delivery END WHERE id = $3"
                  " AND (pushed_machine_id IS NULL OR delivery = 0)",
                  "tii", machine_id, delivery, id);
}

bool case_same_named(const char *judged, const struct case_record *now)
{
    const char *named = now->pushed_machine_id;

    return strcasecmp(judged ? judged : "", named ? named : "") == 0;
}

enum err_code case_join(struct db_tx *tx, struct case_record *c, int64_t isolation, struct err *e)
{
    enum err_code code = db_run(tx, e, NULL, "UPDATE cases SET isolation = $1 WHERE id = $2", "ii",
                                isolation, c->id);

    if (!code)
        c->isolation = isolation;
    return code;
}

enum err_code case_told(struct db_tx *tx, struct case_record *c, const char *kind, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE cases SET told = $1 WHERE id = $2", "ti", kind, c->id);

    if (!code)
        c->told = kind;
    return code;
}

enum err_code step_renew(struct db_tx *tx, int64_t case_id, int64_t n, const char *args,
                         struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE steps SET args = $1 WHERE case_id = $2 AND n = $3 AND state = 'waiting'",
                  "tii", args, case_id, n);
}

enum err_code step_move(struct db_tx *tx, int64_t case_id, int64_t n, enum step_state to,
                        const char *why, int64_t now, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "UPDATE steps SET state = $1, why = $2, updated = $3 WHERE case_id = $4 AND n = $5",
               "ttiii", step_names[to], why, now, case_id, n);

    if (code || to == STEP_WAITING)
        return code;
    return audit_put(tx, e, AUDIT_STEP, case_id, now, LOG_INT("step", n),
                     LOG_STR("state", step_names[to]), LOG_STR("why", why));
}

struct waiting {
    const struct case_waiting *which;
    int64_t count;
};

static enum err_code count_waiting(struct db_tx *tx, void *arg, struct err *e)
{
    struct waiting *w = arg;
    const struct case_waiting *of = w->which;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT c.source, count(*) FROM work w JOIN cases c ON c.id = w.id"
                 " WHERE w.kind = $1 AND w.due <= $2 AND w.owner IS NULL"
                 " AND c.tenant = $3 AND c.state IN ('received', 'expanding', 'deciding')"
                 " AND NOT (c.state = 'deciding' AND EXISTS (SELECT 1 FROM question_cases m"
                 " JOIN questions q ON q.id = m.question_id WHERE m.case_id = c.id"
                 " AND m.spent = 0 AND q.state = 'approved'"
                 " AND q.ended > $4 AND q.policy <> $5)) GROUP BY c.source",
                 "iitit", (int64_t)WORK_CASE, of->until, of->tenant, of->since, of->policy);

    w->count = 0;
    while (!code && db_next(rows))
        w->count += of->counts(of->ctx, db_text(rows, 0)) ? db_int(rows, 1) : 0;
    return code ? code : db_rows_end(rows, e);
}

enum err_code store_case_waiting(struct store *s, const struct case_waiting *which, int64_t *ret,
                                 struct err *e)
{
    struct waiting w = {.which = which};
    enum err_code code = db_read(s->db, count_waiting, &w, e);

    if (!code)
        *ret = w.count;
    return code;
}

struct putting_off {
    const char *tenant;
    int64_t due, since;
};

static enum err_code put_off(struct db_tx *tx, void *arg, struct err *e)
{
    const struct putting_off *p = arg;

    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE kind = $2 AND owner IS NULL AND due < $3"
                  " AND created >= $4 AND EXISTS (SELECT 1 FROM cases c WHERE c.id = work.id"
                  " AND c.tenant = $5 AND c.state IN ('received', 'expanding'))",
                  "iiiit", p->due, (int64_t)WORK_CASE, p->due, p->since, p->tenant);
}

enum err_code store_case_wait(struct store *s, const char *tenant, int64_t due, int64_t since,
                              struct err *e)
{
    struct putting_off p = {.tenant = tenant, .due = due, .since = since};

    return db_write(s->db, put_off, &p, e);
}
