/* test_bad_input.c - what is wrong is refused with the contract's answer (contract.md section 5), leaves nothing
 * behind and says so in one line of the log, without a secret; and the next good push is taken.
 *
 * The real process, asked from outside. Every row of every table is sent to one running cordon with three
 * sources: `relay` (Standard Webhooks), `tok` (a secret in a header) and `flow` (a token of Entra ID).
 * After each row no case is there; at the end of a table neither Defender nor Entra's token endpoint was
 * asked for anything and no mail was sent, the log holds as many refusals as there were, and a good push
 * of each source is answered 202.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "buf.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/raw.h"

#define SOON     20000
#define APP      "6f1c0de0-1111-4222-8333-944444444444"
#define FLOW     "99999999-8888-4777-8666-555555555555"
#define TOKEN    "0rnQbqHyOWrKxV1Zc0dB2EwS4yYJgS3K"
#define A        "da637472900382838869_1364969609"
#define A2       "da637308392288907382_-880718168"
#define M        "0123456789abcdef0123456789abcdef01234567"
#define M2       "fedcba9876543210fedcba9876543210fedcba98"
#define GOOD     "{\"alertId\":\"" A "\",\"machineId\":\"" M "\"}"
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- the house -------------------------------------------------------------------------------------- */

static struct house *open_house(void)
{
    struct house_options o = {.not_yet = true};
    struct house *h;
    char more[1200];

    h = house_start(&o);
    free(house_write_file(h, "token", TOKEN));
    (void)snprintf(
        more, sizeof more,
        "sources:\n"
        "  tok:\n    tenant: contoso\n    verify: [{token: {secret_files: [%s/token]}}]\n"
        "  flow:\n    tenant: contoso\n    verify:\n"
        "      - entra: {audience: [\"api://" APP "\"], clients: [" FLOW "]}\n",
        h->dir);
    house_edit(h, "sources:\n", more);
    house_cordon_start(h);
    house_wait_time(h);
    return h;
}

/* What no bad request may leave. */
static void assert_nothing_stored(struct house *h, const char *label)
{
    AUTO(json_freep) struct json *cases = house_get(h, "/api/cases?limit=1");

    if (json_count(json_get(cases, "cases")))
        fail_msg("%s: there is a case now", label);
}

