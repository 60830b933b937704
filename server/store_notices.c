/* store_notices.c - see store_notices.h. */
#include "store_notices.h"

#include <string.h>

#include "buf.h"
#include "store_audit.h"
#include "store_rows.h"

#define MATTER_MAX 4096 /* bytes: of a kind, and of what stands in a subject's brackets */

static const char *const names[RECIPIENT_STATES] = {
    [RECIPIENT_WAITING] = "waiting",
    [RECIPIENT_SENT] = "sent",
    [RECIPIENT_REFUSED] = "refused",
    [RECIPIENT_GROUPED] = "grouped",
};

const char *recipient_state_name(enum recipient_state state)
{
    return names[state];
}

static enum recipient_state parse(const char *name)
{
    int state = store_find_word(names, RECIPIENT_STATES, name);

    /* Nobody writes another word; never mail to what cannot be read. */
    return state == RECIPIENT_STATES ? RECIPIENT_REFUSED : (enum recipient_state)state;
}

static enum err_code read_recipient(struct db_rows *rows, struct arena *a, void *item,
                                    struct err *e)
{
    bool nomem = false;

    *(struct recipient_record *)item =
        (struct recipient_record){.n = db_int(rows, 0),
                                  .address = store_text(a, rows, 1, &nomem),
                                  .reply = store_text(a, rows, 2, &nomem),
                                  .state = parse(db_text(rows, 3)),
                                  .code = db_int(rows, 4),
                                  .updated = db_int(rows, 5)};
    return nomem ? err_set(e, ERR_NOMEM, "recipient") : ERR_OK;
}

static enum err_code load_recipients(struct db_tx *tx, struct arena *a, struct notice_record *r,
                                     struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT n, address, reply, state, code, updated FROM recipients"
                                  " WHERE notice_id = $1 ORDER BY n",
                                  "i", r->id);

    if (!code)
        code = store_take(rows, a, sizeof *r->recipients, read_recipient, &list, e);
    if (code)
        return code;
    r->recipients = list.items;
    r->n_recipients = list.count;
    return ERR_OK;
}

#define COLUMNS                                                                                    \
    "id, case_id, after, kind, subject, sender, why, state, created, ended, about,"                \
    " thread, burst, digest, said, machine, alert, channel"

#define NOTICE_COLUMNS 18

static enum err_code read_row(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct notice_record *)item = (struct notice_record){
        .id = db_int(rows, 0),
        .case_id = db_int(rows, 1),
        .after = db_int(rows, 2),
        .kind = store_text(a, rows, 3, &nomem),
        .subject = store_text(a, rows, 4, &nomem),
        .sender = store_text(a, rows, 5, &nomem),
        .why = store_text(a, rows, 6, &nomem),
        .state = store_text(a, rows, 7, &nomem),
        .created = db_int(rows, 8),
        .ended = db_int(rows, 9),
        .about = store_text(a, rows, 10, &nomem),
        .thread = store_text(a, rows, 11, &nomem),
        .burst = db_int(rows, 12),
        .digest = db_int(rows, 13),
        .said = store_text(a, rows, 14, &nomem),
        .machine = store_text(a, rows, 15, &nomem),
        .alert = store_text(a, rows, 16, &nomem),
        .channel = store_text(a, rows, 17, &nomem),
    };
    return nomem ? err_set(e, ERR_NOMEM, "notice") : ERR_OK;
}

struct read {
    struct arena *arena;
    int64_t id;
    struct notice_record *one;
    struct store_list list;
};

/* The same, and its message. */
static enum err_code read_whole(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    struct notice_record *r = item;
    bool nomem = false;
    enum err_code code = read_row(rows, a, r, e);

    if (code)
        return code;
    r->message = store_text(a, rows, NOTICE_COLUMNS, &nomem);
    return nomem ? err_set(e, ERR_NOMEM, "notice") : ERR_OK;
}

static enum err_code read_notice(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT " COLUMNS ", message FROM notices WHERE id = $1", "i", r->id);

    if (!code)
        code = store_take_one(rows, r->arena, read_whole, r->one, "there is no notice with this id",
                              e);
    return code ? code : load_recipients(tx, r->arena, r->one, e);
}

