/* torture.h - allocations that fail when told to.
 *
 *     for (long n = 1;; n++) {
 *         torture_arm(n);                        the n-th allocation from here on fails, and no other
 *         code = thing_make(&thing, &e);
 *         if (!torture_disarm())
 *             break;                             fewer than n: every one has had its turn
 *         assert_int_equal(code, ERR_NOMEM);     and the sanitizer looks for what was lost
 *     }
 *
 * malloc, calloc and realloc of the whole program, its libraries included, but of the calling thread
 * only. Do not print or assert between the two: stdio and cmocka allocate, too.
 */
#ifndef KIT_TORTURE_H
#define KIT_TORTURE_H

#include <stdbool.h>

/** Lets this thread's n-th allocation from now on fail, counted from 1. */
void torture_arm(long n);
/** Ends it. Returns whether an allocation failed. */
bool torture_disarm(void);

#endif
