/* look.h - waiting for what shows only to who looks: again and again, with a deadline.
 *
 *      for (int64_t until = look_until(SOON);; look_again(until, "it is %s", what)) {
 *          … if (it is so) return; …
 *      }
 *      LOOK_FOR(it_is_so(h), SOON, "it is not so");
 *
 * Threads: any.
 */
#ifndef KIT_LOOK_H
#define KIT_LOOK_H

#include <stdbool.h>
#include <stdint.h>

/** A time that is waited at most, on this build: the thread sanitizer makes everything many times as slow. */
int64_t look_patience(int64_t timeout_ms);

/** Monotonic ms. */
int64_t look_now_ms(void);

/** When a wait of so long, on this build, is over (monotonic ms). */
int64_t look_until(int64_t timeout_ms);
bool look_is_over(int64_t until);

/** Between two looks: a short pause; fails the test with the words when the time is over. */
void look_again(int64_t until, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Looks until the condition holds; fails the test with the words when it does not in time. */
#define LOOK_FOR(condition, timeout_ms, ...)                                                       \
    do {                                                                                           \
        for (int64_t look_ends = look_until(timeout_ms); !(condition);)                            \
            look_again(look_ends, __VA_ARGS__);                                                    \
    } while (0)

#endif
