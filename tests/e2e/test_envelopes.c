/* test_envelopes.c - what Azure and Microsoft 365 put around an alert, and what they ask before they send,
 * through the running process: what the sender is answered, and what Defender was asked for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "kit/house.h"

#define SOON     20000
#define SECRET   "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define GRID     "/hooks/grid?key=" SECRET
#define M        "0123456789abcdef0123456789abcdef01234567"
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* `relay` signs; `grid` has a secret in its URL, as Event Grid and Graph do. */
static struct house *open_house(void)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});

    free(house_write_file(h, "grid-secret", SECRET));
    house_edit(h, "sources:\n",
               "sources:\n"
               "  grid:\n    tenant: contoso\n"
               "    verify: [{token: {query: key, secret_files: [grid-secret]}}]\n");
    house_cordon_start(h);
    return h;
}

static int ask(struct house *h, const char *method, const char *path, const char *const *headers,
               const char *body, struct fetched *f)
{
    char url[600];

    (void)snprintf(url, sizeof url, "%s%s", h->hooks, path);
    (void)fetch(f, method, url, headers, body, body ? strlen(body) : 0, SOON);
    return f->status;
}

/* Each names one alert, da<row>_1, written as %s. */
static const struct {
    const char *label, *type, *body, *header[4];
} envelopes[] = {
    {"what the trigger's outputs are",
     "application/json",
     "{\"headers\":{},\"body\":{\"id\":\"%s\",\"machineId\":\"" M "\"}}",
     {NULL}},
    {"a connector namespace",
     "application/json",
     "{\"body\":{\"value\":[{\"id\":\"%s\",\"machineId\":\"" M "\"}]}}",
     {NULL}},
    {"a CloudEvent",
     "application/cloudevents+json; charset=utf-8",
     "{\"specversion\":\"1.0\",\"type\":\"mde.alert.created\",\"source\":\"/soc\",\"id\":\"1\","
     "\"data\":{\"alertId\":\"%s\",\"machineId\":\"" M "\"}}",
     {NULL}},
    {"CloudEvents in a batch",
     "application/cloudevents-batch+json",
     "[{\"specversion\":\"1.0\",\"type\":\"x\",\"source\":\"/soc\",\"id\":\"1\","
     "\"data\":{\"alertId\":\"%s\"}}]",
     {NULL}},
    {"a CloudEvent in binary mode",
     "application/json",
     "{\"alertId\":\"%s\"}",
     {"ce-specversion: 1.0", "ce-id: 1", "ce-source: /soc", "ce-type: mde.alert.created"}},
    {"Event Grid",
     "application/json; charset=utf-8",
     "[{\"id\":\"x\",\"eventType\":\"Contoso.Alert\",\"subject\":\"s\",\"eventTime\":"
     "\"2026-01-01T00:00:00Z\",\"dataVersion\":\"1\",\"data\":{\"id\":\"%s\",\"machineId\":\"" M
     "\"}}]",
     {NULL}},
    {"a change notification of Graph",
     "application/json",
     "{\"value\":[{\"subscriptionId\":\"x\",\"changeType\":\"created\",\"clientState\":\"c\","
     "\"resource\":\"security/alerts\",\"resourceData\":{\"id\":\"%s\"}}]}",
     {NULL}},
    {"an alert of Graph",
     "application/json",
     "{\"providerAlertId\":\"%s\",\"serviceSource\":\"microsoftDefenderForEndpoint\",\"evidence\":"
     "[{\"mdeDeviceId\":\"" M "\"}]}",
     {NULL}},
    {"an alert of Graph as of today, whose provider leaves the letters out",
     "application/json",
     "{\"id\":\"%s\",\"providerAlertId\":\"7_1\",\"serviceSource\":\"microsoftDefenderForEndpoint\","
     "\"evidence\":[{\"mdeDeviceId\":\"" M "\"}]}",
     {NULL}},
    {"the streaming API",
     "application/json",
     "{\"records\":[{\"category\":\"AdvancedHunting-DeviceEvents\",\"properties\":{}},{\"category\":"
     "\"AdvancedHunting-AlertEvidence\",\"properties\":{\"AlertId\":\"%s\",\"DeviceId\":\"" M
     "\",\"ServiceSource\":\"Microsoft Defender for Endpoint\"}}]}",
     {NULL}},
    {"an alert passed on whole, of a registry value with NULs and a file name of half a character",
     "application/json",
     "{\"id\":\"%s\",\"machineId\":\"" M
     "\",\"evidence\":[{\"registryValue\":\"a\\u0000b\\u0000\"},"
     "{\"fileName\":\"\\ud800.exe\"}]}",
     {NULL}},
    {"an incident of Sentinel",
     "application/json",
     "{\"object\":{\"properties\":{\"alerts\":[{\"properties\":{\"providerAlertId\":\"%s\","
     "\"productName\":\"Microsoft Defender Advanced Threat Protection\"}}]}}}",
     {NULL}},
};

