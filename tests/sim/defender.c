/* defender.c - the Defender for Endpoint API: alerts, machines, machine actions (sections 2, 3, 4, 7).
 *
 * One table of routes. A request passes, in this order: token (401), quota (429), path (404, 405), role
 * (403), then its handler. Paths are compared without case (trap 9), keys in bodies with it (trap 1).
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "house.h"
#include "hunting.h"
#include "odata.h"

/* Real answers name a regional host that the client did not ask for: section 1.1. */
#define CONTEXT_HOST "https://api-eu3.securitycenter.microsoft.com"
#define JSON_TYPE    "application/json; odata.metadata=minimal"

#define SEGMENTS_MAX 6

struct request { /* a call with its path taken apart */
    struct call *c;
    char *segments[SEGMENTS_MAX]; /* decoded, below /api or /api/v1.0 */
    size_t count;
    const struct verb *verb; /* of the route, where it has one */
};

/* ---- answers ----------------------------------------------------------------------------------- */

void defender_error(struct call *c, unsigned status, const char *code, const char *fmt, ...)
{
    struct json_out o = JSON_OUT(&c->body);
    char message[800], target[GUID_SIZE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    buf_reset(&c->body);
    c->n_headers = 0;
    c->status = status;
    c->type = "application/json";
    json_out_object(&o, NULL); /* section 7.1 */
    json_out_object(&o, "error");
    json_out_string(&o, "code", code);
    json_out_string(&o, "message", message);
    json_out_string(&o, "target", world_guid(&c->house->world, target));
    json_out_object_end(&o);
    json_out_object_end(&o);
    if (status == 401)
        call_header(c, "WWW-Authenticate", "Bearer");
}

void defender_throttle(struct call *c, int64_t allowed, const char *window, int64_t seconds,
                       bool header, bool long_message)
{
    struct json_out o = JSON_OUT(&c->body);
    char message[240];
    int n = snprintf(message, sizeof message,
                     "API calls quota exceeded! maximum allowed %" PRId64 " per %s for the key "
                     "Destination+TenantID+AppID.",
                     allowed, window);

    if (long_message)
        snprintf(message + n, sizeof message - (size_t)n,
                 " You can send requests again in %" PRId64 " seconds.", seconds);
    buf_reset(&c->body);
    c->n_headers = 0;
    c->status = 429;
    c->type = "application/json";
    json_out_object(&o, NULL);
    json_out_object(&o, "error");
    json_out_string(&o, "code", "429"); /* trap 34 */
    json_out_string(&o, "message", message);
    json_out_string(&o, "target", c->house->world.tenant_id);
    json_out_object_end(&o);
    json_out_object_end(&o);
    if (header)
        call_header(c, "Retry-After", "%" PRId64, seconds);
}

static void not_found(struct call *c, const char *what, const char *id)
{
    defender_error(c, 404, "ResourceNotFound", "%s %s was not found", what, id);
}

static void answer_entity(struct call *c, unsigned status, const struct entity *en)
{
    struct json_out o = JSON_OUT(&c->body);
    char context[160];

    snprintf(context, sizeof context, "%s/api/$metadata#%s/$entity", CONTEXT_HOST, en->schema->set);
    c->status = status;
    c->type = JSON_TYPE;
    json_out_object(&o, NULL);
    json_out_string(&o, "@odata.context", context);
    entity_write_members(&o, en, NULL);
    json_out_object_end(&o);
}

/* ---- lists (section 2.4) ----------------------------------------------------------------------- */

struct list {
    const struct schema *schema;
    struct entity **all;
    size_t count;
    bool bare_count; /* …/$count: the number alone */
};

/* The query again with another $skip (and, when the client gave one, what is left of its $top). */
static char *next_link(struct call *c, const struct odata *o, int64_t sent)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 17);
    const char *host = c->house->world.tuning.lists.next_link_host;
    char *text = arena_str(c->arena, c->q->query), *save = NULL;

    buf_addf(&b, "%s%s?", host ? host : c->house->base_url, c->q->path);
    for (char *p = strtok_r(text, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        char *name = arena_str(c->arena, p);

        name[strcspn(name, "=")] = '\0';
        if (query_decode(name) && (strcasecmp(name, "$skip") == 0 || strcasecmp(name, "$top") == 0))
            continue;
        buf_addf(&b, "%s&", p);
    }
    if (o->top >= 0)
        buf_addf(&b, "$top=%" PRId64 "&", o->top - sent);
    buf_addf(&b, "$skip=%" PRId64, o->skip + sent);
    return arena_str(c->arena, buf_text(&b));
}

