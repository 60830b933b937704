/* test_door.c - what a source may do, and who may knock how often. What counts is what Defender and the mail server
 * saw, and that a flood from one address does not hurt another's pushes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit/flood.h"
#include "kit/house.h"
#include "kit/look.h"

#define ALERT   "da638712345678901234_-1027384756"
#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define OTHER   "0123456789abcdef0123456789abcdef01234567"
#define SOON    20000 /* ms; a deadline, not a wait */

/* ---- what a source may do --------------------------------------------------------------------------- */

/* A house with two sources that share a secret: `relay` may only notify, `strong` may isolate. */
static struct house *two_sources(void)
{
    struct house *h = house_start(&(struct house_options){.not_yet = true});
    char from[400], to[1000];

    (void)snprintf(from, sizeof from, "      - standard_webhooks: {secret_files: [%s]}\n",
                   h->secret_file);
    (void)snprintf(to, sizeof to,
                   "%s    may: [notify]\n  strong:\n    tenant: contoso\n    verify:\n%s", from,
                   from);
    house_edit(h, from, to);
    (void)snprintf(to, sizeof to, "admin:\n  address: unix:%s/admin", h->dir); /* for commands */
    house_edit(h, "admin:\n  address: 127.0.0.1:0", to);
    house_cordon_start(h);
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\",\"computerDnsName\":\"ws-114.corp.example\"}",
              MACHINE);
    sim_tellf(h->sim, "/machines", "{\"id\":\"%s\",\"computerDnsName\":\"ws-9.corp.example\"}",
              OTHER);
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"%s\",\"title\":\"Stolen\"}",
              ALERT, MACHINE);
    return h;
}

/* The case's id of the answer goes to out when it is not NULL. */
static struct json *push(struct house *h, const char *source, const char *machine, int status)
{
    char url[300], body[300], id[80], signature[3][200];
    const char *headers[] = {"Content-Type: application/json", signature[0], signature[1],
                             signature[2], NULL};
    struct json *answer = NULL;
    struct fetched f;

    (void)snprintf(url, sizeof url, "%s/hooks/%s", h->hooks, source);
    (void)snprintf(id, sizeof id, "%s-%u", source, ++h->serial);
    (void)snprintf(body, sizeof body, "{\"alertId\":\"%s\",\"machineId\":\"%s\"}", ALERT, machine);
    house_sign(h->secret, id, time(NULL), body, strlen(body), signature);
    (void)fetch(&f, "POST", url, headers, body, strlen(body), SOON);
    if (f.status != status)
        fail_msg("a push to %s: %d instead of %d: %s %s", source, f.status, status, f.body, f.why);
    if (json_parse(f.body, f.body_len, &answer, NULL))
        fail_msg("%s", f.body);
    fetched_clear(&f);
    return answer;
}

static const char *case_id(const struct json *answer)
{
    return json_string(json_first(json_get(answer, "cases")));
}

static const char *mail(const struct json *mails, size_t n)
{
    const struct json *m = json_first(json_get(mails, "mails"));

    while (m && n--)
        m = json_next(m);
    return json_get_string(m, "raw");
}

static void assert_holds(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("'%s' is not in\n%s", part, text ? text : "nothing");
}

static void test_door__a_source_that_may_only_notify_never_isolates(void **state)
{
    struct house *h = two_sources();
    AUTO(json_freep) struct json *answer = push(h, "relay", MACHINE, 202);
    AUTO(json_freep) struct json *c = house_wait_case(h, answer, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 1, SOON);
    AUTO(auto_free) char *shown = NULL;
    const struct json *step = json_first(json_get(c, "steps"));

    (void)state;
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    assert_int_equal(sim_count_calls(h->sim, "POST", SIM_ISOLATE), 0);
    assert_int_equal(sim_state(h->sim, "mails"), 1);
    assert_holds(mail(mails, 0), "Subject: [NOT ISOLATED: source relay may only notify]");
    assert_holds(mail(mails, 0), "Why          source relay may only notify");
    /* the explanation says so, too: in the steps and in the verdict as it is kept */
    assert_string_equal(json_get_string(step, "handler"), "isolate");
    assert_string_equal(json_get_string(step, "state"), "withheld");
    assert_string_equal(json_get_string(step, "why"), "source relay may only notify");
    assert_string_equal(
        json_get_string(json_first(json_get(json_get(c, "verdict"), "steps")), "withheld"),
        "source relay may only notify");
    if (house_run(h, &shown,
                  (const char *const[]){"cases", "show", case_id(answer), "-c", h->config_file,
                                        NULL}) != 0)
        fail_msg("%s", shown);
    assert_holds(shown, "source relay may only notify");
    house_stop(h);
}

