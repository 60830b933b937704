/* test_mute.c - silences: what they withhold and what they never do, who may put one up, and that their end is
 * told. Days pass by the hands. */
#include "engine_kit.h"

#include "audit.h"
#include "kit/mail_reader.h"
#include "log.h"
#include "mute.h"
#include "mute_desk.h"
#include "store_check.h"
#include "store_upkeep.h"

#define MEDIUM_DOC                                                                                 \
    "{\"id\":\"" ALERT                                                                             \
    "\",\"severity\":\"Medium\",\"title\":\"Port scan\",\"machineId\":\"" MACHINE "\"}"
#define PORT_SCAN "alert.title: Port scan"

static void no_line(enum log_level level, const char *line, void *ctx)
{
    (void)level;
    (void)line;
    (void)ctx;
}

static void open_rig(struct rig *r, const char *rules)
{
    rig_open(r, rules);
    log_divert(no_line, NULL);
    rig_afresh(r);
}

static void close_rig(struct rig *r)
{
    rig_close(r);
    log_divert(NULL, NULL);
}

/* The alert is this one: a rule mails, and nothing acts. */
static void turn_to(struct rig *r, const char *doc)
{
    peer_forget(r->peer);
    rig_says(r, "POST", "/0a4a1f60", 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, doc);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
}

static void turn_medium(struct rig *r)
{
    turn_to(r, MEDIUM_DOC);
}

static struct mute_order order_of(const char *when)
{
    return (struct mute_order){
        .when = when, .who = "maria", .why = "a pentest", .for_ms = 4 * HOUR_MS};
}

/* Gives the order; its answer. */
static struct json *add_order(struct rig *r, const struct mute_order *o)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct json *doc = NULL;
    struct err e = {0};

    if (mute_desk_add(r->g, o, &out, &e))
        fail_msg("%s", e.text);
    assert_int_equal(json_parse(buf_text(&out), out.len, &doc, NULL), ERR_OK);
    return doc;
}

static int64_t id_in(const struct json *answer)
{
    int64_t id = 0;

    assert_int_equal(id_parse(json_get_string(answer, "silence"), &id, NULL), ERR_OK);
    return id;
}

/* Puts one up that is not broad, for four hours. */
static int64_t add(struct rig *r, const char *when)
{
    const struct mute_order o = order_of(when);
    AUTO(json_freep) struct json *answer = add_order(r, &o);

    assert_string_equal(json_get_string(answer, "state"), "active");
    return id_in(answer);
}

static struct mute_record mute_now(struct rig *r, int64_t id)
{
    struct mute_record m;

    assert_int_equal(store_mute_load(r->store, r->arena, id, &m, NULL), ERR_OK);
    return m;
}

static enum err_code order_about(struct rig *r,
                                 enum err_code (*fn)(struct engine *, const struct desk_order *,
                                                     struct err *),
                                 int64_t id, const char *who, const char *why, struct err *e)
{
    return fn(r->g, &(struct desk_order){.id = id, .who = who, .why = why}, e);
}

static struct step_record step_of(struct rig *r, int64_t case_id)
{
    struct step_record *steps;
    size_t n = 0;

    assert_int_equal(store_case_steps(r->store, r->arena, case_id, &steps, &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
    return steps[0];
}

/* ---- what was mailed about silences ------------------------------------------------------------- */

struct letters {
    struct arena *arena;
    size_t n;
    struct {
        const char *kind, *subject, *message;
    } list[120];
};

static enum err_code letters_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct letters *l = arg;
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT kind, subject, message FROM notices WHERE about LIKE"
                                  " 'silence:%' ORDER BY id",
                                  "");

    if (code)
        return code;
    for (l->n = 0; db_next(rows) && l->n < 120; l->n++) {
        l->list[l->n].kind = store_text(l->arena, rows, 0, &nomem);
        l->list[l->n].subject = store_text(l->arena, rows, 1, &nomem);
        l->list[l->n].message = store_text(l->arena, rows, 2, &nomem);
    }
    return db_rows_end(rows, e);
}

/* The kinds of all of them in order; the last one's subject and text. */
static const char *letters(struct rig *r, const char **ret_subject, const char **ret_text)
{
    struct letters l = {.arena = r->arena};
    const char *kinds = "";
    struct mail_read m;

    assert_int_equal(db_read(r->store->db, letters_fn, &l, NULL), ERR_OK);
    for (size_t i = 0; i < l.n; i++)
        kinds = arena_fmt(r->arena, "%s%s%s", kinds, i ? " " : "", l.list[i].kind);
    if (!l.n)
        return "";
    if (ret_subject)
        *ret_subject = l.list[l.n - 1].subject;
    mail_read(&m, l.list[l.n - 1].message, strlen(l.list[l.n - 1].message));
    assert_string_equal(m.fault, "");
    if (ret_text)
        *ret_text = arena_str(r->arena, m.parts[0].body);
    mail_read_clear(&m);
    return kinds;
}

static bool holds(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static struct json *preview_of(struct rig *r, const char *when)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct json *doc = NULL;
    struct err e = {0};

    if (mute_desk_preview(r->g, when, &out, &e))
        fail_msg("%s: %s", when, e.text);
    assert_int_equal(json_parse(buf_text(&out), out.len, &doc, NULL), ERR_OK);
    return doc;
}

