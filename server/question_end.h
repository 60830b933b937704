/* question_end.h - the end of a question, and the answers that lead to it (question_answer).
 *
 * Inner room of question.c, which knows when nobody has answered in time.
 */
#ifndef CORDON_QUESTION_END_H
#define CORDON_QUESTION_END_H

#include "question.h"

struct question_closing {
    struct engine *g;
    struct runtime *rt;
    struct arena *arena;
    int64_t now;
    struct invitation *told; /* who gets the one mail that tells of many; n_told 0: nobody */
    size_t n_told;
    int64_t case_id; /* that it is about, for the log; 0: many */
};

/** Inside a transaction: which case it is about, for question_log_end. Before question_close, which lets the case go. */
enum err_code question_find_case(struct db_tx *tx, struct question_closing *x,
                                 const struct question_record *q, struct err *e);
/** Inside a transaction: ends q and lets everything go on that waits for it. why: for people. */
enum err_code question_close(struct db_tx *tx, struct question_closing *x,
                             struct question_record *q, enum question_state to, const char *why,
                             struct err *e);
/** After it: log, metrics, and work begins. */
void question_log_end(const struct question_closing *x, const struct question_record *q);
/** Is its time over? By a clock that Defender has said to be ahead it is not by as much, unless people were asked by it as well. */
bool question_is_over(const struct question_record *q, const struct runtime *rt, int64_t now);
/** cordon was away until it was over, and has asked nobody yet. */
bool question_is_unasked(const struct question_record *q, int64_t now);

#endif
