/* test_polling.c - alerts that nobody pushed, whole: Defender is asked for them, by a watermark that survives
 * the process; what is pushed as well is handled once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "kit/house.h"
#include "kit/look.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON    30000 /* ms; a deadline, not a wait */
#define EVERY   10000 /* ms: the shortest there is */
#define POLLING "polling: {every: 10s}\n"

static struct house *open_house(const char *more)
{
    const struct house_options o = {.more = more, .not_yet = true};
    struct house *h = house_start(&o);

    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"}");
    return h;
}

static void add_alert(struct house *h, const char *id, const char *severity, const char *more)
{
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"" MACHINE "\"%s}", id, severity,
              more);
}

/* A time of Defender's, ms from now. */
static const char *when(int64_t ms, const char *fraction, char out[64])
{
    char text[CLOCK_TEXT_SIZE];

    clock_format(clock_wall_ms(clock_system()) + ms, text);
    (void)snprintf(out, 64, "%.19s%sZ", text, fraction);
    return out;
}

/* So many polls were answered since the process began. */
static void wait_polls(struct house *h, int64_t count)
{
    json_free(sim_wait_calls(h->sim, "GET", "/api/alerts", count, SOON + count * EVERY));
}

/* No sender at all: the product works. */
static void test_polling__needs_no_sender(void **state)
{
    struct house *h = open_house(POLLING);

    (void)state;
    house_edit(h,
               "sources:\n  relay:\n    tenant: contoso\n    verify:\n      - "
               "standard_webhooks: {secret_files: [",
               "# {secret_files: [");
    add_alert(h, "da1_-1", "High", "");
    house_cordon_start(h);
    {
        AUTO(json_freep) struct json *state_then = sim_wait_isolated(h->sim, 1, SOON);
        AUTO(json_freep) struct json *list = house_wait_cases(h, 1, SOON);
        const struct json *c = json_first(json_get(list, "cases"));
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);

        assert_string_equal(json_get_string(c, "source"), "polling");
        assert_string_equal(json_get_string(c, "alert_id"), "da1_-1");
    }
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_stop(h);
}

/* lastUpdateTime may be null (defender-api.md section 2.2), as when nothing was changed on the alert yet. */
static void test_polling__finds_an_alert_that_was_never_updated(void **state)
{
    struct house *h = open_house(POLLING);

    (void)state;
    house_cordon_start(h);
    wait_polls(h, 1);
    add_alert(h, "da1_-1", "Low", "");
    add_alert(h, "da2_-1", "Low", ",\"lastUpdateTime\":null");
    json_free(house_wait_cases(h, 2, SOON));
    house_stop(h);
}

/* Pushed and polled: one case, one isolation, whoever comes first; the push is told that it is known. */
static void test_polling__what_is_pushed_too_is_handled_once(void **state)
{
    struct house *h = open_house(POLLING);

    (void)state;
    house_cordon_start(h);
    wait_polls(h, 1);
    add_alert(h, "da1_-1", "High", "");
    json_free(house_push(h, "da1_-1", MACHINE, 0)); /* 202, or 200 when a poll was first */
    add_alert(h, "da2_-1", "Low", "");
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 2, SOON); /* da2 by polling */
        AUTO(json_freep) struct json *again = house_push(h, "da2_-1", MACHINE, 200);

        assert_string_equal(json_get_string(again, "status"), "duplicate");
        assert_int_equal(json_count(json_get(again, "cases")), 1);
    }
    wait_polls(h, 3);
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 2, SOON);
    }
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_stop(h);
}

/* What came while nobody ran is found at the next start; and what was there before the first start is none of
 * our business, also when it changes. */
static void test_polling__a_gap_is_filled_and_history_is_not_touched(void **state)
{
    struct house *h = open_house(POLLING);
    char more[200], created[64], updated[64];

    (void)state;
    (void)snprintf(more, sizeof more, ",\"alertCreationTime\":\"%s\",\"lastUpdateTime\":\"%s\"",
                   when(-40 * DAY_MS, ".1234567", created), when(-DAY_MS, "", updated));
    add_alert(h, "da0_-1", "High", more);
    house_cordon_start(h);
    wait_polls(h, 1);
    house_cordon_kill(h);
    add_alert(h, "da1_-1", "Low", "");
    add_alert(h, "da2_-1", "Low", "");
    sim_tell(h->sim, "/clock", "{\"advance_ms\":3000}");
    (void)snprintf(more, sizeof more, "{\"id\":\"da0_-1\",\"lastUpdateTime\":\"%s\"}",
                   when(0, ".9999999", updated)); /* somebody closes the old one */
    sim_tell(h->sim, "/alerts", more);
    house_cordon_start(h);
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 2, SOON);

        JSON_EACH (c, json_get(list, "cases"))
            assert_string_not_equal(json_get_string(c, "alert_id"), "da0_-1");
    }
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    house_stop(h);
}

