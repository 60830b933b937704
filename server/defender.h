/* defender.h - one tenant's Defender for Endpoint API, over rest and token.
 *
 * Everything here is one or more HTTP calls now: nothing is cached, nothing is repeated behind the
 * caller's back but one call after a 401, or after a 403 when a newer token is there (neither was carried out).
 * When to try again is the caller's business; what a failure means is settled here, by one table (defender_exchange.c,
 * outcomes[]):
 *
 *   ERR_OK         it is so
 *   ERR_NOT_FOUND  404: Defender does not know the id (yet: trap 39). A gateway's page that says so, or 400 or 403, is as a 502
 *   ERR_CONFLICT   the same action is already under way: look (section 4.5)
 *   ERR_REFUSED    no, for good: this machine or tenant cannot do it, or no alert has just this id; the sentence says why
 *   ERR_FORBIDDEN  no, for good until somebody gives a permission or a licence
 *   ERR_DENIED     no usable credential: Entra refused it, or 401 with a fresh token
 *   ERR_THROTTLED  over the quota, Defender's or the governor's; retry_ms is always set
 *   ERR_AGAIN      transient, the request was not carried out or was only a read; also an answer that
 *                  cannot be read, or that speaks of another alert or machine than the one asked for
 *   ERR_UNKNOWN    of isolate and unisolate only: it may have been carried out. Look first
 *                  (defender_read with DEFENDER_READ_ACTIONS), never just post again
 *   ERR_INVALID    an id or text of ours is unfit; ERR_STOPPING, ERR_NOMEM
 *
 * Error texts hold method, path, status, code, message and target (the id to quote to support), never a
 * token. Sections and traps are those of defender-api.md. Threads: any, on the same struct defender.
 */
#ifndef CORDON_DEFENDER_H
#define CORDON_DEFENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auto.h"
#include "buf.h"
#include "clock.h"
#include "err.h"
#include "json.h"

struct rest;
struct token;
struct defender; /* opaque */

/** How long a 429 wants us to be silent, by its header (retry_ms, 0: none), its sentence (NULL: none), or for want of
 *  both: section 7.3. Hunting asks the same service. */
int64_t defender_throttle_ms(int64_t retry_ms, const char *message);

/** Is `why`, of a refusal, what was said before (a text in which it stands; NULL: nothing was)? Its target is another one with each
 *  answer (section 7.1), and its end may be cut off in that text. */
bool defender_said(const char *before, const struct err *why);

enum defender_class { DEFENDER_CLASS_READ, DEFENDER_CLASS_ACTION, DEFENDER_CLASSES };

/* What Defender counts, and throttles, apart from the rest (section 7.4). */
enum defender_api { DEFENDER_API_COMMON, DEFENDER_API_ALERT_CREATE, DEFENDER_API_PACKAGE };

struct defender_options {
    struct rest *rest; /* borrowed, like token and clock; all outlive the defender */
    struct token *token;
    const struct clock *clock;
    const char *api_url; /* "https://api.security.microsoft.com", no "/api"; copied */
    int64_t timeout_ms;  /* of one call; 0: 60 s, section 7.6 */

    /* The governor's hooks; each may be NULL. acquire is called before every HTTP call and may refuse
     * it with ERR_THROTTLED and e->retry_ms; on_throttled after every 429. */
    enum err_code (*acquire)(void *ctx, enum defender_api api, enum defender_class class,
                             struct err *e);
    void (*on_throttled)(void *ctx, enum defender_api api, int64_t retry_ms);
    /* After an answer with a Date: how far our clock is off Defender's (clock_off_ms). Any thread. */
    void (*on_clock)(void *ctx, int64_t off_ms);
    void *ctx;
};

/** Calls nobody yet; o is copied. ERR_INVALID: api_url is neither https nor on loopback; ERR_NOMEM. */
enum err_code defender_new(const struct defender_options *o, struct defender **ret, struct err *e);
/** No call may be under way. NULL is fine. */
void defender_free(struct defender *d);
AUTO_FREEP(struct defender, defender)

