/* test_hunts.c - hunts, whole: a schedule, a query, rows that are new once, mails and cases that come of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/postgres.h"

#define SOON 40000 /* ms; a deadline, not a wait */
#define HUNT "/graph/v1.0/security/runHuntingQuery"
#define OLD  "/api/advancedqueries/run"
/* A time that comes by itself in no test. */
#define NEVER "schedule: '0 0 29 2 *'"

#define SCHEMA                                                                                     \
    "\"schema\":[{\"name\":\"Timestamp\",\"type\":\"DateTime\"},{\"name\":\"DeviceId\",\"type\":"  \
    "\"String\"},{\"name\":\"ReportId\",\"type\":\"Int64\"},{\"name\":\"FileName\",\"type\":"      \
    "\"String\"}]"

/* The people's side is a socket of the test's own, which the commands find by the configuration. */
static char door[100];

static void next_door(void)
{
    const char *tmp = getenv("TMPDIR");
    static unsigned serial;

    (void)snprintf(door, sizeof door, "unix:%.40s/cordon-hunts-%d-%u.sock", tmp ? tmp : "/tmp",
                   (int)getpid(), serial++);
}

static struct house *open_house(const char *hunts, const struct house_options *more)
{
    struct house_options o = more ? *more : (struct house_options){0};
    struct house *h;

    next_door();
    o.admin_address = door;

    o.more = hunts;
    o.not_yet = true;
    h = house_start(&o);
    sim_tellf(
        h->sim, "/clients",
        "{\"client_id\":\"%s\",\"roles\":[\"Alert.Read.All\",\"Alert.ReadWrite.All\",\"Machine.Read.All\","
        "\"Machine.Isolate\",\"AdvancedQuery.Read.All\"],\"graph_roles\":[\"ThreatHunting.Read.All\"]}",
        h->sim->client_id);
    return h;
}

/* The id of the n-th machine. */
static const char *machine(unsigned n, char out[41])
{
    (void)snprintf(out, 41, "%040x", 0xabc000 + n);
    return out;
}

/* ms from now, as a row has it. */
static const char *when(int64_t ms, char out[CLOCK_TEXT_SIZE])
{
    return clock_format(clock_wall_ms(clock_system()) + ms, out);
}

/* Plants rows 0 to n - 1, one a machine, of the day on which the first were planted. */
static void plant(struct house *h, unsigned n)
{
    static char day[CLOCK_TEXT_SIZE];
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 20);
    char id[41];

    if (!*day)
        (void)when(0, day);
    buf_adds(&text, "{\"query\":\"DeviceProcessEvents*\"," SCHEMA ",\"results\":[");
    for (unsigned i = 0; i < n; i++) /* times that stay the same in every planting */
        buf_addf(
            &text,
            "%s{\"Timestamp\":\"%.11s00:00:00Z\",\"DeviceId\":\"%s\",\"ReportId\":%u,\"FileName\":\"a.exe\"}",
            i ? "," : "", day, machine(i, id), i);
    buf_adds(&text, "]}");
    sim_tell(h->sim, "/hunts", buf_text(&text));
}

/* `cordon hunt run`; returns what it printed (heap). */
static char *run(struct house *h, const char *name, bool dry, int code)
{
    const char *const args[] = {"hunt", "run", "-c", h->config_file, name, dry ? "--dry" : NULL,
                                NULL};
    char *out = NULL;
    int got = house_run(h, &out, args);

    if (got != code)
        fail_msg("hunt run %s: %d: %s", name, got, out);
    return out;
}

static void run_says(struct house *h, const char *name, bool dry, const char *says)
{
    AUTO(auto_free) char *out = run(h, name, dry, 0);

    if (!strstr(out, says))
        fail_msg("%s: %s", name, out);
}

#define MAILED                                                                                     \
    "hunts:\n  - {name: tools, tenant: contoso, " NEVER                                            \
    ", look_back: 2d, query: 'DeviceProcessEvents | take 5', "                                     \
    "do: [email: {}]}\n"

