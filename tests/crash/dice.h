/* dice.h - choices of which a seed gives the same ones again: one generator for each thread. */
#ifndef CRASH_DICE_H
#define CRASH_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state; /* the seed at first */
};

/** 0 to n - 1. */
static inline unsigned below(struct dice *d, unsigned n)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u; /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ z >> 31) % n);
}

/** True p times of a hundred. */
static inline bool percent(struct dice *d, unsigned p)
{
    return below(d, 100) < p;
}

#endif
