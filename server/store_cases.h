/* store_cases.h - cases and their steps: all that is known and done about one alert of one tenant. */
#ifndef CORDON_STORE_CASES_H
#define CORDON_STORE_CASES_H

#include "store.h"
#include "verdict.h"

/*  RECEIVED --read failed, tried again--> EXPANDING
 *     |  \______________________________________|
 *     |                  | facts, verdict
 *     |                  v
 *     |               ACTING --steps run, isolation not over--> WAITING --> DONE
 *     |                  | \--steps run, nothing open--------------------->  ^
 *     +------------------+--> FAILED   for good, or out of time: a person was told
 *  A case whose step asks a person is WAITING, too. After a no it is ACTING again; after a yes it is DECIDING: its
 *  facts are read again before anything is done, its steps and what is done of them stay. So it is, too, when
 *  its isolation is over and a step waited for that.
 *  ACTING, WAITING for a person, and DONE become RECEIVED once, when a stronger source pushes (case_strengthen).
 *  DROPPED is a person's word (after DONE while an absent machine is looked out for, which would begin it anew), and so
 *  is EXPANDING after DONE or FAILED: tried again (desk.h).                                        */
enum case_state {
    CASE_RECEIVED,
    CASE_EXPANDING,
    CASE_DECIDING,
    CASE_ACTING,
    CASE_WAITING,
    CASE_DONE,
    CASE_FAILED,
    CASE_DROPPED,
    CASE_STATES
};

/** "received" …; static storage. */
const char *case_state_name(enum case_state state);
/** The state of that name, or CASE_STATES. */
enum case_state case_state_parse(const char *name);

/* A row; every text lives in the arena it was loaded into, NULL where the column is. */
struct case_record {
    int64_t id, delivery, isolation; /* 0: none */
    const char *tenant, *alert_id, *source, *pushed_machine_id;
    const char *machine_id; /* the alert's own, once read */
    enum case_state state;
    const char *rule, *why, *facts, *verdict; /* facts and verdict: JSON as stored */
    /* Of case_second; NULL: none, or not read. */
    const char *second, *second_machine_id;
    int64_t second_delivery;
    bool weak; /* the next one that may isolate is heard (case_strengthen); false: not read, too */
    const char *told;         /* kind of the last notice about it; NULL: none */
    int64_t created, updated; /* wall ms */
};

/* SKIPPED: its `if` did not hold, or a step before it stopped the rest. */
enum step_state { STEP_WAITING, STEP_DONE, STEP_WITHHELD, STEP_FAILED, STEP_SKIPPED, STEP_STATES };
/** "waiting" …; static storage. */
const char *step_state_name(enum step_state state);

struct step_record {
    int64_t n; /* from 0 */
    const char *handler, *args, *why;
    enum step_state state;
    int64_t updated;
};

struct case_filter {
    const char *state, *tenant; /* NULL: any */
    const char *alert_id;       /* NULL: of any; else nothing but limit counts besides */
    bool not_isolated;          /* people were told so last; nothing but since and limit counts */
    int64_t
        since; /* created at or after, wall ms; with not_isolated: updated, as they are sorted by then */
    int64_t before_id;      /* cursor: only ids below; 0: from the newest */
    const char *machine_id; /* those of it, and unread ones pushed with it; needs tenant */
    int64_t isolation;      /* those that share this one, oldest first; 0: any, newest first */
    int64_t after_id;       /* with isolation: only ids above */
    size_t limit;
};

/** One case; ERR_NOT_FOUND. */
enum err_code store_case_load(struct store *s, struct arena *a, int64_t id, struct case_record *ret,
                              struct err *e);
/** Its steps in order. */
enum err_code store_case_steps(struct store *s, struct arena *a, int64_t id,
                               struct step_record **ret, size_t *ret_count, struct err *e);
/** Newest first, without facts, verdict and what is of case_second (those are NULL). */
enum err_code store_case_list(struct store *s, struct arena *a, const struct case_filter *f,
                              struct case_record **ret, size_t *ret_count, struct err *e);
/** How many share an isolation. */
enum err_code store_case_count_shared(struct store *s, int64_t isolation, int64_t *ret,
                                      struct err *e);
