/* graph.c - see graph.h. */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "defender.h"
#include "mime.h"
#include "quota.h"
#include "rest.h"
#include "token.h"

#define AUTH       "Authorization: Bearer "
#define TIMEOUT_MS (240 * SECOND_MS) /* section 7.6; the service gives up after 180 or 200 s */
#define QUERY_MAX  (256 * 1024)      /* bytes of a body */

struct graph {
    struct graph_options o;
    char *graph_url, *api_url;
};

static const struct call {
    const char *path, *role;
} calls[] = {
    [GRAPH_API_GRAPH] = {"/v1.0/security/runHuntingQuery", "ThreatHunting.Read.All"},
    [GRAPH_API_DEFENDER] = {"/api/advancedqueries/run", "AdvancedQuery.Read.All"},
};

enum err_code graph_new(const struct graph_options *o, struct graph **ret, struct err *e)
{
    AUTO(graph_freep) struct graph *g = calloc(1, sizeof *g);

    if (!g)
        return err_set(e, ERR_NOMEM, "graph");
    g->o = *o;
    if (!g->o.timeout_ms)
        g->o.timeout_ms = TIMEOUT_MS;
    g->graph_url = strdup(o->graph_url);
    g->api_url = strdup(o->api_url);
    if (!g->graph_url || !g->api_url)
        return err_set(e, ERR_NOMEM, "graph");
    *ret = g;
    g = NULL;
    return ERR_OK;
}

void graph_use_quota(struct graph *g, struct quota *quota)
{
    g->o.quota = quota;
}

void graph_free(struct graph *g)
{
    if (!g)
        return;
    free(g->graph_url);
    free(g->api_url);
    free(g);
}

/* ---- what an answer means ---------------------------------------------------------------------- */

/* What a status other than 200 means (sections 5, 7.1); the first row that fits. */
static const struct outcome {
    int first, last;
    enum err_code code;
    const char *cure;
} outcomes[] = {
    {400, 400, ERR_REFUSED, NULL}, /* the query, or an answer over the size that is given out */
    {401, 401, ERR_DENIED, "a fresh token was refused as well"},
    {403, 403, ERR_FORBIDDEN, "and consent again"},
    {404, 404, ERR_REFUSED, "this cloud or tenant has no advanced hunting"},
    {408, 408, ERR_AGAIN, NULL},
    {429, 429, ERR_THROTTLED, NULL},
    {400, 499, ERR_REFUSED, NULL},
    {0, 9999, ERR_AGAIN, NULL}, /* a 500 or 504 with an empty message: a query that took too long */
};

/* A page with one of these is of whoever stands before the service, and says nothing of a query or a permission, as in
 * defender_exchange.c. */
static bool is_gateways(const struct rest_answer *a, enum err_code parsed)
{
    return (a->status == 400 || a->status == 403 || a->status == 404) && a->body_len && parsed;
}

static enum err_code refusal(const struct call *c, const char *token, const struct rest_answer *a,
                             struct err *e)
{
    AUTO(json_freep) struct json *doc = NULL;
    AUTO(buf_clear) struct buf says = BUF_INIT(4096), cure = BUF_INIT(256);
    const struct outcome *o = outcomes;
    const char *code, *message;
    enum err_code parsed;
    long status;

    if (a->body)
        json_mend(a->body);
    parsed = json_parse(a->body, a->body_len, &doc, NULL); /* section 7.1: it need not parse */
    status = is_gateways(a, parsed) ? 0 : a->status;
    code = json_get_string(json_get(doc, "error"), "code");
    message = token_unsaid(json_get_string(json_get(doc, "error"), "message"), token);
    mime_clean_line(&says, message ? message : "");
    while (status < o->first || status > o->last)
        o++;
    if (o->code == ERR_FORBIDDEN)
        buf_addf(&cure, "; give the application the permission %s, %s", c->role, o->cure);
    else if (o->cure)
        buf_addf(&cure, "; %s", o->cure);
    (void)err_set(e, o->code, "POST %s: HTTP %ld%s%.60s%s%.250s%s", c->path, a->status,
                  code ? " " : "", code ? code : "", says.len ? ": " : "", buf_text(&says),
                  buf_text(&cure));
    e->retry_ms =
        o->code == ERR_THROTTLED ? defender_throttle_ms(a->retry_ms, message) : a->retry_ms;
    return o->code;
}

/* ---- the call ---------------------------------------------------------------------------------- */