static int64_t number(const struct json *doc, const char *name)
{
    int64_t n = -1;

    assert_true(json_int64(json_get(doc, name), &n));
    return n;
}

/* ---- withholding -------------------------------------------------------------------------------- */

static void test_mute__withholds_a_mail_says_so_and_tells_of_it_at_its_end(void **state)
{
    const char *subject, *text;
    struct rig r;
    int64_t id, mute;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    mute = add(&r, PORT_SCAN);
    assert_string_equal(letters(&r, &subject, &text), "silence_begun");
    assert_string_equal(subject, "[CORDON] silence by maria until 2025-01-07T14:11:12Z: a pentest");
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, id).state, CASE_DONE);
    assert_null(rig_case(&r, id).told);
    assert_string_equal(rig_told(&r, id), "");
    assert_int_equal(step_of(&r, id).state, STEP_WITHHELD);
    assert_string_equal(step_of(&r, id).why,
                        "silenced by maria until 2025-01-07T14:11:12Z: a pentest");
    assert_int_equal(mute_now(&r, mute).withheld, 1);

    /* a moment before its end it holds */
    hands_turn(&r.hands, 4 * HOUR_MS - 1);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ACTIVE);
    hands_turn(&r.hands, 1);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ENDED);
    assert_null(mute_now(&r, mute).ended_by);
    assert_string_equal(letters(&r, &subject, &text), "silence_begun silence_ended");
    assert_string_equal(subject, "[CORDON] silence by maria ended: 1 case withheld");
    assert_true(holds(text, "Medium: Port scan on ws-114"));
    assert_true(holds(text, "rule tell, alert " ALERT));
    assert_true(holds(text, "title: Port scan")); /* its condition */
    close_rig(&r);
}

static void test_mute__is_over_at_its_end_whether_it_was_told_yet_or_not(void **state)
{
    struct rig r;
    int64_t id;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    (void)add(&r, PORT_SCAN);
    hands_turn(&r.hands, 4 * HOUR_MS);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r); /* cases come first there */
    assert_string_equal(rig_told(&r, id), "alert");
    close_rig(&r);
}

/* A clock that is set back hurries all work: it looks, and waits on. */
static void test_mute__does_not_end_early(void **state)
{
    struct rig r;
    struct work w;
    int64_t id;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    id = add(&r, PORT_SCAN);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    assert_true(rig_claim(&r, WORK_MUTE, &w));
    mute_run(r.g, &w);
    assert_int_equal(mute_now(&r, id).state, MUTE_ACTIVE);
    assert_false(rig_claim(&r, WORK_MUTE, &w));
    hands_turn(&r.hands, 4 * HOUR_MS);
    assert_true(rig_claim(&r, WORK_MUTE, &w));
    mute_run(r.g, &w);
    assert_int_equal(mute_now(&r, id).state, MUTE_ENDED);
    assert_false(rig_claim(&r, WORK_MUTE, &w));
    close_rig(&r);
}

/* The clock was a year ahead for a moment, and a silence was put up by it: it holds for its hours, and is mailed then. */
static void test_mute__a_clock_set_back_makes_none_longer(void **state)
{
    const int64_t year = 365 * DAY_MS;
    struct rig r;
    int64_t silence, id;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    atomic_fetch_add(&r.hands.wall, year);
    silence = add(&r, PORT_SCAN);
    atomic_fetch_sub(&r.hands.wall, year);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    (void)rig_work(&r);
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_int_equal(mute_now(&r, silence).state, MUTE_ACTIVE);
    rig_pass(&r, HOUR_MS, HOUR_MS);
    assert_int_equal(mute_now(&r, silence).state, MUTE_ENDED);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "alert");
    close_rig(&r);
}

/* The clock was ahead when a second person said yes, and not when the end was said. */
static void test_mute__a_clock_set_back_since_the_yes_makes_none_shorter(void **state)
{
    const struct mute_order o = order_of("alert.severity: Medium");
    struct err e = {0};
    struct rig r;
    int64_t mute;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    AUTO(json_freep) struct json *answer = add_order(&r, &o);
    mute = id_in(answer);
    atomic_fetch_add(&r.hands.wall, 2 * HOUR_MS);
    assert_int_equal(order_about(&r, mute_desk_approve, mute, "joe", NULL, &e), ERR_OK);
    atomic_fetch_sub(&r.hands.wall, 2 * HOUR_MS);
    assert_int_equal(store_work_hurry(r.store, NULL), ERR_OK);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).began, clock_wall_ms(&r.hands.clock));
    rig_pass(&r, 3 * HOUR_MS, HOUR_MS);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ACTIVE);
    rig_pass(&r, HOUR_MS, HOUR_MS);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ENDED);
    close_rig(&r);
}

