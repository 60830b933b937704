/* store_questions.c - see store_questions.h. */
#include "store_questions.h"

#include <string.h>

#include "store_audit.h"
#include "store_cases.h"
#include "store_rows.h"
#include "store_work.h"

static const char *const kinds[QUESTION_KINDS] = {[QUESTION_FAILURE] = "failure",
                                                  [QUESTION_STEP] = "step",
                                                  [QUESTION_CANARY] = "canary",
                                                  [QUESTION_STORM] = "storm",
                                                  [QUESTION_LIMIT] = "limit"};
static const char *const states[QUESTION_STATES] = {[QUESTION_OPEN] = "open",
                                                    [QUESTION_APPROVED] = "approved",
                                                    [QUESTION_REFUSED] = "refused",
                                                    [QUESTION_EXPIRED] = "expired",
                                                    [QUESTION_VOID] = "void"};

const char *question_kind_name(enum question_kind kind)
{
    return kinds[kind];
}

bool question_is_of_one(enum question_kind kind)
{
    return kind <= QUESTION_STEP;
}

const char *question_state_name(enum question_state state)
{
    return states[state];
}

enum question_state question_state_parse(const char *name)
{
    return (enum question_state)store_find_word(states, QUESTION_STATES, name);
}

/* ---- questions -------------------------------------------------------------------------------- */

#define COLUMNS "id, kind, state, scope, what, policy, why, people, told, created, expires, ended"

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct question_record *q = item;
    bool nomem = false;

    *q = (struct question_record){
        .id = db_int(rows, 0),
        .kind = (enum question_kind)store_find_word(kinds, QUESTION_KINDS, db_text(rows, 1)),
        .state = question_state_parse(db_text(rows, 2)),
        .scope = store_text(a, rows, 3, &nomem),
        .what = store_text(a, rows, 4, &nomem),
        .policy = store_text(a, rows, 5, &nomem),
        .why = store_text(a, rows, 6, &nomem),
        .people = db_int(rows, 7),
        .told = db_int(rows, 8),
        .created = db_int(rows, 9),
        .expires = db_int(rows, 10),
        .ended = db_int(rows, 11)};
    if (nomem)
        return err_set(e, ERR_NOMEM, "question");
    if (q->kind == QUESTION_KINDS || q->state == QUESTION_STATES)
        return err_set(e, ERR_REFUSED, "the store holds a question that is none");
    return ERR_OK;
}

enum err_code question_load(struct db_tx *tx, struct arena *a, int64_t id,
                            struct question_record *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT " COLUMNS " FROM questions WHERE id = $1", "i", id);

    return code ? code
                : store_take_one(rows, a, read_row, ret, "there is no question with this id", e);
}

enum err_code question_find_open(struct db_tx *tx, struct arena *a, const char *scope,
                                 struct question_record *ret, bool *ret_found, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT " COLUMNS " FROM questions WHERE scope = $1"
                                  " AND state = 'open'",
                                  "t", scope);

    return code ? code : store_take_first(rows, a, read_row, ret, ret_found, e);
}

enum err_code question_insert(struct db_tx *tx, const struct question_record *q, int64_t due,
                              struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "INSERT INTO questions (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
               " $10, $11, $12)",
               "ittttttiiiii", q->id, kinds[q->kind], states[q->state], q->scope, q->what,
               q->policy, q->why, q->people, q->told, q->created, q->expires, q->ended);

    if (!code)
        code = audit_put(tx, e, AUDIT_QUESTION, 0, q->created, LOG_ID("question", q->id),
                         LOG_STR("state", states[q->state]), LOG_STR("kind", kinds[q->kind]),
                         LOG_STR("what", q->what), LOG_STR("policy", q->policy),
                         LOG_INT("people", q->people), LOG_INT("expires_ms", q->expires));
    return code ? code : work_put(tx, q->id, WORK_QUESTION, WORK_NORMAL, due, q->created, NULL, e);
}

int64_t question_next_at(const struct question_record *q)
{
    return q->expires + SECOND_MS;
}

