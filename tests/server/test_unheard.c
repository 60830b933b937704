/* test_unheard.c - what is told in the place of a notice that reached nobody, on a clock whose hands the test turns.
 *
 * The mail server is the simulator's: what counts is what it took, and what was posted to the peer.
 */
#include "fallback_kit.h"

#include <stdatomic.h>

#include "desk.h"
#include "notice_system.h"
#include "smtp.h"

static const struct notice_system quiet = {.about = "source:flow",
                                           .kind = "source_quiet",
                                           .subject = "source flow is quiet",
                                           .headline = "A source went quiet",
                                           .body = "Nothing came from it."};

/* Nobody but a webhook was told of the case, and that takes nothing, or is not configured any more. */
static void test_unheard__what_no_webhook_takes_goes_to_mail_to(void **state)
{
    static const struct {
        const char *rules, *after; /* of a reload; NULL: there is none */
        int64_t wait_ms, step_ms;
        size_t taken;
    } rows[] = {
        {"webhook: {to: siem}", NULL, 6 * DAY_MS, 2 * HOUR_MS, 1},
        {"webhook: {to: siem}", "webhook: {to: chat}", HOUR_MS, MINUTE_MS, 1},
        {"webhook: {to: siem}, email: {}", "webhook: {to: chat}", HOUR_MS, MINUTE_MS, 1}, /* once */
    };
    static const char parts[] = "webhooks: {%s: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                                "rules: [{name: tell, do: [%s]}]\n";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        char rules[300];

        (void)snprintf(rules, sizeof rules, parts, "siem", rows[i].rules);
        open_scene(&s, rules);
        (void)rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        if (rows[i].after) {
            (void)snprintf(rules, sizeof rules, parts, "chat", rows[i].after);
            use_rules(&s.r, rules, s.mail, "");
        }
        pass(&s.r, rows[i].wait_ms, rows[i].step_ms);
        assert_int_equal(taken(s.sim, "[ALERT]"), rows[i].taken);
        close_scene(&s);
    }
}

/* Nor can it be mailed to anybody at all: where there are webhooks, those hear it, once. */
static void test_unheard__what_no_mail_can_tell_is_posted(void **state)
{
    static const struct {
        const char *steps;
        int posts;
        const char *said; /* in the last of them; NULL: there is none */
    } rows[] = {
        {"email: {to: [gone@x.example]}", 1, "[ALERT] "},
        {"email: {to: [here@x.example]}, email: {to: [gone@x.example]}", 0, NULL},
        {"webhook: {to: siem}, email: {to: [gone@x.example]}", 1, "[ALERT] "},
        {"isolate: {}, email: {to: [gone@x.example]}", 2, "[ISOLATED] "},
        /* that it is asked for is no news after the step that failed beside it */
        {"isolate: {}, tag: {add: x}, email: {to: [gone@x.example]}, webhook: {to: siem}", 3,
         "[ISOLATED] "},
        /* the user's helpdesk has got its mail, and judges nothing */
        {"isolate: {}, email: {to: [gone@x.example]},"
         " email: {audience: desk, to: [desk@x.example]}",
         2, "[ISOLATED] "},
        /* the post is not there yet when the mail is refused */
        {"tag: {add: x}, email: {to: [gone@x.example]}, webhook: {to: siem}", 1, "[NOT DONE: tag"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        const char *last = NULL;
        char rules[400];

        print_message("  %s\n", rows[i].steps);
        open_scene(&s, RULES_MAIL_ONLY);
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: '%s/hook', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       peer_url(s.r.peer), rows[i].steps);
        use_rules(&s.r, rules, s.mail, "");
        rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
        rig_says(&s.r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
        rig_says(&s.r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        rig_says(&s.r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        sim_tell(s.sim, "/config",
                 "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\","
                 "\"soc@contoso.example\":\"550 5.1.1 no such user\"}}}");
        (void)rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        pass(&s.r, HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_seen(&s.r, "POST", "/hook"), rows[i].posts);
        for (size_t k = 0; k < peer_count(s.r.peer); k++)
            if (strcmp(peer_request(s.r.peer, k)->target, "/hook") == 0)
                last = peer_request(s.r.peer, k)->body;
        assert_true(!last == !rows[i].said);
        if (last && rows[i].said)
            assert_non_null(strstr(last, rows[i].said));
        close_scene(&s);
    }
}

/* What came of a step is no word of how the case stands, nor the other way round: the mail of one is refused, and webhooks have the
 * other or know nothing. */
static void test_unheard__what_came_of_a_step_is_posted_beside_how_the_case_stands(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, "rules: [{name: tell, do: [isolate: {}, email: {}, tag: {add: x}]}]\n");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    rig_says(&s.r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    refuse_soc(s.sim);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(posted(&s.r, "[REQUESTED] "), 1);
    assert_int_equal(posted(&s.r, "[NOT DONE: tag: "), 1);
    close_scene(&s);
}

/* mail.to is gone, and mended while a case is under way: who was posted how it stood is posted how it ended. */
static void test_unheard__who_was_posted_what_no_mail_can_tell_hears_the_end(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, RULES_ISOLATE_AND_MAIL);
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    refuse_soc(s.sim);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 1);
    assert_non_null(strstr(last_post(&s.r), "[REQUESTED] "));
    sim_tell(s.sim, "/config", "{\"smtp\":{\"reject\":{}}}");
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(taken(s.sim, "[ISOLATED]"), 1);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 2);
    assert_non_null(strstr(last_post(&s.r), "[ISOLATED] "));
    close_scene(&s);
}

