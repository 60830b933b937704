/* test_starter.c - the policy that `cordon init` writes, over machines as Defender describes them: the one that
 * most people will begin with isolates workstations, and nothing else unasked. */
#include "decide.h"

#include "config.h"
#include "policy_kit.h"

#define M1   "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define M2   "0000000000000000000000000000000000000002"
#define HIGH "{'id':'da1','severity':'High','title':'Bad thing','machineId':'" M1 "'}"

/* A machine by its platform, tags and value; what comes behind may be more members. */
#define MACHINE(os, tags, value, ...)                                                              \
    "{'id':'" M1 "','computerDnsName':'ws-114.corp.example','osPlatform':" os                      \
    ",'machineTags':" tags ",'deviceValue':" value "" __VA_ARGS__ "}"
#define OS(name)       MACHINE("'" name "'", "[]", "'Normal'")
#define TAGS(list)     MACHINE("'Windows11'", list, "'Normal'")
#define VALUE(word)    MACHINE("'Windows11'", "[]", word)
#define ISOLATED       "contain-high: isolate email"
#define SERVER(name)   "contain-high: isolate(protected: machine.os is " name ") email"
#define TAGGED(tag)    "contain-high: isolate(protected: machine.tags is " tag ") email"
#define PERHAPS(doubt) "contain-high: isolate(perhaps protected: " doubt ") email"
#define UNKNOWN(word)  "Defender sent '" word "', which cordon does not know"

static const char *brief(struct rig *r, const struct verdict *v)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(65536);
    const char *text;

    buf_addf(&b, "%s:", v->rule ? v->rule : "-");
    for (size_t i = 0; i < v->n_steps; i++) {
        buf_addf(&b, " %s", v->steps[i].handler);
        if (v->steps[i].withheld)
            buf_addf(&b, "(%s)", v->steps[i].withheld);
    }
    text = arena_str(r->arena, buf_text(&b));
    assert_non_null(text);
    return text;
}

