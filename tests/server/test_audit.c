/* test_audit.c - the record of what cordon did: that everything is in it, and that nothing can be changed, cut or
 * moved without being found. Edits are made and looked at inside one transaction that is undone. */
#include "engine_kit.h"

#include <pthread.h>

#include "audit.h"
#include "desk.h"
#include "kit/disk.h"
#include "kit/postgres.h"
#include "store_audit.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- a chain that holds every kind of thing that happens -------------------------------------------- */

struct told {
    struct rig *r;
    const char *kinds;  /* "delivery facts …" */
    const char *events; /* the details, a line each */
    int64_t n;
};

static bool note(const struct audit_record *a, void *ctx)
{
    struct told *t = ctx;

    t->kinds = arena_fmt(t->r->arena, "%s%s%s", t->kinds, t->n ? " " : "", a->kind);
    t->events = arena_fmt(t->r->arena, "%s%s\n", t->events, a->detail);
    t->n++;
    return true;
}

static struct told all_of(struct rig *r)
{
    struct told t = {.r = r, .kinds = "", .events = ""};
    struct err e = {0};

    if (audit_each(r->store, 0, note, &t, &e))
        fail_msg("%s", e.text);
    return t;
}

static struct audit_report verify(struct rig *r, const char *head)
{
    struct audit_report report;
    struct err e = {0};

    if (audit_verify(r->store, head, &report, &e))
        fail_msg("%s", e.text);
    return report;
}

static enum err_code sent_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return notice_end(tx, *(const int64_t *)arg, "sent", NULL, 1736244700000, e);
}

