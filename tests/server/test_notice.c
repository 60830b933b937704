/* test_notice.c - what mails of cases say: threads, subjects, templates, the preview. */
#include "engine_kit.h"

#include "desk.h"

#include "id.h"
#include "log.h"
#include "mime_read.h"
#include "notice.h"
#include "preview.h"
#include "template.h"

#define LINE_MAX_CHARS 1000

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

struct telling {
    struct rig *r;
    struct case_record c;
    struct notice n;
    struct facts facts;
    struct json *doc;
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

static void set_up(struct rig *r)
{
    rig_open(r, RULES_MAIL_ONLY);
    log_divert(no_line, NULL);
    rig_afresh(r);
}

static void tear_down(struct rig *r)
{
    log_divert(NULL, NULL);
    rig_close(r);
}

/* Tells of a case whose alert has this title and incident; returns the notice as it is stored. */
static struct notice_record tell(struct rig *r, int64_t id, enum notice_kind kind,
                                 const char *title, int64_t incident, const char *subject)
{
    struct telling t = {.r = r, .c = rig_case(r, id)};
    struct notice_record *list, n;
    struct buf doc = BUF_INIT(1 << 20);
    struct json_out o = JSON_OUT(&doc);
    struct err e = {0};
    size_t count = 0;

    json_out_object(&o, NULL);
    json_out_string(&o, "id", "da1_-1");
    json_out_string(&o, "severity", "High");
    json_out_string(&o, "title", title);
    if (incident)
        json_out_int(&o, "incidentId", incident);
    json_out_string(&o, "computerDnsName", "ws-114.corp.example");
    json_out_object_end(&o);
    assert_int_equal(json_parse(buf_text(&doc), doc.len, &t.doc, NULL), ERR_OK);
    t.facts = (struct facts){.tenant = "contoso", .alert_id = "da1_-1", .alert = t.doc};
    t.n = (struct notice){.kind = kind, .c = &t.c, .facts = &t.facts, .subject = subject};
    if (db_write(r->store->db, tell_fn, &t, &e))
        fail_msg("%s", e.text);
    assert_int_equal(store_notice_list(r->store, r->arena, id, &list, &count, NULL), ERR_OK);
    assert_true(count > 0);
    assert_int_equal(store_notice_load(r->store, r->arena, list[count - 1].id, &n, NULL), ERR_OK);
    json_free(t.doc);
    buf_clear(&doc);
    return n;
}

static const char *header(struct rig *r, const struct notice_record *n, const char *name)
{
    const char *at = strstr(n->message, arena_fmt(r->arena, "\r\n%s: ", name));

    if (!at)
        return "";
    at += strlen(name) + 4;
    return arena_strn(r->arena, at, strcspn(at, "\r"));
}

static const char *part(struct rig *r, const struct notice_record *n, const char *type)
{
    struct buf b = BUF_INIT(4 << 20);
    struct err e = {0};
    const char *text;

    if (mime_part(n->message, type, &b, &e))
        fail_msg("%s", e.text);
    text = arena_str(r->arena, buf_text(&b));
    buf_clear(&b);
    return text;
}

static void test_notice__mails_of_one_incident_are_one_thread(void **state)
{
    struct rig r;
    struct notice_record a, b, c, other;
    int64_t one, two, three;

    (void)state;
    set_up(&r);
    one = rig_push(&r, "da1_-1", NULL);
    two = rig_push(&r, "da2_-1", NULL);
    three = rig_push(&r, "da3_-1", NULL);
    a = tell(&r, one, NOTICE_REQUESTED, "Stolen", 77, NULL);
    b = tell(&r, two, NOTICE_ALERT, "Spread", 77, NULL);
    c = tell(&r, one, NOTICE_NOT_ISOLATED, "Stolen", 77, NULL);
    other = tell(&r, three, NOTICE_ALERT, "Else", 78, NULL);
    assert_string_equal(header(&r, &a, "In-Reply-To"), "");
    assert_string_equal(header(&r, &b, "In-Reply-To"), header(&r, &a, "Message-ID"));
    assert_string_equal(header(&r, &c, "In-Reply-To"), header(&r, &b, "Message-ID"));
    assert_string_equal(header(&r, &c, "References"), header(&r, &a, "Message-ID"));
    assert_string_equal(header(&r, &other, "In-Reply-To"), "");
    /* Outlook's word for it */
    assert_string_equal(header(&r, &a, "Thread-Topic"), "contoso incident 77");
    assert_string_equal(header(&r, &a, "Thread-Index"), header(&r, &c, "Thread-Index"));
    assert_string_not_equal(header(&r, &a, "Thread-Index"), header(&r, &other, "Thread-Index"));
    assert_int_equal(c.after, a.id); /* mails of a case leave in their order */
    assert_int_equal(b.after, 0);
    tear_down(&r);
}

/* A case of which nothing could be read begins a thread of its own, and stays in it. */
static void test_notice__a_case_stays_in_the_thread_that_it_began(void **state)
{
    struct rig r;
    struct notice_record a, b;
    int64_t id;

    (void)state;
    set_up(&r);
    id = rig_push(&r, "da1_-1", NULL);
    a = tell(&r, id, NOTICE_LATE, "Stolen", 0, NULL);
    b = tell(&r, id, NOTICE_REQUESTED, "Stolen", 77, NULL);
    assert_string_equal(header(&r, &b, "In-Reply-To"), header(&r, &a, "Message-ID"));
    assert_string_equal(header(&r, &b, "Thread-Index"), header(&r, &a, "Thread-Index"));
    tear_down(&r);
}

/* Nobody's words claim a state, become a link or end the line. */
/* The domain of mail.from is part of each mail's id, and mail.from may be another by the next reload. */
static void test_notice__a_thread_goes_on_when_the_sender_is_another(void **state)
{
    struct rig r;
    struct notice_record a, b, c;
    int64_t id;

    (void)state;
    set_up(&r);
    id = rig_push(&r, "da1_-1", NULL);
    (void)tell(&r, id, NOTICE_LATE, "Stolen", 0, NULL);
    rig_sql(&r, "UPDATE notices SET sender = 'cordon@old.example',"
                " message = replace(message, '@contoso.example>', '@old.example>')");
    b = tell(&r, id, NOTICE_REQUESTED, "Stolen", 0, NULL);
    assert_int_equal(store_notice_load(r.store, r.arena, b.after, &a, NULL), ERR_OK);
    assert_non_null(strstr(header(&r, &a, "Message-ID"), "@old.example>"));
    assert_non_null(strstr(header(&r, &b, "Message-ID"), "@contoso.example>"));
    assert_string_equal(header(&r, &b, "In-Reply-To"), header(&r, &a, "Message-ID"));
    c = tell(&r, id, NOTICE_ISOLATED, "Stolen", 0, NULL);
    assert_string_equal(header(&r, &c, "In-Reply-To"), header(&r, &b, "Message-ID"));
    assert_non_null(strstr(header(&r, &c, "References"), header(&r, &a, "Message-ID")));
    tear_down(&r);
}

static void test_notice__subjects_have_one_state_and_it_is_ours(void **state)
{
    static const struct {
        const char *title, *own, *subject;
    } rows[] = {
        {"Stolen", NULL, "[ALERT] High: Stolen on ws-114"},
        {"[ISOLATED] all is well", NULL, "[ALERT] High: (ISOLATED) all is well on ws-114"},
        {"a\r\nBcc: x@evil.example", NULL, "[ALERT] High: a  Bcc: x[@]evil[.]example on ws-114"},
        {"see https://evil.example/x", NULL,
         "[ALERT] High: see hxxps[:]//evil[.]example/x on ws-114"},
        {"x", "] [RELEASED] \\\\evil.example\\a", "[ALERT] ) (RELEASED) [\\\\]evil[.]example\\a"},
        {"x", "desk: \x1b[31m", "[ALERT] desk:  (31m"},
    };
    struct rig r;

    (void)state;
    set_up(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char alert[40];

        (void)snprintf(alert, sizeof alert, "da%zu_-9", i);
        assert_string_equal(
            tell(&r, rig_push(&r, alert, NULL), NOTICE_ALERT, rows[i].title, 0, rows[i].own)
                .subject,
            rows[i].subject);
    }
    tear_down(&r);
}

/* An alert of a government tenant is in another portal, and the one of everybody else knows nothing of it. */
static void test_notice__the_link_is_to_the_portal_of_the_cloud(void **state)
{
    struct notice_record n;
    struct runtime *rt;
    struct rig r;

    (void)state;
    set_up(&r);
    rt = rig_runtime(&r, RULES_MAIL_ONLY);
    rt->config->tenants[0].portal_url = "https://security.microsoft.us";
    engine_use(r.g, rt);
    n = tell(&r, rig_push(&r, "da1_-1", NULL), NOTICE_ALERT, "Stolen", 0, NULL);
    assert_non_null(
        strstr(part(&r, &n, "text/plain"), "https://security.microsoft.us/alerts/da1_-1?tid="));
    assert_null(strstr(part(&r, &n, "text/plain"), "security.microsoft.com"));
    assert_null(strstr(part(&r, &n, "text/html"), "security.microsoft.com"));
    tear_down(&r);
}

static void test_notice__facts_come_first(void **state)
{
    static const char *const order[] = {"Machine      ws-114[.]corp[.]example",
                                        "Alert        Stolen",
                                        "Severity     High",
                                        "Next: ",
                                        "https://security.microsoft.com/",
                                        "Details",
                                        "Incident     77",
                                        "Case         "};
    struct rig r;
    struct notice_record n;
    const char *text, *at, *page;

    (void)state;
    set_up(&r);
    n = tell(&r, rig_push(&r, "da1_-1", NULL), NOTICE_NOT_ISOLATED, "Stolen", 77, NULL);
    text = at = part(&r, &n, "text/plain");
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at = strstr(at, order[i]);
        if (!at)
            fail_msg("'%s' is not there, or too early, in\n%s", order[i], text);
    }
    page = part(&r, &n, "text/html");
    assert_non_null(strstr(page, "max-width:620px"));
    assert_non_null(strstr(page, "prefers-color-scheme:dark"));
    assert_null(strstr(page, "<img"));
    assert_null(strstr(page, "url("));
    tear_down(&r);
}