static int64_t number_in(const char *line, const char *name)
{
    const char *at = strstr(line, name);

    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

/* Refusals in the log, those counted instead of shown too. */
static int64_t refusals(struct house *h)
{
    FILE *f = fopen(h->log_file, "re");
    char *line = NULL;
    size_t room = 0;
    int64_t n = 0;

    assert_non_null(f);
    while (getline(&line, &room, f) > 0) {
        n += strstr(line, "\"event\":\"refused\"") != NULL;
        if (strstr(line, "\"event\":\"refusals_not_shown\""))
            n += number_in(line, "\"count\":");
        if (strstr(line, "\"level\":\"error\""))
            fail_msg("in the log: %s", line);
    }
    free(line);
    (void)fclose(f);
    return n;
}

/* The log speaks of those it does not show with the first refusal of another second. */
static void wait_next_second(void)
{
    time_t now = time(NULL);

    while (time(NULL) == now)
        (void)poll(NULL, 0, 20);
}

static void push_good(struct house *h, const char *path, const char *const *headers,
                      const char *body)
{
    struct fetched f;
    char url[300];

    (void)snprintf(url, sizeof url, "%s%s", h->hooks, path);
    (void)fetch(&f, "POST", url, headers, body, strlen(body), SOON);
    if (f.status != 202)
        fail_msg("a good push to %s: %d %s %s", path, f.status, f.body, f.why);
    fetched_clear(&f);
}

/* After a table of `rows` refused requests, each of which has its line. */
static void close_house(struct house *h, int64_t rows)
{
    static const char *const tok[] = {"Content-Type: application/json",
                                      "Authorization: Bearer " TOKEN, NULL};
    char *jwt, *bearer = NULL;
    const char *flow[] = {"Content-Type: application/json", NULL, NULL};
    struct fetched f;
    char url[300];
    int64_t said;

    wait_next_second();
    (void)snprintf(url, sizeof url, "%s/hooks/relay", h->hooks);
    (void)fetch(&f, "GET", url, NULL, NULL, 0, SOON);
    assert_int_equal(f.status, 405);
    fetched_clear(&f);
    house_wait_log(h, "\"status\":405", 1, SOON);
    LOOK_FOR((said = refusals(h)) >= rows + 1, SOON,
             "%" PRId64 " requests were refused, the log tells of %" PRId64, rows + 1, said);
    assert_int_equal(said, rows + 1);

    assert_nothing_stored(h, "at the end");
    assert_int_equal(house_asked_defender(h), 0);
    assert_int_equal(sim_state(h->sim, "mails"), 0);
    house_log_lacks(h, h->secret + 6);
    house_log_lacks(h, TOKEN);
    house_log_lacks(h, h->sim->client_secret);

    sim_tell(h->sim, "/alerts", "{\"id\":\"" A "\",\"severity\":\"Low\",\"machineId\":\"" M "\"}");
    json_free(house_push(h, A, M, 202));
    push_good(h, "/hooks/tok", tok, "{\"alertId\":\"da1_-1\"}");
    jwt = sim_mint(h->sim, "{\"aud\":\"" APP "\",\"client\":\"" FLOW "\"}");
    if (asprintf(&bearer, "Authorization: Bearer %s", jwt) < 0)
        fail_msg("out of memory");
    flow[1] = bearer;
    push_good(h, "/hooks/flow", flow, "{\"alertId\":\"da2_-2\"}");
    house_log_lacks(h, strrchr(jwt, '.') + 1);
    free(bearer);
    free(jwt);
    house_stop(h);
}

/* RFC 9457 and the contract: the status, what it says, nothing of libraries. */
static void assert_refused(const char *label, const struct fetched *f, int status, const char *says)
{
    AUTO(json_freep) struct json *doc = NULL;
    char value[200];
    const char *type = fetched_header(f, "Content-Type", value, sizeof value);
    int64_t in_body = 0;

    if (f->status != status)
        fail_msg("%s: %d instead of %d: %.300s %s", label, f->status, status, f->body, f->why);
    if (!type || strcmp(type, "application/problem+json") != 0)
        fail_msg("%s: not a problem document but %s", label, type ? type : "nothing");
    if (json_parse(f->body, f->body_len, &doc, NULL))
        fail_msg("%s: %s", label, f->body);
    (void)json_int64(json_get(doc, "status"), &in_body);
    assert_int_equal(in_body, status);
    assert_non_null(json_get_string(doc, "title"));
    assert_non_null(json_get_string(doc, "type"));
    if (says && !strstr(json_get_string(doc, "detail"), says))
        fail_msg("%s: says '%s', not '%s'", label, json_get_string(doc, "detail"), says);
    if (strcasestr(f->head, "microhttpd") || strcasestr(f->head, "\r\nServer:"))
        fail_msg("%s: %s", label, f->head);
    type = fetched_header(f,
                          status == 401   ? "WWW-Authenticate"
                          : status == 405 ? "Allow"
                                          : "Cache-Control",
                          value, sizeof value);
    if (!type)
        fail_msg("%s: %d lacks its header: %s", label, status, f->head);
}

/* ---- bodies, each signed as it should be ---------------------------------------------------------------- */

struct body {
    const char *label, *body;
    size_t len; /* 0: as long as the text */
    const char *says;
};

#define TEXT(label, body, says)                                                                    \
    {                                                                                              \
        label, body, 0, says                                                                       \
    }
#define BYTES(label, body, says)                                                                   \
    {                                                                                              \
        label, body, sizeof(body) - 1, says                                                        \
    }

static const struct body bodies[] = {
    /* not JSON */
    TEXT("nothing", "", "not JSON"),
    TEXT("a blank", " ", "not JSON"),
    TEXT("a form", "alertId=" A, "not JSON"),
    TEXT("XML", "<alert id=\"" A "\"/>", "not JSON"),
    TEXT("an open brace", "{", "not JSON"),
    TEXT("a closing bracket too much", GOOD "]", "not JSON"),
    TEXT("two documents", GOOD GOOD, "not JSON"),
    TEXT("a line of text behind it", GOOD "\nx", "not JSON"),
    TEXT("cut short", "{\"alertId\":\"" A "\",\"machineId\":\"0123", "not JSON"),
    TEXT("single quotes", "{'alertId':'" A "'}", "not JSON"),
    TEXT("bare names", "{alertId:\"" A "\"}", "not JSON"),
    TEXT("a comma too much", "{\"alertId\":\"" A "\",}", "not JSON"),
    TEXT("a comment", "{\"alertId\":\"" A "\"/* x */}", "not JSON"),
    TEXT("NaN", "{\"alertId\":\"" A "\",\"x\":NaN}", "not JSON"),
    TEXT("a leading zero", "{\"alertId\":\"" A "\",\"x\":01}", "not JSON"),
    TEXT("a fraction without digits", "{\"alertId\":\"" A "\",\"x\":1.}", "not JSON"),
    TEXT("a plus", "{\"alertId\":\"" A "\",\"x\":+1}", "not JSON"),
    TEXT("a line break in a string", "{\"alertId\":\"da1\n_-1\"}", "not JSON"),
    TEXT("a vertical tab between", "{\v\"alertId\":\"" A "\"}", "not JSON"),
    TEXT("an escape that is none", "{\"alertId\":\"\\x41\"}", "not JSON"),
    TEXT("two byte order marks", "\xef\xbb\xbf\xef\xbb\xbf" GOOD, "not JSON"),
    BYTES("UTF-16", "{\0\"\0a\0\"\0:\0001\0}\0", "not JSON"),
    BYTES("a NUL behind it", GOOD "\0", "not JSON"),
    BYTES("a NUL in a string", "{\"alertId\":\"da1_-1\0x\"}", "not JSON"),
    TEXT("a byte that is no UTF-8", "{\"alertId\":\"da1_-\xff\"}", "not JSON"),
    TEXT("UTF-8 too long", "{\"alertId\":\"da1_-\xc0\xb1\"}", "not JSON"),
    TEXT("a surrogate in UTF-8", "{\"alertId\":\"\xed\xa0\x80\"}", "not JSON"),
    TEXT("UTF-8 cut off", "{\"alertId\":\"da1\xc3\"}", "not JSON"),
    TEXT("the same name twice", "{\"alertId\":\"" A "\",\"alertId\":\"" A "\"}", "twice"),
    TEXT("the same name twice, once escaped",
         "{\"alertId\":\"" A "\",\"\\u0061lertId\":\"" A2 "\"}", "twice"),
    TEXT("twice in a corner nobody reads", "{\"alertId\":\"" A "\",\"x\":{\"y\":1,\"y\":2}}",
         "twice"),
    /* JSON, but no alert */
    TEXT("an empty object", "{}", "alertId"),
    TEXT("an empty list", "[]", NULL),
    TEXT("a list of nothing", "{\"value\":[]}", NULL),
    TEXT("null", "null", NULL),
    TEXT("a number", "5", NULL),
    TEXT("a string", "\"" A "\"", NULL),
    TEXT("a list of numbers", "[1,2]", NULL),
    TEXT("a list of strings", "[\"" A "\"]", NULL),
    TEXT("a machine alone", "{\"machineId\":\"" M "\"}", "alertId"),
    TEXT("an id that is no alert's", "{\"id\":\"catalogue\"}", "alertId"),
    TEXT("a number for the id", "{\"alertId\":637472900382838869}", "alertId: expected a string"),
    TEXT("true for the id", "{\"alertId\":true}", "alertId: expected a string"),
    TEXT("a list for the id", "{\"alertId\":[\"" A "\"]}", "alertId: expected a string"),
    TEXT("an object for the id", "{\"alertId\":{\"id\":\"" A "\"}}", "alertId: expected a string"),
    TEXT("null for the id", "{\"alertId\":null}", "alertId"),
    TEXT("an empty id", "{\"alertId\":\"\"}", "alertId"),
    TEXT("a number for the machine", "{\"alertId\":\"" A "\",\"machineId\":7}", "machineId"),
    TEXT("a list for the machine", "{\"alertId\":\"" A "\",\"machineId\":[\"" M "\"]}",
         "machineId"),
    TEXT("a test that is a word", "{\"alertId\":\"" A "\",\"test\":\"true\"}", "test"),
    TEXT("a number for the tenant", "{\"alertId\":\"" A "\",\"tenantId\":1}", "tenantId"),
    /* ids with an end in mind */
    TEXT("a way up", "{\"alertId\":\"../../machines\"}", "alertId"),
    TEXT("a way up behind an id", "{\"alertId\":\"" A "/../../machines/" M "/isolate\"}",
         "alertId"),
    TEXT("an encoded way up", "{\"alertId\":\"..%2f..%2fmachines\"}", "alertId"),
    TEXT("dots alone", "{\"alertId\":\"..\"}", NULL),
    TEXT("one dot", "{\"alertId\":\".\"}", NULL),
    TEXT("a backslash", "{\"alertId\":\"da1\\\\..\"}", "alertId"),
    TEXT("a query", "{\"alertId\":\"" A "?$expand=evidence\"}", "alertId"),
    TEXT("a fragment", "{\"alertId\":\"" A "#x\"}", "alertId"),
    TEXT("a blank in it", "{\"alertId\":\"da1 _-1\"}", "alertId"),
    TEXT("a blank behind it", "{\"alertId\":\"" A " \"}", "alertId"),
    TEXT("CR LF and a header", "{\"alertId\":\"" A "\\r\\nX-Injected: 1\"}", "alertId"),
    TEXT("an LF", "{\"alertId\":\"" A "\\n\"}", "alertId"),
    TEXT("an escaped NUL", "{\"alertId\":\"" A "\\u0000.jpg\"}", "alertId"),
    TEXT("half a surrogate", "{\"alertId\":\"" A "\\ud800\"}", "alertId"),
    TEXT("a quote for OData", "{\"alertId\":\"x' or '1' eq '1\"}", "alertId"),
    TEXT("a letter that only looks like one of ours",
         "{\"alertId\":\"d\xd0\xb0"
         "1_-1\"}",
         "alertId"),
    TEXT("an emoji", "{\"alertId\":\"\xf0\x9f\x92\xa3\"}", "alertId"),
    TEXT("a script", "{\"alertId\":\"<script>alert(1)</script>\"}", "alertId"),
    TEXT("a template", "{\"alertId\":\"{{alert.title}}\"}", "alertId"),
    TEXT("a machine that is none", "{\"alertId\":\"" A "\",\"machineId\":\"ws-114\"}", "machineId"),
    TEXT("a machine with a path", "{\"alertId\":\"" A "\",\"machineId\":\"" M "/unisolate\"}",
         "machineId"),
    TEXT("a machine too short", "{\"alertId\":\"" A "\",\"machineId\":\"0123456789abcdef\"}",
         "machineId"),
    TEXT("a machine too long", "{\"alertId\":\"" A "\",\"machineId\":\"" M M "\"}", "machineId"),
    TEXT("a machine with CR LF", "{\"alertId\":\"" A "\",\"machineId\":\"" M "\\r\\n\"}",
         "machineId"),
    /* ids that contradict each other */
    TEXT("two alerts in one object", "{\"alertId\":\"" A "\",\"AlertID\":\"" A2 "\"}", "different"),
    TEXT("alertId and id", "{\"alertId\":\"" A "\",\"id\":\"" A2 "\"}", "different"),
    TEXT("an alert in an alert", "{\"alertId\":\"" A "\",\"alert\":{\"id\":\"" A2 "\"}}",
         "different"),
    TEXT("two machines", "{\"alertId\":\"" A "\",\"machineId\":\"" M "\",\"deviceId\":\"" M2 "\"}",
         "different"),
    TEXT("one alert on two machines",
         "[{\"id\":\"" A "\",\"machineId\":\"" M "\"},{\"id\":\"" A "\",\"machineId\":\"" M2 "\"}]",
         "different"),
    TEXT("a bad one among good ones",
         "[{\"alertId\":\"" A "\"},{\"alertId\":\"../x\"},{\"alertId\":\"" A2 "\"}]", "alertId"),
    TEXT("a test among real ones",
         "[{\"alertId\":\"" A "\",\"test\":true},{\"alertId\":\"" A2 "\"}]", "test"),
    /* other people's documents (webhook-sources.md section 2.2, row 12) */
    TEXT("Azure Monitor's common schema",
         "{\"schemaId\":\"azureMonitorCommonAlertSchema\",\"data\":{\"essentials\":{\"alertId\":"
         "\"/subscriptions/1/providers/Microsoft.AlertsManagement/alerts/2\"}}}",
         NULL),
    TEXT("a Stripe event", "{\"id\":\"evt_1\",\"object\":\"event\",\"type\":\"charge.failed\"}",
         NULL),
    TEXT("too many envelopes",
         "{\"body\":{\"body\":{\"body\":{\"body\":{\"body\":{\"body\":{\"alertId\":\"" A
         "\"}}}}}}}",
         NULL),
};

/* Sends bytes to /hooks/relay, well signed. */
static void send_signed(struct house *h, const char *id, const char *body, size_t len,
                        struct fetched *f)
{
    char url[300], signature[3][200];
    const char *headers[] = {"Content-Type: application/json", signature[0], signature[1],
                             signature[2], NULL};

    (void)snprintf(url, sizeof url, "%s/hooks/relay", h->hooks);
    house_sign(h->secret, id, time(NULL), body, len, signature);
    (void)fetch(f, "POST", url, headers, body, len, SOON);
}

static void test_bad_input__bodies(void **state)
{
    struct house *h = open_house();

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        size_t len = bodies[i].len ? bodies[i].len : strlen(bodies[i].body);
        struct fetched f;
        char id[40];

        (void)snprintf(id, sizeof id, "msg_bad_%zu", i);
        send_signed(h, id, bodies[i].body, len, &f);
        assert_refused(bodies[i].label, &f, 400, bodies[i].says);
        if (strcasestr(f.head, "x-injected"))
            fail_msg("%s: %s", bodies[i].label, f.head);
        fetched_clear(&f);
        assert_nothing_stored(h, bodies[i].label);
    }
    close_house(h, COUNT(bodies));
}