static void test_envelopes__come_to_a_case_of_the_alert_in_them(void **state)
{
    struct house *h = open_house();

    (void)state;
    sim_tell(h->sim, "/machines", "{\"id\":\"" M "\",\"computerDnsName\":\"pc-1\"}");
    for (size_t i = 0; i < COUNT(envelopes); i++) {
        char id[20], type[100], body[1000], path[60];
        const char *headers[6] = {type};
        AUTO(json_freep) struct json *answer = NULL;
        struct fetched f;

        (void)snprintf(id, sizeof id, "da%zu_1", i);
        (void)snprintf(type, sizeof type, "Content-Type: %s", envelopes[i].type);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(body, sizeof body, envelopes[i].body, id);
#pragma GCC diagnostic pop
        for (size_t n = 0; n < COUNT(envelopes[i].header) && envelopes[i].header[n]; n++)
            headers[n + 1] = envelopes[i].header[n];
        sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"Low\",\"machineId\":\"" M "\"}",
                  id);
        if (ask(h, "POST", GRID, headers, body, &f) != 202)
            fail_msg("%s: %d %s", envelopes[i].label, f.status, f.body);
        assert_int_equal(json_parse(f.body, f.body_len, &answer, NULL), ERR_OK);
        assert_int_equal(json_count(json_get(answer, "cases")), 1);
        {
            AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);

            assert_string_equal(json_get_string(c, "alert_id"), id);
            assert_string_equal(json_get_string(c, "machine_id"), M);
        }
        (void)snprintf(path, sizeof path, "/api/alerts/%s", id);
        assert_int_equal(sim_count_calls(h->sim, "GET", path), 1);
        fetched_clear(&f);
    }
    json_free(sim_wait_mails(h->sim, (int64_t)COUNT(envelopes), SOON));
    house_stop(h);
}

/* base64 of {"alertId":"da1_-2"}, which the relay signed as it is sent. */
static void test_envelopes__base64_is_verified_as_sent_and_then_read(void **state)
{
    struct house *h = open_house();
    struct fetched f;

    (void)state;
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"Low\"}");
    (void)house_post(h, NULL, "eyJhbGVydElkIjoiZGExXy0yIn0=", &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    (void)house_post(h, NULL,
                     "{\"$content-type\":\"x\",\"$content\":\"eyJhbGVydElkIjoiZGExXy0yIn0=\"}", &f);
    assert_int_equal(f.status, 200); /* the same alert */
    fetched_clear(&f);
    json_free(sim_wait_calls(h->sim, "GET", "/api/alerts/da1_-2", 1, SOON));
    house_wait_quiet(h, SOON);
    house_stop(h);
}

