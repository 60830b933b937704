/* admin.c - see admin.h. One table of routes; a route renders into a buf and says the status.
 *
 * What reads or writes the store stands in line for it (line.h): a database that does not answer would hold up the one
 * HTTP thread, and with it /healthz, by which whoever supervises the process tells whether it is alive. There are three
 * lines: who gives an order, or asks whether cordon is ready, does not stand behind somebody who looks at something, and
 * nobody behind a silence that is held against the cases of a week: the kill switch waited ten seconds for that. */
#include "admin.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api.h"
#include "arguments.h"
#include "console.h"
#include "door.h"
#include "explain.h"
#include "hunting.h"
#include "desk.h"
#include "id.h"
#include "json.h"
#include "line.h"
#include "log.h"
#include "mute.h"
#include "mute_desk.h"
#include "preview.h"
#include "readiness.h"
#include "routes.h"
#include "scrape.h"

#define ANSWER_MAX  (32 * 1024 * 1024)
#define WAITING_MAX 256 /* in each line */
/* Of an order's body: all that one may say, each byte of it an escape of six, as of a program that writes ASCII alone. */
#define ORDER_MAX (6 * (MUTE_WHEN_MAX + DESK_WHY_MAX + DESK_MACHINE_MAX + 3 * DESK_WHO_MAX) + 1024)

enum admin_line { LINE_LOOKS, LINE_ORDERS, LINE_SILENCES, LINES };

struct admin {
    struct admin_options o;
    atomic_bool stopping;
    atomic_bool over; /* nobody waits for an answer any more */
    struct console *console;
    struct line *lines[LINES];
};

/* Renders an answer. Returns an HTTP status; 4xx and 5xx: e->text is the problem's detail. */
struct page {
    struct admin *a;
    struct http_request *r;
    const char *id;   /* of the path; "" when it has none */
    struct json *doc; /* of an order: its body, whose members are known; NULL: it is empty */
    struct buf out;
    const char *content_type;
    struct err e;
};

/* ---- pages ------------------------------------------------------------------------------------ */

static unsigned healthz(struct page *p)
{
    buf_adds(&p->out, "{\"status\":\"alive\"}");
    return 200;
}

static unsigned readyz(struct page *p)
{
    return readiness_write(p->a->o.engine, atomic_load(&p->a->stopping), &p->out) ? 200 : 503;
}

static unsigned metrics_page(struct page *p)
{
    const struct admin_options *o = &p->a->o;

    p->content_type = "text/plain; version=0.0.4; charset=utf-8";
    scrape_write(o->engine, o->senders, o->version, o->started_ms, &p->out);
    return 200;
}

/* ---- the API ---------------------------------------------------------------------------------- */

static unsigned status_of(enum err_code code)
{
    switch (code) {
    case ERR_OK:
        return 200;
    case ERR_INVALID:
        return 400;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_CONFLICT:
        return 409;
    default:
        return 503;
    }
}

/* limit and cursor, which every list has. */
static enum err_code paging(struct page *p, size_t *ret_limit, int64_t *ret_before)
{
    const char *limit = http_query_param(p->r, "limit");
    const char *cursor = http_query_param(p->r, "cursor");
    int64_t value = API_LIMIT_DEFAULT;

    if (limit) {
        value = 0;
        for (const char *c = limit; *c && value <= API_LIMIT_MAX; c++)
            value = *c >= '0' && *c <= '9' ? value * 10 + (*c - '0') : API_LIMIT_MAX + 1;
        if (value < 1 || value > API_LIMIT_MAX)
            return err_set(&p->e, ERR_INVALID, "limit: expected a number from 1 to %d",
                           API_LIMIT_MAX);
    }
    *ret_limit = (size_t)value;
    *ret_before = 0;
    return cursor ? id_parse(cursor, ret_before, &p->e) : ERR_OK;
}

/* "No cases" would be the answer to another question than the one that was meant: a tenant is one of the
 * configuration's, or one that it had, whose cases are there. */
