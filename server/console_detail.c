/* console_detail.c - see console_pages.h: one case with the explanation of its verdict, one isolation, one question. */
#include <inttypes.h>

#include "api.h"
#include "console_frame.h"
#include "console_pages.h"
#include "explain.h"
#include "id.h"
#include "json.h"
#include "lookout.h"
#include "notice_letter.h"
#include "preview.h"
#include "store_work.h"

#define CASES_SHOWN 200 /* of one question or isolation */

/* ---- what all have ------------------------------------------------------------------------------ */

static unsigned status_of(enum err_code code)
{
    return code == ERR_NOT_FOUND  ? 404
           : code == ERR_INVALID  ? 400
           : code == ERR_CONFLICT ? 409
                                  : 503;
}

/* ---- one case ----------------------------------------------------------------------------------- */

/* The id of the path; false: there can be no such thing, and p is the answer. */
static bool path_id(struct console_page *p, const char *what, int64_t *ret)
{
    if (!id_parse(p->id, ret, NULL))
        return true;
    p->status = 404;
    (void)err_set(&p->e, ERR_NOT_FOUND, "there is no %s with the id %.40s", what, p->id);
    return false;
}

/* The same of a case, which may be named by its alert's id: p->id is its own from here on. */
static bool case_of_path(struct console_page *p, int64_t *ret)
{
    char text[ID_TEXT_SIZE];
    enum err_code code = api_case_named(p->g->store, p->id, ret, &p->e);

    if (!code && !(p->id = arena_str(p->arena, id_format(*ret, text))))
        code = err_set(&p->e, ERR_NOMEM, "a page");
    if (code)
        p->status = status_of(code);
    return !code;
}

/* What the id is of cannot be shown; true: it cannot. */
static bool failed(struct console_page *p, const struct json *doc)
{
    if (!doc)
        p->status = status_of(p->e.code);
    return !doc;
}

static void facts_part(struct console_page *p, const struct json *c)
{
    const char *state = frame_text(c, "state");
    const struct config_tenant *tenant = config_tenant(p->rt->config, frame_text(c, "tenant"));
    const char *portal =
        tenant ? notice_portal_url(tenant, frame_text(c, "alert_id"), p->arena) : NULL;

    frame_part_begin(p, "case", "The case");
    html_pairs_begin(&p->out);
    html_pair_begin(&p->out, "State");
    html_badge(&p->out, frame_case_tone(state), state);
    if (json_get_string(c, "why")) {
        buf_adds(&p->out, " ");
        html_text(&p->out, frame_text(c, "why"));
    }
    html_pair_end(&p->out);
    html_pair(&p->out, "Alert", frame_alert(p, c));
    html_pair(&p->out, "Machine", json_get_string(c, "machine_name"));
    html_pair(&p->out, "Rule", json_get_string(c, "rule"));
    html_pair(&p->out, "Silenced", json_get_string(c, "silenced"));
    html_pair(&p->out, "Tenant", json_get_string(c, "tenant"));
    html_pair(&p->out, "Alert id", json_get_string(c, "alert_id"));
    frame_link_pair(p, "At Defender", portal ? portal : "",
                    portal ? "The alert in Defender's portal" : NULL);
    html_pair(&p->out, "Machine id", json_get_string(c, "machine_id"));
    html_pair(&p->out, "Machine id, as a sender says", frame_pushed_machine(c));
    html_pair(&p->out, "Pushed by", json_get_string(c, "source"));
    frame_time_pair(p, "Came", frame_moment(c, "created"));
    frame_time_pair(p, "Updated", frame_moment(c, "updated"));
    frame_time_pair(p, "Gone on with", frame_moment(c, "due"));
    html_pairs_end(&p->out);
    JSON_EACH (q, json_get(c, "questions")) {
        const char *of = frame_text(q, "state");

        buf_adds(&p->out, "<p>");
        html_link(&p->out, arena_fmt(p->arena, "/questions/%s", frame_text(q, "id")),
                  arena_fmt(p->arena, "Question: %s", frame_text(q, "what")));
        buf_addc(&p->out, ' ');
        html_badge(&p->out, frame_question_tone(of), of);
        buf_adds(&p->out, "</p>\n");
    }
    buf_adds(&p->out, "</section>\n");
}