/* ---- machine actions (section 4.2) ------------------------------------------------------------ */

/* What a machine can be asked for (section 4.1). */
enum defender_deed {
    DEFENDER_ISOLATION,  /* detail: "Full" or "Selective" (section 4.6) */
    DEFENDER_RELEASE,    /* the end of it */
    DEFENDER_SCAN,       /* detail: "Quick" or "Full" */
    DEFENDER_COLLECT,    /* an investigation package */
    DEFENDER_RESTRICT,   /* nothing runs but what Microsoft signed */
    DEFENDER_UNRESTRICT, /* … any more */
    DEFENDER_STOP_FILE,  /* detail: the file's SHA-1, 40 hexadecimal digits */
    DEFENDER_DEEDS
};

enum defender_action_type { DEFENDER_OTHER, DEFENDER_ISOLATE, DEFENDER_UNISOLATE };

enum defender_action_status {
    DEFENDER_STATUS_UNKNOWN, /* a word that this program does not know; status_text has it (trap 51) */
    DEFENDER_PENDING,
    DEFENDER_IN_PROGRESS,
    DEFENDER_SUCCEEDED,
    DEFENDER_FAILED,
    DEFENDER_TIME_OUT,
    DEFENDER_CANCELLED
};

/* Texts are UTF-8 without control characters, cut at a character when too long; "" for null. */
struct defender_action {
    char id[64];
    enum defender_action_type type;
    char type_text[48]; /* as Defender wrote it */
    enum defender_action_status status;
    char status_text[32]; /* as Defender wrote it */
    char machine_id[72];  /* never empty */
    char machine_name[256];
    char requestor[128];
    char comment[256];
    char external_id[72];
    bool from_elsewhere; /* Defender says that it was not asked for through the API */
    char file[68];       /* whose file: its hash, of StopAndQuarantineFile; may be empty */
    char scope[16];      /* of a scan: "Quick" or "Full"; may be empty */
    int64_t created_ms;  /* wall clock */
    int64_t updated_ms;  /* wall clock; created_ms when Defender gave none */
};

/* How far our clock and Defender's may differ (runtime_check_clock). */
#define DEFENDER_SKEW_MS (5 * MINUTE_MS)

/** Pending or in progress, or a status nobody knows: not over as far as we can tell. */
bool defender_action_is_open(const struct defender_action *a);

/* ---- reading ---------------------------------------------------------------------------------- */

#define DEFENDER_ACTIONS_MAX 10 /* newest Isolate and Unisolate actions of one machine */

enum defender_read_flags {
    DEFENDER_READ_ALERT = 1 << 0,
    DEFENDER_READ_MACHINE = 1 << 1,
    DEFENDER_READ_ACTIONS = 1 << 2,
    DEFENDER_READ_TO_ACT = 1 << 3 /* an action hangs on it: of the calls that are kept for those */
};

struct defender_reads {
    int64_t read_ms; /* wall clock just before the first call left */

    enum err_code alert_code; /* of each part: ERR_OK when it was not asked for */
    struct err alert_err;
    struct json *alert; /* an object whose id is the one asked for; NULL unless asked and OK */

    enum err_code machine_code;
    struct err machine_err;
    struct json *machine; /* the same; may name mergedIntoMachineId (trap 12) */

    enum err_code actions_code;
    struct err actions_err;
    struct defender_action *actions; /* newest first, by creation time; NULL: there never was one */
    size_t n_actions;
};

/**
 * Reads what flags name, all at the same time, and waits for all; each part has its own fate.
 *
 * alert_id    NULL: no alert, whatever flags say. ^[A-Za-z0-9_.-]{1,128}$ (section 2.5).
 * machine_id  NULL: neither machine nor actions. ^[0-9a-fA-F]{32,64}$ (section 3.2).
 * ret         written whole, also when everything failed; defender_reads_clear it.
 *
 * What is in ret->alert and ret->machine has been checked for the types of the fields that cordon
 * knows; every field but id may be absent or null. An answer that is not so is ERR_AGAIN, never a guess.
 */
