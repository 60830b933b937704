/* defender.c - see defender.h.
 *
 * A call is a struct exchange: send() asks for a token and for quota and lets it go, receive() waits and
 * settles what came by the table outcomes[]. Between the two any number of others may be started, which
 * is how the alert, the machine and its actions are read in one round trip.
 *
 * Whatever cannot be read, or speaks of something else than was asked for, is no answer: ERR_AGAIN for a
 * read, ERR_UNKNOWN for an isolate (it was probably carried out).
 *
 * Section and trap numbers are those of defender-api.md.
 */
#include "defender.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "fault.h"
#include "rest.h"
#include "token.h"

#define TIMEOUT_MS   (60 * SECOND_MS) /* section 7.6 */
#define THROTTLED_MS (60 * SECOND_MS) /* section 7.3: neither header nor sentence says how long */
#define COMMENT_MAX  1000             /* characters: trap 30 */
#define EXTERNAL_MAX 64
#define AUTH         "Authorization: Bearer "

struct defender {
    struct defender_options o;
    char *base; /* api_url without a slash at its end */
};

struct exchange {
    enum defender_class class;
    const char *method;
    char path[256];    /* with its leading slash, ids encoded; for messages too */
    const char *query; /* with its '?', or NULL */
    const char *body;  /* or NULL */
    bool list;         /* its answer may be large */
    bool to_act;       /* a read that an action hangs on */
    struct buf auth;   /* the header as it was sent */
    struct rest_call *call;
    struct rest_answer answer;
    int64_t leave_by_ms;
    bool stale; /* 401, and a newer token may be had */
    enum err_code code;
    struct err err;
};

/* ---- outcomes ------------------------------------------------------------------------------------ */

/*
 * What an answer other than success means, first row that fits. code and message: NULL fits all; message
 * is a part of the sentence, without regard to case. For reads, and for what acts: after a 5xx nobody
 * knows whether it was carried out, so one looks (section 4.5: never a blind repeat of a POST).
 */
static const struct outcome {
    int first, last; /* HTTP status */
    const char *code, *message;
    enum err_code read, act;
    const char *cure; /* what a person can do, or NULL */
} outcomes[] = {
    /* 4.5: under way already; the second row is how the pages of other actions word it */
    {400, 400, "ActiveRequestAlreadyExists", NULL, ERR_CONFLICT, ERR_CONFLICT, NULL},
    {400, 400, NULL, "already in progress", ERR_CONFLICT, ERR_CONFLICT, NULL},
    {400, 400, "OsPlatformNotSupported", NULL, ERR_REFUSED, ERR_REFUSED, /* 4.5, 7.1 */
     "this operating system cannot do it"},
    {400, 400, "ClientVersionNotSupported", NULL, ERR_REFUSED, ERR_REFUSED, /* 4.5, 7.1 */
     "the agent on the machine is too old"},
    {400, 400, NULL, NULL, ERR_REFUSED, ERR_REFUSED, NULL}, /* 7.1: all of 400 is for good */
    /* 7.2: a licence, which no new token heals */
    {401, 401, NULL, "account mode is inactive", ERR_FORBIDDEN, ERR_FORBIDDEN,
     "the tenant has no active licence"},
    {401, 401, NULL, "license", ERR_FORBIDDEN, ERR_FORBIDDEN, "the tenant has no active licence"},
    {401, 401, NULL, NULL, ERR_DENIED, ERR_DENIED, /* 7.1: once more before this (trap 36) */
     "a fresh token was refused as well"},
    {403, 403, "DisabledFeature", NULL, ERR_REFUSED, ERR_REFUSED, /* 4.5, 7.1 */
     "the feature is switched off in the tenant"},
    {403, 403, "DisallowedOperation", NULL, ERR_FORBIDDEN, ERR_FORBIDDEN, /* 4.5, 7.1 */
     "the device group or the plan does not allow it"},
    {403, 403, NULL, "missing application roles", ERR_FORBIDDEN, ERR_FORBIDDEN, /* 7.2 */
     "give the app the permission and consent again"},
    {403, 403, NULL, NULL, ERR_FORBIDDEN, ERR_FORBIDDEN, NULL}, /* 7.1; trap 41: a foreign scope */
    {404, 404, NULL, NULL, ERR_NOT_FOUND, ERR_NOT_FOUND, NULL}, /* 4.5, 7.1 */
    {408, 408, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},       /* not in 7.1: a gateway's */
    {409, 409, NULL, NULL, ERR_CONFLICT, ERR_CONFLICT, NULL},   /* not in 7.1: look */
    {429, 429, NULL, NULL, ERR_THROTTLED, ERR_THROTTLED, NULL}, /* 7.3 */
    {400, 499, NULL, NULL, ERR_REFUSED, ERR_REFUSED, NULL},     /* 7.1 */
    {500, 599, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},       /* 7.1 */
    {100, 399, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},       /* a redirect, a 204: no answer */
    {0, 9999, NULL, NULL, ERR_AGAIN, ERR_UNKNOWN, NULL},
};

/* What a call without an answer means (rest.h); everything else keeps its code. */
static enum err_code without_answer(enum err_code code, enum defender_class class)
{
    if (code == ERR_UNKNOWN || code == ERR_TOO_BIG)
        return class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_AGAIN;
    return code == ERR_IO ? ERR_AGAIN : code;
}

static enum err_code rubbish(const struct exchange *x)
{
    return x->class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_AGAIN;
}

/* ---- texts ------------------------------------------------------------------------------------------ */

