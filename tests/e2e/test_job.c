/* test_job.c - the main job, whole: a pushed alert isolates the machine and mails the truth. What counts is
 * what Defender and the mail server saw. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kit/disk.h"
#include "kit/house.h"
#include "kit/look.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define OTHER   "0123456789abcdef0123456789abcdef01234567"
#define SOON    20000 /* ms; a deadline, not a wait */

#define ISOLATE "/api/machines/" MACHINE "/isolate"
#define ISOLATES                                                                                   \
    "/api/machines/*"                                                                              \
    "/isolate"

static void add_machine(struct house *h, const char *id, const char *more)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\",\"computerDnsName\":\"ws-114.corp.example\"%s}",
              id, more);
}

static void add_alert(struct house *h, const char *id, const char *severity, const char *more)
{
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\","
              "\"title\":\"Sensitive credential memory read\"%s}",
              id, severity, MACHINE, more);
}

/* The header's value of a raw mail, unfolded no further than one line; "" when absent. */
static const char *header_of(const struct json *mail, const char *name, char out[600])
{
    const char *raw = json_get_string(mail, "raw"), *at = raw;
    size_t len = strlen(name), n = 0;

    out[0] = '\0';
    while (at && *at != '\r' && *at != '\n') {
        if (strncasecmp(at, name, len) == 0 && at[len] == ':') {
            for (at += len + 1; *at == ' '; at++)
                ;
            while (*at && n < 599 &&
                   !(at[0] == '\r' && at[1] == '\n' && at[2] != ' ' && at[2] != '\t')) {
                if (*at != '\r' && *at != '\n')
                    out[n++] = *at;
                at++;
            }
            out[n] = '\0';
            return out;
        }
        at = strstr(at, "\r\n");
        at = at ? at + 2 : NULL;
    }
    return out;
}

static const struct json *nth(const struct json *list, size_t n)
{
    const struct json *v = json_first(list);

    while (v && n--)
        v = json_next(v);
    return v;
}

/* The subject of mail n starts with the tag. */
static void assert_subject(const struct json *mails, size_t n, const char *tag)
{
    char subject[600];

    header_of(nth(json_get(mails, "mails"), n), "Subject", subject);
    if (strncmp(subject, tag, strlen(tag)) != 0)
        fail_msg("mail %zu: the subject is '%s', not '%s…'", n, subject, tag);
}

/* ---- isolation ------------------------------------------------------------------------------------ */

static void test_job__a_high_alert_isolates_once_and_mails_both_states(void **state)
{
    struct house *h = house_start(NULL);
    char id[600], reply[600];

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
    AUTO(json_freep) struct json *calls = sim_calls(h->sim, "POST", ISOLATES, 0);
    AUTO(json_freep) struct json *body = NULL;
    const struct json *call = json_first(json_get(calls, "calls"));

    assert_string_equal(json_get_string(answer, "status"), "accepted");
    assert_int_equal(json_count(json_get(calls, "calls")), 1);
    assert_string_equal(json_get_string(call, "path"), ISOLATE);
    assert_int_equal(json_parse(json_get_string(call, "body"),
                                strlen(json_get_string(call, "body")), &body, NULL),
                     ERR_OK);
    assert_string_equal(json_get_string(body, "IsolationType"), "Full");
    assert_string_equal(json_get_string(body, "Comment"), "Sensitive credential memory read");
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    assert_subject(mails, 0, "[REQUESTED] High: Sensitive credential memory read");
    assert_subject(mails, 1, "[ISOLATED] High: Sensitive credential memory read");
    header_of(nth(json_get(mails, "mails"), 0), "Message-ID", id);
    header_of(nth(json_get(mails, "mails"), 1), "In-Reply-To", reply);
    assert_string_equal(id, reply);
    assert_string_equal(json_get_string(c, "rule"), "contain-high");
    assert_string_equal(json_get_string(c, "told"), "isolated");
    assert_string_equal(json_get_string(json_get(c, "isolation"), "state"), "isolated");
    house_stop(h);
}

