/* policy_tests.c - see policy_tests.h.
 *
 * A test's documents are written as JSON, member by member: what `facts` names first, then what is left of
 * the base (the test's own document, or the ordinary one), and read again, so that a test sees exactly
 * what the engine would have of Defender.
 */
#include "policy_tests.h"

#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include <cordon/handler.h>

#include "buf.h"
#include "clock.h"
#include "decide.h"
#include "fields.h"
#include "json.h"

#define DOCUMENT_MAX (1024 * 1024) /* bytes; the whole file has as many */
#define SAID_MAX     4096          /* bytes of a list of steps in a fault */
#define ALERT_ID     "da-test"
#define MACHINE_ID   "0000000000000000000000000000000000000001"

/* 2026-01-01T00:00:00Z: one that never changes, so that a test says the same every day. */
#define USUAL_NOW INT64_C(1767225600000)

struct base {
    const char *member, *value; /* value: JSON; NULL: the machine's id, see machine_id_of */
};

static const struct base ordinary_alert[] = {
    {"id", "\"" ALERT_ID "\""},
    {"machineId", NULL},
    {NULL, NULL},
};

static const struct base ordinary_machine[] = {
    {"id", NULL},
    {"computerDnsName", "\"ws-001.corp.example\""},
    {"osPlatform", "\"Windows11\""},
    {"version", "\"23H2\""},
    {"osBuild", "22631"},
    {"machineTags", "[]"},
    {"rbacGroupName", "\"Workstations\""},
    {"rbacGroupId", "1"},
    {"deviceValue", "\"Normal\""},
    {"riskScore", "\"None\""},
    {"exposureLevel", "\"Low\""},
    {"healthStatus", "\"Active\""},
    {"onboardingStatus", "\"Onboarded\""},
    {"lastIpAddress", "\"192.0.2.10\""},
    {"lastExternalIpAddress", "\"198.51.100.1\""},
    {"ipAddresses", "[{\"ipAddress\":\"192.0.2.10\"}]"},
    {"isAadJoined", "true"},
    {"isExcluded", "false"},
    {"isPotentialDuplication", "false"},
    {NULL, NULL},
};

struct test_settings {
    const char *name, *at;
    const struct yaml_node *facts, *alert, *machine, *expect;
};

static const struct setting test_table[] = {
    SETTING("name", SET_TEXT, test_settings, name, .required = true,
            .meaning = "what the test is called when it fails"),
    SETTING("at", SET_TEXT, test_settings, at, .meaning = "the present of the test"),
    SETTING("facts", SET_NODE, test_settings, facts, .meaning = "fields and their values"),
    SETTING("alert", SET_NODE, test_settings, alert, .meaning = "an alert as Defender sends it"),
    SETTING("machine", SET_NODE, test_settings, machine,
            .meaning = "a machine as Defender sends it, or none"),
    SETTING("expect", SET_NODE, test_settings, expect, .required = true,
            .meaning = "rule, steps, withheld, asks: what the policy is to say"),
    {.key = NULL},
};

struct expect_settings {
    const char *rule, *withheld, *asks;
    const struct yaml_node *steps;
};

static const struct setting expect_table[] = {
    SETTING("rule", SET_TEXT, expect_settings, rule,
            .meaning = "the rule that gives the verdict, or none"),
    SETTING("steps", SET_NODE, expect_settings, steps,
            .meaning = "the steps that would be done, in order"),
    SETTING("withheld", SET_TEXT, expect_settings, withheld,
            .meaning = "why steps are withheld (a glob), or none"),
    SETTING("asks", SET_TEXT, expect_settings, asks,
            .meaning = "why a person is asked before steps that act (a glob), or none"),
    {.key = NULL},
};

/* One test on its way. */
struct testing {
    const struct settings_reader *reader;
    const struct policy *policy;
    const struct policy_tests_source *sources, *source;
    size_t n_sources;
    const struct yaml_node *at;
    struct test_settings s;
    const char *machine_id; /* where a document does not say one */
    int64_t now;
    bool good;
};

