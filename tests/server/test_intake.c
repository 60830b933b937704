/* test_intake.c - which alerts a body names, and what is refused rather than mis-read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "intake.h"
#include "kit/torture.h"

#define A  "da637472900382838869_1364969609"
#define A2 "da637308392288907382_-880718168"
#define M  "0123456789abcdef0123456789abcdef01234567"
#define M2 "fedcba9876543210fedcba9876543210fedcba98"
#define T  "11111111-2222-3333-4444-555555555555"
#define T2 "99999999-2222-3333-4444-555555555555"

/* "A/M/T, …", "test", "validation CODE", or the error's name and sentence. */
static const char *read_text(const char *body, size_t len, struct buf *out)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct intake in;
    struct err e = {0};
    enum err_code code = intake_read(a, body, len, &in, &e);

    buf_reset(out);
    if (code) {
        buf_addf(out, "%s: %s", err_name(code), e.text);
        assert_int_equal(code, e.code);
        return buf_text(out);
    }
    if (in.test)
        buf_adds(out, "test ");
    if (in.validation_code)
        buf_addf(out, "validation %s", in.validation_code);
    for (size_t i = 0; i < in.count; i++)
        buf_addf(out, "%s%s/%s/%s", i ? ", " : "", in.alerts[i].alert_id,
                 in.alerts[i].machine_id ? in.alerts[i].machine_id : "-",
                 in.alerts[i].tenant_id ? in.alerts[i].tenant_id : "-");
    return buf_text(out);
}

struct row {
    const char *body, *says;
};

static void takes(const struct row *rows, size_t n)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);

    for (size_t i = 0; i < n; i++) {
        const char *says = read_text(rows[i].body, strlen(rows[i].body), &out);

        if (strcmp(says, rows[i].says) != 0)
            fail_msg("%s\n  gave     %s\n  expected %s", rows[i].body, says, rows[i].says);
    }
}

/* says: a part of the sentence. No sentence holds what the sender wrote. */
static void refuses(const struct row *rows, size_t n)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);

    for (size_t i = 0; i < n; i++) {
        const char *says = read_text(rows[i].body, strlen(rows[i].body), &out);

        if (strncmp(says, "invalid: ", 9) != 0 || !strstr(says, rows[i].says))
            fail_msg("%s\n  gave %s\n  expected '%s'", rows[i].body, says, rows[i].says);
        if (strstr(says, "da6374") || strstr(says, "evil"))
            fail_msg("%s\n  was echoed: %s", rows[i].body, says);
    }
}
#define TAKES(rows)   takes(rows, sizeof(rows) / sizeof *(rows))
#define REFUSES(rows) refuses(rows, sizeof(rows) / sizeof *(rows))

static void test_intake__reads_every_shape_that_senders_use(void **state)
{
    static const struct row rows[] = {
        /* 1 */
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\"}", A "/" M "/-"},
        {"{\"alertId\":\"" A "\"}", A "/-/-"},
        {"\xef\xbb\xbf{\"alertId\":\"" A "\"}", A "/-/-"}, /* as PowerShell writes it */
        {" \r\n\t{ \"machineId\" : \"" M "\" , \"alertId\" : \"" A "\" } \n", A "/" M "/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\",\"tenantId\":\"" T
         "\",\"source\":\"x\",\"sentAt\":\"2026-01-01T00:00:00Z\"}",
         A "/" M "/" T},
        {"{\"alertId\":\"" A "\",\"severity\":\"High\",\"evil\":{\"alertId\":\"x\"}}", A "/-/-"},
        /* 2 */
        {"{\"id\":\"" A "\",\"machineId\":\"" M "\"}", A "/" M "/-"},
        {"{\"id\":\"" A "\"}", A "/-/-"},
        {"{\"id\":\"636688558380765161_2136280442\",\"machineId\":\"" M "\"}",
         "636688558380765161_2136280442/" M "/-"},
        {"{\"id\":\"636688558380765161_2136280442\",\"machineId\":null}",
         "636688558380765161_2136280442/-/-"},
        {"{\"id\":\"whatever.it-is\",\"deviceId\":\"" M "\"}", "whatever.it-is/" M "/-"},
        /* 3 */
        {"{\"AlertId\":\"" A "\",\"MachineId\":\"" M "\"}", A "/" M "/-"},
        {"{\"alert_id\":\"" A "\",\"machine_id\":\"" M "\"}", A "/" M "/-"},
        {"{\"AlertID\":\"" A "\",\"DeviceId\":\"" M "\"}", A "/" M "/-"},
        {"{\"ALERT-ID\":\"" A "\",\"device id\":\"" M "\"}", A "/" M "/-"},
        {"{\"Alert Id\":\"" A "\",\"deviceId\":\"" M "\",\"AAD_Tenant_ID\":\"" T "\"}",
         A "/" M "/" T},
        {"{\"ID\":\"" A "\",\"MACHINEID\":\"" M "\"}", A "/" M "/-"},
        /* 4 */
        {"{\"headers\":{\"X\":\"y\"},\"body\":{\"id\":\"" A "\",\"machineId\":\"" M "\"}}",
         A "/" M "/-"},
        {"{\"name\":\"t\",\"inputs\":{},\"outputs\":{\"headers\":{},\"body\":{\"id\":\"" A
         "\",\"machineId\":\"" M "\"}}}",
         A "/" M "/-"},
        /* 5 */
        {"{\"body\":{\"id\":\"" A "\",\"machineId\":\"" M "\"}}", A "/" M "/-"},
        {"{\"body\":{\"value\":[{\"id\":\"" A "\",\"machineId\":\"" M "\"}]}}", A "/" M "/-"},
        {"{\"body\":{\"value\":{\"id\":\"" A "\",\"machineId\":\"" M "\"}}}", A "/" M "/-"},
        /* 6 */
        {"{\"id\":\"" A "\",\"incidentId\":1126093,\"investigationId\":null,\"assignedTo\":null,"
         "\"severity\":\"Low\",\"status\":\"New\",\"title\":\"Low-reputation\",\"machineId\":\"" M
         "\",\"computerDnsName\":\"a.b\",\"category\":\"Execution\",\"aadTenantId\":\"" T
         "\",\"evidence\":[{\"entityType\":\"File\",\"machineId\":\"" M2
         "\",\"id\":\"x\"}],\"comments\":[]}",
         A "/" M "/" T},
        {"{\"id\":\"" A "\",\"machineId\":null,\"title\":\"no device\"}", A "/-/-"},
        /* 7 */
        {"{\"alert\":{\"id\":\"" A "\",\"machineId\":\"" M
         "\"},\"threat_name\":\"x\",\"detection_source\":\"y\"}",
         A "/" M "/-"},
        {"{\"Alert\":{\"alertId\":\"" A "\"}}", A "/-/-"},
        {"{\"alert\":{\"id\":\"" A "\"},\"tenantId\":\"" T "\",\"machineId\":\"" M "\"}",
         A "/" M "/" T},
        /* 8 */
        {"[{\"id\":\"" A "\"},{\"id\":\"" A2 "\",\"machineId\":\"" M "\"}]",
         A "/-/-, " A2 "/" M "/-"},
        {"{\"value\":[{\"id\":\"" A "\"},{\"id\":\"" A2 "\"}],\"@odata.count\":2}",
         A "/-/-, " A2 "/-/-"},
        {"{\"@odata.context\":\"x\",\"tenantId\":\"" T "\",\"value\":[{\"id\":\"" A
         "\"},{\"id\":\"" A2 "\",\"aadTenantId\":\"" T "\"}]}",
         A "/-/" T ", " A2 "/-/" T},
        /* all four wrappers, one in the other */
        {"{\"outputs\":{\"body\":{\"value\":[{\"alert\":{\"id\":\"" A "\"}}]}}}", A "/-/-"},
        {"[{\"outputs\":{\"body\":{\"value\":[{\"alert\":{\"id\":\"" A "\"}}]}}}]", A "/-/-"},
    };

    (void)state;
    TAKES(rows);
}

