/* fields.c - see fields.h. fields[] is the vocabulary; each row names a getter and the members of
 * Defender's documents that it reads (defender-api.md sections 2.2, 2.3 and 3.2).
 *
 * A getter pushes JSON values or composed texts; push() gives each its type once, so that no getter
 * can forget that null, "" and unknown words are not values. Reading asks the document anew each time:
 * a document has some dozen members, and a cache would make the pure function carry state.
 */
#include "fields.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "utf8.h"
#include "yaml.h"

#define STRANGE_TEXT_MAX 256 /* bytes kept of a value that is no string */

/* ---- words of Defender: defender-api.md section 2.3 and 3.2 ------------------------------------ */

static const char *const severities[] = {"UnSpecified", "Informational", "Low",
                                         "Medium",      "High",          NULL};
static const char *const statuses[] = {"New",         "InProgress", "Resolved", "Unknown",
                                       "Unspecified", "Hidden",     NULL};
static const char *const classifications[] = {"Unknown", "FalsePositive", "TruePositive",
                                              "InformationalExpectedActivity", NULL};
static const char *const determinations[] = {
    "NotAvailable", "Apt", "Malware", "SecurityPersonnel", "SecurityTesting", "UnwantedSoftware",
    "Other", "MultiStagedAttack", "CompromisedAccount", "Phishing", "MaliciousUserActivity",
    "NotMalicious", "NoEnoughDataToValidate", "ConfirmedActivity", "LineOfBusinessApplication",
    /* other public spellings */
    "CompromisedUser", "Clean", "InsufficientData", "ConfirmedUserActivity", NULL};
static const char *const investigation_states[] = {"Unknown",
                                                   "Terminated",
                                                   "SuccessfullyRemediated",
                                                   "Benign",
                                                   "Failed",
                                                   "PartiallyRemediated",
                                                   "Running",
                                                   "PendingApproval",
                                                   "PendingResource",
                                                   "Disabled",
                                                   "Queued",
                                                   "InnerFailure",
                                                   "PreexistingAlert",
                                                   "UnsupportedOs",
                                                   "UnsupportedAlertType",
                                                   "SuppressedAlert",
                                                   "PartiallyInvestigated",
                                                   "TerminatedByUser",
                                                   "TerminatedBySystem",
                                                   NULL};
/* The reference names two of the DefenderFor… members; the others are spelt after Graph's enumeration
 * of detection sources. One that Defender spells otherwise is unknown, and a person is asked. */
static const char *const detection_sources[] = {"WindowsDefenderAtp",
                                                "WindowsDefenderAv",
                                                "WindowsDefenderSmartScreen",
                                                "iSight",
                                                "Bitdefender",
                                                "CustomerTI",
                                                "Ziften",
                                                "Lookout",
                                                "SentinelOne",
                                                "ThirdPartySensors",
                                                "OfficeATP",
                                                "AutomatedInvestigation",
                                                "ThreatExperts",
                                                "CustomDetection",
                                                "AzureATP",
                                                "MCAS",
                                                "MTP",
                                                "AAD",
                                                "MAPG",
                                                "Manual",
                                                "DLP",
                                                "AppGPolicy",
                                                "AppGDetection",
                                                "MDC",
                                                "Compliance",
                                                "Forms",
                                                "MailFlow",
                                                "MSTIC",
                                                "Sentinel",
                                                "ThirdParty",
                                                "DefenderForIoT",
                                                "DefenderForServers",
                                                "DefenderForStorage",
                                                "DefenderForDNS",
                                                "DefenderForDatabases",
                                                "DefenderForContainers",
                                                "DefenderForNetwork",
                                                "DefenderForAppService",
                                                "DefenderForKeyVault",
                                                "DefenderForResourceManager",
                                                "DefenderForApiManagement",
                                                "NRTAlerts",
                                                "ScheduledAlerts",
                                                "BuiltInML",
                                                "MicrosoftInsiderRiskManagement",
                                                "Nsn",
                                                "SecurityCopilot",
                                                "Unknown",
                                                "Unspecified",
                                                NULL};
static const char *const risks[] = {"None", "Informational", "Low", "Medium", "High", NULL};
static const char *const exposures[] = {"None", "Low", "Medium", "High", NULL};
/* How much a machine matters. The service's own order is Normal, Low, High; as a level it can only
 * mean this one. */
