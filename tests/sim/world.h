/* world.h - the tenant behind the simulator: its alerts, machines, machine actions and applications.
 *
 * One thread (the loop's), no locks. Time is the simulator's own (simclock.h). The life of an action is not
 * driven by timers: whoever looks at an action first lets what should have happened by now happen
 * (world_settle), in the order of time, so that turning the hands by three days is one step.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "entity.h"
#include "err.h"
#include "simclock.h"
#include "json.h"
#include "map.h"
#include "tuning.h"

/* Section 4.2, status; also how an action is to end (Pending, InProgress: it never does). */
enum outcome {
    OUTCOME_PENDING,
    OUTCOME_IN_PROGRESS,
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,
    OUTCOME_TIMEOUT,
    OUTCOME_CANCELLED
};
extern const char *const action_statuses[]; /* by enum outcome, NULL-terminated */

#define HRESULT_TIMEOUT   (-2145844840) /* 0x80190198: section 4.2 */
#define HRESULT_CANCELLED (-2147467260) /* 0x80004004: section 4.2 */
#define HRESULT_FAILED    (-2147467259) /* 0x80004005, unspecified: no recorded one is at hand */

struct alert {
    struct entity e; /* first: an entity of a list is its alert */
    int64_t reads;   /* GETs of it so far */
    int64_t hidden_reads, evidence_after_reads, then_after_reads;
    int64_t visible_at; /* ticks; 0: at once */
    char *then;         /* JSON text of fields that change after then_after_reads; NULL: none */
};

struct machine {
    struct entity e;
    char *key; /* id in lower case */
    bool offline;
    int outcome;                                 /* enum outcome; -1: as configured */
    int64_t in_progress_after_ms, done_after_ms; /* -1: as configured */
    int64_t error_hresult;                       /* 0: as configured */
    unsigned refuse_status;                      /* 0: it takes actions */
    char *refuse_code, *refuse_message;
    struct action **actions; /* in order of creation */
    size_t n_actions, open;  /* open: how many are not over */
    bool isolated;
    int64_t isolate_posts, unisolate_posts, isolate_actions, unisolate_actions;
    int64_t active_isolates, max_active_isolates;
};

struct action {
    struct entity e;
    struct machine *machine;
    enum outcome status, outcome;
    int64_t created, run_from; /* ticks; run_from: its delays count from here */
    int64_t in_progress_after_ms, done_after_ms;
    int64_t error_hresult;
    bool held; /* the second of "second201": runs once the machine is released (section 4.5) */
};

struct client {
    char *id, *name, *secret;                      /* secret NULL: has none */
    char **roles, **graph_roles, **exchange_roles; /* NULL-terminated */
    char *certificate;                             /* PEM; NULL: none */
    char *assertion; /* federated credential, exact text; NULL: none */
    bool expired;    /* its secret */
};

struct world {
    struct simclock clock;
    struct tuning tuning;
    uint64_t random; /* state */
    const char *tenant_id;
    struct alert **alerts;
    struct machine **machines;
    struct action **actions;
    struct client **clients;
    size_t n_alerts, n_machines, n_actions, n_clients;
    struct map alert_by_id, machine_by_key, action_by_id;
    size_t open_actions;
    int64_t isolate_posts, unisolate_posts, max_active_isolates;
    int64_t graph_window, graph_mails; /* ticks; of graph.per_minute */
    int64_t tokens_issued;
    int64_t tokens_dead_before; /* number of the token: those issued earlier are stale */
};

void world_init(struct world *w, const char *tenant_id, uint64_t seed);
/** Forgets all but tuning and the random state. */
void world_forget(struct world *w);
void world_clear(struct world *w);

/* ---- chance ----------------------------------------------------------------------------------- */

uint64_t world_random(struct world *w);
/** 0 ≤ result < below. */
uint64_t world_below(struct world *w, uint64_t below);
#define GUID_SIZE 37
char *world_guid(struct world *w, char out[GUID_SIZE]);
/** How many digits the next timestamp has. */
int world_digits(struct world *w);

/* ---- alerts and machines ---------------------------------------------------------------------- */

struct alert *world_alert(const struct world *w, const char *id);
/** By id, in any case; by_name: else by DNS name, the first that has it. */
struct machine *world_machine(const struct world *w, const char *id, bool by_name);
/** Makes an alert of defaults and object's members, or changes one with the same id. */
enum err_code world_put_alert(struct world *w, const struct json *object, struct alert **ret,
                              struct err *e);
enum err_code world_put_machine(struct world *w, const struct json *object, struct machine **ret,
                                struct err *e);
/** Counts a read of an alert (by id, alone or in a list) and lets happen what its `sim` says of it; false:
 *  it is not visible yet. */
bool world_read_alert(struct world *w, struct alert *a);
bool alert_is_visible(const struct world *w, const struct alert *a);
/** Is its evidence there, after the reads so far? */
bool alert_has_evidence(const struct alert *a);
/** Adds an element to a JSON array value (comments). */
void entity_append_json(struct entity *en, int field, const char *element);

struct client *world_client(const struct world *w, const char *id);
enum err_code world_put_client(struct world *w, const struct json *object, struct client **ret,
                               struct err *e);

/* ---- actions ---------------------------------------------------------------------------------- */

struct action *world_action(const struct world *w, const char *id);
/** Lets everything happen that should have by now. */
void world_settle(struct world *w);
void machine_settle(struct world *w, struct machine *m);
/** The newest open action of a type, or NULL. */
struct action *machine_open_action(struct machine *m, const char *type);
/** A new Pending action with every field of section 4.2. requestor, comment: copied; scope may be NULL. */
struct action *world_act(struct world *w, struct machine *m, const char *type,
                         const char *requestor, const char *comment, const char *scope);
/** Cancels an open action (section 4.7 rule 3). */
void world_cancel(struct world *w, struct action *a, const char *requestor, const char *comment);
/** Plants or changes an action for POST /sim/actions. */
enum err_code world_put_action(struct world *w, const struct json *object, struct action **ret,
                               struct err *e);
bool action_is_open(const struct action *a);

#endif
