/* test_decide.c - what a policy says of facts, and that in doubt it never says "isolate". */
#include "decide.h"

#include <pthread.h>
#include <strings.h>

#include "handlers_kit.h"
#include "kit/torture.h"
#include "policy_kit.h"

#define M1 "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define M2 "0000000000000000000000000000000000000002"
/* as values of JSON */
#define QUOTED_M1 "'9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4'"
#define QUOTED_M2 "'0000000000000000000000000000000000000002'"

#define RULES                                                                                      \
    "rules:\n"                                                                                     \
    "  - name: contain-high\n"                                                                     \
    "    when: {alert.severity: High}\n"                                                           \
    "    do:\n"                                                                                    \
    "      - isolate: {type: full, comment: \"{{alert.title}}\"}\n"                                \
    "      - email: {}\n"                                                                          \
    "  - name: review-medium\n"                                                                    \
    "    when:\n"                                                                                  \
    "      alert.severity: Medium\n"                                                               \
    "      machine.os: {glob: \"Windows*\"}\n"                                                     \
    "      machine.tags: {not: [lab]}\n"                                                           \
    "    do:\n"                                                                                    \
    "      - isolate: {type: selective}\n"                                                         \
    "      - email: {to: [soc@contoso.example, desk@contoso.example]}\n"                           \
    "  - name: tell\n"                                                                             \
    "    do: [email: {}]\n"
#define PROTECTED                                                                                  \
    "  protected:\n"                                                                               \
    "    - machine.tags: [tier-0, no-isolate]\n"                                                   \
    "    - machine.value: High\n"

static const char starter[] = RULES "safety:\n  mode: live\n" PROTECTED;
static const char shadow[] = RULES "safety:\n  mode: shadow\n" PROTECTED;

static const struct policy *compile(struct rig *r, const char *text)
{
    const struct yaml_node *root = rig_yaml(r, text);
    const struct policy *p =
        policy_compile(&r->reader, yaml_get(root, "rules"), yaml_get(root, "safety"));

    if (!p)
        fail_msg("%s\nin: %s", rig_faults(r), text);
    return p;
}

#define HIGH   "{'id':'da1','severity':'High','title':'Bad thing','machineId':'" M1 "'}"
#define MEDIUM "{'id':'da1','severity':'Medium','title':'Bad thing','machineId':'" M1 "'}"
#define PLAIN                                                                                      \
    "{'id':'" M1 "','mergedIntoMachineId':null,'osPlatform':'Windows11','machineTags':[],"         \
    "'deviceValue':'Normal'}"

/* One verdict in short: "rule: handler handler(withheld)…". */
static const char *brief(struct rig *r, const struct verdict *v)
{
    struct buf b = BUF_INIT(65536);
    const char *text;

    buf_addf(&b, "%s:", v->rule ? v->rule : "-");
    for (size_t i = 0; i < v->n_steps; i++) {
        buf_addf(&b, " %s", v->steps[i].handler);
        if (v->steps[i].withheld)
            buf_addf(&b, "(%s)", v->steps[i].withheld);
        if (v->steps[i].asks)
            buf_addf(&b, "[%s]", v->steps[i].asks);
        assert_int_equal(v->steps[i].hold != HOLD_NONE, v->steps[i].withheld != NULL);
        assert_int_equal(v->steps[i].acts, strcmp(v->steps[i].handler, "isolate") == 0);
    }
    text = arena_str(r->arena, buf_text(&b));
    buf_clear(&b);
    return text;
}

static void check(const char *label, const char *policy, const struct facts *f, int64_t now,
                  const char *expected)
{
    struct verdict v;
    struct err e = {0};
    struct rig r;

    rig_init(&r);
    if (decide(compile(&r, policy), f, now, r.arena, &v, &e))
        fail_msg("%s: %s", label, e.text);
    if (strcmp(brief(&r, &v), expected) != 0)
        fail_msg("%s:\n%s\nexpected\n%s", label, brief(&r, &v), expected);
    rig_clear(&r);
}

