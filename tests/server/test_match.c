/* test_match.c - conditions: every operator on every type, in three values. */
#include "match.h"

#include <time.h>

#include "fields.h"
#include "kit/torture.h"
#include "policy_kit.h"

#define F TRUTH_FALSE
#define U TRUTH_UNKNOWN
#define T TRUTH_TRUE

static const struct condition *compile(struct rig *r, const char *text)
{
    const struct condition *c = condition_compile(&r->reader, rig_yaml(r, text), "when");

    if (!c)
        fail_msg("%s\nin: %s", rig_faults(r), text);
    return c;
}

/* The truth of one condition over two documents; *ret_match is filled when asked for. */
static enum truth judge(struct rig *r, const char *text, const struct json *alert,
                        const struct json *machine, struct match *ret_match)
{
    struct facts f = facts_of(alert, machine);
    struct match m;

    assert_int_equal(condition_match(compile(r, text), &f, NOW, r->arena, &m), ERR_OK);
    if (ret_match)
        *ret_match = m;
    return m.result;
}

static void check(const char *text, const char *alert, const char *machine, enum truth expected)
{
    AUTO(json_freep) struct json *a = parse(alert ? alert : "{}"), *m = parse(machine);
    struct rig r;
    enum truth t;

    rig_init(&r);
    t = judge(&r, text, a, m, NULL);
    if (t != expected)
        fail_msg("%s over %s %s is %s, expected %s", text, alert ? alert : "-",
                 machine ? machine : "-", truth_name(t), truth_name(expected));
    rig_clear(&r);
}

static void test_match__texts(void **state)
{
    static const struct {
        const char *when, *alert;
        enum truth truth;
    } rows[] = {
        {"alert.title: Bad thing", "{'title':'Bad thing'}", T},
        {"alert.title: bad THING", "{'title':'Bad thing'}", T},
        {"alert.title: Bad", "{'title':'Bad thing'}", F},
        {"alert.title: Bad thing", "{'title':null}", U},
        {"alert.title: Bad thing", "{}", U},
        {"alert.title: Bad thing", "{'title':''}", U},
        {"alert.title: '7'", "{'title':7}", U},
        {"alert.title: 7", "{'title':'7'}", T},
        {"alert.title: \xc3\x84rende", "{'title':'\xc3\xa4rende'}", T},
        {"alert.title: \xc3\x84rende", "{'title':'\xc3\xa4rende 2'}", F},
        {"alert.title: a.c\xc3\xa4", "{'title':'abc\xc3\xa4'}", F},
        {"alert.title: kelvin",
         "{'title':'\xe2\x84\xaa"
         "elvin'}",
         F},
        {"alert.title: [Bad, Worse]", "{'title':'worse'}", T},
        {"alert.title: [Bad, Worse]", "{'title':'worst'}", F},
        {"alert.title: [Bad, Worse]", "{'title':null}", U},
        {"alert.title: {in: [Bad, Worse]}", "{'title':'bad'}", T},
        {"alert.title: {in: Bad}", "{'title':'bad'}", T},
        {"alert.title: {not: Bad}", "{'title':'bad'}", F},
        {"alert.title: {not: Bad}", "{'title':'good'}", T},
        {"alert.title: {not: Bad}", "{'title':null}", U},
        {"alert.title: {not: [Bad, Worse]}", "{'title':'worse'}", F},
        {"alert.title: {not: [Bad, Worse]}", "{'title':'good'}", T},
        {"alert.title: {not: {glob: 'Bad*'}}", "{'title':'bad thing'}", F},
        {"alert.title: {not: {glob: 'Bad*'}}", "{'title':'good thing'}", T},
        {"alert.title: {not: {glob: 'Bad*'}}", "{}", U},
        {"alert.title: {not: {glob: 'Bad*', regex: thing}}", "{'title':'bad luck'}", T},
        {"alert.title: {not: {not: Bad}}", "{'title':'bad'}", T},
        {"alert.title: {glob: 'Bad*'}", "{'title':'bad thing'}", T},
        {"alert.title: {glob: ['x*', '*thing']}", "{'title':'bad thing'}", T},
        {"alert.title: {glob: 'Bad*'}", "{'title':null}", U},
        {"alert.title: {regex: '^bad.*g$'}", "{'title':'Bad thing'}", T},
        {"alert.title: {regex: '(?-i)^bad'}", "{'title':'Bad thing'}", F},
        {"alert.title: {regex: ['^x', 'y$']}", "{'title':'any'}", T},
        {"alert.title: {regex: 'x'}", "{'title':null}", U},
        {"alert.title: {glob: 'Bad*', not: Bad luck}", "{'title':'bad thing'}", T},
        {"alert.title: {glob: 'Bad*', not: Bad luck}", "{'title':'bad luck'}", F},
        {"alert.title: {exists: true}", "{'title':'x'}", T},
        {"alert.title: {exists: true}", "{'title':''}", F},
        {"alert.title: {exists: true}", "{}", F},
        {"alert.title: {exists: false}", "{'title':null}", T},
        {"alert.title: {exists: false}", "{'title':7}", F},
        {"alert.title: {not: {exists: true}}", "{}", T},
        {"alert.category: 'null'", "{'category':'null'}", U},
        {"alert.category: {exists: true}", "{'category':'null'}", F},
        {"alert.title: \"${LEVEL}\"", "{'title':'high'}", T},
        {"alert.title: Bad thing", "{'title':' Bad thing\\t'}", T},
        {"alert.title: ' Bad thing '", "{'title':'Bad thing'}", T},
        {"alert.title: Bad thing", "{'title':'Bad  thing'}", F},
        {"alert.title: Bad", "{'title':' '}", F},
        {"alert.title: {not: Bad}", "{'title':'bad '}", F},
        {"alert.title: \xc3\x84rende", "{'title':' \xc3\xa4rende '}", T},
        {"alert.title: {glob: 'Bad'}", "{'title':'bad '}", F},
        {"alert.title: {regex: '^bad $'}", "{'title':'bad '}", T},
        {"tenant: contoso", "{}", T},
        {"source: [flow, relay]", "{}", T},
        {"source: flow", "{}", F},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i].when, rows[i].alert, NULL, rows[i].truth);
}