static const char *const values[] = {"Low", "Normal", "High", NULL};
static const char *const healths[] = {"Active",
                                      "Inactive",
                                      "ImpairedCommunication",
                                      "NoSensorData",
                                      "NoSensorDataImpairedCommunication",
                                      "Unknown",
                                      NULL};
static const char *const onboardings[] = {"InsufficientInfo", "Onboarded", "CanBeOnboarded",
                                          "Unsupported", NULL};
static const char *const managers[] = {"Unknown", "Intune", "SystemCenterConfigurationManager",
                                       "MicrosoftDefenderForEndpoint", NULL};
static const char *const manager_states[] = {"Unknown", "Success", "Error", NULL};
static const char *const exclusions[] = {
    "Other", "InactiveDevice", "DuplicateDevice", "DeviceDoesNotExist", "DeviceOutOfScope", NULL};

/* ---- pushing values ---------------------------------------------------------------------------- */

struct field_reader {
    const struct field *field;
    struct arena *arena;
    struct field_item *items;
    size_t count, room;
    bool said; /* a list was there, be it empty */
    bool nomem;
};

/* Room for count items in all; called once, before the first push. */
static bool reserve(struct field_reader *r, size_t count)
{
    assert(!r->items);
    r->items = arena_array(r->arena, count ? count : 1, sizeof *r->items);
    r->room = count;
    if (!r->items)
        r->nomem = true;
    return r->items != NULL;
}

int field_word(const char *const *words, const char *text)
{
    for (int i = 0; words[i]; i++)
        if (strcasecmp(words[i], text) == 0)
            return i;
    return -1;
}

bool field_address(const char *text, unsigned char ret[16])
{
    char plain[INET6_ADDRSTRLEN + 1];
    size_t len = strcspn(text, "%"); /* fe80::1%12: the zone is the machine's own affair */
    struct in_addr v4;

    if (len >= sizeof plain || (text[len] && !memchr(text, ':', len)))
        return false;
    memcpy(plain, text, len);
    plain[len] = '\0';
    if (inet_pton(AF_INET, plain, &v4) == 1) {
        memset(ret, 0, 10);
        memset(ret + 10, 0xff, 2);
        memcpy(ret + 12, &v4, 4);
        return true;
    }
    return inet_pton(AF_INET6, plain, ret) == 1;
}

/* A text. "" is nothing said (trap 24: an ipAddress may be ""). */
static void push_text(struct field_reader *r, const char *text)
{
    const struct field *f = r->field;
    struct field_item *item;

    if (!text) {
        r->nomem = true;
        return;
    }
    if (!*text)
        return;
    assert(r->count < r->room);
    item = &r->items[r->count++];
    item->text = text;
    item->is_text = true;
    switch (f->type) {
    case FIELD_TEXT:
        item->known = true;
        break;
    case FIELD_WORD:
    case FIELD_LEVEL:
        item->rank = field_word(f->words, text);
        item->known = item->rank >= 0;
        break;
    case FIELD_TIME:
        item->known = clock_parse(text, &item->number, NULL) == ERR_OK;
        break;
    case FIELD_ADDRESS:
        item->known = field_address(text, item->address);
        break;
    case FIELD_NUMBER: /* a string of digits: push_json has seen to it */
    case FIELD_BOOL:
        break;
    }
}

/* What is there and not what its place calls for; null is nothing said. */
static void push_strange(struct field_reader *r, const struct json *v)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(STRANGE_TEXT_MAX);
    struct field_item *item;

    if (json_type(v) <= JSON_NULL)
        return;
    assert(r->count < r->room);
    item = &r->items[r->count++];
    item->is_text = json_type(v) == JSON_STRING;
    if (item->is_text) {
        item->text = json_string(v);
        return;
    }
    json_write(&text, v); /* what does not fit is left out: it is only shown */
    item->text = arena_str(r->arena, buf_text(&text));
    if (!item->text || buf_failed(&text) == ERR_NOMEM)
        r->nomem = true;
}

static void push_json(struct field_reader *r, const struct json *v)
{
    enum json_type type = json_type(v);
    struct field_item *item;
    int64_t number;

    if (type == JSON_STRING)
        push_text(r, json_string(v));
    else
        push_strange(r, v);
    if (r->count == 0)
        return;
    item = &r->items[r->count - 1];
    if (r->field->type == FIELD_NUMBER && json_int64_lax(v, &number)) {
        item->number = number; /* rbacGroupId is a number or a string: trap 21 */
        item->known = true;
    } else if (r->field->type == FIELD_BOOL && type == JSON_BOOL) {
        item->number = json_is_true(v);
        item->known = true;
    }
}

