/* letter.h - one message to people: both parts of it at once, then stored as a notice with its work.
 *
 * Everything that an attacker may have chosen goes through letter_fact, letter_words or letter_list_row:
 * defanged in both parts and escaped in the HTML one. What is ours (letter_own_fact, letter_paragraph) is
 * escaped only. How it looks: letter_html.c; the plain part is the same in lines.
 *
 *     letter_begin(&l, arena, "Headline", LETTER_BLUE);
 *     letter_table_begin … letter_fact … letter_table_end … letter_paragraph … letter_link
 *     code = letter_put(tx, &l, &post, &record, now, e);
 *     letter_clear(&l);
 */
#ifndef CORDON_LETTER_H
#define CORDON_LETTER_H

#include "arena.h"
#include "buf.h"
#include "mime.h"
#include "store_notices.h"

/* Bytes of a text in a mail. Both parts have room for all of them, escaped (at most sixfold). */
#define LETTER_VALUE_MAX   2000
#define LETTER_MESSAGE_MAX (8 * 1024 * 1024) /* both parts, encoded */

/* Of a cell of a table: twenty rows of ten have room in a part, whatever is in them. */
#define LETTER_CELL_MAX 120

/* Colours of headlines. */
#define LETTER_BLUE  "#1f4e79" /* for your information */
#define LETTER_AMBER "#8a5a00" /* not the end of it */
#define LETTER_GREEN "#1e6b34" /* as it should be */
#define LETTER_RED   "#a61b1b" /* a person should look */

struct letter {
    struct buf text, html;
    struct arena *arena;
};

/** headline, colour: ours. Whatever fails is remembered, and said by letter_put. */
void letter_begin(struct letter *l, struct arena *arena, const char *headline, const char *colour);
/** what: harmless already; what stands between backticks is a command to copy. */
void letter_paragraph(struct letter *l, const char *what);
/** Says that cordon is paused. words, end: of pause_words and pause_end; case_id: what to retry then, or NULL. */
void letter_paused(struct letter *l, const char *words, const char *end, const char *case_id);
/** The same behind a word in bold: "Next". */
void letter_labelled(struct letter *l, const char *label, const char *what);
/** A paragraph that an attacker may have a part in: of a template. Lines stay lines. */
void letter_words(struct letter *l, const char *words);
/** The same behind a word in bold, for what is harmless already: of letter_harmless. */
void letter_own_words(struct letter *l, const char *label, const char *words);
/** A foreign text as one defanged line of at most max bytes. Lives in the arena; "" when memory is out, which
 *  letter_put says. */
const char *letter_harmless(struct letter *l, const char *value, size_t max);
/** A small heading of ours, above a table. */
void letter_heading(struct letter *l, const char *what);
void letter_table_begin(struct letter *l);
/** value: text that an attacker may have chosen; NULL or empty leaves the row out. */
void letter_fact(struct letter *l, const char *name, const char *value);
/** The same, for what is to be seen first. */
void letter_first_fact(struct letter *l, const char *name, const char *value);
/** value: ours, from the configuration or from ids with a narrow alphabet; NULL leaves the row out. */
void letter_own_fact(struct letter *l, const char *name, const char *value);
void letter_table_end(struct letter *l);
/** A table of strangers' texts: titles, then n_rows rows of as many cells; cell appends its text. A cell is cut at
 *  LETTER_CELL_MAX bytes. In the plain part a row is a paragraph, a line for each cell that holds something. */
void letter_grid(struct letter *l, const char *const *titles, size_t n_columns, size_t n_rows,
                 void (*cell)(void *ctx, size_t row, size_t column, struct buf *out), void *ctx);
/** Rows of a few short texts each, cut at LETTER_CELL_MAX bytes; head: our names of the columns. */
void letter_list_begin(struct letter *l, const char *const *head, size_t n);
void letter_list_row(struct letter *l, const char *const *cells, size_t n);
void letter_list_end(struct letter *l);
/** A link of our own. text: before it in the plain part; label: what is clicked on in the other. */
void letter_link(struct letter *l, const char *text, const char *label, const char *url);
void letter_clear(struct letter *l);

/** Text for a mail, cut at a character when it is longer than a person reads. NULL stays NULL. */
const char *letter_cut(struct arena *arena, const char *text, size_t max);

struct letter_post {
    const char *const *to;
    size_t n_to; /* of more than MAIL_RECIPIENTS_MAX the rest is left out, and logged */
    int64_t root,
        answers_to;    /* first and last mail of the thread that it goes on; 0: it begins one */
    const char *topic; /* what Outlook calls the thread; NULL: the subject */
    const struct mime_header *headers;
    size_t n_headers;
    const struct mime_attachment *attachment; /* NULL: none */
};

/** Inside a transaction: ends the letter and builds the message of it, as letter_put stores it. now: its date. */
enum err_code letter_build(struct db_tx *tx, struct letter *l, const struct letter_post *post,
                           const struct notice_record *r, const char *const *to, size_t n_to,
                           int64_t now, struct buf *out, struct err *e);
/**
 * Inside a transaction: ends the letter, builds the message and stores it with its work. r: id, case_id or
 * about, kind, subject, sender, thread and after are the caller's; the rest is filled here.
 */
enum err_code letter_put(struct db_tx *tx, struct letter *l, const struct letter_post *post,
                         struct notice_record *r, int64_t now, struct err *e);

#endif
