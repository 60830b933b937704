/* store.c - see store.h: the schema, in steps that only go forward.
 *
 * Keys are ids of id.h, so that new rows are appended to their trees; the two unique indexes are the
 * guards against duplicates; one partial unique index allows one open isolation of a machine. Facts and
 * verdicts are kept as the JSON text they were decided by. Columns of time are wall clock ms, 0: never.
 * `work` holds what is to be done next: a row's id is the id of the case, isolation, notice or
 * heartbeat it is about, and a claimed row is one whose `due` lies in the future because its lease ends then.
 */
#include "store.h"

#include <stdlib.h>

static const struct db_migration migrations[] = {
    {1,
     "CREATE TABLE deliveries (id INTEGER PRIMARY KEY, source TEXT NOT NULL, delivery_id TEXT,"
     " body_sha256 TEXT NOT NULL, credential TEXT, peer TEXT, received BIGINT NOT NULL,"
     " cases TEXT NOT NULL);"
     "CREATE UNIQUE INDEX deliveries_once ON deliveries (source, delivery_id);"

     "CREATE TABLE cases (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, alert_id TEXT NOT NULL,"
     " source TEXT NOT NULL, delivery BIGINT NOT NULL, pushed_machine_id TEXT, machine_id TEXT,"
     " state TEXT NOT NULL, rule TEXT, why TEXT, facts TEXT, verdict TEXT, isolation BIGINT,"
     " told TEXT, created BIGINT NOT NULL, updated BIGINT NOT NULL);"
     "CREATE UNIQUE INDEX cases_once ON cases (tenant, alert_id);"
     "CREATE INDEX cases_of_isolation ON cases (isolation) WHERE isolation IS NOT NULL;"

     "CREATE TABLE steps (case_id BIGINT NOT NULL, n BIGINT NOT NULL, handler TEXT NOT NULL,"
     " args TEXT NOT NULL, state TEXT NOT NULL, why TEXT, updated BIGINT NOT NULL,"
     " PRIMARY KEY (case_id, n));"

     "CREATE TABLE isolations (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL,"
     " machine_id TEXT NOT NULL, machine_name TEXT, type TEXT NOT NULL, comment TEXT NOT NULL,"
     " state TEXT NOT NULL, why TEXT, case_id BIGINT NOT NULL, rule TEXT, adopted BIGINT NOT NULL,"
     " requestor TEXT, action_id TEXT, posted BIGINT NOT NULL, requested BIGINT NOT NULL,"
     " confirmed BIGINT NOT NULL, released BIGINT NOT NULL, updated BIGINT NOT NULL);"
     "CREATE UNIQUE INDEX isolations_open ON isolations (tenant, machine_id)"
     " WHERE state IN ('requested', 'pending', 'isolated', 'releasing');"
     "CREATE INDEX isolations_requested ON isolations (requested);"

     "CREATE TABLE notices (id INTEGER PRIMARY KEY, case_id BIGINT NOT NULL, kind TEXT NOT NULL,"
     " subject TEXT NOT NULL, sender TEXT NOT NULL, message TEXT NOT NULL, state TEXT NOT NULL,"
     " after BIGINT, why TEXT, created BIGINT NOT NULL, ended BIGINT NOT NULL);"
     "CREATE INDEX notices_of_case ON notices (case_id);"
     "CREATE TABLE recipients (notice_id BIGINT NOT NULL, n BIGINT NOT NULL,"
     " address TEXT NOT NULL, state TEXT NOT NULL, code BIGINT NOT NULL, reply TEXT,"
     " updated BIGINT NOT NULL, PRIMARY KEY (notice_id, n));"

     "CREATE TABLE work (id INTEGER PRIMARY KEY, kind BIGINT NOT NULL, priority BIGINT NOT NULL,"
     " due BIGINT NOT NULL, owner TEXT, attempts BIGINT NOT NULL, fence BIGINT NOT NULL,"
     " created BIGINT NOT NULL);"
     "CREATE INDEX work_due ON work (kind, priority, due)"},
    {2, "ALTER TABLE notices ADD COLUMN about TEXT;"
        "CREATE INDEX notices_about ON notices (about, id) WHERE about IS NOT NULL"},
    {3, "ALTER TABLE cases ADD COLUMN may_isolate BIGINT NOT NULL DEFAULT 1"},
    {4, "CREATE TABLE server_keys (name TEXT PRIMARY KEY, secret TEXT NOT NULL,"
        " created BIGINT NOT NULL)"},
    {5, "CREATE TABLE heartbeats (id INTEGER PRIMARY KEY, source TEXT NOT NULL,"
        " heard BIGINT NOT NULL, since BIGINT NOT NULL, quiet BIGINT NOT NULL);"
        "CREATE UNIQUE INDEX heartbeats_once ON heartbeats (source)"},
    {6, "CREATE TABLE quota_budgets (app TEXT NOT NULL, class TEXT NOT NULL,"
        " slices BIGINT NOT NULL, blocked_until BIGINT NOT NULL, PRIMARY KEY (app, class));"
        "CREATE TABLE quota_slices (id BIGINT PRIMARY KEY, app TEXT NOT NULL, class TEXT NOT NULL,"
        " at BIGINT NOT NULL, calls BIGINT NOT NULL);"
        "CREATE INDEX quota_slices_of ON quota_slices (app, class, at)"},
    {7, "CREATE TABLE polls (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, since BIGINT NOT NULL,"
        " watermark BIGINT NOT NULL, polled BIGINT NOT NULL, failing BIGINT NOT NULL);"
        "CREATE UNIQUE INDEX polls_once ON polls (tenant)"},
    {8, "CREATE TABLE policies (hash TEXT PRIMARY KEY, text TEXT NOT NULL, since BIGINT NOT NULL)"},
    {9, "CREATE TABLE digests (id INTEGER PRIMARY KEY, told BIGINT NOT NULL)"},
    {10, "CREATE TABLE audit (n INTEGER PRIMARY KEY, time BIGINT NOT NULL, kind TEXT NOT NULL,"
         " case_id BIGINT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL);"
         "CREATE TABLE audit_head (id INTEGER PRIMARY KEY, n BIGINT NOT NULL, hash TEXT NOT NULL);"
         "INSERT INTO audit_head (id, n, hash) VALUES (1, 0, '')"},
    {11, "ALTER TABLE isolations ADD COLUMN review BIGINT NOT NULL DEFAULT 0;"
         "ALTER TABLE isolations ADD COLUMN reminded BIGINT NOT NULL DEFAULT 0;"
         "ALTER TABLE isolations ADD COLUMN lapsed BIGINT NOT NULL DEFAULT 0;"
         "ALTER TABLE isolations ADD COLUMN release_id TEXT;"
         "ALTER TABLE isolations ADD COLUMN release_why TEXT;"
         "CREATE INDEX cases_of_machine ON cases (machine_id) WHERE machine_id IS NOT NULL"},
    {12, "CREATE TABLE actions (id INTEGER PRIMARY KEY, case_id BIGINT NOT NULL,"
         " tenant TEXT NOT NULL, machine_id TEXT NOT NULL, handler TEXT NOT NULL, detail TEXT,"
         " comment TEXT NOT NULL, state TEXT NOT NULL, why TEXT, action_id TEXT, requestor TEXT,"
         " adopted BIGINT NOT NULL, posted BIGINT NOT NULL, fetched BIGINT NOT NULL,"
         " requested BIGINT NOT NULL, ended BIGINT NOT NULL, updated BIGINT NOT NULL);"
         "CREATE UNIQUE INDEX actions_open ON actions (tenant, machine_id, handler)"
         " WHERE state IN ('requested', 'pending');"
         "CREATE INDEX actions_of_case ON actions (case_id);"
         "CREATE INDEX actions_fetched ON actions (fetched) WHERE fetched > 0"},
    {13,
     "CREATE TABLE switches (name TEXT PRIMARY KEY, who TEXT, why TEXT, since BIGINT NOT NULL)"},
    {14, "CREATE TABLE questions (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL,"
         " scope TEXT NOT NULL, what TEXT NOT NULL, policy TEXT NOT NULL, why TEXT,"
         " people BIGINT NOT NULL, told BIGINT NOT NULL, created BIGINT NOT NULL,"
         " expires BIGINT NOT NULL, ended BIGINT NOT NULL);"
         "CREATE UNIQUE INDEX questions_open ON questions (scope) WHERE state = 'open';"
         "CREATE TABLE question_cases (question_id BIGINT NOT NULL, case_id BIGINT NOT NULL,"
         " n BIGINT NOT NULL, tenant TEXT NOT NULL, alert_id TEXT NOT NULL, machine_id TEXT,"
         " machine_name TEXT, action TEXT NOT NULL, spent BIGINT NOT NULL,"
         " PRIMARY KEY (question_id, case_id));"
         "CREATE INDEX questions_of_case ON question_cases (case_id);"
         "CREATE TABLE answers (question_id BIGINT NOT NULL, person TEXT NOT NULL,"
         " yes BIGINT NOT NULL, why TEXT, way TEXT NOT NULL, at BIGINT NOT NULL,"
         " PRIMARY KEY (question_id, person));"
         "CREATE TABLE invitations (id INTEGER PRIMARY KEY, question_id BIGINT NOT NULL,"
         " address TEXT NOT NULL);"
         "CREATE INDEX invitations_of_question ON invitations (question_id)"},
    {15,
     "ALTER TABLE isolations ADD COLUMN machine_group TEXT;"
     "CREATE TABLE machines (tenant TEXT NOT NULL, machine_id TEXT NOT NULL, machine_group TEXT,"
     " seen BIGINT NOT NULL, PRIMARY KEY (tenant, machine_id));"
     "CREATE INDEX machines_of_group ON machines (tenant, machine_group);"
     "CREATE INDEX machines_seen ON machines (seen);"
     "CREATE TABLE detections (tenant TEXT NOT NULL, detector TEXT NOT NULL,"
     " machine_id TEXT NOT NULL, seen BIGINT NOT NULL, PRIMARY KEY (tenant, detector, machine_id));"
     "CREATE INDEX detections_seen ON detections (seen);"
     "CREATE TABLE canaries (policy TEXT PRIMARY KEY, isolations BIGINT NOT NULL)"},
    {16, "CREATE TABLE ways (id INTEGER PRIMARY KEY, name TEXT NOT NULL, failing BIGINT NOT NULL,"
         " told BIGINT NOT NULL, why TEXT);"
         "CREATE UNIQUE INDEX ways_once ON ways (name)"},
    {17, "ALTER TABLE notices ADD COLUMN channel TEXT"},
    {18, "CREATE TABLE hunts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, query TEXT, plan TEXT,"
         " due BIGINT NOT NULL, covered BIGINT NOT NULL, ran BIGINT NOT NULL,"
         " failing BIGINT NOT NULL, why TEXT, found BIGINT NOT NULL, fresh BIGINT NOT NULL,"
         " ordered BIGINT NOT NULL, ordered_dry BIGINT NOT NULL, result TEXT);"
         "CREATE UNIQUE INDEX hunts_once ON hunts (name);"
         "CREATE TABLE hunt_rows (hunt BIGINT NOT NULL, key TEXT NOT NULL, seen BIGINT NOT NULL,"
         " untold BIGINT NOT NULL, PRIMARY KEY (hunt, key));"
         "CREATE INDEX hunt_rows_seen ON hunt_rows (hunt, seen)"},
    {19, "ALTER TABLE polls ADD COLUMN list TEXT NOT NULL DEFAULT 'alerts';"
         "DROP INDEX polls_once;"
         "CREATE UNIQUE INDEX polls_once ON polls (tenant, list);"
         "CREATE INDEX isolations_action ON isolations (action_id) WHERE action_id IS NOT NULL"},
    {20,
     "ALTER TABLE notices ADD COLUMN thread TEXT;"
     "ALTER TABLE notices ADD COLUMN said TEXT;"
     "ALTER TABLE notices ADD COLUMN machine TEXT;"
     "ALTER TABLE notices ADD COLUMN alert TEXT;"
     "ALTER TABLE notices ADD COLUMN burst BIGINT NOT NULL DEFAULT 0;"
     "ALTER TABLE notices ADD COLUMN digest BIGINT NOT NULL DEFAULT 0;"
     "CREATE INDEX notices_thread ON notices (thread) WHERE thread IS NOT NULL;"
     "CREATE INDEX notices_after ON notices (after);"
     "CREATE INDEX notices_held ON notices (burst) WHERE state = 'held';"
     "CREATE TABLE bursts (id INTEGER PRIMARY KEY, lead_case BIGINT NOT NULL,"
     " first_mail BIGINT NOT NULL, last_mail BIGINT NOT NULL, mailed BIGINT NOT NULL,"
     " held BIGINT NOT NULL);"
     "CREATE TABLE burst_keys (name TEXT NOT NULL, audience TEXT NOT NULL, burst BIGINT NOT NULL,"
     " PRIMARY KEY (name, audience));"
     "CREATE INDEX burst_keys_of ON burst_keys (burst)"},
    {21, "CREATE TABLE mutes (id INTEGER PRIMARY KEY, state TEXT NOT NULL, matcher TEXT NOT NULL,"
         " author TEXT NOT NULL, why TEXT NOT NULL, broad TEXT, second TEXT, ended_by TEXT,"
         " ended_why TEXT, created BIGINT NOT NULL, began BIGINT NOT NULL, ends BIGINT NOT NULL,"
         " ended BIGINT NOT NULL);"
         "CREATE INDEX mutes_open ON mutes (id) WHERE state <> 'ended';"
         "CREATE TABLE muted_cases (mute_id BIGINT NOT NULL, case_id BIGINT NOT NULL,"
         " at BIGINT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (mute_id, case_id));"
         "CREATE INDEX muted_of_case ON muted_cases (case_id)"},
    {22, "ALTER TABLE isolations ADD COLUMN keep_until BIGINT NOT NULL DEFAULT 0;"
         "UPDATE isolations SET keep_until = 9223372036854775807"
         " WHERE release_why = 'the rule''s release_after has passed'"},
    {23, "DROP INDEX actions_open;"
         "CREATE UNIQUE INDEX actions_open ON actions (tenant, machine_id, handler,"
         " (CASE WHEN handler = 'stop_file' THEN lower(detail) ELSE '' END))"
         " WHERE state IN ('requested', 'pending')"},
    {24, "DROP INDEX actions_fetched; ALTER TABLE actions DROP COLUMN fetched"},
    {25, "ALTER TABLE policies ADD COLUMN used BIGINT NOT NULL DEFAULT 0"},
    {26, "ALTER TABLE isolations ADD COLUMN took_effect BIGINT NOT NULL DEFAULT 0"},
    {27, "ALTER TABLE isolations ADD COLUMN ask_from BIGINT NOT NULL DEFAULT 0;"
         "ALTER TABLE isolations ADD COLUMN unseen BIGINT NOT NULL DEFAULT 0;"
         "UPDATE isolations SET ask_from = requested WHERE state = 'requested'"
         " AND (why IS NULL OR why NOT LIKE 'this host''s clock is%')"},
    /* Not for every case: it would be one page more to write for each push. */
    {28, "CREATE INDEX cases_unread ON cases (lower(pushed_machine_id))"
         " WHERE machine_id IS NULL AND state = 'failed'"},
    {29, "ALTER TABLE isolations ADD COLUMN sent BIGINT NOT NULL DEFAULT 0"},
    {30, "ALTER TABLE ways ADD COLUMN let_in TEXT"},
    {31, "ALTER TABLE cases ADD COLUMN second_source TEXT;"
         "ALTER TABLE cases ADD COLUMN second_delivery BIGINT NOT NULL DEFAULT 0;"
         "ALTER TABLE cases ADD COLUMN second_machine_id TEXT"},
    {32, "ALTER TABLE polls ADD COLUMN tenant_id TEXT"},
    {33,
     "CREATE TABLE polls_before (tenant TEXT NOT NULL, list TEXT NOT NULL, tenant_id TEXT NOT NULL,"
     " since BIGINT NOT NULL, watermark BIGINT NOT NULL, polled BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, list, tenant_id))"},
    {34, "CREATE INDEX audit_orders ON audit (case_id) WHERE kind = 'order'"},
    {35, "CREATE INDEX isolations_unknown ON isolations (tenant, machine_id)"
         " WHERE state = 'failed' AND posted <> 0"},
    {36, "ALTER TABLE isolations ADD COLUMN displaced_id TEXT;"
         "CREATE INDEX isolations_displaced ON isolations (displaced_id)"
         " WHERE displaced_id IS NOT NULL"},
    /* The column stands behind the facts; see case_list. */
    {37, "CREATE INDEX cases_not_isolated ON cases (told, id) WHERE told = 'not_isolated'"},
    {38, "ALTER TABLE isolations ADD COLUMN by_rule BIGINT NOT NULL DEFAULT 0;"
         "UPDATE isolations SET by_rule = 1 WHERE state = 'releasing'"
         " AND release_why NOT LIKE 'release ordered%'"},
    /* What an overview lists and /metrics counts: hundreds of thousands are done, and each read would be one of a disk. */
    {39,
     "CREATE INDEX cases_at_rest ON cases (state, id) WHERE state IN ('failed', 'waiting', 'dropped')"},
    /* It is news when it comes to nothing, and that may be long after the case came. */
    {40, "DROP INDEX cases_not_isolated;"
         "CREATE INDEX cases_undone ON cases (updated) WHERE told = 'not_isolated'"},
    {0, NULL},
};

