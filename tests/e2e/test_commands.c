/* test_commands.c - cordon as its operators meet it: from `init` to the isolated machine, and what the
 * commands say of it. Logs are written at the level debug: no secret of the whole run may be in them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "kit/house.h"
#include "kit/program.h"

#define MACHINE "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4"
#define SOON    20000 /* ms; a deadline, not a wait */

/* ---- running ------------------------------------------------------------------------------------- */

/* cordon WORDS..., NULL-terminated; ran_clear it. */
static void cordon(struct ran *ret, const char *const *words)
{
    const char *build = getenv("CORDON_BUILD");
    const char *argv[16] = {NULL};
    char exe[400];

    (void)snprintf(exe, sizeof exe, "%s/cordon", build ? build : "./build");
    argv[0] = exe;
    for (size_t i = 0; i < 14 && words[i]; i++)
        argv[i + 1] = words[i];
    program_run(ret, NULL, NULL, argv);
}

/* The same, which must end with this code; what it wrote to stdout (stderr when it failed). Heap. */
static char *says(int code, const char *const *words)
{
    struct ran ran;
    char *text;

    cordon(&ran, words);
    if (ran.code != code)
        fail_msg("cordon %s %s: exit code %d instead of %d:\n%s%s", words[0],
                 words[1] ? words[1] : "", ran.code, code, ran.out, ran.err);
    text = strdup(code ? ran.err : ran.out);
    assert_non_null(text);
    ran_clear(&ran);
    return text;
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

/* And it says so. */
static void assert_says(int code, const char *what, const char *const *words)
{
    char *text = says(code, words);

    if (!strstr(text, what))
        fail_msg("cordon %s: no '%s' in\n%s", words[0], what, text);
    free(text);
}

static struct json *parsed(const char *text)
{
    struct json *doc = NULL;

    if (json_parse(text, strlen(text), &doc, NULL))
        fail_msg("no JSON: %s", text);
    return doc;
}

/* What a command shows with --json is what the API gives. */
static void assert_as_the_api(struct house *h, const char *path, const char *member,
                              const char *const *words)
{
    char *text = says(0, words);
    AUTO(json_freep) struct json *shown = parsed(text), *given = house_get(h, path);
    struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);

    json_write(&a, member ? json_get(shown, member) : shown);
    json_write(&b, member ? json_get(given, member) : given);
    assert_string_equal(buf_text(&a), buf_text(&b));
    assert_true(a.len > 10);
    buf_clear(&a);
    buf_clear(&b);
    free(text);
}

/* ---- from init to the isolated machine ----------------------------------------------------------- */

/* What whoever runs `init` fills in, here with the simulator's names. Doors are Unix sockets: no two runs
 * share a port. */
static void fill_in(struct house *h)
{
    char text[1000];

    house_edit(h, "${CORDON_TENANT_ID:-00000000-0000-0000-0000-000000000000}", h->sim->tenant_id);
    house_edit(h, "${CORDON_CLIENT_ID:-00000000-0000-0000-0000-000000000000}", h->sim->client_id);
    (void)snprintf(text, sizeof text,
                   "    api_url: %s\n    api_scope: %s\n    login_url: %s\n    cloud: public ",
                   h->sim->api_url, h->sim->api_scope, h->sim->login_url);
    house_edit(h, "    cloud: public ", text);
    house_edit(h, "smtp://${CORDON_MAIL_HOST:-localhost}:${CORDON_MAIL_PORT:-25}",
               h->sim->smtp_url);
    house_edit(h, "  # group: {by: [incident, machine, rule], wait: 30s, interval: 5m}",
               "  group: {interval: 0}");
    (void)snprintf(text, sizeof text, "  url: sqlite:%s\n", h->store_file);
    house_edit(h, "  url: sqlite:cordon.db\n", text);
    (void)snprintf(text, sizeof text, "  address: unix:%s/in.sock\n", h->dir);
    house_edit(h, "  address: 127.0.0.1:8080\n", text);
    (void)snprintf(text, sizeof text, "  address: unix:%s/people.sock\n", h->dir);
    house_edit(h, "  address: 127.0.0.1:9180\n", text);
}

