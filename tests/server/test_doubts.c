/* test_doubts.c - every doubt ends with people who know, and never with an isolation: one row each.
 *
 * A row is one way in which something is not as it should be: what Defender says, what a sender says, what the
 * store or the clock does. The real engine runs until nothing more comes of it. Then the far side must have seen no
 * isolate, and a notice must be there that says so. The rows of `certain` are the same house without a doubt:
 * they isolate, so that the table can fail.
 */
#include "engine_kit.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define OTHER    "0123456789abcdef0123456789abcdef01234567"
#define TOKEN    "/0a4a1f60"
#define DAY      (26 * HOUR_MS) /* longer than anything is tried */

/* An alert and a machine with more (or other) members than the plain ones. */
#define ALERT_WITH(more)                                                                           \
    "{\"id\":\"" ALERT "\",\"title\":\"Credential memory read\",\"machineId\":\"" MACHINE          \
    "\"" more "}"
#define MACHINE_WITH(more) "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\"" more "}"
#define HIGH               ",\"severity\":\"High\""

#define WHEN(condition)                                                                            \
    "rules:\n  - {name: contain, when: {" condition "}, do: [isolate: {}, email: {}]}\n"           \
    "  - {name: tell, do: [email: {}]}\n"
/* Nobody is mailed by the rule itself: the doubt has to see to it. */
#define SILENT    "rules:\n  - {name: contain, when: {alert.severity: High}, do: [isolate: {}]}\n"
#define PROTECTED "safety: {protected: [{machine.tags: [tier-0]}, {machine.value: High}]}\n"

struct doubt {
    const char *label;
    const char *rules;       /* NULL: High: isolate and mail; the rest: mail */
    const char *pushed;      /* machine id; NULL: none */
    const char *source;      /* NULL: relay */
    const char *tenant;      /* NULL: contoso */
    struct peer_answer says; /* instead of the usual; method NULL: nothing of the kind */
    void (*before)(struct rig *r, int64_t id);  /* after the push, before the first run */
    void (*between)(struct rig *r, int64_t id); /* after the first run */
    int64_t pass_ms;                            /* how long it is followed */
    const char *subject; /* of the last notice; NULL: any with NOT ISOLATED */
    bool asked;          /* a person is asked instead, by a mail about more than this case */
};

#define SAYS(method_, target_, status_, body_)                                                     \
    {                                                                                              \
        .method = method_, .target = target_, .status = status_, .body = body_                     \
    }
#define DOES(method_, target_, act_)                                                               \
    {                                                                                              \
        .method = method_, .target = target_, .act = act_                                          \
    }

/* ---- what happens meanwhile --------------------------------------------------------------------- */

static enum err_code sql_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return db_run(tx, e, NULL, *(const char *const *)arg, "");
}

/* text: a literal, as statements are known by their address. */
static void sql(struct rig *r, const char *text)
{
    struct err e = {0};

    if (db_write(r->store->db, sql_fn, &text, &e))
        fail_msg("%s: %s", text, e.text);
}

static void ledger_gone(struct rig *r, int64_t id)
{
    (void)id;
    sql(r, "ALTER TABLE isolations RENAME TO elsewhere");
}

static void machines_gone(struct rig *r, int64_t id)
{
    (void)id;
    sql(r, "ALTER TABLE machines RENAME TO elsewhere");
}

static void ledger_full(struct rig *r, int64_t id)
{
    (void)id;
    sql(r,
        "INSERT INTO isolations (id, tenant, machine_id, type, comment, state, case_id, adopted,"
        " posted, requested, confirmed, released, updated) VALUES (1, 'contoso', 'm', 'full', 'c',"
        " 'released', 1, 0, 0, 1736244671000, 0, 0, 0)");
}

/* The isolate could not be asked for at first; what happens until it is tried again: */
static void facts_spoilt(struct rig *r, int64_t id)
{
    (void)id;
    sql(r, "UPDATE cases SET facts = '{'");
}

