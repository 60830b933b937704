/* console_frame.c - see console_frame.h. */
#include "console_frame.h"

#include <inttypes.h>

#include "desk.h"
#include "json.h"
#include "policy.h"
#include "readiness.h"

/* ---- reading ------------------------------------------------------------------------------------ */

/* What the API wrote, or NULL with p->e. code: what it returned. */
struct json *frame_taken(struct console_page *p, const struct buf *text, enum err_code code)
{
    struct json *doc = NULL;

    if (!code)
        code = json_parse_own(buf_text(text), text->len, &doc, &p->e);
    p->e.code = code;
    return code ? NULL : doc;
}

int64_t frame_moment(const struct json *of, const char *name)
{
    const char *text = json_get_string(of, name);
    int64_t ms = 0;

    if (text)
        (void)clock_parse(text, &ms, NULL); /* our own writing */
    return ms;
}

int64_t frame_number(const struct json *of, const char *name)
{
    return json_get_int64(of, name, 0); /* absent counts as none */
}

const char *frame_text(const struct json *of, const char *name)
{
    const char *text = json_get_string(of, name);

    return text ? text : "";
}

/* In the place of a part that cannot be read. */
void frame_unreadable(struct console_page *p)
{
    p->status = 503;
    buf_adds(&p->out, "<p>");
    html_badge(&p->out, HTML_BAD, "This cannot be read now");
    buf_adds(&p->out, " ");
    html_text(&p->out, p->e.text);
    buf_adds(&p->out, "</p>\n");
}

/* ---- the frame of a page ------------------------------------------------------------------------ */

static const struct {
    const char *path, *name;
} places[] = {
    {"/", "Overview"},
    {"/cases", "Cases"},
    {"/isolations", "Isolations"},
    {"/questions", "Questions"},
};

/* Names as people know them: the browser's completion knows them, too. */
void frame_by_field(struct console_page *p)
{
    buf_adds(&p->out, "<p><label>Your name<br><input name=\"by\" required autocomplete=\"name\" ");
    buf_addf(&p->out, "maxlength=\"%d\" value=\"", DESK_WHO_MAX / 4); /* characters, not bytes */
    html_text(&p->out, p->visitor->name);
    buf_adds(&p->out, "\"></label></p>\n");
}

void frame_why_field(struct console_page *p, bool demanded)
{
    buf_addf(&p->out,
             "<p><label>Reason, for the record%s<br><input class=\"why\" name=\"why\" "
             "maxlength=\"%d\"%s></label></p>\n",
             demanded ? "" : " (may be left out)", DESK_WHY_MAX / 4, demanded ? " required" : "");
}

void frame_form_begin(struct console_page *p, const char *action)
{
    buf_adds(&p->out, "<form method=\"post\" action=\"");
    html_text(&p->out, action);
    buf_addf(&p->out,
             "\">\n<input type=\"hidden\" name=\"" DOOR_FORM
             "\" value=\"%s\">\n<div class=\"fields\">\n",
             p->visitor->form);
}

void frame_form_end(struct console_page *p, const char *button, bool danger)
{
    buf_addf(&p->out, "<p><button%s>%s</button></p>\n</div>\n</form>\n",
             danger ? " class=\"danger\"" : "", button);
}

