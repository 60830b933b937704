/* audit.c - see audit.h.
 *
 * The whole chain is read within one transaction, so that what is written meanwhile is not seen by half: the
 * last record and the head row belong together. It is read in pages, so that memory does not grow with it.
 *
 * What is named is the first record that does not follow from the ones before it. If one was edited together
 * with its hash, that is the one after it: nothing can tell which of the two was changed.
 */
#include "audit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "json.h"

#define PAGE          500 /* records in memory at a time */
#define HEAD_EVERY_MS DAY_MS
#define HEAD_AGAIN_MS MINUTE_MS /* it could not be read */

/* ---- page by page ------------------------------------------------------------------------------ */

typedef bool (*each_fn)(const struct audit_record *r, void *ctx, struct err *e);

/* fn returns false to end early; e->code is then ERR_OK, or what went wrong. */
static enum err_code each(struct db_tx *tx, each_fn fn, void *ctx, struct err *e)
{
    int64_t from = INT64_MIN;
    size_t n = PAGE;

    e->code = ERR_OK;
    while (n == PAGE) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        struct audit_record *list;
        enum err_code code =
            a ? audit_read(tx, a, from, PAGE, &list, &n, e) : err_set(e, ERR_NOMEM, "audit");

        if (code)
            return code;
        for (size_t i = 0; i < n; i++) {
            from = list[i].n + (list[i].n < INT64_MAX);
            if (!fn(&list[i], ctx, e))
                return e->code;
        }
    }
    return ERR_OK;
}

/* ---- verifying --------------------------------------------------------------------------------- */

struct verifying {
    const char *head;
    bool head_seen;
    struct audit_report *report;
};

__attribute__((format(printf, 3, 4))) static bool broken(struct audit_report *r, int64_t n,
                                                         const char *fmt, ...)
{
    va_list ap;

    r->whole = false;
    r->broken = n;
    va_start(ap, fmt);
    (void)vsnprintf(r->why, sizeof r->why, fmt, ap);
    va_end(ap);
    return false;
}

static bool check(const struct audit_record *r, void *ctx, struct err *e)
{
    struct verifying *v = ctx;
    struct audit_report *report = v->report;
    int64_t expected = report->last.n + 1;
    char hash[AUDIT_HASH_SIZE];

    if (r->n < expected)
        return broken(report, r->n, "it stands before the first record");
    if (r->n > expected)
        return broken(report, expected, "it is missing: the next one is %" PRId64, r->n);
    if (r->strange)
        return broken(report, r->n, "it holds what cordon cannot have written");
    if (audit_hash(report->last.hash, r, hash, e))
        return false;
    if (strcmp(hash, r->hash) != 0)
        return broken(report, r->n,
                      report->last.n
                          ? "its hash does not follow from what it holds and from record "
                            "%" PRId64 ": one of the two was changed"
                          : "its hash does not follow from what it holds",
                      report->last.n);
    v->head_seen = v->head_seen || (v->head && strcasecmp(hash, v->head) == 0);
    report->records++;
    report->last.n = r->n;
    report->last_ms = r->time;
    memcpy(report->last.hash, hash, sizeof hash);
    return true;
}

static void check_head(struct verifying *v, const struct audit_head *head)
{
    struct audit_report *report = v->report;

    if (head->n > report->last.n)
        (void)broken(report, report->last.n + 1,
                     "it is missing: the chain ends before it, and had %" PRId64 " records",
                     head->n);
    else if (head->n < report->last.n)
        (void)broken(report, head->n + 1, "it was added behind the end, or the head was changed");
    else if (strcmp(head->hash, report->last.hash) != 0)
        (void)broken(report, report->last.n,
                     "the head has another hash for it: one of the two was changed");
    else if (v->head && !v->head_seen)
        (void)broken(report, report->last.n + 1,
                     "no record has the hash %.64s: the chain was cut before that one, or written "
                     "anew",
                     v->head);
}

