/* html.h - pages for a browser: how each begins and ends, its one style, its parts, and the headers that keep it harmless.
 *
 *     AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);
 *     html_begin(&out, "Cases", NULL);
 *     html_line(&out, "h1", NULL, "Cases");
 *     html_table_begin(&t, &out, "Newest first", columns);
 *     …
 *     html_end(&out);
 *     html_reply(r, 200, &out, NULL);
 *
 * A page holds no script, loads nothing, and cannot be framed; its forms go to its own host alone (the policy that
 * goes with it says so to the browser). Every text that is given to these functions is taken for hostile and
 * escaped; markup is written by them, or by buf_adds of literals. Without the style a page reads in the same order.
 */
#ifndef CORDON_HTML_H
#define CORDON_HTML_H

#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "http.h"

#define HTML_PAGE_MAX    (4 * 1024 * 1024) /* bytes of a page */
#define HTML_COLUMNS_MAX 10

/* What a word means for whoever looks: a colour beside the word, never instead of it. */
enum html_tone { HTML_PLAIN, HTML_GOOD, HTML_WARN, HTML_BAD };

/** Up to and with <body>. title: of the window. */
void html_begin(struct buf *out, const char *title);
/** </body></html>. */
void html_end(struct buf *out);

/** Text, escaped; for quoted values of attributes, too. NULL, which only memory that ran out gives, fails the page. */
void html_text(struct buf *out, const char *text);
/** <element>text</element>; class NULL: none. Both names are literals of ours. */
void html_line(struct buf *out, const char *element, const char *class, const char *text);
/** The same as a link. href: a path of ours, escaped too. */
void html_link(struct buf *out, const char *href, const char *text);
/** One word, or few, that catch the eye. */
void html_badge(struct buf *out, enum html_tone tone, const char *text);
/** A moment in UTC and how long ago, or in how long, it is: "2026-01-07 03:12:45 UTC (2 h 5 min ago)"; "never" for 0. */
void html_time(struct buf *out, int64_t wall_ms, int64_t now);

/* ---- names and values ------------------------------------------------------------------------- */

void html_pairs_begin(struct buf *out);
/** One of them; nothing at all when value is NULL or "". */
void html_pair(struct buf *out, const char *name, const char *value);
/** The same around what the caller writes. */
void html_pair_begin(struct buf *out, const char *name);
void html_pair_end(struct buf *out);
void html_pairs_end(struct buf *out);

/* ---- tables: the first column names its row ---------------------------------------------------- */

struct html_table {
    struct buf *out;
    const char *const *columns; /* names, NULL-terminated; literals */
    unsigned column;
};

/** caption: what the table holds, one sentence. */
void html_table_begin(struct html_table *t, struct buf *out, const char *caption,
                      const char *const *columns);
void html_row_begin(struct html_table *t);
/** The next cell of the row, around what the caller writes. */
void html_cell_begin(struct html_table *t);
void html_cell_end(struct html_table *t);
/** The next cell; NULL and "" are shown as a dash. */
void html_cell(struct html_table *t, const char *text);
void html_cell_time(struct html_table *t, int64_t wall_ms, int64_t now);
void html_row_end(struct html_table *t);
void html_table_end(struct html_table *t);

/* ---- what it sends ------------------------------------------------------------------------------ */

/** Is the request's body that of a form: its one Content-Type, whatever stands behind it? */
bool html_is_form(const struct http_request *r);

/* ---- its answer ------------------------------------------------------------------------------- */

/**
 * Sends a page that html_end has ended. What could not be made is a problem with status 503.
 * extra: headers besides those that each page has, at most two, NULL name ends; may be NULL.
 */
void html_reply(struct http_request *r, unsigned status, struct buf *out,
                const char *const extra[][2]);
/** Sends a browser on with 303: what was ordered by a form is done, and reloading does not order it again. location: a path of
 *  ours; NULL, which only memory that ran out gives, is said. extra as above. */
void html_redirect(struct http_request *r, const char *location, const char *const extra[][2]);

#endif
