/* world.c - see world.h.
 *
 * An action (section 4.7):
 *   Pending --in_progress_after--> InProgress --done_after--> its outcome
 *      \-- the machine is offline: stays; after offline_timeout: TimeOut
 *      \-- held behind another (second201): stays until the machine is released, then runs
 *   Pending, InProgress --cancel--> Cancelled
 * A succeeded Isolate makes the machine isolated, a succeeded Unisolate releases it; nothing else does.
 */
#include "world.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const action_statuses[] = {"Pending", "InProgress", "Succeeded", "Failed",
                                       "TimeOut", "Cancelled",  NULL};

/* .NET counts its ticks from the year 1: section 2.5, alert ids. */
#define TICKS_BEFORE_1970 INT64_C(621355968000000000)

static void *grow(void *list, size_t count, size_t size)
{
    if ((count & (count - 1)) == 0) /* full at every power of two */
        list = reallocarray(list, count ? count * 2 : 1, size);
    assert(list); /* a simulator without memory can only stop */
    return list;
}

static char *copy(const char *text)
{
    char *s = text ? strdup(text) : NULL;

    assert(s || !text);
    return s;
}

/* ---- chance ----------------------------------------------------------------------------------- */

uint64_t world_random(struct world *w) /* splitmix64 */
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t world_below(struct world *w, uint64_t below)
{
    return world_random(w) % below; /* the bias is of no matter here */
}

char *world_guid(struct world *w, char out[GUID_SIZE])
{
    uint64_t a = world_random(w), b = world_random(w);

    snprintf(out, GUID_SIZE, "%08" PRIx32 "-%04x-4%03x-%04x-%012" PRIx64, (uint32_t)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | (b >> 48 & 0x3fff)), b & UINT64_C(0xffffffffffff));
    return out;
}

int world_digits(struct world *w)
{
    int64_t digits = w->tuning.timestamp_digits;

    return digits < 0 ? (int)world_below(w, 8) : (int)digits;
}

/* ---- the whole -------------------------------------------------------------------------------- */

void world_init(struct world *w, const char *tenant_id, uint64_t seed)
{
    *w = (struct world){.tenant_id = tenant_id, .random = seed};
    simclock_init(&w->clock);
    tuning_init(&w->tuning);
}

static void texts_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static void client_free(struct client *c)
{
    free(c->id);
    free(c->name);
    free(c->secret);
    texts_free(c->roles);
    texts_free(c->graph_roles);
    texts_free(c->exchange_roles);
    free(c->certificate);
    free(c->assertion);
    free(c);
}

static void alert_free(struct alert *a)
{
    entity_clear(&a->e);
    free(a->then);
    free(a);
}

static void machine_free(struct machine *m)
{
    entity_clear(&m->e);
    free(m->key);
    free(m->refuse_code);
    free(m->refuse_message);
    free(m->actions);
    free(m);
}

void world_forget(struct world *w)
{
    struct world empty = {.tenant_id = w->tenant_id, .random = w->random, .tuning = w->tuning};

    for (size_t i = 0; i < w->n_alerts; i++)
        alert_free(w->alerts[i]);
    for (size_t i = 0; i < w->n_machines; i++)
        machine_free(w->machines[i]);
    for (size_t i = 0; i < w->n_actions; i++) {
        entity_clear(&w->actions[i]->e);
        free(w->actions[i]);
    }
    for (size_t i = 0; i < w->n_clients; i++)
        client_free(w->clients[i]);
    free(w->alerts);
    free(w->machines);
    free(w->actions);
    free(w->clients);
    map_clear(&w->alert_by_id);
    map_clear(&w->machine_by_key);
    map_clear(&w->action_by_id);
    empty.tokens_dead_before = w->tokens_issued;
    empty.tokens_issued = w->tokens_issued; /* numbers go on, so that old tokens stay stale */
    *w = empty;
    simclock_init(&w->clock);
}

void world_clear(struct world *w)
{
    world_forget(w);
    tuning_clear(&w->tuning);
}

/* ---- clients ---------------------------------------------------------------------------------- */

struct client *world_client(const struct world *w, const char *id)
{
    for (size_t i = 0; i < w->n_clients; i++)
        if (strcasecmp(w->clients[i]->id, id) == 0) /* GUIDs have no case */
            return w->clients[i];
    return NULL;
}

static char **texts(const struct json *array)
{
    char **list = calloc(json_count(array) + 1, sizeof *list);
    size_t n = 0;

    assert(list);
    JSON_EACH (v, array)
        if (json_string(v))
            list[n++] = copy(json_string(v));
    return list;
}