static void test_match__words_and_levels(void **state)
{
    static const struct {
        const char *when, *alert;
        enum truth truth;
    } rows[] = {
        {"alert.status: New", "{'status':'new'}", T},
        {"alert.status: new", "{'status':'New'}", T},
        {"alert.status: [New, InProgress]", "{'status':'InProgress'}", T},
        {"alert.status: {in: New}", "{'status':'Resolved'}", F},
        {"alert.status: {not: Resolved}", "{'status':'New'}", T},
        {"alert.status: {not: Resolved}", "{'status':'Closed'}", U},
        {"alert.status: Resolved", "{'status':'Closed'}", U},
        {"alert.status: Resolved", "{'status':null}", U},
        {"alert.status: {exists: true}", "{'status':'Closed'}", T},
        {"alert.status: {exists: false}", "{'status':'Closed'}", F},
        {"alert.severity: High", "{'severity':'High'}", T},
        {"alert.severity: high", "{'severity':'HIGH'}", T},
        {"alert.severity: High", "{'severity':'Medium'}", F},
        {"alert.severity: High", "{'severity':'Critical'}", U},
        {"alert.severity: {not: High}", "{'severity':'Critical'}", U},
        {"alert.severity: {not: [High, Medium]}", "{'severity':'Low'}", T},
        {"alert.severity: [High, Medium]", "{'severity':'Medium'}", T},
        {"alert.severity: {at_least: Medium}", "{'severity':'High'}", T},
        {"alert.severity: {at_least: High, at_most: High}", "{'severity':'High'}", T},
        {"alert.severity: {at_least: Medium}", "{'severity':'medium'}", T},
        {"alert.severity: {at_least: Medium}", "{'severity':'Low'}", F},
        {"alert.severity: {at_least: UnSpecified}", "{'severity':'UnSpecified'}", T},
        {"alert.severity: {at_least: Informational}", "{'severity':'UnSpecified'}", F},
        {"alert.severity: {at_least: UnSpecified}", "{'severity':'Critical'}", U},
        {"alert.severity: {at_most: Medium}", "{'severity':'Medium'}", T},
        {"alert.severity: {at_most: Medium}", "{'severity':'High'}", F},
        {"alert.severity: {at_most: High}", "{'severity':'Critical'}", U},
        {"alert.severity: {at_most: High}", "{}", U},
        {"alert.severity: {at_least: Low, at_most: Medium}", "{'severity':'Low'}", T},
        {"alert.severity: {at_least: Low, at_most: Medium}", "{'severity':'High'}", F},
        {"alert.severity: ${LEVEL}", "{'severity':'High'}", T},
        {"alert.severity: ${NONE:-Low}", "{'severity':'Low'}", T},
        {"alert.severity: {exists: true}", "{}", F},
        /* flags are lists */
        {"alert.detection_source: MTP", "{'detectionSource':'WindowsDefenderAtp, MTP'}", T},
        {"alert.detection_source: mtp", "{'detectionSource':'MTP'}", T},
        {"alert.detection_source: MTP", "{'detectionSource':'AAD'}", F},
        {"alert.detection_source: MTP", "{'detectionSource':'AAD, Oracle'}", U},
        {"alert.detection_source: MTP", "{'detectionSource':'Oracle, MTP'}", T},
        {"alert.detection_source: {not: MTP}", "{'detectionSource':'AAD, MTP'}", F},
        {"alert.detection_source: {not: MTP}", "{'detectionSource':'AAD, Oracle'}", U},
        {"alert.detection_source: {not: MTP}", "{'detectionSource':'AAD'}", T},
        {"alert.investigation_state: {not: [Queued, Running]}", "{'investigationState':'Benign'}",
         T},
        {"alert.detection_source: [AAD, MTP]", "{'detectionSource':null}", U},
    };
    static const struct {
        const char *when, *machine;
        enum truth truth;
    } machines[] = {
        {"machine.value: {at_least: Normal}", "{'deviceValue':'Normal'}", T},
        {"machine.value: {at_least: Normal}", "{'deviceValue':'Low'}", F}, /* Low < Normal < High */
        {"machine.value: {at_most: Normal}", "{'deviceValue':'Low'}", T},
        {"machine.value: {at_least: Normal}", "{'deviceValue':'Critical'}", U},
        {"machine.risk: {at_least: Low}", "{'riskScore':'Informational'}", F},
        {"machine.risk: {at_most: None}", "{'riskScore':'None'}", T},
        {"machine.exposure: {at_least: Medium}", "{'exposureLevel':'High'}", T},
        {"machine.onboarding: Onboarded", "{'onboardingStatus':'onboarded'}", T},
        {"machine.health: {not: Active}", "{'healthStatus':'Inactive'}", T},
        {"machine.value: High", NULL, U},
        {"machine.value: {exists: true}", NULL, F},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i].when, rows[i].alert, NULL, rows[i].truth);
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
        check(machines[i].when, NULL, machines[i].machine, machines[i].truth);
}

static void test_match__numbers_truth_values_and_addresses(void **state)
{
    static const struct {
        const char *when, *machine;
        enum truth truth;
    } rows[] = {
        {"machine.os_build: 22631", "{'osBuild':22631}", T},
        {"machine.os_build: 22631", "{'osBuild':22000}", F},
        {"machine.os_build: 22631", "{'osBuild':null}", U},
        {"machine.os_build: 22631", "{'osBuild':'x'}", U},
        {"machine.os_build: [1, 22631]", "{'osBuild':22631}", T},
        {"machine.os_build: {in: [1, 2]}", "{'osBuild':22631}", F},
        {"machine.os_build: {not: 1}", "{'osBuild':22631}", T},
        {"machine.os_build: {not: [1, 22631]}", "{'osBuild':22631}", F},
        {"machine.os_build: {at_least: 22631}", "{'osBuild':22631}", T},
        {"machine.os_build: {at_least: 22632}", "{'osBuild':22631}", F},
        {"machine.os_build: {at_most: 22631}", "{'osBuild':22631}", T},
        {"machine.os_build: {at_most: -1}", "{'osBuild':22631}", F},
        {"machine.os_build: {at_least: 1}", "{'osBuild':1.5}", U},
        {"machine.os_build: {exists: false}", "{'osBuild':null}", T},
        {"machine.os_build: \"${BUILD}\"", "{'osBuild':22631}", T},
        {"machine.group_id: 140", "{'rbacGroupId':'140'}", T},
        {"machine.group_id: {at_least: 9007199254740993}", "{'rbacGroupId':9007199254740992}", F},
        {"machine.aad_joined: true", "{'isAadJoined':true}", T},
        {"machine.aad_joined: true", "{'isAadJoined':false}", F},
        {"machine.aad_joined: false", "{'isAadJoined':false}", T},
        {"machine.aad_joined: true", "{'isAadJoined':null}", U},
        {"machine.aad_joined: true", "{'isAadJoined':'true'}", U},
        {"machine.aad_joined: {not: true}", "{'isAadJoined':false}", T},
        {"machine.aad_joined: {exists: true}", "{'isAadJoined':false}", T},
        {"machine.ip: 10.20.4.17", "{'lastIpAddress':'10.20.4.17'}", T},
        {"machine.ip: 10.20.4.17", "{'lastIpAddress':'::ffff:10.20.4.17'}", T},
        {"machine.ip: 2001:db8::1", "{'lastIpAddress':'2001:0db8:0:0::1'}", T},
        {"machine.ip: 10.20.4.17", "{'lastIpAddress':'10.20.4.18'}", F},
        {"machine.ip: 10.20.4.17", "{'lastIpAddress':''}", U},
        {"machine.ip: 10.20.4.17", "{'lastIpAddress':'ten'}", U},
        {"machine.ip: [10.0.0.1, 10.0.0.2]", "{'lastIpAddress':'10.0.0.2'}", T},
        {"machine.ip: {not: 10.0.0.1}", "{'lastIpAddress':'10.0.0.2'}", T},
        {"machine.ip: {cidr: 10.0.0.0/8}", "{'lastIpAddress':'10.20.4.17'}", T},
        {"machine.ip: {cidr: 10.0.0.0/8}", "{'lastIpAddress':'11.20.4.17'}", F},
        {"machine.ip: {cidr: [192.168.0.0/16, '2001:db8::/32']}", "{'lastIpAddress':'2001:db8::7'}",
         T},
        {"machine.ip: {cidr: 10.0.0.0/8}", "{'lastIpAddress':null}", U},
        {"machine.ip: {not: {cidr: 10.0.0.0/8}}", "{'lastIpAddress':'11.0.0.1'}", T},
        {"machine.ip: {not: {cidr: 10.0.0.0/8}}", "{'lastIpAddress':'junk'}", U},
        {"machine.ips: {cidr: 10.0.0.0/8}",
         "{'ipAddresses':[{'ipAddress':'127.0.0.1'},"
         "{'ipAddress':'10.1.1.1'}]}",
         T},
        {"machine.ips: {cidr: 10.0.0.0/8}", "{'ipAddresses':[]}", F},
        {"machine.ips: {cidr: 10.0.0.0/8}", "{'ipAddresses':null}", U},
        {"machine.ips: {cidr: 10.0.0.0/8}", "{'ipAddresses':[{'ipAddress':'junk'}]}", U},
        {"machine.ips: 127.0.0.1", "{'ipAddresses':[{'ipAddress':'127.0.0.1'}]}", T},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i].when, NULL, rows[i].machine, rows[i].truth);
}