enum err_code notice_load(struct db_tx *tx, struct arena *a, int64_t id, struct notice_record *ret,
                          struct err *e)
{
    struct read r = {.arena = a, .id = id, .one = ret};

    return read_notice(tx, &r, e);
}

static enum err_code read_list(struct db_tx *tx, void *arg, struct err *e)
{
    struct read *r = arg;
    struct notice_record *items;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows, "SELECT " COLUMNS " FROM notices WHERE case_id = $1 ORDER BY id", "i", r->id);

    if (!code)
        code = store_take(rows, r->arena, sizeof *items, read_row, &r->list, e);
    if (code)
        return code;
    items = r->list.items;
    for (size_t i = 0; i < r->list.count && !code; i++)
        code = load_recipients(tx, r->arena, &items[i], e);
    return code;
}

enum err_code store_notice_load(struct store *s, struct arena *a, int64_t id,
                                struct notice_record *ret, struct err *e)
{
    struct read r = {.arena = a, .id = id, .one = ret};

    return db_read(s->db, read_notice, &r, e);
}

enum err_code store_notice_list(struct store *s, struct arena *a, int64_t case_id,
                                struct notice_record **ret, size_t *ret_count, struct err *e)
{
    struct read r = {.arena = a, .id = case_id};
    enum err_code code = db_read(s->db, read_list, &r, e);

    if (code)
        return code;
    *ret = r.list.items;
    *ret_count = r.list.count;
    return ERR_OK;
}

/* Whom to answer: a notice that was grouped was never a mail, its digest is one; one that is held is none yet. */
#define MAIL_ID "CASE WHEN digest > 0 THEN digest ELSE id END"

static enum err_code read_id(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    (void)a, (void)e;
    *(int64_t *)item = db_int(rows, 0);
    return ERR_OK;
}

/* $1 to $5: its id twice, channel, since, and its id again. Of what people are asked over many cases, and how that ended, each of those
 * may be one; whoever is asked is not asked behind what came of his answer. All by their ids: this is asked before each mail, and
 * notices_about has those of cordon's own alone, of all that there are (an OR with o.about reads those of years). */
#define EARLIER                                                                                    \
    "SELECT o.id FROM notices o JOIN work ON work.id = o.id WHERE o.id < $1 AND o.id <> $2"        \
    " AND o.state = 'waiting' AND coalesce(o.channel, '') = $3"                                    \
    " AND EXISTS (SELECT 1 FROM recipients r JOIN recipients m ON m.address = r.address"           \
    " WHERE r.notice_id = o.id AND r.state = 'waiting' AND (r.reply IS NULL OR r.updated < $4)"    \
    " AND m.notice_id = $5 AND m.state = 'waiting') AND o.id IN"                                   \
    " (SELECT id FROM notices WHERE about LIKE 'question:%' UNION ALL "

enum err_code store_notice_earlier(struct store *s, struct arena *a, const struct notice_record *n,
                                   int64_t since, int64_t **ret, size_t *ret_count, struct err *e)
{
    const char *channel = n->channel ? n->channel : "";
    struct store_list list;
    enum err_code code;

    if (n->case_id)
        code = store_read_list(s, a, sizeof **ret, read_id, &list, e,
                               EARLIER "SELECT " MAIL_ID " FROM notices WHERE case_id = $6)",
                               "iitiii", n->id, n->id, channel, since, n->id, n->case_id);
    else /* a digest is about its burst, and about the cases in it, some of which may have had mails of their own, or been in
          * a digest of another burst */
        code = store_read_list(
            s, a, sizeof **ret, read_id, &list, e,
            EARLIER "SELECT id FROM notices WHERE about = $6 UNION ALL SELECT p.id FROM notices p"
                    " JOIN work w ON w.id = p.id WHERE w.kind = $7 AND $8 = 'digest'"
                    " AND (p.kind = 'digest' OR EXISTS (SELECT 1 FROM notices h"
                    " WHERE h.case_id = p.case_id AND h.digest = $9)))",
            "iitiititi", n->id, n->id, channel, since, n->id, n->about ? n->about : "",
            (int64_t)WORK_NOTICE, n->kind, n->id);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code notice_thread(struct db_tx *tx, struct arena *a, int64_t case_id, const char *name,
                            struct notice_thread *ret, struct err *e)
{
    struct notice_thread t = {.name = name};
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT id, thread FROM notices WHERE case_id = $1 AND channel IS NULL ORDER BY id", "i",
        case_id);

    if (code)
        return code;
    while (db_next(rows)) {
        if (!t.last_of_case && db_text(rows, 1))
            t.name = store_text(a, rows, 1, &nomem);
        t.last_of_case = db_int(rows, 0);
    }
    code = db_rows_end(rows, e);
    if (code || nomem)
        return code ? code : err_set(e, ERR_NOMEM, "thread");
    code = db_query(tx, e, &rows,
                    "SELECT min(" MAIL_ID "), max(" MAIL_ID ") FROM notices"
                    " WHERE (thread = $1 OR case_id = $2) AND channel IS NULL AND state <> 'held'",
                    "ti", t.name, case_id);
    if (code)
        return code;
    if (db_next(rows)) {
        t.first = db_int(rows, 0);
        t.last = db_int(rows, 1);
    }
    *ret = t;
    return db_rows_end(rows, e);
}

