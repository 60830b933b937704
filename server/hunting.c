/* hunting.c - see hunting.h.
 *
 * In which order a run writes, so that a process may die anywhere: rows that are to be told of are noted as untold, a
 * few hundred in a transaction; cases stand in the transaction of their rows; the mail, the end of the window and the next
 * time are the last one. What dies before it is run again with the same window: rows that are noted make no second
 * case, and the untold ones are told.
 *
 * A window ends when the run began, by our clock, and not with the newest row: rows come late (defender-api.md section
 * 5.3), which is what look_back is for. By Defender's, where ours is known to be ahead: else the next windows would begin in
 * what is to come, and nobody would look at the hours until it is set right.
 */
#include "hunting.h"

#include <stdlib.h>
#include <string.h>

#include "hunt_notice.h"
#include "id.h"
#include "log.h"
#include "store_audit.h"
#include "store_cases.h"
#include "store_deliveries.h"
#include "store_hunts.h"

/* Rows noted in one transaction: the writer is everybody's. */
#define ROWS_AT_ONCE 200
/* A row that was not in an answer for so long is new when it comes back: no event is as old. */
#define ROWS_KEEP_MS (HUNT_BACK_MAX_MS + 5 * DAY_MS)
/* Noted again only so often that it is not forgotten while it still comes. */
#define ROWS_AGAIN_MS DAY_MS
#define ROWS_FORGET                                                                                \
    1000 /* in one run, besides as many as it notes; of another query in one transaction */
/* A slow query ends with a 500 or 504 (section 5.2): tried again a few times, not at once, then at its next time, or as
 * plan_after_failure has it. */
#define TRIES      4
#define TRY_MS     (30 * SECOND_MS)
#define RESULT_MAX (256 * 1024)
#define SAMPLE     20 /* rows of an order's answer */
/* So often it is looked whether a full store has room again. */
#define FULL_MS (30 * SECOND_MS)

struct hunting {
    struct engine *g;
    struct runtime *rt;
    struct runtime_tenant *tenant;
    struct arena *arena;
    struct work *w;
    const struct config_hunt *hunt;
    struct hunt_record row;
    int64_t now, due, attempts;
    int64_t there; /* now, by Defender's clock if ours is ahead */
    bool baseline, dry;
    /* what the query found */
    struct hunt_answer answer;
    char (*keys)[HUNT_KEY_SIZE];
    enum hunt_seen *seen;
    int64_t *since;   /* wall ms: when a row that is new was in an answer first */
    bool *again;      /* the same row as an earlier one of this answer */
    const bool *torn; /* its alert stands in the answer with several machines */
    size_t *told;     /* rows to tell of, n_told of them */
    size_t n_told, n_fresh, n_cases;
    const char *refused; /* why a row can have no alert; NULL: each can */
    bool refused_before; /* an earlier run has noted such rows */
    bool more;           /* rows of another query, or of a hunt that is over, are left */
    const char *sick;    /* why people are to hear of it; NULL: nothing */
    bool well;
    struct buf result;
};

/* ---- who hunts --------------------------------------------------------------------------------- */

static enum err_code start_fn(struct db_tx *tx, void *arg, struct err *e)
{
    const struct hunting *x = arg;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < x->rt->config->n_hunts && !code; i++)
        code = hunt_watch(tx, x->g->clock, x->rt->config->hunts[i].name, x->now, e);
    return code;
}

enum err_code hunting_start(struct engine *g, struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct hunting x = {.g = g, .rt = rt, .now = clock_wall_ms(g->clock)};
    enum err_code code = ERR_OK;

    if (rt->config->n_hunts) /* a row that is left ends by itself */
        code = db_write(g->store->db, start_fn, &x, e);
    engine_kick(g);
    return code ? err_in(e, "hunts") : ERR_OK;
}

struct ordering {
    const struct hunting_order *o;
    struct engine *g;
    struct arena *arena;
    int64_t id;
};

