/* store_questions.h - what people are asked before something is done: questions, whose cases wait for them, whom
 * they were sent to, and who said what.
 *
 * A question stands over one case (its rule asks) or over many (a limit holds them back). The case waits with no
 * work of its own; the question's own work (WORK_QUESTION, its id) is due when nobody may answer any more. What was
 * asked and answered stays: `spent` marks a case that the question has no word on any more.
 */
#ifndef CORDON_STORE_QUESTIONS_H
#define CORDON_STORE_QUESTIONS_H

#include "store.h"

/* In the order of what a yes lifts: each may do what those before it may, but for the first two. */
enum question_kind {
    QUESTION_FAILURE, /* a step with `on_failure: ask` was not done: the steps behind it */
    QUESTION_STEP,    /* an `ask` of the verdict: the steps behind it */
    QUESTION_CANARY,  /* the first isolations of a policy */
    QUESTION_STORM,   /* one detector on many machines */
    QUESTION_LIMIT,   /* safety.limits */
    QUESTION_KINDS
};
const char *question_kind_name(enum question_kind kind);
/** Does it stand over one case only? */
bool question_is_of_one(enum question_kind kind);

/*  OPEN --enough say yes--> APPROVED     REFUSED: one said no     EXPIRED: not enough did in time
 *       \--> VOID: the policy is another one than people were asked by, or the case is over       */
enum question_state {
    QUESTION_OPEN,
    QUESTION_APPROVED,
    QUESTION_REFUSED,
    QUESTION_EXPIRED,
    QUESTION_VOID,
    QUESTION_STATES
};
const char *question_state_name(enum question_state state);
/** The state of that name, or QUESTION_STATES. */
enum question_state question_state_parse(const char *name);

struct question_record {
    int64_t id;
    enum question_kind kind;
    enum question_state state;
    const char *scope;  /* at most one open question has it */
    const char *what;   /* why people are asked, for people */
    const char *policy; /* hash: by another one the question is void */
    const char *why;    /* how it ended, for people; NULL: it did not */
    int64_t people;     /* how many must say yes */
    int64_t told;       /* how many it ever had when its last mail was made */
    int64_t created, expires, ended;
};

struct question_case {
    int64_t case_id, n; /* n: the step that waits, or that failed */
    const char *tenant, *alert_id, *machine_id,
        *machine_name;  /* may be NULL but for the first two */
    const char *action; /* "isolate full" */
};

struct answer_record {
    const char *person, *why, *way; /* way: "link", "operator" */
    bool yes;
    int64_t at;
};

/* Of a yes to go on after a step that was not done: which one, and the policy (hash) that it was given by. */
struct went_on {
    int64_t n;
    const char *policy;
    const struct went_on *next;
};

/* What a person has said yes to, of one case. */
struct approval {
    bool step;
    int64_t given;                                   /* when the last of them came; 0: none */
    const char *what, *policy, *machine_id, *action; /* of the newest yes to a step; NULL: none */
    const char *canary_policy, *limits_policy;       /* of the newest yes to each; NULL: none */
    const char *failure_policy; /* of the newest to go on after a step that failed; NULL: none */
    const struct went_on *before_isolate; /* all of these, after steps before its `isolate` */
    /* Of a case with a yes to a step: the arguments (JSON) of each `ask` of its, in their order. */
    const char **asks;
    size_t n_asks;
};

/** Newest first; state QUESTION_STATES: any. */
enum err_code store_question_list(struct store *s, struct arena *a, enum question_state state,
                                  int64_t before_id, size_t limit, struct question_record **ret,
                                  size_t *ret_count, struct err *e);
/** Those that this case waits or waited for, in the order they were asked. */
enum err_code store_question_of_case(struct store *s, struct arena *a, int64_t case_id,
                                     size_t limit, struct question_record **ret, size_t *ret_count,
                                     struct err *e);
enum err_code store_question_count(struct store *s, int64_t ret[QUESTION_STATES], struct err *e);
/** question_is_followed from outside of a transaction. */
enum err_code store_question_is_followed(struct store *s, int64_t id, bool *ret, struct err *e);
/** Has a person said, under this policy, that what stands behind step n, which failed, is to be done all the same? */
enum err_code store_question_goes_on(struct store *s, int64_t case_id, int64_t n,
                                     const char *policy, bool *ret, struct err *e);