static enum err_code known_tenant(struct page *p, const char *name)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->a->o.engine);
    AUTO(arena_freep) struct arena *arena = arena_new(0);
    const struct case_filter of = {.tenant = name, .limit = 1};
    struct case_record *list;
    const char *known = "";
    size_t n = 0;
    enum err_code code;

    if (config_tenant(rt->config, name))
        return ERR_OK;
    code = arena ? store_case_list(p->a->o.engine->store, arena, &of, &list, &n, &p->e)
                 : err_set(&p->e, ERR_NOMEM, "tenant");
    if (code || n)
        return code;
    for (size_t i = 0; known && i < rt->config->n_tenants; i++)
        known = arena_fmt(arena, "%s%s%s", known, i ? ", " : "", rt->config->tenants[i].name);
    return err_set(&p->e, ERR_INVALID,
                   "tenant: there is no '%.60s', nor a case of one; there are: %s", name,
                   known ? known : "others");
}

static unsigned cases(struct page *p)
{
    const char *since = http_query_param(p->r, "since");
    struct case_filter f = {.state = http_query_param(p->r, "state"),
                            .tenant = http_query_param(p->r, "tenant")};
    enum err_code code = paging(p, &f.limit, &f.before_id);

    if (!code && f.state && case_state_parse(f.state) == CASE_STATES)
        code = err_set(
            &p->e, ERR_INVALID,
            "state: expected received, expanding, deciding, acting, waiting, done, failed or "
            "dropped");
    if (!code && f.tenant)
        code = known_tenant(p, f.tenant);
    if (!code && since &&
        (code = settings_since(since, clock_wall_ms(p->a->o.engine->clock), &f.since, &p->e)))
        (void)err_in(&p->e, "since");
    if (!code)
        code = api_cases(p->a->o.engine->store, &f, &p->out, &p->e);
    return status_of(code);
}

/* The thing that the path names by its id; a case also by its alert's. */
static enum err_code path_id(struct page *p, const char *what, int64_t *ret)
{
    if (strcmp(what, "case") == 0)
        return api_case_named(p->a->o.engine->store, p->id, ret, &p->e);
    if (!id_parse(p->id, ret, NULL))
        return ERR_OK;
    return err_set(&p->e, ERR_NOT_FOUND, "there is no %s with the id %.40s", what, p->id);
}

static unsigned one_case(struct page *p)
{
    int64_t id;
    enum err_code code = path_id(p, "case", &id);

    if (!code)
        code = api_case(p->a->o.engine->store, id, &p->out, &p->e);
    return status_of(code);
}

static unsigned explain(struct page *p)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->a->o.engine);
    int64_t id;
    enum err_code code = path_id(p, "case", &id);

    if (!code)
        code = explain_case(p->a->o.engine->store, id, rt->config->policy, &p->out, &p->e);
    return status_of(code);
}

static unsigned notice_of_case(struct page *p)
{
    int64_t id;
    enum err_code code = path_id(p, "case", &id);

    if (!code)
        code = preview_case(p->a->o.engine, id, &p->out, &p->e);
    return status_of(code);
}

static unsigned isolations(struct page *p)
{
    struct isolation_filter f = {.machine = http_query_param(p->r, "machine")};
    enum err_code code = paging(p, &f.limit, &f.before_id);

    if (!code)
        code = arguments_flag(p->r, "open", &f.open_only, &p->e);
    if (!code && f.machine && !*f.machine)
        code = err_set(&p->e, ERR_INVALID, "machine: expected a machine's name or id");
    if (!code)
        code = api_isolations(p->a->o.engine->store, &f, &p->out, &p->e);
    return status_of(code);
}

/* The cases of one that has many, by the page; `usual` at once where nobody says how many. */
static enum err_code paging_of_one(struct page *p, size_t usual, size_t *ret_limit,
                                   int64_t *ret_after)
{
    enum err_code code = paging(p, ret_limit, ret_after);

    if (!http_query_param(p->r, "limit"))
        *ret_limit = usual;
    return code;
}

static unsigned one_isolation(struct page *p)
{
    int64_t id, after = 0;
    size_t limit = 0;
    enum err_code code = id_parse(p->id, &id, &p->e);

    if (code)
        code = err_set(&p->e, ERR_NOT_FOUND, "there is no isolation with this id");
    else
        code = paging_of_one(p, API_LIMIT_MAX, &limit, &after);
    if (!code)
        code = api_isolation(p->a->o.engine->store, id, after, limit, &p->out, &p->e);
    return status_of(code);
}

