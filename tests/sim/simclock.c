/* simclock.c - see simclock.h. */
#include "simclock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "loop.h"

void simclock_init(struct simclock *h)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    h->base_us = loop_now_us();
    h->base_ticks = (int64_t)t.tv_sec * TICKS_PER_S + t.tv_nsec / 100;
    h->scale = 1;
}

int64_t simclock_now(const struct simclock *h)
{
    int64_t us = loop_now_us() - h->base_us;

    return h->base_ticks + (h->scale == 1 ? us * 10 : (int64_t)((double)us * 10 * h->scale));
}

void simclock_set(struct simclock *h, int64_t ticks)
{
    h->base_us = loop_now_us();
    h->base_ticks = ticks;
}

void simclock_scale(struct simclock *h, double scale)
{
    simclock_set(h, simclock_now(h));
    h->scale = scale;
}

char *ticks_format(int64_t ticks, int digits, char out[TICKS_TEXT_SIZE])
{
    time_t s = (time_t)(ticks / TICKS_PER_S);
    char fraction[16];
    struct tm tm;
    size_t n;

    gmtime_r(&s, &tm);
    n = strftime(out, TICKS_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(fraction, sizeof fraction, ".%07d", (int)(ticks % TICKS_PER_S));
    snprintf(out + n, TICKS_TEXT_SIZE - n, "%.*sZ", digits ? digits + 1 : 0, fraction);
    return out;
}

int64_t ticks_cut(int64_t ticks, int digits)
{
    int64_t unit = 1;

    for (int i = digits; i < 7; i++)
        unit *= 10;
    ticks -= ticks % unit;
    if (digits && ticks / unit % 10 == 0)
        ticks += unit;
    return ticks;
}

/* n digits at *p; -1 when there are fewer. */
static int number(const char **p, int n)
{
    int value = 0;

    while (n--) {
        if (**p < '0' || **p > '9')
            return -1;
        value = value * 10 + (*(*p)++ - '0');
    }
    return value;
}

static bool skip(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

enum err_code ticks_parse(const char *text, int64_t *ret, struct err *e)
{
    const char *p = text;
    struct tm tm = {0};
    int64_t fraction = 0, unit = TICKS_PER_S / 10;
    bool good;

    tm.tm_year = number(&p, 4) - 1900;
    good = skip(&p, '-');
    tm.tm_mon = good ? number(&p, 2) - 1 : -1;
    good = good && skip(&p, '-');
    tm.tm_mday = good ? number(&p, 2) : -1;
    good = good && tm.tm_year >= 0 && tm.tm_mon >= 0 && tm.tm_mon < 12 && tm.tm_mday >= 1 &&
           tm.tm_mday <= 31;
    if (good && skip(&p, 'T')) {
        tm.tm_hour = number(&p, 2);
        good = skip(&p, ':');
        tm.tm_min = good ? number(&p, 2) : -1;
        good = good && skip(&p, ':');
        tm.tm_sec = good ? number(&p, 2) : -1;
        good = good && tm.tm_hour >= 0 && tm.tm_hour < 24 && tm.tm_min >= 0 && tm.tm_min < 60 &&
               tm.tm_sec >= 0 && tm.tm_sec < 61;
        if (good && skip(&p, '.')) {
            const char *from = p;

            for (; *p >= '0' && *p <= '9' && p - from < 7; p++, unit /= 10)
                fraction += (*p - '0') * unit;
            good = p > from;
        }
        good = good && skip(&p, 'Z');
    } else if (good) {
        (void)skip(&p, 'Z'); /* 2018-08-01Z and 2018-08-01 */
    }
    if (!good || *p)
        return err_set(e, ERR_INVALID, "'%.60s' is no timestamp", text);
    *ret = (int64_t)timegm(&tm) * TICKS_PER_S + fraction;
    return ERR_OK;
}
