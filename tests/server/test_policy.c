/* test_policy.c - a policy is compiled whole, or every fault of it is named with its place. */
#include "policy.h"

#include "decide.h"

#include "handlers_kit.h"
#include "policy_kit.h"

/* Text is a whole file: {rules, safety}. */
static const struct policy *compile(struct rig *r, const char *text)
{
    const struct yaml_node *root = rig_yaml(r, text);

    return policy_compile(&r->reader, yaml_get(root, "rules"), yaml_get(root, "safety"));
}

/* The same, for a text without fault. */
static const struct policy *good(struct rig *r, const char *text)
{
    const struct policy *p = compile(r, text);

    if (!p)
        fail_msg("%s\nin: %s", rig_faults(r), text);
    return p;
}

static const char starter[] = "rules:\n"
                              "  - name: contain-high\n"
                              "    when: {alert.severity: High}\n"
                              "    do:\n"
                              "      - isolate: {type: full, comment: \"{{alert.title}}\"}\n"
                              "      - email: {}\n"
                              "  - name: review-medium\n"
                              "    when:\n"
                              "      alert.severity: Medium\n"
                              "      machine.os: {glob: \"Windows*\"}\n"
                              "      machine.tags: {not: [lab]}\n"
                              "    do:\n"
                              "      - isolate: {type: selective}\n"
                              "      - email: {to: [soc@contoso.example, desk@contoso.example]}\n"
                              "  - name: tell\n"
                              "    do: [email: {}]\n"
                              "safety:\n"
                              "  mode: live\n"
                              "  protected:\n"
                              "    - machine.tags: [tier-0, no-isolate]\n"
                              "    - machine.value: High\n"
                              "  limits:\n"
                              "    - {isolations: 10, per: 1h}\n"
                              "    - {isolations: 30, per: 24h}\n";

static void test_policy__the_contract_s_example_compiles(void **state)
{
    const struct policy_limit *limits;
    const struct policy *p;
    struct rig r;
    size_t n = 0;

    (void)state;
    rig_init(&r);
    p = good(&r, starter);
    assert_int_equal(strlen(policy_hash(p)), 64);
    assert_int_equal(strspn(policy_hash(p), "0123456789abcdef"), 64);
    assert_false(policy_is_shadow(p));
    limits = policy_limits(p, &n);
    assert_int_equal(n, 2);
    assert_int_equal(limits[0].isolations, 10);
    assert_int_equal(limits[0].per_ms, 3600000);
    assert_int_equal(limits[1].isolations, 30);
    assert_int_equal(limits[1].per_ms, 86400000);
    assert_true(policy_uses(p, "isolate"));
    assert_true(policy_uses(p, "email"));
    assert_false(policy_uses(p, "page"));
    assert_false(policy_uses(p, "ask"));
    rig_clear(&r);
}

static void test_policy__safety_may_be_left_out(void **state)
{
    static const char *const texts[] = {
        "rules: [{name: a, do: [email: {}]}]",
        "rules: [{name: a, do: [email: {}]}]\nsafety:",
        "rules: [{name: a, do: [email: {}]}]\nsafety: {}",
        "rules: [{name: a, do: [email: {}]}]\nsafety: {protected: [], limits: []}",
        "rules: [{name: a, do: [email:]}]\nsafety: {mode: live}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct policy *p;
        struct rig r;
        size_t n = 7;

        rig_init(&r);
        p = good(&r, texts[i]);
        assert_false(policy_is_shadow(p));
        (void)policy_limits(p, &n);
        assert_int_equal(n, 0);
        rig_clear(&r);
    }
}

static void test_policy__shadow_mode(void **state)
{
    const struct policy *p;
    struct rig r;

    (void)state;
    rig_init(&r);
    p = good(&r, "rules: [{name: a, do: [email: {}]}]\nsafety: {mode: shadow}");
    assert_true(policy_is_shadow(p));
    rig_clear(&r);
}

static void hash_of(const char *text, char out[65])
{
    const struct policy *p;
    struct rig r;

    rig_init(&r);
    p = good(&r, text);
    memcpy(out, policy_hash(p), 65);
    rig_clear(&r);
}

