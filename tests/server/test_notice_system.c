/* test_notice_system.c - what people are told about cordon itself: what is stored, and how often. */
#include "engine_kit.h"

#include "log.h"
#include "notice.h"
#include "notice_system.h"

static const struct notice_system quiet = {.about = "source:flow",
                                           .kind = "source_quiet",
                                           .subject = "source flow is quiet",
                                           .headline = "A source went quiet",
                                           .body = "Nothing came from it."};

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

struct last {
    const char *about;
    int64_t id, created;
};

static enum err_code last_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct last *l = arg;

    return notice_last(tx, l->about, NULL, &l->id, &l->created, e);
}

/* The last notice about something; id 0: there is none. */
static struct notice_record last(struct rig *r, const char *about)
{
    struct last l = {.about = about};
    struct notice_record n = {0};

    assert_int_equal(db_read(r->store->db, last_fn, &l, NULL), ERR_OK);
    if (l.id)
        assert_int_equal(store_notice_load(r->store, r->arena, l.id, &n, NULL), ERR_OK);
    return n;
}

static void tell(struct rig *r, const struct notice_system *n)
{
    struct err e = {0};

    if (notice_system_tell(r->g, n, &e))
        fail_msg("%s", e.text);
}

static void test_notice_system__goes_to_whom_the_mail_part_names(void **state)
{
    const struct notice_system_fact facts[] = {{"Asked by", "http://evil.example/<b>"}};
    struct notice_system n = quiet;
    struct notice_record seen;
    struct work w;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    log_divert(no_line, NULL);
    n.facts = facts;
    n.n_facts = 1;
    tell(&r, &n);
    seen = last(&r, "source:flow");
    assert_string_equal(seen.subject, "[CORDON] source flow is quiet");
    assert_string_equal(seen.kind, "source_quiet");
    assert_string_equal(seen.about, "source:flow");
    assert_int_equal(seen.case_id, 0);
    assert_int_equal(seen.n_recipients, 1);
    assert_string_equal(seen.recipients[0].address, "soc@contoso.example");
    assert_non_null(strstr(seen.message, "\r\nSubject: [CORDON] source flow is quiet\r\n"));
    assert_non_null(strstr(seen.message, "\r\nX-Cordon-About: source:flow\r\n"));
    assert_non_null(strstr(seen.message, "\r\nX-Cordon-State: source_quiet\r\n"));
    assert_null(strstr(seen.message, "In-Reply-To"));
    assert_null(strstr(rig_text(&r, seen.message), "http://evil")); /* a stranger's link is none */
    assert_true(rig_claim(&r, WORK_NOTICE, &w));
    assert_int_equal(w.id, seen.id);
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* With as many rows as a post has room for, the last ones among them: they sum up. */
static void test_notice_system__is_posted_where_nobody_can_be_mailed(void **state)
{
    static const char rules[] =
        "webhooks: {siem: {url: 'https://x.example/a', template: teams}}\n" RULES_MAIL_ONLY;
    struct notice_system_fact facts[70];
    struct notice_system n = quiet;
    struct notice_record seen;
    struct runtime *rt;
    struct rig r;

    (void)state;
    rig_open(&r, rules);
    log_divert(no_line, NULL);
    rt = rig_runtime(&r, rules);
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        facts[i] =
            (struct notice_system_fact){"Case", arena_fmt(r.arena, "http://e%zu.example/", i)};
    n.facts = facts;
    n.n_facts = sizeof facts / sizeof *facts;
    tell(&r, &n);
    seen = last(&r, "source:flow");
    assert_true(seen.id != 0);
    assert_string_equal(seen.channel, "webhook:siem");
    assert_string_equal(seen.subject, "[CORDON] source flow is quiet");
    assert_int_equal(seen.case_id, 0);
    assert_non_null(strstr(seen.message, "Nothing came from it."));
    assert_non_null(strstr(seen.message, "e0\\\\["));
    assert_null(strstr(seen.message, "e20\\\\["));
    assert_non_null(strstr(seen.message, "e7\\\\["));
    assert_null(strstr(seen.message, "e8\\\\["));
    assert_non_null(strstr(seen.message, "59 more rows"));
    assert_null(strstr(seen.message, "e66\\\\["));
    assert_non_null(strstr(seen.message, "e67\\\\["));
    assert_non_null(strstr(seen.message, "e69\\\\["));
    assert_null(strstr(seen.message, "http://e")); /* a stranger's link is none */
    n.n_facts = 3;
    n.kind = "source_back";
    tell(&r, &n);
    assert_non_null(strstr(last(&r, "source:flow").message, "e2\\\\["));
    log_divert(NULL, NULL);
    rig_close(&r);
}

static void test_notice_system__is_not_repeated_within_its_time(void **state)
{
    struct notice_system n = quiet, other = quiet;
    int64_t first, second;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    log_divert(no_line, NULL);
    n.not_within = HOUR_MS;
    tell(&r, &n);
    first = last(&r, n.about).id;
    assert_true(first != 0);
    hands_turn(&r.hands, HOUR_MS - 1);
    tell(&r, &n);
    assert_int_equal(last(&r, n.about).id, first);
    other.about = "source:other"; /* about something else: a time of its own */
    other.not_within = HOUR_MS;
    tell(&r, &other);
    assert_true(last(&r, other.about).id != 0);
    other = n;
    other.kind = "source_back"; /* and so has another kind */
    tell(&r, &other);
    second = last(&r, n.about).id;
    assert_true(second != first);
    hands_turn(&r.hands, 1);
    tell(&r, &n);
    assert_true(last(&r, n.about).id != second);
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* The clock was ahead by days when it was told, and was set back: that keeps nobody untold for as long. */
static void test_notice_system__a_clock_that_was_ahead_keeps_nothing_back(void **state)
{
    struct notice_system n = quiet;
    int64_t first, second;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    log_divert(no_line, NULL);
    n.not_within = HOUR_MS;
    hands_turn(&r.hands, 7 * DAY_MS);
    tell(&r, &n);
    first = last(&r, n.about).id;
    hands_turn(&r.hands, -7 * DAY_MS);
    tell(&r, &n);
    second = last(&r, n.about).id;
    assert_true(second > first);
    hands_turn(&r.hands, -SECOND_MS); /* a second is no reason to say it again */
    tell(&r, &n);
    hands_turn(&r.hands, HOUR_MS);
    tell(&r, &n);
    assert_int_equal(last(&r, n.about).id, second);
    hands_turn(&r.hands, SECOND_MS);
    tell(&r, &n);
    assert_true(last(&r, n.about).id > second);
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* "It is back" answers "it is quiet", and waits for it while that was not tried. */
static void test_notice_system__one_that_follows_is_a_reply(void **state)
{
    struct notice_system back = quiet;
    struct notice_record first, second;
    char id[ID_TEXT_SIZE], reply[80];
    struct work w;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    log_divert(no_line, NULL);
    tell(&r, &quiet);
    first = last(&r, quiet.about);
    back.kind = "source_back";
    back.follows = back.good = true;
    tell(&r, &back);
    second = last(&r, quiet.about);
    (void)snprintf(reply, sizeof reply, "\r\nIn-Reply-To: <cordon.%s@contoso.example>\r\n",
                   id_format(first.id, id));
    assert_non_null(strstr(second.message, reply));
    assert_int_equal(second.after, first.id);
    assert_true(rig_claim(&r, WORK_NOTICE, &w));
    assert_int_equal(w.id, first.id);
    assert_false(rig_claim(&r, WORK_NOTICE, &w));
    log_divert(NULL, NULL);
    rig_close(&r);
}

/* A case's thread knows nothing of them. */
static void test_notice_system__is_of_no_case(void **state)
{
    struct notice_record *list;
    size_t n = 1;
    int64_t id;
    struct rig r;

    (void)state;
    rig_open(&r, NULL);
    log_divert(no_line, NULL);
    id = rig_push(&r, ALERT, MACHINE);
    tell(&r, &quiet);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
    log_divert(NULL, NULL);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notice_system__goes_to_whom_the_mail_part_names),
        cmocka_unit_test(test_notice_system__is_posted_where_nobody_can_be_mailed),
        cmocka_unit_test(test_notice_system__is_not_repeated_within_its_time),
        cmocka_unit_test(test_notice_system__a_clock_that_was_ahead_keeps_nothing_back),
        cmocka_unit_test(test_notice_system__one_that_follows_is_a_reply),
        cmocka_unit_test(test_notice_system__is_of_no_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
