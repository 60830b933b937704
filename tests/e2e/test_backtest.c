/* test_backtest.c - 3,000 alerts of the past against a policy: what the command counts is what is counted here by
 * hand, out of what the simulator holds; Defender sees reads and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kit/house.h"

#define ALERTS 3000
#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const char rules[] =
    "  - {name: vip, when: {machine.tags: vip}, do: [email: {}]}\n"
    "  - {name: contain, when: {alert.severity: High}, do: [isolate: {}, email: {}]}\n"
    "  - name: review\n"
    "    when: {alert.severity: Medium, machine.os: {glob: 'Windows1*'}}\n"
    "    do: [isolate: {type: selective}, email: {}]\n"
    "  - {name: tell, do: [email: {}]}\n";
static const char safety[] = "  mode: shadow\n" /* left out of account, … */
                             "  canary: 4\n"    /* … and so is this */
                             "  protected:\n"
                             "    - machine.os: {glob: '*Server*'}\n"
                             "    - machine.value: High\n"
                             "  limits:\n"
                             "    - {isolations: 7, per: 1h}\n"
                             "    - {isolations: 30, per: 24h}\n";

/* Many kinds of machines and alerts. The shares make whole numbers. */
static void fill(struct house *h)
{
    static const char *const orders[] = {
        "{\"count\":1400,\"machines\":90,\"spread_ms\":432000000,\"prefix\":\"da1\","
        "\"severity\":{\"High\":0.2,\"Medium\":0.5,\"Low\":0.3},"
        "\"machine\":{\"osPlatform\":\"Windows11\",\"deviceValue\":\"Normal\",\"machineTags\":[]}}",
        "{\"count\":500,\"machines\":20,\"spread_ms\":300000000,\"prefix\":\"da2\","
        "\"machine\":{\"osPlatform\":\"WindowsServer2022\",\"deviceValue\":\"Low\"}}",
        "{\"count\":300,\"machines\":10,\"spread_ms\":250000000,\"prefix\":\"da3\","
        "\"severity\":{\"High\":0.5,\"Medium\":0.5},"
        "\"machine\":{\"osPlatform\":\"Windows10\",\"deviceValue\":\"High\",\"machineTags\":[\"vip\"]}}",
        "{\"count\":200,\"machines\":15,\"spread_ms\":200000000,\"prefix\":\"da4\","
        "\"machine\":{\"osPlatform\":\"Windows11\",\"deviceValue\":\"High\"}}",
        "{\"count\":200,\"machines\":12,\"spread_ms\":410000000,\"prefix\":\"da5\","
        "\"machine\":{\"osPlatform\":\"Windows11\",\"deviceValue\":null}}",
        "{\"count\":100,\"machines\":10,\"spread_ms\":390000000,\"prefix\":\"da6\","
        "\"severity\":{\"Odd\":1.0},"
        "\"machine\":{\"osPlatform\":\"Windows11\",\"deviceValue\":\"Normal\"}}",
        "{\"count\":200,\"machines\":50,\"spread_ms\":7200000,\"prefix\":\"da7\","
        "\"machine\":{\"osPlatform\":\"Windows11\",\"deviceValue\":\"Normal\",\"machineTags\":[\"lab\"]}}",
        "{\"count\":50,\"machines\":5,\"spread_ms\":100000000,\"prefix\":\"da8\","
        "\"machine\":{\"osPlatform\":\"Windows11\",\"deviceValue\":\"Normal\","
        "\"mergedIntoMachineId\":\"00000000000000000000000000000000000000ff\"}}",
        "{\"count\":50,\"machines\":5,\"spread_ms\":420000000,\"prefix\":\"da9\","
        "\"severity\":{\"Medium\":1.0},\"machine\":{\"osPlatform\":\"Ubuntu\",\"deviceValue\":\"Normal\"}}",
    };

    sim_tell(h->sim, "/config", "{\"timestamp_digits\":7}");
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        sim_tell(h->sim, "/generate", orders[i]);
    /* and one that is too old to be asked for */
    sim_tell(
        h->sim, "/alerts",
        "{\"id\":\"da0_-1\",\"severity\":\"High\",\"alertCreationTime\":\"2020-01-01T00:00:00Z\"}");
}