/* Copies foreign UTF-8 text: controls become blanks; cut at a character when too long. */
static void copy_plain(char *out, size_t room, const char *text)
{
    size_t len = 0;

    for (; text && *text && len + 1 < room; text++)
        out[len++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
    if (text && ((unsigned char)*text & 0xc0) == 0x80) { /* inside a character */
        while (len && ((unsigned char)out[len - 1] & 0xc0) == 0x80)
            len--;
        len -= len > 0;
    }
    out[len] = '\0';
}

/* The comment as Defender is to get it: one line, at most COMMENT_MAX characters. NULL: out of memory. */
static char *clean_comment(const char *text)
{
    size_t len = 0, characters = 0;
    char *out;

    for (; text[len]; len++) {
        characters += ((unsigned char)text[len] & 0xc0) != 0x80;
        if (characters > COMMENT_MAX)
            break;
    }
    out = strndup(text, len);
    for (char *p = out; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return out;
}

static bool is_id(const char *text, size_t most)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = text ? strspn(text, letters) : 0;

    /* "." and ".." would be another path */
    return len && len <= most && !text[len] && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool is_machine_id(const char *text)
{
    size_t len = text ? strspn(text, "0123456789abcdefABCDEF") : 0;

    return len >= 32 && len <= 64 && !text[len];
}

/* ---- one call ---------------------------------------------------------------------------------------- */

static void wipe_auth(struct exchange *x)
{
    token_wipe(&x->auth);
    buf_clear(&x->auth);
}

static void exchange_clear(struct exchange *x)
{
    wipe_auth(x);
    rest_answer_clear(&x->answer);
}

/* id: encoded into the path between head and tail. Its alphabet needs no encoding today; it is done all
 * the same, so that a wider alphabet stays safe. */
static void exchange_init(struct exchange *x, enum defender_class class, const char *method,
                          const char *head, const char *id, const char *tail)
{
    AUTO(auto_free) char *encoded = id ? rest_encode(id) : NULL;

    memset(x, 0, sizeof *x);
    x->class = class;
    x->method = method;
    buf_init(&x->auth, sizeof AUTH + TOKEN_MAX);
    if (id && !encoded)
        x->code = err_set(&x->err, ERR_NOMEM, "%s %s", method, head);
    else /* at most 128 characters of id and 40 of ours, encoded or not: is_id */
        (void)snprintf(x->path, sizeof x->path, "%s%s%s", head, encoded ? encoded : "", tail);
}

/* Lets the call go, unless it has failed already. */
static void send_call(struct defender *d, struct exchange *x)
{
    AUTO(buf_clear) struct buf url = BUF_INIT(1 << 17);
    struct rest_request q = {
        .method = x->method,
        .headers = {"Accept: application/json"},
        .body = x->body,
        .body_len = x->body ? strlen(x->body) : 0,
        .timeout_ms = d->o.timeout_ms,
        .leave_by_ms = x->leave_by_ms,
        .max_answer = x->list ? DEFENDER_LIST_MAX : 0,
    };
    enum err_code code;

    if (x->code)
        return;
    x->stale = false;
    wipe_auth(x);
    buf_adds(&x->auth, AUTH);
    code = token_get(d->o.token, &x->auth, &x->err);
    if (code) {
        /* To the caller it is one thing, whoever refuses the credential. */
        if (code != ERR_AGAIN && code != ERR_STOPPING && code != ERR_NOMEM)
            code = ERR_DENIED;
        x->err.code = x->code = code;
        (void)err_in(&x->err, "%s %s: token", x->method, x->path);
        return;
    }
    if (d->o.acquire) {
        x->code = d->o.acquire(d->o.ctx, x->to_act ? DEFENDER_CLASS_ACTION : x->class, &x->err);
        if (x->code) {
            x->err.code = x->code;
            (void)err_in(&x->err, "%s %s", x->method, x->path);
            return;
        }
    }
    buf_addf(&url, "%s%s%s", d->base, x->path, x->query ? x->query : "");
    if (buf_failed(&url)) {
        x->code = err_set(&x->err, ERR_NOMEM, "%s %s", x->method, x->path);
        return;
    }
    q.url = url.data;
    q.headers[1] = x->auth.data;
    if (x->body)
        q.headers[2] = "Content-Type: application/json";
    x->code = rest_start(d->o.rest, &q, &x->call, &x->err);
    if (x->code) {
        x->err.code = x->code = without_answer(x->code, DEFENDER_CLASS_READ); /* nothing has left */
        (void)err_in(&x->err, "%s %s", x->method, x->path);
    }
}

/* "…You can send requests again in 8 seconds." (section 7.3); 0: it does not say. */
static int64_t wait_in_message(const char *message)
{
    for (const char *p = message; (p = strstr(p, "in ")); p += 3) {
        int64_t s = 0;
        const char *q = p + 3;

        while (*q >= '0' && *q <= '9' && s < 100000)
            s = s * 10 + (*q++ - '0');
        if (q > p + 3 && strncmp(q, " second", 7) == 0)
            return s * SECOND_MS < DAY_MS ? s * SECOND_MS : DAY_MS;
    }
    return 0;
}

static const struct outcome *find_outcome(long status, const char *code, const char *message)
{
    for (const struct outcome *o = outcomes;; o++) /* the last row fits all */
        if (status >= o->first && status <= o->last &&
            (!o->code || (code && strcmp(o->code, code) == 0)) &&
            (!o->message || (message && strcasestr(message, o->message))))
            return o;
}

/* Settles an answer that is no success. The body may be empty, HTML or cut (section 7.1). */
static void settle_refusal(struct defender *d, struct exchange *x)
{
    AUTO(json_freep) struct json *doc = NULL;
    const char *code = NULL, *message = NULL, *target = NULL;
    char says[200] = "", code_text[48], target_text[64];
    const struct outcome *o;
    const struct json *error;
    enum err_code parsed;

    parsed = json_parse(x->answer.body, x->answer.body_len, &doc, NULL);
    if (parsed == ERR_NOMEM) { /* what it says decides: do not judge it unread */
        x->code = err_set(&x->err, x->class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_NOMEM,
                          "%s %s: HTTP %ld, out of memory for the answer", x->method, x->path,
                          x->answer.status);
        return;
    }
    if (parsed == ERR_OK) {
        error = json_get(doc, "error");
        code = json_get_string(error, "code");
        message = json_get_string(error, "message");
        target = json_get_string(error, "target");
    }
    if (message && strstr(message, x->auth.data + strlen(AUTH)))
        message = "(a sentence that repeats our token)";
    o = find_outcome(x->answer.status, code, message);
    copy_plain(says, sizeof says, message);
    copy_plain(code_text, sizeof code_text, code);
    copy_plain(target_text, sizeof target_text, target);
    x->code =
        err_set(&x->err, x->class == DEFENDER_CLASS_ACTION ? o->act : o->read,
                "%s %s: HTTP %ld%s%s%s%s%s%s%s%s%s", x->method, x->path, x->answer.status,
                code ? " " : "", code_text, says[0] ? ": " : "", says, target ? " (target " : "",
                target_text, target ? ")" : "", o->cure ? "; " : "", o->cure ? o->cure : "");
    x->err.retry_ms = x->answer.retry_ms;
    if (x->code == ERR_THROTTLED) {
        if (!x->err.retry_ms && message)
            x->err.retry_ms = wait_in_message(message);
        if (!x->err.retry_ms)
            x->err.retry_ms = THROTTLED_MS;
        if (d->o.on_throttled)
            d->o.on_throttled(d->o.ctx, x->class, x->err.retry_ms);
    }
    x->stale = x->code == ERR_DENIED && token_drop(d->o.token, x->auth.data + strlen(AUTH));
}

/* Waits for what was sent. ERR_OK in x->code: a success, its body in x->answer. */
static void receive(struct defender *d, struct exchange *x)
{
    if (x->code)
        return;
    x->code = rest_wait(x->call, &x->answer, &x->err);
    x->call = NULL;
    if (x->code) {
        if (x->code != ERR_TOO_BIG || !x->list)
            x->err.code = x->code = without_answer(x->code, x->class);
        (void)err_in(&x->err, "%s %s", x->method, x->path);
    } else if (x->answer.status != 200 && x->answer.status != 201) { /* section 4.1: both */
        settle_refusal(d, x);
    }
}

/* Sends all, waits for all; those whose token was stale once more. */
static void run_all(struct defender *d, struct exchange *const x[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        send_call(d, x[i]);
    for (size_t i = 0; i < n; i++)
        receive(d, x[i]);
    for (size_t i = 0; i < n; i++)
        if (x[i]->stale) {
            x[i]->code = ERR_OK;
            rest_answer_clear(&x[i]->answer);
            send_call(d, x[i]);
        }
    for (size_t i = 0; i < n; i++)
        if (x[i]->call)
            receive(d, x[i]);
}

static void fail_rubbish(struct exchange *x, const char *what)
{
    x->code = err_set(&x->err, rubbish(x), "%s %s: HTTP %ld, but %s", x->method, x->path,
                      x->answer.status, what);
}

/* Parses the body of a success. NULL: x has failed. */
static struct json *parse_answer(struct exchange *x)
{
    struct json *doc = NULL;
    struct err e = {0};
    enum err_code code;

    if (x->code)
        return NULL;
    if (x->answer.body)
        json_mend(x->answer.body);
    code = json_parse(x->answer.body, x->answer.body_len, &doc, &e);
    if (code == ERR_NOMEM) {
        x->code = err_set(&x->err, x->class == DEFENDER_CLASS_ACTION ? ERR_UNKNOWN : ERR_NOMEM,
                          "%s %s: out of memory for the answer", x->method, x->path);
        return NULL;
    }
    if (code == ERR_OK && json_type(doc) == JSON_OBJECT)
        return doc;
    fail_rubbish(x, code ? e.text : "the answer is no object");
    json_free(doc);
    return NULL;
}

/* ---- alerts and machines ------------------------------------------------------------------------------ */

#define IS(type)  (1u << (type))
#define STRINGS   (1u << 30) /* an array of strings */
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
    {"detectorId", IS(JSON_STRING)},
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
    {"machineId", IS(JSON_STRING)},
    {"computerDnsName", IS(JSON_STRING)},
    {"rbacGroupName", IS(JSON_STRING)},
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
    {"rbacGroupName", IS(JSON_STRING)},
    {"isAadJoined", IS(JSON_BOOL)},
    {"aadDeviceId", IS(JSON_STRING)},
    {"machineTags", STRINGS},
    {"ipAddresses", IS(JSON_ARRAY)},
    {"vmMetadata", IS(JSON_OBJECT)},
    {"managedBy", IS(JSON_STRING)},
    {"managedByStatus", IS(JSON_STRING)},
    {NULL, 0},
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

/* The name of the first field whose type is not one of its own, or NULL. */
static const char *misfit(const struct json *doc, const struct field *f)
{
    for (; f->name; f++) {
        const struct json *v = json_get(doc, f->name);

        if (!(IS(json_type(v)) & (f->types | OR_ABSENT)) &&
            !(f->types & STRINGS && is_array_of_strings(v)))
            return f->name;
    }
    return NULL;
}

/* Takes the entity out of a finished exchange. same: how its id is compared with the one asked for. */
static struct json *take_entity(struct exchange *x, const char *id,
                                int (*same)(const char *, const char *), const struct field *fields)
{
    struct json *doc = parse_answer(x);
    const char *got = json_get_string(doc, "id"), *bad;
    char what[100];

    if (!doc)
        return NULL;
    bad = misfit(doc, fields);
    if (got && same(got, id) == 0 && !bad)
        return doc;
    if (bad)
        (void)snprintf(what, sizeof what, "its %s is %s", bad,
                       json_type_name(json_type(json_get(doc, bad))));
    fail_rubbish(x, bad ? what : got ? "it speaks of another id" : "it has no id");
    json_free(doc);
    return NULL;
}

/* ---- machine actions ------------------------------------------------------------------------------------ */

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
        /* the exact spellings: trap 4 */
        {"Pending", DEFENDER_PENDING},     {"InProgress", DEFENDER_IN_PROGRESS},
        {"Succeeded", DEFENDER_SUCCEEDED}, {"Failed", DEFENDER_FAILED},
        {"TimeOut", DEFENDER_TIME_OUT},    {"Cancelled", DEFENDER_CANCELLED},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].text, text) == 0)
            return words[i].status;
    return DEFENDER_STATUS_UNKNOWN;
}