/* The first run notes what is there; from then on what is new is told once. */
static void test_hunts__new_rows_are_told_once(void **state)
{
    struct house *h = open_house(MAILED, NULL);

    (void)state;
    plant(h, 3);
    house_cordon_start(h);
    run_says(h, "tools", true, "3 rows; this would be the baseline");
    run_says(h, "tools", false, "3 rows; this is the baseline");
    run_says(h, "tools", false, "3 rows, 0 of them new");
    plant(h, 5);
    run_says(h, "tools", true, "5 rows, 2 of them new; a dry run");
    run_says(h, "tools", false, "5 rows, 2 of them new");
    run_says(h, "tools", false, "5 rows, 0 of them new");
    {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);
        const struct json *m = json_first(json_get(mails, "mails"));
        const char *raw = json_get_string(m, "raw");

        assert_int_equal(json_count(json_get(mails, "mails")), 1);
        assert_non_null(strstr(raw, "Subject: [HUNT] tools: 2 new rows"));
        assert_non_null(strstr(raw, "Content-Disposition: attachment; filename=\"tools-"));
        assert_non_null(strstr(raw, "multipart/mixed"));
    }
    house_cordon_stop(h);
    house_cordon_start(h); /* what was seen is on disk */
    run_says(h, "tools", false, "5 rows, 0 of them new");
    {
        AUTO(json_freep) struct json *list = house_get(h, "/api/hunts");
        const struct json *one = json_first(json_get(list, "hunts"));

        assert_string_equal(json_get_string(one, "state"), "good");
        assert_true(json_is_true(json_get(one, "baseline")));
        assert_non_null(json_get_string(one, "next"));
    }
    house_stop(h);
}

/* Two replicas on PostgreSQL: whichever runs it, a row is told of once. */
static void test_hunts__replicas_share_what_was_seen(void **state)
{
    char url[POSTGRES_URL_MAX];
    struct house *h, *second;

    (void)state;
    if (!postgres_start(NULL))
        skip();
    {
        const struct house_options o = {.store_url = postgres_url(url)};

        h = open_house(MAILED, &o);
    }
    plant(h, 2);
    house_cordon_start(h);
    run_says(h, "tools", false, "2 rows; this is the baseline");
    {
        struct house_options o = {
            .beside = h, .store_url = url, .more = MAILED, .admin_address = door};

        next_door();
        second = house_start(&o);
    }
    plant(h, 3);
    for (int i = 0; i < 4; i++) /* each order is taken by either */
        run_says(i % 2 ? h : second, "tools", false,
                 i ? "3 rows, 0 of them new" : "3 rows, 1 of them new");
    {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);

        assert_int_equal(json_count(json_get(mails, "mails")), 1);
    }
    house_stop(second);
    house_stop(h);
}

/* A row that comes to light late lies in the look-back; one that is older does not. */
static void test_hunts__late_rows_are_neither_missed_nor_repeated(void **state)
{
    struct house *h = open_house("hunts:\n  - {name: tools, " NEVER
                                 ", look_back: 1h, query: DeviceProcessEvents, do: "
                                 "[email: {}]}\n",
                                 NULL);
    char early[CLOCK_TEXT_SIZE], late[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];

    (void)state;
    when(-90 * MINUTE_MS, early);
    when(-30 * MINUTE_MS, late);
    when(-1, now);
    sim_tellf(h->sim, "/hunts",
              "{\"query\":\"*\"," SCHEMA
              ",\"results\":[{\"Timestamp\":\"%s\",\"DeviceId\":\"d\",\"ReportId\":1}]}",
              now);
    house_cordon_start(h);
    run_says(h, "tools", false, "1 rows; this is the baseline");
    sim_tellf(
        h->sim, "/hunts",
        "{\"query\":\"*\"," SCHEMA ",\"results\":["
        "{\"Timestamp\":\"%s\",\"DeviceId\":\"d\",\"ReportId\":1},{\"Timestamp\":\"%s\",\"DeviceId\":\"d\",\"ReportId\":2},"
        "{\"Timestamp\":\"%s\",\"DeviceId\":\"d\",\"ReportId\":3}]}",
        now, late, early);
    run_says(h, "tools", false, "2 rows, 1 of them new");
    run_says(h, "tools", false, "2 rows, 0 of them new");
    house_stop(h);
}