static unsigned questions(struct page *p)
{
    const char *word = http_query_param(p->r, "state");
    enum question_state state = word ? question_state_parse(word) : QUESTION_STATES;
    int64_t before;
    size_t limit;
    enum err_code code = paging(p, &limit, &before);

    if (!code && word && state == QUESTION_STATES)
        code =
            err_set(&p->e, ERR_INVALID, "state: expected open, approved, refused, expired or void");
    if (!code)
        code = api_questions(p->a->o.engine->store, state, before, limit, &p->out, &p->e);
    return status_of(code);
}

static unsigned one_question(struct page *p)
{
    int64_t id, after = 0;
    size_t limit = 0;
    enum err_code code = id_parse(p->id, &id, &p->e);

    if (code)
        code = err_set(&p->e, ERR_NOT_FOUND, "there is no question with this id");
    else
        code = paging_of_one(p, API_QUESTION_CASES, &limit, &after);
    if (!code)
        code = api_question(p->a->o.engine->store, id, after, limit, &p->out, &p->e);
    return status_of(code);
}

static unsigned sources(struct page *p)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->a->o.engine);
    struct engine *g = p->a->o.engine;

    return status_of(api_sources(g->store, rt->config, g->metrics, &p->out, &p->e));
}

static unsigned hunts(struct page *p)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->a->o.engine);

    return status_of(api_hunts(p->a->o.engine->store, rt->config, &p->out, &p->e));
}

static unsigned one_hunt(struct page *p)
{
    AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(p->a->o.engine);

    return status_of(api_hunt(p->a->o.engine->store, rt->config, p->id, &p->out, &p->e));
}

/* ---- orders ----------------------------------------------------------------------------------- */

typedef enum err_code (*desk_fn)(struct engine *g, const struct desk_order *o, struct err *e);

/* The members of the body are all optional; which of them an order knows stands with its route. what: whose id
 * the path holds, or NULL. */
static unsigned order(struct page *p, const char *what, desk_fn give, const char *done)
{
    struct json_out o = JSON_OUT(&p->out);
    const char *left = NULL;
    struct desk_order order = {.ret_besides = &left};
    const char *duration = NULL;
    char status[80]; /* words of ours */

    if (what && path_id(p, what, &order.id))
        return status_of(p->e.code);
    if (arguments_text(p->doc, "why", DESK_WHY_MAX, &order.why, &p->e) ||
        arguments_text(p->doc, "by", DESK_WHO_MAX, &order.who, &p->e) ||
        arguments_text(p->doc, "machine", DESK_MACHINE_MAX, &order.machine, &p->e) ||
        arguments_text(p->doc, "for", DESK_WHO_MAX, &duration, &p->e))
        return status_of(p->e.code);
    if (duration && settings_duration(duration, &order.for_ms, &p->e))
        return status_of(err_set(&p->e, ERR_INVALID, "for: expected a time such as 4h"));
    if (give(p->a->o.engine, &order, &p->e))
        return status_of(p->e.code);
    json_out_object(&o, NULL);
    (void)snprintf(status, sizeof status, "%s%s%s", done, left ? "; " : "", left ? left : "");
    json_out_string(&o, "status", status);
    if (what)
        json_out_id(&o, what, order.id);
    json_out_object_end(&o);
    return 200;
}

static unsigned retry_case(struct page *p)
{
    return order(p, "case", desk_retry, "retried");
}

static unsigned drop_case(struct page *p)
{
    return order(p, "case", desk_drop, "dropped");
}

static unsigned release_isolation(struct page *p)
{
    return order(p, "isolation", desk_release, "releasing");
}

static unsigned extend_isolation(struct page *p)
{
    return order(p, "isolation", desk_extend, "extended");
}

static unsigned approve(struct page *p)
{
    return order(p, "question", desk_approve, "answered: yes");
}

static unsigned refuse(struct page *p)
{
    return order(p, "question", desk_refuse, "answered: no");
}

static unsigned pause_all(struct page *p)
{
    return order(p, NULL, desk_pause, "paused");
}

static unsigned resume_all(struct page *p)
{
    return order(p, NULL, desk_resume, "resumed");
}