/*
 * Reads one action (section 4.2). machine_id: it must be this machine's; NULL: any. NULL, or what is
 * wrong with it; *ret is then undefined. An action that cannot be read may not be skipped: it might be
 * the open isolation.
 */
static const char *read_action(const struct json *v, const char *machine_id,
                               struct defender_action *ret)
{
    const char *id = json_get_string(v, "id"), *type = json_get_string(v, "type");
    const char *status = json_get_string(v, "status"), *of = json_get_string(v, "machineId");
    const char *created = json_get_string(v, "creationDateTimeUtc");
    const struct json *updated = json_get(v, "lastUpdateDateTimeUtc");
    int64_t number = 0;

    memset(ret, 0, sizeof *ret);
    if (!is_id(id, sizeof ret->id - 1) || !type || !status)
        return "an action has no id, type or status";
    if (!is_machine_id(of))
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
    if (json_int64(json_get(v, "errorHResult"), &number)) /* signed, or the same 32 bits unsigned */
        ret->error_hresult = (int32_t)(uint32_t)(uint64_t)number;

    ret->type = strcmp(type, "Isolate") == 0     ? DEFENDER_ISOLATE
                : strcmp(type, "Unisolate") == 0 ? DEFENDER_UNISOLATE
                                                 : DEFENDER_OTHER;
    ret->status = status_of(status);
    copy_plain(ret->id, sizeof ret->id, id);
    copy_plain(ret->type_text, sizeof ret->type_text, type);
    copy_plain(ret->status_text, sizeof ret->status_text, status);
    copy_plain(ret->machine_id, sizeof ret->machine_id, of);
    copy_plain(ret->machine_name, sizeof ret->machine_name, json_get_string(v, "computerDnsName"));
    copy_plain(ret->requestor, sizeof ret->requestor, json_get_string(v, "requestor"));
    copy_plain(ret->comment, sizeof ret->comment, json_get_string(v, "requestorComment"));
    copy_plain(ret->external_id, sizeof ret->external_id, json_get_string(v, "externalId"));
    return NULL;
}

