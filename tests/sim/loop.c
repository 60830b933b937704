/* loop.c - see loop.h. Timers are a binary heap of pointers whose owners know their slot. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256

struct loop {
    int epoll_fd;
    bool stop;
    bool coarse; /* the kernel has no epoll_pwait2: wait in whole milliseconds */
    struct loop_watch poke;
    void (*on_poke)(void *ctx);
    void *poke_ctx;
    struct loop_timer **heap; /* from 1 */
    size_t count, room;
};

int64_t loop_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void poked(void *ctx, uint32_t events)
{
    struct loop *l = ctx;
    uint64_t n;

    (void)events;
    (void)!read(l->poke.fd, &n, sizeof n); /* EAGAIN: another wake-up emptied it */
    if (l->on_poke)
        l->on_poke(l->poke_ctx);
}

enum err_code loop_new(struct loop **ret, struct err *e)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return err_set(e, ERR_NOMEM, "the loop");
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->poke.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->poke.fn = poked;
    l->poke.ctx = l;
    if (l->epoll_fd < 0 || l->poke.fd < 0 || loop_watch(l, &l->poke, EPOLLIN, e)) {
        err_set(e, ERR_IO, "epoll: %s", strerror(errno));
        loop_free(l);
        return ERR_IO;
    }
    *ret = l;
    return ERR_OK;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->poke.fd >= 0)
        close(l->poke.fd);
    free(l->heap);
    free(l);
}

enum err_code loop_watch(struct loop *l, struct loop_watch *w, uint32_t events, struct err *e)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};

    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) != 0)
        return err_set(e, ERR_IO, "epoll: %s", strerror(errno));
    return ERR_OK;
}

void loop_rewatch(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};

    if (w->fd >= 0)
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev); /* it is in the set: cannot fail */
}

void loop_unwatch(struct loop *l, struct loop_watch *w)
{
    if (w->fd >= 0)
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->fd = -1;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void put(struct loop *l, size_t slot, struct loop_timer *t)
{
    l->heap[slot] = t;
    t->slot = slot;
}

/* Moves the timer at slot to where it belongs. */
static void settle(struct loop *l, size_t slot)
{
    struct loop_timer *t = l->heap[slot];

    while (slot > 1 && l->heap[slot / 2]->due_us > t->due_us) {
        put(l, slot, l->heap[slot / 2]);
        slot /= 2;
    }
    for (;;) {
        size_t child = slot * 2;

        if (child < l->count && l->heap[child + 1]->due_us < l->heap[child]->due_us)
            child++;
        if (child > l->count || l->heap[child]->due_us >= t->due_us)
            break;
        put(l, slot, l->heap[child]);
        slot = child;
    }
    put(l, slot, t);
}

void loop_arm(struct loop *l, struct loop_timer *t, int64_t due_us)
{
    t->due_us = due_us;
    if (!t->slot) {
        if (l->count + 2 > l->room) {
            size_t room = l->room ? l->room * 2 : 64;
            struct loop_timer **heap = reallocarray(l->heap, room, sizeof(struct loop_timer *));

            assert(heap); /* a simulator without memory for a timer can only stop */
            l->heap = heap;
            l->room = room;
        }
        put(l, ++l->count, t);
    }
    settle(l, t->slot);
}

void loop_disarm(struct loop *l, struct loop_timer *t)
{
    size_t slot = t->slot;
    struct loop_timer *last;

    if (!slot)
        return;
    last = l->heap[l->count--];
    t->slot = 0;
    if (last != t) {
        put(l, slot, last);
        settle(l, slot);
    }
}

/* Runs what is due; only what was armed before, so that a timer that arms itself for "now" does not
 * keep the sockets waiting. */
static void run_due(struct loop *l)
{
    int64_t now = loop_now_us();

    for (size_t n = l->count; n && l->count && l->heap[1]->due_us <= now; n--) {
        struct loop_timer *t = l->heap[1];

        loop_disarm(l, t);
        t->fn(t->ctx);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

void loop_on_poke(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    l->on_poke = fn;
    l->poke_ctx = ctx;
}

void loop_poke(struct loop *l)
{
    uint64_t one = 1;

    (void)!write(l->poke.fd, &one, sizeof one); /* EAGAIN: it is awake anyhow */
}

static int wait_events(struct loop *l, struct epoll_event *events)
{
    int64_t left_us = l->count ? l->heap[1]->due_us - loop_now_us() : -1;
    struct timespec t;

    if (l->count) {
        left_us -= l->heap[1]->awake_us;
        left_us = left_us < 0 ? 0 : left_us;
    }
    if (!l->coarse) {
        t.tv_sec = left_us / 1000000;
        t.tv_nsec = left_us % 1000000 * 1000;
        int n = epoll_pwait2(l->epoll_fd, events, EVENTS_AT_ONCE, l->count ? &t : NULL, NULL);

        if (n >= 0 || errno != ENOSYS)
            return n;
        l->coarse = true;
    }
    return epoll_wait(
        l->epoll_fd, events, EVENTS_AT_ONCE,
        l->count ? (int)((left_us + 999) / 1000 < 60000 ? (left_us + 999) / 1000 : 60000) : -1);
}

void loop_run(struct loop *l)
{
    struct epoll_event events[EVENTS_AT_ONCE];

    while (!l->stop) {
        int n = wait_events(l, events);

        for (int i = 0; i < n; i++) {
            struct loop_watch *w = events[i].data.ptr;

            if (w->fd >=
                0) /* else an earlier event of this batch ended it; its owner lives on until
                               a timer frees it, which is after the batch */
                w->fn(w->ctx, events[i].events);
        }
        run_due(l);
    }
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}
