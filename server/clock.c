/* clock.c - see clock.h. Calendar arithmetic is done here because timegm() and strptime() accept far
 * more than a timestamp (blanks, signs, 60 in any field, other zones). */
#include "clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts); /* cannot fail: both clocks exist on Linux */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall(const struct clock *c)
{
    (void)c;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono(const struct clock *c)
{
    (void)c;
    return read_clock(CLOCK_MONOTONIC);
}

const struct clock *clock_system(void)
{
    static const struct clock host = {.wall_ms = system_wall, .mono_ms = system_mono};

    return &host;
}

int64_t clock_boot_ms(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;

    (void)pthread_condattr_init(&monotonic); /* none of these can fail on Linux */
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

struct timespec clock_cond_until(int64_t ms)
{
    int64_t until = read_clock(CLOCK_MONOTONIC) + ms;

    return (struct timespec){.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
}

int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c);
}

int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ms(c);
}

/* Writes value with n digits and the character `after`; returns what follows it. */
static char *put_digits(char *p, int n, unsigned value, char after)
{
    for (int i = n; i-- > 0; value /= 10)
        p[i] = (char)('0' + value % 10);
    p[n] = after;
    return p + n + 1;
}

int64_t clock_off_ms(int64_t date_ms, int64_t before, int64_t after)
{
    if (before > after) /* ours was set back meanwhile: how it stands is said by the later one */
        before = after;
    return date_ms > after                ? after - date_ms
           : date_ms + SECOND_MS < before ? before - date_ms - SECOND_MS
                                          : 0;
}

char *clock_span(int64_t ms, char out[CLOCK_SPAN_SIZE])
{
    bool whole = ms % MINUTE_MS == 0;
    int64_t n = ms / (whole ? MINUTE_MS : SECOND_MS);

    (void)snprintf(out, CLOCK_SPAN_SIZE, "%" PRId64 " %s%s", n, whole ? "minute" : "second",
                   n == 1 ? "" : "s");
    return out;
}

/* Each line of the log has one: by hand, a tenth of what gmtime_r (which takes a lock that all threads
 * share) and snprintf need. */
char *clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
    /* 0000-01-01 and 9999-12-31T23:59:59.999: what four digits of a year can say */
    const int64_t first = -62167219200000, last = 253402300799999;
    int64_t ms = wall_ms < first ? first : wall_ms > last ? last : wall_ms;
    /* The inverse of clock_day_of, counted from 0000-03-01 less one era, so that nothing is negative. */
    uint64_t since = (uint64_t)(ms + (719468 + 146097) * DAY_MS);
    unsigned day = (unsigned)(since / DAY_MS), of_day = (unsigned)(since % DAY_MS);
    unsigned era = day / 146097, day_of_era = day % 146097;
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * day_of_year + 2) / 153;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    unsigned year = year_of_era + era * 400 - 400 + (month <= 2);
    char *p = out;

    p = put_digits(p, 4, year, '-');
    p = put_digits(p, 2, month, '-');
    p = put_digits(p, 2, day_of_year - (153 * month_from_march + 2) / 5 + 1, 'T');
    p = put_digits(p, 2, of_day / (unsigned)HOUR_MS, ':');
    p = put_digits(p, 2, of_day / (unsigned)MINUTE_MS % 60, ':');
    p = put_digits(p, 2, of_day / (unsigned)SECOND_MS % 60, '.');
    p = put_digits(p, 3, of_day % (unsigned)SECOND_MS, 'Z');
    *p = '\0';
    return out;
}

/* Reads exactly n digits followed by the character `after`. */
static bool digits(const char **p, int n, char after, int *ret)
{
    int value = 0;

    for (int i = 0; i < n; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        value = value * 10 + (**p - '0');
    }
    if (after && *(*p)++ != after)
        return false;
    *ret = value;
    return true;
}

int clock_month_length(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a date of the Gregorian calendar (years counted from March, in eras of
 * 400 years, so that the leap day is the last of its year). */
int64_t clock_day_of(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

enum err_code clock_parse(const char *text, int64_t *ret_ms, struct err *e)
{
    int year, month, day, hour, minute, second, ms = 0;
    const char *p = text;

    if (!digits(&p, 4, '-', &year) || !digits(&p, 2, '-', &month) || !digits(&p, 2, 'T', &day) ||
        !digits(&p, 2, ':', &hour) || !digits(&p, 2, ':', &minute) || !digits(&p, 2, 0, &second))
        goto bad;
    if (*p == '.') {
        int n = 0;

        for (p++; isdigit((unsigned char)*p); p++, n++)
            if (n < 3)
                ms = ms * 10 + (*p - '0');
        if (n < 1 || n > 9)
            goto bad;
        for (; n < 3; n++)
            ms *= 10;
    }
    if (strcmp(p, "Z") != 0 || month < 1 || month > 12 || day < 1 ||
        day > clock_month_length(year, month) || hour > 23 || minute > 59 || second > 59)
        goto bad;
    *ret_ms = ((clock_day_of(year, month, day) * 24 + hour) * 60 + minute) * MINUTE_MS +
              second * SECOND_MS + ms;
    return ERR_OK;
bad:
    return err_set(e, ERR_INVALID, "'%.40s' is not a UTC timestamp like 2026-01-01T00:00:00Z",
                   text);
}
