/* admin.h - the people's side: health, metrics and the API, on its own address.
 *
 * Everything but /healthz and /readyz needs `Authorization: Bearer <admin token>` where one is configured
 * (contract.md section 4: for anything but loopback and unix sockets it must be).
 */
#ifndef CORDON_ADMIN_H
#define CORDON_ADMIN_H

#include "engine.h"
#include "http.h"

struct admin;

struct admin_options {
    struct engine *engine;             /* borrowed, like all of these */
    const struct http_server *senders; /* for its counts; NULL: not listening yet */
    const char *version;               /* of the program */
    int64_t started_ms;                /* wall clock of the start */
};

/** With the threads that read the store for its answers; o is copied. ERR_NOMEM; ERR_IO without randomness. */
enum err_code admin_new(const struct admin_options *o, struct admin **ret, struct err *e);
/** After its http_server, and before senders and the engine's workers end: waits for the request under way. */
void admin_free(struct admin *a);
AUTO_FREEP(struct admin, admin)
/** From now on /readyz answers 503 "stopping". Any thread. */
void admin_stopping(struct admin *a);
/** What http_options wants: ctx is the struct admin. */
struct http_handler admin_handler(void);

#endif
