/* defender_act.c - what changes something at Defender: isolation, and what else can be asked for. See
 * defender_own.h. */
#include "defender_own.h"

#include <stdio.h>
#include <string.h>

#include "fault.h"

#define EXTERNAL_MAX 64

/* ---- isolation ------------------------------------------------------------------------------- */

/* One POST of section 4.1. key, value: what it takes beside the comment, or NULL. */
static enum err_code act(struct defender *d, enum defender_action_type type, const char *tail,
                         const char *machine_id, const char *key, const char *value,
                         const char *comment, const char *external_id, int64_t leave_by_ms,
                         struct defender_action *ret, struct err *e)
{
    AUTO(auto_free) char *clean = comment ? defender_clean_comment(comment) : NULL;
    AUTO(buf_clear) struct buf body = BUF_INIT(16384);
    AUTO(exchange_clear) struct exchange x;
    struct json_out out = JSON_OUT(&body);
    enum err_code code;

    exchange_init(&x, DEFENDER_CLASS_ACTION, "POST", "/api/machines/", NULL, "");
    if (!defender_is_machine_id(machine_id))
        return err_set(e, ERR_INVALID, "not a machine id: '%.40s'", machine_id ? machine_id : "");
    if (external_id && !defender_is_id(external_id, EXTERNAL_MAX))
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
    code = defender_run_action(d, &x, machine_id, NULL, type, ret, e);
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

/* ---- what else can be asked for -------------------------------------------------------------- */

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
    if (!defender_is_machine_id(machine_id))
        x.code = err_set(&x.err, ERR_INVALID, "not a machine id: '%.40s'", machine_id);
    else if (!defender_actions_query(&query, machine_id, types))
        x.code = err_set(&x.err, ERR_NOMEM, "actions of a machine");
    x.query = query.data;
    ret->read_ms = clock_wall_ms(d->o.clock);
    exchange_run(d, &one, 1);
    if (!x.code)
        defender_take_actions(&x, machine_id, ret);
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
    if (!defender_is_id(action_id, 63))
        return err_set(e, ERR_INVALID, "not an action id: '%.40s'", action_id ? action_id : "");
    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", action_id,
                  "/getPackageUri");
    exchange_run(d, &one, 1);
    doc = exchange_parse(&x);
    value = json_get_string(doc, "value");
    if (!x.code) { /* trap 31: a pair of quotes within the string */
        len = value ? strlen(value) : 0;
        if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
            value++;
            len -= 2;
        }
        buf_add(ret, value ? value : "", len);
        if (!rest_url_ok(buf_text(ret)) || strpbrk(buf_text(ret), "\"<> ")) {
            exchange_spoil(&x, "it holds no link");
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
    exchange_run(d, &one, 1);
    if (x.code && e)
        *e = x.err;
    return x.code;
}

enum err_code defender_tag(struct defender *d, const char *machine_id, const char *tag, bool add,
                           struct err *e)
{
    AUTO(buf_clear) struct buf body = BUF_INIT(4096);
    struct json_out out = JSON_OUT(&body);

    if (!defender_is_machine_id(machine_id))
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
    AUTO(auto_free) char *clean = comment ? defender_clean_comment(comment) : NULL;
    AUTO(buf_clear) struct buf body = BUF_INIT(16384);
    struct json_out out = JSON_OUT(&body);

    if (!defender_is_id(alert_id, 128))
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
    if (!defender_is_machine_id(a->machine_id))
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
    exchange_run(d, &one, 1);
    doc = exchange_parse(&x);
    id = json_get_string(doc, "id");
    if (doc && !defender_is_id(id, DEFENDER_ALERT_ID_SIZE - 1))
        exchange_spoil(&x, "it has no id");
    if (!x.code)
        (void)snprintf(ret_id, DEFENDER_ALERT_ID_SIZE, "%s", id);
    else if (e)
        *e = x.err;
    return x.code;
}
