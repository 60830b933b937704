/* store_audit.h - the audit: what cordon did and why, one record after the other, each bound to the one before.
 *
 * A record is written in the transaction of the thing it tells of, so that neither is ever there without the
 * other. Its hash is SHA-256 over the hash before it and its own columns (audit_hash), so that a record that
 * is edited, cut out or moved breaks the chain at its place (audit.h finds where). What a hash in the same
 * database cannot show, a chain that was cut at its end or written anew by somebody who may write, is shown by
 * a head kept elsewhere: the log has one a day.
 *
 * There is one chain in a store, whoever writes: `audit_head` is one row, updated with every record. With SQLite
 * one thread writes anyway. With several writers that row decides their order: of two that meet there one
 * is run again. That is why accepting a notification writes no record of its own (which would also cost a
 * third more of the disk's time): its delivery is recorded with the first thing that comes of it, the verdict
 * or the end of its case.
 *
 * Records are never changed and never forgotten; nothing in cordon deletes from this table.
 */
#ifndef CORDON_STORE_AUDIT_H
#define CORDON_STORE_AUDIT_H

#include "log.h"
#include "store.h"

enum audit_kind {
    AUDIT_DELIVERY,  /* who pushed a case, by which credential, and the hash of what was pushed */
    AUDIT_FACTS,     /* the hash of what Defender said */
    AUDIT_VERDICT,   /* rule, doubt, the policy's hash and the hash of the whole verdict */
    AUDIT_STEP,      /* a step that is over */
    AUDIT_CASE,      /* a case that is over */
    AUDIT_ISOLATION, /* the intent before a request leaves, Defender's answer, and how it ends */
    AUDIT_NOTICE,    /* made (who is to be told), and over (sent, failed) */
    AUDIT_QUESTION,  /* asked of people */
    AUDIT_ANSWER,    /* a person's word on a question */
    AUDIT_ORDER,     /* what a person has ordered: commands, console, API */
    AUDIT_CONFIG,    /* which configuration is in force: start, reload, reload refused */
    AUDIT_HUNT,      /* a hunt's baseline, or its new rows: how many, and the hash of its query */
    AUDIT_SILENCE,   /* put up, approved, ended, run out */
    AUDIT_KINDS
};

#define AUDIT_HASH_SIZE 65 /* hexadecimal and the NUL */

/**
 * Adds a record, inside the transaction of what it tells of.
 *
 *     audit_put(tx, e, AUDIT_ORDER, c->id, now, LOG_STR("who", o->who), LOG_STR("what", "dropped"));
 *
 * case_id   what it belongs to; 0: no case.
 * now       wall ms.
 * ...       fields of log.h, kept as a JSON object; those that log.h leaves out are left out. A text is cut at
 *           AUDIT_TEXT_MAX bytes. Never a secret, nor the body of a mail or an alert: these have hashes.
 */
#define audit_put(tx, e, kind, case_id, now, ...)                                                  \
    audit_fields(                                                                                  \
        (tx), (kind), (case_id), (now), (const struct log_field[]){{0}, ##__VA_ARGS__},            \
        sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field), (e))
#define AUDIT_TEXT_MAX 4096

/** Use audit_put. fields[0] is a filler. */
enum err_code audit_fields(struct db_tx *tx, enum audit_kind kind, int64_t case_id, int64_t now,
                           const struct log_field *fields, size_t n, struct err *e);
/** The same in a transaction of its own, for what changes nothing else in the store; now is the store's. */
enum err_code store_audit_fields(struct store *s, enum audit_kind kind,
                                 const struct log_field *fields, size_t n, struct err *e);
#define store_audit_put(s, e, kind, ...)                                                           \
    store_audit_fields(                                                                            \
        (s), (kind), (const struct log_field[]){{0}, ##__VA_ARGS__},                               \
        sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field), (e))

/** SHA-256 in hexadecimal, for texts that a record names by their hash. NULL: of nothing. */
enum err_code audit_sha256(const char *text, char ret[AUDIT_HASH_SIZE], struct err *e);

/* ---- reading ---------------------------------------------------------------------------------- */

/* As the table has it. Texts live in the arena they were read into and are never NULL. */
struct audit_record {
    int64_t n; /* 1, 2, 3 … */
    int64_t time;
    const char *kind;
    int64_t case_id;
    const char *detail; /* a JSON object */
    const char *hash;
    bool strange; /* a column holds something that cordon cannot have written there */
};

struct audit_head {
    int64_t n; /* of the last record; 0: there is none */
    char hash[AUDIT_HASH_SIZE];
};

/** What the hash of a record that follows one with the hash `before` must be ("" before the first). */
enum err_code audit_hash(const char *before, const struct audit_record *r,
                         char ret[AUDIT_HASH_SIZE], struct err *e);
/** Records with numbers of `from` and above, in order, at most max. */
enum err_code audit_read(struct db_tx *tx, struct arena *a, int64_t from, size_t max,
                         struct audit_record **ret, size_t *ret_count, struct err *e);
/** What people have ordered about a case, or about its isolation as that of another case (0: it has none), oldest first. */
enum err_code store_audit_orders(struct store *s, struct arena *a, int64_t case_id, int64_t other,
                                 struct audit_record **ret, size_t *ret_count, struct err *e);
/** What the head row says; ERR_NOT_FOUND when it is gone. */
enum err_code audit_head_read(struct db_tx *tx, struct audit_head *ret, struct err *e);
enum err_code store_audit_head(struct store *s, struct audit_head *ret, struct err *e);

#endif