/* In a storm most cases have no mail of their own: those of a digest that reaches nobody are posted as well. */
static void test_unheard__the_cases_of_a_digest_that_no_mail_can_tell_are_posted(void **state)
{
    struct scene s;
    struct runtime *rt;
    const char *body;

    (void)state;
    open_scene(&s, RULES_MAIL_ONLY);
    rt = read_rules(&s.r, with_siem(&s.r, RULES_MAIL_ONLY), s.mail, "");
    rt->config->mail.group.interval_ms = 5 * MINUTE_MS;
    engine_use(s.r.g, rt);
    refuse_soc(s.sim);
    for (int i = 0; i < 3; i++) {
        char id[40];

        see_number(&s.r, i, id);
        rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
        rig_says(&s.r, "GET", LIST, 0, 200, NOTHING);
        (void)rig_push(&s.r, id, MACHINE);
        (void)rig_work(&s.r);
    }
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(sim_state(s.sim, "mails"), 0);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 2); /* of the first, and of the others */
    body = last_post(&s.r);
    assert_non_null(strstr(body, "[2 ALERT] 2 cases"));
    assert_non_null(strstr(body, "Number 1"));
    assert_non_null(strstr(body, "Number 2"));
    close_scene(&s);
}

/* And so is what each of them has come to, beside what came of another step of it since. */
static void test_unheard__a_digest_is_posted_with_how_a_case_stands_and_its_steps(void **state)
{
    static const char *const said[] = {
        "[NOT ISOLATED: ", "[NOT DONE: tag: ", "[NOT DONE: annotate: "};
    struct scene s;
    struct runtime *rt;

    (void)state;
    open_scene(&s, RULES_MAIL_ONLY);
    rt = read_rules(&s.r,
                    with_siem(&s.r,
                              "rules: [{name: contain, do: [isolate: {}, email: {}, tag: {add: x},"
                              " annotate: {comment: b}]}]\n"),
                    s.mail, "");
    rt->config->mail.group.interval_ms = 5 * MINUTE_MS;
    engine_use(s.r.g, rt);
    refuse_soc(s.sim);
    for (int i = 0; i < 3; i++) {
        char id[40];

        see_number(&s.r, i, id);
        rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
        rig_says(&s.r, "GET", LIST, 0, 403, "{}");
        rig_says(&s.r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        rig_says(&s.r, "PATCH", GET_ALERT, 0, 403, "{}");
        (void)rig_push(&s.r, id, MACHINE);
        (void)rig_work(&s.r);
    }
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(sim_state(s.sim, "mails"), 0);
    assert_non_null(strstr(last_post(&s.r), "2 cases"));
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        const char *at = strstr(last_post(&s.r), said[i]);

        print_message("  %s\n", said[i]);
        assert_non_null(at);
        assert_non_null(strstr(at + 1, said[i])); /* of both */
    }
    close_scene(&s);
}

/* The mail server is down, and a reload has webhooks in its place: they hear what waits for it, or is held for a digest. */
static void test_unheard__what_waits_for_mail_is_posted_when_there_is_none_any_more(void **state)
{
    struct scene s;
    size_t n_ways;
    struct runtime *rt;

    (void)state;
    open_scene(&s, RULES_MAIL_ONLY);
    rt = read_rules(&s.r, RULES_MAIL_ONLY, s.mail, "");
    rt->config->mail.group.interval_ms = 5 * MINUTE_MS;
    engine_use(s.r.g, rt);
    sim_tell(s.sim, "/config", DOWN);
    for (int i = 0; i < 3; i++) {
        char id[40];

        see_number(&s.r, i, id);
        rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
        rig_says(&s.r, "GET", LIST, 0, 200, NOTHING);
        (void)rig_push(&s.r, id, MACHINE);
        (void)rig_work(&s.r);
    }
    rt = read_rules(&s.r, with_siem(&s.r, "rules: [{name: tell, do: [webhook: {to: siem}]}]\n"),
                    s.mail, "");
    rt->config->mail.server = NULL;
    rt->config->mail.from = NULL;
    rt->config->mail.to.count = 0;
    n_ways = rt->config->mail.n_ways;
    rt->config->mail.n_ways = 0;
    engine_use(s.r.g, rt);
    pass(&s.r, 2 * HOUR_MS, 5 * MINUTE_MS);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 2);
    assert_int_equal(posted(&s.r, "Number 0"), 1);
    assert_int_equal(posted(&s.r, "[2 ALERT] 2 cases"), 1);
    assert_int_equal(posted(&s.r, "Number 2"), 1);
    pass(&s.r, DAY_MS, 4 * HOUR_MS);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 2);
    rt->config->mail.n_ways = n_ways; /* to be freed */
    close_scene(&s);
}

/* Nor can the question reach any of those who may answer: it is posted as one, once, with how to answer; and then its end. */
static void test_unheard__a_question_that_no_mail_can_ask_is_posted(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(
        &s, "rules: [{name: contain, do: [ask: {approvers: [gone@x.example, left@x.example]},"
            " isolate: {}, email: {}]}]\n");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    sim_tell(s.sim, "/config",
             "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\","
             "\"left@x.example\":\"550 5.1.1 no such user\","
             "\"soc@contoso.example\":\"550 5.1.1 no such user\"}}}");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 1);
    assert_non_null(strstr(last_post(&s.r), "[QUESTION] "));
    assert_non_null(strstr(last_post(&s.r), "isolate full"));
    assert_non_null(strstr(last_post(&s.r), "cordon approve "));
    assert_null(strstr(last_post(&s.r), "/approve/"));
    pass(&s.r, 5 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(rig_seen(&s.r, "POST", "/hook"), 2);
    assert_non_null(strstr(last_post(&s.r), "[NOT ISOLATED: nobody answered in time]"));
    close_scene(&s);
}

/* Nor can one about many: it is posted, and so is that nobody answered, which is all that people hear of its cases. */
static void test_unheard__a_question_over_many_that_no_mail_can_ask_is_posted(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s,
                    "rules: [{name: contain, do: [isolate: {}]}]\n"
                    "safety: {canary: 1, ask: {approvers: [gone@x.example, left@x.example]}}\n");
    sim_tell(s.sim, "/config",
             "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\","
             "\"left@x.example\":\"550 5.1.1 no such user\","
             "\"soc@contoso.example\":\"550 5.1.1 no such user\"}}}");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(posted(&s.r, "[QUESTION] 1 machine: "), 1);
    assert_non_null(strstr(last_post(&s.r), "cordon approve "));
    assert_non_null(strstr(last_post(&s.r), "ws-114"));
    assert_null(strstr(last_post(&s.r), "/approve/"));
    pass(&s.r, 5 * HOUR_MS, 10 * MINUTE_MS);
    assert_int_equal(posted(&s.r, "[NOT ISOLATED: nobody answered in time] 1 machine"), 1);
    assert_non_null(strstr(last_post(&s.r), "cordon cases retry"));
    assert_non_null(strstr(last_post(&s.r), "ws-114"));
    assert_int_equal(posted(&s.r, ""), 2);
    close_scene(&s);
}