/* Keeps the newest n of the list, newest first; among equals Defender's order, which is the same. */
static void insert_action(struct defender_reads *r, const struct defender_action *a)
{
    size_t at = r->n_actions;

    while (at > 0 && r->actions[at - 1].created_ms < a->created_ms)
        at--;
    if (at == DEFENDER_ACTIONS_MAX)
        return;
    if (r->n_actions < DEFENDER_ACTIONS_MAX)
        r->n_actions++;
    memmove(&r->actions[at + 1], &r->actions[at], (r->n_actions - at - 1) * sizeof r->actions[0]);
    r->actions[at] = *a;
}

static void take_actions(struct exchange *x, const char *machine_id, struct defender_reads *r)
{
    AUTO(json_freep) struct json *doc = parse_answer(x);
    const struct json *list = json_get(doc, "value");
    struct defender_action a;

    if (!doc)
        return;
    if (json_type(list) != JSON_ARRAY) {
        fail_rubbish(x, "it holds no list");
        return;
    }
    JSON_EACH (v, list) {
        const char *bad = read_action(v, machine_id, &a);

        if (bad) {
            fail_rubbish(x, bad);
            r->n_actions = 0;
            return;
        }
        insert_action(r, &a);
    }
}

/* "?$filter=…": section 4.5. Quotes in a literal are doubled (section 2.4); machine ids hold none. types: a
 * condition on them. */
static bool actions_query(struct buf *out, const char *machine_id, const char *types)
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

/* ---- lists ---------------------------------------------------------------------------------------------- */

#define PAGES_MAX 50

/* One element of an answer; NULL, or what is wrong with it. It may be taken out of list. */
typedef const char *(*element_fn)(void *ctx, struct json *list, const struct json *element);

/* "?$filter=property in ('…','…')more". Ids hold nothing that a URL would need encoded: is_id. */
static bool in_query(struct buf *out, const char *property, const char *const ids[], size_t n,
                     const char *more)
{
    buf_addf(out, "?$filter=%s%%20in%%20(", property);
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "%s'%s'", i ? "," : "", ids[i]);
    buf_addf(out, ")%s", more);
    return !buf_failed(out);
}

/* Where the rest of a list is, out of an @odata.nextLink. Its host is a regional one (section 1.1), which gets no
 * token of ours: path and query are asked for where the first page was. false: no link to follow. */
static bool next_page(const char *link, struct exchange *x, struct buf *query)
{
    const char *host = strstr(link, "://"), *path = host ? strchr(host + 3, '/') : NULL;
    size_t len = path ? strcspn(path, "?") : 0;

    if (!path || len >= sizeof x->path || strncasecmp(path, "/api/", 5) != 0 || !path[len])
        return false;
    for (const char *p = path; *p; p++)
        if (*p <= ' ' || *p == 0x7f || *p == '#')
            return false;
    (void)snprintf(x->path, sizeof x->path, "%.*s", (int)len, path);
    buf_reset(query);
    buf_adds(query, path + len);
    return !buf_failed(query);
}

/* Takes the elements of one page. ERR_OK and *ret_more: there is another, which x is made ready for. */
static enum err_code read_page(struct defender *d, struct exchange *x, struct buf *query,
                               element_fn fn, void *ctx, bool *ret_more)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct json *list;
    const char *link;

    x->query = buf_text(query);
    run_all(d, &x, 1);
    doc = parse_answer(x);
    *ret_more = false;
    if (!doc)
        return x->code;
    list = (struct json *)json_get(doc, "value"); /* doc is ours to change */
    if (json_type(list) != JSON_ARRAY) {
        fail_rubbish(x, "it holds no list");
        return x->code;
    }
    for (const struct json *v = json_first(list), *next; v; v = next) {
        const char *bad;

        next = json_next(v);
        bad = fn(ctx, list, v);
        if (bad) {
            fail_rubbish(x, bad);
            return x->code;
        }
    }
    link = json_get_string(doc, "@odata.nextLink");
    if (link && !(*ret_more = next_page(link, x, query)))
        fail_rubbish(x, "the link to its next page cannot be followed");
    rest_answer_clear(&x->answer);
    return x->code;
}

static enum err_code read_list(struct defender *d, const char *path, struct buf *query, bool to_act,
                               element_fn fn, void *ctx, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;
    bool more = true;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET", path, NULL, "");
    x.list = true;
    x.to_act = to_act;
    if (buf_failed(query))
        x.code = err_set(&x.err, ERR_TOO_BIG, "GET %s: too many ids", path);
    for (int page = 0; more && !x.code; page++) {
        if (page == PAGES_MAX)
            fail_rubbish(&x, "its pages do not end");
        else
            (void)read_page(d, &x, query, fn, ctx, &more);
    }
    if (x.code && e)
        *e = x.err;
    return x.code;
}

/* What is asked for by ids, and where what comes goes to. */
struct wanted {
    const char *const *ids;
    size_t n;
    int (*same)(const char *, const char *);
    const struct field *fields;
    struct json **docs;
    struct defender_reads *const *looks;
    struct defender_action *actions;
    bool *listed;
};

/* Index of id among those wanted, or n. */
static size_t wanted_at(const struct wanted *w, const char *id)
{
    size_t i = 0;

    while (id && i < w->n && w->same(w->ids[i], id) != 0)
        i++;
    return id ? i : w->n;
}