static void verdict_spoilt(struct rig *r, int64_t id)
{
    (void)id;
    peer_forget(r->peer); /* and the facts cannot be read anew */
    rig_says(r, "POST", TOKEN, 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "GET", "/api/", 0, 500, "{}");
    sql(r, "UPDATE cases SET verdict = '{}'");
}

static void handler_unknown(struct rig *r, int64_t id)
{
    (void)id;
    sql(r, "UPDATE steps SET handler = 'isolate_all' WHERE handler = 'isolate'");
}

static void steps_spoilt(struct rig *r, int64_t id)
{
    (void)id;
    sql(r, "UPDATE steps SET args = '{' WHERE handler = 'isolate'");
}

/* From now on the list works, and `what` has changed. */
static void now_says(struct rig *r, const char *target, int status, const char *body)
{
    peer_forget(r->peer);
    rig_says(r, "GET", target, 0, status, body);
    rig_says(r, "POST", TOKEN, 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "POST", ISOLATE, 0, 201, ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    hands_turn(&r->hands, 12 * MINUTE_MS); /* the facts are stale by now */
}

static void stale_and_unreadable(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, GET_ALERT, 500, "{}");
}

static void stale_and_lowered(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Low\""));
}

static void stale_and_moved(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, GET_ALERT, 200,
             "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" OTHER "\"}");
}

static void stale_and_gone(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, GET_MACHINE, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}");
}

static void stale_and_merged(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, GET_MACHINE, 200, MACHINE_WITH(",\"mergedIntoMachineId\":\"" OTHER "\""));
}

static void clock_back_and_unreadable(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, GET_ALERT, 500, "{}");
    atomic_fetch_sub(&r->hands.wall, 2 * HOUR_MS);
    assert_int_equal(store_work_hurry(r->store, NULL), ERR_OK);
}

static void clock_years_ahead(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, LIST, 500, "{}");
    atomic_fetch_add(&r->hands.wall, 1000 * DAY_MS);
}

/* What is in force now asks for something else. */
static void use(struct rig *r, const char *rules)
{
    now_says(r, "/nothing", 404, NULL);
    engine_use(r->g, rig_runtime(r, rules));
}

static void policy_shadow(struct rig *r, int64_t id)
{
    (void)id;
    use(r, RULES_ISOLATE_AND_MAIL "safety: {mode: shadow}\n");
}

static void policy_mails(struct rig *r, int64_t id)
{
    (void)id;
    use(r, RULES_MAIL_ONLY);
}

static void policy_protects(struct rig *r, int64_t id)
{
    (void)id;
    use(r, RULES_ISOLATE_AND_MAIL PROTECTED);
}

/* ---- the table ----------------------------------------------------------------------------------- */

