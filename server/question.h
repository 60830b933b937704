/* question.h - a person decides: he is asked, his answer is written, and what waited for it goes on.
 *
 * Two ways lead here. An `ask` of a verdict, or a step that failed with `on_failure: ask`, asks about one case; when
 * safety.limits, safety.storm or safety.canary hold isolations back, one question stands over all the cases that the
 * same one holds back while it is open, so that a storm costs people one decision. Each person who may answer gets a
 * mail with a link of his own (question_page.h); operators answer by command. One no ends a question; a yes counts as
 * many persons as the policy wants; when nobody answers nothing is done, and people are told again. A yes is to a
 * machine, an action, a reason and a policy: what is done about it is judged anew, and if anything of these has changed
 * it is void (grounds.h).
 */
#ifndef CORDON_QUESTION_H
#define CORDON_QUESTION_H

#include "act.h"
#include "store_questions.h"

/* The first mail about a question over many waits so long, so that it can name more than the first of them; the
 * next one comes when more have joined, and not sooner than this, or a quarter of the time that there is to answer; but the last
 * leaves as long to answer. */
#define QUESTION_GATHER_MS (5 * SECOND_MS)
#define QUESTION_AGAIN_MS  (15 * MINUTE_MS)

/* A link shows how it ended for so long after nobody may answer any more. */
#define QUESTION_SHOWN_MS (30 * DAY_MS)

#define QUESTION_PATH "/approve/"

/** For the handler `ask`: asks about s's case. reason: the verdict's, for people. Returns OUTCOME_WAITS, also where a reload
 *  came before anything was written and the case is to be judged anew; or with e OUTCOME_RETRY, and OUTCOME_REFUSED where the
 *  policy has changed since an earlier run has judged it, for the step's terms are of that one. */
enum outcome question_ask(struct step *s, const struct policy_terms *terms, const char *reason,
                          struct err *e);

/** Whom an `ask` names, into ret->approvers; they live in a. list: its argument `approvers`; NULL: nobody. */
enum err_code question_approvers(const struct json *list, struct arena *a, struct policy_terms *ret,
                                 struct err *e);

/** A step with `on_failure: ask` was not done: are the ones behind it to be done, s's the first of them? By the
 *  terms of safety.ask. Returns as question_ask. */
enum outcome question_ask_after(struct step *s, const struct step_record *failed, struct err *e);

/* What holds a case back, for question_hold. */
struct question_hold {
    enum question_kind kind; /* one over many */
    const char *scope;       /* the same for all that it holds back together */
    const char *what;        /* for people */
    const char *action;      /* "isolate full" */
};

/** Inside the transaction of s's run: the case waits for the question over what holds it back, which begins with
 *  the first; or for the next one, where nobody would hear of the case before that is over. Ends the claim: the step's outcome is OUTCOME_WAITS. rt: whose policy holds it back. */
enum err_code question_hold(struct db_tx *tx, struct step *s, struct runtime *rt,
                            const struct question_hold *h, int64_t now, struct err *e);

struct question_answer {
    int64_t question;
    /* A mail address whose link it was, or the name that he has proven; an operator's, or NULL when he does not say. A link of
     * somebody who is not among mail.to any more is good for nothing. */
    const char *person;
    const char *way; /* "link", "entra", "client_certificate", "operator" */
    const char *why; /* NULL: not said */
    bool yes;
};

/**
 * Writes an answer, and lets go on what waited for it when that decides.
 *
 * ret_state  what the question is then: still OPEN when another person must say yes, too.
 * Returns    ERR_CONFLICT with a sentence when it is answered already (by whom), or this person has answered, or
 *            its time is over, or the policy has changed; ERR_INVALID when several must say yes and he does not say who
 *            he is; ERR_NOT_FOUND; ERR_AGAIN, ERR_IO.
 * Threads    any that may wait for a commit.
 */
enum err_code question_answer(struct engine *g, const struct question_answer *a,
                              enum question_state *ret_state, struct err *e);

/** May these be two names of one person? The objects by which Entra proves people tell; an operator is known by his login
 *  alone, so "Ann" may be ann@x.example. */
bool question_is_same_person(const char *a, const char *b);

/** How a question that is over ended: "approved by a@b at …: the reason". In a. */
const char *question_outcome(const struct question_record *q, struct arena *a);

/** A claimed question is due: tells people of it, or its time is over. Ends the claim. Threads: workers. */
void question_run(struct engine *g, struct work *w);

#endif
