/* test_match_implies.c - which condition another makes needless: what is proven is so for all facts. */
#include "match.h"

#include "policy_kit.h"

static const struct condition *compile(struct rig *r, const char *text)
{
    const struct condition *c = condition_compile(&r->reader, rig_yaml(r, text), "when");

    if (!c)
        fail_msg("%s\nin: %s", rig_faults(r), text);
    return c;
}

static void test_match_implies__what_is_proven_and_what_is_not(void **state)
{
    static const struct {
        const char *narrow, *wide;
        bool proven;
    } rows[] = {
        {"alert.severity: High", "alert.severity: High", true},
        {"alert.severity: high", "alert.severity: HIGH", true},
        {"alert.severity: High", "alert.severity: Low", false},
        {"alert.severity: High", "alert.severity: [Medium, High]", true},
        {"alert.severity: [Medium, High]", "alert.severity: High", false},
        {"alert.severity: {in: [High]}", "alert.severity: High", true},
        {"alert.severity: High", "alert.severity: {at_least: Medium}", true},
        {"alert.severity: [High, Low]", "alert.severity: {at_least: Medium}", false},
        {"alert.severity: {at_least: High}", "alert.severity: {at_least: Medium}", true},
        {"alert.severity: {at_least: Medium}", "alert.severity: {at_least: High}", false},
        {"alert.severity: {at_most: Low}", "alert.severity: {at_most: Medium}", true},
        {"alert.severity: High", "alert.severity: {not: Low}", true},
        {"alert.severity: [High, Low]", "alert.severity: {not: Low}", false},
        {"alert.severity: {not: [Low, High]}", "alert.severity: {not: Low}", true},
        {"alert.severity: {not: Low}", "alert.severity: {not: [Low, High]}", false},
        {"machine.tags: web", "machine.tags: {not: lab}", false}, /* a machine may have both */
        {"machine.tags: web", "machine.tags: [lab, Web]", true},
        {"alert.title: \xc3\x84", "alert.title: \xc3\x84", true},
        {"alert.title: a", "alert.title: {not: \xc3\x84}", false},
        {"alert.title: {glob: 'a*'}", "alert.title: {glob: 'a*'}", true},
        {"alert.title: {glob: 'ab*'}", "alert.title: {glob: 'a*'}", false}, /* so, but not proven */
        {"alert.title: abc", "alert.title: {glob: 'a*'}", false},
        {"alert.title: {glob: ['a*', 'b*']}", "alert.title: {glob: 'a*'}", false},
        {"alert.title: {glob: 'a*'}", "alert.title: {glob: ['a*', 'b*']}", false}, /* likewise */
        {"alert.title: {regex: x}", "alert.title: {regex: x}", true},
        {"alert.title: x", "alert.title: {exists: true}", false}, /* no title: unknown, and false */
        {"alert.title: {exists: true}", "alert.title: {exists: true}", true},
        {"alert.title: {exists: true}", "alert.title: {exists: false}", false},
        {"alert.incident_id: 7", "alert.incident_id: {at_most: 7}", true},
        {"alert.incident_id: 7", "alert.incident_id: {at_most: 6}", false},
        {"machine.ip: 10.1.2.3", "machine.ip: [192.0.2.1, 10.1.2.3]", true},
        {"machine.ip: 10.1.2.3", "machine.ip: [192.0.2.1, 10.1.2.4]", false},
        {"machine.ip: 10.1.2.3", "machine.ip: {not: 10.1.2.4}", true},
        {"machine.ip: 10.1.2.3", "machine.ip: {not: 10.1.2.3}", false},
        {"machine.ip: {cidr: 10.1.0.0/16}", "machine.ip: {cidr: 10.0.0.0/8}", true},
        {"machine.ip: {cidr: 10.0.0.0/8}", "machine.ip: {cidr: 10.1.0.0/16}", false},
        {"machine.ip: {cidr: [10.1.0.0/16, 192.0.2.0/24]}",
         "machine.ip: {cidr: [10.0.0.0/8, 192.0.2.0/24]}", true},
        {"alert.created: {older_than: 2h}", "alert.created: {older_than: 1h}", true},
        {"alert.created: {older_than: 1h}", "alert.created: {older_than: 2h}", false},
        {"alert.created: {newer_than: 1h}", "alert.created: {newer_than: 2h}", true},
        {"{alert.severity: High, machine.os: Ubuntu}", "alert.severity: High", true},
        {"alert.severity: High", "{alert.severity: High, machine.os: Ubuntu}", false},
        {"{machine.os: Ubuntu, alert.severity: High}", "{alert.severity: High, machine.os: Ubuntu}",
         true},
        {"alert.severity: High", "any: [{alert.severity: High}, {machine.os: Ubuntu}]", true},
        {"any: [{alert.severity: High}, {machine.os: Ubuntu}]", "alert.severity: High", false},
        {"any: [{alert.severity: High}, {alert.severity: Medium}]",
         "alert.severity: {at_least: Low}", true},
        {"any: [{machine.os: a}, {machine.os: b}]", "any: [{machine.os: b}, {machine.os: a}]",
         true},
        {"not: {machine.os: [a, b]}", "not: {machine.os: a}", true},
        {"not: {machine.os: a}", "not: {machine.os: [a, b]}", false},
        {"alert.title: {not: {glob: 'a*'}}", "alert.title: {not: {glob: 'a*'}}", true},
        {"alert.title: x", "alert.description: x", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;

        rig_init(&r);
        if (condition_implies(compile(&r, rows[i].narrow), compile(&r, rows[i].wide), NULL) !=
            rows[i].proven)
            fail_msg("%s => %s", rows[i].narrow, rows[i].wide);
        rig_clear(&r);
    }
}

static const char *const leaves[] = {
    "alert.severity: High",
    "alert.severity: [High, Medium]",
    "alert.severity: {at_least: Medium}",
    "alert.severity: {at_most: Medium}",
    "alert.severity: {not: Low}",
    "alert.severity: {not: [Low, Medium]}",
    "machine.tags: a",
    "machine.tags: [a, b]",
    "machine.tags: {not: b}",
    "machine.tags: {not: [a, b]}",
    "machine.tags: {glob: 'a*'}",
    "machine.tags: {exists: true}",
    "machine.os_build: 7",
    "machine.os_build: {at_least: 5}",
    "machine.os_build: {at_least: 7}",
    "machine.os_build: {not: 7}",
    "machine.ip: {cidr: 10.0.0.0/8}",
    "machine.ip: {cidr: 10.1.0.0/16}",
    "alert.created: {older_than: 1h}",
    "alert.created: {older_than: 2h}",
    "alert.created: {newer_than: 1h}",
};

static void grow(struct buf *b, unsigned *seed, int depth)
{
    static const char *const heads[] = {"all: [{", "any: [{", "not: {"};
    int kind = depth ? rand_r(seed) % 5 : 4;

    if (kind > 2) {
        buf_adds(b, leaves[(size_t)rand_r(seed) % (sizeof leaves / sizeof leaves[0])]);
        return;
    }
    buf_adds(b, heads[kind]);
    grow(b, seed, depth - 1);
    for (int n = rand_r(seed) % 2; kind < 2 && n > 0; n--) {
        buf_adds(b, "}, {");
        grow(b, seed, depth - 1);
    }
    buf_adds(b, kind < 2 ? "}]" : "}");
}

/* Facts of every kind: what is there, what is missing, what nobody knows. */
static void test_match_implies__is_never_wrong(void **state)
{
    static const char *const severities[] = {"null", "'Low'", "'Medium'", "'High'", "'Worst'"};
    static const char *const tags[] = {"null", "[]", "['a']", "['b']", "['a','b']", "['c',7]"};
    static const char *const builds[] = {"null", "3", "5", "7", "9", "'x'"};
    static const char *const ips[] = {"null", "'10.1.2.3'", "'10.2.0.1'", "'192.0.2.1'", "'x'"};
    static const char *const times[] = {"null", "'2024-12-31T23:30:00Z'", "'2024-12-31T22:30:00Z'",
                                        "'2024-12-31T21:30:00Z'", "'x'"};
    unsigned seed = 5;
    size_t proven = 0;

    (void)state;
    for (int n = 0; n < 6000; n++) {
        AUTO(buf_clear) struct buf narrow = BUF_INIT(65536), wide = BUF_INIT(65536);
        const struct condition *a, *b;
        struct rig r;

        grow(&narrow, &seed, 2);
        grow(&wide, &seed, 2);
        rig_init(&r);
        a = compile(&r, buf_text(&narrow));
        b = compile(&r, buf_text(&wide));
        assert_true(condition_implies(a, a, NULL));
        for (int k = 0; condition_implies(a, b, NULL) && k < 60; k++) {
            char text[300];
            AUTO(json_freep) struct json *alert = NULL, *machine = NULL;
            struct match x, y;
            struct facts f;

            proven += k == 0;
            (void)snprintf(text, sizeof text, "{'severity':%s,'alertCreationTime':%s}",
                           severities[rand_r(&seed) % 5], times[rand_r(&seed) % 5]);
            alert = parse(text);
            (void)snprintf(text, sizeof text, "{'machineTags':%s,'osBuild':%s,'lastIpAddress':%s}",
                           tags[rand_r(&seed) % 6], builds[rand_r(&seed) % 6],
                           ips[rand_r(&seed) % 5]);
            machine = parse(text);
            f = facts_of(alert, machine);
            assert_int_equal(condition_match(a, &f, NOW, r.arena, &x), ERR_OK);
            assert_int_equal(condition_match(b, &f, NOW, r.arena, &y), ERR_OK);
            if (x.result > y.result)
                fail_msg("%s => %s, but %s and %s over %s", buf_text(&narrow), buf_text(&wide),
                         truth_name(x.result), truth_name(y.result), text);
        }
        rig_clear(&r);
    }
    assert_true(proven > 100); /* the grammar gives pairs that can be proven */
}

/* machine.tags: [t0, t1, …], or the same from its end. */
static const struct condition *compile_many(struct rig *r, int n, bool backwards)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(1024 * 1024);

    buf_adds(&text, "machine.tags: [");
    for (int i = 0; i < n; i++)
        buf_addf(&text, "%st%d", i ? ", " : "", backwards ? n - 1 - i : i);
    buf_adds(&text, "]");
    return compile(r, buf_text(&text));
}