static const char *take_doc(void *ctx, struct json *list, const struct json *v)
{
    struct wanted *w = ctx;
    size_t i = wanted_at(w, json_get_string(v, "id"));

    if (i == w->n)
        return "it holds something that nobody asked for";
    if (!w->docs[i] &&
        !misfit(v, w->fields)) /* what does not fit is read alone, and said so then */
        w->docs[i] = json_detach(list, v);
    return NULL;
}

static enum err_code check_ids(const char *const ids[], size_t n, bool machines, struct err *e)
{
    assert(n <= DEFENDER_MANY_MAX);
    for (size_t i = 0; i < n; i++)
        if (machines ? !is_machine_id(ids[i]) : !is_id(ids[i], 128))
            return err_set(e, ERR_INVALID, "not an id: '%.40s'", ids[i]);
    return ERR_OK;
}

static enum err_code list_docs(struct defender *d, const char *path, const char *more,
                               struct wanted *w, int64_t *ret_read_ms, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    int64_t now = clock_wall_ms(d->o.clock);
    enum err_code code;

    memset(w->docs, 0, w->n * sizeof *w->docs);
    (void)in_query(&query, "id", w->ids, w->n, more);
    code = read_list(d, path, &query, false, take_doc, w, e);
    if (!code)
        *ret_read_ms = now;
    for (size_t i = 0; code && i < w->n; i++) {
        json_free(w->docs[i]);
        w->docs[i] = NULL;
    }
    return code;
}

static const char *take_look(void *ctx, struct json *list, const struct json *v)
{
    struct wanted *w = ctx;
    struct defender_action a;
    const char *bad = read_action(v, NULL, &a);
    size_t i;

    (void)list;
    if (bad)
        return bad;
    i = wanted_at(w, a.machine_id);
    if (i == w->n)
        return "an action is another machine's";
    insert_action(w->looks[i], &a);
    return NULL;
}

static const char *take_listed(void *ctx, struct json *list, const struct json *v)
{
    struct wanted *w = ctx;
    struct defender_action a;
    const char *bad = read_action(v, NULL, &a);
    size_t i;

    (void)list;
    if (bad) /* read alone, and said so then */
        return NULL;
    i = wanted_at(w, a.id);
    if (i == w->n)
        return "it holds something that nobody asked for";
    w->actions[i] = a;
    w->listed[i] = true;
    return NULL;
}

/* ---- the public side -------------------------------------------------------------------------------------- */

enum err_code defender_new(const struct defender_options *o, struct defender **ret, struct err *e)
{
    struct defender *d;
    size_t len = strlen(o->api_url);

    if (!rest_url_ok(o->api_url))
        return err_set(e, ERR_INVALID, "api_url %s: neither https nor http to loopback",
                       o->api_url);
    while (len && o->api_url[len - 1] == '/')
        len--;
    d = calloc(1, sizeof *d);
    if (!d || !(d->base = strndup(o->api_url, len))) {
        free(d);
        return err_set(e, ERR_NOMEM, "defender");
    }
    d->o = *o;
    d->o.api_url = d->base;
    if (!d->o.timeout_ms)
        d->o.timeout_ms = TIMEOUT_MS;
    *ret = d;
    return ERR_OK;
}

void defender_free(struct defender *d)
{
    if (!d)
        return;
    free(d->base);
    free(d);
}

void defender_read(struct defender *d, const char *alert_id, const char *machine_id,
                   enum defender_read_flags flags, struct defender_reads *ret)
{
    struct exchange alert, machine, actions, *wanted[3] = {NULL};
    AUTO(buf_clear) struct buf query = BUF_INIT(1024);
    size_t n = 0;

    memset(ret, 0, sizeof *ret);
    exchange_init(&alert, DEFENDER_CLASS_READ, "GET", "/api/alerts/", NULL, "");
    exchange_init(&machine, DEFENDER_CLASS_READ, "GET", "/api/machines/", NULL, "");
    exchange_init(&actions, DEFENDER_CLASS_READ, "GET", "/api/machineactions", NULL, "");
    if (alert_id && flags & DEFENDER_READ_ALERT) {
        if (is_id(alert_id, 128))
            exchange_init(&alert, DEFENDER_CLASS_READ, "GET", "/api/alerts/", alert_id, "");
        else
            alert.code = err_set(&alert.err, ERR_INVALID, "not an alert id: '%.40s'", alert_id);
        wanted[n++] = &alert;
    }
    if (machine_id && flags & DEFENDER_READ_MACHINE) {
        if (is_machine_id(machine_id))
            exchange_init(&machine, DEFENDER_CLASS_READ, "GET", "/api/machines/", machine_id, "");
        else
            machine.code =
                err_set(&machine.err, ERR_INVALID, "not a machine id: '%.40s'", machine_id);
        wanted[n++] = &machine;
    }
    if (machine_id && flags & DEFENDER_READ_ACTIONS) {
        if (!is_machine_id(machine_id))
            actions.code =
                err_set(&actions.err, ERR_INVALID, "not a machine id: '%.40s'", machine_id);
        else if (!actions_query(&query, machine_id, "type eq 'Isolate' or type eq 'Unisolate'"))
            actions.code = err_set(&actions.err, ERR_NOMEM, "actions of a machine");
        actions.query = query.data;
        wanted[n++] = &actions;
    }

    for (size_t i = 0; i < n; i++)
        wanted[i]->to_act = flags & DEFENDER_READ_TO_ACT;
    ret->read_ms = clock_wall_ms(d->o.clock);
    run_all(d, wanted, n);
    for (size_t i = 0; i < n; i++) {
        struct exchange *x = wanted[i];

        if (x->code)
            continue;
        if (x == &alert)
            ret->alert = take_entity(x, alert_id, strcmp, alert_fields);
        else if (x == &machine) /* hex digits: either case is the same id */
            ret->machine = take_entity(x, machine_id, strcasecmp, machine_fields);
        else
            take_actions(x, machine_id, ret);
    }
    ret->alert_code = alert.code;
    ret->alert_err = alert.err;
    ret->machine_code = machine.code;
    ret->machine_err = machine.err;
    ret->actions_code = actions.code;
    ret->actions_err = actions.err;
    exchange_clear(&alert);
    exchange_clear(&machine);
    exchange_clear(&actions);
}

void defender_reads_clear(struct defender_reads *r)
{
    json_free(r->alert);
    json_free(r->machine);
    memset(r, 0, sizeof *r);
}

