/* console_pages.c - see console_pages.h: the overview, the lists, and what is said to whoever is not let in.
 *
 * Every page is made of the documents that the API answers with: what a person sees and what a program reads cannot
 * differ, and no query is written twice. A part that cannot be read says so in its place, and the rest of the page stands:
 * at three in the morning half a page is worth more than an error. */
#include "console_pages.h"

#include <inttypes.h>

#include "api.h"
#include "console_frame.h"
#include "console_lists.h"
#include "id.h"
#include "json.h"
#include "match.h"
#include "policy_rules.h"
#include "readiness.h"

#define LIST_SHOWN   50 /* of a page that is a list */
#define GLANCE_SHOWN 15 /* of a list on the overview */
/* So long it is news that a machine was not isolated: over a long week-end. */
#define UNDONE_DAYS 4

/* ---- the overview ------------------------------------------------------------------------------- */

static void switch_card(struct console_page *p)
{
    struct pause pause;
    bool known = readiness_pause(p->g, p->arena, &pause);
    bool shadow = policy_is_shadow(p->rt->config->policy);

    buf_addf(&p->out,
             "<section id=\"switch\"%s aria-labelledby=\"switch-title\">\n"
             "<h2 id=\"switch-title\">New isolations</h2>\n",
             !known || pause.on ? " class=\"alarm\"" : "");
    if (!known) {
        html_line(&p->out, "p", "big bad", "Cannot be read");
        html_line(&p->out, "p", NULL, "While the store cannot be read, nothing is isolated.");
    } else if (pause.on) {
        html_line(&p->out, "p", "big bad", "PAUSED");
        buf_adds(&p->out, "<p>");
        html_text(&p->out, pause_words(&pause, p->arena));
        if (pause.since) {
            buf_adds(&p->out, ", since ");
            html_time(&p->out, pause.since, p->now);
        }
        buf_adds(&p->out, ". Releases, notices and reading go on.</p>\n");
    } else {
        html_line(&p->out, "p", shadow ? "big warn" : "big good", shadow ? "SHADOW MODE" : "On");
    }
    if (shadow)
        html_line(
            &p->out, "p", NULL,
            "safety.mode is shadow: verdicts are given and told, nothing is done at Defender.");
    for (size_t i = 0; !shadow && i < p->rt->config->policy->n_rules; i++)
        if (p->rt->config->policy->rules[i].shadow)
            html_line(&p->out, "p", NULL,
                      arena_fmt(p->arena, "In shadow mode: rule %s.",
                                p->rt->config->policy->rules[i].name));
    for (size_t i = 0; !shadow && i < p->rt->config->n_sources; i++)
        if (p->rt->config->sources[i].shadow)
            html_line(
                &p->out, "p", NULL,
                arena_fmt(p->arena, "In shadow mode: source %s.", p->rt->config->sources[i].name));
    if (known && pause.on && pause.file)
        html_line(&p->out, "p", NULL,
                  arena_fmt(p->arena, "The file %s pauses: remove it to go on.", pause.file));
    if (known && pause.on && pause.since) {
        buf_adds(&p->out, "<details class=\"act\"><summary>Resume</summary>\n");
        frame_form_begin(p, "/resume");
        frame_by_field(p);
        frame_why_field(p, false);
        frame_form_end(p, "Resume isolations", false);
        buf_adds(&p->out, "</details>\n");
    } else {
        buf_adds(&p->out, "<details class=\"act\"><summary>Pause</summary>\n");
        frame_form_begin(p, "/pause");
        frame_by_field(p);
        frame_why_field(p, true);
        frame_form_end(p, "Pause new isolations", true);
        buf_adds(&p->out, "</details>\n");
    }
    buf_adds(&p->out, "</section>\n");
}

