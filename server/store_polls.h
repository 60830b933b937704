/* store_polls.h - how far Defender's lists were read, per tenant and list. */
#ifndef CORDON_STORE_POLLS_H
#define CORDON_STORE_POLLS_H

#include "store.h"
#include "store_work.h"

enum poll_list {
    POLL_ALERTS,  /* polling.h, by lastUpdateTime */
    POLL_ACTIONS, /* reconcile.h, by creationDateTimeUtc */
    POLL_LISTS
};

/* A row of `polls`; its id is that of its work. */
struct poll_record {
    int64_t id;
    const char *tenant;
    const char *tenant_id; /* whose lists they are; "": an earlier version's */
    int64_t since;         /* wall ms: what is older is none of our business */
    int64_t watermark;     /* Defender's time up to which all was read, ms */
    int64_t loaded;        /* the watermark as it was loaded */
    int64_t began;         /* the same of since */
    int64_t polled;        /* wall ms of the last poll that read all; 0: none yet */
    int64_t failing;       /* wall ms of the first failure since; 0: none */
};

/** All tenants' of one list. */
enum err_code store_poll_list(struct store *s, enum poll_list list, struct arena *a,
                              struct poll_record **ret, size_t *ret_count, struct err *e);

/* ---- inside a transaction -------------------------------------------------------------------- */

/** Sees to it that a tenant's list is read: makes its row, from `since` on, and its work, due at `due`. A row that is another
 *  tenant's of the same name begins anew, or, if it was this one's once, where it was left. */
enum err_code poll_watch(struct db_tx *tx, const struct clock *clock, const char *tenant,
                         const char *tenant_id, enum poll_list list, int64_t since, int64_t due,
                         struct err *e);
enum err_code poll_load(struct db_tx *tx, struct arena *a, int64_t id, struct poll_record *ret,
                        struct err *e);
/** Is the row another tenant's of the same name? A changed configuration is in force before poll_watch has seen to its rows. */
bool poll_is_anothers(const struct poll_record *r, const char *tenant_id);
/** Writes since, watermark, polled and failing, unless the row has become another tenant's. A watermark that was set back since
 *  it was loaded stays, and so does a since that was moved further than this one. */
enum err_code poll_move(struct db_tx *tx, const struct poll_record *r, struct err *e);
/** When any list was read last, wall ms: the server was there then. 0: never. */
enum err_code poll_last(struct db_tx *tx, int64_t *ret, struct err *e);
/** Is the reading of lists seen to just now: there is some, and none is late? Then somebody is there. What `but` has claimed
 *  (an owner; "": nobody) says nothing. */
enum err_code poll_is_kept(struct db_tx *tx, const char *but, int64_t now, bool *ret,
                           struct err *e);
/** Cases of alerts that were made before then (Defender's ms) may be forgotten: these are no news from now on, also when cases are
 *  kept for longer one day. */
enum err_code polls_forget(struct db_tx *tx, int64_t before, struct err *e);
/** Whoever reads the list next begins no later than at `from`. No row is no error. */
enum err_code poll_read_again(struct db_tx *tx, const char *tenant, enum poll_list list,
                              int64_t from, struct err *e);

#endif
