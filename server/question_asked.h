/* question_asked.h - who is asked: the people of a question, and the mails to them while it is open.
 *
 * Inner room of question.c, which knows when, and of question_end.c.
 */
#ifndef CORDON_QUESTION_ASKED_H
#define CORDON_QUESTION_ASKED_H

#include "question.h"
#include "question_mail.h"

/** Inside a transaction: each of the n addresses has a link of his own to the question from now on. Without a mail server
 *  nobody gets his: once there is one, all are new. ERR_AGAIN, ERR_IO. */
enum err_code question_invite(struct db_tx *tx, struct engine *g, const struct runtime *rt,
                              int64_t question, const char *const *to, size_t n, struct err *e);
/** The people of terms, else mail.to; borrowed of whichever it is. */
void question_people(const struct policy_terms *terms, const struct runtime *rt,
                     const char *const **ret, size_t *ret_count);
/** Is it one of these addresses, in whichever letters? */
bool question_is_among(const char *const *list, size_t n, const char *address);
/** Inside a transaction: the terms of a question, by the policy that it was asked by, which is in force. Lists live in a. */
enum err_code question_terms(struct db_tx *tx, struct arena *a, const struct runtime *rt,
                             const struct question_record *q, struct policy_terms *ret,
                             struct err *e);

/* A mail to each of `to` about a question over one case. */
struct question_case_mail {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    const struct question_record *q;
    const struct case_record *c;
    const struct facts *facts; /* NULL: as they are stored */
    const char *action;
    const struct invitation *to;
    size_t n;
    bool besides; /* others have been asked before: it is no news of the case */
};

/** Inside a transaction: writes it as a notice with its work. now: wall ms. ERR_NOMEM, ERR_AGAIN, ERR_IO. */
enum err_code question_mail_case(struct db_tx *tx, const struct question_case_mail *m, int64_t now,
                                 struct err *e);
/** Inside a transaction: who is asked about a question over a single case and was not yet, as he came into mail.to since. */
enum err_code question_mail_newcomers(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                      struct arena *a, const struct question_record *q, int64_t now,
                                      struct err *e);
/** Inside a transaction: one mail to each who may answer a question over many, or was asked when it is over, if there is news
 *  for him; on record is how many cases there have been by then. */
enum err_code question_mail_many(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                 struct arena *a, const struct question_record *q, int64_t now,
                                 struct err *e);

#endif