/** Cases by state (for the metrics). */
enum err_code store_case_count(struct store *s, int64_t ret[CASE_STATES], struct err *e);

typedef bool (*case_source_fn)(void *ctx, const char *source);
/* Which cases store_case_waiting counts. */
struct case_waiting {
    const char *tenant;
    int64_t until;         /* to be read by then, wall ms */
    case_source_fn counts; /* of those sources for which this says so */
    void *ctx;
    /* Not those that a person has let past since then, by another policy than this: they wait for that. */
    const char *policy;
    int64_t since;
};
/** Cases of a tenant that are to be read, and that nobody has in hand. */
enum err_code store_case_waiting(struct store *s, const struct case_waiting *which, int64_t *ret,
                                 struct err *e);
/** Puts off to due (wall ms) what of a tenant's waits to be read and would be due before, unless it has waited since before
 *  `since` or is claimed. One transaction. */
enum err_code store_case_wait(struct store *s, const char *tenant, int64_t due, int64_t since,
                              struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** ERR_NOT_FOUND. */
enum err_code case_load(struct db_tx *tx, struct arena *a, int64_t id, struct case_record *ret,
                        struct err *e);
/** The same without facts, verdict and second: the first two may be large. */
enum err_code case_load_row(struct db_tx *tx, struct arena *a, int64_t id, struct case_record *ret,
                            struct err *e);
/** In order. */
enum err_code case_steps(struct db_tx *tx, struct arena *a, int64_t id, struct step_record **ret,
                         size_t *ret_count, struct err *e);
/** The steps of a kind of the cases that share an isolation and were not dropped, and of the case it stands for (case_id). */
enum err_code case_shared_steps(struct db_tx *tx, struct arena *a, int64_t isolation,
                                int64_t case_id, const char *handler, struct step_record **ret,
                                size_t *ret_count, struct err *e);
/** As store_case_list. */
enum err_code case_list(struct db_tx *tx, struct arena *a, const struct case_filter *f,
                        struct case_record **ret, size_t *ret_count, struct err *e);
typedef enum err_code (*case_visit_fn)(struct db_tx *tx, void *arg, struct case_record *c,
                                       bool *ret_done, struct err *e);
/**
 * Visits the cases that share an isolation, oldest first: those in this state (CASE_STATES: in any) with ids above after_id,
 * until one says that it is *ret_done. A visit may move its case into another state: none is left out, none met twice.
 */
enum err_code case_each(struct db_tx *tx, struct arena *a, int64_t isolation, enum case_state state,
                        int64_t after_id, case_visit_fn fn, void *arg, struct err *e);
/** Every move goes through here: checked against the diagram (a broken promise is an assert). why: may
 *  be NULL. ERR_STALE when the row is not in c's state any more: c was read before another's commit, or
 *  before one of ours that ended in an error and came to light all the same. */
enum err_code case_move(struct db_tx *tx, struct case_record *c, enum case_state to,
                        const char *why, int64_t now, struct err *e);
/** A verdict's step as it is written first: waiting, or withheld. Borrows s's texts. */
struct step_record case_step_of(const struct verdict_step *s, int64_t n, int64_t now);
/** Facts and verdict are there: writes them with the steps and moves the case to ACTING. ERR_STALE, too, when a sender has
 *  named a machine since c was read (case_name_machine) that is not the alert's: the verdict does not know of it. */
enum err_code case_judged(struct db_tx *tx, struct case_record *c, const char *machine_id,
                          const char *facts_json, const struct verdict *v, int64_t now,
                          struct err *e);
/** The same for a case that is DECIDING: its steps (but step_renew) and its machine stay what they are. */
enum err_code case_rejudged(struct db_tx *tx, struct case_record *c, const char *facts_json,
                            const struct verdict *v, int64_t now, struct err *e);
/** Forgets the steps, the isolation and who was told what, before a case is judged once more. */
enum err_code case_reset(struct db_tx *tx, struct case_record *c, struct err *e);
/**
 * A source that may isolate pushes a case that so far only sources pushed that may not: the case is its
 * case from now on, with its delivery and its word for the machine, and is judged anew unless a person dropped
 * it, it failed for good, or its verdict withheld nothing. So nobody who may only notify can keep a machine from
 * being isolated by pushing first. What is under way about it loses its claim.
 * *ret_changed: it will be judged, with this source's right. Once per case: it is strong after that.
 */
enum err_code case_strengthen(struct db_tx *tx, int64_t id, const char *source, int64_t delivery,
                              const char *machine_id, int64_t now, bool *ret_changed,
                              struct err *e);
/* In the reason of a case that failed because Defender went on answering that there is no such alert. */
#define CASE_UNKNOWN_ALERT "Defender does not know it"
/* The same of one that had begun anew. */
#define CASE_STILL_UNKNOWN "Defender still knows nothing of it"
/** Defender lists the alert of a case that has failed for that, less than a week ago: it is read after all, but once, as it may go on
 *  answering so. *ret_changed: it will be. */
enum err_code case_found(struct db_tx *tx, int64_t id, int64_t now, bool *ret_changed,
                         struct err *e);
/** Another source that may isolate pushes a case for which nothing was asked yet and whose first source may, too: should that
 *  have lost its right by the time that it is judged, this one's counts (case_stand_in); where it has by the time of the
 *  request, it is judged anew as this one's (case_strengthen). The last one that a sender's delivery (else 0) comes from is
 *  kept, but of the machine the first word of them all, as case_name_machine has it: one that names another machine is not
 *  kept, as nobody is to isolate against his own word. machine_id: NULL: it names none. */
enum err_code case_second(struct db_tx *tx, int64_t id, const char *source, int64_t delivery,
                          const char *machine_id, struct err *e);
/** Not judged yet, or of an isolation that nothing was asked for yet, by grounds that are to be judged anew: c is from now on the case
 *  of c->second, with its delivery and its word for the machine. Nothing happens when it is judged and has no isolation, or another
 *  one has come in that place since c was read. Read c anew after it. */
enum err_code case_stand_in(struct db_tx *tx, const struct case_record *c, int64_t now,
                            struct err *e);
/** It was judged as of a source that may not isolate (any more), whatever that might when it pushed: the next one that may is
 *  heard (case_strengthen). ERR_STALE: one has come since c was read (case_second), and the verdict does not know of it. */
enum err_code case_weaken(struct db_tx *tx, const struct case_record *c, struct err *e);
/** It was judged as of a source that may isolate by now, whatever that might when it pushed, or a person has said no: what people
 *  say is not undone by the next push. */
enum err_code case_outgrow(struct db_tx *tx, int64_t id, struct err *e);
/** A sender that may isolate names the machine of a case for which no sender named one (what a poll or a hunt has found in Defender
 *  contradicts nothing): what it says is held against the alert as the first one's would be; where it is judged already, before
 *  anything is asked for (grounds.h). So it is kept whatever came of the case: one that is over may begin anew, and what was asked for
 *  may be asked for again. A case that nobody had delivered is delivered by that, so that the next one's word does not take the place
 *  of his. machine_id: NULL: it names none, and nothing happens. */
enum err_code case_name_machine(struct db_tx *tx, int64_t id, int64_t delivery,
                                const char *machine_id, struct err *e);
/* What is not asked for then is so because of that, for people. */
#define CASE_NAMED_MEANWHILE "a sender has named another machine meanwhile"
/** Did the sender name the same machine, or none, in both: in what was judged, and as the case is now? */
bool case_same_named(const char *judged, const struct case_record *now);
/** It shares this isolation from now on. */
enum err_code case_join(struct db_tx *tx, struct case_record *c, int64_t isolation, struct err *e);
/** People were told of it, last by a notice of this kind (borrowed, as c keeps it); NULL: of nothing. */
enum err_code case_told(struct db_tx *tx, struct case_record *c, const char *kind, struct err *e);
/** Other arguments for a step that waits. */
enum err_code step_renew(struct db_tx *tx, int64_t case_id, int64_t n, const char *args,
                         struct err *e);
/** From whatever state it is in. All but WAITING stands in the audit. why: may be NULL. */
enum err_code step_move(struct db_tx *tx, int64_t case_id, int64_t n, enum step_state to,
                        const char *why, int64_t now, struct err *e);

#endif
