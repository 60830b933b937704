/* hunt_found.c - what becomes of the rows that a hunt's run has found; see hunting_own.h, and hunting.c for the order in which
 * it is written. */
#include "hunting_own.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "store_accept.h"
#include "store_cases.h"

/* Rows noted in one transaction: the writer is everybody's. */
#define ROWS_AT_ONCE 200
/* Noted again only so often that it is not forgotten while it still comes. */
#define ROWS_AGAIN_MS DAY_MS

/* ---- which rows are new ------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b, void *keys)
{
    const size_t i = *(const size_t *)a, k = *(const size_t *)b;
    int order = strcmp(((char(*)[HUNT_KEY_SIZE])keys)[i], ((char(*)[HUNT_KEY_SIZE])keys)[k]);

    return order ? order : (i > k) - (i < k);
}

/* Marks all but the first of rows with one key. */
static enum err_code mark_repeated(struct hunting *x, struct err *e)
{
    size_t n = x->answer.n_rows;
    size_t *sorted = arena_array(x->arena, n + 1, sizeof *sorted);

    if (!sorted)
        return err_set(e, ERR_NOMEM, "%zu rows", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = i;
    qsort_r(sorted, n, sizeof *sorted, by_key, x->keys);
    for (size_t i = 1; i < n; i++)
        x->again[sorted[i]] = strcmp(x->keys[sorted[i]], x->keys[sorted[i - 1]]) == 0;
    return ERR_OK;
}

static enum err_code look_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < x->answer.n_rows && !code; i++) {
        x->since[i] = x->now;
        if (!x->again[i])
            code = hunt_row_look(tx, x->row.id, x->keys[i], x->now - ROWS_AGAIN_MS, &x->seen[i],
                                 &x->since[i], e);
    }
    return code;
}

/* No run has come to it. */
static bool is_new(const struct hunting *x, size_t i)
{
    return !x->again[i] && !x->baseline && (x->seen[i] == HUNT_NEW || x->seen[i] == HUNT_FOUND);
}

bool hunt_found_is_fresh(const struct hunting *x, size_t i)
{
    return is_new(x, i) || (!x->again[i] && !x->baseline && x->seen[i] == HUNT_UNTOLD);
}

static void count(struct hunting *x)
{
    x->n_told = x->n_fresh = 0;
    for (size_t i = 0; i < x->answer.n_rows; i++)
        if (hunt_found_is_fresh(x, i)) {
            x->n_fresh++;
            if (x->hunt->tells || x->seen[i] == HUNT_UNTOLD)
                x->told[x->n_told++] = i;
            if (!x->hunt->tells && x->seen[i] == HUNT_UNTOLD) /* by a run that came to no mail */
                x->refused_before = true;
        }
}

enum err_code hunt_found_tell_apart(struct hunting *x, struct err *e)
{
    size_t n = x->answer.n_rows;
    struct hunt_key key;
    enum err_code code = hunt_key_find(&x->answer, &x->hunt->key, &key, e);

    x->keys = arena_array(x->arena, n + 1, sizeof *x->keys);
    x->seen = arena_array(x->arena, n + 1, sizeof *x->seen);
    x->since = arena_array(x->arena, n + 1, sizeof *x->since);
    x->again = arena_array(x->arena, n + 1, sizeof *x->again);
    x->told = arena_array(x->arena, n + 1, sizeof *x->told);
    if (!code && (!x->keys || !x->seen || !x->since || !x->again || !x->told))
        code = err_set(e, ERR_NOMEM, "%zu rows", n);
    if (!code)
        code = hunt_rows_torn(x->arena, &x->answer, &x->torn, e);
    for (size_t i = 0; i < n && !code; i++)
        code = hunt_row_key(&x->answer, &key, i, x->keys[i], e);
    if (!code)
        code = mark_repeated(x, e);
    if (!code)
        code = db_read(x->g->store->db, look_fn, x, e);
    if (!code)
        count(x);
    return code;
}

