/* post.c - see post.h. */
#include "post.h"

#include <string.h>

#include "auto.h"
#include "json.h"
#include "mime.h"
#include "utf8.h"

/* Bytes of a value: that people read in a chat; that programs read, where all of it has room; and at the least. */
#define VALUE_MAX 400
#define WHOLE_MAX 2048
#define LEAST_MAX 64
/* What Slack takes, in characters with their escapes: of a header block, of the text of a section, of a field of it, and
 * how many fields [its Block Kit reference]. */
#define HEADER_MAX 150
#define TEXT_MAX   3000
#define FIELD_MAX  2000
#define FIELDS_MAX 10
#define MORE       " " UTF8_ELLIPSIS

/* What there was no memory for fails the post: nobody would see that it is missing. What is too long is cut. */
static void keep_failure(struct buf *out, const struct buf *b)
{
    if (buf_failed(b) == ERR_NOMEM)
        out->failed = ERR_NOMEM;
}

static void buf_member(struct json_out *o, const char *name, const struct buf *text)
{
    keep_failure(o->buf, text);
    json_out_string(o, name, buf_text(text));
}

/* One line without links, controls or tricks of the eye. */
static void tame(struct buf *out, const char *text, size_t max)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(1 << 20), safe = BUF_INIT(1 << 20);
    size_t len;

    mime_clean_line(&line, text);
    mime_text_defang(&safe, buf_text(&line));
    len = utf8_cut(buf_text(&safe), max);
    buf_add(out, buf_text(&safe), len);
    if (len < safe.len)
        buf_adds(out, MORE);
    keep_failure(out, &line);
    keep_failure(out, &safe);
}

/* ---- ours, for programs ------------------------------------------------------------------------ */

static void cut_member(struct json_out *o, const char *name, const char *text, size_t max)
{
    AUTO(buf_clear) struct buf value = BUF_INIT(1 << 20);
    size_t len = text ? utf8_cut(text, max) : 0;

    if (!text)
        return;
    buf_add(&value, text, len);
    if (text[len])
        buf_adds(&value, MORE);
    buf_member(o, name, &value);
}

/* max: bytes of a value that others may have chosen. */
static void write_cordon(const struct post *p, struct json_out *o, size_t max)
{
    json_out_object(o, NULL);
    json_out_string(o, "type", "cordon.notice");
    json_out_int(o, "version", 1);
    json_out_id(o, "id", p->id);
    json_out_time(o, "time", p->now);
    json_out_string(o, "kind", p->kind);
    cut_member(o, "subject", p->subject, max);
    json_out_string(o, "headline", p->headline);
    cut_member(o, "why", p->why, max);
    json_out_string(o, "next", p->next);
    if (p->case_id)
        json_out_id(o, "case", p->case_id);
    json_out_string(o, "tenant", p->tenant);
    json_out_string(o, "alert_id", p->alert_id);
    json_out_string(o, "machine_id", p->machine_id);
    json_out_array(o, "facts");
    for (size_t i = 0; i < p->n_facts; i++)
        if (p->facts[i].value && p->facts[i].value[0]) {
            json_out_object(o, NULL);
            json_out_string(o, "name", p->facts[i].name);
            cut_member(o, "value", p->facts[i].value, max);
            json_out_object_end(o);
        }
    json_out_array_end(o);
    json_out_string(o, "link", p->link);
    json_out_object_end(o);
}

/* ---- Teams: defender-api.md section 9.4 --------------------------------------------------------- */

/* Text blocks and facts are Markdown. What begins something there gets a backslash, angle brackets (mentions)
 * become others that mean nothing. */
static void markdown(struct buf *out, const char *text, size_t max)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(1 << 20);

    tame(&line, text, max);
    keep_failure(out, &line);
    for (const char *p = buf_text(&line); *p; p++) {
        if (strchr("\\`*_{}[]()#+~|!", *p))
            buf_addc(out, '\\');
        if (*p == '<' || *p == '>')
            buf_adds(out, *p == '<' ? "\xe2\x80\xb9" : "\xe2\x80\xba"); /* ‹ › */
        else
            buf_addc(out, *p);
    }
}

