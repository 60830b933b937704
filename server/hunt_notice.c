/* hunt_notice.c - see hunt_notice.h. */
#include "hunt_notice.h"

#include <stdio.h>
#include <string.h>

#include "id.h"
#include "letter.h"
#include "log.h"
#include "notice_system.h"
#include "pause.h"
#include "utf8.h"

#define ROWS_POSTED 5
#define CELL_POSTED 200 /* bytes */

static void cell(void *ctx, size_t row, size_t column, struct buf *out)
{
    const struct hunt_news *n = ctx;

    hunt_cell_write(out, n->answer, n->rows[row], column);
}

static void say(struct letter *l, const struct hunt_news *n, size_t attached)
{
    struct arena *a = l->arena;
    size_t shown = n->n_rows < HUNT_ROWS_SHOWN ? n->n_rows : HUNT_ROWS_SHOWN;
    const char *text;

    if (n->hunt->makes_cases) {
        text = arena_fmt(
            a, "%zu case%s came of them: what the rules do about those is told by itself.",
            n->n_cases, n->n_cases == 1 ? "" : "s");
        letter_paragraph(l, text ? text : "");
    }
    if (n->refused)
        letter_paragraph(l, "These rows could not become cases; a person should look.");
    if (n->cut)
        letter_paragraph(l,
                         "The answer is as long as Defender gives out at most: there may be more "
                         "rows. Let the query find fewer.");
    text = arena_fmt(a,
                     "%zu of %zu row%s and %zu of %zu column%s are below; the attachment has %zu "
                     "rows with all columns.",
                     shown, n->n_rows, n->n_rows == 1 ? "" : "s",
                     n->answer->n_columns < HUNT_COLUMNS_SHOWN ? n->answer->n_columns
                                                               : (size_t)HUNT_COLUMNS_SHOWN,
                     n->answer->n_columns, n->answer->n_columns == 1 ? "" : "s", attached);
    letter_paragraph(l, text ? text : "");
    if (attached < n->n_rows) {
        text = arena_fmt(
            a,
            "%zu had no room in it and are told nowhere else: run the query in the Defender "
            "portal to see them, and let it find fewer rows or project less of them.",
            n->n_rows - attached);
        letter_paragraph(l, text ? text : "");
    }
    letter_table_begin(l);
    letter_own_fact(l, "Hunt", n->hunt->name);
    letter_own_fact(l, "Tenant", n->hunt->tenant->name);
    letter_fact(l, "Why no case", n->refused);
    letter_table_end(l);
    letter_grid(l, n->answer->columns,
                n->answer->n_columns < HUNT_COLUMNS_SHOWN ? n->answer->n_columns
                                                          : (size_t)HUNT_COLUMNS_SHOWN,
                shown, cell, (void *)n);
}

/* "DeviceId: 9c1f…, ReportId: 7"; NULL: no memory. */
static const char *row_words(struct arena *arena, const struct hunt_news *n, size_t row)
{
    AUTO(buf_clear) struct buf words = BUF_INIT(1 << 20);

    for (size_t i = 0; i < n->answer->n_columns && i < HUNT_COLUMNS_SHOWN; i++) {
        AUTO(buf_clear) struct buf value = BUF_INIT(1 << 20);

        hunt_cell_write(&value, n->answer, n->rows[row], i);
        buf_addf(&words, "%s%s: ", i ? ", " : "", n->answer->columns[i]);
        buf_add(&words, buf_text(&value), utf8_cut(buf_text(&value), CELL_POSTED));
    }
    return arena_str(arena, buf_text(&words));
}

/* Nobody can be mailed. A post has no attachment, and room for a few rows. */
static enum err_code post_it(struct db_tx *tx, struct engine *g, struct runtime *rt,
                             struct arena *arena, const struct hunt_news *n, int64_t now,
                             struct err *e)
{
    struct notice_system_fact facts[3 + ROWS_POSTED] = {
        {"Hunt", n->hunt->name}, {"Tenant", n->hunt->tenant->name}, {"Why no case", n->refused}};
    size_t shown = n->n_rows < ROWS_POSTED ? n->n_rows : ROWS_POSTED;
    const struct notice_system post = {
        .about = n->hunt->source,
        .kind = "hunt_found",
        .subject = arena_fmt(arena, "the hunt %s found %zu new row%s", n->hunt->name, n->n_rows,
                             n->n_rows == 1 ? "" : "s"),
        .headline = "A hunt found something new",
        .body = arena_fmt(arena,
                          "%s%zu of %zu row%s can be seen here: run the query in the Defender "
                          "portal to see all of them.%s",
                          n->refused ? "These could not become cases; a person should look. " : "",
                          shown, n->n_rows, n->n_rows == 1 ? "" : "s",
                          n->cut ? " There may be more than Defender gives out." : ""),
        .good = !n->refused,
        .facts = facts,
        .n_facts = 3 + shown,
        .logged_after = true};
    bool whole = post.subject && post.body;

