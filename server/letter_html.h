/* letter_html.h - how a letter looks: the HTML part, piece by piece.
 *
 * Mail clients are not browsers. Outlook lays out with Word: tables, attributes and inline styles count,
 * max-width does not (hence a table of its own in a conditional comment). Gmail drops what it does not know
 * and keeps inline styles. Phones are narrow, and turn colours at night: every text has a background of its
 * own, and the style element in the head says better ones to who reads it. Nothing is fetched from anywhere.
 *
 * Every text is escaped here; whether it is to be defanged, letter.c knows.
 */
#ifndef CORDON_LETTER_HTML_H
#define CORDON_LETTER_HTML_H

#include "buf.h"

/** headline, colour ("#1f4e79", of the band that it stands on): ours. */
void letter_html_begin(struct buf *out, const char *headline, const char *colour);
/** label: ours, set before the text; NULL: none. Lines stay lines. code: `…` becomes a command to copy. */
void letter_html_paragraph(struct buf *out, const char *label, const char *text, int code);
void letter_html_heading(struct buf *out, const char *text);
void letter_html_table_begin(struct buf *out);
void letter_html_row(struct buf *out, const char *name, const char *value, int strong);
void letter_html_table_end(struct buf *out);
void letter_html_link(struct buf *out, const char *label, const char *url);
/** A list in columns; each of `cells` is a row of n texts. */
void letter_html_list_begin(struct buf *out);
void letter_html_list_row(struct buf *out, const char *const *cells, size_t n, int head);
void letter_html_list_end(struct buf *out);
void letter_html_end(struct buf *out);

#endif