static void test_policy__the_name_does_not_change_with_what_does_not_matter(void **state)
{
    static const char *const same[] = {
        "rules:\n  - name: a\n    when: {alert.severity: High, machine.os_build: 1}\n"
        "    do: [isolate: {type: full}]\n",
        "# a comment\nrules:\n- do:\n  - isolate: {type: \"full\"}\n"
        "  when:\n    alert.severity: 'High'\n    machine.os_build: 1   # another\n  name: a\n",
        "rules: [{name: a, when: {alert.severity: \"${LEVEL}\", machine.os_build: 1}, "
        "do: [isolate: {type: full}]}]",
    };
    static const char *const other[] = {
        /* the order of a condition is that of its explanation */
        "rules: [{name: a, when: {machine.os_build: 1, alert.severity: High}, "
        "do: [isolate: {type: full}]}]",
        "rules: [{name: b, when: {alert.severity: High, machine.os_build: 1}, "
        "do: [isolate: {type: full}]}]",
        "rules: [{name: a, when: {alert.severity: Low, machine.os_build: 1}, "
        "do: [isolate: {type: full}]}]",
        "rules: [{name: a, when: {alert.severity: [High], machine.os_build: 1}, "
        "do: [isolate: {type: full}]}]",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 10}, "
        "do: [isolate: {type: full}]}]",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 1}, "
        "do: [isolate: {type: selective}]}]",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 1}, do: [isolate: {}]}]",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 1}, "
        "do: [isolate: {type: full}, email: {}]}]",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 1}, "
        "do: [isolate: {type: full}]}, {name: z, do: [email: {}]}]",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 1}, "
        "do: [isolate: {type: full}]}]\nsafety: {mode: shadow}",
        "rules: [{name: a, when: {alert.severity: High, machine.os_build: 1}, "
        "do: [isolate: {type: full}]}]\nsafety: {protected: [machine.value: High]}",
    };
    char first[65], next[65];
    size_t n_other = sizeof other / sizeof other[0];

    (void)state;
    hash_of(same[0], first);
    for (size_t i = 1; i < sizeof same / sizeof same[0]; i++) {
        hash_of(same[i], next);
        assert_string_equal(next, first);
    }
    for (size_t i = 0; i < n_other; i++) {
        hash_of(other[i], next);
        assert_string_not_equal(next, first);
        for (size_t k = 0; k < i; k++) {
            hash_of(other[k], first);
            assert_string_not_equal(next, first);
        }
        hash_of(same[0], first);
    }
}

static void test_policy__the_name_is_the_same_on_every_machine(void **state)
{
    char hash[65];

    (void)state;
    /* printf '{"rules":[{"do":[{"email":{}}],"name":"a"}]}' | sha256sum */
    hash_of("rules: [{name: a, do: [email: {}]}]", hash);
    assert_string_equal(hash, "13cd819e3a083851151c0a8791757873010570b284023cdac94c7c870af02b90");
}

#define RULES(body) "rules:\n- " body
#define STEP(step)  "rules:\n- name: a\n  do:\n  - " step
#define SAFETY(s)   "rules: [{name: a, do: [email: {}]}]\nsafety:\n  " s
#define FIRST       "rules: [{name: a, when: {"

