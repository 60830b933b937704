/* test_ledger.c - a machine that is isolated, to its release: by order, by a person at Defender, and one that was
 * absent for longer than Defender waits. What counts is what Defender and the mail server saw. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/house.h"
#include "kit/look.h"
#include "kit/mail_reader.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define NAME    "ws-114.corp.example"
#define SOON    20000 /* ms; a deadline, not a wait */

/* The people's side is a socket of the test's own, which the commands find by the configuration. */
static char door[100];

static struct house *open_house_with(const char *rules)
{
    const char *tmp = getenv("TMPDIR");
    struct house_options o = {.admin_address = door, .rules = rules};

    (void)snprintf(door, sizeof door, "unix:%.40s/cordon-ledger-%d.sock", tmp ? tmp : "/tmp",
                   (int)getpid());
    return house_start(&o);
}

static struct house *open_house(void)
{
    return open_house_with(NULL);
}

static void add(struct house *h, const char *machine)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"" NAME "\"%s}",
              machine);
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE
             "\",\"title\":\"Credential memory read\"}");
}

/* What a command says; it must end with this code. Heap. */
static char *says(struct house *h, int code, const char *const *words)
{
    char *out = NULL;
    int got = house_run(h, &out, words);

    if (got != code)
        fail_msg("cordon %s %s: exit code %d instead of %d:\n%s", words[0], words[1], got, code,
                 out);
    return out;
}

static void assert_says(struct house *h, int code, const char *what, const char *const *words)
{
    char *text = says(h, code, words);

    if (!strstr(text, what))
        fail_msg("cordon %s %s: no '%s' in\n%s", words[0], words[1], what, text);
    free(text);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        "isolations", __VA_ARGS__, "-c", h->config_file, NULL                                      \
    }

static void wait_state(struct house *h, const char *wanted)
{
    for (int64_t until = look_until(SOON);;) {
        AUTO(json_freep) struct json *list = house_get(h, "/api/isolations");
        const char *state = json_get_string(json_first(json_get(list, "isolations")), "state");

        if (state && strcmp(state, wanted) == 0)
            return;
        look_again(until, "the isolation is %s, not %s", state ? state : "not there", wanted);
    }
}