static void write_secrets(struct house *h)
{
    char folder[400];

    (void)snprintf(folder, sizeof folder, "%s/secrets", h->dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    free(house_write_file(h, "secrets/defender", h->sim->client_secret));
    free(house_write_file(h, "secrets/relay", h->secret));
}

/* A house whose configuration is what `init` wrote, filled in; not started. */
static struct house *house_by_init(void)
{
    static const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);

    assert_int_equal(unlink(h->config_file), 0);
    free(says(0, WORDS("init", h->config_file)));
    fill_in(h);
    write_secrets(h);
    return h;
}

/* Takes down what the simulator does not know of in its folder. */
static void house_leave(struct house *h)
{
    static const char *const files[] = {"defender", "relay", "newer", "admin-token", "others"};
    char path[400];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/secrets/%s", h->dir, files[i]);
        (void)unlink(path); /* not every test has all */
    }
    (void)snprintf(path, sizeof path, "%s/secrets", h->dir);
    assert_int_equal(rmdir(path), 0);
    house_stop(h);
}

static void add_alert(struct house *h, const char *id)
{
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"computerDnsName\":\"ws-114\"}");
    sim_tellf(h->sim, "/alerts",
              "{\"id\":\"%s\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}", id);
}

/* Nothing that proves who somebody is. */
static void assert_discreet(struct house *h)
{
    house_log_lacks(h, h->sim->client_secret);
    house_log_lacks(h, h->secret + strlen("whsec_"));
    house_log_lacks(h, "whsec_");
    house_log_lacks(h, "v1,"); /* signatures */
    house_log_lacks(h, "eyJ"); /* tokens: {" in base64url */
    house_log_lacks(h, "Bearer ");
}

static void test_commands__init_check_serve_send(void **state)
{
    static const struct house_options o = {.not_yet = true};
    struct house *h = house_start(&o);
    const char *config = h->config_file;

    (void)state;
    assert_int_equal(unlink(config), 0);
    assert_says(0, "cordon check -c", WORDS("init", config));
    assert_says(1, "is left alone", WORDS("init", config));
    assert_says(1, "secrets/defender", WORDS("check", "-c", config));
    assert_says(1, "secrets/relay", WORDS("check", "-c", config));
    assert_says(1, "cordon.yaml:", WORDS("check", "-c", config)); /* file:line:column */
    write_secrets(h);
    assert_says(0, "tenant_id", WORDS("check", "-c", config)); /* a note: it is all zeros */
    fill_in(h);
    assert_says(0, "good", WORDS("check", "-c", config));
    assert_says(0, "\"good\":true", WORDS("check", "--json", "-c", config));

    house_cordon_start(h);
    add_alert(h, "da1_-1");
    assert_says(0, "HTTP 202 {\"status\":\"accepted\"",
                WORDS("send", "-c", config, "--source", "relay", "--alert", "da1_-1", "--machine",
                      MACHINE));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 2, SOON);
    assert_int_equal(json_count(json_get(mails, "mails")), 2);
    assert_says(0, "HTTP 200 {\"status\":\"duplicate\"",
                WORDS("send", "-c", config, "--source", "relay", "--alert", "da1_-1"));
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    assert_discreet(h);
    house_leave(h);
}

static void test_commands__the_printed_curl_line_pushes(void **state)
{
    struct house *h = house_by_init();
    const char *argv[] = {"/bin/sh", "-c", NULL, NULL}, *at;
    char *line, signature[45];
    struct ran ran;

    (void)state;
    house_cordon_start(h);
    add_alert(h, "da1_-1");
    line = says(0, WORDS("send", "-c", h->config_file, "--source", "relay", "--alert", "da1_-1",
                         "--print-curl"));
    assert_int_equal(sim_count_calls(h->sim, NULL, "/api/alerts/*"), 0); /* printed, not sent */
    assert_null(strstr(line, h->secret));
    at = strstr(line, "v1,");
    assert_non_null(at);
    (void)snprintf(signature, sizeof signature, "%s", at + 3);
    argv[2] = line;
    program_run(&ran, h->dir, NULL, argv);
    if (ran.code == 127) {
        print_message("  SKIPPED: curl is missing\n");
    } else {
        if (ran.code || !strstr(ran.out, "202"))
            fail_msg("%s\n%d: %s%s", line, ran.code, ran.out, ran.err);
        json_free(sim_wait_isolated(h->sim, 1, SOON));
        house_log_lacks(h, signature);
    }
    ran_clear(&ran);
    free(line);
    assert_discreet(h);
    house_leave(h);
}

