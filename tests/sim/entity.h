/* entity.h - an alert, machine or machine action: the fields of its table, each with a value.
 *
 * Tables: defender-api.md sections 2.2, 3.2, 4.2. A test may give any field any value, also ones that
 * Defender would not send (an unknown enumeration value, a string where a number belongs), and fields
 * that Defender does not have.
 */
#ifndef SIM_ENTITY_H
#define SIM_ENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "json.h"

enum field_kind { FIELD_STRING, FIELD_INT, FIELD_BOOL, FIELD_TIME, FIELD_JSON };

struct field {
    const char *name;
    enum field_kind kind;
    bool filter; /* may stand in $filter (section 2.4) */
};

struct schema {
    const char *set; /* "Alerts", as in @odata.context */
    const struct field *fields;
    size_t count;
};

/* X(index, name, kind, in $filter) */
#define ALERT_FIELDS(X)                                                                            \
    X(ALERT_ID, "id", STRING, 1)                                                                   \
    X(ALERT_INCIDENT_ID, "incidentId", INT, 1)                                                     \
    X(ALERT_INVESTIGATION_ID, "investigationId", INT, 1)                                           \
    X(ALERT_ASSIGNED_TO, "assignedTo", STRING, 1)                                                  \
    X(ALERT_SEVERITY, "severity", STRING, 1)                                                       \
    X(ALERT_STATUS, "status", STRING, 1)                                                           \
    X(ALERT_CLASSIFICATION, "classification", STRING, 0)                                           \
    X(ALERT_DETERMINATION, "determination", STRING, 0)                                             \
    X(ALERT_INVESTIGATION_STATE, "investigationState", STRING, 0)                                  \
    X(ALERT_DETECTION_SOURCE, "detectionSource", STRING, 1)                                        \
    X(ALERT_DETECTOR_ID, "detectorId", STRING, 0)                                                  \
    X(ALERT_CATEGORY, "category", STRING, 1)                                                       \
    X(ALERT_THREAT_FAMILY_NAME, "threatFamilyName", STRING, 0)                                     \
    X(ALERT_TITLE, "title", STRING, 0)                                                             \
    X(ALERT_DESCRIPTION, "description", STRING, 0)                                                 \
    X(ALERT_CREATION_TIME, "alertCreationTime", TIME, 1)                                           \
    X(ALERT_FIRST_EVENT_TIME, "firstEventTime", TIME, 0)                                           \
    X(ALERT_LAST_EVENT_TIME, "lastEventTime", TIME, 1)                                             \
    X(ALERT_LAST_UPDATE_TIME, "lastUpdateTime", TIME, 1)                                           \
    X(ALERT_RESOLVED_TIME, "resolvedTime", TIME, 0)                                                \
    X(ALERT_MACHINE_ID, "machineId", STRING, 0)                                                    \
    X(ALERT_COMPUTER_DNS_NAME, "computerDnsName", STRING, 0)                                       \
    X(ALERT_RBAC_GROUP_NAME, "rbacGroupName", STRING, 0)                                           \
    X(ALERT_AAD_TENANT_ID, "aadTenantId", STRING, 0)                                               \
    X(ALERT_THREAT_NAME, "threatName", STRING, 0)                                                  \
    X(ALERT_MITRE_TECHNIQUES, "mitreTechniques", JSON, 0)                                          \
    X(ALERT_RELATED_USER, "relatedUser", JSON, 0)                                                  \
    X(ALERT_LOGGED_ON_USERS, "loggedOnUsers", JSON, 0)                                             \
    X(ALERT_COMMENTS, "comments", JSON, 0)                                                         \
    X(ALERT_EVIDENCE, "evidence", JSON, 0)                                                         \
    X(ALERT_DOMAINS, "domains", JSON, 0)

#define MACHINE_FIELDS(X)                                                                          \
    X(MACHINE_ID, "id", STRING, 1)                                                                 \
    X(MACHINE_MERGED_INTO, "mergedIntoMachineId", STRING, 0)                                       \
    X(MACHINE_IS_POTENTIAL_DUPLICATION, "isPotentialDuplication", BOOL, 0)                         \
    X(MACHINE_IS_EXCLUDED, "isExcluded", BOOL, 0)                                                  \
    X(MACHINE_EXCLUSION_REASON, "exclusionReason", STRING, 0)                                      \
    X(MACHINE_COMPUTER_DNS_NAME, "computerDnsName", STRING, 1)                                     \
    X(MACHINE_FIRST_SEEN, "firstSeen", TIME, 0)                                                    \
    X(MACHINE_LAST_SEEN, "lastSeen", TIME, 1)                                                      \
    X(MACHINE_OS_PLATFORM, "osPlatform", STRING, 1)                                                \
    X(MACHINE_OS_VERSION, "osVersion", STRING, 0)                                                  \
    X(MACHINE_OS_PROCESSOR, "osProcessor", STRING, 0)                                              \
    X(MACHINE_VERSION, "version", STRING, 1)                                                       \
    X(MACHINE_LAST_IP_ADDRESS, "lastIpAddress", STRING, 1)                                         \
    X(MACHINE_LAST_EXTERNAL_IP_ADDRESS, "lastExternalIpAddress", STRING, 0)                        \
    X(MACHINE_AGENT_VERSION, "agentVersion", STRING, 0)                                            \
    X(MACHINE_OS_BUILD, "osBuild", INT, 0)                                                         \
    X(MACHINE_HEALTH_STATUS, "healthStatus", STRING, 1)                                            \
    X(MACHINE_DEVICE_VALUE, "deviceValue", STRING, 1)                                              \
    X(MACHINE_RBAC_GROUP_ID, "rbacGroupId", INT, 1)                                                \
    X(MACHINE_RBAC_GROUP_NAME, "rbacGroupName", STRING, 0)                                         \
    X(MACHINE_RISK_SCORE, "riskScore", STRING, 1)                                                  \
    X(MACHINE_EXPOSURE_LEVEL, "exposureLevel", STRING, 1)                                          \
    X(MACHINE_IS_AAD_JOINED, "isAadJoined", BOOL, 0)                                               \
    X(MACHINE_AAD_DEVICE_ID, "aadDeviceId", STRING, 1)                                             \
    X(MACHINE_TAGS, "machineTags", JSON, 1)                                                        \
    X(MACHINE_ONBOARDING_STATUS, "onboardingStatus", STRING, 1)                                    \
    X(MACHINE_OS_ARCHITECTURE, "osArchitecture", STRING, 0)                                        \
    X(MACHINE_MANAGED_BY, "managedBy", STRING, 0)                                                  \
    X(MACHINE_MANAGED_BY_STATUS, "managedByStatus", STRING, 0)                                     \
    X(MACHINE_VM_METADATA, "vmMetadata", JSON, 0)                                                  \
    X(MACHINE_IP_ADDRESSES, "ipAddresses", JSON, 0)