/* ?dry=1: it is only asked. */
static unsigned run_hunt(struct page *p)
{
    struct json_out o = JSON_OUT(&p->out);
    struct hunting_order order = {.name = p->id};
    int64_t id;

    if (arguments_flag(p->r, "dry", &order.dry, &p->e) ||
        arguments_text(p->doc, "by", DESK_WHO_MAX, &order.who, &p->e))
        return status_of(p->e.code);
    if (hunting_order(p->a->o.engine, &order, &id, &p->e))
        return status_of(p->e.code);
    json_out_object(&o, NULL);
    json_out_string(&o, "status", "ordered");
    json_out_string(&o, "hunt", p->id);
    json_out_id(&o, "order", id);
    json_out_object_end(&o);
    return 200;
}

/* ---- silences --------------------------------------------------------------------------------- */

static unsigned silences(struct page *p)
{
    bool open_only = false;
    int64_t before;
    size_t limit;
    enum err_code code = paging(p, &limit, &before);

    if (!code)
        code = arguments_flag(p->r, "open", &open_only, &p->e);
    if (!code)
        code = mute_desk_list(p->a->o.engine->store, open_only, before, limit, &p->out, &p->e);
    return status_of(code);
}

/* Nobody was told of what it withheld: however much that is, all of it can be read. */
static unsigned one_silence(struct page *p)
{
    int64_t id, before = 0;
    size_t limit = 0;
    enum err_code code = id_parse(p->id, &id, &p->e);

    if (code)
        code = err_set(&p->e, ERR_NOT_FOUND, "there is no silence with this id");
    else
        code = paging(p, &limit, &before);
    if (!code)
        code = mute_desk_show(p->a->o.engine->store, id, before, limit, &p->out, &p->e);
    return status_of(code);
}

/* A preview needs `when` alone. */
static unsigned take_silence(struct page *p, bool preview)
{
    struct engine *g = p->a->o.engine;
    struct mute_order o = {0};
    const char *duration, *until;

    if (arguments_text(p->doc, "when", MUTE_WHEN_MAX, &o.when, &p->e) ||
        arguments_text(p->doc, "why", DESK_WHY_MAX, &o.why, &p->e) ||
        arguments_text(p->doc, "by", DESK_WHO_MAX, &o.who, &p->e) ||
        arguments_text(p->doc, "for", DESK_WHO_MAX, &duration, &p->e) ||
        arguments_text(p->doc, "until", DESK_WHO_MAX, &until, &p->e))
        return status_of(p->e.code);
    if (duration && settings_duration(duration, &o.for_ms, &p->e))
        return status_of(err_set(&p->e, ERR_INVALID, "for: expected a time such as 4h"));
    if (duration && !o.for_ms) /* which means that none was given */
        return status_of(err_set(&p->e, ERR_INVALID, "for: a silence lasts 1m to 30d"));
    if (until && settings_time(until, &o.until_ms, &p->e))
        return status_of(
            err_set(&p->e, ERR_INVALID, "until: expected a time such as 2026-01-01T00:00:00Z"));
    return status_of(preview ? mute_desk_preview(g, o.when, &p->out, &p->e)
                             : mute_desk_add(g, &o, &p->out, &p->e));
}

static unsigned add_silence(struct page *p)
{
    return take_silence(p, false);
}

static unsigned preview_silence(struct page *p)
{
    return take_silence(p, true);
}

static unsigned approve_silence(struct page *p)
{
    return order(p, "silence", mute_desk_approve, "active");
}

static unsigned end_silence(struct page *p)
{
    return order(p, "silence", mute_desk_end, "ended");
}

/* ---- routing ---------------------------------------------------------------------------------- */

/* needs no token; POST instead of GET; needs nothing but this process; takes little of the store's time; or much */
enum {
    FOR_ALL = 1 << 0,
    POSTED = 1 << 1,
    AT_ONCE = 1 << 2,
    QUICK = 1 << 3,
    LONG = 1 << 4,
    ORDER = POSTED | QUICK
};

/* What a route takes, by name; any other is refused. */
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PAGING     "limit", "cursor"
#define SILENCE    NAMES("when", "for", "until", "why", "by")