static void write_list(struct call *c, const struct list *l, const struct odata *o, size_t matched)
{
    struct json_out out = JSON_OUT(&c->body);
    int64_t page = c->house->world.tuning.lists.page_max, left, sent;
    bool no_evidence[ALERT_FIELD_COUNT];
    char context[160];

    left = (int64_t)matched > o->skip ? (int64_t)matched - o->skip : 0;
    if (o->top >= 0 && left > o->top)
        left = o->top;
    sent = left < page ? left : page;
    c->status = 200;
    c->type = JSON_TYPE;
    snprintf(context, sizeof context, "%s/api/$metadata#%s", CONTEXT_HOST, l->schema->set);
    json_out_object(&out, NULL);
    json_out_string(&out, "@odata.context", context);
    if (o->count)
        json_out_int(&out, "@odata.count", (int64_t)matched);
    json_out_array(&out, "value");
    for (size_t i = 0; i < ALERT_FIELD_COUNT; i++)
        no_evidence[i] = i != ALERT_EVIDENCE;
    for (int64_t i = o->skip; i < o->skip + sent; i++) {
        /* struct alert begins with its entity */
        bool evidence = o->expand_evidence && alert_has_evidence((const struct alert *)l->all[i]);

        if (l->schema != &alert_schema || evidence || o->select) {
            entity_write(&out, l->all[i], o->select);
            continue;
        }
        json_out_object(&out, NULL); /* [] and not the evidence unless expanded: trap 22 */
        entity_write_members(&out, l->all[i], no_evidence);
        json_out_raw(&out, "evidence", "[]");
        for (size_t x = 0; x < l->all[i]->n_extras; x++)
            json_out_raw(&out, l->all[i]->extras[x].name, l->all[i]->extras[x].json);
        json_out_object_end(&out);
    }
    json_out_array_end(&out);
    if (sent < left)
        json_out_string(&out, "@odata.nextLink", next_link(c, o, sent));
    json_out_object_end(&out);
}

static void answer_list(struct call *c, struct list *l, const struct odata *o)
{
    size_t matched = 0;

    for (size_t i = 0; i < l->count; i++)
        if (odata_matches(o->filter, l->all[i]))
            l->all[matched++] = l->all[i];
    if (l->bare_count) {
        c->status = 200;
        c->type = "text/plain";
        buf_addf(&c->body, "%zu", matched); /* section 2.1 */
        return;
    }
    odata_sort(o, l->all, matched);
    write_list(c, l, o, matched);
}

/* Reads the query; false: answered with 400. */
static bool read_query(struct call *c, const struct schema *s, struct odata *ret)
{
    struct err e;

    if (!odata_read(c->arena, s, c->q->query, ret, &e))
        return true;
    defender_error(c, 400, "ODataError", "%s", e.text);
    return false;
}

static void make_room(struct call *c, struct list *l, size_t count)
{
    l->all = arena_array(c->arena, count + 1, sizeof *l->all);
    assert(l->all); /* a simulator without memory can only stop */
}

/* ---- alerts (section 2) ------------------------------------------------------------------------ */

/* of: only those of this machine; NULL: all. */
static void list_alerts(struct request *r, const struct machine *of, bool bare_count)
{
    struct world *w = &r->c->house->world;
    struct list l = {.schema = &alert_schema, .bare_count = bare_count};
    struct odata o;
    const char **keys;

    if (!read_query(r->c, l.schema, &o))
        return;
    make_room(r->c, &l, w->n_alerts);
    keys = odata_keys(r->c->arena, o.filter, ALERT_ID);
    for (size_t i = 0; keys ? keys[i] != NULL : i < w->n_alerts; i++) {
        struct alert *a = keys ? world_alert(w, keys[i]) : w->alerts[i];

        /* a list that asks for it by id reads it as a GET does */
        if (a && (keys ? world_read_alert(w, a) : alert_is_visible(w, a)) &&
            (!of || strcasecmp(entity_text(&a->e, ALERT_MACHINE_ID), of->key) == 0))
            l.all[l.count++] = &a->e;
    }
    answer_list(r->c, &l, &o);
}

static void alerts_list(struct request *r)
{
    list_alerts(r, NULL, false);
}

static void alerts_count(struct request *r)
{
    list_alerts(r, NULL, true);
}

static struct alert *alert_of(struct request *r)
{
    struct alert *a = world_alert(&r->c->house->world, r->segments[1]);

    if (!a)
        not_found(r->c, "Alert", r->segments[1]);
    return a;
}

static void alert_get(struct request *r)
{
    struct odata o;
    struct alert *a;

    if (!read_query(r->c, &alert_schema, &o) || !(a = alert_of(r)))
        return;
    if (!world_read_alert(&r->c->house->world, a)) { /* too new: trap 39 */
        not_found(r->c, "Alert", r->segments[1]);
        return;
    }
    if (!alert_has_evidence(a)) { /* "or incomplete (no evidence)": trap 39 */
        struct value real = a->e.values[ALERT_EVIDENCE];

        a->e.values[ALERT_EVIDENCE] = (struct value){.type = VALUE_JSON, .text = "[]"};
        answer_entity(r->c, 200, &a->e);
        a->e.values[ALERT_EVIDENCE] = real;
        return;
    }
    answer_entity(r->c, 200, &a->e);
}

static void alert_machine(struct request *r)
{
    struct alert *a = alert_of(r);
    const char *id = a ? entity_text(&a->e, ALERT_MACHINE_ID) : "";
    struct machine *m = world_machine(&r->c->house->world, id, false);

    if (!a)
        return;
    if (!alert_is_visible(&r->c->house->world, a))
        not_found(r->c, "Alert", r->segments[1]);
    else if (!m) /* section 2.1: 404 when alert or device missing */
        not_found(r->c, "Machine", id);
    else
        answer_entity(r->c, 200, &m->e);
}