/* Fifty devices under a limit of ten an hour: what fifty pushes would have done. */
static void test_hunts__fifty_devices_under_a_limit_are_fifty_pushes(void **state)
{
    static const char safety[] = "  limits:\n    - {isolations: 10, per: 1h}\n";
    const struct house_options o = {.safety = safety};
    struct house *h = open_house(
        "hunts:\n  - {name: tools, " NEVER ", query: AlertEvidence, do: [case: {}]}\n", &o);
    AUTO(buf_clear) struct buf text = BUF_INIT(1 << 20);
    char id[41], question[20];

    (void)state;
    sim_tell(
        h->sim, "/hunts",
        "{\"query\":\"*\",\"schema\":[{\"name\":\"AlertId\",\"type\":\"String\"},{\"name\":\"DeviceId\",\"type\":\"String\"}],"
        "\"results\":[]}");
    house_cordon_start(h);
    run_says(h, "tools", false, "0 rows; this is the baseline");
    buf_adds(
        &text,
        "{\"query\":\"*\",\"schema\":[{\"name\":\"AlertId\",\"type\":\"String\"},{\"name\":\"DeviceId\",\"type\":"
        "\"String\"},{\"name\":\"EntityType\",\"type\":\"String\"}],\"results\":[");
    for (unsigned i = 0; i < 50; i++) {
        sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", machine(i, id));
        sim_tellf(h->sim, "/alerts",
                  "{\"id\":\"da%u_-1\",\"severity\":\"High\",\"machineId\":\"%s\"}", i, id);
        for (int k = 0; k < 2; k++) /* evidence of two kinds: one alert all the same */
            buf_addf(&text, "%s{\"AlertId\":\"da%u_-1\",\"DeviceId\":\"%s\",\"EntityType\":\"%s\"}",
                     i + (unsigned)k ? "," : "", i, id, k ? "File" : "Process");
    }
    buf_adds(&text, "]}");
    sim_tell(h->sim, "/hunts", buf_text(&text));
    run_says(h, "tools", false, "100 rows, 100 of them new; cases made: 50");
    {
        AUTO(json_freep)
        struct json *list = house_wait_cases(h, 50, SOON),
                    *then = sim_wait_isolated(h->sim, 10, SOON);

        JSON_EACH (c, json_get(list, "cases"))
            assert_string_equal(json_get_string(c, "source"), "hunt:tools");
        /* every one is judged, and what the limit holds back is held back by the same rules as a push is */
        house_wait_log(h, "\"event\":\"verdict\"", 50, 2 * SOON);
    }
    house_wait_question(h, 40,
                        question); /* all of them have come to their end, or wait for a person */
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 10);
    run_says(h, "tools", false, "100 rows, 0 of them new");
    house_stop(h);

    h = house_start(&o); /* the same, pushed */
    for (unsigned i = 0; i < 50; i++) {
        char alert[40];

        (void)snprintf(alert, sizeof alert, "da%u_-1", i);
        sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", machine(i, id));
        sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"%s\"}",
                  alert, id);
        json_free(house_push(h, alert, id, 202));
    }
    house_wait_question(h, 40, question);
    json_free(sim_wait_isolated(h->sim, 10, SOON)); /* the question does not wait for them */
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 10);
    house_stop(h);
}

/* An event of a machine: an alert is made for it, once, and goes the way of all others. */
static void test_hunts__an_event_becomes_an_alert_and_a_case(void **state)
{
    struct house *h = open_house(
        "hunts:\n  - name: tools\n    " NEVER
        "\n    query: DeviceProcessEvents\n    look_back: 2d\n    do:\n"
        "      - case: {severity: High, category: CredentialAccess, title: lsass was read}\n"
        "      - email: {to: [hunters@contoso.example], subject: look at lsass}\n",
        NULL);
    char id[41];

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", machine(i, id));
    plant(h, 0);
    house_cordon_start(h);
    run_says(h, "tools", false, "0 rows; this is the baseline");
    plant(h, 2);
    run_says(h, "tools", false, "2 rows, 2 of them new; cases made: 2");
    {
        AUTO(json_freep)
        struct json *list = house_wait_cases(h, 2, SOON),
                    *then = sim_wait_isolated(h->sim, 2, SOON);
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 5, SOON);
        bool found = false;

        JSON_EACH (m, json_get(mails, "mails"))
            found = found || (strstr(json_get_string(m, "raw"), "Subject: [HUNT] look at lsass") &&
                              strstr(json_get_string(m, "raw"), "To: hunters@contoso.example"));
        assert_true(found);
    }
    assert_int_equal(sim_count_calls(h->sim, "POST", "/api/alerts/CreateAlertByReference"), 2);
    run_says(h, "tools", false, "2 rows, 0 of them new");
    assert_int_equal(sim_count_calls(h->sim, "POST", "/api/alerts/CreateAlertByReference"), 2);
    house_stop(h);
}

