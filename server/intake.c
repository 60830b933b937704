/* intake.c - see intake.h. The shapes are section 2.2 of webhook-sources.md.
 *
 * A body is walked once. An object may carry ids of its own, or wrap others (`body`, `outputs`, `value`,
 * `alert`), or both, as long as all that one object says is about one alert. Whoever sends something that
 * can be read in two ways, or that belongs to another product, is refused with a sentence: a guess
 * here could isolate the wrong machine. The sentences go out to the sender, so they name our words and
 * places in the body, never its text.
 */
#include "intake.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "json.h"

#define WRAPPERS_MAX 4 /* nesting: webhook-sources.md section 2.2, extraction rules */

#define ALERT_ID_MAX   128 /* defender-api.md section 2.5 */
#define MACHINE_ID_MIN 32
#define MACHINE_ID_MAX 64 /* SHA-1 in hexadecimal is 40; room for what may come */
#define GUID_LENGTH    36

/* What is said of one alert; borrowed from the document. */
struct said {
    const char *alert, *machine, *tenant; /* NULL: not given */
};

/* What objects further out say for all that is inside them. */
struct around {
    const char *machine, *tenant;
    bool test;
    const char **
        only; /* all inside must be this one alert; *only NULL: the first one sets it. NULL: no rule */
    unsigned wrappers;
};

struct reading {
    struct arena *arena;
    struct alert_ref alerts[INTAKE_BATCH_MAX];
    size_t count;        /* of alerts, each once */
    size_t items;        /* read, doubles too */
    size_t tests, reals; /* items by what they are */
    struct err *e;
};

/* ---- words -------------------------------------------------------------------------------------- */

/* Names are compared without case, `_`, `-` and blanks: AlertId, alert_id, "Alert ID" (shape 3). */
static bool name_is(const char *name, const char *plain)
{
    for (;; name++) {
        char c = *name;

        if (c == '_' || c == '-' || c == ' ')
            continue;
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != *plain)
            return false;
        if (!c)
            return true;
        plain++;
    }
}

static size_t span_digits(const char *s)
{
    return strspn(s, "0123456789");
}

static bool is_guid(const char *s)
{
    for (size_t i = 0; i < GUID_LENGTH; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23
                ? s[i] != '-'
                : !strchr("0123456789abcdefABCDEF", s[i]) || !s[i])
            return false;
    return s[GUID_LENGTH] == '\0';
}

/* Does `id` name an alert by its looks: a provider's two letters (webhook-sources.md section 2.1), then a
 * GUID, a number, or two numbers with `_` between them, the second perhaps negative (defender-api.md
 * section 2.5). Not less: the plain GUID of some other product's message may begin with `da`, too. */
static bool looks_like_alert(const char *id)
{
    static const char providers[][3] = {"da", "ed", "ra", "ta", "ea", "fa", "aa", "ri",
                                        "ca", "ma", "rm", "ad", "dl", "dc", "sn", "ir"};
    const char *rest = id + 2;
    size_t n;

    for (size_t i = 0;; i++) {
        if (i == sizeof providers / sizeof *providers)
            return false;
        if (strncmp(id, providers[i], 2) == 0)
            break;
    }
    if (is_guid(rest))
        return true;
    n = span_digits(rest);
    if (!n)
        return false;
    rest += n;
    if (*rest == '_') {
        rest += rest[1] == '-' ? 2 : 1;
        n = span_digits(rest);
        rest += n;
    }
    return n && !*rest;
}

/* defender-api.md section 2.5; and no dots alone, which a path would take for a folder. */
static bool alert_id_is_good(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

    return n > 0 && n <= ALERT_ID_MAX && !id[n] && strspn(id, ".") < n;
}

static bool machine_id_is_good(const char *id)
{
    size_t n = strspn(id, "0123456789abcdefABCDEF");

    return n >= MACHINE_ID_MIN && n <= MACHINE_ID_MAX && !id[n];
}

/* ---- other people's schemas -------------------------------------------------------------------- */

static bool text_begins(const struct json *object, const char *name, const char *start)
{
    const char *text = json_get_string(object, name);

    return text && strncasecmp(text, start, strlen(start)) == 0;
}

/* What an object is when it is not for us, or NULL (shapes 9 to 13 of section 2.2, and section 4). Who
 * says `alertId` means ours, whatever stands beside it. */
static const char *foreign_schema(const struct json *o)
{
    JSON_EACH (m, o)
        if (name_is(json_name(m), "alertid"))
            return NULL;
    if (text_begins(o, "schemaId", "azureMonitor") || json_path(o, "data", "essentials", NULL))
        return "Azure Monitor's common alert schema is no Defender alert";
    if (json_get(o, "specversion"))
        return "CloudEvents envelopes are not available in this version";
    if (json_get(o, "eventType") && json_get(o, "eventTime"))
        return "Event Grid envelopes are not available in this version";
    if (json_get(o, "subscriptionId") && json_get(o, "changeType"))
        return "Microsoft Graph change notifications are not available in this version";
    if (json_get(o, "providerAlertId") || json_get(o, "serviceSource") ||
        text_begins(o, "@odata.type", "#microsoft.graph."))
        return "Microsoft Graph security alerts are not available in this version";
    if (json_type(json_get(o, "records")) == JSON_ARRAY ||
        (json_get(o, "category") && json_type(json_get(o, "properties")) == JSON_OBJECT))
        return "records of the streaming API are not available in this version";
    if (json_path(o, "object", "properties", NULL))
        return "Sentinel incidents are not available in this version";
    return NULL;
}