static char **default_roles(void)
{
    static const char *const roles[] = {
        "Alert.Read.All",
        "Alert.ReadWrite.All",
        "Machine.Read.All",
        "Machine.ReadWrite.All",
        "Machine.Isolate",
        "Machine.Scan",
        "Machine.RestrictExecution",
        "Machine.CollectForensics",
        "Machine.StopAndQuarantine",
    };
    size_t n = sizeof roles / sizeof *roles;
    char **list = calloc(n + 1, sizeof *list);

    assert(list);
    for (size_t i = 0; i < n; i++)
        list[i] = copy(roles[i]);
    return list;
}

static void replace(char **slot, const struct json *v)
{
    if (!v)
        return;
    free(*slot);
    *slot = copy(json_string(v));
}

enum err_code world_put_client(struct world *w, const struct json *object, struct client **ret,
                               struct err *e)
{
    static const char *const names[] = {"client_id", "name",        "secret",
                                        "roles",     "expired",     "certificate",
                                        "assertion", "graph_roles", "exchange_roles"};
    const char *id = json_get_string(object, "client_id");
    struct client *c = id ? world_client(w, id) : NULL;

    if (!id)
        return err_set(e, ERR_INVALID, "client_id: expected a string");
    JSON_EACH (v, object) {
        size_t i = 0;

        while (i < sizeof names / sizeof *names && strcmp(names[i], json_name(v)) != 0)
            i++;
        if (i == sizeof names / sizeof *names)
            return err_set(e, ERR_INVALID, "%s: unknown key", json_name(v));
    }
    if (!c) {
        c = calloc(1, sizeof *c);
        assert(c);
        c->id = copy(id);
        c->name = copy("defender-responder");
        c->roles = default_roles();
        c->graph_roles = texts(NULL);
        c->exchange_roles = texts(NULL);
        w->clients = grow(w->clients, w->n_clients, sizeof(struct client *));
        w->clients[w->n_clients++] = c;
    }
    replace(&c->name, json_get(object, "name"));
    replace(&c->secret, json_get(object, "secret"));
    replace(&c->certificate, json_get(object, "certificate"));
    replace(&c->assertion, json_get(object, "assertion"));
    if (json_get(object, "roles")) {
        texts_free(c->roles);
        c->roles = texts(json_get(object, "roles"));
    }
    if (json_get(object, "graph_roles")) {
        texts_free(c->graph_roles);
        c->graph_roles = texts(json_get(object, "graph_roles"));
    }
    if (json_get(object, "exchange_roles")) {
        texts_free(c->exchange_roles);
        c->exchange_roles = texts(json_get(object, "exchange_roles"));
    }
    if (json_get(object, "expired"))
        c->expired = json_is_true(json_get(object, "expired"));
    *ret = c;
    return ERR_OK;
}

/* ---- what `sim` may say ------------------------------------------------------------------------ */

static enum err_code known_keys(const struct json *object, const char *const *names,
                                const char *what, struct err *e)
{
    JSON_EACH (v, object) {
        size_t i = 0;

        while (names[i] && strcmp(names[i], json_name(v)) != 0)
            i++;
        if (!names[i])
            return err_set(e, ERR_INVALID, "%s.%s: unknown key", what, json_name(v));
    }
    return ERR_OK;
}

static void read_int(const struct json *object, const char *name, int64_t *ret)
{
    (void)json_int64(json_get(object, name), ret); /* absent: as it was */
}

/* ---- machines ---------------------------------------------------------------------------------- */