enum err_code notice_channel(struct db_tx *tx, struct arena *a, int64_t case_id,
                             const char *channel, struct notice_spoken *ret, struct err *e)
{
    struct notice_spoken s = {0};
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT id, kind, said, state FROM notices WHERE case_id = $1 AND channel = $2"
                 " ORDER BY id",
                 "it", case_id, channel);

    if (code)
        return code;
    while (db_next(rows)) {
        s.last = db_int(rows, 0);
        s.first = s.first ? s.first : s.last;
        s.kind = store_text(a, rows, 1, &nomem);
        s.said = store_text(a, rows, 2, &nomem);
        s.failed = strcmp(db_text(rows, 3), "failed") == 0;
        if (s.kind && notice_is_of_step(s.kind))
            continue;
        s.kind_of_case = s.kind;
        s.said_of_case = s.said;
        s.failed_of_case = s.failed;
    }
    *ret = s;
    code = db_rows_end(rows, e);
    return code ? code : nomem ? err_set(e, ERR_NOMEM, "notices") : ERR_OK;
}

enum err_code notice_channel_step(struct db_tx *tx, int64_t case_id, const char *channel,
                                  const char *kind, const char *said, int64_t since, bool *ret,
                                  bool *ret_failed, struct err *e)
{
    struct db_rows *rows;
    enum err_code code =
        db_query(tx, e, &rows,
                 "SELECT state FROM notices WHERE case_id = $1 AND channel = $2 AND kind = $3"
                 " AND said = $4 AND created >= $5 ORDER BY id DESC LIMIT 1",
                 "ittti", case_id, channel, kind, said, since);

    *ret = *ret_failed = false;
    if (code)
        return code;
    if (db_next(rows)) {
        *ret = true;
        *ret_failed = strcmp(db_text(rows, 0), "failed") == 0;
    }
    return db_rows_end(rows, e);
}

static enum err_code read_heard(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct notice_heard *)item =
        (struct notice_heard){.address = store_text(a, rows, 0, &nomem),
                              .kind = store_text(a, rows, 1, &nomem),
                              .said = store_text(a, rows, 2, &nomem),
                              .refused = parse(db_text(rows, 3)) == RECIPIENT_REFUSED};
    return nomem ? err_set(e, ERR_NOMEM, "recipients") : ERR_OK;
}

enum err_code notice_channel_heard(struct db_tx *tx, struct arena *a, int64_t case_id,
                                   const char *channel, struct notice_heard **ret,
                                   size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT r.address, n.kind, n.said, r.state FROM notices n"
                                  " JOIN recipients r ON r.notice_id = n.id WHERE n.case_id = $1"
                                  " AND coalesce(n.channel, '') = $2 ORDER BY n.id",
                                  "it", case_id, channel ? channel : "");

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_heard, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code notice_last(struct db_tx *tx, const char *about, const char *kind, int64_t *ret_id,
                          int64_t *ret_created, struct err *e)
{
    struct db_rows *rows;
    enum err_code code;

    code = db_query(tx, e, &rows,
                    "SELECT id, created FROM notices WHERE about = $1 AND (kind = $2 OR $3 = 1)"
                    " ORDER BY id DESC LIMIT 1",
                    "tti", about, kind ? kind : "", (int64_t)!kind);
    if (code)
        return code;
    *ret_id = *ret_created = 0;
    if (db_next(rows)) {
        *ret_id = db_int(rows, 0);
        *ret_created = db_int(rows, 1);
    }
    return db_rows_end(rows, e);
}