    for (size_t i = 0; i < shown; i++) {
        facts[3 + i] = (struct notice_system_fact){"Row", row_words(arena, n, i)};
        whole = whole && facts[3 + i].value;
    }
    return whole ? notice_system_put(tx, g, rt, arena, &post, now, e)
                 : err_set(e, ERR_NOMEM, "a hunt's post");
}

enum err_code hunt_notice_put(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct hunt_news *n, int64_t now,
                              struct err *e)
{
    const struct config_mail *mail = &rt->config->mail;
    const struct text_list *to = n->hunt->to.count ? &n->hunt->to : &mail->to;
    const struct mime_header headers[] = {{"X-Cordon-About", n->hunt->source},
                                          {"X-Cordon-State", "hunt_found"}};
    AUTO(buf_clear) struct buf csv = BUF_INIT(HUNT_CSV_MAX);
    struct mime_attachment file = {.type = "text/csv; charset=UTF-8"};
    struct letter_post post = {.to = (const char *const *)to->items,
                               .n_to = to->count,
                               .headers = headers,
                               .n_headers = sizeof headers / sizeof *headers,
                               .attachment = &file};
    struct notice_record r = {.id = id_new(g->clock),
                              .about = n->hunt->source,
                              .kind = "hunt_found",
                              .sender = mail->from};
    char time[CLOCK_TEXT_SIZE];
    size_t attached;
    struct pause pause;
    struct letter l;
    enum err_code code;

    log_event(LOG_INFO, "hunt_found", LOG_STR("hunt", n->hunt->name),
              LOG_INT("rows", (int64_t)n->n_rows));
    if (!mail->server || !post.n_to)
        return post_it(tx, g, rt, arena, n, now, e);
    attached = hunt_csv(&csv, n->answer, n->rows, n->n_rows, HUNT_CSV_MAX);
    clock_format(now, time);
    file.name = arena_fmt(arena, "%s-%.10s.csv", n->hunt->name, time);
    file.bytes = buf_text(&csv);
    file.len = csv.len;
    r.subject = n->hunt->subject ? arena_fmt(arena, "[HUNT] %s", n->hunt->subject)
                                 : arena_fmt(arena, "[HUNT] %s: %zu new row%s", n->hunt->name,
                                             n->n_rows, n->n_rows == 1 ? "" : "s");
    if (!file.name || !r.subject || buf_failed(&csv))
        return err_set(e, ERR_NOMEM, "a hunt's mail");
    code = pause_read(tx, rt, arena, &pause, e);
    if (code)
        return code;
    letter_begin(&l, arena, "A hunt found something new", LETTER_BLUE);
    if (pause.on)
        letter_paused(&l, pause_words(&pause, arena), pause_end(&pause), NULL);
    say(&l, n, attached);
    code = letter_put(tx, &l, &post, &r, now, e);
    letter_clear(&l);
    return code;
}

enum err_code hunt_notice_state(struct db_tx *tx, struct engine *g, struct runtime *rt,
                                struct arena *arena, const struct config_hunt *hunt,
                                const char *why, int64_t now, struct err *e)
{
    const struct notice_system_fact facts[] = {
        {"Hunt", hunt->name}, {"Tenant", hunt->tenant->name}, {"Why", why ? why : ""}};
    struct notice_system n = {
        .about = hunt->source,
        .kind = why ? "hunt_fails" : "hunt_works",
        .subject =
            arena_fmt(arena, why ? "the hunt %s fails" : "the hunt %s works again", hunt->name),
        .headline = why ? "A hunt fails" : "A hunt works again",
        .body = why ? "Its query was not answered. What it would have found since is not lost: the "
                      "next run that works looks back so far, thirty days at most. cordon "
                      "tries again at its next time; `cordon hunt run` tries now."
                    : "Its query is answered again, and what came meanwhile was looked at.",
        .good = !why,
        .follows = !why,
        .not_within = why ? DAY_MS : 0,
        .facts = facts,
        .n_facts = why ? 3 : 2};

    return n.subject ? notice_system_turn(tx, g, rt, arena, &n, "hunt_fails", now, e)
                     : err_set(e, ERR_NOMEM, "a hunt's mail");
}

enum err_code hunt_notice_cut(struct db_tx *tx, struct engine *g, struct runtime *rt,
                              struct arena *arena, const struct config_hunt *hunt, int64_t now,
                              struct err *e)
{
    const struct notice_system_fact facts[] = {{"Hunt", hunt->name},
                                               {"Tenant", hunt->tenant->name}};
    const struct notice_system n = {
        .about = hunt->source,
        .kind = "hunt_cut",
        .subject = arena_fmt(arena, "the hunt %s may miss rows", hunt->name),
        .headline = "A hunt finds more than Defender gives out",
        .body =
            "Its answer is as long as Defender gives out at most, 100,000 rows: there may be more, and "
            "what is new may be among those. Let the query find fewer, or look back less far "
            "(look_back). This is told once a day.",
        .not_within = DAY_MS,
        .facts = facts,
        .n_facts = sizeof facts / sizeof *facts};

    return n.subject ? notice_system_put(tx, g, rt, arena, &n, now, e)
                     : err_set(e, ERR_NOMEM, "a hunt's mail");
}