/* A refused delivery id is not used up: the sender corrects its body and sends it again. */
static void test_bad_input__a_refused_delivery_may_come_again(void **state)
{
    struct house *h = open_house();
    struct fetched f;

    (void)state;
    send_signed(h, "msg_1", "{}", 2, &f);
    assert_int_equal(f.status, 400);
    fetched_clear(&f);
    send_signed(h, "msg_1", GOOD, strlen(GOOD), &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    house_stop(h);
}

/* ---- bodies that are large or deep ------------------------------------------------------------------------ */

enum made { DEEP_LISTS, DEEP_OBJECTS, LONG_ID, MANY, ONE_OVER, TEN_MIB, LONG_NUMBER, MANY_NAMES };

static void make(enum made what, struct buf *b)
{
    switch (what) {
    case DEEP_LISTS:
    case DEEP_OBJECTS:
        for (int i = 0; i < 100000; i++)
            buf_adds(b, what == DEEP_LISTS ? "[" : "{\"body\":");
        break;
    case LONG_ID:
        buf_adds(b, "{\"alertId\":\"");
        for (int i = 0; i < 129; i++)
            buf_addc(b, 'a');
        buf_adds(b, "\"}");
        break;
    case MANY:
        for (int i = 0; i < 101; i++)
            buf_addf(b, "%s{\"alertId\":\"da%d_-1\"}", i ? "," : "[", i);
        buf_addc(b, ']');
        break;
    case LONG_NUMBER:
        buf_adds(b, "{\"alertId\":\"" A "\",\"x\":1");
        for (int i = 0; i < 100000; i++)
            buf_addc(b, '0');
        buf_addc(b, '}');
        break;
    case MANY_NAMES: /* all different, all of one length */
        for (int i = 0; i < 60000; i++)
            buf_addf(b, "%s\"%08x\":0", i ? "," : "{", (unsigned)i * 2654435761u);
        buf_addc(b, '}');
        break;
    default: /* good but for its size */
        buf_adds(b, "{\"alertId\":\"" A "\",\"x\":\"");
        for (size_t i = b->len, n = what == TEN_MIB ? 10 << 20 : (1 << 20) + 1; i < n - 2; i++)
            buf_addc(b, 'x');
        buf_adds(b, "\"}");
    }
}

static void test_bad_input__sizes(void **state)
{
    static const struct {
        const char *label;
        enum made what;
        int status;
    } rows[] = {
        {"100,000 lists in each other", DEEP_LISTS, 400},
        {"100,000 objects in each other", DEEP_OBJECTS, 400},
        {"an id of 129 characters", LONG_ID, 400},
        {"101 alerts", MANY, 413},
        {"a number of 100,001 digits", LONG_NUMBER, 400},
        {"60,000 members", MANY_NAMES, 400},
        {"one byte over the limit", ONE_OVER, 413},
        {"10 MiB", TEN_MIB, 413},
    };
    struct house *h = open_house();

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(16 << 20);
        struct fetched f;

        make(rows[i].what, &b);
        assert_int_equal(buf_failed(&b), ERR_OK);
        send_signed(h, rows[i].label, buf_text(&b), b.len, &f);
        assert_refused(rows[i].label, &f, rows[i].status, NULL);
        fetched_clear(&f);
        assert_nothing_stored(h, rows[i].label);
    }
    close_house(h, COUNT(rows));
}