/* The body as an object; false: answered with 400 (or 415). */
static bool read_body(struct call *c, struct json **ret)
{
    const char *type = httpd_header(c->q, "Content-Type");
    struct err e;

    if (!type || strncasecmp(type, "application/json", 16) != 0) {
        c->status = 415;
        return false;
    }
    if (json_parse(c->q->body, c->q->body_len, ret, &e) || json_type(*ret) != JSON_OBJECT) {
        json_free(*ret);
        *ret = NULL;
        defender_error(c, 400, "InvalidRequestBody", "Request body is incorrect");
        return false;
    }
    return true;
}

/* Keys are exact (trap 1): one that differs by case alone, or that nobody knows, is refused. */
static bool keys_are_known(struct call *c, const struct json *body, const char *const *known)
{
    JSON_EACH (v, body) {
        size_t i = 0;

        while (known[i] && strcmp(known[i], json_name(v)) != 0)
            i++;
        if (!known[i]) {
            defender_error(c, 400, "InvalidRequestBody",
                           "Request body is incorrect: unexpected property '%.60s'", json_name(v));
            return false;
        }
    }
    return true;
}

static void alert_patch(struct request *r)
{
    static const char *const known[] = {"status",  "assignedTo", "classification", "determination",
                                        "comment", NULL}; /* section 2.6: lower-case first letter */
    static const int fields[] = {ALERT_STATUS, ALERT_ASSIGNED_TO, ALERT_CLASSIFICATION,
                                 ALERT_DETERMINATION};
    struct call *c = r->c;
    struct world *w = &c->house->world;
    AUTO(json_freep) struct json *body = NULL;
    struct alert *a;
    int64_t now = simclock_now(&w->clock);

    if (!read_body(c, &body) || !keys_are_known(c, body, known) || !(a = alert_of(r)))
        return;
    JSON_EACH (v, body)
        if (json_type(v) != JSON_STRING && json_type(v) != JSON_NULL) {
            defender_error(c, 400, "InvalidRequestBody", "Request body is incorrect");
            return;
        }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (json_get_string(body, known[i]))
            entity_set(&a->e, fields[i], json_get_string(body, known[i]));
    if (json_get_string(body, "comment")) { /* appended */
        AUTO(buf_clear) struct buf b = BUF_INIT(SIZE_MAX);
        struct json_out o = JSON_OUT(&b);
        char text[TICKS_TEXT_SIZE];

        json_out_object(&o, NULL);
        json_out_string(&o, "comment", json_get_string(body, "comment"));
        json_out_string(&o, "createdBy", c->name);
        json_out_string(&o, "createdTime", ticks_format(now, world_digits(w), text));
        json_out_object_end(&o);
        entity_append_json(&a->e, ALERT_COMMENTS, buf_text(&b));
    }
    if (json_get_string(body, "status") && strcmp(json_get_string(body, "status"), "Resolved") == 0)
        entity_set_time(&a->e, ALERT_RESOLVED_TIME, now, world_digits(w));
    entity_set_time(&a->e, ALERT_LAST_UPDATE_TIME, now, world_digits(w));
    answer_entity(c, 200, &a->e);
}

/* Section 2.7. An open alert with the same title on the same device absorbs the new one. */
static void alert_by_reference(struct request *r)
{
    static const char *const known[] = {"machineId",   "severity",          "title",
                                        "description", "recommendedAction", "eventTime",
                                        "reportId",    "category",          NULL};
    static const int fields[] = {ALERT_MACHINE_ID, ALERT_SEVERITY, ALERT_TITLE, ALERT_DESCRIPTION};
    struct call *c = r->c;
    struct world *w = &c->house->world;
    AUTO(json_freep) struct json *body = NULL, *object = NULL;
    AUTO(buf_clear) struct buf text = BUF_INIT(SIZE_MAX);
    struct json_out o = JSON_OUT(&text);
    struct alert *a = NULL;
    struct err e;

    if (!read_body(c, &body) || !keys_are_known(c, body, known))
        return;
    for (size_t i = 0; known[i]; i++)
        if (!json_get_string(body, known[i]) && strcmp(known[i], "category") != 0) {
            defender_error(c, 400, "BadRequest", "%s argument is missing", known[i]);
            return;
        }
    if (!hunting_has_event(c->house, json_get_string(body, "machineId"),
                           json_get_string(body, "reportId"), json_get_string(body, "eventTime"))) {
        not_found(c, "Event", json_get_string(body, "reportId"));
        return;
    }
    for (size_t i = 0; i < w->n_alerts && !a; i++)
        if (strcasecmp(entity_text(&w->alerts[i]->e, ALERT_MACHINE_ID),
                       json_get_string(body, "machineId")) == 0 &&
            strcmp(entity_text(&w->alerts[i]->e, ALERT_TITLE), json_get_string(body, "title")) ==
                0 &&
            strcmp(entity_text(&w->alerts[i]->e, ALERT_STATUS), "Resolved") != 0)
            a = w->alerts[i];
    if (!a) {
        json_out_object(&o, NULL);
        for (size_t i = 0; i < 4; i++)
            json_out_string(&o, alert_schema.fields[fields[i]].name,
                            json_get_string(body, known[i]));
        if (json_get_string(body, "category"))
            json_out_string(&o, "category", json_get_string(body, "category"));
        json_out_string(&o, "detectionSource", "CustomerTI");
        json_out_object_end(&o);
        if (json_parse(buf_text(&text), text.len, &object, &e) ||
            world_put_alert(w, object, &a, &e)) {
            defender_error(c, 400, "BadRequest", "%s", e.text);
            return;
        }
    }
    answer_entity(c, 200, &a->e);
}

