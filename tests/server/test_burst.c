/* test_burst.c - what is held, for how long, and what a digest says of it. */
#include "engine_kit.h"

#include "burst.h"
#include "desk.h"
#include "id.h"
#include "kit/postgres.h"
#include "log.h"
#include "mime_read.h"
#include "notice.h"
#include "settings.h"
#include "store_bursts.h"

#define WAIT     (30 * SECOND_MS)
#define INTERVAL (5 * MINUTE_MS)

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

struct crowd {
    struct rig r;
    int64_t cases[8];
};

/* store_url: NULL for a SQLite of its own. */
static void set_up_on(struct crowd *k, const char *group, const char *store_url)
{
    struct runtime *rt;

    memset(k, 0, sizeof *k);
    rig_open_on(&k->r, RULES_MAIL_ONLY, store_url);
    log_divert(no_line, NULL);
    rig_afresh(&k->r);
    rt = engine_runtime(k->r.g);
    rt->config->mail.group = (struct config_group){
        .wait_ms = WAIT,
        .interval_ms = INTERVAL,
        .by = {strstr(group, "incident"), strstr(group, "machine"), strstr(group, "rule")}};
    runtime_unref(rt);
}

static void set_up(struct crowd *k, const char *group)
{
    set_up_on(k, group, NULL);
}

static void tear_down(struct crowd *k)
{
    log_divert(NULL, NULL);
    rig_close(&k->r);
}

struct telling {
    struct rig *r;
    struct case_record c;
    struct notice n;
};

static enum err_code tell_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct telling *t = arg;
    struct runtime *rt = engine_runtime(t->r->g);
    enum err_code code =
        notice_put(tx, t->r->g, rt, t->r->arena, &t->n, clock_wall_ms(&t->r->hands.clock), e);

    runtime_unref(rt);
    return code;
}

/* A case of its own alert: of machine "…m", by rule `rule`; to: n addresses, none for mail.to. */
static void tell_all(struct crowd *k, size_t i, const char *machine, const char *rule,
                     enum notice_kind kind, const char *const *to, size_t n)
{
    struct telling t = {.r = &k->r, .n = {.kind = kind, .why = "as it is"}};
    char alert[40];
    struct err e = {0};

    (void)snprintf(alert, sizeof alert, "da%zu_-1", i + 1);
    if (!k->cases[i])
        k->cases[i] = rig_push(&k->r, alert, NULL);
    t.c = rig_case(&k->r, k->cases[i]);
    t.c.machine_id = machine;
    t.c.rule = rule;
    t.n.c = &t.c;
    t.n.to = to;
    t.n.n_to = n;
    if (db_write(k->r.store->db, tell_fn, &t, &e))
        fail_msg("%s", e.text);
}

static void tell_of(struct crowd *k, size_t i, const char *machine, const char *rule,
                    enum notice_kind kind, const char *to)
{
    tell_all(k, i, machine, rule, kind, &to, to != NULL);
}

static void tell(struct crowd *k, size_t i, enum notice_kind kind)
{
    tell_of(k, i, NULL, "tell", kind, NULL);
}

static struct notice_record last_of(struct crowd *k, size_t i)
{
    struct notice_record *list;
    size_t n = 0;

    assert_int_equal(store_notice_list(k->r.store, k->r.arena, k->cases[i], &list, &n, NULL),
                     ERR_OK);
    assert_true(n > 0);
    return list[n - 1];
}

static void assert_state(struct crowd *k, size_t i, const char *state)
{
    assert_string_equal(last_of(k, i).state, state);
}

/* Runs every burst that is due. */
static size_t run_bursts(struct crowd *k)
{
    struct work w;
    size_t n = 0;

    for (; rig_claim(&k->r, WORK_BURST, &w); n++)
        burst_run(k->r.g, &w);
    return n;
}

static struct notice_record digest_of(struct crowd *k, size_t i)
{
    struct notice_record n, r = last_of(k, i);

