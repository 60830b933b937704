/* arena.h - memory that is released all at once: what is parsed from one notification, one
 * configuration file or one set of facts lives in one arena and dies with it.
 *
 * Nothing longer-lived may point into an arena. One thread at a time.
 */
#ifndef CORDON_ARENA_H
#define CORDON_ARENA_H

#include <stddef.h>

struct arena; /* opaque */

/** A new empty arena, or NULL when out of memory. chunk: bytes of its first piece (0: 4096). */
struct arena *arena_new(size_t chunk);
/** Releases the arena and all that came from it. NULL is fine. */
void arena_free(struct arena *a);

/** Forgets all that came from it but keeps one piece of memory for the next use. */
void arena_reset(struct arena *a);

/** size zeroed bytes, aligned for any type; NULL when out of memory. Lives as long as a. */
void *arena_alloc(struct arena *a, size_t size);
/** The same for an array; NULL also when count * size would overflow. */
void *arena_array(struct arena *a, size_t count, size_t size);
/** Copies of a string, of len bytes (NUL added), of a formatted text. NULL when out of memory. */
char *arena_str(struct arena *a, const char *text);
char *arena_strn(struct arena *a, const char *text, size_t len);
char *arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#include "auto.h"
AUTO_FREEP(struct arena, arena)

#endif
