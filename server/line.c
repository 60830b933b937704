/* line.c - see line.h. */
#include "line.h"

#include <pthread.h>
#include <stdlib.h>

struct place {
    struct http_request *http;
    struct place *next;
};

struct line {
    void (*serve)(struct http_request *r, void *ctx);
    void *ctx;
    unsigned max;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t cond;
    struct place *first, **end;
    unsigned len;
    bool closing, started;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct line *l = arg;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        struct http_request *http;

        while (!l->first && !l->closing)
            pthread_cond_wait(&l->cond, &l->lock);
        if (!l->first)
            break;
        http = l->first->http;
        l->first = l->first->next;
        if (!l->first)
            l->end = &l->first;
        l->len--;
        pthread_mutex_unlock(&l->lock);

        l->serve(http, l->ctx); /* the place goes with the request */

        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

bool line_put(struct line *l, struct http_request *r)
{
    struct arena *arena = http_arena(r);
    struct place *p = arena ? arena_alloc(arena, sizeof *p) : NULL;
    bool room;

    http_defer(r);
    pthread_mutex_lock(&l->lock);
    room = p && l->len < l->max && !l->closing;
    if (room) {
        *p = (struct place){.http = r};
        *l->end = p;
        l->end = &p->next;
        l->len++;
        pthread_cond_signal(&l->cond);
    }
    pthread_mutex_unlock(&l->lock);
    return room;
}

enum err_code line_new(void (*serve)(struct http_request *r, void *ctx), void *ctx, unsigned max,
                       struct line **ret, struct err *e)
{
    struct line *l = calloc(1, sizeof *l);

    if (!l)
        return err_set(e, ERR_NOMEM, "a line");
    l->serve = serve;
    l->ctx = ctx;
    l->max = max;
    l->end = &l->first;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->cond, NULL);
    l->started = pthread_create(&l->thread, NULL, run, l) == 0;
    if (!l->started) {
        line_free(l);
        return err_set(e, ERR_NOMEM, "cannot start a thread");
    }
    *ret = l;
    return ERR_OK;
}

void line_free(struct line *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->lock);
    if (l->started)
        (void)pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->cond);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
