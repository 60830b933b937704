/* db_postgres_exchange.c - what is sent, waited for and went wrong; see db_postgres_own.h. */
#include "db_postgres_own.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* How far this host's clock may be off the database's. Two replicas then differ by twice that
 * (WORK_SKEW_MS); hosts with any clock service differ by less than a hundredth. */
#define CLOCK_OFF_MS 2000

/* Of the answer to OP_TERMS: the database's clock, its synchronous_commit, and its schema once that is known. */
enum { CLOCK_FIELD, SCHEMA_FIELD = 2 };

int64_t pg_mono_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* ---- errors ----------------------------------------------------------------------------------- */

/* postgresql.org/docs/15/errcodes-appendix.html. The five characters are looked for first, then their
 * class. */
static const struct state {
    const char *state;
    enum err_code code;
    enum db_damage damage;
    const char *say; /* instead of the server's own words */
} states[] = {
    {"23505", ERR_CONFLICT, DB_SOUND, NULL},
    {"40001", ERR_AGAIN, DB_TX_CLASH, "another transaction got there first"},
    {"40P01", ERR_AGAIN, DB_TX_CLASH, "another transaction got there first"}, /* deadlock */
    {"55P03", ERR_AGAIN, DB_TX_LOCKED, "another transaction holds a lock on it"},
    {"57014", ERR_AGAIN, DB_TX_LOST, "the database took too long for a statement"},
    {"25006", ERR_AGAIN, DB_CONN_LOST, "the database is a standby, which takes no writes"},
    {"25P03", ERR_AGAIN, DB_CONN_LOST, NULL}, /* this process was stopped for too long */
    {"26000", ERR_IO, DB_CONN_LOST, NULL},    /* our statements are gone: a pooler in between? */
    {"42501", ERR_INVALID, DB_SOUND, NULL},
    {"53100", ERR_AGAIN, DB_TX_LOST, "the database's disk is full"},
    {"XX001", ERR_IO, DB_TX_LOST, "the database is corrupt: restore it from a backup"},
    {"XX002", ERR_IO, DB_TX_LOST, "the database is corrupt: restore it from a backup"},
    {"08", ERR_IO, DB_CONN_LOST, NULL},
    {"0A", ERR_INVALID, DB_SOUND, NULL}, /* the statement itself: ours */
    {"21", ERR_INVALID, DB_SOUND, NULL},
    {"22", ERR_INVALID, DB_SOUND, NULL}, /* a value that the column does not take */
    {"23", ERR_INVALID, DB_SOUND, NULL}, /* NOT NULL, CHECK, foreign keys: ours */
    {"40", ERR_AGAIN, DB_TX_LOST, NULL},
    {"42", ERR_INVALID, DB_SOUND, NULL},
    {"53", ERR_AGAIN, DB_CONN_LOST, NULL}, /* memory, connections */
    {"54", ERR_TOO_BIG, DB_SOUND, NULL},
    {"57", ERR_AGAIN, DB_CONN_LOST, NULL}, /* being shut down, or starting */
};

static const struct state *find_state(const char *state)
{
    static const struct state unheard_of = {"", ERR_IO, DB_CONN_LOST, NULL};
    const struct state *found = &unheard_of;

    for (size_t i = 0; state && i < sizeof states / sizeof *states; i++) {
        if (strcmp(states[i].state, state) == 0)
            return &states[i];
        if (strncmp(states[i].state, state, 2) == 0 && !states[i].state[2])
            found = &states[i];
    }
    return found;
}

const char *pg_plain(const struct db_store *s, const char *says, char out[400])
{
    const char *secret = NULL;
    size_t len = strcspn(says, "\n"), n = 0, secret_len;

    for (size_t i = 0; s->words[i]; i++)
        if (strcmp(s->words[i], "password") == 0)
            secret = s->values[i];
    secret_len = secret ? strlen(secret) : 0;
    for (size_t i = 0; i < len && n < 399 - 3;) {
        if (secret_len && len - i >= secret_len && memcmp(says + i, secret, secret_len) == 0) {
            memcpy(out + n, "***", 3);
            n += 3;
            i += secret_len;
        } else {
            out[n++] = says[i++];
        }
    }
    out[n] = '\0';
    return out;
}

void pg_note_damage(struct pg_conn *c, enum db_damage damage)
{
    if (damage > c->base.damage) {
        c->base.damage = damage;
        c->base.why = c->failure;
    }
}

void pg_fail(struct pg_conn *c, enum err_code code, enum db_damage damage, const char *what)
{
    if (!c->failed)
        (void)err_set(&c->failure, code, "%s", what);
    c->failed = true;
    c->changes++; /* what it did has to be undone */
    pg_note_damage(c, damage);
}

enum err_code pg_failure(const struct pg_conn *c, struct err *e)
{
    if (e)
        *e = c->failure;
    return c->failure.code;
}

enum err_code pg_failure_of(struct pg_conn *c, const char *sql, struct err *e)
{
    if (c->failed_newest && c->failure.code == ERR_INVALID)
        (void)err_in(&c->failure, "%.200s", sql);
    c->failed_newest = false;
    return pg_failure(c, e);
}

void pg_lose(struct pg_conn *c, const char *what)
{
    char says[400], text[440];
    const char *more = what ? what : pg_plain(c->store, PQerrorMessage(c->pg), says);

    (void)snprintf(text, sizeof text, "the connection to the database is lost: %.350s",
                   *more ? more : "no reason given");
    pg_fail(c, ERR_IO, DB_CONN_LOST, text);
    c->n_ops = 0;
}

