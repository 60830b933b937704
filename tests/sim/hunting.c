/* hunting.c - see hunting.h. */
#include "hunting.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "glob.h"
#include "odata.h"

#define ROWS_MAX 100000 /* sections 5.1, 5.2 */

struct planted {
    char *query; /* a glob */
    struct json *doc;
    struct planted *next;
};

/* ---- planting ---------------------------------------------------------------------------------- */

static void planted_free(struct planted *p)
{
    free(p->query);
    json_free(p->doc);
    free(p);
}

void hunting_forget(struct house *h)
{
    for (struct planted *p = h->hunts, *next; p; p = next) {
        next = p->next;
        planted_free(p);
    }
    h->hunts = NULL;
}

static enum err_code check(const struct json *object, struct err *e)
{
    static const char *const names[] = {"query", "schema", "results", "count"};

    JSON_EACH (v, object) {
        size_t i = 0;

        while (i < 4 && strcmp(names[i], json_name(v)) != 0)
            i++;
        if (i == 4)
            return err_set(e, ERR_INVALID, "%s: unknown key", json_name(v));
    }
    if (!json_get_string(object, "query"))
        return err_set(e, ERR_INVALID, "query: expected a glob");
    JSON_EACH (column, json_get(object, "schema"))
        if (!json_get_string(column, "name") || !json_get_string(column, "type"))
            return err_set(e, ERR_INVALID, "schema: expected name and type of each column");
    if (json_type(json_get(object, "schema")) != JSON_ARRAY ||
        json_type(json_get(object, "results")) != JSON_ARRAY)
        return err_set(e, ERR_INVALID, "schema, results: expected arrays");
    return ERR_OK;
}

enum err_code hunting_put(struct house *h, const struct json *object, struct err *e)
{
    AUTO(buf_clear) struct buf text = BUF_INIT(SIZE_MAX);
    struct planted *p, **at;

    if (check(object, e))
        return ERR_INVALID;
    p = calloc(1, sizeof *p);
    assert(p); /* a simulator without memory can only stop */
    p->query = strdup(json_get_string(object, "query"));
    json_write(&text, object);
    if (json_parse(buf_text(&text), text.len, &p->doc, e)) {
        planted_free(p);
        return ERR_INVALID;
    }
    for (at = &h->hunts; *at && strcmp((*at)->query, p->query) != 0;)
        at = &(*at)->next;
    if (*at) {
        struct planted *old = *at;

        *at = old->next;
        planted_free(old);
    }
    p->next = h->hunts;
    h->hunts = p;
    return ERR_OK;
}

static bool is_text(const struct json *v, const char *text)
{
    int64_t number;
    char digits[24];

    if (json_string(v))
        return strcasecmp(json_string(v), text) == 0;
    if (!json_int64(v, &number))
        return false;
    snprintf(digits, sizeof digits, "%" PRId64, number);
    return strcmp(digits, text) == 0;
}

bool hunting_has_event(const struct house *h, const char *machine_id, const char *report_id,
                       const char *time)
{
    for (const struct planted *p = h->hunts; p; p = p->next)
        JSON_EACH (row, json_get(p->doc, "results"))
            if (is_text(json_get(row, "DeviceId"), machine_id) &&
                is_text(json_get(row, "ReportId"), report_id) &&
                is_text(json_get(row, "Timestamp"), time))
                return true;
    return false;
}

/* ---- answering --------------------------------------------------------------------------------- */

/* How names inside schema and rows are written: trap 6. */
struct casing {
    const char *schema, *results, *name, *type;
};

static const struct casing casings[] = {
    {"schema", "results", "name", "type"}, /* Graph's */
    {"Schema", "Results", "Name", "Type"}, /* Defender's */
    {"schema", "results", "Name", "Type"}, /* the sample that has both */
};

static bool is_within(const struct json *row, int64_t from, int64_t until)
{
    const char *time = json_get_string(row, "Timestamp");
    int64_t at;

    return !time || ticks_parse(time, &at, NULL) || (at >= from && at < until);
}

