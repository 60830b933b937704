/* question_page.c - see question_page.h. */
#include "question_page.h"

#include <stdlib.h>
#include <string.h>

#include "approver.h"
#include "capability.h"
#include "desk.h"
#include "door.h"
#include "html.h"
#include "id.h"
#include "jwks.h"
#include "line.h"
#include "log.h"
#include "pause.h"
#include "question.h"
#include "question_end.h"
#include "ration.h"

#define WAITING_MAX 256
#define CASES_SHOWN 100
#define FORM_MAX    4096 /* an answer and its reason, each byte of it encoded */

struct question_page {
    struct engine *g;
    struct line *line;
    struct verify_env env; /* for approvers */
    struct ration refused; /* lines about who has not proven who he is */
};

/* One request, in the arena of its own. */
struct visit {
    int64_t invitation;
    bool answers; /* POST */
    const unsigned char *certificates;
    size_t certificates_len;
};

/* ---- reading ---------------------------------------------------------------------------------- */

struct view {
    struct arena *arena;
    const struct runtime *rt;
    int64_t invitation;
    const char *person;
    bool proves; /* the link alone says nothing about who answers */
    struct question_record q;
    struct question_case *cases;
    struct answer_record *answers;
    size_t n_cases, n_answers;
    int64_t total;
    bool followed; /* by another question: a yes to this one is not enough */
    struct pause pause;
};

static enum err_code view_fn(struct db_tx *tx, void *arg, struct err *e)
{
    struct view *v = arg;
    int64_t id = 0;
    enum err_code code = invitation_load(tx, v->arena, v->invitation, &id, &v->person, e);

    if (!code)
        code = question_load(tx, v->arena, id, &v->q, e);
    if (!code)
        code = question_count_cases(tx, id, &v->total, e);
    if (!code)
        code = question_cases(tx, v->arena, id, 0, CASES_SHOWN, &v->cases, &v->n_cases, e);
    if (!code)
        code = answer_list(tx, v->arena, id, &v->answers, &v->n_answers, e);
    if (!code)
        code = question_is_followed(tx, id, &v->followed, e);
    return code ? code : pause_read(tx, v->rt, v->arena, &v->pause, e);
}

/* For the log: the case that it is about; 0: many. */
static int64_t about(const struct view *v)
{
    return v->n_cases == 1 ? v->cases->case_id : 0;
}

/* ---- the page --------------------------------------------------------------------------------- */

static void begin(struct buf *out, const char *headline)
{
    html_begin(out, "cordon");
    buf_adds(out, "<main>\n");
    html_line(out, "h1", NULL, headline);
}

static void facts(struct buf *out, const struct view *v)
{
    char when[CLOCK_TEXT_SIZE], id[ID_TEXT_SIZE];

    buf_adds(out, "<section>\n");
    html_pairs_begin(out);
    html_pair(out, "Why you are asked", v->q.what);
    for (size_t i = 0; i < v->n_cases; i++) {
        const struct question_case *c = &v->cases[i], *above = i ? c - 1 : NULL;

        html_pair(out, "Machine",
                  arena_fmt(v->arena, "%s (%s)", c->machine_name ? c->machine_name : "no name",
                            c->machine_id ? c->machine_id : "no id"));
        /* what holds of a hundred is said once: where it is another, that is said, too */
        if (!above || strcmp(above->action, c->action) != 0)
            html_pair(out, "Action", c->action);
        if (!above || strcmp(above->tenant, c->tenant) != 0)
            html_pair(out, "Tenant", c->tenant);
        html_pair(out, "Alert",
                  arena_fmt(v->arena, "%s, case %s", c->alert_id, id_format(c->case_id, id)));
    }
    if (v->total > (int64_t)v->n_cases)
        html_pair(out, "And",
                  arena_fmt(v->arena, "%lld more", (long long)(v->total - (int64_t)v->n_cases)));
    html_pair(out, "Asked", clock_format(v->q.created, when));
    html_pair(out, "Until", clock_format(v->q.expires, when));
    if (v->q.people > 1)
        html_pair(out, "Persons needed", arena_fmt(v->arena, "%lld", (long long)v->q.people));
    for (size_t i = 0; i < v->n_answers; i++)
        html_pair(out, v->answers[i].yes ? "Yes" : "No",
                  arena_fmt(v->arena, "%s, %s%s%s", v->answers[i].person,
                            clock_format(v->answers[i].at, when), v->answers[i].why ? ": " : "",
                            v->answers[i].why ? v->answers[i].why : ""));
    html_pair(out, "You are", v->proves ? "whom your sign-in or certificate says" : v->person);
    html_pair(out, "Question", id_format(v->q.id, id));
    html_pairs_end(out);
    buf_adds(out, "</section>\n");
}