static void edit_store(struct house *h, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(h->store_file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Of `count` mails or more: one that was on its way when cordon was killed comes twice. */
static bool has_subject(struct house *h, int64_t count, const char *tag)
{
    char line[200];
    bool found = false;

    (void)snprintf(line, sizeof line, "Subject: %s", tag);
    for (int more = 0; more < 3 && !found; more++) {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, count + more, SOON);

        JSON_EACH (m, json_get(mails, "mails"))
            found = found || strstr(json_get_string(m, "raw"), line);
    }
    return found;
}

/* Each line of the log with one text holds the other; and there is one. */
static void assert_lines(struct house *h, const char *with, const char *wanted)
{
    FILE *f = fopen(h->log_file, "re");
    char *line = NULL;
    size_t room = 0;
    int n = 0;

    assert_non_null(f);
    while (getline(&line, &room, f) > 0) {
        n += strstr(line, with) != NULL;
        if (strstr(line, with) && !strstr(line, wanted))
            fail_msg("no %s in the log's line %s", wanted, line);
    }
    assert_true(n > 0);
    free(line);
    (void)fclose(f);
}

/* ---- released by order ------------------------------------------------------------------------------ */

static void test_ledger__the_release_is_asked_for_once(void **state)
{
    struct house *h = open_house();

    (void)state;
    add(h, "");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    assert_says(h, 0, "isolated", WORDS("show", "WS-114.corp.example"));
    assert_says(h, 0, "da1_-1", WORDS("show", NAME));
    assert_says(h, 2, "--why", WORDS("release", NAME));
    assert_says(h, 1, "ws-999", WORDS("release", "ws-999", "--why", "all clear"));
    assert_says(h, 2, "--for", WORDS("extend", NAME));
    assert_says(h, 2, "--for", WORDS("extend", NAME, "--for", "soon"));
    assert_says(h, 0, "asked about it again", WORDS("extend", NAME, "--for", "4h"));
    assert_says(h, 0, "asked for and followed", WORDS("release", NAME, "--why", "all clear"));
    wait_state(h, "released");
    assert_true(has_subject(h, 3, "[RELEASED] High: Credential memory read"));

    AUTO(json_freep) struct json *calls = sim_calls(h->sim, "POST", SIM_UNISOLATE, 0);
    const char *body = json_get_string(json_first(json_get(calls, "calls")), "body");
    assert_int_equal(json_count(json_get(calls, "calls")), 1);
    assert_non_null(strstr(body, "\"Comment\":\"cordon: release ordered"));
    assert_non_null(strstr(body, "all clear"));
    assert_says(h, 1, "is not isolated now", WORDS("release", NAME, "--why", "again"));
    house_stop(h);
}

/* Who looks for a case finds whom it was asked for, who said yes, and how its machine came back: by one id. */
static void test_ledger__each_line_of_the_log_names_its_case(void **state)
{
    struct house *h = open_house_with("  - name: contain\n    do:\n"
                                      "      - ask: {approvers: [ann@x.example]}\n"
                                      "      - isolate: {}\n");
    char path[100], id[20], wanted[40];

    (void)state;
    add(h, "");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    (void)snprintf(wanted, sizeof wanted, "\"case\":\"%s\"",
                   json_string(json_first(json_get(answer, "cases"))));
    house_wait_question(h, 1, id);
    (void)snprintf(path, sizeof path, "/api/questions/%s/approve", id);
    assert_int_equal(house_order(h, path, "{\"why\":\"seen it\",\"by\":\"maria\"}"), 200);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    assert_says(h, 0, "asked about it again", WORDS("extend", NAME, "--for", "4h"));
    assert_says(h, 0, "asked for and followed", WORDS("release", NAME, "--why", "all clear"));
    wait_state(h, "released");
    house_wait_log(h, "release_post", 1, SOON);
    assert_lines(h, "\"question\":\"", wanted);
    assert_lines(h, "\"isolation\":\"", wanted);
    house_stop(h);
}

/* Killed while the answer is on its way: the next run looks, and finds what was carried out. */
static void test_ledger__a_killed_release_is_not_asked_for_twice(void **state)
{
    struct house *h = open_house();

    (void)state;
    add(h, "");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    sim_tell(h->sim, "/faults",
             "{\"method\":\"POST\",\"path\":\"" SIM_UNISOLATE
             "\",\"kind\":\"hang\",\"act\":true,\"count\":1}");
    assert_says(h, 0, "followed", WORDS("release", MACHINE, "--why", "all clear"));
    house_wait_log(h, "release_post", 1, SOON);
    LOOK_FOR(sim_count_calls(h->sim, "POST", SIM_UNISOLATE) > 0, SOON, "no release was asked for");
    house_cordon_kill(h);
    house_cordon_start(h);
    wait_state(h, "released");
    assert_true(has_subject(h, 3, "[RELEASED]"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_UNISOLATE), 1);
    house_stop(h);
}

static void test_ledger__an_analysts_isolation_is_released_by_the_machines_name_alone(void **state)
{
    struct house *h = open_house();
    char id[40];

    (void)state;
    add(h, "");
    sim_tell(h->sim, "/actions",
             "{\"machineId\":\"" MACHINE "\",\"type\":\"Isolate\",\"status\":\"Succeeded\","
             "\"requestor\":\"analyst@contoso.example\"}");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    (void)snprintf(id, sizeof id, "%s", json_get_string(json_get(c, "isolation"), "id"));
    assert_says(h, 1, "analyst@contoso.example isolated this machine",
                WORDS("release", id, "--why", "all clear"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_UNISOLATE), 0);
    assert_says(h, 0, "followed", WORDS("release", NAME, "--why", "all clear"));
    wait_state(h, "released");
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_UNISOLATE), 1);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