/* A High alert: isolated, confirmed, told; and a case that a person lets go. */
static void live(struct rig *r)
{
    struct desk_order order = {.who = "maria", .why = "a test of ours"};
    struct notice_record *notices;
    size_t n = 0;
    int64_t id;

    rig_afresh(r);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "POST", ISOLATE, 1, 201, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(r, ALERT, MACHINE);
    (void)rig_work(r);
    rig_pass(r, 4 * MINUTE_MS, MINUTE_MS);
    assert_int_equal(store_notice_list(r->store, r->arena, id, &notices, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(db_write(r->store->db, sent_fn, &notices[0].id, NULL), ERR_OK);
    order.id = rig_push(r, "da2", MACHINE);
    assert_int_equal(desk_drop(r->g, &order, NULL), ERR_OK);
    assert_int_equal(store_audit_put(r->store, NULL, AUDIT_CONFIG, LOG_STR("event", "start"),
                                     LOG_STR("policy", "p")),
                     ERR_OK);
}

static void test_audit__holds_what_was_done_in_its_order(void **state)
{
    struct rig r;
    struct told t;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    t = all_of(&r);
    assert_string_equal(t.kinds, "delivery facts verdict isolation step isolation notice step "
                                 "isolation notice case notice delivery case order configuration");
    assert_non_null(strstr(t.events, "\"source\":\"relay\""));
    assert_non_null(strstr(t.events, "\"rule\":\"contain\""));
    assert_non_null(strstr(t.events, "\"action\":\"" ACTION "\""));
    assert_non_null(strstr(t.events, "\"before\":\"requested\",\"state\":\"pending\""));
    assert_non_null(strstr(t.events, "\"before\":\"pending\",\"state\":\"isolated\""));
    assert_non_null(strstr(t.events, "\"to\":\"soc@contoso.example\""));
    assert_non_null(strstr(
        t.events, "\"order\":\"case_dropped\",\"who\":\"maria\",\"why\":\"a test of ours\""));
    assert_true(verify(&r, NULL).whole);
    assert_int_equal(verify(&r, NULL).records, 16);
    rig_close(&r);
}

/* What the audit says of the verdict and the facts is what the case has. */
static bool nobody_reads(const struct audit_record *a, void *ctx)
{
    struct rig *r = ctx;
    char busy[8] = "";

    (void)a;
    assert_string_equal(disk_sql(arena_fmt(r->arena, "%s/cordon.db", r->dir),
                                 "PRAGMA wal_checkpoint(TRUNCATE)", busy, sizeof busy),
                        "");
    assert_string_equal(busy, "0");
    return true;
}

/* `audit export | less`: the store's log can be emptied while a person reads. */
static void test_audit__is_given_out_without_keeping_the_store(void **state)
{
    struct rig r;
    struct err e;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    assert_int_equal(audit_each(r.store, 0, nobody_reads, &r, &e), ERR_OK);
    rig_close(&r);
}

static void test_audit__names_facts_and_verdict_by_their_hash(void **state)
{
    char hash[AUDIT_HASH_SIZE];
    struct case_record c;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_MAIL_ONLY);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    id = rig_push(&r, ALERT, NULL);
    (void)rig_work(&r);
    c = rig_case(&r, id);
    assert_int_equal(audit_sha256(c.facts, hash, NULL), ERR_OK);
    assert_non_null(strstr(all_of(&r).events, hash));
    assert_int_equal(audit_sha256(c.verdict, hash, NULL), ERR_OK);
    assert_non_null(strstr(all_of(&r).events, hash));
    rig_close(&r);
}

/* Looking at an isolation again and again fills no table. */
static void test_audit__a_look_without_news_is_no_record(void **state)
{
    struct rig r;
    int64_t n;

    (void)state;
    rig_open(&r, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    n = all_of(&r).n;
    rig_pass(&r, 2 * HOUR_MS, MINUTE_MS);
    assert_true(rig_seen(&r, "GET", GET_ACTION) > 5);
    assert_int_equal(all_of(&r).n, n);
    rig_close(&r);
}

/* What undoes the thing undoes its record. */
static enum err_code put_and_fail(struct db_tx *tx, void *arg, struct err *e)
{
    enum err_code code = audit_put(tx, e, AUDIT_ORDER, 0, 1, LOG_STR("who", "nobody"));

    (void)arg;
    return code ? code : err_set(e, ERR_CONFLICT, "no");
}

static void test_audit__a_record_shares_the_fate_of_its_transaction(void **state)
{
    struct audit_head before, after;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    assert_int_equal(store_audit_head(r.store, &before, NULL), ERR_OK);
    assert_int_equal(db_write(r.store->db, put_and_fail, NULL, NULL), ERR_CONFLICT);
    assert_int_equal(store_audit_head(r.store, &after, NULL), ERR_OK);
    assert_int_equal(after.n, before.n);
    assert_string_equal(after.hash, before.hash);
    assert_true(verify(&r, NULL).whole);
    rig_close(&r);
}

/* A reason of any length and of any bytes is taken: nothing is left undone for the audit's sake. */
static void test_audit__takes_any_text(void **state)
{
    static char text[100000];
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    memset(text, '\1', sizeof text - 1);
    assert_int_equal(store_audit_put(r.store, NULL, AUDIT_ORDER, LOG_STR("a", text),
                                     LOG_STR("b", text), LOG_STR("c", text), LOG_STR("d", text)),
                     ERR_OK);
    assert_int_equal(store_audit_put(r.store, NULL, AUDIT_ORDER, LOG_STR("a", "\xff\xc3")), ERR_OK);
    assert_int_equal(store_audit_put(r.store, NULL, AUDIT_ORDER), ERR_OK);
    assert_int_equal(verify(&r, NULL).records, 3);
    assert_true(verify(&r, NULL).whole);
    rig_close(&r);
}

/* ---- edits --------------------------------------------------------------------------------------------- */

struct edit {
    const char *sql,
        *types; /* its parameters, of these types, are those that follow, in this order */
    int64_t number;
    const char *text;
    int64_t n;
    const char *head;
    struct audit_report report; /* of what it left */
};

/* Edits, verifies, and undoes the edit. */
static enum err_code edit_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct edit *x = arg;
    enum err_code code;
    int64_t changed = 0;

    if (strcmp(x->types, "ii") == 0)
        code = db_run(tx, e, &changed, x->sql, "ii", x->number, x->n);
    else if (strcmp(x->types, "ti") == 0)
        code = db_run(tx, e, &changed, x->sql, "ti", x->text, x->n);
    else if (strcmp(x->types, "i") == 0)
        code = db_run(tx, e, &changed, x->sql, "i", x->n);
    else
        code = db_run(tx, e, &changed, x->sql, "");
    if (!code)
        code = audit_verify_in(tx, x->head, &x->report, e);
    if (code)
        return code;
    return changed ? err_set(e, ERR_CONFLICT, "undone") : err_set(e, ERR_NOT_FOUND, "no row");
}

static struct audit_report after(struct rig *r, struct edit x)
{
    struct err e = {0};

    if (db_write(r->store->db, edit_fn, &x, &e) != ERR_CONFLICT)
        fail_msg("%s: %s", x.sql, e.text);
    return x.report;
}

/* The record itself is named; of a changed hash, or of a record and its hash, the one after may be. */
static void assert_found(const struct audit_report *report, int64_t n, const char *what)
{
    if (report->whole || report->broken != n)
        fail_msg("%s of record %lld: named %lld (%s)", what, (long long)n,
                 (long long)report->broken, report->why);
    assert_true(report->why[0] != '\0');
    assert_int_equal(report->records, n - 1);
}

struct rows {
    struct rig *r;
    struct audit_record list[40];
    size_t count;
};

static bool keep(const struct audit_record *a, void *ctx)
{
    struct rows *rows = ctx;
    struct audit_record *to = &rows->list[rows->count++];

    *to = *a;
    to->kind = arena_str(rows->r->arena, a->kind);
    to->detail = arena_str(rows->r->arena, a->detail);
    to->hash = arena_str(rows->r->arena, a->hash);
    return rows->count < COUNT(rows->list);
}

static void change_text(struct rig *r, const char *sql, const char *text, int64_t n,
                        const char *what)
{
    char *copy = strdup(text);
    size_t len = strlen(text);

    assert_non_null(copy);
    for (size_t i = 0; i < len; i++) {
        struct audit_report report;

        copy[i] ^= 1; /* another character, never a NUL */
        assert_int_not_equal(copy[i], 0);
        report = after(r, (struct edit){.sql = sql, .types = "ti", .text = copy, .n = n});
        assert_found(&report, n, what);
        copy[i] ^= 1;
    }
    for (size_t i = 0; i < len; i += len / 4 + 1) { /* and shorter ones */
        struct audit_report report;
        char kept = copy[i];

        copy[i] = '\0';
        report = after(r, (struct edit){.sql = sql, .types = "ti", .text = copy, .n = n});
        assert_found(&report, n, what);
        copy[i] = kept;
    }
    free(copy);
}

static void change_number(struct rig *r, const char *sql, int64_t number, int64_t n,
                          const char *what)
{
    for (int bit = 0; bit < 64; bit++) {
        struct audit_report report =
            after(r, (struct edit){.sql = sql,
                                   .types = "ii",
                                   .number = (int64_t)((uint64_t)number ^ (uint64_t)1 << bit),
                                   .n = n});

        assert_found(&report, n, what);
    }
}

/* Every bit of every number and every byte of every text of every row. */
static void test_audit__any_changed_byte_is_found_and_named(void **state)
{
    struct rows rows = {0};
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    rows.r = &r;
    assert_int_equal(audit_each(r.store, 0, keep, &rows, NULL), ERR_OK);
    assert_int_equal(rows.count, 16);
    for (size_t i = 0; i < rows.count; i++) {
        const struct audit_record *a = &rows.list[i];

        change_number(&r, "UPDATE audit SET time = $1 WHERE n = $2", a->time, a->n, "time");
        change_number(&r, "UPDATE audit SET case_id = $1 WHERE n = $2", a->case_id, a->n, "case");
        change_text(&r, "UPDATE audit SET kind = $1 WHERE n = $2", a->kind, a->n, "kind");
        change_text(&r, "UPDATE audit SET detail = $1 WHERE n = $2", a->detail, a->n, "detail");
        change_text(&r, "UPDATE audit SET hash = $1 WHERE n = $2", a->hash, a->n, "hash");
    }
    assert_true(verify(&r, NULL).whole);
    rig_close(&r);
}

/* What SQLite keeps and a reader who asks for text or for an integer does not see. */
static void test_audit__hidden_bytes_are_found(void **state)
{
    static const char *const edits[] = {
        "UPDATE audit SET detail = detail || char(0) || 'x' WHERE n = $1",
        "UPDATE audit SET kind = kind || char(0) WHERE n = $1",
        "UPDATE audit SET hash = hash || char(0) || 'x' WHERE n = $1",
        "UPDATE audit SET time = time + 0.5 WHERE n = $1",
        "UPDATE audit SET case_id = case_id + 0.25 WHERE n = $1",
        "UPDATE audit SET time = time || 'x' WHERE n = $1",
        "UPDATE audit SET detail = CAST(detail AS BLOB) WHERE n = $1",
        "UPDATE audit SET detail = '' WHERE n = $1",
    };
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    for (size_t i = 0; i < COUNT(edits); i++)
        for (int64_t n = 1; n <= 16; n++) {
            struct audit_report report;

            report = after(&r, (struct edit){.sql = edits[i], .types = "i", .n = n});
            assert_found(&report, n, edits[i]);
        }
    rig_close(&r);
}

static void test_audit__cuts_and_moves_are_found(void **state)
{
    static const struct {
        const char *label, *sql;
        int64_t broken;
    } rows[] = {
        {"the first is gone", "DELETE FROM audit WHERE n = 1", 1},
        {"one is gone", "DELETE FROM audit WHERE n = 7", 7},
        {"some are gone", "DELETE FROM audit WHERE n BETWEEN 5 AND 9", 5},
        {"the last is gone", "DELETE FROM audit WHERE n = 16", 16},
        {"the end is gone", "DELETE FROM audit WHERE n > 10", 11},
        {"all are gone", "DELETE FROM audit", 1},
        {"one is gone and the rest moved up",
         "UPDATE audit SET n = CASE WHEN n = 7 THEN -7 WHEN n > 7 THEN n - 1000 ELSE n END", -992},
        {"two changed places in what they hold",
         "UPDATE audit SET detail = (SELECT b.detail FROM audit b WHERE b.n = 15 - audit.n)"
         " WHERE n IN (7, 8)",
         7},
        {"two changed places",
         "UPDATE audit SET (time, kind, case_id, detail, hash) = (SELECT b.time, b.kind, b.case_id,"
         " b.detail, b.hash FROM audit b WHERE b.n = 11 - audit.n) WHERE n IN (5, 6)",
         5},
        {"one was put in before the first",
         "INSERT INTO audit SELECT 0, time, kind, case_id, detail, hash FROM audit WHERE n = 1", 0},
        {"one was put in before all numbers",
         "INSERT INTO audit SELECT -9223372036854775807 - 1, time, kind, case_id, detail, hash"
         " FROM audit WHERE n = 1",
         INT64_MIN},
        {"one was added behind all numbers",
         "INSERT INTO audit SELECT 9223372036854775807, time, kind, case_id, detail, hash"
         " FROM audit WHERE n = 1",
         17},
        {"one was added at the end",
         "INSERT INTO audit SELECT 17, time, kind, case_id, detail, hash FROM audit WHERE n = 16",
         17},
        {"the head is gone", "DELETE FROM audit_head", 17},
        {"the head counts less", "UPDATE audit_head SET n = 15", 16},
        {"the head counts more", "UPDATE audit_head SET n = 17", 17},
        {"the head has another hash", "UPDATE audit_head SET hash = 'a'", 16},
    };
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct audit_report report = after(&r, (struct edit){.sql = rows[i].sql, .types = ""});

        if (report.whole || rows[i].broken != report.broken || !report.why[0])
            fail_msg("%s: named %lld (%s)", rows[i].label, (long long)report.broken, report.why);
    }
    rig_close(&r);
}