static enum err_code order_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct ordering *x = arg;
    int64_t now = clock_wall_ms(x->g->clock);
    struct hunt_record row;
    enum err_code code = hunt_load_named(tx, x->arena, x->o->name, &row, e);

    /* One order takes another's place: who wants a real run is not to get a dry one for it, nor the other way round. */
    if (!code && row.ordered && row.ordered_dry != x->o->dry)
        code = err_set(
            e, ERR_CONFLICT,
            "a %s run of the hunt is ordered, and has not ended: order this one when it has",
            row.ordered_dry ? "dry" : "real");
    if (!code)
        code = hunt_order(tx, row.id, x->id, x->o->dry, now, e);
    if (!code && !x->o->dry)
        code = audit_put(tx, e, AUDIT_ORDER, 0, now, LOG_STR("what", "hunt"),
                         LOG_STR("hunt", x->o->name), LOG_STR("who", x->o->who));
    return code;
}

enum err_code hunting_order(struct engine *g, const struct hunting_order *o, int64_t *ret_order,
                            struct err *e)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct ordering x = {.o = o, .g = g, .arena = arena, .id = id_new(g->clock)};
    enum err_code code;

    if (!arena)
        return err_set(e, ERR_NOMEM, "hunt");
    if (!config_hunt(rt->config, o->name))
        return err_set(e, ERR_NOT_FOUND, "there is no hunt called '%.60s'", o->name);
    code = db_write(g->store->db, order_fn, &x, e);
    if (code)
        return code;
    log_event(LOG_INFO, "hunt_ordered", LOG_STR("hunt", o->name), LOG_STR("who", o->who),
              LOG_BOOL("dry", o->dry));
    engine_kick(g);
    *ret_order = x.id;
    return ERR_OK;
}

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

static enum err_code tell_apart(struct hunting *x, struct err *e)
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
    return code ? code : db_read(x->g->store->db, look_fn, x, e);
}

/* No run has come to it. */
static bool is_new(const struct hunting *x, size_t i)
{
    return !x->again[i] && !x->baseline && (x->seen[i] == HUNT_NEW || x->seen[i] == HUNT_FOUND);
}

