/* test_policy_tests.c - tests of a policy: what they may say, and that a wrong expectation never passes. */
#include "policy_tests.h"

#include "handlers_kit.h"
#include "policy_kit.h"

#define POLICY                                                                                     \
    "rules:\n"                                                                                     \
    "- {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"              \
    "- {name: stale, when: {alert.created: {older_than: 1h}}, do: [page: {}]}\n"                   \
    "- {name: known, when: {alert.evidence.files: bad.exe, alert.evidence.types: File,\n"          \
    "   alert.detection_source: CustomerTI, machine.vm_cloud: Azure, machine.os_build: 22631,\n"   \
    "   machine.aad_joined: true, alert.user: 'CORP\\j.doe', source: flow}, do: [email: {}]}\n"    \
    "safety: {protected: [{machine.tags: tier-0}, {machine.os: {glob: '*Server*'}}]}\n"

static const struct policy_tests_source sources[] = {{"relay", "contoso", true},
                                                     {"flow", "fabrikam", false}};

/* The faults of a policy's tests, "line:column: text"; the number of tests in *ret_n. */
static const char *run(struct rig *r, const char *policy, const char *tests, size_t *ret_n)
{
    const struct yaml_node *root = rig_yaml(r, policy);
    const struct policy *p =
        policy_compile(&r->reader, yaml_get(root, "rules"), yaml_get(root, "safety"));

    if (!p)
        fail_msg("%s", rig_faults(r));
    *ret_n = policy_tests_run(&r->reader, rig_yaml(r, tests), p, sources, 2);
    return rig_faults(r);
}

static void check(const char *policy, const char *tests, const char *faults)
{
    struct rig r;
    const char *said;
    size_t n;

    rig_init(&r);
    said = run(&r, policy, tests, &n);
    if (strcmp(said, faults) != 0)
        fail_msg("%s\nsays     %s\nexpected %s", tests, said, faults);
    rig_clear(&r);
}

#define CASE(facts, expect) "- {name: t, facts: {" facts "}, expect: {" expect "}}"
#define HIGH                "alert.severity: High"