void defender_read(struct defender *d, const char *alert_id, const char *machine_id,
                   enum defender_read_flags flags, struct defender_reads *ret);
/** Frees the documents and zeroes r. A zeroed r is fine. */
void defender_reads_clear(struct defender_reads *r);

/** One action by its id: of this deed on this machine, or it is no answer. ERR_OK and *ret, else as above. */
enum err_code defender_get_action(struct defender *d, enum defender_deed deed,
                                  const char *machine_id, const char *action_id,
                                  struct defender_action *ret, struct err *e);

/* ---- many at once (section 2.4: `id in (…)`) ----------------------------------------------------
 *
 * One call reads many, and its pages. Nothing says how long a filter may be, so the caller says how many
 * ids go into one and halves that when Defender does not take it: ERR_REFUSED (400, 414) and ERR_TOO_BIG
 * (an answer larger than DEFENDER_LIST_MAX bytes) of these calls mean that. An answer that speaks of
 * something nobody asked for, or whose pages do not end, is ERR_AGAIN. What is not in the answer is NOT
 * known not to be: it is to be read alone before anything is concluded from that.
 */

#define DEFENDER_MANY_MAX 200        /* ids in one call */
#define DEFENDER_LIST_MAX (32 << 20) /* bytes of one page */

/**
 * Alerts by their ids, with their evidence, which a list holds only when asked (trap 22).
 *
 * ids, n    as for defender_read, at most DEFENDER_MANY_MAX, each once.
 * docs      n slots; written on ERR_OK only: the document, the caller's to free, or NULL: not listed, or
 *           listed in a way that cannot be read.
 * ret_read_ms  wall clock just before the call left.
 */
enum err_code defender_list_alerts(struct defender *d, const char *const ids[], size_t n,
                                   struct json *docs[], int64_t *ret_read_ms, struct err *e);
/** Machines; the same. Ids are compared without regard to case. */
enum err_code defender_list_machines(struct defender *d, const char *const ids[], size_t n,
                                     struct json *docs[], int64_t *ret_read_ms, struct err *e);
/** The newest actions of many machines at once, of the calls that are kept for actions: fills read_ms, the actions and
 *  actions_code of looks[i] for ids[i], as DEFENDER_READ_ACTIONS does. An action that cannot be read makes it ERR_AGAIN
 *  for its machine; one of nobody knows which, for all. */
enum err_code defender_look(struct defender *d, const char *const ids[], size_t n,
                            struct defender_reads *const looks[], struct err *e);
/** Isolate actions by their ids, each of its machine. listed[i]: ret[i] is there, and is that. */
enum err_code defender_list_isolations(struct defender *d, const char *const ids[],
                                       const char *const machine_ids[], size_t n,
                                       struct defender_action ret[], bool listed[], struct err *e);

/* What polling has to know of an alert. */
struct defender_change {
    char id[132];
    char machine_id[72];            /* lower case; "": none, or none that is fit */
    int64_t created_ms, updated_ms; /* alertCreationTime, lastUpdateTime; 0: not given */
    bool high;                      /* its severity */
};

/**
 * One page of the alerts whose lastUpdateTime is `since` or later, the oldest change first (section 2.4). It may be null
 * (section 2.2); those that were made since are there all the same.
 *
 * since       wall ms of Defender's clock.
 * skip, max   so many of the list are passed over, so many taken at most.
 * ret         room for max; *ret_count of them are there.
 * ret_listed  how many the page held: less than max, and it was the last one.
 */
enum err_code defender_changed_alerts(struct defender *d, int64_t since, size_t skip,
                                      struct defender_change ret[], size_t max, size_t *ret_count,
                                      size_t *ret_listed, struct err *e);