static void fault(struct testing *t, const struct yaml_node *at, const char *what)
{
    yaml_fault(t->reader->faults, at, "%s", what ? what : "out of memory");
    t->good = false;
}

/* ---- documents ---------------------------------------------------------------------------------- */

/* Whose document a field is of. */
static bool is_of(const struct field *f, const char *document)
{
    size_t len = strlen(document);

    return strncmp(f->name, document, len) == 0 && f->name[len] == '.';
}

/* YAML as JSON: what stands without quotes may be a number, a truth value or nothing. */
static void write_node(struct testing *t, struct json_out *o, const char *name,
                       const struct yaml_node *n)
{
    AUTO(json_freep) struct json *bare = NULL;
    const char *text;

    switch (n->kind) {
    case YAML_SCALAR:
        text = n->null ? NULL : settings_text(t->reader, n);
        if (n->null)
            json_out_null(o, name);
        else if (!text)
            t->good = false;
        else if (!n->quoted && !json_parse(text, strlen(text), &bare, NULL))
            json_out_value(o, name, bare);
        else
            json_out_string(o, name, text);
        return;
    case YAML_LIST:
        json_out_array(o, name);
        for (const struct yaml_node *c = n->first; c; c = c->next)
            write_node(t, o, NULL, c);
        json_out_array_end(o);
        return;
    case YAML_MAP:
        json_out_object(o, name);
        for (const struct yaml_node *c = n->first; c; c = c->next)
            write_node(t, o, c->key->text, c);
        json_out_object_end(o);
    }
}

/* One value of a field, as Defender would send it. */
static void write_value(struct testing *t, struct json_out *o, const char *name,
                        const struct field *f, const struct yaml_node *n)
{
    const char *text = n->kind == YAML_SCALAR && !n->null ? settings_text(t->reader, n) : NULL;
    char when[CLOCK_TEXT_SIZE];
    int64_t moment;

    if (n->kind != YAML_SCALAR) {
        fault(t, n,
              arena_fmt(t->reader->arena, "%s: expected one value, found a %s", f->name,
                        n->kind == YAML_LIST ? "list" : "map"));
    } else if (n->null) {
        json_out_null(o, name);
    } else if (!text) {
        t->good = false;
    } else if (f->type == FIELD_TIME && !settings_since(text, t->now, &moment, NULL)) {
        json_out_string(o, name, clock_format(moment, when));
    } else if (f->type == FIELD_NUMBER || f->type == FIELD_BOOL) {
        write_node(t, o, name, n);
    } else {
        json_out_string(o, name, text);
    }
}

/* The elements that one field puts into its list. */
static void write_elements(struct testing *t, struct json_out *o, const struct field *f,
                           const struct yaml_node *value)
{
    bool list = value->kind == YAML_LIST;

    for (const struct yaml_node *n = list ? value->first : value; n; n = list ? n->next : NULL)
        if (f->inner) {
            json_out_object(o, NULL);
            write_value(t, o, f->inner, f, n);
            json_out_object_end(o);
        } else {
            write_value(t, o, NULL, f, n);
        }
}

/* Words joined by commas, as Defender sends flags (trap 23). */
static void write_flags(struct testing *t, struct json_out *o, const struct field *f,
                        const struct yaml_node *value)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(SAID_MAX);
    bool list = value->kind == YAML_LIST;

    for (const struct yaml_node *n = list ? value->first : value; n; n = list ? n->next : NULL) {
        const char *text = n->kind == YAML_SCALAR && !n->null ? settings_text(t->reader, n) : NULL;

        if (text)
            buf_addf(&b, "%s%s", b.len ? "," : "", text);
        else
            fault(t, n, arena_fmt(t->reader->arena, "%s: expected words", f->name));
    }
    json_out_string(o, f->member, buf_text(&b));
}