/* ---- may it go on? ----------------------------------------------------------------------------- */

enum err_code hunt_found_has_room(const struct hunting *x, struct err *e)
{
    return x->g->store->full ? err_set(e, ERR_AGAIN, "the store has reached store.max_size")
                             : ERR_OK;
}

enum err_code hunt_found_goes_on(const struct hunting *x, struct err *e)
{
    return engine_goes_on(x->g) ? ERR_OK : err_set(e, ERR_STOPPING, "cordon is stopping");
}

/* ---- noting and making cases ------------------------------------------------------------------- */

/* Some rows, with the cases that they make. */
struct batch {
    struct hunting *x;
    const size_t *rows;
    size_t n_rows;
    const struct alert_ref *alerts;
    size_t n_alerts;
    bool untold;
    bool own;         /* the hunt has made the alerts */
    size_t made;      /* cases */
    const char *over; /* own: why the event's alert leads to nothing more; NULL: it does */
};

/* Defender made no alert of its own for the event: it counts it to one that is open there still, with the same title on the
 * same machine (section 2.7). If the case of that was over before this row was found first, in whichever try, nobody would
 * hear of the event. */
static enum err_code find_over(struct db_tx *tx, struct batch *b, const struct acceptance *a,
                               struct err *e)
{
    const struct hunting *x = b->x;
    struct case_record c;
    enum err_code code = case_load_row(tx, x->arena, a->cases[0], &c, e);

    if (code || (c.created >= x->since[b->rows[0]] && c.created <= x->now) ||
        (c.state != CASE_DONE && c.state != CASE_FAILED && c.state != CASE_DROPPED))
        return code;
    b->over = arena_fmt(x->arena,
                        "Defender counts it to alert %s, which is open there, and whose case is %s",
                        c.alert_id, case_state_name(c.state));
    return b->over ? ERR_OK : err_set(e, ERR_NOMEM, "a row");
}

static enum err_code batch_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct batch *b = arg;
    const struct hunting *x = b->x;
    struct notification n = {.tenant = x->hunt->tenant->name,
                             .source = x->hunt->source,
                             .may_isolate = x->hunt->may_isolate && !x->hunt->shadow,
                             .made = b->own,
                             .received_ms = x->now,
                             .alerts = b->alerts,
                             .count = b->n_alerts};
    struct acceptance a = {.n = &n};
    struct work claim = *x->w;
    enum err_code code = acceptance_of_poll(tx, &a, e);

    b->made = a.reopened;
    b->over = NULL;
    for (size_t i = 0; i < n.count && !code; i++)
        b->made += a.fresh[i];
    if (!code && b->own && !b->made)
        code = find_over(tx, b, &a, e);
    for (size_t i = 0; i < b->n_rows && !code; i++)
        code = hunt_row_put(tx, x->row.id, x->keys[b->rows[i]], b->untold || b->over, x->now, e);
    if (!code) /* as many as come, or they would be more and more */
        code = hunt_rows_forget(tx, x->row.id, x->now - HUNT_ROWS_KEEP_MS, (int64_t)b->n_rows, e);
    return code ? code : work_keep(tx, &claim, clock_wall_ms(x->g->clock), e);
}

static enum err_code write_batch(struct hunting *x, struct batch *b, struct err *e)
{
    enum err_code code;

    b->x = x;
    code = db_write(x->g->store->db, batch_fn, b, e);
    if (code || !b->made)
        return code;
    x->n_cases += b->made;
    metrics_add(x->g->metrics, METRIC_CASES_MADE, (int64_t)b->made, x->hunt->tenant->name, NULL);
    engine_kick_cases(x->g);
    return ERR_OK;
}

