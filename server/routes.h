/* routes.h - the senders' side is several rooms behind one address: which path is whose. */
#ifndef CORDON_ROUTES_H
#define CORDON_ROUTES_H

#include <stddef.h>

#include "http.h"

struct route {
    const char *prefix; /* "/status/"; "": everything else, and the last one must be it */
    struct http_handler handler;
    void *ctx;
};

struct routes {
    const struct route *list;
    size_t count;
};

/** What http_options wants: ctx is the struct routes. What the server refuses by itself is told to the last. */
struct http_handler routes_handler(void);

#endif
