/* intake.c - see intake.h. The shapes are section 2.2 of webhook-sources.md.
 *
 * A body is walked once. An object may carry ids of its own, or wrap others (`body`, `outputs`, `value`,
 * `alert`), or both, as long as all that one object says is about one alert; or it is an envelope
 * (intake_envelope.c). Whoever sends something that can be read in two ways, or that belongs to another
 * product, is refused with a sentence: a guess here could isolate the wrong machine. The sentences go out to the
 * sender, so they name our words and places in the body, never its text.
 *
 * Base64 stands for the JSON it holds, once: what it decodes to is shorter than the body, and base64 within
 * base64 has no honest sender.
 */
#include "intake.h"

#include <string.h>
#include <strings.h>

#include "base64.h"
#include "intake_envelope.h"
#include "intake_words.h"
#include "json.h"

#define WRAPPERS_MAX 4 /* nesting: webhook-sources.md section 2.2, extraction rules */

/* What is said of one alert; borrowed from the document. */
struct said {
    const char *alert, *machine, *tenant; /* NULL: not given */
    bool likely_high;
    bool row;  /* its machine is one of perhaps several */
    bool more; /* of an alert that was named and counted further out */
};

/* What objects further out say for all that is inside them. */
struct around {
    const char *machine, *tenant;
    const char *alert; /* that one of them names; NULL: none does */
    bool test;
    const char **
        only; /* all inside must be this one alert; *only NULL: the first one sets it. NULL: no rule */
    unsigned wrappers;
    bool decoded; /* stands within base64 */
    bool mixed;   /* a list here may hold things of others' */
};

struct reading {
    struct arena *arena;
    struct alert_ref alerts[INTAKE_BATCH_MAX];
    bool torn[INTAKE_BATCH_MAX]; /* its rows name several machines: Defender knows which is meant */
    size_t count;                /* of alerts, each once */
    size_t items;                /* read, doubles too, but no rows, nor more of one */
    size_t tests, reals;         /* items by what they are */
    const char *skipped;         /* why the first one was that is none of ours */
    bool foreign;     /* what is wrong is that nothing of ours stands there, and nothing else */
    const char *code; /* of a validation; in the arena */
    struct err *e;
};

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
    return take(r, value, "alertId", word_is_alert_id, "1 to 128 letters, digits, '_', '.' and '-'",
                false, slot);
}

static enum err_code take_machine(struct reading *r, const struct json *value, const char **slot)
{
    return take(r, value, "machineId", word_is_machine_id,
                "32 to 64 hexadecimal digits, as Defender writes machine ids", true, slot);
}

static enum err_code take_tenant(struct reading *r, const struct json *value, const char **slot)
{
    return take(r, value, "tenantId", word_is_guid, "a GUID", true, slot);
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
            if (word_is(json_name(member), names[i]))
                return true;
    return false;
}