/* ---- counting by hand ------------------------------------------------------------------------- */

struct machine {
    const char *id, *os, *value;
    bool vip, merged, isolated;
};

struct alert {
    int64_t at;
    const char *severity, *machine_id;
};

struct counts {
    int64_t vip, contain, review, tell, doubt;            /* by rule */
    int64_t server, value, unknown_value, machine, odd;   /* withheld */
    int64_t requested, joined, over, hour_hits, day_hits; /* isolations */
    int64_t contain_done, review_done;
};

static int by_time(const void *a, const void *b)
{
    const struct alert *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

static int64_t within(const int64_t *times, int64_t n, int64_t from)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        count += times[i] >= from;
    return count;
}

static bool begins(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}

/* One alert, in plain words of the policy above. */
static void judge(struct counts *c, const struct alert *a, struct machine *m, int64_t *times)
{
    bool high = strcmp(a->severity, "High") == 0, odd = strcmp(a->severity, "Odd") == 0;

    if (m->vip) {
        c->vip++;
        return;
    }
    if (!high && !odd && !(strcmp(a->severity, "Medium") == 0 && begins(m->os, "Windows1"))) {
        c->tell++;
        return;
    }
    if (high || odd)
        c->contain++;
    else
        c->review++;
    if (odd) {
        c->doubt++;
        c->odd++;
    } else if (m->merged) {
        c->machine++;
    } else if (strstr(m->os, "Server")) {
        c->server++;
    } else if (m->value && strcmp(m->value, "High") == 0) {
        c->value++;
    } else if (!m->value) {
        c->unknown_value++;
    } else {
        if (m->isolated) {
            c->joined++;
        } else if (within(times, c->requested, a->at - HOUR_MS) >= 7) {
            c->hour_hits++;
            c->over++;
            return;
        } else if (within(times, c->requested, a->at - DAY_MS) >= 30) {
            c->day_hits++;
            c->over++;
            return;
        } else {
            m->isolated = true;
            times[c->requested++] = a->at;
        }
        if (high)
            c->contain_done++;
        else
            c->review_done++;
    }
}

static void count_by_hand(const struct json *alerts, const struct json *machines, struct counts *c)
{
    size_t n_alerts = 0, n_machines = 0;
    struct alert *a = calloc(json_count(json_get(alerts, "value")), sizeof *a);
    struct machine *m = calloc(json_count(json_get(machines, "value")), sizeof *m);
    int64_t *times = calloc(ALERTS, sizeof *times);

    assert_true(a && m && times);
    JSON_EACH (x, json_get(machines, "value")) {
        struct machine *to = &m[n_machines++];

        to->id = json_get_string(x, "id");
        to->os = json_get_string(x, "osPlatform");
        to->value = json_get_string(x, "deviceValue");
        to->merged = json_get_string(x, "mergedIntoMachineId") != NULL;
        JSON_EACH (tag, json_get(x, "machineTags"))
            to->vip |= strcmp(json_string(tag), "vip") == 0;
    }
    JSON_EACH (x, json_get(alerts, "value")) {
        struct alert *to = &a[n_alerts];

        to->severity = json_get_string(x, "severity");
        to->machine_id = json_get_string(x, "machineId");
        assert_int_equal(clock_parse(json_get_string(x, "alertCreationTime"), &to->at, NULL),
                         ERR_OK);
        n_alerts += to->at > 1600000000000; /* not that of 2020 */
    }
    assert_int_equal(n_alerts, ALERTS);
    qsort(a, n_alerts, sizeof *a, by_time);
    for (size_t i = 0; i < n_alerts; i++) {
        size_t k = 0;

        while (k < n_machines && m[k].id && strcmp(m[k].id, a[i].machine_id) != 0)
            k++;
        assert_true(k < n_machines);
        judge(c, &a[i], &m[k], times);
    }
    free(a);
    free(m);
    free(times);
}

/* ---- what the command says --------------------------------------------------------------------- */