/* A member, by all fields of the test that are read from it. */
static void write_member(struct testing *t, struct json_out *o, const struct field *f)
{
    const struct yaml_node *value = yaml_get(t->s.facts, f->name);

    if (value->kind == YAML_SCALAR && value->null) {
        json_out_null(o, f->member);
    } else if (f->list && f->type == FIELD_WORD && !f->inner) {
        write_flags(t, o, f, value);
    } else if (f->list) {
        json_out_array(o, f->member);
        for (const struct field *other = f; other->name; other++)
            if (is_of(other, "alert") == is_of(f, "alert") && other->member &&
                strcmp(other->member, f->member) == 0 && yaml_get(t->s.facts, other->name))
                write_elements(t, o, other, yaml_get(t->s.facts, other->name));
        json_out_array_end(o);
    } else if (f->inner) {
        json_out_object(o, f->member);
        write_value(t, o, f->inner, f, value);
        json_out_object_end(o);
    } else {
        write_value(t, o, f->member, f, value);
    }
}

/* The field of the test that gives a member of a document, the first in the order of the table; or NULL. */
static const struct field *giver(const struct testing *t, const char *document, const char *member)
{
    for (const struct field *f = field_table(); f->name; f++)
        if (is_of(f, document) && strcmp(f->member, member) == 0 && yaml_get(t->s.facts, f->name))
            return f;
    return NULL;
}

/* The id that holds the two documents together: what a test says of it in one holds for the other, too. Else each
 * verdict would be that Defender answered with another machine, whatever the policy says of this one. */
static const char *machine_id_of(struct testing *t)
{
    const struct yaml_node *const said[] = {
        yaml_get(t->s.facts, "machine.id"), yaml_get(t->s.facts, "alert.machine_id"),
        yaml_get(t->s.machine, "id"), yaml_get(t->s.alert, "machineId")};

    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (said[i] && said[i]->kind == YAML_SCALAR && !said[i]->null)
            return settings_text(t->reader, said[i]);
    return MACHINE_ID;
}

/* own: the document in the test, or NULL. */
static struct json *make_document(struct testing *t, const char *document,
                                  const struct yaml_node *own, const struct base *ordinary)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(DOCUMENT_MAX);
    struct json_out o = JSON_OUT(&b);
    struct json *doc = NULL;

    json_out_object(&o, NULL);
    for (const struct field *f = field_table(); f->name; f++)
        if (is_of(f, document) && f == giver(t, document, f->member))
            write_member(t, &o, f);
    for (const struct yaml_node *n = own ? own->first : NULL; n; n = n->next)
        if (!giver(t, document, n->key->text))
            write_node(t, &o, n->key->text, n);
    for (const struct base *x = ordinary; x->member; x++) {
        /* an own document says all of itself but for the ids that hold the two together */
        bool id = strcmp(x->member, "id") == 0 || strcmp(x->member, "machineId") == 0;

        if ((own && (!id || yaml_get(own, x->member))) || giver(t, document, x->member))
            continue;
        if (x->value)
            json_out_raw(&o, x->member, x->value);
        else
            json_out_string(&o, x->member, t->machine_id);
    }
    json_out_object_end(&o);
    if (t->good && (buf_failed(&b) || json_parse(buf_text(&b), b.len, &doc, NULL)))
        fault(t, own ? own : t->at, "the document of this test cannot be read as JSON");
    return doc;
}

/* ---- what the file says ------------------------------------------------------------------------- */

static void check_facts(struct testing *t)
{
    const struct yaml_node *facts = t->s.facts;

    if (facts && facts->kind != YAML_MAP) {
        fault(t, facts, "facts: expected a map of fields, such as {alert.severity: High}");
        t->s.facts = NULL;
        return;
    }
    for (const struct yaml_node *n = facts ? facts->first : NULL; n; n = n->next) {
        char meant[YAML_MEANT_SIZE];

        if (!field_find(n->key->text))
            fault(
                t, n->key,
                arena_fmt(t->reader->arena, "no such field '%.60s'%s", n->key->text,
                          yaml_meant(field_nearest(n->key->text), "; see `cordon fields`", meant)));
        else if (strcmp(n->key->text, "tenant") == 0)
            fault(t, n->key, "tenant: it follows from the source; name that");
    }
}