/* Who may only notify could else keep a machine from being isolated, by being first. */
static void test_door__a_stronger_source_has_its_case_judged_anew(void **state)
{
    struct house *h = two_sources();
    AUTO(json_freep) struct json *weak = push(h, "relay", MACHINE, 202);
    AUTO(json_freep) struct json *before = house_wait_case(h, weak, "done", SOON);
    AUTO(json_freep) struct json *strong = NULL, *after = NULL, *mails = NULL, *again = NULL;

    (void)state;
    json_free(sim_wait_mails(h->sim, 1, SOON));
    json_free(push(h, "relay", MACHINE, 200)); /* its own repetition changes nothing */
    strong = push(h, "strong", MACHINE, 202);
    assert_string_equal(case_id(strong), case_id(weak));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    mails = sim_wait_mails(h->sim, 3, SOON);
    after = house_wait_case(h, strong, "done", SOON);
    assert_holds(mail(mails, 0), "Subject: [NOT ISOLATED: source relay may only notify]");
    assert_holds(mail(mails, 1), "Subject: [REQUESTED]");
    assert_holds(mail(mails, 2), "Subject: [ISOLATED]");
    assert_string_equal(json_get_string(after, "source"), "strong");
    assert_string_equal(json_get_string(json_first(json_get(after, "steps")), "state"), "done");
    /* and once only */
    again = push(h, "strong", MACHINE, 200);
    assert_string_equal(json_get_string(again, "status"), "duplicate");
    json_free(push(h, "relay", MACHINE, 200));
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    assert_int_equal(sim_state(h->sim, "mails"), 3);
    house_stop(h);
}

/* Nor by naming a wrong machine: the stronger source's word takes the place of the weaker's. */
static void test_door__a_weaker_sources_wrong_machine_does_not_stay(void **state)
{
    struct house *h = two_sources();
    AUTO(json_freep) struct json *weak = push(h, "relay", OTHER, 202);
    AUTO(json_freep) struct json *before = house_wait_case(h, weak, "done", SOON);

    (void)state;
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    json_free(push(h, "strong", MACHINE, 202));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    AUTO(json_freep) struct json *calls = sim_wait_calls(h->sim, "POST", SIM_ISOLATE, 1, SOON);
    assert_holds(json_get_string(json_first(json_get(calls, "calls")), "path"), MACHINE);
    house_stop(h);
}

/* While the first one is still being read, and over a kill: the case is the stronger source's at the end. */
static void test_door__a_stronger_source_may_come_while_the_case_is_read(void **state)
{
    struct house *h = two_sources();

    (void)state;
    sim_tell(h->sim, "/faults",
             "{\"path\":\"/api/alerts/*\",\"kind\":\"answer\",\"status\":503,\"count\":-1}");
    json_free(push(h, "relay", MACHINE, 202));
    json_free(sim_wait_calls(h->sim, "GET", SIM_ALERT, 1, SOON));
    json_free(push(h, "strong", MACHINE, 202));
    house_cordon_kill(h);
    sim_delete(h->sim, "/faults");
    house_cordon_start(h);
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    house_wait_quiet(h, SOON);
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_stop(h);
}

/* The other way about there is nothing to do. */
static void test_door__a_weaker_source_takes_nothing_back(void **state)
{
    struct house *h = two_sources();
    AUTO(json_freep) struct json *strong = push(h, "strong", MACHINE, 202);
    AUTO(json_freep) struct json *c = NULL;

    (void)state;
    json_free(push(h, "relay", MACHINE, 200));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    c = house_wait_case(h, strong, "done", SOON);
    assert_string_equal(json_get_string(c, "source"), "strong");
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_stop(h);
}

/* ---- who knocks how often --------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

enum { PUSHES = 150 };

/* Pushes alerts of their own, one after the other, each of which must be taken. ret: how many of the flood's requests were
 * answered meanwhile, sorted. */
