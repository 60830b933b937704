/* entity.c - see entity.h. */
#include "entity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "simclock.h"

#define FIELD_ROW(index, field_name, field_kind, in_filter)                                        \
    [index] = {.name = field_name, .kind = FIELD_##field_kind, .filter = in_filter},
static const struct field alert_fields[] = {ALERT_FIELDS(FIELD_ROW)};
static const struct field machine_fields[] = {MACHINE_FIELDS(FIELD_ROW)};
static const struct field action_fields[] = {ACTION_FIELDS(FIELD_ROW)};

const struct schema alert_schema = {"Alerts", alert_fields, ALERT_FIELD_COUNT};
const struct schema machine_schema = {"Machines", machine_fields, MACHINE_FIELD_COUNT};
const struct schema action_schema = {"MachineActions", action_fields, ACTION_FIELD_COUNT};

int schema_find(const struct schema *s, const char *name, size_t len)
{
    for (size_t i = 0; i < s->count; i++)
        if (strncasecmp(s->fields[i].name, name, len) == 0 && s->fields[i].name[len] == '\0')
            return (int)i;
    return -1;
}

void entity_init(struct entity *en, const struct schema *s)
{
    *en = (struct entity){.schema = s, .values = calloc(s->count, sizeof *en->values)};
    assert(en->values); /* a simulator without memory can only stop */
}

static struct value *slot(struct entity *en, int field)
{
    struct value *v = &en->values[field];

    if (v->owned)
        free((char *)v->text); /* ours: see `owned` */
    *v = (struct value){.type = VALUE_NULL};
    return v;
}

void entity_clear(struct entity *en)
{
    if (en->values)
        for (size_t i = 0; i < en->schema->count; i++)
            slot(en, (int)i);
    for (size_t i = 0; i < en->n_extras; i++) {
        free(en->extras[i].name);
        free(en->extras[i].json);
    }
    free(en->extras);
    free(en->values);
    *en = (struct entity){0};
}

static const char *copy(const char *text)
{
    char *s = strdup(text);

    assert(s);
    return s;
}

void entity_set_null(struct entity *en, int field)
{
    slot(en, field);
}

void entity_set(struct entity *en, int field, const char *text)
{
    const char *own = text ? copy(text) : NULL; /* first: text may be the old value */
    struct value *v = slot(en, field);

    if (own)
        *v = (struct value){.type = VALUE_STRING, .owned = true, .text = own};
}

void entity_set_static(struct entity *en, int field, const char *text)
{
    *slot(en, field) = (struct value){.type = VALUE_STRING, .text = text};
}

void entity_set_int(struct entity *en, int field, int64_t number)
{
    *slot(en, field) = (struct value){.type = VALUE_INT, .number = number};
}

void entity_set_bool(struct entity *en, int field, bool yes)
{
    *slot(en, field) = (struct value){.type = VALUE_BOOL, .number = yes};
}

void entity_set_time(struct entity *en, int field, int64_t ticks, int digits)
{
    char text[TICKS_TEXT_SIZE];

    ticks = ticks_cut(ticks, digits);
    *slot(en, field) = (struct value){.type = VALUE_TIME,
                                      .owned = true,
                                      .number = ticks,
                                      .text = copy(ticks_format(ticks, digits, text))};
}

void entity_set_json(struct entity *en, int field, const char *json)
{
    const char *own = copy(json);

    *slot(en, field) = (struct value){.type = VALUE_JSON, .owned = true, .text = own};
}

void entity_set_json_static(struct entity *en, int field, const char *json)
{
    *slot(en, field) = (struct value){.type = VALUE_JSON, .text = json};
}

static char *json_text(const struct json *v)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    char *text;

    json_write(&b, v);
    text = buf_take(&b);
    assert(text);
    return text;
}

static void set_extra(struct entity *en, const struct json *v)
{
    size_t i = 0;

    while (i < en->n_extras && strcmp(en->extras[i].name, json_name(v)) != 0)
        i++;
    if (i == en->n_extras) {
        struct extra *more = reallocarray(en->extras, i + 1, sizeof *more);

        assert(more);
        en->extras = more;
        en->n_extras++;
        more[i] = (struct extra){.name = (char *)copy(json_name(v))};
    }
    free(en->extras[i].json);
    en->extras[i].json = json_text(v);
}

static void set_value(struct entity *en, int field, const struct json *v)
{
    int64_t number;
    char *text;

    switch (json_type(v)) {
    case JSON_NULL:
    case JSON_ABSENT:
        entity_set_null(en, field);
        return;
    case JSON_BOOL:
        entity_set_bool(en, field, json_is_true(v));
        return;
    case JSON_STRING:
        if (en->schema->fields[field].kind == FIELD_TIME &&
            !ticks_parse(json_string(v), &number, NULL))
            *slot(en, field) = (struct value){
                .type = VALUE_TIME, .owned = true, .number = number, .text = copy(json_string(v))};
        else
            entity_set(en, field, json_string(v));
        return;
    case JSON_NUMBER:
        if (json_int64(v, &number)) {
            entity_set_int(en, field, number);
            return;
        }
        __attribute__((fallthrough)); /* kept as its text */
    case JSON_ARRAY:
    case JSON_OBJECT:
        text = json_text(v);
        entity_set_json(en, field, text);
        free(text);
        return;
    }
}

enum err_code entity_read(struct entity *en, const struct json *object, const char *const *skip,
                          struct err *e)
{
    JSON_EACH (member, object) {
        const char *name = json_name(member);
        int field = schema_find(en->schema, name, strlen(name));
        bool skipped = false;

        for (size_t i = 0; skip[i]; i++)
            skipped |= strcmp(name, skip[i]) == 0;
        if (skipped)
            continue;
        if (field >= 0 && strcmp(en->schema->fields[field].name, name) != 0)
            return err_set(e, ERR_INVALID, "%s: the field is called %s", name,
                           en->schema->fields[field].name);
        if (field < 0)
            set_extra(en, member);
        else
            set_value(en, field, member);
    }
    return ERR_OK;
}

const char *entity_text(const struct entity *en, int field)
{
    const struct value *v = &en->values[field];

    return v->type == VALUE_STRING || v->type == VALUE_TIME ? v->text : "";
}

bool entity_is(const struct entity *en, int field, const char *text)
{
    return strcmp(entity_text(en, field), text) == 0;
}

void entity_write_members(struct json_out *out, const struct entity *en, const bool *select)
{
    for (size_t i = 0; i < en->schema->count; i++) {
        const struct value *v = &en->values[i];
        const char *name = en->schema->fields[i].name;

        if (select && !select[i])
            continue;
        switch (v->type) {
        case VALUE_NULL:
            json_out_null(out, name);
            break;
        case VALUE_BOOL:
            json_out_bool(out, name, v->number != 0);
            break;
        case VALUE_INT:
            json_out_int(out, name, v->number);
            break;
        case VALUE_STRING:
        case VALUE_TIME:
            json_out_string(out, name, v->text);
            break;
        case VALUE_JSON:
            json_out_raw(out, name, v->text);
            break;
        }
    }
    if (!select)
        for (size_t i = 0; i < en->n_extras; i++)
            json_out_raw(out, en->extras[i].name, en->extras[i].json);
}

void entity_write(struct json_out *out, const struct entity *en, const bool *select)
{
    json_out_object(out, NULL);
    entity_write_members(out, en, select);
    json_out_object_end(out);
}
