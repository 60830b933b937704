/* test_upkeep.c - the thread that forgets: it begins at once, catches up with all there is, and ends when told. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "id.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/hands.h"
#include "store_accept.h"
#include "store_upkeep.h"
#include "store_work.h"
#include "upkeep.h"

#define DELIVERIES 1050 /* of several transactions, the last of which is not full */

struct counting {
    int64_t n;
};

static enum err_code count(struct db_tx *tx, void *arg, struct err *e)
{
    struct counting *c = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT count(*) FROM deliveries", "");

    if (!code && db_next(rows))
        c->n = db_int(rows, 0);
    return code ? code : db_rows_end(rows, e);
}

static int64_t deliveries(struct store *s)
{
    struct counting c = {.n = -1};

    assert_int_equal(db_read(s->db, count, &c, NULL), ERR_OK);
    return c.n;
}

static enum err_code fill(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *received = arg;

    for (int64_t i = 1; i <= DELIVERIES; i++) {
        enum err_code code =
            db_run(tx, e, NULL,
                   "INSERT INTO deliveries (id, source, body_sha256, received, cases)"
                   " VALUES ($1, 'relay', 'x', $2, '')",
                   "ii", i, i == DELIVERIES ? *received + DELIVERY_MEMORY_MS : *received);

        if (code)
            return code;
    }
    return ERR_OK;
}

/* ---- a store of its own --------------------------------------------------------------------------- */

struct shelf {
    char dir[40], path[100], url[120];
    struct hands hands;
    struct store *s;
};

