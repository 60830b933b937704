/* store_audit.c - see store_audit.h.
 *
 * What is hashed: the hash before, then each column as LENGTH ':' BYTES ',' (numbers in decimal), so that no two
 * different rows give the same bytes. The detail is hashed as the text that is stored.
 *
 * SQLite keeps in a column whatever it is given: a number with a fraction, bytes behind a NUL, a BLOB. A reader
 * that asks for text or for an integer does not see that. So a row that was read is looked for by what was
 * read of it; if it is not found, it holds something else (`strange`).
 */
#include "store_audit.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "store_rows.h"
#include "utf8.h"

#define DETAIL_MAX ((size_t)1024 * 1024) /* 40 texts, each byte of them escaped */
#define ORDERS_MAX 500                   /* about one case */

static const char *const names[AUDIT_KINDS] = {[AUDIT_DELIVERY] = "delivery",
                                               [AUDIT_FACTS] = "facts",
                                               [AUDIT_VERDICT] = "verdict",
                                               [AUDIT_STEP] = "step",
                                               [AUDIT_CASE] = "case",
                                               [AUDIT_ISOLATION] = "isolation",
                                               [AUDIT_NOTICE] = "notice",
                                               [AUDIT_QUESTION] = "question",
                                               [AUDIT_ANSWER] = "answer",
                                               [AUDIT_ORDER] = "order",
                                               [AUDIT_CONFIG] = "configuration",
                                               [AUDIT_HUNT] = "hunt",
                                               [AUDIT_SILENCE] = "silence"};

/* ---- hashes ----------------------------------------------------------------------------------- */

static enum err_code sha256(const char *bytes, size_t len, char ret[AUDIT_HASH_SIZE], struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_Digest(bytes, len, hash, &n, EVP_sha256(), NULL) != 1 || n != 32)
        return err_set(e, ERR_NOMEM, "SHA-256");
    for (unsigned i = 0; i < n; i++) {
        ret[2 * i] = digits[hash[i] >> 4];
        ret[2 * i + 1] = digits[hash[i] & 15];
    }
    ret[2 * n] = '\0';
    return ERR_OK;
}

enum err_code audit_sha256(const char *text, char ret[AUDIT_HASH_SIZE], struct err *e)
{
    return sha256(text ? text : "", text ? strlen(text) : 0, ret, e);
}

static void add_text(struct buf *b, const char *text)
{
    buf_addf(b, "%zu:", strlen(text));
    buf_adds(b, text);
    buf_addc(b, ',');
}

static void add_number(struct buf *b, int64_t number)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRId64, number);
    add_text(b, text);
}

enum err_code audit_hash(const char *before, const struct audit_record *r,
                         char ret[AUDIT_HASH_SIZE], struct err *e)
{
    /* What was put in by somebody else may be larger than what cordon writes. */
    AUTO(buf_clear) struct buf b = BUF_INIT(strlen(r->kind) + strlen(r->detail) + 1024);

    buf_adds(&b, before);
    add_number(&b, r->n);
    add_number(&b, r->time);
    add_text(&b, r->kind);
    add_number(&b, r->case_id);
    add_text(&b, r->detail);
    if (buf_failed(&b))
        return err_set(e, ERR_NOMEM, "a record of the audit");
    return sha256(buf_text(&b), b.len, ret, e);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void write_detail(struct buf *out, const struct log_field *fields, size_t n)
{
    struct json_out o = JSON_OUT(out);

    json_out_object(&o, NULL);
    for (size_t i = 1; i < n; i++) {
        const struct log_field *f = &fields[i];

        switch (f->type) {
        case LOG_FIELD_STR:
            if (f->text)
                json_out_stringn(&o, f->name, f->text, utf8_cut(f->text, AUDIT_TEXT_MAX));
            break;
        case LOG_FIELD_INT:
            json_out_int(&o, f->name, f->number);
            break;
        case LOG_FIELD_ID:
            if (f->number)
                json_out_id(&o, f->name, f->number);
            break;
        case LOG_FIELD_BOOL:
            json_out_bool(&o, f->name, f->number != 0);
            break;
        }
    }
    json_out_object_end(&o);
}

static enum err_code read_head(struct db_rows *rows, struct audit_head *ret, struct err *e)
{
    bool found = db_next(rows);
    const char *hash = found ? db_text(rows, 1) : NULL;
    enum err_code code;

    if (found) {
        ret->n = db_int(rows, 0);
        (void)snprintf(ret->hash, sizeof ret->hash, "%s", hash ? hash : "");
    }
    code = db_rows_end(rows, e);
    return code    ? code
           : found ? ERR_OK
                   : err_set(e, ERR_NOT_FOUND, "the audit's head is gone from the store");
}

/* The head moves first: where others write, too, its row is what they wait for each other at. */
enum err_code audit_fields(struct db_tx *tx, enum audit_kind kind, int64_t case_id, int64_t now,
                           const struct log_field *fields, size_t n, struct err *e)
{
    AUTO(buf_clear) struct buf detail = BUF_INIT(DETAIL_MAX);
    struct audit_record r = {.time = now, .kind = names[kind], .case_id = case_id};
    char hash[AUDIT_HASH_SIZE];
    struct audit_head head;
    struct db_rows *rows;
    enum err_code code;

    write_detail(&detail, fields, n);
    code = buf_failed(&detail);
    if (code)
        return err_set(e, code, "a record of the audit");
    code = db_query(tx, e, &rows, "UPDATE audit_head SET n = n + 1 WHERE id = 1 RETURNING n, hash",
                    "");
    if (!code)
        code = read_head(rows, &head, e);
    if (code == ERR_NOT_FOUND) /* the caller asked for something else that may not be found */
        code =
            err_set(e, ERR_IO, "the audit's head is gone from the store: nothing can be recorded");
    if (code)
        return code;
    r.n = head.n;
    r.detail = buf_text(&detail);
    code = audit_hash(head.hash, &r, hash, e);
    if (!code)
        code = db_run(tx, e, NULL,
                      "INSERT INTO audit (n, time, kind, case_id, detail, hash)"
                      " VALUES ($1, $2, $3, $4, $5, $6)",
                      "iititt", r.n, r.time, r.kind, r.case_id, r.detail, hash);
    return code ? code
                : db_run(tx, e, NULL, "UPDATE audit_head SET hash = $1 WHERE id = 1", "t", hash);
}

struct putting {
    enum audit_kind kind;
    int64_t now;
    const struct log_field *fields;
    size_t n;
};

static enum err_code put_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct putting *p = arg;

    return audit_fields(tx, p->kind, 0, p->now, p->fields, p->n, e);
}