/* Is it one of an absent machine, which cordon may look out for still (lookout.h)? */
static bool is_looked_out_for(const struct console_page *p, const struct json *isolation)
{
    int64_t lapsed = frame_moment(isolation, "lapsed");

    return lapsed && p->now - lapsed < LOOKOUT_FOR_MS;
}

/* The desk says itself when there is nothing to be tried again or let go: what is over for good has no button for it. */
static void orders_part(struct console_page *p, const struct json *c)
{
    const char *state = frame_text(c, "state"), *id = frame_text(c, "id");
    bool over = frame_is(state, "done") || frame_is(state, "failed") || frame_is(state, "dropped");
    bool lapsed = frame_is(state, "done") && is_looked_out_for(p, json_get(c, "isolation"));

    frame_part_begin(p, "orders", "Orders");
    if (frame_is(state, "failed") || frame_is(state, "done")) {
        buf_adds(
            &p->out,
            "<details class=\"act\"><summary>Try it again: Defender is read anew, and the policy in "
            "force judges anew</summary>\n");
        frame_form_begin(p, arena_fmt(p->arena, "/cases/%s/retry", id));
        frame_by_field(p);
        frame_why_field(p, false);
        frame_form_end(p, "Try again", false);
        buf_adds(&p->out, "</details>\n");
    }
    if (!over || lapsed) {
        buf_adds(&p->out,
                 "<details class=\"act\"><summary>Let it go: nothing more is begun for it");
        buf_adds(&p->out,
                 lapsed ? ", also when its machine is seen again</summary>\n" : "</summary>\n");
        frame_form_begin(p, arena_fmt(p->arena, "/cases/%s/drop", id));
        frame_by_field(p);
        frame_why_field(p, true);
        frame_form_end(p, "Let it go", true);
        buf_adds(&p->out, "</details>\n");
    }
    if (frame_is(state, "dropped"))
        html_line(&p->out, "p", "faint", "A person let it go: nothing more is begun for it.");
    buf_adds(&p->out, "</section>\n");
}

static void timeline_part(struct console_page *p, const struct json *c)
{
    static const char *const columns[] = {"Time", "What", NULL};
    struct html_table t;

    frame_part_begin(p, "timeline", "What happened");
    html_table_begin(&t, &p->out, "Oldest first", columns);
    JSON_EACH (x, json_get(c, "timeline")) {
        html_row_begin(&t);
        html_cell_time(&t, frame_moment(x, "at"), p->now);
        html_cell(&t, json_get_string(x, "what"));
        html_row_end(&t);
    }
    html_table_end(&t);
    buf_adds(&p->out, "</section>\n");
}

static void steps_part(struct console_page *p, const struct json *c)
{
    static const char *const columns[] = {"Step", "State", "Why", "Updated", NULL};
    const struct json *steps = json_get(c, "steps");
    struct html_table t;

    frame_part_begin(p, "steps", "Steps");
    if (!frame_none(p, steps, "No verdict has been given yet.")) {
        html_table_begin(&t, &p->out, "In the order of the rule", columns);
        JSON_EACH (s, steps) {
            const char *state = frame_text(s, "state");

            html_row_begin(&t);
            html_cell(&t, json_get_string(s, "handler"));
            html_cell_begin(&t);
            html_badge(&p->out,
                       frame_is(state, "failed")                                   ? HTML_BAD
                       : frame_is(state, "withheld") || frame_is(state, "waiting") ? HTML_WARN
                                                                                   : HTML_PLAIN,
                       explain_step_says(s));
            html_cell_end(&t);
            html_cell(&t, json_get_string(s, "why"));
            html_cell_time(&t, frame_moment(s, "updated"), p->now);
            html_row_end(&t);
        }
        html_table_end(&t);
    }
    buf_adds(&p->out, "</section>\n");
}