static void test_decide__the_starter_policy_over_many_machines(void **state)
{
#define SEEN(word) "Defender sent '" word "', which cordon does not know"
    static const struct {
        const char *label, *alert, *machine, *verdict;
    } rows[] = {
        {"a plain machine", HIGH, PLAIN, "contain-high: isolate email"},
        {"a server", HIGH,
         "{'id':'" M1 "','osPlatform':'WindowsServer2019','machineTags':['web'],"
         "'deviceValue':'Low'}",
         "contain-high: isolate email"},
        {"severity in lower case", "{'id':'da1','severity':'high','machineId':'" M1 "'}", PLAIN,
         "contain-high: isolate email"},
        {"ids in upper case",
         "{'id':'da1','severity':'High','machineId':'9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4'}",
         PLAIN, "contain-high: isolate email"},
        {"a tag that protects", HIGH,
         "{'id':'" M1 "','machineTags':['web','tier-0'],'deviceValue':'Normal'}",
         "contain-high: isolate(protected: machine.tags is tier-0) email"},
        {"in another case", HIGH,
         "{'id':'" M1 "','machineTags':['No-Isolate'],'deviceValue':'Normal'}",
         "contain-high: isolate(protected: machine.tags is No-Isolate) email"},
        {"a value that protects", HIGH, "{'id':'" M1 "','machineTags':[],'deviceValue':'high'}",
         "contain-high: isolate(protected: machine.value is high) email"},
        {"a certain protection is named before a doubtful one", HIGH,
         "{'id':'" M1 "','machineTags':null,'deviceValue':'High'}",
         "contain-high: isolate(protected: machine.value is High) email"},
        {"an unknown value", HIGH, "{'id':'" M1 "','machineTags':[],'deviceValue':'Critical'}",
         "contain-high: isolate(perhaps protected: machine.value: " SEEN("Critical") ") email"},
        {"no value", HIGH, "{'id':'" M1 "','machineTags':[]}",
         "contain-high: isolate(perhaps protected: machine.value: Defender sent no value) email"},
        {"tags that are null", HIGH, "{'id':'" M1 "','machineTags':null,'deviceValue':'Low'}",
         "contain-high: isolate(perhaps protected: machine.tags: Defender sent no value) email"},
        {"tags that are no texts", HIGH, "{'id':'" M1 "','machineTags':[1],'deviceValue':'Low'}",
         "contain-high: isolate(perhaps protected: machine.tags: " SEEN("1") ") email"},
        {"no machine known", HIGH, NULL,
         "contain-high: isolate(Defender does not know machine " M1 ") email"},
        {"an alert without machine", "{'id':'da1','severity':'High','machineId':null}", NULL,
         "contain-high: isolate(the alert names no machine) email"},
        {"an alert with an empty machine id", "{'id':'da1','severity':'High','machineId':''}",
         PLAIN, "contain-high: isolate(the alert names no machine) email"},
        {"an alert whose machine id is a number", "{'id':'da1','severity':'High','machineId':7}",
         PLAIN, "contain-high: isolate(the alert names no machine) email"},
        {"a merged machine", HIGH,
         "{'id':'" M1 "','mergedIntoMachineId':'" M2 "','machineTags':[],"
         "'deviceValue':'Normal'}",
         "contain-high: isolate(machine " M1 " was merged into " M2 ") email"},
        {"merged into nothing", HIGH,
         "{'id':'" M1 "','mergedIntoMachineId':'','machineTags':[],'deviceValue':'Normal'}",
         "contain-high: isolate email"},
        {"merged into something odd", HIGH,
         "{'id':'" M1 "','mergedIntoMachineId':7,'machineTags':[],'deviceValue':'Normal'}",
         "contain-high: isolate(machine " M1 " was merged into another) email"},
        {"another machine than was asked for", HIGH,
         "{'id':'" M2 "','machineTags':[],'deviceValue':'Normal'}",
         "contain-high: isolate(Defender answered with machine " M2 " for machine " M1 ") email"},
        {"a machine without an id", HIGH, "{'machineTags':[],'deviceValue':'Normal'}",
         "contain-high: isolate(Defender answered with machine without an id for machine " M1
         ") email"},
        {"another alert than was asked for", "{'id':'da2','severity':'High','machineId':'" M1 "'}",
         PLAIN, "contain-high: isolate(Defender answered with alert da2 for alert da1) email"},
        {"an alert without an id", "{'severity':'High','machineId':'" M1 "'}", PLAIN,
         "contain-high: isolate(Defender answered with alert without an id for alert da1) email"},
        {"medium on Windows", MEDIUM, PLAIN, "review-medium: isolate email"},
        {"medium on Linux", MEDIUM,
         "{'id':'" M1 "','osPlatform':'Ubuntu','machineTags':[],'deviceValue':'Normal'}",
         "tell: email"},
        {"medium in the laboratory", MEDIUM,
         "{'id':'" M1 "','osPlatform':'Windows10','machineTags':['LAB'],'deviceValue':'Normal'}",
         "tell: email"},
        {"medium on an unknown system", MEDIUM,
         "{'id':'" M1 "','osPlatform':null,'machineTags':[],'deviceValue':'Normal'}",
         "review-medium: isolate(in doubt: machine.os: Defender sent no value) email"},
        {"medium, unknown system, but in the laboratory", MEDIUM,
         "{'id':'" M1 "','osPlatform':null,'machineTags':['lab'],'deviceValue':'Normal'}",
         "tell: email"},
        {"medium, tags unknown", MEDIUM,
         "{'id':'" M1 "','osPlatform':'Windows10','machineTags':null,'deviceValue':'Normal'}",
         "review-medium: isolate(in doubt: machine.tags: Defender sent no value) email"},
        {"medium without a machine", "{'id':'da1','severity':'Medium','machineId':null}", NULL,
         "review-medium: isolate(in doubt: machine.os: there is no machine to ask; "
         "machine.tags: there is no machine to ask) email"},
        {"low", "{'id':'da1','severity':'Low','machineId':'" M1 "'}", PLAIN, "tell: email"},
        {"unspecified", "{'id':'da1','severity':'UnSpecified'}", NULL, "tell: email"},
        {"a later severity", "{'id':'da1','severity':'Critical','machineId':'" M1 "'}", PLAIN,
         "contain-high: isolate(in doubt: alert.severity: " SEEN("Critical") ") email"},
        {"no severity", "{'id':'da1','severity':null,'machineId':'" M1 "'}", PLAIN,
         "contain-high: isolate(in doubt: alert.severity: Defender sent no value) email"},
        {"severity as a number", "{'id':'da1','severity':256,'machineId':'" M1 "'}", PLAIN,
         "contain-high: isolate(in doubt: alert.severity: " SEEN("256") ") email"},
        {"an empty alert", "{}", NULL,
         "contain-high: isolate(in doubt: alert.severity: Defender sent no value) email"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep)
        struct json *alert = parse(rows[i].alert), *machine = parse(rows[i].machine);
        struct facts f = facts_of(alert, machine);

        check(rows[i].label, starter, &f, NOW, rows[i].verdict);
    }
}

static void test_decide__the_first_reason_in_order_is_told(void **state)
{
    /* Everything is wrong at once; each row mends one thing more. */
    AUTO(json_freep)
    struct json *wrong_alert = parse("{'id':'da2','severity':'High','machineId':null}");
    AUTO(json_freep) struct json *no_machine = parse("{'id':'da1','severity':'High'}");
    AUTO(json_freep) struct json *alert = parse(HIGH);
    AUTO(json_freep)
    struct json *other =
        parse("{'id':'" M2 "','mergedIntoMachineId':'" M2 "','machineTags':['tier-0']}");
    AUTO(json_freep)
    struct json *merged =
        parse("{'id':'" M1 "','mergedIntoMachineId':'" M2 "','machineTags':['tier-0']}");
    AUTO(json_freep)
    struct json *tagged = parse("{'id':'" M1 "','machineTags':['tier-0'],'deviceValue':'Low'}");
    AUTO(json_freep) struct json *plain = parse(PLAIN);
    struct facts f = facts_of(wrong_alert, NULL);

    (void)state;
    f.pushed_machine_id = M2;
    f.may_isolate = false;
    f.read_ms = NOW - 11 * 60000;
    check("stale", shadow, &f, NOW,
          "contain-high: isolate(in doubt: the facts were read 11 minutes ago) email");
    f.read_ms = NOW;
    check("another alert", shadow, &f, NOW,
          "contain-high: isolate(Defender answered with alert da2 for alert da1) email");
    f.alert = no_machine;
    check("no machine", shadow, &f, NOW, "contain-high: isolate(the alert names no machine) email");
    f.alert = alert;
    check("contradicted", shadow, &f, NOW,
          "contain-high: isolate(the sender named machine " M2 ", the alert names machine " M1
          ") email");
    f.pushed_machine_id = "9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4"; /* the case does not matter */
    check("unknown machine", shadow, &f, NOW,
          "contain-high: isolate(Defender does not know machine " M1 ") email");
    f.machine = other;
    check("another machine", shadow, &f, NOW,
          "contain-high: isolate(Defender answered with machine " M2 " for machine " M1 ") email");
    f.machine = merged;
    check("merged", shadow, &f, NOW,
          "contain-high: isolate(machine " M1 " was merged into " M2 ") email");
    f.machine = tagged;
    check("protected", shadow, &f, NOW,
          "contain-high: isolate(protected: machine.tags is tier-0) email");
    f.machine = plain;
    check("may not", shadow, &f, NOW, "contain-high: isolate(source relay may only notify) email");
    f.may_isolate = true;
    f.source_shadow = true;
    check("shadow of the source", starter, &f, NOW,
          "contain-high: isolate(shadow mode of source relay: nothing is done at Defender) email");
    check("shadow", shadow, &f, NOW,
          "contain-high: isolate(shadow mode: nothing is done at Defender) email");
    f.source_shadow = false;
    check("nothing", starter, &f, NOW, "contain-high: isolate email");
    f.pushed_machine_id = NULL;
    check("nothing pushed", starter, &f, NOW, "contain-high: isolate email");
}

