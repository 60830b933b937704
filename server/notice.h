/* notice.h - telling people: composes a message about a case, stores it, sends it.
 *
 * The subject says the state and only the state, in brackets: what is known when the notice is made,
 * never more. [ISOLATED] is possible only with an isolation whose state is `isolated`.
 */
#ifndef CORDON_NOTICE_H
#define CORDON_NOTICE_H

#include "engine.h"
#include "facts.h"
#include "store_cases.h"
#include "store_isolations.h"
#include "store_notices.h"

enum notice_kind {
    NOTICE_ALERT,        /* [ALERT] */
    NOTICE_REQUESTED,    /* [REQUESTED] */
    NOTICE_ISOLATED,     /* [ISOLATED] */
    NOTICE_NOT_ISOLATED, /* [NOT ISOLATED: why] */
    NOTICE_QUESTION,     /* [QUESTION]: a person must decide; goes to those of notice.question */
    NOTICE_LATE,         /* [NOT ISOLATED: why], and not the last word: cordon tries on */
    NOTICE_LAPSING,  /* [NOT ISOLATED: why]: Defender is about to give up on an absent machine */
    NOTICE_REVIEW,   /* [ISOLATED] Review: is that still right? */
    NOTICE_OVERDUE,  /* the same, and nobody answered the one before */
    NOTICE_RELEASED, /* [RELEASED] */
    NOTICE_NOT_RELEASED,  /* [NOT RELEASED: why] */
    NOTICE_ACTION_DONE,   /* [DONE: what] */
    NOTICE_ACTION_FAILED, /* [NOT DONE: what and why] */
};

/** "alert", "requested", "isolated", "not_isolated", "late"; static storage. */
const char *notice_kind_name(enum notice_kind kind);

/** Is a notice of this kind the last that was made about c? */
bool notice_was_told(const struct case_record *c, enum notice_kind kind);
/** Is it that, or one that says the same of the machine: a review of an isolation, or a release that failed? */
bool notice_is_known(const struct case_record *c, enum notice_kind kind);

/** What a NOTICE_LATE says as its reason. why: borrowed; the text lives in a. */
const char *notice_not_yet(struct arena *a, const char *why);

struct notice_link {
    const char *address, *url; /* url NULL: there is none to give */
};

struct notice_question {
    int64_t id, expires, people;
    const char *action; /* "isolate full" */
    struct notice_link *links;
    size_t n_links;
};

struct notice {
    enum notice_kind kind;
    const char *why; /* for people, a few words; in the subject where it has room for it */
    const struct case_record *c;
    const struct facts *facts;                /* NULL: Defender could not be read */
    const struct isolation_record *isolation; /* NULL: none */
    /* without one, or where that came to nothing or is over: the machine's open one, whoever asked for it: the case itself,
     * too, where something else is told; notice_look_beside fills it in */
    const struct isolation_record *beside;
    const char *doubt;                      /* what could not be judged; NULL: nothing */
    const char *const *to;                  /* addresses */
    size_t n_to;                            /* 0: all who were told before, else mail.to */
    const struct notice_question *question; /* NOTICE_QUESTION: one message to each of its links */
    bool anew; /* RELEASED: it is isolated all the same, by somebody else or for another alert */
    const char *subject, *body; /* the rule's own words, or NULL; plain text, unescaped */
    const char *link;           /* to an investigation package, https; NULL: none */
    const char *webhook;        /* to this one, and no mail; NULL: mail */
    bool desk;                  /* to the users' helpdesk: nothing of the alert */
    bool to_come; /* NOTICE_ALERT: the rule asks for an isolation, and that step is not done yet */
    bool unknown; /* ACTION_FAILED: nobody knows whether it was done */
    int64_t
        since; /* ACTION_*, wall ms: what was told of it before is of another try; 0: not known */
    const char
        *said; /* ACTION_*: told in these words before, which are made of why but once; NULL: not */
    bool aside; /* says nothing of the isolation: what people know of that stays what it was */
    const char **
        ret_nobody; /* set to a sentence when there turns out to be nobody to tell, static or in the arena;
                                NULL: the log line is enough */
};

/**
 * Inside a transaction: composes the notice, stores it with its work and notes on the case what people
 * know now. Without mail configured or anybody to write to, and without a webhook that was told of the case, it logs so,
 * says it in n->ret_nobody and returns ERR_OK; people know then what they knew before. Kick the engine after the commit.
 */
enum err_code notice_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                         struct arena *arena, const struct notice *n, int64_t now, struct err *e);

/** Inside a transaction, before n is put into words: what the machine is by an isolation that n is not about. People are
 *  told all the same where the ledger cannot be read. */
void notice_look_beside(struct db_tx *tx, struct arena *arena, struct notice *n);

/** Inside a transaction: leaves those of n->to out who know it: their last mail about how the case's isolation stands said the
 *  same. May come to nobody. */
enum err_code notice_leave_out(struct db_tx *tx, struct arena *arena, struct notice *n,
                               struct err *e);

/* What a notice comes to in other words than a mail's. */
struct notice_gist {
    const char *subject, *headline, *next, *machine, *portal; /* machine, portal may be NULL */
    bool bad;                                                 /* a person should look */
};

/** Everything lives in arena. */
void notice_gist(const struct notice *n, const struct runtime *rt, struct arena *arena,
                 struct notice_gist *ret);
/**
 * Inside a transaction, which writes nothing: the notice as notice_put would make it now. ret: subject, kind, sender,
 * recipients and message, in arena. ERR_CONFLICT when there is nobody to write to.
 */
enum err_code notice_preview(struct db_tx *tx, struct engine *g, struct runtime *rt,
                             struct arena *arena, const struct notice *n, int64_t now,
                             struct notice_record *ret, struct err *e);

/** Sends a claimed notice to those who have not got it. Ends the claim. Threads: workers. */
void notice_run(struct engine *g, struct work *w);

#endif
