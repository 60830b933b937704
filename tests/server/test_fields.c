/* test_fields.c - one vocabulary, and how each word reads Defender's documents. */
#include "fields.h"

#include "clock.h"
#include "policy_kit.h"

/* "missing", or the items: 'text' for strings, text for others, ! before a strange one. */
static const char *read_as_text(struct arena *a, const char *name, const struct facts *f)
{
    const struct field *field = field_find(name);
    struct buf b = BUF_INIT(65536);
    struct field_value v;
    const char *text;

    if (!field)
        fail_msg("no field %s", name);
    assert_int_equal(field_read(field, f, a, &v), ERR_OK);
    if (v.missing) {
        assert_int_equal(v.count, 0);
        return "missing";
    }
    for (size_t i = 0; i < v.count; i++)
        buf_addf(&b, v.items[i].is_text ? "%s%s'%s'" : "%s%s%s", i ? " " : "",
                 v.items[i].known ? "" : "!", v.items[i].text);
    text = arena_str(a, buf_text(&b));
    buf_clear(&b);
    return text;
}

static void test_fields__the_table_is_whole(void **state)
{
    (void)state;
    for (const struct field *f = field_table(); f->name; f++) {
        assert_ptr_equal(field_find(f->name), f);
        assert_non_null(f->meaning);
        assert_non_null(f->example);
        assert_true(strlen(f->meaning) < 80);
        assert_int_equal(f->words != NULL, f->type == FIELD_WORD || f->type == FIELD_LEVEL);
        if (f->words)
            assert_true(field_word(f->words, f->example) >= 0);
        if (f->type == FIELD_ADDRESS)
            assert_true(field_address(f->example, (unsigned char[16]){0}));
        if (f->type == FIELD_TIME)
            assert_int_equal(clock_parse(f->example, &(int64_t){0}, NULL), ERR_OK);
        if (f->type == FIELD_BOOL)
            assert_true(strcmp(f->example, "true") == 0 || strcmp(f->example, "false") == 0);
        assert_true(field_ops(f) & 1u << FIELD_OP_EXISTS);
        for (const struct field *g = f + 1; g->name; g++)
            assert_string_not_equal(f->name, g->name);
    }
    assert_null(field_find("alert"));
    assert_null(field_find("ALERT.ID"));
    assert_null(field_find(""));
}

/* The sample of defender-api.md sections 2.2 and 3.2. */
static const char sample_alert[] =
    "{'id':'da638712345678901234_-1027384756','incidentId':48213,'investigationId':9917,"
    "'assignedTo':null,'severity':'High','status':'New','classification':null,'determination':null,"
    "'investigationState':'Queued','detectionSource':'WindowsDefenderAtp',"
    "'detectorId':'5c6b7a86-12f2-4a55-9d0e-4f0f6f0c9a11','category':'CredentialAccess',"
    "'threatFamilyName':null,'title':'Sensitive credential memory read',"
    "'description':'A process read.\\n\\nCredentials may have been taken.',"
    "'alertCreationTime':'2024-12-31T09:36:07.8901234Z','firstEventTime':'2024-12-31T09:31:55.05Z',"
    "'lastEventTime':'2024-12-31T09:32:01Z','lastUpdateTime':'2024-12-31T09:36:09.57Z',"
    "'resolvedTime':null,'machineId':'9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4',"
    "'computerDnsName':'ws-114.corp.example','rbacGroupName':'Workstations',"
    "'aadTenantId':'0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50','threatName':null,"
    "'mitreTechniques':['T1003','T1003.001'],'relatedUser':{'userName':'j.doe','domainName':'CORP'},"
    "'loggedOnUsers':[{'accountName':'j.doe','domainName':'CORP'},{'accountName':'root'}],"
    "'comments':[],'evidence':[{'entityType':'Process','sha1':'aa','sha256':'bb',"
    "'fileName':'rundll32.exe','processCommandLine':'rundll32.exe comsvcs.dll','ipAddress':null,"
    "'url':null,'accountName':'j.doe','domainName':'CORP','userPrincipalName':'j.doe@corp.example'},"
    "{'entityType':'Ip','ipAddress':'203.0.113.9','url':'','accountName':null},"
    "{'entityType':'User','accountName':'svc','domainName':'CORP'},"
    "{'entityType':'Url','url':'http://bad.example/x'}],'domains':[{'host':'bad.example'}]}";