/* The words of the configuration, where the rule has none. */
static void test_notice__templates_of_the_configuration(void **state)
{
    struct runtime *rt;
    struct rig r;
    struct notice_record n;
    struct err e = {0};

    (void)state;
    set_up(&r);
    rt = engine_runtime(r.g);
    assert_int_equal(template_compile(r.arena, "{{alert.severity}}! {{alert.title}}",
                                      &rt->config->mail.subject, &e),
                     ERR_OK);
    assert_int_equal(
        template_compile(r.arena, "Runbook 7.\nTitle: {{alert.title}}", &rt->config->mail.body, &e),
        ERR_OK);
    runtime_unref(rt);
    n = tell(&r, rig_push(&r, "da1_-1", NULL), NOTICE_ALERT, "[ISOLATED] http://evil.example", 0,
             NULL);
    assert_string_equal(n.subject, "[ALERT] High! (ISOLATED) hxxp[:]//evil[.]example");
    assert_non_null(strstr(part(&r, &n, "text/plain"),
                           "  Runbook 7.\n  Title: [ISOLATED] hxxp[:]//evil[.]example\n"));
    n = tell(&r, rig_push(&r, "da2_-1", NULL), NOTICE_ALERT, "x", 0, "the rule's own");
    assert_string_equal(n.subject, "[ALERT] the rule's own");
    tear_down(&r);
}

static struct json *preview(struct rig *r, int64_t id)
{
    struct buf out = BUF_INIT(8 << 20);
    struct json *doc = NULL;
    struct err e = {0};

    if (preview_case(r->g, id, &out, &e))
        fail_msg("%s", e.text);
    assert_int_equal(json_parse(buf_text(&out), out.len, &doc, NULL), ERR_OK);
    buf_clear(&out);
    return doc;
}

static void test_notice__the_preview_is_the_mail(void **state)
{
    struct rig r;
    struct notice_record n;
    struct json *doc;
    size_t count = 1;
    struct notice_record *list;
    struct buf out = BUF_INIT(1 << 20);
    struct err e = {0};
    int64_t id;

    (void)state;
    set_up(&r);
    id = rig_push(&r, "da1_-1", NULL);
    /* before a rule has judged it no mail says that the rule asks for no isolation */
    assert_int_equal(preview_case(r.g, id, &out, &e), ERR_CONFLICT);
    assert_string_equal(e.text,
                        "there is no mail about the case, and no verdict that one would tell "
                        "of: it is received");
    assert_int_equal(out.len, 0);
    rig_sql(&r, "UPDATE cases SET verdict = '{\"rule\":\"tell\"}'");
    doc = preview(&r, id); /* before anything was mailed, and nothing is by it */
    assert_string_equal(json_get_string(doc, "state"), "preview");
    assert_string_equal(json_get_string(doc, "kind"), "alert");
    assert_non_null(strstr(json_get_string(doc, "html"), "<h1"));
    json_free(doc);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &count, NULL), ERR_OK);
    assert_int_equal(count, 0);
    n = tell(&r, id, NOTICE_ALERT, "<b>Stolen \xc3\xa9</b>", 0, NULL);
    doc = preview(&r, id);
    assert_string_equal(json_get_string(doc, "state"), "waiting");
    assert_string_equal(json_get_string(doc, "subject"), n.subject);
    assert_string_equal(json_get_string(doc, "message"), n.message);
    assert_string_equal(json_get_string(doc, "text"), part(&r, &n, "text/plain"));
    assert_non_null(strstr(json_get_string(doc, "html"), "&lt;b&gt;Stolen \xc3\xa9&lt;/b&gt;"));
    json_free(doc);
    assert_int_equal(preview_case(r.g, 12345, &out, &e), ERR_NOT_FOUND);
    tear_down(&r);
}

/* A mail that would be goes to whom the rule's step names, in its words; what the helpdesk is told is not that. */
static void test_notice__a_preview_is_addressed_as_the_mail_would_be(void **state)
{
#define STEPS         "INSERT INTO steps (case_id, n, handler, args, state, why, updated) "
#define STEP(n, args) "SELECT id, " n ", 'email', '" args "', 'waiting', NULL, 0 FROM cases"
    static const struct {
        const char *steps, *to, *subject, *text;
    } rows[] = {
        {STEPS STEP("0", "{\"audience\":\"desk\",\"to\":[\"desk@b.example\"]}") " UNION ALL " STEP(
             "1", "{\"audience\":\"soc\",\"to\":[\"ann@b.example\"],\"subject\":\"Runbook 7\","
                  "\"body\":\"Call the desk.\"}"),
         "ann@b.example", "Runbook 7", "Call the desk."},
        {STEPS STEP("0", "{\"audience\":\"soc\"}"), "soc@contoso.example", "[ALERT]", "Next:"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *doc;
        const struct json *to;
        struct rig r;
        int64_t id;

        set_up(&r);
        id = rig_push(&r, "da1_-1", NULL);
        rig_sql(&r, "UPDATE cases SET verdict = '{\"rule\":\"tell\"}'");
        rig_sql(&r, rows[i].steps);
        doc = preview(&r, id);
        to = json_get(doc, "to");
        assert_int_equal(json_count(to), 1);
        assert_string_equal(json_string(json_first(to)), rows[i].to);
        assert_non_null(strstr(json_get_string(doc, "subject"), rows[i].subject));
        assert_non_null(strstr(json_get_string(doc, "text"), rows[i].text));
        json_free(doc);
        tear_down(&r);
    }
}

/* ---- when there is nobody ------------------------------------------------------------------------- */

/* Keeps the last line that says that nobody was told. */
static void keep_nobody(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    if (strstr(line, "nobody_told"))
        (void)snprintf(ctx, LINE_MAX_CHARS, "%s", line);
}

/* Has another configuration come into force between the verdict and its steps? */
static void test_notice__a_step_that_reaches_nobody_is_not_done(void **state)
{
    static const struct {
        const char *steps, *why;
    } rows[] = {
        {"[email: {}]", "nobody to write to: the step names nobody, and mail.to is not set"},
        {"[webhook: {to: soc}]", "there is no webhook 'soc' any more"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[LINE_MAX_CHARS] = "", rules[300];
        struct step_record *steps;
        struct runtime *rt;
        size_t n = 0, webhooks;
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {soc: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: tell, do: %s}]\n",
                       rows[i].steps);
        rig_open(&r, rules);
        log_divert(keep_nobody, line);
        rig_afresh(&r);
        rt = rig_runtime(&r, rules);
        webhooks = rt->config->n_webhooks;
        rt->config->mail.to.count = 0;
        rt->config->n_webhooks = 0;
        engine_use(r.g, rt);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        assert_int_equal(steps[0].state, STEP_FAILED);
        assert_string_equal(steps[0].why, rows[i].why);
        assert_non_null(strstr(line, rows[i].why));
        assert_string_equal(rig_told(&r, id), "");
        assert_null(rig_case(&r, id).told);
        rt->config->n_webhooks = webhooks; /* their ways are freed with them */
        tear_down(&r);
    }
}

