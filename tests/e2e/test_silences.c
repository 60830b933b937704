/* test_silences.c - silences, whole: by command, through a restart, with what people get in the mail. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "auto.h"
#include "kit/house.h"
#include "kit/mail_reader.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON    60000 /* ms; a deadline, not a wait */

/* A house whose people's side is where its configuration says, so that commands find it. */
static struct house *start(void)
{
    const struct house_options o = {.admin_address = "unix:FOLDER/people.sock", .not_yet = true};
    struct house *h = house_start(&o);
    char address[300];

    (void)snprintf(address, sizeof address, "unix:%s/", h->dir);
    house_edit(h, "unix:FOLDER/", address);
    house_cordon_start(h);
    return h;
}

/* Runs `cordon silences …` as somebody; what it said, in a. The exit code must be `code`. */
static const char *silences(struct house *h, struct arena *a, const char *who, int code,
                            const char *const *words)
{
    const char *args[20] = {"silences"};
    char *out = NULL;
    const char *text;
    size_t n = 1;
    int got;

    for (; *words && n < 16; words++)
        args[n++] = *words;
    args[n++] = "-c";
    args[n] = h->config_file;
    assert_int_equal(unsetenv("SUDO_USER"), 0);
    assert_int_equal(setenv("USER", who, 1), 0);
    got = house_run(h, &out, args);
    text = arena_str(a, out);
    free(out);
    if (got != code)
        fail_msg("cordon silences %s: exit code %d: %s", args[1], got, text);
    return text;
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The subject and text of mail number n (from 0), in a; waits for it. */
static const char *mail_text(struct house *h, struct arena *a, int64_t n)
{
    AUTO(json_freep) struct json *doc = sim_wait_mails(h->sim, n + 1, SOON);
    const struct json *mail = json_first(json_get(doc, "mails"));
    const char *raw, *text;
    struct mail_read m;

    for (int64_t i = 0; i < n; i++)
        mail = json_next(mail);
    raw = json_get_string(mail, "raw");
    mail_read(&m, raw, strlen(raw));
    assert_string_equal(m.fault, "");
    text = arena_fmt(a, "%s\n%s", mail_header(&m, "Subject"), m.parts[0].body);
    mail_read_clear(&m);
    return text;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

static void lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' is in: %s", part, text);
}

/* The 13 characters behind "silence ". */
static const char *id_in(struct arena *a, const char *out)
{
    const char *at = strstr(out, "silence 0");

    assert_non_null(at);
    return arena_strn(a, at + strlen("silence "), 13);
}

static void alert(struct house *h, const char *id, const char *severity, const char *title)
{
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"%s\",\"title\":\"%s\",\"machineId\":\"" MACHINE "\"}",
              id, severity, title);
}

static int64_t count_mails(struct house *h)
{
    AUTO(json_freep) struct json *doc = sim_get(h->sim, "/mails");

    return (int64_t)json_count(json_get(doc, "mails"));
}

static void test_silences__hold_a_mail_back_and_no_isolation(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct house *h = start();
    const char *out, *id;

    (void)state;
    sim_tell(h->sim, "/machines",
             "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114.corp.example\"}");
    alert(h, "da1_-1", "Medium", "Port scan");
    alert(h, "da2_-1", "High", "Port scan");
    out = silences(
        h, a, "maria", 0,
        WORDS("add", "--when", "alert.title: Port scan", "--for", "1h", "--why", "a pentest"));
    has(out, "0 of 0 cases");
    id = id_in(a, out);
    has(mail_text(h, a, 0), "[CORDON] silence by maria until ");
    house_cordon_stop(h); /* it outlives the process */
    house_cordon_start(h);

    AUTO(json_freep) struct json *medium = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, medium, "done", SOON);
    has(json_get_string(c, "silenced"), "silenced by maria until ");
    has(json_get_string(json_first(json_get(c, "steps")), "why"), ": a pentest");
    assert_int_equal(json_count(json_get(c, "notices")), 0);
    assert_int_equal(count_mails(h), 1);

    /* the same alert, High: the machine is isolated, and people hear of that */
    AUTO(json_freep) struct json *high = house_push(h, "da2_-1", MACHINE, 202);
    AUTO(json_freep) struct json *isolated = sim_wait_isolated(h->sim, 1, SOON);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 1);
    has(mail_text(h, a, 1), "[REQUESTED] High: Port scan");
    has(mail_text(h, a, 2), "[ISOLATED] High: Port scan");

    has(silences(h, a, "joe", 0, WORDS("list", "--open")), id);
    has(silences(h, a, "joe", 0, WORDS("show", id)), "Medium: Port scan on ws-114.corp.example");
    out = silences(h, a, "joe", 0, WORDS("preview", "--when", "alert.title: Port scan"));
    has(out, "2 of 2 cases");
    has(out, "told: its rule acts");
    has(out, "It is not broad");
    (void)silences(h, a, "joe", 0, WORDS("end", id, "--why", "the pentest is over"));
    out = mail_text(h, a, 3);
    has(out, "[CORDON] silence by maria ended: 1 case withheld");
    has(out, "Medium: Port scan on ws-114");
    has(out, "alert da1_-1");
    has(out, "the pentest is over");
    lacks(out, "da2_-1");
    assert_int_equal(count_mails(h), 4);
    house_stop(h);
}