/* Each row: what would be told without a silence is told with one that matches. */
static void test_mute__never_hides_what_is_more_than_an_alert(void **state)
{
    static const struct {
        const char *label, *rules, *when, *told;
        int64_t matched;
    } rows[] = {
        {"an isolation", RULES_ISOLATE_AND_MAIL, "alert.severity: High\nalert.id: " ALERT,
         "requested isolated", 1},
        {"an isolation that is withheld",
         RULES_ISOLATE_AND_MAIL "safety: {protected: [{machine.name: 'ws*'}, {machine.id: " MACHINE
                                "}]}\n",
         "alert.id: " ALERT, "not_isolated", 1},
        {"a shadow of one", RULES_ISOLATE_AND_MAIL "safety: {mode: shadow}\n", "alert.id: " ALERT,
         "not_isolated", 1},
        {"a question",
         "rules:\n  - name: contain\n    do: [ask: {within: 4h}, isolate: {}, email: {}]\n",
         "alert.id: " ALERT, "question not_isolated", 1},
        {"doubt about the rule",
         "rules:\n  - {name: odd, when: {machine.risk: High}, do: [email: {}]}\n"
         "  - {name: tell, do: [email: {}]}\n",
         "alert.id: " ALERT, "alert", 1},
        {"a condition that cannot be judged", RULES_MAIL_ONLY,
         "alert.id: " ALERT "\nmachine.risk: High", "alert", 0},
        {"another alert", RULES_MAIL_ONLY, "alert.id: da1", "alert", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;
        int64_t mute, id;

        open_rig(&r, rows[i].rules);
        rig_says(&r, "GET", LIST, 0, 200, NOTHING);
        rig_takes_isolate(&r, 0);
        rig_says(&r, "GET", GET_ACTION, 0, 200,
                 ACTION_DOC(ACTION, "Isolate", "Succeeded", "null", "11:12"));
        {
            const struct mute_order o = {
                .when = rows[i].when, .who = "maria", .why = "a pentest", .for_ms = 5 * DAY_MS};
            AUTO(json_freep) struct json *answer = add_order(&r, &o);

            mute = id_in(answer);
        }
        id = rig_push(&r, ALERT, MACHINE);
        (void)rig_work(&r);
        rig_pass(&r, 5 * HOUR_MS, 10 * MINUTE_MS);
        if (strcmp(rig_told(&r, id), rows[i].told) != 0)
            fail_msg("%s: told %s", rows[i].label, rig_told(&r, id));
        AUTO(json_freep) struct json *preview = preview_of(&r, rows[i].when);
        assert_int_equal(number(preview, "matched"), rows[i].matched);
        assert_int_equal(number(preview, "withheld"), 0);
        assert_int_equal(mute_now(&r, mute).withheld, 0);
        assert_int_equal(mute_now(&r, mute).state, MUTE_ACTIVE);
        close_rig(&r);
    }
}

/* Nothing is withheld of which nobody could be told at the end. */
static void test_mute__needs_somebody_to_tell(void **state)
{
    const char *nobody = "rules:\n  - {name: tell, do: [email: {to: ann@x.example}]}\n";
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    struct mute_order o = order_of(PORT_SCAN);
    struct err e = {0};
    struct runtime *rt;
    struct rig r;
    int64_t id;

    (void)state;
    open_rig(&r, nobody);
    turn_medium(&r);
    (void)add(&r, PORT_SCAN);
    rt = rig_runtime(&r, nobody);
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    assert_int_equal(mute_desk_add(r.g, &o, &out, &e), ERR_CONFLICT);
    assert_true(holds(e.text, "mail.to"));
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "alert");
    close_rig(&r);
}

/* A reload took everybody away to whom the list could go: it does not end untold. */
static void test_mute__ends_when_somebody_can_be_told_what_it_withheld(void **state)
{
    const char *subject, *text;
    struct err e = {0};
    struct runtime *rt;
    struct rig r;
    int64_t mute;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    mute = add(&r, PORT_SCAN);
    (void)rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).withheld, 1);
    rt = rig_runtime(&r, RULES_MAIL_ONLY);
    rt->config->mail.to.count = 0;
    engine_use(r.g, rt);
    assert_int_equal(order_about(&r, mute_desk_end, mute, "joe", "enough", &e), ERR_CONFLICT);
    assert_true(holds(e.text, "mail.to"));
    hands_turn(&r.hands, 5 * HOUR_MS);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ACTIVE);
    engine_use(r.g, rig_runtime(&r, RULES_MAIL_ONLY));
    hands_turn(&r.hands, 5 * MINUTE_MS);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ENDED);
    assert_string_equal(letters(&r, &subject, &text), "silence_begun silence_ended");
    assert_string_equal(subject, "[CORDON] silence by maria ended: 1 case withheld");
    close_rig(&r);
}

static void test_mute__counts_a_case_once_and_a_retry_after_it_is_told(void **state)
{
    struct err e = {0};
    struct rig r;
    int64_t id, mute;

    (void)state;
    open_rig(&r, "webhooks:\n  siem: {url: 'http://127.0.0.1:9/x', secret_files: [whsec]}\n"
                 "rules:\n  - {name: tell, do: [email: {}, email: {to: ann@x.example},"
                 " webhook: {to: siem}]}\n");
    turn_medium(&r);
    mute = add(&r, PORT_SCAN);
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "");
    assert_int_equal(mute_now(&r, mute).withheld, 1);
    assert_int_equal(order_about(&r, mute_desk_end, mute, "joe", "enough", &e), ERR_OK);
    assert_int_equal(desk_retry(r.g, &(struct desk_order){.id = id}, &e), ERR_OK);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "alert alert alert");
    close_rig(&r);
}