static void readiness_card(struct console_page *p)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *doc = NULL;
    bool ready = readiness_write(p->g, p->stopping, &text);
    const char *well = NULL;
    bool wrong = false;

    doc = frame_taken(p, &text, buf_failed(&text));
    JSON_EACH (part, json_get(doc, "parts"))
        wrong =
            wrong || (!json_is_true(json_get(part, "ok")) && !frame_is(json_name(part), "pause"));
    buf_addf(&p->out,
             "<section%s aria-labelledby=\"ready-title\">\n<h2 id=\"ready-title\">Ready</h2>\n",
             !ready || wrong ? " class=\"alarm\"" : "");
    html_line(&p->out, "p",
              !ready  ? "big bad"
              : wrong ? "big warn"
                      : "big good",
              !ready  ? "NOT READY: nothing is accepted"
              : wrong ? "Accepts alerts, but not all is well"
                      : "Ready");
    buf_adds(&p->out, "<ul class=\"plain\">\n");
    JSON_EACH (part, json_get(doc, "parts")) {
        const char *name = json_name(part);

        if (frame_is(name, "pause"))
            continue; /* it has a card of its own */
        if (json_is_true(json_get(part, "ok"))) {
            well = arena_fmt(p->arena, "%s%s%s", well ? well : "", well ? ", " : "", name);
            continue;
        }
        buf_adds(&p->out, "<li>");
        html_badge(&p->out, HTML_BAD, name);
        buf_adds(&p->out, " ");
        html_text(&p->out, frame_text(part, "why"));
        if (frame_moment(part, "since")) {
            buf_adds(&p->out, ", since ");
            html_time(&p->out, frame_moment(part, "since"), p->now);
        }
        buf_adds(&p->out, "</li>\n");
    }
    if (well)
        html_line(&p->out, "li", "faint", arena_fmt(p->arena, "well: %s", well));
    buf_adds(&p->out, "</ul>\n</section>\n");
}

static void count_line(struct console_page *p, const char *name, int64_t n, const char *href,
                       enum html_tone tone)
{
    buf_adds(&p->out, "<dt>");
    html_link(&p->out, href, name);
    buf_adds(&p->out, "</dt><dd>");
    html_badge(&p->out, n ? tone : HTML_PLAIN, arena_fmt(p->arena, "%" PRId64, n));
    buf_adds(&p->out, "</dd>\n");
}

/* Returns how many cases are under way; 0, too, when that cannot be read. */
static int64_t counts_card(struct console_page *p)
{
    int64_t cases[CASE_STATES], isolations[ISOLATION_STATES], questions[QUESTION_STATES];
    int64_t under_way;

    buf_adds(
        &p->out,
        "<section aria-labelledby=\"counts-title\">\n<h2 id=\"counts-title\">At a glance</h2>\n");
    p->e.code = store_case_count(p->g->store, cases, &p->e);
    if (!p->e.code)
        p->e.code = store_isolation_count(p->g->store, isolations, &p->e);
    if (!p->e.code)
        p->e.code = store_question_count(p->g->store, questions, &p->e);
    if (p->e.code) {
        frame_unreadable(p);
        buf_adds(&p->out, "</section>\n");
        return 0;
    }
    under_way =
        cases[CASE_RECEIVED] + cases[CASE_EXPANDING] + cases[CASE_DECIDING] + cases[CASE_ACTING];
    html_pairs_begin(&p->out);
    count_line(p, "Machines isolated",
               isolations[ISOLATION_ISOLATED] + isolations[ISOLATION_RELEASING],
               "/isolations?open=1", HTML_GOOD);
    if (isolations[ISOLATION_RELEASING])
        count_line(p, "Of these being released, not confirmed", isolations[ISOLATION_RELEASING],
                   "/isolations?open=1", HTML_WARN);
    count_line(p, "Asked for, not confirmed",
               isolations[ISOLATION_REQUESTED] + isolations[ISOLATION_PENDING],
               "/isolations?open=1", HTML_WARN);
    count_line(p, "Open questions", questions[QUESTION_OPEN], "/questions?state=open", HTML_WARN);
    count_line(p, "Cases that failed", cases[CASE_FAILED], "/cases?state=failed", HTML_BAD);
    count_line(p, "Cases that wait", cases[CASE_WAITING], "/cases?state=waiting", HTML_WARN);
    count_line(p, "Cases under way", under_way, "/cases", HTML_PLAIN);
    html_pairs_end(&p->out);
    buf_adds(&p->out, "</section>\n");
    return under_way;
}

/* Instead of a list of the state `waiting`: while Defender is out of reach cases wait to be read in other states. */
static const char *none_waits(struct console_page *p, int64_t under_way)
{
    return !under_way ? "No case waits for a person or for Defender."
                      : arena_fmt(p->arena,
                                  "No case waits for a person, or for an isolation to end. %" PRId64
                                  " %s under way, and may wait for Defender to be read.",
                                  under_way, under_way == 1 ? "is" : "are");
}

/* all: where the others are, if there are more. */
static void cases_part(struct console_page *p, const char *id, const char *title,
                       const struct case_filter *of, const char *nothing, const char *all)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc = frame_taken(p, &text, api_cases(p->g->store, of, &text, &p->e));

    frame_part_begin(p, id, title);
    if (doc)
        console_list_cases(p, doc, nothing);
    else
        frame_unreadable(p);
    frame_part_end(p, doc, all);
}