/* An alert for an event. ERR_REFUSED: none can be made of it, and *ret_why says why. */
static enum err_code make_alert(struct hunting *x, const struct hunt_row_ids *ids,
                                char ret_id[DEFENDER_ALERT_ID_SIZE], struct err *e)
{
    struct defender_new_alert alert = x->hunt->event;
    enum err_code code;

    alert.machine_id = ids->machine_id;
    alert.report_id = ids->report_id;
    alert.event_time = ids->time;
    code = defender_create_alert(x->tenant->defender, &alert, ret_id, e);
    /* The event is none that Defender has, or none that it takes. A missing permission concerns them all. */
    return code == ERR_NOT_FOUND || code == ERR_INVALID ? ERR_REFUSED : code;
}

static void refuse(struct hunting *x, size_t row, const char *why)
{
    if (!x->refused)
        x->refused = arena_str(x->arena, why);
    if (!x->hunt->tells)
        x->told[x->n_told++] = row; /* somebody has to hear of it */
}

/* Whose word the alert of a new row is. */
enum row_alert {
    ROW_NONE,    /* it can have none, and that is told */
    ROW_REFUSED, /* the same: Defender was asked for one */
    ROW_NAMED,   /* the row names it */
    ROW_MADE     /* it was made for the row */
};

/* The alert of one new row, for ROW_NAMED and ROW_MADE. */
static enum err_code alert_of(struct hunting *x, size_t row, struct alert_ref *ret,
                              enum row_alert *ret_is, struct err *e)
{
    char made[DEFENDER_ALERT_ID_SIZE];
    struct hunt_row_ids ids;
    struct err why = {0};
    enum err_code code = hunt_row_ids(x->arena, &x->answer, row, &ids, e);

    *ret_is = ROW_NAMED;
    if (code)
        return code;
    if (!ids.alert_id && ids.report_id && x->hunt->event.severity) {
        code = make_alert(x, &ids, made, &why);
        if (code == ERR_REFUSED) {
            refuse(x, row, why.text);
            *ret_is = ROW_REFUSED;
            return ERR_OK;
        }
        if (code) {
            *e = why;
            return code;
        }
        ids.alert_id = arena_str(x->arena, made);
        if (!ids.alert_id)
            return err_set(e, ERR_NOMEM, "an alert");
        *ret_is = ROW_MADE;
    }
    if (!ids.alert_id) {
        refuse(x, row,
               ids.report_id ? "case.severity is not set, so no alert is made for an event"
                             : "a case needs AlertId, or DeviceId, ReportId and Timestamp");
        *ret_is = ROW_NONE;
        return ERR_OK;
    }
    *ret = (struct alert_ref){.alert_id = ids.alert_id,
                              .machine_id = x->torn[row] ? NULL : ids.machine_id,
                              .likely_high = x->hunt->event.severity &&
                                             strcmp(x->hunt->event.severity, "High") == 0};
    return ERR_OK;
}

/* alert_of, unless there is to be no other one now. */
static enum err_code next_alert(struct hunting *x, size_t row, struct alert_ref *ret,
                                enum row_alert *ret_is, struct err *e)
{
    enum err_code code = hunt_found_has_room(x, e);

    if (!code)
        code = hunt_found_goes_on(x, e);
    return code ? code : alert_of(x, row, ret, ret_is, e);
}

static enum err_code make_cases(struct hunting *x, struct err *e)
{
    struct alert_ref alerts[INTAKE_BATCH_MAX];
    size_t rows[INTAKE_BATCH_MAX], n = 0;
    enum err_code code = ERR_OK, failed = ERR_OK;
    struct err why = {0};