/* Nobody pushed anything: what people do in the portal is in the ledger all the same, and stays theirs. */
static void test_ledger__what_others_do_at_defender_is_known_without_an_alert(void **state)
{
    struct house *h = open_house();

    (void)state;
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"" NAME "\"}");
    sim_tell(h->sim, "/actions",
             "{\"machineId\":\"" MACHINE "\",\"type\":\"Isolate\",\"status\":\"Pending\","
             "\"requestor\":\"analyst@contoso.example\"}");
    house_cordon_stop(h); /* the list is read every five minutes, and at every start */
    house_cordon_start(h);
    wait_state(h, "isolated"); /* followed until Defender says so */
    assert_says(h, 0, "analyst@contoso.example", WORDS("show", NAME));
    sim_tell(h->sim, "/clock", "{\"advance_ms\":1000}"); /* some of its times have no fraction */
    sim_tell(h->sim, "/actions",
             "{\"machineId\":\"" MACHINE "\",\"type\":\"Unisolate\",\"status\":\"Succeeded\","
             "\"requestor\":\"analyst@contoso.example\"}");
    house_cordon_kill(h);
    house_cordon_start(h);
    wait_state(h, "released");
    assert_int_equal(sim_count_calls(h->sim, "POST", "/api/*"), 0);
    house_stop(h);
}

/* ---- an absent machine ------------------------------------------------------------------------------- */

static void test_ledger__an_absent_machine_is_isolated_after_defender_gave_up(void **state)
{
    struct house *h = open_house();

    (void)state;
    add(h, ",\"lastSeen\":\"2026-01-01T00:00:00Z\",\"sim\":{\"offline\":true}");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    wait_state(h, "pending");
    sim_tell(h->sim, "/clock", "{\"advance_ms\":260000000}"); /* three days and some */
    wait_state(h, "failed");
    assert_true(has_subject(h, 2, "[NOT ISOLATED: the machine stayed offline"));
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_cordon_stop(h);
    edit_store(h, "UPDATE work SET due = 0 WHERE id IN (SELECT id FROM isolations)");
    house_cordon_start(h); /* it was not seen since: nothing is done */
    AUTO(json_freep)
    struct json *looks = sim_wait_calls(h->sim, "GET", "/api/machines/" MACHINE, 2, SOON);
    assert_non_null(looks);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_cordon_stop(h);
    sim_tell(h->sim, "/clock", "{\"advance_ms\":3600000}");
    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"lastSeen\":\"2100-01-01T00:00:00Z\","
             "\"sim\":{\"offline\":false}}");
    edit_store(h, "UPDATE work SET due = 0 WHERE id IN (SELECT id FROM isolations)");
    house_cordon_start(h);
    wait_state(h, "isolated");
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 2);
    assert_int_equal(sim_state(h->sim, "max_active_isolates"), 1);
    house_stop(h);
}

/* ---- what else a machine can be asked for --------------------------------------------------------------- */

static void assert_body(struct house *h, const char *method, const char *path, const char *body)
{
    AUTO(json_freep) struct json *calls = sim_wait_calls(h->sim, method, path, 1, SOON);
    const char *sent = json_get_string(json_first(json_get(calls, "calls")), "body");

    if (!sent || !strstr(sent, body))
        fail_msg("%s %s: no '%s' in %s", method, path, body, sent ? sent : "no call");
    assert_int_equal(sim_count_calls(h->sim, method, path), 1);
}

/* The link to a package as its mail has it, in both parts alike. Heap. */
static char *mailed_link(struct house *h, const char *start)
{
    AUTO(json_freep) struct json *mails = sim_get(h->sim, "/mails");
    char *link = NULL;

    JSON_EACH (mail, json_get(mails, "mails")) {
        const char *raw = json_get_string(mail, "raw"), *at;
        struct mail_read r;

        mail_read(&r, raw, strlen(raw));
        assert_string_equal(r.fault, "");
        at = strstr(r.parts[0].body, start);
        if (at && !link) {
            link = strndup(at, strcspn(at, " \r\n"));
            assert_non_null(link);
            assert_true(r.part_count > 1);
            at = strstr(r.parts[1].body, link);
            assert_non_null(at);
            assert_int_equal(at[strlen(link)], '"');
        }
        mail_read_clear(&r);
    }
    return link;
}