/* Copies a machine's id in lower case. */
static const char *lower_case(struct arena *a, const char *id)
{
    char *lower = arena_str(a, id);

    for (char *c = lower; c && *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    return lower;
}

static enum err_code too_many(struct reading *r)
{
    return err_set(r->e, ERR_TOO_BIG, "more than %d alerts in one request", INTAKE_BATCH_MAX);
}

/* Puts an alert on the list, or what is new of it to the one that is there already. */
static enum err_code add(struct reading *r, const struct said *s, struct alert_ref **ret)
{
    struct alert_ref *a = r->alerts;

    if (!s->row && !s->more && r->items++ >= INTAKE_BATCH_MAX)
        return too_many(r);
    while (a < r->alerts + r->count && strcmp(a->alert_id, s->alert) != 0)
        a++;
    if (a == r->alerts + r->count) {
        if (r->count == INTAKE_BATCH_MAX)
            return too_many(r);
        *a = (struct alert_ref){.alert_id = arena_str(r->arena, s->alert)};
        if (!a->alert_id)
            return err_set(r->e, ERR_NOMEM, "alert ids");
        r->count++;
    }
    *ret = a;
    a->likely_high = a->likely_high || s->likely_high;
    if (s->tenant && a->tenant_id && strcasecmp(s->tenant, a->tenant_id) != 0)
        return err_set(r->e, ERR_INVALID, "the same alert stands there with two different tenants");
    if (s->tenant && !a->tenant_id && !(a->tenant_id = arena_str(r->arena, s->tenant)))
        return err_set(r->e, ERR_NOMEM, "alert ids");
    if (!s->machine || r->torn[a - r->alerts])
        return ERR_OK;
    if (!a->machine_id) {
        a->machine_id = lower_case(r->arena, s->machine);
        return a->machine_id ? ERR_OK : err_set(r->e, ERR_NOMEM, "alert ids");
    }
    if (strcasecmp(s->machine, a->machine_id) == 0)
        return ERR_OK;
    if (!s->row)
        return err_set(r->e, ERR_INVALID,
                       "the same alert stands there with two different machines");
    a->machine_id = NULL;
    r->torn[a - r->alerts] = true;
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

        if (word_is(name, "alertid")) {
            code = take_alert(r, m, &s->alert);
        } else if (word_is(name, "machineid") || word_is(name, "deviceid")) {
            machine_beside = true;
            code = take_machine(r, m, &s->machine);
        } else if (word_is(name, "tenantid") || word_is(name, "aadtenantid")) {
            code = take_tenant(r, m, &s->tenant);
        } else if (word_is(name, "test")) {
            code = take_test(r, m, test);
        } else if (word_is(name, "severity") || word_is(name, "alertseverity")) {
            /* a hint, whatever else stands there: it orders, and decides nothing */
            s->likely_high = json_string(m) && strcasecmp(json_string(m), "high") == 0;
        } else if (word_is(name, "id")) {
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
    if (id && (machine_beside || (json_string(id) && word_looks_like_alert(json_string(id)))))
        return take_alert(r, id, &s->alert);
    return ERR_OK;
}

/* Takes what an envelope says by itself. */
static enum err_code read_envelope(struct reading *r, const struct envelope *v, struct said *s,
                                   size_t *wrappers)
{
    enum err_code code = ERR_OK;

    if (v->alert)
        code = take_alert(r, v->alert, &s->alert);
    if (!code && v->machine)
        code = take_machine(r, v->machine, &s->machine);
    if (!code && v->tenant)
        code = take_tenant(r, v->tenant, &s->tenant);
    s->row = v->row;
    *wrappers = (v->inside || v->base64) ? 1 : 0;
    return code;
}

/* Event Grid asks whether we want its events: a request of its own (webhook-sources.md section 4.1). */
static enum err_code read_validation(struct reading *r, const char *code,
                                     const struct around *around)
{
    if (around->wrappers || r->code)
        return err_set(r->e, ERR_INVALID, "Event Grid validation: expected one event, not wrapped");
    r->code = arena_str(r->arena, code);
    return r->code ? ERR_OK : err_set(r->e, ERR_NOMEM, "a validation code");
}

static enum err_code read_base64(struct reading *r, const char *text, size_t len,
                                 const struct around *around);

/* One of several parts was read. Where it is foreign the next one is read all the same: only when no part is of ours is
 * the whole foreign, in whatever order they stand. */
static bool goes_on(struct reading *r, enum err_code code, struct err *first)
{
    if (code && !r->foreign)
        return false;
    if (code && !first->code)
        *first = *r->e;
    r->foreign = false;
    return true;
}

/* After the last part. Whether one was ours all the same, read_event counts. */
static enum err_code end_parts(struct reading *r, const struct err *first)
{
    if (first->code)
        *r->e = *first;
    r->foreign = first->code != ERR_OK;
    return first->code;
}

/* Reads what an object wraps: an envelope its one body, any other its members. */
static enum err_code read_inside(struct reading *r, const struct json *o, const struct envelope *v,
                                 const struct around *inside)
{
    struct err first = {0};
    enum err_code code = ERR_OK;

    if (v && v->base64)
        return read_base64(r, v->base64, strlen(v->base64), inside);
    if (v)
        return read_value(r, v->inside, inside);
    JSON_EACH (m, o)
        if (is_wrapper(m) && !goes_on(r, code = read_value(r, m, inside), &first))
            return code;
    return end_parts(r, &first);
}

/* Does the object itself say that it is about an alert? Things of other people's have a deviceId or a tenantId, too. */
static bool speaks_of_alert(const struct json *o)
{
    JSON_EACH (m, o)
        if (word_is(json_name(m), "alertid") || is_wrapper(m) ||
            (word_is(json_name(m), "id") && json_string(m) &&
             word_looks_like_alert(json_string(m))))
            return true;
    return false;
}

/* Is it more of what is said of an alert that an object further out names? With an `id` of its own it is of something. */
static bool is_about_it(const struct json *o, const struct around *around)
{
    JSON_EACH (m, o)
        if (word_is(json_name(m), "id"))
            return false;
    return around->alert != NULL;
}

static enum err_code read_object(struct reading *r, const struct json *o,
                                 const struct around *around)
{
    const size_t all = r->tests + r->reals;
    struct said s = {.machine = around->machine, .tenant = around->tenant};
    struct around inside = *around;
    const char *one = NULL;
    size_t wrappers = 0;
    struct envelope v;
    bool enveloped = envelope_open(o, &v);
    enum err_code code;

    if (v.refused) {
        r->foreign = v.foreign;
        return err_set(r->e, ERR_INVALID, "%s", v.refused);
    }
    if (v.code)
        return read_validation(r, v.code, around);
    if (v.skipped) {
        r->skipped = r->skipped ? r->skipped : v.skipped;
        return ERR_OK;
    }
    code = enveloped ? read_envelope(r, &v, &s, &wrappers)
                     : read_members(r, o, &s, &inside.test, &wrappers);
    if (code) {
        r->foreign = !enveloped && !speaks_of_alert(o);
        return code;
    }
    if (!s.alert && !wrappers && !enveloped && is_about_it(o, around)) {
        s.alert = around->alert;
        s.more = true;
    }
    if (!s.alert && !wrappers && !inside.test) {
        r->foreign = !v.ours;
        return err_set(r->e, ERR_INVALID, "no alertId");
    }
    if (!inside.only && wrappers + (s.alert != NULL) > 1)
        inside.only = &one;
    if (s.alert && inside.only && *inside.only && strcmp(*inside.only, s.alert) != 0)
        return err_set(r->e, ERR_INVALID, "two different alert ids in one object");
    if (!wrappers)
        inside.test ? r->tests++ : r->reals++;
    if (s.alert) {
        struct alert_ref *a = NULL;

        code = add(r, &s, &a);
        if (code)
            return code;
        if (inside.only) /* the list's copy: what was decoded from base64 is gone by then */
            *inside.only = a->alert_id;
        inside.alert = a->alert_id;
    }
    if (!wrappers)
        return ERR_OK;
    if (++inside.wrappers > WRAPPERS_MAX)
        return err_set(r->e, ERR_INVALID, "wrapped more than %d times", WRAPPERS_MAX);
    inside.machine = s.machine;
    inside.tenant = s.tenant;
    inside.mixed = v.mixed;
    code = read_inside(r, o, enveloped ? &v : NULL, &inside);
    if (!code && s.alert && r->tests + r->reals == all) /* an empty list stood beside its id */
        inside.test ? r->tests++ : r->reals++;
    return code;
}

/* Neither an object nor a list: nothing of ours, but for a string, which might be one of ours encoded twice. */
static bool is_foreign_value(const struct json *v)
{
    return json_type(v) != JSON_STRING;
}

/* An event, a record or an incident's alert that has nothing to do with us is left out. Event Grid delivers a batch whole, and
 * what is answered with 400 is not sent again (webhook-sources.md sections 4.1 and 8.2): its neighbours' alerts would be
 * lost with it. */
static enum err_code read_event(struct reading *r, const struct json *event, size_t n,
                                const struct around *around)
{
    size_t items = r->items, all = r->tests + r->reals;
    enum err_code code;

    r->foreign = false;
    code = read_object(r, event, around);
    if (!code)
        return ERR_OK;
    (void)err_in(r->e, "item %zu of the list", n);
    if (!r->foreign || r->items != items || r->tests + r->reals != all)
        return code;
    if (!r->skipped)
        r->skipped = arena_str(r->arena, r->e->text);
    r->foreign = false;
    return r->skipped ? ERR_OK : err_set(r->e, ERR_NOMEM, "a list");
}

static enum err_code read_list(struct reading *r, const struct json *list,
                               const struct around *around)
{
    struct err first = {0};
    size_t n = 0;

    if (!json_count(list) && around->alert)
        return ERR_OK;
    if (!json_count(list)) {
        r->foreign = true;
        return err_set(r->e, ERR_INVALID, "the list of alerts is empty");
    }
    JSON_EACH (item, list) {
        enum err_code code;

        n++;
        if (json_type(item) != JSON_OBJECT) {
            r->foreign = is_foreign_value(item);
            code = err_set(r->e, ERR_INVALID, "item %zu of the list: expected an object, found %s",
                           n, json_type_name(json_type(item)));
        } else if (around->mixed || envelope_is_event(item)) {
            code = read_event(r, item, n, around);
        } else if ((code = read_object(r, item, around)) != ERR_OK) {
            (void)err_in(r->e, "item %zu of the list", n);
        }
        if (!goes_on(r, code, &first))
            return code;
    }
    return end_parts(r, &first);
}

/* json_parse, and once more of what json_mend made of it, where that is another text: alerts that are passed on whole
 * hold the same registry values and file names as Defender's own answers, and a 400 is for good. No id has such a
 * character, so none becomes another by it. */
static enum err_code parse_mended(struct reading *r, const char *bytes, size_t len,
                                  struct json **ret)
{
    enum err_code code = json_parse(bytes, len, ret, r->e);
    char *copy;

    if (code != ERR_INVALID || !memmem(bytes, len, "\\u", 2))
        return code;
    copy = arena_alloc(r->arena, len + 1);
    if (!copy)
        return err_set(r->e, ERR_NOMEM, "a body");
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    json_mend(copy);
    return memcmp(copy, bytes, len) == 0 ? code : json_parse(copy, len, ret, r->e);
}

/* parse_mended with a sentence for the sender. */
static enum err_code parse(struct reading *r, const char *bytes, size_t len, const char *what,
                           struct json **ret)
{
    enum err_code code = parse_mended(r, bytes, len, ret);

    if (code != ERR_INVALID)
        return code;
    /* "offset 7: …" is ours; the name of a double member is the sender's text. */
    if (strncmp(r->e->text, "offset ", 7) == 0)
        return err_in(r->e, "%s is not JSON", what);
    return err_set(r->e, ERR_INVALID, "a member name stands twice in one object");
}

/* The bytes that text stands for, in the arena; NULL when it is no base64 (or out of memory: *ret_nomem). */
static const char *decode(struct reading *r, const char *text, size_t len, size_t *ret_len,
                          bool *ret_nomem)
{
    unsigned char *bytes = arena_alloc(r->arena, BASE64_ROOM(len));

    *ret_nomem = !bytes;
    return bytes && base64_decode(text, len, bytes, BASE64_ROOM(len), ret_len) ? (char *)bytes
                                                                               : NULL;
}

/* Text that is said to be base64 of a body. */
static enum err_code read_base64(struct reading *r, const char *text, size_t len,
                                 const struct around *around)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct around inside = *around;
    const char *bytes;
    size_t bytes_len = 0;
    bool nomem;
    enum err_code code;

    if (around->decoded)
        return err_set(r->e, ERR_INVALID, "base64 within base64");
    bytes = decode(r, text, len, &bytes_len, &nomem);
    if (nomem)
        return err_set(r->e, ERR_NOMEM, "base64");
    if (!bytes)
        return err_set(r->e, ERR_INVALID, "expected base64, with padding and without line breaks");
    code = parse(r, bytes, bytes_len, "what stands in base64", &doc);
    inside.decoded = true;
    return code ? code : read_value(r, doc, &inside);
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
        r->foreign = is_foreign_value(v);
        return err_set(r->e, ERR_INVALID, "expected an object or a list, found %s",
                       json_type_name(json_type(v)));
    }
}

