/* test_backtest.c - what a policy would have done, in the parts that people and brakes have in it. The counting over
 * thousands of alerts is held against an independent count in tests/e2e/test_backtest.c. */
#include "backtest.h"

#include "clock.h"
#include "handlers_kit.h"
#include "policy_kit.h"

#define ISOLATES "rules: [{name: a, do: [isolate: {}]}]\n"

static const struct policy *compile(struct rig *r, const char *text)
{
    const struct yaml_node *root = rig_yaml(r, text);
    const struct policy *p =
        policy_compile(&r->reader, yaml_get(root, "rules"), yaml_get(root, "safety"));

    if (!p)
        fail_msg("%s\nin: %s", rig_faults(r), text);
    return p;
}

/* One alert on a machine of a group, so many minutes after the beginning. */
static void add(struct rig *r, struct backtest *b, int minute, int machine, const char *group,
                const char *detector)
{
    AUTO(json_freep)
    struct json *alert = parse(
        arena_fmt(r->arena, "{'id':'da1','severity':'High','machineId':'%040d','detectorId':'%s'}",
                  machine, detector));
    AUTO(json_freep)
    struct json *doc = parse(arena_fmt(
        r->arena, "{'id':'%040d','osPlatform':'Windows11','rbacGroupName':'%s'}", machine, group));
    const struct facts f = {.tenant = "contoso",
                            .source = "relay",
                            .may_isolate = true,
                            .alert_id = "da1",
                            .alert = alert,
                            .machine = doc,
                            .read_ms = NOW + minute * MINUTE_MS};

    assert_int_equal(backtest_add(b, &f, NULL), ERR_OK);
}

struct move {
    int minute, machine;
    const char *group, *detector;
};

/* What the outcome says of isolations, and of the first limit. */
static const char *outcome(struct rig *r, const char *policy, const struct move *moves)
{
    AUTO(backtest_freep) struct backtest *b = NULL;
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    AUTO(json_freep) struct json *doc = NULL;
    const struct json *n, *l;
    int64_t of[5] = {0};
    const char *const names[] = {"requested", "joined", "over_limit", "asked", "storm"};

    assert_int_equal(backtest_new(compile(r, policy), NOW, NOW + DAY_MS, &b, NULL), ERR_OK);
    for (const struct move *m = moves; m->group; m++)
        add(r, b, m->minute, m->machine, m->group, m->detector);
    backtest_write(b, &out);
    assert_int_equal(json_parse(buf_text(&out), out.len, &doc, NULL), ERR_OK);
    n = json_get(doc, "isolations");
    for (size_t i = 0; i < 5; i++)
        assert_true(json_int64(json_get(n, names[i]), &of[i]));
    l = json_first(json_get(doc, "limits"));
    return arena_fmt(r->arena,
                     "%lld requested, %lld joined, %lld over, %lld asked, %lld storm, %lld hits, "
                     "most %lld",
                     (long long)of[0], (long long)of[1], (long long)of[2], (long long)of[3],
                     (long long)of[4], (long long)json_get_int64(l, "hits", 0),
                     (long long)json_get_int64(l, "most", 0));
}

static const struct move six[] = {
    {0, 1, "Desks", "d1"}, {1, 2, "Desks", "d1"}, {2, 3, "Desks", "d2"}, {3, 4, "Labs", "d1"},
    {4, 5, "Labs", "d1"},  {5, 1, "Desks", "d1"}, {0, 0, NULL, NULL}};