static void test_policy_tests__hold(void **state)
{
    static const char *const rows[] = {
        CASE(HIGH, "rule: contain, steps: [isolate, email], withheld: none"),
        CASE(HIGH ", machine.os: WindowsServer2022",
             "rule: contain, steps: [email], withheld: 'protected: machine.os is *'"),
        CASE(HIGH ", machine.tags: [a, Tier-0]", "withheld: 'PROTECTED: machine.tags*'"),
        CASE(HIGH ", machine.tags: tier-0", "withheld: protected*"),
        CASE(HIGH ", machine.tags: null", "withheld: 'perhaps protected: machine.tags: *no value'"),
        CASE("alert.severity: Odd", "rule: contain, withheld: 'in doubt:*Odd*'"),
        CASE("alert.created: 2h, alert.severity: Low", "rule: stale, steps: [page]"),
        CASE("alert.created: 2025-12-31T22:00:00Z, alert.severity: Low", "rule: stale"),
        CASE("alert.created: 2026-01-01T00:00:00+02:00, alert.severity: Low", "rule: stale"),
        CASE("alert.created: 59m, alert.severity: Low, alert.evidence.files: [x]",
             "rule: none, steps: [email]"),
        "- {name: t, at: '2025-12-31T22:59:00Z', facts: {alert.severity: Low, alert.created: "
        "2025-12-31T22:00:00Z, alert.evidence.files: []}, expect: {rule: none}}",
        "- {name: t, at: '2026-01-01T01:59:00+03:00', facts: {alert.severity: Low, alert.created: "
        "2025-12-31T22:00:00Z, alert.evidence.files: []}, expect: {rule: none}}",
        CASE(
            "alert.severity: Low, alert.created: 1m, alert.evidence.files: [x, Bad.exe], "
            "alert.evidence.types: [Process, File], alert.detection_source: [WindowsDefenderAtp, "
            "CustomerTI], machine.vm_cloud: Azure, machine.os_build: 22631, machine.aad_joined: true, "
            "alert.user: 'CORP\\j.doe', source: flow",
            "rule: known, steps: [email]"),
        CASE(HIGH ", source: flow", "steps: [email], withheld: source flow may only notify"),
        "- {name: t, alert: {severity: High, title: x}, expect: {rule: contain, steps: [isolate, "
        "email]}}",
        "- {name: t, alert: {severity: High}, machine: {osPlatform: Ubuntu, machineTags: [tier-0]}, "
        "expect: {withheld: 'protected: machine.tags is tier-0'}}",
        "- {name: t, alert: {severity: Low}, facts: {alert.severity: High}, expect: {rule: contain}}",
        "- {name: t, facts: {alert.severity: High}, machine: none, expect: {withheld: 'Defender does "
        "not know machine *'}}",
        "- {name: t, alert: {severity: High, machineId: null}, expect: {withheld: the alert names no "
        "machine}}",
        "- {name: t, facts: {alert.severity: High}, machine: {machineTags: [], osPlatform: Ubuntu, "
        "mergedIntoMachineId: '0000000000000000000000000000000000000009'}, expect: {withheld: "
        "'machine * was merged*'}}",
        "[]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(POLICY, rows[i], "");
}

static void test_policy_tests__know_what_a_person_is_asked(void **state)
{
#define ASKS "rules: [{name: a, when: {alert.severity: High}, do: [ask: {}, isolate: {}]}]\n"
    (void)state;
    check(ASKS, CASE(HIGH, "steps: [ask, isolate], asks: rule*, withheld: none"), "");
    check(ASKS, CASE(HIGH, "asks: none"),
          "1:59: test 't' fails: expected that a person is asked about none, got rule 'a' asks a "
          "person");
    check(POLICY, CASE(HIGH, "asks: none"), "");
    check(
        POLICY, CASE(HIGH ", machine.tags: tier-0", "asks: protected*"),
        "1:81: test 't' fails: expected that a person is asked about protected*, got none; withheld "
        "is isolate: protected: machine.tags is tier-0");
}

/* Two documents with different ids would be withheld as another machine's, and a test of what protects one never
 * fail. */
static void test_policy_tests__one_id_is_that_of_both_documents(void **state)
{
#define ID "9999999999999999999999999999999999999999"
    static const char *const says[] = {
        "facts: {alert.severity: High, machine.id: '" ID "'}",
        "facts: {alert.severity: High, alert.machine_id: '" ID "'}",
        "facts: {alert.severity: High}, machine: {id: '" ID "'}",
        "alert: {severity: High, machineId: '" ID "'}",
        "alert: {severity: High, machineId: '" ID "'}, machine: {id: '" ID "'}",
    };
    static const char rule[] =
        "rules: [{name: a, when: {alert.severity: High}, do: [isolate: {}]}]";
    static const char protects[] =
        "rules: [{name: a, when: {alert.severity: High}, do: [isolate: {}]}]\n"
        "safety: {protected: [{machine.id: '" ID "'}]}";

    (void)state;
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        struct rig r;

        rig_init(&r);
        check(rule,
              arena_fmt(r.arena, "- {name: t, %s, expect: {steps: [isolate], withheld: none}}",
                        says[i]),
              "");
        check(protects,
              arena_fmt(r.arena,
                        "- {name: t, %s, expect: {withheld: 'protected: machine.id is *'}}",
                        says[i]),
              "");
        rig_clear(&r);
    }
    /* whoever says two means two */
    check(rule,
          CASE(HIGH ", machine.id: '" ID "', alert.machine_id: '" ID "8'",
               "withheld: 'Defender answered with machine " ID " for machine " ID "8'"),
          "");
}

/* In shadow mode nothing is done, and the policy's tests say what would be. */
static void test_policy_tests__judge_as_if_nothing_were_in_shadow(void **state)
{
    (void)state;
    check("rules: [{name: a, mode: shadow, do: [isolate: {}]}]\nsafety: {mode: shadow}",
          CASE("", "rule: a, steps: [isolate], withheld: none"), "");
}

