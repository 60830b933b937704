/* test_trust.c - why people may leave it switched on: a policy that fails its own tests never comes into force, every
 * verdict explains itself after the rules have changed, shadow mode of one rule or source tells and does not do, a
 * list of protected machines in a file counts as soon as it is saved. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/disk.h"
#include "kit/house.h"
#include "kit/mail_reader.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define OTHER   "0000000000000000000000000000000000000002"
#define SOON    20000 /* ms; a deadline, not a wait */
#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void add_alert(struct house *h, const char *id, const char *severity, const char *machine)
{
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\",\"computerDnsName\":\"ws-114\"}", machine);
    sim_tellf(h->sim, "/alerts", "{\"id\":\"%s\",\"severity\":\"%s\",\"machineId\":\"%s\"}", id,
              severity, machine);
}

/* Pushes it and waits for its end; the case. */
static struct json *push(struct house *h, const char *id, const char *state)
{
    AUTO(json_freep) struct json *answer = house_push(h, id, NULL, 202);

    return house_wait_case(h, answer, state, SOON);
}

static void assert_runs(struct house *h, int code, const char *const *words,
                        const char *const *says)
{
    char *out;
    int got = house_run(h, &out, words);

    if (got != code)
        fail_msg("%s %s: exit code %d:\n%s", words[0], words[1], got, out);
    for (; *says; says++)
        if (!strstr(out, *says))
            fail_msg("%s %s: no '%s' in\n%s", words[0], words[1], *says, out);
    free(out);
}

/* A house whose people's side is a socket in its folder, so that commands find it by the configuration. */
static struct house *open_house(struct house_options o)
{
    struct house *h;
    char text[400];

    o.not_yet = true;
    h = house_start(&o);
    (void)snprintf(text, sizeof text, "admin:\n  address: unix:%s/people.sock\n", h->dir);
    house_edit(h, "admin:\n  address: 127.0.0.1:0\n", text);
    return h;
}

static const char rules[] = "  - {name: low, when: {alert.severity: Low}, do: [email: {}]}\n"
                            "  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, "
                            "email: {}]}\n"
                            "  - {name: tell, do: [email: {}]}\n";
static const char tests[] = "tests:\n"
                            "  - name: a High alert isolates\n"
                            "    facts: {alert.severity: High}\n"
                            "    expect: {rule: contain, steps: [isolate, email]}\n";

static void test_trust__a_policy_that_fails_its_tests_never_comes_into_force(void **state)
{
    static const struct house_options o = {.rules = rules, .more = tests};
    struct house *h = house_start(&o);

    (void)state;
    assert_runs(h, 0, WORDS("check", "-c", h->config_file), WORDS("good.", "1 test,"));
    house_edit(h, "{name: contain, when: {alert.severity: High}",
               "{name: contain, when: {alert.severity: Medium}");
    assert_runs(h, 1, WORDS("check", "-c", h->config_file),
                WORDS("test 'a High alert isolates' fails: expected rule contain, got tell"));
    assert_runs(h, 1, WORDS("check", "--json", "-c", h->config_file),
                WORDS("\"good\":false", "fails: expected rule contain, got tell"));
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "reload_refused", 1, SOON);
    add_alert(h, "da1_-1", "High", MACHINE);
    json_free(push(h, "da1_-1", "done")); /* by the old policy */
    house_edit(h, "{name: contain, when: {alert.severity: Medium}",
               "{name: contain, when: {alert.severity: High}");
    assert_runs(h, 0, WORDS("audit", "export", "-c", h->config_file),
                WORDS("\"reload_refused\"", "test 'a High alert isolates' fails"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);
    house_stop(h);
}