/* Alerts of one moment, timestamps of 0 to 7 digits, an alert that comes to light late, a clock of Defender's
 * that is ahead, and more pages than one: none is missed. */
static void test_polling__misses_none_at_the_edge(void **state)
{
    struct house *h = open_house(POLLING);
    static const char *const fractions[] = {"", ".1", ".12", ".123", ".1234567"};
    char more[200], time[64];

    (void)state;
    sim_tell(h->sim, "/config",
             "{\"lists\":{\"page_max\":3,\"next_link_host\":\"https://api-eu.example.com\"}}");
    for (int i = 0; i < 5; i++) { /* of one moment, the newest there are */
        char id[20];

        (void)snprintf(id, sizeof id, "da1%d_-1", i);
        (void)snprintf(more, sizeof more, ",\"alertCreationTime\":\"%s\",\"lastUpdateTime\":\"%s\"",
                       when(0, fractions[i], time), time);
        add_alert(h, id, "Low", more);
    }
    (void)snprintf(more, sizeof more, ",\"alertCreationTime\":\"%s\",\"lastUpdateTime\":\"%s\"",
                   when(HOUR_MS, ".5", time), time); /* from a clock that is ahead */
    add_alert(h, "da20_-1", "Low", more);
    house_cordon_start(h);
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 6, SOON);
    }
    (void)snprintf(more, sizeof more, ",\"alertCreationTime\":\"%s\",\"lastUpdateTime\":\"%s\"",
                   when(-2 * MINUTE_MS, "", time), time); /* older than the watermark */
    add_alert(h, "da30_-1", "Low", more);
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 7, SOON);
    }
    house_stop(h);
}

/* Polling that may only notify does not isolate; a source that may does, when it pushes the same alert. */
static void test_polling__may_be_told_to_notify_only(void **state)
{
    struct house *h = open_house("polling: {every: 10s, may: [notify]}\n");

    (void)state;
    add_alert(h, "da1_-1", "High", "");
    house_cordon_start(h);
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 1, SOON);
    }
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    house_stop(h);
}

/* A series that was never counted has no line. */
static bool is_counted(struct house *h, const char *series)
{
    struct fetched f;
    char url[400];
    bool is;

    (void)snprintf(url, sizeof url, "%s/metrics", h->admin);
    if (!fetch(&f, "GET", url, NULL, NULL, 0, 10000))
        fail_msg("%s: %s", url, f.why);
    is = strstr(f.body, series) != NULL;
    fetched_clear(&f);
    return is;
}

/* A list that cannot be read is tried again, counted, and moves no watermark. */
static void test_polling__a_failure_is_tried_again(void **state)
{
    struct house *h = open_house(POLLING);

    (void)state;
    sim_tell(h->sim, "/faults",
             "{\"method\":\"GET\",\"path\":\"/api/alerts\",\"count\":2,\"kind\":\"answer\","
             "\"status\":500,\"body\":\"{}\"}");
    add_alert(h, "da1_-1", "Low", "");
    house_cordon_start(h);
    {
        AUTO(json_freep) struct json *list = house_wait_cases(h, 1, SOON);
    }
    /* what is read is accepted page by page, and counted at the end */
    LOOK_FOR(is_counted(h, "cordon_polls_total{tenant=\"contoso\",outcome=\"ok\"} "), SOON,
             "the poll is not counted");
    assert_true(house_metric(h, "cordon_polls_total{tenant=\"contoso\",outcome=\"again\"}") == 2);
    assert_true(house_metric(h, "cordon_polling_lag_seconds{tenant=\"contoso\"}") >= 0);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_polling__needs_no_sender),
        cmocka_unit_test(test_polling__finds_an_alert_that_was_never_updated),
        cmocka_unit_test(test_polling__what_is_pushed_too_is_handled_once),
        cmocka_unit_test(test_polling__a_gap_is_filled_and_history_is_not_touched),
        cmocka_unit_test(test_polling__misses_none_at_the_edge),
        cmocka_unit_test(test_polling__may_be_told_to_notify_only),
        cmocka_unit_test(test_polling__a_failure_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
