/* db_sqlite_statement.c - statements, their parameters and their rows; see db_sqlite_own.h. */
#include "db_sqlite_own.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEPT_STEP 8 /* places where a statement may stand */

static struct sqlite_conn *sqlite_conn(struct db_conn *c)
{
    return (struct sqlite_conn *)c;
}

static struct sqlite_statement *statement(struct db_rows *rows)
{
    return (struct sqlite_statement *)rows;
}

/* Does it begin with a word for changing rows? (WITH stands before one of them.) */
static bool is_change_of_rows(const char *sql)
{
    static const char *const words[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"};

    sql += strspn(sql, " \t\r\n");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncasecmp(sql, words[i], strlen(words[i])) == 0)
            return true;
    }
    return false;
}

/* $1 is a name to SQLite, numbered by its first use: they have to stand in order. */
static enum err_code check_params(const struct sqlite_statement *s, struct err *e)
{
    for (int i = 1; i <= s->n_params; i++) {
        const char *name = sqlite3_bind_parameter_name(s->st, i);
        char expected[16];

        (void)snprintf(expected, sizeof expected, "$%d", i);
        if (!name || strcmp(name, expected) != 0)
            return err_set(e, ERR_INVALID, "parameter %d is not %s: %s", i, expected, s->sql);
    }
    return ERR_OK;
}

static void drop_statement(struct sqlite_statement *s)
{
    (void)sqlite3_finalize(s->st); /* repeats what its last run returned */
    free(s);
}

