/* intake_envelope.c - see intake_envelope.h.
 *
 * An envelope is known by the members that no other schema has together, never by what they say; the order
 * of the table matters only where one schema's marks include another's. An event's own `id` is not an alert's, and it
 * is no delivery id either: nothing stops a sender from writing "1" on each, and all but the first
 * would be lost as duplicates. What keeps a replayed event from doing anything is its alert, which is
 * known for good.
 */
#include "intake_envelope.h"

#include <string.h>
#include <strings.h>

#include "intake.h"
#include "intake_words.h"

static bool has_text(const struct json *o, const char *name)
{
    const char *text = json_get_string(o, name);

    return text && *text;
}

static bool has_object(const struct json *o, const char *name)
{
    return json_type(json_get(o, name)) == JSON_OBJECT;
}

static bool text_begins(const struct json *o, const char *name, const char *start)
{
    const char *text = json_get_string(o, name);

    return text && strncasecmp(text, start, strlen(start)) == 0;
}

/* Absent, null or ours. */
static bool may_be_ours(const struct json *product)
{
    const char *name = json_string(product);

    return json_type(product) <= JSON_NULL || (name && word_is_endpoint_product(name));
}

/* ---- not ours ---------------------------------------------------------------------------------- */

/* Section 4.3: its `data.essentials.alertId` is the path of a resource. */
static bool is_azure_monitor(const struct json *o)
{
    return text_begins(o, "schemaId", "azureMonitor") ||
           text_begins(o, "schemaId", "Microsoft.Insights/") ||
           json_path(o, "data", "essentials", NULL);
}

/* Section 3.3: the body is a string in it, whose bytes are not those that were signed. */
static bool is_function_call(const struct json *o)
{
    return has_object(o, "Data") && has_object(o, "Metadata");
}

/* Section 2.1: the answer to the connector's subscription, which some take for the event. */
static bool is_subscription(const struct json *o)
{
    return json_get(o, "notificationUrl") &&
           (json_get(o, "clientState") || json_get(o, "changeType"));
}

static bool is_graph_other(const struct json *o)
{
    return text_begins(o, "@odata.type", "#microsoft.graph.") &&
           !text_begins(o, "@odata.type", "#microsoft.graph.security.alert") &&
           !text_begins(o, "@odata.type", "#microsoft.graph.alert");
}

/* ---- CloudEvents and Event Grid (section 4.1) ---------------------------------------------------- */

static bool is_cloud_event(const struct json *o)
{
    return json_get(o, "specversion") != NULL;
}

static void open_cloud_event(const struct json *o, struct envelope *ret)
{
    const char *version = json_get_string(o, "specversion"), *type = json_get_string(o, "type");
    const struct json *data = json_get(o, "data");

    ret->base64 = json_get_string(o, "data_base64");
    ret->inside = json_type(data) == JSON_NULL ? NULL : data;
    if (!version || strcmp(version, "1.0") != 0)
        ret->refused = "CloudEvents: only specversion 1.0 is known";
    else if (!has_text(o, "id") || !has_text(o, "source") || !has_text(o, "type"))
        ret->refused = "CloudEvents: id, source and type are needed";
    else if (json_get(o, "data_base64") && (!ret->base64 || ret->inside))
        ret->refused =
            "CloudEvents: expected either data or data_base64, which is a string of base64";
    else if (strcmp(type, "mde.alert.created") == 0 &&
             word_looks_like_alert(json_get_string(o, "id")))
        ret->alert =
            json_get(o, "id"); /* section 2.3: that type's events are named by their alerts */
}

static bool is_grid_event(const struct json *o)
{
    return json_get(o, "eventType") && json_get(o, "eventTime");
}

/* The code goes back to the sender as it came: letters and digits cannot be markup. */
static bool is_harmless(const char *code)
{
    size_t n = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    return n > 0 && n <= INTAKE_CODE_MAX && !code[n];
}

bool envelope_is_event(const struct json *o)
{
    return is_cloud_event(o) || is_grid_event(o);
}