enum err_code store_audit_fields(struct store *s, enum audit_kind kind,
                                 const struct log_field *fields, size_t n, struct err *e)
{
    struct putting p = {kind, clock_wall_ms(s->clock), fields, n};
    enum err_code code = db_write(s->db, put_fn, &p, e);

    return code ? err_in(e, "audit") : ERR_OK;
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* Is there a row that holds just this? */
static enum err_code look_for(struct db_tx *tx, struct audit_record *r, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT 1 FROM audit WHERE n = $1 AND time = $2 AND kind = $3 AND case_id = $4"
                 " AND detail = $5 AND hash = $6",
                 "iititt", r->n, r->time, r->kind, r->case_id, r->detail, r->hash);

    if (code)
        return code;
    r->strange = r->strange || !db_next(rows);
    return db_rows_end(rows, e);
}

static const char *text_of(struct audit_record *r, struct arena *a, struct db_rows *rows,
                           int column, bool *nomem)
{
    const char *text = store_text(a, rows, column, nomem);

    r->strange = r->strange || !text;
    return text ? text : "";
}

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct audit_record *r = item;
    bool nomem = false;

    *r = (struct audit_record){
        .n = db_int(rows, 0), .time = db_int(rows, 1), .case_id = db_int(rows, 3)};
    r->kind = text_of(r, a, rows, 2, &nomem);
    r->detail = text_of(r, a, rows, 4, &nomem);
    r->hash = text_of(r, a, rows, 5, &nomem);
    return nomem ? err_set(e, ERR_NOMEM, "audit") : ERR_OK;
}

enum err_code audit_read(struct db_tx *tx, struct arena *a, int64_t from, size_t max,
                         struct audit_record **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct audit_record *items;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT n, time, kind, case_id, detail, hash FROM audit"
                                  " WHERE n >= $1 ORDER BY n LIMIT $2",
                                  "ii", from, (int64_t)max);

    if (!code)
        code = store_take(rows, a, sizeof *items, read_row, &list, e);
    if (code)
        return code;
    items = list.items;
    for (size_t i = 0; i < list.count && !code; i++)
        code = look_for(tx, &items[i], e);
    if (code)
        return code;
    *ret = items;
    *ret_count = list.count;
    return ERR_OK;
}

struct orders_reading {
    struct arena *arena;
    int64_t case_id, other;
    struct store_list list;
};

static enum err_code read_orders(struct db_tx *tx, void *arg, struct err *e)
{
    struct orders_reading *r = arg;
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT n, time, kind, case_id, detail, hash FROM audit"
                 " WHERE kind = 'order' AND case_id IN ($1, $2) ORDER BY n LIMIT $3",
                 "iii", r->case_id, r->other ? r->other : r->case_id, (int64_t)ORDERS_MAX);

    return code ? code
                : store_take(rows, r->arena, sizeof(struct audit_record), read_row, &r->list, e);
}

enum err_code store_audit_orders(struct store *s, struct arena *a, int64_t case_id, int64_t other,
                                 struct audit_record **ret, size_t *ret_count, struct err *e)
{
    struct orders_reading r = {.arena = a, .case_id = case_id, .other = other};
    enum err_code code = db_read(s->db, read_orders, &r, e);

    if (code)
        return code;
    *ret = r.list.items;
    *ret_count = r.list.count;
    return ERR_OK;
}

enum err_code audit_head_read(struct db_tx *tx, struct audit_head *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, "SELECT n, hash FROM audit_head WHERE id = 1", "");

    return code ? code : read_head(rows, ret, e);
}

static enum err_code head_fn(struct db_tx *tx, void *arg, struct err *e)
{
    return audit_head_read(tx, arg, e);
}

enum err_code store_audit_head(struct store *s, struct audit_head *ret, struct err *e)
{
    return db_read(s->db, head_fn, ret, e);
}
