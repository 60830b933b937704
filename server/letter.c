/* letter.c - see letter.h. A row of the table in HTML is a line in the text. */
#include "letter.h"

#include <stdint.h>
#include <string.h>

#include "id.h"
#include "log.h"
#include "mail.h"

#define PART_MAX    (256 * 1024)
#define MESSAGE_MAX (1024 * 1024)

const char *letter_cut(struct arena *arena, const char *text, size_t max)
{
    size_t len = text ? strnlen(text, max + 1) : 0;

    if (len <= max)
        return text;
    for (len = max; len && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return arena_fmt(arena, "%.*s …", (int)len, text);
}

void letter_begin(struct letter *l, struct arena *arena, const char *headline, const char *colour)
{
    *l = (struct letter){.text = BUF_INIT(PART_MAX), .html = BUF_INIT(PART_MAX), .arena = arena};
    buf_addf(&l->html,
             "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"></head>\n"
             "<body style=\"font-family:Segoe UI,Helvetica,Arial,sans-serif;font-size:15px;"
             "color:#222;max-width:640px\">\n<h2 style=\"font-size:18px;color:%s\">%s</h2>\n",
             colour, headline);
    buf_addf(&l->text, "%s\n\n", headline);
}

void letter_paragraph(struct letter *l, const char *what)
{
    buf_addf(&l->text, "%s\n\n", what);
    buf_adds(&l->html, "<p>");
    mime_html_escape(&l->html, what);
    buf_adds(&l->html, "</p>\n");
}

void letter_paused(struct letter *l, const char *words, const char *case_id)
{
    struct buf safe = BUF_INIT(PART_MAX);

    mime_text_defang(&safe, words);
    letter_paragraph(l, arena_fmt(l->arena,
                                  "cordon is %s. No new isolation is asked for until `cordon "
                                  "resume`; releases and notices go on.%s%s%s",
                                  buf_text(&safe),
                                  case_id ? " What was not done here begins anew with `cordon "
                                            "cases retry "
                                          : "",
                                  case_id ? case_id : "", case_id ? "`." : ""));
    if (buf_failed(&safe))
        l->text.failed = buf_failed(&safe);
    buf_clear(&safe);
}

void letter_table_begin(struct letter *l)
{
    buf_adds(&l->html, "<table style=\"border-collapse:collapse;font-size:15px\">\n");
}

/* A row of the table; value is harmless already. */
static void row(struct letter *l, const char *name, const char *value)
{
    buf_addf(&l->text, "%-12s %s\n", name, value);
    buf_addf(&l->html,
             "<tr><td style=\"padding:2px 14px 2px 0;color:#555;vertical-align:top\">%s</td>"
             "<td style=\"padding:2px 0\">",
             name);
    mime_html_escape(&l->html, value);
    buf_adds(&l->html, "</td></tr>\n");
}

void letter_own_fact(struct letter *l, const char *name, const char *value)
{
    if (value && value[0])
        row(l, name, value);
}

void letter_fact(struct letter *l, const char *name, const char *value)
{
    struct buf line = BUF_INIT(PART_MAX), safe = BUF_INIT(PART_MAX);

    if (!value || !value[0])
        return;
    /* a second line could pass for a fact of ours */
    mime_clean_line(&line, letter_cut(l->arena, value, LETTER_VALUE_MAX));
    mime_text_defang(&safe, buf_text(&line));
    row(l, name, buf_text(&safe));
    if (buf_failed(&line) || buf_failed(&safe))
        l->text.failed = buf_failed(&line) ? buf_failed(&line) : buf_failed(&safe);
    buf_clear(&line);
    buf_clear(&safe);
}

void letter_table_end(struct letter *l)
{
    buf_adds(&l->html, "</table>\n");
    buf_addc(&l->text, '\n');
}

/* One line, harmless, short enough. */
static const char *safe_cell(struct letter *l, const char *text, struct buf *line, struct buf *safe)
{
    mime_clean_line(line, letter_cut(l->arena, text, LETTER_CELL_MAX));
    mime_text_defang(safe, buf_text(line));
    if (buf_failed(line) || buf_failed(safe))
        l->text.failed = buf_failed(line) ? buf_failed(line) : buf_failed(safe);
    return buf_text(safe);
}

static void grid_cell(struct letter *l, const char *title, const char *value)
{
    struct buf line = BUF_INIT(PART_MAX), safe = BUF_INIT(PART_MAX);
    const char *text = safe_cell(l, value, &line, &safe);

    if (*text)
        buf_addf(&l->text, "%-20s %s\n", title, text);
    buf_adds(&l->html, "<td style=\"border:1px solid #ccc;padding:2px 6px\">");
    mime_html_escape(&l->html, text);
    buf_adds(&l->html, "</td>");
    buf_clear(&line);
    buf_clear(&safe);
}

void letter_grid(struct letter *l, const char *const *titles, size_t n_columns, size_t n_rows,
                 void (*cell)(void *ctx, size_t row, size_t column, struct buf *out), void *ctx)
{
    buf_adds(&l->html, "<table style=\"border-collapse:collapse;font-size:13px\">\n<tr>");
    for (size_t i = 0; i < n_columns; i++) {
        buf_adds(&l->html, "<th style=\"border:1px solid #ccc;padding:2px 6px;text-align:left\">");
        mime_html_escape(&l->html, titles[i]);
        buf_adds(&l->html, "</th>");
    }
    buf_adds(&l->html, "</tr>\n");
    for (size_t r = 0; r < n_rows; r++) {
        buf_adds(&l->html, "<tr>");
        for (size_t i = 0; i < n_columns; i++) {
            struct buf value = BUF_INIT(SIZE_MAX);

            cell(ctx, r, i, &value);
            grid_cell(l, titles[i], buf_text(&value));
            buf_clear(&value);
        }
        buf_adds(&l->html, "</tr>\n");
        buf_addc(&l->text, '\n');
    }
    buf_adds(&l->html, "</table>\n");
}

void letter_link(struct letter *l, const char *text, const char *label, const char *url)
{
    buf_addf(&l->text, "\n%s: %s\n", text, url);
    buf_adds(&l->html, "<p><a href=\"");
    mime_html_escape(&l->html, url);
    buf_addf(&l->html, "\">%s</a></p>\n", label);
}

void letter_clear(struct letter *l)
{
    buf_clear(&l->text);
    buf_clear(&l->html);
}

static const char *message_id(struct arena *arena, int64_t id, const char *from)
{
    const char *at = strrchr(from, '@');
    char text[ID_TEXT_SIZE];

    return arena_fmt(arena, "cordon.%s%s", id_format(id, text), at ? at : "@localhost");
}

static enum err_code build(struct letter *l, const struct letter_post *post,
                           const struct notice_record *r, const char *const *to, int64_t now,
                           struct buf *out, struct err *e)
{
    struct mime_message m = {
        .from = r->sender,
        .to = to,
        .to_count = r->n_recipients,
        .subject = r->subject,
        .message_id = message_id(l->arena, r->id, r->sender),
        .in_reply_to = post->answers_to ? message_id(l->arena, post->answers_to, r->sender) : NULL,
        .date_ms = now,
        .headers = post->headers,
        .header_count = post->n_headers,
        .attachment = post->attachment,
    };
    enum err_code code;

    m.references = m.in_reply_to;
    buf_adds(&l->html, "</body></html>\n");
    code = buf_failed(&l->text) ? buf_failed(&l->text) : buf_failed(&l->html);
    if (code)
        return err_set(e, code, "compose a notice");
    m.text = buf_text(&l->text);
    m.html = buf_text(&l->html);
    return mime_build(&m, out, e);
}

enum err_code letter_put(struct db_tx *tx, struct letter *l, const struct letter_post *post,
                         struct notice_record *r, int64_t now, struct err *e)
{
    struct buf message = BUF_INIT(MESSAGE_MAX);
    const char **to;
    enum err_code code;

    r->n_recipients = post->n_to;
    if (r->n_recipients > MAIL_RECIPIENTS_MAX) {
        log_event(LOG_ERROR, "too_many_recipients", LOG_ID("case", r->case_id),
                  LOG_STR("about", r->about),
                  LOG_INT("not_told", (int64_t)(r->n_recipients - MAIL_RECIPIENTS_MAX)));
        r->n_recipients = MAIL_RECIPIENTS_MAX;
    }
    r->recipients = arena_array(l->arena, r->n_recipients, sizeof *r->recipients);
    to = arena_array(l->arena, r->n_recipients, sizeof *to);
    if (!r->recipients || !to || !r->subject)
        return err_set(e, ERR_NOMEM, "notice");
    for (size_t i = 0; i < r->n_recipients; i++)
        r->recipients[i].address = to[i] = post->to[i];
    code = build(l, post, r, to, now, &message, e);
    r->message = buf_text(&message);
    if (!code)
        code = notice_insert(tx, r, now, e);
    buf_clear(&message);
    return code;
}