static void test_job__other_severities_are_only_told(void **state)
{
    static const char *const severities[] = {"Medium", "Low", "Informational", "UnSpecified"};
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    for (size_t i = 0; i < 4; i++) {
        char id[40];

        (void)snprintf(id, sizeof id, "da%zu_-1", i + 1);
        add_alert(h, id, severities[i], "");
        AUTO(json_freep) struct json *answer = house_push(h, id, MACHINE, 202);
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, (int64_t)i + 1, SOON);

        assert_string_equal(json_get_string(c, "rule"), "tell");
        assert_subject(mails, i, "[ALERT]");
    }
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    house_stop(h);
}

static void test_job__a_push_without_machine_reads_it_from_the_alert(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, NULL, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);

    assert_string_equal(json_get_string(c, "machine_id"), MACHINE);
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
    house_stop(h);
}

static void test_job__repeated_pushes_are_one_case(void **state)
{
    struct house *h = house_start(NULL);
    struct fetched f;
    const char *body = "{\"alertId\":\"" ALERT "\",\"machineId\":\"" MACHINE "\"}";

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    for (int i = 0; i < 3; i++) { /* the same delivery, as a sender repeats it */
        assert_true(house_post(h, "msg_same", body, &f));
        assert_int_equal(f.status, i ? 200 : 202);
        assert_non_null(strstr(f.body, i ? "\"duplicate\"" : "\"accepted\""));
        fetched_clear(&f);
    }
    AUTO(json_freep) struct json *again = house_push(h, ALERT, MACHINE, 200); /* another delivery */
    AUTO(json_freep) struct json *c = house_wait_case(h, again, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
    AUTO(json_freep) struct json *list = house_get(h, "/api/cases");

    assert_string_equal(json_get_string(again, "status"), "duplicate");
    assert_int_equal(json_count(json_get(list, "cases")), 1);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    assert_int_equal(json_count(json_get(mails, "mails")), 2);
    assert_non_null(c);
    house_stop(h);
}

static void test_job__alerts_of_one_machine_share_one_isolation(void **state)
{
    struct house *h = house_start(NULL);
    struct json *answers[12];

    (void)state;
    add_machine(h, MACHINE, "");
    for (size_t i = 0; i < 12; i++) {
        char id[40];

        (void)snprintf(id, sizeof id, "da%zu_-1", i + 1);
        add_alert(h, id, "High", "");
        answers[i] = house_push(h, id, MACHINE, 202);
    }
    for (size_t i = 0; i < 12; i++) {
        AUTO(json_freep) struct json *c = house_wait_case(h, answers[i], "done", SOON);

        assert_string_equal(json_get_string(c, "told"), "isolated");
        json_free(answers[i]);
    }
    AUTO(json_freep) struct json *list = house_get(h, "/api/isolations?open=1");
    assert_int_equal(json_count(json_get(list, "isolations")), 1);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_stop(h);
}

static void test_job__an_analysts_isolation_is_adopted(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    sim_tell(h->sim, "/actions",
             "{\"machineId\":\"" MACHINE "\",\"type\":\"Isolate\",\"status\":\"Succeeded\","
             "\"requestor\":\"analyst@contoso.example\"}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

    assert_subject(mails, 0, "[ISOLATED]");
    assert_true(json_is_true(json_get(json_get(c, "isolation"), "adopted")));
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 0);
    house_stop(h);
}

static void test_job__a_release_under_way_is_not_crossed(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    sim_tell(h->sim, "/config", "{\"actions\":{\"done_after_ms\":600000}}");
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    sim_tell(h->sim, "/actions",
             "{\"machineId\":\"" MACHINE "\",\"type\":\"Unisolate\",\"status\":\"Pending\","
             "\"requestor\":\"analyst@contoso.example\"}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

    assert_subject(mails, 0, "[NOT ISOLATED: somebody is releasing the machine at Defender]");
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 0);
    assert_non_null(c);
    house_stop(h);
}

static void test_job__a_released_machine_is_isolated_again_by_a_new_alert(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, "da1_-1", "High", "");
    add_alert(h, "da2_-1", "High", "");
    AUTO(json_freep) struct json *first = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *one = house_wait_case(h, first, "done", SOON);
    sim_tell(h->sim, "/clock", "{\"advance_ms\":1000}"); /* some of its times have no fraction */
    sim_tell(h->sim, "/actions",
             "{\"machineId\":\"" MACHINE "\",\"type\":\"Unisolate\",\"status\":\"Succeeded\","
             "\"requestor\":\"analyst@contoso.example\"}");
    AUTO(json_freep) struct json *second = house_push(h, "da2_-1", MACHINE, 202);
    AUTO(json_freep) struct json *two = house_wait_case(h, second, "done", SOON);
    AUTO(json_freep) struct json *list = house_get(h, "/api/isolations");
    const struct json *isolations = json_get(list, "isolations");

    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 2);
    assert_int_equal(json_count(isolations), 2); /* newest first */
    assert_string_equal(json_get_string(nth(isolations, 0), "state"), "isolated");
    assert_string_equal(json_get_string(nth(isolations, 1), "state"), "released");
    house_stop(h);
}