static void form(struct buf *out)
{
    buf_addf(out,
             "<form method=\"post\">\n<p><label>Your reason, for the record:<br>"
             "<input class=\"why\" name=\"why\" maxlength=\"%d\"></label></p>\n"
             "<p><button class=\"danger\" name=\"answer\" value=\"approve\">Yes, do it</button>\n"
             "<button name=\"answer\" value=\"refuse\">No, do not</button></p>\n</form>\n",
             DESK_WHY_MAX / 4); /* characters; the limit counts bytes */
}

static void send_page(struct http_request *r, unsigned status, struct buf *out)
{
    buf_adds(out, "</main>\n");
    html_end(out);
    html_reply(r, status, out, NULL);
}

static void not_found(struct http_request *r)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);

    begin(&out, "There is nothing to decide under this link.");
    send_page(r, 404, &out);
}

static void unavailable(struct http_request *r)
{
    static const char *const later[][2] = {{"Retry-After", "20"}, {NULL, NULL}};

    http_reply_problem(r, 503, "This cannot be read or written now; come again.", later);
}

/* What the question is now, said above the facts. */
static const char *headline(const struct view *v)
{
    switch (v->q.state) {
    case QUESTION_OPEN:
        return "A person must decide";
    case QUESTION_APPROVED:
        return "This was approved";
    case QUESTION_REFUSED:
        return "This was refused: nothing is done";
    default:
        return "This is over: nothing is done";
    }
}

/* said: what came of an answer, or NULL. */
static void show(struct http_request *r, const struct view *v, unsigned status, const char *said,
                 int64_t now)
{
    AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);

    begin(&out, headline(v));
    if (said)
        html_line(&out, "p", NULL, said);
    else if (v->q.state != QUESTION_OPEN)
        html_line(&out, "p", NULL, question_outcome(&v->q, v->arena));
    if (v->pause.on && (v->q.state == QUESTION_OPEN || (said && v->q.state == QUESTION_APPROVED)))
        html_line(
            &out, "p", NULL,
            arena_fmt(v->arena,
                      "cordon is %s. While that lasts no isolation is asked for, whatever the "
                      "answer: people are told so, and the case can be tried again afterwards.",
                      pause_words(&v->pause, v->arena)));
    facts(&out, v);
    if (v->q.state == QUESTION_OPEN && !question_is_over(&v->q, v->rt, now) && !said)
        form(&out);
    send_page(r, status, &out);
}

/* ---- answering -------------------------------------------------------------------------------- */

/* Who answers, by what he has proven; false: he was turned away. */
static bool prove(struct question_page *p, struct http_request *r, const struct config *c,
                  struct view *v, const char **ret_way)
{
    const struct visit *visit = http_data(r);
    struct approver who;

    approver_prove(c, &p->env, r, visit->certificates, visit->certificates_len,
                   runtime_clock_is_doubtful(v->rt, VERIFY_LEAST_MS), v->arena, &who);
    if (who.verdict == VERIFY_GOOD && who.name && who.name[0]) {
        v->person = who.name;
        *ret_way = who.way;
        return true;
    }
    if (ration_takes(&p->refused, clock_wall_ms(p->g->clock), "approvers_not_shown"))
        log_event(LOG_WARN, "approver_refused", LOG_ID("question", v->q.id),
                  LOG_ID("case", about(v)), LOG_STR("why", who.why));
    if (who.verdict == VERIFY_FORBIDDEN) {
        http_reply_problem(r, 403, "You are not one of those who may answer.", NULL);
    } else if (who.verdict == VERIFY_DENIED) {
        const char *const challenge[][2] = {{"WWW-Authenticate", who.challenge}, {NULL, NULL}};

        http_reply_problem(r, 401, "Who answers must prove who he is.",
                           who.challenge ? challenge : NULL);
    } else {
        unavailable(r);
    }
    return false;
}

/* The form as an answer; false: it is none. */
static bool read_form(struct http_request *r, const struct view *v, const char *way,
                      struct question_answer *ret)
{
    const char *answer = http_form_param(r, "answer"), *why = http_form_param(r, "why");

    if (!answer || (strcmp(answer, "approve") != 0 && strcmp(answer, "refuse") != 0) ||
        !http_form_readable(r, "why") || (why && strlen(why) > DESK_WHY_MAX))
        return false;
    *ret = (struct question_answer){.question = v->q.id,
                                    .person = v->person,
                                    .way = way,
                                    .why = why && why[strspn(why, " \t\r\n")] ? why : NULL,
                                    .yes = strcmp(answer, "approve") == 0};
    return true;
}

static void answer(struct question_page *p, struct http_request *r, const struct config *c,
                   struct view *v)
{
    const char *way = "link";
    enum question_state state = QUESTION_OPEN;
    struct question_answer a;
    struct err e = {0};
    enum err_code code;
    const char *said;