/* ---- orders ------------------------------------------------------------------------------------- */

static void test_mute__takes_conditions_as_rules_have_them(void **state)
{
    static const struct {
        const char *when, *fault; /* NULL: none */
    } rows[] = {
        {"alert.title: Port scan", NULL},
        {"{\"alert.title\": {\"glob\": \"Port*\"}, \"machine.tags\": [\"lab\"]}", NULL},
        {"any: [{alert.id: da1}, {not: {machine.os: Windows11}}]", NULL},
        {"alert.severty: High", "when:1:1: no such field 'alert.severty'"},
        {"alert.severty: High", "did you mean alert.severity?"},
        {"alert.severity: Hihg", "High"},
        {"alert.severity: {globb: x}", "glob"},
        {"alert.title: ''", "alert.title"},
        {"[alert.title]", "expected a condition as rules have it"},
        {"alert", "expected a condition as rules have it"},
        {"alert.title: {", "when:"},
        {"", "when:"},
        {"alert.title: ${HOME}", "HOME"},
        {"machine.id: {in_file: /etc/passwd}", "a silence reads no files"},
        {"any: [{machine.id: {in_file: /etc/passwd}}]", "a silence reads no files"},
    };
    struct rig r;

    (void)state;
    open_rig(&r, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
        struct err e = {0};
        enum err_code code = mute_desk_preview(r.g, rows[i].when, &out, &e);

        if (code != (rows[i].fault ? ERR_INVALID : ERR_OK) ||
            (rows[i].fault && (!holds(e.text, rows[i].fault) || out.len)))
            fail_msg("%s: %s", rows[i].when, e.text);
    }
    close_rig(&r);
}

static void test_mute__an_order_with_a_fault_is_none(void **state)
{
    const int64_t begin = 1736244672000;
    const struct {
        struct mute_order o;
        const char *fault;
    } rows[] = {
        {{PORT_SCAN, NULL, "w", HOUR_MS, 0}, "by:"},
        {{PORT_SCAN, " \t", "w", HOUR_MS, 0}, "by:"},
        {{PORT_SCAN, "m", NULL, HOUR_MS, 0}, "why:"},
        {{PORT_SCAN, "m", "  ", HOUR_MS, 0}, "why:"},
        {{NULL, "m", "w", HOUR_MS, 0}, "when:"},
        {{PORT_SCAN, "m", "w", 0, 0}, "a silence has an end"},
        {{PORT_SCAN, "m", "w", HOUR_MS, begin + HOUR_MS}, "one of them"},
        {{PORT_SCAN, "m", "w", 0, begin - 1}, "until: this time is over"},
        {{PORT_SCAN, "m", "w", 59 * SECOND_MS, 0}, "1m to 30d"},
        {{PORT_SCAN, "m", "w", 30 * DAY_MS + 1, 0}, "1m to 30d"},
        {{PORT_SCAN, "m", "w", INT64_MAX, 0}, "1m to 30d"},
        {{PORT_SCAN, "m", "w", 0, begin + 30 * DAY_MS + 1}, "1m to 30d"},
        {{"alert.titel: x", "m", "w", HOUR_MS, 0}, "alert.title"},
    };
    struct rig r;

    (void)state;
    open_rig(&r, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
        struct err e = {0};

        if (mute_desk_add(r.g, &rows[i].o, &out, &e) != ERR_INVALID ||
            !holds(e.text, rows[i].fault) || out.len)
            fail_msg("row %zu: %s", i, e.text);
    }
    assert_string_equal(letters(&r, NULL, NULL), "");
    close_rig(&r);
}

static void test_mute__there_are_no_more_than_can_be_judged(void **state)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    const struct mute_order o = order_of(PORT_SCAN);
    struct err e = {0};
    struct rig r;
    int64_t id = 0;

    (void)state;
    open_rig(&r, NULL);
    for (int i = 0; i < MUTES_MAX; i++)
        id = add(&r, PORT_SCAN);
    assert_int_equal(mute_desk_add(r.g, &o, &out, &e), ERR_CONFLICT);
    assert_int_equal(order_about(&r, mute_desk_end, id, "joe", "enough", &e), ERR_OK);
    (void)add(&r, PORT_SCAN);
    close_rig(&r);
}

/* ---- broad ones --------------------------------------------------------------------------------- */

struct past {
    struct rig *r;
    const char *facts, *verdict;
    int64_t age_ms;
    int count, first;
};

static enum err_code past_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct past *p = arg;
    int64_t id = id_of_time(clock_wall_ms(&p->r->hands.clock) - p->age_ms) + 1 + p->first;
    enum err_code code = ERR_OK;

    for (int i = 0; i < p->count && !code; i++)
        code = db_run(tx, e, NULL,
                      "INSERT INTO cases (id, tenant, alert_id, source, delivery, state, facts,"
                      " verdict, created, updated) VALUES ($1, 'contoso', $2, 'relay', 1, 'done',"
                      " $3, $4, 0, 0)",
                      "ittt", id + i, arena_fmt(p->r->arena, "da%d_-1", p->first + i), p->facts,
                      p->verdict);
    return code;
}