    assert_string_equal(r.state, "grouped");
    assert_true(r.digest > 0);
    assert_int_equal(store_notice_load(k->r.store, k->r.arena, r.digest, &n, NULL), ERR_OK);
    return n;
}

static void assert_names(struct crowd *k, const struct notice_record *digest, size_t i)
{
    char id[ID_TEXT_SIZE];

    if (!strstr(digest->message, id_format(k->cases[i], id)))
        fail_msg("case %s is not in %s", id, digest->message);
}

static void test_burst__the_first_is_not_held_and_what_follows_is_one_mail(void **state)
{
    struct crowd k;
    struct notice_record d;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    assert_state(&k, 0, "waiting");
    tell(&k, 1, NOTICE_ALERT);
    hands_turn(&k.r.hands, WAIT - 1);
    tell(&k, 2, NOTICE_NOT_ISOLATED);
    assert_int_equal(run_bursts(&k), 0);
    assert_state(&k, 1, "held");
    hands_turn(&k.r.hands, 1);
    assert_int_equal(run_bursts(&k), 1);
    d = digest_of(&k, 1);
    assert_int_equal(digest_of(&k, 2).id, d.id);
    assert_string_equal(d.subject, "[1 NOT ISOLATED, 1 ALERT] 2 cases");
    assert_string_equal(d.state, "waiting");
    assert_string_equal(d.recipients[0].address, "soc@contoso.example");
    assert_int_equal(d.after, last_of(&k, 0).id);
    assert_names(&k, &d, 1);
    assert_names(&k, &d, 2);
    assert_state(&k, 0, "waiting"); /* the first is what it was */
    tear_down(&k);
}