static void test_match__times_are_asked_for_their_age(void **state)
{
    static const struct {
        const char *when, *alert;
        enum truth truth;
    } rows[] = {
        {"alert.created: {older_than: 1h}", "{'alertCreationTime':'2024-12-31T22:59:59.999Z'}", T},
        {"alert.created: {older_than: 1h}", "{'alertCreationTime':'2024-12-31T23:00:00Z'}", F},
        {"alert.created: {newer_than: 1h}", "{'alertCreationTime':'2024-12-31T23:00:00Z'}", F},
        {"alert.created: {newer_than: 1h}", "{'alertCreationTime':'2024-12-31T23:00:00.001Z'}", T},
        {"alert.created: {newer_than: 1h}", "{'alertCreationTime':'2025-01-01T05:00:00Z'}", T},
        {"alert.created: {older_than: 1h}", "{'alertCreationTime':'2025-01-01T05:00:00Z'}", F},
        {"alert.created: {older_than: 3d}", "{'alertCreationTime':'0001-01-01T00:00:00Z'}", T},
        {"alert.created: {older_than: 1h}", "{'alertCreationTime':'yesterday'}", U},
        {"alert.created: {older_than: 1h}", "{'alertCreationTime':null}", U},
        {"alert.created: {newer_than: 1h}", "{}", U},
        {"alert.created: {not: {older_than: 1h}}", "{'alertCreationTime':'2024-12-31T23:30:00Z'}",
         T},
        {"alert.created: {older_than: 1h, newer_than: 1d}",
         "{'alertCreationTime':'2024-12-31T12:00:00.1234567Z'}", T},
        {"alert.resolved: {exists: false}", "{'resolvedTime':null}", T},
        {"alert.resolved: {exists: true}", "{'resolvedTime':'yesterday'}", T},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i].when, rows[i].alert, NULL, rows[i].truth);
    check("not: {alert.created: {older_than: 1h}}", "{'alertCreationTime':'2024-12-31T23:30:00Z'}",
          NULL, T);
    check("not: {alert.created: {older_than: 1h}}", "{'alertCreationTime':'x'}", NULL, U);
}

static void test_match__a_list_holds_when_any_element_does(void **state)
{
    static const struct {
        const char *when, *machine;
        enum truth truth;
    } rows[] = {
        {"machine.tags: tier-0", "{'machineTags':['lab','Tier-0']}", T},
        {"machine.tags: tier-0", "{'machineTags':['lab','Tier-0 ']}", T},
        /* copied out of a page or a dialog: blanks that do not break, marks without a width */
        {"machine.tags: tier-0", "{'machineTags':['tier-0\xc2\xa0']}", T},
        {"machine.tags: tier-0", "{'machineTags':['\xe2\x80\x8btier-0 \xe3\x80\x80']}", T},
        {"machine.tags: tier-0", "{'machineTags':['\xef\xbb\xbftier-0\xe2\x80\x8e']}", T},
        {"machine.tags: \xc2\xa0tier-0\xe2\x81\xa0", "{'machineTags':['tier-0']}", T},
        {"machine.tags: \xc2\xa0\xc3\x84\xe2\x80\x8b", "{'machineTags':['\xc3\xa4\xc2\xa0']}", T},
        {"machine.tags: tier-0", "{'machineTags':['tier-0\xc2\xa1']}", F},
        {"machine.tags: tier-0", "{'machineTags':['\xc2\xa0','tier-\xc2\xa0\x30']}", F},
        {"machine.tags: tier-0", "{'machineTags':['lab']}", F},
        {"machine.tags: tier-0", "{'machineTags':[]}", F},
        {"machine.tags: tier-0", "{'machineTags':null}", U},
        {"machine.tags: tier-0", "{'machineTags':'tier-0'}", U},
        {"machine.tags: tier-0", "{'machineTags':['lab',7]}", U},
        {"machine.tags: tier-0", "{'machineTags':[7,'tier-0']}", T},
        {"machine.tags: [tier-0, no-isolate]", "{'machineTags':['x','no-isolate']}", T},
        {"machine.tags: {not: [lab]}", "{'machineTags':['x']}", T},
        {"machine.tags: {not: [lab]}", "{'machineTags':['x','lab']}", F},
        {"machine.tags: {not: [lab]}", "{'machineTags':[]}", T},
        {"machine.tags: {not: [lab]}", "{'machineTags':null}", U},
        {"machine.tags: {not: [lab]}", "{'machineTags':['x',{}]}", U},
        {"machine.tags: {not: [lab]}", "{'machineTags':['lab',{}]}", F},
        {"machine.tags: {not: {glob: 'l*'}}", "{'machineTags':['x','lab']}", F},
        {"machine.tags: {glob: 'tier-*'}", "{'machineTags':['x','tier-1']}", T},
        {"machine.tags: {regex: '^tier-[01]$'}", "{'machineTags':['x','tier-2']}", F},
        {"machine.tags: {exists: true}", "{'machineTags':[]}", F},
        {"machine.tags: {exists: false}", "{'machineTags':[]}", T},
        {"machine.tags: {exists: false}", "{'machineTags':null}", T},
        {"machine.tags: {exists: true}", "{'machineTags':[7]}", T},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i].when, NULL, rows[i].machine, rows[i].truth);
}

static void test_match__globs(void **state)
{
    static const struct {
        const char *glob, *text;
        bool holds;
    } rows[] = {
        {"*", "anything", true},
        {"**", "anything", true},
        {"?", "a", true},
        {"?", "\xc3\xa4", true},
        {"?", "ab", false},
        {"??*", "a", false},
        {"a*", "abc", true},
        {"a*", "ba", false},
        {" a*", " abc", true},
        {" a*", "abc", false},
        {"*c", "abc", true},
        {"*c", "abcd", false},
        {"*b*", "abc", true},
        {"*b*", "ac", false},
        {"a*c", "ac", true},
        {"a*c", "a\nc", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "acb", false},
        {"*ab*ab", "abab", true},
        {"*ab*ab", "ab", false},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"a*a", "a", false},
        {"Windows*", "WINDOWS11", true},
        {"\xc3\x84*",
         "\xc3\xa4"
         "rende",
         true},
        {"C:\\Users\\*.exe", "c:\\users\\x\\y.exe", true},
        {"C:\\Users\\*.exe", "c:\\users\\x\\yXexe", false},
        {"[abc]", "b", true},
        {"[abc]", "d", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]", "d", true},
        {"[!a-c]", "a", false},
        {"[^a]", "b", true},
        {"[]a]", "]", true},
        {"[]a]", "a", true},
        {"[!]a]", "b", true},
        {"[-a]", "-", true},
        {"[a-]", "-", true},
        {"[*]", "*", true},
        {"[*]", "x", false},
        {"[\\d]", "d", true},
        {"[\\d]", "7", false},
        {"[[:alpha:]]", "a]", true}, /* no classes by name: ':' 'a' and so on, then ']' */
        {"(a|b)", "a", false},
        {"(a|b)", "(a|b)", true},
        {"a.c", "abc", false},
        {"a+$^{}|", "a+$^{}|", true},
        {"x]", "x]", true},
        {"#c", "#c", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf when = BUF_INIT(4096), alert = BUF_INIT(4096);
        struct json_out o = JSON_OUT(&alert);

        /* single quotes of YAML keep backslashes; none of the globs holds one */
        buf_addf(&when, "alert.title: {glob: '%s'}", rows[i].glob);
        json_out_object(&o, NULL);
        json_out_string(&o, "title", rows[i].text);
        json_out_object_end(&o);
        check(buf_text(&when), buf_text(&alert), NULL, rows[i].holds ? T : F);
        buf_clear(&when);
        buf_clear(&alert);
    }
}