/* Nobody could be told that the isolation was asked for: how it ended is owed to those who can be told by then. */
static void test_notice__who_could_not_be_told_is_told_the_end(void **state)
{
    struct runtime *rt;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, RULES_ISOLATE_AND_MAIL);
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rt = rig_runtime(&r, RULES_ISOLATE_AND_MAIL);
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 1);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_null(rig_case(&r, id).told);
    engine_use(r.g, rig_runtime(&r, RULES_ISOLATE_AND_MAIL));
    hands_turn(&r.hands, MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_string_equal(rig_told(&r, id), "isolated");
    tear_down(&r);
}

/* ---- the second mail ------------------------------------------------------------------------------ */

/* Kinds of the mails that an address was written, in order. */
static const char *told_to(struct rig *r, int64_t id, const char *address)
{
    struct notice_record *list;
    const char *text = "";
    size_t n = 0;

    assert_int_equal(store_notice_list(r->store, r->arena, id, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_recipients; k++)
            if (strcmp(list[i].recipients[k].address, address) == 0)
                text = arena_fmt(r->arena, "%s%s%s", text, *text ? " " : "", list[i].kind);
    return text;
}

/* The same, and there is somebody else: of an alert that its own steps tell nobody any more mail.to hears, or the webhooks where
 * there is none; once. */
static void test_notice__an_alert_whose_webhook_is_gone_before_its_turn_is_told(void **state)
{
    static const struct {
        const char *steps, *of; /* who hears of it */
        const char *told;
        bool no_mail;
    } rows[] = {
        {"webhook: {to: siem}", "soc@contoso.example", "alert", false},
        {"webhook: {to: siem}, email: {to: [a@x.example]}", "a@x.example", "alert", false},
        {"webhook: {to: siem}, email: {to: [a@x.example]}", "soc@contoso.example", "", false},
        {"webhook: {to: siem}", "webhook:chat", "alert", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[400];
        struct runtime *rt;
        struct rig r;
        int64_t id;

        print_message("  %s, %s\n", rows[i].steps, rows[i].of);
        (void)snprintf(rules, sizeof rules,
                       "webhooks: {chat: {url: 'https://x.example/a', template: slack},"
                       " siem: {url: 'https://x.example/b', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       rows[i].steps);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rig_afresh(&r);
        rt = rig_runtime(&r, rules);
        rt->config->webhooks[1].name = "siem2";
        if (rows[i].no_mail)
            rt->config->mail.server = NULL;
        engine_use(r.g, rt);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(told_to(&r, id, rows[i].of), rows[i].told);
        tear_down(&r);
    }
}

/* The same of a case whose isolation is asked for, and takes its time: that it is under way is told at once, and how it ends. */
static void test_notice__an_isolation_whose_webhook_is_gone_is_told_while_it_is_under_way(
    void **state)
{
    static const char rules[] =
        "webhooks: {siem: {url: 'https://x.example/b', template: slack}}\n"
        "rules: [{name: contain, do: [isolate: {}, webhook: {to: siem}]}]\n";
    struct runtime *rt;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, rules);
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rt = rig_runtime(&r, rules);
    rt->config->webhooks[0].name = "siem2";
    engine_use(r.g, rt);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 0);
    rig_says(&r, "GET", GET_ACTION, 1, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_WAITING);
    assert_string_equal(told_to(&r, id, "soc@contoso.example"), "requested");
    rig_pass(&r, 5 * MINUTE_MS, SECOND_MS);
    assert_string_equal(told_to(&r, id, "soc@contoso.example"), "requested isolated");
    tear_down(&r);
}

/* The isolation is confirmed while the case is still at a step between those that tell people. */
static void test_notice__who_heard_of_a_request_hears_its_end(void **state)
{
    static const struct {
        const char *last, *told_b;
    } rows[] = {
        {"email: {to: [b@x.example]}", "isolated"},
        {"email: {to: [b@x.example, a@x.example]}", "isolated"},
        {"webhook: {to: siem}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[500];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: tell, do: [isolate: {}, email: {to: [a@x.example]},"
                       " tag: {add: seen}, %s]}]\n",
                       rows[i].last);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 1, 503, "{}");
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 200, MACHINE_DOC);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        assert_string_equal(told_to(&r, id, "a@x.example"), "requested");
        rig_pass(&r, 5 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(told_to(&r, id, "a@x.example"), "requested isolated");
        assert_string_equal(told_to(&r, id, "b@x.example"), rows[i].told_b);
        tear_down(&r);
    }
}

/* Who was told that cordon tries on hears what the alert came to, though the rule tells others. */
static void test_notice__who_was_told_that_it_is_late_hears_the_end(void **state)
{
    static const char *const steps[] = {"email: {to: [b@x.example]}", "webhook: {to: siem}"};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char rules[300];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       steps[i]);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", "/api/", 0, 503, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_string_equal(told_to(&r, id, "soc@contoso.example"), "late");
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(told_to(&r, id, "soc@contoso.example"), "late alert");
        tear_down(&r);
    }
}

/* A mail before the isolation is asked for says nothing of a rule that asks for none. */
static void test_notice__a_mail_before_the_isolation_says_that_it_follows(void **state)
{
    struct notice_record *list, n;
    struct rig r;
    const char *text;
    size_t count = 0;
    int64_t id;

    (void)state;
    rig_open(&r, "rules: [{name: tell, do: [email: {}, isolate: {}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "alert isolated");
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &count, NULL), ERR_OK);
    assert_int_equal(store_notice_load(r.store, r.arena, list[0].id, &n, NULL), ERR_OK);
    text = part(&r, &n, "text/plain");
    assert_null(strstr(text, "asks for no"));
    assert_non_null(strstr(text, "Isolation    not asked for yet"));
    assert_non_null(strstr(text, "Next: The rule asks for an isolation"));
    tear_down(&r);
}

/* A step beside the isolation that fails is told, once, whatever becomes of the isolation. */
static void test_notice__a_step_that_fails_beside_the_isolation_is_told(void **state)
{
    static const struct {
        const char *steps, *to, *told;
        int list; /* how Defender answers when the machine's actions are asked for */
    } rows[] = {
        {"isolate: {}, tag: {add: a}, email: {}", "soc@contoso.example",
         "requested action_failed isolated", 200},
        {"isolate: {}, email: {}, tag: {add: a}", "soc@contoso.example",
         "requested action_failed isolated", 200},
        {"isolate: {}, tag: {add: a}, webhook: {to: siem}", "webhook:siem",
         "requested action_failed isolated", 200},
        {"isolate: {}, email: {}, tag: {add: a}", "soc@contoso.example",
         "not_isolated action_failed", 403},
        {"isolate: {}, email: {}, {tag: {add: a}, on_failure: ask}", "soc@contoso.example",
         "requested action_failed isolated", 200},
        {"email: {}, tag: {add: a}", "soc@contoso.example", "alert action_failed", 200},
        {"tag: {add: a}, email: {}", "soc@contoso.example", "action_failed", 200},
        {"tag: {add: a}, annotate: {comment: b}, email: {}", "soc@contoso.example",
         "action_failed action_failed", 200},
        {"tag: {add: a}, email: {}, annotate: {comment: b}", "soc@contoso.example",
         "action_failed action_failed", 200},
        {"tag: {add: a}, annotate: {comment: b}", "soc@contoso.example",
         "action_failed action_failed", 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[400];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       rows[i].steps);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, rows[i].list, NOTHING);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        rig_says(&r, "PATCH", GET_ALERT, 0, 403, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, 5 * MINUTE_MS, SECOND_MS);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(told_to(&r, id, rows[i].to), rows[i].told);
        tear_down(&r);
    }
}