/* docs/policy.md, "The kill switch": each mail says so while it lasts; most mails of a storm are digests. */
static void test_burst__a_digest_says_that_cordon_is_paused(void **state)
{
    const struct desk_order drill = {.who = "maria", .why = "a drill"};
    AUTO(buf_clear) struct buf part = BUF_INIT(1 << 20);
    struct notice_record d;
    struct crowd k;

    (void)state;
    set_up(&k, "rule");
    assert_int_equal(desk_pause(k.r.g, &drill, NULL), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        tell(&k, i, NOTICE_NOT_ISOLATED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    d = digest_of(&k, 1);
    assert_int_equal(mime_part(d.message, "text/plain", &part, NULL), ERR_OK);
    assert_non_null(strstr(buf_text(&part), "cordon is paused by maria: a drill"));
    assert_non_null(strstr(buf_text(&part), "`cordon cases retry CASE`"));
    tear_down(&k);
}

static void test_burst__the_next_digest_comes_after_the_interval(void **state)
{
    struct crowd k;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_ALERT);
    tell(&k, 2, NOTICE_ALERT);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    tell(&k, 3, NOTICE_ALERT);
    tell(&k, 4, NOTICE_ALERT);
    hands_turn(&k.r.hands, INTERVAL - 1);
    assert_int_equal(run_bursts(&k), 0);
    hands_turn(&k.r.hands, 1);
    assert_int_equal(run_bursts(&k), 1);
    assert_int_equal(digest_of(&k, 3).id, digest_of(&k, 4).id);
    assert_int_not_equal(digest_of(&k, 3).id, digest_of(&k, 1).id);
    assert_int_equal(digest_of(&k, 3).after, digest_of(&k, 1).id); /* one thread, in order */
    hands_turn(&k.r.hands, INTERVAL);
    assert_int_equal(run_bursts(&k), 1); /* over */
    tell(&k, 5, NOTICE_ALERT);
    assert_state(&k, 5, "waiting");
    tear_down(&k);
}

static void test_burst__one_alone_is_a_mail_as_any_other(void **state)
{
    struct crowd k;
    struct notice_record n;
    struct work w;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_NOT_ISOLATED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    n = last_of(&k, 1);
    assert_string_equal(n.state, "waiting");
    assert_string_equal(n.subject, "[NOT ISOLATED: as it is] alert da2_-1");
    assert_int_equal(n.digest, 0);
    assert_true(rig_claim(&k.r, WORK_NOTICE, &w)); /* before the one that only informs */
    assert_int_equal(w.id, n.id);
    tear_down(&k);
}

/* A step's end beside the news of the isolation: what a digest of one case would say less of. */
static void test_burst__two_notices_of_one_case_are_mails_as_any_other(void **state)
{
    struct notice_record *list;
    struct crowd k;
    size_t n = 0;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_REQUESTED);
    tell(&k, 1, NOTICE_ACTION_DONE);
    tell(&k, 1, NOTICE_ISOLATED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    assert_int_equal(store_notice_list(k.r.store, k.r.arena, k.cases[1], &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].state, "grouped"); /* old news, of which the last one is the end */
    assert_int_equal(list[0].digest, list[2].id);
    assert_string_equal(list[1].state, "waiting");
    assert_string_equal(list[2].state, "waiting");
    tear_down(&k);
}

/* Two steps of a rule write to two sets of people: what the one heard is no news that the other has. */
static void test_burst__what_others_were_told_makes_nothing_stale(void **state)
{
    static const char *const people[] = {"soc@contoso.example", "desk@contoso.example"};
    struct notice_record *list, d;
    struct crowd k;
    size_t n = 0;

    (void)state;
    set_up(&k, "rule");
    for (size_t i = 0; i < 3; i++)
        for (size_t to = 0; to < 2; to++)
            tell_of(&k, i, NULL, "tell", NOTICE_ALERT, people[to]);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 2);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(store_notice_list(k.r.store, k.r.arena, k.cases[i], &list, &n, NULL),
                         ERR_OK);
        assert_int_equal(n, 2);
        for (size_t to = 0; to < 2; to++) {
            assert_string_equal(list[to].state, "grouped");
            assert_int_equal(store_notice_load(k.r.store, k.r.arena, list[to].digest, &d, NULL),
                             ERR_OK);
            assert_string_equal(d.kind, "digest");
            assert_string_equal(d.recipients[0].address, people[to]);
            assert_names(&k, &d, i);
        }
    }
    tear_down(&k);
}

/* A question about a case, to all of those people. */
static void ask(struct crowd *k, size_t i, const char *const people[2])
{
    struct notice_link links[] = {{people[0], NULL}, {people[1], NULL}};
    const struct notice_question q = {
        .id = 1, .expires = 1, .people = 1, .action = "isolate full", .links = links, .n_links = 2};
    struct telling t = {.r = &k->r,
                        .c = rig_case(&k->r, k->cases[i]),
                        .n = {.kind = NOTICE_QUESTION, .why = "why", .question = &q}};

    t.c.rule = "tell";
    t.n.c = &t.c;
    assert_int_equal(db_write(k->r.store->db, tell_fn, &t, NULL), ERR_OK);
}

/* A question is a mail for each of those whom it asks: what was held for all of them is old news then. */
static void test_burst__what_each_was_told_by_a_mail_of_his_own_makes_stale(void **state)
{
    static const char *people[] = {"soc@contoso.example", "desk@contoso.example"};
    struct notice_record *list;
    struct runtime *rt;
    struct crowd k;
    size_t n = 0;

    (void)state;
    set_up(&k, "rule");
    rt = engine_runtime(k.r.g);
    rt->config->mail.to.items = people;
    rt->config->mail.to.count = 2;
    runtime_unref(rt);
    for (size_t i = 0; i < 3; i++)
        tell(&k, i, NOTICE_LATE);
    assert_state(&k, 1, "held");
    ask(&k, 1, people);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    assert_int_equal(store_notice_list(k.r.store, k.r.arena, k.cases[1], &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].state, "grouped"); /* into nothing: it is not sent */
    assert_string_equal(list[1].state, "waiting");
    assert_string_equal(list[2].state, "waiting");
    assert_state(&k, 2, "waiting"); /* the only one that was left, and so a mail of its own */
    tear_down(&k);
}

