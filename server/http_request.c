/* http_request.c - what handlers see of a request. See http.h. */
#include "http_own.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"
#include "utf8.h"

const char *http_method(const struct http_request *r)
{
    return r->method;
}

const char *http_path(const struct http_request *r)
{
    return r->target;
}

const char *http_query(const struct http_request *r)
{
    return r->query;
}

const char *http_header(const struct http_request *r, const char *name, unsigned *ret_count)
{
    const size_t len = strlen(name);
    const char *value = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < r->header_count; i++) {
        const struct header *h = &r->headers[i];

        if (h->name_len == len && strncasecmp(h->name, name, len) == 0 && !count++)
            value = h->value;
    }
    if (ret_count)
        *ret_count = count;
    return value;
}

const char *http_header_at(const struct http_request *r, const char *name, unsigned n)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < r->header_count; i++) {
        const struct header *h = &r->headers[i];

        if (h->name_len == len && strncasecmp(h->name, name, len) == 0 && !n--)
            return h->value;
    }
    return NULL;
}

/* Decodes len bytes of application/x-www-form-urlencoded into out; false when they are malformed, or come to what is no
 * UTF-8: nobody who means well sends that, and not every store would keep it. */
static bool form_decode(const char *text, size_t len, char *out)
{
    const char *decoded = out;

    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (text[i] != '%') {
            *out++ = text[i] == '+' ? ' ' : text[i];
            continue;
        }
        if (i + 2 >= len || (high = text_hex_digit(text[i + 1])) < 0 ||
            (low = text_hex_digit(text[i + 2])) < 0 || !(high | low))
            return false;
        *out++ = (char)(high << 4 | low);
        i += 2;
    }
    *out = '\0';
    return utf8_is_whole(decoded);
}

/* One of the parameters in text. ret_bad: NULL is for one that is given twice or badly encoded, not absent. */
static const char *find_param(struct http_request *r, const char *params, const char *name,
                              bool *ret_bad)
{
    const char *found = NULL, *p = params;

    *ret_bad = true;
    while (*p) {
        size_t len = strcspn(p, "&"), key = strcspn(p, "=&");
        char *text = http_arena(r) ? arena_alloc(r->arena, len + 2) : NULL;
        bool last = !p[len];

        if (!text || !form_decode(p, key, text))
            return NULL;
        if (strcmp(text, name) == 0) {
            const char *value = p + key + (key < len);

            if (found || !form_decode(value, (size_t)(p + len - value), text))
                return NULL;
            found = text;
        }
        p += len + !last;
    }
    *ret_bad = false;
    return found;
}

const char *http_query_param(struct http_request *r, const char *name)
{
    bool bad;

    return find_param(r, r->query, name, &bad);
}

bool http_query_readable(struct http_request *r, const char *name)
{
    bool bad;

    (void)find_param(r, r->query, name, &bad);
    return !bad;
}

/* A field of the body, as find_param. */
static const char *find_field(struct http_request *r, const char *name, bool *ret_bad)
{
    size_t len;
    const char *body = http_body(r, &len);
    const char *text = http_arena(r) ? arena_strn(http_arena(r), body, len) : NULL;

    *ret_bad = true;
    return text && strlen(text) == len ? find_param(r, text, name, ret_bad) : NULL;
}

const char *http_form_param(struct http_request *r, const char *name)
{
    bool bad;

    return find_field(r, name, &bad);
}

bool http_form_readable(struct http_request *r, const char *name)
{
    bool bad;

    (void)find_field(r, name, &bad);
    return !bad;
}

const char *http_body(const struct http_request *r, size_t *ret_len)
{
    *ret_len = r->body_len;
    return r->body_len ? r->body : "";
}

const char *http_peer(const struct http_request *r)
{
    return r->peer->text;
}

const struct sockaddr *http_peer_sockaddr(const struct http_request *r)
{
    return (const struct sockaddr *)&r->peer->address;
}

int64_t http_received_ms(const struct http_request *r)
{
    return r->received_ms;
}

struct arena *http_arena(struct http_request *r)
{
    if (!r->arena)
        r->arena = arena_new(0);
    return r->arena;
}

bool http_keep_head(struct http_request *r)
{
    struct arena *a = http_arena(r);
    const char *method = a ? arena_str(a, r->method) : NULL;

    if (!method)
        return false;
    r->method = method;
    for (size_t i = 0; i < r->header_count; i++) {
        struct header *h = &r->headers[i];

        h->name = arena_strn(a, h->name, h->name_len);
        h->value = arena_str(a, h->value);
        if (!h->name || !h->value) {
            r->header_count = i; /* what is not kept is not there */
            return false;
        }
    }
    return true;
}

void http_set_data(struct http_request *r, void *data)
{
    r->data = data;
}

void *http_data(const struct http_request *r)
{
    return r->data;
}

/* Keeps what the peer showed. False when out of memory. */
static bool take_certificates(struct peer *p)
{
    gnutls_session_t session = http_tls_session(p->conn);
    unsigned count = 0;
    const gnutls_datum_t *chain = session ? gnutls_certificate_get_peers(session, &count) : NULL;
    size_t len = 0;

    for (unsigned i = 0; chain && i < count; i++)
        len += chain[i].size; /* bounded by the largest handshake that the library takes */
    if (!len)
        return true;
    p->certificates = malloc(len);
    if (!p->certificates)
        return false;
    for (unsigned i = 0; i < count; i++) {
        memcpy(p->certificates + p->certificates_len, chain[i].data, chain[i].size);
        p->certificates_len += chain[i].size;
    }
    return true;
}

bool http_client_certificates(struct http_request *r, const unsigned char **ret, size_t *ret_len)
{
    struct peer *p = r->peer;

    if (p->server->o.client_certificates && !p->certificates_taken)
        p->certificates_taken = take_certificates(p); /* renegotiation is not allowed: once */
    *ret = p->certificates;
    *ret_len = p->certificates_len;
    return p->certificates_taken || !p->server->o.client_certificates;
}
