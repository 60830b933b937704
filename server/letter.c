/* letter.c - see letter.h. A row of the table in HTML is a line in the text. Once anything failed, nothing of the
 * letter is sent. */
#include "letter.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "auto.h"
#include "id.h"
#include "letter_html.h"
#include "log.h"
#include "mail.h"
#include "settings.h"
#include "store_audit.h"
#include "utf8.h"

#define PART_MAX MIME_PART_MAX

_Static_assert(SETTINGS_ADDRESSES_MAX <= MAIL_RECIPIENTS_MAX, "a list of the file is told whole");

const char *letter_cut(struct arena *arena, const char *text, size_t max)
{
    return utf8_short(arena, text, max, " " UTF8_ELLIPSIS);
}

void letter_begin(struct letter *l, struct arena *arena, const char *headline, const char *colour)
{
    *l = (struct letter){.text = BUF_INIT(PART_MAX), .html = BUF_INIT(PART_MAX), .arena = arena};
    letter_html_begin(&l->html, headline, colour);
    buf_addf(&l->text, "%s\n\n", headline);
}

/* What was meant to be said, or defanged, and could not be: nothing is sent at all. */
static void keep_failure(struct letter *l, const struct buf *b)
{
    if (buf_failed(b))
        l->text.failed = buf_failed(b);
}

static void paragraph(struct letter *l, const char *label, const char *what)
{
    if (!what) { /* there was no memory to make it */
        l->text.failed = ERR_NOMEM;
        return;
    }
    buf_addf(&l->text, "%s%s%s\n\n", label ? label : "", label ? ": " : "", what);
    letter_html_paragraph(&l->html, label, what, true);
}

void letter_paragraph(struct letter *l, const char *what)
{
    paragraph(l, NULL, what);
}

void letter_labelled(struct letter *l, const char *label, const char *what)
{
    paragraph(l, label, what);
}

void letter_words(struct letter *l, const char *words)
{
    AUTO(buf_clear) struct buf safe = BUF_INIT(PART_MAX);

    mime_text_defang(&safe, words);
    keep_failure(l, &safe);
    /* Every line is set in: none of them can pass for a line of ours. */
    for (const char *line = buf_text(&safe); *line;
         line += strcspn(line, "\n"), line += *line == '\n')
        buf_addf(&l->text, "  %.*s\n", (int)strcspn(line, "\n"), line);
    buf_addc(&l->text, '\n');
    letter_html_paragraph(&l->html, NULL, buf_text(&safe), false);
}

void letter_own_words(struct letter *l, const char *label, const char *words)
{
    buf_addf(&l->text, "%s: %s\n\n", label, words);
    letter_html_paragraph(&l->html, label, words, false);
}

void letter_heading(struct letter *l, const char *what)
{
    buf_addf(&l->text, "%s\n", what);
    letter_html_heading(&l->html, what);
}