static void write_row(struct json_out *o, const struct json *row, const struct json *schema,
                      int64_t number, bool annotate)
{
    char name[160];

    json_out_object(o, NULL);
    JSON_EACH (cell, row) {
        if (annotate) /* section 5.2: beside typed columns */
            JSON_EACH (column, schema)
                if (strcmp(json_get_string(column, "name"), json_name(cell)) == 0) {
                    snprintf(name, sizeof name, "%.100s@odata.type", json_name(cell));
                    json_out_string(o, name, "#Edm");
                }
        if (number >= 0 && strcmp(json_name(cell), "ReportId") == 0)
            json_out_int(o, "ReportId", number);
        else
            json_out_value(o, json_name(cell), cell);
    }
    json_out_object_end(o);
}

static void write_rows(struct json_out *o, const struct planted *p, int64_t from, int64_t until,
                       bool annotate)
{
    const struct json *schema = json_get(p->doc, "schema"), *rows = json_get(p->doc, "results");
    int64_t count = 0, sent = 0;

    if (json_int64(json_get(p->doc, "count"), &count)) { /* the first row so many times */
        for (int64_t i = 0; i < count && i < ROWS_MAX; i++)
            write_row(o, json_first(rows), schema, i, annotate);
        return;
    }
    JSON_EACH (row, rows)
        if (is_within(row, from, until) && sent++ < ROWS_MAX)
            write_row(o, row, schema, -1, annotate);
}

static void answer(struct call *c, const struct planted *p, bool graph, int64_t from, int64_t until)
{
    const struct tuning *t = &c->house->world.tuning;
    const struct casing *k = &casings[t->hunting.casing ? t->hunting.casing - 1 : !graph];
    struct json_out o = JSON_OUT(&c->body);

    c->status = 200;
    c->type = "application/json";
    json_out_object(&o, NULL);
    if (graph)
        json_out_string(&o, "@odata.context",
                        "https://graph.microsoft.com/v1.0/"
                        "$metadata#microsoft.graph.security.huntingQueryResults");
    else
        json_out_raw(&o, "Stats",
                     "{\"ExecutionTime\":0.1093,\"resource_usage\":{\"cache\":{},\"cpu\":{},"
                     "\"memory\":{}},\"dataset_statistics\":[{\"table_row_count\":2}]}");
    json_out_array(&o, k->schema);
    JSON_EACH (column, json_get(p->doc, "schema")) {
        json_out_object(&o, NULL);
        json_out_string(&o, k->name, json_get_string(column, "name"));
        json_out_string(&o, k->type, json_get_string(column, "type"));
        json_out_object_end(&o);
    }
    json_out_array_end(&o);
    json_out_array(&o, k->results);
    write_rows(&o, p, from, until, graph && t->hunting.annotations);
    json_out_array_end(&o);
    json_out_object_end(&o);
}

static const struct planted *planted_for(const struct house *h, const char *query)
{
    for (const struct planted *p = h->hunts; p; p = p->next)
        if (glob_matches(p->query, query))
            return p;
    return NULL;
}

/* ---- Defender's -------------------------------------------------------------------------------- */

void hunting_serve_defender(struct call *c)
{
    AUTO(json_freep) struct json *body = NULL;
    const char *query;
    const struct planted *p;

    (void)json_parse(c->q->body, c->q->body_len, &body, NULL); /* NULL is no object */
    query = json_get_string(body, "Query");
    if (!query || json_count(body) != 1) {
        defender_error(c, 400, "InvalidRequestBody", "Request body is incorrect");
        return;
    }
    p = planted_for(c->house, query);
    if (!p)
        defender_error(
            c, 400, "BadRequest",
            "A recognition error occurred. Failed to resolve table or column expression");
    else
        answer(c, p, false, INT64_MIN, INT64_MAX);
}

/* ---- Graph's ----------------------------------------------------------------------------------- */