/* Somebody is asked how to go on after a step behind the isolation: how that ended the question does not say, and no other mail. */
static void test_burst__a_question_makes_the_end_of_an_isolation_no_old_news(void **state)
{
    static const enum notice_kind kinds[] = {NOTICE_ISOLATED, NOTICE_NOT_ISOLATED, NOTICE_RELEASED};
    static const char *people[] = {"soc@contoso.example", "desk@contoso.example"};

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct notice_record *list, d;
        struct runtime *rt;
        struct crowd k;
        size_t n = 0;

        set_up(&k, "rule");
        rt = engine_runtime(k.r.g);
        rt->config->mail.to.items = people;
        rt->config->mail.to.count = 2;
        runtime_unref(rt);
        for (size_t c = 0; c < 3; c++)
            tell(&k, c, kinds[i]);
        ask(&k, 1, people);
        hands_turn(&k.r.hands, WAIT);
        assert_int_equal(run_bursts(&k), 1);
        assert_int_equal(store_notice_list(k.r.store, k.r.arena, k.cases[1], &list, &n, NULL),
                         ERR_OK);
        assert_int_equal(n, 3);
        assert_string_equal(list[0].state, "grouped");
        assert_int_equal(store_notice_load(k.r.store, k.r.arena, list[0].digest, &d, NULL), ERR_OK);
        assert_string_equal(d.kind, "digest");
        assert_names(&k, &d, 1);
        tear_down(&k);
    }
}

/* What the leading case has to say is news of a mail that people have. */
static void test_burst__the_leading_case_is_never_held(void **state)
{
    struct crowd k;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_REQUESTED);
    tell(&k, 1, NOTICE_REQUESTED);
    tell(&k, 0, NOTICE_NOT_ISOLATED);
    assert_state(&k, 0, "waiting");
    assert_state(&k, 1, "held");
    tear_down(&k);
}

/* A case that moved on while it was held is told as it stands, once. */
/* A digest has no room for it, and nobody else is told the link: it is a permission, of those who get the mail. */
static void test_burst__a_link_to_a_package_is_never_held(void **state)
{
    struct telling t = {.n = {.kind = NOTICE_ACTION_DONE,
                              .why = "investigation package",
                              .link = "https://packages.example/p?sig=abc",
                              .aside = true}};
    struct notice_record n;
    struct crowd k;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_ALERT);
    assert_state(&k, 1, "held");
    t.r = &k.r;
    t.c = rig_case(&k.r, k.cases[1]);
    t.c.rule = "tell";
    t.n.c = &t.c;
    assert_int_equal(db_write(k.r.store->db, tell_fn, &t, NULL), ERR_OK);
    assert_state(&k, 1, "waiting");
    assert_int_equal(store_notice_load(k.r.store, k.r.arena, last_of(&k, 1).id, &n, NULL), ERR_OK);
    assert_non_null(strstr(n.message, "sig"));
    tear_down(&k);
}

static void test_burst__a_digest_says_the_newest_of_each_case(void **state)
{
    struct crowd k;
    struct notice_record d;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_REQUESTED);
    tell(&k, 1, NOTICE_REQUESTED);
    tell(&k, 2, NOTICE_REQUESTED);
    tell(&k, 1, NOTICE_NOT_ISOLATED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    d = digest_of(&k, 1);
    assert_string_equal(d.subject, "[1 NOT ISOLATED, 1 REQUESTED] 2 cases");
    /* and says how that ended in the next one */
    tell(&k, 1, NOTICE_ISOLATED);
    tell(&k, 2, NOTICE_ISOLATED);
    hands_turn(&k.r.hands, INTERVAL);
    assert_int_equal(run_bursts(&k), 1);
    assert_string_equal(digest_of(&k, 2).subject, "[2 ISOLATED] 2 cases");
    tear_down(&k);
}