static void test_match__regular_expressions(void **state)
{
    static const struct {
        const char *regex, *text;
        bool holds;
    } rows[] = {
        {"b", "abc", true},
        {"^b", "abc", false},
        {"b$", "ab", true},
        {"^$", "x", false},
        {"a|^x", "bx", false},
        {"a|x", "bx", true},
        {"(a)(b)\\2\\1", "xabba", true},
        {"(?x) a b # both", "xab", true},
        {"(?x) a b # both", "xa b", false},
        {"(?<=x)b", "axb", true},
        {"^(?=.*a)(?=.*b)", "xbxa", true},
        {"(?s)a.b", "a\nb", true},
        {"a.b", "a\nb", false},
        {"(?m)^b", "a\nb", true},
        {"\\Ab", "ab", false},
        {"\\x{e4}", "\xc3\x84", true},
        {"(?i)A", "a", true},
        {"(?-i)A", "a", false},
        {"a{2}", "caat", true},
        {"[[:digit:]]+\\.exe", "x12.EXE", true},
        {" b", "a b", true},
        {" b", "ab", false},
        {"b ", "ab", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf when = BUF_INIT(4096), alert = BUF_INIT(4096);
        struct json_out o = JSON_OUT(&alert);

        buf_addf(&when, "alert.title: {regex: '%s'}", rows[i].regex);
        json_out_object(&o, NULL);
        json_out_string(&o, "title", rows[i].text);
        json_out_object_end(&o);
        check(buf_text(&when), buf_text(&alert), NULL, rows[i].holds ? T : F);
        buf_clear(&when);
        buf_clear(&alert);
    }
}

/* A title of n times one letter. */
static struct json *long_title(size_t n, char letter)
{
    struct buf b = BUF_INIT(1024 * 1024);
    struct json *doc = NULL;

    buf_adds(&b, "{\"title\":\"");
    for (size_t i = 0; i < n; i++)
        buf_addc(&b, letter);
    buf_adds(&b, "\"}");
    assert_int_equal(json_parse(buf_text(&b), b.len, &doc, NULL), ERR_OK);
    buf_clear(&b);
    return doc;
}

static double seconds_since(const struct timespec *start)
{
    struct timespec end;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return (double)(end.tv_sec - start->tv_sec) + (double)(end.tv_nsec - start->tv_nsec) / 1e9;
}

static void test_match__an_expression_that_does_not_end_is_unknown(void **state)
{
    static const char *const hostile[] = {
        "(a+)+$b",        "(a|a)*c",        "(a|aa)+$b",     "^(([a-z])+.)+[A-Z]([a-z])+9$",
        ".*.*.*.*x",      "(.*a){20}b",     "((a*)*)*b",     "(?:a?){40}a{40}b",
        "(a(?1)?a)+b",    "(?R)?a*b",       "(?=(a+))\\1+b", "(?:.*.*)*x",
        "^(a?|b?|c?)*$.", "(.+)\\1\\1\\1x",
    };
    AUTO(json_freep) struct json *alert = long_title(REGEX_SUBJECT_MAX, 'a');
    size_t met = 0;

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct buf when = BUF_INIT(4096);
        struct timespec start;
        struct match m;
        struct rig r;

        rig_init(&r);
        buf_addf(&when, "alert.title: {regex: '%s'}", hostile[i]);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        if (judge(&r, buf_text(&when), alert, NULL, &m) == U) {
            assert_string_equal(m.predicates[0].doubt,
                                "alert.title: the expression met its limit on this text");
            met++;
        }
        /* a tenth of it, without sanitizers */
        if (seconds_since(&start) > 10)
            fail_msg("%s took %f s", hostile[i], seconds_since(&start));
        if (getenv("MATCH_TIMES"))
            fprintf(stderr, "%-32s %s %f s\n", hostile[i], truth_name(m.result),
                    seconds_since(&start));
        buf_clear(&when);
        rig_clear(&r);
    }
    assert_true(met > 5);
}

/* An expression with many groups takes kilobytes for each place that it may come back to. */
static void test_match__memory_and_depth_have_a_bound(void **state)
{
    AUTO(json_freep) struct json *alert = NULL, *other = long_title(2000, 'a');
    struct buf when = BUF_INIT(4096);
    struct rig r;

    (void)state;
    rig_init(&r);
    buf_adds(&when, "alert.title: {regex: '^(?:(a)");
    for (int i = 0; i < 230; i++)
        buf_adds(&when, "|(b)");
    buf_adds(&when, ")*$'}");
    assert_int_equal(judge(&r, buf_text(&when), other, NULL, NULL), U); /* memory alone */
    alert = long_title(12000, 'a');
    assert_int_equal(judge(&r, "alert.title: {regex: '^(?:a|b)*$'}", alert, NULL, NULL), U);
    buf_clear(&when);
    rig_clear(&r);
}

/* What became of one test is none of the next one's. */
static void test_match__behind_a_limit_the_others_are_judged(void **state)
{
    struct buf b = BUF_INIT(65536);
    struct json *alert = NULL;
    struct match m;
    struct rig r;

    (void)state;
    rig_init(&r);
    buf_adds(&b, "{\"severity\":\"Worst\",\"category\":\"Malware\",\"title\":\"");
    for (int i = 0; i < 8000; i++)
        buf_addc(&b, 'a');
    buf_adds(&b, "\"}");
    assert_int_equal(json_parse(buf_text(&b), b.len, &alert, NULL), ERR_OK);
    assert_int_equal(judge(&r,
                           "{alert.title: {regex: '.*.*.*.*x'}, alert.category: Malware, "
                           "alert.severity: High}",
                           alert, NULL, &m),
                     U);
    assert_int_equal(m.predicates[0].result, U);
    assert_int_equal(m.predicates[1].result, T);
    assert_string_equal(m.predicates[2].doubt,
                        "alert.severity: Defender sent 'Worst', which cordon does not know");
    assert_int_equal(
        judge(&r, "{alert.title: {regex: '.*.*.*.*x'}, alert.category: Other}", alert, NULL, NULL),
        F);
    json_free(alert);
    buf_clear(&b);
    rig_clear(&r);
}

static void test_match__a_hostile_list_costs_one_limit(void **state)
{
    struct buf b = BUF_INIT(8 * 1024 * 1024);
    struct json *alert = NULL;
    struct timespec start;
    struct match m;
    struct rig r;

    (void)state;
    rig_init(&r);
    buf_adds(&b, "{\"mitreTechniques\":[\"b\"");
    for (int i = 0; i < 300; i++) {
        buf_adds(&b, ",\"");
        for (int k = 0; k < 8000; k++)
            buf_addc(&b, 'a');
        buf_adds(&b, "\"");
    }
    buf_adds(&b, "]}");
    assert_int_equal(json_parse(buf_text(&b), b.len, &alert, NULL), ERR_OK);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    assert_int_equal(judge(&r, "alert.mitre: {regex: '.*.*.*.*x'}", alert, NULL, &m), U);
    assert_true(seconds_since(&start) < 15);
    assert_int_equal(judge(&r, "alert.mitre: {regex: '.*.*.*.*b'}", alert, NULL, &m), T);
    json_free(alert);
    buf_clear(&b);
    rig_clear(&r);
}