/* Each row: how an action ends, and the words of the second mail. */
static void test_job__an_isolation_that_fails_is_said_so(void **state)
{
    static const struct {
        const char *machine, *subject;
    } rows[] = {
        {",\"sim\":{\"outcome\":\"Failed\"}",
         "[NOT ISOLATED: the machine could not do it (Failed)]"},
        {",\"sim\":{\"outcome\":\"Cancelled\"}",
         "[NOT ISOLATED: somebody cancelled it at Defender]"},
        {",\"sim\":{\"outcome\":\"TimeOut\"}",
         "[NOT ISOLATED: the machine stayed offline: Defender gave up (TimeOut)]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct house *h = house_start(NULL);

        add_machine(h, MACHINE, rows[i].machine);
        add_alert(h, ALERT, "High", "");
        AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);

        assert_subject(mails, 0, "[REQUESTED]");
        assert_subject(mails, 1, rows[i].subject);
        assert_string_equal(json_get_string(json_get(c, "isolation"), "state"), "failed");
        assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
        house_stop(h);
    }
}

static void test_job__a_refused_isolation_is_said_so_at_once(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE,
                ",\"sim\":{\"refuse\":{\"status\":400,\"code\":\"OsPlatformNotSupported\","
                "\"message\":\"not on this one\"}}");
    add_alert(h, ALERT, "High", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

    assert_subject(mails, json_count(json_get(mails, "mails")) - 1, "[NOT ISOLATED:");
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
    assert_non_null(c);
    house_stop(h);
}

static void test_job__an_offline_machine_stays_requested(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, ",\"sim\":{\"offline\":true}");
    add_alert(h, ALERT, "High", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *waiting = house_wait_case(h, answer, "waiting", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);
    /* followed at least twice, and still nobody says isolated */
    AUTO(json_freep)
    struct json *looks = sim_wait_calls(h->sim, "GET", "/api/machineactions/*", 2, SOON);
    AUTO(json_freep) struct json *list = house_get(h, "/api/isolations?open=1");

    assert_subject(mails, 0, "[REQUESTED]");
    assert_string_equal(json_get_string(json_first(json_get(list, "isolations")), "state"),
                        "pending");
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"offline\":false}}");
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *two = sim_wait_mails(h->sim, 2, SOON);
    assert_subject(two, 1, "[ISOLATED]");
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
    assert_non_null(waiting);
    assert_non_null(looks);
    assert_non_null(c);
    house_stop(h);
}

/* The answer to the POST is lost, or speaks of an action that exists: never a second POST. */
static void test_job__a_lost_answer_is_looked_up(void **state)
{
    static const char *const kinds[] = {"lost", "truncated", "malformed"};
    struct house *houses[3];
    struct json *answers[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) { /* side by side: each waits for the settling time */
        houses[i] = house_start(NULL);
        add_machine(houses[i], MACHINE, "");
        add_alert(houses[i], ALERT, "High", "");
        sim_tellf(houses[i]->sim, "/faults",
                  "{\"method\":\"POST\",\"path\":\"%s\",\"kind\":\"%s\"}", ISOLATES, kinds[i]);
        answers[i] = house_push(houses[i], ALERT, MACHINE, 202);
    }
    for (size_t i = 0; i < 3; i++) {
        AUTO(json_freep) struct json *c = house_wait_case(houses[i], answers[i], "done", 40000);

        assert_string_equal(json_get_string(c, "told"), "isolated");
        assert_int_equal(sim_count_calls(houses[i]->sim, "POST", ISOLATES), 1);
        json_free(answers[i]);
        house_stop(houses[i]);
    }
}

