/* test_replicas.c - two cordons, one PostgreSQL: they share the work, and one does what the other held when it
 * was killed. Blows at every moment, and pauses longer than a lease, are `make crash`'s (tests/crash). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "kit/cut.h"
#include "kit/house.h"
#include "kit/look.h"
#include "kit/postgres.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f%x"
#define SOON    30000
#define LEASED  60000 /* a lease of 30 s, and what follows */

struct pair {
    struct house *a, *b;
    struct cut *cut; /* b's way to the database */
};

static int set_up(void **state)
{
    static const struct postgres_options options = {.tcp = true};
    struct pair *p;
    char url[POSTGRES_URL_MAX], cut[POSTGRES_URL_MAX];
    const char *words;

    *state = NULL;
    if (!postgres_start(&options))
        return 0;
    p = calloc(1, sizeof *p);
    assert_non_null(p);
    words = strstr(postgres_url(url), "&options=");
    p->cut = cut_new(postgres_port());
    (void)snprintf(cut, sizeof cut, "postgresql://cordon@127.0.0.1:%d/postgres?%s",
                   cut_port(p->cut), words ? words + 1 : "");
    p->a = house_start(&(struct house_options){.store_url = url});
    p->b = house_start(&(struct house_options){.store_url = cut, .beside = p->a});
    for (unsigned i = 0; i < 8; i++) {
        sim_tellf(p->a->sim, "/machines", "{\"id\":\"" MACHINE "\"}", i);
        sim_tellf(p->a->sim, "/alerts",
                  "{\"id\":\"da%u_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}", i, i);
    }
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    if (!p)
        return 0;
    house_stop(p->b);
    house_stop(p->a);
    cut_free(p->cut);
    free(p);
    return 0;
}

/* A machine that was isolated before anybody could be told that it was asked for makes one mail, else two. */
static void wait_isolated_mails(struct sim *sim, int64_t count)
{
    for (int64_t mails = count, isolated = 0; isolated < count; mails++) {
        AUTO(json_freep) struct json *doc = sim_wait_mails(sim, mails, SOON);

        isolated = 0;
        JSON_EACH (mail, json_get(doc, "mails"))
            isolated += strstr(json_get_string(mail, "raw"), "Subject: [ISOLATED]") != NULL;
    }
}

static void test_replicas__a_delivery_is_one_whoever_gets_it(void **state)
{
    struct pair *p = *state;
    struct fetched f;

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    for (unsigned i = 0; i < 4; i++) {
        struct house *first = i % 2 ? p->a : p->b, *second = i % 2 ? p->b : p->a;
        char id[20], body[40];

        (void)snprintf(id, sizeof id, "msg_%u", i);
        (void)snprintf(body, sizeof body, "{\"alertId\":\"da%u_-1\"}", i);
        (void)house_post(first, id, body, &f);
        assert_int_equal(f.status, 202);
        fetched_clear(&f);
        (void)house_post(second, id, body, &f);
        assert_int_equal(f.status, 200);
        assert_non_null(strstr(f.body, "duplicate"));
        fetched_clear(&f);
        (void)snprintf(id, sizeof id, "flow_%u", i);
        (void)house_post(second, id, body, &f); /* the same alert by another flow */
        assert_int_equal(f.status, 200);
        fetched_clear(&f);
    }
    json_free(sim_wait_isolated(p->a->sim, 4, SOON));
    house_wait_quiet(p->a, SOON);
    assert_int_equal(sim_state(p->a->sim, "isolate_posts"), 4);
    wait_isolated_mails(p->a->sim, 4);
    assert_int_equal(sim_count_calls(p->a->sim, "POST", SIM_ISOLATE), 4);
}