enum err_code audit_verify_in(struct db_tx *tx, const char *head, struct audit_report *ret,
                              struct err *e)
{
    struct audit_report report = {.whole = true};
    struct verifying v = {.head = head, .report = &report};
    struct audit_head row;
    enum err_code code = each(tx, check, &v, e);

    if (!code && report.whole) {
        code = audit_head_read(tx, &row, e);
        if (!code)
            check_head(&v, &row);
        if (code == ERR_NOT_FOUND) {
            code = ERR_OK;
            (void)broken(
                &report, report.last.n + 1,
                "the head is gone: nobody can tell whether records are missing at the end");
        }
    }
    if (!code)
        *ret = report;
    return code;
}

struct reading {
    const char *head;
    struct audit_report *report;
};

static enum err_code verify_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct reading *r = arg;

    return audit_verify_in(tx, r->head, r->report, e);
}

enum err_code audit_verify(struct store *s, const char *head, struct audit_report *ret,
                           struct err *e)
{
    struct audit_report report = {0};
    struct reading r = {head, &report};
    enum err_code code = db_read(s->db, verify_fn, &r, e);

    if (code)
        return err_in(e, "audit");
    *ret = report;
    return ERR_OK;
}

/* ---- showing ----------------------------------------------------------------------------------- */

struct page {
    struct arena *arena;
    int64_t from;
    struct audit_record *list;
    size_t n;
};

static enum err_code page_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct page *p = arg;

    return audit_read(tx, p->arena, p->from, PAGE, &p->list, &p->n, e);
}

/* A transaction for each page, for fn may take as long as it likes: a pipe to a pager waits for a person, and the log of a
 * store that is read all the while only grows. Records are never changed and only added at the end. */
enum err_code audit_each(struct store *s, int64_t since,
                         bool (*fn)(const struct audit_record *r, void *ctx), void *ctx,
                         struct err *e)
{
    struct page p = {.from = INT64_MIN, .n = PAGE};

    while (p.n == PAGE) {
        AUTO(arena_freep) struct arena *a = arena_new(0);
        enum err_code code;

        p.arena = a;
        code = a ? db_read(s->db, page_fn, &p, e) : err_set(e, ERR_NOMEM, "out of memory");
        if (code)
            return err_in(e, "audit");
        for (size_t i = 0; i < p.n; i++) {
            p.from = p.list[i].n + (p.list[i].n < INT64_MAX);
            if (p.list[i].time >= since && !fn(&p.list[i], ctx))
                return ERR_OK;
        }
    }
    return ERR_OK;
}

void audit_write(struct buf *out, const struct audit_record *r)
{
    AUTO(json_freep) struct json *detail = NULL;
    struct json_out o = JSON_OUT(out);

    json_out_object(&o, NULL);
    json_out_int(&o, "n", r->n);
    json_out_time(&o, "time", r->time);
    json_out_string(&o, "kind", r->kind);
    json_out_id(&o, "case", r->case_id);
    /* As it is stored, so that whoever has the lines can check the hashes; unless it is no JSON any more. */
    if (json_parse(r->detail, strlen(r->detail), &detail, NULL))
        json_out_string(&o, "detail", r->detail);
    else
        json_out_raw(&o, "detail", r->detail);
    json_out_string(&o, "hash", r->hash);
    json_out_object_end(&o);
}

int64_t audit_tell_head(struct store *s, int64_t now, int64_t due)
{
    struct audit_head head;
    struct err e;

    if (now < due || db_health(s->db, &e)) /* out of reach: who asks would wait for it */
        return due;
    if (store_audit_head(s, &head, &e)) {
        log_event(LOG_ERROR, "audit_head", LOG_ERR(&e));
        return now + HEAD_AGAIN_MS;
    }
    log_event(LOG_INFO, "audit_head", LOG_INT("n", head.n), LOG_STR("hash", head.hash));
    return now + HEAD_EVERY_MS;
}
