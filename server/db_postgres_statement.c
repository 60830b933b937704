/* db_postgres_statement.c - statements, their parameters and their rows; see db_postgres_own.h. */
#include "db_postgres_own.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define KEPT_STEP 8 /* places where a statement may stand */

/* Types of parameters: catalog/pg_type.dat; they never change. */
#define OID_INT8 20
#define OID_TEXT 25

static struct pg_conn *pg_conn(struct db_conn *c)
{
    return (struct pg_conn *)c;
}

static struct pg_rows *pg_rows(struct db_rows *rows)
{
    return (struct pg_rows *)rows;
}

static bool is_word(char ch)
{
    return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
           ch == '_';
}

char *pg_translate(const char *sql)
{
    static const struct {
        const char *from, *to;
    } words[] = {{"/*claim*/", "FOR UPDATE SKIP LOCKED"}, {"INTEGER", "BIGINT"}};
    struct buf b = BUF_INIT(1 << 20);
    bool quoted = false;

    for (const char *p = sql; *p;) {
        size_t taken = 0;

        for (size_t i = 0; i < 2 && !quoted && !taken; i++) {
            size_t n = strlen(words[i].from);

            if (strncmp(p, words[i].from, n) == 0 &&
                (*p == '/' || ((p == sql || !is_word(p[-1])) && !is_word(p[n])))) {
                buf_adds(&b, words[i].to);
                taken = n;
            }
        }
        if (!taken) {
            quoted = quoted != (*p == '\'');
            buf_addc(&b, *p);
            taken = 1;
        }
        p += taken;
    }
    return buf_take(&b);
}

static void drop_statement(struct pg_conn *c, struct pg_statement *s)
{
    char sql[40];

    (void)snprintf(sql, sizeof sql, "DEALLOCATE %s", s->name);
    pg_queue_text(c, OP_STATEMENT, sql);
    free(s->text);
    free(s);
}

