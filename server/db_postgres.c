/* db_postgres.c - PostgreSQL behind db_driver.h, for any number of processes that share the work.
 *
 * A transaction that writes is SERIALIZABLE: its closures were written for an engine with one writer, and
 * what they count or look for before they write (room under a limit, the notice before, the open
 * isolation) must still be so when they commit. Two that cannot have run one after the other are a clash
 * (DB_TX_CLASH): db_group.c runs the batch again. A loose one (db_write_loose) is READ COMMITTED: claiming work
 * reads what all workers change, and as the slowest it lost to them for minutes. Readers get one snapshot
 * (REPEATABLE READ).
 *
 * Everything goes through libpq's pipeline (library-traps.md, PostgreSQL): what yields nothing that the
 * caller asked for (BEGIN, SAVEPOINT, a statement whose number of rows nobody wants) waits for the next one
 * that does, and shares its round trip. So a statement's error may come with a later call of its closure,
 * or with settle, which db_group.c calls before it lets a closure go.
 *
 * Three things stop a start, and a reconnection: synchronous_commit that is not on, an encoding that is not
 * UTF8, a database of another program. One stops each transaction that writes: a clock that differs from
 * the database's, for replicas measure each other's leases with their own clocks.
 *
 * A peer that is silent is noticed: by TCP (keepalives, unacknowledged data) and, whatever it is that
 * sleeps, by a deadline for every answer. The server for its part ends statements, waits for locks and
 * transactions of a client that is silent, so that a replica that is stopped holds nothing up for long.
 */
#include "db_driver.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "clock.h"

/* Beyond the server's own limits below, so that it is usually the server that says what was wrong. */
#define ANSWER_MS 15000
/* Migrations rewrite tables. */
#define SCRIPT_MS (10 * MINUTE_MS)
/* All senders wait meanwhile, and theirs is a patience of some seconds; idle_in_transaction is about a
 * client that is stopped. */
#define LIMITS                                                                                     \
    "SET statement_timeout = '10s'; SET lock_timeout = '5s';"                                      \
    "SET idle_in_transaction_session_timeout = '10s';"

/* off alone does not wait for the disk; a stricter one than on is left as it is. */
#define SYNCHRONOUS                                                                                \
    "SELECT CASE current_setting('synchronous_commit') WHEN 'off'"                                 \
    " THEN set_config('synchronous_commit', 'on', false)"                                          \
    " ELSE current_setting('synchronous_commit') END"

/* How far this host's clock may be off the database's. Two replicas then differ by twice that
 * (WORK_SKEW_MS); hosts with any clock service differ by less than a hundredth. */
#define CLOCK_OFF_MS 2000

/* How often the size of the database is asked for: a number for people. */
#define SIZE_EVERY_MS MINUTE_MS

#define KEPT_MAX  256 /* statements prepared per connection; a power of two */
#define KEPT_STEP 8   /* places where a statement may stand */
#define OPS_MAX   64  /* answers outstanding; they fit into the socket's buffer many times over */

#define MIGRATION_LOCK "7165001187266430022" /* one number for all cordons; pg_advisory_xact_lock */
#define CHANNEL        "cordon_work"

/* Types of parameters: catalog/pg_type.dat; they never change. */
#define OID_INT8 20
#define OID_TEXT 25

#define CONNECTION_WORDS 64 /* libpq 15 knows 41 */

struct db_store {
    PQconninfoOption *parsed;
    const char *words[CONNECTION_WORDS], *values[CONNECTION_WORDS]; /* into parsed, or literals */
    char *name;
    _Atomic int64_t size, size_asked; /* bytes; mono ms */
    bool read_only;
};

struct statement {
    const char *sql; /* the literal's address is the key … */
    char *text;      /* … and its text the proof */
    char name[16];
    int n_params;
};

enum op { OP_STATEMENT, OP_PREPARE, OP_CLOCK };

