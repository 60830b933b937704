/* zone.c - see zone.h.
 *
 * A TZif file has a table of moments at which the offset changes, and a rule in words for all that comes after
 * the last of them ("CET-1CEST,M3.5.0,M10.5.0/3"). The first half of the file, with times of 32 bits, is for programs
 * of another century and is passed over.
 */
#include "zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "yaml.h"

#define FOLDER         "/usr/share/zoneinfo/"
#define FILE_MAX       (64 * 1024) /* the largest of tzdata is 4 KiB */
#define NAME_MAX_CHARS 64
#define NAMES_MAX      2000 /* tzdata has some 600 */

#define DAY_S 86400

/* The day and the second of it at which a rule says that the clocks change. */
struct turn {
    enum { TURN_MONTH, TURN_JULIAN, TURN_DAY } form;
    int month, week, weekday; /* TURN_MONTH: the week's (5: last) weekday of month */
    int day;    /* TURN_JULIAN: 1 to 365, 29 February never counts; TURN_DAY: 0 to 365 */
    int32_t at; /* seconds after midnight; may be of another day */
};

struct zone {
    size_t n; /* changes */
    const int64_t *at;
    const int32_t *offset; /* from at[i] on */
    int32_t before;        /* the first of them */
    bool has_rule, has_dst;
    int32_t standard, dst;
    struct turn to_dst, to_standard;
};

