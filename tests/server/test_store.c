/* test_store.c - the durable line: accepting, work under leases, the moves of cases and isolations, and
 * notices in their order. Each test has a real database of its own and a clock whose hands it turns: all run
 * on SQLite, and on PostgreSQL again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "id.h"
#include "kit/hands.h"
#include "kit/postgres.h"
#include "kit/steps.h"
#include "audit.h"
#include "store_accept.h"
#include "store_actions.h"
#include "store_audit.h"
#include "store_cases.h"
#include "store_deliveries.h"
#include "store_digests.h"
#include "store_isolations.h"
#include "store_notices.h"
#include "store_policies.h"
#include "store_polls.h"
#include "store_questions.h"
#include "store_rows.h"
#include "store_upkeep.h"
#include "store_work.h"

#define SHA_A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define MACHINE  "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define OTHER    "0123456789abcdef0123456789abcdef01234567"
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- a store of the test's own ----------------------------------------------------------------------- */

struct shelf {
    char dir[64], url[POSTGRES_URL_MAX];
    struct hands hands;
    struct store *s;
    struct arena *a;
};

static void open_again(struct shelf *f)
{
    struct err e = {0};

    store_free(f->s);
    f->s = NULL;
    if (store_open(f->url, false, &f->hands.clock, &f->s, &e))
        fail_msg("%s", e.text);
}

static int set_up_on(void **state, bool postgres)
{
    struct hands hands = HANDS_INIT;
    struct shelf *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    assert_non_null(f);
    f->hands.clock = hands.clock;
    f->hands.wall = hands.wall;
    f->hands.mono = hands.mono;
    (void)snprintf(f->dir, sizeof f->dir, "%.40s/store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    if (postgres)
        (void)postgres_url(f->url);
    else
        (void)snprintf(f->url, sizeof f->url, "sqlite:%s/cordon.db", f->dir);
    f->a = arena_new(0);
    open_again(f);
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_on(state, false);
}

static int set_up_postgres(void **state)
{
    return postgres_start(NULL) ? set_up_on(state, true) : 0;
}

static int tear_down(void **state)
{
    struct shelf *f = *state;
    DIR *dir;

    if (!f)
        return 0;
    store_free(f->s);
    arena_free(f->a);
    dir = opendir(f->dir);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (d->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), d->d_name, 0);
    if (dir)
        (void)closedir(dir);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static int64_t now_of(struct shelf *f)
{
    return clock_wall_ms(&f->hands.clock);
}

/* A closure that has to go through. */
static void write_ok(struct shelf *f, db_fn fn, void *arg)
{
    struct err e = {0};

    if (db_write(f->s->db, fn, arg, &e))
        fail_msg("%s", e.text);
}

/* ---- accepting ------------------------------------------------------------------------------------------ */

struct push {
    const char *tenant, *source, *delivery_id, *sha, *alerts[5], *machine;
    bool claim, weak; /* weak: of a source that may only notify */
};

static void stored(void *arg, enum err_code code, const struct err *e)
{
    struct acceptance *a = arg;

    (void)e;
    if (code)
        a->count = SIZE_MAX;
    (void)sem_post(a->ctx);
}

/* Any thread: asserts nothing. */
static bool accept_on(struct store *s, int64_t now, const struct push *p, struct acceptance *a)
{
    struct alert_ref refs[5];
    struct notification n = {.tenant = p->tenant ? p->tenant : "contoso",
                             .source = p->source ? p->source : "relay",
                             .may_isolate = !p->weak,
                             .delivery_id = p->delivery_id,
                             .key = "new",
                             .peer = "192.0.2.7",
                             .received_ms = now,
                             .alerts = refs};
    sem_t done;
    bool good;

    memcpy(n.body_sha256, p->sha ? p->sha : SHA_A, sizeof n.body_sha256);
    for (; n.count < 5 && p->alerts[n.count]; n.count++)
        refs[n.count] =
            (struct alert_ref){.alert_id = p->alerts[n.count], .machine_id = p->machine};
    *a = (struct acceptance){.n = &n, .ctx = &done, .claim = p->claim};
    (void)sem_init(&done, 0, 0);
    good = !store_accept(s, a, stored, NULL);
    while (good && sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    a->n = NULL;
    return good && a->count != SIZE_MAX;
}

static struct acceptance accept_it(struct shelf *f, const struct push *p)
{
    struct acceptance a;

    if (!accept_on(f->s, now_of(f), p, &a))
        fail_msg("not accepted");
    return a;
}

static struct case_record case_of(struct shelf *f, int64_t id)
{
    struct case_record c;
    struct err e = {0};

    if (store_case_load(f->s, f->a, id, &c, &e))
        fail_msg("%s", e.text);
    return c;
}

/* Cases and their work in all: what a delivery that made nothing leaves as it was. */
static int64_t total(struct shelf *f)
{
    int64_t cases[CASE_STATES], work[WORK_KINDS], n = 0;

    assert_int_equal(store_case_count(f->s, cases, NULL), ERR_OK);
    assert_int_equal(store_work_count(f->s, work, NULL), ERR_OK);
    for (int i = 0; i < CASE_STATES; i++)
        n += cases[i];
    assert_int_equal(n, work[WORK_CASE]); /* nothing here works on cases: each still has its row */
    return n;
}

static void test_store__what_is_accepted_is_a_case_with_work_and_outlives_the_process(void **state)
{
    struct shelf *f = *state;
    struct acceptance a = accept_it(
        f,
        &(struct push){.delivery_id = "msg_1", .alerts = {"da1_-1", "da2_-2"}, .machine = MACHINE});
    size_t room[WORK_KINDS] = {10, 10, 10}, n;
    struct work w[10];
    int64_t next;

    assert_int_equal(a.count, 2);
    assert_false(a.duplicate);
    assert_true(a.fresh[0] && a.fresh[1]);
    open_again(f);
    for (size_t i = 0; i < 2; i++) {
        struct case_record c = case_of(f, a.cases[i]);

        assert_string_equal(c.tenant, "contoso");
        assert_string_equal(c.source, "relay");
        assert_string_equal(c.alert_id, i ? "da2_-2" : "da1_-1");
        assert_string_equal(c.pushed_machine_id, MACHINE);
        assert_int_equal(c.state, CASE_RECEIVED);
        assert_int_equal(c.delivery, a.delivery);
        assert_int_equal(c.created, now_of(f));
        assert_null(c.machine_id);
        assert_null(c.facts);
        assert_null(c.told);
        assert_int_equal(c.isolation, 0);
    }
    assert_int_equal(store_work_claim(f->s, "t", room, 10, w, &n, &next, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_true((w[0].id == a.cases[0] && w[1].id == a.cases[1]) ||
                (w[0].id == a.cases[1] && w[1].id == a.cases[0]));
}

struct recorded {
    struct arena *a;
    struct audit_record *list;
    size_t n;
};

static enum err_code recorded_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct recorded *r = arg;

    return audit_read(tx, r->a, 0, 100, &r->list, &r->n, e);
}

/* Who pushes what is there already is on record at once: no verdict will follow that could say so. */
static void test_store__what_is_pushed_again_is_on_record(void **state)
{
    struct shelf *f = *state;
    const struct push first = {.delivery_id = "msg_1", .alerts = {"da1_-1", "da1_-1"}};
    struct acceptance a = accept_it(f, &first);
    struct recorded r = {.a = f->a};

    assert_int_equal(db_read(f->s->db, recorded_fn, &r, NULL), ERR_OK);
    assert_int_equal(r.n, 0); /* it will be, with its verdict */
    (void)accept_it(f, &first);
    (void)accept_it(f, &(struct push){.delivery_id = "msg_2", .alerts = {"da2_-2", "da1_-1"}});
    assert_int_equal(db_read(f->s->db, recorded_fn, &r, NULL), ERR_OK);
    assert_int_equal(r.n, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(r.list[i].kind, "delivery");
        assert_int_equal(r.list[i].case_id, a.cases[0]);
        assert_non_null(strstr(r.list[i].detail, i ? "\"delivery_id\":\"msg_2\"" : "\"msg_1\""));
        assert_int_equal(strstr(r.list[i].detail, "\"repeated\":true") != NULL, i == 0);
    }
}

static void test_store__a_repeated_delivery_id_gets_the_first_answer(void **state)
{
    struct shelf *f = *state;
    const struct push first = {.delivery_id = "msg_1", .alerts = {"da1_-1", "da2_-2"}};
    struct acceptance a = accept_it(f, &first), b;

    hands_turn(&f->hands, 3 * DAY_MS); /* senders retry for days */
    open_again(f);
    b = accept_it(f, &first);
    assert_true(b.duplicate);
    assert_false(b.other_body);
    assert_int_equal(b.delivery, a.delivery);
    assert_int_equal(b.count, 2);
    assert_memory_equal(b.cases, a.cases, 2 * sizeof *a.cases);
    assert_false(b.fresh[0] || b.fresh[1]);
    assert_int_equal(total(f), 2);
}

static int64_t forget(struct shelf *f, int64_t max)
{
    int64_t count = -1;
    struct err e = {0};

    if (store_forget_deliveries(f->s, max, &count, &e))
        fail_msg("%s", e.text);
    return count;
}

/* What a delivery has led to is on record. */
static enum err_code judge_all_fn(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "UPDATE cases SET state = 'acting'", "");
}

static void test_store__forgets_deliveries_after_three_days_and_cases_never(void **state)
{
    struct shelf *f = *state;
    const struct push old = {.delivery_id = "msg_1", .alerts = {"da1_-1"}},
                      young = {.delivery_id = "msg_2", .alerts = {"da2_-2"}};
    struct acceptance a = accept_it(f, &old), b, again;

    hands_turn(&f->hands, HOUR_MS);
    b = accept_it(f, &young);
    write_ok(f, judge_all_fn, NULL);
    hands_turn(&f->hands, DELIVERY_MEMORY_MS - HOUR_MS);
    assert_int_equal(forget(f, 100), 0); /* three days to the millisecond */
    again = accept_it(f, &old);
    assert_int_equal(again.delivery, a.delivery);
    hands_turn(&f->hands, 1);
    assert_int_equal(forget(f, 100), 1);
    assert_int_equal(forget(f, 100), 0);
    open_again(f);

    /* its id says nothing any more, its alert does */
    again = accept_it(f, &old);
    assert_true(again.duplicate);
    assert_int_not_equal(again.delivery, a.delivery);
    assert_int_equal(again.cases[0], a.cases[0]);
    assert_false(again.fresh[0]);
    assert_int_equal(case_of(f, a.cases[0]).delivery, a.delivery);
    again = accept_it(f, &young);
    assert_int_equal(again.delivery, b.delivery);
    assert_int_equal(total(f), 2);
}

static void test_store__forgets_a_few_at_a_time_the_oldest_first(void **state)
{
    struct shelf *f = *state;
    struct acceptance first, last, again;
    char id[20];

    for (int i = 0; i < 25; i++) {
        struct push p = {.delivery_id = id, .alerts = {"da1_-1"}};

        (void)snprintf(id, sizeof id, "msg_%d", i);
        last = accept_it(f, &p);
        if (i == 0)
            first = last;
        hands_turn(&f->hands, 1);
    }
    write_ok(f, judge_all_fn, NULL);
    hands_turn(&f->hands, DELIVERY_MEMORY_MS);
    assert_int_equal(forget(f, 10), 10);
    assert_int_equal(forget(f, 10), 10);
    again = accept_it(f, &(struct push){.delivery_id = "msg_24", .alerts = {"da1_-1"}});
    assert_int_equal(again.delivery, last.delivery);
    again = accept_it(f, &(struct push){.delivery_id = "msg_0", .alerts = {"da1_-1"}});
    assert_int_not_equal(again.delivery, first.delivery);
    assert_int_equal(forget(f, 10), 5);
    assert_int_equal(forget(f, 10), 0);
}

static enum err_code give_up_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct case_record c = *(const struct case_record *)arg;

    return case_move(tx, &c, CASE_FAILED, "not read", c.updated + 1, e);
}

/* Cordon was away for days, or Defender was: who pushed the case comes on record with what becomes of it. */
static void test_store__a_delivery_is_kept_until_its_case_is_judged(void **state)
{
    struct shelf *f = *state;
    struct acceptance a =
        accept_it(f, &(struct push){.delivery_id = "msg_1", .alerts = {"da1_-1"}});
    struct case_record c = case_of(f, a.cases[0]);
    struct recorded r = {.a = f->a};

    for (int i = 2; i < 5; i++) {
        char id[20];

        (void)snprintf(id, sizeof id, "msg_%d", i);
        (void)accept_it(f, &(struct push){.delivery_id = id, .alerts = {"da1_-1"}});
    }
    hands_turn(&f->hands, DELIVERY_MEMORY_MS + 1);
    assert_int_equal(forget(f, 2), 2); /* those behind it */
    assert_int_equal(forget(f, 2), 1);
    write_ok(f, give_up_fn, &c);
    assert_int_equal(db_read(f->s->db, recorded_fn, &r, NULL), ERR_OK);
    assert_int_equal(r.n, 3 + 2);
    assert_string_equal(r.list[3].kind, "delivery");
    assert_int_equal(r.list[3].case_id, c.id);
    assert_non_null(strstr(r.list[3].detail, "\"msg_1\""));
    assert_int_equal(forget(f, 2), 1);
}

/* Old deliveries, and cases that a flood has brought since. */
static enum err_code flood_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct shelf *f = arg;
    static const char *const sql[] = {
        "INSERT INTO deliveries (id, source, body_sha256, received, cases)"
        " SELECT n, 'relay', '', 1, '' FROM generate_series(1, 1000) n",
        "INSERT INTO cases (id, tenant, alert_id, source, delivery, state, created, updated)"
        " SELECT n, 'contoso', 'da' || n, 'relay', n, 'received', $1, $2"
        " FROM generate_series(1001, 300000) n",
        "INSERT INTO work (id, kind, priority, due, attempts, fence, created)"
        " SELECT n, 0, 1, $1, 0, 0, $2 FROM generate_series(1001, 300000) n",
        "ANALYZE",
    };
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < COUNT(sql) && !code; i++)
        code = strstr(sql[i], "$1") ? db_run(tx, e, NULL, sql[i], "ii", now_of(f), now_of(f))
                                    : db_run(tx, e, NULL, sql[i], "");
    return code;
}

/* More than the database compares in its memory: it would take too long for a statement. */
static void test_store__a_flood_of_cases_keeps_no_old_delivery(void **state)
{
    struct shelf *f = *state;

    write_ok(f, flood_fn, f);
    assert_int_equal(forget(f, 2000), 1000);
}

/* webhook-sources.md section 6, rule 5: act on the first only. */
static void test_store__another_body_under_a_known_delivery_id_makes_no_case(void **state)
{
    struct shelf *f = *state;
    struct acceptance a =
        accept_it(f, &(struct push){.delivery_id = "msg_1", .alerts = {"da1_-1"}, .sha = SHA_A});
    struct acceptance b = accept_it(
        f, &(struct push){.delivery_id = "msg_1", .alerts = {"da9_-9", "da8_-8"}, .sha = SHA_B});

    assert_true(b.duplicate);
    assert_true(b.other_body);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.cases[0], a.cases[0]);
    assert_int_equal(total(f), 1);
}

