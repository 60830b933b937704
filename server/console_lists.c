/* console_lists.c - see console_lists.h. */
#include "console_lists.h"

#include <inttypes.h>

#include "api.h"
#include "console_frame.h"
#include "explain.h"
#include "json.h"

/* ---- cases -------------------------------------------------------------------------------------- */

/* How the isolation of a case stands, after a semicolon; "": it has none. In the arena, or static. */
static const char *isolation_of(struct console_page *p, const struct json *c)
{
    const struct json *i = json_get(c, "isolation");
    const char *state = frame_text(i, "state"), *why = json_get_string(i, "why");

    if (json_type(i) != JSON_OBJECT)
        return "";
    if (frame_is(state, "isolated"))
        return "; isolated, says Defender";
    if (frame_is(state, "releasing"))
        return "; isolated, and Defender has not confirmed the release";
    if (frame_is(state, "released"))
        return "; released since";
    if (!frame_is(state, "failed"))
        return "; Defender has not said how the isolation ended";
    if (json_is_true(json_get(i, "unknown")) && why)
        return arena_fmt(p->arena, "; %s", why);
    return arena_fmt(p->arena, "; NOT isolated%s%s", why ? ": " : "", why ? why : "");
}

/* Why a case stands where it stands: its own reason, or what its steps came to, and the isolation that they asked for. In
 * the arena. */
static const char *why_of(struct console_page *p, const struct json *c)
{
    const char *why = json_get_string(c, "why"), *all = NULL, *isolation;

    if (why && *why)
        return why;
    JSON_EACH (step, json_get(c, "steps")) {
        const char *said = json_get_string(step, "why");

        all = arena_fmt(p->arena, "%s%s%s %s%s%s", all ? all : "", all ? "; " : "",
                        frame_text(step, "handler"), explain_step_says(step), said ? ": " : "",
                        said ? said : "");
        if (!all)
            return NULL;
    }
    isolation = all ? isolation_of(p, c) : NULL;
    return isolation ? arena_fmt(p->arena, "%s%s", all, isolation) : all;
}

void console_list_cases(struct console_page *p, const struct json *doc, const char *nothing)
{
    static const char *const columns[] = {"Case", "State",   "Machine", "Rule",
                                          "Why",  "Updated", NULL};
    const struct json *list = json_get(doc, "cases");
    struct html_table t;

    if (frame_none(p, list, nothing))
        return;
    html_table_begin(&t, &p->out, frame_caption(p, doc, "cases", "newest first"), columns);
    JSON_EACH (c, list) {
        const char *id = frame_text(c, "id"), *state = frame_text(c, "state");

        html_row_begin(&t);
        frame_link_cell(&t, arena_fmt(p->arena, "/cases/%s", id), frame_alert(p, c), id);
        html_cell_begin(&t);
        html_badge(&p->out, frame_case_tone(state), state);
        html_cell_end(&t);
        frame_machine_cell(p, &t, c);
        html_cell(&t, json_get_string(c, "rule"));
        html_cell(&t, why_of(p, c));
        html_cell_time(&t, frame_moment(c, "updated"), p->now);
        html_row_end(&t);
    }
    html_table_end(&t);
}

/* By which rule a machine is isolated; somebody else's isolation is so by none, also where a case has joined it since. In the
 * arena, or of the document. */
static const char *grounds_of(struct console_page *p, const struct json *i)
{
    const char *rule = json_get_string(i, "rule"), *who = frame_text(i, "requestor");

    if (!json_is_true(json_get(i, "adopted")))
        return rule;
    return arena_fmt(p->arena, "not cordon's: asked for by %s%s%s%s", *who ? who : "others",
                     rule ? "; rule " : "", rule ? rule : "", rule ? " asks for it, too" : "");
}

void console_list_isolations(struct console_page *p, const struct json *doc, const char *nothing)
{
    static const char *const columns[] = {
        "Machine", "What Defender says", "Since", "Rule", "Case", "Review", NULL};
    const struct json *list = json_get(doc, "isolations");
    struct html_table t;

    if (frame_none(p, list, nothing))
        return;
    html_table_begin(&t, &p->out, frame_caption(p, doc, "isolations", "newest first"), columns);
    JSON_EACH (i, list) {
        const char *id = frame_text(i, "id"), *of = json_get_string(i, "case");
        const char *machine = frame_machine(i);

        html_row_begin(&t);
        frame_link_cell(&t, arena_fmt(p->arena, "/isolations/%s", id), machine ? machine : id,
                        frame_tenant(p, i));
        html_cell_begin(&t);
        frame_isolation_badge(p, i);
        if (json_get_string(i, "why")) {
            buf_adds(&p->out, "<br>");
            html_text(&p->out, frame_text(i, "why"));
        }
        html_cell_end(&t);
        html_cell_time(&t, frame_moment(i, "since"), p->now);
        html_cell(&t, grounds_of(p, i));
        html_cell_begin(&t);
        if (of)
            frame_case_link(p, of);
        else
            buf_adds(&p->out, "none");
        html_cell_end(&t);
        html_cell_begin(&t);
        if (frame_moment(i, "review"))
            html_time(&p->out, frame_moment(i, "review"), p->now);
        else
            buf_adds(&p->out, "\xe2\x80\x93");
        html_cell_end(&t);
        html_row_end(&t);
    }
    html_table_end(&t);
}