static void test_match__a_text_that_is_too_long_is_unknown_to_patterns_alone(void **state)
{
    AUTO(json_freep) struct json *fits = long_title(REGEX_SUBJECT_MAX, 'a');
    AUTO(json_freep) struct json *over = long_title(REGEX_SUBJECT_MAX + 1, 'a');
    struct match m;
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_int_equal(judge(&r, "alert.title: {glob: '*a'}", fits, NULL, NULL), T);
    assert_int_equal(
        judge(&r, "alert.title: {glob: '*a*a*a*a*a*a*a*a*a*a*a*a*b'}", fits, NULL, NULL),
        F); /* a glob never meets the limit */
    assert_int_equal(judge(&r, "alert.title: {regex: b}", fits, NULL, NULL), F);
    assert_int_equal(judge(&r, "alert.title: {glob: '*a'}", over, NULL, &m), U);
    assert_string_equal(m.predicates[0].doubt, "alert.title: the text is too long to be searched");
    assert_int_equal(judge(&r, "alert.title: {regex: a}", over, NULL, NULL), U);
    assert_int_equal(judge(&r, "alert.title: a", over, NULL, NULL), F);
    rig_clear(&r);
}

/* ---- three values ------------------------------------------------------------------------------ */

/* A predicate with this truth over the facts of test_match__truth_tables. */
static const char *const leaf[] = {
    [F] = "alert.title: no", [U] = "alert.category: any", [T] = "alert.title: 'yes'"};

static void test_match__truth_tables(void **state)
{
    AUTO(json_freep) struct json *alert = parse("{'title':'yes'}");
    char text[512];
    struct rig r;

    (void)state;
    rig_init(&r);
    for (int a = F; a <= T; a++) {
        (void)snprintf(text, sizeof text, "not: {%s}", leaf[a]);
        assert_int_equal(judge(&r, text, alert, NULL, NULL), T - a);
        for (int b = F; b <= T; b++) {
            int and = a < b ? a : b, or = a > b ? a : b;

            (void)snprintf(text, sizeof text, "all: [{%s}, {%s}]", leaf[a], leaf[b]);
            assert_int_equal(judge(&r, text, alert, NULL, NULL), and);
            (void)snprintf(text, sizeof text, "any: [{%s}, {%s}]", leaf[a], leaf[b]);
            assert_int_equal(judge(&r, text, alert, NULL, NULL), or);
            (void)snprintf(text, sizeof text, "not: {any: [{%s}, {%s}]}", leaf[a], leaf[b]);
            assert_int_equal(judge(&r, text, alert, NULL, NULL), T - or);
            (void)snprintf(text, sizeof text, "{all: [{%s}], any: [{%s}]}", leaf[a], leaf[b]);
            assert_int_equal(judge(&r, text, alert, NULL, NULL), and);
            for (int c = F; c <= T; c++) {
                int inner = b > c ? b : c;

                (void)snprintf(text, sizeof text, "{all: [{%s}], any: [{%s}, {%s}]}", leaf[a],
                               leaf[b], leaf[c]);
                assert_int_equal(judge(&r, text, alert, NULL, NULL), a < inner ? a : inner);
            }
        }
    }
    rig_clear(&r);
}

/* Every tree of a grammar, at random, against a model of Kleene's logic. */
static int grow(struct buf *b, unsigned *seed, int depth)
{
    int kind = depth ? rand_r(seed) % 4 : 3, n = 1 + rand_r(seed) % 3, result, truth;

    if (kind == 3) {
        truth = rand_r(seed) % 3;
        buf_adds(b, leaf[truth]);
        return truth;
    }
    if (kind == 2) {
        buf_adds(b, "not: {");
        truth = grow(b, seed, depth - 1);
        buf_adds(b, "}");
        return T - truth;
    }
    result = kind ? F : T;
    buf_adds(b, kind ? "any: [" : "all: [");
    for (int i = 0; i < n; i++) {
        buf_adds(b, i ? ", {" : "{");
        truth = grow(b, seed, depth - 1);
        buf_adds(b, "}");
        result = kind ? (truth > result ? truth : result) : (truth < result ? truth : result);
    }
    buf_adds(b, "]");
    return result;
}

static void test_match__random_trees_agree_with_kleene(void **state)
{
    AUTO(json_freep) struct json *alert = parse("{'title':'yes'}");
    unsigned seed = 7;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct buf b = BUF_INIT(65536);
        int expected = grow(&b, &seed, 5);
        bool blamed = false;
        struct match m;
        struct rig r;

        rig_init(&r);
        assert_int_equal(judge(&r, buf_text(&b), alert, NULL, &m), expected);
        for (size_t k = 0; k < m.count; k++)
            if (m.predicates[k].decisive) {
                blamed = true;
                if (expected == U) /* negation turns true and false, never unknown */
                    assert_int_equal(m.predicates[k].result, U);
                else
                    assert_int_not_equal(m.predicates[k].result, U);
            }
        assert_true(blamed); /* somebody decided it */
        buf_clear(&b);
        rig_clear(&r);
    }
}

/* ---- explaining -------------------------------------------------------------------------------- */

static void test_match__explains_every_predicate(void **state)
{
    static const char when[] = "alert.severity: {at_least: Medium}\n"
                               "machine.tags: {not: [lab, Test]}\n"
                               "machine.os_build: 22631\n"
                               "any:\n"
                               "  - machine.value: High\n"
                               "  - not: {alert.title: {glob: 'x*'}}\n"
                               "    machine.aad_joined: true\n"
                               "machine.ip: {not: {cidr: 10.0.0.0/8}}\n"
                               "alert.created: {older_than: 1h}\n";
    static const struct {
        const char *field, *op, *within, *wanted, *seen, *hit;
        enum truth result;
    } rows[] = {
        {"alert.severity", "at_least", "", "\"Medium\"", "\"High\"", "High", T},
        {"machine.tags", "not", "", "[\"lab\",\"Test\"]", "[\"a\",\"b\"]", NULL, T},
        {"machine.os_build", "is", "", "22631", "22631", "22631", T},
        {"machine.value", "is", "any[1]", "\"High\"", "\"Critical\"", NULL, U},
        {"alert.title", "glob", "any[2].not", "\"x*\"", "\"Bad\"", NULL, F},
        {"machine.aad_joined", "is", "any[2]", "true", "null", NULL, U},
        {"machine.ip", "cidr", "not", "\"10.0.0.0/8\"", "\"192.0.2.1\"", NULL, F},
        {"alert.created", "older_than", "", "\"1h\"", "\"2024-12-31T09:36:07Z\"",
         "2024-12-31T09:36:07Z", T},
    };
    AUTO(json_freep)
    struct json *alert =
        parse("{'severity':'High','title':'Bad','alertCreationTime':'2024-12-31T09:36:07Z'}");
    AUTO(json_freep)
    struct json *machine = parse("{'machineTags':['a','b'],'osBuild':22631,"
                                 "'deviceValue':'Critical',"
                                 "'lastIpAddress':'192.0.2.1'}");
    struct match m;
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_int_equal(judge(&r, when, alert, machine, &m), U);
    assert_int_equal(m.count, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < m.count; i++) {
        const struct predicate *p = &m.predicates[i];

        assert_string_equal(p->field, rows[i].field);
        assert_string_equal(p->op, rows[i].op);
        assert_string_equal(p->within, rows[i].within);
        assert_string_equal(p->wanted, rows[i].wanted);
        assert_string_equal(p->seen, rows[i].seen);
        assert_int_equal(p->result, rows[i].result);
        assert_int_equal(p->hit != NULL, rows[i].hit != NULL);
        if (p->hit)
            assert_string_equal(p->hit, rows[i].hit);
        assert_int_equal(p->decisive, p->result == U);
    }
    assert_string_equal(match_doubt(&m, r.arena),
                        "machine.value: Defender sent 'Critical', which cordon does not know; "
                        "machine.aad_joined: Defender sent no value");
    rig_clear(&r);
}

