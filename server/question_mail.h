/* question_mail.h - the mails of a question over many: which machines it holds back, and how to answer.
 *
 * Inner room of question.c, which knows whom to write to and when. When the answer is no, or nobody gives one, such a
 * mail is all that people hear of the cases: it names each of them, as far as there is room.
 */
#ifndef CORDON_QUESTION_MAIL_H
#define CORDON_QUESTION_MAIL_H

#include "engine.h"
#include "runtime.h"
#include "store_notices.h"
#include "store_questions.h"

/* What the notices of a question over many are about: this, and its id. */
#define QUESTION_ABOUT "question:"

/* How many a question over many is about, and those that its mails name. */
struct question_extent {
    int64_t cases, machines;
    int64_t isolated; /* of the machines: for something else, as far as cordon knows */
    struct question_case *list;
    bool *isolated_already; /* by their place in the list */
    size_t n;
};

/** Inside a transaction: into ret, whose lists live in a. ERR_NOMEM, ERR_AGAIN, ERR_IO. */
enum err_code question_extent_read(struct db_tx *tx, struct arena *a, int64_t question,
                                   struct question_extent *ret, struct err *e);

/** The link of the one who was so invited, good for QUESTION_SHOWN_MS after expires (wall ms). In a; NULL: there is no way to
 *  reach this server, or no key. */
const char *question_link(struct engine *g, const struct runtime *rt, struct arena *a,
                          int64_t invitation, int64_t expires);

/* One mail: of q as it stands, to who. */
struct question_mail {
    const struct question_record *q;
    const struct invitation *who;
    const struct question_extent *of;
};

/** Inside a transaction: writes it as a notice with its work. now: wall ms. ERR_NOMEM, ERR_AGAIN, ERR_IO. */
enum err_code question_mail_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *a, const struct question_mail *m, int64_t now,
                                struct err *e);

/** Inside a transaction: the same where nobody can be mailed, as a post to every webhook. It holds no link, for that is one
 *  person's; operators answer by command, and on the console. */
enum err_code question_post_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *a, const struct question_record *q,
                                const struct question_extent *of, int64_t now, struct err *e);

/** Inside a transaction: the same of the question that n was a mail of, which reached nobody; but where one was asked that is
 *  not open any more, for of its end there are mails. *ret_is: it is said so, or need not be. */
enum err_code question_post_instead(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                    struct arena *a, const struct notice_record *n, int64_t now,
                                    bool *ret_is, struct err *e);

/** Inside a transaction: has a mail of a question over many that held the case of n back, as new as n or of its kind, reached
 *  anybody, or may one yet? It names the case. Of n that asks: one as new as n. */
enum err_code question_may_be_mailed(struct db_tx *tx, struct arena *a,
                                     const struct notice_record *n, bool *ret, struct err *e);

#endif