/* Nor what cordon says of itself. */
static void test_unheard__what_cordon_can_mail_nobody_of_itself_is_posted(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, RULES_MAIL_ONLY);
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    refuse_soc(s.sim);
    assert_int_equal(notice_system_tell(s.r.g, &quiet, NULL), ERR_OK);
    work_all(&s.r);
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(posted(&s.r, "[CORDON] source flow is quiet"), 1);
    assert_non_null(strstr(last_post(&s.r), "Nothing came from it."));
    assert_int_equal(posted(&s.r, ""), 1);
    close_scene(&s);
}

static atomic_size_t nobodies; /* of cases, and of what is cordon's own */

static void count_nobodies(enum log_level level, const char *line, void *ctx)
{
    (void)level, (void)ctx;
    if (strstr(line, "\"event\":\"nobody_told\"") &&
        (strstr(line, "\"case\":") || strstr(line, "source:flow")))
        atomic_fetch_add(&nobodies, 1);
}

static void count_questions(enum log_level level, const char *line, void *ctx)
{
    (void)level, (void)ctx;
    if (strstr(line, "\"event\":\"nobody_told\"") && strstr(line, "\"kind\":\"question\""))
        atomic_fetch_add(&nobodies, 1);
}

/* There is nobody to mail, either: nobody knows, and the log says so. */
static void test_unheard__what_reaches_nobody_at_all_is_said(void **state)
{
    static const char *const steps[] = {"webhook: {to: siem}", "isolate: {}, webhook: {to: siem}"};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct notice_record *list;
        struct runtime *rt;
        char rules[300];
        struct rig r;
        size_t n = 0;
        int64_t id;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       steps[i]);
        open_rig(&r, rules, NO_SERVER, "");
        rt = read_rules(&r, rules, NO_SERVER, "");
        rt->config->mail.server = NULL;
        rt->config->mail.to.count = 0;
        engine_use(r.g, rt);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 403, "{}");
        atomic_store(&nobodies, 0);
        log_divert(count_nobodies, NULL);
        id = rig_push(&r, ALERT, MACHINE);
        work_all(&r);
        assert_int_equal(atomic_load(&nobodies), 0);
        pass(&r, 6 * DAY_MS, 2 * HOUR_MS);
        assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1); /* what took nothing for five days is not asked anew, for ever */
        assert_string_equal(list[0].kind, i ? "not_isolated" : "alert");
        assert_string_equal(list[0].state, "failed");
        assert_int_equal(atomic_load(&nobodies), 1);
        close_rig(&r);
    }
}

/* Nor does a mail reach anybody, and there is no webhook: the log says so, of a case and of what is cordon's own. */
static void test_unheard__a_mail_that_reaches_nobody_is_said_to(void **state)
{
    static const char gone[] =
        "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\","
        "\"soc@contoso.example\":\"550 5.1.1 no such user\"}}}";
    static const char *const steps[] = {
        "email: {}", "email: {to: [here@x.example]}, email: {to: [gone@x.example]}"};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct scene s;
        char rules[200];

        (void)snprintf(rules, sizeof rules, "rules: [{name: tell, do: [%s]}]\n", steps[i]);
        open_scene(&s, rules);
        sim_tell(s.sim, "/config", gone);
        atomic_store(&nobodies, 0);
        log_divert(count_nobodies, NULL);
        (void)rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        assert_int_equal(atomic_load(&nobodies), i ? 0 : 1); /* somebody has got one */
        assert_int_equal(notice_system_tell(s.r.g, &quiet, NULL), ERR_OK);
        work_all(&s.r);
        assert_int_equal(atomic_load(&nobodies), i ? 1 : 2);
        close_scene(&s);
    }
}

/* A webhook took nothing of how the case stands, and then what came of a step: that says nothing of the first, whose mail is refused,
 * too. */
static void test_unheard__a_step_that_a_webhook_heard_of_hides_nothing_that_nobody_did(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, "rules: [{name: tell, do: [isolate: {}, webhook: {to: siem}, email: {},"
                        " tag: {add: x}]}]\n");
    rig_afresh(&s.r);
    rig_says(&s.r, "GET", LIST, 0, 403, "{}");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    sim_tell(s.sim, "/config",
             "{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"451 4.7.1 try later\"}}}");
    atomic_store(&nobodies, 0);
    log_divert(count_nobodies, NULL);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    assert_int_equal(posted(&s.r, "[NOT ISOLATED: "), 1);
    assert_int_equal(posted(&s.r, "[NOT DONE: tag: "), 1);
    rig_sql(&s.r, "UPDATE recipients SET state = 'refused' WHERE notice_id IN (SELECT id FROM"
                  " notices WHERE channel IS NOT NULL AND kind = 'not_isolated')");
    rig_sql(&s.r, "UPDATE notices SET state = 'failed' WHERE channel IS NOT NULL"
                  " AND kind = 'not_isolated'");
    refuse_soc(s.sim);
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(atomic_load(&nobodies), 1);
    close_scene(&s);
}

/* What a canary asked was answered. That a person is to say how to go on after a step is another question, and its mail is refused:
 * nobody knows of it. */
