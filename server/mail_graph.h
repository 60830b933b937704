/* mail_graph.h - hands one message to Microsoft Graph's sendMail, as the MIME that it is.
 *
 * Graph takes whom it goes to from the message itself, so that where somebody has it already the To header
 * is written anew. 202 means accepted, and says nothing of single recipients: where one of several is bad, each
 * gets a call of his own. There is no key that makes a repeat harmless: what may have left is MAIL_RETRY and
 * maybe_sent, and its Message-ID lets mail programs fold the two.
 *
 * Spec: defender-api.md section 9.1.
 */
#ifndef CORDON_MAIL_GRAPH_H
#define CORDON_MAIL_GRAPH_H

#include <stddef.h>

#include "mail.h"
#include "token.h"

/* The application permission that sendMail needs. */
#define MAIL_GRAPH_ROLE "Mail.Send"

struct mail_graph { /* all borrowed for the call */
    struct rest *rest;
    struct token *token;
    const char *base_url; /* "https://graph.microsoft.com" */
    const char *mailbox;  /* id or address: whose message it is */
    int64_t timeout_ms;   /* of all calls together; 0: MAIL_TIMEOUT_MS */
};

/**
 * to, message, results: as in mail_send; the addresses are good ones.
 *
 * Returns   ERR_OK: each recipient's fate stands in results. Otherwise nobody was reached, each is MAIL_RETRY and
 *           e says why: ERR_THROTTLED and ERR_AGAIN (e->retry_ms: before that no call makes sense); ERR_DENIED,
 *           ERR_FORBIDDEN, ERR_NOT_FOUND, ERR_REFUSED: a person must act, e says how; what token_get returned;
 *           ERR_TIMEOUT; ERR_NOMEM. ERR_TOO_BIG: the message is too long, each is MAIL_REFUSED, and Graph was not asked.
 * Threads   any.
 */
enum err_code mail_graph_send(const struct mail_graph *g, const char *const *to, size_t n,
                              const char *message, size_t len, struct mail_result *results,
                              struct err *e);

#endif