static void test_job__a_duplicate_answer_is_adopted(void **state)
{
    static const char *const modes[] = {"error400", "existing201"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct house *h = house_start(NULL);

        sim_tellf(h->sim, "/config", "{\"actions\":{\"duplicate\":\"%s\"}}", modes[i]);
        add_machine(h, MACHINE, "");
        add_alert(h, ALERT, "High", "");
        /* the look at all machines, made at the start, has not seen it either */
        AUTO(json_freep)
        struct json *start = sim_wait_calls(h->sim, "GET", "/api/machineactions", 1, SOON);
        /* somebody isolates between our look and our POST: the look is answered from before */
        sim_tell(h->sim, "/faults",
                 "{\"method\":\"GET\",\"path\":\"/api/machineactions\",\"query\":\"*machineId*\","
                 "\"kind\":\"answer\",\"status\":200,"
                 "\"json\":{\"value\":[]}}");
        sim_tell(h->sim, "/actions",
                 "{\"machineId\":\"" MACHINE "\",\"type\":\"Isolate\",\"status\":\"Pending\","
                 "\"requestor\":\"analyst@contoso.example\"}");
        AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);

        assert_string_equal(json_get_string(c, "told"), "isolated");
        assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
        house_stop(h);
    }
}

/* ---- doubt: never an isolation, never silence ------------------------------------------------------ */

static void test_job__a_doubt_is_told_and_isolates_nothing(void **state)
{
    static const struct {
        const char *label, *machine, *alert, *severity, *pushed;
    } rows[] = {
        {"the push names another machine", "", "", "High", OTHER},
        {"a severity nobody knows", "", "", "Critical", MACHINE},
        {"the alert names no machine", "", ",\"machineId\":null", "High", NULL},
        {"the machine was merged", ",\"mergedIntoMachineId\":\"" OTHER "\"", "", "High", MACHINE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct house *h = house_start(NULL);

        print_message("  %s\n", rows[i].label);
        add_machine(h, OTHER, "");
        add_machine(h, MACHINE, rows[i].machine);
        if (rows[i].alert[0])
            sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"%s\"%s}", ALERT,
                      rows[i].severity, rows[i].alert);
        else
            add_alert(h, ALERT, rows[i].severity, "");
        AUTO(json_freep) struct json *answer = house_push(h, ALERT, rows[i].pushed, 202);
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

        assert_subject(mails, 0, "[NOT ISOLATED:");
        assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 0);
        assert_non_null(c);
        house_stop(h);
    }
}

static void test_job__protection_and_shadow_hold(void **state)
{
    static const struct {
        const char *label, *safety, *machine, *why;
    } rows[] = {
        {"protected by tag", "  protected:\n    - machine.tags: [tier-0]\n",
         ",\"machineTags\":[\"tier-0\"]", "[NOT ISOLATED: protected"},
        {"shadow", "  mode: shadow\n", "", "[NOT ISOLATED: "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct house_options o = {.safety = rows[i].safety};
        struct house *h = house_start(&o);

        print_message("  %s\n", rows[i].label);
        add_machine(h, MACHINE, rows[i].machine);
        add_alert(h, ALERT, "High", "");
        AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

        assert_subject(mails, 0, rows[i].why);
        assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 0);
        assert_non_null(c);
        house_stop(h);
    }
}

static void test_job__a_limit_holds(void **state)
{
    const struct house_options o = {.safety = "  limits:\n    - {isolations: 1, per: 1h}\n"};
    struct house *h = house_start(&o);

    (void)state;
    add_machine(h, MACHINE, "");
    add_machine(h, OTHER, "");
    add_alert(h, "da1_-1", "High", "");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"da2_-1\",\"severity\":\"High\",\"machineId\":\"" OTHER "\"}");
    AUTO(json_freep) struct json *first = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *one = house_wait_case(h, first, "done", SOON);
    AUTO(json_freep) struct json *before = sim_wait_mails(h->sim, 2, SOON);
    AUTO(json_freep) struct json *second = house_push(h, "da2_-1", OTHER, 202);
    AUTO(json_freep) struct json *two = house_wait_case(h, second, "waiting", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 3, SOON);

    assert_subject(mails, 2,
                   "[QUESTION] 1 machine: the limit of 1 isolations in 60 minutes is reached");
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 1);
    assert_non_null(before);
    assert_non_null(one);
    assert_non_null(two);
    house_stop(h);
}