static void hunting_run(struct request *r)
{
    hunting_serve_defender(r->c);
}

/* ---- machines (section 3) ---------------------------------------------------------------------- */

static void list_machines(struct request *r, bool bare_count)
{
    struct world *w = &r->c->house->world;
    struct list l = {.schema = &machine_schema, .bare_count = bare_count};
    struct odata o;
    const char **keys;

    if (!read_query(r->c, l.schema, &o))
        return;
    make_room(r->c, &l, w->n_machines);
    if (!w->n_machines && w->tuning.lists.empty_machines_404) { /* trap 38 */
        defender_error(r->c, 404, "NotFound", "No machines were found");
        return;
    }
    keys = odata_keys(r->c->arena, o.filter, MACHINE_ID);
    for (size_t i = 0; keys ? keys[i] != NULL : i < w->n_machines; i++) {
        struct machine *m = keys ? world_machine(w, keys[i], false) : w->machines[i];

        if (m)
            l.all[l.count++] = &m->e;
    }
    answer_list(r->c, &l, &o);
}

static void machines_list(struct request *r)
{
    list_machines(r, false);
}

static void machines_count(struct request *r)
{
    list_machines(r, true);
}

static struct machine *machine_of(struct request *r, bool by_name)
{
    struct machine *m = world_machine(&r->c->house->world, r->segments[1], by_name);

    if (!m)
        not_found(r->c, "Machine", r->segments[1]);
    return m;
}

static void machine_get(struct request *r)
{
    struct machine *m = machine_of(r, true); /* by DNS name too: section 3.1 */

    if (m)
        answer_entity(r->c, 200, &m->e);
}

static void machine_alerts(struct request *r)
{
    struct machine *m = machine_of(r, false);

    if (m)
        list_alerts(r, m, r->count == 4);
}

/* A list lags behind what was just done (our assumption: nothing promises that it does not). */
static bool is_listed(const struct world *w, const struct action *a)
{
    return simclock_now(&w->clock) - a->created >= w->tuning.actions.listed_after_ms * TICKS_PER_MS;
}

/* of: only those of this machine; NULL: all. */
static void list_actions(struct request *r, struct machine *of)
{
    struct world *w = &r->c->house->world;
    struct list l = {.schema = &action_schema};
    struct odata o;
    const char **keys;

    if (!read_query(r->c, l.schema, &o))
        return;
    make_room(r->c, &l, w->n_actions);
    world_settle(w);
    keys = of ? NULL : odata_keys(r->c->arena, o.filter, ACTION_MACHINE_ID);
    for (size_t i = 0; keys && keys[i]; i++) {
        struct machine *m = world_machine(w, keys[i], false);

        for (size_t k = 0; m && k < m->n_actions; k++)
            if (is_listed(w, m->actions[k]))
                l.all[l.count++] = &m->actions[k]->e;
    }
    for (size_t i = 0; of && i < of->n_actions; i++)
        if (is_listed(w, of->actions[i]))
            l.all[l.count++] = &of->actions[i]->e;
    for (size_t i = 0; !keys && !of && i < w->n_actions; i++)
        if (is_listed(w, w->actions[i]))
            l.all[l.count++] = &w->actions[i]->e;
    answer_list(r->c, &l, &o);
}

static void machine_actions(struct request *r)
{
    struct machine *m = machine_of(r, false);

    if (m)
        list_actions(r, m);
}

static const char *required_text(struct call *c, const struct json *body, const char *name)
{
    const struct json *v = json_get(body, name);
    const char *text = json_string(v);

    if (v && !text && json_type(v) != JSON_NULL)
        defender_error(c, 400, "InvalidRequestBody", "Request body is incorrect: '%s'", name);
    else if (!text || !*text)
        defender_error(c, 400, "MissingRequiredParameter", "Missing required parameter: %s", name);
    else
        return text;
    return NULL;
}

static bool is_one_of(struct call *c, const char *name, const char *text, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return true;
    defender_error(c, 400, "InvalidInput", "The value '%.60s' of %s is not valid", text, name);
    return false;
}