static void test_decide__facts_are_good_for_ten_minutes(void **state)
{
    AUTO(json_freep) struct json *alert = parse(HIGH), *machine = parse(PLAIN);
    struct facts f = facts_of(alert, machine);

    (void)state;
    check("just", starter, &f, NOW + 600000, "contain-high: isolate email");
    check("old", starter, &f, NOW + 600001,
          "contain-high: isolate(in doubt: the facts were read 10 minutes ago) email");
    check("just ahead", starter, &f, NOW - 600000, "contain-high: isolate email");
    check("ahead", starter, &f, NOW - 600001,
          "contain-high: isolate(in doubt: the time at which the facts were read lies ahead of the "
          "clock) email");
    f.read_ms = INT64_MIN;
    check("absurd", starter, &f, NOW,
          "contain-high: isolate(in doubt: the time at which the facts were read lies ahead of the "
          "clock) email");
    f.read_ms = 0;
    alert = (json_free(alert), parse("{'id':'da1','severity':'Critical','machineId':'" M1 "'}"));
    f.alert = alert;
    check("two doubts", starter, &f, NOW,
          "contain-high: isolate(in doubt: alert.severity: " SEEN(
              "Critical") "; the facts were read 28928160 minutes ago) email");
}

static void test_decide__nobody_stays_silent(void **state)
{
#define ISOLATE_HIGH "rules: [{name: a, when: {alert.severity: High}, do: [isolate: {}]}]\n"
#define PAGE_HIGH    "rules: [{name: a, when: {alert.severity: High}, do: [page: {}]}]\n"
    static const struct {
        const char *label, *policy, *alert, *verdict;
    } rows[] = {
        {"no rule matches", ISOLATE_HIGH, MEDIUM, "-: email"},
        {"the rule is clear and says nothing of mail", ISOLATE_HIGH, HIGH, "a: isolate"},
        {"in doubt", ISOLATE_HIGH, "{'id':'da1','severity':'Critical','machineId':'" M1 "'}",
         "a: isolate(in doubt: alert.severity: " SEEN("Critical") ") email"},
        {"withheld", ISOLATE_HIGH "safety: {protected: [{machine.os: Windows11}]}", HIGH,
         "a: isolate(protected: machine.os is Windows11) email"},
        {"in shadow mode", ISOLATE_HIGH "safety: {mode: shadow}", HIGH,
         "a: isolate(shadow mode: nothing is done at Defender) email"},
        {"a rule in shadow mode",
         "rules: [{name: a, when: {alert.severity: High}, mode: shadow, do: [isolate: {}]}]", HIGH,
         "a: isolate(shadow mode of rule a: nothing is done at Defender) email"},
        {"another rule in shadow mode",
         "rules: [{name: a, when: {alert.severity: Low}, mode: shadow, do: [isolate: {}]}, "
         "{name: b, do: [isolate: {}]}]",
         HIGH, "b: isolate"},
        {"protected in shadow mode",
         "rules: [{name: a, mode: shadow, do: [isolate: {}]}]\n"
         "safety: {protected: [{machine.os: Windows11}]}",
         HIGH, "a: isolate(protected: machine.os is Windows11) email"},
        {"nothing withheld", PAGE_HIGH "safety: {mode: shadow}", HIGH, "a: page"},
        {"in doubt without acting", PAGE_HIGH, "{'id':'da1','severity':null}", "a: page email"},
        {"a rule that mails before it acts",
         "rules: [{name: a, do: [email: {subject: x}, isolate: {}]}]\nsafety: {mode: shadow}", HIGH,
         "a: email isolate(shadow mode: nothing is done at Defender)"},
    };
    AUTO(json_freep) struct json *machine = parse(PLAIN);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *alert = parse(rows[i].alert);
        struct facts f = facts_of(alert, machine);

        check(rows[i].label, rows[i].policy, &f, NOW, rows[i].verdict);
    }
}