#define ACTION_FIELDS(X)                                                                           \
    X(ACTION_ID, "id", STRING, 1)                                                                  \
    X(ACTION_TYPE, "type", STRING, 1)                                                              \
    X(ACTION_TITLE, "title", STRING, 0)                                                            \
    X(ACTION_REQUESTOR, "requestor", STRING, 1)                                                    \
    X(ACTION_REQUESTOR_COMMENT, "requestorComment", STRING, 0)                                     \
    X(ACTION_STATUS, "status", STRING, 1)                                                          \
    X(ACTION_MACHINE_ID, "machineId", STRING, 1)                                                   \
    X(ACTION_COMPUTER_DNS_NAME, "computerDnsName", STRING, 0)                                      \
    X(ACTION_CREATION_TIME, "creationDateTimeUtc", TIME, 1)                                        \
    X(ACTION_LAST_UPDATE_TIME, "lastUpdateDateTimeUtc", TIME, 0)                                   \
    X(ACTION_CANCELLATION_REQUESTOR, "cancellationRequestor", STRING, 0)                           \
    X(ACTION_CANCELLATION_COMMENT, "cancellationComment", STRING, 0)                               \
    X(ACTION_CANCELLATION_TIME, "cancellationDateTimeUtc", TIME, 0)                                \
    X(ACTION_ERROR_HRESULT, "errorHResult", INT, 0)                                                \
    X(ACTION_SCOPE, "scope", STRING, 0)                                                            \
    X(ACTION_EXTERNAL_ID, "externalId", STRING, 0)                                                 \
    X(ACTION_REQUEST_SOURCE, "requestSource", STRING, 0)                                           \
    X(ACTION_RELATED_FILE_INFO, "relatedFileInfo", JSON, 0)                                        \
    X(ACTION_COMMANDS, "commands", JSON, 0)                                                        \
    X(ACTION_TROUBLESHOOT_INFO, "troubleshootInfo", JSON, 0)

#define FIELD_INDEX(index, name, kind, filter) index,
enum alert_field { ALERT_FIELDS(FIELD_INDEX) ALERT_FIELD_COUNT };
enum machine_field { MACHINE_FIELDS(FIELD_INDEX) MACHINE_FIELD_COUNT };
enum action_field { ACTION_FIELDS(FIELD_INDEX) ACTION_FIELD_COUNT };
#undef FIELD_INDEX

extern const struct schema alert_schema, machine_schema, action_schema;

/** Index of a property, compared without case (section 2.4); -1: unknown. */
int schema_find(const struct schema *s, const char *name, size_t len);

enum value_type { VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_STRING, VALUE_TIME, VALUE_JSON };

struct value {
    enum value_type type;
    bool owned;       /* text is heap memory of the value's */
    int64_t number;   /* BOOL, INT, TIME (ticks) */
    const char *text; /* STRING, TIME (as sent), JSON */
};

struct entity {
    const struct schema *schema;
    struct value *values; /* schema->count of them, NULL values at first */
    struct extra {
        char *name, *json;
    } * extras; /* fields Defender does not have */
    size_t n_extras;
};

void entity_init(struct entity *en, const struct schema *s);
void entity_clear(struct entity *en);

void entity_set_null(struct entity *en, int field);
void entity_set(struct entity *en, int field, const char *text);        /* copied; NULL: null */
void entity_set_static(struct entity *en, int field, const char *text); /* borrowed for ever */
void entity_set_int(struct entity *en, int field, int64_t number);
void entity_set_bool(struct entity *en, int field, bool yes);
/** digits: 0 to 7; ticks are cut to what the text says. */
void entity_set_time(struct entity *en, int field, int64_t ticks, int digits);
void entity_set_json(struct entity *en, int field, const char *json); /* copied */
void entity_set_json_static(struct entity *en, int field, const char *json);
/** Sets every member of an object but those named in skip (NULL-terminated). Names with exact case;
 *  ERR_INVALID for a name that differs from a field's by case alone: surely a mistake of the test. */
enum err_code entity_read(struct entity *en, const struct json *object, const char *const *skip,
                          struct err *e);

const char *entity_text(const struct entity *en, int field); /* "" when it has none */
bool entity_is(const struct entity *en, int field, const char *text);

/** Writes the members, without braces. select: which fields (NULL: all); extras come with all. */
void entity_write_members(struct json_out *out, const struct entity *en, const bool *select);
/** `{…}` in an array. */
void entity_write(struct json_out *out, const struct entity *en, const bool *select);

#endif