static void test_match__doubts_and_reasons_name_what_decided(void **state)
{
    static const struct {
        const char *label, *when, *machine, *doubt, *reason;
    } rows[] = {
        {"a strange value", "machine.value: High", "{'deviceValue':'Critical'}",
         "machine.value: Defender sent 'Critical', which cordon does not know", NULL},
        {"a missing value", "machine.value: High", "{}", "machine.value: Defender sent no value",
         NULL},
        {"no machine", "machine.value: High", NULL, "machine.value: there is no machine to ask",
         NULL},
        {"a hostile value", "machine.value: High", "{'deviceValue':'x\\r\\nBcc: y'}",
         "machine.value: Defender sent 'x  Bcc: y', which cordon does not know", NULL},
        {"a long value", "machine.value: High",
         "{'deviceValue':'0123456789012345678901234567890123456789012345678901234567890123456789'}",
         "machine.value: Defender sent '0123456789012345678901234567890123456789012345678901234567890"
         "\xe2\x80\xa6', which cordon does not know",
         NULL},
        {"one of a list", "machine.tags: a", "{'machineTags':['b',{'c':1}]}",
         "machine.tags: Defender sent '{\"c\":1}', which cordon does not know", NULL},
        {"each field once", "machine.value: {not: Low, at_least: Normal}", "{}",
         "machine.value: Defender sent no value", NULL},
        {"what does not matter is not named",
         "any: [{machine.value: High, machine.os: Linux}, {machine.risk: High}]",
         "{'osPlatform':'Windows11'}", "machine.risk: Defender sent no value", NULL},
        {"no more than four",
         "machine.value: High\nmachine.risk: High\nmachine.exposure: High\nmachine.os: x\n"
         "machine.name: x\nmachine.group: x",
         "{}",
         "machine.value: Defender sent no value; machine.risk: Defender sent no value; "
         "machine.exposure: Defender sent no value; machine.os: Defender sent no value; and 2 more "
         "(b70d8109)",
         NULL},
        {"the element that was hit", "machine.tags: [tier-0, x]", "{'machineTags':['a','Tier-0']}",
         NULL, "machine.tags is Tier-0"},
        {"the elements that were hit, in whatever order they were sent",
         "machine.tags: [tier-0, x]", "{'machineTags':['x','a','Tier-0','x']}", NULL,
         "machine.tags is Tier-0 and x"},
        {"no more than eight of them", "machine.tags: {glob: '*'}",
         "{'machineTags':['k','b','c','d','e','f','g','h','i','a']}", NULL,
         "machine.tags is a and b and c and d and e and f and g and h and 2 more "
         "(fa254fbf)"},
        {"a time, by the side of a limit that it is on",
         "machine.last_seen: {older_than: 30d}\nnot: {machine.first_seen: {newer_than: 1h}}",
         "{'lastSeen':'2020-01-01T00:00:00Z','firstSeen':'2019-01-01T00:00:00Z'}", NULL,
         "machine.last_seen is older than 30d, machine.first_seen is not newer than 1h"},
        {"two fields", "machine.os: Linux\nmachine.value: High",
         "{'osPlatform':'Linux','deviceValue':'High'}", NULL,
         "machine.os is Linux, machine.value is High"},
        {"a negation shows the value", "machine.os: {not: Linux}", "{'osPlatform':'Windows11'}",
         NULL, "machine.os is Windows11"},
        {"only the branch that holds",
         "any: [{machine.os: Linux, machine.value: Low}, {machine.risk: High}]",
         "{'osPlatform':'Linux','deviceValue':'High','riskScore':'High'}", NULL,
         "machine.risk is High"},
        {"what is not there", "machine.tags: {exists: false}", "{}", NULL,
         "machine.tags is missing"},
        {"a hostile tag", "machine.tags: {glob: 't*'}", "{'machineTags':['t\\n<b>']}", NULL,
         "machine.tags is t <b>"},
    };
    AUTO(json_freep) struct json *alert = parse("{}");

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *machine = parse(rows[i].machine);
        const char *said;
        struct match m;
        struct rig r;

        rig_init(&r);
        assert_int_equal(judge(&r, rows[i].when, alert, machine, &m), rows[i].doubt ? U : T);
        said = rows[i].doubt ? match_doubt(&m, r.arena) : match_reason(&m, r.arena);
        if (strcmp(said, rows[i].doubt ? rows[i].doubt : rows[i].reason) != 0)
            fail_msg("%s: %s", rows[i].label, said);
        rig_clear(&r);
    }
}

static void test_match__what_is_shown_is_cut_at_200_characters(void **state)
{
    AUTO(json_freep) struct json *alert = long_title(5000, 'z');
    struct buf when = BUF_INIT(8192);
    struct match m;
    struct rig r;

    (void)state;
    rig_init(&r);
    buf_adds(&when, "alert.title: [");
    for (int i = 0; i < 300; i++)
        buf_adds(&when, "\xc3\xa4\xc3\xa4, ");
    buf_adds(&when, "x]");
    assert_int_equal(judge(&r, buf_text(&when), alert, NULL, &m), F);
    /* 200 characters of JSON and the ellipsis */
    assert_int_equal(strlen(m.predicates[0].seen), 200 + 3);
    assert_true(strlen(m.predicates[0].wanted) > 250 && strlen(m.predicates[0].wanted) < 400);
    assert_string_equal(m.predicates[0].seen + 197, "zzz\xe2\x80\xa6");
    buf_clear(&when);
    rig_clear(&r);
}

/* ---- faults ------------------------------------------------------------------------------------ */

#define DIGITS_31 "00112233445566778899aabbccddeef"