static enum err_code open_store(const struct db_options *o, const struct clock *clock,
                                struct store **ret, struct err *e)
{
    AUTO(store_freep) struct store *s = calloc(1, sizeof *s);
    enum err_code code;

    if (!s)
        return err_set(e, ERR_NOMEM, "store");
    s->clock = clock;
    code = db_open(o, &s->db, e);
    if (code)
        return err_in(e, "store");
    *ret = s;
    s = NULL;
    return ERR_OK;
}

enum err_code store_open_as(const char *url, const char *password, bool read_only,
                            const struct clock *clock, struct store **ret, struct err *e)
{
    const struct db_options options = {.url = url,
                                       .password = password,
                                       .migrations = migrations,
                                       .queue_max = STORE_QUEUE_MAX,
                                       .read_only = read_only};

    return open_store(&options, clock, ret, e);
}

enum err_code store_open_since(const char *url, const char *password, int step,
                               const struct clock *clock, struct store **ret, struct err *e)
{
    const struct db_options options = {.url = url,
                                       .password = password,
                                       .migrations = migrations,
                                       .read_only = true,
                                       .oldest = step};

    return open_store(&options, clock, ret, e);
}

enum err_code store_open(const char *url, bool read_only, const struct clock *clock,
                         struct store **ret, struct err *e)
{
    return store_open_as(url, NULL, read_only, clock, ret, e);
}

void store_free(struct store *s)
{
    if (!s)
        return;
    db_free(s->db);
    free(s);
}

enum err_code store_health(struct store *s, struct err *e)
{
    enum err_code code = db_health(s->db, e);

    if (!code && s->full)
        code =
            err_set(e, ERR_AGAIN,
                    "the store has reached store.max_size: nothing new is accepted; give it more "
                    "room, or a shorter retention");
    return code;
}

enum err_code store_backup(struct store *s, const char *file, struct err *e)
{
    return db_backup(s->db, file, e);
}

enum err_code store_restore(const char *url, const char *file, db_fit_fn fit, void *ctx,
                            char **ret_aside, struct err *e)
{
    enum err_code code = db_restore(url, migrations, file, fit, ctx, ret_aside, e);

    return code ? err_in(e, "store %s", url) : ERR_OK;
}

const char *store_text(struct arena *a, struct db_rows *rows, int column, bool *nomem)
{
    const char *text = db_text(rows, column);
    const char *copy = text ? arena_str(a, text) : NULL;

    if (text && !copy)
        *nomem = true;
    return copy;
}