static void test_unheard__a_question_is_not_told_by_one_over_many_that_was_asked_before(
    void **state)
{
    struct scene s;
    struct question_record *list;
    struct desk_order yes = {.who = "maria"};
    size_t n = 0;

    (void)state;
    open_scene(&s, "rules: [{name: contain, do: [{isolate: {}}, {tag: {add: x}, on_failure: ask},"
                   " {annotate: {comment: b}}]}]\n"
                   "safety: {canary: 1, ask: {within: 4h}}\n");
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(taken(s.sim, "[QUESTION] 1 machine"), 1);
    refuse_soc(s.sim);
    atomic_store(&nobodies, 0);
    log_divert(count_questions, NULL);
    assert_int_equal(
        store_question_list(s.r.store, s.r.arena, QUESTION_OPEN, 0, 1, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    yes.id = list[0].id;
    assert_int_equal(desk_approve(s.r.g, &yes, NULL), ERR_OK);
    pass(&s.r, 5 * MINUTE_MS, 5 * SECOND_MS);
    assert_int_equal(rig_seen(&s.r, "POST", ISOLATE), 1);
    assert_int_equal(atomic_load(&nobodies), 1);
    close_scene(&s);
}

/* An answer of Defender's with a link, which no notice shows as one. */
#define SEE "{\"error\":{\"code\":\"Forbidden\",\"message\":\"see https://aka.ms/x\"}}"

/* Two steps come to nothing, and the webhook takes its posts a moment after their mails are refused: each is one post. */
static void test_unheard__steps_whose_posts_are_still_to_leave_are_posted_once(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, "rules: [{name: tell, do: [webhook: {to: siem}, tag: {add: x},"
                        " annotate: {comment: b}]}]\n");
    rig_says(&s.r, "POST", "/hook", 3, 503, "later");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, SEE);
    rig_says(&s.r, "PATCH", GET_ALERT, 0, 403, SEE);
    refuse_soc(s.sim);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    peer_forget(s.r.peer);
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(posted(&s.r, "[ALERT]"), 1);
    assert_int_equal(posted(&s.r, "[NOT DONE: tag: "), 1);
    assert_int_equal(posted(&s.r, "[NOT DONE: annotate: "), 1);
    close_scene(&s);
}

/* There are webhooks alone, and a person has the case tried again: that the step came to nothing again is news there, too. */
static void test_unheard__a_webhook_hears_that_a_step_failed_again(void **state)
{
    struct desk_order again = {0};
    struct runtime *rt;
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    rt = read_rules(
        &r, with_siem(&r, "rules: [{name: tell, do: [tag: {add: x}, webhook: {to: siem}]}]\n"),
        NO_SERVER, "");
    rt->config->mail.server = NULL;
    engine_use(r.g, rt);
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    again.id = rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    assert_int_equal(posted(&r, "[NOT DONE: tag: "), 1);
    hands_turn(&r.hands, HOUR_MS);
    assert_int_equal(desk_retry(r.g, &again, NULL), ERR_OK);
    work_all(&r);
    assert_int_equal(posted(&r, "[NOT DONE: tag: "), 2);
    close_rig(&r);
}

/* The webhook took nothing but the alert, and the scan came to its end: whom no mail had told of the case hear of the scan, not of
 * the alert that the webhook has. */
static void test_unheard__what_came_of_a_step_that_no_webhook_takes_is_mailed(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, "rules: [{name: tell, do: [scan: {}, webhook: {to: siem}]}]\n");
    rig_says(&s.r, "POST", "/hook", 1, 200, "ok");
    rig_says(&s.r, "POST", "/hook", 0, 404, "gone");
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/runAntiVirusScan", 1, 201,
             ACTION_DOC(ACTION, "RunAntiVirusScan", "Pending", "null", "11:12"));
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "RunAntiVirusScan", "Succeeded", "null", "11:12"));
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(posted(&s.r, "[ALERT]"), 1);
    pass(&s.r, 6 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(taken(s.sim, "[DONE: antivirus scan"), 1);
    assert_int_equal(taken(s.sim, "[ALERT]"), 0);
    close_scene(&s);
}

/* And of the other one, which no webhook takes either: that one was mailed tells nobody of the other. */
static void test_unheard__each_step_that_no_webhook_takes_is_mailed(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s,
                    "rules: [{name: tell, do: [scan: {}, restrict: {}, webhook: {to: siem}]}]\n");
    rig_says(&s.r, "POST", "/hook", 1, 200, "ok");
    rig_says(&s.r, "POST", "/hook", 0, 404, "gone");
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/runAntiVirusScan", 1, 201,
             ACTION_DOC(ACTION, "RunAntiVirusScan", "Pending", "null", "11:12"));
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/restrictCodeExecution", 1, 201,
             ACTION_DOC("b2", "RestrictCodeExecution", "Pending", "null", "11:12"));
    rig_says(&s.r, "GET", GET_ACTION ACTION, 0, 200,
             ACTION_DOC(ACTION, "RunAntiVirusScan", "Succeeded", "null", "11:12"));
    rig_says(&s.r, "GET", GET_ACTION "b2", 0, 200,
             ACTION_DOC("b2", "RestrictCodeExecution", "Succeeded", "null", "11:12"));
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, HOUR_MS, MINUTE_MS);
    assert_int_equal(posted(&s.r, "[ALERT]"), 1);
    pass(&s.r, 12 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(taken(s.sim, "[DONE: antivirus scan"), 1);
    assert_int_equal(taken(s.sim, "[DONE: restriction of applications"), 1);
    assert_int_equal(taken(s.sim, "[CORDON] what was told"), 0);
    close_scene(&s);
}

/* Nobody knows whether Defender carried the scan out, and the mail that says so is refused: the post does not say that it was not done. */
static void test_unheard__what_nobody_knows_of_a_step_is_posted_so(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, "rules: [{name: tell, do: [scan: {}, email: {}]}]\n");
    rig_says(&s.r, "POST", "/hook", 0, 200, "ok");
    rig_says(&s.r, "POST", "/api/machines/" MACHINE "/runAntiVirusScan", 1, 201,
             ACTION_DOC(ACTION, "RunAntiVirusScan", "Pending", "null", "11:12"));
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "RunAntiVirusScan", "Pending", "null", "11:12"));
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    refuse_soc(s.sim);
    pass(&s.r, 5 * DAY_MS, HOUR_MS);
    assert_int_equal(posted(&s.r, "[NOT DONE: antivirus scan: "), 1);
    assert_non_null(strstr(last_post(&s.r), "Nobody knows whether"));
    close_scene(&s);
}