/* Runs one exchange that answers with an action of this type (DEFENDER_OTHER: any). */
static enum err_code run_action(struct defender *d, struct exchange *x, const char *machine_id,
                                const char *action_id, enum defender_action_type type,
                                struct defender_action *ret, struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct defender_action a;

    run_all(d, &x, 1);
    doc = parse_answer(x);
    if (doc) {
        const char *bad = read_action(doc, machine_id, &a);

        if (!bad && action_id && strcasecmp(a.id, action_id) != 0) /* a GUID */
            bad = "it speaks of another id";
        if (!bad && type != DEFENDER_OTHER && a.type != type)
            bad = "it is an action of another type";
        if (bad)
            fail_rubbish(x, bad);
        else
            *ret = a;
    }
    if (x->code && e)
        *e = x->err;
    return x->code;
}

enum err_code defender_get_action(struct defender *d, const char *action_id,
                                  struct defender_action *ret, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", NULL, "");
    if (!is_id(action_id, sizeof ret->id - 1))
        return err_set(e, ERR_INVALID, "not an action id: '%.40s'", action_id ? action_id : "");
    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", action_id, "");
    return run_action(d, &x, NULL, action_id, DEFENDER_OTHER, ret, e);
}

enum err_code defender_list_alerts(struct defender *d, const char *const ids[], size_t n,
                                   struct json *docs[], int64_t *ret_read_ms, struct err *e)
{
    struct wanted w = {.ids = ids, .n = n, .same = strcmp, .fields = alert_fields, .docs = docs};
    enum err_code code = check_ids(ids, n, false, e);

    return code ? code : list_docs(d, "/api/alerts", "&$expand=evidence", &w, ret_read_ms, e);
}

enum err_code defender_list_machines(struct defender *d, const char *const ids[], size_t n,
                                     struct json *docs[], int64_t *ret_read_ms, struct err *e)
{
    struct wanted w = {
        .ids = ids, .n = n, .same = strcasecmp, .fields = machine_fields, .docs = docs};
    enum err_code code = check_ids(ids, n, true, e);

    if (!code)
        code = list_docs(d, "/api/machines", "", &w, ret_read_ms, e);
    if (code != ERR_NOT_FOUND)
        return code;
    *ret_read_ms = clock_wall_ms(d->o.clock); /* none at all: trap 38 */
    return ERR_OK;
}

enum err_code defender_look(struct defender *d, const char *const ids[], size_t n,
                            struct defender_reads *const looks[], struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct wanted w = {.ids = ids, .n = n, .same = strcasecmp, .looks = looks};
    enum err_code code = check_ids(ids, n, true, e);
    int64_t now = clock_wall_ms(d->o.clock);

    for (size_t i = 0; i < n; i++)
        looks[i]->n_actions = 0;
    if (!code) {
        (void)in_query(&query, "machineId", ids, n,
                       "%20and%20(type%20eq%20'Isolate'%20or%20type%20eq%20'Unisolate')");
        code = read_list(d, "/api/machineactions", &query, true, take_look, &w, e);
    }
    for (size_t i = 0; i < n; i++) {
        if (code)
            looks[i]->n_actions = 0;
        looks[i]->read_ms = now;
    }
    return code;
}

enum err_code defender_list_actions(struct defender *d, const char *const ids[], size_t n,
                                    struct defender_action ret[], bool listed[], struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct wanted w = {.ids = ids, .n = n, .same = strcasecmp, .actions = ret, .listed = listed};
    enum err_code code = check_ids(ids, n, false, e);

    memset(listed, 0, n * sizeof *listed);
    if (code)
        return code;
    (void)in_query(&query, "id", ids, n, "");
    return read_list(d, "/api/machineactions", &query, false, take_listed, &w, e);
}

struct changes {
    struct defender_change *out;
    size_t max, count, listed;
};

static int64_t time_of(const struct json *v, const char *name)
{
    const char *text = json_get_string(v, name);
    int64_t ms = 0;

    return text && !clock_parse(text, &ms, NULL) ? ms : 0;
}

static const char *take_change(void *ctx, struct json *list, const struct json *v)
{
    struct changes *c = ctx;
    struct defender_change *to = &c->out[c->count];
    const char *id = json_get_string(v, "id"), *machine = json_get_string(v, "machineId");
    const char *severity = json_get_string(v, "severity");

    (void)list;
    if (++c->listed > c->max)
        return "it holds more than was asked for";
    if (!is_id(id, 128)) /* it could not be read */
        return NULL;
    *to = (struct defender_change){.created_ms = time_of(v, "alertCreationTime"),
                                   .updated_ms = time_of(v, "lastUpdateTime")};
    to->high = severity && strcasecmp(severity, "High") == 0; /* trap 5 */
    copy_plain(to->id, sizeof to->id, id);
    if (is_machine_id(machine))
        copy_plain(to->machine_id, sizeof to->machine_id, machine);
    for (char *p = to->machine_id; *p; p++)
        *p = *p >= 'A' && *p <= 'F' ? (char)(*p - 'A' + 'a') : *p;
    c->count++;
    return NULL;
}

enum err_code defender_changed_alerts(struct defender *d, int64_t since, size_t skip,
                                      struct defender_change ret[], size_t max, size_t *ret_count,
                                      size_t *ret_listed, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct changes c = {.out = ret, .max = max};
    char from[CLOCK_TEXT_SIZE];
    enum err_code code;

    buf_addf(&query,
             "?$filter=lastUpdateTime%%20ge%%20%s&$orderby=lastUpdateTime&$top=%zu&$skip=%zu",
             clock_format(since, from), max, skip);
    code = read_list(d, "/api/alerts", &query, false, take_change, &c, e);
    if (code == ERR_NOT_FOUND) /* as lists of machines have it: trap 38 */
        code = ERR_OK;
    *ret_count = code ? 0 : c.count;
    *ret_listed = code ? 0 : c.listed;
    return code;
}

struct recent {
    struct defender_action *out;
    size_t max, count, listed;
};

static const char *take_recent(void *ctx, struct json *list, const struct json *v)
{
    struct recent *r = ctx;
    struct defender_action *to = &r->out[r->count];
    const char *machine = json_get_string(v, "machineId");

    (void)list;
    if (++r->listed > r->max)
        return "it holds more than was asked for";
    if (!is_machine_id(machine))
        return NULL;
    if (read_action(v, NULL, to)) {
        memset(to, 0, sizeof *to);
        copy_plain(to->machine_id, sizeof to->machine_id, machine);
    }
    r->count++;
    return NULL;
}