static int set_up(void **state)
{
    struct shelf *f = calloc(1, sizeof *f);
    struct err e = {0};

    assert_non_null(f);
    f->hands = (struct hands)HANDS_INIT;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/upkeep-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/cordon.db", f->dir);
    (void)snprintf(f->url, sizeof f->url, "sqlite:%s", f->path);
    if (store_open(f->url, false, &f->hands.clock, &f->s, &e))
        fail_msg("%s", e.text);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    struct shelf *f = *state;
    char path[120];

    store_free(f->s);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(path, sizeof path, "%s%s", f->path, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static int64_t now_of(struct shelf *f)
{
    return clock_wall_ms(&f->hands.clock);
}

struct statement {
    const char *sql;
    int64_t a, b, c;
    const char *t;
    int64_t result;
};

static enum err_code run_statement(struct db_tx *tx, void *arg, struct err *e)
{
    const struct statement *x = arg;

    return db_run(tx, e, NULL, x->sql, "iiit", x->a, x->b, x->c, x->t);
}

/* sql has the parameters $1, $2, $3 (numbers) and $4 (text), all of them, in this order. */
static void put(struct shelf *f, const char *sql, int64_t a, int64_t b, int64_t c, const char *t)
{
    struct statement x = {.sql = sql, .a = a, .b = b, .c = c, .t = t};
    struct err e = {0};

    if (db_write(f->s->db, run_statement, &x, &e))
        fail_msg("%s", e.text);
}

static enum err_code ask_number(struct db_tx *tx, void *arg, struct err *e)
{
    struct statement *x = arg;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, x->sql, "i", x->a);

    if (code)
        return code;
    x->result = db_next(rows) ? db_int(rows, 0) : -1;
    return db_rows_end(rows, e);
}

static int64_t ask(struct shelf *f, const char *sql, int64_t a)
{
    struct statement x = {.sql = sql, .a = a};
    struct err e = {0};

    if (db_read(f->s->db, ask_number, &x, &e))
        fail_msg("%s", e.text);
    return x.result;
}

/* ---- deliveries ----------------------------------------------------------------------------------- */

static void test_upkeep__forgets_all_that_is_old_and_nothing_else(void **state)
{
    struct shelf *f = *state;
    struct upkeep *u = NULL;
    struct err e = {0};
    int64_t received = now_of(f);

    assert_int_equal(db_write(f->s->db, fill, &received, &e), ERR_OK);
    hands_turn(&f->hands, DELIVERY_MEMORY_MS + 1);
    assert_int_equal(upkeep_start(&(struct upkeep_options){.store = f->s}, &u, &e), ERR_OK);
    LOOK_FOR(deliveries(f->s) <= 1, 20000, "the old one is kept");
    upkeep_stop(u); /* which is not a minute away */
    assert_int_equal(deliveries(f->s), 1);
}

/* ---- cases ---------------------------------------------------------------------------------------- */

#define KEEP (400 * DAY_MS)
#define OLD  (401 * DAY_MS)

static const struct {
    const char *label, *state;
    int64_t made_ago, over_ago;
    const char *isolation; /* its state; NULL: the case has none */
    const char *notice;    /* its state; NULL: none */
    bool work, kept, isolation_kept;
} rows[] = {
    {"done long ago", "done", OLD, OLD, NULL, "sent", false, false, false},
    {"failed long ago", "failed", OLD, OLD, NULL, "failed", false, false, false},
    {"dropped long ago", "dropped", OLD, OLD, NULL, NULL, false, false, false},
    {"done of late", "done", 399 * DAY_MS, 399 * DAY_MS, NULL, "sent", false, true, false},
    {"made long ago, done of late", "done", OLD, DAY_MS, NULL, "sent", false, true, false},
    {"to the millisecond", "done", KEEP, KEEP, NULL, NULL, false, true, false},
    {"received", "received", OLD, OLD, NULL, NULL, true, true, false},
    {"expanding", "expanding", OLD, OLD, NULL, NULL, true, true, false},
    {"acting", "acting", OLD, OLD, NULL, NULL, false, true, false},
    {"waiting", "waiting", OLD, OLD, "pending", NULL, false, true, true},
    {"done, and still has work", "done", OLD, OLD, NULL, NULL, true, true, false},
    {"done, and somebody is still to be told", "done", OLD, OLD, NULL, "waiting", false, true,
     false},
    {"isolated to this day", "done", OLD, OLD, "isolated", "sent", false, true, true},
    {"being released", "done", OLD, OLD, "releasing", "sent", false, true, true},
    {"released long ago", "done", OLD, OLD, "released", "sent", false, false, false},
    {"never isolated", "done", OLD, OLD, "failed", "sent", false, false, false},
};

#define ROWS (sizeof rows / sizeof *rows)

/* Case i and its isolation and notice; ids of their time. */
static void put_row(struct shelf *f, size_t i, int64_t ids[3])
{
    int64_t made = now_of(f) - rows[i].made_ago, over = now_of(f) - rows[i].over_ago;

    for (int k = 0; k < 3; k++)
        ids[k] = id_of_time(made) + (int64_t)(3 * i) + k;
    put(f,
        "INSERT INTO cases (id, created, updated, state, tenant, alert_id, source, delivery)"
        " VALUES ($1, $2, $3, $4, 'contoso', $1, 'relay', 1)",
        ids[0], made, over, rows[i].state);
    put(f,
        "INSERT INTO steps (case_id, n, updated, handler, args, state)"
        " VALUES ($1, $2, $3, $4, '{}', 'done')",
        ids[0], 0, over, "email");
    if (rows[i].isolation) {
        put(f,
            "INSERT INTO isolations (id, case_id, updated, state, tenant, machine_id, type, comment,"
            " adopted, posted, requested, confirmed, released)"
            " VALUES ($1, $2, $3, $4, 'contoso', $1, 'full', '', 0, 0, 0, 0, 0)",
            ids[1], ids[0], over, rows[i].isolation);
        put(f, "UPDATE cases SET isolation = $1 WHERE id = $2 AND $3 = 0 AND $4 = ''", ids[1],
            ids[0], 0, "");
    }
    if (rows[i].notice) {
        put(f,
            "INSERT INTO notices (id, case_id, ended, state, kind, subject, sender, message, created)"
            " VALUES ($1, $2, $3, $4, 'alert', '', '', '', 0)",
            ids[2], ids[0], over, rows[i].notice);
        put(f,
            "INSERT INTO recipients (notice_id, n, updated, address, state, code)"
            " VALUES ($1, $2, $3, $4, 'sent', 250)",
            ids[2], 0, over, "soc@contoso.example");
    }
    if (rows[i].work)
        put(f,
            "INSERT INTO work (id, due, created, owner, kind, priority, attempts, fence)"
            " VALUES ($1, $2, $3, $4, 0, 1, 0, 0)",
            ids[0], over, over, NULL);
}

static void test_upkeep__forgets_cases_that_were_over_long_ago(void **state)
{
    struct shelf *f = *state;
    struct forgotten n = {0};
    struct err e = {0};
    int64_t ids[ROWS][3], oldest = 0, cases = 0, isolations = 0;

    for (size_t i = 0; i < ROWS; i++)
        put_row(f, i, ids[i]);
    put(f,
        "INSERT INTO notices (id, case_id, ended, state, kind, subject, sender, message, created)"
        " VALUES ($1, $2, $3, $4, 'cordon', '', '', '', 0)",
        id_of_time(now_of(f) - OLD) + 999, 0, now_of(f) - OLD, "sent");
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    for (size_t i = 0; i < ROWS; i++) {
        bool kept = ask(f, "SELECT count(*) FROM cases WHERE id = $1", ids[i][0]) == 1;

        if (kept != rows[i].kept)
            fail_msg("%s: %s", rows[i].label, kept ? "kept" : "forgotten");
        cases += !kept;
        isolations += rows[i].isolation && !rows[i].isolation_kept;
        if (ask(f, "SELECT count(*) FROM steps WHERE case_id = $1", ids[i][0]) != rows[i].kept ||
            ask(f, "SELECT count(*) FROM isolations WHERE id = $1", ids[i][1]) !=
                rows[i].isolation_kept ||
            ask(f, "SELECT count(*) FROM notices WHERE id = $1", ids[i][2]) !=
                (rows[i].kept && rows[i].notice) ||
            ask(f, "SELECT count(*) FROM recipients WHERE notice_id = $1", ids[i][2]) !=
                (rows[i].kept && rows[i].notice))
            fail_msg("%s: what belongs to it is not as it is", rows[i].label);
    }
    assert_int_equal(n.cases, cases);
    assert_int_equal(n.isolations, isolations);
    assert_int_equal(n.notices, 1);
    assert_int_equal(store_oldest_case(f->s, &oldest, &e), ERR_OK);
    assert_int_equal(oldest, now_of(f) - OLD);
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(n.cases + n.isolations + n.notices, 0);
    hands_turn(&f->hands, 1); /* and the one that was to the millisecond */
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(n.cases, 1);
}

/* An absent machine that cordon looks out for, a month after Defender gave up: when it is seen the cases are judged
 * anew, and what else comes of it is told in the thread of the isolation's own, which may have been tried again since. */
static void test_upkeep__keeps_the_cases_of_a_machine_that_is_looked_out_for(void **state)
{
    struct shelf *f = *state;
    struct forgotten n = {0};
    struct err e = {0};
    int64_t made = now_of(f) - OLD, isolation = id_of_time(made), joined = isolation + 1,
            own = isolation + 2, other = isolation + 3;

    put(f,
        "INSERT INTO isolations (id, case_id, updated, state, tenant, machine_id, type, comment, adopted,"
        " posted, requested, confirmed, released, lapsed)"
        " VALUES ($1, $2, $3, $4, 'contoso', 'm', 'full', '', 0, 1, 1, 0, 0, 1)",
        isolation, own, made, "failed");
    put(f,
        "INSERT INTO work (id, kind, due, owner, created, priority, attempts, fence)"
        " VALUES ($1, $2, $3, $4, 0, 1, 0, 0)",
        isolation, WORK_LEDGER, now_of(f), NULL);
    for (int64_t id = joined; id <= other; id++)
        put(f,
            "INSERT INTO cases (id, created, updated, state, tenant, alert_id, source, delivery)"
            " VALUES ($1, $2, $3, $4, 'contoso', $1, 'relay', 1)",
            id, made, made, "done");
    put(f, "UPDATE cases SET isolation = $1 WHERE id = $2 AND $3 = 0 AND $4 = ''", isolation,
        joined, 0, "");
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(ask(f, "SELECT count(*) FROM cases WHERE id = $1", other), 0);
    assert_int_equal(ask(f, "SELECT count(*) FROM cases WHERE id = $1", joined), 1);
    assert_int_equal(ask(f, "SELECT count(*) FROM cases WHERE id = $1", own), 1);
    put(f, "DELETE FROM work WHERE id = $1 AND $2 = 0 AND $3 = 0 AND $4 = ''", isolation, 0, 0, "");
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(n.cases, 2);
    assert_int_equal(n.isolations, 1);
}

/* A case is kept for as long after the last that came of it as after itself: it may have waited for a machine, for a mail server or
 * for the end of a silence for longer than cases are kept. $1: the row's id, $2: the case, $3: when it was over; $4: its state. */
static const struct {
    const char *label, *sql, *state, *more;
} late[] = {
    {"released of late",
     "INSERT INTO isolations (id, case_id, updated, state, tenant, machine_id, type, comment, adopted,"
     " posted, requested, confirmed, released)"
     " VALUES ($1, $2, $3, $4, 'contoso', 'm', 'full', '', 0, 0, 0, 0, 0)",
     "released", "UPDATE cases SET isolation = $1 WHERE id = $2 AND $3 > 0 AND $4 <> ''"},
    {"what else was asked for has ended of late",
     "INSERT INTO actions (id, case_id, updated, state, tenant, machine_id, handler, comment, adopted,"
     " posted, requested, ended) VALUES ($1, $2, $3, $4, 'contoso', 'm', 'scan', '', 0, 0, 0, 0)",
     "done", NULL},
    {"told of late",
     "INSERT INTO notices (id, case_id, ended, state, kind, subject, sender, message, created)"
     " VALUES ($1, $2, $3, $4, 'released', '', '', '', 0)",
     "sent", NULL},
    {"its silence has ended of late",
     "INSERT INTO muted_cases (mute_id, case_id, at, what) VALUES ($1, $2, $3, $4)", "ended",
     "INSERT INTO mutes (id, created, ended, state, matcher, author, why, began, ends)"
     " SELECT $1, $2, $3, $4, '{}', 'maria', 'pentest', 0, 0"},
};

static void test_upkeep__keeps_a_case_for_as_long_after_the_last_that_came_of_it(void **state)
{
    enum { LATE = sizeof late / sizeof *late };
    struct shelf *f = *state;
    struct forgotten n = {0};
    struct err e = {0};
    int64_t made = now_of(f) - OLD, over = now_of(f) - DAY_MS, first = id_of_time(made);

    for (int64_t i = 0; i < LATE; i++) {
        put(f,
            "INSERT INTO cases (id, created, updated, state, tenant, alert_id, source, delivery)"
            " VALUES ($1, $2, $3, $4, 'contoso', $1, 'relay', 1)",
            first + i, made, made, "done");
        put(f, late[i].sql, first + LATE + i, first + i, over, late[i].state);
        if (late[i].more)
            put(f, late[i].more, first + LATE + i, first + i, over, late[i].state);
    }
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    for (int64_t i = 0; i < LATE; i++)
        if (!ask(f, "SELECT count(*) FROM cases WHERE id = $1", first + i))
            fail_msg("%s: forgotten", late[i].label);
    hands_turn(&f->hands, OLD);
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(n.cases, LATE);
}

/* Over of late, over long ago with a case of it left, open; and the one that is forgotten. */
static void test_upkeep__forgets_questions_of_which_no_case_is_left(void **state)
{
    static const struct {
        const char *state;
        int64_t over_ago, of_case;
        bool kept;
    } asked[] = {{"approved", OLD, 0, false},
                 {"approved", OLD, 1, false}, /* forgotten with its case */
                 {"refused", OLD, 2, true},
                 {"expired", DAY_MS, 0, true},
                 {"open", OLD, 0, true}};
    struct shelf *f = *state;
    struct forgotten n = {0};
    struct err e = {0};
    int64_t first = id_of_time(now_of(f) - OLD) + 1000;

    for (int64_t i = 0; i < 5; i++) {
        int64_t id = first + i;

        put(f,
            "INSERT INTO questions (id, created, ended, state, kind, scope, what, policy, people, told,"
            " expires) VALUES ($1, $2, $3, $4, 'step', $1, '', '', 1, 0, 0)",
            id, now_of(f) - OLD, now_of(f) - asked[i].over_ago, asked[i].state);
        put(f,
            "INSERT INTO answers (question_id, yes, at, person, way) VALUES ($1, $2, $3, $4, 'link')",
            id, 1, 0, "a@x.example");
        put(f, "INSERT INTO invitations (id, question_id, address) VALUES ($1 + $2, $3, $4)",
            first + 100, i, id, "a@x.example");
        if (asked[i].of_case)
            put(f,
                "INSERT INTO question_cases (question_id, case_id, n, tenant, alert_id, action, spent)"
                " VALUES ($1, $2, $3, 'contoso', 'da1', $4, 0)",
                id, first + 200 + asked[i].of_case, 1, "isolate full");
    }
    for (int64_t i = 1; i <= 2; i++)
        put(f,
            "INSERT INTO cases (id, created, updated, state, tenant, alert_id, source, delivery)"
            " VALUES ($1, $2, $3, $4, 'contoso', $1, 'relay', 1)",
            first + 200 + i, now_of(f) - OLD, now_of(f) - (i == 1 ? OLD : DAY_MS), "done");
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(n.cases, 1);
    assert_int_equal(n.questions, 2);
    for (int64_t i = 0; i < 5; i++) {
        assert_int_equal(ask(f, "SELECT count(*) FROM questions WHERE id = $1", first + i),
                         asked[i].kept);
        assert_int_equal(ask(f, "SELECT count(*) FROM answers WHERE question_id = $1", first + i),
                         asked[i].kept);
        assert_int_equal(
            ask(f, "SELECT count(*) FROM invitations WHERE question_id = $1", first + i),
            asked[i].kept);
    }
}

static void test_upkeep__forgets_what_the_brakes_count_no_more(void **state)
{
    static const int64_t days[] = {29, 31, 89, 91};
    struct shelf *f = *state;
    struct forgotten n = {0};
    struct err e = {0};

    for (int64_t i = 0; i < 4; i++) {
        put(f,
            "INSERT INTO detections (machine_id, seen, detector, tenant) VALUES ($1, $2, $3, $4)",
            i, now_of(f) - days[i] * DAY_MS, 0, "contoso");
        put(f,
            "INSERT INTO machines (machine_id, seen, machine_group, tenant) VALUES ($1, $2, $3, $4)",
            i, now_of(f) - days[i] * DAY_MS, 0, "contoso");
    }
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 100, &n, &e), ERR_OK);
    assert_int_equal(ask(f, "SELECT count(*) FROM detections WHERE $1 = 0", 0), 1);
    assert_int_equal(ask(f, "SELECT count(*) FROM machines WHERE $1 = 0", 0), 3);
}