/* ---- a Defender that misbehaves --------------------------------------------------------------------- */

static void test_job__what_is_transient_is_tried_again(void **state)
{
    static const char *const faults[] = {
        "{\"path\":\"/api/alerts/*\",\"kind\":\"error\",\"status\":500}",
        "{\"path\":\"/api/alerts/*\",\"kind\":\"html\",\"status\":502}",
        "{\"path\":\"/api/alerts/*\",\"kind\":\"truncated\"}",
        "{\"path\":\"/api/alerts/*\",\"kind\":\"malformed\"}",
        "{\"path\":\"/api/alerts/*\",\"kind\":\"reset\"}",
        "{\"path\":\"/api/alerts/*\",\"kind\":\"throttle\",\"retry_after_s\":1}",
        "{\"path\":\"/api/machines/*\",\"kind\":\"close\"}",
        "{\"path\":\"/api/machineactions\",\"query\":\"*machineId*\",\"kind\":\"error\",\"status\":503}",
        "{\"path\":\"/*/oauth2/*\",\"kind\":\"error\",\"status\":503}",
        "{\"method\":\"POST\",\"path\":\"/api/machines/*\",\"kind\":\"throttle\",\"retry_after_s\":1}",
    };

    enum { ROWS = sizeof faults / sizeof *faults };
    struct house *houses[ROWS];
    struct json *answers[ROWS];

    (void)state;
    for (size_t i = 0; i < ROWS; i++) { /* side by side: they wait for their next attempts */
        houses[i] = house_start(NULL);
        add_machine(houses[i], MACHINE, "");
        add_alert(houses[i], ALERT, "High", "");
        sim_tell(houses[i]->sim, "/faults", faults[i]);
        answers[i] = house_push(houses[i], ALERT, MACHINE, 202);
    }
    for (size_t i = 0; i < ROWS; i++) {
        AUTO(json_freep) struct json *c = house_wait_case(houses[i], answers[i], "done", 60000);
        bool told_late = strstr(faults[i], "POST") != NULL; /* nothing was taken at first */
        size_t mails_due = told_late ? 3 : 2;
        AUTO(json_freep)
        struct json *mails = sim_wait_mails(houses[i]->sim, (int64_t)mails_due, SOON);

        assert_subject(mails, mails_due - 1, "[ISOLATED]");
        assert_int_equal(sim_state(houses[i]->sim, "isolate_posts"), 1);
        assert_non_null(c);
        json_free(answers[i]);
        house_stop(houses[i]);
    }
}

static void test_job__an_alert_that_is_too_new_is_read_again(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", ",\"sim\":{\"hidden_reads\":2}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);

    assert_int_equal(sim_count_calls(h->sim, "GET", "/api/alerts/*"), 3);
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
    assert_non_null(c);
    house_stop(h);
}

/* Nor is it judged without the evidence that it gets a moment later, where a rule asks for that. */
static void test_job__evidence_that_comes_a_moment_later_counts(void **state)
{
    const struct house_options o = {
        .rules = "  - {name: contain, when: {alert.severity: High, alert.evidence.files: tool.exe},"
                 " do: [isolate: {}, email: {}]}\n"
                 "  - {name: tell, do: [email: {}]}\n"};
    struct house *h = house_start(&o);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High",
              ",\"evidence\":[{\"entityType\":\"File\",\"fileName\":\"tool.exe\"}],"
              "\"sim\":{\"evidence_after_reads\":2}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);

    assert_int_equal(sim_count_calls(h->sim, "GET", "/api/alerts/*"), 3);
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
    assert_string_equal(json_get_string(c, "rule"), "contain");
    house_stop(h);
}

static void test_job__what_is_permanent_fails_loudly(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    sim_tell(h->sim, "/faults", "{\"path\":\"/api/alerts/*\",\"kind\":\"forbidden\",\"count\":-1}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "failed", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

    assert_subject(mails, 0, "[NOT ISOLATED: alert " ALERT);
    assert_non_null(json_get_string(c, "why"));
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 0);
    house_stop(h);
}