/* By the time of creation, the only one that its filter is documented to take (section 2.4). */
enum err_code defender_recent_actions(struct defender *d, int64_t since, size_t skip,
                                      struct defender_action ret[], size_t max, size_t *ret_count,
                                      size_t *ret_listed, struct err *e)
{
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
    struct recent r = {.out = ret, .max = max};
    char from[CLOCK_TEXT_SIZE];
    enum err_code code;

    buf_addf(&query,
             "?$filter=creationDateTimeUtc%%20ge%%20%s%%20and%%20(type%%20eq%%20'Isolate'%%20or%%20"
             "type%%20eq%%20'Unisolate')&$orderby=creationDateTimeUtc&$top=%zu&$skip=%zu",
             clock_format(since, from), max, skip);
    code = read_list(d, "/api/machineactions", &query, false, take_recent, &r, e);
    if (code == ERR_NOT_FOUND) /* as lists of machines have it: trap 38 */
        code = ERR_OK;
    *ret_count = code ? 0 : r.count;
    *ret_listed = code ? 0 : r.listed;
    return code;
}

enum err_code defender_get_page(struct defender *d, enum defender_list list, const char *query,
                                struct json **ret, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;
    struct exchange *all[] = {&x};
    struct json *doc;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET",
                  list == DEFENDER_ALERTS ? "/api/alerts" : "/api/machines", NULL, "");
    x.query = query;
    x.list = true;
    run_all(d, all, 1);
    doc = parse_answer(&x);
    if (doc && json_type(json_get(doc, "value")) != JSON_ARRAY)
        fail_rubbish(&x, "it holds no list");
    if (x.code) {
        json_free(doc);
        if (e)
            *e = x.err;
        return x.code;
    }
    *ret = doc;
    return ERR_OK;
}

const char *defender_misfit(enum defender_list list, const struct json *element)
{
    if (!json_get_string(element, "id"))
        return "id";
    return misfit(element, list == DEFENDER_ALERTS ? alert_fields : machine_fields);
}

/* One POST of section 4.1. key, value: what it takes beside the comment, or NULL. */
static enum err_code act(struct defender *d, enum defender_action_type type, const char *tail,
                         const char *machine_id, const char *key, const char *value,
                         const char *comment, const char *external_id, int64_t leave_by_ms,
                         struct defender_action *ret, struct err *e)
{
    AUTO(auto_free) char *clean = comment ? clean_comment(comment) : NULL;
    AUTO(buf_clear) struct buf body = BUF_INIT(16384);
    AUTO(exchange_clear) struct exchange x;
    struct json_out out = JSON_OUT(&body);
    enum err_code code;

    exchange_init(&x, DEFENDER_CLASS_ACTION, "POST", "/api/machines/", NULL, "");
    if (!is_machine_id(machine_id))
        return err_set(e, ERR_INVALID, "not a machine id: '%.40s'", machine_id ? machine_id : "");
    if (external_id && !is_id(external_id, EXTERNAL_MAX))
        return err_set(e, ERR_INVALID, "not an external id: '%.40s'", external_id);
    if (comment && !clean)
        return err_set(e, ERR_NOMEM, "comment");
    if (!clean || !clean[strspn(clean, " ")])
        return err_set(e, ERR_INVALID, "an action needs a comment"); /* section 4.1 */

    json_out_object(&out, NULL); /* key case: trap 1 */
    json_out_string(&out, "Comment", clean);
    if (value)
        json_out_string(&out, key, value);
    if (external_id)
        json_out_string(&out, "ExternalId", external_id); /* section 4.1, undocumented */
    json_out_object_end(&out);
    if (buf_failed(&body))
        return err_set(e, ERR_NOMEM, "body of an action");
    exchange_init(&x, DEFENDER_CLASS_ACTION, "POST", "/api/machines/", machine_id, tail);
    x.body = body.data;
    x.leave_by_ms = leave_by_ms;
    fault_point("before an action is asked for");
    code = run_action(d, &x, machine_id, NULL, type, ret, e);
    fault_point("after an action was asked for");
    return code;
}

enum err_code defender_isolate(struct defender *d, const char *machine_id, const char *type,
                               const char *comment, const char *external_id, int64_t leave_by_ms,
                               struct defender_action *ret, struct err *e)
{
    if (!type || (strcmp(type, "Full") != 0 && strcmp(type, "Selective") != 0))
        return err_set(e, ERR_INVALID, "not a type of isolation: '%.20s'", type ? type : "");
    return act(d, DEFENDER_ISOLATE, "/isolate", machine_id, "IsolationType", type, comment,
               external_id, leave_by_ms, ret, e);
}

enum err_code defender_unisolate(struct defender *d, const char *machine_id, const char *comment,
                                 const char *external_id, int64_t leave_by_ms,
                                 struct defender_action *ret, struct err *e)
{
    return act(d, DEFENDER_UNISOLATE, "/unisolate", machine_id, NULL, NULL, comment, external_id,
               leave_by_ms, ret, e);
}

/* ---- what else can be asked for ------------------------------------------------------------------------ */

static const struct {
    const char *type, *tail, *key; /* key: of the detail, or NULL */
} deeds[DEFENDER_DEEDS] = {
    [DEFENDER_SCAN] = {"RunAntiVirusScan", "/runAntiVirusScan", "ScanType"},
    [DEFENDER_COLLECT] = {"CollectInvestigationPackage", "/collectInvestigationPackage", NULL},
    [DEFENDER_RESTRICT] = {"RestrictCodeExecution", "/restrictCodeExecution", NULL},
    [DEFENDER_UNRESTRICT] = {"UnrestrictCodeExecution", "/unrestrictCodeExecution", NULL},
    [DEFENDER_STOP_FILE] = {"StopAndQuarantineFile", "/StopAndQuarantineFile", "Sha1"},
};

void defender_read_deeds(struct defender *d, enum defender_deed deed, const char *machine_id,
                         struct defender_reads *ret)
{
    AUTO(exchange_clear) struct exchange x;
    AUTO(buf_clear) struct buf query = BUF_INIT(1024);
    struct exchange *one = &x;
    char types[80];