/* A file has a name for which the mail server takes no mail: one without it says that there is something to look at. */
static void test_unheard__what_is_refused_for_what_it_says_is_told_without_that(void **state)
{
    struct scene s;
    char id[ID_TEXT_SIZE];
    struct work w;
    int64_t of;

    (void)state;
    open_scene(&s, RULES_ISOLATE_AND_MAIL);
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:12"));
    sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":\"554 5.7.1 rejected as spam\"}}");
    of = rig_push(&s.r, ALERT, MACHINE);
    (void)rig_work(&s.r);
    assert_true(rig_claim(&s.r, WORK_NOTICE, &w));
    notice_run(s.r.g, &w);
    sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":null}}");
    work_all(&s.r);
    assert_int_equal(taken(s.sim, "[CORDON] what was told about case "), 1);
    assert_int_equal(sim_state(s.sim, "mails"), 1);
    {
        AUTO(json_freep) struct json *mails = sim_get(s.sim, "/mails");
        const char *raw = json_get_string(json_first(json_get(mails, "mails")), "raw");

        assert_non_null(strstr(raw, id_format(of, id)));
        assert_null(strstr(raw, "Credential"));
        assert_null(strstr(raw, "ws-114"));
    }
    close_scene(&s);
}

/* Nor is that a silence has ended, and what it withheld; or what a hunt found. */
static void test_unheard__what_is_refused_of_many_is_told_without_that(void **state)
{
    static const struct notice_system_fact facts[] = {{"Case 1", "Medium: invoice.exe on ws-114"}};
    static const struct {
        const char *about, *kind, *said;
        size_t taken;
    } rows[] = {
        {"silence:0sc", "silence_ended", "[CORDON] what was told about a silence", 1},
        {"hunt:lsass", "hunt_found", "[CORDON] what was told about a hunt", 1},
        {"machine:9c1f", "review", "[CORDON] what was told about a machine", 1},
        {"source:flow", "source_quiet", "[CORDON] ", 0}, /* in which nobody else has a part */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct notice_system n = {.about = rows[i].about,
                                        .kind = rows[i].kind,
                                        .subject = "two cases withheld",
                                        .headline = "It is over",
                                        .body = "Look at them.",
                                        .facts = facts,
                                        .n_facts = 1};
        struct scene s;
        struct work w;

        print_message("  %s\n", rows[i].kind);
        open_scene(&s, RULES_MAIL_ONLY);
        sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":\"554 5.7.1 rejected as spam\"}}");
        assert_int_equal(notice_system_tell(s.r.g, &n, NULL), ERR_OK);
        assert_true(rig_claim(&s.r, WORK_NOTICE, &w));
        notice_run(s.r.g, &w);
        sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":null}}");
        work_all(&s.r);
        assert_int_equal(taken(s.sim, rows[i].said), rows[i].taken);
        assert_int_equal(sim_state(s.sim, "mails"), rows[i].taken);
        if (rows[i].taken) {
            AUTO(json_freep) struct json *mails = sim_get(s.sim, "/mails");
            const char *raw = json_get_string(json_first(json_get(mails, "mails")), "raw");

            assert_non_null(strstr(raw, rows[i].about));
            assert_null(strstr(raw, "invoice"));
        }
        close_scene(&s);
    }
}

/* A question a moment later is no old news: that it reached nobody is said as well, once. */
static void test_unheard__a_question_that_is_refused_for_what_it_says_is_told_besides(void **state)
{
    struct scene s;
    struct work w;

    (void)state;
    open_scene(&s, "rules: [{name: contain, do: [email: {},"
                   " ask: {approvers: [soc@contoso.example, a@x.example]}, isolate: {}]}]\n");
    sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":\"554 5.7.1 rejected as spam\"}}");
    (void)rig_push(&s.r, ALERT, MACHINE);
    (void)rig_work(&s.r);
    for (int i = 0; i < 3; i++) {
        hands_turn(&s.r.hands, MINUTE_MS);
        assert_true(rig_claim(&s.r, WORK_NOTICE, &w));
        notice_run(s.r.g, &w);
    }
    sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":null}}");
    work_all(&s.r);
    assert_int_equal(taken(s.sim, "[CORDON] what was told about case "), 2);
    assert_int_equal(sim_state(s.sim, "mails"), 2);
    close_scene(&s);
}

#define ASK_TWO "ask: {within: 1h, approvers: [gone@x.example, soc@contoso.example]}"

/* Two are asked about many, and one of them has no mailbox: how that ended the other hears once, by the mail that is his own. */
static void test_unheard__who_was_asked_besides_hears_the_end_once(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, "rules: [{name: contain, do: [isolate: {}, email: {}]}]\n"
                   "safety: {canary: 1, " ASK_TWO "}\n");
    sim_tell(s.sim, "/config",
             "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\"}}}");
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 2 * HOUR_MS, MINUTE_MS);
    assert_int_equal(taken(s.sim, "[QUESTION] 1 machine"), 1);
    assert_int_equal(taken(s.sim, "[NOT ISOLATED: nobody answered in time]"), 1);
    close_scene(&s);
}

/* Each of two who are asked has a mail of his own, and one has no mailbox: that is not said to have reached nobody. */
static void test_unheard__what_another_was_asked_is_not_said_to_reach_nobody(void **state)
{
    static const char *const rows[] = {"rules: [{name: contain, do: [" ASK_TWO
                                       ", isolate: {}, email: {}]}]\n",
                                       "rules: [{name: contain, do: [isolate: {}, email: {}]}]\n"
                                       "safety: {canary: 1, " ASK_TWO "}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;

        print_message("  %s", rows[i]);
        open_scene(&s, rows[i]);
        sim_tell(s.sim, "/config",
                 "{\"smtp\":{\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\"}}}");
        atomic_store(&nobodies, 0);
        log_divert(count_questions, NULL);
        (void)rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        pass(&s.r, 2 * HOUR_MS, MINUTE_MS);
        assert_int_equal(taken(s.sim, "[QUESTION]"), 1);
        assert_true(taken(s.sim, "[NOT ISOLATED: nobody answered in time]") > 0);
        assert_int_equal(taken(s.sim, "[CORDON]"), 0);
        assert_int_equal(atomic_load(&nobodies), 0);
        close_scene(&s);
    }
}