static void test_match__faults_of_conditions(void **state)
{
#define TEXT_OPS   "a plain value, in, not, glob, regex, in_file or exists"
#define LEVEL_OPS  "a plain value, in, not, at_least, at_most or exists"
#define NUMBER_OPS LEVEL_OPS
    static const struct {
        const char *when, *faults;
    } rows[] = {
        {"[a]", "1:1: when: expected a map of fields, such as {alert.severity: High}"},
        {"text", "1:1: when: expected a map of fields, such as {alert.severity: High}"},
        {"{}", "1:1: when: expected a map of fields, such as {alert.severity: High}"},
        {"alert.severty: High", "1:1: no such field 'alert.severty'; did you mean alert.severity?"},
        {"severity: High", "1:1: no such field 'severity'; did you mean alert.severity?"},
        {"weather: bad", "1:1: no such field 'weather'; see `cordon fields`"},
        {"ani: [{alert.severity: High}]", "1:1: no such field 'ani'; did you mean any?"},
        {"Not: {alert.severity: High}", "1:1: no such field 'Not'; did you mean not?"},
        {"or: [{alert.severity: High}]", "1:1: no such field 'or'; did you mean any?"},
        {"any: [{and: [{alert.severity: High}]}]", "1:8: no such field 'and'; did you mean all?"},
        {"alert.severity: Hihg", "1:17: alert.severity: 'Hihg' is no severity; did you mean High?"},
        {"alert.severity: Terrible", "1:17: alert.severity: 'Terrible' is no severity; expected "
                                     "UnSpecified, Informational, Low, Medium or High"},
        {"alert.severity: [High, Hgih]",
         "1:24: alert.severity: 'Hgih' is no severity; did you mean High?"},
        {"alert.severity: {at_least: Hihg}",
         "1:28: alert.severity: 'Hihg' is no severity; did you mean High?"},
        {"alert.severity: {at_least: [High]}",
         "1:28: alert.severity: expected one value, found a list"},
        {"alert.severity: {atleast: High}",
         "1:18: alert.severity: no such operator 'atleast'; did you mean at_least?"},
        {"alert.severity: {above: High}",
         "1:18: alert.severity: no such operator 'above'; expected " LEVEL_OPS},
        {"alert.severity: {is: High}",
         "1:18: alert.severity: no such operator 'is'; expected " LEVEL_OPS},
        {"alert.severity: {glob: H*}",
         "1:18: alert.severity is a level: glob does not apply; it takes " LEVEL_OPS},
        {"alert.severity: {regex: H}",
         "1:18: alert.severity is a level: regex does not apply; it takes " LEVEL_OPS},
        {"alert.severity: {}", "1:17: alert.severity: expected an operator: " LEVEL_OPS},
        {"alert.severity: []", "1:17: alert.severity: an empty list matches nothing"},
        {"alert.severity:",
         "1:1: alert.severity: expected a value; ask with {exists: false} whether "
         "there is none"},
        {"alert.severity: null", "1:17: alert.severity: expected a value; ask with {exists: false} "
                                 "whether there is none"},
        {"alert.severity: [High, ~]", "1:24: alert.severity: expected a value; ask with {exists: "
                                      "false} whether there is none"},
        {"alert.severity: [[High]]", "1:18: alert.severity: expected one value, found a list"},
        {"alert.severity: [{a: b}]", "1:18: alert.severity: expected one value, found a map"},
        {"alert.severity: ${NONE}", "1:17: the environment has no NONE; set it, or give a default: "
                                    "${NONE:-default}"},
        {"alert.status: Hidden2",
         "1:15: alert.status: 'Hidden2' is no status; did you mean Hidden?"},
        {"alert.status: {at_least: New}",
         "1:16: alert.status is a word: at_least does not apply; it takes a plain value, in, not or "
         "exists"},
        {"alert.detection_source: Oracle",
         "1:25: alert.detection_source: 'Oracle' is no detection source; see `cordon fields`"},
        {"alert.detection_source: 'MTP, AAD'",
         "1:25: alert.detection_source: 'MTP, AAD' is no detection source; see `cordon fields`"},
        {"alert.title: {at_least: x}",
         "1:15: alert.title is a text: at_least does not apply; it takes " TEXT_OPS},
        {"alert.title: {cidr: 10.0.0.0/8}",
         "1:15: alert.title is a text: cidr does not apply; it takes " TEXT_OPS},
        {"alert.title: ''", "1:14: alert.title: an empty text equals nothing; ask with {exists: "
                            "false} whether there is none"},
        {"alert.severity: {at_least: High, at_most: Low}",
         "1:17: alert.severity: nothing is at_least \"High\" and at_most \"Low\" at once"},
        {"machine.os_build: {at_most: 9, at_least: 10}",
         "1:19: machine.os_build: nothing is at_least 10 and at_most 9 at once"},
        {"alert.created: {older_than: 1h, newer_than: 60m}",
         "1:16: alert.created: nothing is older_than \"1h\" and newer_than \"60m\" at once"},
        {"alert.title: {glob: ['a*', '']}", "1:28: alert.title: an empty glob matches nothing"},
        {"alert.title: {glob: 'a['}", "1:21: alert.title: not a glob: '[' without ']'"},
        {"alert.title: {glob: '[z-a]'}",
         "1:21: alert.title: not a glob: range out of order in character class"},
        {"alert.title: {regex: '(a'}",
         "1:22: alert.title: not a regular expression: missing closing parenthesis (after character "
         "2)"},
        {"alert.title: {regex: '*a'}",
         "1:22: alert.title: not a regular expression: quantifier does "
         "not follow a repeatable item"},
        {"alert.title: {regex: '[a'}",
         "1:22: alert.title: not a regular expression: missing terminating ] for character class "
         "(after character 2)"},
        {"alert.title: {regex: 'a\\C'}",
         "1:22: alert.title: not a regular expression: using \\C is disabled by the application "
         "(after character 3)"},
        {"alert.title: {regex: '(*UCP)a'}", "1:22: alert.title: not a regular expression: settings "
                                            "such as (*UCP) at its start are not taken"},
        {"alert.title: {regex: ['a*(*PRUNE)b', 'lab(*SKIP)(*F)|prod', '(a(*THEN)b)', '\\(*then']}",
         "1:23: alert.title: not a regular expression: a verb such as (*SKIP) is not taken\n"
         "1:38: alert.title: not a regular expression: a verb such as (*SKIP) is not taken\n"
         "1:61: alert.title: not a regular expression: a verb such as (*SKIP) is not taken"},
        {"alert.title: {regex: '(*COMMIT)prod'}",
         "1:22: alert.title: not a regular expression: a verb such as (*SKIP) is not taken"},
        {"alert.title: {regex: ''}",
         "1:22: alert.title: an empty regular expression matches everything"},
        {"alert.title: {regex: '((((a{1,999}){1,999}){1,999}){1,999}){1,999}'}",
         "1:22: alert.title: not a regular expression: regular expression is too large (after "
         "character 44)"},
        {"machine.id: [" DIGITS_31 ", " DIGITS_31 "0, 'ws-1', " DIGITS_31 DIGITS_31
         "00, " DIGITS_31 DIGITS_31 "000]",
         "1:14: machine.id: '" DIGITS_31 "' is no machine id (40 hexadecimal digits); names are "
         "compared by machine.name\n"
         "1:81: machine.id: 'ws-1' is no machine id (40 hexadecimal digits); names are compared by "
         "machine.name\n"
         "1:155: machine.id: '" DIGITS_31 "00112233445566778899aabbccdde' is no machine id (40 "
         "hexadecimal digits); names are compared by machine.name"},
        {"alert.title: {exists: maybe}",
         "1:23: alert.title: exists takes true or false, found 'maybe'"},
        {"alert.title: {exists: 'true'}",
         "1:23: alert.title: exists takes true or false, found 'true' in quotes"},
        {"alert.title: {exists: yes}",
         "1:23: alert.title: exists takes true or false, found 'yes'"},
        {"alert.title: {not: {}}", "1:20: alert.title: expected an operator: " TEXT_OPS},
        {"alert.title: {not: []}", "1:20: alert.title: an empty list matches nothing"},
        {"alert.title: {not: {cidr: x}}",
         "1:21: alert.title is a text: cidr does not apply; it takes " TEXT_OPS},
        {"alert.incident_id: abc", "1:20: alert.incident_id: expected a whole number, found 'abc'"},
        {"alert.incident_id: '7'",
         "1:20: alert.incident_id: expected a whole number, found '7' in quotes"},
        {"alert.incident_id: 1.5", "1:20: alert.incident_id: expected a whole number, found '1.5'"},
        {"alert.incident_id: 0x10",
         "1:20: alert.incident_id: expected a whole number, found '0x10'"},
        {"alert.incident_id: 99999999999999999999",
         "1:20: alert.incident_id: expected a whole number, found '99999999999999999999'"},
        {"alert.incident_id: {glob: '1*'}",
         "1:21: alert.incident_id is a number: glob does not apply; it takes " NUMBER_OPS},
        {"machine.aad_joined: yes",
         "1:21: machine.aad_joined: expected true or false, found 'yes'"},
        {"machine.aad_joined: 'true'",
         "1:21: machine.aad_joined: expected true or false, found 'true' in quotes"},
        {"machine.aad_joined: [true]",
         "1:21: machine.aad_joined is a bool and takes no list of values; "
         "it takes a plain value, not or exists"},
        {"machine.aad_joined: {at_least: true}",
         "1:22: machine.aad_joined is a bool: at_least does not "
         "apply; it takes a plain value, not or exists"},
        {"alert.created: 2024-12-31",
         "1:16: alert.created is a time and takes no plain value; it takes "
         "older_than, newer_than or exists"},
        {"alert.created: [a]",
         "1:16: alert.created is a time and takes no list of values; it takes "
         "older_than, newer_than or exists"},
        {"alert.created: {not: x}", "1:17: alert.created is a time: not does not apply; it takes "
                                    "older_than, newer_than or exists"},
        {"alert.created: {older_than: 5}",
         "1:29: alert.created: older_than: '5' is not a time such as "
         "30s, 5m, 4h or 3d"},
        {"alert.created: {newer_than: soon}",
         "1:29: alert.created: newer_than: 'soon' is not a time "
         "such as 30s, 5m, 4h or 3d"},
        {"machine.ip: localhost", "1:13: machine.ip: expected an IP address, found 'localhost'"},
        {"machine.ip: 10.0.0.0/8",
         "1:13: machine.ip: '10.0.0.0/8' is a network; write {cidr: 10.0.0.0/8}"},
        {"machine.ip: {glob: 10.*}",
         "1:14: machine.ip is an address: glob does not apply; it takes a "
         "plain value, in, not, cidr, in_file or exists"},
        {"machine.ips: {older_than: 1h}",
         "1:15: machine.ips is a list of addresses: older_than does not apply; it takes a plain value, "
         "in, not, cidr, in_file or exists"},
        {"any: {alert.title: x}", "1:6: any: expected a list of maps, one at least"},
        {"any: []", "1:6: any: expected a list of maps, one at least"},
        {"all: x", "1:6: all: expected a list of maps, one at least"},
        {"any: [x]", "1:7: any: expected a map of fields, such as {alert.severity: High}"},
        {"any: [{}]", "1:7: any: expected a map of fields, such as {alert.severity: High}"},
        {"not: [x]", "1:6: not: expected a map of fields, such as {alert.severity: High}"},
        {"not: {}", "1:6: not: expected a map of fields, such as {alert.severity: High}"},
        {"alert.severty: High\nnot: {alert.title: {regex: ')'}}\nmachine.ip: x",
         "1:1: no such field 'alert.severty'; did you mean alert.severity?\n"
         "2:28: alert.title: not a regular expression: unmatched closing parenthesis\n"
         "3:13: machine.ip: expected an IP address, found 'x'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;

        rig_init(&r);
        if (condition_compile(&r.reader, rig_yaml(&r, rows[i].when), "when"))
            fail_msg("%s is taken", rows[i].when);
        if (strcmp(rig_faults(&r), rows[i].faults) != 0)
            fail_msg("%s:\n%s\nexpected\n%s", rows[i].when, rig_faults(&r), rows[i].faults);
        rig_clear(&r);
    }
}

static void test_match__a_cidr_fault_says_what_settings_say(void **state)
{
    struct cidr net;
    struct err e = {0};
    struct rig r;
    char expected[600];

    (void)state;
    rig_init(&r);
    assert_int_equal(settings_cidr("10.0.0.0/33", &net, &e), ERR_INVALID);
    assert_null(
        condition_compile(&r.reader, rig_yaml(&r, "machine.ip: {cidr: 10.0.0.0/33}"), "when"));
    (void)snprintf(expected, sizeof expected, "1:20: machine.ip: cidr: %s", e.text);
    assert_string_equal(rig_faults(&r), expected);
    rig_clear(&r);
}

static void test_match__limits_of_the_file(void **state)
{
    struct buf b = BUF_INIT(65536);
    struct rig r;

    (void)state;
    /* depth */
    rig_init(&r);
    for (int i = 1; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&b, "{not: ");
    buf_adds(&b, "{alert.title: x}");
    for (int i = 1; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&b, "}");
    assert_non_null(condition_compile(&r.reader, rig_yaml(&r, buf_text(&b)), "when"));
    rig_clear(&r);
    rig_init(&r);
    buf_reset(&b);
    for (int i = 1; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&b, "{any: [");
    buf_adds(&b, "{not: {alert.title: x}}");
    for (int i = 1; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&b, "]}");
    assert_null(condition_compile(&r.reader, rig_yaml(&r, buf_text(&b)), "when"));
    assert_non_null(strstr(rig_faults(&r), ": nested more than 16 deep"));
    rig_clear(&r);
    /* the not of a field counts, too */
    rig_init(&r);
    buf_reset(&b);
    buf_adds(&b, "alert.title: ");
    for (int i = 0; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&b, "{not: ");
    buf_adds(&b, "{not: x}");
    for (int i = 0; i < CONDITION_DEPTH_MAX; i++)
        buf_adds(&b, "}");
    assert_null(condition_compile(&r.reader, rig_yaml(&r, buf_text(&b)), "when"));
    assert_non_null(strstr(rig_faults(&r), ": nested more than 16 deep"));
    rig_clear(&r);
    /* length of expressions */
    for (int over = 0; over <= 1; over++) {
        rig_init(&r);
        buf_reset(&b);
        buf_adds(&b, "alert.title: {glob: '");
        for (int i = 0; i < REGEX_TEXT_MAX + over; i++)
            buf_addc(&b, i % 2 ? '*' : '.');
        buf_adds(&b, "'}");
        assert_int_equal(!condition_compile(&r.reader, rig_yaml(&r, buf_text(&b)), "when"), over);
        assert_string_equal(rig_faults(&r),
                            over ? "1:21: alert.title: a glob of more than 1000 characters" : "");
        rig_clear(&r);
    }
    buf_clear(&b);
}

/* What is missing of a glob would make it another one, of a rule or a protection that nobody wrote. */
static void test_match__without_memory_a_glob_is_no_other_one(void **state)
{
    AUTO(json_freep)
    struct json *yes = parse("{'title':'a long head and its tail'}"),
                *no = parse("{'title':'this and its tail'}");
    bool failed = true;
    struct rig r;

    (void)state;
    for (long n = 1; failed; n++) {
        const struct yaml_node *map;
        const struct condition *c;

        rig_init(&r);
        map = rig_yaml(&r, "alert.title: {glob: 'a long head*and its*tail'}");
        torture_arm(n);
        c = condition_compile(&r.reader, map, "when");
        failed = torture_disarm();
        if (!failed)
            assert_non_null(c);
        for (int i = 0; c && i < 2; i++) {
            struct facts f = facts_of(i ? yes : no, NULL);
            struct match m;

            assert_int_equal(condition_match(c, &f, NOW, r.arena, &m), ERR_OK);
            if (m.result != (i ? TRUTH_TRUE : TRUTH_FALSE))
                fail_msg("allocation %ld: %s over '%s'", n, truth_name(m.result), i ? "yes" : "no");
        }
        rig_clear(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match__texts),
        cmocka_unit_test(test_match__words_and_levels),
        cmocka_unit_test(test_match__numbers_truth_values_and_addresses),
        cmocka_unit_test(test_match__times_are_asked_for_their_age),
        cmocka_unit_test(test_match__a_list_holds_when_any_element_does),
        cmocka_unit_test(test_match__globs),
        cmocka_unit_test(test_match__regular_expressions),
        cmocka_unit_test(test_match__an_expression_that_does_not_end_is_unknown),
        cmocka_unit_test(test_match__memory_and_depth_have_a_bound),
        cmocka_unit_test(test_match__behind_a_limit_the_others_are_judged),
        cmocka_unit_test(test_match__a_hostile_list_costs_one_limit),
        cmocka_unit_test(test_match__a_text_that_is_too_long_is_unknown_to_patterns_alone),
        cmocka_unit_test(test_match__truth_tables),
        cmocka_unit_test(test_match__random_trees_agree_with_kleene),
        cmocka_unit_test(test_match__explains_every_predicate),
        cmocka_unit_test(test_match__doubts_and_reasons_name_what_decided),
        cmocka_unit_test(test_match__what_is_shown_is_cut_at_200_characters),
        cmocka_unit_test(test_match__faults_of_conditions),
        cmocka_unit_test(test_match__a_cidr_fault_says_what_settings_say),
        cmocka_unit_test(test_match__limits_of_the_file),
        cmocka_unit_test(test_match__without_memory_a_glob_is_no_other_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