/* A rule that asks, and safety.ask: what a person's yes must be to, and what no yes is good for. */
static void test_decide__a_person_is_asked_where_a_yes_may_lift_it(void **state)
{
#define ASKS                                                                                       \
    "rules: [{name: a, when: {alert.severity: High}, do: [ask: {}, isolate: {}, email: {}]}]\n"
#define ASKS_DESK                                                                                  \
    "rules: [{name: a, when: {alert.severity: High}, do: [ask: {approvers: [desk@x.example]}, "    \
    "isolate: {}, email: {}]}]\n"
#define LISTS "rules: [{name: a, when: {alert.severity: High}, do: [email: {}, isolate: {}]}]\n"
#define DOUBT "in doubt: alert.severity: " SEEN("Odd")
#define ODD   "{'id':'da1','severity':'Odd','machineId':'" M1 "'}"
    static const struct {
        const char *label, *policy, *alert, *verdict;
    } rows[] = {
        {"the rule asks", ASKS, HIGH, "a: ask isolate[rule 'a' asks a person] email"},
        {"the rule asks, in doubt", ASKS, ODD, "a: ask isolate[" DOUBT "] email"},
        {"the rule asks, and the machine is protected",
         ASKS "safety: {protected: [{machine.os: Windows11}]}", HIGH,
         "a: ask isolate[protected: machine.os is Windows11] email"},
        {"the rule asks, and that is enough for safety",
         ASKS "safety: {ask: {}, protected: [{machine.os: Windows11}]}", HIGH,
         "a: ask isolate[protected: machine.os is Windows11] email"},
        {"the rule asks, and safety wants more persons",
         ASKS "safety: {ask: {people: 2}, protected: [{machine.os: Windows11}]}", HIGH,
         "a: ask ask isolate[protected: machine.os is Windows11] email"},
        {"safety wants more persons, and nothing stands against it",
         ASKS "safety: {ask: {people: 2}, protected: [{machine.os: Windows10}]}", HIGH,
         "a: ask isolate[rule 'a' asks a person] email"},
        {"the rule asks anybody, and safety names persons",
         ASKS "safety: {ask: {approvers: [a@x.example]}}", ODD,
         "a: ask ask isolate[" DOUBT "] email"},
        {"the rule asks others than safety names",
         ASKS_DESK "safety: {ask: {approvers: [a@x.example]}}", ODD,
         "a: ask ask isolate[" DOUBT "] email"},
        {"the rule asks one of those whom safety names",
         ASKS_DESK "safety: {ask: {approvers: [a@x.example, Desk@x.example]}}", ODD,
         "a: ask isolate[" DOUBT "] email"},
        {"the rule names persons, and safety does not", ASKS_DESK "safety: {ask: {}}", ODD,
         "a: ask isolate[" DOUBT "] email"},
        {"the rule asks in shadow mode", ASKS "safety: {mode: shadow}", HIGH,
         "a: ask(shadow mode: nothing is done at Defender) isolate(shadow mode: nothing is done at "
         "Defender) email"},
        {"a rule in shadow mode asks nobody",
         "rules: [{name: a, mode: shadow, do: [ask: {}, isolate: {}]}]", HIGH,
         "a: ask(shadow mode of rule a: nothing is done at Defender) isolate(shadow mode of rule a: "
         "nothing is done at Defender) email"},
        {"safety asks nobody where nothing stands against it", LISTS "safety: {ask: {}}", HIGH,
         "a: email isolate"},
        {"safety asks, in doubt", LISTS "safety: {ask: {}}", ODD,
         "a: email ask isolate[" DOUBT "]"},
        {"safety asks about a protected machine",
         LISTS "safety: {ask: {}, protected: [{machine.os: Windows11}]}", HIGH,
         "a: email ask isolate[protected: machine.os is Windows11]"},
        {"safety asks about all that protects it, and may",
         LISTS "safety: {ask: {}, protected: [{machine.os: Linux}, {machine.name: dc-1}, "
               "{machine.os: Windows11}, {machine.value: Normal}]}",
         HIGH,
         "a: email ask isolate[protected: machine.os is Windows11; protected: machine.value is Normal; "
         "perhaps protected: machine.name: Defender sent no value]"},
        {"no yes makes a machine of an alert without one", ASKS "safety: {ask: {}}",
         "{'id':'da1','severity':'High','machineId':null}",
         "a: ask(the alert names no machine) isolate(the alert names no machine) email"},
        {"an unknown word and protection are asked about together",
         LISTS "safety: {ask: {}, protected: [{machine.os: Windows11}]}", ODD,
         "a: email ask isolate[" DOUBT "; protected: machine.os is Windows11]"},
        {"safety asks nobody in shadow mode", LISTS "safety: {ask: {}, mode: shadow}", ODD,
         "a: email isolate(" DOUBT ")"},
    };
    AUTO(json_freep) struct json *machine = parse(PLAIN);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *alert = parse(rows[i].alert);
        struct facts f = facts_of(alert, machine);

        check(rows[i].label, rows[i].policy, &f, NOW, rows[i].verdict);
        f.source_shadow = true;
        if (strstr(rows[i].verdict, "["))
            check(rows[i].label, ASKS, &f, NOW,
                  strstr(rows[i].alert, "Odd")
                      ? "a: ask(" DOUBT ") isolate(" DOUBT ") email"
                      : "a: ask(shadow mode of source relay: nothing is done at Defender) "
                        "isolate(shadow mode of source relay: nothing is done at Defender) email");
        f.source_shadow = false;
        f.may_isolate = false;
        if (strstr(rows[i].verdict, "["))
            check(rows[i].label, ASKS, &f, NOW,
                  strstr(rows[i].alert, "Odd")
                      ? "a: ask(" DOUBT ") isolate(" DOUBT ") email"
                      : "a: ask(source relay may only notify) isolate(source relay may only "
                        "notify) email");
    }
}

static void test_decide__what_a_person_can_settle_is_put_to_him(void **state)
{
    static const struct {
        const char *label, *policy, *pushed;
        int64_t age_ms;
        bool no_machine;
        const char *verdict;
    } rows[] = {
        {"the sender names another machine", LISTS "safety: {ask: {}}", M2, 0, false,
         "a: email ask isolate[the sender named machine " M2 ", the alert names machine " M1 "]"},
        {"and nobody is to be asked", LISTS, M2, 0, false,
         "a: email isolate(the sender named machine " M2 ", the alert names machine " M1 ")"},
        {"another machine, and Defender does not know the alert's", LISTS "safety: {ask: {}}", M2,
         0, true,
         "a: email isolate(the sender named machine " M2 ", the alert names machine " M1 ")"},
        {"old facts", LISTS "safety: {ask: {}}", NULL, 11 * 60000, false,
         "a: email ask isolate[in doubt: the facts were read 11 minutes ago]"},
        {"facts of the future", LISTS "safety: {ask: {}}", NULL, -11 * 60000, false,
         "a: email ask isolate[in doubt: the time at which the facts were read lies ahead of the "
         "clock]"},
        {"the rule asks anyway: the facts will be read again", ASKS, NULL, 11 * 60000, false,
         "a: ask isolate[rule 'a' asks a person] email"},
        {"another machine and old facts: likewise", LISTS "safety: {ask: {}}", M2, 11 * 60000,
         false,
         "a: email ask isolate[the sender named machine " M2 ", the alert names machine " M1 "]"},
    };
    AUTO(json_freep) struct json *alert = parse(HIGH), *machine = parse(PLAIN);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct facts f = facts_of(alert, rows[i].no_machine ? NULL : machine);

        f.pushed_machine_id = rows[i].pushed;
        f.read_ms = NOW - rows[i].age_ms;
        check(rows[i].label, rows[i].policy, &f, NOW, rows[i].verdict);
    }
}