/* Nor is there a mail.to: those whom the rule names are told so. */
static void test_unheard__who_refused_what_it_says_is_told_without_that_where_there_is_no_mail_to(
    void **state)
{
    struct scene s;
    struct runtime *rt;
    struct work w;

    (void)state;
    open_scene(&s, RULES_MAIL_ONLY);
    rt = read_rules(&s.r, "rules: [{name: tell, do: [email: {to: [here@x.example]}]}]\n", s.mail,
                    "");
    rt->config->mail.to.count = 0;
    engine_use(s.r.g, rt);
    sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":\"554 5.7.1 rejected as spam\"}}");
    (void)rig_push(&s.r, ALERT, MACHINE);
    (void)rig_work(&s.r);
    assert_true(rig_claim(&s.r, WORK_NOTICE, &w));
    notice_run(s.r.g, &w);
    sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":null}}");
    work_all(&s.r);
    assert_int_equal(taken(s.sim, "[CORDON] what was told about case "), 1);
    assert_int_equal(sim_state(s.sim, "mails"), 1);
    close_scene(&s);
}

/* Nor is there a mail.to, and whom another step names has no mailbox, or a webhook is down and given up last: that is no reason
 * not to tell them. */
static void test_unheard__who_refused_what_it_says_is_told_whoever_else_was_to_hear(void **state)
{
    static const char *const rows[] = {
        "email: {to: [gone@x.example]}, email: {to: [here@x.example]}",
        "email: {to: [here@x.example]}, webhook: {to: siem}"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        char rules[300];
        struct runtime *rt;
        struct work w;

        print_message("  %s\n", rows[i]);
        (void)snprintf(rules, sizeof rules, "%srules: [{name: tell, do: [%s]}]\n",
                       i ? "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                         : "",
                       rows[i]);
        open_scene(&s, RULES_MAIL_ONLY);
        rt = read_rules(&s.r, rules, s.mail, "");
        rt->config->mail.to.count = 0;
        engine_use(s.r.g, rt);
        sim_tell(s.sim, "/config",
                 "{\"smtp\":{\"data_reply\":\"554 5.7.1 rejected as spam\","
                 "\"reject\":{\"gone@x.example\":\"550 5.1.1 no such user\"}}}");
        (void)rig_push(&s.r, ALERT, MACHINE);
        (void)rig_work(&s.r);
        for (size_t k = 0; k < (i ? 2 : 3);
             k++) { /* in the first row one to whom there is no mailbox */
            assert_true(rig_claim(&s.r, WORK_NOTICE, &w));
            notice_run(s.r.g, &w);
        }
        sim_tell(s.sim, "/config", "{\"smtp\":{\"data_reply\":null}}");
        pass(&s.r, 6 * DAY_MS, 6 * HOUR_MS);
        assert_int_equal(taken(s.sim, "[CORDON] what was told about case "), 1);
        assert_int_equal(sim_state(s.sim, "mails"), 1);
        close_scene(&s);
    }
}

/* So it is of a post, after days, where nobody can be mailed. */
static void test_unheard__what_a_webhook_refuses_for_what_it_says_is_told_without_that(void **state)
{
    struct runtime *rt;
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    rt = read_rules(&r, with_siem(&r, "rules: [{name: tell, do: [webhook: {to: siem}]}]\n"),
                    NO_SERVER, "");
    rt->config->mail.server = NULL;
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    rig_says(&r, "POST", "/hook", 0, 403, "blocked by the firewall");
    (void)rig_push(&r, ALERT, MACHINE);
    work_all(&r);
    pass(&r, 6 * DAY_MS, 6 * HOUR_MS);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/hook", 0, 200, "ok");
    pass(&r, DAY_MS, HOUR_MS);
    assert_int_equal(posted(&r, "[CORDON] what was told about case "), 1);
    assert_int_equal(posted(&r, "Credential"), 0);
    close_rig(&r);
}

/* Neither the mail of a case nor its post reaches anybody: that is said when the last of them is given up, whichever that is; not
 * where a mail has. */
static void test_unheard__what_neither_mail_nor_post_tells_is_said(void **state)
{
    static const struct {
        const char *steps, *reply; /* of the mail server, for mail.to */
        size_t said;
    } rows[] = {
        {"email: {}, webhook: {to: siem}", "550 5.1.1 no such user", 1},
        {"webhook: {to: siem}", "550 5.1.1 no such user", 1},
        {"webhook: {to: siem}, email: {}", "451 4.7.1 try later", 1},
        {"email: {}, webhook: {to: siem}", NULL, 0},
        {"webhook: {to: siem}", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s;
        char rules[300];

        print_message("  %s: %s\n", rows[i].steps, rows[i].reply ? rows[i].reply : "taken");
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       rows[i].steps);
        open_scene(&s, rules);
        if (rows[i].reply)
            sim_tellf(s.sim, "/config", "{\"smtp\":{\"reject\":{\"soc@contoso.example\":\"%s\"}}}",
                      rows[i].reply);
        atomic_store(&nobodies, 0);
        log_divert(count_nobodies, NULL);
        (void)rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        assert_int_equal(atomic_load(&nobodies), 0); /* the post waits */
        hands_turn(&s.r.hands, MINUTE_MS);
        pass(&s.r, 6 * DAY_MS, 6 * HOUR_MS);
        assert_int_equal(atomic_load(&nobodies), rows[i].said);
        close_scene(&s);
    }
}

/* A question over many holds the isolation back, and one mail to those who were asked tells how it ended: what its webhook takes
 * nothing of then is neither said to reach nobody nor told once more. */