/* Each rule is held against all above it, and a list may have as many lines as 1 MiB has. */
static void test_match_implies__long_lists_cost_no_seconds(void **state)
{
    enum { FEW = 900, MANY = 20000 };
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_true(condition_implies(compile_many(&r, FEW, false), compile_many(&r, FEW, true), NULL));
    assert_true(
        condition_implies(compile_many(&r, MANY, false), compile_many(&r, MANY, false), NULL));
    assert_true(condition_implies(compile(&r, "machine.tags: [t7, t19999]"),
                                  compile_many(&r, MANY, false), NULL));
    /* so, but not proven: it would take 400 million comparisons */
    assert_false(
        condition_implies(compile_many(&r, MANY, false), compile_many(&r, MANY, true), NULL));
    rig_clear(&r);
}

/* Hundreds of rules are hundreds of hundreds of pairs: what may be tried is for all of them. Nothing is proven by an end. */
static void test_match_implies__all_pairs_together_come_to_an_end(void **state)
{
    static const char *const apart[] = {"machine.name: [a, b, c]",
                                        "machine.name: {not: [d, e, f]}"};
    static const char *const nets[] = {
        "machine.ip: {cidr: [10.1.0.0/16, 10.2.0.0/16]}",
        "machine.ip: {cidr: [10.2.0.0/15, 10.1.0.0/16, 10.2.0.0/16]}"};
    const struct condition *there, *back;
    size_t left = CONDITION_TRIES, pairs = 0;
    struct rig r;

    (void)state;
    rig_init(&r);
    there = compile_many(&r, 900, false);
    back = compile_many(&r, 900, true);
    while (condition_implies(there, back, &left))
        pairs++;
    assert_int_equal(left, 0);
    assert_in_range(pairs, 200, 300); /* half of 900 * 900 each */
    assert_false(condition_implies(there, there, &left));
    for (int i = 0; i < 2; i++) {
        const char *const *pair = i ? nets : apart;
        size_t n = 0;

        do
            left = n++;
        while (!condition_implies(compile(&r, pair[0]), compile(&r, pair[1]), &left));
        assert_in_range(n, 5, 20); /* that many are needed, and no fewer will do */
    }
    rig_clear(&r);
}