/* A person mends what the step lacked and has the case tried again: that it came to nothing again is news. */
static void test_notice__a_step_that_fails_again_when_it_is_tried_again_is_told(void **state)
{
    struct desk_order again = {0};
    struct rig r;

    (void)state;
    rig_open(&r, "rules: [{name: tell, do: [isolate: {}, email: {}, tag: {add: a}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 403, "{}");
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    again.id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, again.id), "not_isolated action_failed");
    hands_turn(&r.hands, HOUR_MS);
    assert_int_equal(desk_retry(r.g, &again, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, again.id),
                        "not_isolated action_failed not_isolated action_failed");
    tear_down(&r);
}

/* A webhook that was told before the isolation was refused hears of that, whoever else has. */
static void test_notice__a_webhook_hears_that_it_was_not_isolated(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                 "rules: [{name: tell, do: [webhook: {to: siem}, isolate: {}, email: {}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 403, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, id, "soc@contoso.example"), "not_isolated");
    assert_string_equal(told_to(&r, id, "webhook:siem"), "alert not_isolated");
    tear_down(&r);
}

/* What was tried again came to nothing again, for another reason: who was posted the first hears of that, too. */
static void test_notice__a_webhook_hears_why_it_was_not_isolated_the_second_time(void **state)
{
    struct desk_order again = {0};
    struct rig r;

    (void)state;
    rig_open(&r, "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                 "rules: [{name: tell, do: [isolate: {}, webhook: {to: siem}]}]\n"
                 "safety: {protected: [{machine.tags: [tier-0]}]}\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    again.id =
        rig_push(&r, ALERT, MACHINE); /* whose machine has no list of tags: perhaps protected */
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, again.id, "webhook:siem"), "not_isolated");
    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200,
             "{\"id\":\"" MACHINE "\",\"machineTags\":[\"tier-0\"]}");
    assert_int_equal(desk_retry(r.g, &again, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, again.id, "webhook:siem"), "not_isolated not_isolated");
    tear_down(&r);
}

/* A company may have more than one helpdesk: each hears what happens to the machine, and how it ends. */
static void test_notice__each_helpdesk_of_a_rule_hears_all_of_it(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "rules: [{name: tell, do: [isolate: {}, email: {},"
                 " email: {audience: desk, to: [berlin@x.example]},"
                 " email: {audience: desk, to: [oslo@x.example, berlin@x.example]}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, id, "berlin@x.example"), "requested");
    assert_string_equal(told_to(&r, id, "oslo@x.example"), "requested");
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_string_equal(told_to(&r, id, "berlin@x.example"), "requested isolated");
    assert_string_equal(told_to(&r, id, "oslo@x.example"), "requested isolated");
    tear_down(&r);
}

/* As Microsoft's documentation of getPackageUri has it. */
#define PACKAGE_LINK                                                                               \
    "https://userrequests-us.example:443/safedownload/WDATP_Investigation_Package.zip"             \
    "?token=gbDyj7y%2fbWGAZjn2sFiZ&x=bAyNEz"

/* Whoever has the link to a package may read it: it is in no post, and so in a mail, also where the rule mails nobody. */
static void test_notice__the_link_to_a_package_is_mailed_though_the_rule_only_posts(void **state)
{
    struct notice_record *list, n;
    size_t count = 0;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                 "rules: [{name: tell, do: [collect: {}, webhook: {to: siem}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/collectInvestigationPackage", 0, 201,
             ACTION_DOC(ACTION, "CollectInvestigationPackage", "Pending", "null", "11:12"));
    rig_says(&r, "GET", GET_ACTION ACTION "/getPackageUri", 0, 200,
             "{\"value\":\"\\\"" PACKAGE_LINK "\\\"\"}");
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "CollectInvestigationPackage", "Succeeded", "null", "11:12"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 10 * SECOND_MS, SECOND_MS);
    assert_string_equal(told_to(&r, id, "webhook:siem"), "alert action_done");
    assert_string_equal(told_to(&r, id, "soc@contoso.example"), "action_done");
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &count, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(store_notice_load(r.store, r.arena, list[i].id, &n, NULL), ERR_OK);
        if (n.channel)
            assert_null(strstr(n.message, "gbDyj7y"));
        else
            assert_non_null(strstr(part(&r, &n, "text/plain"), PACKAGE_LINK));
    }
    {
        /* nor is it shown to whoever looks at the case */
        AUTO(json_freep) struct json *doc = preview(&r, id);
        static const char *const parts[] = {"text", "html"};

        for (size_t i = 0; i < 2; i++) {
            const char *text = json_get_string(doc, parts[i]);

            assert_null(strstr(text, "gbDyj7y"));
            assert_null(strstr(text, "bAyNEz"));
            assert_non_null(strstr(text, "https://userrequests-us.example:443***"));
            assert_non_null(strstr(text, "/alerts/" ALERT "?tid=")); /* it is no secret */
        }
        assert_null(json_get(doc, "message"));
    }
    tear_down(&r);
}

/* Where posts are all that there is, the same is not posted again with each try and each look. */
static void test_notice__who_only_gets_posts_is_told_once(void **state)
{
    static const struct {
        const char *steps, *told;
        int status; /* of the request */
        int64_t wait_ms, step_ms;
    } rows[] = {
        {"webhook: {to: siem}, isolate: {}", "alert late", 503, 50 * MINUTE_MS, MINUTE_MS},
        {"isolate: {}, webhook: {to: siem}", "requested lapsing", 201, 64 * HOUR_MS,
         15 * MINUTE_MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct runtime *rt;
        char rules[300];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules,
                       "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                       "rules: [{name: tell, do: [%s]}]\n",
                       rows[i].steps);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rig_afresh(&r);
        rt = rig_runtime(&r, rules);
        rt->config->mail.server = NULL;
        rt->config->mail.to.count = 0;
        engine_use(r.g, rt);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, rows[i].status,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, rows[i].wait_ms, rows[i].step_ms);
        assert_string_equal(told_to(&r, id, "webhook:siem"), rows[i].told);
        tear_down(&r);
    }
}

/* The webhook that was told of the request is not configured any more when the isolation is confirmed. */
static void test_notice__whose_webhook_is_gone_is_told_by_mail(void **state)
{
    static const char rules[] = "webhooks: {%s: {url: 'https://x.example/a', template: slack}}\n"
                                "rules: [{name: tell, do: [isolate: {}, webhook: {to: %s}]}]\n";
    char before[300], after[300];
    struct rig r;
    int64_t id;

    (void)state;
    (void)snprintf(before, sizeof before, rules, "siem", "siem");
    (void)snprintf(after, sizeof after, rules, "chat", "chat");
    rig_open(&r, before);
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, id, "webhook:siem"), "requested");
    engine_use(r.g, rig_runtime(&r, after));
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_string_equal(told_to(&r, id, "soc@contoso.example"), "isolated");
    tear_down(&r);
}

/* Of each way: some send one message for each recipient. */
static void test_notice__who_is_named_twice_gets_it_once(void **state)
{
    struct notice_record *list, n;
    struct rig r;
    size_t count = 0;
    int64_t id;

    (void)state;
    rig_open(&r, "rules: [{name: tell, do: [email: {to: [a@x.example, b@x.example,"
                 " a@x.example, a@X.example]}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &count, NULL), ERR_OK);
    assert_int_equal(count, 1);
    assert_string_equal(told_to(&r, id, "a@x.example"), "alert");
    assert_int_equal(list[0].n_recipients, 2);
    assert_int_equal(store_notice_load(r.store, r.arena, list[0].id, &n, NULL), ERR_OK);
    assert_non_null(strstr(n.message, "\r\nTo: a@x.example,\r\n b@x.example\r\n"));
    tear_down(&r);
}

/* ---- how it is isolated, and since when ------------------------------------------------------------ */

/* The newest notice of this kind that an address was written. */
static struct notice_record written(struct rig *r, int64_t id, const char *kind, const char *to)
{
    struct notice_record *list, n = {0};
    size_t count = 0;

    assert_int_equal(store_notice_list(r->store, r->arena, id, &list, &count, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].kind, kind) == 0 && strcmp(list[i].recipients[0].address, to) == 0)
            assert_int_equal(store_notice_load(r->store, r->arena, list[i].id, &n, NULL), ERR_OK);
    if (!n.id)
        fail_msg("%s was not told %s", to, kind);
    return n;
}