static const struct doubt doubts[] = {
    /* the alert */
    {.label = "Defender does not know the alert",
     .says = SAYS("GET", GET_ALERT, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}"),
     .pass_ms = DAY},
    {.label = "the alert cannot be read for a day",
     .says = SAYS("GET", GET_ALERT, 500, "{}"),
     .pass_ms = DAY},
    {.label = "the alert is no JSON",
     .says = SAYS("GET", GET_ALERT, 200, "<html>sign in</html>"),
     .pass_ms = DAY},
    {.label = "the alert has a member twice",
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(HIGH HIGH)),
     .pass_ms = DAY},
    {.label = "the alert is cut",
     .says = {.method = "GET", .target = GET_ALERT, .status = 200, .body = ALERT_DOC, .cut = 120},
     .pass_ms = DAY},
    {.label = "the connection is reset",
     .says = DOES("GET", GET_ALERT, PEER_RESET),
     .pass_ms = DAY},
    {.label = "the answer is another alert",
     .says = SAYS("GET", GET_ALERT, 200,
                  "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}"),
     .pass_ms = DAY},
    {.label = "the answer has no id",
     .says = SAYS("GET", GET_ALERT, 200, "{\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}"),
     .pass_ms = DAY},
    {.label = "the severity is of another type",
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":3")),
     .pass_ms = DAY},
    {.label = "the severity is a word that nobody knows",
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Critical\""))},
    {.label = "the severity is null",
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":null"))},
    {.label = "there is no severity", .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(""))},
    {.label = "the severity has another case",
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"high \""))},
    {.label = "a doubt of a rule that mails nobody",
     .rules = SILENT,
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Critical\"")),
     .subject = "["},
    {.label = "not enough to be at least",
     .rules = WHEN("alert.severity: {at_least: Medium}"),
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Critical\""))},
    {.label = "a rule that says not, of what is not there",
     .rules = WHEN("alert.severity: {not: Low}"),
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(""))},
    {.label = "a regular expression that would take for ever",
     .rules = WHEN("alert.title: {regex: '^(a+)+(a+)+[bd]$'}"),
     .says =
         SAYS("GET", GET_ALERT, 200,
              "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"" MACHINE
              "\",\"title\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"
              "\"}")},
    /* the machine */
    {.label = "the alert names no machine",
     .says = SAYS("GET", GET_ALERT, 200, "{\"id\":\"" ALERT "\",\"severity\":\"High\"}")},
    {.label = "the alert's machine is null",
     .says = SAYS("GET", GET_ALERT, 200,
                  "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":null}")},
    {.label = "the alert's machine is empty",
     .says = SAYS("GET", GET_ALERT, 200,
                  "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"\"}")},
    {.label = "the alert's machine id is none",
     .says = SAYS("GET", GET_ALERT, 200,
                  "{\"id\":\"" ALERT "\",\"severity\":\"High\",\"machineId\":\"../" MACHINE "\"}")},
    {.label = "the sender names another machine", .pushed = OTHER},
    {.label = "Defender does not know the machine",
     .says = SAYS("GET", GET_MACHINE, 404, "{\"error\":{\"code\":\"ResourceNotFound\"}}")},
    {.label = "the machine cannot be read for a day",
     .says = SAYS("GET", GET_MACHINE, 503, "{}"),
     .pass_ms = DAY},
    {.label = "the machine is no JSON",
     .says = SAYS("GET", GET_MACHINE, 200, "{\"id\":"),
     .pass_ms = DAY},
    {.label = "the answer is another machine",
     .says = SAYS("GET", GET_MACHINE, 200, "{\"id\":\"" OTHER "\"}"),
     .pass_ms = DAY},
    {.label = "the machine was merged into another",
     .says = SAYS("GET", GET_MACHINE, 200, MACHINE_WITH(",\"mergedIntoMachineId\":\"" OTHER "\""))},
    {.label = "the machine's tags are null, and tags protect",
     .rules = RULES_ISOLATE_AND_MAIL PROTECTED,
     .says = SAYS("GET", GET_MACHINE, 200, MACHINE_WITH(",\"machineTags\":null"))},
    {.label = "the machine's value is a word that nobody knows, and values protect",
     .rules = RULES_ISOLATE_AND_MAIL PROTECTED,
     .says = SAYS("GET", GET_MACHINE, 200,
                  MACHINE_WITH(",\"machineTags\":[],\"deviceValue\":\"Crown\""))},
    {.label = "the machine is protected",
     .rules = RULES_ISOLATE_AND_MAIL PROTECTED,
     .says = SAYS("GET", GET_MACHINE, 200,
                  MACHINE_WITH(",\"machineTags\":[\"tier-0\"],\"deviceValue\":\"Normal\""))},
    /* the credential */
    {.label = "Entra refuses the secret",
     .says = SAYS("POST", TOKEN, 401,
                  "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: x\"}"),
     .pass_ms = DAY},
    {.label = "Entra's answer is no token", .says = SAYS("POST", TOKEN, 200, "{}"), .pass_ms = DAY},
    {.label = "Defender refuses the token",
     .says = SAYS("GET", GET_ALERT, 401, "{\"error\":{\"code\":\"Unauthorized\"}}"),
     .pass_ms = DAY},
    {.label = "the permission to read is missing",
     .says = SAYS("GET", GET_ALERT, 403, "{\"error\":{\"code\":\"Forbidden\"}}")},
    {.label = "the quota is used up for a day",
     .says = SAYS("GET", GET_ALERT, 429, "{\"error\":{\"code\":\"TooManyRequests\"}}"),
     .pass_ms = DAY},
    /* the machine's actions */
    {.label = "what the machine's actions are cannot be read for a day",
     .says = SAYS("GET", LIST, 500, "{}"),
     .pass_ms = DAY},
    {.label = "the permission to read actions is missing",
     .says = SAYS("GET", LIST, 403, "{\"error\":{\"code\":\"Forbidden\"}}")},
    {.label = "the list of actions is no list",
     .says = SAYS("GET", LIST, 200, "{\"value\":7}"),
     .pass_ms = DAY},
    {.label = "the list is of another machine",
     .says =
         SAYS("GET", LIST, 200,
              "{\"value\":[{\"id\":\"a1\",\"type\":\"Isolate\",\"status\":\"Failed\","
              "\"machineId\":\"" OTHER "\",\"creationDateTimeUtc\":\"2025-01-07T10:01:00Z\"}]}"),
     .pass_ms = DAY},
    {.label = "somebody is releasing the machine",
     .says = SAYS("GET", LIST, 200,
                  "{\"value\":[" ACTION_DOC("a2", "Unisolate", "Pending", "null", "05:00") "]}")},
    {.label = "an action of it is in a state that nobody knows",
     .says = SAYS("GET", LIST, 200,
                  "{\"value\":[" ACTION_DOC("a1", "Isolate", "Paused", "null", "05:00") "]}"),
     .subject = "[REQUESTED]"},
    /* who may */
    {.label = "a source that is not configured any more",
     .source = "old",
     .pass_ms = 10 * MINUTE_MS}, /* a configuration that knows it may still come */
    {.label = "a tenant that is not configured any more",
     .tenant = "fabrikam",
     .pass_ms = 10 * MINUTE_MS},
    {.label = "shadow mode", .rules = RULES_ISOLATE_AND_MAIL "safety: {mode: shadow}\n"},
    {.label = "no rule matches", .rules = WHEN("alert.severity: Low"), .subject = "[ALERT]"},
    {.label = "no rule matches at all",
     .rules = "rules:\n  - {name: low, when: {alert.severity: Low}, do: [isolate: {}]}\n",
     .subject = "[ALERT]"},
    /* limits and the store */
    {.label = "the limit is reached",
     .rules = RULES_ISOLATE_AND_MAIL "safety: {limits: [{isolations: 1, per: 1h}]}\n",
     .before = ledger_full,
     .pass_ms = MINUTE_MS,
     .asked = true},
    {.label = "the limit is reached, and nobody answers",
     .rules = RULES_ISOLATE_AND_MAIL "safety: {limits: [{isolations: 1, per: 1h}]}\n",
     .before = ledger_full,
     .pass_ms = 5 * HOUR_MS,
     .asked = true},
    {.label = "a limit of none",
     .rules = SILENT "safety: {limits: [{isolations: 1, per: 1h}]}\n",
     .before = ledger_full,
     .pass_ms = MINUTE_MS,
     .asked = true},
    {.label = "the ledger that limits are counted by is out of reach",
     .rules = RULES_ISOLATE_AND_MAIL "safety: {limits: [{isolations: 10, per: 1h}]}\n",
     .before = ledger_gone,
     .pass_ms = DAY},
    {.label = "the machines that a limit is a share of are out of reach",
     .rules = RULES_ISOLATE_AND_MAIL "safety: {limits: [{percent: 5, per: 1h, of: group}]}\n",
     .before = machines_gone,
     .pass_ms = DAY},
    /* time passes between the verdict and the request */
    {.label = "the facts are stale, and cannot be read anew",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = stale_and_unreadable,
     .pass_ms = DAY},
    {.label = "the facts are stale, and the alert is Low by now",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = stale_and_lowered,
     .pass_ms = DAY},
    {.label = "the facts are stale, and the alert is of another machine by now",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = stale_and_moved,
     .pass_ms = DAY},
    {.label = "the facts are stale, and the machine is gone",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = stale_and_gone,
     .pass_ms = DAY},
    {.label = "the facts are stale, and the machine was merged",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = stale_and_merged,
     .pass_ms = DAY},
    {.label = "the clock was set back, and the facts cannot be read anew",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = clock_back_and_unreadable,
     .pass_ms = DAY + 3 * HOUR_MS},
    {.label = "the clock is years ahead all at once",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = clock_years_ahead,
     .pass_ms = DAY},
    {.label = "the policy became shadow mode",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = policy_shadow,
     .pass_ms = DAY},
    {.label = "the policy isolates nobody any more",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = policy_mails,
     .pass_ms = DAY},
    {.label = "the policy protects by what the machine does not say",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = policy_protects,
     .pass_ms = DAY},
    /* what is in the store is not what was put there */
    {.label = "the stored facts cannot be read",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = facts_spoilt,
     .pass_ms = DAY},
    {.label = "the stored verdict cannot be read, nor the facts anew",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = verdict_spoilt,
     .pass_ms = DAY},
    {.label = "a step of a handler that this version has not",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = handler_unknown,
     .pass_ms = DAY},
    {.label = "a step whose settings cannot be read",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = steps_spoilt,
     .pass_ms = DAY},
};