/* ---- one object -------------------------------------------------------------------------------- */

/* Takes what `value` says of one id into *slot. what: our name for it. */
static enum err_code take(struct reading *r, const struct json *value, const char *what,
                          bool (*is_good)(const char *), const char *form, bool caseless,
                          const char **slot)
{
    const char *text = json_string(value);

    if (json_type(value) == JSON_NULL)
        return ERR_OK;
    if (!text)
        return err_set(r->e, ERR_INVALID, "%s: expected a string, found %s", what,
                       json_type_name(json_type(value)));
    /* A flow that puts @{triggerBody()?['machineId']} into its body sends "" for an alert without a
     * machine (webhook-sources.md section 7.2). */
    if (!*text)
        return ERR_OK;
    if (!is_good(text))
        return err_set(r->e, ERR_INVALID, "%s: expected %s", what, form);
    if (*slot && (caseless ? strcasecmp(*slot, text) : strcmp(*slot, text)) != 0)
        return err_set(r->e, ERR_INVALID, "%s: two different ones for the same alert", what);
    *slot = text;
    return ERR_OK;
}

static enum err_code take_alert(struct reading *r, const struct json *value, const char **slot)
{
    return take(r, value, "alertId", alert_id_is_good, "1 to 128 letters, digits, '_', '.' and '-'",
                false, slot);
}

static enum err_code take_machine(struct reading *r, const struct json *value, const char **slot)
{
    return take(r, value, "machineId", machine_id_is_good,
                "32 to 64 hexadecimal digits, as Defender writes machine ids", true, slot);
}

static enum err_code take_tenant(struct reading *r, const struct json *value, const char **slot)
{
    return take(r, value, "tenantId", is_guid, "a GUID", true, slot);
}

static enum err_code take_test(struct reading *r, const struct json *value, bool *ret)
{
    if (json_type(value) == JSON_NULL)
        return ERR_OK;
    if (json_type(value) != JSON_BOOL)
        return err_set(r->e, ERR_INVALID, "test: expected true or false, found %s",
                       json_type_name(json_type(value)));
    *ret = *ret || json_is_true(value);
    return ERR_OK;
}

static bool is_wrapper(const struct json *member)
{
    static const char *const names[] = {"body", "outputs", "value", "alert"};
    enum json_type type = json_type(member);

    if (type == JSON_OBJECT || type == JSON_ARRAY)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (name_is(json_name(member), names[i]))
                return true;
    return false;
}

/* Puts an alert on the list, or what is new of it to the one that is there already. */
static enum err_code add(struct reading *r, const struct said *s)
{
    struct alert_ref *a = r->alerts;

    if (r->items++ >= INTAKE_BATCH_MAX)
        return err_set(r->e, ERR_TOO_BIG, "more than %d alerts in one request", INTAKE_BATCH_MAX);
    while (a < r->alerts + r->count && strcmp(a->alert_id, s->alert) != 0)
        a++;
    if (a == r->alerts + r->count) {
        *a = (struct alert_ref){.alert_id = arena_str(r->arena, s->alert)};
        if (!a->alert_id)
            return err_set(r->e, ERR_NOMEM, "alert ids");
        r->count++;
    }
    if (s->machine && a->machine_id && strcasecmp(s->machine, a->machine_id) != 0)
        return err_set(r->e, ERR_INVALID,
                       "the same alert stands there with two different machines");
    if (s->tenant && a->tenant_id && strcasecmp(s->tenant, a->tenant_id) != 0)
        return err_set(r->e, ERR_INVALID, "the same alert stands there with two different tenants");
    if (s->machine && !a->machine_id) {
        char *lower = arena_str(r->arena, s->machine);

        for (char *c = lower; c && *c; c++)
            if (*c >= 'A' && *c <= 'F')
                *c = (char)(*c - 'A' + 'a');
        a->machine_id = lower;
    }
    if (s->tenant && !a->tenant_id)
        a->tenant_id = arena_str(r->arena, s->tenant);
    if ((s->machine && !a->machine_id) || (s->tenant && !a->tenant_id))
        return err_set(r->e, ERR_NOMEM, "alert ids");
    return ERR_OK;
}

static enum err_code read_value(struct reading *r, const struct json *v,
                                const struct around *around);