/* The key of a case is (tenant, alert id); that of a delivery (source, delivery id). */
static void test_store__an_alert_is_one_case_whatever_brings_it(void **state)
{
    struct shelf *f = *state;
    static const struct {
        const char *label;
        struct push p;
        bool duplicate, same_case, same_delivery;
    } rows[] = {
        {"another delivery id", {.delivery_id = "msg_2", .alerts = {"da1_-1"}}, true, true, false},
        {"no delivery id", {.alerts = {"da1_-1"}}, true, true, false},
        {"no delivery id once more", {.alerts = {"da1_-1"}}, true, true, false},
        {"another source, the same delivery id",
         {.source = "flow", .delivery_id = "msg_1", .alerts = {"da1_-1"}},
         true,
         true,
         false},
        {"another body",
         {.delivery_id = "msg_3", .alerts = {"da1_-1"}, .sha = SHA_B},
         true,
         true,
         false},
        {"another machine",
         {.delivery_id = "msg_4", .alerts = {"da1_-1"}, .machine = OTHER},
         true,
         true,
         false},
        {"the first once more", {.delivery_id = "msg_1", .alerts = {"da1_-1"}}, true, true, true},
        {"another tenant",
         {.tenant = "fabrikam", .source = "theirs", .delivery_id = "msg_1", .alerts = {"da1_-1"}},
         false,
         false,
         false},
        {"ids differ by case", {.delivery_id = "msg_5", .alerts = {"DA1_-1"}}, false, false, false},
        {"so do delivery ids", {.delivery_id = "MSG_1", .alerts = {"da7_-7"}}, false, false, false},
    };
    struct acceptance first = accept_it(
        f, &(struct push){.delivery_id = "msg_1", .alerts = {"da1_-1"}, .machine = MACHINE});

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct acceptance a = accept_it(f, &rows[i].p);

        print_message("  %s\n", rows[i].label);
        assert_int_equal(a.count, 1);
        assert_int_equal(a.duplicate, rows[i].duplicate);
        assert_false(a.other_body);
        assert_int_equal(a.cases[0] == first.cases[0], rows[i].same_case);
        assert_int_equal(a.fresh[0], !rows[i].same_case);
        assert_int_equal(a.delivery == first.delivery, rows[i].same_delivery);
    }
    assert_string_equal(case_of(f, first.cases[0]).pushed_machine_id, MACHINE);
    assert_int_equal(total(f), 4);
}

static void test_store__a_mixed_batch_says_which_cases_are_new(void **state)
{
    struct shelf *f = *state;
    struct acceptance old = accept_it(f, &(struct push){.alerts = {"da2_-2", "da4_-4"}});
    const struct push batch = {.delivery_id = "msg_b",
                               .alerts = {"da1_-1", "da2_-2", "da3_-3", "da4_-4"}};
    struct acceptance a = accept_it(f, &batch), again;
    static const bool fresh[] = {true, false, true, false};

    assert_false(a.duplicate); /* something was new */
    assert_int_equal(a.count, 4);
    assert_memory_equal(a.fresh, fresh, sizeof fresh);
    assert_int_equal(a.cases[1], old.cases[0]);
    assert_int_equal(a.cases[3], old.cases[1]);
    assert_int_equal(total(f), 4);
    again = accept_it(f, &batch); /* the answer is kept as it was given */
    assert_true(again.duplicate);
    assert_int_equal(again.count, 4);
    assert_memory_equal(again.cases, a.cases, 4 * sizeof *a.cases);
    assert_int_equal(total(f), 4);
}

static void test_store__an_alert_twice_in_one_delivery_is_one_case(void **state)
{
    struct shelf *f = *state;
    struct acceptance a = accept_it(f, &(struct push){.alerts = {"da1_-1", "da1_-1", "da2_-2"}});

    assert_int_equal(a.count, 3);
    assert_int_equal(a.cases[0], a.cases[1]);
    assert_true(a.fresh[0]);
    assert_false(a.fresh[1]);
    assert_int_equal(total(f), 2);
}

/* The most that a delivery may hold, and its answer read back. */
static void test_store__a_full_batch_is_kept_whole(void **state)
{
    struct shelf *f = *state;
    static struct alert_ref refs[INTAKE_BATCH_MAX];
    static struct acceptance a, b;
    struct notification n = {.tenant = "contoso",
                             .source = "relay",
                             .delivery_id = "msg_full",
                             .body_sha256 = SHA_A,
                             .received_ms = now_of(f),
                             .alerts = refs,
                             .count = INTAKE_BATCH_MAX};
    sem_t done;

    for (size_t i = 0; i < INTAKE_BATCH_MAX; i++)
        refs[i].alert_id = arena_fmt(f->a, "da%zu_-1", i);
    (void)sem_init(&done, 0, 0);
    a = (struct acceptance){.n = &n, .ctx = &done};
    b = a;
    assert_int_equal(store_accept(f->s, &a, stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    assert_int_equal(store_accept(f->s, &b, stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    assert_int_equal(a.count, INTAKE_BATCH_MAX);
    assert_false(a.duplicate);
    assert_int_equal(b.count, INTAKE_BATCH_MAX);
    assert_true(b.duplicate);
    assert_memory_equal(a.cases, b.cases, sizeof a.cases);
    assert_int_equal(total(f), INTAKE_BATCH_MAX);
}

/* A worker that waits gets the first fresh case with its claim: nobody else can have it. */
static void test_store__a_case_may_be_born_claimed(void **state)
{
    struct shelf *f = *state;
    size_t room[WORK_KINDS] = {10, 10, 10}, n;
    struct work w[10];
    int64_t next;
    struct acceptance a, b;

    (void)accept_it(f, &(struct push){.alerts = {"da1_-1"}});
    a = accept_it(f, &(struct push){.alerts = {"da1_-1", "da2_-2", "da3_-3"}, .claim = true});
    assert_true(a.claimed);
    assert_int_equal(a.work.id, a.cases[1]);
    assert_int_equal(a.work.kind, WORK_CASE);
    assert_int_equal(a.work.attempts, 1);
    assert_int_equal(a.work.lease_end, now_of(f) + WORK_LEASE_MS);
    b = accept_it(f, &(struct push){.alerts = {"da1_-1"}, .claim = true});
    assert_false(b.claimed); /* nothing was fresh */
    assert_int_equal(store_work_claim(f->s, "t", room, 10, w, &n, &next, NULL), ERR_OK);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        assert_true(w[i].id != a.work.id);
}

struct racer {
    struct shelf *f;
    pthread_t thread;
    unsigned number, fresh;
    int64_t cases[20];
    bool good;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    r->good = true;
    for (unsigned i = 0; i < 20 && r->good; i++) {
        char delivery[40], alert[40];
        struct push p = {.delivery_id = delivery, .alerts = {alert}};
        struct acceptance a;

        (void)snprintf(delivery, sizeof delivery, "msg_%u_%u", r->number, i);
        (void)snprintf(alert, sizeof alert, "da%u_-1", i);
        r->good = accept_on(r->f->s, now_of(r->f), &p, &a);
        r->fresh += a.fresh[0];
        r->cases[i] = a.cases[0];
    }
    return NULL;
}

static void test_store__senders_that_race_with_one_alert_make_one_case(void **state)
{
    struct shelf *f = *state;
    struct racer racers[6] = {0};
    unsigned fresh = 0;

    for (unsigned i = 0; i < COUNT(racers); i++) {
        racers[i].f = f;
        racers[i].number = i;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < COUNT(racers); i++) {
        (void)pthread_join(racers[i].thread, NULL);
        assert_true(racers[i].good);
        assert_memory_equal(racers[i].cases, racers[0].cases, sizeof racers[0].cases);
        fresh += racers[i].fresh;
    }
    assert_int_equal(fresh, 20);
    assert_int_equal(total(f), 20);
}

/* ---- work ------------------------------------------------------------------------------------------------- */

struct row {
    int64_t id;
    enum work_kind kind;
    enum work_priority priority;
    int64_t due;
    int64_t now;
};

static enum err_code put_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct row *r = arg;

    return work_put(tx, r->id, r->kind, r->priority, r->due, r->now, NULL, e);
}

static void put(struct shelf *f, int64_t id, enum work_kind kind, enum work_priority priority,
                int64_t due)
{
    struct row r = {id, kind, priority, due, now_of(f)};

    write_ok(f, put_fn, &r);
}

static size_t claim_some(struct shelf *f, const size_t room[WORK_KINDS], size_t max, struct work *w,
                         int64_t *ret_next)
{
    size_t n = 0;
    struct err e = {0};

    if (store_work_claim(f->s, "test", room, max, w, &n, ret_next, &e))
        fail_msg("%s", e.text);
    return n;
}

/* One row of any kind. */
static bool claim_one(struct shelf *f, struct work *w)
{
    static const size_t room[WORK_KINDS] = {1, 1, 1};
    int64_t next;

    return claim_some(f, room, 1, w, &next) == 1;
}

static void test_store__claims_the_urgent_first_then_the_longest_due(void **state)
{
    struct shelf *f = *state;
    static const size_t room[WORK_KINDS] = {10, 10, 10};
    static const int64_t order[] = {4, 3, 2, 1};
    int64_t now = now_of(f), next;
    struct work w[10];

    put(f, 1, WORK_CASE, WORK_NORMAL, now);
    put(f, 2, WORK_CASE, WORK_NORMAL, now - 10);
    put(f, 3, WORK_ISOLATION, WORK_URGENT, now);
    put(f, 4, WORK_ISOLATION, WORK_URGENT, now - 5);
    put(f, 5, WORK_NOTICE, WORK_NORMAL, now + 1000);
    put(f, 6, WORK_NOTICE, WORK_NORMAL, WORK_PARKED);
    assert_int_equal(claim_some(f, room, 10, w, &next), 4);
    for (size_t i = 0; i < COUNT(order); i++)
        assert_int_equal(w[i].id, order[i]);
    assert_int_equal(next, now + 1000); /* the earliest of what is left: no lease ends before */
    assert_int_equal(claim_some(f, room, 10, w, &next), 0);
    hands_turn(&f->hands, 999);
    assert_int_equal(claim_some(f, room, 10, w, &next), 0);
    hands_turn(&f->hands, 1);
    assert_int_equal(claim_some(f, room, 10, w, &next), 1);
    assert_int_equal(w[0].id, 5);
}

static void test_store__claims_no_more_than_there_is_room_for(void **state)
{
    struct shelf *f = *state;
    static const struct {
        size_t room[WORK_KINDS], max, got[WORK_KINDS];
    } rows[] = {
        {{0, 0, 0}, 9, {0, 0, 0}}, {{1, 0, 0}, 9, {1, 0, 0}},
        {{0, 2, 1}, 9, {0, 2, 1}}, {{9, 9, 9}, 1, {0, 1, 0}},  /* the urgent one */
        {{9, 9, 9}, 0, {0, 0, 0}}, {{9, 9, 9}, 99, {2, 1, 3}}, /* all that is left */
    };
    int64_t now = now_of(f), next;
    struct work w[99];

    for (int64_t i = 0; i < 12; i++)
        put(f, i + 1, (enum work_kind)(i % 3), i % 3 == WORK_ISOLATION ? WORK_URGENT : WORK_NORMAL,
            now);
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t got[WORK_KINDS] = {0}, n = claim_some(f, rows[i].room, rows[i].max, w, &next);

        for (size_t k = 0; k < n; k++)
            got[w[k].kind]++;
        if (i == COUNT(rows) - 1) { /* 12 less what the rows above took */
            assert_int_equal(got[WORK_CASE], 3);
            assert_int_equal(got[WORK_ISOLATION], 1);
            assert_int_equal(got[WORK_NOTICE], 3);
        } else {
            assert_memory_equal(got, rows[i].got, sizeof got);
        }
    }
}

static void test_store__a_lease_hides_a_row_until_it_ends(void **state)
{
    struct shelf *f = *state;
    struct work first, second;

    put(f, 7, WORK_CASE, WORK_NORMAL, now_of(f));
    assert_true(claim_one(f, &first));
    assert_int_equal(first.attempts, 1);
    assert_int_equal(first.lease_end, now_of(f) + WORK_LEASE_MS);
    assert_false(claim_one(f, &second));
    hands_turn(&f->hands, WORK_LEASE_MS - 1);
    assert_false(claim_one(f, &second));
    hands_turn(&f->hands, 1);
    assert_true(claim_one(f, &second));
    assert_int_equal(second.id, 7);
    assert_int_equal(second.attempts, 1); /* the first did not end: its process is gone */
    assert_true(second.fence > first.fence);
}

struct claimer {
    struct shelf *f;
    pthread_t thread;
    int64_t got[200];
    size_t n;
    bool good;
};

static void *claim_all(void *arg)
{
    struct claimer *c = arg;
    static const size_t room[WORK_KINDS] = {3, 3, 3};

    for (;;) {
        struct work w[4];
        size_t n = 0;
        int64_t next;

        c->good = !store_work_claim(c->f->s, "t", room, 4, w, &n, &next, NULL);
        if (!c->good || !n)
            return NULL;
        for (size_t i = 0; i < n && c->n < COUNT(c->got); i++)
            c->got[c->n++] = w[i].id;
    }
}

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void test_store__claimers_side_by_side_get_different_rows(void **state)
{
    struct shelf *f = *state;
    struct claimer *claimers = calloc(4, sizeof *claimers);
    int64_t all[200];
    size_t n = 0;

    assert_non_null(claimers);
    for (int64_t i = 1; i <= 150; i++)
        put(f, i, (enum work_kind)(i % 3), WORK_NORMAL, now_of(f));
    for (unsigned i = 0; i < 4; i++) {
        claimers[i].f = f;
        assert_int_equal(pthread_create(&claimers[i].thread, NULL, claim_all, &claimers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        (void)pthread_join(claimers[i].thread, NULL);
        assert_true(claimers[i].good);
        for (size_t k = 0; k < claimers[i].n && n < COUNT(all); k++)
            all[n++] = claimers[i].got[k];
    }
    free(claimers);
    assert_int_equal(n, 150);
    qsort(all, n, sizeof *all, by_id);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(all[i], i + 1);
}

/* A write that ends a claim in one of the three ways, behind a write to another table. */
struct ending {
    struct work *w;
    int64_t case_id, now;
    enum { DONE, AGAIN, KEEP } how;
};

static enum err_code ending_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ending *d = arg;
    struct case_record c = {.id = d->case_id};
    enum err_code code = case_told(tx, &c, "by the wrong one", e);

    if (code)
        return code;
    switch (d->how) {
    case DONE:
        return work_done(tx, d->w, e);
    case AGAIN:
        return work_again(tx, d->w, d->now, 0, e);
    default:
        return work_keep(tx, d->w, d->now, e);
    }
}

static void test_store__a_lost_lease_undoes_every_write(void **state)
{
    struct shelf *f = *state;
    static const struct {
        const char *label;
        bool claimed, ended, anew;
    } rows[] = {
        {"claimed by another", true, false, false},
        {"finished by another", true, true, false},
        {"finished by another, and begun anew", true, true, true},
        {"freed at a start", false, false, false},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        for (int how = DONE; how <= KEEP; how++) {
            struct acceptance a =
                accept_it(f, &(struct push){.alerts = {arena_fmt(f->a, "da%zu_-%d", i, how)}});
            struct work lost, holder = {0};
            struct ending d = {.w = &lost, .case_id = a.cases[0], .how = (int)how};
            struct err e = {0};

            assert_true(claim_one(f, &lost));
            assert_int_equal(lost.id, a.cases[0]);
            hands_turn(&f->hands, rows[i].claimed ? WORK_LEASE_MS : 0);
            if (rows[i].claimed)
                assert_true(claim_one(f, &holder));
            else
                assert_int_equal(store_work_recover(f->s, NULL), ERR_OK);
            d.now = now_of(f);
            if (rows[i].ended)
                write_ok(f, ending_fn,
                         &(struct ending){.w = &holder, .case_id = 1, .now = d.now, .how = DONE});
            if (rows[i].anew) { /* by a person's answer, say */
                put(f, a.cases[0], WORK_CASE, WORK_NORMAL, d.now);
                assert_true(claim_one(f, &holder));
            }
            print_message("  %s, then %s\n", rows[i].label,
                          how == DONE    ? "done"
                          : how == AGAIN ? "again"
                                         : "keep");
            assert_int_equal(db_write(f->s->db, ending_fn, &d, &e), ERR_STALE);
            assert_null(case_of(f, a.cases[0]).told);
            if (rows[i].claimed && (!rows[i].ended || rows[i].anew)) /* the holder's claim stands */
                write_ok(f, ending_fn,
                         &(struct ending){
                             .w = &holder, .case_id = a.cases[0], .now = d.now, .how = DONE});
            else if (!rows[i].claimed && claim_one(f, &holder))
                write_ok(f, ending_fn,
                         &(struct ending){.w = &holder, .case_id = 1, .now = d.now, .how = DONE});
        }
}

static enum err_code again_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ending *d = arg;

    return work_again(tx, d->w, d->now, 3, e);
}

static void test_store__a_claim_given_back_comes_again_at_its_time(void **state)
{
    struct shelf *f = *state;
    struct work w, again;
    struct ending d = {.w = &w};

    put(f, 7, WORK_NOTICE, WORK_NORMAL, now_of(f));
    assert_true(claim_one(f, &w));
    d.now = now_of(f) + 2000;
    write_ok(f, again_fn, &d);
    assert_false(claim_one(f, &again));
    hands_turn(&f->hands, 2000);
    assert_true(claim_one(f, &again));
    assert_int_equal(again.attempts, 4); /* as counted from then on */
    assert_int_equal(again.created, w.created);
    assert_int_equal(db_write(f->s->db, again_fn, &d, NULL), ERR_STALE);
}

static enum err_code keep_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ending *d = arg;

    return work_keep(tx, d->w, d->now, e);
}

static void test_store__a_write_renews_the_lease(void **state)
{
    struct shelf *f = *state;
    struct work w, other;
    struct ending d = {.w = &w};

    put(f, 7, WORK_CASE, WORK_NORMAL, now_of(f));
    assert_true(claim_one(f, &w));
    for (int i = 0; i < 3; i++) {
        hands_turn(&f->hands, WORK_LEASE_MS - 1);
        d.now = now_of(f);
        write_ok(f, keep_fn, &d);
        assert_int_equal(w.lease_end, d.now + WORK_LEASE_MS);
        assert_false(claim_one(f, &other));
    }
    hands_turn(&f->hands, WORK_LEASE_MS);
    assert_true(claim_one(f, &other));
}

static enum err_code keep_for_post_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ending *d = arg;

    return work_keep_for_post(tx, d->w, d->now, e);
}

/* Its holder may be stopped while its request is on its way: nobody renews it, and nobody takes it early. */
static void test_store__a_request_that_acts_has_a_lease_as_long_as_it_may_live(void **state)
{
    struct shelf *f = *state;
    struct work w, other;
    struct ending d = {.w = &w, .now = now_of(f)};

    put(f, 7, WORK_ISOLATION, WORK_URGENT, now_of(f));
    assert_true(claim_one(f, &w));
    write_ok(f, keep_for_post_fn, &d);
    assert_int_equal(w.lease_end, d.now + WORK_POST_LEASE_MS);
    assert_true(WORK_POST_LEASE_MS >=
                WORK_LEAVE_MS + WORK_ANSWER_MS + WORK_SETTLE_MS + WORK_SKEW_MS);
    assert_int_equal(store_work_keep(f->s, &w, 1, NULL), ERR_OK); /* makes it no shorter */
    hands_turn(&f->hands, WORK_POST_LEASE_MS - 1);
    assert_false(claim_one(f, &other));
    hands_turn(&f->hands, 1);
    assert_true(claim_one(f, &other));
}

static enum err_code unclaim_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct work *before = arg;

    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1, owner = NULL, attempts = $2, fence = $3 WHERE id = $4",
                  "iiii", before->created, before->attempts, before->fence, before->id);
}

