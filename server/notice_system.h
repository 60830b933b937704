/* notice_system.h - telling people about cordon itself: a source that went quiet, a flood, a way out that fails.
 *
 * A notice about no case. What it is about is named by a word or two ("source:flow", "senders"); its
 * subject begins with [CORDON], which no notice of a case does, and it goes to mail.to. It is stored and sent as
 * any other notice is: once put, it survives a crash and a mail server that is down.
 */
#ifndef CORDON_NOTICE_SYSTEM_H
#define CORDON_NOTICE_SYSTEM_H

#include "engine.h"

struct notice_system_fact {
    const char *name, *value; /* value: defanged and escaped here, so it may be a stranger's */
};

struct notice_system {
    const char *about;    /* "source:flow"; ids with a narrow alphabet, ours */
    const char *kind;     /* "source_quiet": for the record, the log and X-Cordon-State */
    const char *subject;  /* follows [CORDON]; one line, ours or cleaned when the mail is built */
    const char *headline; /* of the mail; ours, without anybody's text */
    const char *body;     /* what happened and what to do about it; plain text, ours */
    bool good;            /* all is well again: no red headline */
    bool follows;         /* a reply to the last notice about the same: "it is back" */
    /* ms: not put when one of this kind about the same is as young; 0: always */
    int64_t not_within;
    const struct notice_system_fact *facts; /* rows below the body; may be NULL */
    size_t n_facts;
    const char *const *to; /* whom, where there is no mail.to; n_to 0: then nobody */
    size_t n_to;
    bool posted; /* to every webhook, though people can be mailed: it is their mail that fails */
    /* It is logged when it is on disk, by notice_system_log; else as it is put. */
    bool logged_after;
};

/**
 * Inside a transaction: composes the notice and stores it with its work. Put it into the transaction that writes
 * why people need not be told again. Without mail configured or anybody to write to it is posted to every webhook;
 * where there is none it logs so and returns ERR_OK. Kick the engine after the commit.
 */
enum err_code notice_system_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *arena, const struct notice_system *n, int64_t now,
                                struct err *e);

/** Inside a transaction: the same of something that fails, or is well again (n->good): of that people hear only if they were
 *  told that it fails, by a notice of the kind `fails`, and of nothing since. */
enum err_code notice_system_turn(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                 struct arena *arena, const struct notice_system *n,
                                 const char *fails, int64_t now, struct err *e);

/** The line in the log: what happened. */
void notice_system_log(const struct notice_system *n);

/** The same as a transaction of its own, and the kick: for who has nothing else to write; `not_within` keeps
 *  it to once then. Waits for the disk: any thread that may, so none of HTTP's. */
enum err_code notice_system_tell(struct engine *g, const struct notice_system *n, struct err *e);

#endif