/* A chain that was cut together with its head is whole by itself: a head kept elsewhere shows it. */
static enum err_code cut_fn(struct db_tx *tx, void *arg, struct err *e)
{
    enum err_code code = db_run(tx, e, NULL, "DELETE FROM audit WHERE n > 10", "");

    (void)arg;
    return code ? code
                : db_run(tx, e, NULL,
                         "UPDATE audit_head SET n = 10, hash = (SELECT hash FROM audit WHERE n = "
                         "10)",
                         "");
}

static void test_audit__a_head_kept_elsewhere_shows_a_clean_cut(void **state)
{
    struct audit_head head;
    struct audit_report report;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    live(&r);
    assert_int_equal(store_audit_head(r.store, &head, NULL), ERR_OK);
    assert_true(verify(&r, head.hash).whole);
    assert_int_equal(db_write(r.store->db, cut_fn, NULL, NULL), ERR_OK);
    assert_true(verify(&r, NULL).whole);
    report = verify(&r, head.hash);
    assert_int_equal(report.broken, 11);
    assert_non_null(strstr(report.why, head.hash));
    rig_close(&r);
}

static enum err_code cut_head_fn(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "DELETE FROM audit_head", "");
}

/* A head that cannot be read once is not missing from the log for a day. */
static void test_audit__a_head_that_could_not_be_read_is_soon_told(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    assert_int_equal(audit_tell_head(r.store, 1000, 0), 1000 + DAY_MS);
    assert_int_equal(audit_tell_head(r.store, 2000, 1000 + DAY_MS), 1000 + DAY_MS);
    assert_int_equal(db_write(r.store->db, cut_head_fn, NULL, NULL), ERR_OK);
    assert_in_range(audit_tell_head(r.store, DAY_MS, DAY_MS), DAY_MS + 1, DAY_MS + 5 * MINUTE_MS);
    rig_close(&r);
}

