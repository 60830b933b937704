/* store_accept.h - accepting: a delivery and the cases of its alerts, in one transaction.
 *
 * Keys are the guard: unique (source, delivery_id) and unique (tenant, alert_id). A duplicate is a
 * conflict in the database, not a check before it.
 */
#ifndef CORDON_STORE_ACCEPT_H
#define CORDON_STORE_ACCEPT_H

#include <stdbool.h>

#include "intake.h"
#include "store.h"
#include "store_work.h"

struct notification {
    const char *tenant, *source; /* configured names */
    bool may_isolate;            /* the source's right */
    bool made; /* the source has made the alerts: no other's right goes beyond its own */
    const char *delivery_id; /* NULL: the scheme has none */
    const char *key;         /* which credential; may be NULL */
    const char *peer;        /* address, for the record */
    char body_sha256[65];    /* hexadecimal */
    int64_t received_ms;
    const struct alert_ref *alerts;
    size_t count; /* 1 to INTAKE_BATCH_MAX */
};

struct acceptance {
    const struct notification *n; /* in: borrowed until done */
    void *ctx;                    /* in: the caller's own */
    bool claim;                   /* in: a worker waits for the first fresh case */
    struct work work;             /* out: its claim, when claimed */
    bool claimed;
    /* out */
    int64_t delivery; /* id of this delivery, or of the first one with its delivery_id */
    int64_t cases[INTAKE_BATCH_MAX]; /* one per alert (of the first delivery, for a repeated one) */
    bool fresh[INTAKE_BATCH_MAX];    /* this delivery made the case */
    size_t count;
    /* cases that were pushed before, by sources that may only notify: see case_strengthen; or that failed: see case_found */
    size_t reopened;
    bool duplicate;        /* nothing new: every case was there before, and is not judged anew */
    bool other_body;       /* the delivery id was used before, with another body */
    char first_sha256[65]; /* of the body that it was used with first; when other_body */
};

/**
 * Makes a notification durable without waiting: done(a, code, e) is called once from a thread of the
 * store's when it is on disk (ERR_OK) or could not be put there (ERR_AGAIN, ERR_IO …: 503), unless this
 * returns an error at once (ERR_AGAIN: the queue is full, or the store). a and what it borrows must live until then.
 */
enum err_code store_accept(struct store *s, struct acceptance *a, db_done_fn done, struct err *e);

/** Inside a transaction: the cases of a->n's alerts, which nobody delivered (polling). Fills a as far as
 *  it is about cases. a->n->count may be 0. */
enum err_code acceptance_of_poll(struct db_tx *tx, struct acceptance *a, struct err *e);

#endif
