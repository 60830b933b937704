/* config_hunts.c - see config_hunts.h.
 *
 * A hunt's tests are answers of Defender's kept in files. They are read, told apart and counted as the engine would,
 * so that a query whose columns do not do for what is to become of its rows is found before it runs.
 */
#include "config_hunts.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "config.h"
#include "config_own.h"
#include "json.h"
#include "lists.h"
#include "store_audit.h"
#include "utf8.h"

#define NAME_MAX_CHARS 48 /* with its source's prefix it stands in the columns of names */

enum { MODE_LIVE, MODE_SHADOW };
static const char *const modes[] = {"live", "shadow", NULL};
static const char *const apis[] = {"graph", "defender", NULL}; /* enum graph_api */

/* Section 2.3; those that an alert can be made with. */
static const char *const severities[] = {"Informational", "Low", "Medium", "High", NULL};
/* What an alert that is made may be of: defender-api.md section 2.3. */
static const char *const categories[] = {"General",
                                         "CommandAndControl",
                                         "Collection",
                                         "CredentialAccess",
                                         "DefenseEvasion",
                                         "Discovery",
                                         "Exfiltration",
                                         "Exploit",
                                         "Execution",
                                         "InitialAccess",
                                         "LateralMovement",
                                         "Malware",
                                         "Persistence",
                                         "PrivilegeEscalation",
                                         "Ransomware",
                                         "SuspiciousActivity",
                                         NULL};

struct hunt_settings {
    const char *name, *tenant, *schedule, *timezone, *query, *query_file;
    struct text_list key;
    int64_t look_back_ms, jitter_ms, catch_up_ms;
    int api, mode;
    const struct yaml_node *may, *steps, *tests;
};

static const struct setting hunt_table[] = {
    SETTING("name", SET_TEXT, hunt_settings, name, .required = true,
            .meaning = "what it is called in mails, commands and metrics"),
    SETTING("tenant", SET_TEXT, hunt_settings, tenant, .meaning = "whose Defender is asked"),
    SETTING(
        "schedule", SET_TEXT, hunt_settings, schedule, .required = true,
        .meaning =
            "minute, hour, day, month, day of the week, as in crontab(5); or @hourly and its kind"),
    SETTING("timezone", SET_TEXT, hunt_settings, timezone, .fallback = "UTC",
            .meaning = "where the schedule's clock hangs, such as Europe/Stockholm"),
    SETTING("query", SET_TEXT, hunt_settings, query, .meaning = "the query, KQL"),
    SETTING("query_file", SET_PATH, hunt_settings, query_file,
            .meaning = "or the file that holds it"),
    SETTING(
        "key", SET_TEXT_LIST, hunt_settings, key,
        .meaning =
            "columns that tell one row from another; default ReportId, DeviceId and Timestamp, and AlertId"),
    SETTING("look_back", SET_DURATION, hunt_settings, look_back_ms, .fallback = "1h",
            .least = 5 * MINUTE_MS, .most = HUNT_BACK_MAX_MS,
            .meaning = "how far it looks back beyond the run before it, for rows that come late"),
    SETTING("jitter", SET_DURATION, hunt_settings, jitter_ms, .most = HOUR_MS,
            .meaning = "it begins up to so much later, always by the same at the same time"),
    SETTING("catch_up", SET_DURATION, hunt_settings, catch_up_ms, .fallback = "1d",
            .most = HUNT_BACK_MAX_MS,
            .meaning = "one run makes up for those that were missed in so long; 0: none does"),
    SETTING("api", SET_WORD, hunt_settings, api, .fallback = "graph", .words = apis,
            .meaning = "graph, or defender: the older call, which ends on 1 February 2027"),
    SETTING("may", SET_NODE, hunt_settings, may,
            .meaning = "what its cases may lead to: notify, isolate; default both"),
    SETTING("mode", SET_WORD, hunt_settings, mode, .fallback = "live", .words = modes,
            .meaning = "shadow: what its cases lead to is told, not done"),
    SETTING("do", SET_NODE, hunt_settings, steps, .required = true,
            .meaning = "what becomes of new rows: email, case"),
    SETTING("tests", SET_NODE, hunt_settings, tests,
            .meaning = "answers kept in files, and what is to become of them"),
    {.key = NULL},
};

struct email_settings {
    struct text_list to;
    const char *subject;
};