static void test_policy__every_fault_is_named_with_its_place(void **state)
{
    static const struct {
        const char *policy, *faults;
    } rows[] = {
        /* rules */
        {"safety: {}", "0:0: rules: expected a list of rules, one at least"},
        {"rules:\nsafety: {}", "1:1: rules: expected a list of rules, one at least"},
        {"rules: []", "1:8: rules: expected a list of rules, one at least"},
        {"rules: {a: b}", "1:8: rules: expected a list of rules, one at least"},
        {"rules: all", "1:8: rules: expected a list of rules, one at least"},
        {RULES("text"), "2:3: rule: expected a map of settings, found text"},
        {RULES("[a]"), "2:3: rule: expected a map of settings, found a list"},
        {RULES("do: [email: {}]"),
         "2:3: rule.name is missing: what verdicts and mails call the rule"},
        {RULES("name: a"), "2:3: rule.do is missing: a list of steps"},
        {RULES("{}"), "2:3: rule.do is missing: a list of steps\n"
                      "2:3: rule.name is missing: what verdicts and mails call the rule"},
        {RULES("name: a\n  wenn: {}\n  do: [email: {}]"),
         "3:3: rule.wenn: unknown key; expected one of name, when, mode, do"},
        {RULES("name: a\n  priority: 1\n  do: [email: {}]"),
         "3:3: rule.priority: unknown key; expected one of name, when, mode, do"},
        {RULES("name:\n  do: [email: {}]"), "2:3: rule.name is empty; expected text"},
        {RULES("name: ''\n  do: [email: {}]"), "2:9: rule.name is empty"},
        {RULES("name: [a]\n  do: [email: {}]"), "2:9: rule.name: expected text, found a list"},
        {RULES("name: Contain\n  do: [email: {}]"),
         "2:9: rule.name: expected at most 64 of a-z, 0-9 and '-', found 'Contain'"},
        {RULES("name: two words\n  do: [email: {}]"),
         "2:9: rule.name: expected at most 64 of a-z, 0-9 and '-', found 'two words'"},
        {RULES("name: a_b\n  do: [email: {}]"),
         "2:9: rule.name: expected at most 64 of a-z, 0-9 and '-', found 'a_b'"},
        {RULES("name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
               "  do: [email: {}]"),
         "2:9: rule.name: expected at most 64 of a-z, 0-9 and '-', found "
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"},
        {"rules:\n- {name: a, when: {tenant: x}, do: [email: {}]}\n- {name: a, do: [email: {}]}",
         "3:10: rule.name: 'a' is the rule in line 2 already"},
        {"rules:\n- {name: '${BUILD}', when: {tenant: x}, do: [email: {}]}\n"
         "- {name: '${NONE:-22631}', do: [email: {}]}",
         "3:10: rule.name: '22631' is the rule in line 2 already"},
        {"rules:\n- {name: a, do: [email: {}]}\n- {name: b, do: [email: {}]}",
         "3:3: no alert comes as far as this rule: rule 'a' above has no `when`"},
        {"rules:\n- {name: a, do: [email: {}]}\n- {name: b, do: [email: {}]}\n"
         "- {name: c, when: {tenant: x}, do: [email: {}]}",
         "3:3: no alert comes as far as this rule: rule 'a' above has no `when`\n"
         "4:3: no alert comes as far as this rule: rule 'b' above has no `when`"},
        /* when */
        {RULES("name: a\n  when:\n  do: [email: {}]"), "3:3: rule.when is empty"},
        {RULES("name: a\n  when: {}\n  do: [email: {}]"),
         "3:9: when: expected a map of fields, such as {alert.severity: High}"},
        {RULES("name: a\n  when: always\n  do: [email: {}]"),
         "3:9: when: expected a map of fields, such as {alert.severity: High}"},
        {RULES("name: a\n  when: [alert.severity: High]\n  do: [email: {}]"),
         "3:9: when: expected a map of fields, such as {alert.severity: High}"},
        {FIRST "alert.severity: Hihg}, do: [email: {}]}]",
         "1:42: alert.severity: 'Hihg' is no severity; did you mean High?"},
        {FIRST "alert.severty: High}, do: [email: {}]}]",
         "1:26: no such field 'alert.severty'; did you mean alert.severity?"},
        {FIRST "alert.title: {matches: x}}, do: [email: {}]}]",
         "1:40: alert.title: no such operator 'matches'; expected a plain value, in, not, glob, regex, "
         "in_file or exists"},
        {FIRST "alert.created: {older_than: 5x}}, do: [email: {}]}]",
         "1:54: alert.created: older_than: '5x' is not a time such as 30s, 5m, 4h or 3d"},
        /* do */
        {RULES("name: a\n  do:"), "3:3: rule.do is empty"},
        {RULES("name: a\n  do: []"), "3:7: rule.do: expected a list of steps, one at least"},
        {RULES("name: a\n  do: email"), "3:7: rule.do: expected a list of steps, one at least"},
        {RULES("name: a\n  do: {email: {}}"),
         "3:7: rule.do: expected a list of steps, one at least"},
        {STEP("email"), "4:5: rule.do: write email: {} for a step with nothing set"},
        {STEP("nothing"), "4:5: rule.do: expected a map of one step, such as email: {}"},
        {STEP("[email]"), "4:5: rule.do: expected a map of one step, such as email: {}"},
        {STEP("{}"), "4:5: rule.do: expected a map of one step, such as email: {}"},
        {STEP("{email: {}, isolate: {}}"),
         "4:5: rule.do: expected a map of one step, such as email: {}"},
        {STEP("isolat: {}"), "4:5: no such step 'isolat'; did you mean isolate?"},
        {STEP("mail: {}"), "4:5: no such step 'mail'; did you mean email?"},
        {STEP("Email: {}"), "4:5: no such step 'Email'; did you mean email?"},
        {STEP("reboot: {}"), "4:5: no such step 'reboot'; expected ask, email, isolate or page"},
        {STEP("isolate: {}\n  - isolate: {}"), "5:5: step 'isolate' stands twice in one rule"},
        /* what stands beside a step */
        {STEP("email: {}\n    if: {isolate: done}"),
         "5:10: if: no step before this one is called 'isolate'"},
        {STEP("isolate: {}\n  - email: {}\n    if: {isolat: done}"),
         "6:10: if: no step before this one is called 'isolat'; did you mean isolate?"},
        {STEP("isolate: {}\n  - email: {}\n    if: {isolate: gone}"),
         "6:19: if: expected done, failed, withheld or isolated, found 'gone'; did you mean done?"},
        {STEP("isolate: {}\n  - email: {}\n    if: {isolate: isolate}"),
         "6:19: if: expected done, failed, withheld or isolated, found 'isolate'; did you mean isolated?"},
        {STEP("email: {}\n  - page: {}\n    if: {email: isolated}"),
         "6:17: if: isolated is what an isolate may come to, not 'email'"},
        {STEP("isolate: {}\n  - email: {}\n    if: isolate"),
         "6:9: if: expected a step before this one and what it came to, such as {isolate: done}"},
        {STEP("isolate: {}\n    on_failure: halt"),
         "5:17: on_failure: expected stop, continue or ask, found 'halt'"},
        {STEP("isolate: {}\n    on_failure: continu"),
         "5:17: on_failure: expected stop, continue or ask, found 'continu'; did you mean continue?"},
        {STEP("on_failure: stop"), "4:5: rule.do: expected a map of one step, such as email: {}"},
        {STEP("isolate: {}\n    on_failur: stop"),
         "5:5: rule.do: 'on_failur' is nothing that stands beside a step; did you mean on_failure?"},
        {STEP("isolate: {}\n    retry: 3\n  - email: {}\n    unless: {isolate: done}"),
         "5:5: rule.do: 'retry' is nothing that stands beside a step; expected if or on_failure\n"
         "7:5: rule.do: 'unless' is nothing that stands beside a step; expected if or on_failure"},
        /* a setting that is not indented, or not in the braces */
        {STEP("isolate:\n    type: full"),
         "5:5: rule.do: 'type' stands beside the step, and is a setting of it: write isolate: {type: …}"},
        {STEP("{isolate: {}, comment: x, if: {email: done}}"),
         "4:19: rule.do: 'comment' stands beside the step, and is a setting of it: write isolate: "
         "{comment: …}"},
        {STEP("email: text"), "4:12: email: expected a map of settings, found text"},
        {STEP("email: [a]"), "4:12: email: expected a map of settings, found a list"},
        {STEP("page: {who: x}"), "4:12: page takes no settings"},
        /* arguments */
        {STEP("isolate: {typ: full}"),
         "4:15: isolate.typ: unknown key; did you mean isolate.type?"},
        {STEP("isolate: {force: true}"),
         "4:15: isolate.force: unknown key; expected one of type, comment"},
        {STEP("isolate: {type: ful}"),
         "4:21: isolate.type: expected one of full, selective, found 'ful'; "
         "did you mean full?"},
        {STEP("isolate: {type: Full}"),
         "4:21: isolate.type: expected one of full, selective, found "
         "'Full'; did you mean full?"},
        {STEP("isolate: {type: some}"),
         "4:21: isolate.type: expected one of full, selective, found 'some'"},
        {STEP("isolate: {type: }"),
         "4:15: isolate.type is empty; expected full, selective, or the key left out"},
        {STEP("isolate: {type: [full]}"),
         "4:21: isolate.type: expected full, selective, found a list"},
        {STEP("isolate: {comment: ''}"),
         "4:24: isolate.comment is empty; leave it out for the usual one"},
        {STEP("isolate: {comment: [a]}"), "4:24: isolate.comment: expected text, found a list"},
        {STEP("isolate: {comment: '{{alert.titel}}'}"),
         "4:24: isolate.comment: character 1: no such field 'alert.titel'; did you mean alert.title?"},
        {STEP("isolate: {comment: 'see {{alert.id'}"),
         "4:24: isolate.comment: character 5: '{{' without '}}'"},
        {STEP("isolate: {comment: '{{{alert.id}}}'}"),
         "4:24: isolate.comment: character 1: '{{{' means nothing here; write {{field}}"},
        {STEP("email: {subject: '{{machine.nam}}'}"),
         "4:22: email.subject: character 1: no such field 'machine.nam'; did you mean machine.name?"},
        {STEP("email: {body: '{{rule}}'}"),
         "4:19: email.body: character 1: no such field 'rule'; see `cordon fields`"},
        {STEP("email: {subject: \"${NONE}\"}"),
         "4:22: the environment has no NONE; set it, or give a "
         "default: ${NONE:-default}"},
        {STEP("email: {too: [a@b.example]}"),
         "4:13: email.too: unknown key; did you mean email.to?"},
        {STEP("email: {to: []}"),
         "4:17: email.to is an empty list; expected a list of mail addresses, or the key left out"},
        {STEP("email: {to: {a: b}}"),
         "4:17: email.to: expected a list of mail addresses, found a map"},
        {STEP("email: {to: }"), "4:13: email.to: expected a list of mail addresses, found nothing"},
        /* safety */
        {SAFETY("mod: live"), "3:3: safety.mod: unknown key; did you mean safety.mode?"},
        {SAFETY("mode: Shadow"),
         "3:9: safety.mode: expected one of live, shadow, found 'Shadow'; did you mean shadow?"},
        {SAFETY("mode: off"), "3:9: safety.mode: expected one of live, shadow, found 'off'"},
        {SAFETY("mode:"), "3:3: safety.mode is empty; expected live, shadow, or the key left out"},
        {"rules: [{name: a, do: [email: {}]}]\nsafety: live",
         "2:9: safety: expected a map of settings, found text"},
        {"rules: [{name: a, do: [email: {}]}]\nsafety: [a]",
         "2:9: safety: expected a map of settings, found a list"},
        {SAFETY("protected: {machine.value: High}"),
         "3:14: safety.protected: expected a list of maps of fields, such as {machine.tags: [tier-0]}"},
        {SAFETY("protected: [tier-0]"),
         "3:15: safety.protected: expected a map of fields, such as {alert.severity: High}"},
        {SAFETY("protected: [{}]"),
         "3:15: safety.protected: expected a map of fields, such as {alert.severity: High}"},
        {SAFETY("protected: [{machine.tag: x}]"),
         "3:16: no such field 'machine.tag'; did you mean machine.tags?"},
        {SAFETY("protected: [machine.value: Higher]"),
         "3:30: machine.value: 'Higher' is no value; did you mean High?"},
        {SAFETY("protected:"), "3:3: safety.protected is empty"},
        {SAFETY("limits: {isolations: 1, per: 1h}"),
         "3:11: safety.limits: expected a list of limits, such as {isolations: 10, per: 1h}"},
        {SAFETY("limits: [5]"), "3:12: limit: expected a map of settings, found text"},
        {SAFETY("limits: [{isolations: 5}]"), "3:12: limit.per is missing: within this time"},
        {SAFETY("limits: [{per: 1h}]"),
         "3:12: limit: expected either isolations or percent, such as {isolations: 10, per: 1h} or "
         "{percent: 5, per: 24h, of: group}"},
        {SAFETY("limits: [{isolations: many, per: 1h}]"),
         "3:25: limit.isolations: expected a whole number, found 'many'"},
        {SAFETY("limits: [{isolations: '5', per: 1h}]"),
         "3:25: limit.isolations: expected a whole number, found text in quotes"},
        {SAFETY("limits: [{isolations: 0, per: 1h}]"),
         "3:25: limit.isolations: 0 is too little; expected at least 1"},
        {SAFETY("limits: [{isolations: -5, per: 1h}]"),
         "3:25: limit.isolations: -5 is too little; expected at least 1"},
        {SAFETY("limits: [{isolations: 5, per: hour}]"),
         "3:33: limit.per: expected a time such as 30s, 5m, 4h or 3d, found 'hour'"},
        {SAFETY("limits: [{isolations: 5, per: 1s}]"),
         "3:33: limit.per: 1s is too little; expected at least 1m"},
        {SAFETY("limits: [{percent: 5, isolations: 5, per: 1h}]"),
         "3:12: limit: expected either isolations or percent, such as {isolations: 10, per: 1h} or "
         "{percent: 5, per: 24h, of: group}"},
        {SAFETY("limits: [{percent: 5, per: 1h}]"),
         "3:12: limit.percent: a share is one of a device group; add of: group"},
        {SAFETY("limits: [{percent: 101, per: 1h, of: group}]"),
         "3:22: limit.percent: 101 is too much; expected at most 100"},
        {SAFETY("limits: [{isolations: 5, per: 1h, of: rules}]"),
         "3:41: limit.of: expected one of all, tenant, rule, group, found 'rules'; did you mean "
         "rule?"},
        {SAFETY("storm: {machines: 5}"), "3:3: safety.storm.within is missing: within this time"},
        {SAFETY("storm: 5"), "3:10: safety.storm: expected a map of settings, found text"},
        {SAFETY("canary: 1001"), "3:11: safety.canary: 1001 is too much; expected at most 1000"},
        {SAFETY("pause_file: run/pause"),
         "3:15: safety.pause_file: expected a whole path, such as /var/lib/cordon/pause, found "
         "'run/pause'"},
        {SAFETY("limits: [{isolation: 5, per: 1h}]"),
         "3:13: limit.isolation: unknown key; did you mean limit.isolations?"},
        /* all of them at once */
        {"rules:\n- name: A\n  when: {alert.severity: Hgih}\n  do: [isolat: {}, email: {t: x}]\n"
         "safety: {mode: lve, limits: [{}]}",
         "2:9: rule.name: expected at most 64 of a-z, 0-9 and '-', found 'A'\n"
         "3:26: alert.severity: 'Hgih' is no severity; did you mean High?\n"
         "4:8: no such step 'isolat'; did you mean isolate?\n"
         "4:28: email.t: unknown key; expected one of to, subject, body\n"
         "5:16: safety.mode: expected one of live, shadow, found 'lve'; did you mean live?\n"
         "5:30: limit.per is missing: within this time"},
    };
    size_t wrong = 0;

    (void)state;
    assert_true(sizeof rows / sizeof rows[0] >= 80);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;

        rig_init(&r);
        if (compile(&r, rows[i].policy)) {
            print_error("taken:\n%s\n", rows[i].policy);
            wrong++;
        } else if (strcmp(rig_faults(&r), rows[i].faults) != 0) {
            print_error("%s\n  says     %s\n  expected %s\n", rows[i].policy, rig_faults(&r),
                        rows[i].faults);
            wrong++;
        }
        rig_clear(&r);
    }
    assert_int_equal(wrong, 0);
}

