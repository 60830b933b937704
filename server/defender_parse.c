/* defender_parse.c - what an answer of Defender's holds: texts, alerts, machines, actions. See defender_own.h. */
#include "defender_own.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COMMENT_MAX 1000 /* characters: trap 30 */
/* Bytes: no id or name of a group is as long, and PostgreSQL's indexes take 2,700 in all. */
#define KEY_MAX 512

/* ---- texts ----------------------------------------------------------------------------------- */

void defender_copy_plain(char *out, size_t room, const char *text)
{
    size_t len = 0;

    for (; text && *text && len + 1 < room; text++)
        out[len++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
    out[len] = '\0';
    utf8_end_whole(out);
}

char *defender_clean_comment(const char *text)
{
    char *out = strndup(text, utf8_first(text, COMMENT_MAX));

    for (char *p = out; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return out;
}

/* Without the blanks at its end, which nobody sees. */
static size_t shown_len(const char *text)
{
    size_t len = strlen(text);

    while (len && text[len - 1] == ' ')
        len--;
    return len;
}

bool defender_is_comment(const char *shown, const char *comment)
{
    AUTO(auto_free) char *sent = defender_clean_comment(comment);
    size_t len = shown_len(shown);

    return sent && shown_len(sent) == len && memcmp(sent, shown, len) == 0;
}

bool defender_is_id(const char *text, size_t most)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = text ? strspn(text, letters) : 0;

    /* "." and ".." would be another path */
    return len && len <= most && !text[len] && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

bool defender_is_machine_id(const char *text)
{
    size_t len = text ? strspn(text, "0123456789abcdefABCDEF") : 0;

    return len >= 32 && len <= 64 && !text[len];
}

bool defender_is_same(enum defender_list of, const char *a, const char *b)
{
    return of == DEFENDER_ALERTS ? strcmp(a, b) == 0 : strcasecmp(a, b) == 0;
}

/* ---- alerts and machines --------------------------------------------------------------------- */

#define IS(type)  (1u << (type))
#define STRINGS   (1u << 30) /* an array of strings */
#define KEY       (1u << 29) /* a string that rows of the store are found by */
#define OR_ABSENT (IS(JSON_ABSENT) | IS(JSON_NULL))

struct field {
    const char *name;
    unsigned types; /* beside absent and null, which all of them may be (trap 18) */
};

/* What cordon knows of an alert (section 2.2). Unknown fields and words are let through (trap 51). */
static const struct field alert_fields[] = {
    {"incidentId", IS(JSON_NUMBER) | IS(JSON_STRING)}, /* trap 11 */
    {"investigationId", IS(JSON_NUMBER) | IS(JSON_STRING)},
    {"assignedTo", IS(JSON_STRING)},
    {"severity", IS(JSON_STRING)},
    {"status", IS(JSON_STRING)},
    {"classification", IS(JSON_STRING)},
    {"determination", IS(JSON_STRING)},
    {"investigationState", IS(JSON_STRING)},
    {"detectionSource", IS(JSON_STRING)},
    {"detectorId", KEY},
    {"category", IS(JSON_STRING)},
    {"threatFamilyName", IS(JSON_STRING)},
    {"threatName", IS(JSON_STRING)},
    {"title", IS(JSON_STRING)},
    {"description", IS(JSON_STRING)},
    {"alertCreationTime", IS(JSON_STRING)},
    {"firstEventTime", IS(JSON_STRING)},
    {"lastEventTime", IS(JSON_STRING)},
    {"lastUpdateTime", IS(JSON_STRING)},
    {"resolvedTime", IS(JSON_STRING)},
    {"machineId", KEY},
    {"computerDnsName", IS(JSON_STRING)},
    {"rbacGroupName", KEY},
    {"aadTenantId", IS(JSON_STRING)},
    {"relatedUser", IS(JSON_OBJECT)},
    {"mitreTechniques", STRINGS},
    {"loggedOnUsers", IS(JSON_ARRAY)},
    {"comments", IS(JSON_ARRAY)},
    {"evidence", IS(JSON_ARRAY)},
    {"domains", IS(JSON_ARRAY)},
    {NULL, 0},
};

/* And of a machine (section 3.2). A tag that cannot be read might be the one that protects it. */
static const struct field machine_fields[] = {
    {"mergedIntoMachineId", IS(JSON_STRING)},
    {"isPotentialDuplication", IS(JSON_BOOL)},
    {"isExcluded", IS(JSON_BOOL)},
    {"exclusionReason", IS(JSON_STRING)},
    {"computerDnsName", IS(JSON_STRING)},
    {"firstSeen", IS(JSON_STRING)},
    {"lastSeen", IS(JSON_STRING)},
    {"osPlatform", IS(JSON_STRING)},
    {"osVersion", IS(JSON_STRING)},
    {"osProcessor", IS(JSON_STRING)},
    {"osArchitecture", IS(JSON_STRING)},
    {"version", IS(JSON_STRING)},
    {"osBuild", IS(JSON_NUMBER) | IS(JSON_STRING)},
    {"lastIpAddress", IS(JSON_STRING)},
    {"lastExternalIpAddress", IS(JSON_STRING)},
    {"agentVersion", IS(JSON_STRING)},
    {"healthStatus", IS(JSON_STRING)},
    {"onboardingStatus", IS(JSON_STRING)},
    {"riskScore", IS(JSON_STRING)},
    {"exposureLevel", IS(JSON_STRING)},
    {"deviceValue", IS(JSON_STRING)},
    {"rbacGroupId", IS(JSON_NUMBER) | IS(JSON_STRING)}, /* trap 21 */
    {"rbacGroupName", KEY},
    {"isAadJoined", IS(JSON_BOOL)},
    {"aadDeviceId", IS(JSON_STRING)},
    {"machineTags", STRINGS},
    {"ipAddresses", IS(JSON_ARRAY)},
    {"vmMetadata", IS(JSON_OBJECT)},
    {"managedBy", IS(JSON_STRING)},
    {"managedByStatus", IS(JSON_STRING)},
    {NULL, 0},
};

static const struct field *const fields[] = {
    [DEFENDER_ALERTS] = alert_fields,
    [DEFENDER_MACHINES] = machine_fields,
};

static bool is_array_of_strings(const struct json *v)
{
    if (json_type(v) != JSON_ARRAY)
        return false;
    JSON_EACH (item, v)
        if (json_type(item) != JSON_STRING)
            return false;
    return true;
}

static bool is_key(const struct json *v)
{
    return json_string(v) && strlen(json_string(v)) <= KEY_MAX;
}

/* The name of the first field whose value is none of its own, or NULL. */
static const char *misfit(const struct json *doc, const struct field *f)
{
    for (; f->name; f++) {
        const struct json *v = json_get(doc, f->name);

        if (!(IS(json_type(v)) & (f->types | OR_ABSENT)) &&
            !(f->types & STRINGS && is_array_of_strings(v)) && !(f->types & KEY && is_key(v)))
            return f->name;
    }
    return NULL;
}

struct json *defender_take_entity(struct exchange *x, enum defender_list of, const char *id)
{
    struct json *doc = exchange_parse(x);
    const char *got = json_get_string(doc, "id"), *bad;
    char what[100];

    if (!doc)
        return NULL;
    bad = misfit(doc, fields[of]);
    if (got && defender_is_same(of, got, id) && !bad)
        return doc;
    if (bad)
        (void)snprintf(what, sizeof what, "its %s is %s", bad,
                       json_get_string(doc, bad) ? "too long"
                                                 : json_type_name(json_type(json_get(doc, bad))));
    exchange_spoil(x, bad ? what : got ? "it speaks of another id" : "it has no id");
    if (!bad && got && strcasecmp(got, id) == 0) /* no answer will ever be another */
        x->code =
            err_set(&x->err, ERR_REFUSED,
                    "Defender writes this id %.128s: whoever sent it changed its letter case", got);
    json_free(doc);
    return NULL;
}

const char *defender_misfit(enum defender_list list, const struct json *element)
{
    if (!json_get_string(element, "id"))
        return "id";
    return misfit(element, fields[list]);
}

/* ---- machine actions ------------------------------------------------------------------------- */

bool defender_action_is_open(const struct defender_action *a)
{
    return a->status == DEFENDER_PENDING || a->status == DEFENDER_IN_PROGRESS ||
           a->status == DEFENDER_STATUS_UNKNOWN;
}

static enum defender_action_status status_of(const char *text)
{
    static const struct {
        const char *text;
        enum defender_action_status status;
    } words[] = {
        /* the spellings of trap 4, in any casing (trap 5): one that ended must not seem to go on for ever */
        {"Pending", DEFENDER_PENDING},     {"InProgress", DEFENDER_IN_PROGRESS},
        {"Succeeded", DEFENDER_SUCCEEDED}, {"Failed", DEFENDER_FAILED},
        {"TimeOut", DEFENDER_TIME_OUT},    {"Cancelled", DEFENDER_CANCELLED},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(words[i].text, text) == 0)
            return words[i].status;
    return DEFENDER_STATUS_UNKNOWN;
}

/* requestSource: section 4.2. A word that is not listed says nothing. */
static bool is_from_elsewhere(const char *source)
{
    static const char *const words[] = {
        "Portal",     "MCAS", "TVM", "CustomDetection",          "BulkAction",
        "ISG",        "NDR",  "MDI", "EndpointConfigManagement", "IncidentTasks",
        "ActiveScan",
    };
    bool is = false;

    for (size_t i = 0; i < sizeof words / sizeof *words && source; i++)
        is = is || strcasecmp(words[i], source) == 0;
    return is;
}

const char *defender_read_action(const struct json *v, const char *machine_id,
                                 struct defender_action *ret)
{
    const char *id = json_get_string(v, "id"), *type = json_get_string(v, "type");
    const char *status = json_get_string(v, "status"), *of = json_get_string(v, "machineId");
    const char *created = json_get_string(v, "creationDateTimeUtc");
    const struct json *updated = json_get(v, "lastUpdateDateTimeUtc");

    memset(ret, 0, sizeof *ret);
    if (!defender_is_id(id, sizeof ret->id - 1) || !type || !status)
        return "an action has no id, type or status";
    if (!defender_is_machine_id(of))
        return "an action has no machine";
    if (machine_id && strcasecmp(of, machine_id) != 0)
        return "an action is another machine's";
    if (!created || clock_parse(created, &ret->created_ms, NULL) != ERR_OK)
        return "an action has no time of creation";
    if (!updated)
        updated = json_get(v, "lastUpdateTimeUtc"); /* trap 7 */
    ret->updated_ms = ret->created_ms;
    if (json_string(updated) && clock_parse(json_string(updated), &ret->updated_ms, NULL) != ERR_OK)
        return "an action's time of update cannot be read";
    /* It may be some ticks before its creation, and each with digits of its own (section 4.7, rule 5; trap 15):
     * whatever is done later must not seem to have been done first. */
    if (ret->updated_ms < ret->created_ms)
        ret->updated_ms = ret->created_ms;

    /* In any casing (trap 5): what is passed over might be the isolation that is open. */
    ret->type = strcasecmp(type, "Isolate") == 0     ? DEFENDER_ISOLATE
                : strcasecmp(type, "Unisolate") == 0 ? DEFENDER_UNISOLATE
                                                     : DEFENDER_OTHER;
    ret->status = status_of(status);
    defender_copy_plain(ret->id, sizeof ret->id, id);
    defender_copy_plain(ret->type_text, sizeof ret->type_text, type);
    defender_copy_plain(ret->status_text, sizeof ret->status_text, status);
    defender_copy_plain(ret->machine_id, sizeof ret->machine_id, of);
    defender_copy_plain(ret->machine_name, sizeof ret->machine_name,
                        json_get_string(v, "computerDnsName"));
    defender_copy_plain(ret->requestor, sizeof ret->requestor, json_get_string(v, "requestor"));
    defender_copy_plain(ret->comment, sizeof ret->comment, json_get_string(v, "requestorComment"));
    defender_copy_plain(ret->external_id, sizeof ret->external_id,
                        json_get_string(v, "externalId"));
    ret->from_elsewhere = is_from_elsewhere(json_get_string(v, "requestSource"));
    defender_copy_plain(ret->scope, sizeof ret->scope, json_get_string(v, "scope"));
    defender_copy_plain(ret->file, sizeof ret->file,
                        json_get_string(json_get(v, "relatedFileInfo"), "fileIdentifier"));
    return NULL;
}

const char *defender_insert_action(struct defender_reads *r, const struct defender_action *a)
{
    size_t at = r->n_actions;

    if (!r->actions) /* most machines have none, and hundreds are looked at together */
        r->actions = calloc(DEFENDER_ACTIONS_MAX, sizeof *r->actions);
    if (!r->actions)
        return "there is no memory for it";
    while (at > 0 && r->actions[at - 1].created_ms < a->created_ms)
        at--;
    if (at == DEFENDER_ACTIONS_MAX)
        return NULL;
    if (r->n_actions < DEFENDER_ACTIONS_MAX)
        r->n_actions++;
    memmove(&r->actions[at + 1], &r->actions[at], (r->n_actions - at - 1) * sizeof r->actions[0]);
    r->actions[at] = *a;
    return NULL;
}

bool defender_actions_query(struct buf *out, const char *machine_id, const char *types)
{
    AUTO(buf_clear) struct buf filter = BUF_INIT(1024);
    AUTO(auto_free) char *encoded = NULL;

    buf_adds(&filter, "machineId eq '");
    for (const char *p = machine_id; *p; p++)
        buf_adds(&filter, *p == '\'' ? "''" : (char[]){*p, '\0'});
    buf_addf(&filter, "' and (%s)", types);
    encoded = buf_failed(&filter) ? NULL : rest_encode(filter.data);
    if (!encoded)
        return false;
    buf_addf(out, "?$filter=%s&$orderby=creationDateTimeUtc%%20desc&$top=%d", encoded,
             DEFENDER_ACTIONS_MAX);
    return !buf_failed(out);
}