/* ---- getters ----------------------------------------------------------------------------------- */

/* The document that a field's name says it is from. */
static const struct json *root_of(const struct field *f, const struct facts *facts)
{
    return strncmp(f->name, "machine.", strlen("machine.")) == 0 ? facts->machine : facts->alert;
}

/* member, or member.inner */
static void get_member(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    const struct json *v = json_get(root_of(f, facts), f->member);

    if (reserve(r, 1))
        push_json(r, f->inner ? json_get(v, f->inner) : v);
}

/* The elements of member, or their inner ones. */
static void get_list(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    const struct json *list = json_get(root_of(f, facts), f->member);

    if (json_type(list) != JSON_ARRAY) {
        if (reserve(r, 1))
            push_strange(r, list);
        return;
    }
    r->said = true;
    if (!reserve(r, json_count(list)))
        return;
    JSON_EACH (v, list) {
        if (!f->inner)
            push_json(r, v);
        else if (json_type(v) == JSON_OBJECT)
            push_json(r, json_get(v, f->inner));
        else
            push_strange(r, v);
    }
}

/* Names joined by commas: trap 23. */
static void get_flags(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    const struct json *v = json_get(root_of(f, facts), f->member);
    const char *text = json_string(v);
    size_t names = 1;

    if (!text) {
        if (reserve(r, 1))
            push_json(r, v);
        return;
    }
    for (const char *p = text; (p = strchr(p, ',')); p++)
        names++;
    if (!reserve(r, names))
        return;
    for (const char *p = text, *end;; p = end + 1) {
        const char *last;

        p += strspn(p, " ");
        end = strchrnul(p, ',');
        for (last = end; last > p && last[-1] == ' ';)
            last--;
        push_text(r, arena_strn(r->arena, p, (size_t)(last - p)));
        if (!*end)
            return;
    }
}

/* category: the text "null" has been seen for null (trap 19). */
static void get_category(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    const struct json *v = json_get(facts->alert, f->member);
    const char *text = json_string(v);

    if (reserve(r, 1) && !(text && strcmp(text, "null") == 0))
        push_json(r, v);
}

/* DOMAIN\name, or the name alone; NULL: v names nobody. name: the member that holds it. */
static const char *account(struct field_reader *r, const struct json *v, const char *name)
{
    const char *user = json_get_string(v, name), *domain = json_get_string(v, "domainName");
    const char *text;

    if (!user || !*user)
        return NULL;
    if (!domain || !*domain)
        return user;
    text = arena_fmt(r->arena, "%s\\%s", domain, user);
    if (!text)
        r->nomem = true;
    return text;
}

static void get_related_user(struct field_reader *r, const struct field *f,
                             const struct facts *facts)
{
    const struct json *v = json_get(facts->alert, f->member);
    const char *text = account(r, v, f->inner);

    if (!reserve(r, 1))
        return;
    if (text)
        push_text(r, text);
    else if (json_type(v) != JSON_OBJECT)
        push_strange(r, v);
    else if (json_type(json_get(v, f->inner)) != JSON_STRING) /* "" is nothing said */
        push_strange(r, json_get(v, f->inner));
}

/* Accounts, each by its user principal name before DOMAIN\name when it has one. Evidence of other kinds
 * names none. */
static void get_accounts(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    const struct json *list = json_get(facts->alert, f->member);

    if (json_type(list) != JSON_ARRAY) {
        if (reserve(r, 1))
            push_strange(r, list);
        return;
    }
    r->said = true;
    if (!reserve(r, json_count(list)))
        return;
    JSON_EACH (v, list) {
        const char *upn = json_get_string(v, "userPrincipalName");
        const char *text = upn && *upn ? upn : account(r, v, f->inner);

        if (text)
            push_text(r, text);
        else if (json_type(v) != JSON_OBJECT)
            push_strange(r, v);
        else if (json_type(json_get(v, f->inner)) != JSON_STRING)
            push_strange(r, json_get(v, f->inner));
    }
}

