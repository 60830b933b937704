/* db_postgres_own.h - what the rooms of the PostgreSQL driver share. Nobody else includes it.
 *
 * db_postgres.c has stores, connections, transactions and what lies between them; db_postgres_exchange.c the pipeline:
 * what is sent, waited for and went wrong; db_postgres_statement.c statements and rows.
 */
#ifndef CORDON_DB_POSTGRES_OWN_H
#define CORDON_DB_POSTGRES_OWN_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "db_driver.h"

/* Beyond the server's own limits (db_postgres.c), so that it is usually the server that says what was wrong. */
#define PG_ANSWER_MS 15000
#define PG_KEPT_MAX  256 /* statements prepared per connection; a power of two */
#define PG_OPS_MAX   64 /* answers outstanding; they fit into the socket's buffer many times over */

#define CONNECTION_WORDS 64 /* libpq 15 knows 41 */

struct db_store {
    PQconninfoOption *parsed;
    const char *words[CONNECTION_WORDS], *values[CONNECTION_WORDS]; /* into parsed, or literals */
    char *name;
    _Atomic int64_t size, spare, size_asked; /* bytes; of them not in use; mono ms */
    bool read_only;
    int schema; /* that the program knows; 0: not migrated yet */
};

struct pg_statement {
    const char *sql; /* the literal's address is the key … */
    char *text;      /* … and its text the proof */
    char name[16];
    int n_params;
};

enum op { OP_STATEMENT, OP_PREPARE, OP_TERMS };

struct pg_conn {
    struct db_conn base; /* first */
    struct db_store *store;
    PGconn *pg;
    enum db_role role;
    struct pg_statement *kept[PG_KEPT_MAX];
    unsigned names; /* given so far */
    enum op ops[PG_OPS_MAX];
    unsigned n_ops;
    bool in_tx;
    bool failed;        /* a statement failed: nothing more is sent before it is undone */
    bool failed_newest; /* it was the one that was sent last */
    struct err failure; /* while failed */
    int64_t changes;    /* see db_driver.h */
    int64_t begun_ms;   /* wall clock: when BEGIN was queued */
};

struct pg_rows {
    struct db_rows rows; /* first */
    PGresult *result;
    int at; /* the current row, from 0; -1 before the first */
};

extern const struct db_driver db_driver_postgresql;

/* ---- db_postgres_exchange.c --------------------------------------------------------------------- */

int64_t pg_mono_ms(void);
/** The first line of what libpq or the server says, without the password wherever it may have got in. */
const char *pg_plain(const struct db_store *s, const char *says, char out[400]);
void pg_note_damage(struct pg_conn *c, enum db_damage damage);
/** The transaction cannot go on. The first failure is kept: the others follow from it. */
void pg_fail(struct pg_conn *c, enum err_code code, enum db_damage damage, const char *what);
/** The failure of an answer. */
void pg_fail_with(struct pg_conn *c, const PGresult *r);
/** The connection is lost; what NULL: libpq says why. */
void pg_lose(struct pg_conn *c, const char *what);
/** What failed; returns its code. */
enum err_code pg_failure(const struct pg_conn *c, struct err *e);
/** After pg_collect: the failure of sql, or of one before it. */
enum err_code pg_failure_of(struct pg_conn *c, const char *sql, struct err *e);
/** Sends what is to be sent and reads what has come, until libpq has an answer. False: lost. */
bool pg_wait_for_answer(struct pg_conn *c, int64_t deadline);
/** Waits for all that was queued; *ret_last (may be NULL): the last one's answer, if it is no failure. */
void pg_collect(struct pg_conn *c, PGresult **ret_last, int64_t wait_ms);
/** A place for so many more answers. False: the transaction has failed. */
bool pg_make_room(struct pg_conn *c, unsigned ops);
/** Text without parameters: BEGIN and its kin. Prepared anew each time: they cost nothing to parse. */
void pg_queue_text(struct pg_conn *c, enum op op, const char *sql);

/* ---- db_postgres_statement.c: of db_driver.h ----------------------------------------------------- */

enum err_code pg_run(struct db_conn *c, const char *sql, const struct db_value *values, size_t n,
                     int64_t *ret_changed, struct err *e);
enum err_code pg_query(struct db_conn *c, const char *sql, const struct db_value *values, size_t n,
                       struct db_rows **ret, struct err *e);
bool pg_next(struct db_rows *rows);
int64_t pg_column_int(struct db_rows *rows, int column);
bool pg_column_is_null(struct db_rows *rows, int column);
const char *pg_column_text(struct db_rows *rows, int column);
enum err_code pg_rows_end(struct db_rows *rows, struct err *e);
/** As pg_queue_text, prepared once per connection: for what has to be planned. sql: a literal. */
void pg_queue_kept(struct pg_conn *c, enum op op, const char *sql);
/** db.h's SQL as PostgreSQL has it. Heap; NULL when out of memory. */
char *pg_translate(const char *sql);

#endif
