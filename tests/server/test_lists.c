/* test_lists.c - values that stand in files of their own, and the policy that is named with them. */
#include "lists.h"

#include <sys/stat.h>
#include <unistd.h>

#include "decide.h"
#include "match.h"
#include "policy.h"
#include "policy_kit.h"

#define M1 "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define M2 "0000000000000000000000000000000000000002"

static char folder[100], list[140];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_lists.XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(list, sizeof list, "%s/list", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(list);
    return rmdir(folder);
}

static void put(const char *text, size_t len)
{
    FILE *f = fopen(list, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Text as a tree of a file that lies in the folder, so that `list` is found beside it. */
static struct yaml_node *tree(struct rig *r, const char *text)
{
    const char *file = arena_fmt(r->arena, "%s/cordon.yaml", folder);
    struct yaml_node *root = NULL;
    struct err e = {0};

    if (yaml_read(r->arena, file, text, strlen(text), &root, &e))
        fail_msg("%s", e.text);
    return root;
}

static const struct condition *compile(struct rig *r, const char *when)
{
    const struct condition *c = condition_compile(&r->reader, tree(r, when), "when");

    if (!c)
        fail_msg("%s", rig_faults(r));
    return c;
}

static const struct policy *compile_policy(struct rig *r, const char *text)
{
    const struct yaml_node *root = tree(r, text);
    const struct policy *p =
        policy_compile(&r->reader, yaml_get(root, "rules"), yaml_get(root, "safety"));

    if (!p)
        fail_msg("%s", rig_faults(r));
    return p;
}

static enum truth judge(struct rig *r, const char *when, const char *machine)
{
    AUTO(json_freep) struct json *alert = parse("{}"), *m = parse(machine);
    const struct condition *c = compile(r, when);
    struct facts f = facts_of(alert, m);
    struct match match;

    assert_int_equal(condition_match(c, &f, NOW, r->arena, &match), ERR_OK);
    assert_string_equal(match.predicates[0].op, "in_file");
    assert_string_equal(match.predicates[0].wanted, "\"list\"");
    return match.result;
}

static void test_lists__one_value_a_line(void **state)
{
    static const char ids[] = "\xef\xbb\xbf# our servers\r\n"
                              "\r\n"
                              "  9C1F6F3D2B7A4E58A0D4C3B2E1F0A9B8C7D6E5F4\t# dc-1\r\n"
                              "0000000000000000000000000000000000000002";
    static const char names[] = "dc-1.corp.example\nc#-build # a hash inside is a letter\n"
                                "\xc3\x84rende\n";
    static const char nets[] = "10.0.0.0/24\n192.0.2.7\n2001:db8::/32\n";
    static const struct {
        const char *text, *when, *machine;
        enum truth truth;
    } rows[] = {
        {ids, "machine.id: {in_file: list}", "{'id':'" M1 "'}", TRUTH_TRUE},
        {ids, "machine.id: {in_file: list}", "{'id':'" M2 "'}", TRUTH_TRUE},
        {ids, "machine.id: {in_file: list}", "{'id':'0000000000000000000000000000000000000003'}",
         TRUTH_FALSE},
        {ids, "machine.id: {in_file: list}", "{}", TRUTH_UNKNOWN},
        {ids, "machine.id: {not: {in_file: list}}", "{'id':'" M1 "'}", TRUTH_FALSE},
        {names, "machine.name: {in_file: list}", "{'computerDnsName':'DC-1.corp.example'}",
         TRUTH_TRUE},
        {names, "machine.name: {in_file: list}", "{'computerDnsName':'C#-Build'}", TRUTH_TRUE},
        {names, "machine.name: {in_file: list}", "{'computerDnsName':'\xc3\xa4rende'}", TRUTH_TRUE},
        {names, "machine.name: {in_file: list}", "{'computerDnsName':'dc-1'}", TRUTH_FALSE},
        {names, "machine.tags: {in_file: list}", "{'machineTags':['x','dc-1.corp.example']}",
         TRUTH_TRUE},
        {nets, "machine.ip: {in_file: list}", "{'lastIpAddress':'10.0.0.9'}", TRUTH_TRUE},
        {nets, "machine.ip: {in_file: list}", "{'lastIpAddress':'10.0.1.9'}", TRUTH_FALSE},
        {nets, "machine.ip: {in_file: list}", "{'lastIpAddress':'192.0.2.7'}", TRUTH_TRUE},
        {nets, "machine.ip: {in_file: list}", "{'lastIpAddress':'192.0.2.8'}", TRUTH_FALSE},
        {nets, "machine.ips: {in_file: list}",
         "{'ipAddresses':[{'ipAddress':'1.1.1.1'},{'ipAddress':'2001:db8::5'}]}", TRUTH_TRUE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;

        rig_init(&r);
        put(rows[i].text, strlen(rows[i].text));
        if (judge(&r, rows[i].when, rows[i].machine) != rows[i].truth)
            fail_msg("%s over %s", rows[i].when, rows[i].machine);
        rig_clear(&r);
    }
}

static void test_lists__faults_name_the_line_of_the_list(void **state)
{
    static const struct {
        const char *text, *when, *fault;
    } rows[] = {
        {"# nothing\n\n", "machine.name: {in_file: list}",
         "1:25: LIST holds no value; an empty list matches nothing"},
        {M1 "\n\nws-114\n", "machine.id: {in_file: list}",
         "3:1: machine.id: 'ws-114' is no machine id (40 hexadecimal digits); names are compared by "
         "machine.name"},
        {"10.0.0.0/24\n10.0.0.1/24\n", "machine.ip: {in_file: list}",
         "2:1: machine.ip: in_file: '10.0.0.1/24'"},
        {"a\n${HOME}\n", "machine.name: {in_file: list}",
         "2:1: machine.name: a list takes nothing from the environment"},
        {"a\n", "machine.name: {in_file: other}", "1:25: machine.name.in_file: cannot read "},
        {"a\n", "machine.name: {in_file: [list]}",
         "1:25: machine.name.in_file: expected a file, found a list"},
        {"a\n", "alert.severity: {in_file: list}",
         "1:18: alert.severity is a level: in_file does not apply; it takes "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *place = strstr(rows[i].fault, "LIST");
        AUTO(buf_clear) struct buf b = BUF_INIT(1000);
        const char *expected;
        struct rig r;

        rig_init(&r);
        put(rows[i].text, strlen(rows[i].text));
        buf_add(&b, rows[i].fault, place ? (size_t)(place - rows[i].fault) : strlen(rows[i].fault));
        if (place)
            buf_addf(&b, "%s%s", list, place + 4);
        expected = buf_text(&b);
        assert_null(condition_compile(&r.reader, tree(&r, rows[i].when), "when"));
        assert_int_equal(r.faults.count, 1);
        if (strncmp(rig_faults(&r), expected, strlen(expected)) != 0)
            fail_msg("%s: %s\nexpected %s", rows[i].when, rig_faults(&r), expected);
        rig_clear(&r);
    }
}

static void test_lists__a_file_that_is_no_list_is_a_fault(void **state)
{
    char *large = malloc(LIST_FILE_MAX + 1);
    struct rig r;

    (void)state;
    assert_non_null(large);
    memset(large, 'a', LIST_FILE_MAX + 1);
    for (size_t i = 0; i < LIST_FILE_MAX; i += 64)
        large[i] = '\n';
    for (int over = 0; over <= 1; over++) {
        rig_init(&r);
        put(large, (size_t)LIST_FILE_MAX + (size_t)over);
        assert_int_equal(
            !condition_compile(&r.reader, tree(&r, "machine.name: {in_file: list}"), "when"), over);
        rig_clear(&r);
    }
    rig_init(&r);
    put("a\0b\n", 4);
    assert_null(condition_compile(&r.reader, tree(&r, "machine.name: {in_file: list}"), "when"));
    assert_non_null(strstr(rig_faults(&r), "it holds a NUL"));
    rig_clear(&r);
    free(large);
}

#define POLICY                                                                                     \
    "rules: [{name: a, do: [isolate: {}]}]\n"                                                      \
    "safety: {protected: [{machine.id: {in_file: list}}, {machine.name: {not: {in_file: list}}}]}\n"

static void test_lists__what_they_hold_is_part_of_the_policy(void **state)
{
    const struct policy *p, *again, *other;
    char hash[65];
    struct rig r;
    struct err e = {0};

    (void)state;
    rig_init(&r);
    put(M1 "\n", 41);
    p = compile_policy(&r, POLICY);
    (void)snprintf(hash, sizeof hash, "%s", policy_hash(p));
    assert_non_null(strstr(policy_text(p), "\"lists\":{\"list\":[\"" M1 "\"]}"));

    put("# a comment changes nothing\n" M1 "\n", 28 + 41);
    other = compile_policy(&r, POLICY);
    assert_string_equal(policy_hash(other), hash);
    put(M2 "\n", 41);
    other = compile_policy(&r, POLICY);
    assert_string_not_equal(policy_hash(other), hash);

    /* years later: the file is gone, and the policy is not */
    assert_int_equal(unlink(list), 0);
    if (policy_restore(r.arena, policy_text(p), &again, &e))
        fail_msg("%s", e.text);
    assert_string_equal(policy_hash(again), hash);
    {
        AUTO(json_freep)
        struct json *alert = parse("{'id':'da1','machineId':'" M1 "'}"),
                    *machine = parse("{'id':'" M1 "','computerDnsName':'" M1 "'}");
        struct facts f = facts_of(alert, machine);
        struct verdict v;

        assert_int_equal(decide(again, &f, NOW, r.arena, &v, NULL), ERR_OK);
        assert_string_equal(v.steps[0].withheld, "protected: machine.id is " M1);
    }
    rig_clear(&r);
}

/* match_implies.c: a rule that a list makes needless is one that a list of the same values would. */
static void test_lists__one_may_be_within_another(void **state)
{
    static const struct {
        const char *field, *narrow, *wide;
        bool proven;
    } rows[] = {
        {"machine.name", "dc-1\n", "dc-2\nDC-1\n", true},
        {"machine.name", "dc-2\ndc-1\n", "dc-1\n", false},
        {"machine.ip", "10.1.0.0/16\n", "192.0.2.0/24\n10.0.0.0/8\n", true},
        {"machine.ip", "10.1.0.0/16\n", "10.1.0.0/24\n", false},
        {"machine.ip", "10.1.0.0/16\n192.0.2.1\n", "10.1.0.0/16\n", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct condition *narrow, *wide;
        const char *when;
        struct rig r;

        rig_init(&r);
        when = arena_fmt(r.arena, "%s: {in_file: list}", rows[i].field);
        put(rows[i].narrow, strlen(rows[i].narrow));
        narrow = compile(&r, when);
        put(rows[i].wide, strlen(rows[i].wide));
        wide = compile(&r, when);
        if (condition_implies(narrow, wide, NULL) != rows[i].proven)
            fail_msg("row %zu", i);
        assert_true(condition_implies(wide, wide, NULL));
        rig_clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists__one_value_a_line),
        cmocka_unit_test(test_lists__faults_name_the_line_of_the_list),
        cmocka_unit_test(test_lists__a_file_that_is_no_list_is_a_fault),
        cmocka_unit_test(test_lists__what_they_hold_is_part_of_the_policy),
        cmocka_unit_test(test_lists__one_may_be_within_another),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