enum err_code question_end(struct db_tx *tx, struct question_record *q, enum question_state to,
                           const char *why, int64_t now, struct err *e)
{
    int64_t changed = 0;
    enum err_code code = db_run(tx, e, &changed,
                                "UPDATE questions SET state = $1, why = $2, ended = $3"
                                " WHERE id = $4 AND state = 'open'",
                                "ttii", states[to], why, now, q->id);

    if (!code && changed != 1)
        return err_set(e, ERR_STALE, "the question is not open any more");
    if (!code)
        code = work_cancel(tx, q->id, e);
    if (!code && !question_is_of_one(q->kind))
        code = work_begin_early(tx, WORK_CASE, WORK_NORMAL, question_next_at(q), now, e);
    if (!code)
        code = audit_put(tx, e, AUDIT_QUESTION, 0, now, LOG_ID("question", q->id),
                         LOG_STR("state", states[to]), LOG_STR("why", why));
    if (code)
        return code;
    q->state = to;
    q->why = why;
    q->ended = now;
    return ERR_OK;
}

enum err_code question_date(struct db_tx *tx, const struct question_record *q, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE questions SET created = $1, expires = $2 WHERE id = $3",
                  "iii", q->created, q->expires, q->id);
}

enum err_code question_told(struct db_tx *tx, const struct question_record *q, int64_t told,
                            struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE questions SET told = $1 WHERE id = $2", "ii", told, q->id);
}

/* ---- cases ------------------------------------------------------------------------------------ */

enum err_code question_add_case(struct db_tx *tx, int64_t id, const struct question_case *c,
                                int64_t now, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "INSERT INTO question_cases (question_id, case_id, n, tenant, alert_id, machine_id,"
               " machine_name, action, spent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)"
               " ON CONFLICT (question_id, case_id) DO UPDATE SET n = excluded.n,"
               " machine_id = excluded.machine_id, machine_name = excluded.machine_name,"
               " action = excluded.action, spent = 0",
               "iiittttt", id, c->case_id, c->n, c->tenant, c->alert_id, c->machine_id,
               c->machine_name, c->action);

    return code ? code
                : audit_put(tx, e, AUDIT_QUESTION, c->case_id, now, LOG_ID("question", id),
                            LOG_STR("machine", c->machine_id), LOG_STR("action", c->action));
}

static enum err_code read_case(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct question_case *)item =
        (struct question_case){.case_id = db_int(rows, 0),
                               .n = db_int(rows, 1),
                               .tenant = store_text(a, rows, 2, &nomem),
                               .alert_id = store_text(a, rows, 3, &nomem),
                               .machine_id = store_text(a, rows, 4, &nomem),
                               .machine_name = store_text(a, rows, 5, &nomem),
                               .action = store_text(a, rows, 6, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "case of a question") : ERR_OK;
}

enum err_code question_cases(struct db_tx *tx, struct arena *a, int64_t id, int64_t after,
                             size_t limit, struct question_case **ret, size_t *ret_count,
                             struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT case_id, n, tenant, alert_id, machine_id, machine_name, action"
                 " FROM question_cases WHERE question_id = $1 AND case_id > $2 AND spent = 0"
                 " ORDER BY case_id LIMIT $3",
                 "iii", id, after, (int64_t)limit);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_case, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code question_count_cases(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT count(*) FROM question_cases WHERE question_id = $1 AND spent = 0",
        "i", id);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code question_is_followed(struct db_tx *tx, int64_t id, bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT 1 FROM question_cases m JOIN steps s ON s.case_id = m.case_id"
                 " AND s.n > m.n WHERE m.question_id = $1 AND m.spent = 0 AND s.handler = 'ask'"
                 " AND s.state = 'waiting' LIMIT 1",
                 "i", id);

    return code ? code : store_take_any(rows, ret, e);
}

enum err_code question_count_machines(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT count(DISTINCT tenant || ' ' || coalesce(machine_id, alert_id))"
                 " FROM question_cases WHERE question_id = $1 AND spent = 0",
                 "i", id);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code question_count_isolated(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT count(DISTINCT m.tenant || ' ' || m.machine_id) FROM question_cases m"
                 " JOIN isolations i ON i.tenant = m.tenant AND i.machine_id = m.machine_id"
                 " AND i.state IN ('isolated', 'releasing')"
                 " WHERE m.question_id = $1 AND m.spent = 0",
                 "i", id);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code question_count_ever(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT count(*) FROM question_cases WHERE question_id = $1", "i", id);

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code question_find_holding(struct db_tx *tx, struct arena *a, int64_t case_id,
                                    struct question_record *ret, bool *ret_found, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT " COLUMNS " FROM questions WHERE state = 'open' AND id IN"
                                  " (SELECT question_id FROM question_cases WHERE case_id = $1"
                                  " AND spent = 0)",
                                  "i", case_id);

    return code ? code : store_take_first(rows, a, read_row, ret, ret_found, e);
}