void console_list_questions(struct console_page *p, const struct json *doc, const char *nothing)
{
    static const char *const columns[] = {"Question", "State", "Machines", "Asked", "Until", NULL};
    const struct json *list = json_get(doc, "questions");
    struct html_table t;

    if (frame_none(p, list, nothing))
        return;
    html_table_begin(&t, &p->out, frame_caption(p, doc, "questions", "newest first"), columns);
    JSON_EACH (q, list) {
        const char *id = frame_text(q, "id"), *state = frame_text(q, "state");

        html_row_begin(&t);
        frame_link_cell(&t, arena_fmt(p->arena, "/questions/%s", id), frame_text(q, "what"), id);
        html_cell_begin(&t);
        html_badge(&p->out, frame_question_tone(state), state);
        html_cell_end(&t);
        html_cell(&t, api_question_machines(q, p->arena));
        html_cell_time(&t, frame_moment(q, "created"), p->now);
        html_cell_time(&t, frame_moment(q, "expires"), p->now);
        html_row_end(&t);
    }
    html_table_end(&t);
}

void console_list_sources(struct console_page *p, const struct json *doc)
{
    static const char *const columns[] = {"Source",    "Tenant",  "Last heard", "Accepted",
                                          "Duplicate", "Refused", "May",        NULL};
    struct html_table t;

    if (frame_none(p, json_get(doc, "sources"), "No source is configured."))
        return;
    html_table_begin(&t, &p->out, "Requests are counted since this process started", columns);
    JSON_EACH (s, json_get(doc, "sources")) {
        const char *path = json_get_string(s, "path");
        int64_t quiet = frame_moment(s, "quiet_since"),
                unavailable = frame_number(s, "unavailable");

        html_row_begin(&t);
        html_cell_begin(&t);
        html_text(&p->out, frame_text(s, "name"));
        if (path) {
            buf_adds(&p->out, "<br><span class=\"id faint\">");
            html_text(&p->out, path);
            buf_adds(&p->out, "</span>");
        }
        html_cell_end(&t);
        html_cell(&t, json_get_string(s, "tenant"));
        html_cell_begin(&t);
        html_time(&p->out, frame_moment(s, "heard"), p->now);
        if (quiet) {
            buf_adds(&p->out, "<br>");
            html_badge(&p->out, HTML_BAD, path ? "quiet: people were told" : "fails");
            buf_adds(&p->out, " since ");
            html_time(&p->out, quiet, p->now);
        }
        html_cell_end(&t);
        html_cell(&t, path ? arena_fmt(p->arena, "%" PRId64, frame_number(s, "accepted")) : NULL);
        html_cell(&t, path ? arena_fmt(p->arena, "%" PRId64, frame_number(s, "duplicate")) : NULL);
        html_cell_begin(&t);
        if (!path)
            buf_adds(&p->out, "\xe2\x80\x93");
        else if (frame_number(s, "refused") || unavailable)
            html_badge(&p->out, HTML_WARN,
                       arena_fmt(p->arena, "%" PRId64, frame_number(s, "refused") + unavailable));
        else
            buf_adds(&p->out, "0");
        html_cell_end(&t);
        html_cell(&t, json_is_true(json_get(s, "shadow"))        ? "notify: shadow mode"
                      : json_is_true(json_get(s, "may_isolate")) ? "notify, isolate"
                                                                 : "notify");
        html_row_end(&t);
    }
    html_table_end(&t);
}

void console_list_hunts(struct console_page *p, const struct json *doc)
{
    static const char *const columns[] = {"Hunt",     "State",       "Schedule", "Last run",
                                          "Next run", "Last result", "Run now",  NULL};
    struct html_table t;

    if (frame_none(p, json_get(doc, "hunts"), "No hunt is configured."))
        return;
    html_table_begin(&t, &p->out, "In the order of the configuration", columns);
    JSON_EACH (h, json_get(doc, "hunts")) {
        const char *state = frame_text(h, "state");

        html_row_begin(&t);
        html_cell(&t, json_get_string(h, "name"));
        html_cell_begin(&t);
        html_badge(&p->out,
                   frame_is(state, "failing") ? HTML_BAD
                   : frame_is(state, "good")  ? HTML_GOOD
                                              : HTML_PLAIN,
                   state);
        if (json_get_string(h, "why")) {
            buf_adds(&p->out, "<br>");
            html_text(&p->out, frame_text(h, "why"));
        }
        html_cell_end(&t);
        html_cell(&t, arena_fmt(p->arena, "%s (%s)", frame_text(h, "schedule"),
                                frame_text(h, "timezone")));
        html_cell_time(&t, frame_moment(h, "ran"), p->now);
        html_cell_begin(&t);
        if (frame_moment(h, "next"))
            html_time(&p->out, frame_moment(h, "next"), p->now);
        else
            buf_adds(&p->out, "\xe2\x80\x93");
        html_cell_end(&t);
        html_cell(&t, frame_moment(h, "ran")
                          ? arena_fmt(p->arena, "%" PRId64 " rows, %" PRId64 " new",
                                      frame_number(h, "rows"), frame_number(h, "new"))
                          : NULL);
        html_cell_begin(&t);
        buf_adds(&p->out, "<details class=\"act\"><summary>Run it now</summary>\n");
        frame_form_begin(p, arena_fmt(p->arena, "/hunts/%s/run", frame_text(h, "name")));
        frame_by_field(p);
        frame_form_end(p, "Run", false);
        buf_adds(&p->out, "</details>");
        html_cell_end(&t);
        html_row_end(&t);
    }
    html_table_end(&t);
}
