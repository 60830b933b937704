/* store_upkeep.c - see store_upkeep.h. Ids sort by time, so the oldest rows stand at the front of their
 * table: no index on the time is needed, and none is paid for with every delivery. What is looked through in
 * vain are rows that are old and kept, which are few. */
#include "store_upkeep.h"

#include <assert.h>

#include "id.h"
#include "store_policies.h"
#include "store_polls.h"
#include "store_rows.h"
#include "store_work.h"

struct forgetting {
    int64_t before, max, count;
};

/* Who pushed a case comes on record when that is judged (delivery_audit), which may be after days in which cordon was away.
 * Of old ones alone, which are few: PostgreSQL compares each delivery with each of them where they are too many for its
 * memory, and of those that a flood has just brought there may be any number. */
#define UNRECORDED                                                                                 \
    "SELECT cases.delivery FROM work JOIN cases ON cases.id = work.id WHERE work.kind = 0"         \
    " AND cases.state IN ('received', 'expanding') AND cases.created < $1"
_Static_assert(WORK_CASE == 0, "UNRECORDED");

static enum err_code forget(struct db_tx *tx, void *arg, struct err *e)
{
    struct forgetting *f = arg;

    return db_run(tx, e, &f->count,
                  "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
                  " WHERE id NOT IN (" UNRECORDED ") ORDER BY id LIMIT $2) AND received < $3",
                  "iii", f->before, f->max, f->before);
}

enum err_code store_forget_deliveries(struct store *s, int64_t max, int64_t *ret_count,
                                      struct err *e)
{
    struct forgetting f = {.before = clock_wall_ms(s->clock) - DELIVERY_MEMORY_MS, .max = max};
    enum err_code code = db_write_loose(s->db, forget, &f, e);

    if (code)
        return err_in(e, "forget old deliveries"), code;
    *ret_count = f.count;
    return ERR_OK;
}

/* ---- cases ------------------------------------------------------------------------------------ */

#define BATCH_MAX 200

/* Clocks that are further apart isolate nothing (runtime.h). */
#define DEFENDER_AHEAD_MS (5 * MINUTE_MS)

struct sweep {
    int64_t now, before, max;
    struct forgotten count;
};

/* Whose isolations the ledger still has work with: open ones, and machines that were absent and are looked out for
 * (lookout.h), which begins the cases anew and tells people in their threads. */
#define WATCHED_CASES                                                                              \
    "SELECT isolations.case_id FROM work JOIN isolations ON isolations.id = work.id"               \
    " WHERE work.kind = 6"
_Static_assert(WORK_LEDGER == 6, "WATCHED_CASES");

/* Yields ids: older than the first, over since the second. A case is over with the last that came of it: its isolation may
 * have lasted for longer than cases are kept, its mail may have waited as long for a server, and a silence may have kept people
 * from hearing of it. work has no rows of other kinds by these ids. */
#define OLD_CASES                                                                                  \
    "SELECT id FROM cases WHERE id < $1 AND updated < $2"                                          \
    " AND state IN ('done', 'failed', 'dropped')"                                                  \
    " AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = cases.id)"                                \
    " AND NOT EXISTS (SELECT 1 FROM isolations WHERE isolations.id = cases.isolation"              \
    " AND (isolations.updated >= $2"                                                               \
    " OR isolations.state IN ('requested', 'pending', 'isolated', 'releasing')))"                  \
    " AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = cases.isolation)"                         \
    " AND id NOT IN (" WATCHED_CASES ")"                                                           \
    " AND NOT EXISTS (SELECT 1 FROM actions WHERE actions.case_id = cases.id"                      \
    " AND (actions.updated >= $2 OR actions.state IN ('requested', 'pending')))"                   \
    " AND NOT EXISTS (SELECT 1 FROM notices WHERE notices.case_id = cases.id"                      \
    " AND (notices.ended >= $2 OR notices.state IN ('waiting', 'held')))"                          \
    " AND NOT EXISTS (SELECT 1 FROM muted_cases JOIN mutes ON mutes.id = muted_cases.mute_id"      \
    " WHERE muted_cases.case_id = cases.id"                                                        \
    " AND (mutes.ended >= $2 OR mutes.state <> 'ended')) ORDER BY id LIMIT $3"