static void test_decide__arguments_are_filled_in(void **state)
{
    static const struct {
        const char *policy, *args[2];
    } rows[] = {
        {"rules: [{name: a, do: [isolate: {}]}]",
         {"{\"type\":\"full\",\"comment\":\"Bad \\\"thing\\\" (High), alert da1\"}", NULL}},
        {"rules: [{name: a, do: [isolate: {type: selective, comment: 'on {{machine.name}}'}]}]",
         {"{\"type\":\"selective\",\"comment\":\"on unknown\"}", NULL}},
        {"rules: [{name: a, do: [email: {}]}]", {"{}", NULL}},
        {"rules: [{name: a, do: [email: {to: soc@c.example, subject: '{{alert.title}}', body: ''}]}]",
         {"{\"to\":[\"soc@c.example\"],\"subject\":\"Bad \\\"thing\\\"\",\"body\":\"\"}", NULL}},
        {"rules: [{name: a, do: [email: {to: [a@c.example, b@c.example]}, page: {}]}]",
         {"{\"to\":[\"a@c.example\",\"b@c.example\"]}", "{}"}},
    };
    AUTO(json_freep)
    struct json *alert = parse(
        "{'id':'da1','severity':'High','title':'Bad \\u0022thing\\u0022','machineId':'" M1 "'}");
    AUTO(json_freep) struct json *machine = parse(PLAIN);
    struct facts f = facts_of(alert, machine);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct verdict v;
        struct rig r;

        rig_init(&r);
        assert_int_equal(decide(compile(&r, rows[i].policy), &f, NOW, r.arena, &v, NULL), ERR_OK);
        for (size_t k = 0; k < v.n_steps; k++)
            assert_string_equal(v.steps[k].args, rows[i].args[k]);
        rig_clear(&r);
    }
}

static void test_decide__the_verdict_explains_itself(void **state)
{
    AUTO(json_freep) struct json *alert = parse(MEDIUM);
    AUTO(json_freep)
    struct json *machine = parse("{'id':'" M1 "','osPlatform':'Windows11','machineTags':['tier-0'],"
                                 "'deviceValue':'Critical'}");
    struct facts f = facts_of(alert, machine);
    struct buf expected = BUF_INIT(65536);
    struct verdict v;
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_int_equal(decide(compile(&r, starter), &f, NOW, r.arena, &v, NULL), ERR_OK);
    assert_string_equal(v.rule, "review-medium");
    assert_string_equal(v.policy, policy_hash(compile(&r, starter)));
    assert_null(v.doubt);
    buf_addf(&expected,
             "{\"rule\":\"review-medium\",\"policy\":\"%s\",\"doubt\":null,"
             "\"at\":\"2025-01-01T00:00:00.000Z\",\"steps\":["
             "{\"handler\":\"isolate\",\"acts\":true,\"args\":{\"type\":\"selective\","
             "\"comment\":\"Bad thing (Medium), alert da1\"},"
             "\"withheld\":\"protected: machine.tags is tier-0\",\"by\":\"protected\"},"
             "{\"handler\":\"email\",\"acts\":false,\"args\":{\"to\":[\"soc@contoso.example\","
             "\"desk@contoso.example\"]},\"withheld\":null}],"
             "\"why\":[{\"rule\":\"contain-high\",\"result\":\"false\",\"predicates\":["
             "{\"field\":\"alert.severity\",\"operator\":\"is\",\"wanted\":\"\\\"High\\\"\","
             "\"seen\":\"\\\"Medium\\\"\",\"result\":\"false\"}]},"
             "{\"rule\":\"review-medium\",\"result\":\"true\",\"predicates\":["
             "{\"field\":\"alert.severity\",\"operator\":\"is\",\"wanted\":\"\\\"Medium\\\"\","
             "\"seen\":\"\\\"Medium\\\"\",\"result\":\"true\"},"
             "{\"field\":\"machine.os\",\"operator\":\"glob\",\"wanted\":\"\\\"Windows*\\\"\","
             "\"seen\":\"\\\"Windows11\\\"\",\"result\":\"true\"},"
             "{\"field\":\"machine.tags\",\"operator\":\"not\",\"wanted\":\"[\\\"lab\\\"]\","
             "\"seen\":\"[\\\"tier-0\\\"]\",\"result\":\"true\"}]},"
             "{\"rule\":\"tell\",\"result\":\"true\",\"predicates\":[]}],"
             "\"protected\":[{\"result\":\"true\",\"predicates\":["
             "{\"field\":\"machine.tags\",\"operator\":\"in\","
             "\"wanted\":\"[\\\"tier-0\\\",\\\"no-isolate\\\"]\",\"seen\":\"[\\\"tier-0\\\"]\","
             "\"result\":\"true\"}]},"
             "{\"result\":\"unknown\",\"predicates\":["
             "{\"field\":\"machine.value\",\"operator\":\"is\",\"wanted\":\"\\\"High\\\"\","
             "\"seen\":\"\\\"Critical\\\"\",\"result\":\"unknown\"}]}]}",
             v.policy);
    assert_string_equal(v.json, buf_text(&expected));
    buf_clear(&expected);
    rig_clear(&r);
}

static void test_decide__a_predicate_inside_says_where(void **state)
{
    AUTO(json_freep) struct json *alert = parse(HIGH), *machine = parse(PLAIN);
    struct facts f = facts_of(alert, machine);
    struct verdict v;
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_int_equal(decide(compile(&r, "rules: [{name: a, when: {any: [{not: {tenant: x}}]}, "
                                        "do: [email: {}]}]"),
                            &f, NOW, r.arena, &v, NULL),
                     ERR_OK);
    assert_non_null(strstr(v.json, "{\"field\":\"tenant\",\"operator\":\"is\","
                                   "\"within\":\"any[1].not\",\"wanted\":\"\\\"x\\\"\","));
    rig_clear(&r);
}

static void test_decide__facts_without_an_alert_are_refused(void **state)
{
    AUTO(json_freep) struct json *list = parse("[]");
    struct facts f = facts_of(NULL, NULL);
    struct verdict v = {.rule = "untouched"};
    struct err e = {0};
    struct rig r;

    (void)state;
    rig_init(&r);
    for (int i = 0; i < 2; i++) {
        f.alert = i ? list : NULL;
        assert_int_equal(decide(compile(&r, starter), &f, NOW, r.arena, &v, &e), ERR_INVALID);
        assert_string_equal(e.text, "decide: the facts hold no alert");
        assert_string_equal(v.rule, "untouched");
    }
    rig_clear(&r);
}