/* A standby that lagged and took over: there the claim never was, and whoever made it is at work still. */
static void test_store__a_claim_that_the_store_has_lost_is_no_longer_good(void **state)
{
    struct shelf *f = *state;
    struct work before, lost, other;
    struct ending d = {.w = &lost, .now = now_of(f)};

    put(f, 7, WORK_ISOLATION, WORK_URGENT, now_of(f));
    assert_true(claim_one(f, &before));
    write_ok(f, again_fn, &(struct ending){.w = &before, .now = now_of(f)});
    assert_true(claim_one(f, &lost));
    write_ok(f, unclaim_fn, &before);
    assert_true(claim_one(f, &other));
    assert_int_equal(other.id, lost.id);
    assert_int_equal(db_write(f->s->db, keep_for_post_fn, &d, NULL), ERR_STALE);
    d.w = &other;
    write_ok(f, keep_for_post_fn, &d);
}

static void test_store__renewing_is_for_what_is_still_ours(void **state)
{
    struct shelf *f = *state;
    struct work held, lost, given_back, other, all[3];

    put(f, 7, WORK_CASE, WORK_NORMAL, now_of(f));
    assert_true(claim_one(f, &lost));
    hands_turn(&f->hands, WORK_LEASE_MS);
    assert_true(claim_one(f, &other));
    put(f, 8, WORK_CASE, WORK_NORMAL, now_of(f));
    assert_true(claim_one(f, &held));
    put(f, 9, WORK_CASE, WORK_NORMAL, now_of(f));
    assert_true(claim_one(f, &given_back));
    write_ok(f, again_fn, &(struct ending){.w = &given_back, .now = now_of(f) + 1000});
    hands_turn(&f->hands, WORK_LEASE_MS - 1000);
    memcpy(all, (struct work[]){held, lost, given_back}, sizeof all);
    assert_int_equal(store_work_keep(f->s, all, 3, NULL), ERR_OK);
    assert_true(claim_one(f, &other)); /* what was given back was due */
    assert_int_equal(other.id, 9);
    assert_false(claim_one(f, &other));
    hands_turn(&f->hands, 1000); /* the lease that somebody else has ends as he left it */
    assert_true(claim_one(f, &other));
    assert_int_equal(other.id, 7);
    assert_false(claim_one(f, &other));
}

struct waking {
    int64_t id, due;
};

static enum err_code wake_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct waking *k = arg;

    return work_wake(tx, k->id, k->due, e);
}

static void test_store__waking_makes_earlier_but_never_later_and_takes_no_lease(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f), next;
    static const size_t room[WORK_KINDS] = {1, 1, 1};
    struct work w;

    write_ok(f, wake_fn, &(struct waking){4711, now}); /* no such row: no error */
    put(f, 1, WORK_CASE, WORK_NORMAL, WORK_PARKED);
    write_ok(f, wake_fn, &(struct waking){1, now + 500});
    assert_int_equal(claim_some(f, room, 1, &w, &next), 0);
    assert_int_equal(next, now + 500);
    write_ok(f, wake_fn, &(struct waking){1, now + 900});
    assert_int_equal(claim_some(f, room, 1, &w, &next), 0);
    assert_int_equal(next, now + 500);
    hands_turn(&f->hands, 500);
    assert_true(claim_one(f, &w));
    write_ok(f, wake_fn, &(struct waking){1, now});
    assert_false(claim_one(f, &w)); /* leased: whoever holds it goes on */
}

static enum err_code turn_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct waking *k = arg;

    return work_turn(tx, k->id, WORK_LEDGER, WORK_NORMAL, k->due, k->due, e);
}

/* A person's order, say, to release a machine that a worker is just looking at: whose turn it is then is another matter, and
 * what the worker had to write about it is void. */
static void test_store__a_row_that_turns_to_something_else_is_in_nobodys_hand(void **state)
{
    struct shelf *f = *state;
    static const size_t room[WORK_KINDS] = {[WORK_LEDGER] = 1};
    int64_t next;

    for (int how = DONE; how <= KEEP; how++) {
        struct work before, after;
        struct ending d = {.w = &before, .case_id = 1, .now = now_of(f), .how = (int)how};

        put(f, 1 + how, WORK_ISOLATION, WORK_NORMAL, now_of(f));
        assert_true(claim_one(f, &before));
        write_ok(f, turn_fn, &(struct waking){before.id, now_of(f)});
        assert_int_equal(db_write(f->s->db, ending_fn, &d, NULL), ERR_STALE);
        assert_int_equal(claim_some(f, room, 1, &after, &next), 1);
        assert_int_equal(after.id, before.id);
        assert_int_equal(after.attempts, 1);
    }
}

struct polling {
    struct shelf *f;
    enum { BEGIN, WISH, END, LOOK } what;
    int64_t id, at;
    struct poll_record row;
};

static enum err_code poll_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct polling *p = arg;

    switch (p->what) {
    case BEGIN:
        return poll_watch(tx, &p->f->hands.clock, "contoso", "t1", POLL_ACTIONS, p->at, p->at, e);
    case WISH:
        return poll_read_again(tx, "contoso", POLL_ACTIONS, p->at, e);
    case END:
        return poll_move(tx, &p->row, e);
    default:
        return poll_load(tx, p->f->a, p->id, &p->row, e);
    }
}

static void poll_do(struct polling *p, int what, int64_t at)
{
    p->what = what;
    p->at = at;
    write_ok(p->f, poll_fn, p);
}

/* That the list is to be read again from an earlier time on, which is said while somebody reads it, stands when he has. */
static void test_store__a_wish_to_read_again_outlasts_who_reads_just_then(void **state)
{
    struct polling p = {.f = *state};
    struct poll_record *list;
    size_t n = 0;

    poll_do(&p, BEGIN, 5000);
    assert_int_equal(store_poll_list(p.f->s, POLL_ACTIONS, p.f->a, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    p.id = list[0].id;
    poll_do(&p, LOOK, 0);
    poll_do(&p, WISH, 3000);
    p.row.watermark = 9000;
    poll_do(&p, END, 0);
    poll_do(&p, LOOK, 0);
    assert_int_equal(p.row.watermark, 3000);
    p.row.watermark = 9000; /* and then it has been */
    poll_do(&p, END, 0);
    poll_do(&p, LOOK, 0);
    assert_int_equal(p.row.watermark, 9000);
}

/* ---- after a crash ------------------------------------------------------------------------------------------ */

struct isolating {
    struct isolation_record r;
    struct work w;
    int64_t now;
    enum isolation_state to;
};

static enum err_code isolate_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct isolating *i = arg;
    enum err_code code = isolation_insert(tx, &i->r, e);

    return code ? code
                : work_put(tx, i->r.id, WORK_ISOLATION, WORK_URGENT, i->now, i->now, &i->w, e);
}

static struct isolation_record isolation(int64_t id, const char *machine, int64_t now)
{
    return (struct isolation_record){.id = id,
                                     .case_id = 1,
                                     .tenant = "contoso",
                                     .machine_id = machine,
                                     .type = "Full",
                                     .comment = "c",
                                     .state = ISOLATION_REQUESTED,
                                     .requested = now,
                                     .updated = now};
}

/* The ledger's turn with r, due at i->now. */
static enum err_code watched_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct isolating *i = arg;

    return work_turn(tx, i->r.id, WORK_LEDGER, WORK_NORMAL, i->now, i->now, e);
}

/* What had no lease keeps its time; what had one is due at once, but a request that may have left with the
 * dead process must have time to be seen (deed.h). */
static void test_store__a_start_frees_the_leases_of_the_dead(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f), next;
    static const size_t room[WORK_KINDS] = {9, 9, 9};
    struct isolating posted = {.r = isolation(11, MACHINE, now), .now = now};
    struct isolating quiet = {.r = isolation(12, OTHER, now), .now = now};
    struct work w[9], stale;

    posted.r.posted = now;
    write_ok(f, isolate_fn, &posted);
    write_ok(f, isolate_fn, &quiet);
    put(f, 1, WORK_CASE, WORK_NORMAL, now);
    assert_true(claim_one(f, &stale));
    put(f, 2, WORK_NOTICE, WORK_NORMAL, now + 20 * SECOND_MS);
    put(f, 3, WORK_NOTICE, WORK_NORMAL, WORK_PARKED);
    hands_turn(&f->hands, SECOND_MS);
    open_again(f);
    assert_int_equal(claim_some(f, room, 9, w, &next), 0); /* only a start frees them */
    assert_int_equal(store_work_recover(f->s, NULL), ERR_OK);
    assert_int_equal(claim_some(f, room, 9, w, &next), 2);
    assert_int_equal(w[0].id, 12);
    assert_int_equal(w[1].id, 1);
    assert_int_equal(w[1].attempts, 1);
    assert_int_equal(next, now_of(f) + WORK_SETTLE_MS);
    hands_turn(&f->hands, WORK_SETTLE_MS - 1);
    assert_int_equal(claim_some(f, room, 9, w, &next), 0);
    hands_turn(&f->hands, 1);
    assert_int_equal(claim_some(f, room, 9, w, &next), 1);
    assert_int_equal(w[0].id, 11);
    assert_int_equal(next, now + 20 * SECOND_MS); /* parked rows and their order are as they were */
    assert_int_equal(db_write(f->s->db, keep_fn, &(struct ending){.w = &stale, .now = now}, NULL),
                     ERR_STALE);
}

/* Hundreds of machines may be isolated, and a look at each is a call: a start spends none on those that nothing says of that
 * the clock was set back. */
static void test_store__a_start_looks_at_no_machine_before_its_time(void **state)
{
    static const struct {
        enum isolation_state state;
        int64_t updated, due;
        bool hurried;
    } rows[] = {
        {ISOLATION_ISOLATED, -HOUR_MS, 3 * HOUR_MS, false},
        {ISOLATION_FAILED, -HOUR_MS, HOUR_MS, false}, /* looked out for */
        {ISOLATION_ISOLATED, HOUR_MS, 3 * HOUR_MS, true},
        {ISOLATION_ISOLATED, -HOUR_MS, 5 * HOUR_MS, true},
        {ISOLATION_RELEASING, -HOUR_MS, 15 * MINUTE_MS, true},
    };
    static const size_t room[WORK_KINDS] = {[WORK_LEDGER] = 9};
    struct shelf *f = *state;
    struct work w[9];
    int64_t next;
    size_t n = 0, hurried = 0;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const int64_t id = 11 + (int64_t)i;
        const char *machine = arena_fmt(f->a, "%zu%s", i, &MACHINE[1]);
        struct isolating of = {.r = isolation(id, machine, now_of(f) + rows[i].updated),
                               .now = now_of(f)};

        of.r.state = rows[i].state;
        write_ok(f, isolate_fn, &of);
        write_ok(f, watched_fn, &(struct isolating){.r = of.r, .now = now_of(f) + rows[i].due});
        hurried += rows[i].hurried;
    }
    assert_int_equal(store_work_recover(f->s, NULL), ERR_OK);
    n = claim_some(f, room, 9, w, &next);
    assert_int_equal(n, hurried);
    for (size_t i = 0; i < n; i++)
        assert_true(rows[w[i].id - 11].hurried);
}

/* A wall clock that was wrong by days must not let a case wait for days. */
static void test_store__what_is_due_far_away_is_hurried_when_the_clock_was_set_back(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f), next;
    static const size_t room[WORK_KINDS] = {9, 9, 9};
    struct work w[9];

    put(f, 1, WORK_CASE, WORK_NORMAL, now + DAY_MS);
    put(f, 2, WORK_CASE, WORK_NORMAL, now + 20 * SECOND_MS);
    put(f, 3, WORK_NOTICE, WORK_NORMAL, WORK_PARKED);
    assert_int_equal(store_work_hurry(f->s, NULL), ERR_OK);
    assert_int_equal(claim_some(f, room, 9, w, &next), 1);
    assert_int_equal(w[0].id, 1);
    assert_int_equal(next, now + 20 * SECOND_MS);
    /* What somebody is at is his, however far away the end of his lease seems. */
    atomic_fetch_add(&f->hands.wall, -(2 * HOUR_MS));
    assert_int_equal(store_work_hurry(f->s, NULL), ERR_OK);
    assert_int_equal(claim_some(f, room, 9, w, &next), 1);
    assert_int_equal(w[0].id, 2);
    /* But for no longer than a lease lasts: he may be gone since. */
    hands_turn(&f->hands, WORK_POST_LEASE_MS - 1);
    assert_int_equal(claim_some(f, room, 9, w, &next), 1);
    assert_int_equal(w[0].id, 2);
    assert_int_equal(next, now_of(f) + 1);
    hands_turn(&f->hands, 1);
    assert_int_equal(claim_some(f, room, 9, w, &next), 1);
    assert_int_equal(w[0].id, 1);
}

/* ---- cases --------------------------------------------------------------------------------------------------- */

/* Calls fn in a child; true when it ended there by an assert. */
static bool aborts(void (*fn)(void *arg), void *arg)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka's own would go on with the parent's tests */
        (void)close(STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    assert_true(pid > 0);
    (void)waitpid(pid, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

struct moving {
    struct case_record c;
    enum case_state to;
    int64_t now;
    const char *why;
};

static enum err_code move_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct moving *m = arg;

    return case_move(tx, &m->c, m->to, m->why, m->now, e);
}

static void move_nowhere(void *arg)
{
    struct moving *m = arg;
    struct err e;

    (void)case_move(NULL, &m->c, m->to, NULL, 0, &e);
}

/* The diagram of store_cases.h; a row for each state: where it may go. */
static const char *const case_ways[CASE_STATES] = {
    [CASE_RECEIVED] = "expanding acting failed dropped",
    [CASE_EXPANDING] = "expanding acting failed dropped",
    [CASE_DECIDING] = "deciding acting failed dropped",
    [CASE_ACTING] = "deciding waiting done failed dropped",
    [CASE_WAITING] = "deciding acting done failed dropped",
    [CASE_DONE] = "expanding dropped",
    [CASE_FAILED] = "expanding dropped",
    [CASE_DROPPED] = "",
};

static bool is_one_of(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = list; (p = strstr(p, word)); p += len)
        if ((p == list || p[-1] == ' ') && (p[len] == ' ' || !p[len]))
            return true;
    return false;
}

