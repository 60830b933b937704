/* way.h - one way out for mails: SMTP with a password or a token, Graph's sendMail, a webhook.
 *
 * Made from the configuration with the runtime, and used by any number of threads. What it holds besides
 * lives as long: the token of its login, and until when its far end wants to be left alone.
 */
#ifndef CORDON_WAY_H
#define CORDON_WAY_H

#include "config.h"
#include "mail.h"

struct way; /* opaque */

/** config: borrowed, outlives the way, as rest and clock do. ERR_NOMEM, ERR_INVALID. */
enum err_code way_new(const struct config_way *config, struct rest *rest, const struct clock *clock,
                      struct way **ret, struct err *e);
void way_free(struct way *w);
/** If w leads where `old` does, by the same login, it leaves that far end alone for as long as `old` would, and knows what it
 *  gave no answer to. Before w is shared. */
void way_inherit(struct way *w, struct way *old);
/** "mail", "mail:fallback-1", "webhook:soc"; lives as long as the way. */
const char *way_name(const struct way *w);
/** How people know it: its server, or "webhook NAME". Never a secret. */
const char *way_words(const struct way *w);
/** Is it SMTP, so that way_probe says whether it would work? Not where its server is let_in, which let us in and took
 *  nothing (way_record.let_in). */
bool way_can_be_probed(const struct way *w, const char *let_in);

struct way_mail { /* borrowed for the call */
    int64_t id;   /* of the notice */
    int64_t case_id;
    const char *kind, *subject;
    const char *from;
    const char *const *to;
    size_t n; /* 1 to MAIL_RECIPIENTS_MAX */
    const char *message;
    size_t len;
    bool is_post;       /* it is what a webhook gets, and no mail */
    bool nobody_else;   /* nobody got it by now, and there is nobody else to write to */
    int64_t answer_ms;  /* as in struct mail_server */
    const char *helper; /* as in struct mail_server */
};

/**
 * Sends m. Blocks, for MAIL_TIMEOUT_MS, m->answer_ms and a second at most.
 *
 * results   m->n elements, always filled.
 * Returns   as mail_send and mail_graph_send, but ERR_AGAIN where no recipient had an answer of his own: a server
 *           that takes no sender or no message works for nobody. While the far end wants to be left alone
 *           ERR_THROTTLED without a call, and e->retry_ms says for how long.
 * Threads   any.
 */
enum err_code way_send(struct way *w, const struct way_mail *m, struct mail_result *results,
                       struct err *e);

/** It has not taken notice id: notes that. True: it has taken others since it first did not, as far as is known since the way
 *  was made; so that says nothing of the way. Threads: any. */
bool way_takes_others(struct way *w, int64_t id);

/** Did this way, of SMTP, hear no answer when it sent notice id before, all of which had left? Then it may have arrived, and
 *  will once more. As far as is known since the way was made. Threads: any. */
bool way_was_unanswered(struct way *w, int64_t id);

/** Connects and logs in, and sends nothing: as mail_probe. For Graph: is there a token, and may it? For a
 *  webhook nothing is asked, because to ask is to post. helper: as in struct mail_server. */
enum err_code way_probe(struct way *w, const char *from, const char *helper, char ret_what[160],
                        struct err *e);

#endif