static enum err_code prepare(struct sqlite_conn *c, const char *sql, struct sqlite_statement **ret,
                             struct err *e)
{
    struct sqlite_statement *s = calloc(1, sizeof *s);
    const char *tail = "";
    enum err_code code;
    int rc;

    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, &tail);
    if (rc || !s->st) {
        free(s);
        if (!rc)
            return err_set(e, ERR_INVALID, "an empty statement");
        code = db_sqlite_fail(c, rc, e);
        (void)err_in(e, "%s", sql);
        return code;
    }
    s->rows.driver = &db_driver_sqlite;
    s->conn = c;
    s->sql = sql;
    s->n_params = sqlite3_bind_parameter_count(s->st);
    s->reads_only = sqlite3_stmt_readonly(s->st);
    s->changes_rows = !s->reads_only && is_change_of_rows(sql);
    code = check_params(s, e);
    if (!code && tail[strspn(tail, " \t\r\n;")])
        code = err_set(e, ERR_INVALID, "more than one statement: %s", sql);
    if (!code && !s->reads_only && c->role == DB_READER)
        code = err_set(e, ERR_INVALID, "a change inside db_read: %s", sql);
    if (code) {
        drop_statement(s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

/* The kept statement of this literal, or a new one, which is kept unless its place is in use. */
static enum err_code find_statement(struct sqlite_conn *c, const char *sql,
                                    struct sqlite_statement **ret, struct err *e)
{
    /* Literals lie side by side, so the low bits differ; the factor (2^64 / the golden ratio) mixes. */
    size_t home = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    struct sqlite_statement **place = &c->kept[home % KEPT_MAX];
    enum err_code code;

    for (size_t i = 0; i < KEPT_STEP; i++) {
        struct sqlite_statement **at = &c->kept[(home + i) % KEPT_MAX];

        if (!*at || ((*at)->sql == sql && !(*at)->busy)) {
            place = at;
            break;
        }
    }
    if (*place && (*place)->sql == sql && !(*place)->busy &&
        strcmp(sqlite3_sql((*place)->st), sql) == 0) { /* else no literal: the text has changed */
        *ret = *place;
        return ERR_OK;
    }
    if ((code = prepare(c, sql, ret, e)))
        return code;
    if (!*place || !(*place)->busy) {
        if (*place)
            drop_statement(*place);
        (*ret)->kept = true;
        *place = *ret;
    }
    return ERR_OK;
}

static enum err_code bind(struct sqlite_statement *s, const struct db_value *values, size_t n,
                          sqlite3_destructor_type texts, struct err *e)
{
    int rc = SQLITE_OK;

    if (n != (size_t)s->n_params)
        return err_set(e, ERR_INVALID, "%zu values for %d parameters: %s", n, s->n_params, s->sql);
    for (int i = 0; i < s->n_params && !rc; i++) {
        switch (values[i].type) {
        case DB_INT:
            rc = sqlite3_bind_int64(s->st, i + 1, values[i].number);
            break;
        case DB_TEXT:
            rc = sqlite3_bind_text64(s->st, i + 1, values[i].text, strlen(values[i].text), texts,
                                     SQLITE_UTF8);
            break;
        default:
            rc = sqlite3_bind_null(s->st, i + 1);
        }
    }
    return rc ? db_sqlite_fail(s->conn, rc, e) : ERR_OK;
}

static void finish(struct sqlite_statement *s)
{
    (void)sqlite3_reset(s->st); /* repeats what the last step returned */
    s->busy = false;
    if (!s->kept)
        drop_statement(s);
}

enum err_code db_sqlite_run(struct db_conn *base, const char *sql, const struct db_value *values,
                            size_t n, int64_t *ret_changed, struct err *e)
{
    struct sqlite_conn *c = sqlite_conn(base);
    struct sqlite_statement *s = NULL;
    int64_t before = sqlite3_total_changes64(c->db);
    enum err_code code = find_statement(c, sql, &s, e);
    int rc;

    if (code)
        return code;
    /* The texts need not be copied: they outlive the step, and a next one binds anew. */
    if ((code = bind(s, values, n, SQLITE_STATIC, e))) {
        finish(s);
        return code;
    }
    rc = sqlite3_step(s->st);
    if (!s->reads_only && !s->changes_rows)
        c->other_changes++;
    if (rc == SQLITE_ROW)
        code = err_set(e, ERR_INVALID, "it yields rows, so db_query is the call: %s", sql);
    else if (rc != SQLITE_DONE)
        code = db_sqlite_fail(c, rc, e);
    else if (ret_changed) /* sqlite3_changes is about an earlier statement when this had none */
        *ret_changed = sqlite3_total_changes64(c->db) != before ? sqlite3_changes64(c->db) : 0;
    finish(s);
    return code;
}

enum err_code db_sqlite_rows_end(struct db_rows *rows, struct err *e)
{
    struct sqlite_statement *s = statement(rows);
    enum err_code code = s->failed;

    if (code && e)
        *e = s->why;
    (void)sqlite3_reset(s->st); /* before its texts go */
    (void)sqlite3_clear_bindings(
        s->st); /* cannot fail; a large text is not held until the next use */
    finish(s);
    return code;
}

/* Steps to the next row; keeps what went wrong for db_sqlite_rows_end. */
static bool step(struct sqlite_statement *s)
{
    int rc = sqlite3_step(s->st);

    if (!s->reads_only && !s->changes_rows)
        s->conn->other_changes++;
    if (rc == SQLITE_ROW)
        return true;
    s->ended = true;
    if (rc != SQLITE_DONE)
        s->failed = db_sqlite_fail(s->conn, rc, &s->why);
    return false;
}

enum err_code db_sqlite_query(struct db_conn *base, const char *sql, const struct db_value *values,
                              size_t n, struct db_rows **ret, struct err *e)
{
    struct sqlite_statement *s = NULL;
    enum err_code code = find_statement(sqlite_conn(base), sql, &s, e);

    if (code)
        return code;
    if ((code = bind(s, values, n, SQLITE_TRANSIENT, e))) {
        finish(s);
        return code;
    }
    s->busy = true;
    s->ended = false;
    s->stepped = false;
    s->failed = ERR_OK;
    if (!s->reads_only) { /* RETURNING: all changes are made now, whether or not its rows are read */
        s->stepped = step(s);
        if (s->failed)
            return db_sqlite_rows_end(&s->rows, e);
    }
    *ret = &s->rows;
    return ERR_OK;
}

bool db_sqlite_next(struct db_rows *rows)
{
    struct sqlite_statement *s = statement(rows);

    if (s->stepped) {
        s->stepped = false;
        return true;
    }
    return !s->ended && step(s); /* SQLite would start an ended one again */
}

int64_t db_sqlite_column_int(struct db_rows *rows, int column)
{
    return sqlite3_column_int64(statement(rows)->st, column);
}

bool db_sqlite_column_is_null(struct db_rows *rows, int column)
{
    return sqlite3_column_type(statement(rows)->st, column) == SQLITE_NULL;
}

const char *db_sqlite_column_text(struct db_rows *rows, int column)
{
    struct sqlite_statement *s = statement(rows);
    const char *text;

    if (sqlite3_column_type(s->st, column) == SQLITE_NULL)
        return NULL;
    text = (const char *)sqlite3_column_text(s->st, column);
    if (!text && !s->failed) /* not taken for an SQL NULL: db_rows_end says so */
        s->failed = db_sqlite_fail(s->conn, SQLITE_NOMEM, &s->why);
    return text;
}

enum err_code db_sqlite_script(struct db_conn *base, const char *sql, struct err *e)
{
    struct sqlite_conn *c = sqlite_conn(base);
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

    c->other_changes++;
    c->scripted = true;
    return rc ? db_sqlite_fail(c, rc, e) : ERR_OK;
}

void db_sqlite_drop_statements(struct sqlite_conn *c)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (c->kept[i]) {
            assert(!c->kept[i]->busy);
            drop_statement(c->kept[i]);
            c->kept[i] = NULL;
        }
    }
}