static const char sample_machine[] =
    "{'id':'9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4','mergedIntoMachineId':null,"
    "'isPotentialDuplication':false,'isExcluded':true,'exclusionReason':'InactiveDevice',"
    "'computerDnsName':'ws-114.corp.example','firstSeen':'2024-02-11T07:45:02.1203456Z',"
    "'lastSeen':'2024-12-31T08:58:41.905Z','osPlatform':'Windows11','osVersion':null,"
    "'osProcessor':'x64','version':'23H2','lastIpAddress':'10.20.4.17',"
    "'lastExternalIpAddress':'198.51.100.24','agentVersion':'10.8760','osBuild':22631,"
    "'healthStatus':'Active','deviceValue':'Normal','rbacGroupId':140,'rbacGroupName':'Workstations',"
    "'riskScore':'High','exposureLevel':'Medium','isAadJoined':true,'aadDeviceId':'6f8f',"
    "'machineTags':['finance'],'onboardingStatus':'onboarded','osArchitecture':'64-bit',"
    "'managedBy':'Intune','managedByStatus':'Success','vmMetadata':{'cloudProvider':'Azure'},"
    "'ipAddresses':[{'ipAddress':'10.20.4.17','macAddress':'A0B1C2D3E4F5'},{'ipAddress':''},"
    "{'ipAddress':'fe80::1%12'},{'ipAddress':null},{}]}";

static void test_fields__every_field_reads_the_reference_sample(void **state)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"alert.id", "'da638712345678901234_-1027384756'"},
        {"alert.severity", "'High'"},
        {"alert.status", "'New'"},
        {"alert.title", "'Sensitive credential memory read'"},
        {"alert.description", "'A process read.\n\nCredentials may have been taken.'"},
        {"alert.category", "'CredentialAccess'"},
        {"alert.detection_source", "'WindowsDefenderAtp'"},
        {"alert.detector_id", "'5c6b7a86-12f2-4a55-9d0e-4f0f6f0c9a11'"},
        {"alert.classification", "missing"},
        {"alert.determination", "missing"},
        {"alert.investigation_state", "'Queued'"},
        {"alert.investigation_id", "9917"},
        {"alert.incident_id", "48213"},
        {"alert.threat_family", "missing"},
        {"alert.threat_name", "missing"},
        {"alert.assigned_to", "missing"},
        {"alert.created", "'2024-12-31T09:36:07.8901234Z'"},
        {"alert.first_event", "'2024-12-31T09:31:55.05Z'"},
        {"alert.last_event", "'2024-12-31T09:32:01Z'"},
        {"alert.updated", "'2024-12-31T09:36:09.57Z'"},
        {"alert.resolved", "missing"},
        {"alert.user", "'CORP\\j.doe'"},
        {"alert.users", "'CORP\\j.doe' 'root'"},
        {"alert.mitre", "'T1003' 'T1003.001'"},
        {"alert.group", "'Workstations'"},
        {"alert.tenant_id", "'0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50'"},
        {"alert.machine_id", "'9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4'"},
        {"alert.machine_name", "'ws-114.corp.example'"},
        {"alert.domains", "'bad.example'"},
        {"alert.evidence.types", "'Process' 'Ip' 'User' 'Url'"},
        {"alert.evidence.files", "'rundll32.exe'"},
        {"alert.evidence.sha1", "'aa'"},
        {"alert.evidence.sha256", "'bb'"},
        {"alert.evidence.processes", "'rundll32.exe comsvcs.dll'"},
        {"alert.evidence.ips", "'203.0.113.9'"},
        {"alert.evidence.urls", "'http://bad.example/x'"},
        {"alert.evidence.users", "'j.doe@corp.example' 'CORP\\svc'"},
        {"machine.id", "'9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4'"},
        {"machine.name", "'ws-114.corp.example'"},
        {"machine.os", "'Windows11'"},
        {"machine.os_version", "missing"},
        {"machine.version", "'23H2'"},
        {"machine.os_build", "22631"},
        {"machine.architecture", "'64-bit'"},
        {"machine.tags", "'finance'"},
        {"machine.group", "'Workstations'"},
        {"machine.group_id", "140"},
        {"machine.value", "'Normal'"},
        {"machine.risk", "'High'"},
        {"machine.exposure", "'Medium'"},
        {"machine.health", "'Active'"},
        {"machine.onboarding", "'onboarded'"}, /* the page prints it so */
        {"machine.ip", "'10.20.4.17'"},
        {"machine.external_ip", "'198.51.100.24'"},
        {"machine.ips", "'10.20.4.17' 'fe80::1%12'"},
        {"machine.aad_device_id", "'6f8f'"},
        {"machine.aad_joined", "true"},
        {"machine.excluded", "true"},
        {"machine.exclusion", "'InactiveDevice'"},
        {"machine.duplicate", "false"},
        {"machine.first_seen", "'2024-02-11T07:45:02.1203456Z'"},
        {"machine.last_seen", "'2024-12-31T08:58:41.905Z'"},
        {"machine.managed_by", "'Intune'"},
        {"machine.managed_by_status", "'Success'"},
        {"machine.agent_version", "'10.8760'"},
        {"machine.vm_cloud", "'Azure'"},
        {"tenant", "'contoso'"},
        {"source", "'relay'"},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *alert = parse(sample_alert), *machine = parse(sample_machine);
    struct facts f = facts_of(alert, machine);
    size_t fields = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(read_as_text(a, rows[i].name, &f), rows[i].value);
    while (field_table()[fields].name)
        fields++;
    assert_int_equal(fields, sizeof rows / sizeof rows[0]); /* none without a row here */
}