/* What is on record was made by a clock that was an hour ahead: before a restart, or by another replica. */
static void make_notices_younger(struct crowd *k)
{
    const long long hour = (long long)HOUR_MS << 22; /* of an id: id.h */
    char work[100], notices[100], recipients[100];

    (void)snprintf(work, sizeof work, "UPDATE work SET id = id + %lld WHERE kind = %d", hour,
                   WORK_NOTICE);
    (void)snprintf(notices, sizeof notices, "UPDATE notices SET id = id + %lld", hour);
    (void)snprintf(recipients, sizeof recipients,
                   "UPDATE recipients SET notice_id = notice_id + %lld", hour);
    rig_sql(&k->r, work);
    rig_sql(&k->r, notices);
    rig_sql(&k->r, recipients);
}

/* The order of what was told is that in which it was told, whatever clocks say. */
static void test_burst__the_newest_is_what_was_told_last_when_a_clock_was_ahead(void **state)
{
    struct crowd k;

    (void)state;
    set_up(&k, "rule");
    for (size_t i = 0; i < 3; i++)
        tell(&k, i, NOTICE_REQUESTED);
    make_notices_younger(&k);
    for (size_t i = 1; i < 3; i++)
        tell(&k, i, NOTICE_ISOLATED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    assert_string_equal(digest_of(&k, 2).subject, "[2 ISOLATED] 2 cases");
    tear_down(&k);
}

/* A review asks something, a day after the news that the machine is isolated: it is to be told from that. */
static void test_burst__a_digest_asks_whether_isolations_are_still_right(void **state)
{
    struct crowd k;
    struct notice_record d;

    (void)state;
    set_up(&k, "rule");
    for (size_t i = 0; i < 3; i++)
        tell_of(&k, i, MACHINE, "tell", NOTICE_REVIEW, NULL);
    tell_of(&k, 3, MACHINE, "tell", NOTICE_ISOLATED, NULL);
    tell_of(&k, 4, MACHINE, "tell", NOTICE_OVERDUE, NULL);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    d = digest_of(&k, 1);
    assert_string_equal(d.subject,
                        "[1 ISOLATED - Review overdue, 2 ISOLATED - Review, 1 ISOLATED] 4 cases");
    assert_non_null(strstr(rig_text(&k.r, d.message), "cordon isolations extend"));
    hands_turn(&k.r.hands, INTERVAL); /* and without one, nothing is asked */
    tell_of(&k, 3, MACHINE, "tell", NOTICE_RELEASED, NULL);
    tell_of(&k, 4, MACHINE, "tell", NOTICE_RELEASED, NULL);
    assert_int_equal(run_bursts(&k), 1);
    d = digest_of(&k, 3);
    assert_string_equal(d.subject, "[2 RELEASED] 2 cases");
    assert_null(strstr(rig_text(&k.r, d.message), "cordon isolations extend"));
    tear_down(&k);
}

static void test_burst__other_people_and_other_names_are_other_bursts(void **state)
{
    struct crowd k;

    (void)state;
    set_up(&k, "machine rule");
    tell_of(&k, 0, MACHINE, "a", NOTICE_ALERT, NULL);
    tell_of(&k, 1, MACHINE, "a", NOTICE_ALERT, "desk@contoso.example");
    assert_state(&k, 1, "waiting"); /* they have had no mail */
    tell_of(&k, 2, "another", "b", NOTICE_ALERT, NULL);
    assert_state(&k, 2, "waiting");
    tell_of(&k, 3, MACHINE, "c", NOTICE_ALERT, NULL);
    assert_state(&k, 3, "held"); /* by the machine */
    tell_of(&k, 4, "a third", "a", NOTICE_ALERT, NULL);
    assert_state(&k, 4, "held"); /* by the rule */
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    assert_int_equal(digest_of(&k, 3).id, digest_of(&k, 4).id);
    tear_down(&k);
}

/* The digest before seems to be still to come: what follows waits for an interval at most. */
static void test_burst__a_clock_that_is_set_back_holds_nothing_for_longer(void **state)
{
    struct crowd k;

    (void)state;
    set_up(&k, "rule");
    for (size_t i = 0; i < 3; i++)
        tell(&k, i, NOTICE_ALERT);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    k.r.hands.wall -= DAY_MS;
    tell(&k, 3, NOTICE_ALERT);
    tell(&k, 4, NOTICE_ALERT);
    hands_turn(&k.r.hands, INTERVAL);
    assert_int_equal(run_bursts(&k), 1);
    assert_state(&k, 3, "grouped");
    assert_state(&k, 4, "grouped");
    tear_down(&k);
}

/* Of the notice $1, as many copies. */
static enum err_code copy_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *of = arg; /* a notice, its burst, how many */
    enum err_code code = db_run(
        tx, e, NULL,
        "INSERT INTO notices (id, case_id, kind, subject, sender, message, state, after, created,"
        " ended, thread, burst, digest, said) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1"
        " FROM n WHERE i < $1) SELECT o.id + i, case_id, kind, subject, sender, message, state, after,"
        " created, ended, thread, burst, digest, said FROM notices o, n WHERE o.id = $2",
        "ii", of[2], of[0]);

    return code ? code
                : db_run(tx, e, NULL, "UPDATE bursts SET held = held + $1 WHERE id = $2", "ii",
                         of[2], of[1]);
}