/* The number `want` of the element of a list whose member has this text (and whose step is that one). */
static int64_t of(const struct json *list, const char *member, const char *text, const char *step,
                  const char *want)
{
    JSON_EACH (x, list) {
        const char *v = json_get_string(x, member), *s = json_get_string(x, "step");

        if (v && begins(v, text) && (!step || (s && strcmp(s, step) == 0)))
            return json_get_int64(x, want, -1);
    }
    return 0;
}

static struct json *backtest(struct house *h, const char *const *words)
{
    struct json *doc = NULL;
    char *out;
    int code = house_run(h, &out, words);
    const char *start = strchr(out, '{'); /* what it waited for goes to stderr */

    if (code || !start || json_parse(start, strlen(start), &doc, NULL))
        fail_msg("exit code %d: %s", code, out);
    free(out);
    return doc;
}

/* Nothing but tokens was ever posted. */
static void assert_reads_only(struct house *h)
{
    AUTO(json_freep) struct json *calls = sim_calls(h->sim, NULL, NULL, 0);

    assert_true(json_count(json_get(calls, "calls")) > 3);
    JSON_EACH (call, json_get(calls, "calls")) {
        const char *method = json_get_string(call, "method"), *path = json_get_string(call, "path");

        if (strcmp(method, "GET") != 0 && !strstr(path, "/oauth2/"))
            fail_msg("%s %s", method, path);
    }
    assert_int_equal(sim_state(h->sim, "actions"), 0);
    assert_int_equal(sim_state(h->sim, "mails"), 0);
}

static void assert_counts(const struct json *doc, const struct counts *c)
{
    const struct json *rules_said = json_get(doc, "rules"), *steps = json_get(doc, "steps");
    const struct json *withheld = json_get(doc, "withheld"), *limits = json_get(doc, "limits");
    const struct json *isolations = json_get(doc, "isolations");
    const struct json *hour = json_first(limits), *day = json_next(hour);
    int64_t alerts = 0, requested = 0, over = 0, joined = 0;

    assert_int_equal(json_get_int64(doc, "alerts", -1), ALERTS);
    assert_int_equal(json_get_int64(doc, "unreadable", -1), 0);
    assert_int_equal(of(rules_said, "rule", "vip", NULL, "alerts"), c->vip);
    assert_int_equal(of(rules_said, "rule", "contain", NULL, "alerts"), c->contain);
    assert_int_equal(of(rules_said, "rule", "review", NULL, "alerts"), c->review);
    assert_int_equal(of(rules_said, "rule", "tell", NULL, "alerts"), c->tell);
    assert_int_equal(of(rules_said, "rule", "contain", NULL, "doubt"), c->doubt);
    assert_int_equal(of(steps, "rule", "contain", "isolate", "done"), c->contain_done);
    assert_int_equal(of(steps, "rule", "review", "isolate", "done"), c->review_done);
    assert_int_equal(of(steps, "rule", "contain", "email", "done"), c->contain);
    assert_int_equal(
        of(withheld, "why", "protected: machine.os is WindowsServer2022", NULL, "alerts"),
        c->server);
    assert_int_equal(
        of(withheld, "why", "protected: machine.os is WindowsServer2022", NULL, "machines"), 20);
    assert_int_equal(of(withheld, "why", "protected: machine.value is High", NULL, "alerts"),
                     c->value);
    assert_int_equal(of(withheld, "why", "perhaps protected: machine.value", NULL, "alerts"),
                     c->unknown_value);
    assert_int_equal(of(withheld, "by", "machine", NULL, "alerts"), c->machine);
    assert_int_equal(of(withheld, "by", "doubt", NULL, "alerts"), c->odd);
    assert_int_equal(json_get_int64(isolations, "requested", -1), c->requested);
    assert_int_equal(json_get_int64(isolations, "joined", -1), c->joined);
    assert_int_equal(json_get_int64(isolations, "over_limit", -1), c->over);
    assert_int_equal(json_get_int64(hour, "hits", -1), c->hour_hits);
    assert_int_equal(json_get_int64(day, "hits", -1), c->day_hits);
    assert_int_equal(json_get_int64(hour, "most", -1), 7);
    assert_int_equal(json_get_int64(day, "most", -1), 30);
    assert_int_equal(json_count(json_get(doc, "isolated")), c->requested);
    JSON_EACH (d, json_get(doc, "days")) {
        alerts += json_get_int64(d, "alerts", -1);
        requested += json_get_int64(d, "requested", -1);
        joined += json_get_int64(d, "joined", -1);
        over += json_get_int64(d, "over_limit", -1);
    }
    assert_int_equal(alerts, ALERTS);
    assert_int_equal(requested, c->requested);
    assert_int_equal(joined, c->joined);
    assert_int_equal(over, c->over);
}