/* Rows of which no case can come are not lost: somebody hears of them. */
static void test_hunts__rows_that_can_be_no_case_are_told(void **state)
{
    struct house *h = open_house("hunts:\n  - {name: tools, " NEVER
                                 ", query: DeviceProcessEvents, look_back: 2d, do: [case: {}]}\n",
                                 NULL);

    (void)state;
    plant(h, 0);
    house_cordon_start(h);
    run_says(h, "tools", false, "baseline");
    plant(h, 1);
    run_says(h, "tools", false, "1 rows, 1 of them new");
    {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);
        const char *raw = json_get_string(json_first(json_get(mails, "mails")), "raw");

        assert_non_null(strstr(raw, "[HUNT] tools: 1 new row"));
        assert_non_null(strstr(raw, "could not become cases"));
    }
    run_says(h, "tools", false, "1 rows, 0 of them new");
    house_stop(h);
}

/* By its schedule: every minute here. Reloaded to another one it is planned anew. */
static void test_hunts__runs_by_its_schedule(void **state)
{
    struct house *h = open_house(
        "hunts:\n  - {name: tools, schedule: '* * * * *', query: DeviceProcessEvents, do: [email: {}]}\n",
        NULL);

    (void)state;
    plant(h, 1);
    house_cordon_start(h);
    json_free(sim_wait_calls(h->sim, "POST", HUNT, 1, 70000));
    house_wait_log(h, "\"event\":\"hunt_baseline\"", 1, SOON);
    house_edit(h, "schedule: '* * * * *'", "schedule: '30 4 * * *', timezone: Europe/Stockholm");
    house_cordon_signal(h, 1 /* SIGHUP */);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    for (int64_t until = look_until(SOON);;) {
        AUTO(json_freep) struct json *list = house_get(h, "/api/hunts");
        const char *next = json_get_string(json_first(json_get(list, "hunts")), "next");

        if (next && (strstr(next, "T02:30:00") || strstr(next, "T03:30:00")))
            break;
        look_again(until, "its next run is at %s", next ? next : "no time");
    }
    house_stop(h);
}

/* A query with a fault: people hear of it once, /readyz names it, and of the end they hear, too. */
static void test_hunts__a_query_with_a_fault_is_told(void **state)
{
    struct house *h = open_house(MAILED, NULL);

    (void)state;
    house_cordon_start(h);
    for (int i = 0; i < 2; i++) {
        AUTO(auto_free) char *out = run(h, "tools", false, 1);

        assert_non_null(strstr(out, "Failed to resolve table"));
    }
    {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz");
        const struct json *part = json_path(ready, "parts", "hunt:tools", NULL);

        assert_false(json_is_true(json_get(part, "ok")));
        assert_non_null(strstr(json_get_string(part, "why"), "Failed to resolve table"));
    }
    plant(h, 1);
    run_says(h, "tools", false, "1 rows; this is the baseline");
    {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
        const struct json *first = json_first(json_get(mails, "mails"));

        assert_int_equal(json_count(json_get(mails, "mails")), 2);
        assert_non_null(strstr(json_get_string(first, "raw"), "[CORDON] the hunt tools fails"));
        assert_non_null(strstr(json_get_string(json_next(first), "raw"),
                               "[CORDON] the hunt tools works again"));
    }
    house_stop(h);
}

/* Throttled hunting holds up no isolation: the budgets are apart. */
static void test_hunts__a_throttled_hunt_blocks_no_isolation(void **state)
{
    struct house *h = open_house(MAILED, NULL);
    char id[41];

    (void)state;
    plant(h, 1);
    sim_tell(
        h->sim, "/faults",
        "{\"path\":\"" HUNT
        "\",\"count\":-1,\"kind\":\"answer\",\"status\":429,\"headers\":{\"Retry-After\":\"900\"},"
        "\"body\":\"\"}");
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\"}", machine(0, id));
    sim_tellf(h->sim, "/alerts", "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"%s\"}",
              id);
    house_cordon_start(h);
    {
        AUTO(auto_free) char *out = run(h, "tools", false, 1);

        assert_non_null(strstr(out, "HTTP 429"));
    }
    json_free(house_push(h, "da1_-1", id, 202));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    assert_int_equal(sim_count_calls(h->sim, "POST", HUNT), 1);
    house_stop(h);
}