static bool is_fresh(const struct hunting *x, size_t i)
{
    return is_new(x, i) || (!x->again[i] && !x->baseline && x->seen[i] == HUNT_UNTOLD);
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
        code = hunt_rows_forget(tx, x->row.id, x->now - ROWS_KEEP_MS, (int64_t)b->n_rows, e);
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

/* Nothing new is accepted, from nobody, and no alert is made at Defender that could not be kept. */
static enum err_code is_full(const struct hunting *x, struct err *e)
{
    return x->g->store->full ? err_set(e, ERR_AGAIN, "the store has reached store.max_size")
                             : ERR_OK;
}

/* There may be hundreds of transactions to come, and whoever stops cordon waits for this run: the next one goes on. */
static enum err_code is_stopping(const struct hunting *x, struct err *e)
{
    return engine_goes_on(x->g) ? ERR_OK : err_set(e, ERR_STOPPING, "cordon is stopping");
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
        failed = is_full(x, &why);
        if (!failed)
            failed = is_stopping(x, &why);
        if (!failed)
            failed = alert_of(x, i, &alerts[n], &is, &why);
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

            if (!end && !x->again[i] && x->seen[i] != HUNT_KNOWN && is_fresh(x, i) == (untold == 1))
                rows[n++] = i;
            if (n == ROWS_AT_ONCE || (end && n)) {
                struct batch b = {.rows = rows, .n_rows = n, .untold = untold == 1};

                code = is_stopping(x, e);
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
    enum err_code code = is_stopping(x, NULL);
    struct err e;

    for (; f.from < x->answer.n_rows && !code; f.from = f.to) {
        for (size_t n = 0; n < ROWS_AT_ONCE && f.to < x->answer.n_rows; f.to++)
            n += is_new(x, f.to) && x->seen[f.to] == HUNT_NEW;
        code = db_write(x->g->store->db, found_fn, &f, &e);
        if (code)
            log_event(LOG_WARN, "hunt_rows_not_noted", LOG_STR("hunt", x->hunt->name), LOG_ERR(&e));
        else
            code = is_stopping(x, NULL);
    }
}

/* ---- a run ------------------------------------------------------------------------------------- */

static enum err_code ask(struct hunting *x, struct json **ret, struct err *e)
{
    int64_t from = (x->row.covered ? x->row.covered : x->there) - x->hunt->look_back_ms;
    enum err_code code;

    if (from < x->there - HUNT_BACK_MAX_MS) {
        if (x->row.covered && x->row.covered < x->there - HUNT_BACK_MAX_MS)
            log_event(
                LOG_WARN, "hunt_gap", LOG_STR("hunt", x->hunt->name),
                LOG_STR("why",
                        "it was not run for more than thirty days; what is older stays unseen"));
        from = x->there - HUNT_BACK_MAX_MS;
    }
    code = graph_hunt(x->tenant->graph, (enum graph_api)x->hunt->api, x->hunt->query, from, ret, e);
    if (!code)
        code = hunt_answer_read(x->arena, *ret, &x->answer, e);
    return code ? code : tell_apart(x, e);
}

static void count(struct hunting *x)
{
    x->n_told = x->n_fresh = 0;
    for (size_t i = 0; i < x->answer.n_rows; i++)
        if (is_fresh(x, i)) {
            x->n_fresh++;
            if (x->hunt->tells || x->seen[i] == HUNT_UNTOLD)
                x->told[x->n_told++] = i;
            if (!x->hunt->tells && x->seen[i] == HUNT_UNTOLD) /* by a run that came to no mail */
                x->refused_before = true;
        }
}

static void write_result_with(struct hunting *x, const struct err *why, bool shows)
{
    struct json_out o = JSON_OUT(&x->result);
    size_t shown = 0;

    json_out_object(&o, NULL);
    json_out_id(&o, "order", x->row.ordered);
    json_out_bool(&o, "dry", x->dry);
    json_out_time(&o, "ran", x->now);
    json_out_string(&o, "error", why ? why->text : NULL);
    json_out_bool(&o, "baseline", x->baseline);
    json_out_int(&o, "rows", (int64_t)x->answer.n_rows);
    json_out_int(&o, "new", (int64_t)x->n_fresh);
    json_out_int(&o, "cases", (int64_t)x->n_cases);
    json_out_array(&o, "columns");
    for (size_t i = 0; i < x->answer.n_columns && shows; i++)
        json_out_string(&o, NULL, x->answer.columns[i]);
    json_out_array_end(&o);
    json_out_array(&o, "sample"); /* new rows first; of a baseline, what there is */
    for (size_t i = 0;
         i < x->answer.n_rows && shown < SAMPLE && x->result.len < RESULT_MAX / 2 && shows; i++) {
        if (x->again[i] || (x->n_fresh && !is_fresh(x, i)))
            continue;
        shown++;
        json_out_array(&o, NULL);
        for (size_t k = 0; k < x->answer.n_columns; k++) {
            AUTO(buf_clear) struct buf cell = BUF_INIT(1 << 20);

            hunt_cell_write(&cell, &x->answer, i, k);
            json_out_stringn(&o, NULL, buf_text(&cell), cell.len < 400 ? cell.len : 400);
        }
        json_out_array_end(&o);
    }
    json_out_array_end(&o);
    json_out_object_end(&o);
}

/* Rows that are too wide to be shown are not: half an answer is none. */
static void write_result(struct hunting *x, const struct err *why)
{
    write_result_with(x, why, !why);
    if (buf_failed(&x->result)) {
        buf_reset(&x->result);
        write_result_with(x, why, false);
    }
}

static enum err_code news_fn(struct db_tx *tx, struct hunting *x, struct err *e)
{
    const struct hunt_news news = {.hunt = x->hunt,
                                   .answer = &x->answer,
                                   .rows = x->told,
                                   .n_rows = x->n_told,
                                   .n_fresh = x->n_fresh,
                                   .n_cases = x->n_cases,
                                   .refused = x->refused ? x->refused
                                              : x->refused_before
                                                  ? "an earlier run could not make cases of them"
                                                  : NULL,
                                   .cut = x->answer.n_rows >= GRAPH_ROWS_MAX};
    enum err_code code = ERR_OK;

    if (x->n_told)
        code = hunt_notice_put(tx, x->g, x->rt, x->arena, &news, x->now, e);
    else if (news.cut)
        code = hunt_notice_cut(tx, x->g, x->rt, x->arena, x->hunt, x->now, e);
    if (!code && x->n_told)
        code = hunt_rows_told(tx, x->row.id, e);
    if (!code && (x->n_fresh || x->baseline))
        code =
            audit_put(tx, e, AUDIT_HUNT, 0, x->now, LOG_STR("hunt", x->hunt->name),
                      LOG_STR("query", x->hunt->hash), LOG_BOOL("baseline", x->baseline),
                      LOG_INT("rows", (int64_t)x->answer.n_rows),
                      LOG_INT("new", (int64_t)x->n_fresh), LOG_INT("cases", (int64_t)x->n_cases));
    if (!code)
        code = hunt_rows_forget(tx, x->row.id, x->now - ROWS_KEEP_MS, ROWS_FORGET, e);
    return code;
}

static enum err_code ended_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    bool waiting = false, early;
    enum err_code code = ERR_OK;

    if (x->well && !x->dry)
        code = news_fn(tx, x, e);
    if (!code && (x->sick || x->well) && !x->dry)
        code = hunt_notice_state(tx, x->g, x->rt, x->arena, x->hunt, x->sick, x->now, e);
    if (!code)
        code = hunt_move(tx, &x->row, e);
    if (!code)
        code = hunt_answered(tx, x->row.id, x->result.len ? x->row.ordered : 0,
                             buf_text(&x->result), &waiting, e);
    early = waiting || !engine_is_in_force(x->g, x->rt); /* it may have another schedule */
    return code ? code : work_again(tx, x->w, early ? x->now : x->due, x->attempts, e);
}

/* The same delay for the same time, however often it is reckoned, and another for each hunt. */
static int64_t jitter(const struct config_hunt *h, int64_t due)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */

    if (!h->jitter_ms)
        return 0;
    for (const char *p = h->name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (int i = 0; i < 8; i++)
        hash = (hash ^ (unsigned char)(due >> 8 * i)) * 1099511628211u;
    return (int64_t)(hash >> 11) % h->jitter_ms;
}

static void plan(struct hunting *x, int64_t after)
{
    x->row.plan = x->hunt->plan;
    x->row.due = cron_next(&x->hunt->cron, x->hunt->zone, after);
    x->due = x->row.due == CRON_NEVER ? WORK_PARKED : x->row.due + jitter(x->hunt, x->row.due);
    x->attempts = 0;
}

static void write_end(struct hunting *x)
{
    struct err e;

    if (db_write(x->g->store->db, ended_fn, x, &e)) {
        log_event(e.code == ERR_STALE ? LOG_WARN : LOG_ERROR, "hunt_not_written",
                  LOG_STR("hunt", x->hunt->name), LOG_ERR(&e));
        if (e.code != ERR_STALE)
            engine_retry(x->g, x->w);
        return;
    }
    engine_kick(x->g);
}

static void succeeded(struct hunting *x)
{
    x->well = true;
    x->row.query = x->hunt->asks;
    x->row.covered = x->there;
    x->row.ran = x->now;
    x->row.failing = 0;
    x->row.why = "";
    x->row.rows = (int64_t)x->answer.n_rows;
    x->row.fresh = (int64_t)x->n_fresh;
    plan(x, x->now);
    if (x->answer.n_rows >= GRAPH_ROWS_MAX)
        log_event(LOG_WARN, "hunt_cut", LOG_STR("hunt", x->hunt->name),
                  LOG_STR("why", "Defender gives out 100,000 rows at most: there may be more"));
    log_event(x->n_fresh || x->baseline ? LOG_INFO : LOG_DEBUG,
              x->baseline ? "hunt_baseline" : "hunted", LOG_STR("hunt", x->hunt->name),
              LOG_INT("rows", x->row.rows), LOG_INT("new", x->row.fresh),
              LOG_INT("cases", (int64_t)x->n_cases));
    metrics_add(x->g->metrics, METRIC_HUNT_ROWS, (int64_t)x->n_fresh, x->hunt->name, NULL);
}

/* Is it worth while to try again before the next time? */
static bool may_pass(enum err_code code)
{
    return code == ERR_AGAIN || code == ERR_THROTTLED || code == ERR_UNKNOWN || code == ERR_NOMEM ||
           code == ERR_IO || code == ERR_STOPPING || code == ERR_CONFLICT;
}

/* Its next time may be in a week: one that may heal is tried when people would hear of it, and once a day from then on. */
static void plan_after_failure(struct hunting *x, int64_t latest)
{
    plan(x, x->now);
    if (x->due > latest)
        x->due = x->row.due = latest;
}

static void failed(struct hunting *x, const struct err *why)
{
    int64_t wait = engine_wait_after(x->w, why), at = clock_wall_ms(x->g->clock);
    bool again = may_pass(why->code) && (x->w->attempts < TRIES || why->code == ERR_THROTTLED);
    int64_t sick;

    if (!x->row.failing)
        x->row.failing = x->now;
    sick = x->row.failing + HUNTING_SICK_MS;
    x->row.why = arena_str(x->arena, why->text) ? arena_str(x->arena, why->text) : "";
    if (!may_pass(why->code) || at >= sick)
        x->sick = x->row.why;
    if (again) {
        x->due = at + (wait < TRY_MS && why->code != ERR_STOPPING ? TRY_MS : wait);
        x->attempts = engine_attempts_after(x->w, why);
        if (at < sick && x->due > sick) /* Defender may name a time hours ahead */
            x->due = sick;
    } else if (may_pass(why->code)) {
        plan_after_failure(x, at < sick ? sick : at + DAY_MS);
    } else {
        plan(x, x->now);
    }
    log_event(LOG_WARN, "hunt_failed", LOG_STR("hunt", x->hunt->name), LOG_ERR(why),
              LOG_INT("next_ms", x->due - at));
}

/* Of no query until the last row of the one before is gone: whatever comes in between, it begins anew. */
static enum err_code clear_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    struct work claim = *x->w;
    enum err_code code = hunt_rows_clear(tx, x->row.id, ROWS_FORGET, &x->more, e);

    x->row.query = x->more ? "" : x->hunt->asks;
    if (!code)
        code = hunt_move(tx, &x->row, e);
    return code ? code : work_keep(tx, &claim, clock_wall_ms(x->g->clock), e);
}