/* The row as it is on disk, whatever the diagram says. */
static enum err_code set_state_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct moving *m = arg;

    return db_run(tx, e, NULL, "UPDATE cases SET state = $1 WHERE id = $2", "ti",
                  case_state_name(m->c.state), m->c.id);
}

static void test_store__a_case_moves_as_drawn_and_no_other_way(void **state)
{
    struct shelf *f = *state;
    struct acceptance a = accept_it(f, &(struct push){.alerts = {"da1_-1"}});

    for (int from = 0; from < CASE_STATES; from++)
        for (int to = 0; to < CASE_STATES; to++) {
            struct moving m = {.c = {.id = a.cases[0], .state = (enum case_state)from},
                               .to = (enum case_state)to,
                               .now = now_of(f) + 1,
                               .why = "w"};

            if (is_one_of(case_ways[from], case_state_name(m.to))) {
                write_ok(f, set_state_fn, &m);
                write_ok(f, move_fn, &m);
                assert_int_equal(m.c.state, to);
                assert_int_equal(case_of(f, a.cases[0]).state, to);
                assert_string_equal(case_of(f, a.cases[0]).why, "w");
                assert_int_equal(case_of(f, a.cases[0]).updated, now_of(f) + 1);
            } else if (!aborts(move_nowhere, &m)) {
                fail_msg("%s became %s", case_state_name(m.c.state), case_state_name(m.to));
            }
        }
}

/* What was read before another's commit decides nothing. */
static void test_store__a_record_that_is_out_of_date_moves_nothing(void **state)
{
    struct shelf *f = *state;
    struct acceptance a = accept_it(f, &(struct push){.alerts = {"da1_-1"}});
    struct moving first = {.c = case_of(f, a.cases[0]), .to = CASE_FAILED, .now = now_of(f)};
    struct moving late = {.c = first.c, .to = CASE_EXPANDING, .now = now_of(f)};

    write_ok(f, move_fn, &first);
    assert_int_equal(db_write(f->s->db, move_fn, &late, NULL), ERR_STALE);
    assert_int_equal(late.c.state, CASE_RECEIVED);
    assert_int_equal(case_of(f, a.cases[0]).state, CASE_FAILED);
}

static void test_store__words_of_states_are_those_of_the_contract(void **state)
{
    static const char *const cases[] = {"received", "expanding", "deciding", "acting",
                                        "waiting",  "done",      "failed",   "dropped"};
    static const char *const isolations[] = {"requested", "pending",  "isolated",
                                             "releasing", "released", "failed"};

    (void)state;
    for (int i = 0; i < CASE_STATES; i++) {
        assert_string_equal(case_state_name((enum case_state)i), cases[i]);
        assert_int_equal(case_state_parse(cases[i]), i);
    }
    assert_int_equal(case_state_parse("Done"), CASE_STATES);
    assert_int_equal(case_state_parse(""), CASE_STATES);
    for (int i = 0; i < ISOLATION_STATES; i++)
        assert_string_equal(isolation_state_name((enum isolation_state)i), isolations[i]);
}

struct judging {
    struct case_record c;
    const struct verdict *v;
    int64_t now;
};

static enum err_code judge_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct judging *j = arg;

    return case_judged(tx, &j->c, MACHINE, "{\"alert\":{}}", j->v, j->now, e);
}

static enum err_code end_steps_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct judging *j = arg;
    enum err_code code = step_move(tx, j->c.id, 0, STEP_FAILED, "no", j->now + 5, e);

    if (!code)
        code = step_move(tx, j->c.id, 2, STEP_DONE, NULL, j->now + 6, e);
    if (!code)
        code = case_join(tx, &j->c, 99, e);
    return code ? code : case_told(tx, &j->c, "requested", e);
}

static void test_store__a_verdict_is_kept_with_its_facts_and_steps(void **state)
{
    struct shelf *f = *state;
    struct verdict_step steps[] = {
        {.handler = "isolate", .acts = true, .args = "{\"type\":\"Full\"}"},
        {.handler = "isolate", .acts = true, .args = "{}", .withheld = "protected"},
        {.handler = "email", .args = "{}"},
    };
    const struct verdict v = {
        .rule = "contain", .doubt = "why not", .steps = steps, .n_steps = 3, .json = "{\"v\":1}"};
    struct acceptance a = accept_it(f, &(struct push){.alerts = {"da1_-1"}});
    struct judging j = {.c = case_of(f, a.cases[0]), .v = &v, .now = now_of(f) + 1};
    struct step_record *list;
    struct case_record c;
    size_t n;

    write_ok(f, judge_fn, &j);
    open_again(f);
    c = case_of(f, a.cases[0]);
    assert_int_equal(c.state, CASE_ACTING);
    assert_string_equal(c.machine_id, MACHINE);
    assert_string_equal(c.facts, "{\"alert\":{}}");
    assert_string_equal(c.verdict, "{\"v\":1}");
    assert_string_equal(c.rule, "contain");
    assert_string_equal(c.why, "why not");
    assert_int_equal(store_case_steps(f->s, f->a, c.id, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(list[0].state, STEP_WAITING);
    assert_int_equal(list[1].state, STEP_WITHHELD);
    assert_string_equal(list[1].why, "protected");
    assert_int_equal(list[2].state, STEP_WAITING);
    assert_string_equal(list[0].args, "{\"type\":\"Full\"}");
    write_ok(f, end_steps_fn, &j);
    assert_int_equal(store_case_steps(f->s, f->a, c.id, &list, &n, NULL), ERR_OK);
    assert_int_equal(list[0].state, STEP_FAILED);
    assert_string_equal(list[0].why, "no");
    assert_int_equal(list[1].state, STEP_WITHHELD);
    assert_int_equal(list[2].state, STEP_DONE);
    assert_null(list[2].why);
    assert_int_equal(list[2].updated, j.now + 6);
    assert_int_equal(case_of(f, c.id).isolation, 99);
    assert_string_equal(case_of(f, c.id).told, "requested");
}

struct final_move {
    struct case_record *c;
    enum case_state to;
    const struct work *w; /* ended with the move; NULL: none */
    int64_t now;
};

static enum err_code final_move_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct final_move *m = arg;
    enum err_code code = case_move(tx, m->c, m->to, NULL, m->now, e);

    return code || !m->w ? code : work_done(tx, m->w, e);
}

/* A case that `weak` pushed, brought to a state with a verdict that withheld something or did not. */
static struct case_record weak_case(struct shelf *f, const char *alert, enum case_state state,
                                    bool withheld)
{
    struct verdict_step steps[] = {
        {.handler = "isolate", .acts = true, .args = "{}", .withheld = withheld ? "no" : NULL},
        {.handler = "email", .args = "{}"},
    };
    const struct verdict v = {.rule = "r", .steps = steps, .n_steps = 2, .json = "{}"};
    struct acceptance a = accept_it(
        f, &(struct push){
               .source = "weak", .weak = true, .alerts = {alert}, .machine = OTHER, .claim = true});
    struct judging j = {.c = case_of(f, a.cases[0]), .v = &v, .now = now_of(f)};
    struct final_move m = {.c = &j.c, .to = state, .now = now_of(f)};

    assert_true(a.claimed);
    if (state == CASE_ACTING || state == CASE_WAITING || state == CASE_DONE)
        write_ok(f, judge_fn, &j);
    m.w = state == CASE_DONE || state == CASE_FAILED || state == CASE_DROPPED ? &a.work : NULL;
    if (state != CASE_RECEIVED && state != CASE_ACTING)
        write_ok(f, final_move_fn, &m);
    return case_of(f, a.cases[0]);
}

/* Ids are a tenant's own: the same one of another tenant is another case, also when it is pushed again. */
static void test_store__an_alert_that_comes_again_is_its_own_tenants(void **state)
{
    static const char *const tenants[] = {"contoso", "fabrikam"};
    struct shelf *f = *state;
    struct acceptance first[2];

    for (int i = 0; i < 2; i++)
        first[i] =
            accept_it(f, &(struct push){.tenant = tenants[i], .alerts = {"da1_-1"}, .weak = true});
    assert_true(first[0].cases[0] != first[1].cases[0]);
    for (int i = 0; i < 2; i++) {
        struct acceptance again = accept_it(
            f, &(struct push){.tenant = tenants[i], .source = "strong", .alerts = {"da1_-1"}});

        assert_int_equal(again.cases[0], first[i].cases[0]);
        assert_string_equal(case_of(f, again.cases[0]).tenant, tenants[i]);
        assert_string_equal(case_of(f, again.cases[0]).source, "strong");
    }
}

struct joining {
    int64_t *ids;
    size_t n;
    int64_t isolation;
};

static enum err_code join_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct joining *j = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < j->n && !code; i++)
        code = case_join(tx, &(struct case_record){.id = j->ids[i]}, j->isolation, e);
    return code;
}

/* Who may only notify must not keep a machine from being isolated by pushing its alert first. */
static void test_store__a_stronger_source_takes_a_case_over_once(void **state)
{
    static const struct {
        const char *label, *alert;
        enum case_state state;
        bool withheld, anew;
        bool isolated; /* it has joined an isolation */
    } rows[] = {
        {"not read yet", "da1_-1", CASE_RECEIVED, false, true, false},
        {"not readable so far", "da2_-1", CASE_EXPANDING, false, true, false},
        {"its steps are run", "da3_-1", CASE_ACTING, true, true, false},
        {"over, and people were told", "da4_-1", CASE_DONE, true, true, false},
        {"its steps are run, all of them", "da5_-1", CASE_ACTING, false, false, false},
        {"over, and nothing was withheld", "da6_-1", CASE_DONE, false, false, false},
        {"it waits for a person", "da10_-1", CASE_WAITING, true, true, false},
        {"it waits for an isolation", "da7_-1", CASE_WAITING, true, false, true},
        {"failed for good, and people were told", "da8_-1", CASE_FAILED, false, false, false},
        {"dropped by a person", "da9_-1", CASE_DROPPED, false, false, false},
        {"its steps are run, and it has an isolation", "db1_-1", CASE_ACTING, true, false, true},
        {"over, and it has an isolation", "db2_-1", CASE_DONE, true, false, true},
    };
    struct shelf *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct case_record before = weak_case(f, rows[i].alert, rows[i].state, rows[i].withheld), c;
        const struct push strong = {
            .source = "strong", .alerts = {rows[i].alert}, .machine = MACHINE};
        struct acceptance weak = accept_it(f, &(struct push){.source = "feeble",
                                                             .weak = true,
                                                             .alerts = {rows[i].alert},
                                                             .machine = MACHINE});
        struct step_record *steps;
        struct acceptance a;
        size_t n;

        print_message("  %s\n", rows[i].label);
        if (rows[i].isolated)
            write_ok(f, join_fn, &(struct joining){&before.id, 1, 77});
        assert_true(weak.duplicate);
        assert_int_equal(weak.reopened, 0);
        a = accept_it(f, &strong);
        assert_int_equal(a.cases[0], before.id);
        assert_false(a.fresh[0] || a.claimed);
        assert_int_equal(a.duplicate, !rows[i].anew);
        assert_int_equal(a.reopened, rows[i].anew);
        c = case_of(f, before.id);
        assert_int_equal(store_case_steps(f->s, f->a, c.id, &steps, &n, NULL), ERR_OK);
        if (rows[i].anew) {
            assert_int_equal(c.state, CASE_RECEIVED);
            assert_string_equal(c.source, "strong");
            assert_string_equal(c.pushed_machine_id, MACHINE);
            assert_int_equal(c.delivery, a.delivery);
            assert_int_equal(n, 0);
        } else {
            assert_int_equal(c.state, rows[i].state);
            assert_string_equal(c.source, "weak");
            assert_string_equal(c.pushed_machine_id, OTHER);
        }
        /* once */
        a = accept_it(f, &strong);
        assert_true(a.duplicate);
        assert_int_equal(a.reopened, 0);
    }
}

/* A source that was tried out first may isolate now, and its sender names each alert's delivery by the alert. */
static void test_store__a_source_that_may_isolate_since_is_heard_again(void **state)
{
    struct shelf *f = *state;
    struct push p = {.delivery_id = "alert-1",
                     .alerts = {"da1_-1", "da2_-2"},
                     .machine = MACHINE,
                     .sha = SHA_A,
                     .weak = true};
    struct acceptance first = accept_it(f, &p), a = accept_it(f, &p);

    assert_true(a.duplicate);
    assert_int_equal(a.reopened, 0);
    p.weak = false;
    p.sha = SHA_B; /* what stands in it is not looked at */
    a = accept_it(f, &p);
    assert_true(a.duplicate && a.other_body);
    assert_int_equal(a.reopened, 0);
    p.sha = SHA_A;
    a = accept_it(f, &p);
    assert_false(a.duplicate);
    assert_int_equal(a.reopened, 2);
    assert_int_equal(a.delivery, first.delivery);
    assert_memory_equal(a.cases, first.cases, 2 * sizeof *a.cases);
    assert_int_equal(total(f), 2);
    a = accept_it(f, &p); /* once */
    assert_true(a.duplicate);
    assert_int_equal(a.reopened, 0);
}

struct named {
    int64_t id, cases[INTAKE_BATCH_MAX];
    size_t n;
};

static enum err_code named_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct named *d = arg;

    return delivery_cases(tx, d->id, d->cases, &d->n, e);
}

/* A source that was given the wrong tenant first is put right, and its sender pushes what had failed again. */
static void test_store__a_source_that_is_another_tenants_since_is_heard_again(void **state)
{
    struct shelf *f = *state;
    struct push p = {.tenant = "fabrikam",
                     .delivery_id = "alert-1",
                     .alerts = {"da1_-1", "da2_-2"},
                     .sha = SHA_A,
                     .machine = MACHINE};
    struct acceptance first = accept_it(f, &p), a, again;
    struct named named;

    p.tenant = "contoso";
    p.sha = SHA_B; /* what stands in it is not looked at */
    a = accept_it(f, &p);
    assert_true(a.duplicate && a.other_body);
    assert_int_equal(total(f), 2);
    p.sha = SHA_A;
    p.claim = true;
    a = accept_it(f, &p);
    assert_false(a.duplicate);
    assert_int_equal(a.delivery, first.delivery);
    assert_int_equal(a.count, 2);
    assert_int_equal(total(f), 4);
    assert_true(a.claimed && a.work.id == a.cases[0]);
    for (size_t i = 0; i < 2; i++) {
        assert_true(a.fresh[i]);
        assert_string_equal(case_of(f, a.cases[i]).tenant, "contoso");
        assert_string_equal(case_of(f, a.cases[i]).alert_id, p.alerts[i]);
        assert_string_equal(case_of(f, a.cases[i]).pushed_machine_id, MACHINE);
        assert_string_equal(case_of(f, first.cases[i]).tenant, "fabrikam");
    }
    again = accept_it(f, &p); /* once */
    assert_true(again.duplicate);
    assert_memory_equal(again.cases, a.cases, 2 * sizeof *a.cases);
    assert_int_equal(total(f), 4);
    named.id = a.delivery; /* whoever follows the delivery is told of them, too */
    assert_int_equal(db_read(f->s->db, named_fn, &named, NULL), ERR_OK);
    assert_int_equal(named.n, 2);
    assert_memory_equal(named.cases, a.cases, 2 * sizeof *a.cases);
}