static void put_cases(struct shelf *f, int64_t from, int64_t count, const char *facts)
{
    for (int64_t i = from; i < from + count; i++)
        put(f,
            "INSERT INTO cases (id, created, updated, facts, state, tenant, alert_id, source, delivery)"
            " VALUES ($1, $2, $3, $4, 'done', 'contoso', $1, 'relay', 1)",
            id_of_time(now_of(f)) + i, now_of(f), now_of(f), facts);
}

static int64_t wait_cases(struct shelf *f, int64_t want)
{
    int64_t n;

    LOOK_FOR((n = ask(f, "SELECT count(*) FROM cases WHERE $1 = 0", 0)) == want, 20000,
             "%lld cases, not %lld", (long long)n, (long long)want);
    return n;
}

static void test_upkeep__catches_up_by_itself_and_only_as_far_as_it_is_told(void **state)
{
    struct shelf *f = *state;
    struct upkeep *u = NULL;
    struct err e = {0};

    put_cases(f, 0, 70, "{}");
    hands_turn(&f->hands, 100 * DAY_MS);
    put_cases(f, 0, 5, "{}");
    hands_turn(&f->hands, 301 * DAY_MS);
    assert_int_equal(
        upkeep_start(&(struct upkeep_options){.store = f->s, .limits = {.keep_ms = KEEP}}, &u, &e),
        ERR_OK);
    assert_int_equal(wait_cases(f, 5), 5);
    upkeep_stop(u);
    assert_int_equal(upkeep_start(&(struct upkeep_options){.store = f->s}, &u, &e), ERR_OK);
    upkeep_stop(u); /* for ever: the rest stays */
    assert_int_equal(wait_cases(f, 5), 5);
}