/* Another query than before, or another tenant: what it finds is to be compared with nothing else. */
static enum err_code begin_anew(struct hunting *x, struct err *e)
{
    enum err_code code = ERR_OK;

    if (x->dry || config_hunt_asks(x->hunt, x->row.query))
        return ERR_OK;
    x->row.covered = 0;
    for (x->more = true; x->more && !code;) {
        code = is_stopping(x, e);
        if (!code)
            code = db_write(x->g->store->db, clear_fn, x, e);
    }
    if (code)
        x->row.query = "";
    return code;
}

static void hunt(struct hunting *x)
{
    AUTO(json_freep) struct json *doc = NULL;
    struct err why = {0};
    bool ordered = x->row.ordered != 0;
    enum err_code code = begin_anew(x, &why);

    x->baseline = !x->row.covered || !config_hunt_asks(x->hunt, x->row.query);
    if (!code)
        code = ask(x, &doc, &why);
    if (!code)
        count(x);
    if (!code && !x->dry && x->hunt->makes_cases && !x->baseline) {
        code = make_cases(x, &why);
        if (code && code != ERR_STALE)
            note_found(x);
    }
    if (!code && !x->dry)
        code = note_rows(x, &why);
    metrics_add(x->g->metrics, METRIC_HUNTS, 1, x->hunt->name, err_name(code));
    if (code == ERR_STALE) /* somebody else runs it */
        return;
    if (ordered)
        write_result(x, code ? &why : NULL);
    if (x->dry)
        x->due = x->row.due + jitter(x->hunt, x->row.due);
    else if (code)
        failed(x, &why);
    else
        succeeded(x);
    if (!x->dry)
        (void)health_note(x->g->health, "hunt", x->hunt->name,
                          !x->row.failing ||
                              (may_pass(code) && x->now - x->row.failing < HUNTING_SICK_MS),
                          x->row.why);
    write_end(x);
}