enum err_code notice_sender(struct db_tx *tx, struct arena *a, int64_t id, const char **ret,
                            struct err *e)
{
    struct db_rows *rows;
    bool nomem = false;
    enum err_code code =
        db_query(tx, e, &rows, "SELECT sender FROM notices WHERE id = $1", "i", id);

    *ret = NULL;
    if (code)
        return code;
    if (db_next(rows))
        *ret = store_text(a, rows, 0, &nomem);
    code = db_rows_end(rows, e);
    return !code && nomem ? err_set(e, ERR_NOMEM, "notice") : code;
}

/* sql: words in a row each, for a case. */
static enum err_code list_words(struct db_tx *tx, struct arena *a, const char *sql, int64_t case_id,
                                const char ***ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, sql, "i", case_id);

    if (!code)
        code = store_take(rows, a, sizeof **ret, store_text_row, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code notice_audience(struct db_tx *tx, struct arena *a, int64_t case_id, const char ***ret,
                              size_t *ret_count, struct err *e)
{
    return list_words(tx, a,
                      "SELECT DISTINCT address FROM recipients WHERE notice_id IN"
                      " (SELECT id FROM notices WHERE case_id = $1 AND channel IS NULL)"
                      " ORDER BY address",
                      case_id, ret, ret_count, e);
}

enum err_code notice_channels(struct db_tx *tx, struct arena *a, int64_t case_id, const char ***ret,
                              size_t *ret_count, struct err *e)
{
    return list_words(tx, a,
                      "SELECT DISTINCT channel FROM notices WHERE case_id = $1"
                      " AND channel IS NOT NULL ORDER BY channel",
                      case_id, ret, ret_count, e);
}

/* What a row of notices is about beside its case: which step came to what; "": how the case stands. As matter_of has it. */
#define MATTER_OF(row)                                                                             \
    "CASE WHEN " row ".kind LIKE 'action_%' THEN " row ".kind || ' ' || coalesce(" row             \
    ".said, '') ELSE '' END"
#define MATTER      MATTER_OF("n")
#define SAME_MATTER MATTER_OF("m") " = " MATTER_OF("notices")

enum err_code notice_digest(struct db_tx *tx, struct arena *a, int64_t digest,
                            struct notice_record **ret, size_t *ret_count, struct err *e)
{
    struct store_list list;
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT " COLUMNS " FROM notices WHERE digest = $1 AND NOT EXISTS"
        " (SELECT 1 FROM notices m WHERE m.case_id = notices.case_id AND m.digest = notices.digest"
        " AND m.id > notices.id"
        " AND " SAME_MATTER ")"
        " ORDER BY CASE kind WHEN 'not_isolated' THEN 0 WHEN 'alert' THEN 2 ELSE 1 END, id",
        "i", digest);

    if (!code)
        code = store_take(rows, a, sizeof **ret, read_row, &list, e);
    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code notice_was_said(struct db_tx *tx, int64_t case_id, const char *subject, int64_t since,
                              bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT 1 FROM notices WHERE case_id = $1 AND created >= $2"
                                  " AND substr(subject, 1, length($3)) = $4 LIMIT 1",
                                  "iitt", case_id, since, subject, subject);

    *ret = false;
    return code ? code : store_take_any(rows, ret, e);
}

bool notice_is_of_step(const char *kind)
{
    return strncmp(kind, "action_", strlen("action_")) == 0;
}

static const char *matter_of(const struct notice_record *n, struct buf *room)
{
    if (notice_is_of_step(n->kind))
        buf_addf(room, "%s %s", n->kind, n->said ? n->said : "");
    return buf_text(room);
}