static void test_fields__what_was_not_said_is_missing_and_what_is_odd_is_strange(void **state)
{
    static const struct {
        const char *label, *name, *alert, *value;
    } rows[] = {
        {"absent", "alert.severity", "{}", "missing"},
        {"null", "alert.severity", "{'severity':null}", "missing"},
        {"an empty text", "alert.severity", "{'severity':''}", "missing"},
        {"another case", "alert.severity", "{'severity':'hIGH'}", "'hIGH'"},
        {"a later level", "alert.severity", "{'severity':'Critical'}", "!'Critical'"},
        {"a number for a level", "alert.severity", "{'severity':256}", "!256"},
        {"an object for a level", "alert.severity", "{'severity':{'a':[1]}}", "!{\"a\":[1]}"},
        {"a list for a level", "alert.severity", "{'severity':['High']}", "![\"High\"]"},
        {"another member's case", "alert.severity", "{'Severity':'High'}", "missing"},
        {"the text null as category", "alert.category", "{'category':'null'}", "missing"},
        {"Null as category", "alert.category", "{'category':'Null'}", "'Null'"},
        {"a number as category", "alert.category", "{'category':7}", "!7"},
        {"the text null as title", "alert.title", "{'title':'null'}", "'null'"},
        {"false as title", "alert.title", "{'title':false}", "!false"},
        {"a number in digits", "alert.incident_id", "{'incidentId':'48213'}", "'48213'"},
        {"beyond a double", "alert.incident_id", "{'incidentId':9007199254740993}",
         "9007199254740993"},
        {"beyond 64 bits", "alert.incident_id", "{'incidentId':9223372036854775808}",
         "!9223372036854775808"},
        {"a fraction", "alert.incident_id", "{'incidentId':1.5}", "!1.5"},
        {"words for a number", "alert.incident_id", "{'incidentId':'many'}", "!'many'"},
        {"zero", "alert.incident_id", "{'incidentId':0}", "0"},
        {"a time without fraction", "alert.created", "{'alertCreationTime':'2024-12-31T09:36:07Z'}",
         "'2024-12-31T09:36:07Z'"},
        {"a time without zone", "alert.created", "{'alertCreationTime':'2024-12-31T09:36:07'}",
         "!'2024-12-31T09:36:07'"},
        {"two flags", "alert.detection_source", "{'detectionSource':'WindowsDefenderAtp, MTP'}",
         "'WindowsDefenderAtp' 'MTP'"},
        {"flags without blanks", "alert.detection_source", "{'detectionSource':'MTP,AAD'}",
         "'MTP' 'AAD'"},
        {"an unknown flag among others", "alert.detection_source",
         "{'detectionSource':'MTP, Oracle ,AAD'}", "'MTP' !'Oracle' 'AAD'"},
        {"commas alone", "alert.detection_source", "{'detectionSource':' , ,'}", "missing"},
        {"flags as a number", "alert.detection_source", "{'detectionSource':3}", "!3"},
        {"flags as null", "alert.detection_source", "{'detectionSource':null}", "missing"},
        {"a list that is empty", "alert.mitre", "{'mitreTechniques':[]}", ""},
        {"a list that is null", "alert.mitre", "{'mitreTechniques':null}", "missing"},
        {"a list that is none", "alert.mitre", "{'mitreTechniques':'T1003'}", "!'T1003'"},
        {"a list that is an object", "alert.mitre", "{'mitreTechniques':{}}", "!{}"},
        {"odd elements", "alert.mitre", "{'mitreTechniques':['T1',null,'',7,['x']]}",
         "'T1' !7 ![\"x\"]"},
        {"evidence with nulls alone", "alert.evidence.sha1", "{'evidence':[{'sha1':null},{}]}", ""},
        {"evidence with an odd hash", "alert.evidence.sha1",
         "{'evidence':[{'sha1':1},{'sha1':'a'}]}", "!1 'a'"},
        {"evidence that is a text", "alert.evidence.sha1", "{'evidence':'none'}", "!'none'"},
        {"an address that is none", "alert.evidence.ips", "{'evidence':[{'ipAddress':'10.1'}]}",
         "!'10.1'"},
        {"no related user", "alert.user", "{'relatedUser':null}", "missing"},
        {"a related user without name", "alert.user",
         "{'relatedUser':{'userName':null,'domainName':'CORP'}}", "missing"},
        {"a related user with an odd name", "alert.user", "{'relatedUser':{'userName':7}}", "!7"},
        {"a related user as text", "alert.user", "{'relatedUser':'CORP\\\\j'}", "!'CORP\\j'"},
        {"logged on: none", "alert.users", "{'loggedOnUsers':[]}", ""},
        {"logged on: one without domain", "alert.users",
         "{'loggedOnUsers':[{'accountName':'a','domainName':''},{'accountName':null}]}", "'a'"},
        {"logged on: a number", "alert.users", "{'loggedOnUsers':[1]}", "!1"},
        {"logged on: null", "alert.users", "{'loggedOnUsers':null}", "missing"},
        {"evidence accounts", "alert.evidence.users",
         "{'evidence':[{'accountName':'a','userPrincipalName':''},{'userPrincipalName':'u@x'}]}",
         "'a' 'u@x'"},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *alert = parse(rows[i].alert);
        struct facts f = facts_of(alert, NULL);
        const char *value = read_as_text(a, rows[i].name, &f);

        if (strcmp(value, rows[i].value) != 0)
            fail_msg("%s: %s, expected %s", rows[i].label, value, rows[i].value);
    }
}