static void test_job__a_secret_that_expired_is_told_at_once_and_tried_on(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    sim_tellf(h->sim, "/clients", "{\"client_id\":\"%s\",\"secret\":\"another\"}",
              h->sim->client_id);
    sim_tell(h->sim, "/expire-tokens", "{}"); /* the one that the look at others' isolations got */
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

    assert_subject(mails, 0, "[NOT ISOLATED: not yet");
    sim_tellf(h->sim, "/clients", "{\"client_id\":\"%s\",\"secret\":\"%s\"}", h->sim->client_id,
              h->sim->client_secret);
    house_cordon_signal(h, SIGHUP); /* the file has the new one: it is used at once */
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    json_free(house_wait_case(h, answer, "done", SOON));
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATES), 1);
    house_stop(h);
}

static void test_job__what_defender_did_not_take_is_not_called_requested(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    sim_tell(h->sim, "/faults",
             "{\"method\":\"POST\",\"path\":\"/api/machines/*\",\"kind\":\"throttle\","
             "\"retry_after_s\":1,\"count\":1}");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 3, SOON);

    assert_subject(mails, 0, "[NOT ISOLATED: not yet");
    assert_subject(mails, 1, "[REQUESTED]");
    assert_subject(mails, 2, "[ISOLATED]");
    json_free(house_wait_case(h, answer, "done", SOON));
    house_stop(h);
}

/* ---- mail ---------------------------------------------------------------------------------------------- */

static void test_job__a_dead_mail_server_delays_mail_only(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    sim_tell(h->sim, "/config", "{\"smtp\":{\"connect\":\"421 4.3.2 try later\",\"count\":2}}");
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *state_now = sim_wait_isolated(h->sim, 1, SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, 60000);

    assert_subject(mails, 0, "[REQUESTED]"); /* in order, though both had to wait */
    assert_subject(mails, 1, "[ISOLATED]");
    assert_non_null(state_now);
    house_stop(h);
    json_free(answer);
    answer = NULL;
}

static void test_job__each_recipient_has_a_fate_of_its_own(void **state)
{
    const struct house_options o = {
        .rules =
            "  - name: tell\n"
            "    do: [email: {to: [one@contoso.example, gone@contoso.example, two@contoso.example]}]\n"};
    struct house *h = house_start(&o);
    int sent = 0, refused = 0;

    (void)state;
    sim_tell(h->sim, "/config",
             "{\"smtp\":{\"reject\":{\"gone@contoso.example\":\"550 5.1.1 no such user\"}}}");
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "Low", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);
    AUTO(json_freep) struct json *done = house_wait_case(h, answer, "done", SOON);

    assert_int_equal(json_count(json_get(json_first(json_get(mails, "mails")), "rcpt")), 2);
    for (int64_t until = look_until(SOON); sent + refused < 3;
         look_again(until, "%d sent, %d refused", sent, refused)) {
        AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
        const struct json *notice = json_first(json_get(c, "notices"));

        sent = refused = 0;
        JSON_EACH (r, json_get(notice, "recipients")) {
            const char *fate = json_get_string(r, "state");

            sent += strcmp(fate, "sent") == 0;
            refused += strcmp(fate, "refused") == 0;
        }
    }
    assert_int_equal(sent, 2);
    assert_int_equal(refused, 1);
    assert_non_null(done);
    house_stop(h);
}

/* ---- killed and started again ------------------------------------------------------------------------- */

static void test_job__a_restart_goes_on_where_it_was(void **state)
{
    struct house *h = house_start(NULL);

    (void)state;
    sim_tell(h->sim, "/config", "{\"actions\":{\"done_after_ms\":3000}}");
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "High", "");
    AUTO(json_freep) struct json *answer = house_push(h, ALERT, MACHINE, 202);
    AUTO(json_freep) struct json *post = sim_wait_calls(h->sim, "POST", ISOLATE, 1, SOON);
    house_cordon_kill(h);
    house_cordon_start(h);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", 40000);

    assert_string_equal(json_get_string(c, "told"), "isolated");
    assert_int_equal(sim_count_calls(h->sim, "POST", ISOLATE), 1);
    assert_non_null(post);
    house_stop(h);
}