/* Without a doubt, with a doubt that is none, or one that ends: they isolate. */
static void list_works(struct rig *r, int64_t id)
{
    (void)id;
    now_says(r, "/nothing", 404, NULL);
}

static const struct doubt certain[] = {
    {.label = "nothing is wrong", .pushed = MACHINE},
    {.label = "the sender names no machine"},
    {.label = "the sender writes the machine's id in capitals",
     .pushed = "9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4"},
    {.label = "no word of the protection is missing",
     .rules = RULES_ISOLATE_AND_MAIL PROTECTED,
     .says = SAYS("GET", GET_MACHINE, 200,
                  MACHINE_WITH(",\"machineTags\":[],\"deviceValue\":\"Normal\""))},
    {.label = "the facts were stale, and are as before",
     .says = SAYS("GET", LIST, 500, "{}"),
     .between = list_works,
     .pass_ms = HOUR_MS},
};

/* What a person's word can settle, where the policy says who is to be asked. */
#define ASKS           "ask: {within: 1h}"
#define CONTAIN_OR_ASK RULES_ISOLATE_AND_MAIL "safety: {" ASKS "}\n"
#define PROTECT_OR_ASK                                                                             \
    RULES_ISOLATE_AND_MAIL                                                                         \
    "safety: {" ASKS ", protected: [{machine.tags: [tier-0]}, {machine.value: High}]}\n"