/* A clock that is far ahead at boot: what it would have forgotten is there when it has been set right. */
static void test_upkeep__a_clock_far_ahead_at_the_start_forgets_no_case(void **state)
{
    struct shelf *f = *state;
    struct upkeep_options o = {.store = f->s, .limits = {.keep_ms = KEEP}, .settle_ms = HOUR_MS};
    int64_t received = now_of(f);
    struct upkeep *u;
    struct err e;

    put_cases(f, 0, 3, "{}");
    assert_int_equal(db_write(f->s->db, fill, &received, &e), ERR_OK);
    hands_turn(&f->hands, 500 * DAY_MS);
    assert_int_equal(upkeep_start(&o, &u, &e), ERR_OK);
    LOOK_FOR(deliveries(f->s) <= 1, 20000, "its look has not come to what is old");
    upkeep_stop(u);
    hands_turn(&f->hands, -500 * DAY_MS);
    assert_int_equal(wait_cases(f, 3), 3);
    o.settle_ms = 0;
    hands_turn(&f->hands, 500 * DAY_MS);
    assert_int_equal(upkeep_start(&o, &u, &e), ERR_OK);
    assert_int_equal(wait_cases(f, 0), 0);
    upkeep_stop(u);
}

struct doubt {
    atomic_bool is_off;
    atomic_int looks;
};