enum err_code question_holds(struct db_tx *tx, int64_t case_id, bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT 1 FROM question_cases m JOIN questions q"
                                  " ON q.id = m.question_id WHERE m.case_id = $1 AND m.spent = 0"
                                  " AND q.state = 'open' LIMIT 1",
                                  "i", case_id);

    return code ? code : store_take_any(rows, ret, e);
}

enum err_code question_over_many_of(struct db_tx *tx, int64_t case_id, int64_t *ret, size_t max,
                                    size_t *ret_count, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT q.id FROM question_cases m JOIN questions q ON q.id = m.question_id"
        " WHERE m.case_id = $1 AND m.spent = 0 AND q.kind NOT IN ($2, $3) ORDER BY q.id DESC",
        "itt", case_id, kinds[QUESTION_FAILURE], kinds[QUESTION_STEP]);

    *ret_count = 0;
    if (code)
        return code;
    while (*ret_count < max && db_next(rows))
        ret[(*ret_count)++] = db_int(rows, 0);
    return db_rows_end(rows, e);
}

/* Questions of a case that are open at a time: it waits for each, so there is one. */
#define OPEN_MAX 4

/* Those of a case that are open, and that no case waits for: what question_end needs of them. */
static enum err_code find_empty(struct db_tx *tx, int64_t case_id,
                                struct question_record ret[OPEN_MAX], size_t *ret_count,
                                struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT q.id, q.kind, q.expires FROM question_cases m JOIN questions q"
                 " ON q.id = m.question_id WHERE m.case_id = $1"
                 " AND q.state = 'open' AND NOT EXISTS (SELECT 1"
                 " FROM question_cases o WHERE o.question_id = q.id"
                 " AND o.spent = 0) ORDER BY q.id",
                 "i", case_id);

    if (code)
        return code;
    for (*ret_count = 0; *ret_count < OPEN_MAX && db_next(rows); ++*ret_count)
        ret[*ret_count] = (struct question_record){
            .id = db_int(rows, 0),
            .kind = (enum question_kind)store_find_word(kinds, QUESTION_KINDS, db_text(rows, 1)),
            .expires = db_int(rows, 2)};
    return db_rows_end(rows, e);
}

enum err_code question_forget_case(struct db_tx *tx, int64_t case_id, int64_t now, struct err *e)
{
    struct question_record empty[OPEN_MAX];
    size_t n = 0;
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE question_cases SET spent = 1 WHERE case_id = $1", "i", case_id);

    if (!code)
        code = find_empty(tx, case_id, empty, &n, e);
    for (size_t i = 0; i < n && !code; i++)
        code = question_end(tx, &empty[i], QUESTION_VOID, "the case is over", now, e);
    return code;
}

/* Whom a case asks: as it was judged when it was first, which is whom the yes came from. */
static enum err_code load_asks(struct db_tx *tx, struct arena *a, int64_t case_id,
                               struct approval *p, struct err *e)
{
    struct step_record *steps;
    size_t n = 0;
    enum err_code code = case_steps(tx, a, case_id, &steps, &n, e);

    p->asks = code ? NULL : arena_array(a, n + 1, sizeof *p->asks);
    if (!code && !p->asks)
        return err_set(e, ERR_NOMEM, "approval");
    for (size_t i = 0; i < n && !code; i++)
        if (strcmp(steps[i].handler, "ask") == 0)
            p->asks[p->n_asks++] = steps[i].args;
    return code;
}

/* false: no memory. */
static bool note_went_on(struct arena *a, struct approval *p, int64_t n)
{
    struct went_on *w = arena_alloc(a, sizeof *w);

    if (w)
        *w = (struct went_on){.n = n, .policy = p->failure_policy, .next = p->before_isolate};
    p->before_isolate = w;
    return w;
}