/* Queues the preparation. The kept statement counts on it: if it fails, the place is emptied (forget). */
static enum err_code prepare(struct pg_conn *c, const char *sql, const struct db_value *values,
                             size_t n, struct pg_statement **place, struct err *e)
{
    struct pg_statement *s = calloc(1, sizeof *s);
    AUTO(auto_free) char *text = pg_translate(sql);
    Oid types[DB_PARAMS_MAX];
    PGresult *r = NULL;

    if (s)
        s->text = strdup(sql);
    if (!s || !text || !s->text) {
        free(s ? s->text : NULL);
        free(s);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    s->sql = sql;
    s->n_params = (int)n;
    (void)snprintf(s->name, sizeof s->name, "c%u", ++c->names);
    for (size_t i = 0; i < n; i++)
        types[i] = values[i].type == DB_INT ? OID_INT8 : OID_TEXT;
    pg_collect(c, NULL, PG_ANSWER_MS); /* what fails from here on is this statement's */
    if (pg_make_room(c, 1)) {
        if (PQsendPrepare(c->pg, s->name, text, (int)n, types))
            c->ops[c->n_ops++] = OP_PREPARE;
        else
            pg_lose(c, NULL);
    }
    pg_collect(c, &r, PG_ANSWER_MS); /* once per statement and connection */
    PQclear(r);
    if (c->failed) {
        free(s->text);
        free(s);
        return pg_failure_of(c, sql, e);
    }
    *place = s;
    return ERR_OK;
}

/* The prepared statement of this literal. */
static enum err_code find_statement(struct pg_conn *c, const char *sql,
                                    const struct db_value *values, size_t n,
                                    struct pg_statement **ret, struct err *e)
{
    /* Literals lie side by side, so the low bits differ; the factor (2^64 / the golden ratio) mixes. */
    size_t home = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    struct pg_statement **place = &c->kept[home % PG_KEPT_MAX];
    enum err_code code;

    for (size_t i = 0; i < KEPT_STEP; i++) {
        struct pg_statement **at = &c->kept[(home + i) % PG_KEPT_MAX];

        if (!*at || (*at)->sql == sql) {
            place = at;
            break;
        }
    }
    if (*place && ((*place)->sql != sql || strcmp((*place)->text, sql) != 0)) {
        drop_statement(c, *place);
        *place = NULL;
        if (c->failed)
            return pg_failure(c, e);
    }
    if (!*place && (code = prepare(c, sql, values, n, place, e)))
        return code;
    if ((size_t)(*place)->n_params != n)
        return err_set(e, ERR_INVALID, "%zu values for %d parameters: %s", n, (*place)->n_params,
                       sql);
    *ret = *place;
    return ERR_OK;
}

static enum err_code execute(struct pg_conn *c, enum op op, const char *sql,
                             const struct db_value *values, size_t n, struct err *e)
{
    const char *data[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
    uint64_t numbers[DB_PARAMS_MAX];
    struct pg_statement *s = NULL;
    enum err_code code;

    if (c->failed)
        return pg_failure(c, e);
    if ((code = find_statement(c, sql, values, n, &s, e)))
        return code;
    for (size_t i = 0; i < n; i++) {
        formats[i] = values[i].type == DB_INT;
        lengths[i] = sizeof numbers[i]; /* of a text nobody looks at it */
        data[i] = values[i].type == DB_TEXT ? values[i].text : NULL;
        if (formats[i]) {
            numbers[i] = htobe64((uint64_t)values[i].number);
            data[i] = (const char *)&numbers[i];
        }
    }
    if (!pg_make_room(c, 1))
        return pg_failure(c, e);
    if (!PQsendQueryPrepared(c->pg, s->name, (int)n, data, lengths, formats, 0)) {
        pg_lose(c, NULL);
        return pg_failure(c, e);
    }
    c->ops[c->n_ops++] = op;
    return ERR_OK;
}

void pg_queue_kept(struct pg_conn *c, enum op op, const char *sql)
{
    struct err e;
    enum err_code code = execute(c, op, sql, NULL, 0, &e);

    if (code && !c->failed)
        pg_fail(c, code, DB_TX_LOST, e.text);
}

static enum err_code misused(struct pg_conn *c, const char *sql, struct err *e)
{
    (void)err_set(&c->failure, ERR_INVALID, "it yields rows, so db_query is the call: %.300s", sql);
    c->failed = true;
    c->changes++;
    return pg_failure(c, e);
}

enum err_code pg_run(struct db_conn *base, const char *sql, const struct db_value *values, size_t n,
                     int64_t *ret_changed, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;
    enum err_code code = execute(c, OP_STATEMENT, sql, values, n, e);
    int64_t changed;

    if (code)
        return code;
    if (!ret_changed) { /* its answer comes with the next one */
        c->changes++;
        return ERR_OK;
    }
    pg_collect(c, &r, PG_ANSWER_MS);
    if (c->failed)
        return pg_failure_of(c, sql, e);
    if (PQresultStatus(r) == PGRES_TUPLES_OK) {
        PQclear(r);
        return misused(c, sql, e);
    }
    changed =
        strtoll(PQcmdTuples(r), NULL, 10); /* the server wrote it; empty for CREATE and the like */
    c->changes += changed;
    *ret_changed = changed;
    PQclear(r);
    return ERR_OK;
}

enum err_code pg_query(struct db_conn *base, const char *sql, const struct db_value *values,
                       size_t n, struct db_rows **ret, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    struct pg_rows *rows;
    PGresult *r = NULL;
    enum err_code code = execute(c, OP_STATEMENT, sql, values, n, e);

    if (code)
        return code;
    pg_collect(c, &r, PG_ANSWER_MS);
    if (c->failed)
        return pg_failure_of(c, sql, e);
    rows = calloc(1, sizeof *rows);
    if (!rows) {
        PQclear(r);
        pg_fail(c, ERR_NOMEM, DB_TX_LOST, "out of memory");
        return pg_failure(c, e);
    }
    if (strncmp(PQcmdStatus(r), "SELECT", 6) != 0) /* RETURNING */
        c->changes += strtoll(PQcmdTuples(r), NULL, 10);
    rows->rows.driver = &db_driver_postgresql;
    rows->result = r;
    rows->at = -1;
    *ret = &rows->rows;
    return ERR_OK;
}

bool pg_next(struct db_rows *base)
{
    struct pg_rows *rows = pg_rows(base);

    if (rows->at + 1 >= PQntuples(rows->result))
        return false;
    rows->at++;
    return true;
}

bool pg_column_is_null(struct db_rows *base, int column)
{
    struct pg_rows *rows = pg_rows(base);

    return PQgetisnull(rows->result, rows->at, column);
}

int64_t pg_column_int(struct db_rows *base, int column)
{
    struct pg_rows *rows = pg_rows(base);

    return strtoll(PQgetvalue(rows->result, rows->at, column), NULL, 10); /* NULL reads as "" */
}

const char *pg_column_text(struct db_rows *base, int column)
{
    struct pg_rows *rows = pg_rows(base);

    return pg_column_is_null(base, column) ? NULL : PQgetvalue(rows->result, rows->at, column);
}

enum err_code pg_rows_end(struct db_rows *base, struct err *e)
{
    struct pg_rows *rows = pg_rows(base);

    (void)e; /* all rows are here: nothing can fail any more */
    PQclear(rows->result);
    free(rows);
    return ERR_OK;
}
