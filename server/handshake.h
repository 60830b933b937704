/* handshake.h - senders that ask before they send: may I? and how you answer them.
 *
 * CloudEvents asks with OPTIONS, Microsoft Graph with a parameter of the URL (webhook-sources.md sections 4.1
 * and 4.2). Event Grid's own schema asks with a body, which intake.c knows. None of them opens anything:
 * who asks has shown the source's credential as for a delivery, is given back what it said, checked for its
 * alphabet, and nothing is kept. URLs that a sender offers for confirmation are never fetched.
 */
#ifndef CORDON_HANDSHAKE_H
#define CORDON_HANDSHAKE_H

#include "http.h"

/* Graph's tokens have about 120 characters; more than this is none of its. */
#define HANDSHAKE_TOKEN_MAX 1024

enum handshake { HANDSHAKE_NONE, HANDSHAKE_CLOUDEVENTS, HANDSHAKE_GRAPH };

/** Does a request's head ask for one? *ret_said: what is to be given back (arena memory), NULL when that is
 *  nothing we would say: 400. */
enum handshake handshake_of(struct http_request *r, const char **ret_said);
/** Answers one whose sender has proven who it is; said: as above, not NULL. */
void handshake_answer(struct http_request *r, enum handshake kind, const char *said);
/** Answers Event Grid's validation event: 200 with its code, of letters, digits, `-` and `_`. */
void handshake_answer_event_grid(struct http_request *r, const char *code);

#endif