static void test_silences__a_broad_one_needs_two_people(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct house *h = start();
    const char *out, *id;

    (void)state;
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\"}");
    alert(h, "da1_-1", "Medium", "Port scan");
    alert(h, "da2_-1", "Medium", "Brute force");
    out = silences(
        h, a, "maria", 0,
        WORDS("add", "--when", "{alert.severity: Medium}", "--for", "1h", "--why", "maintenance"));
    has(out, "proposed, not begun. It is broad: the last 7 days have only 0 cases");
    id = id_in(a, out);
    has(mail_text(h, a, 0), "Nothing is withheld yet");
    AUTO(json_freep) struct json *before = house_push(h, "da1_-1", MACHINE, 202);
    has(mail_text(h, a, 1), "[ALERT] Medium: Port scan");
    has(silences(h, a, "maria", 1, WORDS("approve", id)), "needs the yes of another person");
    (void)silences(h, a, "joe", 0, WORDS("approve", id));
    has(mail_text(h, a, 2), "[CORDON] silence by maria until ");
    AUTO(json_freep) struct json *after = house_push(h, "da2_-1", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, after, "done", SOON);
    assert_int_equal(json_count(json_get(c, "notices")), 0);
    assert_int_equal(count_mails(h), 3);
    house_stop(h);
}

static void test_silences__what_is_wrong_is_named(void **state)
{
    AUTO(arena_freep) struct arena *a = arena_new(0);
    struct house *h = start();

    (void)state;
    has(silences(h, a, "maria", 1,
                 WORDS("add", "--when", "alert.titel: x", "--for", "1h", "--why", "w")),
        "no such field 'alert.titel'; did you mean alert.title?");
    has(silences(h, a, "maria", 2,
                 WORDS("add", "--when", "alert.title: x", "--for", "31d", "--why", "w")),
        "--for: expected 1m to 30d, such as 4h, found '31d'");
    has(silences(h, a, "maria", 2,
                 WORDS("add", "--when", "alert.title: x", "--for", "0s", "--why", "w")),
        "--for: expected 1m to 30d, such as 4h, found '0s'");
    has(silences(h, a, "maria", 2,
                 WORDS("add", "--when", "alert.title: x", "--until", "soon", "--why", "w")),
        "--until: expected a time such as 2026-01-01T00:00:00Z");
    has(silences(h, a, "", 1,
                 WORDS("add", "--when", "alert.title: x", "--for", "1h", "--why", "w")),
        "say whose");
    has(silences(h, a, "maria", 2, WORDS("add", "--when", "alert.title: x", "--why", "w")),
        "a silence has an end");
    (void)silences(h, a, "maria", 2, WORDS("add", "--when", "alert.title: x", "--for", "1h"));
    (void)silences(h, a, "maria", 2, WORDS("end", "0000000000001"));
    has(silences(h, a, "maria", 1, WORDS("end", "0000000000001", "--why", "w")),
        "there is no silence");
    has(silences(h, a, "maria", 1, WORDS("show", "nothing")), "there is no silence");
    assert_int_equal(count_mails(h), 0);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silences__hold_a_mail_back_and_no_isolation),
        cmocka_unit_test(test_silences__a_broad_one_needs_two_people),
        cmocka_unit_test(test_silences__what_is_wrong_is_named),
    };

    return cmocka_run_group_tests_name("silences", tests, NULL, NULL);
}