/* Years are counted from March, in eras of 400, so that the leap day is the last of its year. */
void zone_date_of(int64_t day, int64_t *ret_year, int *ret_month, int *ret_day)
{
    int64_t z = day + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t from_march = (5 * of_year + 2) / 153;

    *ret_day = (int)(of_year - (153 * from_march + 2) / 5 + 1);
    *ret_month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

/* ---- the rule in words ------------------------------------------------------------------------- */

static bool number(const char **p, int most, int *ret)
{
    int n = 0;
    const char *at = *p;

    for (; *at >= '0' && *at <= '9' && at - *p < 4; at++)
        n = n * 10 + (*at - '0');
    if (at == *p || n > most)
        return false;
    *p = at;
    *ret = n;
    return true;
}

/* "[+-]hh[:mm[:ss]]" to seconds. */
static bool clock_time(const char **p, int most_hours, int32_t *ret)
{
    int sign = **p == '-' ? -1 : 1, hours, minutes = 0, seconds = 0;

    if (**p == '-' || **p == '+')
        (*p)++;
    if (!number(p, most_hours, &hours))
        return false;
    if (**p == ':') {
        (*p)++;
        if (!number(p, 59, &minutes))
            return false;
        if (**p == ':') {
            (*p)++;
            if (!number(p, 59, &seconds))
                return false;
        }
    }
    *ret = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

/* "CEST" or "<+1030>"; nobody here wants to know it. */
static bool abbreviation(const char **p)
{
    const char *start = *p;

    if (**p == '<') {
        const char *end = strchr(*p, '>');

        if (!end)
            return false;
        *p = end + 1;
        return true;
    }
    while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z'))
        (*p)++;
    return *p - start >= 3;
}

/* ",M3.5.0/2" */
static bool read_turn(const char **p, struct turn *t)
{
    *t = (struct turn){.form = TURN_DAY, .at = 2 * 3600};
    if (*(*p)++ != ',')
        return false;
    if (**p == 'M') {
        (*p)++;
        t->form = TURN_MONTH;
        if (!number(p, 12, &t->month) || !t->month || *(*p)++ != '.' || !number(p, 5, &t->week) ||
            !t->week || *(*p)++ != '.' || !number(p, 6, &t->weekday))
            return false;
    } else if (**p == 'J') {
        (*p)++;
        t->form = TURN_JULIAN;
        if (!number(p, 365, &t->day) || !t->day)
            return false;
    } else if (!number(p, 365, &t->day)) {
        return false;
    }
    if (**p != '/')
        return true;
    (*p)++;
    return clock_time(p, 167, &t->at); /* RFC 8536 section 3.3.1: up to a week */
}

/* Offsets there are west of UTC, ours are east. */
static bool read_rule(const char *text, struct zone *z)
{
    const char *p = text;

    if (!abbreviation(&p) || !clock_time(&p, 24, &z->standard))
        return false;
    z->standard = -z->standard;
    z->has_rule = true;
    if (!*p)
        return true;
    z->has_dst = true;
    z->dst = z->standard + 3600;
    if (!abbreviation(&p))
        return false;
    if (*p != ',') {
        if (!clock_time(&p, 24, &z->dst))
            return false;
        z->dst = -z->dst;
    }
    return read_turn(&p, &z->to_dst) && read_turn(&p, &z->to_standard) && !*p;
}

/* Wall clock seconds of the turn in a year, by the clock that is in use until then. */
static int64_t turn_in(const struct turn *t, int64_t year)
{
    int64_t day;

    if (t->form == TURN_MONTH) {
        int last = clock_month_length(year, t->month);
        int64_t first = clock_day_of(year, t->month, 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        int64_t of_month = (t->weekday - weekday + 7) % 7 + 7 * (int64_t)(t->week - 1);

        while (of_month >= last)
            of_month -= 7;
        day = first + of_month;
    } else {
        day = clock_day_of(year, 1, 1) + t->day;
        if (t->form == TURN_JULIAN)
            day += (t->day >= 60 && clock_month_length(year, 2) == 29) - 1;
    }
    return day * DAY_S + t->at;
}

/* The rule's span around a moment. */
static struct zone_span rule_span(const struct zone *z, int64_t utc_s)
{
    struct zone_span s = {INT64_MIN, INT64_MAX, z->standard};
    int64_t year;
    int month, day;

    if (!z->has_dst)
        return s;
    zone_date_of((utc_s >= 0 ? utc_s : utc_s - DAY_S + 1) / DAY_S, &year, &month, &day);
    for (int64_t y = year - 1; y <= year + 1; y++)
        for (int i = 0; i < 2; i++) {
            int64_t at =
                i ? turn_in(&z->to_standard, y) - z->dst : turn_in(&z->to_dst, y) - z->standard;

            if (at <= utc_s && at >= s.from) {
                s.from = at;
                s.offset = i ? z->standard : z->dst;
            } else if (at > utc_s && at < s.until) {
                s.until = at;
            }
        }
    return s;
}

struct zone_span zone_span_at(const struct zone *z, int64_t utc_s)
{
    struct zone_span s = {INT64_MIN, INT64_MAX, z->before};
    size_t low = 0, high = z->n; /* at[low - 1] <= utc_s < at[high] */

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (z->at[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == z->n && z->has_rule) {
        s = rule_span(z, utc_s);
        if (z->n && s.from < z->at[z->n - 1])
            s.from = z->at[z->n - 1];
        return s;
    }
    if (low < z->n)
        s.until = z->at[low];
    if (low) {
        s.from = z->at[low - 1];
        s.offset = z->offset[low - 1];
    }
    return s;
}

/* ---- the file ---------------------------------------------------------------------------------- */

#define HEADER 44

struct counts { /* in the order of the file: RFC 8536 section 3.1 */
    size_t isut, isstd, leap, time, type, chars;
};

static uint64_t big_endian(const unsigned char *p, int bytes)
{
    uint64_t n = 0;

    for (int i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

/* The header at `at` and the size of the data behind it; false: there is none that fits. */
static bool read_header(const unsigned char *bytes, size_t len, size_t at, size_t time_size,
                        struct counts *ret, size_t *ret_data)
{
    const unsigned char *p = bytes + at + 20;

    if (len < at + HEADER || memcmp(bytes + at, "TZif", 4) != 0)
        return false;
    ret->isut = big_endian(p, 4);
    ret->isstd = big_endian(p + 4, 4);
    ret->leap = big_endian(p + 8, 4);
    ret->time = big_endian(p + 12, 4);
    ret->type = big_endian(p + 16, 4);
    ret->chars = big_endian(p + 20, 4);
    if (ret->isut > len || ret->isstd > len || ret->leap > len || ret->time > len ||
        ret->type > len || ret->chars > len)
        return false; /* and so that no sum overflows */
    *ret_data = ret->time * (time_size + 1) + ret->type * 6 + ret->chars +
                ret->leap * (time_size + 4) + ret->isstd + ret->isut;
    return len - at - HEADER >= *ret_data;
}

static enum err_code no_zone(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "not a file of tzdata: %s", what);
}

static enum err_code read_table(const unsigned char *p, const struct counts *c, struct arena *a,
                                struct zone *z, struct err *e)
{
    const unsigned char *index = p + c->time * 8, *types = index + c->time;
    int64_t *at = arena_array(a, c->time + 1, sizeof *at);
    int32_t *offset = arena_array(a, c->time + 1, sizeof *offset);

    if (!at || !offset)
        return err_set(e, ERR_NOMEM, "a time zone");
    z->before = (int32_t)big_endian(types, 4);
    for (size_t i = 0; i < c->time; i++) {
        at[i] = (int64_t)big_endian(p + i * 8, 8);
        if (index[i] >= c->type || (i && at[i] <= at[i - 1]))
            return no_zone(e, "its table of changes is broken");
        offset[i] = (int32_t)big_endian(types + (size_t)index[i] * 6, 4);
    }
    for (size_t i = 0; i < c->type; i++) {
        int32_t seconds = (int32_t)big_endian(types + i * 6, 4);

        if (seconds <= -2 * DAY_S || seconds >= 2 * DAY_S)
            return no_zone(e, "an offset of more than a day");
    }
    z->n = c->time;
    z->at = at;
    z->offset = offset;
    return ERR_OK;
}

enum err_code zone_parse(const unsigned char *bytes, size_t len, struct arena *a,
                         const struct zone **ret, struct err *e)
{
    struct zone *z = arena_alloc(a, sizeof *z);
    struct counts c;
    size_t data, at;
    const char *rule;
    enum err_code code;

    if (!z)
        return err_set(e, ERR_NOMEM, "a time zone");
    if (!read_header(bytes, len, 0, 4, &c, &data))
        return no_zone(e, "it does not begin as one");
    if (bytes[4] < '2')
        return no_zone(e, "its format is older than 2005");
    at = HEADER + data;
    if (!read_header(bytes, len, at, 8, &c, &data) || !c.type)
        return no_zone(e, "it is cut short");
    if (c.leap)
        return no_zone(e, "it counts leap seconds (right/…), which no clock of a computer does");
    code = read_table(bytes + at + HEADER, &c, a, z, e);
    if (code)
        return code;
    at += HEADER + data;
    if (len - at < 2 || bytes[at] != '\n' || bytes[len - 1] != '\n')
        return no_zone(e, "it is cut short");
    rule = arena_strn(a, (const char *)bytes + at + 1, len - at - 2);
    if (!rule)
        return err_set(e, ERR_NOMEM, "a time zone");
    if (*rule && !read_rule(rule, z))
        return no_zone(e, "its rule for the future cannot be read");
    *ret = z;
    return ERR_OK;
}

static bool name_is_fit(const char *name)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_+-";
    size_t len = strlen(name);

    return len && len <= NAME_MAX_CHARS && strspn(name, letters) == len && name[0] != '/' &&
           name[len - 1] != '/' && !strstr(name, "//");
}

static enum err_code read_zone_file(const char *path, unsigned char *out, size_t *ret_len,
                                    struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t len = 0;
    ssize_t n = 1;
    int error;

    if (fd < 0)
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO,
                       "cannot read %s: %s", path, strerrordesc_np(errno));
    while (len < FILE_MAX && n > 0) {
        n = read(fd, out + len, FILE_MAX - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    error = n < 0 ? errno : 0;
    (void)close(fd); /* was only read */
    if (error == EISDIR)
        return err_set(e, ERR_NOT_FOUND, "%s is a folder", path);
    if (error)
        return err_set(e, ERR_IO, "cannot read %s: %s", path, strerrordesc_np(error));
    *ret_len = len;
    return ERR_OK;
}

/* The name of a zone in a line of tzdata's list, "Z NAME …" or "L TARGET NAME"; lives in a. NULL: it names none. */
static const char *name_in(const char *line, struct arena *a)
{
    const char *name = strncmp(line, "Z ", 2) == 0 ? line + 2 : NULL;

    if (strncmp(line, "L ", 2) == 0 && (name = strchr(line + 2, ' ')))
        name++;
    return name ? arena_strn(a, name, strcspn(name, " \n")) : NULL;
}

/* Is near what name was to be, but for slips? One letter makes of PST another zone's EST, one digit of GMT+1 GMT+0: such a
 * one has to be the same. */
static bool may_be_meant(const char *name, const char *near)
{
    return strcasecmp(name, near) == 0 || (strlen(near) > 4 && !strpbrk(near, "0123456789"));
}

/* The nearest one that this system has; NULL. */
static const char *nearest_zone(const char *name, struct arena *a)
{
    const char **names = arena_array(a, NAMES_MAX + 1, sizeof *names);
    const char *near = NULL, *path = NULL;
    char line[512];
    size_t n = 0;
    int error = 0;
    FILE *f = names ? file_open_stream(FOLDER "tzdata.zi", &error) : NULL;

    while (f && n < NAMES_MAX && fgets(line, sizeof line, f))
        if ((names[n] = name_in(line, a)))
            n++;
    if (f)
        (void)fclose(f); /* was only read */
    if (names && (near = yaml_nearest(name, names)) && may_be_meant(name, near))
        path = arena_fmt(a, FOLDER "%s", near);
    return path && access(path, R_OK) == 0 ? near : NULL;
}

enum err_code zone_load(const char *name, struct arena *a, const struct zone **ret, struct err *e)
{
    AUTO(auto_free) unsigned char *bytes = NULL;
    char meant[YAML_MEANT_SIZE];
    const char *path;
    size_t len = 0;
    enum err_code code;

    if (!name_is_fit(name))
        return err_set(e, ERR_INVALID,
                       "expected a time zone such as Europe/Stockholm or UTC, found '%.60s'", name);
    if (strcmp(name, "UTC") == 0) {
        struct zone *utc = arena_alloc(a, sizeof *utc);

        if (!utc)
            return err_set(e, ERR_NOMEM, "a time zone");
        *ret = utc;
        return ERR_OK;
    }
    path = arena_fmt(a, FOLDER "%s", name);
    bytes = malloc(FILE_MAX);
    if (!path || !bytes)
        return err_set(e, ERR_NOMEM, "a time zone");
    code = read_zone_file(path, bytes, &len, e);
    if (code == ERR_NOT_FOUND && access(FOLDER "Etc/UTC", R_OK) != 0)
        return err_set(e, code, "this system has no time zones; install the package tzdata");
    if (code == ERR_NOT_FOUND)
        return err_set(
            e, code, "there is no time zone '%s'%s", name,
            yaml_meant(nearest_zone(name, a), "; expected one such as Europe/Stockholm", meant));
    if (!code)
        code = zone_parse(bytes, len, a, ret, e);
    return code ? err_in(e, "time zone %s", name) : ERR_OK;
}