static void isolation_pairs(struct console_page *p, const struct json *i)
{
    html_pairs_begin(&p->out);
    html_pair_begin(&p->out, "What Defender says");
    frame_isolation_badge(p, i);
    if (json_get_string(i, "why")) {
        buf_adds(&p->out, " ");
        html_text(&p->out, frame_text(i, "why"));
    }
    html_pair_end(&p->out);
    html_pair(&p->out, "Machine", frame_machine(i));
    html_pair(&p->out, "Machine id", json_get_string(i, "machine_id"));
    html_pair(&p->out, "Tenant", json_get_string(i, "tenant"));
    html_pair(&p->out, "Type", json_get_string(i, "type"));
    html_pair(&p->out, "Rule", json_get_string(i, "rule"));
    frame_link_pair(p, "Case", arena_fmt(p->arena, "/cases/%s", frame_text(i, "case")),
                    json_get_string(i, "case"));
    if (json_is_true(json_get(i, "adopted")))
        html_pair(&p->out, "Asked for by",
                  *frame_text(i, "requestor") ? frame_text(i, "requestor") : "somebody else");
    html_pair(&p->out, "Comment", json_get_string(i, "comment"));
    frame_time_pair(p, "Requested", frame_moment(i, "requested"));
    frame_time_pair(p, "Confirmed", frame_moment(i, "confirmed"));
    frame_time_pair(p, "Review", frame_moment(i, "review"));
    frame_time_pair(p, "Its rule releases it", frame_moment(i, "release_at"));
    html_pair(&p->out, "Release", json_get_string(i, "release_why"));
    frame_time_pair(p, "Released", frame_moment(i, "released"));
    frame_time_pair(p, "Defender gave up", frame_moment(i, "lapsed"));
    html_pair(&p->out, "Defender's action", json_get_string(i, "action_id"));
    html_pairs_end(&p->out);
}

static void isolation_part(struct console_page *p, const struct json *c)
{
    const struct json *i = json_get(c, "isolation");

    frame_part_begin(p, "isolation", "Isolation");
    if (json_type(i) == JSON_OBJECT) {
        isolation_pairs(p, i);
        buf_adds(&p->out, "<p>");
        html_link(&p->out, arena_fmt(p->arena, "/isolations/%s", frame_text(i, "id")),
                  frame_is(frame_text(i, "state"), "isolated") ? "Release it, or extend it"
                                                               : "All about this isolation");
        buf_adds(&p->out, "</p>\n");
    } else {
        html_line(&p->out, "p", "faint", "None was asked for.");
    }
    buf_adds(&p->out, "</section>\n");
}

static void actions_part(struct console_page *p, const struct json *c)
{
    static const char *const columns[] = {"Action", "State", "Why", "Asked for", "Ended", NULL};
    const struct json *list = json_get(c, "actions");
    struct html_table t;

    if (!json_first(list))
        return;
    frame_part_begin(p, "actions", "Other actions");
    html_table_begin(&t, &p->out, "What the machine was asked for besides", columns);
    JSON_EACH (a, list) {
        html_row_begin(&t);
        html_cell(&t,
                  arena_fmt(p->arena, "%s %s", frame_text(a, "handler"), frame_text(a, "detail")));
        html_cell(&t, json_get_string(a, "state"));
        html_cell(&t, json_get_string(a, "why"));
        html_cell_time(&t, frame_moment(a, "requested"), p->now);
        html_cell_begin(&t);
        if (frame_moment(a, "ended"))
            html_time(&p->out, frame_moment(a, "ended"), p->now);
        else
            buf_adds(&p->out, "not yet");
        html_cell_end(&t);
        html_row_end(&t);
    }
    html_table_end(&t);
    buf_adds(&p->out, "</section>\n");
}

/* "soc@contoso.example: sent; x@y.example: failed (550 no such user)" */
static const char *recipients(struct console_page *p, const struct json *notice)
{
    const char *all = NULL;

    JSON_EACH (r, json_get(notice, "recipients")) {
        const char *reply = json_get_string(r, "reply");
        bool odd = reply && !frame_is(frame_text(r, "state"), "sent");

        all = arena_fmt(p->arena, "%s%s%s: %s%s%s%s", all ? all : "", all ? "; " : "",
                        frame_text(r, "address"), frame_text(r, "state"), odd ? " (" : "",
                        odd ? reply : "", odd ? ")" : "");
        if (!all)
            return NULL;
    }
    return all;
}

