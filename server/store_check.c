/* store_check.c - see store_check.h. */
#include "store_check.h"

#include <stdio.h>

#include "id.h"

/* Of each kind so many are named; then it is a pattern, and more of it helps nobody. */
#define NAMED 20

/* Each yields ids. What a transaction leaves behind is never among them: an id that is, is a fault of the
 * program, or of who edited the store by hand. kind: store_work.h. */
static const struct {
    const char *sql, *before, *after; /* the id */
} rows[] = {
    {"SELECT id FROM work WHERE kind = 0 AND NOT EXISTS"
     " (SELECT 1 FROM cases WHERE cases.id = work.id) ORDER BY id",
     "work for the case", ", which is not there"},
    {"SELECT id FROM work WHERE kind IN (1, 6) AND NOT EXISTS"
     " (SELECT 1 FROM isolations WHERE isolations.id = work.id) ORDER BY id",
     "work for the isolation", ", which is not there"},
    {"SELECT id FROM work WHERE kind = 2 AND NOT EXISTS"
     " (SELECT 1 FROM notices WHERE notices.id = work.id) ORDER BY id",
     "work for the notice", ", which is not there"},
    {"SELECT id FROM work WHERE kind = 8 AND NOT EXISTS"
     " (SELECT 1 FROM questions WHERE questions.id = work.id) ORDER BY id",
     "work for the question", ", which is not there"},
    {"SELECT id FROM work WHERE kind = 13 AND NOT EXISTS"
     " (SELECT 1 FROM mutes WHERE mutes.id = work.id) ORDER BY id",
     "work for the silence", ", which is not there"},
    {"SELECT id FROM mutes WHERE state <> 'ended' AND NOT EXISTS"
     " (SELECT 1 FROM work WHERE work.id = mutes.id AND kind = 13) ORDER BY id",
     "the silence", " is open, and no work will end it"},
    {"SELECT id FROM work WHERE kind = 7 AND NOT EXISTS"
     " (SELECT 1 FROM actions WHERE actions.id = work.id) ORDER BY id",
     "work for the action", ", which is not there"},
    {"SELECT id FROM actions WHERE state IN ('requested', 'pending') AND NOT EXISTS"
     " (SELECT 1 FROM work WHERE work.id = actions.id AND kind = 7) ORDER BY id",
     "the action", " is under way, and no work will follow it"},
    {"SELECT id FROM work WHERE kind = 9 AND NOT EXISTS"
     " (SELECT 1 FROM ways WHERE ways.id = work.id) ORDER BY id",
     "work for the way out", ", which is not there"},
    {"SELECT id FROM work WHERE kind = 10 AND NOT EXISTS"
     " (SELECT 1 FROM hunts WHERE hunts.id = work.id) ORDER BY id",
     "work for the hunt", ", which is not there"},
    {"SELECT DISTINCT hunt FROM hunt_rows WHERE NOT EXISTS"
     " (SELECT 1 FROM hunts WHERE hunts.id = hunt_rows.hunt) ORDER BY hunt",
     "rows of the hunt", ", which is not there"},
    {"SELECT id FROM cases WHERE state IN ('received', 'expanding', 'deciding', 'acting') AND NOT"
     " EXISTS (SELECT 1 FROM work WHERE work.id = cases.id) ORDER BY id",
     "the case", " is open, and no work will take it further"},
    {"SELECT id FROM cases WHERE state = 'waiting' AND NOT EXISTS (SELECT 1 FROM isolations"
     " WHERE isolations.id = cases.isolation AND isolations.state IN ('requested', 'pending'))"
     " AND NOT EXISTS (SELECT 1 FROM question_cases JOIN questions"
     " ON questions.id = question_cases.question_id WHERE question_cases.case_id = cases.id"
     " AND question_cases.spent = 0 AND questions.state = 'open') ORDER BY id",
     "the case", " waits for an isolation that is over, or not there, and for no question"},
    {"SELECT id FROM questions WHERE state = 'open' AND NOT EXISTS"
     " (SELECT 1 FROM work WHERE work.id = questions.id AND kind = 8) ORDER BY id",
     "the question", " is open, and no work will end it"},
    {"SELECT id FROM cases WHERE isolation IS NOT NULL AND NOT EXISTS"
     " (SELECT 1 FROM isolations WHERE isolations.id = cases.isolation) ORDER BY id",
     "the case", " names an isolation that is not there"},
    {"SELECT id FROM isolations WHERE state IN ('requested', 'pending') AND NOT EXISTS"
     " (SELECT 1 FROM work WHERE work.id = isolations.id AND kind = 1) ORDER BY id",
     "the isolation", " is under way, and no work will follow it"},
    {"SELECT id FROM notices WHERE state = 'waiting' AND NOT EXISTS"
     " (SELECT 1 FROM work WHERE work.id = notices.id) ORDER BY id",
     "the notice", " is to be sent, and no work will send it"},
    {"SELECT id FROM work WHERE kind = 12 AND NOT EXISTS"
     " (SELECT 1 FROM bursts WHERE bursts.id = work.id) ORDER BY id",
     "work for the burst", ", which is not there"},
    {"SELECT id FROM notices WHERE state = 'held' AND NOT EXISTS (SELECT 1 FROM work"
     " WHERE work.id = notices.burst AND work.kind = 12) ORDER BY id",
     "the notice", " is held for a digest, and no work will tell it"},
    {"SELECT DISTINCT notice_id FROM recipients WHERE NOT EXISTS"
     " (SELECT 1 FROM notices WHERE notices.id = recipients.notice_id) ORDER BY notice_id",
     "recipients of the notice", ", which is not there"},
    {"SELECT DISTINCT case_id FROM steps WHERE NOT EXISTS"
     " (SELECT 1 FROM cases WHERE cases.id = steps.case_id) ORDER BY case_id",
     "steps of the case", ", which is not there"},
};

struct checking {
    store_found_fn found;
    void *ctx;
    bool any;
};

static void pass_on(void *ctx, const char *text)
{
    struct checking *c = ctx;

    c->any = true;
    c->found(c->ctx, text);
}

static enum err_code check_row(struct db_tx *tx, const struct checking *c, size_t i, struct err *e)
{
    struct db_rows *ids;
    int64_t n = 0;
    enum err_code code = db_query(tx, e, &ids, rows[i].sql, "");

    if (code)
        return code;
    while (db_next(ids)) {
        char id[ID_TEXT_SIZE], text[200];

        if (n++ >= NAMED)
            continue;
        (void)snprintf(text, sizeof text, "%s %s%s", rows[i].before, id_format(db_int(ids, 0), id),
                       rows[i].after);
        c->found(c->ctx, text);
    }
    if (n > NAMED) {
        char more[80];

        (void)snprintf(more, sizeof more, "… and %lld more of that kind", (long long)(n - NAMED));
        c->found(c->ctx, more);
    }
    return db_rows_end(ids, e);
}

static enum err_code check(struct db_tx *tx, void *arg, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < sizeof rows / sizeof *rows && !code; i++)
        code = check_row(tx, arg, i, e);
    return code;
}

enum err_code store_check(struct store *s, store_found_fn found, void *ctx, struct err *e)
{
    struct checking c = {.found = found, .ctx = ctx};
    enum err_code code = db_check(s->db, pass_on, &c, e);

    /* An engine that looks after its own files has rows all the same. */
    if (code == ERR_REFUSED)
        code = ERR_OK;
    /* Rows of a damaged file say nothing. */
    return code || c.any ? code : db_read(s->db, check, &c, e);
}