static void test_backtest__limits_count_what_they_are_of(void **state)
{
    static const struct {
        const char *policy, *says;
    } rows[] = {
        {ISOLATES "safety: {limits: [{isolations: 2, per: 1h}]}",
         "2 requested, 1 joined, 3 over, 0 asked, 0 storm, 3 hits, most 2"},
        {ISOLATES "safety: {limits: [{isolations: 2, per: 1h, of: group}]}",
         "4 requested, 1 joined, 1 over, 0 asked, 0 storm, 1 hits, most 2"},
        {ISOLATES "safety: {limits: [{isolations: 3, per: 1h, of: tenant}]}",
         "3 requested, 1 joined, 2 over, 0 asked, 0 storm, 2 hits, most 3"},
        {ISOLATES "safety: {limits: [{isolations: 4, per: 1h, of: rule}]}",
         "4 requested, 1 joined, 1 over, 0 asked, 0 storm, 1 hits, most 4"},
        /* of 3 machines of Desks one, of 2 of Labs one: never none */
        {ISOLATES "safety: {limits: [{percent: 40, per: 1h, of: group}]}",
         "2 requested, 1 joined, 3 over, 0 asked, 0 storm, 3 hits, most 1"},
        {ISOLATES "safety: {limits: [{percent: 70, per: 1h, of: group}]}",
         "3 requested, 1 joined, 2 over, 0 asked, 0 storm, 2 hits, most 2"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_init(&r);
        assert_string_equal(outcome(&r, rows[i].policy, six), rows[i].says);
        rig_clear(&r);
    }
}

/* What a share is of: each machine that an alert was about, whatever came of that. */
static void test_backtest__a_group_is_all_its_machines_that_were_seen(void **state)
{
    static const struct move moves[] = {
        {0, 1, "Desks", "d1"}, {1, 2, "Desks", "d1"}, {2, 3, "Desks", "d1"},
        {3, 4, "Desks", "d1"}, {4, 5, "Desks", "d2"}, {5, 6, "Desks", "d2"},
        {6, 5, "Desks", "d2"}, {7, 7, "Desks", "d2"}, {0, 0, NULL, NULL}};
    struct rig r;

    (void)state;
    rig_init(&r);
    /* half of five, then of six and of seven */
    assert_string_equal(
        outcome(&r,
                "rules: [{name: a, when: {alert.detector_id: d2}, do: [isolate: {}]}]\n"
                "safety: {limits: [{percent: 50, per: 1h, of: group}]}",
                moves),
        "3 requested, 1 joined, 0 over, 0 asked, 0 storm, 0 hits, most 3");
    rig_clear(&r);
}

/* In no group, by both of Defender's words for that. */
static void test_backtest__machines_in_no_group_are_one_group(void **state)
{
    static const struct move moves[] = {
        {0, 1, "", "d1"}, {1, 2, "UnassignedGroup", "d1"}, {0, 0, NULL, NULL}};
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_string_equal(
        outcome(&r, ISOLATES "safety: {limits: [{isolations: 1, per: 1h, of: group}]}", moves),
        "1 requested, 0 joined, 1 over, 0 asked, 0 storm, 1 hits, most 1");
    rig_clear(&r);
}

/* d1 fires on four machines; the third within ten minutes is one too many, and half an hour on it is the first. */
static void test_backtest__a_storm_is_one_detector_on_many_machines(void **state)
{
    static const struct move moves[] = {{0, 1, "Desks", "d1"}, {1, 2, "Desks", "d1"},
                                        {2, 3, "Desks", "d2"}, {3, 4, "Labs", "d1"},
                                        {40, 5, "Labs", "d1"}, {0, 0, NULL, NULL}};
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_string_equal(outcome(&r, ISOLATES "safety: {storm: {machines: 2, within: 10m}}", moves),
                        "4 requested, 0 joined, 0 over, 0 asked, 1 storm, 0 hits, most 0");
    rig_clear(&r);
}

/* What hangs on a failure does not come about where nothing fails. */
static void test_backtest__a_step_hangs_on_what_one_before_it_came_to(void **state)
{
    static const char *const rows[][2] = {
        {"failed", "0 requested, 0 joined, 0 over, 0 asked, 0 storm, 0 hits, most 0"},
        {"withheld", "0 requested, 0 joined, 0 over, 0 asked, 0 storm, 0 hits, most 0"},
        {"done", "5 requested, 1 joined, 0 over, 0 asked, 0 storm, 0 hits, most 0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig r;

        rig_init(&r);
        assert_string_equal(
            outcome(&r,
                    arena_fmt(r.arena,
                              "rules: [{name: a, do: [page: {}, {isolate: {}, if: {page: %s}}]}]",
                              rows[i][0]),
                    six),
            rows[i][1]);
        rig_clear(&r);
    }
}

static void test_backtest__what_waits_for_a_person_is_not_isolated(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_string_equal(outcome(&r, "rules: [{name: a, do: [ask: {}, isolate: {}]}]", six),
                        "0 requested, 0 joined, 0 over, 6 asked, 0 storm, 0 hits, most 0");
    assert_string_equal(outcome(&r,
                                ISOLATES "safety: {ask: {}, protected: [{machine.group: Labs}], "
                                         "limits: [{isolations: 9, per: 1h}]}",
                                six),
                        "3 requested, 1 joined, 0 over, 2 asked, 0 storm, 0 hits, most 3");
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backtest__limits_count_what_they_are_of),
        cmocka_unit_test(test_backtest__a_group_is_all_its_machines_that_were_seen),
        cmocka_unit_test(test_backtest__machines_in_no_group_are_one_group),
        cmocka_unit_test(test_backtest__a_storm_is_one_detector_on_many_machines),
        cmocka_unit_test(test_backtest__a_step_hangs_on_what_one_before_it_came_to),
        cmocka_unit_test(test_backtest__what_waits_for_a_person_is_not_isolated),
    };

    return cmocka_run_group_tests_name("backtest", tests, NULL, NULL);
}
