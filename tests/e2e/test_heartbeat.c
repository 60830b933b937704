/* test_heartbeat.c - a source that goes quiet, whole: one mail when it does, none more, one when it is back, through
 * kills in between. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/house.h"
#include "kit/look.h"

#define SOON 20000 /* ms; a deadline, not a wait */

/* The subjects of the first n mails, one a line. */
static void assert_subjects(struct house *h, size_t n, const char *const *subjects)
{
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, (int64_t)n, SOON);
    const struct json *mail = json_first(json_get(mails, "mails"));

    assert_true(json_count(json_get(mails, "mails")) >= n);
    for (size_t i = 0; i < n; i++, mail = json_next(mail)) {
        char line[200];

        (void)snprintf(line, sizeof line, "\r\nSubject: %s\r\n", subjects[i]);
        if (!strstr(json_get_string(mail, "raw"), line))
            fail_msg("mail %zu is not '%s': %.400s", i, subjects[i], json_get_string(mail, "raw"));
    }
}

/* Waits until /readyz says so of the source; it must be ready all the while. */
static void wait_part(struct house *h, bool ok)
{
    for (int64_t until = look_until(SOON);;) {
        AUTO(json_freep) struct json *ready = house_get(h, "/readyz");
        const struct json *part = json_get(json_get(ready, "parts"), "source:relay");

        assert_true(json_is_true(json_get(ready, "ready")));
        if (part && json_is_true(json_get(part, "ok")) == ok) {
            assert_true(json_is_true(json_get(ready, "degraded")) == !ok);
            return;
        }
        look_again(until, "the source's part is not %s", ok ? "ok" : "bad");
    }
}

static void ping(struct house *h)
{
    struct fetched f;

    (void)house_post(h, NULL, "{\"test\":true}", &f);
    assert_int_equal(f.status, 200);
    fetched_clear(&f);
}

static void test_heartbeat__quiet_and_back_are_told_once_each(void **state)
{
    static const char *const subjects[] = {
        "[CORDON] source relay is quiet: nothing from it for 2s",
        "[CORDON] source relay is back",
        "[CORDON] source relay is quiet: nothing from it for 2s",
        "[CORDON] source relay is back",
    };
    const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);

    (void)state;
    house_edit(h, "    verify:\n", "    heartbeat: 2s\n    verify:\n");
    house_cordon_start(h);
    assert_subjects(h, 1, subjects);
    wait_part(h, false);
    house_wait_idle(h, SOON); /* a mail whose fate is not on disk yet is sent again after a kill */
    house_cordon_kill(h);
    house_cordon_start(h);
    wait_part(h,
              false); /* looked at since the start, and not told again: the next mail is another */
    ping(h);
    assert_subjects(h, 2, subjects);
    assert_subjects(h, 3, subjects); /* and quiet again */
    wait_part(h, false);
    house_wait_idle(h, SOON);
    house_cordon_kill(h);
    house_cordon_start(h);
    sim_tell(h->sim, "/alerts", "{\"id\":\"da1_-1\",\"severity\":\"Low\",\"machineId\":null}");
    house_edit(h, "    heartbeat: 2s\n", "    heartbeat: 1h\n");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", NULL, 202);
    wait_part(h, true);
    assert_true(house_metric(h, "cordon_source_silence_seconds{source=\"relay\"}") >= 0);
    assert_true(house_metric(h, "cordon_healthy{part=\"source:relay\"}") == 1);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 5, SOON); /* the case's own, too */
    unsigned back = 0, quiet = 0;

    JSON_EACH (mail, json_get(mails, "mails")) {
        back += strstr(json_get_string(mail, "raw"), subjects[1]) != NULL;
        quiet += strstr(json_get_string(mail, "raw"), subjects[0]) != NULL;
    }
    assert_int_equal(back, 2);
    assert_int_equal(quiet, 2);
    assert_non_null(c);
    house_stop(h);
}

/* A restart is no silence: with a heartbeat that passes while the server is down nobody is told. */
static void test_heartbeat__nobody_is_told_because_the_server_was_down(void **state)
{
    const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);
    int64_t heard;

    (void)state;
    house_edit(h, "    verify:\n", "    heartbeat: 10s\n    verify:\n");
    house_cordon_start(h);
    ping(h);
    heard = look_now_ms();
    wait_part(h, true);
    house_cordon_kill(h);
    while (look_now_ms() < heard + 11000) /* down for longer than the heartbeat */
        (void)poll(NULL, 0, 20);
    house_cordon_start(h);
    wait_part(h, true); /* it was looked at */
    house_log_lacks(h, "source_quiet");
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heartbeat__quiet_and_back_are_told_once_each),
        cmocka_unit_test(test_heartbeat__nobody_is_told_because_the_server_was_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