/**
 * One page of the Isolate and Unisolate actions of all machines that were made at `since` or later, the oldest first;
 * parameters as above. One that cannot be read, though its machine can, has the type DEFENDER_OTHER.
 */
enum err_code defender_recent_actions(struct defender *d, int64_t since, size_t skip,
                                      struct defender_action ret[], size_t max, size_t *ret_count,
                                      size_t *ret_listed, struct err *e);

/* ---- any list (section 2.4) ----------------------------------------------------------------------- */

enum defender_list { DEFENDER_ALERTS, DEFENDER_MACHINES };

/**
 * One page of a list. query: ours, encoded ("?$filter=…&$top=500"), at most 64 KiB. *ret is an object whose `value`
 * is an array. ERR_TOO_BIG: the page is larger than DEFENDER_LIST_MAX, ask for less; else as above.
 */
enum err_code defender_get_page(struct defender *d, enum defender_list list, const char *query,
                                struct json **ret, struct err *e);
/** The member of an element that is not of its type, as what was read alone is checked for; NULL: it is good. */
const char *defender_misfit(enum defender_list list, const struct json *element);

/* ---- acting ----------------------------------------------------------------------------------- */

struct defender_request {
    enum defender_deed deed;
    const char *machine_id;
    const char *detail; /* NULL where the deed has none */
    /* shown in the portal to every reader; control characters become blanks, and it is cut at 1,000
     * characters (trap 30). Not empty. */
    const char *comment;
    /* comes back in defender_action.external_id, so that our own action can be told from another's; NULL: none.
     * ^[A-Za-z0-9_.-]{1,64}$. */
    const char *external_id;
    int64_t leave_by_ms; /* of rest_request; 0: no such time */
};

/**
 * Asks for it. Look before: defender_read with DEFENDER_READ_ACTIONS, or defender_read_deeds.
 *
 * q    borrowed for the call.
 * ret  the action, on ERR_OK only: of this machine and this deed. It is `requested`: usually Pending, for days if the
 *      machine is offline (trap 27). It may also be an older action that was still open (section 4.5).
 */
enum err_code defender_ask(struct defender *d, const struct defender_request *q,
                           struct defender_action *ret, struct err *e);
/** The newest actions of this deed on a machine: actions and actions_code of ret, which is written whole. */
void defender_read_deeds(struct defender *d, enum defender_deed deed, const char *machine_id,
                         struct defender_reads *ret);
/** The link to the package of a DEFENDER_COLLECT that succeeded, into ret: whoever has it may read the package, so
 *  it is never logged. ERR_NOT_FOUND: not complete yet. 2 calls a minute and 120 an hour (section 4.3). */
enum err_code defender_package(struct defender *d, const char *action_id, struct buf *ret,
                               struct err *e);
/** Gives a machine a tag, or takes it away. Twice is once. */
enum err_code defender_tag(struct defender *d, const char *machine_id, const char *tag, bool add,
                           struct err *e);
/** Is what Defender shows as a comment this one? What is sent is one line of a bounded length (trap 30). */
bool defender_is_comment(const char *shown, const char *comment);
/** Changes an alert (section 2.6); what is NULL stays. A comment is added, so look before it is repeated. */
enum err_code defender_update_alert(struct defender *d, const char *alert_id, const char *status,
                                    const char *assigned_to, const char *comment, struct err *e);

/* An alert about an event that a hunting query found (section 2.7). All but category must be there. */
struct defender_new_alert {
    const char *machine_id, *severity, *category, *title, *description, *recommended_action;
    const char *event_time, *report_id; /* as the row has them, to the letter */
};
#define DEFENDER_ALERT_ID_SIZE 129

/** Makes one. Twice is once: Defender takes the second for a part of an open alert with the same title on the same
 *  machine, and names that one. 15 calls a minute. ERR_NOT_FOUND: it knows no such event (yet). */
enum err_code defender_create_alert(struct defender *d, const struct defender_new_alert *a,
                                    char ret_id[DEFENDER_ALERT_ID_SIZE], struct err *e);

#endif
