/* api.h - cases and isolations as JSON: the shapes of contract.md section 6. Knows no HTTP. */
#ifndef CORDON_API_H
#define CORDON_API_H

#include "buf.h"
#include "json.h"
#include "store_actions.h"
#include "store_audit.h"
#include "store_cases.h"
#include "store_isolations.h"
#include "store_notices.h"
#include "store_questions.h"

#define API_LIMIT_DEFAULT  50
#define API_LIMIT_MAX      500
#define API_QUESTION_CASES 1000 /* of one question, by name, where nobody says how many */
#define API_MACHINES_NAMED 3    /* in words */

/** A list was read with one row more than limit: is it there? *n: how many of the rows are the page's. */
bool api_cut(size_t *n, size_t limit);
/** {"cases":[…],"next":"cursor, or null when there are no more"}. f->limit is 1 to API_LIMIT_MAX. */
enum err_code api_cases(struct store *s, const struct case_filter *f, struct buf *out,
                        struct err *e);
/** One case with its steps, verdict, facts, isolation, what people were asked and told, and all of that once more as a
 *  timeline. ERR_NOT_FOUND. */
enum err_code api_case(struct store *s, int64_t id, struct buf *out, struct err *e);

/**
 * The case that a word means: its id, or its alert's, which is what people read in the portal. ERR_NOT_FOUND; ERR_CONFLICT:
 * alerts of several tenants have this id, and e names their cases.
 */
enum err_code api_case_named(struct store *s, const char *word, int64_t *ret, struct err *e);

/* A question with whom it was sent to, and what was said to it. */
struct api_asked {
    const struct question_record *q;
    struct invitation *invited;
    struct answer_record *answers;
    size_t n_invited, n_answers;
};

/* What is known of one case. */
struct api_story {
    const struct case_record *c;
    const struct step_record *steps;
    const struct isolation_record *isolation; /* NULL: none */
    const struct api_asked *asked;
    const struct action_record *actions;
    const struct notice_record *notices;
    const struct audit_record *orders; /* of people */
    size_t n_steps, n_asked, n_actions, n_notices, n_orders;
};

/** "timeline":[{"at","what"}…], oldest first: sentences for people, which quote names and titles as they were sent. */
void api_timeline(struct json_out *o, struct arena *a, const struct api_story *s);

/** One isolation with the cases that it is for, oldest first: so many at most, with ids above after_id; "next" as api_cases.
 *  ERR_NOT_FOUND. */
enum err_code api_isolation(struct store *s, int64_t id, int64_t after_id, size_t limit,
                            struct buf *out, struct err *e);
/** {"isolations":[…],"next":…}. */
enum err_code api_isolations(struct store *s, const struct isolation_filter *f, struct buf *out,
                             struct err *e);

/** {"questions":[…],"next":…}; state QUESTION_STATES: any. */
enum err_code api_questions(struct store *s, enum question_state state, int64_t before_id,
                            size_t limit, struct buf *out, struct err *e);

/** One of them; its cases as those of api_isolation. ERR_NOT_FOUND. */
enum err_code api_question(struct store *s, int64_t id, int64_t after_id, size_t limit,
                           struct buf *out, struct err *e);
/** The machines of such a document for people, each once however many cases are of it: "ws-1, ws-2, ws-3 and 287 more". Lives
 *  in a; NULL: out of memory. */
const char *api_question_machines(const struct json *q, struct arena *a);

struct config;
struct metrics;
/** {"sources":[…],"next":null}: those of the configuration and each polled tenant, when they were last heard, and
 *  what became of their requests since this process started. m may be NULL. */
enum err_code api_sources(struct store *s, const struct config *c, struct metrics *m,
                          struct buf *out, struct err *e);
/** {"hunts":[…],"next":null}: those of the configuration, with what the store knows of their runs. */
enum err_code api_hunts(struct store *s, const struct config *c, struct buf *out, struct err *e);
/** One, with its query and what came of the last order. ERR_NOT_FOUND. */
enum err_code api_hunt(struct store *s, const struct config *c, const char *name, struct buf *out,
                       struct err *e);

#endif