/* ---- signatures ----------------------------------------------------------------------------------------------- */

/* What is changed about a request that is otherwise good. %s: the good value of that header. */
struct forgery {
    const char *label;
    const char *id, *timestamp, *signature; /* formats; NULL: as it should be; "": left out */
    int64_t age_s;                          /* signed with a clock so far behind */
    const char *more;                       /* one more header */
    const char *other_body, *other_id;      /* signed over these instead */
    bool other_key;
};

static const struct forgery forgeries[] = {
    {"no id", .id = ""},
    {"no timestamp", .timestamp = ""},
    {"no signature", .signature = ""},
    {"an empty id", .id = "webhook-id:"},
    {"an empty timestamp", .timestamp = "webhook-timestamp:"},
    {"an empty signature", .signature = "webhook-signature:"},
    {"no version", .signature = "webhook-signature: AAAA"},
    {"a version and nothing", .signature = "webhook-signature: v1,"},
    {"a version without a comma", .signature = "webhook-signature: v1"},
    {"four bytes", .signature = "webhook-signature: v1,AAAAAA=="},
    {"zeros", .signature = "webhook-signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
    {"not base64",
     .signature = "webhook-signature: v1,!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!="},
    {"padding alone", .signature = "webhook-signature: v1,===="},
    {"another version", .signature = "webhook-signature: v2,%s"},
    {"a large V", .signature = "webhook-signature: V1,%s"},
    {"an asymmetric version", .signature = "webhook-signature: v1a,%s"},
    {"longer by a byte", .signature = "webhook-signature: v1,%sA"},
    {"a blank in it", .signature = "webhook-signature: v1, %s"},
    {"in quotes", .signature = "webhook-signature: \"v1,%s\""},
    {"a hundred wrong ones", .signature = "hundred"},
    {"another key", .other_key = true},
    {"another body", .other_body = "{\"alertId\":\"" A2 "\"}"},
    {"another id", .other_id = "msg_other"},
    {"ten minutes old", .age_s = 600},
    {"just too old", .age_s = 302},
    {"ten minutes ahead", .age_s = -600},
    {"of 1970", .timestamp = "webhook-timestamp: 0"},
    {"a word", .timestamp = "webhook-timestamp: now"},
    {"a plus", .timestamp = "webhook-timestamp: +%s"},
    {"a fraction", .timestamp = "webhook-timestamp: %s.0"},
    {"milliseconds", .timestamp = "webhook-timestamp: %s000"},
    {"negative", .timestamp = "webhook-timestamp: -%s"},
    {"hexadecimal", .timestamp = "webhook-timestamp: 0x66d2e0c5"},
    {"more digits than there are", .timestamp = "webhook-timestamp: 99999999999999999999999"},
    {"a date", .timestamp = "webhook-timestamp: 2026-01-01T00:00:00Z"},
    {"the id twice", .more = "webhook-id: msg_more"},
    {"the timestamp twice", .more = "webhook-timestamp: 1"},
    {"the signature twice", .more = "webhook-signature: v1,AAAA"},
    {"another token in a header", .id = "", .more = "Authorization: Bearer " TOKEN},
};

static void forge(char out[8000], const char *fmt, const char *good)
{
    const char *at = strstr(fmt, "%s");

    if (strcmp(fmt, "hundred") == 0) {
        char *end = stpcpy(out, "webhook-signature:");

        for (int i = 0; i < 100; i++)
            end = stpcpy(end, " v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    } else if (at) {
        (void)snprintf(out, 8000, "%.*s%s%s", (int)(at - fmt), fmt, good, at + 2);
    } else {
        (void)snprintf(out, 8000, "%s", fmt);
    }
}

static void test_bad_input__signatures(void **state)
{
    static const char other_key[] = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    struct house *h = open_house();
    char id[60], url[300];

    (void)state;
    (void)snprintf(url, sizeof url, "%s/hooks/relay", h->hooks);
    for (size_t i = 0; i < COUNT(forgeries); i++) {
        const struct forgery *x = &forgeries[i];
        const char *signed_body = x->other_body ? x->other_body : GOOD, *headers[6];
        char good[3][200], own[3][8000];
        const char *formats[3] = {x->id, x->timestamp, x->signature};
        static const size_t skip[3] = {sizeof "webhook-id: " - 1, sizeof "webhook-timestamp: " - 1,
                                       sizeof "webhook-signature: v1," - 1};
        struct fetched f;
        size_t n = 0;

        (void)snprintf(id, sizeof id, "msg_forged_%zu", i);
        house_sign(x->other_key ? other_key : h->secret, x->other_id ? x->other_id : id,
                   time(NULL) - x->age_s, signed_body, strlen(signed_body), good);
        if (x->other_id)
            (void)snprintf(good[0], sizeof good[0], "webhook-id: %s", id);
        headers[n++] = "Content-Type: application/json";
        for (int k = 0; k < 3; k++) {
            forge(own[k], formats[k] ? formats[k] : good[k], good[k] + skip[k]);
            if (own[k][0])
                headers[n++] = own[k];
        }
        if (x->more)
            headers[n++] = x->more;
        headers[n] = NULL;
        (void)fetch(&f, "POST", url, headers, GOOD, strlen(GOOD), SOON);
        assert_refused(x->label, &f, 401, "could not be authenticated"); /* never which part */
        fetched_clear(&f);
        assert_nothing_stored(h, x->label);
        house_log_lacks(h, good[2] + skip[2]);
    }
    close_house(h, COUNT(forgeries));
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

static void test_bad_input__tokens_of_entra(void **state)
{
    static const struct {
        const char *label, *spec; /* members of POST /sim/mint; NULL: the header is text */
        int status;
        const char *text;
    } rows[] = {
        {"no algorithm", "\"alg\":\"none\"", 401, NULL},
        {"HMAC with the public key", "\"alg\":\"HS256\"", 401, NULL},
        {"HMAC with the modulus", "\"alg\":\"HS256n\"", 401, NULL},
        {"a key nobody published", "\"key\":\"unknown\"", 401, NULL},
        {"a small key", "\"key\":\"small\"", 401, NULL},
        {"kid with a way up", "\"header\":{\"kid\":\"../../etc/passwd\"}", 401, NULL},
        {"one bit turned", "\"breaks\":[\"bit_flip\"]", 401, NULL},
        {"no signature", "\"breaks\":[\"no_signature\"]", 401, NULL},
        {"an empty signature", "\"breaks\":[\"empty_signature\"]", 401, NULL},
        {"half a signature", "\"breaks\":[\"cut_signature\"]", 401, NULL},
        {"four parts", "\"breaks\":[\"four_parts\"]", 401, NULL},
        {"padding", "\"breaks\":[\"padded\"]", 401, NULL},
        {"stray bits", "\"breaks\":[\"stray_bits\"]", 401, NULL},
        {"expired", "\"exp_in\":-3600", 401, NULL},
        {"not yet valid", "\"nbf_in\":3600", 401, NULL},
        {"for somebody else", "\"aud\":\"api://other\"", 401, NULL},
        {"of another tenant", "\"tenant\":\"0f0f0f0f-98ab-4f0a-9d5e-0b1c2d3e4f50\"", 401, NULL},
        {"claims that stand twice", "\"payload_text\":\"{\\\"aud\\\":1,\\\"aud\\\":2}\"", 401,
         NULL},
        {"claims that are no JSON", "\"payload_text\":\"{{\"", 401, NULL},
        {"claims that are a list", "\"payload_text\":\"[]\"", 401, NULL},
        {"of another application", "\"client\":\"77777777-8888-4777-8666-555555555555\"", 403,
         NULL},
        {"no credential", NULL, 401, NULL},
        {"nothing behind Bearer", NULL, 401, "Authorization: Bearer"},
        {"Bearer and blanks", NULL, 401, "Authorization: Bearer    "},
        {"one word", NULL, 401, "Authorization: x"},
        {"dots alone", NULL, 401, "Authorization: Bearer .."},
        {"JSON that is no token", NULL, 401, "Authorization: Bearer {\"alg\":\"none\"}"},
        {"the secret of another source", NULL, 401, "Authorization: Bearer " TOKEN},
        {"Basic", NULL, 401, "Authorization: Basic YWRtaW46YWRtaW4="},
    };
    struct house *h = open_house();
    char url[300];

    (void)state;
    (void)snprintf(url, sizeof url, "%s/hooks/flow", h->hooks);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *headers[] = {"Content-Type: application/json", rows[i].text, NULL};
        char *jwt = NULL, *spec = NULL, *header = NULL;
        struct fetched f;

        if (rows[i].spec) {
            if (asprintf(&spec, "{%s%s%s}",
                         strstr(rows[i].spec, "\"aud\":\"") ? "" : "\"aud\":\"" APP "\",",
                         strstr(rows[i].spec, "\"client\"") ? "" : "\"client\":\"" FLOW "\",",
                         rows[i].spec) < 0)
                fail_msg("out of memory");
            jwt = sim_mint(h->sim, spec);
            if (asprintf(&header, "Authorization: Bearer %s", jwt) < 0)
                fail_msg("out of memory");
            headers[1] = header;
        }
        (void)fetch(&f, "POST", url, headers, GOOD, strlen(GOOD), SOON);
        assert_refused(rows[i].label, &f, rows[i].status, NULL);
        fetched_clear(&f);
        assert_nothing_stored(h, rows[i].label);
        if (jwt && strlen(strrchr(jwt, '.') + 1) > 40)
            house_log_lacks(h, strrchr(jwt, '.') + 1);
        free(header);
        free(spec);
        free(jwt);
    }
    close_house(h, COUNT(rows));
}

static void test_bad_input__a_secret_in_a_header(void **state)
{
    static const struct {
        const char *label, *header, *path;
    } rows[] = {
        {"none", NULL, NULL},
        {"empty", "Authorization:", NULL},
        {"Bearer alone", "Authorization: Bearer", NULL},
        {"its beginning", "Authorization: Bearer 0rnQbqHyOWrKxV1Z", NULL},
        {"longer", "Authorization: Bearer " TOKEN "0", NULL},
        {"twice over", "Authorization: Bearer " TOKEN TOKEN, NULL},
        {"with a comma", "Authorization: Bearer " TOKEN ", Bearer x", NULL},
        {"another case", "Authorization: Bearer 0RNQBQHYOWRKXV1ZC0DB2EWS4YYJGS3K", NULL},
        {"without its scheme", "Authorization: " TOKEN, NULL},
        {"another scheme", "Authorization: Basic " TOKEN, NULL},
        {"another header", "X-Token: " TOKEN, NULL},
        {"in the query", NULL, "/hooks/tok?token=" TOKEN},
        {"with a tab", "Authorization: Bearer\t" TOKEN "\tx", NULL},
    };
    struct house *h = open_house();

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *headers[] = {"Content-Type: application/json", rows[i].header, NULL};
        char url[300];
        struct fetched f;

        (void)snprintf(url, sizeof url, "%s%s", h->hooks,
                       rows[i].path ? rows[i].path : "/hooks/tok");
        (void)fetch(&f, "POST", url, headers, GOOD, strlen(GOOD), SOON);
        assert_refused(rows[i].label, &f, 401, "could not be authenticated");
        fetched_clear(&f);
        assert_nothing_stored(h, rows[i].label);
    }
    close_house(h, COUNT(rows));
}

/* ---- HTTP itself ------------------------------------------------------------------------------------------------------ */

#define HOST "Host: x\r\n"
#define JSON "Content-Type: application/json\r\n"
#define TOK  "Authorization: Bearer " TOKEN "\r\n"
#define POST "POST /hooks/tok HTTP/1.1\r\n" HOST
#define BODY "Content-Length: 20\r\n\r\n{\"alertId\":\"da1_-1\"}"

/* Each would be good but for one thing; the credential is right, so that only that one thing refuses it. */
static const struct {
    const char *label, *bytes;
    size_t len;
    unsigned status;
} requests[] = {
#define ROW(label, bytes, status)                                                                  \
    {                                                                                              \
        label, bytes, sizeof(bytes) - 1, status                                                    \
    }
    ROW("GET", "GET /hooks/tok HTTP/1.1\r\n" HOST TOK "\r\n", 405),
    ROW("PUT", "PUT /hooks/tok HTTP/1.1\r\n" HOST TOK JSON BODY, 405),
    ROW("DELETE", "DELETE /hooks/tok HTTP/1.1\r\n" HOST TOK "Content-Length: 0\r\n\r\n", 405),
    ROW("no such source", "POST /hooks/nobody HTTP/1.1\r\n" HOST TOK JSON BODY, 404),
    ROW("no source", "POST /hooks/ HTTP/1.1\r\n" HOST TOK JSON BODY, 404),
    ROW("another case", "POST /hooks/TOK HTTP/1.1\r\n" HOST TOK JSON BODY, 404),
    ROW("a slash behind", "POST /hooks/tok/ HTTP/1.1\r\n" HOST TOK JSON BODY, 404),
    ROW("two slashes", "POST //hooks/tok HTTP/1.1\r\n" HOST TOK JSON BODY, 404),
    ROW("the people's side", "GET /api/cases HTTP/1.1\r\n" HOST "\r\n", 404),
    ROW("the root", "GET / HTTP/1.1\r\n" HOST "\r\n", 404),
    ROW("a way around", "POST /hooks/x/../tok HTTP/1.1\r\n" HOST TOK JSON BODY, 400),
    ROW("an encoded slash", "POST /hooks%2ftok HTTP/1.1\r\n" HOST TOK JSON BODY, 400),
    ROW("an encoded NUL", "POST /hooks/tok%00 HTTP/1.1\r\n" HOST TOK JSON BODY, 400),
    ROW("the absolute form of another host",
        "POST http://y/hooks/tok HTTP/1.1\r\n" HOST TOK JSON BODY, 400),
    ROW("no host", "POST /hooks/tok HTTP/1.1\r\n" TOK JSON BODY, 400),
    ROW("two hosts", POST HOST TOK JSON BODY, 400),
    ROW("HTTP/1.9", "POST /hooks/tok HTTP/1.9\r\n" HOST TOK JSON BODY, 400),
    ROW("no type", POST TOK BODY, 415),
    ROW("text", POST TOK "Content-Type: text/plain\r\n" BODY, 415),
    ROW("a form", POST TOK "Content-Type: application/x-www-form-urlencoded\r\n" BODY, 415),
    ROW("parts", POST TOK "Content-Type: multipart/form-data; boundary=x\r\n" BODY, 415),
    ROW("JSON in UTF-16", POST TOK "Content-Type: application/json; charset=utf-16\r\n" BODY, 415),
    ROW("two types", POST TOK JSON JSON BODY, 415),
    ROW("compressed", POST TOK JSON "Content-Encoding: gzip\r\n" BODY, 415),
    ROW("no length", POST TOK JSON "\r\n", 411),
    ROW("a negative length", POST TOK JSON "Content-Length: -5\r\n\r\n", 400),
    ROW("a length with a plus", POST TOK JSON "Content-Length: +20\r\n\r\n{\"alertId\":\"da1_-1\"}",
        400),
    ROW("a length that is a word", POST TOK JSON "Content-Length: long\r\n\r\n", 400),
    ROW("a length twice", POST TOK JSON "Content-Length: 20\r\n" BODY, 400),
    ROW("two lengths", POST TOK JSON "Content-Length: 5\r\n" BODY, 400),
    ROW("a blank before the colon",
        POST TOK JSON "Content-Length : 20\r\n\r\n{\"alertId\":\"da1_-1\"}", 400),
    ROW("a length and chunks", POST TOK JSON "Transfer-Encoding: chunked\r\n" BODY, 400),
    ROW("a coding nobody knows", POST TOK JSON "Transfer-Encoding: x\r\n\r\n", 400),
    ROW("chunks in HTTP/1.0",
        "POST /hooks/tok HTTP/1.0\r\n" HOST TOK JSON "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400),
    ROW("a chunk of no size", POST TOK JSON "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", 400),
    ROW("a NUL in a header", POST TOK JSON "X: a\0b\r\n" BODY, 400),
    ROW("a bare CR in a header", POST TOK JSON "X: a\rb\r\n" BODY, 400),
    ROW("a folded header", POST TOK JSON "X: a\r\n b\r\n" BODY, 400),
    ROW("a blank in a name", POST TOK JSON "X Y: a\r\n" BODY, 400),
    ROW("a header without a name", POST TOK JSON ": a\r\n" BODY, 400),
    ROW("the same secret twice", POST TOK TOK JSON BODY, 401),
#undef ROW
};

static void test_bad_input__requests(void **state)
{
    struct house *h = open_house();
    struct raw_answer *a = calloc(1, sizeof *a);

    (void)state;
    assert_non_null(a);
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct raw *r = raw_open(h->hooks + strlen("http://"));
        struct fetched f = {0};

        assert_non_null(r);
        raw_send(r, requests[i].bytes, requests[i].len);
        raw_answer(r, a, false);
        f = (struct fetched){.status = (int)a->status, .head = a->head, .body = a->body};
        f.body_len = a->body_len;
        assert_refused(requests[i].label, &f, (int)requests[i].status, NULL);
        raw_free(r);
        assert_nothing_stored(h, requests[i].label);
    }
    free(a);
    close_house(h, COUNT(requests));
}

static void test_bad_input__heads_that_are_too_large(void **state)
{
    static const struct {
        const char *label;
        bool in_target;
        size_t size;
        int status, or_status; /* either is what HTTP says */
    } rows[] = {
        {"a header of 40 KiB", false, 40 * 1024, 431, 431},
        {"a header of 1 MiB", false, 1024 * 1024, 431, 431},
        {"a query of 40 KiB", true, 40 * 1024, 414, 431},
    };
    struct house *h = open_house();

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_clear) struct buf b = BUF_INIT(4 << 20);
        struct raw_answer *a = calloc(1, sizeof *a);
        struct raw *r = raw_open(h->hooks + strlen("http://"));
        struct fetched f = {0};

        assert_true(a && r);
        buf_adds(&b, rows[i].in_target ? "POST /hooks/tok?" : POST "X: ");
        for (size_t n = 0; n < rows[i].size; n++)
            buf_addc(&b, 'x');
        buf_adds(&b, rows[i].in_target ? " HTTP/1.1\r\n" HOST TOK JSON BODY : "\r\n" TOK JSON BODY);
        raw_send(r, buf_text(&b), b.len);
        raw_answer(r, a, false);
        f = (struct fetched){.status = (int)a->status, .head = a->head, .body = a->body};
        f.body_len = a->body_len;
        assert_refused(rows[i].label, &f,
                       f.status == rows[i].or_status ? rows[i].or_status : rows[i].status, NULL);
        raw_free(r);
        free(a);
        assert_nothing_stored(h, rows[i].label);
    }
    close_house(h, COUNT(rows));
}

