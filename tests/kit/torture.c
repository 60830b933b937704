/* torture.c - see torture.h.
 *
 * A malloc that the program itself defines is taken by its libraries as well, which -Wl,--wrap cannot
 * do. Behind ours comes the sanitizer's, where there is one, or the C library's. free and the aligned
 * allocations are left alone: they work on the same heap.
 */
#include "torture.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define WEAK __attribute__((weak))
/* Called before a sanitizer has set itself up: must not report to it. */
#define PLAIN __attribute__((no_sanitize("address", "thread", "undefined")))

extern void *__interceptor_malloc(size_t size) WEAK;
extern void *__interceptor_calloc(size_t count, size_t size) WEAK;
extern void *__interceptor_realloc(void *p, size_t size) WEAK;
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static _Thread_local long left; /* allocations until the one that fails; 0: disarmed */
static _Thread_local bool failed;

void torture_arm(long n)
{
    failed = false;
    left = n;
}

bool torture_disarm(void)
{
    left = 0;
    return failed;
}

/* Whether the allocation about to be made is the one. */
PLAIN static bool is_the_one(void)
{
    if (left == 0 || --left > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

PLAIN void *malloc(size_t size)
{
    if (is_the_one())
        return NULL;
    return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

PLAIN void *calloc(size_t count, size_t size)
{
    if (is_the_one())
        return NULL;
    return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

PLAIN void *realloc(void *p, size_t size)
{
    if (is_the_one())
        return NULL;
    return __interceptor_realloc ? __interceptor_realloc(p, size) : __libc_realloc(p, size);
}