/* Is a whole body base64 of JSON, or a JSON string of that? So the connector "HTTP with Microsoft Entra ID"
 * sends what it was given (its page, "known issues": it encodes the body in base64). By their first
 * characters, base64 of `{` or `[` and another: no JSON but a string's begins so. */
static bool looks_encoded(const char *text, size_t len)
{
    unsigned char first[3];
    size_t n = 0;

    return len >= 4 && base64_decode(text, 4, first, sizeof first, &n) && n > 0 &&
           (first[0] == '{' || first[0] == '[');
}

static enum err_code read_body(struct reading *r, const char *body, size_t len)
{
    static const struct around nothing = {0};
    AUTO(json_freep) struct json *doc = NULL;
    const char *text;
    enum err_code code;

    if (looks_encoded(body, len)) {
        while (len && (body[len - 1] == '\n' || body[len - 1] == '\r'))
            len--;
        return read_base64(r, body, len, &nothing);
    }
    code = parse(r, body, len, "the body", &doc);
    if (code)
        return code;
    text = json_string(doc);
    return text && looks_encoded(text, strlen(text)) ? read_base64(r, text, strlen(text), &nothing)
                                                     : read_value(r, doc, &nothing);
}

/* What the whole of it comes to. */
static enum err_code sum_up(struct reading *r, struct intake *ret)
{
    struct alert_ref *alerts = NULL;

