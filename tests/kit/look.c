/* look.c - see look.h. */
#include "kit/look.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>

#include "clock.h"

#define BETWEEN_MS 5

int64_t look_patience(int64_t timeout_ms)
{
#ifdef __SANITIZE_THREAD__
    return 6 * timeout_ms;
#else
    return timeout_ms;
#endif
}

int64_t look_now_ms(void)
{
    return clock_mono_ms(clock_system());
}

int64_t look_until(int64_t timeout_ms)
{
    return look_now_ms() + look_patience(timeout_ms);
}

bool look_is_over(int64_t until)
{
    return look_now_ms() > until;
}

void look_again(int64_t until, const char *fmt, ...)
{
    char words[4000];
    va_list args;

    if (look_is_over(until)) {
        va_start(args, fmt);
        (void)vsnprintf(words, sizeof words, fmt, args);
        va_end(args);
        fail_msg("%s", words);
    }
    (void)poll(NULL, 0, BETWEEN_MS);
}