struct pg_conn {
    struct db_conn base; /* first */
    struct db_store *store;
    PGconn *pg;
    enum db_role role;
    struct statement *kept[KEPT_MAX];
    unsigned names; /* given so far */
    enum op ops[OPS_MAX];
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

static struct pg_conn *pg_conn(struct db_conn *c)
{
    return (struct pg_conn *)c;
}

static struct pg_rows *pg_rows(struct db_rows *rows)
{
    return (struct pg_rows *)rows;
}

static int64_t mono_ms(void)
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
    {"55P03", ERR_AGAIN, DB_TX_CLASH, "another transaction holds a lock on it"},
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

/* The first line of what libpq or the server says, without the password wherever it may have got in. */
static const char *plain(const struct db_store *s, const char *says, char out[400])
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

static void note_damage(struct pg_conn *c, enum db_damage damage)
{
    if (damage > c->base.damage) {
        c->base.damage = damage;
        c->base.why = c->failure;
    }
}

/* The transaction cannot go on. The first failure is kept: the others follow from it. */
static void fail(struct pg_conn *c, enum err_code code, enum db_damage damage, const char *what)
{
    if (!c->failed)
        (void)err_set(&c->failure, code, "%s", what);
    c->failed = true;
    c->changes++; /* what it did has to be undone */
    note_damage(c, damage);
}

static enum err_code failure(const struct pg_conn *c, struct err *e)
{
    if (e)
        *e = c->failure;
    return c->failure.code;
}

/* After collect: the failure of sql, or of one before it. */
static enum err_code failure_of(struct pg_conn *c, const char *sql, struct err *e)
{
    if (c->failed_newest && c->failure.code == ERR_INVALID)
        (void)err_in(&c->failure, "%.200s", sql);
    c->failed_newest = false;
    return failure(c, e);
}

static void lose(struct pg_conn *c, const char *what)
{
    char says[400], text[440];
    const char *more = what ? what : plain(c->store, PQerrorMessage(c->pg), says);

    (void)snprintf(text, sizeof text, "the connection to the database is lost: %.350s",
                   *more ? more : "no reason given");
    fail(c, ERR_IO, DB_CONN_LOST, text);
    c->n_ops = 0;
}

static void fail_with(struct pg_conn *c, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *says = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const struct state *row = find_state(state);
    char safe[400], text[440];

    if (row->say)
        says = row->say;
    else
        says = plain(c->store, says ? says : PQresultErrorMessage(r), safe);
    (void)snprintf(text, sizeof text, "%.380s (PostgreSQL %s)", says,
                   state ? state : "without a code");
    fail(c, row->code, row->damage, text);
}

/* ---- waiting for the server ------------------------------------------------------------------- */

/* Sends what is to be sent and reads what has come, until libpq has an answer. False: lost. */
static bool wait_for_answer(struct pg_conn *c, int64_t deadline)
{
    for (;;) {
        int unsent = PQflush(c->pg);
        struct pollfd p = {.fd = PQsocket(c->pg), .events = POLLIN};
        int64_t left = deadline - mono_ms();

        if (unsent < 0) {
            lose(c, NULL);
            return false;
        }
        if (!unsent && !PQisBusy(c->pg))
            return true;
        if (left <= 0) {
            lose(c, "it does not answer");
            return false;
        }
        if (unsent)
            p.events |= POLLOUT;
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR) {
            lose(c, strerror(errno));
            return false;
        }
        if ((p.revents & (POLLIN | POLLERR | POLLHUP)) && !PQconsumeInput(c->pg)) {
            lose(c, NULL);
            return false;
        }
    }
}

/* Of one command in the pipeline. NULL: lost. */
static PGresult *take_answer(struct pg_conn *c, int64_t deadline)
{
    PGresult *r = wait_for_answer(c, deadline) ? PQgetResult(c->pg) : NULL;

    if (!r || PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
        if (!c->failed || c->base.damage < DB_CONN_LOST)
            lose(c, r ? "its answers do not match the questions" : NULL);
        PQclear(r);
        return NULL;
    }
    /* Each command's answers end with a NULL. */
    if (!wait_for_answer(c, deadline) || PQgetResult(c->pg)) {
        if (c->base.damage < DB_CONN_LOST)
            lose(c, "its answers do not match the questions");
        PQclear(r);
        return NULL;
    }
    return r;
}

static void check_clock(struct pg_conn *c, const PGresult *r)
{
    int64_t theirs = strtoll(PQgetvalue(r, 0, 0), NULL, 10); /* the server wrote it */
    int64_t now = clock_wall_ms(clock_system());
    int64_t off = theirs < c->begun_ms ? theirs - c->begun_ms : theirs > now ? theirs - now : 0;
    char text[160];

    if (off >= -CLOCK_OFF_MS && off <= CLOCK_OFF_MS)
        return;
    (void)snprintf(text, sizeof text,
                   "this host's clock is %lld ms %s the database's, and leases need one time: set "
                   "the clocks by NTP",
                   (long long)(off < 0 ? -off : off), off < 0 ? "ahead of" : "behind");
    fail(c, ERR_AGAIN, DB_TX_LOST, text);
}

