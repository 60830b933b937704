/* store_rows.h - the rows of a query as structs. For the store_*.c modules and who else asks the database.
 *
 * Each store_take takes what a db_query has begun and ends it, whatever happens.
 */
#ifndef CORDON_STORE_ROWS_H
#define CORDON_STORE_ROWS_H

#include "arena.h"
#include "db.h"

/** Fills item from the row that rows stands on; texts go to a (store_text, store.h). */
typedef enum err_code (*store_row_fn)(struct db_rows *rows, struct arena *a, void *item,
                                      struct err *e);

struct store_list {
    void *items; /* in the arena; not NULL, even if there are none */
    size_t count;
};

/** All rows, each as an item of size bytes. What bounds them is the statement's LIMIT. */
enum err_code store_take(struct db_rows *rows, struct arena *a, size_t size, store_row_fn fn,
                         struct store_list *ret, struct err *e);
/** The first row, if there is one. */
enum err_code store_take_first(struct db_rows *rows, struct arena *a, store_row_fn fn, void *item,
                               bool *ret_found, struct err *e);
/** The first row; without one ERR_NOT_FOUND, which says `missing`. */
enum err_code store_take_one(struct db_rows *rows, struct arena *a, store_row_fn fn, void *item,
                             const char *missing, struct err *e);
/** The number in the first row's first column; 0 without a row. */
enum err_code store_take_int(struct db_rows *rows, int64_t *ret, struct err *e);
/** Is there a row? */
enum err_code store_take_any(struct db_rows *rows, bool *ret, struct err *e);

struct store;

/** All rows of a query that is asked outside of a transaction; sql, types and arguments as of db_query. Threads: any. */
enum err_code store_read_list(struct store *s, struct arena *a, size_t size, store_row_fn fn,
                              struct store_list *ret, struct err *e, const char *sql,
                              const char *types, ...);

/** The place of a column's word among the names of an enum's values; count: it is none of them. */
int store_find_word(const char *const names[], int count, const char *word);

/** A store_row_fn: item is a const char *, the first column's text or NULL. */
enum err_code store_text_row(struct db_rows *rows, struct arena *a, void *item, struct err *e);

#endif