/* One transaction tells of five thousand, and the next one of the rest, at once. */
static void test_burst__what_is_too_much_for_one_run_is_told_in_the_next(void **state)
{
    struct notice_record *list, first;
    int64_t of[3];
    struct crowd k;
    size_t n = 0;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_ACTION_DONE); /* which nothing makes stale */
    first = last_of(&k, 1);
    of[0] = first.id;
    of[1] = first.burst;
    of[2] = 5000;
    assert_int_equal(db_write(k.r.store->db, copy_fn, of, NULL), ERR_OK);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 2);
    assert_int_equal(store_notice_list(k.r.store, k.r.arena, k.cases[1], &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 5001);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(list[i].state, "waiting");
    tear_down(&k);
}

static void test_burst__without_an_interval_nothing_is_held(void **state)
{
    struct crowd k;
    struct runtime *rt;

    (void)state;
    set_up(&k, "rule");
    rt = engine_runtime(k.r.g);
    rt->config->mail.group.interval_ms = 0;
    runtime_unref(rt);
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_ALERT);
    assert_state(&k, 0, "waiting");
    assert_state(&k, 1, "waiting");
    tear_down(&k);
}

/* A new configuration has no mail any more: what was held is kept for the day on which it has. */
static void test_burst__what_is_held_outlasts_a_configuration_without_mail(void **state)
{
    struct crowd k;
    struct runtime *rt;

    (void)state;
    set_up(&k, "rule");
    for (size_t i = 0; i < 3; i++)
        tell(&k, i, NOTICE_ALERT);
    rt = rig_runtime(&k.r, RULES_MAIL_ONLY);
    rt->config->mail.server = NULL;
    rt->config->mail.from = NULL;
    engine_use(k.r.g, rt);
    hands_turn(&k.r.hands, WAIT);
    (void)run_bursts(&k);
    assert_state(&k, 1, "held");
    engine_use(k.r.g, rig_runtime(&k.r, RULES_MAIL_ONLY));
    hands_turn(&k.r.hands, HOUR_MS);
    (void)run_bursts(&k);
    assert_names(&k, &(struct notice_record){.message = digest_of(&k, 1).message}, 1);
    assert_int_equal(digest_of(&k, 1).id, digest_of(&k, 2).id);
    tear_down(&k);
}