static void push_good_ones(struct house *h, struct flood *flood, int64_t ret[PUSHES])
{
    for (int i = 0; i < PUSHES; i++) {
        struct fetched f;
        char body[80];
        int64_t before = flood_answers(flood);

        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%d_-1\"}", i + 1);
        (void)house_post(h, NULL, body, &f);
        ret[i] = flood_answers(flood) - before;
        if (f.status != 202)
            fail_msg("good push %d: %d %s %s", i, f.status, f.body, f.why);
        fetched_clear(&f);
    }
    qsort(ret, PUSHES, sizeof *ret, by_size);
}

#define FLOOD_CONNECTIONS 16

/* A flood from 127.0.0.2, once it runs. */
static struct flood *flood_of(const char *address, unsigned slow)
{
    struct flood *f = flood_start(&(struct flood_options){.address = address,
                                                          .from = "127.0.0.2",
                                                          .path = "/hooks/relay",
                                                          .per_second = 4000,
                                                          .connections = FLOOD_CONNECTIONS,
                                                          .slow = slow});

    assert_non_null(f);
    LOOK_FOR(flood_answers(f) >= 2500, SOON, "the flood is not under way");
    return f;
}

/* The short form of what `make bench` measures whole: with 300 slow clients and some thousands of bad requests a
 * second from one address, every good push of another is taken, and has its turn soon: counted in turns of the flood, for the
 * host may be a busy one. */
static void test_door__a_flood_from_one_address_does_not_hurt_another(void **state)
{
    const struct house_options o = {
        .rules = "  - name: tell\n    do: [email: {}]\n",
        .quota =
            "{per_minute: 1, per_hour: 1}", /* all but one wait: Defender is not what is measured */
    };
    struct house *h = house_start(&o);
    const char *address = h->hooks + strlen("http://");
    int64_t answered[PUSHES];
    struct flood_counts counts;
    struct flood *flood;
    AUTO(json_freep) struct json *mails = NULL;

    (void)state;
    flood = flood_of(address, 300);
    push_good_ones(h, flood, answered);
    flood_stop(flood, &counts);

    print_message("beside a good push p50 %lld p99 %lld bad ones; %lld bad in %lld ms\n",
                  (long long)answered[PUSHES / 2], (long long)answered[PUSHES * 99 / 100],
                  (long long)counts.sent, (long long)counts.ms);
    /* the flood goes on while it is stored and its alert read */
    assert_true(answered[PUSHES / 2] < 40 * FLOOD_CONNECTIONS);
    assert_true(counts.status[429] > 1000);
    assert_int_equal(counts.status[202] + counts.status[200], 0);
    assert_int_equal(counts.status[500] + counts.status[503], 0);
    /* cryptography was spent on 400 of them, and on 20 a second */
    assert_true(counts.status[401] >= 100);
    assert_true(counts.status[401] <= 400 + FLOOD_CONNECTIONS + (counts.ms / 1000 + 1) * 21);
    /* one line about it, though they were thousands, and not many about the others */
    assert_in_range(house_log_count(h, "\"event\":\"throttled\""), 1,
                    1 + (unsigned)counts.ms / 60000);
    assert_true(house_log_count(h, "\"event\":\"refused\"") <=
                20 * ((unsigned)counts.ms / 1000 + 2));
    house_wait_log(h, "\"peer\":\"127.0.0.2\"", 1, SOON);
    /* and people hear of it, once */
    mails = sim_wait_mails(h->sim, 1, SOON);
    assert_holds(mail(mails, 0), "[CORDON] a flood of requests, the latest from 127.0.0.2");
    assert_holds(mail(mails, 0), "To: soc@contoso.example");
    flood_stop(flood_of(address, 0), NULL);
    assert_int_equal(sim_state(h->sim, "mails"), 1);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_door__a_source_that_may_only_notify_never_isolates),
        cmocka_unit_test(test_door__a_stronger_source_has_its_case_judged_anew),
        cmocka_unit_test(test_door__a_weaker_sources_wrong_machine_does_not_stay),
        cmocka_unit_test(test_door__a_stronger_source_may_come_while_the_case_is_read),
        cmocka_unit_test(test_door__a_weaker_source_takes_nothing_back),
        cmocka_unit_test(test_door__a_flood_from_one_address_does_not_hurt_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
