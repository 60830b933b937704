/* keeper.h - which configuration is in force: a thread that reads it again when a person asks or a file changes, puts
 * it in force, and sees to what follows from it while the server runs.
 *
 * A faulty file changes nothing and says so. All of this may have to wait for the store, half a minute and longer when
 * that is out of reach: whoever waits for signals does it elsewhere.
 */
#ifndef CORDON_KEEPER_H
#define CORDON_KEEPER_H

#include "config.h"
#include "engine.h"
#include "http.h"
#include "receive.h"
#include "rest.h"
#include "status.h"
#include "store.h"
#include "upkeep.h"
#include "watch.h"

struct keeper;

/* What follows a configuration; borrowed until keeper_free, but for the first two. */
struct keeper_parts {
    struct config *config; /* in force; the keeper's from keeper_start on */
    struct watch *files;   /* what it was read from; likewise */
    struct store *store;
    struct rest *rest;
    struct engine *engine;
    struct status *status;
    struct upkeep *upkeep;
    struct receiver *receiver;
    struct http_server *senders;
};

/** Puts on record which configuration is in force, and begins. Of *parts nothing is taken over when it fails. */
enum err_code keeper_start(const struct keeper_parts *parts, struct keeper **ret, struct err *e);
/** A person asks for what the files say now. Any thread; never waits. */
void keeper_reload(struct keeper *k);
/** Waits for what it is at, which can be a store that does not answer. NULL is fine. */
void keeper_free(struct keeper *k);

/** What a configuration says of how much the store may hold. */
struct upkeep_limits keeper_limits(const struct config *c);
/** Keeps the configuration's rules on record: before it judges anything, as a verdict names them by their hash. Waits for the
 *  store, whose errors it returns. */
enum err_code keeper_keep_policy(struct store *store, const struct config *config, struct err *e);

#endif