/* The next mail of a case that was told in a digest answers the digest: the held notice was never a mail. */
/* Which mails go before one, when all of them wait for the same people: those whose news it is newer than. */
static void test_burst__mails_before_a_digest_and_behind_it_are_known(void **state)
{
    struct notice_record alone, digest, later, other;
    int64_t *ids, since;
    struct crowd k;
    size_t n = 0;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_REQUESTED);
    tell(&k, 1, NOTICE_REQUESTED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    alone = last_of(&k, 1); /* by itself, for it was alone */
    assert_string_equal(alone.state, "waiting");
    tell(&k, 1, NOTICE_ISOLATED);
    tell(&k, 2, NOTICE_REQUESTED);
    hands_turn(&k.r.hands, INTERVAL);
    assert_int_equal(run_bursts(&k), 1);
    digest = digest_of(&k, 1);
    since = clock_wall_ms(&k.r.hands.clock);
    assert_int_equal(store_notice_earlier(k.r.store, k.r.arena, &digest, since, &ids, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1); /* not the first of the burst, which says nothing of these cases */
    assert_int_equal(ids[0], alone.id);
    tell_of(&k, 2, NULL, "else", NOTICE_ISOLATED, NULL); /* another burst: it goes out by itself */
    later = last_of(&k, 2);
    assert_string_equal(later.state, "waiting");
    assert_int_equal(store_notice_earlier(k.r.store, k.r.arena, &later, since, &ids, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], digest.id);
    tell_of(&k, 2, NULL, "third", NOTICE_ISOLATED,
            "desk@contoso.example"); /* whom none of them is for */
    other = last_of(&k, 2);
    assert_int_equal(store_notice_earlier(k.r.store, k.r.arena, &other, since, &ids, &n, NULL),
                     ERR_OK);
    assert_int_equal(n, 0);
    tear_down(&k);
}

static void test_burst__a_thread_goes_on_from_the_digest(void **state)
{
    struct crowd k;
    struct notice_record d, n;
    char id[ID_TEXT_SIZE], reply[80];

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_REQUESTED);
    tell(&k, 1, NOTICE_REQUESTED);
    tell(&k, 2, NOTICE_REQUESTED);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    d = digest_of(&k, 1);
    hands_turn(&k.r.hands, INTERVAL);
    assert_int_equal(run_bursts(&k), 1);
    tell(&k, 1, NOTICE_NOT_ISOLATED);
    n = last_of(&k, 1);
    assert_int_equal(store_notice_load(k.r.store, k.r.arena, n.id, &n, NULL), ERR_OK);
    assert_string_equal(n.state, "waiting");
    (void)snprintf(reply, sizeof reply, "\r\nIn-Reply-To: <cordon.%s@contoso.example>\r\n",
                   id_format(d.id, id));
    assert_non_null(strstr(n.message, reply));
    tear_down(&k);
}

static enum err_code release_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct notice_record *n = arg;
    enum err_code code = recipient_move(tx, n->id, 0, RECIPIENT_SENT, 250, "taken", n->created, e);

    return code ? code : notice_release(tx, n->id, n->created, e);
}

/* The leading mail is still to be tried when its digest is made: that one waits, and not for ever. */
static void test_burst__a_digest_follows_the_leading_mail(void **state)
{
    struct crowd k;
    struct notice_record lead, digest;
    struct work w;

    (void)state;
    set_up(&k, "rule");
    tell(&k, 0, NOTICE_ALERT);
    tell(&k, 1, NOTICE_ALERT);
    tell(&k, 2, NOTICE_ALERT);
    hands_turn(&k.r.hands, WAIT);
    assert_int_equal(run_bursts(&k), 1);
    lead = last_of(&k, 0);
    digest = digest_of(&k, 1);
    assert_true(rig_claim(&k.r, WORK_NOTICE, &w));
    assert_int_equal(w.id, lead.id);
    assert_false(rig_claim(&k.r, WORK_NOTICE, &w));
    lead.created = clock_wall_ms(&k.r.hands.clock);
    assert_int_equal(db_write(k.r.store->db, release_fn, &lead, NULL), ERR_OK);
    assert_true(rig_claim(&k.r, WORK_NOTICE, &w));
    assert_int_equal(w.id, digest.id);
    tear_down(&k);
}