static void test_decide__what_is_no_verdict_is_not_read_as_one(void **state)
{
    static const char *const docs[] = {
        "null",
        "[]",
        "{}",
        "{'rule':null,'policy':null,'doubt':null,'steps':[]}",
        "{'policy':'p','doubt':null,'steps':[]}",
        "{'rule':7,'policy':'p','doubt':null,'steps':[]}",
        "{'rule':null,'policy':'p','doubt':null}",
        "{'rule':null,'policy':'p','doubt':null,'steps':{}}",
        "{'rule':null,'policy':'p','doubt':null,'steps':[1]}",
        "{'rule':null,'policy':'p','doubt':null,'steps':[{'handler':'isolate','acts':true,"
        "'args':{}}]}", /* no word of withheld: never taken as not withheld */
        "{'rule':null,'policy':'p','doubt':null,'steps':[{'handler':'isolate','acts':true,"
        "'args':{},'withheld':false}]}",
        "{'rule':null,'policy':'p','doubt':null,'steps':[{'handler':'isolate','acts':true,"
        "'args':'{}','withheld':null}]}",
        "{'rule':null,'policy':'p','doubt':null,'steps':[{'handler':'isolate',"
        "'args':{},'withheld':null}]}",
        "{'rule':null,'policy':'p','doubt':null,'steps':[{'handler':'isolate','acts':true,"
        "'args':{},'withheld':null,'asks':true}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof docs / sizeof docs[0]; i++) {
        AUTO(json_freep) struct json *doc = parse(docs[i]);
        AUTO(arena_freep) struct arena *a = arena_new(0);
        struct verdict v = {.rule = "untouched"};

        assert_int_equal(verdict_read(doc, a, &v, NULL), ERR_INVALID);
        assert_string_equal(v.rule, "untouched");
    }
}

/* ---- many shapes ------------------------------------------------------------------------------- */

/* Members of the two documents and the values they may have, the plain ones first. */
struct shape {
    const char *name;
    size_t known; /* so many of values[] are known and not missing */
    const char *values[8];
};

static const struct shape alert_shapes[] = {
    {"id", 1, {"'da1'", "'da2'", NULL}},
    {"severity", 3, {"'High'", "'Medium'", "'low'", "null", "'Critical'", "256", NULL}},
    {"machineId", 1, {QUOTED_M1, QUOTED_M2, "null", "''", NULL}},
    {"title", 2, {"'Bad'", "'K\\u00e4nslig \\u2028 x'", "null", "7", NULL}},
    {"category", 2, {"'Malware'", "'Execution'", "'null'", "null", "[]", NULL}},
    {"detectionSource", 2, {"'MTP'", "'AAD, MTP'", "'AAD, Oracle'", "null", NULL}},
    {"incidentId", 2, {"48213", "9007199254740993", "1.50", "null", "'7'", NULL}},
    {"alertCreationTime",
     2,
     {"'2024-12-31T23:59:00Z'", "'2024-12-30T00:00:00.1234567Z'", "'?'", "null", NULL}},
    {"mitreTechniques", 2, {"['T1']", "['T1','T2']", "[]", "null", "['T1',{}]", NULL}},
};
static const struct shape machine_shapes[] = {
    {"id", 1, {QUOTED_M1, QUOTED_M2, "null", NULL}},
    {"mergedIntoMachineId", 0, {"null", "''", QUOTED_M2, "{}", NULL}},
    {"osPlatform", 2, {"'Windows11'", "'Ubuntu'", "null", "{}", NULL}},
    {"machineTags",
     3,
     {"['web']", "['tier-0']", "['lab','x']", "[]", "null", "[7]", "'lab'", NULL}},
    {"deviceValue", 3, {"'Normal'", "'low'", "'High'", "'Critical'", "null", NULL}},
    {"riskScore", 2, {"'High'", "'None'", "'Severe'", "null", NULL}},
    {"isAadJoined", 2, {"true", "false", "null", "'true'", NULL}},
    {"lastIpAddress", 2, {"'10.1.2.3'", "'192.0.2.1'", "''", "'ten'", NULL}},
    {"osBuild", 2, {"22631", "19045", "null", "'x'", NULL}},
};
#define N_ALERT   (sizeof alert_shapes / sizeof alert_shapes[0])
#define N_MACHINE (sizeof machine_shapes / sizeof machine_shapes[0])
#define N_SHAPES  (N_ALERT + N_MACHINE)

/* Which value each member has; -1: the member is absent; -2: something that no type knows. */
struct choice {
    int of[N_SHAPES];
    bool no_machine;
};

static const struct shape *shape_of(size_t i)
{
    return i < N_ALERT ? &alert_shapes[i] : &machine_shapes[i - N_ALERT];
}

static struct json *build(const struct choice *c, size_t from, size_t to)
{
    struct buf b = BUF_INIT(65536);
    struct json *doc;
    bool comma = false;

    buf_addc(&b, '{');
    for (size_t i = from; i < to; i++) {
        if (c->of[i] == -1)
            continue;
        buf_addf(&b, "%s'%s':%s", comma ? "," : "", shape_of(i)->name,
                 c->of[i] == -2 ? "{'later':[1]}" : shape_of(i)->values[c->of[i]]);
        comma = true;
    }
    buf_addc(&b, '}');
    doc = parse(buf_text(&b));
    buf_clear(&b);
    return doc;
}

static size_t count_values(const struct shape *s)
{
    size_t n = 0;

    while (n < sizeof s->values / sizeof s->values[0] && s->values[n])
        n++;
    return n;
}

/* known: only values that cordon knows and that are there (or null where that is the plain one). */
static void choose(struct choice *c, unsigned *seed, bool known)
{
    for (size_t i = 0; i < N_SHAPES; i++) {
        size_t n = known ? shape_of(i)->known : count_values(shape_of(i));

        c->of[i] = n ? (int)(rand_r(seed) % n) : 0;
        if (!known && rand_r(seed) % 12 == 0)
            c->of[i] = -1;
    }
    c->no_machine = !known && rand_r(seed) % 10 == 0;
}