static void markdown_member(struct json_out *o, const char *name, const char *text, size_t max)
{
    AUTO(buf_clear) struct buf safe = BUF_INIT(1 << 20);

    markdown(&safe, text, max);
    buf_member(o, name, &safe);
}

static void text_block(struct json_out *o, const char *text, const char *size, const char *colour)
{
    if (!text || !text[0])
        return;
    json_out_object(o, NULL);
    json_out_string(o, "type", "TextBlock");
    json_out_bool(o, "wrap", true);
    if (size) {
        json_out_string(o, "size", size);
        json_out_string(o, "weight", "Bolder");
    }
    if (colour)
        json_out_string(o, "color", colour);
    markdown_member(o, "text", text, MIME_VALUE_MAX);
    json_out_object_end(o);
}

static void write_teams(const struct post *p, struct json_out *o)
{
    json_out_object(o, NULL);
    json_out_string(o, "type", "message");
    json_out_array(o, "attachments");
    json_out_object(o, NULL);
    json_out_string(o, "contentType", "application/vnd.microsoft.card.adaptive");
    json_out_null(o, "contentUrl");
    json_out_object(o, "content");
    json_out_string(o, "$schema", "http://adaptivecards.io/schemas/adaptive-card.json");
    json_out_string(o, "type", "AdaptiveCard");
    json_out_string(o, "version", "1.4");
    json_out_array(o, "body");
    text_block(o, p->subject, "Medium", p->bad ? "Attention" : "Default");
    text_block(o, p->headline, NULL, NULL);
    text_block(o, p->why, NULL, NULL);
    json_out_object(o, NULL);
    json_out_string(o, "type", "FactSet");
    json_out_array(o, "facts");
    for (size_t i = 0; i < p->n_facts; i++)
        if (p->facts[i].value && p->facts[i].value[0]) {
            json_out_object(o, NULL);
            json_out_string(o, "title", p->facts[i].name);
            markdown_member(o, "value", p->facts[i].value, VALUE_MAX);
            json_out_object_end(o);
        }
    json_out_array_end(o);
    json_out_object_end(o);
    text_block(o, p->next, NULL, NULL);
    json_out_array_end(o);
    if (p->link) {
        json_out_array(o, "actions");
        json_out_object(o, NULL);
        json_out_string(o, "type", "Action.OpenUrl");
        json_out_string(o, "title", p->link_words);
        json_out_string(o, "url", p->link);
        json_out_object_end(o);
        json_out_array_end(o);
    }
    json_out_object_end(o);
    json_out_object_end(o);
    json_out_array_end(o);
    json_out_object_end(o);
}

/* ---- Slack --------------------------------------------------------------------------------------- */

/* & < > are all that its markup begins with, a mention or a link included. As much as `most` bytes have room for. */
static void slack_escape(struct buf *out, const struct buf *line, size_t most)
{
    const char *text = buf_text(line);

    keep_failure(out, line);
    for (size_t n; *text; text += n) {
        const char *as = *text == '&'   ? "&amp;"
                         : *text == '<' ? "&lt;"
                         : *text == '>' ? "&gt;"
                                        : NULL;
        size_t len;

        n = utf8_first(text, 1);
        len = as ? strlen(as) : n;
        if (out->len + len > most - strlen(MORE)) {
            buf_adds(out, MORE);
            return;
        }
        buf_add(out, as ? as : text, len);
    }
}

/* An object of plain text, in which nothing is markup. most: what Slack takes there. */
static void plain_text(struct json_out *o, const char *member, const char *text, size_t max,
                       size_t most)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(1 << 20), safe = BUF_INIT(1 << 20);

    tame(&line, text, max);
    slack_escape(&safe, &line, most);
    json_out_object(o, member);
    json_out_string(o, "type", "plain_text");
    json_out_bool(o, "emoji", false);
    buf_member(o, "text", &safe);
    json_out_object_end(o);
}