static void test_ledger__each_step_is_carried_out_once_and_told(void **state)
{
    const struct house_options o = {
        .rules = "  - name: all\n    do:\n      - scan: {type: full}\n      - collect: {}\n"
                 "      - restrict: {}\n      - stop_file: {sha1: "
                 "da39a3ee5e6b4b0d3255bfef95601890afd80709}\n      - tag: {add: seen}\n"
                 "      - annotate: {comment: seen by cordon, status: in_progress}\n"
                 "        if: {tag: done}\n"};
    struct house *h = house_start(&o);
    char *link;

    (void)state;
    add(h, "");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    assert_non_null(c);
    assert_true(has_subject(h, 4, "[DONE: antivirus scan: Full]"));
    assert_true(has_subject(h, 4, "[DONE: investigation package]"));
    assert_true(has_subject(h, 4, "[DONE: restriction of applications]"));
    assert_body(h, "POST", "/api/machines/*/runAntiVirusScan", "\"ScanType\":\"Full\"");
    assert_body(h, "POST", "/api/machines/*/collectInvestigationPackage", "\"Comment\":\"");
    assert_body(h, "POST", "/api/machines/*/restrictCodeExecution", "\"Comment\":\"");
    assert_body(h, "POST", "/api/machines/*/StopAndQuarantineFile",
                "\"Sha1\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"");
    assert_body(h, "POST", "/api/machines/*/tags", "{\"Value\":\"seen\",\"Action\":\"Add\"}");
    assert_body(h, "PATCH", "/api/alerts/*",
                "{\"status\":\"InProgress\",\"comment\":\"seen by cordon\"}");
    link = mailed_link(h, "https://userrequests-us.securitycenter.windows.com:443/safedownload/");
    assert_non_null(link);
    assert_true(strlen(link) > 1400); /* whole, as long as Defender makes it */
    link[strcspn(link, "?") + 50] = '\0';
    house_log_lacks(h, strchr(link, '?')); /* who has the link may read the package */
    free(link);
    house_stop(h);
}

/* Killed while the answer to a scan is on its way. */
static void test_ledger__a_killed_step_is_not_carried_out_twice(void **state)
{
    const struct house_options o = {.rules = "  - name: all\n    do:\n      - scan: {}\n"};
    struct house *h = house_start(&o);

    (void)state;
    add(h, "");
    sim_tell(h->sim, "/faults",
             "{\"method\":\"POST\",\"path\":\"/api/machines/*/runAntiVirusScan\","
             "\"kind\":\"hang\",\"act\":true,\"count\":1}");
    AUTO(json_freep) struct json *answer = house_push(h, "da1_-1", MACHINE, 202);
    LOOK_FOR(sim_count_calls(h->sim, "POST", "/api/machines/*/runAntiVirusScan") > 0, SOON,
             "no scan was asked for");
    house_cordon_kill(h);
    house_cordon_start(h);
    assert_true(has_subject(h, 1, "[DONE: antivirus scan: Quick]"));
    assert_int_equal(sim_count_calls(h->sim, "POST", "/api/machines/*/runAntiVirusScan"), 1);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger__the_release_is_asked_for_once),
        cmocka_unit_test(test_ledger__each_line_of_the_log_names_its_case),
        cmocka_unit_test(test_ledger__a_killed_release_is_not_asked_for_twice),
        cmocka_unit_test(test_ledger__an_analysts_isolation_is_released_by_the_machines_name_alone),
        cmocka_unit_test(test_ledger__what_others_do_at_defender_is_known_without_an_alert),
        cmocka_unit_test(test_ledger__an_absent_machine_is_isolated_after_defender_gave_up),
        cmocka_unit_test(test_ledger__each_step_is_carried_out_once_and_told),
        cmocka_unit_test(test_ledger__a_killed_step_is_not_carried_out_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
