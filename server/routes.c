/* routes.c - see routes.h. A path decides, the same in both calls of a request. */
#include "routes.h"

#include <string.h>

static const struct route *route_of(const struct routes *routes, const struct http_request *r)
{
    const struct route *route = routes->list;
    const char *path = http_path(r);

    while (strncmp(path, route->prefix, strlen(route->prefix)) != 0)
        route++;
    return route;
}

static enum http_next head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    const struct route *route = route_of(ctx, r);

    return route->handler.head(r, route->ctx, ret_body_max);
}

static void body(struct http_request *r, void *ctx)
{
    const struct route *route = route_of(ctx, r);

    route->handler.body(r, route->ctx);
}

static void refused(void *ctx, unsigned status, const char *peer, const char *why)
{
    const struct routes *routes = ctx;
    const struct route *last = &routes->list[routes->count - 1];

    if (last->handler.refused)
        last->handler.refused(last->ctx, status, peer, why);
}

struct http_handler routes_handler(void)
{
    return (struct http_handler){.head = head, .body = body, .refused = refused};
}

bool route_fits(const char *pattern, const char *path, char id[ROUTE_ID_SIZE])
{
    size_t len = strcspn(pattern, "*"), n;

    id[0] = '\0';
    if (strncmp(pattern, path, len) != 0)
        return false;
    if (!pattern[len])
        return !path[len];
    n = strcspn(path + len, "/");
    if (!n || n >= ROUTE_ID_SIZE || strcmp(pattern + len + 1, path + len + n) != 0)
        return false;
    memcpy(id, path + len, n);
    id[n] = '\0';
    return true;
}