#define OLD_ISOLATIONS                                                                             \
    "SELECT id FROM isolations WHERE id < $1 AND updated < $2"                                     \
    " AND state IN ('released', 'failed')"                                                         \
    " AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = isolations.id)"                           \
    " AND NOT EXISTS (SELECT 1 FROM cases WHERE cases.isolation = isolations.id)"                  \
    " ORDER BY id LIMIT $3"
/* That the store is full is told once, and by the last notice of that is known whether people know (fill.c). */
#define OLD_NOTICES                                                                                \
    "SELECT id FROM notices WHERE id < $1 AND ended < $2 AND case_id = 0 AND state <> 'waiting'"   \
    " AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = notices.id)"                              \
    " AND (kind <> 'store_full' OR EXISTS (SELECT 1 FROM notices n WHERE n.about = notices.about"  \
    " AND n.kind IN ('store_full', 'store_has_room') AND n.id > notices.id)) ORDER BY id LIMIT $3"

#define OLD_QUESTIONS                                                                              \
    "SELECT id FROM questions WHERE id < $1 AND ended < $2 AND state <> 'open'"                    \
    " AND NOT EXISTS (SELECT 1 FROM question_cases WHERE question_cases.question_id ="             \
    " questions.id) AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = questions.id)"              \
    " ORDER BY id LIMIT $3"

#define OLD_MUTES                                                                                  \
    "SELECT id FROM mutes WHERE id < $1 AND ended < $2 AND state = 'ended'"                        \
    " AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = mutes.id) ORDER BY id LIMIT $3"

/* What brakes.c has seen and counts no more. */
static enum err_code forget_seen(struct db_tx *tx, int64_t now, int64_t max, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL,
               "DELETE FROM detections WHERE (tenant, detector, machine_id) IN (SELECT tenant,"
               " detector, machine_id FROM detections WHERE seen < $1 ORDER BY seen LIMIT $2)",
               "ii", now - SEEN_DETECTOR_MS, max);

    return code ? code
                : db_run(tx, e, NULL,
                         "DELETE FROM machines WHERE (tenant, machine_id) IN (SELECT tenant,"
                         " machine_id FROM machines WHERE seen < $1 ORDER BY seen LIMIT $2)",
                         "ii", now - SEEN_MACHINE_MS, max);
}

/* A case is judged after it is made: what judged before the oldest of them was made judged none of them. The one that was
 * used last stays, because it is in force. */
#define OLD_POLICIES                                                                               \
    "SELECT hash FROM policies WHERE used > 0 AND used < $1"                                       \
    " AND used < (SELECT max(used) FROM policies)"                                                 \
    " AND used < coalesce((SELECT created FROM cases ORDER BY id LIMIT 1), $2) - $3 ORDER BY used LIMIT $4"

/* With them goes how many isolations each began with: put in force again, it is tried out again. */
static enum err_code forget_policies(struct db_tx *tx, const struct sweep *s, struct err *e)
{
    int64_t before = s->before - 2 * POLICY_USED_MS;
    enum err_code code =
        db_run(tx, e, NULL, "DELETE FROM canaries WHERE policy IN (" OLD_POLICIES ")", "iiii",
               before, INT64_MAX, 2 * POLICY_USED_MS, s->max);

    return code ? code
                : db_run(tx, e, NULL, "DELETE FROM policies WHERE hash IN (" OLD_POLICIES ")",
                         "iiii", before, INT64_MAX, 2 * POLICY_USED_MS, s->max);
}