static void get_tenant(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    (void)f;
    if (reserve(r, 1) && facts->tenant)
        push_text(r, facts->tenant);
}

static void get_source(struct field_reader *r, const struct field *f, const struct facts *facts)
{
    (void)f;
    if (reserve(r, 1) && facts->source)
        push_text(r, facts->source);
}

/* ---- the vocabulary ---------------------------------------------------------------------------- */

/* clang-format off */
static const struct field fields[] = {
    /* name, type, list, words, meaning, example, getter, member, inner */
    {"alert.id", FIELD_TEXT, false, NULL, "the alert's id", "da638712345678901234_-1027384756",
     get_member, "id", NULL},
    {"alert.severity", FIELD_LEVEL, false, severities, "how bad Defender holds it to be", "High",
     get_member, "severity", NULL},
    {"alert.status", FIELD_WORD, false, statuses, "where its handling stands", "New",
     get_member, "status", NULL},
    {"alert.title", FIELD_TEXT, false, NULL, "its headline", "Sensitive credential memory read",
     get_member, "title", NULL},
    {"alert.description", FIELD_TEXT, false, NULL, "what happened, in Defender's words",
     "A process read the memory of the logon subsystem.", get_member, "description", NULL},
    {"alert.category", FIELD_TEXT, false, NULL, "the kind of attack", "CredentialAccess",
     get_category, "category", NULL},
    {"alert.detection_source", FIELD_WORD, true, detection_sources, "what noticed it",
     "WindowsDefenderAtp", get_flags, "detectionSource", NULL},
    {"alert.detector_id", FIELD_TEXT, false, NULL, "the detector's GUID",
     "5c6b7a86-12f2-4a55-9d0e-4f0f6f0c9a11", get_member, "detectorId", NULL},
    {"alert.classification", FIELD_WORD, false, classifications, "what people found it to be",
     "TruePositive", get_member, "classification", NULL},
    {"alert.determination", FIELD_WORD, false, determinations, "the same, in detail", "Malware",
     get_member, "determination", NULL},
    {"alert.investigation_state", FIELD_WORD, true, investigation_states,
     "where Defender's own investigation stands", "Queued", get_flags, "investigationState", NULL},
    {"alert.investigation_id", FIELD_NUMBER, false, NULL, "Defender's own investigation", "9917",
     get_member, "investigationId", NULL},
    {"alert.incident_id", FIELD_NUMBER, false, NULL, "the incident it belongs to", "48213",
     get_member, "incidentId", NULL},
    {"alert.threat_family", FIELD_TEXT, false, NULL, "the malware's family", "Mimikatz",
     get_member, "threatFamilyName", NULL},
    {"alert.threat_name", FIELD_TEXT, false, NULL, "the malware's name", "HackTool:Win32/Mimikatz",
     get_member, "threatName", NULL},
    {"alert.assigned_to", FIELD_TEXT, false, NULL, "who works on it", "soc@contoso.example",
     get_member, "assignedTo", NULL},
    {"alert.created", FIELD_TIME, false, NULL, "when Defender raised it", "2024-12-31T09:36:07Z",
     get_member, "alertCreationTime", NULL},
    {"alert.first_event", FIELD_TIME, false, NULL, "its first event", "2024-12-31T09:31:55Z",
     get_member, "firstEventTime", NULL},
    {"alert.last_event", FIELD_TIME, false, NULL, "its last event", "2024-12-31T09:32:01Z",
     get_member, "lastEventTime", NULL},
    {"alert.updated", FIELD_TIME, false, NULL, "its last change", "2024-12-31T09:36:09Z",
     get_member, "lastUpdateTime", NULL},
    {"alert.resolved", FIELD_TIME, false, NULL, "when it was resolved", "2024-12-31T17:02:44Z",
     get_member, "resolvedTime", NULL},
    {"alert.user", FIELD_TEXT, false, NULL, "the account it is about", "CORP\\j.doe",
     get_related_user, "relatedUser", "userName"},
    {"alert.users", FIELD_TEXT, true, NULL, "the accounts that were logged on", "CORP\\j.doe",
     get_accounts, "loggedOnUsers", "accountName"},
    {"alert.mitre", FIELD_TEXT, true, NULL, "MITRE ATT&CK techniques", "T1003.001",
     get_list, "mitreTechniques", NULL},
    {"alert.group", FIELD_TEXT, false, NULL, "the device group at that time", "Workstations",
     get_member, "rbacGroupName", NULL},
    {"alert.tenant_id", FIELD_TEXT, false, NULL, "the Entra tenant's GUID",
     "0a4a1f60-98ab-4f0a-9d5e-0b1c2d3e4f50", get_member, "aadTenantId", NULL},
    {"alert.machine_id", FIELD_TEXT, false, NULL, "the machine that the alert names",
     "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4", get_member, "machineId", NULL},
    {"alert.machine_name", FIELD_TEXT, false, NULL, "that machine's name, as the alert has it",
     "ws-114.corp.example", get_member, "computerDnsName", NULL},
    {"alert.domains", FIELD_TEXT, true, NULL, "domains in it", "bad.example",
     get_list, "domains", "host"},
    {"alert.evidence.types", FIELD_TEXT, true, NULL, "what kinds of evidence it holds", "Process",
     get_list, "evidence", "entityType"},
    {"alert.evidence.files", FIELD_TEXT, true, NULL, "file names in its evidence", "rundll32.exe",
     get_list, "evidence", "fileName"},
    {"alert.evidence.sha1", FIELD_TEXT, true, NULL, "SHA-1 of files in its evidence",
     "da39a3ee5e6b4b0d3255bfef95601890afd80709", get_list, "evidence", "sha1"},
    {"alert.evidence.sha256", FIELD_TEXT, true, NULL, "SHA-256 of files in its evidence",
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", get_list, "evidence",
     "sha256"},
    {"alert.evidence.processes", FIELD_TEXT, true, NULL, "command lines in its evidence",
     "rundll32.exe comsvcs.dll MiniDump", get_list, "evidence", "processCommandLine"},
    {"alert.evidence.ips", FIELD_ADDRESS, true, NULL, "addresses in its evidence", "203.0.113.9",
     get_list, "evidence", "ipAddress"},
    {"alert.evidence.urls", FIELD_TEXT, true, NULL, "URLs in its evidence", "http://bad.example/x",
     get_list, "evidence", "url"},
    {"alert.evidence.users", FIELD_TEXT, true, NULL,
     "accounts in its evidence: the principal name, else DOMAIN\\name", "j.doe@corp.example",
     get_accounts, "evidence", "accountName"},
    {"machine.id", FIELD_TEXT, false, NULL, "the machine's id",
     "9c1f6f3d2b7a4e58a0d4c3b2e1f0a9b8c7d6e5f4", get_member, "id", NULL},
    {"machine.name", FIELD_TEXT, false, NULL, "its DNS name", "ws-114.corp.example",
     get_member, "computerDnsName", NULL},
    {"machine.os", FIELD_TEXT, false, NULL, "operating system", "Windows11",
     get_member, "osPlatform", NULL},
    {"machine.os_version", FIELD_TEXT, false, NULL, "its version, where Defender says it", "10.0",
     get_member, "osVersion", NULL},
    {"machine.version", FIELD_TEXT, false, NULL, "the operating system's release", "23H2",
     get_member, "version", NULL},
    {"machine.os_build", FIELD_NUMBER, false, NULL, "build; Linux has none", "22631",
     get_member, "osBuild", NULL},
    {"machine.architecture", FIELD_TEXT, false, NULL, "processor architecture", "64-bit",
     get_member, "osArchitecture", NULL},
    {"machine.tags", FIELD_TEXT, true, NULL, "tags set in Defender", "tier-0",
     get_list, "machineTags", NULL},
    {"machine.group", FIELD_TEXT, false, NULL, "device group", "Workstations",
     get_member, "rbacGroupName", NULL},
    {"machine.group_id", FIELD_NUMBER, false, NULL, "device group's number; 0: in none", "140",
     get_member, "rbacGroupId", NULL},
    {"machine.value", FIELD_LEVEL, false, values, "how much it matters, as set in Defender", "High",
     get_member, "deviceValue", NULL},
    {"machine.risk", FIELD_LEVEL, false, risks, "risk by its open alerts", "Medium",
     get_member, "riskScore", NULL},
    {"machine.exposure", FIELD_LEVEL, false, exposures, "exposure by its weaknesses", "Medium",
     get_member, "exposureLevel", NULL},
    {"machine.health", FIELD_WORD, false, healths, "the sensor's health", "Active",
     get_member, "healthStatus", NULL},
    {"machine.onboarding", FIELD_WORD, false, onboardings, "whether Defender has it in hand",
     "Onboarded", get_member, "onboardingStatus", NULL},
    {"machine.ip", FIELD_ADDRESS, false, NULL, "last address of its own", "10.20.4.17",
     get_member, "lastIpAddress", NULL},
    {"machine.external_ip", FIELD_ADDRESS, false, NULL, "last address seen from outside",
     "198.51.100.24", get_member, "lastExternalIpAddress", NULL},
    {"machine.ips", FIELD_ADDRESS, true, NULL, "addresses of all its interfaces", "10.20.4.17",
     get_list, "ipAddresses", "ipAddress"},
    {"machine.aad_device_id", FIELD_TEXT, false, NULL, "device id in Entra",
     "6f8f0d5a-3b0e-4a54-9a6e-6f6a3b1d2c90", get_member, "aadDeviceId", NULL},
    {"machine.aad_joined", FIELD_BOOL, false, NULL, "joined to Entra", "true",
     get_member, "isAadJoined", NULL},
    {"machine.excluded", FIELD_BOOL, false, NULL, "excluded in Defender", "false",
     get_member, "isExcluded", NULL},
    {"machine.exclusion", FIELD_WORD, false, exclusions, "why it is excluded", "DuplicateDevice",
     get_member, "exclusionReason", NULL},
    {"machine.duplicate", FIELD_BOOL, false, NULL, "perhaps the same as another record", "false",
     get_member, "isPotentialDuplication", NULL},
    {"machine.first_seen", FIELD_TIME, false, NULL, "first report", "2024-02-11T07:45:02Z",
     get_member, "firstSeen", NULL},
    {"machine.last_seen", FIELD_TIME, false, NULL, "last full report, about daily; not \"online\"",
     "2024-12-31T08:58:41Z", get_member, "lastSeen", NULL},
    {"machine.managed_by", FIELD_WORD, false, managers, "what manages it", "Intune",
     get_member, "managedBy", NULL},
    {"machine.managed_by_status", FIELD_WORD, false, manager_states, "how that goes", "Success",
     get_member, "managedByStatus", NULL},
    {"machine.agent_version", FIELD_TEXT, false, NULL, "version of the sensor",
     "10.8760.22621.4391", get_member, "agentVersion", NULL},
    {"machine.vm_cloud", FIELD_TEXT, false, NULL, "cloud that hosts it; missing: none known",
     "Azure", get_member, "vmMetadata", "cloudProvider"},
    {"tenant", FIELD_TEXT, false, NULL, "tenant, by its name in the configuration", "contoso",
     get_tenant, NULL, NULL},
    {"source", FIELD_TEXT, false, NULL, "source that pushed the alert first", "relay",
     get_source, NULL, NULL},
    {NULL, FIELD_TEXT, false, NULL, NULL, NULL, NULL, NULL, NULL},
};
/* clang-format on */

