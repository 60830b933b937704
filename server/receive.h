/* receive.h - the senders' side: POST /hooks/<source>, verified, read, stored, and only then answered.
 *
 * Knows the store, not the engine: right of the durable line it only calls `kick`. Holds no credential
 * for Defender. The answers are those of contract.md section 5.
 */
#ifndef CORDON_RECEIVE_H
#define CORDON_RECEIVE_H

#include "config.h"
#include "http.h"
#include "metrics.h"
#include "store.h"
#include "store_work.h"

struct receiver;

struct receiver_options {
    struct store *store; /* borrowed, like rest, clock and metrics */
    struct rest *rest;   /* for keys of callers' tokens */
    const struct clock *clock;
    struct metrics *metrics; /* may be NULL */
    struct config *config;   /* receiver_new takes a reference of its own */
    struct status *status;   /* makes the links of `reply: status`; NULL: there are none */
    /* The seam to the engine; any thread, quick. kick: cases were stored. reserve: is a worker idle? then
     * hand_over gives it the claim of a stored case, or NULL when there was none. All may be NULL. */
    void (*kick)(void *engine);
    bool (*reserve)(void *engine);
    void (*hand_over)(void *engine, const struct work *w);
    /* Is this host's clock off so far that a good sender's time may look wrong by it, as any tenant's Defender has said, or has none
     * said anything yet? Any thread, quick. May be NULL. */
    bool (*clock_is_off)(void *engine);
    /* People should hear of a flood; may block. False: it could not be told. May be NULL. */
    bool (*flooded)(void *engine, const struct gate_flood *f);
    void *engine;
};

enum err_code receiver_new(const struct receiver_options *o, struct receiver **ret, struct err *e);
/** After http_server_free, and before the store and the engine end: waits for deliveries that the server has given
 *  up and the store has not. NULL is fine. */
void receiver_free(struct receiver *r);
AUTO_FREEP(struct receiver, receiver)
/** Another configuration from now on (a reference is taken); requests under way end with theirs. */
void receiver_use(struct receiver *r, struct config *config);
/** From now on every request is answered 503 with Retry-After. Any thread. */
void receiver_stopping(struct receiver *r);
/** What http_options wants: ctx is the struct receiver. */
struct http_handler receiver_handler(void);

#endif