static char *lower(const char *text)
{
    char *s = copy(text);

    assert(s);
    for (char *p = s; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return s;
}

struct machine *world_machine(const struct world *w, const char *id, bool by_name)
{
    char *key = lower(id);
    struct machine *m = map_get(&w->machine_by_key, key);

    free(key);
    for (size_t i = 0; !m && by_name && i < w->n_machines; i++)
        if (strcasecmp(entity_text(&w->machines[i]->e, MACHINE_COMPUTER_DNS_NAME), id) == 0)
            m = w->machines[i];
    return m;
}

static struct machine *new_machine(struct world *w, const char *id)
{
    struct machine *m = calloc(1, sizeof *m);
    struct entity *en;
    int64_t now = simclock_now(&w->clock);
    unsigned n = (unsigned)w->n_machines + 1;
    char text[128];

    assert(m);
    m->outcome = -1;
    m->in_progress_after_ms = m->done_after_ms = -1;
    en = &m->e;
    entity_init(en, &machine_schema);
    if (id) {
        entity_set(en, MACHINE_ID, id);
    } else { /* 40 lower-case hexadecimal digits: section 3.2 */
        snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64 "%08" PRIx32, world_random(w),
                 world_random(w), (uint32_t)world_random(w));
        entity_set(en, MACHINE_ID, text);
    }
    entity_set_bool(en, MACHINE_IS_POTENTIAL_DUPLICATION, false);
    entity_set_bool(en, MACHINE_IS_EXCLUDED, false);
    snprintf(text, sizeof text, "ws-%04u.corp.example", n);
    entity_set(en, MACHINE_COMPUTER_DNS_NAME, text);
    entity_set_time(en, MACHINE_FIRST_SEEN, now - 300 * 86400 * TICKS_PER_S, world_digits(w));
    entity_set_time(en, MACHINE_LAST_SEEN, now - 2280 * TICKS_PER_S, world_digits(w));
    entity_set_static(en, MACHINE_OS_PLATFORM, "Windows11");
    entity_set_static(en, MACHINE_OS_PROCESSOR, "x64");
    entity_set_static(en, MACHINE_VERSION, "23H2");
    snprintf(text, sizeof text, "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
    entity_set(en, MACHINE_LAST_IP_ADDRESS, text);
    entity_set_static(en, MACHINE_LAST_EXTERNAL_IP_ADDRESS, "198.51.100.24");
    entity_set_static(en, MACHINE_AGENT_VERSION, "10.8760.22621.4391");
    entity_set_int(en, MACHINE_OS_BUILD, 22631);
    entity_set_static(en, MACHINE_HEALTH_STATUS, "Active");
    entity_set_static(en, MACHINE_DEVICE_VALUE, "Normal");
    entity_set_int(en, MACHINE_RBAC_GROUP_ID, 140);
    entity_set_static(en, MACHINE_RBAC_GROUP_NAME, "Workstations");
    entity_set_static(en, MACHINE_RISK_SCORE, "High");
    entity_set_static(en, MACHINE_EXPOSURE_LEVEL, "Medium");
    entity_set_bool(en, MACHINE_IS_AAD_JOINED, true);
    entity_set(en, MACHINE_AAD_DEVICE_ID, world_guid(w, text));
    entity_set_json_static(en, MACHINE_TAGS, "[]");
    entity_set_static(en, MACHINE_ONBOARDING_STATUS, "Onboarded");
    entity_set_static(en, MACHINE_OS_ARCHITECTURE, "64-bit");
    entity_set_static(en, MACHINE_MANAGED_BY, "Intune");
    entity_set_static(en, MACHINE_MANAGED_BY_STATUS, "Success");
    snprintf(text, sizeof text,
             "[{\"ipAddress\":\"%s\",\"macAddress\":\"A0B1C2%06X\",\"type\":\"Ethernet\","
             "\"operationalStatus\":\"Up\"}",
             entity_text(en, MACHINE_LAST_IP_ADDRESS), n & 0xffffff);
    {
        AUTO(buf_clear) struct buf b = BUF_INIT(4096);

        buf_addf(&b,
                 "%s,{\"ipAddress\":\"127.0.0.1\",\"macAddress\":null,"
                 "\"type\":\"SoftwareLoopback\",\"operationalStatus\":\"Up\"}]",
                 text);
        entity_set_json(en, MACHINE_IP_ADDRESSES, buf_text(&b));
    }
    return m;
}

/* What recorded Linux machines look like: section 3.2 (osBuild null; the rest is plausible). */
static void make_linux(struct entity *en)
{
    entity_set_static(en, MACHINE_OS_PLATFORM, "Ubuntu");
    entity_set_static(en, MACHINE_VERSION, "22.4");
    entity_set_null(en, MACHINE_OS_BUILD);
    entity_set_null(en, MACHINE_OS_PROCESSOR);
    entity_set_null(en, MACHINE_AAD_DEVICE_ID);
    entity_set_null(en, MACHINE_IS_AAD_JOINED);
    entity_set_static(en, MACHINE_AGENT_VERSION, "30.124082.4.0");
    entity_set_static(en, MACHINE_MANAGED_BY, "MicrosoftDefenderForEndpoint");
}

static enum err_code read_machine_sim(struct world *w, struct machine *m, const struct json *sim,
                                      struct err *e)
{
    static const char *const names[] = {
        "offline", "outcome", "error_hresult", "in_progress_after_ms", "done_after_ms",
        "refuse",  NULL};
    const struct json *outcome = json_get(sim, "outcome"), *refuse = json_get(sim, "refuse");
    const struct json *offline = json_get(sim, "offline");
    int64_t status = 400;

    if (known_keys(sim, names, "sim", e))
        return ERR_INVALID;
    if (outcome) {
        m->outcome = -1;
        for (int i = 0; json_string(outcome) && action_statuses[i]; i++)
            if (strcmp(action_statuses[i], json_string(outcome)) == 0)
                m->outcome = i;
        if (m->outcome < 0 && json_type(outcome) != JSON_NULL)
            return err_set(e, ERR_INVALID, "sim.outcome: expected a status of section 4.2");
    }
    read_int(sim, "error_hresult", &m->error_hresult);
    read_int(sim, "in_progress_after_ms", &m->in_progress_after_ms);
    read_int(sim, "done_after_ms", &m->done_after_ms);
    if (offline) {
        machine_settle(w, m);
        if (m->offline && !json_is_true(offline)) /* what waited runs from now on */
            for (size_t i = 0; i < m->n_actions; i++)
                if (m->actions[i]->status == OUTCOME_PENDING)
                    m->actions[i]->run_from = simclock_now(&w->clock);
        m->offline = json_is_true(offline);
    }
    if (refuse) {
        read_int(refuse, "status", &status);
        m->refuse_status = json_type(refuse) == JSON_OBJECT ? (unsigned)status : 0;
        free(m->refuse_code);
        free(m->refuse_message);
        m->refuse_code = copy(json_get_string(refuse, "code"));
        m->refuse_message = copy(json_get_string(refuse, "message"));
    }
    return ERR_OK;
}

enum err_code world_put_machine(struct world *w, const struct json *object, struct machine **ret,
                                struct err *e)
{
    static const char *const skip[] = {"sim", "linux", "id", NULL};
    const char *id = json_get_string(object, "id");
    struct machine *m = id ? world_machine(w, id, false) : NULL;
    bool fresh = !m;
    enum err_code code;

    if (json_type(object) != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "a machine: expected an object");
    if (fresh)
        m = new_machine(w, id);
    if (json_is_true(json_get(object, "linux")))
        make_linux(&m->e);
    code = entity_read(&m->e, object, skip, e);
    if (!code)
        code = read_machine_sim(w, m, json_get(object, "sim"), e);
    if (code) {
        if (fresh)
            machine_free(m);
        return code;
    }
    if (fresh) {
        m->key = lower(entity_text(&m->e, MACHINE_ID));
        w->machines = grow(w->machines, w->n_machines, sizeof(struct machine *));
        w->machines[w->n_machines++] = m;
        map_put(&w->machine_by_key, m->key, m);
    }
    *ret = m;
    return ERR_OK;
}

/* ---- alerts ------------------------------------------------------------------------------------ */

/* Every key is there, most of them null: section 2.3. */
static const char default_evidence[] =
    "[{\"entityType\":\"Process\",\"evidenceCreationTime\":\"2024-12-31T09:36:08.42Z\","
    "\"sha1\":\"3f1a0c5b9d2e47f6a8b1c0d3e5f7092a4b6c8d0e\","
    "\"sha256\":\"b7a1c3d5e7f90b2d4f6a8c0e1d3b5f7a9c2e4d6f8b0a1c3e5d7f9b1a3c5e7d90\","
    "\"fileName\":\"rundll32.exe\",\"filePath\":\"C:\\\\Windows\\\\System32\",\"processId\":8124,"
    "\"processCommandLine\":\"rundll32.exe comsvcs.dll MiniDump\","
    "\"processCreationTime\":\"2024-12-31T09:31:54.9Z\",\"parentProcessId\":4410,"
    "\"parentProcessCreationTime\":\"2024-12-31T09:30:11.0000001Z\","
    "\"parentProcessFileName\":\"cmd.exe\",\"parentProcessFilePath\":\"C:\\\\Windows\\\\System32\","
    "\"ipAddress\":null,\"url\":null,\"registryKey\":null,\"registryHive\":null,"
    "\"registryValueType\":null,\"registryValue\":null,\"registryValueName\":null,"
    "\"accountName\":\"j.doe\",\"domainName\":\"CORP\",\"userSid\":\"S-1-5-21-1-2-3-1104\","
    "\"aadUserId\":null,\"userPrincipalName\":\"j.doe@corp.example\","
    "\"detectionStatus\":\"Detected\"}]";

struct alert *world_alert(const struct world *w, const char *id)
{
    return map_get(&w->alert_by_id, id);
}

static struct alert *new_alert(struct world *w, const char *id)
{
    struct alert *a = calloc(1, sizeof *a);
    struct entity *en;
    int64_t now = simclock_now(&w->clock);
    char text[64];

    assert(a);
    en = &a->e;
    entity_init(en, &alert_schema);
    if (id) {
        entity_set(en, ALERT_ID, id);
    } else { /* "da", 18-digit .NET ticks, "_", a signed 32-bit number: section 2.5 */
        snprintf(text, sizeof text, "da%018" PRId64 "_%" PRId32,
                 TICKS_BEFORE_1970 + now + (int64_t)w->n_alerts, (int32_t)world_random(w));
        entity_set(en, ALERT_ID, text);
    }
    entity_set_int(en, ALERT_INCIDENT_ID, 48213 + (int64_t)w->n_alerts);
    entity_set_int(en, ALERT_INVESTIGATION_ID, 9917);
    entity_set_static(en, ALERT_SEVERITY, "High");
    entity_set_static(en, ALERT_STATUS, "New");
    entity_set_static(en, ALERT_INVESTIGATION_STATE, "Queued");
    entity_set_static(en, ALERT_DETECTION_SOURCE, "WindowsDefenderAtp");
    entity_set_static(en, ALERT_DETECTOR_ID, "5c6b7a86-12f2-4a55-9d0e-4f0f6f0c9a11");
    entity_set_static(en, ALERT_CATEGORY, "CredentialAccess");
    entity_set_static(en, ALERT_TITLE, "Sensitive credential memory read");
    entity_set_static(en, ALERT_DESCRIPTION,
                      "A process read the memory of the logon subsystem.\n\n"
                      "Credentials may have been taken.");
    entity_set_time(en, ALERT_CREATION_TIME, now, world_digits(w));
    entity_set_time(en, ALERT_FIRST_EVENT_TIME, now - 252 * TICKS_PER_S, world_digits(w));
    entity_set_time(en, ALERT_LAST_EVENT_TIME, now - 246 * TICKS_PER_S, world_digits(w));
    entity_set_time(en, ALERT_LAST_UPDATE_TIME, now, world_digits(w));
    entity_set_static(en, ALERT_RBAC_GROUP_NAME, "Workstations");
    entity_set(en, ALERT_AAD_TENANT_ID, w->tenant_id);
    entity_set_json_static(en, ALERT_MITRE_TECHNIQUES, "[\"T1003\",\"T1003.001\"]");
    entity_set_json_static(en, ALERT_RELATED_USER,
                           "{\"userName\":\"j.doe\",\"domainName\":\"CORP\"}");
    entity_set_json_static(en, ALERT_LOGGED_ON_USERS,
                           "[{\"accountName\":\"j.doe\",\"domainName\":\"CORP\"}]");
    entity_set_json_static(en, ALERT_COMMENTS, "[]");
    entity_set_json_static(en, ALERT_EVIDENCE, default_evidence);
    entity_set_json_static(en, ALERT_DOMAINS, "[]");
    return a;
}

/* machineId and computerDnsName of a new alert, where the test named neither. */
static enum err_code give_machine(struct world *w, struct alert *a, const struct json *object,
                                  struct err *e)
{
    struct machine *m = NULL;

    if (json_get(object, "machineId")) {
        m = world_machine(w, entity_text(&a->e, ALERT_MACHINE_ID), false);
    } else {
        AUTO(json_freep) struct json *empty = NULL;

        if (w->n_machines)
            m = w->machines[0];
        else if (json_parse("{}", 2, &empty, e) || world_put_machine(w, empty, &m, e))
            return ERR_INVALID;
        entity_set(&a->e, ALERT_MACHINE_ID, entity_text(&m->e, MACHINE_ID));
    }
    if (m && !json_get(object, "computerDnsName") &&
        m->e.values[MACHINE_COMPUTER_DNS_NAME].type == VALUE_STRING)
        entity_set(&a->e, ALERT_COMPUTER_DNS_NAME, entity_text(&m->e, MACHINE_COMPUTER_DNS_NAME));
    return ERR_OK;
}

enum err_code world_put_alert(struct world *w, const struct json *object, struct alert **ret,
                              struct err *e)
{
    static const char *const skip[] = {"sim", "id", NULL}; /* the id is the key of a table */
    static const char *const names[] = {
        "hidden_reads", "evidence_after_reads", "then", "then_after_reads", "hidden_ms", NULL};
    const char *id = json_get_string(object, "id");
    const struct json *sim = json_get(object, "sim"), *then = json_get(sim, "then");
    struct alert *a = id ? world_alert(w, id) : NULL;
    int64_t hidden_ms = 0;
    bool fresh = !a;
    enum err_code code;

    if (json_type(object) != JSON_OBJECT)
        return err_set(e, ERR_INVALID, "an alert: expected an object");
    if (fresh)
        a = new_alert(w, id);
    code = entity_read(&a->e, object, skip, e);
    if (!code)
        code = known_keys(sim, names, "sim", e);
    JSON_EACH (v, then)
        if (!code && schema_find(&alert_schema, json_name(v), strlen(json_name(v))) < 0)
            code = err_set(e, ERR_INVALID, "sim.then.%s: unknown field", json_name(v));
    if (!code && fresh)
        code = give_machine(w, a, object, e);
    if (code) {
        if (fresh)
            alert_free(a);
        return code;
    }
    if (sim) {
        a->reads = 0; /* its counts start anew */
        read_int(sim, "hidden_reads", &a->hidden_reads);
        read_int(sim, "evidence_after_reads", &a->evidence_after_reads);
        read_int(sim, "then_after_reads", &a->then_after_reads);
        read_int(sim, "hidden_ms", &hidden_ms);
        if (hidden_ms > 0)
            a->visible_at = simclock_now(&w->clock) + hidden_ms * TICKS_PER_MS;
    }
    if (then) { /* its names were checked above */
        struct buf b = BUF_INIT(SIZE_MAX);

        json_write(&b, then);
        free(a->then);
        a->then = buf_take(&b);
    }
    if (fresh) {
        w->alerts = grow(w->alerts, w->n_alerts, sizeof(struct alert *));
        w->alerts[w->n_alerts++] = a;
        map_put(&w->alert_by_id, a->e.values[ALERT_ID].text, a);
    }
    *ret = a;
    return ERR_OK;
}

bool alert_is_visible(const struct world *w, const struct alert *a)
{
    return a->reads >= a->hidden_reads &&
           (!a->visible_at || simclock_now(&w->clock) >= a->visible_at);
}

bool alert_has_evidence(const struct alert *a)
{
    return !a->evidence_after_reads || a->reads > a->evidence_after_reads;
}

bool world_read_alert(struct world *w, struct alert *a)
{
    static const char *const skip[] = {"id", NULL}; /* the key of the table that holds it */
    bool visible = alert_is_visible(w, a);

    if (a->then && a->reads >= a->then_after_reads) {
        AUTO(json_freep) struct json *fields = NULL;

        if (!json_parse(a->then, strlen(a->then), &fields, NULL))
            (void)entity_read(&a->e, fields, skip, NULL); /* names were checked when it came */
        free(a->then);
        a->then = NULL;
    }
    a->reads++;
    return visible;
}

void entity_append_json(struct entity *en, int field, const char *element)
{
    AUTO(buf_clear) struct buf b = BUF_INIT(SIZE_MAX);
    const struct value *v = &en->values[field];
    bool some = v->type == VALUE_JSON && strlen(v->text) > 2;

    buf_addf(&b, "%.*s%s%s]", some ? (int)strlen(v->text) - 1 : 1, some ? v->text : "[",
             some ? "," : "", element);
    entity_set_json(en, field, buf_text(&b));
}

/* ---- actions ----------------------------------------------------------------------------------- */

struct action *world_action(const struct world *w, const char *id)
{
    char *key = lower(id);
    struct action *a = map_get(&w->action_by_id, key);

    free(key);
    return a;
}

bool action_is_open(const struct action *a)
{
    return a->status == OUTCOME_PENDING || a->status == OUTCOME_IN_PROGRESS;
}

static bool is_isolate(const struct action *a)
{
    return entity_is(&a->e, ACTION_TYPE, "Isolate");
}

static void set_status(struct world *w, struct action *a, enum outcome status, int64_t when)
{
    struct machine *m = a->machine;
    bool was_open = action_is_open(a);

    a->status = status;
    entity_set_static(&a->e, ACTION_STATUS, action_statuses[status]);
    entity_set_time(&a->e, ACTION_LAST_UPDATE_TIME, when, world_digits(w));
    if (was_open && !action_is_open(a)) {
        m->open--;
        w->open_actions--;
        if (is_isolate(a))
            m->active_isolates--;
    }
    if (status != OUTCOME_SUCCEEDED)
        return;
    if (is_isolate(a)) {
        m->isolated = true;
    } else if (entity_is(&a->e, ACTION_TYPE, "Unisolate")) {
        m->isolated = false;
        for (size_t i = 0; i < m->n_actions; i++)
            if (m->actions[i]->held) { /* "re-isolates after release": section 4.5 */
                m->actions[i]->held = false;
                m->actions[i]->run_from = when;
            }
    }
}

static void finish(struct world *w, struct action *a, enum outcome outcome, int64_t when)
{
    int64_t hresult = a->error_hresult;

    if (!hresult)
        hresult = outcome == OUTCOME_TIMEOUT     ? HRESULT_TIMEOUT
                  : outcome == OUTCOME_CANCELLED ? HRESULT_CANCELLED
                  : outcome == OUTCOME_FAILED    ? HRESULT_FAILED
                                                 : 0;
    if (outcome != OUTCOME_SUCCEEDED)
        entity_set_int(&a->e, ACTION_ERROR_HRESULT, hresult);
    if (outcome == OUTCOME_CANCELLED) {
        entity_set_static(&a->e, ACTION_CANCELLATION_REQUESTOR, "a.person@corp.example");
        entity_set_static(&a->e, ACTION_CANCELLATION_COMMENT, "Cancelled in the portal");
        entity_set_time(&a->e, ACTION_CANCELLATION_TIME, when, world_digits(w));
    }
    set_status(w, a, outcome, when);
}

#define NEVER INT64_MAX

/* When the next thing happens to a, and what it is. */
static int64_t next_step(const struct world *w, const struct action *a, enum outcome *ret)
{
    if (!action_is_open(a))
        return NEVER;
    if (a->status == OUTCOME_PENDING) {
        if (a->held)
            return NEVER;
        if (a->machine->offline) {
            *ret = OUTCOME_TIMEOUT;
            return a->created + w->tuning.actions.offline_timeout_ms * TICKS_PER_MS;
        }
        if (a->outcome == OUTCOME_PENDING)
            return NEVER;
        if (a->in_progress_after_ms < a->done_after_ms || a->outcome == OUTCOME_IN_PROGRESS) {
            *ret = OUTCOME_IN_PROGRESS;
            return a->run_from + a->in_progress_after_ms * TICKS_PER_MS;
        }
    }
    if (a->outcome == OUTCOME_IN_PROGRESS || a->outcome == OUTCOME_PENDING)
        return NEVER;
    *ret = a->outcome;
    return a->run_from + a->done_after_ms * TICKS_PER_MS;
}

void machine_settle(struct world *w, struct machine *m)
{
    int64_t now = simclock_now(&w->clock);

    while (m->open) {
        struct action *first = NULL;
        enum outcome step = OUTCOME_PENDING;
        int64_t when = NEVER;

        for (size_t i = 0; i < m->n_actions; i++) {
            enum outcome s = OUTCOME_PENDING;
            int64_t at = next_step(w, m->actions[i], &s);

            if (at < when) {
                when = at;
                first = m->actions[i];
                step = s;
            }
        }
        if (!first || when > now)
            return;
        if (step == OUTCOME_IN_PROGRESS)
            set_status(w, first, step, when);
        else
            finish(w, first, step, when);
    }
}

void world_settle(struct world *w)
{
    for (size_t i = 0; w->open_actions && i < w->n_machines; i++)
        if (w->machines[i]->open)
            machine_settle(w, w->machines[i]);
}

struct action *machine_open_action(struct machine *m, const char *type)
{
    for (size_t i = m->n_actions; i-- > 0;)
        if (action_is_open(m->actions[i]) && entity_is(&m->actions[i]->e, ACTION_TYPE, type))
            return m->actions[i];
    return NULL;
}

static struct action *new_action(struct world *w, struct machine *m, const char *type,
                                 const char *id)
{
    struct action *a = calloc(1, sizeof *a);
    struct entity *en;
    char guid[GUID_SIZE], *key;

    assert(a);
    en = &a->e;
    entity_init(en, &action_schema);
    a->machine = m;
    a->created = a->run_from = simclock_now(&w->clock);
    a->outcome =
        m->outcome >= 0 ? (enum outcome)m->outcome : (enum outcome)w->tuning.actions.outcome;
    a->in_progress_after_ms = m->in_progress_after_ms >= 0 ? m->in_progress_after_ms
                                                           : w->tuning.actions.in_progress_after_ms;
    a->done_after_ms = m->done_after_ms >= 0 ? m->done_after_ms : w->tuning.actions.done_after_ms;
    a->error_hresult = m->error_hresult ? m->error_hresult : w->tuning.actions.error_hresult;
    key = lower(id ? id : world_guid(w, guid));
    entity_set(en, ACTION_ID, key);
    free(key);
    entity_set(en, ACTION_TYPE, type);
    entity_set_static(en, ACTION_STATUS, "Pending");
    entity_set(en, ACTION_MACHINE_ID, entity_text(&m->e, MACHINE_ID));
    if (m->e.values[MACHINE_COMPUTER_DNS_NAME].type == VALUE_STRING)
        entity_set(en, ACTION_COMPUTER_DNS_NAME, entity_text(&m->e, MACHINE_COMPUTER_DNS_NAME));
    /* a few ticks apart, and of different lengths: section 4.7 rule 5 */
    entity_set_time(en, ACTION_CREATION_TIME, a->created, world_digits(w));
    entity_set_time(en, ACTION_LAST_UPDATE_TIME, a->created + 1 + (int64_t)world_below(w, 9),
                    world_digits(w));
    entity_set_int(en, ACTION_ERROR_HRESULT, 0);
    entity_set_static(en, ACTION_REQUEST_SOURCE, "PublicApi");
    entity_set_json_static(en, ACTION_COMMANDS, "[]");

    w->actions = grow(w->actions, w->n_actions, sizeof(struct action *));
    w->actions[w->n_actions++] = a;
    map_put(&w->action_by_id, en->values[ACTION_ID].text, a);
    m->actions = grow(m->actions, m->n_actions, sizeof(struct action *));
    m->actions[m->n_actions++] = a;
    m->open++;
    w->open_actions++;
    if (is_isolate(a)) {
        m->isolate_actions++;
        m->active_isolates++;
        if (m->active_isolates > m->max_active_isolates)
            m->max_active_isolates = m->active_isolates;
        if (m->active_isolates > w->max_active_isolates)
            w->max_active_isolates = m->active_isolates;
    } else if (entity_is(en, ACTION_TYPE, "Unisolate")) {
        m->unisolate_actions++;
    }
    return a;
}

struct action *world_act(struct world *w, struct machine *m, const char *type,
                         const char *requestor, const char *comment, const char *scope)
{
    struct action *a = new_action(w, m, type, NULL);

    entity_set(&a->e, ACTION_REQUESTOR, requestor);
    entity_set(&a->e, ACTION_REQUESTOR_COMMENT, comment);
    entity_set(&a->e, ACTION_SCOPE, scope);
    return a;
}

void world_cancel(struct world *w, struct action *a, const char *requestor, const char *comment)
{
    int64_t now = simclock_now(&w->clock);

    a->held = false;
    finish(w, a, OUTCOME_CANCELLED, now);
    entity_set_int(&a->e, ACTION_ERROR_HRESULT, HRESULT_CANCELLED);
    entity_set(&a->e, ACTION_CANCELLATION_REQUESTOR, requestor);
    entity_set(&a->e, ACTION_CANCELLATION_COMMENT, comment);
}

enum err_code world_put_action(struct world *w, const struct json *object, struct action **ret,
                               struct err *e)
{
    /* status is moved by set_status; the id and the machine are keys */
    static const char *const skip[] = {"id", "status", "machineId", "type", NULL};
    const char *id = json_get_string(object, "id"), *type = json_get_string(object, "type");
    const char *machine = json_get_string(object, "machineId");
    const char *status = json_get_string(object, "status");
    struct action *a = id ? world_action(w, id) : NULL;
    struct machine *m = a ? a->machine : machine ? world_machine(w, machine, false) : NULL;
    int wanted = -1;
    bool fresh = !a;

    if (!m)
        return err_set(e, ERR_INVALID, "machineId: no such machine");
    if (fresh && !type)
        return err_set(e, ERR_INVALID, "type: expected a string");
    for (int i = 0; status && action_statuses[i]; i++)
        if (strcmp(action_statuses[i], status) == 0)
            wanted = i;
    machine_settle(w, m);
    if (fresh) {
        a = new_action(w, m, type, id);
        entity_set_static(&a->e, ACTION_REQUESTOR, "a.person@corp.example");
        entity_set_static(&a->e, ACTION_REQUESTOR_COMMENT, "By hand");
        entity_set_static(&a->e, ACTION_REQUEST_SOURCE, "Portal");
    }
    if (wanted >= 0 && wanted != (int)a->status) {
        bool open = action_is_open(a);

        if (!open && wanted <= OUTCOME_IN_PROGRESS)
            return err_set(e, ERR_INVALID, "status: the action is over");
        if (wanted == OUTCOME_IN_PROGRESS)
            set_status(w, a, OUTCOME_IN_PROGRESS, simclock_now(&w->clock));
        else
            finish(w, a, (enum outcome)wanted, simclock_now(&w->clock));
    }
    if (entity_read(&a->e, object, skip, e)) /* after finish: what the test says stands */
        return ERR_INVALID;
    if (a->e.values[ACTION_CREATION_TIME].type == VALUE_TIME && fresh &&
        json_get(object, "creationDateTimeUtc") && wanted > OUTCOME_IN_PROGRESS)
        a->created = a->e.values[ACTION_CREATION_TIME].number;
    if (status && wanted < 0) { /* a status nobody knows: shown as it is, for ever (trap 51) */
        entity_set(&a->e, ACTION_STATUS, status);
        a->outcome = OUTCOME_PENDING;
    }
    *ret = a;
    return ERR_OK;
}