static const struct doubt asked[] = {
    {.label = "the sender names another machine", .rules = CONTAIN_OR_ASK, .pushed = OTHER},
    {.label = "the severity is a word that nobody knows",
     .rules = CONTAIN_OR_ASK,
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Critical\""))},
    {.label = "the severity is null",
     .rules = CONTAIN_OR_ASK,
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":null"))},
    {.label = "there is no severity",
     .rules = CONTAIN_OR_ASK,
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(""))},
    {.label = "a word that nobody knows, to be at least",
     .rules = WHEN("alert.severity: {at_least: Medium}") "safety: {" ASKS "}\n",
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Critical\""))},
    {.label = "a word that nobody knows, and another machine",
     .rules = CONTAIN_OR_ASK,
     .pushed = OTHER,
     .says = SAYS("GET", GET_ALERT, 200, ALERT_WITH(",\"severity\":\"Critical\""))},
    {.label = "the machine's tags are null, and tags protect",
     .rules = PROTECT_OR_ASK,
     .says = SAYS("GET", GET_MACHINE, 200, MACHINE_WITH(",\"machineTags\":null"))},
    {.label = "the machine's value is a word that nobody knows, and values protect",
     .rules = PROTECT_OR_ASK,
     .says = SAYS("GET", GET_MACHINE, 200,
                  MACHINE_WITH(",\"machineTags\":[],\"deviceValue\":\"Crown\""))},
    {.label = "the machine is protected",
     .rules = PROTECT_OR_ASK,
     .says = SAYS("GET", GET_MACHINE, 200,
                  MACHINE_WITH(",\"machineTags\":[\"tier-0\"],\"deviceValue\":\"Normal\""))},
};