/* What is not asked for now is when there is room: the window begins where the last run ended. A person who ordered
 * the run is told at once. */
static bool waits_for_room(struct hunting *x)
{
    struct err why = {0};

    if (x->dry || !x->hunt->makes_cases || !is_full(x, &why))
        return false;
    (void)health_note(x->g->health, "hunt", x->hunt->name, false, "the store is full");
    if (x->row.ordered) {
        write_result(x, &why);
        x->due = x->now + FULL_MS; /* whether it is time is looked at then */
        write_end(x);
        return true;
    }
    engine_give_back(x->g, x->w, FULL_MS);
    return true;
}

/* ---- when it is due ---------------------------------------------------------------------------- */

/* Times that are still to come were written before the clock was set back. The window ended no longer ago than there was
 * to wait for the next time that was planned then. */
static void mind_the_clock(struct hunting *x)
{
    int64_t wait = x->row.due - x->row.covered;

    if (x->row.covered > x->there)
        x->row.covered = x->there - (wait < HUNT_BACK_MAX_MS ? wait : HUNT_BACK_MAX_MS);
    if (x->row.failing > x->now)
        x->row.failing = x->now;
}

/* Is it time? Else x->due says when. */
static bool is_time(struct hunting *x)
{
    int64_t latest;

    mind_the_clock(x);
    /* New, or at other times than before; or the next one lies further ahead than it ever was planned: the clock, too. */
    if (strcmp(x->row.plan, x->hunt->plan) != 0 ||
        (x->row.due > x->now && cron_next(&x->hunt->cron, x->hunt->zone, x->now) < x->row.due))
        plan(x, x->now);
    x->due = x->row.due == CRON_NEVER ? WORK_PARKED : x->row.due + jitter(x->hunt, x->row.due);
    x->attempts = 0;
    if (x->row.ordered)
        return true;
    if (x->now < x->due)
        return false;
    if (x->now - x->due <= MINUTE_MS || x->row.failing)
        return true;
    if (engine_was_here(x->g, x->now - x->due)) /* others took the time of both threads */
        return true;
    /* Late: nobody was there at its time. One run makes up for all that fell into the horizon. */
    latest = cron_next(&x->hunt->cron, x->hunt->zone, x->now - x->hunt->catch_up_ms - 1);
    if (x->hunt->catch_up_ms && latest <= x->now) {
        log_event(LOG_INFO, "hunt_caught_up", LOG_STR("hunt", x->hunt->name),
                  LOG_INT("late_ms", x->now - x->row.due));
        return true;
    }
    log_event(
        LOG_WARN, "hunt_missed", LOG_STR("hunt", x->hunt->name),
        LOG_INT("late_ms", x->now - x->row.due),
        LOG_STR("why", "its time was longer ago than catch_up; the next run looks back so far"));
    plan(x, x->now);
    return false;
}

