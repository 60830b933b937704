/* cron.c - see cron.h.
 *
 * Between two changes of its offset a place's wall clock goes on like any other, so the search goes from span to
 * span and, within one, from day to day: no minute is ever counted through.
 */
#include "cron.h"

#include <string.h>
#include <strings.h>

#include "clock.h"

#define MINUTE_S 60
#define HOUR_S   3600
#define DAY_S    86400
/* cron(8): "changes of more than 3 hours are considered to be corrections". */
#define CHANGE_MAX_S (3 * HOUR_S)
/* 29 February on a given weekday comes every 28 years, or after 40 around a year like 2100. */
#define SEARCH_MAX_S ((int64_t)41 * 366 * DAY_S)

/* ---- reading ----------------------------------------------------------------------------------- */

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct field {
    const char *what;
    int least, most;
    const char *const *names; /* of least, least + 1, … */
} fields[FIELDS] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of the month", 1, 31, NULL},
    {"month", 1, 12, months},
    {"day of the week", 0, 7, weekdays},
};

static const struct {
    const char *name, *means;
} nicknames[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

static enum err_code bad(struct err *e, const struct field *f, const char *text, size_t len,
                         const char *expected)
{
    return err_set(e, ERR_INVALID, "%s: found '%.*s', expected %s", f->what,
                   (int)(len < 40 ? len : 40), text, expected);
}

/* A number or a name at *p, which moves behind it. */
static bool value(const struct field *f, const char **p, const char *end, int *ret)
{
    const char *at = *p;
    int n = 0;

    while (at < end && *at >= '0' && *at <= '9' && at - *p < 3)
        n = n * 10 + (*at++ - '0');
    if (at > *p) {
        *p = at;
        *ret = n;
        return n >= f->least && n <= f->most;
    }
    for (int i = 0; f->names && f->names[i]; i++)
        if (end - at >= 3 && strncasecmp(at, f->names[i], 3) == 0) {
            *p = at + 3;
            *ret = f->least + i;
            return true;
        }
    return false;
}

/* One element of a list: "*", "5", "mon-fri", and the last two, or *, with "/step". */
static enum err_code element(const struct field *f, const char *text, const char *end,
                             uint64_t *bits, struct err *e)
{
    size_t len = (size_t)(end - text);
    const char *p = text;
    int low = f->least, high = f->most, step = 1;
    bool range = true;

    if (p < end && *p == '*') {
        p++;
    } else {
        if (!value(f, &p, end, &low))
            return bad(e, f, text, len,
                       f->names ? "a number or a name of three letters that it can have"
                                : "*, a number that it can have, or a range of them");
        high = low;
        range = p < end && *p == '-';
        if (range) {
            p++;
            if (!value(f, &p, end, &high))
                return bad(e, f, text, len, "a range such as 1-5");
        }
        if (high < low)
            return bad(e, f, text, len, "a range that goes up; write its two parts with a comma");
    }
    if (p < end && *p == '/') {
        int most = f->most - f->least;

        if (!range)
            return bad(e, f, text, len, "a step of * or of a range, such as */15 or 0-59/15");
        step = 0;
        for (p++; p < end && *p >= '0' && *p <= '9' && step < 1000; p++)
            step = step * 10 + (*p - '0');
        if (step < 1 || step > most)
            return bad(e, f, text, len, "a step from 1 to less than the field has values");
    }
    if (p != end)
        return bad(e, f, text, len, "*, numbers, ranges and steps, with commas between them");
    for (int i = low; i <= high; i += step)
        *bits |= (uint64_t)1 << (f->names == weekdays ? i % 7 : i); /* 7 is Sunday, too */
    return ERR_OK;
}

/* One field, a list; *ret_star: it begins with *. */
static enum err_code read_field(const struct field *f, const char *text, const char *end,
                                uint64_t *ret_bits, bool *ret_star, struct err *e)
{
    *ret_bits = 0;
    *ret_star = *text == '*';
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        enum err_code code = element(f, text, comma ? comma : end, ret_bits, e);

        if (code || !comma)
            return code;
        text = comma + 1;
    }
}

static bool comes_ever(const struct cron *c)
{
    if (!c->both_of_day)
        return true; /* a weekday is named, and it will do */
    for (int m = 1; m <= 12; m++)
        for (int d = 1; c->months >> m & 1 && d <= clock_month_length(2000, m); d++)
            if (c->days >> d & 1)
                return true;
    return false;
}

enum err_code cron_parse(const char *text, struct cron *ret, struct err *e)
{
    static const char blanks[] = " \t";
    const char *p = text + strspn(text, blanks);
    struct cron c = {0};
    uint64_t bits[FIELDS];
    bool star[FIELDS];

