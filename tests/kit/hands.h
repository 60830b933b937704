/* hands.h - a clock whose hands the test turns. Any thread may read it. */
#ifndef CORDON_KIT_HANDS_H
#define CORDON_KIT_HANDS_H

#include <stdatomic.h>

#include "clock.h"

struct hands {
    struct clock clock; /* pass &h->clock */
    _Atomic int64_t wall, mono;
};

static inline int64_t hands_wall(const struct clock *c)
{
    return atomic_load(&((const struct hands *)c)->wall);
}

static inline int64_t hands_mono(const struct clock *c)
{
    return atomic_load(&((const struct hands *)c)->mono);
}

/* 2025-01-07T10:11:12Z, and a machine that is up for thirty years: longer than this one, whose clock ends the
 * waits until a time of this clock. */
#define HANDS_INIT                                                                                 \
    {                                                                                              \
        .clock = {.wall_ms = hands_wall, .mono_ms = hands_mono}, .wall = 1736244672000,            \
        .mono = 1000000000000                                                                      \
    }

static inline void hands_turn(struct hands *h, int64_t ms)
{
    atomic_fetch_add(&h->wall, ms);
    atomic_fetch_add(&h->mono, ms);
}

#endif