    if (v->proves && !prove(p, r, c, v, &way))
        return;
    if (!read_form(r, v, way, &a)) {
        AUTO(buf_clear) struct buf out = BUF_INIT(HTML_PAGE_MAX);

        begin(&out, "This is no answer.");
        html_line(&out, "p", NULL, "Open the link again and use its form.");
        send_page(r, 400, &out);
        return;
    }
    code = question_answer(p->g, &a, &state, &e);
    said = code                     ? e.text
           : state == QUESTION_OPEN ? "Your yes is written. Another person must say yes, too."
           : a.yes && v->followed ? "Your yes is written. It takes a yes to another question, too."
           : a.yes && v->pause.on ? "Your yes is written."
           : a.yes                ? "Your yes is written: what waited for it goes on."
                                  : "Your no is written: nothing is done.";
    if ((code && code != ERR_CONFLICT) || db_read(p->g->store->db, view_fn, v, &e)) {
        log_event(LOG_ERROR, "answer_not_written", LOG_ID("question", v->q.id),
                  LOG_ID("case", about(v)), LOG_ERR(&e));
        unavailable(r);
        return;
    }
    show(r, v, code ? 409 : 200, said, clock_wall_ms(p->g->clock));
}

static void serve(struct http_request *r, void *ctx)
{
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    struct question_page *p = ctx;
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->g);
    const struct visit *visit = http_data(r);
    struct view v = {.arena = arena,
                     .rt = rt,
                     .invitation = visit->invitation,
                     .proves = approver_is_wanted(rt->config)};
    struct err e = {0};
    enum err_code code =
        arena ? db_read(p->g->store->db, view_fn, &v, &e) : err_set(&e, ERR_NOMEM, "a page");

    if (code == ERR_NOT_FOUND) {
        not_found(r);
    } else if (code) {
        log_event(LOG_ERROR, "question_unreadable", LOG_ERR(&e));
        unavailable(r);
    } else if (visit->answers) {
        answer(p, r, rt->config, &v);
    } else {
        show(r, &v, 200, NULL, clock_wall_ms(p->g->clock));
    }
}

/* ---- HTTP ------------------------------------------------------------------------------------- */

/* A browser shows its certificate, and a proxy the sign-in, whoever made the page that sends a form: with a link of his
 * own one person could have others answer without their knowing. (Where the link is the proof there is nobody to trick.) */
static bool is_of_others(struct question_page *p, const struct http_request *r)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->g);

    return approver_is_wanted(rt->config) && door_is_foreign_page(r, rt->config->public_url);
}

static enum http_next head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    static const char *const allow[][2] = {{"Allow", "GET, HEAD, POST"}, {NULL, NULL}};
    struct question_page *p = ctx;
    struct arena *arena = http_arena(r);
    struct visit *v = arena ? arena_alloc(arena, sizeof *v) : NULL;
    const char *method = http_method(r);
    enum err_code code;

    *ret_body_max = FORM_MAX;
    if (!v || !http_client_certificates(r, &v->certificates, &v->certificates_len)) {
        unavailable(r);
        return HTTP_ANSWERED;
    }
    v->answers = strcmp(method, "POST") == 0;
    if (!v->answers && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        http_reply_problem(r, 405, "This page is read, and its form is sent.", allow);
        return HTTP_ANSWERED;
    }
    code = capability_check(p->g->capabilities, CAPABILITY_APPROVE,
                            http_path(r) + strlen(QUESTION_PATH), clock_wall_ms(p->g->clock),
                            &v->invitation, NULL, NULL);
    if (code == ERR_NOT_FOUND)
        not_found(r);
    else if (code)
        unavailable(r);
    else if (v->answers && !html_is_form(r))
        http_reply_problem(r, 415, "An answer is sent by the form of this page.", NULL);
    else if (v->answers && is_of_others(p, r))
        http_reply_problem(r, 403,
                           "This form was not sent from the page of this link: nothing was done. "
                           "Open the link and answer there.",
                           NULL);
    else {
        http_set_data(r, v);
        return HTTP_GO_ON;
    }
    return HTTP_ANSWERED;
}

static void body(struct http_request *r, void *ctx)
{
    struct question_page *p = ctx;

    /* the token of who answers is looked at in line, perhaps when the server has given the request up */
    if (!http_keep_head(r) || !line_put(p->line, r))
        unavailable(r);
}

struct http_handler question_page_handler(void)
{
    return (struct http_handler){.head = head, .body = body};
}

enum err_code question_page_new(struct engine *g, struct rest *rest, struct question_page **ret,
                                struct err *e)
{
    struct question_page *p = calloc(1, sizeof *p);
    enum err_code code;

    if (!p)
        return err_set(e, ERR_NOMEM, "the page of questions");
    p->g = g;
    p->env.clock = g->clock;
    code = jwks_new(&(struct jwks_options){.rest = rest, .clock = g->clock}, &p->env.keys, e);
    if (!code)
        code = line_new(serve, p, WAITING_MAX, &p->line, e);
    if (code) {
        jwks_free(p->env.keys);
        free(p);
        return code;
    }
    ration_init(&p->refused);
    *ret = p;
    return ERR_OK;
}

void question_page_free(struct question_page *p)
{
    if (!p)
        return;
    line_free(p->line);
    jwks_free(p->env.keys);
    ration_clear(&p->refused);
    free(p);
}