/* Would the engine understand what the test says that Defender sent? A slip in a test judges something else than is
 * meant, and may hold by that. A word that cordon does not know is let through, as a test may be about one, unless it
 * is nearly one that it knows; `alert` and `machine` take anything. */
static void check_value(struct testing *t, const struct yaml_node *at, const struct field *f,
                        const char *text)
{
    static const char *const expected[] = {
        [FIELD_TEXT] = "a text",           [FIELD_NUMBER] = "a whole number",
        [FIELD_BOOL] = "true or false",    [FIELD_TIME] = "a time or an age such as 2h",
        [FIELD_ADDRESS] = "an IP address",
    };
    struct arena *a = t->reader->arena;
    const char *near = f->words ? yaml_nearest(text, f->words) : NULL;
    const char *noun = field_noun(f, a);

    if (near)
        fault(t, at,
              arena_fmt(a, "%s: '%.60s' is no %s; did you mean %s?", f->name, text,
                        noun ? noun : "value", near));
    else if (!f->words)
        fault(t, at,
              arena_fmt(a, "%s: expected %s, found '%.60s'", f->name, expected[f->type], text));
}

static void check_values(struct testing *t, const struct facts *facts)
{
    for (const struct yaml_node *n = t->s.facts ? t->s.facts->first : NULL; n; n = n->next) {
        const struct field *f = field_find(n->key->text);
        struct field_value value;

        if (field_read(f, facts, t->reader->arena, &value) != ERR_OK) {
            fault(t, n, NULL);
            return;
        }
        for (size_t i = 0; i < value.count; i++)
            if (!value.items[i].known)
                check_value(t, n, f, value.items[i].text);
    }
}

/* The source that the test is about. */
static void find_source(struct testing *t)
{
    const struct yaml_node *at = yaml_get(t->s.facts, "source");
    const char *name =
        at && at->kind == YAML_SCALAR && !at->null ? settings_text(t->reader, at) : NULL;
    const char **names;

    if (!at)
        return;
    for (size_t i = 0; name && i < t->n_sources; i++)
        if (strcmp(t->sources[i].name, name) == 0) {
            t->source = &t->sources[i];
            return;
        }
    names = arena_array(t->reader->arena, t->n_sources + 1, sizeof *names);
    for (size_t i = 0; names && i < t->n_sources; i++)
        names[i] = t->sources[i].name;
    name = name ? name : "";
    fault(t, at,
          arena_fmt(t->reader->arena, "source: there is no source '%.60s'%s", name,
                    settings_meant(t->reader, name, names)));
}

/* A document must be a map; that of the machine may be `none`, and then *ret_none (which may be NULL). */
static void check_document(struct testing *t, const struct yaml_node *n, const char *what,
                           bool *ret_none)
{
    bool none = ret_none && n && n->kind == YAML_SCALAR && strcmp(n->text, "none") == 0;

    if (n && n->kind != YAML_MAP && !none)
        fault(t, n,
              arena_fmt(t->reader->arena, "%s: expected a map as Defender sends it%s", what,
                        ret_none ? ", or none" : ""));
    if (ret_none)
        *ret_none = none;
}

/* ---- the verdict against what was expected ----------------------------------------------------- */

static bool is_none(const char *text)
{
    return strcmp(text, "none") == 0;
}

static const char *joined(struct arena *a, const struct verdict *v)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(SAID_MAX);

    for (size_t i = 0; i < v->n_steps; i++)
        if (!v->steps[i].withheld)
            buf_addf(&b, "%s%s", b.len ? ", " : "", v->steps[i].handler);
    return b.len ? arena_str(a, buf_text(&b)) : "none";
}

/* "; withheld: isolate (protected: …)", for whoever expected something else. */
static const char *held_back(struct arena *a, const struct verdict *v)
{
    for (size_t i = 0; i < v->n_steps; i++)
        if (v->steps[i].withheld)
            return arena_fmt(a, "; withheld is %s: %s", v->steps[i].handler, v->steps[i].withheld);
    return v->doubt ? arena_fmt(a, "; in doubt: %s", v->doubt) : "";
}