static void notices_part(struct console_page *p, const struct json *c)
{
    static const char *const columns[] = {"Notice", "State", "To", "Why", "Made", NULL};
    const struct json *list = json_get(c, "notices");
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *mail = NULL;
    struct html_table t;
    int64_t id;

    frame_part_begin(p, "notices", "Who was told");
    if (!frame_none(p, list, "Nobody yet.")) {
        html_table_begin(&t, &p->out, "In the order they were made", columns);
        JSON_EACH (n, list) {
            const char *state = frame_text(n, "state");

            html_row_begin(&t);
            html_cell(&t,
                      *frame_text(n, "subject") ? frame_text(n, "subject") : frame_text(n, "kind"));
            html_cell_begin(&t);
            html_badge(&p->out, frame_is(state, "failed") ? HTML_BAD : HTML_PLAIN, state);
            html_cell_end(&t);
            html_cell(&t, recipients(p, n));
            html_cell(&t, json_get_string(n, "why"));
            html_cell_time(&t, frame_moment(n, "created"), p->now);
            html_row_end(&t);
        }
        html_table_end(&t);
    }
    if (!id_parse(p->id, &id, NULL))
        mail = frame_taken(p, &text, preview_case(p->g, id, &text, &p->e));
    if (json_get_string(mail, "text")) {
        buf_addf(&p->out, "<details><summary>%s</summary>\n",
                 frame_is(frame_text(mail, "state"), "preview") ? "The mail as it would be now"
                                                                : "The last mail");
        html_pairs_begin(&p->out);
        html_pair(&p->out, "Subject", json_get_string(mail, "subject"));
        html_pairs_end(&p->out);
        html_line(&p->out, "pre", NULL, frame_text(mail, "text"));
        buf_adds(&p->out, "</details>\n");
    }
    buf_adds(&p->out, "</section>\n");
}

/* ---- the explanation of a verdict --------------------------------------------------------------- */

static void predicates(struct console_page *p, const struct json *match, const char *says)
{
    static const char *const columns[] = {"Field", "Asks for", "Saw", "Holds", NULL};
    struct html_table t;

    if (!json_first(json_get(match, "predicates"))) {
        html_line(&p->out, "p", "faint", "It asks for nothing: it always holds.");
        return;
    }
    html_table_begin(&t, &p->out, says, columns);
    JSON_EACH (x, json_get(match, "predicates")) {
        const char *within = json_get_string(x, "within"), *result = frame_text(x, "result");

        html_row_begin(&t);
        html_cell(&t, within ? arena_fmt(p->arena, "%s: %s", within, frame_text(x, "field"))
                             : frame_text(x, "field"));
        html_cell(&t,
                  arena_fmt(p->arena, "%s %s", frame_text(x, "operator"), frame_text(x, "wanted")));
        html_cell(&t, json_get_string(x, "seen"));
        html_cell_begin(&t);
        html_badge(&p->out, frame_is(result, "unknown") ? HTML_WARN : HTML_PLAIN, result);
        html_cell_end(&t);
        html_row_end(&t);
    }
    html_table_end(&t);
}

static void explained(struct console_page *p, const struct json *doc)
{
    const struct json *verdict = json_get(doc, "verdict"), *policy = json_get(doc, "policy");
    const struct json *again = json_get(doc, "again");
    const char *gave = json_get_string(verdict, "rule");
    const char *same = json_is_true(json_get(again, "same")) ? "the same"
                       : json_type(json_get(again, "same")) == JSON_BOOL
                           ? arena_fmt(p->arena, "NOT the same: %s", frame_text(again, "why"))
                           : arena_fmt(p->arena, "it cannot be: %s", frame_text(again, "why"));
    bool found = false;

    html_pairs_begin(&p->out);
    html_pair(&p->out, "Verdict by", gave ? gave : "no rule: people are told");
    html_pair(&p->out, "In doubt", json_get_string(verdict, "doubt"));
    frame_time_pair(p, "Judged", frame_moment(verdict, "at"));
    html_pair(
        &p->out, "Policy",
        arena_fmt(p->arena, "%s, %s", frame_text(policy, "hash"),
                  json_is_true(json_get(policy, "in_force")) ? "in force" : "not in force now"));
    html_pair(&p->out, "Judged again now", same);
    html_pairs_end(&p->out);
    JSON_EACH (rule, json_get(verdict, "why")) {
        const char *says = explain_rule_says(rule, gave, &found);

        html_line(&p->out, "h3", NULL, arena_fmt(p->arena, "Rule %s", frame_text(rule, "rule")));
        predicates(p, rule, arena_fmt(p->arena, "It %s", says));
    }
    JSON_EACH (x, json_get(verdict, "protected")) {
        html_line(&p->out, "h3", NULL, "Protected machines");
        predicates(p, x, arena_fmt(p->arena, "It %s", explain_protection_says(x)));
    }
}