enum err_code notice_was_taken(struct db_tx *tx, const struct notice_record *n, const char *but,
                               bool *ret, struct err *e)
{
    AUTO(buf_clear) struct buf matter = BUF_INIT(MATTER_MAX);
    struct db_rows *rows;
    enum err_code code = db_query(
        tx, e, &rows,
        "SELECT 1 FROM notices n JOIN recipients r ON r.notice_id = n.id"
        " WHERE n.case_id = $1 AND coalesce(n.about, '') = $2 AND n.created >= $3"
        " AND r.state = 'sent' AND coalesce(n.channel, '') <> $4 AND " MATTER " = $5 LIMIT 1",
        "ititt", n->case_id, n->about ? n->about : "", n->created, but, matter_of(n, &matter));

    *ret = false;
    return code ? code : store_take_any(rows, ret, e);
}

enum err_code notice_was_posted(struct db_tx *tx, const char *about, const char *subject,
                                int64_t since, bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT 1 FROM notices WHERE about = $1 AND created >= $2"
                                  " AND channel IS NOT NULL AND (subject = $3 OR $4 = 1) LIMIT 1",
                                  "titi", about, since, subject ? subject : "", (int64_t)!subject);

    *ret = false;
    return code ? code : store_take_any(rows, ret, e);
}

enum err_code notice_may_be_mailed(struct db_tx *tx, const struct notice_record *n, bool *ret,
                                   struct err *e)
{
    AUTO(buf_clear) struct buf matter = BUF_INIT(MATTER_MAX);
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT 1 FROM notices n JOIN recipients r ON r.notice_id = n.id"
                                  " WHERE n.case_id = $1 AND coalesce(n.about, '') = $2"
                                  " AND n.channel IS NULL AND (n.created >= $3 OR n.kind = $4)"
                                  " AND r.state <> 'refused' AND " MATTER " = $5 LIMIT 1",
                                  "ititt", n->case_id, n->about ? n->about : "", n->created,
                                  n->kind, matter_of(n, &matter));

    *ret = false;
    return code ? code : store_take_any(rows, ret, e);
}

enum err_code notice_is_for(struct db_tx *tx, const struct notice_record *n, const char *address,
                            bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows,
                                  "SELECT 1 FROM notices n JOIN recipients r ON r.notice_id = n.id"
                                  " WHERE n.about = $1 AND n.kind = $2 AND n.created >= $3"
                                  " AND n.channel IS NULL AND r.address = $4"
                                  " AND r.state <> 'refused' LIMIT 1",
                                  "ttit", n->about, n->kind, n->created, address);

    *ret = false;
    return code ? code : store_take_any(rows, ret, e);
}

static enum err_code read_joined(struct db_rows *rows, struct arena *a, void *item, struct err *e)
{
    bool nomem = false;

    *(struct notice_joined *)item =
        (struct notice_joined){.case_id = db_int(rows, 0),
                               .address = store_text(a, rows, 1, &nomem),
                               .channel = store_text(a, rows, 2, &nomem)};
    return nomem ? err_set(e, ERR_NOMEM, "recipients") : ERR_OK;
}

static enum err_code take_joined(struct db_rows *rows, struct arena *a, struct notice_joined **ret,
                                 size_t *ret_count, struct err *e)
{
    struct store_list list;
    enum err_code code = store_take(rows, a, sizeof **ret, read_joined, &list, e);

    if (code)
        return code;
    *ret = list.items;
    *ret_count = list.count;
    return ERR_OK;
}

enum err_code notice_joined(struct db_tx *tx, struct arena *a, int64_t isolation, int64_t but,
                            struct notice_joined **ret, size_t *ret_count, struct err *e)
{
    static const char sql[] =
        "SELECT max(n.case_id), r.address, NULL FROM notices n JOIN recipients r ON r.notice_id = n.id"
        " WHERE n.channel IS NULL AND n.case_id IN (SELECT id FROM cases WHERE isolation = $1)"
        " AND r.address NOT IN (SELECT o.address FROM recipients o JOIN notices m"
        " ON m.id = o.notice_id WHERE m.case_id = $2 AND m.channel IS NULL)"
        " GROUP BY r.address"
        " UNION SELECT n.case_id, r.address, NULL FROM notices n"
        " JOIN recipients r ON r.notice_id IN (n.id, n.digest)"
        " WHERE n.channel IS NULL AND n.case_id IN (SELECT id FROM cases WHERE isolation = $3)"
        " AND n.case_id <> $4 AND r.state = 'waiting'"
        " AND n.kind NOT IN ('action_done', 'action_failed') ORDER BY 1, 2";
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, sql, "iiii", isolation, but, isolation, but);

    return code ? code : take_joined(rows, a, ret, ret_count, e);
}