static void machine_tags(struct request *r)
{
    static const char *const known[] = {"Value", "Action", NULL};
    static const char *const words[] = {"Add", "Remove", NULL};
    struct call *c = r->c;
    AUTO(json_freep) struct json *body = NULL, *tags = NULL;
    AUTO(buf_clear) struct buf b = BUF_INIT(1 << 16);
    struct json_out o = JSON_OUT(&b);
    const char *value, *action, *old;
    struct machine *m;

    if (!read_body(c, &body) || !keys_are_known(c, body, known) ||
        !(value = required_text(c, body, "Value")) ||
        !(action = required_text(c, body, "Action")) || !is_one_of(c, "Action", action, words) ||
        !(m = machine_of(r, false)))
        return;
    old = m->e.values[MACHINE_TAGS].type == VALUE_JSON ? m->e.values[MACHINE_TAGS].text : "[]";
    if (json_parse(old, strlen(old), &tags, NULL))
        return;
    json_out_array(&o, NULL);
    JSON_EACH (t, tags)
        if (!json_string(t) || strcmp(json_string(t), value) != 0)
            json_out_value(&o, NULL, t);
    if (strcmp(action, "Add") == 0)
        json_out_string(&o, NULL, value);
    json_out_array_end(&o);
    entity_set_json(&m->e, MACHINE_TAGS, buf_text(&b));
    answer_entity(c, 200, &m->e);
}

static void machine_value(struct request *r)
{
    static const char *const known[] = {"DeviceValue", NULL};
    static const char *const words[] = {"Normal", "Low", "High", NULL};
    struct call *c = r->c;
    AUTO(json_freep) struct json *body = NULL;
    const char *value;
    struct machine *m;

    if (!read_body(c, &body) || !keys_are_known(c, body, known) ||
        !(value = required_text(c, body, "DeviceValue")) ||
        !is_one_of(c, "DeviceValue", value, words) || !(m = machine_of(r, false)))
        return;
    entity_set(&m->e, MACHINE_DEVICE_VALUE, value);
    answer_entity(c, 200, &m->e);
}

/* ---- acting on machines (section 4) ------------------------------------------------------------ */

static const char *const isolation_types[] = {"Full", "Selective", "UnManagedDevice", NULL};
static const char *const scan_types[] = {"Quick", "Full", NULL};

/* Section 4.1's table. */
static const struct verb {
    const char *tail, *type, *role;
    const char *extra;        /* its own key; NULL: none */
    const char *const *words; /* what that may hold; NULL: anything */
    bool extra_is_optional;   /* IsolationType: "optional in [M]; send it" */
} verbs[] = {
    {"isolate", "Isolate", "Machine.Isolate", "IsolationType", isolation_types, true},
    {"unisolate", "Unisolate", "Machine.Isolate", NULL, NULL, false},
    {"restrictCodeExecution", "RestrictCodeExecution", "Machine.RestrictExecution", NULL, NULL,
     false},
    {"unrestrictCodeExecution", "UnrestrictCodeExecution", "Machine.RestrictExecution", NULL, NULL,
     false},
    {"runAntiVirusScan", "RunAntiVirusScan", "Machine.Scan", "ScanType", scan_types, false},
    {"collectInvestigationPackage", "CollectInvestigationPackage", "Machine.CollectForensics", NULL,
     NULL, false},
    {"StopAndQuarantineFile", "StopAndQuarantineFile", "Machine.StopAndQuarantine", "Sha1", NULL,
     false},
    {"offboard", "Offboard", "Machine.Offboard", NULL, NULL, false},
};
#define VERBS (sizeof verbs / sizeof *verbs)

static const struct verb *verb_of(const char *tail)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcasecmp(verbs[i].tail, tail) == 0)
            return &verbs[i];
    return NULL;
}

/* What keeps this machine from doing it, for good; false: answered. */
static bool can_do(struct call *c, struct machine *m, const struct verb *v, const char *extra)
{
    const char *os = entity_text(&m->e, MACHINE_OS_PLATFORM);
    bool isolate = strcmp(v->type, "Isolate") == 0;

    if (m->refuse_status) {
        defender_error(c, m->refuse_status, m->refuse_code ? m->refuse_code : "BadRequest", "%s",
                       m->refuse_message ? m->refuse_message : "The action cannot be done");
        return false;
    }
    /* section 4.6: Selective is for Windows; phones cannot be isolated at all */
    if (isolate && ((extra && strcmp(extra, "Selective") == 0 && strncmp(os, "Windows", 7) != 0) ||
                    strcmp(os, "iOS") == 0 || strcmp(os, "Android") == 0)) {
        defender_error(c, 400, "OsPlatformNotSupported",
                       "The action is not supported on the platform %s", os);
        return false;
    }
    /* trap 28: offboarded or unmanaged fails for good, or needs UnManagedDevice */
    if (isolate && (!extra || strcmp(extra, "UnManagedDevice") != 0) &&
        strcasecmp(entity_text(&m->e, MACHINE_ONBOARDING_STATUS), "Onboarded") != 0) {
        defender_error(c, 400, "BadRequest", "Machine %s is not onboarded",
                       entity_text(&m->e, MACHINE_ID));
        return false;
    }
    return true;
}

