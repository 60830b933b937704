/* test_outcome.c - `reply: status`, whole: a flow pushes, polls the link it was given as Logic Apps does, and reads
 * what came of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/house.h"
#include "kit/look.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define PUBLIC  "https://cordon.contoso.example"
#define SOON    20000 /* ms; a deadline, not a wait */

static struct house *open_house(const char *safety)
{
    const struct house_options o = {
        .safety = safety, .more = "public_url: " PUBLIC "\n", .not_yet = true};
    struct house *h = house_start(&o);

    house_edit(h, "    verify:\n", "    reply: status\n    verify:\n");
    house_cordon_start(h);
    return h;
}

static void add_machine(struct house *h, const char *more)
{
    sim_tellf(h->sim, "/machines",
              "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"%s}", more);
}

static void add_alert(struct house *h, const char *severity)
{
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"" ALERT "\",\"severity\":\"%s\",\"machineId\":\"" MACHINE "\"}", severity);
}

static int get(struct house *h, const char *path, struct fetched *f)
{
    char url[400];

    (void)snprintf(url, sizeof url, "%s%s", h->hooks, path);
    if (!fetch(f, "GET", url, NULL, NULL, 0, 10000))
        fail_msg("GET: %s", f->why);
    return f->status;
}

/* The path of the answer's Location, which must be ours and absolute. */
static void link_of(const struct fetched *f, char out[100])
{
    char value[300];

    if (!fetched_header(f, "Location", value, sizeof value))
        fail_msg("no Location in %s", f->head);
    assert_int_equal(strncmp(value, PUBLIC "/status/", strlen(PUBLIC "/status/")), 0);
    assert_int_equal(strlen(value), strlen(PUBLIC "/status/") + 40);
    (void)snprintf(out, 100, "%.60s", value + strlen(PUBLIC));
}

/* Pushes the alert; the path of the link into out. */
static void push(struct house *h, int status, char out[100])
{
    struct fetched f;
    char value[20];

    (void)house_post(h, NULL, "{\"alertId\":\"" ALERT "\",\"machineId\":\"" MACHINE "\"}", &f);
    if (f.status != status)
        fail_msg("HTTP %d instead of %d: %s %s", f.status, status, f.body, f.why);
    link_of(&f, out);
    if (status == 202)
        assert_string_equal(fetched_header(&f, "Retry-After", value, sizeof value), "5");
    fetched_clear(&f);
}

/* Polls as a flow does, along the Location of each 202, until the end; returns the document. */
static struct json *poll_to_the_end(struct house *h, const char *path, int *ret_working)
{
    int64_t until = look_until(SOON);
    struct json *doc = NULL;
    char next[100];

    *ret_working = 0;
    (void)snprintf(next, sizeof next, "%s", path);
    for (;;) {
        struct fetched f;
        int status = get(h, next, &f);

        json_free(doc);
        doc = NULL;
        assert_int_equal(json_parse(f.body, f.body_len, &doc, NULL), ERR_OK);
        if (status == 200) {
            assert_string_equal(json_get_string(doc, "status"), "finished");
            fetched_clear(&f);
            return doc;
        }
        if (status != 202 || look_is_over(until))
            fail_msg("HTTP %d: %s", status, f.body);
        assert_null(json_get_string(doc, "outcome"));
        link_of(&f, next);
        fetched_clear(&f);
        (*ret_working)++;
        look_again(until, "it does not end");
    }
}

static void assert_end(const struct json *doc, const char *outcome, const char *why)
{
    const struct json *one = json_first(json_get(doc, "cases"));

    assert_string_equal(json_get_string(doc, "outcome"), outcome);
    assert_string_equal(json_get_string(one, "outcome"), outcome);
    assert_string_equal(json_get_string(one, "alert_id"), ALERT);
    if (why && (!json_get_string(one, "why") || !strstr(json_get_string(one, "why"), why)))
        fail_msg("why is '%s', not '…%s…'", json_get_string(one, "why"), why);
    if (!why)
        assert_null(json_get_string(one, "why"));
}

/* ---- the ends ------------------------------------------------------------------------------------- */

static void test_outcome__isolated_is_said_when_defender_has_said_it(void **state)
{
    struct house *h = open_house(NULL);
    char path[100];
    int working;

    (void)state;
    sim_tell(h->sim, "/config", "{\"actions\":{\"done_after_ms\":1500}}");
    add_machine(h, "");
    add_alert(h, "High");
    push(h, 202, path);
    AUTO(json_freep) struct json *doc = poll_to_the_end(h, path, &working);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, 0);

    assert_end(doc, "isolated", NULL);
    assert_true(working > 0);
    assert_non_null(isolated);
    assert_string_equal(json_get_string(json_first(json_get(doc, "cases")), "rule"),
                        "contain-high");
    house_log_lacks(h, path + strlen("/status/")); /* a link is a permission */
    house_stop(h);
}