/* A machine that was absent for hours is isolated since Defender says so, and not since it was asked; a selective
 * isolation leaves Outlook, Teams and Skype alone; and of somebody else's nobody knows which it is: that was isolated for a while when
 * it was found. */
static void test_notice__says_how_and_since_when_it_is_isolated(void **state)
{
    static const struct {
        const char *type, *listed; /* before; the action that is found */
        const char *fact, *next, *tell;
    } rows[] = {
        {"full", NOTHING, "Isolation    Full, isolated, since ", "but the Defender service.",
         "Network drives, mail and the web"},
        {"selective", NOTHING, "Isolation    Selective, isolated, since ",
         "Outlook, Teams and Skype (the isolation is selective)", "Network drives and the web"},
        {"full",
         "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Pending", "\"theirs\"", "00:00") "]}",
         "Isolation    unknown, isolated, since ", "perhaps Outlook, Teams and Skype",
         "Network drives and the web"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char rules[500], since[CLOCK_TEXT_SIZE];
        struct notice_record soc, desk, post;
        struct rig r;
        int64_t id;

        (void)snprintf(
            rules, sizeof rules,
            "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
            "rules: [{name: tell, do: [isolate: {type: %s}, webhook: {to: siem}, email: {},"
            " email: {audience: desk, to: [desk@x.example]}]}]\n",
            rows[i].type);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, rows[i].listed);
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, 3 * HOUR_MS, MINUTE_MS);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200,
                 "{\"value\":[" DONE_DOC(ACTION, "Isolate", "11:13", "11:14") "]}");
        rig_says(&r, "GET", GET_ACTION, 0, 200, DONE_DOC(ACTION, "Isolate", "11:13", "11:14"));
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
        clock_format(rig_isolation(&r).adopted ? rig_isolation(&r).took_effect
                                               : rig_isolation(&r).confirmed,
                     since);
        soc = written(&r, id, "isolated", "soc@contoso.example");
        desk = written(&r, id, "isolated", "desk@x.example");
        post = written(&r, id, "isolated", "webhook:siem");
        assert_non_null(
            strstr(part(&r, &soc, "text/plain"), arena_fmt(r.arena, "%s%s", rows[i].fact, since)));
        assert_non_null(strstr(part(&r, &soc, "text/plain"), rows[i].next));
        assert_non_null(strstr(part(&r, &desk, "text/plain"), rows[i].tell));
        assert_non_null(strstr(part(&r, &desk, "text/plain"), since));
        assert_non_null(strstr(post.message, since));
        tear_down(&r);
    }
}

/* Rules of one webhook, siem, and nobody who can be mailed. */
static void open_posts_alone(struct rig *r, const char *steps)
{
    struct runtime *rt;
    char rules[400];

    (void)snprintf(rules, sizeof rules,
                   "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                   "rules: [{name: tell, do: [%s]}]\n",
                   steps);
    rig_open(r, rules);
    log_divert(no_line, NULL);
    rt = rig_runtime(r, rules);
    rt->config->mail.server = NULL;
    rt->config->mail.to.count = 0;
    engine_use(r->g, rt);
}

/* What no step of a case has told anybody, because none was done yet, is posted where nobody can be mailed. */
static void test_notice__where_nobody_can_be_mailed_webhooks_hear_what_no_step_tells(void **state)
{
    static const struct {
        const char *steps;
        int alert; /* how Defender answers when it is asked for it */
        int64_t wait_ms;
        const char *told;
    } rows[] = {
        {"webhook: {to: siem}", 404, HOUR_MS, "not_isolated"},
        {"webhook: {to: siem}", 503, 26 * HOUR_MS, "late not_isolated"},
        {"isolate: {}", 503, HOUR_MS, "late"},
        {"ask: {}, isolate: {}, webhook: {to: siem}", 200, HOUR_MS, "question"},
        {"ask: {}, isolate: {}", 200, 5 * HOUR_MS, "question not_isolated"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t id;

        open_posts_alone(&r, rows[i].steps);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, rows[i].alert, rows[i].alert == 200 ? ALERT_DOC : "{}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, rows[i].wait_ms, 5 * MINUTE_MS);
        assert_string_equal(told_to(&r, id, "webhook:siem"), rows[i].told);
        tear_down(&r);
    }
}

/* Whom a delay was posted to, whatever webhook the rule names, hears what the alert came to, once. */
static void test_notice__whoever_was_posted_a_delay_is_posted_the_end_once(void **state)
{
    static const struct {
        const char *steps;
        bool mail; /* a step's own people alone can be mailed */
        const char *siem, *chat;
    } rows[] = {
        {"webhook: {to: siem}", false, "late alert", "late alert"},
        {"webhook: {to: siem}, scan: {}, webhook: {to: siem}", false, "late alert action_failed",
         "late alert action_failed"},
        {"isolate: {}, webhook: {to: siem}", false, "late requested isolated", "late isolated"},
        {"email: {to: [b@x.example]}", true, "late alert", "late alert"},
        {"isolate: {}, email: {to: [b@x.example]}", true, "late isolated", "late isolated"},
    };
    static const char hooks[] = "webhooks: {siem: {url: 'https://x.example/a', template: slack},"
                                " chat: {url: 'https://x.example/b', template: slack}}\n"
                                "rules: [{name: tell, do: [%s]}]\n";

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct runtime *rt;
        char rules[400];
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules, hooks, rows[i].steps);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rt = rig_runtime(&r, rules);
        rt->config->mail.to.count = 0;
        if (!rows[i].mail)
            rt->config->mail.server = NULL;
        engine_use(r.g, rt);
        peer_forget(r.peer);
        rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
        rig_says(&r, "GET", GET_ALERT, 0, 503, "{}");
        rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, HOUR_MS, 5 * MINUTE_MS);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/runAntiVirusScan", 0, 403, "{}");
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(told_to(&r, id, "webhook:siem"), rows[i].siem);
        assert_string_equal(told_to(&r, id, "webhook:chat"), rows[i].chat);
        tear_down(&r);
    }
}

/* Whoever reads a post knows which alert it is about, also when it came to nothing but a delay. */
static void test_notice__a_post_about_a_delay_names_the_alert(void **state)
{
    struct notice_record n;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                 "rules: [{name: contain, do: [webhook: {to: siem}, isolate: {}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
    n = written(&r, id, "late", "webhook:siem");
    assert_non_null(strstr(n.subject, "High: Credential memory read on ws-114"));
    assert_non_null(strstr(n.message, "Severity: High"));
    tear_down(&r);
}

#define OF_MACHINE(id, severity)                                                                   \
    "{\"id\":\"" id "\",\"severity\":\"" severity                                                  \
    "\",\"title\":\"Another\",\"machineId\":\"" MACHINE "\"}"

