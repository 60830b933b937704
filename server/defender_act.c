/* defender_act.c - what changes something at Defender: machines, alerts. See defender_own.h. */
#include "defender_own.h"

#include <stdio.h>
#include <string.h>

#include "fault.h"

#define EXTERNAL_MAX 64

/* ---- what a machine can be asked for ----------------------------------------------------------- */

static const struct {
    const char *type, *tail;
    const char *key;      /* of the detail, or NULL */
    const char *words[2]; /* that the detail may be; NULL: any */
} deeds[DEFENDER_DEEDS] = {
    [DEFENDER_ISOLATION] = {"Isolate", "/isolate", "IsolationType", {"Full", "Selective"}},
    [DEFENDER_RELEASE] = {"Unisolate", "/unisolate", NULL, {NULL}},
    [DEFENDER_SCAN] = {"RunAntiVirusScan", "/runAntiVirusScan", "ScanType", {"Quick", "Full"}},
    [DEFENDER_COLLECT] = {"CollectInvestigationPackage",
                          "/collectInvestigationPackage",
                          NULL,
                          {NULL}},
    [DEFENDER_RESTRICT] = {"RestrictCodeExecution", "/restrictCodeExecution", NULL, {NULL}},
    [DEFENDER_UNRESTRICT] = {"UnrestrictCodeExecution", "/unrestrictCodeExecution", NULL, {NULL}},
    [DEFENDER_STOP_FILE] = {"StopAndQuarantineFile", "/StopAndQuarantineFile", "Sha1", {NULL}},
};

static enum err_code check(const struct defender_request *q, struct err *e)
{
    const char *type = deeds[q->deed].type, *const *words = deeds[q->deed].words;

    if (!defender_is_machine_id(q->machine_id))
        return err_set(e, ERR_INVALID, "not a machine id: '%.40s'",
                       q->machine_id ? q->machine_id : "");
    if (q->external_id && !defender_is_id(q->external_id, EXTERNAL_MAX))
        return err_set(e, ERR_INVALID, "not an external id: '%.40s'", q->external_id);
    if (!q->detail != !deeds[q->deed].key)
        return err_set(e, ERR_INVALID, "%s %s", type,
                       q->detail ? "takes no detail" : "needs a detail");
    if (q->detail && words[0] && strcmp(q->detail, words[0]) != 0 &&
        strcmp(q->detail, words[1]) != 0)
        return err_set(e, ERR_INVALID, "%s: expected %s or %s, found '%.20s'", type, words[0],
                       words[1], q->detail);
    return ERR_OK;
}

enum err_code defender_ask(struct defender *d, const struct defender_request *q,
                           struct defender_action *ret, struct err *e)
{
    AUTO(auto_free) char *clean = q->comment ? defender_clean_comment(q->comment) : NULL;
    AUTO(buf_clear) struct buf body = BUF_INIT(16384);
    AUTO(exchange_clear) struct exchange x;
    struct json_out out = JSON_OUT(&body);
    enum err_code code = check(q, e);

    exchange_init(&x, DEFENDER_CLASS_ACTION, "POST", "/api/machines/", NULL, "");
    if (code)
        return code;
    if (q->comment && !clean)
        return err_set(e, ERR_NOMEM, "comment");
    if (!clean || !clean[strspn(clean, " ")])
        return err_set(e, ERR_INVALID, "an action needs a comment"); /* section 4.1 */

    json_out_object(&out, NULL); /* key case: trap 1 */
    json_out_string(&out, "Comment", clean);
    if (q->detail)
        json_out_string(&out, deeds[q->deed].key, q->detail);
    if (q->external_id)
        json_out_string(&out, "ExternalId", q->external_id); /* section 4.1, undocumented */
    json_out_object_end(&out);
    if (buf_failed(&body))
        return err_set(e, ERR_NOMEM, "body of an action");
    exchange_init(&x, DEFENDER_CLASS_ACTION, "POST", "/api/machines/", q->machine_id,
                  deeds[q->deed].tail);
    x.body = body.data;
    x.leave_by_ms = q->leave_by_ms;
    fault_point("before an action is asked for");
    code = defender_run_action(d, &x, q->machine_id, NULL, deeds[q->deed].type, ret, e);
    fault_point("after an action was asked for");
    return code;
}

enum err_code defender_get_action(struct defender *d, enum defender_deed deed,
                                  const char *machine_id, const char *action_id,
                                  struct defender_action *ret, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;

    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", NULL, "");
    if (!defender_is_id(action_id, sizeof ret->id - 1))
        return err_set(e, ERR_INVALID, "not an action id: '%.40s'", action_id ? action_id : "");
    exchange_init(&x, DEFENDER_CLASS_READ, "GET", "/api/machineactions/", action_id, "");
    return defender_run_action(d, &x, machine_id, action_id, deeds[deed].type, ret, e);
}

void defender_read_deeds(struct defender *d, enum defender_deed deed, const char *machine_id,
                         struct defender_reads *ret)
{
    AUTO(exchange_clear) struct exchange x;
    AUTO(buf_clear) struct buf query = BUF_INIT(1 << 16);
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
    defender_mind_stranger(&x);
    if (!x.code)
        defender_take_actions(d, &x, &query, machine_id, ret);
    ret->actions_code = x.code;
    ret->actions_err = x.err;
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
    x.api = DEFENDER_API_PACKAGE;
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

/* Runs one change; its answer is the entity as it is now (sections 2.6, 3.1). What speaks of nothing that was asked for,
 * such as a gateway's page, is no word that it was done. */
static enum err_code change(struct defender *d, enum defender_list of, const char *method,
                            const char *head, const char *id, const char *tail,
                            const struct buf *body, struct err *e)
{
    AUTO(exchange_clear) struct exchange x;
    struct exchange *one = &x;

    exchange_init(&x, DEFENDER_CLASS_ACTION, method, head, id, tail);
    if (buf_failed(body))
        x.code = err_set(&x.err, ERR_NOMEM, "body of a change");
    x.body = body->data;
    exchange_run(d, &one, 1);
    json_free(defender_take_entity(&x, of, id));
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
    return change(d, DEFENDER_MACHINES, "POST", "/api/machines/", machine_id, "/tags", &body, e);
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
    return change(d, DEFENDER_ALERTS, "PATCH", "/api/alerts/", alert_id, "", &body, e);
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
    x.api = DEFENDER_API_ALERT_CREATE;
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