static void explanation_part(struct console_page *p, int64_t id)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep)
    struct json *doc =
        frame_taken(p, &text, explain_case(p->g->store, id, p->rt->config->policy, &text, &p->e));

    frame_part_begin(p, "why", "Why it was judged so");
    if (doc)
        explained(p, doc);
    else if (p->e.code == ERR_CONFLICT)
        html_line(&p->out, "p", "faint", "No verdict has been given yet.");
    else
        frame_unreadable(p);
    buf_adds(&p->out, "</section>\n");
}

void console_case(struct console_page *p)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *c = NULL;
    int64_t id;

    if (!case_of_path(p, &id))
        return;
    c = frame_taken(p, &text, api_case(p->g->store, id, &text, &p->e));
    if (failed(p, c))
        return;
    frame_begin(p, arena_fmt(p->arena, "Case %s", p->id));
    frame_alarms(p);
    facts_part(p, c);
    timeline_part(p, c);
    steps_part(p, c);
    isolation_part(p, c);
    explanation_part(p, id);
    actions_part(p, c);
    notices_part(p, c);
    orders_part(p, c);
    frame_end(p);
}

/* ---- one isolation ------------------------------------------------------------------------------ */

/* Has it a case that nobody has let go? Of those that are not shown one may be. */
static bool has_kept_case(const struct json *i)
{
    JSON_EACH (c, json_get(i, "cases"))
        if (!frame_is(frame_text(c, "state"), "dropped"))
            return true;
    return json_get_string(i, "next") != NULL;
}

/* A lookout ends before its time, too: another record of the machine may be found, or somebody releases it. Its work ends with it. */
static bool has_lookout(const struct console_page *p, const struct json *i)
{
    int64_t id = 0;
    bool there = false;
    struct err e;

    return is_looked_out_for(p, i) && has_kept_case(i) &&
           (id_parse(frame_text(i, "id"), &id, &e) ||
            store_work_is_there(p->g->store, id, &there, &e) || there);
}

/* What there is to be done about one that nobody can order released here; NULL: nothing. */
static const char *instead_of_release(const struct console_page *p, const struct json *i)
{
    const char *state = frame_text(i, "state");

    if (json_is_true(json_get(i, "unknown")))
        return "See in the Defender portal whether the machine is isolated, and release it there if it is.";
    if (has_lookout(p, i))
        return "The machine stayed absent. When it is seen again within 30 days its cases begin anew: letting them "
               "go stops that.";
    if (frame_is(state, "requested"))
        return "Defender has not taken the request: letting its cases go stops it, unless it is on its way.";
    if (frame_is(state, "pending"))
        return "It can be released when Defender has confirmed it. Until then cancel the action in the "
               "Defender portal: cordon notices that, and people are told.";
    return NULL;
}

static void isolation_orders_part(struct console_page *p, const struct json *i)
{
    const char *id = frame_text(i, "id"), *instead = instead_of_release(p, i);
    const bool waits = json_is_true(json_get(i, "release_waits"));

    if (instead) {
        frame_part_begin(p, "orders", "Orders");
        html_line(&p->out, "p", NULL, instead);
        buf_adds(&p->out, "</section>\n");
    }
    if (!frame_is(frame_text(i, "state"), "isolated") && !waits)
        return;
    frame_part_begin(p, "orders", "Orders");
    if (waits)
        html_line(
            &p->out, "p", NULL,
            "A rule has ordered the release, and Defender has not been asked for it yet: who orders it himself does not wait for "
            "other alerts of the machine, and who extends the isolation takes the order back.");
    buf_adds(&p->out, "<details class=\"act\"><summary>Release the machine</summary>\n");
    frame_form_begin(p, arena_fmt(p->arena, "/isolations/%s/release", id));
    if (json_is_true(json_get(i, "adopted"))) {
        html_line(
            &p->out, "p", NULL,
            "cordon did not ask for this isolation: name the machine to release it all the same.");
        buf_adds(&p->out, "<p><label>The machine's name<br><input name=\"machine\" required "
                          "autocomplete=\"off\"></label></p>\n");
    }
    frame_by_field(p);
    frame_why_field(p, true);
    frame_form_end(p, "Release", true);
    buf_adds(
        &p->out,
        "</details>\n<details class=\"act\"><summary>It is right: ask again later</summary>\n");
    frame_form_begin(p, arena_fmt(p->arena, "/isolations/%s/extend", id));
    buf_adds(&p->out, "<p><label>For how long<br><select name=\"for\"><option>4h</option>"
                      "<option>12h</option><option>1d</option><option>3d</option>"
                      "<option>7d</option></select></label></p>\n");
    frame_by_field(p);
    frame_why_field(p, false);
    frame_form_end(p, "Extend", false);
    buf_adds(&p->out, "</details>\n</section>\n");
}