static const char *const policies[] = {
    starter,
    shadow,
    "rules:\n"
    "- name: one\n"
    "  when:\n"
    "    any:\n"
    "    - {alert.severity: {at_least: Medium}, machine.risk: {at_least: Medium}}\n"
    "    - not: {machine.ip: {cidr: 10.0.0.0/8}}\n"
    "      machine.aad_joined: true\n"
    "    alert.detection_source: {not: [AAD]}\n"
    "  do: [isolate: {comment: '{{alert.title}} {{alert.incident_id}} {{machine.tags}}'}]\n"
    "- name: two\n"
    "  when: {not: {any: [{machine.os: Ubuntu}, {machine.os_build: {at_most: 20000}}]},\n"
    "         alert.created: {newer_than: 1h}, alert.category: {regex: '^(mal|exe)'}}\n"
    "  do: [page: {}, isolate: {}]\n"
    "- name: three\n"
    "  when: {all: [{alert.mitre: T1}, {not: {alert.mitre: {glob: '*2'}}}]}\n"
    "  do: [isolate: {type: selective}, email: {subject: '{{machine.os}}'}]\n"
    "safety:\n"
    "  protected:\n"
    "  - {machine.value: {at_least: High}}\n"
    "  - all: [{machine.tags: {not: [web, lab]}}, {machine.risk: {not: High}}]\n",
};

static const struct verdict_step *acting(const struct verdict *v)
{
    for (size_t i = 0; i < v->n_steps; i++)
        if (v->steps[i].acts && !v->steps[i].withheld)
            return &v->steps[i];
    return NULL;
}

static void vary_frame(struct facts *f, unsigned *seed)
{
    static const char *const pushed[] = {NULL, M1, M2, "9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4"};

    f->pushed_machine_id = pushed[rand_r(seed) % 4];
    f->may_isolate = rand_r(seed) % 5 != 0;
    f->source_shadow = rand_r(seed) % 9 == 0;
    f->read_ms = NOW - (int64_t)(rand_r(seed) % 12) * 60000;
}

static void test_decide__stored_facts_give_the_same_verdict_to_the_bit(void **state)
{
    unsigned seed = 11;

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        const struct policy *p;
        size_t acted = 0;
        struct rig r;

        rig_init(&r);
        p = compile(&r, policies[i]);
        for (int n = 0; n < 1500; n++) {
            AUTO(arena_freep) struct arena *a = arena_new(0);
            AUTO(buf_clear) struct buf stored = BUF_INIT(65536);
            AUTO(json_freep) struct json *alert = NULL, *machine = NULL, *doc = NULL, *text = NULL;
            struct verdict first, second, read;
            struct facts f, g;
            struct choice c;

            choose(&c, &seed, rand_r(&seed) % 2);
            alert = build(&c, 0, N_ALERT);
            machine = build(&c, N_ALERT, N_SHAPES);
            f = facts_of(alert, c.no_machine ? NULL : machine);
            vary_frame(&f, &seed);
            assert_int_equal(decide(p, &f, NOW, a, &first, NULL), ERR_OK);
            facts_write(&stored, &f);
            assert_int_equal(json_parse(buf_text(&stored), stored.len, &doc, NULL), ERR_OK);
            assert_int_equal(facts_read(doc, &g, NULL), ERR_OK);
            assert_int_equal(decide(p, &g, NOW, a, &second, NULL), ERR_OK);
            assert_string_equal(first.json, second.json);
            /* and the verdict itself comes back from its text */
            assert_int_equal(json_parse(first.json, strlen(first.json), &text, NULL), ERR_OK);
            assert_int_equal(verdict_read(text, a, &read, NULL), ERR_OK);
            assert_string_equal(read.json, first.json);
            assert_string_equal(read.policy, first.policy);
            assert_string_equal(brief(&r, &read), brief(&r, &first));
            assert_string_equal(read.doubt ? read.doubt : "-", first.doubt ? first.doubt : "-");
            for (size_t k = 0; k < first.n_steps; k++)
                assert_string_equal(read.steps[k].args, first.steps[k].args);
            acted += acting(&first) != NULL;
        }
        assert_int_equal(acted > 0, policies[i] != shadow); /* the shapes reach both */
        rig_clear(&r);
    }
}

/* contract.md section 0: what must hold whenever an acting step is not withheld, asked of the documents
 * without any of cordon's own reading. */
static void test_decide__never_acts_without_all_that_it_takes(void **state)
{
    unsigned seed = 5;
    size_t acted = 0, told = 0;

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        const struct policy *p;
        struct rig r;

        rig_init(&r);
        p = compile(&r, policies[i]);
        for (int n = 0; n < 3000; n++) {
            AUTO(arena_freep) struct arena *a = arena_new(0);
            AUTO(json_freep) struct json *alert = NULL, *machine = NULL;
            struct verdict v;
            struct facts f;
            struct choice c;
            bool mails = false, withheld = false;

            choose(&c, &seed, rand_r(&seed) % 3);
            alert = build(&c, 0, N_ALERT);
            machine = build(&c, N_ALERT, N_SHAPES);
            f = facts_of(alert, c.no_machine ? NULL : machine);
            vary_frame(&f, &seed);
            assert_int_equal(decide(p, &f, NOW, a, &v, NULL), ERR_OK);
            for (size_t k = 0; k < v.n_steps; k++) {
                mails |= strcmp(v.steps[k].handler, "email") == 0;
                withheld |= v.steps[k].withheld != NULL;
                assert_true(v.steps[k].acts || !v.steps[k].withheld);
            }
            assert_true(mails || (v.rule && !withheld && !v.doubt));
            told += mails;
            if (!acting(&v))
                continue;
            acted++;
            assert_non_null(v.rule);
            assert_null(v.doubt);
            assert_ptr_not_equal(policies[i], shadow);
            assert_true(f.may_isolate && !f.source_shadow);
            assert_true(NOW - f.read_ms <= 600000);
            assert_non_null(f.machine);
            assert_string_equal(json_get_string(alert, "id"), "da1");
            assert_string_equal(json_get_string(alert, "machineId"), M1);
            assert_string_equal(json_get_string(machine, "id"), M1);
            assert_true(json_type(json_get(machine, "mergedIntoMachineId")) <= JSON_NULL ||
                        *json_get_string(machine, "mergedIntoMachineId") == '\0');
            if (f.pushed_machine_id)
                assert_true(strcasecmp(f.pushed_machine_id, M1) == 0);
            assert_non_null(json_get_string(machine, "deviceValue")); /* protections were judged */
            assert_true(strcasecmp(json_get_string(machine, "deviceValue"), "High") != 0);
            assert_true(strcmp(json_get_string(machine, "deviceValue"), "Critical") != 0);
        }
        rig_clear(&r);
    }
    assert_true(acted > 100 && told > 100);
}