enum err_code notice_joined_channels(struct db_tx *tx, struct arena *a, int64_t isolation,
                                     int64_t but, struct notice_joined **ret, size_t *ret_count,
                                     struct err *e)
{
    /* The helpdesks of two cases are one channel, and may be other people. */
    static const char sql[] =
        "SELECT max(n.case_id), r.address, n.channel FROM notices n JOIN recipients r ON r.notice_id = n.id"
        " WHERE n.channel IS NOT NULL"
        " AND n.case_id IN (SELECT id FROM cases WHERE isolation = $1) AND NOT EXISTS"
        " (SELECT 1 FROM notices m JOIN recipients o ON o.notice_id = m.id WHERE m.case_id = $2"
        " AND m.channel = n.channel AND o.address = r.address) GROUP BY n.channel, r.address"
        " UNION SELECT n.case_id, r.address, n.channel FROM notices n"
        " JOIN recipients r ON r.notice_id = n.id WHERE n.channel IS NOT NULL"
        " AND n.case_id IN (SELECT id FROM cases WHERE isolation = $3)"
        " AND n.case_id <> $4 AND r.state = 'waiting'"
        " AND n.kind NOT IN ('action_done', 'action_failed') ORDER BY 1, 3, 2";
    struct db_rows *rows;
    enum err_code code = db_query(tx, e, &rows, sql, "iiii", isolation, but, isolation, but);

    return code ? code : take_joined(rows, a, ret, ret_count, e);
}

/* Parked while the notice before it waits untried: mails of one thread leave in their order. */
static enum err_code must_wait(struct db_tx *tx, int64_t after, bool *ret, struct err *e)
{
    struct db_rows *rows;
    enum err_code code;

    *ret = false;
    if (!after)
        return ERR_OK;
    code = db_query(tx, e, &rows,
                    "SELECT 1 FROM notices WHERE id = $1 AND state = 'waiting'"
                    " AND NOT EXISTS (SELECT 1 FROM recipients WHERE notice_id = notices.id"
                    " AND state <> 'waiting')",
                    "i", after);
    return code ? code : store_take_any(rows, ret, e);
}

/* In a storm thousands of mails that are for information would stand before the one about an isolation. */
static enum work_priority priority_of(const char *kind)
{
    return strcmp(kind, "alert") == 0 ? WORK_NORMAL : WORK_URGENT;
}

static enum err_code audit_made(struct db_tx *tx, const struct notice_record *n, int64_t now,
                                struct err *e)
{
    AUTO(buf_clear) struct buf to = BUF_INIT(AUDIT_TEXT_MAX);
    char hash[AUDIT_HASH_SIZE];
    enum err_code code = audit_sha256(n->message, hash, e);

    for (size_t i = 0; i < n->n_recipients; i++)
        buf_addf(&to, "%s%s", i ? " " : "", n->recipients[i].address);
    return code ? code
                : audit_put(tx, e, AUDIT_NOTICE, n->case_id, now, LOG_ID("notice", n->id),
                            LOG_STR("about", n->about), LOG_STR("kind", n->kind),
                            LOG_STR("state", n->burst ? "held" : "made"),
                            LOG_STR("to", buf_text(&to)), LOG_STR("message_sha256", hash));
}

enum err_code notice_insert(struct db_tx *tx, const struct notice_record *n, int64_t now,
                            struct err *e)
{
    bool wait;
    enum err_code code = must_wait(tx, n->after, &wait, e);

    if (code)
        return code;
    code = db_run(
        tx, e, NULL,
        "INSERT INTO notices (id, case_id, kind, subject, sender, message, state, after,"
        " created, ended, about, thread, burst, digest, said, machine, alert, channel)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, 0, $13, $14, $15, $16)",
        "iitttttiittitttt", n->id, n->case_id, n->kind, n->subject, n->sender, n->message,
        n->burst ? "held" : "waiting", n->after, now, n->about, n->thread, n->burst, n->said,
        n->machine, n->alert, n->channel);
    for (size_t i = 0; i < n->n_recipients && !code; i++)
        code = db_run(tx, e, NULL,
                      "INSERT INTO recipients (notice_id, n, address, state, code, updated)"
                      " VALUES ($1, $2, $3, 'waiting', 0, $4)",
                      "iiti", n->id, (int64_t)i, n->recipients[i].address, now);
    if (!code)
        code = audit_made(tx, n, now, e);
    if (code || n->burst)
        return code;
    return work_put(tx, n->id, WORK_NOTICE, priority_of(n->kind), wait ? WORK_PARKED : now, now,
                    NULL, e);
}

