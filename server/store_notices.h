/* store_notices.h - messages to people: what was said about a case, to whom, and what became of it.
 *
 * The message is built once, when the notice is made, and kept as the bytes that are sent (but for From, when mail.from
 * is another by then): what people were told is on record, and a repeated attempt carries the same Message-ID. Notices
 * of one case form a thread; a later one waits (its work parked) until the one before it was tried, and each time that it
 * is to be tried itself those before it go first (store_notice_earlier).
 */
#ifndef CORDON_STORE_NOTICES_H
#define CORDON_STORE_NOTICES_H

#include "store.h"
#include "store_work.h"

/* GROUPED: the notice was told in a digest, which has recipients of its own. */
enum recipient_state {
    RECIPIENT_WAITING,
    RECIPIENT_SENT,
    RECIPIENT_REFUSED,
    RECIPIENT_GROUPED,
    RECIPIENT_STATES
};
const char *recipient_state_name(enum recipient_state state);

struct recipient_record {
    int64_t n;
    const char *address, *reply; /* reply: the server's last word; NULL: not tried */
    enum recipient_state state;
    int64_t code, updated; /* updated: wall ms, when it came to that state, or was last tried */
};

struct notice_record {
    int64_t id, case_id, after; /* after: the notice before it in its thread; 0: the first */
    const char *about; /* case_id 0: what of cordon's own it is about ("source:flow"); else NULL */
    /* "webhook:NAME": a post; "desk": to the helpdesk; NULL: a mail to those who judge the case */
    const char *channel;
    const char *thread; /* names the conversation: of an incident, or of a case; NULL: of neither */
    const char *kind, *subject, *sender, *message, *why;
    /* "waiting", "sent", "failed" (no recipient took it); "held" for a digest until it is "waiting" by itself or
     * "grouped": told in the notice `digest` */
    const char *state;
    int64_t burst, digest; /* store_bursts.h; 0: none */
    const char *said, *machine,
        *alert; /* for a digest: the state in its subject, "ws-114.corp.example",
                                            "High: title"; NULL: of no case */
    int64_t created, ended;
    struct recipient_record *recipients;
    size_t n_recipients;
};

/** With its message; ERR_NOT_FOUND. */
enum err_code store_notice_load(struct store *s, struct arena *a, int64_t id,
                                struct notice_record *ret, struct err *e);
/** The notices of a case in order, without their messages. */
enum err_code store_notice_list(struct store *s, struct arena *a, int64_t case_id,
                                struct notice_record **ret, size_t *ret_count, struct err *e);

/**
 * Mails made before n that say what n may make old news, and wait for one of those that n waits for: about the same case,
 * by itself or in a digest, about a question over many, or about the same thing of cordon's own. Not those that were tried after
 * `since`.
 */