void letter_paused(struct letter *l, const char *words, const char *end, const char *case_id)
{
    struct buf safe = BUF_INIT(PART_MAX);

    mime_text_defang(&safe, words);
    letter_paragraph(l, arena_fmt(l->arena,
                                  "cordon is %s. No new isolation is asked for until %s; releases "
                                  "and notices go on.%s%s%s",
                                  buf_text(&safe), end,
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
    letter_html_table_begin(&l->html);
}

/* A row of the table; value is harmless already. */
static void row(struct letter *l, const char *name, const char *value, bool first)
{
    buf_addf(&l->text, "%-12s %s\n", name, value);
    letter_html_row(&l->html, name, value, first);
}

void letter_own_fact(struct letter *l, const char *name, const char *value)
{
    if (value && value[0])
        row(l, name, value, false);
}

/* One line: a second one could pass for a fact of ours. */
const char *letter_harmless(struct letter *l, const char *value, size_t max)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(PART_MAX), safe = BUF_INIT(PART_MAX);
    const char *text;

    mime_clean_line(&line, letter_cut(l->arena, value, max));
    mime_text_defang(&safe, buf_text(&line));
    keep_failure(l, &line);
    keep_failure(l, &safe);
    text = arena_str(l->arena, buf_text(&safe));
    if (!text)
        l->text.failed = ERR_NOMEM;
    return text ? text : "";
}

static void fact(struct letter *l, const char *name, const char *value, bool first)
{
    if (value && value[0])
        row(l, name, letter_harmless(l, value, LETTER_VALUE_MAX), first);
}

void letter_fact(struct letter *l, const char *name, const char *value)
{
    fact(l, name, value, false);
}

void letter_first_fact(struct letter *l, const char *name, const char *value)
{
    fact(l, name, value, true);
}

void letter_table_end(struct letter *l)
{
    letter_html_table_end(&l->html);
    buf_addc(&l->text, '\n');
}

static void list_row(struct letter *l, const char *const *cells, size_t n, bool head)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(&l->text, "%s%s", i ? " | " : "", cells[i]);
    buf_addc(&l->text, '\n');
    letter_html_list_row(&l->html, cells, n, head);
}

void letter_list_begin(struct letter *l, const char *const *head, size_t n)
{
    letter_html_list_begin(&l->html);
    list_row(l, head, n, true);
}

void letter_list_row(struct letter *l, const char *const *cells, size_t n)
{
    const char **safe = arena_array(l->arena, n, sizeof *safe);

    for (size_t i = 0; i < n && safe; i++)
        safe[i] = cells[i] ? letter_harmless(l, cells[i], LETTER_CELL_MAX) : "-";
    if (!safe || l->text.failed)
        l->text.failed = l->text.failed ? l->text.failed : ERR_NOMEM;
    else
        list_row(l, safe, n, false);
}

void letter_list_end(struct letter *l)
{
    letter_html_list_end(&l->html);
    buf_addc(&l->text, '\n');
}

void letter_grid(struct letter *l, const char *const *titles, size_t n_columns, size_t n_rows,
                 void (*cell)(void *ctx, size_t row, size_t column, struct buf *out), void *ctx)
{
    const char **cells = arena_array(l->arena, n_columns + 1, sizeof *cells);

    letter_html_list_begin(&l->html);
    letter_html_list_row(&l->html, titles, n_columns, true);
    for (size_t r = 0; r < n_rows && cells; r++) {
        for (size_t i = 0; i < n_columns; i++) {
            struct buf value = BUF_INIT(SIZE_MAX);

            cell(ctx, r, i, &value);
            keep_failure(l, &value);
            cells[i] = letter_harmless(l, buf_text(&value), LETTER_CELL_MAX);
            buf_clear(&value);
            if (cells[i][0])
                buf_addf(&l->text, "%-20s %s\n", titles[i], cells[i]);
        }
        letter_html_list_row(&l->html, cells, n_columns, false);
        buf_addc(&l->text, '\n');
    }
    letter_html_list_end(&l->html);
    if (!cells)
        l->text.failed = ERR_NOMEM;
}