static enum err_code load_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;

    return hunt_load(tx, x->arena, x->w->id, &x->row, e);
}

static enum err_code over_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct hunting *x = arg;
    bool over = true;
    enum err_code code = engine_unknown(tx, x->g, x->rt, x->w, &over, e);

    if (code || !over)
        return code;
    code = hunt_rows_clear(tx, x->w->id, ROWS_FORGET, &x->more, e);
    if (!code && x->more) { /* those come next; if the hunt comes first, it begins anew */
        x->row.query = "";
        x->row.covered = 0;
        code = hunt_move(tx, &x->row, e);
        return code ? code : work_again(tx, x->w, x->now, 0, e);
    }
    if (!code)
        code = hunt_forget(tx, x->w->id, e);
    return code ? code : work_done(tx, x->w, e);
}

void hunting_run(struct engine *g, struct work *w)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(g);
    struct hunting x = {.g = g,
                        .rt = rt,
                        .arena = arena,
                        .w = w,
                        .now = clock_wall_ms(g->clock),
                        .result = BUF_INIT(RESULT_MAX)};
    struct err e;
    enum err_code code =
        arena ? db_read(g->store->db, load_fn, &x, &e) : err_set(&e, ERR_NOMEM, "hunt");

    if (code && code != ERR_NOT_FOUND) {
        log_event(LOG_ERROR, "hunt_unreadable", LOG_ID("work", w->id), LOG_ERR(&e));
        engine_retry(g, w);
        return;
    }
    x.hunt = code ? NULL : config_hunt(rt->config, x.row.name);
    x.tenant = x.hunt ? runtime_tenant(rt, x.hunt->tenant->name) : NULL;
    if (!x.tenant) { /* it was taken out of the configuration */
        if (db_write(g->store->db, over_fn, &x, &e))
            engine_retry(g, w);
        return;
    }
    x.there = x.now - runtime_clock_ahead_ms(x.tenant);
    x.dry = x.row.ordered && x.row.ordered_dry;
    if (!waits_for_room(&x)) {
        if (!is_time(&x))
            write_end(&x);
        else if (engine_enter(g, w, x.tenant->config->name, rt->config->n_tenants))
            hunt(&x);
    }
    buf_clear(&x.result);
}