/* Whoever works on it for the weaker source has read what that one may: nothing of it is written. */
static void test_store__who_works_for_the_weaker_source_loses_the_claim(void **state)
{
    struct shelf *f = *state;
    struct acceptance a = accept_it(
        f, &(struct push){.source = "weak", .weak = true, .alerts = {"da1_-1"}, .claim = true});
    size_t room[WORK_KINDS] = {10, 10, 10}, n;
    struct final_move m = {.to = CASE_DONE, .w = &a.work, .now = now_of(f)};
    struct case_record c = case_of(f, a.cases[0]);
    struct work w[10];
    struct err e = {0};
    int64_t next;

    m.c = &c;
    m.to = CASE_FAILED;
    (void)accept_it(f, &(struct push){.source = "strong", .alerts = {"da1_-1"}});
    assert_int_equal(db_write(f->s->db, final_move_fn, &m, &e), ERR_STALE);
    assert_int_equal(case_of(f, a.cases[0]).state, CASE_RECEIVED);
    assert_int_equal(store_work_claim(f->s, "t", room, 10, w, &n, &next, NULL), ERR_OK);
    assert_int_equal(n, 1); /* due at once, for whoever is free */
    assert_int_equal(w[0].id, a.cases[0]);
}

static void test_store__lists_show_every_case_once_newest_first(void **state)
{
    struct shelf *f = *state;
    struct case_filter filter = {.limit = 7};
    struct case_record *list;
    int64_t ids[25], middle;
    size_t n, seen = 0;

    for (size_t i = 0; i < COUNT(ids); i++) {
        ids[i] = accept_it(f, &(struct push){.tenant = i % 5 ? "contoso" : "fabrikam",
                                             .alerts = {arena_fmt(f->a, "da%zu_-1", i)}})
                     .cases[0];
        hands_turn(&f->hands, 1000);
    }
    do {
        assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(list[i].id, ids[COUNT(ids) - 1 - seen++]);
        if (n)
            filter.before_id = list[n - 1].id;
    } while (n == filter.limit);
    assert_int_equal(seen, COUNT(ids));

    filter = (struct case_filter){.limit = 100, .tenant = "fabrikam"};
    assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 5);
    middle = case_of(f, ids[20]).created;
    filter = (struct case_filter){.limit = 100, .since = middle};
    assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 5);
    write_ok(f, move_fn,
             &(struct moving){.c = case_of(f, ids[3]), .to = CASE_FAILED, .now = now_of(f)});
    filter = (struct case_filter){.limit = 100, .state = "failed"};
    assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].id, ids[3]);
    filter = (struct case_filter){.limit = 100, .state = "received", .tenant = "contoso"};
    assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 19);
}

/* So many cases that are done, however they came to be. */
static enum err_code done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *n = arg;
    enum err_code code = ERR_OK;

    for (int64_t i = 0; i < *n && !code; i++) {
        char alert[32];

        (void)snprintf(alert, sizeof alert, "done%d_-1", (int)i);
        code = db_run(
            tx, e, NULL,
            "INSERT INTO cases (id, tenant, alert_id, source, delivery, state, created, updated)"
            " VALUES ($1, 'contoso', $2, 'relay', 0, 'done', 1, 1)",
            "it", id_new(clock_system()), alert);
    }
    return code;
}

/* What an overview asks of the store, in steps; the counts in ret. */
static int64_t overview_costs(struct shelf *f, int64_t ret[CASE_STATES])
{
    static const char *const states[] = {"failed", "waiting", "dropped"};
    int64_t from = steps_taken();

    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        const struct case_filter of = {.state = states[i], .limit = 15};
        struct case_record *list;
        size_t n = 0;

        assert_int_equal(store_case_list(f->s, f->a, &of, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        assert_string_equal(case_state_name(list[0].state), states[i]);
    }
    assert_int_equal(store_case_count(f->s, ret, NULL), ERR_OK);
    return steps_taken() - from;
}

/* Whoever looks at three in the morning, and Prometheus four times a minute, waits for no row of a busy year. */
static void test_store__an_overview_looks_at_no_case_that_is_done(void **state)
{
    static const struct {
        int at;
        enum case_state to;
    } moves[] = {{0, CASE_FAILED},
                 {1, CASE_ACTING},
                 {1, CASE_WAITING},
                 {2, CASE_DROPPED},
                 {3, CASE_EXPANDING}};
    struct shelf *f = *state;
    int64_t ids[5], counts[CASE_STATES], steps, more = 5000;

    steps_watch();
    open_again(f);
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = accept_it(f, &(struct push){.alerts = {arena_fmt(f->a, "da%zu_-1", i)}}).cases[0];
    for (size_t i = 0; i < COUNT(moves); i++)
        write_ok(f, move_fn,
                 &(struct moving){
                     .c = case_of(f, ids[moves[i].at]), .to = moves[i].to, .now = now_of(f)});
    write_ok(f, done_fn, &more);
    steps = overview_costs(f, counts);
    steps_unwatch();
    for (int i = 0; i < CASE_STATES; i++)
        assert_int_equal(counts[i], i == CASE_DONE                           ? more
                                    : i == CASE_DECIDING || i == CASE_ACTING ? 0
                                                                             : 1);
    if (strncmp(f->url, "sqlite:", 7) == 0)
        assert_in_range(steps, 0, more / 2);
}

struct beginning {
    int64_t now, rows, steps;
};

/* So many rows more, and what it costs to hurry those of another moment. */
static enum err_code begin_early_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct beginning *b = arg;
    enum err_code code = ERR_OK;
    int64_t from;

    for (int64_t i = 0; i < b->rows && !code; i++)
        code = work_put(tx, id_new(clock_system()), WORK_CASE, WORK_NORMAL, b->now + i, b->now,
                        NULL, e);
    from = steps_taken();
    for (int i = 0; i < 50 && !code; i++)
        code = work_begin_early(tx, WORK_CASE, WORK_NORMAL, b->now + HOUR_MS, b->now, e);
    b->steps = steps_taken() - from;
    return code;
}

/* A question ends while thousands of other cases wait for their turn. */
static void test_store__who_begins_early_is_found_without_a_look_at_all_work(void **state)
{
    struct shelf *f = *state;
    struct beginning few = {.now = now_of(f)}, many = {.now = now_of(f), .rows = 20000};

    steps_watch();
    open_again(f);
    steps_unwatch();
    write_ok(f, begin_early_fn, &few);
    write_ok(f, begin_early_fn, &many);
    assert_true(few.steps > 0);
    assert_in_range(many.steps, 0, 3 * few.steps);
}

/* Bytes that this process has read from files, whoever had them in memory. */
static int64_t bytes_read(void)
{
    FILE *f = fopen("/proc/self/io", "re");
    long long n = -1;

    if (f && fscanf(f, "rchar: %lld", &n) != 1)
        n = -1;
    if (f)
        (void)fclose(f);
    return n;
}

static enum err_code fatten_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return db_run(tx, e, NULL, "UPDATE cases SET facts = $1, verdict = $2", "tt", arg, arg);
}

/* There are hundreds of thousands of cases, and people look at the console while they pull the kill switch. */
static void test_store__a_list_does_not_read_the_facts_of_what_it_leaves_out(void **state)
{
    static const size_t facts_len = (size_t)100 * 1024;
    const struct case_filter filters[] = {{.limit = 9, .state = "failed"},
                                          {.limit = 9, .tenant = "fabrikam"},
                                          {.limit = 9, .alert_id = "da0_-1"},
                                          {.limit = 9, .not_isolated = true}};
    static const size_t found[] = {0, 0, 1, 0};
    struct shelf *f = *state;
    char *facts = arena_alloc(f->a, facts_len + 1);

    assert_non_null(facts);
    memset(facts, 'x', facts_len);
    facts[facts_len] = '\0';
    for (size_t i = 0; i < 60; i++)
        (void)accept_it(f, &(struct push){.alerts = {arena_fmt(f->a, "da%zu_-1", i)}});
    write_ok(f, fatten_fn, facts);
    for (size_t i = 0; i < COUNT(filters); i++) {
        struct case_record *list;
        int64_t before;
        size_t n;

        open_again(f); /* nothing is in its memory */
        before = bytes_read();
        if (before < 0)
            skip();
        assert_int_equal(store_case_list(f->s, f->a, &filters[i], &list, &n, NULL), ERR_OK);
        assert_int_equal(n, found[i]);
        assert_in_range(bytes_read() - before, 0, 10 * facts_len); /* all of it is 120 times that */
    }
}

static void test_store__cases_of_an_isolation_are_listed_oldest_first(void **state)
{
    struct shelf *f = *state;
    int64_t ids[6];
    struct case_filter filter = {.limit = 2, .isolation = 77};
    struct case_record *list;
    size_t n, seen = 0;

    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = accept_it(f, &(struct push){.alerts = {arena_fmt(f->a, "da%zu_-1", i)}}).cases[0];
    write_ok(f, join_fn, &(struct joining){ids, 5, 77});
    do {
        assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(list[i].id, ids[seen++]);
        if (n)
            filter.after_id = list[n - 1].id;
    } while (n == filter.limit);
    assert_int_equal(seen, 5);
    filter = (struct case_filter){.limit = 9, .isolation = 77, .state = "waiting"};
    assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
}

static void test_store__what_is_not_there_is_not_found(void **state)
{
    struct shelf *f = *state;
    struct isolation_record r;
    struct notice_record notice;
    struct step_record *steps;
    struct case_record c;
    size_t n = 9;
    struct err e = {0};

    assert_int_equal(store_case_load(f->s, f->a, 5, &c, &e), ERR_NOT_FOUND);
    assert_int_equal(store_isolation_load(f->s, f->a, 5, &r, &e), ERR_NOT_FOUND);
    assert_int_equal(store_notice_load(f->s, f->a, 5, &notice, &e), ERR_NOT_FOUND);
    assert_int_equal(store_case_steps(f->s, f->a, 5, &steps, &n, &e), ERR_OK);
    assert_int_equal(n, 0);
}

/* ---- isolations ------------------------------------------------------------------------------------------------- */

static enum err_code insert_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct isolating *i = arg;

    return isolation_insert(tx, &i->r, e);
}

static enum err_code isolation_move_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct isolating *i = arg;

    return isolation_move(tx, &i->r, i->to, "w", i->now, e);
}

static void isolation_move_nowhere(void *arg)
{
    struct isolating *i = arg;
    struct err e;

    (void)isolation_move(NULL, &i->r, i->to, NULL, 0, &e);
}

static const char *const isolation_ways[ISOLATION_STATES] = {
    [ISOLATION_REQUESTED] = "requested pending isolated released failed",
    [ISOLATION_PENDING] = "pending isolated released failed",
    [ISOLATION_ISOLATED] = "isolated releasing released",
    [ISOLATION_RELEASING] = "releasing isolated released",
    [ISOLATION_RELEASED] = "",
    [ISOLATION_FAILED] = "",
};

static void test_store__an_isolation_moves_as_drawn_and_no_other_way(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f), id = 1;

    for (int from = 0; from < ISOLATION_STATES; from++)
        for (int to = 0; to < ISOLATION_STATES; to++, id++) {
            struct isolating i = {.r = isolation(id, arena_fmt(f->a, "%040x", (unsigned)id), now),
                                  .now = now + 10,
                                  .to = (enum isolation_state)to};

            i.r.state = (enum isolation_state)from;
            write_ok(f, insert_fn, &i);
            if (is_one_of(isolation_ways[from], isolation_state_name(i.to))) {
                struct isolation_record r;

                i.r.action_id = "a1";
                i.r.requestor = "somebody";
                i.r.adopted = true;
                i.r.posted = now + 3;
                write_ok(f, isolation_move_fn, &i);
                assert_int_equal(store_isolation_load(f->s, f->a, id, &r, NULL), ERR_OK);
                assert_int_equal(r.state, to);
                assert_string_equal(r.action_id, "a1");
                assert_string_equal(r.requestor, "somebody");
                assert_true(r.adopted);
                assert_int_equal(r.posted, now + 3);
                assert_string_equal(r.why, "w");
                assert_int_equal(r.updated, now + 10);
                assert_int_equal(r.confirmed, to == ISOLATION_ISOLATED ? now + 10 : 0);
                assert_int_equal(r.released, to == ISOLATION_RELEASED ? now + 10 : 0);
                assert_int_equal(i.r.state, to);
            } else if (!aborts(isolation_move_nowhere, &i)) {
                fail_msg("%s became %s", isolation_state_name(i.r.state),
                         isolation_state_name(i.to));
            }
        }
}

static void test_store__the_first_confirmation_stands(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f);
    struct isolating i = {.r = isolation(1, MACHINE, now), .now = now + 10};

    write_ok(f, insert_fn, &i);
    i.to = ISOLATION_ISOLATED;
    write_ok(f, isolation_move_fn, &i);
    i.now = now + 20;
    write_ok(f, isolation_move_fn, &i);
    assert_int_equal(i.r.confirmed, now + 10);
}

/* The partial unique index is the guard: two processes that both saw none cannot both begin. */
static void test_store__a_machine_has_one_open_isolation(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f), id = 0;

    for (int s = 0; s < ISOLATION_STATES; s++) {
        const char *machine = arena_fmt(f->a, "%040x", (unsigned)s);
        struct isolating first = {.r = isolation(++id, machine, now)};
        struct isolating second = {.r = isolation(++id, machine, now)};
        struct isolating elsewhere = {.r = isolation(++id, machine, now)};
        bool open = isolation_is_open((enum isolation_state)s);
        struct err e = {0};

        first.r.state = (enum isolation_state)s;
        elsewhere.r.tenant = "fabrikam";
        write_ok(f, insert_fn, &first);
        write_ok(f, insert_fn, &elsewhere);
        print_message("  %s\n", isolation_state_name(first.r.state));
        assert_int_equal(db_write(f->s->db, insert_fn, &second, &e), open ? ERR_CONFLICT : ERR_OK);
        assert_int_equal(open, s != ISOLATION_RELEASED && s != ISOLATION_FAILED);
    }
}

static enum err_code two_at_once_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct isolating *i = arg;
    enum err_code code = work_put(tx, 4711, WORK_CASE, WORK_NORMAL, 0, 0, NULL, e);

    return code ? code : isolation_insert(tx, &i->r, e);
}

static void test_store__a_refused_isolation_takes_its_transaction_with_it(void **state)
{
    struct shelf *f = *state;
    struct isolating i = {.r = isolation(1, MACHINE, now_of(f))};
    int64_t work[WORK_KINDS];

    write_ok(f, insert_fn, &i);
    i.r.id = 2;
    assert_int_equal(db_write(f->s->db, two_at_once_fn, &i, NULL), ERR_CONFLICT);
    assert_int_equal(store_work_count(f->s, work, NULL), ERR_OK);
    assert_int_equal(work[WORK_CASE], 0);
}

struct looking {
    struct arena *a;
    const char *tenant, *machine;
    struct isolation_record r;
    bool found;
    int64_t since, count;
};

static enum err_code find_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct looking *l = arg;

    return isolation_find_open(tx, l->a, l->tenant, l->machine, &l->r, &l->found, e);
}

static enum err_code count_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct looking *l = arg;

    return isolation_count_since(tx, l->since, &l->count, e);
}

static void test_store__finds_the_open_isolation_of_a_machine(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f);
    struct isolating old = {.r = isolation(1, MACHINE, now)},
                     other = {.r = isolation(2, OTHER, now)},
                     open = {.r = isolation(3, MACHINE, now)};
    struct looking l = {.a = f->a, .tenant = "contoso", .machine = MACHINE};

    old.r.state = ISOLATION_RELEASED;
    write_ok(f, insert_fn, &old);
    write_ok(f, insert_fn, &other);
    write_ok(f, find_fn, &l);
    assert_false(l.found);
    write_ok(f, insert_fn, &open);
    write_ok(f, find_fn, &l);
    assert_true(l.found);
    assert_int_equal(l.r.id, 3);
    l.tenant = "fabrikam";
    write_ok(f, find_fn, &l);
    assert_false(l.found);
}

/* What cordon itself asked for, of all tenants, whatever came of it. */
static void test_store__limits_count_what_was_asked_for(void **state)
{
    struct shelf *f = *state;
    int64_t now = now_of(f);
    static const struct {
        int64_t age;
        bool adopted;
        enum isolation_state state;
        const char *tenant;
    } rows[] = {
        {HOUR_MS + 1, false, ISOLATION_ISOLATED, "contoso"},
        {HOUR_MS, false, ISOLATION_FAILED, "contoso"},
        {MINUTE_MS, false, ISOLATION_RELEASED, "fabrikam"},
        {MINUTE_MS, true, ISOLATION_ISOLATED, "contoso"},
        {0, false, ISOLATION_REQUESTED, "contoso"},
    };
    struct looking l = {.since = now - HOUR_MS};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct isolating x = {.r = isolation((int64_t)i + 1, arena_fmt(f->a, "%040x", (unsigned)i),
                                             now - rows[i].age)};

        x.r.adopted = rows[i].adopted;
        x.r.state = rows[i].state;
        x.r.tenant = rows[i].tenant;
        write_ok(f, insert_fn, &x);
    }
    write_ok(f, count_fn, &l);
    assert_int_equal(l.count, 3);
    l.since = now - DAY_MS;
    write_ok(f, count_fn, &l);
    assert_int_equal(l.count, 4);
    l.since = now + 1;
    write_ok(f, count_fn, &l);
    assert_int_equal(l.count, 0);
}