/* One known value becomes unknown: nothing may be done that was not to be done before. */
static void test_decide__less_knowledge_never_acts_more(void **state)
{
    unsigned seed = 3;
    size_t acted = 0, held = 0;

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        const struct policy *p;
        struct rig r;

        rig_init(&r);
        p = compile(&r, policies[i]);
        for (int n = 0; n < 1000; n++) {
            AUTO(arena_freep) struct arena *a = arena_new(0);
            AUTO(json_freep) struct json *alert = NULL, *machine = NULL;
            const struct verdict_step *before, *after;
            struct verdict known, unknown;
            struct facts f;
            struct choice c;

            choose(&c, &seed, true);
            alert = build(&c, 0, N_ALERT);
            machine = build(&c, N_ALERT, N_SHAPES);
            f = facts_of(alert, machine);
            vary_frame(&f, &seed);
            assert_int_equal(decide(p, &f, NOW, a, &known, NULL), ERR_OK);
            before = acting(&known);
            for (size_t k = 0; k < N_SHAPES; k++)
                for (int how = -2; how <= -1; how++) { /* strange, absent */
                    AUTO(json_freep) struct json *alert2 = NULL, *machine2 = NULL;
                    struct choice less = c;
                    struct facts g = f;

                    less.of[k] = how;
                    alert2 = build(&less, 0, N_ALERT);
                    machine2 = build(&less, N_ALERT, N_SHAPES);
                    g.alert = alert2;
                    g.machine = machine2;
                    assert_int_equal(decide(p, &g, NOW, a, &unknown, NULL), ERR_OK);
                    after = acting(&unknown);
                    if (after) {
                        if (!before)
                            fail_msg("without %s: %s instead of %s", shape_of(k)->name,
                                     brief(&r, &unknown), brief(&r, &known));
                        assert_string_equal(unknown.rule, known.rule);
                        acted++;
                    } else {
                        held += before != NULL;
                    }
                }
        }
        rig_clear(&r);
    }
    assert_true(acted > 100 && held > 100);
}

struct deciding_thread {
    pthread_t id;
    const struct policy *policy;
    const char *expected;
    bool same;
};

static void *decide_often(void *arg)
{
    struct deciding_thread *t = arg;
    struct json *alert = parse(MEDIUM), *machine = parse(PLAIN);
    struct facts f = facts_of(alert, machine);

    t->same = true;
    for (int i = 0; i < 200; i++) {
        struct arena *a = arena_new(0);
        struct verdict v;

        t->same &=
            decide(t->policy, &f, NOW, a, &v, NULL) == ERR_OK && strcmp(v.json, t->expected) == 0;
        arena_free(a);
    }
    json_free(alert);
    json_free(machine);
    return NULL;
}

static void test_decide__many_threads_go_by_one_policy(void **state)
{
    AUTO(json_freep) struct json *alert = parse(MEDIUM), *machine = parse(PLAIN);
    struct facts f = facts_of(alert, machine);
    struct deciding_thread threads[4];
    const struct policy *p;
    struct verdict v;
    struct rig r;

    (void)state;
    rig_init(&r);
    p = compile(&r, policies[2]);
    assert_int_equal(decide(p, &f, NOW, r.arena, &v, NULL), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        threads[i] = (struct deciding_thread){.policy = p, .expected = v.json};
        assert_int_equal(pthread_create(&threads[i].id, NULL, decide_often, &threads[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        assert_true(threads[i].same);
    }
    rig_clear(&r);
}

static void test_decide__memory_that_runs_out_never_acts(void **state)
{
    static const char *const machines[] = {
        PLAIN, "{'id':'" M1 "','machineTags':['tier-0'],'deviceValue':'Normal'}",
        "{'id':'" M1 "','machineTags':[],'deviceValue':'Critical'}",
        "{'id':'" M2 "','machineTags':[],'deviceValue':'Normal'}"};
    AUTO(json_freep) struct json *alert = parse(HIGH);
    struct rig r;
    const struct policy *p;

    (void)state;
    rig_init(&r);
    p = compile(&r, starter);
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        AUTO(json_freep) struct json *machine = parse(machines[i]);
        struct facts f = facts_of(alert, machine);
        bool failed = true;

        for (long n = 1; failed; n++) {
            struct arena *a = arena_new(64); /* so that it asks often */
            struct verdict v = {0};
            enum err_code code;

            torture_arm(n);
            code = decide(p, &f, NOW, a, &v, NULL);
            failed = torture_disarm();
            if (code)
                assert_int_equal(code, ERR_NOMEM);
            else if (i > 0)
                assert_null(acting(&v));
            arena_free(a);
            assert_true(n < 10000);
        }
    }
    rig_clear(&r);
}

static void test_decide__a_policy_that_does_not_fit_into_memory_is_none(void **state)
{
    bool failed = true;

    (void)state;
    for (long n = 1; failed; n++) {
        struct rig r;
        const struct yaml_node *root;
        const struct policy *p;

        rig_init(&r);
        root = rig_yaml(&r, starter);
        torture_arm(n);
        p = policy_compile(&r.reader, yaml_get(root, "rules"), yaml_get(root, "safety"));
        failed = torture_disarm();
        if (!p)
            assert_true(r.faults.count > 0);
        rig_clear(&r);
        assert_true(n < 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide__the_starter_policy_over_many_machines),
        cmocka_unit_test(test_decide__the_first_reason_in_order_is_told),
        cmocka_unit_test(test_decide__facts_are_good_for_ten_minutes),
        cmocka_unit_test(test_decide__nobody_stays_silent),
        cmocka_unit_test(test_decide__a_person_is_asked_where_a_yes_may_lift_it),
        cmocka_unit_test(test_decide__what_a_person_can_settle_is_put_to_him),
        cmocka_unit_test(test_decide__arguments_are_filled_in),
        cmocka_unit_test(test_decide__the_verdict_explains_itself),
        cmocka_unit_test(test_decide__a_predicate_inside_says_where),
        cmocka_unit_test(test_decide__facts_without_an_alert_are_refused),
        cmocka_unit_test(test_decide__what_is_no_verdict_is_not_read_as_one),
        cmocka_unit_test(test_decide__stored_facts_give_the_same_verdict_to_the_bit),
        cmocka_unit_test(test_decide__never_acts_without_all_that_it_takes),
        cmocka_unit_test(test_decide__less_knowledge_never_acts_more),
        cmocka_unit_test(test_decide__many_threads_go_by_one_policy),
        cmocka_unit_test(test_decide__memory_that_runs_out_never_acts),
        cmocka_unit_test(test_decide__a_policy_that_does_not_fit_into_memory_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