static void section(struct json_out *o, const char *text)
{
    if (!text || !text[0])
        return;
    json_out_object(o, NULL);
    json_out_string(o, "type", "section");
    plain_text(o, "text", text, MIME_VALUE_MAX, TEXT_MAX);
    json_out_object_end(o);
}

static void slack_fields(const struct post *p, struct json_out *o)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_facts; i++) {
        AUTO(buf_clear) struct buf line = BUF_INIT(1 << 20);

        if (!p->facts[i].value || !p->facts[i].value[0])
            continue;
        if (n++ % FIELDS_MAX == 0) {
            if (n > 1) {
                json_out_array_end(o);
                json_out_object_end(o);
            }
            json_out_object(o, NULL);
            json_out_string(o, "type", "section");
            json_out_array(o, "fields");
        }
        buf_addf(&line, "%s: %s", p->facts[i].name, p->facts[i].value);
        keep_failure(o->buf, &line);
        plain_text(o, NULL, buf_text(&line), VALUE_MAX, FIELD_MAX);
    }
    if (n) {
        json_out_array_end(o);
        json_out_object_end(o);
    }
}

static void write_slack(const struct post *p, struct json_out *o)
{
    AUTO(buf_clear) struct buf line = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);

    tame(&line, p->subject, MIME_VALUE_MAX);
    slack_escape(&text, &line, TEXT_MAX);
    json_out_object(o, NULL);
    buf_member(o, "text", &text); /* of the notification, and where blocks are not shown */
    json_out_array(o, "blocks");
    json_out_object(o, NULL);
    json_out_string(o, "type", "header");
    plain_text(o, "text", p->subject, HEADER_MAX, HEADER_MAX);
    json_out_object_end(o);
    section(o, p->headline);
    section(o, p->why);
    slack_fields(p, o);
    section(o, p->next);
    if (p->link) {
        json_out_object(o, NULL);
        json_out_string(o, "type", "actions");
        json_out_array(o, "elements");
        json_out_object(o, NULL);
        json_out_string(o, "type", "button");
        plain_text(o, "text", p->link_words, VALUE_MAX, FIELD_MAX);
        json_out_string(o, "url", p->link);
        json_out_object_end(o);
        json_out_array_end(o);
        json_out_object_end(o);
    }
    json_out_array_end(o);
    json_out_object_end(o);
}

/* ---- all ------------------------------------------------------------------------------------------ */

enum err_code post_write(int template, const struct post *p, struct buf *out, struct err *e)
{
    size_t max = WHOLE_MAX;

    /* What fits in its own length may not in JSON's, where a byte can become six. */
    do {
        struct json_out o = JSON_OUT(out);

        buf_reset(out);
        if (template == CONFIG_TEMPLATE_TEAMS)
            write_teams(p, &o);
        else if (template == CONFIG_TEMPLATE_SLACK)
            write_slack(p, &o);
        else
            write_cordon(p, &o, max);
        max /= 2;
    } while (out->len > POST_MAX && template == CONFIG_TEMPLATE_CORDON && max >= LEAST_MAX);
    if (buf_failed(out))
        return err_set(e, buf_failed(out), "a post to a webhook");
    if (out->len > POST_MAX)
        return err_set(e, ERR_TOO_BIG, "a post of %zu bytes; Teams takes about 28 KB", out->len);
    return ERR_OK;
}

bool post_is_for(int template, const char *written)
{
    /* By what comes first in each, and is ours. */
    static const char *const begins[] = {
        [CONFIG_TEMPLATE_CORDON] = "{\"type\":\"cordon.notice\",",
        [CONFIG_TEMPLATE_TEAMS] = "{\"type\":\"message\",",
        [CONFIG_TEMPLATE_SLACK] = "{\"text\":",
    };

    return strncmp(written, begins[template], strlen(begins[template])) == 0;
}