/* ---- looking ------------------------------------------------------------------------------------- */

static void test_commands__lists_show_what_the_api_says(void **state)
{
    struct house *h = house_by_init();
    const char *config = h->config_file, *id;
    char path[100];

    (void)state;
    house_cordon_start(h);
    assert_says(0, "CASE", WORDS("cases", "list", "-c", config)); /* nothing yet */
    add_alert(h, "da1_-1");
    add_alert(h, "da2_-1");
    AUTO(json_freep) struct json *first = house_push(h, "da1_-1", MACHINE, 202);
    AUTO(json_freep) struct json *one = house_wait_case(h, first, "done", SOON);
    AUTO(json_freep) struct json *second = house_push(h, "da2_-1", MACHINE, 202);
    AUTO(json_freep) struct json *two = house_wait_case(h, second, "done", SOON);
    AUTO(json_freep) struct json *mails = sim_wait_mails(h->sim, 3, SOON);

    assert_non_null(two);
    assert_non_null(mails);
    id = json_get_string(one, "id");
    (void)snprintf(path, sizeof path, "/api/cases/%s", id);
    assert_says(0, "da1_-1", WORDS("cases", "list", "-c", config));
    assert_says(0, "da2_-1", WORDS("cases", "list", "-c", config));
    assert_says(0, "contain-high", WORDS("cases", "list", "-c", config));
    assert_as_the_api(h, "/api/cases", "cases", WORDS("cases", "list", "--json", "-c", config));
    assert_as_the_api(h, "/api/cases?limit=1", "cases",
                      WORDS("cases", "list", "--limit", "1", "--json", "-c", config));
    assert_says(0, "\"cases\":[]",
                WORDS("cases", "list", "--state", "failed", "--json", "-c", config));
    assert_says(0, "da1_-1", WORDS("cases", "show", id, "-c", config));
    assert_says(0, "isolated", WORDS("cases", "show", id, "-c", config));
    assert_as_the_api(h, path, NULL, WORDS("cases", "show", id, "--json", "-c", config));
    /* by the id that the portal shows */
    assert_as_the_api(h, path, NULL, WORDS("cases", "show", "da1_-1", "--json", "-c", config));
    assert_says(0, id, WORDS("cases", "explain", "da1_-1", "-c", config));
    assert_says(0, "Subject: [", WORDS("notify", "preview", "da1_-1", "-c", config));
    assert_says(1, "there is no case 'da1'", WORDS("cases", "show", "da1", "-c", config));
    assert_says(0, "Subject: [", WORDS("notify", "preview", id, "-c", config));
    assert_says(0, "Next: ", WORDS("notify", "preview", id, "--text", "-c", config));
    assert_says(0, "<!DOCTYPE html>", WORDS("notify", "preview", id, "--html", "-c", config));
    assert_says(1, "no digest", WORDS("notify", "preview", id, "--digest", "-c", config));
    assert_says(1, "case 'nosuchcase'", WORDS("notify", "preview", "nosuchcase", "-c", config));
    assert_says(1, "there is no case 'nosuchcase'",
                WORDS("cases", "show", "nosuchcase", "-c", config));
    assert_says(0, "ws-114", WORDS("isolations", "list", "-c", config));
    assert_as_the_api(h, "/api/isolations", "isolations",
                      WORDS("isolations", "list", "--json", "-c", config));
    assert_as_the_api(h, "/api/isolations?open=1", "isolations",
                      WORDS("isolations", "list", "--open", "--json", "-c", config));
    assert_discreet(h);
    house_leave(h);
}

/* ---- ordering ------------------------------------------------------------------------------------ */

static struct json *pushed_case(struct house *h, const char *alert, const char *state)
{
    AUTO(json_freep) struct json *answer = house_push(h, alert, MACHINE, 202);

    return house_wait_case(h, answer, state, SOON);
}