static void test_envelopes__what_is_not_ours_is_refused_by_name(void **state)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    static const struct {
        const char *body, *says;
    } rows[] = {
        {"{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{\"essentials\":{\"alertId\":"
         "\"/subscriptions/x\"}}}",
         "Azure Monitor"},
        {"{\"Data\":{\"req\":{\"Body\":\"{}\"}},\"Metadata\":{}}", "custom handler"},
        {"{\"records\":[{\"category\":\"AdvancedHunting-DeviceEvents\",\"properties\":{}}]}",
         "streaming API"},
        {"{\"serviceSource\":\"microsoftDefenderForOffice365\",\"id\":\"fa1_1\"}",
         "Microsoft Graph security alerts"},
        {"{\"object\":{\"properties\":{\"alerts\":[]}}}", "Sentinel"},
        {"{\"value\":[{\"subscriptionId\":\"x\",\"lifecycleEvent\":\"missed\"}]}", "lifecycle"},
    };
    struct house *h = open_house();

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetched f;

        assert_int_equal(ask(h, "POST", GRID, headers, rows[i].body, &f), 400);
        if (!strstr(f.body, rows[i].says))
            fail_msg("%s: %s", rows[i].body, f.body);
        fetched_clear(&f);
    }
    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");

    assert_int_equal(json_count(json_get(cases, "cases")), 0);
    assert_int_equal(house_asked_defender(h), 0);
    house_stop(h);
}

/* The URLs that the handshakes name lead to the simulator, whose journal would show it if one was fetched. */
static void test_envelopes__handshakes_are_answered_and_open_nothing(void **state)
{
    struct house *h = open_house();
    const char *text[] = {"Content-Type: text/plain; charset=utf-8", NULL};
    const char *json[] = {"Content-Type: application/json",
                          "aeg-event-type: SubscriptionValidation", NULL};
    char callback[300], body[900], value[200];
    const char *options[] = {"WebHook-Request-Origin: eventgrid.azure.net", callback, NULL};
    struct fetched f;

    (void)state;
    (void)snprintf(callback, sizeof callback, "WebHook-Request-Callback: %s/api/alerts/asked",
                   h->sim->api_url);
    (void)snprintf(body, sizeof body,
                   "[{\"id\":\"x\",\"topic\":\"t\",\"subject\":\"\",\"eventType\":"
                   "\"Microsoft.EventGrid.SubscriptionValidationEvent\",\"eventTime\":"
                   "\"2026-01-01T00:00:00Z\",\"dataVersion\":\"1\",\"data\":{\"validationCode\":"
                   "\"512d38b6-c7b8-40c8-89fe-f46f9e9622b6\",\"validationUrl\":"
                   "\"%s/api/alerts/asked\"}}]",
                   h->sim->api_url);

    assert_int_equal(ask(h, "POST", GRID, json, body, &f), 200);
    assert_string_equal(f.body,
                        "{\"validationResponse\":\"512d38b6-c7b8-40c8-89fe-f46f9e9622b6\"}");
    fetched_clear(&f);
    assert_int_equal(ask(h, "OPTIONS", GRID, options, NULL, &f), 200);
    assert_string_equal(fetched_header(&f, "WebHook-Allowed-Origin", value, sizeof value),
                        "eventgrid.azure.net");
    assert_string_equal(fetched_header(&f, "WebHook-Allowed-Rate", value, sizeof value), "*");
    fetched_clear(&f);
    assert_int_equal(ask(h, "POST", GRID "&validationToken=Validation%3a+a%20b", text, "", &f),
                     200);
    assert_string_equal(f.body, "Validation: a b");
    assert_string_equal(fetched_header(&f, "Content-Type", value, sizeof value),
                        "text/plain; charset=utf-8");
    assert_string_equal(fetched_header(&f, "X-Content-Type-Options", value, sizeof value),
                        "nosniff");
    fetched_clear(&f);

    /* without the credential, there is nothing to be had */
    assert_int_equal(ask(h, "POST", "/hooks/grid", json, body, &f), 401);
    fetched_clear(&f);
    assert_int_equal(ask(h, "OPTIONS", "/hooks/grid", options, NULL, &f), 401);
    fetched_clear(&f);
    assert_int_equal(ask(h, "OPTIONS", "/hooks/relay", options, NULL, &f), 401);
    fetched_clear(&f);
    assert_int_equal(ask(h, "OPTIONS", GRID, NULL, NULL, &f), 405);
    assert_string_equal(fetched_header(&f, "Allow", value, sizeof value), "POST");
    fetched_clear(&f);
    assert_int_equal(ask(h, "POST", "/hooks/grid?validationToken=a", text, "", &f), 401);
    fetched_clear(&f);
    assert_int_equal(ask(h, "POST", GRID "&validationToken=%3Cb%3E", text, "", &f), 400);
    assert_null(strstr(f.body, "<b>"));
    fetched_clear(&f);

    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");

    assert_int_equal(json_count(json_get(cases, "cases")), 0);
    house_wait_log(h, "\"event\":\"handshake\"", 3, SOON);
    house_log_lacks(h, SECRET);
    house_log_lacks(h, "512d38b6");
    house_cordon_stop(h); /* whatever it would have fetched, it has */
    assert_int_equal(house_asked_defender(h), 0);
    house_stop(h);
}