static void test_policy_tests__a_failure_says_expected_and_got(void **state)
{
#define FAILS "test 't' fails: expected "
    static const struct {
        const char *test, *faults;
    } rows[] = {
        {CASE(HIGH, "rule: stale"), "1:59: " FAILS "rule stale, got contain"},
        {CASE(HIGH, "rule: none"), "1:59: " FAILS "rule none, got contain"},
        {CASE("alert.severity: Low, alert.created: 1m, alert.evidence.files: []", "rule: contain"),
         "1:103: " FAILS "rule contain, got none"},
        {CASE("", "rule: stale"),
         "1:39: " FAILS
         "rule stale, got contain; withheld is isolate: in doubt: alert.severity: Defender sent no "
         "value"},
        {CASE(HIGH, "steps: [isolate]"), "1:60: " FAILS "the steps isolate, got isolate, email"},
        {CASE(HIGH, "steps: []"), "1:60: " FAILS "the steps none, got isolate, email"},
        {CASE(HIGH ", machine.tags: tier-0", "steps: [isolate, email]"),
         "1:82: " FAILS "the steps isolate, email, got email; withheld is isolate: protected: "
         "machine.tags is tier-0"},
        {CASE(HIGH, "withheld: protected*"),
         "1:63: " FAILS "steps withheld (protected*), got the steps isolate, email"},
        {CASE(HIGH ", machine.tags: tier-0", "withheld: none"),
         "1:85: " FAILS "withheld none, got isolate: protected: machine.tags is tier-0"},
        {CASE(HIGH ", machine.tags: tier-0", "withheld: source*"),
         "1:85: " FAILS "withheld source*, got isolate: protected: machine.tags is tier-0"},
        /* what cannot be run is no test that holds */
        {"{}", "1:1: tests: expected a list of tests"},
        {"- 7", "1:3: test: expected a map of settings, found text"},
        {"- {name: t, expect: {rule: contain}, fact: {}}",
         "1:38: test.fact: unknown key; did you mean test.facts?"},
        {"- {name: t, facts: {alert.severity: High}}",
         "1:3: test.expect is missing: rule, steps, withheld, asks: what the policy is to say"},
        {CASE(HIGH, ""), "1:52: expect: expected at least one of rule, steps, withheld, asks"},
        {CASE(HIGH, "rule: contian"),
         "1:59: expect.rule: there is no rule 'contian'; did you mean contain?"},
        {CASE(HIGH, "steps: [isolat]"),
         "1:61: expect.steps: there is no step 'isolat'; did you mean isolate?"},
        {CASE(HIGH, "steps: isolate"),
         "1:60: expect.steps: expected a list of steps, such as [isolate, email]"},
        {CASE("alert.severty: High", "rule: contain"),
         "1:21: no such field 'alert.severty'; did you mean alert.severity?"},
        {CASE(HIGH ", source: flw", "rule: contain"),
         "1:51: source: there is no source 'flw'; did you mean flow?"},
        {CASE(HIGH ", tenant: fabrikam", "rule: contain"),
         "1:43: tenant: it follows from the source; name that"},
        {CASE("alert.severity: Hgih", "steps: [email]"),
         "1:37: alert.severity: 'Hgih' is no severity; did you mean High?"},
        {CASE(HIGH ", alert.detection_source: [MTP, CustomTI]", "rule: contain"),
         "1:67: alert.detection_source: 'CustomTI' is no detection source; did you mean CustomerTI?"},
        {CASE(HIGH ", machine.os_build: 23H2", "rule: contain"),
         "1:61: machine.os_build: expected a whole number, found '23H2'"},
        {CASE(HIGH ", machine.aad_joined: yes", "rule: contain"),
         "1:63: machine.aad_joined: expected true or false, found 'yes'"},
        {CASE(HIGH ", alert.created: 2 hours", "rule: contain"),
         "1:58: alert.created: expected a time or an age such as 2h, found '2 hours'"},
        {CASE(HIGH ", machine.ips: [10.0.0.1, 10.0.0.0/8]", "rule: contain"),
         "1:56: machine.ips: expected an IP address, found '10.0.0.0/8'"},
        {"- {name: t, machine: none, facts: {alert.severity: High, machine.os: Windows10}, "
         "expect: {withheld: Defender does not know*}}",
         "1:58: machine.os: the test is about no machine"},
        {CASE("alert.severity: [High]", "rule: contain"),
         "1:37: alert.severity: expected one value, found a list"},
        {"- {name: t, at: yesterday, expect: {rule: contain}}",
         "1:17: test.at: expected a time such as 2026-01-01T00:00:00Z, found 'yesterday'"},
        {"- {name: t, alert: none, expect: {rule: contain}}",
         "1:20: alert: expected a map as Defender sends it"},
        {"- {name: t, machine: all, expect: {rule: contain}}",
         "1:22: machine: expected a map as Defender sends it, or none"},
        {"- {name: t, facts: [a], expect: {rule: contain}}",
         "1:20: facts: expected a map of fields, such as {alert.severity: High}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(POLICY, rows[i].test, rows[i].faults);
}

static void test_policy_tests__all_are_run(void **state)
{
    struct rig r;
    size_t n;

    (void)state;
    rig_init(&r);
    assert_string_equal(run(&r, POLICY,
                            CASE(HIGH, "rule: stale") "\n" CASE(HIGH, "rule: contain") "\n" CASE(
                                HIGH, "steps: [page]"),
                            &n),
                        "1:59: test 't' fails: expected rule stale, got contain\n"
                        "3:60: test 't' fails: expected the steps page, got isolate, email");
    assert_int_equal(n, 3);
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_tests__hold),
        cmocka_unit_test(test_policy_tests__know_what_a_person_is_asked),
        cmocka_unit_test(test_policy_tests__one_id_is_that_of_both_documents),
        cmocka_unit_test(test_policy_tests__judge_as_if_nothing_were_in_shadow),
        cmocka_unit_test(test_policy_tests__a_failure_says_expected_and_got),
        cmocka_unit_test(test_policy_tests__all_are_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