/* What a rule asks of one alert says nothing of a machine that is isolated for another one. */
static void test_notice__a_machine_that_is_isolated_already_is_not_called_free(void **state)
{
    static const char fact[] = "Isolation    Full, isolated, since 2025-01-07T10:11";
    struct notice_record n;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r,
             "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
             "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}]}\n"
             "  - {name: ask, when: {alert.severity: Medium}, do: [ask: {}, isolate: {}, webhook: "
             "{to: siem}, email: {}]}\n  - {name: tell, do: [email: {}]}\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);

    peer_forget(r.peer);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC(ACTION, "Isolate", "11:13", "11:14") "]}");
    rig_says(&r, "GET", GET_ALERT "da3_-1", 0, 200, OF_MACHINE("da3_-1", "Medium"));
    rig_says(&r, "GET", GET_ALERT "da4_-1", 0, 200, OF_MACHINE("da4_-1", "Low"));
    id = rig_push(&r, "da3_-1", MACHINE);
    (void)rig_work(&r);
    n = written(&r, id, "question", "soc@contoso.example");
    assert_non_null(strstr(part(&r, &n, "text/plain"), fact));
    assert_null(strstr(part(&r, &n, "text/plain"), "the machine is not isolated"));
    assert_non_null(strstr(part(&r, &n, "text/plain"), "isolated already, as far as cordon knows"));
    rig_pass(&r, 5 * HOUR_MS, HOUR_MS);
    n = written(&r, id, "not_isolated", "soc@contoso.example");
    assert_non_null(strstr(part(&r, &n, "text/plain"), fact));
    assert_null(strstr(part(&r, &n, "text/plain"), "The machine is NOT isolated"));
    assert_non_null(strstr(n.subject, "] Isolated already, not for this alert: "));
    n = written(&r, id, "not_isolated", "webhook:siem");
    assert_non_null(strstr(n.message, "Isolated already, not for this alert"));
    assert_non_null(strstr(n.message, "Full, isolated, since 2025-01-07T10:11"));
    assert_null(strstr(n.message, "The machine is NOT isolated"));
    assert_non_null(strstr(n.message, "will do for this alert, too"));
    assert_null(strstr(n.message, "how to isolate"));

    id = rig_push(&r, "da4_-1", MACHINE);
    (void)rig_work(&r);
    n = written(&r, id, "alert", "soc@contoso.example");
    assert_non_null(strstr(part(&r, &n, "text/plain"), fact));
    tear_down(&r);
}

/* Its own isolation failed, and then another alert has led to one. */
static void test_notice__a_failed_isolation_makes_no_machine_free(void **state)
{
    struct desk_order no = {.who = "maria"};
    struct question_record *list;
    struct notice_record n;
    size_t count = 0;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r,
             "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, {tag: "
             "{add: x}, on_failure: ask}, scan: {}, email: {to: [late@x.example]}]}\n"
             "  - {name: other, do: [isolate: {}]}\n");

    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    rig_says(&r, "POST", ISOLATE, 1, 201, ACTION_DOC("a1", "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION "a1", 0, 200,
             ACTION_DOC("a1", "Isolate", "Failed", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    n = written(&r, id, "not_isolated", "soc@contoso.example");
    assert_non_null(strstr(part(&r, &n, "text/plain"), "The machine is NOT isolated"));

    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT "da3_-1", 0, 200, OF_MACHINE("da3_-1", "Medium"));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC("a1", "Isolate", "Failed", "null", "11:13") "]}");
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "12:20"));
    (void)rig_push(&r, "da3_-1", MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(
        store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 1, &list, &count, NULL), ERR_OK);
    assert_int_equal(count, 1);
    no.id = list[0].id;
    assert_int_equal(desk_refuse(r.g, &no, NULL), ERR_OK);
    (void)rig_work(&r);
    n = written(&r, id, "not_isolated", "late@x.example");
    assert_null(strstr(part(&r, &n, "text/plain"), "The machine is NOT isolated"));
    assert_non_null(strstr(part(&r, &n, "text/plain"), "; not for this alert: Full, isolated"));
    assert_non_null(strstr(n.subject, "] Isolated already, not for this alert: "));
    tear_down(&r);
}

/* Its isolation was over, and then another alert has led to one: what its rule says later says so. */
static void test_notice__a_released_machine_that_is_isolated_again_is_not_called_free(void **state)
{
    struct desk_order no = {.who = "maria"};
    struct question_record *list;
    struct notice_record n;
    size_t count = 0;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r,
             "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, {tag: "
             "{add: x}, on_failure: ask}, scan: {}, email: {to: [late@x.example]}]}\n"
             "  - {name: other, do: [isolate: {}]}\n");
    log_divert(no_line, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_ALERT "da3_-1", 0, 200, OF_MACHINE("da3_-1", "Medium"));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC("u1", "Unisolate", "14:00", "14:10") "," ACTION_DOC(
                 "a1", "Isolate", "Succeeded", "null", "11:13") "]}");
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC("a1", "Isolate", "Succeeded", "null", "11:13"));
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "20:00"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    hands_turn(&r.hands, 9 * MINUTE_MS);
    (void)rig_push(&r, "da3_-1", MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 2);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(
        store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 1, &list, &count, NULL), ERR_OK);
    assert_int_equal(count, 1);
    no.id = list[0].id;
    assert_int_equal(desk_refuse(r.g, &no, NULL), ERR_OK);
    (void)rig_work(&r);
    n = written(&r, id, "released", "late@x.example");
    assert_null(strstr(part(&r, &n, "text/plain"), "The machine reaches the network again"));
    assert_non_null(strstr(part(&r, &n, "text/plain"), "; not for this alert: Full, isolated"));
    assert_non_null(strstr(n.subject, "[RELEASED] Isolated again: "));
    assert_non_null(strstr(part(&r, &n, "text/plain"), "cordon has isolated it again"));
    assert_null(strstr(part(&r, &n, "text/plain"), "somebody has")); /* nobody has */
    tear_down(&r);
}

static enum err_code refuse_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const int64_t *case_id = arg;

    return db_run(tx, e, NULL,
                  "UPDATE recipients SET state = 'refused' WHERE notice_id IN"
                  " (SELECT id FROM notices WHERE case_id = $1 AND kind = 'isolated')",
                  "i", *case_id);
}

/* A person was asked how to go on, and the isolation was confirmed meanwhile, which people were told: the step behind the
 * question says it to those who do not know, or in words of its own. */
static void test_notice__who_knows_how_it_ended_is_not_told_it_again(void **state)
{
#define ASKS "isolate: {}, {tag: {add: x}, on_failure: ask}, scan: {}, "
    static const struct {
        const char *steps, *at_once, *end, *soc, *other;
        bool refused; /* the mails about the isolation, by his server */
    } rows[] = {
        {ASKS "email: {}", "Pending", "Succeeded", "question isolated action_failed", "", false},
        {ASKS "email: {}", "Pending", "Succeeded", "question isolated isolated action_failed", "",
         true},
        {ASKS "email: {}", "Pending", "Failed", "question not_isolated action_failed", "", false},
        {ASKS "email: {to: [soc@contoso.example, b@x.example]}", "Pending", "Succeeded",
         "question isolated action_failed", "isolated action_failed", false},
        {ASKS "email: {body: Runbook 7}", "Pending", "Succeeded",
         "question isolated isolated action_failed", "", false},
        {"isolate: {}, email: {}, {tag: {add: x}, on_failure: ask}, scan: {}", "Succeeded",
         "Succeeded", "isolated question action_failed", "", false},
        {"isolate: {}, email: {to: [b@x.example]}, {tag: {add: x}, on_failure: ask}, scan: {}",
         "Succeeded", "Succeeded", "question isolated action_failed", "isolated action_failed",
         false},
        {"isolate: {}, email: {}, {tag: {add: x}, on_failure: ask}, scan: {},"
         " email: {to: [b@x.example]}",
         "Succeeded", "Succeeded", "isolated question action_failed", "isolated action_failed",
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk_order no = {.who = "maria"};
        struct question_record *list;
        struct step_record *steps;
        char rules[400];
        size_t n = 0;
        struct rig r;
        int64_t id;

        (void)snprintf(rules, sizeof rules, "rules: [{name: contain, do: [%s]}]\n", rows[i].steps);
        rig_open(&r, rules);
        log_divert(no_line, NULL);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
        rig_says(&r, "POST", ISOLATE, 1, 201,
                 arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "%s", "null", "11:13"),
                           rows[i].at_once));
        rig_says(
            &r, "GET", GET_ACTION, 0, 200,
            arena_fmt(r.arena, ACTION_DOC(ACTION, "Isolate", "%s", "null", "11:13"), rows[i].end));
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, MINUTE_MS, SECOND_MS);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_OPEN, 0, 1, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 1);
        no.id = list[0].id;
        if (rows[i].refused)
            assert_int_equal(db_write(r.store->db, refuse_fn, &id, NULL), ERR_OK);
        assert_int_equal(desk_refuse(r.g, &no, NULL), ERR_OK);
        (void)rig_work(&r);
        assert_int_equal(rig_case(&r, id).state, CASE_DONE);
        assert_string_equal(told_to(&r, id, "soc@contoso.example"), rows[i].soc);
        assert_string_equal(told_to(&r, id, "b@x.example"), rows[i].other);
        assert_int_equal(store_case_steps(r.store, r.arena, id, &steps, &n, NULL), ERR_OK);
        for (size_t k = 0; k < n; k++)
            assert_true(strcmp(steps[k].handler, "email") != 0 || steps[k].state == STEP_DONE);
        tear_down(&r);
    }
}