static const struct setting email_table[] = {
    SETTING("to", SET_ADDRESS_LIST, email_settings, to, .meaning = "who is told; default mail.to"),
    SETTING("subject", SET_TEXT, email_settings, subject,
            .meaning = "instead of the number of rows"),
    {.key = NULL},
};

struct case_settings {
    const char *severity, *category, *title, *description, *recommended_action;
};

static const struct setting case_table[] = {
    SETTING("severity", SET_TEXT, case_settings, severity,
            .meaning = "of the alert that is made for an event that has none"),
    SETTING("category", SET_TEXT, case_settings, category, .meaning = "of that alert"),
    SETTING("title", SET_TEXT, case_settings, title,
            .meaning = "of that alert; default the hunt's name"),
    SETTING("description", SET_TEXT, case_settings, description, .meaning = "of that alert"),
    SETTING("recommended_action", SET_TEXT, case_settings, recommended_action,
            .meaning = "of that alert"),
    {.key = NULL},
};

struct test_settings {
    const char *name, *answer, *seen;
    const struct yaml_node *expect;
};

static const struct setting test_table[] = {
    SETTING("name", SET_TEXT, test_settings, name, .required = true,
            .meaning = "what the test is called when it fails"),
    SETTING("answer", SET_PATH, test_settings, answer, .required = true,
            .meaning = "a file with an answer, as Defender gives it"),
    SETTING("seen", SET_PATH, test_settings, seen, .meaning = "the answer before it"),
    SETTING("expect", SET_NODE, test_settings, expect, .required = true,
            .meaning = "new, alerts, events: how many rows are new, and what they are about"),
    {.key = NULL},
};

struct expect_settings {
    int64_t fresh, alerts, events;
};

static const struct setting expect_table[] = {
    SETTING("new", SET_INT, expect_settings, fresh, .least = 0, .most = GRAPH_ROWS_MAX,
            .meaning = "rows that were not there before, each counted once"),
    SETTING("alerts", SET_INT, expect_settings, alerts, .least = 0, .most = GRAPH_ROWS_MAX,
            .meaning = "alerts that they name"),
    SETTING("events", SET_INT, expect_settings, events, .least = 0, .most = GRAPH_ROWS_MAX,
            .meaning = "events of a machine for which an alert can be made"),
    {.key = NULL},
};

/* ---- one hunt ---------------------------------------------------------------------------------- */

struct reading {
    const struct settings_reader *r;
    const struct config_hunts_input *in;
    const char *what; /* "hunts.lsass-dumps", for faults */
    const struct yaml_node *map;
    struct config_hunt *hunt;
    bool nomem;
};

#define fault(x, ...) yaml_fault((x)->r->faults, __VA_ARGS__)

static const struct yaml_node *place(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *child = yaml_get(map, key);

    return child ? child : map;
}

static const char *keep(struct reading *x, const char *text)
{
    x->nomem = x->nomem || !text;
    return text;
}

static void read_tenant(struct reading *x, const char *name)
{
    const struct config *c = x->in->config;

    if (name)
        x->hunt->tenant = config_find_tenant(x->r, c, yaml_get(x->map, "tenant"), x->what, name);
    else if (c->n_tenants == 1)
        x->hunt->tenant = &c->tenants[0];
    else if (c->n_tenants)
        fault(x, x->map, "%s.tenant is missing: whose Defender is asked", x->what);
}

static void read_schedule(struct reading *x, const struct hunt_settings *in)
{
    struct config_hunt *h = x->hunt;
    struct err e = {0};

    h->schedule = in->schedule;
    h->timezone = in->timezone;
    if (in->schedule && cron_parse(in->schedule, &h->cron, &e))
        fault(x, yaml_get(x->map, "schedule"), "%s.schedule: %s", x->what, e.text);
    if (in->timezone && zone_load(in->timezone, x->r->arena, &h->zone, &e))
        fault(x, place(x->map, "timezone"), "%s.timezone: %s", x->what, e.text);
    h->plan = keep(x, arena_fmt(x->r->arena, "%s|%s", in->schedule ? in->schedule : "",
                                in->timezone ? in->timezone : ""));
}

