/* handshake.c - see handshake.h. */
#include "handshake.h"

#include <string.h>
#include <strings.h>

#include "arena.h"
#include "intake.h"

#define ORIGIN_MAX 253 /* a DNS name: RFC 1035 section 2.3.4 */

/* Is the media type, whatever its parameters, this one? */
static bool type_is(const char *type, const char *name)
{
    size_t len = strlen(name);

    return type && strncasecmp(type, name, len) == 0 && (!type[len] || strchr("; \t", type[len]));
}

/* A DNS name (http-webhook.md of CloudEvents, section 4.1.1), perhaps with a port. */
static bool is_origin(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:");

    return n > 0 && n <= ORIGIN_MAX && !text[n];
}

/* Opaque, but a line of plain text: no controls, nothing that could begin markup. */
static bool is_token(const char *text)
{
    size_t n = 0;

    for (; text[n]; n++)
        if (n >= HANDSHAKE_TOKEN_MAX || text[n] < ' ' || text[n] > '~' || text[n] == '<' ||
            text[n] == '>')
            return false;
    return n > 0;
}

static bool has_parameter(const char *query, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = query; p; p = strchr(p, '&')) {
        p += *p == '&';
        if (strncmp(p, name, len) == 0 && (p[len] == '=' || p[len] == '&' || !p[len]))
            return true;
    }
    return false;
}

enum handshake handshake_of(struct http_request *r, const char **ret_said)
{
    unsigned count = 0;

    *ret_said = NULL;
    if (strcmp(http_method(r), "OPTIONS") == 0) {
        const char *origin = http_header(r, "WebHook-Request-Origin", &count);

        if (!count)
            return HANDSHAKE_NONE;
        if (count == 1 && is_origin(origin))
            *ret_said = arena_str(http_arena(r), origin);
        return HANDSHAKE_CLOUDEVENTS;
    }
    /* A delivery is JSON, so that none is taken for a handshake whatever stands in its URL. */
    if (strcmp(http_method(r), "POST") == 0 && has_parameter(http_query(r), "validationToken") &&
        type_is(http_header(r, "Content-Type", &count), "text/plain") && count == 1) {
        const char *token = http_query_param(r, "validationToken");

        if (token && is_token(token))
            *ret_said = token;
        return HANDSHAKE_GRAPH;
    }
    return HANDSHAKE_NONE;
}

void handshake_answer(struct http_request *r, enum handshake kind, const char *said)
{
    /* The rate is not bounded here: whoever sends too much is told so with 429. */
    const struct http_answer cloudevents = {.status = 200,
                                            .headers = {{"Allow", "POST"},
                                                        {"WebHook-Allowed-Origin", said},
                                                        {"WebHook-Allowed-Rate", "*"},
                                                        {"Cache-Control", "no-store"}}};
    const struct http_answer graph = {
        .status = 200,
        .content_type = "text/plain; charset=utf-8",
        .body = said,
        .body_len = strlen(said),
        .headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}}};

    http_reply(r, kind == HANDSHAKE_GRAPH ? &graph : &cloudevents);
}

void handshake_answer_event_grid(struct http_request *r, const char *code)
{
    char text[64 + INTAKE_CODE_MAX];
    struct http_answer reply = {.status = 200,
                                .content_type = "application/json",
                                .body = text,
                                .headers = {{"Cache-Control", "no-store"}}};
    char *end = stpcpy(text, "{\"validationResponse\":\"");

    end = stpcpy(end, code);
    end = stpcpy(end, "\"}");
    reply.body_len = (size_t)(end - text);
    http_reply(r, &reply);
}