/* The same kind of action is pending or running: the three ways of section 4.5. false: answered. */
static bool may_start(struct call *c, const struct verb *v, struct action *open)
{
    const struct tuning *t = &c->house->world.tuning;

    if (!open)
        return true;
    if (t->actions.duplicate == DUPLICATE_ERROR400 ||
        strcmp(v->type, "CollectInvestigationPackage") == 0) { /* 400 if one runs: section 4.1 */
        defender_error(c, 400, "ActiveRequestAlreadyExists", "Action is already in progress");
        return false;
    }
    if (t->actions.duplicate == DUPLICATE_EXISTING201) {
        c->action_id = entity_text(&open->e, ACTION_ID);
        answer_entity(c, (unsigned)t->actions.success_status, &open->e);
        return false;
    }
    return true; /* second201 */
}

static void count_post(struct world *w, struct machine *m, const struct verb *v)
{
    bool isolate = strcmp(v->type, "Isolate") == 0;

    if (!isolate && strcmp(v->type, "Unisolate") != 0)
        return;
    *(isolate ? &w->isolate_posts : &w->unisolate_posts) += 1;
    if (m)
        *(isolate ? &m->isolate_posts : &m->unisolate_posts) += 1;
}

static void machine_act(struct request *r)
{
    struct call *c = r->c;
    struct world *w = &c->house->world;
    const struct verb *v = r->verb;
    const char *known[] = {"Comment", "ExternalId", "RequestSource", "Title", /* section 4.1 */
                           v->extra,  NULL};
    AUTO(json_freep) struct json *body = NULL;
    struct machine *m = world_machine(w, r->segments[1], false);
    const char *comment, *extra = NULL, *scope = NULL;
    struct action *open, *a;

    count_post(w, m, v);
    if (!read_body(c, &body) || !keys_are_known(c, body, known) ||
        !(comment = required_text(c, body, "Comment")))
        return;
    if (v->extra && (!v->extra_is_optional || json_get(body, v->extra))) {
        extra = required_text(c, body, v->extra);
        if (!extra || (v->words && !is_one_of(c, v->extra, extra, v->words)))
            return;
    }
    if (!m) {
        not_found(c, "Machine", r->segments[1]);
        return;
    }
    machine_settle(w, m);
    open = machine_open_action(m, v->type);
    if (!can_do(c, m, v, extra) || !may_start(c, v, open))
        return;
    if (v->words == scan_types || w->tuning.actions.scope == SCOPE_ECHO ||
        (w->tuning.actions.scope == SCOPE_RANDOM && world_below(w, 2)))
        scope = extra; /* null by default on Isolate, sometimes "Full": section 4.7 rule 6 */
    a = world_act(w, m, v->type, c->name, comment,
                  strcmp(v->type, "Unisolate") == 0 ? NULL : scope);
    if (json_get_string(body, "ExternalId"))
        entity_set(&a->e, ACTION_EXTERNAL_ID, json_get_string(body, "ExternalId"));
    if (json_get_string(body, "Title"))
        entity_set(&a->e, ACTION_TITLE, json_get_string(body, "Title"));
    if (v->extra && strcmp(v->extra, "Sha1") == 0) {
        AUTO(buf_clear) struct buf b = BUF_INIT(4096);
        struct json_out o = JSON_OUT(&b);

        json_out_object(&o, NULL);
        json_out_string(&o, "fileIdentifier", extra);
        json_out_string(&o, "fileIdentifierType", "Sha1");
        json_out_object_end(&o);
        entity_set_json(&a->e, ACTION_RELATED_FILE_INFO, buf_text(&b));
    }
    a->held = open && strcmp(v->type, "Isolate") == 0; /* "stays Pending and runs later" */
    if (strcmp(v->type, "Unisolate") == 0 && !m->isolated && m->outcome < 0 &&
        !machine_open_action(m, "Isolate"))
        a->outcome = w->tuning.actions.unisolate_idle == IDLE_FAILED ? OUTCOME_FAILED
                                                                     : a->outcome; /* 4.7 rule 4 */
    c->action_id = entity_text(&a->e, ACTION_ID);
    answer_entity(c, (unsigned)w->tuning.actions.success_status, &a->e);
    machine_settle(w, m); /* delays of 0: over at once, though the answer says Pending */
}

/* ---- machine actions (section 4.3) ------------------------------------------------------------- */

static void actions_list(struct request *r)
{
    list_actions(r, NULL);
}

static struct action *action_of(struct request *r)
{
    struct world *w = &r->c->house->world;
    struct action *a = world_action(w, r->segments[1]);

    if (a)
        machine_settle(w, a->machine);
    else
        not_found(r->c, "Machine action", r->segments[1]);
    return a;
}

static void action_get(struct request *r)
{
    struct action *a = action_of(r);

    if (a)
        answer_entity(r->c, 200, &a->e);
}

static void action_cancel(struct request *r)
{
    static const char *const known[] = {"Comment", NULL};
    struct call *c = r->c;
    AUTO(json_freep) struct json *body = NULL;
    const char *comment;
    struct action *a;

    if (!read_body(c, &body) || !keys_are_known(c, body, known) ||
        !(comment = required_text(c, body, "Comment")) || !(a = action_of(r)))
        return;
    if (!action_is_open(a)) { /* section 4.7 rule 3 */
        defender_error(c, 400, "BadRequest", "The action is already completed");
        return;
    }
    world_cancel(&c->house->world, a, c->name, comment);
    answer_entity(c, 200, &a->e);
}