static void test_envelopes__a_request_replayed_after_a_kill_is_a_duplicate(void **state)
{
    static const char body[] =
        "[{\"specversion\":\"1.0\",\"type\":\"mde.alert.created\",\"source\":\"x\","
        "\"id\":\"da1_-2\",\"data\":{\"alertId\":\"da1_-2\"}},"
        "{\"specversion\":\"1.0\",\"type\":\"mde.alert.created\",\"source\":\"x\","
        "\"id\":\"da2_-2\",\"data\":{\"alertId\":\"da2_-2\"}}]";
    struct house *h = open_house();
    char headers[3][200];
    const char *list[] = {headers[0], headers[1], headers[2],
                          "Content-Type: application/cloudevents-batch+json", NULL};
    AUTO(json_freep) struct json *first = NULL;
    AUTO(json_freep) struct json *again = NULL;
    struct fetched f;

    (void)state;
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-2\",\"severity\":\"Low\"}");
    sim_tell(h->sim, "/alerts", "{\"id\":\"da2_-2\",\"severity\":\"Low\"}");
    house_sign(h->secret, "msg_1", time(NULL), body, sizeof body - 1, headers);
    assert_int_equal(ask(h, "POST", "/hooks/relay", list, body, &f), 202);
    assert_int_equal(json_parse(f.body, f.body_len, &first, NULL), ERR_OK);
    fetched_clear(&f);
    house_cordon_kill(h); /* the moment that the answer is there */
    house_cordon_start(h);
    assert_int_equal(ask(h, "POST", "/hooks/relay", list, body, &f), 200);
    assert_int_equal(json_parse(f.body, f.body_len, &again, NULL), ERR_OK);
    fetched_clear(&f);
    assert_string_equal(json_get_string(again, "status"), "duplicate");
    assert_string_equal(json_get_string(first, "delivery"), json_get_string(again, "delivery"));
    assert_int_equal(json_count(json_get(again, "cases")), 2);
    for (const struct json *a = json_first(json_get(first, "cases")),
                           *b = json_first(json_get(again, "cases"));
         a; a = json_next(a), b = json_next(b))
        assert_string_equal(json_string(a), json_string(b));
    house_wait_quiet(h, SOON);
    {
        AUTO(json_freep) struct json *cases = house_get(h, "/api/cases");

        assert_int_equal(json_count(json_get(cases, "cases")), 2);
    }
    house_cordon_kill(h); /* and once more, with nothing to do */
    house_cordon_start(h);
    assert_int_equal(ask(h, "POST", "/hooks/relay", list, body, &f), 200);
    fetched_clear(&f);
    {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);

        assert_int_equal(json_count(json_get(mails, "mails")), 2);
    }
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelopes__come_to_a_case_of_the_alert_in_them),
        cmocka_unit_test(test_envelopes__base64_is_verified_as_sent_and_then_read),
        cmocka_unit_test(test_envelopes__what_is_not_ours_is_refused_by_name),
        cmocka_unit_test(test_envelopes__handshakes_are_answered_and_open_nothing),
        cmocka_unit_test(test_envelopes__a_request_replayed_after_a_kill_is_a_duplicate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