static void test_store__the_ledger_is_listed_newest_first(void **state)
{
    struct shelf *f = *state;
    int64_t counts[ISOLATION_STATES];
    struct isolation_filter filter = {.limit = 4};
    struct isolation_record *list;
    size_t n, seen = 0;

    for (int64_t i = 1; i <= 10; i++) {
        struct isolating x = {.r = isolation(i, arena_fmt(f->a, "%040x", (unsigned)i), now_of(f))};

        x.r.state = i == 5   ? ISOLATION_RELEASING
                    : i == 7 ? ISOLATION_REQUESTED
                    : i % 2  ? ISOLATION_ISOLATED
                             : ISOLATION_FAILED;
        x.r.machine_name = i == 3 ? "ws-3" : NULL;
        write_ok(f, insert_fn, &x);
    }
    do {
        assert_int_equal(store_isolation_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(list[i].id, 10 - (int64_t)seen++);
        if (n)
            filter.before_id = list[n - 1].id;
    } while (n == filter.limit);
    assert_int_equal(seen, 10);
    filter = (struct isolation_filter){.limit = 100, .open_only = true};
    assert_int_equal(store_isolation_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 5);
    assert_int_equal(list[3].id, 3);
    assert_string_equal(list[3].machine_name, "ws-3");
    assert_null(list[2].machine_name);
    assert_int_equal(store_isolation_count(f->s, counts, NULL), ERR_OK);
    assert_int_equal(counts[ISOLATION_ISOLATED], 3);
    assert_int_equal(counts[ISOLATION_FAILED], 5);
    assert_int_equal(counts[ISOLATION_PENDING], 0);
    for (int by_id = 0; by_id < 2; by_id++) { /* as people write it */
        filter.machine = by_id ? "000000000000000000000000000000000000000A" : "WS-3";
        filter.open_only = !by_id;
        assert_int_equal(store_isolation_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        assert_int_equal(list[0].id, by_id ? 10 : 3);
    }
}

/* ---- notices
 * -------------------------------------------------------------------------------------------------------- */

struct noting {
    struct arena *arena;
    struct shelf *f;
    int64_t id, case_id, now;
    const char *to[3];
    struct recipient_record who[3];
    int64_t n, moved, ended; /* recipient_move of recipient n, notice_end */
    enum recipient_state state;
    bool known;
};

static enum err_code notice_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct noting *x = arg;
    struct notice_record r = {.id = x->id,
                              .case_id = x->case_id,
                              .kind = "alert",
                              .subject = "s",
                              .sender = "cordon@contoso.example",
                              .message = "Subject: s\r\n\r\nbody\r\n",
                              .recipients = x->who};
    struct notice_thread thread;
    enum err_code code = notice_thread(tx, x->arena, x->case_id, "t", &thread, e);

    for (; r.n_recipients < 3 && x->to[r.n_recipients]; r.n_recipients++)
        x->who[r.n_recipients].address = x->to[r.n_recipients];
    if (code)
        return code;
    r.after = thread.last_of_case;
    return notice_insert(tx, &r, x->now, e);
}

static void notice(struct shelf *f, int64_t id, int64_t case_id, const char *to, const char *to2)
{
    struct noting x = {
        .arena = f->a, .id = id, .case_id = case_id, .now = now_of(f), .to = {to, to2}};

    write_ok(f, notice_fn, &x);
}

static enum err_code tried_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct noting *x = arg;
    enum err_code code = recipient_move(tx, x->id, x->n, x->state, 250, "2.0.0 taken", x->now, e);

    if (!code && x->state != RECIPIENT_WAITING)
        code = notice_release(tx, x->id, x->now, e);
    return code;
}

static void tried(struct shelf *f, int64_t id, int64_t case_id, int64_t n,
                  enum recipient_state state)
{
    struct noting x = {.id = id, .case_id = case_id, .now = now_of(f), .n = n, .state = state};

    write_ok(f, tried_fn, &x);
}

static void test_store__a_later_notice_waits_until_the_one_before_was_tried(void **state)
{
    struct shelf *f = *state;
    struct work w;

    notice(f, 101, 1, "a@contoso.example", "b@contoso.example");
    hands_turn(&f->hands, 1);
    notice(f, 102, 1, "a@contoso.example", NULL);
    notice(f, 103, 1, "a@contoso.example", NULL);
    notice(f, 201, 2, "a@contoso.example", NULL); /* another thread of mails */
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 101);
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 201);
    assert_false(claim_one(f, &w));
    tried(f, 101, 1, 0, RECIPIENT_WAITING); /* the server was away: nobody has got it */
    assert_false(claim_one(f, &w));
    tried(f, 101, 1, 1, RECIPIENT_SENT); /* one has: the thread goes on */
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 102);
    assert_false(claim_one(f, &w)); /* 103 waits for 102 */
    tried(f, 102, 1, 0, RECIPIENT_REFUSED);
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 103);
    notice(f, 104, 1, "a@contoso.example", NULL); /* 103 is claimed, not tried */
    assert_false(claim_one(f, &w));
    tried(f, 103, 1, 0, RECIPIENT_SENT);
    notice(f, 105, 1, "a@contoso.example", NULL);
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 104);
    assert_false(claim_one(f, &w));
}

static enum err_code hurry_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct noting *x = arg;

    return notice_hurry(tx, x->id, x->now, e);
}

/* Whoever hurries one that waits for the one before it sends it no sooner than that. */
static void test_store__a_hurried_notice_waits_for_the_one_before_all_the_same(void **state)
{
    struct shelf *f = *state;
    struct noting x = {.id = 102};
    struct work w;

    notice(f, 101, 1, "a@contoso.example", NULL);
    notice(f, 102, 1, "a@contoso.example", NULL);
    x.now = now_of(f);
    write_ok(f, hurry_fn, &x);
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 101);
    assert_false(claim_one(f, &w));
    tried(f, 101, 1, 0, RECIPIENT_SENT);
    assert_true(claim_one(f, &w));
    assert_int_equal(w.id, 102);
}

/* Is mail `before` one of those that go before mail `id`? kind "digest": of a burst. */
static bool goes_first(struct shelf *f, int64_t before, int64_t id, int64_t case_id, int64_t since)
{
    const struct notice_record n = {
        .id = id, .case_id = case_id, .kind = case_id ? "alert" : "digest", .about = "burst:1"};
    int64_t *ids = NULL;
    size_t count = 0;
    bool found = false;

    assert_int_equal(store_notice_earlier(f->s, f->a, &n, since, &ids, &count, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++)
        found = found || ids[i] == before;
    return found;
}

static void test_store__what_waits_for_the_same_people_goes_first(void **state)
{
    struct shelf *f = *state;
    int64_t now;

    notice(f, 101, 1, "a@contoso.example", "b@contoso.example");
    notice(f, 102, 1, "b@contoso.example", NULL);
    notice(f, 103, 1, "c@contoso.example", NULL);
    notice(f, 201, 2, "b@contoso.example", NULL);
    now = now_of(f);
    assert_true(goes_first(f, 101, 102, 1, now)); /* it was not tried yet */
    assert_false(goes_first(f, 102, 101, 1, now));
    assert_false(goes_first(f, 101, 103, 1, now)); /* for somebody else */
    assert_false(goes_first(f, 101, 201, 2, now)); /* of another case */
    assert_false(goes_first(f, 101, 201, 0, now));
    tried(f, 101, 1, 1, RECIPIENT_WAITING);
    assert_false(goes_first(f, 101, 102, 1, now)); /* it has just had its turn */
    assert_true(goes_first(f, 101, 102, 1, now + 1));
    tried(f, 101, 1, 1, RECIPIENT_SENT);
    assert_false(goes_first(f, 101, 102, 1, now + 1)); /* who waits has got it */
}

#define TOLD "30000" /* notices that were sent long ago */

static enum err_code told_fn(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(
        tx, e, NULL,
        "INSERT INTO notices (id, case_id, kind, subject, sender, message, state, after, created, ended)"
        " WITH RECURSIVE t(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM t WHERE i < 1000 + " TOLD
        ")"
        " SELECT i, i, 'alert', 's', 'cordon@contoso.example', 'm', 'sent', 0, 1, 1 FROM t",
        "");
}

/* Of this process: on PostgreSQL it is next to nothing. */
static int64_t cpu_of_looks_ms(struct shelf *f, int64_t case_id)
{
    struct timespec from, to;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int i = 0; i < 200; i++)
        (void)goes_first(f, 101, 100000, case_id, now_of(f));
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

/* Before each mail it is asked what goes first: that reads what waits, not all that was ever told. */
static void test_store__what_goes_first_is_found_among_many_that_were_told(void **state)
{
    struct shelf *f = *state;
    int64_t few[2], many[2];

    notice(f, 101, 1, "a@contoso.example", NULL);
    notice(f, 100000, 1, "a@contoso.example", NULL);
    assert_true(goes_first(f, 101, 100000, 1, now_of(f)));
    for (int i = 0; i < 2; i++)
        few[i] = cpu_of_looks_ms(f, i);
    write_ok(f, told_fn, NULL);
    assert_true(goes_first(f, 101, 100000, 1, now_of(f)));
    for (int i = 0; i < 2; i++) {
        many[i] = cpu_of_looks_ms(f, i);
        if (many[i] > 5 * few[i] + 100)
            fail_msg("%d: %lld ms of CPU, and %lld ms without " TOLD " of long ago", i,
                     (long long)many[i], (long long)few[i]);
    }
}

struct threading {
    struct arena *a;
    int64_t case_id, id, first, last;
    const char **to, *sender;
    size_t n;
};

static enum err_code sender_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct threading *t = arg;

    return notice_sender(tx, t->a, t->id, &t->sender, e);
}

static enum err_code thread_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct threading *t = arg;
    struct notice_thread thread = {0};
    enum err_code code = notice_thread(tx, t->a, t->case_id, "t", &thread, e);

    t->first = thread.first;
    t->last = thread.last;
    return code ? code : notice_audience(tx, t->a, t->case_id, &t->to, &t->n, e);
}

static void test_store__a_thread_knows_its_ends_and_its_audience(void **state)
{
    struct shelf *f = *state;
    struct threading t = {.a = f->a, .case_id = 1};

    write_ok(f, thread_fn, &t);
    assert_int_equal(t.first, 0);
    assert_int_equal(t.last, 0);
    assert_int_equal(t.n, 0);
    notice(f, 101, 1, "b@contoso.example", "a@contoso.example");
    notice(f, 102, 1, "a@contoso.example", "c@contoso.example");
    notice(f, 201, 2, "d@contoso.example", NULL);
    write_ok(f, thread_fn, &t);
    assert_int_equal(t.first, 101);
    assert_int_equal(t.last, 102);
    assert_int_equal(t.n, 3); /* each once */
    assert_string_equal(t.to[0], "a@contoso.example");
    assert_string_equal(t.to[1], "b@contoso.example");
    assert_string_equal(t.to[2], "c@contoso.example");
    t.id = 102;
    write_ok(f, sender_fn, &t);
    assert_string_equal(t.sender, "cordon@contoso.example");
    t.id = 7;
    write_ok(f, sender_fn, &t);
    assert_null(t.sender);
}

static enum err_code end_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct noting *x = arg;

    return notice_end(tx, x->id, "failed", "nobody took it", x->now, e);
}

static void test_store__a_notice_keeps_its_bytes_and_each_recipients_fate(void **state)
{
    struct shelf *f = *state;
    struct notice_record r, *list;
    size_t n;

    notice(f, 101, 1, "a@contoso.example", "b@contoso.example");
    notice(f, 102, 1, "a@contoso.example", NULL);
    tried(f, 101, 1, 1, RECIPIENT_REFUSED);
    write_ok(f, end_fn, &(struct noting){.id = 102, .now = now_of(f) + 9});
    open_again(f);
    assert_int_equal(store_notice_load(f->s, f->a, 101, &r, NULL), ERR_OK);
    assert_string_equal(r.message, "Subject: s\r\n\r\nbody\r\n");
    assert_string_equal(r.state, "waiting");
    assert_int_equal(r.after, 0);
    assert_int_equal(r.n_recipients, 2);
    assert_string_equal(r.recipients[0].address, "a@contoso.example");
    assert_int_equal(r.recipients[0].state, RECIPIENT_WAITING);
    assert_null(r.recipients[0].reply);
    assert_int_equal(r.recipients[1].state, RECIPIENT_REFUSED);
    assert_int_equal(r.recipients[1].code, 250);
    assert_string_equal(r.recipients[1].reply, "2.0.0 taken");
    assert_int_equal(store_notice_list(f->s, f->a, 1, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_null(list[0].message); /* lists are for looking at */
    assert_int_equal(list[1].after, 101);
    assert_string_equal(list[1].state, "failed");
    assert_string_equal(list[1].why, "nobody took it");
    assert_int_equal(list[1].ended, now_of(f) + 9);
    assert_string_equal(recipient_state_name(RECIPIENT_SENT), "sent");
}

/* What is told of a case: how it stands, and what came of two of its steps, one of them twice; to people or a webhook. */
static const struct {
    int64_t id, case_id;
    const char *kind, *said, *channel;
} matters[] = {
    {301, 1, "alert", "ALERT", NULL},
    {302, 1, "not_isolated", "NOT ISOLATED: x", NULL},
    {303, 1, "action_failed", "NOT DONE: tag: x", NULL},
    {304, 1, "action_failed", "NOT DONE: scan: x", NULL},
    {305, 1, "action_failed", "NOT DONE: tag: x", NULL},
    {306, 2, "alert", "ALERT", NULL},
    {307, 1, "action_failed", "NOT DONE: tag: x", "webhook:siem"},
    {308, 1, "action_done", "DONE: scan", "webhook:siem"},
    {309, 1, "alert", "ALERT", "desk"},
};
#define MATTERS_DIGEST 400

static enum err_code matters_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct noting *x = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < sizeof matters / sizeof *matters && !code; i++) {
        struct recipient_record to = {.address = "a@contoso.example"};
        struct notice_record r = {.id = matters[i].id,
                                  .case_id = matters[i].case_id,
                                  .kind = matters[i].kind,
                                  .said = matters[i].said,
                                  .channel = matters[i].channel,
                                  .subject = "s",
                                  .sender = "cordon@contoso.example",
                                  .message = "m",
                                  .recipients = &to,
                                  .n_recipients = 1};

        code = notice_insert(tx, &r, x->now, e);
        if (!code && !r.channel)
            code = notice_grouped(tx, r.id, r.case_id, MATTERS_DIGEST, x->now, e);
    }
    return code;
}

static enum err_code matters_told_fn(struct db_tx *tx, void *arg, struct err *e)
{
    static const int64_t left[] = {302, 304, 305, 306}; /* of each matter the newest */
    struct noting *x = arg;
    struct notice_record *list, like = {.case_id = 1, .kind = "", .created = x->now};
    const char **channels;
    bool known = false, failed = true;
    size_t n = 0;

    assert_int_equal(notice_digest(tx, x->arena, MATTERS_DIGEST, &list, &n, e), ERR_OK);
    assert_int_equal(n, sizeof left / sizeof *left);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list[i].id, left[i]);
    assert_int_equal(notice_channels(tx, x->arena, 1, &channels, &n, e), ERR_OK);
    assert_int_equal(n, 2);
    assert_string_equal(channels[0], "desk");
    assert_string_equal(channels[1], "webhook:siem");
    assert_int_equal(notice_channel_step(tx, 1, "webhook:siem", "action_failed", "NOT DONE: tag: x",
                                         x->now, &known, &failed, e),
                     ERR_OK);
    assert_true(known && !failed);
    assert_int_equal(notice_channel_step(tx, 1, "webhook:siem", "action_failed", "NOT DONE: tag: x",
                                         x->now + 1, &known, &failed, e),
                     ERR_OK);
    assert_false(known || failed);
    assert_int_equal(notice_may_be_mailed(tx, &like, &known, e), ERR_OK);
    assert_true(known);
    like.created++;
    return notice_may_be_mailed(tx, &like, &x->known, e);
}

