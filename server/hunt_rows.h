/* hunt_rows.h - what a hunting query found: its columns and rows, which of them are the same, whom they are about.
 *
 * An answer is read as it comes: names in either case (defender-api.md trap 6), cells of any type, annotations left
 * out. Nothing here knows of stores or calls: pure functions, any thread.
 */
#ifndef CORDON_HUNT_ROWS_H
#define CORDON_HUNT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "json.h"
#include "settings.h"

#define HUNT_COLUMNS_MAX 200
#define HUNT_KEY_SIZE    33 /* of the text that stands for a row's key: 128 bits in hexadecimal */

struct hunt_answer {
    const char *const *columns; /* in the order of the query */
    size_t n_columns;
    const struct json *const
        *cells; /* row after row; NULL: the row has no such cell. Of the document */
    size_t n_rows;
};

/** doc: borrowed for as long as the answer is used. ERR_AGAIN when it has no schema or rows that are none; ERR_TOO_BIG
 *  for more than HUNT_COLUMNS_MAX columns. */
enum err_code hunt_answer_read(struct arena *a, const struct json *doc, struct hunt_answer *ret,
                               struct err *e);
/** The column of that name, case aside; -1: there is none. */
int hunt_column(const struct hunt_answer *t, const char *name);
/** Appends a cell as people read it: text as it is, nothing for null, else JSON. */
void hunt_cell_write(struct buf *out, const struct hunt_answer *t, size_t row, size_t column);

/* Which columns tell one row from another. */
struct hunt_key {
    size_t columns[HUNT_COLUMNS_MAX];
    size_t n;
    bool given; /* by the configuration */
    int alert_id; /* a column that tells rows apart besides, where a row has something in it; -1: none */
};

/**
 * names     those of the configuration; none: ReportId, DeviceId and Timestamp, which identify an event
 *           (defender-api.md section 5.3), where all three are there, and its alert, for an event may belong to several, or
 *           come before its alert; else AlertId and what of DeviceId and EntityType there is; else all columns.
 * Returns   ERR_REFUSED, naming it, when the answer has no column of a given name.
 */
enum err_code hunt_key_find(const struct hunt_answer *t, const struct text_list *names,
                            struct hunt_key *ret, struct err *e);
/** The key of a row as a text to compare and keep. A row that has nothing in one of the columns that were not given
 *  is told by all of its cells. */
enum err_code hunt_row_key(const struct hunt_answer *t, const struct hunt_key *key, size_t row,
                           char ret[HUNT_KEY_SIZE], struct err *e);

/* Whom a row is about, as far as its cells are fit to say; texts live in the arena. */
struct hunt_row_ids {
    const char *alert_id;         /* NULL: none */
    const char *machine_id;       /* lower case; NULL: none */
    const char *report_id, *time; /* with machine_id: an event; NULL: none */
};

/** What a row is about, in the arena: what is no such id counts as missing. ERR_NOMEM. */
enum err_code hunt_row_ids(struct arena *a, const struct hunt_answer *t, size_t row,
                           struct hunt_row_ids *ret, struct err *e);
/** Rows of one alert that name several machines: evidence is of many, and which of them the alert is about Defender knows
 *  (intake.c says the same of AlertEvidence that is pushed). ret: one for each row, in the arena. */
enum err_code hunt_rows_torn(struct arena *a, const struct hunt_answer *t, const bool **ret,
                             struct err *e);

/**
 * Appends a table as CSV (RFC 4180, UTF-8 with its mark, every cell in quotes): the columns, then rows[0] to rows[n - 1],
 * until max bytes are full. A text that a spreadsheet would take for a formula gets an apostrophe before it.
 * Returns how many rows have found room.
 */
size_t hunt_csv(struct buf *out, const struct hunt_answer *t, const size_t rows[], size_t n,
                size_t max);

#endif