static void open_grid_event(const struct json *o, struct envelope *ret)
{
    const char *type = json_get_string(o, "eventType");
    const struct json *data = json_get(o, "data");

    if (!type || strcasecmp(type, "Microsoft.EventGrid.SubscriptionValidationEvent") != 0) {
        ret->inside = data;
        return;
    }
    ret->code = json_get_string(data, "validationCode");
    if (!ret->code || !is_harmless(ret->code))
        ret->refused = "Event Grid validation: validationCode: expected up to 128 letters, digits, "
                       "'-' and '_'";
}

/* ---- Microsoft Graph (section 4.2, shape 9) ------------------------------------------------------ */

static bool is_graph_lifecycle(const struct json *o)
{
    return json_get(o, "lifecycleEvent") && json_get(o, "subscriptionId");
}

static bool is_graph_change(const struct json *o)
{
    return json_get(o, "subscriptionId") && json_get(o, "changeType");
}

static void open_graph_change(const struct json *o, struct envelope *ret)
{
    const struct json *id = json_path(o, "resourceData", "id", NULL);

    if (!text_begins(o, "resource", "security/alerts") &&
        !text_begins(o, "resource", "/security/alerts"))
        ret->skipped = "Microsoft Graph change notifications: only those of security/alerts are of "
                       "use";
    else if (!id)
        ret->skipped = "Microsoft Graph change notifications: resourceData.id is not there";
    ret->alert = id;
    ret->tenant = json_get(o, "tenantId");
}

static bool is_graph_alert(const struct json *o)
{
    return json_get(o, "providerAlertId") || json_get(o, "serviceSource") ||
           text_begins(o, "@odata.type", "#microsoft.graph.");
}

/* The one machine of an alert's evidence; none when there are several: Defender knows which is meant. */
static const struct json *machine_of_evidence(const struct json *evidence)
{
    const struct json *found = NULL;

    JSON_EACH (item, evidence) {
        const struct json *id = json_get(item, "mdeDeviceId");
        const char *text = json_string(id), *before = json_string(found);

        if (json_type(id) <= JSON_NULL || (text && !*text))
            continue;
        if (!text || (before && strcasecmp(before, text) != 0))
            return text ? NULL : id; /* of a wrong type: to be named */
        found = id;
    }
    return found;
}

/* Its id is Defender's own (defender-api.md section 2.9). The provider's is, too, of the alerts of some years ago; of today's it
 * lacks the letters `da`, and is nothing that Defender's API knows. */
static void open_graph_alert(const struct json *o, struct envelope *ret)
{
    const struct json *provider = json_get(o, "providerAlertId"), *id = json_get(o, "id");
    bool is_own = json_string(id) && word_looks_like_alert(json_string(id));

    if (!may_be_ours(json_get(o, "serviceSource")))
        ret->skipped = "Microsoft Graph security alerts: only those of Microsoft Defender for "
                       "Endpoint are of use";
    ret->alert = is_own || json_type(provider) <= JSON_NULL ? id : provider;
    ret->machine = machine_of_evidence(json_get(o, "evidence"));
    ret->tenant = json_get(o, "tenantId");
}

/* ---- the streaming API (section 3.2) ------------------------------------------------------------ */

static bool is_stream(const struct json *o)
{
    return json_type(json_get(o, "records")) == JSON_ARRAY;
}

/* Other services export to the same hub, and what they write has other members. */
static void open_stream(const struct json *o, struct envelope *ret)
{
    ret->inside = json_get(o, "records");
    ret->mixed = true;
}

static bool is_record(const struct json *o)
{
    return (json_get(o, "category") && has_object(o, "properties")) ||
           text_begins(o, "category", "AdvancedHunting-Alert");
}

/* An alert's rows come in any order, one for each thing that it is about; there may be hundreds. */
static void open_record(const struct json *o, struct envelope *ret)
{
    const struct json *properties = json_get(o, "properties");
    const char *category = json_get_string(o, "category");

    ret->row = true;
    ret->ours = true; /* unless it is skipped */
    if (!category || (strcasecmp(category, "AdvancedHunting-AlertInfo") != 0 &&
                      strcasecmp(category, "AdvancedHunting-AlertEvidence") != 0))
        ret->skipped = "streaming API: no record is of AlertInfo or AlertEvidence";
    else if (!may_be_ours(json_get(properties, "ServiceSource")))
        ret->skipped = "streaming API: no record is of Microsoft Defender for Endpoint";
    ret->alert = json_get(properties, "AlertId");
    ret->machine = json_get(properties, "DeviceId");
    ret->tenant = json_get(o, "tenantId");
}