static void test_policy__a_bad_address_is_refused_in_the_words_of_the_mail_room(void **state)
{
    static const char *const addresses[] = {
        "soc",
        "a@b@c",
        "'a b@c.example'",
        "'a@c.example, b@c.example'",
        "'Bcc: x@c.example'",
        "'a@c.example\\nBcc: x'",
        "''",
        "'@c.example'",
        "'<a@c.example>'",
    };

    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct buf b = BUF_INIT(4096);
        struct rig r;

        rig_init(&r);
        buf_addf(&b, STEP("email: {to: [%s]}"), addresses[i]);
        assert_null(compile(&r, buf_text(&b)));
        assert_int_equal(r.faults.count, 1);
        assert_memory_equal(rig_faults(&r), "4:18: email.to", 14);
        buf_clear(&b);
        rig_clear(&r);
    }
}

static void test_policy__faults_do_not_depend_on_those_before(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    yaml_fault(&r.faults, rig_yaml(&r, "x"), "another room's fault");
    assert_non_null(compile(&r, starter));
    assert_int_equal(r.faults.count, 1);
    rig_clear(&r);
}

/* What a policy says of an alert of which little is known, with all doubts, to the byte. */
static const char *said(struct rig *r, const struct policy *p)
{
    AUTO(json_freep) struct json *alert = parse("{'id':'da1'}"), *machine = parse("{}");
    struct facts f = facts_of(alert, machine);
    struct verdict v;

    assert_int_equal(decide(p, &f, NOW, r->arena, &v, NULL), ERR_OK);
    return v.json;
}