static void test_fields__machine_fields_are_missing_without_a_machine(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *alert = parse("{'id':'da1'}");
    struct facts f = facts_of(alert, NULL);

    (void)state;
    for (const struct field *field = field_table(); field->name; field++)
        if (strncmp(field->name, "machine.", 8) == 0)
            assert_string_equal(read_as_text(a, field->name, &f), "missing");
}

static void test_fields__odd_machine_values(void **state)
{
    static const struct {
        const char *name, *machine, *value;
    } rows[] = {
        {"machine.group_id", "{'rbacGroupId':'140'}", "'140'"},
        {"machine.group_id", "{'rbacGroupId':0}", "0"},
        {"machine.os_build", "{'osBuild':null}", "missing"},
        {"machine.aad_joined", "{'isAadJoined':null}", "missing"},
        {"machine.aad_joined", "{'isAadJoined':'true'}", "!'true'"},
        {"machine.aad_joined", "{'isAadJoined':1}", "!1"},
        {"machine.ips", "{'ipAddresses':null}", "missing"},
        {"machine.ips", "{'ipAddresses':[]}", ""},
        {"machine.ips", "{'ipAddresses':['10.0.0.1',7]}", "!'10.0.0.1' !7"},
        {"machine.ip", "{'lastIpAddress':''}", "missing"},
        {"machine.vm_cloud", "{'vmMetadata':null}", "missing"},
        {"machine.vm_cloud", "{'vmMetadata':{'cloudProvider':null}}", "missing"},
        {"machine.value", "{'deviceValue':'Critical'}", "!'Critical'"},
        {"machine.tags", "{'machineTags':['A',{'x':1}]}", "'A' !{\"x\":1}"},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);
    AUTO(json_freep) struct json *alert = parse("{}");

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(json_freep) struct json *machine = parse(rows[i].machine);
        struct facts f = facts_of(alert, machine);

        assert_string_equal(read_as_text(a, rows[i].name, &f), rows[i].value);
    }
}