static void read_query(struct reading *x, const struct hunt_settings *in)
{
    const struct yaml_node *file = yaml_get(x->map, "query_file");
    const char *text = in->query;

    if (in->query && file)
        fault(x, file, "%s.query_file: query is there already; one of the two", x->what);
    else if (!yaml_get(x->map, "query") && !file)
        fault(x, x->map, "%s.query is missing: the query, or query_file with its file", x->what);
    if (!in->query && in->query_file)
        text = list_file_text(x->r, file, in->query_file);
    if (text && strncmp(text, "\xef\xbb\xbf", 3) == 0) /* editors of Windows mark UTF-8 */
        text += 3;
    if (text && !utf8_is_whole(
                    text)) /* json.c would put others in their place, and the query find nothing */
        fault(x, file ? file : x->map, "%s: its query holds bytes that are not UTF-8", x->what);
    if (text && !text[strspn(text, " \t\r\n")])
        fault(x, place(x->map, file ? "query_file" : "query"), "%s: its query is empty", x->what);
    x->hunt->query = text;
}

static void hash_query(struct reading *x)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(4 * 1024 * 1024);
    char hash[AUDIT_HASH_SIZE];

    buf_addf(&text, "%d\n%s", x->hunt->api, x->hunt->query);
    for (size_t i = 0; i < x->hunt->key.count; i++)
        buf_addf(&text, "\n%s", x->hunt->key.items[i]);
    if (buf_failed(&text) || audit_sha256(buf_text(&text), hash, NULL))
        x->nomem = true;
    else
        x->hunt->hash = keep(x, arena_str(x->r->arena, hash));
    if (x->hunt->hash && x->hunt->tenant) /* else there is a fault */
        x->hunt->asks = keep(x, arena_fmt(x->r->arena, "%s %s", hash, x->hunt->tenant->tenant_id));
}

static void read_may(struct reading *x, const struct yaml_node *may)
{
    const struct yaml_node *first = may && may->kind == YAML_LIST ? may->first : may;
    bool notify = false;

    x->hunt->may_isolate = !may;
    if (may && (may->kind == YAML_MAP || !first))
        fault(x, may, "%s.may: expected a list of notify and isolate", x->what);
    for (const struct yaml_node *n = may && may->kind != YAML_MAP ? first : NULL; n;
         n = may->kind == YAML_LIST ? n->next : NULL) {
        const char *word = settings_text(x->r, n);

        if (word && strcmp(word, "isolate") == 0)
            x->hunt->may_isolate = true;
        else if (word && strcmp(word, "notify") == 0)
            notify = true;
        else if (word)
            fault(x, n, "%s.may: expected notify or isolate, found '%.60s'%s", x->what, word,
                  settings_meant(x->r, word, config_rights));
    }
    if (may && x->hunt->may_isolate && !notify)
        fault(x, may, "%s.may: notify is missing: people are told of every alert that is accepted",
              x->what);
}

/* ---- what becomes of rows ---------------------------------------------------------------------- */

/* Whoever takes a step's text for a rule's would have the braces in his mail, and in the portal. */
static void check_text(struct reading *x, const struct yaml_node *map, const char *key,
                       const char *text)
{
    if (text && strstr(text, "{{"))
        fault(x, yaml_get(map, key),
              "%s.%s: '{{' means nothing here: a hunt's rows have no fields of an alert",
              map->key->text, key);
}

static void read_email(struct reading *x, const struct yaml_node *map)
{
    const struct config_mail *mail = &x->in->config->mail;
    struct email_settings in = {0};

    settings_read(x->r, map, "email", email_table, &in);
    x->hunt->tells = true;
    x->hunt->to = in.to;
    x->hunt->subject = in.subject;
    check_text(x, map, "subject", in.subject);
    if (!x->in->has_mail)
        fault(x, map->key, "email: there is no mail: to send it with (mail.server, mail.from)");
    else if (!yaml_get(map, "to") && !mail->to.count)
        fault(x, map->key, "email: it names nobody; give it `to`, or set mail.to");
}

/* Words that the page of the call does not have: what Defender does not take makes no case, and nobody hears of that before an
 * event is found. */
