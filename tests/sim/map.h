/* map.h - names to things: a hash table of borrowed keys. */
#ifndef SIM_MAP_H
#define SIM_MAP_H

#include <stddef.h>

struct map_slot {
    const char *key; /* NULL: free */
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t count, room; /* room: a power of two, or 0 */
};

void *map_get(const struct map *m, const char *key);
/** key is borrowed for the map's life and must be new. */
void map_put(struct map *m, const char *key, void *value);
/** Forgets everything; the values are the owner's to free. */
void map_clear(struct map *m);

#endif
