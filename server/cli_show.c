/* cli_show.c - what commands print for people, see cli.h.
 *
 * Names of machines, titles of alerts and the like are chosen by attackers and end up on an operator's
 * terminal: every text is cleaned (mime_clean_line) before it is measured and printed. Widths are
 * counted in characters; wide East Asian ones shift a column, nothing worse.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "auto.h"
#include "buf.h"
#include "json.h"
#include "mime.h"
#include "utf8.h"

#define COLUMN_LEAST 8                 /* characters a cut column keeps */
#define COLUMN_WHOLE 20                /* one of at most so many is never cut: ids, times, states */
#define COLUMNS_MAX  16                /* of one table */
#define SHOWN_MAX    (4 * 1024 * 1024) /* bytes of one value */

/* ---- tables ----------------------------------------------------------------------------------- */

static const char *cleaned(struct arena *a, const char *text)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(SHOWN_MAX);
    const char *out;

    if (!text || !*text)
        return "-";
    mime_clean_line(&line, text);
    out = arena_str(a, buf_text(&line));
    return out ? out : "-";
}

void cli_table_init(struct cli_table *t, struct arena *a, const char *const *titles)
{
    const char **clean = arena_array(a, COLUMNS_MAX, sizeof *clean);

    *t = (struct cli_table){.titles = clean, .arena = a};
    while (clean && titles[t->columns] && t->columns < COLUMNS_MAX) {
        clean[t->columns] = cleaned(a, titles[t->columns]);
        t->columns++;
    }
}

void cli_table_row(struct cli_table *t, const char *const *cells)
{
    if (t->rows == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        const char **more = arena_array(t->arena, room * t->columns, sizeof *more);

        if (!more)
            return; /* a table that is short of rows is better than none */
        if (t->rows)
            memcpy(more, t->cells, t->rows * t->columns * sizeof *more);
        t->cells = more;
        t->room = room;
    }
    for (size_t i = 0; i < t->columns; i++)
        t->cells[t->rows * t->columns + i] = cleaned(t->arena, cells[i]);
    t->rows++;
}

/* A cell in its column: cut with an ellipsis, or filled up (but for the last one). */
static void show_cell(const char *text, size_t width, bool last)
{
    size_t n = utf8_count(text);

    if (n <= width) {
        (void)fputs(text, stdout);
        for (; !last && n < width; n++)
            (void)putchar(' ');
        return;
    }
    (void)printf("%.*s" UTF8_ELLIPSIS, (int)utf8_first(text, width - 1), text);
}

void cli_table_show(const struct cli_table *t, size_t width)
{
    size_t widths[COLUMNS_MAX] = {0}, whole[COLUMNS_MAX];
    size_t total = t->columns ? 2 * (t->columns - 1) : 0;

    for (size_t i = 0; i < t->columns; i++) {
        widths[i] = utf8_count(t->titles[i]);
        for (size_t r = 0; r < t->rows; r++) {
            size_t n = utf8_count(t->cells[r * t->columns + i]);

            if (n > widths[i])
                widths[i] = n;
        }
        whole[i] = widths[i] <= COLUMN_WHOLE ? widths[i] : COLUMN_LEAST;
        total += widths[i];
    }
    while (width && total > width) {
        size_t widest = t->columns; /* of those that may be cut */

        for (size_t i = 0; i < t->columns; i++)
            if (widths[i] > whole[i] && (widest == t->columns || widths[i] > widths[widest]))
                widest = i;
        if (widest == t->columns)
            break; /* the terminal folds the row */
        widths[widest]--;
        total--;
    }
    for (size_t i = 0; i < t->columns; i++) {
        show_cell(t->titles[i], widths[i], i + 1 == t->columns);
        (void)fputs(i + 1 < t->columns ? "  " : "\n", stdout);
    }
    for (size_t r = 0; r < t->rows; r++)
        for (size_t i = 0; i < t->columns; i++) {
            show_cell(t->cells[r * t->columns + i], widths[i], i + 1 == t->columns);
            (void)fputs(i + 1 < t->columns ? "  " : "\n", stdout);
        }
}

size_t cli_width(void)
{
    struct winsize size = {0};

    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* ---- values ----------------------------------------------------------------------------------- */

static bool is_container(const struct json *v)
{
    return (json_type(v) == JSON_OBJECT || json_type(v) == JSON_ARRAY) && json_count(v) > 0;
}

/* A scalar, or an empty container. */
static void show_scalar(const struct json *v)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(SHOWN_MAX);

    if (json_type(v) == JSON_STRING)
        mime_clean_line(&text, json_string(v));
    else if (json_type(v) == JSON_NULL)
        buf_addc(&text, '-');
    else
        json_write(&text, v);
    (void)puts(buf_text(&text));
}

static void show_name(const char *name, size_t width)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(SHOWN_MAX);

    mime_clean_line(&text, name);
    buf_addc(&text, ':');
    (void)fputs(buf_text(&text), stdout);
    for (size_t n = utf8_count(buf_text(&text)); n < width; n++)
        (void)putchar(' ');
}

static bool is_left_out(const char *name, const char *const *but)
{
    for (; name && but && *but; but++)
        if (strcmp(name, *but) == 0)
            return true;
    return false;
}

/* Children of an object or array, each on lines of its own; the first follows what stands there. */
static void show_children(const struct json *v, int indent, bool first_is_placed,
                          const char *const *but)
{
    size_t width = 0;

    JSON_EACH (child, v)
        if (json_type(v) == JSON_OBJECT && !is_container(child)) {
            size_t n = utf8_count(json_name(child)) + 2;

            width = n > width && n <= 24 ? n : width;
        }
    JSON_EACH (child, v) {
        if (is_left_out(json_name(child), but))
            continue;
        if (!first_is_placed)
            (void)printf("%*s", indent, "");
        first_is_placed = false;
        if (json_type(v) == JSON_OBJECT)
            show_name(json_name(child), is_container(child) ? 0 : width);
        else
            (void)fputs("- ", stdout);
        if (!is_container(child)) {
            show_scalar(child);
        } else if (json_type(v) == JSON_ARRAY) {
            show_children(child, indent + 2, true, NULL);
        } else {
            (void)putchar('\n');
            show_children(child, indent + 2, false, NULL);
        }
    }
}

void cli_show_value(const struct json *v, const char *const *but)
{
    if (is_container(v))
        show_children(v, 0, false, but);
    else
        show_scalar(v);
}

void cli_show_json(const struct json *v)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(64 * 1024 * 1024);

    json_write(&text, v);
    (void)puts(buf_text(&text));
}

const char *cli_time(struct arena *a, const char *rfc3339)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    size_t i = 0;

    if (!rfc3339)
        return NULL;
    for (; shape[i]; i++)
        if (shape[i] == 'd' ? rfc3339[i] < '0' || rfc3339[i] > '9' : rfc3339[i] != shape[i])
            return rfc3339;
    return arena_fmt(a, "%.10s %.8sZ", rfc3339, rfc3339 + 11);
}