static void test_store__each_matter_of_a_case_is_told_apart(void **state)
{
    struct shelf *f = *state;
    struct noting x = {.arena = f->a, .f = f, .now = now_of(f), .known = true};

    write_ok(f, matters_fn, &x);
    write_ok(f, matters_told_fn, &x);
    assert_false(x.known);
}

/* ---- readers beside the writer
 * ----------------------------------------------------------------------------------------- */

static void test_store__a_second_server_is_refused_and_a_reader_is_not(void **state)
{
    struct shelf *f = *state;
    struct store *second = NULL;
    struct case_record c;
    struct err e = {0};
    struct acceptance a = accept_it(f, &(struct push){.alerts = {"da1_-1"}});

    assert_int_equal(store_open(f->url, false, &f->hands.clock, &second, &e), ERR_CONFLICT);
    assert_null(second);
    assert_int_equal(store_open(f->url, true, &f->hands.clock, &second, &e), ERR_OK);
    assert_int_equal(store_case_load(second, f->a, a.cases[0], &c, NULL), ERR_OK);
    assert_int_equal(store_work_recover(second, &e), ERR_REFUSED);
    store_free(second);
}

/* What shadow mode held back, by rule; a policy by its hash. */
struct held {
    struct shelf *f;
    int64_t now;
    size_t n_counts, n_steps;
    struct digest_count *counts;
    struct digest_step *steps;
    int64_t told;
};

static enum err_code held_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct held *h = arg;
    enum err_code code = digest_begin(tx, h->now, h->now, e);

    if (!code)
        code = digest_begin(tx, h->now + 1, h->now, e); /* it is there already */
    if (!code)
        code = db_run(
            tx, e, NULL,
            "INSERT INTO cases (id, tenant, alert_id, source, delivery, machine_id, state,"
            " rule, created, updated) VALUES ($1, 'contoso', 'da1', 'relay', 1, 'm1', 'done',"
            " 'contain', $2, $3)",
            "iii", id_of_time(h->now) + 1, h->now, h->now);
    if (!code)
        code =
            db_run(tx, e, NULL,
                   "INSERT INTO steps (case_id, n, handler, args, state, why, updated) VALUES"
                   " ($1, 0, 'isolate', '{}', 'withheld', 'shadow mode: nothing is done', $2),"
                   " ($3, 1, 'isolate', '{}', 'withheld', 'protected: x', $4)",
                   "iiii", id_of_time(h->now) + 1, h->now + 5, id_of_time(h->now) + 1, h->now + 5);
    if (!code)
        code = digest_counts(tx, h->f->a, h->now, h->now + 5, &h->counts, &h->n_counts, e);
    if (!code)
        code = digest_steps(tx, h->f->a, h->now, h->now + 5, 10, &h->steps, &h->n_steps, e);
    if (!code)
        code = digest_told(tx, &h->told, e);
    return code ? code : digest_set_told(tx, h->now + 5, e);
}

static void test_store__what_shadow_mode_held_back(void **state)
{
    struct shelf *f = *state;
    struct held h = {.f = f, .now = clock_wall_ms(&f->hands.clock)};
    struct err e = {0};

    if (db_write(f->s->db, held_fn, &h, &e))
        fail_msg("%s", e.text);
    assert_int_equal(h.told, h.now);
    assert_int_equal(h.n_counts, 1);
    assert_string_equal(h.counts[0].rule, "contain");
    assert_int_equal(h.counts[0].steps, 1);
    assert_int_equal(h.counts[0].machines, 1);
    assert_int_equal(h.n_steps, 1);
    assert_string_equal(h.steps[0].alert_id, "da1");
}

static void test_store__a_policy_is_kept_as_it_was(void **state)
{
    struct shelf *f = *state;
    const char *text;
    int64_t since;

    assert_int_equal(store_policy_keep(f->s, "ab", "{}", 7, NULL), ERR_OK);
    assert_int_equal(store_policy_keep(f->s, "ab", "[]", 8, NULL), ERR_OK);
    open_again(f);
    assert_int_equal(store_policy_load(f->s, f->a, "ab", &text, &since, NULL), ERR_OK);
    assert_string_equal(text, "{}");
    assert_int_equal(since, 7);
    assert_int_equal(store_policy_load(f->s, f->a, "cd", &text, &since, NULL), ERR_NOT_FOUND);
}

/* ---- actions ------------------------------------------------------------------------------------------- */

struct asking {
    struct action_record r;
    bool found, lesser;
};

static enum err_code action_insert_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return action_insert(tx, &((struct asking *)arg)->r, e);
}

static enum err_code action_find_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct asking *q = arg;

    return action_find_open(tx, &q->r, &q->found, &q->lesser, e);
}

static enum err_code action_done_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return action_move(tx, &((struct asking *)arg)->r, ACTION_DONE, NULL, 9, e);
}

static struct asking action(int64_t id, const char *handler, const char *detail)
{
    return (struct asking){.r = {.id = id,
                                 .case_id = 1,
                                 .tenant = "contoso",
                                 .machine_id = MACHINE,
                                 .handler = handler,
                                 .detail = detail,
                                 .comment = "c",
                                 .requested = 1,
                                 .updated = 1}};
}

static void test_store__an_action_is_found_open_by_what_it_does(void **state)
{
    static const struct {
        const char *handler, *detail;
        bool found, lesser;
    } rows[] = {
        {"scan", "Quick", true, false},   {"scan", "Full", true, true},
        {"stop_file", "AB", true, false}, {"stop_file", "cd", false, false},
        {"restrict", NULL, true, false},  {"collect", NULL, false, false},
    };
    struct shelf *f = *state;
    struct asking quick = action(1, "scan", "Quick"), file = action(2, "stop_file", "ab"),
                  bare = action(3, "restrict", NULL), other;
    struct action_record *list;
    size_t n;
    struct err e = {0};

    write_ok(f, action_insert_fn, &quick);
    write_ok(f, action_insert_fn, &file);
    write_ok(f, action_insert_fn, &bare);
    for (size_t i = 0; i < COUNT(rows); i++) {
        other = action(9, rows[i].handler, rows[i].detail);
        write_ok(f, action_find_fn, &other);
        if (other.found != rows[i].found || other.lesser != rows[i].lesser)
            fail_msg("%s %s: %d %d", rows[i].handler, rows[i].detail ? rows[i].detail : "",
                     other.found, other.lesser);
    }
    other = action(9, "stop_file", "AB");
    assert_int_equal(db_write(f->s->db, action_insert_fn, &other, &e), ERR_CONFLICT);
    write_ok(f, action_done_fn, &quick);
    other = action(9, "scan", "Full");
    write_ok(f, action_find_fn, &other);
    assert_false(other.found);
    assert_int_equal(store_action_list(f->s, f->a, 1, 9, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_int_equal(list[0].state, ACTION_DONE);
    assert_int_equal(list[0].ended, 9);
    assert_string_equal(list[1].detail, "ab");
}

static bool has_policy(struct shelf *f, const char *hash)
{
    const char *text;
    int64_t since;

    return !store_policy_load(f->s, f->a, hash, &text, &since, NULL);
}

static void forget_old(struct shelf *f)
{
    struct forgotten n;

    assert_int_equal(store_forget_cases(f->s, now_of(f), 400 * DAY_MS, 20, &n, NULL), ERR_OK);
}

/* As the program before wrote it. */
static enum err_code age_fn(struct db_tx *tx, void *arg, struct err *e)
{
    static const char *const sql[] = {
        "DELETE FROM schema_version WHERE version >= 24",
        "ALTER TABLE actions ADD COLUMN fetched BIGINT NOT NULL DEFAULT 0",
        "CREATE INDEX actions_fetched ON actions (fetched) WHERE fetched > 0",
        "UPDATE actions SET fetched = 7",
        "ALTER TABLE policies DROP COLUMN used",
        "ALTER TABLE isolations DROP COLUMN took_effect",
        "DROP INDEX cases_unread",
        "ALTER TABLE isolations DROP COLUMN ask_from",
        "ALTER TABLE isolations DROP COLUMN unseen",
        "ALTER TABLE isolations DROP COLUMN sent",
        "ALTER TABLE ways DROP COLUMN let_in",
        "ALTER TABLE cases DROP COLUMN second_source",
        "ALTER TABLE cases DROP COLUMN second_delivery",
        "ALTER TABLE cases DROP COLUMN second_machine_id",
        "ALTER TABLE polls DROP COLUMN tenant_id",
        "DROP TABLE polls_before",
        "DROP INDEX audit_orders",
        "DROP INDEX isolations_unknown",
        "DROP INDEX isolations_displaced",
        "DROP INDEX cases_undone",
        "DROP INDEX cases_at_rest",
        "ALTER TABLE isolations DROP COLUMN displaced_id",
        "ALTER TABLE isolations DROP COLUMN by_rule",
        "UPDATE isolations SET why = 'this host''s clock is 90 min ahead of Defender''s' WHERE id = 12",
        "UPDATE isolations SET state = 'releasing', release_why = 'release ordered by ann' WHERE id = 13",
        "UPDATE isolations SET state = 'releasing', release_why = 'the rule says so' WHERE id = 14",
    };
    enum err_code code = ERR_OK;

    (void)arg;
    for (size_t i = 0; i < COUNT(sql) && !code; i++)
        code = db_run(tx, e, NULL, sql[i], "");
    return code;
}

static enum err_code fetched_fn(struct db_tx *tx, void *arg, struct err *e)
{
    (void)arg;
    return db_run(tx, e, NULL, "UPDATE actions SET fetched = 0", "");
}

static void test_store__an_older_store_is_brought_up_to_date(void **state)
{
    struct shelf *f = *state;
    struct asking old = action(1, "collect", NULL), twice = action(2, "collect", NULL);
    struct isolating asked = {.r = isolation(11, MACHINE, 7), .now = 7};
    struct isolating waits = {.r = isolation(12, OTHER, 7), .now = 7};
    struct isolating ordered = {.r = isolation(13, "m3", 7), .now = 7};
    struct isolating ruled = {.r = isolation(14, "m4", 7), .now = 7};
    struct isolation_record i;
    struct action_record r;
    struct err e = {0};

    write_ok(f, action_insert_fn, &old);
    write_ok(f, isolate_fn, &asked);
    write_ok(f, isolate_fn, &waits);
    write_ok(f, isolate_fn, &ordered);
    write_ok(f, isolate_fn, &ruled);
    assert_int_equal(store_policy_keep(f->s, "old", "{}", now_of(f), NULL), ERR_OK);
    write_ok(f, age_fn, NULL);
    open_again(f);
    assert_int_equal(db_write(f->s->db, fetched_fn, NULL, &e), ERR_INVALID);
    hands_turn(&f->hands, 900 * DAY_MS);
    assert_int_equal(store_policy_keep(f->s, "new", "{}", now_of(f), NULL), ERR_OK);
    forget_old(f);
    assert_true(has_policy(f, "old")); /* nobody knows when it judged last */
    assert_int_equal(store_action_load(f->s, f->a, 1, &r, NULL), ERR_OK);
    assert_int_equal(r.requested, 1);
    assert_int_equal(db_write(f->s->db, action_insert_fn, &twice, &e), ERR_CONFLICT);
    write_ok(f, action_done_fn, &old);
    write_ok(f, action_insert_fn, &twice);
    assert_int_equal(store_isolation_load(f->s, f->a, 11, &i, NULL), ERR_OK);
    assert_int_equal(i.ask_from, 7);
    assert_int_equal(store_isolation_load(f->s, f->a, 12, &i, NULL), ERR_OK);
    assert_int_equal(i.ask_from, 0); /* it waits for the clock */
    assert_int_equal(i.unseen, 0);
    assert_false(i.by_rule);
    assert_int_equal(store_isolation_load(f->s, f->a, 13, &i, NULL), ERR_OK);
    assert_false(i.by_rule);
    assert_int_equal(store_isolation_load(f->s, f->a, 14, &i, NULL), ERR_OK);
    assert_true(i.by_rule);
}

/* ---- what shares an isolation --------------------------------------------------------------------------- */

struct sharing {
    struct arena *a;
    int64_t isolation, case_id;
    const char *handler, *args;
    struct step_record *list;
    size_t n;
};

static enum err_code shared_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct sharing *h = arg;

    return case_shared_steps(tx, h->a, h->isolation, h->case_id, h->handler, &h->list, &h->n, e);
}

static enum err_code renew_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct sharing *h = arg;
    enum err_code code = step_renew(tx, h->case_id, 0, h->args, e);

    return code ? code : step_renew(tx, h->case_id, 1, h->args, e);
}

static enum err_code drop_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return case_move(tx, arg, CASE_DROPPED, "no", 9, e);
}

static void test_store__steps_are_found_of_all_that_share_an_isolation(void **state)
{
    struct shelf *f = *state;
    struct verdict_step steps[] = {
        {.handler = "isolate", .acts = true, .args = "{}"},
        {.handler = "email", .args = "{}", .withheld = "no"},
    };
    const struct verdict v = {.rule = "r", .steps = steps, .n_steps = 2, .json = "{}"};
    struct sharing h = {.a = f->a, .isolation = 77, .handler = "isolate", .args = "{\"n\":1}"};
    struct case_record dropped;
    int64_t ids[4], count = 0;

    for (size_t i = 0; i < COUNT(ids); i++) {
        struct judging j = {.v = &v, .now = now_of(f)};

        ids[i] = accept_it(f, &(struct push){.alerts = {arena_fmt(f->a, "da%zu_-1", i)}}).cases[0];
        j.c = case_of(f, ids[i]);
        write_ok(f, judge_fn, &j);
    }
    write_ok(f, join_fn, &(struct joining){ids, 3, 77});
    dropped = case_of(f, ids[2]);
    write_ok(f, drop_fn, &dropped);
    h.case_id = ids[3]; /* whose it is counts, whether or not it is one of them */
    write_ok(f, shared_fn, &h);
    assert_int_equal(h.n, 3);
    h.case_id = ids[0];
    write_ok(f, shared_fn, &h);
    assert_int_equal(h.n, 2); /* once, and the one that was let go does not */
    assert_string_equal(h.list[0].handler, "isolate");
    assert_int_equal(store_case_count_shared(f->s, 77, &count, NULL), ERR_OK);
    assert_int_equal(count, 3);
    write_ok(f, renew_fn, &h);
    assert_int_equal(store_case_steps(f->s, f->a, ids[0], &h.list, &h.n, NULL), ERR_OK);
    assert_string_equal(h.list[0].args, "{\"n\":1}");
    assert_string_equal(h.list[1].args, "{}"); /* it waits for nothing */
}

/* A case of a machine is also one that was pushed for it and is not read yet. */
static void test_store__cases_of_a_machine_are_also_those_not_read_yet(void **state)
{
    struct shelf *f = *state;
    const struct verdict v = {.rule = "r", .json = "{}"};
    struct case_filter filter = {.limit = 9, .tenant = "contoso", .machine_id = MACHINE};
    struct case_record *list;
    int64_t read, pushed;
    struct judging j = {.v = &v, .now = now_of(f)};
    size_t n;

    read = accept_it(f, &(struct push){.alerts = {"da1_-1"}}).cases[0];
    j.c = case_of(f, read);
    write_ok(f, judge_fn, &j);
    pushed = accept_it(f, &(struct push){.alerts = {"da2_-1"}, .machine = MACHINE}).cases[0];
    (void)accept_it(f, &(struct push){.alerts = {"da3_-1"}, .machine = OTHER});
    (void)accept_it(f, &(struct push){.tenant = "fab", .alerts = {"da4_-1"}, .machine = MACHINE});
    assert_int_equal(store_case_list(f->s, f->a, &filter, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].id, pushed);
    assert_int_equal(list[1].id, read);
}

static enum err_code give_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct isolating *i = arg;
    enum err_code code = isolation_insert(tx, &i->r, e);

    i->r.case_id = 5;
    i->r.rule = NULL;
    i->r.comment = "the heir's";
    return code ? code : isolation_give(tx, &i->r, e);
}