void console_isolation(struct console_page *p)
{
    static const char *const columns[] = {"Case", "Alert", "State", "Rule", NULL};
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *i = NULL;
    struct html_table t;
    int64_t id, all;

    if (!path_id(p, "isolation", &id))
        return;
    i = frame_taken(p, &text, api_isolation(p->g->store, id, 0, CASES_SHOWN, &text, &p->e));
    if (failed(p, i))
        return;
    all = frame_number(i, "count");
    frame_begin(
        p, arena_fmt(p->arena, "Isolation of %s", frame_machine(i) ? frame_machine(i) : p->id));
    frame_alarms(p);
    frame_part_begin(p, "isolation", "The isolation");
    isolation_pairs(p, i);
    buf_adds(&p->out, "</section>\n");
    frame_part_begin(p, "cases", "Cases that it is for");
    if (!frame_none(
            p, json_get(i, "cases"),
            json_is_true(json_get(i, "adopted"))
                ? "None: somebody else asked for it."
                : "None any more: its case has begun anew since, or goes by another isolation.")) {
        html_table_begin(
            &t, &p->out,
            all > CASES_SHOWN
                ? arena_fmt(p->arena, "The first %d of %" PRId64 ", oldest first", CASES_SHOWN, all)
                : "Oldest first",
            columns);
        JSON_EACH (c, json_get(i, "cases")) {
            html_row_begin(&t);
            frame_link_cell(&t, arena_fmt(p->arena, "/cases/%s", frame_text(c, "id")),
                            frame_text(c, "id"), NULL);
            html_cell(&t, json_get_string(c, "alert_id"));
            html_cell_begin(&t);
            html_badge(&p->out, frame_case_tone(frame_text(c, "state")), frame_text(c, "state"));
            html_cell_end(&t);
            html_cell(&t, json_get_string(c, "rule"));
            html_row_end(&t);
        }
        html_table_end(&t);
    }
    buf_adds(&p->out, "</section>\n");
    isolation_orders_part(p, i);
    frame_end(p);
}

/* ---- one question ------------------------------------------------------------------------------- */

static void waiting_part(struct console_page *p, const struct json *q)
{
    static const char *const columns[] = {"Machine", "Alert", "Case", "Action", NULL};
    struct html_table t;
    int64_t all = frame_number(q, "count");

    frame_part_begin(p, "cases", "What waits for the answer");
    if (!frame_none(p, json_get(q, "cases"), "Nothing any more.")) {
        html_table_begin(&t, &p->out,
                         all > CASES_SHOWN
                             ? arena_fmt(p->arena, "The first %d of %" PRId64, CASES_SHOWN, all)
                             : "Oldest first",
                         columns);
        JSON_EACH (c, json_get(q, "cases")) {
            html_row_begin(&t);
            frame_machine_cell(p, &t, c);
            html_cell(&t, json_get_string(c, "alert_id"));
            frame_link_cell(&t, arena_fmt(p->arena, "/cases/%s", frame_text(c, "case")),
                            frame_text(c, "case"), NULL);
            html_cell(&t, json_get_string(c, "action"));
            html_row_end(&t);
        }
        html_table_end(&t);
    }
    buf_adds(&p->out, "</section>\n");
}

static void answers_part(struct console_page *p, const struct json *q)
{
    static const char *const columns[] = {"Person", "Answer", "Reason", "By", "When", NULL};
    struct html_table t;

    if (!json_first(json_get(q, "answers")))
        return;
    frame_part_begin(p, "answers", "Answers");
    html_table_begin(&t, &p->out, "In the order they came", columns);
    JSON_EACH (a, json_get(q, "answers")) {
        html_row_begin(&t);
        html_cell(&t, json_get_string(a, "person"));
        html_cell(&t, json_is_true(json_get(a, "yes")) ? "yes" : "no");
        html_cell(&t, json_get_string(a, "why"));
        html_cell(&t, json_get_string(a, "way"));
        html_cell_time(&t, frame_moment(a, "at"), p->now);
        html_row_end(&t);
    }
    html_table_end(&t);
    buf_adds(&p->out, "</section>\n");
}