static bool is_off(void *arg)
{
    return ((struct doubt *)arg)->is_off;
}

static bool count_look(void *arg, bool full, int64_t used, int64_t max)
{
    (void)full, (void)used, (void)max;
    ((struct doubt *)arg)->looks++;
    return false;
}

/* And one that everybody but this host knows to be wrong, however long it has been so. */
static void test_upkeep__by_a_clock_that_is_known_to_be_off_nothing_is_forgotten(void **state)
{
    struct shelf *f = *state;
    struct doubt d = {.is_off = true};
    struct upkeep_options o = {.store = f->s,
                               .limits = {.keep_ms = KEEP},
                               .filled = count_look,
                               .clock_is_doubtful = is_off,
                               .engine = &d};
    int64_t received = now_of(f), until = look_until(20000);
    struct upkeep *u;
    struct err e;

    put_cases(f, 0, 3, "{}");
    assert_int_equal(db_write(f->s->db, fill, &received, &e), ERR_OK);
    hands_turn(&f->hands, 500 * DAY_MS);
    assert_int_equal(upkeep_start(&o, &u, &e), ERR_OK);
    while (d.looks < 3) {
        upkeep_use(u, &o.limits); /* looks at once */
        look_again(until, "no look");
    }
    assert_int_equal(deliveries(f->s), DELIVERIES);
    assert_int_equal(wait_cases(f, 3), 3);
    d.is_off = false;
    upkeep_use(u, &o.limits);
    assert_int_equal(wait_cases(f, 0), 0);
    assert_true(deliveries(f->s) <= 1);
    upkeep_stop(u);
}