enum err_code notice_grouped(struct db_tx *tx, int64_t id, int64_t case_id, int64_t digest,
                             int64_t now, struct err *e)
{
    enum err_code code = db_run(
        tx, e, NULL, "UPDATE notices SET state = 'grouped', digest = $1, ended = $2 WHERE id = $3",
        "iii", digest, now, id);

    if (!code)
        code = db_run(tx, e, NULL,
                      "UPDATE recipients SET state = $1, updated = $2 WHERE notice_id = $3", "tii",
                      names[RECIPIENT_GROUPED], now, id);
    return code ? code
                : audit_put(tx, e, AUDIT_NOTICE, case_id, now, LOG_ID("notice", id),
                            LOG_STR("state", "grouped"), LOG_ID("digest", digest));
}

enum err_code notice_unhold(struct db_tx *tx, int64_t id, const char *kind, int64_t after,
                            int64_t now, struct err *e)
{
    bool wait;
    enum err_code code = must_wait(tx, after, &wait, e);

    if (!code)
        code = db_run(tx, e, NULL, "UPDATE notices SET state = 'waiting', burst = 0 WHERE id = $1",
                      "i", id);
    return code ? code
                : work_put(tx, id, WORK_NOTICE, priority_of(kind), wait ? WORK_PARKED : now, now,
                           NULL, e);
}

enum err_code recipient_move(struct db_tx *tx, int64_t notice_id, int64_t n,
                             enum recipient_state to, int64_t code, const char *reply, int64_t now,
                             struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE recipients SET state = $1, code = $2, reply = $3, updated = $4"
                  " WHERE notice_id = $5 AND n = $6",
                  "titiii", names[to], code, reply, now, notice_id, n);
}

enum err_code recipient_add(struct db_tx *tx, int64_t notice_id, int64_t n, const char *address,
                            int64_t now, struct err *e)
{
    enum err_code code = db_run(tx, e, NULL,
                                "INSERT INTO recipients (notice_id, n, address, state, code,"
                                " updated) VALUES ($1, $2, $3, $4, 0, $5)",
                                "iitti", notice_id, n, address, names[RECIPIENT_WAITING], now);

    return code ? code
                : audit_put(tx, e, AUDIT_NOTICE, 0, now, LOG_ID("notice", notice_id),
                            LOG_STR("state", "readdressed"), LOG_STR("to", address));
}

enum err_code notice_end(struct db_tx *tx, int64_t id, const char *state, const char *why,
                         int64_t now, struct err *e)
{
    enum err_code code =
        db_run(tx, e, NULL, "UPDATE notices SET state = $1, why = $2, ended = $3 WHERE id = $4",
               "ttii", state, why, now, id);

    return code ? code
                : audit_put(tx, e, AUDIT_NOTICE, 0, now, LOG_ID("notice", id),
                            LOG_STR("state", state), LOG_STR("why", why));
}

enum err_code notice_release(struct db_tx *tx, int64_t id, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE owner IS NULL AND due > $2 AND id IN"
                  " (SELECT id FROM notices WHERE after = $3)",
                  "iii", now, now, id);
}

enum err_code notice_hurry(struct db_tx *tx, int64_t id, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE id = $2 AND owner IS NULL AND due > $3"
                  " AND due < $4",
                  "iiii", now, id, now, WORK_PARKED);
}

enum err_code notices_hurry(struct db_tx *tx, int64_t now, struct err *e)
{
    return db_run(tx, e, NULL,
                  "UPDATE work SET due = $1 WHERE kind = $2 AND owner IS NULL AND due > $3"
                  " AND due < $4",
                  "iiii", now, (int64_t)WORK_NOTICE, now, WORK_PARKED);
}
