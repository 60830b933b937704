/* console.c - see console.h. Two tables: the pages, and the orders that their forms give. */
#include "console.h"

#include <stdlib.h>
#include <string.h>

#include "console_pages.h"
#include "desk.h"
#include "hunting.h"
#include "id.h"
#include "log.h"
#include "ration.h"
#include "readiness.h"
#include "routes.h"

#define FORM_MAX       8192 /* an order and its reason, each byte of it encoded */
#define TOKEN_TEXT_MAX 1024

_Static_assert(DOOR_NAME_MAX == DESK_WHO_MAX, "who signs in can give orders by that name");

struct console {
    struct console_options o;
    struct door *door;
    struct ration refused; /* lines about who did not get in */
};

static const struct page_route {
    const char *path; /* one '*' stands for an id */
    void (*write)(struct console_page *p);
} pages[] = {
    {"/", console_overview},
    {"/cases", console_cases},
    {"/cases/*", console_case},
    {"/isolations", console_isolations},
    {"/isolations/*", console_isolation},
    {"/questions", console_questions},
    {"/questions/*", console_question},
};

enum { BY_NAME = 1 << 0, WHY_DEMANDED = 1 << 1 }; /* the path holds a name, no id */

static enum err_code run_hunt(struct engine *g, const char *name, const struct desk_order *o,
                              struct err *e)
{
    const struct hunting_order order = {.name = name, .who = o->who};
    int64_t id;

    return hunting_order(g, &order, &id, e);
}

static const struct order_route {
    const char *path, *what; /* what: whose id the path holds */
    unsigned flags;
    enum err_code (*give)(struct engine *g, const struct desk_order *o, struct err *e);
    const char *to;   /* where the browser goes on; '*' stands for the id again */
    const char *word; /* ?done=, which stands for: */
    const char *done; /* said there */
} orders[] = {
    {"/pause", NULL, WHY_DEMANDED, desk_pause, "/", "paused",
     "Paused: no new isolation is asked for. What Defender has taken already goes on."},
    {"/resume", NULL, 0, desk_resume, "/", "resumed",
     "Resumed: what was held back while it was paused is not made up for by itself; try those cases again."},
    {"/cases/*/retry", "case", 0, desk_retry, "/cases/*", "retried", "The case begins anew."},
    {"/cases/*/drop", "case", WHY_DEMANDED, desk_drop, "/cases/*", "dropped",
     "The case was let go: nothing more is begun for it. What Defender has taken already goes on, and how that "
     "ends is told."},
    {"/isolations/*/release", "isolation", WHY_DEMANDED, desk_release, "/isolations/*", "releasing",
     "The release is ordered; it is done when Defender confirms it."},
    {"/isolations/*/extend", "isolation", 0, desk_extend, "/isolations/*", "extended",
     "The isolation stays; people are asked again after that time."},
    {"/questions/*/approve", "question", 0, desk_approve, "/questions/*", "approved",
     "Your yes is written. What waited for it goes on, unless another person must say yes, too, or another question about "
     "it follows."},
    {"/questions/*/refuse", "question", 0, desk_refuse, "/questions/*", "refused",
     "Your no is written: nothing is done."},
    {"/hunts/*/run", "hunt", BY_NAME, NULL, "/", "ordered",
     "The hunt is ordered; look at its last run in a moment."},
};

static const char sign_in_path[] = "/login", sign_out_path[] = "/logout";

/* What head() finds out, for body(). */
struct visit {
    const struct page_route *page;
    const struct order_route *order; /* neither: signing in or out */
    bool signs_in;
    struct visitor visitor;
    char id[ROUTE_ID_SIZE];
};

static bool find(const char *path, struct visit *v)
{
    v->page = NULL;
    v->order = NULL;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (route_fits(pages[i].path, path, v->id)) {
            v->page = &pages[i];
            return true;
        }
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (route_fits(orders[i].path, path, v->id)) {
            v->order = &orders[i];
            return true;
        }
    v->signs_in = strcmp(path, sign_in_path) == 0;
    return v->signs_in || strcmp(path, sign_out_path) == 0;
}