/* ---- configuration files ---------------------------------------------------------------------------------------------- */

#define WHSEC "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

/* A text of the good file, and what it becomes; the place and a word of the fault. */
static const struct {
    const char *label, *from, *to, *says;
} files[] = {
    {"an unknown key", "listen:\n", "lisen:\n", "did you mean listen?"},
    {"a key twice", "rules:\n", "rules: []\nrules:\n", "twice"},
    {"a tab", "  address: 127.0.0.1:0\n", "\taddress: 127.0.0.1:0\n", "cordon.yaml:"},
    {"an anchor", "listen:\n", "listen: &a\n", "anchors"},
    {"an alias", "rules:\n", "x: *y\nrules:\n", "cordon.yaml:"},
    {"a merge", "rules:\n", "<<: {a: b}\nrules:\n", "<<"},
    {"a tag", "client_id: ", "client_id: !!binary ", "cordon.yaml:"},
    {"two documents", "rules:\n", "---\nrules:\n", "cordon.yaml:"},
    {"a bracket that stays open", "secret_files: [", "secret_files: [[", "cordon.yaml:"},
    {"a NUL", "rules:\n", "x: \"\\0\"\nrules:\n", "cordon.yaml:"},
    {"a byte that is no UTF-8", "rules:\n", "# \xff\nrules:\n", "UTF-8"},
    {"text for a map", "tenants:\n", "public_url: [a]\ntenants:\n", "public_url"},
    {"a port too large",
     "  address: 127.0.0.1:0\nadmin:", "  address: 127.0.0.1:99999\nadmin:", "listen.address"},
    {"an open people's side without a token", "admin:\n  address: 127.0.0.1:0",
     "admin:\n  address: 0.0.0.0:9180", "admin.token_file"},
    {"a secret in the file", "client_secret_file: ", "client_secret: " WHSEC " #", "client_secret"},
    {"a secret where its file is named", "secret_files: [", "secret_files: [" WHSEC ", ",
     "secret_files"},
    {"a password in a URL", "server: smtp://", "server: smtp://user:" WHSEC "@", "mail.server"},
    {"a secret file that is not there", "client-secret\n", "nowhere\n", "no such file"},
    {"a tenant that is not there", "relay:\n    tenant: contoso", "relay:\n    tenant: contso",
     "did you mean contoso?"},
    {"a tenant id that is none", "tenant_id: ", "tenant_id: x", "GUID"},
    {"plain http to afar", "api_url: http://", "api_url: http://203.0.113.5:1/#", "https"},
    {"a scheme that is none", "standard_webhooks:", "standard_webhook:", "standard_webhooks"},
    {"no proof at all", "- standard_webhooks:", "- none: {} #", "none"},
    {"a field that is none", "{alert.severity: High}", "{alert.severty: High}", "alert.severity"},
    {"a value that is none", "{alert.severity: High}", "{alert.severity: Hihg}", "High"},
    {"an operator that is none", "{alert.severity: High}", "{alert.severity: {over: High}}",
     "over"},
    {"a regular expression that is none", "{alert.severity: High}", "{alert.title: {regex: \"(\"}}",
     "regular expression"},
    {"a handler that is none", "[email: {}]", "[emial: {}]", "did you mean email?"},
    {"a type of isolation that is none", "{type: full", "{type: ful", "full"},
    {"a template of a field that is none", "{{alert.title}}", "{{alert.titel}}", "alert.title"},
    {"a template that stays open", "{{alert.title}}", "{{alert.title", "comment"},
    {"a rule without a deed", "do: [email: {}]", "do: []", "do"},
    {"two rules of one name", "name: tell", "name: contain-high", "contain-high"},
    {"an address that is none", "to: [soc@contoso.example]", "to: [soc]", "mail address"},
    {"an address with a line break", "to: [soc@contoso.example]",
     "to: [\"soc@contoso.example\\r\\nBcc: x@evil.example\"]", "mail.to"},
    {"a limit of nothing", "rules:\n", "safety: {limits: [{isolations: 0, per: 1h}]}\nrules:\n",
     "isolations"},
    {"a duration that is none", "rules:\n",
     "safety: {limits: [{isolations: 5, per: 1 hour}]}\nrules:\n", "per"},
    {"a review at once", "rules:\n", "safety: {review: 0s}\nrules:\n", "safety.review"},
    {"a release at no time", "{type: full,", "{type: full, release_after: soon,",
     "isolate.release_after"},
    {"a file to stop that is not named", "[email: {}]", "[stop_file: {}]", "stop_file.sha1"},
    {"a kind of scan that is none", "[email: {}]", "[scan: {type: slow}]", "scan.type"},
    {"a step after one that is none", "[email: {}]", "[{email: {}, if: {isolate: done}}]",
     "no step before this one"},
};

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = calloc(1, 65536);

    assert_true(f && text);
    assert_true(fread(text, 1, 65535, f) > 0);
    (void)fclose(f);
    return text;
}