/* What is kept of a policy is the policy: the same name, and the same rules. */
static void test_policy__is_restored_from_what_was_kept(void **state)
{
    static const char *const texts[] = {
        NULL, /* the contract's example */
        "rules: [{name: a, do: [email: {}]}]",
        "rules: [{name: a, when: {alert.severity: \"${LEVEL}\"}, do: [email: {subject: 'Bad: $${x}'}]}]",
        "rules: [{name: a, when: {machine.os_build: 22631}, do: [email:]}]",
        "rules: [{name: a, when: {machine.version: '10'}, do: [email:]}]",
        "rules: [{name: a, when: {machine.aad_joined: true, alert.title: 'true'}, do: [email:]}]",
        "rules: [{name: a, when: {alert.title: {exists: false}}, mode: shadow, do: [email: {}]}]\n"
        "safety: {mode: shadow, protected: [], limits: [{isolations: 3, per: 90m}]}",
        "rules: [{name: a, do: [ask: {people: 2, approvers: [a@b.example]}, isolate: {}]}]\n"
        "safety: {ask: {within: 90m}, storm: {machines: 3, within: 1h}, canary: 2, limits: "
        "[{percent: 5, per: 1d, of: group}], pause_file: /run/cordon/pause}",
        "rules: [{name: a, when: {machine.value: High, alert.severity: High}, do: [isolate: {}]}]\n"
        "safety: {protected: [{machine.os: x, alert.title: y}]}",
        "rules: [{name: a, when: {any: [{machine.value: High, alert.severity: High}]}, do: [email:]}]",
        "rules: [{name: a, when: {not: {machine.value: High, alert.severity: High}}, do: [email:]}]",
        "rules: [{name: a, when: {machine.os_build: \"${BUILD}\"}, do: [email:]}]",
        "rules: [{name: a, when: {machine.aad_joined: \"${JOINED:-true}\"}, do: [email:]}]",
        "rules: [{name: a, when: {any: [{alert.title: \"a\\n'b'\\\\ \\u00e4\"}, {not: {tenant: x}}]},"
        " do: [isolate: {comment: '{{alert.title}}'}, email: {to: a@b.example}]}]\nsafety:",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct policy *p, *again;
        struct err e = {0};
        struct rig r;

        rig_init(&r);
        p = good(&r, texts[i] ? texts[i] : starter);
        if (policy_restore(r.arena, policy_text(p), &again, &e))
            fail_msg("%s\nof: %s", e.text, policy_text(p));
        assert_string_equal(policy_hash(again), policy_hash(p));
        assert_string_equal(policy_text(again), policy_text(p));
        assert_int_equal(policy_is_shadow(again), policy_is_shadow(p));
        assert_string_equal(said(&r, again), said(&r, p));
        rig_clear(&r);
    }
}