static void test_commands__a_failed_case_is_tried_again_once_its_cause_is_gone(void **state)
{
    struct house *h = house_by_init();
    const char *config = h->config_file, *id;
    char path[100];

    (void)state;
    house_cordon_start(h);
    add_alert(h, "da1_-1");
    sim_tell(h->sim, "/faults", "{\"path\":\"/api/alerts/*\",\"kind\":\"forbidden\",\"count\":1}");
    AUTO(json_freep) struct json *failed = pushed_case(h, "da1_-1", "failed");
    id = json_get_string(failed, "id");
    (void)snprintf(path, sizeof path, "/api/cases/%s", id);
    assert_says(0, id, WORDS("cases", "list", "--state", "failed", "-c", config));
    assert_says(0, "begins anew",
                WORDS("cases", "retry", "da1_-1", "--why", "permission granted", "-c", config));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    json_free(sim_wait_mails(h->sim, 3, SOON)); /* not isolated; requested; isolated */
    AUTO(json_freep) struct json *done = house_get(h, path);
    assert_string_equal(json_get_string(done, "state"), "done");
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_wait_log(h, "\"event\":\"case_retried\"", 1, SOON);
    house_wait_log(h, "permission granted", 1, SOON);
    assert_says(1, "all its steps were done", WORDS("cases", "retry", id, "-c", config));
    assert_says(1, "there is no case", WORDS("cases", "retry", "nosuchcase", "-c", config));
    assert_discreet(h);
    house_leave(h);
}

static void test_commands__what_was_withheld_is_judged_anew(void **state)
{
    struct house *h = house_by_init();
    const char *config = h->config_file, *id;

    (void)state;
    house_cordon_start(h);
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"machineTags\":[\"no-isolate\"]}");
    sim_tell(h->sim, "/alerts",
             "{\"id\":\"da1_-1\",\"severity\":\"High\",\"machineId\":\"" MACHINE "\"}");
    AUTO(json_freep) struct json *told = pushed_case(h, "da1_-1", "done");
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    id = json_get_string(told, "id");
    sim_tell(h->sim, "/machines", "{\"id\":\"" MACHINE "\",\"machineTags\":[]}");
    free(says(0, WORDS("cases", "retry", id, "-c", config)));
    json_free(sim_wait_isolated(h->sim, 1, SOON));
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 1);
    house_wait_quiet(h, SOON);
    house_leave(h);
}

static void test_commands__a_dropped_case_is_let_go(void **state)
{
    struct house *h = house_by_init();
    const char *config = h->config_file, *id;
    char path[100];

    (void)state;
    house_cordon_start(h);
    add_alert(h, "da1_-1");
    sim_tell(h->sim, "/faults", "{\"path\":\"/api/alerts/*\",\"kind\":\"error\",\"count\":-1}");
    AUTO(json_freep) struct json *waits = pushed_case(h, "da1_-1", "expanding");
    id = json_get_string(waits, "id");
    (void)snprintf(path, sizeof path, "/api/cases/%s", id);
    assert_says(2, "--why", WORDS("cases", "drop", id, "-c", config));
    assert_says(0, "dropped", WORDS("cases", "drop", id, "--why", "a drill", "-c", config));
    sim_delete(h->sim, "/faults");
    AUTO(json_freep) struct json *dropped = house_get(h, path);
    assert_string_equal(json_get_string(dropped, "state"), "dropped");
    assert_non_null(strstr(json_get_string(dropped, "why"), "a drill"));
    assert_says(1, "dropped already", WORDS("cases", "drop", id, "--why", "again", "-c", config));
    json_free(house_push(h, "da1_-1", MACHINE, 200)); /* known: nothing new */
    assert_int_equal(sim_state(h->sim, "isolate_posts"), 0);
    house_leave(h);
}

