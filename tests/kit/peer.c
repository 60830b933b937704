/* peer.c - see peer.h. */
#include "peer.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ANSWERS  128
#define REQUESTS 4096

struct peer {
    struct wire_server *server;
    char url[64];
    struct wire_tls *tls;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    peer_fn fn;
    void *ctx;
    struct peer_answer answers[ANSWERS];
    unsigned used[ANSWERS];
    size_t n_answers;
    struct peer_request *requests[REQUESTS];
    size_t n_requests;
};

static int64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void request_free(struct peer_request *r)
{
    if (!r)
        return;
    free(r->method);
    free(r->target);
    free(r->head);
    free(r->body);
    free(r);
}

static bool begins(const char *text, const char *with)
{
    return !with || strncmp(text, with, strlen(with)) == 0;
}

static struct peer_request *read_request(struct wire *w, unsigned connection)
{
    struct peer_request *r = calloc(1, sizeof *r);
    size_t len = 0, room = 65536;
    const char *value;

    assert(r);
    r->head = malloc(room);
    assert(r->head);
    for (;;) {
        int ch = wire_getc(w);

        if (ch < 0 || len + 1 >= room) {
            request_free(r);
            return NULL;
        }
        r->head[len++] = (char)ch;
        r->head[len] = '\0';
        if (len >= 4 && memcmp(r->head + len - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    r->seen_ns = now_ns();
    r->head[len - 2] = '\0';
    r->connection = connection;
    r->method = strndup(r->head, strcspn(r->head, " "));
    value = r->head + strcspn(r->head, " ");
    value += *value == ' ';
    r->target = strndup(value, strcspn(value, " "));
    value = peer_header(r, "Content-Length");
    r->body_len = value ? strtoul(value, NULL, 10) : 0;
    r->body = malloc(r->body_len + 1);
    assert(r->method && r->target && r->body);
    for (size_t i = 0; i < r->body_len; i++) {
        int ch = wire_getc(w);

        if (ch < 0) {
            request_free(r);
            return NULL;
        }
        r->body[i] = (char)ch;
    }
    r->body[r->body_len] = '\0';
    return r;
}

/* Records the request and finds its answer; waits until enough are gathered. */
static struct peer_answer record(struct peer *p, struct peer_request *r)
{
    struct peer_answer found = {.status = 599, .body = "nothing scripted"};

    (void)pthread_mutex_lock(&p->lock);
    assert(p->n_requests < REQUESTS);
    p->requests[p->n_requests++] = r;
    (void)pthread_cond_broadcast(&p->changed);
    for (size_t i = 0; i < p->n_answers; i++) {
        const struct peer_answer *a = &p->answers[i];

        if ((a->times && p->used[i] >= a->times) || (a->method && strcmp(a->method, r->method)) ||
            !begins(r->target, a->target))
            continue;
        p->used[i]++;
        found = *a;
        break;
    }
    while (!p->stopping && p->n_requests < found.gather)
        (void)pthread_cond_wait(&p->changed, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
    return found;
}

/* true: the connection goes on. */
static bool answer(struct wire *w, const struct peer_answer *a)
{
    size_t len = a->body ? strlen(a->body) : 0;
    char *text = NULL;
    int n;
    bool ok;

    if (a->raw)
        n = asprintf(&text, "%s", a->raw);
    else
        n = asprintf(&text, "HTTP/1.1 %d Scripted\r\n%s%sContent-Length: %zu\r\n\r\n%s", a->status,
                     a->headers ? a->headers : "", a->close ? "Connection: close\r\n" : "", len,
                     a->body ? a->body : "");
    assert(n >= 0);
    ok = wire_write(w, text, a->cut && a->cut < (size_t)n ? a->cut : (size_t)n);
    free(text);
    return ok && !a->raw && !a->cut && !a->close;
}

static void serve(struct wire *w, unsigned number, void *ctx, bool *ret_reset)
{
    struct peer *p = ctx;
    struct peer_request *r;

    if (p->tls && !wire_start_tls(w, p->tls))
        return;
    while ((r = read_request(w, number))) {
        struct peer_answer a = {0};
        bool goes_on;

        if (p->fn)
            p->fn(p->ctx, r, &a);
        else
            a = record(p, r);
        if (a.act == PEER_HANG && a.cut)
            (void)answer(w, &a);
        if (a.act == PEER_HANG)
            wire_wait_closed(w);
        *ret_reset = a.act == PEER_RESET;
        goes_on = a.act == PEER_ANSWER && answer(w, &a);
        if (p->fn) {
            free((char *)a.body);
            request_free(r);
        }
        if (!goes_on)
            return;
    }
}

struct peer *peer_new(struct wire_tls *tls)
{
    struct peer *p = calloc(1, sizeof *p);
    pthread_condattr_t attr;

    assert(p);
    p->tls = tls;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    p->server = wire_server_new(serve, p);
    (void)snprintf(p->url, sizeof p->url, "%s://127.0.0.1:%u", tls ? "https" : "http",
                   wire_server_port(p->server));
    return p;
}

void peer_free(struct peer *p)
{
    if (!p)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->stopping = true;
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    wire_server_free(p->server);
    peer_forget(p);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *peer_url(const struct peer *p)
{
    return p->url;
}

unsigned peer_port(const struct peer *p)
{
    return wire_server_port(p->server);
}

void peer_answer_by(struct peer *p, peer_fn fn, void *ctx)
{
    p->fn = fn;
    p->ctx = ctx;
}

void peer_script(struct peer *p, const struct peer_answer *a)
{
    (void)pthread_mutex_lock(&p->lock);
    assert(p->n_answers < ANSWERS);
    p->used[p->n_answers] = 0;
    p->answers[p->n_answers++] = *a;
    (void)pthread_mutex_unlock(&p->lock);
}

void peer_forget(struct peer *p)
{
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n_requests; i++)
        request_free(p->requests[i]);
    p->n_requests = 0;
    p->n_answers = 0;
    (void)pthread_mutex_unlock(&p->lock);
}

size_t peer_count(struct peer *p)
{
    size_t n;

    (void)pthread_mutex_lock(&p->lock);
    n = p->n_requests;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

const struct peer_request *peer_request(struct peer *p, size_t i)
{
    const struct peer_request *r;
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&p->lock);
    while (p->n_requests <= i && pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
        ;
    r = p->n_requests > i ? p->requests[i] : NULL;
    (void)pthread_mutex_unlock(&p->lock);
    return r;
}

const struct peer_request *peer_request_for(struct peer *p, const char *target)
{
    const struct peer_request *found = NULL;
    unsigned n = 0;

    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n_requests; i++)
        if (begins(p->requests[i]->target, target)) {
            found = p->requests[i];
            n++;
        }
    (void)pthread_mutex_unlock(&p->lock);
    return n == 1 ? found : NULL;
}

const char *peer_header(const struct peer_request *r, const char *name)
{
    static _Thread_local char value[20000];
    size_t len = strlen(name);

    for (const char *line = strstr(r->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1 + strspn(line + len + 1, " ");
            (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r"), line);
            return value;
        }
    }
    return NULL;
}