enum err_code store_approval(struct store *s, struct arena *a, int64_t case_id,
                             struct approval *ret, struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** ERR_NOT_FOUND. */
enum err_code question_load(struct db_tx *tx, struct arena *a, int64_t id,
                            struct question_record *ret, struct err *e);
enum err_code question_find_open(struct db_tx *tx, struct arena *a, const char *scope,
                                 struct question_record *ret, bool *ret_found, struct err *e);
/** With its work, due at `due`. */
enum err_code question_insert(struct db_tx *tx, const struct question_record *q, int64_t due,
                              struct err *e);
/** When a case begins that waits until q, over many, is over, as there is no time to ask about it by q. */
int64_t question_next_at(const struct question_record *q);
/** Out of OPEN, once: ERR_STALE when it is not open any more. Its work ends, and who waits until it is over begins now.
 *  q: its id, kind and expires are read. */
enum err_code question_end(struct db_tx *tx, struct question_record *q, enum question_state to,
                           const char *why, int64_t now, struct err *e);
/** Writes q's created and expires. */
enum err_code question_date(struct db_tx *tx, const struct question_record *q, struct err *e);
enum err_code question_told(struct db_tx *tx, const struct question_record *q, int64_t told,
                            struct err *e);

/** Into ret: at most max ids of questions that hold, or held, the case back since it began, those over many. */
enum err_code question_over_many_of(struct db_tx *tx, int64_t case_id, int64_t *ret, size_t max,
                                    size_t *ret_count, struct err *e);
/** One more case waits for its answer. One that it knows already waits anew, by what c says of it now. */
enum err_code question_add_case(struct db_tx *tx, int64_t id, const struct question_case *c,
                                int64_t now, struct err *e);
/** Cases that wait for it, in their order, after a case's id. */
enum err_code question_cases(struct db_tx *tx, struct arena *a, int64_t id, int64_t after,
                             size_t limit, struct question_case **ret, size_t *ret_count,
                             struct err *e);
enum err_code question_count_cases(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e);
/** Does another `ask` of its case's verdict wait behind it, so that a yes to it is not enough? */
enum err_code question_is_followed(struct db_tx *tx, int64_t id, bool *ret, struct err *e);
/** Of how many machines they are; one that nobody knows counts by its alert. */
enum err_code question_count_machines(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e);
/** How many of them are isolated all the same, for something else. */
enum err_code question_count_isolated(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e);
/** Cases, and with them those that waited for it before and were let go: it only grows. */
enum err_code question_count_ever(struct db_tx *tx, int64_t id, int64_t *ret, struct err *e);
/** The open one that holds this case back. */
enum err_code question_find_holding(struct db_tx *tx, struct arena *a, int64_t case_id,
                                    struct question_record *ret, bool *ret_found, struct err *e);
/** Does one that is open hold this case back? */
enum err_code question_holds(struct db_tx *tx, int64_t case_id, bool *ret, struct err *e);
/** No question has a word on this case any more: it begins anew, or is let go. An open question that no other
 *  case waits for is void then. */
enum err_code question_forget_case(struct db_tx *tx, int64_t case_id, int64_t now, struct err *e);
enum err_code approval_load(struct db_tx *tx, struct arena *a, int64_t case_id,
                            struct approval *ret, struct err *e);

/** In place of what this person answered before, if he did. */
enum err_code answer_insert(struct db_tx *tx, int64_t id, const struct answer_record *r,
                            struct err *e);
/** In the order they came. */
enum err_code answer_list(struct db_tx *tx, struct arena *a, int64_t id, struct answer_record **ret,
                          size_t *ret_count, struct err *e);

/** Whom the question is sent to: the id is what his link stands for. */
enum err_code invitation_insert(struct db_tx *tx, int64_t id, int64_t question, const char *address,
                                struct err *e);
/** Of a question that nobody was sent yet: to whom it is to be sent is said anew. */
enum err_code invitation_forget(struct db_tx *tx, int64_t question, struct err *e);
/** ERR_NOT_FOUND. */
enum err_code invitation_load(struct db_tx *tx, struct arena *a, int64_t id, int64_t *ret_question,
                              const char **ret_address, struct err *e);
struct invitation {
    int64_t id;
    const char *address;
};
enum err_code invitation_list(struct db_tx *tx, struct arena *a, int64_t question,
                              struct invitation **ret, size_t *ret_count, struct err *e);

#endif