static void test_fields__addresses(void **state)
{
    static const struct {
        const char *text;
        bool good;
        unsigned char last4[4];
    } rows[] = {
        {"10.20.4.17", true, {10, 20, 4, 17}},
        {"::ffff:10.20.4.17", true, {10, 20, 4, 17}},
        {"::1", true, {0, 0, 0, 1}},
        {"fe80::1%eth0", true, {0, 0, 0, 1}},
        {"10.20.4.17%1", false, {0}},
        {"10.20.4", false, {0}},
        {"10.20.4.256", false, {0}},
        {"10.20.4.017x", false, {0}},
        {"", false, {0}},
        {"%", false, {0}},
        {"ws-114", false, {0}},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee", false, {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char got[16];

        if (field_address(rows[i].text, got) != rows[i].good)
            fail_msg("%s", rows[i].text);
        if (rows[i].good)
            assert_memory_equal(got + 12, rows[i].last4, 4);
    }
}

static void test_fields__the_nearest_name(void **state)
{
    (void)state;
    assert_string_equal(field_nearest("alert.severty"), "alert.severity");
    assert_string_equal(field_nearest("severity"), "alert.severity");
    assert_string_equal(field_nearest("Tags"), "machine.tags");
    assert_string_equal(field_nearest("machine.tag"), "machine.tags");
    assert_string_equal(field_nearest("alert.evidence.file"), "alert.evidence.files");
    assert_null(field_nearest("weather"));
    assert_null(field_nearest(""));
}

static void test_fields__words_for_people(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    enum field_op op;

    (void)state;
    assert_string_equal(field_noun(field_find("alert.detection_source"), a), "detection source");
    assert_string_equal(field_noun(field_find("tenant"), a), "tenant");
    assert_string_equal(field_type_name(field_find("alert.title")), "text");
    assert_string_equal(field_type_name(field_find("machine.ips")), "list of addresses");
    assert_string_equal(field_type_name(field_find("machine.risk")), "level");
    for (enum field_op i = FIELD_OP_IN; i < FIELD_OPS; i++) {
        assert_true(field_op_find(field_op_name(i), &op));
        assert_int_equal(op, i);
    }
    assert_false(field_op_find("is", &op)); /* a bare value says it */
    assert_false(field_op_find("", &op));
}

static void test_fields__what_is_shown_holds_no_controls_and_is_cut_between_characters(void **state)
{
    static const struct {
        const char *label, *text, *shown;
        size_t max;
    } rows[] = {
        {"plain", "ws-114", "ws-114", 20},
        {"empty", "", "", 20},
        {"line ends", "a\r\nBcc: x", "a  Bcc: x", 20},
        {"tab, DEL, ESC",
         "a\tb\x7f"
         "c\x1b[1m",
         "a b c [1m", 20},
        {"C1 controls",
         "a\xc2\x85"
         "b\xc2\x9f"
         "c",
         "a b c", 20},
        {"what follows C1 is kept", "\xc2\xa0", "\xc2\xa0", 20},
        {"line separator",
         "a\xe2\x80\xa8"
         "b",
         "a b", 20},
        {"right-to-left override",
         "exe\xe2\x80\xae"
         "cod",
         "exe cod", 20},
        {"isolate",
         "a\xe2\x81\xa6"
         "b",
         "a b", 20},
        {"letters stay", "K\xc3\xa4nslig", "K\xc3\xa4nslig", 20},
        {"exactly as long", "12345678", "12345678", 8},
        {"cut", "123456789", "12345\xe2\x80\xa6", 8},
        {"cut before a letter of two bytes", "1234\xc3\xa4zzzzz", "1234\xe2\x80\xa6", 8},
        {"markup is not its business", "<b>", "<b>", 20},
    };
    AUTO(arena_freep) struct arena *a = arena_new(0);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *shown = field_shown(a, rows[i].text, rows[i].max);

        if (strcmp(shown, rows[i].shown) != 0)
            fail_msg("%s: '%s'", rows[i].label, shown);
        assert_true(strlen(shown) <= rows[i].max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields__the_table_is_whole),
        cmocka_unit_test(test_fields__every_field_reads_the_reference_sample),
        cmocka_unit_test(test_fields__what_was_not_said_is_missing_and_what_is_odd_is_strange),
        cmocka_unit_test(test_fields__machine_fields_are_missing_without_a_machine),
        cmocka_unit_test(test_fields__odd_machine_values),
        cmocka_unit_test(test_fields__addresses),
        cmocka_unit_test(test_fields__the_nearest_name),
        cmocka_unit_test(test_fields__words_for_people),
        cmocka_unit_test(
            test_fields__what_is_shown_holds_no_controls_and_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