static void test_trust__a_verdict_explains_itself_after_the_rules_have_changed(void **state)
{
    static const struct house_options o = {
        .rules = rules, .safety = "  protected: [{machine.tags: [tier-0, no-isolate]}]\n"};
    struct house *h = open_house(o);
    AUTO(json_freep) struct json *c = NULL;
    const char *id;

    (void)state;
    house_cordon_start(h);
    add_alert(h, "da1_-1", "High", MACHINE);
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"machineTags\":[\"web\",\"Tier-0\"]}");
    c = push(h, "da1_-1", "done");
    id = json_get_string(c, "id");
    assert_runs(h, 0, WORDS("cases", "explain", "-c", h->config_file, id),
                WORDS("low: does not match", "contain: matches, and gives the verdict",
                      "tell: would match; a rule above gave the verdict",
                      "protects:", "saw [\"web\",\"Tier-0\"]",
                      "isolate: withheld, protected: machine.tags is Tier-0", "email: done",
                      ", in force, first on 20",
                      "Judged again by this version of cordon: the same."));
    house_edit(h, "{name: contain, when: {alert.severity: High}",
               "{name: renamed, when: {alert.severity: Medium}");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    assert_runs(h, 0, WORDS("cases", "explain", "-c", h->config_file, id),
                WORDS("contain: matches, and gives the verdict", "not in force now",
                      "Judged again by this version of cordon: the same."));
    house_cordon_stop(h);
    house_cordon_start(h);
    assert_runs(h, 0, WORDS("cases", "explain", "--json", "-c", h->config_file, id),
                WORDS("\"again\":{\"same\":true", "\"in_force\":false", "\"facts\":{"));
    assert_runs(h, 1, WORDS("cases", "explain", "-c", h->config_file, "0000000000000"),
                WORDS("there is no case '0000000000000'"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

/* The subject of the n-th mail, from 0, begins so. */
static void assert_mail(struct house *h, int64_t n, const char *subject)
{
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, n + 1, SOON);
    const struct json *mail = json_first(json_get(mails, "mails"));

    for (; n > 0; n--)
        mail = json_next(mail);
    if (!strstr(json_get_string(mail, "raw"), subject))
        fail_msg("no '%s' in\n%s", subject, json_get_string(mail, "raw"));
}

static void test_trust__a_rule_or_a_source_in_shadow_mode_tells_and_does_not_do(void **state)
{
    static const struct house_options o = {
        .rules =
            "  - {name: new-rule, mode: shadow, when: {alert.severity: Medium}, do: [isolate: {}, "
            "email: {}]}\n"
            "  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"
            "  - {name: tell, do: [email: {}]}\n"};
    struct house *h = house_start(&o);

    (void)state;
    add_alert(h, "da1_-1", "Medium", MACHINE);
    json_free(push(h, "da1_-1", "done"));
    assert_mail(h, 0, "\r\nSubject: [NOT ISOLATED: shadow mode of rule new-rule");
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    add_alert(h, "da1_-2", "High", MACHINE); /* the other rule is live */
    json_free(push(h, "da1_-2", "done"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);

    house_edit(h, "  relay:\n    tenant: contoso\n",
               "  relay:\n    tenant: contoso\n    mode: shadow\n");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    add_alert(h, "da1_-3", "High", OTHER);
    json_free(push(h, "da1_-3", "done"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);
    {
        AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 4, SOON);
        bool told = false;

        JSON_EACH (mail, json_get(mails, "mails"))
            told |= strstr(json_get_string(mail, "raw"),
                           "[NOT ISOLATED: shadow mode of source relay") != NULL;
        assert_true(told);
    }
    house_stop(h);
}

/* Nobody and nothing is in shadow mode; the daily mail comes all the same, and what it holds is what `audit verify` takes. */
static void test_trust__the_daily_mail_carries_the_head_of_the_audit(void **state)
{
    struct house *h = open_house((struct house_options){0});
    char subject[200], head[65] = "";
    struct mail_read mail = {0};
    bool found = false;

    (void)state;
    add_alert(h, "da1_-1", "High", MACHINE);
    house_cordon_start(h);
    AUTO(json_freep) struct json *c = push(h, "da1_-1", "done");
    AUTO(json_freep) struct json *before = sim_wait_mails(h->sim, 2, SOON);
    house_cordon_stop(h);
    /* a day goes by */
    assert_string_equal(
        disk_sql(h->store_file, "UPDATE digests SET told = told - 86400000", NULL, 0), "");
    assert_string_equal(disk_sql(h->store_file,
                                 "UPDATE work SET due = 0 WHERE id = (SELECT id FROM digests)",
                                 NULL, 0),
                        "");
    house_cordon_start(h);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 3, SOON);
    JSON_EACH (m, json_get(mails, "mails")) {
        const char *raw = json_get_string(m, "raw"), *at;

        if (found)
            break;
        mail_read(&mail, raw, strlen(raw));
        (void)snprintf(subject, sizeof subject, "%s", mail_header(&mail, "Subject"));
        found = strncmp(subject, "[CORDON] daily report: 1 case, 1 isolation since ", 49) == 0;
        at = found ? strstr(mail.parts[0].body, "Audit head") : NULL;
        if (at) {
            at += strlen("Audit head");
            at += strspn(at, ": \r\n");
            (void)snprintf(head, sizeof head, "%s", at);
        }
        mail_read_clear(&mail);
    }
    assert_true(found);
    assert_int_equal(strspn(head, "0123456789abcdef"), 64);
    assert_runs(h, 0, WORDS("audit", "verify", "--head", head, "-c", h->config_file),
                WORDS("whole"));
    head[0] = head[0] == '0' ? '1' : '0';
    assert_runs(h, 1, WORDS("audit", "verify", "--head", head, "-c", h->config_file),
                WORDS("no record has the hash"));
    house_stop(h);
}

static void test_trust__a_list_counts_as_soon_as_it_is_saved(void **state)
{
    static const struct house_options o = {
        .rules = rules, .safety = "  protected: [{machine.id: {in_file: protected.txt}}]\n"};
    struct house *h = open_house(o);
    AUTO(json_freep) struct json *c = NULL;
    char *path = house_write_file(h, "protected.txt", "# ours\n" OTHER "\n"), *again;

    (void)state;
    house_cordon_start(h);
    add_alert(h, "da1_-1", "High", OTHER);
    c = push(h, "da1_-1", "done");
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    again = house_write_file(h, "protected.txt", "# ours\n" OTHER "\n" MACHINE " # dc-1\n");
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    add_alert(h, "da1_-2", "High", MACHINE);
    json_free(push(h, "da1_-2", "done"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    /* the verdict of before still knows the list of before */
    assert_runs(h, 0, WORDS("cases", "explain", "-c", h->config_file, json_get_string(c, "id")),
                WORDS("isolate: withheld, protected: machine.id is " OTHER, "not in force now",
                      "Judged again by this version of cordon: the same."));
    /* an empty list is no list: the old one stays in force */
    free(house_write_file(h, "protected.txt", ""));
    house_wait_log(h, "reload_refused", 1, SOON);
    add_alert(h, "da1_-3", "High", MACHINE);
    json_free(push(h, "da1_-3", "done"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    (void)unlink(path);
    free(path);
    free(again);
    house_stop(h);
}

/* The store takes nothing at that moment, so what was judged by the list could not be explained later: it comes into force
 * as soon as the store takes it, without another word. */
static void test_trust__a_list_that_was_saved_while_the_store_was_locked_counts(void **state)
{
    static const struct house_options o = {
        .rules = rules, .safety = "  protected: [{machine.id: {in_file: protected.txt}}]\n"};
    struct house *h = open_house(o);
    void *lock;

    (void)state;
    free(house_write_file(h, "protected.txt", OTHER "\n"));
    house_cordon_start(h);
    lock = disk_lock(h->store_file);
    free(house_write_file(h, "protected.txt", OTHER "\n" MACHINE "\n"));
    house_wait_log(h, "\"event\":\"reload_refused\"", 1, SOON);
    disk_unlock(lock);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    add_alert(h, "da1_-2", "High", MACHINE);
    json_free(push(h, "da1_-2", "done"));
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_trust__a_policy_that_fails_its_tests_never_comes_into_force),
        cmocka_unit_test(test_trust__a_verdict_explains_itself_after_the_rules_have_changed),
        cmocka_unit_test(test_trust__a_rule_or_a_source_in_shadow_mode_tells_and_does_not_do),
        cmocka_unit_test(test_trust__the_daily_mail_carries_the_head_of_the_audit),
        cmocka_unit_test(test_trust__a_list_counts_as_soon_as_it_is_saved),
        cmocka_unit_test(test_trust__a_list_that_was_saved_while_the_store_was_locked_counts),
    };

    return cmocka_run_group_tests(all, NULL, NULL);
}