/* ---- Sentinel (section 4.4, shape 13) ------------------------------------------------------------- */

static bool is_sentinel_incident(const struct json *o)
{
    return json_path(o, "object", "properties", NULL) != NULL;
}

static void open_sentinel_incident(const struct json *o, struct envelope *ret)
{
    ret->inside = json_path(o, "object", "properties", "alerts", NULL);
    ret->mixed = true;
    if (json_type(ret->inside) != JSON_ARRAY || json_count(ret->inside) == 0)
        ret->skipped = "Sentinel: the incident has no alerts";
}

/* Alerts of other products may come without an id of the product's. */
static bool is_sentinel_alert(const struct json *o)
{
    return json_path(o, "properties", "providerAlertId", NULL) ||
           json_path(o, "properties", "productName", NULL);
}

static void open_sentinel_alert(const struct json *o, struct envelope *ret)
{
    const struct json *properties = json_get(o, "properties");

    ret->ours = true; /* unless it is skipped */
    if (!may_be_ours(json_get(properties, "productName")))
        ret->skipped = "Sentinel: no alert is of Microsoft Defender for Endpoint";
    ret->alert = json_get(properties, "providerAlertId");
}

/* ---- a flow's content of unknown type --------------------------------------------------------------- */

/* What the HTTP with Microsoft Entra ID connector, and any action that was not told the type, makes of JSON. */
static bool is_content(const struct json *o)
{
    return json_get(o, "$content-type") && json_get(o, "$content");
}

static void open_content(const struct json *o, struct envelope *ret)
{
    ret->base64 = json_get_string(o, "$content");
    if (!ret->base64)
        ret->refused = "$content: expected a string of base64";
}

/* ---- the table ------------------------------------------------------------------------------------ */

static const struct {
    bool (*is)(const struct json *o);
    void (*open)(const struct json *o, struct envelope *ret); /* NULL: refused */
    const char *refused;
} kinds[] = {
    {is_azure_monitor, NULL, "Azure Monitor's common alert schema is no Defender alert"},
    {is_function_call, NULL,
     "this is how Azure Functions call a custom handler; send the sender's own body: "
     "customHandler.enableProxyingHttpRequest in host.json"},
    {is_cloud_event, open_cloud_event, NULL},
    {is_grid_event, open_grid_event, NULL},
    {is_graph_lifecycle, NULL, "a lifecycle event of Microsoft Graph names no alert"},
    {is_graph_change, open_graph_change, NULL},
    {is_subscription, NULL, "this is a subscription, not its notification"},
    {is_graph_other, NULL, "an object of Microsoft Graph that is no security alert"},
    {is_graph_alert, open_graph_alert, NULL},
    {is_sentinel_incident, open_sentinel_incident, NULL},
    {is_sentinel_alert, open_sentinel_alert, NULL},
    {is_stream, open_stream, NULL},
    {is_record, open_record, NULL},
    {is_content, open_content, NULL},
};

bool envelope_open(const struct json *o, struct envelope *ret)
{
    *ret = (struct envelope){0};
    JSON_EACH (m, o)
        if (word_is(json_name(m), "alertid"))
            return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].is(o)) {
            ret->refused = kinds[i].refused;
            ret->foreign = ret->refused != NULL;
            if (kinds[i].open)
                kinds[i].open(o, ret);
            return true;
        }
    return false;
}

const char *envelope_binary(const char *(*header)(void *ctx, const char *name, unsigned *ret_count),
                            void *ctx)
{
    static const char *const names[] = {"ce-specversion", "ce-id", "ce-source", "ce-type"};
    bool any = false, whole = true;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsigned count = 0;
        const char *value = header(ctx, names[i], &count);

        any = any || count;
        whole = whole && count == 1 && value && *value && (i > 0 || strcmp(value, "1.0") == 0);
    }
    return any && !whole ? "CloudEvents: ce-specversion 1.0, ce-id, ce-source and ce-type are "
                           "needed, once each"
                         : NULL;
}