static void test_outcome__each_end_has_its_word(void **state)
{
    static const struct {
        const char *severity, *machine, *safety, *outcome, *why;
    } rows[] = {
        {"Low", "", NULL, "told", NULL},
        {"High", ",\"machineTags\":[\"tier-0\"]", "  protected:\n    - machine.tags: [tier-0]\n",
         "refused", "protected"},
        {"High", "", "  mode: shadow\n", "refused", "shadow"},
        {"High", ",\"sim\":{\"outcome\":\"Failed\"}", NULL, "failed", "(Failed)"},
        {"High",
         ",\"sim\":{\"refuse\":{\"status\":400,\"code\":\"OsPlatformNotSupported\","
         "\"message\":\"not on this one\"}}",
         NULL, "failed", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct house *h = open_house(rows[i].safety);
        char path[100];
        int working;

        add_machine(h, rows[i].machine);
        add_alert(h, rows[i].severity);
        push(h, 202, path);
        AUTO(json_freep) struct json *doc = poll_to_the_end(h, path, &working);
        assert_end(doc, rows[i].outcome, rows[i].why);
        house_stop(h);
    }
}

/* ---- killed in between ---------------------------------------------------------------------------- */

/* Time passes in the store of a cordon that does not run. */
static void edit_store(struct house *h, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(h->store_file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* An absent machine: at work, through a kill -9; after some minutes (here the ledger is set back) it ends as
 * requested; and once the machine is back, the same link says isolated. */
static void test_outcome__a_pending_isolation_ends_as_requested(void **state)
{
    struct house *h = open_house(NULL);
    struct fetched f;
    char path[100];
    int working;

    (void)state;
    add_machine(h, ",\"sim\":{\"offline\":true}");
    add_alert(h, "High");
    push(h, 202, path);
    AUTO(json_freep)
    struct json *calls = sim_wait_calls(h->sim, "GET", "/api/machineactions/*", 1, SOON);
    assert_non_null(calls);
    assert_int_equal(get(h, path, &f), 202);
    fetched_clear(&f);
    house_cordon_kill(h);
    house_cordon_start(h);
    assert_int_equal(get(h, path, &f), 202);
    fetched_clear(&f);
    house_cordon_kill(h);
    edit_store(h, "UPDATE isolations SET requested = requested - 301000, sent = sent - 301000");
    house_cordon_start(h);
    AUTO(json_freep) struct json *doc = poll_to_the_end(h, path, &working);
    assert_end(doc, "requested", "has not confirmed it yet");
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"sim\":{\"offline\":false}}");
    house_cordon_stop(h);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    assert_non_null(isolated);
    edit_store(h, "UPDATE work SET due = 0 WHERE id IN (SELECT id FROM isolations)");
    house_cordon_start(h);
    for (int64_t until = look_until(SOON);; look_again(until, "its link does not say isolated")) {
        bool is_so;

        assert_int_equal(get(h, path, &f), 200);
        is_so = strstr(f.body, "\"outcome\":\"isolated\"") != NULL;
        fetched_clear(&f);
        if (is_so)
            break;
    }
    house_stop(h);
}

/* ---- the link ------------------------------------------------------------------------------------- */

static void test_outcome__a_duplicate_is_200_and_has_a_link_of_its_own(void **state)
{
    struct house *h = open_house(NULL);
    char first[100], second[100];
    int working;

    (void)state;
    add_machine(h, "");
    add_alert(h, "Low");
    push(h, 202, first);
    push(h, 200, second); /* another delivery of the same alert: the first answer was lost */
    assert_string_not_equal(first, second);
    AUTO(json_freep) struct json *one = poll_to_the_end(h, first, &working);
    AUTO(json_freep) struct json *two = poll_to_the_end(h, second, &working);
    assert_end(one, "told", NULL);
    assert_end(two, "told", NULL);
    house_stop(h);
}

static void test_outcome__what_is_no_link_is_404(void **state)
{
    struct house *h = open_house(NULL);
    struct house *stranger = open_house(NULL);
    char path[100], changed[100], other[100];
    struct fetched f;

    (void)state;
    add_machine(h, "");
    add_alert(h, "Low");
    add_machine(stranger, "");
    add_alert(stranger, "Low");
    push(h, 202, path);
    push(stranger, 202, other);
    assert_int_equal(get(h, other, &f), 404); /* another server's */
    fetched_clear(&f);
    for (size_t i = 0; i < 40 * 6; i++) { /* every bit of it */
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        char *at = changed + strlen("/status/") + i / 6;

        (void)snprintf(changed, sizeof changed, "%s", path);
        *at = letters[(size_t)(strchr(letters, *at) - letters) ^ (size_t)1 << i % 6];
        if (get(h, changed, &f) != 404)
            fail_msg("bit %zu changed: HTTP %d", i, f.status);
        fetched_clear(&f);
    }
    assert_true(get(h, path, &f) == 200 || f.status == 202);
    fetched_clear(&f);
    house_stop(h);
    house_stop(stranger);
}

static void test_outcome__a_source_that_accepts_gets_no_link(void **state)
{
    struct house *h = house_start(NULL);
    struct fetched f;
    char value[20];

    (void)state;
    add_machine(h, "");
    add_alert(h, "Low");
    (void)house_post(h, NULL, "{\"alertId\":\"" ALERT "\"}", &f);
    assert_int_equal(f.status, 202);
    assert_null(fetched_header(&f, "Location", value, sizeof value));
    assert_null(fetched_header(&f, "Retry-After", value, sizeof value));
    fetched_clear(&f);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcome__isolated_is_said_when_defender_has_said_it),
        cmocka_unit_test(test_outcome__each_end_has_its_word),
        cmocka_unit_test(test_outcome__a_pending_isolation_ends_as_requested),
        cmocka_unit_test(test_outcome__a_duplicate_is_200_and_has_a_link_of_its_own),
        cmocka_unit_test(test_outcome__what_is_no_link_is_404),
        cmocka_unit_test(test_outcome__a_source_that_accepts_gets_no_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