static void test_unheard__what_a_mail_over_many_has_told_is_not_said_to_reach_nobody(void **state)
{
    static const char *const steps[] = {"email: {}, isolate: {}, webhook: {to: siem}",
                                        "isolate: {}, webhook: {to: siem}"};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct scene s;
        char rules[400];

        print_message("  %s\n", steps[i]);
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                       "rules: [{name: contain, do: [%s]}]\n"
                       "safety: {canary: 1, ask: {within: 1h}}\n",
                       steps[i]);
        open_scene(&s, rules);
        atomic_store(&nobodies, 0);
        log_divert(count_nobodies, NULL);
        (void)rig_push(&s.r, ALERT, MACHINE);
        work_all(&s.r);
        pass(&s.r, 2 * HOUR_MS, 5 * MINUTE_MS);
        assert_int_equal(taken(s.sim, "[QUESTION] 1 machine"), 1);
        assert_int_equal(taken(s.sim, "[NOT ISOLATED: nobody answered in time]"), 1);
        pass(&s.r, 6 * DAY_MS, 2 * HOUR_MS);
        assert_int_equal(atomic_load(&nobodies), 0);
        assert_int_equal(taken(s.sim, "[CORDON] what was told about case"), 0);
        assert_int_equal(taken(s.sim, "[NOT ISOLATED: nobody answered in time]"), 1);
        close_scene(&s);
    }
}

/* Who was mailed that the isolation is asked for is mailed no more, and the webhook takes nothing: that it came to nothing is
 * known to nobody, whoever knew the beginning. */
static void test_unheard__what_came_after_a_mail_and_is_told_to_nobody_is_said(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack}}\n"
                   "rules: [{name: tell, do: [isolate: {}, email: {}, webhook: {to: siem}]}]\n");
    rig_takes_isolate(&s.r, 1);
    rig_says(&s.r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Failed", "null", "11:12"));
    atomic_store(&nobodies, 0);
    log_divert(count_nobodies, NULL);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    assert_int_equal(taken(s.sim, "[REQUESTED]"), 1);
    refuse_soc(s.sim);
    pass(&s.r, 7 * DAY_MS, 6 * HOUR_MS);
    assert_int_equal(sim_state(s.sim, "mails"), 1);
    assert_int_equal(atomic_load(&nobodies), 1);
    close_scene(&s);
}

/* One of two webhooks takes nothing, and the other knows all of it: the log does not say that nobody does. */
static void test_unheard__what_another_webhook_took_is_not_said_to_reach_nobody(void **state)
{
    struct runtime *rt;
    char rules[400];
    struct rig r;

    (void)state;
    open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
    (void)snprintf(rules, sizeof rules,
                   "webhooks: {siem: {url: 'https://127.0.0.1:9/a', template: slack},"
                   " chat: {url: '%s/chat', template: slack}}\n"
                   "rules: [{name: tell, do: [webhook: {to: siem}, webhook: {to: chat}]}]\n",
                   peer_url(r.peer));
    rt = read_rules(&r, rules, NO_SERVER, "");
    rt->config->mail.server = NULL;
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    rig_says(&r, "POST", "/chat", 0, 200, "ok");
    atomic_store(&nobodies, 0);
    log_divert(count_nobodies, NULL);
    (void)rig_push(&r, ALERT, MACHINE);
    assert_int_equal(notice_system_tell(r.g, &quiet, NULL), ERR_OK);
    work_all(&r);
    assert_int_equal(rig_seen(&r, "POST", "/chat"), 2);
    pass(&r, 6 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(atomic_load(&nobodies), 0);
    close_rig(&r);
}

/* A webhook takes its post and says so with a long page, told by its length or not: it has got it, once. */
static void test_unheard__a_webhook_that_answers_at_length_has_got_its_post(void **state)
{
    struct scene s;
    AUTO(auto_free) char *page = malloc(100001);

    (void)state;
    assert_non_null(page);
    memset(page, 'x', 100000);
    page[100000] = '\0';
    open_scene_siem(&s, "rules: [{name: tell, do: [webhook: {to: siem}]}]\n");
    rig_says(&s.r, "POST", "/hook", 0, 202, page);
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 6 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(posted(&s.r, "[ALERT]"), 1);
    assert_int_equal(sim_state(s.sim, "mails"), 0);
    close_scene(&s);
}

/* Or it takes its post, and how it says so breaks off: it has got it, too, and gets it no more. */
static void test_unheard__a_webhook_whose_answer_breaks_off_has_got_its_post(void **state)
{
    struct scene s;

    (void)state;
    open_scene_siem(&s, "rules: [{name: tell, do: [webhook: {to: siem}]}]\n");
    peer_script(s.r.peer, &(struct peer_answer){.method = "POST",
                                                .target = "/hook",
                                                .status = 202,
                                                .body = "it is accepted",
                                                .cut = 55});
    (void)rig_push(&s.r, ALERT, MACHINE);
    work_all(&s.r);
    pass(&s.r, 6 * DAY_MS, 2 * HOUR_MS);
    assert_int_equal(posted(&s.r, "[ALERT]"), 1);
    assert_int_equal(sim_state(s.sim, "mails"), 0);
    close_scene(&s);
}

/* But Teams' older webhooks say in a 200 that they did not take it: where that is lost the post is sent again. */
static void test_unheard__a_webhook_of_teams_has_not_got_its_post_by_a_200_alone(void **state)
{
    static const struct {
        const char *answer; /* and then it closes */
        int posts;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nWebhook message deliv", 2},
        {"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n", 2},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n", 1}, /* a yes */
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", 1},
        {"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\n", 1}, /* of newer ones: it says all */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[400];
        struct rig r;

        print_message("  %s\n", rows[i].answer);
        open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {chat: {url: '%s/hook', template: teams}}\n"
                       "rules: [{name: tell, do: [webhook: {to: chat}]}]\n",
                       peer_url(r.peer));
        use_rules(&r, rules, NO_SERVER, "");
        peer_script(r.peer,
                    &(struct peer_answer){
                        .method = "POST", .target = "/hook", .times = 1, .raw = rows[i].answer});
        rig_says(&r, "POST", "/hook", 0, 200, "1");
        (void)rig_push(&r, ALERT, MACHINE);
        work_all(&r);
        pass(&r, DAY_MS, HOUR_MS);
        assert_int_equal(rig_seen(&r, "POST", "/hook"), rows[i].posts);
        close_rig(&r);
    }
}

