/* settings_number.c - see settings_own.h: numbers, with a unit and without, times of day, and true or false. */
#include "settings_own.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit time_units[] = {
    {"d", DAY_MS}, {"h", HOUR_MS}, {"m", MINUTE_MS}, {"s", SECOND_MS}, {"ms", 1}};
static const struct unit size_units[] = {
    {"GiB", 1024 * 1024 * 1024}, {"MiB", 1024 * 1024}, {"KiB", 1024}, {"", 1}};
static const struct unit no_units[] = {{"", 1}};

/* Digits and a unit, nothing else. */
static bool measure(const char *text, const struct unit *units, size_t n, int64_t *ret)
{
    int64_t value = 0, product;
    const char *p = text;

    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *p - '0', &value))
            return false;
    if (p == text)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(p, units[i].name) == 0) {
            if (__builtin_mul_overflow(value, units[i].factor, &product))
                return false;
            *ret = product;
            return true;
        }
    if (value == 0 && *p == '\0') { /* no unit makes nothing more or less */
        *ret = 0;
        return true;
    }
    return false;
}

bool settings_digits(const char *text, int64_t *ret)
{
    return measure(text, no_units, 1, ret);
}

enum err_code settings_duration(const char *text, int64_t *ret_ms, struct err *e)
{
    if (!measure(text, time_units, sizeof time_units / sizeof time_units[0], ret_ms))
        return err_set(e, ERR_INVALID, "'%.40s' is not a time such as 30s, 5m, 4h or 3d", text);
    return ERR_OK;
}

/* "+01:00" at the end of a time, in minutes. */
static bool measure_offset(const char *text, int64_t *ret_minutes)
{
    const char hours[] = {text[1], text[2], '\0'}, minutes[] = {text[4], text[5], '\0'};
    int64_t h, m;

    if (text[3] != ':' || !measure(hours, no_units, 1, &h) || !measure(minutes, no_units, 1, &m) ||
        h > 23 || m > 59)
        return false;
    *ret_minutes = (*text == '-' ? -1 : 1) * (h * 60 + m);
    return true;
}

enum err_code settings_time(const char *text, int64_t *ret_ms, struct err *e)
{
    char utc[40]; /* one with nine digits behind its seconds has 30 */
    size_t len = strlen(text), offset_len = sizeof "+01:00" - 1;
    int64_t ms, offset = 0;

    if (len < sizeof utc - 1 && len > offset_len && strchr("+-", text[len - offset_len])) {
        if (!measure_offset(text + len - offset_len, &offset))
            goto bad;
        len -= offset_len;
        memcpy(utc, text, len);
        utc[len++] = 'Z';
    } else if (len < sizeof utc) {
        memcpy(utc, text, len);
    } else {
        goto bad;
    }
    utc[len] = '\0';
    if (clock_parse(utc, &ms, NULL))
        goto bad;
    *ret_ms = ms - offset * MINUTE_MS;
    return ERR_OK;
bad:
    return err_set(e, ERR_INVALID, "'%.40s' is not a time such as 2026-03-01T00:00:00Z", text);
}

enum err_code settings_since(const char *text, int64_t now, int64_t *ret_ms, struct err *e)
{
    int64_t ago;

    if (!settings_time(text, ret_ms, NULL))
        return ERR_OK;
    if (settings_duration(text, &ago, NULL))
        return err_set(e, ERR_INVALID, "expected 4h, 3d or 2026-01-01T00:00:00Z, found '%.40s'",
                       text);
    *ret_ms = now - ago;
    return ERR_OK;
}

enum err_code settings_size(const char *text, int64_t *ret_bytes, struct err *e)
{
    if (!measure(text, size_units, sizeof size_units / sizeof size_units[0], ret_bytes))
        return err_set(e, ERR_INVALID, "'%.40s' is not a size such as 256KiB or 1MiB", text);
    return ERR_OK;
}

/* The value in its largest whole unit, for messages. */
static const char *measured(const struct settings_reader *r, int64_t value,
                            const struct unit *units, size_t n)
{
    size_t i = 0;
    const char *out;

    while (i + 1 < n && (value == 0 || value % units[i].factor))
        i++;
    out = arena_fmt(r->arena, "%lld%s", (long long)(value / units[i].factor), units[i].name);
    return out ? out : SETTINGS_NO_MEMORY;
}

/* text: the value in the words of the file. */
static bool in_range(const struct reading *x, int64_t value, const char *text,
                     const struct unit *units, size_t n)
{
    const struct setting *s = x->setting;

    if (s->least == 0 && s->most == 0)
        return true;
    if (value < s->least)
        yaml_fault(x->reader->faults, x->node, "%s: %s is too little; expected at least %s",
                   x->name, text, measured(x->reader, s->least, units, n));
    else if (value > s->most)
        yaml_fault(x->reader->faults, x->node, "%s: %s is too much; expected at most %s", x->name,
                   text, measured(x->reader, s->most, units, n));
    else
        return true;
    return false;
}

bool settings_read_duration(const struct reading *x, int64_t *field)
{
    static const char what[] = "a time such as 30s, 5m, 4h or 3d";
    const size_t n = sizeof time_units / sizeof time_units[0];
    bool bare;
    int64_t value;
    const char *text = settings_scalar(x, what, &bare);

    if (!text)
        return false;
    if (settings_duration(text, &value, NULL))
        return settings_expected(x, what, text);
    if (!in_range(x, value, text, time_units, n))
        return false;
    *field = value;
    return true;
}

bool settings_read_size(const struct reading *x, int64_t *field)
{
    static const char what[] = "a size such as 256KiB or 1MiB";
    const size_t n = sizeof size_units / sizeof size_units[0];
    bool bare;
    int64_t value;
    const char *text = settings_scalar(x, what, &bare);

    if (!text)
        return false;
    if (settings_size(text, &value, NULL))
        return settings_expected(x, what, text);
    if (!in_range(x, value, text, size_units, n))
        return false;
    *field = value;
    return true;
}

bool settings_read_time(const struct reading *x, int64_t *field)
{
    static const char what[] = "a time such as 2026-03-01T00:00:00Z";
    bool bare;
    int64_t value;
    const char *text = settings_scalar(x, what, &bare);

    if (!text)
        return false;
    if (settings_time(text, &value, NULL))
        return settings_expected(x, what, text);
    *field = value;
    return true;
}

/* What is in quotes looks as it should, and is text. */
static bool found_quotes(const struct reading *x, const char *what)
{
    yaml_fault(x->reader->faults, x->node, "%s: expected %s, found text in quotes", x->name, what);
    return false;
}

bool settings_read_int(const struct reading *x, int64_t *field)
{
    static const char what[] = "a whole number";
    bool bare, minus;
    int64_t value;
    const char *text = settings_scalar(x, what, &bare);

    if (!text)
        return false;
    minus = *text == '-';
    if (!bare)
        return found_quotes(x, what);
    if (!measure(text + minus, no_units, 1, &value))
        return settings_expected(x, what, text);
    if (!in_range(x, minus ? -value : value, text, no_units, 1))
        return false;
    *field = minus ? -value : value;
    return true;
}

bool settings_read_bool(const struct reading *x, bool *field)
{
    static const char what[] = "true or false";
    bool bare;
    const char *text = settings_scalar(x, what, &bare);

    if (!text)
        return false;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return settings_expected(x, what, text);
    if (!bare)
        return found_quotes(x, what);
    *field = *text == 't';
    return true;
}