/* So many cases of so long ago, as they would be stored. */
static void remember(struct rig *r, const char *title, bool acts, int64_t age_ms, int first,
                     int count)
{
    struct past p = {.r = r, .age_ms = age_ms, .first = first, .count = count};
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 16);
    AUTO(json_freep) struct json *alert = NULL;
    const char *doc =
        arena_fmt(r->arena, "{\"id\":\"da1\",\"severity\":\"Medium\",\"title\":\"%s\"}", title);
    struct facts f = {.tenant = "contoso", .source = "relay", .alert_id = "da1"};

    assert_int_equal(json_parse(doc, strlen(doc), &alert, NULL), ERR_OK);
    f.alert = alert;
    f.read_ms = clock_wall_ms(&r->hands.clock) - age_ms;
    facts_write(&text, &f);
    p.facts = buf_text(&text);
    p.verdict = arena_fmt(r->arena,
                          "{\"rule\":\"tell\",\"policy\":\"x\",\"doubt\":null,\"at\":"
                          "\"2025-01-01T00:00:00Z\",\"steps\":[{\"handler\":\"%s\",\"acts\":%s,"
                          "\"args\":{},\"withheld\":null}],\"why\":[],\"protected\":[]}",
                          acts ? "isolate" : "email", acts ? "true" : "false");
    assert_int_equal(db_write(r->store->db, past_fn, &p, NULL), ERR_OK);
}

/* What each condition is, with no history to judge it by and with one of 30 cases, of which 6 are port scans. */
static void test_mute__is_broad_when_it_matches_much_or_nobody_can_tell(void **state)
{
    static const struct {
        const char *when;
        bool at_first, with_history;
    } rows[] = {
        {"{}", true, true},
        {"alert.severity: Medium", true, true},
        {"alert.severity: Low", true, false},
        {"alert.title: Port scan", false, false}, /* 6 of 30: 20 %, and not above */
        {"alert.title: {glob: 'Port*'}", false, false},
        {"alert.title: {glob: '*'}", true, true},
        {"alert.title: {glob: '*o*'}", true, true},
        {"alert.title: {regex: '.*'}", true, true},
        {"alert.title: {glob: '*o*r*e*c*'}", true, false}, /* one letter here and one there */
        {"alert.title: {glob: '?o?t????*'}", true, false},
        {"alert.title: {regex: 'P.*o.*r.*t'}", true, false},
        {"alert.title: {regex: 'P.r. .c.n'}", true, false},
        {"alert.title: {regex: 'P+o+r+t+'}", true, false},
        {"alert.title: {glob: '[a-z0-9]*'}", true, true},
        {"alert.title: {glob: '[!a-o]ort scan*'}", false, false},
        {"alert.title: {regex: '[a-z0-9]'}", true, true},
        {"alert.title: {regex: 'Port|'}", true, true},
        {"alert.title: {regex: '^P*o*r*t*.*'}", true, true},
        {"alert.title: {regex: '^Port sc.*'}", false, false},
        {"alert.title: {exists: true}", true, true},
        {"alert.title: {not: Nothing}", true, true},
        {"alert.title: {in: [Port scan, Nothing]}", false, false},
        {"alert.title: [Port scan, Brute force]", false, true}, /* it says all titles there are */
        {"any: [{alert.title: Port scan}, {alert.severity: Low}]", true, false},
        {"any: [{alert.title: Port scan}, {machine.id: " MACHINE "}]", false, false},
        {"all: [{alert.severity: Medium}, {alert.title: Port scan}]", false, false},
        {"not: {alert.title: Port scan}", true, true},
        {"alert.detector_id: 0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50", false, false},
        {"machine.name: ws-114.corp.example", false, false},
    };
    struct rig r;

    (void)state;
    open_rig(&r, NULL);
    remember(&r, "Brute force", false, 8 * DAY_MS, 500, 100); /* too old to count */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            AUTO(json_freep) struct json *doc = preview_of(&r, rows[i].when);
            bool broad = json_type(json_get(doc, "broad")) == JSON_STRING;

            if (broad != (round ? rows[i].with_history : rows[i].at_first))
                fail_msg("%s, round %d: %s", rows[i].when, round,
                         broad ? json_get_string(doc, "broad") : "not broad");
        }
        if (!round) {
            remember(&r, "Port scan", false, DAY_MS, 0, 6);
            remember(&r, "Brute force", false, 2 * DAY_MS, 100, 24);
        }
    }
    close_rig(&r);
}