/* ---- a row --------------------------------------------------------------------------------------- */

static int64_t push(struct rig *r, const struct doubt *d)
{
    const struct alert_ref ref = {.alert_id = ALERT, .machine_id = d->pushed};
    const struct notification n = {.tenant = d->tenant ? d->tenant : "contoso",
                                   .source = d->source ? d->source : "relay",
                                   .may_isolate = true,
                                   .received_ms = clock_wall_ms(&r->hands.clock),
                                   .alerts = &ref,
                                   .count = 1};
    sem_t done;
    struct acceptance a = {.n = &n, .ctx = &done};

    (void)sem_init(&done, 0, 0);
    assert_int_equal(store_accept(r->store, &a, rig_stored, NULL), ERR_OK);
    while (sem_wait(&done))
        ;
    (void)sem_destroy(&done);
    assert_int_equal(a.count, 1);
    return a.cases[0];
}

/* Runs a row to its end; how many isolates of any machine the far side saw in all. */
static size_t live(struct rig *r, const struct doubt *d, int64_t *ret_case)
{
    size_t posts;

    rig_open(r, d->rules);
    peer_forget(r->peer);
    if (d->says.method)
        peer_script(r->peer, &d->says); /* first written, first used */
    rig_says(r, "POST", TOKEN, 0, 200, "{\"expires_in\":35990,\"access_token\":\"t1\"}");
    rig_says(r, "GET", GET_ALERT, 0, 200, ALERT_DOC);
    rig_says(r, "GET", GET_MACHINE, 0, 200, MACHINE_DOC);
    rig_says(r, "GET", "/api/machines/" OTHER, 0, 200, "{\"id\":\"" OTHER "\"}");
    rig_says(r, "GET", "/api/machines/9C1F", 0, 200, MACHINE_DOC);
    rig_says(r, "GET", LIST, 0, 200, NOTHING);
    rig_says(r, "GET", GET_ACTION, 0, 200, ACTION_DOC("a1", "Isolate", "Paused", "null", "05:00"));
    rig_says(r, "POST", "/api/machines/", 0, 201,
             ACTION_DOC(ACTION, "Isolate", "Pending", "null", "11:13"));
    *ret_case = push(r, d);
    if (d->before)
        d->before(r, *ret_case);
    (void)rig_work(r);
    posts = rig_seen(r, "POST", "/api/machines/");
    if (d->between)
        d->between(r, *ret_case);
    rig_pass(r, d->pass_ms, 16 * MINUTE_MS); /* longer than the longest wait between two tries */
    /* between() forgets what was seen, so it is counted on both sides of it */
    return (d->between ? posts : 0) + rig_seen(r, "POST", "/api/machines/");
}

/* Was one question mailed, and, if nobody answered in time, its end? */
static bool was_asked(struct rig *r)
{
    struct question_record *list;
    struct notice_record *mails;
    size_t n = 0, n_mails = 0;

    assert_int_equal(
        store_question_list(r->store, r->arena, QUESTION_STATES, 0, 2, &list, &n, NULL), ERR_OK);
    assert_int_equal(store_notice_list(r->store, r->arena, 0, &mails, &n_mails, NULL), ERR_OK);
    if (n != 1 || !n_mails || strncmp(mails[0].subject, "[QUESTION] 1 machine: ", 22) != 0)
        return false;
    return list[0].state == QUESTION_OPEN
               ? n_mails == 1
               : n_mails == 2 && strncmp(mails[1].subject, "[NOT ISOLATED: ", 15) == 0;
}