/* Whoever decides about one machine decides by what is known of it. */
static void only_case_part(struct console_page *p, const struct json *q)
{
    const struct json *waits = json_first(json_get(q, "cases"));
    const char *id = frame_text(waits, "case");
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *c = NULL;
    int64_t case_id;

    if (!id_parse(id, &case_id, &p->e))
        c = frame_taken(p, &text, api_case(p->g->store, case_id, &text, &p->e));
    if (c) {
        facts_part(p, c);
    } else {
        frame_part_begin(p, "case", "The case");
        frame_unreadable(p);
        buf_adds(&p->out, "</section>\n");
    }
    frame_part_begin(p, "action", "What is to be done");
    html_pairs_begin(&p->out);
    html_pair(&p->out, "Action", json_get_string(waits, "action"));
    frame_link_pair(p, "Why", arena_fmt(p->arena, "/cases/%s#why", id),
                    "Rules, predicates and what they saw");
    html_pairs_end(&p->out);
    buf_adds(&p->out, "</section>\n");
}

/* "ann@contoso.example, bob@contoso.example"; NULL: nobody was. In the arena. */
static const char *asked(struct console_page *p, const struct json *q)
{
    const char *all = NULL;

    JSON_EACH (x, json_get(q, "asked"))
        all = arena_fmt(p->arena, "%s%s%s", all ? all : "", all ? ", " : "", json_string(x));
    return all;
}

void console_question(struct console_page *p)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(FRAME_DOCUMENT_MAX);
    AUTO(json_freep) struct json *q = NULL;
    const char *state;
    int64_t id;

    if (!path_id(p, "question", &id))
        return;
    q = frame_taken(p, &text, api_question(p->g->store, id, 0, CASES_SHOWN, &text, &p->e));
    if (failed(p, q))
        return;
    state = frame_text(q, "state");
    frame_begin(p, arena_fmt(p->arena, "Question %s", p->id));
    frame_alarms(p);
    frame_part_begin(p, "question", "What is asked");
    html_pairs_begin(&p->out);
    html_pair(&p->out, "Why people are asked", json_get_string(q, "what"));
    html_pair_begin(&p->out, "State");
    html_badge(&p->out, frame_question_tone(state), state);
    if (json_get_string(q, "why")) {
        buf_adds(&p->out, " ");
        html_text(&p->out, frame_text(q, "why"));
    }
    html_pair_end(&p->out);
    html_pair(&p->out, "Cases", arena_fmt(p->arena, "%" PRId64, frame_number(q, "count")));
    html_pair(&p->out, "Machines", arena_fmt(p->arena, "%" PRId64, frame_number(q, "machines")));
    if (frame_number(q, "people") > 1)
        html_pair(&p->out, "Persons needed",
                  arena_fmt(p->arena, "%" PRId64, frame_number(q, "people")));
    html_pair(&p->out, "Who is asked", asked(p, q));
    frame_time_pair(p, "Asked", frame_moment(q, "created"));
    frame_time_pair(p, "Until", frame_moment(q, "expires"));
    frame_time_pair(p, "Ended", frame_moment(q, "ended"));
    html_pairs_end(&p->out);
    if (frame_is(state, "open") &&
        (p->now < frame_moment(q, "expires") || json_is_true(json_get(q, "unasked")))) {
        frame_form_begin(p, arena_fmt(p->arena, "/questions/%s/refuse", p->id));
        frame_by_field(p);
        frame_why_field(p, false);
        /* the form's own action, which Enter would send, is the no */
        buf_addf(&p->out, "<p><button>No, do not</button></p>\n"
                          "<p><button class=\"danger\" formaction=\"/questions/");
        html_text(&p->out, p->id);
        buf_adds(&p->out, "/approve\">Yes, do it</button></p>\n</div>\n</form>\n");
    }
    buf_adds(&p->out, "</section>\n");
    answers_part(p, q);
    if (frame_number(q, "count") == 1)
        only_case_part(p, q);
    else
        waiting_part(p, q);
    frame_end(p);
}