static void test_mute__a_preview_counts_what_it_would_have_withheld(void **state)
{
    struct rig r;

    (void)state;
    open_rig(&r, NULL);
    remember(&r, "Port scan", false, DAY_MS, 0, 150); /* of several pages */
    remember(&r, "Port scan", true, 3 * DAY_MS, 1000, 50);
    remember(&r, "Brute force", false, 6 * DAY_MS, 2000, 200);
    remember(&r, "Port scan", false, 8 * DAY_MS, 3000, 10);
    AUTO(json_freep) struct json *doc = preview_of(&r, PORT_SCAN);
    assert_int_equal(number(doc, "cases_seen"), 400);
    assert_int_equal(number(doc, "matched"), 200);
    assert_int_equal(number(doc, "percent"), 50);
    assert_int_equal(number(doc, "withheld"), 150); /* what acts is told */
    assert_true(json_is_true(json_get(doc, "complete")));
    assert_true(holds(json_get_string(doc, "broad"), "200 of the 400 cases"));
    assert_int_equal(json_count(json_get(doc, "cases")), MUTE_SHOWN);
    AUTO(json_freep)
    struct json *acting = preview_of(&r, "{alert.title: Port scan, alert.id: da1}");
    assert_int_equal(number(acting, "matched"), 200);
    AUTO(json_freep) struct json *none = preview_of(&r, "alert.title: {glob: 'Nothing*'}");
    assert_int_equal(number(none, "matched"), 0);
    assert_int_equal(json_type(json_get(none, "broad")), JSON_NULL);
    assert_string_equal(letters(&r, NULL, NULL), ""); /* it changes nothing */
    close_rig(&r);
}

static void test_mute__a_broad_one_begins_with_a_second_person(void **state)
{
    const struct mute_order o = order_of("alert.severity: Medium");
    const char *subject, *text;
    struct err e = {0};
    struct rig r;
    int64_t first, second, mute;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    AUTO(json_freep) struct json *answer = add_order(&r, &o);
    mute = id_in(answer);
    assert_string_equal(json_get_string(answer, "state"), "proposed");
    assert_string_equal(letters(&r, &subject, &text), "silence_proposed");
    assert_true(holds(text, "cordon silences approve"));
    first = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, first), "alert"); /* nothing is withheld yet */

    assert_int_equal(order_about(&r, mute_desk_approve, mute, NULL, NULL, &e), ERR_INVALID);
    assert_int_equal(order_about(&r, mute_desk_approve, mute, "maria", NULL, &e), ERR_CONFLICT);
    assert_true(holds(e.text, "the yes of another person"));
    assert_int_equal(order_about(&r, mute_desk_approve, mute, " MARIA ", NULL, &e), ERR_CONFLICT);
    assert_int_equal(order_about(&r, mute_desk_approve, mute, "Maria@contoso.example", NULL, &e),
                     ERR_CONFLICT);
    assert_int_equal(mute_now(&r, mute).state, MUTE_PROPOSED);
    assert_int_equal(order_about(&r, mute_desk_approve, mute, "joe", "seen", &e), ERR_OK);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ACTIVE);
    assert_string_equal(mute_now(&r, mute).second, "joe");
    assert_int_equal(order_about(&r, mute_desk_approve, mute, "ann", NULL, &e), ERR_CONFLICT);
    assert_string_equal(letters(&r, &subject, &text), "silence_proposed silence_begun");
    turn_to(&r, "{\"id\":\"da7_-1\",\"severity\":\"Medium\",\"machineId\":\"" MACHINE "\"}");
    second = rig_push(&r, "da7_-1", MACHINE);
    (void)rig_work(&r);
    assert_int_equal(rig_case(&r, second).state, CASE_DONE);
    assert_string_equal(rig_told(&r, second), "");
    close_rig(&r);
}

static void test_mute__one_that_nobody_approved_ends_without_having_begun(void **state)
{
    const struct mute_order o = order_of("{}");
    const char *subject, *text;
    struct err e = {0};
    struct rig r;
    int64_t mute;

    (void)state;
    open_rig(&r, NULL);
    AUTO(json_freep) struct json *answer = add_order(&r, &o);
    mute = id_in(answer);
    hands_turn(&r.hands, 4 * HOUR_MS);
    assert_int_equal(order_about(&r, mute_desk_approve, mute, "joe", NULL, &e), ERR_CONFLICT);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ENDED);
    assert_string_equal(letters(&r, &subject, &text), "silence_proposed silence_ended");
    assert_true(holds(text, "It never began"));
    close_rig(&r);
}

/* ---- its end, and what is left ------------------------------------------------------------------ */

struct noting {
    int64_t id, now;
};

static enum err_code note_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct noting *n = arg;
    enum err_code code = ERR_OK;
    bool active = false;

    for (int64_t i = 1; i <= 60 && !code; i++) {
        const struct muted_case c = {.case_id = i,
                                     .at = n->now + i,
                                     .what = i == 60  ? "the newest"
                                             : i == 1 ? "the oldest"
                                                      : "x"};

        code = mute_note(tx, n->id, &c, &active, e);
        assert_true(active);
    }
    return code;
}