static void expect_rule(struct testing *t, const struct yaml_node *at, const char *rule,
                        const struct verdict *v)
{
    struct arena *a = t->reader->arena;
    const char *const *names = policy_rule_names(t->policy, a);
    size_t i = 0;

    while (names && names[i] && strcmp(names[i], rule) != 0)
        i++;
    if (!names) {
        fault(t, at, NULL);
    } else if (!names[i] && !is_none(rule)) {
        fault(t, at,
              arena_fmt(a, "expect.rule: there is no rule '%.64s'%s", rule,
                        settings_meant(t->reader, rule, names)));
    } else if (v->rule ? strcmp(v->rule, rule) != 0 : names[i] != NULL) {
        fault(t, at,
              arena_fmt(a, "test '%s' fails: expected rule %s, got %s%s", t->s.name, rule,
                        v->rule ? v->rule : "none", v->doubt ? held_back(a, v) : ""));
    }
}

static void expect_steps(struct testing *t, const struct yaml_node *list, const struct verdict *v)
{
    AUTO(buf_clear) struct buf wanted = BUF_INIT(SAID_MAX);
    struct arena *a = t->reader->arena;
    const char *got = joined(a, v);

    if (list->kind != YAML_LIST) {
        fault(t, list, "expect.steps: expected a list of steps, such as [isolate, email]");
        return;
    }
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        const char *name = n->kind == YAML_SCALAR && !n->null ? settings_text(t->reader, n) : NULL;

        if (!name || !handler_find(name)) {
            fault(t, n,
                  arena_fmt(a, "expect.steps: there is no step '%.60s'%s", name ? name : "",
                            settings_meant(t->reader, name ? name : "", policy_step_names(a))));
            return;
        }
        buf_addf(&wanted, "%s%s", wanted.len ? ", " : "", name);
    }
    if (!got || strcmp(wanted.len ? buf_text(&wanted) : "none", got) != 0)
        fault(t, list,
              arena_fmt(a, "test '%s' fails: expected the steps %s, got %s%s", t->s.name,
                        wanted.len ? buf_text(&wanted) : "none", got ? got : "?", held_back(a, v)));
}

static void expect_withheld(struct testing *t, const struct yaml_node *at, const char *glob,
                            const struct verdict *v)
{
    struct arena *a = t->reader->arena;
    size_t withheld = 0;

    for (size_t i = 0; i < v->n_steps; i++) {
        if (!v->steps[i].withheld)
            continue;
        withheld++;
        if (is_none(glob) ||
            fnmatch(glob, v->steps[i].withheld, FNM_NOESCAPE | FNM_CASEFOLD) != 0) {
            fault(t, at,
                  arena_fmt(a, "test '%s' fails: expected withheld %s, got %s: %s", t->s.name, glob,
                            v->steps[i].handler, v->steps[i].withheld));
            return;
        }
    }
    if (!withheld && !is_none(glob))
        fault(t, at,
              arena_fmt(a, "test '%s' fails: expected steps withheld (%s), got the steps %s",
                        t->s.name, glob, joined(a, v)));
}

static void expect_asks(struct testing *t, const struct yaml_node *at, const char *glob,
                        const struct verdict *v)
{
    struct arena *a = t->reader->arena;
    const char *asks = NULL;

    for (size_t i = 0; i < v->n_steps && !asks; i++) /* of one verdict all are the same */
        asks = v->steps[i].asks;
    if (is_none(glob) ? asks != NULL
                      : !asks || fnmatch(glob, asks, FNM_NOESCAPE | FNM_CASEFOLD) != 0)
        fault(t, at,
              arena_fmt(a, "test '%s' fails: expected that a person is asked about %s, got %s%s",
                        t->s.name, glob, asks ? asks : "none", asks ? "" : held_back(a, v)));
}

