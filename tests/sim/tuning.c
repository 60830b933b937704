/* tuning.c - see tuning.h. */
#include "tuning.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum key_kind { KEY_INT, KEY_BOOL, KEY_WORD, KEY_TEXT };

struct key {
    const char *group, *name; /* group NULL: at the top */
    enum key_kind kind;
    size_t offset;
    int64_t fallback, least, most;
    const char *const *words; /* KEY_WORD: NULL-terminated, by value */
};

static const char *const duplicate_words[] = {"error400", "existing201", "second201", NULL};
static const char *const scope_words[] = {"null", "echo", "random", NULL};
static const char *const casing_words[] = {"usual", "lower", "upper", "mixed", NULL};
static const char *const idle_words[] = {"Succeeded", "Failed", NULL};

#define AT(member) offsetof(struct tuning, member)
#define DAYS_30_MS (30 * 24 * INT64_C(3600000))

static const struct key keys[] = {
    {NULL, "delay_ms", KEY_INT, AT(delay_ms), 0, 0, 3600000, NULL},
    {NULL, "delay_jitter_ms", KEY_INT, AT(delay_jitter_ms), 0, 0, 3600000, NULL},
    {NULL, "delay_exact", KEY_BOOL, AT(delay_exact), 0, 0, 0, NULL},
    {NULL, "timestamp_digits", KEY_INT, AT(timestamp_digits), -1, -1, 7, NULL},
    {NULL, "max_url", KEY_INT, AT(max_url), 16384, 256, 65536, NULL}, /* HTTP.sys' own default */
    /* section 1.2: about one hour */
    {"token", "lifetime_s", KEY_INT, AT(token.lifetime_s), 3599, 0, 86400, NULL},
    {"token", "numbers_as_text", KEY_BOOL, AT(token.numbers_as_text), 0, 0, 0, NULL},
    {"token", "no_roles", KEY_BOOL, AT(token.no_roles), 0, 0, 0, NULL},
    {"token", "error", KEY_INT, AT(token.error), 0, 0, 99999999, NULL},
    {"actions", "duplicate", KEY_WORD, AT(actions.duplicate), 0, 0, 0, duplicate_words},
    {"actions", "in_progress_after_ms", KEY_INT, AT(actions.in_progress_after_ms), 200, 0,
     DAYS_30_MS, NULL},
    {"actions", "done_after_ms", KEY_INT, AT(actions.done_after_ms), 600, 0, DAYS_30_MS, NULL},
    {"actions", "listed_after_ms", KEY_INT, AT(actions.listed_after_ms), 0, 0, DAYS_30_MS, NULL},
    {"actions", "outcome", KEY_WORD, AT(actions.outcome), OUTCOME_SUCCEEDED, 0, 0, action_statuses},
    {"actions", "error_hresult", KEY_INT, AT(actions.error_hresult), 0, INT_MIN, INT_MAX, NULL},
    /* 3 days: section 4.5, machine offline */
    {"actions", "offline_timeout_ms", KEY_INT, AT(actions.offline_timeout_ms), 3 * 86400000, 0,
     DAYS_30_MS, NULL},
    {"actions", "unisolate_idle", KEY_WORD, AT(actions.unisolate_idle), 0, 0, 0, idle_words},
    {"actions", "scope", KEY_WORD, AT(actions.scope), 0, 0, 0, scope_words},
    {"actions", "success_status", KEY_INT, AT(actions.success_status), 201, 200, 201, NULL},
    {"limits", "per_minute", KEY_INT, AT(limits.per_minute), 0, 0, INT_MAX, NULL},
    {"limits", "per_hour", KEY_INT, AT(limits.per_hour), 0, 0, INT_MAX, NULL},
    {"limits", "retry_after", KEY_BOOL, AT(limits.retry_after), 1, 0, 0, NULL},
    {"limits", "long_message", KEY_BOOL, AT(limits.long_message), 1, 0, 0, NULL},
    {"limits", "extend", KEY_BOOL, AT(limits.extend), 1, 0, 0, NULL},
    {"lists", "page_max", KEY_INT, AT(lists.page_max), 10000, 1, 10000, NULL}, /* section 2.1 */
    {"lists", "next_link_host", KEY_TEXT, AT(lists.next_link_host), 0, 0, 0, NULL},
    {"lists", "empty_machines_404", KEY_BOOL, AT(lists.empty_machines_404), 0, 0, 0, NULL},
    {"graph", "mailboxes", KEY_TEXT, AT(graph.mailboxes), 0, 0, 0, NULL},
    {"graph", "reject", KEY_TEXT, AT(graph.reject), 0, 0, 0, NULL},
    {"graph", "per_minute", KEY_INT, AT(graph.per_minute), 0, 0, INT_MAX, NULL},
    {"hunting", "casing", KEY_WORD, AT(hunting.casing), 0, 0, 0, casing_words}, /* trap 6 */
    {"hunting", "annotations", KEY_BOOL, AT(hunting.annotations), 0, 0, 0, NULL},
};
#define KEYS (sizeof keys / sizeof *keys)