/* The link as the documents show it: Defender's own host with its port, and some 1,500 characters of base64 as a token, percent-encoded in
 * lower case. Another one each time: it is good for minutes alone. */
#define PACKAGE_LINK                                                                               \
    "https://userrequests-us.securitycenter.windows.com:443/safedownload/"                         \
    "WDATP_Investigation_Package.zip?token="
#define PACKAGE_TOKEN 1120 /* bytes */

static void add_package_link(struct world *w, struct buf *out)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(2 * PACKAGE_TOKEN);
    unsigned char bytes[PACKAGE_TOKEN];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)world_below(w, 256);
    b64_add(&text, bytes, sizeof bytes);
    buf_adds(out, PACKAGE_LINK);
    for (const char *p = buf_text(&text); *p; p++)
        if (strchr("+/=", *p))
            buf_addf(out, "%%%02x", (unsigned)*p);
        else
            buf_addc(out, *p);
}

static void action_package(struct request *r)
{
    struct call *c = r->c;
    struct action *a = action_of(r);
    struct json_out o = JSON_OUT(&c->body);
    AUTO(buf_clear) struct buf uri = BUF_INIT(4 * PACKAGE_TOKEN);

    if (!a)
        return;
    if (!entity_is(&a->e, ACTION_TYPE, "CollectInvestigationPackage") ||
        a->status != OUTCOME_SUCCEEDED) { /* 404 while not complete: section 4.3 */
        not_found(c, "Package of", r->segments[1]);
        return;
    }
    buf_addc(&uri, '"'); /* wrapped in an extra pair of quotes: trap 31 */
    add_package_link(&c->house->world, &uri);
    buf_addc(&uri, '"');
    c->status = 200;
    c->type = JSON_TYPE;
    json_out_object(&o, NULL);
    json_out_string(&o, "@odata.context", CONTEXT_HOST "/api/$metadata#Edm.String");
    json_out_string(&o, "value", buf_text(&uri));
    json_out_object_end(&o);
}

/* ---- routes ------------------------------------------------------------------------------------ */

#define ALERT_READ    "Alert.Read.All,Alert.ReadWrite.All"
#define ALERT_WRITE   "Alert.ReadWrite.All"
#define MACHINE_READ  "Machine.Read.All,Machine.ReadWrite.All"
#define MACHINE_WRITE "Machine.ReadWrite.All"
/* any permission that allows one of the actions: section 4.3 */
#define ANY_ACTION                                                                                 \
    "Machine.Isolate,Machine.RestrictExecution,Machine.Scan,Machine.CollectForensics,"             \
    "Machine.StopAndQuarantine,Machine.Offboard,Machine.LiveResponse"

static const struct route {
    const char *method, *path; /* {}: any segment; {verb}: a tail of verbs[] */
    const char *roles;         /* one of them is enough; NULL: the verb's */
    void (*fn)(struct request *r);
} routes[] = {
    {"GET", "alerts", ALERT_READ, alerts_list},
    {"GET", "alerts/$count", ALERT_READ, alerts_count},
    {"GET", "alerts/{}", ALERT_READ, alert_get},
    {"PATCH", "alerts/{}", ALERT_WRITE, alert_patch},
    {"POST", "alerts/CreateAlertByReference", ALERT_WRITE, alert_by_reference},
    {"POST", "advancedqueries/run", "AdvancedQuery.Read.All", hunting_run},
    {"GET", "alerts/{}/machine", MACHINE_READ, alert_machine},
    {"GET", "machines", MACHINE_READ, machines_list},
    {"GET", "machines/$count", MACHINE_READ, machines_count},
    {"GET", "machines/{}", MACHINE_READ, machine_get},
    {"GET", "machines/{}/alerts", ALERT_READ, machine_alerts},
    {"GET", "machines/{}/alerts/$count", ALERT_READ, machine_alerts},
    {"GET", "machines/{}/machineActions", MACHINE_READ, machine_actions},
    {"POST", "machines/{}/tags", MACHINE_WRITE, machine_tags},
    {"POST", "machines/{}/setDeviceValue", MACHINE_WRITE, machine_value},
    {"POST", "machines/{}/{verb}", NULL, machine_act},
    {"GET", "machineactions", MACHINE_READ, actions_list},
    {"GET", "machineactions/{}", MACHINE_READ, action_get},
    {"POST", "machineactions/{}/cancel", ANY_ACTION, action_cancel},
    {"GET", "machineactions/{}/getPackageUri", MACHINE_READ, action_package},
};

/* Limits count per API (section 7.4): its first segment, but for those with limits of their own. */
static const char *counted_as(const struct route *found, const struct request *r)
{
    if (found && found->fn == action_package)
        return "getPackageUri";
    return found && found->fn == alert_by_reference ? "CreateAlertByReference" : r->segments[0];
}