/* There is nobody to mail, and the webhook has another name since a reload: what the old one did not get the new one does, as
 * the case stands then. */
static void test_unheard__what_no_webhook_took_goes_to_another_where_nobody_can_be_mailed(
    void **state)
{
    static const char parts[] = "webhooks: {%s: {url: '%s/%s', template: slack}}\n"
                                "rules: [{name: tell, do: [webhook: {to: %s}]}]\n";
    static const struct {
        int alert; /* how Defender answers when it is asked for it */
        const char *said;
    } rows[] = {{200, "[ALERT] High: Credential memory read"}, {404, "[NOT ISOLATED: "}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        open_rig(&r, RULES_MAIL_ONLY, NO_SERVER, "");
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, rows[i].alert, rows[i].alert == 200 ? ALERT_DOC : "{}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "POST", "/siem", 0, 503, "no");
        rig_says(&r, "POST", "/chat", 0, 200, "ok");
        for (int k = 0; k < 2; k++) {
            const char *name = k ? "chat" : "siem";
            struct runtime *rt;
            char rules[400];

            (void)snprintf(rules, sizeof rules, parts, name, peer_url(r.peer), name, name);
            rt = read_rules(&r, rules, NO_SERVER, "");
            rt->config->mail.server = NULL;
            rt->config->mail.to.count = 0;
            engine_use(r.g, rt);
            if (k == 0)
                (void)rig_push(&r, ALERT, MACHINE);
            work_all(&r);
            if (k == 0)
                pass(&r, 20 * MINUTE_MS, MINUTE_MS);
            assert_true(rig_seen(&r, "POST", "/siem") > 0);
            assert_true(k == 1 || rig_seen(&r, "POST", "/chat") == 0);
        }
        pass(&r, HOUR_MS, MINUTE_MS);
        assert_non_null(peer_request_for(r.peer, "/chat"));
        assert_non_null(strstr(peer_request_for(r.peer, "/chat")->body, rows[i].said));
        close_rig(&r);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unheard__what_no_webhook_takes_goes_to_mail_to),
        cmocka_unit_test(test_unheard__what_no_mail_can_tell_is_posted),
        cmocka_unit_test(test_unheard__who_was_posted_what_no_mail_can_tell_hears_the_end),
        cmocka_unit_test(test_unheard__what_came_of_a_step_is_posted_beside_how_the_case_stands),
        cmocka_unit_test(
            test_unheard__a_step_that_a_webhook_heard_of_hides_nothing_that_nobody_did),
        cmocka_unit_test(
            test_unheard__a_question_is_not_told_by_one_over_many_that_was_asked_before),
        cmocka_unit_test(test_unheard__steps_whose_posts_are_still_to_leave_are_posted_once),
        cmocka_unit_test(test_unheard__a_webhook_hears_that_a_step_failed_again),
        cmocka_unit_test(test_unheard__what_came_of_a_step_that_no_webhook_takes_is_mailed),
        cmocka_unit_test(test_unheard__each_step_that_no_webhook_takes_is_mailed),
        cmocka_unit_test(test_unheard__what_nobody_knows_of_a_step_is_posted_so),
        cmocka_unit_test(test_unheard__the_cases_of_a_digest_that_no_mail_can_tell_are_posted),
        cmocka_unit_test(test_unheard__a_digest_is_posted_with_how_a_case_stands_and_its_steps),
        cmocka_unit_test(test_unheard__what_waits_for_mail_is_posted_when_there_is_none_any_more),
        cmocka_unit_test(test_unheard__a_question_that_no_mail_can_ask_is_posted),
        cmocka_unit_test(test_unheard__a_question_over_many_that_no_mail_can_ask_is_posted),
        cmocka_unit_test(test_unheard__what_cordon_can_mail_nobody_of_itself_is_posted),
        cmocka_unit_test(test_unheard__what_reaches_nobody_at_all_is_said),
        cmocka_unit_test(test_unheard__a_mail_that_reaches_nobody_is_said_to),
        cmocka_unit_test(test_unheard__what_is_refused_for_what_it_says_is_told_without_that),
        cmocka_unit_test(test_unheard__what_is_refused_of_many_is_told_without_that),
        cmocka_unit_test(test_unheard__a_question_that_is_refused_for_what_it_says_is_told_besides),
        cmocka_unit_test(test_unheard__who_was_asked_besides_hears_the_end_once),
        cmocka_unit_test(test_unheard__what_another_was_asked_is_not_said_to_reach_nobody),
        cmocka_unit_test(
            test_unheard__who_refused_what_it_says_is_told_without_that_where_there_is_no_mail_to),
        cmocka_unit_test(test_unheard__who_refused_what_it_says_is_told_whoever_else_was_to_hear),
        cmocka_unit_test(
            test_unheard__what_a_webhook_refuses_for_what_it_says_is_told_without_that),
        cmocka_unit_test(test_unheard__what_neither_mail_nor_post_tells_is_said),
        cmocka_unit_test(test_unheard__what_a_mail_over_many_has_told_is_not_said_to_reach_nobody),
        cmocka_unit_test(test_unheard__what_came_after_a_mail_and_is_told_to_nobody_is_said),
        cmocka_unit_test(test_unheard__what_another_webhook_took_is_not_said_to_reach_nobody),
        cmocka_unit_test(test_unheard__a_webhook_that_answers_at_length_has_got_its_post),
        cmocka_unit_test(test_unheard__a_webhook_whose_answer_breaks_off_has_got_its_post),
        cmocka_unit_test(test_unheard__a_webhook_of_teams_has_not_got_its_post_by_a_200_alone),
        cmocka_unit_test(
            test_unheard__what_no_webhook_took_goes_to_another_where_nobody_can_be_mailed),
    };

    if (argc == 2 && !strcmp(argv[1], "smtp-child"))
        return smtp_child_main(STDIN_FILENO, STDOUT_FILENO);
    return cmocka_run_group_tests_name("unheard", tests, NULL, NULL);
}