/* The bytes that are hashed are a promise: a chain of an older version must verify for ever. */
static void test_audit__hashes_what_is_written_down(void **state)
{
    const struct audit_record first = {.n = 1,
                                       .time = 1736244672000,
                                       .kind = "order",
                                       .case_id = 7,
                                       .detail = "{\"who\":\"maria\"}"};
    char hash[AUDIT_HASH_SIZE], again[AUDIT_HASH_SIZE];

    (void)state;
    assert_int_equal(audit_hash("", &first, hash, NULL), ERR_OK);
    assert_int_equal(
        audit_sha256("1:1,13:1736244672000,5:order,1:7,15:{\"who\":\"maria\"},", again, NULL),
        ERR_OK);
    assert_string_equal(hash, again);
    /* printf '1:1,13:1736244672000,5:order,1:7,15:{"who":"maria"},' | sha256sum */
    assert_string_equal(hash, "4175d58367fba45bc84fc097ba633ba39474e9346a43e9cb9e23278bcabe45fb");
}

/* ---- several writers ------------------------------------------------------------------------------------ */

#define WRITERS 4 /* threads of each of two processes, as far as the database can tell */
#define PUTS    20

struct writer {
    struct store *s;
    pthread_t thread;
    enum err_code code;
    struct err e;
};