static void note_foreign_words(struct reading *x, const struct yaml_node *map,
                               const struct case_settings *in)
{
    bool known = false;

    for (size_t i = 0; in->category && categories[i]; i++)
        known = known || strcmp(in->category, categories[i]) == 0;
    if (x->r->notes && in->severity && strcasecmp(in->severity, severities[0]) == 0)
        yaml_fault(x->r->notes, yaml_get(map, "severity"),
                   "case.severity: Defender makes alerts that are Low, Medium or High; one that is "
                   "Informational it may refuse");
    if (x->r->notes && in->category && !known)
        yaml_fault(x->r->notes, yaml_get(map, "category"),
                   "case.category: '%.60s' is none of those that Defender takes%s", in->category,
                   settings_meant(x->r, in->category, categories));
}

static void read_case(struct reading *x, const struct yaml_node *map)
{
    struct defender_new_alert *event = &x->hunt->event;
    struct case_settings in = {0};

    settings_read(x->r, map, "case", case_table, &in);
    x->hunt->makes_cases = true;
    for (const struct setting *s = case_table; s->key; s++)
        check_text(x, map, s->key, *(const char *const *)((const char *)&in + s->offset));
    for (int i = 0; in.severity && severities[i]; i++)
        if (strcasecmp(in.severity, severities[i]) == 0)
            event->severity = severities[i];
    if (in.severity && !event->severity)
        fault(x, yaml_get(map, "severity"),
              "case.severity: expected Informational, Low, Medium or High, found '%.60s'%s",
              in.severity, settings_meant(x->r, in.severity, severities));
    note_foreign_words(x, map, &in);
    if (!in.severity && (in.category || in.title || in.description || in.recommended_action))
        fault(x, map->key,
              "case.severity is missing: the other settings are of the alert that is made with it");
    event->category = in.category;
    event->title = in.title ? in.title : x->hunt->name;
    event->description =
        in.description
            ? in.description
            : keep(x, arena_fmt(x->r->arena, "Found by cordon's hunt %s.", x->hunt->name));
    event->recommended_action = in.recommended_action
                                    ? in.recommended_action
                                    : "Look into the event that this alert is about.";
}

static void read_step(struct reading *x, const struct yaml_node *step)
{
    const struct yaml_node *only = step->kind == YAML_MAP ? step->first : NULL;
    const char *word = only ? only->key->text : "";

    if (!only || step->count != 1)
        fault(x, step, "%s.do: expected steps, each a map of one: email: {} or case: {}", x->what);
    else if (strcmp(word, "email") == 0 && !x->hunt->tells)
        read_email(x, only);
    else if (strcmp(word, "case") == 0 && !x->hunt->makes_cases)
        read_case(x, only);
    else if (strcmp(word, "email") == 0 || strcmp(word, "case") == 0)
        fault(x, only->key, "%s.do: %s stands there twice", x->what, word);
    else
        fault(
            x, only->key,
            "%s.do: '%.60s' is no step of a hunt; email tells of new rows, and case hands them to the "
            "rules, which isolate and do all else",
            x->what, word);
}

static void read_steps(struct reading *x, const struct yaml_node *steps)
{
    if (!steps)
        return; /* the fault is noted */
    if (steps->kind != YAML_LIST || !steps->count) {
        fault(x, steps, "%s.do: expected a list of email: {} and case: {}", x->what);
        return;
    }
    for (const struct yaml_node *step = steps->first; step; step = step->next)
        read_step(x, step);
}

/* ---- its tests --------------------------------------------------------------------------------- */

struct found {
    struct hunt_answer answer;
    char (*keys)[HUNT_KEY_SIZE];
    struct json *doc; /* the caller's to free */
};

static bool read_answer(struct reading *x, const struct yaml_node *at, const char *path,
                        const char *test, struct found *f)
{
    char *text = list_file_text(x->r, at, path);
    struct hunt_key key;
    struct err e = {0};
    enum err_code code;

    if (!text)
        return false;
    json_mend(text);
    code = json_parse(text, strlen(text), &f->doc, &e);
    if (!code)
        code = hunt_answer_read(x->r->arena, f->doc, &f->answer, &e);
    if (!code)
        code = hunt_key_find(&f->answer, &x->hunt->key, &key, &e);
    if (code) {
        fault(x, at, "test '%.60s': %s: %s", test, path, e.text);
        return false;
    }
    f->keys = arena_array(x->r->arena, f->answer.n_rows + 1, sizeof *f->keys);
    for (size_t i = 0; f->keys && i < f->answer.n_rows; i++)
        if (hunt_row_key(&f->answer, &key, i, f->keys[i], &e))
            x->nomem = true;
    x->nomem = x->nomem || !f->keys;
    return f->keys && !x->nomem;
}

