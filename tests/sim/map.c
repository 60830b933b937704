/* map.c - see map.h. Open addressing, FNV-1a, at most half full; nothing is ever taken out singly. */
#include "map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t slot_of(const struct map *m, const char *key)
{
    uint64_t h = UINT64_C(14695981039346656037);
    size_t at;

    for (const char *p = key; *p; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
    at = (size_t)(h ^ h >> 32) & (m->room - 1);
    while (m->slots[at].key && strcmp(m->slots[at].key, key) != 0)
        at = (at + 1) & (m->room - 1);
    return at;
}

void *map_get(const struct map *m, const char *key)
{
    return m->room ? m->slots[slot_of(m, key)].value : NULL;
}

void map_put(struct map *m, const char *key, void *value)
{
    if (m->count * 2 >= m->room) {
        struct map bigger = {.room = m->room ? m->room * 2 : 64, .count = m->count};

        bigger.slots = calloc(bigger.room, sizeof *bigger.slots);
        assert(bigger.slots); /* a simulator without memory can only stop */
        for (size_t i = 0; i < m->room; i++)
            if (m->slots[i].key)
                bigger.slots[slot_of(&bigger, m->slots[i].key)] = m->slots[i];
        free(m->slots);
        *m = bigger;
    }
    m->slots[slot_of(m, key)] = (struct map_slot){key, value};
    m->count++;
}

void map_clear(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}