static void *put_many(void *arg)
{
    struct writer *w = arg;

    for (int i = 0; i < PUTS && !w->code; i++)
        w->code = store_audit_put(w->s, &w->e, AUDIT_ORDER, LOG_INT("i", i));
    return NULL;
}

/* One chain for all, in one order, and nobody's record is lost. */
static void test_audit__replicas_write_one_chain(void **state)
{
    struct writer writers[2 * WRITERS] = {0};
    struct store *stores[2] = {NULL};
    char url[POSTGRES_URL_MAX];
    struct audit_report report;
    struct err e = {0};

    (void)state;
    if (!postgres_start(NULL))
        skip();
    (void)postgres_url(url);
    for (int i = 0; i < 2; i++)
        if (store_open(url, false, clock_system(), &stores[i], &e))
            fail_msg("%s", e.text);
    for (size_t i = 0; i < COUNT(writers); i++) {
        writers[i].s = stores[i % 2];
        assert_int_equal(pthread_create(&writers[i].thread, NULL, put_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < COUNT(writers); i++) {
        (void)pthread_join(writers[i].thread, NULL);
        if (writers[i].code)
            fail_msg("%s", writers[i].e.text);
    }
    if (audit_verify(stores[0], NULL, &report, &e))
        fail_msg("%s", e.text);
    if (!report.whole)
        fail_msg("record %lld: %s", (long long)report.broken, report.why);
    assert_int_equal(report.records, 2 * WRITERS * PUTS);
    store_free(stores[0]);
    store_free(stores[1]);
}

#define T(name) cmocka_unit_test(test_audit__##name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(holds_what_was_done_in_its_order),
        T(is_given_out_without_keeping_the_store),
        T(names_facts_and_verdict_by_their_hash),
        T(a_look_without_news_is_no_record),
        T(a_record_shares_the_fate_of_its_transaction),
        T(takes_any_text),
        T(any_changed_byte_is_found_and_named),
        T(hidden_bytes_are_found),
        T(cuts_and_moves_are_found),
        T(a_head_kept_elsewhere_shows_a_clean_cut),
        T(a_head_that_could_not_be_read_is_soon_told),
        T(hashes_what_is_written_down),
        T(replicas_write_one_chain),
    };
    int failed = cmocka_run_group_tests_name("audit", tests, NULL, NULL);

    postgres_stop();
    return failed;
}