static bool holds(const struct found *f, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(f->keys[i], key) == 0)
            return true;
    return false;
}

static bool is_among(const char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

static void count(struct reading *x, const struct found *f, const struct found *seen,
                  struct expect_settings *ret)
{
    const char **alerts = arena_array(x->r->arena, f->answer.n_rows + 1, sizeof *alerts);

    x->nomem = x->nomem || !alerts;
    for (size_t i = 0; alerts && i < f->answer.n_rows; i++) {
        struct hunt_row_ids ids;

        if (holds(f, i, f->keys[i]) || holds(seen, seen->answer.n_rows, f->keys[i]))
            continue;
        ret->fresh++;
        if (hunt_row_ids(x->r->arena, &f->answer, i, &ids, NULL))
            x->nomem = true;
        else if (ids.alert_id && !is_among(alerts, (size_t)ret->alerts, ids.alert_id))
            alerts[ret->alerts++] = ids.alert_id;
        else if (!ids.alert_id && ids.report_id)
            ret->events++;
    }
}

static void run_test(struct reading *x, const struct yaml_node *map)
{
    struct test_settings in = {0};
    struct found now = {0}, before = {0};
    struct expect_settings want = {0}, got = {0};
    const char *what = arena_fmt(x->r->arena, "%s.tests", x->what);
    size_t faults_before = x->r->faults->count;

    settings_read(x->r, map, what ? what : "tests", test_table, &in);
    if (x->r->faults->count == faults_before && in.expect->count == 0)
        fault(x, in.expect, "expect: expected new, alerts or events, and how many");
    if (in.expect)
        settings_read(x->r, in.expect, "expect", expect_table, &want);
    if (x->r->faults->count != faults_before)
        return;
    if (read_answer(x, yaml_get(map, "answer"), in.answer, in.name, &now) &&
        (!in.seen || read_answer(x, yaml_get(map, "seen"), in.seen, in.name, &before))) {
        count(x, &now, &before, &got);
        if (yaml_get(in.expect, "new") && want.fresh != got.fresh)
            fault(x, yaml_get(in.expect, "new"),
                  "test '%.60s': %" PRId64 " rows are new, not %" PRId64, in.name, got.fresh,
                  want.fresh);
        if (yaml_get(in.expect, "alerts") && want.alerts != got.alerts)
            fault(x, yaml_get(in.expect, "alerts"),
                  "test '%.60s': they name %" PRId64 " alerts, not %" PRId64, in.name, got.alerts,
                  want.alerts);
        if (yaml_get(in.expect, "events") && want.events != got.events)
            fault(x, yaml_get(in.expect, "events"),
                  "test '%.60s': %" PRId64 " of them are events of a machine, not %" PRId64,
                  in.name, got.events, want.events);
        if (x->hunt->makes_cases && got.fresh > 0 && !got.alerts &&
            !(got.events && x->hunt->event.severity))
            fault(
                x, map,
                "test '%.60s': none of the rows can become a case: they need AlertId, or DeviceId, ReportId "
                "and Timestamp with case: {severity: …}",
                in.name);
    }
    json_free(now.doc);
    json_free(before.doc);
    x->hunt->n_tests++;
}

static void run_tests(struct reading *x, const struct yaml_node *tests)
{
    if (tests && tests->kind != YAML_LIST)
        fault(x, tests, "%s.tests: expected a list", x->what);
    for (const struct yaml_node *t = tests && tests->kind == YAML_LIST ? tests->first : NULL; t;
         t = t->next)
        run_test(x, t);
}

/* ---- all of them ------------------------------------------------------------------------------- */

static void check_name(struct reading *x, const char *name, const struct config_hunt *list,
                       size_t n)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t len = name ? strlen(name) : 0;

    if (!name)
        return;
    if (!len || len > NAME_MAX_CHARS || *name == '-' || strspn(name, alphabet) != len)
        fault(
            x, yaml_get(x->map, "name"),
            "hunts: expected a name of a-z, 0-9, - and _, at most %d, that does not begin with -, found "
            "'%.60s'",
            NAME_MAX_CHARS, name);
    for (size_t i = 0; i < n; i++)
        if (list[i].name && strcmp(list[i].name, name) == 0)
            fault(x, yaml_get(x->map, "name"), "hunts: two are called %s", name);
}