static void test_replicas__what_a_dead_one_held_is_done_by_another(void **state)
{
    struct pair *p = *state;
    AUTO(json_freep) struct json *answer = NULL;

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    sim_tell(p->a->sim, "/faults",
             "{\"method\":\"GET\",\"path\":\"" SIM_ALERT
             "\",\"kind\":\"delay\",\"delay_ms\":8000}");
    answer = house_push(p->a, "da1_-1", NULL, 202);
    json_free(sim_wait_calls(p->a->sim, "GET", SIM_ALERT, 1, SOON)); /* it is in a's hand */
    house_cordon_kill(p->a);
    json_free(house_wait_case(p->b, answer, "done", LEASED));
    assert_int_equal(sim_state(p->b->sim, "isolate_posts"), 1);
    json_free(sim_wait_mails(p->b->sim, 2, SOON));
}

/* The database's host was three hours ahead, and so were all by it; its clock was set right while none of them ran. What they
 * were to try again in a moment is not tried three hours later. */
static void test_replicas__a_clock_set_back_while_none_runs_delays_no_case(void **state)
{
    struct pair *p = *state;
    AUTO(json_freep) struct json *answer = NULL;
    char sql[200];
    char *schema;

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    house_cordon_kill(p->b);
    sim_tell(p->a->sim, "/faults",
             "{\"method\":\"GET\",\"path\":\"" SIM_ALERT "\",\"kind\":\"answer\",\"status\":503}");
    answer = house_push(p->a, "da1_-1", NULL, 202);
    json_free(sim_wait_calls(p->a->sim, "GET", SIM_ALERT, 1, SOON));
    house_cordon_kill(p->a);
    sim_delete(p->a->sim, "/faults");
    schema = postgres_sql("SELECT relnamespace::regnamespace FROM pg_class WHERE relname = "
                          "'work' ORDER BY oid DESC LIMIT 1");
    (void)snprintf(sql, sizeof sql,
                   "UPDATE %s.work SET due = due + 10800000, owner = NULL WHERE kind = 0", schema);
    free(postgres_sql(sql));
    free(schema);
    house_cordon_start(p->a);
    json_free(sim_wait_isolated(p->a->sim, 1, SOON));
    house_cordon_start(p->b);
}

/* What is accepted is on disk, says cordon; a database that never waits for its disk makes that untrue, and nobody hears of it from
 * elsewhere. The one of this test is such a one. */
static void test_replicas__a_database_that_does_not_wait_for_its_disk_is_told_of(void **state)
{
    struct pair *p = *state;
    char *out = NULL;

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    (void)house_run(p->a, &out, (const char *const[]){"doctor", "-c", p->a->config_file, NULL});
    assert_non_null(strstr(out, "fsync=off"));
    free(out);
    house_wait_log(p->a, "fsync=off", 1, SOON);
}

/* The one that was told is gone, and the other one knows. */
static void test_replicas__a_pause_holds_for_all(void **state)
{
    struct pair *p = *state;
    AUTO(json_freep) struct json *answer = NULL, *held = NULL;
    char retry[60];

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    assert_int_equal(house_order(p->a, "/api/pause", "{\"by\":\"maria\",\"why\":\"a drill\"}"),
                     200);
    house_cordon_kill(p->a);
    answer = house_push(p->b, "da1_-1", NULL, 202);
    held = house_wait_case(p->b, answer, "done", LEASED);
    /* That it is paused, which may have been in a's hand, and what was not isolated. */
    json_free(sim_wait_mails(p->b->sim, 2, LEASED));
    assert_int_equal(sim_count_calls(p->b->sim, "POST", SIM_ISOLATE), 0);
    assert_int_equal(house_order(p->b, "/api/resume", "{\"by\":\"joe\"}"), 200);
    (void)snprintf(retry, sizeof retry, "/api/cases/%s/retry", json_get_string(held, "id"));
    assert_int_equal(house_order(p->b, retry, "{\"by\":\"joe\"}"), 200);
    json_free(sim_wait_isolated(p->b->sim, 1, LEASED));
    assert_int_equal(sim_state(p->b->sim, "isolate_posts"), 1);
}