/* Somebody sets it right while it is looked at. */
struct setting_right {
    struct hands *hands;
    atomic_int looks;
};

static bool is_set_right(void *arg)
{
    struct setting_right *r = arg;

    if (!r->looks++)
        hands_turn(r->hands, -500 * DAY_MS);
    return false;
}

/* What was read of it before that is of no time that anybody has found right. */
static void test_upkeep__a_clock_that_is_set_right_during_a_look_forgets_nothing(void **state)
{
    struct shelf *f = *state;
    struct setting_right r = {.hands = &f->hands};
    struct upkeep_options o = {.store = f->s,
                               .limits = {.keep_ms = KEEP},
                               .clock_is_doubtful = is_set_right,
                               .engine = &r};
    int64_t until = look_until(20000);
    struct upkeep *u;
    struct err e;

    put_cases(f, 0, 3, "{}");
    hands_turn(&f->hands, 500 * DAY_MS);
    assert_int_equal(upkeep_start(&o, &u, &e), ERR_OK);
    while (r.looks < 2) { /* the first is over */
        upkeep_use(u, &o.limits);
        look_again(until, "no look");
    }
    assert_int_equal(wait_cases(f, 3), 3);
    upkeep_stop(u);
}

/* One that has settled, and has forgotten what was old: two cases of now are left. */
static struct upkeep *start_settled(struct shelf *f, const struct upkeep_options *o)
{
    int64_t until = look_until(20000);
    struct upkeep *u;
    struct err e;