enum err_code approval_load(struct db_tx *tx, struct arena *a, int64_t case_id,
                            struct approval *ret, struct err *e)
{
    struct approval p = {0};
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT q.kind, q.what, q.policy, m.machine_id, m.action, q.ended, m.n, (SELECT count(*)"
        " FROM steps s WHERE s.case_id = m.case_id AND s.handler = 'isolate' AND s.n > m.n)"
        " FROM question_cases m"
        " JOIN questions q ON q.id = m.question_id WHERE m.case_id = $1 AND m.spent = 0"
        " AND q.state = 'approved' ORDER BY q.id",
        "i", case_id);

    if (code)
        return code;
    while (db_next(rows)) {
        int kind = store_find_word(kinds, QUESTION_KINDS, db_text(rows, 0));

        if (db_int(rows, 5) > p.given)
            p.given = db_int(rows, 5);
        if (kind == QUESTION_FAILURE) {
            p.failure_policy = store_text(a, rows, 2, &nomem);
            if (db_int(rows, 7))
                nomem = !note_went_on(a, &p, db_int(rows, 6)) || nomem;
            continue;
        }
        if (kind > QUESTION_STEP) {
            p.canary_policy = store_text(a, rows, 2, &nomem);
            if (kind > QUESTION_CANARY)
                p.limits_policy = p.canary_policy;
            continue;
        }
        p.step = true;
        p.what = store_text(a, rows, 1, &nomem);
        p.policy = store_text(a, rows, 2, &nomem);
        p.machine_id = store_text(a, rows, 3, &nomem);
        p.action = store_text(a, rows, 4, &nomem);
    }
    code = db_rows_end(rows, e);
    if (code || nomem)
        return code ? code : err_set(e, ERR_NOMEM, "approval");
    code = p.step ? load_asks(tx, a, case_id, &p, e) : ERR_OK;
    if (!code)
        *ret = p;
    return code;
}

/* ---- answers and invitations ------------------------------------------------------------------ */

enum err_code answer_insert(struct db_tx *tx, int64_t id, const struct answer_record *r,
                            struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "INSERT INTO answers (question_id, person, yes, why, way, at)"
               " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (question_id, person) DO UPDATE"
               " SET yes = excluded.yes, why = excluded.why, way = excluded.way, at = excluded.at",
               "ititti", id, r->person, (int64_t)r->yes, r->why, r->way, r->at);

    return code ? code
                : audit_put(tx, e, AUDIT_ANSWER, 0, r->at, LOG_ID("question", id),
                            LOG_STR("who", r->person), LOG_STR("way", r->way),
                            LOG_BOOL("yes", r->yes), LOG_STR("why", r->why));
}

static enum err_code read_answer(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct answer_record *)item = (struct answer_record){.person = store_text(a, rows, 0, &nomem),
                                                           .yes = db_int(rows, 1) != 0,
                                                           .why = store_text(a, rows, 2, &nomem),
                                                           .way = store_text(a, rows, 3, &nomem),
                                                           .at = db_int(rows, 4)};
    return nomem ? err_set(e, ERR_NOMEM, "answer") : ERR_OK;
}

enum err_code answer_list(struct db_tx *tx, struct arena *a, int64_t id, struct answer_record **ret,
                          size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT person, yes, why, way, at FROM answers"
                                  " WHERE question_id = $1 ORDER BY at, person",
                                  "i", id);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_answer, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code invitation_insert(struct db_tx *tx, int64_t id, int64_t question, const char *address,
                                struct err *e)
{
    return db_run(tx, e, NULL,
                  "INSERT INTO invitations (id, question_id, address) VALUES ($1, $2, $3)", "iit",
                  id, question, address);
}

enum err_code invitation_forget(struct db_tx *tx, int64_t question, struct err *e)
{
    return db_run(tx, e, NULL, "DELETE FROM invitations WHERE question_id = $1", "i", question);
}

static enum err_code read_invitation(struct db_rows *rows, struct arena *a, void *item,
                                     struct err *e)
{
    bool nomem = false;