/* {word: [{word: [… {inner} …]}]} */
static const struct condition *compile_deep(struct rig *r, const char *word, const char *inner)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(4096);

    for (int i = 0; i < CONDITION_DEPTH_MAX - 1; i++)
        buf_addf(&text, "{%s: [", word);
    buf_addf(&text, "{%s}", inner);
    for (int i = 0; i < CONDITION_DEPTH_MAX - 1; i++)
        buf_adds(&text, "]}");
    return compile(r, buf_text(&text));
}

/* There are 10 ^ 12 ways to go down both. */
static void test_match_implies__deep_conditions_come_to_an_end(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_true(condition_implies(compile_deep(&r, "all", "alert.severity: High"),
                                  compile_deep(&r, "any", "alert.severity: High"), NULL));
    assert_false(condition_implies(compile_deep(&r, "all", "alert.severity: High"),
                                   compile_deep(&r, "any", "alert.severity: Low"), NULL));
    rig_clear(&r);
}

static void test_match_implies__a_text_that_must_be(void **state)
{
    static const struct {
        const char *when;
        bool demanded;
    } rows[] = {
        {"source: flow", true},
        {"{source: Flow, alert.severity: High}", true},
        {"source: [flow, relay]", false},
        {"any: [{source: flow}, {source: flow, alert.severity: High}]", true},
        {"any: [{source: flow}, {alert.severity: High}]", false},
        {"alert.severity: High", false},
        {"not: {source: flow}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;

        rig_init(&r);
        if (condition_demands(compile(&r, rows[i].when), "source", "flow") != rows[i].demanded)
            fail_msg("%s", rows[i].when);
        rig_clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match_implies__what_is_proven_and_what_is_not),
        cmocka_unit_test(test_match_implies__is_never_wrong),
        cmocka_unit_test(test_match_implies__long_lists_cost_no_seconds),
        cmocka_unit_test(test_match_implies__all_pairs_together_come_to_an_end),
        cmocka_unit_test(test_match_implies__deep_conditions_come_to_an_end),
        cmocka_unit_test(test_match_implies__a_text_that_must_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