/* Waits for all that was queued; *ret_last (may be NULL): the last one's answer, if it is no failure. */
static void collect(struct pg_conn *c, PGresult **ret_last, int64_t wait_ms)
{
    int64_t deadline = mono_ms() + wait_ms;
    PGresult *last = NULL;
    unsigned n = c->n_ops;

    if (n == 0)
        return;
    c->n_ops = 0;
    if (!PQpipelineSync(c->pg)) {
        lose(c, NULL);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        ExecStatusType status;

        PQclear(last);
        if (!(last = take_answer(c, deadline)))
            return;
        status = PQresultStatus(last);
        if (status == PGRES_FATAL_ERROR) {
            fail_with(c, last);
            c->failed_newest = i == n - 1;
        } else if (status == PGRES_PIPELINE_ABORTED)
            assert(c->failed); /* one before it failed */
        else if (c->ops[i] == OP_CLOCK && status == PGRES_TUPLES_OK && PQntuples(last) == 1)
            check_clock(c, last);
    }
    if (wait_for_answer(c, deadline)) {
        PGresult *sync = PQgetResult(c->pg);

        if (!sync || PQresultStatus(sync) != PGRES_PIPELINE_SYNC)
            lose(c, "its answers do not match the questions");
        PQclear(sync);
    }
    if (ret_last && !c->failed)
        *ret_last = last;
    else
        PQclear(last);
}

/* A place for one more answer. False: the transaction has failed. */
static bool make_room(struct pg_conn *c, unsigned ops)
{
    if (c->n_ops + ops > OPS_MAX)
        collect(c, NULL, ANSWER_MS);
    return !c->failed;
}

/* Text without parameters: BEGIN and its kin. Prepared anew each time: they cost nothing to parse. */
static void queue_text(struct pg_conn *c, enum op op, const char *sql)
{
    if (!make_room(c, 1))
        return;
    if (PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0))
        c->ops[c->n_ops++] = op;
    else
        lose(c, NULL);
}

/* ---- a store ---------------------------------------------------------------------------------- */

static void driver_close(struct db_store *s)
{
    for (PQconninfoOption *o = s->parsed; o && o->keyword; o++)
        if (o->val)
            explicit_bzero(o->val, strlen(o->val));
    PQconninfoFree(s->parsed);
    free(s->name);
    free(s);
}

static void store_freep(struct db_store **s)
{
    if (*s)
        driver_close(*s);
}

static const char *word_of(const struct db_store *s, const char *word)
{
    for (size_t i = 0; s->words[i]; i++)
        if (strcmp(s->words[i], word) == 0)
            return s->values[i];
    return NULL;
}

/* What the url leaves open. Names: postgresql.org/docs/15/libpq-connect.html. */
static const struct {
    const char *word, *value;
} defaults[] = {
    {"application_name", "cordon"},
    {"connect_timeout", "5"},
    /* a network that is cut is noticed after about ten seconds, as an answer that does not come is */
    {"tcp_user_timeout", "10000"},
    {"keepalives_idle", "5"},
    {"keepalives_interval", "2"},
    {"keepalives_count", "3"},
    {"target_session_attrs", "read-write"}, /* of several hosts the one that can be written to */
    /* libpq's own default takes plain text from anybody who asks for it; see README */
    {"client_encoding", "UTF8"},
};

static void set_word(struct db_store *s, size_t *n, const char *word, const char *value)
{
    assert(*n + 1 < CONNECTION_WORDS);
    s->words[*n] = word;
    s->values[(*n)++] = value;
}

static enum err_code name_store(struct db_store *s, struct err *e)
{
    const char *user = word_of(s, "user"), *host = word_of(s, "host"), *port = word_of(s, "port");
    const char *base = word_of(s, "dbname");