void frame_header(struct console_page *p)
{
    buf_adds(&p->out, "<a class=\"skip\" href=\"#main\">To the contents</a>\n"
                      "<header>\n<span class=\"brand\">cordon</span>\n"
                      "<nav aria-label=\"Pages\"><ul>\n");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        buf_addf(&p->out, "<li><a href=\"%s\"%s>%s</a></li>\n", places[i].path,
                 frame_is(places[i].path, p->path) ? " aria-current=\"page\"" : "", places[i].name);
    buf_adds(&p->out, "</ul></nav>\n");
    if (p->visitor->signed_in) {
        buf_adds(&p->out,
                 "<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"");
        buf_addf(&p->out, DOOR_FORM "\" value=\"%s\">", p->visitor->form);
        html_text(&p->out, p->visitor->name);
        buf_adds(&p->out, " <button>Sign out</button></form>\n");
    }
    buf_adds(&p->out, "</header>\n");
}

/* What every page must say while it holds: nothing is as it looks otherwise. */
void frame_alarms(struct console_page *p)
{
    struct pause pause;

    if (readiness_pause(p->g, p->arena, &pause) && pause.on) {
        buf_adds(&p->out, "<section class=\"alarm\"><p>");
        html_badge(&p->out, HTML_BAD, "PAUSED");
        buf_adds(&p->out, " No new isolation is asked for: ");
        html_text(&p->out, pause_words(&pause, p->arena));
        buf_adds(&p->out, ". <a href=\"/#switch\">The switch</a></p></section>\n");
    }
    if (policy_is_shadow(p->rt->config->policy)) {
        buf_adds(&p->out, "<section class=\"alarm\"><p>");
        html_badge(&p->out, HTML_WARN, "SHADOW MODE");
        buf_adds(&p->out, " Verdicts are given and told; nothing is done at Defender "
                          "(<code>safety.mode</code>).</p></section>\n");
    }
}

void frame_begin(struct console_page *p, const char *title)
{
    html_begin(&p->out, arena_fmt(p->arena, "%s - cordon", title));
    frame_header(p);
    buf_adds(&p->out, "<main id=\"main\">\n");
    html_line(&p->out, "h1", NULL, title);
    if (p->said) {
        buf_adds(&p->out, "<section class=\"said\" role=\"status\">");
        html_line(&p->out, "p", NULL, p->said);
        buf_adds(&p->out, "</section>\n");
    }
}

void frame_end(struct console_page *p)
{
    const char *query = http_query(p->r);

    buf_adds(&p->out, "</main>\n<footer><p>cordon ");
    html_text(&p->out, p->version);
    buf_adds(&p->out, "; as of ");
    html_time(&p->out, p->now, p->now);
    buf_adds(&p->out, ". This page stays as it is until it is asked for again: ");
    html_link(&p->out, *query && !p->said ? arena_fmt(p->arena, "%s?%s", p->path, query) : p->path,
              "refresh");
    buf_adds(&p->out, ".</p></footer>\n");
    html_end(&p->out);
}

void frame_part_begin(struct console_page *p, const char *id, const char *title)
{
    buf_addf(&p->out,
             "<section id=\"%s\" aria-labelledby=\"%s-title\">\n<h2 id=\"%s-title\">%s</h2>\n", id,
             id, id, title);
}

void frame_part_end(struct console_page *p, const struct json *doc, const char *all)
{
    if (all && json_get_string(doc, "next")) {
        buf_adds(&p->out, "<p>");
        html_link(&p->out, all, "Show all");
        buf_adds(&p->out, "</p>\n");
    }
    buf_adds(&p->out, "</section>\n");
}

/* ---- words -------------------------------------------------------------------------------------- */

enum html_tone frame_case_tone(const char *state)
{
    return frame_is(state, "failed")    ? HTML_BAD
           : frame_is(state, "waiting") ? HTML_WARN
                                        : HTML_PLAIN;
}

/* What Defender says of an isolation: never ahead of it. */
static const struct {
    const char *state, *words;
    enum html_tone tone;
} isolation_words[] = {
    {"requested", "Requested: Defender has not taken it yet", HTML_WARN},
    {"pending", "Pending: Defender has taken it, and has not confirmed it", HTML_WARN},
    {"isolated", "Isolated: confirmed by Defender", HTML_GOOD},
    {"releasing", "Being released: Defender has not confirmed the release", HTML_WARN},
    {"released", "Released", HTML_PLAIN},
    {"failed", "Failed: the machine was not cut off", HTML_BAD},
};

void frame_isolation_badge(struct console_page *p, const struct json *isolation)
{
    const char *state = frame_text(isolation, "state");

    if (json_is_true(json_get(isolation, "unknown"))) {
        html_badge(&p->out, HTML_BAD, "Given up: nobody knows whether the machine was cut off");
        return;
    }
    for (size_t i = 0; i < sizeof isolation_words / sizeof *isolation_words; i++)
        if (frame_is(state, isolation_words[i].state))
            html_badge(&p->out, isolation_words[i].tone, isolation_words[i].words);
}

const char *frame_alert(struct console_page *p, const struct json *c)
{
    const char *title = json_get_string(c, "title"), *severity = json_get_string(c, "severity");

    if (!title && !severity && json_type(json_get(c, "verdict")) != JSON_OBJECT)
        return arena_fmt(p->arena, "Alert %s, not read yet", frame_text(c, "alert_id"));
    if (!title)
        title = arena_fmt(p->arena, "alert %s, which has no title", frame_text(c, "alert_id"));
    return severity ? arena_fmt(p->arena, "%s: %s", severity, title ? title : "") : title;
}

const char *frame_machine(const struct json *of)
{
    const char *name = json_get_string(of, "machine_name");

    return name && *name ? name : json_get_string(of, "machine_id");
}

const char *frame_pushed_machine(const struct json *of)
{
    const char *pushed = json_get_string(of, "pushed_machine_id");

    return pushed && !frame_is(pushed, frame_text(of, "machine_id")) ? pushed : NULL;
}

const char *frame_tenant(const struct console_page *p, const struct json *of)
{
    const char *tenant = frame_text(of, "tenant");

    return p->rt->config->n_tenants > 1 || !config_tenant(p->rt->config, tenant) ? tenant : NULL;
}

enum html_tone frame_question_tone(const char *state)
{
    return frame_is(state, "open")       ? HTML_WARN
           : frame_is(state, "approved") ? HTML_GOOD
           : frame_is(state, "expired")  ? HTML_BAD
                                         : HTML_PLAIN;
}

/* ---- parts of lists ----------------------------------------------------------------------------- */

void frame_link_cell(struct html_table *t, const char *href, const char *text, const char *id)
{
    html_cell_begin(t);
    html_link(t->out, href, text);
    if (id) {
        buf_adds(t->out, "<br><span class=\"id faint\">");
        html_text(t->out, id);
        buf_adds(t->out, "</span>");
    }
    html_cell_end(t);
}

void frame_machine_cell(struct console_page *p, struct html_table *t, const struct json *of)
{
    const char *machine = frame_machine(of), *tenant = frame_tenant(p, of);

    if (!machine && frame_pushed_machine(of))
        machine = arena_fmt(p->arena, "%s, says the sender", frame_pushed_machine(of));
    html_cell_begin(t);
    html_text(t->out, machine && *machine ? machine : "\xe2\x80\x93");
    if (tenant) {
        buf_adds(t->out, "<br><span class=\"faint\">");
        html_text(t->out, tenant);
        buf_adds(t->out, "</span>");
    }
    html_cell_end(t);
}

/* A list that holds nothing is a sentence. */
bool frame_none(struct console_page *p, const struct json *list, const char *sentence)
{
    if (json_first(list))
        return false;
    html_line(&p->out, "p", "faint", sentence);
    return true;
}

const char *frame_caption(struct console_page *p, const struct json *doc, const char *list,
                          const char *what)
{
    const char *text =
        arena_fmt(p->arena, "%s%zu, %s", json_get_string(doc, "next") ? "The first " : "",
                  json_count(json_get(doc, list)), what);

    return text ? text : "";
}

void frame_time_pair(struct console_page *p, const char *name, int64_t ms)
{
    if (!ms)
        return;
    html_pair_begin(&p->out, name);
    html_time(&p->out, ms, p->now);
    html_pair_end(&p->out);
}

void frame_link_pair(struct console_page *p, const char *name, const char *href, const char *text)
{
    if (!text)
        return;
    html_pair_begin(&p->out, name);
    html_link(&p->out, href, text);
    html_pair_end(&p->out);
}

void frame_case_link(struct console_page *p, const char *id)
{
    buf_adds(&p->out, "<span class=\"id nowrap\">");
    html_link(&p->out, arena_fmt(p->arena, "/cases/%s", id), id);
    buf_adds(&p->out, "</span>");
}