enum err_code store_notice_earlier(struct store *s, struct arena *a, const struct notice_record *n,
                                   int64_t since, int64_t **ret, size_t *ret_count, struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

struct notice_thread {
    const char *name;     /* of the conversation */
    int64_t first, last;  /* mails of it, digests among them; 0: none yet */
    int64_t last_of_case; /* the last notice of the case, whatever became of it; 0: none */
};

/** The conversation that a case's mails are in: that of the first of them, else `name`. */
enum err_code notice_thread(struct db_tx *tx, struct arena *a, int64_t case_id, const char *name,
                            struct notice_thread *ret, struct err *e);
/* What a channel was told of a case. */
struct notice_spoken {
    int64_t first, last; /* notices; 0: none yet */
    const char *kind;    /* of the last; NULL: there is none */
    const char *said;    /* of the last, in its subject's brackets; NULL: not on record */
    /* the same of the last that was not about what became of another step */
    const char *kind_of_case, *said_of_case;
    bool failed, failed_of_case; /* … has reached nobody, and will not */
};

/** What was told of a case by a channel. */
enum err_code notice_channel(struct db_tx *tx, struct arena *a, int64_t case_id,
                             const char *channel, struct notice_spoken *ret, struct err *e);
struct notice_heard {
    const char *address, *kind, *said; /* said: as in struct notice_spoken */
    bool refused;                      /* it will never reach him */
};

/** Who heard what of a case by a channel, in the order of the notices. channel NULL: by mail. */
enum err_code notice_channel_heard(struct db_tx *tx, struct arena *a, int64_t case_id,
                                   const char *channel, struct notice_heard **ret,
                                   size_t *ret_count, struct err *e);
/** From whom a notice was, in the arena: part of its Message-ID. NULL: it is not known any more. */
enum err_code notice_sender(struct db_tx *tx, struct arena *a, int64_t id, const char **ret,
                            struct err *e);
/** Addresses of all who were written to by mail about a case so far. */
enum err_code notice_audience(struct db_tx *tx, struct arena *a, int64_t case_id, const char ***ret,
                              size_t *ret_count, struct err *e);
/** The channels that were told of a case so far. */
enum err_code notice_channels(struct db_tx *tx, struct arena *a, int64_t case_id, const char ***ret,
                              size_t *ret_count, struct err *e);
/** What was told in a digest: of each of its cases the newest of how it stands, and what came of its steps; what needs a person
 *  first; without their messages and recipients. */
enum err_code notice_digest(struct db_tx *tx, struct arena *a, int64_t digest,
                            struct notice_record **ret, size_t *ret_count, struct err *e);
/** Has the channel a notice that says this of a step of the case, made at `since` (wall ms) or later? *ret_failed: it has reached
 *  nobody, and will not. */
enum err_code notice_channel_step(struct db_tx *tx, int64_t case_id, const char *channel,
                                  const char *kind, const char *said, int64_t since, bool *ret,
                                  bool *ret_failed, struct err *e);
/** Has the case a notice, by whatever channel, made at `since` (wall ms) or later, whose subject begins so? */
enum err_code notice_was_said(struct db_tx *tx, int64_t case_id, const char *subject, int64_t since,
                              bool *ret, struct err *e);
/** Is a notice of this kind about what came of a step beside the isolation? It says nothing of how the case stands. */
bool notice_is_of_step(const char *kind);
/** Has anybody got a notice that is as new as n, about the same case or the same of cordon's own? but: not by this channel. Of what
 *  came of a step: the same of that. */
enum err_code notice_was_taken(struct db_tx *tx, const struct notice_record *n, const char *but,
                               bool *ret, struct err *e);
/** Was this, or with subject NULL anything, about something of cordon's own posted to a webhook, at that time (wall ms) or
 *  later? */
enum err_code notice_was_posted(struct db_tx *tx, const char *about, const char *subject,
                                int64_t since, bool *ret, struct err *e);
/** Has a mail about the case of n, or the same of cordon's own, that is as new as n or of its kind reached anybody, or may one
 *  yet? Of what came of a step: the same of that. */
enum err_code notice_may_be_mailed(struct db_tx *tx, const struct notice_record *n, bool *ret,
                                   struct err *e);
/** Is there a mail of the kind of n and about the same of cordon's own, as new as n, for this address, which has not refused it? */
enum err_code notice_is_for(struct db_tx *tx, const struct notice_record *n, const char *address,
                            bool *ret, struct err *e);
struct notice_joined {
    int64_t case_id;
    const char *address, *channel; /* NULL: mail */
};

/** Who was written to by mail about the cases of an isolation, and not about the case `but`: each address with the newest
 *  of those cases, by case. And whom a mail about such a case, or a digest that tells it, has not reached yet, or is held for:
 *  with that case. */
enum err_code notice_joined(struct db_tx *tx, struct arena *a, int64_t isolation, int64_t but,
                            struct notice_joined **ret, size_t *ret_count, struct err *e);
/** The same for channels, what still waits for one too: by case and channel, whom it was for. */
enum err_code notice_joined_channels(struct db_tx *tx, struct arena *a, int64_t isolation,
                                     int64_t but, struct notice_joined **ret, size_t *ret_count,
                                     struct err *e);
/** The last notice about something of cordon's own; kind NULL: of any kind. Both 0: there is none. */
enum err_code notice_last(struct db_tx *tx, const char *about, const char *kind, int64_t *ret_id,
                          int64_t *ret_created, struct err *e);
/** One notice as store_notice_load has it. */
enum err_code notice_load(struct db_tx *tx, struct arena *a, int64_t id, struct notice_record *ret,
                          struct err *e);
/** A held notice was told in the mail `digest`. */
enum err_code notice_grouped(struct db_tx *tx, int64_t id, int64_t case_id, int64_t digest,
                             int64_t now, struct err *e);
/** A held notice of this kind is sent as it is, after the one before it. */
enum err_code notice_unhold(struct db_tx *tx, int64_t id, const char *kind, int64_t after,
                            int64_t now, struct err *e);
/** A new notice with its recipients and, unless it is held by a burst, its work. */
enum err_code notice_insert(struct db_tx *tx, const struct notice_record *n, int64_t now,
                            struct err *e);
/** What one recipient's server said. */
enum err_code recipient_move(struct db_tx *tx, int64_t notice_id, int64_t n,
                             enum recipient_state to, int64_t code, const char *reply, int64_t now,
                             struct err *e);
/** One recipient more, the nth; for a notice that reached none of those it was made for. */
enum err_code recipient_add(struct db_tx *tx, int64_t notice_id, int64_t n, const char *address,
                            int64_t now, struct err *e);
/** The notice is over: state "sent" or "failed". */
enum err_code notice_end(struct db_tx *tx, int64_t id, const char *state, const char *why,
                         int64_t now, struct err *e);
/** One that waits to be tried again is due now; one that waits for the one before it stays parked. */
enum err_code notice_hurry(struct db_tx *tx, int64_t id, int64_t now, struct err *e);
/** A way out works again: notices that wait to be tried again are due now. */
enum err_code notices_hurry(struct db_tx *tx, int64_t now, struct err *e);
/** Lets the notices that wait for this one go: of its case, or a digest that follows it. */
enum err_code notice_release(struct db_tx *tx, int64_t id, int64_t now, struct err *e);

#endif
