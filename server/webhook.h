/* webhook.h - one post to a webhook: signed with Standard Webhooks, no redirect followed.
 *
 * What a receiver tells apart posts by is the id, the same in every repeat; the timestamp is that of the attempt.
 * Nothing that it says is final: a post that is not taken is tried for as long as a mail is, and the way that
 * fails is told of.
 *
 * Spec: webhook-sources.md section 5 (Standard Webhooks v1), defender-api.md section 9.4 (Teams).
 */
#ifndef CORDON_WEBHOOK_H
#define CORDON_WEBHOOK_H

#include "config_mail.h"
#include "mail.h"

struct rest;

/**
 * Posts len bytes of JSON.
 *
 * id        of the notice: becomes webhook-id.
 * now       wall ms: the timestamp, and which secrets are good.
 * result    MAIL_SENT; or MAIL_RETRY, with maybe_sent where the answer was lost.
 * Returns   ERR_OK: a 2xx; ERR_UNKNOWN: nobody knows. Otherwise it was not taken and e says why: ERR_THROTTLED and
 *           ERR_AGAIN (e->retry_ms: before that no call makes sense); ERR_DENIED, ERR_NOT_FOUND, ERR_REFUSED: a person
 *           must act; ERR_NOMEM. Never with the URL, which is a secret.
 * Threads   any.
 */
enum err_code webhook_post(struct rest *rest, const struct config_webhook *w, int64_t id,
                           const char *body, size_t len, int64_t now, struct mail_result *result,
                           struct err *e);

#endif
