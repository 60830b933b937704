/* receive_own.h - what the two rooms of the senders' side share, and nobody else sees: a request, the receiver.
 *
 *     receive.c      the way of a request: its head, who sends it, its body; the life of the receiver
 *     receive_end.c  how a request ends: refused, told to wait, greeted, or stored and then answered
 *
 * The second knows nothing of the first.
 */
#ifndef CORDON_RECEIVE_OWN_H
#define CORDON_RECEIVE_OWN_H

#include "receive.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "client.h"
#include "handshake.h"
#include "heard.h"
#include "refusals.h"
#include "store_accept.h"
#include "verify.h"

/* What a sender is told to wait when it is our fault: Logic Apps and Event Grid come back by themselves
 * (webhook-sources.md section 8.2). */
#define RECEIVE_RETRY_AFTER "10"

struct request {
    struct receiver *receiver;
    struct http_request *http;
    /* A reference, held while head() or body() runs and until the answer; not between the two, because
     * a peer may leave there. Whoever ends the request lets it go. */
    struct config *config;
    uint64_t generation;               /* of the configuration that source and who belong to */
    const unsigned char *certificates; /* of the connection: the slow lane may not ask for them */
    size_t certificates_len;
    const struct config_source *source;
    struct client client;
    bool proven; /* somebody has shown a good proof: what goes wrong from here on is no attack */
    struct verify_result who;
    enum handshake handshake;
    const char *said;     /* by the sender, for its handshake */
    const char *left_out; /* of its body, and why; NULL: nothing */
    struct notification n;
    struct acceptance acceptance;
};

struct lane;

struct receiver {
    struct receiver_options o;
    struct verify_env env;
    struct gate *gate;
    struct refusals *refusals;
    struct heard *heard;
    EVP_MD *sha256; /* fetched once: EVP_sha256() would be looked up for each body */
    atomic_bool stopping;
    atomic_uint storing;  /* deliveries that the store has, and one for the receiver itself */
    sem_t stored;         /* posted when the last one is told of and the receiver is being freed */
    pthread_mutex_t lock; /* of what follows */
    struct config *config;
    uint64_t generation; /* of config: counts receiver_use */
    struct lane *lanes;
};

/* ---- receive_end.c: q is gone afterwards, and so is its reference to the configuration ---------------- */

/** Ends a request with a problem. outcome: for the count; why: for the log alone; detail: for the sender. */
void receive_refuse(struct request *q, unsigned status, const char *outcome, const char *why,
                    const char *detail);
/** Ends one with 429: there will be a token in wait_ms. by_source: the rate is the source's. */
void receive_throttle(struct request *q, int64_t wait_ms, bool by_source);
/** Answers a sender that has proven who it is and asks whether it may send. */
void receive_greet(struct request *q);
/** Reads a verified body, stores what it holds, and answers when that is on disk. deferred: http_defer was called
 *  already. */
void receive_take(struct request *q, bool deferred);

/** The store has one delivery less. Nothing of the receiver may be touched afterwards. */
void receive_end_storing(struct receiver *r);

#endif
