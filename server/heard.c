/* heard.c - see heard.h. The list of sources only grows, so a look at it needs no lock; one of the threads that
 * come at the same time wins the exchange and writes. What could not be written is forgotten, so that whoever is heard
 * next writes: a sender that was answered 503 comes back within the lag, and was heard. */
#include "heard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "store_heartbeats.h"

struct voice {
    struct voice *_Atomic next;
    struct heard *of;
    _Atomic int64_t written; /* wall ms; 0: not by this process */
    atomic_bool failed;      /* the last write; the log has its line */
    char name[];
};

struct heard {
    struct store *store;
    atomic_uint refs; /* its owner's, and one for each write under way */
    struct voice *_Atomic list;
    pthread_mutex_t lock; /* of growing */
};

enum err_code heard_new(struct store *store, struct heard **ret, struct err *e)
{
    struct heard *h = calloc(1, sizeof *h);

    if (!h)
        return err_set(e, ERR_NOMEM, "heartbeats");
    h->store = store;
    atomic_init(&h->refs, 1);
    (void)pthread_mutex_init(&h->lock, NULL);
    *ret = h;
    return ERR_OK;
}

void heard_free(struct heard *h)
{
    if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    for (struct voice *v = h->list, *next; v; v = next) {
        next = v->next;
        free(v);
    }
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static struct voice *find(struct heard *h, const char *name)
{
    struct voice *v = h->list;

    while (v && strcmp(v->name, name) != 0)
        v = v->next;
    return v;
}

static struct voice *grow(struct heard *h, const char *name)
{
    size_t size = strlen(name) + 1;
    struct voice *v;

    pthread_mutex_lock(&h->lock);
    v = find(h, name); /* another thread may have been first */
    if (!v && (v = calloc(1, sizeof *v + size)) != NULL) {
        memcpy(v->name, name, size);
        v->of = h;
        v->next = h->list;
        h->list = v;
    }
    pthread_mutex_unlock(&h->lock);
    return v;
}

/* In a thread of the store's, perhaps after heard_free. While nothing can be written each delivery tries: a line for the first
 * of them, and no other until one was written. */
static void end_write(void *arg, int64_t now, enum err_code code, const struct err *e)
{
    struct voice *v = arg;

    if (code) /* unless it was heard, and is being written, anew */
        (void)atomic_compare_exchange_strong(&v->written, &now, 0);
    if (!atomic_exchange(&v->failed, code != ERR_OK) && code)
        log_event(LOG_WARN, "heard_not_written", LOG_STR("source", v->name), LOG_ERR(e));
    heard_free(v->of);
}

void heard_note(struct heard *h, const struct config_source *source, int64_t now)
{
    struct voice *v = find(h, source->name);
    int64_t written;
    struct err e;
    enum err_code code;

    if (!v)
        v = grow(h, source->name);
    if (!v)
        return; /* out of memory: the next delivery tries again */
    written = atomic_load_explicit(&v->written, memory_order_relaxed);
    if (written && now >= written && now - written < HEARTBEAT_LAG_MS(source->heartbeat_ms))
        return;
    if (!atomic_compare_exchange_strong(&v->written, &written, now))
        return;
    atomic_fetch_add(&h->refs, 1);
    code = store_heard(h->store, source->name, now, end_write, v, &e);
    if (code)
        end_write(v, now, code, &e);
}