static enum err_code find_old(struct db_tx *tx, const struct sweep *s, const char *sql,
                              int64_t ids[BATCH_MAX], int64_t *ret_n, struct err *e)
{
    struct db_rows *rows;
    int64_t n = 0;
    enum err_code code =
        db_query(tx, e, &rows, sql, "iii", id_of_time(s->before), s->before, s->max);

    if (code)
        return code;
    while (db_next(rows) && n < BATCH_MAX)
        ids[n++] = db_int(rows, 0);
    *ret_n = n;
    return db_rows_end(rows, e);
}

/* Finds rows and runs the statements, each with one of their ids, on every one. */
static enum err_code sweep_kind(struct db_tx *tx, const struct sweep *s, const char *find,
                                const char *const *statements, int64_t *ret_n, struct err *e)
{
    int64_t ids[BATCH_MAX];
    enum err_code code = find_old(tx, s, find, ids, ret_n, e);

    for (int64_t i = 0; !code && i < *ret_n; i++)
        for (const char *const *sql = statements; *sql && !code; sql++)
            code = db_run(tx, e, NULL, *sql, "i", ids[i]);
    return code;
}

static enum err_code sweep(struct db_tx *tx, void *arg, struct err *e)
{
    static const char *const of_case[] = {
        "DELETE FROM recipients WHERE notice_id IN (SELECT id FROM notices WHERE case_id = $1)",
        "DELETE FROM notices WHERE case_id = $1",
        "DELETE FROM steps WHERE case_id = $1",
        "DELETE FROM actions WHERE case_id = $1",
        "DELETE FROM question_cases WHERE case_id = $1",
        "DELETE FROM cases WHERE id = $1",
        NULL,
    };
    static const char *const of_isolation[] = {"DELETE FROM isolations WHERE id = $1", NULL};
    static const char *const of_notice[] = {
        "DELETE FROM recipients WHERE notice_id = $1",
        "DELETE FROM notices WHERE id = $1",
        NULL,
    };
    static const char *const of_question[] = {
        "DELETE FROM answers WHERE question_id = $1",
        "DELETE FROM invitations WHERE question_id = $1",
        "DELETE FROM questions WHERE id = $1",
        NULL,
    };
    static const char *const of_mute[] = {
        "DELETE FROM muted_cases WHERE mute_id = $1",
        "DELETE FROM mutes WHERE id = $1",
        NULL,
    };
    struct sweep *s = arg;
    int64_t n_mutes; /* few, and of no interest */
    enum err_code code = sweep_kind(tx, s, OLD_CASES, of_case, &s->count.cases, e);

    if (!code && s->count.cases) /* by Defender's clock, which may be ahead */
        code = polls_forget(tx, s->before + DEFENDER_AHEAD_MS, e);
    if (!code)
        code = sweep_kind(tx, s, OLD_ISOLATIONS, of_isolation, &s->count.isolations, e);
    if (!code)
        code = sweep_kind(tx, s, OLD_NOTICES, of_notice, &s->count.notices, e);
    if (!code)
        code = sweep_kind(tx, s, OLD_QUESTIONS, of_question, &s->count.questions, e);
    if (!code)
        code = sweep_kind(tx, s, OLD_MUTES, of_mute, &n_mutes, e);
    if (!code)
        code = forget_policies(tx, s, e);
    if (!code)
        code = forget_seen(tx, s->now, s->max, e);
    return code;
}

enum err_code store_forget_cases(struct store *s, int64_t now, int64_t keep_ms, int64_t max,
                                 struct forgotten *ret, struct err *e)
{
    struct sweep f = {.now = now, .before = now - keep_ms, .max = max};
    enum err_code code;

    assert(max <= BATCH_MAX);
    code = db_write(s->db, sweep, &f, e);
    if (code)
        return err_in(e, "forget old cases"), code;
    *ret = f.count;
    return ERR_OK;
}

static enum err_code oldest(struct db_tx *tx, void *arg, struct err *e)
{
    int64_t *ret = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT created FROM cases ORDER BY id LIMIT 1", "");

    return code ? code : store_take_int(rows, ret, e);
}

enum err_code store_oldest_case(struct store *s, int64_t *ret_created, struct err *e)
{
    return db_read(s->db, oldest, ret_created, e);
}