static void test_doubts__none_isolates_and_none_is_silent(void **state)
{
    unsigned failed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(doubts); i++) {
        const struct doubt *d = &doubts[i];
        const char *wanted = d->subject ? d->subject : "[NOT ISOLATED: ", *subject, *why = NULL;
        struct case_record c;
        struct rig r;
        int64_t id;
        size_t posts = live(&r, d, &id);

        c = rig_case(&r, id);
        subject = rig_subject(&r, id);
        if (posts)
            why = "an isolate was sent";
        else if (d->asked ? !was_asked(&r) : strncmp(subject, wanted, strlen(wanted)) != 0)
            why = "people were not told";
        else if (strstr(subject, "not yet, cordon tries on"))
            why = "people were told only that it is late";
        else if (c.state != CASE_DONE && c.state != CASE_FAILED && c.state != CASE_WAITING)
            why = "it never ended";
        if (why) {
            print_error("%s: %s (%s: %s; told: %s, '%s')\n", d->label, why,
                        case_state_name(c.state), c.why ? c.why : "", rig_told(&r, id), subject);
            failed++;
        }
        rig_close(&r);
    }
    assert_int_equal(failed, 0);
}

/* Each row three times: a person says yes, says no, or nothing. */
static void test_doubts__what_a_person_can_settle_is_a_question(void **state)
{
    enum { YES, NO, NOTHING_SAID, WAYS };
    unsigned failed = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(asked) * WAYS; i++) {
        const struct doubt *d = &asked[i / WAYS];
        size_t way = i % WAYS, n = 0, posts;
        struct question_record *list;
        enum question_state now;
        const char *why = NULL;
        struct err e = {0};
        struct rig r;
        int64_t id;

        posts = live(&r, d, &id);
        assert_int_equal(
            store_question_list(r.store, r.arena, QUESTION_STATES, 0, 2, &list, &n, NULL), ERR_OK);
        if (posts)
            why = "an isolate was sent unasked";
        else if (n != 1 || list[0].state != QUESTION_OPEN ||
                 strncmp(rig_subject(&r, id), "[QUESTION] ", 11) != 0)
            why = "nobody was asked";
        else if (way != NOTHING_SAID &&
                 question_answer(r.g,
                                 &(struct question_answer){.question = list[0].id,
                                                           .person = "a@x.example",
                                                           .way = "operator",
                                                           .yes = way == YES},
                                 &now, &e))
            why = e.text;
        rig_pass(&r, 2 * HOUR_MS, 20 * MINUTE_MS);
        if (!why && rig_seen(&r, "POST", ISOLATE) != (way == YES))
            why = way == YES ? "the yes led to nothing" : "it was isolated without a yes";
        else if (!why && way != YES && strncmp(rig_subject(&r, id), "[NOT ISOLATED: ", 15) != 0)
            why = "people were not told how it ended";
        if (why) {
            print_error("%s, way %zu: %s (told: %s, '%s')\n", d->label, way, why, rig_told(&r, id),
                        rig_subject(&r, id));
            failed++;
        }
        assert_int_equal(rig_seen(&r, "POST", "/api/machines/" OTHER), 0);
        rig_close(&r);
    }
    assert_int_equal(failed, 0);
}

static void test_doubts__without_one_the_machine_is_isolated(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(certain); i++) {
        struct rig r;
        int64_t id;

        if (live(&r, &certain[i], &id) != 1)
            fail_msg("%s: not isolated: '%s'", certain[i].label, rig_subject(&r, id));
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubts__none_isolates_and_none_is_silent),
        cmocka_unit_test(test_doubts__what_a_person_can_settle_is_a_question),
        cmocka_unit_test(test_doubts__without_one_the_machine_is_isolated),
    };

    return cmocka_run_group_tests_name("doubts", tests, NULL, NULL);
}