bool console_serves(const char *path)
{
    struct visit v;

    return find(path, &v);
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void page_init(struct console_page *p, struct console *c, struct http_request *r,
                      struct runtime *rt, const struct visit *v)
{
    *p = (struct console_page){.g = c->o.engine,
                               .rt = rt,
                               .version = c->o.version,
                               .stopping = atomic_load(c->o.stopping),
                               .r = r,
                               .arena = http_arena(r),
                               .visitor = v && v->visitor.form ? &v->visitor : NULL,
                               .path = http_path(r),
                               .id = v ? v->id : "",
                               .now = clock_wall_ms(c->o.engine->clock),
                               .status = 200,
                               .out = BUF_INIT(HTML_PAGE_MAX)};
}

static void finish(struct console_page *p, const char *const extra[][2])
{
    html_reply(p->r, p->status, &p->out, extra);
    buf_clear(&p->out);
}

static const char *phrase(unsigned status)
{
    return status == 400   ? "This cannot be done so"
           : status == 403 ? "This is not taken"
           : status == 404 ? "There is no such thing"
           : status == 409 ? "This cannot be done now"
           : status < 500  ? "This does nothing"
                           : "Something is out of reach";
}

static const char *cure_of(unsigned status)
{
    return status == 400 ? "Go back, mend it, and send the form again."
           : status == 404
               ? "It may be older than cases are kept, or the link is cut short: look in the lists."
           : status == 409
               ? "Open it again to see how it stands now."
               : "Look at the overview before you try again: it may have been done all the same.";
}

static void trouble(struct console_page *p, unsigned status, const char *text, const char *cure,
                    const char *const extra[][2])
{
    p->status = status;
    buf_reset(&p->out);
    console_trouble(p, phrase(status), text, cure ? cure : cure_of(status));
    finish(p, extra);
}

/* ---- who, and whether he means it ------------------------------------------------------------- */

static void turn_away(struct console_page *p, const struct visit *v, enum door_answer answer)
{
    static const char *const challenge[][2] = {{"WWW-Authenticate", "Bearer"}, {NULL, NULL}};

    if (answer == DOOR_FOREIGN) {
        trouble(p, 403, "Without an admin token this side is for this host alone.",
                "Name it as 127.0.0.1 or localhost, or set admin.token_file.", NULL);
        return;
    }
    p->status = 401;
    console_sign_in(p, v->page ? p->path : "/",
                    v->page ? NULL : "You are not signed in any more: nothing was done.");
    finish(p, challenge);
}

/* Answers what is no business of the console; true: it did. */
static bool refuse(struct console *c, struct http_request *r, struct visit *v, bool posts)
{
    static const char *const read[][2] = {{"Allow", "GET, HEAD"}, {NULL, NULL}};
    static const char *const order[][2] = {{"Allow", "POST"}, {NULL, NULL}};
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(c->o.engine);
    const char *method = http_method(r);
    enum door_answer answer = DOOR_IN;
    struct console_page p;

    page_init(&p, c, r, rt, v);
    if (v->page && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        trouble(&p, 405, "This page is only for reading.", "Use the forms that stand on it.", read);
    else if (!v->page && !posts)
        trouble(&p, 405, "Opening this does nothing: it takes the form of a page.",
                "Open the page and send its form.", order);
    else if (posts && !html_is_form(r))
        trouble(&p, 415, "This is no form.",
                "Send the form of the page; programs give orders at /api, as JSON.", NULL);
    else if (posts && !door_is_own_page(r))
        trouble(&p, 403, "This form was not sent from a page of this console: nothing was done.",
                "Open the console itself and send its form. A proxy in front must pass Host on as "
                "the browser sent it.",
                NULL);
    else if (!v->signs_in &&
             (answer = door_let_in(c->door, &rt->config->admin, r, p.now, p.arena, &v->visitor)))
        turn_away(&p, v, answer);
    else
        return false;
    return true;
}

/* ---- orders ----------------------------------------------------------------------------------- */

/* A field of the form without the blanks around it; NULL: it is not there, or holds nothing. */
static const char *field(struct console_page *p, const char *name)
{
    const char *text = http_form_param(p->r, name);
    size_t len;

    if (!text)
        return NULL;
    text += strspn(text, " \t\r\n");
    len = strlen(text);
    while (len && strchr(" \t\r\n", text[len - 1]))
        len--;
    return len ? arena_strn(p->arena, text, len) : NULL;
}

static enum err_code take_field(struct console_page *p, const char *name, const char *label,
                                size_t max, bool demanded, const char **ret)
{
    *ret = field(p, name);
    if (!http_form_readable(p->r, name))
        return err_set(&p->e, ERR_INVALID, "%s cannot be read.", label);
    if (!*ret && demanded)
        return err_set(&p->e, ERR_INVALID, "%s is missing.", label);
    if (*ret && strlen(*ret) > max)
        return err_set(&p->e, ERR_INVALID, "%s is too long: %zu bytes are the most.", label, max);
    return ERR_OK;
}

static enum err_code take_order(struct console_page *p, const struct order_route *route,
                                struct desk_order *ret)
{
    const char *duration = NULL;
    enum err_code code = take_field(p, "by", "Your name, which goes into the record,", DESK_WHO_MAX,
                                    true, &ret->who);

    if (!code)
        code = take_field(p, "why", "The reason, which goes into the record,", DESK_WHY_MAX,
                          route->flags & WHY_DEMANDED, &ret->why);
    if (!code)
        code =
            take_field(p, "machine", "The machine's name", DESK_MACHINE_MAX, false, &ret->machine);
    if (!code)
        code = take_field(p, "for", "The time", DESK_WHO_MAX, false, &duration);
    if (!code && duration && settings_duration(duration, &ret->for_ms, NULL))
        code = err_set(&p->e, ERR_INVALID, "The time '%.40s' is none: write it as 4h or 3d.",
                       duration);
    if (!code && route->what && !(route->flags & BY_NAME) && id_parse(p->id, &ret->id, NULL))
        code =
            err_set(&p->e, ERR_NOT_FOUND, "There is no %s with the id %.40s.", route->what, p->id);
    return code;
}

static void give_order(struct console_page *p, const struct visit *v)
{
    const struct order_route *route = v->order;
    struct desk_order order = {0};
    const char *star = strchr(route->to, '*');
    enum err_code code;

    if (!door_is_own_form(p->visitor, http_form_param(p->r, DOOR_FORM))) {
        trouble(p, 403, "This form is not one that you were shown: nothing was done.",
                "Open the page again and send its form: you may have signed in anew, or cordon was "
                "started anew.",
                NULL);
        return;
    }
    code = take_order(p, route, &order);
    if (!code)
        code =
            route->give ? route->give(p->g, &order, &p->e) : run_hunt(p->g, p->id, &order, &p->e);
    if (code) {
        trouble(p,
                code == ERR_INVALID     ? 400
                : code == ERR_NOT_FOUND ? 404
                : code == ERR_CONFLICT  ? 409
                                        : 503,
                p->e.text, NULL, NULL);
        return;
    }
    html_redirect(p->r,
                  arena_fmt(p->arena, "%.*s%s?done=%s",
                            (int)(star ? star - route->to : (long)strlen(route->to)), route->to,
                            star ? p->id : "", route->word),
                  NULL);
}

/* A page is opened again, too, by its address, when somebody else has given another order since: of the kill switch nothing is said
 * that is not so now. */
static bool still_holds(struct console_page *p, const struct order_route *route)
{
    struct pause pause;

    if (route->give != desk_pause && route->give != desk_resume)
        return true;
    return readiness_pause(p->g, p->arena, &pause) && pause.on == (route->give == desk_pause);
}

/* What ?done= stands for; NULL: nothing. Words of ours alone are shown. */
static const char *said(struct console_page *p)
{
    const char *word = http_query_param(p->r, "done");

    for (size_t i = 0; word && i < sizeof orders / sizeof *orders; i++)
        if (strcmp(orders[i].word, word) == 0)
            return still_holds(p, &orders[i]) ? orders[i].done : NULL;
    return NULL;
}

/* A page is not shown as if nothing had been asked for. */
static bool can_be_read(struct console_page *p)
{
    static const char *const names[] = {"state", "tenant", "alert", "open", "cursor"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!http_query_readable(p->r, names[i])) {
            p->status = 400;
            (void)err_set(&p->e, ERR_INVALID, "%s: given twice, or not encoded as it must be",
                          names[i]);
            return false;
        }
    return true;
}

/* ---- signing in and out ----------------------------------------------------------------------- */

/* Of such text alone is a header made, as it is. */
static bool is_plain(const char *text)
{
    while (*text > ' ' && *text < 0x7f)
        text++;
    return !*text;
}

static void sign_in(struct console *c, struct console_page *p)
{
    const struct config_admin *admin = &p->rt->config->admin;
    const char *to = field(p, "to"), *name = NULL, *token = http_form_param(p->r, "token");
    const char *cookie = NULL;
    struct visit wanted;
    const char *wrong = NULL;

    if (!to || !is_plain(to) || !find(to, &wanted) ||
        !wanted.page) /* nowhere but to a page of ours */
        to = "/";
    if (!admin->token.text)
        ; /* nobody needs a session */
    else if (take_field(p, "by", "Your name", DOOR_NAME_MAX, true, &name))
        wrong = p->e.text;
    else if (!token || strlen(token) > TOKEN_TEXT_MAX ||
             !door_open(admin, p->r, token, name, p->now, p->arena, &cookie))
        wrong = "This is not the admin token.";
    if (wrong) {
        if (ration_takes(&c->refused, p->now, "console_sign_ins_not_shown"))
            log_event(LOG_WARN, "console_sign_in_refused", LOG_STR("peer", http_peer(p->r)));
        p->status = 401;
        console_sign_in(p, to, wrong);
        finish(p, (const char *const[][2]){{"WWW-Authenticate", "Bearer"}, {NULL, NULL}});
        return;
    }
    if (cookie)
        log_event(LOG_INFO, "console_signed_in", LOG_STR("by", name),
                  LOG_STR("peer", http_peer(p->r)));
    html_redirect(p->r, to,
                  cookie ? (const char *const[][2]){{"Set-Cookie", cookie}, {NULL, NULL}} : NULL);
}

static void sign_out(struct console_page *p)
{
    if (!door_is_own_form(p->visitor, http_form_param(p->r, DOOR_FORM)))
        trouble(p, 403, "This form is not one that you were shown: you are still signed in.",
                "Open the page again and send its form.", NULL);
    else
        html_redirect(p->r, "/",
                      (const char *const[][2]){{"Set-Cookie", door_close()}, {NULL, NULL}});
}

/* ---- HTTP ------------------------------------------------------------------------------------- */

static enum http_next head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    struct console *c = ctx;
    struct visit *v = http_arena(r) ? arena_alloc(http_arena(r), sizeof *v) : NULL;

    *ret_body_max = FORM_MAX;
    if (!v) {
        http_reply_problem(r, 503, "Out of memory; come again.", NULL);
        return HTTP_ANSWERED;
    }
    (void)find(http_path(r), v); /* it is: console_serves */
    if (refuse(c, r, v, strcmp(http_method(r), "POST") == 0))
        return HTTP_ANSWERED;
    http_set_data(r, v);
    return HTTP_GO_ON;
}

static void body(struct http_request *r, void *ctx)
{
    struct console *c = ctx;
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(c->o.engine);
    const struct visit *v = http_data(r);
    struct console_page p;

    page_init(&p, c, r, rt, v);
    if (v->page) {
        p.said = said(&p);
        if (can_be_read(&p))
            v->page->write(&p);
        if (p.status != 200 && !p.out.len)
            trouble(&p, p.status, p.e.text, NULL, NULL);
        else
            finish(&p, NULL);
    } else if (v->order) {
        give_order(&p, v);
    } else if (v->signs_in) {
        sign_in(c, &p);
    } else {
        sign_out(&p);
    }
}

struct http_handler console_handler(void)
{
    return (struct http_handler){.head = head, .body = body};
}

enum err_code console_new(const struct console_options *o, struct console **ret, struct err *e)
{
    struct console *c = calloc(1, sizeof *c);
    enum err_code code;

    if (!c)
        return err_set(e, ERR_NOMEM, "console");
    c->o = *o;
    ration_init(&c->refused);
    code = door_new(&c->door, e);
    if (code) {
        console_free(c);
        return code;
    }
    *ret = c;
    return ERR_OK;
}

void console_free(struct console *c)
{
    if (!c)
        return;
    door_free(c->door);
    ration_clear(&c->refused);
    free(c);
}