static int status_of(const char *url)
{
    struct fetched f;
    int status;

    (void)fetch(&f, "GET", url, NULL, NULL, 0, 60000);
    status = f.status;
    fetched_clear(&f);
    return status;
}

static void test_replicas__one_that_is_cut_off_takes_nothing_and_comes_back(void **state)
{
    struct pair *p = *state;
    AUTO(json_freep) struct json *answer = NULL;
    struct fetched f;
    char url[300];

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    cut_now(p->cut, true);
    (void)house_post(p->b, "msg_1", "{\"alertId\":\"da1_-1\"}", &f);
    assert_true(f.status == 0 || f.status == 503); /* no promise */
    fetched_clear(&f);
    (void)snprintf(url, sizeof url, "%s/readyz", p->b->admin);
    LOOK_FOR(status_of(url) == 503, LEASED, "it has not noticed");
    answer = house_push(p->a, "da2_-1", NULL, 202); /* the other one goes on */
    json_free(house_wait_case(p->a, answer, "done", SOON));
    cut_now(p->cut, false);
    LOOK_FOR(status_of(url) == 200, LEASED, "it does not get ready again by itself");
    (void)house_post(p->b, "msg_1", "{\"alertId\":\"da1_-1\"}", &f);
    assert_true(f.status == 202 || f.status == 200); /* its sender came again */
    fetched_clear(&f);
    json_free(sim_wait_isolated(p->a->sim, 2, SOON));
    house_wait_quiet(p->b, LEASED);
    assert_int_equal(sim_state(p->a->sim, "isolate_posts"), 2);
}

/* PostgreSQL stores whole characters alone. What cannot be written would be sent again and again, and told as failing to
 * nobody. */
static void test_replicas__what_a_far_end_says_is_cut_at_a_character(void **state)
{
    static const struct postgres_options options = {.tcp = true};
    struct buf body = BUF_INIT(2000);
    char url[POSTGRES_URL_MAX];
    struct house *h;

    (void)state;
    if (!postgres_start(&options)) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    for (int i = 0; i < 300; i++)
        buf_adds(&body, "\u65e5");
    h = house_start(&(struct house_options){
        .store_url = postgres_url(url),
        .rules = "  - name: tell\n    do: [webhook: {to: siem}]\n",
        .more = "webhooks:\n  siem: {url: 'http://127.0.0.1:1/', template: slack}\n",
        .not_yet = true,
    });
    (void)snprintf(url, sizeof url, "'%s/sink/siem'", h->sim->api_url);
    house_edit(h, "'http://127.0.0.1:1/'", url);
    sim_tell(h->sim, "/sinks", "{\"name\":\"siem\",\"kind\":\"slack\"}");
    house_cordon_start(h);
    sim_tell(h->sim, "/machines", "{\"id\":\"9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f0\"}");
    for (unsigned lead = 0; lead < 3; lead++) { /* one of them ends between characters */
        sim_tellf(h->sim, "/faults",
                  "{\"path\":\"/sink/siem\",\"kind\":\"answer\",\"status\":503,\"count\":1,"
                  "\"body\":\"%.*s%s\"}",
                  (int)lead, "xx", buf_text(&body));
        sim_tellf(h->sim, "/alerts", "{\"id\":\"da%u_-1\",\"severity\":\"Low\"}", lead);
        (void)snprintf(url, sizeof url, "da%u_-1", lead);
        json_free(house_push(h, url, NULL, 202));
        json_free(sim_wait_calls(h->sim, "POST", "/sink/siem", 2 * lead + 1, SOON));
        house_wait_log(h, "\"event\":\"mail_failed\"", lead + 1, SOON);
        json_free(sim_wait_calls(h->sim, "POST", "/sink/siem", 2 * lead + 2, 60000));
    }
    house_wait_idle(h, SOON);
    house_log_lacks(h, "notice_not_written");
    house_stop(h);
    buf_clear(&body);
}