void pg_fail_with(struct pg_conn *c, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *says = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const struct state *row = find_state(state);
    char safe[400], text[440];

    if (row->say)
        says = row->say;
    else
        says = pg_plain(c->store, says ? says : PQresultErrorMessage(r), safe);
    (void)snprintf(text, sizeof text, "%.380s (PostgreSQL %s)", says,
                   state ? state : "without a code");
    pg_fail(c, row->code, row->damage, text);
}

/* ---- waiting for the server ------------------------------------------------------------------- */

bool pg_wait_for_answer(struct pg_conn *c, int64_t deadline)
{
    for (;;) {
        int unsent = PQflush(c->pg);
        struct pollfd p = {.fd = PQsocket(c->pg), .events = POLLIN};
        int64_t left = deadline - pg_mono_ms();

        if (unsent < 0) {
            pg_lose(c, NULL);
            return false;
        }
        if (!unsent && !PQisBusy(c->pg))
            return true;
        if (left <= 0) {
            pg_lose(c, "it does not answer");
            return false;
        }
        if (unsent)
            p.events |= POLLOUT;
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR) {
            pg_lose(c, strerror(errno));
            return false;
        }
        if ((p.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(c->pg)) {
            pg_lose(c, NULL);
            return false;
        }
    }
}

/* Of one command in the pipeline. NULL: lost. */
static PGresult *take_answer(struct pg_conn *c, int64_t deadline)
{
    PGresult *r = pg_wait_for_answer(c, deadline) ? PQgetResult(c->pg) : NULL;

    if (!r || PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
        if (!c->failed || c->base.damage < DB_CONN_LOST)
            pg_lose(c, r ? "its answers do not match the questions" : NULL);
        PQclear(r);
        return NULL;
    }
    /* Each command's answers end with a NULL. */
    if (!pg_wait_for_answer(c, deadline) || PQgetResult(c->pg)) {
        if (c->base.damage < DB_CONN_LOST)
            pg_lose(c, "its answers do not match the questions");
        PQclear(r);
        return NULL;
    }
    return r;
}

static void check_clock(struct pg_conn *c, const PGresult *r)
{
    int64_t theirs = strtoll(PQgetvalue(r, 0, CLOCK_FIELD), NULL, 10); /* the server wrote it */
    int64_t now = clock_wall_ms(clock_system());
    int64_t off = theirs < c->begun_ms ? theirs - c->begun_ms : theirs > now ? theirs - now : 0;
    char text[160];

    if (off >= -CLOCK_OFF_MS && off <= CLOCK_OFF_MS)
        return;
    (void)snprintf(text, sizeof text,
                   "this host's clock is %lld ms %s the database's, and leases need one time: set "
                   "the clocks by NTP",
                   (long long)(off < 0 ? -off : off), off < 0 ? "ahead of" : "behind");
    pg_fail(c, ERR_AGAIN, DB_TX_LOST, text);
}

/* Another process may have migrated: what this one would write is not what that one counts on. And a standby that took over,
 * or a dump that was restored, may be of before this one migrated. */
static void check_schema(struct pg_conn *c, const PGresult *r)
{
    int64_t has;
    char text[120];

    if (PQnfields(r) <= SCHEMA_FIELD) /* it was not known when this was asked */
        return;
    has = strtoll(PQgetvalue(r, 0, SCHEMA_FIELD), NULL, 10);
    if (has == c->store->schema)
        return;
    (void)snprintf(text, sizeof text, "it has schema %lld by now, this program %s %d: %s",
                   (long long)has, has > c->store->schema ? "knows" : "needs", c->store->schema,
                   has > c->store->schema ? "run a newer cordon"
                                          : "start the server again to migrate it");
    pg_fail(c, ERR_AGAIN, DB_TX_LOST, text);
}

void pg_collect(struct pg_conn *c, PGresult **ret_last, int64_t wait_ms)
{
    int64_t deadline = pg_mono_ms() + wait_ms;
    PGresult *last = NULL;
    unsigned n = c->n_ops;

    if (n == 0)
        return;
    c->n_ops = 0;
    if (!PQpipelineSync(c->pg)) {
        pg_lose(c, NULL);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        ExecStatusType status;

        PQclear(last);
        if (!(last = take_answer(c, deadline)))
            return;
        status = PQresultStatus(last);
        if (status == PGRES_FATAL_ERROR) {
            pg_fail_with(c, last);
            c->failed_newest = i == n - 1;
        } else if (status == PGRES_PIPELINE_ABORTED)
            assert(c->failed); /* one before it failed */
        else if (c->ops[i] == OP_TERMS && status == PGRES_TUPLES_OK && PQntuples(last) == 1) {
            check_clock(c, last);
            check_schema(c, last);
        }
    }
    if (pg_wait_for_answer(c, deadline)) {
        PGresult *sync = PQgetResult(c->pg);

        if (!sync || PQresultStatus(sync) != PGRES_PIPELINE_SYNC)
            pg_lose(c, "its answers do not match the questions");
        PQclear(sync);
    }
    if (ret_last && !c->failed)
        *ret_last = last;
    else
        PQclear(last);
}

bool pg_make_room(struct pg_conn *c, unsigned ops)
{
    if (c->n_ops + ops > PG_OPS_MAX)
        pg_collect(c, NULL, PG_ANSWER_MS);
    return !c->failed;
}

void pg_queue_text(struct pg_conn *c, enum op op, const char *sql)
{
    if (!pg_make_room(c, 1))
        return;
    if (PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0))
        c->ops[c->n_ops++] = op;
    else
        pg_lose(c, NULL);
}