/* What came to nothing is no state that a page of its own could list: what is left out is said. */
static void undone_part(struct console_page *p)
{
    const struct config_mail *mail = &p->rt->config->mail;
    const struct case_filter f = {
        .not_isolated = true, .since = p->now - UNDONE_DAYS * DAY_MS, .limit = LIST_SHOWN};
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc = frame_taken(p, &text, api_cases(p->g->store, &f, &text, &p->e));

    frame_part_begin(p, "undone",
                     "For which nothing was isolated, though a rule wanted it (four days)");
    if (doc)
        console_list_cases(p, doc, "There is none.");
    else
        frame_unreadable(p);
    if (json_get_string(doc, "next"))
        buf_addf(&p->out,
                 "<p>There are more: these are the latest %d. The others are among "
                 "<a href=\"/cases\">all cases</a>.</p>\n",
                 LIST_SHOWN);
    if (!mail->server || !mail->to.count)
        buf_adds(&p->out,
                 "<p>What nobody was told of is not among these, and there may be such: "
                 "<code>mail.server</code> and <code>mail.to</code> are not both set. It is "
                 "among <a href=\"/cases\">all cases</a>.</p>\n");
    frame_part_end(p, doc, NULL);
}

static void isolations_part(struct console_page *p)
{
    const struct isolation_filter f = {.open_only = true, .limit = GLANCE_SHOWN};
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc = frame_taken(p, &text, api_isolations(p->g->store, &f, &text, &p->e));

    frame_part_begin(p, "isolations", "Open isolations");
    if (doc)
        console_list_isolations(p, doc,
                                "No machine is isolated, or about to be, as far as cordon knows.");
    else
        frame_unreadable(p);
    frame_part_end(p, doc, "/isolations?open=1");
}

static void questions_part(struct console_page *p)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc = frame_taken(
        p, &text, api_questions(p->g->store, QUESTION_OPEN, 0, GLANCE_SHOWN, &text, &p->e));

    frame_part_begin(p, "questions", "Questions that wait for a person");
    if (doc)
        console_list_questions(p, doc, "Nobody is asked anything.");
    else
        frame_unreadable(p);
    frame_part_end(p, doc, "/questions?state=open");
}

static void sources_part(struct console_page *p)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc =
        frame_taken(p, &text, api_sources(p->g->store, p->rt->config, p->g->metrics, &text, &p->e));

    frame_part_begin(p, "sources", "Sources");
    if (doc)
        console_list_sources(p, doc);
    else
        frame_unreadable(p);
    frame_part_end(p, doc, NULL);
}

static void hunts_part(struct console_page *p)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc = frame_taken(p, &text, api_hunts(p->g->store, p->rt->config, &text, &p->e));

    frame_part_begin(p, "hunts", "Hunts");
    if (doc)
        console_list_hunts(p, doc);
    else
        frame_unreadable(p);
    frame_part_end(p, doc, NULL);
}

void console_overview(struct console_page *p)
{
    const struct case_filter failed = {.state = "failed", .limit = GLANCE_SHOWN};
    const struct case_filter waiting = {.state = "waiting", .limit = GLANCE_SHOWN};
    const struct case_filter recent = {.limit = GLANCE_SHOWN};
    int64_t under_way;

    frame_begin(p, "Overview");
    buf_adds(&p->out, "<div class=\"state\">\n");
    switch_card(p);
    readiness_card(p);
    under_way = counts_card(p);
    buf_adds(&p->out, "</div>\n");
    questions_part(p);
    isolations_part(p);
    undone_part(p); /* done as they are: nobody finds them among those that failed */
    cases_part(p, "failed", "Cases that failed", &failed, "No case has failed.",
               "/cases?state=failed");
    cases_part(p, "waiting", "Cases that wait", &waiting, none_waits(p, under_way),
               "/cases?state=waiting");
    cases_part(p, "recent", "Recent cases", &recent,
               "No alert has come yet. The command cordon send sends one as a source would.",
               "/cases");
    sources_part(p);
    hunts_part(p);
    frame_end(p);
}

/* ---- pages that are lists ----------------------------------------------------------------------- */