/* Reloaded with polling, which the store does not take. Returns the schema (heap) in which its table is called "away". */
static char *begin_polling_in_vain(struct house *h)
{
    char *schema = postgres_sql("SELECT relnamespace::regnamespace FROM pg_class WHERE relname = "
                                "'polls' ORDER BY oid DESC LIMIT 1");
    char sql[200];

    (void)snprintf(sql, sizeof sql, "ALTER TABLE %s.polls RENAME TO away", schema);
    free(postgres_sql(sql));
    house_edit(h, "\nrules:", "\npolling: {every: 10s}\nrules:");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"not_begun\"", 1, SOON);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    return schema;
}

/* What a reload has to put into the store for a round to begin is tried until the store takes it: nobody reloads again for
 * a database that was away for a moment. */
static void test_replicas__a_reload_begins_its_rounds_when_the_store_is_back(void **state)
{
    struct pair *p = *state;
    char sql[200];
    char *schema;

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    schema = begin_polling_in_vain(p->a);
    (void)snprintf(sql, sizeof sql, "ALTER TABLE %s.away RENAME TO polls", schema);
    free(postgres_sql(sql));
    house_wait_log(p->a, "\"event\":\"begun_after_all\"", 1, SOON);
    json_free(sim_wait_calls(p->a->sim, "GET", "/api/alerts", 1, SOON));
    free(schema);
}

/* So is who came into mail.to while a question is open: he hears of it before its time is over, and needs no other reload. */
static void test_replicas__who_comes_while_the_store_is_away_is_asked_when_it_is_back(void **state)
{
    static const struct postgres_options options = {.tcp = true};
    char url[POSTGRES_URL_MAX], sql[400], id[20];
    struct house *h;
    char *schema;

    (void)state;
    if (!postgres_start(&options)) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    h = house_start(&(struct house_options){
        .store_url = postgres_url(url),
        .rules = "  - name: contain\n    do: [ask: {}, isolate: {}, email: {}]\n"});
    sim_tell(h->sim, "/machines", "{\"id\":\"9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f0\"}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"da0_-1\",\"severity\":\"High\","
             "\"machineId\":\"9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f0\"}");
    json_free(house_push(h, "da0_-1", NULL, 202));
    house_wait_question(h, 1, id);
    json_free(sim_wait_mails(h->sim, 1, SOON));
    schema = postgres_sql("SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'work'"
                          " ORDER BY oid DESC LIMIT 1");
    (void)snprintf(sql, sizeof sql,
                   "CREATE FUNCTION %s.away() RETURNS trigger LANGUAGE plpgsql AS"
                   " $$ BEGIN RAISE EXCEPTION 'away'; END $$; CREATE TRIGGER away BEFORE UPDATE ON"
                   " %s.work FOR EACH ROW WHEN (OLD.kind = 8) EXECUTE FUNCTION %s.away()",
                   schema, schema, schema); /* WORK_QUESTION */
    free(postgres_sql(sql));
    house_edit(h, "to: [soc@contoso.example]", "to: [soc@contoso.example, new@contoso.example]");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    (void)snprintf(sql, sizeof sql, "DROP TRIGGER away ON %s.work", schema);
    free(postgres_sql(sql));
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
    const struct json *second = json_next(json_first(json_get(mails, "mails")));
    assert_string_equal(json_string(json_first(json_get(second, "rcpt"))), "new@contoso.example");
    house_stop(h);
    free(schema);
}