/* The sink's keys and their defaults; each keeps the JSON type it has here, or is null. */
static const char smtp_defaults[] =
    "{\"starttls\":true,\"starttls_refused\":false,\"auth\":true,\"auth_refused\":null,"
    "\"require_auth\":false,\"basic\":true,\"xoauth2\":false,\"oauthbearer\":false,\"reject\":{},\"refuse_from\":null,\"data_reply\":null,"
    "\"connect\":null,\"drop\":null,\"hang\":null,\"reply_delay_ms\":0,\"size\":36700160,\"count\":-1}";

void tuning_init(struct tuning *t)
{
    *t = (struct tuning){0};
    for (size_t i = 0; i < KEYS; i++) {
        char *at = (char *)t + keys[i].offset;

        if (keys[i].kind == KEY_BOOL)
            *(bool *)at = keys[i].fallback != 0;
        else if (keys[i].kind != KEY_TEXT)
            *(int64_t *)(void *)at = keys[i].fallback;
    }
    t->smtp = strdup(smtp_defaults);
    assert(t->smtp);
}

static char **text_of(struct tuning *t, const struct key *k)
{
    return (char **)(void *)((char *)t + k->offset);
}

void tuning_clear(struct tuning *t)
{
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].kind == KEY_TEXT)
            free(*text_of(t, &keys[i]));
    free(t->smtp);
    *t = (struct tuning){0};
}

static enum err_code read_key(struct tuning *t, const struct key *k, const struct json *v,
                              struct err *e)
{
    char *at = (char *)t + k->offset;
    const char *text = json_string(v);
    int64_t number = 0;

    switch (k->kind) {
    case KEY_BOOL:
        if (json_type(v) != JSON_BOOL)
            return err_set(e, ERR_INVALID, "%s: expected true or false", k->name);
        *(bool *)at = json_is_true(v);
        return ERR_OK;
    case KEY_TEXT:
        if (!text && json_type(v) != JSON_NULL)
            return err_set(e, ERR_INVALID, "%s: expected a string or null", k->name);
        free(*(char **)(void *)at);
        *(char **)(void *)at = text ? strdup(text) : NULL;
        return ERR_OK;
    case KEY_WORD:
        for (; text && k->words[number]; number++)
            if (strcmp(k->words[number], text) == 0) {
                *(int64_t *)(void *)at = number;
                return ERR_OK;
            }
        return err_set(e, ERR_INVALID, "%s: expected one of its words", k->name);
    case KEY_INT:
        if (json_type(v) == JSON_NULL)
            number = k->fallback;
        else if (!json_int64_lax(v, &number) || number < k->least || number > k->most)
            return err_set(e, ERR_INVALID, "%s: expected %lld to %lld", k->name,
                           (long long)k->least, (long long)k->most);
        *(int64_t *)(void *)at = number;
        return ERR_OK;
    }
    return ERR_OK;
}

