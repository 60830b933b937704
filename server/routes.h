/* routes.h - the senders' side is several rooms behind one address: which path is whose. */
#ifndef CORDON_ROUTES_H
#define CORDON_ROUTES_H

#include <stdbool.h>
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

#define ROUTE_ID_SIZE 132 /* longer than any id, an alert's too */

/** Does a path fit? One '*' of the pattern stands for an id, which id gets ("" without one). */
bool route_fits(const char *pattern, const char *path, char id[ROUTE_ID_SIZE]);

#endif