static void test_intake__knows_an_alert_by_its_looks_only_where_it_must(void **state)
{
    static const struct row good[] = {
        {"{\"id\":\"da637399989469816469_51697947354\"}", "da637399989469816469_51697947354/-/-"},
        {"{\"id\":\"da637308392288907382_-880718168\"}", "da637308392288907382_-880718168/-/-"},
        {"{\"id\":\"ed637399989469816469_51\"}", "ed637399989469816469_51/-/-"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-444455556666\"}",
         "fa08dc8ab7-1111-2222-3333-444455556666/-/-"},
        {"{\"id\":\"daefa1828b-dd4e-405c-8a3b-aa28596830dd_1\"}",
         "daefa1828b-dd4e-405c-8a3b-aa28596830dd_1/-/-"},
        {"{\"id\":\"edefa1828b-dd4e-405c-8a3b-aa28596830dd_-12\"}",
         "edefa1828b-dd4e-405c-8a3b-aa28596830dd_-12/-/-"},
        {"{\"id\":\"ra1234567890\"}", "ra1234567890/-/-"},
        {"{\"id\":\"ir1_2\"}", "ir1_2/-/-"},
        /* of no such looks, but said to be one */
        {"{\"alertId\":\"x\"}", "x/-/-"},
        {"{\"alertId\":\"a.b-c_D9\"}", "a.b-c_D9/-/-"},
        {"{\"alertId\":\"...x\"}", "...x/-/-"},
        /* an `id` that is no alert's stands beside it */
        {"{\"alertId\":\"" A "\",\"id\":\"message-1\"}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"id\":17}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"id\":\"" A "\",\"machineId\":\"" M "\"}", A "/" M "/-"},
        {"{\"id\":\"message-1\",\"alert\":{\"id\":\"" A "\"}}", A "/-/-"},
    };
    static const struct row bad[] = {
        {"{\"id\":\"636688558380765161_2136280442\"}", "no alertId"},
        {"{\"id\":\"ca761232-ed42-11ce-bacd-00aa0057b223\"}", "no alertId"}, /* a plain GUID */
        {"{\"id\":\"catalogue\"}", "no alertId"},
        {"{\"id\":\"da\"}", "no alertId"},
        {"{\"id\":\"d\"}", "no alertId"},
        {"{\"id\":\"da_\"}", "no alertId"},
        {"{\"id\":\"da12_\"}", "no alertId"},
        {"{\"id\":\"da12_-\"}", "no alertId"},
        {"{\"id\":\"da12_--3\"}", "no alertId"},
        {"{\"id\":\"da12_3_4\"}", "no alertId"},
        {"{\"id\":\"DA12_3\"}", "no alertId"},
        {"{\"id\":\"xx637472900382838869_1\"}", "no alertId"},
        {"{\"id\":\"dax637472900382838869_1\"}", "no alertId"},
        {"{\"id\":\"ca761232-ed42-11ce-bacd-00aa0057b223_1\"}", "no alertId"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-444455556666_\"}", "no alertId"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-444455556666_x\"}", "no alertId"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-444455556666_1_2\"}", "no alertId"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-4444555566661\"}", "no alertId"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-44445555666\"}", "no alertId"},
        {"{\"id\":\"fa08dc8ab7-1111-2222-3333-4444555566667\"}", "no alertId"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__an_empty_or_null_id_is_none(void **state)
{
    static const struct row rows[] = {
        {"{\"alertId\":\"" A "\",\"machineId\":null}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"\"}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"\",\"tenantId\":\"\"}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":null,\"tenantId\":null,\"test\":null}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"AlertId\":null,\"alert_id\":\"\"}", A "/-/-"},
        {"{\"alertId\":null,\"id\":\"" A "\"}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\",\"deviceId\":null}", A "/" M "/-"},
        {"{\"alertId\":\"" A "\",\"body\":null,\"value\":3,\"alert\":\"text\"}", A "/-/-"},
    };

    (void)state;
    TAKES(rows);
}

static void test_intake__writes_machine_ids_in_lower_case(void **state)
{
    static const struct row rows[] = {
        {"{\"alertId\":\"" A "\",\"machineId\":\"0123456789ABCDEF0123456789ABCDEF01234567\"}",
         A "/" M "/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"0123456789ABCDEF0123456789ABCDEF\"}",
         A "/0123456789abcdef0123456789abcdef/-"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\",\"deviceId\":\"0123456789ABCDEF0123456789"
         "ABCDEF01234567\"}",
         A "/" M "/-"},
        {"[{\"alertId\":\"" A "\",\"machineId\":\"" M "\"},{\"alertId\":\"" A
         "\",\"machineId\":\"0123456789ABCDEF0123456789ABCDEF01234567\"}]",
         A "/" M "/-"},
    };

    (void)state;
    TAKES(rows);
}

static void test_intake__merges_what_stands_there_twice(void **state)
{
    static const struct row rows[] = {
        {"[{\"id\":\"" A "\"},{\"id\":\"" A "\"}]", A "/-/-"},
        {"[{\"id\":\"" A "\"},{\"id\":\"" A "\",\"machineId\":\"" M "\"},{\"id\":\"" A
         "\",\"tenantId\":\"" T "\"}]",
         A "/" M "/" T},
        /* more of what is said of an alert that is named */
        {"{\"alertId\":\"" A "\",\"alert\":{\"title\":\"x\",\"severity\":\"High\"}}", A "/-/-"},
        {"{\"alert\":{\"title\":\"x\",\"machineId\":\"" M "\"},\"alertId\":\"" A "\"}",
         A "/" M "/-"},
        {"{\"alertId\":\"" A "\",\"alert\":{},\"body\":{\"text\":\"x\"}}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"value\":[]}", A "/-/-"},
        {"{\"alertId\":\"" A "\",\"value\":[{\"name\":\"x\"},{\"name\":\"y\"}]}", A "/-/-"},
        {"{\"test\":true,\"alertId\":\"" A "\",\"value\":[]}", "test " A "/-/-"},
        {"{\"test\":true,\"alertId\":\"" A "\",\"alert\":{\"title\":\"x\"}}", "test " A "/-/-"},
        {"{\"alertId\":\"" A "\",\"alert\":{\"id\":\"" A "\",\"machineId\":\"" M "\"}}",
         A "/" M "/-"},
        {"{\"body\":{\"id\":\"" A "\"},\"alert\":{\"id\":\"" A "\"}}", A "/-/-"},
        {"[{\"id\":\"" A "\"},{\"id\":\"" A2 "\"},{\"id\":\"" A "\"}]", A "/-/-, " A2 "/-/-"},
    };

    (void)state;
    TAKES(rows);
}

static void test_intake__a_test_is_no_alert(void **state)
{
    static const struct row good[] = {
        {"{\"test\":true}", "test "},
        {"{\"alertId\":\"" A "\",\"test\":true}", "test " A "/-/-"},
        {"{\"Test\":true,\"alertId\":\"" A "\"}", "test " A "/-/-"},
        {"{\"alertId\":\"" A "\",\"test\":false}", A "/-/-"},
        {"{\"test\":true,\"alert\":{\"id\":\"" A "\"}}", "test " A "/-/-"},
        {"{\"alert\":{\"id\":\"" A "\",\"test\":true}}", "test " A "/-/-"},
        {"{\"test\":true,\"alert\":{\"id\":\"" A "\",\"test\":false}}", "test " A "/-/-"},
        {"[{\"id\":\"" A "\",\"test\":true},{\"test\":true}]", "test " A "/-/-"},
    };
    static const struct row bad[] = {
        {"{\"alertId\":\"" A "\",\"test\":\"true\"}", "test: expected true or false"},
        {"{\"alertId\":\"" A "\",\"test\":1}", "test: expected true or false"},
        {"{\"alertId\":\"" A "\",\"test\":{}}", "test: expected true or false"},
        {"[{\"id\":\"" A "\",\"test\":true},{\"id\":\"" A2 "\"}]", "marked as a test"},
        {"{\"test\":true,\"alertId\":5}", "alertId: expected a string"},
        {"{\"test\":false}", "no alertId"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__refuses_what_can_be_read_in_two_ways(void **state)
{
    static const struct row rows[] = {
        {"{\"alertId\":\"" A "\",\"AlertId\":\"" A2 "\"}", "alertId: two different"},
        {"{\"alertId\":\"" A "\",\"alert_id\":\"" A2 "\"}", "alertId: two different"},
        {"{\"alertId\":\"" A "\",\"id\":\"" A2 "\"}", "alertId: two different"},
        {"{\"id\":\"x\",\"alertId\":\"" A "\",\"machineId\":\"" M "\"}", "alertId: two different"},
        {"{\"id\":\"" A "\",\"Id\":\"" A2 "\"}", "id: two different"},
        {"{\"id\":\"" A "\",\"Id\":7}", "id: two different"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\",\"deviceId\":\"" M2 "\"}",
         "machineId: two different"},
        {"{\"alertId\":\"" A "\",\"MachineId\":\"" M "\",\"machine_id\":\"" M2 "\"}",
         "machineId: two different"},
        {"{\"alertId\":\"" A "\",\"tenantId\":\"" T "\",\"aadTenantId\":\"" T2 "\"}",
         "tenantId: two different"},
        {"{\"alertId\":\"" A "\",\"alert\":{\"id\":\"" A2 "\"}}", "two different alert ids"},
        {"{\"alertId\":\"" A "\",\"value\":[{\"id\":\"" A "\"},{\"id\":\"" A2 "\"}]}",
         "two different alert ids"},
        {"{\"body\":{\"id\":\"" A "\"},\"alert\":{\"id\":\"" A2 "\"}}", "two different alert ids"},
        {"{\"body\":{\"id\":\"" A "\"},\"Body\":{\"id\":\"" A2 "\"}}", "two different alert ids"},
        {"{\"alert\":{\"value\":[{\"id\":\"" A "\"}]},\"body\":{\"alert\":{\"id\":\"" A2 "\"}}}",
         "two different alert ids"},
        {"[{\"id\":\"" A "\",\"machineId\":\"" M "\"},{\"id\":\"" A "\",\"machineId\":\"" M2 "\"}]",
         "item 2 of the list: the same alert stands there with two different machines"},
        {"[{\"id\":\"" A "\",\"tenantId\":\"" T "\"},{\"id\":\"" A "\",\"tenantId\":\"" T2 "\"}]",
         "the same alert stands there with two different tenants"},
        {"{\"machineId\":\"" M "\",\"alert\":{\"id\":\"" A "\",\"machineId\":\"" M2 "\"}}",
         "machineId: two different"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\",\"alert\":{\"machineId\":\"" M2 "\"}}",
         "machineId: two different"},
        {"{\"alertId\":\"" A "\",\"alert\":{\"id\":\"x\",\"title\":\"y\"}}", "no alertId"},
        {"{\"alertId\":\"" A "\",\"value\":[{\"machineId\":\"" M "\"},{\"machineId\":\"" M2 "\"}]}",
         "two different machines"},
        {"{\"tenantId\":\"" T "\",\"alert\":{\"id\":\"" A "\",\"tenantId\":\"" T2 "\"}}",
         "tenantId: two different"},
        {"{\"alertId\":\"" A "\",\"alertId\":\"" A "\"}", "stands twice"},
        {"{\"alertId\":\"" A "\",\"alert\\u0049d\":\"" A2 "\"}", "stands twice"},
        {"{\"alertId\":\"" A "\",\"x\":{\"evil\":1,\"evil\":2}}", "stands twice"},
    };

    (void)state;
    REFUSES(rows);
}

static void test_intake__refuses_what_is_no_notification(void **state)
{
    static char long_id[200];
    static const struct row rows[] = {
        /* no JSON */
        {"", "the body is not JSON"},
        {" ", "the body is not JSON"},
        {"\xef\xbb\xbf", "the body is not JSON"},
        {"\xef\xbb\xbf\xef\xbb\xbf{\"alertId\":\"" A "\"}", "the body is not JSON"},
        {"{", "the body is not JSON"},
        {"alertId=" A, "the body is not JSON"},
        {"{\"alertId\":\"" A "\"", "the body is not JSON"},
        {"{\"alertId\":\"" A "\"}}", "the body is not JSON"},
        {"{\"alertId\":\"" A "\"} {}", "the body is not JSON"},
        {"{\"alertId\":\"" A "\",}", "the body is not JSON"},
        {"{'alertId':'" A "'}", "the body is not JSON"},
        {"{alertId:\"" A "\"}", "the body is not JSON"},
        {"{\"alertId\":\"" A "\\u0000", "the body is not JSON"},
        {"{\"alertId\":\"da\xff\"}", "the body is not JSON"},
        {"{\"alertId\":\"da\xed\xa0\x80\"}", "the body is not JSON"},
        {"{\"alertId\":\"" A "\",\"n\":01}", "the body is not JSON"},
        {"{\"alertId\":\"" A "\",\"n\":NaN}", "the body is not JSON"},
        {"// x\n{\"alertId\":\"" A "\"}", "the body is not JSON"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
         "the body is not JSON"},
        /* of another type */
        {"null", "expected an object or a list"},
        {"true", "expected an object or a list"},
        {"5", "expected an object or a list"},
        {"\"" A "\"", "expected an object or a list"},
        {"[]", "empty"},
        {"{\"value\":[]}", "empty"},
        {"[null]", "item 1 of the list: expected an object"},
        {"[\"" A "\"]", "item 1 of the list: expected an object"},
        {"[{\"id\":\"" A "\"},[{\"id\":\"" A2 "\"}]]", "item 2 of the list: expected an object"},
        {"[{\"id\":\"" A "\"},3]", "item 2 of the list: expected an object, found a number"},
        /* no alert in it */
        {"{}", "no alertId"},
        {"{\"alertId\":null}", "no alertId"},
        {"{\"alertId\":\"\"}", "no alertId"},
        {"{\"machineId\":\"" M "\"}", "no alertId"},
        {"{\"alertIds\":[\"" A "\"]}", "no alertId"},
        {"{\"alerts\":[{\"id\":\"" A "\"}]}", "no alertId"},
        {"{\"data\":{\"alertId\":\"" A "\"}}", "no alertId"},
        {"{\"body\":\"{\\\"alertId\\\":\\\"x\\\"}\"}", "no alertId"},
        {"{\"alert\":null}", "no alertId"},
        {"{\"alert\":{}}", "no alertId"},
        {"[{\"id\":\"" A "\"},{}]", "item 2 of the list: no alertId"},
        {"{\"alertid \\u0000\":\"x\"}", "no alertId"},
        {"{\"alert\\u2010id\":\"" A "\"}", "no alertId"},
        /* wrapped once too often */
        {"{\"outputs\":{\"outputs\":{\"body\":{\"value\":[{\"alert\":{\"id\":\"" A "\"}}]}}}}",
         "wrapped more than 4 times"},
        {"{\"body\":{\"body\":{\"body\":{\"body\":{\"body\":{\"id\":\"" A "\"}}}}}}",
         "wrapped more than 4 times"},
        /* ids */
        {"{\"alertId\":5}", "alertId: expected a string, found a number"},
        {"{\"alertId\":true}", "alertId: expected a string"},
        {"{\"alertId\":[\"" A "\"]}", "alertId: expected a string"},
        {"{\"alertId\":{\"id\":\"" A "\"}}", "alertId: expected a string"},
        {"{\"id\":5,\"machineId\":\"" M "\"}", "alertId: expected a string, found a number"},
        {"{\"alertId\":\"" A "\",\"machineId\":5}", "machineId: expected a string"},
        {"{\"alertId\":\"" A "\",\"machineId\":[\"" M "\"]}", "machineId: expected a string"},
        {"{\"alertId\":\"" A "\",\"tenantId\":5}", "tenantId: expected a string"},
        {"{\"alertId\":\" " A "\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "/../x\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "?x=y\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "%2f\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "\\n\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "' or 1=1\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"d\xc3\xa4\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\".\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"..\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"....\"}", "alertId: expected 1 to 128"},
        {"{\"id\":\"evil/id\",\"machineId\":\"" M "\"}", "alertId: expected 1 to 128"},
        {long_id, "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"host.contoso.example\"}",
         "machineId: expected 32"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"0123456789abcdef0123456789abcde\"}",
         "machineId: expected 32"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"0123456789abcdef0123456789abcdef0123456789abcdef"
         "0123456789abcdef0\"}",
         "machineId: expected 32"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"0123456789abcdef0123456789abcdef0123456g\"}",
         "machineId: expected 32"},
        {"{\"alertId\":\"" A "\",\"machineId\":\" " M "\"}", "machineId: expected 32"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" T "\"}", "machineId: expected 32"},
        {"{\"alertId\":\"" A "\",\"tenantId\":\"contoso.example\"}", "tenantId: expected a GUID"},
        {"{\"alertId\":\"" A "\",\"tenantId\":\"{" T "}\"}", "tenantId: expected a GUID"},
        {"{\"alertId\":\"" A "\",\"tenantId\":\"11111111222233334444555555555555\"}",
         "tenantId: expected a GUID"},
    };

    (void)state;
    (void)snprintf(long_id, sizeof long_id, "{\"alertId\":\"%0129d\"}", 7);
    REFUSES(rows);
}

#define SIXTY_FOUR   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONGEST_CODE SIXTY_FOUR SIXTY_FOUR
#define TODAY        "daefa1828b-dd4e-405c-8a3b-aa28596830dd_1"
#define EVENT                                                                                      \
    "{\"specversion\":\"1.0\",\"type\":\"mde.alert.created\",\"source\":\"/soc/relay\",\"id\":"
#define GRID                                                                                       \
    "{\"id\":\"e1\",\"eventType\":\"Contoso.Alert\",\"subject\":\"x\",\"eventTime\":\"2026-01-01T00:00:00Z\",\"dataVersion\":\"1\",\"data\":"
#define VALIDATION                                                                                 \
    "{\"id\":\"2d1781af\",\"topic\":\"/subscriptions/x\",\"subject\":\"\",\"eventType\":\"Microsoft.EventGrid.SubscriptionValidationEvent\",\"eventTime\":\"2026-01-01T00:00:00Z\",\"metadataVersion\":\"1\",\"dataVersion\":\"2\",\"data\":{\"validationUrl\":\"https://evil.example/\",\"validationCode\":"
#define CHANGE                                                                                                                                    \
    "{\"subscriptionId\":\"7f105c7d\",\"clientState\":\"secret\",\"changeType\":\"created\",\"resource\":\"security/alerts/x\",\"tenantId\":\"" T \
    "\",\"resourceData\":{\"@odata.type\":\"#Microsoft.Graph.alert\",\"id\":\"" A "\"}}"
#define GRAPH                                                                                                                   \
    "{\"@odata.type\":\"#microsoft.graph.security.alert\",\"serviceSource\":\"microsoftDefenderForEndpoint\",\"tenantId\":\"" T \
    "\","
#define INFO(id)                                                                                                                                                                                \
    "{\"time\":\"x\",\"tenantId\":\"" T                                                                                                                                                         \
    "\",\"operationName\":\"Publish\",\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{\"Severity\":\"High\",\"ServiceSource\":\"Microsoft Defender for Endpoint\",\"AlertId\":\"" id \
    "\"}}"
#define EVIDENCE(id, machine)                                                                      \
    "{\"time\":\"x\",\"tenantId\":\"" T                                                            \
    "\",\"category\":\"AdvancedHunting-AlertEvidence\",\"properties\":{\"AlertId\":\"" id          \
    "\",\"EntityType\":\"Machine\",\"DeviceId\":" machine "}}"
#define OTHER                                                                                      \
    "{\"time\":\"x\",\"tenantId\":\"" T                                                            \
    "\",\"category\":\"AdvancedHunting-DeviceEvents\",\"properties\":{\"DeviceId\":\"" M2 "\"}}"
#define INCIDENT                                                                                   \
    "{\"eventUniqueId\":\"x\",\"objectSchemaType\":\"Incident\",\"objectEventType\":\"Create\",\"workspaceId\":\"w\",\"object\":{\"id\":\"/subscriptions/x\",\"properties\":{\"title\":\"t\",\"severity\":\"High\",\"alerts\":"
#define SENTINEL(id, product)                                                                                                              \
    "{\"id\":\"/subscriptions/x/Entities/y\",\"kind\":\"SecurityAlert\",\"properties\":{\"systemAlertId\":\"s\",\"providerAlertId\":\"" id \
    "\",\"productName\":\"" product "\"}}"

/* What others chose for names and values of an alert that is passed on whole: they must not close the door to it. */
static void test_intake__reads_an_alert_whatever_it_is_about(void **state)
{
    static const struct row good[] = {
        /* a registry value with NULs, as REG_MULTI_SZ has them; a key that is hidden behind one */
        {"{\"id\":\"" A "\",\"machineId\":\"" M
         "\",\"evidence\":[{\"entityType\":\"RegistryValue\","
         "\"registryValue\":\"a\\u0000b\\u0000\\u0000\",\"registryKey\":\"Run\\\\\\u0000x\"}]}",
         A "/" M "/-"},
        /* halves of surrogate pairs in file names, and a whole one */
        {"{\"alert\":{\"id\":\"" A
         "\"},\"x\":[\"\\ud800\",\"\\uDC00.exe\",\"\\ud83d\\ude00\",\"\\ud800\\u0000\"]}",
         A "/-/-"},
        {"{\"records\":[" INFO(A) ",{\"category\":\"AdvancedHunting-DeviceRegistryEvents\","
                                  "\"properties\":{\"RegistryValueData\":\"\\u0000\"}}]}",
         A "/-/" T},
        {"{\"a\\u0000\":1,\"a\":2,\"alertId\":\"" A "\"}", A "/-/-"},
        /* {"alertId":"da1_-2","x":"\u0000"} */
        {"eyJhbGVydElkIjoiZGExXy0yIiwieCI6Ilx1MDAwMCJ9", "da1_-2/-/-"},
    };
    static const struct row bad[] = {
        /* it cuts nothing off, and is in no id */
        {"{\"alertId\":\"" A "\\u0000\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "\\u0000evil\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "\\ud800\"}", "alertId: expected 1 to 128"},
        {"{\"alertId\":\"" A "\",\"machineId\":\"" M "\\u0000\"}", "machineId: expected 32"},
        {"{\"alertId\\u0000evil\":\"" A "\"}", "no alertId"},
        {"{\"alertId\":\"" A "\",\"x\":\"\\u0000\",\"alertId\":\"" A2 "\"}", "stands twice"},
        {"{\"x\\u0000\":1,\"x\\ufffd\":2,\"alertId\":\"" A "\"}", "stands twice"},
        {"{\"alertId\":\"" A "\",\"x\":\"\\u0000\",\"y\":01}", "the body is not JSON"},
        {"{\"alertId\":\"" A "\",\"x\":\"\\u000\"}", "the body is not JSON"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__reads_cloudevents(void **state)
{
    static const struct row good[] = {
        {EVENT "\"" A "\",\"data\":{\"alertId\":\"" A "\",\"machineId\":\"" M "\"}}", A "/" M "/-"},
        {EVENT "\"1\",\"datacontenttype\":\"application/json\",\"time\":\"x\",\"data\":{\"id\":\"" A
               "\"}}",
         A "/-/-"},
        /* the batch mode */
        {"[" EVENT "\"1\",\"data\":{\"alertId\":\"" A "\"}}," EVENT
         "\"1\",\"data\":{\"alertId\":\"" A2 "\"}}]",
         A "/-/-, " A2 "/-/-"},
        {EVENT "\"1\",\"data\":[{\"alertId\":\"" A "\"},{\"alertId\":\"" A2 "\"}]}",
         A "/-/-, " A2 "/-/-"},
        {EVENT "\"1\",\"data\":{\"body\":{\"value\":[{\"id\":\"" A "\"}]}}}", A "/-/-"},
        {EVENT "\"1\",\"data\":{\"records\":[" INFO(A) "]}}", A "/-/" T},
        /* {"alertId":"da1_-2"} */
        {EVENT "\"1\",\"data_base64\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}", "da1_-2/-/-"},
        {EVENT "\"1\",\"data\":null,\"data_base64\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}",
         "da1_-2/-/-"},
        /* named by its alert, without more */
        {EVENT "\"" A "\"}", A "/-/-"},
        {EVENT "\"1\",\"data\":{\"test\":true}}", "test "},
        /* another type's id is no alert's, whatever it looks like */
        {"{\"specversion\":\"1.0\",\"type\":\"x\",\"source\":\"y\",\"id\":\"" A2
         "\",\"data\":{\"alertId\":\"" A "\"}}",
         A "/-/-"},
    };
    static const struct row bad[] = {
        {EVENT "\"1\"}", "no alertId"},
        {EVENT "\"1\",\"data\":null}", "no alertId"},
        {EVENT "\"1\",\"data\":{}}", "no alertId"},
        {EVENT "\"1\",\"data\":\"evil\"}", "expected an object or a list, found a string"},
        {EVENT "\"1\",\"data\":7}", "expected an object or a list, found a number"},
        {EVENT "\"" A "\",\"data\":{\"alertId\":\"" A2 "\"}}", "two different alert ids"},
        {EVENT "\"\",\"data\":{\"alertId\":\"" A "\"}}", "id, source and type"},
        {EVENT "5,\"data\":{\"alertId\":\"" A "\"}}", "id, source and type"},
        {"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"x\",\"data\":{\"alertId\":\"" A "\"}}",
         "id, source and type"},
        {"{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"x\",\"data\":{\"alertId\":\"" A "\"}}",
         "id, source and type"},
        {"{\"specversion\":\"0.3\",\"id\":\"1\",\"type\":\"x\",\"source\":\"y\",\"data\":{\"alertId\":\"" A
         "\"}}",
         "specversion 1.0"},
        {"{\"specversion\":1.0,\"id\":\"1\",\"type\":\"x\",\"source\":\"y\",\"data\":{}}",
         "specversion 1.0"},
        {EVENT "\"1\",\"data\":{\"alertId\":\"" A
               "\"},\"data_base64\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}",
         "either data or data_base64"},
        {EVENT "\"1\",\"data_base64\":5}", "either data or data_base64"},
        {EVENT "\"1\",\"data_base64\":null}", "either data or data_base64"},
        {EVENT "\"1\",\"data_base64\":\"\"}", "what stands in base64 is not JSON"},
        {EVENT "\"1\",\"data\":" EVENT "\"1\",\"data\":" EVENT "\"1\",\"data\":" EVENT
               "\"1\",\"data\":" EVENT "\"1\",\"data\":{\"alertId\":\"" A "\"}}}}}}",
         "wrapped more than 4 times"},
        {"[" EVENT "\"1\",\"data\":{\"alertId\":\"" A "\"}},{\"evil\":1}]", "item 2 of the list"},
        {EVENT "\"1\",\"data\":{\"schemaId\":\"azureMonitorCommonAlertSchema\"}}", "Azure Monitor"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__reads_event_grid_events(void **state)
{
    static const struct row good[] = {
        {"[" GRID "{\"alertId\":\"" A "\",\"machineId\":\"" M "\"}}]", A "/" M "/-"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"id\":\"" A2 "\"}}," GRID "{\"id\":\"" A "\"}}]",
         A "/-/-, " A2 "/-/-"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"id\":\"" TODAY "\"}}]", A "/-/-, " TODAY "/-/-"},
        {GRID "{\"body\":{\"id\":\"" A "\"}}}", A "/-/-"},
        {"[" VALIDATION "\"512d38b6-c7b8-40c8-89fe-f46f9e9622b6\"}}]",
         "validation 512d38b6-c7b8-40c8-89fe-f46f9e9622b6"},
        {VALIDATION "\"A_b\"}}", "validation A_b"},
        {VALIDATION "\"" LONGEST_CODE "\"}}", "validation " LONGEST_CODE},
        /* what else was published to the topic is left out: a batch is delivered whole, and a 400 loses all of it */
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"colour\":\"red\"}}]", A "/-/-"},
        {"[" GRID "null}," GRID "{\"id\":\"" A "\"}}," GRID "7}]", A "/-/-"},
        {"[" GRID "{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{}}}," GRID
         "{\"id\":\"" A "\"}}]",
         A "/-/-"},
        {"[" EVENT "\"1\",\"data\":{}}," EVENT "\"2\",\"data\":{\"alertId\":\"" A "\"}}," EVENT
         "\"3\"}]",
         A "/-/-"},
        /* things have ids, too: of a device, a tenant or a reading in somebody else's words */
        {"[" GRID "{\"id\":\"" A "\"}}," GRID
         "{\"deviceId\":\"pump-7\",\"tenantId\":\"north\",\"id\":7,\"test\":\"no\"}}," GRID
         "{\"value\":[20.5,21]}}," GRID "[]}]",
         A "/-/-"},
    };
    static const struct row bad[] = {
        {"[" GRID "{}}]", "item 1 of the list: no alertId"},
        {"[" GRID "null}]", "expected an object or a list"},
        {"[" GRID "{\"alertId\":5}}]", "alertId: expected a string"},
        {"[" GRID "{}}," GRID "{}}]", "item 1 of the list: no alertId"},
        /* but what is of ours and cannot be read is not left out */
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"alertId\":5}}]", "item 2 of the list: alertId"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "\"evil\"}]",
         "item 2 of the list: expected an object"},
        {"[" GRID "{}}," GRID "{\"alertId\":\"" A "\",\"body\":{\"id\":\"x\"}}}]",
         "item 2 of the list: no alertId"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"alertId\":\"" A2 "\",\"deviceId\":\"pump-7\"}}]",
         "item 2 of the list: machineId"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"id\":\"" A2 "\",\"tenantId\":\"north\"}}]",
         "item 2 of the list: tenantId"},
        /* whichever stands first */
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "[{\"colour\":\"red\"},{\"alertId\":\"" A2 "\"}]}]",
         "item 2 of the list: item 1 of the list: no alertId"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "{\"outputs\":{},\"body\":{\"alertId\":\"" A2
         "\"}}}]",
         "item 2 of the list: no alertId"},
        {"[" GRID "{\"id\":\"" A "\"}}," GRID "[7,{\"alertId\":5}]}]",
         "item 2 of the list: item 2 of the list: alertId"},
        {"[{\"id\":\"" A "\",\"eventType\":\"x\",\"eventTime\":\"y\"}]", "no alertId"},
        {"[" GRID "{\"id\":\"" A "\"}}," VALIDATION "\"x\"}}]", "one event"},
        {"[" VALIDATION "\"x\"}}," VALIDATION "\"x\"}}]", "one event"},
        {"[" VALIDATION "\"x\"}},{\"test\":true}]", "one event"},
        {"[" VALIDATION "\"x\"}}," OTHER "]", "one event"},
        {"{\"body\":" VALIDATION "\"x\"}}}", "one event, not wrapped"},
        {"[" GRID VALIDATION "\"x\"}}}]", "one event, not wrapped"},
        {"[" VALIDATION "\"\"}}]", "validationCode: expected"},
        {"[" VALIDATION "5}}]", "validationCode: expected"},
        {"[" VALIDATION "\"<script>evil\"}}]", "validationCode: expected"},
        {"[" VALIDATION "\"a b\"}}]", "validationCode: expected"},
        {"[" VALIDATION "\"a\\\"\"}}]", "validationCode: expected"},
        {"[" VALIDATION "\"0123456789012345678901234567890123456789012345678901234567890123456789"
         "01234567890123456789012345678901234567890123456789012345678\"}}]",
         "validationCode: expected"},
        {"[{\"eventType\":\"Microsoft.EventGrid.SubscriptionValidationEvent\",\"eventTime\":\"x\"}]",
         "validationCode: expected"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__reads_what_graph_sends(void **state)
{
    static const struct row good[] = {
        {"{\"value\":[" CHANGE "],\"validationTokens\":[\"x.y.z\"]}", A "/-/" T},
        {"{\"value\":[" CHANGE "," CHANGE "]}", A "/-/" T},
        /* of other resources beside it */
        {"{\"value\":[{\"subscriptionId\":\"x\",\"changeType\":\"created\",\"resource\":\"users/1\","
         "\"resourceData\":{\"id\":\"evil/1\"}}," CHANGE "]}",
         A "/-/" T},
        {GRAPH "\"id\":\"" A "\",\"providerAlertId\":\"" A
               "\",\"severity\":\"high\",\"evidence\":[{\"@odata.type\":"
               "\"#microsoft.graph.security.fileEvidence\",\"mdeDeviceId\":null},"
               "{\"@odata.type\":\"#microsoft.graph.security.deviceEvidence\",\"mdeDeviceId\":\"" M
               "\"},{\"mdeDeviceId\":\"0123456789ABCDEF0123456789ABCDEF01234567\"}]}",
         A "/" M "/" T},
        /* as Graph answers today, and without an id of Defender's */
        {GRAPH "\"id\":\"" TODAY
               "\",\"providerAlertId\":\"efa1828b-dd4e-405c-8a3b-aa28596830dd_1\"}",
         TODAY "/-/" T},
        {GRAPH "\"id\":\"17\",\"providerAlertId\":\"" A "\"}", A "/-/" T},
        {GRAPH "\"id\":\"" A "\",\"providerAlertId\":null,\"evidence\":null}", A "/-/" T},
        {"{\"providerAlertId\":\"" A "\"}", A "/-/-"},
        {"{\"providerAlertId\":null,\"serviceSource\":null,\"id\":\"17\"}", "17/-/-"},
        {"{\"@odata.context\":\"x\",\"value\":[" GRAPH "\"id\":\"" A "\"}," GRAPH "\"id\":\"" A2
         "\"}]}",
         A "/-/" T ", " A2 "/-/" T},
        /* two devices: Defender knows which is meant */
        {GRAPH "\"id\":\"" A "\",\"evidence\":[{\"mdeDeviceId\":\"" M "\"},{\"mdeDeviceId\":\"" M2
               "\"}]}",
         A "/-/" T},
        /* an alert of Entra beside one of ours */
        {"[{\"serviceSource\":\"azureAdIdentityProtection\",\"id\":\"ad1_1\"}," GRAPH "\"id\":\"" A
         "\"}]",
         A "/-/" T},
    };
    static const struct row bad[] = {
        {"{\"value\":[{\"subscriptionId\":\"x\",\"changeType\":\"created\",\"resource\":\"users/1\","
         "\"resourceData\":{\"id\":\"" A "\"}}]}",
         "only those of security/alerts"},
        {"{\"value\":[{\"subscriptionId\":\"x\",\"changeType\":\"created\",\"resource\":"
         "\"security/alerts\"}]}",
         "resourceData.id is not there"},
        {"{\"value\":[{\"subscriptionId\":\"x\",\"changeType\":\"created\",\"resource\":"
         "\"security/alerts\",\"resourceData\":{\"id\":7}}]}",
         "alertId: expected a string"},
        {"{\"value\":[{\"subscriptionId\":\"x\",\"lifecycleEvent\":\"missed\",\"tenantId\":\"" T
         "\"}]}",
         "lifecycle event"},
        {"{\"id\":\"" A "\",\"notificationUrl\":\"https://evil.example\",\"clientState\":\"flow\"}",
         "a subscription"},
        {"{\"serviceSource\":\"microsoftDefenderForOffice365\",\"id\":\"" A "\"}",
         "only those of Microsoft Defender for Endpoint"},
        {"{\"serviceSource\":5,\"id\":\"" A "\"}", "only those of Microsoft Defender for Endpoint"},
        {"{\"@odata.type\":\"#microsoft.graph.security.incident\",\"id\":\"" A "\"}",
         "no security alert"},
        {GRAPH "\"providerAlertId\":5}", "alertId: expected a string"},
        {GRAPH "\"title\":\"evil\"}", "no alertId"},
        {GRAPH "\"id\":\"" A "\",\"evidence\":[{\"mdeDeviceId\":5}]}",
         "machineId: expected a string"},
        {GRAPH "\"id\":\"" A "\",\"evidence\":[{\"mdeDeviceId\":\"evil\"}]}",
         "machineId: expected 32"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__reads_records_of_the_streaming_api(void **state)
{
    static const struct row good[] = {
        {"{\"records\":[" INFO(A) "]}", A "/-/" T},
        {"{\"records\":[" OTHER "," INFO(A) "," EVIDENCE(A, "\"" M "\"") "," EVIDENCE(
             A, "\"\"") "," EVIDENCE(A, "null") "," EVIDENCE(A, "\"" M "\"") "]}",
         A "/" M "/" T},
        {"[{\"records\":[" OTHER "]},{\"records\":[" INFO(A) "," INFO(A2) "]}]",
         A "/-/" T ", " A2 "/-/" T},
        {"[" EVIDENCE(A, "\"" M "\"") "," INFO(A) "]", A "/" M "/" T},
        {INFO(A), A "/-/" T},
        /* devices of one alert's evidence differ: none is named, whatever the order */
        {"{\"records\":[" EVIDENCE(A, "\"" M "\"") "," EVIDENCE(A, "\"" M2 "\"") "," EVIDENCE(
             A, "\"" M "\"") "," INFO(A2) "]}",
         A "/-/" T ", " A2 "/-/" T},
        {"{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{\"AlertId\":\"fa1_1\","
         "\"ServiceSource\":\"Microsoft Defender for Office 365\"}}," INFO(A) "]}",
         A "/-/" T},
        /* what other services write to the same hub does not cost its neighbours */
        {"{\"records\":[{\"category\":\"SignInLogs\",\"time\":\"t\"},{\"metricName\":\"cpu\",\"deviceId\":7},"
         "{\"category\":\"AdvancedHunting-DeviceEvents\",\"properties\":null}," INFO(A) ",{}]}",
         A "/-/" T},
    };
    static const struct row bad[] = {
        {"{\"records\":[]}", "empty"},
        {"{\"records\":[{\"category\":\"SignInLogs\"},{}]}", "item 1 of the list: no alertId"},
        /* of ours, and not to be read */
        {"{\"records\":[" INFO(
             A) ",{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{}}]}",
         "item 2 of the list: no alertId"},
        {"{\"records\":[" INFO(
             A) ",{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":\"{}\"}]}",
         "item 2 of the list: no alertId"},
        {"{\"records\":[" INFO(A) ",{\"alertId\":7}]}", "alertId: expected a string"},
        /* a list further in is none of the hub's */
        {"{\"records\":[" INFO(A) ",{\"body\":[{\"id\":\"" A "\"},{}]}]}",
         "item 2 of the list: no alertId"},
        {"{\"records\":[" OTHER "," OTHER "]}", "no record is of AlertInfo"},
        {"{\"records\":[{\"category\":5,\"properties\":{\"AlertId\":\"" A "\"}}]}",
         "no record is of AlertInfo"},
        {"{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{\"AlertId\":\"fa1_1\","
         "\"ServiceSource\":\"Microsoft Defender for Office 365\"}}]}",
         "no record is of Microsoft Defender for Endpoint"},
        {"{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":{}}]}",
         "no alertId"},
        {"{\"records\":[{\"category\":\"AdvancedHunting-AlertInfo\",\"properties\":[]}]}",
         "no alertId"},
        {"{\"records\":[" EVIDENCE(A, "5") "]}", "machineId: expected a string"},
        {"{\"records\":[" INFO("evil/../x") "]}", "alertId: expected 1 to 128"},
        {"{\"records\":[" INFO(A) ",5]}", "item 2 of the list: expected an object, found a number"},
        {"{\"records\":[" INFO(A) ",{\"category\":\"AdvancedHunting-AlertInfo\",\"tenantId\":\"" T2
                                  "\",\"properties\":{\"AlertId\":\"" A "\"}}]}",
         "two different tenants"},
        /* two canonical bodies that differ are no evidence */
        {"[" EVIDENCE(A, "\"" M "\"") ",{\"alertId\":\"" A "\",\"machineId\":\"" M2 "\"}]",
         "two different machines"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__reads_incidents_of_sentinel(void **state)
{
    static const struct row good[] = {
        {INCIDENT "[" SENTINEL(A, "Microsoft Defender Advanced Threat Protection") "]}}}",
         A "/-/-"},
        {INCIDENT "[" SENTINEL("evil 7", "Azure Sentinel") "," SENTINEL(
             A,
             "Microsoft Defender for Endpoint") "," SENTINEL(A2,
                                                             "Microsoft Defender for Endpoint") "]}}}",
         A "/-/-, " A2 "/-/-"},
        {"{\"body\":" INCIDENT "[{\"properties\":{\"providerAlertId\":\"" A "\"}}]}}}}", A "/-/-"},
        /* alerts of other products may come without such an id, or with less */
        {INCIDENT "[{\"properties\":{\"productName\":\"Azure Sentinel\"}}," SENTINEL(
             A,
             "Microsoft Defender for Endpoint") ",{\"properties\":{\"systemAlertId\":\"x\"}}]}}}",
         A "/-/-"},
    };
    static const struct row bad[] = {
        {INCIDENT "[]}}}", "the incident has no alerts"},
        {INCIDENT "{}}}}", "the incident has no alerts"},
        {"{\"object\":{\"properties\":{}}}", "the incident has no alerts"},
        {INCIDENT "[" SENTINEL(A, "Azure Sentinel") "]}}}", "no alert is of Microsoft Defender"},
        {INCIDENT "[{\"properties\":{\"providerAlertId\":7}}]}}}", "alertId: expected a string"},
        {INCIDENT "[7]}}}", "item 1 of the list: expected an object"},
        {INCIDENT "[{\"properties\":{\"systemAlertId\":\"x\"}}]}}}", "no alertId"},
        {INCIDENT "[{\"properties\":{\"productName\":\"Azure Sentinel\"}}]}}}",
         "no alert is of Microsoft Defender"},
        {INCIDENT "[" SENTINEL(
             A, "Microsoft Defender for Endpoint") ",{\"properties\":{\"productName\":"
                                                   "\"Microsoft Defender for Endpoint\"}}]}}}",
         "item 2 of the list: no alertId"},
    };

    (void)state;
    TAKES(good);
    REFUSES(bad);
}

static void test_intake__reads_base64_once(void **state)
{
    static const struct row good[] = {
        /* {"alertId":"da1_-2"}, [{"id":"da1_-2"}], { "id":"da1_-2"} and a line break, {"test":true} */
        {"eyJhbGVydElkIjoiZGExXy0yIn0=", "da1_-2/-/-"},
        {"eyJhbGVydElkIjoiZGExXy0yIn0=\r\n", "da1_-2/-/-"},
        {"W3siaWQiOiJkYTFfLTIifV0=", "da1_-2/-/-"},
        {"eyAiaWQiOiJkYTFfLTIifQo=", "da1_-2/-/-"},
        {"eyJ0ZXN0Ijp0cnVlfQ==", "test "},
        {"\"eyJhbGVydElkIjoiZGExXy0yIn0=\"", "da1_-2/-/-"},
        {"{\"$content-type\":\"application/json\",\"$content\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}",
         "da1_-2/-/-"},
        {"{\"headers\":{},\"body\":{\"$content-type\":\"application/octet-stream\",\"$content\":"
         "\"W3siaWQiOiJkYTFfLTIifV0=\"}}",
         "da1_-2/-/-"},
        /* the same alert within and without */
        {"{\"body\":{\"$content-type\":\"x\",\"$content\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"},"
         "\"alert\":{\"id\":\"da1_-2\"}}",
         "da1_-2/-/-"},
    };
    static const struct row bad[] = {
        {"eyJhbGVydElkIjoiZGExXy0yIn0", "expected base64"},
        {"eyJhbGVydElkIjoiZGExXy0yIn0==", "expected base64"},
        {"eyJhbGVydElk\nIjoiZGExXy0yIn0=", "expected base64"},
        {"eyJhbGVydElkIjoiZGExXy0yIn0= evil", "expected base64"},
        {"eyJh", "what stands in base64 is not JSON"},
        {"e30=", "no alertId"},
        {"\"eyJhbGVydElkIjoiZGExXy0yIn0\"", "expected base64"},
        {"\"evil\"", "expected an object or a list, found a string"},
        {"evil", "the body is not JSON"},
        {"{\"body\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}", "no alertId"},
        {"{\"$content-type\":\"x\",\"$content\":5}", "$content: expected"},
        {"{\"$content-type\":\"x\",\"$content\":\"\"}", "what stands in base64 is not JSON"},
        {"{\"$content-type\":\"x\",\"$content\":\"****\"}", "expected base64"},
        {"{\"$content-type\":\"x\",\"$content\":\"AAAA\"}", "what stands in base64 is not JSON"},
        /* {"alertId":"x","alertId":"y"} */
        {"eyJhbGVydElkIjoieCIsImFsZXJ0SWQiOiJ5In0=", "stands twice"},
        /* {"$content-type":"x","$content":"eyJhbGVydElkIjoiZGExXy0yIn0="} */
        {"eyIkY29udGVudC10eXBlIjoieCIsIiRjb250ZW50IjoiZXlKaGJHVnlkRWxrSWpvaVpHRXhYeTB5SW4wPSJ9",
         "base64 within base64"},
        {"{\"$content-type\":\"x\",\"$content\":\"eyIkY29udGVudC10eXBlIjoieCIsIiRjb250ZW50IjoiZXlK"
         "aGJHVnlkRWxrSWpvaVpHRXhYeTB5SW4wPSJ9\"}",
         "base64 within base64"},
        /* another alert within than without, in both orders */
        {"{\"body\":{\"$content-type\":\"x\",\"$content\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"},"
         "\"alert\":{\"id\":\"" A "\"}}",
         "two different alert ids"},
        {"{\"alert\":{\"id\":\"" A "\"},\"body\":{\"$content-type\":\"x\",\"$content\":"
         "\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}}",
         "two different alert ids"},
    };
    static const char nul[] = "eyJhbGVydElkIjoiZGExXy0yIn0=\0evil===";
    AUTO(buf_clear) struct buf out = BUF_INIT(1000);

    (void)state;
    TAKES(good);
    REFUSES(bad);
    assert_non_null(strstr(read_text(nul, sizeof nul - 1, &out), "expected base64"));
}

static void test_intake__refuses_other_peoples_schemas_by_name(void **state)
{
    static const struct row rows[] = {
        {"{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{\"essentials\":{\"alertId\":\""
         "/subscriptions/x\",\"severity\":\"Sev0\"},\"alertContext\":{}}}",
         "Azure Monitor"},
        {"{\"data\":{\"essentials\":{\"alertId\":\"/subscriptions/x\"}}}", "Azure Monitor"},
        {"{\"schemaId\":\"AzureMonitorMetricAlert\",\"data\":{}}", "Azure Monitor"},
        {"{\"schemaId\":\"Microsoft.Insights/activityLogs\",\"data\":{}}", "Azure Monitor"},
        {"{\"body\":{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{}}}",
         "Azure Monitor"},
        {"[" GRID "{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{}}}]",
         "Azure Monitor"},
        {"[{\"alertId\":\"" A "\"},{\"data\":{\"essentials\":{\"alertId\":\"x\"}}}]",
         "Azure Monitor"},
        {"{\"Data\":{\"req\":{\"Url\":\"x\",\"Body\":\"{\\\"alertId\\\":\\\"" A
         "\\\"}\"}},\"Metadata\":{\"sys\":{}}}",
         "enableProxyingHttpRequest"},
    };
    /* Whoever says alertId means us. */
    static const struct row ours[] = {
        {"{\"alertId\":\"" A "\",\"serviceSource\":\"x\",\"records\":[],\"specversion\":\"1.0\"}",
         A "/-/-"},
        {"{\"id\":\"" A "\",\"category\":\"Execution\",\"machineId\":\"" M "\"}", A "/" M "/-"},
        /* one mark alone makes no schema of others */
        {"{\"id\":\"" A "\",\"Data\":{}}", A "/-/-"},
        {"{\"id\":\"" A "\",\"Metadata\":{}}", A "/-/-"},
        {"{\"id\":\"" A "\",\"eventType\":\"x\"}", A "/-/-"},
        {"{\"id\":\"" A "\",\"eventTime\":\"x\"}", A "/-/-"},
        {"{\"id\":\"" A "\",\"subscriptionId\":\"x\"}", A "/-/-"},
        {"{\"id\":\"" A "\",\"changeType\":\"x\"}", A "/-/-"},
        {"{\"id\":\"" A "\",\"$content-type\":\"x\"}", A "/-/-"},
        {"{\"id\":\"" A "\",\"$content\":\"x\"}", A "/-/-"},
    };

    (void)state;
    REFUSES(rows);
    TAKES(ours);
}

/* Hundreds of rows tell of few alerts: it is these that are counted. */
static void test_intake__rows_of_evidence_are_no_batch(void **state)
{
    static const struct {
        int alerts, rows_each;
        bool good;
    } sizes[] = {{1, 1500, true}, {100, 5, true}, {101, 1, false}};
    AUTO(buf_clear) struct buf body = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *says;

        buf_reset(&body);
        buf_adds(&body, "{\"records\":[" OTHER);
        for (int n = 0; n < sizes[i].alerts * sizes[i].rows_each; n++)
            buf_addf(&body,
                     ",{\"category\":\"AdvancedHunting-AlertEvidence\",\"properties\":{\"AlertId\":"
                     "\"da%d_1\",\"DeviceId\":\"" M "\"}}",
                     n % sizes[i].alerts);
        buf_adds(&body, "]}");
        says = read_text(buf_text(&body), body.len, &out);
        if ((strncmp(says, "too_big: ", 9) != 0) != sizes[i].good || strncmp(says, "inv", 3) == 0)
            fail_msg("%zu: %.200s", i, says);
    }
}

/* What stands beside an alert's id is no alert, however much it is. */
static void test_intake__what_stands_beside_an_id_is_no_batch(void **state)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

    (void)state;
    buf_adds(&body, "{\"alertId\":\"" A "\",\"value\":[{}");
    for (int n = 0; n < 1500; n++)
        buf_addf(&body, ",{\"sha1\":\"%d\",\"machineId\":\"" M "\"}", n);
    buf_adds(&body, "]}");
    assert_string_equal(read_text(buf_text(&body), body.len, &out), A "/" M "/-");
}

/* A list of n alerts, of which `different` are different, within `around` (a format). */
static void many(struct buf *out, const char *before, size_t n, size_t different, const char *after)
{
    buf_reset(out);
    buf_adds(out, before);
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "%s{\"id\":\"da%zu_1\"}", i ? "," : "", i % different);
    buf_adds(out, after);
}

static void test_intake__takes_a_hundred_alerts_and_no_more(void **state)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
    static const struct {
        const char *before, *after;
        size_t n, different;
        bool good;
    } rows[] = {
        {"[", "]", 100, 100, true},
        {"[", "]", 101, 101, false},
        {"[", "]", 101, 1, false},
        {"[", "]", 100, 1, true},
        {"{\"value\":[", "]}", 100, 100, true},
        {"{\"value\":[", "]}", 101, 101, false},
        {"{\"body\":{\"value\":[", "]}}", 5000, 5000, false},
        /* two lists that fit each, but not together */
        {"[{\"value\":[{\"id\":\"da7_7\"}]},{\"value\":[", "]}]", 99, 99, true},
        {"[{\"value\":[{\"id\":\"da7_7\"}]},{\"value\":[", "]}]", 100, 100, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *says;

        many(&body, rows[i].before, rows[i].n, rows[i].different, rows[i].after);
        says = read_text(buf_text(&body), body.len, &out);
        if ((strncmp(says, "too_big: ", 9) != 0) != rows[i].good || strncmp(says, "inv", 3) == 0)
            fail_msg("row %zu: %.200s", i, says);
    }
}

static void without_memory(const char *body)
{
    for (long n = 1;; n++) {
        struct arena *a;
        struct intake in = {.count = 77};
        struct err e;
        enum err_code code;
        bool failed;

        torture_arm(n);
        a = arena_new(16); /* pieces of 16 bytes: nearly everything is an allocation */
        code = a ? intake_read(a, body, strlen(body), &in, &e) : ERR_NOMEM;
        failed = torture_disarm();
        arena_free(a);
        if (!failed) {
            assert_int_equal(code, ERR_OK);
            break;
        }
        assert_int_equal(code, ERR_NOMEM);
        assert_int_equal(in.count, 77);
    }
}

static void test_intake__says_so_when_memory_runs_out(void **state)
{
    static const char *const bodies[] = {
        "{\"tenantId\":\"" T "\",\"value\":[{\"id\":\"" A "\",\"machineId\":\"" M "\"},"
        "{\"id\":\"" A2 "\",\"n\":12345678901234567890}]}",
        "eyJhbGVydElkIjoiZGExXy0yIn0=",
        "[" VALIDATION "\"x\"}}]",
        "{\"records\":[" EVIDENCE(A, "\"" M "\"") "," EVIDENCE(A, "\"" M2 "\"") "]}",
        EVENT "\"1\",\"data_base64\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}",
        "{\"alertId\":\"" A "\",\"x\":\"\\u0000\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        without_memory(bodies[i]);
}

/* A hint orders, and decides nothing: whatever else stands in its place is no fault. */
static void test_intake__a_severity_is_a_hint(void **state)
{
    static const struct {
        const char *body;
        bool high;
    } rows[] = {
        {"{\"alertId\":\"da1_-1\",\"severity\":\"High\"}", true},
        {"{\"alertId\":\"da1_-1\",\"Severity\":\"HIGH\"}", true},
        {"{\"value\":[{\"alert_id\":\"da1_-1\",\"alertSeverity\":\"high\"}]}", true},
        {"{\"alertId\":\"da1_-1\",\"severity\":\"Low\"}", false},
        {"{\"alertId\":\"da1_-1\",\"severity\":256}", false},
        {"{\"alertId\":\"da1_-1\",\"severity\":null}", false},
        {"{\"alertId\":\"da1_-1\"}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        struct intake in;

        assert_int_equal(intake_read(a, rows[i].body, strlen(rows[i].body), &in, NULL), ERR_OK);
        assert_int_equal(in.count, 1);
        assert_string_equal(in.alerts[0].alert_id, "da1_-1");
        assert_int_equal(in.alerts[0].likely_high, rows[i].high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intake__reads_every_shape_that_senders_use),
        cmocka_unit_test(test_intake__reads_an_alert_whatever_it_is_about),
        cmocka_unit_test(test_intake__knows_an_alert_by_its_looks_only_where_it_must),
        cmocka_unit_test(test_intake__an_empty_or_null_id_is_none),
        cmocka_unit_test(test_intake__writes_machine_ids_in_lower_case),
        cmocka_unit_test(test_intake__merges_what_stands_there_twice),
        cmocka_unit_test(test_intake__a_test_is_no_alert),
        cmocka_unit_test(test_intake__refuses_what_can_be_read_in_two_ways),
        cmocka_unit_test(test_intake__refuses_what_is_no_notification),
        cmocka_unit_test(test_intake__reads_cloudevents),
        cmocka_unit_test(test_intake__reads_event_grid_events),
        cmocka_unit_test(test_intake__reads_what_graph_sends),
        cmocka_unit_test(test_intake__reads_records_of_the_streaming_api),
        cmocka_unit_test(test_intake__reads_incidents_of_sentinel),
        cmocka_unit_test(test_intake__reads_base64_once),
        cmocka_unit_test(test_intake__refuses_other_peoples_schemas_by_name),
        cmocka_unit_test(test_intake__rows_of_evidence_are_no_batch),
        cmocka_unit_test(test_intake__what_stands_beside_an_id_is_no_batch),
        cmocka_unit_test(test_intake__takes_a_hundred_alerts_and_no_more),
        cmocka_unit_test(test_intake__says_so_when_memory_runs_out),
        cmocka_unit_test(test_intake__a_severity_is_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