static void test_backtest__equals_a_count_by_hand_and_writes_nothing(void **state)
{
    static const struct house_options o = {.rules = rules, .safety = safety, .not_yet = true};
    struct house *h = house_start(&o);
    AUTO(json_freep) struct json *alerts = NULL, *machines = NULL, *doc = NULL;
    struct counts c = {0};
    char *out;

    (void)state;
    fill(h);
    alerts = sim_get(h->sim, "/alerts");
    machines = sim_get(h->sim, "/machines");
    count_by_hand(alerts, machines, &c);
    assert_true(c.vip && c.tell && c.doubt && c.server && c.value && c.unknown_value && c.machine);
    assert_true(c.joined && c.hour_hits && c.day_hits && c.review_done && c.contain_done);
    doc = backtest(h, WORDS("backtest", "-c", h->config_file, "--days", "7", "--json"));
    assert_counts(doc, &c);

    /* pages that Defender makes smaller than they were asked for, and a quota that is used up */
    sim_tell(h->sim, "/config", "{\"lists\":{\"page_max\":170}}");
    sim_tell(h->sim, "/faults",
             "{\"path\":\"/api/alerts\",\"skip\":2,\"kind\":\"throttle\",\"retry_after_s\":1}");
    sim_tell(h->sim, "/faults", "{\"path\":\"/api/machines\",\"kind\":\"error\",\"status\":503}");
    json_free(doc);
    doc = backtest(h, WORDS("backtest", "-c", h->config_file, "--days", "7", "--json"));
    assert_counts(doc, &c);

    /* for people, who look at the quota in vain when it is not what fails */
    sim_tell(h->sim, "/faults", "{\"path\":\"/api/alerts\",\"kind\":\"error\",\"status\":503}");
    assert_int_equal(house_run(h, &out, WORDS("backtest", "-c", h->config_file)), 0);
    assert_non_null(strstr(out, "cordon: tenant contoso: trying again in "));
    assert_non_null(strstr(out, "HTTP 503"));
    assert_null(strstr(out, "for its quota"));
    assert_non_null(strstr(out, "3000 alerts on"));
    assert_non_null(strstr(out, "as if it were not in shadow mode"));
    assert_non_null(strstr(out, "a person would be asked about the first 4 of these isolations"));
    assert_non_null(strstr(out, "limit of 7 in 60 minutes: at most 7 of them; it held back"));
    assert_non_null(strstr(out, "protected: machine.os is WindowsServer2022"));
    free(out);
    assert_reads_only(h);
    house_stop(h);
}