/* What disk_sql says of the store of a running process. */
static int64_t rows_of(struct house *h, const char *sql)
{
    char out[40] = "";

    assert_string_equal(disk_sql(h->store_file, sql, out, sizeof out), "");
    return strtoll(out, NULL, 10);
}

static void test_job__a_delivery_is_forgotten_after_three_days_and_its_alert_is_not(void **state)
{
    static const char body[] = "{\"alertId\":\"" ALERT "\"}";
    struct house *h = house_start(NULL);
    struct fetched first, again;

    (void)state;
    add_machine(h, MACHINE, "");
    add_alert(h, ALERT, "Low", "");
    (void)house_post(h, "msg_old", body, &first);
    assert_int_equal(first.status, 202);
    (void)house_post(h, "msg_young", body, &again);
    assert_int_equal(again.status, 200);
    fetched_clear(&again);
    house_wait_quiet(h, SOON);
    house_cordon_stop(h);
    (void)rows_of(h, "UPDATE deliveries SET received = received - 3 * 86400000 - 1"
                     " WHERE delivery_id = 'msg_old'");
    house_cordon_start(h);
    LOOK_FOR(rows_of(h, "SELECT count(*) FROM deliveries") <= 1, SOON, "the old one is kept");
    assert_int_equal(rows_of(h, "SELECT count(*) FROM deliveries WHERE delivery_id = 'msg_young'"),
                     1);
    assert_int_equal(rows_of(h, "SELECT count(*) FROM deliveries"), 1);

    (void)house_post(h, "msg_old", body, &again);
    assert_int_equal(again.status, 200);
    assert_non_null(strstr(again.body, strstr(first.body, "\"cases\"")));
    assert_int_equal(rows_of(h, "SELECT count(*) FROM cases"), 1);
    json_free(sim_wait_mails(h->sim, 1, SOON));
    fetched_clear(&first);
    fetched_clear(&again);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job__a_high_alert_isolates_once_and_mails_both_states),
        cmocka_unit_test(test_job__other_severities_are_only_told),
        cmocka_unit_test(test_job__a_push_without_machine_reads_it_from_the_alert),
        cmocka_unit_test(test_job__repeated_pushes_are_one_case),
        cmocka_unit_test(test_job__alerts_of_one_machine_share_one_isolation),
        cmocka_unit_test(test_job__an_analysts_isolation_is_adopted),
        cmocka_unit_test(test_job__a_release_under_way_is_not_crossed),
        cmocka_unit_test(test_job__a_released_machine_is_isolated_again_by_a_new_alert),
        cmocka_unit_test(test_job__an_isolation_that_fails_is_said_so),
        cmocka_unit_test(test_job__a_refused_isolation_is_said_so_at_once),
        cmocka_unit_test(test_job__an_offline_machine_stays_requested),
        cmocka_unit_test(test_job__a_lost_answer_is_looked_up),
        cmocka_unit_test(test_job__a_duplicate_answer_is_adopted),
        cmocka_unit_test(test_job__a_doubt_is_told_and_isolates_nothing),
        cmocka_unit_test(test_job__protection_and_shadow_hold),
        cmocka_unit_test(test_job__a_limit_holds),
        cmocka_unit_test(test_job__what_is_transient_is_tried_again),
        cmocka_unit_test(test_job__an_alert_that_is_too_new_is_read_again),
        cmocka_unit_test(test_job__evidence_that_comes_a_moment_later_counts),
        cmocka_unit_test(test_job__what_is_permanent_fails_loudly),
        cmocka_unit_test(test_job__what_defender_did_not_take_is_not_called_requested),
        cmocka_unit_test(test_job__a_secret_that_expired_is_told_at_once_and_tried_on),
        cmocka_unit_test(test_job__a_dead_mail_server_delays_mail_only),
        cmocka_unit_test(test_job__each_recipient_has_a_fate_of_its_own),
        cmocka_unit_test(test_job__a_restart_goes_on_where_it_was),
        cmocka_unit_test(test_job__a_delivery_is_forgotten_after_three_days_and_its_alert_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