static enum err_code read_smtp(struct tuning *t, const struct json *object, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(SIZE_MAX);
    AUTO(json_freep) struct json *now = NULL, *defaults = NULL;
    struct json_out out = JSON_OUT(&text);

    if (json_parse(t->smtp, strlen(t->smtp), &now, e) ||
        json_parse(smtp_defaults, strlen(smtp_defaults), &defaults, e))
        return ERR_INVALID;
    JSON_EACH (v, object) {
        const struct json *old = json_get(defaults, json_name(v));

        if (!old)
            return err_set(e, ERR_INVALID, "smtp.%s: unknown key", json_name(v));
        if (json_type(old) == JSON_NULL ? json_type(v) != JSON_NULL && json_type(v) != JSON_STRING
                                        : json_type(v) != json_type(old))
            return err_set(e, ERR_INVALID, "smtp.%s: expected %s", json_name(v),
                           json_type(old) == JSON_NULL ? "a string or null"
                                                       : json_type_name(json_type(old)));
    }
    json_out_object(&out, NULL);
    JSON_EACH (v, now) {
        const struct json *given = json_get(object, json_name(v));

        json_out_value(&out, json_name(v), given ? given : v);
    }
    json_out_object_end(&out);
    free(t->smtp);
    t->smtp = buf_take(&text);
    assert(t->smtp);
    return ERR_OK;
}

static enum err_code read_group(struct tuning *t, const char *group, const struct json *object,
                                struct err *e)
{
    if (json_type(object) != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "%s: expected an object", group ? group : "the body");
    JSON_EACH (v, object) {
        const char *name = json_name(v);
        size_t i = 0;
        enum err_code code;

        while (i < KEYS &&
               !(strcmp(keys[i].name, name) == 0 &&
                 (group ? keys[i].group && strcmp(keys[i].group, group) == 0 : !keys[i].group)))
            i++;
        if (i < KEYS) {
            code = read_key(t, &keys[i], v, e);
        } else if (!group && strcmp(name, "smtp") == 0) {
            code = read_smtp(t, v, e);
        } else {
            for (i = 0; i < KEYS && (group || !keys[i].group || strcmp(keys[i].group, name) != 0);)
                i++;
            code = i < KEYS ? read_group(t, keys[i].group, v, e)
                            : err_set(e, ERR_INVALID, "%s: unknown key", name);
        }
        if (code)
            return group ? err_in(e, "%s", group) : code;
    }
    return ERR_OK;
}

enum err_code tuning_read(struct tuning *t, const struct json *object, struct err *e)
{
    struct tuning next = *t;
    enum err_code code;

    next.smtp = strdup(t->smtp);
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].kind == KEY_TEXT && *text_of(&next, &keys[i])) {
            *text_of(&next, &keys[i]) = strdup(*text_of(t, &keys[i]));
            assert(*text_of(&next, &keys[i]));
        }
    code = read_group(&next, NULL, object, e);
    tuning_clear(code ? &next : t);
    if (!code)
        *t = next;
    return code;
}

void tuning_write(struct json_out *out, const struct tuning *t)
{
    const char *group = NULL;

    json_out_object(out, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        const char *at = (const char *)t + keys[i].offset;

        if (keys[i].group && (!group || strcmp(group, keys[i].group) != 0)) {
            if (group)
                json_out_object_end(out);
            group = keys[i].group;
            json_out_object(out, group);
        }
        if (keys[i].kind == KEY_BOOL)
            json_out_bool(out, keys[i].name, *(const bool *)at);
        else if (keys[i].kind == KEY_TEXT)
            json_out_string(out, keys[i].name, *(char *const *)(const void *)at);
        else if (keys[i].kind == KEY_WORD)
            json_out_string(out, keys[i].name, keys[i].words[*(const int64_t *)(const void *)at]);
        else
            json_out_int(out, keys[i].name, *(const int64_t *)(const void *)at);
    }
    json_out_object_end(out);
    json_out_raw(out, "smtp", t->smtp);
    json_out_object_end(out);
}