    if (*p == '@') {
        size_t len = strcspn(p, blanks);

        for (size_t i = 0; i < sizeof nicknames / sizeof *nicknames; i++)
            if (strlen(nicknames[i].name) == len && strncasecmp(p, nicknames[i].name, len) == 0 &&
                !p[len + strspn(p + len, blanks)])
                return cron_parse(nicknames[i].means, ret, e);
        return err_set(e, ERR_INVALID,
                       "found '%.40s', expected five fields or one of @hourly @daily @weekly "
                       "@monthly @yearly",
                       p);
    }
    for (int i = 0; i < FIELDS; i++) {
        const char *end = p + strcspn(p, blanks);
        enum err_code code;

        if (end == p)
            return err_set(e, ERR_INVALID,
                           "%d of its five fields are there; expected minute, hour, day, month and "
                           "day of the week, such as */15 * * * *",
                           i);
        code = read_field(&fields[i], p, end, &bits[i], &star[i], e);
        if (code)
            return code;
        p = end + strspn(end, blanks);
    }
    if (*p)
        return err_set(
            e, ERR_INVALID,
            "'%.40s' comes after its five fields: minute, hour, day, month and day of the "
            "week (there are no seconds)",
            p);
    c = (struct cron){.minutes = bits[MINUTE],
                      .hours = (uint32_t)bits[HOUR],
                      .days = (uint32_t)bits[DAY],
                      .months = (uint32_t)bits[MONTH],
                      .weekdays = (uint32_t)bits[WEEKDAY],
                      .any_time = star[MINUTE] || star[HOUR],
                      .both_of_day = star[DAY] || star[WEEKDAY]};
    if (!comes_ever(&c))
        return err_set(e, ERR_INVALID, "it never comes: none of its months has such a day");
    *ret = c;
    return ERR_OK;
}

/* ---- searching --------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return (a >= 0 ? a : a - b + 1) / b;
}

static bool day_fits(const struct cron *c, int64_t day)
{
    unsigned weekday = (unsigned)(((day + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    int month, of_month;
    bool by_day, by_weekday = c->weekdays >> weekday & 1;
    int64_t year;

    zone_date_of(day, &year, &month, &of_month);
    by_day = c->days >> of_month & 1;
    return c->months >> month & 1 && (c->both_of_day ? by_day && by_weekday : by_day || by_weekday);
}

/* The first minute of a day at `second` of it or later; DAY_S: none. */
static int64_t time_of_day(const struct cron *c, int64_t second)
{
    int64_t minute = (second + MINUTE_S - 1) / MINUTE_S, hour = minute / 60;

    minute %= 60;
    for (; hour < 24; hour++, minute = 0) {
        uint64_t left = c->hours >> hour & 1 ? c->minutes >> minute : 0;

        if (left)
            return hour * HOUR_S + (minute + __builtin_ctzll(left)) * MINUTE_S;
    }
    return DAY_S;
}

/* The first fitting minute of a wall clock that goes from `from` to before `to`; CRON_NEVER: none. */
static int64_t next_within(const struct cron *c, int64_t from, int64_t to)
{
    int64_t day = floor_div(from, DAY_S), second = from - day * DAY_S;

    for (; day * DAY_S < to; day++, second = 0) {
        int64_t at = day_fits(c, day) ? time_of_day(c, second) : DAY_S;

        if (at < DAY_S)
            return day * DAY_S + at < to ? day * DAY_S + at : CRON_NEVER;
    }
    return CRON_NEVER;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_ms)
{
    int64_t t = floor_div(after_ms, SECOND_MS) + 1;
    const int64_t limit = t + SEARCH_MAX_S;

    while (t < limit) {
        struct zone_span s = zone_span_at(z, t);
        int64_t until = s.until < limit ? s.until : limit, from = t, at;

        if (!c->any_time && s.from > INT64_MIN) {
            int64_t old = zone_span_at(z, s.from - 1).offset, change = s.offset - old;

            if (change > 0 && change < CHANGE_MAX_S && t == s.from &&
                next_within(c, s.from + old, s.from + s.offset) != CRON_NEVER)
                return s.from * SECOND_MS;
            if (change < 0 && change > -CHANGE_MAX_S && from < s.from - change)
                from = s.from - change; /* until there the clock says what it said before */
        }
        at = next_within(c, from + s.offset, until + s.offset);
        if (at != CRON_NEVER)
            return (at - s.offset) * SECOND_MS;
        t = until;
    }
    return CRON_NEVER;
}