static void read_hunt(struct reading *x, const struct config_hunt *before, size_t n)
{
    struct config_hunt *h = x->hunt;
    struct hunt_settings in = {0};
    const char *name;
    size_t faults_before = x->r->faults->count;

    name = x->map->kind == YAML_MAP && yaml_get(x->map, "name") ? yaml_get(x->map, "name")->text
                                                                : NULL;
    x->what = name && *name ? keep(x, arena_fmt(x->r->arena, "hunts.%.60s", name)) : "hunts";
    if (!x->what)
        return;
    settings_read(x->r, x->map, x->what, hunt_table, &in);
    if (x->map->kind != YAML_MAP)
        return;
    check_name(x, in.name, before, n);
    h->name = in.name ? in.name : "";
    h->source = keep(x, arena_fmt(x->r->arena, HUNT_SOURCE "%s", h->name));
    h->api = in.api;
    h->key = in.key;
    h->look_back_ms = in.look_back_ms;
    h->jitter_ms = in.jitter_ms;
    h->catch_up_ms = in.catch_up_ms;
    h->shadow = in.mode == MODE_SHADOW;
    read_tenant(x, in.tenant);
    read_schedule(x, &in);
    read_query(x, &in);
    read_may(x, in.may);
    read_steps(x, in.steps);
    if (h->query)
        hash_query(x);
    if (x->r->notes && h->api == GRAPH_API_DEFENDER)
        yaml_fault(
            x->r->notes, yaml_get(x->map, "api"),
            "%s.api: the older call gives out nothing from 1 February 2027 on; graph needs the "
            "permission ThreatHunting.Read.All of Microsoft Graph",
            x->what);
    if (x->r->faults->count == faults_before)
        run_tests(x, in.tests);
}

enum err_code config_hunts_read(const struct settings_reader *reader,
                                const struct config_hunts_input *in, struct config_hunt **ret,
                                size_t *ret_count)
{
    struct reading x = {.r = reader, .in = in};
    struct config_hunt *list;
    size_t n = 0;

    *ret = NULL;
    *ret_count = 0;
    if (!in->hunts)
        return ERR_OK;
    if (in->hunts->kind != YAML_LIST) {
        yaml_fault(reader->faults, in->hunts, "hunts: expected a list, each with a name");
        return ERR_OK;
    }
    list = arena_array(reader->arena, in->hunts->count + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (const struct yaml_node *map = in->hunts->first; map && !x.nomem; map = map->next) {
        x.map = map;
        x.hunt = &list[n];
        read_hunt(&x, list, n);
        n++;
    }
    *ret = list;
    *ret_count = n;
    return x.nomem ? ERR_NOMEM : ERR_OK;
}

const struct config_hunt *config_hunt(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_hunts; i++)
        if (strcmp(c->hunts[i].name, name) == 0)
            return &c->hunts[i];
    return NULL;
}

bool config_hunt_asks(const struct config_hunt *h, const char *noted)
{
    return strcmp(noted, h->asks) == 0 || strcmp(noted, h->hash) == 0;
}

const struct config_hunt *config_hunt_of_source(const struct config *c, const char *source)
{
    size_t len = sizeof HUNT_SOURCE - 1;

    return strncmp(source, HUNT_SOURCE, len) == 0 ? config_hunt(c, source + len) : NULL;
}

static bool makes_alerts_of(const struct config_hunt *h, const char *tenant, const char *title,
                            const char *description)
{
    return h->event.severity && strcmp(h->tenant->name, tenant) == 0 &&
           strcmp(h->event.title, title) == 0 && strcmp(h->event.description, description) == 0;
}

const struct config_hunt *config_hunt_held_back(const struct config *c, const char *source,
                                                const char *tenant, const char *title,
                                                const char *description)
{
    const struct config_hunt *own = config_hunt_of_source(c, source);

    if (!title || !description || (own && makes_alerts_of(own, tenant, title, description)))
        return NULL;
    for (size_t i = 0; i < c->n_hunts; i++) {
        const struct config_hunt *h = &c->hunts[i];

        if ((!h->may_isolate || h->shadow) && makes_alerts_of(h, tenant, title, description))
            return h;
    }
    return NULL;
}