static void test_starter__over_many_machines(void **state)
{
    static const struct {
        const char *label, *alert, *machine, *verdict;
    } rows[] = {
        /* workstations */
        {"Windows 11", HIGH, OS("Windows11"), ISOLATED},
        {"Windows 10", HIGH, OS("Windows10"), ISOLATED},
        {"in another case", HIGH, OS("windows10"), ISOLATED},
        {"Windows 8.1", HIGH, OS("Windows8.1"), ISOLATED},
        {"Windows 8", HIGH, OS("Windows8"), ISOLATED},
        {"Windows 7", HIGH, OS("Windows7"), ISOLATED},
        {"macOS", HIGH, OS("macOS"), ISOLATED},
        {"Windows on a shared host", HIGH, OS("Windows10WVD"), ISOLATED},
        {"of low value", HIGH, VALUE("'Low'"), ISOLATED},
        {"of low value in lower case", HIGH, VALUE("'low'"), ISOLATED},
        {"with tags of no meaning", HIGH, TAGS("['laptop','sales']"), ISOLATED},
        {"with a tag that only begins like one", HIGH, TAGS("['tier-01']"), ISOLATED},
        {"in an unhealthy state", HIGH,
         MACHINE("'Windows11'", "[]", "'Normal'", ",'healthStatus':'Inactive'"), ISOLATED},
        {"with members that nobody knows", HIGH,
         MACHINE("'Windows11'", "[]", "'Normal'", ",'quantum':true"), ISOLATED},
        {"with an empty merged id", HIGH,
         MACHINE("'Windows11'", "[]", "'Normal'", ",'mergedIntoMachineId':''"), ISOLATED},
        /* servers, and what may be one */
        {"Windows Server 2008 R2", HIGH, OS("WindowsServer2008R2"), SERVER("WindowsServer2008R2")},
        {"Windows Server 2012 R2", HIGH, OS("WindowsServer2012R2"), SERVER("WindowsServer2012R2")},
        {"Windows Server 2016", HIGH, OS("WindowsServer2016"), SERVER("WindowsServer2016")},
        {"Windows Server 2019", HIGH, OS("WindowsServer2019"), SERVER("WindowsServer2019")},
        {"Windows Server 2022", HIGH, OS("WindowsServer2022"), SERVER("WindowsServer2022")},
        {"Windows Server 2025", HIGH, OS("WindowsServer2025"), SERVER("WindowsServer2025")},
        {"a server in another case", HIGH, OS("windowsserver2022"), SERVER("windowsserver2022")},
        {"a server spelt with blanks", HIGH, OS("Windows Server 2022"),
         SERVER("Windows Server 2022")},
        {"Ubuntu", HIGH, OS("Ubuntu"), SERVER("Ubuntu")},
        {"Red Hat", HIGH, OS("RedHatEnterpriseLinux"), SERVER("RedHatEnterpriseLinux")},
        {"Linux", HIGH, OS("Linux"), SERVER("Linux")},
        {"a platform to come", HIGH, OS("Windows12"), SERVER("Windows12")},
        {"a telephone", HIGH, OS("Android"), SERVER("Android")},
        {"iOS", HIGH, OS("iOS"), SERVER("iOS")},
        {"no platform", HIGH, MACHINE("null", "[]", "'Normal'"),
         PERHAPS("machine.os: Defender sent no value")},
        {"an empty platform", HIGH, OS(""), PERHAPS("machine.os: Defender sent no value")},
        {"a platform that is a number", HIGH, MACHINE("11", "[]", "'Normal'"),
         PERHAPS("machine.os: " UNKNOWN("11"))},
        /* tags */
        {"tier-0", HIGH, TAGS("['tier-0']"), TAGGED("tier-0")},
        {"Tier-0, behind another", HIGH, TAGS("['web','Tier-0']"), TAGGED("Tier-0")},
        {"no-isolate", HIGH, TAGS("['no-isolate']"), TAGGED("no-isolate")},
        {"tags that are null", HIGH, TAGS("null"), PERHAPS("machine.tags: Defender sent no value")},
        {"a tag that is no text", HIGH, TAGS("[7]"), PERHAPS("machine.tags: " UNKNOWN("7"))},
        /* value */
        {"of high value", HIGH, VALUE("'High'"),
         "contain-high: isolate(protected: machine.value is High) email"},
        {"of no value", HIGH, VALUE("null"), PERHAPS("machine.value: Defender sent no value")},
        {"of a value that nobody knows", HIGH, VALUE("'Critical'"),
         PERHAPS("machine.value: " UNKNOWN("Critical"))},
        {"a server of high value with a tag", HIGH,
         MACHINE("'WindowsServer2022'", "['tier-0']", "'High'"), TAGGED("tier-0")},
        {"certain before doubtful", HIGH, MACHINE("'Ubuntu'", "null", "null"), SERVER("Ubuntu")},
        /* not certainly that machine */
        {"none that Defender knows", HIGH, NULL,
         "contain-high: isolate(Defender does not know machine " M1 ") email"},
        {"an alert without a machine", "{'id':'da1','severity':'High','machineId':null}", NULL,
         "contain-high: isolate(the alert names no machine) email"},
        {"merged into another", HIGH,
         MACHINE("'Windows11'", "[]", "'Normal'", ",'mergedIntoMachineId':'" M2 "'"),
         "contain-high: isolate(machine " M1 " was merged into " M2 ") email"},
        {"another machine than asked for", HIGH, "{'id':'" M2 "'}",
         "contain-high: isolate(Defender answered with machine " M2 " for machine " M1 ") email"},
        /* alerts that isolate nothing */
        {"a Medium alert", "{'id':'da1','severity':'Medium','machineId':'" M1 "'}", OS("Windows11"),
         "tell: email"},
        {"a Low alert on a server", "{'id':'da1','severity':'Low','machineId':'" M1 "'}",
         OS("Ubuntu"), "tell: email"},
        {"an alert of no severity", "{'id':'da1','severity':null,'machineId':'" M1 "'}",
         OS("Windows11"),
         "contain-high: isolate(in doubt: alert.severity: Defender sent no value) email"},
        {"an alert of a severity that nobody knows",
         "{'id':'da1','severity':'Critical','machineId':'" M1 "'}", OS("Windows11"),
         "contain-high: isolate(in doubt: alert.severity: " UNKNOWN("Critical") ") email"},
    };
    const struct yaml_node *root;
    const struct policy *p;
    struct rig r;

    (void)state;
    assert_true(sizeof rows / sizeof rows[0] >= 40);
    rig_init(&r);
    root = rig_yaml(&r, config_starter);
    p = policy_compile(&r.reader, yaml_get(root, "rules"), yaml_get(root, "safety"));
    if (!p)
        fail_msg("%s", rig_faults(&r));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *alert = parse(rows[i].alert);
        AUTO(json_freep) struct json *machine = parse(rows[i].machine);
        struct facts f = facts_of(alert, machine);
        struct verdict v;
        struct err e = {0};

        if (decide(p, &f, NOW, r.arena, &v, &e))
            fail_msg("%s: %s", rows[i].label, e.text);
        if (strcmp(brief(&r, &v), rows[i].verdict) != 0)
            fail_msg("%s:\n%s\nexpected\n%s", rows[i].label, brief(&r, &v), rows[i].verdict);
    }
    rig_clear(&r);
}

/* The commented parts are good when somebody takes the # away. */
static void test_starter__its_comments_are_good_policy(void **state)
{
    static const char *const begins[] = {"  # - name: infrastructure\n", "  # - name: vpn\n"};
    AUTO(buf_clear) struct buf text = BUF_INIT(65536);
    const struct policy *p;
    struct rig r;

    (void)state;
    rig_init(&r);
    buf_adds(&text, "rules:\n");
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        const char *line = strstr(config_starter, begins[i]);

        assert_non_null(line);
        for (bool first = true; strncmp(line, first ? "  # - " : "  #   ", 6) == 0; first = false) {
            const char *end = strchr(line, '\n');

            if (!strstr(line, "in_file") || strstr(line, "in_file") > end) /* there is none here */
                buf_addf(&text, "  %.*s\n", (int)(end - line - 4), line + 4);
            line = end + 1;
        }
    }
    buf_adds(&text, "  - name: tell\n    do: [email: {}]\nsafety:\n  protected:\n");
    for (const char *line = config_starter; (line = strstr(line, "\n    # - machine."));) {
        const char *end = strchr(++line, '\n');

        if (!strstr(line, "in_file") || strstr(line, "in_file") > end)
            buf_addf(&text, "    %.*s\n", (int)(end - line - 6), line + 6);
        line = end - 1;
    }
    {
        const struct yaml_node *root = rig_yaml(&r, buf_text(&text));

        p = policy_compile(&r.reader, yaml_get(root, "rules"), yaml_get(root, "safety"));
        if (!p)
            fail_msg("%s\nin:\n%s", rig_faults(&r), buf_text(&text));
        assert_int_equal(yaml_get(root, "rules")->count, 3);
        assert_int_equal(yaml_get(yaml_get(root, "safety"), "protected")->count, 4);
    }
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starter__over_many_machines),
        cmocka_unit_test(test_starter__its_comments_are_good_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