static void write_body(struct buf *out, enum graph_api api, const char *query, int64_t from_ms)
{
    struct json_out o = JSON_OUT(out);
    char from[CLOCK_TEXT_SIZE];

    json_out_object(&o, NULL);
    json_out_string(&o, "Query", query);
    if (api == GRAPH_API_GRAPH && from_ms) /* a start alone: section 5.2 */
        json_out_string(&o, "Timespan", clock_format(from_ms, from));
    json_out_object_end(&o);
}

/* One request. *ret_stale: 401, or 403 to an old one, and a newer token may be had. */
static enum err_code attempt(struct graph *g, enum graph_api api, const char *body,
                             struct rest_answer *answer, bool *ret_stale, struct err *e)
{
    struct token *token = api == GRAPH_API_GRAPH ? g->o.token : g->o.defender_token;
    AUTO(buf_clear) struct buf auth = BUF_INIT(sizeof AUTH + TOKEN_MAX), url = BUF_INIT(4096);
    struct rest_request q = {.method = "POST",
                             .headers = {"Accept: application/json", NULL,
                                         "Content-Type: application/json; charset=utf-8"},
                             .body = body,
                             .body_len = strlen(body),
                             .timeout_ms = g->o.timeout_ms,
                             .max_answer = GRAPH_ANSWER_MAX,
                             .may_repeat = true};
    enum err_code code;

    *ret_stale = false;
    buf_adds(&auth, AUTH);
    code = token_get(token, &auth, e);
    if (code && code != ERR_AGAIN && code != ERR_STOPPING && code != ERR_NOMEM)
        e->code = code = ERR_DENIED;
    if (!code) /* nothing is kept in reserve: nobody else has a part in this budget */
        code = quota_take(g->o.quota, true, e);
    buf_addf(&url, "%s%s", api == GRAPH_API_GRAPH ? g->graph_url : g->api_url, calls[api].path);
    q.url = buf_text(&url);
    q.headers[1] = buf_text(&auth);
    if (!code)
        code = rest_do(g->o.rest, &q, answer, e);
    if (code == ERR_UNKNOWN || code == ERR_IO || code == ERR_TIMEOUT)
        e->code = code = ERR_AGAIN; /* it only reads */
    if (code == ERR_TOO_BIG)
        (void)err_set(e, code, "the answer is over %zu MiB: let the query project fewer columns",
                      GRAPH_ANSWER_MAX >> 20);
    if (code) {
        (void)err_in(e, "POST %s", calls[api].path);
    } else if (answer->status != 200) {
        code = refusal(&calls[api], auth.data + strlen(AUTH), answer, e);
        *ret_stale = (code == ERR_DENIED && token_drop(token, auth.data + strlen(AUTH))) ||
                     (code == ERR_FORBIDDEN && token_renew(token, auth.data + strlen(AUTH)));
        if (code == ERR_THROTTLED)
            quota_block(g->o.quota, e->retry_ms);
    }
    token_wipe(&auth);
    return code;
}

enum err_code graph_hunt(struct graph *g, enum graph_api api, const char *query, int64_t from_ms,
                         struct json **ret, struct err *e)
{
    AUTO(rest_answer_clear) struct rest_answer answer = {0};
    AUTO(buf_clear) struct buf body = BUF_INIT(QUERY_MAX);
    struct json *doc = NULL;
    struct err own = {0};
    bool stale = false;
    enum err_code code;

    e = e ? e : &own; /* what it says is read here, too */
    write_body(&body, api, query, from_ms);
    if (buf_failed(&body))
        return err_set(e, buf_failed(&body) == ERR_NOMEM ? ERR_NOMEM : ERR_REFUSED,
                       "the query is too long");
    code = attempt(g, api, buf_text(&body), &answer, &stale, e);
    if (stale) {
        rest_answer_clear(&answer);
        code = attempt(g, api, buf_text(&body), &answer, &stale, e);
    }
    if (code)
        return code;
    if (answer.body)
        json_mend(answer.body);
    code = json_parse(answer.body, answer.body_len, &doc, e);
    if (!code && json_type(doc) != JSON_OBJECT)
        code = err_set(e, ERR_INVALID, "the answer is no object");
    if (code) {
        json_free(doc);
        e->code = code = code == ERR_NOMEM ? ERR_NOMEM : ERR_AGAIN;
        return err_in(e, "POST %s", calls[api].path);
    }
    *ret = doc;
    return ERR_OK;
}