/* Reads ?cursor=; false: it is none, and p is the answer. */
static bool cursor(struct console_page *p, int64_t *ret)
{
    const char *text = http_query_param(p->r, "cursor");

    *ret = 0;
    if (!text || !id_parse(text, ret, NULL))
        return true;
    p->status = 400;
    (void)err_set(&p->e, ERR_INVALID, "cursor: '%.40s' is no place in a list", text);
    return false;
}

/* query: "state=open&", made of words of ours, or "". */
static void pager(struct console_page *p, const struct json *doc, int64_t from, const char *query)
{
    const char *next = json_get_string(doc, "next");

    if (!next && !from)
        return;
    buf_adds(&p->out, "<nav aria-label=\"Parts of the list\"><ul>\n");
    if (from)
        buf_addf(&p->out, "<li><a href=\"%s?%s\">Newest</a></li>\n", p->path, query);
    if (next)
        buf_addf(&p->out, "<li><a rel=\"next\" href=\"%s?%scursor=%s\">Older</a></li>\n", p->path,
                 query, next);
    buf_adds(&p->out, "</ul></nav>\n");
}

static void option(struct console_page *p, const char *value, const char *words, bool chosen)
{
    buf_adds(&p->out, "<option value=\"");
    html_text(&p->out, value);
    buf_adds(&p->out, chosen ? "\" selected>" : "\">");
    html_text(&p->out, words);
    buf_adds(&p->out, "</option>");
}

/* Empty means any, as a form with nothing chosen sends it. */
static const char *choice(struct console_page *p, const char *name)
{
    const char *text = http_query_param(p->r, name);

    return text && *text ? text : NULL;
}

/* As it was copied out of the portal, with what came along at its ends. */
static const char *pasted(struct console_page *p, const char *text)
{
    size_t len = text ? match_trim(&text) : 0;

    return len ? arena_strn(p->arena, text, len) : NULL;
}

static void choose_cases(struct console_page *p, const struct case_filter *f)
{
    const struct config *c = p->rt->config;

    buf_adds(&p->out, "<form method=\"get\" action=\"/cases\"><div class=\"fields\">\n"
                      "<p><label>State<br><select name=\"state\">");
    option(p, "", "any", !f->state);
    for (int i = 0; i < CASE_STATES; i++) {
        const char *name = case_state_name((enum case_state)i);

        option(p, name, name, f->state && frame_is(f->state, name));
    }
    buf_adds(&p->out, "</select></label></p>\n<p><label>Tenant<br><select name=\"tenant\">");
    option(p, "", "any", !f->tenant);
    for (size_t i = 0; i < c->n_tenants; i++)
        option(p, c->tenants[i].name, c->tenants[i].name,
               f->tenant && frame_is(f->tenant, c->tenants[i].name));
    buf_adds(&p->out, "</select></label></p>\n<p><label>Or the alert with the id<br><input "
                      "name=\"alert\" autocomplete=\"off\" value=\"");
    html_text(&p->out, f->alert_id ? f->alert_id : "");
    buf_adds(&p->out, "\"></label></p>\n<p><button>Show</button></p>\n</div></form>\n");
}

void console_cases(struct console_page *p)
{
    struct case_filter f = {.state = choice(p, "state"),
                            .tenant = choice(p, "tenant"),
                            .alert_id = pasted(p, choice(p, "alert")),
                            .limit = LIST_SHOWN};
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *doc = NULL;

    if (!cursor(p, &f.before_id))
        return;
    if (f.state && case_state_parse(f.state) == CASE_STATES) {
        p->status = 400;
        (void)err_set(&p->e, ERR_INVALID, "state: there is no state '%.40s'", f.state);
        return;
    }
    if (f.tenant && !config_tenant(p->rt->config, f.tenant)) {
        p->status = 400;
        (void)err_set(&p->e, ERR_INVALID, "tenant: there is no tenant '%.60s'", f.tenant);
        return;
    }
    doc = frame_taken(p, &text, api_cases(p->g->store, &f, &text, &p->e));
    frame_begin(p, "Cases");
    frame_alarms(p);
    buf_adds(&p->out, "<section>\n");
    choose_cases(p, &f);
    if (!doc) {
        frame_unreadable(p);
    } else {
        console_list_cases(p, doc, "There is no such case.");
        pager(p, doc, f.before_id,
              arena_fmt(p->arena, "state=%s&amp;tenant=%s&amp;", f.state ? f.state : "",
                        f.tenant ? f.tenant : ""));
    }
    buf_adds(&p->out, "</section>\n");
    frame_end(p);
}