static void test_store__an_isolation_is_given_to_another_case(void **state)
{
    struct shelf *f = *state;
    struct isolating i = {.r = isolation(1, MACHINE, now_of(f))};
    struct isolation_record r;

    i.r.rule = "first";
    write_ok(f, give_fn, &i);
    assert_int_equal(store_isolation_load(f->s, f->a, 1, &r, NULL), ERR_OK);
    assert_int_equal(r.case_id, 5);
    assert_null(r.rule);
    assert_string_equal(r.comment, "the heir's");
}

static enum err_code ask_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *cases = arg;
    enum err_code code = ERR_OK;

    for (int64_t id = 1; id <= 3 && !code; id++) {
        const struct question_record q = {.id = id,
                                          .scope = id == 1   ? "a"
                                                   : id == 2 ? "b"
                                                             : "c",
                                          .what = "w",
                                          .policy = "p"};
        const struct question_case c = {.case_id = cases[id == 2],
                                        .tenant = "contoso",
                                        .alert_id = "da1_-1",
                                        .action = "isolate full"};

        code = question_insert(tx, &q, 1, e);
        if (!code)
            code = question_add_case(tx, id, &c, 1, e);
    }
    return code;
}

static void test_store__questions_of_a_case_are_listed_oldest_first(void **state)
{
    struct shelf *f = *state;
    int64_t cases[2];
    struct question_record *list;
    size_t n;

    cases[0] = accept_it(f, &(struct push){.alerts = {"da1_-1"}}).cases[0];
    cases[1] = accept_it(f, &(struct push){.alerts = {"da2_-1"}}).cases[0];
    write_ok(f, ask_fn, cases);
    assert_int_equal(store_question_of_case(f->s, f->a, cases[0], 9, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].id, 1);
    assert_int_equal(list[1].id, 3);
    assert_int_equal(store_question_of_case(f->s, f->a, cases[0], 1, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
}

/* ---- the record ----------------------------------------------------------------------------------------- */

static enum err_code many_records_fn(struct db_tx *tx, void *arg, struct err *e)
{
    enum err_code code = ERR_OK;

    (void)arg;
    for (int64_t i = 1; i <= 1000 && !code; i++)
        code = audit_put(tx, e, AUDIT_ORDER, 0, i, LOG_INT("i", i));
    return code;
}

static bool count_up(const struct audit_record *r, void *ctx)
{
    int64_t *next = ctx;

    *next = r->time == *next ? *next + 1 : INT64_MIN; /* never right again */
    return *next != 990;
}

static void test_store__the_record_is_given_out_in_its_order_page_by_page(void **state)
{
    struct shelf *f = *state;
    int64_t next = 300;

    write_ok(f, many_records_fn, NULL);
    assert_int_equal(audit_each(f->s, 300, count_up, &next, NULL), ERR_OK);
    assert_int_equal(next, 990); /* and no further than it is wanted */
}

/* However old: what a case that is kept was judged by, and what is in force. */
static void test_store__a_policy_is_kept_as_long_as_what_it_judged(void **state)
{
    struct shelf *f = *state;
    const struct verdict v = {.rule = "r", .policy = "used", .json = "{}"};
    struct judging j = {.v = &v};
    struct work w;

    assert_int_equal(store_policy_keep(f->s, "used", "{}", now_of(f), NULL), ERR_OK);
    hands_turn(&f->hands, 9 * DAY_MS);
    assert_int_equal(store_policy_keep(f->s, "unused", "{}", now_of(f) - 5 * DAY_MS, NULL), ERR_OK);
    j.c = case_of(f, accept_it(f, &(struct push){.alerts = {"da1_-1"}}).cases[0]);
    j.now = now_of(f);
    write_ok(f, judge_fn, &j); /* a replica that goes on by the older one */
    assert_int_equal(store_policy_keep(f->s, "in force", "{}", now_of(f) + 1, NULL), ERR_OK);
    hands_turn(&f->hands, 390 * DAY_MS);
    forget_old(f);
    assert_true(has_policy(f, "unused")); /* not that old yet */
    hands_turn(&f->hands, 390 * DAY_MS);
    forget_old(f);
    assert_false(has_policy(f, "unused"));
    assert_true(has_policy(f, "used")); /* its case is open */
    j.c = case_of(f, j.c.id);
    assert_true(claim_one(f, &w));
    write_ok(f, final_move_fn, &(struct final_move){&j.c, CASE_DROPPED, &w, j.now});
    hands_turn(&f->hands, 10000 * DAY_MS); /* ids are of the true time */
    forget_old(f);                         /* the case goes, and with it what judged it */
    assert_false(has_policy(f, "used"));
    assert_true(has_policy(f, "in force"));
}

/* ---- rows ------------------------------------------------------------------------------------------ */

struct numbers {
    struct arena *a;
    int64_t n, bad; /* so many rows, 1, 2, …; that one cannot be read */
    struct store_list list;
};

static enum err_code read_number(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    (void)a;
    *(int64_t *)item = db_int(rows, 0);
    return db_int(rows, 0) == db_int(rows, 1) ? err_set(e, ERR_REFUSED, "no such number") : ERR_OK;
}

static enum err_code read_numbers(struct db_tx *tx, void *arg, struct err *e)
{
    struct numbers *n = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "WITH RECURSIVE numbers (i) AS (SELECT CAST(1 AS BIGINT)"
                                  " UNION ALL SELECT i + 1 FROM numbers WHERE i < $1)"
                                  " SELECT i, CAST($2 AS BIGINT) FROM numbers WHERE i <= $3",
                                  "iii", n->n, n->bad, n->n);

    return code ? code : store_take(rows, n->a, sizeof(int64_t), read_number, &n->list, e);
}

static void test_store__takes_as_many_rows_as_there_are(void **state)
{
    static const int64_t counts[] = {0, 1, 7, 8, 9, 16, 17, 1000};
    struct shelf *f = *state;
    struct numbers n = {.a = f->a};
    struct err e = {0};

    for (size_t i = 0; i < COUNT(counts); i++) {
        const int64_t *items;

        n.n = counts[i];
        if (db_read(f->s->db, read_numbers, &n, &e))
            fail_msg("%s", e.text);
        assert_int_equal(n.list.count, n.n);
        items = n.list.items;
        assert_non_null(items);
        for (int64_t k = 0; k < n.n; k++)
            assert_int_equal(items[k], k + 1);
    }
    n.bad = 12; /* what it is read by has the last word, and the connection goes on */
    assert_int_equal(db_read(f->s->db, read_numbers, &n, &e), ERR_REFUSED);
    assert_string_equal(e.text, "no such number");
    n.bad = 0;
    assert_int_equal(db_read(f->s->db, read_numbers, &n, &e), ERR_OK);
    assert_int_equal(n.list.count, 1000);
}

struct watching {
    struct shelf *f;
    const char *tenant_id;
    int64_t since, read; /* 0: nothing was */
    struct poll_record row;
};

static enum err_code watch_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct watching *w = arg;
    struct db_rows *rows;
    int64_t id = 0;
    enum err_code code = poll_watch(tx, &w->f->hands.clock, "contoso", w->tenant_id, POLL_ALERTS,
                                    w->since, w->since, e);

    if (!code)
        code = db_query(tx, e, &rows, "SELECT id FROM polls WHERE list = 'alerts'", "");
    if (!code)
        code = store_take_int(rows, &id, e);
    if (!code)
        code = poll_load(tx, w->f->a, id, &w->row, e);
    if (!code && w->read) {
        struct poll_record moved = w->row;

        moved.watermark = moved.polled = w->read;
        code = poll_move(tx, &moved, e);
    }
    return code;
}

struct forgetting {
    struct watching w;
    int64_t before;
    bool ends;      /* of who has read meanwhile */
    int64_t begins; /* it begins anew, after a long pause; 0: no */
};

static enum err_code polls_forget_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct forgetting *x = arg;
    struct poll_record loaded = x->w.row;
    enum err_code code = polls_forget(tx, x->before, e);

    loaded.since = x->begins ? x->begins : loaded.since;
    if (!code && x->ends)
        code = poll_move(tx, &loaded, e);
    return code ? code : poll_load(tx, x->w.f->a, loaded.id, &x->w.row, e);
}

/* What a list has of before cases that were forgotten is no news, whoever reads just then; but what nobody has read yet may be. */
static void test_store__a_list_begins_behind_what_was_forgotten(void **state)
{
    static const struct {
        int64_t before;
        bool ends;
        int64_t begins, since;
    } rows[] = {{5, false, 0, 10},  {15, false, 0, 15}, {16, true, 0, 16}, {12, true, 0, 16},
                {17, true, 18, 18}, {19, true, 18, 19}, {90, false, 0, 20}};
    struct shelf *f = *state;
    struct forgetting x = {.w = {.f = f, .tenant_id = "x", .since = 10, .read = 20}};

    write_ok(f, watch_fn, &x.w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        x.before = rows[i].before;
        x.ends = rows[i].ends;
        x.begins = rows[i].begins;
        write_ok(f, polls_forget_fn, &x);
        assert_int_equal(x.w.row.since, rows[i].since);
    }
}

/* Each tenant of one name begins with itself, and goes on where it was left when it comes back. */
static void test_store__a_list_is_left_and_taken_up_again(void **state)
{
    struct shelf *f = *state;
    struct watching turns[] = {{.tenant_id = "x", .since = 10, .read = 20},
                               {.tenant_id = "y", .since = 30},
                               {.tenant_id = "x", .since = 40, .read = 50},
                               {.tenant_id = "y", .since = 60, .read = 70},
                               {.tenant_id = "x", .since = 80},
                               {.tenant_id = "y", .since = 90},
                               {.tenant_id = "y", .since = 100}};
    static const int64_t marks[] = {10, 30, 20, 30, 50, 70, 70};

    for (size_t i = 0; i < COUNT(turns); i++) {
        bool is_x = turns[i].tenant_id[0] == 'x';

        turns[i].f = f;
        write_ok(f, watch_fn, &turns[i]);
        assert_string_equal(turns[i].row.tenant_id, turns[i].tenant_id);
        assert_int_equal(turns[i].row.since, is_x ? 10 : 30);
        assert_int_equal(turns[i].row.watermark, marks[i]);
    }
}

/* X(name) of all that must be so on every engine. */
#define ON_BOTH(X)                                                                                 \
    X(an_action_is_found_open_by_what_it_does)                                                     \
    X(a_list_begins_behind_what_was_forgotten)                                                     \
    X(a_list_is_left_and_taken_up_again)                                                           \
    X(an_older_store_is_brought_up_to_date)                                                        \
    X(steps_are_found_of_all_that_share_an_isolation)                                              \
    X(cases_of_a_machine_are_also_those_not_read_yet)                                              \
    X(an_isolation_is_given_to_another_case)                                                       \
    X(questions_of_a_case_are_listed_oldest_first)                                                 \
    X(the_record_is_given_out_in_its_order_page_by_page)                                           \
    X(what_shadow_mode_held_back)                                                                  \
    X(a_policy_is_kept_as_long_as_what_it_judged)                                                  \
    X(a_policy_is_kept_as_it_was)                                                                  \
    X(takes_as_many_rows_as_there_are)                                                             \
    X(what_is_accepted_is_a_case_with_work_and_outlives_the_process)                               \
    X(what_is_pushed_again_is_on_record)                                                           \
    X(a_repeated_delivery_id_gets_the_first_answer)                                                \
    X(forgets_deliveries_after_three_days_and_cases_never)                                         \
    X(forgets_a_few_at_a_time_the_oldest_first)                                                    \
    X(a_delivery_is_kept_until_its_case_is_judged)                                                 \
    X(a_source_that_may_isolate_since_is_heard_again)                                              \
    X(a_source_that_is_another_tenants_since_is_heard_again)                                       \
    X(a_stronger_source_takes_a_case_over_once)                                                    \
    X(an_alert_that_comes_again_is_its_own_tenants)                                                \
    X(who_works_for_the_weaker_source_loses_the_claim)                                             \
    X(a_request_that_acts_has_a_lease_as_long_as_it_may_live)                                      \
    X(renewing_is_for_what_is_still_ours)                                                          \
    X(another_body_under_a_known_delivery_id_makes_no_case)                                        \
    X(an_alert_is_one_case_whatever_brings_it)                                                     \
    X(a_mixed_batch_says_which_cases_are_new)                                                      \
    X(an_alert_twice_in_one_delivery_is_one_case)                                                  \
    X(a_full_batch_is_kept_whole)                                                                  \
    X(a_case_may_be_born_claimed)                                                                  \
    X(senders_that_race_with_one_alert_make_one_case)                                              \
    X(claims_the_urgent_first_then_the_longest_due)                                                \
    X(claims_no_more_than_there_is_room_for)                                                       \
    X(a_lease_hides_a_row_until_it_ends)                                                           \
    X(a_claim_that_the_store_has_lost_is_no_longer_good)                                           \
    X(claimers_side_by_side_get_different_rows)                                                    \
    X(a_lost_lease_undoes_every_write)                                                             \
    X(a_claim_given_back_comes_again_at_its_time)                                                  \
    X(a_write_renews_the_lease)                                                                    \
    X(what_is_due_far_away_is_hurried_when_the_clock_was_set_back)                                 \
    X(waking_makes_earlier_but_never_later_and_takes_no_lease)                                     \
    X(a_row_that_turns_to_something_else_is_in_nobodys_hand)                                       \
    X(a_wish_to_read_again_outlasts_who_reads_just_then)                                           \
    X(a_case_moves_as_drawn_and_no_other_way)                                                      \
    X(a_record_that_is_out_of_date_moves_nothing)                                                  \
    X(words_of_states_are_those_of_the_contract)                                                   \
    X(a_verdict_is_kept_with_its_facts_and_steps)                                                  \
    X(lists_show_every_case_once_newest_first)                                                     \
    X(an_overview_looks_at_no_case_that_is_done)                                                   \
    X(cases_of_an_isolation_are_listed_oldest_first)                                               \
    X(what_is_not_there_is_not_found)                                                              \
    X(an_isolation_moves_as_drawn_and_no_other_way)                                                \
    X(the_first_confirmation_stands)                                                               \
    X(a_machine_has_one_open_isolation)                                                            \
    X(a_refused_isolation_takes_its_transaction_with_it)                                           \
    X(finds_the_open_isolation_of_a_machine)                                                       \
    X(limits_count_what_was_asked_for)                                                             \
    X(the_ledger_is_listed_newest_first)                                                           \
    X(a_later_notice_waits_until_the_one_before_was_tried)                                         \
    X(a_hurried_notice_waits_for_the_one_before_all_the_same)                                      \
    X(what_waits_for_the_same_people_goes_first)                                                   \
    X(what_goes_first_is_found_among_many_that_were_told)                                          \
    X(a_thread_knows_its_ends_and_its_audience)                                                    \
    X(a_notice_keeps_its_bytes_and_each_recipients_fate)                                           \
    X(each_matter_of_a_case_is_told_apart)

#define ON_SQLITE(name) cmocka_unit_test_setup_teardown(test_store__##name, set_up, tear_down),

/* The same test on PostgreSQL; skipped where there is none. */
#define POSTGRES(name)                                                                             \
    static void test_store_on_postgres__##name(void **state)                                       \
    {                                                                                              \
        if (!*state)                                                                               \
            skip();                                                                                \
        test_store__##name(state);                                                                 \
    }
#define ON_POSTGRES(name)                                                                          \
    cmocka_unit_test_setup_teardown(test_store_on_postgres__##name, set_up_postgres, tear_down),

ON_BOTH(POSTGRES)
POSTGRES(a_flood_of_cases_keeps_no_old_delivery)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(ON_SQLITE)
        /* one process alone */
        ON_SQLITE(a_start_frees_the_leases_of_the_dead)
            ON_SQLITE(a_start_looks_at_no_machine_before_its_time)
                ON_SQLITE(who_begins_early_is_found_without_a_look_at_all_work)
                    ON_SQLITE(a_list_does_not_read_the_facts_of_what_it_leaves_out)
                        ON_SQLITE(a_second_server_is_refused_and_a_reader_is_not)
                            ON_BOTH(ON_POSTGRES)
                                ON_POSTGRES(a_flood_of_cases_keeps_no_old_delivery)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