static void test_mute__the_mail_of_its_end_has_a_bound(void **state)
{
    const char *subject, *text;
    struct noting n;
    struct err e = {0};
    struct rig r;

    (void)state;
    open_rig(&r, NULL);
    n = (struct noting){.id = add(&r, PORT_SCAN), .now = clock_wall_ms(&r.hands.clock)};
    assert_int_equal(db_write(r.store->db, note_fn, &n, &e), ERR_OK);
    assert_int_equal(order_about(&r, mute_desk_end, n.id, "joe", NULL, &e), ERR_INVALID);
    assert_true(holds(e.text, "why:"));
    assert_int_equal(order_about(&r, mute_desk_end, n.id, "joe", "enough", &e), ERR_OK);
    assert_int_equal(order_about(&r, mute_desk_end, n.id, "joe", "enough", &e), ERR_CONFLICT);
    (void)letters(&r, &subject, &text);
    assert_string_equal(subject, "[CORDON] silence by maria ended: 60 cases withheld");
    assert_true(holds(text, "The newest 50 of 60 are listed"));
    assert_true(holds(text, "the newest"));
    assert_false(holds(text, "the oldest"));
    assert_true(holds(text, "joe"));
    assert_true(holds(text, "enough"));
    (void)rig_work(&r); /* its work is gone */
    (void)letters(&r, &subject, NULL);
    assert_string_equal(letters(&r, NULL, NULL), "silence_begun silence_ended");
    close_rig(&r);
}

/* The mail has the newest, and whoever wants the others finds them: page by page, each once. */
static void test_mute__all_that_it_withheld_can_be_read(void **state)
{
    int64_t before = 0, last = 61;
    size_t pages = 0, all = 0;
    struct noting n;
    struct err e = {0};
    struct rig r;

    (void)state;
    open_rig(&r, NULL);
    n = (struct noting){.id = add(&r, PORT_SCAN), .now = clock_wall_ms(&r.hands.clock)};
    assert_int_equal(db_write(r.store->db, note_fn, &n, &e), ERR_OK);
    do {
        AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
        AUTO(json_freep) struct json *doc = NULL;
        const char *next;

        assert_int_equal(mute_desk_show(r.store, n.id, before, 25, &out, &e), ERR_OK);
        assert_int_equal(json_parse(buf_text(&out), out.len, &doc, NULL), ERR_OK);
        assert_int_equal(number(doc, "withheld"), 60);
        JSON_EACH (c, json_get(doc, "cases")) {
            int64_t id;

            assert_int_equal(id_parse(json_get_string(c, "case"), &id, NULL), ERR_OK);
            assert_int_equal(id, last - 1);
            last = id;
            all++;
        }
        next = json_get_string(doc, "next");
        before = 0;
        if (next)
            assert_int_equal(id_parse(next, &before, NULL), ERR_OK);
        pages++;
    } while (before && pages < 9);
    assert_int_equal(pages, 3);
    assert_int_equal(all, 60);
    close_rig(&r);
}

static void test_mute__survives_a_restart(void **state)
{
    struct err e = {0};
    struct rig r;
    int64_t id, mute;

    (void)state;
    open_rig(&r, NULL);
    turn_medium(&r);
    mute = add(&r, PORT_SCAN);
    store_free(r.store);
    assert_int_equal(store_open(r.store_url, false, &r.hands.clock, &r.store, &e), ERR_OK);
    r.g->store = r.store;
    id = rig_push(&r, ALERT, MACHINE);
    (void)rig_work(&r);
    assert_string_equal(rig_told(&r, id), "");
    hands_turn(&r.hands, 4 * HOUR_MS);
    (void)rig_work(&r);
    assert_int_equal(mute_now(&r, mute).state, MUTE_ENDED);
    close_rig(&r);
}

static void count_found(void *ctx, const char *text)
{
    (void)text;
    ++*(int *)ctx;
}

/* Gives it an id of these hands' time: ids of one process only rise, and others were made by the host's clock. */
static enum err_code renumber_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct noting *n = arg;
    int64_t id = id_of_time(n->now) + 1;
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE mutes SET id = $1 WHERE id = $2", "ii", id, n->id);

    return code ? code
                : db_run(tx, e, NULL, "UPDATE muted_cases SET mute_id = $1 WHERE mute_id = $2",
                         "ii", id, n->id);
}

/* What is over is forgotten in its time, with what it withheld; the store knows its own rows. */
static void test_mute__is_forgotten_when_it_was_over_long_ago(void **state)
{
    struct forgotten n = {0};
    struct muted_case *cases;
    size_t n_cases = 1;
    struct noting noting;
    struct err e = {0};
    int found = 0;
    struct rig r;
    int64_t open;

    (void)state;
    open_rig(&r, NULL);
    noting = (struct noting){.id = add(&r, PORT_SCAN), .now = clock_wall_ms(&r.hands.clock)};
    assert_int_equal(db_write(r.store->db, note_fn, &noting, &e), ERR_OK);
    assert_int_equal(store_check(r.store, count_found, &found, &e), ERR_OK);
    assert_int_equal(found, 0);
    hands_turn(&r.hands, 4 * HOUR_MS);
    (void)rig_work(&r);
    assert_int_equal(db_write(r.store->db, renumber_fn, &noting, &e), ERR_OK);
    noting.id = id_of_time(noting.now) + 1;
    hands_turn(&r.hands, 10 * DAY_MS);
    {
        const struct mute_order o = {
            .when = PORT_SCAN, .who = "maria", .why = "a pentest", .for_ms = 30 * DAY_MS};
        AUTO(json_freep) struct json *answer = add_order(&r, &o);

        open = id_in(answer);
    }
    assert_int_equal(
        store_forget_cases(r.store, clock_wall_ms(&r.hands.clock), 11 * DAY_MS, 100, &n, &e),
        ERR_OK);
    assert_int_equal(mute_now(&r, noting.id).withheld, 60);
    hands_turn(&r.hands, 2 * DAY_MS);
    assert_int_equal(
        store_forget_cases(r.store, clock_wall_ms(&r.hands.clock), DAY_MS, 100, &n, &e), ERR_OK);
    assert_int_equal(mute_now(&r, open).state, MUTE_ACTIVE);
    assert_int_equal(store_mute_load(r.store, r.arena, noting.id, &(struct mute_record){0}, &e),
                     ERR_NOT_FOUND);
    assert_int_equal(store_mute_cases(r.store, r.arena, noting.id, 0, 10, &cases, &n_cases, &e),
                     ERR_OK);
    assert_int_equal(n_cases, 0);
    assert_int_equal(store_check(r.store, count_found, &found, &e), ERR_OK);
    assert_int_equal(found, 0);
    close_rig(&r);
}