static void test_commands__every_metric_of_a_running_server_is_explained(void **state)
{
    struct house *h = house_start(NULL);
    char url[300], *text = says(0, WORDS("metrics", "--json"));
    AUTO(json_freep) struct json *table = parsed(text), *answer = NULL;
    struct fetched f;
    unsigned seen = 0;

    (void)state;
    add_alert(h, "da1_-1");
    answer = house_push(h, "da1_-1", MACHINE, 202);
    json_free(house_wait_case(h, answer, "done", SOON));
    json_free(sim_wait_mails(h->sim, 2, SOON));
    (void)snprintf(url, sizeof url, "%s/metrics", h->admin);
    (void)fetch(&f, "GET", url, NULL, NULL, 0, SOON);
    assert_int_equal(f.status, 200);
    for (char *rest = f.body, *line; (line = strsep(&rest, "\n")) != NULL;) {
        size_t len = strcspn(line, "{ ");
        const struct json *row = NULL;

        if (!*line || *line == '#')
            continue;
        JSON_EACH (m, table)
            if (strlen(json_get_string(m, "name")) == len &&
                strncmp(json_get_string(m, "name"), line, len) == 0)
                row = m;
        if (!row)
            fail_msg("`cordon metrics` does not know %s", line);
        JSON_EACH (label, json_get(row, "labels")) {
            char want[100];

            (void)snprintf(want, sizeof want, "%s=\"", json_string(label));
            if (!strstr(line, want))
                fail_msg("no label %s in %s", json_string(label), line);
        }
        seen++;
    }
    assert_true(seen > 20);
    fetched_clear(&f);
    free(text);
    house_stop(h);
}

/* ---- changing ------------------------------------------------------------------------------------ */

static void test_commands__a_new_secret_works_after_a_sighup(void **state)
{
    struct house *h = house_by_init();
    char *newer;

    (void)state;
    house_cordon_start(h);
    for (int i = 1; i <= 4; i++) {
        char id[20];

        (void)snprintf(id, sizeof id, "da%d_-1", i);
        add_alert(h, id);
    }
    newer = says(0, WORDS("keygen"));
    assert_int_equal(strncmp(newer, "whsec_", 6), 0);
    free(house_write_file(h, "secrets/newer", newer)); /* with its line end, as `>` writes it */
    newer[strcspn(newer, "\n")] = '\0';

    /* a faulty file changes nothing */
    house_edit(h, "[secrets/relay]", "[secrets/no-such-file]");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reload_refused\"", 1, SOON);
    json_free(house_push(h, "da1_-1", MACHINE, 202));

    /* both are good, and send takes the newest */
    house_edit(h, "[secrets/no-such-file]", "[secrets/newer, secrets/relay]");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 1, SOON);
    assert_says(0, "HTTP 202",
                WORDS("send", "-c", h->config_file, "--source", "relay", "--alert", "da2_-1"));
    json_free(house_push(h, "da3_-1", MACHINE, 202));

    /* and then the old one is over */
    house_edit(h, "[secrets/newer, secrets/relay]", "[secrets/newer]");
    house_cordon_signal(h, SIGHUP);
    house_wait_log(h, "\"event\":\"reloaded\"", 2, SOON);
    json_free(house_push(h, "da4_-1", MACHINE, 401));
    assert_says(0, "HTTP 202",
                WORDS("send", "-c", h->config_file, "--source", "relay", "--alert", "da4_-1"));
    house_wait_quiet(h, SOON);
    house_log_lacks(h, newer + strlen("whsec_"));
    assert_discreet(h);
    explicit_bzero(newer, strlen(newer));
    free(newer);
    house_leave(h);
}

#define ADMIN_TOKEN "Zk3vQm9xL1bW6nR2cY8pT4"

static void test_commands__the_admin_token_is_shown_and_kept(void **state)
{
    struct house *h = house_by_init();
    const char *config = h->config_file;
    struct fetched f;
    char url[300];

    (void)state;
    house_edit(h, "  # token_file: secrets/admin-token\n",
               "  token_file: \"secrets/${TOKEN:-admin-token}\"\n");
    free(house_write_file(h, "secrets/admin-token", ADMIN_TOKEN "\n"));
    free(house_write_file(h, "secrets/others", "another one, of other people"));
    house_cordon_start(h);
    assert_says(0, "\"cases\":[]", WORDS("cases", "list", "--json", "-c", config));
    (void)snprintf(url, sizeof url, "%s/api/cases", h->admin);
    (void)fetch(&f, "GET", url, NULL, NULL, 0, SOON);
    assert_int_equal(f.status, 401);
    fetched_clear(&f);
    (void)setenv("TOKEN", "others", 1); /* which the server has not got, nor watches */
    assert_says(1, "does it run with another configuration?", WORDS("cases", "list", "-c", config));
    (void)unsetenv("TOKEN");
    house_log_lacks(h, ADMIN_TOKEN);
    house_log_lacks(h, "of other people");
    assert_discreet(h);
    house_leave(h);
}

