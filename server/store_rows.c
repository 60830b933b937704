/* store_rows.c - see store_rows.h. */
#include "store_rows.h"

#include <stdarg.h>
#include <string.h>

#include "store.h"

#define FIRST_ROOM 8

/* Twice as much room; what it was in is forgotten with the arena. */
static enum err_code widen(struct store_list *l, size_t *room, struct arena *a, size_t size,
                           struct err *e)
{
    void *items = arena_array(a, *room * 2, size);

    if (!items)
        return err_set(e, ERR_NOMEM, "rows of the store");
    memcpy(items, l->items, l->count * size);
    l->items = items;
    *room *= 2;
    return ERR_OK;
}

enum err_code store_take(struct db_rows *rows, struct arena *a, size_t size, store_row_fn fn,
                         struct store_list *ret, struct err *e)
{
    struct store_list l = {.items = arena_array(a, FIRST_ROOM, size)};
    size_t room = FIRST_ROOM;
    enum err_code code = l.items ? ERR_OK : err_set(e, ERR_NOMEM, "rows of the store"), end;

    while (!code && db_next(rows)) {
        if (l.count == room)
            code = widen(&l, &room, a, size, e);
        if (!code)
            code = fn(rows, a, (char *)l.items + l.count++ * size, e);
    }
    end = db_rows_end(rows, code ? NULL : e);
    if (code || end)
        return code ? code : end;
    *ret = l;
    return ERR_OK;
}

enum err_code store_take_first(struct db_rows *rows, struct arena *a, store_row_fn fn, void *item,
                               bool *ret_found, struct err *e)
{
    bool found = db_next(rows);
    enum err_code code = found ? fn(rows, a, item, e) : ERR_OK;
    enum err_code end = db_rows_end(rows, code ? NULL : e);

    if (code || end)
        return code ? code : end;
    *ret_found = found;
    return ERR_OK;
}

enum err_code store_take_one(struct db_rows *rows, struct arena *a, store_row_fn fn, void *item,
                             const char *missing, struct err *e)
{
    bool found = false;
    enum err_code code = store_take_first(rows, a, fn, item, &found, e);

    return code || found ? code : err_set(e, ERR_NOT_FOUND, "%s", missing);
}

enum err_code store_take_int(struct db_rows *rows, int64_t *ret, struct err *e)
{
    *ret = db_next(rows) ? db_int(rows, 0) : 0;
    return db_rows_end(rows, e);
}

enum err_code store_take_any(struct db_rows *rows, bool *ret, struct err *e)
{
    *ret = db_next(rows);
    return db_rows_end(rows, e);
}

struct listing {
    struct arena *arena;
    size_t size;
    store_row_fn fn;
    struct store_list *ret;
    const char *sql, *types;
    va_list *ap;
};

static enum err_code list_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct listing *l = arg;
    struct db_rows *rows;
    va_list ap;
    enum err_code code;

    va_copy(ap, *l->ap); /* it may have to be asked again */
    code = db_query_v(tx, e, &rows, l->sql, l->types, ap);
    va_end(ap);
    return code ? code : store_take(rows, l->arena, l->size, l->fn, l->ret, e);
}

enum err_code store_read_list(struct store *s, struct arena *a, size_t size, store_row_fn fn,
                              struct store_list *ret, struct err *e, const char *sql,
                              const char *types, ...)
{
    struct listing l = {.arena = a, .size = size, .fn = fn, .ret = ret, .sql = sql, .types = types};
    va_list ap;
    enum err_code code;

    va_start(ap, types);
    l.ap = &ap;
    code = db_read(s->db, list_fn, &l, e);
    va_end(ap);
    return code;
}

int store_find_word(const char *const names[], int count, const char *word)
{
    int i = 0;

    while (i < count && strcmp(names[i], word) != 0)
        i++;
    return i;
}

enum err_code store_text_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(const char **)item = store_text(a, rows, 0, &nomem);
    return nomem ? err_set(e, ERR_NOMEM, "a text of the store") : ERR_OK;
}