static bool route_matches(const struct route *route, struct request *r)
{
    const char *p = route->path;

    for (size_t i = 0; i < r->count; i++) {
        size_t len = strcspn(p, "/");

        if (len == 2 && strncmp(p, "{}", 2) == 0) {
            if (!*r->segments[i])
                return false;
        } else if (len == 6 && strncmp(p, "{verb}", 6) == 0) {
            r->verb = verb_of(r->segments[i]);
            if (!r->verb)
                return false;
        } else if (strncasecmp(p, r->segments[i], len) != 0 || r->segments[i][len]) {
            return false;
        }
        p += len;
        if (i + 1 < r->count && *p++ != '/')
            return false;
    }
    return !*p;
}

static bool read_path(struct request *r)
{
    char *text = arena_str(r->c->arena, r->c->q->path + 5), *next; /* after "/api/" */

    if (strncasecmp(text, "v1.0/", 5) == 0) /* pins the version: section 1.1 */
        text += 5;
    for (char *p = text; p; p = next) {
        next = strchr(p, '/');
        if (next)
            *next++ = '\0';
        for (char *plus = strchr(p, '+'); plus; plus = strchr(plus, '+'))
            *plus = '\x01'; /* a plus is a plus in a path */
        if (r->count == SEGMENTS_MAX || !query_decode(p))
            return false;
        for (char *plus = strchr(p, '\x01'); plus; plus = strchr(plus, '\x01'))
            *plus = '+';
        r->segments[r->count++] = p;
    }
    return r->count > 0;
}

static bool has_role(const struct bearer *b, const char *wanted)
{
    for (size_t i = 0; b->roles[i]; i++) {
        const char *at = strstr(wanted, b->roles[i]);
        size_t len = strlen(b->roles[i]);

        for (; at; at = strstr(at + 1, b->roles[i]))
            if ((at == wanted || at[-1] == ',') && (at[len] == ',' || !at[len]))
                return true;
    }
    return false;
}

static void missing_role(struct call *c, const struct bearer *b, const char *wanted)
{
    AUTO(buf_clear) struct buf roles = BUF_INIT(4096);

    for (size_t i = 0; b->roles[i]; i++)
        buf_addf(&roles, "%s%s", i ? "," : "", b->roles[i]);
    defender_error(c, 403, "Forbidden", /* section 7.2 */
                   "Missing application roles. API required roles: %s, application roles: %s.",
                   wanted, buf_text(&roles));
}

/* The token's bearer; NULL: answered. */
static const struct bearer *let_in(struct call *c)
{
    static const char *const audiences[] = {
        "https://api.securitycenter.microsoft.com",
        "https://api.securitycenter.microsoft.com/",
        "https://securitycenter.onmicrosoft.com/windowsatpservice",
        "https://api-gcc.securitycenter.microsoft.us",
        "https://api-gov.securitycenter.microsoft.us",
    };
    const char *authorization = httpd_header(c->q, "Authorization");
    struct bearer *b = NULL;
    struct client *client;
    struct err e;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) {
        defender_error(c, 401, "Unauthorized", "Missing or invalid authorization header");
        return NULL;
    }
    if (entra_check(c->house, authorization + 7, &b, &e)) {
        defender_error(c, 401, "Unauthorized", "%s", e.text);
        return NULL;
    }
    c->client = arena_str(c->arena, b->client);
    client = world_client(&c->house->world, b->client);
    c->name = client ? client->name : c->client;
    for (size_t i = 0; i < sizeof audiences / sizeof *audiences; i++)
        if (strcmp(audiences[i], b->aud) == 0)
            return b;
    if (strcmp(b->aud, "https://api.security.microsoft.com") == 0) /* trap 41 */
        missing_role(c, b, ALERT_READ);
    else
        defender_error(c, 401, "Unauthorized", "Invalid audience: %s", b->aud);
    return NULL;
}

void defender_serve(struct call *c)
{
    struct request r = {.c = c};
    const struct route *found = NULL;
    const struct bearer *b;
    struct refusal refusal;
    const char *roles;
    bool path_known = false;

    if (!read_path(&r)) {
        defender_error(c, 404, "NotFound", "No HTTP resource was found");
        return;
    }
    c->api = r.segments[0];
    for (size_t i = 0; !found && i < sizeof routes / sizeof *routes; i++) {
        if (!route_matches(&routes[i], &r))
            continue;
        path_known = true;
        if (strcmp(routes[i].method, c->q->method) == 0)
            found = &routes[i];
    }
    b = let_in(c);
    if (!b)
        return;
    if (!limits_take(&c->house->limits, &c->house->world, b->client, counted_as(found, &r),
                     &refusal)) {
        const struct tuning *t = &c->house->world.tuning;

        defender_throttle(c, refusal.allowed, refusal.window, refusal.seconds,
                          t->limits.retry_after, t->limits.long_message);
        return;
    }
    if (!found) {
        defender_error(c, path_known ? 405 : 404, path_known ? "MethodNotAllowed" : "NotFound",
                       "No HTTP resource was found that matches the request");
        return;
    }
    assert(found->roles || r.verb);
    roles = found->roles ? found->roles : r.verb->role;
    if (!has_role(b, roles))
        missing_role(c, b, roles);
    else
        found->fn(&r);
}