/* Defender took it and then said nothing for days: nobody tells people, nor the helpdesk, that the machine is free. */
static void test_notice__what_nobody_knows_is_not_called_not_isolated(void **state)
{
    struct notice_record n;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                 "rules:\n  - {name: contain, do: [isolate: {}, email: {}, webhook: {to: siem}, "
                 "email: {audience: desk, to: [desk@x.example]}]}\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 503, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 5 * DAY_MS, HOUR_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_FAILED);
    assert_true(isolation_is_unknown(&(struct isolation_record){
        .state = rig_isolation(&r).state, .posted = rig_isolation(&r).posted}));
    n = written(&r, id, "not_isolated", "soc@contoso.example");
    assert_non_null(strstr(n.subject, "it is not known whether the machine is isolated"));
    assert_null(strstr(part(&r, &n, "text/plain"), "The machine is NOT isolated"));
    assert_non_null(
        strstr(part(&r, &n, "text/plain"), "Nobody knows whether the machine is isolated"));
    assert_non_null(strstr(part(&r, &n, "text/plain"), "before anybody isolates it again"));
    n = written(&r, id, "not_isolated", "webhook:siem");
    assert_null(strstr(n.message, "The machine is NOT isolated"));
    n = written(&r, id, "not_isolated", "desk@x.example");
    assert_true(strncmp(n.subject, "[REQUESTED] ", 12) == 0);
    assert_null(strstr(part(&r, &n, "text/plain"), "stays on the network"));
    assert_null(strstr(part(&r, &n, "text/plain"), "and it was not"));
    tear_down(&r);
}

/* The helpdesk tells users what to do: not that a machine is on the network which is cut off. */
static void test_notice__the_helpdesk_calls_no_machine_free_that_is_isolated(void **state)
{
    static const char tagged[] = "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\","
                                 "\"machineTags\":[%s]}";
    struct desk_order again = {.who = "maria"};
    struct notice_record n;
    struct rig r;

    (void)state;
    rig_open(
        &r,
        "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: "
        "{}, email: {audience: desk, to: [berlin@x.example]}, tag: {add: x}]}\n  - {name: other, do: [isolate: {}]}\n"
        "safety: {protected: [{machine.tags: [tier-0]}]}\n");
    log_divert(no_line, NULL);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_ALERT "da3_-1", 0, 200, OF_MACHINE("da3_-1", "Medium"));
    rig_says(&r, "GET", GET_MACHINE, 0, 200, arena_fmt(r.arena, tagged, ""));
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 0, 403, "{}");
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC("u1", "Unisolate", "14:00", "14:10") "," ACTION_DOC(
                 "a1", "Isolate", "Succeeded", "null", "11:13") "]}");
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC("a1", "Isolate", "Succeeded", "null", "11:13"));
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "20:00"));
    again.id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, again.id, "berlin@x.example"), "isolated");
    hands_turn(&r.hands, 9 * MINUTE_MS);
    (void)rig_push(&r, "da3_-1", MACHINE);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, again.id, "berlin@x.example"), "isolated released");
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    assert_int_equal(rig_seen(&r, "POST", ISOLATE), 2);

    peer_forget(r.peer);
    rig_says(&r, "GET", GET_ALERT ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200, arena_fmt(r.arena, tagged, "\"tier-0\""));
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "20:00") "]}");
    assert_int_equal(desk_retry(r.g, &again, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_string_equal(told_to(&r, again.id, "berlin@x.example"), "isolated released isolated");
    n = written(&r, again.id, "isolated", "berlin@x.example");
    assert_non_null(strstr(part(&r, &n, "text/plain"), "for another reason"));
    assert_string_equal(n.subject, "[ISOLATED] ws-114");
    tear_down(&r);
}

/* What comes of other steps, and a question about them: the isolation that the alert has led to is its own, whoever asks. */
static void test_notice__an_isolation_of_the_case_is_not_called_another_alerts(void **state)
{
    static const char fact[] = "Isolation    Full, isolated, since 2025-01-07T10:11";
    static const char *const kinds[] = {"action_done", "question"};
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "rules:\n  - {name: contain, do: [isolate: {}, email: {}, restrict: {}, {tag: "
                 "{add: x}, on_failure: ask}, unrestrict: {}]}\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    rig_says(&r, "POST", "/api/machines/" MACHINE "/restrictCodeExecution", 1, 201,
             ACTION_DOC("c3d0c1f4-7a83-4f5e-9f66-0a1b2c3d4e5f", "RestrictCodeExecution",
                        "Succeeded", "null", "11:13"));
    rig_says(&r, "POST", "/api/machines/" MACHINE "/tags", 1, 403, "{}");
    id = rig_push(&r, ALERT, MACHINE);
    rig_pass(&r, MINUTE_MS, SECOND_MS);
    assert_int_equal(rig_isolation(&r).state, ISOLATION_ISOLATED);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct notice_record n = written(&r, id, kinds[i], "soc@contoso.example");

        assert_non_null(strstr(part(&r, &n, "text/plain"), fact));
        assert_null(strstr(part(&r, &n, "text/plain"), "not for this alert"));
        assert_null(strstr(part(&r, &n, "text/plain"), "the machine is not isolated"));
    }
    tear_down(&r);
}

/* Whoever reads a post about a review has no mail to wait for. */
static void test_notice__a_post_about_a_review_promises_no_mail(void **state)
{
    struct notice_record n;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "webhooks: {siem: {url: 'https://x.example/a', template: slack}}\n"
                 "rules: [{name: contain, do: [isolate: {}, webhook: {to: siem}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    rig_says(&r, "GET", LIST, 1, 200, NOTHING);
    rig_says(&r, "GET", LIST, 0, 200,
             "{\"value\":[" DONE_DOC(ACTION, "Isolate", "11:13", "11:14") "]}");
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, 25 * HOUR_MS, HOUR_MS);
    n = written(&r, id, "review", "webhook:siem");
    assert_non_null(strstr(n.message, "cordon isolations extend"));
    assert_null(strstr(n.message, "mail"));
    tear_down(&r);
}