    for (size_t i = 0; i < x->answer.n_rows && !code && !failed; i++) {
        enum row_alert is = ROW_NONE;

        if (!is_new(x, i))
            continue;
        failed = next_alert(x, i, &alerts[n], &is, &why);
        if (is == ROW_REFUSED) { /* at once: to ask again costs a call that others need */
            struct batch b = {.rows = &i, .n_rows = 1, .untold = true};

            code = write_batch(x, &b, e);
        }
        if (failed || is == ROW_NONE || is == ROW_REFUSED)
            continue;
        if (is == ROW_MADE) { /* at once: Defender lists it from now on, and others may push it */
            struct batch b = {.rows = &i,
                              .n_rows = 1,
                              .alerts = &alerts[n],
                              .n_alerts = 1,
                              .untold = x->hunt->tells,
                              .own = true};

            code = write_batch(x, &b, e);
            if (b.over) {
                refuse(x, i, b.over);
                continue;
            }
        } else {
            rows[n++] = i;
        }
        if (n == INTAKE_BATCH_MAX) {
            struct batch b = {.rows = rows,
                              .n_rows = n,
                              .alerts = alerts,
                              .n_alerts = n,
                              .untold = x->hunt->tells};

            code = write_batch(x, &b, e);
            n = 0;
        }
        if (!x->hunt->tells)
            x->seen[i] = HUNT_KNOWN; /* written with its case */
    }
    if (!code && n) { /* also after a failure: what was made is made */
        struct batch b = {
            .rows = rows, .n_rows = n, .alerts = alerts, .n_alerts = n, .untold = x->hunt->tells};

        code = write_batch(x, &b, e);
    }
    if (!code && failed) {
        *e = why;
        return failed;
    }
    return code;
}

/* Notes all rows that are not noted yet: known ones anew, new ones as untold where somebody is to hear of them. */
static enum err_code note_rows(struct hunting *x, struct err *e)
{
    for (int untold = 0; untold < 2; untold++) {
        size_t rows[ROWS_AT_ONCE], n = 0;

        for (size_t i = 0; i <= x->answer.n_rows; i++) {
            bool end = i == x->answer.n_rows;
            enum err_code code = ERR_OK;

            if (!end && !x->again[i] && x->seen[i] != HUNT_KNOWN &&
                hunt_found_is_fresh(x, i) == (untold == 1))
                rows[n++] = i;
            if (n == ROWS_AT_ONCE || (end && n)) {
                struct batch b = {.rows = rows, .n_rows = n, .untold = untold == 1};

                code = hunt_found_goes_on(x, e);
                if (!code)
                    code = write_batch(x, &b, e);
                n = 0;
            }
            if (code)
                return code;
        }
    }
    return ERR_OK;
}

struct finding {
    struct hunting *x;
    size_t from, to;
};

static enum err_code found_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct finding *f = arg;
    struct hunting *x = f->x;
    struct work claim = *x->w;
    enum err_code code = ERR_OK;

    for (size_t i = f->from; i < f->to && !code; i++)
        if (is_new(x, i) && x->seen[i] == HUNT_NEW)
            code = hunt_row_found(tx, x->row.id, x->keys[i], x->now, e);
    return code ? code : work_keep(tx, &claim, clock_wall_ms(x->g->clock), e);
}

/* Cases could not be made of all rows: which of them had been found by now matters when the next try comes to the rest
 * (find_over). What is not noted is told of once more than it had to be. */
static void note_found(struct hunting *x)
{
    struct finding f = {.x = x};
    enum err_code code = hunt_found_goes_on(x, NULL);
    struct err e;

    for (; f.from < x->answer.n_rows && !code; f.from = f.to) {
        for (size_t n = 0; n < ROWS_AT_ONCE && f.to < x->answer.n_rows; f.to++)
            n += is_new(x, f.to) && x->seen[f.to] == HUNT_NEW;
        code = db_write(x->g->store->db, found_fn, &f, &e);
        if (code)
            log_event(LOG_WARN, "hunt_rows_not_noted", LOG_STR("hunt", x->hunt->name), LOG_ERR(&e));
        else
            code = hunt_found_goes_on(x, NULL);
    }
}

enum err_code hunt_found_see_to(struct hunting *x, struct err *e)
{
    enum err_code code = ERR_OK;

    if (x->hunt->makes_cases && !x->baseline) {
        code = make_cases(x, e);
        if (code && code != ERR_STALE)
            note_found(x);
    }
    return code ? code : note_rows(x, e);
}