/* What a server that does not start says: lines of JSON; their reasons, a line each. */
static char *reasons(const char *log)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(1 << 20);
    char *all = strdup(log), *rest = all;

    for (char *line; (line = strsep(&rest, "\n"));) {
        AUTO(json_freep) struct json *event = NULL;

        if (!*line)
            continue;
        if (json_parse(line, strlen(line), &event, NULL))
            fail_msg("no line of JSON: %s", line);
        buf_addf(&out, "%s\n", json_get_string(event, "why"));
    }
    free(all);
    return strdup(buf_text(&out));
}

/* `cordon check` says what and where, `cordon serve` does not start, and neither repeats a secret. */
static void test_bad_input__configuration_files(void **state)
{
    static const struct house_options o = {
        .not_yet = true,
        .rules = "  - name: contain-high\n    when: {alert.severity: High}\n    do:\n"
                 "      - isolate: {type: full, comment: \"{{alert.title}}\"}\n"
                 "  - name: tell\n    do: [email: {}]\n"};
    struct house *h = house_start(&o);
    const char *check[] = {"check", "-c", h->config_file, NULL};
    const char *serve[] = {"serve", "-c", h->config_file, NULL};
    char *good = read_all(h->config_file), *out;

    (void)state;
    if (house_run(h, &out, check) != 0)
        fail_msg("the good one: %s", out);
    free(out);
    for (size_t i = 0; i < COUNT(files); i++) {
        const char *const *const runs[] = {check, serve};
        const char *at = strstr(good, files[i].from);
        AUTO(buf_clear) struct buf b = BUF_INIT(1 << 20);

        if (!at)
            fail_msg("%s: the file has no '%s'", files[i].label, files[i].from);
        buf_add(&b, good, (size_t)(at - good));
        buf_adds(&b, files[i].to);
        buf_adds(&b, at + strlen(files[i].from));
        free(house_write_file(h, "cordon.yaml", buf_text(&b)));
        for (size_t k = 0; k < COUNT(runs); k++) {
            int code = house_run(h, &out, runs[k]);

            if (code != 1)
                fail_msg("%s: %s ended with %d: %s", files[i].label, runs[k][0], code, out);
            if (runs[k] == serve) {
                char *why = reasons(out);

                free(out);
                out = why;
            }
            if (!strstr(out, "cordon.yaml:") || !strstr(out, files[i].says))
                fail_msg("%s: %s says\n%s\nwithout '%s'", files[i].label, runs[k][0], out,
                         files[i].says);
            if (strstr(out, WHSEC + 6))
                fail_msg("%s: %s repeats the secret: %s", files[i].label, runs[k][0], out);
            free(out);
        }
    }
    assert_int_equal(sim_count_calls(h->sim, NULL, NULL), 0);
    free(house_write_file(h, "cordon.yaml", good));
    free(good);
    house_cordon_start(h); /* and the good one serves */
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_input__bodies),
        cmocka_unit_test(test_bad_input__a_refused_delivery_may_come_again),
        cmocka_unit_test(test_bad_input__sizes),
        cmocka_unit_test(test_bad_input__signatures),
        cmocka_unit_test(test_bad_input__tokens_of_entra),
        cmocka_unit_test(test_bad_input__a_secret_in_a_header),
        cmocka_unit_test(test_bad_input__requests),
        cmocka_unit_test(test_bad_input__heads_that_are_too_large),
        cmocka_unit_test(test_bad_input__configuration_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