    put_cases(f, 0, 3, "{}");
    hands_turn(&f->hands, 500 * DAY_MS);
    put_cases(f, 0, 2, "{}");
    assert_int_equal(upkeep_start(o, &u, &e), ERR_OK);
    while (ask(f, "SELECT count(*) FROM cases WHERE $1 = 0", 0) > 2) {
        upkeep_use(u, &o->limits); /* looks at once */
        look_again(until, "the old ones are kept");
    }
    return u;
}

/* The same of one that leaps while the server runs, and is set right soon. */
static void test_upkeep__a_clock_that_leaps_ahead_forgets_no_case(void **state)
{
    struct shelf *f = *state;
    struct upkeep_options o = {.store = f->s, .limits = {.keep_ms = KEEP}, .settle_ms = 5000};
    struct upkeep *u = start_settled(f, &o);
    int64_t received = now_of(f), until = look_until(20000);
    struct err e;

    assert_int_equal(db_write(f->s->db, fill, &received, &e), ERR_OK);
    hands_turn(&f->hands, 500 * DAY_MS);
    for (int more = 0; more < 5; more += deliveries(f->s) == 0) {
        upkeep_use(u, &o.limits);
        look_again(until, "the deliveries are kept");
    }
    hands_turn(&f->hands, -500 * DAY_MS);
    upkeep_stop(u);
    assert_int_equal(wait_cases(f, 2), 2);
}

struct leap {
    struct hands *hands;
    _Atomic enum { NOT_YET, NEXT, AHEAD, OVER } at;
};

static bool leap_in_a_look(void *arg, bool full, int64_t used, int64_t max)
{
    struct leap *l = arg;

    (void)full, (void)used, (void)max;
    if (l->at == NEXT) {
        hands_turn(l->hands, 500 * DAY_MS);
        l->at = AHEAD;
    } else if (l->at == AHEAD) {
        hands_turn(l->hands, -500 * DAY_MS);
        l->at = OVER;
    }
    return false; /* it tells so with each look */
}

/* And of one that leaps in the midst of a look. */
static void test_upkeep__what_is_forgotten_goes_by_the_time_that_was_looked_at(void **state)
{
    struct shelf *f = *state;
    struct leap l = {.hands = &f->hands, .at = NOT_YET};
    struct upkeep_options o = {.store = f->s,
                               .limits = {.keep_ms = KEEP},
                               .settle_ms = 2000,
                               .filled = leap_in_a_look,
                               .engine = &l};
    struct upkeep *u = start_settled(f, &o);
    int64_t until = look_until(20000);

    l.at = NEXT;
    while (l.at != OVER) {
        upkeep_use(u, &o.limits);
        look_again(until, "no look");
    }
    upkeep_stop(u);
    assert_int_equal(wait_cases(f, 2), 2);
}

/* ---- room ----------------------------------------------------------------------------------------- */

static int64_t used(struct shelf *f)
{
    int64_t n = 0, spare = 0;
    struct err e = {0};

    if (db_room(f->s->db, &n, &spare, &e))
        fail_msg("%s", e.text);
    return n;
}

static void test_upkeep__what_was_freed_is_used_again(void **state)
{
    struct shelf *f = *state;
    char *facts = malloc(20000);
    struct forgotten n = {0};
    struct err e = {0};
    int64_t empty = used(f), full, left = 0, spare = 0;

    assert_non_null(facts);
    memset(facts, 'x', 19999);
    facts[19999] = '\0';
    put_cases(f, 0, 200, facts);
    full = used(f);
    assert_true(full > empty + 200 * 20000);
    hands_turn(&f->hands, OLD);
    assert_int_equal(store_forget_cases(f->s, now_of(f), KEEP, 200, &n, &e), ERR_OK);
    assert_int_equal(n.cases, 200);
    assert_true(used(f) < empty + 100000);
    put_cases(f, 1000, 190, facts);
    assert_int_equal(ask(f, "SELECT count(*) FROM cases WHERE $1 = 0", 0), 190);
    assert_int_equal(db_room(f->s->db, &left, &spare, &e), ERR_OK);
    assert_true(left + spare <= full); /* the file has not grown */
    free(facts);
}