/* Another policy, from a file of its own that may have faults; another time; a source that may only notify. */
static void test_backtest__of_another_policy(void **state)
{
    static const struct house_options o = {
        .rules = rules, .safety = safety, .not_yet = true, .source = NULL};
    struct house *h = house_start(&o);
    AUTO(json_freep) struct json *doc = NULL;
    char *other, *faulty, *slip, *strange, *out;

    (void)state;
    sim_tell(h->sim, "/generate",
             "{\"count\":40,\"machines\":4,\"spread_ms\":345600000,"
             "\"machine\":{\"osPlatform\":\"Ubuntu\",\"deviceValue\":\"Normal\"}}");
    other =
        house_write_file(h, "other.yaml",
                         "rules:\n- {name: all, do: [tag: {add: seen}, isolate: {type: selective}, "
                         "scan: {}, email: {}]}\n"
                         "safety: {limits: [{isolations: 3, per: 30d}]}\n");
    faulty = house_write_file(h, "faulty.yaml", "rules:\n- {name: all, do: [isolat: {}]}\n");
    doc = backtest(
        h, WORDS("backtest", "-c", h->config_file, "--policy", other, "--days", "5", "--json"));
    assert_int_equal(json_get_int64(doc, "alerts", -1), 40);
    assert_int_equal(json_get_int64(doc, "machines", -1), 4);
    assert_int_equal(of(json_get(doc, "rules"), "rule", "all", NULL, "alerts"), 40);
    assert_int_equal(json_get_int64(json_get(doc, "isolations"), "requested", -1), 3);
    assert_int_equal(json_get_int64(json_get(doc, "isolations"), "joined", -1), 27);
    assert_int_equal(json_get_int64(json_get(doc, "isolations"), "over_limit", -1), 10);
    assert_string_equal(json_get_string(json_first(json_get(doc, "isolated")), "type"),
                        "selective");
    /* what stands behind an isolation that a limit holds back waits with it */
    assert_int_equal(of(json_get(doc, "steps"), "rule", "all", "tag", "done"), 40);
    assert_int_equal(of(json_get(doc, "steps"), "rule", "all", "isolate", "done"), 30);
    assert_int_equal(of(json_get(doc, "steps"), "rule", "all", "scan", "done"), 30);
    assert_int_equal(of(json_get(doc, "steps"), "rule", "all", "email", "done"), 40);
    json_free(doc);
    doc = backtest(
        h, WORDS("backtest", "-c", h->config_file, "--policy", other, "--days", "2", "--json"));
    assert_int_equal(json_get_int64(doc, "alerts", -1),
                     19); /* one every 144 minutes, the 20th is too old */

    assert_int_equal(
        house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--policy", faulty)), 1);
    assert_non_null(strstr(out, "faulty.yaml:2:20: no such step 'isolat'; did you mean isolate?"));
    free(out);
    /* a part that is misspelt is not one that is not there: nothing would be protected, and nothing limited */
    slip = house_write_file(h, "slip.yaml",
                            "safty: {limits: [{isolations: 3, per: 30d}]}\n"
                            "rules:\n- {name: all, do: [isolate: {}]}\n");
    assert_int_equal(house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--policy", slip)),
                     1);
    assert_non_null(strstr(out, "slip.yaml:1:1: safty: unknown key; did you mean safety?\n"));
    free(out);
    free(slip);
    slip = house_write_file(h, "slip.yaml", "safety: {mode: live}\n");
    assert_int_equal(house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--policy", slip)),
                     1);
    assert_non_null(strstr(out, "slip.yaml:1:1: rules is missing: "));
    free(out);
    free(slip);
    /* names that the configuration has not: a rule that would match nothing, and a protection that protects nobody */
    strange = house_write_file(h, "strange.yaml",
                               "rules:\n- {name: all, when: {source: relai}, do: [isolate: {}]}\n"
                               "safety: {protected: [{tenant: contosso}]}\n");
    assert_int_equal(
        house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--policy", strange)), 1);
    assert_non_null(strstr(out, "strange.yaml:2:30: source: there is no source 'relai'"));
    assert_non_null(strstr(out, "tenant: there is no tenant 'contosso'"));
    free(out);
    assert_int_equal(
        house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--tenant", "nobody")), 2);
    assert_non_null(strstr(out, "there is no tenant 'nobody'"));
    free(out);
    /* a credential that is refused is said, and is no empty outcome */
    sim_tell(h->sim, "/config", "{\"token\":{\"error\":7000215}}");
    assert_int_equal(house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--json")), 1);
    assert_non_null(strstr(out, "AADSTS7000215"));
    free(out);
    assert_reads_only(h);
    free(other);
    free(faulty);
    free(strange);
    house_stop(h);
}

/* An alert that a hunt has made is that one's, whoever brings it: nobody's right goes beyond the hunt's, as when cordon serves. */
static void test_backtest__of_what_a_hunt_has_made(void **state)
{
    static const struct house_options o = {
        .rules = "  - {name: all, do: [isolate: {}]}\n",
        .more =
            "hunts:\n  - {name: dumps, tenant: contoso, schedule: '@hourly', query: Q, may: [notify],"
            " do: [case: {severity: High, title: Found, description: A dump}]}\n",
        .not_yet = true};
    static const char *const titles[] = {"Found", "Something else"};
    struct house *h = house_start(&o);
    AUTO(json_freep) struct json *doc = NULL;

    (void)state;
    for (int i = 0; i < 2; i++) {
        sim_tellf(h->sim, "/machines", "{\"id\":\"%040d\"}", i + 1);
        sim_tellf(
            h->sim, "/alerts",
            "{\"id\":\"da%d_-1\",\"severity\":\"High\",\"machineId\":\"%040d\",\"title\":\"%s\","
            "\"description\":\"A dump\"}",
            i, i + 1, titles[i]);
    }
    doc = backtest(h, WORDS("backtest", "-c", h->config_file, "--json"));
    assert_int_equal(json_get_int64(doc, "alerts", -1), 2);
    assert_int_equal(json_get_int64(json_get(doc, "isolations"), "requested", -1), 1);
    assert_int_equal(
        of(json_get(doc, "withheld"), "why", "source hunt:dumps may only notify", NULL, "alerts"),
        1);
    house_stop(h);
}

/* Whose alerts they would have been: the first that may isolate, be it nobody who pushes. */
static void test_backtest__of_what_is_polled(void **state)
{
    static const struct house_options o = {
        .rules = "  - {name: all, do: [isolate: {}]}\n",
        .more =
            "polling: {every: 1m}\n"
            "hunts:\n  - {name: dumps, tenant: contoso, schedule: '@hourly', query: Q, may: [notify], do: [case: {}]}\n",
        .not_yet = true};
    static const struct {
        const char *source;
        int64_t requested;
    } rows[] = {{NULL, 4}, {"polling", 4}, {"relay", 0}, {"hunt:dumps", 0}};
    struct house *h = house_start(&o);
    AUTO(json_freep) struct json *doc = NULL, *off = NULL;
    char mailbox[2000], *out;

    (void)state;
    sim_tell(h->sim, "/generate",
             "{\"count\":4,\"machines\":4,\"spread_ms\":3600000,"
             "\"machine\":{\"osPlatform\":\"Windows11\"}}");
    house_edit(h, "    verify:\n", "    may: [notify]\n    verify:\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const words[] = {
            "backtest",     "-c", h->config_file, "--json", rows[i].source ? "--source" : NULL,
            rows[i].source, NULL};
        AUTO(json_freep) struct json *one = backtest(h, words);

        assert_int_equal(json_get_int64(json_get(one, "isolations"), "requested", -1),
                         rows[i].requested);
    }
    /* what is off finds nothing that could be isolated for */
    house_edit(h, "polling: {every: 1m}", "polling: {every: 0}");
    off = backtest(h, WORDS("backtest", "-c", h->config_file, "--json"));
    assert_int_equal(json_get_int64(off, "alerts", -1), 4);
    assert_int_equal(json_get_int64(json_get(off, "isolations"), "requested", -1), 0);
    house_edit(h, "polling: {every: 0}", "polling: {every: 1m}");
    /* a second name of the tenant, as for a mailbox, has no alerts of its own */
    (void)snprintf(mailbox, sizeof mailbox,
                   "tenants:\n  mailbox: {tenant_id: %s, client_id: %s, client_secret_file: "
                   "%s/client-secret, api_url: %s, api_scope: '%s', login_url: %s}\n",
                   h->sim->tenant_id, h->sim->client_id, h->dir, h->sim->api_url, h->sim->api_scope,
                   h->sim->login_url);
    house_edit(h, "tenants:\n", mailbox);
    doc = backtest(h, WORDS("backtest", "-c", h->config_file, "--json"));
    assert_int_equal(json_get_int64(doc, "alerts", -1), 4);
    assert_int_equal(json_get_int64(json_get(doc, "isolations"), "requested", -1), 4);
    assert_int_equal(
        house_run(h, &out, WORDS("backtest", "-c", h->config_file, "--source", "flow")), 2);
    assert_non_null(strstr(out, "there is no source 'flow'"));
    free(out);
    house_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backtest__equals_a_count_by_hand_and_writes_nothing),
        cmocka_unit_test(test_backtest__of_another_policy),
        cmocka_unit_test(test_backtest__of_what_a_hunt_has_made),
        cmocka_unit_test(test_backtest__of_what_is_polled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