static const struct admin_route {
    const char *path; /* one '*' stands for an id: page->id */
    unsigned flags;
    unsigned (*page)(struct page *p);
    const char *const *query;   /* parameters; NULL: none, where the path is one of the API */
    const char *const *members; /* of an order's body */
} routes[] = {
    {"/healthz", FOR_ALL | AT_ONCE, healthz, NULL, NULL},
    {"/readyz", FOR_ALL | QUICK, readyz, NULL, NULL},
    {"/metrics", 0, metrics_page, NULL, NULL},
    {"/api/cases", 0, cases, NAMES("state", "tenant", "since", PAGING), NULL},
    {"/api/cases/*", 0, one_case, NULL, NULL},
    {"/api/cases/*/explain", 0, explain, NULL, NULL},
    {"/api/cases/*/notice", 0, notice_of_case, NULL, NULL},
    {"/api/cases/*/retry", ORDER, retry_case, NULL, NAMES("why", "by")},
    {"/api/cases/*/drop", ORDER, drop_case, NULL, NAMES("why", "by")},
    {"/api/hunts", 0, hunts, NULL, NULL},
    {"/api/hunts/*", 0, one_hunt, NULL, NULL},
    {"/api/hunts/*/run", ORDER, run_hunt, NAMES("dry"), NAMES("by")},
    {"/api/isolations", 0, isolations, NAMES("open", "machine", PAGING), NULL},
    {"/api/isolations/*", 0, one_isolation, NAMES(PAGING), NULL},
    {"/api/isolations/*/release", ORDER, release_isolation, NULL, NAMES("why", "by", "machine")},
    {"/api/isolations/*/extend", ORDER, extend_isolation, NULL,
     NAMES("for", "why", "by", "machine")},
    {"/api/questions", 0, questions, NAMES("state", PAGING), NULL},
    {"/api/questions/*", 0, one_question, NAMES(PAGING), NULL},
    {"/api/questions/*/approve", ORDER, approve, NULL, NAMES("why", "by")},
    {"/api/questions/*/refuse", ORDER, refuse, NULL, NAMES("why", "by")},
    {"/api/sources", 0, sources, NULL, NULL},
    {"/api/silences", 0, silences, NAMES("open", PAGING), NULL},
    {"/api/silences/add", POSTED | LONG, add_silence, NULL, SILENCE},
    {"/api/silences/preview", POSTED | LONG, preview_silence, NULL, SILENCE},
    {"/api/silences/*", 0, one_silence, NAMES(PAGING), NULL},
    {"/api/silences/*/approve", ORDER, approve_silence, NULL, NAMES("why", "by")},
    {"/api/silences/*/end", ORDER, end_silence, NULL, NAMES("why", "by")},
    {"/api/pause", ORDER, pause_all, NULL, NAMES("why", "by")},
    {"/api/resume", ORDER, resume_all, NULL, NAMES("why", "by")},
};

static const struct admin_route *find_route(const char *path, char id[ROUTE_ID_SIZE])
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (route_fits(routes[i].path, path, id))
            return &routes[i];
    return NULL;
}

/* A form of another page cannot be sent with this type. */
static bool is_json(struct http_request *r)
{
    unsigned count = 0;
    const char *type = http_header(r, "Content-Type", &count);
    size_t len = type ? strcspn(type, "; \t") : 0;

    return count == 1 && len == 16 && strncasecmp(type, "application/json", 16) == 0;
}

static enum http_next head(struct http_request *r, void *ctx, size_t *ret_body_max)
{
    static const char *const read[][2] = {{"Allow", "GET, HEAD"}, {NULL, NULL}};
    static const char *const order[][2] = {{"Allow", "POST"}, {NULL, NULL}};
    static const char *const challenge[][2] = {{"WWW-Authenticate", "Bearer"}, {NULL, NULL}};
    const struct admin *a = ctx;
    char id[ROUTE_ID_SIZE];
    const struct admin_route *route = find_route(http_path(r), id);
    const char *method = http_method(r);
    bool gives_order = route && route->flags & POSTED;
    enum door_answer door = DOOR_IN;

    if (console_serves(http_path(r)))
        return console_handler().head(r, a->console, ret_body_max);
    if (route && !(route->flags & FOR_ALL)) {
        AUTO(runtime_unrefp) struct runtime *rt = engine_runtime(a->o.engine);

        door = door_knock(&rt->config->admin, r);
    }