static void take_code(void *arg, enum err_code code, const struct err *e)
{
    (void)e;
    *(_Atomic int *)((struct acceptance *)arg)->ctx = (int)code;
}

/* Pushes an alert; what became of it. */
static enum err_code push(struct shelf *f, const char *alert, struct err *e)
{
    _Atomic int code = -1;
    const struct alert_ref ref = {.alert_id = alert};
    const struct notification n = {.tenant = "contoso",
                                   .source = "relay",
                                   .body_sha256 = "x",
                                   .received_ms = now_of(f),
                                   .alerts = &ref,
                                   .count = 1};
    struct acceptance a = {.n = &n, .ctx = &code};
    enum err_code at_once = store_accept(f->s, &a, take_code, e);

    while (!at_once && code < 0)
        (void)poll(NULL, 0, 1);
    return at_once ? at_once : (enum err_code)code;
}

static void wait_health(struct shelf *f, enum err_code want)
{
    struct err e = {0};

    LOOK_FOR(store_health(f->s, &e) == want, 20000, "%s", e.text);
    if (want)
        assert_non_null(strstr(e.text, "store.max_size"));
}

static void test_upkeep__a_full_store_takes_nothing_new_and_goes_on(void **state)
{
    struct shelf *f = *state;
    struct upkeep_limits limits = {.max_bytes = used(f)};
    struct upkeep *u = NULL;
    struct work w[4];
    const size_t room[WORK_KINDS] = {[WORK_CASE] = 4};
    size_t n = 0;
    int64_t next;
    struct err e = {0};

    assert_int_equal(push(f, "da1_-1", &e), ERR_OK);
    assert_int_equal(
        upkeep_start(&(struct upkeep_options){.store = f->s, .limits = limits}, &u, &e), ERR_OK);
    wait_health(f, ERR_AGAIN);
    assert_int_equal(push(f, "da2_-1", &e), ERR_AGAIN);
    assert_non_null(strstr(e.text, "store.max_size"));
    /* what was accepted goes on */
    assert_int_equal(store_work_claim(f->s, "test", room, 4, w, &n, &next, &e), ERR_OK);
    assert_int_equal(n, 1);
    put_cases(f, 0, 1, "{}");
    /* a little more room is not enough: the door would swing */
    limits.max_bytes = used(f) + 1;
    upkeep_use(u, &limits);
    assert_int_equal(push(f, "da2_-1", &e), ERR_AGAIN);
    limits.max_bytes = used(f) * 10;
    upkeep_use(u, &limits);
    wait_health(f, ERR_OK);
    assert_int_equal(push(f, "da2_-1", &e), ERR_OK);
    upkeep_stop(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(test_upkeep__forgets_all_that_is_old_and_nothing_else),
        T(test_upkeep__forgets_cases_that_were_over_long_ago),
        T(test_upkeep__a_clock_far_ahead_at_the_start_forgets_no_case),
        T(test_upkeep__by_a_clock_that_is_known_to_be_off_nothing_is_forgotten),
        T(test_upkeep__a_clock_that_is_set_right_during_a_look_forgets_nothing),
        T(test_upkeep__a_clock_that_leaps_ahead_forgets_no_case),
        T(test_upkeep__what_is_forgotten_goes_by_the_time_that_was_looked_at),
        T(test_upkeep__keeps_the_cases_of_a_machine_that_is_looked_out_for),
        T(test_upkeep__keeps_a_case_for_as_long_after_the_last_that_came_of_it),
        T(test_upkeep__forgets_questions_of_which_no_case_is_left),
        T(test_upkeep__forgets_what_the_brakes_count_no_more),
        T(test_upkeep__catches_up_by_itself_and_only_as_far_as_it_is_told),
        T(test_upkeep__what_was_freed_is_used_again),
        T(test_upkeep__a_full_store_takes_nothing_new_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