    if (asprintf(&s->name, "postgresql://%s%s%s%s%s/%s", user ? user : "", user ? "@" : "",
                 host ? host : "", port ? ":" : "", port ? port : "", base ? base : "") < 0) {
        s->name = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

static enum err_code driver_open(const char *rest, const char *password, bool read_only,
                                 struct db_store **ret, struct err *e)
{
    AUTO(store_freep) struct db_store *s = calloc(1, sizeof *s);
    AUTO(auto_free) char *url = NULL;
    char *why = NULL;
    size_t n = 0;
    enum err_code code;

    if (strncmp(rest, "//", 2) != 0)
        return err_set(e, ERR_INVALID, "expected postgresql://user@host/database");
    if (!s || asprintf(&url, "postgresql:%s", rest) < 0) {
        url = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    s->parsed = PQconninfoParse(url, &why);
    PQfreemem(why); /* it quotes the url, and so perhaps the password */
    explicit_bzero(url, strlen(url));
    if (!s->parsed)
        return err_set(
            e, ERR_INVALID,
            "it cannot be read: expected postgresql://user@host:port/database?name=value, with %%XX for what is special; the names are libpq's");
    for (PQconninfoOption *o = s->parsed; o->keyword; o++)
        if (o->val)
            set_word(s, &n, o->keyword, o->val);
    if (password) {
        if (word_of(s, "password"))
            return err_set(e, ERR_INVALID, "a password in the url and one in a file");
        for (PQconninfoOption *o = s->parsed; o->keyword; o++) {
            if (strcmp(o->keyword, "password") == 0 && (o->val = strdup(password)))
                set_word(s, &n, o->keyword, o->val);
        }
        if (!word_of(s, "password"))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (!word_of(s, defaults[i].word) &&
            !(read_only && strcmp(defaults[i].word, "target_session_attrs") == 0))
            set_word(s, &n, defaults[i].word, defaults[i].value);
    s->read_only = read_only;
    atomic_store(&s->size_asked, mono_ms() - SIZE_EVERY_MS);
    if ((code = name_store(s, e)))
        return code;
    *ret = s;
    s = NULL;
    return ERR_OK;
}

/* For a url that stands in a file which people read. Opening reads it and connects to nothing. */
static enum err_code driver_check_url(const char *rest, const char *password, struct err *e)
{
    AUTO(store_freep) struct db_store *s = NULL;
    enum err_code code = driver_open(rest, NULL, false, &s, e);

    (void)password;
    if (!code && word_of(s, "password"))
        return err_set(
            e, ERR_INVALID,
            "passwords do not stand in this file; put it into a file of its own and name that "
            "with store.password_file");
    return code;
}

static const char *driver_name(struct db_store *s)
{
    return s->name;
}

static int64_t driver_size(struct db_store *s)
{
    return atomic_load(&s->size);
}

/* ---- a connection ----------------------------------------------------------------------------- */

static void driver_disconnect(struct db_conn *base)
{
    struct pg_conn *c = pg_conn(base);

    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (c->kept[i])
            free(c->kept[i]->text);
        free(c->kept[i]);
    }
    PQfinish(c->pg);
    free(c);
}

static void conn_freep(struct pg_conn **c)
{
    if (*c)
        driver_disconnect(&(*c)->base);
}

/* The answer of a statement outside the pipeline, with a deadline; NULL and the failure when there is none. */
static PGresult *ask_plainly(struct pg_conn *c, const char *sql, int64_t wait_ms)
{
    int64_t deadline = mono_ms() + wait_ms;
    PGresult *r = NULL, *next;

    if (!PQsendQuery(c->pg, sql)) {
        lose(c, NULL);
        return NULL;
    }
    while (wait_for_answer(c, deadline) && (next = PQgetResult(c->pg))) {
        if (PQresultStatus(next) == PGRES_FATAL_ERROR)
            fail_with(c, next);
        PQclear(r);
        r = next;
    }
    if (c->failed) {
        PQclear(r);
        return NULL;
    }
    return r;
}

/* One value; ERR_OK with *ret NULL for an SQL NULL. */
static enum err_code ask(struct pg_conn *c, const char *sql, char *ret, size_t size, struct err *e)
{
    PGresult *r = ask_plainly(c, sql, ANSWER_MS);

    if (!r)
        return failure(c, e);
    (void)snprintf(ret, size, "%s", PQntuples(r) && PQnfields(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return ERR_OK;
}

/* Is the database ours, or empty, and does it keep what it says it has kept? */
static enum err_code check_server(struct pg_conn *c, struct err *e)
{
    char value[64];
    enum err_code code = ask(c, "SHOW server_encoding", value, sizeof value, e);

    if (!code && strcmp(value, "UTF8") != 0)
        return err_set(e, ERR_REFUSED,
                       "its encoding is %.20s: create it with ENCODING 'UTF8' TEMPLATE template0",
                       value);
    if (!code)
        code = ask(c, SYNCHRONOUS, value, sizeof value, e);
    if (!code && strcmp(value, "off") == 0)
        return err_set(e, ERR_REFUSED, "PostgreSQL does not take synchronous_commit=on");
    if (!code && c->role == DB_WRITER)
        code = ask(c, "SELECT current_schema()", value, sizeof value, e);
    if (!code && c->role == DB_WRITER && !value[0])
        return err_set(e, ERR_REFUSED,
                       "its user may use no schema of it: CREATE DATABASE … OWNER user");
    if (!code && c->role == DB_WRITER)
        code = ask(c,
                   "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
                   " AND to_regclass(quote_ident(current_schema()) || '.schema_version') IS NULL",
                   value, sizeof value, e);
    if (!code && c->role == DB_WRITER && strcmp(value, "0") != 0)
        return err_set(e, ERR_REFUSED, "it is the database of another program");
    return code;
}

static enum err_code explain_connect(struct pg_conn *c, struct err *e)
{
    char says[400];
    const char *why = plain(c->store, PQerrorMessage(c->pg), says);

    return err_set(e, ERR_AGAIN, "cannot connect: %s", *why ? why : "no reason given");
}

/* libpq's own way with them is stderr. */
static void ignore_notice(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static enum err_code driver_connect(struct db_store *s, enum db_role role, struct db_conn **ret,
                                    struct err *e)
{
    AUTO(conn_freep) struct pg_conn *c = calloc(1, sizeof *c);
    PGresult *r;
    enum err_code code;

    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->base.driver = &db_driver_postgresql;
    c->store = s;
    c->role = role;
    c->pg = PQconnectdbParams(s->words, s->values, 0);
    if (!c->pg)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (PQstatus(c->pg) != CONNECTION_OK)
        return explain_connect(c, e);
    (void)PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
    if (PQsetnonblocking(c->pg, 1))
        return err_set(e, ERR_NOMEM, "out of memory");
    r = ask_plainly(c,
                    role == DB_WRITER ? LIMITS "SET default_transaction_isolation = 'serializable'"
                                      : LIMITS
                        "SET default_transaction_isolation = 'repeatable read';"
                        "SET default_transaction_read_only = on",
                    ANSWER_MS);
    if (!r)
        return failure(c, e);
    PQclear(r);
    if ((code = check_server(c, e)))
        return code;
    if (!PQenterPipelineMode(c->pg))
        return err_set(e, ERR_IO, "libpq takes no pipeline");
    *ret = &c->base;
    c = NULL;
    return ERR_OK;
}

/* ---- statements ------------------------------------------------------------------------------- */

static bool is_word(char ch)
{
    return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
           ch == '_';
}

/* db.h's SQL as PostgreSQL has it. Heap; NULL when out of memory. */
static char *translate(const char *sql)
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

static void drop_statement(struct pg_conn *c, struct statement *s)
{
    char sql[40];

    (void)snprintf(sql, sizeof sql, "DEALLOCATE %s", s->name);
    queue_text(c, OP_STATEMENT, sql);
    free(s->text);
    free(s);
}

/* Queues the preparation. The kept statement counts on it: if it fails, the place is emptied (forget). */
static enum err_code prepare(struct pg_conn *c, const char *sql, const struct db_value *values,
                             size_t n, struct statement **place, struct err *e)
{
    struct statement *s = calloc(1, sizeof *s);
    AUTO(auto_free) char *text = translate(sql);
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
    collect(c, NULL, ANSWER_MS); /* what fails from here on is this statement's */
    if (make_room(c, 1)) {
        if (PQsendPrepare(c->pg, s->name, text, (int)n, types))
            c->ops[c->n_ops++] = OP_PREPARE;
        else
            lose(c, NULL);
    }
    collect(c, &r, ANSWER_MS); /* once per statement and connection */
    PQclear(r);
    if (c->failed) {
        free(s->text);
        free(s);
        return failure_of(c, sql, e);
    }
    *place = s;
    return ERR_OK;
}

/* The prepared statement of this literal. */
static enum err_code find_statement(struct pg_conn *c, const char *sql,
                                    const struct db_value *values, size_t n, struct statement **ret,
                                    struct err *e)
{
    /* Literals lie side by side, so the low bits differ; the factor (2^64 / the golden ratio) mixes. */
    size_t home = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    struct statement **place = &c->kept[home % KEPT_MAX];
    enum err_code code;

    for (size_t i = 0; i < KEPT_STEP; i++) {
        struct statement **at = &c->kept[(home + i) % KEPT_MAX];

        if (!*at || (*at)->sql == sql) {
            place = at;
            break;
        }
    }
    if (*place && ((*place)->sql != sql || strcmp((*place)->text, sql) != 0)) {
        drop_statement(c, *place);
        *place = NULL;
        if (c->failed)
            return failure(c, e);
    }
    if (!*place && (code = prepare(c, sql, values, n, place, e)))
        return code;
    if ((size_t)(*place)->n_params != n)
        return err_set(e, ERR_INVALID, "%zu values for %d parameters: %s", n, (*place)->n_params,
                       sql);
    *ret = *place;
    return ERR_OK;
}

static enum err_code execute(struct pg_conn *c, const char *sql, const struct db_value *values,
                             size_t n, struct err *e)
{
    const char *data[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
    uint64_t numbers[DB_PARAMS_MAX];
    struct statement *s = NULL;
    enum err_code code;

    if (c->failed)
        return failure(c, e);
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
    if (!make_room(c, 1))
        return failure(c, e);
    if (!PQsendQueryPrepared(c->pg, s->name, (int)n, data, lengths, formats, 0)) {
        lose(c, NULL);
        return failure(c, e);
    }
    c->ops[c->n_ops++] = OP_STATEMENT;
    return ERR_OK;
}

static enum err_code misused(struct pg_conn *c, const char *sql, struct err *e)
{
    (void)err_set(&c->failure, ERR_INVALID, "it yields rows, so db_query is the call: %.300s", sql);
    c->failed = true;
    c->changes++;
    return failure(c, e);
}

static enum err_code driver_run(struct db_conn *base, const char *sql,
                                const struct db_value *values, size_t n, int64_t *ret_changed,
                                struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;
    enum err_code code = execute(c, sql, values, n, e);
    int64_t changed;

    if (code)
        return code;
    if (!ret_changed) { /* its answer comes with the next one */
        c->changes++;
        return ERR_OK;
    }
    collect(c, &r, ANSWER_MS);
    if (c->failed)
        return failure_of(c, sql, e);
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

static enum err_code driver_query(struct db_conn *base, const char *sql,
                                  const struct db_value *values, size_t n, struct db_rows **ret,
                                  struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    struct pg_rows *rows;
    PGresult *r = NULL;
    enum err_code code = execute(c, sql, values, n, e);

    if (code)
        return code;
    collect(c, &r, ANSWER_MS);
    if (c->failed)
        return failure_of(c, sql, e);
    rows = calloc(1, sizeof *rows);
    if (!rows) {
        PQclear(r);
        fail(c, ERR_NOMEM, DB_TX_LOST, "out of memory");
        return failure(c, e);
    }
    if (strncmp(PQcmdStatus(r), "SELECT", 6) != 0) /* RETURNING */
        c->changes += strtoll(PQcmdTuples(r), NULL, 10);
    rows->rows.driver = &db_driver_postgresql;
    rows->result = r;
    rows->at = -1;
    *ret = &rows->rows;
    return ERR_OK;
}

static bool driver_next(struct db_rows *base)
{
    struct pg_rows *rows = pg_rows(base);

    if (rows->at + 1 >= PQntuples(rows->result))
        return false;
    rows->at++;
    return true;
}

static bool driver_column_is_null(struct db_rows *base, int column)
{
    struct pg_rows *rows = pg_rows(base);

    return PQgetisnull(rows->result, rows->at, column);
}

static int64_t driver_column_int(struct db_rows *base, int column)
{
    struct pg_rows *rows = pg_rows(base);

    return strtoll(PQgetvalue(rows->result, rows->at, column), NULL, 10); /* NULL reads as "" */
}

static const char *driver_column_text(struct db_rows *base, int column)
{
    struct pg_rows *rows = pg_rows(base);

    return driver_column_is_null(base, column) ? NULL : PQgetvalue(rows->result, rows->at, column);
}

static enum err_code driver_rows_end(struct db_rows *base, struct err *e)
{
    struct pg_rows *rows = pg_rows(base);

    (void)e; /* all rows are here: nothing can fail any more */
    PQclear(rows->result);
    free(rows);
    return ERR_OK;
}

/* ---- transactions ----------------------------------------------------------------------------- */

static void driver_rollback(struct db_conn *base)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;

    c->in_tx = false;
    if (base->damage >= DB_CONN_LOST)
        return;
    collect(c, &r, ANSWER_MS); /* their answers do not matter any more */
    PQclear(r);
    c->failed = false;
    if (base->damage >= DB_CONN_LOST)
        return;
    queue_text(c, OP_STATEMENT, "ROLLBACK");
    collect(c, NULL, ANSWER_MS);
    if (c->failed)
        note_damage(c, DB_CONN_LOST); /* closing rolls back */
}

static enum err_code driver_begin(struct db_conn *base, bool loose, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    struct err why = {0};

    assert(!c->in_tx && c->n_ops == 0);
    if (base->damage < DB_CONN_LOST)
        c->failed = false;
    c->in_tx = true;
    c->begun_ms = clock_wall_ms(clock_system());
    queue_text(c, OP_STATEMENT, loose ? "BEGIN ISOLATION LEVEL READ COMMITTED" : "BEGIN");
    if (c->role == DB_WRITER) {
        queue_text(c, OP_CLOCK, "SELECT (extract(epoch FROM now()) * 1000)::bigint");
        /* A round trip of its own: a connection that was lost since is noticed before any closure ran, so
         * that db_group.c can take another. */
        collect(c, NULL, ANSWER_MS);
    }
    if (c->failed) {
        (void)err_in(&c->failure, "begin");
        (void)failure(c, &why);
        driver_rollback(base);
        return *e = why, why.code;
    }
    return ERR_OK;
}

static enum err_code driver_settle(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    collect(c, NULL, ANSWER_MS);
    return c->failed ? failure(c, e) : ERR_OK;
}

static enum err_code driver_commit(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;
    struct err why = {0};

    if (!c->failed)
        queue_text(c, OP_STATEMENT, "COMMIT");
    collect(c, &r, ANSWER_MS);
    /* A transaction in which something failed "commits" by rolling back. */
    if (!c->failed && strcmp(PQcmdStatus(r), "COMMIT") != 0)
        fail(c, ERR_INVALID, DB_TX_LOST, "a statement of it had failed");
    PQclear(r);
    if (c->failed) {
        (void)err_in(&c->failure, "commit");
        if (base->damage)
            base->why = c->failure;
        (void)failure(c, &why);
        driver_rollback(base);
        return *e = why, why.code;
    }
    c->in_tx = false;
    return ERR_OK;
}

static enum err_code driver_savepoint(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    queue_text(c, OP_STATEMENT, "SAVEPOINT closure");
    return c->failed ? failure(c, e) : ERR_OK;
}

static enum err_code driver_savepoint_forget(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    queue_text(c, OP_STATEMENT, "RELEASE closure");
    return c->failed ? failure(c, e) : ERR_OK;
}

static enum err_code driver_savepoint_back(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    PGresult *r = NULL;

    collect(c, &r, ANSWER_MS); /* what the closure left */
    PQclear(r);
    if (base->damage)
        return failure(c, e);
    c->failed = false;
    queue_text(c, OP_STATEMENT, "ROLLBACK TO closure");
    queue_text(c, OP_STATEMENT, "RELEASE closure");
    return c->failed ? failure(c, e) : ERR_OK;
}

static int64_t driver_changes(struct db_conn *base)
{
    return pg_conn(base)->changes;
}

/* ---- migrations ------------------------------------------------------------------------------- */

static enum err_code driver_script(struct db_conn *base, const char *sql, struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    AUTO(auto_free) char *text = translate(sql);
    PGresult *r;

    if (!text)
        return err_set(e, ERR_NOMEM, "out of memory");
    collect(c, NULL, ANSWER_MS);
    if (c->failed)
        return failure(c, e);
    if (!PQexitPipelineMode(c->pg)) {
        lose(c, NULL);
        return failure(c, e);
    }
    r = ask_plainly(c, text, SCRIPT_MS);
    PQclear(r);
    c->changes++;
    if (!PQenterPipelineMode(c->pg))
        lose(c, NULL);
    return c->failed ? failure(c, e) : ERR_OK;
}

/* Not serializable: its snapshot would be older than the wait for the lock, and see the schema as it was. */
static enum err_code driver_lock_schema(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    queue_text(c, OP_STATEMENT, "ROLLBACK");
    queue_text(c, OP_STATEMENT, "BEGIN ISOLATION LEVEL READ COMMITTED");
    queue_text(c, OP_STATEMENT, "SET LOCAL statement_timeout = 0");
    queue_text(c, OP_STATEMENT, "SET LOCAL lock_timeout = 0");
    queue_text(c, OP_STATEMENT, "SELECT pg_advisory_xact_lock(" MIGRATION_LOCK ")");
    collect(c, NULL, SCRIPT_MS);
    return c->failed ? failure(c, e) : ERR_OK;
}

/* ---- between transactions --------------------------------------------------------------------- */

static void driver_upkeep(struct db_conn *base, bool idle)
{
    struct pg_conn *c = pg_conn(base);
    int64_t now = mono_ms(), asked = atomic_load(&c->store->size_asked);
    PGresult *r = NULL;

    if (!idle || now - asked < SIZE_EVERY_MS ||
        !atomic_compare_exchange_strong(&c->store->size_asked, &asked, now))
        return;
    c->failed = false;
    queue_text(c, OP_STATEMENT, "SELECT pg_database_size(current_database())");
    collect(c, &r, ANSWER_MS);
    if (!c->failed && PQntuples(r) == 1)
        atomic_store(&c->store->size, strtoll(PQgetvalue(r, 0, 0), NULL, 10));
    PQclear(r);
}

/* Not part of a transaction that writes: NOTIFY holds one lock for all of the database's until its
 * transaction is on disk, and commits would stand in line. */
static void driver_hint(struct db_conn *base)
{
    struct pg_conn *c = pg_conn(base);

    c->failed = false;
    queue_text(c, OP_STATEMENT, "NOTIFY " CHANNEL);
    collect(c, NULL, ANSWER_MS);
}

static enum err_code driver_listen(struct db_conn *base, struct err *e)
{
    struct pg_conn *c = pg_conn(base);

    queue_text(c, OP_STATEMENT, "LISTEN " CHANNEL);
    collect(c, NULL, ANSWER_MS);
    return c->failed ? failure(c, e) : ERR_OK;
}

static enum err_code driver_await_hint(struct db_conn *base, int wake_fd, bool *ret_hint,
                                       struct err *e)
{
    struct pg_conn *c = pg_conn(base);
    struct pollfd p[2] = {{.fd = PQsocket(c->pg), .events = POLLIN},
                          {.fd = wake_fd, .events = POLLIN}};
    PGnotify *n;

    *ret_hint = false;
    if (poll(p, 2, -1) < 0 && errno != EINTR)
        lose(c, strerror(errno));
    else if (p[0].revents && !PQconsumeInput(c->pg))
        lose(c, NULL);
    if (c->failed)
        return failure(c, e);
    while ((n = PQnotifies(c->pg))) {
        *ret_hint = true;
        PQfreemem(n);
    }
    return ERR_OK;
}

const struct db_driver db_driver_postgresql = {
    .scheme = "postgresql",
    .writers = 4,
    .batch_max = 32,
    .open = driver_open,
    .check_url = driver_check_url,
    .close = driver_close,
    .name = driver_name,
    .size = driver_size,
    .connect = driver_connect,
    .disconnect = driver_disconnect,
    .begin = driver_begin,
    .commit = driver_commit,
    .rollback = driver_rollback,
    .settle = driver_settle,
    .savepoint = driver_savepoint,
    .savepoint_forget = driver_savepoint_forget,
    .savepoint_back = driver_savepoint_back,
    .changes = driver_changes,
    .script = driver_script,
    .lock_schema = driver_lock_schema,
    .run = driver_run,
    .query = driver_query,
    .next = driver_next,
    .column_int = driver_column_int,
    .column_text = driver_column_text,
    .column_is_null = driver_column_is_null,
    .rows_end = driver_rows_end,
    .upkeep = driver_upkeep,
    .hint = driver_hint,
    .listen = driver_listen,
    .await_hint = driver_await_hint,
};