/* As many as a list may name, with addresses that have little in common: a key of PostgreSQL's has no room for them. */
static void test_burst__very_many_people_are_told_wherever_it_is_stored(void **state)
{
    enum { PEOPLE = SETTINGS_ADDRESSES_MAX };

    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        const char *to[PEOPLE + 1];
        char url[POSTGRES_URL_MAX];
        uint64_t n = 1;
        struct crowd k;

        if (shared && !postgres_start(NULL))
            skip();
        set_up_on(&k, "rule", shared ? postgres_url(url) : NULL);
        for (size_t i = 0; i < PEOPLE; i++) {
            n = n * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            to[i] = arena_fmt(k.r.arena, "%016llx%016llx@contoso.example", (unsigned long long)n,
                              (unsigned long long)(n * n));
        }
        tell_all(&k, 0, NULL, "tell", NOTICE_ALERT, to, PEOPLE);
        assert_state(&k, 0, "waiting");
        tell_all(&k, 1, NULL, "tell", NOTICE_ALERT, to, PEOPLE);
        assert_state(&k, 1, "held");
        tell_all(&k, 2, NULL, "tell", NOTICE_ALERT, to, PEOPLE - 1);
        assert_state(&k, 2, "waiting");
        hands_turn(&k.r.hands, WAIT);
        assert_int_equal(run_bursts(&k), 1);
        tear_down(&k);
    }
}

int main(void)
{
    int rc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst__the_first_is_not_held_and_what_follows_is_one_mail),
        cmocka_unit_test(test_burst__a_digest_says_that_cordon_is_paused),
        cmocka_unit_test(test_burst__the_next_digest_comes_after_the_interval),
        cmocka_unit_test(test_burst__one_alone_is_a_mail_as_any_other),
        cmocka_unit_test(test_burst__two_notices_of_one_case_are_mails_as_any_other),
        cmocka_unit_test(test_burst__what_others_were_told_makes_nothing_stale),
        cmocka_unit_test(test_burst__what_each_was_told_by_a_mail_of_his_own_makes_stale),
        cmocka_unit_test(test_burst__a_question_makes_the_end_of_an_isolation_no_old_news),
        cmocka_unit_test(test_burst__the_leading_case_is_never_held),
        cmocka_unit_test(test_burst__a_link_to_a_package_is_never_held),
        cmocka_unit_test(test_burst__a_digest_says_the_newest_of_each_case),
        cmocka_unit_test(test_burst__the_newest_is_what_was_told_last_when_a_clock_was_ahead),
        cmocka_unit_test(test_burst__a_digest_asks_whether_isolations_are_still_right),
        cmocka_unit_test(test_burst__other_people_and_other_names_are_other_bursts),
        cmocka_unit_test(test_burst__a_clock_that_is_set_back_holds_nothing_for_longer),
        cmocka_unit_test(test_burst__what_is_too_much_for_one_run_is_told_in_the_next),
        cmocka_unit_test(test_burst__without_an_interval_nothing_is_held),
        cmocka_unit_test(test_burst__what_is_held_outlasts_a_configuration_without_mail),
        cmocka_unit_test(test_burst__mails_before_a_digest_and_behind_it_are_known),
        cmocka_unit_test(test_burst__a_thread_goes_on_from_the_digest),
        cmocka_unit_test(test_burst__a_digest_follows_the_leading_mail),
        cmocka_unit_test(test_burst__very_many_people_are_told_wherever_it_is_stored),
    };

    rc = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_stop();
    return rc;
}