/* Has h's process ended by itself? It must be with this code. */
static bool has_ended(struct house *h, int code)
{
    siginfo_t info = {0};

    assert_int_equal(waitid(P_PID, (id_t)h->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    if (info.si_pid && (info.si_code != CLD_EXITED || info.si_status != code))
        fail_msg("it ended with %s %d, not with code %d",
                 info.si_code == CLD_EXITED ? "code" : "signal", info.si_status, code);
    return info.si_pid != 0;
}

/* Nor does the reload itself, which waits for the policy to be kept there: whoever gave the order was told by nobody that it came
 * to nothing. */
static void test_replicas__a_reload_is_done_when_the_store_is_back(void **state)
{
    struct pair *p = *state;
    char url[300];

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    cut_now(p->cut, true);
    (void)snprintf(url, sizeof url, "%s/readyz", p->b->admin);
    LOOK_FOR(status_of(url) == 503, LEASED, "it has not noticed");
    house_edit(p->b, "\nrules:", "\npolling: {every: 10s}\nrules:");
    house_cordon_signal(p->b, SIGHUP);
    house_wait_log(p->b, "\"event\":\"reload_refused\"", 1, LEASED);
    assert_int_equal(sim_count_calls(p->b->sim, "GET", "/api/alerts"), 0);
    cut_now(p->cut, false);
    house_wait_log(p->b, "\"event\":\"reloaded\"", 1, SOON);
    json_free(sim_wait_calls(p->b->sim, "GET", "/api/alerts", 1, SOON));
}

/* Nor does it wait for such a database, each second or for a reload, deaf to whoever wants it to end, or to end at once. */
static void test_replicas__a_store_that_is_away_keeps_no_signal_waiting(void **state)
{
    struct pair *p = *state;
    char url[300];

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    free(begin_polling_in_vain(p->b));
    cut_now(p->cut, true);
    (void)snprintf(url, sizeof url, "%s/readyz", p->b->admin);
    LOOK_FOR(status_of(url) == 503, LEASED, "it has not noticed");
    house_cordon_signal(p->b, SIGHUP); /* the policy goes into the store: five seconds at least */
    house_cordon_signal(p->b, SIGTERM);
    house_wait_log(p->b, "\"event\":\"stopping\"", 1, 4500);
    house_cordon_signal(p->b, SIGTERM);
    LOOK_FOR(has_ended(p->b, 128 + SIGTERM), 4500, "it does not end at once");
    house_cordon_kill(p->b); /* only reaps it */
    cut_now(p->cut, false);
}

/* Nor does the end wait for it, whatever has to: it comes before `docker stop` loses its patience. */
static void test_replicas__a_store_that_hangs_keeps_no_end_waiting(void **state)
{
    struct pair *p = *state;
    struct fetched f;

    if (!p) {
        skip();
        return; /* for the analyzer: skip() does not come back */
    }
    cut_now(p->cut, true); /* its connections are there still */
    house_cordon_signal(p->b, SIGHUP);
    house_cordon_signal(p->b, SIGTERM);
    house_wait_log(p->b, "\"event\":\"stopping\"", 1, SOON);
    LOOK_FOR(has_ended(p->b, 0), 10000, "it does not end");
    house_wait_log(p->b, "\"waited_for\":\"", 1, SOON);
    house_cordon_kill(p->b); /* only reaps it */
    cut_now(p->cut, false);
    house_cordon_start(p->b);
    (void)house_post(p->b, NULL, "{\"alertId\":\"da1_-1\"}", &f);
    assert_int_equal(f.status, 202);
    fetched_clear(&f);
    json_free(sim_wait_isolated(p->a->sim, 1, LEASED));
}

#define T(name) cmocka_unit_test_setup_teardown(test_replicas__##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_delivery_is_one_whoever_gets_it),
        T(what_a_dead_one_held_is_done_by_another),
        T(a_clock_set_back_while_none_runs_delays_no_case),
        T(a_database_that_does_not_wait_for_its_disk_is_told_of),
        T(a_pause_holds_for_all),
        T(one_that_is_cut_off_takes_nothing_and_comes_back),
        T(a_reload_begins_its_rounds_when_the_store_is_back),
        T(a_reload_is_done_when_the_store_is_back),
        T(a_store_that_is_away_keeps_no_signal_waiting),
        T(a_store_that_hangs_keeps_no_end_waiting),
        cmocka_unit_test(test_replicas__what_a_far_end_says_is_cut_at_a_character),
        cmocka_unit_test(test_replicas__who_comes_while_the_store_is_away_is_asked_when_it_is_back),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    postgres_stop();
    return failed;
}
