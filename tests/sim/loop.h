/* loop.h - one thread, one epoll set, one heap of timers: everything HTTP in the simulator runs here.
 *
 * Why one thread: the simulator's state then needs no lock, calls are journalled in the order in which
 * they took effect, and an answer that is due in D ms is a timer, not a waiting thread. Other threads
 * (the SMTP sink's) only poke it.
 */
#ifndef SIM_LOOP_H
#define SIM_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct loop; /* opaque */

/* A file descriptor watched; part of its owner's struct. fd -1: not watched. */
struct loop_watch {
    int fd;
    void (*fn)(void *ctx, uint32_t events); /* EPOLLIN … */
    void *ctx;
};

/* A point in time; part of its owner's struct, zeroed at first. */
struct loop_timer {
    int64_t due_us;
    int64_t awake_us; /* so long before it the loop stays awake: out of its sleep it comes late */
    size_t slot;      /* 1 and up while armed */
    void (*fn)(void *ctx);
    void *ctx;
};

enum err_code loop_new(struct loop **ret, struct err *e);
void loop_free(struct loop *l);
/** Microseconds of the host's monotonic clock. */
int64_t loop_now_us(void);

enum err_code loop_watch(struct loop *l, struct loop_watch *w, uint32_t events, struct err *e);
void loop_rewatch(struct loop *l, struct loop_watch *w, uint32_t events);
/** Stops watching (does not close) and sets fd to -1: no call comes after this one. */
void loop_unwatch(struct loop *l, struct loop_watch *w);

/** Calls t->fn in the loop once due_us is reached; arming again moves it. A time that has passed: soon,
 *  but never from within this call. */
void loop_arm(struct loop *l, struct loop_timer *t, int64_t due_us);
void loop_disarm(struct loop *l, struct loop_timer *t);

/** What loop_poke calls, in the loop. Set before loop_run. */
void loop_on_poke(struct loop *l, void (*fn)(void *ctx), void *ctx);
/** Any thread. Several pokes may come to one call. */
void loop_poke(struct loop *l);

/** Runs until loop_stop. */
void loop_run(struct loop *l);
/** From within the loop. */
void loop_stop(struct loop *l);

#endif
