/* capability.h - links that are a permission by themselves: whoever holds one may do the one thing it is for.
 *
 * `/status/<capability>` lets a flow read the outcome of its delivery. Nothing is stored for one: it is the id of
 * what it is about, the time until when it is good, and a MAC over both, made with a key that the server keeps in
 * its store; so it costs no write where it is made, survives a restart and is good at every replica.
 *
 *     base64url( version | id, 8 bytes | expiry, 5 bytes, Unix seconds | HMAC-SHA-256, its first 16 bytes )
 *
 * 40 characters without a bit to spare, so that each has one spelling. 128 bits of the MAC are what nobody
 * guesses (webhook-sources.md section 1.5). The purpose is signed with it and not in it: a link made for
 * one thing is no link for another. A capability is a secret: it is not to be logged.
 */
#ifndef CORDON_CAPABILITY_H
#define CORDON_CAPABILITY_H

#include <stdint.h>

#include "auto.h"
#include "err.h"

#define CAPABILITY_KEY_SIZE  32
#define CAPABILITY_TEXT_SIZE 41 /* 40 characters and the NUL */

/* What a capability is for; the words that are signed are in capability.c. */
enum capability_purpose {
    CAPABILITY_STATUS,  /* reads the outcome of a delivery; the id is the delivery's */
    CAPABILITY_APPROVE, /* answers a question; the id is the invitation's, so it says who */
    CAPABILITY_PURPOSES
};

struct capabilities;

/** key: copied. ERR_NOMEM. */
enum err_code capabilities_new(const unsigned char key[CAPABILITY_KEY_SIZE],
                               struct capabilities **ret, struct err *e);
/** Wipes the key. NULL is fine. */
void capabilities_free(struct capabilities *c);
AUTO_FREEP(struct capabilities, capabilities)

/** Makes one that is good until expires_ms (wall clock, whole seconds: the rest is cut off). Any thread. */
enum err_code capability_make(struct capabilities *c, enum capability_purpose purpose, int64_t id,
                              int64_t expires_ms, char out[CAPABILITY_TEXT_SIZE], struct err *e);

/**
 * Reads one. ERR_NOT_FOUND for what is malformed, forged, made for something else or expired, and never says
 * which; ERR_NOMEM. ret_expires_ms may be NULL. Any thread.
 */
enum err_code capability_check(struct capabilities *c, enum capability_purpose purpose,
                               const char *text, int64_t now_ms, int64_t *ret_id,
                               int64_t *ret_expires_ms, struct err *e);

#endif