/* The older call, where it is asked for. */
static void test_hunts__the_older_call_does_as_well(void **state)
{
    struct house *h = open_house("hunts:\n  - {name: tools, " NEVER
                                 ", api: defender, query: DeviceProcessEvents, do: [email: {}]}\n",
                                 NULL);

    (void)state;
    plant(h, 2);
    house_cordon_start(h);
    run_says(h, "tools", false, "2 rows; this is the baseline");
    assert_int_equal(sim_count_calls(h->sim, "POST", OLD), 1);
    assert_int_equal(sim_count_calls(h->sim, "POST", HUNT), 0);
    house_wait_log(h, "gives out nothing from 1 February 2027 on", 1, SOON);
    house_stop(h);
}

/* Another query begins with a baseline of its own; a hunt that was taken out leaves nothing behind. */
static void test_hunts__another_query_is_another_baseline(void **state)
{
    struct house *h = open_house(MAILED, NULL);

    (void)state;
    plant(h, 2);
    house_cordon_start(h);
    run_says(h, "tools", false, "2 rows; this is the baseline");
    house_edit(h, "take 5", "take 7");
    house_cordon_signal(h, 1 /* SIGHUP */);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    plant(h, 4);
    run_says(h, "tools", false, "4 rows; this is the baseline");
    run_says(h, "tools", false, "4 rows, 0 of them new");
    house_edit(h, "name: tools", "name: others");
    house_cordon_signal(h, 1 /* SIGHUP */);
    house_wait_log(h, "\"event\":\"reloaded\"", 2, SOON);
    {
        AUTO(auto_free) char *out = run(h, "tools", false, 1);

        assert_non_null(strstr(out, "there is no hunt called 'tools'"));
    }
    run_says(h, "others", false, "4 rows; this is the baseline");
    house_stop(h);
}

/* A full answer of the size that Defender gives out at most. */
static void test_hunts__a_hundred_thousand_rows(void **state)
{
    struct house *h = open_house(MAILED, NULL);

    (void)state;
    sim_tell(
        h->sim, "/hunts",
        "{\"query\":\"*\"," SCHEMA
        ",\"count\":100000,\"results\":[{\"Timestamp\":\"2026-01-01T00:00:00Z\",\"DeviceId\":\"d\","
        "\"ReportId\":1,\"FileName\":\"x\"}]}");
    house_cordon_start(h);
    run_says(h, "tools", false, "100000 rows; this is the baseline");
    run_says(h, "tools", false, "100000 rows, 0 of them new");
    house_wait_log(h, "\"event\":\"hunt_cut\"", 1, SOON);
    house_stop(h);
}

/* How many rows the hunt of a house is known by. */
static int64_t known(struct house *h)
{
    AUTO(json_freep) struct json *list = house_get(h, "/api/hunts");
    return json_get_int64(json_first(json_get(list, "hunts")), "known", 0);
}

static bool log_says_first(struct house *h, const char *first, const char *second)
{
    AUTO(auto_free) char *log = house_log(h);
    const char *a = strstr(log, first), *b = strstr(log, second);

    return a && (!b || a < b);
}

/* Rows are noted a few hundred at a time: who stops cordon meanwhile does not wait for all of them, and the next run goes on
 * where this one was. */
static void test_hunts__a_stop_does_not_wait_for_all_rows(void **state)
{
    static const unsigned rows = 40000;
    struct house *h = open_house(MAILED, NULL);
    AUTO(buf_clear) struct buf text = BUF_INIT(16 << 20);
    char time[CLOCK_TEXT_SIZE];
    int64_t noted;
    bool late; /* on a busy host */

    (void)state;
    (void)when(-HOUR_MS, time);
    buf_adds(&text, "{\"query\":\"*\"," SCHEMA ",\"results\":[");
    for (unsigned i = 0; i < rows; i++)
        buf_addf(&text,
                 "%s{\"Timestamp\":\"%s\",\"DeviceId\":\"d\",\"ReportId\":%u,\"FileName\":\"x\"}",
                 i ? "," : "", time, i);
    buf_adds(&text, "]}");
    sim_tell(h->sim, "/hunts", buf_text(&text));
    house_cordon_start(h);
    assert_int_equal(house_order(h, "/api/hunts/tools/run", "{}"), 200);
    LOOK_FOR(known(h) > 0, SOON, "nothing is noted");
    house_cordon_stop(h);
    late = log_says_first(h, "\"event\":\"hunt_baseline\"", "\"event\":\"stopping\"");
    house_cordon_start(h);
    noted = known(h);
    print_message("  %lld rows were noted%s\n", (long long)noted,
                  late ? ", all of them before it was stopped" : "");
    assert_true(late || noted < rows);
    run_says(h, "tools", false,
             late ? "40000 rows, 0 of them new" : "40000 rows; this is the baseline");
    assert_int_equal(known(h), rows);
    house_stop(h);
}