void letter_link(struct letter *l, const char *text, const char *label, const char *url)
{
    buf_addf(&l->text, "%s:\n%s\n\n", text, url);
    letter_html_link(&l->html, label, url);
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

/* Of the SHA-256 of what names the thread. */
static enum err_code thread_id(const char *thread, unsigned char ret[MIME_THREAD_ID], struct err *e)
{
    char hash[AUDIT_HASH_SIZE];
    enum err_code code = audit_sha256(thread, hash, e);

    for (size_t i = 0; i < MIME_THREAD_ID && !code; i++) {
        const char pair[3] = {hash[2 * i], hash[2 * i + 1]};

        ret[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return code;
}

/* Of an earlier mail, whose sender may have been another: mail.from is a setting. NULL: id is 0. */
static enum err_code earlier_id(struct db_tx *tx, struct arena *arena, int64_t id, const char *from,
                                const char **ret, struct err *e)
{
    const char *sender = NULL;
    enum err_code code = id ? notice_sender(tx, arena, id, &sender, e) : ERR_OK;

    *ret = !code && id ? message_id(arena, id, sender ? sender : from) : NULL;
    return code || *ret || !id ? code : err_set(e, ERR_NOMEM, "notice");
}

enum err_code letter_build(struct db_tx *tx, struct letter *l, const struct letter_post *post,
                           const struct notice_record *r, const char *const *to, size_t n_to,
                           int64_t now, struct buf *out, struct err *e)
{
    unsigned char thread[MIME_THREAD_ID];
    const char *root = NULL, *last = NULL;
    struct mime_message m = {
        .from = r->sender,
        .to = to,
        .to_count = n_to,
        .subject = r->subject,
        .message_id = message_id(l->arena, r->id, r->sender),
        .thread_topic = post->topic,
        .thread_id = r->thread ? thread : NULL,
        .date_ms = now,
        .headers = post->headers,
        .header_count = post->n_headers,
        .attachment = post->attachment,
    };
    enum err_code code;

    code = r->thread ? thread_id(r->thread, thread, e) : ERR_OK;
    if (!code)
        code = earlier_id(tx, l->arena, post->root, r->sender, &root, e);
    if (!code)
        code = earlier_id(tx, l->arena, post->answers_to, r->sender, &last, e);
    if (code)
        return code;
    m.in_reply_to = last;
    m.references = root && post->root != post->answers_to
                       ? arena_fmt(l->arena, "%s %s", root, last ? last : "")
                       : last;
    letter_html_end(&l->html);
    code = buf_failed(&l->text) ? buf_failed(&l->text) : buf_failed(&l->html);
    if (code)
        return err_set(e, code, "compose a notice");
    m.text = buf_text(&l->text);
    m.html = buf_text(&l->html);
    return mime_build(&m, out, e);
}

/* Domains are the same in any case (RFC 5321 section 2.4), what stands before the @ need not be. */
static bool same_mailbox(const char *x, const char *y)
{
    size_t local = strcspn(x, "@");

    return strncmp(x, y, local) == 0 && strcasecmp(x + local, y + local) == 0;
}

/* The recipients of r and its To, each once. */
static void take_recipients(const struct letter_post *post, struct notice_record *r,
                            const char **to)
{
    r->n_recipients = 0;
    for (size_t i = 0; i < post->n_to; i++) {
        size_t same = 0;

        while (same < r->n_recipients && !same_mailbox(to[same], post->to[i]))
            same++;
        if (same == r->n_recipients)
            r->recipients[r->n_recipients++].address = to[same] = post->to[i];
    }
}

enum err_code letter_put(struct db_tx *tx, struct letter *l, const struct letter_post *post,
                         struct notice_record *r, int64_t now, struct err *e)
{
    struct buf message = BUF_INIT(LETTER_MESSAGE_MAX);
    const char **to;
    enum err_code code;

    r->recipients = arena_array(l->arena, post->n_to, sizeof *r->recipients);
    to = arena_array(l->arena, post->n_to, sizeof *to);
    if (!r->recipients || !to || !r->subject)
        return err_set(e, ERR_NOMEM, "notice");
    take_recipients(post, r, to);
    if (r->n_recipients > MAIL_RECIPIENTS_MAX) {
        log_event(LOG_ERROR, "too_many_recipients", LOG_ID("case", r->case_id),
                  LOG_STR("about", r->about),
                  LOG_INT("not_told", (int64_t)(r->n_recipients - MAIL_RECIPIENTS_MAX)));
        r->n_recipients = MAIL_RECIPIENTS_MAX;
    }
    code = letter_build(tx, l, post, r, to, r->n_recipients, now, &message, e);
    r->message = buf_text(&message);
    if (!code)
        code = notice_insert(tx, r, now, e);
    buf_clear(&message);
    return code;
}