static void test_policy__what_is_no_policy_is_not_restored(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "the policy as it was kept"},
        {"{", "the policy as it was kept"},
        {"{}", "this version of cordon does not take that policy: rules: expected a list"},
        {"{\"rules\":[{\"name\":\"a\",\"do\":[{\"teleport\":{}}]}]}",
         "this version of cordon does not take that policy: no such step 'teleport'"},
        {"{\"rules\":[{\"name\":\"a\",\"when\":{\"machine.name\":{\"in_file\":\"x\"}},"
         "\"do\":[{\"email\":{}}]}]}",
         "this version of cordon does not take that policy: machine.name.in_file: 'x' was not kept"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct policy *p = NULL;
        struct err e = {0};
        struct rig r;

        rig_init(&r);
        assert_int_not_equal(policy_restore(r.arena, rows[i].text, &p, &e), ERR_OK);
        assert_null(p);
        if (strncmp(e.text, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("%s: %s", rows[i].text, e.text);
        rig_clear(&r);
    }
}

static void test_policy__a_rule_that_no_alert_reaches_is_a_fault(void **state)
{
#define TWO(a, b) "rules:\n- {name: a, " a "do: [email: {}]}\n- {name: b, " b "do: [email: {}]}\n"
#define TAKEN                                                                                      \
    "no alert comes as far as this rule: rule 'a' above takes every one that it could match; put " \
    "the narrower rule first"
    static const struct {
        const char *text, *faults;
    } rows[] = {
        {TWO("when: {alert.severity: High}, ", "when: {alert.severity: Medium}, "), ""},
        {TWO("when: {alert.severity: High}, ", "when: {alert.severity: high}, "), "3:3: " TAKEN},
        {TWO("when: {alert.severity: High}, ",
             "when: {alert.severity: High, machine.os: Ubuntu}, "),
         "3:3: " TAKEN},
        {TWO("when: {alert.severity: High, machine.os: Ubuntu}, ",
             "when: {alert.severity: High}, "),
         ""},
        {TWO("when: {alert.severity: {at_least: Medium}}, ", "when: {alert.severity: High}, "),
         "3:3: " TAKEN},
        {TWO("when: {alert.severity: High}, mode: shadow, ", "when: {alert.severity: High}, "),
         "3:3: " TAKEN}, /* a rule in shadow mode gives its verdict all the same */
        {TWO("", ""), "3:3: no alert comes as far as this rule: rule 'a' above has no `when`"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;

        rig_init(&r);
        assert_int_equal(compile(&r, rows[i].text) == NULL, *rows[i].faults != '\0');
        assert_string_equal(rig_faults(&r), rows[i].faults);
        rig_clear(&r);
    }
}

static void test_policy__live_is_the_same_without_shadows(void **state)
{
    const struct policy *p, *live;
    struct rig r;

    (void)state;
    rig_init(&r);
    p = good(&r, "rules: [{name: a, mode: shadow, do: [isolate: {}]}]\nsafety: {mode: shadow}");
    live = policy_live(p, r.arena);
    assert_non_null(live);
    assert_false(policy_is_shadow(live));
    assert_true(policy_is_shadow(p));
    assert_string_equal(policy_hash(live), policy_hash(p));
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy__the_contract_s_example_compiles),
        cmocka_unit_test(test_policy__safety_may_be_left_out),
        cmocka_unit_test(test_policy__shadow_mode),
        cmocka_unit_test(test_policy__is_restored_from_what_was_kept),
        cmocka_unit_test(test_policy__what_is_no_policy_is_not_restored),
        cmocka_unit_test(test_policy__a_rule_that_no_alert_reaches_is_a_fault),
        cmocka_unit_test(test_policy__live_is_the_same_without_shadows),
        cmocka_unit_test(test_policy__the_name_does_not_change_with_what_does_not_matter),
        cmocka_unit_test(test_policy__the_name_is_the_same_on_every_machine),
        cmocka_unit_test(test_policy__every_fault_is_named_with_its_place),
        cmocka_unit_test(test_policy__a_bad_address_is_refused_in_the_words_of_the_mail_room),
        cmocka_unit_test(test_policy__faults_do_not_depend_on_those_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