/* What is shipped passes its own tests, and a change that breaks one is told. */
static void test_hunts__the_examples_pass_their_tests(void **state)
{
    static char text[20000];
    FILE *f = fopen("docker/hunts/hunts.yaml", "r");
    char *folder = realpath("docker/hunts", NULL), *out = NULL, link[400];
    struct house *h;

    (void)state;
    assert_non_null(f);
    assert_non_null(folder);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    h = open_house(text, NULL);
    (void)snprintf(link, sizeof link, "%s/hunts", h->dir);
    assert_int_equal(symlink(folder, link), 0);
    {
        const char *const args[] = {"check", "-c", h->config_file, NULL};

        if (house_run(h, &out, args) || !strstr(out, "hunts: 3, with 3 tests"))
            fail_msg("%s", out);
        free(out);
        house_edit(h, "expect: {new: 2, alerts: 1, events: 0}", "expect: {new: 1, alerts: 2}");
        assert_int_equal(house_run(h, &out, args), 1);
        assert_non_null(
            strstr(out, "test 'one alert of two machines is one case': 2 rows are new, not 1"));
        assert_non_null(strstr(out, "they name 1 alerts, not 2"));
        free(out);
        house_edit(h, "expect: {new: 1, alerts: 2}", "expect: {new: 2}");
        house_edit(h, "jitter: 2m", "key: [Sha1]");
        assert_int_equal(house_run(h, &out, args), 1);
        assert_non_null(strstr(out, "its key column Sha1 is not in the answer"));
        free(out);
    }
    free(folder);
    assert_int_equal(unlink(link), 0);
    house_stop(h);
}

/* The doctor says which permission is missing, of which API. */
static void test_hunts__doctor_knows_what_they_need(void **state)
{
    struct house *h = open_house("hunts:\n  - {name: tools, " NEVER ", query: a, do: [email: {}]}\n"
                                 "  - {name: old, " NEVER
                                 ", api: defender, query: a, do: [case: {severity: Low}]}\n",
                                 NULL);
    const char *const args[] = {"doctor", "-c", h->config_file, NULL};
    char *out = NULL;

    (void)state;
    (void)house_run(h, &out, args);
    assert_non_null(
        strstr(out, "the token for Microsoft Graph has the permission that hunts need"));
    assert_null(strstr(out, "is missing: the hunt"));
    free(out);
    sim_tellf(
        h->sim, "/clients",
        "{\"client_id\":\"%s\",\"roles\":[\"Alert.Read.All\",\"Machine.Read.All\",\"Machine.Isolate\"],"
        "\"graph_roles\":[\"Mail.Send\"]}",
        h->sim->client_id);
    assert_int_equal(house_run(h, &out, args), 1);
    assert_non_null(strstr(out, "ThreatHunting.Read.All is missing: the hunt tools needs it"));
    assert_non_null(strstr(out, "Microsoft Graph ThreatHunting.Read.All"));
    assert_non_null(strstr(out, "AdvancedQuery.Read.All is missing: the hunt old needs it"));
    assert_non_null(strstr(out, "Alert.ReadWrite.All is missing: the hunt old makes alerts"));
    free(out);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hunts__new_rows_are_told_once),
        cmocka_unit_test(test_hunts__replicas_share_what_was_seen),
        cmocka_unit_test(test_hunts__late_rows_are_neither_missed_nor_repeated),
        cmocka_unit_test(test_hunts__fifty_devices_under_a_limit_are_fifty_pushes),
        cmocka_unit_test(test_hunts__an_event_becomes_an_alert_and_a_case),
        cmocka_unit_test(test_hunts__rows_that_can_be_no_case_are_told),
        cmocka_unit_test(test_hunts__runs_by_its_schedule),
        cmocka_unit_test(test_hunts__a_query_with_a_fault_is_told),
        cmocka_unit_test(test_hunts__a_throttled_hunt_blocks_no_isolation),
        cmocka_unit_test(test_hunts__the_older_call_does_as_well),
        cmocka_unit_test(test_hunts__another_query_is_another_baseline),
        cmocka_unit_test(test_hunts__a_hundred_thousand_rows),
        cmocka_unit_test(test_hunts__a_stop_does_not_wait_for_all_rows),
        cmocka_unit_test(test_hunts__the_examples_pass_their_tests),
        cmocka_unit_test(test_hunts__doctor_knows_what_they_need),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