const struct field *field_table(void)
{
    return fields;
}

const struct field *field_find(const char *name)
{
    for (const struct field *f = fields; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

const char *field_nearest(const char *name)
{
    const char *names[sizeof fields / sizeof *fields];
    const char *const prefixes[] = {"alert.", "machine."};
    size_t n = 0;

    for (const struct field *f = fields; f->name; f++) /* `severity` for alert.severity */
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
            size_t len = strlen(prefixes[i]);

            if (strncmp(f->name, prefixes[i], len) == 0 && strcasecmp(f->name + len, name) == 0)
                return f->name;
        }
    for (const struct field *f = fields; f->name; f++)
        names[n++] = f->name;
    names[n] = NULL;
    return yaml_nearest(name, names);
}

/* ---- types and operators ----------------------------------------------------------------------- */

#define SET(op) (1u << FIELD_OP_##op)

static const struct {
    const char *name, *list_name;
    unsigned ops;
} types[] = {
    [FIELD_TEXT] = {"text", "list of texts",
                    SET(IS) | SET(IN) | SET(NOT) | SET(GLOB) | SET(REGEX) | SET(IN_FILE) |
                        SET(EXISTS)},
    [FIELD_WORD] = {"word", "list of words", SET(IS) | SET(IN) | SET(NOT) | SET(EXISTS)},
    [FIELD_LEVEL] = {"level", "list of levels",
                     SET(IS) | SET(IN) | SET(NOT) | SET(AT_LEAST) | SET(AT_MOST) | SET(EXISTS)},
    [FIELD_NUMBER] = {"number", "list of numbers",
                      SET(IS) | SET(IN) | SET(NOT) | SET(AT_LEAST) | SET(AT_MOST) | SET(EXISTS)},
    [FIELD_BOOL] = {"bool", "list of bools", SET(IS) | SET(NOT) | SET(EXISTS)},
    [FIELD_TIME] = {"time", "list of times", SET(OLDER_THAN) | SET(NEWER_THAN) | SET(EXISTS)},
    [FIELD_ADDRESS] = {"address", "list of addresses",
                       SET(IS) | SET(IN) | SET(NOT) | SET(CIDR) | SET(IN_FILE) | SET(EXISTS)},
};

static const char *const op_names[] = {
    [FIELD_OP_IS] = "is",
    [FIELD_OP_IN] = "in",
    [FIELD_OP_NOT] = "not",
    [FIELD_OP_GLOB] = "glob",
    [FIELD_OP_REGEX] = "regex",
    [FIELD_OP_AT_LEAST] = "at_least",
    [FIELD_OP_AT_MOST] = "at_most",
    [FIELD_OP_CIDR] = "cidr",
    [FIELD_OP_IN_FILE] = "in_file",
    [FIELD_OP_OLDER_THAN] = "older_than",
    [FIELD_OP_NEWER_THAN] = "newer_than",
    [FIELD_OP_EXISTS] = "exists",
};

const char *field_type_name(const struct field *f)
{
    return f->list ? types[f->type].list_name : types[f->type].name;
}

const char *field_noun(const struct field *f, struct arena *a)
{
    const char *dot = strrchr(f->name, '.');
    char *noun = arena_str(a, dot ? dot + 1 : f->name);

    for (char *p = noun; p && *p; p++)
        if (*p == '_')
            *p = ' ';
    return noun;
}

unsigned field_ops(const struct field *f)
{
    return types[f->type].ops;
}

const char *field_op_name(enum field_op op)
{
    return op_names[op];
}

bool field_op_find(const char *name, enum field_op *ret_op)
{
    for (enum field_op op = FIELD_OP_IN; op < FIELD_OPS; op++)
        if (strcmp(op_names[op], name) == 0) {
            *ret_op = op;
            return true;
        }
    return false;
}

/* ---- reading and showing ----------------------------------------------------------------------- */

enum err_code field_read(const struct field *f, const struct facts *facts, struct arena *a,
                         struct field_value *ret)
{
    struct field_reader r = {.field = f, .arena = a};

    f->get(&r, f, facts);
    if (r.nomem)
        return ERR_NOMEM;
    *ret = (struct field_value){
        .missing = !r.said && r.count == 0,
        .items = r.items,
        .count = r.count,
    };
    return ERR_OK;
}

/* Length of the character at p when it must not be shown, else 0. */
static size_t unshowable(const unsigned char *p)
{
    if (p[0] < 0x20 || p[0] == 0x7f)
        return 1;
    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* U+0080 to U+009F: C1 controls */
        return 2;
    if (p[0] == 0xd8 && p[1] == 0x9c) /* U+061C: Arabic letter mark */
        return 2;
    if (p[0] == 0xe2 &&
        p[1] == 0x80 && /* U+200E, 200F: marks; 2028 to 202E: separators, embeddings */
        (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae)))
        return 3;
    if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9) /* U+2066 to 2069: isolates */
        return 3;
    return 0;
}

char *field_shown(struct arena *a, const char *text, size_t max)
{
    static const char ellipsis[] = UTF8_ELLIPSIS;
    const size_t tail = sizeof ellipsis - 1;
    size_t len = strlen(text), out_len = 0;
    bool cut = len > max;
    char *out;

    assert(max > tail);
    if (cut)
        len = utf8_cut(text, max - tail);
    out = arena_alloc(a, len + tail + 1);
    if (!out)
        return NULL;
    for (const char *p = text; p < text + len;) {
        size_t skip = unshowable((const unsigned char *)p);

        out[out_len++] = skip ? ' ' : *p;
        p += skip ? skip : 1;
    }
    if (cut)
        memcpy(out + out_len, ellipsis, tail);
    return out;
}