/* Reads an object's own members. */
static enum err_code read_members(struct reading *r, const struct json *o, struct said *s,
                                  bool *test, size_t *wrappers)
{
    const struct json *id = NULL;
    bool machine_beside = false;

    JSON_EACH (m, o) {
        const char *name = json_name(m);
        enum err_code code = ERR_OK;

        if (name_is(name, "alertid")) {
            code = take_alert(r, m, &s->alert);
        } else if (name_is(name, "machineid") || name_is(name, "deviceid")) {
            machine_beside = true;
            code = take_machine(r, m, &s->machine);
        } else if (name_is(name, "tenantid") || name_is(name, "aadtenantid")) {
            code = take_tenant(r, m, &s->tenant);
        } else if (name_is(name, "test")) {
            code = take_test(r, m, test);
        } else if (name_is(name, "id")) {
            if (id && (!json_string(id) || !json_string(m) ||
                       strcmp(json_string(id), json_string(m)) != 0))
                code = err_set(r->e, ERR_INVALID, "id: two different ones in one object");
            id = m;
        } else if (is_wrapper(m)) {
            ++*wrappers;
        }
        if (code)
            return code;
    }
    /* Shape 2: `id` is an alert's when a machine stands beside it, or by its looks. */
    if (id && (machine_beside || (json_string(id) && looks_like_alert(json_string(id)))))
        return take_alert(r, id, &s->alert);
    return ERR_OK;
}

static enum err_code read_object(struct reading *r, const struct json *o,
                                 const struct around *around)
{
    const char *foreign = foreign_schema(o), *one = NULL;
    struct said s = {.machine = around->machine, .tenant = around->tenant};
    struct around inside = *around;
    size_t wrappers = 0;
    enum err_code code;

    if (foreign)
        return err_set(r->e, ERR_INVALID, "%s", foreign);
    code = read_members(r, o, &s, &inside.test, &wrappers);
    if (code)
        return code;
    if (!s.alert && !wrappers && !inside.test)
        return err_set(r->e, ERR_INVALID, "no alertId");
    if (!inside.only && wrappers + (s.alert != NULL) > 1)
        inside.only = &one;
    if (s.alert && inside.only) {
        if (*inside.only && strcmp(*inside.only, s.alert) != 0)
            return err_set(r->e, ERR_INVALID, "two different alert ids in one object");
        *inside.only = s.alert;
    }
    if (!wrappers)
        inside.test ? r->tests++ : r->reals++;
    if (s.alert && (code = add(r, &s)) != ERR_OK)
        return code;
    if (!wrappers)
        return ERR_OK;
    if (++inside.wrappers > WRAPPERS_MAX)
        return err_set(r->e, ERR_INVALID, "wrapped more than %d times", WRAPPERS_MAX);
    inside.machine = s.machine;
    inside.tenant = s.tenant;
    JSON_EACH (m, o)
        if (is_wrapper(m) && (code = read_value(r, m, &inside)) != ERR_OK)
            return code;
    return ERR_OK;
}

static enum err_code read_list(struct reading *r, const struct json *list,
                               const struct around *around)
{
    size_t n = 0;

    if (json_count(list) > INTAKE_BATCH_MAX)
        return err_set(r->e, ERR_TOO_BIG, "more than %d alerts in one request", INTAKE_BATCH_MAX);
    if (!json_count(list))
        return err_set(r->e, ERR_INVALID, "the list of alerts is empty");
    JSON_EACH (item, list) {
        enum err_code code;

        n++;
        if (json_type(item) != JSON_OBJECT)
            return err_set(r->e, ERR_INVALID, "item %zu of the list: expected an object, found %s",
                           n, json_type_name(json_type(item)));
        code = read_object(r, item, around);
        if (code)
            return err_in(r->e, "item %zu of the list", n);
    }
    return ERR_OK;
}

static enum err_code read_value(struct reading *r, const struct json *v,
                                const struct around *around)
{
    switch (json_type(v)) {
    case JSON_OBJECT:
        return read_object(r, v, around);
    case JSON_ARRAY:
        return read_list(r, v, around);
    default:
        return err_set(r->e, ERR_INVALID, "expected an object or a list, found %s",
                       json_type_name(json_type(v)));
    }
}

enum err_code intake_read(struct arena *a, const char *body, size_t len, struct intake *ret,
                          struct err *e)
{
    struct err own;
    struct reading r = {.arena = a, .e = e ? e : &own};
    struct alert_ref *alerts = NULL;
    struct json *doc = NULL;
    enum err_code code = json_parse(body, len, &doc, r.e);

    if (code == ERR_INVALID) {
        /* "offset 7: …" is ours; the name of a double member is the sender's text. */
        if (strncmp(r.e->text, "offset ", 7) == 0)
            return err_in(r.e, "the body is not JSON");
        return err_set(r.e, ERR_INVALID, "a member name stands twice in one object");
    }
    if (code)
        return code;
    code = read_value(&r, doc, &(const struct around){0});
    json_free(doc);
    if (code)
        return code;
    if (r.tests && r.reals)
        return err_set(r.e, ERR_INVALID, "some alerts are marked as a test and some are not");
    if (r.count) {
        alerts = arena_array(a, r.count, sizeof *alerts);
        if (!alerts)
            return err_set(r.e, ERR_NOMEM, "alert ids");
        memcpy(alerts, r.alerts, r.count * sizeof *alerts);
    }
    *ret = (struct intake){.alerts = alerts, .count = r.count, .test = r.tests > 0};
    return ERR_OK;
}