/* Two lists of one kind: those that count now, and all. */
static void choose_open(struct console_page *p, bool open, const char *query)
{
    buf_addf(&p->out,
             "<nav aria-label=\"Which\"><ul><li><a href=\"%s?%s\"%s>Open</a></li> "
             "<li><a href=\"%s\"%s>All</a></li></ul></nav>\n",
             p->path, query, open ? " aria-current=\"true\"" : "", p->path,
             open ? "" : " aria-current=\"true\"");
}

void console_isolations(struct console_page *p)
{
    const char *open = choice(p, "open");
    struct isolation_filter f = {.open_only = open && frame_is(open, "1"), .limit = LIST_SHOWN};
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *doc = NULL;

    if (!cursor(p, &f.before_id))
        return;
    doc = frame_taken(p, &text, api_isolations(p->g->store, &f, &text, &p->e));
    frame_begin(p, "Isolations");
    frame_alarms(p);
    buf_adds(&p->out, "<section>\n");
    choose_open(p, f.open_only, "open=1");
    if (!doc) {
        frame_unreadable(p);
    } else {
        console_list_isolations(p, doc, "There is none.");
        pager(p, doc, f.before_id, f.open_only ? "open=1&amp;" : "");
    }
    buf_adds(&p->out, "</section>\n");
    frame_end(p);
}

void console_questions(struct console_page *p)
{
    const char *word = choice(p, "state");
    enum question_state state = word ? question_state_parse(word) : QUESTION_STATES;
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *doc = NULL;
    int64_t before;

    if (!cursor(p, &before))
        return;
    if (word && state == QUESTION_STATES) {
        p->status = 400;
        (void)err_set(&p->e, ERR_INVALID, "state: there is no state '%.40s'", word);
        return;
    }
    doc =
        frame_taken(p, &text, api_questions(p->g->store, state, before, LIST_SHOWN, &text, &p->e));
    frame_begin(p, "Questions");
    frame_alarms(p);
    buf_adds(&p->out, "<section>\n");
    choose_open(p, state == QUESTION_OPEN, "state=open");
    if (!doc) {
        frame_unreadable(p);
    } else {
        console_list_questions(p, doc, "There is none.");
        pager(p, doc, before, word ? arena_fmt(p->arena, "state=%s&amp;", word) : "");
    }
    buf_adds(&p->out, "</section>\n");
    frame_end(p);
}

/* ---- besides ------------------------------------------------------------------------------------ */

void console_sign_in(struct console_page *p, const char *to, const char *why)
{
    html_begin(&p->out, "Sign in - cordon");
    buf_adds(&p->out, "<main id=\"main\">\n<h1>cordon</h1>\n<section>\n");
    if (why) {
        buf_adds(&p->out, "<p role=\"alert\">");
        html_badge(&p->out, HTML_BAD, why);
        buf_adds(&p->out, "</p>\n");
    }
    buf_adds(
        &p->out,
        "<form method=\"post\" action=\"/login\">\n<input type=\"hidden\" name=\"to\" value=\"");
    html_text(&p->out, to);
    buf_addf(&p->out,
             "\">\n<p><label>Your name, for the record<br><input name=\"by\" required autofocus "
             "autocomplete=\"username\" maxlength=\"%d\"></label></p>\n"
             "<p><label>Admin token<br><input type=\"password\" name=\"token\" required "
             "autocomplete=\"current-password\"></label></p>\n"
             "<p><button>Sign in</button></p>\n</form>\n",
             DOOR_NAME_MAX / 4);
    buf_adds(&p->out, "<p class=\"faint\">The token is what <code>admin.token_file</code> of the "
                      "configuration holds. Came here by a link, and have signed in before? ");
    html_link(&p->out, to, "Go on");
    buf_adds(&p->out, ".</p>\n</section>\n</main>\n");
    html_end(&p->out);
}

void console_trouble(struct console_page *p, const char *title, const char *text, const char *cure)
{
    html_begin(&p->out, arena_fmt(p->arena, "%s - cordon", title));
    if (p->visitor)
        frame_header(p);
    buf_adds(&p->out, "<main id=\"main\">\n");
    html_line(&p->out, "h1", NULL, title);
    buf_adds(&p->out, "<section class=\"alarm\" role=\"alert\">\n");
    html_line(&p->out, "p", NULL, text);
    html_line(&p->out, "p", NULL, cure);
    buf_adds(&p->out, "</section>\n");
    buf_adds(&p->out, "<p><a href=\"/\">Back to the overview</a></p>\n</main>\n");
    html_end(&p->out);
}