    if (r->tests && r->reals)
        return err_set(r->e, ERR_INVALID, "some alerts are marked as a test and some are not");
    if (r->code && (r->tests || r->reals || r->skipped))
        return err_set(r->e, ERR_INVALID, "Event Grid validation: expected one event, not wrapped");
    if (r->skipped && !r->tests && !r->reals)
        return err_set(r->e, ERR_INVALID, "%s", r->skipped);
    if (r->count) {
        alerts = arena_array(r->arena, r->count, sizeof *alerts);
        if (!alerts)
            return err_set(r->e, ERR_NOMEM, "alert ids");
        memcpy(alerts, r->alerts, r->count * sizeof *alerts);
    }
    *ret = (struct intake){
        .alerts = alerts,
        .count = r->count,
        .test = r->tests > 0,
        .validation_code = r->code,
        .left_out = r->skipped,
    };
    return ERR_OK;
}

enum err_code intake_read(struct arena *a, const char *body, size_t len, struct intake *ret,
                          struct err *e)
{
    struct err own;
    struct reading r = {.arena = a, .e = e ? e : &own};
    enum err_code code;

    /* RFC 8259 section 8.1: a parser may ignore it. PowerShell writes one. */
    if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0) {
        body += 3;
        len -= 3;
    }
    code = read_body(&r, body, len);
    return code ? code : sum_up(&r, ret);
}