    *ret_body_max = ORDER_MAX;
    if (!route)
        http_reply_problem(r, 404, "Nothing is served under this path.", NULL);
    else if (gives_order && strcmp(method, "POST") != 0)
        http_reply_problem(r, 405, "This path takes orders: POST.", order);
    else if (!gives_order && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        http_reply_problem(r, 405, "This path is only for reading.", read);
    else if (door == DOOR_TOKEN)
        http_reply_problem(r, 401, "The admin token is missing or wrong.", challenge);
    else if (door == DOOR_FOREIGN)
        http_reply_problem(r, 403,
                           "Without an admin token this side is for this host alone: name it as "
                           "127.0.0.1 or localhost.",
                           NULL);
    else if (gives_order && !is_json(r))
        http_reply_problem(r, 415, "Orders are JSON: application/json.", NULL);
    else
        return HTTP_GO_ON;
    return HTTP_ANSWERED;
}

/* Health and metrics are asked by programs that may add something of their own. */
static unsigned answer(const struct admin_route *route, struct page *p)
{
    enum err_code code = ERR_OK;

    if (strncmp(route->path, "/api/", 5) == 0)
        code = arguments_query(p->r, route->query, &p->e);
    if (!code && route->flags & POSTED)
        code = arguments_body(p->r, route->members, &p->doc, &p->e);
    return code ? status_of(code) : route->page(p);
}

/* In a line's thread, perhaps when the server has given the request up; healthz: in the server's. */
static void serve(struct http_request *r, void *ctx)
{
    char id[ROUTE_ID_SIZE];
    struct admin *a = ctx;
    const struct admin_route *route = find_route(http_path(r), id);
    struct page p = {
        .a = a, .r = r, .id = id, .out = BUF_INIT(ANSWER_MAX), .content_type = "application/json"};
    unsigned status;

    if (atomic_load(&a->over)) {
        http_reply_problem(r, 503, "The server is stopping.", NULL);
        return;
    }
    if (!route) { /* head() let it pass: it is the console's */
        console_handler().body(r, a->console);
        return;
    }
    status = answer(route, &p);
    json_free(p.doc);

    if (buf_failed(&p.out)) {
        http_reply_problem(r, 503, "The answer grew too large: ask for less with limit=.", NULL);
    } else if (status != 200 && (p.e.code || !p.out.len)) {
        http_reply_problem(r, status, p.e.text,
                           NULL); /* and not the half that was written by then */
    } else {
        const struct http_answer answer = {
            .status = status,
            .content_type = p.content_type,
            .body = buf_text(&p.out),
            .body_len = p.out.len,
            .headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}}};

        http_reply(r, &answer);
    }
    buf_clear(&p.out);
}

static enum admin_line line_of(const struct admin_route *route, struct http_request *r)
{
    if (!route) /* what the console is sent is an order, but for signing in and out */
        return strcmp(http_method(r), "POST") == 0 ? LINE_ORDERS : LINE_LOOKS;
    return route->flags & QUICK ? LINE_ORDERS : route->flags & LONG ? LINE_SILENCES : LINE_LOOKS;
}

static void body(struct http_request *r, void *ctx)
{
    char id[ROUTE_ID_SIZE];
    struct admin *a = ctx;
    const struct admin_route *route = find_route(http_path(r), id);

    if (route && route->flags & AT_ONCE)
        serve(r, a);
    else if (!http_keep_head(r) || !line_put(a->lines[line_of(route, r)], r))
        http_reply_problem(r, 503, "Too many requests wait for an answer; come again.", NULL);
}

struct http_handler admin_handler(void)
{
    return (struct http_handler){.head = head, .body = body};
}

enum err_code admin_new(const struct admin_options *o, struct admin **ret, struct err *e)
{
    struct admin *a = calloc(1, sizeof *a);
    enum err_code code;

    if (!a)
        return err_set(e, ERR_NOMEM, "admin");
    a->o = *o;
    code = console_new(&(struct console_options){.engine = o->engine,
                                                 .version = o->version,
                                                 .stopping = &a->stopping},
                       &a->console, e);
    for (int i = 0; i < LINES && !code; i++)
        code = line_new(serve, a, WAITING_MAX, &a->lines[i], e);
    if (code) {
        admin_free(a);
        return code;
    }
    *ret = a;
    return ERR_OK;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    atomic_store(&a->over, true);
    for (int i = 0; i < LINES; i++)
        line_free(a->lines[i]);
    console_free(a->console);
    free(a);
}

void admin_stopping(struct admin *a)
{
    atomic_store(&a->stopping, true);
}
