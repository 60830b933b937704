/* facts.c - see facts.h. */
#include "facts.h"

#include <strings.h>

/* Deepest document that still parses once it stands inside the object that facts_write makes. */
#define DOCUMENT_DEPTH_MAX (JSON_DEPTH_MAX - 1)

/* Is anything in v nested deeper than left levels? Bounded: json_parse lets nothing past
 * JSON_DEPTH_MAX. */
static bool deeper_than(const struct json *v, int left)
{
    if (json_type(v) != JSON_ARRAY && json_type(v) != JSON_OBJECT)
        return false;
    if (left == 0)
        return true;
    JSON_EACH (child, v) {
        if (deeper_than(child, left - 1))
            return true;
    }
    return false;
}

void facts_write(struct buf *out, const struct facts *f)
{
    struct json_out o = JSON_OUT(out);

    if (deeper_than(f->alert, DOCUMENT_DEPTH_MAX) || deeper_than(f->machine, DOCUMENT_DEPTH_MAX)) {
        out->failed = ERR_TOO_BIG; /* it could be written, but never be read again */
        return;
    }
    json_out_object(&o, NULL);
    json_out_string(&o, "tenant", f->tenant);
    json_out_string(&o, "source", f->source);
    json_out_bool(&o, "may_isolate", f->may_isolate);
    json_out_bool(&o, "source_shadow", f->source_shadow);
    json_out_string(&o, "alert_id", f->alert_id);
    json_out_string(&o, "pushed_machine_id", f->pushed_machine_id);
    json_out_int(&o, "read_ms", f->read_ms);
    json_out_value(&o, "alert", f->alert);
    json_out_value(&o, "machine", f->machine);
    json_out_object_end(&o);
}

/* A text, or null where that is allowed. */
static bool read_text(const struct json *doc, const char *name, bool nullable, const char **ret)
{
    const struct json *v = json_get(doc, name);

    *ret = json_string(v);
    return *ret || (nullable && json_type(v) <= JSON_NULL);
}

/* A document, or null. */
static bool read_document(const struct json *doc, const char *name, const struct json **ret)
{
    const struct json *v = json_get(doc, name);

    *ret = json_type(v) == JSON_OBJECT ? v : NULL;
    return *ret || json_type(v) <= JSON_NULL;
}

enum err_code facts_read(const struct json *doc, struct facts *ret, struct err *e)
{
    const struct json *may = json_get(doc, "may_isolate");
    struct facts f = {0};
    const char *bad = NULL;

    if (json_type(doc) != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "facts: expected an object, found %s",
                       json_type_name(json_type(doc)));
    if (!read_text(doc, "tenant", true, &f.tenant))
        bad = "tenant";
    else if (!read_text(doc, "source", true, &f.source))
        bad = "source";
    else if (json_type(may) != JSON_BOOL)
        bad = "may_isolate";
    else if (!read_text(doc, "alert_id", false, &f.alert_id))
        bad = "alert_id";
    else if (!read_text(doc, "pushed_machine_id", true, &f.pushed_machine_id))
        bad = "pushed_machine_id";
    else if (!json_int64(json_get(doc, "read_ms"), &f.read_ms))
        bad = "read_ms";
    else if (!read_document(doc, "alert", &f.alert))
        bad = "alert";
    else if (!read_document(doc, "machine", &f.machine))
        bad = "machine";
    if (bad)
        return err_set(e, ERR_INVALID, "facts: '%s' is missing or no such thing", bad);
    f.may_isolate = json_is_true(may);
    f.source_shadow = json_is_true(json_get(doc, "source_shadow")); /* older facts do not say */
    *ret = f;
    return ERR_OK;
}

const char *facts_machine_name(const struct json *machine)
{
    const char *name = json_get_string(machine, "computerDnsName");

    return name && *name ? name : NULL;
}

const char *facts_group_of(const struct json *machine)
{
    const char *name = json_get_string(machine, "rbacGroupName");

    return name && strcasecmp(name, FACTS_NO_GROUP) != 0 ? name : "";
}

const char *facts_name_of(const struct json *machine, const char *id)
{
    const char *own = json_get_string(machine, "id");

    return !id || (own && strcasecmp(own, id) == 0) ? facts_machine_name(machine) : NULL;
}