static void compare(struct testing *t, const struct verdict *v)
{
    const struct yaml_node *expect = t->s.expect;
    struct expect_settings x = {0};
    size_t before = t->reader->faults->count;

    settings_read(t->reader, expect, "expect", expect_table, &x);
    if (t->reader->faults->count > before)
        return;
    if (!x.rule && !x.steps && !x.withheld && !x.asks) {
        fault(t, expect, "expect: expected at least one of rule, steps, withheld, asks");
        return;
    }
    if (x.rule)
        expect_rule(t, yaml_get(expect, "rule"), x.rule, v);
    if (x.steps && t->good)
        expect_steps(t, x.steps, v);
    if (x.withheld && t->good)
        expect_withheld(t, yaml_get(expect, "withheld"), x.withheld, v);
    if (x.asks && t->good)
        expect_asks(t, yaml_get(expect, "asks"), x.asks, v);
}

/* ---- running ------------------------------------------------------------------------------------ */

static void judge(struct testing *t)
{
    AUTO(json_freep) struct json *alert = NULL, *machine = NULL;
    struct arena *a = t->reader->arena;
    const struct policy *live = policy_live(t->policy, a);
    struct facts f = {.tenant = t->source->tenant,
                      .source = t->source->name,
                      .may_isolate = t->source->may_isolate,
                      .read_ms = t->now};
    bool no_machine;
    struct verdict v;
    struct err e = {0};

    check_document(t, t->s.alert, "alert", NULL);
    check_document(t, t->s.machine, "machine", &no_machine);
    for (const struct yaml_node *n = no_machine && t->s.facts ? t->s.facts->first : NULL; n;
         n = n->next)
        if (is_of(field_find(n->key->text), "machine"))
            fault(t, n->key,
                  arena_fmt(t->reader->arena, "%s: the test is about no machine", n->key->text));
    if (!t->good || !(t->machine_id = machine_id_of(t)))
        return;
    alert = make_document(t, "alert", t->s.alert, ordinary_alert);
    if (!no_machine)
        machine = make_document(t, "machine", t->s.machine, ordinary_machine);
    if (!t->good)
        return;
    f.alert = alert;
    f.machine = machine;
    f.alert_id = json_get_string(alert, "id");
    check_values(t, &f);
    if (!t->good)
        return;
    if (!live || decide(live, &f, t->now, a, &v, &e))
        fault(t, t->at, live ? arena_str(a, e.text) : NULL);
    else
        compare(t, &v);
}

static void run_test(struct testing *t)
{
    size_t before = t->reader->faults->count;
    struct err e = {0};

    settings_read(t->reader, t->at, "test", test_table, &t->s);
    check_facts(t);
    find_source(t);
    if (t->s.at && settings_time(t->s.at, &t->now, &e))
        fault(t, yaml_get(t->at, "at"),
              arena_fmt(t->reader->arena,
                        "test.at: expected a time such as 2026-01-01T00:00:00Z, "
                        "found '%.60s'",
                        t->s.at));
    if (t->reader->faults->count == before)
        judge(t);
}

size_t policy_tests_run(const struct settings_reader *reader, const struct yaml_node *tests,
                        const struct policy *p, const struct policy_tests_source *sources, size_t n)
{
    const struct policy_tests_source usual = {.name = n ? sources[0].name : "test",
                                              .tenant = n ? sources[0].tenant : "test",
                                              .may_isolate = true};
    /* A verdict explains every rule: what hundreds of tests leave behind is not kept for as long as the configuration. */
    AUTO(arena_freep) struct arena *scratch = arena_new(0);
    struct settings_reader own = *reader;
    size_t count = 0;

    if (tests->kind != YAML_LIST || !scratch) {
        yaml_fault(reader->faults, tests,
                   scratch ? "tests: expected a list of tests" : "out of memory");
        return 0;
    }
    own.arena = scratch;
    for (const struct yaml_node *at = tests->first; at; at = at->next, count++) {
        struct testing t = {.reader = &own,
                            .policy = p,
                            .sources = sources,
                            .n_sources = n,
                            .source = &usual,
                            .at = at,
                            .now = USUAL_NOW,
                            .good = true};

        run_test(&t);
        arena_reset(scratch);
    }
    return count;
}