/* Whoever has a machine gives it its name. */
static void test_notice__a_machines_name_is_harmless_in_the_helpdesks_subject(void **state)
{
    struct notice_record desk;
    struct rig r;
    int64_t id;

    (void)state;
    rig_open(&r, "rules: [{name: tell, do: [isolate: {}, email: {}, email: {audience: desk, to: "
                 "[desk@x.example]}]}]\n");
    log_divert(no_line, NULL);
    rig_afresh(&r);
    peer_forget(r.peer);
    rig_says(&r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(&r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(&r, "GET", GET_MACHINE, 0, 200,
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"x] [RELEASED] "
             "https://evil\\r\\nBcc: a@evil\\u202e\"}");
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_says(&r, "POST", ISOLATE, 1, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    desk = written(&r, id, "requested", "desk@x.example");
    assert_string_equal(desk.subject,
                        "[REQUESTED] x) (RELEASED) hxxps[:]//evil  Bcc: a[@]evil[U+202E]");
    assert_null(strstr(desk.message, "\nBcc:"));
    tear_down(&r);
}

/* The people of mail.to are others since the case began: they hear how it ends; but not of one whose rule names whom it tells, or
 * tells them of something else alone. */
static void test_notice__who_is_in_mail_to_by_now_hears_how_it_goes_on(void **state)
{
    static const char *const steps[] = {
        "email: {}", "email: {to: [a@x.example]}",
        "email: {to: [a@x.example]}, {email: {}, if: {isolate: failed}}"};

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const char *rules, *told = "";
        struct notice_record *list;
        struct runtime *rt;
        struct rig r;
        size_t n = 0;
        int64_t id;

        set_up(&r);
        rules = arena_fmt(r.arena, "rules: [{name: contain, do: [isolate: {}, %s]}]\n", steps[i]);
        engine_use(r.g, rig_runtime(&r, rules));
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rt = rig_runtime(&r, rules);
        rt->config->mail.to.items[0] = "new@contoso.example";
        engine_use(r.g, rt);
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
        assert_int_equal(n, 2);
        assert_string_equal(list[1].kind, "isolated");
        for (size_t k = 0; k < list[1].n_recipients; k++)
            told = arena_fmt(r.arena, "%s%s ", told, list[1].recipients[k].address);
        assert_string_equal(told, i ? "a@x.example " : "soc@contoso.example new@contoso.example ");
        tear_down(&r);
    }
}

/* So they do where the rule writes to nobody, so that mail.to hears what people must know; not where others were asked than mail.to. */
static void test_notice__who_is_in_mail_to_by_now_hears_how_it_goes_on_where_no_step_writes(
    void **state)
{
    static const struct {
        const char *steps, *told;
    } rows[] = {
        {"isolate: {}", "soc@contoso.example new@contoso.example "},
        {"ask: {approvers: [a@x.example]}, isolate: {}", "a@x.example "},
        {"ask: {}, isolate: {}", "soc@contoso.example new@contoso.example "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *rules, *told = "";
        struct notice_record *list;
        struct runtime *rt;
        struct rig r;
        size_t n = 0;
        int64_t id;

        set_up(&r);
        rules = arena_fmt(r.arena, "rules: [{name: contain, do: [%s]}]\n", rows[i].steps);
        engine_use(r.g, rig_runtime(&r, rules));
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_says(&r, "POST", ISOLATE, 0, 503, "{}");
        id = rig_push(&r, ALERT, MACHINE);
        rig_pass(&r, 20 * MINUTE_MS, MINUTE_MS);
        assert_string_equal(rig_told(&r, id), i ? "question" : "late");
        rt = rig_runtime(&r, rules);
        rt->config->mail.to.items[0] = "new@contoso.example";
        engine_use(r.g, rt);
        assert_int_equal(desk_drop(r.g, &(struct desk_order){.id = id, .why = "a drill"}, NULL),
                         ERR_OK);
        rig_afresh(&r);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 1);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        rig_pass(&r, HOUR_MS, MINUTE_MS);
        assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
        assert_true(n > 1);
        for (size_t k = 0; k < list[n - 1].n_recipients; k++)
            told = arena_fmt(r.arena, "%s%s ", told, list[n - 1].recipients[k].address);
        assert_string_equal(told, rows[i].told);
        tear_down(&r);
    }
}

/* One mail goes to a hundred: the steps of a case may tell more, and all of them hear the end. */
static void test_notice__more_people_than_one_mail_can_have_are_all_told(void **state)
{
    AUTO(buf_clear) struct buf rules = BUF_INIT(8000);
    struct notice_record *list;
    size_t n = 0, told = 0;
    struct rig r;
    int64_t id;

    (void)state;
    set_up(&r);
    buf_adds(&rules, "rules: [{name: contain, do: [isolate: {}");
    for (int i = 0; i < 120; i++)
        buf_addf(&rules, "%sp%d@x.example",
                 i % 60 ? ", "
                 : i    ? "]}, email: {to: ["
                        : ", email: {to: [",
                 i);
    buf_adds(&rules, "]}]}]\n");
    engine_use(r.g, rig_runtime(&r, buf_text(&rules)));
    rig_says(&r, "GET", LIST, 0, 200, NOTHING);
    rig_takes_isolate(&r, 1);
    rig_says(&r, "GET", GET_ACTION, 0, 200,
             ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    rig_pass(&r, HOUR_MS, MINUTE_MS);
    assert_int_equal(store_notice_list(r.store, r.arena, id, &list, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        assert_true(list[i].n_recipients <= 100);
        told += strcmp(list[i].kind, "isolated") == 0 ? list[i].n_recipients : 0;
    }
    assert_int_equal(told, 120);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notice__mails_of_one_incident_are_one_thread),
        cmocka_unit_test(test_notice__a_case_stays_in_the_thread_that_it_began),
        cmocka_unit_test(test_notice__a_thread_goes_on_when_the_sender_is_another),
        cmocka_unit_test(test_notice__subjects_have_one_state_and_it_is_ours),
        cmocka_unit_test(test_notice__the_link_is_to_the_portal_of_the_cloud),
        cmocka_unit_test(test_notice__facts_come_first),
        cmocka_unit_test(test_notice__templates_of_the_configuration),
        cmocka_unit_test(test_notice__the_preview_is_the_mail),
        cmocka_unit_test(test_notice__a_preview_is_addressed_as_the_mail_would_be),
        cmocka_unit_test(test_notice__a_step_that_reaches_nobody_is_not_done),
        cmocka_unit_test(test_notice__an_alert_whose_webhook_is_gone_before_its_turn_is_told),
        cmocka_unit_test(
            test_notice__an_isolation_whose_webhook_is_gone_is_told_while_it_is_under_way),
        cmocka_unit_test(test_notice__who_could_not_be_told_is_told_the_end),
        cmocka_unit_test(test_notice__who_heard_of_a_request_hears_its_end),
        cmocka_unit_test(test_notice__who_was_told_that_it_is_late_hears_the_end),
        cmocka_unit_test(test_notice__a_mail_before_the_isolation_says_that_it_follows),
        cmocka_unit_test(test_notice__a_step_that_fails_beside_the_isolation_is_told),
        cmocka_unit_test(test_notice__a_step_that_fails_again_when_it_is_tried_again_is_told),
        cmocka_unit_test(test_notice__a_webhook_hears_that_it_was_not_isolated),
        cmocka_unit_test(test_notice__each_helpdesk_of_a_rule_hears_all_of_it),
        cmocka_unit_test(test_notice__a_webhook_hears_why_it_was_not_isolated_the_second_time),
        cmocka_unit_test(test_notice__the_link_to_a_package_is_mailed_though_the_rule_only_posts),
        cmocka_unit_test(test_notice__who_only_gets_posts_is_told_once),
        cmocka_unit_test(test_notice__whose_webhook_is_gone_is_told_by_mail),
        cmocka_unit_test(test_notice__where_nobody_can_be_mailed_webhooks_hear_what_no_step_tells),
        cmocka_unit_test(test_notice__whoever_was_posted_a_delay_is_posted_the_end_once),
        cmocka_unit_test(test_notice__a_post_about_a_delay_names_the_alert),
        cmocka_unit_test(test_notice__a_released_machine_that_is_isolated_again_is_not_called_free),
        cmocka_unit_test(test_notice__who_knows_how_it_ended_is_not_told_it_again),
        cmocka_unit_test(test_notice__who_is_named_twice_gets_it_once),
        cmocka_unit_test(test_notice__says_how_and_since_when_it_is_isolated),
        cmocka_unit_test(test_notice__a_machine_that_is_isolated_already_is_not_called_free),
        cmocka_unit_test(test_notice__a_failed_isolation_makes_no_machine_free),
        cmocka_unit_test(test_notice__what_nobody_knows_is_not_called_not_isolated),
        cmocka_unit_test(test_notice__the_helpdesk_calls_no_machine_free_that_is_isolated),
        cmocka_unit_test(test_notice__an_isolation_of_the_case_is_not_called_another_alerts),
        cmocka_unit_test(test_notice__who_is_in_mail_to_by_now_hears_how_it_goes_on),
        cmocka_unit_test(
            test_notice__who_is_in_mail_to_by_now_hears_how_it_goes_on_where_no_step_writes),
        cmocka_unit_test(test_notice__more_people_than_one_mail_can_have_are_all_told),
        cmocka_unit_test(test_notice__a_post_about_a_review_promises_no_mail),
        cmocka_unit_test(test_notice__a_machines_name_is_harmless_in_the_helpdesks_subject),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