    memset(ret, 0, sizeof *ret);
    (void)snprintf(types, sizeof types, "type eq '%s'", deeds[deed].type);
    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions", NULL, "");
    if (!is_machine_id(machine_id))
        x.code = err_set(&x.err, ERR_INVALID, "not a machine id: '%.40s'", machine_id);
    else if (!actions_query(&query, machine_id, types))
        x.code = err_set(&x.err, ERR_NOMEM, "actions of a machine");
    x.query = query.data;
    ret->read_ms = clock_wall_ms(d->o.clock);
    run_all(d, &one, 1);
    if (!x.code)
        take_actions(&x, machine_id, ret);
    ret->actions_code = x.code;
    ret->actions_err = x.err;
}

enum err_code defender_do(struct defender *d, enum defender_deed deed, const char *machine_id,
                          const char *detail, const char *comment, const char *external_id,
                          int64_t leave_by_ms, struct defender_action *ret, struct err *e)
{
    enum err_code code;

    if (!detail != !deeds[deed].key)
        return err_set(e, ERR_INVALID, "%s %s", deeds[deed].type,
                       detail ? "takes no detail" : "needs a detail");
    code = act(d, DEFENDER_OTHER, deeds[deed].tail, machine_id, deeds[deed].key, detail, comment,
               external_id, leave_by_ms, ret, e);
    if (!code && strcmp(ret->type_text, deeds[deed].type) != 0)
        return err_set(e, ERR_UNKNOWN, "Defender answered with an action of another type: %s",
                       ret->type_text);
    return code;
}

enum err_code defender_package(struct defender *d, const char *action_id, struct buf *ret,
                               struct err *e)
{
    AUTO(exchange_clear) struct exchange x;
    AUTO(json_freep) struct json *doc = NULL;
    struct exchange *one = &x;
    const char *value;
    size_t len;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", NULL, "");
    if (!is_id(action_id, 63))
        return err_set(e, ERR_INVALID, "not an action id: '%.40s'", action_id ? action_id : "");
    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", action_id,
                  "/getPackageUri");
    run_all(d, &one, 1);
    doc = parse_answer(&x);
    value = json_get_string(doc, "value");
    if (!x.code) { /* trap 31: a pair of quotes within the string */
        len = value ? strlen(value) : 0;
        if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
            value++;
            len -= 2;
        }
        buf_add(ret, value ? value : "", len);
        if (!rest_url_ok(buf_text(ret)) || strpbrk(buf_text(ret), "\"<> ")) {
            fail_rubbish(&x, "it holds no link");
            buf_reset(ret);
        }
    }
    if (x.code && e)
        *e = x.err;
    return x.code;
}

/* Runs one change whose answer says nothing that we need. */
static enum err_code change(struct defender *d, const char *method, const char *head,
                            const char *id, const char *tail, const struct buf *body, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;
    struct exchange *one = &x;

    exchange_init(&x, DEFENDER_CLASS_ACTION, method, head, id, tail);
    if (buf_failed(body))
        x.code = err_set(&x.err, ERR_NOMEM, "body of a change");
    x.body = body->data;
    run_all(d, &one, 1);
    if (x.code && e)
        *e = x.err;
    return x.code;
}

enum err_code defender_tag(struct defender *d, const char *machine_id, const char *tag, bool add,
                           struct err *e)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(4096);
    struct json_out out = JSON_OUT(&body);

    if (!is_machine_id(machine_id))
        return err_set(e, ERR_INVALID, "not a machine id: '%.40s'", machine_id ? machine_id : "");
    if (!tag || !tag[strspn(tag, " ")])
        return err_set(e, ERR_INVALID, "a tag without a letter");
    json_out_object(&out, NULL); /* key case: trap 1 */
    json_out_string(&out, "Value", tag);
    json_out_string(&out, "Action", add ? "Add" : "Remove");
    json_out_object_end(&out);
    return change(d, "POST", "/api/machines/", machine_id, "/tags", &body, e);
}

enum err_code defender_update_alert(struct defender *d, const char *alert_id, const char *status,
                                    const char *assigned_to, const char *comment, struct err *e)
{
    AUTO(auto_free) char *clean = comment ? clean_comment(comment) : NULL;
    AUTO(buf_clear) struct buf body = BUF_INIT(16384);
    struct json_out out = JSON_OUT(&body);

    if (!is_id(alert_id, 128))
        return err_set(e, ERR_INVALID, "not an alert id: '%.40s'", alert_id ? alert_id : "");
    if (comment && !clean)
        return err_set(e, ERR_NOMEM, "comment");
    json_out_object(&out, NULL); /* lower case here: trap 1 */
    if (status)
        json_out_string(&out, "status", status);
    if (assigned_to)
        json_out_string(&out, "assignedTo", assigned_to);
    if (clean)
        json_out_string(&out, "comment", clean);
    json_out_object_end(&out);
    return change(d, "PATCH", "/api/alerts/", alert_id, "", &body, e);
}

enum err_code defender_create_alert(struct defender *d, const struct defender_new_alert *a,
                                    char ret_id[DEFENDER_ALERT_ID_SIZE], struct err *e)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(65536);
    AUTO(exchange_clear) struct exchange x;
    AUTO(json_freep) struct json *doc = NULL;
    struct exchange *one = &x;
    struct json_out out = JSON_OUT(&body);
    const char *id;

    exchange_init(&x, DEFENDER_CLASS_ACTION, "POST", "/api/alerts/CreateAlertByReference", NULL,
                  "");
    if (!is_machine_id(a->machine_id))
        return err_set(e, ERR_INVALID, "not a machine id: '%.40s'", a->machine_id);
    json_out_object(&out, NULL);
    json_out_string(&out, "machineId", a->machine_id);
    json_out_string(&out, "severity", a->severity);
    json_out_string(&out, "title", a->title);
    json_out_string(&out, "description", a->description);
    json_out_string(&out, "recommendedAction", a->recommended_action);
    json_out_string(&out, "eventTime", a->event_time);
    json_out_string(&out, "reportId", a->report_id);
    json_out_string(&out, "category", a->category);
    json_out_object_end(&out);
    if (buf_failed(&body))
        x.code = err_set(&x.err, ERR_NOMEM, "body of an alert");
    x.body = body.data;
    run_all(d, &one, 1);
    doc = parse_answer(&x);
    id = json_get_string(doc, "id");
    if (doc && !is_id(id, DEFENDER_ALERT_ID_SIZE - 1))
        fail_rubbish(&x, "it has no id");
    if (!x.code)
        (void)snprintf(ret_id, DEFENDER_ALERT_ID_SIZE, "%s", id);
    else if (e)
        *e = x.err;
    return x.code;
}