/* ---- what goes wrong ----------------------------------------------------------------------------- */

static void test_commands__against_a_stopped_server_they_say_the_cure(void **state)
{
    struct house *h = house_by_init();
    const char *config = h->config_file;

    (void)state;
    for (int i = 0; i < 2; i++) { /* never started; stopped */
        assert_says(1, "Start it with `cordon serve`", WORDS("cases", "list", "-c", config));
        assert_says(1, "Start it with `cordon serve`", WORDS("cases", "show", "x", "-c", config));
        assert_says(1, "Start it with `cordon serve`",
                    WORDS("isolations", "list", "--json", "-c", config));
        assert_says(1, "is cordon running there?",
                    WORDS("send", "-c", config, "--source", "relay", "--alert", "da1_-1"));
        if (i)
            break;
        house_cordon_start(h);
        free(says(0, WORDS("cases", "list", "-c", config)));
        house_cordon_stop(h);
    }
    house_leave(h);
}

static void test_commands__wrong_usage_exits_with_2(void **state)
{
    static const char *const rows[][10] = {
        {"frobnicate"},
        {"serve", "now"},
        {"serve", "--port", "80"},
        {"init", "a", "b"},
        {"check", "--jsn"},
        {"send"},
        {"send", "--source", "relay"},
        {"send", "--alert", "x"},
        {"keygen", "--rsa"},
        {"cases"},
        {"cases", "lst"},
        {"cases", "show"},
        {"cases", "retry"},
        {"cases", "drop", "x"},
        {"cases", "drop", "x", "--why", ""},
        {"cases", "drop", "x", "--why", " "},
        {"isolations", "release", "m", "--why", ""},
        {"isolations", "extend", "m"},
        {"isolations", "extend", "m", "--for", "1s"},
        {"isolations", "extend", "m", "--for", "367d"},
        {"isolations", "extend", "m", "--for", "soon"},
        {"silences", "add", "--when", "x", "--why", "w", "--for", "0s"},
        {"silences", "add", "--when", "x", "--why", "w", "--for", "31d"},
        {"silences", "add", "--when", "x", "--why", "w", "--for", "long"},
        {"silences", "add", "--when", "x", "--why", "w", "--until", "yesterday"},
        {"silences", "add", "--when", "x", "--why", "w", "--until", "2020-01-01T00:00:00Z"},
        {"silences", "add", "--when", "x", "--why", "", "--for", "1h"},
        {"silences", "end", "x", "--why", ""},
        {"send", "--source", "relay", "--alert", ""},
        {"send", "--source", "relay", "--alert", "da1 x", "--print-curl"},
        {"send", "--source", "relay", "--alert", "da1", "--print-curl", "--json"},
        {"cases", "list", "--state", "open"},
        {"cases", "list", "--limit", "-1"},
        {"isolations"},
        {"isolations", "list", "--opn"},
        {"metrics", "all"},
        {"metrics", "--jsn"},
        {"fields", "a", "b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = says(2, rows[i]);

        assert_int_equal(strncmp(text, "cordon", 6), 0);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands__init_check_serve_send),
        cmocka_unit_test(test_commands__the_printed_curl_line_pushes),
        cmocka_unit_test(test_commands__lists_show_what_the_api_says),
        cmocka_unit_test(test_commands__a_failed_case_is_tried_again_once_its_cause_is_gone),
        cmocka_unit_test(test_commands__what_was_withheld_is_judged_anew),
        cmocka_unit_test(test_commands__a_dropped_case_is_let_go),
        cmocka_unit_test(test_commands__every_metric_of_a_running_server_is_explained),
        cmocka_unit_test(test_commands__a_new_secret_works_after_a_sighup),
        cmocka_unit_test(test_commands__the_admin_token_is_shown_and_kept),
        cmocka_unit_test(test_commands__against_a_stopped_server_they_say_the_cure),
        cmocka_unit_test(test_commands__wrong_usage_exits_with_2),
    };

    (void)setenv("CORDON_LOG_LEVEL", "debug", 1); /* of `serve`; the commands do not get it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
