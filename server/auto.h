/* auto.h - scoped release: `AUTO(buf_clear) struct buf b = BUF_INIT(4096);`
 *
 * The function is called with a pointer to the variable when its scope is left, last declared first.
 * Pointers to heap objects have a `_freep` companion made by AUTO_FREEP(type, free_function).
 */
#ifndef CORDON_AUTO_H
#define CORDON_AUTO_H

#include <stdlib.h>

#define AUTO(fn) __attribute__((cleanup(fn)))

/* Defines static `NAME_freep(TYPE **p)`: releases *p with NAME_free, which accepts NULL. */
#define AUTO_FREEP(type, name)                                                                     \
    static inline void name##_freep(type **p)                                                      \
    {                                                                                              \
        name##_free(*p);                                                                           \
    }

/* For memory that plain free() releases: AUTO(auto_free) char *s = ... */
static inline void auto_free(void *p)
{
    free(*(void **)p);
}

#endif