    *(struct invitation *)item =
        (struct invitation){.id = db_int(rows, 0), .address = store_text(a, rows, 1, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "invitation") : ERR_OK;
}

enum err_code invitation_load(struct db_tx *tx, struct arena *a, int64_t id, int64_t *ret_question,
                              const char **ret_address, struct err *e)
{
    struct invitation of_question; /* its id is the question's */
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT question_id, address FROM invitations WHERE id = $1", "i", id);

    if (!code)
        code = store_take_one(rows, a, read_invitation, &of_question,
                              "nobody was asked by this link", e);
    if (code)
        return code;
    *ret_question = of_question.id;
    *ret_address = of_question.address;
    return ERR_OK;
}

enum err_code invitation_list(struct db_tx *tx, struct arena *a, int64_t question,
                              struct invitation **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT id, address FROM invitations WHERE question_id = $1 ORDER BY id", "i",
        question);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_invitation, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

/* ---- outside a transaction -------------------------------------------------------------------- */

struct read {
    struct arena *arena;
    int64_t id;
    struct approval *approval;
};

enum err_code store_question_list(struct store *s, struct arena *a, enum question_state state,
                                  int64_t before_id, size_t limit, struct question_record **ret,
                                  size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code = store_read_list(
        s, a, sizeof **ret, read_row, &list, e,
        "SELECT " COLUMNS
        " FROM questions WHERE id < $1 AND (state = $2 OR $3 = 1) ORDER BY id DESC LIMIT $4",
        "itii", before_id ? before_id : INT64_MAX, state < QUESTION_STATES ? states[state] : "",
        (int64_t)(state == QUESTION_STATES), (int64_t)limit);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code store_question_of_case(struct store *s, struct arena *a, int64_t case_id,
                                     size_t limit, struct question_record **ret, size_t *ret_count,
                                     struct err *e)
{
    struct store_list list;
    enum err_code code =
        store_read_list(s, a, sizeof **ret, read_row, &list, e,
                        "SELECT " COLUMNS " FROM questions WHERE id IN"
                        " (SELECT question_id FROM question_cases WHERE case_id = $1)"
                        " ORDER BY id LIMIT $2",
                        "ii", case_id, (int64_t)limit);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

static enum err_code read_counts(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t *counts = arg;
    struct db_rows *rows;
    enum err_code code;

    memset(counts, 0, QUESTION_STATES * sizeof *counts);
    code = db_query(tx, e, &rows, "SELECT state, count(*) FROM questions GROUP BY state", "");
    if (code)
        return code;
    while (db_next(rows)) {
        enum question_state state = question_state_parse(db_text(rows, 0));

        if (state < QUESTION_STATES)
            counts[state] = db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

enum err_code store_question_count(struct store *s, int64_t ret[QUESTION_STATES], struct err *e)
{
    return db_read(s->db, read_counts, ret, e);
}

static enum err_code read_approval(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;

    return approval_load(tx, r->arena, r->id, r->approval, e);
}

struct going_on {
    int64_t case_id, n;
    const char *policy;
    bool found;
};

static enum err_code read_going_on(struct db_tx *tx, void *arg, struct err *e)
{
    struct going_on *r = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT 1 FROM question_cases m JOIN questions q ON q.id = m.question_id"
                 " WHERE m.case_id = $1 AND m.n = $2 AND m.spent = 0 AND q.kind = 'failure'"
                 " AND q.state = 'approved' AND q.policy = $3 LIMIT 1",
                 "iit", r->case_id, r->n, r->policy);

    return code ? code : store_take_any(rows, &r->found, e);
}

enum err_code store_question_goes_on(struct store *s, int64_t case_id, int64_t n,
                                     const char *policy, bool *ret, struct err *e)
{
    struct going_on r = {.case_id = case_id, .n = n, .policy = policy};
    enum err_code code = db_read(s->db, read_going_on, &r, e);

    if (!code)
        *ret = r.found;
    return code;
}

struct following {
    int64_t id;
    bool found;
};

static enum err_code read_following(struct db_tx *tx, void *arg, struct err *e)
{
    struct following *r = arg;

    return question_is_followed(tx, r->id, &r->found, e);
}

enum err_code store_question_is_followed(struct store *s, int64_t id, bool *ret, struct err *e)
{
    struct following r = {.id = id};
    enum err_code code = db_read(s->db, read_following, &r, e);

    if (!code)
        *ret = r.found;
    return code;
}

enum err_code store_approval(struct store *s, struct arena *a, int64_t case_id,
                             struct approval *ret, struct err *e)
{
    struct read r = {.arena = a, .id = case_id, .approval = ret};

    return db_read(s->db, read_approval, &r, e);
}