/* Section 7.5. */
static void graph_error(struct call *c, unsigned status, const char *code, const char *message)
{
    struct json_out o = JSON_OUT(&c->body);
    char guid[GUID_SIZE], time[TICKS_TEXT_SIZE];

    buf_reset(&c->body);
    c->n_headers = 0;
    c->status = status;
    c->type = "application/json";
    ticks_format(simclock_now(&c->house->world.clock), 0, time);
    time[19] = '\0'; /* without the Z */
    json_out_object(&o, NULL);
    json_out_object(&o, "error");
    json_out_string(&o, "code", code);
    json_out_string(&o, "message", message);
    json_out_object(&o, "innerError");
    json_out_string(&o, "date", time);
    json_out_string(&o, "request-id", world_guid(&c->house->world, guid));
    json_out_string(&o, "client-request-id", guid);
    json_out_object_end(&o);
    json_out_object_end(&o);
    json_out_object_end(&o);
}

/* false: answered. */
static bool let_in(struct call *c)
{
    const char *authorization = httpd_header(c->q, "Authorization");
    struct refusal refusal;
    struct bearer *b = NULL;
    struct err e;
    bool may = false;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0 ||
        entra_check(c->house, authorization + 7, &b, &e) ||
        strncmp(b->aud, "https://graph.microsoft.com", 27) != 0) {
        graph_error(c, 401, "InvalidAuthenticationToken",
                    b ? "Access token validation failure. Invalid audience."
                      : "Access token is empty or expired.");
        return false;
    }
    c->client = arena_str(c->arena, b->client);
    if (!limits_take(&c->house->limits, &c->house->world, b->client, "hunting", &refusal)) {
        graph_error(c, 429, "TooManyRequests",
                    "Too many requests. The tenant has used up its share.");
        if (c->house->world.tuning.limits.retry_after)
            call_header(c, "Retry-After", "%" PRId64, refusal.seconds);
        return false;
    }
    for (size_t i = 0; b->roles[i]; i++)
        may = may || strcmp(b->roles[i], "ThreatHunting.Read.All") == 0;
    if (!may)
        graph_error(
            c, 403, "Forbidden",
            "The application does not have any of the required delegated or application permissions "
            "(ThreatHunting.Read.All) to access the resource.");
    return may;
}

/* "start", "start/end" or a number of days back: section 5.2. */
static bool read_timespan(const struct house *h, const char *text, int64_t *from, int64_t *until)
{
    const int64_t day = 86400 * TICKS_PER_S;
    char start[64];
    const char *slash;
    int days = 30;

    *until = INT64_MAX;
    *from = simclock_now(&h->world.clock) - days * day;
    if (!text)
        return true;
    if (sscanf(text, "P%dD", &days) == 1 && days > 0 && days <= 90) {
        *from = simclock_now(&h->world.clock) - days * day;
        return true;
    }
    slash = strchr(text, '/');
    snprintf(start, sizeof start, "%.*s", slash ? (int)(slash - text) : 60, text);
    return !ticks_parse(start, from, NULL) && (!slash || !ticks_parse(slash + 1, until, NULL));
}

bool hunting_serve_graph(struct call *c)
{
    AUTO(json_freep) struct json *body = NULL;
    const char *query, *type;
    const struct planted *p;
    int64_t from, until;

    if (strcasecmp(c->q->path, "/graph/v1.0/security/runHuntingQuery") != 0)
        return false;
    c->api = "hunting";
    if (!let_in(c))
        return true;
    type = httpd_header(c->q, "Content-Type");
    (void)json_parse(c->q->body, c->q->body_len, &body, NULL); /* NULL is no object */
    query = json_get_string(body, "Query");
    if (strcmp(c->q->method, "POST") != 0) {
        graph_error(c, 405, "Request_BadRequest", "Specified HTTP method is not allowed.");
    } else if (!type || strncasecmp(type, "application/json", 16) != 0 || !query || !*query) {
        graph_error(c, 400, "BadRequest", "Query is required.");
    } else if (!read_timespan(c->house, json_get_string(body, "Timespan"), &from, &until)) {
        graph_error(c, 400, "BadRequest", "Timespan is not a valid ISO 8601 interval.");
    } else if (!(p = planted_for(c->house, query))) {
        graph_error(c, 400, "BadRequest",
                    "A recognition error occurred. Failed to resolve table or column expression");
    } else {
        answer(c, p, true, from, until);
    }
    return true;
}