struct record {
    struct arena *arena;
    struct audit_record *list;
    size_t n;
};

static enum err_code record_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct record *x = arg;

    return audit_read(tx, x->arena, 0, 100, &x->list, &x->n, e);
}

static void test_mute__all_of_it_is_on_record(void **state)
{
    const struct mute_order o = order_of("{}");
    struct audit_report report;
    struct record x;
    struct err e = {0};
    struct rig r;
    const char *text = "";

    (void)state;
    open_rig(&r, NULL);
    {
        AUTO(json_freep) struct json *answer = add_order(&r, &o);

        assert_int_equal(order_about(&r, mute_desk_approve, id_in(answer), "joe", NULL, &e),
                         ERR_OK);
        assert_int_equal(order_about(&r, mute_desk_end, id_in(answer), "ann", "done", &e), ERR_OK);
    }
    (void)add(&r, PORT_SCAN);
    hands_turn(&r.hands, 4 * HOUR_MS);
    (void)rig_work(&r);
    x = (struct record){.arena = r.arena};
    assert_int_equal(db_read(r.store->db, record_fn, &x, NULL), ERR_OK);
    for (size_t i = 0; i < x.n; i++) {
        AUTO(json_freep) struct json *doc = NULL;
        const char *who;

        if (strcmp(x.list[i].kind, "silence") != 0)
            continue;
        assert_int_equal(json_parse(x.list[i].detail, strlen(x.list[i].detail), &doc, NULL),
                         ERR_OK);
        assert_non_null(json_get_string(doc, "when"));
        assert_string_equal(json_get_string(doc, "until"), "2025-01-07T14:11:12.000Z");
        who = json_get_string(doc, "who");
        text = arena_fmt(r.arena, "%s%s%s %s", text, *text ? "; " : "",
                         json_get_string(doc, "order"), who ? who : "-");
    }
    assert_string_equal(text, "propose maria; approve joe; end ann; add maria; ran out -");
    assert_int_equal(audit_verify(r.store, NULL, &report, &e), ERR_OK);
    assert_true(report.whole);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mute__withholds_a_mail_says_so_and_tells_of_it_at_its_end),
        cmocka_unit_test(test_mute__is_over_at_its_end_whether_it_was_told_yet_or_not),
        cmocka_unit_test(test_mute__does_not_end_early),
        cmocka_unit_test(test_mute__a_clock_set_back_makes_none_longer),
        cmocka_unit_test(test_mute__a_clock_set_back_since_the_yes_makes_none_shorter),
        cmocka_unit_test(test_mute__never_hides_what_is_more_than_an_alert),
        cmocka_unit_test(test_mute__needs_somebody_to_tell),
        cmocka_unit_test(test_mute__ends_when_somebody_can_be_told_what_it_withheld),
        cmocka_unit_test(test_mute__counts_a_case_once_and_a_retry_after_it_is_told),
        cmocka_unit_test(test_mute__takes_conditions_as_rules_have_them),
        cmocka_unit_test(test_mute__an_order_with_a_fault_is_none),
        cmocka_unit_test(test_mute__there_are_no_more_than_can_be_judged),
        cmocka_unit_test(test_mute__is_broad_when_it_matches_much_or_nobody_can_tell),
        cmocka_unit_test(test_mute__a_preview_counts_what_it_would_have_withheld),
        cmocka_unit_test(test_mute__a_broad_one_begins_with_a_second_person),
        cmocka_unit_test(test_mute__one_that_nobody_approved_ends_without_having_begun),
        cmocka_unit_test(test_mute__the_mail_of_its_end_has_a_bound),
        cmocka_unit_test(test_mute__all_that_it_withheld_can_be_read),
        cmocka_unit_test(test_mute__survives_a_restart),
        cmocka_unit_test(test_mute__is_forgotten_when_it_was_over_long_ago),
        cmocka_unit_test(test_mute__all_of_it_is_on_record),
    };

    return cmocka_run_group_tests_name("mute", tests, NULL, NULL);
}
